"""Genes and other known features of a genome: read from a file, their 5' ends, the next gene of a call.

An annotation is a table ``contig, start, end, strand, name, kind``: 0-based, half-open, on a circular contig
with ``start < length < end`` where a feature goes over the origin.
"""

import gzip
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pandas as pd

from genolm.errors import TableError
from genolm.feature_readers import read_bed, read_gff3
from genolm.gene_finding import predict_genes
from genolm.genbank import FEATURE_COLUMNS, contig_name, feature_name, feature_place

__all__ = ["call_table", "next_gene", "predict_genes", "read_annotation", "sites_of"]

SITE_COLUMNS = ("contig", "position", "strand", "name")
SITE_KINDS = (("TSS", "transcription_start_site"), ("gene",), ("CDS",))
_NAME_KEYS = ("gene", "Name", "locus_tag", "ID", "product")
_RECORDS = ("source", "region")
_PARSERS = {"GenBank": "genbank", "EMBL": "embl"}
_PROBE_LINES = 200

PathLike = str | os.PathLike[str]


def read_annotation(
    path: PathLike, *, contigs: Mapping[str, int] | Iterable[str] | None = None
) -> pd.DataFrame:
    """Read the features of a GFF3, GenBank, EMBL or BED file, plain or gzip; its content says which it is.

    Parameters
    ----------
    path : path
    contigs : mapping of str to int, or iterable of str, optional
        The genome's contigs. A record of the file is also one of theirs when the names differ only in
        the version (``NC_000913.3`` and ``NC_000913``), or by its locus name in GenBank. Features of other
        records are left out, and a file none of whose records is there is refused.

    Returns
    -------
    pd.DataFrame
        ``contig, start, end, strand, name, kind``. The lines of a GFF3 feature that has several (one ID)
        are one row from its first base to its last. The name is the gene's, else that of the feature, its
        locus tag or ID; the kind of a BED line is "". ``attrs["notes"]`` says in sentences what was left out.

    Raises
    ------
    TableError
        For a file of another format or with a fault: names file and line.
    """
    form = _form_of(path)
    if form in _PARSERS:
        table, notes = _read_flat(path, form)
    else:
        table, notes = _read_gff3(path) if form == "GFF3" else read_bed(path).assign(kind=""), []
    if table.empty:
        raise TableError(f"{path} is {form}, but there is no feature in it.")
    if contigs is not None:
        table = _on_contigs(table, list(contigs), path, notes)
    table = table[list(FEATURE_COLUMNS)].astype(FEATURE_COLUMNS).reset_index(drop=True)
    table.attrs["notes"] = notes
    return table


def sites_of(annotation: pd.DataFrame, kinds: Iterable[str] | None = None) -> pd.DataFrame:
    """Return the 5' ends of features: the first base on plus, the last on minus, the middle without strand.

    Parameters
    ----------
    annotation : pd.DataFrame
        As from :func:`read_annotation`. The end of a feature over the origin may lie beyond the
        contig's length, and so may a site.
    kinds : iterable of str, optional
        Which features; by default transcription start sites if there are any, else genes, else CDS, else all.

    Returns
    -------
    pd.DataFrame
        ``contig, position, strand, name``; features that share a 5' end are one site, with the first name.
    """
    kind = annotation["kind"]
    if kinds is None:
        kinds = next((group for group in SITE_KINDS if kind.isin(group).any()), tuple(kind.unique()))
    chosen = annotation[kind.isin(list(kinds))]
    starts, ends = chosen["start"].to_numpy(np.int64), chosen["end"].to_numpy(np.int64)
    strand = chosen["strand"].to_numpy()
    last = np.maximum(starts, ends - 1)
    position = np.select([strand == "+", strand == "-"], [starts, last], (starts + last) // 2)
    sites = chosen[["contig", "strand", "name"]].assign(position=position)[list(SITE_COLUMNS)]
    return sites.drop_duplicates(["contig", "position", "strand"]).reset_index(drop=True)


def next_gene(
    calls: pd.DataFrame, genes: pd.DataFrame, *, circular: Mapping[str, int] | None = None
) -> pd.DataFrame:
    """Return, for each call, the first gene that starts downstream of its summit on the same strand.

    Parameters
    ----------
    calls : pd.DataFrame
        Columns ``contig, summit, strand``.
    genes : pd.DataFrame
        An annotation; where it holds several kinds, the rows that :func:`sites_of` takes.
    circular : mapping of str to int, optional
        Length of each circular contig, whose origin is gone over.

    Returns
    -------
    pd.DataFrame
        ``gene`` (name) and ``distance`` (bp from summit to the gene's first base, 0 on that base), with the
        calls' index; "" and -1 where there is no gene downstream or the call has no strand.
    """
    names = np.full(len(calls), "", dtype=object)
    distances = np.full(len(calls), -1, dtype=np.int64)
    starts_of = {key: group for key, group in sites_of(genes).groupby(["contig", "strand"], sort=False)}
    for (contig, strand), rows in calls.groupby(["contig", "strand"], sort=False).indices.items():
        starts = starts_of.get((contig, strand))
        if starts is not None and strand in ("+", "-"):
            sign = 1 if strand == "+" else -1
            turn = (circular or {}).get(contig)
            summits = calls["summit"].to_numpy(np.int64)[rows]
            row, far = _downstream(sign * starts["position"].to_numpy(), sign * summits, turn)
            distances[rows] = far
            names[rows] = np.where(row >= 0, starts["name"].to_numpy()[row], "")
    return pd.DataFrame({"gene": names, "distance": distances}, index=calls.index)


def call_table(
    calls: pd.DataFrame,
    *,
    q_values: np.ndarray | None = None,
    expected: np.ndarray | None = None,
    genes: pd.DataFrame | None = None,
    circular: Mapping[str, int] | None = None,
) -> pd.DataFrame:
    """Return the calls with what else is known of each, for a page or for columns after the stable six.

    Parameters
    ----------
    calls : pd.DataFrame
    q_values, expected : np.ndarray, optional
        (calls,) see :class:`genolm.significance.Background`; columns ``q_value`` and ``expected_per_mb``.
    genes : pd.DataFrame, optional
        An annotation; columns ``gene`` and ``gene_distance`` as by :func:`next_gene`.
    circular : mapping of str to int, optional
        Length of each circular contig.
    """
    table = calls.copy()
    if q_values is not None:
        table["q_value"] = np.asarray(q_values, dtype=np.float64)
    if expected is not None:
        table["expected_per_mb"] = np.asarray(expected, dtype=np.float64)
    if genes is not None:
        found = next_gene(calls, genes, circular=circular)
        table["gene"], table["gene_distance"] = found["gene"], found["distance"]
    return table


def _downstream(starts: np.ndarray, summits: np.ndarray, turn: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Return row of and distance to the first start at or after each summit, -1 and -1 where none is."""
    if turn:
        starts, summits = starts % turn, summits % turn
    order = np.argsort(starts, kind="stable")
    place = np.searchsorted(starts[order], summits, side="left")
    beyond = place == len(order)
    row = order[np.where(beyond, 0, place)]
    distance = starts[row] - summits
    if turn:
        return row, distance % turn
    return np.where(beyond, -1, row), np.where(beyond, -1, distance)


def _form_of(path: PathLike) -> str:
    """Return the format of a file, found by its first lines."""
    lines = [line for line in _first_lines(path) if line.strip()]
    body = [line for line in lines if not line.startswith(("#", "track", "browser"))]
    if lines and lines[0].startswith(("LOCUS ", "ID   ")):
        return "GenBank" if lines[0].startswith("LOCUS") else "EMBL"
    fields = body[0].split("\t") if body else []
    if lines and lines[0].startswith("##gff-version") or len(fields) == 9 and fields[6] in "+-.?":
        return "GFF3"
    columns = body[0].split() if body else []
    if len(columns) >= 3 and columns[1].isdecimal() and columns[2].isdecimal():
        return "BED"
    raise TableError(
        f"{path} is none of GFF3, GenBank, EMBL and BED, whatever its name"
        + (f"; its first line is '{lines[0].strip()[:60]}'." if lines else "; it is empty.")
    )


def _first_lines(path: PathLike) -> list[str]:
    try:
        with _opened(path) as handle:
            return [line for line, _ in zip(handle, range(_PROBE_LINES), strict=False)]
    except (OSError, EOFError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise TableError(f"{path} cannot be read as text: {reason}.") from error


def _opened(path: PathLike) -> TextIO:
    with open(path, "rb") as probe:
        packed = probe.read(2) == b"\x1f\x8b"
    opener = gzip.open if packed else open
    return opener(path, "rt", encoding="utf-8-sig")  # type: ignore[return-value]


def _read_gff3(path: PathLike) -> pd.DataFrame:
    table = read_gff3(path)
    table = table[~table["type"].isin(_RECORDS)].rename(columns={"type": "kind"})
    attributes = table["attributes"].tolist()
    table = table.assign(
        name=[next((item[key] for key in _NAME_KEYS if item.get(key)), "") for item in attributes],
        strand=table["strand"].replace("?", "."),
        # Lines of one ID are one feature; a line without an ID stands for itself.
        feature=[item.get("ID") or f" {number}" for number, item in enumerate(attributes)],
    )
    merged = table.groupby(["contig", "kind", "feature"], sort=False).agg(
        {"start": "min", "end": "max", "strand": "first", "name": "first"}
    )
    return merged.reset_index()


def _read_flat(path: PathLike, form: str) -> tuple[pd.DataFrame, list[str]]:
    """Return the features of a GenBank or EMBL file, with the locus name of their record."""
    rows: list[tuple[Any, ...]] = []
    unread = 0
    for record in _flat_records(path, form):
        circular = record.annotations.get("topology") == "circular"
        for feature in record.features:
            place = feature_place(feature, len(record), circular=circular)
            if feature.type in _RECORDS:
                continue
            if place is None:
                unread += 1
            else:
                rows.append((contig_name(record), *place, feature_name(feature), feature.type, record.name))
    table = pd.DataFrame(rows, columns=[*FEATURE_COLUMNS, "locus"])
    note = f"Features left out, on other records or at no place that can be read: {unread:,}."
    return table, [note] if unread else []


def _flat_records(path: PathLike, form: str) -> Iterator[Any]:
    from Bio import SeqIO

    try:
        with _opened(path) as handle, warnings.catch_warnings():
            # Odd header lines and places beyond the record's end; the latter are counted by the caller.
            warnings.simplefilter("ignore")
            yield from SeqIO.parse(handle, _PARSERS[form])
    except (ValueError, AssertionError, EOFError, OSError, IndexError, KeyError) as error:
        raise TableError(f"{path} is damaged or not {form} ({error}).") from error


def _on_contigs(table: pd.DataFrame, contigs: list[str], path: PathLike, notes: list[str]) -> pd.DataFrame:
    """Give the features the genome's names of their contigs and leave out those of other contigs."""
    known = set(contigs)
    bare: dict[str, list[str]] = {}
    for name in contigs:
        bare.setdefault(_bare(name), []).append(name)
    found: dict[str, str | None] = {}
    pairs = table[["contig", "locus"]] if "locus" in table else table[["contig"]].assign(locus="")
    for own, locus in pairs.drop_duplicates().itertuples(index=False, name=None):
        alike = bare.get(_bare(own), [])
        exact = own if own in known else locus if locus in known else None
        found[own] = exact or (alike[0] if len(alike) == 1 else None)
    names = table["contig"].map(found)
    lost = [own for own, name in found.items() if name is None]
    if len(lost) == len(found):
        raise TableError(
            f"{Path(path).name} speaks of {_some(lost)}, the genome of {_some(contigs)}; the names of the "
            "records must be the same."
        )
    if lost:
        count = int(names.isna().sum())
        notes.append(f"Features left out, on records that the genome has not ({_some(lost)}): {count:,}.")
    return table.assign(contig=names)[names.notna()]


def _bare(name: str) -> str:
    """Return a record's name without its version."""
    stem, dot, version = name.rpartition(".")
    return stem if dot and version.isdecimal() else name


def _some(names: list[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4:,} more" if len(names) > 4 else "")
