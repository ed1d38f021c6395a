"""From scores to calls: windows over a threshold, merged into intervals with one summit each.

How a call is defined, whatever the stride:

- Every value of a track speaks of one base, its site, and covers the bases of its bin
  (:class:`genolm.tracks.Track`).
- A hit is a value at or over the threshold. Two neighbouring hits of one strand belong to one call when
  their sites are at most ``merge_distance`` apart, or when no other window lies between them.
- The call reaches from the start of its first hit's bin to the end of its last hit's bin. A stretch of
  r bases over the threshold so gives a call of r bases, within one stride, at every stride.
- The score is the highest value in the call. The summit is the site of that value; where several values
  share it (a plateau), the middle of the longest unbroken plateau, the leftmost of equally long ones.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from genolm.errors import SettingsError
from genolm.tracks import Track

CALL_COLUMNS = ("contig", "start", "end", "strand", "summit", "score")
_CALL_TYPES = {"contig": object, "start": np.int64, "end": np.int64, "strand": object,
               "summit": np.int64, "score": np.float64}


class _Hits(NamedTuple):
    """Values over the threshold on one strand of one contig, all arrays (hits,), in ascending order."""

    starts: np.ndarray
    ends: np.ndarray
    sites: np.ndarray
    values: np.ndarray


def call_peaks(
    tracks: Iterable[Track],
    *,
    threshold: float,
    window_length: int,
    merge_distance: int | None = None,
    min_distance: int = 0,
) -> pd.DataFrame:
    """Merge the hits of each contig and strand to calls; the module's text has the exact definition.

    Parameters
    ----------
    tracks : iterable of Track
        Probabilities; a contig's strand may come in several pieces, calls go across their borders.
    threshold : float
        Values at or over it are hits.
    window_length : int
        Length in bp of the windows that were scored.
    merge_distance : int, optional
        Largest distance in bp between the sites of neighbouring hits of one call; half of
        ``window_length`` by default: such windows share at least half of their bases.
    min_distance : int
        Of calls on one strand whose summits are less than this many bp apart only the best is kept (the
        leftmost of equally good ones); 0, the default, keeps all.

    Returns
    -------
    pd.DataFrame
        Columns ``contig, start, end, strand, summit, score``, 0-based half-open, by contig in the order
        of the tracks, then by start and strand.
    """
    tracks = list(tracks)
    if not np.isfinite(threshold):
        raise SettingsError(f"threshold is {threshold}; it must be a number.")
    if window_length < 1:
        raise SettingsError(f"window_length is {window_length}; it must be 1 or more.")
    merge_distance = window_length // 2 if merge_distance is None else merge_distance
    if merge_distance < 0 or min_distance < 0:
        raise SettingsError("merge_distance and min_distance must be 0 or more.")
    groups: dict[tuple[str, str], list[Track]] = {}
    for track in tracks:
        groups.setdefault((track.contig, track.strand), []).append(track)
    frames = []
    for (contig, strand), pieces in groups.items():
        step = max(piece.step for piece in pieces)
        calls = _merge(_hits(pieces, threshold), merge_distance, step)
        calls.insert(0, "contig", contig)
        calls.insert(3, "strand", strand)
        frames.append(calls[keep_best(calls["summit"], calls["score"], min_distance)])
    return _in_order(frames, list(dict.fromkeys(track.contig for track in tracks)))


def keep_best(positions: Sequence[int], scores: Sequence[float], distance: int) -> np.ndarray:
    """Return which items survive when the best is taken first and hides all less than ``distance`` away.

    Parameters
    ----------
    positions : sequence of int
        In any order.
    scores : sequence of float
        Of equal scores the leftmost is taken first.
    distance : int

    Returns
    -------
    np.ndarray
        bool, in the order of the input.
    """
    positions, scores = np.asarray(positions, dtype=np.int64), np.asarray(scores, dtype=np.float64)
    alive = np.ones(len(positions), dtype=bool)
    if distance <= 0:
        return alive
    order = np.argsort(positions, kind="stable")
    ordered = positions[order]
    lefts = np.searchsorted(ordered, ordered - distance, side="right").tolist()
    rights = np.searchsorted(ordered, ordered + distance, side="left").tolist()
    for index in np.argsort(-scores[order], kind="stable").tolist():
        if alive[index]:
            alive[lefts[index] : rights[index]] = False
            alive[index] = True
    kept = np.empty_like(alive)
    kept[order] = alive
    return kept


def _hits(pieces: list[Track], threshold: float) -> _Hits:
    parts = []
    for piece in sorted(pieces, key=lambda item: item.start):
        index = np.flatnonzero(piece.values >= np.float32(threshold))
        starts = piece.start + index * piece.step
        parts.append((starts, starts + piece.span, piece.site_of(index), piece.values[index]))
    hits = _Hits(*(np.concatenate(column) for column in zip(*parts, strict=True)))
    if np.any(np.diff(hits.sites) <= 0):
        raise SettingsError(f"Pieces of the track of {pieces[0].contig} ({pieces[0].strand}) overlap.")
    return hits


def _merge(hits: _Hits, merge_distance: int, step: int) -> pd.DataFrame:
    """Return start, end, summit and score of the calls of one strand."""
    breaks = np.flatnonzero(np.diff(hits.sites) > max(merge_distance, step)) + 1
    firsts = np.concatenate([[0], breaks])[: len(hits.sites)].astype(np.int64)
    lasts = np.concatenate([breaks, [len(hits.sites)]])[: len(firsts)].astype(np.int64) - 1
    scores = np.maximum.reduceat(hits.values, firsts) if len(firsts) else hits.values
    calls = np.repeat(np.arange(len(firsts)), lasts - firsts + 1)
    top = np.flatnonzero(hits.values == scores[calls])
    return pd.DataFrame(
        {
            "start": hits.starts[firsts],
            "end": hits.ends[lasts],
            "summit": _plateau_middles(hits.sites[top], calls[top], step),
            "score": scores.astype(np.float64),
        }
    )


def _plateau_middles(sites: np.ndarray, calls: np.ndarray, step: int) -> np.ndarray:
    """Return, for each call, the middle of the longest run of ``sites`` that are ``step`` apart."""
    broken = (np.diff(sites) > step) | (np.diff(calls) > 0)
    firsts = np.flatnonzero(np.concatenate([[True], broken])[: len(sites)])
    lasts = np.concatenate([firsts[1:], [len(sites)]])[: len(firsts)].astype(np.int64) - 1
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
