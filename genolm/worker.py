"""The worker's side of a job: shows that it lives, how far it is and how it ended, even on a full disk."""

import errno
import json
import os
import signal
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from genolm import job_files, job_queue, job_store, processes, stopping
from genolm.job_queue import ASKED_TO_STOP, CLAIM_VARIABLE
from genolm.progress import Progress
from genolm.record import timestamp

HEARTBEAT_SECONDS = 2.0
# From a request to stop until the work is broken off if no report has ended it in good order.
GRACE_SECONDS = 0.5
NICE_STEPS = 5
REPORT_SECONDS = 0.2
HISTORY_SECONDS = 1.0
HISTORY_LINES = 4000
SPEED_SECONDS = 120.0
_reasons: list[tuple[str, str]] = []


def give_reason(sentence: str, error: str = "") -> None:
    """Keep the sentence with which this process is about to fail, and the class of the error, for the job's record."""
    _reasons.append((sentence, error))


@contextmanager
def worker(folder: str | os.PathLike[str] | None) -> Iterator[None]:
    """Run the block as the worker of the job in ``folder``; None does nothing.

    Its end is written to the folder and to the list of jobs, and the next job is started. A request to stop
    (SIGTERM) becomes :class:`genolm.errors.Cancelled` at the next report of progress, where a training keeps
    what it has; half a second later it becomes :class:`SystemExit` wherever the work is.
    """
    if folder is None:
        yield
        return
    folder = Path(folder)
    if not job_store.has_claim(folder.name, os.environ.pop(CLAIM_VARIABLE, "")):
        raise SystemExit("This job was started a second time; the other worker runs it.")
    _begin(folder)
    code = 1
    try:
        yield
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
        raise
    except BaseException as error:
        give_reason(_sentence(error))
        # Before the end is written, so that whoever reads of it finds this in the log, if that has room.
        with suppress(OSError):
            traceback.print_exc()
        raise SystemExit(1) from None
    finally:
        _end(folder, ASKED_TO_STOP if stopping.asked() and code else code)


class ProgressFile:
    """A progress callback of the worker: keeps its last report in a file, and all, thinned, in another.

    Use it as a context manager. The files are ``path`` and the one of the same name that ends in ``.jsonl``,
    see :class:`HistoryFile`.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.history = HistoryFile(self.path.with_suffix(".jsonl"))
        self._last = Progress("starting", 0, 0)
        self._speed = _Speed()
        self._written = 0.0
        self._is_new = True
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._flush_often, daemon=True)

    def __enter__(self) -> "ProgressFile":
        self._flush()
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._over.set()
        self._thread.join()
        self._flush()

    def __call__(self, progress: Progress) -> None:
        """Keep the report; stop the work here if that was asked for."""
        with self._lock:
            new_stage = progress.stage != self._last.stage
            self._last, self._is_new = progress, True
            self._speed.add(progress)
            self.history.add(progress)
        if new_stage or time.monotonic() - self._written >= REPORT_SECONDS:
            self._flush()
        stopping.stop_if_asked()

    def _flush_often(self) -> None:
        while not self._over.wait(HEARTBEAT_SECONDS):
            self._flush()

    def _flush(self) -> None:
        with self._lock:
            if not self._is_new:
                return
            last = self._last
            data = {**asdict(last), "values": dict(last.values), "speed": self._speed.value}
            self._written, self._is_new = time.monotonic(), False
            # A full disk must not end the work itself.
            with suppress(OSError):
                job_files.write_record(self.path, data)


class HistoryFile:
    """The reports of a job as lines of JSON: one a second, and each that has a new validation value.

    Above 4,000 lines every second one is dropped, and from then on the lines are twice as far apart.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.interval = path, HISTORY_SECONDS
        self._run = time.time()
        self._last: Progress | None = None
        self._written = 0.0
        text = _text(path)
        self._count = text.count("\n")
        self._broken = bool(text) and not text.endswith("\n")

    def add(self, progress: Progress) -> None:
        """Append a report if it is time to."""
        if not progress.total or not self._is_due(progress):
            return
        self._last, self._written = progress, time.monotonic()
        data: dict[str, Any] = {"run": self._run, "stage": progress.stage, "done": progress.done}
        data |= {"total": progress.total, "elapsed": progress.elapsed, "values": dict(progress.values)}
        try:
            with self.path.open("a", encoding="utf-8") as handle:
                handle.write("\n" * self._broken + json.dumps(data) + "\n")
            self._broken = False
        except OSError:
            self._broken = True
        self._count += 1
        if self._count > HISTORY_LINES:
            self._thin()

    def _is_due(self, progress: Progress) -> bool:
        last = self._last
        if last is None or validation(progress.values) != validation(last.values):
            return True
        finished = progress.done >= progress.total and progress.done != last.done
        return finished or time.monotonic() - self._written >= self.interval

    def _thin(self) -> None:
        lines = _text(self.path).splitlines()
        kept = [line for index, line in enumerate(lines) if index % 2 == len(lines) % 2]
        partial = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        with suppress(OSError):
            partial.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
            os.replace(partial, self.path)
        partial.unlink(missing_ok=True)
        self._count, self.interval = len(kept), 2 * self.interval


def validation(values: Mapping[str, float]) -> dict[str, float]:
    """Return the live figures that were measured on validation rows."""
    return {key: value for key, value in values.items() if key.startswith("valid_") and value == value}


class _Speed:
    """Units a second over the last two minutes of this attempt, without what an earlier one had finished."""

    def __init__(self) -> None:
        self._points: deque[tuple[float, int, int]] = deque()

    def add(self, progress: Progress) -> None:
        now, done = time.monotonic(), progress.done - progress.skipped
        if self._points and (progress.total != self._points[-1][2] or done < self._points[-1][1]):
            self._points.clear()
        # Until the first unit is finished all is made ready, which says nothing of the speed.
        if progress.total and done > 0 and (not self._points or now - self._points[-1][0] >= 1):
            self._points.append((now, done, progress.total))
        while len(self._points) > 2 and now - self._points[0][0] > SPEED_SECONDS:
            self._points.popleft()

    @property
    def value(self) -> float | None:
        if len(self._points) < 2 or self._points[-1][0] - self._points[0][0] < 3:
            return None
        (began, first, _), (now, last, _) = self._points[0], self._points[-1]
        return (last - first) / (now - began)


def _begin(folder: Path) -> None:
    processes.give_way(NICE_STEPS)
    job_files.reserve_exit(folder)
    stopping.listen([signal.SIGTERM], GRACE_SECONDS, patient=True)
    threading.Thread(target=_beat, args=[folder], daemon=True).start()


def _end(folder: Path, code: int) -> None:
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    reason, error = _reasons[-1] if _reasons and code else ("", "")
    ending = {"code": code, "ended": timestamp(), "reason": reason, "error": error}
    job_files.write_exit(folder, **ending)
    # Whatever is wrong with the list of jobs must not change how this job has ended.
    with suppress(Exception):
        row = job_store.read_row(folder.name)
        if row and row.pid == os.getpid():
            job_store.end_row(job_queue.judge(row, False, ending))
        if code:
            processes.stop_job_processes(folder.name)
        if not stopping.asked():
            job_queue.advance()


def _beat(folder: Path) -> None:
    asked = folder / job_files.CANCEL_FILE
    while True:
        # A new time stamp needs no room on the disk.
        with suppress(OSError):
            os.utime(folder / job_files.WORKER_FILE)
        if asked.exists() and not stopping.asked():
            os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(HEARTBEAT_SECONDS)


def _sentence(error: BaseException) -> str:
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return "There is no room left on the disk: make room, then resume the job."
    words = " ".join(str(error).split())
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
