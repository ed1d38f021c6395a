import numpy as np
import pytest
import torch

from genolm.adaptation import adapt_language_model
from genolm.errors import Cancelled, TrainingError
from genolm.language import NextToken
from genolm.registry import load_bundle


@pytest.fixture
def bundle(toy_language_model_path):
    return load_bundle(str(toy_language_model_path))


@pytest.fixture
def repeats(rng):
    """Sequences of one repeated motif in a random phase: easy to read once it was seen."""
    shifts = rng.integers(0, 8, 400)
    return [("ACGGTCAT" * 9)[shift : shift + 60] for shift in shifts]


def test_reading_the_tasks_sequences_helps_on_unread_ones(bundle, repeats):
    adapted = adapt_language_model(bundle, repeats[:350], repeats[350:], passes=3)
    assert adapted.helped and adapted.after < adapted.before - 0.03
    before = bundle.state_dict()
    assert any(not torch.equal(value, before[key]) for key, value in adapted.state.items())


def test_what_does_not_help_is_left_out(bundle, repeats, make_dna, monkeypatch):
    monkeypatch.setattr("genolm.adaptation.PEAK_RATE", 0.9)
    held_out = [make_dna(60) for _ in range(200)]
    adapted = adapt_language_model(bundle, repeats, held_out, passes=6)
    assert not adapted.helped and adapted.passes < 6
    before = bundle.state_dict()
    assert all(torch.equal(value, before[key]) for key, value in adapted.state.items())


def test_sequences_of_uneven_lengths_are_read_pass_after_pass(bundle, rng, make_dna):
    lengths = np.clip(rng.lognormal(np.log(300), 1.0, 120), 60, None).astype(int)
    sequences = [make_dna(int(length)) for length in lengths]
    adapted = adapt_language_model(bundle, sequences[:100], sequences[100:], passes=6)
    assert 1 <= adapted.passes <= 6 and np.isfinite(adapted.after)


def test_the_first_worse_pass_is_the_last():
    def enough(*losses, patience=1):
        objective = NextToken.__new__(NextToken)
        objective._patience = patience
        return objective.enough([{"valid": {"loss": loss}} for loss in losses])

    assert not enough(3.0) and not enough(3.0, 2.9) and enough(3.0, 2.9, 2.95)
    assert not enough(3.0, 2.9, 2.95, patience=2) and not enough(3.0, 3.1, 3.2, patience=0)


def test_an_interrupted_run_gives_the_same_weights(bundle, repeats, tmp_path):
    def stop(report):
        if report.done == 12:
            raise Cancelled("stop")

    options = {"passes": 1, "seed": 3}
    whole = adapt_language_model(bundle, repeats, repeats[:60], **options)
    with pytest.raises(Cancelled):
        adapt_language_model(bundle, repeats, repeats[:60], checkpoint=tmp_path / "a", progress=stop, **options)
    again = adapt_language_model(bundle, repeats, repeats[:60], checkpoint=tmp_path / "a", **options)
    assert all(torch.equal(value, again.state[key]) for key, value in whole.state.items())
    assert np.isclose(whole.after, again.after)


def test_too_few_validation_sequences_are_refused(bundle, repeats):
    with pytest.raises(TrainingError, match="too few to judge a language model by"):
        adapt_language_model(bundle, repeats, ["ACGTACGT"], passes=1)
