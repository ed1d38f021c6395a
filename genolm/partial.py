"""Finished parts of long work, kept on disk: the same work, started again, goes on where it stopped.

A part is a file that takes its name when it is whole. It begins with the SHA-256 of its content together with
its key and a description of the work. A damaged part, or one that was made from other input, by another model
or with other settings, so is never taken for a finished one: it is made again.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from genolm.bundle_config import BundleConfig
from genolm.outputs import make_folder
from genolm.readings import count_readings
from genolm.workspace import atomic_write, exclusive, room_asked_for

FORMAT_VERSION = 1
# Multiplications of one part: some ten to thirty seconds on two cores, or on a GPU.
PART_WORK = {"cpu": 4e12, "cuda": 2e14}
# In a tiny model it is not the multiplications that take the time.
MOST_TOKENS = 3_000_000
_DIGEST_BYTES = 32
_SECONDS = "seconds"
_RUNNING = "running"


class Part(NamedTuple):
    """A finished part.

    Attributes
    ----------
    arrays : dict of str to array
    seconds : float
        How long it took to make.
    reused : bool
        Whether it was on disk already.
    """

    arrays: dict[str, np.ndarray]
    seconds: float
    reused: bool


@dataclass(frozen=True)
class FinishedParts:
    """The finished parts of one piece of work.

    Attributes
    ----------
    folder : Path or None
        Where they lie; None keeps nothing, every part is made when it is asked for.
    stamp : bytes
        Hash of the description of the work.
    prefix : str
        Stands before every key.
    """

    folder: Path | None = None
    stamp: bytes = b""
    prefix: str = ""
    _earlier: dict[str, float] = field(default_factory=dict)
    _own: set[str] = field(default_factory=set)
    _check: Callable[[], None] | None = None

    @property
    def earlier_seconds(self) -> float:
        """How long the parts took that an earlier run had finished."""
        return sum(self._earlier.values())

    def within(self, prefix: str) -> "FinishedParts":
        """Return the parts of a part: the same folder, the keys under ``prefix``."""
        return FinishedParts(self.folder, self.stamp, f"{self.prefix}{prefix}-", self._earlier, self._own, self._check)

    def check(self) -> None:
        """Refuse to go on where what goes into the parts is no longer what it was, see :func:`kept_parts`."""
        if self._check is not None:
            self._check()

    def finish(self, key: str, make: Callable[[], Mapping[str, np.ndarray]]) -> Part:
        """Return a part: as an earlier run left it, else made now and kept.

        Parameters
        ----------
        key : str
            Its name in the work; letters, digits and hyphens.
        make : callable
            Works it out. What it raises passes, and nothing is kept.
        """
        found = self.found(key)
        if found is not None:
            return found
        began, before = time.monotonic(), self.earlier_seconds
        arrays = make()
        # A part of parts also counts what an earlier run had spent on those.
        return self.keep(key, arrays, time.monotonic() - began + self.earlier_seconds - before)

    def found(self, key: str) -> Part | None:
        """Return a part that is there already, None if it is yet to be made."""
        key = self.prefix + key
        found = self._read(key)
        if found is not None and key not in self._own:
            self._earlier.setdefault(key, found.seconds)
        return found

    def keep(self, key: str, arrays: Mapping[str, np.ndarray], seconds: float) -> Part:
        """Keep a part that took ``seconds`` to make, and return it; see also :meth:`check`."""
        self.check()
        key = self.prefix + key
        arrays = {name: np.ascontiguousarray(value) for name, value in arrays.items()}
        self._own.add(key)
        self._keep(key, arrays, seconds)
        return Part(arrays, seconds, reused=False)

    def remove(self) -> None:
        """Delete all parts, and what a killed run left of one; other files stay."""
        for pattern in ("*.part", ".*.part.*.tmp") if self.folder else ():
            for path in self.folder.glob(pattern):
                path.unlink(missing_ok=True)

    def _read(self, key: str) -> Part | None:
        if self.folder is None:
            return None
        try:
            content = (self.folder / f"{key}.part").read_bytes()
        except OSError:
            return None
        digest, body = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
        if digest != self._digest(key, body):
            return None
        try:
            arrays = load(body)
        except SafetensorError:
            return None
        return Part(arrays, float(arrays.pop(_SECONDS)[0]), reused=True)

    def _keep(self, key: str, arrays: Mapping[str, np.ndarray], seconds: float) -> None:
        if self.folder is None:
            return
        body = save({**arrays, _SECONDS: np.array([seconds])})
        make_folder(self.folder)
        with (
            room_asked_for(self.folder, "A finished part"),
            atomic_write(self.folder / f"{key}.part") as stream,
        ):
            stream.write(self._digest(key, body) + body)

    def _digest(self, key: str, body: bytes) -> bytes:
        return hashlib.sha256(self.stamp + key.encode() + b"\n" + body).digest()


def tokens_per_part(config: BundleConfig, device: str) -> int:
    """Return how many tokens a model reads in one part of some ten to thirty seconds.

    It depends on the sizes of the model and the kind of device alone, so that a run that goes on has the same
    parts.
    """
    weights = sum(4 * units * (inputs + units) for inputs, units in config.encoder.widths())
    readings = config.members * count_readings(config)
    share = PART_WORK.get(device, PART_WORK["cpu"]) / PART_WORK["cpu"]
    return max(1, int(share * min(MOST_TOKENS, PART_WORK["cpu"] / weights) / readings))


@contextmanager
def sole_writer(folder: Path, out: Path) -> Iterator[None]:
    """Keep other runs from writing ``out`` until the block has ended; its parts are kept in ``folder``.

    The lock lies in ``folder`` and goes with it; the end of a process, however it comes, lets others in.

    Raises
    ------
    SettingsError
        If another process, or another thread of this one, writes it.
    """
    taken = f"Another run is writing {out}; wait for its end or choose another place."
    with _cleared(folder), exclusive(make_folder(folder) / _RUNNING, out.name, taken=taken):
        yield


@contextmanager
def kept_parts(
    folder: str | os.PathLike[str], work: Mapping[str, Any], *, check: Callable[[], None] | None = None
) -> Iterator[FinishedParts]:
    """Give the parts of a piece of work; they are removed when the block ends well and kept when it does not.

    Parameters
    ----------
    folder : path
        Made if it is missing, and removed in the end if nothing is left in it.
    work : mapping
        Plain data that tells this work from any other: the hashes of what goes in, and every setting that
        changes a part.
    check : callable, optional
        Called before a part is kept; raises where what goes in is no longer what ``work`` says.
    """
    folder = Path(folder)
    text = json.dumps({"format": FORMAT_VERSION, **work}, sort_keys=True, default=str)
    with _cleared(folder):
        parts = FinishedParts(make_folder(folder), hashlib.sha256(text.encode()).digest(), _check=check)
        yield parts
        parts.remove()


@contextmanager
def _cleared(folder: Path) -> Iterator[None]:
    """Remove in the end a folder, and those above it that were missing, if nothing is in them."""
    made = [folder, *takewhile(lambda parent: not parent.exists(), folder.parents)]
    try:
        yield
    finally:
        for empty in made:
            with suppress(OSError):
                empty.rmdir()
