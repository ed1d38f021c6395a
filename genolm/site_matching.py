"""Which calls lie at a known site: strand-aware, within a distance, also over the origin of a circle.

A call is right when its summit lies at most ``tolerance`` bp from a known site on its own strand; a site is
found when such a call is there. Precision is the share of calls that are right, recall the share of sites
that are found: two calls beside one site are both right, and two sites beside one call are both found.
``pairs`` counts more strictly: the largest number of pairs of one call and one site each.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from genolm.errors import SettingsError

Circular = Mapping[str, int] | None


class Matches(NamedTuple):
    """Which calls and sites lie together.

    Attributes
    ----------
    true_calls : np.ndarray
        bool (calls,): a site is within the tolerance.
    found : np.ndarray
        bool (sites,): a call is.
    site : np.ndarray
        int64 (calls,): row of the nearest site, -1 where none is within the tolerance.
    offset : np.ndarray
        int64 (calls,): bp from that site to the summit, positive downstream of it; 0 where there is none.
    pairs : int
        Most pairs of one call and one site each, every call and site used at most once.
    """

    true_calls: np.ndarray
    found: np.ndarray
    site: np.ndarray
    offset: np.ndarray
    pairs: int


def match_sites(
    calls: pd.DataFrame,
    sites: pd.DataFrame,
    *,
    tolerance: int,
    circular: Circular = None,
    strand_aware: bool = True,
) -> Matches:
    """Match the summits of calls with known sites.

    Parameters
    ----------
    calls : pd.DataFrame
        Columns ``contig, summit, strand``.
    sites : pd.DataFrame
        Columns ``contig, position, strand``.
    tolerance : int
        Largest distance in bp, inclusive.
    circular : mapping of str to int, optional
        Length of each circular contig: distances go over its origin.
    strand_aware : bool
        Whether only sites on the call's own strand count.
    """
    if tolerance < 0:
        raise SettingsError(f"tolerance is {tolerance}; it must be 0 bp or more.")
    line = _Line.of(calls, sites, tolerance, circular or {}, strand_aware)
    order = np.argsort(line.sites, kind="stable")
    row, distance = _nearest(line.sites[order], line.calls)
    true = np.abs(distance) <= tolerance
    site = np.where(true, line.site_rows[order][row] if len(order) else -1, -1)
    downstream = np.where(calls["strand"].to_numpy() == "-", -distance, distance)
    found = np.zeros(len(sites), dtype=bool)
    found[line.site_rows[_span(np.sort(line.calls), line.sites, tolerance)[2]]] = True
    pairs = line.pairs(true, found, tolerance)
    return Matches(true, found, site, np.where(true, downstream, 0), pairs)


def judge_calls(
    calls: pd.DataFrame,
    sites: pd.DataFrame,
    *,
    tolerance: int,
    circular: Circular = None,
    strand_aware: bool = True,
) -> dict[str, float]:
    """Return counts, precision, recall and F1 of one set of calls, named as in :class:`TruthCurve`."""
    found = match_sites(calls, sites, tolerance=tolerance, circular=circular, strand_aware=strand_aware)
    right, hit = int(found.true_calls.sum()), int(found.found.sum())
    counts = {"calls": len(calls), "true_calls": right, "sites_found": hit, "pairs": found.pairs}
    precision = right / len(calls) if len(calls) else math.nan
    recall = hit / len(sites) if len(sites) else math.nan
    both = (precision or 0.0) + recall if len(calls) else 0.0
    return {
        **counts,
        "precision": precision,
        "recall": recall,
        "f1": 2 * precision * recall / both if both else 0.0,
    }


def best_scores(
    calls: pd.DataFrame,
    sites: pd.DataFrame,
    *,
    tolerance: int,
    circular: Circular = None,
    strand_aware: bool = True,
) -> np.ndarray:
    """Return the highest score of a call within the tolerance of each site, -inf where there is none."""
    line = _Line.of(calls, sites, tolerance, circular or {}, strand_aware)
    order = np.argsort(line.calls, kind="stable")
    left, right, any_call = _span(line.calls[order], line.sites, tolerance)
    scores = np.r_[calls["score"].to_numpy()[order], -np.inf]
    borders = np.stack([left[any_call], right[any_call]], axis=1).ravel()
    best = np.full(len(sites), -np.inf)
    if len(borders):
        np.maximum.at(best, line.site_rows[any_call], np.maximum.reduceat(scores, borders)[::2])
    return best


class _Line(NamedTuple):
    """Every contig and strand on one line, far enough apart that nothing of two of them lies together.

    ``sites`` has copies of those near an origin; ``site_rows`` says of which row each is.
    """

    calls: np.ndarray
    sites: np.ndarray
    site_rows: np.ndarray
    call_keys: np.ndarray
    site_keys: np.ndarray
    first: np.ndarray
    rounds: np.ndarray

    @classmethod
    def of(
        cls,
        calls: pd.DataFrame,
        sites: pd.DataFrame,
        tolerance: int,
        circular: Mapping[str, int],
        aware: bool,
    ) -> "_Line":
        names = pd.concat([calls["contig"], sites["contig"]], ignore_index=True)
        strands = pd.concat([calls["strand"], sites["strand"]], ignore_index=True).to_numpy()
        places = np.r_[calls["summit"].to_numpy(np.int64), sites["position"].to_numpy(np.int64)]
        numbers, contigs = pd.factorize(names)
        keys = numbers * 2 + (strands == "-") if aware else numbers * 2
        rounds = np.repeat([circular.get(name, 0) for name in contigs], 2).astype(np.int64)
        turn = rounds[keys] if len(keys) else np.zeros(0, dtype=np.int64)
        places = np.where(turn > 0, places % np.maximum(turn, 1), places)
        extents = np.maximum(rounds, 1)
        np.maximum.at(extents, keys, places + 1)
        first = np.r_[0, np.cumsum(extents + 3 * tolerance + 3)][:-1] + tolerance
        count = len(calls)
        placed, rows = first[keys[count:]] + places[count:], np.arange(len(sites))
        near = (turn[count:] > 0) & (places[count:] < tolerance)
        far = (turn[count:] > 0) & (places[count:] >= turn[count:] - tolerance)
        copies = [placed, (placed + turn[count:])[near], (placed - turn[count:])[far]]
        return cls(
            first[keys[:count]] + places[:count],
            np.concatenate(copies),
            np.concatenate([rows, rows[near], rows[far]]),
            keys[:count],
            keys[count:],
            first,
            rounds,
        )

    def pairs(self, true: np.ndarray, found: np.ndarray, tolerance: int) -> int:
        """Return the size of the largest one-to-one matching."""
        keys = np.r_[self.call_keys[true], self.site_keys[found]]
        calls, sites = self.calls[true], self.sites[: len(self.site_keys)][found]
        for key in np.unique(keys[self.rounds[keys] > 0]) if len(keys) else ():
            turn, first = self.rounds[key], self.first[key]
            mine, theirs = self.call_keys[true] == key, self.site_keys[found] == key
            cut = _widest_gap(np.r_[calls[mine], sites[theirs]] - first, turn)
            calls = np.where(mine, first + (calls - first - cut) % turn, calls)
            sites = np.where(theirs, first + (sites - first - cut) % turn, sites)
        return _greedy_pairs(np.sort(calls).tolist(), np.sort(sites).tolist(), tolerance)


def _widest_gap(places: np.ndarray, turn: int) -> int:
    """Return the place on a circle after its widest empty stretch."""
    ordered = np.sort(places)
    return int(ordered[np.argmax(np.diff(ordered, prepend=ordered[-1] - turn))])


def _greedy_pairs(calls: list[int], sites: list[int], tolerance: int) -> int:
    """Pair from the left; no other way gives more pairs where all reach equally far."""
    pairs = call = site = 0
    while call < len(calls) and site < len(sites):
        distance = calls[call] - sites[site]
        pairs += abs(distance) <= tolerance
        step = (distance <= tolerance, distance >= -tolerance)
        call, site = call + step[0], site + step[1]
    return pairs


def _nearest(ordered: np.ndarray, queries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return place in ``ordered`` of the value nearest to each query, and query minus value."""
    if not len(ordered):
        return np.zeros(len(queries), dtype=np.int64), np.full(len(queries), np.iinfo(np.int64).max)
    right = np.searchsorted(ordered, queries)
    left, right = np.maximum(right - 1, 0), np.minimum(right, len(ordered) - 1)
    nearest = np.where(queries - ordered[left] <= np.abs(ordered[right] - queries), left, right)
    return nearest, queries - ordered[nearest]


def _span(
    ordered: np.ndarray, centres: np.ndarray, reach: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return first and last place in ``ordered`` within ``reach`` of each centre, and whether any is."""
    left = np.searchsorted(ordered, centres - reach, side="left")
    right = np.searchsorted(ordered, centres + reach, side="right")
    return left, right, right > left
