"""Labelled tables in: CSV or TSV with the columns sequence, label and optionally split, group, name."""

import csv
import io
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from genolm.errors import SequenceError, TableError
from genolm.fasta_check import SPACES, known_format, letter_problem, read_blocks

COLUMNS = ("sequence", "label", "split", "group", "name")
SPLITS = ("train", "valid", "test")
SHOWN_PROBLEMS = 10
_SPLIT_WORDS = {"train": "train", "training": "train", "test": "test", "valid": "valid"} | dict.fromkeys(
    ("validation", "val", "dev"), "valid"
)
_DELIMITERS = ",\t;|"
_LONGEST_CELL = 2**31 - 1


@dataclass(frozen=True)
class LabelledTable:
    """A checked table.

    Attributes
    ----------
    source : Path
        The file it came from.
    frame : pd.DataFrame
        Those of the columns sequence, label, split, group, name that the file has, in this order, all
        of them strings. Its index is the row of the file, where the header is row 1. Sequences have
        their case, no blanks, and U read as T; splits are train, valid or test.
    ignored : tuple[str, ...]
        Other columns of the file, which nothing here uses.
    """

    source: Path
    frame: pd.DataFrame
    ignored: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.frame)

    @property
    def sequences(self) -> list[str]:
        """The sequences in order."""
        return self.frame["sequence"].tolist()

    @property
    def labels(self) -> list[str]:
        """The labels in order; a table without labels has none."""
        return self.frame["label"].tolist() if "label" in self.frame else []

    @property
    def names(self) -> list[str]:
        """The names in order; ``row N`` where the file has no names."""
        if "name" in self.frame:
            return self.frame["name"].tolist()
        return [f"row {number}" for number in self.frame.index]

    @property
    def classes(self) -> list[str]:
        """The different labels, numbers by value and before words."""
        return sorted(set(self.labels), key=_class_order)

    def part(self, split: str) -> pd.DataFrame:
        """Return the rows of one split; none if the table has no splits."""
        kept = self.frame["split"] == split if "split" in self.frame else [False] * len(self)
        return self.frame.loc[kept]


def read_table(path: str | os.PathLike[str], *, need_label: bool = True) -> LabelledTable:
    """Read and check a table of labelled sequences.

    Parameters
    ----------
    path : path-like
        CSV or TSV, plain or gzip, in UTF-8. The delimiter (comma, tab, semicolon or bar) is found by the
        header. Column names are matched whatever their case.
    need_label : bool
        Whether the column label must be there; without it an empty label is accepted too.

    Returns
    -------
    LabelledTable

    Raises
    ------
    TableError
        If the file cannot be read as such a table, or any row is bad: names each row and its fault, the
        first ten of them, and says how many there are.
    """
    source = Path(path).expanduser().absolute()
    text = _read_text(source)
    header, delimiter = _read_header(text, source)
    places = _places(header, source, need_label=need_label)
    rows, numbers, problems = [], [], []
    for number, cells in _rows(text, delimiter, source):
        faults, values = _check_row(cells, header, places, need_label=need_label)
        problems += [f"row {number}: {fault}" for fault in faults]
        rows.append(values)
        numbers.append(number)
    if problems:
        raise TableError(_listed(source, problems))
    if not rows:
        raise TableError(f"{source} has a header but no rows; add one row per sequence.")
    frame = pd.DataFrame(rows, columns=list(places), index=pd.Index(numbers, name="row"), dtype=object)
    ignored = tuple(word or f"column {place + 1}" for place, word in enumerate(header) if word not in places)
    return LabelledTable(source, frame, ignored)


def _read_text(source: Path) -> str:
    if not source.is_file():
        raise TableError(f"There is no file {source}; check its name and folder.")
    try:
        raw = b"".join(block for block, _ in read_blocks(source))
    except SequenceError as error:
        raise TableError(str(error)) from error
    except OSError as error:
        raise TableError(f"{source} cannot be read: {error.strerror}.") from error
    known = known_format(raw[:4096], b"")
    if known:
        what = known.partition(";")[0]
        raise TableError(f"{source} is not a CSV or TSV table but {what}; save the table as CSV in UTF-8.")
    if not raw.removeprefix(b"\xef\xbb\xbf").strip():
        raise TableError(f"{source} is empty; a table begins with a header such as sequence,label.")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise TableError(f"{source}, line {line}: not UTF-8 text; save the table as CSV in UTF-8.") from error


def _read_header(text: str, source: Path) -> tuple[list[str], str]:
    """Return the column names, as known here or as written, and the delimiter that yields most of them."""
    line = next((line for line in text.splitlines() if line.strip()), "")
    if line.startswith(">"):
        raise TableError(f"{source} is FASTA, not a table; a table begins with a header sequence,label.")
    best: tuple[int, list[str], str] = (0, [], ",")
    for delimiter in _DELIMITERS:
        cells = next(csv.reader([line], delimiter=delimiter), [])
        header = [_column_word(cell) for cell in cells]
        known = sum(word in COLUMNS for word in header)
        if known > best[0]:
            best = (known, header, delimiter)
    if best[0] == 0:
        raise TableError(
            f"{source}: the first line is {line[:60]!r}, where the names of the columns were expected: "
            "sequence,label and optionally split, group, name."
        )
    return best[1], best[2]


def _column_word(cell: str) -> str:
    word = cell.strip()
    return word.lower() if word.lower() in COLUMNS else word


def _places(header: list[str], source: Path, *, need_label: bool) -> dict[str, int]:
    found = {column: header.index(column) for column in COLUMNS if column in header}
    for column in ("sequence", "label") if need_label else ("sequence",):
        if column not in found:
            raise TableError(
                f"{source} has no column {column!r}; its columns are {', '.join(filter(None, header))}."
            )
    twice = [column for column in found if header.count(column) > 1]
    if twice:
        raise TableError(f"{source} has the column {twice[0]!r} {header.count(twice[0])} times; keep one.")
    return found


def _rows(text: str, delimiter: str, source: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield each row below the header that is not blank, with its number; the file's first row is 1."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    seen_header = False
    number = 0
    before = csv.field_size_limit(_LONGEST_CELL)
    try:
        for number, cells in enumerate(reader, start=1):
            if any(cell.strip() for cell in cells):
                if seen_header:
                    yield number, cells
                seen_header = True
    except csv.Error as error:
        raise TableError(f"{source}, row {number + 1}: {error}; check the quotation marks.") from error
    finally:
        csv.field_size_limit(before)


def _check_row(
    cells: Sequence[str], header: Sequence[str], places: dict[str, int], *, need_label: bool
) -> tuple[list[str], list[str]]:
    """Return the faults of a row and its values, in the order of ``places``."""
    if len(cells) != len(header):
        return [f"{len(cells)} cells where the header has {len(header)}"], [""] * len(places)
    faults, values = [], []
    for column, place in places.items():
        value, fault = _CHECKS[column](cells[place].strip())
        if fault and not (column == "label" and not need_label):
            faults.append(fault)
        values.append(value)
    return faults, values


def _check_sequence(cell: str) -> tuple[str, str | None]:
    raw = cell.encode("utf-8")
    if not raw:
        return "", "the sequence is empty"
    problem = letter_problem(raw)
    if problem is not None:
        position = len(raw[: problem[0]].translate(None, SPACES)) + 1
        return "", f"position {position} of the sequence: {problem[1]}"
    return raw.translate(_URACIL, SPACES).decode("ascii"), None


def _check_split(cell: str) -> tuple[str, str | None]:
    if not cell:
        return "", f"the split is empty; it must be one of {', '.join(SPLITS)}"
    word = _SPLIT_WORDS.get(cell.lower())
    return (word, None) if word else ("", f"split {cell!r} must be one of {', '.join(SPLITS)}")


def _check_filled(column: str) -> Callable[[str], tuple[str, str | None]]:
    return lambda cell: (cell, None if cell else f"the {column} is empty")


def _class_order(label: str) -> tuple[int, float, str]:
    try:
        return 0, float(label), label
    except ValueError:
        return 1, 0.0, label


def _listed(source: Path, problems: list[str]) -> str:
    shown = "\n".join(f"  {problem}" for problem in problems[:SHOWN_PROBLEMS])
    more = len(problems) - SHOWN_PROBLEMS
    count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
    rest = f"\n  and {more} more" if more > 0 else ""
    return f"{source} has {count}; nothing of it was used:\n{shown}{rest}"


_URACIL = bytes.maketrans(b"Uu", b"Tt")
_CHECKS: dict[str, Callable[[str], tuple[str, str | None]]] = {
    "sequence": _check_sequence,
    "label": _check_filled("label"),
    "split": _check_split,
    "group": _check_filled("group"),
    "name": _check_filled("name"),
}
