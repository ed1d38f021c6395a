"""A training's checkpoint: a folder that holds the last one and the one before, which serves when the last is
damaged."""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import genolm.compute  # noqa: F401  sets the OpenMP wait policy before torch is loaded
from safetensors.torch import load, save
from torch import Tensor

from genolm.errors import BundleError
from genolm.workspace import room_asked_for

STATE_FILES = ("state.json", "previous.json")


def write_checkpoint(folder: Path, name: str, position: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Write a checkpoint; one that is cut off in the middle leaves the one before in force.

    Parameters
    ----------
    folder : Path
    name : str
        Of this checkpoint among those of the training.
    position : mapping
        Plain data.
    tensors : mapping of str to Tensor
        Contiguous, on the CPU, none sharing memory with another.

    Raises
    ------
    SettingsError
        It cannot be written, as on a full disk.
    """
    content = save(dict(tensors))
    digest = hashlib.sha256(content).hexdigest()
    state = {"tensors": f"{name}.safetensors", "sha256": digest, "position": position}
    fresh, present = folder / "state.json.new", folder / STATE_FILES[0]
    kept = {f"{name}.safetensors"}
    with room_asked_for(folder):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.safetensors").write_bytes(content)
        fresh.write_text(json.dumps(state))
        if present.exists():
            kept.add(_tensors_of(present))
            os.replace(present, folder / STATE_FILES[1])
        os.replace(fresh, present)
    for old in folder.glob("step-*.safetensors"):
        if old.name not in kept:
            old.unlink()


def read_checkpoint(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
    """Return position and tensors of the newest checkpoint that is whole, None where there is none at all."""
    problem: Exception | None = None
    for path in (folder / name for name in STATE_FILES):
        try:
            state = json.loads(path.read_text())
            content = (folder / state["tensors"]).read_bytes()
        except FileNotFoundError as error:
            problem = problem or (error if path.exists() else None)
            continue
        except (ValueError, KeyError, TypeError) as error:
            problem = error
            continue
        if hashlib.sha256(content).hexdigest() == state.get("sha256"):
            return state["position"], load(content)
        problem = ValueError("its weights do not have the hash that was written down")
    if problem is not None:
        raise BundleError(
            f"The checkpoint in {folder} cannot be read ({problem}); remove the folder to start again."
        )
    return None


def checkpoint_beside(folder: Path) -> Path:
    """Return the hidden folder in which a training that makes ``folder`` keeps what it has finished."""
    return folder.with_name(f".{folder.name}.training")


def remove_checkpoint(folder: Path) -> None:
    """Remove a run's checkpoint, if there is one; to be called when what was learned is saved elsewhere."""
    if folder.exists():
        shutil.rmtree(folder)


def tensors_under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose keys begin with ``prefix``, under the rest of their keys."""
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def _tensors_of(path: Path) -> str:
    try:
        return str(json.loads(path.read_text())["tensors"])
    except (ValueError, KeyError):
        return ""
