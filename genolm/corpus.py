"""The sequences that a language model learns from, and what of them is held out to judge it by."""

from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from genolm.errors import SettingsError, TrainingError
from genolm.genome_files import open_genome
from genolm.held_out import HELD_OUT_SHARE, LEAST_BASES, LEAST_HELD_OUT, Division, check_part, divide
from genolm.record import file_facts
from genolm.tokenizer import AMBIGUOUS_CODE, encode_bases


@dataclass(frozen=True)
class Corpus:
    """Base codes of the records of some files.

    Attributes
    ----------
    records : list of uint8 arrays
    names : list of str
        ``file:record`` of each.
    files : list of dict
        Name, sha256, records and bases of each file, for the card.
    repeats : list of float
        How often each record is read per pass.
    notes : list of str
        Sentences on what was left out, for the card.
    """

    records: list[np.ndarray] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    files: list[dict[str, Any]] = field(default_factory=list)
    repeats: list[float] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def bases(self) -> int:
        """Bases in all records."""
        return sum(len(record) for record in self.records)

    @property
    def known_bases(self) -> int:
        """Bases in all records that are A, C, G or T."""
        return sum(int(np.count_nonzero(record != AMBIGUOUS_CODE)) for record in self.records)

    def add_file(self, path: Path, *, repeats: float = 1.0, mask: tuple[int, int] | None = None) -> None:
        """Read every record of a sequence file; ``mask`` blanks a stretch (start, end) of its first record."""
        with open_genome(path) as genome:
            found = [(item.name, encode_bases(item.sequence)) for item in genome.records()]
        if mask:
            found[0] = (found[0][0], found[0][1].copy())
            found[0][1][slice(*mask)] = AMBIGUOUS_CODE
        digest = file_facts(path)["sha256"]
        bases = sum(len(codes) for _, codes in found)
        self.files.append({"name": path.name, "sha256": digest, "records": len(found), "bases": bases})
        for name, codes in found:
            self.records.append(codes)
            self.names.append(f"{path.name}:{name}")
            self.repeats.append(repeats)

    def subset(self, rows: Iterable[int]) -> "Corpus":
        """Return the chosen records, given as numbers."""
        rows = list(rows)
        return Corpus(
            [self.records[row] for row in rows],
            [self.names[row] for row in rows],
            self.files,
            [self.repeats[row] for row in rows],
        )


def outline(paths: Sequence[Path]) -> tuple[list[str], list[int], int]:
    """Return name (``file:record``) and length of each record, and how many bases of all are known.

    Raises
    ------
    TrainingError
        When there is too little sequence.
    """
    names, sizes, known = [], [], 0
    check_distinct([(path.name, path.name) for path in paths])
    for path in paths:
        with open_genome(path) as genome:
            names += [f"{path.name}:{name}" for name in genome.contigs]
            sizes += list(genome.contigs.values())
            known += genome.summary.bases - sum(genome.summary.ambiguous.values())
    check_enough(known)
    return names, sizes, known


def check_enough(known_bases: int) -> None:
    """Refuse too little sequence."""
    if known_bases < LEAST_BASES:
        raise TrainingError(
            f"The files hold {known_bases:,} bases (A, C, G, T); a language model needs {LEAST_BASES:,} or "
            "more, and learns little from less than a million."
        )


def read_corpus(paths: Sequence[Path]) -> Corpus:
    """Read the records of FASTA, GenBank, EMBL or 2bit files.

    Raises
    ------
    SettingsError
        When a file, or another with the same content or name, is given twice.
    TrainingError
        When there is too little sequence.
    """
    whole = Corpus()
    for path in paths:
        whole.add_file(path)
    check_distinct([(item["name"], key) for item in whole.files for key in (item["name"], item["sha256"])])
    check_enough(whole.known_bases)
    return whole


def check_distinct(files: Sequence[tuple[str, str]]) -> None:
    """Refuse a file whose name or content, the second of each pair, is there already."""
    seen: dict[str, str] = {}
    for name, key in files:
        if key in seen:
            raise SettingsError(
                f"{name} and {seen[key]} have the same name or content; give each genome once, and files of "
                "different names."
            )
        seen[key] = name


def divide_files(paths: Sequence[Path], *, held_out: Sequence[str] = (), share: float = HELD_OUT_SHARE) -> Division:
    """Return how :func:`split_corpus` divides the files, of which only records as long as a held-out one are read.

    Raises
    ------
    SettingsError, TrainingError
        As :func:`split_corpus`, but too few known bases are only seen where there are too few of any.
    """
    alike = Counter(path.stat().st_size for path in paths)
    twice = [path for path in paths if alike[path.stat().st_size] > 1]
    check_distinct([(path.name, file_facts(path)["sha256"]) for path in twice])
    with ExitStack() as stack:
        opened = [(path, stack.enter_context(open_genome(path))) for path in paths]
        places = [(genome, name, size) for _, genome in opened for name, size in genome.contigs.items()]
        names = [f"{path.name}:{name}" for path, genome in opened for name in genome.contigs]

        def read(row: int) -> np.ndarray:
            genome, name, size = places[row]
            return encode_bases(genome.fetch(name, 0, size))

        division = divide(names, [size for *_, size in places], read, held_out=held_out, share=share)
    division.check()
    return division


def split_corpus(
    paths: Sequence[Path], *, held_out: Sequence[str] = (), share: float = HELD_OUT_SHARE
) -> tuple[Corpus, Corpus]:
    """Return what to learn from and what is held out; see :func:`genolm.held_out.choose_held_out`.

    Where the rule chose what is held out, copies of it are in neither part; the first one's ``notes`` tell them.

    Raises
    ------
    SettingsError, TrainingError
        See :func:`read_corpus`; also when too little is left on either side, or a record that was named to judge by is
        the same as one to learn from, on either strand.
    """
    whole = read_corpus(paths)
    sizes = [len(record) for record in whole.records]
    division = divide(whole.names, sizes, whole.records.__getitem__, held_out=held_out, share=share)
    chosen, train = division.chosen, whole.subset(division.learned)
    train.notes.extend(division.notes)
    if chosen.rows:
        valid = whole.subset(chosen.rows)
    else:
        valid = whole.subset([chosen.row])
        train.records[division.learned.index(chosen.row)] = whole.records[chosen.row][: chosen.start]
        valid.records[0] = whole.records[chosen.row][chosen.start :]
        valid.names[0] = f"{whole.names[chosen.row]} from base {chosen.start + 1}"
    check_part(train.known_bases, train.names, LEAST_BASES // 2, "to learn from")
    check_part(valid.known_bases, valid.names, LEAST_HELD_OUT // 2, "held out")
    return train, valid
