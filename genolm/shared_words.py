"""How much of a sequence stands in others too, by words of 31 bases: copies and close relatives, cut where they may be.

A word of that length hardly ever stands in two sequences by chance. One in 16 is looked at, on both strands alike: the
same ones in every sequence, chosen by a hash of the word (Broder 1997, doi:10.1109/SEQUEN.1997.666900).
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numba import njit

WORD = 31
FLATTERING = 0.1
"""Share of a held-out sequence that is told; the end of the genome of E. coli K-12 shares 1 % with the rest."""
_CHOSEN, _FACTOR, _SHIFT = np.uint64(15), np.uint64(0x9E3779B97F4A7C15), np.uint64(32)


def shared_share(records: Sequence[np.ndarray], others: Iterable[np.ndarray]) -> float:
    """Return the share of the words of some records that stand in others too, on either strand.

    Parameters
    ----------
    records, others : uint8 arrays
        Base codes: 0 to 3 for A, C, G, T, more where a base is not known; a word has none of these.

    Returns
    -------
    float
        0 to 1; NaN where the records have no word.
    """
    words = np.unique(np.concatenate([np.empty(0, np.uint64), *map(_words, records)]))
    seen = np.zeros(len(words), dtype=bool)
    for other in others:
        seen |= np.isin(words, _words(other))
    return float(seen.mean()) if len(words) else float("nan")


def relative_notes(held_out: Sequence[np.ndarray], learned: Sequence[np.ndarray]) -> list[str]:
    """Say how much of what is held out stands in what is learned from too, where that is much."""
    share = shared_share(held_out, learned)
    if not share >= FLATTERING:
        return []
    return [
        f"Of what is held out {share:.0%} also stands in what is learned from (words of {WORD} bases, either strand): "
        "a copy or a close relative, so that the figure flatters."
    ]


@njit(cache=True)
def _put_words(codes: np.ndarray, found: np.ndarray) -> int:
    """Put the chosen words into an array as far as it has room, and return how many there are."""
    count, known = 0, 0
    forward, backward = np.uint64(0), np.uint64(0)
    two, three, top = np.uint64(2), np.uint64(3), np.uint64(2 * (WORD - 1))
    mask = (np.uint64(1) << np.uint64(2 * WORD)) - np.uint64(1)
    for place in range(len(codes)):
        if codes[place] > 3:
            known = 0
            continue
        code = np.uint64(codes[place])
        forward = ((forward << two) | code) & mask
        backward = (backward >> two) | ((three - code) << top)
        known += 1
        if known >= WORD:
            word = min(forward, backward)
            if (word * _FACTOR) >> _SHIFT & _CHOSEN == 0:
                if count < len(found):
                    found[count] = word
                count += 1
    return count


@njit(cache=True)
def _words(codes: np.ndarray) -> np.ndarray:
    """Return the chosen words of a sequence as numbers, the smaller one of both strands."""
    found = np.empty(_put_words(codes, np.empty(0, dtype=np.uint64)), dtype=np.uint64)
    _put_words(codes, found)
    return found
