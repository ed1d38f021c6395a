"""What a training on a table will do, chosen by the size of the data and said in plain words. Free of torch."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from genolm.bootstrap import taken
from genolm.common_site import site_strength
from genolm.config import TRIM_SHARE, ClassifierSettings, FinetuneSettings, Schedule
from genolm.errors import SettingsError, TrainingError

FEW_LABELS = 500
MANY_LABELS = 20_000
RARE_SHARE = 0.25
SLOTS = 20
ALIGNED_ROWS = 500
"""Training rows of a class, in the mean, from which slots do no harm in any case: 4,978 pieces of two classes without
a common site were learned alike with and without them (validation loss .583 and .582). 640 sequences of two classes
without one were learned worse with them, and so were 7,420 shotgun reads of 100 genera: after one pass of the head and
two of all layers .18 of 1,500 validation reads were told right, without slots .28. ``benchmarks/sites.py`` makes such
trials."""
COMMON_SITE = 6.0
"""Strength of a common site from which slots help with fewer rows. On validation rows they took the loss of 933
windows around a TSS (strength 27) from 0.28 to 0.23, that of 50 windows around a start codon (7) from 0.25 to 0.17.
Between 1 and 4 they did as much harm as good (100 to 300 windows around a TSS, nine draws), at 4.4 good in the one draw
that there was. Without a site it was -2.3 to 2.7, with 20 to 900 rows (``benchmarks/sites.py``)."""
LEAST_TRAINING_ROWS = 12
ADAPT_LEAST_BASES = 50_000
ADAPT_PASSES = 4
ADAPT_MAX_BASES = 30_000_000
LEAST_STEPS = 8


@dataclass(frozen=True)
class TaskSize:
    """What a plan goes by.

    Attributes
    ----------
    task : str
    counts : tuple of int
        Training rows of each class; empty for regression.
    train, valid, test : int
        Rows of each part.
    lengths : (int, int, int)
        Shortest, median and longest training sequence in bp.
    bases : int
        Bases that the language model may be fine-tuned on.
    site : float
        See :func:`genolm.common_site.site_strength`; 0 where it decides nothing.
    """

    task: str
    counts: tuple[int, ...]
    train: int
    valid: int
    test: int
    lengths: tuple[int, int, int]
    bases: int
    site: float = 0.0


@dataclass(frozen=True)
class TrainingPlan:
    """What will be done.

    Attributes
    ----------
    classifier : ClassifierSettings
    adapt_passes : int
        Passes over the table's sequences that fine-tune the language model; 0 leaves it as it is.
    seeds : int
        Models to train and average.
    slots : int
        See :class:`genolm.config.HeadConfig`.
    reasons : tuple of str
        Why, one sentence each.
    """

    classifier: ClassifierSettings
    adapt_passes: int
    seeds: int
    slots: int
    reasons: tuple[str, ...]


def task_size(
    task: str,
    labels: np.ndarray,
    sequences: Sequence[str],
    parts: np.ndarray,
    *,
    clusters: np.ndarray | None = None,
    extra_bases: int = 0,
) -> TaskSize:
    """Return the size of a task.

    Parameters
    ----------
    task : str
    labels : array
        Coded labels of all rows, see :class:`genolm.labels.LabelCode`.
    sequences : sequence of str
    parts : array of str
        "train", "valid" or "test" for each row.
    clusters : int array, optional
        Similarity cluster of each row; without them each stands alone.
    extra_bases : int
        Bases of rows without a label, which a language model can learn from.
    """
    train = parts == "train"
    lengths = np.array([len(item) for item in sequences])[train]
    counts: tuple[int, ...] = ()
    if task == "multilabel":
        counts = tuple(int(value) for value in labels[train].sum(axis=0))
    elif task != "regression":
        counts = tuple(np.bincount(labels[train], minlength=int(labels.max()) + 1).tolist())
    if len(lengths) == 0:
        raise TrainingError("No row is left to train on; give more rows or another split.")
    spread = (int(lengths.min()), int(np.median(lengths)), int(lengths.max()))
    sizes = [int((parts == part).sum()) for part in ("train", "valid", "test")]
    found = TaskSize(task, counts, *sizes, spread, int(lengths.sum()) + extra_bases)
    if not _has_slots(found) or _are_many(found):
        return found
    classes = labels[train] if task in ("binary", "multiclass") else np.zeros(found.train, dtype=np.int64)
    own = [item for item, learns in zip(sequences, train, strict=True) if learns]
    return replace(found, site=site_strength(own, classes, taken(clusters, train)))


def _are_many(size: TaskSize) -> bool:
    """Return whether there are rows enough for slots without a common site."""
    classes = len(size.counts) if size.task in ("multiclass", "multilabel") else 2
    return size.train >= ALIGNED_ROWS * classes


def _has_slots(size: TaskSize) -> bool:
    """Return whether all sequences are of one length, which is worth dividing."""
    return size.lengths[0] == size.lengths[2] >= 3 * SLOTS


def plan_training(
    size: TaskSize, settings: FinetuneSettings, *, from_scratch: bool = False, can_adapt: bool = True
) -> TrainingPlan:
    """Choose what the settings leave open.

    Parameters
    ----------
    size : TaskSize
    settings : FinetuneSettings
    from_scratch : bool
        No language model is used.
    can_adapt : bool
        The base is a language model, which can be fine-tuned on sequences; a classifier cannot.

    Raises
    ------
    TrainingError
        When there are too few rows to learn from.
    """
    if size.train < LEAST_TRAINING_ROWS:
        raise TrainingError(
            f"Only {size.train} rows are left to train on; at least {LEAST_TRAINING_ROWS} are needed, "
            "and some hundred per class make a useful model."
        )
    reasons: list[str] = []
    schedule, batch = _schedule(size, settings, from_scratch, reasons)
    drop = settings.drop_mult
    if drop is None:
        drop = 0.2 if from_scratch else 0.5 if size.train < FEW_LABELS else 0.4
    balanced = _balanced(size, settings, reasons)
    passes = _adapt_passes(size, settings, can_adapt and not from_scratch, reasons)
    seeds = _seeds(size, settings, reasons)
    slots = _slots(size, settings, reasons)
    if settings.mirrored:
        reasons.append("Both strands are learned from, and each answer is the mean of both strands.")
    if settings.shifted:
        reasons.append("Each sequence is read from a slightly different base in each pass, as it may begin anywhere.")
    if settings.trimmed:
        reasons.append(
            f"In each pass up to {100 * TRIM_SHARE:.0f} % of a sequence is left out at either end, as it may be cut "
            "short."
        )
    framed = settings.framed
    if framed is None:
        framed = settings.shifted or settings.trimmed
    if framed:
        reasons.append("Each answer is the mean of readings from each of the first bases: all frames of k-mers.")
    classifier = ClassifierSettings(
        schedule=schedule,
        batch_size=batch,
        drop_mult=drop,
        mirrored=settings.mirrored,
        shifted=settings.shifted,
        trimmed=settings.trimmed,
        framed=framed,
        balanced=balanced,
        watched=settings.watched,
        preset=settings.preset,
        seed=settings.seed,
    )
    return TrainingPlan(classifier, passes, seeds, slots, tuple(reasons))


def _schedule(
    size: TaskSize, settings: FinetuneSettings, from_scratch: bool, reasons: list[str]
) -> tuple[tuple[Schedule, ...], int]:
    few, many, best = size.train < FEW_LABELS, size.train > MANY_LABELS, settings.effort == "best"
    batch = settings.batch_size or (128 if size.train > 4_000 else 64 if not few else 16)
    most = max(2, size.train // LEAST_STEPS)
    if settings.batch_size and batch > most:
        reasons.append(
            f"{most} sequences in a step where {batch:,} were asked for, so that a pass over the {size.train:,} "
            f"training rows has at least {LEAST_STEPS} steps."
        )
    batch = min(batch, most)
    whole = 2 if many else 6 if few else 3
    whole = settings.epochs or (2 * whole if best else whole)
    rate = settings.lr or 2e-3
    if from_scratch:
        reasons.append("Every layer learns at once, since nothing was learned before.")
        return (Schedule(settings.epochs or 2 * whole, rate),), batch
    head = 5 if few else 1
    if few:
        ways = ["small batches"] * (not settings.batch_size) + ["more passes with the language model held fixed"]
        ways += ["stronger dropout"] * (settings.drop_mult is None)
        reasons.append(f"{size.train} training rows are few and soon learned by heart: {', '.join(ways)}.")
    reasons.append(
        f"The layers are set free one by one, the language model's last; {whole} passes with all of them."
    )
    gradual = (Schedule(head, 5 * rate, unfreeze=1), Schedule(1, 2.5 * rate, unfreeze=2))
    return (*gradual, Schedule(1, 1.5 * rate, unfreeze=3), Schedule(whole, rate)), batch


def _balanced(size: TaskSize, settings: FinetuneSettings, reasons: list[str]) -> bool:
    if size.task in ("regression", "multilabel") or not size.counts:
        if settings.balance:
            reasons.append("Weights for rare classes are for tasks with one class per sequence; none are used here.")
        return False
    counts = [count for count in size.counts if count]
    share = min(counts) / max(counts)
    chosen = share < RARE_SHARE if settings.balance is None else settings.balance
    if chosen:
        reasons.append(
            f"The rarest class has {min(counts):,} training rows and the commonest {max(counts):,}: "
            "rare classes weigh as much in training, and probabilities are brought back to the true shares."
        )
    return chosen


def _adapt_passes(size: TaskSize, settings: FinetuneSettings, possible: bool, reasons: list[str]) -> int:
    wanted = settings.effort == "best" if settings.adapt is None else settings.adapt
    if not wanted:
        return 0
    if not possible:
        reasons.append("The start is no language model, so none is fine-tuned on your sequences first.")
        return 0
    if size.bases < ADAPT_LEAST_BASES:
        reasons.append(
            f"Your sequences have {size.bases:,} bp, too few to fine-tune the language model on "
            f"({ADAPT_LEAST_BASES:,} are needed)."
        )
        return 0
    passes = max(1, min(ADAPT_PASSES, ADAPT_MAX_BASES // size.bases))
    reasons.append(
        f"The language model first reads your sequences, {passes} times at most; it stops, or stays as it was, "
        "when that does not help on the validation rows."
    )
    return passes


def _seeds(size: TaskSize, settings: FinetuneSettings, reasons: list[str]) -> int:
    seeds = settings.seeds or (3 if settings.effort == "best" and size.train <= MANY_LABELS else 1)
    if seeds > 1:
        reasons.append(f"{seeds} models are trained from other random beginnings, and their answers averaged.")
    return seeds


def _slots(size: TaskSize, settings: FinetuneSettings, reasons: list[str]) -> int:
    if settings.slots == 0:
        reasons.append("The model is not told where in a sequence it found what.")
        return 0
    if settings.slots:
        if settings.slots > size.lengths[0]:
            raise SettingsError(
                f"{settings.slots} parts of a sequence are to be told apart (slots), but the shortest to learn from "
                f"has {size.lengths[0]} bp; give fewer parts, or 0 for none."
            )
        reasons.append(f"The model is told in which of {settings.slots} equal parts of a sequence it found what.")
        return settings.slots
    if not _has_slots(size):
        return 0
    why = f"All sequences have {size.lengths[2]} bp"
    if not _are_many(size):
        if size.site < COMMON_SITE:
            return 0
        why += " and seem to have a site in common, at the same place in each"
    reasons.append(f"{why}, so the model is also told where in them it found what.")
    return SLOTS
