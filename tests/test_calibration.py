import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn import metrics as reference
from sklearn.linear_model import LogisticRegression

from genolm import calibration
from genolm.bootstrap import share
from genolm.config import Calibration
from genolm.errors import SettingsError

RNG = np.random.default_rng(7)


def sampled_from_softmax(count, width, scale):
    """Labels drawn from the softmax of logits that are given back ``scale`` times too large."""
    logits = RNG.normal(0, 1.5, (count, width))
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = (chances.cumsum(axis=1) > RNG.random((count, 1))).argmax(axis=1)
    return logits * scale, labels


@pytest.mark.parametrize(("width", "task"), [(2, "binary"), (5, "multiclass")])
@pytest.mark.parametrize("scale", [0.5, 1.0, 3.0])
def test_temperature_undoes_a_known_scale(width, task, scale):
    logits, labels = sampled_from_softmax(20_000, width, scale)
    assert calibration.fit_temperature(logits, labels, task) == pytest.approx(scale, rel=0.05)


def test_temperature_of_multilabel():
    logits = RNG.normal(0, 2, (8_000, 3))
    labels = (RNG.random((8_000, 3)) < 1 / (1 + np.exp(-logits))).astype(int)
    assert calibration.fit_temperature(2.5 * logits, labels, "multilabel") == pytest.approx(2.5, rel=0.06)


def test_temperature_is_the_minimum_on_a_grid():
    logits, labels = sampled_from_softmax(300, 2, 2.0)
    found = calibration.fit_temperature(logits, labels, "binary")

    def loss(temperature):
        return reference.log_loss(labels, calibration.apply(logits, Calibration(temperature), "binary")[:, 1])

    assert loss(found) <= min(loss(value) for value in np.geomspace(0.2, 10, 40)) + 1e-9


def test_perfect_and_useless_models_stay_in_the_range():
    labels = np.arange(40) % 2
    right = np.stack([1.0 - labels, labels], axis=1)
    low, high = calibration.TEMPERATURE_RANGE
    assert calibration.fit_temperature(right, labels, "binary") == pytest.approx(low, rel=1e-3)
    assert calibration.fit_temperature(-right, labels, "binary") == pytest.approx(high, rel=1e-3)
    assert calibration.fit_temperature(np.ones((3, 1)), np.ones(3), "regression") == 1.0


def test_apply_by_hand():
    logits = np.array([[0.0, 2.0]], dtype=np.float32)
    found = calibration.apply(logits, Calibration(temperature=2.0), "binary")
    assert found.dtype == np.float32
    assert found[0].tolist() == pytest.approx([1 / (1 + np.e), np.e / (1 + np.e)])
    many = calibration.apply(np.array([[0.0, np.log(3.0)]]), Calibration(), "multilabel")
    assert many[0].tolist() == pytest.approx([0.5, 0.75])
    assert calibration.apply(logits, Calibration(5.0), "regression") is logits
    extreme = calibration.apply(np.array([[0.0, 5e4]], dtype=np.float32), Calibration(), "binary")
    assert extreme[0].tolist() == [0.0, 1.0]


def test_apply_keeps_the_order():
    logits, labels = sampled_from_softmax(400, 2, 1.0)
    areas = [
        reference.roc_auc_score(labels, calibration.apply(logits, Calibration(t), "binary")[:, 1])
        for t in (0.5, 1.0, 4.0)
    ]
    assert areas[0] == pytest.approx(areas[1]) == pytest.approx(areas[2])


def test_threshold_table_by_hand_and_against_scikit_learn():
    scores, labels = np.array([0.9, 0.8, 0.8, 0.3, 0.1]), np.array([1, 0, 1, 1, 0])
    table = calibration.threshold_table(scores, labels)
    assert table["threshold"].tolist() == [0.9, 0.8, 0.3, 0.1]
    assert table["called"].tolist() == [1, 3, 4, 5]
    assert table["precision"].tolist() == pytest.approx([1, 2 / 3, 3 / 4, 3 / 5])
    assert table["recall"].tolist() == pytest.approx([1 / 3, 2 / 3, 1, 1])
    assert table["specificity"].tolist() == pytest.approx([1, 0.5, 0.5, 0])
    scores, labels = RNG.random(60).round(1), RNG.integers(0, 2, 60)
    for row in calibration.threshold_table(scores, labels).itertuples():
        called = scores >= row.threshold
        assert row.mcc == pytest.approx(reference.matthews_corrcoef(labels, called), abs=1e-12)
        assert row.f1 == pytest.approx(reference.f1_score(labels, called))


def test_a_model_that_says_the_same_of_all_is_called_at_one_half():
    labels = np.array([1, 0, 0, 0, 0])
    assert calibration.pick_threshold(np.full(5, 0.2), labels) == 0.5
    # The other way round than it should be is no better than chance either.
    assert calibration.pick_threshold(np.array([0.1, 0.6, 0.7, 0.8, 0.9]), labels) == 0.5
    assert calibration.pick_threshold(np.array([0.2, 0.1, 0.1, 0.1, 0.1]), labels) == 0.2


@pytest.mark.parametrize("offset", [0.0, 1.5])
def test_the_expected_threshold_is_the_best_of_labels_drawn_from_the_probabilities(rng, offset):
    scores = rng.beta(0.5, 1.5, 40)
    ordered = np.sort(scores)
    middles = expit((logit(ordered[1:]) + logit(ordered[:-1])) / 2)
    # Every item many times, with labels as its probability says: what is best there is best in expectation.
    many = np.repeat(scores, 20_000)
    labels = (rng.random(len(many)) < many).astype(int)
    drawn = [reference.matthews_corrcoef(labels, many >= middle) for middle in middles]
    place = int(np.argmax(drawn))
    # Said too boldly by one number on the scale of log odds, as where the classes' shares were others in training.
    said = expit(logit(many) + offset)
    found = expit(logit(calibration.expected_threshold(said, labels)) - offset)
    assert ordered[place] < found < ordered[place + 1]


def test_the_expected_threshold_by_hand():
    labels = np.array([0, 1, 1, 0])
    # Lines after 1 and 2 items find 0.9 and 1.7 of 1.9 positives, with 0.1 and 0.3 of 2.1 negatives; none parts equals.
    assert calibration._expected_line(np.array([0.1, 0.9, 0.8, 0.1])) == pytest.approx(0.45)
    # As many positives as are expected where one half parts them: nothing is to be moved.
    assert calibration.expected_threshold(np.array([0.1, 0.9, 0.9, 0.1]), labels) == pytest.approx(0.5)
    for same in (0.3, 0.0):
        assert calibration.expected_threshold(np.full(4, same), labels) == 0.5
    assert calibration.expected_threshold(np.array([0.1, 0.9, 0.8, 0.1]), np.ones(4, int)) == 0.5
    with pytest.raises(SettingsError, match="without NaN"):
        calibration.expected_threshold(np.array([0.1, np.nan, 0.8, 0.1]), labels)


def test_thresholds_that_few_items_chose_do_better_on_others_than_those_of_highest_mcc(rng):
    def draw(count):
        odds = rng.normal(-1, 2, count)
        return expit(odds), (rng.random(count) < expit(odds)).astype(int)

    chances, labels = draw(4_000)
    gains = []
    for few in (draw(30) for _ in range(60)):
        found, picked = calibration.expected_threshold(*few), calibration.pick_threshold(*few)
        mcc = [reference.matthews_corrcoef(labels, chances >= at) for at in (found, picked)]
        gains.append(mcc[0] - mcc[1])
    assert np.mean(gains) > 0.02 and np.mean(np.array(gains) < 0) < 0.2


def test_a_threshold_is_found_for_probabilities_that_are_too_bold(rng):
    odds = rng.normal(-1, 2, 4_000)
    labels = (rng.random(4_000) < expit(odds)).astype(int)
    bold = expit(3 * odds)
    found = calibration.calibrated_threshold(bold, labels)
    assert logit(found) / 3 == pytest.approx(logit(calibration.expected_threshold(expit(odds), labels)), abs=0.1)
    best = calibration.pick_threshold(bold, labels)
    mcc = [reference.matthews_corrcoef(labels, bold >= at) for at in (found, best)]
    assert mcc[0] == pytest.approx(mcc[1], abs=0.01)


def test_pick_threshold():
    scores, labels = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4]), np.array([1, 1, 0, 1, 0, 0])
    assert calibration.pick_threshold(scores, labels) == 0.8
    assert calibration.pick_threshold(scores, labels, precision=0.75) == 0.6
    assert calibration.pick_threshold(scores, labels, precision=1.0) == 0.8
    assert calibration.pick_threshold(scores, labels, recall=0.6) == 0.8
    assert calibration.pick_threshold(scores, labels, recall=1.0) == 0.6


@pytest.mark.parametrize(
    ("labels", "options", "reason"),
    [
        ([1, 0], {"precision": 0.5, "recall": 0.5}, "not for both"),
        ([1, 0], {"precision": 1.5}, "precision is 1.5"),
        ([0, 1], {"precision": 0.9}, "highest is 0.500"),
        ([0, 0], {}, "some of them 1"),
        ([0, 2], {}, "labels 0 and 1"),
        ([0, 1, 1], {}, "one length"),
    ],
)
def test_thresholds_that_cannot_be_are_refused(labels, options, reason):
    with pytest.raises(SettingsError, match=reason):
        calibration.pick_threshold(np.array([0.9, 0.1]), np.array(labels), **options)


def two_readings(rng, count, weights):
    """Return the log odds of both strands and labels that were drawn by these weights of the higher and the lower."""
    readings = rng.normal(0, 3, (2, count))
    high, low = readings.max(axis=0), readings.min(axis=0)
    return *readings, (rng.random(count) < expit(weights[0] * high + weights[1] * low + weights[2])).astype(int)


def test_how_both_strands_are_counted_is_a_logistic_regression(rng):
    plus, minus, labels = two_readings(rng, 40_000, (0.4, 0.8, 1.5))
    either = calibration.fit_either(plus, minus, labels)
    inputs = np.stack([np.maximum(plus, minus), np.minimum(plus, minus)], axis=1)
    other = LogisticRegression(C=1e6).fit(inputs, labels)
    fitted = [either.surer, either.other, either.offset]
    assert fitted == pytest.approx([*other.coef_[0], *other.intercept_], abs=0.005)
    assert fitted == pytest.approx([0.4, 0.8, 1.5], abs=0.06)
    odds = calibration.either_odds(plus, minus, either)
    np.testing.assert_allclose(odds, calibration.either_odds(minus, plus, either))
    np.testing.assert_allclose(expit(odds), other.predict_proba(inputs)[:, 1], atol=0.005)
    assert either.threshold == calibration.expected_threshold(expit(odds), labels)


def test_no_reading_of_a_strand_speaks_against_what_it_says(rng):
    plus, minus, labels = two_readings(rng, 2000, (1.0, -0.5, 0.0))
    either = calibration.fit_either(plus, minus, labels)
    assert either.other == 0 and either.surer > 0.5


def test_a_few_items_barely_move_how_strands_are_counted():
    either = calibration.fit_either(np.array([1.0, -1.0]), np.array([-1.5, -2.0]), np.array([1, 0]))
    assert [either.surer, either.other, either.offset] == pytest.approx([1, 0, 0], abs=0.3)


def test_without_a_fit_the_odds_of_both_strands_are_averaged():
    odds = calibration.either_odds(np.log([3.0, 0.5]), np.log([1.0, 0.5]), None)
    np.testing.assert_allclose(np.exp(odds), [2.0, 0.5])


def test_reliability_by_hand():
    table = calibration.reliability_table(np.array([0.05, 0.15, 0.15, 1.0]), np.array([0, 1, 0, 1]), bins=10)
    assert table["left"].tolist() == pytest.approx([0, 0.1, 0.9])
    assert table["right"].tolist() == pytest.approx([0.1, 0.2, 1])
    assert table["count"].tolist() == [1, 2, 1]
    assert table["probability"].tolist() == pytest.approx([0.05, 0.15, 1.0])
    assert table["observed"].tolist() == [0, 0.5, 1]
    assert ((table["low"] <= table["observed"]) & (table["observed"] <= table["high"])).all()


def test_reliability_interval_is_wilsons():
    table = calibration.reliability_table(np.full(100, 0.3), (np.arange(100) < 20).astype(int))
    assert table[["low", "high"]].iloc[0].tolist() == pytest.approx([0.1333669, 0.2888292], abs=1e-6)


def test_reliability_of_related_items_is_wider():
    chances, labels, groups = np.full(40, 0.3), np.repeat([1, 1, 0, 0, 0, 0, 0, 0, 0, 0], 4), np.repeat(np.arange(10), 4)
    table = calibration.reliability_table(chances, labels, groups=groups)
    wanted = share(labels == 1, groups)
    assert table[["observed", "low", "high"]].iloc[0].tolist() == [wanted.value, wanted.low, wanted.high]
    assert wanted.high > calibration.reliability_table(chances, labels)["high"].iloc[0] + 0.1


def test_reliability_of_several_classes_uses_the_highest():
    chances = np.array([[0.6, 0.3, 0.1], [0.2, 0.2, 0.6]])
    table = calibration.reliability_table(chances, np.array([0, 0]), bins=10)
    assert table[["count", "observed"]].values.tolist() == [[2, 0.5]]


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda: calibration.fit_temperature(np.ones((2, 2)), np.array([0, 2]), "binary"), "class numbers"),
        (lambda: calibration.fit_temperature(np.ones((2, 2)), np.array([0]), "binary"), "do not fit"),
        (lambda: calibration.fit_temperature(np.full((1, 2), np.nan), np.array([0]), "binary"), "finite"),
        (lambda: calibration.fit_temperature(np.ones((1, 2)), np.array([0]), "ranking"), "task is"),
        (lambda: calibration.apply(np.ones((1, 2)), Calibration(), "ranking"), "task is"),
        (lambda: calibration.apply(np.ones((1, 2)), Calibration(temperature=0.0), "binary"), "above 0"),
        (lambda: calibration.reliability_table(np.ones(1), np.ones(1), bins=0), "bins is 0"),
    ],
)
def test_input_that_cannot_be_calibrated_is_refused(call, reason):
    with pytest.raises(SettingsError, match=reason):
        call()


def test_few_items_that_are_all_right_do_not_make_certain():
    logits, labels = np.array([[2.0, -2.0], [-2.0, 2.0]] * 6), np.array([0, 1] * 6)
    assert calibration.fit_temperature(logits, labels, "binary") == pytest.approx(0.2, abs=1e-3)
    calm = calibration.fit_temperature(logits, labels, "binary", prior=5.0)
    assert 0.85 < calm < 1.0
    many = calibration.fit_temperature(np.tile(logits, (400, 1)), np.tile(labels, 400), "binary", prior=5.0)
    assert many < 0.6
