"""Figures of items that have weights, as :mod:`genolm.bootstrap` wants them; what is slow is done before the draws.

Weights are (draws, items), how often each item came up in each draw, or any numbers from 0; figures are (draws,), NaN
where they are not defined. What the figures are is said in :mod:`genolm.metrics`.
"""

from collections.abc import Callable

import numpy as np
from scipy import sparse

from genolm.bootstrap import Array, Figures, Statistic
from genolm.errors import SettingsError

ECE_BINS = 15
_LEAST = 1e-300

Column = Callable[[Array], Array]
Pair = Callable[[Array], tuple[Array, Array]]


def _sorting(keys: Array) -> tuple[Array, Column]:
    """Return the order of ``keys`` and a function that puts columns in it, free when they are already."""
    order = np.argsort(keys, kind="stable")
    sorted_already = np.array_equal(order, np.arange(len(keys)))
    return order, lambda table: table if sorted_already else np.take(table, order, axis=1)


def binary_statistic(probabilities: Array, truth: Array, threshold: float) -> Statistic:
    """Return a function from weights to the figures of two classes; ``truth`` is bool (items,)."""
    called = probabilities >= threshold
    cells = np.stack([called & truth, called & ~truth, ~called & truth, ~(called | truth)]) * 1.0
    ranked = _ranking_statistic(probabilities, truth)
    calibrated = ece_statistic(probabilities, truth, ECE_BINS)

    def statistic(weights: Array) -> Figures:
        tp, fp, fn, tn = cells @ weights.T
        auroc, auprc = ranked(weights)
        return {
            "accuracy": _ratio(tp + tn, tp + fp + fn + tn),
            "precision": _ratio(tp, np.where(fp + tn > 0, tp + fp, 0.0)),
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
    negative = 1.0 - truth
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
        np.maximum(seen, _LEAST, out=seen)
        np.divide(seen_hits, seen, out=seen)
        negatives = weights @ negative
        return _ratio(better, positives * negatives), _ratio(_dot(hits, seen), np.where(negatives > 0, positives, 0.0))

    return statistic


def _dot(left: Array, right: Array) -> Array:
    return np.einsum("rg,rg->r", left, right)


def binned(confidence: Array, bins: int, values: Array | None = None) -> sparse.csr_array:
    """Return values, or ones, (items, bins), each in the bin of its confidence."""
    rows = np.arange(len(confidence))
    columns = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    values = np.ones(len(rows)) if values is None else values
    return sparse.csr_array((values, (rows, columns)), shape=(len(rows), bins))


def ece_statistic(confidence: Array, hit: Array, bins: int) -> Column:
    """Return a function from weights to the calibration error over bins of equal width."""
    excess = binned(confidence, bins, confidence - hit)
    return lambda weights: _ratio(np.abs(weights @ excess).sum(axis=1), weights.sum(axis=1))


def multiclass_statistic(table: Array, classes: Array, ranks: bool = True) -> Statistic:
    """Return a function from weights to the figures of several classes; ``ranks`` adds AUROC and AUPRC."""
    count, width = table.shape
    called, rows = table.argmax(axis=1), np.arange(count)

    def one_hot(values: Array, columns: Array) -> sparse.csr_array:
        return sparse.csr_array((values, (rows, columns)), shape=(count, width))

    truth_of, called_of = one_hot(np.ones(count), classes), one_hot(np.ones(count), called)
    right_of = one_hot((called == classes) * 1.0, classes)
    ranked = [_ranking_statistic(table[:, j], classes == j) for j in np.unique(classes)] if ranks else []
    calibrated = ece_statistic(table.max(axis=1), called == classes, ECE_BINS)

    def statistic(weights: Array) -> Figures:
        truth, calls, right = weights @ truth_of, weights @ called_of, weights @ right_of
        total = weights.sum(axis=1)
        # What is all of one class is called nothing else in vain.
        is_mixed = (truth > 0).sum(axis=1, keepdims=True) > 1
        precision = np.where((truth > 0) & is_mixed, right / np.maximum(calls, _LEAST), np.nan)
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


def multilabel_statistic(table: Array, truth: Array, threshold: float) -> Statistic:
    """Return a function from weights to the means of the figures over independent labels."""
    if truth.shape != table.shape or not np.isin(truth, (0, 1)).all():
        raise SettingsError(f"labels have shape {truth.shape}; {table.shape} of 0 and 1 is wanted.")
    parts = [binary_statistic(table[:, j], truth[:, j] == 1, threshold) for j in range(table.shape[1])]
    exact = ((table >= threshold) == (truth == 1)).all(axis=1).astype(np.float64)

    def statistic(weights: Array) -> Figures:
        figures = mean_of([part(weights) for part in parts])
        return {**figures, "exact_match": _ratio(weights @ exact, weights.sum(axis=1))}

    return statistic


def _mcc(truth: Array, calls: Array, right: Array) -> Array:
    """Return R_K of counts (draws, classes): 0 if one class only is called, NaN if one only is there."""
    total = truth.sum(axis=1)
    above = right.sum(axis=1) * total - (truth * calls).sum(axis=1)
    # Weights that are no whole numbers leave some 1e-16 below 0.
    spread_truth = np.maximum(total**2 - (truth**2).sum(axis=1), 0.0)
    spread_calls = np.maximum(total**2 - (calls**2).sum(axis=1), 0.0)
    below = np.sqrt(spread_truth) * np.sqrt(spread_calls)
    return np.where(spread_truth > 0, above / np.where(below > 0, below, np.inf), np.nan)


def regression_statistic(found: Array, wanted: Array) -> Statistic:
    """Return a function from weights to the figures of predicted numbers."""
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


def mean_of(parts: list[Figures]) -> Figures:
    """Return the mean of each figure over several sets of them, of those that are defined."""
    return {name: _mean(np.stack([part[name] for part in parts])) for name in parts[0]}


def _mean(stack: Array) -> Array:
    """Return the mean over the first axis of what is not NaN, NaN where nothing is."""
    there = ~np.isnan(stack)
    return _ratio(np.where(there, stack, 0.0).sum(axis=0), there.sum(axis=0).astype(np.float64))


def _ratio(above: Array, below: Array) -> Array:
    return np.divide(above, below, out=np.full(np.shape(above), np.nan), where=below != 0)
