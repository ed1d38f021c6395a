"""Answers among many classes, made short enough to read; the file to download has them all."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

MANY_CLASSES = 8
_DRAWN = 16


def short_labels(classes: Sequence[str]) -> list[str]:
    """Return names for the axis of a figure: of lineages (class, order, family, genus) the last word."""
    words = [name.split() for name in classes]
    last = [parts[-1] if parts else "" for parts in words]
    is_lineage = min(map(len, words), default=0) > 2 and len(set(last)) == len(last)
    return last if is_lineage else list(classes)


def likeliest(table: pd.DataFrame, columns: Sequence[str], classes: Sequence[str]) -> pd.DataFrame:
    """Return a table of answers with the three likeliest classes in the place of a column for every class.

    ``columns`` are those of the probabilities, in the order of ``classes``; the first is the answer's own. A
    record without probabilities has no likely classes.
    """
    values = table[list(columns)].to_numpy()
    order = np.argsort(-values, axis=1, kind="stable")
    named, found = np.array(classes, dtype=object), table.drop(columns=list(columns))
    for place, front in enumerate(("", "second ", "third ")):
        if place:
            found[f"{front}class"] = np.where(np.isnan(values).any(axis=1), "", named[order[:, place]])
        found[f"{front}probability"] = values[np.arange(len(values)), order[:, place]]
    return found


def drawn_classes(values: np.ndarray) -> np.ndarray:
    """Return which classes a figure shows, at most 16 and in their own order: those with the highest probability.

    ``values`` holds the probabilities (records, classes).
    """
    highest = values.max(axis=0, initial=0.0)
    return np.sort(np.argsort(-highest, kind="stable")[:_DRAWN])
