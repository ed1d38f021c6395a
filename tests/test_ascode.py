"""As code: the command and the Python that are shown do what the arguments do."""

import inspect
import json
import shlex
from importlib import import_module
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import genolm
from genolm.ascode import command_arguments, parse_arguments, python_code, shell_command
from genolm.cli import commands
from genolm.config import FinetuneSettings
from genolm.errors import SettingsError
from genolm.registry import import_bundle
from genolm.verbs import VERBS

NOT_SHOWN = {"--json", "--plan"}
RUNS = {
    "classify": [["classify", "a.fa", "--model", "m", "--out", "o.csv", "--precision", "fp32"]],
    "saliency": [
        ["saliency", "a.fa", "--model", "m", "--out", "o.csv"],
        ["saliency", "a.fa", "-m", "m", "--out", "o.csv", "--strand", "-", "--fills", "3", "--seed", "9"]
        + ["--class", 'a "strange" class\\', "--threads", "2"],
    ],
    "scan": [
        ["scan", "a b.fa", "--model", "m", "--out", ".", "--stride", "20", "--threshold", "0.9"],
        ["scan", "--model=m", "-o", "out", "a.fa", "--contig", "one", "--contig", "two", "--bedgraph"]
        + ["--strand", "+", "--merge-distance", "30", "--class", "x"],
    ],
    "evaluate": [
        ["evaluate", "m", "t.csv", "--split", "test", "--precision", "bf16"],
        ["evaluate", "m", "t.csv", "--column", "sequence=dna", "--skip-bad-rows"],
    ],
    "compare": [
        ["compare", "a", "b", "t.csv", "--split", "test", "--draws", "500", "--out", "x.json"],
        ["compare", "a", "b", "t.csv", "--column", "sequence=dna", "--column", "label=x", "--skip-bad-rows"],
    ],
    "pretrain": [["pretrain", "a.fa", "b.fa", "--out", "lm", "--k", "4", "--tokens", "1000", "--base", "x"]],
    "finetune": [
        ["finetune", "t.csv", "--base", "lm", "--name", "new"],
        ["finetune", "t.csv", "--base", "lm", "--name", "new", "--column", "sequence=dna", "--effort", "best"]
        + ["--column", "label=my class", "--skip-bad-rows", "--task", "binary", "--positive", "yes"]
        + ["--split", "random", "--no-adapt", "--seeds", "2", "--balance", "--mirrored", "--shifted", "--trimmed"]
        + ["--no-framed", "--slots", "0"]
        + ["--lr", "0.001", "--drop-mult", "0.3", "--batch-size", "32", "--epochs", "2", "--search", "1.5", "--reduction"]
        + ["--no-watchdog", "--from-scratch", "--preset", "tiny", "--seed", "7", "--report", "report"],
    ],
}
ALL_RUNS = [
    pytest.param(run, id=f"{run[0]}-{number}") for runs in RUNS.values() for number, run in enumerate(runs)
]


class Stop(Exception):
    """Ends a command where its work would begin."""


@pytest.fixture
def seen(monkeypatch):
    """What each function behind a command was called with, its work left out; settings as they are."""
    found = []
    for verb in VERBS.values():
        real = getattr(genolm, verb.function)

        def note(*values, real=real, **named):
            bound = inspect.signature(real).bind(*values, **named)
            bound.apply_defaults()
            options = bound.arguments.pop("options", {})
            found.append({**bound.arguments, **options})
            raise Stop

        monkeypatch.setattr(import_module(real.__module__), verb.function, note)
        monkeypatch.setattr(genolm, verb.function, note)
    return found


def comparable(values, verb):
    """Return a call's values with paths as text and what only repeats a default left out."""
    made = {}
    for key, value in values.items():
        if key == "progress":
            continue
        if isinstance(value, list | tuple):
            value = tuple(str(item) for item in value)
        if key == "settings" and value is None and verb.settings[0]:
            value = getattr(import_module(verb.settings[0]), verb.settings[1])()
        made[key] = str(value) if isinstance(value, Path) else value
    usual = ("precision", "auto")
    return {key: value for key, value in made.items() if value is not None and (key, value) != usual}


@pytest.mark.parametrize("arguments", ALL_RUNS)
def test_command_and_python_call_the_function_in_the_same_way(seen, arguments):
    verb = VERBS[arguments[0]]
    words = shlex.split(shell_command(arguments).replace("\\\n", " "))
    assert words[0] == "genolm"
    for line in (arguments, words[1:]):
        ran = CliRunner().invoke(commands, line)
        assert isinstance(ran.exception, Stop), ran.output
    with pytest.raises(Stop):
        exec(python_code(arguments), {})
    first, again, python = (comparable(values, verb) for values in seen)
    assert first == again == python
    rebuilt = command_arguments(arguments[0], **parse_arguments(arguments).values)
    assert parse_arguments(rebuilt) == parse_arguments(arguments)


@pytest.mark.parametrize("name", VERBS)
def test_the_table_has_every_option_of_the_command(name):
    verb = VERBS[name]
    options = [item for item in commands.commands[name].params if isinstance(item, click.Option)]
    words = {flag for item in options for flag in (*item.opts, *item.secondary_opts) if flag.startswith("--")}
    ours = {*verb.options, *(option.off for option in verb.options.values() if option.off)}
    assert words - NOT_SHOWN == ours
    flags = {flag: item for item in options for flag in item.opts}
    for flag, option in verb.options.items():
        assert flags[flag].is_flag == (option.read is bool), flag
        assert flags[flag].multiple == option.many, flag


def test_settings_are_reached_by_options():
    """Every setting of a training can be given on the command line, with the same default."""
    options = {option.keyword: option for option in VERBS["finetune"].options.values() if option.setting}
    for name, default in vars(FinetuneSettings()).items():
        if options[name].many:
            continue
        assert options[name].default == default, name


def test_paths_are_called_as_the_user_knows_them():
    arguments = ["scan", "/home/x/up/genome one.fa", "--model", "m", "--out", ".", "--stride", "5"]
    names = {"/home/x/up/genome one.fa": "genome one.fa", ".": "my_scan"}
    assert shell_command(arguments, paths=names) == (
        "genolm scan 'genome one.fa' --model m --out my_scan --stride 5"
    )
    assert python_code(arguments, paths=names) == (
        'import genolm\n\nscan = genolm.scan_file("genome one.fa", "my_scan", model="m", stride=5)\n'
        "print(scan.calls)"
    )
    assert "/home" not in shell_command(arguments, paths=names) + python_code(arguments, paths=names)


def test_a_long_command_is_broken_at_its_options():
    lines = shell_command(RUNS["finetune"][1]).split(" \\\n")
    assert len(lines) > 2 and all(len(line) <= 88 for line in lines)
    assert all(line.startswith("    --") for line in lines[1:])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["dance"], "cannot be shown"),
        (["scan", "a.fa", "--colour", "red"], "no option --colour"),
        (["scan", "a.fa", "--model"], "lacks its value"),
        (["scan", "--model", "m"], "expected"),
    ],
)
def test_what_is_no_command_is_refused(arguments, words):
    with pytest.raises(SettingsError, match=words):
        parse_arguments(arguments)


def run_as(language, arguments, names):
    """Run what is shown, as a shell or a Python would."""
    if language == "python":
        exec(python_code(arguments, paths=names), {})
        return
    words = shlex.split(shell_command(arguments, paths=names).replace("\\\n", " "))
    ran = CliRunner().invoke(commands, words[1:])
    assert ran.exit_code == 0, ran.output


def test_a_scan_as_command_and_as_python_gives_the_same_files(
    toy_bundle_path, tmp_path, make_dna, monkeypatch
):
    import_bundle(toy_bundle_path)
    (tmp_path / "two.fa").write_text(f">one\n{make_dna(400)}\n>two\n{make_dna(300)}\n")
    arguments = ["scan", "/elsewhere/two.fa", "--model", "toy-promoter", "--out", ".", "--stride", "7"]
    arguments += ["--threshold", "0.45", "--contig", "two"]
    names = {"/elsewhere/two.fa": "../two.fa", ".": "here"}
    results = []
    for language in ("shell", "python"):
        (tmp_path / language).mkdir()
        monkeypatch.chdir(tmp_path / language)
        run_as(language, arguments, names)
        results.append({path.name: path.read_bytes() for path in Path("here").iterdir()})
    records = [json.loads(result.pop("run.json")) for result in results]
    assert results[0] == results[1] and len(results[0]) == 5
    assert records[0]["outputs"] == records[1]["outputs"]
    assert records[0]["settings"] == records[1]["settings"]


def test_a_training_as_command_and_as_python_gives_the_same_model(
    toy_language_model_path, tmp_path, make_dna, monkeypatch
):
    monkeypatch.setenv("GENOLM_THREADS", "1")
    rows = [f"{make_dna(30)}{'TATAAT' * (number % 2)}{make_dna(30)},{number % 2}" for number in range(60)]
    (tmp_path / "sites.csv").write_text("dna,label\n" + "\n".join(rows) + "\n")
    arguments = ["finetune", "/elsewhere/sites.csv", "--base", "toy-lm", "--name", "mine", "--epochs", "1"]
    arguments += ["--column", "sequence=dna", "--split", "random", "--fractions", "0.5,0.25,0.25"]
    arguments += ["--mirrored", "--no-watchdog", "--report", "report"]
    names = {"/elsewhere/sites.csv": str(tmp_path / "sites.csv")}
    made = []
    for language in ("shell", "python"):
        folder = tmp_path / language
        folder.mkdir()
        monkeypatch.chdir(folder)
        monkeypatch.setenv("GENOLM_HOME", str(folder / "home"))
        import_bundle(toy_language_model_path)
        run_as(language, arguments, names)
        record = json.loads((folder / "report" / "run.json").read_text())
        assert parse_arguments(record["arguments"]).values["columns"] == (("sequence", "dna"),)
        weights = (folder / "home" / "models" / "mine" / "model.safetensors").read_bytes()
        made.append((weights, (folder / "report" / "predictions.csv").read_bytes()))
    assert made[0] == made[1]
