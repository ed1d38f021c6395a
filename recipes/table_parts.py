"""Shared by recipes with tables: validation rows, look-alikes kept on one side, a record beside each."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from common import SPLITS, counts_by, sha256, source_file, write_record, write_table

from genolm.splits import leakage_report, split_random
from genolm.table_split import table_clusters

COLUMNS = ("sequence", "label", "split", "group", "name")
HELD_OUT_FROM = (("valid", ("test",)), ("train", ("test", "valid")))


def with_valid(table: pd.DataFrame, *, share: float = 0.1, seed: int = 1) -> pd.DataFrame:
    """Return the table with a random share of each class's training rows as validation rows."""
    table = table.reset_index(drop=True)
    train = np.flatnonzero(table["split"] == "train")
    labels = table["label"].to_numpy()[train]
    table.loc[train, "split"] = split_random(labels, fractions=(1 - share, share, 0.0), seed=seed)
    return table


def keep_apart(table: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, int]]:
    """Leave out training and validation rows that resemble a row held out from them, on either strand.

    Returns
    -------
    table : pd.DataFrame
        All test rows; the validation rows in no similarity cluster of a test row; the training rows in none
        of either. See :mod:`genolm.splits` for what counts as similar.
    left_out : dict of str to int
        Rows left out of valid and train.
    """
    clusters, split = table_clusters(table["sequence"].tolist()), table["split"].to_numpy(dtype=object)
    kept, left_out = np.ones(len(table), dtype=bool), {}
    for part, others in HELD_OUT_FROM:
        held_out = clusters[kept & np.isin(split, others)]
        near = (split == part) & np.isin(clusters, held_out)
        kept &= ~near
        left_out[part] = int(near.sum())
    return table[kept].reset_index(drop=True), left_out


def resembling(table: pd.DataFrame, *, seed: int = 1) -> dict[str, Any]:
    """Return the share of test rows that resemble a training row, and what it would be in a random split."""
    clusters, split = table_clusters(table["sequence"].tolist()), table["split"].to_numpy(dtype=object)
    found = leakage_report(clusters, split)
    shuffled = leakage_report(clusters, np.random.default_rng(seed).permutation(split))
    return {
        "test_rows_resembling_train": found.leaked,
        "share": round(found.share, 4),
        "share_in_a_random_split": round(shuffled.share, 4),
    }


def save_protocol(out: Path, protocol: str, table: pd.DataFrame, record: Mapping[str, Any]) -> Path:
    """Write ``<protocol>.csv.gz`` and ``<protocol>.json`` with the counts of rows; return the former."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{protocol}.csv.gz"
    columns = [column for column in COLUMNS if column in table]
    digest = write_table(table[columns], path)
    sizes = table["split"].value_counts()
    bases = table["sequence"].str.len().groupby(table["split"]).sum()
    counts = {
        "rows": {part: int(sizes.get(part, 0)) for part in SPLITS},
        "rows_by_class": counts_by(table, "split", "label") if table["label"].nunique() < 10 else {},
        "bases": {part: int(bases.get(part, 0)) for part in SPLITS},
    }
    write_record(out / f"{protocol}.json", {**counts, **record, "table_sha256": digest})
    return path


def hashes_of(data: Path, names: list[str]) -> dict[str, str]:
    """Return the SHA-256 of each source."""
    return {name: sha256(source_file(data, name)) for name in names}
