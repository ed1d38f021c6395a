"""DNA letters to k-mer tokens, by a fixed lexicographic vocabulary.

Ids 0, 1 and 2 are padding, unknown and separator; the 4**k k-mers follow in the order AAA, AAC, ..., TTT.
The vocabulary depends on k alone, so that two models with the same k can never disagree on it.
"""

import numpy as np

from genolm.config import TokenizerConfig
from genolm.errors import SettingsError

PAD, UNKNOWN, SEPARATOR = 0, 1, 2
SPECIAL_COUNT = 3
AMBIGUOUS_CODE = 4
BASES = "ACGT"

_CODE_OF_BYTE = np.full(256, AMBIGUOUS_CODE, dtype=np.uint8)
for _code, _letters in enumerate(("Aa", "Cc", "Gg", "TtUu")):
    for _letter in _letters:
        _CODE_OF_BYTE[ord(_letter)] = _code
_COMPLEMENT = np.array([3, 2, 1, 0, 4], dtype=np.uint8)

Bases = str | bytes | np.ndarray


def encode_bases(sequence: Bases) -> np.ndarray:
    """Return base codes, uint8 (length,): A 0, C 1, G 2, T or U 3, anything else 4; case is ignored.

    An array is taken to hold codes already and is given back as it is.
    """
    if isinstance(sequence, np.ndarray):
        return sequence
    raw = sequence.encode("latin-1", errors="replace") if isinstance(sequence, str) else sequence
    return _CODE_OF_BYTE[np.frombuffer(raw, dtype=np.uint8)]


def reverse_complement_codes(codes: np.ndarray) -> np.ndarray:
    """Return the other strand of base codes, read 5' to 3'; the last axis is the sequence."""
    return _COMPLEMENT[codes[..., ::-1]]


def kmer_codes(sequence: Bases, k: int) -> np.ndarray:
    """Return each k-mer's number in order, int64 (length - k + 1,), -1 where a letter is ambiguous."""
    codes = encode_bases(sequence).astype(np.int64)
    count = max(0, len(codes) - k + 1)
    numbers, known = np.zeros(count, dtype=np.int64), np.ones(count, dtype=bool)
    for offset in range(k):
        piece = codes[offset : offset + count]
        numbers = numbers * 4 + piece
        known &= piece < AMBIGUOUS_CODE
    return np.where(known, numbers, -1)


class KmerTokenizer:
    """Turns base codes into token ids and back.

    Parameters
    ----------
    config : TokenizerConfig
        k-mer length and stride in bases.

    Notes
    -----
    A sequence of ``length`` bases gives ``(length - k) // stride + 1`` tokens, none when it is shorter
    than k. Only whole k-mers count: up to ``stride - 1`` bases at the end may belong to no token.
    A k-mer that holds anything but A, C, G, T is the unknown token.
    """

    pad_id, unk_id, sep_id = PAD, UNKNOWN, SEPARATOR

    def __init__(self, config: TokenizerConfig) -> None:
        self.config = config
        self.k, self.stride = config.k, config.stride
        self.vocab_size = SPECIAL_COUNT + 4**config.k

    def count(self, length: int) -> int:
        """Return the number of tokens of a sequence of ``length`` bases."""
        return max(0, (length - self.k) // self.stride + 1)

    def positions(self, count: int) -> np.ndarray:
        """Return where each of ``count`` tokens starts, int64, 0-based from the sequence's first base."""
        return np.arange(count, dtype=np.int64) * self.stride

    def encode(self, sequence: Bases) -> np.ndarray:
        """Return token ids, int32 (tokens,), of letters or of base codes.

        A two-dimensional array of codes (sequences, length) gives (sequences, tokens).
        """
        codes = encode_bases(sequence)
        count = self.count(codes.shape[-1])
        shape = (*codes.shape[:-1], count)
        if count == 0:
            return np.zeros(shape, dtype=np.int32)
        last = (count - 1) * self.stride + 1
        ids = np.zeros(shape, dtype=np.int32)
        worst = np.zeros(shape, dtype=np.uint8)
        for offset in range(self.k):
            column = codes[..., offset : offset + last : self.stride]
            ids <<= 2
            ids += column
            np.maximum(worst, column, out=worst)
        ids += SPECIAL_COUNT
        ids[worst == AMBIGUOUS_CODE] = UNKNOWN
        return ids

    def kmer(self, token: int) -> str:
        """Return the k-mer of a token id; special ids read as [pad], [unknown], [separator]."""
        if 0 <= token < SPECIAL_COUNT:
            return ("[pad]", "[unknown]", "[separator]")[token]
        if not SPECIAL_COUNT <= token < self.vocab_size:
            raise SettingsError(f"Token {token} is not in a vocabulary of {self.vocab_size}.")
        index = token - SPECIAL_COUNT
        return "".join(BASES[(index >> (2 * place)) & 3] for place in reversed(range(self.k)))

    def decode(self, ids: np.ndarray) -> str:
        """Return the bases that token ids stand for; bases seen only in unknown k-mers read as N.

        Raises
        ------
        SettingsError
            For an id that is not in the vocabulary.
        """
        ids = np.asarray(ids, dtype=np.int64)
        if strange := ids[(ids < 0) | (ids >= self.vocab_size)].tolist():
            raise SettingsError(f"Token {strange[0]} is not in a vocabulary of {self.vocab_size}.")
        ids = ids[(ids != PAD) & (ids != SEPARATOR)]
        if ids.size == 0:
            return ""
        letters = np.full((ids.size - 1) * self.stride + self.k, ord("N"), dtype=np.uint8)
        known = np.flatnonzero(ids >= SPECIAL_COUNT)
        kmers = ids[known] - SPECIAL_COUNT
        alphabet = np.frombuffer(BASES.encode(), dtype=np.uint8)
        for offset in range(self.k):
            letters[known * self.stride + offset] = alphabet[(kmers >> (2 * (self.k - 1 - offset))) & 3]
        return letters.tobytes().decode("ascii")
