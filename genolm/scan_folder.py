"""A folder of genomes, scanned one after the other, each into a folder of its own."""

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from genolm.errors import Cancelled, GenolmError, SequenceError, SettingsError
from genolm.file_result import FileResult, Model, open_model, work_facts
from genolm.genome_files import genome_paths, open_genome
from genolm.partial import FinishedParts, kept_parts
from genolm.peaks import call_peaks
from genolm.predict import Predictor
from genolm.progress import Progress, ProgressCallback, part_reporter
from genolm.record import RECORD_NAME, file_facts
from genolm.regions import unknown_contig
from genolm.scan import scan_mode
from genolm.scan_outputs import check_formats
from genolm.scan_pipeline import PathLike, checked_threshold, scan_file, scan_limits, topology_choice
from genolm.scan_plan import scan_layout, strand_list
from genolm.sequences import plain_name
from genolm.topology import AUTO
from genolm.workspace import atomic_write

SUMMARY_FILE = "genomes.csv"
FOLDER_PARTIAL = ".genomes.partial"
_NAMED = ("contigs", "circular", "linear")
_FILES = ("genes", "truth", "regions")
_TOLD = "told"
_RULES = ("merge_distance", "min_distance", "method")

_Contigs = Mapping[str, int]


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
        See :func:`genolm.scan_pipeline.scan_file`. ``contigs``, ``circular`` and ``linear`` hold for each genome
        that has records of these names.

    Returns
    -------
    FileResult
        ``summary`` has as ``genomes`` the rows of ``genomes.csv`` (``genome, records, bases, calls, seconds, problem``)
        but those of the files that are no genomes, which are in ``left_out``, with reasons; as ``warnings`` what the
        model's card has against scans, as ``notes`` what each scan has to say. ``calls`` is None.

    Raises
    ------
    SettingsError
        Before the first scan, for an option that suits no genome.
    RegionError
        Before the first scan, for the name of a record that no genome has.

    Notes
    -----
    A genome that cannot be scanned does not stop the others: its row says why. Where none can, that is an
    error. What is left out has a row too, by the file's whole name. A run that was cut off goes on when the same is
    asked for again: genomes whose results are there are not scanned again.
    """
    began, folder = time.monotonic(), Path(folder)
    found = genome_paths(genomes)
    names = [plain_name(path) for path in found.genomes]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SettingsError(f"Several genomes of {genomes} are called {twice[0]}; rename all but one.")
    predictor = open_model(model, device=device, precision=precision, threads=threads)
    named = {key: list(options[key]) for key in _NAMED if options.get(key) is not None}
    _check_common(predictor, named, options)
    contigs = _contigs_of(found.genomes, named, progress)
    left_out = {path.name: reason for path, reason in found.left_out.items()}
    rows, files, notes = [], [], []
    with kept_parts(folder / FOLDER_PARTIAL, _work(predictor, named, options)) as finished:
        for number, (name, path) in enumerate(zip(names, found.genomes, strict=True)):
            reporter = part_reporter(progress, number, len(names), f"genome {number + 1} of {len(names)}, {name}")
            try:
                own = _own_names(named, contigs[path]) if path in contigs else named
                scan = partial(scan_file, path, folder / name, model=predictor, progress=reporter, **options | own)
                one = _scanned_once(finished, name, path, folder / name, scan)
            except Cancelled:
                raise
            except GenolmError as error:
                rows.append(_row(name, str(error)))
                continue
            files += [folder / name / file for file in one["files"]]
            notes += [f"{name}: {note}" for note in one["notes"]]
            rows.append({**_row(name), **one["row"]})
        if not files:
            raise GenolmError(f"None of the {len(rows)} genomes of {genomes} could be scanned; {rows[0]['problem']}")
        table = pd.DataFrame([*rows, *(_row(name, f"Left out. {reason}") for name, reason in left_out.items())])
        with atomic_write(folder / SUMMARY_FILE) as stream:
            stream.write(table.to_csv(index=False, lineterminator="\n").encode())
    summary = {"genomes": rows, "left_out": left_out, "warnings": scan_limits(predictor), "notes": notes}
    records = sum(row["records"] for row in rows)
    return FileResult((folder / SUMMARY_FILE, *files), records, time.monotonic() - began, summary)


def _work(predictor: Predictor, named: Mapping[str, list[str]], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what tells a scan of a folder from another, but for the genomes."""
    settings = {key: value for key, value in options.items() if key != "engine"} | named
    given = {key: options[key] for key in _FILES if options.get(key) is not None and Path(options[key]).is_file()}
    settings |= {key: file_facts(path)["sha256"] for key, path in given.items()}
    return work_facts("scan folder", {"sha256": ""}, predictor, settings)


def _scanned_once(
    finished: FinishedParts, name: str, path: Path, folder: Path, scan: Callable[[], FileResult]
) -> dict[str, Any]:
    """Scan a genome unless a run that was cut off did so and its files are all there; return what was found."""
    key = hashlib.sha256(f"{name} {file_facts(path)['sha256']}".encode()).hexdigest()[:32]
    kept = finished.found(key)
    if kept is not None:
        told: dict[str, Any] = json.loads(kept.arrays[_TOLD].tobytes())
        if all((folder / file).is_file() for file in told["files"]) and told["record"] == _record_hash(folder):
            return told
    one = scan()
    row = {"records": one.records, "bases": one.summary["bases"], "calls": one.summary["calls"]}
    told = {
        "files": [file.name for file in one.files],
        "record": _record_hash(folder),
        "notes": list(one.summary["notes"]),
        "row": {**row, "seconds": round(one.seconds, 1)},
    }
    finished.keep(key, {_TOLD: np.frombuffer(json.dumps(told).encode(), np.uint8)}, one.seconds)
    return told


def _record_hash(folder: Path) -> str:
    return str(file_facts(folder / RECORD_NAME)["sha256"])


def _row(name: str, problem: str = "") -> dict[str, Any]:
    """Return the row of a file that is not scanned."""
    return {"genome": name, "records": 0, "bases": 0, "calls": 0, "seconds": 0.0, "problem": problem}


def folder_problems(summary: Mapping[str, Any]) -> list[str]:
    """Return what was not scanned and why, in sentences: from the ``summary`` of :func:`scan_folder`."""
    failed = [f"{row['genome']} was not scanned: {row['problem']}" for row in summary["genomes"] if row["problem"]]
    return [*failed, *(f"{name} was left out: {reason}" for name, reason in summary["left_out"].items())]


def _check_common(predictor: Predictor, named: Mapping[str, list[str]], options: Mapping[str, Any]) -> None:
    """Refuse what would fail for every genome, before any is read."""
    check_formats(options.get("formats", ()))
    checked_threshold(predictor, options.get("threshold"))
    scan_layout(predictor, options.get("stride", 1))
    strand_list(options.get("strand", "both"))
    scan_mode(predictor, options.get("mode", "auto"))
    predictor.class_index(options.get("class_name"))
    topology_choice(options.get("topology", AUTO), named.get("circular", []), named.get("linear", []))
    rules = {key: options[key] for key in _RULES if key in options}
    call_peaks([], threshold=0, window_length=1, **rules)


def _contigs_of(
    paths: Sequence[Path], named: Mapping[str, list[str]], progress: ProgressCallback | None
) -> dict[Path, _Contigs]:
    """Return the records of each genome that can be read, none where no name was given to look for."""
    wanted = [name for names in named.values() for name in names]
    found: dict[Path, _Contigs] = {}
    for number, path in enumerate(paths if wanted else ()):
        words = f"reading genome {number + 1} of {len(paths)}"
        try:
            with open_genome(path, progress=_still(progress, words)) as genome:
                found[path] = genome.contigs
        except (SequenceError, SettingsError):
            continue  # the scan of it meets the same fault, and its row says it
    known = {name: size for contigs in found.values() for name, size in contigs.items()}
    for name in wanted if known else ():
        if name not in known:
            raise unknown_contig(name, known)
    return found


def _still(progress: ProgressCallback | None, words: str) -> ProgressCallback | None:
    """Return a callback that says ``words`` and lets the user stop; nothing of the scan is done."""
    return None if progress is None else lambda _: progress(Progress(words, 0, 1000))


def _own_names(named: Mapping[str, list[str]], contigs: _Contigs) -> dict[str, list[str]]:
    """Return the names that one genome has; where it has none of the records to scan, that is an error."""
    own = {key: [name for name in names if name in contigs] for key, names in named.items()}
    if named.get("contigs") and not own["contigs"]:
        raise unknown_contig(named["contigs"][0], contigs)
    return own
