"""What others published for a question, and how sure such a figure is by the size of the test it was measured on."""

import math
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from genolm.bootstrap import Z95, Estimate, wilson
from genolm.errors import SettingsError

_NAN = float("nan")
_DRAWS = 10_000


@dataclass(frozen=True)
class Lead:
    """What ``method`` of ours is ahead of another one's figure on the same test rows, by paired bootstrap."""

    method: str
    size: Estimate
    p: float | None


@dataclass(frozen=True)
class Published:
    """Somebody else's figures for the same question.

    Attributes
    ----------
    name : str
    kind : str
        original, best or other.
    protocol : str
        The one of ours that they are comparable with, "" if there is none.
    source : str
        Where the figures stand.
    scores : dict of str to float
    leads : dict of str to Lead
        What a way of ours is ahead where their answers were judged on our test rows.
    beside : str
        The method of ours that they are held beside, "" for the main one and ``naive`` for the best from scratch by
        validation.
    other_test : bool
        Whether the test was made of other data, so that a difference may be that of the tests.
    counts : tuple of int
        Test rows rightly called positive, wrongly negative, wrongly positive and rightly negative, where they are
        known; the intervals of the figures follow from them.
    rows : tuple of int
        Where counts are not known: positive and negative test rows, or all test rows of many classes.
    leak : str
        How its figure is flattered, in words that go on a sentence; "" where nothing is known of such a thing.
    """

    name: str
    kind: str
    protocol: str
    source: str
    scores: dict[str, float]
    leads: dict[str, Lead] = field(default_factory=dict)
    beside: str = ""
    other_test: bool = False
    counts: tuple[int, ...] = ()
    rows: tuple[int, ...] = ()
    leak: str = ""

    def __post_init__(self) -> None:
        is_whole = len(self.counts) in (0, 4) and len(self.rows) <= 2
        if not is_whole or min((*self.counts, 0)) < 0 or min((*self.sizes, 1)) < 1:
            raise SettingsError(
                f"The published figures of {self.name} have counts = {list(self.counts)} and rows = {list(self.rows)}; "
                "counts are four (rightly positive, wrongly negative, wrongly positive, rightly negative), rows one or "
                "two, and each class has a row."
            )
        shares = [key for key in self.scores if self.sizes and not -1 <= self.scores[key] <= 1]
        if shares:
            told = f"{shares[0]} = {self.scores[shares[0]]}"
            raise SettingsError(f"The published figures of {self.name} have {told}; it is a share, 1 at most.")

    def estimate(self, metric: str) -> Estimate:
        """Return a figure with its 95 % interval, NaN where the size of its test is not known.

        Shares of rows have Wilson's interval (1927, doi:10.1080/01621459.1927.10502953), an area under the ROC curve
        that of Hanley and McNeil (1982, doi:10.1148/radiology.143.1.7063747), and MCC the percentiles of 10,000 draws
        of as many test rows.
        """
        value = self.scores[metric]
        if self.counts and metric == "mcc":
            low, high = _drawn_mcc(self.counts)
        elif metric == "auroc" and len(self.sizes) == 2 and 0 < value < 1:
            half = Z95 * _area_error(value, *self.sizes)
            low, high = max(0.0, value - half), min(1.0, value + half)
        elif count := self._rows_of(metric):
            found = wilson(round(value * count), count)
            low, high = found.low, found.high
        else:
            low, high = _NAN, _NAN
        return Estimate(value, float(low), float(high))

    def _rows_of(self, metric: str) -> int:
        """Return of how many rows a figure is a share, 0 where it is none or that is not known."""
        if metric == "accuracy" or metric.endswith("_agreement"):
            return sum(self.sizes)
        if metric == "recall" and len(self.sizes) == 2:
            return self.sizes[0]
        if not self.counts:
            return 0
        right, _, wrong, _ = self.counts
        return {"precision": right + wrong, "specificity": self.sizes[1]}.get(metric, 0)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Positive and negative test rows, or all of many classes; empty where they are not known."""
        if len(self.counts) == 4:
            return sum(self.counts[:2]), sum(self.counts[2:])
        return self.rows


@lru_cache
def _drawn_mcc(counts: tuple[int, ...]) -> tuple[float, float]:
    """Return the 2.5 and 97.5 percentiles of MCC over tests drawn anew from one with such counts."""
    rng, total = np.random.default_rng(1), sum(counts)
    right, missed, wrong, left = rng.multinomial(total, np.array(counts) / total, size=_DRAWS).astype(float).T
    margins = (right + wrong) * (right + missed) * (left + wrong) * (left + missed)
    found = np.divide(right * left - wrong * missed, np.sqrt(margins), out=np.zeros(_DRAWS), where=margins > 0)
    low, high = np.percentile(found, (2.5, 97.5))
    return float(low), float(high)


def _area_error(area: float, positives: int, negatives: int) -> float:
    """Return the standard error of an area under the ROC curve."""
    one, two = area / (2 - area), 2 * area**2 / (1 + area)
    spread = area * (1 - area) + (positives - 1) * (one - area**2) + (negatives - 1) * (two - area**2)
    return math.sqrt(spread / (positives * negatives))
