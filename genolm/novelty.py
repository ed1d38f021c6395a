"""Whether a genome is like what a model learned from: GC, and how well the model's language model reads it.

A classifier gives a probability to any letters, also to those of a genome that is nothing like its training
data. Two figures show that before a result is trusted: the GC of pieces of the genome, and how many bits per
base the language model that the classifier was fine-tuned from saves over base composition alone. Bits alone
would not do: a genome poor in G and C takes few bits of any model. Both are held against what the model's
card says under ``composition`` (see :func:`training_profile`); for a card without it, bits per base are held
against the held-out species on the language model's own card.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

import genolm.compute  # noqa: F401  sets the OpenMP wait policy before torch is loaded
import torch

from genolm.batches import TextBatch, scored_targets
from genolm.errors import BundleError, SequenceError
from genolm.language import token_losses
from genolm.predict import Predictor
from genolm.regions import Contigs
from genolm.registry import ModelBundle, load_bundle
from genolm.tokenizer import (
    AMBIGUOUS_CODE,
    PAD,
    SEPARATOR,
    KmerTokenizer,
    encode_bases,
    reverse_complement_codes,
)

PIECE_BASES = 2_000
_LEAST_PIECE = 500
_GC_PIECES = 200
_READ_PIECES = 24
_BURN_IN = 100
_MANY_OUTSIDE = 0.25
_MARGIN_BITS = 0.01
_TRIES = 5


class _Sample(NamedTuple):
    """Pieces of a genome as base codes, and the GC of each."""

    pieces: list[np.ndarray]
    gc: np.ndarray


def compare_with_training(genome: Contigs, predictor: Predictor, *, seed: int = 1) -> tuple[str, ...]:
    """Return warnings about what sets a genome apart from a model's training data, none if nothing does.

    Parameters
    ----------
    genome : Genome
        200 pieces of 2,000 bp are looked at, 24 of them read by the language model: a second or two.
    predictor : Predictor
        The classifier; what its card does not say is not compared.
    seed : int
        Of the choice of pieces.
    """
    card = getattr(predictor.bundle, "card", None) or {}
    sample = _sample(genome, seed)
    if not sample.pieces:
        return ()
    profile = card.get("composition") or {}
    found = [*_gc_warnings(sample, profile)]
    reader = _reader_of(card)
    if reader is not None:
        found += _bits_warnings(sample, profile, reader)
    return tuple(found)


def training_profile(
    genome: Contigs, *, language_model: ModelBundle | None = None, seed: int = 1
) -> dict[str, Any]:
    """Return what a card says of its training data under ``composition``.

    Parameters
    ----------
    genome : Genome
        What was trained on: the genome that windows were cut from, or all records.
    language_model : ModelBundle, optional
        The one that the classifier was fine-tuned from.
    seed : int

    Returns
    -------
    dict
        ``piece`` and ``pieces`` (bp and number looked at), ``gc`` (mean), ``gc_low`` and ``gc_high`` (between
        them lie 95 % of the pieces) and, with a language model, its name as ``language_model``, its
        ``bits_per_base``, and the bits per base ``saved`` over base composition, with ``saved_low`` (97.5 %
        of the pieces save more).
    """
    sample = _sample(genome, seed)
    if not sample.pieces:
        raise SequenceError(f"No contig has {_LEAST_PIECE} bp of A, C, G and T to describe.")
    low, high = np.quantile(sample.gc, [0.025, 0.975])
    profile: dict[str, Any] = {"piece": PIECE_BASES, "pieces": len(sample.gc)}
    profile |= {"gc": _short(sample.gc.mean()), "gc_low": _short(low), "gc_high": _short(high)}
    if language_model is not None:
        bits, chance = _read(language_model, sample)
        profile |= {"language_model": language_model.name, "bits_per_base": _short(bits.mean())}
        saved = chance - bits
        profile |= {"saved": _short(saved.mean()), "saved_low": _short(np.quantile(saved, 0.025))}
    return profile


def piece_bits(language_model: ModelBundle, pieces: Sequence[np.ndarray]) -> np.ndarray:
    """Return the bits per base of each piece of base codes, float64 (pieces,).

    Every second piece is read on its other strand. The first 100 bases of a piece are read but do not count,
    nor does what is not A, C, G or T; a piece with nothing to count is NaN.
    """
    tokenizer = KmerTokenizer(language_model.config.tokenizer)
    strands = [reverse_complement_codes(piece) if row % 2 else piece for row, piece in enumerate(pieces)]
    texts = [tokenizer.encode(codes).astype(np.int64) for codes in strands]
    inputs = np.full((len(texts), max(map(len, texts))), PAD, dtype=np.int64)
    targets = inputs.copy()
    skipped = _BURN_IN // tokenizer.stride
    for row, text in enumerate(texts):
        inputs[row, 0] = SEPARATOR
        inputs[row, 1 : len(text)] = text[:-1]
        targets[row, skipped : len(text)] = text[skipped:]
    batch = TextBatch(torch.from_numpy(inputs), torch.from_numpy(targets), True)
    with genolm.compute.torch_threads():
        losses = token_losses(language_model.build(), [batch])
    counted = scored_targets(batch).sum(1).numpy()
    rows = np.repeat(np.arange(len(texts)), counted)
    sums = np.bincount(rows, losses, minlength=len(texts))
    with np.errstate(invalid="ignore", divide="ignore"):
        return sums / counted / (tokenizer.stride * math.log(2))


def _sample(genome: Contigs, seed: int) -> _Sample:
    """Return pieces from random places, those of long contigs as often as they are long."""
    contigs = {name: size for name, size in genome.contigs.items() if size >= _LEAST_PIECE}
    if not contigs:
        return _Sample([], np.empty(0))
    pieces = list(_random_pieces(genome, contigs, np.random.default_rng(seed)))
    strong = [np.count_nonzero((piece == 1) | (piece == 2)) for piece in pieces]
    known = [np.count_nonzero(piece != AMBIGUOUS_CODE) for piece in pieces]
    return _Sample(pieces, np.array(strong) / np.array(known))


def _random_pieces(
    genome: Contigs, contigs: Mapping[str, int], rng: np.random.Generator
) -> Iterator[np.ndarray]:
    names, sizes = list(contigs), np.array(list(contigs.values()), dtype=np.float64)
    wanted = _GC_PIECES
    for row in rng.choice(len(names), _TRIES * _GC_PIECES, p=sizes / sizes.sum()).tolist():
        size = contigs[names[row]]
        start = int(rng.integers(0, max(1, size - PIECE_BASES + 1)))
        codes = encode_bases(genome.fetch(names[row], start, min(size, start + PIECE_BASES)))
        if 2 * np.count_nonzero(codes != AMBIGUOUS_CODE) > len(codes):
            yield codes
            wanted -= 1
        if wanted == 0:
            return


def _gc_warnings(sample: _Sample, profile: Mapping[str, Any]) -> list[str]:
    if not all(key in profile for key in ("gc", "gc_low", "gc_high")):
        return []
    low, high = profile["gc_low"], profile["gc_high"]
    outside = float(np.mean((sample.gc < low) | (sample.gc > high)))
    if outside <= _MANY_OUTSIDE:
        return []
    return [
        f"GC is {sample.gc.mean():.0%} here and {profile['gc']:.0%} in what the model learned from (95 % of "
        f"it between {low:.0%} and {high:.0%}); {outside:.0%} of this genome lies outside. Scores and "
        "probabilities may mean less here: look at the expected false calls before you trust any."
    ]


def _reader_of(card: Mapping[str, Any]) -> ModelBundle | None:
    """Return the language model that a classifier was fine-tuned from, if it is at hand."""
    name = (card.get("composition") or {}).get("language_model") or (card.get("settings") or {}).get("base")
    if not isinstance(name, str) or not name:
        return None
    try:
        bundle = load_bundle(name)
    except BundleError:
        return None
    return bundle if bundle.config.kind == "language-model" else None


def _read(language_model: ModelBundle, sample: _Sample) -> tuple[np.ndarray, float]:
    """Return bits per base of some pieces, and those of their base composition."""
    pieces = sample.pieces[:_READ_PIECES]
    bits = piece_bits(language_model, pieces)
    return bits[~np.isnan(bits)], _composition_bits(pieces)


def _bits_warnings(sample: _Sample, profile: Mapping[str, Any], reader: ModelBundle) -> list[str]:
    found, chance = _read(reader, sample)
    if not len(found):
        return []
    bits = float(found.mean())
    said = f"The language model {reader.name}, which this model was made from,"
    if bits >= chance:
        return [
            f"{said} reads this genome no better than its base composition alone ({bits:.3f} and "
            f"{chance:.3f} bits per base): it knows nothing of such letters, and calls here may be chance."
        ]
    if profile.get("language_model") == reader.name and "saved_low" in profile:
        usual = profile["saved_low"]
        if chance - bits >= usual:
            return []
        return [
            f"{said} saves {chance - bits:.3f} bits per base over base composition here, but "
            f"{profile['saved']:.3f} in what the model learned from (at least {usual:.3f} in nearly all of "
            "it): this genome is unlike that, and scores may mean less."
        ]
    limit, where = _worst_held_out(reader)
    if bits <= limit + _MARGIN_BITS:
        return []
    return [
        f"{said} needs {bits:.3f} bits per base here, but no more than {limit:.3f} on {where}, which it had "
        "not seen either: this genome is unlike what it learned from, and scores may mean less."
    ]


def _worst_held_out(reader: ModelBundle) -> tuple[float, str]:
    """Return the most bits per base that a language model's card tells of, and of what; inf if of nothing."""
    found = []
    for split, scores in (reader.card.get("metrics") or {}).items():
        estimate = scores.get("bits_per_base")
        if isinstance(estimate, Mapping) and estimate.get("high") is not None:
            found.append((float(estimate["high"]), split))
    return max(found, default=(math.inf, ""))


def _composition_bits(pieces: Sequence[np.ndarray]) -> float:
    """Return the entropy of the bases of all pieces, both strands, in bits per base."""
    counts = np.sum([np.bincount(piece, minlength=5)[:4] for piece in pieces], axis=0)
    both = counts + counts[::-1]
    shares = both[both > 0] / both.sum()
    return float(-(shares * np.log2(shares)).sum())


def _short(value: float) -> float:
    return round(float(value), 4)
