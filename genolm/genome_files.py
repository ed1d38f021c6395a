"""Genomes in: FASTA, GenBank, EMBL and 2bit files, known by what they hold and not by their names.

GenBank, EMBL and 2bit are turned into FASTA once, in the workspace; from then on they open as fast as FASTA.
"""

import os
import re
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from genolm.errors import SequenceError
from genolm.fasta_check import known_format, letter_problem, preamble, read_blocks
from genolm.fasta_index import Reader, index_fasta, unix_lines
from genolm.genbank import EMBL, GENBANK, GenBankReader
from genolm.progress import ProgressCallback
from genolm.sequences import Genome, existing_file, plain_name
from genolm.topology import AUTO, Choice
from genolm.twobit import MAGIC, TwoBitReader

_HEAD_BYTES = 1 << 16
_GZIP_MAGIC = b"\x1f\x8b"
_LOCUS = re.compile(rb"^LOCUS ", re.MULTILINE)
_RELEASE = b"Genetic Sequence Data Bank"
_READERS: dict[str, Callable[[Path], Reader]] = {
    "GenBank": partial(GenBankReader, flavour=GENBANK),
    "EMBL": partial(GenBankReader, flavour=EMBL),
    "2bit": TwoBitReader,
}


class GenomePaths(NamedTuple):
    """What a folder holds.

    Attributes
    ----------
    genomes : tuple of Path
        Files that look like genomes, by name.
    left_out : dict of Path to str
        Everything else that is not hidden, with the reason in a sentence.
    """

    genomes: tuple[Path, ...]
    left_out: dict[Path, str]


def open_genome(
    path: str | os.PathLike[str], *, topology: Choice = AUTO, progress: ProgressCallback | None = None
) -> Genome:
    """Check a genome file of any known format and open it for random access.

    Parameters
    ----------
    path : path-like
        FASTA (plain, gzip or bgzip), GenBank or EMBL (plain or gzip), or 2bit; found by content.
    topology : {"auto", "linear", "circular"} or mapping
        Form of all contigs or of some by name; by default what the file says, see
        :func:`genolm.topology.guess_topology` and ``Genome.topology_reasons``.
    progress : callable, optional
        Called with a :class:`genolm.progress.Progress` in bytes of the file.

    Returns
    -------
    Genome

    Raises
    ------
    SequenceError
        If the file cannot be read or is not clean nucleotide sequence: names file, record and line.
    """
    source = existing_file(path)
    reader = _READERS.get(genome_format(source))
    index = index_fasta(source, reader=reader(source) if reader else None, progress=progress)
    return Genome(index, topology=topology)


def genome_format(path: Path) -> str:
    """Return GenBank, EMBL or 2bit if a file begins as one, else FASTA, which it may not be either."""
    head = _head(path)
    return "2bit" if head.startswith(MAGIC) else _text_format(head)


def pasted_format(text: str) -> str:
    """Return GenBank or EMBL if a text begins as one, else FASTA, which it may not be either."""
    return _text_format(unix_lines(text[:_HEAD_BYTES].encode("utf-8", errors="replace")))


def _text_format(head: bytes) -> str:
    body = head[preamble(head) :]
    if body.startswith(b"LOCUS ") or (_RELEASE in body[:1000] and _LOCUS.search(body)):
        return "GenBank"
    return "EMBL" if body.startswith(b"ID   ") else "FASTA"


def genome_paths(folder: str | os.PathLike[str]) -> GenomePaths:
    """Return the genome files that lie directly in a folder, and what is left out and why.

    A FASTA file beside a GenBank or EMBL file of the same name is left out: the other says more.

    Raises
    ------
    SequenceError
        If there is no such folder, or no genome in it.
    """
    root = Path(folder).expanduser().absolute()
    if not root.is_dir():
        raise SequenceError(f"There is no folder {root}; check its name.")
    left_out: dict[Path, str] = {}
    found: dict[Path, str] = {}
    for path in sorted(root.iterdir()):
        if not path.name.startswith("."):
            reason = _reason_against(path)
            if reason:
                left_out[path] = reason
            else:
                found[path] = genome_format(path)
    annotated = {plain_name(path): path for path, kind in found.items() if kind in ("GenBank", "EMBL")}
    for path in [path for path, kind in found.items() if kind in ("FASTA", "2bit")]:
        better = annotated.get(plain_name(path))
        if better:
            left_out[path] = f"{better.name} has the same name, and holds genes and topology as well."
            del found[path]
    if not found:
        why = "; ".join(f"{path.name}: {reason}" for path, reason in islice(left_out.items(), 5))
        why = f" ({why})" if why else ""
        raise SequenceError(f"There is no genome in {root}{why}; choose another folder.")
    return GenomePaths(tuple(found), dict(sorted(left_out.items())))


def _reason_against(path: Path) -> str:
    """Return why a path is no genome file, "" if it looks like one."""
    if path.is_dir():
        return "It is a folder; only files directly in the chosen folder are used."
    try:
        if genome_format(existing_file(path)) != "FASTA":
            return ""
        head = _head(path)
    except SequenceError as error:
        return str(error).removeprefix(f"{path} ").capitalize()
    begin = preamble(head)
    body = head[begin:]
    what = known_format(head[:4096], body[:4096])
    if what:
        return f"It is {what}."
    if not body.startswith(b">"):
        return "It is no sequence file." if body else "It is empty."
    lines = [line for line in body.split(b"\n")[:-1] if not line.startswith(b">")]
    problem = letter_problem(b"\n".join(lines))
    return f"It is no clean DNA: {problem[1]}." if problem else ""


def _head(path: Path) -> bytes:
    """Return the first bytes of a file, uncompressed, lines ending in line feeds."""
    with open(path, "rb") as stream:
        head = stream.read(_HEAD_BYTES)
    if head.startswith(_GZIP_MAGIC):
        head = next(read_blocks(path), (b"", 0))[0][:_HEAD_BYTES]
    return head if head.startswith(MAGIC) else unix_lines(head)
