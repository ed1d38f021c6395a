"""Bring what result files say in words up to date with their recipes, without running anything.

A recipe's titles, notes and published figures, and the list of what it asks for, change more often than its
measured figures, and those may be of another machine.
"""

from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from genolm.recipe_config import Protocol, Recipe, RecipeError, list_recipes
from genolm.recipe_earlier import missing_of, read_earlier, seconds_of, told_of, with_earlier
from genolm.recipe_own import lost_of, of_same_sources
from genolm.recipe_result import frame_of
from genolm.record import write_json

_MEASURED = ("machine", "version", "date")
_WORDS = ("title", "section", "order", "question", "notes")


def refresh(results: Path, recipes: Path) -> list[str]:
    """Write what recipes say now into their result files; return the names of those that changed.

    Parameters
    ----------
    results : Path
        Folder of result files; a recipe without one is passed over.
    recipes : Path
        Folder of recipes.

    Raises
    ------
    RecipeError
        There is no folder of results, one of the files is broken, or its figures are of other files or settings than
        the recipe has now; all other files are written before that is said.
    """
    if not Path(results).is_dir():
        raise RecipeError(f"There is no folder {results}; name one that holds result files of recipes.")
    changed, faults = [], []
    for recipe in list_recipes(recipes):
        path = Path(results) / f"{recipe.name}.json"
        if not path.is_file():
            continue
        try:
            before = read_earlier(path)
            after = refreshed(before, recipe)
        except RecipeError as error:
            faults.append(str(error))
            continue
        if after != before:
            write_json(path, after)
            changed.append(recipe.name)
    if faults:
        raise RecipeError("\n".join(faults))
    return changed


def refreshed(result: Mapping[str, Any], recipe: Recipe) -> dict[str, Any]:
    """Return a result with the words of its recipe as they are now; figures stay as they were measured.

    Parameters
    ----------
    result : mapping
        Of that recipe.
    recipe : Recipe
        Of a table recipe what is missing is worked out anew. One with a function of its own says itself what it
        misses, so that this stays.

    Raises
    ------
    RecipeError
        Figures are of other source files, methods or settings than the recipe's now, or intervals drawn otherwise.
    """
    words = frame_of(recipe)
    if not of_same_sources(result, recipe):
        raise RecipeError(f"The result of '{recipe.name}' is of other source files than the recipe has: run it again.")
    words["published"] = list(_published(words["published"], result.get("published", ())))
    if recipe.run:
        return {**result, **{key: words[key] for key in _WORDS}, "published": words["published"]}
    shown = {key: item for key, item in result.get("protocols", {}).items() if key in recipe.protocols}
    said = {item.name for item in fields(Protocol)}
    words["protocols"] = {
        key: {name: value for name, value in item.items() if name not in said} | recipe.protocols[key].as_dict()
        for key, item in shown.items()
    }
    for key in shown:
        if told_of(result, key, "drawn_by") != told_of(words, key, "drawn_by"):
            raise RecipeError(
                f"The result of '{recipe.name}' has intervals under {key} that are drawn over others than the recipe "
                "says now. It stays as it is: run the recipe, which draws them anew."
            )
    words["scores"] = {key: {} for key in shown}
    found = {**with_earlier(words, result, recipe), **{key: result[key] for key in _MEASURED if key in result}}
    if lost := lost_of(found, result):
        raise RecipeError(
            f"The result of '{recipe.name}' has figures that the recipe does not ask for, or asks for otherwise now "
            f"({'; '.join(lost)}). It stays as it is: run the recipe, which leaves them out."
        )
    found["missing"] = list(missing_of(found, recipe))
    return {**result, **found, "seconds": round(seconds_of(found, recipe), 1)}


def _published(said: list[dict[str, Any]], before: Any) -> Iterator[dict[str, Any]]:
    """Yield a recipe's published figures, with the leads that were measured beside them.

    Those of one that names none were found by its own function, and stay.
    """
    leads = {(item["name"], item.get("protocol")): item["leads"] for item in before if item.get("leads")}
    for item in said or before:
        known = leads.get((item["name"], item.get("protocol")))
        yield {**item, "leads": known} if known else item
