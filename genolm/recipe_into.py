"""Write a finished result into a folder of results that other runs write into too."""

from pathlib import Path

import genolm.compute  # noqa: F401  sets the OpenMP wait policy before torch is loaded

from genolm.recipe_config import Recipe
from genolm.recipe_earlier import completed, read_earlier
from genolm.recipe_own import check_nothing_lost, joined, of_same_sources
from genolm.record import write_json
from genolm.workspace import lock_beside, report_folder


def result_in(folder: Path, recipe: Recipe) -> Path:
    """Return a recipe's file in a folder of results, which is made; told before the long work and not after it.

    Raises
    ------
    SettingsError
        The folder cannot be made.
    """
    return report_folder(folder, "--into") / f"{recipe.name}.json"


def write_into(path: Path, written: Path, recipe: Recipe) -> None:
    """Write a result over an earlier one, with what that has in addition by now; no other run does so meanwhile.

    Parameters
    ----------
    path : Path
        Of the earlier result; it need not be there.
    written : Path
        The result file of a run that has ended.
    recipe : Recipe

    Raises
    ------
    RecipeError
        ``path`` is no result file, or has runs that cannot stay in the result of a recipe with a function of its own.
    """
    with lock_beside(path):
        result = read_earlier(written)
        if path.is_file():
            earlier = read_earlier(path)
            if recipe.run:
                result = joined(result, of_same_sources(earlier, recipe))
                check_nothing_lost(result, earlier, path, written)
            else:
                result = completed(result, earlier, recipe)
        write_json(path, result)
