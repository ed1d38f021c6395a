"""Liver enhancers of four mammals: the tables of ``enhancers-*.toml``.

500 bp under the histone mark H3K27ac in liver, and as many without it, in each of human, mouse, dog and
opossum (Cohn et al. 2018, doi:10.1101/264200). The files at hand are two parts of that data set: the larger
one is for training, with a tenth of it for validation, the other one is the test. Names are numbers, so
chromosomes cannot be held out; the strict protocol leaves out what resembles a test or validation sequence on
either strand.

With several species there is a protocol for each: all train on the same rows, those of all species together
without what resembles a test row of any, and each is tested on its own species. A last one trains on the first
species alone and is tested on all of them.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from common import source_file
from table_parts import hashes_of, keep_apart, resembling, save_protocol, with_valid

from genolm.bootstrap import Estimate, Groups, taken
from genolm.metrics import binary_metrics
from genolm.sequences import open_fasta

FOLDER = "enhancers_cohn"
FILES = {"train": "valid", "test": "test"}
"""Our part of the table, and what the file of it is called."""
CLASSES = {"positive": "enhancer", "negative": "background"}


def source_name(species: str, kind: str, part: str) -> str:
    """Return the file of a class and part, below the data folder."""
    return f"{FOLDER}/{species}/{kind}_{FILES[part]}.fa.gz"


def source_names(species: Sequence[str]) -> list[str]:
    """Return all files of these species."""
    return [source_name(name, kind, part) for name in species for kind in CLASSES for part in FILES]


def read_species(data: Path, species: str) -> pd.DataFrame:
    """Return all sequences of one species as rows; ``group`` is the species."""
    rows = []
    for kind, label in CLASSES.items():
        for part, file in FILES.items():
            with open_fasta(source_file(data, source_name(species, kind, part))) as found:
                rows += [
                    (item.sequence.upper(), label, part, species, f"{species} {kind} {file} {item.name}")
                    for item in found.records()
                ]
    return pd.DataFrame(rows, columns=["sequence", "label", "split", "group", "name"])


def sampled(table: pd.DataFrame, sizes: dict[str, int], seed: int) -> pd.DataFrame:
    """Return at most ``sizes[part]`` rows of each part, half of each class; 0 takes all."""
    kept = []
    for (part, _), rows in table.groupby(["split", "label"], sort=True):
        size = min(len(rows), sizes[part] // len(CLASSES)) or len(rows)
        kept.append(rows.sample(size, random_state=seed))
    return pd.concat(kept).sort_index()


def tables(
    data: Path,
    out: Path,
    *,
    species: str | Sequence[str],
    train_each: int = 0,
    test_each: int = 0,
    seed: int = 1,
) -> dict[str, Path]:
    """Write the tables ``published`` and ``strict``; of several species one for each and ``from_<the first>``.

    Parameters
    ----------
    data, out : Path
    species : str or sequence of str
        Folder names of the data set.
    train_each, test_each : int
        Rows of each species to train on (validation rows included) and to test with, at most; 0 takes all.
    seed : int
    """
    names = [species] if isinstance(species, str) else list(species)
    sizes = {"train": train_each, "test": test_each}
    whole = pd.concat([read_species(data, name) for name in names], ignore_index=True)
    parts = [sampled(rows, sizes, seed) for _, rows in whole.groupby("group", sort=False)]
    published = with_valid(pd.concat(parts), seed=seed)
    strict, left_out = keep_apart(published)
    made = {"published": (published, {}), "strict": (strict, left_out)}
    if len(names) > 1:
        tested = strict["split"] == "test"
        made = {name: (strict[~tested | (strict["group"] == name)], left_out) for name in names}
        own = whole[(whole["group"] == names[0]) & (whole["split"] == "train")]
        both = pd.concat([own, published[published["split"] == "test"]])
        made[f"from_{names[0]}"] = keep_apart(with_valid(both, seed=seed))
    sources = hashes_of(data, source_names(names))
    return {
        protocol: save_protocol(
            out,
            protocol,
            table,
            {
                "left_out": {**dropped, **_unused(whole, table, sum(dropped.values()))},
                "similar": resembling(table),
                "sources": sources,
                "seed": seed,
            },
        )
        for protocol, (table, dropped) in made.items()
    }


def _unused(whole: pd.DataFrame, table: pd.DataFrame, dropped: int) -> dict[str, int]:
    """Return the rows of no use under a protocol: those of species that it leaves out, and those not drawn."""
    counts = {}
    for words, is_test in (("training", False), ("test", True)):
        species = set(table.loc[(table["split"] == "test") == is_test, "group"])
        others = ((whole["split"] == "test") == is_test) & ~whole["group"].isin(species)
        counts[f"{words}_rows_of_other_species"] = int(others.sum())
    not_drawn = len(whole) - len(table) - dropped - sum(counts.values())
    return {**{key: count for key, count in counts.items() if count}, "not_drawn": not_drawn}


def judge(
    rows: pd.DataFrame, probabilities: np.ndarray, classes: tuple[str, ...], *, groups: Groups | None = None
) -> dict[str, Estimate]:
    """Return ``auroc_<species>``: the area under the ROC curve of each species' test rows, if there are several."""
    positive, truth = probabilities[:, 1], (rows["label"] == classes[1]).to_numpy()
    found, species_here = {}, rows["group"].unique()
    for species in species_here if len(species_here) > 1 else ():
        own = (rows["group"] == species).to_numpy()
        scores = binary_metrics(positive[own], truth[own], groups=taken(groups, own))
        found[f"auroc_{species}"] = scores["auroc"]
    return found
