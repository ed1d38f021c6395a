"""How results reach the disk: tables row by row and folders of files, complete or not at all."""

import csv
import io
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

import pandas as pd

from genolm import features
from genolm.errors import SettingsError
from genolm.tracks import Track
from genolm.workspace import atomic_write

TABLE_SUFFIXES = (".csv", ".tsv", ".json")

SCAN_FILES = (
    "calls.csv",
    "calls.bed",
    "calls.gff3",
    "scores_plus.bw",
    "scores_minus.bw",
    "scores_plus.bedgraph",
    "scores_minus.bedgraph",
    "calls.gb",
    "calls.parquet",
    "calls.fa",
    "genes.gff3",
    "background.json",
    "truth.json",
    "run.json",
)
_FEATURE_TERMS = {"promoter": "promoter", "enhancer": "enhancer", "tss": "TSS", "gene_start": "start_codon"}
_DRAFT_SECONDS = 24 * 3600

PathLike = str | os.PathLike[str]
WriteRow = Callable[[Iterable[Any]], None]


def check_suffix(out: PathLike) -> str:
    """Return the suffix of a result's name in lower case; one that is no known format is refused."""
    suffix = Path(out).suffix.lower()
    if suffix not in TABLE_SUFFIXES:
        raise SettingsError(
            f"The result is to be written to '{Path(out).name}'; "
            f"its name must end in {', '.join(TABLE_SUFFIXES)}."
        )
    return suffix


@contextmanager
def rows_to(out: Path, columns: Sequence[str], *, digits: int = 6) -> Iterator[WriteRow]:
    """Give a function that writes one row to ``out``: CSV, TSV or JSON by suffix, there only when complete.

    Numbers have so many significant ``digits``.
    """
    suffix = check_suffix(out)
    make_folder(out.parent)
    writer = _json_rows if suffix == ".json" else _delimited_rows
    with (
        _full_disk_said(out),
        atomic_write(out) as stream,
        io.TextIOWrapper(stream, encoding="utf-8", newline="") as handle,
        writer(handle, columns, "\t" if suffix == ".tsv" else ",", digits) as write,
    ):
        yield write


@contextmanager
def _delimited_rows(handle: TextIO, columns: Sequence[str], delimiter: str, digits: int) -> Iterator[WriteRow]:
    rows = csv.writer(handle, delimiter=delimiter, lineterminator="\n")
    rows.writerow(columns)
    yield lambda row: rows.writerow([_short(value, digits) for value in row])


@contextmanager
def _json_rows(handle: TextIO, columns: Sequence[str], _: str, digits: int) -> Iterator[WriteRow]:
    count = 0

    def write(row: Iterable[Any]) -> None:
        nonlocal count
        values = [float(_short(value, digits)) if isinstance(value, float) else value for value in row]
        handle.write(("\n" if count == 0 else ",\n") + json.dumps(dict(zip(columns, values, strict=True))))
        count += 1

    handle.write("[")
    yield write
    handle.write("\n]\n")


@contextmanager
def atomic_files(folder: PathLike, names: Iterable[str], owner: str = "") -> Iterator[Path]:
    """Give a temporary folder inside ``folder``; move its files up when the block ends well, else drop them.

    Of ``names``, a file of an earlier run that this one did not write is removed, so that ``folder`` never
    holds a mixture of two runs; other files in it stay. Files are moved in the order of ``names``. One who alone
    writes such files there, see :func:`genolm.partial.sole_writer`, gives an ``owner``, a word: what killed runs of
    the same owner left is removed at once.
    """
    folder, order = make_folder(Path(folder)), list(names)
    front = f"{owner}-" if owner else ""
    _remove_old_drafts(folder, front)
    draft = folder / f".{front}{secrets.token_hex(4)}.draft"
    try:
        with _full_disk_said(folder), _final_place_said(draft, folder):
            draft.mkdir()
            yield draft
        written = {path.name for path in draft.iterdir()}
        for name in order:
            if name not in written:
                (folder / name).unlink(missing_ok=True)
        for name in [*sorted(written - set(order)), *(name for name in order if name in written)]:
            os.replace(draft / name, folder / name)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def feature_term(class_name: str) -> str:
    """Return the Sequence Ontology's term for the sites that a model's class stands for.

    ``sequence_feature``, which is always true, where the class's name does not tell.
    """
    plain = class_name.lower().replace("-", "_").replace(" ", "_")
    return next((term for word, term in _FEATURE_TERMS.items() if word in plain), "sequence_feature")


def write_calls(
    folder: Path,
    calls: pd.DataFrame,
    lengths: Mapping[str, int],
    *,
    model: str,
    class_name: str,
    circular: Mapping[str, int] | None = None,
) -> None:
    """Write the calls of a scan as ``calls.csv``, ``calls.bed`` and ``calls.gff3``.

    ``lengths`` of all contigs and ``model`` go into the GFF3; the scanned class decides its feature type, see
    :func:`feature_term`. ``circular`` has the lengths of the circular contigs.
    """
    features.write_calls(folder / "calls.csv", calls)
    features.write_bed(folder / "calls.bed", calls, circular=circular)
    features.write_gff3(
        folder / "calls.gff3",
        calls,
        lengths=lengths,
        model=model,
        feature=feature_term(class_name),
        circular=circular,
    )


def write_scores(
    folder: Path,
    tracks: Sequence[Track],
    lengths: Mapping[str, int],
    *,
    bedgraph: bool = False,
    circular: Mapping[str, int] | None = None,
) -> None:
    """Write ``scores_plus.bw`` and ``scores_minus.bw`` of the strands at hand, on request bedGraph too."""
    for sign, word in (("+", "plus"), ("-", "minus")):
        chosen = [track for track in tracks if track.strand == sign]
        if chosen:
            features.write_bigwig(folder / f"scores_{word}.bw", chosen, lengths, circular=circular)
            if bedgraph:
                features.write_bedgraph(folder / f"scores_{word}.bedgraph", chosen, circular=circular)


def make_folder(folder: Path) -> Path:
    """Make a folder if it is missing and return it; a place where none can be made is refused."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"The folder {folder} cannot be made: {error.strerror or error}.") from error
    return folder


def remove_drafts(*outs: Path) -> None:
    """Remove what killed runs left of files; only for one who alone writes them."""
    for out in outs:
        # As genolm.workspace.atomic_write names them.
        draft = re.compile(rf"\.{re.escape(out.name)}\.\d+\.[0-9a-f]+\.tmp")
        for path in out.parent.glob(".*.tmp"):
            if draft.fullmatch(path.name):
                with suppress(OSError):
                    path.unlink()


def _remove_old_drafts(folder: Path, front: str) -> None:
    """Remove what a killed run left; a younger draft of another owner may be a run at work."""
    for old in folder.glob(".*.draft"):
        with suppress(OSError):
            own = front and old.name.startswith(f".{front}")
            if own or time.time() - old.stat().st_mtime > _DRAFT_SECONDS:
                shutil.rmtree(old)


@contextmanager
def _final_place_said(draft: Path, folder: Path) -> Iterator[None]:
    """Name in an error the place where a file was to be, not the draft that is gone by then."""
    try:
        yield
    except SettingsError as error:
        raise SettingsError(str(error).replace(str(draft), str(folder))) from error


@contextmanager
def _full_disk_said(out: Path) -> Iterator[None]:
    """Name the result in an error that has no file's name, as that of a full disk has not."""
    try:
        yield
    except OSError as error:
        if error.filename is not None or error.errno is None:
            raise
        raise SettingsError(f"{out} cannot be written: {error.strerror}.") from error


def _short(value: Any, digits: int) -> Any:
    return f"{value:.{digits}g}" if isinstance(value, float) else value
