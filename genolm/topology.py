"""Linear or circular: what a record says of itself, what the user says, and stretches over the origin.

On a circular contig of L bases a position p stands for the base p mod L. A stretch may begin before 0 or end
after L, by one turn at most either way.
"""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from genolm.errors import RegionError, SettingsError
from genolm.regions import unknown_contig

LINEAR, CIRCULAR = "linear", "circular"
TOPOLOGIES = (LINEAR, CIRCULAR)
AUTO = "auto"

Choice = str | Mapping[str, str]

_TAG = re.compile(
    r"(?:^|[\s\[;|,])((?:topology|circular|suggestcircular|is_circular)\s*=\s*([a-z0-9]+))", re.IGNORECASE
)
_YES = {"circular", "true", "yes", "y", "1"}
_NO = {"linear", "false", "no", "n", "0"}
_NOT_A_CIRCLE = re.compile(r"\b(?:non|not|semi|un)[\s-]?circular\w*|\blinear\b", re.IGNORECASE)
_A_CIRCLE = re.compile(
    r"(?<![\w-])(?:circular|circulari[sz]ed)\b(?!\s+(?:rna|permut|dichroism))(?!-)", re.IGNORECASE
)
_ASSEMBLER_NAME = re.compile(r"(?:s\d+\.)?[auphr]?(?:tg|ctg)\d{6,}([cl])", re.IGNORECASE)
_WHOLE = re.compile(r"\bcomplete (?:genome|sequence)\b", re.IGNORECASE)


class Guess(NamedTuple):
    """What a record says of its form: ``topology`` is linear or circular, ``reason`` a sentence."""

    topology: str
    reason: str


def guess_topology(name: str, description: str = "") -> Guess:
    """Guess the form of a FASTA record from its header.

    Circular only where the header says so: a tag such as ``[topology=circular]`` or ``circular=true``, the
    word, or a name by which hifiasm and miniasm mark circles (``ptg000001c``). ``complete genome`` is no
    proof, for there are linear chromosomes and plasmids in bacteria too.

    Parameters
    ----------
    name : str
        First word of the header.
    description : str
        The rest of it.
    """
    text = f"{name} {description}"
    tag = _TAG.search(text)
    if tag and tag[2].lower() in _YES | _NO:
        found = CIRCULAR if tag[2].lower() in _YES else LINEAR
        return Guess(found, f"The header says '{tag[1]}'.")
    denied = _NOT_A_CIRCLE.search(description)
    if denied:
        return Guess(LINEAR, f"The header says '{denied[0]}'.")
    said = _A_CIRCLE.search(description)
    if said:
        return Guess(CIRCULAR, f"The header says '{said[0]}'.")
    marked = _ASSEMBLER_NAME.fullmatch(name)
    if marked and marked[1].lower() == "c":
        return Guess(CIRCULAR, "The assembler marked this contig as a circle: its name ends in 'c'.")
    whole = _WHOLE.search(description)
    if whole:
        return Guess(
            LINEAR,
            f"The header says '{whole[0]}', but not that it is a circle; choose circular if it is one.",
        )
    return Guess(LINEAR, "The header does not say that it is a circle.")


def settle(
    contigs: Mapping[str, int], guesses: Iterable[Guess], choice: Choice = AUTO
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the form of each contig, and why, from what the file says and what the user chose.

    Parameters
    ----------
    contigs : mapping of name to length
    guesses : iterable of Guess
        In the order of ``contigs``; not looked at where one form was chosen for all.
    choice : {"auto", "linear", "circular"} or mapping
        A mapping gives the form by contig; contigs that it does not name are guessed.

    Raises
    ------
    SettingsError
        If a form is none of the three.
    RegionError
        If the mapping names a contig that is not at hand.
    """
    by_contig = {} if isinstance(choice, str) else dict(choice)
    for word in [choice] if isinstance(choice, str) else by_contig.values():
        if word not in (AUTO, *TOPOLOGIES):
            raise SettingsError(f"topology is '{word}'; it must be auto, linear or circular.")
    for name in by_contig:
        if name not in contigs:
            raise unknown_contig(name, contigs)
    if choice in TOPOLOGIES:
        reason = f"Chosen: all contigs are {choice}."
        return dict.fromkeys(contigs, str(choice)), dict.fromkeys(contigs, reason)
    forms, reasons = {}, {}
    for name, guess in zip(contigs, guesses, strict=True):
        chosen = by_contig.get(name, AUTO)
        forms[name] = guess.topology if chosen == AUTO else chosen
        reasons[name] = guess.reason if chosen == AUTO else f"Chosen for this contig: {chosen}."
    return forms, reasons


def turns(start: int, end: int, length: int) -> list[tuple[int, int]]:
    """Cut a stretch of a circular contig at the origin.

    Parameters
    ----------
    start, end : int
        0-based half-open; may lie before 0 or after ``length``.
    length : int

    Returns
    -------
    list of (int, int)
        Stretches within [0, length), in the order in which they are read on the plus strand.

    Raises
    ------
    RegionError
        If the stretch goes further than one turn before 0 or after ``length``.
    """
    if not -length <= start <= end <= 2 * length:
        raise RegionError(
            f"Positions {start} to {end} lie more than one turn away on a circular contig "
            f"of {length:,} bases."
        )
    pieces = []
    while start < end:
        left = start % length
        size = min(end - start, length - left)
        pieces.append((left, left + size))
        start += size
    return pieces


def five_prime_parts(
    start: np.ndarray, end: np.ndarray, strand: np.ndarray, length: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the part with the 5' end of features over the origin of contigs that are not circular.

    Parameters
    ----------
    start, end : np.ndarray of int64, shape (n,)
        0-based half-open; ``end > length`` where a feature goes over the origin.
    strand : np.ndarray of str, shape (n,)
    length : np.ndarray of int64, shape (n,)
        Of each feature's contig.

    Returns
    -------
    (np.ndarray, np.ndarray)
        Start and end: on minus what lies behind the origin, else what lies before it; other features as they were.
    """
    over = end > length
    behind = over & (strand == "-")
    return np.where(behind, 0, start), np.where(behind, end - length, np.where(over, length, end))
