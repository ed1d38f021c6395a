"""Shared by the classifier recipes: one resumable run, its result file, the table of a ladder."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from genolm.classifier_training import Samples, TrainedClassifier, train_classifier
from genolm.config import ClassifierSettings, HeadConfig, TokenizerConfig, Window
from genolm.progress import Progress
from genolm.registry import check_name, load_bundle, save_bundle
from genolm.tokenizer import KmerTokenizer
from genolm.trained import classifier_card, save_classifier, score_classifier
from genolm.training import remove_checkpoint

NAIVE = "naive"


@dataclass(frozen=True)
class Run:
    """One training: ``rung`` is 'naive' or the folder of the language model it starts from."""

    name: str
    rung: str
    settings: ClassifierSettings
    head: HeadConfig
    window: Window
    tokenizer: TokenizerConfig = TokenizerConfig()


def samples_of(table: pd.DataFrame) -> Samples:
    """Return a table's sequences and 0/1 labels."""
    return Samples(list(table["sequence"]), table["label"].astype(int).to_numpy())


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


def run_once(run: Run, parts: Mapping[str, Samples], folder: Path) -> dict[str, Any]:
    """Train, score, write ``<name>.json`` and the model's bundle; a run that is done is read back."""
    check_name(run.name)
    result = folder / f"{run.name}.json"
    if result.exists():
        return json.loads(result.read_text())
    trained = train_run(run, parts, folder)
    scores = {part: score_classifier(trained, parts[part]) for part in ("valid", "test")}
    probabilities = trained.probabilities(parts["test"].sequences)[:, 1]
    np.save(folder / f"{run.name}.test.npy", probabilities.astype(np.float32))
    found = {
        "name": run.name,
        "rung": run.rung,
        "seed": run.settings.seed,
        "scores": scores,
        "best_epoch": trained.history.best_epoch,
        "epochs": trained.history.to_json()["epochs"],
        "seconds": round(trained.history.seconds),
        "calibration": vars(trained.calibration),
        "counts": {part: len(item.sequences) for part, item in parts.items()},
    }
    card = classifier_card(run.name, trained, dict(parts), [], Path(run.rung).name)
    save_classifier(folder / run.name, trained, card, window=run.window)
    result.write_text(json.dumps(found, indent=1))
    remove_checkpoint(checkpoint_of(run, folder))
    test = scores["test"]
    print(f"{run.name}: accuracy {test['accuracy']['value']:.4f} MCC {test['mcc']['value']:.4f}", flush=True)
    return found


def checkpoint_of(run: Run, folder: Path) -> Path:
    """Return the folder of a run's checkpoint, which stays until its result is written."""
    return folder / f"{run.name}.training"


def train_run(run: Run, parts: Mapping[str, Samples], folder: Path) -> TrainedClassifier:
    """Train one run, going on from its checkpoint if it has one."""
    folder.mkdir(parents=True, exist_ok=True)
    base = KmerTokenizer(run.tokenizer) if run.rung == NAIVE else load_bundle(run.rung)
    scratch = checkpoint_of(run, folder)
    return train_classifier(
        parts["train"], parts["valid"], run.head, base, run.settings, checkpoint=scratch, progress=report(run.name)
    )


def seeds_of(run: Run, count: int) -> list[Run]:
    """Return the run once for each of ``count`` seeds."""
    return [
        replace(run, name=f"{run.name}-seed{seed}", settings=replace(run.settings, seed=seed))
        for seed in range(1, count + 1)
    ]


def over_seeds(results: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Return each test metric's mean over seeds as value, with the lowest and highest as low and high."""
    table = {}
    for metric in results[0]["scores"]["test"]:
        values = [result["scores"]["test"][metric]["value"] for result in results]
        table[metric] = {"value": float(np.mean(values)), "low": min(values), "high": max(values)}
    return table


def best_of(results: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return the run with the lowest validation loss."""
    return min(results, key=lambda item: min(epoch["valid"]["loss"] for epoch in item["epochs"]))


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
    return {name.replace("-", " "): result["test"] for name, result in found.items()}
