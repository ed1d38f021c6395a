"""File in, file out: the verbs as the command line and the pages call them.

Every result is written under a temporary name beside its own and renamed at the end, so that a file that
is there is whole. Records are read, worked on and written in groups: memory does not grow with their number.

What is finished of a long run is kept in a hidden folder, ``.<file>.partial`` beside the result or, of a
scan, ``.scan.partial`` in its folder. The same call after an end of any kind goes on from there, and the result
is byte for byte that of an uninterrupted run on the same device; the folder is removed at the end. With another
input, model or setting that matters, the work begins anew. Two runs never write the same result at once: the second
is refused. An input that is changed while it is read ends the run.
"""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from genolm.bootstrap import check_draws, count_groups
from genolm.evaluation import Evaluation, evaluate, rows_to_judge, thin_rows
from genolm.file_result import FileResult, Model, Source, open_model, work_facts
from genolm.file_work import SALIENCY_ARRAYS, STRIP_COLUMNS, Classification, FileSaliency
from genolm.genome_files import open_genome
from genolm.job_files import read_record
from genolm.known_rows import known_rows
from genolm.labels import answer_digits
from genolm.orientation import ReadStrand
from genolm.outputs import check_suffix, remove_drafts, rows_to
from genolm.own_files import check_inputs_stay
from genolm.partial import FinishedParts, kept_parts, sole_writer
from genolm.prediction import not_judged_words, value_columns
from genolm.progress import ProgressCallback
from genolm.record import RECORD_ENDING, source_facts
from genolm.recording import Recording, model_facts
from genolm.saliency import FILLS, LENGTHS
from genolm.scan_pipeline import scan_file
from genolm.scan_plan import Strands, strand_list
from genolm.table_split import drawn_groups, set_aside

__all__ = [
    "FileResult", "classify_file", "evaluate_table", "open_model", "saliency_file", "scan_file", "strips_path",
]  # fmt: skip

MAX_SALIENCY_WINDOWS = 5_000_000

PathLike = str | os.PathLike[str]


def classify_file(
    fasta: PathLike,
    out: PathLike,
    *,
    model: Model,
    strand: ReadStrand = "+",
    progress: ProgressCallback | None = None,
    **options: Any,
) -> FileResult:
    """Classify every record of a FASTA file as a whole.

    Parameters
    ----------
    fasta, out : path
        ``out`` ends in .csv, .tsv or .json: columns ``record, length, predicted`` and one ``p_<class>``
        (calibrated) per class; JSON is a list of objects with these keys. A record with too few known bases
        is ``not judged`` and has no probabilities (JSON: null), see :func:`genolm.prediction.least_known`.
    model : str, path or Predictor
    strand : {"+", "-", "either"}
        ``-`` reads reverse complements; ``either``, for records of unknown strand, reads both and keeps the surer
        answer, of two classes with a probability that counts both, see
        :func:`genolm.orientation.oriented_logits`. A column ``strand`` then follows the length.
    progress : callable, optional
        Told of finished records.
    **options
        ``device``, ``precision``, ``threads``, see :class:`genolm.predict.Predictor`.

    Returns
    -------
    FileResult
        ``summary`` counts the records by predicted class, as ``other_length`` those that are not as long as
        the model's training window, of ``window_length`` bp (None without one), and as ``minus`` those read on the
        minus strand; ``warning`` says which records are not judged, if any.
    """
    out = Path(out)
    check_suffix(out)
    predictor = open_model(model, **options)
    precision = predictor.precision
    run = Recording("classify", fasta=fasta, out=out, model=model, strand=strand, precision=precision)
    told = [] if strand == "+" else ["strand"]
    columns = ["record", "length", *told, "predicted", *value_columns(predictor.classes, predictor.task)]
    window, settings = predictor.config.window, {"strand": strand}
    length = None if window is None else window.length
    counts: dict[str, int] = {}
    other_length, minus, unknown = 0, 0, []
    source = Source(fasta)
    with ExitStack() as stack:
        genome = stack.enter_context(open_genome(fasta, progress=progress))
        work, records = Classification(genome, predictor, strand), len(genome.contigs)
        work.check()
        facts = work_facts("classify", source.facts, predictor, settings)
        check_inputs_stay([out], [fasta])
        stack.enter_context(_alone(out))
        with kept_parts(_partial_folder(out), facts, check=source.check) as parts:
            work.run(parts, progress)
            with rows_to(out, columns, digits=answer_digits(predictor.task)) as write:
                for found in work.predictions(parts):
                    unknown += [found.names[row] for row in np.flatnonzero(~found.judged)]
                    for row in found.frame().itertuples(index=False, name=None):
                        write(None if value != value else value for value in row)
                    for answer in found.predicted if predictor.task != "regression" else ():
                        counts[answer] = counts.get(answer, 0) + 1
                    minus += (found.strands or ()).count("-")
                    other_length += 0 if length is None else int((found.lengths != length).sum())
                parts.check()
        summary = {"predicted": counts, "other_length": other_length, "minus": minus, "model": model_facts(predictor)}
        if unknown:
            summary["warning"] = not_judged_words(unknown, len(unknown), records, window)
        results = {"records": records, **summary}
        run.write_beside(out, predictor, inputs=[source.facts], settings=settings, results=results)
    return FileResult((out,), records, run.seconds, summary | {"window_length": length})


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
    is in the file, also for the minus strand. A column ``class`` follows where the model has several
    classes to choose from, and where it is not the positive one of two. A record with too few known bases to be
    judged, as is each window of it, has no scores (JSON: null), and its class is ``not judged``.

    Parameters
    ----------
    fasta, out : path
        ``out`` ends in .csv, .tsv or .json.
    model : str, path or Predictor
    strand : {"+", "-", "both"}
    lengths, fills, seed
        See :func:`genolm.saliency.perturbation_saliency`.
    class_name : str, optional
        The class to explain; by default the positive one of a binary model. Of several classes it is, for each
        strand of each record, the one that :func:`classify_file` gives it, else that of its surest window, see
        :func:`genolm.saliency.perturbation_saliency`.
    site : int, optional
        0-based position of a site such as the TSS, the same in every record; the model's window is aligned
        with it.
    strips : bool
        Write the loss of each replaced stretch too, see :func:`strips_path`: columns ``record, strand,
        length, start, loss``. Without it, such a file of an earlier run is removed.
    max_windows : int, optional
        More forward passes than this are refused, with the number that it would take; None never refuses.
    progress : callable, optional
        Told of finished forward passes over all records.
    **options
        ``device``, ``precision``, ``threads``.

    Returns
    -------
    FileResult
        ``summary`` counts the passes of the model as ``windows`` and, as ``explained``, strands of records by
        the class that was explained; ``warning`` says which records are not judged, if any.
    """
    out = Path(out)
    check_suffix(out)
    signs = strand_list(strand)
    asked = {"strand": strand, "fills": fills, "seed": seed, "class_name": class_name}
    asked |= {"site": site, "strips": strips}
    # The lengths are no option of the command: a run with others cannot be said as one.
    lengths = tuple(lengths)
    said = lengths == tuple(LENGTHS)
    run = Recording("saliency", said=said, fasta=fasta, out=out, model=model, **asked)
    predictor = open_model(model, **options)
    index = None if class_name is None else predictor.class_index(class_name)
    settings = {"lengths": lengths, "fills": fills, "seed": seed, "class_index": index, "anchor": site}
    source = Source(fasta)
    with ExitStack() as stack:
        genome = stack.enter_context(open_genome(fasta, progress=progress))
        work = FileSaliency(genome, predictor, tuple(signs), settings)
        work.check(max_windows)
        kept = {**settings, "strands": signs, "kept": SALIENCY_ARRAYS}
        facts = work_facts("saliency", source.facts, predictor, kept)
        check_inputs_stay([out, strips_path(out)], [fasta])
        stack.enter_context(_alone(out, strips_path(out)))
        with kept_parts(_partial_folder(out), facts, check=source.check) as parts:
            work.run(parts, progress)
            files, counts = _write_saliency(out, work, parts, strips=strips)
        summary = {**counts, "model": model_facts(predictor)}
        records = len(genome.contigs)
        settings, results = {**asked, "lengths": lengths}, {"records": records, **summary}
        run.write_beside(out, predictor, inputs=[source.facts], settings=settings, results=results)
    return FileResult(files, records, run.seconds, summary)


def strips_path(out: PathLike) -> Path:
    """Return where the losses of single stretches lie beside the saliency ``out``."""
    return Path(out).with_suffix(f".strips{Path(out).suffix}")


def evaluate_table(
    model: Model,
    table: PathLike,
    *,
    split: str | None = None,
    columns: Sequence[tuple[str, str]] = (),
    skip_bad_rows: bool = False,
    n_boot: int = 1000,
    seed: int = 1,
    progress: ProgressCallback | None = None,
    **options: Any,
) -> Evaluation:
    """Score a model on a labelled table; rows that resemble one another or share a group are drawn together.

    Parameters
    ----------
    model : str, path or Predictor
    table : path
        Columns ``sequence, label`` and optionally ``split, group, name``, or a folder with one FASTA file per class.
        Rows without a label are left out, and told of.
    split : {"train", "valid", "test"}, optional
        Only the rows of this split.
    columns : sequence of (str, str)
        Our column and what the file calls it.
    skip_bad_rows : bool
        Leave out rows that cannot be used, and tell of them.
    n_boot, seed : int
        Bootstrap draws of the 95 % intervals, see :mod:`genolm.metrics`.
    progress : callable, optional
        Told of finished sequences.
    **options
        ``device``, ``precision``, ``threads``.
    """
    began = time.monotonic()
    check_draws(n_boot)
    predictor = open_model(model, **options)
    frame, left_out = rows_to_judge(table, split=split, columns=columns, skip_bad_rows=skip_bad_rows)
    facts, sequences = source_facts(table), frame["sequence"].tolist()
    groups = drawn_groups(sequences, frame.get("group"))
    figures = evaluate(
        predictor,
        sequences,
        frame["label"].tolist(),
        names=[f"row {number}" for number in frame.index],
        source=Path(table).name,
        groups=groups,
        n_boot=n_boot,
        seed=seed,
        progress=progress,
    )
    return Evaluation(
        model=model_facts(predictor),
        table=facts,
        split=split,
        rows=len(frame),
        task=predictor.task,
        classes=predictor.classes,
        threshold=predictor.config.calibration.threshold,
        seed=seed,
        drawn=count_groups(groups),
        metrics=figures,
        compute=predictor.facts,
        seconds=time.monotonic() - began,
        warnings=(
            *left_out,
            *known_rows(predictor.bundle, facts, split, sequences),
            *thin_rows(frame["label"].tolist(), predictor.task),
            *set_aside(frame.get("group"), groups),
        ),
    )


def _write_saliency(
    out: Path, work: FileSaliency, parts: FinishedParts, *, strips: bool
) -> tuple[tuple[Path, ...], dict[str, Any]]:
    """Return the files that were written and what to tell of them: see :func:`saliency_file`, ``summary``."""
    files = (out, strips_path(out)) if strips else (out,)
    explained: dict[str, int] = {}
    windows, unknown = 0, {}
    with ExitStack() as stack:
        write, *more = [
            stack.enter_context(rows_to(path, columns))
            for path, columns in zip(files, (work.columns, STRIP_COLUMNS), strict=False)
        ]
        for task, arrays in work.found(parts):
            name = work.class_name(arrays)
            explained[name] = explained.get(name, 0) + 1
            if arrays["judged"][0]:
                windows += task.windows
            else:
                unknown[task.record] = None
            for row in work.rows(task, arrays):
                write(row)
            for row in work.strip_rows(task, arrays) if more else ():
                more[0](row)
        parts.check()
    earlier = read_record(out.with_name(out.name + RECORD_ENDING)) or {}
    if not strips and (earlier.get("settings") or {}).get("strips"):
        # Those of an earlier run would pass for this one's.
        strips_path(out).unlink(missing_ok=True)
    told: dict[str, Any] = {"windows": windows, "explained": explained}
    if unknown:
        window, records = work.predictor.config.window, len(work.genome.contigs)
        told["warning"] = not_judged_words(list(unknown), len(unknown), records, window)
    return files, told


@contextmanager
def _alone(out: Path, *more: Path) -> Iterator[None]:
    """Keep other runs from writing a result, its record and what ``more`` it has; drop what killed runs left."""
    with sole_writer(_partial_folder(out), out):
        remove_drafts(out, out.with_name(out.name + RECORD_ENDING), *more)
        yield


def _partial_folder(out: Path) -> Path:
    return out.with_name(f".{out.name}.partial")
