"""What a labelled table holds, in figures: sizes, composition, copies, letters, parts."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from genolm.labels import LabelCode
from genolm.shortcuts import lengths_and_gc
from genolm.splits import SPLIT_NAMES, LeakageReport
from genolm.short_similarity import SHORTEST_COMPARED
from genolm.table_split import TableSplit, canonical_forms, numbered
from genolm.tables import LabelledTable

ALL_ROWS, OTHERS = "all rows", "all other classes"
QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)
HISTOGRAM_CLASSES, BINS = 8, 30
_EXAMPLES = 5
_LONG_TAIL = 20
_LEAST_REPEATS = 20


@dataclass(frozen=True)
class ClassFacts:
    """One class (or label; of a regression all rows): its rows, and quantiles 0, 25, 50, 75, 100 %.

    ``length`` is in bp, ``gc`` a share of A, C, G, T. ``first`` is the number of its first row in the file, 0 where
    that was not kept.
    """

    name: str
    rows: int
    train: int
    valid: int
    test: int
    length: tuple[float, ...]
    gc: tuple[float, ...]
    first: int = 0


@dataclass(frozen=True)
class Histogram:
    """Counts of rows per class in bins; ``log`` when the bins grow by a factor."""

    edges: tuple[float, ...]
    counts: dict[str, tuple[int, ...]]
    log: bool = False


@dataclass(frozen=True)
class Replicates:
    """Sequences of a regression that were measured more than once.

    Attributes
    ----------
    sequences : int
        How many such sequences there are.
    apart, whole : float
        Standard deviation of the values of one sequence, pooled over sequences, and of all values.
    reachable : float or None
        Pearson correlation with measured values that a model reaches which knows each sequence's true value, if
        all values are as uncertain as the repeated ones; None where these are too few to tell.
    """

    sequences: int
    apart: float
    whole: float
    reachable: float | None


@dataclass(frozen=True)
class CopyFacts:
    """Equal and similar sequences.

    Attributes
    ----------
    repeated : int
        Rows whose sequence, on either strand, stands in an earlier row.
    conflicting : int
        Rows whose sequence also stands, on the same strand, in a row with another label; of a regression none.
    examples : tuple of tuple of int
        Row numbers of some such sets.
    clusters, largest : int
        Similarity clusters, and the rows of the largest.
    similar : int
        Rows in a cluster with others.
    mixed : int
        Rows in a cluster that holds more than one class, equal sequences included.
    too_short : int
        Sequences too short to be compared but for being equal.
    crossed : int
        Rows, no conflicting ones, whose sequence stands on the other strand in a row with another label.
    crossed_examples : tuple of tuple of int
        Row numbers of some such sets.
    replicates : Replicates or None
        None unless a sequence of a regression has different values.
    """

    repeated: int
    conflicting: int
    examples: tuple[tuple[int, ...], ...]
    clusters: int
    largest: int
    similar: int
    mixed: int
    too_short: int
    crossed: int = 0
    crossed_examples: tuple[tuple[int, ...], ...] = ()
    replicates: Replicates | None = None


@dataclass(frozen=True)
class LetterFacts:
    """Letters other than A, C, G and T: how often each, in how many rows, what share of all bases."""

    counts: dict[str, int]
    rows: int
    share: float


@dataclass(frozen=True)
class SplitFacts:
    """The division into parts: rows of each, and test rows with a near-duplicate in training.

    ``random_leaked`` and ``random_share`` are the same for a random division; None where there is no test part.
    ``notes`` and ``doubts`` are those of the :class:`genolm.table_split.TableSplit`.
    """

    method: str
    counts: dict[str, int]
    leaked: int | None
    leaked_share: float | None
    random_leaked: int | None
    random_share: float | None
    notes: tuple[str, ...]
    doubts: tuple[str, ...] = ()


def class_masks(code: LabelCode) -> dict[str, np.ndarray]:
    """Return which rows are of which class, bool (n,); of a regression all rows."""
    head, values = code.head, code.values
    if head.task == "regression":
        return {ALL_ROWS: np.ones(len(values), dtype=bool)}
    if head.task == "multilabel":
        return {name: values[:, place] > 0.5 for place, name in enumerate(head.classes)}
    return {name: values == place for place, name in enumerate(head.classes)}


def class_facts(table: LabelledTable, code: LabelCode, parts: np.ndarray) -> tuple[ClassFacts, ...]:
    """Return the figures of each class, in the order of the classes."""
    lengths, gc = lengths_and_gc(table.sequences)
    places = {name: np.flatnonzero(mask) for name, mask in class_masks(code).items()}
    return tuple(
        ClassFacts(
            name,
            len(rows),
            *(int((parts[rows] == part).sum()) for part in SPLIT_NAMES),
            length=_quantiles(lengths[rows]),
            gc=_quantiles(gc[rows]),
            first=int(table.frame.index[rows[0]]) if len(rows) else 0,
        )
        for name, rows in places.items()
    )


def class_histograms(table: LabelledTable, code: LabelCode) -> tuple[Histogram, Histogram, Histogram | None]:
    """Return the histograms of length, of GC content and, for a regression, of the values."""
    lengths, gc = lengths_and_gc(table.sequences)
    masks = class_masks(code)
    if len(masks) > HISTOGRAM_CLASSES:
        order = sorted(masks, key=lambda name: -int(masks[name].sum()))
        rest = np.any([masks[name] for name in order[HISTOGRAM_CLASSES - 1 :]], axis=0)
        masks = {**{name: masks[name] for name in order[: HISTOGRAM_CLASSES - 1]}, OTHERS: rest}
    log = lengths.max() > _LONG_TAIL * np.median(lengths)
    span = lengths.min() - 0.5, lengths.max() + 0.5
    edges = np.geomspace(*span, BINS + 1) if log else _whole_bins(*span)
    by_length = Histogram(_plain(edges), _counts(lengths, edges, masks), bool(log))
    gc_edges = np.linspace(0.0, 1.0, 2 * BINS + 1)
    by_gc = Histogram(_plain(gc_edges), _counts(gc, gc_edges, masks))
    if code.head.task != "regression":
        return by_length, by_gc, None
    values = code.values.ravel().astype(np.float64)
    value_edges = np.histogram_bin_edges(values, BINS)
    return by_length, by_gc, Histogram(_plain(value_edges), _counts(values, value_edges, masks))


def copy_facts(table: LabelledTable, code: LabelCode, clusters: np.ndarray) -> CopyFacts:
    """Return how many rows repeat or resemble another one, and across which labels."""
    labels = np.unique(code.values, axis=0, return_inverse=True)[1].ravel()
    strands = numbered([sequence.upper() for sequence in table.sequences])
    forms = numbered(canonical_forms(table.sequences))
    conflicting = _mixed(strands, labels)
    crossed = _mixed(forms, labels) & ~conflicting
    replicates = None
    if code.head.task == "regression":
        replicates = _replicates(code.values.ravel(), strands) if conflicting.any() else None
        conflicting = crossed = np.zeros(len(forms), dtype=bool)
    numbers = np.asarray(table.frame.index)
    sizes = np.bincount(clusters)
    in_classes = code.head.task in ("binary", "multiclass")
    return CopyFacts(
        repeated=len(forms) - len(np.unique(forms)),
        conflicting=int(conflicting.sum()),
        examples=_examples(strands, conflicting, numbers),
        clusters=len(sizes),
        largest=int(sizes.max()),
        similar=int((sizes[clusters] > 1).sum()),
        mixed=int(_mixed(clusters, labels).sum()) if in_classes else 0,
        too_short=sum(len(sequence) < SHORTEST_COMPARED for sequence in table.sequences),
        crossed=int(crossed.sum()),
        crossed_examples=_examples(forms, crossed, numbers),
        replicates=replicates,
    )


def letter_facts(sequences: Sequence[str]) -> LetterFacts:
    """Return what letters other than A, C, G and T there are."""
    counts: Counter[str] = Counter()
    rows = bases = 0
    for sequence in sequences:
        bases += len(sequence)
        others = sequence.encode("ascii").translate(None, b"ACGTUacgtu")
        rows += bool(others)
        counts.update(others.decode("ascii").upper())
    return LetterFacts(dict(sorted(counts.items())), rows, sum(counts.values()) / max(1, bases))


def split_facts(split: TableSplit, random: LeakageReport | None) -> SplitFacts:
    """Return a division in figures beside what a random one lets through."""
    leak = split.leakage
    return SplitFacts(
        split.method,
        split.counts(),
        leak.leaked if leak else None,
        leak.share if leak else None,
        random.leaked if random and random.test else None,
        random.share if random and random.test else None,
        split.notes,
        split.doubts,
    )


def _quantiles(values: np.ndarray) -> tuple[float, ...]:
    known = values[np.isfinite(values)]
    return tuple(np.quantile(known, QUANTILES).tolist()) if len(known) else ()


def _whole_bins(low: float, high: float) -> np.ndarray:
    """Return edges between whole numbers, at most :data:`BINS` bins of equal width."""
    width = int(np.ceil((high - low) / BINS))
    return low + width * np.arange(int(np.ceil((high - low) / width)) + 1)


def _counts(
    values: np.ndarray, edges: np.ndarray, masks: dict[str, np.ndarray]
) -> dict[str, tuple[int, ...]]:
    return {
        name: tuple(np.histogram(values[mask & np.isfinite(values)], edges)[0].tolist())
        for name, mask in masks.items()
    }


def _mixed(sets: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return which rows are in a set that holds more than one label."""
    pairs = np.unique(np.stack([sets, labels], axis=1), axis=0)
    return np.bincount(pairs[:, 0], minlength=int(sets.max()) + 1)[sets] > 1


def _examples(sets: np.ndarray, marked: np.ndarray, numbers: np.ndarray) -> tuple[tuple[int, ...], ...]:
    """Return the row numbers of some sets that have marked rows."""
    return tuple(tuple(numbers[sets == item].tolist()) for item in np.unique(sets[marked])[:_EXAMPLES])


def _replicates(values: np.ndarray, sets: np.ndarray) -> Replicates:
    values, rows = values.astype(np.float64), np.bincount(sets)
    means = np.bincount(sets, weights=values) / rows
    repeats = len(values) - len(rows)
    apart = ((values - means[sets]) ** 2).sum() / repeats
    whole = values.var(ddof=1)
    reachable = float(np.sqrt(max(0.0, 1 - apart / whole))) if repeats >= _LEAST_REPEATS else None
    return Replicates(int((rows > 1).sum()), float(np.sqrt(apart)), float(np.sqrt(whole)), reachable)


def _plain(edges: np.ndarray) -> tuple[float, ...]:
    return tuple(float(edge) for edge in edges)
