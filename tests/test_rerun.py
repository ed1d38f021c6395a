"""Rerun: a run from its record gives the same bytes, and what has changed since is said first."""

import json

import pytest
from click.testing import CliRunner

from genolm.cli import commands
from genolm.errors import SettingsError
from genolm.pipelines import classify_file, saliency_file, scan_file
from genolm.predict import Predictor
from genolm.record import RECORD_ENDING, source_facts
from genolm.registry import import_bundle, load_bundle
from genolm.rerun import compare_records, plan_rerun, read_record


@pytest.fixture
def toy(toy_bundle_path, monkeypatch):
    """The name of a classifier in the workspace."""
    monkeypatch.setenv("GENOLM_THREADS", "1")
    return import_bundle(toy_bundle_path).name


@pytest.fixture
def fasta(tmp_path, make_dna):
    path = tmp_path / "two.fa"
    path.write_text(f">one\n{make_dna(150)}\n>two\n{make_dna(90)}\n")
    return path


def call(*words):
    return CliRunner().invoke(commands, [str(word) for word in words])


def test_every_kind_of_result_can_be_made_again(toy, fasta, tmp_path):
    predictor = Predictor(load_bundle(toy))
    scan_file(fasta, tmp_path / "scan", model=predictor, stride=9, threshold=0.4, merge_distance=12)
    classify_file(fasta, tmp_path / "classes.tsv", model=toy)
    saliency_file(fasta, tmp_path / "why.csv", model=predictor, fills=2, seed=5, strand="both")
    records = {
        "scan": tmp_path / "scan" / "run.json",
        "classify": tmp_path / f"classes.tsv{RECORD_ENDING}",
        "saliency": tmp_path / f"why.csv{RECORD_ENDING}",
    }
    for kind, record in records.items():
        ran = call("rerun", record, "--out", tmp_path / "again" / kind)
        assert ran.exit_code == 0, ran.output
        assert ran.stderr.endswith("The results are the same as in that run.\n")
    again = tmp_path / "again"
    assert (again / "classify" / "classes.tsv").read_bytes() == (tmp_path / "classes.tsv").read_bytes()
    assert (again / "saliency" / "why.csv").read_bytes() == (tmp_path / "why.csv").read_bytes()
    for name in ("calls.csv", "calls.gff3", "scores_minus.bw"):
        assert (again / "scan" / name).read_bytes() == (tmp_path / "scan" / name).read_bytes()


def test_changed_input_and_model_stop_it_and_are_named(toy, fasta, tmp_path):
    scan_file(fasta, tmp_path / "scan", model=toy, stride=9)
    record = tmp_path / "scan" / "run.json"
    letters = fasta.read_text()
    fasta.write_text(letters.replace(">one", ">One"))
    data = json.loads(record.read_text())
    record.write_text(json.dumps({**data, "model": {**data["model"], "sha256": "0" * 64}}))
    ran = call("rerun", record, "--out", tmp_path / "again")
    assert ran.exit_code == 2
    assert "two.fa is not the file of that run" in ran.stderr
    assert f"The model {toy} has other weights" in ran.stderr
    assert not (tmp_path / "again").exists()
    assert call("rerun", record, "--out", tmp_path / "again", "--anyway").exit_code == 0
    assert "One" in (tmp_path / "again" / "calls.gff3").read_text()
    kept = tmp_path / "kept.fa"
    kept.write_text(letters)
    plan = plan_rerun(record, out=tmp_path / "third", inputs=[kept])
    assert not [sentence for sentence in plan.changed if "file" in sentence]
    assert plan.arguments[1] == str(kept)


def test_a_model_that_answers_otherwise_with_the_same_weights_is_named(toy, fasta, tmp_path):
    scan_file(fasta, tmp_path / "scan", model=toy, stride=9)
    record = tmp_path / "scan" / "run.json"
    data = json.loads(record.read_text())
    answers = {**data["model"]["answers"], "framed": True, "threshold": 0.9}
    record.write_text(json.dumps({**data, "model": {**data["model"], "answers": answers}}))
    ran = call("rerun", record, "--out", tmp_path / "again")
    assert ran.exit_code == 2
    assert f"The model {toy} has the same weights and answers otherwise: its framed, threshold changed" in ran.stderr


def test_a_moved_input_is_found_beside_the_record_or_asked_for(toy, fasta, tmp_path):
    scan_file(fasta, tmp_path / "scan", model=toy, stride=9)
    record = tmp_path / "scan" / "run.json"
    moved = fasta.rename(tmp_path / "scan" / "two.fa")
    assert plan_rerun(record, out=tmp_path / "again").arguments[1] == str(moved)
    moved.unlink()
    with pytest.raises(SettingsError, match="two.fa is not there any more.*--input"):
        plan_rerun(record, out=tmp_path / "again")
    with pytest.raises(SettingsError, match="reads 1 files; 2 were given"):
        plan_rerun(record, out=tmp_path / "again", inputs=[record, record])


def test_a_training_gets_a_new_name_and_place(tmp_path):
    table = tmp_path / "table.csv"
    table.write_text("sequence,label\n")
    record = {
        "record_version": 1,
        "command": "finetune",
        "arguments": ["finetune", str(table), "--base", "lm", "--name", "mine", "--report", "report"],
        "inputs": [],
        "model": {},
    }
    (tmp_path / "run.json").write_text(json.dumps(record))
    plan = plan_rerun(tmp_path / "run.json", out=tmp_path / "out")
    assert plan.arguments[4:] == ("--name", "mine-again", "--report", str(tmp_path / "out"))
    assert plan.record == tmp_path / "out" / "run.json"
    assert "other" in plan_rerun(tmp_path / "run.json", out=tmp_path, name="other").arguments


def test_a_folder_of_class_files_counts_as_one_input(tmp_path, make_dna):
    folder = tmp_path / "classes"
    folder.mkdir()
    for name in ("a.fa", "b.fa"):
        (folder / name).write_text(f">one\n{make_dna(60)}\n")
    record = {
        "record_version": 1,
        "command": "finetune",
        "arguments": ["finetune", str(folder), "--base", "lm", "--name", "mine", "--report", "report"],
        "inputs": [source_facts(folder)],
        "model": {},
    }
    (tmp_path / "run.json").write_text(json.dumps(record))
    plan = plan_rerun(tmp_path / "run.json", out=tmp_path / "out")
    assert plan.arguments[1] == str(folder) and plan.changed == ()
    (folder / "c.fa").write_text(">one\nACGT\n")
    (sentence,) = plan_rerun(tmp_path / "run.json", out=tmp_path / "out").changed
    assert sentence.startswith("classes is not the folder of that run")


def test_a_run_of_a_model_in_memory_or_with_other_lengths_is_not_repeated(
    toy, toy_bundle_path, fasta, tmp_path
):
    bundle = load_bundle(toy_bundle_path)
    predictor = Predictor.from_model(bundle.config, bundle.build())
    classify_file(fasta, tmp_path / "a.csv", model=predictor)
    saliency_file(fasta, tmp_path / "b.csv", model=toy, lengths=(1, 2), fills=2)
    for name in ("a.csv", "b.csv"):
        with pytest.raises(SettingsError, match="does not say how its run was started"):
            read_record(tmp_path / f"{name}{RECORD_ENDING}")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("hello", "not JSON"),
        ("[1]", "no run record"),
        ('{"command": "scan", "record_version": 99}', "newer genolm"),
        ('{"command": "scan", "record_version": "1"}', "record_version is '1', not a whole number"),
        ('{"command": "scan", "arguments": ["scan", "a.fa"], "model": {}}', "damaged: inputs are missing"),
        ('{"command": "scan", "arguments": ["scan"], "inputs": [3]}', "inputs and model are missing"),
        (
            '{"command": "scan", "arguments": ["scan", "--stride", "x"], "inputs": [], "model": {}}',
            "arguments cannot be read",
        ),
    ],
)
def test_what_is_no_record_is_refused(tmp_path, text, sentence):
    (tmp_path / "x.json").write_text(text)
    ran = call("rerun", tmp_path / "x.json")
    assert ran.exit_code == 2 and sentence in ran.stderr
    assert call("rerun", tmp_path / "none.json").exit_code == 2


def test_differences_of_results_are_told():
    old = {"outputs": [{"name": "a", "sha256": "1"}, {"name": "b", "sha256": "2"}], "results": {"calls": 3}}
    new = {"outputs": [{"name": "a", "sha256": "9"}], "results": {"calls": 4}}
    assert compare_records(old, old) == ()
    assert compare_records(old, new) == (
        "a differs.",
        "b was not written again.",
        "calls was 3 and is 4.",
    )
