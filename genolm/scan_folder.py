"""A folder of genomes, scanned one after the other, each into a folder of its own."""

import time
from pathlib import Path
from typing import Any

import pandas as pd

from genolm.errors import GenolmError, SequenceError, SettingsError
from genolm.file_result import FileResult, Model, open_model
from genolm.genome_files import genome_paths
from genolm.progress import ProgressCallback, part_reporter
from genolm.scan_pipeline import PathLike, scan_file
from genolm.sequences import plain_name
from genolm.workspace import atomic_write

SUMMARY_FILE = "genomes.csv"


def scan_folder(
    genomes: PathLike,
    folder: PathLike,
    *,
    model: Model,
    progress: ProgressCallback | None = None,
    device: str | None = None,
    precision: str = "auto",
    threads: int | None = None,
    **options: Any,
) -> FileResult:
    """Scan every genome file of a folder, each into ``folder/<name>``, and sum up in ``folder/genomes.csv``.

    Parameters
    ----------
    genomes, folder : path
    model : str, path or Predictor
    progress : callable, optional
    device, precision, threads
        See :class:`genolm.predict.Predictor`.
    **options
        See :func:`genolm.scan_pipeline.scan_file`.

    Returns
    -------
    FileResult
        ``summary`` has the rows of ``genomes.csv`` (``genome, records, bases, calls, seconds, problem``) and, as
        ``left_out``, the files that are no genomes, with reasons. ``calls`` is None.

    Notes
    -----
    A genome that cannot be scanned does not stop the others: its row says why. Where none can, that is an
    error.
    """
    began, folder = time.monotonic(), Path(folder)
    found = genome_paths(genomes)
    names = [plain_name(path) for path in found.genomes]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SettingsError(f"Several genomes of {genomes} are called {twice[0]}; rename all but one.")
    predictor = open_model(model, device=device, precision=precision, threads=threads)
    rows, files = [], []
    for number, (name, path) in enumerate(zip(names, found.genomes, strict=True)):
        reporter = part_reporter(progress, number, len(names), f"genome {number + 1} of {len(names)}, {name}")
        row: dict[str, Any] = {"genome": name, "records": 0, "bases": 0, "calls": 0, "seconds": 0.0, "problem": ""}
        try:
            one = scan_file(path, folder / name, model=predictor, progress=reporter, **options)
        except SequenceError as error:
            rows.append({**row, "problem": str(error)})
            continue
        files += one.files
        counts = {"records": one.records, "bases": one.summary["bases"], "calls": one.summary["calls"]}
        rows.append({**row, **counts, "seconds": round(one.seconds, 1)})
    if not files:
        raise GenolmError(f"None of the {len(rows)} genomes of {genomes} could be scanned; {rows[0]['problem']}")
    with atomic_write(folder / SUMMARY_FILE) as stream:
        stream.write(pd.DataFrame(rows).to_csv(index=False, lineterminator="\n").encode())
    left_out = {path.name: reason for path, reason in found.left_out.items()}
    summary = {"genomes": rows, "left_out": left_out}
    records = sum(row["records"] for row in rows)
    return FileResult((folder / SUMMARY_FILE, *files), records, time.monotonic() - began, summary)
