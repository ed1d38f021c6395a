"""Calls as files: CSV, BED and GFF3 out, CSV in.

Calls are a table with the columns ``contig, start, end, strand, summit, score``, 0-based and half-open, where
``score`` is a probability; further columns go along where a format has room for them. A call over the origin
of a circular contig has ``start < length < end``; its summit is counted from the origin again. Formats: BED as
in the UCSC genome browser's FAQ, GFF3 1.26 (Sequence Ontology).
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from genolm.errors import SettingsError, TableError
from genolm.feature_readers import BED_COLUMNS, GFF_COLUMNS, read_bed, read_gff3, read_regions
from genolm.score_files import write_bedgraph, write_bigwig
from genolm.topology import turns

__all__ = [
    "BED_COLUMNS", "CALL_COLUMNS", "GFF_COLUMNS", "call_names", "check_calls", "extra_values", "read_bed",
    "read_calls", "read_gff3", "read_regions", "write_bed", "write_bedgraph", "write_bigwig", "write_calls",
    "write_gff3",
]  # fmt: skip

PathLike = str | os.PathLike[str]
Lengths = Mapping[str, int]

CALL_COLUMNS = ("contig", "start", "end", "strand", "summit", "score")
_CALL_TYPES = {"contig": str, "start": np.int64, "end": np.int64, "strand": str, "summit": np.int64,
               "score": np.float64}
_NOT_IN_SEQID = re.compile(r"[^a-zA-Z0-9.:^*$@!+_?\-|]")
_NOT_IN_COLUMN = re.compile(r"[\x00-\x1f\x7f%]")
_NOT_IN_ATTRIBUTE = re.compile(r"[\x00-\x1f\x7f%;=&,]")


def write_calls(path: PathLike, calls: pd.DataFrame) -> None:
    """Write calls as CSV with the columns ``contig, start, end, strand, summit, score``, 0-based half-open.

    Further columns come after these. Numbers that are not whole have six significant digits.
    """
    checked = check_calls(calls, path)
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
    for name in table.columns.difference(CALL_COLUMNS):
        numbers = pd.to_numeric(table[name], errors="coerce")
        table[name] = table[name] if numbers.isna().any() else numbers
    return check_calls(table, path)


def write_bed(
    path: PathLike, calls: pd.DataFrame, *, prefix: str = "call", circular: Lengths | None = None
) -> None:
    """Write calls as BED6; the score column is the probability times 1000, rounded.

    Parameters
    ----------
    path : path
    calls : pd.DataFrame
    prefix : str
        Start of every name (call_1, call_2 ...), the same as the ID in GFF3.
    circular : mapping of str to int, optional
        Lengths of circular contigs; a call over the origin is two lines of one name, each in its place.
    """
    checked = check_calls(calls, path, circular)
    table = checked[["contig", "start", "end"]].assign(
        name=call_names(len(checked), prefix),
        score=np.rint(checked["score"] * 1000).astype(np.int64),
        strand=checked["strand"],
    )
    _refuse_blanks(table["contig"], path)
    table = _cut_at_origin(table, circular or {})
    table.to_csv(path, sep="\t", header=False, index=False, lineterminator="\n", encoding="utf-8", quoting=3)


def write_gff3(
    path: PathLike,
    calls: pd.DataFrame,
    *,
    lengths: Lengths | None = None,
    model: str = "",
    feature: str = "promoter",
    source: str = "genolm",
    prefix: str = "call",
    circular: Lengths | None = None,
) -> None:
    """Write calls as GFF3, the score column holding the probability.

    Attributes are ``ID``, ``summit`` (1-based, like every position in GFF3), ``probability``, ``model`` when
    it is given, and what further columns the calls have.

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
    circular : mapping of str to int, optional
        Lengths of circular contigs. Each gets a ``region`` line with ``Is_circular=true``; a call over the
        origin has an end greater than the length, as the specification wants it.
    """
    checked, circular = check_calls(calls, path, circular), circular or {}
    tail = f";model={_escape(model, _NOT_IN_ATTRIBUTE)}" if model else ""
    kind = f"{_escape(source, _NOT_IN_COLUMN)}\t{_escape(feature, _NOT_IN_COLUMN)}"
    with open(path, "w", encoding="utf-8", newline="\n") as handle:
        handle.writelines(_gff_head(lengths or {}, circular, _escape(source, _NOT_IN_COLUMN)))
        seqids = {contig: _escape(contig, _NOT_IN_SEQID) for contig in checked["contig"].unique()}
        names = call_names(len(checked), _escape(prefix, _NOT_IN_ATTRIBUTE))
        rows = checked[list(CALL_COLUMNS)].itertuples(index=False, name=None)
        for name, more, row in zip(names, _gff_extras(checked), rows, strict=True):
            contig, start, end, strand, summit, score = row
            handle.write(
                f"{seqids[contig]}\t{kind}\t{start + 1}\t{end}\t{score:.6g}\t{strand}\t.\t"
                f"ID={name};summit={summit + 1};probability={score:.6g}{tail}{more}\n"
            )


def write_annotation(
    path: PathLike, features: pd.DataFrame, *, lengths: Lengths, circular: Lengths | None = None
) -> None:
    """Write genes or other known features as GFF3, as :func:`genolm.annotation.read_annotation` reads them.

    Parameters
    ----------
    path : path
    features : pd.DataFrame
        Columns ``contig, start, end, strand, name, kind``.
    lengths : mapping of str to int
        Length of each contig in file order.
    circular : mapping of str to int, optional
        As in :func:`write_gff3`.
    """
    with open(path, "w", encoding="utf-8", newline="\n") as handle:
        handle.writelines(_gff_head(lengths, circular or {}, "genolm"))
        columns = features[["contig", "start", "end", "strand", "name", "kind"]]
        for number, row in enumerate(columns.itertuples(index=False, name=None), start=1):
            contig, start, end, strand, name, kind = row
            seqid, term = _escape(contig, _NOT_IN_SEQID), _escape(kind or "sequence_feature", _NOT_IN_COLUMN)
            said = f";Name={_escape(name, _NOT_IN_ATTRIBUTE)}" if name else ""
            handle.write(f"{seqid}\tgenolm\t{term}\t{start + 1}\t{end}\t.\t{strand}\t.\tID=feature_{number}{said}\n")


def call_names(count: int, prefix: str = "call") -> list[str]:
    """Return the names of calls in the order of their table, the same in every format: call_1, call_2 ..."""
    return [f"{prefix}_{number}" for number in range(1, count + 1)]


def extra_values(calls: pd.DataFrame) -> list[dict[str, str]]:
    """Return, for each call, its further columns as text; what is empty or missing is left out."""
    names = [name for name in calls.columns if name not in CALL_COLUMNS]
    rows = calls[names].itertuples(index=False, name=None) if names else [()] * len(calls)
    return [
        {name: _text(value) for name, value in zip(names, row, strict=True) if value == value and value != ""}
        for row in rows
    ]


def check_calls(calls: pd.DataFrame, path: PathLike, circular: Lengths | None = None) -> pd.DataFrame:
    """Return calls with their six columns first and of the right types.

    Parameters
    ----------
    calls : pd.DataFrame
    path : path
        Named in the error.
    circular : mapping of str to int, optional
        Lengths of circular contigs.

    Raises
    ------
    TableError
        If a column is missing, or a call cannot be: names the call and what is wrong with it.
    """
    missing = [name for name in CALL_COLUMNS if name not in calls.columns]
    if missing:
        raise TableError(f"Calls for {path} have no column {', '.join(missing)}.")
    more = [name for name in calls.columns if name not in CALL_COLUMNS]
    table = calls[[*CALL_COLUMNS, *more]].astype(_CALL_TYPES)
    start, end, summit = table["start"], table["end"], table["summit"]
    # Where the length is not given it is taken for the least that it can be.
    turn = table["contig"].map(dict(circular or {})).fillna(start + 1).astype(np.int64)
    within = summit.between(start, end - 1) | ((summit >= 0) & (summit < start) & (summit + turn < end))
    faults = {
        "start and end are not 0 <= start < end": ~((start >= 0) & (start < end)),
        "the summit lies outside": ~within,
        "the strand is not +, - or .": ~table["strand"].isin(["+", "-", "."]),
        "the score is not a probability": ~table["score"].between(0, 1),
    }
    for fault, where in faults.items():
        if where.any():
            row = int(np.flatnonzero(where)[0])
            raise TableError(f"{path}: call {row + 1} {tuple(table.iloc[row])} cannot be used: {fault}.")
    turned = table["contig"].isin(list(circular or {}))
    return table.assign(summit=summit.where(~turned, summit % turn))


def _cut_at_origin(table: pd.DataFrame, circular: Lengths) -> pd.DataFrame:
    """Return a BED table with calls over the origin as two rows, in ascending order on their contigs."""
    over = table["end"] > table["contig"].map(dict(circular)).astype(float)
    if not over.any():
        return table
    rows = [
        (contig, left, right, *more)
        for contig, start, end, *more in table[over].itertuples(index=False, name=None)
        for left, right in turns(start, end, circular[contig])
    ]
    whole = pd.concat([table[~over], pd.DataFrame(rows, columns=table.columns)], ignore_index=True)
    rank = {contig: place for place, contig in enumerate(table["contig"].unique())}
    return whole.iloc[np.lexsort((whole["start"], whole["contig"].map(rank)))]


def _gff_head(lengths: Lengths, circular: Lengths, source: str) -> list[str]:
    sizes = {**lengths, **{name: size for name, size in circular.items() if name not in lengths}}
    seqids = {contig: _escape(contig, _NOT_IN_SEQID) for contig in sizes}
    return [
        "##gff-version 3\n",
        *(f"##sequence-region {seqids[contig]} 1 {length}\n" for contig, length in sizes.items()),
        *(
            f"{seqids[contig]}\t{source}\tregion\t1\t{length}\t.\t+\t.\t"
            f"ID=region_{number};Name={_escape(contig, _NOT_IN_ATTRIBUTE)};Is_circular=true\n"
            for number, (contig, length) in enumerate(circular.items(), 1)
        ),
    ]


def _gff_extras(calls: pd.DataFrame) -> list[str]:
    """Return the further columns as attributes; a name in capitals is kept for the specification's own."""
    keys = {
        name: _escape(str(name)[:1].lower() + str(name)[1:], _NOT_IN_ATTRIBUTE)
        for name in calls.columns.difference(CALL_COLUMNS)
    }
    return [
        "".join(f";{keys[name]}={_escape(text, _NOT_IN_ATTRIBUTE)}" for name, text in values.items())
        for values in extra_values(calls)
    ]


def _text(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _numbers(column: pd.Series, path: PathLike, *, whole: bool) -> pd.Series:
    numbers = pd.to_numeric(column, errors="coerce")
    bad = numbers.isna() | (whole & (numbers % 1 != 0))
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        kind = "a whole number" if whole else "a number"
        raise TableError(
            f"{path}, line {row + 2} has '{column.iloc[row]}' as {column.name}, which is not {kind}."
        )
    return numbers


def _escape(text: str, forbidden: re.Pattern[str]) -> str:
    return forbidden.sub(lambda match: "".join(f"%{byte:02X}" for byte in match.group().encode()), text)


def _refuse_blanks(contigs: pd.Series, path: PathLike) -> None:
    for contig in contigs.unique():
        if re.search(r"\s", contig) or not contig:
            raise SettingsError(f"Cannot write {Path(path).name}: BED cannot hold the blanks in contig '{contig}'.")
