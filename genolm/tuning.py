"""A small search for the classifier's learning rate and dropout, within a budget of time."""

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import genolm.compute  # noqa: F401  sets the OpenMP wait policy before torch is loaded
from torch import Tensor

from genolm.classifier_training import train_classifier
from genolm.config import ClassifierSettings
from genolm.errors import TrainingError
from genolm.preparation import Preparation
from genolm.progress import ProgressCallback, part_reporter
from genolm.unfinished import Unfinished

CANDIDATES = ((1.0, 1.0), (0.4, 1.0), (2.0, 1.0), (1.0, 0.5), (1.0, 1.8), (0.4, 0.5), (2.0, 1.8))
"""Factors of learning rate and dropout, tried in this order."""
SHORTER = 0.5
_STAGE = "search"


def search_size(steps: float) -> float:
    """Return about how many steps a search takes where a whole training takes ``steps``."""
    return SHORTER * len(CANDIDATES) * steps


def search_settings(
    preparation: Preparation,
    encoder: Mapping[str, Tensor] | None,
    *,
    minutes: float,
    kept: Unfinished,
    progress: ProgressCallback | None = None,
) -> ClassifierSettings:
    """Try factors of the planned learning rate and dropout; return the settings of least validation loss.

    Each trial has half of the planned passes. The first, the plan itself, is always made; a further one only
    begins while its likely end lies within the budget. Test rows take no part.

    Parameters
    ----------
    preparation : Preparation
    encoder : mapping of str to Tensor, optional
        The language model after it read the table's sequences.
    minutes : float
    kept : Unfinished
        Of a training that goes on it has the trials made so far.
    progress : callback, optional
    """
    trials = kept.read(_STAGE) or []
    for number, factors in enumerate(CANDIDATES[len(trials) :], start=len(trials)):
        used = sum(trial["seconds"] for trial in trials)
        if trials and used * (number + 1) / number > 60 * minutes:
            break
        settings = _varied(preparation.plan.classifier, *factors, SHORTER)
        words = f"trial {number + 1} of up to {len(CANDIDATES)}"
        tell = part_reporter(progress, number, len(CANDIDATES), words)
        trials.append(_trial(preparation, encoder, settings, tell))
        trials[-1]["factors"] = factors
        kept.write(_STAGE, trials)
    best = min(trials, key=lambda trial: trial["loss"])
    return _varied(preparation.plan.classifier, *best["factors"], 1.0)


def _trial(
    preparation: Preparation,
    encoder: Mapping[str, Tensor] | None,
    settings: ClassifierSettings,
    progress: ProgressCallback | None,
) -> dict[str, Any]:
    start = time.monotonic()
    train, valid = preparation.samples("train"), preparation.samples("valid")
    options = {"encoder": encoder, "progress": progress}
    try:
        trained = train_classifier(
            train, valid, preparation.head, preparation.start, settings, **options
        )
        loss = min(epoch.valid["loss"] for epoch in trained.history.epochs)
    except TrainingError:
        loss = float("inf")
    return {"loss": loss, "seconds": time.monotonic() - start}


def _varied(settings: ClassifierSettings, rate: float, drop: float, passes: float) -> ClassifierSettings:
    schedule = tuple(
        replace(item, lr=item.lr * rate, epochs=max(1, round(item.epochs * passes))) for item in settings.schedule
    )
    drop_mult = min(1.6, settings.drop_mult * drop)
    return replace(settings, schedule=schedule, drop_mult=drop_mult)

