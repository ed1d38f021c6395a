"""What a classifier said of labelled sequences: its answers beside the truth, as plain data."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from genolm import calibration, metrics
from genolm.bootstrap import Estimate, count_groups, usable
from genolm.config import Calibration, HeadConfig
from genolm.errors import SettingsError
from genolm.labels import SEPARATOR, VALUE_DIGITS


@dataclass(frozen=True)
class Answers:
    """A model's raw outputs on labelled sequences; item i of everything is the same sequence.

    Attributes
    ----------
    head : HeadConfig
    rows : tuple of int
        Row numbers in the file that the sequences came from.
    names, sequences : tuple of str
    labels : np.ndarray
        Class numbers (n,), or 0 and 1, or quantities, (n, outputs).
    logits : np.ndarray
        float32 (n, outputs), not calibrated.
    calibration : Calibration
    groups : np.ndarray, optional
        Group of each sequence (n,): intervals are drawn over whole groups, where that can be.
    """

    head: HeadConfig
    rows: tuple[int, ...]
    names: tuple[str, ...]
    sequences: tuple[str, ...]
    labels: np.ndarray
    logits: np.ndarray
    calibration: Calibration = Calibration()
    groups: np.ndarray | None = None

    def __post_init__(self) -> None:
        parts = {key: len(getattr(self, key)) for key in ("names", "sequences", "labels", "logits")}
        wrong = [f"{count} {key}" for key, count in parts.items() if count != len(self.rows)]
        if wrong:
            raise SettingsError(f"There are {len(self.rows)} rows but {', '.join(wrong)}.")
        if self.groups is not None and len(self.groups) != len(self.rows):
            raise SettingsError(f"There are {len(self.rows)} rows but {len(self.groups)} groups.")
        if self.logits.shape[1:] != (len(self.head.classes),):
            raise SettingsError(f"Logits {self.logits.shape} do not fit {len(self.head.classes)} classes.")

    def __len__(self) -> int:
        """Return the number of sequences."""
        return len(self.rows)

    @property
    def task(self) -> str:
        """The kind of task."""
        return self.head.task

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, or names of the quantities."""
        return self.head.classes

    @cached_property
    def probabilities(self) -> np.ndarray:
        """Calibrated probabilities, for regression the values, float64 (n, outputs)."""
        return calibration.apply(self.logits.astype(np.float64), self.calibration, self.task)

    @cached_property
    def raw_probabilities(self) -> np.ndarray:
        """Probabilities before temperature scaling, float64 (n, outputs)."""
        return calibration.apply(self.logits.astype(np.float64), Calibration(), self.task)

    @cached_property
    def calls(self) -> np.ndarray:
        """The answers, coded as labels are."""
        if self.task == "multilabel":
            return (self.probabilities >= self.calibration.threshold).astype(np.float32)
        if self.task == "binary":
            return (self.probabilities[:, 1] >= self.calibration.threshold).astype(np.int64)
        return self.probabilities if self.task == "regression" else self.probabilities.argmax(axis=1)

    @cached_property
    def is_wrong(self) -> np.ndarray:
        """Which answers are not the label, bool (n,); all of them for regression."""
        unequal = self.calls != self.labels
        return unequal if unequal.ndim == 1 else unequal.any(axis=1)

    @cached_property
    def surety(self) -> np.ndarray:
        """How surely the answer was given (n,).

        The probability of the answer; for multi-label that of the least fitting part of it; for regression
        the distance from the truth, the largest over the quantities.
        """
        p = self.probabilities
        if self.task == "regression":
            return np.abs(p - self.labels).max(axis=1)
        if self.task == "multilabel":
            said = np.where(self.calls == 1, p, 1 - p)
            return np.where(self.calls != self.labels, said, 0.0).max(axis=1)
        return p[np.arange(len(p)), self.calls]

    def scores(self, *, n_boot: int = 1000, seed: int = 1) -> dict[str, Estimate]:
        """Return the task's metrics with 95 % intervals, see :mod:`genolm.metrics`."""
        threshold = self.calibration.threshold
        options = {"n_boot": n_boot, "seed": seed, "groups": self.drawn_over}
        return metrics.score(self.task, self.probabilities, self.labels, threshold=threshold, **options)

    @cached_property
    def drawn_over(self) -> np.ndarray | None:
        """The group of each sequence, over which intervals are drawn; None where it is sequences."""
        return None if self.groups is None else usable(self.groups)

    @property
    def drawn(self) -> int | None:
        """How many groups intervals are drawn over, see :func:`genolm.bootstrap.drawn_words`."""
        return None if self.groups is None else count_groups(self.drawn_over)

    def words(self, coded: np.ndarray) -> list[str]:
        """Return labels or answers as a table has them: names, joined by ";" for several."""
        if self.task in ("binary", "multiclass"):
            return [self.classes[index] for index in coded]
        if self.task == "regression":
            return [SEPARATOR.join(f"{value:.{VALUE_DIGITS}g}" for value in row) for row in coded]
        pairs = [zip(self.classes, row, strict=True) for row in coded]
        return [SEPARATOR.join(name for name, there in pair if there) for pair in pairs]

    def frame(self, split: str) -> pd.DataFrame:
        """Return the table ``row, name, split, label, predicted`` and one ``p_<class>`` per class.

        For regression the last columns are ``value_<name>``.
        """
        prefix = "value_" if self.task == "regression" else "p_"
        table = pd.DataFrame(
            {
                "row": list(self.rows),
                "name": list(self.names),
                "split": split,
                "label": self.words(self.labels),
                "predicted": self.words(self.calls),
            }
        )
        numbers = {prefix + name: self.probabilities[:, j] for j, name in enumerate(self.classes)}
        return table.assign(**numbers)

    def examples(self, most: int, *, longest: int) -> Iterator[dict[str, Any]]:
        """Yield wrong answers, surest first, with sequences of up to ``longest`` letters."""
        wrong = np.flatnonzero(self.is_wrong)
        order = wrong[np.argsort(-self.surety[wrong], kind="stable")][:most]
        truth, said = self.words(self.labels[order]), self.words(self.calls[order])
        for place, label, answer in zip(order, truth, said, strict=True):
            sequence = self.sequences[place]
            yield {
                "row": self.rows[place],
                "name": self.names[place],
                "label": label,
                "predicted": answer,
                "surety": float(self.surety[place]),
                "length": len(sequence),
                "sequence": sequence if len(sequence) <= longest else "",
            }
