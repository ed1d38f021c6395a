"""File in, file out: the verbs as the command line and the pages call them.

Every result is written under a temporary name beside its own and renamed at the end, so that a file that
is there is whole. Records are read, worked on and written in groups: memory does not grow with their number.

What is finished of a long run is kept in a hidden folder, ``.<file>.partial`` beside the result or, of a
scan, ``.scan.partial`` in its folder. The same call after an end of any kind goes on from there, and the result
is byte for byte that of an uninterrupted run on the same device; the folder is removed at the end. With another
input, model or setting that matters, the work begins anew.
"""

import os
import secrets
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from genolm.errors import SettingsError, TableError
from genolm.evaluation import Evaluation, evaluate
from genolm.file_work import SALIENCY_COLUMNS, STRIP_COLUMNS, Classification, FileSaliency
from genolm.outputs import SCAN_FILES, atomic_files, check_suffix, rows_to, write_calls, write_scores
from genolm.partial import FinishedParts, kept_parts
from genolm.peaks import call_peaks
from genolm.predict import Predictor, value_columns
from genolm.progress import ProgressCallback
from genolm.record import code_facts, file_facts, write_json
from genolm.recording import Recording, model_facts
from genolm.registry import load_bundle
from genolm.saliency import FILLS, LENGTHS
from genolm.scan import scan_genome
from genolm.scan_plan import Strands, strand_list
from genolm.sequences import Genome, open_fasta
from genolm.tables import read_table

MAX_SALIENCY_WINDOWS = 5_000_000
SCAN_PARTIAL = ".scan.partial"
_SCAN_WORK = ("stride", "strand", "contigs", "class_name")

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
    out = Path(out)
    check_suffix(out)
    run = Recording("classify", fasta=fasta, out=out, model=model)
    predictor = open_model(model, **options)
    columns = ["record", "length", "predicted", *value_columns(predictor.classes, predictor.task)]
    window = predictor.config.window
    counts: dict[str, int] = {}
    other_length = 0
    with open_fasta(fasta, progress=progress) as genome:
        work, source, records = Classification(genome, predictor), file_facts(fasta), len(genome.contigs)
        work.check()
        with kept_parts(_partial_folder(out), _work("classify", source, predictor, {})) as parts:
            work.run(parts, progress)
            with rows_to(out, columns) as write:
                for found in work.predictions(parts):
                    for row in found.frame().itertuples(index=False, name=None):
                        write(row)
                        if predictor.task != "regression":
                            counts[row[2]] = counts.get(row[2], 0) + 1
                    other_length += 0 if window is None else int((found.lengths != window.length).sum())
    summary = {"predicted": counts, "other_length": other_length, "model": model_facts(predictor)}
    run.write_beside(out, predictor, inputs=[source], results={"records": records, **summary})
    return FileResult((out,), records, run.seconds, summary)


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
    site: int | None = None,
    strips: bool = False,
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
    site : int, optional
        0-based position of a site such as the TSS, the same in every record; the model's window is aligned
        with it.
    strips : bool
        Write the loss of each replaced stretch too, see :func:`strips_path`: columns ``record, strand,
        length, start, loss``.
    max_windows : int, optional
        More forward passes than this are refused, with the number that it would take; None never refuses.
    progress : callable, optional
        Told of finished forward passes over all records.
    **options
        ``device``, ``precision``, ``threads``.
    """
    out = Path(out)
    check_suffix(out)
    signs = strand_list(strand)
    asked = {"strand": strand, "fills": fills, "seed": seed, "class_name": class_name}
    asked |= {"site": site, "strips": strips}
    # The lengths are no option of the command: a run with others cannot be said as one.
    said = tuple(lengths) == tuple(LENGTHS)
    run = Recording("saliency", said=said, fasta=fasta, out=out, model=model, **asked)
    predictor = open_model(model, **options)
    index = None if class_name is None else predictor.class_index(class_name)
    settings = {"lengths": tuple(lengths), "fills": fills, "seed": seed, "class_index": index, "anchor": site}
    with open_fasta(fasta, progress=progress) as genome:
        work = FileSaliency(genome, predictor, tuple(signs), settings)
        work.check(max_windows)
        source = file_facts(fasta)
        kept = _work("saliency", source, predictor, {**settings, "strands": signs})
        with kept_parts(_partial_folder(out), kept) as parts:
            work.run(parts, progress)
            files = _write_saliency(out, work, parts, strips=strips)
        summary = {"windows": work.windows, "model": model_facts(predictor)}
        records = len(genome.contigs)
    results = {"records": records, **summary}
    run.write_beside(out, predictor, inputs=[source], settings={**asked, "lengths": lengths}, results=results)
    return FileResult(files, records, run.seconds, summary)


def strips_path(out: PathLike) -> Path:
    """Return where the losses of single stretches lie beside the saliency ``out``."""
    return Path(out).with_suffix(f".strips{Path(out).suffix}")


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
    folder, contigs = Path(folder), None if contigs is None else list(contigs)
    predictor = open_model(model, **options)
    threshold = _checked_threshold(predictor, threshold)
    asked = {"stride": stride, "strand": strand, "contigs": contigs, "threshold": threshold}
    asked |= {"bedgraph": bedgraph, "class_name": class_name, "merge_distance": merge_distance, "precision": predictor.precision}
    run = Recording("scan", fasta=fasta, out=folder, model=model, **asked)
    source = file_facts(fasta)
    kept = _work("scan", source, predictor, {key: asked[key] for key in _SCAN_WORK})
    with (
        open_fasta(fasta, progress=progress) as genome,
        kept_parts(folder / SCAN_PARTIAL, kept) as parts,
    ):
        result = scan_genome(
            genome,
            predictor,
            stride=stride,
            strands=strand,
            contigs=contigs,
            class_name=class_name,
            parts=parts,
            progress=progress,
        )
        calls = call_peaks(
            result.tracks,
            threshold=threshold,
            window_length=result.settings["window"],
            merge_distance=merge_distance,
        )
        lengths = genome.contigs
        with atomic_files(folder, SCAN_FILES) as draft:
            names = {"model": predictor.config.name, "class_name": result.settings["class"]}
            write_calls(draft, calls, lengths, **names)
            write_scores(draft, result.tracks, lengths, bedgraph=bedgraph)
            record = run.record(
                predictor,
                inputs=[{**source, **_sequence_facts(genome)}],
                settings={**result.settings, "threshold": threshold, "merge_distance": merge_distance},
                results={**result.summary(), "calls": len(calls)},
                outputs=sorted(draft.iterdir()),
            )
            write_json(draft / "run.json", record)
            written = {path.name for path in draft.iterdir()}
    files = tuple(folder / name for name in SCAN_FILES if name in written)
    return FileResult(files, len(lengths), run.seconds, record["results"], calls)


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


def _write_saliency(
    out: Path, work: FileSaliency, parts: FinishedParts, *, strips: bool
) -> tuple[Path, ...]:
    files = (out, strips_path(out)) if strips else (out,)
    with ExitStack() as stack:
        write, *more = [
            stack.enter_context(rows_to(path, columns))
            for path, columns in zip(files, (SALIENCY_COLUMNS, STRIP_COLUMNS), strict=False)
        ]
        for task, arrays in work.found(parts):
            for row in work.rows(task, arrays):
                write(row)
            for row in work.strip_rows(task, arrays) if more else ():
                more[0](row)
    return files


def _partial_folder(out: Path) -> Path:
    return out.with_name(f".{out.name}.partial")


def _work(
    verb: str, source: Mapping[str, Any], predictor: Predictor, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Return everything that decides the numbers of a run: what tells its parts from those of another."""
    return {
        "verb": verb,
        "input": source["sha256"],
        # A model in memory has no hash: its parts are never found again.
        "model": model_facts(predictor)["sha256"] or secrets.token_hex(16),
        "config": asdict(predictor.config),
        "compute": [str(predictor.device), predictor.precision],
        "code": code_facts(),
        "settings": settings,
    }


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
