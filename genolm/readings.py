"""The ways in which a model reads one sequence: on one strand or on both, from its first base or each of the first.

A model whose k-mers are ``stride`` bases apart sees other k-mers from the second base on. Where a sequence begins
anywhere, each of these frames says as much as the first, and the mean of their logits is surer than one.
"""

from typing import NamedTuple, Protocol

import numpy as np

from genolm.config import TokenizerConfig
from genolm.tokenizer import reverse_complement_codes


class Reads(Protocol):
    """What of a model's configuration tells how it reads."""

    tokenizer: TokenizerConfig
    mirrored: bool
    framed: bool


class Ways(NamedTuple):
    """How a classifier in training reads; a model in a bundle has the same in its configuration."""

    tokenizer: TokenizerConfig
    mirrored: bool
    framed: bool


def frames_of(config: Reads) -> int:
    """Return how many first bases a model reads a strand from."""
    return config.tokenizer.stride if config.framed else 1


def count_readings(config: Reads) -> int:
    """Return how many readings of a sequence an answer is the mean of."""
    return frames_of(config) * (2 if config.mirrored else 1)


def readings_of(codes: np.ndarray, config: Reads, *, length: int | None = None) -> list[np.ndarray]:
    """Return the base codes of sequences of one length, (length,) or (n, length), in each way that a model reads them.

    A sequence that is too short for a k-mer from a later base on is read whole again; ``length`` is that of a
    sequence where ``codes`` is a stretch of many that begin at any of its bases.
    """
    strands = [codes, reverse_complement_codes(codes)] if config.mirrored else [codes]
    most = (codes.shape[-1] if length is None else length) - config.tokenizer.k
    return [strand[..., first if first <= most else 0 :] for strand in strands for first in range(frames_of(config))]
