"""Transcription start sites (TSS) of E. coli K-12: which count, where else a window may stand, and the blocks.

Shared by the table of single windows (``ecoli_promoter_data.py``), the stretches that the scanning model learns
from, and the judging of its scans.
"""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from common import AnnotatedGenome, five_prime, open_text, reverse_complement, strand_of, window_around

from genolm.errors import GenolmError

REGULONDB = "regulondb/PromoterSet_v13_without_reserved_region.tsv.gz"
RANK = {"C": 0, "S": 1, "W": 2}
NATURAL_KINDS = ("gene_sense", "gene_antisense", "intergenic")


@dataclass(frozen=True)
class Settings:
    """Numbers of this recipe; lengths in bp, ``*_per`` in rows for each positive of the main table."""

    before: int = 80
    after: int = 40
    merge: int = 5
    far: int = 150
    near: int = 20
    unmapped: int = 300
    operon_gap: int = 40
    block: int = 50_000
    test_region: tuple[int, int] = (0, 600_000)
    test_share: float = 0.04
    valid_share: float = 0.16
    shared: int = 16
    reserved_margin: int = 200
    natural_per: float = 5.0
    intergenic_per: float = 0.5
    shifted_per: float = 1.5
    opposite_per: float = 0.5
    shuffled_per: float = 0.5
    seed: int = 1


class Site(NamedTuple):
    """A place where a window is anchored: 0-based position on a strand, and what it is."""

    position: int
    strand: str
    kind: str
    name: str = ""
    confidence: str = ""
    sigma: str = ""


def read_tss(path: Path, genome: AnnotatedGenome) -> tuple[pd.DataFrame, dict[str, int]]:
    """Return every TSS with a position, and counts of rows left out.

    Columns: name, position (0-based), strand, confidence (C, S, W or empty), sigma, and ``agrees``: the 81 bp
    that RegulonDB prints are those of the genome.
    """
    with open_text(path) as handle:
        lines = [line for line in handle if not line.startswith("#")]
    rows, left_out = [], {"without_position": 0}
    for fields in csv.reader(lines[1:], delimiter="\t", quoting=csv.QUOTE_NONE):
        if not fields[3].strip():
            left_out["without_position"] += 1
            continue
        if fields[2] not in ("forward", "reverse"):
            raise GenolmError(
                f"{path}: {fields[0]} has the strand '{fields[2]}'; forward or reverse is expected."
            )
        position, strand = int(fields[3]) - 1, "+" if fields[2] == "forward" else "-"
        confidence = fields[10] if fields[10] in RANK else ""
        seen = genome.sequence[slice(*window_around(position, strand, before=60, after=21))]
        seen = seen if strand == "+" else reverse_complement(seen)
        rows.append(
            (fields[1] or fields[0], position, strand, confidence, fields[4], seen == fields[5].upper())
        )
    table = pd.DataFrame(rows, columns=["name", "position", "strand", "confidence", "sigma", "agrees"])
    return table.sort_values(["position", "strand"], kind="stable").reset_index(drop=True), left_out


def merge_sites(tss: pd.DataFrame, distance: int) -> list[Site]:
    """Return one site for each run of TSS on a strand that lie ``distance`` or less apart."""
    sites = []
    for strand, part in tss.groupby("strand"):
        runs = (part["position"].diff() > distance).cumsum()
        for _, run in part.groupby(runs):
            best = run[run["confidence"].map(RANK) == run["confidence"].map(RANK).min()]
            chosen = best.iloc[(len(best) - 1) // 2]
            sigma = ";".join(sorted({name for name in run["sigma"] if name}))
            sites.append(
                Site(int(chosen["position"]), strand, "tss", chosen["name"], chosen["confidence"], sigma)
            )
    return sorted(sites)


class Masks:
    """What holds at each position, per strand: in a gene, near a TSS, before an unmapped gene."""

    def __init__(self, genome: AnnotatedGenome, tss: pd.DataFrame, settings: Settings) -> None:
        size = len(genome.sequence)
        self.settings = settings
        self.gene, self.near, self.far, self.unmapped = (
            {strand: np.zeros(size, dtype=bool) for strand in "+-"} for _ in range(4)
        )
        self.positions = {strand: part["position"].to_numpy() for strand, part in tss.groupby("strand")}
        for strand, position in zip(tss["strand"], tss["position"]):
            for mask, reach in ((self.near, settings.near), (self.far, settings.far)):
                mask[strand][max(0, position - reach + 1) : position + reach] = True
        self._mark_genes(genome)
        self.usable = {strand: self._usable(genome, strand) for strand in "+-"}

    def _mark_genes(self, genome: AnnotatedGenome) -> None:
        for strand in "+-":
            genes = sorted(
                (int(gene.location.start), int(gene.location.end))
                for gene in genome.of_type("gene")
                if strand_of(gene) == strand
            )
            for start, end in genes:
                self.gene[strand][start:end] = True
            for start, end in genes:
                self._mark_unmapped(start, end, strand)

    def _mark_unmapped(self, start: int, end: int, strand: str) -> None:
        """Mark the stretch before a gene that follows no other closely and has no TSS there."""
        first, reach, gap = five_prime(start, end, strand), self.settings.unmapped, self.settings.operon_gap
        low, high = window_around(first, strand, before=gap, after=0)
        if self.gene[strand][max(0, low) : high].any():
            return
        low, high = window_around(first, strand, before=reach, after=1)
        known = self.positions.get(strand, np.empty(0))
        if not ((known >= low) & (known < high)).any():
            self.unmapped[strand][max(0, low) : high] = True

    def _usable(self, genome: AnnotatedGenome, strand: str) -> np.ndarray:
        """Return where a window may be anchored: inside the sequence and clear of the reserved region."""
        settings, size = self.settings, len(genome.sequence)
        low, high = window_around(0, strand, before=settings.before, after=settings.after)
        usable = np.zeros(size, dtype=bool)
        usable[-low : size - high + 1] = True
        start, end = genome.reserved
        if end > start:
            margin = settings.reserved_margin
            usable[max(0, start - margin - high + 1) : end + margin - low] = False
        return usable

    def background(self, strand: str) -> np.ndarray:
        """Return the positions of a strand that can be natural negatives."""
        return np.flatnonzero(self.usable[strand] & ~self.far[strand] & ~self.unmapped[strand])

    def allows(self, position: int, strand: str) -> bool:
        """Tell whether a hard negative may be anchored here."""
        inside = 0 <= position < len(self.usable[strand])
        return bool(
            inside
            and self.usable[strand][position]
            and not self.near[strand][position]
            and not self.unmapped[strand][position]
        )

    def kind(self, position: int, strand: str) -> str:
        """Return what a position lies in, of :data:`NATURAL_KINDS`."""
        if self.gene[strand][position]:
            return "gene_sense"
        return "gene_antisense" if self.gene["-" if strand == "+" else "+"][position] else "intergenic"


def positive_sites(tss: pd.DataFrame, masks: Masks, settings: Settings) -> tuple[list[Site], list[Site]]:
    """Return the merged sites of the main table and the weak ones that lie apart from them."""
    sound = tss[tss["agrees"] & tss["confidence"].isin(list(RANK))]
    sites = [site for site in merge_sites(sound, settings.merge) if masks.usable[site.strand][site.position]]
    weak = [site._replace(kind="tss_weak") for site in sites if site.confidence == "W"]
    return [site for site in sites if site.confidence != "W"], weak


def block_splits(size: int, reserved: tuple[int, int], settings: Settings) -> list[str]:
    """Return the split of each block of the genome; blocks that lie in the reserved region are "reserved"."""
    starts = np.arange(0, size, settings.block)
    split = np.full(len(starts), "train", dtype=object)
    ends = np.minimum(starts + settings.block, size)
    split[(starts >= settings.test_region[0]) & (ends <= settings.test_region[1])] = "test"
    split[(starts >= reserved[0]) & (ends <= reserved[1])] = "reserved"
    free = np.random.default_rng(settings.seed).permutation(np.flatnonzero(split == "train"))
    tests, valids = round(settings.test_share * len(free)), round(settings.valid_share * len(free))
    split[free[:tests]] = "test"
    split[free[tests : tests + valids]] = "valid"
    return split.tolist()
