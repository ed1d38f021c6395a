"""A request to stop, by a signal: the work ends at its next report of progress, where it keeps what it has."""

import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from types import FrameType

from genolm.errors import Cancelled

SHELL_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# From a request until the work is broken off if no report has ended it in good order; a scheduler such as Slurm
# waits for 30 seconds.
SHELL_SECONDS = 15.0
STOPPING = b"\nStopping at the next report of progress; once more to stop at once.\n"
_asked: list[int] = []


def asked() -> int:
    """Return the number of the signal that asked this process to stop, 0 while none has."""
    return _asked[-1] if _asked else 0


def stop_if_asked() -> None:
    """Stop the work here, with :class:`genolm.errors.Cancelled`, if that was asked for."""
    if _asked:
        signal.setitimer(signal.ITIMER_REAL, 0)
        raise Cancelled("Stopped as asked; what was finished before is kept.")


def listen(numbers: Sequence[int], seconds: float, *, patient: bool) -> None:
    """Take these signals for a request to stop; to be called in the main thread.

    The next :func:`stop_if_asked` ends the work. Where none comes within ``seconds`` the work is broken off wherever
    it is, by a :class:`SystemExit` with 128 and the number of the signal, the code that shells know. A second signal
    is without effect if ``patient``, else it breaks off at once.
    """
    _asked.clear()
    signal.signal(signal.SIGALRM, _break_off)
    for number in numbers:
        signal.signal(number, partial(_ask, numbers, seconds, patient))


@contextmanager
def listening() -> Iterator[None]:
    """Listen in a shell until the block ends, see :func:`listen`; nothing changes where signals cannot be taken."""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (*SHELL_SIGNALS, signal.SIGALRM)}
    listen(SHELL_SIGNALS, SHELL_SECONDS, patient=False)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


def _ask(
    numbers: Sequence[int], seconds: float, patient: bool, number: int, frame: FrameType | None
) -> None:
    _asked.append(number)
    if not patient:
        # Not by print, which may be in the middle of a line of its own.
        with suppress(OSError):
            os.write(2, STOPPING)
    for one in numbers:
        signal.signal(one, signal.SIG_IGN if patient else _break_off)
    signal.setitimer(signal.ITIMER_REAL, seconds)


def _break_off(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + asked())
