"""Which sequences a model has learned from, as a digest that its card can carry.

Of each sequence, in upper case and as the lesser of both strands, five bytes of its hash (BLAKE2b) are kept.
A sequence that is not among a million others is taken for one of them with a probability of one in a million.
"""

import base64
import binascii
from collections.abc import Iterable
from hashlib import blake2b

import numpy as np

from genolm.errors import SettingsError
from genolm.table_split import canonical_forms

MOST_SEQUENCES = 1_000_000
"""More than these would make a card larger than a bundle may have."""
_BYTES = 5


def seen_digest(sequences: Iterable[str]) -> str:
    """Return the digest of sequences as Base64, "" of more than :data:`MOST_SEQUENCES` different ones.

    Neither their order, case and strand nor repeats make a difference.
    """
    return _digest(np.unique(_hashes(sequences)))


def joined_digests(*digests: str) -> str:
    """Return the digest of the sequences of all digests, "" if one is "" and so tells nothing, or of too many.

    Raises
    ------
    SettingsError
        If a digest is damaged.
    """
    if not all(digests):
        return ""
    return _digest(np.unique(np.concatenate([_known(digest) for digest in digests])))


def count_seen(digest: str, sequences: Iterable[str]) -> int:
    """Return how many of the sequences are in a digest; a repeated one counts each time.

    Raises
    ------
    SettingsError
        If the digest is damaged.
    """
    return int(np.isin(_hashes(sequences), _known(digest)).sum())


def _digest(hashes: np.ndarray) -> str:
    if len(hashes) > MOST_SEQUENCES:
        return ""
    raw = hashes.astype(">u8").view(np.uint8).reshape(-1, 8)[:, 8 - _BYTES :]
    return base64.b64encode(raw.tobytes()).decode("ascii")


def _known(digest: str) -> np.ndarray:
    """Return the hashes that a digest holds, uint64."""
    try:
        raw = np.frombuffer(base64.b64decode(digest, validate=True), dtype=np.uint8).reshape(-1, _BYTES)
    except (binascii.Error, ValueError) as error:
        raise SettingsError(f"The digest of a model's training sequences is damaged: {error}.") from error
    known = np.zeros((len(raw), 8), dtype=np.uint8)
    known[:, 8 - _BYTES :] = raw
    return known.view(">u8").ravel().astype(np.uint64)


def _hashes(sequences: Iterable[str]) -> np.ndarray:
    forms = (form for sequence in sequences for form in canonical_forms([sequence]))
    numbers = (int.from_bytes(blake2b(form.encode(), digest_size=_BYTES).digest(), "big") for form in forms)
    return np.fromiter(numbers, dtype=np.uint64)
