"""The card of a classifier that was trained on a table, and the report on its test rows."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from genolm.answers import Answers
from genolm.bootstrap import FEW_GROUPS, count_groups, drawn_words
from genolm.cards import FROM_SCRATCH
from genolm.classifier_training import TrainedClassifier
from genolm.known_rows import digest_of
from genolm.model_report import write_report
from genolm.preparation import Preparation
from genolm.seen import joined_digests
from genolm.table_report import TableReport
from genolm.trained import card_baselines, classifier_card


def training_card(
    name: str,
    preparation: Preparation,
    trained: TrainedClassifier,
    report: TableReport,
    *,
    adapted: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the card of a classifier that was trained on a table; ``adapted`` tells of its language model."""
    table = preparation.table
    data = {
        **preparation.facts["table"],
        "records": len(table),
        "bases": int(table.frame["sequence"].str.len().sum()),
    }
    parts = {part: preparation.samples(part) for part in ("train", "valid", "test")}
    bundle, is_kept = preparation.bundle, not preparation.from_scratch
    card = classifier_card(name, trained, parts, [data], bundle.name if is_kept else FROM_SCRATCH)
    if is_kept and bundle.config.kind == "classifier":
        card["settings"]["base_kind"] = bundle.config.kind
        card["training"]["seen"] = joined_digests(card["training"]["seen"], digest_of(bundle))
    plan = preparation.plan
    card["settings"] |= {"split": preparation.split.method, "members": plan.seeds, "slots": plan.slots}
    if adapted is not None:
        card["training"]["adapted"] = dict(adapted)
    card["baselines"] = card_baselines(report)
    judged = parts["test"] if len(parts["test"].sequences) else parts["valid"]
    if (drawn := count_groups(judged.drawn_over)) < min(FEW_GROUPS, len(judged.sequences)):
        card["limits"].append(drawn_words(drawn, len(judged.sequences)))
    card["limits"] += [preparation.known] if preparation.known else []
    card["limits"] += [item.sentence for item in report.warnings if item.level in ("stop", "warn")]
    return card


def _answers(preparation: Preparation, trained: TrainedClassifier, part: str) -> Answers:
    rows, samples = preparation.rows(part), preparation.samples(part)
    names, numbers = preparation.table.names, preparation.table.frame.index
    return Answers(
        head=trained.head,
        rows=tuple(int(numbers[row]) for row in rows),
        names=tuple(names[row] for row in rows),
        sequences=tuple(samples.sequences),
        labels=np.asarray(samples.labels),
        logits=trained.logits(samples.sequences),
        calibration=trained.calibration,
        groups=samples.related,
    )


def write_training_report(
    folder: Path,
    preparation: Preparation,
    trained: TrainedClassifier,
    report: TableReport,
    *,
    card: Mapping[str, Any],
    record: Mapping[str, Any],
    baselines: Mapping[str, np.ndarray],
) -> None:
    """Write the report on the test rows, or on validation rows where there are none."""
    valid = _answers(preparation, trained, "valid")
    test = _answers(preparation, trained, "test") if len(preparation.rows("test")) else valid
    write_report(
        folder,
        card["title"],
        test,
        valid=valid,
        card=card,
        record=record,
        table=report.to_json(),
        baselines=baselines,
        extra=record["results"],
    )


def paired_baselines(
    preparation: Preparation, report: TableReport, predictions: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Return what counts of short words say of the judged rows, to be compared row by row.

    Nothing where only a sample of the rows was scored.
    """
    judged = preparation.rows("test" if len(preparation.rows("test")) else "valid")
    named = {item.key: item.name for item in report.shortcuts}
    found = predictions["kmers"]
    return {named["kmers"]: found} if "kmers" in named and len(found) == len(judged) else {}
