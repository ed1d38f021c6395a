"""The sequences that a language model learns from, and what of them is held out to judge it by."""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from genolm.errors import SettingsError, TrainingError
from genolm.record import file_facts
from genolm.sequences import open_fasta
from genolm.tokenizer import AMBIGUOUS_CODE, encode_bases, reverse_complement_codes

LEAST_BASES = 20_000
LEAST_HELD_OUT = 1_000
HELD_OUT_SHARE = 0.05
_NAMES_SHOWN = 6


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
    """

    records: list[np.ndarray] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    files: list[dict[str, Any]] = field(default_factory=list)
    repeats: list[float] = field(default_factory=list)

    @property
    def bases(self) -> int:
        """Bases in all records."""
        return sum(len(record) for record in self.records)

    @property
    def known_bases(self) -> int:
        """Bases in all records that are A, C, G or T."""
        return sum(int(np.count_nonzero(record != AMBIGUOUS_CODE)) for record in self.records)

    def add_file(self, path: Path, *, repeats: float = 1.0, mask: tuple[int, int] | None = None) -> None:
        """Read every record of a FASTA file; ``mask`` blanks a stretch (start, end) of its first record."""
        with open_fasta(path) as genome:
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


@dataclass(frozen=True)
class HeldOut:
    """What is kept from training to judge the model by.

    Attributes
    ----------
    rows : tuple of int
        Records that are held out whole; where there are none, the end of one record is.
    row, start : int
        That record and the base, from 0, where its end begins; -1 where whole records are held out.
    bases : int
    """

    rows: tuple[int, ...]
    row: int
    start: int
    bases: int

    def words(self, names: Sequence[str], sizes: Sequence[int]) -> str:
        """Say in a few words what is held out."""
        share = f"{self.bases:,} bp, {self.bases / sum(sizes):.1%} of all"
        if not self.rows:
            return f"{names[self.row]} from base {self.start + 1:,} to its end ({share})"
        shown = ", ".join(names[row] for row in self.rows[:_NAMES_SHOWN])
        more = len(self.rows) - _NAMES_SHOWN
        return f"{shown}{f' and {more:,} more' if more > 0 else ''} ({share})"


def choose_held_out(
    names: Sequence[str], sizes: Sequence[int], *, wanted: Sequence[str] = (), share: float = HELD_OUT_SHARE
) -> HeldOut:
    """Choose the records to hold out.

    Parameters
    ----------
    names : sequence of str
        ``file:record`` of each record.
    sizes : sequence of int
        Lengths of the records.
    wanted : sequence of str
        Records to hold out, as ``record`` or ``file:record``, or whole files; none lets the rule choose.
    share : float
        Share of all bases to hold out.

    Notes
    -----
    The rule takes the longest record that has at most three times the share and at least a third of it; where
    all are shorter than that, records at random (always the same) until the share is reached; where there is
    none to spare, the end of the longest.

    Raises
    ------
    SettingsError
        For a name that is not there, or fits records of two files.
    """
    if wanted:
        rows = tuple(sorted({row for name in wanted for row in _rows_called(name, names)}))
        if len(rows) == len(names):
            raise SettingsError("All records are held out and none is left to learn from; hold out fewer.")
        return HeldOut(rows, -1, -1, sum(sizes[row] for row in rows))
    rows = _rows_of_share(sizes, share * sum(sizes))
    if rows:
        return HeldOut(rows, -1, -1, sum(sizes[row] for row in rows))
    longest = int(np.argmax(sizes))
    start = min(int(sizes[longest] * (1 - share)), sizes[longest] - LEAST_HELD_OUT)
    return HeldOut((), longest, start, sizes[longest] - start)


def _rows_of_share(sizes: Sequence[int], wanted: float) -> tuple[int, ...]:
    small = [row for row, size in enumerate(sizes) if size <= 3 * wanted]
    least = max(LEAST_HELD_OUT, wanted / 3)
    if sum(sizes[row] for row in small) < least or len(sizes) == 1:
        return ()
    longest = max(small, key=lambda row: sizes[row])
    if sizes[longest] >= least:
        return (longest,)
    chosen, total = [], 0
    for index in np.random.default_rng(0).permutation(len(small)):
        chosen.append(small[index])
        total += sizes[small[index]]
        if total >= wanted:
            break
    return tuple(sorted(chosen))


def _rows_called(wanted: str, names: Sequence[str]) -> list[int]:
    """Return the numbers of the records that a user's word means."""
    exact = [row for row, name in enumerate(names) if name == wanted]
    of_file = [row for row, name in enumerate(names) if name.partition(":")[0] == wanted]
    records = [row for row, name in enumerate(names) if name.partition(":")[2] == wanted]
    found = exact or of_file or records
    if not found:
        known = [*names, *(name.partition(":")[2] for name in names)]
        close = difflib.get_close_matches(wanted, known, n=1)
        hint = f" Did you mean '{close[0]}'?" if close else f" There are: {', '.join(names[:_NAMES_SHOWN])}."
        raise SettingsError(f"There is no record '{wanted}' to hold out.{hint}")
    if found == records and len(found) > 1:
        both = " or ".join(names[row] for row in found[:_NAMES_SHOWN])
        raise SettingsError(f"'{wanted}' is in several files; write {both}.")
    return found


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
        with open_fasta(path) as genome:
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
    """Read the records of FASTA files.

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


def split_corpus(
    paths: Sequence[Path], *, held_out: Sequence[str] = (), share: float = HELD_OUT_SHARE
) -> tuple[Corpus, Corpus]:
    """Return what to learn from and what is held out; see :func:`choose_held_out`.

    Raises
    ------
    SettingsError, TrainingError
        See :func:`read_corpus`; also when too little is left on either side, or a record to judge by is the same as one
        to learn from, on either strand.
    """
    whole = read_corpus(paths)
    sizes = [len(record) for record in whole.records]
    chosen = choose_held_out(whole.names, sizes, wanted=held_out, share=share)
    _refuse_copies(whole, set(chosen.rows) or {chosen.row}, by_end=not chosen.rows)
    if chosen.rows:
        kept = [row for row in range(len(sizes)) if row not in set(chosen.rows)]
        train, valid = whole.subset(kept), whole.subset(chosen.rows)
    else:
        train, valid = whole.subset(range(len(sizes))), whole.subset([chosen.row])
        train.records[chosen.row] = whole.records[chosen.row][: chosen.start]
        valid.records[0] = whole.records[chosen.row][chosen.start :]
        valid.names[0] = f"{whole.names[chosen.row]} from base {chosen.start + 1}"
    _check_part(train, LEAST_BASES // 2, "to learn from")
    _check_part(valid, LEAST_HELD_OUT // 2, "held out")
    return train, valid


def _refuse_copies(whole: Corpus, judged: set[int], *, by_end: bool) -> None:
    """Refuse a record that is judged by, whole or ``by_end``, and stands once more among those to learn from."""
    marks: dict[bytes, int] = {}
    for row in sorted(judged):
        marks.setdefault(_mark(whole.records[row]), row)
    sizes = {len(whole.records[row]) for row in judged}
    for row, record in enumerate(whole.records):
        twin = marks.get(_mark(record)) if row not in judged and len(record) in sizes else None
        if twin is not None:
            advice = "leave one of them out" if by_end else "leave one of them out, or hold both out"
            raise SettingsError(
                f"{whole.names[twin]} is held out to judge by, and {whole.names[row]}, which would be learned from, is "
                f"the same sequence: the model would know what it is judged by. Please {advice}."
            )


def _mark(record: np.ndarray) -> bytes:
    """Return a hash of a record that its other strand has too."""
    strands = (record, reverse_complement_codes(record))
    return min(blake2b(codes.tobytes(), digest_size=16).digest() for codes in strands)


def _check_part(part: Corpus, least: int, words: str) -> None:
    if part.known_bases < least:
        raise TrainingError(
            f"Only {part.known_bases:,} bases (A, C, G, T) are {words}, of {', '.join(part.names[:3])}; at "
            f"least {least:,} are needed: name other records to hold out, or cut off what is unknown (N)."
        )
