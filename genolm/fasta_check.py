"""Is this FASTA? Reads it in blocks, checks every letter, and says where the first fault stands.

The memory needed does not depend on the length of a record, only on how many records there are.
"""

import gzip
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from genolm.errors import SequenceError

BLOCK_BYTES = 4 << 20
HEADER_BYTES = 1 << 20
SPACES = b" \t\r\n"
AMBIGUITY_CODES = "RYSWKMBDHVN"
IUPAC = ("ACGTU" + AMBIGUITY_CODES).encode()
_ALLOWED = IUPAC + IUPAC.lower()
_PROTEIN_ONLY = b"EFILPQZJO"
_PROTEIN_SHARE = 0.1  # of a protein a third or so of the letters are no nucleotide
_HISTOGRAM_CHUNK = 1 << 16
_GZIP_MAGIC = b"\x1f\x8b"
_BGZF_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
_PREAMBLE = re.compile(rb"(?:\xef\xbb\xbf)?(?:[ \t\r\n]++|;[^\n]*+)*+")

_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"PK\x03\x04", "a zip archive or an Office document (xlsx, docx); unpack it or export it as FASTA"),
    (b"BZh", "compressed with bzip2; unpack it, or compress it with gzip or bgzip"),
    (b"\xfd7zXZ", "compressed with xz; unpack it, or compress it with gzip or bgzip"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd; unpack it, or compress it with gzip or bgzip"),
    (b"7z\xbc\xaf", "a 7z archive; unpack it first"),
    (b"BAM\x01", "a BAM alignment; export its sequences as FASTA"),
    (b"CRAM", "a CRAM alignment; export its sequences as FASTA"),
    (b"\x43\x27\x41\x1a", "a 2bit file; convert it with twoBitToFa"),
    (b"\x1a\x41\x27\x43", "a 2bit file; convert it with twoBitToFa"),
    (b"ABIF", "a sequencer trace (ABI); export its bases as FASTA"),
    (b"%PDF", "a PDF document; export the sequences as FASTA"),
    (b"{\\rtf", "a rich text document; save it as plain text"),
    (b"\xff\xfe", "text in UTF-16; save it as plain text (UTF-8)"),
    (b"\xfe\xff", "text in UTF-16; save it as plain text (UTF-8)"),
)
_TEXT_FORMATS: tuple[tuple[bytes, str], ...] = (
    (b"LOCUS ", "a GenBank file; export FASTA from it"),
    (b"ID   ", "an EMBL or UniProt file; export FASTA from it"),
    (b"@HD\t", "a SAM alignment; export its sequences as FASTA"),
    (b"@SQ\t", "a SAM alignment; export its sequences as FASTA"),
    (b"@", "a FASTQ file (reads with qualities); convert it to FASTA, for instance with seqtk seq -a"),
    (b"##gff", "a GFF annotation; give the FASTA of the sequences"),
    (b"##fileformat=VCF", "a VCF file; give the FASTA of the sequences"),
    (b"<", "a web page or XML, perhaps a failed download; give FASTA"),
    (b"CLUSTAL", "a Clustal alignment; export the unaligned sequences as FASTA"),
    (b"#NEXUS", "a NEXUS alignment; export the unaligned sequences as FASTA"),
)


@dataclass(slots=True)
class ScannedRecord:
    """One record as it lies in the file.

    Attributes
    ----------
    name, description : str
        First word of the header, and the rest of it.
    line : int
        Line of the header, from 1.
    offset : int
        Byte where the sequence begins, in the copy if one was written, else in the file read.
    length : int
        Number of letters.
    line_bases, line_bytes : int
        Letters of a full line without and with its line end, 0 where not yet known.
    """

    name: str
    description: str
    line: int
    offset: int
    length: int = 0
    line_bases: int = 0
    line_bytes: int = 0
    body_end: int = 0

    def fai(self) -> str:
        """Return the record's line of a samtools .fai index."""
        bases = self.line_bases or self.length
        return f"{self.name}\t{self.length}\t{self.offset}\t{bases}\t{self.line_bytes or bases + 1}\n"


def is_gzip(path: Path) -> bool:
    """Say whether a file is compressed with gzip or bgzip, by its first bytes."""
    with open(path, "rb") as stream:
        return stream.read(2) == _GZIP_MAGIC


def read_blocks(path: Path) -> Iterator[tuple[bytes, int]]:
    """Yield a file's bytes, uncompressed, with how many bytes of the file itself are read so far.

    Raises
    ------
    SequenceError
        If a gzip file is truncated or damaged.
    """
    with open(path, "rb") as raw:
        packed = raw.read(2) == _GZIP_MAGIC
        _check_bgzf_end(raw, path)
        stream = gzip.GzipFile(fileobj=raw) if packed else raw
        while True:
            try:
                block = stream.read(BLOCK_BYTES)
            except EOFError as error:
                raise _truncated(path) from error
            except (zlib.error, gzip.BadGzipFile) as error:
                raise SequenceError(f"{path} is a damaged gzip file ({error}); copy or download it again.") from error
            if not block:
                return
            yield block, raw.tell()


def start_of_records(head: bytes, source: str) -> int:
    """Return where the first header stands in the first bytes of a file.

    Blank lines, a byte order mark and ``;`` comment lines may come before it.

    Raises
    ------
    SequenceError
        If it is not FASTA: says what it is where that can be told.
    """
    position = preamble(head)
    rest = head[position : position + 4096]
    check_format(head[:4096], rest, source)
    if rest.startswith(b">"):
        return position
    if not rest:
        raise SequenceError(f"{source} is empty: it holds no sequence.")
    line = head.count(b"\n", 0, position) + 1
    shown = rest.split(b"\n", 1)[0].strip()[:40].decode("latin-1")
    bare = shown and not shown.encode("latin-1").translate(None, _ALLOWED)
    advice = " Put a line such as >name above the letters." if bare else ""
    raise SequenceError(
        f"{source} is not FASTA: line {line} begins {shown!r}, where a header line such as "
        f"'>name' was expected.{advice}"
    )


def preamble(head: bytes) -> int:
    """Return how many bytes of byte order mark, blank lines and ``;`` comments come first."""
    found = _PREAMBLE.match(head)
    return found.end() if found else 0


def known_format(head: bytes, rest: bytes) -> str | None:
    """Return in words what these first bytes are and what to do, if it is a known format but not FASTA.

    ``rest`` is ``head`` without what :func:`preamble` passes over.
    """
    known = [what for mark, what in _SIGNATURES if head.startswith(mark)]
    known += [what for mark, what in _TEXT_FORMATS if rest.startswith(mark)]
    known += ["a binary file; export the data as plain text"] if b"\0" in head else []
    return known[0] if known else None


def check_format(head: bytes, rest: bytes, source: str) -> None:
    """Raise a SequenceError if :func:`known_format` knows these first bytes."""
    known = known_format(head, rest)
    if known:
        raise SequenceError(f"{source} is not FASTA but {known}.")


def letter_problem(data: bytes) -> tuple[int, str] | None:
    """Return where the first letter outside IUPAC stands and what is wrong with it, or None.

    Blanks and line ends are passed over.
    """
    foreign = data.translate(None, _ALLOWED + SPACES)
    if not foreign:
        return None
    first = foreign[:1]
    position = data.index(first)
    shown = first.decode("ascii") if first < b"\x80" else foreign[:4].decode("utf-8", "replace")[0]
    letters = len(data.translate(None, SPACES))
    if len(foreign) >= _PROTEIN_SHARE * letters and set(foreign.upper()) & set(_PROTEIN_ONLY):
        return position, (
            f"letter {shown!r} is no IUPAC nucleotide code and it looks like protein; genolm reads DNA "
            "and RNA, so give the nucleotide sequence (an unknown base is written N)"
        )
    return position, f"{'letter' if first.isalpha() else 'character'} {shown!r} {_letter_advice(first)}"


def _letter_advice(first: bytes) -> str:
    if first in b"xX*":
        return "is no IUPAC nucleotide code; an unknown or masked base is written N"
    if first in b"-.~":
        return "is an alignment gap; give the sequences unaligned, without gaps"
    if first.isdigit():
        return "is a digit; leave out position numbers"
    if first == b">":
        return "stands within a sequence line; a header must begin a line of its own"
    return f"is no nucleotide; allowed are A C G T U and the IUPAC codes {' '.join(AMBIGUITY_CODES)}"


def _truncated(path: Path) -> SequenceError:
    return SequenceError(f"{path} is a truncated gzip file: its end is missing; copy or download it again.")


def _check_bgzf_end(raw: BinaryIO, path: Path) -> None:
    """Refuse a bgzip file cut between two blocks, which a gzip reader would take for whole."""
    raw.seek(0)
    head = raw.read(18)
    if head.startswith(_GZIP_MAGIC) and head[12:16] == b"BC\x02\x00":
        raw.seek(0, 2)
        raw.seek(max(0, raw.tell() - len(_BGZF_END)))
        if raw.read() != _BGZF_END:
            raise _truncated(path)
    raw.seek(0)


class FastaScanner:
    """Takes FASTA in blocks; checks it, counts it, and writes a copy with one line per record if asked.

    Parameters
    ----------
    source : str
        What to call the input in messages.
    out : binary stream, optional
        Where the copy goes. Without it, the scanner finds out whether the lines of each record are
        regular enough for the file to be read where it lies.
    line, offset : int
        Line number and byte of the first byte that will be fed.

    Attributes
    ----------
    records : list[ScannedRecord]
    histogram : np.ndarray
        Count of each letter, int64 (256,), by byte value; the case is kept.
    regular : bool
        Whether an index can describe every record as it lies in the file.
    """

    def __init__(self, source: str, *, out: BinaryIO | None = None, line: int = 1, offset: int = 0) -> None:
        self.source, self.out = source, out
        self.records: list[ScannedRecord] = []
        self.histogram = np.zeros(256, dtype=np.int64)
        self.regular = out is None
        self._lines_of_names: dict[str, int] = {}
        self._line, self._offset = line, offset
        self._written = 0
        self._carry = b""
        self._line_start = True

    def feed(self, block: bytes) -> None:
        """Take the next bytes; the first of all must be a header's ``>``."""
        block = self._carry + block
        self._carry = b""
        position = 0
        pieces: list[tuple[int, bytes]] = []
        letters: list[bytes] = []
        while position < len(block):
            if self._line_start and block[position] == ord(">"):
                end = block.find(b"\n", position) + 1
                if not end:
                    self._hold(block[position:])
                    break
                self._begin(block[position + 1 : end], self._offset + position, end - position)
            else:
                end = block.find(b"\n>", position) + 1 or len(block)
                piece = block[position:end]
                pieces.append((self._line, piece))
                letters.append(self._add(piece, self._offset + position))
            position = end
        self._offset += position
        self._count(b"".join(letters), pieces)

    def finish(self) -> None:
        """Say that the input has ended; must be called once, after the last block."""
        if self._carry:
            self.feed(b"\n")
        self._end(None)

    def _hold(self, header: bytes) -> None:
        if len(header) > HEADER_BYTES:
            raise SequenceError(
                f"{self.source}, line {self._line}: the header is longer than a million letters; "
                "a header line must end before the sequence begins."
            )
        self._carry = header

    def _begin(self, header: bytes, at: int, size: int) -> None:
        self._end(at)
        # A no-break space, pasted from a web page, ends the name as any other blank does.
        words = header_text(header).strip().split(None, 1)
        if not words:
            raise SequenceError(
                f"{self.source}, line {self._line}: record {len(self.records) + 1} has no name; "
                "write one after '>'."
            )
        name, description = words[0], "".join(words[1:])
        first = self._lines_of_names.setdefault(name, self._line)
        if first != self._line:
            raise SequenceError(
                f"{self.source}, line {self._line}: record {name!r} has the same name as the record in "
                f"line {first}; give each record a name of its own."
            )
        offset = at + size
        if self.out is not None:
            self._written += self.out.write(f">{' '.join(words)}\n".encode())
            offset = self._written
        self.records.append(ScannedRecord(name, description, self._line, offset, body_end=offset))
        self._line += 1

    def _end(self, at: int | None) -> None:
        """Close the last record; ``at`` is where the next header begins, None at the end of input."""
        if not self.records:
            return
        record = self.records[-1]
        if record.length == 0:
            raise SequenceError(
                f"{self.source}, line {record.line}: record {record.name!r} is empty; "
                "remove it or give its sequence."
            )
        if self.out is not None:
            self._written += self.out.write(b"\n")
        elif at is not None and at - record.body_end < record.line_bytes - record.line_bases:
            self.regular = False

    def _add(self, piece: bytes, at: int) -> bytes:
        """Take a stretch of sequence lines of the last record and return its letters."""
        record = self.records[-1]
        letters = piece.translate(None, SPACES)
        if self.out is not None:
            self._written += self.out.write(letters)
        elif self.regular:
            self.regular = b" " not in piece and b"\t" not in piece and _is_regular(record, piece, at)
        record.length += len(letters)
        self._line += piece.count(b"\n")
        self._line_start = piece.endswith(b"\n")
        return letters

    def _count(self, letters: bytes, pieces: list[tuple[int, bytes]]) -> None:
        codes = np.frombuffer(letters, dtype=np.uint8)
        counts = np.zeros(256, dtype=np.int64)
        for start in range(0, len(codes), _HISTOGRAM_CHUNK):
            counts += np.bincount(codes[start : start + _HISTOGRAM_CHUNK], minlength=256)
        self.histogram += counts
        if counts.sum() != counts[list(_ALLOWED)].sum():
            self._refuse(pieces)

    def _refuse(self, pieces: list[tuple[int, bytes]]) -> None:
        for line, piece in pieces:
            problem = letter_problem(piece)
            if problem is not None:
                line += piece.count(b"\n", 0, problem[0])
                name = next(record.name for record in reversed(self.records) if record.line < line)
                raise SequenceError(f"{self.source}, record {name!r}, line {line}: {problem[1]}.")


def _is_regular(record: ScannedRecord, piece: bytes, at: int) -> bool:
    """Say whether line ends stand only and always where the record's first line puts them.

    ``at`` is the byte of the file where the piece begins. The line end after the last letter is left
    to the next piece, for the last line of a record may be shorter.
    """
    body = piece.rstrip(SPACES)
    if not body:
        return True
    begin, end = record.body_end - record.offset, at + len(body) - record.offset
    record.body_end = at + len(body)
    gap = at - record.offset - begin
    if not gap and b"\n" not in body and b"\r" not in body and not record.line_bases:
        return True
    if gap > 2:
        return False
    breaks = np.flatnonzero(np.frombuffer(body, dtype=np.uint8) <= ord("\r")) + (at - record.offset)
    breaks = np.concatenate([np.arange(begin, begin + gap), breaks])
    if not record.line_bases and breaks.size:
        record.line_bases = int(breaks[0])
        run = int(np.argmax(np.diff(breaks, append=end + 1) > 1)) + 1
        record.line_bytes = record.line_bases + run
        if not record.line_bases or run > 2:
            return False
    bases, size = record.line_bases, record.line_bytes

    def expected(stop: int) -> int:
        return stop // size * (size - bases) + max(0, stop % size - bases)

    return breaks.size == expected(end) - expected(begin) and bool(np.all(breaks % size >= bases))


def header_text(raw: bytes) -> str:
    """Return a header line as text: UTF-8, else Latin-1."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")
