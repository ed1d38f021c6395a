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

from genolm.errors import TableError, first_names
from genolm.feature_readers import is_bed_remark, read_bed, read_gff3
from genolm.gene_finding import predict_genes
from genolm.genbank import FEATURE_COLUMNS, contig_name, feature_name, feature_place, said_form
from genolm.topology import CIRCULAR, LINEAR, five_prime_parts

__all__ = ["call_table", "gene_starts", "genes_of", "next_gene", "predict_genes", "read_annotation", "sites_of"]

SITE_COLUMNS = ("contig", "position", "strand", "name")
SITE_KINDS = (("TSS", "transcription_start_site"), ("gene",), ("CDS",))
GENE_KINDS = (("gene", "pseudogene", "ncRNA_gene"), ("CDS", "tRNA", "rRNA", "ncRNA", "tmRNA"))
_NAME_KEYS = ("gene", "Name", "locus_tag", "ID", "product")
_RECORDS = ("source", "region")
# Biopython's name of the format, and how it knows a record's first line.
_PARSERS = {"GenBank": ("genbank", "LOCUS       "), "EMBL": ("embl", "ID   ")}
_PROBE_LINES = 200

PathLike = str | os.PathLike[str]


def read_annotation(
    path: PathLike,
    *,
    contigs: Mapping[str, int] | Iterable[str] | None = None,
    circular: Iterable[str] | None = None,
) -> pd.DataFrame:
    """Read the features of a GFF3, GenBank, EMBL or BED file, plain or gzip; its content says which it is.

    Parameters
    ----------
    path : path
    contigs : mapping of str to int, or iterable of str, optional
        The genome's contigs. A record of the file is also one of theirs when the names differ only in
        the version (``NC_000913.3`` and ``NC_000913``) and no other record could be meant, or by its locus
        name in GenBank. Features of other records are left out, and, where lengths are given, those beyond
        their contig; a file of which nothing remains is refused.
    circular : iterable of str, optional
        Those of ``contigs`` that are circles, where a feature may go over the origin; by default those that
        the file itself calls circles. Of a feature of GenBank or EMBL that goes over it on others the part
        with its 5' end stays.

    Returns
    -------
    pd.DataFrame
        ``contig, start, end, strand, name, kind``. The lines of a GFF3 feature that has several (one ID)
        are one row from its first base to its last. The name is the gene's, else that of the feature, its
        locus tag or ID; the kind of a BED line is "". ``attrs["notes"]`` says in sentences what was left out or cut.

    Raises
    ------
    TableError
        For a file of another format or with a fault: names file and line.
    """
    form = _form_of(path)
    if form in _PARSERS:
        table, notes = _read_flat(path, form)
    else:
        table = _read_gff3(path) if form == "GFF3" else read_bed(path).assign(kind="", circle=False)
        notes = []
    if table.empty:
        raise TableError(f"{path} is {form}, but there is no feature in it.")
    if contigs is not None:
        table = _on_contigs(table, list(contigs), path, notes)
        if circular is not None:
            table = table.assign(circle=table["contig"].isin(set(circular)))
    if "length" in table:
        table = _cut_at_ends(table, notes)
    if isinstance(contigs, Mapping):
        table = _within(table, contigs, path, notes)
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


def genes_of(annotation: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that are genes, of RNA and pseudogenes too, else those of CDS and RNA, else all.

    Genes or else CDS of each contig by itself, for many a plasmid has CDS alone; all where no contig has either.
    """
    left = pd.Series(True, index=annotation.index)
    chosen = ~left
    for group in GENE_KINDS:
        rows = left & annotation["kind"].isin(group)
        chosen |= rows
        left &= ~annotation["contig"].isin(annotation.loc[rows, "contig"].unique())
    return annotation[chosen if chosen.any() else left].reset_index(drop=True)


def gene_starts(annotation: pd.DataFrame) -> pd.DataFrame:
    """Return the 5' ends of :func:`genes_of`, as :func:`sites_of` gives them."""
    genes = genes_of(annotation)
    return sites_of(genes, genes["kind"].unique())


def next_gene(
    calls: pd.DataFrame, genes: pd.DataFrame, *, circular: Mapping[str, int] | None = None, behind: int = 0
) -> pd.DataFrame:
    """Return, for each call, the first gene that starts downstream of its summit on the same strand.

    Parameters
    ----------
    calls : pd.DataFrame
        Columns ``contig, summit, strand``.
    genes : pd.DataFrame
        An annotation; where it holds several kinds, the rows that :func:`gene_starts` takes.
    circular : mapping of str to int, optional
        Length of each circular contig, whose origin is gone over.
    behind : int
        A start up to so many bp before the summit counts too, at distance 0: a scan knows a summit to its stride.

    Returns
    -------
    pd.DataFrame
        ``gene`` (name) and ``distance`` (bp from summit to the gene's first base, 0 on that base), with the
        calls' index; "" and -1 where there is no gene downstream or the call has no strand.
    """
    names = np.full(len(calls), "", dtype=object)
    distances = np.full(len(calls), -1, dtype=np.int64)
    starts_of = {key: group for key, group in gene_starts(genes).groupby(["contig", "strand"], sort=False)}
    for (contig, strand), rows in calls.groupby(["contig", "strand"], sort=False).indices.items():
        starts = starts_of.get((contig, strand))
        if starts is not None and strand in ("+", "-"):
            sign = 1 if strand == "+" else -1
            turn = (circular or {}).get(contig)
            summits = calls["summit"].to_numpy(np.int64)[rows]
            row, far = _downstream(sign * starts["position"].to_numpy(), sign * summits - behind, turn)
            distances[rows] = np.where(row >= 0, np.maximum(far - behind, 0), -1)
            names[rows] = np.where(row >= 0, starts["name"].to_numpy()[row], "")
    return pd.DataFrame({"gene": names, "distance": distances}, index=calls.index)


def call_table(
    calls: pd.DataFrame,
    *,
    q_values: np.ndarray | None = None,
    expected: np.ndarray | None = None,
    genes: pd.DataFrame | None = None,
    circular: Mapping[str, int] | None = None,
    behind: int = 0,
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
    behind : int
        See :func:`next_gene`.
    """
    table = calls.copy()
    if q_values is not None:
        table["q_value"] = np.asarray(q_values, dtype=np.float64)
    if expected is not None:
        table["expected_per_mb"] = np.asarray(expected, dtype=np.float64)
    if genes is not None:
        found = next_gene(calls, genes, circular=circular, behind=behind)
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
    body = [line for line in lines if not is_bed_remark(line.rstrip("\n"))]
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
    circles = [item.get("Is_circular", "").lower() == "true" for item in table["attributes"]]
    known = set(table["contig"][circles])
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
    merged = merged.reset_index()
    return merged.assign(circle=merged["contig"].isin(known))


def _read_flat(path: PathLike, form: str) -> tuple[pd.DataFrame, list[str]]:
    """Return the features of a GenBank or EMBL file, with the locus name, the form and the length of their record."""
    rows: list[tuple[Any, ...]] = []
    unread = 0
    for record, first in _flat_records(path, form):
        said, length = said_form(record, first), len(record)
        for feature in record.features:
            place = feature_place(feature, length, circular=said == CIRCULAR)
            if feature.type in _RECORDS:
                continue
            if place is None:
                unread += 1
                continue
            names = feature_name(feature), feature.type, record.name
            rows.append((contig_name(record), *place, *names, said != LINEAR, length))
    table = pd.DataFrame(rows, columns=[*FEATURE_COLUMNS, "locus", "circle", "length"])
    note = f"Features left out, on other records or at no place that can be read: {unread:,}."
    return table, [note] if unread else []


def _flat_records(path: PathLike, form: str) -> Iterator[tuple[Any, str]]:
    """Yield Biopython's records, each with its first line."""
    from Bio import SeqIO

    parser, mark = _PARSERS[form]
    try:
        with _opened(path) as handle:
            firsts = [line for line in handle if line.startswith(mark)]
        with _opened(path) as handle, warnings.catch_warnings():
            # Odd header lines and places beyond the record's end; the latter are counted by the caller.
            warnings.simplefilter("ignore")
            yield from zip(SeqIO.parse(handle, parser), firsts, strict=False)
    except (ValueError, AssertionError, EOFError, OSError, IndexError, KeyError) as error:
        raise TableError(f"{path} is damaged or not {form} ({error}).") from error


def _on_contigs(table: pd.DataFrame, contigs: list[str], path: PathLike, notes: list[str]) -> pd.DataFrame:
    """Give the features the genome's names of their contigs and leave out those of other contigs."""
    known, alike = set(contigs), _by_bare_name(contigs)
    records = _by_bare_name(table["contig"].unique())
    found: dict[str, str | None] = {}
    pairs = table[["contig", "locus"]] if "locus" in table else table[["contig"]].assign(locus="")
    for own, locus in pairs.drop_duplicates().itertuples(index=False, name=None):
        exact = own if own in known else locus if locus in known else None
        bare = _bare(own)
        found[own] = exact or _but_for_version(own, alike.get(bare, []), records[bare])
    names = table["contig"].map(found)
    lost = [own for own, name in found.items() if name is None]
    if len(lost) == len(found):
        raise TableError(
            f"{Path(path).name} speaks of {first_names(lost)}, the genome of {first_names(contigs)}; the names of "
            "the records must be the same."
        )
    if lost:
        count = int(names.isna().sum())
        notes.append(f"Features left out, on records that the genome has not ({first_names(lost)}): {count:,}.")
    return table.assign(contig=names)[names.notna()]


def _but_for_version(own: str, contigs: list[str], records: list[str]) -> str | None:
    """Return the contig that differs from a record in the version alone, None where it is not sure.

    Assemblers write ``scaffold.1, scaffold.2``: what looks like a version is a number there. So where the record
    has one, no other record of the file may be meant by the same contig.

    Parameters
    ----------
    own : str
        The record's name.
    contigs, records : list of str
        The names in the genome and in the file with the same bare name.
    """
    bare = _bare(own)
    if len(contigs) != 1:
        return None
    rivals = [name for name in records if name != bare] if contigs[0] == bare else records
    return contigs[0] if own == bare or rivals == [own] else None


def _cut_at_ends(table: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """Keep the part with the 5' end of features that go over the origin of a record that is no circle."""
    over = (table["end"] > table["length"]) & ~table["circle"]
    if over.any():
        names = first_names(table["contig"][over].unique().tolist())
        notes.append(f"Features over the origin, cut there since their contig is no circle ({names}): {over.sum():,}.")
    limits = table["length"].mask(table["circle"], 2 * table["length"]).to_numpy(np.int64)
    start, end, strand = (table[key].to_numpy() for key in ("start", "end", "strand"))
    start, end = five_prime_parts(start, end, strand, limits)
    return table.assign(start=start, end=end)


def _within(table: pd.DataFrame, lengths: Mapping[str, int], path: PathLike, notes: list[str]) -> pd.DataFrame:
    """Leave out features beyond the end of their contig; on a circle they may end up to one turn later."""
    size = table["contig"].map(dict(lengths)).astype(np.int64)
    beyond = (table["start"] >= size) | (table["end"] > size * (1 + table["circle"].astype(np.int64)))
    names = table["contig"][beyond].unique().tolist()
    if beyond.all():
        raise TableError(
            f"Every feature of {Path(path).name} lies beyond the end of its contig ({first_names(names)}); the file "
            "belongs to another genome or to another version of this one."
        )
    if names:
        notes.append(f"Features left out, beyond the end of their contig ({first_names(names)}): {beyond.sum():,}.")
    return table[~beyond]


def _by_bare_name(names: Iterable[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(_bare(name), []).append(name)
    return found


def _bare(name: str) -> str:
    """Return a record's name without its version."""
    stem, dot, version = name.rpartition(".")
    return stem if dot and version.isdecimal() else name
