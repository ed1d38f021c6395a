"""The worker's reports: what is kept of them, how fast it is, and what a reader makes of broken files."""

import json

import pytest

from genolm import job_files, worker
from genolm.progress import Progress
from genolm.worker import HistoryFile, ProgressFile


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is set."""

    class Clock:
        now = 100.0

        def monotonic(self):
            return self.now

        def time(self):
            return 1_700_000_000.0 + self.now

    made = Clock()
    monkeypatch.setattr(worker, "time", made)
    return made


def step(done, total=10_000, **values):
    return Progress("training", done, total, float(done), values)


def test_history_has_a_report_a_second_and_every_new_validation_value(tmp_path, clock):
    history = HistoryFile(tmp_path / "progress.jsonl")
    for done in range(100):
        clock.now += 0.125
        valid = {"valid_loss": 0.5 if done < 55 else 0.4}
        history.add(step(done, loss=1.0, **valid))
    history.add(step(10_000, loss=1.0, **valid))
    history.add(Progress("starting", 0, 0))
    lines = job_files.read_history(tmp_path)
    assert [line["done"] for line in lines] == [0, 8, 16, 24, 32, 40, 48, 55, 63, 71, 79, 87, 95, 10_000]
    assert lines[7] == {
        "run": lines[0]["run"],
        "stage": "training",
        "done": 55,
        "total": 10_000,
        "elapsed": 55.0,
        "values": {"loss": 1.0, "valid_loss": 0.4},
    }


def test_a_long_history_is_thinned_and_keeps_both_ends(tmp_path, clock):
    history = HistoryFile(tmp_path / "progress.jsonl")
    for done in range(9_000):
        clock.now += 1.0
        history.add(step(done, loss=1.0))
    lines = [line["done"] for line in job_files.read_history(tmp_path)]
    assert 2_000 < len(lines) <= worker.HISTORY_LINES
    assert lines[0] < 10 and lines[-1] > 8_990
    assert lines == sorted(set(lines))
    assert max(after - before for before, after in zip(lines, lines[1:], strict=False)) <= 8


def test_a_resumed_job_shows_no_step_twice(tmp_path, clock):
    first = HistoryFile(tmp_path / "progress.jsonl")
    for done in (10, 20, 30, 40):
        clock.now += 1
        first.add(step(done, loss=4.0))
    with (tmp_path / "progress.jsonl").open("a") as handle:
        handle.write('{"run": 1, "sta')
    clock.now += 5
    second = HistoryFile(tmp_path / "progress.jsonl")
    second.add(Progress("reading the table", 0, 10_000))
    clock.now += 1
    second.add(step(25, loss=3.0))
    lines = job_files.read_history(tmp_path)
    found = [(line["done"], line["values"].get("loss")) for line in lines]
    assert found == [(10, 4.0), (20, 4.0), (0, None), (25, 3.0)]


def test_the_speed_is_that_of_this_attempt_and_of_late(tmp_path, clock):
    report = ProgressFile(tmp_path / "progress.json")

    def speed():
        return json.loads((tmp_path / "progress.json").read_text())["speed"]

    # It goes on at 5,000 of 10,000: what was done before took no time now.
    report(step(5_000))
    assert speed() is None
    for done in range(5_010, 5_200, 10):
        clock.now += 1.0
        report(step(done))
    assert speed() == pytest.approx(10.0)
    for done in range(5_200, 6_000, 2):
        clock.now += 1.0
        report(step(done))
    assert speed() == pytest.approx(2.0)


def test_the_speed_leaves_out_what_was_finished_before_and_the_time_to_make_ready(tmp_path, clock):
    report = ProgressFile(tmp_path / "progress.json")
    report(Progress("scanning", 0, 10_000))
    clock.now += 60.0
    report(Progress("scanning", 4_000, 10_000, skipped=4_000))
    for done in range(9_010, 9_200, 10):
        clock.now += 1.0
        report(Progress("scanning", done, 10_000, skipped=9_000))
    assert json.loads((tmp_path / "progress.json").read_text())["speed"] == pytest.approx(10.0)


def test_a_report_is_written_when_it_is_time_and_at_the_end(tmp_path, clock):
    path = tmp_path / "progress.json"
    with ProgressFile(path) as report:
        assert json.loads(path.read_text())["stage"] == "starting"
        report(step(1))
        report(step(2))
        assert json.loads(path.read_text())["done"] == 1
        clock.now += 0.5
        report(step(3))
        assert json.loads(path.read_text())["done"] == 3
        report(step(4))
    assert json.loads(path.read_text())["done"] == 4


def test_work_goes_on_where_reports_cannot_be_written(tmp_path):
    with ProgressFile(tmp_path / "gone" / "progress.json") as report:
        report(step(1))


def test_how_it_ended_fits_into_its_room_in_any_language(tmp_path):
    job_files.reserve_exit(tmp_path)
    assert job_files.read_record(tmp_path / "exit.json") == {"code": None}
    for reason in ("é" * 3_000, "short"):
        job_files.write_exit(tmp_path, code=1, ended="now", reason=reason)
        found = job_files.read_record(tmp_path / "exit.json")
        assert found["reason"] and reason.startswith(found["reason"])
        assert (tmp_path / "exit.json").stat().st_size == job_files.EXIT_BYTES
    assert found == {"code": 1, "ended": "now", "reason": "short"}


def test_the_last_words_are_of_the_last_attempt(tmp_path):
    log = tmp_path / "log.txt"
    assert job_files.last_words(tmp_path) == ""
    log.write_text("Error: too short.\nmore\n--- attempt 2, 2026 ---\nfine so far\n\n")
    assert job_files.last_words(tmp_path) == "fine so far"
    log.write_text("Error: too short.\nAborted!\n")
    assert job_files.last_words(tmp_path) == "too short."
