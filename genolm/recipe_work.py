"""What is done for a step of a table recipe: a baseline is fitted, a network trained, or finished ones answer again.

What is no training is made of the steps of the same seed: an average of their probabilities, or the answers of a
network that reads each sequence from each of its first bases.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import genolm.compute  # noqa: F401  sets the OpenMP wait policy before torch is loaded
import numpy as np

from genolm import calibration
from genolm.baselines import Baseline, Examples, standard_baselines
from genolm.bundle_config import network_words
from genolm.classifier_training import calibration_of
from genolm.config import Calibration
from genolm.finetuning import finetune
from genolm.metrics import RULES, as_json, log_loss, score
from genolm.predict import Predictor
from genolm.progress import ProgressCallback
from genolm.reading_frames import FrameLogistic
from genolm.recipe_config import Method, RecipeError
from genolm.recipe_networks import begun, check_network, copy_of_twin, tell_begun, whole_bundle
from genolm.recipe_steps import (
    Answer,
    Ground,
    Step,
    base_weights,
    mean_answer,
    model_folder,
    steps_of,
    training_settings,
    what_differs,
)
from genolm.registry import ModelBundle, load_bundle, save_bundle

SAME_THRESHOLD = 1e-3
"""Thresholds whose log odds differ by less are one, worked out by other machines."""


def baselines_of(ground: Ground) -> Iterator[Baseline]:
    """Yield the baselines that the recipe wants and that fit the table; none but for a choice of classes."""
    if not _is_choice(ground):
        return
    wanted = ground.recipe.baselines
    for baseline in standard_baselines(ground.preparation.samples("train").sequences):
        if wanted is None or baseline.name in wanted:
            yield baseline
    if wanted and FrameLogistic.name in wanted:
        yield FrameLogistic()


@dataclass
class Baselines:
    """Fits baselines; protocols that differ in the test alone share what is fitted."""

    _fitted: dict[tuple[str, str], Baseline] = field(default_factory=dict)

    def run(self, step: Step, ground: Ground, baseline: Baseline) -> None:
        """Fit a baseline on the training rows, choose by the validation rows, keep what it says of the test rows."""
        began = time.monotonic()
        valid, test = (ground.preparation.samples(part) for part in ("valid", "test"))
        fitted = self._of(ground, baseline)
        tuned, threshold = None, 0.5
        if ground.preparation.head.task == "binary":
            # The logarithms of probabilities are logits of them.
            tuned = np.log(np.clip(fitted.probabilities(valid.sequences), 1e-12, None)).astype(np.float32)
            threshold = threshold_of(ground, tuned)
        answer = Answer(fitted.probabilities(test.sequences), threshold)
        step.keep(
            answer,
            tuned_on=tuned,
            **ground.judged(answer),
            seconds=round(time.monotonic() - began, 3),
            settings=fitted.settings(),
            table=ground.table_sha256,
        )

    def _of(self, ground: Ground, baseline: Baseline) -> Baseline:
        key = baseline.name, ground.learned_from
        if key not in self._fitted:
            parts = (ground.preparation.samples(part) for part in ("train", "valid"))
            self._fitted[key] = baseline.fit(*(Examples(list(part.sequences), part.labels) for part in parts))
        return self._fitted[key]


def threshold_of(ground: Ground, logits: np.ndarray, temperature: float | None = None) -> float:
    """Return what a yes is said from, by logits of the validation rows; without a temperature one is fitted."""
    task, labels = ground.preparation.head.task, ground.preparation.samples("valid").labels
    chances = calibration.apply(logits, Calibration(temperature or 1.0), task)
    if task == "binary" and not temperature:
        return calibration.calibrated_threshold(chances[:, 1], labels)
    return _expected(ground, chances)


def _expected(ground: Ground, chances: np.ndarray) -> float:
    """Return the threshold by calibrated probabilities of the validation rows; one half unless there are two classes.

    Parameters
    ----------
    ground : Ground
    chances : np.ndarray
        Float (rows, classes).
    """
    if ground.preparation.head.task != "binary":
        return 0.5
    return calibration.expected_threshold(chances[:, 1], ground.preparation.samples("valid").labels)


def judge_again(ground: Ground, folder: Path) -> list[str]:
    """Judge the finished steps of a protocol by the thresholds of today where they had others; return their names.

    Answers are kept for long, from machine to machine, and those of one recipe are compared: the rule by which a yes
    is said has to be one for all. A step of two classes without answers on the validation rows keeps its own. What
    lacks a figure that the recipe has come to want, or has intervals drawn otherwise or by older rules
    (:data:`genolm.metrics.RULES`), is judged again too. Averages of what is finished are made where they are not there,
    whatever else is run: they are not kept from machine to machine.
    """
    ours = steps_of(ground.recipe, ground.protocol, folder)
    others = [Step(ground.protocol, item.name, 1, folder) for item in baselines_of(ground)]
    single = [step for step, method in ours if not method.average] + others
    averages = [(step, method) for step, method in ours if method.average]
    finished = [step for step, _ in averages if is_current(step, ground)]
    changed = [step for step in single if is_current(step, ground) and _judge_again(step, ground)]
    for step, method in averages:
        if is_current(step, ground):
            continue
        if _is_choice(ground) and _can_be_made(step, ground, method):
            run_average(step, ground, method)
        # Of parts whose answers on the validation rows are gone it can only be judged as it is.
        elif step not in finished or not _judge_again(step, ground):
            continue
        changed.append(step)
    return [step.name for step in changed]


def _can_be_made(step: Step, ground: Ground, method: Method) -> bool:
    """Return whether an average can be made of its parts; one of other parts than the recipe's stays left out."""
    if (step.done and what_differs(step.read()[0], ground, method)) or lacking_parts(step, ground, method):
        return False
    return all(part.valid_logits is not None for part in _parts(step, method))


def _judge_again(step: Step, ground: Ground) -> bool:
    logits, (found, answer) = step.valid_logits, step.read()
    known, drawn = found.pop("threshold"), (found.pop("drawn_by", ""), found.pop("rules", 1))
    is_same = drawn == (ground.words.drawn_by, RULES)
    if ground.preparation.head.task == "binary" and logits is not None:
        threshold = threshold_of(ground, logits, found.get("temperature"))
        if abs(np.diff(calibration.log_odds([threshold, known]))) >= SAME_THRESHOLD:
            answer, is_same = answer._replace(threshold=threshold), False
    if is_same and set(ground.recipe.metrics) <= set(found["scores"]):
        return False
    judged = ground.judged(answer)
    if is_same and set(judged["scores"]) <= set(found["scores"]):
        return False
    step.keep(answer, tuned_on=logits, **found | judged)
    return True


def run_training(
    step: Step,
    ground: Ground,
    method: Method,
    *,
    others: Iterable[Ground] = (),
    progress: ProgressCallback | None = None,
) -> None:
    """Fine-tune one model as ``genolm finetune`` does and keep what its bundle says of the test rows.

    Where another protocol (of ``others``) has the same training and validation rows and has finished this
    training, its model is taken: only the test rows are others.
    """
    settings = training_settings(ground.recipe, method, step.seed)
    bundle_path, others = model_folder(step), list(others)
    if bundle_path.is_dir():
        check_network(step, ground, method, others)
    else:
        tell_begun(step, ground, method)
        if not copy_of_twin(step, ground, method, others):
            finetune(
                ground.path,
                method.base,
                bundle_path.name,
                settings=settings,
                out_dir=bundle_path,
                from_scratch=method.from_scratch,
                progress=progress,
            )
    bundle = whole_bundle(bundle_path)
    training = bundle.card["training"]
    _keep_answers(
        step,
        ground,
        bundle,
        seconds=training["seconds"],
        best_epoch=training["best_epoch"],
        settings=bundle.card["settings"],
        **{key: item for key, item in begun(ground, method).items() if key != "table"},
    )


def _keep_answers(
    step: Step, ground: Ground, bundle: ModelBundle, *, valid: np.ndarray | None = None, **facts: Any
) -> None:
    """Keep what a network says of the validation and the test rows, with ``facts`` of how it came to be.

    ``valid`` are its logits of the validation rows where they are known.
    """
    predictor, samples = Predictor(bundle), ground.preparation.samples
    if valid is None:
        valid = predictor.logits(samples("valid").sequences)
    chances = predictor.probabilities(predictor.logits(samples("test").sequences))
    is_choice, known = _is_choice(ground), bundle.config.calibration
    # From what is kept, so that it can be worked out again; the bundle's was told by weights of more digits.
    answer = Answer(chances, threshold_of(ground, valid, known.temperature))
    step.keep(
        answer,
        tuned_on=valid,
        **ground.judged(answer),
        valid_loss=_valid_loss(ground, [valid]) if is_choice else _best_loss(bundle.card["training"]["epochs"]),
        network=network_words(bundle.config.tokenizer, bundle.config.encoder),
        temperature=known.temperature,
        table=ground.table_sha256,
        weights=bundle.sha256,
        **facts,
    )


def run_framed(step: Step, ground: Ground, method: Method) -> None:
    """Let a trained network answer by readings from each of the first bases, calibrated anew on the validation rows."""
    if not _is_choice(ground):
        raise RecipeError(f"The recipe '{ground.recipe.name}' reads networks again, which needs a choice of classes.")
    began, (part,) = time.monotonic(), _parts(step, method)
    bundle, path = load_bundle(model_folder(part)), model_folder(step)
    if bundle.config.tokenizer.stride == 1:
        raise RecipeError(f"methods.{step.method}: the k-mers of '{part.method}' overlap, so that there is one frame.")
    config = replace(bundle.config, name=path.name, framed=True, calibration=Calibration())
    predictor, valid = Predictor(replace(bundle, config=config)), ground.preparation.samples("valid")
    once = lru_cache(predictor.logits)
    logits = once(tuple(valid.sequences))
    known = calibration_of(lambda items: once(tuple(items)), valid, predictor.task, mirrored=config.mirrored)
    config = replace(config, calibration=known)
    settings = {**bundle.card["settings"], "framed": True, "framed_of": part.method}
    chances = calibration.apply(logits, known, predictor.task)
    scores = score(predictor.task, chances, valid.labels, threshold=known.threshold)
    card = {**bundle.card, "settings": settings, "metrics": {"valid": as_json(scores)}}
    framed = save_bundle(path, config, bundle.state_dict(), card)
    found = part.read()[0]
    facts = {key: found[key] for key in ("best_epoch", "base_weights") if key in found}
    seconds = round(found["seconds"] + time.monotonic() - began, 3)
    _keep_answers(step, ground, framed, valid=logits, settings=settings, seconds=seconds, **facts)


def _is_choice(ground: Ground) -> bool:
    """Return whether rows are of one class each."""
    return ground.preparation.head.task in ("binary", "multiclass")


def _valid_loss(ground: Ground, logits: Sequence[np.ndarray]) -> float:
    """Return the loss on validation rows of the mean uncalibrated probabilities, of one training or of several."""
    task, labels = ground.preparation.head.task, ground.preparation.samples("valid").labels
    return log_loss(np.mean([calibration.apply(item, Calibration(), task) for item in logits], axis=0), labels)


def _best_loss(epochs: Iterable[Mapping[str, Any]]) -> float:
    return min(epoch["valid"]["loss"] for epoch in epochs)


def _parts(step: Step, method: Method) -> list[Step]:
    """Return the steps that one without a training is made of."""
    return [replace(step, method=name) for name in method.parts]


def is_current(step: Step, ground: Ground) -> bool:
    """Return whether a step is finished and is what the recipe wants now; its parts have to be so too.

    An average that is older than one of its parts is not, nor is one that read another network than its part's now.
    """
    method = ground.recipe.methods.get(step.method)
    if not step.done or what_differs(step.read()[0], ground, method):
        return False
    parts = _parts(step, method) if method else []
    return all(is_current(part, ground) and _is_of(step, part, method) for part in parts)


def _is_of(step: Step, part: Step, method: Method) -> bool:
    if method.framed_of:
        return step.read()[0].get("weights") == part.read()[0].get("weights")
    return part.figures.stat().st_mtime <= step.figures.stat().st_mtime


def lacking_parts(step: Step, ground: Ground, method: Method) -> list[Step]:
    """Return the steps that one is made of and that are not finished, or are not what the recipe wants now.

    To read again, the network has to be here too.
    """
    parts = _parts(step, method)
    return [part for part in parts if not is_current(part, ground) or (method.framed_of and not _has_network(part))]


def _has_network(part: Step) -> bool:
    path = model_folder(part)
    return path.is_dir() and load_bundle(path).sha256 == part.read()[0].get("weights")


def _tuned_on(part: Step) -> np.ndarray:
    logits = part.valid_logits
    if logits is None:
        raise RecipeError(
            f"{part.figures} was made by an older genolm, which did not keep what an average needs: remove it (its "
            "network stays, so nothing is trained again) and run the recipe again."
        )
    return logits


def run_average(step: Step, ground: Ground, method: Method) -> None:
    """Average the probabilities of finished trainings; the threshold is found anew by those of the validation rows."""
    task = ground.preparation.head.task
    if not _is_choice(ground):
        raise RecipeError(f"The recipe '{ground.recipe.name}' averages answers, which needs a choice of classes.")
    parts = _parts(step, method)
    read = [part.read() for part in parts]
    logits = [_tuned_on(part) for part in parts]
    warmed = zip(logits, (Calibration(found["temperature"]) for found, _ in read), strict=True)
    tuned = np.mean([calibration.apply(item, known, task) for item, known in warmed], axis=0)
    answer = mean_answer([item for _, item in read])._replace(threshold=_expected(ground, tuned))
    step.keep(
        answer,
        **ground.judged(answer),
        seconds=sum(found["seconds"] for found, _ in read),
        valid_loss=_valid_loss(ground, logits),
        settings={"average": list(method.average)},
        network="; ".join(sorted(found["network"] for found, _ in read)),
        table=ground.table_sha256,
    )
