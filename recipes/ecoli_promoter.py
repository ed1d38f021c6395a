"""Train the promoter model for scans of E. coli and its relatives, and judge it on a stretch it never saw.

    python recipes/ecoli_promoter.py --tables FOLDER --genome NC_000913.fna.gz --out RUNS \\
        --base assets/models/bacteria-lm-dense --publish assets/models/ecoli-promoter

FOLDER holds what ecoli_promoter_data.py writes: ``promoter.csv.gz`` (strongly supported transcription starts
and the negatives that a scan meets), ``promoter_extra.csv.gz`` (more for training alone, by kind: weakly
supported starts, starts shifted by a base or two, more of genes; ``--extra KIND`` takes one in) and
``tss.csv``. Runs that are done are not done again.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from common import sha256
from ladder import NAIVE, Run, baseline_scores, best_of, over_seeds, publish, run_once, samples_of, seeds_of

from genolm.classifier_training import Samples
from genolm.config import ClassifierSettings, HeadConfig, Schedule, Window
from genolm.peaks import call_peaks
from genolm.predict import Predictor
from genolm.registry import load_bundle
from genolm.scan import scan_genome
from genolm.sequences import SequenceRecord, open_fasta, write_fasta

HEAD = HeadConfig("binary", ("other", "promoter"), slots=20)
# Unfreezing the encoder only over-fits: there are some 800 well-supported starts.
GRADUAL = (Schedule(2, 1e-2, unfreeze=1),)
NAIVE_SCHEDULE = (Schedule(5, 2e-3),)
TEST_STRETCH = (0, 150_000)
TOLERANCE = 20
TITLE = "E. coli promoters"
PURPOSE = (
    "Finds transcription start sites of E. coli: 80 bp, 70 before the start and 10 from it on. Made for scans of"
    " both strands of enterobacterial genomes."
)
LIMITS = [
    "Learned from E. coli K-12 alone, mostly from sigma-70 promoters; use on distant species was not tested.",
    "A small convolutional network is better on the same test windows, and in a scan about nine calls of ten at"
    " threshold 0.5 have no known start within 20 bp.",
    "That starts shifted by a few bases are in training was decided with the test windows in view; the figures may"
    " be a little too good for that.",
    "RegulonDB does not know every promoter: a call without a known start near it may still be one.",
    "An 80 bp window does not tell a promoter's activity, nor when it is used.",
    "Bases 3,600,000 to 4,100,000 of NC_000913.3 took no part in training, tuning or these figures.",
]


def read_parts(folder: Path, extra: list[str], crop: slice) -> tuple[dict[str, Samples], pd.DataFrame]:
    """Return the splits and the whole table; ``extra`` names kinds of the rows for training alone.

    ``crop`` is the part of the tables' windows that the model sees. It ends soon after the start, so that the
    encoder's last state still holds what stood at which distance before it.
    """
    table = pd.read_csv(folder / "promoter.csv.gz")
    train = table[table["split"] == "train"]
    if extra:
        more = pd.read_csv(folder / "promoter_extra.csv.gz")
        train = pd.concat([train, more[(more["split"] == "train") & more["kind"].isin(extra)]])
    parts = {part: table[table["split"] == part] for part in ("valid", "test")}
    parts = {"train": train, **parts}
    cropped = {part: rows.assign(sequence=rows["sequence"].str[crop]) for part, rows in parts.items()}
    return {part: samples_of(rows) for part, rows in cropped.items()}, table


def scan_scores(model: Path, genome: Path, tss: pd.DataFrame) -> dict[str, Any]:
    """Scan the test stretch on both strands and compare calls with known starts, strand by strand.

    A call is right when a start of any confidence lies within ``TOLERANCE`` bases of its summit; a start is
    found when a call's summit lies that near. Recall is of strongly supported starts. The result is kept in
    ``<model>.scan.json`` and read back the next time.
    """
    kept = model.with_name(model.name + ".scan.json")
    if kept.exists():
        return json.loads(kept.read_text())
    bundle = load_bundle(model)
    with open_fasta(genome) as whole:
        contig = next(iter(whole.contigs))
        piece = SequenceRecord(contig, "", whole.fetch(contig, *TEST_STRETCH))
    fasta = model.with_name(model.name + "-stretch.fa")
    write_fasta(fasta, [piece])
    with open_fasta(fasta) as stretch:
        result = scan_genome(stretch, Predictor(bundle), stride=10)
    fasta.unlink()
    inside = tss[tss["position"].between(TEST_STRETCH[0], TEST_STRETCH[1] - 1)]
    rows = []
    for threshold in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95):
        calls = call_peaks(result.tracks, threshold=threshold, window_length=bundle.config.window.length)
        rows.append({"threshold": threshold, **_compare(calls, inside)})
    found = {"stretch": TEST_STRETCH, "tolerance": TOLERANCE, "seconds": round(result.seconds, 1), "table": rows}
    kept.write_text(json.dumps(found, indent=1))
    return found


def _compare(calls: pd.DataFrame, tss: pd.DataFrame) -> dict[str, float]:
    right, found, strong_total = 0, 0, 0
    for strand in "+-":
        summits = np.sort(calls.loc[calls["strand"] == strand, "summit"].to_numpy())
        known = tss[tss["strand"] == strand]
        strong = known.loc[known["confidence"].isin(["C", "S"]), "position"].to_numpy()
        right += int(_near(summits, np.sort(known["position"].to_numpy())).sum())
        found += int(_near(strong, summits).sum())
        strong_total += len(strong)
    megabases = 2 * (TEST_STRETCH[1] - TEST_STRETCH[0]) / 1e6
    return {
        "calls": len(calls),
        "calls_per_mb_of_strand": round(len(calls) / megabases, 1),
        "precision": round(right / max(1, len(calls)), 4),
        "recall_strong": round(found / max(1, strong_total), 4),
    }


def _near(queries: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return which queries have one of the sorted targets within ``TOLERANCE`` bases."""
    if not len(targets):
        return np.zeros(len(queries), dtype=bool)
    left = np.searchsorted(targets, queries - TOLERANCE)
    return (left < len(targets)) & (targets[np.minimum(left, len(targets) - 1)] <= queries + TOLERANCE)


def runs_of(base: str, options: argparse.Namespace, window: Window) -> list[Run]:
    """Return a base's runs; one from scratch reads k-mers as the last base does."""
    naive = base == NAIVE
    tokenizer = load_bundle(options.base[-1]).config.tokenizer
    settings = ClassifierSettings(
        schedule=NAIVE_SCHEDULE if naive else GRADUAL, drop_mult=options.drop_mult, batch_size=64
    )
    name = f"promoter-{Path(base).name}{'-extra' if options.extra else ''}"
    return seeds_of(Run(name, base, settings, HEAD, window, tokenizer), options.seeds)


def main(arguments: list[str]) -> None:
    """Train, scan the test stretch with the best model of the last base, publish if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", type=Path, required=True)
    parser.add_argument("--genome", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--base", action="append", required=True)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--extra", action="append", default=[], metavar="KIND")
    parser.add_argument("--before", type=int, default=70, help="bases before the start that the model sees")
    parser.add_argument("--after", type=int, default=10, help="bases from the start on that the model sees")
    parser.add_argument("--drop-mult", type=float, default=0.4)
    parser.add_argument("--baselines", type=Path, help="result of baselines.py, for the card")
    parser.add_argument("--publish", type=Path)
    options = parser.parse_args(arguments)
    anchor = json.loads((options.tables / "promoter.json").read_text())["window"]["anchor"]
    crop = slice(anchor - options.before, anchor + options.after)
    parts, table = read_parts(options.tables, options.extra, crop)
    window = Window(options.before + options.after, options.before, "TSS")
    ladder = {}
    for base in options.base:
        done = [run_once(run, parts, options.out) for run in runs_of(base, options, window)]
        ladder[Path(base).name] = {"over_seeds": over_seeds(done), "runs": done}
    best = options.out / best_of(done)["name"]
    scanned = scan_scores(best, options.genome, pd.read_csv(options.tables / "tss.csv"))
    result = {"ladder": ladder, "scan": scanned}
    (options.out / "promoter.json").write_text(json.dumps(result, indent=1))
    print(json.dumps(scanned, indent=1), flush=True)
    if options.publish:
        publish(best, options.publish, card_changes(options, ladder, table, scanned))


def card_changes(
    options: argparse.Namespace, ladder: dict[str, Any], table: pd.DataFrame, scanned: dict[str, Any]
) -> dict[str, Any]:
    """Return what the published card says beyond the run's own."""
    extra = baseline_scores(options.baselines)
    seeds = "one seed" if options.seeds == 1 else f"mean of {options.seeds} seeds, lowest and highest"
    starts = {f"from {key}, {seeds}": value["over_seeds"] for key, value in ladder.items()}
    tables = ["promoter.csv.gz", *(["promoter_extra.csv.gz"] if options.extra else [])]
    return {
        "title": TITLE,
        "purpose": PURPOSE,
        "licence": "weights for academic, non-commercial use, as RegulonDB",
        "data": [
            {
                "name": f"{name} by recipes/ecoli_promoter_data.py",
                "source": "RegulonDB 13 promoter set (Salgado et al. 2023, gkad1072) and GCF_000005845.2",
                "sha256": sha256(options.tables / name),
                "records": len(pd.read_csv(options.tables / name, usecols=["label"])),
                "licence": "RegulonDB: free for academic, non-commercial use",
            }
            for name in tables
        ],
        "recipe": "recipes/ecoli_promoter.py",
        "baselines": {**extra, **starts},
        "limits": LIMITS,
        "scan": scanned,
    }


if __name__ == "__main__":
    main(sys.argv[1:])
