"""What the built-in language models read, and what is held out to judge them by.

Bacteria: three species are held out, and with them those that are close relatives of one; the stretch of E.
coli K-12 that is reserved for the final test of promoter models is blanked. Mammals: human chromosome 21 is
held out whole, since the promoter models are tested on it, and of dog and opossum one region of two.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from Bio.SeqIO.FastaIO import SimpleFastaParser
from common import open_text, sha256, source_file

from genolm.corpus import Corpus
from genolm.tokenizer import AMBIGUOUS_CODE, encode_bases

HELD_OUT = ("Vibrio_cholerae", "Neisseria_meningitidis", "Thermotoga_lettingae")
RELATIVES = ("Vibrio_anguillarum", "Neisseria_gonorrhoeae", "Thermotogales")
ENTEROBACTERIA = (
    *("Escherichia", "Shigella", "Salmonella", "Klebsiella", "Enterobacter"),
    *("Raoultella", "Erwinia", "Pectobacterium", "Proteus"),
)
ECOLI = "Escherichia_coli__GCF_000005845.2"
RESERVED = (3_600_000, 4_100_000)

HUMAN_TRAIN = ("human_grch37/chr20.GRCh37.fa.gz", "human_grch37/chr1_1-9876492.GRCh37.fa.gz")
MAMMAL_TRAIN = ("mammal_encode/dog.ENm001.fa.gz", "mammal_encode/monodelphis.ENm001.fa.gz")
MAMMAL_TEXTS = {
    "held-out human chr21": "human_grch37/chr21.GRCh37.fa.gz",
    "held-out dog, region ENm002": "mammal_encode/dog.ENm002.fa.gz",
    "held-out opossum, region ENm002": "mammal_encode/monodelphis.ENm002.fa.gz",
}
SPECIES_BASES, ALL_BASES = 400_000, 600_000
UNKNOWN_RUN = 100
HELD_OUT_PIECE = 100_000
SAMPLE_PIECE = 50_000


@dataclass(frozen=True)
class Text:
    """A held-out text: its records, and how many bases of them are read."""

    records: Sequence[np.ndarray]
    bases: int


@dataclass(frozen=True)
class Corpora:
    """Training and held-out sequences of a language model.

    Attributes
    ----------
    title, organisms : str
        Of the model; whose sequences a classifier that starts from it is for.
    train, valid : Corpus
    texts : dict of str to Text
        What the model's figures are worked out on.
    limits : tuple of str
        Sentences for the card.
    """

    title: str
    organisms: str
    train: Corpus
    valid: Corpus
    texts: dict[str, Text]
    limits: tuple[str, ...]


def read_corpora(data: Path, corpus: str, *, others: float = 0.3) -> Corpora:
    """Return the sequences of one language model.

    Parameters
    ----------
    data : Path
        The data folder.
    corpus : {"bacteria", "ecoli", "mammal"}
    others : float
        How often species outside the enterobacteria are read for each once of those.
    """
    return read_mammals(data) if corpus == "mammal" else read_bacteria(data / "bacteria", corpus, others)


def read_bacteria(folder: Path, corpus: str, others: float) -> Corpora:
    """Return bacterial genomes, one FASTA per species, or with corpus "ecoli" E. coli K-12 alone."""
    sources = _manifest(source_file(folder, "MANIFEST.tsv"))
    train, valid = Corpus(), Corpus()
    for path in sorted(folder.glob("*.fna.gz")):
        if path.name.startswith(HELD_OUT):
            valid.add_file(path)
        elif path.name.startswith(RELATIVES) or (corpus == "ecoli" and not path.name.startswith(ECOLI)):
            continue
        else:
            repeats = 1.0 if path.name.startswith(ENTEROBACTERIA) else others
            train.add_file(path, repeats=repeats, mask=RESERVED if path.name.startswith(ECOLI) else None)
    for item in train.files:
        item |= {"source": sources[item["name"]], "licence": "public record"}
    limits = (
        f"E. coli K-12 bases {RESERVED[0]:,} to {RESERVED[1]:,} were blanked; close relatives of that"
        " stretch in Shigella and Salmonella were not.",
        f"Genomes outside the enterobacteria were read {others} times for each once of those.",
    )
    title = "E. coli language model" if corpus == "ecoli" else "Bacterial language model"
    return Corpora(title, "bacterial", train, valid, _species_texts(valid), limits)


def _species_texts(valid: Corpus) -> dict[str, Text]:
    texts, start = {}, 0
    for item in valid.files:
        records = valid.records[start : start + item["records"]]
        start += item["records"]
        texts[item["name"].split("__")[0].replace("_", " ")] = Text(records, SPECIES_BASES)
    return {**texts, "held-out species": Text(valid.records, ALL_BASES)}


def _manifest(path: Path) -> dict[str, str]:
    """Return where each file came from."""
    with path.open() as handle:
        rows = csv.DictReader(handle, delimiter="\t")
        return {row["file"]: f"{row['species']} {row['accession']}" for row in rows}


def read_mammals(data: Path) -> Corpora:
    """Return two stretches of the human genome and one region of dog and opossum, without unknown bases."""
    train, valid, texts = Corpus(), Corpus(), {}
    for name in (*HUMAN_TRAIN, *MAMMAL_TRAIN):
        _add_known(train, source_file(data, name))
    for title, name in MAMMAL_TEXTS.items():
        first = len(valid.records)
        _add_known(valid, source_file(data, name), piece=HELD_OUT_PIECE)
        texts[title] = Text(valid.records[first:], ALL_BASES if "human" in title else SPECIES_BASES)
    for item in train.files:
        human = "GRCh37" in item["name"]
        source = "human genome GRCh37" if human else "ENCODE regions, May 2005 freeze"
        item |= {"source": source, "licence": "public record"}
    limits = (
        "Human chromosome 21 was held out whole: promoter models are tested on it. Chromosome 20 and the"
        " first 9,876,492 bases of chromosome 1 were read, where promoter models learn.",
        "Two stretches of one human genome and region ENm001 of dog and opossum are few of a mammal's genes"
        " and families of repeats.",
        f"Runs of {UNKNOWN_RUN} and more unknown bases were left out.",
    )
    return Corpora("Mammalian language model", "mammalian", train, valid, texts, limits)


def _add_known(corpus: Corpus, path: Path, *, piece: int = 0) -> None:
    """Add the known stretches of a file as records of their own, cut to pieces where a length is given."""
    # Records of one opossum region share the first word of their names, so that no index can be made.
    with open_text(path) as handle:
        records = [(name, encode_bases(letters)) for name, letters in SimpleFastaParser(handle)]
    for number, (_, codes) in enumerate(records, start=1):
        for start, end in known_stretches(codes, piece=piece):
            corpus.records.append(codes[start:end])
            corpus.names.append(f"{path.name}:record {number}, {start + 1}-{end}")
            corpus.repeats.append(1.0)
    bases = sum(len(codes) for _, codes in records)
    facts = {"name": path.name, "sha256": sha256(path), "records": len(records), "bases": bases}
    corpus.files.append(facts)


def known_stretches(record: np.ndarray, *, piece: int = 0) -> Iterator[tuple[int, int]]:
    """Yield the stretches between runs of 100 and more unknown bases, in pieces where a length is given."""
    unknown = np.flatnonzero(np.diff(np.r_[0, record == AMBIGUOUS_CODE, 0]))
    gaps = unknown.reshape(-1, 2)
    gaps = gaps[gaps[:, 1] - gaps[:, 0] >= UNKNOWN_RUN]
    for start, end in zip(np.r_[0, gaps[:, 1]], np.r_[gaps[:, 0], len(record)], strict=True):
        for first in range(int(start), int(end), piece or max(1, int(end - start))):
            yield first, min(int(end), first + piece) if piece else int(end)


def markov_sample(train: Corpus, most: int) -> list[np.ndarray]:
    """Return about ``most`` bases of a corpus in stretches of 50,000, or all where there are no more.

    Each record counts by how often the language model reads it, so that both learn from the same mixture.
    """
    weights = np.minimum(1.0, train.repeats)
    sizes = np.array([len(record) for record in train.records])
    if sizes.sum() <= most:
        return list(train.records)
    share = min(1.0, most / float(sizes @ weights))
    rng = np.random.default_rng(0)
    return [
        record[start : start + SAMPLE_PIECE]
        for record, weight in zip(train.records, weights, strict=True)
        for start in range(0, len(record), SAMPLE_PIECE)
        if rng.random() < share * weight
    ]
