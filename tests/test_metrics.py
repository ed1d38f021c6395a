import math
import warnings

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as reference

from genolm import bootstrap, metrics, weighted_figures
from genolm.errors import SettingsError

RNG = np.random.default_rng(11)


def binary_sample(count, decimals=None):
    labels = RNG.integers(0, 2, count)
    scores = 1 / (1 + np.exp(-(1.5 * labels - 0.5 + RNG.normal(size=count))))
    return (scores if decimals is None else scores.round(decimals)), labels


def sklearn_binary(scores, labels, threshold=0.5):
    called = scores >= threshold
    return {
        "accuracy": reference.accuracy_score(labels, called),
        "precision": reference.precision_score(labels, called),
        "recall": reference.recall_score(labels, called),
        "mcc": reference.matthews_corrcoef(labels, called),
        "auroc": reference.roc_auc_score(labels, scores),
        "auprc": reference.average_precision_score(labels, scores),
    }


def values(found):
    return {name: estimate.value for name, estimate in found.items()}


@pytest.mark.parametrize("decimals", [None, 1])
def test_binary_values_equal_scikit_learn(decimals):
    scores, labels = binary_sample(500, decimals)
    for given in (scores, np.stack([1 - scores, scores], axis=1)):
        found = values(metrics.binary_metrics(given, labels, threshold=0.4, n_boot=0))
        assert list(found) == list(metrics.BINARY_METRICS)
        expected = sklearn_binary(scores, labels, 0.4)
        assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-12)


def test_log_loss_is_that_of_a_hand_and_of_scikit_learn():
    chances, labels = np.array([[0.5, 0.5], [0.25, 0.75]]), np.array([0, 1])
    assert metrics.log_loss(chances, labels) == pytest.approx(-(np.log(0.5) + np.log(0.75)) / 2)
    assert metrics.log_loss(chances, labels) == pytest.approx(reference.log_loss(labels, chances))
    assert np.isfinite(metrics.log_loss(np.array([[0.0, 1.0]]), np.array([0])))


def test_multiclass_values_equal_scikit_learn():
    labels = RNG.integers(0, 4, 600)
    scores = RNG.dirichlet(np.ones(4), 600)
    scores[np.arange(600), labels] += 0.3
    scores = (scores / scores.sum(axis=1, keepdims=True)).round(4)
    called = scores.argmax(axis=1)
    found = values(metrics.multiclass_metrics(scores, labels, n_boot=0))
    one_hot = np.eye(4)[labels]
    expected = {
        "accuracy": reference.accuracy_score(labels, called),
        "precision": reference.precision_score(labels, called, average="macro"),
        "recall": reference.recall_score(labels, called, average="macro"),
        "mcc": reference.matthews_corrcoef(labels, called),
        "auroc": reference.roc_auc_score(one_hot, scores, average="macro"),
        "auprc": reference.average_precision_score(one_hot, scores, average="macro"),
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-12)


def test_multilabel_values_equal_scikit_learn():
    labels = RNG.integers(0, 2, (300, 3))
    scores = (0.4 * labels + 0.6 * RNG.random((300, 3))).round(2)
    found = values(metrics.multilabel_metrics(scores, labels, n_boot=0))
    called = scores >= 0.5
    expected = {
        "accuracy": 1 - reference.hamming_loss(labels, called),
        "exact_match": reference.accuracy_score(labels, called),
        "precision": reference.precision_score(labels, called, average="macro"),
        "recall": reference.recall_score(labels, called, average="macro"),
        "mcc": np.mean([reference.matthews_corrcoef(labels[:, j], called[:, j]) for j in range(3)]),
        "auroc": reference.roc_auc_score(labels, scores, average="macro"),
        "auprc": reference.average_precision_score(labels, scores, average="macro"),
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("decimals", [6, 0])
def test_regression_values_equal_scikit_learn_and_scipy(decimals):
    wanted = RNG.normal(1e4, 3, 400).round(decimals)
    found = (wanted + RNG.normal(0, 2, 400)).round(decimals)
    result = values(metrics.regression_metrics(found, wanted, n_boot=0))
    assert result == pytest.approx(
        {
            "r2": reference.r2_score(wanted, found),
            "pearson": stats.pearsonr(found, wanted).statistic,
            "spearman": stats.spearmanr(found, wanted).statistic,
            "rmse": math.sqrt(reference.mean_squared_error(wanted, found)),
            "mae": reference.mean_absolute_error(wanted, found),
        },
        abs=1e-9,
    )


def test_regression_of_several_quantities_is_their_mean():
    wanted = RNG.normal(size=(80, 2))
    found = wanted + RNG.normal(size=(80, 2))
    both = values(metrics.regression_metrics(found, wanted, n_boot=0))
    each = [values(metrics.regression_metrics(found[:, j], wanted[:, j], n_boot=0)) for j in (0, 1)]
    assert both == pytest.approx({name: (each[0][name] + each[1][name]) / 2 for name in both})


def test_weights_mean_the_same_as_repeated_items():
    """Every weighted figure of a draw equals the plain figure of the items that were drawn."""
    scores, labels = binary_sample(60, 1)
    weights = bootstrap.draw_weights(np.random.default_rng(4), 20, 60)
    assert (weights.sum(axis=1) == 60).all()
    binary = weighted_figures.binary_statistic(scores, labels == 1, 0.5)(weights)
    targets = scores + RNG.normal(size=60).round(1)
    regression = weighted_figures.regression_statistic(scores, targets)(weights)
    table = RNG.dirichlet(np.ones(3), 60)
    classes = RNG.integers(0, 3, 60)
    several = weighted_figures.multiclass_statistic(table, classes)(weights)
    for row, draw in enumerate(weights):
        items = np.repeat(np.arange(60), draw.astype(int))
        pairs = (
            (binary, metrics.binary_metrics(scores[items], labels[items], n_boot=0)),
            (regression, metrics.regression_metrics(scores[items], targets[items], n_boot=0)),
            (several, metrics.multiclass_metrics(table[items], classes[items], n_boot=0)),
        )
        for weighted, plain in pairs:
            found = {name: column[row] for name, column in weighted.items()}
            assert found == pytest.approx(values(plain), abs=1e-9)


def test_interval_of_accuracy_agrees_with_the_binomial():
    labels = np.ones(2_000, dtype=int)
    scores = np.where(np.arange(2_000) < 1_600, 0.9, 0.1)
    found = metrics.binary_metrics(scores, labels)["accuracy"]
    deviation = 1.96 * math.sqrt(0.8 * 0.2 / 2_000)
    assert found.value == pytest.approx(0.8)
    assert (found.low, found.high) == pytest.approx((0.8 - deviation, 0.8 + deviation), abs=0.002)


def test_interval_of_auroc_agrees_with_an_explicit_bootstrap():
    scores, labels = binary_sample(400)
    rng = np.random.default_rng(2)

    def mann_whitney(draw):
        positives = labels[draw].sum()
        ranks = stats.rankdata(scores[draw])[labels[draw] == 1].sum()
        return (ranks - positives * (positives + 1) / 2) / positives / (400 - positives)

    draws = [mann_whitney(rng.integers(0, 400, 400)) for _ in range(800)]
    low, high = np.quantile(draws, [0.025, 0.975])
    found = metrics.binary_metrics(scores, labels)["auroc"]
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.008)
    assert found.low < found.value < found.high


def test_seed_decides_the_interval():
    scores, labels = binary_sample(300)
    first, again, other = (metrics.binary_metrics(scores, labels, seed=seed)["mcc"] for seed in (1, 1, 2))
    assert first == again
    assert (first.low, first.high) != (other.low, other.high)
    assert first.value == other.value


def test_the_interval_of_a_calibration_error_holds_it():
    rng = np.random.default_rng(5)
    for _ in range(20):
        chances = rng.uniform(size=150)
        found = metrics.score("binary", chances, rng.uniform(size=150) < chances, n_boot=200)["ece"]
        # Noise alone makes this error, and drawing adds as much again: the draws as they are lie above it.
        assert 0 <= found.low <= found.value <= found.high


def test_ece_by_hand():
    scores = np.array([0.10, 0.12, 0.95, 0.97])
    labels = np.array([0, 1, 1, 1])
    expected = (2 * abs(0.11 - 0.5) + 2 * abs(0.96 - 1)) / 4
    assert metrics.ece(scores, labels, bins=10) == pytest.approx(expected)
    table = np.array([[0.7, 0.3], [0.7, 0.3], [0.2, 0.8]])
    top = (2 * abs(0.7 - 0.5) + abs(0.8 - 1)) / 3
    assert metrics.ece(table, np.array([0, 1, 1]), bins=10) == pytest.approx(top)
    assert metrics.ece(np.array([0.0, 1.0]), np.array([0, 1])) == 0


def test_one_class_only_gives_nan_and_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for labels in (np.zeros(20, int), np.ones(20, int)):
            found = metrics.binary_metrics(np.linspace(0, 1, 20), labels, n_boot=50)
            assert math.isnan(found["auroc"].value) and math.isnan(found["mcc"].value)
            assert not math.isnan(found["accuracy"].value) and not math.isnan(found["ece"].low)
        several = metrics.multiclass_metrics(np.full((5, 3), 1 / 3), np.zeros(5, int), n_boot=50)
        assert math.isnan(several["mcc"].value) and math.isnan(several["auroc"].high)
        constant = values(metrics.regression_metrics(np.arange(9.0), np.full(9, 0.3), n_boot=50))
        assert [math.isnan(constant[name]) for name in metrics.REGRESSION_METRICS] == [True] * 3 + [False] * 2
        statistic = weighted_figures.binary_statistic(np.r_[0.9, np.zeros(9)], np.r_[True, np.zeros(9, bool)], 0.5)
        rare = bootstrap.bootstrap(statistic, 10, 200, 1)
        assert rare["auroc"].value == rare["auroc"].low == 1
        assert math.isnan(metrics.binary_metrics(np.ones(1), np.ones(1, int))["accuracy"].low)


def test_without_negatives_precision_says_nothing():
    found = values(metrics.binary_metrics(np.linspace(0.1, 0.9, 8), np.ones(8, int), n_boot=0))
    assert math.isnan(found["precision"]) and math.isnan(found["auprc"]) and found["recall"] == found["accuracy"] == 0.5
    several = values(metrics.multiclass_metrics(np.eye(3)[[0, 0, 1]], np.zeros(3, int), n_boot=0))
    assert math.isnan(several["precision"]) and several["recall"] == several["accuracy"] == pytest.approx(2 / 3)


@pytest.mark.parametrize("count", [5, 20, 100])
def test_all_right_has_the_interval_of_clopper_and_pearson(count):
    """0.025^(1/n) to 1, also for several classes; recall goes by the positives alone, and half of its draws say nothing."""
    labels = np.arange(count) % 2
    scores = 0.1 + 0.8 * labels
    wanted = stats.binomtest(count, count).proportion_ci(method="exact").low
    assert wanted == pytest.approx(0.025 ** (1 / count))
    found = metrics.binary_metrics(scores, labels, n_boot=6000)
    several = metrics.multiclass_metrics(np.stack([1 - scores, scores], axis=1), labels, n_boot=6000)
    for item in (found["accuracy"], several["accuracy"]):
        assert item.value == item.high == 1 and item.low == pytest.approx(wanted, abs=0.03)
    positives = int(labels.sum())
    assert found["recall"].low == pytest.approx(0.05 ** (1 / positives), abs=0.04)
    for name in ("mcc", "auroc", "auprc", "precision"):
        assert found[name].value == pytest.approx(1) == found[name].high and 0 < found[name].low < 0.999
    none = metrics.binary_metrics(1 - scores, labels, n_boot=6000)["accuracy"]
    assert none.value == none.low == 0 and none.high == pytest.approx(1 - wanted, abs=0.03)


def test_related_items_that_are_all_right_count_as_their_groups():
    labels = np.repeat(np.arange(20) % 2, 5)
    found = metrics.binary_metrics(0.1 + 0.8 * labels, labels, n_boot=6000, groups=np.repeat(np.arange(20), 5))
    assert found["accuracy"].low == pytest.approx(0.025 ** (1 / 20), abs=0.03)


def test_the_calibration_error_of_a_calibrated_model_may_be_none():
    rng, held = np.random.default_rng(5), {True: 0, False: 0}
    for seed in range(60):
        chances = 1 / (1 + np.exp(-rng.normal(0, 2, 80)))
        for is_calibrated in held:
            # The other says .95 where it is right in half of the cases.
            said = chances if is_calibrated else np.full(80, 0.95)
            labels = (rng.random(80) < (chances if is_calibrated else 0.5)).astype(int)
            found = metrics.binary_metrics(said, labels, n_boot=100, seed=seed)["ece"]
            held[is_calibrated] += found.low <= (0.0 if is_calibrated else 0.45) <= found.high
            assert found.low <= found.value <= found.high and (is_calibrated or found.low > 0.1)
    assert held[True] >= 54 and held[False] >= 54


def test_calibrated_errors_by_hand():
    # One item of probability one half is half a unit off, whatever it is; related ones are right together.
    assert metrics.calibrated_errors("binary", np.array([0.5]), draws=5).tolist() == [0.5] * 5
    pair = metrics.calibrated_errors("multiclass", np.full((2, 2), 0.5), draws=50, groups=["a", "a"])
    assert set(pair) == {0.5}
    assert set(metrics.calibrated_errors("multiclass", np.full((2, 2), 0.5), draws=50)) == {0.0, 0.5}
    assert metrics.calibrated_errors("multilabel", np.array([[1.0, 0.5]]), draws=5).tolist() == [0.25] * 5


def test_a_model_that_calls_everything_the_same():
    found = values(metrics.binary_metrics(np.full(10, 0.2), np.arange(10) % 2, n_boot=0))
    assert math.isnan(found["precision"])
    assert (found["recall"], found["mcc"], found["auroc"], found["auprc"]) == (0, 0, 0.5, 0.5)
    several = values(metrics.multiclass_metrics(np.tile([0.8, 0.1, 0.1], (9, 1)), np.arange(9) % 3, n_boot=0))
    assert several["precision"] == pytest.approx(1 / 9)
    assert several["mcc"] == 0


def test_score_picks_by_task():
    scores, labels = binary_sample(50)
    direct = metrics.binary_metrics(scores, labels, threshold=0.3, n_boot=9)
    assert metrics.score("binary", scores, labels, threshold=0.3, n_boot=9) == direct
    table = np.stack([1 - scores, scores], axis=1)
    assert "exact_match" in metrics.score("multilabel", table, np.eye(2)[labels], n_boot=0, threshold=0.3)
    assert set(metrics.score("multiclass", table, labels, n_boot=0)) == set(metrics.BINARY_METRICS)
    assert set(metrics.score("regression", scores, labels, n_boot=0)) == set(metrics.REGRESSION_METRICS)
    with pytest.raises(SettingsError, match="task 'ranking'"):
        metrics.score("ranking", scores, labels)


def test_estimates_as_text_and_json():
    estimate = metrics.Estimate(0.93512, 0.9, 0.95)
    assert str(estimate) == "0.935 (0.900 to 0.950)"
    assert str(metrics.Estimate(math.nan, math.nan, math.nan)) == "not defined"
    plain = metrics.as_json({"a": metrics.Estimate(0.5, math.nan, 1.0)})
    assert plain == {"a": {"value": 0.5, "low": None, "high": 1.0}}


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda: metrics.binary_metrics(np.array([]), np.array([])), "no items"),
        (lambda: metrics.regression_metrics([], []), "not be empty"),
        (lambda: metrics.binary_metrics(np.array([0.5]), np.array([2])), "class numbers"),
        (lambda: metrics.binary_metrics(np.array([0.5]), np.array([0, 1])), "must agree"),
        (lambda: metrics.binary_metrics(np.array([1.5]), np.array([0])), "outside 0 to 1"),
        (lambda: metrics.binary_metrics(np.array([np.nan]), np.array([0])), "outside 0 to 1"),
        (lambda: metrics.binary_metrics(np.ones((2, 3)), np.array([0, 1])), "two classes"),
        (lambda: metrics.regression_metrics([np.inf], [1.0]), "not NaN"),
        (lambda: metrics.multilabel_metrics(np.ones((2, 3)), np.ones((2, 2))), "labels have shape"),
    ],
)
def test_input_that_cannot_be_scored_is_refused(call, reason):
    with pytest.raises(SettingsError, match=reason):
        call()
