"""Annotations in: BED, GFF3 and the regions of a genome that a BED file names.

Inside the package coordinates are 0-based and half-open; each format is read by its own convention (GFF3:
1-based, both ends included). Formats: BED as in the UCSC genome browser's FAQ, GFF3 1.26 (Sequence Ontology).
"""

import gzip
import os
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn, TextIO
from urllib.parse import unquote

import numpy as np
import pandas as pd

from genolm.errors import TableError
from genolm.fasta_check import known_format, preamble
from genolm.regions import merged, unknown_contig

PathLike = str | os.PathLike[str]

BED_COLUMNS = ("contig", "start", "end", "name", "score", "strand")
GFF_COLUMNS = ("contig", "source", "type", "start", "end", "score", "strand", "phase", "attributes")
_WANTED = "give lines of contig, start and end"
_HEAD = 4096
_BED_REMARK = re.compile(r"#|(?:track|browser)(?:\s|$)")


def read_bed(path: PathLike) -> pd.DataFrame:
    """Read BED3 to BED12 (also .gz) into ``contig, start, end, name, score, strand``; more columns are left.

    A missing name is "", a missing score NaN, a missing strand ".". Scores stand as in the file.

    Raises
    ------
    TableError
        With file and line, at the first line that is not BED.
    """
    rows = []
    for number, (contig, start, end, *more) in _bed_lines(path):
        name, score, strand = [*more, *("", "", ".")[len(more) :]]
        rows.append(
            (contig, start, end, name, _score(score, path, number), _strand(strand, path, number, "+-."))
        )
    return _table(rows, BED_COLUMNS)


def read_regions(path: PathLike, contigs: Mapping[str, int]) -> dict[str, list[tuple[int, int]]]:
    """Read the regions of a genome that a BED file (also .gz) names; the strand column has no meaning here.

    Parameters
    ----------
    path : path
    contigs : mapping of name to length
        The genome's.

    Returns
    -------
    dict of str to list of (int, int)
        Only contigs with a region, in the genome's order; 0-based half-open, ascending, with what
        overlaps or touches merged.

    Raises
    ------
    TableError
        With file and line, at the first line that is not BED, names another contig, lies outside of it or
        holds no base; also if there is no region at all.
    """
    found: dict[str, list[tuple[int, int]]] = {}
    for number, (contig, start, end, *_) in _bed_lines(path):
        if contig not in contigs:
            other = _other_name(contig, contigs)
            hint = f" The genome calls it {other!r}." if other else ""
            raise TableError(f"{path}, line {number}: {unknown_contig(contig, contigs)}{hint}")
        if end > contigs[contig]:
            _refuse(path, number, f"ends at {end:,}, after {contig}, which has {contigs[contig]:,} bases")
        if start == end:
            _refuse(path, number, f"holds no base: start and end are both {start}")
        found.setdefault(contig, []).append((start, end))
    if not found:
        raise TableError(f"{path} holds no region; {_WANTED}.")
    return {contig: merged(found[contig]) for contig in contigs if contig in found}


def is_bed_remark(line: str) -> bool:
    """Say whether a line of a BED file is a comment or tells a browser what to show; contigs may be ``track_1``."""
    return _BED_REMARK.match(line) is not None


def _bed_lines(path: PathLike) -> Iterator[tuple[int, list[Any]]]:
    """Yield line number and the first three to six columns, start and end as checked numbers."""
    _check_bed(path)
    for number, line in _lines(path):
        if not line.strip() or is_bed_remark(line):
            continue
        fields = line.split("\t") if "\t" in line else line.split()
        if len(fields) < 3:
            _refuse(path, number, f"has {_columns(len(fields))}; BED has at least contig, start and end")
        if _is_gff(fields):
            raise TableError(f"{path} is not BED but GFF3, by line {number}; {_WANTED}.")
        start, end = (_whole(fields[place], path, number) for place in (1, 2))
        if not 0 <= start <= end:
            _refuse(path, number, f"has start {start} and end {end}; BED wants 0 <= start <= end")
        yield number, [fields[0], start, end, *fields[3:6]]


def _check_bed(path: PathLike) -> None:
    """Refuse a file that is known by its first bytes to be something else."""
    head = _head(path)
    body = head[preamble(head) :]
    known = "FASTA" if body.startswith(b">") else known_format(head, body)
    if known:
        raise TableError(f"{path} is not BED but {known.partition(';')[0]}; {_WANTED}.")


def _is_gff(fields: list[str]) -> bool:
    """Say whether a line has the columns of GFF; BED of nine columns has positions in the second and third."""
    return len(fields) == len(GFF_COLUMNS) and fields[6] in (*"+-.?",) and not fields[1].strip().isdecimal()


def _columns(count: int, kind: str = "") -> str:
    return f"{count} {kind}column{'s' * (count != 1)}"


def _other_name(contig: str, contigs: Mapping[str, int]) -> str:
    """Return the contig that differs only by the prefix chr or by a version, "" if none or several do."""

    def bare(name: str) -> str:
        return re.sub(r"\.\d+$", "", name.lower().removeprefix("chr"))

    alike = [name for name in contigs if bare(name) == bare(contig)]
    return alike[0] if len(alike) == 1 else ""


def read_gff3(path: PathLike, *, types: Iterable[str] | None = None) -> pd.DataFrame:
    """Read the features of a GFF3 file (also .gz) up to a ``##FASTA`` part.

    Parameters
    ----------
    path : path
    types : iterable of str, optional
        Keep only these feature types, such as ``{"gene", "CDS"}``.

    Returns
    -------
    pd.DataFrame
        ``contig, source, type, start, end, score, strand, phase, attributes``; start and end 0-based
        half-open, score NaN for ".", attributes a dict of str (several values joined with commas).

    Raises
    ------
    TableError
        With file and line, at the first line that is not GFF3.
    """
    wanted = None if types is None else set(types)
    rows = []
    for number, line in _lines(path):
        if line.startswith(("##FASTA", ">")):
            break
        if not line.strip() or line.startswith("#"):
            continue
        fields = line.split("\t")
        if len(fields) != 9:
            _refuse(path, number, f"has {_columns(len(fields), 'tab-separated ')}; GFF3 has 9")
        if wanted is None or fields[2] in wanted:
            rows.append(_gff_row(fields, path, number))
    return _table(rows, GFF_COLUMNS)


def _gff_row(fields: list[str], path: PathLike, number: int) -> tuple[Any, ...]:
    start, end = _whole(fields[3], path, number), _whole(fields[4], path, number)
    if not 1 <= start <= end:
        _refuse(path, number, f"has start {start} and end {end}; GFF3 wants 1 <= start <= end")
    if fields[7] not in (".", "0", "1", "2"):
        _refuse(path, number, f"has phase '{fields[7]}'; it must be 0, 1, 2 or '.'")
    attributes = {}
    for part in filter(None, (piece.strip() for piece in fields[8].split(";"))):
        key, sign, value = part.partition("=")
        if not sign and part != ".":
            _refuse(path, number, f"has the attribute '{part}'; GFF3 writes key=value (this may be GTF)")
        if sign:
            attributes[unquote(key)] = unquote(value)
    score, strand = _score(fields[5], path, number), _strand(fields[6], path, number, "+-.?")
    contig, source, kind = (unquote(text) for text in fields[:3])
    return contig, source, kind, start - 1, end, score, strand, fields[7], attributes


def _head(path: PathLike) -> bytes:
    """Return the first bytes of a file, unpacked; none of one that cannot be read, which its lines tell better."""
    try:
        with _opened_text(path) as handle:
            return handle.buffer.peek(_HEAD)[:_HEAD]  # type: ignore[attr-defined]
    except (EOFError, OSError, zlib.error):
        return b""


@contextmanager
def _opened_text(path: PathLike) -> Iterator[TextIO]:
    with open(path, "rb") as probe:
        packed = probe.read(2) == b"\x1f\x8b"
    opener = gzip.open if packed else open
    with opener(path, "rt", encoding="utf-8-sig", newline=None) as handle:
        yield handle


def _lines(path: PathLike) -> Iterator[tuple[int, str]]:
    number = 0
    try:
        with _opened_text(path) as handle:
            for number, line in enumerate(handle, start=1):
                yield number, line.rstrip("\r\n")
    except (UnicodeDecodeError, EOFError, gzip.BadGzipFile, zlib.error) as error:
        where = f", after line {number}:" if number else " is"
        raise TableError(f"{path}{where} damaged or not text ({error}).") from error
    except OSError as error:
        raise TableError(f"{path} cannot be read: {error.strerror or error}.") from error


def _refuse(path: PathLike, number: int, fault: str) -> NoReturn:
    raise TableError(f"{path}, line {number} {fault}.")


def _whole(text: str, path: PathLike, number: int) -> int:
    if not re.fullmatch(r"-?\d+", text.strip(), flags=re.ASCII):
        _refuse(path, number, f"has '{text}' where a position (a whole number) belongs")
    return int(text)


def _score(text: str, path: PathLike, number: int) -> float:
    if text.strip() in (".", ""):
        return float("nan")
    try:
        return float(text)
    except ValueError:
        _refuse(path, number, f"has '{text}' where a score (a number or '.') belongs")


def _strand(text: str, path: PathLike, number: int, allowed: str) -> str:
    if len(text) != 1 or text not in allowed:
        _refuse(path, number, f"has the strand '{text}'; it must be one of {' '.join(allowed)}")
    return text


def _table(rows: list[tuple[Any, ...]], columns: tuple[str, ...]) -> pd.DataFrame:
    table = pd.DataFrame.from_records(rows, columns=list(columns))
    return table.astype({"start": np.int64, "end": np.int64, "score": np.float64})
