"""How well a language model reads a held-out text: bits per base beside those of a Markov model."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

import genolm.compute  # noqa: F401  sets the OpenMP wait policy before torch is loaded
import torch

from genolm.batches import LanguageStream, StreamSettings, TextBatch, row_by_row, scored_targets
from genolm.errors import TrainingError
from genolm.genome_files import open_genome
from genolm.language import token_losses
from genolm.markov import MarkovModel, bits_interval
from genolm.model import LanguageModel
from genolm.tokenizer import AMBIGUOUS_CODE, SEPARATOR, SPECIAL_COUNT, KmerTokenizer, encode_bases

TEXT_VERSION = 2
"""Of what text is made of held-out records and in what order its losses stand, which intervals go by."""
VALID_PIECE = 5_000
VALID_ROWS = 48
LEAST_PIECES = 3
"""In a row of the text: all rows end at the shortest, and one of a single piece can be next to nothing."""


def held_out_text(records: Sequence[np.ndarray], tokenizer: KmerTokenizer, *, bases: int) -> list[TextBatch]:
    """Return a fixed text of about ``bases`` bases from ``records``, half of it from the other strand."""
    cut = _stretches(records, bases)
    longest = sum(tokenizer.count(len(record)) for record in cut)
    pieces = sum(-(-len(record) // VALID_PIECE) for record in cut)
    rows = max(1, min(VALID_ROWS, longest // 4000, pieces // LEAST_PIECES))
    bptt = 70 if longest // rows > 1000 else 10
    settings = StreamSettings(rows=rows, bptt=bptt, piece=VALID_PIECE, seed=0)
    stream = LanguageStream(cut, tokenizer, settings)
    return [stream[step] for step in range(len(stream))]


def scored_text(records: Sequence[np.ndarray], tokenizer: KmerTokenizer, *, bases: int) -> list[TextBatch]:
    """Return the :func:`held_out_text` that a language model is measured on.

    Raises
    ------
    TrainingError
        No token of it counts, see :func:`genolm.batches.scored_targets`.
    """
    text, words = held_out_text(records, tokenizer, bases=bases), tokenizer.config
    if not any(scored_targets(batch).any() for batch in text):
        raise TrainingError(
            f"Nothing of the held-out records can be scored: none has two words of {words.k} known bases (A, C, G, T) "
            f"in a row, {words.stride} bp apart. Hold out other records, or take shorter words."
        )
    return text


def _stretches(records: Sequence[np.ndarray], bases: int) -> list[np.ndarray]:
    """Return stretches that hold about ``bases`` bases.

    Fewer than that are all taken. Of few long records it is the middle of each. Else it is 10,000 bases, or a whole
    record that is shorter, from places all along the records, so that each base is about as likely to be read: of a
    genome of chromosomes and many small scaffolds mostly chromosomes.
    """
    lengths = np.array([len(record) for record in records])
    if lengths.sum() <= bases:
        return list(records)
    share = max(2 * VALID_PIECE, bases // len(records))
    if len(records) * share <= 2 * bases and lengths.min() >= share:
        return [_known_stretch(record, share) for record in records]
    length = 2 * VALID_PIECE
    wanted = lengths / np.minimum(lengths, length) * bases / lengths.sum()
    counts = np.diff(np.floor(np.cumsum(wanted) + 0.5).astype(int), prepend=0)
    return [
        _known_stretch(part, length)
        for record, count in zip(records, counts.tolist(), strict=True)
        if count
        for part in np.array_split(record, count)
    ]


def _known_stretch(record: np.ndarray, length: int) -> np.ndarray:
    """Return the middle of a record, or where that is mostly unknown, the best known of twenty places."""
    last = max(0, len(record) - length)
    starts = [last // 2, *(last * part // 20 for part in range(21))]
    known = [np.count_nonzero(record[start : start + length] != AMBIGUOUS_CODE) for start in starts]
    place = 0 if 2 * known[0] >= min(length, len(record)) else int(np.argmax(known))
    return record[starts[place] :][:length]


def sample_bits(
    model: LanguageModel, tokenizer: KmerTokenizer, path: Path, *, start: int = 0, end: int | None = None
) -> dict[str, float]:
    """Return how a model reads the records of a sequence file, and the same letters in random order.

    Parameters
    ----------
    model : LanguageModel
    tokenizer : KmerTokenizer
        That of the model.
    path : Path
    start, end : int
        Bases of each record that are read, from 0, half-open; all by default.

    Returns
    -------
    dict of str to float
        ``bits_per_base`` of both strands in turn, and ``bits_per_base_shuffled`` of each record's letters shuffled
        (seed 1), of which nothing but the composition can be known; each rounded to 4 digits.
    """
    with open_genome(path) as opened:
        records = [encode_bases(record.sequence[start:end]) for record in opened.records()]
    rng = np.random.default_rng(1)
    shuffled = [rng.permutation(record) for record in records]
    bases = sum(map(len, records))
    found = {}
    for key, pieces in (("bits_per_base", records), ("bits_per_base_shuffled", shuffled)):
        text = held_out_text(pieces, tokenizer, bases=bases)
        found[key] = round(bits_per_base(model, text, tokenizer.stride)["value"], 4)
    return found


def bits_per_base(model: LanguageModel, text: Sequence[TextBatch], stride: int) -> dict[str, float]:
    """Return bits per base on a held-out text with a 95 % interval, as value, low and high.

    The interval is a bootstrap over blocks of 500 tokens, since neighbouring tokens are not independent.
    """
    return bits_interval(token_losses(model, text), bases=stride)


def markov_losses(model: MarkovModel, text: Sequence[TextBatch], tokenizer: KmerTokenizer) -> np.ndarray:
    """Return the loss of a Markov model on every scored token of a text, nats, as :func:`token_losses` does.

    Notes
    -----
    Scored are the very bases that a language model is scored on: the last ``stride`` bases of each token that
    is neither unknown nor the first after a separator. The Markov model, too, sees nothing from before a
    separator, and nothing of a token that is unknown. What differs: it looks back over at most ``order``
    bases and not past an unknown one, while the language model remembers all that it read before, other
    pieces included.
    """
    tokens = torch.cat([text[0].inputs[:, :1], *(batch.targets for batch in text)], dim=1).numpy()
    losses = np.stack([_row_losses(model, row, tokenizer) for row in tokens])
    ends = np.cumsum([batch.targets.shape[1] for batch in text])[:-1]
    return row_by_row(np.split(losses[:, 1:], ends, axis=1), text)


def _row_losses(model: MarkovModel, tokens: np.ndarray, tokenizer: KmerTokenizer) -> np.ndarray:
    """Return for each token the loss of its last ``stride`` bases; none is looked at across a separator."""
    first = np.r_[False, tokens[:-1] == SEPARATOR]
    widths = np.where(tokens == SEPARATOR, 1, np.where(first, tokenizer.k, tokenizer.stride))
    ends = np.cumsum(widths)
    codes = np.full(ends[-1], AMBIGUOUS_CODE, dtype=np.uint8)
    known = np.flatnonzero(tokens >= SPECIAL_COUNT)
    for back in range(tokenizer.k):
        codes[ends[known] - 1 - back] = ((tokens[known] - SPECIAL_COUNT) >> (2 * back)) & 3
    summed = np.r_[0.0, np.cumsum(np.nan_to_num(model.losses(codes)))]
    return summed[ends] - summed[np.maximum(0, ends - tokenizer.stride)]
