"""Shared by the recipes: sources and their hashes, windows of a genome, k-mers, tables with a record."""

import gzip
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from Bio import SeqIO
from Bio.SeqFeature import SeqFeature

from genolm.errors import GenolmError
from genolm.tokenizer import encode_bases

SPLITS = ("train", "valid", "test")
ECOLI_GENBANK = "ecoli_k12/GCF_000005845.2_ASM584v2_genomic.gbff.gz"
RESERVED = {"NC_000913.3": (3_599_999, 4_100_000)}
"""Regions that no recipe trains or tunes on, 0-based half-open, per contig."""

_COMPLEMENT = str.maketrans("ACGTRYKMBVDHSWN", "TGCAYRMKVBHDSWN")


@dataclass(frozen=True)
class AnnotatedGenome:
    """One record of a GenBank file: ``contig`` with version, upper-case ``sequence``, ``features``."""

    contig: str
    sequence: str
    features: list[SeqFeature]

    def of_type(self, kind: str) -> list[SeqFeature]:
        """Return the features of one kind ("CDS", "gene") in the order of the file."""
        return [feature for feature in self.features if feature.type == kind]

    def fetch(self, contig: str, start: int, end: int) -> str:  # noqa: ARG002
        """Return the plus strand of [start, end) of the one record."""
        return self.sequence[start:end]

    @property
    def reserved(self) -> tuple[int, int]:
        """The reserved region of this contig, (0, 0) when it has none."""
        return RESERVED.get(self.contig, (0, 0))


@dataclass(frozen=True)
class Pieces:
    """Stretches of a genome as linear contigs of their own: name to (contig, start, end)."""

    genome: Any
    places: Mapping[str, tuple[str, int, int]]

    @property
    def contigs(self) -> dict[str, int]:
        """Length of each piece."""
        return {name: end - start for name, (_, start, end) in self.places.items()}

    @property
    def topology(self) -> dict[str, str]:
        """All are linear."""
        return dict.fromkeys(self.places, "linear")

    def fetch(self, contig: str, start: int, end: int) -> str:
        """Return the plus strand of [start, end) of a piece."""
        name, first, _ = self.places[contig]
        return self.genome.fetch(name, first + start, first + end)


def source_file(data: Path, name: str) -> Path:
    """Return ``data / name``; a missing file is a :class:`GenolmError` that names it."""
    path = Path(data) / name
    if not path.is_file():
        raise GenolmError(f"{path} is missing; --data must name the folder that holds {name}.")
    return path


def open_text(path: Path) -> Iterable[str]:
    """Open a text file, gzipped or not, for reading."""
    return gzip.open(path, "rt") if path.suffix == ".gz" else path.open()


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    with Path(path).open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def read_genbank(path: Path) -> AnnotatedGenome:
    """Read a GenBank file of one record; more or fewer is a :class:`GenolmError`."""
    with open_text(path) as handle:
        records = list(SeqIO.parse(handle, "genbank"))
    if len(records) != 1:
        raise GenolmError(f"{path} holds {len(records)} records; this recipe is made for one chromosome.")
    record = records[0]
    return AnnotatedGenome(record.id, str(record.seq).upper(), record.features)


def strand_of(feature: SeqFeature) -> str:
    """Return "+" or "-"."""
    return "-" if feature.location.strand == -1 else "+"


def five_prime(start: int, end: int, strand: str) -> int:
    """Return the 0-based position of the first base of [start, end) read on its strand."""
    return start if strand == "+" else end - 1


def window_around(position: int, strand: str, *, before: int, after: int) -> tuple[int, int]:
    """Return the 0-based half-open window with ``before`` bases before ``position`` and ``after`` from it on.

    The base at ``position`` has index ``before`` in the window read on its strand.
    """
    if strand == "+":
        return position - before, position + after
    return position - after + 1, position + before + 1


def reverse_complement(sequence: str) -> str:
    """Return the other strand, read 5' to 3', of an upper-case sequence."""
    return sequence.translate(_COMPLEMENT)[::-1]


def cut(sequence: str, start: int, end: int, strand: str) -> str:
    """Return [start, end) read on ``strand``; a window past an end is a :class:`GenolmError`."""
    if start < 0 or end > len(sequence):
        raise GenolmError(f"Window {start}-{end} lies outside the sequence of {len(sequence)} bp.")
    piece = sequence[start:end]
    return piece if strand == "+" else reverse_complement(piece)


def overlaps(start: int, end: int, region: tuple[int, int]) -> bool:
    """Tell whether two half-open intervals share a base."""
    return start < region[1] and end > region[0]


def canonical_kmers(sequences: Sequence[str], k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (k-mers, owners), int64: each distinct k-mer of each sequence, numbered alike on both strands.

    k-mers with other letters than A, C, G, T are left out; ``k`` is at most 31.
    """
    codes = encode_bases("N".join(sequences)).astype(np.int64)
    ends = np.cumsum([len(sequence) + 1 for sequence in sequences])
    count = max(0, len(codes) - k + 1)
    forward, backward, valid = np.zeros(count, np.int64), np.zeros(count, np.int64), np.ones(count, bool)
    for offset in range(k):
        piece = codes[offset : offset + count]
        valid &= piece < 4
        forward = forward * 4 + piece
        backward += (3 - piece) << (2 * offset)
    owners = np.searchsorted(ends, np.arange(count), side="right")
    found = np.stack([np.minimum(forward, backward), owners])[:, valid]
    kmers, owners = found[:, np.lexsort(found[::-1])]
    fresh = np.ones(len(kmers), dtype=bool)
    fresh[1:] = (np.diff(kmers) != 0) | (np.diff(owners) != 0)
    return kmers[fresh], owners[fresh]


def components(count: int, pairs: np.ndarray) -> np.ndarray:
    """Return a cluster number (count,) for each item: clusters are joined by any chain of pairs."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    links = coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    return connected_components(links, directed=False)[1]


def has_neighbour(queries: Sequence[str], others: Sequence[str], *, k: int) -> np.ndarray:
    """Return a mask (queries,): shares an exact k-mer with any of ``others``, on either strand."""
    kmers, owners = canonical_kmers(queries, k)
    near = np.zeros(len(queries), dtype=bool)
    near[owners[np.isin(kmers, canonical_kmers(others, k)[0])]] = True
    return near


def dinucleotide_shuffle(sequence: str, rng: np.random.Generator) -> str:
    """Return the letters in a random order that keeps all dinucleotide counts (Altschul, Erickson 1985)."""
    followers: dict[str, list[str]] = {}
    for left, right in pairwise(sequence):
        followers.setdefault(left, []).append(right)
    last = _random_tree(followers, sequence[-1], rng)
    for base, letters in followers.items():
        if base in last:
            letters.remove(last[base])
        rng.shuffle(letters)
        letters.extend(last.get(base, ""))
    path = [sequence[0]]
    while followers.get(path[-1]):
        path.append(followers[path[-1]].pop(0))
    return "".join(path)


def _random_tree(followers: dict[str, list[str]], root: str, rng: np.random.Generator) -> dict[str, str]:
    """Return for each base but ``root`` the letter that follows it last, such that all lead to ``root``."""
    while True:
        last = {base: str(rng.choice(letters)) for base, letters in followers.items() if base != root}
        if all(_reaches(base, root, last) for base in last):
            return last


def _reaches(base: str, root: str, last: dict[str, str]) -> bool:
    for _ in range(len(last) + 1):
        if base == root:
            return True
        base = last[base]
    return False


def leakage(table: pd.DataFrame, *, sizes: Sequence[int] = (15, 20, 30), seed: int = 1) -> dict[str, float]:
    """Return the share of test items with a neighbour in training, per length, and in a random split."""
    shuffled = table["split"].sample(frac=1, random_state=seed).to_numpy()
    figures = {}
    for name, split in (("split", table["split"].to_numpy()), ("random", shuffled)):
        test, train = (table.loc[split == part, "sequence"].tolist() for part in ("test", "train"))
        for size in sizes:
            near = has_neighbour(test, train, k=size)
            figures[f"{name}_test_sharing_{size}bp_with_train"] = (
                round(float(near.mean()), 4) if len(near) else 0.0
            )
    return figures


def counts_by(table: pd.DataFrame, *columns: str) -> dict[str, int]:
    """Return how many rows hold each combination of values, keyed "a/b"."""
    sizes = table.groupby(list(columns), observed=True).size()
    return {"/".join(map(str, np.atleast_1d(key))): int(size) for key, size in sizes.items()}


def write_table(table: pd.DataFrame, path: Path) -> str:
    """Write a gzipped CSV that is the same to the byte each time; return its SHA-256."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(path, index=False, compression={"method": "gzip", "mtime": 1}, lineterminator="\n")
    return sha256(path)


def write_record(path: Path, record: dict[str, Any]) -> None:
    """Write the record of a run as indented JSON."""
    Path(path).write_text(json.dumps(record, indent=2) + "\n")
