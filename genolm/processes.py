"""Processes of jobs: which of them live, and how all that belong to one job are ended."""

import os
import platform
import signal
import subprocess
import time
from collections.abc import Collection
from contextlib import suppress
from functools import cache
from pathlib import Path

MARK_VARIABLE, NICE_VARIABLE = "GENOLM_JOB", "GENOLM_JOB_NICENESS"
TERMINATE_SECONDS, KILL_SECONDS = 1.3, 0.5
_PROC = Path("/proc")
_EXITING = 0x4  # PF_EXITING of include/linux/sched.h


@cache
def machine() -> str:
    """Return a name of this machine since its start, or of this container: process numbers hold within it."""
    parts = [platform.node()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip()[:8])
        parts.append(os.readlink("/proc/self/ns/pid").strip("pid:[]"))
    return "/".join(parts)


def process_start(pid: int) -> str | None:
    """Return when a process began, in the system's own words; None if there is none or it will do nothing more.

    With the number it makes a process unmistakable: numbers are used again. A process that was killed does
    nothing more, even if on busy cores it takes a while until it is gone; nor does a zombie.
    """
    try:
        fields = _stat(_PROC / str(pid))
        is_over = fields[0] in "ZX" or int(fields[6]) & _EXITING or _is_killed(pid)
        return None if is_over else fields[19]
    except (FileNotFoundError, ProcessLookupError):
        if (_PROC / "self" / "stat").exists():
            return None
    listed = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True)
    state, _, began = listed.stdout.strip().partition(" ")
    return began.strip() if state and not state.startswith("Z") else None


def _stat(entry: Path) -> list[str]:
    """Return what a process's ``stat`` says after its name, which may hold anything: its state comes first."""
    return (entry / "stat").read_text().rpartition(")")[2].split()


def _is_killed(pid: int) -> bool:
    """Return whether a SIGKILL is on its way to a process, which no process can hold off (proc_pid_status(5))."""
    for line in (_PROC / str(pid) / "status").read_text().splitlines():
        name, _, mask = line.partition(":")
        if name in ("SigPnd", "ShdPnd") and int(mask, 16) >> (signal.SIGKILL - 1) & 1:
            return True
    return False


def is_alive(pid: int | None, began: str | None) -> bool:
    """Return whether the very process lives that had this number when it began."""
    return pid is not None and began is not None and process_start(pid) == began


def job_processes(mark: str, leader: int | None = None) -> set[int]:
    """Return the processes whose environment carries a job's mark, and those in its living leader's group.

    Children that a worker left behind carry the mark too; where the system does not show the environment of
    a process, only the leader's group is known.
    """
    if not _PROC.joinpath("self", "stat").exists():
        return {leader} if leader is not None and process_start(leader) else set()
    sign = f"{MARK_VARIABLE}={mark}".encode()
    found = set()
    for entry in _PROC.iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid() and _belongs(entry, sign, leader):
            found.add(int(entry.name))
    return found


def stop_job_processes(mark: str, *, pid: int | None = None, began: str | None = None) -> None:
    """End every process of a job within two seconds: asked first, then killed; the worker before its children.

    A worker that outlived a child would go on as if that had come to its end, and could call the job done.

    Parameters
    ----------
    mark : str
        What :data:`MARK_VARIABLE` was set to for the worker.
    pid, began : optional
        The worker, leader of its process group; if it is gone, the group is not touched, for its number may
        be another's by now.
    """
    leader = pid if is_alive(pid, began) else None
    for number, seconds in ((signal.SIGTERM, TERMINATE_SECONDS), (signal.SIGKILL, KILL_SECONDS)):
        targets = job_processes(mark, leader)
        _send(targets, number, leader)
        ends = time.monotonic() + seconds
        while targets and time.monotonic() < ends:
            time.sleep(0.02)
            targets = job_processes(mark, leader)
            if number == signal.SIGKILL:
                _send(targets, number, leader)
        if not targets:
            return


def first_niceness() -> int:
    """Return the niceness of the process that started the first job, where each starts the next.

    A worker knows it from :data:`NICE_VARIABLE`; any other process is a first one itself.
    """
    if MARK_VARIABLE in os.environ:
        with suppress(KeyError, ValueError):
            return int(os.environ[NICE_VARIABLE])
    return os.getpriority(os.PRIO_PROCESS, 0) if hasattr(os, "getpriority") else 0


def give_way(steps: int) -> None:
    """Let other processes go first when the cores are short: ``steps`` nicer than the first starter."""
    with suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, 0, min(first_niceness() + steps, 19))
    # Where the system groups processes by session, priorities count only between groups.
    with suppress(OSError):
        (_PROC / "self" / "autogroup").write_text(str(steps))


def _belongs(entry: Path, sign: bytes, leader: int | None) -> bool:
    try:
        if sign in (entry / "environ").read_bytes().split(b"\0"):
            return True
        fields = _stat(entry)
    except OSError:
        return False
    return leader is not None and int(fields[2]) == leader and fields[0] not in "ZX"


def _send(targets: Collection[int], number: int, first: int | None) -> None:
    for pid in sorted(targets, key=lambda pid: pid != first):
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)
