"""Models: cards with scores and intervals, broken bundles named, one's own removed."""

import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest

from genolm import registry, workspace
from genolm.jobs import Job
from pages.shared import charts, running, scores

PAGE = "pages/models/models.py"
CARD = {
    "metrics": {
        "validation": {"auroc": {"value": 0.95, "low": 0.93, "high": 0.97}},
        "test": {"auroc": {"value": 0.9, "low": 0.88, "high": 0.92}, "ece": 0.02},
    },
    "baselines": {"majority": {"auroc": 0.5}, "k-mers": {"auroc": {"value": 0.8, "low": 0.7, "high": 0.85}}},
}


def test_a_card_shows_scores_beside_baselines_and_limits(open_page, toy_model):
    path = toy_model.path / "card.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **CARD}))
    app = open_page(PAGE)
    assert not app.exception
    assert app.metric[0].label == "AUROC on test" and app.metric[0].value == "0.900"
    assert any(item.value == "95 % interval 0.880 to 0.920" for item in app.caption)
    assert any("Random weights." in item.value for item in app.markdown)
    table = next(item.value for item in app.get("html") if "Scores of toy-promoter" in item.value)
    cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in re.findall("<tr>(.*?)</tr>", table)]
    rows = [[re.sub("<[^>]+>", "", cell) for cell in row] for row in cells]
    assert [row[0] for row in rows[1:]] == ["this model, test", "this model, validation", "majority", "k-mers"]
    assert dict(zip(rows[0], rows[4], strict=True))["AUROC"] == "0.800 (0.700–0.850)"


def test_a_broken_bundle_is_listed_with_its_reason_and_can_be_removed(open_page, toy_model, sentences):
    (toy_model.path / "model.safetensors").write_bytes(b"damaged")
    app = open_page(PAGE)
    assert not app.exception
    assert len(sentences(app)) == 1 and "model.safetensors" in sentences(app)[0]
    app.button(key="remove_toy-promoter").click().run()
    assert not app.exception
    assert not (workspace.models_dir() / "toy-promoter").exists()


def test_a_model_in_use_is_removed_only_after_its_jobs_were_told(open_page, toy_model, monkeypatch):
    def job(letter, title, state):
        arguments = ("scan", "/data/a.fa", "--model", toy_model.name)
        return Job(letter * 32, "scan", title, arguments, toy_model.path, "2026-01-01T00:00:00Z", state)

    found = [job("a", "genome.fa: *mine*", "running"), job("b", "old.fa", "done"), job("c", "of another", "queued")]
    monkeypatch.setattr(registry, "list_jobs", lambda: found)
    monkeypatch.setattr(running, "seen_jobs", lambda: found[:2])
    app = open_page(PAGE)
    assert app.button(key="remove_toy-promoter").disabled
    (said,) = (item.value for item in app.warning)
    assert said.splitlines()[1:] == ["- genome.fa: \\*mine\\* (running)", "- 1 job of others"]
    app.checkbox(key="agree_toy-promoter").check().run()
    app.button(key="remove_toy-promoter").click().run()
    assert not app.exception and not app.error
    assert not (workspace.models_dir() / "toy-promoter").exists()


def test_names_in_figures_are_drawn_letter_by_letter():
    name = "<b>bold</b> & co"
    shown = "&lt;b&gt;bold&lt;/b&gt; &amp; co"
    dots = charts.score_dots([name], [0.5], threshold=0.5, class_name=name)
    assert dots.layout.yaxis.ticktext == (shown,) and dots.data[0].customdata == (shown,)
    assert dots.layout.xaxis.title.text.endswith(shown)
    heat = charts.class_heatmap([name], [name], np.ones((1, 1)))
    assert heat.layout.yaxis.ticktext == (shown,) and heat.data[0].x == (shown,)
    counts = charts.class_counts([name])
    assert counts.layout.yaxis.ticktext == (shown,) and counts.data[0].customdata == (shown,)


def test_the_axis_of_scores_has_two_lines():
    figure = charts.metric_intervals(scores.compared(CARD, "auroc"), metric="AUROC")
    assert figure.layout.xaxis.title.text == "AUROC (mark)<br>with 95 % interval (bar)"


def test_the_best_baseline_is_named_in_the_direction_of_the_metric():
    assert scores.best_baseline(CARD, "auroc") == ("k-mers", 0.8)
    baselines = {"a": {"bits_per_base": 1.9}, "b": {"bits_per_base": 1.95}}
    low = {"metrics": {"test": {"bits_per_base": 1.8}}, "baselines": baselines}
    assert scores.best_baseline(low, "bits_per_base") == ("a", 1.9)
    assert scores.headline_metric(low) == "bits_per_base" and scores.main_split(CARD) == "test"


def ends_of(trace):
    return pd.DataFrame({"low": trace.x - trace.error_x.arrayminus, "high": trace.x + trace.error_x.array})


def test_intervals_are_drawn_from_low_to_high_for_the_model_and_for_its_baselines():
    rows = scores.compared(CARD, "auroc")
    figure = charts.metric_intervals(rows, metric="AUROC")
    own, other = figure.data
    assert (own.name, other.name, figure.layout.showlegend) == ("this model", "baseline", True)
    for trace, names in ((own, ["this model, test", "this model, validation"]), (other, ["majority", "k-mers"])):
        wanted = rows.set_index("who").loc[names, ["low", "high"]].reset_index(drop=True)
        pd.testing.assert_frame_equal(ends_of(trace).reset_index(drop=True), wanted)


SEVERAL_TESTS = {
    "metrics": {
        "valid": {"auroc": 0.79},
        "test": {"auroc": 0.81},
        "tested on mouse": {"auroc": 0.86},
        "tested on dog": {"auroc": 0.76},
    },
    "baselines": {"k-mers": {"auroc": 0.807}, "network, tested on dog": {"auroc": 0.9}},
}


def test_baselines_stand_beside_the_test_that_they_are_of():
    axis = charts.metric_intervals(scores.compared(SEVERAL_TESTS, "auroc"), metric="AUROC").layout.yaxis
    assert list(axis.ticktext) == [
        *("<b>test rows</b>", "this model", "k-mers"),
        *("<b>tested on mouse</b>", "this model"),
        *("<b>tested on dog</b>", "this model", "network"),
        *("<b>validation rows</b>", "this model"),
    ]
    assert list(axis.tickvals) == list(range(10)) and axis.range[0] > 9 and axis.range[1] < 0
    assert scores.best_baseline(SEVERAL_TESTS, "auroc") == ("k-mers", 0.807)
    named = ["this model, validation", "k-mers, test", "network, tested on dog"]
    assert list(scores.wide_table(SEVERAL_TESTS).index)[-3:] == named
    assert scores.split_words({"test_of": "tested on human"}, "test") == "test rows, tested on human"


def test_a_score_that_is_not_defined_is_a_dash():
    measured = {"value": 0.5, "low": 0.25, "high": 0.75}
    unknown = dict.fromkeys(measured, float("nan"))
    card = {"metrics": {"test": {"accuracy": measured, "precision": unknown, "recall": 0.5}}}
    table = scores.wide_table(card)
    assert table.iloc[0].to_dict() == {"Accuracy": "0.500 (0.250–0.750)", "Precision": "–", "Recall": "0.500"}


def test_long_names_of_baselines_are_written_over_several_lines():
    rows = scores.compared({"metrics": {}, "baselines": {"From scratch, overlapping 3-mers": {"mcc": 0.5}}}, "mcc")
    assert "From scratch, overlapping<br>3-mers" in charts.metric_intervals(rows, metric="MCC").layout.yaxis.ticktext


def test_one_table_named_twice_is_one_source_and_the_whole_card_has_short_hashes(open_page, toy_model):
    twice = [
        {"name": "raw.fa", "sha256": "ab" * 32, "records": 9, "licence": "MIT"},
        {"name": "strict.csv.gz", "sha256": "ab" * 32, "records": 9, "bases": 2_000_000},
    ]
    path = toy_model.path / "card.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **CARD, "data": twice}))
    app = open_page(PAGE)
    texts = [item.value for item in app.markdown]
    assert not app.exception and "**Data** 1 source, 2.0 Mbp" in texts
    (whole,) = (text for text in texts if "#### Data" in text)
    assert "| raw.fa |  | 9 | 2,000,000 | MIT | abababababab |" in whole and "strict.csv.gz" not in whole


def test_words_are_explained_on_both_pages(open_page, toy_model):
    for page in (PAGE, "pages/models/results.py"):
        app = open_page(page)
        (box,) = (item for item in app.expander if item.label == "Words used here")
        said = box.markdown[0].value
        assert all(f"**{word}" in said for word in ("MCC", "AUROC", "Bits per base", "Seed", "Baseline", "Draw"))
        assert "0 is guessing, 1 is perfect" in said and "fewer are better" in said


def test_a_classifier_is_offered_as_onnx_where_the_extra_is_installed(open_page, toy_model, monkeypatch):
    pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    app = open_page(PAGE)
    app.button(key="onnx_toy-promoter").click().run()
    assert not app.exception and not app.error
    assert any("random sequences its raw scores" in item.value for item in app.caption)
    assert (workspace.uploads_dir() / "exports" / "toy-promoter.onnx").stat().st_size > 10_000
    monkeypatch.setattr("genolm.onnx_export.is_available", lambda: False)
    assert "onnx_toy-promoter" not in [button.key for button in open_page(PAGE).button]


@pytest.fixture
def many_models(toy_model):
    """Five installed models: four alike and a damaged one."""
    for name in ("one", "two", "three", "damaged"):
        shutil.copytree(toy_model.path, toy_model.path.with_name(name))
        config = json.loads((toy_model.path / "config.json").read_text())
        (toy_model.path.with_name(name) / "config.json").write_text(json.dumps({**config, "name": name}))
    (toy_model.path.with_name("damaged") / "model.safetensors").write_bytes(b"damaged")
    return toy_model


def test_of_many_models_there_is_a_table_and_a_card_of_the_chosen_one(open_page, many_models):
    app = open_page(PAGE)
    assert not app.exception and not app.metric
    table = next(item.value for item in app.get("html") if "<table" in item.value)
    assert table.count("<tr>") == 6 and "model.safetensors" in table and "pieces of 60 bp with the TSS" in table
    app.button(key="open_two").click().run()
    assert not app.exception
    assert [item.value for item in app.subheader] == [many_models.config.title or "two"]
    app.button(key="remove_two").click().run()
    assert not app.exception and not app.warning and "Yours" in [item.value for item in app.header]


def test_the_address_names_a_model_and_an_unknown_one_is_told(open_page, many_models):
    app = open_page(PAGE, model="one")
    assert not app.exception and app.selectbox[0].value == "one" and app.button(key="remove_one")
    app = open_page(PAGE, model="gone")
    assert "no model called 'gone'" in app.warning[0].value and app.selectbox[0].value is None
