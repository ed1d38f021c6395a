"""Fit the baselines on a prepared table and write their test scores, each with a 95 % interval, as JSON.

    python recipes/baselines.py --table promoter.csv.gz --out baselines.json

The table has the columns sequence, label (0 or 1) and split. Everything is fitted on train and chosen on
valid, the threshold for accuracy, precision, recall and MCC too. Where the table has a column ``kind`` with
several kinds of negatives, AUROC is given against each.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from common import SPLITS, sha256, write_record

from genolm.baselines import Baseline, Examples, standard_baselines
from genolm.calibration import pick_threshold
from genolm.errors import GenolmError
from genolm.metrics import as_json, binary_metrics


def read_splits(path: Path, *, drop_excluded: bool) -> dict[str, pd.DataFrame]:
    """Return the rows of each split; training rows with ``excluded`` = 1 are left out if asked for."""
    table = pd.read_csv(path, keep_default_na=False)
    missing = {"sequence", "label", "split"} - set(table.columns)
    if missing:
        raise GenolmError(f"{path} has no column {', '.join(sorted(missing))}.")
    if drop_excluded:
        if "excluded" not in table:
            raise GenolmError(f"{path} has no column excluded; leave out --drop-excluded.")
        table = table[(table["excluded"] == 0) | (table["split"] != "train")]
    return {split: table[table["split"] == split] for split in SPLITS}


def examples(rows: pd.DataFrame) -> Examples:
    """Return the sequences and labels of some rows."""
    return Examples(rows["sequence"].tolist(), rows["label"].to_numpy(dtype=np.int64))


def score(baseline: Baseline, valid: pd.DataFrame, test: pd.DataFrame) -> dict[str, Any]:
    """Return the test metrics of a fitted baseline, its threshold and its settings."""
    tuned = baseline.probabilities(valid["sequence"].tolist())[:, 1]
    threshold = pick_threshold(tuned, valid["label"].to_numpy())
    found, labels = baseline.probabilities(test["sequence"].tolist())[:, 1], test["label"].to_numpy()
    result = {
        "threshold": threshold,
        "settings": baseline.settings(),
        "valid": as_json(binary_metrics(tuned, valid["label"].to_numpy(), threshold=threshold)),
        "test": as_json(binary_metrics(found, labels, threshold=threshold)),
    }
    if "kind" in test and test.loc[test["label"] == 0, "kind"].nunique() > 1:
        result["test_auroc_against"] = against_kinds(found, test)
    return result


def against_kinds(probabilities: np.ndarray, test: pd.DataFrame) -> dict[str, dict[str, float | None]]:
    """Return the AUROC of the positives against each kind of negative."""
    labels, kinds = test["label"].to_numpy(), test["kind"].to_numpy()
    scores = {}
    for kind in sorted(set(kinds[labels == 0])):
        rows = (labels == 1) | (kinds == kind)
        scores[kind] = as_json(binary_metrics(probabilities[rows], labels[rows]))["auroc"]
    return scores


def run(
    path: Path,
    *,
    drop_excluded: bool = False,
    only: Sequence[str] = (),
    seed: int = 1,
    threads: int | None = None,
) -> dict[str, Any]:
    """Fit and score the baselines of these names, or all, on one table; return the record."""
    parts = read_splits(path, drop_excluded=drop_excluded)
    train, valid = examples(parts["train"]), examples(parts["valid"])
    record: dict[str, Any] = {
        "table": path.name,
        "table_sha256": sha256(path),
        "seed": seed,
        "drop_excluded": drop_excluded,
        "baselines": {},
        "rows": {split: len(rows) for split, rows in parts.items()},
    }
    for baseline in standard_baselines(train.sequences, seed=seed, threads=threads):
        if only and baseline.name not in only:
            continue
        began = time.perf_counter()
        baseline.fit(train, valid)
        record["baselines"][baseline.name] = score(baseline, parts["valid"], parts["test"]) | {
            "seconds": round(time.perf_counter() - began, 1)
        }
    return record


def shown(scores: dict[str, dict[str, float | None]]) -> str:
    """Return metrics on one line; "-" where one is not defined."""
    return "  ".join(
        f"{name} "
        + (
            "-"
            if found["value"] is None
            else f"{found['value']:.3f} ({found['low']:.3f}-{found['high']:.3f})"
        )
        for name, found in scores.items()
    )


def main(arguments: list[str] | None = None) -> None:
    """Read the command line, write the JSON and print the test scores."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument(
        "--drop-excluded", action="store_true", help="leave out training rows with excluded = 1"
    )
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="fit these baselines alone")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int)
    options = parser.parse_args(arguments)
    record = run(
        options.table,
        drop_excluded=options.drop_excluded,
        only=options.only,
        seed=options.seed,
        threads=options.threads,
    )
    write_record(options.out, record)
    for name, result in record["baselines"].items():
        print(f"{name}: {shown(result['test'])}")


if __name__ == "__main__":
    main()
