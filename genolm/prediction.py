"""What a classifier says of sequences, as plain arrays and as a table.

A sequence with too few known bases (A, C, G, T or U) gets no answer: a model gives a number for any letters, and
for a run of N that number means nothing. See :func:`least_known` for how many it needs.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from genolm.config import Window
from genolm.errors import SettingsError, check_list, first_names

NOT_JUDGED = "not judged"
LEAST_BASES = 20
"""Known bases that a model of sequences of any length needs at least."""


@dataclass(frozen=True)
class Prediction:
    """What a classifier says of some sequences; row i of every array is sequence i.

    Attributes
    ----------
    names : tuple of str
    lengths : int64 array (n,)
        Bases of each sequence.
    logits : float32 array (n, outputs)
        Raw outputs, not calibrated.
    probabilities : float32 array (n, outputs)
        Calibrated; for regression the predicted quantities themselves. NaN for a sequence that is not judged.
    predicted : tuple
        Class name; for multi-label the names from the threshold up, joined by ";" ("" for none); for
        regression the first quantity. For a sequence with too few known bases ``not judged``, for regression NaN.
    classes : tuple of str
    task : str
    strands : tuple of str, optional
        The strand that each was read on, ``+`` or ``-``; None where all were read as they are.
    """

    names: tuple[str, ...]
    lengths: np.ndarray
    logits: np.ndarray
    probabilities: np.ndarray
    predicted: tuple[Any, ...]
    classes: tuple[str, ...]
    task: str = "binary"
    strands: tuple[str, ...] | None = None

    @property
    def judged(self) -> np.ndarray:
        """Which sequences have an answer, bool (n,); the others have too few known bases."""
        return ~np.isnan(self.probabilities).any(axis=1)

    def frame(self) -> pd.DataFrame:
        """Return the table ``record, length, predicted`` and one ``p_<class>`` per class.

        For regression the last columns are ``value_<name>``. ``strand`` follows the length where there are strands.
        """
        strand = {} if self.strands is None else {"strand": self.strands}
        columns = {"record": self.names, "length": self.lengths, **strand, "predicted": self.predicted}
        for index, name in enumerate(value_columns(self.classes, self.task)):
            columns[name] = self.probabilities[:, index]
        return pd.DataFrame(columns)


def letters_of(sequences: Iterable[str | np.ndarray]) -> list[str | np.ndarray]:
    """Return sequences as a list, without white space; base codes in an array stay as they are.

    Raises
    ------
    SettingsError
        For one text, a table or a mapping, which would be read name by name, and for what is no text in the list.
    """
    check_list(sequences, "sequences")
    if isinstance(sequences, Mapping) or hasattr(sequences, "columns"):
        raise SettingsError(
            f"sequences is a {type(sequences).__name__}, where a list is expected; give one column of it, or its "
            "values."
        )
    found = list(sequences)
    for number, item in enumerate(found, start=1):
        if not isinstance(item, (str, np.ndarray)):
            raise SettingsError(f"Sequence {number} is {repr(item)[:60]}, which is no text; give its letters.")
    return ["".join(item.split()) if isinstance(item, str) else item for item in found]


def known_bases(sequence: str) -> int:
    """Return how many letters of a sequence are A, C, G, T or U, of any case."""
    letters = sequence.upper()
    return sum(map(letters.count, "ACGTU"))


def least_known(lengths: np.ndarray, window: Window | None) -> np.ndarray:
    """Return how many known bases sequences need to be judged, int64 (n,).

    Three quarters of the sequence, and half of the model's window, or 20 bases where it reads any length.
    """
    return np.maximum((3 * lengths + 3) // 4, _least_bases(window))


def judged_windows(known: np.ndarray, window: Window | None) -> np.ndarray:
    """Return which windows of a sequence have enough known bases to be judged, bool (starts,).

    Parameters
    ----------
    known : bool array (bases,)
        Which of the sequence's bases are known.
    window : Window or None
        The model's; a sequence that is not longer is the only window itself.
    """
    width = len(known) if window is None else min(window.length, len(known))
    before = np.concatenate([[0], np.cumsum(known)])
    return before[width:] - before[: len(before) - width] >= least_known(np.array([width]), window)


def _least_bases(window: Window | None) -> int:
    return LEAST_BASES if window is None else (window.length + 1) // 2


def not_judged_words(names: Sequence[str], count: int, records: int, window: Window | None) -> str:
    """Return the warning that records were not judged, and why; "" if there is none.

    ``names`` are the first of the ``count`` ones, of ``records`` in all.
    """
    if not count:
        return ""
    part = "" if window is None else f" (half of the {window.length} that the model reads)"
    return (
        f"{count:,} of {records:,} record{'s' * (records != 1)} {'is' if count == 1 else 'are'} not judged: "
        f"{first_names(names, count=count)}. "
        f"An answer needs known bases (A, C, G, T) in three quarters of a record, and {_least_bases(window)} at least"
        f"{part}."
    )


def other_length_words(count: int, records: int, length: int | None, scan: str) -> str:
    """Return the warning that ``count`` records are not ``length`` bp long, "" if none is; ``scan`` finds sites."""
    if length is None or not count:
        return ""
    return (
        f"{count:,} of {records:,} record{'s' * (records != 1)} {'is' if count == 1 else 'are'} not {length} bp "
        "long, as the pieces were that the model was trained and measured on. Such a record is classified as a whole, "
        f"less surely. To find sites within long sequences, use {scan}."
    )


def value_columns(classes: Sequence[str], task: str) -> list[str]:
    """Return the names of a prediction table's number columns."""
    prefix = "value_" if task == "regression" else "p_"
    return [prefix + name for name in classes]


def log_odds(logits: np.ndarray, class_index: int, task: str) -> np.ndarray:
    """Return how much the logits speak for one class against all others, float32 (n,).

    Binary: its logit minus the other; multi-class: minus the log-sum-exp of the others (the same thing
    for two classes); multi-label: its logit; regression: its value.
    """
    chosen = logits[:, class_index]
    if task in ("multilabel", "regression") or logits.shape[1] == 1:
        return chosen
    others = np.delete(logits, class_index, axis=1)
    top = others.max(axis=1)
    return chosen - (top + np.log(np.exp(others - top[:, None]).sum(axis=1)))
