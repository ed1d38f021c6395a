"""The built-in model of a recipe: chosen among its trainings, with a card that tells its result."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import genolm.compute  # noqa: F401  sets the OpenMP wait policy before torch is loaded
import numpy as np

from genolm.calibration import with_either
from genolm.cards import merged_data
from genolm.metrics import as_json, score
from genolm.orientation import oriented_logits, why_not_either
from genolm.predict import Predictor
from genolm.recipe_config import Recipe, RecipeError
from genolm.recipe_run import RESULT, function_of, modules_of
from genolm.recipe_steps import Answer, Ground, Step, model_folder, open_ground
from genolm.recipe_work import threshold_of
from genolm.record import file_facts
from genolm.registry import ModelBundle, load_bundle, save_bundle
from genolm.result_row import BASELINE, is_naive
from genolm.samples import sample_pieces
from genolm.sequences import reverse_complement
from genolm.trained import own_headline
from genolm.workspace import samples_dir

SAMPLE_CLASSES = 5
UNKNOWN_STRAND = "the same test, strand unknown (both are read)"
"""What a card calls the figures on the test rows without a word on their strand."""


def publish(recipe: Recipe, out: Path, target: Path) -> Path:
    """Save the recipe's built-in model: of its trainings the one with the lowest loss on validation rows.

    Returns
    -------
    Path
        ``target``, a folder named as the model.

    Raises
    ------
    RecipeError
        When the recipe makes no model, none of its trainings is finished, or the network of the chosen one is on
        the machine that trained it.
    """
    check_has_model(recipe)
    folder = Path(out) / recipe.name
    method = recipe.methods[recipe.model.method]
    steps = [
        Step(recipe.model.protocol, recipe.model.method, seed, folder / "steps")
        for seed in range(1, method.seeds + 1)
    ]
    done = [step for step in steps if step.done]
    if not done:
        raise RecipeError(f"No training of '{recipe.model.method}' under '{recipe.model.protocol}' is finished.")
    best = min(done, key=lambda step: step.read()[0]["valid_loss"])
    return _published(recipe, json.loads((folder / RESULT).read_text(encoding="utf-8")), best, target)


def _published(recipe: Recipe, result: Mapping[str, Any], best: Step, target: Path) -> Path:
    if not model_folder(best).is_dir():
        raise RecipeError(
            f"Of {best.name}, the best by its loss on validation rows, only the answers are here: remove "
            f"{best.figures} and run the recipe without --answers to train it here."
        )
    bundle, model = load_bundle(model_folder(best)), recipe.model
    if best.read()[0].get("weights", bundle.sha256) != bundle.sha256:
        raise RecipeError(f"{model_folder(best)} is not the network of {best.figures}: remove both and train again.")
    ground, answer = _ground_of(recipe, best), best.read()[1]
    bundle = _called_from(answer.threshold, bundle, ground)
    tests = {"test": ground.scores(answer), **_further_tests(recipe, best)}
    return _save(recipe, result, bundle, ground, tests, target)


def publish_again(recipe: Recipe, out: Path, target: Path) -> Path:
    """Judge the recipe's built-in model by what holds today and write its card anew; its weights stay.

    Its threshold, how it reads sequences of unknown strand, its figures, and the baselines and words of its card may
    be of an older rule, of an older result or of an older recipe.

    Parameters
    ----------
    recipe : Recipe
    out : Path
        Folder of all recipes' runs; of this recipe's the tables and the result are read.
    target : Path
        The built-in model.

    Returns
    -------
    Path
        ``target``.

    Raises
    ------
    RecipeError
        The recipe makes no model, or the one that is there was trained on other rows than its tables have.
    """
    bundle, folder = check_judged(recipe, target), Path(out) / recipe.name
    result = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    lacking = [key for key in bundle.card["baselines"] if key not in _others(result, recipe.model.protocol)]
    if recipe.model.method not in result["scores"].get(recipe.model.protocol, {}) or lacking:
        raise RecipeError(
            f"{folder / RESULT} has not all figures that the card of {target} tells of (method {recipe.model.method}"
            f"{', ' + ', '.join(lacking) if lacking else ''}): name the folder of results as --into, or run them."
        )
    with modules_of(recipe):
        grounds = _grounds_of(recipe, folder, recipe.protocols)
        ground = grounds.pop(recipe.model.protocol)
        if ground.table_sha256 not in [item.get("sha256") for item in bundle.card["data"]]:
            raise RecipeError(f"{target} was trained on other rows than {ground.path}, so its card stays as it is.")
        bundle = _called_from(None, bundle, ground)
        tests = {"test": _test_scores(bundle, ground)}
        for protocol, other in grounds.items():
            if other.learned_from == ground.learned_from:
                tests[_title_of(recipe, protocol)] = _test_scores(bundle, other)
    return _save(recipe, result, bundle, ground, tests, target)


def check_judged(recipe: Recipe, target: Path) -> ModelBundle:
    """Return the built-in model that is to be judged anew; :class:`RecipeError` where it is not the recipe's."""
    check_has_model(recipe)
    bundle = load_bundle(target)
    if bundle.card.get("recipe") != _told_as(recipe):
        raise RecipeError(f"{target} is not the built-in model of the recipe '{recipe.name}', so it stays as it is.")
    return bundle


def _told_as(recipe: Recipe) -> str:
    return f"recipes/{recipe.name}.toml"


def _others(result: Mapping[str, Any], protocol: str) -> dict[str, Any]:
    """Return the figures of baselines and of networks from scratch, by title."""
    return {
        result["methods"][key]["title"]: item.get("together") or item["seeds"][0]["metrics"]
        for key, item in result["scores"].get(protocol, {}).items()
        if result["methods"][key]["kind"] == BASELINE or is_naive(key)
    }


def check_has_model(recipe: Recipe) -> None:
    """Refuse a recipe that makes no built-in model."""
    if recipe.model is None:
        raise RecipeError(f"The recipe '{recipe.name}' makes no built-in model; it has no [model].")


def _test_scores(bundle: ModelBundle, ground: Ground) -> dict[str, Any]:
    predictor = Predictor(bundle)
    chances = predictor.probabilities(predictor.logits(ground.preparation.samples("test").sequences))
    return ground.scores(Answer(chances, bundle.config.calibration.threshold))


def _save(
    recipe: Recipe,
    result: Mapping[str, Any],
    bundle: ModelBundle,
    ground: Ground,
    tests: Mapping[str, Any],
    target: Path,
) -> Path:
    """Save a network as the recipe's built-in model, with a card that tells its tests and those of others."""
    model, scores = recipe.model, result["scores"][ground.protocol]
    limits = [model.scan_limit, *model.limits] if model.scan_limit else model.limits
    metrics = {"valid": bundle.card["metrics"]["valid"], "test": tests["test"], **_of_unknown_strand(bundle, ground)}
    card = {
        **{key: item for key, item in bundle.card.items() if key not in ("test_of", "scan_limit")},
        **{key: getattr(model, key) for key in ("title", "purpose", "licence")},
        "recipe": _told_as(recipe),
        "metrics": {**metrics, **tests},
        **({"test_of": _title_of(recipe, ground.protocol)} if len(tests) > 1 else {}),
        **own_headline(bundle.config.head.task),
        "baselines": _others(result, ground.protocol),
        "data": merged_data([_source_of(result, ground.protocol), *bundle.card["data"]]),
        "limits": [*limits, *_seeds_sentence(scores[model.method], recipe.metric), *_drawn_sentence(ground)],
        **({"scan_limit": model.scan_limit} if model.scan_limit else {}),
    }
    config = replace(bundle.config, name=target.name, title=model.title, purpose=model.purpose)
    if model.site is not None:
        config = replace(config, window=replace(config.window, anchor=model.site, anchor_name=model.site_name))
    save_bundle(target, config, bundle.state_dict(), card)
    if model.sample:
        said = sample_scores(target, model.sample, model.sample_kinds)
        save_bundle(target, config, bundle.state_dict(), {**card, "sample": said})
    return target


def _grounds_of(recipe: Recipe, folder: Path, protocols: Iterable[str]) -> dict[str, Ground]:
    """Return the rows of protocols, with how the recipe judges them."""
    made = folder / "tables" / "made.json"
    if not made.is_file():
        raise RecipeError(f"{made} is missing: run the recipe '{recipe.name}' once more.")
    judge = function_of(recipe.judge) if recipe.judge else None
    names = json.loads(made.read_text(encoding="utf-8"))["tables"]
    return {key: open_ground(recipe, key, made.parent / names[key], judge) for key in protocols}


def _further_tests(recipe: Recipe, best: Step) -> dict[str, Any]:
    """Return the figures of the same training under protocols that have other test rows, by their titles."""
    found = {}
    weights = best.read()[0].get("weights")
    for protocol in recipe.protocols:
        other = replace(best, protocol=protocol)
        if weights and other != best and other.done and other.read()[0].get("weights") == weights:
            found[_title_of(recipe, protocol)] = other.read()[0]["scores"]
    return found


def _called_from(threshold: float | None, bundle: ModelBundle, ground: Ground) -> ModelBundle:
    """Return a model of two classes that says yes from ``threshold`` on, and its card's figures on validation rows.

    Without a threshold it is the one by its own answers on the validation rows.

    How it reads sequences of unknown strand is fitted anew too: it may have been trained before there was such a
    thing, or with thresholds of another rule.
    """
    predictor, valid = Predictor(bundle), ground.preparation.samples("valid")
    if predictor.task != "binary" or len(np.unique(valid.labels)) < 2:
        return bundle
    logits, known = predictor.logits(valid.sequences), bundle.config.calibration
    if threshold is None:
        threshold = threshold_of(ground, logits, known.temperature)
    known = replace(known, threshold=threshold)
    if not why_not_either(bundle.config):
        turned = predictor.logits([reverse_complement(item) for item in valid.sequences])
        known = with_either(known, logits, turned, valid.labels)
    scores = score(predictor.task, predictor.probabilities(logits), valid.labels, threshold=threshold)
    card = {**bundle.card, "metrics": {**bundle.card["metrics"], "valid": as_json(scores)}}
    return replace(bundle, config=replace(bundle.config, calibration=known), card=card)


def _of_unknown_strand(bundle: ModelBundle, ground: Ground) -> dict[str, Any]:
    """Return a model's figures on the test rows where their strand is unknown.

    There are none where it reads both strands of all sequences, or does not choose between them.
    """
    if why_not_either(bundle.config):
        return {}
    predictor, test = Predictor(bundle), ground.preparation.samples("test")
    chances = predictor.probabilities(oriented_logits(predictor, test.sequences, "either")[0])
    known = bundle.config.calibration
    threshold = known.threshold_on("either")
    found = score(predictor.task, chances, test.labels, threshold=threshold, groups=ground.groups)
    return {UNKNOWN_STRAND: as_json(found)}


def _ground_of(recipe: Recipe, step: Step) -> Ground:
    """Return the rows that a step was trained and tested on."""
    with modules_of(recipe):
        ground = _grounds_of(recipe, step.folder.parent, [step.protocol])[step.protocol]
    if step.read()[0].get("table", ground.table_sha256) != ground.table_sha256:
        raise RecipeError(f"{step.figures} is of other rows than {ground.path}: remove it and train again.")
    return ground


def _title_of(recipe: Recipe, protocol: str) -> str:
    """Return the title of a protocol as it stands within a sentence."""
    title = recipe.protocols[protocol].title
    return title[:1].lower() + title[1:]


def sample_scores(model: Path, name: str, kinds: Sequence[str] = ()) -> dict[str, Any]:
    """Return what a model says of the first records of a shipped sample, for its card and its test.

    Parameters
    ----------
    model : Path
    name : str
    kinds : sequence of str
        See :func:`genolm.samples.sample_pieces`.

    Returns
    -------
    dict
        ``file``, ``sha256``, ``kinds`` if there are any, and ``records``: name -> class -> probability, worked out
        in float32; of many classes the five most probable ones.
    """
    predictor = Predictor(load_bundle(model), precision="fp32")
    pieces = sample_pieces(samples_dir() / name, predictor.config.window, kinds)
    chances = predictor.probabilities(predictor.logits(list(pieces.values())))
    scores = {
        key: {predictor.classes[place]: round(float(row[place]), 4) for place in _likeliest(row)}
        for key, row in zip(pieces, chances, strict=True)
    }
    chosen = {"kinds": list(kinds)} if kinds else {}
    return {"file": name, "sha256": file_facts(samples_dir() / name)["sha256"], **chosen, "records": scores}


def _likeliest(chances: np.ndarray) -> list[int]:
    """Return the classes to tell of: all of a few, in their order, else the most probable ones, those first."""
    if len(chances) <= SAMPLE_CLASSES:
        return list(range(len(chances)))
    return np.argsort(-chances, kind="stable")[:SAMPLE_CLASSES].tolist()


def _source_of(result: Mapping[str, Any], protocol: str) -> dict[str, Any]:
    """Return what the card says of the table's sources."""
    sources: Sequence[Mapping[str, Any]] = result["sources"]
    return {
        "name": ", ".join(item["file"] for item in sources),
        "source": "; ".join(dict.fromkeys(item["url"] for item in sources)),
        "sha256": result["protocols"][protocol]["table_sha256"],
        "records": sum(result["protocols"][protocol]["rows"].values()),
        "licence": "; ".join(dict.fromkeys(item["licence"] for item in sources)),
    }


def _drawn_sentence(ground: Ground) -> list[str]:
    if not ground.drawn_groups:
        return []
    return [f"Intervals of its test are drawn over {ground.drawn_groups:,} whole {ground.words.drawn_over}."]


def _seeds_sentence(scores: Mapping[str, Any], metric: str) -> list[str]:
    values = [item["metrics"][metric]["value"] for item in scores["seeds"]]
    if len(values) == 1:
        return ["Trained with one seed."]
    return [f"{len(values)} seeds gave {metric} from {min(values):.3f} to {max(values):.3f} on the test rows."]
