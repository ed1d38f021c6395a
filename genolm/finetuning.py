"""From a labelled table and a language model to a classifier bundle: the last stages of ULMFiT."""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import genolm.compute  # noqa: F401  sets the OpenMP wait policy before torch is loaded
import torch
from torch import Tensor, nn
from torch.nn import functional

from genolm.batches import LabelledWindows, WindowBatch
from genolm import calibration as calibrate
from genolm.classifier import SequenceClassifier
from genolm.config import (
    CLASSIFIER_DROPOUTS,
    Calibration,
    HeadConfig,
    Schedule,
    TrainingConfig,
    Window,
    encoder_preset,
)
from genolm.errors import SettingsError, TableError
from genolm.labels import LabelCode, code_labels
from genolm.metrics import as_json, score
from genolm.progress import ProgressCallback
from genolm.registry import BundleConfig, ModelBundle, check_name, check_new_name, load_bundle, save_bundle
from genolm.splits import similarity_clusters, split_by_cluster
from genolm.tables import LabelledTable, read_table
from genolm.tokenizer import KmerTokenizer
from genolm.training import Batches, History, Memory, Trainer, remove_checkpoint
from genolm.workspace import models_dir

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
    """Sequences with their coded labels: (n,) int64 classes or (n, outputs) float32."""

    sequences: Sequence[str]
    labels: np.ndarray

    def subset(self, rows: np.ndarray) -> "Samples":
        """Return the chosen rows, given as numbers."""
        return Samples([self.sequences[row] for row in rows], self.labels[rows])


@dataclass(frozen=True)
class FinetuneSettings:
    """Settings of a classifier's training.

    ``schedule`` empty means gradual unfreezing from a language model, and all layers at once from scratch.
    ``mirrored`` reads a random half of the training sequences on the other strand.
    """

    schedule: tuple[Schedule, ...] = ()
    batch_size: int = 64
    drop_mult: float = 0.4
    weight_decay: float = 0.01
    clip: float = 1.0
    mirrored: bool = False
    preset: str = "small"
    seed: int = 1


class Classify:
    """The objective of a classifier: cross entropy, or squared error for regression."""

    def __init__(
        self, train: Samples, valid: Samples, tokenizer: KmerTokenizer, head: HeadConfig, settings: FinetuneSettings
    ) -> None:
        self._train, self._tokenizer, self._head, self._settings = train, tokenizer, head, settings
        self._valid = LabelledWindows(valid.sequences, valid.labels, tokenizer, batch_size=VALID_BATCH)

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
        )

    def loss(self, model: nn.Module, batch: WindowBatch, memory: Memory) -> tuple[Tensor, Memory]:
        """Return the mean loss of a batch; nothing is carried from batch to batch."""
        device = next(model.parameters()).device
        logits = model(batch.tokens.to(device), batch.lengths.to(device))
        return task_loss(logits, batch.labels.to(device), self._head), memory

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Return loss, and for classes accuracy, on the validation sequences."""
        if len(self.batches(0)) < SETTLE_BELOW:
            settle_batchnorm(model, self.batches(0))
        logits, labels = run_batches(model, self._valid)
        figures = {"loss": float(task_loss(logits, labels, self._head))}
        if self._head.task in ("binary", "multiclass"):
            figures["accuracy"] = float((logits.argmax(1) == labels).float().mean())
        return figures


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


def task_loss(logits: Tensor, labels: Tensor, head: HeadConfig) -> Tensor:
    """Return the mean loss of logits (batch, outputs) for a task."""
    if head.task == "multilabel":
        return functional.binary_cross_entropy_with_logits(logits, labels)
    if head.task == "regression":
        return functional.mse_loss(logits, labels)
    return functional.cross_entropy(logits, labels)


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
    """A classifier in eval mode with its calibration and history."""

    model: SequenceClassifier
    tokenizer: KmerTokenizer
    head: HeadConfig
    calibration: Calibration
    history: History
    settings: dict[str, Any] = field(default_factory=dict)

    def logits(self, sequences: Sequence[str]) -> np.ndarray:
        """Return logits (n, outputs), float32."""
        blank = np.zeros(len(sequences), dtype=np.int64)
        batches = LabelledWindows(sequences, blank, self.tokenizer, batch_size=VALID_BATCH)
        return run_batches(self.model, batches)[0].numpy()

    def probabilities(self, sequences: Sequence[str]) -> np.ndarray:
        """Return calibrated probabilities (n, outputs); the values themselves for regression."""
        return calibrate.apply(self.logits(sequences), self.calibration, self.head.task)


def train_classifier(
    train: Samples,
    valid: Samples,
    head: HeadConfig,
    base: ModelBundle | KmerTokenizer,
    settings: FinetuneSettings,
    *,
    checkpoint: Path | None = None,
    progress: ProgressCallback | None = None,
) -> TrainedClassifier:
    """Train a classifier from a language model, or from scratch when ``base`` is only a tokenizer.

    The weights of the best validation epoch are kept; temperature and threshold are fitted on ``valid``.
    """
    bundle = base if isinstance(base, ModelBundle) else None
    tokenizer = base if isinstance(base, KmerTokenizer) else KmerTokenizer(base.config.tokenizer)
    sizes = bundle.config.encoder if bundle else encoder_preset(settings.preset)
    torch.manual_seed(settings.seed)
    dropouts = CLASSIFIER_DROPOUTS.scaled(settings.drop_mult)
    model = SequenceClassifier(sizes, head, tokenizer.vocab_size, dropouts)
    if bundle:
        load_encoder(model, bundle)
    schedule = settings.schedule or (GRADUAL if bundle else AT_ONCE)
    config = TrainingConfig(
        schedule=schedule,
        batch_size=settings.batch_size,
        clip=settings.clip,
        weight_decay=settings.weight_decay,
        seed=settings.seed,
    )
    objective = Classify(train, valid, tokenizer, head, settings)
    history = Trainer(model, objective, config, checkpoint=checkpoint, progress=progress).fit()
    trained = TrainedClassifier(model, tokenizer, head, Calibration(), history, asdict(settings))
    return _calibrated(trained, valid)


def _calibrated(trained: TrainedClassifier, valid: Samples) -> TrainedClassifier:
    task = trained.head.task
    if task == "regression":
        return trained
    logits = trained.logits(valid.sequences)
    calibration = Calibration(temperature=calibrate.fit_temperature(logits, valid.labels, task))
    if task == "binary":
        positive = calibrate.apply(logits, calibration, task)[:, 1]
        calibration = Calibration(calibration.temperature, calibrate.pick_threshold(positive, valid.labels))
    return TrainedClassifier(
        trained.model, trained.tokenizer, trained.head, calibration, trained.history, trained.settings
    )


def load_encoder(model: SequenceClassifier, bundle: ModelBundle) -> None:
    """Put the encoder of a language model or of another classifier into ``model``."""
    state = bundle.build().state_dict()
    encoder = {key: value for key, value in state.items() if key.startswith("encoder.")}
    model.load_state_dict(encoder, strict=False)


def split_table(table: LabelledTable, labels: np.ndarray, seed: int) -> np.ndarray:
    """Return 'train', 'valid' or 'test' for each row: the table's own split, else one by similarity cluster."""
    frame = table.frame
    if "split" in frame and frame["split"].notna().all():
        found = frame["split"].to_numpy(dtype=object)
    else:
        clusters = similarity_clusters(list(frame["sequence"]))
        found = split_by_cluster(labels, clusters, seed=seed)
    present = set(found)
    if "train" not in present or "valid" not in present:
        raise TableError(f"{table.source}: the split has {', '.join(sorted(present))}; it needs train and valid.")
    return found


def finetune(
    table_path: str | Path,
    base: str,
    name: str,
    *,
    settings: FinetuneSettings | None = None,
    out_dir: str | Path | None = None,
    from_scratch: bool = False,
    progress: ProgressCallback | None = None,
) -> Path:
    """Fine-tune a classifier on a labelled table and save it as a bundle.

    Parameters
    ----------
    table_path : path
        Table with columns ``sequence,label`` and optionally ``split,group,name``.
    base : str
        Language model (or classifier) whose encoder is the start; name or path.
    name : str
        Name of the new model.
    settings : FinetuneSettings, optional
    out_dir : path, optional
        Where the bundle goes; by default among the user's own models.
    from_scratch : bool
        Take only tokenizer and sizes from ``base``, to see what pre-training is worth.
    progress : callback, optional

    Returns
    -------
    Path
        The bundle's folder.

    Raises
    ------
    TableError, BundleError, SettingsError
    """
    settings = settings or FinetuneSettings()
    check = check_name(name) if out_dir else check_new_name(name)
    table, bundle = read_table(table_path), load_bundle(base)
    code = code_labels(table.frame["label"])
    samples = Samples(list(table.frame["sequence"]), code.values)
    split = split_table(table, code.values, settings.seed)
    parts = {part: samples.subset(np.flatnonzero(split == part)) for part in ("train", "valid", "test")}
    folder = Path(out_dir) if out_dir else models_dir() / check
    if folder.exists():
        raise SettingsError(f"There is a model in {folder} already; choose another name or remove it.")
    scratch = folder.with_name(folder.name + ".training")
    start = KmerTokenizer(bundle.config.tokenizer) if from_scratch else bundle
    trained = train_classifier(
        parts["train"], parts["valid"], code.head, start, settings, checkpoint=scratch, progress=progress
    )
    card = classifier_card(name, trained, parts, [table_facts(Path(table_path), table)], base)
    save_classifier(folder, trained, card, window=common_window(samples.sequences))
    remove_checkpoint(scratch)
    return folder


def common_window(sequences: Sequence[str]) -> Window | None:
    """Return the window of a table whose sequences all have one length, else None."""
    lengths = {len(item) for item in sequences}
    return Window(lengths.pop()) if len(lengths) == 1 else None


def table_facts(path: Path, table: LabelledTable) -> dict[str, Any]:
    """Return name, sha256, records and bases of a table for a card."""
    return {
        "name": path.name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "records": len(table.frame),
        "bases": int(table.frame["sequence"].str.len().sum()),
    }


def score_classifier(trained: TrainedClassifier, samples: Samples) -> dict[str, dict[str, float]]:
    """Return each metric's value, low and high on labelled sequences."""
    probabilities, threshold = trained.probabilities(samples.sequences), trained.calibration.threshold
    scores = score(trained.head.task, probabilities, samples.labels, threshold=threshold)
    return as_json(scores)


def classifier_card(
    title: str, trained: TrainedClassifier, parts: dict[str, Samples], data: list[dict[str, Any]], base: str
) -> dict[str, Any]:
    """Return the card of a classifier, with metrics on its validation and test sequences."""
    scored = {
        part: score_classifier(trained, parts[part])
        for part in ("valid", "test")
        if part in parts and len(parts[part].sequences)
    }
    return {
        "title": title,
        "purpose": f"Tells {' from '.join(trained.head.classes)}.",
        "date": time.strftime("%Y-%m-%d"),
        "licence": "",
        "data": data,
        "recipe": "genolm finetune",
        "settings": {**trained.settings, "base": base},
        "training": {
            "seconds": round(trained.history.seconds, 1),
            "best_epoch": trained.history.best_epoch,
            "device": genolm.compute.device_name(),
            "epochs": trained.history.to_json()["epochs"],
            "counts": {part: len(samples.sequences) for part, samples in parts.items()},
        },
        "metrics": scored,
        "baselines": {},
        "limits": [] if "test" in scored else ["No test sequences: the figures are on validation alone."],
    }


def save_classifier(
    folder: Path, trained: TrainedClassifier, card: dict[str, Any], *, window: Window | None
) -> None:
    """Write a classifier as a bundle named after its folder."""
    config = BundleConfig(
        name=folder.name,
        kind="classifier",
        title=card["title"],
        purpose=card["purpose"],
        tokenizer=trained.tokenizer.config,
        encoder=trained.model.encoder.config,
        head=trained.head,
        window=window,
        calibration=trained.calibration,
    )
    save_bundle(folder, config, trained.model.state_dict(), card)
