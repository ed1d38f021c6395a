"""Windows around the gene starts of E. coli K-12, by the procedure of Genomic-ULMFiT (Heyer 2019).

Positives: 100 bp before to 50 bp from the annotated start of every CDS feature on, on its strand, so that
the start codon has the indices 100-102. (So ATG, GTG or TTG there is right in 96.7 % of the test, and a
positional logistic regression in 98.8 %: a model of this task shows transfer, not that promoters are
found.) Negatives: for every CDS longer than 250 bp one random 150 bp window inside it, at least 50 bp from
either end, on its strand. Two windows are neighbours when they share an exact 20-mer on either strand. A
random maximal set without neighbours is drawn. Its first 415 positives and 415 negatives in genome order
are the test, the next 375 + 375 the validation, and all the rest is for training, the windows outside that
set too: these have ``excluded`` = 1, so that training can be done with them, as published, and without
them.

How odd genes are treated, as the original did: a CDS feature counts once, pseudogenes and the second
products of programmed frameshifts (copA, dnaX) included, and a joined location counts as its whole span.
Windows past the ends of the sequence are left out and counted.

Where this differs: the random draws are seeded, and the annotation is that of 2022, so that there are a few
windows less (the record lists both counts). The original took blastn hits with word size 15 as neighbours
and excluded 464 of 8,371 windows (5.5 %). Exact 15-mers, most of them shared by chance in 8,000 windows,
would exclude 2,189 of 8,255 (26.5 %); 20-mers exclude 566 (6.9 %) and 28-mers 491 (5.9 %), so its hits were
probably longer. 20 is the shortest length at which chance plays no part, and excludes more than the original.
Windows that overlap the reserved region are left out; they would all be in the training part.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from common import (
    ECOLI_GENBANK,
    AnnotatedGenome,
    components,
    counts_by,
    cut,
    five_prime,
    has_neighbour,
    leakage,
    overlaps,
    read_genbank,
    sha256,
    source_file,
    strand_of,
    window_around,
)
from table_parts import save_protocol

from genolm.splits import independent_set, similarity_pairs

CLASSES = ("gene interior", "gene start")
BEFORE, AFTER = 100, 50
LENGTH = BEFORE + AFTER
MARGIN = 50
LONGER_THAN = 250
TEST_EACH, VALID_EACH = 415, 375
SHARED = 20
ORIGINAL = {
    "positives": 4357,
    "negatives": 4014,
    "independent": 7907,
    "excluded": 464,
    "train": 6791,
    "valid": 750,
    "test": 830,
}
COLUMNS = [
    "sequence",
    "label",
    "split",
    "group",
    "name",
    "contig",
    "start",
    "end",
    "strand",
    "kind",
    "excluded",
    "reserved",
]


def gene_windows(genome: AnnotatedGenome, *, seed: int) -> tuple[pd.DataFrame, int]:
    """Return one row per window, positives first, each in genome order, and how many left the sequence."""
    rng = np.random.default_rng(seed)
    positives, negatives = [], []
    for feature in genome.of_type("CDS"):
        start, end, strand = int(feature.location.start), int(feature.location.end), strand_of(feature)
        name = feature.qualifiers.get("locus_tag", [f"CDS_{start}"])[0]
        window = window_around(five_prime(start, end, strand), strand, before=BEFORE, after=AFTER)
        positives.append((name, *window, strand, "gene_start", 1))
        if end - start > LONGER_THAN:
            first = int(rng.integers(start + MARGIN, end - MARGIN - LENGTH, endpoint=True))
            negatives.append((name, first, first + LENGTH, strand, "gene_inside", 0))
    rows = pd.DataFrame(positives + negatives, columns=["gene", "start", "end", "strand", "kind", "label"])
    inside = (rows["start"] >= 0) & (rows["end"] <= len(genome.sequence))
    return rows[inside].reset_index(drop=True), int((~inside).sum())


def assign_splits(labels: np.ndarray, independent: np.ndarray, *, test: int, valid: int) -> np.ndarray:
    """Return the split per row: of each label's independent rows the first are test, the next valid."""
    split = np.full(len(labels), "train", dtype=object)
    for label in (1, 0):
        order = np.flatnonzero(independent & (labels == label))
        split[order[:test]] = "test"
        split[order[test : test + valid]] = "valid"
    return split


def build(
    genome: AnnotatedGenome,
    *,
    seed: int = 1,
    test: int = TEST_EACH,
    valid: int = VALID_EACH,
    shared: int = SHARED,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Return the table and its record (counts, leakage, settings)."""
    table, outside = gene_windows(genome, seed=seed)
    spans = table[["start", "end", "strand"]].itertuples(index=False)
    table["sequence"] = [cut(genome.sequence, *span) for span in spans]
    pairs = similarity_pairs(table["sequence"].tolist(), word=shared)
    independent = independent_set(pairs, len(table), seed=seed)
    table["split"] = assign_splits(table["label"].to_numpy(), independent, test=test, valid=valid)
    table["excluded"] = (~independent).astype(int)
    table["group"] = [f"c{number}" for number in components(len(table), pairs)]
    table["name"] = table["gene"] + ":" + table["kind"]
    table["contig"] = genome.contig
    table["reserved"] = [int(overlaps(*span, genome.reserved)) for span in zip(table["start"], table["end"])]
    record = {"whole": describe(table), "windows_past_the_ends": outside, "neighbour_pairs": len(pairs)}
    table = table[table["reserved"] == 0].reset_index(drop=True)
    record |= {
        "written": describe(table),
        "leakage": leakage_figures(table, shared),
        "seed": seed,
        "shared": shared,
        "original": ORIGINAL,
        "window": {"length": LENGTH, "anchor": BEFORE},
    }
    return table[COLUMNS], record


def describe(table: pd.DataFrame) -> dict[str, Any]:
    """Return the counts that the original printed, for this table."""
    sizes = table["split"].value_counts()
    return {
        "positives": int((table["label"] == 1).sum()),
        "negatives": int((table["label"] == 0).sum()),
        "independent": int((table["excluded"] == 0).sum()),
        "excluded": int(table["excluded"].sum()),
        **{name: int(sizes.get(name, 0)) for name in ("train", "valid", "test")},
        "reserved": int(table["reserved"].sum()),
        "by_split_and_label": counts_by(table, "split", "label"),
    }


def leakage_figures(table: pd.DataFrame, shared: int) -> dict[str, Any]:
    """Return neighbours of test items in training, with the excluded windows and without them."""
    kept = table[table["excluded"] == 0]
    test = table.loc[table["split"] == "test", "sequence"].tolist()
    extra = table.loc[table["excluded"] == 1, "sequence"].tolist()
    near = has_neighbour(extra, test, k=shared)
    return {
        "as_published": leakage(table),
        "excluded_dropped": leakage(kept),
        "excluded_windows_next_to_a_test_item": int(near.sum()),
    }


def tables(data: Path, out: Path, *, seed: int = 1, shared: int = SHARED) -> dict[str, Path]:
    """Write the tables of ``ecoli-gene-starts.toml``.

    ``published`` trains on all windows outside validation and test, as the original did; ``strict`` only on
    those of the independent set. Windows that overlap the reserved region are in neither.
    """
    path = source_file(data, ECOLI_GENBANK)
    table, record = build(read_genbank(path), seed=seed, shared=shared)
    table = table.assign(label=table["label"].map(dict(enumerate(CLASSES))))
    facts = {"sources": {ECOLI_GENBANK: sha256(path)}, **record}
    excluded = (table["split"] == "train") & (table["excluded"] == 1)
    reserved = record["whole"]["reserved"]
    return {
        protocol: save_protocol(
            out,
            protocol,
            rows,
            {"left_out": {"train": len(table) - len(rows), "reserved": reserved}, **facts},
        )
        for protocol, rows in (("published", table), ("strict", table[~excluded]))
    }
