"""Score windows from one stream over the sequence: each base goes through the encoder about once per strand.

A run of windows is cut into lanes that are read side by side. A lane begins with a separator and up to
``CONTEXT`` tokens before its first window, so that the encoder's state there is that of a text already under
way; the token before a window stands where the separator stands in a window read by itself. The first window
of a linear contig has nothing before it and so gets exactly what it gets alone.

Windows whose distance is no multiple of the k-mers' stride lie in several frames; each frame is a run of its
own. How much a window's hidden states owe to what lies before it is what a model should have been trained for,
see :mod:`genolm.stretch_training`.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

import genolm.compute  # noqa: F401  sets the OpenMP wait policy before torch is loaded
import torch
from torch import Tensor

from genolm.pooling import WindowPooling, slot_bounds
from genolm.predict import Predictor
from genolm.stream_encoder import StreamEncoder
from genolm.stream_pooling import pool_windows
from genolm.tokenizer import PAD, SEPARATOR

CONTEXT = 128
"""Tokens that a lane reads before its first window, where there are as many."""
LANES = {"cpu": 128, "cuda": 2048}
_LEAST_LANE = 256
_PIECE = 192
_WINDOWS_AT_ONCE = {"cpu": 1024, "cuda": 32_768}

Read = Callable[[int, int], np.ndarray]
Tick = Callable[[int], None]


class WindowRun(NamedTuple):
    """``windows`` windows on one strand, the first at ``start``, each ``step`` bases after the one before.

    Attributes
    ----------
    read : callable
        Returns the base codes uint8 of [low, high), counted on the strand.
    start, step, windows : int
    reach : int
        Bases that may be read before ``start``.
    """

    read: Read
    start: int
    step: int
    windows: int
    reach: int


class _Lane(NamedTuple):
    """Some windows of a frame: ``rows`` of the run's windows, and the tokens to read for them.

    ``context`` tokens stand between the separator and the first window, ``step`` from one window to the next.
    """

    run: int
    rows: range
    tokens: np.ndarray
    context: int
    step: int


def stream_logits(
    predictor: Predictor,
    encoders: Sequence[StreamEncoder],
    runs: Sequence[WindowRun],
    *,
    tick: Tick | None = None,
) -> list[np.ndarray]:
    """Return the raw outputs of the windows of runs, float32 (windows, outputs) for each run.

    Parameters
    ----------
    predictor : Predictor
        Gives tokenizer, window and heads.
    encoders : sequence of StreamEncoder
        One for each member of the model, see :meth:`Predictor.members`.
    runs : sequence of WindowRun
    tick : callable, optional
        Told of how many windows are finished, each counted once for all members; may raise.

    Notes
    -----
    The result depends on the runs alone: not on the number of threads, nor on what else is scored.
    """
    members = list(zip(encoders, predictor.members(), strict=True))
    lanes = _cut(predictor, runs)
    found = [np.zeros((run.windows, len(predictor.classes)), dtype=np.float32) for run in runs]
    share = SharedTick(tick, len(members))
    for group in _groups(lanes, _lane_count(predictor)):
        for encoder, member in members:
            for lane, first, logits in _read_lanes(predictor, encoder, member, group):
                found[lane.run][lane.rows[first : first + len(logits)]] += logits / len(members)
                share.count(len(logits))
    return found


class SharedTick:
    """Counts a window as finished when all of its readings, by members or of strands, are done."""

    def __init__(self, tick: Tick | None, readings: int) -> None:
        self._tick, self._readings, self._waiting = tick, readings, 0

    def count(self, windows: int) -> None:
        """Count one more reading of ``windows`` windows."""
        whole, self._waiting = divmod(self._waiting + windows, self._readings)
        if self._tick and whole:
            self._tick(whole)


def _cut(predictor: Predictor, runs: Sequence[WindowRun]) -> list[_Lane]:
    """Return the lanes of all runs, of about the same length each."""
    tokenizer = predictor.tokenizer
    width = tokenizer.count(predictor.config.window.length)
    frames = [
        (number, frame, count) for number, run in enumerate(runs) for frame, count in _frames(run, tokenizer.stride)
    ]
    spans = {number: _frame_step(run.step, tokenizer.stride) // tokenizer.stride for number, run in enumerate(runs)}
    total = sum(count * spans[number] for number, _, count in frames)
    length = max(_LEAST_LANE, math.ceil(total / _lane_count(predictor)))
    lanes = []
    for number, frame, count in frames:
        per_lane = min(count, math.ceil(length / spans[number]))
        for first in range(0, count, per_lane):
            last = min(first + per_lane, count)
            lanes.append(_lane(predictor, runs[number], number, (frame, first, last), width))
    return lanes


def _frame_step(step: int, stride: int) -> int:
    """Return the bases from one window of a frame to the next."""
    return math.lcm(step, stride)


def _frames(run: WindowRun, stride: int) -> Iterator[tuple[int, int]]:
    """Yield the number of the first window of each frame and how many windows are in it."""
    many = _frame_step(run.step, stride) // run.step
    for frame in range(min(many, run.windows)):
        yield frame, (run.windows - frame - 1) // many + 1


def _lane(predictor: Predictor, run: WindowRun, number: int, place: tuple[int, int, int], width: int) -> _Lane:
    tokenizer, (frame, first, last) = predictor.tokenizer, place
    step = _frame_step(run.step, tokenizer.stride)
    many = step // run.step
    begin = run.start + frame * run.step + first * step
    context = min(CONTEXT, (run.reach + begin - run.start) // tokenizer.stride)
    bases = ((last - first - 1) * step // tokenizer.stride + width - 1) * tokenizer.stride + tokenizer.k
    codes = run.read(begin - context * tokenizer.stride, begin + bases)
    tokens = np.concatenate([[SEPARATOR], tokenizer.encode(codes)])
    rows = range(frame + first * many, frame + (last - 1) * many + 1, many)
    return _Lane(number, rows, tokens.astype(np.int64), context, step // tokenizer.stride)


def _lane_count(predictor: Predictor) -> int:
    return LANES.get(predictor.device.type, LANES["cpu"])


def _groups(lanes: list[_Lane], most: int) -> Iterator[list[_Lane]]:
    """Yield at most ``most`` lanes each, which are read side by side: of like length, longest first."""
    ordered = sorted(lanes, key=lambda lane: -len(lane.tokens))
    for first in range(0, len(ordered), most):
        yield ordered[first : first + most]


def _read_lanes(
    predictor: Predictor, encoder: StreamEncoder, member: torch.nn.Module, lanes: list[_Lane]
) -> Iterator[tuple[_Lane, int, np.ndarray]]:
    """Yield (lane, number of its first window, logits) as the lanes are read."""
    width = predictor.tokenizer.count(predictor.config.window.length) + 1
    text, starts = _aligned(lanes)
    reader, lead = encoder.open(len(lanes)), max(lane.context for lane in lanes)
    emb = predictor.config.encoder.emb
    states, filled = torch.empty(width - 1 + _PIECE, len(lanes), emb, device=predictor.device), 0
    for low, high in _pieces(len(text), starts):
        begins = np.flatnonzero(starts == low)
        if low and len(begins):
            reader.restart(begins)
        with torch.inference_mode():
            kept = min(filled, width - 1)
            states[:kept] = states[filled - kept : filled].clone()
            filled = kept + high - low
            reader.read(text[low:high], states[kept:filled])
            piece = _Piece(states[:filled], high - filled - lead, low - lead, high - lead)
            for step in sorted({lane.step for lane in lanes}):
                chosen = [index for index, lane in enumerate(lanes) if lane.step == step]
                yield from _finished(member, piece, lanes, chosen, (step, width))


def _aligned(lanes: list[_Lane]) -> tuple[np.ndarray, np.ndarray]:
    """Return the lanes' tokens (time, lanes), their first windows side by side, and where each lane starts."""
    lead = max(lane.context for lane in lanes)
    starts = np.array([lead - lane.context for lane in lanes])
    text = np.full((max(len(lane.tokens) + start for lane, start in zip(lanes, starts)), len(lanes)), PAD)
    for index, (lane, start) in enumerate(zip(lanes, starts, strict=True)):
        text[start : start + len(lane.tokens), index] = lane.tokens
    return text, starts


def _pieces(total: int, starts: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yield the bounds of the pieces in which lanes are read; a lane that starts late does so at a bound."""
    bounds = sorted({*range(0, total, _PIECE), *(int(start) for start in starts), total})
    yield from zip(bounds[:-1], bounds[1:], strict=True)


class _Piece(NamedTuple):
    """Hidden states (time, lanes, emb) from time ``origin`` on, of which those from ``low`` to ``high`` are new.

    Times are counted from the token before the first window.
    """

    hidden: Tensor
    origin: int
    low: int
    high: int


def _finished(
    member: torch.nn.Module, piece: _Piece, lanes: list[_Lane], chosen: list[int], shape: tuple[int, int]
) -> Iterator[tuple[_Lane, int, np.ndarray]]:
    """Yield the logits of the windows that end among the new states, of lanes that have one step."""
    step, width = shape
    first = max(0, (piece.low - width) // step + 1)
    last = min(max(len(lanes[index].rows) for index in chosen), (piece.high - width) // step + 1)
    if last <= first:
        return
    numbers = np.arange(first, last)
    at_once = max(1, _WINDOWS_AT_ONCE.get(piece.hidden.device.type, _WINDOWS_AT_ONCE["cpu"]) // len(numbers))
    for low in range(0, len(chosen), at_once):
        some = chosen[low : low + at_once]
        features = _features(member, piece.hidden[:, some], numbers * step - piece.origin, width)
        logits = member.head(features.flatten(0, 1)).view(len(some), len(numbers), -1).float().cpu().numpy()
        for row, index in enumerate(some):
            left = len(lanes[index].rows) - first
            if left > 0:
                yield lanes[index], first, logits[row, :left]


def _features(member: torch.nn.Module, hidden: Tensor, starts: np.ndarray, width: int) -> Tensor:
    """Return the features (lanes, windows, ...) of windows by where they start in ``hidden`` (time, lanes, emb)."""
    if hidden.device.type != "cpu":
        pooling = WindowPooling(hidden.transpose(0, 1), width=width, slots=member.slots)
        return pooling.features(torch.from_numpy(starts).to(hidden.device))
    edges = slot_bounds(width, member.slots) if member.slots else np.zeros(1, dtype=np.int64)
    features = np.empty((hidden.shape[1], len(starts), (2 + len(edges)) * hidden.shape[2]), dtype=np.float32)
    low, high = int(starts[0]), int(starts[-1]) + width
    pool_windows(hidden[low:high].numpy(), starts - low, width, edges, features)
    return torch.from_numpy(features)
