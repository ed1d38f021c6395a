"""16S genus from reads: the tables of ``genus-16s-amplicon.toml`` and ``genus-16s-shotgun.toml``.

Reads are simulated with Grinder from 1,000 16S references of Proteobacteria, 100 genera with ten each. Labels
are lineages: class, order, family, genus. Reads with other letters than A, C, G and T are left out, as was
done by Heyer (2019), and at most ``per_reference`` reads of each reference are taken.

The published protocol divides reads at random. A read of the test then has a twin in training, above all
among amplicon reads, which are equal for one reference and often for several. The strict one holds out
whole references and keeps together those that are equal or have a read in common: one or two such groups of
each genus are for the test. Reads that are equal and of one genus count once in its validation and test rows.
"""

import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from common import components, source_file
from scipy import sparse
from table_parts import hashes_of, save_protocol

from genolm.bootstrap import Array, Estimate, Figures, Groups, bootstrap
from genolm.errors import GenolmError
from genolm.sequences import open_fasta
from genolm.splits import split_random

REFERENCES = "16S/1000seq.fasta.gz"
READS = {
    "amplicon": "16S/amplicon_reads_regenerated.fa.gz",
    "shotgun": "16S/shotgun_reads_regenerated.fa.gz",
}
SHARES = (0.7, 0.1, 0.2)
LEVELS = ("class", "order", "family")
N_BOOT = 1000
_REFERENCE = re.compile(r"reference=(\S+)")
_OTHER = "[^ACGT]"


def read_references(path: Path) -> pd.DataFrame:
    """Return ``reference, lineage, sequence`` of every 16S reference."""
    rows = []
    with open_fasta(path) as found:
        for item in found.records():
            # Some orders and families stand in quotes, others of the same name without.
            lineage = item.description.replace('"', "").split()[-4:]
            if len(lineage) != len(LEVELS) + 1:
                raise GenolmError(f"{path}: {item.name} needs class, order, family and genus after its name.")
            rows.append((item.name, " ".join(lineage), item.sequence.upper()))
    return pd.DataFrame(rows, columns=["reference", "lineage", "sequence"])


def read_reads(path: Path, references: pd.DataFrame) -> pd.DataFrame:
    """Return all reads with the lineage of their reference as label; ``group`` is the reference."""
    rows = []
    with open_fasta(path) as found:
        for item in found.records():
            reference = _REFERENCE.search(item.description)
            if not reference:
                raise GenolmError(f"{path}: read {item.name} has no reference=… in its header.")
            rows.append((item.sequence.upper(), reference[1], f"read {item.name}"))
    table = pd.DataFrame(rows, columns=["sequence", "group", "name"])
    table["reference"] = table["group"]
    table["label"] = table["group"].map(references.set_index("reference")["lineage"])
    strange = table.loc[table["label"].isna(), "group"]
    if len(strange):
        raise GenolmError(f"{path} has reads of {strange.iloc[0]}, which is not among the references.")
    return table


def capped(reads: pd.DataFrame, per_reference: int) -> tuple[pd.DataFrame, dict[str, int]]:
    """Return the first reads of each reference without other letters, and how many were left out and why."""
    plain = reads[~reads["sequence"].str.contains(_OTHER)]
    kept = plain[plain.groupby("group").cumcount() < per_reference].reset_index(drop=True)
    return kept, {"other_letters": len(reads) - len(plain), "beyond_per_reference": len(plain) - len(kept)}


def units_of(references: pd.DataFrame, reads: pd.DataFrame) -> pd.Series:
    """Return a number for each reference, the same for those that are equal or share a read, by any chain."""
    number = {name: place for place, name in enumerate(references["reference"])}
    pairs = []
    for owners, sequences in (
        (references["reference"], references["sequence"]),
        (reads["group"], reads["sequence"]),
    ):
        for _, alike in owners.groupby(sequences.to_numpy()):
            first, *others = (number[name] for name in alike.unique())
            pairs += [(first, other) for other in others]
    found = components(len(number), np.array(pairs, dtype=np.int64).reshape(-1, 2))
    return pd.Series(found, index=references["reference"])


def split_units(genera: pd.Series, units: pd.Series, seed: int) -> dict[int, str]:
    """Return the part of each unit: of five or more of a genus two for the test and one for validation.

    Of fewer than five one is for the test, and of fewer than three none for validation; a genus with one unit
    is only trained on. A unit of several genera counts for each of them.
    """
    rng, place = np.random.default_rng(seed), {}
    for _, members in genera.groupby(genera, sort=True):
        own = pd.unique(units[members.index])
        wanted = {"test": min(len(own) - 1, 1 + (len(own) >= 5)), "valid": int(len(own) >= 3)}
        taken = Counter(place[unit] for unit in own if unit in place)
        free = [unit for unit in rng.permutation(own).tolist() if unit not in place]
        order = [] if taken["train"] else ["train"]
        for part, count in wanted.items():
            order += [part] * (count - taken[part])
        order += ["train"] * len(free)
        place.update(zip(free, order, strict=False))
    return place


def by_reference(
    reads: pd.DataFrame, references: pd.DataFrame, seed: int, linked: bool = False
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Return the reads with whole references held out, and the copies left out of valid and test.

    With ``linked`` a row's group is not its reference but the first of those that this is linked with.
    """
    units = units_of(references, reads)
    present = references[references["reference"].isin(reads["group"])].set_index("reference")["lineage"]
    parts = split_units(present, units, seed)
    table = reads.assign(split=reads["group"].map(units).map(parts))
    copies = (table["split"] != "train") & table.duplicated(["sequence", "label"])
    left_out = table.loc[copies, "split"].value_counts()
    counts = {f"copies_in_{part}": int(count) for part, count in left_out.items()}
    if linked:
        first = pd.Series(units.index, units.index).groupby(units).transform("first")
        table["group"] = table["group"].map(first)
    return table[~copies].reset_index(drop=True), counts


def by_read(reads: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Return the reads divided at random within each genus."""
    return reads.assign(split=split_random(reads["label"].to_numpy(), fractions=SHARES, seed=seed))


def tables(
    data: Path,
    out: Path,
    *,
    reads: str = "amplicon",
    per_reference: int = 10,
    seed: int = 1,
    linked: bool = False,
) -> dict[str, Path]:
    """Write the tables ``published`` (by read) and ``strict`` (by reference) of ``amplicon`` or ``shotgun`` reads.

    For ``linked`` see :func:`by_reference`.
    """
    if reads not in READS:
        raise GenolmError(f"reads is '{reads}'; it must be {' or '.join(READS)}.")
    references = read_references(source_file(data, REFERENCES))
    kept, left_out = capped(read_reads(source_file(data, READS[reads]), references), per_reference)
    strict, copies = by_reference(kept, references, seed, linked)
    sources = hashes_of(data, [REFERENCES, READS[reads]])
    facts = {"sources": sources, "seed": seed, "per_reference": per_reference}
    made = {"published": (by_read(kept, seed), {}), "strict": (strict, copies)}
    return {
        protocol: save_protocol(
            out, protocol, table, {"left_out": {**left_out, **extra}, **facts, **leaks(table, references)}
        )
        for protocol, (table, extra) in made.items()
    }


def leaks(table: pd.DataFrame, references: pd.DataFrame) -> dict[str, Any]:
    """Return the shares of test reads that also stand in training, that equal reads decide, and that were read whole.

    The last stand letter for letter within a reference whose reads were learned from: relatives share stretches of
    the gene, and some references are others cut shorter.
    """
    test, train = (table[table["split"] == part] for part in ("test", "train"))
    most = table.groupby("sequence")["label"].agg(lambda labels: labels.mode().iloc[0])
    told = test["sequence"].map(most) == test["label"]
    owners, apart = (table.groupby("split")[column].nunique() for column in ("reference", "group"))
    linked = {} if owners.equals(apart) else {"groups_of_linked": {key: int(count) for key, count in apart.items()}}
    return {
        "genera": int(table["label"].nunique()),
        "genera_without_test_reads": int(table["label"].nunique() - test["label"].nunique()),
        "references": {part: int(count) for part, count in owners.items()},
        **linked,
        "share_of_test_reads_also_in_train": round(float(test["sequence"].isin(train["sequence"]).mean()), 4),
        "share_of_test_reads_told_by_their_letters": round(float(told.mean()), 4),
        "share_of_test_reads_within_a_training_reference": round(float(_within(test, train, references).mean()), 4),
    }


def _within(test: pd.DataFrame, train: pd.DataFrame, references: pd.DataFrame) -> pd.Series:
    """Return which test reads stand letter for letter in a reference that training reads are of."""
    known = references.loc[references["reference"].isin(train["reference"]), "sequence"]
    lengths = test["sequence"].str.len().unique()
    stretches = {
        text[start : start + length] for length in lengths for text in known for start in range(len(text) - length + 1)
    }
    return test["sequence"].isin(stretches)


def judge(
    rows: pd.DataFrame, probabilities: np.ndarray, classes: tuple[str, ...], *, groups: Groups | None = None
) -> dict[str, Estimate]:
    """Return ``macro_f1`` and how often class, order and family of the called genus are right.

    F1 is the mean over the genera with test reads; one that is never called counts as 0.
    """
    place = {name: number for number, name in enumerate(classes)}
    truth, called = rows["label"].map(place).to_numpy(dtype=np.int64), probabilities.argmax(axis=1)
    lineages = np.array([name.split() for name in classes])
    right = (lineages[truth] == lineages[called]).T[: len(LEVELS)] * 1.0

    def statistic(weights: Array) -> Figures:
        shares = weights @ right.T / weights.sum(axis=1, keepdims=True)
        agreed = {f"{level}_agreement": shares[:, number] for number, level in enumerate(LEVELS)}
        return {"macro_f1": _macro_f1(weights, truth, called, len(classes)), **agreed}

    return bootstrap(statistic, len(rows), N_BOOT, 1, groups=groups)


def _macro_f1(weights: Array, truth: Array, called: Array, width: int) -> Array:
    shape, each = (len(truth), width), np.arange(len(truth))
    ones = np.ones(len(truth))
    wanted, given = (sparse.csr_array((ones, (each, column)), shape=shape) for column in (truth, called))
    there, calls, hits = weights @ wanted, weights @ given, weights @ wanted.multiply(given).tocsr()
    scores = 2 * hits / np.maximum(there + calls, 1.0)
    return (scores * (there > 0)).sum(axis=1) / (there > 0).sum(axis=1)
