"""What a classifier says of sequences, as plain arrays and as a table."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd


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
        Calibrated; for regression the predicted quantities themselves.
    predicted : tuple
        Class name; for multi-label the names from the threshold up, joined by ";" ("" for none); for
        regression the first quantity.
    classes : tuple of str
    task : str
    """

    names: tuple[str, ...]
    lengths: np.ndarray
    logits: np.ndarray
    probabilities: np.ndarray
    predicted: tuple[Any, ...]
    classes: tuple[str, ...]
    task: str = "binary"

    def frame(self) -> pd.DataFrame:
        """Return the table ``record, length, predicted`` and one ``p_<class>`` per class.

        For regression the last columns are ``value_<name>``.
        """
        columns = {"record": self.names, "length": self.lengths, "predicted": self.predicted}
        for index, name in enumerate(value_columns(self.classes, self.task)):
            columns[name] = self.probabilities[:, index]
        return pd.DataFrame(columns)


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
