"""How good a scan is where the answer is known: its calls against known sites, over all thresholds.

What a right call and a found site are stands in :mod:`genolm.site_matching`, how calls are made in
:mod:`genolm.peaks`; they are made anew at every threshold.

AUPRC is average precision, the sum over ranks of (rise of recall) x (precision there), of all local maxima
of the scores under non-maximum suppression, best first; no line is drawn between points, which would flatter
(Davis and Goadrich 2006, doi:10.1145/1143844.1143874). Equal scores share one rank.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from genolm.errors import SettingsError, first_names
from genolm.peaks import Method, call_peaks
from genolm.site_matching import Circular, Matches, best_scores, judge_calls, match_sites
from genolm.tracks import Track
from genolm.truth_intervals import Blocks, precision_interval, score_intervals

__all__ = [
    "CountedSites",
    "Matches",
    "TruthCurve",
    "counted_sites",
    "judge_calls",
    "match_sites",
    "scored_pieces",
    "truth_curve",
]

THRESHOLDS = 60
FORMAT_VERSION = 1
_CALLS_PER_SITE = 20
_MOST_HITS = 4_000_000
_COUNTS = ("calls", "true_calls", "sites_found", "pairs")
_SCORES = ("precision", "recall", "f1")


@dataclass(frozen=True)
class TruthCurve:
    """Precision and recall of a scan over thresholds.

    Attributes
    ----------
    table : pd.DataFrame
        One row per threshold, ascending: ``threshold, calls, true_calls, sites_found, pairs, precision,
        recall, f1``, and where intervals were asked for the ends of three of them, ``precision_low``,
        ``precision_high`` and so on. Precision is NaN without calls.
    auprc : float
    sites : int
        Known sites that the scan could find.
    tolerance : int
        In bp.
    outside : int
        Known sites left out since no track covers them on their strand.
    unstranded : int
        Known sites left out for they have no strand, while others have.
    strand_aware : bool
        False where no site has a strand, so that calls on either strand count.
    auprc_interval : tuple of float, optional
        Ends of the 95 % interval.
    """

    table: pd.DataFrame
    auprc: float
    sites: int
    tolerance: int
    outside: int = 0
    unstranded: int = 0
    strand_aware: bool = True
    auprc_interval: tuple[float, float] | None = None

    @property
    def best(self) -> dict[str, float]:
        """The row of the highest F1 as a dict."""
        row = self.table.loc[self.table["f1"].idxmax()]
        return {str(name): float(value) for name, value in row.items()}

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON data, None for NaN."""
        rows = [
            {str(name): _plain(value) for name, value in row.items()} for row in self.table.to_dict("records")
        ]
        facts = {name: value for name, value in vars(self).items() if name not in ("table", "auprc_interval")}
        interval = None if self.auprc_interval is None else [_plain(end) for end in self.auprc_interval]
        return {"format_version": FORMAT_VERSION, **facts, "auprc_interval": interval, "table": rows}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "TruthCurve":
        """Return what :meth:`to_json` gave; another format is refused."""
        facts = dict(data)
        version = facts.pop("format_version", None)
        if version != FORMAT_VERSION:
            raise SettingsError(f"This comparison has format {version}; genolm reads {FORMAT_VERSION}.")
        table = pd.DataFrame(facts.pop("table"))
        table = table.astype({name: np.int64 if name in _COUNTS else np.float64 for name in table})
        ends = facts.pop("auprc_interval")
        interval = None if ends is None else tuple(math.nan if end is None else end for end in ends)
        return cls(table=table, auprc_interval=interval, **facts)


def truth_curve(
    tracks: Iterable[Track],
    sites: pd.DataFrame,
    *,
    tolerance: int,
    window_length: int,
    thresholds: Sequence[float] | None = None,
    merge_distance: int | None = None,
    min_distance: int = 0,
    circular: Circular = None,
    method: Method = "merge",
    draws: int = 0,
    seed: int = 1,
    blocks: Blocks | None = None,
) -> TruthCurve:
    """Make calls at every threshold and compare them with known sites.

    Parameters
    ----------
    tracks : iterable of Track
    sites : pd.DataFrame
        Columns ``contig, position, strand``, such as from :func:`genolm.annotation.sites_of`; one that
        stands twice counts once.
    tolerance : int
        In bp, inclusive.
    window_length, merge_distance, min_distance, circular, method
        See :func:`genolm.peaks.call_peaks`: the calls that the table is of.
    thresholds : sequence of float, optional
        Up to sixty by default, from the best call's score down to where there are 20 calls for each site.
    draws : int
        Draws for 95 % intervals; 0, the default, gives none.
    seed : int
        Of the draws.
    blocks : Blocks, optional
        What is drawn, by default :meth:`genolm.truth_intervals.Blocks.of` of the tracks. Of a single one no interval
        is known, its ends are NaN.

    Raises
    ------
    SettingsError
        When no known site lies where the scan looked.

    Notes
    -----
    Of more than four million scores only the best four million are ranked for the AUPRC; what lies below
    them could add next to nothing.
    """
    tracks = list(tracks)
    truth = counted_sites(tracks, sites, tolerance=tolerance, circular=circular)
    options: dict[str, Any] = {
        "window_length": window_length,
        "merge_distance": merge_distance,
        "min_distance": min_distance,
        "circular": circular,
    }
    ranking = _Ranking.of(call_peaks(tracks, threshold=_floor(tracks), method="nms", **options), truth)

    def calls_at(threshold: float) -> pd.DataFrame:
        if method == "nms":
            return ranking.from_score(threshold)
        return call_peaks(tracks, threshold=threshold, method=method, **options)

    if thresholds is None:
        thresholds = ranking.thresholds(_CALLS_PER_SITE * len(truth.sites))
    blocks = (blocks or Blocks.of(tracks, window=window_length)) if draws else None
    rows = [_row(level, calls_at, truth, (blocks, draws, seed)) for level in sorted(set(thresholds))]
    return TruthCurve(
        pd.DataFrame(rows),
        ranking.average_precision(),
        len(truth.sites),
        tolerance,
        outside=truth.outside,
        unstranded=truth.unstranded,
        strand_aware=truth.strand_aware,
        auprc_interval=ranking.interval(truth, blocks, draws, seed) if blocks else None,
    )


class CountedSites(NamedTuple):
    """The known sites that a scan could find.

    Attributes
    ----------
    sites : pd.DataFrame
        Each once.
    rules : dict
        The options of :func:`judge_calls` and :func:`match_sites` for calls against these sites.
    outside, unstranded : int
        Sites that were left out, see :class:`TruthCurve`.
    """

    sites: pd.DataFrame
    rules: dict[str, Any]
    outside: int
    unstranded: int

    @property
    def strand_aware(self) -> bool:
        """False where calls on either strand count."""
        return bool(self.rules["strand_aware"])


def counted_sites(
    tracks: Iterable[Track], sites: pd.DataFrame, *, tolerance: int, circular: Circular = None
) -> CountedSites:
    """Return the known sites that count: those that a track covers, its ends reaching ``tolerance`` further.

    Parameters
    ----------
    tracks, sites, tolerance, circular
        See :func:`truth_curve`, which judges these sites.

    Raises
    ------
    SettingsError
        When there is none.
    """
    if tolerance < 0:
        raise SettingsError(f"tolerance is {tolerance}; it must be 0 bp or more.")
    tracks, stranded = list(tracks), sites["strand"].isin(["+", "-"])
    aware = bool(stranded.any()) and any(track.strand != "." for track in tracks)
    key = ["contig", "position", "strand"] if aware else ["contig", "position"]
    known = (sites[stranded] if aware else sites).drop_duplicates(key, ignore_index=True)
    seen = _covered(known, tracks, tolerance, circular or {}, aware)
    if not seen.any():
        raise SettingsError(
            f"None of the {len(known):,} known sites lies where the scan looked; contigs of the sites: "
            f"{first_names(known['contig'].unique().tolist())}; of the scan: "
            f"{first_names(list(dict.fromkeys(track.contig for track in tracks)))}."
        )
    rules = {"tolerance": tolerance, "circular": circular, "strand_aware": aware}
    left = int((~stranded).sum()) if aware else 0
    return CountedSites(known[seen].reset_index(drop=True), rules, int((~seen).sum()), left)


def scored_pieces(tracks: Iterable[Track]) -> list[Track]:
    """Return tracks cut where they hold no score.

    Their calls are the same, and no piece covers a site where the scan did not look, such as one between two
    regions.
    """
    return [
        Track(track.contig, track.strand, start, track.step, track.span, values)
        for track in tracks
        for start, values in track.runs(limit=max(1, len(track)))
    ]


def _covered(
    sites: pd.DataFrame, tracks: Sequence[Track], tolerance: int, circular: Mapping[str, int], aware: bool
) -> np.ndarray:
    """Return which sites have a track on their contig and strand, ends reaching ``tolerance`` further."""
    seen = np.zeros(len(sites), dtype=bool)
    rows_of = sites.groupby("contig", sort=False).indices
    places, strands = sites["position"].to_numpy(), sites["strand"].to_numpy()
    for track in tracks:
        rows = rows_of.get(track.contig, np.zeros(0, dtype=np.int64))
        inside = places[rows] - (track.start - tolerance)
        if track.contig in circular:
            inside = inside % circular[track.contig]
        here = (inside >= 0) & (inside < track.end - track.start + 2 * tolerance)
        seen[rows[here & (strands[rows] == track.strand) if aware else here]] = True
    return seen


class _Ranking(NamedTuple):
    """Calls best first, which of them are right, and the best score at each site."""

    calls: pd.DataFrame
    scores: np.ndarray
    true: np.ndarray
    site_scores: np.ndarray

    @classmethod
    def of(cls, calls: pd.DataFrame, truth: CountedSites) -> "_Ranking":
        order = np.argsort(-calls["score"].to_numpy(), kind="stable")
        ranked = calls.iloc[order].reset_index(drop=True)
        true = match_sites(ranked, truth.sites, **truth.rules).true_calls
        return cls(ranked, ranked["score"].to_numpy(), true, best_scores(ranked, truth.sites, **truth.rules))

    def from_score(self, threshold: float) -> pd.DataFrame:
        """Return the calls at a threshold, which are those of the lowest one that score so high."""
        return self.calls[self.scores >= float(np.float32(threshold))]

    def thresholds(self, most: int) -> list[float]:
        """Return scores, each of which gives some per cent more calls than the one before."""
        last = min(len(self.scores), max(1, most))
        ranks = np.unique(np.rint(np.geomspace(1, last, THRESHOLDS)).astype(np.int64)) - 1
        return self.scores[ranks].tolist()

    def average_precision(self) -> float:
        """Return the sum of precision over the ranks where recall rises, weighed by the rise."""
        reached = self.site_scores[np.isfinite(self.site_scores)]
        above = np.searchsorted(-self.scores, -reached, side="right")
        right = np.r_[0, np.cumsum(self.true)]
        return float((right[above] / np.maximum(above, 1)).sum() / len(self.site_scores))

    def interval(self, truth: CountedSites, blocks: Blocks, draws: int, seed: int) -> tuple[float, float]:
        """Return the 95 % interval of average precision."""
        of_call = blocks.number(self.calls["contig"], self.calls["summit"])
        of_site = blocks.number(truth.sites["contig"], truth.sites["position"])
        calls = {"block": of_call, "score": self.scores, "true": self.true}
        sites = {"block": of_site, "score": self.site_scores}
        estimate = precision_interval(calls, sites, blocks.count, draws, seed)
        moved = self.average_precision() - estimate.value
        return estimate.low + moved, estimate.high + moved


def _row(
    threshold: float,
    calls_at: Callable[[float], pd.DataFrame],
    truth: CountedSites,
    drawing: tuple[Blocks | None, int, int],
) -> dict[str, float]:
    """Return one row of the table, with intervals where there are blocks to draw."""
    calls, (blocks, draws, seed) = calls_at(threshold), drawing
    row = {"threshold": threshold, **judge_calls(calls, truth.sites, **truth.rules)}
    if blocks is None:
        return row
    matches = match_sites(calls, truth.sites, **truth.rules)
    of_call = blocks.number(calls["contig"], calls["summit"])
    of_site = blocks.number(truth.sites["contig"], truth.sites["position"])
    parts = (of_call, of_call[matches.true_calls], of_site[matches.found])
    counts = [np.bincount(part, minlength=blocks.count) for part in parts]
    known = np.bincount(of_site, minlength=blocks.count)
    estimates = score_intervals(counts, known, draws, seed)
    for name in _SCORES:
        row |= {f"{name}_low": estimates[name].low, f"{name}_high": estimates[name].high}
    return row


def _floor(tracks: Sequence[Track]) -> float:
    """Return the lowest score to rank from: the lowest of all, or of the best four million."""
    values = np.concatenate([track.values[~np.isnan(track.values)] for track in tracks])
    if not len(values):
        raise SettingsError("The tracks hold no score to compare with known sites.")
    rank = max(0, len(values) - _MOST_HITS)
    return float(np.partition(values, rank)[rank])


def _plain(value: float) -> float | None:
    return None if value != value else value
