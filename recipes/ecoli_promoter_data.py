"""Promoters of E. coli K-12 against what a scan of its genome meets: the table of the default scanning model.

Positives: transcription start sites (TSS) of RegulonDB 13 with confidence Confirmed or Strong, that is with
the start mapped by experiment. Sites of one strand that lie 5 bp or less apart are one site (the best
confidence, then the middle one). Weak sites are mostly computer predictions: they are never labels of the
table; all sites, weak ones too, keep negatives away.

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

Written: ``promoter.csv.gz``; ``tss.csv``, every site with its split; ``promoter.json``.
"""

import argparse
from collections.abc import Iterator
from dataclasses import asdict
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
    has_neighbour,
    leakage,
    overlaps,
    read_genbank,
    sha256,
    source_file,
    window_around,
    write_record,
    write_table,
)
from ecoli_promoter_sites import (
    REGULONDB,
    Masks,
    Settings,
    Site,
    block_splits,
    positive_sites,
    read_tss,
)

from genolm.errors import GenolmError

TABLE = "promoter.csv.gz"
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
    tss: pd.DataFrame
    record: dict[str, Any]


def build(genome: AnnotatedGenome, tss: pd.DataFrame, settings: Settings) -> Built:
    """Return the tables and their record."""
    rng = np.random.default_rng(settings.seed)
    masks = Masks(genome, tss, settings)
    sites, _ = positive_sites(tss, masks, settings)
    if not sites:
        raise GenolmError("No Confirmed or Strong TSS agrees with the genome; are both of the same assembly?")
    whole = cut_rows(main_sites(sites, masks, settings, rng), genome, settings, seed=settings.seed)
    whole = whole.drop_duplicates(["start", "strand", "kind"])
    table, dropped = drop_neighbours(whole, whole, settings.shared)
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
        "split_label": counts_by(table, "split", "label"),
        "split_kind": counts_by(table, "split", "kind"),
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
    return Built(table, tss, record)


def check_reserved(built: Built, genome: AnnotatedGenome) -> None:
    """Raise a :class:`GenolmError` if any row overlaps the reserved region."""
    table = built.table
    inside = [overlaps(start, end, genome.reserved) for start, end in zip(table["start"], table["end"])]
    if any(inside):
        raise GenolmError(f"{sum(inside)} rows overlap the reserved region {genome.reserved}.")


def main(arguments: list[str] | None = None) -> None:
    """Read the command line and write the table, the sites and the record."""
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
    digest = write_table(built.table, options.out / TABLE)
    built.tss.to_csv(options.out / "tss.csv", index=False, lineterminator="\n")
    write_record(
        options.out / "promoter.json",
        built.record
        | {
            "tss_left_out": left_out,
            "table_sha256": {TABLE: digest},
            "sources": {name: sha256(path) for name, path in paths.items()},
        },
    )
    print(f"{len(built.table)} rows written to {options.out / TABLE}")


if __name__ == "__main__":
    main()
