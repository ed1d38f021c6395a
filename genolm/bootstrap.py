"""Intervals and tests by drawing items with replacement (Efron 1979, doi:10.1214/aos/1176344552).

A statistic is a function from weights (draws, items), how often each item came up in each draw, to named
figures (draws,). So scores are sorted once and every figure is sums over weights. A figure that is not
defined in a draw is NaN there, and the draw is left out of that figure's interval.

Items that are right or wrong together, such as reads of one reference, tell less than as many unrelated ones. Where
their groups are given, whole groups are drawn, as many as there are (Davison and Hinkley 1997,
doi:10.1017/CBO9780511802843, section 3.8); of a single item or group no interval is known.

Where every item is answered right, every draw says so too, and would give an interval without width. There, and where
few items make a difference, one more item is thought of, whose answer is unknown: an :class:`Unseen` one
is wrong, or right, and all have random weights (Rubin 1981, doi:10.1214/aos/1176345338). So the interval of a share of
n hits of n begins at 0.025^(1/n), as that of Clopper and Pearson (1934, doi:10.1093/biomet/26.4.404) does, and the p of
two models that differ on n items, always in favour of the same one, is that of an exact sign test, 2 / 2^n. Large
groups bound p alone, see :data:`ROWS_OF_A_GROUP`.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from genolm.errors import SettingsError

LARGEST_GROUP = 0.5
"""Share of the items that a group may have for intervals to be drawn over groups."""
FEW_GROUPS = 20
"""With fewer groups intervals are clearly too narrow: those of means of made-up groups, called 95 %, held the truth in
81 % of tests with 4 groups, 84 % with 6, 91 % with 10, 92 % with 20 and 95 % with 40."""
RAISED = ("ece",)
"""Figures that drawing itself raises, as noise only adds to them, and which are 0 at least: their draws are moved so
that the middle one is the figure of all items. Else an interval may not hold its own figure."""
_CELLS_AT_ONCE = 100_000
Z95 = 1.959963984540054
"""Standard deviations of a normal distribution that hold 95 %."""

CENTRED = ("mcc",)
"""Figures from -1 to 1, 0 being that of chance."""
SMALL_LEAD = 100
"""A difference is tried with an unseen item where difference times items, or groups, is less: it rests on few then."""
SMALL_TEST = 200
"""Or where there are at most so many items, or groups."""
DOUBTED_P = 0.2
"""And where its p is below."""
ROWS_OF_A_GROUP = 2
"""Groups of so many rows or more on average are mostly neither all right nor all wrong. An unseen one that is would
hide nearly every lead: one of .4 in logits over 20 groups of 50 rows was found in no test, without it in all of 100. Such
groups only bound p, by 2 / 2^groups; without that bound 3 or 4 of them gave false alarms in 13 to 20 % of tests."""
SURE_P = 0.05

Array = np.ndarray
Figures = dict[str, Array]
Statistic = Callable[[Array], Figures]
Groups = Array | Sequence[str]
"""The group of each item, (items,)."""


@dataclass(frozen=True)
class Unseen:
    """A statistic of the items and, after them, ``kinds`` surely wrong ones and then ``kinds`` surely right ones."""

    statistic: Statistic
    kinds: int


@dataclass(frozen=True)
class Estimate:
    """A figure with the ends of its 95 % interval; NaN where it is not defined."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        if math.isnan(self.value):
            return "not defined"
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"

    @property
    def is_flat(self) -> bool:
        """Whether the interval has no width, up to rounding."""
        return math.isclose(self.low, self.high, abs_tol=1e-9)

    def as_dict(self) -> dict[str, float | None]:
        """Return ``value``, ``low`` and ``high`` as JSON can hold them: None for NaN."""
        return {key: None if math.isnan(number) else number for key, number in vars(self).items()}


@dataclass(frozen=True)
class Difference:
    """A figure of two models on the same items, and a minus b.

    ``p`` is two-sided: how often chance in the choice of items would turn the sign round, twice the smaller
    tail of the draws, at least 2 / (draws + 1); NaN where the figure is not defined.
    """

    a: Estimate
    b: Estimate
    difference: Estimate
    p: float

    def as_dict(self) -> dict[str, object]:
        """Return plain JSON data."""
        parts = {key: getattr(self, key).as_dict() for key in ("a", "b", "difference")}
        return {**parts, "p": None if math.isnan(self.p) else self.p}


def check_draws(n_boot: int) -> None:
    """Refuse no draws at all, which give no interval."""
    if n_boot < 1:
        raise SettingsError(f"n_boot is {n_boot}; an interval needs draws, as a rule 1,000 or more.")


def bootstrap(
    statistic: Statistic,
    count: int,
    n_boot: int,
    seed: int,
    *,
    groups: Groups | None = None,
    unseen: Unseen | None = None,
) -> dict[str, Estimate]:
    """Return each figure of ``count`` items with its percentile interval; ``groups`` names the group of each item.

    Without ``unseen`` a figure that is the same in all draws has an interval without width.
    """
    values, draws = _drawn(statistic, count, n_boot, seed, groups)
    found = {name: _interval(value, _settled(name, value, draws[name])) for name, value in values.items()}
    flat = [name for name, item in found.items() if _is_at_limit(name, item)]
    if unseen is None or not flat:
        return found
    tried = _drawn_with_unseen([unseen], count, n_boot, seed, groups)
    return found | {name: _hull(found[name], [draws[0][name] for draws in tried]) for name in flat}


def paired_bootstrap(
    first: Statistic,
    second: Statistic,
    count: int,
    *,
    n_boot: int = 2000,
    seed: int = 1,
    groups: Groups | None = None,
    unseen: tuple[Unseen | None, Unseen | None] = (None, None),
) -> dict[str, Difference]:
    """Compare two models on the same ``count`` items: the same items, or the same ``groups``, are drawn for both.

    Only figures that both statistics give are compared. With ``unseen`` of both few items that all speak for the same model
    give no narrower an interval and no lower a p than their number allows.
    """

    def both(weights: Array) -> Figures:
        a, b = first(weights), second(weights)
        shared = [name for name in a if name in b]
        return {f"{side} {name}": found[name] for side, found in (("a", a), ("b", b)) for name in shared}

    values, draws = _drawn(both, count, n_boot, seed, groups)
    names = [key.removeprefix("a ") for key in values if key.startswith("a ")]
    found = {name: _difference(name, values, draws) for name in names}
    several = count if groups is None else count_groups(groups)
    doubted = [
        name
        for name, item in found.items()
        if (several <= SMALL_TEST or abs(item.difference.value) * several < SMALL_LEAD)
        and (item.p < DOUBTED_P or _is_at_limit(name, item.a) or _is_at_limit(name, item.b))
    ]
    with_unseen = [item for item in unseen if item is not None]
    if len(with_unseen) < 2 or not doubted:
        return found
    if count >= ROWS_OF_A_GROUP * several:
        return found | {name: _of_few_groups(found[name], several) for name in doubted}
    tried = _drawn_with_unseen(with_unseen, count, n_boot, seed, groups)
    return found | {name: _doubted(found[name], [(a[name], b[name]) for a, b in tried]) for name in doubted}


def _is_at_limit(name: str, found: Estimate) -> bool:
    """Return whether a figure is the same in all draws because it can be no higher, or no lower.

    That of answers which are all the same, such as an AUROC of one half, is the same in all draws by its nature.
    """
    ends = (1.0,) if name in CENTRED else (0.0, 1.0)
    return found.is_flat and any(math.isclose(abs(found.value), end, abs_tol=1e-9) for end in ends)


def usable(groups: Groups) -> Array | None:
    """Return groups that intervals can be drawn over, None where one of them has more than half of the items.

    Then hardly anything but that one would be drawn. Over single items intervals are too narrow, which is to be said.
    """
    found = np.asarray(groups)
    sizes = np.unique(found, return_counts=True)[1]
    return found if sizes.max(initial=1) <= max(1.0, LARGEST_GROUP * len(found)) else None


def count_groups(groups: Groups | None) -> int:
    """Return how many groups intervals are drawn over; 0 where :func:`usable` found none."""
    return 0 if groups is None else len(np.unique(np.asarray(groups)))


def drawn_words(drawn: int | None, rows: int) -> str:
    """Say what intervals are drawn over: :func:`count_groups` is ``drawn``, None where it is not known."""
    if drawn is None or drawn == rows:
        return ""
    if drawn == 0:
        return (
            "More than half of the rows are related, directly or by a chain, so that intervals are drawn over "
            "single rows and are too narrow."
        )
    said = f"Intervals are drawn over {drawn:,} groups of related rows among {rows:,}."
    return said if drawn >= FEW_GROUPS else f"{said} So few groups make them too narrow."


def taken(groups: Groups | None, items: Array) -> Array | None:
    """Return the groups of some items, by their numbers or as bool of all; None where there are none."""
    return None if groups is None else np.asarray(groups)[items]


def wilson(hits: int, count: int) -> Estimate:
    """Return the share ``hits / count`` with its 95 % Wilson interval; NaN without items."""
    if count == 0:
        return Estimate(math.nan, math.nan, math.nan)
    low, high = wilson_ends(np.float64(hits / count), np.float64(count))
    return Estimate(hits / count, float(low), float(high))


def wilson_ends(share: Array, count: Array) -> tuple[Array, Array]:
    """Return the ends of the 95 % Wilson interval of each share of ``count`` items, float64 (n,), one or more each."""
    squared = Z95**2
    middle = (share + squared / (2 * count)) / (1 + squared / count)
    reach = Z95 / (1 + squared / count) * np.sqrt(share * (1 - share) / count + squared / (4 * count**2))
    return np.maximum(middle - reach, 0.0), np.minimum(middle + reach, 1.0)


def share(hits: Array, groups: Array | None = None) -> Estimate:
    """Return the share of ``hits``, bool (n,), with its 95 % interval; NaN without items.

    That of Wilson where all items are unrelated. Else it is Wilson's of as many unrelated items as tell as much
    (Korn and Graubard 1998, Survey Methodology 24:193-201): by how far the ``groups`` differ from each other and how
    many they are or, where all items are hits or none is, by the sizes of the groups alone. On made-up groups of 8
    items on average it held the truth in 83 to 98 % of tests with 20 groups or more; Wilson's of all items in 45 to
    81 % of those where items of a group were alike.
    """
    count = _effective_count(np.asarray(hits, dtype=np.float64), groups)
    if not count:
        return Estimate(math.nan, math.nan, math.nan)
    value = float(np.mean(hits))
    low, high = wilson_ends(np.float64(value), np.float64(count))
    return Estimate(value, float(low), float(high))


def _effective_count(hits: Array, groups: Array | None) -> float:
    """Return how many unrelated items tell as much of their share of hits."""
    total = len(hits)
    place = np.arange(total) if groups is None else np.unique(groups, return_inverse=True)[1]
    sizes = np.bincount(place).astype(np.float64)
    if len(sizes) == total:
        return total
    if len(sizes) == 1:
        return 1.0
    value = hits.mean()
    if value in (0.0, 1.0):
        return float(total**2 / (sizes**2).sum())
    off = np.bincount(place, weights=hits) - value * sizes
    variance = len(sizes) / (len(sizes) - 1) * (off**2).sum() / total**2
    few = (Z95 / float(stdtrit(len(sizes) - 1, 0.975))) ** 2
    return float(np.clip(few * value * (1 - value) / max(variance, 1e-12), 1.0, total))


def draw_weights(rng: np.random.Generator, rows: int, count: int) -> Array:
    """Return how often each item comes up in each draw, float64 (rows, count)."""
    chosen = rng.integers(0, count, (rows, count))
    chosen += np.arange(rows)[:, None] * count
    return np.bincount(chosen.ravel(), minlength=rows * count).reshape(rows, count).astype(np.float64)


def _drawn(
    statistic: Statistic, count: int, n_boot: int, seed: int, groups: Groups | None
) -> tuple[dict[str, float], Figures]:
    """Return each figure of all items and of each draw; whole groups are drawn where they are given."""
    if count == 0:
        raise SettingsError("There are no items to score.")
    if groups is not None and len(groups) != count:
        raise SettingsError(f"There are {count} items but {len(groups)} of them have a group.")
    values = {name: float(found[0]) for name, found in statistic(np.ones((1, count))).items()}
    rng = np.random.default_rng(seed)
    rows = max(1, _CELLS_AT_ONCE // count)
    blocks = [min(rows, n_boot - done) for done in range(0, n_boot, rows)]
    names, place = _groups_of(count, groups)
    # One item or group alone says nothing of how others would differ.
    blocks = blocks if len(names) > 1 else []
    if len(names) == count:
        draws = [statistic(draw_weights(rng, block, count)) for block in blocks]
    else:
        draws = [statistic(draw_weights(rng, block, len(names))[:, place]) for block in blocks]
    joined = {name: np.concatenate([np.empty(0), *(draw[name] for draw in draws)]) for name in values}
    return values, joined


def _groups_of(count: int, groups: Groups | None) -> tuple[Array, Array]:
    """Return the names of the groups and the group of each item, as numbers; in order where each stands alone."""
    names, place = np.unique(np.arange(count) if groups is None else np.asarray(groups), return_inverse=True)
    return names, np.arange(count) if len(names) == count else place


def _drawn_with_unseen(
    unseen: Sequence[Unseen], count: int, n_boot: int, seed: int, groups: Groups | None
) -> list[list[Figures]]:
    """Return the draws of each statistic where the first is wrong on an unseen item and the other right, and reversed.

    A group, and the unseen item, weighs as much as a number drawn from an exponential distribution says; the unseen
    item is as large as a group is on average.
    """
    names, place = _groups_of(count, groups)
    kinds, rng, passes = unseen[0].kinds, np.random.default_rng(seed), []
    rows = max(1, _CELLS_AT_ONCE // count)
    for first_is_right in (0, 1):
        parts: list[list[Figures]] = [[] for _ in unseen]
        for done in range(0, n_boot, rows):
            size = min(rows, n_boot - done)
            weights = rng.exponential(size=(size, len(names)))[:, place]
            own, chosen = rng.exponential(size=size) * count / len(names), rng.integers(0, kinds, size)
            for number, item in enumerate(unseen):
                extra = np.zeros((size, 2 * kinds))
                extra[np.arange(size), chosen + kinds * (first_is_right ^ number)] = own
                parts[number].append(item.statistic(np.hstack([weights, extra])))
        passes.append([_joined(part) for part in parts])
    return passes


def _joined(parts: list[Figures]) -> Figures:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _hull(found: Estimate, tried: Sequence[Array]) -> Estimate:
    """Return the estimate with an interval that holds its own and those of other draws."""
    ends = [(item.low, item.high) for item in (_interval(found.value, draws) for draws in tried)]
    low, high = np.nanmin([found.low, *(low for low, _ in ends)]), np.nanmax([found.high, *(high for _, high in ends)])
    # Sums of random weights are off by some 1e-16.
    low, high = (found.value if math.isclose(end, found.value, abs_tol=1e-12) else float(end) for end in (low, high))
    return Estimate(found.value, low, high)


def _of_few_groups(found: Difference, groups: int) -> Difference:
    """Return a difference with no lower a p than a sign test of so many groups could have, and an interval to match."""
    p = max(found.p, min(1.0, 2.0 / 2**groups))
    gap = found.difference
    if p >= SURE_P:
        gap = Estimate(gap.value, min(gap.low, 0.0), max(gap.high, 0.0))
    return Difference(found.a, found.b, gap, p)


def _doubted(found: Difference, tried: Sequence[tuple[Array, Array]]) -> Difference:
    """Return a difference with the p and the interval that one unseen item leaves to it."""
    changes = [a - b for a, b in tried]
    a, b = (
        _hull(item, [draws[side] for draws in tried]) if item.is_flat else item
        for side, item in enumerate((found.a, found.b))
    )
    p = max(_p_value(found.difference.value, change) for change in changes)
    is_in_doubt = p > found.p
    gap = _hull(found.difference, changes) if is_in_doubt else found.difference
    return Difference(a, b, gap, max(p, found.p))


def _difference(name: str, values: dict[str, float], draws: Figures) -> Difference:
    (a, b), (draws_a, draws_b) = ([kept[f"{side} {name}"] for side in "ab"] for kept in (values, draws))
    draws_a, draws_b = _settled(name, a, draws_a), _settled(name, b, draws_b)
    change = draws_a - draws_b
    return Difference(_interval(a, draws_a), _interval(b, draws_b), _interval(a - b, change), _p_value(a - b, change))


def _p_value(value: float, change: Array) -> float:
    """Return the two-sided p of a difference; NaN where it is not defined."""
    known = change[~np.isnan(change)]
    if not len(known) or math.isnan(value):
        return math.nan
    tail = min((known <= 0).sum(), (known >= 0).sum())
    return min(1.0, 2.0 * (float(tail) + 1.0) / (len(known) + 1.0))


def _settled(name: str, value: float, draws: Array) -> Array:
    """Return the draws of a figure, moved where it is one of :data:`RAISED`."""
    known = draws[~np.isnan(draws)]
    if name not in RAISED or not len(known):
        return draws
    return np.maximum(draws - (np.median(known) - value), 0.0)


def _interval(value: float, draws: Array) -> Estimate:
    found = draws[~np.isnan(draws)]
    if math.isnan(value) or not len(found):
        return Estimate(value, math.nan, math.nan)
    low, high = np.quantile(found, [0.025, 0.975])
    return Estimate(value, float(low), float(high))
