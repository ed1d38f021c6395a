"""Promoters of E. coli and B. subtilis, 81 bp: the tables of ``promoters-81-*.toml``.

The sequences are those of CNNProm (Umarov, Solovyev 2017, doi:10.1371/journal.pone.0171410): promoters
from 60 bp before to 20 bp after the transcription start, and pieces of genes read on the strand that is not
coding. ``published`` divides each class at random, with the shares of Genomic-ULMFiT. ``strict`` keeps all
sequences that are linked by chains of shared 20-mers, on either strand, in one part; both have the same rows.
The pieces of genes lie closely upon each other, so that most of a random test overlap a piece that was
trained on.

Sequences that touch the reserved region of E. coli K-12 are left out of both tables and counted.

``organism="both"`` puts the strict tables of the two species together, each row in the part it has there;
training rows that resemble a held-out row of the other species would be left out and counted.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from common import RESERVED, canonical_kmers, components, leakage, reverse_complement, source_file
from table_parts import hashes_of, keep_apart, resembling, save_protocol

from genolm.bootstrap import Estimate, Groups, taken
from genolm.metrics import binary_metrics
from genolm.sequences import open_fasta
from genolm.splits import similarity_pairs, split_by_cluster, split_random
from genolm.tables import read_class_fastas

LENGTH = 81
SHARED = 20
LONGEST_KMER = 31
LEAKAGE_SIZES = (15, 20, 30)
LONG_STRETCH = 40
ECOLI_FASTA = "ecoli_k12/GCF_000005845.2_ASM584v2_genomic.fna.gz"


class Organism(NamedTuple):
    """Files of one species, shares of its rows, and its genome where a region of that is reserved.

    ``test`` is a share of all rows, ``valid`` one of the rest.
    """

    files: dict[str, str]
    test: float
    valid: float
    genome: str = ""

    @property
    def fractions(self) -> tuple[float, float, float]:
        """Shares of train, valid and test."""
        rest = 1 - self.test
        return rest * (1 - self.valid), rest * self.valid, self.test

    @property
    def sources(self) -> list[str]:
        """All files, below the data folder."""
        return [*self.files.values(), *filter(None, [self.genome])]


ORGANISMS = {
    "ecoli": Organism(
        {"promoter": "cnnprom/Ecoli_prom.fa.gz", "non-promoter": "cnnprom/Ecoli_non_prom.fa.gz"},
        test=0.15,
        valid=0.10,
        genome=ECOLI_FASTA,
    ),
    "bsubtilis": Organism(
        {"promoter": "cnnprom/Bacillus_prom.fa.gz", "non-promoter": "cnnprom/Bacillus_non_prom.fa.gz"},
        test=0.10,
        valid=0.15,
    ),
}


def tables(data: Path, out: Path, *, organism: str = "ecoli", seed: int = 1) -> dict[str, Path]:
    """Write the tables ``published`` and ``strict`` of a species, or ``strict`` of ``both``.

    Parameters
    ----------
    data, out : Path
    organism : {"ecoli", "bsubtilis", "both"}
    seed : int
    """
    names = list(ORGANISMS) if organism == "both" else [organism]
    read = {name: usable_rows(data, name) for name in names}
    record = {
        "sources": hashes_of(data, [file for name in names for file in ORGANISMS[name].sources]),
        "left_out": {name: left_out for name, (_, left_out) in read.items()},
        "seed": seed,
        "shared": SHARED,
    }
    if organism == "both":
        made = {"strict": joined([strict_split(rows, name, seed=seed) for name, (rows, _) in read.items()])}
    else:
        rows = read[organism][0]
        made = {
            "published": (published_split(rows, organism, seed=seed), {}),
            "strict": (strict_split(rows, organism, seed=seed), {}),
        }
    return {
        protocol: save_protocol(out, protocol, table, record | extra | leaks(table))
        for protocol, (table, extra) in made.items()
    }


def usable_rows(data: Path, organism: str) -> tuple[pd.DataFrame, dict[str, int]]:
    """Return ``sequence, label, name, group`` of a species, and how many rows were left out for what.

    ``group`` is the species and the number of the cluster.
    """
    kind = ORGANISMS[organism]
    table = read_class_fastas({label: source_file(data, name) for label, name in kind.files.items()}).frame
    table["sequence"] = table["sequence"].str.upper()
    plain = table["sequence"].str.fullmatch(f"[ACGT]{{{LENGTH}}}")
    rows = table[plain].drop_duplicates("sequence").reset_index(drop=True)
    left_out = {
        f"not_{LENGTH}_bp_of_acgt": int((~plain).sum()),
        "copies": int(plain.sum()) - len(rows),
    }
    if kind.genome:
        rows, reserved = without_reserved(rows, source_file(data, kind.genome))
        left_out |= reserved
    links = similarity_pairs(rows["sequence"].tolist(), word=SHARED)
    clusters = components(len(rows), links)
    return rows.assign(group=[f"{organism} c{number}" for number in clusters]), left_out


def without_reserved(rows: pd.DataFrame, genome: Path) -> tuple[pd.DataFrame, dict[str, int]]:
    """Leave out rows that touch the reserved region of a genome, or whose place in it is not known."""
    (contig, (start, end)), sequences = next(iter(RESERVED.items())), rows["sequence"].tolist()
    with open_fasta(genome) as records:
        whole = records.fetch(contig, 0, records.contigs[contig]).upper()
    region = pieces(whole[max(0, start - LENGTH + 1) : end + LENGTH - 1], LENGTH)
    strands = [{item, reverse_complement(item)} for item in sequences]
    inside = np.array([not region.isdisjoint(pair) for pair in strands], dtype=bool)
    unknown = ~is_part_of(sequences, whole)
    left_out = {}
    for label, own in rows.groupby("label").indices.items():
        left_out[f"{label}s_in_the_reserved_region"] = int(inside[own].sum())
        left_out[f"{label}s_not_found_in_the_genome"] = int((unknown & ~inside)[own].sum())
    return rows[~inside & ~unknown].reset_index(drop=True), left_out


def is_part_of(sequences: Sequence[str], genome: str) -> np.ndarray:
    """Return which sequences stand in a genome, judged by their 31-mers: all of them occur, on any strand."""
    kmers, owners = canonical_kmers(sequences, LONGEST_KMER)
    known, found = canonical_kmers([genome], LONGEST_KMER)[0], np.ones(len(sequences), dtype=bool)
    # Those of the genome are sorted, and a search among them is far faster than np.isin.
    places = np.minimum(np.searchsorted(known, kmers), len(known) - 1)
    found[owners[known[places] != kmers]] = False
    return found


def published_split(rows: pd.DataFrame, organism: str, *, seed: int) -> pd.DataFrame:
    """Return the rows divided at random within each class."""
    parts = split_random(rows["label"].tolist(), fractions=ORGANISMS[organism].fractions, seed=seed)
    return rows.assign(split=parts)


def strict_split(rows: pd.DataFrame, organism: str, *, seed: int) -> pd.DataFrame:
    """Return the rows divided such that each cluster lies in one part."""
    parts = split_by_cluster(
        rows["label"].tolist(), rows["group"].tolist(), fractions=ORGANISMS[organism].fractions, seed=seed
    )
    return rows.assign(split=parts)


def joined(parts: list[pd.DataFrame]) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Return the tables of several species as one, less what resembles a held-out row, and the counts."""
    table, left_out = keep_apart(pd.concat(parts, ignore_index=True))
    return table, {"look_alikes_left_out": left_out}


def leaks(table: pd.DataFrame) -> dict[str, Any]:
    """Return the leakage figures of a table."""
    return {
        "leakage": leakage(table, sizes=LEAKAGE_SIZES),
        f"test_sharing_{LONG_STRETCH}bp_with_train_by_class": long_stretches(table),
        "similar": resembling(table),
    }


def long_stretches(table: pd.DataFrame) -> dict[str, float]:
    """Return the share of each class's test rows with 40 bp in common with a training row, on any strand."""
    train = table.loc[table["split"] == "train", "sequence"]
    known = set().union(
        *(pieces(read, LONG_STRETCH) for item in train for read in (item, reverse_complement(item)))
    )
    test = table[table["split"] == "test"]
    near = test["sequence"].map(lambda item: not known.isdisjoint(pieces(item, LONG_STRETCH))).astype(bool)
    return {label: round(float(share), 4) for label, share in near.groupby(test["label"]).mean().items()}


def pieces(sequence: str, length: int) -> set[str]:
    """Return all stretches of this length, of one strand."""
    return {sequence[start : start + length] for start in range(len(sequence) - length + 1)}


def judge(
    rows: pd.DataFrame, probabilities: np.ndarray, classes: tuple[str, ...], *, groups: Groups | None = None
) -> dict[str, Estimate]:
    """Return ``recall_<species>``, ``mcc_<species>`` and so on where rows are of several species.

    Called at a probability of 0.5.
    """
    species = rows["group"].str.split().str[0]
    truth, found = (rows["label"] == classes[1]).to_numpy(), {}
    for name in sorted(species.unique()) if species.nunique() > 1 else ():
        own = (species == name).to_numpy()
        scores = binary_metrics(probabilities[own, 1], truth[own], groups=taken(groups, own))
        found |= {f"{metric}_{name}": scores[metric] for metric in ("precision", "recall", "mcc", "auroc")}
    return found
