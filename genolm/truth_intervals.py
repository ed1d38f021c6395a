"""Intervals of what calls are worth at known sites, by drawing blocks of the genome with replacement.

Neighbouring calls and sites are not independent, so whole blocks are drawn (Politis and Romano 1992, in
Exploring the Limits of Bootstrap, pp. 263-270) and the figures worked out anew from the blocks' counts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from genolm.bootstrap import Array, Estimate, Figures, bootstrap
from genolm.tracks import Track

BLOCK_BASES = 50_000
_MOST_BLOCKS = 2_000
_LEVELS = 500


@dataclass(frozen=True)
class Blocks:
    """Contigs cut into blocks of equal length, numbered through.

    Attributes
    ----------
    size : int
        Bases of a block: 50,000, more where that would be over 2,000 blocks.
    count : int
    first : dict of str to int
        Number of each contig's first block.
    """

    size: int
    count: int
    first: dict[str, int]

    @classmethod
    def of(cls, tracks: Sequence[Track]) -> "Blocks":
        """Return the blocks of the contigs that were scanned."""
        ends: dict[str, int] = {}
        for track in tracks:
            ends[track.contig] = max(ends.get(track.contig, 1), track.end)
        size = max(BLOCK_BASES, -(-sum(ends.values()) // _MOST_BLOCKS))
        first: dict[str, int] = {}
        count = 0
        for name, end in ends.items():
            first[name] = count
            # One more, for sites just past the last window.
            count += end // size + 1
        return cls(size, count, first)

    def number(self, contigs: pd.Series, places: pd.Series) -> np.ndarray:
        """Return the block of each place."""
        firsts = contigs.map(self.first).to_numpy(np.int64)
        return np.minimum(firsts + places.to_numpy(np.int64) // self.size, self.count - 1)


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
