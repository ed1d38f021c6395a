from types import SimpleNamespace

import numpy as np
import pytest

import genolm.compute  # noqa: F401  sets the OpenMP wait policy before torch is loaded
import torch

from genolm import novelty
from genolm.errors import SequenceError
from genolm.novelty import compare_with_training, piece_bits, training_profile
from genolm.registry import import_bundle, load_bundle
from genolm.tokenizer import KmerTokenizer, encode_bases, reverse_complement_codes


class Letters:
    """A genome in memory."""

    def __init__(self, **sequences):
        self.sequences = sequences
        self.contigs = {name: len(text) for name, text in sequences.items()}

    def fetch(self, contig, start, end):
        return self.sequences[contig][start:end]


def predictor(**card):
    return SimpleNamespace(bundle=SimpleNamespace(card=card))


def letters(rng, length, gc):
    return "".join(rng.choice(list("ACGT"), length, p=[(1 - gc) / 2, gc / 2, gc / 2, (1 - gc) / 2]))


@pytest.fixture
def toy_lm(toy_language_model_path):
    import_bundle(toy_language_model_path)
    return load_bundle("toy-lm")


def read_as(monkeypatch, bits):
    monkeypatch.setattr(novelty, "piece_bits", lambda _, pieces: np.full(len(pieces), bits))


def test_bits_are_those_of_a_plain_reading(toy_lm, rng):
    codes = encode_bases(letters(rng, 800, 0.5))
    codes[400:403] = 4
    pieces = [codes, codes[:600], np.full(500, 4, dtype=np.uint8)]
    found = piece_bits(toy_lm, pieces)
    assert np.isnan(found[2])
    tokenizer = KmerTokenizer(toy_lm.config.tokenizer)
    for text, value in zip((codes, reverse_complement_codes(codes[:600])), found, strict=False):
        tokens = tokenizer.encode(text).astype(np.int64)
        with torch.no_grad():
            inputs = torch.from_numpy(np.r_[tokenizer.sep_id, tokens[:-1]])[None]
            logits = toy_lm.build()(inputs).logits[0].double()
        losses = -logits.log_softmax(1).numpy()[np.arange(len(tokens)), tokens]
        # The first 100 bases are 50 tokens of stride 2; unknown tokens have no letters to guess.
        counted = losses[50:][tokens[50:] != tokenizer.unk_id]
        assert value == pytest.approx(counted.mean() / (2 * np.log(2)), rel=0.01)


def test_a_profile_says_what_its_genome_is(toy_lm, rng):
    genome = Letters(a=letters(rng, 60_000, 0.4), b=letters(rng, 30_000, 0.4), tiny="ACGT")
    profile = training_profile(genome, language_model=toy_lm)
    assert profile["gc"] == pytest.approx(0.4, abs=0.01)
    assert profile["gc_low"] < profile["gc"] < profile["gc_high"] < profile["gc_low"] + 0.08
    assert profile["language_model"] == "toy-lm" and profile["bits_per_base"] > 1.9
    assert profile["saved_low"] <= profile["saved"] < 0
    assert set(training_profile(genome)) == {"piece", "pieces", "gc", "gc_low", "gc_high"}
    with pytest.raises(SequenceError, match="500 bp"):
        training_profile(Letters(tiny="ACGT"))


def test_gc_unlike_the_training_data_is_told(rng):
    home = Letters(a=letters(rng, 300_000, 0.5))
    card = {"composition": training_profile(home)}
    assert compare_with_training(home, predictor(**card)) == ()
    assert compare_with_training(Letters(b=letters(rng, 300_000, 0.5)), predictor(**card)) == ()
    (warning,) = compare_with_training(Letters(b=letters(rng, 300_000, 0.35)), predictor(**card))
    assert "GC is 35% here and 50% in what the model learned from" in warning
    # An island of 40 % of the genome is told too.
    mixed = Letters(b=letters(rng, 180_000, 0.5) + letters(rng, 120_000, 0.3))
    assert len(compare_with_training(mixed, predictor(**card))) == 1


def test_what_the_language_model_cannot_read_is_told(toy_lm, rng, monkeypatch):
    genome = Letters(a=letters(rng, 50_000, 0.5))
    card = {"settings": {"base": "toy-lm"}}
    (warning,) = compare_with_training(genome, predictor(**card))
    assert "toy-lm" in warning and "knows nothing of such letters" in warning
    read_as(monkeypatch, 1.9)
    assert compare_with_training(genome, predictor(**card)) == ()


def test_bits_are_held_against_the_card(toy_lm, rng, monkeypatch):
    genome = Letters(a=letters(rng, 50_000, 0.5))
    profile = {"language_model": "toy-lm", "saved": 0.10, "saved_low": 0.06}
    read_as(monkeypatch, 1.93)
    assert compare_with_training(genome, predictor(composition=profile)) == ()
    read_as(monkeypatch, 1.96)
    (warning,) = compare_with_training(genome, predictor(composition=profile))
    assert "saves 0.040 bits per base" in warning and "but 0.100 in what the model learned from" in warning


def test_without_a_profile_the_held_out_species_are_the_measure(toy_lm, rng, monkeypatch):
    genome = Letters(a=letters(rng, 50_000, 0.5))
    metrics = {f"species {high}": {"bits_per_base": {"high": high}} for high in (1.90, 1.92)}
    monkeypatch.setitem(toy_lm.card, "metrics", metrics)
    monkeypatch.setattr(novelty, "load_bundle", lambda name: toy_lm)
    card = predictor(settings={"base": "toy-lm"})
    read_as(monkeypatch, 1.925)
    assert compare_with_training(genome, card) == ()
    read_as(monkeypatch, 1.95)
    (warning,) = compare_with_training(genome, card)
    assert "needs 1.950 bits per base here, but no more than 1.920 on species 1.92" in warning


def test_nothing_is_said_where_nothing_is_known(toy_bundle_path, make_dna):
    genome = Letters(a=make_dna(5_000))
    import_bundle(toy_bundle_path)
    for base in ("gone", "", "toy-promoter"):
        assert compare_with_training(genome, predictor(settings={"base": base})) == ()
    assert compare_with_training(genome, predictor()) == ()
    assert compare_with_training(genome, SimpleNamespace(bundle=SimpleNamespace())) == ()
    assert compare_with_training(Letters(tiny="ACGT", gap="N" * 5_000), predictor()) == ()
