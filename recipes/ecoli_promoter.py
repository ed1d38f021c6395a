"""Train the promoter model for scans of E. coli and its relatives on stretches of the K-12 genome.

    python recipes/ecoli_promoter.py --data DATA --tables TABLES --out RUNS \\
        --base assets/models/bacteria-lm-dense --base naive --baselines baselines.json
    python recipes/scan_proof.py ...
    python recipes/ecoli_promoter.py ... --proof proof.json --publish assets/models/ecoli-promoter

DATA holds the GenBank file and the promoters of RegulonDB, TABLES what ecoli_promoter_data.py writes: its validation
and test windows judge each model, read one by one. The temperature and the threshold of scans are fitted on a
streamed scan of the validation blocks, since that is what a scan's scores have to mean. Runs that are done are not done again; the
first base given is the one that is published.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from common import ECOLI_GENBANK, AnnotatedGenome, Pieces, read_genbank, sha256, source_file
from ecoli_promoter_sites import REGULONDB, Settings, read_tss
from ecoli_promoter_stretches import SplitStrands, split_strands
from scan_card import scan_facts

from genolm import calibration as calibrate
from genolm.classifier_training import Samples, TrainedClassifier
from genolm.config import Calibration, HeadConfig, Schedule, TokenizerConfig, Window, to_json
from genolm.novelty import training_profile
from genolm.predict import Predictor
from genolm.progress import Progress
from genolm.registry import check_name, load_bundle, save_bundle
from genolm.result_row import BASELINE_TITLES
from genolm.result_row import NAIVE
from genolm.scan import scan_genome
from genolm.stretch_training import LabelledStrand, StretchSettings, train_on_stretches
from genolm.tokenizer import KmerTokenizer
from genolm.tracks import Track, true_runs
from genolm.trained import classifier_card, save_classifier, score_classifier
from genolm.training import remove_checkpoint
from genolm.truth import truth_curve

BEFORE, AFTER = 80, 40
WINDOW = Window(BEFORE + AFTER, BEFORE, "TSS")
HEAD = HeadConfig("binary", ("other", "promoter"), slots=24)
FROM_MODEL = (Schedule(1, 5e-3, unfreeze=1), Schedule(5, 2e-3))
FROM_SCRATCH = (Schedule(6, 2e-3),)
STRIDE, TOLERANCE, APART = 4, 20, 40
TITLE = "E. coli promoters"
PURPOSE = (
    "Finds transcription start sites of E. coli: 120 bp, 80 before the start and 40 from it on. Made for streamed scans"
    " of both strands of enterobacterial genomes."
)
LIMITS = [
    "Learned from E. coli K-12 alone, mostly from sigma-70 promoters.",
    "RegulonDB does not know every promoter: a call without a known start near it may still be one.",
    "A score is the probability that a start mapped by experiment stands within 2 bp, in the share in which such"
    " starts stand in a genome. Single windows that were chosen by some other rule hold starts more often: their"
    " threshold is lower than that of a scan, and the calibration error on them is large for that reason.",
    "A 120 bp window does not tell a promoter's activity, nor when it is used.",
    "Bases 3,600,000 to 4,100,000 of NC_000913.3 took no part in training, tuning or these figures.",
]


class Task(NamedTuple):
    """What every run is given."""

    genome: AnnotatedGenome
    tss: pd.DataFrame
    strands: SplitStrands
    parts: dict[str, Samples]
    out: Path


class Blocks(Pieces):
    """The blocks of one split as contigs of their own, cut where a base may not be read."""

    def __init__(self, genome: AnnotatedGenome, allowed: np.ndarray) -> None:
        runs = true_runs(allowed).tolist()
        super().__init__(genome, {f"block_{low}": (genome.contig, low, high) for low, high in runs})

    @property
    def starts(self) -> dict[str, int]:
        """Where each block begins in the genome."""
        return {name: first for name, (_, first, _) in self.places.items()}

    def sites(self, tss: pd.DataFrame) -> pd.DataFrame:
        """Return the starts that lie in the blocks, by block."""
        found = []
        for name, first in self.starts.items():
            inside = tss[tss["position"].between(first, first + self.contigs[name] - 1)]
            found.append(inside.assign(contig=name, position=inside["position"] - first))
        return pd.concat(found)[["contig", "position", "strand", "name"]]


def run_once(task: Task, base: str, seed: int) -> dict[str, Any]:
    """Train, calibrate, score, write ``<name>.json`` and the bundle; a run that is done is read back."""
    name = check_name(f"promoter-{Path(base).name}-seed{seed}")
    result = task.out / f"{name}.json"
    if result.exists():
        return json.loads(result.read_text())
    task.out.mkdir(parents=True, exist_ok=True)
    naive = base == NAIVE
    settings = StretchSettings(schedule=FROM_SCRATCH if naive else FROM_MODEL, seed=seed)
    scratch = task.out / f"{name}.training"
    trained = train_on_stretches(
        task.strands.train,
        task.strands.valid,
        HEAD,
        KmerTokenizer(TokenizerConfig(3, 1)) if naive else load_bundle(base),
        window=WINDOW,
        settings=settings,
        checkpoint=scratch,
        progress=report(name),
    )
    save(task, name, trained, base)
    trained = replace(trained, calibration=calibrated(task, trained, load_bundle(task.out / name)))
    save(task, name, trained, base)
    scores = {part: score_classifier(trained, task.parts[part]) for part in ("valid", "test")}
    found = {"name": name, "base": base, "seed": seed, "scores": scores, "calibration": to_json(trained.calibration)}
    found |= {"seconds": round(trained.history.seconds), "best_epoch": trained.history.best_epoch}
    result.write_text(json.dumps(found, indent=1))
    remove_checkpoint(scratch)
    print(f"{name}: test AUPRC {scores['test']['auprc']['value']:.4f}", flush=True)
    return found


def save(task: Task, name: str, trained: TrainedClassifier, base: str) -> None:
    """Write the run's bundle."""
    card = classifier_card(name, trained, task.parts, [], Path(base).name)
    save_classifier(task.out / name, trained, card, window=WINDOW, streamed=True)


def calibrated(task: Task, trained: TrainedClassifier, bundle: Any) -> Calibration:
    """Return the temperature that fits a streamed scan of the validation blocks, and two thresholds.

    That of a scan has the best F1 there, against all known starts; that of single windows the best MCC on the
    validation windows.
    """
    blocks = Blocks(task.genome, task.strands.valid[0].allowed)
    tracks = scan_genome(blocks, Predictor(bundle), stride=STRIDE).tracks
    logits, labels = scored_labels(task.strands.valid, blocks, tracks)
    temperature = calibrate.fit_temperature(np.stack([-logits / 2, logits / 2], 1), labels, "binary")
    given = {"tolerance": TOLERANCE, "window_length": WINDOW.length, "min_distance": APART}
    best = truth_curve(tracks, blocks.sites(task.tss), **given).best["threshold"]
    cut = np.log(best / (1 - best)) / temperature
    windows = calibrate.apply(trained.logits(task.parts["valid"].sequences), Calibration(temperature), "binary")
    threshold = calibrate.pick_threshold(windows[:, 1], task.parts["valid"].labels)
    return Calibration(temperature, threshold, float(1 / (1 + np.exp(-cut))))


def scored_labels(
    strands: list[LabelledStrand], blocks: Blocks, tracks: list[Track]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the log odds of each window of a scan whose site has a label, and the labels."""
    logits, labels = [], []
    for track in tracks:
        strand = strands["+-".index(track.strand)]
        places = track.sites + blocks.starts[track.contig]
        known = strand.labels[places if track.strand == "+" else len(strand.labels) - 1 - places]
        logits.append(calibrate.log_odds(track.values[known >= 0]))
        labels.append(known[known >= 0])
    return np.concatenate(logits), np.concatenate(labels).astype(np.int64)


def card_changes(task: Task, options: argparse.Namespace, runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what the published card says beyond the run's own."""
    scratch = [run for run in runs if run["base"] == NAIVE]
    starts = {f"from scratch, seed {run['seed']}": run["scores"]["test"] for run in scratch}
    training = Blocks(task.genome, task.strands.train[0].allowed)
    base = None if options.base[0] == NAIVE else load_bundle(options.base[0])
    names = {"TSS": REGULONDB, "genome": ECOLI_GENBANK}
    return {
        "title": TITLE,
        "purpose": PURPOSE,
        "licence": "weights for academic, non-commercial use, as RegulonDB",
        "data": [
            {
                "name": f"{Path(name).name} ({what})",
                "source": "RegulonDB 13 promoter set (Salgado et al. 2023, gkad1072)"
                if what == "TSS"
                else "GCF_000005845.2",
                "sha256": sha256(source_file(options.data, name)),
                "records": sum(task.strands.sites.values()) if what == "TSS" else 1,
                "licence": "RegulonDB: free for academic, non-commercial use" if what == "TSS" else "public",
            }
            for what, name in names.items()
        ],
        "recipe": "recipes/ecoli_promoter.py",
        "baselines": {**baseline_scores(options.baselines), **starts},
        "limits": LIMITS,
        "composition": training_profile(training, language_model=base),
        **({"scan": scan_facts(json.loads(options.proof.read_text()))} if options.proof else {}),
    }


def read_task(options: argparse.Namespace) -> Task:
    """Read genome, starts and tables."""
    genome = read_genbank(source_file(options.data, ECOLI_GENBANK))
    tss, _ = read_tss(source_file(options.data, REGULONDB), genome)
    strands = split_strands(genome, tss, WINDOW, Settings())
    return Task(genome, tss, strands, read_parts(options.tables), options.out)


def read_parts(tables: Path) -> dict[str, Samples]:
    """Return the single windows that ecoli_promoter_data.py wrote, cut to the model's."""
    table = pd.read_csv(tables / "promoter.csv.gz")
    anchor = json.loads((tables / "promoter.json").read_text())["window"]["anchor"]
    table["sequence"] = table["sequence"].str[anchor - BEFORE : anchor + AFTER]
    found = {}
    for part in ("train", "valid", "test"):
        rows = table[table["split"] == part]
        found[part] = Samples(list(rows["sequence"]), rows["label"].astype(int).to_numpy())
    return found


def report(name: str) -> Any:
    """Return a progress callback that writes a line now and then."""
    seen = {"tenth": -1}

    def tell(progress: Progress) -> None:
        tenth = int(progress.fraction * 10)
        if tenth != seen["tenth"]:
            seen["tenth"] = tenth
            figures = " ".join(f"{key} {value:.4f}" for key, value in progress.values.items())
            print(f"{name} {progress.done}/{progress.total} {progress.elapsed:.0f} s {figures}", flush=True)

    return tell


def publish(source: Path, target: Path, changes: Mapping[str, Any]) -> None:
    """Save a run's bundle under a name of its own, with ``changes`` made to its card."""
    bundle = load_bundle(source)
    card = {**bundle.card, **changes}
    config = replace(bundle.config, name=target.name, title=card["title"], purpose=card["purpose"])
    save_bundle(target, config, bundle.state_dict(), card)


def baseline_scores(path: Path | None) -> dict[str, Any]:
    """Return the test metrics of each baseline in a result of baselines.py; nothing without a file."""
    if path is None:
        return {}
    found = json.loads(path.read_text())["baselines"]
    return {BASELINE_TITLES.get(name, name): result["test"] for name, result in found.items()}


def main(arguments: list[str]) -> None:
    """Train what is missing; publish if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--tables", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--base", action="append", required=True)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--baselines", type=Path, help="result of baselines.py, for the card")
    parser.add_argument("--proof", type=Path, help="result of scan_proof.py, for the card")
    parser.add_argument("--publish", type=Path)
    options = parser.parse_args(arguments)
    task = read_task(options)
    runs = [run_once(task, base, seed) for base in options.base for seed in range(1, options.seeds + 1)]
    if options.publish:
        publish(options.out / runs[0]["name"], options.publish, card_changes(task, options, runs))


if __name__ == "__main__":
    main(sys.argv[1:])
