"""GenBank and EMBL flat files in: sequences line by line, features as a table.

The head of a record (up to the line that opens the sequence) is parsed by Biopython; the sequence itself goes
past line by line, so that memory does not grow with it, and a fault is named by its line. Formats: the
DDBJ/ENA/GenBank Feature Table Definition, the GenBank release notes (3.4) and the EMBL user manual (3).
"""

import io
import json
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from genolm.errors import SequenceError
from genolm.fasta_check import read_blocks
from genolm.fasta_index import ANNOTATION_FILE, FACTS_FILE
from genolm.topology import CIRCULAR, LINEAR, Guess

if TYPE_CHECKING:
    from Bio.SeqFeature import SeqFeature
    from Bio.SeqRecord import SeqRecord

FEATURE_COLUMNS = {
    "contig": "str", "start": "int64", "end": "int64", "strand": "str", "name": "str", "kind": "str"
}  # fmt: skip
_NAMES = ("gene", "locus_tag", "standard_name", "label", "name", "product", "regulatory_class", "note")
_NAME_LETTERS = 80
_BLOCK_LINES = 20_000
_POSITION_NUMBERS = str.maketrans("", "", "0123456789 \t")
_PROTEIN = re.compile(r"\d+\s+aa\b", re.IGNORECASE)
_SIZE = re.compile(r".*\s\d+\s+bp\b", re.IGNORECASE)
_FORM = re.compile(r"\b(?:linear|circular)\b", re.IGNORECASE)
_NO_NAMES = ("", ".", "<unknown id>", "<unknown name>")


class Flavour(NamedTuple):
    """A flat file's language: its name, Biopython's name, and how the lines that matter begin."""

    name: str
    parser: str
    first: str
    sequence: str
    elsewhere: str
    advice: str


GENBANK = Flavour(
    "GenBank", "genbank", "LOCUS ", "ORIGIN", "CONTIG", "at NCBI choose 'GenBank (full)', not 'GenBank'"
)
EMBL = Flavour("EMBL", "embl", "ID   ", "SQ   ", "CO   ", "at ENA choose the expanded EMBL file")


@dataclass(frozen=True)
class FlatRecord:
    """One record of a flat file.

    Attributes
    ----------
    source : Path
    flavour : Flavour
    line : int
        Number of its first line, from 1.
    head : list of str
        Its lines up to and with the one that opens the sequence.
    body : iterator of str
        The lines of the sequence, without the closing ``//``; to be read before the next record.
    """

    source: Path
    flavour: Flavour
    line: int
    head: list[str]
    body: Iterator[str]

    def parsed(self) -> "SeqRecord":
        """Return what the head says, as Biopython's record whose sequence has a length but no letters."""
        from Bio import SeqIO

        text = "".join([*self.head, "//\n"])
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return next(SeqIO.parse(io.StringIO(_unicode(text)), self.flavour.parser))
        except (ValueError, StopIteration, AssertionError, IndexError, KeyError) as error:
            raise self.fault(f"this {self.flavour.name} record cannot be read ({error})") from error

    def fault(self, what: str) -> SequenceError:
        """Return the error that says what is wrong with the record."""
        return SequenceError(f"{self.source}, record in line {self.line}: {what}.")


def flat_records(
    source: Path, flavour: Flavour, *, reading: "FlatText | None" = None
) -> Iterator[FlatRecord]:
    """Yield the records of a flat file, plain or gzip.

    Raises
    ------
    SequenceError
        If a record is protein, has no sequence, or is cut off: names file and line.
    """
    lines = iter(reading or FlatText(source))
    before = True
    for number, line in lines:
        if not line.startswith(flavour.first):
            # Before the first record NCBI's release files say what they are.
            if not before and line.strip():
                raise SequenceError(
                    f"{source}, line {number} begins {line.strip()[:40]!r}, where a record's first line "
                    f"({flavour.first.strip()}) was expected."
                )
            continue
        before = False
        if _PROTEIN.search(line):
            raise SequenceError(
                f"{source}, line {number}: this record is a protein; genolm reads DNA and RNA, so give the "
                "nucleotide sequence."
            )
        head = _head(source, flavour, number, line, lines)
        body = _body(source, flavour, number, lines)
        yield FlatRecord(source, flavour, number, head, body)
        for _ in body:
            pass


def _head(
    source: Path, flavour: Flavour, number: int, first: str, lines: Iterator[tuple[int, str]]
) -> list[str]:
    head, elsewhere = [first], False
    for at, line in lines:
        if line.startswith(("//", flavour.first)):
            mark = flavour.elsewhere.strip()
            why = f" (its {mark} line only says of which others it is made)" if elsewhere else ""
            raise SequenceError(
                f"{source}, line {at}: the record that begins in line {number} has no sequence{why}; "
                f"get the file with its sequences: {flavour.advice}."
            )
        head.append(line)
        elsewhere = elsewhere or line.startswith(flavour.elsewhere)
        if line.startswith(flavour.sequence):
            return head
    raise _cut(source, number)


def _body(
    source: Path, flavour: Flavour, number: int, lines: Iterator[tuple[int, str]]
) -> Iterator[str]:
    for _, line in lines:
        if line.startswith("//"):
            return
        if line.startswith(flavour.first):
            break
        yield line
    raise _cut(source, number)


def _cut(source: Path, number: int) -> SequenceError:
    return SequenceError(
        f"{source} is cut off: the record that begins in line {number} has no closing line '//'; "
        "copy or download the file again."
    )


class FlatText:
    """The lines of a text file, plain or gzip, with any line ends; ``done`` counts bytes of the file read."""

    def __init__(self, source: Path) -> None:
        self.source, self.done = source, 0

    def __iter__(self) -> Iterator[tuple[int, str]]:
        """Yield each line with its number, from 1, ending in a line feed."""
        text = io.TextIOWrapper(io.BufferedReader(_Blocks(self)), encoding="latin-1", newline=None)
        for number, line in enumerate(text, 1):
            if number == 1:
                line = line.removeprefix("\xef\xbb\xbf")
            yield number, line if line.endswith("\n") else line + "\n"


class _Blocks(io.RawIOBase):
    """Makes a binary stream of the blocks of a file, whose faults stay those of ``read_blocks``."""

    def __init__(self, text: FlatText) -> None:
        self._text, self._blocks, self._rest = text, read_blocks(text.source), memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._rest:
            block, self._text.done = next(self._blocks, (b"", self._text.done))
            self._rest = memoryview(block)
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size


class GenBankReader:
    """Gives a GenBank or EMBL file to the index as FASTA whose lines have the numbers of the file's own.

    A record is named by its version (``NC_000913.3``) as in NCBI's FASTA, else by its locus.
    """

    def __init__(self, source: Path, flavour: Flavour = GENBANK) -> None:
        self.kind = f"{flavour.parser}-1"
        self._source, self._flavour = source, flavour
        self._rows: list[tuple[Any, ...]] = []
        self._guesses: list[Guess] = []
        self._left_out = 0

    def blocks(self) -> Iterator[tuple[bytes, int]]:
        """Yield FASTA, with how many bytes of the file are read."""
        self._rows, self._guesses, self._left_out = [], [], 0
        text, line = FlatText(self._source), 1
        for record in flat_records(self._source, self._flavour, reading=text):
            parsed = record.parsed()
            name, letters = contig_name(parsed), 0
            self._keep(parsed, name, said_form(parsed, record.head[0]))
            header = f">{name} {description_of(parsed)}".rstrip() + "\n" * len(record.head)
            yield ("\n" * (record.line - line) + header).encode(), text.done
            line = record.line + len(record.head)
            for lines, block in _sequence_blocks(record.body):
                letters += len(block) - lines
                line += lines
                yield block.encode("latin-1"), text.done
            if letters != len(parsed):
                raise record.fault(
                    f"{name} has {letters:,} bases, but its first line promises {len(parsed):,}; "
                    "the file was cut or edited, so export or download it again"
                )

    def save(self, folder: Path) -> None:
        """Write features, topologies and notes into the index's folder."""
        import pandas as pd

        table = pd.DataFrame.from_records(self._rows, columns=list(FEATURE_COLUMNS))
        table.astype(FEATURE_COLUMNS).to_parquet(folder / ANNOTATION_FILE, index=False)
        notes = []
        if self._left_out:
            notes = [
                f"Features of {self._source.name} that are not used, because their place cannot be read or "
                f"lies outside the record: {self._left_out:,}."
            ]
        facts = {"format": self._flavour.name, "topology": self._guesses, "notes": notes}
        (folder / FACTS_FILE).write_text(json.dumps(facts), encoding="utf-8")

    def _keep(self, parsed: "SeqRecord", name: str, said: str | None) -> None:
        first = f"The record's {self._flavour.first.strip()} line"
        reason = f"{first} says {said}." if said else f"{first} does not say that it is a circle."
        self._guesses.append(Guess(CIRCULAR if said == CIRCULAR else LINEAR, reason))
        for feature in parsed.features:
            if feature.type == "source":
                continue
            place = feature_place(feature, len(parsed), circular=said == CIRCULAR)
            if place is None:
                self._left_out += 1
            else:
                self._rows.append((name, *place, feature_name(feature), feature.type))


def contig_name(parsed: "SeqRecord") -> str:
    """Return the name by which a record goes: its version, else its locus."""
    name = parsed.id if parsed.id not in _NO_NAMES else parsed.name
    return "_".join(str(name).split())


def said_form(parsed: "SeqRecord", first: str) -> str | None:
    """Return linear or circular as a record says it, None if it does not.

    Parameters
    ----------
    parsed : SeqRecord
        Biopython finds no form in a LOCUS line off the standard columns, as ApE and Benchling write it.
    first : str
        The record's first line.
    """
    found = form_in_locus(first)
    return parsed.annotations.get("topology") or (found[0].lower() if found else None)


def end_of_size(line: str) -> int | None:
    """Return where the length (``300 bp``) in a LOCUS line ends, None if there is none."""
    found = _SIZE.match(line)
    return found.end() if found else None


def form_in_locus(line: str) -> re.Match[str] | None:
    """Return where a LOCUS line says linear or circular; not looked for in the name, which may hold the word."""
    begin = end_of_size(line)
    return None if begin is None else _FORM.search(line, begin)


def description_of(parsed: "SeqRecord") -> str:
    """Return what a record says of itself in one line, "" if it says nothing."""
    words = " ".join(parsed.description.split())
    return "" if words in (*_NO_NAMES, "<unknown description>") else words


def feature_name(feature: "SeqFeature") -> str:
    """Return the name of a feature: its gene, else its locus tag, and so on; "" if there is none."""
    found = (feature.qualifiers.get(key, [""])[0] for key in _NAMES)
    return next((" ".join(word.split())[:_NAME_LETTERS] for word in found if word.strip()), "")


def feature_place(
    feature: "SeqFeature", length: int, *, circular: bool = False
) -> tuple[int, int, str] | None:
    """Return start, end and strand of a feature from its first base to its last.

    A feature whose parts meet at the origin goes over it, whatever the record's form: its end is > ``length``.

    Parameters
    ----------
    feature : SeqFeature
    length : int
        Of the record.
    circular : bool
        Whether a feature in one part may go over the origin too.

    Returns
    -------
    tuple or None
        0-based half-open; None where the place cannot be read or does not lie in this record.
    """
    parts = [] if feature.location is None else [part for part in feature.location.parts if part.ref is None]
    if not parts:
        return None
    strand = {1: "+", -1: "-"}.get(feature.location.strand, ".")
    ordered = parts[::-1] if strand == "-" else parts
    start, end = min(int(part.start) for part in parts), max(int(part.end) for part in parts)
    longest = 2 * length if circular else length
    for left, right in pairwise(ordered):
        if int(left.end) == length and int(right.start) == 0:
            longest = 2 * length
            start = min(int(part.start) for part in ordered[: ordered.index(left) + 1])
            end = length + max(int(part.end) for part in ordered[ordered.index(right) :])
    if start == end:
        # A place between two bases, such as 5^6, stands for both.
        start, end = max(0, start - 1), min(length, end + 1)
    return (start, end, strand) if 0 <= start < min(end, length) and end <= longest else None


def _sequence_blocks(body: Iterator[str]) -> Iterator[tuple[int, str]]:
    """Yield (number of lines, their letters with line ends) without positions and blanks.

    Flat files are written in lower case, which so says nothing; it is read as upper case.
    """
    while block := list(islice(body, _BLOCK_LINES)):
        yield len(block), "".join(block).translate(_POSITION_NUMBERS).upper()


def _unicode(text: str) -> str:
    """Return text, read byte by byte, as the UTF-8 that it most often is."""
    try:
        return text.encode("latin-1").decode("utf-8")
    except UnicodeDecodeError:
        return text
