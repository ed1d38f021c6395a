"""The plan of a pre-training: what is chosen by size, what time allows, and what is left as it was said."""

import pytest

from genolm.config import PRESETS, TokenizerConfig
from genolm.errors import SettingsError
from genolm.pretrain_plan import (
    PretrainSettings,
    PretrainSpeed,
    estimate_pretraining,
    measure_pretraining,
    plan_pretraining,
    token_config,
)
from genolm.registry import load_bundle

FAST = PretrainSpeed(10_000.0, 40_000.0, 4_500_000, "cpu")


def test_reading_falls_with_size_and_is_half_from_a_base(toy_language_model_path):
    base = load_bundle(toy_language_model_path)
    passes = [plan_pretraining(size).passes for size in (10**6, 5 * 10**6, 10**8)]
    assert passes == pytest.approx([20, 10, 2], rel=1e-3)
    going_on = plan_pretraining(5 * 10**6, base=base)
    assert going_on.passes == pytest.approx(5, rel=1e-3)
    assert token_config(PretrainSettings(), base) == TokenizerConfig(3, 2)
    assert going_on.settings.lr < plan_pretraining(5 * 10**6).settings.lr
    assert any("goes on from toy-lm" in reason for reason in going_on.reasons)


def test_what_a_base_has_is_in_the_settings(toy_language_model_path):
    base = load_bundle(toy_language_model_path)
    asked = PretrainSettings(preset="ulmfit", k=6, stride=1)
    settings = plan_pretraining(10**6, asked, base=base).settings
    sizes = next((name for name, item in PRESETS.items() if item == base.config.encoder), "other")
    assert (settings.k, settings.stride, settings.preset) == (3, 2, sizes)
    settings = plan_pretraining(10**6, asked).settings
    assert (settings.k, settings.stride, settings.preset) == (6, 1, "ulmfit")


def test_time_cuts_the_reading_and_says_so():
    plan = plan_pretraining(10**9, PretrainSettings(hours=1.0), speed=FAST)
    assert 0.85 * 3600 < plan.estimate.seconds <= 3600
    assert plan.settings.tokens < 10_000 * 3600
    assert any("limit of 1 h" in reason for reason in plan.reasons)
    assert "are read, once" in plan.reasons[0]
    easy = plan_pretraining(10**6, PretrainSettings(hours=1.0), speed=FAST)
    assert easy.passes == pytest.approx(20, rel=1e-3)
    assert not any("limit" in reason for reason in easy.reasons)


def test_what_was_said_is_kept():
    settings = PretrainSettings(tokens=70_000, lr=0.001)
    plan = plan_pretraining(10**7, settings, speed=FAST)
    assert (plan.settings.tokens, plan.settings.lr) == (70_000, 0.001)
    assert plan.settings.rows == 64
    assert plan_pretraining(10**7, plan.settings).settings == plan.settings


@pytest.mark.parametrize("bases", [19_000, 40_000, 300_000])
def test_a_short_corpus_gets_batches_that_it_can_fill(bases):
    plan = plan_pretraining(bases)
    assert bases >= 4 * plan.settings.rows * plan.settings.piece
    assert plan_pretraining(bases, plan.settings).settings == plan.settings
    assert any("little for a language model" in reason for reason in plan.reasons)


def test_the_estimate_is_from_steps_made_here():
    settings = PretrainSettings(preset="tiny", rows=8, bptt=20, tokens=100_000)
    speed = measure_pretraining(settings, threads=1)
    assert speed.score > speed.train > 100
    estimate = estimate_pretraining(10**6, settings)
    assert estimate.seconds > 100_000 / estimate.tokens_per_second
    assert 0.5e9 < estimate.memory_bytes < 4e9


@pytest.mark.parametrize(
    ("name", "value"),
    [("hours", 0), ("hours", float("nan")), ("hours", float("inf")), ("tokens", -1), ("seed", -1)],
)
def test_what_cannot_be_is_refused(name, value):
    with pytest.raises(SettingsError, match=f"{name} is {value}"):
        PretrainSettings(**{name: value})
