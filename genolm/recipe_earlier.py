"""Keep what an earlier result of a recipe has and a run of a part of it has not.

A result file has the figures of all trainings, those of other machines too, but not their answers. They stay in
the result where they are of the same table and of a method that the recipe still has; paired differences stay
where neither of the two was trained again.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from genolm.recipe_config import Method, Recipe, RecipeError
from genolm.recipe_steps import asked_of
from genolm.result_row import RESULT_FORMAT

_UNCHANGED = ("drop_mult", "mirrored", "shifted", "preset")


def read_earlier(path: Path) -> dict[str, Any]:
    """Read a result file; :class:`RecipeError` where it is none of this format."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        known = found["format"] == RESULT_FORMAT
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise RecipeError(f"{path} is no result of a recipe ({error!r}); remove it, or name another --into.") from error
    if not known:
        raise RecipeError(f"{path} has format {found['format']}, this genolm writes {RESULT_FORMAT}: name another --into.")
    return found


def with_earlier(result: dict[str, Any], earlier: Mapping[str, Any], recipe: Recipe) -> dict[str, Any]:
    """Return a result with what an earlier one of the same recipe has in addition.

    Parameters
    ----------
    result : dict
        Of what is finished here, see :func:`genolm.recipe_result.frame_of`.
    earlier : mapping
        The result as it was before; an empty one adds nothing.
    recipe : Recipe
        As it is now.

    Returns
    -------
    dict
        Whole methods and single seeds come from ``earlier`` where a protocol's table is the same one and a
        method has the same language model, network and settings. The probabilities of seeds from both were never
        averaged, so that such a method has no figures ``together``.
    """
    scores = {key: dict(methods) for key, methods in result["scores"].items()}
    whole = set()
    for protocol, method, found in _usable(earlier, result, recipe):
        own = scores[protocol].get(method)
        scores[protocol][method] = _both(own, found) if own else found
        if not own:
            whole.add((protocol, method))
    methods = {key: earlier["methods"][key] for _, key in whole}
    return {
        **result,
        "scores": {key: _in_order(found, recipe) for key, found in scores.items()},
        "methods": {**methods, **result["methods"]},
        "differences": [*result["differences"], *_gaps(earlier, whole)],
    }


def _usable(
    earlier: Mapping[str, Any], result: Mapping[str, Any], recipe: Recipe
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield protocol, method and scores of what may stay in a newer result."""
    for protocol in result["scores"]:
        if _table(earlier, protocol) == _table(result, protocol):
            for method, found in earlier["scores"].get(protocol, {}).items():
                if _is_same(earlier["methods"][method], recipe.methods.get(method), recipe):
                    yield protocol, method, found


def _gaps(earlier: Mapping[str, Any], whole: set[tuple[str, str]]) -> list[dict[str, Any]]:
    """Return the paired differences of methods that are both of the earlier result alone."""
    return [
        item
        for item in earlier.get("differences", [])
        if {(item["protocol"], item["method"]), (item["protocol"], item["other"])} <= whole
    ]


def seconds_of(result: Mapping[str, Any], recipe: Recipe) -> float:
    """Return how long all trainings and baselines took, each once: an average takes none, nor one that is shared."""
    averages = {key for key, method in recipe.methods.items() if method.average}
    every = {
        (key, item["seed"], item["seconds"])
        for methods in result["scores"].values()
        for key, found in methods.items()
        for item in found["seeds"]
        if key not in averages
    }
    return sum(seconds for *_, seconds in every)


def missing_of(result: Mapping[str, Any], recipe: Recipe) -> Iterator[str]:
    """Yield what of a recipe a result has not, in words: protocol, method and seeds."""
    for protocol, title in recipe.protocols.items():
        for key, method in recipe.methods_of(protocol).items():
            found = result["scores"].get(protocol, {}).get(key, {"seeds": ()})
            done = {item["seed"] for item in found["seeds"]}
            left = [str(seed) for seed in range(1, method.seeds + 1) if seed not in done]
            if left:
                yield f"{title}: {method.title}, seed{'s' if len(left) > 1 else ''} {', '.join(left)}"


def _table(result: Mapping[str, Any], protocol: str) -> str | None:
    return result.get("protocols", {}).get(protocol, {}).get("table_sha256")


def _is_same(earlier: Mapping[str, Any], method: Method | None, recipe: Recipe) -> bool:
    """Return whether a method of an earlier result is still that of the recipe; a simple baseline always is."""
    if method is None:
        return earlier["kind"] == "baseline"
    settings = earlier["settings"]
    if method.average:
        return settings.get("average") == list(method.average)
    if "asked" in earlier:
        return earlier["asked"] == asked_of(recipe, method)
    if not method.from_scratch and earlier["base"] != method.base:
        return False
    # Results from before the recipe's own words were kept: what the plan may not have changed is compared.
    last, asked = settings.get("schedule", [{}])[-1], asked_of(recipe, method)
    kept = {**{key: settings.get(key) for key in _UNCHANGED}, **{key: last.get(key) for key in ("epochs", "lr")}}
    return all(value is None or asked.get(key, value) == value for key, value in kept.items())


def _both(own: Mapping[str, Any], earlier: Mapping[str, Any]) -> dict[str, Any]:
    """Return the seeds of both, ours where both have one."""
    done = {item["seed"] for item in own["seeds"]}
    more = [item for item in earlier["seeds"] if item["seed"] not in done]
    if not more:
        return dict(own)
    return {"seeds": sorted([*own["seeds"], *more], key=lambda item: item["seed"])}


def _in_order(found: Mapping[str, Any], recipe: Recipe) -> dict[str, Any]:
    """Return the methods of a protocol in the recipe's order, then the baselines."""
    place = {key: number for number, key in enumerate(recipe.methods)}
    return dict(sorted(found.items(), key=lambda item: place.get(item[0], len(place))))
