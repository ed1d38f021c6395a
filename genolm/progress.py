"""How long work tells its caller where it stands: plain data, no output of its own."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

LEAST_SECONDS = 2.0
"""For so long work is measured before the time left is told."""


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
    skipped : int
        Of ``done``, what an earlier run had finished: it took no time now.
    pace : float or None
        Seconds that a unit takes, as a :class:`Pace` measures them; None while that is not known.
    """

    stage: str
    done: int
    total: int
    elapsed: float = 0.0
    values: Mapping[str, float] = field(default_factory=dict)
    skipped: int = 0
    pace: float | None = None

    @property
    def fraction(self) -> float:
        """Share finished, 0 to 1."""
        return min(1.0, self.done / self.total) if self.total else 0.0

    @property
    def eta(self) -> float | None:
        """Seconds still to go at the pace so far, 0 at the end, or None while too little was done to tell."""
        if self.total and self.done >= self.total:
            return 0.0
        return None if self.pace is None else self.pace * (self.total - self.done)


ProgressCallback = Callable[[Progress], None]


class Pace:
    """Measures how long a unit takes in this run, from the first that is finished on.

    What comes before, such as loading a model and making it ready, says nothing of the rest.
    """

    def __init__(self) -> None:
        self._first: tuple[float, float] | None = None

    def after(self, done: float) -> float | None:
        """Return the seconds a unit when ``done`` units are finished in this run, None while it is too early."""
        now = time.monotonic()
        if self._first is None or done < self._first[0]:
            self._first = (done, now) if done > 0 else None
            return None
        units, seconds = done - self._first[0], now - self._first[1]
        return seconds / units if units > 0 and seconds >= LEAST_SECONDS else None


class Ticker:
    """Counts finished units and passes a :class:`Progress` on, at most every ``interval`` seconds.

    The callback may raise :class:`genolm.errors.Cancelled` to stop the work.
    """

    def __init__(
        self, callback: ProgressCallback | None, total: int, *, stage: str = "", interval: float = 0.2
    ) -> None:
        self.callback, self.total, self.stage, self.interval = callback, total, stage, interval
        self.done = self.skipped = 0
        self._began = time.monotonic()
        self._last = 0.0
        self._pace = Pace()

    def advance(self, units: int = 1, *, stage: str | None = None, **values: float) -> None:
        """Add finished units and report if it is time to, always at the last one."""
        self.done += units
        self.stage = self.stage if stage is None else stage
        now = time.monotonic()
        if self.callback and (now - self._last >= self.interval or self.done >= self.total):
            self._last = now
            pace = self._pace.after(self.done - self.skipped)
            elapsed = now - self._began
            self.callback(Progress(self.stage, self.done, self.total, elapsed, values, self.skipped, pace))

    def skip(self, units: int, seconds: float, *, stage: str | None = None) -> None:
        """Count units that an earlier run finished in ``seconds``; they say nothing of the time left."""
        self._began -= seconds
        self.skipped += units
        self.advance(units, stage=stage)

    def piece(self, stage: str | None = None) -> ProgressCallback:
        """Return the callback of a piece of this work that counts for itself, from 0, in the same units."""
        before, skipped, elapsed = self.done, self.skipped, time.monotonic() - self._began

        def report(progress: Progress) -> None:
            self._began = time.monotonic() - elapsed - progress.elapsed
            self.skipped = skipped + progress.skipped
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
        self._skipped: dict[str, float] = {}
        self._earlier: dict[str, float] = {}
        self._pace = Pace()

    def skip(self, name: str) -> None:
        """Count a stage as done in an earlier run, which says nothing of the speed of this one."""
        self._finished += self.weights[name]
        self._skipped[name] = self.weights[name]

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
        weight = self.weights[name]
        done = self._finished + weight * report.fraction
        self._skipped[name] = weight * report.skipped / report.total if report.total else 0.0
        skipped = sum(self._skipped.values())
        spent = time.monotonic() - self._began + sum(self._earlier.values())
        words = f"{name}, {report.stage}" if report.stage else name
        pace = self._pace.after(done - skipped)
        self.callback(
            Progress(words, round(done), round(self._total), spent, report.values, round(skipped), pace)
        )


def part_reporter(
    callback: ProgressCallback | None, number: int, count: int, words: str
) -> ProgressCallback | None:
    """Return the callback of part ``number`` (from 0) of ``count`` parts that take about as long each.

    Reports are in thousandths of the whole, say ``words`` for the stage, and tell the pace of this part alone.
    """
    if callback is None:
        return None

    def tell(report: Progress) -> None:
        done = round(1000 * (number + report.fraction) / count)
        share = 1000 / (count * report.total) if report.total else 0.0
        pace = report.pace / share if report.pace is not None and share else None
        callback(Progress(words, done, 1000, report.elapsed, report.values, round(share * report.skipped), pace))

    return tell
