"""What a training of several stages has finished so far, kept so that the same training can go on after it."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import genolm.compute  # noqa: F401  sets the OpenMP wait policy before torch is loaded
from safetensors.torch import load, save
from torch import Tensor

from genolm.errors import BundleError, SettingsError
from genolm.workspace import atomic_write, room_asked_for

FACTS, PUBLISHED = "facts", "published"
ResultT = TypeVar("ResultT")


class Kept(NamedTuple):
    """What a finished stage left: plain data and weights."""

    data: dict[str, Any]
    tensors: dict[str, Tensor]


class Unfinished:
    """A folder of finished stages; whatever in it is damaged counts as not finished.

    Parameters
    ----------
    folder : Path
        Of one training alone, see :func:`genolm.workspace.exclusive`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def open(self, name: str, facts: Mapping[str, Any]) -> None:
        """Take the folder for the training with these facts; one of other facts is a :class:`SettingsError`."""
        given, kept = json.loads(json.dumps(facts)), self.read(FACTS)
        if kept is None or self._is_published():
            self._clear()
        elif kept != given:
            different = " and ".join(key.replace("_", " ") for key in given if kept.get(key) != given[key])
            raise SettingsError(
                f"An unfinished training of '{name}' was begun with other {different}; give the same to go on with "
                f"it, choose another name, or remove {self.folder} to begin anew."
            )
        self.write(FACTS, given)

    def made(self, name: str) -> Path:
        """Return where the finished model lies until it is published."""
        return self.folder / "made" / name

    def publish(self, folder: Path) -> None:
        """Give the model of :meth:`made` its place and remove all else; a model that came there meanwhile stays.

        Raises
        ------
        SettingsError
            There is one. What was learned is kept.
        """
        self.write(PUBLISHED, folder.name)
        try:
            if folder.exists():
                raise FileExistsError
            os.rename(self.made(folder.name), folder)
        except OSError as error:
            if not folder.exists():
                raise
            raise SettingsError(
                f"A model came into {folder} while '{folder.name}' was trained. What was learned is kept: remove that "
                "model or rename it, and give the same command again."
            ) from error
        self.remove()

    def _is_published(self) -> bool:
        """Return whether the training was over, though its process ended before it had removed all."""
        name = self.read(PUBLISHED)
        return name is not None and not self.made(name).exists()

    def _clear(self) -> None:
        for item in self.folder.iterdir():
            if item.is_dir():
                shutil.rmtree(item)
            elif item.suffix in (".json", ".weights"):
                item.unlink()

    def read(self, stage: str) -> Any | None:
        """Return what a stage left as JSON, None where it is not finished."""
        try:
            return json.loads((self.folder / f"{stage}.json").read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return None

    def write(self, stage: str, data: Any) -> None:
        """Write what a stage leaves as JSON; it counts as finished from then on."""
        with room_asked_for(self.folder), atomic_write(self.folder / f"{stage}.json") as stream:
            stream.write(json.dumps(data).encode())

    def read_weights(self, stage: str) -> Kept | None:
        """Return what :meth:`write_weights` wrote, None where it is missing or damaged."""
        data = self.read(stage)
        if not isinstance(data, dict):
            return None
        try:
            content = (self.folder / f"{stage}.weights").read_bytes()
        except FileNotFoundError:
            return None
        if hashlib.sha256(content).hexdigest() != data.pop("weights_sha256", None):
            return None
        return Kept(data, load(content))

    def write_weights(self, stage: str, data: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Write what a stage leaves, with weights."""
        content = save({key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()})
        with room_asked_for(self.folder), atomic_write(self.folder / f"{stage}.weights") as stream:
            stream.write(content)
        self.write(stage, {**data, "weights_sha256": hashlib.sha256(content).hexdigest()})

    def with_checkpoint(self, stage: str, work: Callable[[Path], ResultT]) -> ResultT:
        """Do a stage that keeps a checkpoint in the folder it is given; a damaged checkpoint begins it anew."""
        folder = self.folder / stage
        try:
            return work(folder)
        except BundleError:
            if not folder.exists():
                raise
            shutil.rmtree(folder)
            return work(folder)

    def remove(self) -> None:
        """Remove the folder, when what was learned is saved elsewhere or worth nothing."""
        shutil.rmtree(self.folder, ignore_errors=True)
