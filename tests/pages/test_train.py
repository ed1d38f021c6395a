"""Train: the form becomes the command, a training is shown in every state, and its model is used at once."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from genolm import workspace
from genolm.ascode import parse_arguments
from genolm.config import FinetuneSettings
from genolm.finetuning import finetune
from genolm.jobs import Job
from genolm.progress import Progress
from genolm.registry import import_bundle, remove_bundle
from pages.shared import inputs, running, speed, table_view, train_form, train_view
from pages.shared.table_view import TableChoice

PAGE = "pages/models/train.py"
IDENTITY = "b" * 32


@pytest.fixture
def language_model(no_model, toy_language_model_path):
    """A tiny language model, the only model."""
    return import_bundle(toy_language_model_path)


@pytest.fixture
def started(monkeypatch):
    """The arguments of the jobs that the page started."""
    found = []
    monkeypatch.setattr(running, "start", lambda kind, arguments, *, title: found.append((arguments, title)))
    return found


def start_button(app):
    return next(button for button in app.button if button.label == "Start the training")


def by_key(app, kind, key):
    return next(item for item in app.get(kind) if item.key == key)


def test_the_example_is_read_explained_and_started(open_page, language_model, started):
    app = open_page(PAGE)
    assert not app.exception and not app.error
    assert [item.value[0] for item in app.header] == ["1", "2", "3", "4"]
    shown = {item.label: item.value for item in app.metric}
    assert shown["Rows"] == "800"
    assert shown["Time, Fast (chosen)"].startswith("about ")
    assert shown["Memory"].endswith(" GB") and shown["Runs on"] == "CPU (1 core)"
    assert not [item for column in app.columns for item in column.metric if item.label in ("Memory", "Runs on")]
    assert any(item.value.endswith(f"; {speed.LONGER}.") for item in app.caption)
    assert any("The layers are set free one by one" in item.value for item in app.markdown)
    command = "genolm finetune assets/samples/example_table.csv.gz --base toy-lm"
    assert any(command in item.value for item in app.code)
    start_button(app).click().run()
    assert not app.exception
    ((arguments, title),) = started
    assert arguments[0] == "finetune" and arguments[1].endswith("example_table.csv.gz")
    assert arguments[2:] == ["--base", "toy-lm", "--name", "example-table", "--report", "report"]
    assert title == "example_table.csv.gz: example-table"


def say_everything(app):
    """Give every setting of the form another value than it begins with."""
    by_key(app, "selectbox", "train_base").set_value(train_form.SCRATCH).run()
    by_key(app, "selectbox", "train_preset").set_value("tiny")
    by_key(app, "text_input", "train_name_example_table.csv.gz").set_value("mine")
    by_key(app, "radio", "train_effort").set_value("best")
    by_key(app, "radio", "train_split_cluster_random").set_value("random")
    for key in ("train_mirrored", "train_shifted", "train_trimmed", "train_reduction"):
        by_key(app, "toggle", key).set_value(True)
    by_key(app, "toggle", "train_watched").set_value(False)
    by_key(app, "selectbox", "train_adapt").set_value("no")
    by_key(app, "selectbox", "train_balance").set_value("yes")
    by_key(app, "selectbox", "train_framed").set_value("no")
    first = next(item for item in app.selectbox if item.key.startswith("train_positive"))
    first.set_value("made up")
    numbers = {"valid": 20, "test": 15, "seed": 5, "seeds": 2, "epochs": 3, "batch": 32, "lr": 0.003, "slots": 0}
    for key, value in {**numbers, "drop": 0.7, "search": 4.0}.items():
        by_key(app, "number_input", f"train_{key}").set_value(value)
    app.run()
    assert not app.exception and not app.error


def test_every_setting_of_the_form_reaches_the_command(open_page, language_model, started):
    app = open_page(PAGE)
    say_everything(app)
    start_button(app).click().run()
    values = parse_arguments(started[0][0]).values
    expected = {
        "positive": "made up",
        "split": "random",
        "fractions": (0.65, 0.2, 0.15),
        "effort": "best",
        "adapt": False,
        "seeds": 2,
        "balance": True,
        "mirrored": True,
        "shifted": True,
        "trimmed": True,
        "framed": False,
        "slots": 0,
        "lr": 0.003,
        "drop_mult": 0.7,
        "batch_size": 32,
        "epochs": 3,
        "search_minutes": 4.0,
        "reduction": True,
        "watched": False,
        "preset": "tiny",
        "seed": 5,
    }
    assert {key: values[key] for key in expected} == expected
    assert values["from_scratch"] and values["base"] == "toy-lm" and values["name"] == "mine"
    # The others come from the table: its columns, its bad rows and, by its labels, the task.
    rest = {"columns", "skip_bad_rows", "task"}
    assert set(expected) | rest == set(vars(FinetuneSettings()))


def leave_and_return(app):
    """Go to another page and come back, as with the links of the menu."""
    app.switch_page("pages/models/jobs.py").run()
    assert not app.get("number_input") and not app.exception
    app.switch_page(PAGE).run()
    assert not app.exception
    return app


def test_the_form_stands_as_it_was_after_another_page(open_page, language_model, started):
    app = open_page(PAGE)
    say_everything(app)
    start_button(app).click().run()
    leave_and_return(app)
    start_button(app).click().run()
    assert started[0] == started[1]
    # A training that has made the model meanwhile takes its name, and nothing else of what was said.
    bundle = workspace.models_dir() / "toy-lm"
    shutil.copytree(bundle, bundle.with_name("mine"))
    leave_and_return(app)
    start_button(app).click().run()
    before, now = (parse_arguments(arguments).values for arguments, _ in started[1:])
    assert now == {**before, "name": "example-table"}


def test_an_address_that_names_a_base_comes_before_what_was_said_last(open_page, language_model):
    app = open_page(PAGE)
    by_key(app, "selectbox", "train_base").set_value(train_form.SCRATCH).run()
    assert by_key(leave_and_return(app), "selectbox", "train_base").value == train_form.SCRATCH
    app.switch_page("pages/models/jobs.py").run()
    app.switch_page(PAGE)
    app.query_params["base"] = "toy-lm"
    assert by_key(app.run(), "selectbox", "train_base").value == "toy-lm"


@pytest.fixture
def own_table(tmp_path, monkeypatch):
    """A function columns, bad rows -> the path of a table on the server with these."""
    monkeypatch.setenv("GENOLM_DATA_ROOTS", str(tmp_path))
    dice = np.random.default_rng(3)

    def written(header, bad=0):
        letters = dice.choice(list("ACGT"), (60, 40))
        rows = [f"{''.join(row)},{'ab'[number % 2]},{number % 6}" for number, row in enumerate(letters)]
        text = "\n".join([header, *rows, *["AC1GT,a,1"] * bad])
        (tmp_path / "own.csv").write_text(text + "\n")

    return written


def test_a_chosen_table_with_its_columns_is_kept_and_another_one_is_asked_for_anew(
    open_page, language_model, own_table
):
    own_table("letters,kind,family", bad=2)
    app = open_page(PAGE)
    by_key(app, "segmented_control", "train_way").set_value(table_view.SERVER).run()
    by_key(app, "text_input", "train_path").set_value("own.csv").run()
    chosen = {"sequence": "letters", "label": "kind", "group": "family"}
    for column, name in chosen.items():
        next(item for item in app.selectbox if item.key.endswith(f"_{column}")).set_value(name).run()
    next(item for item in app.checkbox).set_value(True).run()
    by_key(app, "radio", "train_split_cluster_group_random").set_value("group").run()
    by_key(app, "selectbox", "train_positive_a_b").set_value("a").run()
    command = next(item.value for item in app.code if "genolm finetune" in item.value)
    assert "kind" in command and "--split group" in command and "--positive a" in command
    leave_and_return(app)
    assert command in [item.value for item in app.code]
    # The same file with other rows to leave out, then with other columns: nothing is agreed to or chosen for it.
    own_table("letters,kind,family", bad=3)
    leave_and_return(app)
    assert not next(item for item in app.checkbox).value and not app.radio
    own_table("sequence,label,other")
    leave_and_return(app)
    columns = {column: f"_{column}" for column in chosen}
    shown = {c: next(item for item in app.selectbox if item.key.endswith(end)).value for c, end in columns.items()}
    assert shown == {"sequence": "sequence", "label": "label", "group": table_view.NOT_USED}
    assert by_key(app, "radio", "train_split_cluster_random").value == "cluster"
    command = next(item.value for item in app.code if "genolm finetune" in item.value)
    assert "--split" not in command


def test_another_task_and_the_random_split_are_shown(open_page, language_model, sentences):
    app = open_page(PAGE)
    by_key(app, "toggle", "train_random").set_value(True).run()
    assert not app.exception
    assert any("random split" in item.value for item in [*app.info, *app.caption])
    task = next(item for item in app.selectbox if item.key.startswith("train_task"))
    task.set_value("regression").run()
    assert "needs a number as each label" in sentences(app)[0]


def test_a_name_that_is_taken_is_refused(open_page, language_model, sentences, monkeypatch):
    app = open_page(PAGE)
    name = by_key(app, "text_input", "train_name_example_table.csv.gz")
    name.set_value("toy-lm").run()
    assert "There already is a model 'toy-lm'" in sentences(app)[0]
    assert start_button(app).disabled
    arguments = ("finetune", "x.csv", "--base", "toy-lm", "--name", "busy")
    job = Job(IDENTITY, "finetune", "x", arguments, None, "2026-01-01T00:00:00Z", "queued")
    for module in (train_form, inputs):
        monkeypatch.setattr(module, "list_jobs", lambda kind=None: [job])
    by_key(app, "text_input", "train_name_example_table.csv.gz").set_value("busy").run()
    assert "A training that makes 'busy' is queued already" in sentences(app)[0]
    assert any("wait for 1 other job" in item.value for item in app.caption)


def test_without_a_language_model_it_says_what_to_do(open_page, no_model):
    app = open_page(PAGE)
    assert not app.exception
    assert any("Import one under Models" in item.value for item in app.info)
    assert not [button for button in app.button if button.label.startswith("Start")]


@pytest.fixture
def job(tmp_path):
    """A training's job as it is listed while it runs."""
    arguments = ("finetune", str(tmp_path / "t.csv"), "--base", "toy-lm", "--name", "mine")
    (tmp_path / "job" / "result").mkdir(parents=True)
    report = Progress("classifier, phase 1 of 4", 30, 120, 10.0, {"loss": 0.5})
    return Job(
        IDENTITY,
        "finetune",
        "t.csv: mine",
        arguments,
        tmp_path / "job",
        "2026-01-01T00:00:00Z",
        "running",
        progress=report,
    )


def test_a_running_training_has_its_private_link_and_code(open_page, language_model, job, monkeypatch):
    monkeypatch.setattr(running, "get_job", lambda identity: job)
    app = open_page(PAGE, job=IDENTITY)
    assert not app.exception and not app.error
    assert app.get("progress")[0].proto.value == 25
    assert any(f"job={IDENTITY}" in item.value for item in app.code)
    assert any(item.value.startswith("genolm finetune t.csv") for item in app.code)


def test_a_stopped_training_says_why_and_goes_on(open_page, language_model, job, monkeypatch, sentences):
    sentence = "Training was stopped: every validation sequence gets the class 'a'. Try --lr."
    states = {"now": dataclasses.replace(job, state="failed", reason=sentence)}
    monkeypatch.setattr(running, "get_job", lambda identity: states["now"])
    monkeypatch.setattr(running, "resume_job", lambda identity: states.update(now=job))
    app = open_page(PAGE, job=IDENTITY)
    assert sentences(app) == [sentence]
    next(button for button in app.button if button.label == "Resume").click().run()
    assert not app.exception and not app.error
    assert app.get("progress")


def test_a_finished_training_shows_report_and_model(
    open_page, language_model, job, monkeypatch, make_dna, tmp_path, private_workspace, toy_bundle_path
):
    rows = [f"{make_dna(30)}{'TATAAT' * (number % 2)}{make_dna(30)},{number % 2}" for number in range(60)]
    (tmp_path / "t.csv").write_text("sequence,label\n" + "\n".join(rows) + "\n")
    settings = FinetuneSettings(split="random", fractions=(0.5, 0.25, 0.25), epochs=1, watched=False)
    monkeypatch.setenv("GENOLM_THREADS", "1")
    finetune(tmp_path / "t.csv", "toy-lm", "mine", settings=settings, report_dir=job.result / "report")
    done = dataclasses.replace(job, state="done")
    monkeypatch.setattr(running, "get_job", lambda identity: done)
    app = open_page(PAGE, job=IDENTITY)
    assert not app.exception and not app.error
    # The classes differ in length: that alone beats a model that hardly trained, and the page says so.
    told = app.warning[0].value
    assert "mine** is ready" in told and ("a simple baseline" in told or "than guessing" in told)
    assert not app.success
    assert "How good it is" in [item.value for item in app.header]
    record = json.loads((job.result / "report" / "run.json").read_text())
    assert parse_arguments(record["arguments"]).values["name"] == "mine"
    (packed,) = (private_workspace / "uploads" / "exports").glob("*/mine-report.zip")
    packed.unlink()
    remove_bundle("mine")
    import_bundle(toy_bundle_path, name="mine")
    app = app.run()
    assert not app.exception and not app.error and not app.success
    assert "mine of this training was replaced since, or removed" in app.warning[0].value
    assert not any("is ready" in item.value for item in [*app.warning, *app.markdown])
    assert "How good it is" in [item.value for item in app.header]
    assert "The model's card" not in [item.label for item in app.expander] and not packed.exists()
    remove_bundle("mine")
    assert "mine was removed since" in app.run().warning[0].value


def test_labels_that_cannot_be_told_can_be_named_by_hand(open_page, language_model, sentences, tmp_path, monkeypatch):
    path = tmp_path / "values.csv"
    rng = np.random.default_rng(4)
    lines = ["".join(rng.choice(list("ACGT"), 40)) + f",{'NA' if row == 6 else row % 5}" for row in range(80)]
    path.write_text("\n".join(["sequence,label", *lines]))
    choice = TableChoice(path, "values.csv", {}, False)
    monkeypatch.setattr(table_view, "choose_table", lambda key: choice)
    app = open_page(PAGE)
    assert any("stands in 1 of 80 labels, first in row 8: 'NA'" in item for item in sentences(app))
    assert len(app.header) == 1 and not app.exception
    task = next(item for item in app.selectbox if item.key.startswith("train_task"))
    task.set_value("multiclass").run()
    assert not app.error and len(app.header) == 4
    assert any("--task multiclass" in item.value for item in app.code)


@pytest.mark.parametrize(
    ("value", "gap", "words"),
    [
        (0.9, None, ""),
        (0.8, (-0.2, -0.05), "But a simple baseline is better on the same rows, words (AUROC 0.850, the model 0.800"),
        (0.8, (-0.2, 0.05), "But on these rows it is no better than a simple baseline, words (AUROC 0.850, the model"),
        (0.8, (None, None), "But a simple baseline is better on the same rows"),
    ],
)
def test_a_doubt_and_the_report_say_the_same_of_a_baseline(toy_model, tmp_path, monkeypatch, value, gap, words):
    figure = {"value": value, "low": value - 0.1, "high": value + 0.1}
    card = {"metrics": {"test": {"auroc": figure}}, "baselines": {"words": {"auroc": {**figure, "value": 0.85}}}}
    info = dataclasses.replace(toy_model, card=card)
    low, high = gap or (None, None)
    difference = {"auroc": {"value": value - 0.85, "low": low, "high": high, "p": 0.5}}
    monkeypatch.setattr(train_view, "read_report", lambda _: {"baselines": {"words": {"difference": difference}}})
    assert train_view._doubt(info, tmp_path).startswith(words) and bool(train_view._doubt(info, tmp_path)) == bool(words)
