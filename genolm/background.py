"""A background to judge a scan by: the user's own genome, shuffled so that every dinucleotide count stays.

What a model calls in such letters is chance: composition and neighbour preferences are those of the genome,
everything longer is gone. Each piece is a random one among all sequences with the same dinucleotide counts
and the same ends, all equally likely: an Euler path through the multigraph whose edges are the piece's
dinucleotides (Altschul and Erickson 1985, doi:10.1093/oxfordjournals.molbev.a040370), its last edges a random
tree drawn by loop-erased walks (Wilson 1996, doi:10.1145/237814.237880; Kandel et al. 1996,
doi:10.1016/S0166-218X(97)81456-4).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numba import njit

from genolm.errors import SequenceError, SettingsError
from genolm.regions import Contigs, unknown_contig
from genolm.sequences import reverse_complement
from genolm.tokenizer import AMBIGUOUS_CODE, BASES, encode_bases
from genolm.tracks import true_runs

MOST_AMBIGUOUS = 0.10
_LETTERS = np.frombuffer(BASES.encode(), dtype=np.uint8)


@dataclass(frozen=True)
class BackgroundGenome:
    """Shuffled pieces as a genome in memory.

    Attributes
    ----------
    sequences : dict of str to str
        Letters of each piece, upper case, named ``shuffled_1`` and on.
    pieces : tuple of (str, int, int)
        Contig, start and end of what each piece was shuffled from.
    skipped : int
        Pieces passed over since more than a tenth of their letters are not A, C, G or T.
    seed : int
    """

    sequences: dict[str, str]
    pieces: tuple[tuple[str, int, int], ...]
    skipped: int = 0
    seed: int = 0
    contigs: dict[str, int] = field(init=False)
    topology: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "contigs", {name: len(text) for name, text in self.sequences.items()})
        object.__setattr__(self, "topology", dict.fromkeys(self.sequences, "linear"))

    @property
    def bases(self) -> int:
        """Bases in all pieces."""
        return sum(self.contigs.values())

    def fetch(self, contig: str, start: int, end: int, strand: str = "+") -> str:
        """Return the letters of [start, end), those of the reverse complement for strand ``-``."""
        if contig not in self.sequences:
            raise unknown_contig(contig, self.contigs)
        letters = self.sequences[contig][max(0, start) : end]
        return letters if strand == "+" else reverse_complement(letters)

    def __str__(self) -> str:
        """Return one sentence for a person."""
        words = f"{len(self.pieces):,} pieces of the genome, {self.bases:,} bp, shuffled (seed {self.seed})"
        if self.skipped:
            words += f"; {self.skipped:,} with over {MOST_AMBIGUOUS:.0%} ambiguous letters were left out"
        return words + "."


def shuffled_background(
    genome: Contigs, *, bases: int = 2_000_000, seed: int = 1, piece: int = 20_000
) -> BackgroundGenome:
    """Shuffle pieces taken at random from all over a genome.

    Parameters
    ----------
    genome : Genome
    bases : int
        About how many; the whole genome if it has fewer.
    seed : int
    piece : int
        Bases of a piece, so that the background follows the genome's local composition.

    Raises
    ------
    SequenceError
        When every piece is too ambiguous.

    Notes
    -----
    Letters other than A, C, G and T stay where they are; the stretches between them are shuffled each for
    itself, which keeps the counts of all dinucleotides too.
    """
    if bases < 1 or piece < 2:
        raise SettingsError(f"bases is {bases} and piece {piece}; they must be at least 1 and 2.")
    rng = np.random.default_rng(seed)
    sequences: dict[str, str] = {}
    pieces: list[tuple[str, int, int]] = []
    done = skipped = 0
    for contig, start, end in _places(genome, piece, rng):
        if done >= bases:
            break
        letters = genome.fetch(contig, start, end).upper().encode("ascii")
        if np.mean(encode_bases(letters) == AMBIGUOUS_CODE) > MOST_AMBIGUOUS:
            skipped += 1
            continue
        pieces.append((contig, start, end))
        sequences[f"shuffled_{len(pieces)}"] = shuffle_letters(letters, rng).decode("ascii")
        done += end - start
    if not pieces:
        raise SequenceError(
            f"No piece of {piece:,} bp of this genome has less than {MOST_AMBIGUOUS:.0%} ambiguous letters, "
            "so there is nothing to make a background of; scan without one."
        )
    return BackgroundGenome(sequences, tuple(pieces), skipped, seed)


def shuffle_letters(letters: bytes, rng: np.random.Generator) -> bytes:
    """Return letters in a new order with the same dinucleotide counts; only A, C, G and T are moved."""
    codes = encode_bases(letters)
    shuffled = np.frombuffer(letters, dtype=np.uint8).copy()
    for start, end in true_runs(codes != AMBIGUOUS_CODE).tolist():
        shuffled[start:end] = _LETTERS[shuffle_codes(codes[start:end], rng)]
    return shuffled.tobytes()


def shuffle_codes(codes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return base codes, uint8 0 to 3, as a random sequence with the same dinucleotide counts."""
    if len(codes) < 4:
        return codes.copy()
    order = np.argsort(codes[:-1], kind="stable")
    after = codes[1:][order]
    borders = np.searchsorted(codes[:-1][order], np.arange(5))
    last = _last_edges(after, borders, int(codes[-1]), rng)
    for base in range(4):
        edges = after[borders[base] : borders[base + 1]]
        if last[base] >= 0:
            # The last edge is set aside, so that the walk leaves each base by it in the end.
            edges[np.flatnonzero(edges == last[base])[0]] = edges[-1]
            edges[-1] = last[base]
            edges = edges[:-1]
        rng.shuffle(edges)
    return _walk(codes[0], after, borders[:4].copy(), len(codes))


def _last_edges(after: np.ndarray, borders: np.ndarray, root: int, rng: np.random.Generator) -> list[int]:
    """Return for each base which base follows it last; -1 for the root and for bases that do not occur."""
    last = [-1, -1, -1, -1]
    in_tree = [borders[base] == borders[base + 1] for base in range(4)]
    in_tree[root] = True
    for start in range(4):
        base = start
        while not in_tree[base]:
            # Where a walk comes by again, the later way out stands: loops are erased so.
            last[base] = int(after[rng.integers(borders[base], borders[base + 1])])
            base = last[base]
        base = start
        while not in_tree[base]:
            in_tree[base] = True
            base = last[base]
    return last


@njit(cache=True)
def _walk(first: int, after: np.ndarray, place: np.ndarray, length: int) -> np.ndarray:
    """Follow the edges, those of each base in their order."""
    path = np.empty(length, dtype=np.uint8)
    base = first
    for step in range(length):
        path[step] = base
        if step + 1 < length:
            follow = after[place[base]]
            place[base] += 1
            base = follow
    return path


def _places(genome: Contigs, piece: int, rng: np.random.Generator) -> Iterator[tuple[str, int, int]]:
    """Yield the pieces of all contigs in random order; those of one contig are equally long."""
    counts = {name: max(1, round(size / piece)) for name, size in genome.contigs.items() if size}
    names = list(counts)
    firsts = np.concatenate([[0], np.cumsum(list(counts.values()))]).astype(np.int64)
    for number in rng.permutation(int(firsts[-1])).tolist():
        row = int(np.searchsorted(firsts, number, side="right")) - 1
        name = names[row]
        borders = np.linspace(0, genome.contigs[name], counts[name] + 1).astype(np.int64).tolist()
        part = number - int(firsts[row])
        yield name, borders[part], borders[part + 1]
