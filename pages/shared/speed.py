"""How fast a model is on this machine: measured once, and anew when other work that ran meanwhile is over."""

import os
from collections.abc import Callable, Hashable
from typing import Generic, NamedTuple, TypeVar

import streamlit as st

from genolm.job_queue import worker_threads
from genolm.jobs import list_jobs

LONGER = "it is longer while other work runs"
SHORTER = "measured while other work ran, it may be much shorter once that is over"
"""What to add to a time that was measured here."""
_KEPT = 64

Rate = TypeVar("Rate")


class Speed(NamedTuple, Generic[Rate]):
    """What was measured, and whether other work ran meanwhile."""

    rate: Rate
    busy: bool

    @property
    def words(self) -> str:
        """What a time by this speed is to be taken with."""
        return SHORTER if self.busy else LONGER


def measured(key: Hashable, measure: Callable[[], Rate]) -> Speed[Rate]:
    """Return a speed that is kept under ``key`` as long as the app runs; ``measure`` gives it.

    One that was measured while other work ran is measured anew as soon as none does.
    """
    kept, busy = _speeds(), _is_busy()
    if key not in kept or (kept[key].busy and not busy):
        with st.spinner("Measuring the speed here"):
            kept[key] = Speed(measure(), busy)
        for old in list(kept)[:-_KEPT]:
            kept.pop(old, None)
    return kept[key]


@st.cache_resource
def _speeds() -> dict[Hashable, Speed]:
    return {}


def _is_busy() -> bool:
    """Return whether jobs run here, or half of the processor is taken by other work."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    return load > worker_threads() / 2 or any(job.state == "running" for job in list_jobs())
