"""Labelled tables in: CSV or TSV with the columns sequence, label and optionally split, group, name.

One FASTA file per class does as well.
"""

import gzip
import io
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from genolm.errors import SettingsError, TableError
from genolm.fasta_check import SPACES, letter_problem
from genolm.labels import class_order
from genolm.table_faults import RowFault, fault_list
from genolm.table_text import (
    COLUMNS,
    Header,
    TextRow,
    fasta_records,
    find_columns,
    guess_columns,
    listed,
    read_header,
    read_text,
    text_rows,
)
from genolm.workspace import atomic_write

__all__ = [
    "COLUMNS",
    "SPLITS",
    "LabelledTable",
    "RefusedRow",
    "column_names",
    "guess_columns",
    "labelled_rows",
    "read_class_fastas",
    "read_table",
    "table_columns",
    "with_split",
    "write_table",
]

SPLITS = ("train", "valid", "test")
_SPLIT_WORDS = {"train": "train", "training": "train", "test": "test", "valid": "valid"} | dict.fromkeys(
    ("validation", "val", "dev"), "valid"
)
_FASTA_ENDINGS = (".fa", ".fasta", ".fna", ".ffn", ".fas", ".fsa")
_PACKED_ENDINGS = (".gz", ".bgz")
_SHOWN_LETTERS = 80


@dataclass(frozen=True)
class RefusedRow:
    """A row that could not be used.

    ``row`` is its number in the file, where the header is row 1 (of a FASTA file: the record's number),
    ``reason`` all its faults, ``text`` how it begins.
    """

    row: int
    reason: str
    text: str


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
    refused : tuple[RefusedRow, ...]
        Rows that were left out because the caller allowed it.
    without_label : pd.DataFrame or None
        The rows, like those of ``frame``, that :func:`labelled_rows` took out for having no label.
    """

    source: Path
    frame: pd.DataFrame
    ignored: tuple[str, ...] = ()
    refused: tuple[RefusedRow, ...] = ()
    without_label: pd.DataFrame | None = None

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.frame)

    @property
    def sequences(self) -> list[str]:
        """The sequences in order."""
        return self.frame["sequence"].tolist()

    @property
    def unlabelled(self) -> tuple[str, ...]:
        """The sequences of the rows without a label."""
        return () if self.without_label is None else tuple(self.without_label["sequence"])

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
    def named_groups(self) -> np.ndarray | None:
        """The column group in order, if there is one."""
        return self.frame["group"].to_numpy(dtype=str) if "group" in self.frame else None

    @property
    def classes(self) -> list[str]:
        """The different labels, numbers by value and before words."""
        return sorted(set(self.labels), key=class_order)

    def part(self, split: str) -> pd.DataFrame:
        """Return the rows of one split; none if the table has no splits."""
        kept = self.frame["split"] == split if "split" in self.frame else [False] * len(self)
        return self.frame.loc[kept]


def read_table(
    path: str | os.PathLike[str],
    *,
    need_label: bool = True,
    columns: Mapping[str, str] | None = None,
    skip_bad_rows: bool = False,
) -> LabelledTable:
    """Read and check a table of labelled sequences.

    Parameters
    ----------
    path : path-like
        CSV or TSV, plain or gzip, in UTF-8. The delimiter (comma, tab, semicolon or bar) is found by the
        header. Column names are matched whatever their case. A folder stands for its FASTA files, one per
        class, each class called as its file is without the ending.
    need_label : bool
        Whether the column label must be there; without it an empty label is accepted too.
    columns : mapping of str to str, optional
        What the file calls its columns where that is not our name: {"sequence": "promoter_seq"}; "" for a
        column that shall not be used though the file has it.
    skip_bad_rows : bool
        Leave bad rows out and list them in ``refused``.

    Returns
    -------
    LabelledTable

    Raises
    ------
    TableError
        If the file cannot be read as such a table, or no row of it can be used, or any row is bad and bad
        rows may not be left out: names the rows and their faults, the first ten kinds of them, and how many.
    """
    source = Path(path).expanduser().absolute()
    if source.is_dir():
        return read_class_fastas(_fastas_in(source), skip_bad_rows=skip_bad_rows)
    text = read_text(source, lenient=skip_bad_rows)
    header = read_header(text, source, list((columns or {}).values()))
    places = find_columns(header.names, source, columns or {})
    _check_columns(header, places, source, need_label=need_label)
    reader = _RowReader(header.names, places, need_label=need_label)
    for row in text_rows(text, header.delimiter):
        reader.add(row)
    used = set(places.values())
    ignored = tuple(word or f"column {place + 1}" for place, word in enumerate(header.names) if place not in used)
    return reader.table(source, ignored, skip_bad_rows=skip_bad_rows)


def table_columns(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """Return the names of a table's columns as the file has them; a TableError if it is no table."""
    source = Path(path).expanduser().absolute()
    return tuple(read_header(read_text(source, lenient=True), source).names)


def read_class_fastas(
    files: Mapping[str, str | os.PathLike[str]], *, skip_bad_rows: bool = False
) -> LabelledTable:
    """Read one FASTA file per class as a table with the columns sequence, label, name.

    Parameters
    ----------
    files : mapping of str to path-like
        Class and its file, plain or compressed.
    skip_bad_rows : bool
        Leave bad records out and list them in ``refused``.

    Returns
    -------
    LabelledTable
        Rows are numbered as :func:`write_table` writes them, the first record being row 2.
    """
    if len(files) < 2:
        raise TableError(f"There is one FASTA file per class, and {len(files)} of them; give two or more.")
    reader = _RowReader(("sequence", "label", "name"), {"sequence": 0, "label": 1, "name": 2})
    number = 2
    for label, path in files.items():
        source = Path(path).expanduser().absolute()
        for place, (name, letters) in enumerate(fasta_records(source), start=1):
            number += reader.add(TextRow(number, [letters, label, name]), source.name, name, place)
    folder = Path(next(iter(files.values()))).expanduser().absolute().parent
    return reader.table(folder, (), skip_bad_rows=skip_bad_rows)


def write_table(path: str | os.PathLike[str], table: LabelledTable) -> None:
    """Write a table as CSV, gzipped when the name ends in ``.gz``; the file appears only when complete."""
    text = io.StringIO()
    table.frame.to_csv(text, index=False, lineterminator="\n")
    raw = text.getvalue().encode("utf-8")
    with atomic_write(path) as stream:
        stream.write(gzip.compress(raw, mtime=1) if str(path).endswith(".gz") else raw)


def labelled_rows(table: LabelledTable) -> LabelledTable:
    """Return the rows with a label; the others are in ``without_label``.

    Raises
    ------
    TableError
        If there is no column label or nothing in it.
    """
    if "label" not in table.frame:
        raise TableError(f"{table.source} has no column 'label'; add one, or say which column holds the labels.")
    has_label = table.frame["label"] != ""
    if not has_label.any():
        raise TableError(f"{table.source}: every label is empty; a classifier learns from labelled rows.")
    return replace(table, frame=table.frame[has_label], without_label=table.frame[~has_label])


def with_split(table: LabelledTable, parts: Sequence[str]) -> LabelledTable:
    """Return a table whose column split is ``parts``."""
    words = pd.Series([str(part) for part in parts], table.frame.index, dtype=object)
    frame = table.frame.assign(split=words)
    return replace(table, frame=frame[[column for column in COLUMNS if column in frame]])


def column_names(options: Sequence[str]) -> dict[str, str]:
    """Return what options such as ``sequence=dna`` say of a file's columns, ours -> the file's."""
    found = {}
    for option in options:
        ours, sign, theirs = option.partition("=")
        if not sign or ours.strip() not in COLUMNS:
            raise SettingsError(
                f"The column {option!r} cannot be understood; write one of {', '.join(COLUMNS)}, '=', and what "
                "the file calls it."
            )
        found[ours.strip()] = theirs.strip()
    return found


class _RowReader:
    """Checks rows one by one and keeps the good ones and what is wrong with the others."""

    def __init__(self, header: Sequence[str], places: dict[str, int], *, need_label: bool = True) -> None:
        self.header, self.places, self.need_label = header, places, need_label
        self.rows: list[list[str]] = []
        self.numbers: list[int] = []
        self.faults: list[RowFault] = []
        self.refused: list[RefusedRow] = []

    def add(self, row: TextRow, file: str = "", record: str = "", place: int = 0) -> bool:
        """Take a row, or refuse it; of a FASTA file with its name and the record's name and number."""
        if row.fault:
            faults, values = [row.fault], []
        else:
            faults, values = _check_row(row.cells, self.header, self.places, need_label=self.need_label)
        if not faults:
            self.rows.append(values)
            self.numbers.append(row.number)
            return True
        found = [RowFault(fault, row.number, file, record) for fault in faults]
        self.faults += found
        where, reason = found[0].where, "; ".join(faults)
        text = " ".join(",".join(row.cells).split())
        text = text if len(text) <= _SHOWN_LETTERS else f"{text[: _SHOWN_LETTERS - 1]}…"
        self.refused.append(RefusedRow(place or row.number, f"{where}: {reason}" if where else reason, text))
        return False

    def table(self, source: Path, ignored: tuple[str, ...], *, skip_bad_rows: bool) -> LabelledTable:
        """Return the table, or say in one error all that is wrong."""
        if self.faults and not (skip_bad_rows and self.rows):
            raise TableError(fault_list(source, self.faults))
        if not self.rows:
            raise TableError(f"{source} has a header but no rows; add one row per sequence.")
        index = pd.Index(self.numbers, name="row")
        frame = pd.DataFrame(self.rows, columns=list(self.places), index=index, dtype=object)
        return LabelledTable(source, frame, ignored, tuple(self.refused))


def _check_columns(header: Header, places: Mapping[str, int], source: Path, *, need_label: bool) -> None:
    missing = [name for name in (("sequence", "label") if need_label else ("sequence",)) if name not in places]
    if not places:
        raise TableError(
            f"{source}: the first line is {header.line[:60]!r}, where the names of the columns were expected: "
            "sequence,label and optionally split, group, name. Columns with other names can be chosen."
        )
    if missing:
        raise TableError(f"{source} has no column {missing[0]!r}; its columns are {listed(header.names)}.")


def _fastas_in(folder: Path) -> dict[str, Path]:
    """Return the FASTA files of a folder by name without ending."""
    found = {}
    for path in sorted(folder.iterdir()):
        packed = path.suffix.lower() in _PACKED_ENDINGS
        plain = path.with_suffix("") if packed else path
        if path.is_file() and plain.suffix.lower() in _FASTA_ENDINGS:
            if plain.stem in found:
                raise TableError(f"{folder} has two FASTA files for the class {plain.stem!r}; keep one.")
            found[plain.stem] = path
    if len(found) < 2:
        endings = ", ".join(_FASTA_ENDINGS)
        raise TableError(f"{folder} holds {len(found)} FASTA files ({endings}); one for each class is wanted.")
    return found


def _check_row(
    cells: Sequence[str], header: Sequence[str], places: dict[str, int], *, need_label: bool
) -> tuple[list[str], list[str]]:
    """Return the faults of a row and its values, in the order of ``places``."""
    if len(cells) != len(header):
        count = f"{len(cells)} cell{'' if len(cells) == 1 else 's'}"
        return [f"{count} where the header has {len(header)}"], [""] * len(places)
    faults, values = [], []
    for column, place in places.items():
        value, fault = _CHECKS[column](cells[place].strip())
        if fault and not (column == "label" and not need_label):
            faults.append(fault)
        elif "\ufffd" in value:
            faults.append(f"the {column} is not UTF-8 text; save the table as CSV in UTF-8")
        values.append(value)
    return faults, values


def _check_sequence(cell: str) -> tuple[str, str | None]:
    raw = cell.encode("utf-8", "replace")
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


_URACIL = bytes.maketrans(b"Uu", b"Tt")
_CHECKS: dict[str, Callable[[str], tuple[str, str | None]]] = {
    "sequence": _check_sequence,
    "label": _check_filled("label"),
    "split": _check_split,
    "group": _check_filled("group"),
    "name": _check_filled("name"),
}
