"""Who works out the parts of a scan: the threads of this process, or workers elsewhere.

An engine is given the work and its parts and yields the scores of each part as it is finished, in any order.
"""

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import NamedTuple, Protocol

import numpy as np

import genolm.compute as compute
from genolm.errors import Cancelled
from genolm.scan_plan import Part
from genolm.scan_work import ScanWork

_LOOK_SECONDS = 0.2


class FinishedScores(NamedTuple):
    """Scores of a part, float32 (windows,), and how long they took."""

    part: Part
    scores: np.ndarray
    seconds: float


class Engine(Protocol):
    """Something that can work out parts."""

    def run(
        self, work: ScanWork, parts: Sequence[Part], *, tick: Callable[[int, str], None]
    ) -> Iterator[FinishedScores]:
        """Yield the scores of each part once.

        Parameters
        ----------
        work : ScanWork
        parts : sequence of Part
        tick : callable
            Told, in the caller's thread, of windows that were finished since and of the stage; what it raises ends
            the work at once. It is told of every window exactly once.
        """
        ...


class LocalEngine:
    """The threads of this process: each takes a part at a time, and one core.

    Parameters
    ----------
    threads : int, optional
        All cores by default, see :func:`genolm.compute.thread_budget`; one on a GPU.
    """

    def __init__(self, threads: int | None = None) -> None:
        self.threads = threads

    def run(
        self, work: ScanWork, parts: Sequence[Part], *, tick: Callable[[int, str], None]
    ) -> Iterator[FinishedScores]:
        """Yield the scores of each part once, see :class:`Engine`."""
        work.prepare()
        threads = compute.thread_budget(self.threads) if work.predictor.device.type == "cpu" else 1
        told: queue.SimpleQueue[tuple[int, str]] = queue.SimpleQueue()
        stop = threading.Event()
        with compute.torch_threads(compute.thread_budget(self.threads)), ThreadPoolExecutor(threads, "scan") as pool:
            waiting = {pool.submit(_score, work, part, told, stop) for part in parts}
            try:
                while waiting:
                    done, waiting = wait(waiting, timeout=_LOOK_SECONDS, return_when=FIRST_COMPLETED)
                    _pass_on(told, tick)
                    for future in done:
                        yield future.result()
            finally:
                stop.set()
                _drop(waiting)


def _score(
    work: ScanWork, part: Part, told: "queue.SimpleQueue[tuple[int, str]]", stop: threading.Event
) -> FinishedScores:
    stage, began = part.stretches[-1].stage, time.monotonic()

    def count(windows: int) -> None:
        if stop.is_set():
            raise Cancelled("The scan was stopped.")
        told.put((windows, stage))

    scores = work.scores(part, tick=count)
    return FinishedScores(part, scores, time.monotonic() - began)


def _pass_on(told: "queue.SimpleQueue[tuple[int, str]]", tick: Callable[[int, str], None]) -> None:
    while not told.empty():
        tick(*told.get())


def _drop(waiting: set[Future[FinishedScores]]) -> None:
    for future in waiting:
        future.cancel()
