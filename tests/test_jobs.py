"""Jobs: real worker processes, and a state that is true whatever happens to them."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from genolm import jobs
from genolm.errors import SettingsError
from genolm.progress import Progress

ROOT = Path(__file__).parents[1]
WORKER_PROGRAM = """
import os, sys
from genolm.jobs import worker
with worker(os.environ["GENOLM_JOB_FOLDER"]):
    exec(sys.argv[1])
"""
SLEEP = "import time; print('ready', flush=True); time.sleep(60)"


@pytest.fixture
def start(monkeypatch):
    """A function that starts a job whose worker runs some Python; what still runs at the end is stopped."""
    monkeypatch.setattr(jobs, "WORKER_COMMAND", (sys.executable, "-P", "-c", WORKER_PROGRAM))
    yield lambda program, **options: jobs.start_job("test", [program], **options)
    for job in jobs.list_jobs():
        jobs.cancel_job(job.id)


def until(condition, seconds=60.0):
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, "nothing happened in time"
        time.sleep(0.02)


def wait_ready(job):
    until(lambda: "ready" in job.log())


def is_there(pid):
    return jobs._process_start(pid) is not None


def test_a_command_runs_to_its_end():
    job = jobs.start_job("models", ["models", "list"], title="My list")
    assert job.state in ("running", "done")
    job = jobs.wait_for_job(job.id, timeout=60)
    assert (job.state, job.exit_code, job.reason) == ("done", 0, "")
    assert (job.kind, job.title, job.arguments) == ("models", "My list", ("models", "list"))
    assert job.log().startswith("NAME")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", job.ended)
    assert job.is_over


def test_a_users_error_is_the_reason():
    job = jobs.start_job("models", ["models", "show", "nothing"])
    job = jobs.wait_for_job(job.id, timeout=60)
    assert (job.state, job.exit_code) == ("failed", 2)
    assert job.reason.startswith("There is no model 'nothing'; there are: ")


def test_a_crash_is_a_failure_with_its_last_line(start):
    job = jobs.wait_for_job(start("raise ValueError('no such luck')").id, timeout=60)
    assert (job.state, job.exit_code, job.reason) == ("failed", 1, "ValueError: no such luck")
    assert "Traceback" in job.log()


def test_a_killed_worker_is_lost(start):
    job = start(SLEEP)
    wait_ready(job)
    assert jobs.get_job(job.id).state == "running"
    os.kill(json.loads((job.folder / "job.json").read_text())["pid"], signal.SIGKILL)
    job = jobs.wait_for_job(job.id, timeout=60)
    assert job.state == "lost"
    assert "killed, ran out of memory or the machine restarted" in job.reason


def test_cancel_lets_the_worker_put_things_away(start):
    job = start(f"try:\n    {SLEEP}\nfinally:\n    print('put away', flush=True)")
    wait_ready(job)
    began = time.monotonic()
    job = jobs.cancel_job(job.id)
    assert time.monotonic() - began < 2
    assert (job.state, job.exit_code, job.reason) == ("cancelled", 143, "")
    assert "put away" in job.log()
    assert jobs.cancel_job(job.id).state == "cancelled"


def test_cancel_ends_a_stubborn_worker_and_its_children_within_two_seconds(start):
    ignore = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)"
    child = f"{ignore}; print('ready', flush=True); time.sleep(60)"
    job = start(f"{ignore}; import subprocess, sys; subprocess.call([sys.executable, '-c', {child!r}])")
    wait_ready(job)
    leader = json.loads((job.folder / "job.json").read_text())["pid"]
    group = [int(pid) for pid in os.listdir("/proc") if pid.isdigit() and _group_of(pid) == leader]
    assert len(group) == 2
    began = time.monotonic()
    assert jobs.cancel_job(job.id).state == "cancelled"
    assert time.monotonic() - began < 2
    until(lambda: not any(is_there(pid) for pid in group), seconds=1)


def _group_of(pid):
    try:
        return os.getpgid(int(pid))
    except ProcessLookupError:
        return None


def test_a_job_outlives_its_starter(private_workspace):
    program = "from genolm import jobs; print(jobs.start_job('models', ['models', 'list']).id)"
    starter = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert jobs.wait_for_job(starter.stdout.strip(), timeout=60).state == "done"


def test_a_process_number_used_again_is_not_the_worker(start):
    job = jobs.wait_for_job(start("pass").id, timeout=60)
    record = json.loads((job.folder / "job.json").read_text())
    (job.folder / "exit.json").unlink()
    (job.folder / "job.json").write_text(json.dumps({**record, "pid": os.getpid()}))
    assert jobs.get_job(job.id).state == "lost"


def test_on_another_machine_the_heartbeat_decides(start):
    job = jobs.wait_for_job(start("pass").id, timeout=60)
    (job.folder / "exit.json").unlink()
    record = json.loads((job.folder / "job.json").read_text())
    (job.folder / "job.json").write_text(json.dumps({**record, "host": "elsewhere"}))
    report = {"stage": "x", "done": 1, "total": 2, "elapsed": 1.0, "values": {}}
    for age, state in ((1, "running"), (100, "lost")):
        (job.folder / "progress.json").write_text(json.dumps({**report, "heartbeat": time.time() - age}))
        assert jobs.get_job(job.id).state == state
    (job.folder / "progress.json").write_text(json.dumps({**report, "heartbeat": time.time()}))
    with pytest.raises(SettingsError, match="runs on elsewhere; cancel it there"):
        jobs.cancel_job(job.id)
    (job.folder / "progress.json").unlink()
    (job.folder / "exit.json").write_text('{"code": 0, "ended": ""}')


def test_a_record_that_cannot_be_read_is_a_lost_job(start):
    job = jobs.wait_for_job(start("pass").id, timeout=60)
    (job.folder / "job.json").write_text("{")
    (job.folder / "exit.json").unlink()
    assert [item.state for item in jobs.list_jobs()] == ["lost"]


def test_the_worker_works_in_its_result_folder_with_its_environment(start):
    program = "import os; open('out.txt', 'w').write(os.environ['GENOLM_THREADS'])"
    job = jobs.wait_for_job(start(program, environment={"GENOLM_THREADS": "3"}).id, timeout=60)
    assert job.state == "done"
    assert (job.result / "out.txt").read_text() == "3"


def test_progress_comes_through_with_a_heartbeat(start):
    program = """
import os, time
from genolm import jobs
from genolm.progress import Progress
jobs.HEARTBEAT_SECONDS = 0.05
with jobs.ProgressFile(os.environ["GENOLM_PROGRESS_FILE"]) as report:
    report(Progress("half", 5, 10, 2.0, {"loss": 0.25}))
    print("ready", flush=True)
    time.sleep(60)
"""
    job = start(program)
    wait_ready(job)
    assert jobs.get_job(job.id).progress == Progress("half", 5, 10, 2.0, {"loss": 0.25})
    assert jobs.get_job(job.id).as_json()["progress"]["eta"] == 2.0

    def heartbeat():
        return json.loads((job.folder / "progress.json").read_text())["heartbeat"]

    first = heartbeat()
    until(lambda: heartbeat() > first)


def test_list_is_newest_first_and_by_kind(start):
    first, second = start("pass"), start("pass")
    other = jobs.start_job("other", ["pass"])
    assert [job.id for job in jobs.list_jobs()] == [other.id, second.id, first.id]
    assert [job.id for job in jobs.list_jobs(kind="test")] == [second.id, first.id]
    assert jobs.find_job(first.id[:10]).id == first.id
    for job in (first, second, other):
        jobs.wait_for_job(job.id, timeout=60)


def test_ids_cannot_be_guessed_or_lead_elsewhere(start):
    job = jobs.wait_for_job(start("pass").id, timeout=60)
    assert re.fullmatch(r"[0-9a-f]{32}", job.id)
    assert job.folder.stat().st_mode & 0o077 == 0
    for wrong in ("", "..", f"../jobs/{job.id}", job.id[:10], "0" * 32):
        with pytest.raises(SettingsError, match="There is no job"):
            jobs.get_job(wrong)


def test_remove_takes_only_what_is_over(start):
    job = start(SLEEP)
    wait_ready(job)
    with pytest.raises(SettingsError, match="is running; cancel it before"):
        jobs.remove_job(job.id)
    jobs.cancel_job(job.id)
    jobs.remove_job(job.id)
    assert jobs.list_jobs() == []


def test_a_finished_worker_leaves_no_zombie(start):
    job = jobs.wait_for_job(start("pass").id, timeout=60)
    pid = json.loads((job.folder / "job.json").read_text())["pid"]
    until(lambda: not Path(f"/proc/{pid}").exists())
