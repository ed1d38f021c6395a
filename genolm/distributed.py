"""Training by several processes at once, one for each GPU or group of cores, on one host or many.

``torchrun`` starts the processes and tells each its number; here they find each other. Each reads its own share
of the rows of every batch, and the gradients are averaged, so that a step is that of one process with the whole
batch. The first process alone writes files and reports. What is sent is numbers and JSON.
"""

import atexit
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from functools import cache
from typing import Any, TypeVar

import genolm.compute as compute
import torch
from safetensors.torch import load, save
from torch import Tensor, distributed, nn

from genolm import errors
from genolm.errors import GenolmError, SettingsError, TrainingError

# As torchrun sets them.
_VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
# The others wait while the first counts a Markov model's words in large genomes.
_PATIENCE = timedelta(hours=12)
BatchT = TypeVar("BatchT")
ResultT = TypeVar("ResultT")


class Group:
    """The processes of a training, one in most cases; what it does is then nothing.

    Parameters
    ----------
    rank : int
        This one's number.
    size : int
        How many there are. Every method below that sends anything must be called by all of them.
    """

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank, self.size = rank, size

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and reports."""
        return self.rank == 0

    def share(self, batch: BatchT) -> tuple[BatchT, float]:
        """Return this process's rows of a batch, a named tuple of tensors, and its weight in the mean loss."""
        if self.size == 1:
            return batch, 1.0
        rows = len(next(item for item in batch if isinstance(item, Tensor)))  # type: ignore[attr-defined]
        if rows < self.size:
            raise TrainingError(
                f"A batch of {rows} rows cannot be shared by {self.size} processes; start fewer of them."
            )
        own = self.rows(rows)
        parts = (item[own] if isinstance(item, Tensor) else item for item in batch)  # type: ignore[attr-defined]
        return type(batch)(*parts), (own.stop - own.start) * self.size / rows

    def rows(self, count: int) -> slice:
        """Return which of ``count`` rows are this process's."""
        return slice(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def average(self, parameters: Iterable[nn.Parameter], loss: float, weight: float) -> float:
        """Make gradients the means over all processes, by their weights; return the mean loss."""
        if self.size == 1:
            return loss
        learning = [item for item in parameters if item.requires_grad]
        grads = [torch.zeros_like(item) if item.grad is None else item.grad for item in learning]
        told = torch.full((1,), loss, device=grads[0].device)
        flat = torch.cat([*(grad.flatten() for grad in grads), told]) * (weight / self.size)
        distributed.all_reduce(flat)
        pieces = flat[:-1].split([grad.numel() for grad in grads])
        for item, piece in zip(learning, pieces, strict=True):
            item.grad = piece.view_as(item)
        return float(flat[-1])

    def align(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite tensors with those of the first process."""
        if self.size > 1:
            for item in tensors:
                distributed.broadcast(item.data, 0)

    def average_buffers(self, model: nn.Module) -> None:
        """Make a model's running figures, such as those of BatchNorm, the means over all processes."""
        for item in model.buffers() if self.size > 1 else ():
            if item.is_floating_point():
                distributed.all_reduce(item.data)
                item.data /= self.size

    def told(self, make: Callable[[], ResultT]) -> ResultT:
        """Return what ``make`` gives in the first process, plain data; its error is raised in all of them."""
        if self.size == 1:
            return make()
        error: GenolmError | None = None
        data: dict[str, Any] = {}
        if self.is_first:
            try:
                data = {"value": make()}
            except GenolmError as raised:
                error, data = raised, {"error": [type(raised).__name__, str(raised)]}
        data = json.loads(self._sent(json.dumps(data).encode(), 0))
        if error is not None:
            raise error
        if "error" in data:
            kind, text = data["error"]
            raise getattr(errors, kind, GenolmError)(text)
        return data["value"]  # type: ignore[no-any-return]

    def collected(self, tensors: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
        """Return the tensors of all processes in their order, on the CPU."""
        own = {key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}
        if self.size == 1:
            return [own]
        return [load(self._sent(save(own), rank)) for rank in range(self.size)]

    def handed(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the tensors of the first process, on the CPU; those of the others are not looked at."""
        if self.size == 1:
            return dict(tensors)
        return load(self._sent(save(dict(tensors)) if self.is_first else b"", 0))

    def _sent(self, content: bytes, rank: int) -> bytes:
        """Return the bytes of one of the processes."""
        size = torch.tensor([len(content)])
        distributed.broadcast(size, rank)
        own = self.rank == rank
        given = bytearray(content) if own else bytearray(int(size))
        sent = torch.frombuffer(given, dtype=torch.uint8)
        distributed.broadcast(sent, rank)
        return sent.numpy().tobytes()


@cache
def group() -> Group:
    """Return the group of this process; the first call waits for the others, if torchrun has started them."""
    if not is_several():
        return Group()
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    local, beside = int(os.environ.get("LOCAL_RANK", rank)), int(os.environ.get("LOCAL_WORLD_SIZE", size))
    backend = "gloo"
    if torch.cuda.is_available():
        if torch.cuda.device_count() < beside:
            raise SettingsError(
                f"There are {torch.cuda.device_count()} GPUs for {beside} processes; start one for each GPU."
            )
        torch.cuda.set_device(local)
        backend = "cpu:gloo,cuda:nccl"
    os.environ.setdefault("GENOLM_THREADS", str(max(1, compute.core_count() // beside)))
    distributed.init_process_group(backend, rank=rank, world_size=size, timeout=_PATIENCE)
    atexit.register(distributed.destroy_process_group)
    return Group(rank, size)


def is_several() -> bool:
    """Return whether torchrun has started this process as one of several."""
    return all(name in os.environ for name in _VARIABLES) and int(os.environ["WORLD_SIZE"]) > 1


def is_first() -> bool:
    """Return whether this process writes files and reports; it is the only one in most cases."""
    return not is_several() or os.environ["RANK"] == "0"


def refuse_several(command: str) -> None:
    """Refuse a command that cannot be shared by several processes."""
    if is_several():
        raise SettingsError(
            f"`genolm {command}` is for one process; only the training of language models, `genolm pretrain`, can be "
            "shared by several. Start it without torchrun."
        )


def rows_of(parts: Sequence[Mapping[str, Tensor]], prefix: str) -> dict[str, Tensor]:
    """Return the tensors of all processes' parts that begin with ``prefix``, rows one after another."""
    keys = [key for key in parts[0] if key.startswith(prefix)]
    return {key: torch.cat([part[key] for part in parts]) for key in keys}
