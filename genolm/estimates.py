"""How long a training will take and how much memory, from a few steps made on this machine."""

import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

import genolm.compute  # noqa: F401  sets the OpenMP wait policy before torch is loaded
import torch
from torch import nn

from genolm.batches import pack
from genolm.classifier import SequenceClassifier
from genolm.classifier_training import task_loss
from genolm.config import EncoderConfig, HeadConfig, encoder_preset
from genolm.preparation import Preparation, open_sequences
from genolm.tokenizer import KmerTokenizer

VALIDATION_COST = 0.3
ADAPT_COST = 1.3
START_SECONDS = 10.0
BASE_BYTES = 450e6
MEASURED_STEPS = 3
MEASURED_SECONDS = 6.0
MEASURED_TOKENS = 20_000


@dataclass(frozen=True)
class Estimate:
    """What a training will cost here.

    Attributes
    ----------
    seconds : float
        Wall time, from a measured speed; a machine that does other work takes longer.
    memory_bytes : float
        Peak memory of the process, from the sizes of the model and its batches.
    device : str
    tokens : int
        Tokens that all passes read together.
    tokens_per_second : float
        As measured.
    """

    seconds: float
    memory_bytes: float
    device: str
    tokens: int
    tokens_per_second: float

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON data."""
        return asdict(self)


def estimate_training(
    preparation: Preparation, *, threads: int | None = None, tokens_per_second: float | None = None
) -> Estimate:
    """Make a few training steps with the longest likely batch and work out the cost of the whole.

    Parameters
    ----------
    preparation : Preparation
    threads : int, optional
        Threads that the training will have, all cores by default.
    tokens_per_second : float, optional
        As measured before with the same base and batch size; then nothing is measured.

    Notes
    -----
    Measuring takes some seconds.
    """
    plan, bundle = preparation.plan, preparation.bundle
    settings = plan.classifier
    sizes = encoder_preset(settings.preset) if preparation.from_scratch else bundle.config.encoder
    tokenizer = KmerTokenizer(bundle.config.tokenizer)
    lengths = np.array([len(item) for item in preparation.samples("train").sequences])
    tokens = np.maximum(1, (lengths - tokenizer.k) // tokenizer.stride + 2)
    model = SequenceClassifier(sizes, preparation.head, tokenizer.vocab_size)
    width = int(np.median(tokens))
    rows = max(2, min(settings.batch_size, MEASURED_TOKENS // width))
    speed = tokens_per_second or 0.0
    with genolm.compute.torch_threads(threads):
        speed = speed or _tokens_per_second(model, preparation.head, rows, width)
    per_pass = int(tokens.sum())
    epochs = sum(item.epochs for item in settings.schedule)
    valid = VALIDATION_COST * len(preparation.rows("valid")) / max(1, len(lengths))
    judged = VALIDATION_COST * _readings_after(preparation) / max(1, len(lengths))
    unlabelled = sum(map(len, open_sequences(preparation.table, preparation.split))) // tokenizer.stride
    adapted = ADAPT_COST * (per_pass + unlabelled) * plan.adapt_passes
    total = per_pass * (epochs * (1 + valid) + judged) * plan.seeds + adapted
    seconds = total / speed * (2 if preparation.settings.reduction else 1)
    return Estimate(
        seconds=START_SECONDS + seconds + 60 * preparation.settings.search_minutes,
        memory_bytes=_memory(sizes, model, settings.batch_size * int(np.quantile(tokens, 0.99))),
        device=genolm.compute.device_name(),
        tokens=int(total),
        tokens_per_second=speed,
    )


def _readings_after(preparation: Preparation) -> int:
    """Return how many rows are read once a network has learned: those that calibrate it, and those that judge it.

    The validation rows calibrate each member of several and their mean, on both strands where two classes are read
    on one. A mirrored model reads each row on both, a framed one from several first bases.
    """
    settings, task = preparation.plan.classifier, preparation.head.task
    valid, test = (len(preparation.rows(part)) for part in ("valid", "test"))
    strands = 0 if task == "regression" else 2 if task == "binary" and not settings.mirrored else 1
    calibrations = 1 if preparation.plan.seeds == 1 else 2
    frames = preparation.bundle.config.tokenizer.stride if settings.framed else 1
    ways = frames * (2 if settings.mirrored else 1)
    return ways * ((calibrations * strands + 1) * valid + test)


def _tokens_per_second(model: SequenceClassifier, head: HeadConfig, rows: int, width: int) -> float:
    device = genolm.compute.pick_device()
    dtype = genolm.compute.pick_dtype("auto", device)
    model = model.to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    rng = np.random.default_rng(0)
    tokens, lengths = pack([rng.integers(3, 60, width - 1) for _ in range(rows)])
    labels = _labels(head, rows).to(device)
    times: list[float] = []
    began = time.perf_counter()
    while len(times) <= MEASURED_STEPS and time.perf_counter() - began < MEASURED_SECONDS:
        start = time.perf_counter()
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            loss = task_loss(model(tokens.to(device), lengths.to(device)), labels, head)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        times.append(time.perf_counter() - start)
    return rows * width / min(times)


def _labels(head: HeadConfig, rows: int) -> torch.Tensor:
    if head.task in ("multilabel", "regression"):
        return torch.zeros(rows, len(head.classes))
    return torch.zeros(rows, dtype=torch.int64)


def _memory(sizes: EncoderConfig, model: nn.Module, tokens: int) -> float:
    """Return weights with gradients and moments, and what the layers keep of a batch for the way back."""
    weights = 16 * sum(parameter.numel() for parameter in model.parameters())
    states = sum(7 * output + given for given, output in sizes.widths())
    return BASE_BYTES + weights + 3.0 * tokens * states
