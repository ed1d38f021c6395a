"""Near-copies among sequences under 40 bases, such as guides, siRNAs and primers, which share too few long words.

The shorter sequence of a pair counts as similar to the longer one when it agrees with a stretch of it, on either
strand, in all but one of every eight bases: one difference from 8 bases on, two from 16, three from 24, four from 32,
where a substitution, a base too many and a base too few each count as one. Sequences under 12 bases are not compared.
An end of 8 bases or more that nine in ten of at least 100 sequences have in common, such as an adapter, does not count.
Fewer differences are allowed where a random sequence of the same composition would be similar to one in twenty times
by chance: of 20 bases that is beyond a million sequences, of 16 beyond 13,000, of 12 beyond 4,000.
"""

import math
from collections.abc import Sequence

import numpy as np
from numba import njit

from genolm.tokenizer import AMBIGUOUS_CODE, encode_bases, kmer_codes, reverse_complement_codes

SHORTEST_COMPARED = 12
_LONGEST = 39
_BASES_PER_DIFFERENCE = 8
_MOST_BY_CHANCE = 0.05
_WORD, _COMMON, _FEW = 8, 0.9, 100
_MOST_LOOKED_AT, _MOST_COMPARED = 10_000, 1_000


def short_links(sequences: Sequence[str]) -> np.ndarray:
    """Return links, int64 (links, 2), that join all similar sequences under 40 bases; see the module's text.

    A pair within the allowed differences has one of ``differences + 1`` pieces of the shorter sequence unchanged: all
    that share such a piece are compared, but of a piece in more than 10,000 places, as in a large family, a part.
    """
    rows = [row for row, text in enumerate(sequences) if SHORTEST_COMPARED <= len(text) <= _LONGEST]
    if len(rows) < 2:
        return np.empty((0, 2), dtype=np.int64)
    lengths = np.array([len(sequences[row]) for row in rows])
    letters = "".join(sequences[row].ljust(_LONGEST, "N") for row in rows)
    codes, lengths = _without_common_ends(encode_bases(letters).reshape(len(rows), _LONGEST), lengths)
    allowed = _allowed_differences(codes, lengths)
    strands = codes, _turned(codes, lengths)
    parents = np.arange(len(rows))
    for width in _piece_widths(lengths, allowed):
        index = _word_index(codes, width)
        for strand in strands:
            _join(parents, strand, codes, lengths, allowed, width, *index)
    numbers = np.array(rows, dtype=np.int64)
    return np.stack([numbers, numbers[parents]], axis=1)[parents != np.arange(len(rows))]


def _turned(codes: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return the other strand of each row, again at the row's beginning."""
    return _moved(reverse_complement_codes(codes), codes.shape[1] - lengths, lengths)


def _moved(codes: np.ndarray, firsts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return ``lengths`` bases of each row from ``firsts`` on, and ambiguous ones after them."""
    steps = np.arange(codes.shape[1])
    moved = np.take_along_axis(codes, np.minimum(firsts[:, None] + steps, codes.shape[1] - 1), axis=1)
    return np.where(steps < lengths[:, None], moved, np.uint8(AMBIGUOUS_CODE))


def _words(codes: np.ndarray, width: int) -> np.ndarray:
    """Return the number of the word at each place of each row, int64, -1 where a letter is ambiguous."""
    count = codes.shape[1] - width + 1
    # Words across two rows are cut off.
    padded = np.pad(codes, ((0, 0), (0, width - 1)), constant_values=AMBIGUOUS_CODE)
    return np.append(kmer_codes(padded.ravel(), width), [-1] * (width - 1)).reshape(len(codes), -1)[:, :count]


def _without_common_ends(codes: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return codes and lengths without the ends that nearly all rows share, on either strand."""
    if len(codes) < _FEW:
        return codes, lengths
    turned = _turned(codes, lengths)
    words, others = _words(codes, _WORD), _words(turned, _WORD)
    ordered = np.sort(np.concatenate([words, others], axis=1), axis=1)
    new = (ordered >= 0) & (np.diff(ordered, axis=1, prepend=-1) != 0)
    common = np.bincount(ordered[new], minlength=4**_WORD) >= _COMMON * len(codes)
    if not common.any():
        return codes, lengths
    left, right = (_common_start(common[found] & (found >= 0)) for found in (words, others))
    left = np.minimum(left, lengths)
    kept = np.maximum(lengths - left - right, 0)
    return _moved(codes, left, kept), kept


def _common_start(common: np.ndarray) -> np.ndarray:
    """Return how many bases the common words at each row's beginning cover."""
    run = np.cumprod(common, axis=1).sum(axis=1)
    return np.where(run > 0, run + _WORD - 1, 0)


def _allowed_differences(codes: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return how many differences each row may have from a similar one; -1 where chance alone makes it similar."""
    counts = np.bincount(codes.ravel(), minlength=AMBIGUOUS_CODE + 1)[:AMBIGUOUS_CODE]
    both = (counts + counts[::-1]) / max(1, 2 * counts.sum())
    agree = float((both**2).sum())
    allowed = np.full(len(lengths), -1)
    for length in np.unique(lengths[lengths >= _BASES_PER_DIFFERENCE]).tolist():
        places = 2 * np.maximum(lengths - length + 1, 0).sum()
        most = length // _BASES_PER_DIFFERENCE
        while most >= 0 and places * _chance(length, most, agree) > _MOST_BY_CHANCE:
            most -= 1
        allowed[lengths == length] = most
    return allowed


def _chance(length: int, most: int, agree: float) -> float:
    """Return at most how probably random bases fit one place of others with up to ``most`` differences."""
    return sum(
        math.comb(length, swaps)
        * (1 - agree) ** swaps
        * agree ** (length - swaps)
        * math.comb(length, gaps)
        * (1 + 1 / agree) ** gaps
        for swaps in range(most + 1)
        for gaps in range(most - swaps + 1)
    )


def _piece_widths(lengths: np.ndarray, allowed: np.ndarray) -> list[int]:
    """Return how wide words have to be looked up: as the pieces are, to ``_WORD``."""
    pairs = np.unique(np.stack([lengths, allowed])[:, allowed >= 0], axis=1).T.tolist()
    pieces = [np.diff(np.arange(most + 2) * length // (most + 1)) for length, most in pairs]
    return sorted({min(width, _WORD) for widths in pieces for width in widths.tolist()})


def _word_index(codes: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return where each word is: ``bounds`` by word into ``rows`` and ``places``."""
    words = _words(codes, width)
    rows, places = np.nonzero(words >= 0)
    words = words[rows, places]
    order = np.argsort(words, kind="stable")
    bounds = np.concatenate([[0], np.cumsum(np.bincount(words, minlength=4**width))])
    return bounds, rows[order].astype(np.int32), places[order].astype(np.int32)


@njit(cache=True)
def _join(
    parents: np.ndarray,
    strand: np.ndarray,
    codes: np.ndarray,
    lengths: np.ndarray,
    allowed: np.ndarray,
    width: int,
    bounds: np.ndarray,
    rows: np.ndarray,
    places: np.ndarray,
) -> None:
    """Join each row, read as in ``strand``, with similar rows that share a piece of it; pieces ``width`` wide alone."""
    marks = np.zeros(5, dtype=np.int64)
    for row in range(len(strand)):
        length, most = lengths[row], allowed[row]
        marks[:] = 0
        for place in range(length):
            if strand[row, place] < 4:
                marks[strand[row, place]] |= 1 << place
        for piece in range(most + 1):
            start = piece * length // (most + 1)
            if min((piece + 1) * length // (most + 1) - start, _WORD) != width:
                continue
            word = 0
            for place in range(start, start + width):
                word = -1 if word < 0 or strand[row, place] > 3 else word * 4 + strand[row, place]
            if word < 0:
                continue
            first, size = bounds[word], bounds[word + 1] - bounds[word]
            compared = 0
            for step in range(min(size, _MOST_LOOKED_AT)):
                # In a large family each row looks at other ones.
                entry = first + (step if size <= _MOST_LOOKED_AT else (row * 7919 + step) % size)
                other, shift = rows[entry], places[entry] - start
                spare = lengths[other] - length
                if spare < 0 or shift < -most or shift > spare + most or compared == _MOST_COMPARED:
                    continue
                here, there = _root(parents, row), _root(parents, other)
                if here == there:
                    continue
                compared += 1
                begin, end = max(0, shift - most), min(lengths[other], shift + length + most)
                if _fits(marks, length, most, codes, other, begin, end):
                    parents[max(here, there)] = min(here, there)
    for row in range(len(parents)):
        parents[row] = _root(parents, row)


@njit(cache=True)
def _root(parents: np.ndarray, row: int) -> int:
    while parents[row] != row:
        parents[row] = parents[parents[row]]
        row = parents[row]
    return row


@njit(cache=True)
def _fits(
    marks: np.ndarray, length: int, most: int, codes: np.ndarray, row: int, begin: int, end: int
) -> bool:
    """Whether a pattern fits a stretch of a row with up to ``most`` differences (Myers 1999).

    ``marks`` has for each base the bits of its places in the pattern. doi:10.1145/316542.316550
    """
    mask, last = (1 << length) - 1, 1 << (length - 1)
    more, less, score = mask, 0, length
    for place in range(begin, end):
        equal = marks[codes[row, place]]
        down = equal | less
        across = (((equal & more) + more) ^ more) | equal
        rises = (less | ~(across | more)) & mask
        falls = more & across
        if rises & last:
            score += 1
        elif falls & last:
            score -= 1
        if score <= most:
            return True
        if score - (end - place - 1) > most:
            return False
        rises <<= 1
        falls <<= 1
        more = (falls | ~(down | rises)) & mask
        less = rises & down & mask
    return False
