"""Every error that genolm raises on purpose, on one page.

A message is one sentence or two: what was found, where (file, record, line), and what to do.
The command line prints the message and ends with exit code 2; a page shows it in place of a result.
"""

import os
from collections.abc import Sequence
from typing import Any


class GenolmError(Exception):
    """Base of every error that a user can mend; its text is meant to be shown as it stands."""


class SequenceError(GenolmError):
    """A sequence file or a pasted sequence that cannot be used: names file, record and line."""


class TableError(GenolmError):
    """A labelled table that cannot be used: names file, row and column."""


class RegionError(GenolmError):
    """A region such as ``chr1:1K-2M`` that cannot be read or lies outside the sequence."""


class BundleError(GenolmError):
    """A model bundle that is missing, corrupt, of a newer format, or of the wrong kind."""


class SettingsError(GenolmError):
    """An option with a value that cannot work: names the option, the value and what is allowed."""


class TrainingError(GenolmError):
    """A training that cannot start or had to stop, such as a loss that is no longer finite."""


class Cancelled(GenolmError):
    """The user asked for a stop; what was finished before is kept."""


def check_list(value: Any, name: str) -> None:
    """Refuse one text or path, which is read letter by letter, where an argument is a list of them.

    Raises
    ------
    SettingsError
        Names the argument.
    """
    if isinstance(value, (str, bytes, os.PathLike)):
        raise SettingsError(f"{name} is one text, {str(value)[:60]!r}, where a list is expected; put it in a list.")


def first_names(names: Sequence[str], shown: int = 5, count: int | None = None) -> str:
    """Return the first names of many for a message, and how many more there are: ``a, b and 7 more``.

    Parameters
    ----------
    names : sequence of str
        At least the first ``shown`` of them, each once.
    shown : int
        How many to name; default 5.
    count : int, optional
        How many there are in all; by default as many as ``names``.
    """
    more = (len(names) if count is None else count) - shown
    return ", ".join(names[:shown]) + (f" and {more:,} more" if more > 0 else "")
