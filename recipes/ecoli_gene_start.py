"""The original's own task on E. coli: gene starts against gene interiors, as a ladder of starting points.

    python recipes/ecoli_gene_start.py --table gene_start.csv.gz --out RUNS \\
        --base naive --base RUNS/ecoli-lm --base assets/models/bacteria-lm

The table comes from ecoli_gene_start_data.py. Each starting point is trained with several seeds, once with
the windows in training that the original kept there although they resemble others (``published``), once
without them (``dropped``). Runs that are done are not done again. ``ladder.json`` holds all results.
``--publish FOLDER`` also saves the best ``dropped`` model of the last base, by validation loss.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import pandas as pd
from common import sha256
from ladder import Run, baseline_scores, best_of, over_seeds, publish, run_once, samples_of, seeds_of

from genolm.classifier_training import Samples
from genolm.config import ClassifierSettings, HeadConfig, Schedule, Window

HEAD = HeadConfig("binary", ("gene interior", "gene start"))
WINDOW = Window(150, 100, "start codon")
GRADUAL = (
    Schedule(1, 1e-2, unfreeze=1),
    Schedule(1, 5e-3, unfreeze=2),
    Schedule(1, 3e-3, unfreeze=3),
    Schedule(5, 2e-3),
)
NAIVE_SCHEDULE = (Schedule(6, 2e-3),)
TITLE = "E. coli gene starts"
PURPOSE = (
    "Tells 150 bp around a gene's start codon (100 before, 50 from it on, gene strand) from the inside of genes."
)
LIMITS = [
    "Trained on E. coli K-12 alone; other species were not tested.",
    "The start codon stands at one place in every positive window: whether there is an ATG, GTG or TTG decides most"
    " of this task, and a logistic regression on bases by position beats this model. The ladder of starting points"
    " shows what pre-training gives, not how hard gene starts are to find.",
    "Its negatives are gene interiors on the gene's strand, so it must not be used to scan a genome: it was never"
    " shown intergenic DNA or the other strand.",
    "The test set is the first tenth of the genome, as in the original study; the language model has read that"
    " stretch, without labels, and close relatives of it.",
]


def parts_of(table: pd.DataFrame, variant: str) -> dict[str, Samples]:
    """Return the splits; ``dropped`` leaves out training windows that resemble others."""
    if variant == "dropped":
        table = table[(table["split"] != "train") | (table["excluded"] == 0)]
    return {part: samples_of(table[table["split"] == part]) for part in ("train", "valid", "test")}


def runs_of(variant: str, base: str, seeds: int) -> list[Run]:
    """Return a base's runs."""
    naive = base == "naive"
    settings = ClassifierSettings(
        schedule=NAIVE_SCHEDULE if naive else GRADUAL, drop_mult=0.2 if naive else 0.4, batch_size=128
    )
    return seeds_of(Run(f"{variant}-{Path(base).name}", base, settings, HEAD, WINDOW), seeds)


def main(arguments: list[str]) -> None:
    """Train the ladder, write ``ladder.json`` and publish if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--base", action="append", required=True)
    parser.add_argument("--variant", action="append", choices=("published", "dropped"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--baselines", type=Path, help="result of baselines.py, for the card")
    parser.add_argument("--publish", type=Path)
    options = parser.parse_args(arguments)
    table = pd.read_csv(options.table)
    ladder: dict[str, Any] = {}
    for variant in options.variant or ("published", "dropped"):
        parts = parts_of(table, variant)
        for base in options.base:
            done = [run_once(run, parts, options.out) for run in runs_of(variant, base, options.seeds)]
            ladder[f"{variant}/{Path(base).name}"] = {"over_seeds": over_seeds(done), "runs": done}
            (options.out / "ladder.json").write_text(json.dumps(ladder, indent=1))
    if options.publish:
        best = best_of(ladder[f"dropped/{Path(options.base[-1]).name}"]["runs"])
        changes = card_changes(options, ladder, table)
        publish(options.out / best["name"], options.publish, changes)


def card_changes(options: argparse.Namespace, ladder: dict[str, Any], table: pd.DataFrame) -> dict[str, Any]:
    """Return what the published card says beyond the run's own."""
    extra = baseline_scores(options.baselines)
    seeds = "one seed" if options.seeds == 1 else f"mean of {options.seeds} seeds, lowest and highest"
    starts = {
        f"from {key.split('/')[1]}, {key.split('/')[0]} training set, {seeds}": value["over_seeds"]
        for key, value in ladder.items()
    }
    return {
        "title": TITLE,
        "purpose": PURPOSE,
        "licence": "MIT (weights); genome GCF_000005845.2 is a public record",
        "data": [{
            "name": "windows of NC_000913.3 by recipes/ecoli_gene_start_data.py",
            "source": "GCF_000005845.2_ASM584v2_genomic.gbff",
            "sha256": sha256(options.table),
            "records": len(table),
            "bases": 150 * len(table),
            "licence": "public",
        }],
        "recipe": "recipes/ecoli_gene_start.py",
        "baselines": {**extra, **starts},
        "limits": LIMITS,
    }


if __name__ == "__main__":
    main(sys.argv[1:])
