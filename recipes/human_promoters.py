"""Human promoters: the genome, its transcription starts (TSS), and windows that hold no promoter.

Shared by ``human_promoters_short.py`` and ``human_promoters_long.py``. Positions are 0-based in GRCh37. A
window of no promoter holds no N and lies at least 500 bp from every TSS known to EPDnew or the annotation.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from common import cut, leakage, source_file, window_around
from table_parts import resembling

from genolm.errors import GenolmError
from genolm.sequences import open_fasta

GENOME = {
    "chr1": "human_grch37/chr1_1-9876492.GRCh37.fa.gz",
    "chr20": "human_grch37/chr20.GRCh37.fa.gz",
    "chr21": "human_grch37/chr21.GRCh37.fa.gz",
}
"""Chromosomes, and the first part of one."""
TEST_CHROMOSOME = "chr21"
EPDNEW = "human_grch37/epdnew006_tss_hg19.bed.gz"
ANNOTATED_TSS = "human_grch37/annotation_tss.tsv.gz"
LABELS = {False: "non-promoter", True: "promoter"}
APART = 500
LEAKAGE_SIZES = (20, 30)


class Window(NamedTuple):
    """[start, end) of a contig, read on ``strand``; ``kind`` is what it was drawn as."""

    contig: str
    start: int
    end: int
    strand: str
    kind: str

    @property
    def name(self) -> str:
        """Kind and place, 1-based, as a genome browser shows it."""
        return f"{self.kind} {self.contig}:{self.start + 1}-{self.end}({self.strand})"


@dataclass(frozen=True)
class Human:
    """The genome and its TSS.

    Attributes
    ----------
    sequences : dict of str to str
        Upper case, by contig.
    tss : pd.DataFrame
        ``contig, position, strand, name`` of EPDnew on these contigs.
    starts : dict of str to np.ndarray
        Sorted positions of all TSS of both lists, by contig.
    """

    sequences: dict[str, str]
    tss: pd.DataFrame
    starts: dict[str, np.ndarray]

    def read(self, window: Window) -> str:
        """Return the sequence of a window on its strand."""
        return cut(self.sequences[window.contig], window.start, window.end, window.strand)

    def promoters(self, *, before: int, after: int) -> list[Window]:
        """Return the windows around the TSS of EPDnew within the contigs and without N, each once."""
        found: dict[Window, None] = {}
        for row in self.tss.itertuples(index=False):
            window = Window(
                row.contig,
                *window_around(row.position, row.strand, before=before, after=after),
                row.strand,
                "promoter",
            )
            if self.holds(window):
                found[window] = None
        return list(found)

    def holds(self, window: Window) -> bool:
        """Tell whether a window lies within its contig and holds only A, C, G and T."""
        sequence = self.sequences[window.contig]
        inside = window.start >= 0 and window.end <= len(sequence)
        return inside and not set(sequence[window.start : window.end]) - set("ACGT")

    def is_clear(self, window: Window) -> bool:
        """Tell whether no TSS lies in a window or less than 500 bp from it."""
        starts = self.starts[window.contig]
        low, high = np.searchsorted(starts, (window.start - APART + 1, window.end + APART - 1))
        return bool(low == high)


@dataclass
class Collector:
    """Takes windows that hold no promoter and do not overlap one taken before; see :meth:`take`."""

    human: Human
    taken: dict[str, np.ndarray] = field(default_factory=dict)

    def take(self, candidates: Iterable[Window], count: int) -> list[Window]:
        """Return the first ``count`` candidates that fit, fewer when the candidates end before."""
        found: list[Window] = []
        for window in candidates:
            if len(found) == count:
                break
            if self.human.holds(window) and self.human.is_clear(window) and self._free(window):
                self._mask(window.contig)[window.start : window.end] = True
                found.append(window)
        return found

    def _free(self, window: Window) -> bool:
        return not self._mask(window.contig)[window.start : window.end].any()

    def _mask(self, contig: str) -> np.ndarray:
        if contig not in self.taken:
            self.taken[contig] = np.zeros(len(self.human.sequences[contig]), dtype=bool)
        return self.taken[contig]


def source_names(*more: str) -> list[str]:
    """Return all files of the genome and its TSS, and ``more``."""
    return [*GENOME.values(), EPDNEW, ANNOTATED_TSS, *more]


def read_human(data: Path) -> Human:
    """Read the genome and its TSS from the data folder."""
    sequences = {}
    for contig, name in GENOME.items():
        with open_fasta(source_file(data, name)) as records:
            (record,) = records.contigs
            sequences[contig] = records.fetch(record, 0, records.contigs[record]).upper()
    tss = read_epdnew(source_file(data, EPDNEW))
    tss = tss[on_contigs(tss, sequences)].reset_index(drop=True)
    other = read_annotation(data, ANNOTATED_TSS).rename(columns={"start": "position"})
    other = other[on_contigs(other, sequences)]
    both = pd.concat([tss, other])
    starts = {
        contig: np.unique(both.loc[both["contig"] == contig, "position"].to_numpy()) for contig in sequences
    }
    return Human(sequences, tss, starts)


def on_contigs(places: pd.DataFrame, sequences: dict[str, str]) -> np.ndarray:
    """Return which ``contig, position`` lie on the sequences at hand."""
    sizes = places["contig"].map({contig: len(sequence) for contig, sequence in sequences.items()})
    return (places["position"] < sizes.fillna(0)).to_numpy()


def read_epdnew(path: Path) -> pd.DataFrame:
    """Return ``contig, position, name, strand`` of a BED of TSS."""
    table = pd.read_csv(path, sep="\t", header=None, usecols=[0, 1, 3, 5])
    table.columns = ["contig", "position", "name", "strand"]
    if not table["strand"].isin(["+", "-"]).all():
        raise GenolmError(f"{path} has rows without strand in column 6; a BED of TSS has + or - there.")
    return table


def read_annotation(data: Path, name: str) -> pd.DataFrame:
    """Return ``contig, start, end, strand, gene, type`` of an annotation table, as far as it has them."""
    table = pd.read_csv(source_file(data, name), sep="\t", low_memory=False)
    table = table.rename(
        columns={
            "_labels": "contig",
            "_starts": "start",
            "_ends": "end",
            "Strand": "strand",
            "gene_name": "gene",
            "gene_type": "type",
        }
    )
    # GENCODE counts from 1, the CpG islands of UCSC, which have no strand, from 0.
    table["start"] -= int("strand" in table)
    return table


def rows_of(human: Human, windows: Iterable[Window], *, label: bool) -> pd.DataFrame:
    """Return ``sequence, label, group, name`` of windows; ``group`` is the chromosome."""
    rows = [(human.read(window), LABELS[label], window.contig, window.name) for window in windows]
    return pd.DataFrame(rows, columns=["sequence", "label", "group", "name"])


def sampled(rows: pd.DataFrame, size: int, seed: int) -> pd.DataFrame:
    """Return ``size`` rows at random, or all where there are not as many, in their order."""
    return rows.sample(min(size, len(rows)), random_state=seed).sort_index()


def same_size(pool: pd.DataFrame, like: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Return rows of a pool at random, as many of each class in each part as another table has."""
    rng, parts = np.random.default_rng(seed), []
    sizes = like.groupby(["label", "split"]).size()
    for label, own in pool.groupby("label"):
        split = np.repeat(sizes[label].index.to_numpy(), sizes[label].to_numpy())
        chosen = rng.permutation(len(own))[: len(split)]
        parts.append(own.iloc[chosen].assign(split=split))
    return pd.concat(parts).sort_index().reset_index(drop=True)


def leaks(table: pd.DataFrame) -> dict[str, Any]:
    """Return the leakage figures of a table."""
    return {"leakage": leakage(table, sizes=LEAKAGE_SIZES), "similar": resembling(table)}


def random_strand(rng: np.random.Generator) -> str:
    """Return "+" or "-"."""
    return "+-"[int(rng.integers(2))]


def repeated(items: list[Any], rng: np.random.Generator, *, rounds: int) -> Iterator[Any]:
    """Yield all items in a random order, ``rounds`` times."""
    for _ in range(rounds):
        for number in rng.permutation(len(items)):
            yield items[number]
