"""DNA sequences in: genomes with random access and pasted text, checked and summarised before use.

A file is checked once. Its index, and a normalised copy if one is needed, go into the workspace; a
plain file whose lines are regular is read where it lies. Nothing is ever written beside the user's file.
"""

import io
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
import pyfaidx

from genolm import workspace
from genolm.errors import GenolmError, RegionError, SequenceError, SettingsError
from genolm.fasta_check import SPACES, FastaScanner, check_format, preamble, start_of_records
from genolm.fasta_index import (
    ANNOTATION_FILE,
    FACTS_FILE,
    PACKED_SUFFIXES,
    FastaIndex,
    SequenceSummary,
    index_fasta,
    summary_of,
    unix_lines,
)
from genolm.progress import ProgressCallback
from genolm.regions import STRANDS, unknown_contig
from genolm.topology import AUTO, CIRCULAR, LINEAR, Choice, Guess, five_prime_parts, guess_topology, settle, turns

if TYPE_CHECKING:
    import pandas as pd

AMBIGUITY_POLICY = (
    "IUPAC letters other than A, C, G and T are kept in the sequence, and a k-mer that holds one becomes "
    "the 'unknown' token; U is read as T; lower case (soft masking) is kept and does not change a result."
)
PASTED_NAME = "sequence"
_SUFFIXES = (
    *(".fa", ".fasta", ".fna", ".ffn", ".frn", ".fas", ".txt"),
    *(".gb", ".gbk", ".gbff", ".genbank", ".embl", ".2bit"),
)
_COMPLEMENT = bytes.maketrans(b"ACGTURYSWKMBDHVNacgturyswkmbdhvn", b"TGCAAYRSWMKVHDBNtgcaayrswmkvhdbn")


@dataclass(frozen=True, slots=True)
class SequenceRecord:
    """One named sequence: letters with their case, U already read as T."""

    name: str
    description: str
    sequence: str


class Genome:
    """A checked sequence file with random access; made by :func:`genolm.genome_files.open_genome`.

    Parameters
    ----------
    index : FastaIndex
    topology : {"auto", "linear", "circular"} or mapping
        See :func:`genolm.topology.settle`.

    Attributes
    ----------
    path : Path
        The user's file.
    name : str
        Its name without folder and suffixes.
    format : str
        FASTA, GenBank, EMBL or 2bit.
    contigs : dict[str, int]
        Length of each record, in the order of the file.
    topology : dict[str, str]
        ``linear`` or ``circular``, by contig.
    topology_reasons : dict[str, str]
        Why, in a sentence, by contig.
    summary : SequenceSummary
    notes : tuple of str
        What of the file could not be kept, in sentences.
    """

    def __init__(self, index: FastaIndex, *, topology: Choice = AUTO) -> None:
        self.path, self.name = index.source, plain_name(index.source)
        self.summary = index.summary
        self._index = index
        self._file = pyfaidx.Faidx(
            str(index.data), indexname=str(index.fai), as_raw=True, strict_bounds=True, rebuild=False
        )
        self.contigs: dict[str, int] = {name: entry.rlen for name, entry in self._file.index.items()}
        facts = _read_facts(index)
        self.format = str(facts["format"])
        self.notes = tuple(facts["notes"])
        try:
            self.topology, self.topology_reasons = settle(self.contigs, self._guesses(facts), topology)
        except GenolmError:
            self.close()
            raise

    @property
    def fasta(self) -> Path:
        """The FASTA that is read: the user's file or the workspace's copy, plain, with :attr:`fai`."""
        return self._index.data

    @property
    def fai(self) -> Path:
        """The samtools index of :attr:`fasta`."""
        return self._index.fai

    @cached_property
    def circular(self) -> dict[str, int]:
        """Lengths of the circular contigs."""
        return {name: size for name, size in self.contigs.items() if self.topology[name] == CIRCULAR}

    @cached_property
    def annotation(self) -> "pd.DataFrame | None":
        """Features of a GenBank or EMBL file, None of other formats.

        Columns ``contig, start, end, strand, name, kind``: 0-based half-open, end > length over the origin,
        strand ``.`` where it is mixed; kind is the feature's key. A feature of several parts reaches from
        its first base to its last. The key ``source``, which is the whole record, is left out.
        """
        path = self._index.folder / ANNOTATION_FILE
        if not path.is_file():
            return None
        import pandas as pd

        table = pd.read_parquet(path)
        # Of a gene over the origin of a contig that was chosen to be linear the part with its 5' end stays.
        longest = self.contigs | {name: 2 * size for name, size in self.circular.items()}
        limits = np.array([longest[name] for name in table["contig"]], dtype=np.int64)
        start, end, strand = (table[key].to_numpy() for key in ("start", "end", "strand"))
        table["start"], table["end"] = five_prime_parts(start, end, strand, limits)
        return table

    def fetch(self, contig: str, start: int, end: int, strand: str = "+") -> str:
        """Return the letters of a stretch.

        Parameters
        ----------
        contig : str
            Name of the record.
        start, end : int
            0-based, half-open, counted on the plus strand; equal ones give an empty string. On a circular
            contig they may go over the origin, by one turn at most: start < 0, or end > length.
        strand : str
            ``-`` gives the reverse complement.

        Returns
        -------
        str
            Letters with their case; U is given as T.

        Raises
        ------
        RegionError
            If there is no such record or the stretch does not lie within it.
        """
        if contig not in self.contigs:
            raise unknown_contig(contig, self.contigs)
        if strand not in STRANDS:
            raise RegionError(f"Strand {strand!r} must be + or -.")
        length, pieces = self.contigs[contig], [(start, end)]
        if self.topology[contig] == CIRCULAR:
            pieces = turns(start, end, length)
        elif not 0 <= start <= end <= length:
            raise RegionError(
                f"Positions {start} to {end} do not lie within {contig} of {self.name}, "
                f"which has {length:,} bases (0-based, half-open)."
            )
        letters = "".join(self._letters(contig, left, right) for left, right in pieces)
        return reverse_complement(letters) if strand == "-" else letters

    def _letters(self, contig: str, start: int, end: int) -> str:
        if start == end:
            return ""
        letters: str = self._file.fetch(contig, int(start) + 1, int(end))
        return _read_uracil(letters) if self._index.has_uracil else letters

    def records(self) -> Iterator[SequenceRecord]:
        """Yield every record in the order of the file, one whole record in memory at a time."""
        for (name, length), description in zip(self.contigs.items(), self.descriptions(), strict=True):
            yield SequenceRecord(name, description, self.fetch(name, 0, length))

    def descriptions(self) -> Iterator[str]:
        """Yield what follows the name of each record, in the order of the file."""
        return self._index.descriptions()

    def _guesses(self, facts: dict[str, Any]) -> Iterator[Guess]:
        if facts["topology"]:
            return (Guess(*pair) for pair in facts["topology"])
        return map(guess_topology, self.contigs, self._index.descriptions())

    def close(self) -> None:
        """Give the file back; safe to call twice."""
        self._file.file.close()

    def __enter__(self) -> "Genome":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_fasta(path: str | os.PathLike[str], *, progress: ProgressCallback | None = None) -> Genome:
    """Check a FASTA file and open it for random access, every record taken as linear.

    Parameters
    ----------
    path : path-like
        Plain, gzip or bgzip FASTA; found by content, not by suffix. Lines of any length, LF, CRLF or CR,
        a byte order mark, blank lines and ``;`` comments before the first record are all accepted.
    progress : callable, optional
        Called with a :class:`genolm.progress.Progress` in bytes of the file.

    Returns
    -------
    Genome

    Raises
    ------
    SequenceError
        If the file cannot be read or is not clean nucleotide FASTA: names file, record and line.

    Notes
    -----
    Known again by path, size, time of change and first bytes, a file is checked only once. A compressed
    or irregular file is copied into the workspace with one line per record. Two processes may open the
    same file at once. When the file changes, what was kept of it is replaced.
    """
    return Genome(index_fasta(existing_file(path), progress=progress), topology=LINEAR)


def parse_sequences(text: str, *, source: str = "pasted text") -> list[SequenceRecord]:
    """Read pasted FASTA, or one bare sequence without a header, with the checks of :func:`open_fasta`.

    Parameters
    ----------
    text : str
        A bare sequence is given the name ``sequence``.
    source : str
        What to call it in messages.

    Raises
    ------
    SequenceError
        If it is not clean nucleotide sequence: names record and line.
    """
    raw = unix_lines(text.encode("utf-8", errors="replace"))
    out = io.BytesIO()
    begin = preamble(raw)
    if raw[begin : begin + 1] in (b"", b">"):
        begin = start_of_records(raw, source)
        scanner = FastaScanner(source, out=out, line=raw.count(b"\n", 0, begin) + 1)
    else:
        check_format(raw[:4096], raw[begin : begin + 4096], source)
        scanner = FastaScanner(source, out=out, line=raw.count(b"\n", 0, begin))
        scanner.feed(f">{PASTED_NAME}\n".encode())
    scanner.feed(raw[begin:])
    scanner.finish()
    copy = out.getvalue()
    return [
        SequenceRecord(
            found.name,
            found.description,
            _read_uracil(copy[found.offset : found.offset + found.length].decode("ascii")),
        )
        for found in scanner.records
    ]


def summarise(records: Iterable[SequenceRecord]) -> SequenceSummary:
    """Return the summary of records in memory, as a :class:`Genome` has it of a file."""
    histogram = np.zeros(256, dtype=np.int64)
    lengths = []
    for record in records:
        letters = np.frombuffer(record.sequence.encode("ascii", "replace"), dtype=np.uint8)
        histogram += np.bincount(letters, minlength=256)
        lengths.append(len(letters))
    return summary_of(histogram, lengths)


def clean_letters(text: str) -> str:
    """Return a sequence without blanks and line ends, U read as T."""
    return _read_uracil(text.encode("utf-8", "replace").translate(None, SPACES).decode("utf-8", "replace"))


def write_fasta(path: str | os.PathLike[str], records: Iterable[SequenceRecord], width: int = 60) -> None:
    """Write records as FASTA with lines of ``width`` letters, at least one; the file appears only when complete."""
    if width < 1:
        raise SettingsError(f"width is {width}; a line of FASTA has one letter or more.")
    with workspace.atomic_write(path) as stream:
        for record in records:
            stream.write(f">{record.name} {record.description}".rstrip().encode() + b"\n")
            letters = record.sequence
            for start in range(0, len(letters), width):
                stream.write(letters[start : start + width].encode("ascii") + b"\n")


def reverse_complement(seq: str) -> str:
    """Return the other strand read 5' to 3': IUPAC codes are complemented, the case is kept, U gives A."""
    return seq.encode("ascii").translate(_COMPLEMENT)[::-1].decode("ascii")


def _read_uracil(letters: str) -> str:
    return letters.replace("U", "T").replace("u", "t")


def existing_file(path: str | os.PathLike[str]) -> Path:
    """Return the whole path of a file that can be read; anything else is a SequenceError."""
    source = Path(path).expanduser().absolute()
    if not source.exists():
        raise SequenceError(f"There is no file {source}; check its name and folder.")
    if not source.is_file():
        raise SequenceError(f"{source} is not a file; give a sequence file such as FASTA.")
    if not os.access(source, os.R_OK):
        raise SequenceError(f"{source} may not be read by you; change its permissions.")
    return source


def plain_name(path: Path) -> str:
    """Return a file's name without the suffixes of sequence files and of compression."""
    name = path.name
    for suffixes in (PACKED_SUFFIXES, _SUFFIXES):
        stem, dot, suffix = name.rpartition(".")
        name = stem if stem and f"{dot}{suffix}".lower() in suffixes else name
    return name


def _read_facts(index: FastaIndex) -> dict[str, Any]:
    """Return format, topology (pairs as in Guess, or none) and notes, as the index's reader saved them."""
    path = index.folder / FACTS_FILE
    if path.is_file():
        return json.loads(path.read_text(encoding="utf-8"))
    return {"format": "FASTA", "topology": [], "notes": []}
