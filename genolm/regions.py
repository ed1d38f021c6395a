"""Stretches of a sequence, and the one statement of genolm's coordinates.

Inside genolm a position is 0-based and a stretch is half-open: the first ten bases are 0 to 10.
What a person types or reads is 1-based and inclusive, as genome browsers show it: ``chr1:1-10``.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from genolm.errors import RegionError, first_names

STRANDS = ("+", "-")
_FACTORS = {"": 1, "k": 1_000, "m": 1_000_000, "g": 1_000_000_000}
_NUMBER = r"\d[\d,]*(?:\.\d+)?\s*[kmg]?(?:bp?)?"
_SPAN = re.compile(
    rf"(?P<contig>.+):\s*(?P<start>{_NUMBER})\s*(?:(?P<dash>-|\u2013|\.\.)\s*(?P<end>{_NUMBER})?)?",
    re.IGNORECASE,
)
_STRAND = re.compile(r"(?P<rest>.+?)\s*\((?P<strand>[+-])\)")
_PARTS = re.compile(r"(?P<digits>[\d,]+(?:\.\d+)?)\s*(?P<unit>[kmg]?)(?:bp?)?", re.IGNORECASE)


class Contigs(Protocol):
    """What is needed of a genome: the lengths of its contigs and any piece of one.

    It may also have ``topology``, a mapping of names to "linear" or "circular"; ``fetch`` of a circular contig
    takes a start below 0 and an end over the length.
    """

    @property
    def contigs(self) -> Mapping[str, int]:
        """Length of each contig, in the file's order."""
        ...

    def fetch(self, contig: str, start: int, end: int) -> str:
        """Return the plus strand of [start, end)."""
        ...


@dataclass(frozen=True)
class Region:
    """A stretch of one contig.

    Attributes
    ----------
    contig : str
        Name of the sequence.
    start, end : int
        0-based, half-open, counted on the plus strand whatever ``strand`` is.
    strand : str
        ``+`` or ``-``.
    """

    contig: str
    start: int
    end: int
    strand: str = "+"

    def __post_init__(self) -> None:
        if not self.contig:
            raise RegionError("A region needs the name of a sequence, as in chr1:1-1000.")
        if self.strand not in STRANDS:
            raise RegionError(f"Strand {self.strand!r} of a region on {self.contig} must be + or -.")
        if self.start < 0:
            raise RegionError(f"A region on {self.contig} starts at {self.start + 1}; positions begin at 1.")
        if self.end <= self.start:
            raise RegionError(
                f"A region on {self.contig} runs from {self.start + 1} to {self.end}; "
                "its end must not lie before its start."
            )

    @property
    def length(self) -> int:
        """Number of bases."""
        return self.end - self.start

    def __str__(self) -> str:
        """Return ``contig:start-end``, 1-based and inclusive, with ``(-)`` on the minus strand."""
        return f"{self.contig}:{self.start + 1}-{self.end}" + ("(-)" if self.strand == "-" else "")


def parse_region(
    text: str, *, contigs: Mapping[str, int] | None = None, circular: Collection[str] = ()
) -> Region:
    """Read a region as a person writes it.

    Parameters
    ----------
    text : str
        ``chr1:1,000-2,000``, ``chr1:1K-2M``, ``chr1:1.5M-2M``, ``chr1:500`` (one base) and, when the
        lengths are known, ``chr1:500-`` (to the end) and ``chr1`` (all of it). 1-based and inclusive;
        ``(-)`` after it means the minus strand. A name may itself hold colons.
    contigs : mapping of name to length, optional
        The sequences at hand; with it the name and the end are checked.
    circular : collection of str, optional
        Those of ``contigs`` that are circles. On them ``9,900-100`` goes over the origin, and so does
        ``9,900-10,100`` of 10,000 bases.

    Returns
    -------
    Region
        Where it goes over the origin its end lies beyond the contig's length.

    Raises
    ------
    RegionError
        If the text is not a region, or lies outside the sequences at hand.
    """
    wanted = text.strip()
    if contigs is not None and wanted in contigs:
        return Region(wanted, 0, contigs[wanted])
    stranded = _STRAND.fullmatch(wanted)
    strand = stranded["strand"] if stranded else "+"
    body = stranded["rest"] if stranded else wanted
    if contigs is not None and body in contigs:
        return Region(body, 0, contigs[body], strand)
    span = _SPAN.fullmatch(body)
    if span is None:
        raise _unread(text, body, contigs)
    contig = span["contig"].strip()
    start = _position(span["start"], text)
    end = start if span["dash"] is None else _end(span["end"], contig, contigs, text)
    if contigs is None:
        return Region(contig, start - 1, end, strand)
    if contig in circular and end < start <= contigs.get(contig, 0):
        end += contigs[contig]
    return _checked(Region(contig, start - 1, end, strand), contigs, circular)


def _checked(region: Region, contigs: Mapping[str, int], circular: Collection[str]) -> Region:
    length = _length_of(region.contig, contigs)
    most = length + region.start if region.contig in circular and region.start < length else length
    if region.end > most:
        raise RegionError(
            f"Region {region} ends after {region.contig}, which has {length:,} bases; "
            f"give an end of at most {most}."
        )
    return region


def check_intervals(
    regions: Mapping[str, Sequence[tuple[int, int]]], contigs: Mapping[str, int]
) -> dict[str, list[tuple[int, int]]]:
    """Return stretches (start, end) of contigs, 0-based half-open, ascending, what overlaps or touches merged.

    Raises
    ------
    RegionError
        For an unknown contig, and for a stretch without a base or beyond its contig.
    """
    if strange := next((name for name in regions if name not in contigs), None):
        raise unknown_contig(strange, contigs)
    for name, pairs in regions.items():
        for start, end in pairs:
            if not 0 <= start < end <= contigs[name]:
                raise RegionError(
                    f"The region {start} to {end} (0-based, half-open) is none of {name}, which has "
                    f"{contigs[name]:,} bases; give 0 <= start < end <= {contigs[name]}."
                )
    return {name: merged(regions[name]) for name in contigs if name in regions}


def merged(pairs: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return stretches in ascending order, those that overlap or touch as one."""
    found: list[tuple[int, int]] = []
    for start, end in sorted((int(start), int(end)) for start, end in pairs):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((start, end))
    return found


def unknown_contig(contig: str, contigs: Mapping[str, int]) -> RegionError:
    """Return the error for a sequence that is not at hand: it lists those that are."""
    return RegionError(f"There is no sequence named {contig!r}; at hand: {first_names(list(contigs))}.")


def _length_of(contig: str, contigs: Mapping[str, int]) -> int:
    if contig not in contigs:
        raise unknown_contig(contig, contigs)
    return contigs[contig]


def _end(written: str | None, contig: str, contigs: Mapping[str, int] | None, text: str) -> int:
    if written is not None:
        return _position(written, text)
    if contigs is None:
        raise RegionError(f"Region {text.strip()!r} has no end; write it as in chr1:1-1000.")
    return _length_of(contig, contigs)


def _position(written: str, text: str) -> int:
    parts = _PARTS.fullmatch(written.strip())
    if parts is None:
        raise RegionError(f"Position {written!r} of region {text.strip()!r} is not a number.")
    value = Decimal(parts["digits"].replace(",", "")) * _FACTORS[parts["unit"].lower()]
    if value != value.to_integral_value():
        raise RegionError(f"Position {written!r} of region {text.strip()!r} is not a whole number of bases.")
    if value < 1:
        raise RegionError(f"Position {written!r} of region {text.strip()!r}: positions begin at 1.")
    return int(value)


def _unread(text: str, body: str, contigs: Mapping[str, int] | None) -> RegionError:
    if contigs is not None and ":" not in body and body:
        return unknown_contig(body, contigs)
    return RegionError(f"{text!r} is not a region; write it as in chr1:1-1000 or chr1:1K-2M.")
