"""Labels as they stand in a table, and the numbers a classifier learns from."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from genolm.config import TASK_KINDS, HeadConfig
from genolm.errors import SettingsError, TableError

SEPARATOR = ";"
MOST_WHOLE_NUMBERS = 20
_SHOWN = 5


@dataclass(frozen=True)
class LabelCode:
    """A task and its labels as numbers: (n,) int64 class indices or (n, outputs) float32."""

    head: HeadConfig
    values: np.ndarray


def code_labels(labels: Sequence[str], *, task: str = "", positive: str = "") -> LabelCode:
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

    Raises
    ------
    TableError
        When all labels are the same, or do not fit the task that was asked for.
    SettingsError
        When there is no such task, or the positive class is none of two.
    """
    found = [str(label).strip() for label in labels]
    names = sorted(set(found), key=class_order)
    task = _kind_of(names) if task in ("", "auto") else task
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
    number = _number(label)
    return (1, 0.0, label) if number is None else (0, number, label)


def _kind_of(names: Sequence[str]) -> str:
    if any(SEPARATOR in name for name in names):
        return "multilabel"
    numbers = [_number(name) for name in names]
    if len(names) > 2 and all(number is not None for number in numbers):
        broken = any(number is not None and not number.is_integer() for number in numbers)
        if broken or len(names) > MOST_WHOLE_NUMBERS:
            return "regression"
    return "multiclass" if len(names) > 2 else "binary"


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
    numbers = [_number(label) for label in labels]
    strange = sorted({label for label, number in zip(labels, numbers, strict=True) if number is None})
    if strange:
        raise TableError(
            f"A regression needs a number as each label; {len(strange)} are none: {', '.join(strange[:_SHOWN])}."
        )
    if len(set(numbers)) < 2:
        raise TableError(f"Every label is {labels[0] if labels else ''}; there is nothing to predict.")
    values = np.array(numbers, dtype=np.float32).reshape(-1, 1)
    return LabelCode(HeadConfig("regression", ("value",)), values)


def _number(text: str) -> float | None:
    """Return a label as a finite number, None when it is no number."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
