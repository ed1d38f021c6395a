"""Calls and tracks as files: CSV, BED, GFF3, bedGraph and bigWig out; CSV, BED and GFF3 in.

Inside the package coordinates are 0-based and half-open; each format is written and read by its own
convention (GFF3: 1-based, both ends included). Calls are a table with the columns ``contig, start, end,
strand, summit, score`` where ``score`` is a probability. Formats: BED and bedGraph as in the UCSC genome
browser's FAQ, GFF3 1.26 (Sequence Ontology), bigWig (Kent et al. 2010, doi:10.1093/bioinformatics/btq351).
"""

import gzip
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn, TextIO
from urllib.parse import unquote

import numpy as np
import pandas as pd

from genolm.errors import SettingsError, TableError

if TYPE_CHECKING:
    from genolm.tracks import Track

PathLike = str | os.PathLike[str]

CALL_COLUMNS = ("contig", "start", "end", "strand", "summit", "score")
BED_COLUMNS = ("contig", "start", "end", "name", "score", "strand")
GFF_COLUMNS = ("contig", "source", "type", "start", "end", "score", "strand", "phase", "attributes")
_CALL_TYPES = {"contig": str, "start": np.int64, "end": np.int64, "strand": str, "summit": np.int64,
               "score": np.float64}
_NOT_IN_SEQID = re.compile(r"[^a-zA-Z0-9.:^*$@!+_?\-|]")
_NOT_IN_COLUMN = re.compile(r"[\x00-\x1f\x7f%]")
_NOT_IN_ATTRIBUTE = re.compile(r"[\x00-\x1f\x7f%;=&,]")
_SKIPPED_BED_LINES = ("#", "track", "browser")


def write_calls(path: PathLike, calls: pd.DataFrame) -> None:
    """Write calls as CSV with the columns ``contig, start, end, strand, summit, score``, 0-based half-open.

    Scores have six significant digits.
    """
    checked = _check_calls(calls, path)
    checked.to_csv(path, index=False, float_format="%.6g", lineterminator="\n", encoding="utf-8")


def read_calls(path: PathLike) -> pd.DataFrame:
    """Read what :func:`write_calls` wrote; a fault is a :class:`TableError` with its line."""
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise TableError(f"{path} is not a CSV of calls: {error}.") from error
    missing = [name for name in CALL_COLUMNS if name not in table.columns]
    if missing:
        raise TableError(
            f"{path} has no column {', '.join(missing)}; a table of calls has {', '.join(CALL_COLUMNS)}."
        )
    for name in ("start", "end", "summit", "score"):
        table[name] = _numbers(table[name], path, whole=name != "score")
    return _check_calls(table, path)


def write_bed(path: PathLike, calls: pd.DataFrame, *, prefix: str = "call") -> None:
    """Write calls as BED6; the score column is the probability times 1000, rounded.

    Parameters
    ----------
    path : path
    calls : pd.DataFrame
    prefix : str
        Start of every name (call_1, call_2 ...), the same as the ID in GFF3.
    """
    checked = _check_calls(calls, path)
    table = checked[["contig", "start", "end"]].assign(
        name=_names(len(checked), prefix),
        score=np.rint(checked["score"] * 1000).astype(np.int64),
        strand=checked["strand"],
    )
    _refuse_blanks(table["contig"], path)
    table.to_csv(path, sep="\t", header=False, index=False, lineterminator="\n", encoding="utf-8", quoting=3)


def write_gff3(
    path: PathLike,
    calls: pd.DataFrame,
    *,
    lengths: Mapping[str, int] | None = None,
    model: str = "",
    feature: str = "promoter",
    source: str = "genolm",
    prefix: str = "call",
) -> None:
    """Write calls as GFF3, the score column holding the probability.

    Attributes are ``ID``, ``summit`` (1-based, like every position in GFF3), ``probability`` and, when it
    is given, ``model``.

    Parameters
    ----------
    path : path
    calls : pd.DataFrame
    lengths : mapping of str to int, optional
        Length of each contig in file order; each gets a ``##sequence-region`` line, also without calls.
    model : str
        Name of the model that made the calls.
    feature : str
        Third column, by the standard a Sequence Ontology term such as ``promoter`` or ``TSS``.
    source, prefix : str
        Second column; start of every ID.
    """
    checked = _check_calls(calls, path)
    tail = f";model={_escape(model, _NOT_IN_ATTRIBUTE)}" if model else ""
    kind = f"{_escape(source, _NOT_IN_COLUMN)}\t{_escape(feature, _NOT_IN_COLUMN)}"
    seqids = {contig: _escape(contig, _NOT_IN_SEQID) for contig in checked["contig"].unique()}
    with open(path, "w", encoding="utf-8", newline="\n") as handle:
        handle.write("##gff-version 3\n")
        for contig, length in (lengths or {}).items():
            handle.write(f"##sequence-region {_escape(contig, _NOT_IN_SEQID)} 1 {length}\n")
        rows = zip(_names(len(checked), _escape(prefix, _NOT_IN_ATTRIBUTE)),
                   checked.itertuples(index=False, name=None), strict=True)
        for name, (contig, start, end, strand, summit, score) in rows:
            handle.write(
                f"{seqids[contig]}\t{kind}\t{start + 1}\t{end}\t{score:.6g}\t{strand}\t.\t"
                f"ID={name};summit={summit + 1};probability={score:.6g}{tail}\n"
            )


def write_bedgraph(path: PathLike, tracks: Iterable["Track"], *, name: str = "") -> None:
    """Write tracks of one strand as bedGraph (gzip when ``path`` ends in .gz); NaN is left out.

    Parameters
    ----------
    path : path
    tracks : iterable of Track
        At most one strand, since the format has none.
    name : str
        When given, a ``track`` line for genome browsers comes first.
    """
    opener = gzip.open if os.fspath(path).endswith(".gz") else open
    with opener(path, "wt", encoding="utf-8", newline="\n") as handle:
        if name:
            handle.write(f'track type=bedGraph name="{name.replace(chr(34), chr(39))}"\n')
        for track in _one_strand(tracks, path):
            for start, values in track.runs(limit=100_000):
                lefts = start + np.arange(len(values), dtype=np.int64) * track.step
                handle.writelines(
                    f"{track.contig}\t{left}\t{left + track.span}\t{value:.6g}\n"
                    for left, value in zip(lefts.tolist(), values.tolist(), strict=True)
                )


def write_bigwig(path: PathLike, tracks: Iterable["Track"], lengths: Mapping[str, int]) -> None:
    """Write tracks of one strand as bigWig, with zoom levels; NaN is a gap, never a zero.

    Parameters
    ----------
    path : path
    tracks : iterable of Track
        At most one strand; pieces of a contig must not overlap.
    lengths : mapping of str to int
        Length of every contig, in the order that the file's header shall have.
    """
    import pyBigWig

    rank = {contig: place for place, contig in enumerate(lengths)}
    ordered = _one_strand(tracks, path)
    if not lengths:
        raise SettingsError(f"Cannot write {path}: a bigWig needs the length of at least one contig.")
    for track in ordered:
        if track.contig not in rank:
            raise SettingsError(f"Cannot write {path}: the length of contig {track.contig} is not known.")
        if track.end > lengths[track.contig]:
            raise SettingsError(
                f"Cannot write {path}: a track of {track.contig} ends at {track.end}, "
                f"beyond the contig's {lengths[track.contig]} bp."
            )
    ordered.sort(key=lambda track: (rank[track.contig], track.start))
    with _opened_bigwig(pyBigWig, path) as handle:
        handle.addHeader([(contig, int(length)) for contig, length in lengths.items()])
        for track in ordered:
            for start, values in track.runs():
                handle.addEntries(track.contig, int(start), values=values, span=track.span, step=track.step)


def read_bed(path: PathLike) -> pd.DataFrame:
    """Read BED3 to BED12 (also .gz) into ``contig, start, end, name, score, strand``; more columns are left.

    A missing name is "", a missing score NaN, a missing strand ".". Scores stand as in the file.

    Raises
    ------
    TableError
        With file and line, at the first line that is not BED.
    """
    rows = []
    for number, line in _lines(path):
        if not line.strip() or line.startswith(_SKIPPED_BED_LINES):
            continue
        fields = line.split("\t") if "\t" in line else line.split()
        if len(fields) < 3:
            _refuse(path, number, f"has {len(fields)} columns; BED has at least contig, start and end")
        fields = [*fields[:6], *("", "", "", "", ".", ".")[len(fields) :]]
        start, end = (_whole(fields[place], path, number) for place in (1, 2))
        if not 0 <= start <= end:
            _refuse(path, number, f"has start {start} and end {end}; BED wants 0 <= start <= end")
        score = _score(fields[4], path, number)
        rows.append((fields[0], start, end, fields[3], score, _strand(fields[5], path, number, "+-.")))
    return _table(rows, BED_COLUMNS)


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
            _refuse(path, number, f"has {len(fields)} tab-separated columns; GFF3 has 9")
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


def _check_calls(calls: pd.DataFrame, path: PathLike) -> pd.DataFrame:
    missing = [name for name in CALL_COLUMNS if name not in calls.columns]
    if missing:
        raise TableError(f"Calls for {path} have no column {', '.join(missing)}.")
    table = calls[list(CALL_COLUMNS)].astype(_CALL_TYPES)
    faults = {
        "start and end are not 0 <= start < end": ~((table["start"] >= 0) & (table["start"] < table["end"])),
        "the summit lies outside": ~table["summit"].between(table["start"], table["end"] - 1),
        "the strand is not +, - or .": ~table["strand"].isin(["+", "-", "."]),
        "the score is not a probability": ~table["score"].between(0, 1),
    }
    for fault, where in faults.items():
        if where.any():
            row = int(np.flatnonzero(where)[0])
            raise TableError(f"{path}: call {row + 1} {tuple(table.iloc[row])} cannot be used: {fault}.")
    return table


def _numbers(column: pd.Series, path: PathLike, *, whole: bool) -> pd.Series:
    numbers = pd.to_numeric(column, errors="coerce")
    bad = numbers.isna() | (whole & (numbers % 1 != 0))
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        kind = "a whole number" if whole else "a number"
        _refuse(path, row + 2, f"has '{column.iloc[row]}' as {column.name}, which is not {kind}")
    return numbers


def _names(count: int, prefix: str) -> list[str]:
    return [f"{prefix}_{number}" for number in range(1, count + 1)]


def _escape(text: str, forbidden: re.Pattern[str]) -> str:
    return forbidden.sub(lambda match: "".join(f"%{byte:02X}" for byte in match.group().encode()), text)


def _refuse_blanks(contigs: pd.Series, path: PathLike) -> None:
    for contig in contigs.unique():
        if re.search(r"\s", contig) or not contig:
            raise SettingsError(f"Cannot write {path}: BED cannot hold the blanks in contig '{contig}'.")


def _one_strand(tracks: Iterable["Track"], path: PathLike) -> list["Track"]:
    listed = list(tracks)
    strands = sorted({track.strand for track in listed})
    if len(strands) > 1:
        raise SettingsError(f"Cannot write {path}: the strands {' and '.join(strands)} need a file each.")
    return listed


@contextmanager
def _opened_bigwig(library: Any, path: PathLike) -> Iterator[Any]:
    # pyBigWig ends the whole process when it cannot create a file, so Python tries first.
    try:
        open(path, "wb").close()
    except OSError as error:
        raise SettingsError(f"Cannot write {path}: {error.strerror}.") from error
    handle = library.open(os.fspath(path), "w")
    try:
        yield handle
    finally:
        handle.close()


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
    except (UnicodeDecodeError, EOFError, gzip.BadGzipFile) as error:
        raise TableError(f"{path}, after line {number}: damaged or not text ({error}).") from error
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
