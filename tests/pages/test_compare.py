"""Compare: two models on uploaded rows or on a training's test rows, with verdict, table and downloads."""

import json

import pytest
import streamlit as st

from genolm import model_report
from genolm.comparison import compare_models
from genolm.registry import import_bundle
from pages.shared import report_view, running, uploads

PAGE = "pages/models/compare.py"


@pytest.fixture
def two_models(toy_model, toy_bundle_path):
    """The toy classifier under two names."""
    return toy_model.name, import_bundle(toy_bundle_path, name="twin").name


@pytest.fixture
def rows(tmp_path, make_dna, monkeypatch):
    """A table with a test part, uploaded."""
    path = tmp_path / "stored.csv"
    lines = [
        f"{make_dna(60)},{('other', 'promoter')[place % 2]},{('test', 'train')[place > 19]}"
        for place in range(40)
    ]
    path.write_text("\n".join(["sequence,label,split", *lines]) + "\n")
    monkeypatch.setattr(uploads, "upload_box", lambda *_, **__: uploads.Upload("rows.csv", path))
    return path


def press(app):
    next(button for button in app.button if button.label == "Compare").click().run()
    assert not app.exception
    return app


def test_one_model_has_nothing_to_be_compared_with(open_page, toy_model):
    app = open_page(PAGE)
    assert not app.exception and "Two models with the same classes" in app.info[0].value


def test_the_page_shows_what_the_package_gives(open_page, two_models, rows, private_workspace):
    app = open_page(PAGE)
    assert app.selectbox(key="compare_split").value == "test"
    press(app)
    (written,) = (private_workspace / "uploads" / "results").glob("*/comparison.json")
    found = json.loads(written.read_text())
    expected = compare_models(*two_models, rows, split="test", threads=1)
    assert found["metrics"] == expected.as_dict()["metrics"] and found["rows"] == 20
    assert any("cannot be told apart" in item.value for item in app.markdown)
    assert any("20 rows are few" in item.value.replace("\\", "") for item in app.warning)
    table = app.dataframe[0].value
    assert list(table.columns)[1:3] == ["A: toy-promoter", "B: twin"] and "AUROC" in set(table["score"])
    assert len(app.get("plotly_chart")) == 1
    assert any(item.value.startswith("genolm compare toy-promoter twin") for item in app.code)


def test_similar_rows_are_told_of(open_page, two_models, rows):
    head, *lines = rows.read_text().splitlines()
    rows.write_text("\n".join([head, *lines, *lines]) + "\n")
    app = press(open_page(PAGE))
    assert any("drawn over 20 groups of related rows among 40." in item.value for item in app.caption)


def test_wrong_tables_get_a_sentence_with_their_own_name(open_page, two_models, rows, sentences):
    rows.write_text("sequence,label\nACGT,gene\nACGT,other\n")
    app = press(open_page(PAGE))
    (sentence,) = sentences(app)
    assert "gene" in sentence and str(rows.parent) not in sentence
    rows.write_text("name\nx\n")
    app = open_page(PAGE)
    assert not app.exception and any("has no column called sequence and label" in item.value for item in app.warning)
    assert not any(button.label == "Compare" for button in app.button)


def test_columns_are_named_and_bad_rows_left_out(open_page, two_models, rows, private_workspace):
    lines = rows.read_text().replace("sequence,label", "dna,class").splitlines()
    rows.write_text("\n".join([*lines, "ACG!,other,test"]) + "\n")
    app = open_page(PAGE)
    next(box for box in app.checkbox if box.label == "Leave these rows out").check().run()
    press(app)
    (written,) = (private_workspace / "uploads" / "results").glob("*/comparison.json")
    assert json.loads(written.read_text())["rows"] == 20
    assert any("1 row cannot be used and was left out" in item.value for item in app.warning)
    (command,) = (item.value for item in app.code if item.value.startswith("genolm compare"))
    assert "--column sequence=dna" in command and "--skip-bad-rows" in command


def test_the_test_rows_of_a_training_are_offered(
    open_page, two_models, make_answers, private_workspace, monkeypatch
):
    folder = private_workspace / "report"
    model_report.write_report(folder, "twin", make_answers("binary", 30), card={}, record={}, n_boot=10)
    monkeypatch.setattr(report_view, "known_reports", lambda: iter([("my sites", folder)]))
    app = press(open_page(PAGE))
    assert app.selectbox(key="compare_report").value == "my sites"
    assert any("On these 30 rows" in item.value for item in app.markdown)


def test_many_rows_become_a_job_with_the_same_command(open_page, two_models, rows, monkeypatch):
    started = []

    def start(kind, arguments, *, title):
        started.append((kind, arguments))
        st.stop()

    lines = [f"{'ACGTT' * 400},{('other', 'promoter')[place % 2]}" for place in range(600)]
    rows.write_text("\n".join(["sequence,label", *lines]) + "\n")
    monkeypatch.setattr(running, "start", start)
    press(open_page(PAGE))
    ((kind, arguments),) = started
    assert kind == "compare" and arguments[:3] == ["compare", "toy-promoter", "twin"]
    assert arguments[3:] == [str(rows), "--out", "comparison.json"]
