"""Intervals of what calls are worth at known sites, by drawing blocks of the genome with replacement.

Neighbouring calls and sites are not independent, so whole blocks are drawn (Politis and Romano 1992, in
Exploring the Limits of Bootstrap, pp. 263-270) and the figures worked out anew from the blocks' counts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from genolm.bootstrap import FEW_GROUPS, Array, Estimate, Figures, bootstrap
from genolm.tracks import Track

BLOCK_BASES = 50_000
LEAST_BASES, LEAST_WINDOWS = 2_000, 10
_MOST_BLOCKS = 2_000
_CELL = 100
_LEVELS = 500


@dataclass(frozen=True)
class Blocks:
    """Contigs cut into blocks, numbered through.

    Attributes
    ----------
    size : int
        Bases of a block.
    starts : dict of str to np.ndarray
        First base of each block of a contig, ascending. A block reaches to the next one, the first one of a contig
        back to its beginning too.
    """

    size: int
    starts: Mapping[str, np.ndarray]

    @classmethod
    def of(cls, tracks: Sequence[Track], *, window: int = 0) -> "Blocks":
        """Return the blocks that hold a score, counted from the first scanned base of each contig.

        Parameters
        ----------
        tracks : sequence of Track
        window : int
            Length in bp of the windows that were scored.

        Notes
        -----
        A block has 50,000 bases, more where that would make over 2,000 blocks. Where it would make fewer than 20 a
        block has a twentieth of what was scanned, but never less than 2,000 bases or ten windows: calls and sites
        near a border depend on those beyond it, and in smaller blocks too many lie near one. So intervals of scans of
        less than 40,000 bases are of fewer than 20 blocks and too narrow, and of a single block none is known. In
        blocks of less than 50,000 bases neighbours depend on each other more, which makes intervals somewhat too
        narrow as well. Where a scan looked is told to 100 bases, or to its step.
        """
        cell = max([_CELL, *(track.step for track in tracks)])
        cells = _scanned(tracks, cell)
        bases = cell * sum(map(len, cells.values()))
        size = max(BLOCK_BASES, -(-bases // _MOST_BLOCKS))
        if bases <= (FEW_GROUPS - 1) * size:
            size = min(size, max(-(-bases // FEW_GROUPS), LEAST_BASES, LEAST_WINDOWS * window))
        starts = {
            name: here[0] * cell + np.unique((here - here[0]) * cell // size) * size for name, here in cells.items()
        }
        return cls(size, starts)

    @property
    def count(self) -> int:
        """How many there are."""
        return sum(map(len, self.starts.values()))

    def number(self, contigs: pd.Series, places: pd.Series) -> np.ndarray:
        """Return the block of each place; of places on a contig without a score the first one."""
        found, first = np.zeros(len(places), dtype=np.int64), 0
        at, rows_of = places.to_numpy(np.int64), contigs.groupby(contigs, sort=False).indices
        for name, starts in self.starts.items():
            rows = rows_of.get(name, [])
            found[rows] = first + np.maximum(np.searchsorted(starts, at[rows], side="right") - 1, 0)
            first += len(starts)
        return found


def _scanned(tracks: Sequence[Track], cell: int) -> dict[str, np.ndarray]:
    """Return which pieces of ``cell`` bases of each contig hold a score, ascending; no contig without one."""
    found: dict[str, list[np.ndarray]] = {}
    for track in tracks:
        here = np.unique(track.starts[~np.isnan(track.values)] // cell)
        found.setdefault(track.contig, []).append(here)
    cells = {name: np.unique(np.concatenate(parts)) for name, parts in found.items()}
    return {name: here for name, here in cells.items() if len(here)}


def score_intervals(
    counts: Sequence[np.ndarray], known: np.ndarray, draws: int, seed: int
) -> dict[str, Estimate]:
    """Return precision, recall and F1 from counts of each block.

    Parameters
    ----------
    counts : sequence of np.ndarray
        Calls, right calls and found sites, (blocks,) each.
    known : np.ndarray
        (blocks,) known sites.
    draws, seed : int
    """

    def statistic(weights: Array) -> Figures:
        calls, right, found = (weights @ count for count in counts)
        with np.errstate(invalid="ignore", divide="ignore"):
            precision, recall = right / calls, found / (weights @ known)
            f1 = 2 * precision * recall / (precision + recall)
        return {"precision": precision, "recall": recall, "f1": f1}

    return bootstrap(statistic, len(known), draws, seed)


def precision_interval(
    calls: Mapping[str, np.ndarray], sites: Mapping[str, np.ndarray], blocks: int, draws: int, seed: int
) -> Estimate:
    """Return average precision from the calls' and the sites' scores and blocks.

    Parameters
    ----------
    calls : mapping
        ``block``, ``score`` and ``true`` (bool) of each call.
    sites : mapping
        ``block`` and ``score`` of each site: that of its best call, -inf where it has none.
    blocks : int
        How many there are.
    draws, seed : int

    Notes
    -----
    Recall is followed in up to 500 steps, which gives a figure a little too low.
    """
    reached = np.unique(sites["score"][np.isfinite(sites["score"])])
    if not len(reached):
        return Estimate(0.0, 0.0, 0.0)
    levels = reached[np.unique(np.linspace(0, len(reached) - 1, _LEVELS).astype(int))][::-1]
    true = calls["true"]
    called = _counts(calls["block"], calls["score"], levels, blocks)
    right = _counts(calls["block"][true], calls["score"][true], levels, blocks)
    found = _counts(sites["block"], sites["score"], levels, blocks)
    known = np.bincount(sites["block"], minlength=blocks)

    def statistic(weights: Array) -> Figures:
        there = weights @ known
        with np.errstate(invalid="ignore", divide="ignore"):
            precision = (weights @ right) / (weights @ called)
            rises = np.diff((weights @ found) / there[:, None], axis=1, prepend=0.0)
        return {"auprc": np.where(there > 0, np.nansum(rises * precision, axis=1), np.nan)}

    return bootstrap(statistic, blocks, draws, seed)["auprc"]


def _counts(blocks: np.ndarray, scores: np.ndarray, levels: np.ndarray, count: int) -> np.ndarray:
    """Return how many items of each block score at or over each level, (blocks, levels), levels falling."""
    column = np.searchsorted(-levels, -scores, side="left")
    inside = column < len(levels)
    cells = np.bincount(blocks[inside] * len(levels) + column[inside], minlength=count * len(levels))
    return np.cumsum(cells.reshape(count, len(levels)), axis=1).astype(np.float64)
