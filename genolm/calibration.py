"""From raw outputs to probabilities that mean what they say, and the threshold for a yes.

Temperature scaling (Guo et al. 2017, arXiv:1706.04599): all logits are divided by one number, fitted on
held-out items by likelihood. It changes no ranking, so AUROC stays what it was.
"""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit, log_softmax, logit, softmax

from genolm.bootstrap import share, taken
from genolm.config import TASK_KINDS, Calibration, EitherStrand
from genolm.errors import SettingsError

TEMPERATURE_RANGE = (0.2, 10.0)
RELIABILITY_BINS = 15
CALM = 5.0
"""Prior of a model's temperature: a dozen validation rows that are all right do not make it certain."""
LEAST_CHANCE = 1e-9
_OFFSETS = (-20.0, 20.0)


def fit_temperature(logits: np.ndarray, labels: np.ndarray, task: str, *, prior: float = 0.0) -> float:
    """Return the temperature under which held-out labels are likeliest.

    Parameters
    ----------
    logits : np.ndarray
        (n, outputs) of items that the model was not trained on.
    labels : np.ndarray
        Class numbers (n,) for binary and multiclass, 0 and 1 (n, outputs) for multilabel.
    task : str
        One of :data:`genolm.config.TASK_KINDS`; regression needs no temperature and gets 1.
    prior : float
        How strongly few items are kept from moving it away from 1: the sum of their losses is added ``prior``
        times the square of its logarithm.

    Returns
    -------
    float
        Within :data:`TEMPERATURE_RANGE`: where a model is right on every item no finite temperature is
        best, and the range keeps the answer sober.
    """
    if task == "regression":
        return 1.0
    logits, labels = np.asarray(logits, dtype=np.float64), np.asarray(labels)
    _check(logits, labels, task)
    if task == "multilabel":
        signed = np.where(labels == 1, -logits, logits)

        def loss(log_temperature: float) -> float:
            return float(np.logaddexp(0.0, signed * math.exp(-log_temperature)).mean())

    else:
        rows, wanted = np.arange(len(logits)), labels.astype(np.int64)

        def loss(log_temperature: float) -> float:
            scaled = log_softmax(logits * math.exp(-log_temperature), axis=1)
            return float(-scaled[rows, wanted].mean())

    bounds = tuple(math.log(end) for end in TEMPERATURE_RANGE)
    weight = prior / len(logits)
    found = minimize_scalar(
        lambda place: loss(place) + weight * place**2, bounds=bounds, method="bounded", options={"xatol": 1e-5}
    )
    return math.exp(found.x)


def fit_calibration(
    logits: np.ndarray, labels: np.ndarray, task: str, *, turned: np.ndarray | None = None
) -> Calibration:
    """Return the temperature, and what a binary task says yes by, fitted on held-out items.

    Parameters
    ----------
    logits, labels, task
        See :func:`fit_temperature`, which is kept calm; of regression nothing is fitted.
    turned : np.ndarray, optional
        (n, outputs) of the reverse complements of the items of a binary task, for sequences of unknown strand.
    """
    found = Calibration(temperature=fit_temperature(logits, labels, task, prior=CALM))
    if task != "binary" or len(set(labels.tolist())) != 2:
        return found
    found = replace(found, threshold=expected_threshold(apply(logits, found, task)[:, 1], labels))
    return found if turned is None else with_either(found, logits, turned, labels)


def with_either(known: Calibration, logits: np.ndarray, turned: np.ndarray, labels: np.ndarray) -> Calibration:
    """Return the calibration of a binary task with that for unknown strands, see :func:`fit_calibration`."""
    plus, minus = (np.diff(item)[:, 0] / known.temperature for item in (logits, turned))
    return replace(known, either=fit_either(plus, minus, labels))


def fit_either(plus: np.ndarray, minus: np.ndarray, labels: np.ndarray) -> EitherStrand:
    """Return how both readings of a sequence of unknown strand are counted, fitted on held-out items.

    A site is on one strand, but what the other says is no mere chance: the interior of a gene, turned, may look like
    a start, and a promoter on one strand makes one on the other likelier. So the weights of the two readings, the
    higher first, are those of a logistic regression (Platt scaling, Platt 1999, with two inputs), none below 0. A few
    items barely move them from 1 and 0, the surer reading alone.

    Parameters
    ----------
    plus, minus : np.ndarray
        (n,) calibrated log odds of the positive class of the two strands of items that the model was not trained on.
    labels : np.ndarray
        (n,) of 0 and 1.
    """
    high, low = np.maximum(plus, minus).astype(np.float64), np.minimum(plus, minus).astype(np.float64)
    inputs, usual = np.stack([high, low, np.ones(len(high))], axis=1), np.array([1.0, 0.0, 0.0])
    signs = np.where(np.asarray(labels) == 1, -1.0, 1.0)

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        against = signs * (inputs @ weights)
        moved = weights - usual
        slope = inputs.T @ (signs * expit(against)) + 2 * moved
        return float(np.logaddexp(0.0, against).sum() + moved @ moved), slope

    bounds = [(0, None), (0, None), (None, None)]
    surer, other, offset = map(float, minimize(loss, usual, jac=True, bounds=bounds, method="L-BFGS-B").x)
    fitted = EitherStrand(surer, other, offset, 0.5)
    return replace(fitted, threshold=expected_threshold(expit(either_odds(plus, minus, fitted)), labels))


def either_odds(plus: np.ndarray, minus: np.ndarray, either: EitherStrand | None) -> np.ndarray:
    """Return the log odds (n,) of the positive class of sequences of unknown strand, from those of both readings.

    Without a fit (None) the odds are the mean of both: a site is on one strand, either one as likely before it is
    read, and what has none looks alike on both.
    """
    if either is None:
        return np.logaddexp(plus, minus) - math.log(2)
    return either.surer * np.maximum(plus, minus) + either.other * np.minimum(plus, minus) + either.offset


def apply(logits: np.ndarray, calibration: Calibration, task: str) -> np.ndarray:
    """Return calibrated probabilities of logits (n, outputs), same shape and floating type.

    Softmax for binary and multiclass, logistic for each multilabel output; regression values are given
    back as they are.
    """
    if task not in TASK_KINDS:
        raise SettingsError(f"task is '{task}'; it must be one of {', '.join(TASK_KINDS)}.")
    logits = np.asarray(logits)
    if task == "regression":
        return logits
    if not calibration.temperature > 0:
        raise SettingsError(f"The temperature is {calibration.temperature}; it must be above 0.")
    scaled = logits / np.asarray(calibration.temperature, dtype=np.result_type(logits.dtype, np.float32))
    return expit(scaled) if task == "multilabel" else softmax(scaled, axis=-1)


def threshold_table(probabilities: np.ndarray, labels: np.ndarray) -> pd.DataFrame:
    """Return what every possible threshold would give, from the highest threshold down.

    Parameters
    ----------
    probabilities : np.ndarray
        (n,) of the positive class; an item is called positive at or over the threshold.
    labels : np.ndarray
        (n,) of 0 and 1.

    Returns
    -------
    pd.DataFrame
        One row per distinct probability with ``threshold, called, precision, recall, specificity, f1,
        mcc``; specificity is NaN without negatives.
    """
    scores, truth = _binary_input(probabilities, labels)
    order = np.argsort(-scores, kind="stable")
    scores, truth = scores[order], truth[order].astype(np.float64)
    lasts = np.flatnonzero(np.concatenate([scores[1:] != scores[:-1], [True]]))
    called, tp = lasts + 1.0, np.cumsum(truth)[lasts]
    positives, total = truth.sum(), float(len(truth))
    fp, tn = called - tp, total - positives - (called - tp)
    spread = np.sqrt(called * (total - called)) * math.sqrt(positives * (total - positives))
    above = tp * total - called * positives
    return pd.DataFrame(
        {
            "threshold": scores[lasts],
            "called": called.astype(np.int64),
            "precision": tp / called,
            "recall": tp / positives,
            "specificity": tn / (fp + tn) if positives < total else np.full(len(lasts), np.nan),
            "f1": 2 * tp / (called + positives),
            "mcc": np.divide(above, spread, out=np.zeros_like(above), where=spread > 0),
        }
    )


def expected_threshold(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the threshold of highest MCC to be expected where probabilities are right, but for an offset.

    Labels of a few held-out items say little of where to draw the line: the threshold of highest MCC among them is
    another one for other items. Their calibrated probabilities say it more steadily. Trained networks that were judged
    on other rows than those of their threshold had an MCC .04 higher for it with 30 rows, .02 with 60, .01 with 120 to
    500 and .003 with 1,000 (``benchmarks/thresholds.py``). All log odds may be too high or too low by one number, as
    where the classes' shares are others than in training: it is fitted too, and kept near 0 as the temperature is
    kept near 1.

    Parameters
    ----------
    probabilities : np.ndarray
        (n,) calibrated, of the positive class, of held-out items with the classes' usual shares.
    labels : np.ndarray
        (n,) of 0 and 1.

    Returns
    -------
    float
        Half way between two of them; one half where no line has an expected MCC above 0, or there is one class only.

    Raises
    ------
    SettingsError
        A probability is no number, or there is not one for each label.
    """
    if len(np.unique(labels)) < 2:
        return 0.5
    scores, truth = _binary_input(probabilities, labels)
    odds, signs = log_odds(scores), np.where(truth == 1, -1.0, 1.0)

    def loss(offset: float) -> float:
        return float(np.logaddexp(0.0, signs * (odds + offset)).sum()) + CALM * offset**2

    offset = minimize_scalar(loss, bounds=_OFFSETS, method="bounded", options={"xatol": 1e-6}).x
    line = _expected_line(expit(odds + offset))
    return 0.5 if line is None else float(expit(log_odds(line) - offset))


def _expected_line(chances: np.ndarray) -> float | None:
    """Return what parts items of right probabilities with the highest expected MCC; None where all are alike."""
    scores = np.sort(chances)[::-1]
    lasts = np.flatnonzero(scores[1:] != scores[:-1])
    called, positives, total = lasts + 1.0, scores.sum(), float(len(scores))
    spread = np.sqrt(called * (total - called) * positives * (total - positives))
    above = np.cumsum(scores)[lasts] * total - called * positives
    expected = np.divide(above, spread, out=np.zeros_like(above), where=spread > 0)
    if not len(lasts) or not expected.max() > 0:
        return None
    best = lasts[int(expected.argmax())]
    return float(scores[best] + scores[best + 1]) / 2


def log_odds(chances: Any, *, least: float = LEAST_CHANCE) -> Any:
    """Return log odds of probabilities, those nearer to 0 or 1 than ``least`` as of ``least`` and 1 - ``least``."""
    return logit(np.clip(np.asarray(chances, dtype=np.float64), least, 1 - least))


def calibrated_threshold(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the :func:`expected_threshold` of probabilities that are still to be calibrated, on their own scale.

    Parameters
    ----------
    probabilities, labels : np.ndarray
        (n,) of the positive class, and of 0 and 1; held-out items.
    """
    odds = log_odds(probabilities)
    temperature = fit_temperature(np.stack([-odds / 2, odds / 2], axis=1), labels, "binary", prior=CALM)
    return float(expit(temperature * log_odds(expected_threshold(expit(odds / temperature), labels))))


def pick_threshold(
    probabilities: np.ndarray,
    labels: np.ndarray,
    *,
    precision: float | None = None,
    recall: float | None = None,
) -> float:
    """Return the threshold of highest MCC among items, or the best one that reaches a wanted precision or recall.

    Where no threshold has an MCC above 0, as of a model that says the same of all, it is one half.

    Parameters
    ----------
    probabilities, labels : np.ndarray
        See :func:`threshold_table`; held-out items, not those of the test.
    precision : float, optional
        Reach at least this precision and, of all such thresholds, the highest recall.
    recall : float, optional
        Reach at least this recall with the highest threshold that does; not together with ``precision``.

    Raises
    ------
    SettingsError
        When the precision is out of reach; the message says what is in reach.
    """
    if precision is not None and recall is not None:
        raise SettingsError("Ask for a precision or for a recall, not for both.")
    for name, wanted in (("precision", precision), ("recall", recall)):
        if wanted is not None and not 0 < wanted <= 1:
            raise SettingsError(f"{name} is {wanted}; it must be above 0 and at most 1.")
    table = threshold_table(probabilities, labels)
    if precision is not None:
        reached = np.flatnonzero(table["precision"] >= precision)
        if not len(reached):
            best = table["precision"].max()
            raise SettingsError(f"No threshold has a precision of {precision:g}; the highest is {best:.3f}.")
        place = reached[-1]
    elif recall is not None:
        place = np.flatnonzero(table["recall"] >= recall)[0]
    else:
        place = table["mcc"].argmax()
        if not table["mcc"].iloc[place] > 0:
            return 0.5
    return float(table["threshold"].iloc[place])


def reliability_table(
    probabilities: np.ndarray, labels: np.ndarray, *, bins: int = RELIABILITY_BINS, groups: np.ndarray | None = None
) -> pd.DataFrame:
    """Return how often items with about the same probability are what they are said to be, for a plot.

    Parameters
    ----------
    probabilities : np.ndarray
        (n,) of the positive class, or (n, classes): then the highest one, against being right.
    labels : np.ndarray
        (n,) class numbers.
    bins : int
        Bins of equal width from 0 to 1.
    groups : np.ndarray, optional
        (n,) the group of each item, where items of one group are related.

    Returns
    -------
    pd.DataFrame
        One row per bin that holds items: ``left, right, count, probability`` (their mean), ``observed``
        (the share), ``low, high`` (its 95 % interval, :func:`genolm.bootstrap.share`).
    """
    table, labels = np.asarray(probabilities, dtype=np.float64), np.asarray(labels)
    if bins < 1:
        raise SettingsError(f"bins is {bins}; it must be 1 or more.")
    hit = labels == 1 if table.ndim == 1 else table.argmax(axis=1) == labels
    confidence = table if table.ndim == 1 else table.max(axis=1)
    column = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    counts = np.bincount(column, minlength=bins)
    filled = np.flatnonzero(counts)
    shares = [share(hit[column == one], taken(groups, column == one)) for one in filled]
    return pd.DataFrame(
        {
            "left": filled / bins,
            "right": (filled + 1) / bins,
            "count": counts[filled],
            "probability": np.bincount(column, weights=confidence, minlength=bins)[filled] / counts[filled],
            "observed": [found.value for found in shares],
            "low": [found.low for found in shares],
            "high": [found.high for found in shares],
        }
    )


def _binary_input(probabilities: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    scores, truth = np.asarray(probabilities), np.asarray(labels)
    if scores.ndim != 1 or scores.shape != truth.shape:
        raise SettingsError(f"Probabilities {scores.shape} and labels {truth.shape} must be of one length.")
    if np.isnan(scores).any() or not np.isin(truth, (0, 1)).all() or not (truth == 1).any():
        raise SettingsError("A threshold needs probabilities without NaN and labels 0 and 1, some of them 1.")
    return scores, truth == 1


def _check(logits: np.ndarray, labels: np.ndarray, task: str) -> None:
    if task not in TASK_KINDS:
        raise SettingsError(f"task is '{task}'; it must be one of {', '.join(TASK_KINDS)}.")
    wanted = logits.shape if task == "multilabel" else logits.shape[:1]
    if logits.ndim != 2 or labels.shape != wanted:
        raise SettingsError(f"Logits {logits.shape} and labels {labels.shape} do not fit together.")
    classes = 2 if task == "multilabel" else logits.shape[1]
    if not len(logits) or not np.isfinite(logits).all() or not np.isin(labels, np.arange(classes)).all():
        raise SettingsError("A temperature needs finite logits and labels that are class numbers.")
