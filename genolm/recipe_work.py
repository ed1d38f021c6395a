"""What is done for a step of a table recipe: a baseline is fitted, a network trained, or finished ones averaged."""

import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import genolm.compute  # noqa: F401  sets the OpenMP wait policy before torch is loaded
import numpy as np

from genolm import calibration
from genolm.baselines import Baseline, Examples, standard_baselines
from genolm.bundle_config import network_words
from genolm.config import Calibration
from genolm.finetuning import finetune
from genolm.predict import Predictor
from genolm.progress import ProgressCallback
from genolm.recipe_config import Method, RecipeError
from genolm.recipe_steps import (
    Answer,
    Ground,
    Step,
    asked_of,
    base_weights,
    check_same,
    mean_answer,
    model_folder,
    training_settings,
    what_differs,
)
from genolm.registry import load_bundle


def baselines_of(ground: Ground) -> Iterator[Baseline]:
    """Yield the baselines that the recipe wants and that fit the table; none but for a choice of classes."""
    if not _is_choice(ground):
        return
    wanted = ground.recipe.baselines
    for baseline in standard_baselines(ground.preparation.samples("train").sequences):
        if wanted is None or baseline.name in wanted:
            yield baseline


@dataclass
class Baselines:
    """Fits baselines; protocols that differ in the test alone share what is fitted."""

    _fitted: dict[tuple[str, str], Baseline] = field(default_factory=dict)

    def run(self, step: Step, ground: Ground, baseline: Baseline) -> None:
        """Fit a baseline on the training rows, choose by the validation rows, keep what it says of the test rows."""
        began = time.monotonic()
        valid, test = (ground.preparation.samples(part) for part in ("valid", "test"))
        fitted = self._of(ground, baseline)
        threshold = 0.5
        if ground.preparation.head.task == "binary":
            threshold = calibration.pick_threshold(fitted.probabilities(valid.sequences)[:, 1], valid.labels)
        answer = Answer(fitted.probabilities(test.sequences), threshold)
        step.keep(
            answer,
            scores=ground.scores(answer),
            seconds=round(time.monotonic() - began, 1),
            settings=fitted.settings(),
            table=ground.table_sha256,
        )

    def _of(self, ground: Ground, baseline: Baseline) -> Baseline:
        key = baseline.name, ground.learned_from
        if key not in self._fitted:
            parts = (ground.preparation.samples(part) for part in ("train", "valid"))
            self._fitted[key] = baseline.fit(*(Examples(list(part.sequences), part.labels) for part in parts))
        return self._fitted[key]


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
    bundle_path = model_folder(step)
    twin = _twin(step, ground, method, others)
    if twin and not bundle_path.is_dir():
        shutil.copytree(model_folder(twin), bundle_path)
    if not bundle_path.is_dir():
        finetune(
            ground.path,
            method.base,
            bundle_path.name,
            settings=settings,
            out_dir=bundle_path,
            from_scratch=method.from_scratch,
            progress=progress,
        )
    bundle = load_bundle(bundle_path)
    predictor = Predictor(bundle)
    valid, test = (predictor.logits(ground.preparation.samples(part).sequences) for part in ("valid", "test"))
    answer = Answer(predictor.probabilities(test), bundle.config.calibration.threshold)
    training = bundle.card["training"]
    step.keep(
        answer,
        tuned_on=valid,
        scores=ground.scores(answer),
        seconds=training["seconds"],
        best_epoch=training["best_epoch"],
        valid_loss=_valid_loss(ground, [valid]) if _is_choice(ground) else _best_loss(training["epochs"]),
        settings=bundle.card["settings"],
        network=network_words(bundle.config.tokenizer, bundle.config.encoder),
        asked=asked_of(ground.recipe, method),
        base_weights=base_weights(method),
        temperature=bundle.config.calibration.temperature,
        table=ground.table_sha256,
        weights=bundle.sha256,
    )


def _is_choice(ground: Ground) -> bool:
    """Return whether rows are of one class each."""
    return ground.preparation.head.task in ("binary", "multiclass")


def _valid_loss(ground: Ground, logits: Sequence[np.ndarray]) -> float:
    """Return the loss on validation rows of the mean uncalibrated probabilities, of one training or of several."""
    task, labels = ground.preparation.head.task, ground.preparation.samples("valid").labels
    chances = np.mean([calibration.apply(item, Calibration(), task) for item in logits], axis=0)
    return float(-np.log(np.clip(chances[np.arange(len(chances)), labels], 1e-12, None)).mean())


def _best_loss(epochs: Iterable[Mapping[str, Any]]) -> float:
    return min(epoch["valid"]["loss"] for epoch in epochs)


def _twin(step: Step, ground: Ground, method: Method, others: Iterable[Ground]) -> Step | None:
    for other in others:
        twin = replace(step, protocol=other.protocol)
        alike = ground.learned_from == other.learned_from
        if twin == step or not (alike and twin.done and model_folder(twin).is_dir()):
            continue
        check_same(twin, other, method)
        return twin
    return None


def averaged_steps(step: Step, method: Method) -> list[Step]:
    """Return the trainings that an average is of."""
    return [replace(step, method=name) for name in method.average]


def is_current(step: Step, ground: Ground) -> bool:
    """Return whether a step is finished and is what the recipe wants now; an average also has to be of such ones.

    An average that is older than one of its parts is not.
    """
    method = ground.recipe.methods.get(step.method)
    if not step.done or what_differs(step.read()[0], ground, method):
        return False
    parts = averaged_steps(step, method) if method else []
    age = step.figures.stat().st_mtime
    return all(is_current(part, ground) and part.figures.stat().st_mtime <= age for part in parts)


def lacking_parts(step: Step, ground: Ground, method: Method) -> list[Step]:
    """Return the trainings that an average is of and that are not finished, or are not what the recipe wants now."""
    return [part for part in averaged_steps(step, method) if not is_current(part, ground)]


def _tuned_on(part: Step) -> np.ndarray:
    logits = part.valid_logits
    if logits is None:
        raise RecipeError(
            f"{part.figures} was made by an older genolm, which did not keep what an average needs: remove it (its "
            "network stays, so nothing is trained again) and run the recipe again."
        )
    return logits


def run_average(step: Step, ground: Ground, method: Method) -> None:
    """Average the probabilities of finished trainings; the threshold is picked anew on the validation rows."""
    task, valid = ground.preparation.head.task, ground.preparation.samples("valid")
    if not _is_choice(ground):
        raise RecipeError(f"The recipe '{ground.recipe.name}' averages answers, which needs a choice of classes.")
    parts = averaged_steps(step, method)
    read = [part.read() for part in parts]
    logits = [_tuned_on(part) for part in parts]
    warmed = zip(logits, (Calibration(found["temperature"]) for found, _ in read), strict=True)
    tuned = np.mean([calibration.apply(item, known, task) for item, known in warmed], axis=0)
    threshold = calibration.pick_threshold(tuned[:, 1], valid.labels) if task == "binary" else 0.5
    answer = mean_answer([item for _, item in read])._replace(threshold=threshold)
    step.keep(
        answer,
        scores=ground.scores(answer),
        seconds=sum(found["seconds"] for found, _ in read),
        valid_loss=_valid_loss(ground, logits),
        settings={"average": list(method.average)},
        network="; ".join(sorted(found["network"] for found, _ in read)),
        table=ground.table_sha256,
    )
