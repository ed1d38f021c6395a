"""A track: numbers at regular steps along one strand of one contig.

Coordinates are 0-based and half-open and always those of the plus strand, also for a track of the minus
strand. A value that is NaN stands for "no data" and is never read as zero.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from genolm.errors import SettingsError

STRANDS = ("+", "-", ".")


class Bins(NamedTuple):
    """A track summed up for a plot.

    Attributes
    ----------
    starts, ends : np.ndarray
        int64 (bins,): the bases that each bin covers.
    sites : np.ndarray
        int64 (bins,): the site of the first value that is as high as the bin's maximum; the bin's first
        site where it has no data.
    values : np.ndarray
        float32 (bins,): the maximum in each bin, NaN where there is no data.
    """

    starts: np.ndarray
    ends: np.ndarray
    sites: np.ndarray
    values: np.ndarray


@dataclass(frozen=True, eq=False)
class Track:
    """Scores along one strand of a contig.

    Attributes
    ----------
    contig : str
    strand : {"+", "-", "."}
    start : int
        First base that value 0 covers.
    step, span : int
        Value i covers the bases [start + i * step, start + i * step + span), with 1 <= span <= step.
        Its *site*, the base that it speaks of, is the middle one: start + i * step + span // 2.
    values : np.ndarray
        float32 (values,); NaN where there is no data.
    """

    contig: str
    strand: str
    start: int
    step: int
    span: int
    values: np.ndarray

    def __post_init__(self) -> None:
        if self.strand not in STRANDS:
            raise SettingsError(f"Strand of a track is '{self.strand}'; it must be {', '.join(STRANDS)}.")
        if self.start < 0:
            raise SettingsError(f"A track of {self.contig} starts at {self.start}; 0 is the first base.")
        if not 1 <= self.span <= self.step:
            raise SettingsError(
                f"A track of {self.contig} has step {self.step} and span {self.span}; "
                "both must be 1 or more and the span no longer than the step."
            )
        values = np.asarray(self.values, dtype=np.float32)
        if values.ndim != 1:
            raise SettingsError(f"Values of a track of {self.contig} have shape {values.shape}, not one row.")
        object.__setattr__(self, "values", values)

    def __len__(self) -> int:
        return len(self.values)

    @property
    def end(self) -> int:
        """Base after the last one covered; ``start`` for an empty track."""
        return self.start + (len(self) - 1) * self.step + self.span if len(self) else self.start

    @property
    def starts(self) -> np.ndarray:
        """First base that each value covers, int64 (values,)."""
        return self.start + np.arange(len(self), dtype=np.int64) * self.step

    @property
    def sites(self) -> np.ndarray:
        """Site of each value, int64 (values,)."""
        return self.starts + self.span // 2

    def site_of(self, index: np.ndarray | int) -> np.ndarray | int:
        """Return the site of the value or values at ``index``."""
        return self.start + index * self.step + self.span // 2

    def values_at(self, positions: Sequence[int] | np.ndarray) -> np.ndarray:
        """Return the value that covers each position, float32; NaN where none does."""
        offsets = np.asarray(positions, dtype=np.int64) - self.start
        index = offsets // self.step
        inside = (offsets >= 0) & (index < len(self)) & (offsets - index * self.step < self.span)
        found = np.full(offsets.shape, np.nan, dtype=np.float32)
        found[inside] = self.values[index[inside]]
        return found

    def between(self, start: int, end: int) -> "Track":
        """Return the part whose values overlap [start, end); values stay whole, nothing is copied."""
        first, last = self._index_range(start, end)
        left = self.start + first * self.step
        return Track(self.contig, self.strand, left, self.step, self.span, self.values[first:last])

    def binned_max(self, bins: int, start: int | None = None, end: int | None = None) -> Bins:
        """Return the maxima of at most ``bins`` pieces of [start, end), so that a plot keeps every peak.

        Values are grouped whole: each lies in exactly one bin, and with fewer values than bins every value
        is its own bin. The maximum over the bins equals the maximum over the values.

        Parameters
        ----------
        bins : int
        start, end : int, optional
            The whole track by default.
        """
        if bins < 1:
            raise SettingsError(f"bins is {bins}; it must be 1 or more.")
        left, right = self.start if start is None else start, self.end if end is None else end
        first, last = self._index_range(left, right)
        count = last - first
        bins = min(bins, count)
        if count == 0:
            nothing = np.empty(0, dtype=np.int64)
            return Bins(nothing, nothing, nothing, np.empty(0, dtype=np.float32))
        edges = np.arange(bins + 1, dtype=np.int64) * count // bins
        part = self.values[first:last]
        heights = np.fmax.reduceat(part, edges[:-1])
        peaks = np.flatnonzero(part == np.repeat(heights, np.diff(edges)))
        owners = np.searchsorted(edges, peaks, side="right") - 1
        best = edges[:-1].copy()
        best[owners[::-1]] = peaks[::-1]
        lefts = self.start + (first + edges[:-1]) * self.step
        rights = self.start + (first + edges[1:] - 1) * self.step + self.span
        return Bins(lefts, rights, self.site_of(first + best), heights)

    def runs(self, *, limit: int = 1_000_000) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (first base, values) of each stretch without NaN, in pieces of at most ``limit`` values."""
        for offset in range(0, len(self), limit):
            block = self.values[offset : offset + limit]
            for first, last in true_runs(~np.isnan(block)).tolist():
                yield self.start + (offset + first) * self.step, block[first:last]

    def _index_range(self, start: int, end: int) -> tuple[int, int]:
        first = max(0, (start - self.start - self.span) // self.step + 1)
        last = min(len(self), -((self.start - end) // self.step))
        return min(first, len(self)), max(min(first, len(self)), last)


def true_runs(mask: np.ndarray) -> np.ndarray:
    """Return the first and the last place, half-open, of each run of True, int64 (runs, 2), ascending."""
    there = np.concatenate([[False], mask, [False]])
    return np.flatnonzero(there[1:] != there[:-1]).reshape(-1, 2)


def concatenate(tracks: Sequence[Track]) -> Track:
    """Join the pieces of one strand of a contig into one track, NaN in the gaps between them.

    Parameters
    ----------
    tracks : sequence of Track
        In any order; same contig, strand, step and span, all on one grid of ``step`` bases, no two over
        the same bases.

    Raises
    ------
    SettingsError
        When the pieces do not fit; the message names both.
    """
    if not tracks:
        raise SettingsError("There is no track to join.")
    pieces = sorted((track for track in tracks if len(track)), key=lambda track: track.start) or [tracks[0]]
    for before, after in zip(pieces[:-1], pieces[1:], strict=True):
        _check_neighbours(before, after)
    head, tail = pieces[0], pieces[-1]
    values = np.full((tail.start - head.start) // head.step + len(tail), np.nan, dtype=np.float32)
    for piece in pieces:
        first = (piece.start - head.start) // head.step
        values[first : first + len(piece)] = piece.values
    return Track(head.contig, head.strand, head.start, head.step, head.span, values)


def _check_neighbours(before: Track, after: Track) -> None:
    pair = f"the pieces {_name(before)} and {_name(after)}"
    if (before.contig, before.strand) != (after.contig, after.strand):
        raise SettingsError(f"Cannot join {pair}: they lie on different contigs or strands.")
    if (before.step, before.span) != (after.step, after.span):
        sizes = f"{before.step}, {before.span} and {after.step}, {after.span}"
        raise SettingsError(f"Cannot join {pair}: step and span are {sizes}.")
    if after.start < before.start + len(before) * before.step:
        raise SettingsError(f"Cannot join {pair}: they overlap.")
    if (after.start - before.start) % before.step:
        raise SettingsError(f"Cannot join {pair}: they are not on one grid of {before.step} bases.")


def _name(track: Track) -> str:
    return f"{track.contig}:{track.start}-{track.end}({track.strand})"
