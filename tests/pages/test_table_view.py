"""A table on a page: the worked example, bad rows and wrong names of columns, one FASTA per class."""

import re

import pytest
from streamlit.testing.v1 import AppTest

from genolm.table_split import SplitSettings
from genolm.tables import read_table
from pages.shared import table_charts, uploads

SCRIPT = """
import streamlit as st
from genolm.table_split import SplitSettings
from pages.shared import table_view

st.session_state.pop("choice", None)
choice = table_view.choose_table("t")
if choice is None:
    st.stop()
st.session_state["choice"] = choice
table = table_view.load_table(choice)
settings = SplitSettings(st.radio("Split", ["cluster", "group"]))
checked = table_view.check_table(choice, settings, random_split=st.checkbox("Compare"))
st.session_state["checked"] = checked
table_view.show_table_report(checked.report)
"""


@pytest.fixture
def opened(monkeypatch, tmp_path):
    """A function that runs the page; with a file's name it is chosen on the server."""
    monkeypatch.setenv("GENOLM_DATA_ROOTS", str(tmp_path))

    def opened(name=""):
        app = AppTest.from_string(SCRIPT, default_timeout=120).run()
        if name:
            app.segmented_control[0].set_value("File on the server").run()
            app.text_input[0].set_value(name).run()
        assert not app.exception
        return app

    return opened


def box(app, label):
    return next(item for item in app.checkbox if item.label == label)


def test_the_worked_example_is_reported(opened):
    app = opened()
    report = app.session_state["checked"].report
    assert app.session_state["choice"].name == "example_table.csv.gz" and not report.refused
    assert {item.label: item.value for item in app.metric} == {
        "Rows": "800",
        "Left out": "0",
        "Classes": "2",
        "Length (bp)": "150",
        "Near-duplicates": "63%",
    }
    assert [item.value for item in app.subheader] == [
        "What is in the table",
        "What can be told without a model",
        "How it is divided",
    ]
    assert any("Every sequence has 150 bp." in item.value for item in app.caption)
    assert len(app.get("plotly_chart")) == 3 and not app.warning
    box(app, "Compare").check().run()
    assert "With a random split the same would seem" in app.info[0].value


def test_bad_rows_wait_for_a_decision(opened, tmp_path, make_dna):
    rows = [f"{make_dna(60 + row % 9)},{'ab'[row % 2]},g{row % 9}" for row in range(60)]
    (tmp_path / "mine.csv").write_text("\n".join(["sequence,label,group", *rows, "AC!,a,g", "AC,b"]) + "\n")
    app = opened("mine.csv")
    assert "2 of 62 rows cannot be used." in app.warning[0].value
    table = next(item.value for item in app.get("html") if "<table" in item.value)
    assert re.findall(r'<th scope="col">(.*?)</th>', table) == ["row", "why it cannot be used", "text of the row"]
    assert re.findall(r'data-label="row"><div><span>(\d+)<', table) == ["62", "63"]
    assert "choice" not in app.session_state
    box(app, "Leave these rows out").check().run()
    assert app.session_state["choice"].skip_bad_rows
    assert any("They are left out." in item.value for item in app.warning)
    app.radio[0].set_value("group").run()
    assert app.session_state["checked"].split.method == "group"


def test_columns_with_other_names_are_asked_for(opened, tmp_path, make_dna):
    rows = [f"{make_dna(60)};{'ab'[row % 2]};note {row}" for row in range(40)]
    (tmp_path / "mine.csv").write_text("\n".join(["my insert;class;remark", *rows]) + "\n")
    app = opened("mine.csv")
    assert "has no column called sequence and label" in app.warning[0].value
    assert "Choose the column of the sequence." in app.info[0].value
    boxes = {item.label.partition(" ")[0]: item for item in app.selectbox}
    assert {label: item.value for label, item in boxes.items()} == {
        "Sequence": "– none –",
        "Label": "class",
        "Split": "– none –",
        "Group": "– none –",
        "Name,": "– none –",
    }
    boxes["Sequence"].set_value("my insert").run()
    choice = app.session_state["choice"]
    assert choice.columns == {"sequence": "my insert", "label": "class"} and not choice.skip_bad_rows
    assert any("label (called class)" in item.value for item in app.caption)
    assert len(read_table(choice.path, columns=choice.columns)) == 40


def test_a_known_column_can_be_left_alone(opened, tmp_path, make_dna):
    rows = [f"{make_dna(60)},{'ab'[row % 2]},holdout" for row in range(40)]
    (tmp_path / "mine.csv").write_text("\n".join(["sequence,label,split", *rows]) + "\n")
    app = opened("mine.csv")
    assert "holdout" in app.error[0].value and str(tmp_path) not in app.error[0].value


def test_a_file_that_is_no_table_is_named(opened, tmp_path):
    (tmp_path / "mine.csv").write_bytes(b"PK\x03\x04" + b"\0" * 50)
    assert opened("mine.csv").error[0].value.startswith("mine.csv is not a CSV or TSV table but a zip archive")


def test_one_fasta_per_class(opened, tmp_path, monkeypatch, make_dna):
    files = {}
    for place, name in enumerate(("yes", "no")):
        path = tmp_path / f"{name}.fa"
        path.write_text("".join(f">r{row}\n{make_dna(50)}\n" for row in range(20 + place)))
        files[f"t_fasta_{place}"] = uploads.Upload(path.name, path)
    monkeypatch.setattr(uploads, "upload_box", lambda *_, key, **__: files.get(key))
    app = opened()
    app.segmented_control[0].set_value("One FASTA per class").run()
    assert not app.exception
    app.text_input[0].set_value("promoter").run()
    choice = app.session_state["choice"]
    assert choice.name == "promoter + no"
    table = read_table(choice.path)
    assert table.classes == ["no", "promoter"] and table.labels.count("no") == 21


def test_faults_of_class_files_are_told_by_the_names_that_the_user_knows(opened, tmp_path, monkeypatch, make_dna):
    folder = tmp_path / ("a" * 32) / "whole"
    folder.mkdir(parents=True)
    files = {}
    for place, (name, content) in enumerate((("yes.fa", f">a\n{make_dna(50)}\n"), ("reads.fastq", "@r\nAC\n+\nII\n"))):
        (folder / name).write_text(content)
        files[f"t_fasta_{place}"] = uploads.Upload(name, folder / name)
    monkeypatch.setattr(uploads, "upload_box", lambda *_, key, **__: files.get(key))
    app = opened()
    app.segmented_control[0].set_value("One FASTA per class").run()
    said = app.error[0].value
    assert said.startswith("reads.fastq is not FASTA but a FASTQ file") and "seqtk seq -a" in said
    (folder / "reads.fastq").write_text(f">r\n{make_dna(50)}\n")
    assert app.run().error[0].value.startswith("yes + reads: its 2 rows form 2 clusters")
    (folder / "reads.fastq").write_text(">r\nMKELF\n")
    (folder / "yes.fa").write_text(">a\nAC-T\n>b\nAC-T\n")
    first, *faults = app.run().error[0].value.split("\n")
    assert first == "yes + reads has 3 problems; nothing of it was used:"
    assert [fault.partition(":")[0] for fault in faults] == ["- yes.fa, records 'a', 'b'", "- reads.fastq, record 'r'"]


def test_of_a_table_of_bad_rows_alone_the_faults_are_a_list(opened, tmp_path):
    (tmp_path / "mine.csv").write_text("sequence,label\n" + "MKLVI,a\n" * 20 + ",b\n")
    first, *faults = opened("mine.csv").error[0].value.split("\n")
    assert first == "mine.csv has 21 problems; nothing of it was used:"
    assert len(faults) == 2 and faults[1] == "- row 22: the sequence is empty"
    assert faults[0].startswith("- rows 2-21: position 3 of the sequence: letter 'L' is no IUPAC nucleotide code")


def test_of_many_columns_that_are_not_used_the_first_are_named(opened, tmp_path, make_dna):
    names = [f"c{place}" for place in range(200)]
    rows = [",".join([make_dna(60), "ab"[row % 2], *names]) for row in range(40)]
    (tmp_path / "mine.csv").write_text("\n".join([",".join(["sequence", "label", *names]), *rows]))
    said = [item.value for item in opened("mine.csv").caption if "Not used" in item.value]
    assert said == ["Columns in use: sequence, label. Not used: c0, c1, c2, c3, c4 and 195 more."]


def test_figures_of_several_classes_and_numbers(tmp_path, make_dna):
    from genolm.labels import code_labels
    from genolm.table_report import report_table
    from genolm.table_split import split_rows

    for labels in (["a", "b", "c"], ["0.5", "1.5", "2.5"]):
        path = tmp_path / "t.csv"
        rows = [f"{make_dna(50 + 3 * row)},{labels[row % 3]}" for row in range(60)]
        path.write_text("\n".join(["sequence,label", *rows]))
        table = read_table(path)
        code = code_labels(table.labels)
        report = report_table(table, code, split_rows(table, code, SplitSettings("random")))
        bars = table_charts.class_bars(report.classes)
        assert sum(sum(trace.x) for trace in bars.data) == 60
        lengths = table_charts.distribution(report.length_histogram, title="length (bp)")
        assert len(lengths.data) == len(report.length_histogram.counts)
        figure = table_charts.shortcut_intervals(report.shortcuts, report.random_words)
        assert len(figure.data[0].x) == 3
