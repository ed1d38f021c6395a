"""What is wrong with the rows of a table, as a list to read: rows with the same fault stand in one line."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from genolm.errors import first_names

SHOWN_PROBLEMS = 10
_NAMED = 5
_POSITION = re.compile(r"position \d+ of the sequence: ")


class RowFault(NamedTuple):
    """One fault of a row of the file, or of a ``record`` in one FASTA ``file`` of several."""

    text: str
    row: int
    file: str = ""
    record: str = ""

    @property
    def where(self) -> str:
        """Which record it is, "" for a row of a table."""
        return f"{self.file}, record {self.record!r}" if self.file else ""


def fault_list(source: Path, faults: Sequence[RowFault]) -> str:
    """Return a message that names the faults, those of one kind together, and how many there are.

    Faults are of one kind that differ in nothing but the row and the position in its sequence.
    """
    kinds: dict[tuple[str, str], list[RowFault]] = {}
    for fault in faults:
        kinds.setdefault((fault.file, _POSITION.sub("", fault.text)), []).append(fault)
    shown = list(kinds.values())[:SHOWN_PROBLEMS]
    lines = [f"{source} has {len(faults):,} problem{'s' if len(faults) > 1 else ''}; nothing of it was used:"]
    lines += [f"  {_places(alike)}: {_said(alike)}" for alike in shown]
    more = len(faults) - sum(map(len, shown))
    return "\n".join([*lines, f"  and {more:,} more"] if more else lines)


def _said(alike: Sequence[RowFault]) -> str:
    """Return the fault of rows that share it, with the position if that is the same in all."""
    texts = {fault.text for fault in alike}
    return texts.pop() if len(texts) == 1 else _POSITION.sub("", alike[0].text)


def _places(alike: Sequence[RowFault]) -> str:
    first = alike[0]
    if first.file:
        records = first_names([repr(fault.record) for fault in alike], _NAMED)
        return first.where if len(alike) == 1 else f"{first.file}, records {records}"
    return f"row{'s' if len(alike) > 1 else ''} {_numbers([fault.row for fault in alike])}"


def _numbers(rows: Sequence[int]) -> str:
    """Return row numbers in order, runs of them as ``2-9``, and of many how many more there are."""
    runs = list(_runs(rows))
    told = sum(last - first + 1 for first, last in runs[:_NAMED])
    words = [str(first) if first == last else f"{first}-{last}" for first, last in runs]
    return first_names(words, _NAMED, _NAMED + len(rows) - told)


def _runs(rows: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield first and last of each run of numbers that follow each other."""
    first = last = rows[0]
    for row in rows[1:]:
        if row != last + 1:
            yield first, last
            first = row
        last = row
    yield first, last
