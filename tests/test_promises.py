"""What the README and the package's front promise: commands, examples, names, versions."""

import ast
import os
import re
import shlex
import stat
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import click
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import genolm
from genolm import workspace
from genolm.bundle_config import config_facts
from genolm.cards import render_card
from genolm.cli import commands
from pages.shared import scores

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXAMPLE_MODEL = "ecoli-promoter"


def example(name):
    """Return the code of the README's example of this name."""
    return re.search(rf"<!-- example: {name} -->\n```\w+\n(.*?)```", README, re.DOTALL).group(1)


def all_commands(group=commands, path=()):
    """Return the words of every command, groups too."""
    for name, command in group.commands.items():
        yield (*path, name)
        if isinstance(command, click.Group):
            yield from all_commands(command, (*path, name))


def dependencies():
    # The pins hold the extras onnx and genes too, so that the app offers them and the tests run them.
    extras = PROJECT["optional-dependencies"]
    lines = [*PROJECT["dependencies"], *extras["onnx"], *extras["genes"]]
    return {canonicalize_name(item.name): item for item in map(Requirement, lines)}


def pins():
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    return {canonicalize_name(item.name): item for item in map(Requirement, filter(None, lines))}


@pytest.fixture
def example_folder(tmp_path):
    """A folder to run an example in, with the assets that the README's reader has."""
    assert (workspace.builtin_models_dir() / EXAMPLE_MODEL / "config.json").exists()
    (tmp_path / "assets").symlink_to(ROOT / "assets")
    return tmp_path


@pytest.mark.parametrize("words", list(all_commands()), ids=" ".join)
def test_every_command_is_in_the_readme(words):
    if len(words) == 1:
        assert f"`genolm {words[0]}" in README
    else:
        row = next(line for line in README.splitlines() if line.startswith(f"| `genolm {words[0]} "))
        assert f"`{words[1]}`" in row or f"{words[0]} {words[1]}`" in row


def test_the_main_options_are_in_the_readme():
    for option in ("--model", "--out", "--base", "--name", "--json", "--port", "--no-browser", "--bedgraph"):
        assert option in README


def test_help_is_instant():
    program = """
import sys, time
from click.testing import CliRunner
from genolm.cli import commands
def show(command, words):
    ran = CliRunner().invoke(commands, [*words, "--help"])
    assert ran.exit_code == 0 and ran.output.startswith("Usage: "), words
    for name, inner in getattr(command, "commands", {}).items():
        show(inner, [*words, name])
show(commands, [])
heavy = {"torch", "numpy", "pandas", "scipy", "sklearn", "numba", "streamlit", "safetensors"}
print(sorted(heavy & set(sys.modules)), time.process_time() < 2.0)
"""
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == "[] True"


def test_import_is_instant_and_has_every_name():
    program = (
        "import sys, genolm; print(len({'torch', 'numpy', 'pandas'} & set(sys.modules)), *genolm.__all__)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    heavy, *names = ran.stdout.split()
    assert heavy == "0"
    assert names == genolm.__all__
    for name in names:
        value = getattr(genolm, name)
        assert name == "__version__" or value.__doc__, name
    assert set(names) <= set(dir(genolm))
    with pytest.raises(AttributeError, match="has no attribute 'no_such_name'"):
        _ = genolm.no_such_name


def test_exported_names_only_grow():
    assert {
        "BundleConfig",
        "GenolmError",
        "KmerTokenizer",
        "Prediction",
        "Predictor",
        "Region",
        "Saliency",
        "ScanResult",
        "Track",
        "call_peaks",
        "cancel_job",
        "classify_file",
        "evaluate_table",
        "export_bundle",
        "find_bundle",
        "finetune",
        "get_job",
        "import_bundle",
        "list_bundles",
        "list_jobs",
        "load_bundle",
        "open_fasta",
        "parse_region",
        "parse_sequences",
        "perturbation_saliency",
        "pretrain",
        "read_table",
        "remove_bundle",
        "reverse_complement",
        "saliency_file",
        "save_bundle",
        "scan_file",
        "scan_genome",
        "start_job",
        "write_fasta",
    } <= set(genolm.__all__)


def test_the_command_line_example_runs(example_folder):
    # The function stands for the console script, so that the checkout's own code is run.
    script = f'genolm() {{ {shlex.quote(sys.executable)} -m genolm "$@"; }}\n{example("cli")}'
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=example_folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    assert (example_folder / "lac_scan" / "calls.csv").exists()


def test_the_python_example_runs(example_folder):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(
        [sys.executable, "-c", example("python")],
        cwd=example_folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    assert "contig" in ran.stdout


def test_the_two_commands_are_single_lines_of_a_shell():
    lines = re.findall(r"```bash\n(python3 -m venv[^\n]*)\n```", README)
    assert len(lines) == 2
    assert lines[0].endswith("genolm app")
    assert lines[1].endswith("python -m pytest -n 2 --dist loadfile")
    assert README.index(lines[1]) < README.index("## ")
    assert lines[1] in (ROOT / ".ci" / "run").read_text()
    assert (ROOT / ".ci" / "run").stat().st_mode & stat.S_IXUSR
    for line in [*lines, (ROOT / ".ci" / "run").read_text()]:
        subprocess.run(["bash", "-n", "-c", line], check=True)


def test_every_link_of_the_readme_leads_somewhere():
    for text in (README, (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")):
        for target in re.findall(r"\]\(([^)#]+)\)", text):
            assert "://" in target or (ROOT / target).exists(), target


def test_pins_are_what_the_project_allows():
    assert set(pins()) == set(dependencies())
    for name, pin in pins().items():
        (specifier,) = pin.specifier
        assert specifier.operator == "=="
        assert dependencies()[name].specifier.contains(specifier.version), name
    assert str(pins()["torch"].specifier) == "==2.13.0"


def test_what_is_imported_is_declared():
    declared = {*dependencies(), "genolm", "ray"}
    # These come with streamlit, which chooses their versions; the app only meets them through it.
    declared |= {"starlette", "itsdangerous", "uvicorn", "anyio"}
    homes = packages_distributions()
    for path in [ROOT / "app.py", *(ROOT / "genolm").rglob("*.py"), *(ROOT / "pages").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                names = [node.module] if isinstance(node, ast.ImportFrom) else []
            for top in {name.partition(".")[0] for name in names} - {
                "genolm",
                "pages",
                *sys.stdlib_module_names,
            }:
                assert {canonicalize_name(home) for home in homes.get(top, [top])} & declared, (
                    f"{path}: {top}"
                )


def test_the_version_is_in_the_changelog():
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## (Unreleased|{re.escape(genolm.__version__)})", changelog, re.MULTILINE)


def test_the_page_of_each_built_in_card_is_made_of_the_card():
    for info in genolm.list_bundles():
        if info.builtin:
            bundle = genolm.load_bundle(info.name)
            page = render_card(bundle.card, facts=config_facts(bundle.config))
            assert (bundle.path / "card.md").read_text(encoding="utf-8") == page, info.name


def test_the_readme_tells_of_each_built_in_model_what_its_card_says():
    table = README.split("<!-- models -->")[1].split("<!-- /models -->")[0]
    for info in genolm.list_bundles():
        if info.builtin:
            name, value = scores.best_baseline(info.card, scores.headline_metric(info.card))
            assert f"| `{info.name}` | {info.config.purpose} | {info.headline} | {value:.3f} ({name}) |" in table
