"""Bring what result files say in words up to date with their recipes, without running anything.

A recipe's titles, notes and published figures, and the list of what it asks for, change more often than its
measured figures, and those may be of another machine.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from genolm.recipe_config import Recipe, RecipeError, list_recipes
from genolm.recipe_earlier import missing_of, read_earlier, seconds_of, with_earlier
from genolm.recipe_result import frame_of
from genolm.record import write_json

_WORDS = ("title", "section", "order", "question", "notes", "published")
_MEASURED = ("machine", "version", "date")


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
        There is no folder of results, or one of the files is broken.
    """
    if not Path(results).is_dir():
        raise RecipeError(f"There is no folder {results}; name one that holds result files of recipes.")
    changed = []
    for recipe in list_recipes(recipes):
        path = Path(results) / f"{recipe.name}.json"
        if not path.is_file():
            continue
        before = read_earlier(path)
        after = refreshed(before, recipe)
        if after != before:
            write_json(path, after)
            changed.append(recipe.name)
    return changed


def refreshed(result: Mapping[str, Any], recipe: Recipe) -> dict[str, Any]:
    """Return a result with the words of its recipe as they are now; figures stay as they were measured.

    Parameters
    ----------
    result : mapping
        Of that recipe.
    recipe : Recipe
        Of a table recipe the ways that it asks for otherwise now are left out, as a run of it would do, and what is
        missing is worked out anew. Of one with a function of its own, which says itself what it misses, that stays.
    """
    words = frame_of(recipe)
    if recipe.run:
        words["published"] = list(_with_measured(words["published"], result["published"]))
        return {**result, **{key: words[key] for key in _WORDS}}
    measured = {key: result[key] for key in _MEASURED if key in result}
    shown = {key: item for key, item in result["protocols"].items() if key in recipe.protocols}
    words["protocols"] = {key: {**item, "title": recipe.protocols[key]} for key, item in shown.items()}
    words["scores"] = {key: {} for key in shown}
    found = {**with_earlier(words, result, recipe), **measured}
    found["missing"] = list(missing_of(found, recipe))
    return {**result, **found, "seconds": round(seconds_of(found, recipe), 1)}


def _with_measured(said: list[dict[str, Any]], before: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the published figures of a recipe, and those that its function measured or added."""
    names = [(item["name"], item["protocol"]) for item in said]
    for item in before:
        if (item["name"], item["protocol"]) not in names:
            yield item
    yield from said
