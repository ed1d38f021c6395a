"""What a person types to go somewhere in a finished scan: a place, a contig, or a gene."""

from dataclasses import dataclass

import pandas as pd

from genolm.errors import RegionError
from genolm.regions import Region, parse_region
from pages.shared.scan_data import Finished

BESIDE_GENE = 250


@dataclass(frozen=True)
class Found:
    """Where to go, and what is worth knowing of it."""

    region: Region
    note: str = ""


def find(typed: str, found: Finished, contig: str) -> Found:
    """Return where a typed place is; one without the name of a contig is on ``contig``.

    The names of contigs go before those of genes, which are known in any case of their letters.

    Raises
    ------
    RegionError
        If it is none of them.
    """
    text = typed.strip()
    if text not in found.lengths:
        named = _named(text, found.genes)
        if named is not None:
            return _gene(text, named, found, contig)
    try:
        whole = text if ":" in text or text in found.lengths else f"{contig}:{text}"
        region = parse_region(whole, contigs=found.lengths, circular=found.circular)
    except RegionError as error:
        if text[:1].isdigit() or ":" in text:
            raise
        genes = "" if found.genes is None else " or gene"
        raise RegionError(
            f"There is no contig{genes} named {text!r} in this scan; "
            "a place is written as 20,400-20,800, or with its contig as in chr1:1K-10K."
        ) from error
    return _within(region, found)


def _named(text: str, genes: pd.DataFrame | None) -> pd.DataFrame | None:
    """Return the genes of this name, those written just so before others; None if there is none."""
    if genes is None:
        return None
    same = genes[genes["name"] == text]
    if same.empty:
        same = genes[genes["name"].str.casefold() == text.casefold()]
    return None if same.empty else same


def _gene(name: str, named: pd.DataFrame, found: Finished, contig: str) -> Found:
    """Return the gene with its surroundings: the one of ``contig`` where there are several."""
    here = named[named["contig"] == contig]
    gene = (named if here.empty else here).iloc[0]
    own, length = Region(gene["contig"], int(gene["start"]), int(gene["end"])), found.lengths[gene["contig"]]
    if own.end > length:
        shown = _within(own, found)
    else:
        shown = Found(Region(own.contig, max(0, own.start - BESIDE_GENE), min(length, own.end + BESIDE_GENE)))
    if len(named) == 1:
        return shown
    several = f"{len(named):,} genes are named {name}; this is the one at {own}."
    return Found(shown.region, f"{several} {shown.note}".strip())


def _within(region: Region, found: Finished) -> Found:
    """Return the region, or the longer of its sides where it goes over the origin of a circular contig."""
    length = found.lengths[region.contig]
    if region.end <= length:
        return Found(region)
    before, behind = Region(region.contig, region.start, length), Region(region.contig, 0, region.end - length)
    shown, other = (before, behind) if before.length >= behind.length else (behind, before)
    return Found(shown, f"{region} goes over the origin. Here is the longer side, {shown}; the other is {other}.")
