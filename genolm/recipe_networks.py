"""The networks of a table recipe's trainings: what each was begun with, and whether one that is there may be taken.

A network is finished some minutes before its step, which is what it says of all rows. A run that was cut off between
the two goes on with the network, but only where it is what the recipe wants now.
"""

import json
import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import genolm.compute  # noqa: F401  sets the OpenMP wait policy before torch is loaded

from genolm.errors import BundleError
from genolm.recipe_config import Method, RecipeError
from genolm.recipe_steps import Ground, Step, asked_of, base_weights, check_same, model_folder, what_differs
from genolm.record import write_json
from genolm.registry import ModelBundle, load_bundle


def begun_file(step: Step) -> Path:
    """Return the file beside a step's network that tells what its training was begun with."""
    path = model_folder(step)
    return path.with_name(f"{path.name}.begun.json")


def begun(ground: Ground, method: Method) -> dict[str, Any]:
    """Return what a training is begun with: its table, what the recipe asks for, the weights of its language model."""
    return {
        "table": ground.table_sha256,
        "asked": asked_of(ground.recipe, method),
        "base_weights": base_weights(method),
    }


def tell_begun(step: Step, ground: Ground, method: Method) -> None:
    """Write down what a training is begun with, before there is a network."""
    path = begun_file(step)
    path.parent.mkdir(exist_ok=True)
    write_json(path, begun(ground, method))


def check_network(step: Step, ground: Ground, method: Method, others: Iterable[Ground] = ()) -> None:
    """Refuse the network that an unfinished step has left if it is of other rows or settings than the recipe's now.

    One of an older genolm, which did not tell what its training was begun with, is known by the rows in its card alone;
    they may be those of another protocol (of ``others``) with the same training and validation rows.

    Raises
    ------
    RecipeError
        Names its folder.
    """
    path, told = model_folder(step), begun_file(step)
    card = whole_bundle(path).card
    if told.is_file():
        found = json.loads(told.read_text(encoding="utf-8"))
    else:
        alike = {item.table_sha256 for item in (ground, *others) if item.learned_from == ground.learned_from}
        tables = [item.get("sha256", "") for item in card["data"][:1]]
        found = {"table": ground.table_sha256 if alike.intersection(tables) else "".join(tables)}
    if other := what_differs(found, ground, method):
        raise RecipeError(f"{path} is of a training with {other}: remove it, or name another --out.")


def whole_bundle(path: Path) -> ModelBundle:
    """Return the bundle of a folder; a :class:`RecipeError` that says to remove it where it is none."""
    try:
        return load_bundle(path)
    except BundleError as error:
        raise RecipeError(f"{error} Remove {path} and run the recipe again.") from error


def copy_of_twin(step: Step, ground: Ground, method: Method, others: Iterable[Ground]) -> bool:
    """Copy the network of the same training under another protocol with the same training and validation rows.

    Returns
    -------
    bool
        Whether there is one, among ``others``. A copy takes its name only when all of it is there.

    Raises
    ------
    RecipeError
        That training had other settings than the recipe has now.
    """
    for other in others:
        twin = replace(step, protocol=other.protocol)
        alike = ground.learned_from == other.learned_from
        if twin == step or not (alike and twin.done and model_folder(twin).is_dir()):
            continue
        check_same(twin, other, method)
        _copy_whole(model_folder(twin), model_folder(step))
        return True
    return False


def _copy_whole(source: Path, target: Path) -> None:
    """Copy a folder that takes its name only when all of it is there."""
    draft = target.with_name(f".{target.name}.copy")
    shutil.rmtree(draft, ignore_errors=True)
    shutil.copytree(source, draft)
    draft.replace(target)
