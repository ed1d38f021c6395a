"""What others published for a question, and how sure such a figure is by the size of the test it was measured on."""

import math
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from genolm.bootstrap import Estimate, wilson

_NAN = float("nan")
_DRAWS = 10_000
_Z = 1.959964
"""Standard deviations of a normal distribution that hold 95 %."""


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

    def estimate(self, metric: str) -> Estimate:
        """Return a figure with its 95 % interval, NaN where the size of its test is not known.

        Shares of all test rows have Wilson's interval (1927, doi:10.1080/01621459.1927.10502953), an area under the
        ROC curve that of Hanley and McNeil (1982, doi:10.1148/radiology.143.1.7063747), and what is made of counts
        has the percentiles of 10,000 draws of as many test rows.
        """
        value = self.scores[metric]
        if len(self.counts) == 4 and metric in _OF_COUNTS:
            low, high = _drawn(self.counts)[metric]
        elif metric == "auroc" and len(self.sizes) == 2:
            half = _Z * _area_error(value, *self.sizes)
            low, high = max(0.0, value - half), min(1.0, value + half)
        elif self.sizes and (metric == "accuracy" or metric.endswith("_agreement")):
            count = sum(self.sizes)
            found = wilson(round(value * count), count)
            low, high = found.low, found.high
        else:
            low, high = _NAN, _NAN
        return Estimate(value, float(low), float(high))

    @property
    def sizes(self) -> tuple[int, ...]:
        """Positive and negative test rows, or all of many classes; empty where they are not known."""
        if len(self.counts) == 4:
            return sum(self.counts[:2]), sum(self.counts[2:])
        return self.rows


def _of_counts(right: np.ndarray, missed: np.ndarray, wrong: np.ndarray, left: np.ndarray) -> dict[str, np.ndarray]:
    """Return figures of true positives, false negatives, false positives and true negatives."""
    with np.errstate(invalid="ignore", divide="ignore"):
        margins = (right + wrong) * (right + missed) * (left + wrong) * (left + missed)
        return {
            "accuracy": (right + left) / (right + missed + wrong + left),
            "precision": right / (right + wrong),
            "recall": right / (right + missed),
            "specificity": left / (left + wrong),
            "mcc": (right * left - wrong * missed) / np.sqrt(margins),
        }


_OF_COUNTS = tuple(_of_counts(*np.ones((4, 1))))


@lru_cache
def _drawn(counts: tuple[int, ...]) -> dict[str, tuple[float, float]]:
    """Return the 2.5 and 97.5 percentiles of the figures of tests drawn anew from one with such counts."""
    rng, total = np.random.default_rng(1), sum(counts)
    draws = rng.multinomial(total, np.array(counts) / total, size=_DRAWS).astype(float)
    return {key: tuple(np.nanpercentile(values, (2.5, 97.5))) for key, values in _of_counts(*draws.T).items()}


def _area_error(area: float, positives: int, negatives: int) -> float:
    """Return the standard error of an area under the ROC curve."""
    one, two = area / (2 - area), 2 * area**2 / (1 + area)
    spread = area * (1 - area) + (positives - 1) * (one - area**2) + (negatives - 1) * (two - area**2)
    return math.sqrt(spread / (positives * negatives))
