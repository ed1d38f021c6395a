"""Scores out: bedGraph and bigWig of tracks; what has no score is a gap, never a zero.

Formats: bedGraph as in the UCSC genome browser's FAQ, bigWig (Kent et al. 2010,
doi:10.1093/bioinformatics/btq351).
"""

import errno
import gzip
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np

from genolm.errors import SettingsError

if TYPE_CHECKING:
    from genolm.tracks import Track

PathLike = str | os.PathLike[str]

# Sizes in a bigWig of libBigWig, in bytes but for the last two: what begins the file; of a contig, beside its name;
# of a block, what is not values; a value; a block's and a zoomed value's share; bases in the first zoom level, in
# mean values; how many levels there are at most, each four times as coarse as the one before.
_HEAD, _CONTIG, _BLOCK, _VALUE = 1_024, 9, 128, 4
_BLOCK_VALUES, _ZOOMED, _ZOOMED_VALUES = 8_000, 32, 1_000
_FIRST_ZOOM, _LEVELS = 16, 10
_MAGIC = bytes.fromhex("26fc8f88")
_NOT_KNOWN_THERE = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)
_CHUNK = 1 << 20


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

    Raises
    ------
    SettingsError
        Also where there is no room for the largest file that it can be, or less was written than there is.
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
    sizes = _Sizes.of(ordered, lengths, circular)
    _reserve(path, sizes.most_bytes)
    with _written_bigwig(pyBigWig, path, sizes) as handle:
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


class _Sizes(NamedTuple):
    """What goes into a bigWig: by this a whole one is known, and how large it can be at most.

    Attributes
    ----------
    contigs : dict of str to int
        Lengths, in the order of the header.
    runs, values, covered, reach : int
        Runs without a gap, their values, the bases that these cover, and the bases from the first to the last of each.
    """

    contigs: dict[str, int]
    runs: int
    values: int
    covered: int
    reach: int

    @classmethod
    def of(cls, tracks: Sequence["Track"], lengths: Mapping[str, int], circular: Mapping[str, int]) -> "_Sizes":
        runs = values = covered = reach = 0
        for track in tracks:
            for run in _runs(track, circular.get(track.contig)):
                runs, values = runs + 1, values + len(run.values)
                covered += len(run.values) * run.span
                reach += len(run.values) * track.step
        return cls({contig: int(length) for contig, length in lengths.items()}, runs, values, covered, reach)

    @property
    def most_bytes(self) -> int:
        """How large the file can be: as if nothing in it could be compressed."""
        longest = max(len(contig.encode()) for contig in self.contigs)
        size = _HEAD + len(self.contigs) * (_CONTIG + longest)
        size += _VALUE * self.values + _BLOCK * (self.runs + self.values // _BLOCK_VALUES + 1)
        bases, width = sum(self.contigs.values()), self.covered // max(1, self.values)
        for level in range(_LEVELS if self.values else 0):
            zoom = max(1, width) * _FIRST_ZOOM * 4**level
            spread = min(self.reach // zoom + 2 * self.runs, self.covered // zoom + 2 * self.values)
            zoomed = min(spread, bases // zoom + len(self.contigs)) + 1
            size += _ZOOMED * zoomed + _BLOCK * (zoomed // _ZOOMED_VALUES + 2)
        return size


def _reserve(path: PathLike, size: int) -> None:
    """Refuse a place without room for ``size`` bytes, and leave an empty file.

    Python tries first: without room, pyBigWig crashes, never ends or leaves half a file without a word.
    """
    try:
        with open(path, "wb") as handle:
            _fill(handle, size)
            handle.truncate(0)
    except OSError as error:
        Path(path).unlink(missing_ok=True)
        if error.filename is not None:
            raise SettingsError(f"Cannot write {path}: {error.strerror}.") from error
        raise _no_room(path, size, error.strerror) from error


def _fill(handle: BinaryIO, size: int) -> None:
    try:
        os.posix_fallocate(handle.fileno(), 0, size)
    except AttributeError:
        pass  # not on macOS and Windows
    except OSError as error:
        if error.errno not in _NOT_KNOWN_THERE:
            raise
    else:
        return
    for left in range(size, 0, -_CHUNK):
        handle.write(bytes(min(left, _CHUNK)))
    handle.flush()


@contextmanager
def _written_bigwig(library: Any, path: PathLike, sizes: _Sizes) -> Iterator[Any]:
    """Give an open bigWig; refuse what could not be written, and a file that is not whole in the end."""
    handle = library.open(os.fspath(path), "w")
    try:
        yield handle
    except RuntimeError as error:
        if "order" in str(error):
            raise SettingsError(f"Cannot write {path}: the pieces of a contig overlap.") from error
        raise _no_room(path, sizes.most_bytes) from error
    except SystemError as error:
        raise _no_room(path, sizes.most_bytes) from error
    finally:
        handle.close()
    if not _is_whole(library, path, sizes):
        raise _no_room(path, sizes.most_bytes)


def _is_whole(library: Any, path: PathLike, sizes: _Sizes) -> bool:
    """Return whether a bigWig ends as one, and its head tells of all that was to be written."""
    with open(path, "rb") as stream:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, size - len(_MAGIC)))
        if stream.read() != _MAGIC or size <= len(_MAGIC):
            return False
    try:
        with library.open(os.fspath(path)) as handle:
            head, contigs = handle.header(), handle.chroms()
    except RuntimeError:
        return False
    zoomed = bool(head["nLevels"]) or not sizes.values
    return head["nBasesCovered"] == sizes.covered and zoomed and contigs == sizes.contigs


def _no_room(path: PathLike, size: int, reason: str = "not all of it was written") -> SettingsError:
    return SettingsError(
        f"Cannot write {path}: there is no room in {Path(path).parent} ({reason}); it can take up to "
        f"{max(0.1, size / 1e6):,.1f} MB. Make room, or choose another place, and start again."
    )
