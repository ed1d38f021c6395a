import dataclasses

import numpy as np
import pytest
from sklearn import metrics as reference

from genolm import report_data
from genolm.answers import Answers
from genolm.calibration import calibrated_threshold
from genolm.config import Calibration, HeadConfig
from genolm.errors import SettingsError
from genolm.metrics import as_json, score
from genolm.predict import Predictor

CLASSES = {
    "binary": ("other", "promoter"),
    "multiclass": ("a", "b", "c"),
    "multilabel": ("x", "y", "z"),
    "regression": ("strength",),
}


@pytest.mark.parametrize("task", CLASSES)
def test_answers_are_those_of_a_predictor(make_answers, task):
    answers = make_answers(task, 50, classes=CLASSES[task])

    class Told:
        classes, config = answers.classes, answers
        score_of, positive_index = Predictor.score_of, Predictor.positive_index

    Told.task = task
    said = Predictor.decide(Told(), answers.probabilities)
    if task == "regression":
        assert answers.words(answers.calls) == [f"{value:.9g}" for value in said]
    else:
        assert answers.words(answers.calls) == said


@pytest.mark.parametrize("task", CLASSES)
def test_the_table_of_answers_has_a_column_per_class(make_answers, task):
    answers = make_answers(task, 20, classes=CLASSES[task])
    frame = answers.frame("test")
    prefix = "value_" if task == "regression" else "p_"
    assert list(frame.columns) == ["row", "name", "split", "label", "predicted"] + [
        prefix + name for name in CLASSES[task]
    ]
    assert list(frame["row"]) == list(range(2, 22))
    wrong = (frame["label"] != frame["predicted"]).to_numpy()
    assert (wrong == answers.is_wrong).all()


def test_answers_that_do_not_fit_are_refused(make_answers):
    answers = make_answers("binary", 5)
    with pytest.raises(SettingsError, match="5 rows but 4 labels"):
        dataclasses.replace(answers, labels=answers.labels[:4])
    with pytest.raises(SettingsError, match="do not fit 2 classes"):
        dataclasses.replace(answers, logits=np.zeros((5, 3), dtype=np.float32))


def test_intervals_are_drawn_over_whole_groups(make_answers):
    answers = make_answers("binary", 60)
    groups = np.arange(60) // 4
    found, plain = report_data.measure(dataclasses.replace(answers, groups=groups)), report_data.measure(answers)
    assert (found["drawn"], plain["drawn"]) == (15, None)
    expected = as_json(score("binary", answers.probabilities, answers.labels, threshold=0.4, groups=groups))
    assert found["metrics"] == expected != plain["metrics"]
    assert found["calibration"]["after"]["ece"] == expected["ece"]
    baseline = {"base": answers.probabilities[:, ::-1]}
    grouped = dataclasses.replace(answers, groups=groups)
    ours, others = (report_data.measure_baselines(item, baseline)["base"] for item in (grouped, answers))
    assert ours["difference"]["auroc"]["value"] == others["difference"]["auroc"]["value"]
    assert ours["difference"]["auroc"]["low"] != others["difference"]["auroc"]["low"]
    single = report_data.measure(dataclasses.replace(answers, groups=np.arange(60)[::-1]))
    assert single["metrics"] == plain["metrics"], "groups of one row are rows"
    alike = report_data.measure(dataclasses.replace(answers, groups=np.maximum(np.arange(60), 29)[::-1]))
    assert alike["drawn"] == 31 and alike["metrics"] != plain["metrics"]
    alike = report_data.measure(dataclasses.replace(answers, groups=np.maximum(np.arange(60), 30)[::-1]))
    assert alike["drawn"] == 0 and alike["metrics"] == plain["metrics"], "one group has too much of all"
    with pytest.raises(SettingsError, match="60 rows but 59 groups"):
        dataclasses.replace(answers, groups=groups[:59])


def hand_made():
    """Six rows with probabilities 0.9, 0.8, 0.7, 0.4, 0.3, 0.1 of the positive class."""
    p = np.array([0.9, 0.8, 0.7, 0.4, 0.3, 0.1])
    logits = np.stack([np.zeros(6), np.log(p / (1 - p))], axis=1).astype(np.float32)
    return Answers(
        HeadConfig("binary", ("no", "yes")),
        rows=(2, 3, 4, 5, 6, 7),
        names=tuple("abcdef"),
        sequences=("A", "C", "G", "T", "AA", "CC"),
        labels=np.array([1, 0, 1, 1, 0, 0]),
        logits=logits,
        calibration=Calibration(1.0, 0.5),
    )


def test_errors_and_confusion_by_hand():
    answers = hand_made()
    assert report_data.confusion(answers) == [[2, 1], [1, 2]]
    found = list(answers.examples(9, longest=1))
    assert [item["row"] for item in found] == [3, 5]
    assert found[0]["surety"] == pytest.approx(0.8, abs=1e-6) and found[1]["surety"] == pytest.approx(0.6)
    assert (found[0]["label"], found[0]["predicted"], found[0]["sequence"]) == ("no", "yes", "C")
    assert next(answers.examples(1, longest=0))["sequence"] == ""


def test_threshold_counts_by_hand():
    cells = report_data.threshold_counts(hand_made())["yes"]
    at = {key: [cells[key][place] for place in (0, 50, 75, 100)] for key in cells}
    assert at == {"tp": [3, 2, 1, 0], "fp": [3, 1, 1, 0], "fn": [0, 1, 2, 3], "tn": [0, 2, 2, 3]}
    found = report_data.rates(2, 1, 1, 2)
    assert found["precision"] == found["recall"] == pytest.approx(2 / 3)
    assert found["mcc"] == pytest.approx(1 / 3) and found["false_positive_rate"] == pytest.approx(1 / 3)
    none = report_data.rates(0, 0, 3, 3)
    assert np.isnan(none["precision"]) and none["mcc"] == 0


def test_precision_where_true_sites_are_rare():
    assert report_data.expected_precision(0.9, 0.1, 0.5) == pytest.approx(0.9)
    assert report_data.expected_precision(0.9, 0.01, 0.001) == pytest.approx(0.0826, abs=1e-4)
    assert np.isnan(report_data.expected_precision(0.0, 0.0, 0.2))


def test_thresholds_agree_with_scikit_learn(make_answers):
    answers = make_answers("binary", 300)
    cells = report_data.threshold_counts(answers)["promoter"]
    for place in (10, 40, 73):
        called = answers.probabilities[:, 1] >= report_data.THRESHOLDS[place]
        found = report_data.rates(*(cells[key][place] for key in ("tp", "fp", "fn", "tn")))
        assert found["mcc"] == pytest.approx(reference.matthews_corrcoef(answers.labels, called))


def test_sure_answers_of_classes_are_counted(make_answers):
    answers = make_answers("multiclass", 200, classes=("a", "b", "c"))
    cells = report_data.threshold_counts(answers)[""]
    sure = answers.probabilities.max(axis=1) >= 0.6
    assert cells["answered"][60] == sure.sum() and cells["answered"][0] == 200
    assert cells["right"][60] == (answers.probabilities.argmax(axis=1) == answers.labels)[sure].sum()


@pytest.mark.parametrize("decimals", [1, 9])
def test_curves_enclose_the_areas_of_scikit_learn(make_answers, decimals):
    answers = make_answers("binary", 3000)
    scores, truth = answers.probabilities[:, 1].round(decimals), answers.labels == 1
    x, y = report_data.roc_points(scores, truth)
    assert len(x) <= report_data.CURVE_POINTS and (x[0], y[0], x[-1], y[-1]) == (0, 0, 1, 1)
    assert np.trapezoid(y, x) == pytest.approx(reference.roc_auc_score(truth, scores), abs=2e-3)
    recall, precision = report_data.pr_points(scores, truth)
    area = (np.diff(recall) * precision[1:]).sum()
    assert area == pytest.approx(reference.average_precision_score(truth, scores), abs=5e-3)


def test_calibration_before_is_without_temperature(make_answers):
    answers = make_answers("multiclass", 300, classes=("a", "b", "c"))
    found = report_data.calibration_data(answers, n_boot=20)
    plain = dataclasses.replace(answers, calibration=Calibration())
    assert found["before"] == report_data.calibration_data(plain, n_boot=20)["after"]
    assert found["before"]["ece"]["value"] != found["after"]["ece"]["value"]
    assert sum(found["after"]["bins"]["count"]) == 300


def test_a_perfect_baseline_is_better_and_the_model_itself_is_not(make_answers):
    answers = make_answers("binary", 200)
    perfect = np.eye(2)[answers.labels]
    found = report_data.measure_baselines(
        answers, {"perfect": perfect, "itself": answers.probabilities}, n_boot=200
    )
    assert found["perfect"]["difference"]["auroc"]["high"] < 0
    assert found["itself"]["difference"]["auroc"] == {"value": 0.0, "low": 0.0, "high": 0.0, "p": 1.0}
    own = answers.scores(n_boot=200)["auroc"]
    assert found["itself"]["metrics"]["auroc"]["low"] == pytest.approx(own.low, abs=0.02)


def test_a_baseline_gets_a_threshold_of_its_own(make_answers):
    answers, valid = make_answers("binary", 300), make_answers("binary", 300, seed=8)
    # The model's own probabilities squeezed below 0.5: with a threshold of 0.5 all would be called negative.
    sites = [part.probabilities[:, 1] / 3 for part in (answers, valid)]
    squeezed = [np.stack([1 - p, p], axis=1) for p in sites]
    plain = report_data.measure_baselines(answers, {"same": squeezed[0]}, n_boot=20)["same"]
    assert set(plain["difference"]) == {"auroc", "auprc"} and plain["threshold"] == 0.5
    assert plain["difference"]["auroc"]["value"] == 0 and plain["metrics"]["mcc"]["value"] == 0
    options = {"valid": valid, "valid_baselines": {"same": squeezed[1]}, "n_boot": 20}
    tuned = report_data.measure_baselines(answers, {"same": squeezed[0]}, **options)["same"]
    assert tuned["threshold"] == calibrated_threshold(squeezed[1][:, 1], valid.labels)
    called = squeezed[0][:, 1] >= tuned["threshold"]
    expected = reference.matthews_corrcoef(answers.labels, called)
    assert tuned["metrics"]["mcc"]["value"] == pytest.approx(expected) and "mcc" in tuned["difference"]


@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_tasks_without_a_threshold_compare_every_metric(make_answers, task):
    answers = make_answers(task, 60, classes=CLASSES[task])
    found = report_data.measure_baselines(answers, {"same": answers.probabilities}, n_boot=20)["same"]
    assert set(found["difference"]) == set(found["metrics"]) and found["threshold"] is None


def test_a_class_without_rows_breaks_nothing(make_answers):
    answers = make_answers("multiclass", 60, classes=("a", "b", "c"))
    kept = np.flatnonzero(answers.labels != 2)
    few = Answers(
        answers.head,
        *(tuple(values[i] for i in kept) for values in (answers.rows, answers.names, answers.sequences)),
        labels=answers.labels[kept],
        logits=answers.logits[kept],
    )
    found = report_data.measure(few, n_boot=20)
    assert found["counts"]["c"] == 0 and set(found["roc"]) == {"a", "b"}
    assert found["per_class"][2]["recall"]["value"] is None
