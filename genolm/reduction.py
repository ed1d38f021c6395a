"""How good a model is from fewer sequences: the data-reduction curve."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import genolm.compute  # noqa: F401  sets the OpenMP wait policy before torch is loaded
import numpy as np
from torch import Tensor

from genolm.classifier_training import Samples, TrainedClassifier, train_classifier
from genolm.config import FinetuneSettings
from genolm.plans import LEAST_TRAINING_ROWS, plan_training, task_size
from genolm.preparation import Preparation
from genolm.progress import ProgressCallback, part_reporter
from genolm.table_split import table_clusters
from genolm.trained import score_classifier
from genolm.unfinished import Unfinished

SIZES = (20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000)
_STAGE = "reduction"


def reduction_sizes(rows: int) -> list[int]:
    """Return the numbers of training rows to try: at most five, spread up to about half of all."""
    sizes = [size for size in SIZES if size <= rows * 0.6]
    return sizes[-5:]


def reduction_curve(
    preparation: Preparation,
    trained: TrainedClassifier,
    encoder: Mapping[str, Tensor] | None,
    *,
    kept: Unfinished,
    progress: ProgressCallback | None = None,
) -> list[dict[str, Any]]:
    """Train on random parts of the training rows and score each model on the test rows.

    Every part holds each class in about its share and is contained in the next larger one. Each model is
    planned by its own number of rows, with one seed.

    Parameters
    ----------
    preparation : Preparation
    trained : TrainedClassifier
        The model from all rows. It is the last point of the curve if it was trained as the others are, fast and
        by the plan; else a model from all rows is trained so too.
    encoder : mapping of str to Tensor, optional
        The language model after it read the table's sequences.
    kept : Unfinished
        Of a training that goes on it has the points measured so far.
    progress : callback, optional

    Returns
    -------
    list of dict
        ``rows`` and ``scores`` (metric -> value, low, high), fewest rows first.
    """
    points = kept.read(_STAGE) or []
    train, order = preparation.samples("train"), _order(preparation)
    sizes = [*reduction_sizes(len(train.sequences)), *([] if _is_plain(preparation) else [len(train.sequences)])]
    judged = preparation.samples("test" if len(preparation.rows("test")) else "valid")
    for number, size in enumerate(sizes):
        if number < len(points):
            continue
        part = train.subset(np.sort(order[:size]))
        tell = part_reporter(progress, number, len(sizes), f"{size:,} rows")
        model = _train(preparation, part, encoder, tell)
        points.append({"rows": size, "scores": score_classifier(model, judged)})
        kept.write(_STAGE, points)
    if _is_plain(preparation):
        points = [*points, {"rows": len(train.sequences), "scores": score_classifier(trained, judged)}]
    return points


def _is_plain(preparation: Preparation) -> bool:
    """Whether the model from all rows was trained as the smaller ones are: once, fast, by the plan."""
    settings = preparation.settings
    own = (settings.lr, settings.drop_mult, settings.batch_size, settings.epochs, settings.balance)
    planned = settings.effort == "fast" and preparation.plan.seeds == 1 and not settings.search_minutes
    return planned and all(item is None for item in own)


def _order(preparation: Preparation) -> np.ndarray:
    """Return the training rows in an order whose every beginning has each class in about its share."""
    labels = preparation.samples("train").labels
    rng = np.random.default_rng(preparation.settings.seed)
    places = np.empty(len(labels))
    strata = labels if labels.ndim == 1 else np.zeros(len(labels), dtype=int)
    for stratum in np.unique(strata):
        rows = np.flatnonzero(strata == stratum)
        places[rng.permutation(rows)] = (np.arange(len(rows)) + rng.random()) / len(rows)
    return np.argsort(places, kind="stable")


def _train(
    preparation: Preparation,
    part: Samples,
    encoder: Mapping[str, Tensor] | None,
    progress: ProgressCallback | None,
) -> TrainedClassifier:
    given = preparation.settings
    ways = {key: getattr(given, key) for key in ("mirrored", "shifted", "trimmed", "slots", "preset", "seed")}
    framed = preparation.plan.classifier.framed
    settings = FinetuneSettings(effort="fast", watched=False, framed=framed, **ways)
    parts = np.full(len(part.sequences), "train")
    clusters = table_clusters(part.sequences)
    size = task_size(preparation.head.task, part.labels, part.sequences, parts, clusters=clusters)
    size = replace(size, train=max(size.train, LEAST_TRAINING_ROWS))
    plan = plan_training(size, settings, from_scratch=preparation.from_scratch)
    return train_classifier(
        part,
        preparation.samples("valid"),
        preparation.head,
        preparation.start,
        plan.classifier,
        encoder=encoder,
        progress=progress,
    )

