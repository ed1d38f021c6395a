"""Commands that a cluster runs by itself, through the Ray Jobs API: submitted, followed and stopped from anywhere.

The same command, submitted again while it runs, is followed and not begun twice. Its progress is read from its
log, which is that of any run of ``python -m genolm``.
"""

import hashlib
import re
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

from genolm.errors import Cancelled, SettingsError
from genolm.progress import Pace, Progress, ProgressCallback
from genolm.ray_access import prepare, with_ray

RemoteState = Literal["waiting", "running", "done", "failed", "cancelled"]
LOOK_SECONDS = 2.0
_STATES: Mapping[str, RemoteState] = {
    "PENDING": "waiting",
    "RUNNING": "running",
    "SUCCEEDED": "done",
    "FAILED": "failed",
    "STOPPED": "cancelled",
}
_OVER = ("done", "failed", "cancelled")
_ID = "genolm-"
# As the command line writes progress where there is no terminal: "scanning chr1, plus strand: 12%, 0:31 left".
_PROGRESS = re.compile(r"(?P<stage>.+): (?P<share>\d{1,3})%(?:, .*)?")


@dataclass(frozen=True)
class RemoteJob:
    """A command on a cluster as it stood when it was asked for.

    Attributes
    ----------
    id : str
    address : str
        Of the cluster's Jobs API, http or https.
    state : {"waiting", "running", "done", "failed", "cancelled"}
    command : str
    reason : str
        Why it failed, in the words of the command, else "".
    """

    id: str
    address: str
    state: RemoteState
    command: str = ""
    reason: str = ""

    @property
    def is_over(self) -> bool:
        """Whether it has ended, in whatever way."""
        return self.state in _OVER


def submit(arguments: Sequence[str], address: str, *, environment: Mapping[str, str] | None = None) -> RemoteJob:
    """Have the cluster run ``python -m genolm`` with ``arguments``.

    Parameters
    ----------
    arguments : sequence of str
        Paths absolute, as the nodes of the cluster see them.
    address : str
        ``http://host:8265``, or https; the token is that of the cluster.
    environment : mapping, optional
        Variables for the command.

    Returns
    -------
    RemoteJob
        The one that is on its way already, if the same was submitted before and is not over.
    """
    client = _client(address)
    command = shlex.join(["python", "-m", "genolm", *map(str, arguments)])
    stem = _ID + hashlib.sha256(command.encode()).hexdigest()[:12]
    earlier = [job for job in _jobs(client, address) if job.id == stem or job.id.startswith(f"{stem}-")]
    for job in earlier:
        if not job.is_over:
            return job
    name = f"{stem}-{len(earlier) + 1}" if earlier else stem
    with _said(address):
        client.submit_job(
            entrypoint=command, submission_id=name, runtime_env={"env_vars": dict(environment or {})}
        )
    return find(name, address)


def find(job_id: str, address: str) -> RemoteJob:
    """Return a command on the cluster by its id."""
    client = _client(address)
    with _said(address):
        return _job(client, client.get_job_info(job_id), address)


def list_remote(address: str) -> list[RemoteJob]:
    """Return the commands of genolm that the cluster knows."""
    return _jobs(_client(address), address)


def log(job_id: str, address: str) -> str:
    """Return what a command has written so far."""
    client = _client(address)
    with _said(address):
        return str(client.get_job_logs(job_id))


def cancel(job_id: str, address: str) -> RemoteJob:
    """Stop a command; what it had finished stays where it is."""
    client = _client(address)
    with _said(address):
        client.stop_job(job_id)
        return _job(client, client.get_job_info(job_id), address)


def follow(job: RemoteJob, *, progress: ProgressCallback | None = None) -> RemoteJob:
    """Wait for the end of a command and tell of its progress.

    Parameters
    ----------
    job : RemoteJob
    progress : callable, optional
        Told in thousandths; :class:`genolm.errors.Cancelled` raised in it stops the command on the cluster, any
        other end of the caller leaves it running.

    Raises
    ------
    SettingsError
        When it failed, with the command's own reason.
    Cancelled
        When it was stopped.
    """
    client, began, pace = _client(job.address), time.monotonic(), Pace()
    while True:
        with _said(job.address):
            job = _job(client, client.get_job_info(job.id), job.address)
            report = None if job.is_over else read_progress(client.get_job_logs(job.id), time.monotonic() - began)
        if job.is_over:
            break
        try:
            if progress and report:
                progress(replace(report, pace=pace.after(report.done)))
            elif progress:
                progress(Progress("waiting for the cluster", 0, 1000))
        except Cancelled:
            cancel(job.id, job.address)
            raise
        time.sleep(LOOK_SECONDS)
    if job.state == "failed":
        raise SettingsError(f"The command on the cluster failed: {job.reason}")
    if job.state == "cancelled":
        raise Cancelled("The command on the cluster was stopped; what it had finished is kept.")
    return job


def read_progress(text: str, elapsed: float = 0.0) -> Progress | None:
    """Return the last progress that a command's log tells of, None if there is none."""
    for line in reversed(text.splitlines()):
        found = _PROGRESS.fullmatch(line.strip())
        if found:
            return Progress(found["stage"], 10 * min(100, int(found["share"])), 1000, elapsed)
    return None


def _jobs(client: Any, address: str) -> list[RemoteJob]:
    with _said(address):
        found = [item for item in client.list_jobs() if (item.submission_id or "").startswith(_ID)]
        return [_job(client, item, address) for item in found]


def _job(client: Any, details: Any, address: str) -> RemoteJob:
    state = _STATES[str(getattr(details.status, "value", details.status))]
    reason = ""
    if state == "failed":
        lines = [line for line in client.get_job_logs(details.submission_id).splitlines() if line.strip()]
        said = [line for line in lines if line.startswith("Error: ")]
        reason = (said or lines or [str(details.message)])[-1].removeprefix("Error: ")
    return RemoteJob(details.submission_id, address, state, details.entrypoint, reason)


@contextmanager
def _said(address: str) -> Iterator[None]:
    """Turn what goes wrong between here and the cluster into a sentence."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        said = " ".join(str(error).split())[:300]
        raise SettingsError(
            f"The cluster's Jobs API at {address} does not answer as it should ({said}); look at its address and "
            "token, and whether the head was started with its dashboard."
        ) from error


def _client(address: str) -> Any:
    """Return a client of the Jobs API, with the cluster's token."""
    if not address.startswith(("http://", "https://")):
        raise SettingsError(f"'{address}' is not the address of a Jobs API, such as http://127.0.0.1:8265.")
    prepare()
    with with_ray():
        from ray.job_submission import JobSubmissionClient
    with _said(address):
        return JobSubmissionClient(address)
