"""Jobs: real worker processes, and a state that is true whatever happens to them."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from genolm import compute, job_files, job_queue, job_store, jobs, processes
from genolm.errors import SettingsError
from genolm.progress import Progress

ROOT = Path(__file__).parents[1]


def test_a_command_runs_to_its_end():
    job = jobs.start_job("models", ["models", "list"], title="My list")
    assert job.state in ("running", "done")
    job = jobs.wait_for_job(job.id, timeout=60)
    assert (job.state, job.exit_code, job.reason, job.attempts) == ("done", 0, "", 1)
    assert (job.kind, job.title, job.arguments) == ("models", "My list", ("models", "list"))
    assert job.log().startswith("NAME")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", job.ended)
    assert job.created <= job.started <= job.ended
    assert job.is_over and not job.can_resume
    assert job.disk_used() > len(job.log())


def test_one_text_is_no_list_of_arguments():
    with pytest.raises(SettingsError, match="arguments is one text, 'list', where a list is expected"):
        jobs.start_job("models", "list")
    assert jobs.list_jobs() == []


def test_a_users_error_is_the_reason():
    job = jobs.start_job("models", ["models", "show", "nothing"])
    job = jobs.wait_for_job(job.id, timeout=60)
    assert (job.state, job.exit_code) == ("failed", 2)
    assert job.reason.startswith("There is no model 'nothing'; there are: ")
    assert job.can_resume


def test_a_crash_is_a_failure_with_its_last_line(start):
    job = jobs.wait_for_job(start("raise ValueError('no such luck')").id, timeout=60)
    assert (job.state, job.exit_code, job.reason) == ("failed", 1, "ValueError: no such luck")
    assert "Traceback" in job.log()


def test_a_worker_that_cannot_even_start_says_why(monkeypatch):
    monkeypatch.setattr(job_queue, "WORKER_COMMAND", (sys.executable, "-c", "import no_such_module"))
    job = jobs.wait_for_job(jobs.start_job("test", ["x"]).id, timeout=60)
    assert job.state == "failed"
    assert job.reason == "It could not start: ModuleNotFoundError: No module named 'no_such_module'"
    monkeypatch.setattr(job_queue, "WORKER_COMMAND", ("/no/such/python",))
    job = jobs.start_job("test", ["x"])
    assert (job.state, job.reason) == (
        "failed",
        "The worker could not be started: No such file or directory.",
    )


def test_one_slot_runs_one_job_and_the_others_wait_in_order(start, wait_ready):
    first, second, third = start("wait()"), start("wait()"), start("pass")
    wait_ready(first)
    assert [job.state for job in map(jobs.get_job, (first.id, second.id, third.id))] == [
        "running",
        "queued",
        "queued",
    ]
    assert [jobs.queue_position(job.id) for job in (first, second, third)] == [0, 1, 2]
    assert jobs.cancel_job(third.id).state == "cancelled"
    jobs.cancel_job(first.id)
    wait_ready(second)
    assert jobs.get_job(second.id).state == "running"
    assert not (third.folder / "worker.json").exists()


def test_the_number_of_slots_is_the_environments(start, wait_ready, monkeypatch):
    monkeypatch.setenv("GENOLM_JOB_SLOTS", "2")
    started = [start("wait()") for _ in range(3)]
    assert [jobs.get_job(job.id).state for job in started] == ["running", "running", "queued"]
    for wrong in ("0", "many", "²"):
        monkeypatch.setenv("GENOLM_JOB_SLOTS", wrong)
        with pytest.raises(SettingsError, match=f"GENOLM_JOB_SLOTS is '{wrong}'"):
            jobs.list_jobs()
    monkeypatch.delenv("GENOLM_JOB_SLOTS")


def test_a_worker_that_ends_starts_the_next_one_with_its_own_settings(start, monkeypatch, until):
    monkeypatch.setenv("GENOLM_JOB_SLOTS", "1")
    monkeypatch.delenv("GENOLM_THREADS", raising=False)
    write = "open('out.txt', 'w').write(repr([os.environ.get(key) for key in ('GENOLM_THREADS', 'OTHER')]))"
    first = start(f"{write}; time.sleep(0.5)", environment={"GENOLM_THREADS": "3", "OTHER": "x"})
    second = start(write)
    assert second.state == "queued"
    # Nobody looks at the jobs: only the folder tells that the second one has run.
    until(lambda: (job_files.read_record(second.folder / "exit.json") or {}).get("code") == 0)
    cores = compute.core_count()
    assert (first.result / "out.txt").read_text() == "['3', 'x']"
    assert (second.result / "out.txt").read_text() == f"['{cores}', None]"
    assert job_queue.worker_threads() == cores
    monkeypatch.setenv("GENOLM_JOB_SLOTS", "2")
    assert job_queue.worker_threads() == max(1, cores // 2)
    monkeypatch.setenv("GENOLM_THREADS", "1")
    assert job_queue.worker_threads() == 1


def test_a_worker_gives_way_to_other_processes(start):
    job = jobs.wait_for_job(start("print('nice', os.nice(0))").id, timeout=60)
    assert f"nice {min(19, os.nice(0) + 5)}" in job.log()


def test_a_job_started_by_another_is_as_nice_as_that_one(start, monkeypatch, until):
    monkeypatch.setenv("GENOLM_JOB_SLOTS", "1")
    first = start("print('nice', os.nice(0)); time.sleep(0.5)")
    second, third = start("print('nice', os.nice(0))"), start("print('nice', os.nice(0))")
    assert (second.state, third.state) == ("queued", "queued")
    # Nobody looks at the jobs: each is started by the worker before it.
    until(lambda: (job_files.read_record(third.folder / "exit.json") or {}).get("code") == 0)
    assert {job.log() for job in (first, second, third)} == {f"nice {min(19, os.nice(0) + 5)}\n"}


def test_cancel_lets_the_worker_put_things_away(start, wait_ready):
    job = start("try:\n    wait()\nfinally:\n    print('put away', flush=True)")
    wait_ready(job)
    began = time.monotonic()
    job = jobs.cancel_job(job.id)
    assert time.monotonic() - began < 2
    assert (job.state, job.exit_code, job.reason) == ("cancelled", 143, "")
    assert "put away" in job.log()
    assert jobs.cancel_job(job.id).state == "cancelled"


def test_cancel_ends_a_stubborn_worker_and_its_children_within_two_seconds(start, wait_ready, until):
    ignore = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)"
    child = f"{ignore}; print('ready', flush=True); time.sleep(60)"
    job = start(f"{ignore}; import subprocess; subprocess.call([sys.executable, '-c', {child!r}])")
    wait_ready(job)
    group = processes.job_processes(job.id)
    assert len(group) == 2
    began = time.monotonic()
    assert jobs.cancel_job(job.id).state == "cancelled"
    assert time.monotonic() - began < 2
    until(lambda: not any(map(processes.process_start, group)), seconds=1)


def test_a_process_that_will_do_nothing_more_is_gone(tmp_path, monkeypatch):
    """On busy cores a killed process can take longer than its time to be gone."""
    monkeypatch.setattr(processes, "_PROC", tmp_path)

    def listed(pid, state="S", flags=0x400000, pending=0):
        folder = tmp_path / str(pid)
        folder.mkdir()
        (folder / "stat").write_text(f"{pid} (a (b) c) {state} 1 {pid} {pid} 0 -1 {flags} " + "0 " * 12 + "5511 0")
        (folder / "status").write_text(f"Name:\ta\nSigPnd:\t{0:016x}\nShdPnd:\t{pending:016x}\nSigBlk:\t{1 << 8:016x}\n")

    (tmp_path / "self").mkdir()
    (tmp_path / "self" / "stat").touch()
    listed(1)
    listed(2, pending=1 << (signal.SIGTERM - 1))
    listed(3, pending=1 << (signal.SIGKILL - 1))
    listed(4, flags=0x400004)
    listed(5, state="Z")
    assert [processes.process_start(pid) for pid in range(1, 7)] == ["5511", "5511", None, None, None, None]


def test_a_worker_is_ended_before_its_children(monkeypatch):
    """A worker whose child was killed first could go on and call the job done."""
    alive, sent = {7, 3, 9, 12}, []

    def kill(pid, number):
        sent.append((number, pid))
        if number == signal.SIGKILL:
            alive.discard(pid)

    monkeypatch.setattr(processes, "TERMINATE_SECONDS", 0.0)
    monkeypatch.setattr(processes, "job_processes", lambda mark, leader=None: set(alive))
    monkeypatch.setattr(processes, "is_alive", lambda pid, began: True)
    monkeypatch.setattr(processes.os, "kill", kill)
    processes.stop_job_processes("job", pid=12, began="then")
    asked = [[pid for number, pid in sent if number == one] for one in (signal.SIGTERM, signal.SIGKILL)]
    assert [pids[0] for pids in asked] == [12, 12] and all(sorted(pids) == [3, 7, 9, 12] for pids in asked)


def test_a_stop_comes_at_a_report_so_that_a_training_can_keep_what_it_has(start, wait_ready):
    program = """
from genolm.errors import Cancelled
from genolm.worker import ProgressFile
with ProgressFile(os.environ["GENOLM_PROGRESS_FILE"]) as report:
    try:
        for step in range(6000):
            report(Progress("training", step, 6000))
            if step == 3:
                print("ready", flush=True)
            time.sleep(0.01)
    except Cancelled:
        time.sleep(0.7)
        print("checkpoint of step", step, flush=True)
        raise
"""
    job = start(program)
    wait_ready(job)
    job = jobs.cancel_job(job.id)
    assert (job.state, job.exit_code) == ("cancelled", 143)
    assert "checkpoint of step" in job.log()


def test_a_worker_told_to_end_by_others_is_lost_and_not_failed(start, wait_ready):
    job = start("wait()")
    wait_ready(job)
    os.kill(job_store.read_row(job.id).pid, signal.SIGTERM)
    job = jobs.wait_for_job(job.id, timeout=60)
    assert (job.state, job.exit_code, job.can_resume) == ("lost", 143, True)
    assert "told to end, but not by you" in job.reason


def test_resume_goes_on_in_the_same_folder(start, wait_ready):
    program = """
before = sorted(os.listdir())
open(f"kept{len(before)}", "w").close()
print("found", before, flush=True)
if len(before) < 2:
    wait()
"""
    job = start(program, title="My training")
    wait_ready(job)
    with pytest.raises(SettingsError, match="is running; only a job that did not finish"):
        jobs.resume_job(job.id)
    jobs.cancel_job(job.id)
    again = jobs.resume_job(job.id)
    assert (again.id, again.title, again.state) == (job.id, "My training", "running")
    assert again.progress is None
    while jobs.get_job(job.id).log().count("ready") < 2:
        time.sleep(0.02)
    os.kill(job_store.read_row(job.id).pid, signal.SIGKILL)
    assert jobs.wait_for_job(job.id, timeout=60).state == "lost"
    jobs.resume_job(job.id)
    done = jobs.wait_for_job(job.id, timeout=60)
    assert (done.state, done.attempts, done.reason) == ("done", 3, "")
    found = [line for line in done.log().splitlines() if line.startswith(("found", "---"))]
    assert found[0::2] == ["found []", "found ['kept0']", "found ['kept0', 'kept1']"]
    assert [line[:13] for line in found[1::2]] == ["--- attempt 2", "--- attempt 3"]


def test_a_job_outlives_its_starter():
    program = "from genolm import jobs; print(jobs.start_job('models', ['models', 'list']).id)"
    starter = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert jobs.wait_for_job(starter.stdout.strip(), timeout=60).state == "done"


def test_a_process_number_used_again_is_not_the_worker(start, wait_ready):
    job = start("wait()")
    wait_ready(job)
    assert jobs.get_job(job.id).state == "running"
    row = job_store.read_row(job.id)
    assert processes.is_alive(row.pid, row.began)
    assert not processes.is_alive(os.getpid(), row.began)
    assert not processes.is_alive(None, None)


def test_on_another_machine_the_heartbeat_decides(start, wait_ready):
    job = start("wait()")
    wait_ready(job)

    def move(row):
        return job_store.replace(row, machine="elsewhere", pid=2**22 + 1)

    assert job_store.change_row(job.id, ["running"], move)
    for age, state in ((100, "lost"), (1, "running")):
        for name in ("worker.json", "progress.json"):
            beat = time.time() - age
            if (job.folder / name).exists():
                os.utime(job.folder / name, (beat, beat))
        row = job_store.read_row(job.id)
        assert job_queue.judge(row, job_queue.is_alive(row)).state == state
    # It is asked by a file, which its worker sees at its next heartbeat.
    jobs.cancel_job(job.id)
    assert jobs.wait_for_job(job.id, timeout=60).state == "cancelled"


def test_a_folder_of_the_former_format_is_a_job_too(private_workspace):
    record = {
        "format_version": 1,
        "kind": "scan",
        "title": "old one",
        "arguments": ["scan"],
        "created": "2026-01-01T00:00:00Z",
        "created_at": 1.0,
        "pid": 2**22 + 1,
        "pid_started": "1",
        "host": os.uname().nodename,
    }
    folders = []
    endings = {"a": {"code": 0, "ended": "2026-01-01T00:01:00Z"}, "b": {"code": 1}, "c": None}
    for digit, ending in endings.items():
        folder = private_workspace / "jobs" / (digit * 32)
        (folder / "result").mkdir(parents=True)
        job_files.write_record(folder / "job.json", {**record, "id": folder.name})
        if ending:
            job_files.write_record(folder / "exit.json", ending)
        folders.append(folder)
    (folders[1] / "log.txt").write_text("Error: The file is empty.\n")
    found = {job.id[0]: job for job in jobs.list_jobs()}
    assert {key: job.state for key, job in found.items()} == {"a": "done", "b": "failed", "c": "lost"}
    assert found["a"].ended == "2026-01-01T00:01:00Z"
    assert found["b"].reason == "The file is empty."


def test_a_record_that_cannot_be_read_is_a_lost_job(start):
    job = jobs.wait_for_job(start("pass").id, timeout=60)
    (job.folder / "job.json").write_text("{")
    (job.folder.parent / "jobs.sqlite").unlink()
    (lost,) = jobs.list_jobs()
    assert (lost.state, lost.can_resume) == ("lost", False)
    jobs.remove_job(job.id)
    assert jobs.list_jobs() == []


def test_progress_comes_through_with_its_speed(start, wait_ready, until):
    program = """
from genolm import worker
worker.HEARTBEAT_SECONDS = 0.05
with worker.ProgressFile(os.environ["GENOLM_PROGRESS_FILE"]) as report:
    report(Progress("half", 5, 10, 2.0, {"loss": 0.25}, skipped=1, pace=0.4))
    wait()
"""
    job = start(program)
    wait_ready(job)
    until(lambda: jobs.get_job(job.id).progress.total == 10)
    job = jobs.get_job(job.id)
    assert job.progress == Progress("half", 5, 10, 2.0, {"loss": 0.25}, skipped=1, pace=0.4)
    assert job.as_json()["progress"]["eta"] == 2.0
    (report,) = job.history()
    assert (report["done"], report["values"]) == (5, {"loss": 0.25})
    beat = job_files.heartbeat(job.folder)
    until(lambda: job_files.heartbeat(job.folder) > beat)


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
    assert (job.folder.parent / "jobs.sqlite").stat().st_mode & 0o077 == 0
    for wrong in ("", "..", f"../jobs/{job.id}", job.id[:10], "0" * 32):
        with pytest.raises(SettingsError, match="There is no job"):
            jobs.get_job(wrong)


def test_remove_takes_only_what_is_over(start, wait_ready):
    job = start("wait()")
    wait_ready(job)
    with pytest.raises(SettingsError, match="is running; cancel it before"):
        jobs.remove_job(job.id)
    jobs.cancel_job(job.id)
    jobs.remove_job(job.id)
    assert jobs.list_jobs() == []
    assert [item.name for item in job.folder.parent.iterdir() if not item.name.startswith("jobs.")] == []


def test_a_folder_that_someone_deleted_is_no_job_any_more(start):
    job = jobs.wait_for_job(start("pass").id, timeout=60)
    shutil.rmtree(job.folder)
    assert jobs.list_jobs() == []
    with pytest.raises(SettingsError, match="There is no job"):
        jobs.get_job(job.id)


def test_a_finished_worker_leaves_no_zombie(start, until):
    job = jobs.wait_for_job(start("pass").id, timeout=60)
    pid = job_store.read_row(job.id).pid
    until(lambda: not Path(f"/proc/{pid}").exists())
