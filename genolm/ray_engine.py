"""The parts of a scan worked out on a cluster of machines, by Ray (extra ``ray``).

A worker is an actor on a node that opens the genome and the model by itself: files come from shared storage, and
only numbers of windows and their scores go over the network. Nodes may join and leave while a scan runs.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from genolm.engines import FinishedScores
from genolm.errors import GenolmError, SettingsError
from genolm.hand_out import Finished, Lost, Reached, hand_out
from genolm.ray_access import connected
from genolm.scan_plan import Part
from genolm.scan_source import ScanSource
from genolm.scan_work import ScanWork

NODE_SECONDS = 2.0
ASK_SECONDS = 1.0
PATIENCE_SECONDS = 300.0
_WAIT_SECONDS = 0.2
_MOST_FAILURES = 3
# Of a worker's node, not of its work: another worker may do better.
_PASSING = (OSError, MemoryError)


class RayEngine:
    """The nodes of a Ray cluster: each takes as many parts at a time as it has CPUs, or GPUs.

    Parameters
    ----------
    address : str, optional
        ``host:port`` of the head; this machine must be one of the cluster's nodes. By default RAY_ADDRESS, else
        the cluster that runs here.
    cpus_per_worker : int
        A worker is a process that works on so many parts at once, each by one thread, with one copy of the
        model; on a GPU a worker has one GPU and one part.
    max_retries : int
        So many lost workers a part may have cost before the scan is given up.
    token : str, optional
        The cluster's; by default RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH or ~/.ray/auth_token.

    Attributes
    ----------
    notes : tuple of str
        After a run: nodes that joined and could not help, with the reason.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        cpus_per_worker: int = 1,
        max_retries: int = 3,
        token: str | None = None,
    ) -> None:
        if cpus_per_worker < 1:
            raise SettingsError(f"cpus_per_worker is {cpus_per_worker}; it must be 1 or more.")
        self.address, self.cpus_per_worker, self.max_retries = address, cpus_per_worker, max_retries
        self.token = token
        self.notes: tuple[str, ...] = ()

    def run(
        self, work: ScanWork, parts: Sequence[Part], *, tick: Callable[[int, str], None]
    ) -> Iterator[FinishedScores]:
        """Yield the scores of each part once, see :class:`genolm.engines.Engine`."""
        source = ScanSource.of(work)
        with connected(self.address, token=self.token) as ray:
            crew = _Crew(ray, source, cpus=self.cpus_per_worker)
            try:
                yield from hand_out(crew, parts, tick=tick, max_retries=self.max_retries)
            except ray.exceptions.RayError as error:
                raise SettingsError(
                    f"The cluster cannot be reached any more ({_first_line(error)}); start the same again when it "
                    "can: the scan goes on from the parts that are finished."
                ) from error
            finally:
                self.notes = tuple(crew.notes)


class ScanActor:
    """A worker: scores parts of one scan, several at once in threads of its own."""

    def __init__(self, source: ScanSource) -> None:
        self._source = source
        self._reached: dict[str, int] = {}

    def open(self, check: bool) -> bool:
        """Open the files, after a look at whether they and the code are the same where ``check`` is set."""
        if check:
            self._source.check()
        self._work = self._source.open().prepare()
        return True

    def score(self, part: Part) -> tuple[np.ndarray, float]:
        """Return the scores of a part and how long they took."""
        began, key = time.monotonic(), part.key
        self._reached[key] = 0

        def count(windows: int) -> None:
            self._reached[key] += windows

        try:
            return self._work.scores(part, tick=count), time.monotonic() - began
        finally:
            self._reached.pop(key, None)

    def reached(self) -> dict[str, int]:
        """Return how many windows of each part at hand are finished."""
        return dict(self._reached)


@dataclass(eq=False)
class _Worker:
    """An actor on a node; ``opening`` until it has opened its files."""

    actor: Any
    node: "_Node"
    opening: Any
    slots: int
    running: dict[Any, Part] = field(default_factory=dict)
    asked: Any = None
    asked_at: float = 0.0


@dataclass(eq=False)
class _Node:
    """A node of the cluster and its workers; ``trusted`` once a worker has found the right files there."""

    id: str
    address: str
    most: int
    first: bool
    workers: list[_Worker] = field(default_factory=list)
    trusted: bool = False
    failures: int = 0
    left_out: bool = False


class _Crew:
    """All workers on all nodes, see :class:`genolm.hand_out.Workers`."""

    def __init__(self, ray: Any, source: ScanSource, *, cpus: int) -> None:
        self._ray, self._gpu = ray, source.device == "cuda"
        self._slots = 1 if self._gpu else cpus
        self._source = ray.put(source)
        self._nodes: dict[str, _Node] = {}
        self._looked = float("-inf")
        self._last_ready = time.monotonic()
        self.notes: list[str] = []

    def room(self) -> int:
        """Return how many parts can be begun now."""
        return sum(worker.slots - len(worker.running) for worker in self._ready())

    def begin(self, part: Part) -> None:
        """Give a part to the worker that has most room."""
        worker = max(self._ready(), key=lambda worker: worker.slots - len(worker.running))
        worker.running[worker.actor.score.remote(part)] = part

    def news(self) -> list[Reached | Finished | Lost]:
        """Return what happened since the last call."""
        self._look_around()
        self._ask()
        waiting = self._waiting()
        if not waiting:
            time.sleep(_WAIT_SECONDS)
            return []
        refs = list(waiting)
        self._ray.wait(refs, num_returns=1, timeout=_WAIT_SECONDS)
        ready, _ = self._ray.wait(refs, num_returns=len(refs), timeout=0)
        found: list[Reached | Finished | Lost] = []
        for ref in ready:
            worker = waiting[ref]
            if worker in worker.node.workers:
                found += self._heard(worker, ref)
        return found

    def stop(self) -> None:
        """Kill all workers."""
        for node in self._nodes.values():
            for worker in list(node.workers):
                self._kill(worker)

    def _all(self) -> list[_Worker]:
        return [worker for node in self._nodes.values() for worker in node.workers]

    def _ready(self) -> list[_Worker]:
        return [worker for worker in self._all() if worker.opening is None and len(worker.running) < worker.slots]

    def _waiting(self) -> dict[Any, _Worker]:
        """Return everything that workers were asked for and have not answered."""
        return {
            ref: worker
            for worker in self._all()
            for ref in (worker.opening, worker.asked, *worker.running)
            if ref is not None
        }

    def _ask(self) -> None:
        """Ask workers how far they are, each once a second."""
        now = time.monotonic()
        for worker in self._all():
            if worker.running and worker.asked is None and now - worker.asked_at > ASK_SECONDS:
                worker.asked, worker.asked_at = worker.actor.reached.remote(), now

    def _heard(self, worker: _Worker, ref: Any) -> list[Reached | Finished | Lost]:
        """Return what an answer of a worker means."""
        try:
            answer = self._ray.get(ref)
        except self._ray.exceptions.RayTaskError as error:
            return self._failed(worker, getattr(error, "cause", None) or error)
        except self._ray.exceptions.RayError as error:
            return self._lose(worker, _first_line(error))
        if ref is worker.opening:
            worker.opening, worker.node.trusted, self._last_ready = None, True, time.monotonic()
            return []
        if ref is worker.asked:
            worker.asked = None
            return [Reached(key, windows) for key, windows in answer.items()]
        worker.node.failures = 0
        return [Finished(worker.running.pop(ref).key, *answer)]

    def _failed(self, worker: _Worker, error: Exception) -> list[Reached | Finished | Lost]:
        """Take an error of the work itself: one of the node's costs the worker, any other ends the scan."""
        if isinstance(error, ImportError):
            raise SettingsError(_not_installed(worker.node, str(error)))
        if isinstance(error, _PASSING):
            return self._lose(worker, f"{type(error).__name__}: {_first_line(error)}")
        if not isinstance(error, GenolmError):
            raise error
        node = worker.node
        said = f"Node {node.address} cannot take part: {error}" if worker.opening is not None else str(error)
        if worker.opening is None or node.first:
            raise type(error)(said) from None
        return self._leave_out(node, said)

    def _lose(self, worker: _Worker, reason: str) -> list[Reached | Finished | Lost]:
        """Give up a worker; a node whose workers go again and again is left out."""
        node = worker.node
        lost: list[Reached | Finished | Lost] = [
            Lost(part.key, f"node {node.address}: {reason}") for part in worker.running.values()
        ]
        if "No module named" in reason:
            raise SettingsError(_not_installed(node, reason))
        self._kill(worker)
        node.failures += 1
        if node.failures >= _MOST_FAILURES * max(1, node.most):
            lost += self._leave_out(node, f"Node {node.address} is left out, its workers end: {reason}")
        return lost

    def _leave_out(self, node: _Node, sentence: str) -> list[Reached | Finished | Lost]:
        node.left_out = True
        self.notes.append(sentence)
        lost = [Lost(part.key, sentence) for worker in node.workers for part in worker.running.values()]
        for worker in list(node.workers):
            self._kill(worker)
        return list(lost)

    def _kill(self, worker: _Worker) -> None:
        worker.node.workers.remove(worker)
        self._ray.kill(worker.actor, no_restart=True)

    def _look_around(self) -> None:
        """See to it that every node of the cluster has its workers; look every two seconds."""
        now = time.monotonic()
        if now - self._looked < NODE_SECONDS:
            return
        first, self._looked = not self._nodes, now
        known = self._ray.nodes()
        for facts in known:
            if facts["Alive"] and facts["NodeID"] not in self._nodes:
                most = self._workers_of(facts["Resources"])
                self._nodes[facts["NodeID"]] = _Node(facts["NodeID"], facts["NodeManagerAddress"], most, first)
        alive = {facts["NodeID"] for facts in known if facts["Alive"]}
        # The workers of a node that is gone are found out one by one, with what they were at.
        self._nodes = {key: node for key, node in self._nodes.items() if key in alive or node.workers}
        for key in alive & set(self._nodes):
            self._fill(self._nodes[key])
        self._check_hope(now)

    def _workers_of(self, resources: dict[str, float]) -> int:
        return int(resources.get("GPU", 0) if self._gpu else resources.get("CPU", 0) // self._slots)

    def _fill(self, node: _Node) -> None:
        """Start the workers that a node lacks; until one of them has checked the files, only that one."""
        wanted = 0 if node.left_out else node.most if node.trusted else min(1, node.most)
        for _ in range(wanted - len(node.workers)):
            node.workers.append(self._start(node))

    def _start(self, node: _Node) -> _Worker:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        actor = (
            self._ray.remote(ScanActor)
            .options(
                num_cpus=1 if self._gpu else self._slots,
                num_gpus=1 if self._gpu else 0,
                max_concurrency=self._slots + 1,
                max_restarts=0,
                scheduling_strategy=NodeAffinitySchedulingStrategy(node.id, soft=False),
            )
            .remote(self._source)
        )
        return _Worker(actor, node, actor.open.remote(not node.trusted), self._slots)

    def _check_hope(self, now: float) -> None:
        """Give up where there has been no worker for minutes."""
        if any(worker.opening is None for worker in self._all()):
            self._last_ready = now
        usable = [node for node in self._nodes.values() if not node.left_out and node.most]
        if not usable and self.notes:
            raise SettingsError(" ".join(self.notes))
        if now - self._last_ready > PATIENCE_SECONDS:
            what = "GPUs" if self._gpu else f"{self._slots} free CPUs"
            raise SettingsError(
                f"No node of the cluster ({len(self._nodes)} at hand) could start a worker within "
                f"{PATIENCE_SECONDS / 60:.0f} minutes; a worker needs {what}. `ray status` shows what is in use."
            )


def _not_installed(node: _Node, reason: str) -> str:
    return f"Node {node.address} cannot take part ({reason}); install there what runs here."


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return next((line for line in lines if "No module named" in line), lines[0] if lines else type(error).__name__)

