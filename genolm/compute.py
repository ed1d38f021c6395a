"""Where and how fast numbers are worked out: thread budget, device, precision. The one place that decides.

Import this module before torch: the OpenMP wait policy is read when torch is loaded. With the default
policy two processes that share cores spin against each other and lose up to 16x of their speed.
"""

import os
from contextlib import contextmanager
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from genolm.errors import SettingsError

if TYPE_CHECKING:
    import torch

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

Precision = Literal["auto", "bf16", "fp32", "int8"]
BF16_ABILITIES = {"avx512_bf16", "amx_bf16"}
INT8_ABILITIES = {"avx512_vnni", "avx_vnni", "amx_int8"}


def core_count() -> int:
    """Return the cores that this process may use (its affinity, not the machine's total)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def thread_budget(requested: int | None = None) -> int:
    """Return how many threads this process uses: ``requested``, else GENOLM_THREADS, else every core."""
    if requested is None and "GENOLM_THREADS" in os.environ:
        text = os.environ["GENOLM_THREADS"]
        if not (text.isascii() and text.isdecimal()) or int(text) < 1:
            raise SettingsError(f"GENOLM_THREADS is '{text}'; it must be a whole number from 1 up.")
        requested = int(text)
    return max(1, min(requested or core_count(), core_count()))


@contextmanager
def torch_threads(count: int | None = None) -> Iterator[int]:
    """Give torch ``count`` threads (see :func:`thread_budget`) and put the old number back after."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(thread_budget(count))
    try:
        yield torch.get_num_threads()
    finally:
        torch.set_num_threads(before)


def pick_device(name: str | None = None) -> "torch.device":
    """Return the device called ``name``; None means CUDA if there is one, else the CPU."""
    import torch

    if name is None:
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise SettingsError(f"'{name}' is not a device; use cpu, cuda or cuda:N.") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise SettingsError("A CUDA device was asked for and this machine has none; use cpu.")
    return device


def device_name() -> str:
    """Return what the device that is used by default is called, for a record: ``cpu`` or the GPU's name."""
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"


@cache
def has_fast_bf16() -> bool:
    """Return True where the CPU multiplies bf16 matrices faster than fp32 ones.

    Where Linux names the CPU's abilities they decide, so that every run on a machine decides alike; elsewhere a
    product is measured once and must be 1.3 times as fast.
    """
    abilities = _cpu_abilities()
    return bool(abilities & BF16_ABILITIES) if abilities else _measured_gain() >= 1.3


def has_fast_int8() -> bool:
    """Return True where Linux says that the CPU has instructions for int8 products."""
    return bool(_cpu_abilities() & INT8_ABILITIES)


def _cpu_abilities() -> set[str]:
    """Return the flags of an x86 CPU as Linux tells them, nothing elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return set()
    return next((set(line.partition(":")[2].split()) for line in lines if line.startswith("flags")), set())


def _measured_gain() -> float:
    import time

    import torch

    def seconds(dtype: "torch.dtype") -> float:
        left, right = torch.ones(512, 512, dtype=dtype), torch.ones(512, 512, dtype=dtype)
        best = float("inf")
        for _ in range(12):
            began = time.perf_counter()
            torch.mm(left, right)
            best = min(best, time.perf_counter() - began)
        return best

    return seconds(torch.float32) / seconds(torch.bfloat16)


def pick_dtype(precision: Precision, device: "torch.device") -> "torch.dtype":
    """Return the number type for ``precision`` on ``device``; ``auto`` is bf16 where it is faster."""
    import torch

    if precision not in ("auto", "bf16", "fp32"):
        raise SettingsError(f"precision is '{precision}'; it must be auto, bf16 or fp32.")
    if precision == "auto":
        fast = torch.cuda.is_bf16_supported() if device.type == "cuda" else has_fast_bf16()
        return torch.bfloat16 if fast else torch.float32
    return torch.bfloat16 if precision == "bf16" else torch.float32
