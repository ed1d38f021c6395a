"""How ours stands to others: to published figures, networks from scratch and baselines, and whether that is noise.

Two of our own methods are compared by the paired difference on the same test rows where it was worked out: it is
within noise when its 95 % interval holds 0. Where there is none, when their intervals overlap. A published figure was
measured on another test: the interval of the difference is made of both intervals (Zou and Donner 2008,
doi:10.1002/sim.3095) where the size of that test is known; else the figure is within noise when it lies inside ours,
and not judged when it does not, as its own noise may be large.
One whose answers were judged on our test rows is compared with ours in pairs.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

from genolm.bootstrap import Estimate
from genolm.cards import LESS_IS_BETTER, p_words
from genolm.published import Lead, Published
from genolm.result_row import Gap, RowResult, View

ORIGINAL, BEST = "original", "best"
_NAN = float("nan")


@dataclass(frozen=True)
class Contest:
    """How far ours is ahead (negative: behind) and whether that is more than noise, None if that is unknown.

    ``low`` and ``high`` are the ends of the difference's 95 % interval, NaN where it is not known; ``is_paired``
    tells that both answered the same test rows and were drawn together, and then there may be a ``p``.
    ``of_unknown_size`` tells that what ours is held beside was measured on a test whose size is not known.
    """

    ahead: float
    clear: bool | None
    low: float = _NAN
    high: float = _NAN
    p: float | None = None
    is_paired: bool = False
    of_unknown_size: bool = False

    @property
    def has_interval(self) -> bool:
        """Whether the interval of the difference is known."""
        return not math.isnan(self.low)

    @property
    def better(self) -> bool:
        """Whether ours is better beyond noise."""
        return self.clear is True and self.ahead > 0

    @property
    def worse(self) -> bool:
        """Whether ours is worse beyond noise."""
        return self.clear is True and self.ahead < 0

    @property
    def side(self) -> str:
        """On which side of the other ours is."""
        return "better" if self.ahead > 0 else "worse"

    def short(self) -> str:
        """Return the difference with its sign, and whether it is noise."""
        return f"{self.ahead:+z.3f}{noise_words(self.clear)}"

    def size(self) -> str:
        """Return how large the difference is, with its interval and p where they are known."""
        if not self.has_interval:
            return f"{abs(self.ahead):.3f}"
        low, high = (self.low, self.high) if self.ahead >= 0 else (-self.high, -self.low)
        return f"{abs(self.ahead):.3f} (95 % interval {low:.3f} to {high:.3f}{self._chance()})"

    def signed(self) -> str:
        """Return a difference that has an interval with its sign, the interval, and p where it is known."""
        return f"{self.ahead:+z.3f} (95 % interval {self.low:+z.3f} to {self.high:+z.3f}{self._chance()})"

    def _chance(self) -> str:
        return "" if self.p is None else f", {p_words(self.p)}"


class Beside(NamedTuple):
    """A published figure that ours is compared with: in what, and how that goes."""

    item: Published
    metric: str
    contest: Contest


def contest(row: RowResult, protocol: str, method: str, other: str) -> Contest | None:
    """Compare two methods in the headline figure; None where one of them was not scored."""
    ours, theirs = (row.estimate(protocol, key) for key in (method, other))
    if ours is None or theirs is None or math.isnan(ours.value - theirs.value):
        return None
    gap = row.gap(protocol, method, other)
    if gap and (found := _paired(row.metric, gap)):
        return found
    return Contest(sign_of(row.metric) * (ours.value - theirs.value), apart(ours, theirs))


def _paired(metric: str, lead: Gap | Lead) -> Contest | None:
    """Return the contest that a paired difference is, None where it has no interval."""
    sign, size = sign_of(metric), lead.size
    if math.isnan(size.value + size.low + size.high):
        return None
    low, high = sorted((sign * size.low, sign * size.high))
    return Contest(sign * size.value, not low <= 0 <= high, low, high, lead.p, is_paired=True)


def shared_metrics(row: RowResult, item: Published) -> list[str]:
    """Return the figures that ours and a published one both have, the one that they are compared in first.

    That is the headline one if both have it.
    """
    method = row.beside(item)
    if method is None:
        return []
    both = (key for key in dict.fromkeys((row.metric, *row.metrics)) if key in item.scores)
    return [key for key in both if is_defined(row.estimate(item.protocol, method, key))]


def against_published(row: RowResult, item: Published, metric: str | None = None) -> Contest | None:
    """Compare ours with a published figure under its protocol; None where they have nothing in common.

    Parameters
    ----------
    row : RowResult
    item : Published
    metric : str, optional
        One that both have; by default the first of :func:`shared_metrics`.
    """
    metric, method = metric or next(iter(shared_metrics(row, item)), None), row.beside(item)
    if metric is None or method is None:
        return None
    lead = item.leads.get(metric)
    if lead and lead.method == method and (found := _paired(metric, lead)):
        return found
    ours, theirs, sign = row.estimate(item.protocol, method, metric), item.estimate(metric), sign_of(metric)
    ahead = sign * (ours.value - theirs.value)
    if math.isnan(ours.low + ours.high):
        return Contest(ahead, None)
    if math.isnan(theirs.low + theirs.high):
        return Contest(ahead, False if ours.low <= theirs.value <= ours.high else None, of_unknown_size=True)
    low, high = sorted(sign * end for end in of_two_tests(ours, theirs))
    return Contest(ahead, not low <= 0 <= high, low, high)


def of_two_tests(one: Estimate, other: Estimate) -> tuple[float, float]:
    """Return the ends of the 95 % interval of the difference of two figures of unrelated tests."""
    value = one.value - other.value
    low = value - math.hypot(one.value - one.low, other.high - other.value)
    return low, value + math.hypot(one.high - one.value, other.value - other.low)


def published_contest(row: RowResult, kind: str, view: View) -> Beside | None:
    """Return the first published figure of a kind that can be compared, and how ours stands to it."""
    for item in row.figures_of(kind, view.published):
        if found := against_published(row, item):
            return Beside(item, shared_metrics(row, item)[0], found)
    return None


def against_naive(row: RowResult, protocol: str, method: str, *, alike: bool = True) -> Contest | None:
    """Compare a way of ours with the same network from scratch, or with the best by validation, alike or not."""
    other = row.naive(protocol, method if alike else None)
    return contest(row, protocol, method, other) if other else None


def against_baseline(row: RowResult, protocol: str, method: str) -> Contest | None:
    """Compare a way of ours with the best simple baseline."""
    other = row.best_baseline(protocol)
    return contest(row, protocol, method, other) if other else None


def apart(one: Estimate, other: Estimate) -> bool | None:
    """Return whether two intervals do not overlap, None where one is not known."""
    if any(math.isnan(end) for end in (one.low, one.high, other.low, other.high)):
        return None
    return one.low > other.high or one.high < other.low


def noise_words(clear: bool | None) -> str:
    """Return the end of a sentence on a difference: whether it is noise, None where that is unknown."""
    return {True: "", False: ", within noise", None: ", no interval"}[clear]


def is_defined(estimate: Estimate | None) -> bool:
    """Return whether a figure is there and is a number."""
    return estimate is not None and not math.isnan(estimate.value)


def sign_of(metric: str) -> int:
    """Return 1 where more is better, -1 where less is."""
    return -1 if metric in LESS_IS_BETTER else 1
