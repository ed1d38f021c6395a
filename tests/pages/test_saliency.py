"""Saliency: the page shows what the package gives, marks the known site, and refuses what is too long."""

import base64
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from click.testing import CliRunner

from genolm.cli import commands
from genolm.jobs import Job
from genolm.predict import Predictor
from genolm.prediction import log_odds
from genolm.registry import load_bundle
from genolm.saliency import explained_answer, perturbation_saliency
from genolm.sequences import reverse_complement
from pages.shared import charts, explain, inputs, running, samples, speed

PAGE = "pages/annotate/saliency.py"


def run(app):
    next(button for button in app.button if button.label == "Explain the answer").click().run()
    assert not app.exception
    return app


def test_the_sample_is_explained_as_the_package_does(open_page, toy_model, private_workspace):
    app = run(open_page(PAGE))
    (written,) = (private_workspace / "uploads" / "results").glob("*/saliency.csv")
    sequence = samples.site_sample(toy_model.config.window).path.read_text().split(">")[1].split("\n", 1)[1]
    sequence = sequence.replace("\n", "")
    predictor = Predictor(load_bundle(toy_model.path), threads=1)
    found = perturbation_saliency(predictor, sequence, class_index=1, anchor=40)
    table = pd.read_csv(written)
    assert list(table.columns) == ["record", "position", "base", "strand", "score", "low", "high"]
    assert "".join(table["base"]) == sequence
    np.testing.assert_allclose(table["score"], found.score, rtol=1e-4, atol=1e-6)
    assert len(app.get("plotly_chart")) == 1
    said = predictor.predict([sequence])
    (line,) = [item.value.replace("\\", "") for item in app.markdown if " says " in item.value]
    assert line.startswith("Toy promoters (toy-promoter) says ") and line.endswith("Known: **promoter**.")
    assert f"**{said.predicted[0]}** with probability {said.probabilities.max():.3f}" in line
    assert "threshold for promoter 0.5)" in line
    counted = "Positions on this page count from 1; in the CSV they count from 0."
    assert counted in [item.value for item in app.caption]
    assert counted not in [item.value for box in app.expander for item in box.caption]
    assert any(item.value.endswith(f" here; {speed.LONGER}.") for item in app.caption)


def decoded(values):
    """Return numbers of a figure, which plotly may have packed."""
    if isinstance(values, dict):
        return np.frombuffer(base64.b64decode(values["bdata"]), dtype=values["dtype"])
    return values


def figure_of(app):
    (chart,) = app.get("plotly_chart")
    return json.loads(chart.proto.spec)


def test_a_piece_is_shown_in_the_numbers_of_its_record(open_page, toy_model, private_workspace):
    app = open_page(PAGE)
    app.number_input[0].set_value(11).run()
    assert next(item for item in app.number_input if item.label == "Site to mark").value == 41
    app = run(app)
    (written,) = (private_workspace / "uploads" / "results").glob("*/saliency.csv")
    table = pd.read_csv(written)
    assert set(table["record"]) == {"lacZ_promoter:11-60"} and table["position"].tolist() == list(range(50))
    drawn = figure_of(app)
    lines = [item["x"] for item in drawn["data"] if item.get("name") == "mean" or item["type"] == "heatmap"]
    assert len(lines) == 2
    for line in lines:
        assert np.asarray(decoded(line)).tolist() == list(range(11, 61))
    assert drawn["layout"]["xaxis2"]["title"]["text"] == "position in the record (bp, first base = 1)"
    (site,) = [item for item in drawn["layout"]["annotations"] if item["text"] == "marked site"]
    assert site["x"] == 41
    best = app.dataframe[-1].value
    top = table.nlargest(15, "score")
    assert best["position"].tolist() == (top["position"] + 11).tolist() and set(best["record"]) == {"lacZ_promoter"}
    (told,) = [item.value.replace("\\", "") for item in app.caption if item.value.startswith("Positions on this page")]
    assert told == (
        "Positions on this page are those in lacZ_promoter, counted from 1; in the CSV they count from 0 in the piece, "
        "which is called lacZ_promoter:11-60 there."
    )


def test_the_first_bases_of_a_record_are_called_a_piece(tmp_path):
    options = {"strand": "+", "class_name": None, "mark": None, "fills": 2, "seed": 1}
    for start, end, name in ((0, 40, "chr1:5-64"), (0, 39, "chr1:5-64:1-39"), (1, 40, "chr1:5-64:2-40")):
        task = explain.Task(tmp_path / "in.fa", "chr1:5-64", 40, start, end, **options)
        place = explain.Place.of(name, Path("anywhere") / task.file_name)
        assert (task.name, task.is_piece) == (name, name != "chr1:5-64")
        assert place == explain.Place(name, "chr1:5-64", start, task.is_piece)


def test_a_window_that_is_explained_is_named_in_the_numbers_of_the_record(toy_model, make_dna):
    letters = make_dna(80)
    options = {"class_name": "promoter", "mark": None}
    found = explained_answer(Predictor(load_bundle(toy_model.path), threads=1), letters, class_index=1)
    words = explain.answer_words(toy_model, letters, "+", offset=100, **options)
    assert f" of bases {found.start + 101} to {found.end + 100}, the window that is explained" in words
    assert words.endswith("for the class **promoter**.") == (found.prediction.predicted != ("promoter",))


def test_a_piece_with_too_few_known_bases_is_not_explained(open_page, toy_model, monkeypatch, tmp_path, make_dna):
    monkeypatch.setenv("GENOLM_DATA_ROOTS", str(tmp_path))
    (tmp_path / "gap.fa").write_text(f">contig\n{make_dna(20)}{'N' * 60}\n")
    app = open_page(PAGE)
    app.segmented_control[0].set_value("File on the server").run()
    app.text_input[0].set_value("gap.fa").run()
    app = run(app)
    (warning,) = [item.value.replace("\\", "") for item in app.warning if "not judged" in item.value]
    assert warning.startswith("1 of 1 record is not judged: contig. An answer needs known bases")
    assert not app.get("plotly_chart") and len(app.get("download_button")) >= 1


def test_a_long_piece_becomes_a_job_with_its_letters_and_options(
    open_page, toy_model, monkeypatch, tmp_path, make_dna
):
    started = []

    def start(kind, arguments, *, title):
        started.append((kind, arguments, title))

    monkeypatch.setattr(running, "start", start)
    monkeypatch.setenv("GENOLM_DATA_ROOTS", str(tmp_path))
    sequence = make_dna(3000)
    (tmp_path / "long.fa").write_text(f">contig\n{sequence}\n")
    app = open_page(PAGE)
    app.segmented_control[0].set_value("File on the server").run()
    app.text_input[0].set_value("long.fa").run()
    app.number_input[0].set_value(11).run()
    app.number_input[1].set_value(2010).run()
    run(app)
    ((kind, arguments, _),) = started
    assert kind == "saliency" and arguments[-3:] == ["--strips", "--class", "promoter"]
    assert Path(arguments[1]).name == explain.PIECE_NAME
    fasta = Path(arguments[1]).read_text(encoding="ascii").split("\n", 1)
    assert fasta[0] == ">contig:11-2010"
    assert fasta[1].replace("\n", "") == sequence[10:2010]


def test_a_finished_job_shows_heat_strips_and_the_marked_site(
    open_page, toy_model, monkeypatch, tmp_path, make_dna
):
    fasta, folder, drawn = tmp_path / "one.fa", tmp_path / "job", []
    fasta.write_text(f">one\n{make_dna(60)}\n")
    words = ["--strand", "both", "--fills", "2", "--strips", "--site", "40", "--class", "promoter"]
    arguments = ["saliency", str(fasta), "--model", "toy-promoter", "--out", "saliency.csv", *words]
    made = "2026-01-01T00:00:00Z"
    job = Job("b" * 32, "saliency", "one: toy-promoter", tuple(arguments), folder, made, "done")
    job.result.mkdir(parents=True)
    monkeypatch.chdir(job.result)
    ran = CliRunner().invoke(commands, arguments)
    assert ran.exit_code == 0, ran.output
    draw = charts.saliency_figure

    def drawing(part, **options):
        drawn.append(options)
        return draw(part, **options)

    monkeypatch.setattr(charts, "saliency_figure", drawing)
    monkeypatch.setattr(running, "get_job", lambda identity: job)
    app = open_page(PAGE, job=job.id)
    assert not app.exception and not app.error
    predictor = Predictor(load_bundle(toy_model.path), threads=1)
    for strand, options in zip("+-", drawn, strict=True):
        assert options["mark"] == 40
        found = perturbation_saliency(
            predictor, fasta.read_text().split()[1], strand=strand, fills=2, class_index=1, anchor=40
        )
        for length, losses in found.per_length.items():
            shown = options["grid"].loc[length].dropna()
            np.testing.assert_allclose(shown, losses, rtol=1e-4, atol=1e-5)


def test_what_would_never_end_is_refused(open_page, toy_model, monkeypatch, tmp_path, sentences):
    monkeypatch.setenv("GENOLM_DATA_ROOTS", str(tmp_path))
    (tmp_path / "long.fa").write_text(f">contig\n{'ACGT' * 50_000}\n")
    app = open_page(PAGE)
    app.segmented_control[0].set_value("File on the server").run()
    app.text_input[0].set_value("long.fa").run()
    app.number_input[1].set_value(200_000).run()
    assert "choose a shorter piece" in sentences(app)[0]
    assert not [button for button in app.button if button.label == "Explain the answer"]


@pytest.mark.parametrize(("strand", "anchor"), [("+", None), ("-", None), ("+", 45), ("-", 30)])
def test_the_answer_is_that_of_the_window_that_is_explained(toy_bundle_path, make_dna, strand, anchor):
    predictor = Predictor(load_bundle(toy_bundle_path), threads=1, precision="fp32")
    sequence = make_dna(80)
    options = {"class_index": 1, "strand": strand, "anchor": anchor}
    found = explained_answer(predictor, sequence, **options)
    piece = sequence[found.start : found.end]
    read = piece if strand == "+" else reverse_complement(piece)
    assert len(piece) == 60
    np.testing.assert_allclose(found.prediction.logits, predictor.logits([read]), atol=1e-4)
    whole = perturbation_saliency(predictor, sequence, lengths=(1,), fills=2, **options)
    assert log_odds(found.prediction.logits, 1, "binary")[0] == pytest.approx(whole.base_logit, abs=1e-4)


def test_letters_are_texts_that_the_browser_leaves_out_where_they_do_not_fit():
    rows = pd.DataFrame({"position": range(40), "base": list("ACGT" * 10), "score": 0.1, "low": 0.0, "high": 0.2})
    for grid in (None, charts.length_grid({1: np.zeros(40)}, 40)):
        figure = charts.saliency_figure(rows, class_name="promoter", grid=grid)
        (letters,) = [trace for trace in figure.data if trace.type == "bar"]
        assert "".join(letters.text) == "ACGT" * 10 and list(letters.x) == list(range(1, 41))
        assert figure.layout.uniformtext.mode == "hide" and figure.layout.uniformtext.minsize == letters.textfont.size
        bottom, top = figure.layout.yaxis9.domain
        assert 0 <= bottom < top < figure.layout.yaxis.domain[0]
    longer = pd.concat([rows] * 5)
    assert not [trace for trace in charts.saliency_figure(longer, class_name="x").data if trace.type == "bar"]


def test_the_heat_strips_stand_at_the_middle_of_the_replaced_stretch():
    grid = charts.length_grid({1: np.arange(5.0), 3: np.array([10.0, 11.0, 12.0])}, 5)
    assert list(grid.loc[1]) == [0, 1, 2, 3, 4]
    assert grid.loc[3].isna().tolist() == [True, False, False, False, True]
    assert list(grid.loc[3].dropna()) == [10, 11, 12]
