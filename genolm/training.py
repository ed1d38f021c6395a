"""The training loop: one-cycle schedule, unfreezing, clipping, checkpoints, the best epoch. No genomics.

What is learned is told by an :class:`Objective`; where it stands goes to a callback, which may stop the run
by raising :class:`genolm.errors.Cancelled`. A run continued from its checkpoint gives the same weights, bit
for bit, as one that was never interrupted on the same machine with the same number of threads. Several processes
may train together, see :mod:`genolm.distributed`.
"""

import math
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import genolm.compute as compute
import torch
from torch import Tensor, nn

from genolm import distributed
from genolm.checkpoints import (
    checkpoint_beside,
    read_checkpoint,
    remove_checkpoint,
    tensors_under,
    write_checkpoint,
)
from genolm.config import Schedule, TrainingConfig
from genolm.distributed import rows_of
from genolm.errors import Cancelled, TrainingError
from genolm.model import random_source
from genolm.progress import Pace, Progress, ProgressCallback

__all__ = [
    "Batches",
    "EpochRecord",
    "History",
    "Memory",
    "Objective",
    "Trainer",
    "checkpoint_beside",
    "group_rates",
    "one_cycle",
    "remove_checkpoint",
]

Memory = list[Tensor] | None
# Between the seeds of the processes of one training.
_SEEDS = 1_000_003


class Batches(Protocol):
    """One epoch of batches, any of which can be asked for by its step."""

    def __len__(self) -> int: ...  # noqa: D105

    def __getitem__(self, step: int) -> Any: ...  # noqa: D105


class Objective(Protocol):
    """What a model is to learn."""

    def batches(self, epoch: int) -> Batches:
        """Return the batches of an epoch."""
        ...

    def loss(self, model: nn.Module, batch: Any, memory: Memory) -> tuple[Tensor, Memory]:
        """Return the loss to minimise and the tensors to carry to the next batch."""
        ...

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Return figures on held-out data; ``loss`` decides which epoch is the best."""
        ...

    def enough(self, epochs: Sequence[Mapping[str, Any]]) -> bool:
        """Return whether the phase may end after the last of ``epochs``, given as :class:`EpochRecord` fields.

        A :class:`genolm.errors.TrainingError` stops the whole training.
        """
        ...


@dataclass(frozen=True)
class EpochRecord:
    """Figures of one epoch: training loss, validation figures, seconds since the start."""

    epoch: int
    phase: int
    train_loss: float
    valid: Mapping[str, float]
    seconds: float


@dataclass(frozen=True)
class History:
    """What a run did: one record per epoch, the best epoch, steps, seconds and the device."""

    epochs: tuple[EpochRecord, ...] = ()
    best_epoch: int = -1
    steps: int = 0
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON data."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "History":
        """Return the history that :meth:`to_json` gave."""
        return cls(**{**data, "epochs": tuple(EpochRecord(**item) for item in data["epochs"])})


@dataclass
class _Position:
    """Where a run stands; everything that a checkpoint holds beside tensors."""

    phase: int = 0
    step: int = 0
    total: int = 0
    seconds: float = 0.0
    loss_sum: float = 0.0
    loss_steps: int = 0
    epochs: list[dict[str, Any]] = field(default_factory=list)
    best_epoch: int = -1
    best_loss: float = math.inf


def one_cycle(fraction: float, *, warmup: float) -> tuple[float, float]:
    """Return the share of the peak rate and the momentum at ``fraction`` of a cycle.

    The rate rises from 1/25 to 1 over ``warmup`` and falls to 1/250,000, both as a cosine; the momentum goes
    0.8, 0.7, 0.8 (fastai's ``fit_one_cycle``; Smith 2018, arXiv:1803.09820).
    """
    if fraction < warmup:
        return _cosine(1 / 25, 1.0, fraction / warmup), _cosine(0.8, 0.7, fraction / warmup)
    part = (fraction - warmup) / (1 - warmup)
    return _cosine(1.0, 1 / 250_000, part), _cosine(0.7, 0.8, part)


def _cosine(start: float, end: float, part: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * min(1.0, part)))


def group_rates(groups: int, *, lr: float, factor: float, unfreeze: int) -> list[float]:
    """Return the peak rate of each layer group, lowest first; frozen groups get 0.

    With one group unfrozen it learns at ``lr``; with more the rates fall from ``lr`` at the head by equal
    factors so that a group ``n`` below learns at ``lr / factor**n``.
    """
    learning = unfreeze or groups
    return [
        0.0 if groups - index > learning else lr / factor ** (groups - 1 - index) for index in range(groups)
    ]


class Trainer:
    """Fits a model to an objective.

    Parameters
    ----------
    model : nn.Module
        With ``layer_groups()``: lists of parameters, lowest layer first.
    objective : Objective
    config : TrainingConfig
        ``schedule`` holds one one-cycle per phase.
    checkpoint : Path, optional
        Folder to save to and, when it holds a checkpoint, to go on from.
    device : str, optional
        None means CUDA if there, else the CPU.
    progress : callback, optional
    save_every : float
        Seconds between checkpoints inside an epoch; each epoch's end is always saved.
    """

    def __init__(
        self,
        model: nn.Module,
        objective: Objective,
        config: TrainingConfig,
        *,
        checkpoint: Path | None = None,
        device: str | None = None,
        progress: ProgressCallback | None = None,
        save_every: float = 120.0,
    ) -> None:
        self.group = distributed.group()
        self.device = compute.pick_device(device)
        self.model, self.objective, self.config = model.to(self.device), objective, config
        self.folder, self.progress, self.save_every = checkpoint, progress, save_every
        self.dtype = compute.pick_dtype(config.precision, self.device)
        self.groups: list[list[nn.Parameter]] = model.layer_groups()  # type: ignore[operator]
        self.random = torch.Generator(self.device).manual_seed(config.seed + _SEEDS * self.group.rank)
        self.position = _Position()
        self.memory: Memory = None
        self.best: dict[str, Tensor] = {}
        self.optimizer: torch.optim.Optimizer | None = None
        self._moments: dict[str, Tensor] = {}
        self._pace = Pace()

    def fit(self) -> History:
        """Run every phase, put the weights of the best validation epoch into the model, tell what was done."""
        if not self.config.schedule:
            raise TrainingError("The schedule is empty; give at least one phase.")
        with compute.torch_threads(self.config.threads):
            self._load()
            began = time.monotonic() - self.position.seconds
            try:
                while self.position.phase < len(self.config.schedule):
                    self._run_phase(self.config.schedule[self.position.phase], began)
            except Cancelled:
                self._save()
                raise
        if self.best:
            self.model.load_state_dict(self.best)
        self.model.eval()
        return self._history()

    def _history(self) -> History:
        place = self.position
        records = tuple(EpochRecord(**item) for item in place.epochs)
        return History(records, place.best_epoch, place.total, place.seconds)

    def _run_phase(self, phase: Schedule, began: float) -> None:
        rates = group_rates(
            len(self.groups), lr=phase.lr, factor=self.config.lr_factor, unfreeze=phase.unfreeze
        )
        self._prepare(rates)
        per_epoch = len(self.objective.batches(0))
        steps = max(1, round(phase.epochs * per_epoch))
        saved = time.monotonic()
        batches, opened = None, -1
        while self.position.step < steps:
            epoch = self.position.step // per_epoch
            if epoch != opened:
                batches, opened = self.objective.batches(self._epochs_before() + epoch), epoch
            self._step(batches[self.position.step % per_epoch], rates, self.position.step / steps)
            self.position.seconds = time.monotonic() - began
            if self.position.step % per_epoch == 0 or self.position.step == steps:
                self._end_epoch()
                if self.group.told(lambda: self.objective.enough(self.position.epochs)):
                    self.position.step = steps
                self._save()
            elif self.group.told(lambda: time.monotonic() - saved > self.save_every):
                saved = time.monotonic()
                self._save()
            self.group.told(lambda: self._report(phase, steps))
        self.position.phase += 1
        self.position.step = 0
        self.memory = self.optimizer = None

    def _epochs_before(self) -> int:
        return sum(math.ceil(item.epochs) for item in self.config.schedule[: self.position.phase])

    def _prepare(self, rates: list[float]) -> None:
        """Freeze and unfreeze, and make the phase's optimizer, with the moments that a checkpoint brought."""
        for group, rate in zip(self.groups, rates, strict=True):
            for parameter in group:
                parameter.requires_grad_(rate > 0)
        chosen = [
            {"params": group, "lr": rate} for group, rate in zip(self.groups, rates, strict=True) if rate > 0
        ]
        self.optimizer = torch.optim.AdamW(
            chosen, betas=self.config.betas, weight_decay=self.config.weight_decay, fused=True
        )
        if self._moments:
            states: dict[int, dict[str, Tensor]] = {}
            for key, value in self._moments.items():
                index, name = key.split(".", 1)
                states.setdefault(int(index), {})[name] = value
            groups = self.optimizer.state_dict()["param_groups"]
            self.optimizer.load_state_dict({"state": states, "param_groups": groups})
            self._moments = {}

    def _step(self, batch: Any, rates: list[float], fraction: float) -> None:
        assert self.optimizer is not None
        share, momentum = one_cycle(fraction, warmup=self.config.warmup)
        for group, rate in zip(self.optimizer.param_groups, [r for r in rates if r > 0], strict=True):
            group["lr"], group["betas"] = rate * share, (momentum, self.config.betas[1])
        self.model.train()
        mixed = (
            torch.autocast(self.device.type, self.dtype) if self.dtype != torch.float32 else nullcontext()
        )
        batch, weight = self.group.share(batch)
        with random_source(self.random), mixed:
            loss, self.memory = self.objective.loss(self.model, batch, self.memory)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        value = self.group.average(self.model.parameters(), float(loss.detach()), weight)
        if not math.isfinite(value):
            raise TrainingError(
                f"The loss is {value} at step {self.position.total + 1}; try a lower learning rate."
            )
        if self.config.clip:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip)
        self.optimizer.step()
        place = self.position
        place.step, place.total = place.step + 1, place.total + 1
        place.loss_sum, place.loss_steps = place.loss_sum + value, place.loss_steps + 1

    def _report(self, phase: Schedule, steps: int) -> None:
        if not self.progress:
            return
        place = self.position
        weights = [item.epochs for item in self.config.schedule]
        done = sum(weights[: place.phase]) + phase.epochs * place.step / steps
        total = place.total if done == 0 else round(place.total * sum(weights) / done)
        stage = f"phase {place.phase + 1} of {len(weights)}"
        loss = place.loss_sum / place.loss_steps if place.loss_steps else place.epochs[-1]["train_loss"]
        values = {"loss": loss}
        values |= {f"valid_{key}": value for key, value in (place.epochs or [{"valid": {}}])[-1]["valid"].items()}
        pace = self._pace.after(place.total)
        self.progress(Progress(stage, place.total, total, place.seconds, values, pace=pace))

    def _end_epoch(self) -> None:
        self.model.eval()
        self.group.average_buffers(self.model)
        with torch.inference_mode():
            valid = self.group.told(lambda: self.objective.validate(self.model))
        self.group.align(self.model.buffers())
        place = self.position
        record = EpochRecord(
            len(place.epochs), place.phase, place.loss_sum / max(1, place.loss_steps), valid, place.seconds
        )
        place.epochs.append(asdict(record))
        place.loss_sum, place.loss_steps = 0.0, 0
        if valid and valid["loss"] < place.best_loss:
            place.best_loss, place.best_epoch = valid["loss"], record.epoch
            self.best = {key: value.detach().clone() for key, value in self.model.state_dict().items()}

    def _tensors(self) -> dict[str, Tensor]:
        """Return everything but the position that a checkpoint holds, of all processes."""
        own = {f"memory.{index}": value for index, value in enumerate(self.memory or [])}
        parts = self.group.collected({**own, "random": self.random.get_state()})
        tensors = {f"model.{key}": value for key, value in self.model.state_dict().items()}
        tensors |= {f"best.{key}": value for key, value in self.best.items()}
        tensors |= rows_of(parts, "memory.")
        tensors |= {f"random{f'.{rank}' if rank else ''}": part["random"] for rank, part in enumerate(parts)}
        if self.optimizer is not None:
            for index, state in self.optimizer.state_dict()["state"].items():
                tensors |= {f"optimizer.{index}.{key}": value for key, value in state.items()}
        return {key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}

    def _save(self) -> None:
        """Write a checkpoint."""
        if self.folder is None and self.group.size == 1:
            return
        tensors, place = self._tensors(), self.position
        if self.folder is not None and self.group.is_first:
            write_checkpoint(self.folder, f"step-{place.total}-{place.phase}", asdict(place), tensors)

    def _load(self) -> None:
        """Take up the last checkpoint, or the one before where the last is damaged."""
        found = None if self.folder is None or not self.group.is_first else read_checkpoint(self.folder)
        self.group.align(self.model.state_dict().values())
        position = self.group.told(lambda: None if found is None else found[0])
        if position is None:
            return
        tensors = self.group.handed(found[1] if found else {})
        own = f"random.{self.group.rank}" if self.group.rank else "random"
        self.random.set_state(tensors.get(own, self.random.get_state()))
        tensors = {key: value.to(self.device) for key, value in tensors.items()}
        self.position = _Position(**position)
        self.model.load_state_dict(tensors_under(tensors, "model."))
        self.best = tensors_under(tensors, "best.")
        memory = tensors_under(tensors, "memory.")
        self.memory = [self._own_rows(memory[str(index)]) for index in range(len(memory))] or None
        self._moments = tensors_under(tensors, "optimizer.")

    def _own_rows(self, whole: Tensor) -> Tensor:
        return whole[self.group.rows(len(whole))].contiguous()
