"""The sample data on the pages, with the answers that are known for them."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from genolm import workspace
from genolm.config import HeadConfig, Window
from genolm.errors import SequenceError
from genolm.registry import BundleInfo, list_bundles
from genolm.samples import READS_FILE, SITES_FILE, cut_at_site, is_of_bacteria
from genolm.sequences import SequenceRecord, parse_sequences, write_fasta

GENOME_FILE = "ecoli_k12_mg1655.fa.gz"
REGION_FILE = "ecoli_lac_region.fa"
ANSWERS = {
    "promoter": "promoter",
    "gene_start": "gene start",
    "inside_gene": "inside a gene",
    "shuffled": "shuffled letters",
}
OWN_ANSWERS = {**ANSWERS, "between_genes": "between genes"}
OWN_SAMPLES = {
    "human_known_promoters.fa": (
        "Human: known promoters",
        "pieces of human DNA: promoters whose transcription start is known, places inside genes and between "
        "them, and one with shuffled letters.",
    ),
    "human_known_enhancers.fa": (
        "Human: a known liver enhancer",
        "pieces of human DNA: the enhancer of ornithine transcarbamylase, and places inside and between genes that "
        "the liver does not read.",
    ),
    "transcripts.fa": (
        "Human: coding and non-coding transcripts",
        "human transcripts, those that code for a protein and long non-coding ones in turn.",
    ),
    READS_FILE: (
        "16S reads of type strains",
        "reads of the V3-V4 region of the 16S gene, each of the type strain of a species.",
    ),
}
"""Samples of models other than those of bacterial sites: their title and what is in them."""
_NOTE = re.compile(r"kind=(\w+) site=(\d+) origin=(?:none|[^:]+:(\d+)\(([+-])\)) (.+)")
_OWN_NOTE = re.compile(r"(?:kind|genus)=(\S+)(?: site=\d+)? origin=\S+ (.+)")
_REGION_START = 345_000

Place = tuple[str, str, int, str]


@dataclass(frozen=True)
class Sample:
    """A sample on a page: a file, what it is, and what is known about it.

    Attributes
    ----------
    answers : dict of str to str
        What is known of each record.
    site : int or None
        0-based position of the site in each record, if it is the same in all.
    positive : str
        The answer that a model of this kind should call positive; "" where that is not known.
    """

    title: str
    path: Path
    story: str
    answers: dict[str, str]
    site: int | None = None
    positive: str = ""

    def right(self, known: Iterable[str], predicted: Iterable[str], head: HeadConfig) -> list[bool] | None:
        """Return which answers agree with what is known; None where that cannot be said.

        Of several classes an answer is right that names what is known, as a lineage names its genus.
        """
        pairs = list(zip(known, predicted, strict=True))
        words = {word for name in head.classes for word in name.split()}
        if head.task == "multiclass" and all(item in words for item, _ in pairs):
            return [item in answer.split() for item, answer in pairs]
        if head.task == "binary" and self.positive:
            return [(item == self.positive) == (answer == head.classes[1]) for item, answer in pairs]
        return None


@dataclass(frozen=True)
class KnownSite:
    """One record of the sample of known sites: 401 bp with the site in the middle.

    ``position`` (0-based) and ``strand`` are those in the sample genome; None for shuffled letters.
    """

    record: SequenceRecord
    kind: str
    site: int
    story: str
    position: int | None
    strand: str | None


def known_sites() -> list[KnownSite]:
    """Return the records of the sample of known sites with what their header says."""
    path = workspace.samples_dir() / SITES_FILE
    found = []
    for record in parse_sequences(path.read_text(encoding="ascii"), source=path.name):
        note = _NOTE.match(record.description)
        if note is None:
            raise SequenceError(f"{path.name}, record {record.name}: its header lacks kind, site or origin.")
        kind, site, place, strand, story = note.groups()
        position = None if place is None else int(place) - 1
        found.append(KnownSite(record, kind, int(site) - 1, story, position, strand))
    return found


def site_kind(words: str) -> str:
    """Return which kind of known site a model looks for, by its anchor's or class's name; "" if unclear."""
    name = words.lower()
    if "tss" in name or "transcription" in name or "promoter" in name:
        return "promoter"
    if "codon" in name or "cds" in name or "gene" in name or "start" in name:
        return "gene_start"
    return ""


def model_samples(model: BundleInfo) -> list[Sample]:
    """Return the sample that a model's card names; nothing for a model without one of its own."""
    name = (model.card.get("sample") or {}).get("file")
    if name == SITES_FILE:
        return [site_sample(model.config.window)]
    known = name in OWN_SAMPLES and (workspace.samples_dir() / name).is_file()
    return [_own_sample(name, model)] if known else []


def scan_samples(model: BundleInfo) -> list[Sample]:
    """Return the samples to scan with a model: those of E. coli for a model of bacteria, else nothing."""
    base = (model.card.get("settings") or {}).get("base") or ""
    said = [info.config for info in list_bundles() if info.config and info.name == base]
    words = " ".join([base, *(f"{config.title} {config.purpose}" for config in said)])
    return genome_samples() if is_of_bacteria(model.card, words) else []


def _own_sample(name: str, model: BundleInfo) -> Sample:
    source, window = workspace.samples_dir() / name, model.config.window
    records, answers, is_cut = [], {}, True
    for record in parse_sequences(source.read_text(encoding="ascii"), source=name):
        note = _OWN_NOTE.match(record.description)
        if note is None:
            raise SequenceError(f"{name}, record {record.name}: its header lacks kind or genus, or origin.")
        answer, story = note.groups()
        piece = cut_at_site(record, window)
        is_cut = is_cut and piece != record.sequence
        records.append(SequenceRecord(record.name, story, piece))
        answers[record.name] = OWN_ANSWERS.get(answer, answer)
    title, story = OWN_SAMPLES[name]
    place = f"{window.length}_{window.anchor}" if window else "whole"
    path = _written(f"{Path(name).stem}_{place}.fa", records)
    classes = model.config.head.classes if model.config.head else ()
    positive = classes[-1] if classes and classes[-1] in answers.values() else ""
    words = f"{len(records)} {story} What each one is, is known and shown beside the answer."
    return Sample(title, path, words, answers, window.anchor if window and is_cut else None, positive)


def _written(name: str, records: list[SequenceRecord]) -> Path:
    """Return the file of a sample that was cut to a window, made when it is first wanted."""
    path = workspace.uploads_dir() / "samples" / name
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        write_fasta(path, records)
    return path


def site_sample(window: Window | None) -> Sample:
    """Return the known sites cut to a model's window: pieces of the kind that it was trained on."""
    wanted = site_kind(window.anchor_name if window else "")
    kinds = {wanted, "inside_gene", "shuffled"} if wanted else set(ANSWERS)
    sites = [item for item in known_sites() if item.kind in kinds]
    length, anchor = 401, 200
    if window is not None:
        place = window.length // 2 if window.anchor is None else window.anchor
        if place <= anchor and window.length - place <= length - anchor:
            length, anchor = window.length, place
    records = [
        SequenceRecord(item.record.name, item.story, item.record.sequence[item.site - anchor :][:length])
        for item in sites
    ]
    path = _written(f"ecoli_known_sites_{wanted or 'all'}_{length}_{anchor}.fa", records)
    answers = {item.record.name: ANSWERS[item.kind] for item in sites}
    story = (
        f"{len(records)} pieces of {length} bp from the genome of Escherichia coli K-12: textbook sites, "
        "places inside genes, and one with shuffled letters. What each one is, is known and shown beside "
        "the answer."
    )
    return Sample("E. coli: known sites", path, story, answers, anchor, ANSWERS.get(wanted, ""))


def genome_samples() -> list[Sample]:
    """Return the samples to scan: 40 kb in a moment, or the whole genome."""
    folder = workspace.samples_dir()
    known = (
        "Known here: the lac promoter P1 starts transcription at base 20,567 and the lacI promoter at base "
        "21,762, both on the minus strand; the start codon of lacZ is at base 20,529, minus strand."
    )
    region = Sample(
        "E. coli: 40 kb around the lac operon",
        folder / REGION_FILE,
        f"A piece of the genome of Escherichia coli K-12. {known}",
        {},
    )
    genome = Sample(
        "E. coli: whole genome",
        folder / GENOME_FILE,
        "Escherichia coli K-12 MG1655, 4.6 Mbp in one record. Known here: about 4,300 genes in some 2,600 "
        "operons, so a few thousand promoters.",
        {},
    )
    return [region, genome]


def sites_in(path: str, kind: str) -> list[Place]:
    """Return the known sites of a kind in a genome sample: (name, contig, 0-based position, strand)."""
    offsets = {GENOME_FILE: ("K-12-MG1655", 0, 10**9), REGION_FILE: ("lac_region", _REGION_START, 40_000)}
    name = Path(path).name
    if Path(path).parent != workspace.samples_dir() or name not in offsets or not kind:
        return []
    contig, start, length = offsets[name]
    return [
        (item.record.name, contig, item.position - start, item.strand or "+")
        for item in known_sites()
        if item.kind == kind and item.position is not None and 0 <= item.position - start < length
    ]
