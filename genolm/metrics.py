"""How good predictions are, each figure with a 95 % interval.

Intervals are percentile bootstrap intervals: items, or groups of them, are drawn with replacement, as many as exist,
the figure is worked out anew from the same draws for all figures, and the 2.5 % and 97.5 % quantiles are given
(see :mod:`genolm.bootstrap`). A figure that is not defined, such as AUROC with one class only, is NaN.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy import sparse

from genolm.bootstrap import Array, Estimate, Figures, Groups, Statistic, bootstrap, taken
from genolm.errors import SettingsError

BINARY_METRICS = ("accuracy", "precision", "recall", "mcc", "auroc", "auprc", "ece")
REGRESSION_METRICS = ("r2", "pearson", "spearman", "rmse", "mae")
ECE_BINS = 15

Column = Callable[[Array], Array]
Pair = Callable[[Array], tuple[Array, Array]]


def binary_metrics(
    probabilities: Array,
    labels: Array,
    *,
    threshold: float = 0.5,
    n_boot: int = 1000,
    seed: int = 1,
    groups: Groups | None = None,
) -> dict[str, Estimate]:
    """Return :data:`BINARY_METRICS` of a two-class model.

    Parameters
    ----------
    probabilities : Array
        (n,) of the positive class, or (n, 2) whose second column is taken.
    labels : Array
        (n,) of 0 and 1 or bool, 1 the positive class.
    threshold : float
        Probability from which an item is called positive.
    n_boot, seed : int
        Bootstrap draws and their seed; 0 draws leave the intervals NaN.
    groups : Groups, optional
        Of each item, (n,); whole groups are drawn.

    Returns
    -------
    dict of str to Estimate
        Precision is NaN when nothing is called positive; recall and MCC are NaN without positives and
        without both classes; MCC is 0 when all items are called the same. AUPRC is average precision.
    """
    positive = _positive_column(np.asarray(probabilities, dtype=np.float64))
    truth = _whole_labels(labels, len(positive), 2) == 1
    _check_probabilities(positive)
    order = np.argsort(-positive, kind="stable")
    statistic = _binary_statistic(positive[order], truth[order], threshold)
    return bootstrap(statistic, len(truth), n_boot, seed, groups=taken(groups, order))


def multiclass_metrics(
    probabilities: Array, labels: Array, *, n_boot: int = 1000, seed: int = 1, groups: Groups | None = None
) -> dict[str, Estimate]:
    """Return :data:`BINARY_METRICS` of a model with several classes, the class of highest probability called.

    Parameters
    ----------
    probabilities : Array
        (n, classes).
    labels : Array
        (n,) class numbers.
    n_boot, seed, groups
        See :func:`binary_metrics`.

    Returns
    -------
    dict of str to Estimate
        Precision, recall, AUROC and AUPRC are means over the classes that occur in ``labels``, one against
        the rest; a class that occurs but is never called counts as precision 0. MCC is R_K of Gorodkin
        (2004, doi:10.1016/j.compbiolchem.2004.09.006).
    """
    statistic = statistic_for("multiclass", probabilities, labels)
    return bootstrap(statistic, len(labels), n_boot, seed, groups=groups)


def multilabel_metrics(
    probabilities: Array,
    labels: Array,
    *,
    threshold: float = 0.5,
    n_boot: int = 1000,
    seed: int = 1,
    groups: Groups | None = None,
) -> dict[str, Estimate]:
    """Return :data:`BINARY_METRICS` of a model with independent labels, each a mean over the labels.

    ``accuracy`` is the share of right yes/no answers over all labels, ``exact_match`` the share of items
    with every label right. ``probabilities`` and ``labels`` (0 or 1) are (n, labels).
    """
    statistic = statistic_for("multilabel", probabilities, labels, threshold=threshold)
    return bootstrap(statistic, len(labels), n_boot, seed, groups=groups)


def regression_metrics(
    predictions: Array, targets: Array, *, n_boot: int = 1000, seed: int = 1, groups: Groups | None = None
) -> dict[str, Estimate]:
    """Return :data:`REGRESSION_METRICS`; (n,) or (n, quantities), then each is a mean over the quantities."""
    found, wanted = _table(predictions), _table(targets)
    _check_targets(found, wanted)
    order = np.argsort(found[:, 0], kind="stable")
    statistic = statistic_for("regression", found[order], wanted[order])
    return bootstrap(statistic, len(found), n_boot, seed, groups=taken(groups, order))


def score(
    task: str, predictions: Array, labels: Array, *, threshold: float = 0.5, **options: Any
) -> dict[str, Estimate]:
    """Return the metrics that go with a task; ``options`` are ``n_boot``, ``seed`` and ``groups``."""
    thresholded = {"binary": binary_metrics, "multilabel": multilabel_metrics}
    plain = {"multiclass": multiclass_metrics, "regression": regression_metrics}
    if task in thresholded:
        return thresholded[task](predictions, labels, threshold=threshold, **options)
    if task in plain:
        return plain[task](predictions, labels, **options)
    raise SettingsError(f"There are no metrics for the task '{task}'.")


def statistic_for(
    task: str, predictions: Array, labels: Array, *, threshold: float = 0.5, areas: bool = True
) -> Statistic:
    """Return the function from weights (draws, items) to the metrics of a task, items in the order given.

    ``areas=False`` leaves AUROC and AUPRC out of a choice between classes, where they take nearly all the time.
    """
    table = np.asarray(predictions, dtype=np.float64)
    if task == "binary":
        positive = _positive_column(table)
        _check_probabilities(positive)
        return _binary_statistic(positive, _whole_labels(labels, len(positive), 2) == 1, threshold)
    table = _table(table)
    if task == "regression":
        _check_targets(table, wanted := _table(labels))
        parts = [_regression_statistic(table[:, j], wanted[:, j]) for j in range(table.shape[1])]
        return lambda weights: _mean_of([part(weights) for part in parts])
    _check_probabilities(table)
    if task == "multiclass":
        return _multiclass_statistic(table, _whole_labels(labels, len(table), table.shape[1]), areas)
    if task == "multilabel":
        return _multilabel_statistic(table, np.asarray(labels), threshold)
    raise SettingsError(f"There are no metrics for the task '{task}'.")


def ece(probabilities: Array, labels: Array, *, bins: int = ECE_BINS) -> float:
    """Return the expected calibration error with bins of equal width (Guo et al. 2017, arXiv:1706.04599).

    For (n,) probabilities of the positive class: the mean difference between probability and share of
    positives. For (n, classes): the same between the highest probability and being right.
    """
    table = np.asarray(probabilities, dtype=np.float64)
    _check_probabilities(table)
    classes = _whole_labels(labels, len(table), 2 if table.ndim == 1 else table.shape[1])
    hit, confidence = classes == 1, table
    if table.ndim == 2:
        hit, confidence = table.argmax(axis=1) == classes, table.max(axis=1)
    return float(_ece_statistic(confidence, hit, bins)(np.ones((1, len(table))))[0])


def log_loss(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean negative log probability of the true class, in nats."""
    chosen = probabilities[np.arange(len(labels)), labels]
    return float(-np.log(np.clip(chosen, 1e-12, None)).mean())


def as_json(metrics: Mapping[str, Estimate]) -> dict[str, dict[str, float | None]]:
    """Return metrics as plain JSON data."""
    return {name: estimate.as_dict() for name, estimate in metrics.items()}


def _sorting(keys: Array) -> tuple[Array, Column]:
    """Return the order of ``keys`` and a function that puts columns in it, free when they are already."""
    order = np.argsort(keys, kind="stable")
    sorted_already = np.array_equal(order, np.arange(len(keys)))
    return order, lambda table: table if sorted_already else np.take(table, order, axis=1)


def _binary_statistic(probabilities: Array, truth: Array, threshold: float) -> Statistic:
    called = probabilities >= threshold
    cells = np.stack([called & truth, called & ~truth, ~called & truth, ~(called | truth)]) * 1.0
    ranked = _ranking_statistic(probabilities, truth)
    calibrated = _ece_statistic(probabilities, truth, ECE_BINS)

    def statistic(weights: Array) -> Figures:
        tp, fp, fn, tn = cells @ weights.T
        auroc, auprc = ranked(weights)
        return {
            "accuracy": _ratio(tp + tn, tp + fp + fn + tn),
            "precision": _ratio(tp, tp + fp),
            "recall": _ratio(tp, tp + fn),
            "mcc": _mcc(np.stack([tn + fp, tp + fn]).T, np.stack([tn + fn, tp + fp]).T, np.stack([tn, tp]).T),
            "auroc": auroc,
            "auprc": auprc,
            "ece": calibrated(weights),
        }

    return statistic


def _ranking_statistic(scores: Array, truth: Array) -> Pair:
    """Return a function from weights to (AUROC, average precision); equal scores count as ties."""
    order, in_order = _sorting(-scores)
    ordered, positive = scores[order], truth[order].astype(np.float64)
    firsts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))

    def statistic(weights: Array) -> tuple[Array, Array]:
        every = in_order(weights)
        hits = every * positive
        if len(firsts) < len(scores):
            every = np.add.reduceat(every, firsts, axis=1)
            hits = np.add.reduceat(hits, firsts, axis=1)
        seen_hits, seen = np.cumsum(hits, axis=1), np.cumsum(every, axis=1)
        positives = seen_hits[:, -1]
        # Sum over ties of (misses * hits above, half of its own) with misses = every - hits.
        better = _dot(every, seen_hits) - 0.5 * (positives**2 + _dot(every, hits))
        np.maximum(seen, 1.0, out=seen)
        np.divide(seen_hits, seen, out=seen)
        negatives = weights.sum(axis=1) - positives
        return _ratio(better, positives * negatives), _ratio(_dot(hits, seen), positives)

    return statistic


def _dot(left: Array, right: Array) -> Array:
    return np.einsum("rg,rg->r", left, right)


def _ece_statistic(confidence: Array, hit: Array, bins: int) -> Column:
    rows = np.arange(len(confidence))
    columns = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    excess = sparse.csr_array((confidence - hit, (rows, columns)), shape=(len(rows), bins))
    return lambda weights: _ratio(np.abs(weights @ excess).sum(axis=1), weights.sum(axis=1))


def _multiclass_statistic(table: Array, classes: Array, ranks: bool = True) -> Statistic:
    count, width = table.shape
    called, rows = table.argmax(axis=1), np.arange(count)

    def one_hot(values: Array, columns: Array) -> sparse.csr_array:
        return sparse.csr_array((values, (rows, columns)), shape=(count, width))

    truth_of, called_of = one_hot(np.ones(count), classes), one_hot(np.ones(count), called)
    right_of = one_hot((called == classes) * 1.0, classes)
    ranked = [_ranking_statistic(table[:, j], classes == j) for j in np.unique(classes)] if ranks else []
    calibrated = _ece_statistic(table.max(axis=1), called == classes, ECE_BINS)

    def statistic(weights: Array) -> Figures:
        truth, calls, right = weights @ truth_of, weights @ called_of, weights @ right_of
        total = weights.sum(axis=1)
        precision = np.where(truth > 0, right / np.maximum(calls, 1.0), np.nan)
        figures = {
            "accuracy": _ratio(right.sum(axis=1), total),
            "precision": _mean(precision.T),
            "recall": _mean(_ratio(right, truth).T),
            "mcc": _mcc(truth, calls, right),
        }
        areas = [part(weights) for part in ranked]
        for place, name in enumerate(("auroc", "auprc") if areas else ()):
            figures[name] = _mean(np.stack([area[place] for area in areas]))
        return {**figures, "ece": calibrated(weights)}

    return statistic


def _multilabel_statistic(table: Array, truth: Array, threshold: float) -> Statistic:
    if truth.shape != table.shape or not np.isin(truth, (0, 1)).all():
        raise SettingsError(f"labels have shape {truth.shape}; {table.shape} of 0 and 1 is wanted.")
    parts = [_binary_statistic(table[:, j], truth[:, j] == 1, threshold) for j in range(table.shape[1])]
    exact = ((table >= threshold) == (truth == 1)).all(axis=1).astype(np.float64)

    def statistic(weights: Array) -> Figures:
        figures = _mean_of([part(weights) for part in parts])
        return {**figures, "exact_match": _ratio(weights @ exact, weights.sum(axis=1))}

    return statistic


def _mcc(truth: Array, calls: Array, right: Array) -> Array:
    """Return R_K of counts (draws, classes): 0 if one class only is called, NaN if one only is there."""
    total = truth.sum(axis=1)
    above = right.sum(axis=1) * total - (truth * calls).sum(axis=1)
    spread_truth = total**2 - (truth**2).sum(axis=1)
    spread_calls = total**2 - (calls**2).sum(axis=1)
    below = np.sqrt(spread_truth) * np.sqrt(spread_calls)
    return np.where(spread_truth > 0, above / np.where(below > 0, below, np.inf), np.nan)


def _regression_statistic(found: Array, wanted: Array) -> Statistic:
    rank_found, rank_wanted = _rank_statistic(found), _rank_statistic(wanted)
    error = found - wanted
    # Shift and scale change no correlation and keep the sums of squares exact.
    (x, _), (y, scale) = _standard(found), _standard(wanted)
    columns = np.stack([error**2, np.abs(error), x, y, x**2, y**2, x * y])

    def statistic(weights: Array) -> Figures:
        square, absolute, x, y, xx, yy, xy = columns @ weights.T / weights.sum(axis=1)
        spread = yy - y**2
        ranks, others = rank_found(weights), rank_wanted(weights)
        left, right = weights * ranks, weights * others
        return {
            "r2": 1.0 - _ratio(square, np.where(spread > 1e-12, spread, 0.0) * scale**2),
            "pearson": _correlation(xy - x * y, xx - x**2, spread),
            "spearman": _correlation(_dot(left, others), _dot(left, ranks), _dot(right, others)),
            "rmse": np.sqrt(square),
            "mae": absolute,
        }

    return statistic


def _standard(values: Array) -> tuple[Array, float]:
    """Return values with mean 0 and deviation 1, and their scale; all 0 when they are all equal."""
    scale = float(values.std())
    scale = scale if scale > 1e-12 * float(np.abs(values).max()) else 0.0
    return (values - values.mean()) / (scale or np.inf), scale


def _correlation(both: Array, left: Array, right: Array) -> Array:
    defined = (left > 1e-12) & (right > 1e-12)
    return _ratio(both, np.sqrt(np.where(defined, left * right, 0.0)))


def _rank_statistic(values: Array) -> Column:
    """Return a function from weights to ranks in the draw, ties sharing their mean rank, 0 in the middle."""
    order, in_order = _sorting(values)
    new = np.concatenate([[True], np.diff(values[order]) > 0])
    firsts = np.flatnonzero(new)
    group = np.empty(len(values), dtype=np.int64)
    group[order] = np.cumsum(new) - 1

    def statistic(weights: Array) -> Array:
        sizes = in_order(weights)
        sizes = sizes if len(firsts) == len(order) else np.add.reduceat(sizes, firsts, axis=1)
        ranks = np.cumsum(sizes, axis=1) - (sizes + weights.sum(axis=1, keepdims=True)) / 2.0
        return np.take(ranks, group, axis=1)

    return statistic


def _mean_of(parts: list[Figures]) -> Figures:
    return {name: _mean(np.stack([part[name] for part in parts])) for name in parts[0]}


def _mean(stack: Array) -> Array:
    """Return the mean over the first axis of what is not NaN, NaN where nothing is."""
    there = ~np.isnan(stack)
    return _ratio(np.where(there, stack, 0.0).sum(axis=0), there.sum(axis=0).astype(np.float64))


def _ratio(above: Array, below: Array) -> Array:
    return np.divide(above, below, out=np.full(np.shape(above), np.nan), where=below != 0)


def _table(values: Array) -> Array:
    table = np.asarray(values, dtype=np.float64)
    table = table[:, None] if table.ndim == 1 else table
    if table.ndim != 2 or not np.isfinite(table).all():
        raise SettingsError(f"Predictions {table.shape} must be one row per item, and not NaN or infinite.")
    return table


def _check_targets(found: Array, wanted: Array) -> None:
    if found.shape != wanted.shape or not len(found):
        shapes = f"{found.shape} and targets {wanted.shape}"
        raise SettingsError(f"predictions have shape {shapes}; they must agree and not be empty.")


def _positive_column(table: Array) -> Array:
    if table.ndim == 1:
        return table
    if table.ndim == 2 and table.shape[1] == 2:
        return table[:, 1]
    raise SettingsError(f"Probabilities of two classes have shape {table.shape}; (n,) or (n, 2) is wanted.")


def _check_probabilities(values: Array) -> None:
    if values.size and not ((values >= -1e-6) & (values <= 1 + 1e-6)).all():
        raise SettingsError("Probabilities lie outside 0 to 1 or are not numbers.")


def _whole_labels(labels: Array, count: int, classes: int) -> Array:
    found = np.asarray(labels)
    if found.shape != (count,):
        raise SettingsError(f"{count} predictions and labels of shape {found.shape} must agree.")
    if not np.isin(found, np.arange(classes)).all():
        raise SettingsError(f"Labels must be class numbers from 0 to {classes - 1}.")
    return found.astype(np.int64)
