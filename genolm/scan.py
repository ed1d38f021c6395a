"""Score every window of a genome with a classifier: per contig, both strands, at any stride.

Windows have the length that the model was trained on and never cross a contig's end. A value stands at the
window's anchor (the site that the training windows were centred on, such as the TSS) or, where a model has
none, at the window's centre. The minus strand is the scan of the contig's reverse complement with every
coordinate mapped back. A contig is read in blocks, so that memory does not grow with its length beyond the
scores themselves (4 bytes per window).
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np

from genolm.config import TokenizerConfig
from genolm.errors import SequenceError, SettingsError
from genolm.partial import FinishedParts, tokens_per_part
from genolm.predict import Predictor
from genolm.progress import ProgressCallback, Ticker
from genolm.regions import unknown_contig
from genolm.tokenizer import AMBIGUOUS_CODE, KmerTokenizer, encode_bases, reverse_complement_codes
from genolm.tracks import Track

Strands = Literal["both", "+", "-"]
MAX_AMBIGUOUS = 0.10
BLOCK_BASES = 1_000_000
_BLOCK_TOKENS = 8_000_000
_BATCH_TOKENS = {"cpu": 32_768, "cuda": 524_288}


class Contigs(Protocol):
    """What a scan needs of a genome: the lengths of its contigs and any piece of one."""

    @property
    def contigs(self) -> Mapping[str, int]:
        """Length of each contig, in the file's order."""
        ...

    def fetch(self, contig: str, start: int, end: int) -> str:
        """Return the plus strand of [start, end)."""
        ...


class Layout(NamedTuple):
    """Where the windows of a scan lie and where their values stand; all in bases.

    ``reach`` bases on either side of the anchor belong to a value's bin of ``span`` bases, so that the
    anchor is always ``bin start + span // 2`` and no bin leaves the contig.
    """

    window: int
    stride: int
    anchor: int
    reach: int
    span: int

    def count(self, length: int) -> int:
        """Return the number of windows on one strand of a contig."""
        return 0 if length < self.window else (length - self.window) // self.stride + 1

    def first_bin(self, length: int, strand: str) -> int:
        """Return the start of the leftmost bin on a contig of ``length`` bases."""
        if strand == "+":
            return self.anchor - self.reach
        last_window = (self.count(length) - 1) * self.stride
        return length - 1 - (last_window + self.anchor) - self.reach


@dataclass(frozen=True)
class SkippedContig:
    """A contig that holds no window: ``name``, ``length`` in bp and ``reason`` in words."""

    name: str
    length: int
    reason: str


@dataclass(frozen=True)
class ScanResult:
    """What a scan gives.

    Attributes
    ----------
    tracks : list of Track
        One per contig and strand: calibrated probability of the scanned class (for regression the
        value), NaN where a window has too many ambiguous letters.
    settings : dict
        Every option that decided the result, ``window`` and ``anchor`` among them.
    seconds : float
        Wall time, with that of the parts that an earlier run had finished.
    windows : int
        Windows looked at, on all strands.
    ambiguous : dict of str to int
        Windows without a score because more than 10 % of their letters are not A, C, G or T, by contig.
    skipped : list of SkippedContig
    bases : int
        Bases scanned, each strand counted.
    """

    tracks: list[Track]
    settings: dict[str, Any]
    seconds: float
    windows: int
    bases: int
    ambiguous: dict[str, int] = field(default_factory=dict)
    skipped: list[SkippedContig] = field(default_factory=list)

    def summary(self) -> dict[str, Any]:
        """Return the counts as plain data for the record of a run."""
        return {
            "contigs_scanned": len({track.contig for track in self.tracks}),
            "contigs_skipped": [vars(item) for item in self.skipped],
            "windows": self.windows,
            "windows_ambiguous": dict(self.ambiguous),
            "bases": self.bases,
            "bases_per_second": round(self.bases / self.seconds) if self.seconds > 0 else None,
        }


def scan_layout(predictor: Predictor, stride: int) -> Layout:
    """Return the layout of a model's windows at ``stride``; a model without a window cannot scan."""
    window = predictor.config.window
    if window is None:
        raise SettingsError(
            f"Model '{predictor.config.name}' was not trained on windows of one length, so it cannot scan a "
            "genome; classify the sequences as a whole, or pick a model whose card names a window."
        )
    if isinstance(stride, bool) or not isinstance(stride, int) or stride < 1:
        raise SettingsError(f"stride is {stride}; it must be a whole number of bases from 1 up.")
    anchor = window.length // 2 if window.anchor is None else window.anchor
    room = min(anchor, window.length - 1 - anchor)
    if stride // 2 > room:
        return Layout(window.length, stride, anchor, room, 2 * room + 1)
    return Layout(window.length, stride, anchor, stride // 2, stride)


def scan_windows(lengths: Iterable[int], layout: Layout, *, strands: Strands = "both") -> int:
    """Return how many windows a scan of contigs of these lengths looks at: its cost."""
    return sum(layout.count(length) for length in lengths) * len(strand_list(strands))


def strand_list(strands: str) -> list[str]:
    """Return the strands that ``both``, ``+`` or ``-`` stands for; anything else is refused."""
    if strands not in ("both", "+", "-"):
        raise SettingsError(f"strand is '{strands}'; it must be both, + or -.")
    return ["+", "-"] if strands == "both" else [strands]


def scan_genome(
    genome: Contigs,
    predictor: Predictor,
    *,
    stride: int = 10,
    strands: Strands = "both",
    contigs: Iterable[str] | None = None,
    class_name: str | None = None,
    batch_tokens: int | None = None,
    parts: FinishedParts | None = None,
    progress: ProgressCallback | None = None,
) -> ScanResult:
    """Score windows every ``stride`` bases on the chosen strands of the chosen contigs.

    Parameters
    ----------
    genome : Genome
        Anything with ``contigs`` and ``fetch``.
    predictor : Predictor
        A classifier with a training window.
    stride : int
        Bases from one window to the next. Up to ``stride - 1`` bases at the far end of a strand (the
        contig's end for plus, its start for minus) are in no window.
    strands : {"both", "+", "-"}
    contigs : iterable of str, optional
        Names; all by default.
    class_name : str, optional
        The class to score; the positive one of a binary model by default, needed where there are more.
    batch_tokens : int, optional
        Cap on tokens in one pass; 32,768 on a CPU.
    parts : FinishedParts, optional
        Of this very scan: what it holds is not scored again, and what is scored is kept there.
    progress : callable, optional
        Told of finished windows; raise :class:`genolm.errors.Cancelled` in it to stop.

    Raises
    ------
    RegionError
        For an unknown contig.
    SequenceError
        When no contig is as long as the window.
    """
    began = time.monotonic()
    layout, signs = scan_layout(predictor, stride), strand_list(strands)
    chosen = _chosen_contigs(genome, contigs)
    index = predictor.class_index(class_name)
    skipped = [
        SkippedContig(name, size, f"shorter than the model's window of {layout.window} bp")
        for name, size in chosen.items()
        if size < layout.window
    ]
    scanned = {name: size for name, size in chosen.items() if size >= layout.window}
    if not scanned:
        raise SequenceError(
            f"No contig is as long as the window of {layout.window} bp of model '{predictor.config.name}'; "
            f"the longest of {len(chosen)} has {max(chosen.values(), default=0)} bp. "
            "Classify the records instead."
        )
    total = scan_windows(scanned.values(), layout, strands=strands)
    ticker = Ticker(progress, total, stage="scanning")
    scanner = _Scanner(genome, predictor, layout, index, _batch_cap(predictor, batch_tokens), ticker)
    parts = parts or FinishedParts()
    tracks = scanner.tracks(scanned, signs, parts)
    return ScanResult(
        tracks=tracks,
        settings={
            "window": layout.window,
            "anchor": predictor.config.window.anchor,
            "value_at": layout.anchor,
            "stride": stride,
            "strands": strands,
            "class": predictor.classes[index],
            "max_ambiguous": MAX_AMBIGUOUS,
            "mode": "exact",
        },
        seconds=time.monotonic() - began + parts.earlier_seconds,
        windows=total,
        bases=sum(scanned.values()) * len(signs),
        ambiguous=_ambiguous_by_contig(tracks),
        skipped=skipped,
    )


class _Stretch(NamedTuple):
    """Windows number ``first`` to ``last``, half-open, of one strand of a contig of ``length`` bases."""

    contig: str
    length: int
    strand: str
    first: int
    last: int

    @property
    def windows(self) -> int:
        return self.last - self.first

    @property
    def stage(self) -> str:
        return f"scanning {self.contig}, {'plus' if self.strand == '+' else 'minus'} strand"


class _Scanner(NamedTuple):
    genome: Contigs
    predictor: Predictor
    layout: Layout
    class_index: int
    batch_tokens: int
    ticker: Ticker

    def tracks(self, contigs: Mapping[str, int], signs: Sequence[str], parts: FinishedParts) -> list[Track]:
        """Return the scores of each strand of each contig, in ascending coordinates."""
        values = {
            (name, sign): np.empty(self.layout.count(size), dtype=np.float32)
            for name, size in contigs.items()
            for sign in signs
        }
        for number, stretches in enumerate(self._groups(contigs, signs)):
            part = parts.finish(f"scan-{number:06}", partial(self._part, stretches))
            if part.reused:
                windows = sum(stretch.windows for stretch in stretches)
                self.ticker.skip(windows, part.seconds, stage=stretches[-1].stage)
            borders = np.cumsum([stretch.windows for stretch in stretches])[:-1]
            for stretch, scores in zip(stretches, np.split(part.arrays["scores"], borders), strict=True):
                values[stretch.contig, stretch.strand][stretch.first : stretch.last] = scores
        return [self._track(*place, contigs[place[0]], found) for place, found in values.items()]

    def _track(self, contig: str, strand: str, length: int, values: np.ndarray) -> Track:
        if strand == "-":
            values = np.ascontiguousarray(values[::-1])
        start = self.layout.first_bin(length, strand)
        return Track(contig, strand, start, self.layout.stride, self.layout.span, values)

    def _groups(self, contigs: Mapping[str, int], signs: Sequence[str]) -> Iterator[list[_Stretch]]:
        """Yield stretches in groups, each the work of one part."""
        tokens = max(1, self.predictor.tokenizer.count(self.layout.window))
        per_part = max(1, tokens_per_part(self.predictor.config, self.predictor.device.type) // tokens)
        group: list[_Stretch] = []
        waiting = 0
        for stretch in self._stretches(contigs, signs, per_part):
            if waiting and waiting + stretch.windows > per_part:
                yield group
                group, waiting = [], 0
            group.append(stretch)
            waiting += stretch.windows
        yield group

    def _stretches(
        self, contigs: Mapping[str, int], signs: Sequence[str], per_part: int
    ) -> Iterator[_Stretch]:
        """Yield stretches that are read and turned into tokens in one go."""
        tokens = max(1, self.predictor.tokenizer.count(self.layout.window))
        most = max(1, min(BLOCK_BASES // self.layout.stride, _BLOCK_TOKENS // tokens, per_part))
        for name, size in contigs.items():
            count = self.layout.count(size)
            for sign in signs:
                for first in range(0, count, most):
                    yield _Stretch(name, size, sign, first, min(first + most, count))

    def _part(self, stretches: Sequence[_Stretch]) -> dict[str, np.ndarray]:
        return {"scores": np.concatenate([self._stretch_scores(stretch) for stretch in stretches])}

    def _stretch_scores(self, stretch: _Stretch) -> np.ndarray:
        """Return the scores of a stretch, in the order of its strand."""
        self.ticker.advance(0, stage=stretch.stage)
        start = stretch.first * self.layout.stride
        end = (stretch.last - 1) * self.layout.stride + self.layout.window
        if stretch.strand == "+":
            return self._scores(encode_bases(self.genome.fetch(stretch.contig, start, end)))
        letters = self.genome.fetch(stretch.contig, stretch.length - end, stretch.length - start)
        return self._scores(reverse_complement_codes(encode_bases(letters)))

    def _scores(self, codes: np.ndarray) -> np.ndarray:
        """Return the score of each window of a block, NaN for ambiguous ones."""
        usable = ambiguous_share(codes, self.layout.window, self.layout.stride) <= MAX_AMBIGUOUS
        tokens = window_tokens(codes, self.predictor.tokenizer, self.layout.window, self.layout.stride)
        scores = np.full(len(usable), np.nan, dtype=np.float32)
        mirror = self._mirror(codes)
        if usable.any() and not usable.all():
            tokens, mirror = tokens[usable], None if mirror is None else mirror[usable]
        if usable.any():
            logits = self.predictor.logits_of_tokens(
                tokens, mirror=mirror, batch_tokens=self.batch_tokens, ticker=self.ticker
            )
            scores[usable] = self.predictor.score_of(self.predictor.probabilities(logits), self.class_index)
        self.ticker.advance(int((~usable).sum()))
        return scores

    def _mirror(self, codes: np.ndarray) -> np.ndarray | None:
        """Return the tokens of the same windows read on the other strand, for a mirrored model."""
        if not self.predictor.config.mirrored:
            return None
        # A block ends with a window's end, so that its reverse complement has the same windows, last first.
        turned, layout = reverse_complement_codes(codes), self.layout
        return window_tokens(turned, self.predictor.tokenizer, layout.window, layout.stride)[::-1]


def window_tokens(codes: np.ndarray, tokenizer: KmerTokenizer, window: int, stride: int) -> np.ndarray:
    """Return the tokens of all windows of base codes: a view (windows, tokens), nothing copied.

    Every position is turned into a k-mer once; a window picks its own from there, whatever its frame.
    """
    dense = KmerTokenizer(TokenizerConfig(k=tokenizer.k, stride=1)).encode(codes)
    count = tokenizer.count(window)
    if count == 0:
        return np.empty(((len(codes) - window) // stride + 1, 0), dtype=dense.dtype)
    reach = (count - 1) * tokenizer.stride + 1
    starts = len(codes) - window + 1
    views = np.lib.stride_tricks.sliding_window_view(dense, reach)[:starts]
    return views[::stride, :: tokenizer.stride]


def ambiguous_share(codes: np.ndarray, window: int, stride: int) -> np.ndarray:
    """Return the share of letters other than A, C, G, T in each window, float64 (windows,)."""
    sums = np.concatenate([[0], np.cumsum(codes == AMBIGUOUS_CODE)])
    return ((sums[window:] - sums[:-window]) / window)[::stride]


def _batch_cap(predictor: Predictor, batch_tokens: int | None) -> int:
    return batch_tokens or _BATCH_TOKENS.get(predictor.device.type, _BATCH_TOKENS["cpu"])


def _chosen_contigs(genome: Contigs, names: Iterable[str] | None) -> dict[str, int]:
    known = dict(genome.contigs)
    if names is None:
        return known
    names = list(dict.fromkeys(names))
    for name in names:
        if name not in known:
            raise unknown_contig(name, known)
    return {name: known[name] for name in names}


def _ambiguous_by_contig(tracks: list[Track]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for track in tracks:
        missing = int(np.isnan(track.values).sum())
        if missing:
            counts[track.contig] = counts.get(track.contig, 0) + missing
    return counts
