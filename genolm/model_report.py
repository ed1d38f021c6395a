"""The report of a trained model: a folder that says how good it is, and opens again without the model.

Format 1 of ``report.json``: ``name, title, created, task, classes, slots, calibration, n_boot, main_metric``;
``judged_by`` ("test", or "valid" where there were no test rows); ``splits``: what was measured on the rows of
each (see :func:`genolm.report_data.measure`); ``baselines``; ``reduction``, ``extra`` and ``card`` as given.
"""

import csv
import gzip
import io
import json
import os
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from genolm import report_data
from genolm.answers import Answers
from genolm.bundles import BUNDLE_FILES, CARD_PAGE, WEIGHTS_FILE, read_bundle, read_description
from genolm.cards import headline_metrics
from genolm.config import to_json
from genolm.errors import BundleError, SettingsError
from genolm.labels import SEPARATOR, answer_digits
from genolm.methods_text import methods_text
from genolm.outputs import atomic_files
from genolm.record import plain, timestamp, write_json
from genolm.report_figures import write_figures
from genolm.workspace import atomic_write

__all__ = ["Answers", "is_model_of", "pack_report", "read_report", "write_report"]

REPORT_VERSION = 1
REPORT_FILE, ANSWERS_FILE, ROWS_FILE = "report.json", "predictions.csv", "test_rows.csv.gz"
METHODS_FILE, RECORD_FILE, TABLE_FILE, FIGURES = "methods.md", "run.json", "table.json", "figures"
FILES = (ANSWERS_FILE, ROWS_FILE, METHODS_FILE, RECORD_FILE, TABLE_FILE, FIGURES, REPORT_FILE)
WHAT_THEY_ARE = {
    "model/": "The model itself. Import this folder with `genolm models import`, or see its card.md.",
    CARD_PAGE: "The model's card: what it is for, how good it is, what it does not know.",
    f"report/{REPORT_FILE}": "Every number of the report, for programs.",
    f"report/{ANSWERS_FILE}": "The answer to each row that the model did not learn from, with probabilities.",
    f"report/{ROWS_FILE}": "The test rows themselves, to compare other models on (`genolm compare`).",
    f"report/{FIGURES}/": "The figures; open them in a browser. Their camera button saves SVG.",
    f"report/{METHODS_FILE}": "A paragraph on the methods for a paper, with references.",
    f"report/{RECORD_FILE}": "The record of the run: data and model with hashes, settings, versions, times.",
    f"report/{TABLE_FILE}": "What was found in the table before the training.",
}


def write_report(
    folder: str | os.PathLike[str],
    name: str,
    test: Answers,
    *,
    valid: Answers | None = None,
    card: Mapping[str, Any],
    record: Mapping[str, Any],
    table: Mapping[str, Any] | None = None,
    baselines: Mapping[str, np.ndarray] | None = None,
    valid_baselines: Mapping[str, np.ndarray] | None = None,
    extra: Mapping[str, Any] | None = None,
    n_boot: int = 1000,
    seed: int = 1,
) -> tuple[Path, ...]:
    """Write the report of a trained model; its files take the places of those of an earlier one.

    Parameters
    ----------
    folder : path
    name : str
        Name of the model.
    test : Answers
        On the rows that the model is judged by. Where there are no test rows, give the same as ``valid``;
        the report then says that its scores are too good.
    valid : Answers, optional
        On the rows that temperature and threshold were fitted on.
    card, record : mapping
        The model's card and the record of the run.
    table : mapping, optional
        The report on the table, as JSON data.
    baselines : mapping of str to np.ndarray, optional
        Probabilities on the test rows. Scores of baselines on the card are told too, without a comparison.
    valid_baselines : mapping of str to np.ndarray, optional
        Probabilities of the same baselines on the rows of ``valid``, to pick their thresholds by.
    extra : mapping, optional
        More of the run; ``reduction`` is a list of ``{"rows": int, "scores": metrics}``, fewest rows first.
    n_boot, seed : int
        Bootstrap draws of the 95 % intervals.

    Returns
    -------
    tuple of Path
        The files; ``figures/`` holds those of the figures.
    """
    if not len(test):
        raise SettingsError(f"There are no rows to judge the model '{name}' by; give its validation rows.")
    options = {"n_boot": n_boot, "seed": seed}
    judged_by = "valid" if test is valid else "test"
    splits = {judged_by: report_data.measure(test, **options)}
    answers = [test.frame(judged_by)]
    if valid is not None and valid is not test and len(valid):
        splits["valid"] = report_data.measure_validation(valid, **options)
        answers.append(valid.frame("valid"))
    measured = report_data.measure_baselines(
        test, baselines or {}, valid=valid, valid_baselines=valid_baselines, **options
    )
    report = plain(
        {
            **_described(name, test, card, extra or {}),
            **options,
            "judged_by": judged_by,
            "main_metric": _main_metric(splits[judged_by]["metrics"], test.task),
            "splits": splits,
            "baselines": {**_told(card, measured), **measured},
        }
    )
    folder = Path(folder)
    with atomic_files(folder, FILES) as work:
        form = f"%.{answer_digits(test.task)}g"
        pd.concat(answers).to_csv(work / ANSWERS_FILE, index=False, float_format=form, lineterminator="\n")
        _write_rows(work / ROWS_FILE, test, judged_by)
        (work / METHODS_FILE).write_text(methods_text(report, record=record, table=table), encoding="utf-8")
        write_json(work / RECORD_FILE, record)
        if table is not None:
            write_json(work / TABLE_FILE, table)
        write_figures(work / FIGURES, report)
        write_json(work / REPORT_FILE, report)
        # A folder cannot be moved onto one that is not empty.
        shutil.rmtree(folder / FIGURES, ignore_errors=True)
    return tuple(folder / item for item in FILES if (folder / item).exists())


def read_report(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """Return what ``report.json`` in a folder says.

    Raises
    ------
    SettingsError
        No report, damaged, or of a newer format.
    """
    path = Path(folder) / REPORT_FILE
    if not path.is_file():
        raise SettingsError(f"There is no report in {folder}: it has no {REPORT_FILE}.")
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        version = int(report["format_version"])
    except (ValueError, KeyError, TypeError) as error:
        raise SettingsError(f"{path} is damaged or is no report of genolm: {error}.") from error
    if version > REPORT_VERSION:
        raise SettingsError(
            f"{path} has format {version}; this genolm reads up to {REPORT_VERSION}. Update genolm for it."
        )
    return report


def is_model_of(folder: str | os.PathLike[str], bundle_path: str | os.PathLike[str]) -> bool:
    """Return whether a report can be of this model: its run record does not tell of other weights.

    Parameters
    ----------
    folder : path
        Of the report.
    bundle_path : path
        The model's bundle, a folder; what its configuration says of the weights is believed.
    """
    told = _told_weights(Path(folder))
    return not told or told == read_description(Path(bundle_path)).weights["sha256"]


def pack_report(
    folder: str | os.PathLike[str], bundle_path: str | os.PathLike[str], zip_path: str | os.PathLike[str]
) -> Path:
    """Write model, card and report as one zip, whole or not at all, and return its path.

    Parameters
    ----------
    folder : path
        Of the report.
    bundle_path : path
        The model's bundle, a folder or zip; it is checked first.
    zip_path : path
        Its folder must exist.

    Raises
    ------
    SettingsError
        No report there; see :func:`read_report`.
    BundleError
        No whole bundle, no folder for the zip, or the report is of other weights than those of the bundle.
    """
    folder, target = Path(folder), Path(zip_path)
    report, bundle = read_report(folder), read_bundle(bundle_path)
    told = _told_weights(folder)
    if told not in ("", bundle.sha256):
        raise BundleError(
            f"The model {bundle.name} is not the one that the report is of; it was replaced since. The weights have "
            f"SHA-256 {bundle.sha256[:12]}…, those of the report {told[:12]}…. Nothing was packed."
        )
    if not target.parent.is_dir():
        raise BundleError(f"There is no folder {target.parent} to write {target.name} into.")
    inner = {f"model/{bundle.name}/{item}": bundle.path / item for item in BUNDLE_FILES}
    inner[CARD_PAGE] = bundle.path / CARD_PAGE
    kept = sorted(path for path in folder.rglob("*") if _belongs(path.relative_to(folder)))
    inner |= {f"report/{path.relative_to(folder).as_posix()}": path for path in kept}
    inner = {name: path for name, path in inner.items() if path.is_file()}
    with atomic_write(target) as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{report['name']}/README.txt", _readme(report, inner))
        for name, path in inner.items():
            archive.write(path, f"{report['name']}/{name}")
    return target


def _told_weights(folder: Path) -> str:
    """Return the SHA-256 of the weights that a report is of, "" where its run record does not tell it."""
    try:
        outputs = json.loads((folder / RECORD_FILE).read_text(encoding="utf-8"))["outputs"]
        return next((str(item["sha256"]) for item in outputs if item["name"] == WEIGHTS_FILE), "")
    except (OSError, ValueError, LookupError, TypeError):
        return ""


def _described(
    name: str, test: Answers, card: Mapping[str, Any], extra: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "format_version": REPORT_VERSION,
        "name": name,
        "title": card.get("title") or name,
        "created": timestamp(),
        "task": test.task,
        "classes": test.classes,
        "slots": test.head.slots,
        "calibration": to_json(test.calibration),
        "reduction": extra.get("reduction") or [],
        "extra": {key: value for key, value in extra.items() if key != "reduction"},
        "card": _without_digest(card),
    }


def _without_digest(card: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a card without the digest of the training sequences, which is large and stays in the bundle."""
    training = card.get("training")
    if not isinstance(training, Mapping) or "seen" not in training:
        return card
    return {**card, "training": {key: value for key, value in training.items() if key != "seen"}}


def _main_metric(scores: Mapping[str, Any], task: str) -> str:
    known = [key for key in headline_metrics(task) if (scores.get(key) or {}).get("value") is not None]
    return known[0] if known else next(iter(scores))


def _told(card: Mapping[str, Any], measured: Mapping[str, Any]) -> dict[str, Any]:
    """Return the baselines on the card that were not measured here."""
    found = card.get("baselines") or {}
    return {
        name: {"metrics": {key: _whole(item) for key, item in scores.items()}}
        for name, scores in found.items()
        if name not in measured
    }


def _whole(item: Any) -> dict[str, Any]:
    return dict(item) if isinstance(item, Mapping) else {"value": item, "low": None, "high": None}


def _write_rows(path: Path, answers: Answers, split: str) -> None:
    """Write the rows as a table that :func:`genolm.tables.read_table` reads; same rows, same bytes."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["sequence", "label", "split", "name"])
    columns = (answers.sequences, answers.words(answers.labels), answers.names)
    for sequence, label, name in zip(*columns, strict=True):
        rows.writerow([sequence, label or SEPARATOR, split, name])
    path.write_bytes(gzip.compress(text.getvalue().encode(), mtime=0))


def _belongs(path: Path) -> bool:
    return path.as_posix() in FILES or path.parts[0] == FIGURES


def _readme(report: Mapping[str, Any], inner: Mapping[str, Path]) -> str:
    known = {
        name: words
        for name, words in WHAT_THEY_ARE.items()
        if any(item == name or (name.endswith("/") and item.startswith(name)) for item in inner)
    }
    width = max(map(len, known))
    lines = [f"{name.ljust(width)}  {words}" for name, words in known.items()]
    title = f"{report['title']} ({report['name']}), made with genolm, report of {report['created']}"
    return "\n".join([title, "", *lines, ""])
