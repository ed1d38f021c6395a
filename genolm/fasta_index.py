"""The workspace's index of a FASTA file: made once, known again by the state of the file.

One folder per file holds ``index.fai`` (samtools' format), ``descriptions.txt``, ``meta.json`` with the
summary and, where the file cannot be read as it lies, ``sequence.fa`` with one line per record. A file of
another format is given to the index as FASTA by a :class:`Reader`, which keeps beside it what else it found.
"""

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np

from genolm import workspace
from genolm.errors import SequenceError, SettingsError
from genolm.fasta_check import AMBIGUITY_CODES, FastaScanner, is_gzip, read_blocks, start_of_records
from genolm.progress import ProgressCallback, Ticker

# What a reader may save beside the index.
FACTS_FILE, ANNOTATION_FILE = "facts.json", "annotation.parquet"
PACKED_SUFFIXES = (".gz", ".bgz", ".bz2", ".zip")
_INDEX_VERSION = 2
_FASTA = "fasta"
_KEY_BYTES = 1 << 16
_DRAFT = ".draft-"
_DRAFT_SECONDS = 24 * 3600


class Reader(Protocol):
    """Gives a file of another format to the index as FASTA.

    Attributes
    ----------
    kind : str
        Name and version of what it does, such as ``genbank-1``; another one is indexed anew.
    """

    kind: str

    def blocks(self) -> Iterator[tuple[bytes, int]]:
        """Yield FASTA, line for line where the file has its own, with how many bytes of the file are read."""
        ...

    def save(self, folder: Path) -> None:
        """Write what else was found into the index's folder, once ``blocks`` has ended."""
        ...


@dataclass(frozen=True)
class SequenceSummary:
    """What was read, to be shown before anything runs.

    Attributes
    ----------
    records, bases : int
        Number of records, and of letters in all.
    gc : float
        Share of G and C among A, C, G and T (or U); NaN if there is none of them.
    ambiguous : dict[str, int]
        Count of each IUPAC letter other than A, C, G, T and U, in upper case; only those present.
    soft_masked : int
        Letters in lower case.
    shortest, longest : int
        Lengths of the shortest and the longest record.
    """

    records: int
    bases: int
    gc: float
    ambiguous: dict[str, int]
    soft_masked: int
    shortest: int
    longest: int

    def __str__(self) -> str:
        """Return one line for a person: records, bases, GC, ambiguous and soft-masked letters."""
        letters = ", ".join(f"{count:,} {letter}" for letter, count in self.ambiguous.items())
        parts = [
            f"{self.records:,} record{'s' if self.records != 1 else ''}",
            f"{self.bases:,} bp",
            "no A, C, G or T" if np.isnan(self.gc) else f"GC {100 * self.gc:.1f} %",
            f"ambiguous letters: {letters}" if letters else "no ambiguous letters",
        ]
        return ", ".join(parts + ([f"{self.soft_masked:,} bp soft-masked"] if self.soft_masked else []))


@dataclass(frozen=True)
class FastaIndex:
    """A checked file and where its index lies.

    Attributes
    ----------
    source, folder, data : Path
        The user's file, the folder of its index, and the file that the index describes: the user's
        own or the copy in the folder.
    summary : SequenceSummary
    has_uracil : bool
        Whether any U is in it.
    kind : str
        That of the reader, ``fasta`` without one.
    """

    source: Path
    folder: Path
    data: Path
    summary: SequenceSummary
    has_uracil: bool
    kind: str = _FASTA

    @property
    def fai(self) -> Path:
        """The samtools index of ``data``."""
        return self.folder / "index.fai"

    def descriptions(self) -> Iterator[str]:
        """Yield the description of each record in order."""
        with open(self.folder / "descriptions.txt", encoding="utf-8", newline="\n") as stream:
            for line in stream:
                yield line.removesuffix("\n")


def index_fasta(
    source: Path, *, reader: Reader | None = None, progress: ProgressCallback | None = None
) -> FastaIndex:
    """Return the index of a file, made if there is none for the file as it is now.

    Parameters
    ----------
    source : Path
        FASTA, or what ``reader`` reads.
    reader : Reader, optional
        Its FASTA is copied into the workspace.
    progress : callable, optional
        Called in bytes of the file.

    Raises
    ------
    SequenceError
        If the file is not clean nucleotide sequence.
    SettingsError
        If the workspace cannot be written.
    """
    folder = _folder_of(source, reader.kind if reader else _FASTA)
    found = _load(source, folder)
    if found is None:
        _build(source, folder, reader, progress)
        found = _load(source, folder)
    if found is None:
        raise SettingsError(f"The index of {source} in {folder} was removed while it was opened; try again.")
    return found


def _folder_of(source: Path, kind: str) -> Path:
    """Return the folder of a file's index: path and kind, then state of the file, both hashed."""
    real = source.resolve()
    state = real.stat()
    with open(real, "rb") as stream:
        head = stream.read(_KEY_BYTES)
    mark = b"" if kind == _FASTA else b"\0" + kind.encode()
    where = hashlib.sha256(os.fsencode(real) + mark).hexdigest()[:16]
    what = hashlib.sha256(f"{_INDEX_VERSION} {state.st_size} {state.st_mtime_ns} ".encode() + head)
    return workspace.index_dir() / f"{where}-{what.hexdigest()[:16]}"


def _load(source: Path, folder: Path) -> FastaIndex | None:
    """Return the index in a folder, or None if there is none that is whole."""
    try:
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        data = folder / "sequence.fa" if meta["copied"] else source
        summary = SequenceSummary(**meta["summary"])
        names = ["index.fai", "descriptions.txt", *meta.get("extras", [])]
        whole = all((folder / name).is_file() for name in names)
        if not whole or (meta["copied"] and data.stat().st_size != meta["copied"]):
            return None
        return FastaIndex(source, folder, data, summary, meta["uracil"], meta.get("kind", _FASTA))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _build(source: Path, folder: Path, reader: Reader | None, progress: ProgressCallback | None) -> None:
    """Make the index in a draft folder, which takes its name in one step when it is complete."""
    with _draft_folder(folder.parent) as draft:
        try:
            _fill(source, draft, reader, progress)
            if _folder_of(source, reader.kind if reader else _FASTA) != folder:
                raise SequenceError(
                    f"{source} was changed while it was read; open it again when it is complete."
                )
            _publish(source, draft, folder)
        except OSError as error:
            raise SettingsError(
                f"The index of {source} cannot be made in {folder.parent} ({error}); free some space there, "
                f"or set {workspace.HOME_VARIABLE} to another folder."
            ) from error


@contextmanager
def _draft_folder(parent: Path) -> Iterator[Path]:
    for old in parent.glob(f"{_DRAFT}*"):
        # What a killed process left; a younger one may be another process at work.
        if old.exists() and time.time() - old.stat().st_mtime > _DRAFT_SECONDS:
            shutil.rmtree(old, ignore_errors=True)
    draft = Path(tempfile.mkdtemp(prefix=_DRAFT, dir=parent))
    try:
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _fill(source: Path, draft: Path, reader: Reader | None, progress: ProgressCallback | None) -> None:
    packed = reader is not None or is_gzip(source)
    scanner = None if packed else _scan(source, read_blocks(source), None, progress)
    copied = scanner is None or not scanner.regular or source.name.lower().endswith(PACKED_SUFFIXES)
    if copied:
        blocks = reader.blocks() if reader else read_blocks(source)
        with open(draft / "sequence.fa", "wb") as out:
            scanner = _scan(source, blocks, out, progress)
    if reader:
        reader.save(draft)
    size = (draft / "sequence.fa").stat().st_size if copied else 0
    _write_index(draft, source, scanner, {"copied": size, "kind": reader.kind if reader else _FASTA})


def _scan(
    source: Path,
    blocks: Iterator[tuple[bytes, int]],
    out: BinaryIO | None,
    progress: ProgressCallback | None,
) -> FastaScanner:
    """Check FASTA, copying it to ``out`` if given; without a copy, stop once it is seen to need one."""
    stage = f"{'checking' if out is None else 'copying'} {source.name}"
    ticker = Ticker(progress, source.stat().st_size, stage=stage)
    head, done = next(blocks, (b"", 0))
    mac = b"\n" not in head
    head = unix_lines(head)
    begin = start_of_records(head, str(source))
    scanner = FastaScanner(str(source), out=out, line=head.count(b"\n", 0, begin) + 1, offset=begin)
    scanner.feed(head[begin:])
    ticker.advance(done)
    for block, position in blocks:
        scanner.feed(block.replace(b"\r", b"\n") if mac else block)
        ticker.advance(position - done)
        done = position
        if out is None and not scanner.regular:
            return scanner
    scanner.finish()
    return scanner


def _write_index(draft: Path, source: Path, scanner: FastaScanner, facts: dict[str, Any]) -> None:
    records = scanner.records
    summary = summary_of(scanner.histogram, [record.length for record in records])
    own = {"sequence.fa", "meta.json"}
    meta: dict[str, Any] = {
        "format_version": _INDEX_VERSION,
        "source": str(source),
        **facts,
        "extras": sorted(path.name for path in draft.iterdir() if path.name not in own),
        "uracil": bool(scanner.histogram[[ord("U"), ord("u")]].any()),
        "summary": asdict(summary),
    }
    (draft / "meta.json").write_text(json.dumps(meta, indent=1), encoding="utf-8")
    with open(draft / "descriptions.txt", "w", encoding="utf-8", newline="\n") as stream:
        stream.writelines(f"{record.description}\n" for record in records)
    index = draft / "index.fai"
    with open(index, "w", encoding="utf-8", newline="\n") as stream:
        stream.writelines(record.fai() for record in records)
    # pyfaidx takes an index older than its FASTA for stale, also when the file's time lies in the future.
    newest = max(time.time(), source.stat().st_mtime) + 1
    os.utime(index, (newest, newest))


def _publish(source: Path, draft: Path, folder: Path) -> None:
    if folder.exists() and _load(source, folder) is None:
        shutil.rmtree(folder, ignore_errors=True)
    try:
        os.rename(draft, folder)
    except OSError:
        # Another process was first with the same file; what it made is as good.
        if _load(source, folder) is None:
            raise
    for old in folder.parent.glob(f"{folder.name.partition('-')[0]}-*"):
        if old != folder:
            shutil.rmtree(old, ignore_errors=True)


def summary_of(histogram: np.ndarray, lengths: list[int]) -> SequenceSummary:
    """Return the summary of letter counts, (256,) by byte value, and of the records' lengths."""

    def count(letters: str) -> int:
        return int(sum(histogram[ord(letter)] for letter in letters + letters.lower()))

    strong, known = count("GC"), count("ACGTU")
    return SequenceSummary(
        records=len(lengths),
        bases=sum(lengths),
        gc=strong / known if known else float("nan"),
        ambiguous={letter: count(letter) for letter in sorted(AMBIGUITY_CODES) if count(letter)},
        soft_masked=int(histogram[ord("a") : ord("z") + 1].sum()),
        shortest=min(lengths, default=0),
        longest=max(lengths, default=0),
    )


def unix_lines(raw: bytes) -> bytes:
    """Turn lone carriage returns, as old Mac files have them, into line feeds."""
    return raw if b"\n" in raw else raw.replace(b"\r", b"\n")
