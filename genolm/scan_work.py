"""The scoring of a scan's parts: what one worker does, here or on another machine.

A part's scores depend on its windows, the model and the kind of device alone: each part is worked out by one
thread, so that they are the same, bit for bit, whoever does it and whatever is done beside it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np

from genolm import compute
from genolm.config import TokenizerConfig
from genolm.errors import SettingsError
from genolm.partial import tokens_per_part
from genolm.predict import Predictor
from genolm.progress import Ticker
from genolm.readings import frames_of, readings_of
from genolm.regions import Contigs
from genolm.scan_plan import Layout, Part, Stretch
from genolm.stream_encoder import StreamEncoder, stream_encoder
from genolm.streaming import CONTEXT, SharedTick, WindowRun, stream_logits
from genolm.tokenizer import AMBIGUOUS_CODE, KmerTokenizer, encode_bases, reverse_complement_codes

Mode = Literal["stream", "exact"]
MAX_AMBIGUOUS = 0.10
_BATCH_TOKENS = {"cpu": 32_768, "cuda": 524_288}
_GAP = 1_000
_MOST_BASES = 4_000_000

Tick = Callable[[int], None]


class _Codes(NamedTuple):
    """Base codes of a strand from place ``start`` on."""

    codes: np.ndarray
    start: int

    def read(self, low: int, high: int) -> np.ndarray:
        return self.codes[low - self.start : high - self.start]


@dataclass(frozen=True)
class ScanWork:
    """Everything that is needed to score any part of a scan.

    Attributes
    ----------
    genome : Contigs
    predictor : Predictor
    layout : Layout
    class_index : int
        The output that is scored.
    mode : {"stream", "exact"}
        Windows from one stream over the strand, or each window by itself.
    batch_tokens : int, optional
        Cap on tokens in one pass of the exact mode.
    """

    genome: Contigs
    predictor: Predictor
    layout: Layout
    class_index: int
    mode: Mode
    batch_tokens: int | None = None

    def __post_init__(self) -> None:
        if self.predictor.config.framed and (self.mode == "stream" or self.predictor.int8):
            raise SettingsError(
                f"Model '{self.predictor.config.name}' reads each window from several bases on, which a stream does "
                "not; leave --mode and --precision at auto."
            )
        if self.mode == "exact" and self.predictor.int8:
            raise SettingsError("Precision int8 is for streamed scans; use --mode stream, or another precision.")

    @property
    def windows_per_part(self) -> int:
        """How many windows make a part of some ten to thirty seconds."""
        predictor, tokenizer = self.predictor, self.predictor.tokenizer
        budget = tokens_per_part(predictor.config, predictor.device.type)
        if self.mode == "exact":
            most = _MOST_BASES // self.layout.stride
            return max(1, min(most, budget // max(1, tokenizer.count(self.layout.window))))
        frames = np.lcm(self.layout.stride, tokenizer.stride) // self.layout.stride
        return max(1, int(budget * tokenizer.stride // (self.layout.stride * frames)))

    @cached_property
    def _encoders(self) -> list[StreamEncoder]:
        int8 = self.predictor.int8
        return [stream_encoder(member.encoder, int8=int8) for member in self.predictor.members()]

    def prepare(self) -> "ScanWork":
        """Make ready what all parts share, so that threads need not do it at once; return the work."""
        if self.mode == "stream":
            _ = self._encoders
        return self

    def scores(self, part: Part, *, tick: Tick | None = None) -> np.ndarray:
        """Return the scores of a part's windows one after another, float32, NaN for ambiguous windows.

        ``tick`` is told of finished windows and may raise.
        """
        tick = tick or (lambda _: None)
        with compute.torch_threads(1 if self.predictor.device.type == "cpu" else None):
            return np.concatenate([self._stretch_scores(stretch, tick) for stretch in part.stretches])

    def _stretch_scores(self, stretch: Stretch, tick: Tick) -> np.ndarray:
        layout = self.layout
        first = layout.first_window(stretch.strand, circular=stretch.circular) + stretch.first * layout.stride
        end = first + (stretch.windows - 1) * layout.stride + layout.window
        reach = self._reach(stretch, first)
        strand = _Codes(self._read(stretch, first - reach, end), first - reach)
        usable = ambiguous_share(strand.codes[reach:], layout.window, layout.stride) <= MAX_AMBIGUOUS
        scores = np.full(stretch.windows, np.nan, dtype=np.float32)
        tick(int((~usable).sum()))
        if usable.any():
            score = self._exact_logits if self.mode == "exact" else self._stream_logits
            logits = score(strand, first, usable, tick)
            chances = self.predictor.probabilities(logits)
            scores[usable] = self.predictor.score_of(chances, self.class_index)
        return scores

    def _reach(self, stretch: Stretch, first: int) -> int:
        """Return how many bases before its first window a stretch may read."""
        if self.mode == "exact":
            return 0
        most = CONTEXT * self.predictor.tokenizer.stride
        return min(most, stretch.length + first) if stretch.circular else min(most, first)

    def _read(self, stretch: Stretch, low: int, high: int) -> np.ndarray:
        """Return the base codes of places ``low`` to ``high`` of a stretch's strand."""
        if stretch.strand == "+":
            return encode_bases(self.genome.fetch(stretch.contig, low, high))
        letters = self.genome.fetch(stretch.contig, stretch.length - high, stretch.length - low)
        return reverse_complement_codes(encode_bases(letters))

    def _exact_logits(self, strand: _Codes, first: int, usable: np.ndarray, tick: Tick) -> np.ndarray:
        """Return the raw outputs of the usable windows, each read by itself."""
        layout, tokenizer = self.layout, self.predictor.tokenizer
        codes = strand.read(first, strand.start + len(strand.codes))
        readings = []
        for number, read in enumerate(readings_of(codes, self.predictor.config, length=layout.window)):
            # What is left out before the first window is left out of each. The codes end with a window's end, so
            # that their reverse complement has the same windows, last first.
            tokens = window_tokens(read, tokenizer, layout.window - (len(codes) - len(read)), layout.stride)
            turned = number >= frames_of(self.predictor.config)
            tokens = tokens[::-1] if turned else tokens
            readings.append(tokens if usable.all() else tokens[usable])
        cap = self.batch_tokens or _BATCH_TOKENS.get(self.predictor.device.type, _BATCH_TOKENS["cpu"])
        alone = self.predictor.with_threads(1)
        return alone.logits_of_tokens(*readings, batch_tokens=cap, ticker=_Counter(tick))

    def _stream_logits(self, strand: _Codes, first: int, usable: np.ndarray, tick: Tick) -> np.ndarray:
        """Return the raw outputs of the usable windows from streams over the runs of them."""
        layout, mirrored = self.layout, self.predictor.config.mirrored
        runs, rows = [], []
        for low, high in _usable_runs(usable, max(1, _GAP // layout.stride)):
            start = first + low * layout.stride
            runs.append(WindowRun(strand.read, start, layout.stride, high - low, start - strand.start))
            rows.append(np.arange(low, high)[usable[low:high]] - low)
        told = SharedTick(tick, 2 if mirrored else 1)
        found = stream_logits(self.predictor, self._encoders, runs, tick=told.count)
        if mirrored:
            turned = [_turned(strand, run, layout.window) for run in runs]
            other = stream_logits(self.predictor, self._encoders, turned, tick=told.count)
            found = [(plus + minus[::-1]) / 2 for plus, minus in zip(found, other, strict=True)]
        return np.concatenate([logits[chosen] for logits, chosen in zip(found, rows, strict=True)])


def _turned(strand: _Codes, run: WindowRun, window: int) -> WindowRun:
    """Return the windows of a run read on the other strand, last first; places there count from 0 at its end."""
    end = run.start + (run.windows - 1) * run.step + window

    def read(low: int, high: int) -> np.ndarray:
        return reverse_complement_codes(strand.read(end - high, end - low))

    return WindowRun(read, 0, run.step, run.windows, 0)


def _usable_runs(usable: np.ndarray, gap: int) -> Iterator[tuple[int, int]]:
    """Yield runs of windows, half-open, that begin and end with a usable one and hold no gap longer than ``gap``."""
    places = np.flatnonzero(usable)
    breaks = np.flatnonzero(np.diff(places) > gap)
    firsts, lasts = places[np.r_[0, breaks + 1]], places[np.r_[breaks, len(places) - 1]]
    yield from zip(firsts.tolist(), (lasts + 1).tolist(), strict=True)


class _Counter(Ticker):
    """A ticker that only passes every count on."""

    def __init__(self, tick: Tick) -> None:
        super().__init__(None, 0)
        self._tick = tick

    def advance(self, units: int = 1, **_: object) -> None:
        """Pass ``units`` on."""
        self._tick(units)


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
