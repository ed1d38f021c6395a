"""The rows of jobs: who waits, who runs, how each ended. One database for all processes of a workspace.

The rows decide what is started, so that no two processes start one job. All else is in the jobs' folders (see
:mod:`genolm.job_files`): without the database, or when it is damaged, the rows are made anew from them.
"""

import json
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

from genolm import job_database, job_files, workspace
from genolm.job_database import Action, StoreError, T, transaction

JobState = Literal["queued", "running", "done", "failed", "cancelled", "lost"]
ENDED: tuple[JobState, ...] = ("done", "failed", "cancelled", "lost")
_ID_LENGTH = 32
_CODED = ("arguments", "environment")


@dataclass(frozen=True)
class JobRow:
    """One job as the database has it; ``state`` is "running" until someone finds that it is over.

    Attributes
    ----------
    queued_at, created_at : float
        Seconds since 1970; who was queued first is started first.
    machine, pid, began
        The worker's process, see :mod:`genolm.processes`.
    claim : str
        A word that only the worker of this attempt knows.
    """

    id: str
    kind: str
    title: str
    arguments: tuple[str, ...]
    environment: dict[str, str]
    created: str
    queued_at: float
    created_at: float
    state: JobState = "queued"
    attempts: int = 0
    started: str = ""
    ended: str = ""
    exit_code: int | None = None
    reason: str = ""
    machine: str = ""
    pid: int | None = None
    began: str | None = None
    claim: str = ""

    @property
    def folder(self) -> Path:
        """Return the folder of the job."""
        return workspace.jobs_dir() / self.id


_COLUMNS = tuple(item.name for item in fields(JobRow))


def is_id(name: str) -> bool:
    """Return whether a word has the form of a job's id."""
    return len(name) == _ID_LENGTH and set(name) <= set("0123456789abcdef")


def add_row(row: JobRow) -> None:
    """Add the row of a new job."""
    _run(lambda db: _insert(db, [row]))


def read_row(job_id: str) -> JobRow | None:
    """Return the row of a job, None if there is none."""
    if not is_id(job_id) or not (workspace.jobs_dir() / job_id).is_dir():
        return None
    found = _select("id = ?", job_id) or [row for row in read_rows() if row.id == job_id]
    return found[0] if found else None


def read_rows() -> list[JobRow]:
    """Return all rows, newest first; a folder without a row gets one, a row without a folder goes."""
    with suppress(StoreError):
        _run(_adopt)
    return [row for row in _select("1") if row.folder.is_dir()]


def running_rows() -> list[JobRow]:
    """Return the rows of the jobs that run as far as the database knows."""
    return _select("state = 'running'")


def queued_ids() -> list[str]:
    """Return the ids of the jobs that wait, the next one first."""
    return [row.id for row in sorted(_select("state = 'queued'"), key=lambda row: row.queued_at)]


def end_row(row: JobRow) -> None:
    """Write how an attempt ended, unless someone else has written it or the job was queued again."""
    values = (row.state, row.ended, row.exit_code, row.reason, row.id, row.claim)
    sql = (
        "UPDATE jobs SET state = ?, ended = ?, exit_code = ?, reason = ? "
        "WHERE id = ? AND claim = ? AND state = 'running'"
    )
    # Where this fails, whoever looks next finds the same in the folder.
    with suppress(StoreError):
        _run(lambda db: db.execute(sql, values))


def change_row(job_id: str, states: Sequence[JobState], change: Callable[[JobRow], JobRow | None]) -> bool:
    """Change a row that is in one of some states, with nobody between; None deletes it.

    Returns
    -------
    bool
        Whether the row was there and in one of the states.
    """

    def action(db: sqlite3.Connection) -> bool:
        with transaction(db):
            found = [row for row in _rows(db, "id = ?", job_id) if row.state in states]
            if found and (new := change(found[0])) is not None:
                _update(db, new)
            elif found:
                db.execute("DELETE FROM jobs WHERE id = ?", [job_id])
        return bool(found)

    return _run(action)


def claim_next(
    slots: int, launch: Callable[[JobRow], JobRow], undo: Callable[[JobRow], None]
) -> JobRow | None:
    """Start the job that waits longest if a slot is free, with no other process between.

    Parameters
    ----------
    slots : int
        How many may run at once.
    launch : function
        Called while the database is held: starts the worker of a row and returns the row with its process.
    undo : function
        Called with that row if it then could not be written.

    Returns
    -------
    JobRow or None
        None if nothing waits or no slot is free.
    """

    def action(db: sqlite3.Connection) -> JobRow | None:
        row = None
        if not _is_free(db, slots):
            return None
        try:
            with transaction(db):
                if _is_free(db, slots):
                    row = launch(min(_rows(db, "state = 'queued'"), key=lambda item: item.queued_at))
                    _update(db, row)
        except sqlite3.Error:
            if row is not None:
                undo(row)
            raise
        return row

    return _run(action)


def has_claim(job_id: str, claim: str) -> bool:
    """Return whether a worker is the one that is to run the job; waits for a start that is under way."""

    def action(db: sqlite3.Connection) -> bool:
        with transaction(db):
            return any(row.claim == claim and row.state == "running" for row in _rows(db, "id = ?", job_id))

    try:
        return _run(action)
    except StoreError:
        record = job_files.read_record(workspace.jobs_dir() / job_id / job_files.WORKER_FILE)
        return (record or {}).get("claim") == claim


def _run(action: Action[T]) -> T:
    return job_database.run(action, fill=_adopt)


def _select(where: str, *values: Any) -> list[JobRow]:
    """Return rows; from the folders alone for as long as the database cannot be used."""
    try:
        return _run(lambda db: _rows(db, where, *values))
    except StoreError:
        with job_database.in_memory() as db:
            _insert(db, _folder_rows(set()))
            return _rows(db, where, *values)


def _rows(db: sqlite3.Connection, where: str, *values: Any) -> list[JobRow]:
    sql = f"SELECT {', '.join(_COLUMNS)} FROM jobs WHERE {where} ORDER BY created_at DESC, rowid DESC"
    found = [dict(zip(_COLUMNS, row, strict=True)) for row in db.execute(sql, values)]
    for item in found:
        item["arguments"] = tuple(json.loads(item["arguments"]))
        item["environment"] = json.loads(item["environment"])
    return [JobRow(**item) for item in found]


def _values(row: JobRow) -> list[Any]:
    return [json.dumps(getattr(row, name)) if name in _CODED else getattr(row, name) for name in _COLUMNS]


def _insert(db: sqlite3.Connection, rows: Sequence[JobRow]) -> None:
    sql = f"INSERT OR IGNORE INTO jobs ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"
    db.executemany(sql, [_values(row) for row in rows])


def _update(db: sqlite3.Connection, row: JobRow) -> None:
    sql = f"UPDATE jobs SET {', '.join(f'{name} = ?' for name in _COLUMNS)} WHERE id = ?"
    db.execute(sql, [*_values(row), row.id])


def _is_free(db: sqlite3.Connection, slots: int) -> bool:
    counts = dict(db.execute("SELECT state, count(*) FROM jobs GROUP BY state"))
    return bool(counts.get("queued")) and counts.get("running", 0) < slots


def _adopt(db: sqlite3.Connection) -> None:
    known = {row[0] for row in db.execute("SELECT id FROM jobs")}
    strangers = _folder_rows(known)
    gone = [item for item in known if not (workspace.jobs_dir() / item).is_dir()]
    if strangers or gone:
        with transaction(db):
            _insert(db, strangers)
            db.executemany("DELETE FROM jobs WHERE id = ?", [[item] for item in gone])


def _folder_rows(known: set[str]) -> list[JobRow]:
    names = {item.name for item in workspace.jobs_dir().iterdir() if is_id(item.name)} - known
    rows = [_folder_row(workspace.jobs_dir() / name) for name in names]
    return sorted(rows, key=lambda row: row.created_at)


def _folder_row(folder: Path) -> JobRow:
    """Return what a folder tells; one with a worker is "running" until someone looks for that worker."""
    record = job_files.read_record(folder / job_files.JOB_FILE) or {}
    worker = job_files.read_record(folder / job_files.WORKER_FILE) or {}
    created_at = float(record.get("created_at", 0.0))
    row = JobRow(
        id=folder.name,
        kind=str(record.get("kind", "unknown")),
        title=str(record.get("title", folder.name)),
        arguments=tuple(record.get("arguments", ())),
        environment=dict(record.get("environment", {})),
        created=str(record.get("created", "")),
        queued_at=created_at,
        created_at=created_at,
    )
    if not record:
        return replace(row, state="lost", reason=f"{folder / job_files.JOB_FILE} is damaged or gone.")
    if worker:
        names = ("attempts", "started", "machine", "pid", "began", "claim")
        return replace(row, state="running", **{key: worker[key] for key in names if key in worker})
    if record.get("format_version") == 1:
        old = {"pid": record.get("pid"), "began": record.get("pid_started"), "attempts": 1}
        return replace(row, state="running", machine=record.get("host", ""), started=row.created, **old)
    asked = (folder / job_files.CANCEL_FILE).exists()
    return replace(row, state="cancelled" if asked else "queued")
