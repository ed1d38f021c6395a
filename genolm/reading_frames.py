"""The longest reading frame of a transcript, and the baseline that goes by nothing else."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import sparse

from genolm.baselines import Examples, Logistic
from genolm.errors import TrainingError
from genolm.tokenizer import kmer_codes

_STOPS = ("TAA", "TAG", "TGA")
_HEXAMERS = 4**6


class Frame(NamedTuple):
    """A reading frame from its first ATG on, half-open; the stop codon is not of it."""

    start: int
    end: int

    @property
    def length(self) -> int:
        """Bases, a multiple of 3."""
        return self.end - self.start


def longest_frame(sequence: str) -> Frame:
    """Return the longest stretch from an ATG to its stop codon or to the end, on the given strand.

    Parameters
    ----------
    sequence : str
        Upper case, of A, C, G, T; a codon with another letter is neither a start nor a stop.

    Returns
    -------
    Frame
        Of several that are equally long the one that begins first; an empty one at 0 where there is no ATG.
    """
    best = Frame(0, 0)
    for offset in range(3):
        first = -1
        for place in range(offset, len(sequence) - 2, 3):
            codon = sequence[place : place + 3]
            if codon == "ATG" and first < 0:
                first = place
            elif codon in _STOPS and first >= 0:
                best, first = max(best, Frame(first, place), key=_rank), -1
        if first >= 0:
            best = max(best, Frame(first, first + (len(sequence) - first) // 3 * 3), key=_rank)
    return best


def _rank(frame: Frame) -> tuple[int, int]:
    return frame.length, -frame.start


class FrameLogistic(Logistic):
    """Logistic regression on the longest reading frame: its length, its share of the sequence and its hexamers.

    Three of the four features of CPAT (Wang et al. 2013, doi:10.1093/nar/gkt006), worked out anew: the hexamer score
    is the mean log ratio of how often the frame's hexamers, codon by codon, stand in frames of the one and of the
    other class of the training set. The fourth, the Fickett score, is left out. Two classes only.
    """

    name = "frame-logistic"

    def prepare(self, train: Examples) -> None:
        """Count the hexamers of the frames of both classes, each once more than it occurs."""
        if set(np.unique(train.labels)) != {0, 1}:
            raise TrainingError("The baseline of reading frames tells two classes apart; here are more or fewer.")
        counts = np.ones((2, _HEXAMERS))
        for sequence, label in zip(train.sequences, train.labels, strict=True):
            np.add.at(counts[label], _frame_hexamers(sequence, longest_frame(sequence)), 1)
        shares = counts / counts.sum(axis=1, keepdims=True)
        self.ratios = np.log(shares[1] / shares[0])

    def features(self, sequences: Sequence[str]) -> sparse.csr_matrix:
        """Return length, its logarithm, share and hexamer score, float64 (sequences, 4)."""
        rows = []
        for sequence in sequences:
            frame = longest_frame(sequence)
            found = self.ratios[_frame_hexamers(sequence, frame)]
            share = frame.length / max(1, len(sequence))
            rows.append((frame.length, np.log1p(frame.length), share, found.mean() if len(found) else 0.0))
        return sparse.csr_matrix(np.array(rows, dtype=float).reshape(-1, 4))


def _frame_hexamers(sequence: str, frame: Frame) -> np.ndarray:
    """Return the numbers of the hexamers that begin at a codon of a frame, those of known letters alone."""
    found = kmer_codes(sequence[frame.start : frame.end], 6)[::3]
    return found[found >= 0]
