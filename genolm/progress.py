"""How long work tells its caller where it stands: plain data, no output of its own."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Progress:
    """One report from a running piece of work.

    Attributes
    ----------
    stage : str
        What is being done, in words for a user ("scanning NC_000913.3, plus strand").
    done, total : int
        Units finished and to do in the whole work; the unit is the caller's (windows, steps).
    elapsed : float
        Seconds since the work began.
    values : Mapping[str, float]
        Live figures such as ``loss``.
    """

    stage: str
    done: int
    total: int
    elapsed: float = 0.0
    values: Mapping[str, float] = field(default_factory=dict)

    @property
    def fraction(self) -> float:
        """Share finished, 0 to 1."""
        return min(1.0, self.done / self.total) if self.total else 0.0

    @property
    def eta(self) -> float | None:
        """Seconds still to go at the speed so far, or None before anything is finished."""
        if self.done <= 0 or self.elapsed <= 0:
            return None
        return self.elapsed * max(0, self.total - self.done) / self.done


ProgressCallback = Callable[[Progress], None]


class Ticker:
    """Counts finished units and passes a :class:`Progress` on, at most every ``interval`` seconds.

    The callback may raise :class:`genolm.errors.Cancelled` to stop the work.
    """

    def __init__(
        self, callback: ProgressCallback | None, total: int, *, stage: str = "", interval: float = 0.2
    ) -> None:
        self.callback, self.total, self.stage, self.interval = callback, total, stage, interval
        self.done = 0
        self._began = time.monotonic()
        self._last = 0.0

    def advance(self, units: int = 1, *, stage: str | None = None, **values: float) -> None:
        """Add finished units and report if it is time to, always at the last one."""
        self.done += units
        self.stage = self.stage if stage is None else stage
        now = time.monotonic()
        if self.callback and (now - self._last >= self.interval or self.done >= self.total):
            self._last = now
            self.callback(Progress(self.stage, self.done, self.total, now - self._began, values))
