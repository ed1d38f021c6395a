"""Scores out: bedGraph and bigWig of tracks; what has no score is a gap, never a zero.

Formats: bedGraph as in the UCSC genome browser's FAQ, bigWig (Kent et al. 2010,
doi:10.1093/bioinformatics/btq351).
"""

import gzip
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from genolm.errors import SettingsError

if TYPE_CHECKING:
    from genolm.tracks import Track

PathLike = str | os.PathLike[str]


def write_bedgraph(
    path: PathLike, tracks: Iterable["Track"], *, name: str = "", circular: Mapping[str, int] | None = None
) -> None:
    """Write tracks of one strand as bedGraph (gzip when ``path`` ends in .gz); NaN is left out.

    Parameters
    ----------
    path : path
    tracks : iterable of Track
        At most one strand, since the format has none.
    name : str
        When given, a ``track`` line for genome browsers comes first.
    circular : mapping of str to int, optional
        Lengths of circular contigs; their last value is cut at the origin.
    """
    opener = gzip.open if os.fspath(path).endswith(".gz") else open
    ordered = _one_strand(tracks, path)
    rank = {contig: place for place, contig in enumerate(dict.fromkeys(track.contig for track in ordered))}
    ordered.sort(key=lambda track: (rank[track.contig], track.start))
    with opener(path, "wt", encoding="utf-8", newline="\n") as handle:
        if name:
            handle.write(f'track type=bedGraph name="{name.replace(chr(34), chr(39))}"\n')
        for track in ordered:
            for run in _runs(track, (circular or {}).get(track.contig), limit=100_000):
                lefts = run.start + np.arange(len(run.values), dtype=np.int64) * track.step
                handle.writelines(
                    f"{track.contig}\t{left}\t{left + run.span}\t{value:.6g}\n"
                    for left, value in zip(lefts.tolist(), run.values.tolist(), strict=True)
                )


def write_bigwig(
    path: PathLike,
    tracks: Iterable["Track"],
    lengths: Mapping[str, int],
    *,
    circular: Mapping[str, int] | None = None,
) -> None:
    """Write tracks of one strand as bigWig, with zoom levels; NaN is a gap, never a zero.

    Parameters
    ----------
    path : path
    tracks : iterable of Track
        At most one strand; pieces of a contig must not overlap.
    lengths : mapping of str to int
        Length of every contig, in the order that the file's header shall have.
    circular : mapping of str to int, optional
        Lengths of circular contigs; their last value is cut at the origin.
    """
    import pyBigWig

    circular = circular or {}
    rank = {contig: place for place, contig in enumerate(lengths)}
    ordered = _one_strand(tracks, path)
    if not lengths:
        raise SettingsError(f"Cannot write {path}: a bigWig needs the length of at least one contig.")
    for track in ordered:
        if track.contig not in rank:
            raise SettingsError(f"Cannot write {path}: the length of contig {track.contig} is not known.")
        room = track.step - 1 if track.contig in circular else 0
        if track.end > lengths[track.contig] + room:
            raise SettingsError(
                f"Cannot write {path}: a track of {track.contig} ends at {track.end}, "
                f"beyond the contig's {lengths[track.contig]} bp."
            )
    ordered.sort(key=lambda track: (rank[track.contig], track.start))
    with _opened_bigwig(pyBigWig, path) as handle:
        handle.addHeader([(contig, int(length)) for contig, length in lengths.items()])
        for track in ordered:
            for run in _runs(track, circular.get(track.contig)):
                handle.addEntries(track.contig, run.start, values=run.values, span=run.span, step=track.step)


class _Run(NamedTuple):
    """Values without a gap, each over ``span`` bases."""

    start: int
    span: int
    values: np.ndarray


def _runs(track: "Track", length: int | None, *, limit: int = 1_000_000) -> Iterator[_Run]:
    """Yield the runs of a track, cut at ``length`` where it is given."""
    for start, values in track.runs(limit=limit):
        over = 0 if length is None else max(0, start + (len(values) - 1) * track.step + track.span - length)
        whole = values[:-1] if over else values
        if len(whole):
            yield _Run(int(start), track.span, whole)
        if 0 < over < track.span:
            yield _Run(int(start) + len(whole) * track.step, track.span - over, values[-1:])


def _one_strand(tracks: Iterable["Track"], path: PathLike) -> list["Track"]:
    listed = list(tracks)
    strands = sorted({track.strand for track in listed})
    if len(strands) > 1:
        raise SettingsError(f"Cannot write {path}: the strands {' and '.join(strands)} need a file each.")
    return listed


@contextmanager
def _opened_bigwig(library: Any, path: PathLike) -> Iterator[Any]:
    # pyBigWig ends the whole process when it cannot create a file, so Python tries first.
    try:
        open(path, "wb").close()
    except OSError as error:
        raise SettingsError(f"Cannot write {path}: {error.strerror}.") from error
    handle = library.open(os.fspath(path), "w")
    try:
        yield handle
    finally:
        handle.close()


