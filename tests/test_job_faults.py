"""What goes wrong with jobs: killed workers, a full disk, a damaged database, several servers at once."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from genolm import job_database, job_files, job_store, jobs, processes
from genolm.errors import SettingsError

ROOT = Path(__file__).parents[1]
LAUNCHER = """
import os, sys, time
from genolm import job_queue
job_queue.WORKER_COMMAND = (sys.executable, "-P", "-c", os.environ["GENOLM_TEST_PROGRAM"])
while not os.path.exists(sys.argv[1]):
    time.sleep(0.001)
while True:
    job_queue.advance()
    time.sleep(0.002)
"""
SERVER = """
import os, sys, time
from genolm import job_queue
job_queue.WORKER_COMMAND = (sys.executable, "-P", "-c", os.environ["GENOLM_TEST_PROGRAM"])
job_queue.keep_queue_moving(interval=0.2)
job_queue.keep_queue_moving(interval=0.2)
time.sleep(120)
"""
WAIT_FOR = """
print("ready", flush=True)
while not os.path.exists({flag!r}):
    time.sleep(0.02)
"""


@pytest.fixture
def run_python():
    """A function that runs a program in a process of its own, which is killed at the end of the test."""
    running = []

    def run(program, *arguments):
        command = [sys.executable, "-c", program, *map(str, arguments)]
        running.append(subprocess.Popen(command, cwd=ROOT))
        return running[-1]

    yield run
    for process in running:
        process.kill()
        process.wait()


@pytest.fixture
def queue_only(start, monkeypatch):
    """A function that queues a job without looking whether it can start."""
    monkeypatch.setattr(jobs, "advance", lambda: [])
    yield start
    monkeypatch.undo()


@pytest.fixture
def small_disk(private_workspace, start, monkeypatch):
    """A workspace on a disk of one megabyte; a function fills it, or makes room again."""
    disk = private_workspace / "disk"
    disk.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True
    )
    if not mounted or mounted.returncode:
        pytest.skip("this user may not mount a small disk")
    monkeypatch.setenv("GENOLM_HOME", str(disk))
    ballast = disk / "ballast"

    def fill(*, full=True):
        ballast.unlink(missing_ok=True)
        with ballast.open("ab", buffering=0) as handle:
            try:
                while full:
                    handle.write(bytes(1024))
            except OSError:
                assert shutil.disk_usage(disk).free == 0

    yield fill
    ballast.unlink(missing_ok=True)
    for job in jobs.list_jobs():
        jobs.cancel_job(job.id)
    subprocess.run(["umount", "-l", disk], check=True)


def worker_of(job):
    return job_store.read_row(job.id).pid


def test_a_killed_worker_is_lost_its_children_are_ended_and_it_resumes(start, wait_ready, until):
    child = "import time; print('ready', flush=True); time.sleep(120)"
    program = f"""
import subprocess
if os.path.exists("kept"):
    print("went on")
else:
    open("kept", "w").close()
    subprocess.call([sys.executable, '-c', {child!r}])
"""
    job = start(program)
    wait_ready(job)
    (orphan,) = processes.job_processes(job.id) - {worker_of(job)}
    os.kill(worker_of(job), signal.SIGKILL)
    job = jobs.wait_for_job(job.id, timeout=60)
    assert job.state == "lost"
    assert "killed, ran out of memory or the machine restarted" in job.reason
    until(lambda: processes.process_start(orphan) is None, seconds=2)
    done = jobs.wait_for_job(jobs.resume_job(job.id).id, timeout=60)
    assert (done.state, done.attempts) == ("done", 2)
    assert "went on" in done.log()


def test_the_queue_goes_on_when_its_starter_is_dead_and_nobody_looks(start, wait_ready, until, run_python):
    first, second, third = start("wait()"), start("wait()"), start("pass")
    wait_ready(first)
    run_python(SERVER)
    # No worker that is killed can start the next one: the server finds it.
    for job, following in ((first, second), (second, third)):
        os.kill(job_files.read_record(job.folder / "worker.json")["pid"], signal.SIGKILL)
        until(lambda: (following.folder / "worker.json").exists())
        if following is second:
            until(lambda: "ready" in second.log())
    until(lambda: (job_files.read_record(third.folder / "exit.json") or {}).get("code") == 0)
    assert [jobs.get_job(job.id).state for job in (first, second, third)] == ["lost", "lost", "done"]


def test_two_servers_start_each_job_once_and_never_two_at_a_time(queue_only, tmp_path, run_python, until):
    ledger, gate = tmp_path / "ledger", tmp_path / "gate"
    program = f"""
def note(word):
    with open({str(ledger)!r}, "a") as handle:
        handle.write(f"{{word}} {{os.path.basename(os.path.dirname(os.getcwd()))}}\\n")
note("begin")
time.sleep(0.05)
note("end")
"""
    queued = [queue_only(program).id for _ in range(6)]
    assert [job.state for job in jobs.list_jobs()] == ["queued"] * 6
    for _ in range(2):
        run_python(LAUNCHER, gate)
    gate.touch()
    until(lambda: all(row.state == "done" for row in job_store.read_rows()))
    # In the order in which they were queued, each once, and each ends before the next begins.
    expected = [f"{word} {job_id}" for job_id in queued for word in ("begin", "end")]
    assert ledger.read_text().splitlines() == expected
    assert {row.attempts for row in job_store.read_rows()} == {1}


@pytest.mark.parametrize("harm", ["overwritten", "cut", "emptied", "without its table"])
def test_a_damaged_database_is_made_anew_from_the_folders(start, wait_ready, private_workspace, harm):
    done = jobs.wait_for_job(start("pass").id, timeout=60)
    failed = jobs.wait_for_job(start("raise ValueError('so it is')").id, timeout=60)
    running, waiting = start("wait()"), start("pass")
    wait_ready(running)
    path = private_workspace / "jobs" / "jobs.sqlite"
    data = path.read_bytes()
    if harm == "without its table":
        with job_database.closing(job_database._open(path)) as db:
            db.execute("DROP TABLE jobs")
    else:
        new = {"overwritten": os.urandom(len(data)), "cut": data[: len(data) // 2], "emptied": b""}[harm]
        path.write_bytes(new)
    states = {job.id: job.state for job in jobs.list_jobs()}
    assert states == {done.id: "done", failed.id: "failed", running.id: "running", waiting.id: "queued"}
    again = jobs.get_job(failed.id)
    assert (again.reason, again.title, again.created) == (failed.reason, failed.title, failed.created)
    kept = list(path.parent.glob("jobs.sqlite.damaged-*"))
    if harm != "emptied":
        assert "made anew from the jobs' folders" in job_database.damage()
        assert str(kept[0]) in job_database.damage()
        job_database.forget_damage()
    assert job_database.damage() == ""
    jobs.cancel_job(running.id)
    assert jobs.wait_for_job(waiting.id, timeout=60).state == "done"
    assert jobs.get_job(running.id).state == "cancelled"


def test_a_database_of_a_newer_genolm_is_left_alone(start, private_workspace):
    jobs.wait_for_job(start("pass").id, timeout=60)
    path = private_workspace / "jobs" / "jobs.sqlite"
    with job_database.closing(job_database._open(path)) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(SettingsError, match="was written by a newer genolm"):
        jobs.list_jobs()
    with job_database.closing(job_database._open(path)) as db:
        db.execute("PRAGMA user_version = 1")


def test_every_state_is_true_on_a_full_disk(small_disk, start, wait_ready, tmp_path, monkeypatch):
    monkeypatch.setenv("GENOLM_JOB_SLOTS", "8")
    flag = str(tmp_path / "go")
    go_on = WAIT_FOR.format(flag=flag)
    finishes = start(go_on)
    writes = start(go_on + "open('result.bin', 'wb', buffering=0).write(bytes(5_000_000))")
    reports = start(
        "from genolm.worker import ProgressFile\n"
        "with ProgressFile(os.environ['GENOLM_PROGRESS_FILE']) as report:"
        f"\n    report(Progress('half', 5, 10))\n    {go_on.replace(chr(10), chr(10) + '    ')}"
        "\n    report(Progress('all', 10, 10))"
    )
    killed, cancelled = start("wait()"), start("wait()")
    for job in (finishes, writes, reports, killed, cancelled):
        wait_ready(job)
    small_disk()
    with pytest.raises(SettingsError, match="no room left on the disk; make room, then start it again"):
        start("pass")
    os.kill(worker_of(killed), signal.SIGKILL)
    assert jobs.cancel_job(cancelled.id).state == "cancelled"
    Path(flag).touch()
    ended = [jobs.wait_for_job(job.id, timeout=60) for job in (finishes, writes, reports, killed, cancelled)]
    expected = ["done", "failed", "done", "lost", "cancelled"]
    assert [job.state for job in ended] == expected
    assert ended[1].reason == "There is no room left on the disk: make room, then resume the job."
    assert len(jobs.list_jobs()) == 5
    small_disk(full=False)
    assert [jobs.get_job(job.id).state for job in ended] == expected
    assert [row.state for row in sorted(job_store.read_rows(), key=lambda row: row.created_at)] == expected
    jobs.remove_job(ended[1].id)
    assert jobs.resume_job(cancelled.id).state == "running"
