"""The rows: changed by one process at a time, and only from the state that they are in."""

import dataclasses
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from genolm import job_database, job_store
from genolm.errors import SettingsError
from genolm.job_store import JobRow


@pytest.fixture
def add(private_workspace):
    """A function that adds a row with its folder."""

    def added(letter, **changes):
        now = time.time()
        row = JobRow(letter * 32, "test", letter, ("x",), {"A": "1"}, "2026", now, now, **changes)
        # The database is there before the folder, which else would be taken in as one of unknown state.
        job_store.read_rows()
        row.folder.mkdir()
        job_store.add_row(row)
        return row

    return added


def launched(row):
    return dataclasses.replace(row, state="running", attempts=row.attempts + 1, claim="word", pid=1)


def refuse(row):
    pytest.fail("nothing was to be undone")


def test_a_row_comes_back_as_it_was_and_the_newest_is_first(add):
    first, second = add("a"), add("b", reason="It's \"so\"", exit_code=3, state="failed")
    assert job_store.read_row(first.id) == first
    assert job_store.read_rows() == [second, first]
    assert job_store.read_row("c" * 32) is None
    with sqlite3.connect(first.folder.parent / "jobs.sqlite") as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    db.close()


def test_the_first_in_the_queue_gets_the_slot(add):
    first, second = add("b"), add("a")
    assert job_store.queued_ids() == [first.id, second.id]
    assert job_store.claim_next(1, launched, refuse).id == first.id
    assert job_store.claim_next(1, launched, refuse) is None
    assert job_store.claim_next(2, launched, refuse).id == second.id
    assert job_store.claim_next(9, launched, refuse) is None
    assert job_store.has_claim(first.id, "word") and not job_store.has_claim(first.id, "")


def test_of_two_who_look_at_once_one_starts_the_job(add):
    add("a")
    add("b")
    launches = []

    def slow(row):
        launches.append(row.id)
        time.sleep(0.3)
        return launched(row)

    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda _: job_store.claim_next(1, slow, refuse), range(3)))
    assert launches == ["a" * 32]
    assert [row.id for row in found if row] == launches


def test_an_end_is_written_once_and_only_for_its_attempt(add):
    row = launched(add("a"))
    assert job_store.claim_next(1, lambda _: row, refuse) == row
    job_store.end_row(dataclasses.replace(row, state="lost", claim="of an earlier attempt"))
    assert job_store.read_row(row.id).state == "running"
    job_store.end_row(dataclasses.replace(row, state="done"))
    job_store.end_row(dataclasses.replace(row, state="lost"))
    assert job_store.read_row(row.id).state == "done"


def test_a_start_that_cannot_be_written_is_undone(add):
    row = add("a")
    undone = []
    with pytest.raises(job_store.StoreError):
        job_store.claim_next(1, lambda row: dataclasses.replace(row, state=None), undone.append)
    assert [item.id for item in undone] == [row.id]
    assert job_store.read_row(row.id) == row


def test_a_change_asks_for_the_state(add):
    row = add("a")
    assert not job_store.change_row(row.id, ["running"], lambda row: None)
    with pytest.raises(ZeroDivisionError):
        job_store.change_row(row.id, ["queued"], lambda row: 1 / 0)
    assert job_store.read_row(row.id) == row
    assert job_store.change_row(row.id, ["queued"], lambda row: None)
    assert not job_store.change_row(row.id, ["queued"], lambda row: None)


def test_a_database_in_use_is_said_and_the_folders_answer(add, monkeypatch):
    row = add("a")
    monkeypatch.setattr(job_database, "BUSY_SECONDS", 0.05)
    with job_database.closing(job_database._open(row.folder.parent / "jobs.sqlite")) as db:
        db.execute("BEGIN EXCLUSIVE")
        with pytest.raises(SettingsError, match="in use by another process"):
            job_store.change_row(row.id, ["queued"], lambda row: None)
        assert job_store.read_rows()[0].id == row.id
