"""Parts handed out to workers that come, go and fail; knows nothing of where the workers are.

A part is at one worker at a time. That of a lost worker is handed out again, and no window is counted twice.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from genolm.engines import FinishedScores
from genolm.errors import SettingsError
from genolm.scan_plan import Part

WAITING = "waiting for workers"


class Reached(NamedTuple):
    """A worker has finished ``windows`` windows of a part."""

    key: str
    windows: int


class Finished(NamedTuple):
    """A worker has finished a part: scores float32 (windows,), and how long they took."""

    key: str
    scores: np.ndarray
    seconds: float


class Lost(NamedTuple):
    """The worker that had a part is gone, for ``reason``, a few words."""

    key: str
    reason: str


class Workers(Protocol):
    """Some workers, as many as there are at the moment."""

    def room(self) -> int:
        """Return how many parts can be begun now."""
        ...

    def begin(self, part: Part) -> None:
        """Give a part to a worker that is free."""
        ...

    def news(self) -> Sequence[Reached | Finished | Lost]:
        """Return what happened since the last call; waits for a moment where nothing has."""
        ...

    def stop(self) -> None:
        """End all workers at once."""
        ...


class HandOut:
    """Which parts wait, which are being worked on, and how many windows of each were told of.

    Parameters
    ----------
    parts : sequence of Part
    max_retries : int
        So many lost workers a part may have cost before the work is given up.
    """

    def __init__(self, parts: Sequence[Part], *, max_retries: int = 3) -> None:
        self._waiting = deque(parts)
        self._begun: dict[str, Part] = {}
        self._told = {part.key: 0 for part in parts}
        self._losses = {part.key: 0 for part in parts}
        self._max_retries = max_retries

    @property
    def is_over(self) -> bool:
        """Whether every part is finished."""
        return not self._waiting and not self._begun

    def take(self) -> Part | None:
        """Return the next part to be begun, None where none waits."""
        if not self._waiting:
            return None
        part = self._waiting.popleft()
        self._begun[part.key] = part
        return part

    def reached(self, key: str, windows: int) -> tuple[int, str]:
        """Return how many of the windows of a part that are finished are new, and the stage; 0 and "" if none."""
        part = self._begun.get(key)
        if part is None or windows <= self._told[key]:
            return 0, ""
        new = min(windows, part.windows) - self._told[key]
        self._told[key] += new
        return new, part.stretches[-1].stage

    def finished(self, key: str) -> Part | None:
        """Take a part off the list and return it; None if another worker has finished it already."""
        return self._begun.pop(key, None)

    def lost(self, key: str, reason: str) -> None:
        """Let a part wait again, before the others; a :class:`SettingsError` where it was lost too often."""
        part = self._begun.pop(key, None)
        if part is None:
            return
        self._losses[key] += 1
        if self._losses[key] > self._max_retries:
            stretch = part.stretches[-1]
            raise SettingsError(
                f"The work on {stretch.contig}, strand {stretch.strand}, ended {self._losses[key]} workers one after "
                f"another ({reason}); look into their logs and memory, and start the same again: it goes on from "
                "the parts that are finished."
            )
        self._waiting.appendleft(part)


def hand_out(
    workers: Workers, parts: Sequence[Part], *, tick: Callable[[int, str], None], max_retries: int = 3
) -> Iterator[FinishedScores]:
    """Yield the scores of each part once, in any order, however many workers are lost on the way.

    Parameters
    ----------
    workers : Workers
        Ended at the end, however it comes.
    parts : sequence of Part
    tick : callable
        Told of finished windows and the stage, every window once, and now and then of none; may raise.
    max_retries : int
        See :class:`HandOut`.
    """
    desk, stage = HandOut(parts, max_retries=max_retries), WAITING
    try:
        while not desk.is_over:
            while workers.room() and (part := desk.take()) is not None:
                workers.begin(part)
            tick(0, stage)
            for item in workers.news():
                if isinstance(item, Lost):
                    desk.lost(item.key, item.reason)
                    continue
                new, said = desk.reached(item.key, _windows(item))
                stage = said or stage
                tick(new, stage)
                part = desk.finished(item.key) if isinstance(item, Finished) else None
                if part is not None:
                    yield FinishedScores(part, item.scores, item.seconds)
    finally:
        workers.stop()


def _windows(item: Reached | Finished) -> int:
    return item.windows if isinstance(item, Reached) else len(item.scores)
