"""From scores to calls: windows over a threshold, merged into intervals with one summit each.

How a call is defined, whatever the stride:

- Every value of a track speaks of one base, its site, and covers the bases of its bin
  (:class:`genolm.tracks.Track`).
- A hit is a value at or over the threshold. Two neighbouring hits of one strand belong to one run when
  their sites are at most ``merge_distance`` apart, or when no other window lies between them.
- With the method "merge" a run is a call. It reaches from the start of its first hit's bin to the end of its
  last hit's bin. A stretch of r bases over the threshold so gives a call of r bases, within one stride, at
  every stride.
- The score is the highest value in the call. The summit is the site of that value; where several values
  share it (a plateau), the middle of the longest unbroken plateau, the leftmost of equally long ones.
- With the method "nms" (non-maximum suppression; Neubeck and Van Gool 2006, doi:10.1109/ICPR.2006.479) every
  local maximum that no better one near it hides is the summit of a call, so that a wide run may hold several
  calls. Each hit goes to the nearest such summit of its run (the left one of two equally near), so the runs
  are cut half-way between summits. A summit at a high threshold is one at every lower threshold too.
- A circular contig has no ends: runs, distances and calls go over the origin. Such a call has
  ``start < length < end``; its summit is counted from the origin again. Where the length is no multiple of the
  stride, the last window and the first lie the rest further apart than others do; they are neighbours all the
  same, and distances that decide on runs, maxima and plateaus are taken without that rest.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple, get_args

import numpy as np
import pandas as pd

from genolm.errors import SettingsError
from genolm.tracks import Track

Method = Literal["merge", "nms"]
CALL_COLUMNS = ("contig", "start", "end", "strand", "summit", "score")
_CALL_TYPES = {"contig": object, "start": np.int64, "end": np.int64, "strand": object,
               "summit": np.int64, "score": np.float64}


class _Hits(NamedTuple):
    """Values over the threshold on one strand of one contig, all arrays (hits,), in ascending order."""

    starts: np.ndarray
    ends: np.ndarray
    sites: np.ndarray
    values: np.ndarray


class _Rules(NamedTuple):
    """What decides the calls of one strand; ``length`` is that of a circle, None on a linear contig."""

    reach: int
    step: int
    min_distance: int
    method: str
    length: int | None

    def gaps(self, sites: np.ndarray) -> np.ndarray:
        """Return the distances of neighbouring sites, the longer step over an origin as one like any other."""
        found = np.diff(sites)
        if self.length is None:
            return found
        return found - self.length % self.step * np.diff(sites // self.length)


def call_peaks(
    tracks: Iterable[Track],
    *,
    threshold: float,
    window_length: int,
    merge_distance: int | None = None,
    min_distance: int = 0,
    circular: Mapping[str, int] | None = None,
    method: Method = "merge",
) -> pd.DataFrame:
    """Turn the hits of each contig and strand into calls; the module's text has the exact definition.

    Parameters
    ----------
    tracks : iterable of Track
        Probabilities; a contig's strand may come in several pieces, calls go across their borders.
    threshold : float
        Values at or over it are hits.
    window_length : int
        Length in bp of the windows that were scored.
    merge_distance : int, optional
        Largest distance in bp between the sites of neighbouring hits of one run; half of
        ``window_length`` by default: such windows share at least half of their bases.
    min_distance : int
        Of calls on one strand whose summits are less than this many bp apart only the best is kept (the
        leftmost of equally good ones). 0, the default, keeps all merged calls; for "nms" it stands for
        ``merge_distance``.
    circular : mapping of str to int, optional
        Length of each circular contig; all others are linear.
    method : {"merge", "nms"}

    Returns
    -------
    pd.DataFrame
        Columns ``contig, start, end, strand, summit, score``, 0-based half-open, by contig in the order
        of the tracks, then by start and strand.
    """
    tracks = list(tracks)
    merge_distance = window_length // 2 if merge_distance is None else merge_distance
    _check_options(threshold, window_length, min(merge_distance, min_distance), method)
    if method == "nms":
        min_distance = min_distance or merge_distance
    groups: dict[tuple[str, str], list[Track]] = {}
    for track in tracks:
        groups.setdefault((track.contig, track.strand), []).append(track)
    frames = []
    for (contig, strand), pieces in groups.items():
        step = max(piece.step for piece in pieces)
        length = (circular or {}).get(contig)
        rules = _Rules(max(merge_distance, step), step, min_distance, method, length)
        calls = _strand_calls(_hits(pieces, threshold, length), rules)
        calls.insert(0, "contig", contig)
        calls.insert(3, "strand", strand)
        frames.append(calls)
    return _in_order(frames, list(dict.fromkeys(track.contig for track in tracks)))


def keep_best(
    positions: Sequence[int] | np.ndarray,
    scores: Sequence[float] | np.ndarray,
    distance: int,
    *,
    length: int | None = None,
) -> np.ndarray:
    """Return which items survive when the best is taken first and hides all less than ``distance`` away.

    Parameters
    ----------
    positions : sequence of int
        In any order.
    scores : sequence of float
        Of equal scores the leftmost is taken first.
    distance : int
    length : int, optional
        Of a circle, on which the positions lie from 0 to ``length``; a line if not given.

    Returns
    -------
    np.ndarray
        bool, in the order of the input.
    """
    positions, scores = np.asarray(positions, dtype=np.int64), np.asarray(scores, dtype=np.float64)
    count = len(positions)
    alive = np.ones(count, dtype=bool)
    if distance <= 0 or count < 2:
        return alive
    order = np.argsort(positions, kind="stable")
    around = ordered = positions[order]
    if length is not None:
        around = np.concatenate([ordered - length, ordered, ordered + length])
    base = (len(around) - count) // 2
    lefts = (np.searchsorted(around, ordered - distance, side="right") - base).tolist()
    rights = (np.searchsorted(around, ordered + distance, side="left") - base).tolist()
    for index in np.argsort(-scores[order], kind="stable").tolist():
        if alive[index]:
            _hide(alive, lefts[index], rights[index])
            alive[index] = True
    kept = np.empty_like(alive)
    kept[order] = alive
    return kept


def _hide(alive: np.ndarray, left: int, right: int) -> None:
    """Set [left, right) to False, counted round the circle where it leaves the array."""
    alive[max(0, left) : right] = False
    if left < 0:
        alive[left:] = False
    if right > len(alive):
        alive[: right - len(alive)] = False


def _check_options(threshold: float, window_length: int, least: int, method: str) -> None:
    if not np.isfinite(threshold):
        raise SettingsError(f"threshold is {threshold}; it must be a number.")
    if window_length < 1:
        raise SettingsError(f"window_length is {window_length}; it must be 1 or more.")
    if least < 0:
        raise SettingsError("merge_distance and min_distance must be 0 or more.")
    if method not in get_args(Method):
        raise SettingsError(f"method is '{method}'; it must be one of {', '.join(get_args(Method))}.")


def _hits(pieces: list[Track], threshold: float, length: int | None) -> _Hits:
    parts = []
    for piece in sorted(pieces, key=lambda item: item.start):
        index = np.flatnonzero(piece.values >= np.float32(threshold))
        starts = piece.start + index * piece.step
        parts.append((starts, starts + piece.span, piece.site_of(index), piece.values[index]))
    hits = _Hits(*(np.concatenate(column) for column in zip(*parts, strict=True)))
    if length is not None:
        hits = _onto_circle(hits, length)
    if np.any(np.diff(hits.sites) <= 0):
        raise SettingsError(f"Pieces of the track of {pieces[0].contig} ({pieces[0].strand}) overlap.")
    return hits


def _onto_circle(hits: _Hits, length: int) -> _Hits:
    """Count the sites from the origin again, 0 to ``length``; a bin goes with its site."""
    turns = hits.sites // length * length
    if not turns.any():
        return hits
    order = np.argsort(hits.sites - turns, kind="stable")
    moved = (hits.starts - turns, hits.ends - turns, hits.sites - turns, hits.values)
    return _Hits(*(column[order] for column in moved))


def _strand_calls(hits: _Hits, rules: _Rules) -> pd.DataFrame:
    """Return start, end, summit and score of the calls of one strand."""
    hits, closed = _unrolled(hits, rules)
    calls = _merge(hits, rules) if rules.method == "merge" else _suppress(hits, rules, closed)
    if rules.length is None:
        return calls
    if closed and len(calls) == 1:
        calls["start"], calls["end"] = 0, rules.length
    turns = calls["start"] // rules.length * rules.length
    calls["start"] -= turns
    calls["end"] -= turns
    calls["summit"] %= rules.length
    return calls


def _unrolled(hits: _Hits, rules: _Rules) -> tuple[_Hits, bool]:
    """Cut a circle where no run is, or at its lowest value where one run goes all round (then True)."""
    if rules.length is None or len(hits.sites) == 0:
        return hits, False
    if rules.gaps(np.array([hits.sites[-1], hits.sites[0] + rules.length]))[0] > rules.reach:
        return hits, False
    breaks = np.flatnonzero(np.diff(hits.sites) > rules.reach) + 1
    first = int(breaks[0]) if len(breaks) else int(np.argmin(hits.values))
    return _rotated(hits, first, rules.length), len(breaks) == 0


def _rotated(hits: _Hits, first: int, length: int) -> _Hits:
    """Start a circle's hits with number ``first``; those before it come last, one turn on."""
    behind = np.r_[np.zeros(len(hits.sites) - first, dtype=np.int64), np.full(first, length)]
    places = (np.roll(column, -first) + behind for column in hits[:3])
    return _Hits(*places, np.roll(hits.values, -first))


def _runs(hits: _Hits, rules: _Rules) -> np.ndarray:
    """Return the number of each hit's run, from 0 up."""
    return np.cumsum(np.r_[False, rules.gaps(hits.sites) > rules.reach])[: len(hits.sites)]


def _edges(owners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the first and the last place of each number in ascending ``owners``."""
    breaks = np.flatnonzero(np.diff(owners)) + 1
    firsts = np.concatenate([[0], breaks])[: len(owners)].astype(np.int64)
    lasts = np.concatenate([breaks, [len(owners)]])[: len(firsts)].astype(np.int64) - 1
    return firsts, lasts


def _merge(hits: _Hits, rules: _Rules) -> pd.DataFrame:
    """Return one call for each run."""
    runs = _runs(hits, rules)
    firsts, lasts = _edges(runs)
    scores = np.maximum.reduceat(hits.values, firsts) if len(firsts) else hits.values
    top = np.flatnonzero(hits.values == scores[runs])
    summits = _plateau_middles(hits.sites[top], runs[top], rules)
    kept = _survivors(summits, scores, rules)
    return _frame(hits, firsts[kept], lasts[kept], summits[kept], scores[kept])


def _suppress(hits: _Hits, rules: _Rules, closed: bool) -> pd.DataFrame:
    """Return one call for each summit that no better one hides."""
    summits, scores, at = _maxima(hits, rules)
    kept = _survivors(summits, scores, rules)
    summits, scores = summits[kept], scores[kept]
    runs = _runs(hits, rules)
    of_run = runs[at[kept]]
    if closed and len(summits) > 1:
        hits = _recut(hits, summits, int(rules.length or 0))
    owners = _nearest_in_run(hits.sites, runs, summits, of_run)
    used = np.flatnonzero(owners >= 0)
    firsts, lasts = _edges(owners[used])
    return _frame(hits, used[firsts], used[lasts], summits, scores)


def _survivors(summits: np.ndarray, scores: np.ndarray, rules: _Rules) -> np.ndarray:
    places = summits if rules.length is None else summits % rules.length
    return keep_best(places, scores, rules.min_distance, length=rules.length)


def _frame(
    hits: _Hits, firsts: np.ndarray, lasts: np.ndarray, summits: np.ndarray, scores: np.ndarray
) -> pd.DataFrame:
    places = {"start": hits.starts[firsts], "end": hits.ends[lasts], "summit": summits}
    return pd.DataFrame({**places, "score": scores.astype(np.float64)})


def _maxima(hits: _Hits, rules: _Rules) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return site, value and a hit of each local maximum: a plateau with nothing higher right beside it."""
    joined = rules.gaps(hits.sites) <= rules.step
    level = np.r_[False, joined & (np.diff(hits.values) == 0)][: len(hits.sites)]
    firsts, lasts = _edges(np.cumsum(~level))
    lower_left = np.r_[True, ~joined | (hits.values[:-1] < hits.values[1:])][: len(hits.sites)]
    lower_right = np.r_[~joined | (hits.values[1:] < hits.values[:-1]), True][: len(hits.sites)]
    chosen = lower_left[firsts] & lower_right[lasts]
    left, right = firsts[chosen], lasts[chosen]
    return (hits.sites[left] + hits.sites[right]) // 2, hits.values[left], left


def _recut(hits: _Hits, summits: np.ndarray, length: int) -> _Hits:
    """Cut a run that goes all round half-way between its last summit and its first."""
    behind = int(np.searchsorted(hits.sites, (summits[-1] + summits[0] - length) // 2, side="right"))
    if behind:
        return _rotated(hits, behind, length)
    ahead = int(np.searchsorted(hits.sites, (summits[-1] + summits[0] + length) // 2, side="right"))
    turned = _rotated(hits, ahead % len(hits.sites), length)
    back = length if ahead < len(hits.sites) else 0
    return _Hits(turned.starts - back, turned.ends - back, turned.sites - back, turned.values)


def _nearest_in_run(
    sites: np.ndarray, runs: np.ndarray, summits: np.ndarray, of_run: np.ndarray
) -> np.ndarray:
    """Return for each site the number of the nearest summit of its run, -1 where all are hidden."""
    if not len(summits):
        return np.full(len(sites), -1)
    right = np.searchsorted(summits, sites, side="left")
    left = np.maximum(right - 1, 0)
    right = np.minimum(right, len(summits) - 1)
    far = np.iinfo(np.int64).max
    to_left = np.where(of_run[left] == runs, np.abs(sites - summits[left]), far)
    to_right = np.where(of_run[right] == runs, np.abs(sites - summits[right]), far)
    nearest = np.where(to_left <= to_right, left, right)
    return np.where(np.minimum(to_left, to_right) == far, -1, nearest)


def _plateau_middles(sites: np.ndarray, calls: np.ndarray, rules: _Rules) -> np.ndarray:
    """Return, for each call, the middle of the longest run of ``sites`` that are a step apart."""
    broken = (rules.gaps(sites) > rules.step) | (np.diff(calls) > 0)
    firsts, lasts = _edges(np.cumsum(np.r_[False, broken])[: len(sites)])
    left, right, owners = sites[firsts], sites[lasts], calls[firsts]
    order = np.lexsort((left, left - right, owners))
    _, best = np.unique(owners[order], return_index=True)
    chosen = order[best]
    return (left[chosen] + right[chosen]) // 2


def _in_order(frames: list[pd.DataFrame], contigs: list[str]) -> pd.DataFrame:
    frames = [frame for frame in frames if len(frame)]
    if not frames:
        return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in _CALL_TYPES.items()})
    calls = pd.concat(frames, ignore_index=True)[list(CALL_COLUMNS)]
    rank = calls["contig"].map({name: place for place, name in enumerate(contigs)})
    order = np.lexsort((calls["strand"], calls["start"], rank))
    return calls.iloc[order].reset_index(drop=True)
