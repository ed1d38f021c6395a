"""Long work in processes of its own, that no reload of a page and no end of its starter can stop.

A job is a row in the workspace's database and a folder (see :mod:`genolm.job_store` and
:mod:`genolm.job_files`). It waits until a slot is free, is run by ``python -m genolm`` and may be cancelled
and resumed. Its state is worked out each time it is asked for, from the row, the folder and the worker's
process, so it is true whoever asks, also after a crash of either side.
"""

import errno
import os
import secrets
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from genolm import job_files, job_queue, job_store, processes, workspace
from genolm.errors import SettingsError, check_list
from genolm.job_queue import advance, is_here, keep_queue_moving, settle, slots, worker_threads
from genolm.job_store import ENDED, JobRow, JobState
from genolm.progress import Progress
from genolm.record import timestamp

__all__ = [
    "Job",
    "JobState",
    "cancel_job",
    "find_job",
    "get_job",
    "keep_queue_moving",
    "list_jobs",
    "queue_position",
    "remove_job",
    "resume_job",
    "slots",
    "start_job",
    "wait_for_job",
    "worker_threads",
]
FORMAT_VERSION = 2
INPUT_ERRORS = ("SequenceError", "TableError", "RegionError")
"""Errors of :mod:`genolm.errors` that the same input gives again, however often a job is resumed."""
_RESUMABLE: tuple[JobState, ...] = ("failed", "cancelled", "lost")


@dataclass(frozen=True)
class Job:
    """A job as it stood when it was read; ask :func:`get_job` again for news.

    Attributes
    ----------
    id : str
        32 random hex digits: who knows it may see the job.
    kind, title : str
        The command and what to call this run of it.
    arguments : tuple of str
        Of ``python -m genolm``.
    created, started, ended : str
        ISO 8601, UTC; ``started`` is of the last attempt; "" until then.
    state : {"queued", "running", "done", "failed", "cancelled", "lost"}
        ``lost``: the worker is gone and left no word (killed, out of memory, machine restarted).
    reason : str
        One sentence on a job that failed or was lost, else "".
    progress : Progress or None
        The worker's last report.
    speed : float or None
        Units of progress a second in the last minutes, once it is known.
    attempts : int
        How often it was started.
    input_error : bool
        Whether it failed for what is in its input: it fails again unless that is mended.
    """

    id: str
    kind: str
    title: str
    arguments: tuple[str, ...]
    folder: Path
    created: str
    state: JobState
    reason: str = ""
    ended: str = ""
    exit_code: int | None = None
    progress: Progress | None = None
    started: str = ""
    attempts: int = 0
    speed: float | None = None
    input_error: bool = False

    @property
    def is_over(self) -> bool:
        """Whether nothing will change any more, unless it is resumed."""
        return self.state in ENDED

    @property
    def can_resume(self) -> bool:
        """Whether :func:`resume_job` may go on with it."""
        return self.state in _RESUMABLE and bool(self.arguments)

    @property
    def result(self) -> Path:
        """The worker's working folder: a relative output path of its arguments lies in it."""
        return self.folder / job_files.RESULT_FOLDER

    @property
    def eta(self) -> float | None:
        """Seconds still to go at the speed of the last minutes, None where that is not known."""
        if self.progress is None or self.is_over:
            return None
        if not self.speed:
            return self.progress.eta
        return max(0, self.progress.total - self.progress.done) / self.speed

    def log(self) -> str:
        """Return the end of the worker's output, 64 KiB at most."""
        return job_files.log_tail(self.folder)

    def history(self) -> list[dict[str, Any]]:
        """Return the reports so far, oldest first: ``elapsed``, ``stage``, ``done``, ``total``, ``values``.

        There is one a second at most; of a resumed job, those that were gone through twice are left out.
        """
        return job_files.read_history(self.folder)

    def disk_used(self) -> int:
        """Return the bytes of all its files."""
        return job_files.disk_used(self.folder)

    def as_json(self) -> dict[str, Any]:
        """Return the job as plain JSON data."""
        data = {**asdict(self), "folder": str(self.folder), "result": str(self.result)}
        data["can_resume"] = self.can_resume
        if self.progress:
            data["progress"] |= {"fraction": self.progress.fraction, "eta": self.eta}
        return data


def start_job(
    kind: str, arguments: Sequence[str], *, title: str = "", environment: Mapping[str, str] | None = None
) -> Job:
    """Queue ``python -m genolm`` with ``arguments`` as a job, which starts when a slot is free.

    Parameters
    ----------
    kind : str
        What it is, for lists: the command.
    arguments : sequence of str
        Paths of inputs absolute; a relative output path lands in the job's ``result`` folder.
    title : str
        What to call it in lists, ``kind`` by default.
    environment : mapping, optional
        Variables for the worker, such as GENOLM_THREADS, which else is the job's share of the cores. Those of
        this process whose names begin with GENOLM_ are kept with the job too.

    Raises
    ------
    SettingsError
        If the workspace cannot be written, or ``arguments`` is one text.
    """
    check_list(arguments, "arguments")
    job_id = secrets.token_hex(16)
    now = time.time()
    row = JobRow(
        id=job_id,
        kind=kind,
        title=title or kind,
        arguments=tuple(str(item) for item in arguments),
        environment={**job_queue.kept_variables(), **(environment or {})},
        created=timestamp(),
        queued_at=now,
        created_at=now,
    )
    names = ("id", "kind", "title", "arguments", "environment", "created", "created_at")
    record = {"format_version": FORMAT_VERSION, **{name: getattr(row, name) for name in names}}
    try:
        job_files.make_folder(row.folder, record)
        job_store.add_row(row)
    except OSError as error:
        raise SettingsError(_no_folder(error)) from error
    except SettingsError:
        job_files.remove_folder(row.folder)
        raise
    return get_job(job_id)


def get_job(job_id: str) -> Job:
    """Return the job with this id, in the state it is in now."""
    advance()
    row = job_store.read_row(job_id)
    if row is None:
        raise SettingsError(f"There is no job '{job_id}'; `genolm jobs list` shows the ones there are.")
    return _job(row)


def list_jobs(*, kind: str | None = None) -> list[Job]:
    """Return all jobs, or those of one kind, newest first."""
    advance()
    return [_job(row) for row in job_store.read_rows() if kind is None or row.kind == kind]


def find_job(prefix: str) -> Job:
    """Return the one job whose id begins with ``prefix`` (at least 4 digits), for people who type."""
    found = [row.id for row in job_store.read_rows() if row.id.startswith(prefix)]
    if len(prefix) < 4 or not found:
        return get_job(prefix)
    if len(found) > 1:
        raise SettingsError(f"{len(found)} jobs have an id that begins with '{prefix}'; give more of it.")
    return get_job(found[0])


def queue_position(job_id: str) -> int:
    """Return a waiting job's place in the queue, 1 for the next one; 0 if it does not wait."""
    waiting = job_store.queued_ids()
    return waiting.index(job_id) + 1 if job_id in waiting else 0


def cancel_job(job_id: str) -> Job:
    """Stop a job's worker and all its children within two seconds; what it had finished stays.

    A job that is over stays what it is, but for children that its worker left behind. A job on another
    machine is asked to stop and may take some seconds.
    """
    row = _row(job_id)
    if row.state == "queued":
        _withdraw(row)
        row = _row(job_id)
    if row.state == "running":
        # An empty file needs no room on the disk.
        (row.folder / job_files.CANCEL_FILE).touch()
    if row.state == "running" and not is_here(row):
        return get_job(job_id)
    processes.stop_job_processes(row.id, pid=row.pid, began=row.began)
    return get_job(job_id)


def resume_job(job_id: str) -> Job:
    """Queue a job again that did not finish: it runs in the same folder and goes on from what it had kept.

    Its log goes on; its progress starts anew.
    """
    job = get_job(job_id)
    if not job.can_resume:
        raise SettingsError(f"Job {job_id} is {job.state}; only a job that did not finish can be resumed.")
    processes.stop_job_processes(job_id)

    def queued(row: JobRow) -> JobRow:
        job_files.forget_attempt(row.folder)
        waiting = replace(row, state="queued", queued_at=time.time(), ended="", exit_code=None, reason="")
        return replace(waiting, pid=None, began=None, claim="")

    job_store.change_row(job_id, _RESUMABLE, queued)
    return get_job(job_id)


def remove_job(job_id: str) -> None:
    """Delete a job that is over, with its log and results."""
    job = get_job(job_id)
    if not job.is_over:
        raise SettingsError(f"Job {job_id} is {job.state}; cancel it before you remove it.")
    processes.stop_job_processes(job_id)
    # On a full disk the removal is what makes room; a row without a folder goes by itself later.
    with suppress(job_store.StoreError):
        job_store.change_row(job_id, ENDED, lambda row: None)
    job_files.remove_folder(job.folder)


def wait_for_job(job_id: str, *, timeout: float | None = None, interval: float = 0.1) -> Job:
    """Return the job when it is over, or as it stands after ``timeout`` seconds."""
    ends = None if timeout is None else time.monotonic() + timeout
    while not (job := get_job(job_id)).is_over and (ends is None or time.monotonic() < ends):
        time.sleep(interval)
    return job


def _row(job_id: str) -> JobRow:
    get_job(job_id)
    row = job_store.read_row(job_id)
    assert row is not None
    return settle(row)


def _withdraw(row: JobRow) -> None:
    def cancelled(row: JobRow) -> JobRow:
        (row.folder / job_files.CANCEL_FILE).touch()
        return replace(row, state="cancelled", ended=timestamp())

    job_store.change_row(row.id, ["queued"], cancelled)


def _job(row: JobRow) -> Job:
    row = settle(row)
    report = job_files.read_record(row.folder / job_files.PROGRESS_FILE) or {}
    ending = job_files.read_record(row.folder / job_files.EXIT_FILE) or {}
    names = ("stage", "done", "total", "elapsed", "values")
    more = {name: report[name] for name in ("skipped", "pace") if name in report}
    progress = Progress(*(report[name] for name in names), **more) if set(names) <= set(report) else None
    return Job(
        id=row.id,
        kind=row.kind,
        title=row.title,
        arguments=row.arguments,
        folder=row.folder,
        created=row.created,
        state=row.state,
        reason=row.reason,
        ended=row.ended,
        exit_code=row.exit_code,
        progress=progress,
        started=row.started,
        attempts=row.attempts,
        speed=report.get("speed"),
        input_error=row.state == "failed" and ending.get("error") in INPUT_ERRORS,
    )


def _no_folder(error: OSError) -> str:
    full = error.errno == errno.ENOSPC
    what = "there is no room left on the disk; make room" if full else f"{error.strerror or error}; mend that"
    return f"The job cannot be kept in {os.fspath(workspace.jobs_dir())}: {what}, then start it again."
