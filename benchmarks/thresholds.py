"""By which rule a model of two classes should say yes: trained networks, judged on other rows than chose the threshold.

    python benchmarks/thresholds.py RUNS
    python benchmarks/thresholds.py RUNS --rows 30 120 --recipes promoters-81-ecoli

RUNS is the folder of ``genolm recipe run --out``. Of each recipe some trained networks are taken, the validation rows
of each are divided at random, ``--rows`` of them choose temperature and threshold, and MCC and accuracy are worked out
on all the others. The test rows are not read. Compared are the threshold of highest MCC on the rows that choose
(``genolm.calibration.pick_threshold``), that of highest expected MCC (``expected_threshold``, which genolm takes), and
one half. The last lines are the means over recipes.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import genolm.compute  # noqa: F401  sets the OpenMP wait policy before torch is loaded
import numpy as np
import pandas as pd

from genolm import calibration
from genolm.config import Calibration
from genolm.metrics import binary_metrics

RULES = {
    "highest MCC": calibration.pick_threshold,
    "expected MCC": calibration.expected_threshold,
    "one half": lambda chances, labels: 0.5,
}
LEAST_OF_A_CLASS = 3


def networks(recipe: Path) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield logits (rows, 2) and labels of the validation rows of each network of two classes."""
    tables = {path.name.removesuffix(".csv.gz"): _valid_labels(path) for path in (recipe / "tables").glob("*.csv.gz")}
    for path in sorted((recipe / "steps").glob("*.valid.npy")):
        name, logits = path.name, np.load(path).astype(np.float64)
        protocol = max((key for key in tables if name.startswith(f"{key}-")), key=len, default=None)
        figures = json.loads((path.parent / name.replace(".valid.npy", ".json")).read_text(encoding="utf-8"))
        if protocol is None or logits.shape[1:] != (2,) or "network" not in figures:
            continue
        given = tables[protocol]
        if len(given) == len(logits) and given.nunique() == 2:
            labels = pd.factorize(given)[0]
            agrees = np.corrcoef(labels, logits[:, 1] - logits[:, 0])[0, 1] > 0
            yield logits, labels if agrees else 1 - labels


def _valid_labels(path: Path) -> pd.Series:
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    return table.loc[table["split"] == "valid", "label"]


def judged(logits: np.ndarray, labels: np.ndarray, rows: int, rng: np.random.Generator) -> list[list[float]] | None:
    """Return MCC and accuracy by each rule, chosen on ``rows`` drawn rows and worked out on the others."""
    order = rng.permutation(len(labels))
    own, rest = order[:rows], order[rows:]
    if min(np.bincount(labels[own], minlength=2)) < LEAST_OF_A_CLASS:
        return None
    temperature = calibration.fit_temperature(logits[own], labels[own], "binary", prior=calibration.CALM)
    chances = calibration.apply(logits, Calibration(temperature), "binary")[:, 1]
    found = []
    for rule in RULES.values():
        threshold = rule(chances[own], labels[own])
        figures = binary_metrics(chances[rest], labels[rest], threshold=threshold, n_boot=0)
        found.append([figures["mcc"].value, figures["accuracy"].value])
    return found


def main() -> None:
    """Measure and print a line for each recipe and number of rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--rows", type=int, nargs="+", default=[30, 60, 120, 240, 480, 1000])
    parser.add_argument("--recipes", nargs="+", help="by default all that are there")
    parser.add_argument("--networks", type=int, default=8, help="of each recipe, drawn at random")
    parser.add_argument("--draws", type=int, default=6)
    options = parser.parse_args()
    rng = np.random.default_rng(1)
    print(f"{'MCC, accuracy':<34} {'rows':>5}" + "".join(f" {name:>14}" for name in RULES))
    means: dict[int, list[np.ndarray]] = {rows: [] for rows in options.rows}
    for recipe in sorted(path.parent for path in options.runs.glob("*/steps")):
        if options.recipes and recipe.name not in options.recipes:
            continue
        found = list(networks(recipe))
        chosen = [found[place] for place in rng.permutation(len(found))[: options.networks]]
        for rows in options.rows:
            large = [item for item in chosen if len(item[1]) >= 2 * rows]
            tries = [judged(*item, rows, rng) for item in large for _ in range(options.draws)]
            tries = [item for item in tries if item]
            if tries:
                means[rows].append(np.mean(tries, axis=0))
                tell(recipe.name, rows, means[rows][-1])
    for rows, items in means.items():
        if items:
            tell(f"mean of {len(items)} recipes", rows, np.mean(items, axis=0))


def tell(name: str, rows: int, figures: np.ndarray) -> None:
    """Print MCC and accuracy by each rule."""
    print(f"{name:<34} {rows:>5}" + "".join(f"   {mcc:.3f}, {right:.3f}" for mcc, right in figures), flush=True)


if __name__ == "__main__":
    main()
