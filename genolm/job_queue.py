"""What runs and what is next: finds how jobs ended, and starts those that wait when a slot is free.

There is no master: every look at the jobs moves the queue on, so does a worker that ends, and a server does
it by and by in the background.
"""

import os
import platform
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from genolm import compute, job_files, job_store, processes, workspace
from genolm.errors import GenolmError, SettingsError
from genolm.job_store import JobRow
from genolm.record import timestamp

SLOTS_VARIABLE, THREADS_VARIABLE = "GENOLM_JOB_SLOTS", "GENOLM_THREADS"
FOLDER_VARIABLE, PROGRESS_VARIABLE = "GENOLM_JOB_FOLDER", "GENOLM_PROGRESS_FILE"
CLAIM_VARIABLE, ADDED_VARIABLE = "GENOLM_JOB_CLAIM", "GENOLM_JOB_VARIABLES"
# -P: no file of the working folder hides a module; PYTHONPATH leads to genolm, also in a checkout.
WORKER_COMMAND = (sys.executable, "-P", "-m", "genolm")
STALE_SECONDS = 60.0
MOVE_SECONDS = 5.0
ASKED_TO_STOP = 143
_LOST = "The worker is gone without a word: it was killed, ran out of memory or the machine restarted."
_ENDED_FROM_OUTSIDE = "The worker was told to end, but not by you: the machine was shut down, it may be."
_RESUME = " Resume it: it goes on from what it had kept."


def slots() -> int:
    """Return how many jobs run at once in this workspace: GENOLM_JOB_SLOTS, else 1."""
    text = os.environ.get(SLOTS_VARIABLE, "1")
    if not (text.isascii() and text.isdecimal()) or int(text) < 1:
        raise SettingsError(f"{SLOTS_VARIABLE} is '{text}'; it must be a whole number from 1 up.")
    return int(text)


def worker_threads() -> int:
    """Return how many threads a job may use: GENOLM_THREADS, else the cores shared among the slots."""
    if THREADS_VARIABLE in os.environ:
        return compute.thread_budget()
    return max(1, compute.core_count() // slots())


def kept_variables() -> dict[str, str]:
    """Return the settings of this process that a job which it asks for is to run with."""
    left_out = {SLOTS_VARIABLE, workspace.HOME_VARIABLE, PROGRESS_VARIABLE}
    left_out |= {processes.MARK_VARIABLE, processes.NICE_VARIABLE}
    prefixes = (FOLDER_VARIABLE, CLAIM_VARIABLE, ADDED_VARIABLE)
    return {
        key: value
        for key, value in os.environ.items()
        if key.startswith("GENOLM_") and key not in left_out and not key.startswith(prefixes)
    }


def settle(row: JobRow) -> JobRow:
    """Return a row with the state that its job is in now, and note an end that nobody had noted."""
    if row.state != "running":
        return row
    # The process is looked at before exit.json: a worker that ends in between has then left it.
    alive = is_alive(row)
    new = judge(row, alive)
    if new.state != "running":
        if not alive:
            processes.stop_job_processes(row.id)
        job_store.end_row(new)
    return new


def is_alive(row: JobRow) -> bool:
    """Return whether the worker of a row lives: by its process, or by its heartbeat if it is elsewhere."""
    if is_here(row):
        return processes.is_alive(row.pid, row.began)
    return time.time() - job_files.heartbeat(row.folder) < STALE_SECONDS


def is_here(row: JobRow) -> bool:
    """Return whether the worker's number is one of this machine's processes."""
    return row.machine in (processes.machine(), platform.node())


def judge(row: JobRow, alive: bool, ending: Mapping[str, Any] | None = None) -> JobRow:
    """Return a running row with the state that follows from its folder and from whether its worker lives."""
    said = ending or job_files.read_record(row.folder / job_files.EXIT_FILE) or {}
    code, reason = said.get("code"), said.get("reason") or ""
    if code is None and alive:
        return row
    row = replace(row, exit_code=code, ended=said.get("ended") or _last_beat(row), reason="")
    if code == 0:
        return replace(row, state="done")
    if (row.folder / job_files.CANCEL_FILE).exists():
        return replace(row, state="cancelled")
    if code == ASKED_TO_STOP:
        return replace(row, state="lost", reason=_ENDED_FROM_OUTSIDE + _RESUME)
    if code is not None:
        reason = reason or job_files.last_words(row.folder) or _silent(code)
        return replace(row, state="failed", reason=reason)
    began = (row.folder / job_files.EXIT_FILE).exists()
    words = "" if began or not row.claim else job_files.last_words(row.folder)
    if words:
        return replace(row, state="failed", reason=f"It could not start: {words}")
    return replace(row, state="lost", reason=_LOST + _RESUME)


def advance() -> list[str]:
    """Note what has ended and start what waits, as far as slots are free; return the ids of those."""
    started = []
    with suppress(job_store.StoreError):
        for row in job_store.running_rows():
            settle(row)
        while row := job_store.claim_next(slots(), _launch, _undo):
            started.append(row.id)
    return started


def keep_queue_moving(*, interval: float = MOVE_SECONDS) -> None:
    """Let this process move the queue on in the background for as long as it lives, for a server."""
    with _mover_lock:
        if not any(thread.name == _MOVER for thread in threading.enumerate()):
            threading.Thread(target=_move, args=[interval], name=_MOVER, daemon=True).start()


_MOVER = "genolm-queue"
_mover_lock = threading.Lock()


def _move(interval: float) -> None:
    home = workspace.home()
    while workspace.home() == home:
        # What is wrong is said to whoever asks for the jobs; the queue waits until it is mended.
        with suppress(GenolmError, OSError):
            advance()
        time.sleep(interval)


def _launch(row: JobRow) -> JobRow:
    claim = secrets.token_hex(16)
    row = replace(
        row,
        state="running",
        attempts=row.attempts + 1,
        started=timestamp(),
        ended="",
        exit_code=None,
        reason="",
        machine=processes.machine(),
        claim=claim,
    )
    try:
        process = _spawn(row)
    except OSError as error:
        reason = f"The worker could not be started: {error.strerror or error}."
        return replace(row, state="failed", ended=timestamp(), reason=reason)
    row = replace(row, pid=process.pid, began=processes.process_start(process.pid))
    # The starter may live for weeks: without a wait every finished worker stays as a zombie.
    threading.Thread(target=process.wait, daemon=True).start()
    names = ("attempts", "started", "machine", "pid", "began", "claim")
    with suppress(OSError):
        job_files.write_record(row.folder / job_files.WORKER_FILE, {key: getattr(row, key) for key in names})
    return row


def _undo(row: JobRow) -> None:
    processes.stop_job_processes(row.id, pid=row.pid, began=row.began)
    (row.folder / job_files.WORKER_FILE).unlink(missing_ok=True)


def _spawn(row: JobRow) -> subprocess.Popen[bytes]:
    with (row.folder / job_files.LOG_FILE).open("ab") as log:
        if row.attempts > 1:
            with suppress(OSError):
                log.write(f"\n{job_files.ATTEMPT_MARK}{row.attempts}, {row.started} ---\n".encode())
                log.flush()
        return subprocess.Popen(
            [*WORKER_COMMAND, *row.arguments],
            cwd=row.folder / job_files.RESULT_FOLDER,
            env=_environment(row),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _environment(row: JobRow) -> dict[str, str]:
    """Return the worker's variables: nothing may come from the job whose worker starts this one."""
    others = set(os.environ.get(ADDED_VARIABLE, "").split(","))
    kept = {
        key: value
        for key, value in os.environ.items()
        if (not key.startswith("GENOLM_") or key == SLOTS_VARIABLE) and key not in others
    }
    parent = str(Path(__file__).resolve().parents[1])
    paths = dict.fromkeys([parent, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))])
    own = {
        "PYTHONPATH": os.pathsep.join(paths),
        workspace.HOME_VARIABLE: str(workspace.home()),
        THREADS_VARIABLE: str(max(1, compute.core_count() // slots())),
        FOLDER_VARIABLE: str(row.folder),
        PROGRESS_VARIABLE: str(row.folder / job_files.PROGRESS_FILE),
        processes.MARK_VARIABLE: row.id,
        processes.NICE_VARIABLE: str(processes.first_niceness()),
        CLAIM_VARIABLE: row.claim,
        ADDED_VARIABLE: ",".join(key for key in row.environment if not key.startswith("GENOLM_")),
    }
    return {**kept, **own, **row.environment}


def _last_beat(row: JobRow) -> str:
    beat = job_files.heartbeat(row.folder)
    return datetime.fromtimestamp(beat, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if beat else timestamp()


def _silent(code: int) -> str:
    return f"It ended with code {code} and gave no reason; its log is empty."
