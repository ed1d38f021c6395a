"""The report on a labelled table before training: figures, short cuts, warnings, as data and as text."""

import types
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np

from genolm.errors import TableError
from genolm.labels import LabelCode
from genolm.progress import ProgressCallback
from genolm.record import plain
from genolm.shortcuts import ShortcutScore, score_shortcuts
from genolm.splits import LeakageReport
from genolm.table_facts import (
    ClassFacts,
    CopyFacts,
    Histogram,
    LetterFacts,
    SplitFacts,
    class_facts,
    class_histograms,
    copy_facts,
    letter_facts,
    split_facts,
)
from genolm.table_split import (
    SplitSettings,
    TableSplit,
    random_split_leakage,
    related_rows,
    split_rows,
    table_clusters,
)
from genolm.table_warnings import TableWarning, table_warnings
from genolm.tables import LabelledTable, RefusedRow

REPORT_VERSION = 1


@dataclass(frozen=True)
class TableReport:
    """Everything that is known of a table before training.

    Attributes
    ----------
    name : str
        Of the file.
    task : str
    rows, bases : int
        What can be used.
    refused : tuple of RefusedRow
    left_out : bool
        Whether refused rows may be left out.
    ignored : tuple of str
        Columns that nothing uses.
    unlabelled : int
        Rows without a label, which no figure here counts.
    classes : tuple of ClassFacts
    length_histogram, gc_histogram : Histogram
    value_histogram : Histogram or None
        Of the values of a regression.
    copies : CopyFacts
    letters : LetterFacts
    split : SplitFacts
    shortcuts : tuple of ShortcutScore
        Trained on the training rows, scored on the test rows (validation rows where there are none).
    random_words : ShortcutScore or None
        The k-mer short cut under a random split, if asked for.
    warnings : tuple of TableWarning
        The gravest first.
    """

    name: str
    task: str
    rows: int
    bases: int
    refused: tuple[RefusedRow, ...]
    left_out: bool
    ignored: tuple[str, ...]
    unlabelled: int
    classes: tuple[ClassFacts, ...]
    length_histogram: Histogram
    gc_histogram: Histogram
    value_histogram: Histogram | None
    copies: CopyFacts
    letters: LetterFacts
    split: SplitFacts
    shortcuts: tuple[ShortcutScore, ...]
    random_words: ShortcutScore | None = None
    warnings: tuple[TableWarning, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain JSON data."""
        data: dict[str, Any] = plain({"report_version": REPORT_VERSION, **asdict(self)})
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "TableReport":
        """Build a report from what :meth:`to_json` gave."""
        report: TableReport = _rebuilt(cls, data)
        return report

    @property
    def can_train(self) -> bool:
        """Whether nothing forbids a training."""
        return all(item.level != "stop" for item in self.warnings)


def report_table(
    table: LabelledTable,
    code: LabelCode,
    split: TableSplit,
    *,
    shortcuts: bool = True,
    predictions: Mapping[str, np.ndarray] | None = None,
    random_split: bool = False,
    left_out: bool = True,
    progress: ProgressCallback | None = None,
) -> TableReport:
    """Look at a table before training.

    Parameters
    ----------
    table : LabelledTable
    code : LabelCode
    split : TableSplit
        Of the same rows, see :func:`genolm.table_split.split_rows`.
    shortcuts : bool
        Train and score the short cuts: some seconds.
    predictions : mapping, optional
        What the short cuts say, if they were trained before, see :func:`genolm.shortcuts.shortcut_predictions`.
    random_split : bool
        Score the k-mer short cut under a random split too, to show how much better that would look.
    left_out : bool
        Whether the rows that cannot be used may be left out; else they are a reason not to train.
    progress : callable, optional

    Returns
    -------
    TableReport
    """
    sequences = table.sequences
    clusters = table_clusters(sequences) if split.clusters is None else split.clusters
    by_length, by_gc, by_value = class_histograms(table, code)
    random = _random_leakage(table, code, clusters) if split.leakage else None
    options = {"predictions": predictions, "groups": _judged_groups(table, split.parts), "progress": progress}
    scores = score_shortcuts(sequences, code, split.parts, **options) if shortcuts else ()
    report = TableReport(
        name=table.source.name,
        task=code.head.task,
        rows=len(table),
        bases=sum(map(len, sequences)),
        refused=table.refused,
        left_out=left_out,
        ignored=table.ignored,
        unlabelled=len(table.unlabelled),
        classes=class_facts(table, code, split.parts),
        length_histogram=by_length,
        gc_histogram=by_gc,
        value_histogram=by_value,
        copies=copy_facts(table, code, clusters),
        letters=letter_facts(sequences),
        split=split_facts(split, random),
        shortcuts=scores,
        random_words=_random_words(table, code, clusters) if random_split else None,
    )
    return replace(report, warnings=table_warnings(report))


def _judged_groups(table: LabelledTable, parts: np.ndarray) -> np.ndarray:
    """Return the group of each row among those that short cuts are scored on; -1 of others."""
    judged = np.flatnonzero(parts == ("test" if (parts == "test").any() else "valid"))
    groups = np.full(len(table), -1, dtype=np.int64)
    sequences = table.sequences
    named = table.frame["group"].iloc[judged].tolist() if "group" in table.frame else None
    groups[judged] = related_rows([sequences[row] for row in judged], named)
    return groups


def _random_leakage(table: LabelledTable, code: LabelCode, clusters: np.ndarray) -> LeakageReport | None:
    try:
        return random_split_leakage(table, code, clusters=clusters)
    except TableError:
        return None


def _random_words(table: LabelledTable, code: LabelCode, clusters: np.ndarray) -> ShortcutScore | None:
    try:
        other = split_rows(table, code, SplitSettings("random"), clusters=clusters)
    except TableError:
        return None
    groups = _judged_groups(table, other.parts)
    return score_shortcuts(table.sequences, code, other.parts, keys=("kmers",), groups=groups)[0]


def _rebuilt(kind: Any, value: Any) -> Any:
    """Return JSON data as the type that a hint names."""
    arguments = get_args(kind)
    if get_origin(kind) is types.UnionType:
        inner = next(item for item in arguments if item is not type(None))
        return None if value is None else _rebuilt(inner, value)
    if get_origin(kind) is tuple:
        return tuple(_rebuilt(arguments[0], item) for item in value)
    if get_origin(kind) is dict:
        return {key: _rebuilt(arguments[1], item) for key, item in value.items()}
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        given = {item.name: value[item.name] for item in fields(kind) if item.name in value}
        return kind(**{name: _rebuilt(hints[name], item) for name, item in given.items()})  # type: ignore[operator]
    return float(value) if kind is float else value
