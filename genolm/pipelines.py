"""File in, file out: the verbs as the command line and the pages call them.

Every result is written under a temporary name beside its own and renamed at the end, so that a file that
is there is whole. Records are read, worked on and written in groups: memory does not grow with their number.
"""

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from genolm.errors import SequenceError, SettingsError, TableError
from genolm.evaluation import Evaluation, evaluate
from genolm.outputs import SCAN_FILES, atomic_files, check_suffix, rows_to, write_calls, write_scores
from genolm.peaks import call_peaks
from genolm.predict import Predictor, value_columns
from genolm.progress import Progress, ProgressCallback, Ticker
from genolm.record import file_facts, run_record, timestamp, write_json
from genolm.registry import load_bundle
from genolm.saliency import FILLS, LENGTHS, Saliency, perturbation_saliency, saliency_windows
from genolm.scan import Strands, scan_genome, strand_list
from genolm.sequences import Genome, SequenceRecord, open_fasta
from genolm.tables import read_table

GROUP_RECORDS = 4_096
GROUP_BASES = 8_000_000
MAX_SALIENCY_WINDOWS = 5_000_000
SALIENCY_COLUMNS = ("record", "position", "base", "strand", "score", "low", "high")

PathLike = str | os.PathLike[str]
Model = str | os.PathLike[str] | Predictor


@dataclass(frozen=True)
class FileResult:
    """What a pipeline wrote.

    Attributes
    ----------
    files : tuple of Path
    records : int
        Records read.
    seconds : float
        Wall time.
    summary : dict
        Counts as plain data.
    calls : DataFrame or None
        Of a scan: the calls as they stand in ``calls.csv``.
    """

    files: tuple[Path, ...]
    records: int
    seconds: float
    summary: dict[str, Any] = field(default_factory=dict)
    calls: pd.DataFrame | None = None


def open_model(model: Model, **options: Any) -> Predictor:
    """Return a predictor for a model's name or bundle folder; a predictor is passed through.

    ``options`` are those of :class:`genolm.predict.Predictor`.
    """
    return model if isinstance(model, Predictor) else Predictor(load_bundle(model), **options)


def model_facts(predictor: Predictor) -> dict[str, Any]:
    """Return name and sha256 of a predictor's bundle for the record of a run."""
    return {"name": predictor.config.name, "sha256": getattr(predictor.bundle, "sha256", None)}


def record_groups(records: Iterable[SequenceRecord]) -> Iterator[list[SequenceRecord]]:
    """Yield records in groups of at most 4,096 records and, but for a longer single one, 8 Mbp."""
    group: list[SequenceRecord] = []
    bases = 0
    for item in records:
        if group and (len(group) == GROUP_RECORDS or bases + len(item.sequence) > GROUP_BASES):
            yield group
            group, bases = [], 0
        group.append(item)
        bases += len(item.sequence)
    if group:
        yield group


def classify_file(
    fasta: PathLike,
    out: PathLike,
    *,
    model: Model,
    progress: ProgressCallback | None = None,
    **options: Any,
) -> FileResult:
    """Classify every record of a FASTA file as a whole.

    Parameters
    ----------
    fasta, out : path
        ``out`` ends in .csv, .tsv or .json: columns ``record, length, predicted`` and one ``p_<class>``
        (calibrated) per class; JSON is a list of objects with these keys.
    model : str, path or Predictor
    progress : callable, optional
        Told of finished records.
    **options
        ``device``, ``precision``, ``threads``, see :class:`genolm.predict.Predictor`.

    Returns
    -------
    FileResult
        ``summary`` counts the records by predicted class and, as ``other_length``, those that are not as
        long as the model's training window.
    """
    began, out = time.monotonic(), Path(out)
    check_suffix(out)
    predictor = open_model(model, **options)
    columns = ["record", "length", "predicted", *value_columns(predictor.classes, predictor.task)]
    window = predictor.config.window
    counts: dict[str, int] = {}
    other_length = 0
    with open_fasta(fasta, progress=progress) as genome, rows_to(out, columns) as write:
        for name, length in genome.contigs.items():
            predictor.check_length(f"'{name}'", length)
        records = len(genome.contigs)
        ticker = Ticker(progress, records, stage="classifying")
        for group in record_groups(genome.records()):
            found = predictor.predict([item.sequence for item in group], [item.name for item in group])
            for row in found.frame().itertuples(index=False, name=None):
                write(row)
                if predictor.task != "regression":
                    counts[row[2]] = counts.get(row[2], 0) + 1
            other_length += 0 if window is None else int((found.lengths != window.length).sum())
            ticker.advance(len(group))
    summary = {"predicted": counts, "other_length": other_length, "model": model_facts(predictor)}
    return FileResult((out,), records, time.monotonic() - began, summary)


def saliency_file(
    fasta: PathLike,
    out: PathLike,
    *,
    model: Model,
    strand: Strands = "+",
    lengths: Sequence[int] = LENGTHS,
    fills: int = FILLS,
    seed: int = 1,
    class_name: str | None = None,
    max_windows: int | None = MAX_SALIENCY_WINDOWS,
    progress: ProgressCallback | None = None,
    **options: Any,
) -> FileResult:
    """Write the saliency of every record of a FASTA file: CSV, TSV or JSON by suffix.

    Columns ``record, position, base, strand, score, low, high``; positions are 0-based on the record as it
    is in the file, also for the minus strand.

    Parameters
    ----------
    fasta, out : path
    model : str, path or Predictor
    strand : {"+", "-", "both"}
    lengths, fills, seed
        See :func:`genolm.saliency.perturbation_saliency`.
    class_name : str, optional
        The class to explain.
    max_windows : int, optional
        More forward passes than this are refused, with the number that it would take; None never refuses.
    progress : callable, optional
        Told of finished forward passes over all records.
    **options
        ``device``, ``precision``, ``threads``.
    """
    began, out = time.monotonic(), Path(out)
    check_suffix(out)
    signs = strand_list(strand)
    predictor = open_model(model, **options)
    settings = {
        "lengths": tuple(lengths),
        "fills": fills,
        "seed": seed,
        "class_index": None if class_name is None else predictor.class_index(class_name),
    }
    with open_fasta(fasta, progress=progress) as genome, rows_to(out, SALIENCY_COLUMNS) as write:
        total = len(signs) * _saliency_cost(predictor, genome, lengths, fills)
        _check_cost(total, max_windows, genome.name)
        found_all = _saliencies(predictor, genome, signs, settings, _Counter(progress, total))
        for name, found in found_all:
            for row in found.frame(name).itertuples(index=False, name=None):
                write(row)
        records = len(genome.contigs)
    summary = {"windows": total, "model": model_facts(predictor)}
    return FileResult((out,), records, time.monotonic() - began, summary)


def scan_file(
    fasta: PathLike,
    folder: PathLike,
    *,
    model: Model,
    stride: int = 10,
    strand: Strands = "both",
    contigs: Iterable[str] | None = None,
    threshold: float | None = None,
    merge_distance: int | None = None,
    class_name: str | None = None,
    bedgraph: bool = False,
    progress: ProgressCallback | None = None,
    **options: Any,
) -> FileResult:
    """Scan a FASTA file and write calls, score tracks and the record of the run into ``folder``.

    Files: ``calls.csv`` (0-based half-open), ``calls.bed``, ``calls.gff3``, ``scores_plus.bw`` and
    ``scores_minus.bw`` (of the scanned strands), the same as ``.bedgraph`` on request, ``run.json``.

    Parameters
    ----------
    fasta, folder : path
    model : str, path or Predictor
        A classifier with a training window.
    stride, strand, contigs, class_name
        See :func:`genolm.scan.scan_genome`.
    threshold : float, optional
        Calibrated probability from which a window is part of a call; the model's own by default.
    merge_distance : int, optional
        See :func:`genolm.peaks.call_peaks`.
    bedgraph : bool
    progress : callable, optional
        Told of finished windows.
    **options
        ``device``, ``precision``, ``threads``.
    """
    started, began, folder = timestamp(), time.monotonic(), Path(folder)
    predictor = open_model(model, **options)
    threshold = _checked_threshold(predictor, threshold)
    with open_fasta(fasta, progress=progress) as genome:
        result = scan_genome(
            genome,
            predictor,
            stride=stride,
            strands=strand,
            contigs=contigs,
            class_name=class_name,
            progress=progress,
        )
        lengths, sequence_facts = dict(genome.contigs), _sequence_facts(genome)
    calls = call_peaks(
        result.tracks,
        threshold=threshold,
        window_length=result.settings["window"],
        merge_distance=merge_distance,
    )
    record = run_record(
        "scan",
        inputs=[{**file_facts(fasta), **sequence_facts}],
        model=model_facts(predictor),
        settings={**result.settings, "threshold": threshold, "merge_distance": merge_distance},
        compute=predictor.facts,
        started=started,
        seconds=time.monotonic() - began,
        results={**result.summary(), "calls": len(calls)},
    )
    with atomic_files(folder, SCAN_FILES) as partial:
        write_calls(partial, calls, lengths, model=predictor.config.name, label=result.settings["class"])
        write_scores(partial, result.tracks, lengths, bedgraph=bedgraph)
        write_json(partial / "run.json", record)
        names = {path.name for path in partial.iterdir()}
    files = tuple(folder / name for name in SCAN_FILES if name in names)
    return FileResult(files, len(lengths), time.monotonic() - began, record["results"], calls)


def evaluate_table(
    model: Model,
    table: PathLike,
    *,
    split: str | None = None,
    n_boot: int = 1000,
    seed: int = 1,
    progress: ProgressCallback | None = None,
    **options: Any,
) -> Evaluation:
    """Score a model on a labelled table.

    Parameters
    ----------
    model : str, path or Predictor
    table : path
        Columns ``sequence, label`` and optionally ``split, group, name``.
    split : {"train", "valid", "test"}, optional
        Only the rows of this split.
    n_boot, seed : int
        Bootstrap draws of the 95 % intervals, see :mod:`genolm.metrics`.
    progress : callable, optional
        Told of finished sequences.
    **options
        ``device``, ``precision``, ``threads``.
    """
    began = time.monotonic()
    predictor = open_model(model, **options)
    data = read_table(table)
    frame = data.frame if split is None else data.part(split)
    if frame.empty:
        raise TableError(
            f"{Path(table).name} has no rows of split '{split}'; leave the split out or name another."
        )
    figures = evaluate(
        predictor,
        frame["sequence"].tolist(),
        frame["label"].tolist(),
        names=[f"row {number}" for number in frame.index],
        source=Path(table).name,
        n_boot=n_boot,
        seed=seed,
        progress=progress,
    )
    return Evaluation(
        model=model_facts(predictor),
        table=file_facts(table),
        split=split,
        rows=len(frame),
        task=predictor.task,
        classes=predictor.classes,
        threshold=predictor.config.calibration.threshold,
        seed=seed,
        metrics=figures,
        compute=predictor.facts,
        seconds=time.monotonic() - began,
    )


class _Counter:
    """Adds the progress of one piece of work after another to one count."""

    def __init__(self, progress: ProgressCallback | None, total: int) -> None:
        self.progress, self.total, self.done = progress, total, 0
        self.began = time.monotonic()

    def part(self, stage: str) -> ProgressCallback | None:
        """Return the callback of the next piece."""
        return None if self.progress is None else lambda report: self._report(stage, report.done)

    def finish(self, units: int) -> None:
        """Count a whole piece as finished."""
        self.done += units

    def _report(self, stage: str, done: int) -> None:
        self.progress(Progress(stage, self.done + done, self.total, time.monotonic() - self.began))


def _saliencies(
    predictor: Predictor, genome: Genome, signs: Sequence[str], settings: dict[str, Any], counter: _Counter
) -> Iterator[tuple[str, Saliency]]:
    for item in genome.records():
        for sign in signs:
            report = counter.part(f"saliency of {item.name}, strand {sign}")
            found = perturbation_saliency(predictor, item.sequence, strand=sign, progress=report, **settings)
            counter.finish(found.windows)
            yield item.name, found


def _saliency_cost(predictor: Predictor, genome: Genome, lengths: Sequence[int], fills: int) -> int:
    window = None if predictor.config.window is None else predictor.config.window.length
    sizes = genome.contigs.values()
    return sum(saliency_windows(size, lengths=lengths, fills=fills, window=window) for size in sizes)


def _check_cost(cost: int, limit: int | None, name: str) -> None:
    if limit is not None and cost > limit:
        raise SequenceError(
            f"The saliency of {name} would take {cost:,} passes of the model, more than the limit of "
            f"{limit:,}; cut out the region of interest, or use fewer lengths or fills."
        )


def _checked_threshold(predictor: Predictor, threshold: float | None) -> float:
    if predictor.task == "regression":
        raise SettingsError(
            f"Model '{predictor.config.name}' predicts a quantity, not a class; a scan has nothing to call."
        )
    if threshold is None:
        return predictor.config.calibration.threshold
    if not 0 <= threshold <= 1:
        raise SettingsError(f"threshold is {threshold}; it must be a probability from 0 to 1.")
    return threshold


def _sequence_facts(genome: Genome) -> dict[str, Any]:
    summary = genome.summary
    return {"records": summary.records, "bases": summary.bases, "ambiguous": dict(summary.ambiguous)}
