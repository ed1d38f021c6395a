"""Runs of a recipe that were cut off, changed in between, damaged, or asked for what there is not."""

import json
import shutil

import numpy as np
import pytest
from click.testing import CliRunner

from genolm import recipe_networks
from genolm.cli import commands
from genolm.errors import GenolmError
from genolm.recipe_answers import write_answers
from genolm.recipe_config import find_recipe
from genolm.recipe_into import write_into
from genolm.recipe_limits import Limits
from genolm.registry import load_bundle
from genolm.workspace import exclusive
from tests.test_recipe_run import run_elsewhere, toy_recipe

PRETRAINED = Limits(("easy",), ("pretrained",), 1)
NETWORK = "toy-easy-pretrained-seed1"


@pytest.fixture
def folder(tmp_path, toy_language_model_path):
    return toy_recipe(tmp_path, toy_language_model_path)


def changed(folder, *pairs):
    """Write other words into the toy recipe."""
    path = folder / "toy.toml"
    text = path.read_text()
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)


def with_twin(folder):
    """Let the toy recipe have a protocol with the same training and validation rows as "easy"."""
    changed(folder, ("rows = 120 }", "rows = 120, again = true }"))
    changed(folder, ("[methods.naive]", '[protocols.again]\ntitle = "Again"\n[methods.naive]'))


def cut_after_training(tmp_path, protocol="easy"):
    """Take away what a finished step left but for its network."""
    for path in (tmp_path / "one" / "toy" / "steps").glob(f"{protocol}-pretrained-seed1.*"):
        path.unlink()
    return tmp_path / "one" / "toy" / "models" / f"toy-{protocol}-pretrained-seed1"


def test_a_network_without_its_step_is_taken_only_with_the_same_rows_and_settings(folder, tmp_path, monkeypatch):
    first, _ = run_elsewhere(folder, tmp_path, machine="one", limits=PRETRAINED)
    network = cut_after_training(tmp_path)
    changed(folder, ("epochs = 1", "epochs = 2"))
    message = rf"{NETWORK} is of a training with epochs = 1, the recipe wants 2: remove it, or name another --out"
    with pytest.raises(GenolmError, match=message):
        run_elsewhere(folder, tmp_path, machine="one", limits=PRETRAINED)
    changed(folder, ("epochs = 2", "epochs = 1"), ("rows = 120", "rows = 130"))
    for told in (True, False):
        # Without the file, as of an older genolm, the card tells of the rows.
        if not told:
            network.with_name(f"{NETWORK}.begun.json").unlink()
        with pytest.raises(GenolmError, match=rf"{NETWORK} is of a training with the table = \w+, the recipe wants"):
            run_elsewhere(folder, tmp_path, machine="one", limits=PRETRAINED)
        assert not list((tmp_path / "one" / "toy" / "steps").glob("easy-pretrained*"))
    changed(folder, ("rows = 130", "rows = 120"))
    monkeypatch.setattr("genolm.recipe_work.finetune", None)
    found, _ = run_elsewhere(folder, tmp_path, machine="one", limits=PRETRAINED)
    assert found["scores"] == first["scores"]


def test_a_copied_network_is_whole_or_not_there(folder, tmp_path, monkeypatch):
    with_twin(folder)
    run_elsewhere(folder, tmp_path, machine="one", limits=PRETRAINED)
    monkeypatch.setattr("genolm.recipe_work.finetune", None)
    again, copy = Limits(("again",), ("pretrained",), 1), shutil.copytree

    def cut(source, target):
        target.mkdir()
        shutil.copy(source / "card.json", target)
        raise KeyboardInterrupt

    monkeypatch.setattr(recipe_networks.shutil, "copytree", cut)
    with pytest.raises(KeyboardInterrupt):
        run_elsewhere(folder, tmp_path, machine="one", limits=again)
    models = tmp_path / "one" / "toy" / "models"
    assert not (models / "toy-again-pretrained-seed1").exists()
    monkeypatch.setattr(recipe_networks.shutil, "copytree", copy)
    found, _ = run_elsewhere(folder, tmp_path, machine="one", limits=again)
    assert len(found["scores"]["again"]["pretrained"]["seeds"]) == 1
    assert load_bundle(models / "toy-again-pretrained-seed1").sha256 == load_bundle(models / NETWORK).sha256
    assert not list(models.glob(".*copy"))
    # An older genolm did not tell of what it copied; its card has the rows of the other protocol.
    cut_after_training(tmp_path, "again").with_name("toy-again-pretrained-seed1.begun.json").unlink()
    assert run_elsewhere(folder, tmp_path, machine="one", limits=again)[0]["scores"] == found["scores"]


def test_half_a_network_may_be_removed(folder, tmp_path):
    run_elsewhere(folder, tmp_path, machine="one", limits=PRETRAINED)
    network = cut_after_training(tmp_path)
    (network / "config.json").unlink()
    with pytest.raises(GenolmError, match=rf"not a whole bundle\. Remove .*{NETWORK} and run the recipe again"):
        run_elsewhere(folder, tmp_path, machine="one", limits=PRETRAINED)
    shutil.rmtree(network)
    assert run_elsewhere(folder, tmp_path, machine="one", limits=PRETRAINED)[0]["scores"]["easy"]["pretrained"]


def test_what_another_run_wrote_at_the_very_end_stays(folder, tmp_path):
    recipe, path = find_recipe(folder, "toy"), tmp_path / "toy.json"
    baseline, naive = (Limits(("easy",), (key,)) for key in ("kmer-logistic", "naive"))
    run_elsewhere(folder, tmp_path, machine="one", limits=baseline, earlier=path)
    run_elsewhere(folder, tmp_path, machine="two", limits=naive, earlier=path)
    for machine in ("one", "two"):
        write_into(path, tmp_path / machine / "toy" / "result.json", recipe)
    both = json.loads(path.read_text())
    assert set(both["scores"]["easy"]) == {"kmer-logistic", "naive"}
    assert "Easy: From scratch, seed 1" not in both["missing"]
    # Once more it is the same, byte for byte.
    written = path.read_bytes()
    write_into(path, tmp_path / "two" / "toy" / "result.json", recipe)
    assert path.read_bytes() == written


def test_wrong_folders_are_told_before_the_work(folder, tmp_path):
    common = ["recipe", "run", "toy", "--recipes", str(folder), "--data", str(tmp_path / "data")]
    common += ["--out", str(tmp_path / "runs"), "--method", "kmer-logistic"]
    (tmp_path / "file").write_text("")
    changed(folder, ("[model]", "[model_]"))
    text = (folder / "toy.toml").read_text()
    (folder / "toy.toml").write_text(text[: text.index("[model_]")])
    for option, place, words in (
        ("--publish", "made", "makes no built-in model"),
        ("--into", "file", "cannot be made"),
    ):
        ran = CliRunner().invoke(commands, [*common, option, str(tmp_path / place)])
        assert ran.exit_code == 2 and words in ran.stderr and not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("protocols", "method"), [(("too_hard",), "naive"), (("easy", "too_hard"), "frame-logistic"), ((), "cnn")]
)
def test_a_method_that_nothing_does_is_refused(folder, tmp_path, protocols, method):
    under = " or ".join(protocols) or "easy or too_hard"
    with pytest.raises(GenolmError, match=rf"the method '{method}' is not run under {under}; .*kmer-logistic are"):
        run_elsewhere(folder, tmp_path, machine="one", limits=Limits(protocols, (method,)))
    # Where the recipe names its baselines that is known before anything is made.
    assert not (tmp_path / "one").exists()
    changed(folder, ('names = ["kmer-logistic"]\n', ""), ("[baselines]\n", ""))
    if method != "cnn":
        with pytest.raises(GenolmError, match=rf"the method '{method}' is not run under {under}; "):
            run_elsewhere(folder, tmp_path, machine="one", limits=Limits(protocols, (method,)))
        assert not list((tmp_path / "one" / "toy" / "steps").iterdir())


def test_a_recipe_is_run_once_at_a_time(folder, tmp_path):
    with exclusive(tmp_path / "one" / "toy", "toy"):
        message = "The recipe 'toy' is running in .*toy already; wait for its end or name another --out"
        with pytest.raises(GenolmError, match=message):
            run_elsewhere(folder, tmp_path, machine="one")


def test_a_result_that_is_not_there_is_told_with_those_that_are():
    ran = CliRunner().invoke(commands, ["recipe", "report", "nosuch"])
    assert ran.exit_code == 2 and "no result of a recipe 'nosuch'" in ran.stderr and "rna-coding" in ran.stderr


STEP = "easy-kmer-logistic-seed1"


def _without(key):
    return lambda figures, arrays: figures["steps"][STEP].pop(key)


def _shorter(ending):
    def cut(_figures, arrays):
        arrays[STEP + ending] = arrays[STEP + ending][:-3]

    return cut


def _unknown(_figures, arrays):
    arrays[f"{STEP}/test"][0] = np.nan


DAMAGES = {
    "place": _without("place"),
    "threshold": _without("threshold"),
    "figures are a list": lambda figures, arrays: figures.update(steps=[1]),
    "a step is a number": lambda figures, arrays: figures["steps"].update({STEP: 3}),
    "no answers": lambda figures, arrays: arrays.pop(f"{STEP}/test"),
    "test rows": _shorter("/test"),
    "validation rows": _shorter("/valid"),
    "not a number": _unknown,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_nothing_of_a_damaged_file_of_answers_is_taken_up(folder, tmp_path, damage):
    kept = tmp_path / "answers"
    limits = Limits(("easy", "too_hard"), ("kmer-logistic",))
    run_elsewhere(folder, tmp_path, machine="one", limits=limits, answers=kept)
    path = kept / "toy.npz"
    with np.load(path) as held:
        arrays = {key: held[key] for key in held.files}
    figures = json.loads(str(arrays.pop("figures")))
    damage(figures, arrays)
    np.savez(path, figures=np.array(json.dumps(figures)), **arrays)
    with pytest.raises(GenolmError, match=r"toy\.npz is no file of answers \(.+\); remove it, or name another --answers"):
        run_elsewhere(folder, tmp_path, machine="two", limits=limits, answers=kept)
    assert not list((tmp_path / "two" / "toy" / "steps").iterdir())
    path.unlink()
    write_answers(path, [])
    run_elsewhere(folder, tmp_path, machine="two", limits=limits, answers=kept)
