"""What a language model's training will do and what it will cost here, chosen by size and measured."""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

import genolm.compute  # noqa: F401  sets the OpenMP wait policy before torch is loaded
import torch
from torch import nn

from genolm import distributed
from genolm.batches import TextBatch
from genolm.config import LANGUAGE_MODEL_DROPOUTS, PRESETS, EncoderConfig, TokenizerConfig, encoder_preset
from genolm.errors import SettingsError
from genolm.language import NextToken
from genolm.model import LanguageModel
from genolm.registry import ModelBundle
from genolm.tokenizer import KmerTokenizer

HELD_OUT_BASES = 600_000
READ_BASES = 50_000_000
FEWEST_PASSES, MOST_PASSES = 2.0, 20.0
LITTLE_BASES = 1_000_000
SCRATCH_RATE, BASE_RATE = 4e-3, 2e-3
LEAST_ROWS = 8
SECONDS_PER_BASE = 4e-7
START_SECONDS = 10.0
PROCESS_BYTES = 350e6
MARKOV_BYTES = 400e6
MEASURED_STEPS = 3
MEASURED_SECONDS = 12.0
_SPARE = 0.95


@dataclass(frozen=True)
class PretrainSettings:
    """Settings of a language model's training; tokens count over all passes.

    ``tokens`` and ``lr`` 0 leave the choice to the plan; ``hours`` is the longest that the plan may choose.
    """

    preset: str = "small"
    k: int = 3
    stride: int = 3
    tokens: int = 0
    hours: float = 2.0
    lr: float = 0.0
    rows: int = 64
    bptt: int = 70
    piece: int = 3000
    drop_mult: float = 0.25
    alpha: float = 2.0
    beta: float = 1.0
    weight_decay: float = 0.01
    clip: float = 0.4
    validations: int = 10
    seed: int = 1

    def __post_init__(self) -> None:
        if not math.isfinite(self.hours) or self.hours <= 0:
            raise SettingsError(f"hours is {self.hours}; it must be a number above 0, such as 2 or 0.5.")
        for name in ("tokens", "seed"):
            if getattr(self, name) < 0:
                raise SettingsError(f"{name} is {getattr(self, name)}; it must be 0 or more.")


@dataclass(frozen=True)
class PretrainSpeed:
    """What was measured here: tokens per second in training and in scoring, and the model's parameters."""

    train: float
    score: float
    parameters: int
    device: str


@dataclass(frozen=True)
class PretrainEstimate:
    """What a training will cost here.

    Attributes
    ----------
    seconds : float
        Wall time by the measured speed; a machine that does other work takes longer.
    memory_bytes : float
        Peak memory of the process.
    device : str
    tokens_per_second : float
    """

    seconds: float
    memory_bytes: float
    device: str
    tokens_per_second: float


@dataclass(frozen=True)
class PretrainPlan:
    """What will be done.

    Attributes
    ----------
    settings : PretrainSettings
        With everything chosen; k, stride and preset are those of the base where there is one.
    passes : float
        How often the sequences are read.
    estimate : PretrainEstimate or None
        None when the speed is not known.
    reasons : tuple of str
        Why, one sentence each.
    """

    settings: PretrainSettings
    passes: float
    estimate: PretrainEstimate | None
    reasons: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON data."""
        return asdict(self)


def token_config(settings: PretrainSettings, base: ModelBundle | None = None) -> TokenizerConfig:
    """Return the k-mers of the model: the base's own if there is one."""
    return base.config.tokenizer if base else TokenizerConfig(settings.k, settings.stride)


def new_model(settings: PretrainSettings, base: ModelBundle | None = None) -> LanguageModel:
    """Return an untrained model of the sizes that the settings or the base say."""
    sizes = base.config.encoder if base else encoder_preset(settings.preset)
    vocabulary = KmerTokenizer(token_config(settings, base)).vocab_size
    return LanguageModel(sizes, vocabulary, LANGUAGE_MODEL_DROPOUTS.scaled(settings.drop_mult))


def _preset_of(sizes: EncoderConfig) -> str:
    """Return the name of the preset with these sizes, "other" where there is none."""
    return next((name for name, item in PRESETS.items() if item == sizes), "other")


def plan_pretraining(
    bases: int,
    settings: PretrainSettings | None = None,
    *,
    base: ModelBundle | None = None,
    speed: PretrainSpeed | None = None,
) -> PretrainPlan:
    """Choose what the settings leave open, by the size of the corpus.

    Parameters
    ----------
    bases : int
        Bases to learn from.
    settings : PretrainSettings, optional
    base : ModelBundle, optional
        Language model to go on from.
    speed : PretrainSpeed, optional
        See :func:`measure_pretraining`; without it the time is neither estimated nor limited.

    Notes
    -----
    The sequences are read until 50 million bases have gone by, but 2 to 20 times; half as often when going
    on from a model, which knows much already. ``hours`` cuts that short.
    """
    settings = settings or PretrainSettings()
    reasons: list[str] = []
    tokens = token_config(settings, base)
    preset = _preset_of(base.config.encoder) if base else settings.preset
    stride, settings = tokens.stride, replace(settings, k=tokens.k, stride=tokens.stride, preset=preset)
    settings = replace(
        _fitting_rows(bases, settings, reasons),
        lr=settings.lr or (BASE_RATE if base else SCRATCH_RATE),
        tokens=settings.tokens or _tokens(bases, settings, base, speed, reasons),
    )
    passes = settings.tokens * stride / max(1, bases)
    reasons.insert(0, _reading(bases, stride, settings.tokens, passes))
    if bases < LITTLE_BASES:
        reasons.append(
            f"{bases:,} bp are little for a language model; from a million on it learns more than which "
            "short words are common."
        )
    estimate = None if speed is None else _estimate(bases, settings, stride, speed)
    return PretrainPlan(settings, passes, estimate, tuple(reasons))


def plan_here(
    bases: int,
    settings: PretrainSettings | None = None,
    *,
    base: ModelBundle | None = None,
    threads: int | None = None,
) -> PretrainPlan:
    """Return the plan with what it costs on this machine, from a few steps of that training made here."""
    settings = settings or PretrainSettings()
    sizes = plan_pretraining(bases, settings, base=base).settings
    speed = measure_pretraining(sizes, base=base, threads=threads)
    return plan_pretraining(bases, settings, base=base, speed=speed)


def estimate_pretraining(
    bases: int,
    settings: PretrainSettings | None = None,
    *,
    base: ModelBundle | None = None,
    threads: int | None = None,
) -> PretrainEstimate:
    """Return time, memory and device of a training on ``bases`` bases, from a few steps made here."""
    estimate = plan_here(bases, settings, base=base, threads=threads).estimate
    assert estimate is not None
    return estimate


def measure_pretraining(
    settings: PretrainSettings | None = None, *, base: ModelBundle | None = None, threads: int | None = None
) -> PretrainSpeed:
    """Make a few training and scoring steps on random tokens; takes some seconds.

    Parameters
    ----------
    settings : PretrainSettings, optional
        Sizes of model and batch.
    base : ModelBundle, optional
        Its sizes count instead.
    threads : int, optional
        Threads that the training will have, all cores by default.
    """
    settings = settings or PretrainSettings()
    device = genolm.compute.pick_device()
    model = new_model(settings, base).to(device)
    vocabulary = model.decoder_bias.shape[0]
    shape = (settings.rows, settings.bptt)
    drawn = torch.from_numpy(np.random.default_rng(0).integers(3, vocabulary, shape)).to(device)
    batch = TextBatch(drawn, drawn, True)
    with genolm.compute.torch_threads(threads):
        score = _fastest(lambda: _score(model, batch))
        train = _fastest(_trainer(model, distributed.group().share(batch)[0], settings))
    count = sum(parameter.numel() for parameter in model.parameters())
    return PretrainSpeed(drawn.numel() / train, drawn.numel() / score, count, genolm.compute.device_name())


def _trainer(model: nn.Module, batch: TextBatch, settings: PretrainSettings) -> Callable[[], None]:
    device = batch.inputs.device
    dtype = genolm.compute.pick_dtype("auto", device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    objective = NextToken(
        lambda epoch: [batch], [], slice_steps=1, stride=1, alpha=settings.alpha, beta=settings.beta
    )
    model.train()

    def step() -> None:
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            loss, _ = objective.loss(model, batch, None)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
        optimizer.step()
        float(loss.detach())

    return step


def _score(model: nn.Module, batch: TextBatch) -> None:
    device = batch.inputs.device
    dtype = genolm.compute.pick_dtype("auto", device)
    with torch.inference_mode(), torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
        float(model(batch.inputs).logits.sum())


def _fastest(step: Callable[[], None]) -> float:
    """Return seconds of the fastest of a few calls; the first one warms up."""
    times: list[float] = []
    began = time.perf_counter()
    while len(times) <= MEASURED_STEPS and (len(times) < 2 or time.perf_counter() - began < MEASURED_SECONDS):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return min(times[1:])


def _fitting_rows(bases: int, settings: PretrainSettings, reasons: list[str]) -> PretrainSettings:
    """Return smaller batches of shorter pieces where there is not enough sequence for four pieces a row."""
    rows, piece = settings.rows, settings.piece
    if bases >= 4 * rows * piece:
        return settings
    rows = min(rows, max(LEAST_ROWS, bases // (4 * piece)))
    piece = max(100, min(piece, bases // (4 * rows)))
    reasons.append(f"The sequence is short, so {rows} texts are read side by side, not {settings.rows}.")
    return replace(settings, rows=rows, piece=piece)


def _tokens(
    bases: int,
    settings: PretrainSettings,
    base: ModelBundle | None,
    speed: PretrainSpeed | None,
    reasons: list[str],
) -> int:
    stride = settings.stride
    passes = min(MOST_PASSES, max(FEWEST_PASSES, READ_BASES / bases))
    if base:
        passes /= 2
        reasons.append(f"It goes on from {base.name}, which needs half the reading of a model from scratch.")
    wanted = round(passes * bases / stride)
    if speed is None:
        return wanted
    room = _SPARE * 3600 * settings.hours - _fixed_seconds(bases, settings, stride, speed)
    possible = round(max(0.02 * 3600 * settings.hours, room) * speed.train)
    if possible < wanted:
        reasons.append(
            f"The limit of {settings.hours:g} h cuts the reading to {possible / wanted:.0%} of what its size "
            "asks for; more time gives a better model."
        )
    return max(1, min(wanted, possible))


def _reading(bases: int, stride: int, tokens: int, passes: float) -> str:
    read = f"The {bases:,} bp to learn from are read {passes:.1f} times"
    if passes < 1:
        read = f"Of the {bases:,} bp to learn from {passes:.0%} are read, once"
    return f"{read} ({tokens:,} words, {'one a base' if stride == 1 else f'one every {stride} bases'})."


def _fixed_seconds(bases: int, settings: PretrainSettings, stride: int, speed: PretrainSpeed) -> float:
    text = min(HELD_OUT_BASES, bases) / stride
    return START_SECONDS + SECONDS_PER_BASE * bases + (settings.validations + 2) * text / speed.score


def _estimate(bases: int, settings: PretrainSettings, stride: int, speed: PretrainSpeed) -> PretrainEstimate:
    seconds = settings.tokens / speed.train + _fixed_seconds(bases, settings, stride, speed)
    tokens = settings.rows * settings.bptt
    weights = 24 * speed.parameters
    batch = 4 * tokens * 12 * (speed.parameters**0.5)
    memory = PROCESS_BYTES + max(MARKOV_BYTES, weights + batch) + 2 * bases
    return PretrainEstimate(seconds, memory, speed.device, speed.train)
