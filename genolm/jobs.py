"""Long work in processes of its own, that no reload of a page and no end of its starter can stop.

A job is a folder in the workspace: ``job.json`` (what was asked for), ``progress.json`` (the worker's last
word, renewed every two seconds), ``log.txt`` (its output), ``result/`` (its working folder) and at the end
``exit.json``. The state of a job is worked out from these files and from the worker's process each time it
is asked for, so it is true whoever asks, also after a crash of either side.
"""

import json
import os
import platform
import re
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Literal

from genolm import workspace
from genolm.errors import SettingsError
from genolm.progress import Progress
from genolm.record import timestamp

JobState = Literal["queued", "running", "done", "failed", "cancelled", "lost"]
JOB_FILE, PROGRESS_FILE, LOG_FILE, EXIT_FILE, CANCEL_FILE = (
    "job.json",
    "progress.json",
    "log.txt",
    "exit.json",
    "cancel.json",
)
# -P: no file of the working folder hides a module; PYTHONPATH leads to genolm, also in a checkout.
WORKER_COMMAND = (sys.executable, "-P", "-m", "genolm")
FOLDER_VARIABLE, PROGRESS_VARIABLE = "GENOLM_JOB_FOLDER", "GENOLM_PROGRESS_FILE"
HEARTBEAT_SECONDS = 2.0
STALE_SECONDS = 60.0
START_SECONDS = 10.0
TERMINATE_SECONDS, KILL_SECONDS = 1.2, 0.5
LOG_TAIL_BYTES = 65_536
_ID = re.compile(r"[0-9a-f]{32}")
_ENDED: tuple[JobState, ...] = ("done", "failed", "cancelled", "lost")


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
    created, ended : str
        ISO 8601, UTC; ``ended`` is "" until then.
    state : {"queued", "running", "done", "failed", "cancelled", "lost"}
        ``lost``: the worker is gone and left no word (killed, out of memory, machine restarted).
    reason : str
        One sentence on a job that failed or was lost, else "".
    progress : Progress or None
        The worker's last report.
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

    @property
    def is_over(self) -> bool:
        """Whether nothing will change any more."""
        return self.state in _ENDED

    @property
    def result(self) -> Path:
        """The worker's working folder: a relative output path of its arguments lies in it."""
        return self.folder / "result"

    def log(self) -> str:
        """Return the end of the worker's output, 64 KiB at most."""
        return _log_tail(self.folder)

    def as_json(self) -> dict[str, Any]:
        """Return the job as plain JSON data."""
        data = {**asdict(self), "folder": str(self.folder), "result": str(self.result)}
        if self.progress:
            data["progress"] |= {"fraction": self.progress.fraction, "eta": self.progress.eta}
        return data


def start_job(
    kind: str, arguments: Sequence[str], *, title: str = "", environment: Mapping[str, str] | None = None
) -> Job:
    """Start ``python -m genolm`` with ``arguments`` as a job and return at once.

    Parameters
    ----------
    kind : str
        What it is, for lists: the command.
    arguments : sequence of str
        Paths of inputs absolute; a relative output path lands in the job's ``result`` folder.
    title : str
        What to call it in lists, ``kind`` by default.
    environment : mapping, optional
        Variables added to those of this process, such as GENOLM_THREADS.
    """
    job_id = secrets.token_hex(16)
    folder = workspace.jobs_dir() / job_id
    record = {
        "format_version": 1,
        "id": job_id,
        "kind": kind,
        "title": title or kind,
        "arguments": [str(item) for item in arguments],
        "created": timestamp(),
        "created_at": time.time(),
    }
    folder.mkdir(mode=0o700)
    (folder / "result").mkdir()
    _write_json(folder / JOB_FILE, record)
    process = _spawn(folder, record["arguments"], environment or {})
    worker = {"pid": process.pid, "pid_started": _process_start(process.pid), "host": platform.node()}
    _write_json(folder / JOB_FILE, {**record, **worker})
    # The starter may live for weeks: without a wait every finished worker stays as a zombie.
    threading.Thread(target=process.wait, daemon=True).start()
    return get_job(job_id)


def get_job(job_id: str) -> Job:
    """Return the job with this id, in the state it is in now."""
    folder = workspace.jobs_dir() / job_id
    if not _ID.fullmatch(job_id) or not folder.is_dir():
        raise SettingsError(f"There is no job '{job_id}'; `genolm jobs list` shows the ones there are.")
    return _read_job(folder)


def list_jobs(*, kind: str | None = None) -> list[Job]:
    """Return all jobs, or those of one kind, newest first."""
    folders = [item for item in workspace.jobs_dir().iterdir() if _ID.fullmatch(item.name)]
    folders.sort(key=lambda item: (_read_json(item / JOB_FILE) or {}).get("created_at", 0.0), reverse=True)
    return [job for job in map(_read_job, folders) if kind is None or job.kind == kind]


def find_job(prefix: str) -> Job:
    """Return the one job whose id begins with ``prefix`` (at least 4 digits), for people who type."""
    found = [item.name for item in workspace.jobs_dir().iterdir() if item.name.startswith(prefix)]
    if len(prefix) < 4 or not found:
        return get_job(prefix)
    if len(found) > 1:
        raise SettingsError(f"{len(found)} jobs have an id that begins with '{prefix}'; give more of it.")
    return get_job(found[0])


def cancel_job(job_id: str) -> Job:
    """Stop a job's worker and all its children within two seconds; what it had finished stays.

    A job that is over stays what it is.
    """
    job = get_job(job_id)
    if job.is_over:
        return job
    record = _read_json(job.folder / JOB_FILE) or {}
    if record.get("host") not in (None, platform.node()):
        raise SettingsError(f"Job {job_id} runs on {record['host']}; cancel it there.")
    _write_json(job.folder / CANCEL_FILE, {"asked": timestamp()})
    if "pid" in record:
        _stop_group(record)
    return get_job(job_id)


def remove_job(job_id: str) -> None:
    """Delete a job that is over, with its log and results."""
    job = get_job(job_id)
    if not job.is_over:
        raise SettingsError(f"Job {job_id} is {job.state}; cancel it before you remove it.")
    shutil.rmtree(job.folder)


def wait_for_job(job_id: str, *, timeout: float | None = None, interval: float = 0.1) -> Job:
    """Return the job when it is over, or as it stands after ``timeout`` seconds."""
    ends = None if timeout is None else time.monotonic() + timeout
    while not (job := get_job(job_id)).is_over and (ends is None or time.monotonic() < ends):
        time.sleep(interval)
    return job


class ProgressFile:
    """A progress callback of the worker: keeps its last report in a file, with a heartbeat between reports.

    Use it as a context manager; the file is replaced whole, so a reader never sees half of it.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._last = Progress("starting", 0, 0)
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> "ProgressFile":
        self(self._last)
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._over.set()
        self._thread.join()

    def __call__(self, progress: Progress) -> None:
        """Write the report."""
        with self._lock:
            self._last = progress
            data = {**asdict(progress), "values": dict(progress.values), "heartbeat": time.time()}
            # A full disk must not end the work itself.
            with suppress(OSError):
                _write_json(self.path, data)

    def _beat(self) -> None:
        while not self._over.wait(HEARTBEAT_SECONDS):
            self(self._last)


@contextmanager
def worker(folder: str | os.PathLike[str] | None) -> Iterator[None]:
    """Run the block as the worker of the job in ``folder``: its end leaves ``exit.json``; None does nothing.

    A request to stop (SIGTERM) becomes a :class:`SystemExit`, so that open files are put away first.
    """
    if folder is None:
        yield
        return
    signal.signal(signal.SIGTERM, _leave)
    code = 1
    try:
        yield
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
        raise
    finally:
        _write_json(Path(folder) / EXIT_FILE, {"code": code, "ended": timestamp()})


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _spawn(folder: Path, arguments: list[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    parent = str(Path(__file__).resolve().parents[1])
    path = os.pathsep.join(item for item in (parent, os.environ.get("PYTHONPATH")) if item)
    own = {FOLDER_VARIABLE: str(folder), PROGRESS_VARIABLE: str(folder / PROGRESS_FILE), "PYTHONPATH": path}
    with (folder / LOG_FILE).open("ab") as log:
        return subprocess.Popen(
            [*WORKER_COMMAND, *arguments],
            cwd=folder / "result",
            env={**os.environ, **own, **environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _read_job(folder: Path) -> Job:
    record = _read_json(folder / JOB_FILE) or {}
    # The process is looked at before exit.json: a worker that ends in between has then left it.
    alive = _is_alive(record, folder)
    ending = _read_json(folder / EXIT_FILE)
    state = _state(folder, record, ending, alive)
    return Job(
        id=folder.name,
        kind=record.get("kind", "unknown"),
        title=record.get("title", folder.name),
        arguments=tuple(record.get("arguments", ())),
        folder=folder,
        created=record.get("created", ""),
        state=state,
        reason=_reason(folder, state),
        ended=(ending or {}).get("ended", ""),
        exit_code=(ending or {}).get("code"),
        progress=_read_progress(folder),
    )


def _state(
    folder: Path, record: Mapping[str, Any], ending: Mapping[str, Any] | None, alive: bool
) -> JobState:
    if ending and ending["code"] == 0:
        return "done"
    if alive and not ending:
        return "running"
    if (folder / CANCEL_FILE).exists():
        return "cancelled"
    if ending:
        return "failed"
    fresh = time.time() - record.get("created_at", 0.0) < START_SECONDS
    return "queued" if "pid" not in record and fresh else "lost"


def _reason(folder: Path, state: JobState) -> str:
    if state == "lost":
        return "The worker is gone without a word: it was killed, ran out of memory or the machine restarted."
    if state != "failed":
        return ""
    lines = [line.strip() for line in _log_tail(folder).splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("Error: ")]
    return errors[-1].removeprefix("Error: ") if errors else lines[-1] if lines else "It gave no reason."


def _read_progress(folder: Path) -> Progress | None:
    data = _read_json(folder / PROGRESS_FILE)
    if not data:
        return None
    return Progress(data["stage"], data["done"], data["total"], data["elapsed"], data["values"])


def _log_tail(folder: Path) -> str:
    try:
        with (folder / LOG_FILE).open("rb") as handle:
            handle.seek(max(0, handle.seek(0, os.SEEK_END) - LOG_TAIL_BYTES))
            return handle.read().decode("utf-8", errors="replace")
    except FileNotFoundError:
        return ""


def _is_alive(record: Mapping[str, Any], folder: Path) -> bool:
    """Whether the worker lives: by its process, or by its heartbeat if it is on another machine."""
    if "pid" not in record:
        return False
    if record["host"] == platform.node():
        return _process_start(record["pid"]) == record["pid_started"] is not None
    beat = (_read_json(folder / PROGRESS_FILE) or {}).get("heartbeat", record["created_at"])
    return time.time() - beat < STALE_SECONDS


def _process_start(pid: int) -> str | None:
    """Return when a process began, in the system's own words; None if there is none or it is a zombie.

    With the number it makes a process unmistakable: numbers are used again.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if fields[0] in "ZX" else fields[19]
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            return None
    listed = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True)
    state, _, began = listed.stdout.strip().partition(" ")
    return began.strip() if state and not state.startswith("Z") else None


def _stop_group(record: Mapping[str, Any]) -> None:
    if _process_start(record["pid"]) != record["pid_started"]:
        return
    # The second round also ends children that the worker left behind.
    for number, seconds in ((signal.SIGTERM, TERMINATE_SECONDS), (signal.SIGKILL, KILL_SECONDS)):
        with suppress(ProcessLookupError):
            os.killpg(record["pid"], number)
        ends = time.monotonic() + seconds
        while time.monotonic() < ends and _process_start(record["pid"]) == record["pid_started"]:
            time.sleep(0.02)


def _write_json(path: Path, data: Any) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    partial.write_text(json.dumps(data), encoding="utf-8")
    os.replace(partial, path)


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError):
        return None
