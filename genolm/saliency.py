"""Which bases a classifier's answer rests on: stretches are replaced by random ones and the loss is measured.

The procedure of Genomic-ULMFiT (lengths 1, 3, ..., 15 at every position) with its gaps closed: every base of
a stretch is really replaced (a random k-mer keeps a base one time in four), several fills are averaged with
an error band, and the measure is the log-odds of the class against the unperturbed sequence, so that a
saturated probability hides nothing.

A score above 0 means that the base supports the class: the log-odds fall by that much, on average, when
stretches that cover it are replaced.

A window with too few known bases has no answer that could be explained (:func:`genolm.prediction.least_known`): it
judges a stretch only where no other window holds it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd

from genolm.errors import SequenceError, SettingsError
from genolm.partial import FinishedParts
from genolm.predict import MAX_TOKENS, Predictor
from genolm.prediction import Prediction, judged_windows, log_odds
from genolm.progress import ProgressCallback, Ticker
from genolm.sequences import reverse_complement
from genolm.tokenizer import AMBIGUOUS_CODE, encode_bases, reverse_complement_codes

LENGTHS = (1, 3, 5, 7, 9, 11, 13, 15)
FILLS = 8
_OTHER_BASES = 3
_CHUNK_BASES = 2_000_000
_BAND = 1.96


@dataclass(frozen=True)
class Saliency:
    """The saliency of one sequence on one strand; every array is in the coordinates of the given sequence.

    Attributes
    ----------
    sequence : str
        As given, also for the minus strand.
    strand : str
        The strand that was analysed.
    class_name : str
    base_logit : float
        Log-odds of the class for the unperturbed sequence; of its best window where the sequence is longer
        than the model's window.
    per_length : dict of int to float32 array (bases - length + 1,)
        Mean loss of log-odds when [i, i + length) is replaced.
    score, low, high : float32 array (bases,)
        Loss per base: the mean over the stretches that cover it, then over lengths; with a band of 1.96
        standard errors over the random fills.
    anchor : int or None
        0-based position of a site to mark, such as the TSS, as given.
    windows : int
        Forward passes of the model that this took.
    """

    sequence: str
    strand: str
    class_name: str
    base_logit: float
    per_length: dict[int, np.ndarray]
    score: np.ndarray
    low: np.ndarray
    high: np.ndarray
    anchor: int | None = None
    windows: int = 0

    def frame(self, record: str = "sequence") -> pd.DataFrame:
        """Return the table ``record, position, base, strand, score, low, high``; positions are 0-based."""
        columns = {
            "record": record,
            "position": np.arange(len(self.sequence)),
            "base": list(self.sequence),
            "strand": self.strand,
            "score": self.score,
            "low": self.low,
            "high": self.high,
        }
        return pd.DataFrame(columns)


def saliency_windows(
    length: int, *, lengths: Sequence[int] = LENGTHS, fills: int = FILLS, window: int | None = None
) -> int:
    """Return how many forward passes the saliency of one strand of ``length`` bases takes: its cost.

    About ``length * len(lengths) * fills``, plus one for each window where the sequence is longer than
    the model's ``window``.
    """
    width = length if window is None or length <= window else window
    perturbed = sum((length - k + 1) * _fill_count(k, fills) for k in set(lengths) if k <= width)
    return perturbed + length - width + 1


def perturbation_saliency(
    predictor: Predictor,
    sequence: str,
    *,
    lengths: Sequence[int] = LENGTHS,
    fills: int = FILLS,
    seed: int = 1,
    class_index: int | None = None,
    strand: str = "+",
    anchor: int | None = None,
    parts: FinishedParts | None = None,
    progress: ProgressCallback | None = None,
) -> Saliency:
    """Measure how much each base supports a class.

    Parameters
    ----------
    predictor : Predictor
    sequence : str
        Up to the model's window it is analysed as a whole. In a longer one, each stretch is judged in the
        training window that holds it and scores highest unperturbed (the call that the stretch could
        support); around a given ``anchor`` it is the window whose own anchor lies there. Windows with too few
        known bases come after all others. Where there is no other, see :func:`is_judged`, the numbers mean
        nothing.
    lengths : sequence of int
        Lengths of the replaced stretches, in bases; those longer than the sequence are left out.
    fills : int
        Random fills at each place, 2 or more. Length 1 always takes the three other bases.
    seed : int
        The same seed gives the same fills.
    class_index : int, optional
        The class to explain; by default the positive one of a binary model. Of several classes it is the one
        that the model predicts of the sequence as a whole. Where that is none or more than one, or the sequence
        is too long for it, it is the most probable one of the aligned window, else that of the window with the
        highest probability of any.
    strand : {"+", "-"}
        "-" analyses the reverse complement; positions stay those of the given sequence.
    anchor : int, optional
        0-based position of a site in ``sequence``, to mark and to align the window with.
    parts : FinishedParts, optional
        Of this very saliency: what it holds is not worked out again, and what is worked out is kept there.
    progress : callable, optional
        Told of finished forward passes.
    """
    lengths = tuple(lengths)
    codes = _checked(sequence, strand, anchor)
    _check_numbers(lengths, fills, seed)
    place = anchor if anchor is None or strand == "+" else len(codes) - 1 - anchor
    if strand == "-":
        codes = reverse_complement_codes(codes)
    window = None if predictor.config.window is None else predictor.config.window.length
    used = _usable(lengths, min(len(codes), window or len(codes)))
    cost = saliency_windows(len(codes), lengths=used, fills=fills, window=window)
    ticker = Ticker(progress, cost, stage="replacing stretches")
    reader = _Reader(predictor, parts or FinishedParts(), ticker)
    base = _Unperturbed.of(reader, codes, class_index, place)
    losses = {k: _losses(reader, base, k, _fills(codes, k, fills, seed)) for k in used}
    score, error = _per_base(losses, len(codes))
    turn = slice(None) if strand == "+" else slice(None, None, -1)
    return Saliency(
        sequence=sequence,
        strand=strand,
        class_name=predictor.classes[base.class_index],
        base_logit=float(base.margins[base.start]),
        per_length={k: mean[turn].astype(np.float32) for k, (mean, _) in losses.items()},
        score=score[turn].astype(np.float32),
        low=(score - _BAND * error)[turn].astype(np.float32),
        high=(score + _BAND * error)[turn].astype(np.float32),
        anchor=anchor,
        windows=cost,
    )


class Explained(NamedTuple):
    """What a model says of the piece of a sequence whose answer a saliency explains.

    Attributes
    ----------
    prediction : Prediction
        Of one sequence.
    start, end : int
        The piece, 0-based, half-open, in the coordinates of the given sequence.
    class_name : str
        The class that is explained, which need not be the one that is predicted of the piece.
    """

    prediction: Prediction
    start: int
    end: int
    class_name: str


def explained_answer(
    predictor: Predictor,
    sequence: str,
    *,
    class_index: int | None = None,
    strand: str = "+",
    anchor: int | None = None,
) -> Explained:
    """Return the answer that a saliency with the same arguments explains.

    It is that of the whole sequence or, in one longer than the model's window, of the window that is aligned
    with the ``anchor``, else of the one that scores highest. See :func:`perturbation_saliency` for the arguments.
    """
    codes, size = _checked(sequence, strand, anchor), len(sequence)
    place = anchor if anchor is None or strand == "+" else size - 1 - anchor
    if strand == "-":
        codes = reverse_complement_codes(codes)
        sequence = reverse_complement(sequence)
    reader = _Reader(predictor, FinishedParts(), Ticker(None, 0))
    base = _Unperturbed.of(reader, codes, class_index, place)
    start, end = base.start, base.start + base.views.shape[1]
    found = predictor.predict([sequence[start:end]])
    piece = (start, end) if strand == "+" else (size - end, size - start)
    return Explained(found, *piece, predictor.classes[base.class_index])


def is_judged(predictor: Predictor, sequence: str) -> bool:
    """Return whether the saliency of a sequence means anything: whether it or any window of it has an answer."""
    return bool(judged_windows(encode_bases(sequence) != AMBIGUOUS_CODE, predictor.config.window).any())


class _Reader(NamedTuple):
    """The model's answers, from the finished parts where they are there."""

    predictor: Predictor
    parts: FinishedParts
    ticker: Ticker

    def logits(self, key: str, windows: np.ndarray) -> np.ndarray:
        """Return the logits of windows of base codes, which are the part ``key`` of the work."""
        part = self.parts.finish(key, partial(self._read, windows))
        if part.reused:
            self.ticker.skip(len(windows), part.seconds)
        return part.arrays["logits"]

    def _read(self, windows: np.ndarray) -> dict[str, np.ndarray]:
        return {"logits": self.predictor.logits_of_codes(windows, ticker=self.ticker)}


class _Unperturbed(NamedTuple):
    """The windows of a sequence and their log-odds; one window where the sequence is not longer than it."""

    views: np.ndarray  # (starts, width) codes
    margins: np.ndarray  # (starts,)
    ranks: np.ndarray  # (starts,) the margins, but for those of windows that are not judged: below all others
    class_index: int
    aligned: int | None  # start of the window whose anchor lies on the given site

    @classmethod
    def of(cls, reader: _Reader, codes: np.ndarray, class_index: int | None, place: int | None) -> "_Unperturbed":
        """Score all windows of ``codes``; ``place`` is the site that a window shall be aligned with."""
        predictor, window = reader.predictor, reader.predictor.config.window
        if class_index is not None and not 0 <= class_index < len(predictor.classes):
            raise SettingsError(f"class_index is {class_index}; the model's are 0 to {len(predictor.classes) - 1}.")
        width = len(codes) if window is None else min(window.length, len(codes))
        views = np.lib.stride_tricks.sliding_window_view(codes, width)
        logits = reader.logits("whole", views)
        judged = judged_windows(codes != AMBIGUOUS_CODE, window)
        judged |= not judged.any()
        aligned = None
        if place is not None and window is not None and window.anchor is not None:
            start = place - window.anchor
            aligned = start if 0 <= start < len(views) and judged[start] else None
        if class_index is None:
            likely = logits[judged] if aligned is None else logits[[aligned]]
            class_index = _default_class(predictor, codes, likely)
        margins = log_odds(logits, class_index, predictor.task)
        ranks = np.where(judged, margins, margins.astype(np.float64) - np.ptp(margins) - 1)
        return cls(views, margins, ranks, class_index, aligned)

    @property
    def start(self) -> int:
        """Start of the window that is explained before all others."""
        return int(self.ranks.argmax()) if self.aligned is None else self.aligned

    def starts(self, length: int) -> np.ndarray:
        """Return, for each stretch [i, i + length), the start of the window in which it is judged."""
        width, count = self.views.shape[1], len(self.views)
        total = count + width - length  # stretches: sequence length - length + 1
        behind = width - length
        padded = np.concatenate([np.full(behind, -np.inf), self.ranks, np.full(behind, -np.inf)])
        options = np.lib.stride_tricks.sliding_window_view(padded, behind + 1)
        chosen = np.empty(total, dtype=np.int64)
        rows = max(1, _CHUNK_BASES // (behind + 1))
        for first in range(0, total, rows):
            chosen[first : first + rows] = options[first : first + rows].argmax(axis=1)
        chosen += np.arange(total) - behind
        if self.aligned is not None:
            chosen[self.aligned : self.aligned + behind + 1] = self.aligned
        return chosen


def _checked(sequence: str, strand: str, anchor: int | None) -> np.ndarray:
    if not sequence:
        raise SequenceError("The sequence is empty; give its bases.")
    if strand not in ("+", "-"):
        raise SettingsError(f"strand is '{strand}'; it must be + or -.")
    if anchor is not None and not 0 <= anchor < len(sequence):
        raise SettingsError(f"The site to mark is at {anchor}; the sequence has positions 0 to {len(sequence) - 1}.")
    return encode_bases(sequence)


def _check_numbers(lengths: Sequence[int], fills: int, seed: int) -> None:
    if seed < 0:
        raise SettingsError(f"seed is {seed}; give a whole number from 0 up.")
    if fills < 2:
        raise SettingsError(f"fills is {fills}; an error band needs at least 2 random fills.")
    if not lengths or any(length < 1 or length != int(length) for length in lengths):
        raise SettingsError(f"lengths are {list(lengths)}; give whole numbers of bases from 1 up.")


def _usable(lengths: Sequence[int], width: int) -> list[int]:
    used = sorted({int(k) for k in lengths if k <= width})
    if not used:
        raise SettingsError(f"The shortest stretch has {min(lengths)} bases; there are {width} to replace.")
    return used


def _default_class(predictor: Predictor, codes: np.ndarray, logits: np.ndarray) -> int:
    """Return the class to explain of a sequence; ``logits`` are those of the windows that may choose it."""
    if predictor.task not in ("multiclass", "multilabel"):
        return predictor.positive_index
    window = predictor.config.window
    said = _predicted(predictor, codes) if window is not None and len(codes) > window.length else ""
    if said in predictor.classes:
        return predictor.classes.index(said)
    surest = predictor.probabilities(logits).max(axis=1).argmax()
    return int(logits[surest].argmax())


def _predicted(predictor: Predictor, codes: np.ndarray) -> str:
    """Return what is predicted of a sequence as a whole, "" where it is too long for that."""
    if predictor.tokenizer.count(len(codes)) >= MAX_TOKENS:
        return ""
    size, known = np.array([len(codes)]), np.array([np.count_nonzero(codes != AMBIGUOUS_CODE)])
    return predictor.answers([""], size, known, predictor.logits([codes])).predicted[0]


def _fill_count(length: int, fills: int) -> int:
    return _OTHER_BASES if length == 1 else fills


def _fills(codes: np.ndarray, length: int, fills: int, seed: int) -> np.ndarray:
    """Return replacements, uint8 (stretches, fills, length); each base differs from the one it replaces."""
    random = np.random.default_rng([seed, length])
    avoided = np.where(codes == AMBIGUOUS_CODE, random.integers(4, size=len(codes), dtype=np.uint8), codes)
    stretches = np.lib.stride_tricks.sliding_window_view(avoided, length)[:, None, :]
    shape = (len(stretches), _fill_count(length, fills), length)
    if length == 1:
        shift = np.broadcast_to(np.arange(_OTHER_BASES, dtype=np.uint8)[None, :, None], shape)
    else:
        shift = random.integers(_OTHER_BASES, size=shape, dtype=np.uint8)
    return (stretches + 1 + shift) % 4


def _perturbed(base: _Unperturbed, starts: np.ndarray, fills: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield (stretches, their perturbed windows (stretches * fills, width)) in pieces of even memory."""
    width, (total, per_place, length) = base.views.shape[1], fills.shape
    rows = max(1, _CHUNK_BASES // (per_place * width))
    for first in range(0, total, rows):
        part = slice(first, min(first + rows, total))
        windows = np.repeat(base.views[starts[part], None], per_place, axis=1)
        inside = np.arange(part.start, part.stop) - starts[part]
        columns = inside[:, None, None] + np.arange(length)
        np.put_along_axis(windows, np.broadcast_to(columns, fills[part].shape), fills[part], axis=2)
        yield part, windows.reshape(-1, width)


def _losses(reader: _Reader, base: _Unperturbed, length: int, fills: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean loss of log-odds for each stretch and the squared error of that mean."""
    starts = base.starts(length)
    mean, error = np.empty(len(starts)), np.zeros(len(starts))
    for part, windows in _perturbed(base, starts, fills):
        logits = reader.logits(f"length-{length}-from-{part.start}", windows)
        after = log_odds(logits, base.class_index, reader.predictor.task).reshape(-1, fills.shape[1])
        loss = base.margins[starts[part], None].astype(np.float64) - after
        mean[part] = loss.mean(axis=1)
        # The three other bases are all there are: their mean has no sampling error.
        if length > 1:
            error[part] = loss.var(axis=1, ddof=1) / loss.shape[1]
    return mean, error


def _per_base(losses: dict[int, tuple[np.ndarray, np.ndarray]], bases: int) -> tuple[np.ndarray, np.ndarray]:
    """Return each base's score and its standard error; fills are independent, so errors add in squares."""
    score, squares = np.zeros(bases), np.zeros(bases)
    for length, (mean, error) in losses.items():
        covering = _covering_sum(np.ones(len(mean)), length)
        score += _covering_sum(mean, length) / covering
        squares += _covering_sum(error, length) / covering**2
    return score / len(losses), np.sqrt(squares) / len(losses)


def _covering_sum(values: np.ndarray, length: int) -> np.ndarray:
    """Return, for each base, the sum over the stretches of ``length`` that cover it."""
    return np.convolve(values, np.ones(length))
