"""The settings of everything that genolm builds: frozen dataclasses, free of torch.

A run is its configurations written as one JSON; :func:`to_json` and :func:`from_json` go both ways.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, TypeVar, get_args

from genolm.errors import SettingsError

TaskKind = Literal["binary", "multiclass", "multilabel", "regression"]
TASK_KINDS: tuple[str, ...] = get_args(TaskKind)

ConfigT = TypeVar("ConfigT")


def to_json(config: Any) -> dict[str, Any]:
    """Return a configuration as plain JSON data."""
    return asdict(config)


def from_json(kind: type[ConfigT], data: Mapping[str, Any]) -> ConfigT:
    """Build a configuration from JSON data; an unknown key is a :class:`SettingsError`."""
    known = {item.name for item in fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(set(data) - known)
    if unknown:
        raise SettingsError(
            f"{kind.__name__} has no setting {', '.join(unknown)}; it knows {', '.join(sorted(known))}."
        )
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in data.items()}
    return kind(**values)


@dataclass(frozen=True)
class TokenizerConfig:
    """k-mers of length ``k`` taken every ``stride`` bases."""

    k: int = 3
    stride: int = 3

    def __post_init__(self) -> None:
        if not 1 <= self.k <= 8:
            raise SettingsError(f"k is {self.k}; a k-mer has 1 to 8 bases.")
        if not 1 <= self.stride <= self.k:
            raise SettingsError(f"stride is {self.stride}; with k = {self.k} it must be 1 to {self.k}.")


@dataclass(frozen=True)
class Dropouts:
    """The five dropouts of AWD-LSTM (Merity et al. 2017, arXiv:1708.02182), as probabilities.

    ``output`` acts before the decoder or the classifier head, ``hidden`` between the LSTMs,
    ``input`` after the embedding, ``embedding`` on whole vocabulary rows, ``weight`` on the
    hidden-to-hidden matrices.
    """

    output: float = 0.25
    hidden: float = 0.10
    input: float = 0.20
    embedding: float = 0.02
    weight: float = 0.15

    def scaled(self, multiplier: float) -> "Dropouts":
        """Return these probabilities times ``multiplier`` (``drop_mult`` in ULMFiT)."""
        return Dropouts(**{key: value * multiplier for key, value in asdict(self).items()})


LANGUAGE_MODEL_DROPOUTS = Dropouts()
CLASSIFIER_DROPOUTS = Dropouts(output=0.40, hidden=0.20, input=0.60, embedding=0.10, weight=0.50)


@dataclass(frozen=True)
class EncoderConfig:
    """An AWD-LSTM encoder: embedding ``emb``, LSTMs emb->hid, hid->hid ..., hid->emb."""

    emb: int = 256
    hid: int = 512
    layers: int = 3

    def widths(self) -> list[tuple[int, int]]:
        """Return (input size, output size) of each LSTM."""
        sizes = [self.emb, *[self.hid] * (self.layers - 1), self.emb]
        return list(zip(sizes[:-1], sizes[1:], strict=True))


PRESETS: dict[str, EncoderConfig] = {
    "tiny": EncoderConfig(emb=32, hid=48),
    "small": EncoderConfig(emb=256, hid=512),
    "base": EncoderConfig(emb=320, hid=768),
    "ulmfit": EncoderConfig(emb=400, hid=1150),
}


def encoder_preset(name: str) -> EncoderConfig:
    """Return the encoder sizes called ``name`` (see :data:`PRESETS`)."""
    if name not in PRESETS:
        raise SettingsError(f"There is no preset '{name}'; choose one of {', '.join(PRESETS)}.")
    return PRESETS[name]


@dataclass(frozen=True)
class HeadConfig:
    """What a classifier answers.

    Attributes
    ----------
    task : {"binary", "multiclass", "multilabel", "regression"}
        ``binary`` has two classes, the second of which is the positive one, and two outputs.
    classes : tuple of str
        Class names in output order; for regression the names of the predicted quantities.
    hidden : int
        Width of the middle layer, 50 as in ULMFiT.
    slots : int
        Beside last, maximum and mean over the whole sequence the head also sees the mean over each of this
        many equal parts of it. 0 is ULMFiT; windows that are aligned to a site gain from knowing where a
        motif stands.
    """

    task: TaskKind = "binary"
    classes: tuple[str, ...] = ("negative", "positive")
    hidden: int = 50
    slots: int = 0

    def __post_init__(self) -> None:
        if self.slots < 0:
            raise SettingsError(f"slots is {self.slots}; it must be 0 or more.")
        if self.task not in TASK_KINDS:
            raise SettingsError(f"task is '{self.task}'; it must be one of {', '.join(TASK_KINDS)}.")
        if len(set(self.classes)) != len(self.classes) or not self.classes:
            raise SettingsError(f"classes are {self.classes}; names must be there and must differ.")
        if self.task == "binary" and len(self.classes) != 2:
            raise SettingsError(f"A binary task has two classes, not {len(self.classes)}.")


@dataclass(frozen=True)
class EitherStrand:
    """How a binary model answers of a sequence of unknown strand, which it reads on both.

    The log odds of the positive class are ``surer`` times the higher calibrated log odds of the two readings, plus
    ``other`` times the lower ones, plus ``offset``; the answer is yes from the probability ``threshold`` on.
    """

    surer: float
    other: float
    offset: float
    threshold: float

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, (self.surer, self.other, self.offset))) or min(self.surer, self.other) < 0:
            raise SettingsError(f"{self} is no way to count both strands; the two shares are 0 or more.")


@dataclass(frozen=True)
class Calibration:
    """How raw outputs become probabilities: logits are divided by ``temperature``.

    ``threshold`` is the calibrated probability of the positive class from which a binary model says yes of a
    sequence, ``scan_threshold`` that from which a window of a scan is a hit, where it is another: a scan meets
    many more windows without a site. ``either`` is for sequences of unknown strand, where that was fitted.
    """

    temperature: float = 1.0
    threshold: float = 0.5
    scan_threshold: float | None = None
    either: EitherStrand | None = None

    @property
    def for_scans(self) -> float:
        """Threshold of a scan."""
        return self.threshold if self.scan_threshold is None else self.scan_threshold

    def threshold_on(self, strand: str) -> float:
        """Return the threshold of a sequence that is read on a strand, ``+``, ``-`` or ``either``."""
        return self.either.threshold if strand == "either" and self.either else self.threshold


def read_calibration(data: Mapping[str, Any]) -> Calibration:
    """Build a calibration from JSON data, as :func:`from_json` does."""
    either = data.get("either")
    return from_json(Calibration, {**data, "either": either if either is None else from_json(EitherStrand, either)})


@dataclass(frozen=True)
class Window:
    """The piece of DNA that a model was trained on.

    ``length`` in bp; ``anchor`` is the 0-based index in the window of the site that it was centred on
    (TSS, start codon), or None when there is none; ``anchor_name`` is what that site is called.
    """

    length: int
    anchor: int | None = None
    anchor_name: str = ""


@dataclass(frozen=True)
class Schedule:
    """One call of one-cycle training: ``epochs`` at peak rate ``lr``.

    ``unfreeze`` counts the layer groups that learn, from the head down; 0 means all.
    """

    epochs: float
    lr: float
    unfreeze: int = 0


@dataclass(frozen=True)
class TrainingConfig:
    """Settings of the training loop; defaults follow Genomic-ULMFiT, with clipping added."""

    schedule: tuple[Schedule, ...] = field(default_factory=tuple)
    batch_size: int = 128
    bptt: int = 70
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.99)
    clip: float = 0.4
    alpha: float = 2.0
    beta: float = 1.0
    lr_factor: float = 2.6
    warmup: float = 0.3
    drop_mult: float = 1.0
    seed: int = 1
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    threads: int | None = None


TRIM_SHARE = 0.15
"""Most of a sequence that a training which trims leaves out at either end."""


@dataclass(frozen=True)
class ClassifierSettings:
    """How one classifier is trained.

    Attributes
    ----------
    schedule : tuple of Schedule
        Empty means gradual unfreezing from a language model, and all layers at once from scratch.
    mirrored : bool
        A random half of the training sequences is read on the other strand, and answers are the mean of both.
    shifted : bool
        In each pass a training sequence is read from one of its first ``stride`` bases on, drawn anew.
    trimmed : bool
        In each pass a training sequence is read without some bases at either end, see
        :class:`genolm.batches.LabelledWindows`.
    framed : bool
        Answers are the mean of readings from each of the first ``stride`` bases, see :mod:`genolm.readings`.
    balanced : bool
        Rare classes weigh as much as common ones in the loss; the answers are brought back to the true shares
        afterwards.
    watched : bool
        Stop with an explanation when nothing is learned.
    preset : str
        Sizes, without a language model.
    """

    schedule: tuple[Schedule, ...] = ()
    batch_size: int = 64
    drop_mult: float = 0.4
    weight_decay: float = 0.01
    clip: float = 1.0
    mirrored: bool = False
    shifted: bool = False
    trimmed: bool = False
    framed: bool = False
    balanced: bool = False
    watched: bool = False
    preset: str = "small"
    seed: int = 1


@dataclass(frozen=True)
class StretchSettings:
    """How a scanning classifier is trained, see :mod:`genolm.stretch_training`.

    Attributes
    ----------
    schedule : tuple of Schedule
    stretch : int
        Bases of a stretch; what it has beyond the window is the longest left context that is learned.
    step : int
        Bases from one window of a stretch to the next.
    around : int
        Stretches drawn around each site in an epoch, at random offsets.
    elsewhere : int
        Stretches drawn evenly from all strands in an epoch.
    negative_weight : float
        Weight of a window of class 0 in the loss; positives weigh 1.
    preset : str
        Sizes, without a language model.
    """

    schedule: tuple[Schedule, ...] = (Schedule(1, 5e-3, unfreeze=1), Schedule(4, 2e-3))
    stretch: int = 320
    step: int = 4
    around: int = 2
    elsewhere: int = 3000
    negative_weight: float = 0.05
    batch_size: int = 64
    drop_mult: float = 0.4
    weight_decay: float = 0.01
    clip: float = 1.0
    preset: str = "small"
    seed: int = 1


EFFORTS = ("fast", "best")
SPLIT_METHODS = ("given", "cluster", "group", "random")


@dataclass(frozen=True)
class FinetuneSettings:
    """What a user may say about a training on a table; None and "" leave the choice to the plan.

    Attributes
    ----------
    task : str
        One of the task kinds; "" finds it by the labels.
    positive : str
        The positive class of a binary task.
    columns : tuple of (str, str)
        Our column and the file's name for it.
    skip_bad_rows : bool
        Go on without rows that cannot be used; they are listed in the report.
    split : str
        One of given, cluster, group, random; "" takes the table's own split, else similarity clusters.
    fractions : (float, float, float)
        Shares of train, valid and test.
    effort : {"fast", "best"}
    adapt : bool, optional
        Fine-tune the language model on the table's sequences first.
    seeds : int, optional
        Models that are trained and averaged.
    balance : bool, optional
    mirrored : bool
        The task has no strand.
    shifted : bool
        The sequences begin anywhere, see :class:`ClassifierSettings`.
    trimmed : bool
        The sequences are of uneven lengths, see :class:`ClassifierSettings`.
    framed : bool, optional
        See :class:`ClassifierSettings`; where sequences are shifted or trimmed unless it is said.
    slots : int, optional
        Equal parts of a sequence that the head sees one by one, see :class:`HeadConfig`; 0 where what is looked for
        may stand anywhere.
    lr, drop_mult, batch_size, epochs
        Of the whole network's phase.
    search_minutes : float
        Time to try learning rates and dropouts in; 0 tries none.
    reduction : bool
        Also measure how good models from fewer sequences are.
    watched : bool
        See :class:`ClassifierSettings`.
    preset : str
        Sizes of a model from scratch.
    seed : int
    """

    task: str = ""
    positive: str = ""
    columns: tuple[tuple[str, str], ...] = ()
    skip_bad_rows: bool = False
    split: str = ""
    fractions: tuple[float, float, float] = (0.8, 0.1, 0.1)
    effort: str = "fast"
    adapt: bool | None = None
    seeds: int | None = None
    balance: bool | None = None
    mirrored: bool = False
    shifted: bool = False
    trimmed: bool = False
    framed: bool | None = None
    slots: int | None = None
    lr: float | None = None
    drop_mult: float | None = None
    batch_size: int | None = None
    epochs: int | None = None
    search_minutes: float = 0.0
    reduction: bool = False
    watched: bool = True
    preset: str = "small"
    seed: int = 1

    def __post_init__(self) -> None:
        for name, known in (("task", TASK_KINDS), ("split", SPLIT_METHODS), ("effort", EFFORTS)):
            value = getattr(self, name)
            if value not in known and not (value == "" and name != "effort"):
                raise SettingsError(f"{name} is '{value}'; it must be one of {', '.join(known)}.")
        for name, least in (("seeds", 1), ("slots", 0), ("batch_size", 2), ("epochs", 1), ("search_minutes", 0)):
            value = getattr(self, name)
            if value is not None and not least <= value < math.inf:
                raise SettingsError(f"{name} is {value}; it must be {least} or more.")
        if self.lr is not None and not 0 < self.lr < 1:
            raise SettingsError(f"lr is {self.lr}; a learning rate lies between 0 and 1, such as 0.002.")
        if self.drop_mult is not None and not 0 <= self.drop_mult <= 1.6:
            raise SettingsError(f"drop_mult is {self.drop_mult}; it must be from 0 to 1.6.")
