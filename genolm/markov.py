"""Markov models of bases: how much the few bases before tell about the next one.

The baseline of every language model. A base b after the k bases c has the probability

    p_k(b | c) = (n(cb) + a_k p_{k-1}(b | c')) / (n(c) + a_k),    p_{-1} = 1/4,

where n counts words on both strands and c' is c without its first base: interpolation of all orders up to
k by a hierarchical Dirichlet model (MacKay and Peto 1995, Natural Language Engineering 1:289-308). Both
strands are counted as in finite-context models of genomes (Pinho et al. 2011, PLoS ONE 6:e21588). The
strengths a_k and the best order are chosen on a slice of the training data.

Memory is that of the counts, 4 bytes a word: 360 MB for all orders up to 12, whatever the genome's size.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from genolm.errors import TrainingError

HIGHEST_ORDER = 12
STRENGTHS = tuple(4.0**power for power in range(-2, 8))
SLICE_PIECE = 5_000
SLICE_SHARE = 10
SLICE_PIECES = 20
SLICE_BASES = 500_000
BLOCK_BASES = 1_500
AS_GOOD = 1e-4
AMBIGUOUS = 4
_CHUNK = 1 << 21
_WIDE_UP_TO = 8


def bits_interval(losses: np.ndarray, *, bases: int, block: int = 500) -> dict[str, float]:
    """Return bits per base as value, low and high (95 %) of losses in nats that cover ``bases`` bases each.

    The interval is a bootstrap over blocks of ``block`` losses, since neighbours are not independent.
    """
    blocks = np.array([part.mean() for part in np.array_split(losses, max(2, len(losses) // block))])
    rng = np.random.default_rng(0)
    draws = blocks[rng.integers(0, len(blocks), (1000, len(blocks)))].mean(1)
    low, high = np.quantile(draws, [0.025, 0.975])
    scale = bases * math.log(2)
    return {"value": float(losses.mean()) / scale, "low": float(low) / scale, "high": float(high) / scale}


def rolling_words(codes: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Return for each base the word that ends there and how many known bases end there, up to ``length``.

    A word is a number, int32, of two bits a base with the last base lowest; only as many bases of it as
    are known mean anything. ``length`` is at most 15.
    """
    words = (codes & 3).astype(np.int32)
    bases = words.copy()
    for back in range(1, min(length, len(codes))):
        words[back:] |= bases[:-back] << (2 * back)
    place = np.arange(len(codes), dtype=np.int32)
    gaps = np.maximum.accumulate(np.where(codes > 3, place, np.int32(-1)))
    return words, np.minimum(place - gaps, length)


class WordCounts:
    """How often each word of 1 to ``order`` + 1 bases occurs.

    Parameters
    ----------
    order : int
        Bases before the last one in the longest words.
    both_strands : bool
        Whether a word's reverse complement counts as the word itself.
    """

    def __init__(self, order: int, *, both_strands: bool = True) -> None:
        self.both_strands = both_strands
        sizes = [4 ** (k + 1) for k in range(order + 1)]
        types = [np.int64 if k <= _WIDE_UP_TO else np.uint32 for k in range(order + 1)]
        self._tables = [np.zeros(size, dtype=kind) for size, kind in zip(sizes, types, strict=True)]

    @property
    def order(self) -> int:
        """The highest order that can be asked for."""
        return len(self._tables) - 1

    def add(self, codes: np.ndarray) -> None:
        """Count the words of base codes, uint8; words with an unknown base are left out."""
        for start in range(0, len(codes), _CHUNK):
            before = min(start, self.order)
            words, runs = rolling_words(codes[start - before : start + _CHUNK], self.order + 1)
            self._add_words(words[before:], runs[before:])

    def _add_words(self, words: np.ndarray, runs: np.ndarray) -> None:
        for k, table in enumerate(self._tables):
            known = runs > k
            found = (words if known.all() else words[known]) & (len(table) - 1)
            np.add.at(table, found, table.dtype.type(1))

    def cut(self, order: int) -> None:
        """Forget all words of orders above ``order``."""
        del self._tables[order + 1 :]

    def seen(self, words: np.ndarray, backwards: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return how often words of order ``k`` occur, and how often their first k bases do, float64.

        ``backwards`` holds the words' reverse complements.
        """
        table = self._tables[k]
        context = words & ~3
        hits = table[words].astype(np.float64)
        total = sum(table[context | base] for base in range(4)).astype(np.float64)  # type: ignore[union-attr]
        if self.both_strands:
            context = backwards & (4**k - 1)
            hits += table[backwards]
            total += sum(table[context | (base << (2 * k))] for base in range(4))
        return hits, total


@dataclass(frozen=True)
class MarkovModel:
    """An interpolated Markov model.

    Attributes
    ----------
    counts : WordCounts
    strengths : tuple of float
        a_k of each order from 0 up; their number says the order.
    slice_bits : tuple of float
        Bits per base of each order that was tried, on the slice of the training data.
    """

    counts: WordCounts
    strengths: tuple[float, ...]
    slice_bits: tuple[float, ...] = ()

    @property
    def order(self) -> int:
        """How many bases before it a base depends on."""
        return len(self.strengths) - 1

    def losses(self, codes: np.ndarray) -> np.ndarray:
        """Return -ln p of each base given those before it, float64; NaN at a base that is not known."""
        chances = np.full(len(codes), 0.25)
        for k, (rows, hits, total) in enumerate(_ladder(self.counts, codes, self.order)):
            strength = self.strengths[k]
            chances[rows] = (hits + strength * chances[rows]) / (total + strength)
        return np.where(codes >= AMBIGUOUS, np.nan, -np.log(chances))


def fit_markov(
    records: Sequence[np.ndarray],
    *,
    order: int | None = None,
    highest: int = HIGHEST_ORDER,
    both_strands: bool = True,
) -> MarkovModel:
    """Fit a Markov model to base codes; the order is chosen on a slice of them unless it is given.

    The slice is a tenth of the data in 20 or more pieces of up to 5,000 bases, 500,000 bases at most;
    strengths and order are chosen on it by the counts of all the rest, and then it is counted too, but for words over
    the ends of its pieces. The tenth of the pieces that gains most by a choice and the tenth that gains least do not
    count, or the few that lie in repeats would choose for all. Tried are the orders
    from 0 to ``highest``, but none with more than 256 words for each base of the data; of orders that are as
    good as the best, to 0.0001 bits, the lowest is taken.

    Raises
    ------
    TrainingError
        When there is nothing to count.
    """
    rest, part = _slice(records)
    bases = sum(len(record) for record in records)
    top = min(highest, math.ceil(math.log(max(4, bases), 4)) + 2) if order is None else order
    counts = WordCounts(top, both_strands=both_strands)
    for piece in rest:
        counts.add(piece)
    strengths, bits = _tune(counts, part)
    chosen = _lowest(bits) if order is None else order
    counts.cut(chosen)
    for piece in part:
        counts.add(piece)
    return MarkovModel(counts, strengths[: chosen + 1], bits)


def markov_bits_per_base(
    train_records: Sequence[np.ndarray],
    held_out_records: Sequence[np.ndarray],
    *,
    order: int | None = None,
) -> dict[str, float]:
    """Return bits per base of a Markov model on all known bases of held-out records: value, low, high, order.

    ``order`` None takes the best one up to 12. The interval is a bootstrap over blocks of 1,500 bases.
    """
    model = fit_markov(train_records, order=order)
    losses = np.concatenate([model.losses(record) for record in held_out_records])
    known = losses[~np.isnan(losses)]
    if not known.size:
        raise TrainingError("The held-out records have no A, C, G or T to score.")
    return {**bits_interval(known, bases=1, block=BLOCK_BASES), "order": model.order}


def _ladder(
    counts: WordCounts, codes: np.ndarray, order: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield for each order the places that have so many known bases before them, with their counts."""
    words, runs = rolling_words(codes, order + 1)
    backwards = np.zeros_like(words)
    for k in range(order + 1):
        backwards = (backwards << 2) | (3 - ((words >> (2 * k)) & 3))
        rows = np.flatnonzero(runs > k)
        yield rows, *counts.seen(words[rows] & (4 ** (k + 1) - 1), backwards[rows], k)


def _lowest(bits: Sequence[float]) -> int:
    """Return the lowest order that is as good as the best."""
    return next(k for k, value in enumerate(bits) if value <= min(bits) + AS_GOOD)


def _tune(counts: WordCounts, part: Sequence[np.ndarray]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the best strength of each order, one after the other, and the bits per base up to it."""
    codes = np.concatenate([item for piece in part for item in (piece, np.uint8([AMBIGUOUS]))])
    piece_of = np.repeat(np.arange(len(part)), [len(piece) + 1 for piece in part])
    known = np.bincount(piece_of, codes != AMBIGUOUS)
    if not known.any():
        raise TrainingError("There are no known bases (A, C, G, T) to fit a Markov model to.")
    chances = np.full(len(codes), 0.25)
    strengths, bits = [], [2.0]
    for rows, hits, total in _ladder(counts, codes, counts.order):
        lower = chances[rows]
        tried = [(hits + strength * lower) / (total + strength) for strength in STRENGTHS]
        sums = [np.bincount(piece_of[rows], np.log2(item / lower), len(known)) for item in tried]
        gains = [_middle(each[known > 0] / known[known > 0]) for each in sums]
        best = int(np.argmax(gains))
        chances[rows] = tried[best]
        strengths.append(STRENGTHS[best])
        bits.append(bits[-1] - gains[best])
    return tuple(strengths), tuple(bits[1:])


def _middle(values: np.ndarray) -> float:
    """Return the mean without the highest and the lowest tenth."""
    spare = len(values) // 10
    return float(np.sort(values)[spare : len(values) - spare].mean())


def _slice(records: Sequence[np.ndarray]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return most of the records and, from all along them, the slice to choose on."""
    bases = sum(len(record) for record in records)
    size = max(1, min(SLICE_PIECE, bases // (SLICE_SHARE * SLICE_PIECES)))
    period = max(SLICE_SHARE * size, bases * size // SLICE_BASES)
    borders = np.arange(0, bases, period)
    # Places at random: at even distances a repeat of that length would lie in all or none of them.
    starts = borders + np.random.default_rng(0).integers(0, period - size + 1, len(borders))
    rest, part, place = [], [], 0
    for record in records:
        last = 0
        for start in starts[(starts >= place) & (starts < place + len(record))] - place:
            rest.append(record[last:start])
            last = start + size
            part.append(record[start:last])
        rest.append(record[last:])
        place += len(record)
    return rest, part or [np.zeros(0, dtype=np.uint8)]
