"""Everything that a scan writes, and all of it in one zip."""

import os
import zipfile
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path

import pandas as pd

from genolm.errors import SettingsError, check_list
from genolm.features import CALL_COLUMNS, call_names, check_calls
from genolm.genbank_calls import write_genbank
from genolm.outputs import SCAN_FILES, feature_term, write_calls, write_scores
from genolm.scan_readme import describe
from genolm.sequences import Genome
from genolm.topology import turns
from genolm.tracks import Track
from genolm.workspace import atomic_write

FORMATS = ("genbank", "parquet", "fasta", "bedgraph")
FLANK = 50
README = "README.txt"
_LINE, _LEVEL = 60, 3
_PACKED_ALREADY = (".bw", ".parquet")


def write_all(
    folder: Path,
    calls: pd.DataFrame,
    tracks: Sequence[Track],
    genome: Genome,
    *,
    model: str,
    class_name: str,
    formats: Collection[str] = FORMATS[:3],
    flank: int = FLANK,
) -> None:
    """Write calls and scores of a scan: CSV, BED, GFF3 and bigWig always, others on request.

    Parameters
    ----------
    folder : Path
        Must exist, such as that of :func:`genolm.outputs.atomic_files`.
    calls : pd.DataFrame
        See :mod:`genolm.features`; further columns are kept.
    tracks : sequence of Track
    genome : Genome
    model, class_name : str
        The class decides the features' type, see :func:`genolm.outputs.feature_term`.
    formats : collection of str
        Of ``genbank`` (calls.gb), ``parquet``, ``fasta`` (calls.fa) and ``bedgraph``.
    flank : int
        Bases on either side of a call in ``calls.fa``.
    """
    check_formats(formats)
    circular = genome.circular
    names = {"model": model, "class_name": class_name}
    write_calls(folder, calls, genome.contigs, circular=circular, **names)
    write_scores(folder, tracks, genome.contigs, bedgraph="bedgraph" in formats, circular=circular)
    term = feature_term(class_name)
    writers: Mapping[str, tuple[str, Callable[[Path], None]]] = {
        "genbank": (
            "calls.gb",
            partial(write_genbank, calls=calls, genome=genome, model=model, feature=term),
        ),
        "parquet": ("calls.parquet", partial(write_parquet, calls=calls)),
        "fasta": ("calls.fa", partial(write_hits, calls=calls, genome=genome, flank=flank)),
    }
    for word, (name, write) in writers.items():
        if word in formats:
            write(folder / name)


def check_formats(formats: Collection[str]) -> None:
    """Refuse a word that is none of :data:`FORMATS`."""
    check_list(formats, "formats")
    for word in formats:
        if word not in FORMATS:
            raise SettingsError(f"formats has '{word}'; known are {', '.join(FORMATS)}.")


def write_parquet(path: Path, calls: pd.DataFrame) -> None:
    """Write calls as Parquet with the columns of ``calls.csv``, scores in full precision."""
    check_calls(calls, path).to_parquet(path, index=False)


def write_hits(path: Path, calls: pd.DataFrame, genome: Genome, *, flank: int = FLANK) -> None:
    """Write the sequence of each call along its strand as FASTA.

    Parameters
    ----------
    path : path
    calls : pd.DataFrame
    genome : Genome
    flank : int
        Bases on either side: fewer where a linear contig ends, and never more than once round a circular one.
        The header says what was written: ``>call_1 chr:101-240(+) call=151-190 summit=170
        probability=0.98``, positions from 1; over the origin ``chr:4990-5000,1-30``.
    """
    if isinstance(flank, bool) or not isinstance(flank, int) or flank < 0:
        raise SettingsError(f"flank is {flank}; it must be a whole number of bases from 0 up.")
    checked = check_calls(calls, path, genome.circular)
    rows = checked[list(CALL_COLUMNS)].itertuples(index=False, name=None)
    with open(path, "w", encoding="utf-8", newline="\n") as handle:
        for name, row in zip(call_names(len(checked)), rows, strict=True):
            handle.write(_hit(name, row, genome, flank))


def pack_results(folder: str | os.PathLike[str], zip_path: str | os.PathLike[str]) -> tuple[str, ...]:
    """Put every result file of a scan's folder into one zip, with a README that explains them.

    Parameters
    ----------
    folder : path
        Of a finished scan; other files in it are left out.
    zip_path : path
        Appears only when it is complete.

    Returns
    -------
    tuple of str
        The names in the zip, the README first.

    Raises
    ------
    SettingsError
        If the folder holds no result, or the zip cannot be written.
    """
    root, target = Path(folder), Path(zip_path)
    names = [name for name in SCAN_FILES if (root / name).is_file()]
    if not names:
        raise SettingsError(f"{root} holds no result of a scan; scan again.")
    try:
        with atomic_write(target) as stream, zipfile.ZipFile(stream, "w") as archive:
            archive.writestr(README, describe(root, names), zipfile.ZIP_DEFLATED)
            for name in names:
                stored = name.endswith(_PACKED_ALREADY)
                how = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
                archive.write(root / name, name, compress_type=how, compresslevel=_LEVEL)
    except OSError as error:
        raise SettingsError(f"{target} cannot be written: {error.strerror or error}.") from error
    return (README, *names)


def _hit(name: str, row: tuple, genome: Genome, flank: int) -> str:
    contig, start, end, strand, summit, score = row
    length, circular = genome.contigs[contig], contig in genome.circular
    if circular:
        room = max(0, length - (end - start))
        left, right = start - min(flank, room // 2), end + min(flank, room - room // 2)
    else:
        left, right = max(0, start - flank), min(length, end + flank)
    letters = genome.fetch(contig, left, right, "-" if strand == "-" else "+")
    size = length if circular else None
    header = (
        f">{name} {contig}:{_place(left, right, size)}({strand}) call={_place(start, end, size)} "
        f"summit={summit + 1} probability={score:.6g}"
    )
    lines = [letters[at : at + _LINE] for at in range(0, len(letters), _LINE)]
    return "\n".join([header, *lines, ""])


def _place(start: int, end: int, length: int | None) -> str:
    """Return a stretch in positions from 1, in two parts if it goes over the origin of a circular contig."""
    pieces = [(start, end)] if length is None else turns(start, end, length)
    return ",".join(f"{left + 1}-{right}" for left, right in pieces)
