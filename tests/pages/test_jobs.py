"""Jobs page: what runs, what became of the rest, and what can be done about it."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from streamlit.runtime.state.query_params import QueryParams

from genolm import job_files, job_queue, job_store, jobs
from genolm.job_store import JobRow
from pages.shared import curves, job_view, running

PAGE = "pages/models/jobs.py"
TITLE = "my_table.csv: a_model_with_a_name_that_is_really_very_long_[v2]"


def history(path, *, stage="model 1, phase {} of 2", steps=40):
    """Write reports of a training of two epochs and return them."""
    lines = []
    for step in range(1, steps + 1):
        epoch = step // 20
        values = {"loss": 1.0 / step}
        if epoch:
            values |= {"valid_loss": 0.5 - 0.1 * epoch, "valid_accuracy": 0.7 + 0.1 * epoch}
        line = {"run": 1.0, "stage": stage.format(1 + epoch), "done": step, "total": steps}
        lines.append({**line, "elapsed": step, "values": values})
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return lines


@pytest.fixture
def add(private_workspace, monkeypatch):
    """A function that adds a job in a state, without any worker."""
    monkeypatch.setattr(job_queue, "is_alive", lambda row: True)
    monkeypatch.setenv("GENOLM_JOB_SLOTS", "1")

    def added(letter, state, *, kind="finetune", title=TITLE, **changes):
        arguments = (kind, "/data/my_table.csv", "--base", "bacteria-lm", "--name", "new")
        row = JobRow(letter * 32, kind, title, arguments, {}, "2026-01-02T03:04:05Z", float(ord(letter)), 1.0)
        record = {"format_version": 2, "kind": kind, "title": title, "arguments": arguments}
        job_store.read_rows()
        job_files.make_folder(row.folder, {**record, "created": row.created, "created_at": 1.0})
        row = job_store.replace(row, state=state, attempts=1, started=row.created, machine="here", **changes)
        job_store.add_row(row)
        return jobs.Job(row.id, kind, title, arguments, row.folder, row.created, state)

    return added


def texts(app):
    kinds = [app.markdown, app.caption, app.info, app.error, app.success, app.warning]
    return [item.value.replace("\\", "") for kind in kinds for item in kind]


def button(app, label):
    return next(item for item in app.button if item.label == label)


def test_without_jobs_the_page_says_where_they_come_from(open_page, private_workspace):
    app = open_page(PAGE)
    assert not app.exception
    assert any("There are no jobs yet" in item.value for item in app.info)


def test_the_list_has_those_at_work_first_and_the_place_in_the_line(open_page, add):
    add("a", "done", ended="2026-01-02T03:05:05Z")
    add("b", "failed", ended="2026-01-02T03:05:05Z", reason="The table has no column 'label'.")
    working = add("c", "running")
    add("d", "queued", kind="scan", title="genome.fa: model")
    report = {"stage": "model 1", "done": 30, "total": 120, "elapsed": 10.0, "values": {}, "speed": 2.0}
    job_files.write_record(working.folder / "progress.json", report)
    app = open_page(PAGE)
    assert not app.exception and not app.error
    assert [item.value for item in app.header] == ["At work", "Over"]
    bars = [item.proto for item in app.get("progress")]
    assert [(bar.value, bar.text) for bar in bars] == [
        (25, "model 1: 30 of 120, about 45 s left"),
        (0, "waiting, number 1 in line"),
    ]
    said = texts(app)
    assert "The table has no column 'label'." in said
    assert any(text.startswith("training · 2026-01-02 03:04 UTC · ran 60 s · ") for text in said)
    shown = ["Stop", "Stop", "Resume", "Delete for good", "Delete for good"]
    assert [item.label for item in app.button] == shown


def test_a_waiting_job_is_stopped_and_resumed_from_the_list(open_page, add):
    add("a", "running")
    waiting = add("b", "queued")
    app = open_page(PAGE)
    [item for item in app.button if item.label == "Stop"][1].click().run()
    assert not app.exception
    assert jobs.get_job(waiting.id).state == "cancelled"
    button(app, "Resume").click().run()
    assert jobs.get_job(waiting.id).state == "queued"


def test_a_job_is_removed_after_a_question(open_page, add):
    gone = add("a", "failed", reason="So it was.")
    app = open_page(PAGE, job=gone.id)
    button(app, "Delete for good").click().run()
    assert not app.exception and not gone.folder.exists()
    assert any("There are no jobs yet" in item.value for item in app.info)


def test_a_job_that_failed_for_its_input_is_not_resumed_on_a_page(open_page, add):
    words = "Record 'a' has 9 bases too many."
    job = add("a", "failed", ended="2026-01-02T03:05:05Z", reason=words)
    job_files.write_exit(job.folder, code=2, ended="", reason=words, error="SequenceError")
    assert jobs.get_job(job.id).input_error
    for app in (open_page(PAGE), open_page(PAGE, job=job.id), open_page("pages/models/train.py", job=job.id)):
        assert not app.exception and words in texts(app)
        assert "Resume" not in [item.label for item in app.button]
    job_files.write_exit(job.folder, code=2, ended="", reason=words, error="SettingsError")
    assert "Resume" in [item.label for item in open_page(PAGE).button]


def test_a_job_that_a_link_opens_comes_into_the_address_once(open_page, add, monkeypatch):
    job, said = add("a", "done", ended="2026-01-02T03:05:05Z"), []
    write = QueryParams.__setitem__
    monkeypatch.setattr(
        QueryParams, "__setitem__", lambda self, key, value: said.append((key, value)) or write(self, key, value)
    )
    app = open_page(PAGE, job=job.id)
    app.run()
    assert said == [("job", job.id)]
    button(app, "All jobs").click().run()
    app.query_params["job"] = job.id
    app.run()
    assert said == [("job", job.id)] * 2


def test_a_lost_job_says_what_to_do(open_page, add, sentences):
    job = add("a", "lost", reason="The worker is gone. Resume it.")
    (job.folder / "log.txt").write_text("reading\nstep 3\n")
    app = open_page(PAGE, job=job.id)
    assert sentences(app) == ["The worker is gone. Resume it."]
    assert "Nothing that it had kept is lost." in texts(app)
    assert any("step 3" in item.value for item in app.code)
    assert any(item.value.endswith(f"?job={job.id}") for item in app.code)
    assert any("genolm finetune" in item.value for item in app.code)


def test_a_training_shows_its_curves_while_it_runs(open_page, add):
    job = add("a", "running")
    history(job.folder / "progress.jsonl")
    app = open_page(PAGE, job=job.id)
    assert not app.exception
    assert len(app.get("plotly_chart")) == 1
    assert "Step 40 of 40: loss 0.025. Best loss on the validation rows 0.300, at step 40." in texts(app)


def test_an_unknown_job_is_said(open_page, private_workspace, sentences):
    assert sentences(open_page(PAGE, job="zz"))[0].startswith("There is no job 'zz'")


def test_others_see_a_job_only_by_its_link(open_page, add, monkeypatch):
    job = add("a", "done", ended="2026-01-02T03:05:05Z")
    option = running.st.get_option
    monkeypatch.setattr(
        running.st, "get_option", lambda name: "0.0.0.0" if name == "server.address" else option(name)
    )
    app = open_page(PAGE)
    assert any("There are no jobs yet" in item.value for item in app.info)
    app = open_page(PAGE, job=job.id)
    assert app.header[0].value.replace("\\", "") == TITLE
    button(app, "All jobs").click().run()
    assert [item.value for item in app.header] == ["Over"]


def test_a_damaged_list_is_said_until_it_is_understood(open_page, add, private_workspace):
    job = add("a", "done")
    job_files.write_record(job.folder / "worker.json", {"claim": "x"})
    job_files.write_exit(job.folder, code=0, ended="2026-01-02T03:05:05Z", reason="")
    path = private_workspace / "jobs" / "jobs.sqlite"
    path.write_bytes(b"x" * 9000)
    app = open_page(PAGE)
    assert "The list of jobs was damaged" in app.warning[0].value
    assert jobs.get_job(job.id).state == "done"
    button(app, "Understood, delete the damaged file").click().run()
    assert not app.warning
    assert not list(path.parent.glob("*damaged*"))


def test_every_kind_with_a_page_links_to_one_that_reads_its_kind():
    root = Path(__file__).parents[2]
    for kind, page in job_view.RESULT_PAGES.items():
        if (root / page).is_file():
            assert f'running.current("{kind}")' in (root / page).read_text()


def test_curves_have_each_validation_value_once(tmp_path):
    reports = history(tmp_path / "progress.jsonl")
    assert list(curves.by_stage(reports)) == ["model 1"]
    assert list(curves.by_stage(history(tmp_path / "x", stage="phase {} of 2"))) == ["training"]
    figure = curves.curves_figure(reports)
    drawn = {trace.name: (list(trace.x), list(trace.y)) for trace in figure.data}
    assert drawn["validation rows"][0] == [20, 40]
    np.testing.assert_allclose(drawn["validation rows"][1], [0.4, 0.3])
    np.testing.assert_allclose(drawn["Accuracy"][1], [0.8, 0.9])
    assert len(drawn["rows that it learns from"][0]) == 40
    words = curves.last_words([*reports, {**reports[-1], "values": {"loss": 0.1, "valid_loss": 0.6}}])
    assert words.endswith("Best loss on the validation rows 0.300, at step 40; now 0.600.")


def test_a_language_models_curves_speak_of_sequence_and_show_the_markov_model():
    reports = [
        {
            "done": step,
            "total": 40,
            "values": {"loss": 3.0, "valid_loss": 4 - step / 40, "markov_bits_per_base": 1.9},
        }
        for step in (20, 40)
    ]
    for report in reports:
        report["values"]["valid_bits_per_base"] = report["values"]["valid_loss"] / 2
    wording = curves.Wording.of("pretrain")
    drawn = {trace.name: trace for trace in curves.curves_figure(reports, wording).data}
    markov, own = drawn["Markov model, held-out sequence"], drawn["Bits per base"]
    assert (list(markov.x), list(markov.y), markov.line.dash) == ([20, 40], [1.9, 1.9], "dash")
    assert markov.yaxis == own.yaxis != drawn["held-out sequence"].yaxis
    assert list(own.y) == [1.75, 1.5] and "sequence that it learns from" in drawn
    assert "Best loss on the held-out sequence 3.000" in curves.last_words(reports, wording)


def test_sizes_and_times_read_well():
    sizes = {900: "1 kB", 2_500_000: "2.5 MB", 3_100_000_000: "3.1 GB"}
    assert {size: job_view.size_words(size) for size in sizes} == sizes
    assert job_view.seconds_between("2026-01-02T03:04:05Z", "2026-01-02T04:04:04Z") == 3599
    assert re.match("training", job_view.KINDS["finetune"])
