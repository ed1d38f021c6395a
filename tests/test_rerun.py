"""Rerun: a run from its record gives the same bytes, and what has changed since is said first."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from genolm import compute
from genolm.ascode import parse_arguments
from genolm.cli import commands
from genolm.errors import SettingsError
from genolm.pipelines import classify_file, saliency_file, scan_file
from genolm.predict import Predictor
from genolm.record import RECORD_ENDING, source_facts
from genolm.recording import run_arguments
from genolm.registry import import_bundle, load_bundle
from genolm.rerun import compare_records, plan_rerun, read_record
from genolm.scan_pipeline import PREDICT
from genolm.verbs import VERBS


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


@pytest.fixture
def annotated(toy, fasta, tmp_path, monkeypatch):
    """The record of a scan with genes, known sites and regions, named from the folder where they lie."""
    names = {"genes": "genes.bed", "truth": "sites.bed", "regions": "all.bed"}
    for name, line in zip(names.values(), ("20\t80\tg\t0\t+", "40\t41\ts\t0\t+", "0\t150"), strict=True):
        (tmp_path / name).write_text(f"one\t{line}\n")
    monkeypatch.chdir(tmp_path)
    scan_file(fasta.name, "scan", model=toy, stride=9, **names)
    return tmp_path / "scan" / "run.json"


def test_the_files_of_options_are_told_apart(annotated, tmp_path, monkeypatch):
    record = json.loads(annotated.read_text())
    said = parse_arguments(record["arguments"]).values
    for item in record["inputs"][1:]:
        assert said[item["option"]] == str(tmp_path / item["name"])
    assert [item["option"] for item in record["inputs"][1:]] == ["genes", "truth", "regions"]
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    ran = call("rerun", annotated)
    assert ran.exit_code == 0 and ran.stderr.endswith("The results are the same as in that run.\n")
    (tmp_path / "scan" / "genes.bed").write_text((tmp_path / "genes.bed").read_text())
    (tmp_path / "genes.bed").write_text("one\t20\t80\tother\t0\t+\n")
    (sentence,) = plan_rerun(annotated, out="out").changed
    assert sentence.startswith("genes.bed is not the file of that run")
    given = [tmp_path / name for name in ("two.fa", "scan/genes.bed", "sites.bed", "all.bed")]
    plan = plan_rerun(annotated, out="out", inputs=given)
    found = parse_arguments(plan.arguments).values
    assert [found[key] for key in ("fasta", "genes", "truth", "regions")] == [str(path) for path in given]
    assert plan.changed == ()


def test_an_older_record_that_names_no_options_is_read(annotated, tmp_path):
    record = json.loads(annotated.read_text())
    for item in record["inputs"]:
        item.pop("option", None)
    words = record["arguments"]
    words[words.index("--genes") + 1] = "genes.bed"  # as it was given, before genes counted as a file
    annotated.write_text(json.dumps(record))
    plan = plan_rerun(annotated, out="out")
    assert plan.changed == () and str(tmp_path / "genes.bed") in plan.arguments
    (tmp_path / "all.bed").write_text("one\t0\t140\n")
    assert [sentence.split()[0] for sentence in plan_rerun(annotated, out="out").changed] == ["all.bed"]


def test_genes_to_be_found_are_no_file(toy):
    assert VERBS["scan"].options["--genes"].word == PREDICT
    said = {"fasta": Path("a.fa"), "out": "o", "model": toy}
    assert "predict" in run_arguments("scan", **said, genes=PREDICT)
    assert VERBS["scan"].named_files({**said, "genes": PREDICT}) == [("fasta", Path("a.fa"))]
    assert str(Path("g.bed").absolute()) in run_arguments("scan", **said, genes="g.bed")


def test_a_run_has_the_precision_that_it_had(toy, fasta, tmp_path, monkeypatch):
    monkeypatch.setattr(compute, "has_fast_bf16", lambda: True)
    classify_file(fasta, tmp_path / "c.csv", model=toy, precision="fp32")
    plan = plan_rerun(tmp_path / f"c.csv{RECORD_ENDING}", out=tmp_path / "again")
    assert plan.arguments[-2:] == ("--precision", "fp32") and plan.notes == ()
    saliency_file(fasta, tmp_path / "s.csv", model=toy, fills=2, precision="fp32")
    record = tmp_path / f"s.csv{RECORD_ENDING}"
    assert plan_rerun(record, out=tmp_path).notes == ("precision is bf16 here and was fp32 then.",)
    monkeypatch.setattr(compute, "has_fast_bf16", lambda: False)
    assert plan_rerun(record, out=tmp_path).notes == ()
    data = json.loads(record.read_text())
    record.write_text(json.dumps({**data, "compute": {"precision": "bfloat16"}}))
    assert plan_rerun(record, out=tmp_path).notes == ("precision is fp32 here and was bf16 then.",)


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


def test_a_language_model_with_a_folder_of_its_own_gets_another(tmp_path):
    (tmp_path / "a.fa").write_text(">a\nACGT\n")
    (tmp_path / "lm").mkdir()
    words = ["pretrain", str(tmp_path / "a.fa"), "--out", str(tmp_path / "lm")]
    record = {"record_version": 1, "command": "pretrain", "arguments": words, "inputs": [], "model": {}}
    (tmp_path / "run.json").write_text(json.dumps(record))
    out = tmp_path / "out"
    plan = plan_rerun(tmp_path / "run.json", out=out)
    assert plan.arguments[2:] == ("--out", str(out / "lm-again"), "--report", str(out))
    assert plan.record == out / "run.json"
    assert str(out / "new") in plan_rerun(tmp_path / "run.json", out=out, name="new").arguments


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
