"""Batches for training: an endless text of k-mers for language models, labelled windows for classifiers.

A batch is a pure function of settings, seed, epoch and step, so a run that was cut off goes on exactly where
it stood without reading what came before.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

import genolm.compute  # noqa: F401  sets the OpenMP wait policy before torch is loaded
import torch
from torch import Tensor

from genolm.config import TRIM_SHARE
from genolm.errors import TrainingError
from genolm.tokenizer import PAD, SEPARATOR, UNKNOWN, KmerTokenizer, encode_bases, reverse_complement_codes


@dataclass(frozen=True)
class StreamSettings:
    """How records become a text.

    ``rows`` texts run side by side and are read ``bptt`` tokens at a time. Records are cut into pieces of at
    most ``piece`` bases at borders that move from epoch to epoch; a separator stands before each piece, so
    that a model learns to start anywhere. With ``both_strands`` each piece is read on a random strand.
    """

    rows: int = 128
    bptt: int = 70
    piece: int = 3000
    both_strands: bool = True
    seed: int = 1


class TextBatch(NamedTuple):
    """Tokens and the tokens that follow them, int64 (rows, bptt); ``fresh`` says that no state is carried in."""

    inputs: Tensor
    targets: Tensor
    fresh: bool


class LanguageStream:
    """The text of one epoch: ``len`` batches, any of which can be asked for.

    Parameters
    ----------
    records : sequence of uint8 arrays
        Base codes of each record.
    tokenizer : KmerTokenizer
    settings : StreamSettings
    epoch : int
        Order, borders and strands are drawn anew for each epoch.
    repeats : sequence of float, optional
        How many times each record is read in an epoch, 1 if not given; 0.5 reads a random half.

    Notes
    -----
    Rows end together at the shortest, so up to one piece per row is left for another epoch.
    """

    def __init__(
        self,
        records: Sequence[np.ndarray],
        tokenizer: KmerTokenizer,
        settings: StreamSettings,
        epoch: int = 0,
        *,
        repeats: Sequence[float] | None = None,
    ) -> None:
        self.records, self.tokenizer, self.settings = records, tokenizer, settings
        rng = np.random.default_rng([settings.seed, epoch])
        pieces = self._cut(rng, np.ones(len(records)) if repeats is None else np.asarray(repeats, float))
        pieces = pieces[rng.permutation(len(pieces))]
        self._minus = rng.random(len(pieces)) < (0.5 if settings.both_strands else 0.0)
        self._pieces = pieces
        self._ends = self._row_ends()
        shortest = min(int(ends[-1]) if len(ends) else 0 for ends in self._ends)
        self._steps = (shortest - 1) // settings.bptt
        self._open: dict[int, tuple[int, np.ndarray]] = {}
        if self._steps < 1:
            bases = sum(len(record) for record in records)
            raise TrainingError(
                f"{bases:,} bases are too few for {settings.rows} rows of {settings.bptt} tokens; "
                "use a smaller batch size or more sequence."
            )

    def __len__(self) -> int:
        return self._steps

    def _cut(self, rng: np.random.Generator, repeats: np.ndarray) -> np.ndarray:
        """Return pieces as rows of (record, start, end), each record as often as ``repeats`` says."""
        found = []
        for index, record in enumerate(self.records):
            times = int(repeats[index] + rng.random())
            for _ in range(times):
                first = int(rng.integers(1, self.settings.piece + 1))
                borders = np.unique(np.r_[0, np.arange(first, len(record), self.settings.piece), len(record)])
                found.append(np.c_[np.full(len(borders) - 1, index), borders[:-1], borders[1:]])
        return np.concatenate(found) if found else np.zeros((0, 3), dtype=np.int64)

    def _row_ends(self) -> list[np.ndarray]:
        lengths = self._pieces[:, 2] - self._pieces[:, 1]
        tokens = 1 + np.maximum(0, (lengths - self.tokenizer.k) // self.tokenizer.stride + 1)
        return [np.cumsum(tokens[row :: self.settings.rows]) for row in range(self.settings.rows)]

    def _piece(self, row: int, index: int) -> np.ndarray:
        """Return a separator and the tokens of a row's piece, kept until the row moves on."""
        if row in self._open and self._open[row][0] == index:
            return self._open[row][1]
        number = row + index * self.settings.rows
        record, start, end = self._pieces[number]
        codes = self.records[record][start:end]
        if self._minus[number]:
            codes = reverse_complement_codes(codes)
        tokens = np.r_[np.int32(SEPARATOR), self.tokenizer.encode(codes)]
        self._open[row] = (index, tokens)
        return tokens

    def _row(self, row: int, start: int, end: int) -> np.ndarray:
        """Return tokens ``start`` to ``end`` of one row's text."""
        ends = self._ends[row]
        index = int(np.searchsorted(ends, start, side="right"))
        parts, position = [], start
        while position < end:
            tokens = self._piece(row, index)
            first = int(ends[index]) - len(tokens)
            parts.append(tokens[position - first : end - first])
            position = min(end, int(ends[index]))
            index += 1
        return np.concatenate(parts)

    def __getitem__(self, step: int) -> TextBatch:
        """Return batch ``step`` of the epoch."""
        start = step * self.settings.bptt
        end = start + self.settings.bptt + 1
        text = np.stack([self._row(row, start, end) for row in range(self.settings.rows)])
        tokens = torch.from_numpy(text.astype(np.int64))
        return TextBatch(tokens[:, :-1], tokens[:, 1:], step == 0)


def scored_targets(batch: TextBatch) -> Tensor:
    """Return which targets count for bits per base, bool (rows, bptt).

    Left out are separators, unknown k-mers and the first k-mer after a separator, which holds k new bases
    where every other token adds one stride.
    """
    known = batch.targets > UNKNOWN
    return known & (batch.targets != SEPARATOR) & (batch.inputs != SEPARATOR)


def row_by_row(parts: Sequence[np.ndarray], text: Sequence[TextBatch]) -> np.ndarray:
    """Return what was found of the scored targets of a text, each row from its beginning to its end, then the next.

    So neighbours in the result are neighbours in the text.

    Parameters
    ----------
    parts : sequence of np.ndarray
        (rows, bptt) of each batch.
    text : sequence of TextBatch
    """
    scored = np.concatenate([scored_targets(batch).cpu().numpy() for batch in text], axis=1)
    return np.concatenate(parts, axis=1)[scored]


class WindowBatch(NamedTuple):
    """Right-padded tokens (batch, time) int64, lengths (batch,), labels (batch, ...) and row numbers."""

    tokens: Tensor
    lengths: Tensor
    labels: Tensor
    rows: Tensor


def pack(encoded: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
    """Put token arrays into one batch: a separator before each, padding after; returns tokens and lengths."""
    lengths = np.array([len(item) + 1 for item in encoded], dtype=np.int64)
    tokens = np.full((len(encoded), int(lengths.max(initial=1))), PAD, dtype=np.int64)
    tokens[:, 0] = SEPARATOR
    for row, item in enumerate(encoded):
        tokens[row, 1 : len(item) + 1] = item
    return torch.from_numpy(tokens), torch.from_numpy(lengths)


class LabelledWindows:
    """Labelled sequences as batches, shuffled by epoch, roughly sorted by length.

    Parameters
    ----------
    sequences : sequence of str
    labels : array (n,) int64 for classes, (n, outputs) float32 for multi-label and regression
    tokenizer : KmerTokenizer
    batch_size : int
    seed : int, optional
        None keeps the given order, for validation.
    mirrored : bool
        Read a random half of the sequences on the other strand, for tasks that have no strand.
    shifted : bool
        Leave out none to ``stride - 1`` first bases of each sequence, at random, for sequences that begin
        anywhere: k-mers every ``stride`` bases are others then.
    trimmed : bool
        Leave out up to ``TRIM_SHARE`` of each sequence at either end, at random, for reads of uneven lengths.

    Notes
    -----
    A last batch of a single sequence is joined to the one before, since BatchNorm cannot learn from one.
    """

    def __init__(
        self,
        sequences: Sequence[str],
        labels: np.ndarray,
        tokenizer: KmerTokenizer,
        *,
        batch_size: int,
        seed: int | None = None,
        epoch: int = 0,
        mirrored: bool = False,
        shifted: bool = False,
        trimmed: bool = False,
    ) -> None:
        self._codes = [encode_bases(item) for item in sequences]
        self._labels, self._tokenizer = torch.tensor(np.asarray(labels)), tokenizer
        order = np.arange(len(sequences))
        self._minus = np.zeros(len(sequences), dtype=bool)
        self._skipped, self._cut = np.zeros((2, len(sequences)), dtype=np.int64)
        if seed is not None:
            rng = np.random.default_rng([seed, epoch])
            order = rng.permutation(len(sequences))
            lengths = np.array([len(item) for item in self._codes])
            order = _roughly_sorted(order, lengths, batch_size, rng)
            self._minus = rng.random(len(sequences)) < (0.5 if mirrored else 0.0)
            if shifted:
                self._skipped = rng.integers(0, tokenizer.stride, len(sequences))
            if trimmed:
                ends = (rng.random((2, len(sequences))) * TRIM_SHARE * lengths).astype(np.int64)
                self._skipped, self._cut = self._skipped + ends[0], ends[1]
        cuts = list(range(batch_size, len(order), batch_size))
        if cuts and len(order) - cuts[-1] == 1:
            cuts.pop()
        self._batches = np.split(order, cuts)

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, step: int) -> WindowBatch:
        """Return batch ``step``."""
        rows = self._batches[step]
        tokens, lengths = pack([self._tokenizer.encode(self._reading(row)) for row in rows])
        index = torch.from_numpy(rows)
        return WindowBatch(tokens, lengths, self._labels[index], index)

    def _reading(self, row: int) -> np.ndarray:
        """Return the base codes of a sequence as this pass reads it; a short one is read whole."""
        codes = reverse_complement_codes(self._codes[row]) if self._minus[row] else self._codes[row]
        part = codes[self._skipped[row] : len(codes) - self._cut[row]]
        return part if len(part) >= self._tokenizer.k else codes


def _roughly_sorted(
    order: np.ndarray, lengths: np.ndarray, batch_size: int, rng: np.random.Generator
) -> np.ndarray:
    """Sort by length inside runs of 50 batches and shuffle the batches, so that little padding is needed."""
    if lengths.min(initial=0) == lengths.max(initial=0):
        return order
    run = 50 * batch_size
    runs = [order[start : start + run] for start in range(0, len(order), run)]
    ordered = np.concatenate([part[np.argsort(lengths[part], kind="stable")] for part in runs])
    whole = len(ordered) // batch_size * batch_size
    batches = ordered[:whole].reshape(-1, batch_size)
    return np.r_[batches[rng.permutation(len(batches))].ravel(), ordered[whole:]]
