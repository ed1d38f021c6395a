import json
import math

import numpy as np
import pytest

import genolm.compute as compute
import torch
from torch import nn

from genolm.batches import LanguageStream, StreamSettings
from genolm.config import PRESETS, Dropouts, EncoderConfig, Schedule, TokenizerConfig, TrainingConfig
from genolm.errors import BundleError, Cancelled, TrainingError
from genolm.language import NextToken, Passes
from genolm.model import LanguageModel
from genolm.tokenizer import KmerTokenizer, encode_bases
from genolm.training import Trainer, group_rates, one_cycle


class Line(nn.Module):
    """y = a x + b in three layer groups, the lowest without use."""

    def __init__(self):
        super().__init__()
        self.low, self.a, self.b = (nn.Parameter(torch.zeros(1)) for _ in range(3))

    def layer_groups(self):
        return [[self.low], [self.a], [self.b]]


class FitLine:
    """A noiseless line; ``valid_losses`` may script the validation loss of each epoch."""

    def __init__(self, valid_losses=None):
        self.x = torch.linspace(-1, 1, 64)
        self.valid_losses = list(valid_losses or [])

    def batches(self, epoch):
        return [self.x[start::8] for start in range(8)]

    def loss(self, model, batch, memory):
        return ((model.a + model.low) * batch + model.b - (3 * batch - 1)).pow(2).mean(), memory

    def validate(self, model):
        if self.valid_losses:
            return {"loss": self.valid_losses.pop(0)}
        return {"loss": float(self.loss(model, self.x, None)[0])}

    def enough(self, epochs):
        return False


def config(*phases, **settings):
    defaults = {"precision": "fp32", "clip": 0.0, "weight_decay": 0.0, "seed": 1}
    return TrainingConfig(schedule=phases, **{**defaults, **settings})


def test_one_cycle_has_the_published_corners():
    assert one_cycle(0.0, warmup=0.3) == (pytest.approx(1 / 25), pytest.approx(0.8))
    assert one_cycle(0.3, warmup=0.3) == (pytest.approx(1.0), pytest.approx(0.7))
    assert one_cycle(1.0, warmup=0.3) == (pytest.approx(1 / 250_000), pytest.approx(0.8))
    assert one_cycle(0.65, warmup=0.3)[0] == pytest.approx(0.5, abs=1e-5)


def test_rates_fall_by_the_factor_and_frozen_groups_have_none():
    assert group_rates(4, lr=1.0, factor=2.0, unfreeze=0) == [0.125, 0.25, 0.5, 1.0]
    assert group_rates(4, lr=1.0, factor=2.0, unfreeze=2) == [0, 0, 0.5, 1.0]


def test_fit_finds_the_line_and_leaves_frozen_groups():
    model = Line()
    Trainer(model, FitLine(), config(Schedule(30, 0.3, unfreeze=2), lr_factor=1.0)).fit()
    assert model.low.item() == 0
    assert model.a.item() == pytest.approx(3, abs=0.05) and model.b.item() == pytest.approx(-1, abs=0.05)


def test_only_the_head_learns_in_a_head_phase():
    model = Line()
    Trainer(model, FitLine(), config(Schedule(2, 0.1, unfreeze=1))).fit()
    assert model.a.item() == 0 and model.b.item() != 0


def test_best_epoch_is_given_back():
    seen = []

    class Watch(FitLine):
        def validate(self, model):
            seen.append(model.b.item())
            return super().validate(model)

    model = Line()
    history = Trainer(model, Watch([3.0, 1.0, 2.0, 5.0]), config(Schedule(4, 0.1))).fit()
    assert history.best_epoch == 1
    assert model.b.item() == pytest.approx(seen[1])


def test_a_phase_ends_early_when_the_objective_has_enough(tmp_path):
    class Short(FitLine):
        def enough(self, epochs):
            return sum(epoch["phase"] == 0 for epoch in epochs) == 2

    phases = (Schedule(9, 0.1), Schedule(1, 0.1))
    history = Trainer(Line(), Short(), config(*phases), checkpoint=tmp_path / "run").fit()
    assert [epoch.phase for epoch in history.epochs] == [0, 0, 1]
    again = Trainer(Line(), Short(), config(*phases), checkpoint=tmp_path / "run").fit()
    assert again.to_json() == history.to_json()


def language_trainer(folder, records, progress=None, save_every=120.0):
    tokenizer = KmerTokenizer(TokenizerConfig(3, 3))
    torch.manual_seed(1)
    model = LanguageModel(PRESETS["tiny"], tokenizer.vocab_size, Dropouts())

    def make(epoch):
        return LanguageStream(records, tokenizer, StreamSettings(rows=8, bptt=10, piece=200), epoch)

    objective = NextToken(make, [make(99)[0]], slice_steps=4, stride=3, alpha=2, beta=1)
    settings = TrainingConfig(schedule=(Schedule(2, 5e-3), Schedule(1, 1e-3)), lr_factor=1.0)
    trainer = Trainer(model, objective, settings, checkpoint=folder, progress=progress, save_every=save_every)
    return model, trainer


def test_passes_of_other_lengths_are_one_text_without_an_end(rng, make_dna):
    records = [encode_bases(make_dna(int(length))) for length in rng.integers(60, 900, 12)]
    tokenizer = KmerTokenizer(TokenizerConfig(3, 3))

    def make(number):
        return LanguageStream(records, tokenizer, StreamSettings(rows=4, bptt=10, piece=200), number)

    wanted = [(batch.inputs, batch.fresh) for number in range(6) for batch in (make(number)[i] for i in range(len(make(number))))]
    assert len({len(make(number)) for number in range(6)}) > 1
    order = [*range(len(wanted)), *rng.permutation(len(wanted)).tolist()]
    text = Passes(make)
    for step in order:
        inputs, fresh = wanted[step]
        assert torch.equal(text[step].inputs, inputs) and text[step].fresh == fresh
    # From wherever a cut-off training goes on, the batch is the same, and a slice may hold more than a pass.
    assert torch.equal(Passes(make)[len(wanted) - 1].inputs, wanted[-1][0])
    batches = NextToken(make, [], slice_steps=len(wanted), stride=3).batches(0)
    assert torch.equal(batches[len(wanted) - 1].inputs, wanted[-1][0])


@pytest.mark.parametrize("stop_at", [3, 4, 6, 8, 11])
def test_an_interrupted_run_gives_the_same_weights_bit_for_bit(tmp_path, make_dna, stop_at):
    records = [encode_bases(make_dna(3000)) for _ in range(3)]
    with compute.torch_threads(1):
        whole, trainer = language_trainer(None, records)
        history = trainer.fit()

        def stop(report):
            if report.done == stop_at:
                raise Cancelled("stop")

        _, first = language_trainer(tmp_path / "run", records, stop)
        with pytest.raises(Cancelled):
            first.fit()
        torch.rand(100)
        resumed, second = language_trainer(tmp_path / "run", records)
        again = second.fit()
    assert again.steps == history.steps == 12
    assert [e.train_loss for e in again.epochs] == [e.train_loss for e in history.epochs]
    for key, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[key]), key


def test_progress_tells_steps_loss_and_time_left(make_dna, monkeypatch):
    monkeypatch.setattr("genolm.progress.LEAST_SECONDS", 0.0)
    reports = []
    _, trainer = language_trainer(None, [encode_bases(make_dna(9000))], reports.append)
    trainer.fit()
    assert [report.done for report in reports] == list(range(1, 13))
    assert all(report.total == 12 for report in reports)
    assert math.isfinite(reports[-1].values["loss"]) and "valid_bits_per_base" in reports[-1].values
    assert reports[0].eta is None and reports[5].eta > 0 and reports[-1].eta == 0


def test_a_loss_that_is_not_finite_stops_with_a_sentence():
    class Broken(FitLine):
        def loss(self, model, batch, memory):
            return model.b.sum() * float("nan"), memory

    with pytest.raises(TrainingError, match="nan at step 1; try a lower learning rate"):
        Trainer(Line(), Broken(), config(Schedule(1, 0.1))).fit()


def test_a_damaged_checkpoint_is_a_sentence(tmp_path, make_dna):
    records = [encode_bases(make_dna(9000))]
    language_trainer(tmp_path, records)[1].fit()
    for file in tmp_path.glob("*.safetensors"):
        file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(BundleError, match="cannot be read"):
        language_trainer(tmp_path, records)[1].fit()


def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path, make_dna):
    records = [encode_bases(make_dna(3000)) for _ in range(3)]

    def stop(report):
        if report.done == 9:
            raise Cancelled("stop")

    with compute.torch_threads(1):
        whole, trainer = language_trainer(None, records)
        trainer.fit()
        with pytest.raises(Cancelled):
            language_trainer(tmp_path, records, stop)[1].fit()
        last = json.loads((tmp_path / "state.json").read_text())["tensors"]
        content = bytearray((tmp_path / last).read_bytes())
        content[-1] ^= 1
        (tmp_path / last).write_bytes(content)
        resumed, again = language_trainer(tmp_path, records)
        again.fit()
    for key, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[key]), key


def test_clipping_bounds_the_step(monkeypatch):
    norms = []
    real = torch.nn.utils.clip_grad_norm_
    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", lambda p, c: norms.append(c) or real(p, c))
    Trainer(Line(), FitLine(), config(Schedule(1, 0.1), clip=0.25)).fit()
    assert norms == [0.25] * 8


def test_language_model_learns_a_repeat(make_dna):
    """A text with a period of 7 has almost no entropy once the period is known."""
    record = encode_bases(make_dna(7) * 3000)
    tokenizer = KmerTokenizer(TokenizerConfig(3, 3))
    torch.manual_seed(1)
    model = LanguageModel(EncoderConfig(32, 48, layers=1), tokenizer.vocab_size, Dropouts(0, 0, 0, 0, 0))

    def make(epoch):
        return LanguageStream([record], tokenizer, StreamSettings(rows=4, bptt=20, piece=900, both_strands=False), epoch)

    objective = NextToken(make, [make(5)[i] for i in range(3)], slice_steps=40, stride=3)
    before = objective.validate(model)["bits_per_base"]
    Trainer(model, objective, TrainingConfig(schedule=(Schedule(9, 2e-2),), lr_factor=1.0)).fit()
    after = objective.validate(model)["bits_per_base"]
    assert before == pytest.approx(2.0, abs=0.1) and after < 0.4
    assert np.isfinite(after)
