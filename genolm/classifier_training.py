"""One classifier from labelled sequences: the last stage of ULMFiT."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

import genolm.compute  # noqa: F401  sets the OpenMP wait policy before torch is loaded
import torch
from torch import Tensor, nn
from torch.nn import functional

from genolm.batches import LabelledWindows, WindowBatch
from genolm.bootstrap import taken, usable
from genolm.bundles import stored_state
from genolm import calibration as calibrate
from genolm.classifier import SequenceClassifier
from genolm.config import (
    CLASSIFIER_DROPOUTS,
    Calibration,
    ClassifierSettings,
    EncoderConfig,
    HeadConfig,
    Schedule,
    StretchSettings,
    TrainingConfig,
    encoder_preset,
)
from genolm.progress import ProgressCallback
from genolm.registry import ModelBundle
from genolm.readings import Ways, readings_of
from genolm.sequences import reverse_complement
from genolm.table_split import related_rows
from genolm.tokenizer import Bases, KmerTokenizer, encode_bases
from genolm.training import Batches, History, Memory, Trainer
from genolm.watchdog import Watchdog, constant_loss

VALID_BATCH = 256
SETTLE_BELOW = 50
GRADUAL = (
    Schedule(1, 1e-2, unfreeze=1),
    Schedule(1, 5e-3, unfreeze=2),
    Schedule(1, 3e-3, unfreeze=3),
    Schedule(5, 2e-3),
)
AT_ONCE = (Schedule(8, 2e-3),)


@dataclass(frozen=True)
class Samples:
    """Sequences with their coded labels: (n,) int64 classes or (n, outputs) float32.

    ``named`` is the name of each one's group (n,), such as the reference that a read comes from, if there are any.
    """

    sequences: Sequence[str]
    labels: np.ndarray
    named: np.ndarray | None = None

    @cached_property
    def related(self) -> np.ndarray:
        """The group of each sequence, see :func:`genolm.table_split.related_rows`."""
        return related_rows(self.sequences, self.named)

    @cached_property
    def drawn_over(self) -> np.ndarray | None:
        """The group of each sequence, over which intervals are drawn; None where they cannot be."""
        return usable(self.related)

    def subset(self, rows: np.ndarray) -> "Samples":
        """Return the chosen rows, given as numbers."""
        return Samples([self.sequences[row] for row in rows], self.labels[rows], taken(self.named, rows))


class Classify:
    """The objective of a classifier: cross entropy, or squared error for regression.

    Parameters
    ----------
    train, valid : Samples
    tokenizer : KmerTokenizer
    head : HeadConfig
    settings : ClassifierSettings
    weights : array (classes,), optional
        Weights of the classes in the loss.
    """

    def __init__(
        self,
        train: Samples,
        valid: Samples,
        tokenizer: KmerTokenizer,
        head: HeadConfig,
        *,
        settings: ClassifierSettings,
        weights: np.ndarray | None = None,
    ) -> None:
        self._train, self._tokenizer, self._head, self._settings = train, tokenizer, head, settings
        self._valid = LabelledWindows(valid.sequences, valid.labels, tokenizer, batch_size=VALID_BATCH)
        self._weights = None if weights is None else torch.tensor(weights, dtype=torch.float32)
        self._one_class = ""
        floor = constant_loss(head.task, train.labels, valid.labels, weights)
        planned = sum(math.ceil(item.epochs) for item in settings.schedule)
        self._watchdog = Watchdog(floor, planned) if settings.watched else None

    def batches(self, epoch: int) -> Batches:
        """Return the shuffled training batches of an epoch."""
        return LabelledWindows(
            self._train.sequences,
            self._train.labels,
            self._tokenizer,
            batch_size=self._settings.batch_size,
            seed=self._settings.seed,
            epoch=epoch,
            mirrored=self._settings.mirrored,
            shifted=self._settings.shifted,
            trimmed=self._settings.trimmed,
        )

    def loss(self, model: nn.Module, batch: WindowBatch, memory: Memory) -> tuple[Tensor, Memory]:
        """Return the mean loss of a batch; nothing is carried from batch to batch."""
        device = next(model.parameters()).device
        logits = model(batch.tokens.to(device), batch.lengths.to(device))
        return self._loss(logits, batch.labels.to(device)), memory

    def _loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        return task_loss(logits, labels, self._head, weights=self._weights)

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Return loss, and for classes accuracy, on the validation sequences."""
        if len(self.batches(0)) < SETTLE_BELOW:
            settle_batchnorm(model, self.batches(0))
        logits, labels = run_batches(model, self._valid)
        figures = {"loss": float(self._loss(logits, labels))}
        if self._head.task in ("binary", "multiclass"):
            calls = logits.argmax(1)
            figures["accuracy"] = float((calls == labels).float().mean())
            alike = bool((calls == calls[0]).all())
            self._one_class = self._head.classes[int(calls[0])] if alike else ""
        return figures

    def enough(self, epochs: Sequence[Mapping[str, Any]]) -> bool:
        """Never end a phase early, but stop a training that learns nothing with an explanation."""
        if self._watchdog:
            self._watchdog.judge(epochs, self._one_class)
        return False


def settle_batchnorm(model: nn.Module, batches: Batches) -> None:
    """Set BatchNorm's running figures to those of the training data under the present weights.

    They trail behind by some ten batches; where an epoch has few, a model would be judged, and used, with
    figures of weights that it no longer has.
    """
    layers = [module for module in model.modules() if isinstance(module, nn.BatchNorm1d)]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None
        layer.train()
    run_batches(model, batches)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
        layer.eval()


def task_loss(logits: Tensor, labels: Tensor, head: HeadConfig, *, weights: Tensor | None = None) -> Tensor:
    """Return the mean loss of logits (batch, outputs) for a task, classes weighted by ``weights``."""
    if head.task == "multilabel":
        return functional.binary_cross_entropy_with_logits(logits, labels)
    if head.task == "regression":
        return functional.mse_loss(logits, labels)
    return functional.cross_entropy(logits, labels, weight=weights)


def run_batches(model: nn.Module, batches: Batches) -> tuple[Tensor, Tensor]:
    """Return logits (n, outputs) and labels of all batches, on the CPU, with the model as it is."""
    device = next(model.parameters()).device
    dtype = genolm.compute.pick_dtype("auto", device)
    found, labels = [], []
    with torch.inference_mode(), torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
        for step in range(len(batches)):
            batch = batches[step]
            found.append(model(batch.tokens.to(device), batch.lengths.to(device)).float().cpu())
            labels.append(batch.labels)
    return torch.cat(found), torch.cat(labels)


@dataclass(frozen=True)
class TrainedClassifier:
    """A classifier in eval mode with its calibration and history; ``model`` may be an ensemble."""

    model: nn.Module
    tokenizer: KmerTokenizer
    head: HeadConfig
    calibration: Calibration
    history: History
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def encoder_config(self) -> EncoderConfig:
        """Sizes of the encoder, the same in each member of an ensemble."""
        return self.model.encoders()[0].config  # type: ignore[operator]

    def logits(self, sequences: Sequence[str]) -> np.ndarray:
        """Return logits (n, outputs), float32, the mean of all readings, see :mod:`genolm.readings`."""
        flags = (bool(self.settings.get(key)) for key in ("mirrored", "framed"))
        ways = Ways(self.tokenizer.config, *flags)
        readings = zip(*(readings_of(encode_bases(item), ways) for item in sequences), strict=True)
        return np.mean([self._one_reading(reading) for reading in readings], axis=0)

    def _one_reading(self, sequences: Sequence[Bases]) -> np.ndarray:
        blank = np.zeros(len(sequences), dtype=np.int64)
        batches = LabelledWindows(sequences, blank, self.tokenizer, batch_size=VALID_BATCH)
        return run_batches(self.model, batches)[0].numpy()

    def probabilities(self, sequences: Sequence[str]) -> np.ndarray:
        """Return calibrated probabilities (n, outputs); the values themselves for regression."""
        return calibrate.apply(self.logits(sequences), self.calibration, self.head.task)

    def calibrated(self, valid: Samples) -> "TrainedClassifier":
        """Return the classifier with what :func:`calibration_of` says of ``valid``."""
        mirrored = bool(self.settings.get("mirrored"))
        return replace(self, calibration=calibration_of(self.logits, valid, self.head.task, mirrored=mirrored))


def calibration_of(
    logits: Callable[[Sequence[str]], np.ndarray], valid: Samples, task: str, *, mirrored: bool
) -> Calibration:
    """Return the calibration of what gives logits (n, outputs) of sequences, fitted on ``valid``.

    That for sequences of unknown strand is fitted too where a binary model reads one strand, see
    :func:`genolm.calibration.fit_calibration`.
    """
    if task == "regression":
        return Calibration()
    turned = None
    if task == "binary" and not mirrored:
        turned = logits([reverse_complement(item) for item in valid.sequences])
    return calibrate.fit_calibration(logits(valid.sequences), valid.labels, task, turned=turned)


def train_classifier(
    train: Samples,
    valid: Samples,
    head: HeadConfig,
    base: ModelBundle | KmerTokenizer,
    settings: ClassifierSettings,
    *,
    encoder: Mapping[str, Tensor] | None = None,
    checkpoint: Path | None = None,
    progress: ProgressCallback | None = None,
) -> TrainedClassifier:
    """Train a classifier from a language model, or from scratch when ``base`` is only a tokenizer.

    The weights of the best validation epoch are kept, as a bundle stores them, so that all that is said of the model
    holds for it; temperature and threshold are fitted on ``valid``.
    ``encoder`` takes the place of the base's own weights (``encoder.*``), after the language model was
    fine-tuned.
    """
    usual = GRADUAL if isinstance(base, ModelBundle) else AT_ONCE
    settings = replace(settings, schedule=settings.schedule or usual)
    model, tokenizer, config = new_classifier(head, base, settings, encoder=encoder)
    scale = _LabelScale.of(train.labels, head.task)
    weights = class_weights(train.labels, len(head.classes)) if settings.balanced else None
    objective = Classify(
        scale.shrunk(train), scale.shrunk(valid), tokenizer, head, settings=settings, weights=weights
    )
    history = Trainer(model, objective, config, checkpoint=checkpoint, progress=progress).fit()
    scale.fold_into(model)
    if weights is not None:
        remove_weights(model, weights)
    model.load_state_dict(stored_state(model.state_dict()))
    trained = TrainedClassifier(model, tokenizer, head, Calibration(), history, asdict(settings))
    return trained.calibrated(valid)


def new_classifier(
    head: HeadConfig,
    base: ModelBundle | KmerTokenizer,
    settings: ClassifierSettings | StretchSettings,
    *,
    encoder: Mapping[str, Tensor] | None = None,
) -> tuple[SequenceClassifier, KmerTokenizer, TrainingConfig]:
    """Return an untrained classifier on a language model's encoder, its tokenizer and how the loop is to train it.

    Parameters
    ----------
    head : HeadConfig
    base : ModelBundle or KmerTokenizer
        The language model; only a tokenizer gives random weights of the size ``settings.preset``.
    settings : ClassifierSettings or StretchSettings
    encoder : mapping of str to Tensor, optional
        Takes the place of the base's own weights.
    """
    bundle = base if isinstance(base, ModelBundle) else None
    tokenizer = base if isinstance(base, KmerTokenizer) else KmerTokenizer(base.config.tokenizer)
    sizes = bundle.config.encoder if bundle else encoder_preset(settings.preset)
    torch.manual_seed(settings.seed)
    dropouts = CLASSIFIER_DROPOUTS.scaled(settings.drop_mult)
    model = SequenceClassifier(sizes, head, tokenizer.vocab_size, dropouts)
    if bundle:
        load_encoder(model, encoder or bundle.encoder_state())
    config = TrainingConfig(
        schedule=settings.schedule,
        batch_size=settings.batch_size,
        clip=settings.clip,
        weight_decay=settings.weight_decay,
        seed=settings.seed,
    )
    return model, tokenizer, config


def class_weights(labels: np.ndarray, classes: int) -> np.ndarray:
    """Return weights (classes,) that let each class count the same in the loss; their mean over rows is 1."""
    counts = np.bincount(labels, minlength=classes)
    return np.clip(len(labels) / (classes * np.maximum(counts, 1)), 0.05, 20.0)


def remove_weights(model: nn.Module, weights: np.ndarray) -> None:
    """Bring a model that learned with class weights back to the true shares of the classes.

    A loss weighted by w makes the odds of class c too high by the factor w_c, so log w_c is taken off its
    logit (Elkan 2001, The foundations of cost-sensitive learning).
    """
    with torch.no_grad():
        bias = _last_layer(model).bias
        bias.sub_(torch.tensor(np.log(weights), dtype=bias.dtype, device=bias.device))


def load_encoder(model: SequenceClassifier, state: Mapping[str, Tensor]) -> None:
    """Put the encoder of a language model or of another classifier into ``model``."""
    encoder = {key: value for key, value in state.items() if key.startswith("encoder.")}
    model.load_state_dict(encoder, strict=False)


def _last_layer(model: nn.Module) -> nn.Linear:
    return [module for module in model.modules() if isinstance(module, nn.Linear)][-1]


@dataclass(frozen=True)
class _LabelScale:
    """Regression learns labels of mean 0 and deviation 1; the true scale goes into the last layer after it."""

    mean: np.ndarray | None = None
    deviation: np.ndarray | None = None

    @classmethod
    def of(cls, labels: np.ndarray, task: str) -> "_LabelScale":
        if task != "regression":
            return cls()
        labels = labels.astype(np.float64)
        deviation = labels.std(axis=0)
        return cls(labels.mean(axis=0), np.where(deviation > 0, deviation, 1.0))

    def shrunk(self, samples: Samples) -> Samples:
        if self.mean is None:
            return samples
        labels = (samples.labels - self.mean) / self.deviation
        return Samples(samples.sequences, labels.astype(np.float32))

    def fold_into(self, model: nn.Module) -> None:
        if self.mean is None:
            return
        layer = _last_layer(model)
        scale, offset = torch.tensor(self.deviation), torch.tensor(self.mean)
        with torch.no_grad():
            layer.weight.mul_(scale[:, None].to(layer.weight))
            layer.bias.mul_(scale.to(layer.bias)).add_(offset.to(layer.bias))
