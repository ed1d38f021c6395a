"""The command line: every command on toy data, the output contract, errors as one sentence."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

import genolm
from genolm import jobs, registry, workspace
from genolm.cli import app, commands
from genolm.cli.reporting import clock
from genolm.progress import Progress

ROOT = Path(__file__).parents[1]


@pytest.fixture
def call():
    """A function that runs a command in this process and returns its result."""
    return lambda *arguments, **more: CliRunner().invoke(commands, [str(item) for item in arguments], **more)


@pytest.fixture
def no_builtin(tmp_path, monkeypatch):
    """No built-in models."""
    monkeypatch.setattr(workspace, "builtin_models_dir", lambda: tmp_path / "none")


@pytest.fixture
def toy(no_builtin, toy_bundle_path):
    """The name of a classifier in the workspace."""
    return registry.import_bundle(toy_bundle_path).name


@pytest.fixture
def fasta(tmp_path, make_dna):
    """A file of three records: 60, 60 and 200 bp."""
    path = tmp_path / "three.fa"
    path.write_text("".join(f">r{size}_{i} text\n{make_dna(size)}\n" for i, size in enumerate((60, 60, 200))))
    return path


def sentence(result):
    """Return the one line of a user's error."""
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    *progress, last = result.stderr.strip().splitlines()
    assert not any(line.startswith(("Error", "Usage", "Traceback")) for line in progress)
    assert last.startswith("Error: ")
    return last.removeprefix("Error: ")


def test_classify_keeps_the_contract(call, toy, fasta, tmp_path):
    for name in ("out.csv", "out.tsv", "out.json"):
        result = call("classify", fasta, "--model", toy, "--out", tmp_path / name)
        assert result.exit_code == 0, result.output
        assert result.stdout == ""
        assert str(tmp_path / name) in result.stderr
        assert "Warning: 1 of 3 records is not 60 bp long, as the pieces were" in result.stderr
    frame = pd.read_csv(tmp_path / "out.csv")
    assert list(frame.columns) == ["record", "length", "predicted", "p_other", "p_promoter"]
    assert list(frame["record"]) == ["r60_0", "r60_1", "r200_2"]
    assert list(frame["length"]) == [60, 60, 200]
    np.testing.assert_allclose(frame["p_other"] + frame["p_promoter"], 1, atol=1e-5)
    pd.testing.assert_frame_equal(frame, pd.read_csv(tmp_path / "out.tsv", sep="\t"))
    assert json.loads((tmp_path / "out.json").read_text())[2]["record"] == "r200_2"


def test_classify_says_on_which_strand_reads_of_unknown_strand_were_read(call, toy, fasta, tmp_path):
    result = call("classify", fasta, "--model", toy, "--out", tmp_path / "e.csv", "--strand", "either")
    frame = pd.read_csv(tmp_path / "e.csv")
    assert list(frame.columns) == ["record", "length", "strand", "predicted", "p_other", "p_promoter"]
    assert f"{(frame['strand'] == '-').sum()} of 3 read on the minus strand." in result.stderr
    refused = call("classify", fasta, "--model", toy, "--out", tmp_path / "e.csv", "--strand", "both")
    assert refused.exit_code == 2 and "'both' is not one of '+', '-', 'either'" in refused.output


def test_saliency_keeps_the_contract(call, toy, fasta, tmp_path):
    short = tmp_path / "one.fa"
    short.write_text("\n".join(fasta.read_text().splitlines()[:2]) + "\n")
    options = ("--strand", "-", "--fills", "2", "--class", "promoter", "--json")
    result = call("saliency", short, "--model", toy, "--out", tmp_path / "s.csv", *options)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["files"] == [str(tmp_path / "s.csv")]
    frame = pd.read_csv(tmp_path / "s.csv")
    assert list(frame.columns) == ["record", "position", "base", "strand", "score", "low", "high"]
    assert list(frame["position"]) == list(range(60))
    assert set(frame["strand"]) == {"-"}


def test_scan_keeps_the_contract(call, toy, fasta, tmp_path):
    options = ("--stride", "5", "--threshold", "0.2", "--contig", "r200_2", "--bedgraph", "--json")
    result = call("scan", fasta, "--model", toy, "--out", tmp_path / "scan", *options)
    assert result.exit_code == 0, result.output
    files = {item.name for item in (tmp_path / "scan").iterdir()}
    assert {"calls.csv", "calls.bed", "calls.gff3", "scores_plus.bw", "scores_minus.bw", "run.json"} <= files
    assert {"scores_plus.bedgraph", "scores_minus.bedgraph"} <= files
    assert set(json.loads(result.stdout)) == {"files", "records", "seconds", "summary"}
    frame = pd.read_csv(tmp_path / "scan" / "calls.csv")
    assert list(frame.columns) == ["contig", "start", "end", "strand", "summit", "score"]
    settings = json.loads((tmp_path / "scan" / "run.json").read_text())["settings"]
    assert (settings["stride"], settings["threshold"]) == (5, 0.2)


def test_evaluate_prints_and_writes_json(call, toy, make_dna, tmp_path):
    table = tmp_path / "table.csv"
    rows = [
        f"{make_dna(60)},{label},{split}"
        for label in ("other", "promoter")
        for split in ("test", "train") * 4
    ]
    table.write_text("sequence,label,split\n" + "\n".join(rows) + "\n")
    result = call("evaluate", toy, table, "--split", "test")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[0].split() == ["SCORE", "VALUE", "LOW", "HIGH"]
    assert "AUROC" in result.stdout
    result = call("evaluate", toy, table, "--json")
    metrics = json.loads(result.stdout)["metrics"]
    assert {"accuracy", "precision", "recall", "mcc", "auroc", "auprc", "ece"} <= set(metrics)
    assert set(metrics["mcc"]) == {"value", "low", "high"}


def test_models_from_import_to_removal(call, no_builtin, toy_bundle_path, tmp_path):
    assert call("models", "import", toy_bundle_path, "--name", "mine").exit_code == 0
    listed = call("models", "list").stdout.splitlines()
    assert listed[0].split() == ["NAME", "KIND", "FROM", "SCORE", "WHAT"]
    assert listed[1].split()[:3] == ["mine", "classifier", "yours"]
    shown = call("models", "show", "mine")
    assert shown.stdout.startswith("# Toy promoters\n")
    assert "60 bp, TSS at base 41" in shown.stdout
    assert json.loads(call("models", "show", "mine", "--json").stdout)["config"]["window"]["anchor"] == 40
    assert call("models", "export", "mine", tmp_path / "mine.zip").exit_code == 0
    assert "There already is a model 'mine'" in sentence(call("models", "import", tmp_path / "mine.zip"))
    assert call("models", "import", tmp_path / "mine.zip", "--name", "mine", "--replace").exit_code == 0
    asked = call("models", "remove", "mine")
    assert asked.exit_code == 2 and "There is nobody to ask; --yes goes on without the question." in asked.stderr
    asked = call("models", "remove", "mine", input="n\n")
    assert asked.exit_code == 0 and "The model mine stays." in asked.stderr
    assert (workspace.models_dir() / "mine").is_dir()
    assert call("models", "remove", "mine", "--yes").exit_code == 0
    assert json.loads(call("models", "list", "--json").stdout) == []


@pytest.mark.parametrize("name", ["a b", "toy-promoter"])
def test_a_plan_refuses_the_name_that_the_training_would(call, toy, toy_language_model_path, tmp_path, name):
    registry.import_bundle(toy_language_model_path)
    table, fasta = tmp_path / "table.csv", tmp_path / "one.fa"
    rows = [f"{'A' * 20 if i % 2 else 'C' * 20},{i % 2}" for i in range(80)]
    table.write_text("sequence,label\n" + "\n".join(rows) + "\n")
    fasta.write_text(f">one\n{'ACGT' * 8_000}\n")
    for words in (["finetune", table, "--base", "toy-lm"], ["pretrain", fasta]):
        asked = call(*words, "--name", name, "--plan")
        assert asked.exit_code == 2 and ("letters" in asked.stderr or "already" in asked.stderr), asked.stderr
    asked = call("pretrain", fasta, "--name", "one", "--out", tmp_path / "one", "--plan")
    assert asked.exit_code == 2 and "either a name or a folder" in asked.stderr


def test_options_that_a_base_makes_idle_are_told(call, toy, toy_language_model_path, tmp_path):
    registry.import_bundle(toy_language_model_path)
    fasta = tmp_path / "one.fa"
    fasta.write_text(f">one\n{'ACGT' * 8_000}\n")
    told = call("pretrain", fasta, "--base", "toy-lm", "--k", "5", "--stride", "1", "--plan", "--json")
    assert "Note: --k and --stride not used; k, stride and sizes are those of toy-lm." in told.stderr
    assert json.loads(told.stdout)["plan"]["settings"]["stride"] == 2
    assert "not used" not in call("pretrain", fasta, "--k", "2", "--stride", "2", "--plan").stderr


def test_a_model_in_use_is_removed_by_force_alone(call, toy, monkeypatch):
    arguments = ("classify", "/data/a.fa", "--model", toy)
    job = jobs.Job("ab" * 16, "classify", "A job", arguments, workspace.home(), "2026-01-01T00:00:00Z", "running")
    monkeypatch.setattr(registry, "list_jobs", lambda: [job])
    assert "in use by 1 open job: classify abababababab (running)" in sentence(call("models", "remove", toy, "--yes"))
    assert call("models", "remove", toy, "--yes", "--force").exit_code == 0
    assert json.loads(call("models", "list", "--json").stdout) == []


def test_jobs_are_listed_shown_and_removed(call):
    job = jobs.wait_for_job(jobs.start_job("models", ["models", "list"], title="My job").id, timeout=60)
    assert call("jobs", "list").stdout.splitlines()[1].split()[:2] == [job.id[:12], "done"]
    assert json.loads(call("jobs", "list", "--json").stdout)[0]["state"] == "done"
    shown = call("jobs", "show", job.id[:6]).stdout
    assert "title:    My job" in shown
    assert str(job.result) in shown
    assert call("jobs", "log", job.id[:6]).stdout.startswith("NAME")
    assert "is done" in call("jobs", "cancel", job.id[:6]).stderr
    assert call("jobs", "remove", job.id[:6]).exit_code == 0
    assert "There is no job" in sentence(call("jobs", "show", job.id))


def test_a_command_as_a_job_reports_progress_and_leaves_its_result(toy_bundle_path, fasta):
    arguments = ["classify", str(fasta), "--model", str(toy_bundle_path), "--out", "out.csv"]
    job = jobs.start_job("classify", arguments, environment={"GENOLM_THREADS": "1"})
    job = jobs.wait_for_job(job.id, timeout=120)
    assert job.state == "done", job.log()
    assert len(pd.read_csv(job.result / "out.csv")) == 3
    assert job.progress.fraction == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["classify", "no.fa", "--model", "toy-promoter", "--out", "x.csv"], "no.fa"),
        (
            ["classify", "{fasta}", "--model", "toy-promotor", "--out", "x.csv"],
            "Did you mean 'toy-promoter'?",
        ),
        (
            ["classify", "{fasta}", "--model", "toy-promoter", "--out", "x.xlsx"],
            "must end in .csv, .tsv, .json",
        ),
        (["scan", "no.fa", "--model", "toy-promoter", "--out", "x"], "no.fa"),
        (["scan", "{fasta}", "--model", "toy-promoter", "--out", "{fasta}"], "three.fa"),
        (["saliency", "no.fa", "--model", "toy-promoter", "--out", "x.csv"], "no.fa"),
        (["evaluate", "toy-promoter", "no.csv"], "no.csv"),
        (["evaluate", "nothing", "no.csv"], "There is no model 'nothing'"),
        (["pretrain", "no.fa", "--out", "x"], "no.fa"),
        (["finetune", "no.csv", "--base", "toy-promoter", "--name", "new"], "no.csv"),
        (["models", "import", "no.zip"], "There is no bundle at no.zip"),
        (["models", "remove", "nothing"], "There is no model 'nothing'"),
    ],
)
def test_a_users_mistake_is_one_sentence(call, toy, fasta, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert message in sentence(call(*[item.format(fasta=fasta) for item in arguments]))


def test_the_exit_code_of_the_process_is_2():
    ran = subprocess.run(
        [sys.executable, "-m", "genolm", "models", "show", "nothing"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 2
    assert ran.stderr.startswith("Error: There is no model 'nothing'")
    assert ran.stdout == ""


def test_pretrain_passes_its_options_on(call, monkeypatch, tmp_path):
    from genolm import pretraining

    seen = {}
    monkeypatch.setattr(
        pretraining, "pretrain", lambda *given, **options: seen.update(given=given, **options)
    )
    options = (
        "--preset",
        "tiny",
        "--k",
        "4",
        "--stride",
        "2",
        "--tokens",
        "99",
        "--base",
        "b",
        "--seed",
        "5",
    )
    result = call("pretrain", "a.fa", "b.fa", "--out", tmp_path / "lm", *options)
    assert result.exit_code == 0, result.output
    assert seen["given"] == ((Path("a.fa"), Path("b.fa")), "")
    assert seen["out_dir"] == tmp_path / "lm"
    settings = seen["settings"]
    assert (settings.preset, settings.k, settings.stride, settings.tokens) == ("tiny", 4, 2, 99)
    assert (settings.seed, seen["base"]) == (5, "b")


def test_finetune_makes_a_model_that_can_be_used(
    call, no_builtin, toy_language_model_path, make_dna, tmp_path
):
    registry.import_bundle(toy_language_model_path)
    table = tmp_path / "table.csv"
    rows = [f"{'A' * 20 if i % 2 else 'C' * 20}{make_dna(40)},{'ac'[i % 2]}" for i in range(80)]
    table.write_text("sequence,label\n" + "\n".join(rows) + "\n")
    result = call("finetune", table, "--base", "toy-lm", "--name", "new", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["name"] == "new"
    assert registry.find_bundle("new").config.head.classes == ("a", "c")


def test_the_app_is_found_and_started_on_this_machine_only(call, monkeypatch):
    started = []
    monkeypatch.setattr(os, "execv", lambda program, arguments: started.append(arguments))
    told = call("app", "--no-browser", "--port", "8765")
    assert "genolm runs at http://127.0.0.1:8765 on this machine" in told.output
    line = started[0]
    assert line[:3] == [sys.executable, str(ROOT / "serve.py"), "run"]
    assert Path(line[3]) == ROOT / "app.py" == app.find_app()
    assert {"--server.headless=true", "--server.port=8765", "--server.showEmailPrompt=false"} <= set(line)
    assert "--logger.hideWelcomeMessage=true" in line
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setattr(app, "FIRST_PORT", taken.getsockname()[1])
        call("app")
    assert "--server.headless=false" in started[1]
    (port,) = (int(item.rpartition("=")[2]) for item in started[1] if item.startswith("--server.port="))
    assert port > app.FIRST_PORT
    assert 'address = "127.0.0.1"' in (ROOT / ".streamlit" / "config.toml").read_text()


@pytest.mark.parametrize(
    ("end", "code", "told"),
    [
        ("raise KeyboardInterrupt", 130, ""),
        ("raise SystemExit(3)", 3, ""),
        ("raise ValueError('no port')", 1, "no port"),
        ("return None", 0, ""),
    ],
)
def test_the_server_ends_without_waiting_for_what_its_threads_calculate(tmp_path, end, code, told):
    web = tmp_path / "streamlit" / "web"
    web.mkdir(parents=True)
    for package in (web.parent, web):
        (package / "__init__.py").touch()
    (web / "cli.py").write_text(
        "import time\nfrom concurrent.futures import ThreadPoolExecutor\n"
        f"def main(standalone_mode):\n ThreadPoolExecutor().submit(time.sleep, 600)\n {end}\n"
    )
    command = [sys.executable, str(ROOT / "serve.py"), "run", "app.py"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert ended.returncode == code
    assert told in ended.stderr and bool(told) == bool(ended.stderr)


def test_doctor_tells_what_there_is(call, toy):
    result = call("doctor", "--json")
    found = json.loads(result.stdout)
    assert found["genolm"] == genolm.__version__
    assert found["packages"]["torch"].startswith("2.")
    assert found["models"] == ["toy-promoter"]
    assert found["self_test"]["windows_per_second"] > 0
    assert (result.exit_code, found["problems"]) == (0, [])
    (workspace.models_dir() / toy / "card.json").unlink()
    result = call("doctor")
    assert result.exit_code == 1
    assert "problem:   Model toy-promoter: " in result.stdout


def test_bar_and_lines_say_what_is_left(monkeypatch, capsys):
    from genolm.cli.reporting import progress_reports

    report = Progress("scanning chr1", 25, 100, 30.0, {"loss": 1.23456}, pace=1.2)
    with progress_reports() as progress:
        progress(report)
        progress(report)
    assert capsys.readouterr().err == "scanning chr1: 25%, 1:30 left, loss 1.235\n"
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with progress_reports() as progress:
        progress(report)
    assert "scanning chr1  25%|######" in capsys.readouterr().err.replace("█", "#")


@pytest.mark.parametrize(("seconds", "text"), [(4.51, "4.5 s"), (75, "1:15"), (3723, "1:02:03")])
def test_clock(seconds, text):
    assert clock(seconds) == text
