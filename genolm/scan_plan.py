"""Which windows a scan looks at: where they lie, where their values stand, and how the work is cut into parts.

A place on a strand is counted from that strand's own 5' end. On a circular contig the windows go around it, and
one at the end or the start reaches over the origin. Their sites lie ``stride`` bases apart, but from the last to
the first of a strand it is ``stride + length % stride``: what is left of the contig is no window of its own.
"""

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from numbers import Integral
from typing import Literal, NamedTuple

import numpy as np

from genolm.bundle_config import BundleConfig
from genolm.errors import SettingsError
from genolm.predict import Predictor
from genolm.tracks import true_runs

Strands = Literal["both", "+", "-"]
CIRCULAR = "circular"

Intervals = Sequence[tuple[int, int]]


class Layout(NamedTuple):
    """Where the windows of a scan lie and where their values stand; all in bases.

    A value's bin of ``span`` bases holds the anchor at ``reach`` bases from its start on the plus strand, and
    no bin leaves the contig.
    """

    window: int
    stride: int
    anchor: int
    reach: int
    span: int

    def count(self, length: int, *, circular: bool = False) -> int:
        """Return the number of windows on one strand of a contig."""
        if length < self.window:
            return 0
        return length // self.stride if circular else (length - self.window) // self.stride + 1

    def first_window(self, strand: str, *, circular: bool = False) -> int:
        """Return where window 0 starts on its strand: 0, or before the origin of a circular contig."""
        if not circular:
            return 0
        return (self.reach if strand == "+" else self.span - 1 - self.reach) - self.anchor

    def first_bin(self, length: int, strand: str, *, circular: bool = False) -> int:
        """Return the start of the leftmost bin on a contig of ``length`` bases."""
        before_last = (self.count(length, circular=circular) - 1) * self.stride
        if circular:
            return 0 if strand == "+" else length - before_last - self.span
        if strand == "+":
            return self.anchor - self.reach
        return length - 1 - (before_last + self.anchor) - self.reach


class Stretch(NamedTuple):
    """Windows number ``first`` to ``last``, half-open, of one strand of a contig of ``length`` bases."""

    contig: str
    length: int
    strand: str
    first: int
    last: int
    circular: bool = False

    @property
    def windows(self) -> int:
        """Number of windows."""
        return self.last - self.first

    @property
    def stage(self) -> str:
        """What a scan that is here says that it does."""
        return f"scanning {self.contig}, {'plus' if self.strand == '+' else 'minus'} strand"


class Part(NamedTuple):
    """Some stretches that are scored in one go, with the name under which their scores are kept."""

    key: str
    stretches: tuple[Stretch, ...]

    @property
    def windows(self) -> int:
        """Number of windows of all stretches."""
        return sum(stretch.windows for stretch in self.stretches)


def scan_layout(predictor: Predictor, stride: int) -> Layout:
    """Return the layout of a model's windows at ``stride``; a model without a window cannot scan."""
    return layout_of(predictor.config, stride)


def layout_of(config: BundleConfig, stride: int) -> Layout:
    """Return the layout of :func:`scan_layout` by what is known of a model that is not loaded."""
    window = config.window
    if window is None:
        raise SettingsError(
            f"Model '{config.name}' was not trained on windows of one length, so it cannot scan a "
            "genome; classify the sequences as a whole, or pick a model whose card names a window."
        )
    stride = whole_stride(stride)
    anchor = window.length // 2 if window.anchor is None else window.anchor
    room = min(anchor, window.length - 1 - anchor)
    if stride // 2 > room:
        return Layout(window.length, stride, anchor, room, 2 * room + 1)
    return Layout(window.length, stride, anchor, stride // 2, stride)


def whole_stride(stride: int) -> int:
    """Return a stride as Python's own int; refuse what is no whole number of bases from 1 up."""
    if isinstance(stride, bool) or not isinstance(stride, Integral) or stride < 1:
        raise SettingsError(f"stride is {stride}; it must be a whole number of bases from 1 up.")
    return int(stride)


def strand_list(strands: str) -> list[str]:
    """Return the strands that ``both``, ``+`` or ``-`` stands for; anything else is refused."""
    if strands not in ("both", "+", "-"):
        raise SettingsError(f"strand is '{strands}'; it must be both, + or -.")
    return ["+", "-"] if strands == "both" else [strands]


def scan_windows(
    contigs: Mapping[str, int],
    layout: Layout,
    *,
    strands: Strands = "both",
    topology: Mapping[str, str] | None = None,
    regions: Mapping[str, Intervals] | None = None,
) -> int:
    """Return how many windows a scan looks at: its cost. See :func:`plan_parts` for what is given."""
    signs = strand_list(strands)
    stretches = _stretches(contigs, topology or {}, layout, signs, sys.maxsize, regions)
    return sum(stretch.windows for stretch in stretches)


def bases_looked_at(contigs: Mapping[str, int], regions: Mapping[str, Intervals] | None = None) -> int:
    """Return how many bases of one strand a scan looks at: of the contigs, or of the regions on them."""
    if regions is None:
        return sum(contigs.values())
    return sum(end - start for name in contigs for start, end in regions.get(name, ()))


def plan_parts(
    contigs: Mapping[str, int],
    topology: Mapping[str, str],
    layout: Layout,
    *,
    signs: Sequence[str],
    windows_per_part: int,
    regions: Mapping[str, Intervals] | None = None,
) -> list[Part]:
    """Return the parts of a scan, in the order of the contigs, plus before minus.

    Parameters
    ----------
    contigs : mapping of name to length
    topology : mapping of name to "linear" or "circular"
        Linear where a contig is not named.
    layout : Layout
    signs : sequence of "+" or "-"
    windows_per_part : int
        A part has at most this many.
    regions : mapping of name to (start, end) pairs, optional
        Only windows whose site lies in one of these; on a contig that is not named there is none.
    """
    most = max(1, windows_per_part)
    groups: list[list[Stretch]] = [[]]
    waiting = 0
    for stretch in _stretches(contigs, topology, layout, signs, most, regions):
        if waiting and waiting + stretch.windows > most:
            groups.append([])
            waiting = 0
        groups[-1].append(stretch)
        waiting += stretch.windows
    return [Part(f"scan-{number:06}", tuple(group)) for number, group in enumerate(groups) if group]


def _stretches(
    contigs: Mapping[str, int],
    topology: Mapping[str, str],
    layout: Layout,
    signs: Sequence[str],
    most: int,
    regions: Mapping[str, Intervals] | None,
) -> Iterator[Stretch]:
    for name, size in contigs.items():
        circular = topology.get(name) == CIRCULAR
        for sign in signs:
            for low, high in _runs(layout, size, sign, circular, None if regions is None else regions.get(name, ())):
                for first in range(low, high, most):
                    yield Stretch(name, size, sign, first, min(first + most, high), circular)


def _runs(
    layout: Layout, size: int, sign: str, circular: bool, intervals: Intervals | None
) -> list[tuple[int, int]]:
    """Return runs of window numbers, half-open, ascending: all, or those whose site is in an interval."""
    count = layout.count(size, circular=circular)
    if intervals is None or not count:
        return [(0, count)] if count else []
    first_site = layout.first_window(sign, circular=circular) + layout.anchor
    chosen = np.zeros(count, dtype=bool)
    for start, end in intervals:
        low, high = (start, end) if sign == "+" else (size - end, size - start)
        chosen[_index(low, first_site, layout.stride, count) : _index(high, first_site, layout.stride, count)] = True
    return [(low, high) for low, high in true_runs(chosen).tolist()]


def _index(place: int, first_site: int, stride: int, count: int) -> int:
    """Return the number of the first window whose site is at ``place`` or after it."""
    return min(count, max(0, math.ceil((place - first_site) / stride)))
