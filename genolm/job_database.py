"""The SQLite file of the jobs: made when it is missing, opened for each action, put aside when damaged."""

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from genolm import workspace
from genolm.errors import SettingsError

DATABASE, LOCK_FILE = "jobs.sqlite", "jobs.lock"
STORE_VERSION = 1
BUSY_SECONDS = 15.0
_DAMAGED = ".damaged"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    id TEXT PRIMARY KEY, kind TEXT NOT NULL, title TEXT NOT NULL, arguments TEXT NOT NULL,
    environment TEXT NOT NULL, created TEXT NOT NULL, queued_at REAL NOT NULL, created_at REAL NOT NULL,
    state TEXT NOT NULL, attempts INTEGER NOT NULL, started TEXT NOT NULL, ended TEXT NOT NULL,
    exit_code INTEGER, reason TEXT NOT NULL, machine TEXT NOT NULL, pid INTEGER, began TEXT,
    claim TEXT NOT NULL
)
"""
T = TypeVar("T")
Action = Callable[[sqlite3.Connection], T]
_checked: set[tuple[int, int]] = set()


class StoreError(SettingsError):
    """The database cannot be used just now: no room, no right to write, or locked for long."""


class _Damaged(sqlite3.DatabaseError):
    pass


def run(action: Action[T], *, fill: Action[None]) -> T:
    """Return what an action on the database gives; a damaged database is first made anew.

    Parameters
    ----------
    action : function of a connection
        Run a second time if the database turns out to be damaged.
    fill : function of a connection
        Puts the rows into a database that is new.

    Raises
    ------
    StoreError
        If the database cannot be used.
    """
    path = workspace.jobs_dir() / DATABASE
    try:
        return _attempt(path, action, fill)
    except sqlite3.Error as error:
        if not _is_damage(error):
            raise StoreError(_sentence(path, error)) from error
    _put_aside(path)
    try:
        return _attempt(path, action, fill)
    except sqlite3.Error as error:
        raise StoreError(_sentence(path, error)) from error


@contextmanager
def in_memory() -> Iterator[sqlite3.Connection]:
    """Open an empty database that is gone afterwards."""
    with closing(_open(":memory:")) as db:
        db.execute(_SCHEMA)
        yield db


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """Keep every other writer out for the block; an error takes back what it did."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            db.execute("ROLLBACK")
        raise


def damage() -> str:
    """Return one sentence on a database that was damaged and made anew, "" if there was none."""
    found = sorted(workspace.jobs_dir().glob(f"{DATABASE}{_DAMAGED}-*"))
    if not found:
        return ""
    return (
        "The list of jobs was damaged. It was made anew from the jobs' folders, so their logs and results "
        f"are all there. The damaged file is kept as {found[-1]}."
    )


def forget_damage() -> None:
    """Delete the damaged files that were put aside."""
    for path in workspace.jobs_dir().glob(f"{DATABASE}{_DAMAGED}-*"):
        path.unlink(missing_ok=True)


def _attempt(path: Path, action: Action[T], fill: Action[None]) -> T:
    with closing(_open(path)) as db:
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version > STORE_VERSION:
            raise SettingsError(f"{path} was written by a newer genolm; update genolm to see its jobs.")
        if version == 0:
            _create(db, path, fill)
        _check_once(db, path)
        return action(db)


def _open(path: str | Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)


def _create(db: sqlite3.Connection, path: Path, fill: Action[None]) -> None:
    with workspace.waiting_lock(path.with_name(LOCK_FILE)):
        path.chmod(0o600)
        db.execute("PRAGMA journal_mode = WAL")
        with transaction(db):
            db.execute(_SCHEMA)
            db.execute(f"PRAGMA user_version = {STORE_VERSION}")
        fill(db)


def _check_once(db: sqlite3.Connection, path: Path) -> None:
    stat = path.stat()
    if (stat.st_dev, stat.st_ino) not in _checked:
        if db.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
            raise _Damaged("quick_check")
        _checked.add((stat.st_dev, stat.st_ino))


def _is_damage(error: sqlite3.Error) -> bool:
    lost_table = isinstance(error, sqlite3.OperationalError) and str(error).startswith("no such")
    damage = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return isinstance(error, _Damaged) or lost_table or code in damage


def _put_aside(path: Path) -> None:
    with workspace.waiting_lock(path.with_name(LOCK_FILE)):
        _checked.clear()
        if not path.exists():
            return
        try:
            with closing(_open(path)) as db:
                db.execute("SELECT id FROM jobs LIMIT 1")
                _check_once(db, path)
            # Another process has made it anew in the meantime.
            return
        except sqlite3.Error as error:
            if not _is_damage(error):
                return
        stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
        for ending in ("-shm", "-wal", ""):
            with suppress(FileNotFoundError):
                os.replace(f"{path}{ending}", f"{path}{_DAMAGED}-{stamp}{ending}")


def _sentence(path: Path, error: sqlite3.Error) -> str:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return f"There is no room left on the disk of {path.parent}; make room, then try again."
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return f"{path} has been in use by another process for {BUSY_SECONDS:.0f} s; try again."
    return f"{path} cannot be used ({error}); see whether its disk has room and can be written."
