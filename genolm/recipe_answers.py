"""What a recipe has finished, as one small file that can be kept with the results and go to another machine.

Figures over seeds, averages and paired differences need the answers of a step, not its network. ``NAME.npz``
holds for each step its figures (``figures``, one JSON text), its answers on the test rows (``STEP/test``) and, of a
training and of a baseline of two classes, its logits on the validation rows (``STEP/valid``).
"""

import json
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from genolm.recipe_config import Recipe, RecipeError
from genolm.recipe_steps import Answer, Ground, Step, what_differs
from genolm.workspace import atomic_write, lock_beside

ANSWERS_FORMAT = 1
_FIGURES, _TEST, _VALID = "figures", "/test", "/valid"
_DAMAGES = (OSError, ValueError, TypeError, AttributeError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)


def answers_file(folder: Path, recipe: Recipe) -> Path:
    """Return the file of a recipe in a folder of answers."""
    return Path(folder) / f"{recipe.name}.npz"


def write_answers(path: Path, steps: Iterable[Step]) -> None:
    """Add what finished steps said to a file, in place of what it has of them.

    Parameters
    ----------
    path : Path
        Made if it is missing, with its folder. What it has of other steps stays, those of a run beside this one too.
    steps : iterable of Step
        All of them finished. Averages are left out, since they are worked out of the others, and so are steps of
        an older genolm, which do not tell their table.

    Raises
    ------
    RecipeError
        The file is of a newer format or cannot be read.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with lock_beside(path):
        _add_to(path, steps)


def _add_to(path: Path, steps: Iterable[Step]) -> None:
    figures, arrays = read_answers(path) if path.is_file() else ({}, {})
    for step in steps:
        (found, answer), logits = step.read(), step.valid_logits
        if "average" in found["settings"] or "table" not in found:
            continue
        figures[step.name] = {**found, "place": [step.protocol, step.method, step.seed]}
        arrays[step.name + _TEST] = _small(answer.probabilities)
        if logits is not None:
            arrays[step.name + _VALID] = logits
    text = json.dumps({"format": ANSWERS_FORMAT, "steps": figures})
    with atomic_write(path) as stream:
        np.savez_compressed(stream, allow_pickle=False, **{_FIGURES: np.array(text)}, **arrays)


def take_up(path: Path, recipe: Recipe, grounds: Mapping[str, Ground], folder: Path) -> tuple[list[str], list[str]]:
    """Put the steps of a file of answers among the finished ones, where they are not and are of the same rows.

    Parameters
    ----------
    path : Path
        Nothing is taken up where it is not there.
    recipe : Recipe
    grounds : mapping of str to Ground
    folder : Path
        Of the recipe's steps.

    Returns
    -------
    taken : list of str
        Names of the steps that are finished now.
    refused : list of str
        A sentence for each step that is of another table, network or settings than the recipe's now.

    Raises
    ------
    RecipeError
        The file is of a newer format or cannot be read.
    """
    refused: list[str] = []
    if not path.is_file():
        return [], refused
    figures, arrays = read_answers(path)
    wanted: list[tuple[str, Step]] = []
    for name, found in figures.items():
        protocol, method, seed = found.pop("place")
        step = Step(protocol, method, seed, folder)
        known = protocol in grounds and (method in recipe.methods or "network" not in found)
        if step.done or not known:
            continue
        other = what_differs(found, grounds[protocol], recipe.methods.get(method))
        if other:
            refused.append(f"{name} in {path} is not taken up, since it is of a training with {other}")
            continue
        if why := _not_of_these_rows(name, arrays, grounds[protocol]):
            raise _no_answers(path, why)
        wanted.append((name, step))
    # Nothing of a damaged file is taken up.
    for name, step in wanted:
        found = figures[name]
        answer = Answer(_whole(arrays[name + _TEST]), found.pop("threshold"))
        step.keep(answer, tuned_on=arrays.get(name + _VALID), **found)
    return [name for name, _ in wanted], refused


def _not_of_these_rows(name: str, arrays: Mapping[str, np.ndarray], ground: Ground) -> str:
    """Return in words why the answers of a step cannot be those of a table's rows, "" where they can."""
    for part, ending in (("test", _TEST), ("valid", _VALID)):
        values, rows = arrays.get(name + ending), len(ground.preparation.rows(part))
        if values is None:
            continue
        if values.ndim not in (1, 2) or len(values) != rows or not np.isfinite(values).all():
            return f"{name + ending} has not one answer for each of {rows:,} rows"
    return ""


def read_answers(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read a file of answers.

    Returns
    -------
    figures : dict of str to dict
        What is told of each step, by its name; ``place`` is its protocol, method and seed.
    arrays : dict of str to np.ndarray
        ``STEP/test`` and ``STEP/valid``; of two classes the former has the probability of the second alone.

    Raises
    ------
    RecipeError
        It is of a newer format or no such file.
    """
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as held:
            arrays = {key: held[key] for key in held.files}
        told = json.loads(str(arrays.pop(_FIGURES)))
        known = told["format"] == ANSWERS_FORMAT
        steps = {name: dict(found) for name, found in told["steps"].items()} if known else {}
    except _DAMAGES as error:
        raise _no_answers(path, error) from error
    if not known:
        raise RecipeError(f"{path} has format {told['format']}, not {ANSWERS_FORMAT}: use a newer genolm.")
    for name, found in steps.items():
        if not _is_step(found) or name + _TEST not in arrays:
            raise _no_answers(path, f"of {name} something is missing")
    return steps, arrays


def _is_step(found: Mapping[str, Any]) -> bool:
    """Return whether the figures of a step have all that is read of them."""
    place, threshold = found.get("place"), found.get("threshold")
    is_placed = isinstance(place, list) and [type(item) for item in place] == [str, str, int]
    keys = {"settings", "table", "scores", "seconds"}
    return is_placed and isinstance(threshold, (int, float)) and keys <= set(found)


def _no_answers(path: Path, why: object) -> RecipeError:
    return RecipeError(f"{path} is no file of answers ({why}); remove it, or name another --answers.")


def _small(chances: np.ndarray) -> np.ndarray:
    """Return probabilities (rows, classes), float32; of two that add up to 1 the second alone."""
    chances = chances.astype(np.float32)
    paired = chances.ndim == 2 and chances.shape[1] == 2 and np.allclose(chances.sum(axis=1), 1, atol=1e-5)
    return chances[:, 1] if paired else chances


def _whole(stored: np.ndarray) -> np.ndarray:
    return np.stack([1 - stored, stored], axis=1) if stored.ndim == 1 else stored
