"""Human promoters of 251 bp: the tables of ``human-promoters-short.toml``.

Promoters reach from 200 bp before to 50 bp after the transcription start (TSS) of EPDnew: those at hand, and
all of EPDnew on chr20, chr21 and the first part of chr1. They come from all chromosomes, non-promoters from
these three, of four kinds:

gene
    Pieces of protein-coding genes after the first exon, on the gene's strand, as in CNNProm.
near
    500 to 5,000 bp from a TSS, on either strand.
island
    In CpG islands away from any TSS.
matched
    Anywhere, with the GC content of a promoter.

None overlaps another or lies less than 500 bp from a known TSS. ``strict`` is tested on chr21: all its
promoters and non-promoters, filled up with promoters of other chromosomes; training and validation rows that
resemble a row held out from them are left out. ``published`` divides at random, before anything is left out,
and has as many rows of each class in each part. ``large`` is ``strict`` with three times as many rows to learn
from and the same test.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from common import counts_by, source_file
from human_promoters import (
    LABELS,
    TEST_CHROMOSOME,
    Collector,
    Human,
    Window,
    leaks,
    random_strand,
    read_annotation,
    read_human,
    repeated,
    rows_of,
    same_size,
    sampled,
    source_names,
)
from table_parts import hashes_of, keep_apart, save_protocol, with_valid

from genolm.bootstrap import Estimate, Groups, taken
from genolm.errors import GenolmError
from genolm.metrics import binary_metrics

POSITIVES = "human_promoters_short/positives_-200_+50.csv.gz"
GENES = "human_grch37/annotation_genes.tsv.gz"
EXONS = "human_grch37/annotation_exons.tsv.gz"
ISLANDS = "human_grch37/annotation_CpG_islands.tsv.gz"
SOURCES = source_names(POSITIVES, GENES, EXONS, ISLANDS)
BEFORE, AFTER = 200, 51
"""Bases before the TSS, and from it on."""
LENGTH = BEFORE + AFTER
ELSEWHERE = "other"
KINDS = {"gene": 0.5, "near": 0.2, "island": 0.15, "matched": 0.15}
"""Shares of the kinds of non-promoters."""
NEAR = (500, 5_000)
GC_OFF = 0.02
ROUNDS = 40
MORE = 3
LEFT_OUT = ("look_alikes_left_out", "spare_rows_left_out")
TRIES = 200


class Sizes(NamedTuple):
    """Rows of each class in each part; ``spare`` is the share drawn in addition, for look-alikes left out."""

    train: int = 3_700
    valid: int = 400
    test: int = 900
    spare: float = 0.25

    @property
    def drawn(self) -> int:
        """Rows of each class outside the test that are drawn."""
        return round((self.train + self.valid) * (1 + self.spare))

    def times(self, more: int) -> "Sizes":
        """Return sizes with so many times the rows to learn from, and the same test."""
        return self._replace(train=more * self.train, valid=more * self.valid)


def tables(data: Path, out: Path, *, seed: int = 1, **sizes: float) -> dict[str, Path]:
    """Write the tables ``published``, ``strict`` and ``large``; ``sizes`` are those of :class:`Sizes`."""
    human, usual = read_human(data), Sizes(**sizes)
    positives, counts = positive_rows(human, source_file(data, POSITIVES))
    places = Places.read(data, human)
    shared = {"promoters": counts, "sources": hashes_of(data, SOURCES), "seed": seed}
    pool, strict, facts = divided(human, places, positives, usual, seed)
    made = {"published": (same_size(pool, strict, seed), without(facts, LEFT_OUT)), "strict": (strict, facts)}
    made["large"] = divided(human, places, positives, usual.times(MORE), seed)[1:]
    return {
        protocol: save_protocol(out, protocol, table, shared | own | kinds_of(table) | leaks(table))
        for protocol, (table, own) in made.items()
    }


def divided(
    human: Human, places: "Places", positives: pd.DataFrame, sizes: Sizes, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Return all rows drawn, those that are left without look-alikes, and the counts for the record."""
    negatives = rows_of(human, negative_windows(human, places, positives, sizes, seed=seed), label=False)
    pool = in_parts(positives, negatives, sizes, seed)
    kept, left_out = keep_apart(pool)
    strict = trimmed(kept, sizes, seed)
    facts = {
        "non_promoters_drawn": counts_by(negatives.assign(kind=kind_of(negatives)), "kind"),
        "sizes": sizes._asdict(),
    }
    return pool, strict, facts | dict(zip(LEFT_OUT, (left_out, len(kept) - len(strict)), strict=True))


def without(facts: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Return the facts but those of some names."""
    return {key: value for key, value in facts.items() if key not in names}


def positive_rows(human: Human, path: Path) -> tuple[pd.DataFrame, dict[str, int]]:
    """Return the promoters of a file and of EPDnew, and their counts.

    ``group`` is the chromosome where EPDnew tells it, else ``other``.
    """
    given = read_positives(path)
    plain = [sequence for sequence in given if len(sequence) == LENGTH and not set(sequence) - set("ACGT")]
    once = list(dict.fromkeys(plain))
    cut_here = human.promoters(before=BEFORE, after=AFTER)
    located = rows_of(human, cut_here, label=True).drop_duplicates("sequence")
    known = set(located["sequence"])
    others = [sequence for sequence in once if sequence not in known]
    rest = pd.DataFrame({"sequence": others, "label": LABELS[True], "group": ELSEWHERE})
    rest["name"] = [f"promoter {number}" for number in range(1, len(rest) + 1)]
    counts = {
        "in_the_file": len(given),
        f"not_{LENGTH}_bp_of_acgt_left_out": len(given) - len(plain),
        "copies_left_out": len(plain) - len(once),
        "of_the_file_found_on_these_chromosomes": len(once) - len(rest),
        "on_these_chromosomes": len(located),
        f"on_{TEST_CHROMOSOME}": int((located["group"] == TEST_CHROMOSOME).sum()),
    }
    return pd.concat([located, rest], ignore_index=True), counts


def read_positives(path: Path) -> list[str]:
    """Return the sequences, upper case, of lines ``sequence,source[,source]...`` below a header."""
    lines = pd.read_csv(path, sep="\t", dtype=str)
    if not str(lines.columns[0]).startswith("sequence,"):
        raise GenolmError(
            f"{path} begins with '{lines.columns[0]}'; its first column must be called sequence."
        )
    return lines.iloc[:, 0].str.split(",").str[0].str.upper().tolist()


class Places(NamedTuple):
    """Where non-promoters are drawn: genes after their first exon, CpG islands, and the contigs that count.

    Both tables have ``contig, start, end``, that of genes ``strand`` too.
    """

    genes: pd.DataFrame
    islands: pd.DataFrame
    contigs: tuple[str, ...]

    @classmethod
    def read(cls, data: Path, human: Human) -> "Places":
        """Read the annotation of the contigs at hand."""
        genes, exons, islands = (read_annotation(data, name) for name in (GENES, EXONS, ISLANDS))
        coding = genes[genes["type"] == "protein_coding"]
        contigs = tuple(human.sequences)
        exons = exons[exons["contig"].isin(contigs)]
        return cls(after_first_exon(coding, exons), islands, contigs).on(contigs)

    def on(self, contigs: tuple[str, ...]) -> "Places":
        """Return the places on some contigs."""
        kept = (part[part["contig"].isin(contigs)] for part in (self.genes, self.islands))
        return Places(*kept, contigs)


def after_first_exon(genes: pd.DataFrame, exons: pd.DataFrame) -> pd.DataFrame:
    """Return the genes without what lies before the end of their first exon, those longer than a window.

    The first exon is the one that begins where the gene begins, the longest of several.
    """
    forward = exons["strand"] == "+"
    ends = exons[forward].groupby(["contig", "gene", "start"])["end"].max()
    ends = pd.concat([ends, exons[~forward].groupby(["contig", "gene", "end"])["start"].min()]).to_dict()
    rows = []
    for gene in genes.itertuples(index=False):
        plus = gene.strand == "+"
        edge = ends.get((gene.contig, gene.gene, gene.start if plus else gene.end))
        if edge is not None:
            rows.append((gene.contig, *((edge, gene.end) if plus else (gene.start, edge)), gene.strand))
    found = pd.DataFrame(rows, columns=["contig", "start", "end", "strand"])
    return found[found["end"] - found["start"] >= LENGTH].reset_index(drop=True)


def negative_windows(
    human: Human, places: Places, positives: pd.DataFrame, sizes: Sizes, *, seed: int
) -> list[Window]:
    """Return the non-promoters of the test chromosome and of the others."""
    rng, found = np.random.default_rng(seed), []
    others = tuple(contig for contig in places.contigs if contig != TEST_CHROMOSOME)
    collector = Collector(human)
    for contigs, count in (((TEST_CHROMOSOME,), sizes.test), (others, sizes.drawn)):
        here = places.on(contigs)
        draws = {
            "gene": gene_windows(here, rng),
            "near": near_windows(human, here, rng),
            "island": island_windows(here, rng),
            "matched": matched_windows(human, here, positives["sequence"].tolist(), rng),
        }
        # Islands first: there are few, and other windows would take their place.
        for kind in ("island", "near", "gene", "matched"):
            found += collector.take(draws[kind], round(KINDS[kind] * count))
    return found


def gene_windows(places: Places, rng: np.random.Generator) -> Iterator[Window]:
    """Yield pieces of genes after the first exon, all genes in turn."""
    for gene in repeated(list(places.genes.itertuples(index=False)), rng, rounds=ROUNDS):
        start = int(rng.integers(gene.start, gene.end - LENGTH, endpoint=True))
        yield Window(gene.contig, start, start + LENGTH, gene.strand, "gene")


def near_windows(human: Human, places: Places, rng: np.random.Generator) -> Iterator[Window]:
    """Yield windows 500 to 5,000 bp before or after a TSS, all TSS in turn."""
    tss = human.tss[human.tss["contig"].isin(places.contigs)]
    for site in repeated(list(tss.itertuples(index=False)), rng, rounds=ROUNDS):
        distance = int(rng.integers(*NEAR, endpoint=True))
        after = bool(rng.integers(2))
        start = site.position + distance if after else site.position - distance - LENGTH
        yield Window(site.contig, start, start + LENGTH, random_strand(rng), "near")


def island_windows(places: Places, rng: np.random.Generator) -> Iterator[Window]:
    """Yield windows with their middle in a CpG island, all islands in turn."""
    for island in repeated(list(places.islands.itertuples(index=False)), rng, rounds=ROUNDS):
        start = int(rng.integers(island.start, island.end)) - LENGTH // 2
        yield Window(island.contig, start, start + LENGTH, random_strand(rng), "island")


def matched_windows(
    human: Human, places: Places, promoters: list[str], rng: np.random.Generator
) -> Iterator[Window]:
    """Yield windows from anywhere with the GC content of a promoter, promoters in turn.

    A promoter is passed over where 200 random windows are all unlike it.
    """
    sizes = [len(human.sequences[contig]) - LENGTH for contig in places.contigs]
    for promoter in repeated(promoters, rng, rounds=ROUNDS):
        wanted = gc_content(promoter)
        for offset in rng.integers(sum(sizes), size=TRIES).tolist():
            contig, start = _place(offset, places.contigs, sizes)
            if abs(gc_content(human.sequences[contig][start : start + LENGTH]) - wanted) <= GC_OFF:
                yield Window(contig, start, start + LENGTH, random_strand(rng), "matched")
                break


def gc_content(sequence: str) -> float:
    """Return the share of G and C."""
    return (sequence.count("G") + sequence.count("C")) / len(sequence)


def _place(offset: int, contigs: tuple[str, ...], sizes: list[int]) -> tuple[str, int]:
    """Return contig and start of a place counted over all contigs in a row."""
    for contig, size in zip(contigs, sizes):
        if offset < size:
            return contig, offset
        offset -= size
    raise IndexError(offset)


def in_parts(positives: pd.DataFrame, negatives: pd.DataFrame, sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return the rows that are drawn, in parts: one chromosome is the test, a share of the rest validation.

    Promoters of other chromosomes fill up the test.
    """
    tested = positives["group"] == TEST_CHROMOSOME
    test = sampled(positives[tested], sizes.test, seed)
    rest = positives[~tested].sample(frac=1, random_state=seed)
    fill = sizes.test - len(test)
    parts = [
        pd.concat([test, rest[:fill]]).assign(split="test"),
        rest[fill : fill + sizes.drawn].assign(split="train"),
        negatives.assign(split=np.where(negatives["group"] == TEST_CHROMOSOME, "test", "train")),
    ]
    return with_valid(pd.concat(parts), share=sizes.valid / (sizes.train + sizes.valid), seed=seed)


def trimmed(table: pd.DataFrame, sizes: Sizes, seed: int) -> pd.DataFrame:
    """Return the table with the wanted number of rows of each class in each part."""
    parts = [sampled(own, getattr(sizes, part), seed) for (part, _), own in table.groupby(["split", "label"])]
    return pd.concat(parts).sort_index().reset_index(drop=True)


def kind_of(rows: pd.DataFrame) -> pd.Series:
    """Return what each row was drawn as: promoter, gene, near, island or matched."""
    return rows["name"].str.split().str[0]


def kinds_of(table: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Return the rows of each part and kind."""
    return {"rows_by_kind": counts_by(table.assign(kind=kind_of(table)), "split", "kind")}


def judge(
    rows: pd.DataFrame, probabilities: np.ndarray, classes: tuple[str, ...], *, groups: Groups | None = None
) -> dict[str, Estimate]:
    """Return the specificity for each kind of non-promoter, figures with pieces of genes alone, and of one chromosome.

    Called at a probability of 0.5. Those of genes, ``accuracy_gene`` and so on, are what CNNProm and
    Genomic-ULMFiT give, with other shares of the classes. ``auroc_chr21`` is of the rows known to be of the
    chromosome that is held out, where the test is of it.
    """
    kinds, truth = kind_of(rows).to_numpy(), (rows["label"] == classes[1]).to_numpy()
    found = {}
    for kind in KINDS:
        own = ~truth & (kinds == kind)
        if own.any():
            scores = binary_metrics(probabilities[own, 1], truth[own], groups=taken(groups, own))
            found[f"specificity_{kind}"] = scores["accuracy"]
    easy = truth | (kinds == "gene")
    scores = binary_metrics(probabilities[easy, 1], truth[easy], groups=taken(groups, easy))
    found |= {f"{name}_gene": scores[name] for name in ("accuracy", "mcc", "auroc")}
    held_out = (rows["group"] == TEST_CHROMOSOME).to_numpy()
    if not held_out[~truth].all():
        return found
    scores = binary_metrics(probabilities[held_out, 1], truth[held_out], groups=taken(groups, held_out))
    return found | {f"auroc_{TEST_CHROMOSOME}": scores["auroc"]}
