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

    def skip(self, units: int, seconds: float, *, stage: str | None = None) -> None:
        """Count units that an earlier run finished in ``seconds``, so that the time left stays true."""
        self._began -= seconds
        self.advance(units, stage=stage)

    def piece(self, stage: str | None = None) -> ProgressCallback:
        """Return the callback of a piece of this work that counts for itself, from 0, in the same units."""
        before, elapsed = self.done, time.monotonic() - self._began

        def report(progress: Progress) -> None:
            self._began = time.monotonic() - elapsed - progress.elapsed
            self.advance(before + progress.done - self.done, stage=stage)

        return report


class Stages:
    """Turns the progress of one stage after another into that of the whole.

    Parameters
    ----------
    callback : ProgressCallback or None
        Gets reports of the whole, in the unit of the weights; the stage's name stands before its own words.
    weights : mapping of str to float
        The stages in order, each with its share of the time: steps that are about as long everywhere.
    """

    def __init__(self, callback: ProgressCallback | None, weights: Mapping[str, float]) -> None:
        self.callback, self.weights = callback, dict(weights)
        self._finished = 0.0
        self._total = sum(self.weights.values()) or 1.0
        self._began = time.monotonic()
        self._skipped = 0.0
        self._earlier: dict[str, float] = {}

    def skip(self, name: str) -> None:
        """Count a stage as done in an earlier run, which says nothing of the speed of this one."""
        self._finished += self.weights[name]
        self._skipped += self.weights[name]

    def finish(self, name: str) -> None:
        """Count a stage as done."""
        self._finished += self.weights[name]

    def reporter(self, name: str) -> ProgressCallback | None:
        """Return the callback of one stage, which begins now.

        What a stage reports of seconds before that, as one that goes on from a checkpoint does, counts as spent.
        """
        if self.callback is None:
            return None
        began = time.monotonic()

        def tell(report: Progress) -> None:
            self._earlier[name] = max(0.0, report.elapsed - (time.monotonic() - began))
            self._tell(name, report)

        return tell

    def _tell(self, name: str, report: Progress) -> None:
        assert self.callback is not None
        done = self._finished + self.weights[name] * report.fraction
        fresh = max(done - self._skipped, 1e-9)
        spent = time.monotonic() - self._began + sum(self._earlier.values())
        words = f"{name}, {report.stage}" if report.stage else name
        self.callback(Progress(words, round(done), round(self._total), spent * done / fresh, report.values))


def part_reporter(
    callback: ProgressCallback | None, number: int, count: int, words: str
) -> ProgressCallback | None:
    """Return the callback of part ``number`` (from 0) of ``count`` parts that take about as long each.

    Reports are in thousandths of the whole and say ``words`` for the stage. The seconds of parts before are those
    that they took at the pace of this one.
    """
    if callback is None:
        return None

    def tell(report: Progress) -> None:
        parts = number + report.fraction
        elapsed = report.elapsed * parts / report.fraction if report.fraction else report.elapsed
        callback(Progress(words, round(1000 * parts / count), 1000, elapsed, report.values))

    return tell
