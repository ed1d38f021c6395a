"""How good a classifier is on labelled sequences."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from genolm import metrics
from genolm.bootstrap import Groups
from genolm.config import HeadConfig
from genolm.errors import TableError
from genolm.labels import SEPARATOR, as_number
from genolm.metrics import Estimate
from genolm.predict import Predictor
from genolm.progress import ProgressCallback
from genolm.tables import labelled_rows, read_table

FEW_ROWS = 100


@dataclass(frozen=True)
class Evaluation:
    """How good a model is on a table, and what was asked.

    Attributes
    ----------
    model, table : dict
        ``name`` and ``sha256`` of the model; ``name``, ``bytes`` and ``sha256`` of the file.
    split : str or None
    rows : int
        Rows scored.
    task : str
    classes : tuple of str
    threshold : float
        Probability from which a binary or multi-label answer is yes.
    seed : int
        Of the bootstrap.
    drawn : int
        Groups of related rows, over which intervals are drawn, see :func:`genolm.table_split.related_rows`; 0 where one
        has more than half of the rows, so that they are drawn over rows.
    metrics : dict of str to Estimate
    compute : dict
        ``device``, ``precision``, ``threads``.
    seconds : float
    warnings : tuple of str
        Why the figures may be too good, see :mod:`genolm.known_rows`.
    """

    model: dict[str, Any]
    table: dict[str, Any]
    split: str | None
    rows: int
    task: str
    classes: tuple[str, ...]
    threshold: float
    seed: int
    drawn: int
    metrics: dict[str, Estimate]
    compute: dict[str, Any]
    seconds: float
    warnings: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON data; a figure that is not defined is None."""
        lists = {"classes": list(self.classes), "warnings": list(self.warnings)}
        return {**vars(self), **lists, "metrics": metrics.as_json(self.metrics)}


def evaluate(
    predictor: Predictor,
    sequences: Sequence[str],
    labels: Sequence[str],
    *,
    names: Sequence[str] | None = None,
    source: str = "table",
    groups: Groups | None = None,
    n_boot: int = 1000,
    seed: int = 1,
    progress: ProgressCallback | None = None,
) -> dict[str, Estimate]:
    """Return each metric of the model's task with its 95 % interval.

    Parameters
    ----------
    predictor : Predictor
    sequences, labels : sequences of str
        See :func:`coded_labels` for what a label may be.
    names : sequence of str, optional
        What to call each sequence in a message.
    source : str
        What to call the labels' origin in a message.
    groups : Groups, optional
        Of each sequence, (n,): intervals are drawn over whole groups.
    n_boot, seed : int
        Bootstrap draws, see :mod:`genolm.metrics`.
    progress : callable, optional
        Told of finished sequences.
    """
    truth = coded_labels(labels, predictor.head, source, names=names)
    # Every labelled row is scored, also one that is hardly known bases.
    found = predictor.probabilities(predictor.logits(sequences, names=names, progress=progress))
    threshold = predictor.config.calibration.threshold
    options = {"n_boot": n_boot, "seed": seed, "groups": groups}
    return metrics.score(predictor.task, found, truth, threshold=threshold, **options)


def coded_labels(
    labels: Sequence[str], head: HeadConfig, source: str = "table", *, names: Sequence[str] | None = None
) -> np.ndarray:
    """Return a table's labels as numbers in the order of a model's outputs; a message calls them by their ``names``.

    Class names for binary and multi-class models (0 and 1 also stand for a binary model's two classes),
    names joined by ";" for multi-label ones, numbers for regression. 0 and 1 mean the first and the second class only
    where neither is itself the name of one.

    Returns
    -------
    np.ndarray
        int64 (n,) class numbers, or float32 (n, outputs) for multi-label and regression.

    Raises
    ------
    TableError
        For a label that the model does not know; names it and what the model knows.
    """
    try:
        if head.task == "regression":
            numbers = [[as_number(part) for part in label.split(SEPARATOR)] for label in labels]
            wrong = next((label for label, row in zip(labels, numbers, strict=True) if None in row), None)
            if wrong is not None:
                raise ValueError(repr(wrong))
            return np.array(numbers, dtype=np.float32)
        places = {name: index for index, name in enumerate(head.classes)}
        if head.task == "multilabel":
            rows = [[places[name] for name in _parts(label)] for label in labels]
            return np.array([np.isin(np.arange(len(places)), row) for row in rows], dtype=np.float32)
        if head.task == "binary" and set(labels) <= {"0", "1"} and not {"0", "1"} & set(head.classes):
            places = {"0": 0, "1": 1}
        return np.array([places[label] for label in labels], dtype=np.int64)
    except KeyError as error:
        where = _where(source, labels, names, lambda label: error.args[0] in (label, *_parts(label)))
        classes = ", ".join(head.classes)
        raise TableError(f"{where}: the label {error} is none of the model's classes {classes}.") from error
    except ValueError as error:
        where = _where(source, labels, names, lambda label: repr(label) == str(error))
        raise TableError(f"{where}: the model predicts a number, and a label is not one: {error}.") from error


def rows_to_judge(
    table: str | Path,
    *,
    split: str | None = None,
    columns: Sequence[tuple[str, str]] = (),
    skip_bad_rows: bool = False,
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Return the labelled rows of a table, or of one split of it, and sentences on what was left out.

    ``columns`` are pairs of our column and what the file calls it.

    Raises
    ------
    TableError
        For a row that cannot be used, unless ``skip_bad_rows``, and where no row is left.
    """
    data = labelled_rows(
        read_table(table, need_label=False, columns=dict(columns), skip_bad_rows=skip_bad_rows)
    )
    frame = data.frame if split is None else data.part(split)
    if frame.empty:
        name = Path(table).name
        raise TableError(f"{name} has no rows of split '{split}'; leave the split out or name another.")
    notes = []
    if data.refused:
        first, count = data.refused[0], len(data.refused)
        told = f"{_rows(count)} cannot be used and {_were(count)} left out"
        notes.append(f"{told}; the first is row {first.row}: {first.reason}.")
    if data.unlabelled:
        notes.append(f"{_rows(len(data.unlabelled))} without a label {_were(len(data.unlabelled))} left out.")
    return frame, tuple(notes)


def thin_rows(labels: Sequence[str] | np.ndarray, task: str) -> Iterator[str]:
    """Say where rows are too few, or all of one class, to tell how good a model is; ``labels`` may be coded ones."""
    if len(labels) < FEW_ROWS:
        yield f"{len(labels)} rows are few; expect wide intervals, and only large differences to show."
    if task in ("binary", "multiclass") and len(set(labels)) == 1:
        yield "All rows are of one class, so that it cannot be told how well classes are kept apart."


def _where(source: str, labels: Sequence[str], names: Sequence[str] | None, is_it: Callable[[str], bool]) -> str:
    """Return the source, and what the first such label is called where that is known."""
    first = next(place for place, label in enumerate(labels) if is_it(label))
    return f"{source}, {names[first]}" if names else source


def _rows(count: int) -> str:
    return f"{count:,} row{'' if count == 1 else 's'}"


def _were(count: int) -> str:
    return "was" if count == 1 else "were"


def _parts(label: str) -> list[str]:
    return [name.strip() for name in label.split(SEPARATOR) if name.strip()]
