"""Keep what an earlier result of a recipe has and a run of a part of it has not.

A result file has the figures of all trainings, those of other machines too, but not their answers. They stay in
the result where they are of the same table and of a method that the recipe still has. Paired differences are of
all seeds that a result has of both methods: those of the earlier result stay where neither of the two was trained
again, or was so with the very same figures (their intervals may be drawn by newer rules), and those of the run go
where seeds came from the earlier result.
"""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from genolm.config import FinetuneSettings
from genolm.recipe_config import Method, Recipe, RecipeError
from genolm.recipe_steps import asked_of, base_weights, is_absent, network_of
from genolm.result_row import BASELINE, BASELINE_TITLES, RESULT_FORMAT

SAME_FIGURE = 1e-6
"""Figures that differ by less are one, worked out anew from answers that were kept with fewer digits."""


def read_earlier(path: Path) -> dict[str, Any]:
    """Read a result file; :class:`RecipeError` where it is none of this format."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        known = found["format"] == RESULT_FORMAT
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise RecipeError(f"{path} is no result of a recipe ({error!r}); remove it, or name another --into.") from error
    if not known:
        raise RecipeError(
            f"{path} has format {found['format']}, this genolm writes {RESULT_FORMAT}: name another --into."
        )
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
        averaged, so that such a method has no figures ``together`` and no paired differences; nor has one whose
        seeds in ``earlier`` are more than the recipe wants now. Where intervals are drawn by something else now, the
        figures stay without them.
    """
    scores = {key: dict(methods) for key, methods in result["scores"].items()}
    methods, whole, mixed = {}, set(), set()
    for protocol, method, found in _usable(earlier, result, recipe):
        own = scores[protocol].get(method)
        scores[protocol][method] = _both(own, found) if own else found
        if not own:
            methods[method] = _told(earlier["methods"][method], recipe.methods.get(method))
        elif len(scores[protocol][method]["seeds"]) > len(own["seeds"]):
            mixed.add((protocol, method))
        if _is_drawn_so(earlier, result, protocol) and _has_the_figures_of(
            earlier["scores"][protocol][method], own or found
        ):
            whole.add((protocol, method))
    gaps = [item for item in result["differences"] if not pair_of(item) & mixed]
    kept = _runs(scores) > _runs(result["scores"])
    return {
        **result,
        "machine": {**result["machine"], "earlier": machines_of(earlier)} if kept else result["machine"],
        "scores": {key: _in_order(found, recipe) for key, found in scores.items()},
        "methods": {**methods, **result["methods"]},
        "differences": [*gaps, *gaps_of(earlier, gaps, whole)],
    }


def completed(result: dict[str, Any], earlier: Mapping[str, Any], recipe: Recipe) -> dict[str, Any]:
    """Return :func:`with_earlier`, with what is ``missing`` still and the ``seconds`` of all that is there."""
    both = with_earlier(result, earlier, recipe)
    return {**both, "missing": list(missing_of(both, recipe)), "seconds": round(seconds_of(both, recipe), 1)}


def _usable(
    earlier: Mapping[str, Any], result: Mapping[str, Any], recipe: Recipe
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield protocol, method and scores of what may stay in a newer result."""
    for protocol in result["scores"]:
        if not earlier or told_of(earlier, protocol, "table_sha256") != told_of(result, protocol, "table_sha256"):
            continue
        is_drawn_so = _is_drawn_so(earlier, result, protocol)
        told, ours = earlier["scores"].get(protocol, {}), recipe.methods_of(protocol)
        same = {key for key in told if _is_same(earlier["methods"][key], ours.get(key), recipe)}
        same = {key for key in same if key in ours or recipe.baselines is None or key in recipe.baselines}
        # An average stays only with all that it is of, a network read again where it is the same network.
        own = result["scores"][protocol]
        framed = {key: ours[key].framed_of for key in same & ours.keys() if ours[key].framed_of}
        same -= {key for key, part in framed.items() if part not in same | own.keys()}
        same -= {key for key, part in framed.items() if part in own and _is_of_others(told[key], own[part])}
        averages = {key for key in same & ours.keys() if ours[key].average}
        same -= {key for key in averages if not set(ours[key].average) <= same - own.keys()}
        for method in told:
            if method in same:
                found = _first_seeds(told[method], ours[method].seeds if method in ours else 1)
                if found["seeds"]:
                    yield protocol, method, found if is_drawn_so else _without_intervals(found)


def _is_drawn_so(earlier: Mapping[str, Any], result: Mapping[str, Any], protocol: str) -> bool:
    """Return whether intervals of two results are drawn by the same groups, or both over rows."""
    return told_of(earlier, protocol, "drawn_by") == told_of(result, protocol, "drawn_by")


def _is_of_others(found: Mapping[str, Any], part: Mapping[str, Any]) -> bool:
    """Return whether a result's networks that answer again are others than those that were trained since."""
    now = {run["seed"]: run.get("weights") for run in part["seeds"]}
    return any(now.get(run["seed"], run.get("weights")) != run.get("weights") for run in found["seeds"])


def _first_seeds(found: Mapping[str, Any], most: int) -> dict[str, Any]:
    """Return the scores of a method without seeds that are more; those of all ``together`` stay only with all."""
    runs = [run for run in found["seeds"] if run["seed"] <= most]
    return dict(found) if len(runs) == len(found["seeds"]) else {"seeds": runs}


def gaps_of(
    earlier: Mapping[str, Any], own: list[dict[str, Any]], whole: set[tuple[str, str]]
) -> list[dict[str, Any]]:
    """Return the paired differences that the earlier result alone has, of methods that are as they were."""
    told = [pair_of(item) for item in own]
    return [item for item in earlier.get("differences", []) if pair_of(item) <= whole and pair_of(item) not in told]


def pair_of(gap: Mapping[str, Any]) -> set[tuple[str, str]]:
    """Return the two methods of a paired difference, each with the protocol."""
    return {(gap["protocol"], gap["method"]), (gap["protocol"], gap["other"])}


def _runs(scores: Mapping[str, Mapping[str, Any]]) -> int:
    return sum(len(found["seeds"]) for methods in scores.values() for found in methods.values())


def _has_the_figures_of(earlier: Mapping[str, Any], found: Mapping[str, Any]) -> bool:
    """Return whether a method has the seeds and figures of an earlier result; intervals may be others."""
    before, now = ({run["seed"]: run["metrics"] for run in item["seeds"]} for item in (earlier, found))
    keys = [{seed: set(metrics) for seed, metrics in item.items()} for item in (before, now)]
    if keys[0] != keys[1]:
        return False
    return all(_is_the_figure(item, now[seed][key]) for seed in before for key, item in before[seed].items())


def _is_the_figure(earlier: Any, found: Any) -> bool:
    if not (isinstance(earlier, Mapping) and isinstance(found, Mapping)):
        return earlier == found
    before, now = earlier["value"], found["value"]
    return before == now if None in (before, now) else math.isclose(before, now, rel_tol=0, abs_tol=SAME_FIGURE)


def seconds_of(result: Mapping[str, Any], recipe: Recipe) -> float:
    """Return how long all trainings and baselines took; what is made of others counts for nothing.

    A network of two protocols counts once.
    """
    made = {key for key, method in recipe.methods.items() if method.parts}
    every = {
        item.get("weights") or (protocol, key, item["seed"]): item["seconds"]
        for protocol, methods in result["scores"].items()
        for key, found in methods.items()
        for item in found["seeds"]
        if key not in made
    }
    return sum(every.values())


def missing_of(result: Mapping[str, Any], recipe: Recipe) -> Iterator[str]:
    """Yield what of a recipe a result has not, in words: protocol, method and seeds.

    Baselines that the recipe names are wanted under all protocols; where it names none, those that were fitted under
    one of them.
    """
    baselines = recipe.baselines
    if baselines is None:
        scored = dict.fromkeys(key for methods in result["scores"].values() for key in methods)
        baselines = [key for key in scored if result["methods"].get(key, {}).get("kind") == BASELINE]
    for protocol, item in recipe.protocols.items():
        for key, method in recipe.methods_of(protocol).items():
            found = result["scores"].get(protocol, {}).get(key, {"seeds": ()})
            done = {run["seed"] for run in found["seeds"]}
            left = [str(seed) for seed in range(1, method.seeds + 1) if seed not in done]
            if left:
                yield f"{item.title}: {method.title}, seed{'s' if len(left) > 1 else ''} {', '.join(left)}"
        for key in baselines:
            if key not in result["scores"].get(protocol, {}):
                yield f"{item.title}: {BASELINE_TITLES.get(key, key)}"


def told_of(result: Mapping[str, Any], protocol: str, key: str) -> Any:
    """Return what a result tells of a protocol, None where it tells nothing."""
    return result.get("protocols", {}).get(protocol, {}).get(key)


def _without_intervals(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the scores of a method whose intervals were drawn over other groups, which are gone."""

    def bare(metrics: Mapping[str, Any]) -> dict[str, Any]:
        return {key: {**item, "low": None, "high": None} for key, item in metrics.items()}

    seeds = [{**run, "metrics": bare(run["metrics"])} for run in found["seeds"]]
    return {"seeds": seeds} | ({"together": bare(found["together"])} if "together" in found else {})


def _is_same(earlier: Mapping[str, Any], method: Method | None, recipe: Recipe) -> bool:
    """Return whether a method of an earlier result is still that of the recipe; a simple baseline always is."""
    if method is None:
        return earlier["kind"] == "baseline"
    settings = earlier["settings"]
    if method.average:
        return settings.get("average") == list(method.average)
    if method.framed_of:
        return settings.get("framed_of") == method.framed_of
    if "network" in earlier and not is_absent(method) and earlier["network"] != network_of(recipe, method):
        return False
    if "base_weights" in earlier and not is_absent(method) and earlier["base_weights"] != base_weights(method):
        return False
    asked = asked_of(recipe, method)
    return earlier["asked"] == asked if "asked" in earlier else _seems_same(earlier, method, asked)


def _seems_same(earlier: Mapping[str, Any], method: Method, asked: Mapping[str, Any]) -> bool:
    """Compare what a result from before the recipe's own words were kept tells of its settings.

    A plan may have taken a smaller batch than was asked for, and chosen what was not asked for.
    """
    settings = earlier["settings"]
    if not method.from_scratch and earlier["base"] != method.base:
        return False
    named = ("mirrored", "shifted", "trimmed", "preset")
    usual = {key: asked.get(key, getattr(FinetuneSettings(), key)) for key in named}
    if any(settings.get(key, value) != value for key, value in usual.items()):
        return False
    told = {"drop_mult": settings.get("drop_mult"), **settings.get("schedule", [{}])[-1]}
    if any(asked.get(key, told.get(key)) != told.get(key) for key in ("drop_mult", "epochs", "lr")):
        return False
    return settings.get("batch_size", 0) <= asked.get("batch_size", math.inf)


def _told(earlier: Mapping[str, Any], method: Method | None) -> dict[str, Any]:
    """Return what a result says of an earlier method, in the recipe's words of now."""
    if method is None:
        return dict(earlier)
    kept = {key: value for key, value in earlier.items() if key != "aside"}
    return kept | {"title": method.title} | ({"aside": method.aside} if method.aside else {})


def machines_of(earlier: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return on what the parts of an earlier result were made, each once: machine, version and date."""
    own = {key: value for key, value in earlier.get("machine", {}).items() if key != "earlier"}
    last = {**own, "version": earlier.get("version", ""), "date": earlier.get("date", "")}
    found = [*earlier.get("machine", {}).get("earlier", []), last]
    return [item for place, item in enumerate(found) if item not in found[:place]]


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
