"""Labels as they stand in a table, and the numbers a classifier learns from."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from genolm.config import HeadConfig
from genolm.errors import TableError

SEPARATOR = ";"


@dataclass(frozen=True)
class LabelCode:
    """A task and its labels as numbers: (n,) int64 class indices or (n, outputs) float32."""

    head: HeadConfig
    values: np.ndarray


def code_labels(labels: Sequence[str]) -> LabelCode:
    """Find the kind of task that labels stand for and code them.

    Labels with ``;`` make a multi-label task; two kinds of label a binary one, whose positive class is the
    second in sorted order ('1', 'positive', 'promoter' after 'non-promoter'); numbers with a decimal point
    a regression; anything else classes.

    Raises
    ------
    TableError
        When all labels are the same.
    """
    found = [str(label).strip() for label in labels]
    names = sorted(set(found))
    if any(SEPARATOR in name for name in names):
        return _multilabel(found)
    if len(names) > 2 and all(_is_decimal(name) for name in names):
        values = np.array([[float(name)] for name in found], dtype=np.float32)
        return LabelCode(HeadConfig("regression", ("value",)), values)
    return code_classes(found, names)


def code_classes(labels: Sequence[str], classes: Sequence[str]) -> LabelCode:
    """Code labels by a given list of classes; a label outside it is a :class:`TableError`."""
    if len(classes) < 2:
        raise TableError(f"Every label is '{classes[0] if classes else ''}'; a classifier needs two or more classes.")
    place = {name: index for index, name in enumerate(classes)}
    strange = sorted({label for label in labels if label not in place})
    if strange:
        raise TableError(f"Unknown labels: {', '.join(strange[:5])}; the classes are {', '.join(classes)}.")
    values = np.array([place[label] for label in labels], dtype=np.int64)
    return LabelCode(HeadConfig("binary" if len(classes) == 2 else "multiclass", tuple(classes)), values)


def _multilabel(labels: Sequence[str]) -> LabelCode:
    parts = [[item.strip() for item in label.split(SEPARATOR) if item.strip()] for label in labels]
    classes = sorted({item for row in parts for item in row})
    values = np.array([[name in row for name in classes] for row in parts], dtype=np.float32)
    return LabelCode(HeadConfig("multilabel", tuple(classes)), values)


def _is_decimal(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return "." in text or "e" in text.lower()
