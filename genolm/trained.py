"""What is said of a trained classifier, and how it becomes a bundle."""

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import genolm.compute  # noqa: F401  sets the OpenMP wait policy before torch is loaded

from genolm.cards import HEADLINE_METRICS, headline_metrics
from genolm.classifier import Ensemble
from genolm.classifier_training import Samples, TrainedClassifier
from genolm.config import HeadConfig, Window
from genolm.metrics import as_json, score
from genolm.registry import BundleConfig, save_bundle
from genolm.seen import seen_digest
from genolm.table_report import TableReport


def common_window(sequences: Sequence[str]) -> Window | None:
    """Return the window of sequences that all have one length, else None."""
    lengths = {len(item) for item in sequences}
    return Window(lengths.pop()) if len(lengths) == 1 else None


def score_classifier(trained: TrainedClassifier, samples: Samples) -> dict[str, dict[str, float]]:
    """Return each metric's value, low and high on labelled sequences; related ones are drawn together."""
    probabilities, threshold = trained.probabilities(samples.sequences), trained.calibration.threshold
    options = {"threshold": threshold, "groups": samples.drawn_over}
    return as_json(score(trained.head.task, probabilities, samples.labels, **options))


def classifier_card(
    title: str,
    trained: TrainedClassifier,
    parts: Mapping[str, Samples],
    data: list[dict[str, Any]],
    base: str,
) -> dict[str, Any]:
    """Return the card of a classifier, with metrics on its validation and test sequences.

    ``training.seen`` is the digest of its training and validation sequences, see :mod:`genolm.seen`.
    """
    scored = {
        part: score_classifier(trained, parts[part])
        for part in ("valid", "test")
        if part in parts and len(parts[part].sequences)
    }
    return {
        "title": title,
        "purpose": _purpose(trained.head),
        "date": time.strftime("%Y-%m-%d"),
        "licence": "",
        "data": data,
        "recipe": "genolm finetune",
        "settings": {**trained.settings, "base": base},
        "training": {
            "seconds": round(trained.history.seconds, 1),
            "best_epoch": trained.history.best_epoch,
            "device": genolm.compute.device_name(),
            "epochs": trained.history.to_json()["epochs"],
            "counts": {part: len(samples.sequences) for part, samples in parts.items()},
            "seen": seen_digest(_learned_from(parts)),
        },
        "network": _network(trained),
        "metrics": scored,
        **own_headline(trained.head.task),
        "baselines": {},
        "limits": [] if "test" in scored else ["No test sequences: the figures are on validation alone."],
    }


def own_headline(task: str) -> dict[str, str]:
    """Return the card's entry for the metric to show first, where it is not the usual one."""
    first = headline_metrics(task)[0]
    return {} if first == HEADLINE_METRICS[0] else {"headline": first}


def _learned_from(parts: Mapping[str, Samples]) -> Iterator[str]:
    for part in ("train", "valid"):
        if part in parts:
            yield from parts[part].sequences


def _network(trained: TrainedClassifier) -> dict[str, int]:
    """Return tokens and sizes, for who has the card without the bundle's configuration."""
    tokens, sizes = trained.tokenizer.config, trained.encoder_config
    return {
        "k": tokens.k,
        "stride": tokens.stride,
        "embedding": sizes.emb,
        "hidden": sizes.hid,
        "layers": sizes.layers,
    }


def _purpose(head: HeadConfig) -> str:
    names = list(head.classes)
    if head.task == "regression":
        return f"Predicts {' and '.join(names)}."
    if head.task == "multilabel":
        return f"Says which of {', '.join(names)} a sequence has."
    if len(names) > 6:
        return f"Tells {len(names)} classes apart, such as {', '.join(names[:3])}."
    return f"Tells {' from '.join([', '.join(names[:-1]), names[-1]])}."


def card_baselines(report: TableReport) -> dict[str, dict[str, Any]]:
    """Return the scores of a table's short cuts as a card's baselines: name -> metric -> value, low, high."""
    return {item.name: dict(item.scores) for item in report.shortcuts}


def save_classifier(
    folder: Path,
    trained: TrainedClassifier,
    card: Mapping[str, Any],
    *,
    sequences: Sequence[str] = (),
    window: Window | None = None,
    streamed: bool = False,
) -> None:
    """Write a classifier as a bundle named after its folder.

    ``window``, or the common length of ``sequences``, is the piece of DNA that it reads; ``streamed`` says that
    it was trained for streamed scans.
    """
    members = len(trained.model.members) if isinstance(trained.model, Ensemble) else 1
    config = BundleConfig(
        name=folder.name,
        kind="classifier",
        title=card["title"],
        purpose=card["purpose"],
        tokenizer=trained.tokenizer.config,
        encoder=trained.encoder_config,
        head=trained.head,
        window=window or (common_window(sequences) if sequences else None),
        calibration=trained.calibration,
        members=members,
        mirrored=bool(trained.settings.get("mirrored")),
        framed=bool(trained.settings.get("framed")),
        streamed=streamed,
    )
    save_bundle(folder, config, trained.model.state_dict(), card)
