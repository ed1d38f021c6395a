"""Train a classifier for scans: on stretches of a genome, every window of which has a label.

One pass of the encoder over a stretch serves all windows in it, as it does in a streamed scan, so that a
window is learned with real sequence before it: none at a stretch's start, then more and more. What a scan
meets is what is learned: every place of the genome, in its natural share, read at every offset.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import genolm.compute  # noqa: F401  sets the OpenMP wait policy before torch is loaded
import torch
from torch import Tensor, nn
from torch.nn import functional

from genolm.batches import pack
from genolm.classifier import SequenceClassifier
from genolm.classifier_training import TrainedClassifier, new_classifier, remove_weights
from genolm.config import Calibration, HeadConfig, StretchSettings, Window
from genolm.errors import TrainingError
from genolm.metrics import binary_metrics
from genolm.pooling import WindowPooling
from genolm.progress import ProgressCallback
from genolm.registry import ModelBundle
from genolm.tokenizer import KmerTokenizer
from genolm.training import Batches, Memory, Trainer

UNLABELLED = -1
_DRAWS = 50


@dataclass(frozen=True)
class LabelledStrand:
    """One strand of a contig, read 5' to 3', with what is known of each base.

    Attributes
    ----------
    codes : uint8 array (length,)
    labels : int8 array (length,)
        Class of the window whose anchor stands at a base; -1 where it counts for nothing.
    allowed : bool array (length,)
        Bases that may be read at all; the others belong to held-out regions.
    """

    codes: np.ndarray
    labels: np.ndarray
    allowed: np.ndarray


class StretchBatch(NamedTuple):
    """Tokens (batch, time) int64 and the labels of their windows (batch, windows) int64, -1 for none."""

    tokens: Tensor
    labels: Tensor


class Stretches:
    """The stretches of one epoch as batches, any of which can be asked for.

    Parameters
    ----------
    strands : sequence of LabelledStrand
    tokenizer : KmerTokenizer
    window : Window
        With an anchor.
    settings : StretchSettings
    epoch : int, optional
        Offsets and places are drawn anew for each; None draws the same ones each time, for validation.
    """

    def __init__(
        self,
        strands: Sequence[LabelledStrand],
        tokenizer: KmerTokenizer,
        window: Window,
        *,
        settings: StretchSettings,
        epoch: int | None,
    ) -> None:
        if window.anchor is None or settings.step % tokenizer.stride:
            raise TrainingError(
                f"A scanning model needs a window with a site in it, and a step ({settings.step}) that is a "
                f"multiple of the k-mers' stride ({tokenizer.stride})."
            )
        self._strands, self._tokenizer, self._window, self._settings = strands, tokenizer, window, settings
        rng = np.random.default_rng([settings.seed, 10_000 if epoch is None else epoch])
        self._free = [np.concatenate([[0], np.cumsum(~strand.allowed)]) for strand in strands]
        places = np.concatenate([self._around_sites(rng), self._elsewhere(rng)])
        places = places[rng.permutation(len(places))]
        self._batches = np.array_split(places, max(1, round(len(places) / settings.batch_size)))

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, step: int) -> StretchBatch:
        """Return batch ``step``."""
        size, window = self._settings.stretch, self._window
        offsets = np.arange(0, size - window.length + 1, self._settings.step) + window.anchor
        tokens, labels = [], []
        for index, start in self._batches[step].tolist():
            strand = self._strands[index]
            tokens.append(self._tokenizer.encode(strand.codes[start : start + size]))
            labels.append(strand.labels[start + offsets])
        return StretchBatch(pack(tokens)[0], torch.from_numpy(np.stack(labels).astype(np.int64)))

    def _around_sites(self, rng: np.random.Generator) -> np.ndarray:
        room = self._settings.stretch - self._window.length
        found = []
        for index, strand in enumerate(self._strands):
            sites = _middles(np.flatnonzero(strand.labels == 1))
            for _ in range(self._settings.around):
                starts = sites - self._window.anchor - rng.integers(0, room + 1, len(sites))
                found.append(self._usable(index, starts))
        return np.concatenate(found)

    def _elsewhere(self, rng: np.random.Generator) -> np.ndarray:
        sizes = np.array([len(strand.codes) for strand in self._strands])
        found: list[np.ndarray] = []
        for _ in range(_DRAWS):
            if sum(map(len, found)) >= self._settings.elsewhere:
                break
            owners = rng.choice(len(sizes), size=self._settings.elsewhere, p=sizes / sizes.sum())
            starts = (rng.random(len(owners)) * sizes[owners]).astype(np.int64)
            found += [self._usable(index, starts[owners == index]) for index in range(len(sizes))]
        return rng.permutation(np.concatenate(found))[: self._settings.elsewhere]

    def _usable(self, index: int, starts: np.ndarray) -> np.ndarray:
        """Return (strand, start) of the starts whose stretch is inside the strand and may be read."""
        size, free = self._settings.stretch, self._free[index]
        inside = starts[(starts >= 0) & (starts + size < len(free))]
        good = inside[free[inside + size] == free[inside]]
        return np.stack([np.full(len(good), index), good], 1)


def _middles(positions: np.ndarray) -> np.ndarray:
    """Return the middle of each run of neighbouring positions."""
    if not len(positions):
        return positions
    runs = np.split(positions, np.flatnonzero(np.diff(positions) > 1) + 1)
    return np.array([run[len(run) // 2] for run in runs], dtype=np.int64)


class ClassifyStretches:
    """The objective: weighted cross entropy over the labelled windows of stretches.

    Parameters
    ----------
    train, valid : sequence of LabelledStrand
    tokenizer : KmerTokenizer
    window : Window
    head : HeadConfig
        Binary.
    settings : StretchSettings
    """

    def __init__(
        self,
        train: Sequence[LabelledStrand],
        valid: Sequence[LabelledStrand],
        tokenizer: KmerTokenizer,
        window: Window,
        *,
        head: HeadConfig,
        settings: StretchSettings,
    ) -> None:
        self._train, self._tokenizer, self._window = train, tokenizer, window
        self._settings, self._slots = settings, head.slots
        self._weights = torch.tensor([settings.negative_weight, 1.0])
        self._valid = Stretches(valid, tokenizer, window, settings=settings, epoch=None)

    def batches(self, epoch: int) -> Batches:
        """Return the training batches of an epoch."""
        return Stretches(self._train, self._tokenizer, self._window, settings=self._settings, epoch=epoch)

    def loss(self, model: nn.Module, batch: StretchBatch, memory: Memory) -> tuple[Tensor, Memory]:
        """Return the mean loss of a batch; nothing is carried from batch to batch."""
        logits, labels = self._answers(model, batch)
        return functional.cross_entropy(logits, labels, weight=self._weights.to(logits.device)), memory

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Return cross entropy and average precision of the validation stretches' windows.

        ``loss``, which decides which epoch is the best, is one less the average precision: the rank of the sites
        among all windows is what a scan lives by, and how sure the model is of them is calibrated afterwards.
        """
        device = next(model.parameters()).device
        dtype = genolm.compute.pick_dtype("auto", device)
        found = []
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            found = [self._answers(model, self._valid[step]) for step in range(len(self._valid))]
        logits, labels = torch.cat([item[0].cpu() for item in found]), torch.cat([item[1].cpu() for item in found])
        entropy = float(functional.cross_entropy(logits, labels, weight=self._weights))
        chances = logits.softmax(1)[:, 1].numpy()
        precision = binary_metrics(chances, labels.numpy(), n_boot=0)["auprc"].value
        return {"loss": 1 - precision, "auprc": precision, "cross_entropy": entropy}

    def enough(self, epochs: Sequence[Mapping[str, Any]]) -> bool:  # noqa: ARG002
        """Never end a phase early."""
        return False

    def _answers(self, model: SequenceClassifier, batch: StretchBatch) -> tuple[Tensor, Tensor]:
        """Return logits (n, 2) and labels (n,) of the labelled windows of a batch."""
        device = next(model.parameters()).device
        hidden = model.encoder(batch.tokens.to(device)).hidden
        stride = self._tokenizer.stride
        starts = torch.arange(batch.labels.shape[1], device=device) * (self._settings.step // stride)
        width = self._tokenizer.count(self._window.length) + 1
        features = WindowPooling(hidden, width=width, slots=self._slots).features(starts)
        labels = batch.labels.to(device)
        known = labels != UNLABELLED
        return model.head(features[known]), labels[known]


def train_on_stretches(
    train: Sequence[LabelledStrand],
    valid: Sequence[LabelledStrand],
    head: HeadConfig,
    base: ModelBundle | KmerTokenizer,
    *,
    window: Window,
    settings: StretchSettings,
    checkpoint: Path | None = None,
    progress: ProgressCallback | None = None,
) -> TrainedClassifier:
    """Train a scanning classifier from a language model, or from scratch when ``base`` is only a tokenizer.

    The weights of the best validation epoch are kept. The windows' weights are taken back out of the logits,
    so that the odds are those of the stretches, and are not calibrated.
    """
    model, tokenizer, config = new_classifier(head, base, settings)
    objective = ClassifyStretches(train, valid, tokenizer, window, head=head, settings=settings)
    history = Trainer(model, objective, config, checkpoint=checkpoint, progress=progress).fit()
    remove_weights(model, np.array([settings.negative_weight, 1.0]))
    return TrainedClassifier(model, tokenizer, head, Calibration(), history, asdict(settings))
