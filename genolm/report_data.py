"""The numbers behind the report of a trained model, as plain data that JSON can hold."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from genolm import metrics
from genolm.answers import Answers
from genolm.bootstrap import Estimate, paired_bootstrap, share, taken
from genolm.calibration import calibrated_threshold, reliability_table

CURVE_POINTS = 400
SCATTER_POINTS = 2_000
EXAMPLES, LONGEST_EXAMPLE = 200, 20_000
BOOTSTRAPPED_CLASSES = 50
HISTOGRAM_BINS = 40
THRESHOLD_FREE = ("auroc", "auprc")
THRESHOLDS = np.round(np.linspace(0.0, 1.0, 101), 2)

Data = dict[str, Any]


def measure(answers: Answers, *, n_boot: int = 1000, seed: int = 1) -> Data:
    """Return everything that is measured on the rows that a model is judged by.

    Returns
    -------
    dict
        ``rows, drawn, metrics, wrong, examples`` of every task, ``drawn`` being the number of groups that intervals
        are drawn over, see :attr:`genolm.answers.Answers.drawn`; ``calibration, thresholds`` and ``counts`` of
        classes; ``roc, pr, per_class, histogram`` where there are classes to tell apart; ``confusion`` of
        one class per row; ``scatter, residuals`` of regression. ``grouped_shares`` is not there in reports of older
        versions, whose precision and recall of each class have intervals over single rows.
    """
    shared = {
        "rows": len(answers),
        "drawn": answers.drawn,
        "metrics": metrics.as_json(answers.scores(n_boot=n_boot, seed=seed)),
        "wrong": int(answers.is_wrong.sum()),
        "examples": list(answers.examples(EXAMPLES, longest=LONGEST_EXAMPLE)),
    }
    if answers.task == "regression":
        return {**shared, **_regression(answers, n_boot, seed)}
    return {
        **shared,
        "counts": {name: int(truth.sum()) for name, truth in _columns(answers)},
        "calibration": calibration_data(answers, n_boot=n_boot, seed=seed),
        "thresholds": threshold_counts(answers),
        **_curves(answers),
        "per_class": _per_class(answers, n_boot, seed),
        "grouped_shares": True,
        **({} if answers.task == "multilabel" else {"confusion": confusion(answers)}),
        **({"histogram": _histogram(answers)} if answers.task == "binary" else {}),
    }


def measure_validation(answers: Answers, *, n_boot: int = 1000, seed: int = 1) -> Data:
    """Return what is told of the validation rows: metrics, and what a threshold is chosen by."""
    found = {
        "rows": len(answers),
        "drawn": answers.drawn,
        "metrics": metrics.as_json(answers.scores(n_boot=n_boot, seed=seed)),
    }
    return found if answers.task == "regression" else {**found, "thresholds": threshold_counts(answers)}


def measure_baselines(
    answers: Answers,
    baselines: Mapping[str, np.ndarray],
    *,
    valid: Answers | None = None,
    valid_baselines: Mapping[str, np.ndarray] | None = None,
    n_boot: int = 1000,
    seed: int = 1,
) -> dict[str, Data]:
    """Return the metrics of baselines on the same rows, and how far the model is from each.

    Parameters
    ----------
    answers : Answers
    baselines : mapping of str to np.ndarray
        Name to probabilities (or values) (n, outputs).
    valid : Answers, optional
        The model's on the validation rows.
    valid_baselines : mapping of str to np.ndarray, optional
        Name to probabilities on the validation rows. A binary baseline's threshold is picked on these as the
        model's was; without them it is 0.5, and only areas, which need no threshold, are compared.
    n_boot, seed : int

    Returns
    -------
    dict
        Name to ``metrics``, ``threshold`` (None where the task has none) and ``difference``: metric to the
        model's figure minus the baseline's with ``value, low, high, p``.
    """
    task, labels = answers.task, answers.labels
    own, own_unseen = metrics.statistics_for(
        task, answers.probabilities, labels, threshold=answers.calibration.threshold
    )
    has_threshold = task in ("binary", "multilabel")
    found = {}
    for name, values in baselines.items():
        picked = _picked_threshold(valid, (valid_baselines or {}).get(name))
        threshold = 0.5 if picked is None else picked
        other, other_unseen = metrics.statistics_for(task, values, labels, threshold=threshold)
        options = {"n_boot": n_boot, "seed": seed, "groups": answers.drawn_over}
        pairs = paired_bootstrap(own, other, len(answers), unseen=(own_unseen, other_unseen), **options)
        is_alike = not has_threshold or picked is not None or answers.calibration.threshold == threshold
        found[name] = {
            "metrics": {key: pair.b.as_dict() for key, pair in pairs.items()},
            "threshold": threshold if has_threshold else None,
            "difference": {
                key: {**pair.difference.as_dict(), "p": pair.as_dict()["p"]}
                for key, pair in pairs.items()
                if is_alike or key in THRESHOLD_FREE
            },
        }
    return found


def _picked_threshold(valid: Answers | None, values: np.ndarray | None) -> float | None:
    """Return a binary baseline's threshold, from validation rows as a model's; None if it cannot be had."""
    if valid is None or values is None or valid.task != "binary" or len(set(valid.labels.tolist())) < 2:
        return None
    return calibrated_threshold(values[:, 1] if values.ndim == 2 else values, valid.labels)


def confusion(answers: Answers) -> list[list[int]]:
    """Return how many rows of each class (outer) were called each class (inner)."""
    size = len(answers.classes)
    cells = np.bincount(answers.labels * size + answers.calls, minlength=size * size)
    return cells.reshape(size, size).tolist()


def roc_points(scores: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return false positive rate and true positive rate from the highest threshold down, ends included."""
    hits, misses = _above(scores, truth)
    return _thinned(np.r_[0.0, misses / misses[-1]], np.r_[0.0, hits / hits[-1]])


def pr_points(scores: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return recall and precision from the highest threshold down, the first precision from recall 0."""
    hits, misses = _above(scores, truth)
    precision = hits / (hits + misses)
    return _thinned(np.r_[0.0, hits / hits[-1]], np.r_[precision[0], precision])


def calibration_data(answers: Answers, *, n_boot: int = 1000, seed: int = 1) -> Data:
    """Return calibration error and reliability ``before`` and ``after`` temperature scaling.

    ``noise`` is the error that a perfectly calibrated model would have on average on as many rows.
    """
    found = {}
    for name, values in (("before", answers.raw_probabilities), ("after", answers.probabilities)):
        options = {"n_boot": n_boot, "seed": seed, "groups": answers.drawn_over}
        scores = metrics.score(answers.task, values, answers.labels, **options)
        table, truth, groups = values, answers.labels, answers.drawn_over
        if answers.task == "binary":
            table = values[:, 1]
        elif answers.task == "multilabel":
            # What one row is said to be in several classes is related too.
            groups = np.repeat(np.arange(len(answers)) if groups is None else groups, values.shape[1])
            table, truth = values.ravel(), answers.labels.ravel()
        bins = reliability_table(table, truth, groups=groups)
        noise = metrics.calibrated_errors(answers.task, values, seed=seed, groups=answers.drawn_over)
        parts = {"ece": scores["ece"].as_dict(), "noise": float(noise.mean())}
        found[name] = {**parts, "bins": bins.to_dict(orient="list")}
    return found


def threshold_counts(answers: Answers) -> Data:
    """Return what the thresholds 0.00 to 1.00 would give.

    Returns
    -------
    dict
        Binary and multi-label: class to the counts ``tp, fp, fn, tn`` at each threshold, where the answer is
        yes from the threshold on. Multi-class: under ``""`` how many rows get an answer of at least that
        probability (``answered``) and how many of these are right (``right``).
    """
    if answers.task == "multiclass":
        sure = answers.surety[:, None] >= THRESHOLDS
        right = sure & ~answers.is_wrong[:, None]
        return {"": {"answered": sure.sum(axis=0).tolist(), "right": right.sum(axis=0).tolist()}}
    chosen = range(1, 2) if answers.task == "binary" else range(len(answers.classes))
    columns = list(_columns(answers))
    found = {}
    for j in chosen:
        name, truth = columns[j]
        yes = answers.probabilities[:, j][:, None] >= THRESHOLDS
        tp, called = (yes & truth[:, None]).sum(axis=0), yes.sum(axis=0)
        fp, positives = called - tp, int(truth.sum())
        cells = {"tp": tp, "fp": fp, "fn": positives - tp, "tn": len(truth) - positives - fp}
        found[name] = {key: value.tolist() for key, value in cells.items()}
    return found


def rates(tp: int, fp: int, fn: int, tn: int) -> dict[str, float]:
    """Return precision, recall, false positive rate and MCC of four counts; NaN where not defined.

    MCC is 0 when all items are called the same, as in :mod:`genolm.metrics`.
    """
    spread = math.sqrt((tp + fp) * (tp + fn)) * math.sqrt((tn + fp) * (tn + fn))
    both = (tp + fn) and (tn + fp)
    return {
        "precision": tp / (tp + fp) if tp + fp else math.nan,
        "recall": tp / (tp + fn) if tp + fn else math.nan,
        "false_positive_rate": fp / (fp + tn) if fp + tn else math.nan,
        "mcc": ((tp * tn - fp * fn) / spread if spread else 0.0) if both else math.nan,
    }


def expected_precision(recall: float, false_positive_rate: float, share: float) -> float:
    """Return the precision where a ``share`` of all items is positive; NaN when nothing is called."""
    called = recall * share + false_positive_rate * (1 - share)
    return recall * share / called if called else math.nan


def _columns(answers: Answers) -> Iterator[tuple[str, np.ndarray]]:
    """Yield each class with which rows are of it, bool (n,)."""
    for j, name in enumerate(answers.classes):
        yield name, answers.labels[:, j] == 1 if answers.labels.ndim == 2 else answers.labels == j


def _curves(answers: Answers) -> Data:
    roc, pr = {}, {}
    for j, (name, truth) in enumerate(_columns(answers)):
        if not truth.any() or truth.all() or (answers.task == "binary" and j == 0):
            continue
        scores = answers.probabilities[:, j]
        for kept, points in ((roc, roc_points), (pr, pr_points)):
            x, y = points(scores, truth)
            kept[name] = {"x": x.round(5).tolist(), "y": y.round(5).tolist()}
    return {"roc": roc, "pr": pr}


def _per_class(answers: Answers, n_boot: int, seed: int) -> list[Data]:
    """Return precision and recall (:func:`share`) and the areas (bootstrap, where classes are not too many)."""
    draws = n_boot if len(answers.classes) <= BOOTSTRAPPED_CLASSES else 0
    found = []
    for j, (name, truth) in enumerate(_columns(answers)):
        called = answers.calls[:, j] == 1 if answers.calls.ndim == 2 else answers.calls == j
        options = {"n_boot": draws, "seed": seed, "groups": answers.drawn_over}
        areas = metrics.binary_metrics(answers.probabilities[:, j], truth, **options)
        parts = {
            "precision": share(truth[called], taken(answers.drawn_over, called)),
            "recall": share(called[truth], taken(answers.drawn_over, truth)),
            "auroc": areas["auroc"],
            "auprc": areas["auprc"],
        }
        counts = {"class": name, "rows": int(truth.sum()), "called": int(called.sum())}
        found.append({**counts, **metrics.as_json(parts)})
    return found


def _histogram(answers: Answers) -> Data:
    """Return how many rows of each class got which probability of the positive one."""
    edges = np.linspace(0, 1, HISTOGRAM_BINS + 1)
    scores = answers.probabilities[:, 1]
    counts = {name: np.histogram(scores[truth], edges)[0].tolist() for name, truth in _columns(answers)}
    return {"edges": edges.round(4).tolist(), "counts": counts}


def _regression(answers: Answers, n_boot: int, seed: int) -> Data:
    found, truth = answers.probabilities, answers.labels.astype(np.float64)
    shown = np.arange(len(answers))
    if len(shown) > SCATTER_POINTS:
        shown = np.sort(np.random.default_rng(seed).choice(shown, SCATTER_POINTS, replace=False))
    scatter, residuals, single = {}, {}, {}
    for j, name in enumerate(answers.classes):
        scatter[name] = {
            "truth": truth[shown, j].tolist(),
            "predicted": found[shown, j].tolist(),
            "rows": [answers.rows[place] for place in shown],
        }
        counts, edges = np.histogram(found[:, j] - truth[:, j], bins=HISTOGRAM_BINS)
        residuals[name] = {"edges": edges.tolist(), "counts": counts.tolist()}
        if len(answers.classes) > 1:
            scores: dict[str, Estimate] = metrics.regression_metrics(
                found[:, j], truth[:, j], n_boot=n_boot, seed=seed, groups=answers.drawn_over
            )
            single[name] = metrics.as_json(scores)
    return {"scatter": scatter, "residuals": residuals, "per_quantity": single}


def _above(scores: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return positives and negatives at or above each different score, highest first."""
    order = np.argsort(-scores, kind="stable")
    ordered, positive = scores[order], truth[order].astype(np.float64)
    lasts = np.flatnonzero(np.r_[ordered[1:] != ordered[:-1], True])
    hits = np.cumsum(positive)[lasts]
    return hits, lasts + 1.0 - hits


def _thinned(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return at most some 400 points of a curve, evenly along it, both ends included."""
    if len(x) <= CURVE_POINTS:
        return x, y
    way = np.r_[0.0, np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y)))]
    kept = np.unique(np.searchsorted(way, np.linspace(0, way[-1], CURVE_POINTS)).clip(0, len(x) - 1))
    return x[kept], y[kept]
