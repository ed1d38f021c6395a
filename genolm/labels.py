"""Labels as they stand in a table, and the numbers a classifier learns from."""

import math
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from genolm.config import TASK_KINDS, HeadConfig
from genolm.errors import SettingsError, TableError

SEPARATOR = ";"
MOST_WHOLE_NUMBERS = 20
LARGEST_LABEL, SMALLEST_SPREAD, SPREAD_STEPS = 1e30, 1e-30, 100
VALUE_DIGITS = 9
"""Significant digits that tell any two numbers of float32 apart."""
_FEWEST_JUDGED = 30
# Among numbers each of these, whatever its case, is a missing value; among words NA may be a place and - a strand.
_MISSING = frozenset(("na", "nan", "-nan", "n/a", "#n/a", "#na", "<na>", "null", "none", "?", ".", "-"))
_NEVER_A_CLASS = frozenset(("nan", "-nan", "n/a", "#n/a", "#na", "<na>"))
_SHOWN = 5
_DECIMAL_COMMA = re.compile(r"[+-]?(\d*|\d{1,3}(\.\d{3})+),\d+(e[+-]?\d+)?", re.IGNORECASE)
_AS_CLASSES = "choose multiclass, one of several classes, as what is to be predicted (in a shell: --task multiclass)"


@dataclass(frozen=True)
class LabelCode:
    """A task and its labels as numbers.

    They are (n,) int64 class indices, (n, labels) float32 of 0 and 1, or (n, outputs) float64.
    """

    head: HeadConfig
    values: np.ndarray


def code_labels(
    labels: Sequence[str], *, task: str = "", positive: str = "", rows: Sequence[int] | None = None
) -> LabelCode:
    """Find the kind of task that labels stand for and code them.

    Labels with ``;`` make a multi-label task; two kinds of label a binary one, whose positive class is the
    second in sorted order ('1', 'positive', 'promoter' after 'non-promoter'); numbers with decimals, or
    more than 20 different ones, a regression; anything else classes, numbers in the order of their value.

    Parameters
    ----------
    labels : sequence of str
    task : str
        One of binary, multiclass, multilabel, regression when the labels do not say it rightly; "" or
        "auto" finds it by the rule above.
    positive : str
        The positive class of a binary task.
    rows : sequence of int, optional
        The row of each label in its file, to name one in a message; without them labels are counted from 1.

    Raises
    ------
    TableError
        When all labels are the same, or do not fit the task that was asked for; unless they were said to be
        classes, also when some are words for a missing value, are numbers with a decimal comma, or when
        more than half of them, numbers apart, are different.
    SettingsError
        When there is no such task, or the positive class is none of two.
    """
    found = [str(label).strip() for label in labels]
    names = sorted(set(found), key=class_order)
    if task in ("", "auto", "regression"):
        _refuse_commas(found, names, rows)
        _refuse_missing(found, names, rows)
    if task in ("", "auto"):
        task = _kind_of(names)
        if task == "multiclass":
            _refuse_too_many(found, names, rows)
    if task not in TASK_KINDS:
        raise SettingsError(f"task is {task!r}; it must be auto, {', '.join(TASK_KINDS)}.")
    if positive and task != "binary":
        raise SettingsError(f"The positive class {positive!r} was named, but the labels make a {task} task.")
    if task == "multilabel":
        return _multilabel(found)
    if task == "regression":
        return _regression(found)
    if task == "binary":
        names = _two_classes(names, positive)
    values = code_classes(found, names).values
    return LabelCode(HeadConfig(task, tuple(names)), values)  # type: ignore[arg-type]


def answer_digits(task: str) -> int:
    """Return with how many significant digits answers of a task go into a file: numbers whole, probabilities with 6."""
    return VALUE_DIGITS if task == "regression" else 6


def code_classes(labels: Sequence[str], classes: Sequence[str]) -> LabelCode:
    """Code labels by a given list of classes; a label outside it is a :class:`TableError`."""
    if len(classes) < 2:
        raise TableError(
            f"Every label is '{classes[0] if classes else ''}'; a classifier needs two or more classes."
        )
    place = {name: index for index, name in enumerate(classes)}
    strange = sorted({label for label in labels if label not in place})
    if strange:
        raise TableError(f"Unknown labels: {', '.join(strange[:5])}; the classes are {', '.join(classes)}.")
    values = np.array([place[label] for label in labels], dtype=np.int64)
    return LabelCode(HeadConfig("binary" if len(classes) == 2 else "multiclass", tuple(classes)), values)


def class_order(label: str) -> tuple[int, float, str]:
    """Return a key that sorts labels: numbers by value and before words."""
    number = as_number(label)
    return (1, 0.0, label) if number is None else (0, number, label)


def missing_words(names: Collection[str]) -> list[str]:
    """Return the classes whose names many programs write for a missing value, such as NA, None and ``?``.

    ``-`` beside ``+`` is a strand, and where nothing is found a class may well be called none.
    """
    classes = {"none"} | ({"-"} if "+" in names else set())
    return [name for name in names if name.lower() in _MISSING and name not in classes]


def _kind_of(names: Sequence[str]) -> str:
    if any(SEPARATOR in name for name in names):
        return "multilabel"
    numbers = [as_number(name) for name in names]
    if len(names) > 2 and all(number is not None for number in numbers):
        broken = any(number is not None and not number.is_integer() for number in numbers)
        if broken or len(names) > MOST_WHOLE_NUMBERS:
            return "regression"
    return "multiclass" if len(names) > 2 else "binary"


def _refuse_commas(labels: Sequence[str], names: Sequence[str], rows: Sequence[int] | None) -> None:
    commas = {name for name in names if _DECIMAL_COMMA.fullmatch(name)}
    others = (name for name in names if name not in commas and name.lower() not in _MISSING)
    if commas and all(as_number(name) is not None for name in others):
        count, where, label = _found(labels, commas, rows)
        mended = label.replace(".", "").replace(",", ".")
        raise TableError(
            f"A number is written with a comma in {count}, first in {where}: {label!r}. Write it with a point, "
            f"{mended}; thousands need no mark, and several labels of one row are written as a;b."
        )


def _refuse_missing(labels: Sequence[str], names: Sequence[str], rows: Sequence[int] | None) -> None:
    among_numbers = all(as_number(name) is not None for name in names if name.lower() not in _MISSING)
    words = {name for name in names if name.lower() in (_MISSING if among_numbers else _NEVER_A_CLASS)}
    if words:
        count, where, label = _found(labels, words, rows)
        raise TableError(
            f"A word for a missing value stands in {count}, first in {where}: {label!r}. Leave the cell empty for a "
            f"row without a label; if {label} is a class, {_AS_CLASSES} or give it another name."
        )


def _refuse_too_many(labels: Sequence[str], names: Sequence[str], rows: Sequence[int] | None) -> None:
    words = {name for name in names if as_number(name) is None}
    if words and len(labels) >= _FEWEST_JUDGED and len(names) > len(labels) / 2:
        _, where, label = _found(labels, words, rows)
        raise TableError(
            f"The {len(labels):,} labels are {len(names):,} different ones, too many for classes. A regression needs "
            f"a number as each label, and {label!r} in {where} is none. For classes many rows must have the same "
            f"label; to take them all the same, {_AS_CLASSES}."
        )


def _found(
    labels: Sequence[str], wanted: Collection[str], rows: Sequence[int] | None
) -> tuple[str, str, str]:
    """Return in words how many labels are among those wanted and where the first is, and that label."""
    places = [place for place, label in enumerate(labels) if label in wanted]
    where = f"label {places[0] + 1}" if rows is None else f"row {rows[places[0]]}"
    return f"{len(places):,} of {len(labels):,} labels", where, labels[places[0]]


def _two_classes(names: list[str], positive: str) -> list[str]:
    if len(names) > 2:
        shown = ", ".join(names[:_SHOWN]) + (" …" if len(names) > _SHOWN else "")
        raise TableError(f"A binary task has two classes; the labels have {len(names)}: {shown}.")
    if positive and positive not in names:
        raise SettingsError(f"There is no class {positive!r}; the classes are {', '.join(names)}.")
    return sorted(names, key=lambda name: name == positive) if positive else names


def _multilabel(labels: Sequence[str]) -> LabelCode:
    parts = [[item.strip() for item in label.split(SEPARATOR) if item.strip()] for label in labels]
    classes = sorted({item for row in parts for item in row}, key=class_order)
    if not classes:
        raise TableError("No row has a label; several labels of one row are written as a;b.")
    values = np.array([[name in row for name in classes] for row in parts], dtype=np.float32)
    return LabelCode(HeadConfig("multilabel", tuple(classes)), values)


def _regression(labels: Sequence[str]) -> LabelCode:
    numbers = [as_number(label) for label in labels]
    strange = sorted({label for label, number in zip(labels, numbers, strict=True) if number is None})
    if strange:
        raise TableError(
            f"A regression needs a number as each label; {len(strange)} are none: {', '.join(strange[:_SHOWN])}."
        )
    if len(set(numbers)) < 2:
        raise TableError(f"Every label is {labels[0] if labels else ''}; there is nothing to predict.")
    values = np.array(numbers, dtype=np.float64).reshape(-1, 1)
    _check_scale(values)
    return LabelCode(HeadConfig("regression", ("value",)), values)


def _check_scale(values: np.ndarray) -> None:
    """Refuse numbers that a model, which answers in float32, cannot tell apart."""
    size, spread, mean = float(np.abs(values).max()), float(values.std()), float(values.mean())
    if size > LARGEST_LABEL or spread < SMALLEST_SPREAD:
        raise TableError(
            f"The labels go up to {size:.3g} and spread by {spread:.3g}, which a model cannot answer; take their "
            "logarithms, or another unit."
        )
    if np.finfo(np.float32).eps * size > spread / SPREAD_STEPS:
        raise TableError(
            f"The labels spread by {spread:.3g} about {mean:.10g}, too little for numbers of that size; take "
            f"{mean:.3g} off all of them."
        )


def as_number(text: str) -> float | None:
    """Return a label as a finite number, None when it is no number."""
    try:
        # Python reads 1_2, the name of a cluster, as 12.
        number = math.nan if "_" in text else float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
