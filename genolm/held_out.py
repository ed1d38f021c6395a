"""What is held out of some records to judge a language model by, and which copies of it are not learned from."""

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np

from genolm.errors import SettingsError, TrainingError, first_names
from genolm.tokenizer import reverse_complement_codes

LEAST_BASES = 20_000
LEAST_HELD_OUT = 1_000
HELD_OUT_SHARE = 0.05
_NAMES_SHOWN = 5


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
        return f"{first_names([names[row] for row in self.rows])} ({share})"


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
    if not found:  # a colon in a name of a file or a record
        of_file = [row for row, name in enumerate(names) if name.startswith(f"{wanted}:")]
        records = [row for row, name in enumerate(names) if name.endswith(f":{wanted}")]
        found = of_file or records
    if not found:
        known = [*names, *(name.partition(":")[2] for name in names)]
        close = difflib.get_close_matches(wanted, known, n=1)
        hint = f" Did you mean '{close[0]}'?" if close else f" There are: {', '.join(names[:_NAMES_SHOWN])}."
        raise SettingsError(f"There is no record '{wanted}' to hold out.{hint}")
    if found == records and len(found) > 1:
        both = " or ".join(names[row] for row in found[:_NAMES_SHOWN])
        raise SettingsError(f"'{wanted}' is in several files; write {both}.")
    return found


@dataclass(frozen=True)
class Division:
    """How the records of some files are divided into what is learned from and what is held out.

    Attributes
    ----------
    names : tuple of str
        ``file:record`` of each record.
    sizes : tuple of int
        Lengths of the records.
    chosen : HeldOut
    copies : tuple of int
        Records that are neither, for they are the same, on either strand, as one that is held out, whole or by its end.
    """

    names: tuple[str, ...]
    sizes: tuple[int, ...]
    chosen: HeldOut
    copies: tuple[int, ...] = ()

    @property
    def learned(self) -> list[int]:
        """Numbers of the records that are learned from, by all but the end or whole."""
        rest = {*self.chosen.rows, *self.copies}
        return [row for row in range(len(self.names)) if row not in rest]

    @property
    def unlearned_bases(self) -> int:
        """Bases of what is held out and of its copies."""
        return self.chosen.bases + sum(self.sizes[row] for row in self.copies)

    @property
    def notes(self) -> list[str]:
        """Which copies are left out, in a sentence; nothing where there is none."""
        if not self.copies:
            return []
        names = first_names([self.names[row] for row in self.copies])
        return [f"Left out of the training: {self._copies_words('what is held out, on either strand')}: {names}."]

    def words(self) -> str:
        """Say in a few words what is held out, and how many copies of it are left out."""
        words = self.chosen.words(self.names, self.sizes)
        if not self.copies:
            return words
        verb = "is" if len(self.copies) == 1 else "are"
        return f"{words}; {self._copies_words('it')} {verb} left out of the training"

    def _copies_words(self, of: str) -> str:
        count, bases = len(self.copies), sum(self.sizes[row] for row in self.copies)
        return f"{count:,} {'copy' if count == 1 else 'copies'} of {of} ({bases:,} bp)"

    def check(self) -> None:
        """Refuse too few bases on either side, be they known or not."""
        learned, held = [self.names[row] for row in self.learned], [self.names[row] for row in self.chosen.rows]
        check_part(sum(self.sizes) - self.unlearned_bases, learned, LEAST_BASES // 2, "to learn from")
        check_part(self.chosen.bases, held, LEAST_HELD_OUT // 2, "held out")


def divide(
    names: Sequence[str],
    sizes: Sequence[int],
    read: Callable[[int], np.ndarray],
    *,
    held_out: Sequence[str],
    share: float,
) -> Division:
    """Divide records into what is learned from and what is held out.

    Parameters
    ----------
    names, sizes, held_out, share
        See :func:`choose_held_out`.
    read : callable
        Gives the base codes of a record by its number; asked only for records that are as long as another.

    Raises
    ------
    SettingsError
        Where a copy of a record of ``held_out`` would be learned from; copies of what the rule chose are left out.
    """
    chosen = choose_held_out(names, sizes, wanted=held_out, share=share)
    twins = _twins(chosen, sizes, read)
    if held_out and twins:
        _refuse_copies([(names[twin], names[row]) for row, twin in twins.items()])
    return Division(tuple(names), tuple(sizes), chosen, tuple(twins))


def _twins(chosen: HeldOut, sizes: Sequence[int], read: Callable[[int], np.ndarray]) -> Mapping[int, int]:
    """Return the records that are the same as one that is held out, whole or by its end, each with that one."""
    judged = set(chosen.rows or (chosen.row,))
    lengths = {sizes[row] for row in judged}
    others = [row for row, size in enumerate(sizes) if size in lengths and row not in judged]
    lengths = {sizes[row] for row in others}
    marks: dict[bytes, int] = {}
    for row in sorted(judged):
        if sizes[row] in lengths:
            marks.setdefault(_mark(read(row)), row)
    found = ((row, marks.get(_mark(read(row)))) for row in others)
    return {row: twin for row, twin in found if twin is not None}


def _refuse_copies(pairs: Sequence[tuple[str, str]]) -> None:
    (judged, learned), others = pairs[0], [f"{one} and {other}" for one, other in pairs[1:]]
    more = f" ({len(pairs):,} such pairs; also {first_names(others, 3)})" if others else ""
    raise SettingsError(
        f"{judged} is held out to judge by, and {learned}, which would be learned from, is the same sequence{more}: "
        "the model would know what it is judged by. Please leave one of each pair out, or hold both out."
    )


def _mark(record: np.ndarray) -> bytes:
    """Return a hash of a record that its other strand has too."""
    strands = (record, reverse_complement_codes(record))
    return min(blake2b(codes.tobytes(), digest_size=16).digest() for codes in strands)


def check_part(bases: int, names: Sequence[str], least: int, words: str) -> None:
    """Refuse fewer than ``least`` bases of the records ``names``, which are what ``words`` say."""
    if bases < least:
        of = f", of {', '.join(names[:3])}" if names else ""
        raise TrainingError(
            f"Only {bases:,} bases (A, C, G, T) are {words}{of}; at least {least:,} are needed: name other records to "
            "hold out, or cut off what is unknown (N)."
        )


