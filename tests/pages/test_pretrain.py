"""Pretrain: what is read and held out, what a start is made of, and the verdict on what came of it."""

import dataclasses
from pathlib import Path

import pytest

from genolm import pretrain_plan
from genolm.ascode import parse_arguments
from genolm.jobs import Job
from genolm.pretrain_plan import PretrainSettings, PretrainSpeed
from genolm.pretraining import pretrain
from genolm.progress import Progress
from genolm.registry import import_bundle
from pages.shared import inputs, pretrain_form, pretrain_view, running, uploads

PAGE = "pages/models/pretrain.py"
SPEED = PretrainSpeed(8_000.0, 40_000.0, 4_000_000, "cpu")


@pytest.fixture
def measured(monkeypatch):
    """Spare the tests the measuring of a large model; tells what was measured."""
    seen = []

    def measure(settings, *, base=None, threads=None):
        seen.append((settings.preset, base.name if base else "", threads))
        return SPEED

    monkeypatch.setattr(pretrain_form, "measure_pretraining", measure)
    return seen


@pytest.fixture
def started(monkeypatch):
    """What the page would start."""
    found = []
    monkeypatch.setattr(running, "start", lambda kind, arguments, *, title: found.append((arguments, title)))
    return found


@pytest.fixture
def two_files(tmp_path, make_dna, monkeypatch):
    """A page whose user has given two files on the server."""
    monkeypatch.setenv("GENOLM_DATA_ROOTS", str(tmp_path))
    (tmp_path / "one.fa").write_text(f">chr\n{make_dna(40_000)}\n>plasmid\n{make_dna(3_000)}\n")
    (tmp_path / "two.fa").write_text(f">chr\n{make_dna(30_000)}NNN\n")
    return tmp_path


def button(app, label):
    return next(item for item in app.button if item.label == label)


def words(app):
    kinds = [app.markdown, app.caption, app.info, app.error, app.success, app.warning]
    return " ".join(item.value.replace("\\", "") for kind in kinds for item in kind)


def test_a_start_goes_on_from_the_first_model_and_says_what_it_takes(
    open_page, no_model, toy_language_model_path, measured, started
):
    import_bundle(toy_language_model_path)
    app = open_page(PAGE)
    assert not app.exception and not app.error
    shown = words(app)
    assert "from base 4,407,692 to its end (231,984 bp, 5.0% of all)" in shown
    assert "goes on from toy-lm" in shown
    assert {item.label: item.value for item in app.metric}["Time"].startswith("about ")
    assert measured == [("tiny", "toy-lm", 1)]
    button(app, "Start the training").click().run()
    ((arguments, title),) = started
    values = parse_arguments(arguments).values
    assert values["base"] == "toy-lm" and values["name"] == "ecoli-k12-mg1655-lm"
    assert values["report_dir"] == "." and "ecoli_k12_mg1655.fa.gz" in title
    assert any("genolm pretrain ecoli_k12_mg1655.fa.gz" in item.value for item in app.code)


def test_several_files_are_gathered_looked_at_and_held_out_by_name(
    open_page, no_model, two_files, measured, started
):
    app = open_page(PAGE)
    app.segmented_control(key="pretrain_way").set_value(inputs.SERVER).run()
    assert "Add one or more FASTA, GenBank, EMBL or 2bit files" in words(app)
    for name in ("one.fa", "two.fa"):
        app.text_input[0].set_value(name).run()
    shown = {item.label: item.value for item in app.metric}
    assert (shown["Records"], shown["Total length"], shown["Ambiguous letters"]) == ("3", "73,003 bp", "3")
    assert "one.fa:plasmid (3,000 bp" in words(app)
    app.multiselect[0].set_value(["two.fa"]).run()
    assert "two.fa:chr (30,003 bp, 41.1% of all)" in words(app)
    assert "little for a language model" in words(app)
    app.radio(key="pretrain_size").set_value("base").run()
    app.text_input(key="pretrain_name_one.fa").set_value("two-lm").run()
    button(app, "Start the training").click().run()
    values = parse_arguments(started[0][0]).values
    assert values["fasta"] == [str(two_files / "one.fa"), str(two_files / "two.fa")]
    assert values["held_out"] == ("two.fa",) and "base" not in values
    assert (values["preset"], values["name"]) == ("base", "two-lm")
    button(app, "Remove").click().run()
    assert {item.label: item.value for item in app.metric}["Total length"] == "30,003 bp"
    assert "one.fa" not in [item.value for item in app.text_input]


def test_copies_of_what_the_rule_holds_out_are_told_and_not_learned_from(
    open_page, no_model, two_files, measured, make_dna
):
    plasmid = make_dna(3_000)
    (two_files / "one.fa").write_text(f">chr\n{make_dna(40_000)}\n>plasmid\n{plasmid}\n>again\n{plasmid}\n")
    app = open_page(PAGE)
    app.segmented_control(key="pretrain_way").set_value(inputs.SERVER).run()
    app.text_input[0].set_value("one.fa").run()
    shown = words(app)
    assert "one.fa:plasmid (3,000 bp, 6.5% of all); 1 copy of it (3,000 bp) is left out of the training" in shown
    assert "The 40,000 bp to learn from" in shown
    app.multiselect[0].set_value(["one.fa:plasmid"]).run()
    assert "one.fa:again, which would be learned from, is the same sequence" in words(app)


def test_the_form_stands_as_it_was_after_another_page(
    open_page, no_model, toy_language_model_path, two_files, measured, started
):
    import_bundle(toy_language_model_path)
    app = open_page(PAGE)
    app.segmented_control(key="pretrain_way").set_value(inputs.SERVER).run()
    for name in ("one.fa", "two.fa"):
        app.text_input[0].set_value(name).run()
    app.multiselect[0].set_value(["one.fa:plasmid"]).run()
    app.radio(key="pretrain_start").set_value("From scratch").run()
    app.number_input(key="pretrain_k").set_value(4).run()
    app.number_input(key="pretrain_stride_4").set_value(2).run()
    app.select_slider(key="pretrain_hours").set_value(0.5).run()
    app.radio(key="pretrain_size").set_value("base")
    app.text_input(key="pretrain_name_one.fa").set_value("mine").run()
    button(app, "Start the training").click().run()
    values = parse_arguments(started[0][0]).values
    assert (values["k"], values["stride"], values["hours"], values["preset"]) == (4, 2, 0.5, "base")
    assert values["held_out"] == ("one.fa:plasmid",) and values["name"] == "mine" and "base" not in values

    def leave_and_return():
        app.switch_page("pages/models/jobs.py").run()
        assert not app.multiselect and not app.exception
        app.switch_page(PAGE).run()
        assert not app.exception
        button(app, "Start the training").click().run()
        return parse_arguments(started[-1][0]).values

    assert leave_and_return() == values
    # A record that the file no longer has is not held out of it.
    path = two_files / "one.fa"
    path.write_text(path.read_text().replace(">plasmid", ">other"))
    assert leave_and_return() == {key: value for key, value in values.items() if key != "held_out"}
    app.segmented_control(key="pretrain_way").set_value(inputs.SAMPLE).run()
    sample = app.radio(key="pretrain_sample").set_value(app.radio(key="pretrain_sample").options[-1]).run()
    assert leave_and_return()["fasta"] != values["fasta"]
    assert app.radio(key="pretrain_sample").value == sample.radio(key="pretrain_sample").value


@pytest.fixture
def uploaded(tmp_path, monkeypatch):
    """A function name, text -> the page's next box gives a file of that name with that text."""
    offered = []

    def upload_box(label, *, key, **options):
        return offered.pop() if offered else None

    def give(name, text):
        path = tmp_path / f"upload{len(list(tmp_path.iterdir()))}" / "whole" / name
        path.parent.mkdir(parents=True)
        path.write_text(text)
        offered.append(uploads.Upload(name, path))

    monkeypatch.setattr(uploads, "upload_box", upload_box)
    return give


def test_uploads_of_one_name_are_told_apart_and_the_same_content_is_refused(
    open_page, no_model, measured, started, sentences, uploaded, make_dna
):
    app = open_page(PAGE)
    texts = [f">chr\n{make_dna(size)}\n" for size in (40_000, 30_000)]
    for text in texts:
        uploaded("scaffolds.fasta", text)
        app.segmented_control(key="pretrain_way").set_value(inputs.UPLOAD).run()
    assert not app.error and not app.exception
    assert list(app.dataframe[-1].value["file"]) == ["scaffolds.fasta", "scaffolds-2.fasta"]
    app.multiselect[0].set_value(["scaffolds-2.fasta"]).run()
    assert "scaffolds-2.fasta:chr (30,000 bp, 42.9% of all)" in words(app)
    button(app, "Start the training").click().run()
    files = [Path(path) for path in parse_arguments(started[0][0]).values["fasta"]]
    assert [(path.name, path.read_text()) for path in files] == [
        ("scaffolds.fasta", texts[0]),
        ("scaffolds-2.fasta", texts[1]),
    ]
    uploaded("scaffolds.fasta", texts[1])
    app.run()
    said = "scaffolds-3.fasta has the same content as scaffolds-2.fasta; give each genome once and remove one."
    assert sentences(app) == [said]


def test_too_little_and_a_taken_name_are_said(
    open_page, no_model, toy_language_model_path, two_files, measured, sentences
):
    (two_files / "short.fa").write_text(">s\nACGTACGT\n")
    import_bundle(toy_language_model_path)
    app = open_page(PAGE)
    app.text_input(key="pretrain_name_ecoli_k12_mg1655.fa.gz").set_value("toy-lm").run()
    assert any("already is a model 'toy-lm'" in item for item in sentences(app))
    assert button(app, "Start the training").disabled
    app.segmented_control(key="pretrain_way").set_value(inputs.SERVER).run()
    app.text_input[0].set_value("short.fa").run()
    assert any("hold 8 bases" in item for item in sentences(app))


@pytest.fixture
def finished_job(no_model, two_files):
    """A job that went on from the toy model."""
    path = str(two_files / "one.fa")
    arguments = ("pretrain", path, "--name", "new-lm", "--base", "toy-lm", "--report", ".")
    return Job("a" * 32, "pretrain", "one.fa", arguments, two_files / "job", "2026-01-01T00:00:00Z", "done")


def test_the_result_stands_beside_the_markov_model(
    open_page, finished_job, toy_language_model_path, two_files, monkeypatch
):
    import_bundle(toy_language_model_path)
    settings = PretrainSettings(tokens=1_600, rows=8, bptt=20, validations=2)
    pretrain([two_files / "one.fa"], "new-lm", settings=settings, base="toy-lm")
    monkeypatch.setattr(running, "get_job", lambda identity: finished_job)
    app = open_page(PAGE, job=finished_job.id)
    assert not app.exception and not app.error
    shown = words(app)
    assert "new-lm is ready" in shown.replace("*", "") and "Held out for the figure: one.fa:plasmid" in shown
    assert "Before this training toy-lm needed" in shown
    assert len(app.get("plotly_chart")) == 1
    links = [item.proto for item in app.get("page_link")]
    assert any(link.label.startswith("Fine-tune") and "base=new-lm" in str(link) for link in links)


def test_a_job_that_runs_tells_the_baseline(open_page, finished_job, monkeypatch):
    report = Progress("training", 30, 120, 10.0, {"loss": 4.1, "markov_bits_per_base": 1.934})
    job = dataclasses.replace(finished_job, state="running", progress=report)
    for module in (running, pretrain_view):
        monkeypatch.setattr(module, "get_job", lambda identity: job)
    app = open_page(PAGE, job=job.id)
    assert not app.exception
    assert "needs 1.934 bits per base" in words(app).replace("*", "")


def scored(value, saved, before=None):
    """A card with these figures."""
    bits = {"value": value, "low": value - 0.01, "high": value + 0.01}
    baselines = {"Markov model of order 11": {"bits_per_base": {"value": value + saved[0]}}}
    if before is not None:
        baselines["bacteria-lm, before"] = {"bits_per_base": {"value": before}}
    gain = dict(zip(("value", "low", "high"), saved, strict=True))
    return {
        "metrics": {"held-out": {"bits_per_base": bits, "bits_saved_over_markov": gain}},
        "baselines": baselines,
    }


def test_the_verdict_follows_the_interval():
    better = pretrain_view.verdict(scored(1.9, (0.03, 0.02, 0.04), before=1.95))
    assert "**Better" in better and "0.030 (0.020–0.040)" in better and "saved 0.050" in better
    worse = pretrain_view.verdict(scored(1.97, (-0.03, -0.04, -0.02), before=1.96))
    assert "**Not good enough" in worse and "0.030 (0.020–0.040)" in worse and "did not help" in worse
    assert "**About as good" in pretrain_view.verdict(scored(1.95, (0.01, -0.01, 0.03)))


def test_a_plan_is_made_by_what_is_left_to_learn(two_files, measured):
    sources = tuple(inputs.Source(two_files / name, name) for name in ("one.fa", "two.fa"))
    wish = pretrain_form.Wish(sources, ("one.fa:chr", "one.fa:plasmid", "two.fa:chr"), 73_000)
    assert wish.to_learn == 70_000
    assert dataclasses.replace(wish, held_out=("two.fa",)).to_learn == 73_000 - 30_003
    assert pretrain_plan.plan_pretraining(wish.to_learn).settings.rows < 64
