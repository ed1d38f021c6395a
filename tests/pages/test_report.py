"""A report on a page: every task opens, the threshold slider counts right, an error leads to its saliency."""

import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import streamlit as st
from streamlit.runtime.state.safe_session_state import SafeSessionState
from streamlit.testing.v1 import AppTest

from genolm import model_report
from genolm.cards import metric_name
from genolm.errors import SequenceError
from genolm.report_data import THRESHOLDS
from pages.shared import inputs, report_view

CLASSES = {
    "binary": ("other", "promoter"),
    "multiclass": ("Bacillus", "Vibrio", "Escherichia"),
    "multilabel": ("kinase", "membrane"),
    "regression": ("strength",),
}
MAIN = {"binary": "auroc", "multiclass": "accuracy", "multilabel": "auroc", "regression": "spearman"}
TABS = ["Scores", "Errors", "Probabilities", "Threshold", "Fewer sequences", "Downloads"]


def script():
    import os
    from pathlib import Path

    from pages.shared import report_view

    report_view.show_report(Path(os.environ["REPORT"]), key="r")


@pytest.fixture
def links(monkeypatch):
    """The labels of the links to other pages, which a report by itself has not, and what their addresses hold."""
    found = []

    def link(page, *, label, query_params, **options):
        found.append((page, label, query_params))

    monkeypatch.setattr("streamlit.page_link", link)
    return found


@pytest.fixture
def shown(make_answers, private_workspace, no_model, monkeypatch):
    """A function task -> (the page of its report, the answers on its test rows)."""

    def opened(task, *, name="demo", groups=None, **options):
        answers = dataclasses.replace(make_answers(task, 80, classes=CLASSES[task]), groups=groups)
        score = MAIN[task]
        points = [
            {"rows": size, "scores": {score: {"value": 0.8, "low": 0.7, "high": 0.9}}} for size in (50, 800)
        ]
        given = {
            "valid": make_answers(task, 40, classes=CLASSES[task], seed=8),
            "card": {},
            "record": {},
            "baselines": {"shuffled": answers.probabilities[::-1]},
            "extra": {"reduction": points},
            "n_boot": 40,
        }
        folder = private_workspace / "report"
        model_report.write_report(folder, name, answers, **{**given, **options})
        monkeypatch.setenv("REPORT", str(folder))
        app = AppTest.from_function(script, default_timeout=60).run()
        assert not app.exception
        return app, answers

    return opened


@pytest.mark.parametrize("task", CLASSES)
def test_a_report_of_every_task_opens(shown, task):
    app, answers = shown(task)
    labels = [item.label for item in app.tabs]
    assert labels == ([TABS[0], TABS[1], *TABS[4:]] if task == "regression" else TABS)
    assert app.metric[0].label == metric_name(MAIN[task])
    own = answers.scores(n_boot=0)[MAIN[task]].value
    assert app.metric[0].value == f"{own:.3f}"
    assert any("80 test rows" in item.value and "shuffled" in item.value for item in app.markdown)
    assert len(app.get("plotly_chart")) >= 4
    assert any("It was trained with genolm" in item.value for item in app.code)


@pytest.mark.parametrize(
    ("groups", "words"),
    [
        (np.arange(80) // 2, "Intervals are drawn over 40 groups of related rows among 80."),
        (np.arange(80) // 20, "So few groups make them too narrow."),
        (np.zeros(80), "More than half of the rows are related"),
    ],
)
def test_what_intervals_are_drawn_over_is_said(shown, groups, words):
    said = [item.value for item in shown("multiclass", groups=groups)[0].caption]
    assert any(words in item for item in said) and not any("Wilson" in item for item in said)
    plain = [item.value for item in shown("multiclass", groups=np.arange(80))[0].caption]
    assert not any("single rows" in item or "groups" in item for item in plain)


def test_an_older_reports_intervals_of_each_class_are_told(shown, private_workspace):
    app, _ = shown("multiclass", groups=np.arange(80) // 2)
    path = private_workspace / "report" / "report.json"
    older = json.loads(path.read_text())
    assert older["splits"][older["judged_by"]].pop("grouped_shares")
    path.write_text(json.dumps(older))
    said = [item.value for item in app.run().caption]
    assert any("over single rows (Wilson)" in item for item in said)


def test_the_slider_shows_what_a_threshold_gives(shown):
    app, answers = shown("binary")
    assert app.slider[0].value == 0.4
    app.slider[0].set_value(0.7).run()
    assert not app.exception
    called = answers.probabilities[:, 1] >= THRESHOLDS[70]
    truth = answers.labels == 1
    found = {item.label: item.value for item in app.metric[5:]}
    assert found["Precision"] == f"{(called & truth).sum() / called.sum():.1%}"
    assert found["Recall"] == f"{(called & truth).sum() / truth.sum():.1%}"
    assert found["False positives"] == f"{(called & ~truth).sum()} of {(~truth).sum()}"
    rare, recall = 0.001, (called & truth).sum() / truth.sum()
    false = (called & ~truth).sum() / (~truth).sum()
    app.number_input[0].set_value(100 * rare).run()
    expected = recall * rare / (recall * rare + false * (1 - rare))
    assert any(f"Precision to expect there: **{expected:.1%}**" in item.value for item in app.markdown)


def test_unsure_answers_of_classes_can_be_left_out(shown):
    app, answers = shown("multiclass")
    app.slider[0].set_value(0.6).run()
    sure = answers.probabilities.max(axis=1) >= THRESHOLDS[60]
    found = {item.label: item.value for item in app.metric}
    assert found["Rows that get an answer"] == f"{sure.sum()} of 80"
    assert found["Wrong among them"] == str((sure & answers.is_wrong).sum())


def test_the_surest_error_is_shown_first_with_its_sequence(shown, links):
    app, answers = shown("binary")
    table = next(item.value for item in app.dataframe if "surety" in item.value)
    assert len(table) == answers.is_wrong.sum() and table["surety"].is_monotonic_decreasing
    worst = table.iloc[0]
    assert any(worst["name"] in item.value and "called" in item.value for item in app.markdown)
    assert any(item.value == worst["sequence"] for item in app.code)
    assert not links


def test_a_perfect_model_has_no_errors_to_show(shown, make_answers, private_workspace):
    app, _ = shown("binary")
    answers = make_answers("binary", 30)
    answers.logits[:] = 9.0 * pd.get_dummies(answers.labels).to_numpy()
    model_report.write_report(private_workspace / "report", "demo", answers, card={}, record={}, n_boot=10)
    app.run()
    assert not app.exception and any("All 30 rows" in item.value for item in app.success)


def test_scores_on_validation_rows_are_said_to_be_too_good(shown, make_answers, private_workspace):
    app, _ = shown("binary")
    assert not app.warning
    valid = make_answers("binary", 30)
    folder = private_workspace / "report"
    model_report.write_report(folder, "demo", valid, valid=valid, card={}, record={}, n_boot=10)
    app.run()
    assert "no test rows" in app.warning[0].value


def test_an_installed_model_offers_saliency_and_the_zip(shown, links, toy_model, private_workspace):
    app, _ = shown("binary", name=toy_model.name)
    ((page, label, query),) = links
    assert page == "pages/annotate/saliency.py" and label.startswith("Which bases")
    assert query == {"model": toy_model.name, "from": "report"}
    app.button(key="r_zip").click().run()
    assert not app.exception
    assert list((private_workspace / "uploads" / "exports").glob("*/toy-promoter_report.zip"))


def test_a_row_offered_is_taken_once_and_by_its_link_alone(open_page, toy_model, make_dna):
    sequence = make_dna(60)
    app = open_page("pages/annotate/saliency.py", model=toy_model.name)
    app.session_state["saliency_offered"] = ("report", lambda: f">row_7\n{sequence}\n", None, "plus")
    app.run()
    assert app.segmented_control[0].value == inputs.SAMPLE
    app.query_params["from"] = "report"
    app.run()
    assert not app.exception
    assert app.segmented_control[0].value == inputs.PASTE and sequence in app.text_area[0].value
    app.text_area[0].set_value(">own\n" + "ACGTT" * 12).run()
    assert app.text_area[0].value.startswith(">own")


@pytest.mark.parametrize("step", range(8))
def test_a_sequence_offered_outlives_a_rerun_at_any_line(open_page, toy_model, make_dna, monkeypatch, step):
    sequence = make_dna(60)
    app = open_page("pages/annotate/saliency.py", model=toy_model.name)
    assert app.segmented_control[0].value == inputs.SAMPLE
    app.session_state["saliency_offered"] = ("report", lambda: f">row_7\n{sequence}\n", None, "plus")
    app.query_params["from"] = "report"
    changes = []

    def cut_off(change):
        def changed(session, key, *value):
            changes.append(key)
            if len(changes) == step + 1:
                st.rerun()
            return change(session, key, *value)

        return changed

    for name in ("__setitem__", "__delitem__"):
        monkeypatch.setattr(SafeSessionState, name, cut_off(getattr(SafeSessionState, name)))
    app.run()
    assert len(changes) > step + 1 and "saliency_offered" in changes
    assert not app.exception and not app.warning
    assert app.segmented_control[0].value == inputs.PASTE and sequence in app.text_area[0].value
    assert {item.label: item.value for item in app.metric}["Total length"] == "60 bp"
    app.segmented_control[0].set_value(inputs.SAMPLE).run()
    assert not app.text_area


def test_an_offer_that_cannot_be_read_is_said_once(open_page, toy_model):
    def gone():
        raise SequenceError("There is no file genome.fa any more.")

    app = open_page("pages/annotate/saliency.py", model=toy_model.name)
    app.session_state["saliency_offered"] = ("report", gone, None, "plus")
    app.query_params["from"] = "report"
    app.run()
    assert app.error[0].value == "There is no file genome.fa any more."
    app.run()
    assert not app.error and app.segmented_control[0].value == inputs.SAMPLE


def test_a_missing_report_is_a_sentence(monkeypatch, tmp_path):
    monkeypatch.setenv("REPORT", str(tmp_path))
    app = AppTest.from_function(script, default_timeout=60).run()
    assert not app.exception and "no report" in app.error[0].value


def test_reports_of_finished_trainings_are_found(private_workspace, monkeypatch):
    result = private_workspace / "result"
    (result / "report").mkdir(parents=True)
    (result / "report" / "report.json").write_text("{}")
    jobs = [SimpleNamespace(id="1", title="my sites", result=result)]
    monkeypatch.setattr(report_view, "list_jobs", lambda kind: jobs if kind == "finetune" else [])
    assert dict(report_view.known_reports()) == {"my sites": result / "report"}
    monkeypatch.setattr("streamlit.get_option", lambda name: "0.0.0.0")
    assert dict(report_view.known_reports()) == {}
