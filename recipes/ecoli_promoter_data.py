"""Promoters of E. coli K-12 against what a scan of its genome meets: the table of the default scanning model.

Positives: transcription start sites (TSS) of RegulonDB 13 with confidence Confirmed or Strong, that is with
the start mapped by experiment. Sites of one strand that lie 5 bp or less apart are one site (the best
confidence, then the middle one). Weak sites are mostly computer predictions: they are never labels of the
main table and serve as extra training rows only; all sites, weak ones too, keep negatives away.

Window: 80 bp before the TSS to 40 bp from it on, 120 bp with the TSS at index 80. That holds the -10 and -35
boxes, the UP element (-38 to -59), the activator sites next to it (CRP at -61.5, -71.5) and the
discriminator and early transcribed bases. Of six windows from 60+20 to 120+80 bp it gave a positional
logistic regression the best validation AUPRC (0.515; the others 0.45 to 0.49, so the choice matters little).

Negatives, 8 for each positive, in two parts. The natural part is drawn evenly from the positions of both
strands and named by what its TSS position lies in: ``gene_sense``, ``gene_antisense`` or ``intergenic``. The
hard part has a fixed share: more ``intergenic`` ones, ``shifted`` (20 to 150 bp beside a TSS), ``opposite``
(a TSS read on the other strand), ``shuffled`` (a promoter with its dinucleotide counts kept). No negative
lies less than 20 bp from a known site on its strand, and no natural one less than 150 bp. The stretch of 300
bp before a gene that starts a transcription unit but has no known site there must hold a promoter that
nobody mapped: no negative is drawn from it.

Split: by blocks of 50 kb, the first 600 kb wholly test (for the evaluation of scans), and the reserved
region with 200 bp on either side in nothing. Training rows that share 16 bp on either strand with a
validation or test row are dropped, so are validation rows that do with a test row.

Written: ``promoter.csv.gz``; ``promoter_extra.csv.gz``, more training rows (kinds ``tss_weak``,
``tss_jitter``: a site off by 1 to 4 bp, and natural negatives); ``tss.csv``, every site with its split;
``promoter.json``.
"""

import argparse
import csv
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from common import (
    ECOLI_GENBANK,
    AnnotatedGenome,
    counts_by,
    cut,
    dinucleotide_shuffle,
    five_prime,
    has_neighbour,
    leakage,
    open_text,
    overlaps,
    read_genbank,
    reverse_complement,
    sha256,
    source_file,
    strand_of,
    window_around,
    write_record,
    write_table,
)

from genolm.errors import GenolmError

REGULONDB = "regulondb/PromoterSet_v13_without_reserved_region.tsv.gz"
RANK = {"C": 0, "S": 1, "W": 2}
NATURAL_KINDS = ("gene_sense", "gene_antisense", "intergenic")
COLUMNS = [
    "sequence",
    "label",
    "split",
    "group",
    "name",
    "contig",
    "start",
    "end",
    "strand",
    "kind",
    "confidence",
    "sigma",
]


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
    extra_natural_per: float = 15.0
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


def natural_sites(
    masks: Masks, count: int, rng: np.random.Generator, *, only: str | None = None
) -> list[Site]:
    """Return ``count`` distinct sites drawn evenly from both strands, or from one kind of place."""
    plus, minus = (_candidates(masks, strand, only) for strand in "+-")
    places = np.concatenate([plus, minus])
    chosen = rng.choice(len(places), size=min(count, len(places)), replace=False)
    drawn = [(int(places[number]), "+" if number < len(plus) else "-") for number in chosen]
    return [Site(*place, masks.kind(*place)) for place in drawn]


def _candidates(masks: Masks, strand: str, only: str | None) -> np.ndarray:
    places = masks.background(strand)
    if only is None:
        return places
    other = "-" if strand == "+" else "+"
    inside = {
        "gene_sense": masks.gene[strand],
        "gene_antisense": ~masks.gene[strand] & masks.gene[other],
        "intergenic": ~masks.gene[strand] & ~masks.gene[other],
    }[only]
    return places[inside[places]]


def shifted_sites(sites: list[Site], masks: Masks, count: int, rng: np.random.Generator) -> Iterator[Site]:
    """Yield up to ``count`` sites 20 to 150 bp beside a TSS, evenly over the distances, sides and TSS."""
    settings, found = masks.settings, 0
    for _ in range(count * 20):
        origin = sites[rng.integers(len(sites))]
        offset = int(rng.integers(settings.near, settings.far, endpoint=True)) * int(rng.choice((-1, 1)))
        position = origin.position + (offset if origin.strand == "+" else -offset)
        if found < count and masks.allows(position, origin.strand):
            found += 1
            yield Site(position, origin.strand, "shifted", f"{origin.name}{offset:+d}")


def opposite_sites(sites: list[Site], masks: Masks, count: int, rng: np.random.Generator) -> list[Site]:
    """Return up to ``count`` TSS read on the other strand, none of them near a TSS there."""
    turned = [
        Site(site.position, "-" if site.strand == "+" else "+", "opposite", site.name) for site in sites
    ]
    allowed = [site for site in turned if masks.allows(site.position, site.strand)]
    chosen = rng.choice(len(allowed), size=min(count, len(allowed)), replace=False)
    return [allowed[number] for number in chosen]


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


def cut_rows(sites: list[Site], genome: AnnotatedGenome, settings: Settings, *, seed: int) -> pd.DataFrame:
    """Return one row of the table for each site."""
    splits, rows = block_splits(len(genome.sequence), genome.reserved, settings), []
    rng = np.random.default_rng(seed)
    for site in sites:
        span = window_around(site.position, site.strand, before=settings.before, after=settings.after)
        sequence = cut(genome.sequence, *span, site.strand)
        if site.kind == "shuffled":
            sequence = dinucleotide_shuffle(sequence, rng)
        block = site.position // settings.block
        name = f"{site.name or site.position}{site.strand}:{site.kind}"
        rows.append(
            (
                sequence,
                int(site.kind.startswith("tss")),
                splits[block],
                f"b{block}",
                name,
                genome.contig,
                *span,
                site.strand,
                site.kind,
                site.confidence,
                site.sigma,
            )
        )
    return pd.DataFrame(rows, columns=COLUMNS)


def main_sites(sites: list[Site], masks: Masks, settings: Settings, rng: np.random.Generator) -> list[Site]:
    """Return positives and their negatives."""
    size = len(sites)
    shuffled = rng.choice(size, size=min(size, round(settings.shuffled_per * size)), replace=False)
    return [
        *sites,
        *natural_sites(masks, round(settings.natural_per * size), rng),
        *natural_sites(masks, round(settings.intergenic_per * size), rng, only="intergenic"),
        *shifted_sites(sites, masks, round(settings.shifted_per * size), rng),
        *opposite_sites(sites, masks, round(settings.opposite_per * size), rng),
        *(sites[number]._replace(kind="shuffled", confidence="", sigma="") for number in shuffled),
    ]


def extra_sites(
    sites: list[Site], weak: list[Site], masks: Masks, settings: Settings, rng: np.random.Generator
) -> list[Site]:
    """Return further sites for training: weak TSS, TSS off by 1 to 4 bp, more natural negatives."""
    jittered = [
        site._replace(position=site.position + int(offset), kind="tss_jitter")
        for site in sites
        for offset in rng.choice((-4, -3, -2, -1, 1, 2, 3, 4), size=2, replace=False)
    ]
    return [site for site in (*weak, *jittered) if masks.usable[site.strand][site.position]] + natural_sites(
        masks, round(settings.extra_natural_per * len(sites)), rng
    )


def drop_neighbours(
    table: pd.DataFrame, against: pd.DataFrame, shared: int
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Drop training rows near a valid or test row of ``against``, valid rows near a test row; count them."""
    drop = np.zeros(len(table), dtype=bool)
    counts = {}
    for split, others in (("train", ("valid", "test")), ("valid", ("test",))):
        rows = (table["split"] == split).to_numpy()
        held_out = against.loc[against["split"].isin(others), "sequence"].tolist()
        near = has_neighbour(table.loc[rows, "sequence"].tolist(), held_out, k=shared)
        drop[np.flatnonzero(rows)[near]] = True
        counts |= {
            f"{split}_rows": int(near.sum()),
            f"{split}_positives": int((near & (table.loc[rows, "label"] == 1)).sum()),
        }
    return table[~drop].reset_index(drop=True), counts


class Built(NamedTuple):
    """What :func:`build` makes."""

    table: pd.DataFrame
    extra: pd.DataFrame
    tss: pd.DataFrame
    record: dict[str, Any]


def positive_sites(tss: pd.DataFrame, masks: Masks, settings: Settings) -> tuple[list[Site], list[Site]]:
    """Return the merged sites of the main table and the weak ones that lie apart from them."""
    sound = tss[tss["agrees"] & tss["confidence"].isin(list(RANK))]
    sites = [site for site in merge_sites(sound, settings.merge) if masks.usable[site.strand][site.position]]
    weak = [site._replace(kind="tss_weak") for site in sites if site.confidence == "W"]
    return [site for site in sites if site.confidence != "W"], weak


def build(genome: AnnotatedGenome, tss: pd.DataFrame, settings: Settings) -> Built:
    """Return the tables and their record."""
    rng = np.random.default_rng(settings.seed)
    masks = Masks(genome, tss, settings)
    sites, weak = positive_sites(tss, masks, settings)
    if not sites:
        raise GenolmError("No Confirmed or Strong TSS agrees with the genome; are both of the same assembly?")
    whole = cut_rows(main_sites(sites, masks, settings, rng), genome, settings, seed=settings.seed)
    whole = whole.drop_duplicates(["start", "strand", "kind"])
    table, dropped = drop_neighbours(whole, whole, settings.shared)
    extra = cut_rows(extra_sites(sites, weak, masks, settings, rng), genome, settings, seed=settings.seed)
    extra = extra[extra["split"] == "train"].drop_duplicates(["start", "strand"])
    extra, extra_dropped = drop_neighbours(extra, table, settings.shared)
    splits = block_splits(len(genome.sequence), genome.reserved, settings)
    used = {(site.position, site.strand) for site in sites}
    tss = tss.assign(
        contig=genome.contig,
        split=[splits[position // settings.block] for position in tss["position"]],
        in_table=[int(key in used) for key in zip(tss["position"], tss["strand"])],
        agrees=tss["agrees"].astype(int),
    )
    record = {
        "positives_before_neighbours_were_dropped": len(sites),
        "dropped_as_neighbours": dropped,
        "extra_dropped_as_neighbours": extra_dropped,
        "split_label": counts_by(table, "split", "label"),
        "split_kind": counts_by(table, "split", "kind"),
        "extra_kind": counts_by(extra, "kind"),
        "tss_confidence": counts_by(tss, "confidence"),
        "tss_not_as_in_the_genome": int((tss["agrees"] == 0).sum()),
        "tss_by_split": counts_by(tss, "split", "confidence"),
        "blocks": {name: splits.count(name) for name in sorted(set(splits))},
        "share_of_strand_positions_before_unmapped_genes": round(
            float(np.mean([masks.unmapped[strand].mean() for strand in "+-"])), 4
        ),
        "leakage": leakage(table, sizes=(settings.shared, 20, 30)),
        "window": {"length": settings.before + settings.after, "anchor": settings.before},
        "reserved": genome.reserved,
        "settings": asdict(settings),
        "seed": settings.seed,
    }
    return Built(table, extra, tss, record)


def check_reserved(built: Built, genome: AnnotatedGenome) -> None:
    """Raise a :class:`GenolmError` if any row overlaps the reserved region."""
    for table in (built.table, built.extra):
        inside = [overlaps(start, end, genome.reserved) for start, end in zip(table["start"], table["end"])]
        if any(inside):
            raise GenolmError(f"{sum(inside)} rows overlap the reserved region {genome.reserved}.")


def main(arguments: list[str] | None = None) -> None:
    """Read the command line and write the three tables and the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data", type=Path, required=True, help=f"folder with {ECOLI_GENBANK} and {REGULONDB}"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to write into")
    parser.add_argument("--before", type=int, default=Settings.before, help="bases before the TSS")
    parser.add_argument("--after", type=int, default=Settings.after, help="bases from the TSS on")
    parser.add_argument("--seed", type=int, default=Settings.seed)
    options = parser.parse_args(arguments)
    paths = {name: source_file(options.data, name) for name in (ECOLI_GENBANK, REGULONDB)}
    genome = read_genbank(paths[ECOLI_GENBANK])
    tss, left_out = read_tss(paths[REGULONDB], genome)
    built = build(genome, tss, Settings(before=options.before, after=options.after, seed=options.seed))
    check_reserved(built, genome)
    hashes = {
        name: write_table(getattr(built, part), options.out / name)
        for name, part in (("promoter.csv.gz", "table"), ("promoter_extra.csv.gz", "extra"))
    }
    built.tss.to_csv(options.out / "tss.csv", index=False, lineterminator="\n")
    write_record(
        options.out / "promoter.json",
        built.record
        | {
            "tss_left_out": left_out,
            "table_sha256": hashes,
            "sources": {name: sha256(path) for name, path in paths.items()},
        },
    )
    print(f"{len(built.table)} rows written to {options.out / 'promoter.csv.gz'}")


if __name__ == "__main__":
    main()
