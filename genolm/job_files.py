"""The folder of a job: what was asked for, how far it is, what it wrote, how it ended.

``job.json`` is what was asked for, ``worker.json`` the process that runs it (its time stamp is renewed as a
heartbeat), ``progress.json`` the last report, ``progress.jsonl`` the reports so far, ``log.txt`` the output,
``cancel.json`` a request to stop and ``exit.json`` how the worker ended; ``result/`` is its working folder.
With these files alone the list of jobs can be made anew.
"""

import json
import os
import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

JOB_FILE, WORKER_FILE = "job.json", "worker.json"
PROGRESS_FILE, HISTORY_FILE = "progress.json", "progress.jsonl"
LOG_FILE, EXIT_FILE, CANCEL_FILE, RESULT_FOLDER = "log.txt", "exit.json", "cancel.json", "result"
ATTEMPT_MARK = "--- attempt "
LOG_TAIL_BYTES = 65_536
EXIT_BYTES = 4096
REASON_BYTES = 2000


def make_folder(folder: Path, record: Mapping[str, Any]) -> None:
    """Make a job's folder, which takes its name only when all is in it."""
    draft = folder.with_name(f".{folder.name}.new")
    try:
        draft.mkdir(mode=0o700)
        (draft / RESULT_FOLDER).mkdir()
        write_record(draft / JOB_FILE, record)
        draft.rename(folder)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def remove_folder(folder: Path) -> None:
    """Delete a job's folder, which loses its name first, so that no half of it is found."""
    doomed = folder.with_name(f".{folder.name}.removed")
    with suppress(FileNotFoundError):
        folder.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)


def forget_attempt(folder: Path) -> None:
    """Take away what tells of the last attempt; log, history and results stay."""
    for name in (WORKER_FILE, PROGRESS_FILE, EXIT_FILE, CANCEL_FILE):
        (folder / name).unlink(missing_ok=True)


def write_record(path: Path, data: Any) -> None:
    """Write JSON that takes its name only when it is complete."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        partial.write_text(json.dumps(data), encoding="utf-8")
        os.replace(partial, path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


def read_record(path: Path) -> dict[str, Any] | None:
    """Return what a JSON file holds, None if there is none that can be read."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return data if isinstance(data, dict) else None


def reserve_exit(folder: Path) -> None:
    """Take the room for ``exit.json`` at the start, so that a disk that fills up cannot hide how it ended."""
    with suppress(OSError):
        (folder / EXIT_FILE).write_bytes(b'{"code": null}'.ljust(EXIT_BYTES))


def write_exit(folder: Path, *, code: int, ended: str, reason: str, error: str = "") -> None:
    """Write how the worker ended over the room that was reserved for it; ``error`` is the class of an error."""
    words = reason.encode()[:REASON_BYTES].decode(errors="ignore")
    said = {"code": code, "ended": ended, "reason": words, **({"error": error} if error else {})}
    data = json.dumps(said, ensure_ascii=False).encode()
    path = folder / EXIT_FILE
    with suppress(OSError), path.open("r+b" if path.exists() else "wb") as handle:
        handle.write(data.ljust(EXIT_BYTES))
        handle.flush()
        os.fsync(handle.fileno())


def heartbeat(folder: Path) -> float:
    """Return when the worker gave its last sign of life, in seconds since 1970; 0.0 if it never did."""
    times = [0.0]
    for name in (WORKER_FILE, PROGRESS_FILE):
        with suppress(OSError):
            times.append((folder / name).stat().st_mtime)
    return max(times)


def log_tail(folder: Path) -> str:
    """Return the end of the worker's output, 64 KiB at most."""
    try:
        with (folder / LOG_FILE).open("rb") as handle:
            handle.seek(max(0, handle.seek(0, os.SEEK_END) - LOG_TAIL_BYTES))
            return handle.read().decode("utf-8", errors="replace")
    except FileNotFoundError:
        return ""


def last_words(folder: Path) -> str:
    """Return the last error of the last attempt in the log, else its last line, else nothing."""
    lines: list[str] = []
    for line in map(str.strip, log_tail(folder).splitlines()):
        if line.startswith(ATTEMPT_MARK):
            lines.clear()
        elif line:
            lines.append(line)
    errors = [line for line in lines if line.startswith("Error: ")]
    return errors[-1].removeprefix("Error: ") if errors else lines[-1] if lines else ""


def read_history(folder: Path) -> list[dict[str, Any]]:
    """Return the reports of all attempts, without those that a later attempt has gone through again."""
    kept: list[dict[str, Any]] = []
    run = None
    for line in _history_lines(folder / HISTORY_FILE):
        if line["run"] != run and line["values"]:
            run = line["run"]
            kept = [old for old in kept if old["run"] == run or old["done"] <= line["done"]]
        kept.append(line)
    return kept


def disk_used(folder: Path) -> int:
    """Return the bytes of all files in a folder."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += os.lstat(os.path.join(parent, name)).st_size
    return total


def _history_lines(path: Path) -> Iterator[dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    for line in text.splitlines():
        # A worker that is killed, or a disk that is full, may leave half a line.
        with suppress(ValueError, TypeError):
            data = json.loads(line)
            if isinstance(data, dict) and {"run", "stage", "done", "total", "elapsed", "values"} <= set(data):
                yield data
