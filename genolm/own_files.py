"""What a result may take the place of: files of an earlier run of its command, never what it is made from."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from genolm.errors import SettingsError, first_names
from genolm.job_files import read_record
from genolm.record import RECORD_NAME

PathLike = str | os.PathLike[str]


def check_inputs_stay(outputs: Iterable[PathLike | None], inputs: Iterable[PathLike | None]) -> None:
    """Refuse a result that would take the place of a file that it is made from; None is no file.

    Raises
    ------
    SettingsError
    """
    sources = [Path(path) for path in inputs if path is not None and Path(path).exists()]
    for target in (Path(path) for path in outputs if path is not None and Path(path).exists()):
        for source in sources:
            if target.samefile(source):
                raise SettingsError(
                    f"The result would take the place of {source}, which it is made from; write it to another place."
                )


def check_own_files(folder: PathLike, names: Sequence[str], command: str, *, listed: bool = False) -> None:
    """Refuse a folder that holds files of these names which no earlier run of the command wrote.

    Parameters
    ----------
    folder : path
        Need not exist.
    names : sequence of str
        What will be written there, or removed.
    command : str
        As the record of a run names it.
    listed : bool
        Only files that the earlier run's record lists are its own; else all of ``names``.

    Raises
    ------
    SettingsError
    """
    folder = Path(folder)
    there = [name for name in names if (folder / name).exists()]
    record = read_record(folder / RECORD_NAME) or {}
    wrote = record.get("command")
    if there and wrote is not None and wrote != command:
        raise SettingsError(
            f"The folder {folder} holds the result of genolm {wrote} ({RECORD_NAME}), which would be lost; write to "
            "another folder."
        )
    own: set[str] = set()
    if wrote == command:
        own = {RECORD_NAME, *_outputs_of(record)} if listed else {*names}
    if foreign := [name for name in there if name not in own]:
        raise SettingsError(
            f"The folder {folder} holds {first_names(foreign)}, which no earlier run of genolm {command} wrote and "
            "which would be lost; write to another folder, or move what is yours elsewhere."
        )


def _outputs_of(record: dict[str, Any]) -> set[str]:
    outputs = record.get("outputs") or []
    return {str(item["name"]) for item in outputs if isinstance(item, dict) and "name" in item}
