"""Human promoters of 1,000 bp: the tables of ``human-promoters-long.toml``.

Promoters reach from 500 bp before the transcription start (TSS) of EPDnew to 499 bp after it; they are cut
from chr20, chr21 and the first part of chr1. Non-promoters lie in the gaps between neighbouring TSS of
EPDnew, all gaps in turn, at least 500 bp from every TSS known to EPDnew or the annotation, on either strand;
there are as many as promoters.

``strict`` is tested on chr21 and trained on the others, with whole blocks of 1 Mb for validation; training
and validation rows that resemble a row held out from them are left out. ``published`` divides the same
windows at random, before anything is left out, with as many rows of each class in each part.
"""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from human_promoters import (
    APART,
    TEST_CHROMOSOME,
    Collector,
    Human,
    Window,
    leaks,
    random_strand,
    read_human,
    repeated,
    rows_of,
    same_size,
    source_names,
)
from table_parts import hashes_of, keep_apart, save_protocol

from genolm.splits import split_by_cluster

BEFORE, AFTER = 500, 500
"""Bases before the TSS, and from it on."""
LENGTH = BEFORE + AFTER
BLOCK = 1_000_000
VALID_SHARE = 0.12
ROUNDS = 40


def tables(data: Path, out: Path, *, seed: int = 1) -> dict[str, Path]:
    """Write the tables ``published`` and ``strict``."""
    human = read_human(data)
    windows = human.promoters(before=BEFORE, after=AFTER)
    drawn = negative_windows(human, windows, seed=seed)
    rows = pd.concat(
        [rows_of(human, windows, label=True), rows_of(human, drawn, label=False)], ignore_index=True
    )
    rows["group"] = [f"{window.contig} block {window.start // BLOCK}" for window in (*windows, *drawn)]
    rows["split"] = in_parts(rows, seed=seed)
    strict, left_out = keep_apart(rows)
    facts = {
        "tss_without_a_whole_window_of_acgt_or_of_the_same_place_left_out": len(human.tss) - len(windows),
        "non_promoters_drawn": len(drawn),
        "sources": hashes_of(data, source_names()),
        "seed": seed,
    }
    made = {
        "published": (same_size(rows, strict, seed), {}),
        "strict": (strict, {"look_alikes_left_out": left_out}),
    }
    return {
        protocol: save_protocol(out, protocol, table, facts | own | leaks(table))
        for protocol, (table, own) in made.items()
    }


def negative_windows(human: Human, promoters: list[Window], *, seed: int) -> list[Window]:
    """Return as many non-promoters on each contig as there are promoters."""
    rng, collector, found = np.random.default_rng(seed), Collector(human), []
    for contig in human.sequences:
        wanted = sum(window.contig == contig for window in promoters)
        found += collector.take(gap_windows(human, contig, rng), wanted)
    return found


def gap_windows(human: Human, contig: str, rng: np.random.Generator) -> Iterator[Window]:
    """Yield windows at random places in the gaps between neighbouring TSS, all gaps in turn."""
    positions = np.unique(human.tss.loc[human.tss["contig"] == contig, "position"]).tolist()
    bounds = [(left + APART, right - APART - LENGTH + 1) for left, right in pairwise(positions)]
    for low, high in repeated([bound for bound in bounds if bound[0] < bound[1]], rng, rounds=ROUNDS):
        start = int(rng.integers(low, high))
        yield Window(contig, start, start + LENGTH, random_strand(rng), "gap")


def in_parts(rows: pd.DataFrame, *, seed: int) -> np.ndarray:
    """Return the part of each row: the test chromosome, blocks for validation, the rest for training."""
    parts = np.full(len(rows), "test", dtype=object)
    rest = np.flatnonzero(rows["group"].str.split().str[0] != TEST_CHROMOSOME)
    parts[rest] = split_by_cluster(
        rows["label"].to_numpy()[rest],
        rows["group"].to_numpy()[rest],
        fractions=(1 - VALID_SHARE, VALID_SHARE, 0.0),
        seed=seed,
    )
    return parts
