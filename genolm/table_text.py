"""The text of a table: which file it is, its delimiter and columns, its rows one by one with their faults.

Or of a FASTA file, whose records are the rows of one class.
"""

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from genolm.errors import SequenceError, TableError
from genolm.fasta_check import header_text, known_format, preamble, read_blocks, start_of_records

COLUMNS = ("sequence", "label", "split", "group", "name")
SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "sequence": ("seq", "dna", "rna", "sequences", "nucleotides", "bases", "dna_sequence", "insert"),
    "label": ("class", "target", "labels", "y", "category", "type", "value", "activity", "taxon", "genus"),
    "split": ("set", "partition", "fold", "subset", "dataset"),
    "group": ("family", "chrom", "chr", "chromosome", "species", "genome", "cluster", "reference"),
    "name": ("id", "identifier", "accession", "record", "seq_id", "header"),
}
_DELIMITERS = ",\t;|"
_SEPARATOR_LINE = re.compile(r'"?sep=([^"\r\n])"?[ \r\n]*', re.IGNORECASE)
"""The line above the header in which Excel says what separates the cells."""
_LONGEST_CELL = 2**31 - 1


class Header(NamedTuple):
    """The names of the columns, what separates them, and their line as it stands in the file."""

    names: list[str]
    delimiter: str
    line: str


class TextRow(NamedTuple):
    """One row as the file has it: its number (the file's first row is 1), its cells, and what is wrong."""

    number: int
    cells: list[str]
    fault: str = ""


def _read_bytes(source: Path) -> bytes:
    if not source.is_file():
        raise TableError(f"There is no file {source}; check its name and folder.")
    try:
        return b"".join(block for block, _ in read_blocks(source))
    except SequenceError as error:
        raise TableError(str(error)) from error
    except OSError as error:
        raise TableError(f"{source} cannot be read: {error.strerror}.") from error


def fasta_records(source: Path) -> Iterator[tuple[str, str]]:
    """Yield (name, letters) of each record of a FASTA file, whatever the letters; a TableError if it is none."""
    raw = _read_bytes(source)
    try:
        begin = start_of_records(raw, str(source))
    except SequenceError as error:
        raise TableError(str(error)) from error
    lines = [line for line in raw[begin:].splitlines() if line.strip() and not line.startswith(b";")]
    for record in (b"\n" + b"\n".join(lines)).split(b"\n>")[1:]:
        header, _, letters = record.partition(b"\n")
        yield (header_text(header).split(None, 1) or ["unnamed"])[0], letters.decode("utf-8", "replace")


def read_text(source: Path, *, lenient: bool = False) -> str:
    """Return the text of a file; with ``lenient`` bytes that are not UTF-8 become the character U+FFFD."""
    raw = _read_bytes(source)
    if known := known_format(raw[:4096], b""):
        what = known.partition(";")[0]
        raise TableError(f"{source} is not a CSV or TSV table but {what}; save it as CSV in UTF-8.")
    if not raw.removeprefix(b"\xef\xbb\xbf").strip():
        raise TableError(f"{source} is empty; give a CSV or TSV table.")
    try:
        return raw.decode("utf-8-sig", "replace" if lenient else "strict")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise TableError(f"{source}, line {line}: not UTF-8 text; save the table as CSV in UTF-8.") from error


def read_header(text: str, source: Path, wanted: Sequence[str] = ()) -> Header:
    """Return the names of the columns as written and the delimiter.

    The delimiter is the one that a first line such as ``sep=;`` says, else the one that yields most of the columns
    that are ``wanted`` or known, else most cells.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    said = _SEPARATOR_LINE.fullmatch(lines[0]) if lines else None
    line = next(iter(lines[1 if said else 0 :]), "")
    for mark, what in ((">", "FASTA"), ("@", "FASTQ (reads with qualities)")):
        if line.startswith(mark) and (mark == ">" or lines[2:3] and lines[2].startswith("+")):
            raise TableError(f"{source} is {what}, not a table; a table begins with a header sequence,label.")
    known = {*COLUMNS, *(name.lower() for name in wanted)}
    best: tuple[tuple[int, int], list[str], str] = ((-1, 0), [], ",")
    for delimiter in said[1] if said else _DELIMITERS:
        header = [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter), [])]
        rank = (sum(word.lower() in known for word in header), len(header))
        if rank > best[0]:
            best = (rank, header, delimiter)
    if not best[0][0]:
        _refuse_other_text(text, source)
    return Header(best[1], best[2], line)


def _refuse_other_text(text: str, source: Path) -> None:
    """Refuse what is a known kind of text, such as a web page, and no table; "@" may begin a column's name."""
    head = text[:4096].encode("utf-8")
    rest = head[preamble(head) :]
    known = None if rest.startswith(b"@") else known_format(head, rest)
    if known:
        what = known.partition(";")[0]
        raise TableError(
            f"{source} is not a CSV or TSV table but {what}; a table begins with a header sequence,label."
        )


def find_columns(header: Sequence[str], source: Path, given: Mapping[str, str]) -> dict[str, int]:
    """Return where each of :data:`COLUMNS` stands; ``given`` names those called otherwise, "" for none.

    Names agree whatever their case.
    """
    strange = sorted(set(given) - set(COLUMNS))
    if strange:
        raise TableError(f"There is no column {strange[0]!r} to name; possible are {', '.join(COLUMNS)}.")
    taken = {name.strip().lower() for name in given.values()}
    names = {column: given.get(column, "" if column in taken else column) for column in COLUMNS}
    places = {column: _place(header, name, source) for column, name in names.items()}
    for column in given:
        if names[column] and places[column] is None:
            raise TableError(
                f"{source} has no column {names[column]!r} to take as {column!r}; it has {listed(header)}."
            )
    found = {column: place for column, place in places.items() if place is not None}
    for column, place in found.items():
        others = [other for other in found if found[other] == place and other != column]
        if others:
            raise TableError(
                f"{source}: the column {header[place]!r} cannot be both {column} and {others[0]}; name two."
            )
    return found


def _place(header: Sequence[str], name: str, source: Path) -> int | None:
    """Return where a column stands, whatever its case unless two differ in nothing else."""
    exact = [place for place, word in enumerate(header) if word == name]
    same = [place for place, word in enumerate(header) if word.lower() == name.strip().lower()]
    if name and len(same) > 1 and (len(exact) != 1 or name == name.lower()):
        raise TableError(f"{source} has the column {name!r} {len(same)} times; keep one.")
    return (exact or same or [None])[0] if name.strip() else None


def guess_columns(header: Sequence[str]) -> dict[str, str]:
    """Return which columns of a file are probably meant, by their usual other names."""
    words = {name.lower(): name for name in reversed(header)}
    found = {}
    for column, others in SYNONYMS.items():
        name = next((words[word] for word in (column, *others) if word in words), "")
        if name and name not in found.values():
            found[column] = name
    return found


def text_rows(text: str, delimiter: str) -> Iterator[TextRow]:
    """Yield each row below the header that is not blank; ``sep=;`` above the header counts as a row.

    A quotation mark that is never closed, or closed at a wrong place, is the fault of the row where it
    opens: reading goes on with the line below it.
    """
    lines = list(io.StringIO(text, newline=""))
    before = csv.field_size_limit(_LONGEST_CELL)
    try:
        yield from _until_the_end(lines, delimiter)
    finally:
        csv.field_size_limit(before)


def _until_the_end(lines: Sequence[str], delimiter: str) -> Iterator[TextRow]:
    above = next((line for line in lines if line.strip()), "")
    number, first, to_pass = 0, 0, 2 if _SEPARATOR_LINE.fullmatch(above) else 1
    while first < len(lines):
        reader = csv.reader(map(lines.__getitem__, range(first, len(lines))), delimiter=delimiter, strict=True)
        done = 0
        try:
            for cells in reader:
                number, done = number + 1, reader.line_num
                if any(cell.strip() for cell in cells):
                    if not to_pass:
                        yield TextRow(number, cells)
                    to_pass = max(0, to_pass - 1)
            return
        except csv.Error as error:
            number += 1
            yield TextRow(number, [lines[first + done].strip()], _quoting(error, reader.line_num - done))
            first += done + 1


def _quoting(error: csv.Error, lines: int) -> str:
    if lines > 1 or "unexpected end" in str(error):
        return "a quotation mark is opened and not closed"
    return f"a quotation mark stands at a wrong place ({error})"


def listed(header: Sequence[str]) -> str:
    """Return the columns of a file in a row."""
    return ", ".join(filter(None, header)) or "none"
