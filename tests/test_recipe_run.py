"""Recipes: what a file may say, and a whole run on a generated table with a toy language model."""

import copy
import dataclasses
import hashlib
import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from scipy.special import expit, softmax
from sklearn.metrics import log_loss

from genolm import recipe_publish, recipe_run, recipe_work
from genolm.baselines import KmerLogistic
from genolm.bootstrap import paired_bootstrap
from genolm.calibration import either_odds, fit_calibration, fit_either
from genolm.cli import commands
from genolm.config import Window
from genolm.errors import GenolmError
from genolm.metrics import RULES, binary_metrics, statistic_for
from genolm.predict import Predictor
from genolm.recipe_answers import read_answers, write_answers
from genolm.recipe_config import RecipeError, find_recipe, list_recipes
from genolm.recipe_earlier import with_earlier
from genolm.recipe_publish import publish
from genolm.recipe_refresh import refresh, refreshed
from genolm.recipe_limits import Limits
from genolm.recipe_run import run_recipe
from genolm.recipe_steps import asked_of
from genolm.record import write_json
from genolm.registry import load_bundle, save_bundle
from genolm.results import read_result
from genolm.results_reading import points
from genolm.samples import sample_pieces
from genolm.sequences import reverse_complement
from genolm.workspace import waiting_lock

TABLES = '''
import csv, json
import numpy as np
from genolm.bootstrap import Estimate

def tables(data, out, *, rows, again=False, twice=False):
    rng = np.random.default_rng(3)
    letters = (data / "raw" / "letters.txt").read_text().strip()
    made = {}
    for protocol in ("easy", "too_hard"):
        path, written = out / f"{protocol}.csv", []
        with path.open("w", newline="") as stream:
            write = csv.writer(stream)
            write.writerow(["sequence", "label", "split", "group"])
            for row in range(rows):
                rich = 0.8 if (row % 2) == (protocol == "easy" or row % 3 == 0) else 0.2
                chances = [(1 - rich) / 2, rich / 2, rich / 2, (1 - rich) / 2]
                split = "train" if row < rows * 0.6 else "valid" if row < rows * 0.8 else "test"
                written.append("".join(rng.choice(list(letters), 45, p=chances)))
                if twice and split == "test" and row % 4 > 1:
                    written[-1] = written[-3]
                write.writerow([written[-1], "yn"[row % 2], split, f"c{row // 4}"])
        (out / f"{protocol}.json").write_text(json.dumps({"left_out": {"too short": 2}}))
        made[protocol] = path
    if again:
        lines = made["easy"].read_text().splitlines()
        swap = {"y": "n", "n": "y"}
        cells = [line.split(",") for line in lines]
        other = [[a, swap[b], c, d] if c == "test" else [a, b, c, d] for a, b, c, d in cells]
        made["again"] = out / "again.csv"
        made["again"].write_text("\\n".join(map(",".join, other)) + "\\n")
    return made

def judge(rows, probabilities, classes, groups=None):
    assert set(rows["split"]) == {"test"} and classes == ("n", "y")
    assert groups is None or len(groups) == len(rows)
    share = float((probabilities[:, 1] > 0.5).mean())
    return {"called": Estimate(share, share, share)}

def own(task):
    (task.out / "kept.txt").write_text("x")
    return {
        "protocols": {"all": {"title": "All", "rows": {}}}, "methods": {"lm": "Language model"},
        "scores": {"all": {"lm": {"seeds": [{"seed": 1, "metrics": {"bits": {"value": task.options["bits"]}}}]}}},
    }
'''
RECIPE = '''
title = "Toy"
section = "Toys"
order = {order}
question = "Is it rich in G and C?"
metric = "auroc"
metrics = ["auroc", "accuracy"]
notes = ["A note."]
{body}
'''
TABLE_BODY = '''
[[sources]]
file = "raw/letters.txt"
sha256 = "{sha}"
url = "https://example.org/letters"
licence = "public"
[[published]]
name = "Somebody"
kind = "original"
protocol = "easy"
source = "a table"
scores = {{ auroc = 0.9 }}
[prepare]
module = "toy_tables"
options = {{ rows = 120 }}
[judge]
module = "toy_tables"
[protocols.easy]
title = "Easy"
[protocols.too_hard]
title = "Hard"
[methods.naive]
title = "From scratch"
base = "{base}"
from_scratch = true
protocols = ["easy"]
settings = {{ preset = "tiny" }}
[methods.pretrained]
title = "Pre-trained"
base = "{base}"
seeds = 2
[training]
epochs = 1
batch_size = 16
lr = 0.01
[baselines]
names = ["kmer-logistic"]
[model]
name = "toy-model"
protocol = "easy"
method = "pretrained"
title = "Toy model"
purpose = "Tells toys apart."
licence = "MIT"
limits = ["A toy."]
scan_limit = "It was never shown a genome."
sample = "toy.fa"
'''


@pytest.fixture
def folder(tmp_path, toy_language_model_path):
    """A folder of two recipes and their module; ``data`` beside it."""
    return toy_recipe(tmp_path, toy_language_model_path)


def toy_recipe(tmp_path, toy_language_model_path):
    """Write the recipes and return their folder."""
    place, data = tmp_path / "recipes", tmp_path / "data"
    place.mkdir()
    (data / "raw").mkdir(parents=True)
    (data / "raw" / "letters.txt").write_text("ACGT\n")
    sha = hashlib.sha256(b"ACGT\n").hexdigest()
    (place / "toy_tables.py").write_text(TABLES)
    body = TABLE_BODY.format(sha=sha, base=toy_language_model_path)
    (place / "toy.toml").write_text(RECIPE.format(order=2, body=body))
    own = '[run]\nmodule = "toy_tables"\nfunction = "own"\noptions = { bits = 1.9 }\n'
    (place / "own.toml").write_text(RECIPE.format(order=1, body=own))
    return place


@pytest.fixture
def run(folder, tmp_path):
    def run(name="toy", **limits):
        path = run_recipe(
            find_recipe(folder, name), tmp_path / "data", tmp_path / "runs", limits=Limits(**limits), say=lambda _: None
        )
        return json.loads(path.read_text())

    return run


def test_recipes_are_listed_in_the_order_of_the_results(folder):
    assert [recipe.name for recipe in list_recipes(folder)] == ["own", "toy"]


def test_a_run_that_is_cut_short_goes_on_and_ends_as_one(run, folder, tmp_path, monkeypatch):
    part = run(protocols=("easy",), seeds=1)
    assert set(part["scores"]["easy"]) == {"naive", "pretrained", "kmer-logistic"}
    assert part["scores"]["too_hard"] == {}
    unfitted = "Hard: k-mer logistic regression"
    assert part["missing"] == ["Easy: Pre-trained, seed 2", "Hard: Pre-trained, seeds 1, 2", unfitted]
    path = folder / "toy.toml"
    named = path.read_text().replace('["kmer-logistic"]', '["kmer-logistic", "frame-logistic"]')
    path.write_text(named)
    assert "Easy: logistic regression on the longest reading frame" in refreshed(part, find_recipe(folder, "toy"))["missing"]
    path.write_text(named.replace(', "frame-logistic"', ""))
    adapted = "language model fine-tuned first"
    assert part["unplanned"] == [f"Easy: {adapted}", f"Hard: from scratch, {adapted}"]
    trained = []
    plain = recipe_work.finetune
    monkeypatch.setattr(recipe_work, "finetune", lambda *a, **b: trained.append(a[2]) or plain(*a, **b))
    whole = run()
    names = ["toy-too-hard-pretrained-seed1", "toy-easy-pretrained-seed2", "toy-too-hard-pretrained-seed2"]
    assert sorted(trained) == sorted(names) and whole["missing"] == []
    assert whole["scores"]["easy"]["naive"] == part["scores"]["easy"]["naive"]
    assert whole["protocols"]["easy"]["rows"] == {"train": 72, "valid": 24, "test": 24}
    assert whole["protocols"]["easy"]["record"] == {"left_out": {"too short": 2}}
    both = whole["scores"]["easy"]["pretrained"]
    assert [item["seed"] for item in both["seeds"]] == [1, 2]
    steps = tmp_path / "runs" / "toy" / "steps"
    answers = [np.load(steps / f"easy-pretrained-seed{seed}.npy") for seed in (1, 2)]
    labels = np.arange(96, 120) % 2 == 0
    mean = binary_metrics(np.mean(answers, axis=0)[:, 1], labels)["auroc"]
    assert both["together"]["auroc"]["value"] == pytest.approx(mean.value)
    found = {(item["protocol"], item["method"], item["other"]): item for item in whole["differences"]}
    assert set(found) == {
        ("easy", "pretrained", "naive"),
        ("easy", "pretrained", "kmer-logistic"),
        ("too_hard", "pretrained", "kmer-logistic"),
    }
    other = whole["scores"]["easy"]["naive"]["seeds"][0]["metrics"]["auroc"]["value"]
    assert found["easy", "pretrained", "naive"]["value"] == pytest.approx(mean.value - other)
    assert both["seeds"][0]["metrics"]["called"]["value"] == pytest.approx((answers[0][:, 1] > 0.5).mean())

    (tmp_path / "toy.fa").write_text(f">one\n{'ACGT' * 11}\n>two\n{'GGCC' * 11}\n")
    monkeypatch.setattr(recipe_publish, "samples_dir", lambda: tmp_path)
    target = publish(find_recipe(folder, "toy"), tmp_path / "runs", tmp_path / "toy-model")
    bundle = load_bundle(target)
    told = bundle.card["sample"]
    assert told["file"] == "toy.fa" and told["records"]["one"].keys() == {"n", "y"}
    predicted = Predictor(bundle, precision="fp32").predict(["ACGT" * 11, "GGCC" * 11]).probabilities
    assert [told["records"][key]["y"] for key in ("one", "two")] == pytest.approx(predicted[:, 1], abs=1e-4)
    losses = [json.loads((steps / f"easy-pretrained-seed{seed}.json").read_text())["valid_loss"] for seed in (1, 2)]
    best = load_bundle(tmp_path / "runs" / "toy" / "models" / f"toy-easy-pretrained-seed{1 + int(np.argmin(losses))}")
    assert all((value == bundle.state_dict()[key]).all() for key, value in best.state_dict().items())
    assert bundle.config.name == "toy-model" and bundle.card["recipe"] == "recipes/toy.toml"
    assert set(bundle.card["baselines"]) == {"From scratch", "k-mer logistic regression"}
    assert bundle.card["limits"][:2] == ["It was never shown a genome.", "A toy."] and "2 seeds" in bundle.card["limits"][2]
    assert bundle.card["scan_limit"] == "It was never shown a genome."
    (data,) = bundle.card["data"]
    assert data["name"] == "raw/letters.txt" and data["records"] == 120 and data["bases"] == 120 * 45


def test_a_published_model_says_how_it_does_where_strands_are_unknown(run, folder, tmp_path, monkeypatch):
    run(protocols=("easy",), methods=("pretrained",), seeds=1)
    (tmp_path / "toy.fa").write_text(f">one\n{'ACGT' * 11}\n")
    monkeypatch.setattr(recipe_publish, "samples_dir", lambda: tmp_path)
    place = tmp_path / "runs" / "toy" / "models" / "toy-easy-pretrained-seed1"
    trained = load_bundle(place)
    assert trained.config.calibration.either is not None
    first = load_bundle(publish(find_recipe(folder, "toy"), tmp_path / "runs", tmp_path / "toy-model"))
    # A network of before there was such a calibration gets one, and one of another rule the threshold of its figures.
    calibration = dataclasses.replace(trained.config.calibration, either=None, threshold=0.999)
    state, card = trained.state_dict(), trained.card
    shutil.rmtree(place)
    save_bundle(place, dataclasses.replace(trained.config, calibration=calibration), state, card)
    again = load_bundle(publish(find_recipe(folder, "toy"), tmp_path / "runs", tmp_path / "toy-model"))

    def strands(part):
        rows = pd.read_csv(tmp_path / "runs" / "toy" / "tables" / "easy.csv").query(f"split == '{part}'")
        both = rows["sequence"].tolist(), [reverse_complement(item) for item in rows["sequence"]]
        odds = [np.diff(Predictor(again).logits(items))[:, 0] / calibration.temperature for items in both]
        return *odds, (rows["label"] == "y").to_numpy().astype(int)

    expected = fit_either(*strands("valid"))
    found = again.config.calibration.either
    assert dataclasses.astuple(found) == pytest.approx(dataclasses.astuple(expected), rel=1e-3)
    kept = json.loads((tmp_path / "runs" / "toy" / "steps" / "easy-pretrained-seed1.json").read_text())
    assert first.config == again.config and first.config.calibration.threshold == kept["threshold"]
    assert first.config.calibration.temperature == calibration.temperature
    plus, _, labels = strands("valid")
    right = ((expit(plus) >= kept["threshold"]) == labels).mean()
    assert again.card["metrics"]["valid"]["accuracy"]["value"] == pytest.approx(right)
    for bundle, known in ((first, found), (again, expected)):
        plus, minus, labels = strands("test")
        called = expit(either_odds(plus, minus, known)) >= known.threshold
        told = bundle.card["metrics"][recipe_publish.UNKNOWN_STRAND]
        assert told["accuracy"]["value"] == pytest.approx((called == labels).mean())
    assert "strand unknown" in (tmp_path / "toy-model" / "card.md").read_text()


def test_a_built_in_model_is_judged_again_and_keeps_its_weights(run, folder, tmp_path, monkeypatch):
    recipe = folder / "toy.toml"
    recipe.write_text(recipe.read_text().replace("rows = 120 }", "rows = 120, again = true }"))
    recipe.write_text(recipe.read_text().replace("[methods.naive]", '[protocols.again]\ntitle = "Once more"\n[methods.naive]'))
    run(protocols=("easy", "again"), methods=("pretrained",), seeds=1)
    (tmp_path / "toy.fa").write_text(f">one\n{'ACGT' * 11}\n")
    monkeypatch.setattr(recipe_publish, "samples_dir", lambda: tmp_path)
    place = publish(find_recipe(folder, "toy"), tmp_path / "runs", tmp_path / "toy-model")
    first = load_bundle(place)
    assert set(first.card["metrics"]) == {"valid", "test", recipe_publish.UNKNOWN_STRAND, "once more"}
    assert not first.card["baselines"]

    # By another rule, with other words and figures; the trainings are gone, and the baseline was fitted meanwhile.
    spoiled = dataclasses.replace(first.config.calibration, either=None, threshold=0.999)
    card = {**first.card, "metrics": {"valid": first.card["metrics"]["valid"], "test": {}, "gone": {}}}
    save_bundle(place, dataclasses.replace(first.config, calibration=spoiled), first.state_dict(), card)
    for gone in ("models", "steps"):
        shutil.rmtree(tmp_path / "runs" / "toy" / gone)
    results = tmp_path / "results"
    results.mkdir()
    shutil.copy(tmp_path / "runs" / "toy" / "result.json", results / "toy.json")
    recipe.write_text(recipe.read_text().replace("Tells toys apart.", "Sorts toys."))
    asked = ["--method", "kmer-logistic", "--data", str(tmp_path / "data"), "--out", str(tmp_path / "runs")]
    asked += ["--recipes", str(folder), "--into", str(results), "--judge", str(place)]
    ran = CliRunner().invoke(commands, ["recipe", "run", "toy", *asked])
    assert ran.exit_code == 0, ran.output
    again = load_bundle(place)
    assert again.sha256 == first.sha256 and again.config.purpose == "Sorts toys."
    assert dataclasses.replace(again.config, purpose=first.config.purpose) == first.config
    for key, told in first.card["metrics"].items():
        for name, figure in told.items():
            assert again.card["metrics"][key][name] == pytest.approx(figure, nan_ok=True), (key, name)
    assert set(again.card["metrics"]) == set(first.card["metrics"])
    assert list(again.card["baselines"]) == ["k-mer logistic regression"]
    for key in ("limits", "data", "training", "sample", "test_of"):
        assert again.card[key] == first.card[key], key
    # Where no method is named, nothing is run for it.
    steps = sorted((tmp_path / "runs" / "toy" / "steps").iterdir())
    ran = CliRunner().invoke(commands, ["recipe", "run", "toy", *asked[2:]])
    assert ran.exit_code == 0 and load_bundle(place).card == again.card
    assert sorted((tmp_path / "runs" / "toy" / "steps").iterdir()) == steps

    ran = CliRunner().invoke(commands, ["recipe", "run", "toy", *asked[:-4], *asked[-2:]])
    assert ran.exit_code != 0 and "has not all figures that the card" in ran.output and "--into" in ran.output
    ran = CliRunner().invoke(commands, ["recipe", "run", "own", *asked])
    assert ran.exit_code != 0 and "makes no built-in model" in ran.output
    recipe.write_text(recipe.read_text().replace("rows = 120,", "rows = 130,"))
    (folder / "other.toml").write_text(recipe.read_text())
    ran = CliRunner().invoke(commands, ["recipe", "run", "other", *asked])
    assert ran.exit_code != 0 and "is not the built-in model of the recipe 'other'" in ran.output
    ran = CliRunner().invoke(commands, ["recipe", "run", "toy", *asked])
    assert ran.exit_code != 0 and ("was trained on other rows" in ran.output or "has not all figures" in ran.output)
    assert load_bundle(place).card == again.card


def test_a_finished_step_of_another_network_is_refused(run, tmp_path):
    found = run(protocols=("easy",), seeds=1)
    networks = {key: found["methods"][key]["network"] for key in ("naive", "pretrained")}
    assert set(networks.values()) == {"3-mers every 2 bp, embedding 32, hidden 48, 3 layers"}
    step = tmp_path / "runs" / "toy" / "steps" / "easy-naive-seed1.json"
    kept = json.loads(step.read_text())
    assert kept["network"] == networks["naive"]
    step.write_text(json.dumps({**kept, "network": "5-mers"}))
    with pytest.raises(GenolmError, match=r"easy-naive-seed1\.json is of .* network = 5-mers, the recipe wants 3-mers"):
        run(protocols=("easy",), seeds=1)


def test_a_finished_step_of_other_settings_is_refused(run, folder):
    run(protocols=("easy",), methods=("naive",))
    recipe = folder / "toy.toml"
    recipe.write_text(recipe.read_text().replace("epochs = 1", "epochs = 2"))
    message = r"easy-naive-seed1\.json is of a training with epochs = 1, the recipe wants 2: remove it and .*toy-easy-n"
    with pytest.raises(GenolmError, match=message):
        run(protocols=("easy",), methods=("naive",))


def test_protocols_that_differ_in_the_test_alone_share_a_training(run, folder, tmp_path, monkeypatch):
    recipe = folder / "toy.toml"
    text = recipe.read_text().replace("rows = 120 }", "rows = 120, again = true }")
    recipe.write_text(text.replace("[methods.naive]", '[protocols.again]\ntitle = "Again"\n[methods.naive]'))
    run(protocols=("easy",), methods=("pretrained",), seeds=1)
    monkeypatch.setattr("genolm.recipe_work.finetune", None)
    found = run(protocols=("again",), methods=("pretrained",), seeds=1)
    easy, again = (found["scores"][key]["pretrained"]["seeds"][0] for key in ("easy", "again"))
    assert again["metrics"]["auroc"]["value"] == pytest.approx(1 - easy["metrics"]["auroc"]["value"])
    assert again["valid_loss"] == easy["valid_loss"]
    assert found["seconds"] == easy["seconds"]
    with pytest.raises(TypeError):
        run(protocols=("too_hard",), methods=("pretrained",), seeds=1)
    (tmp_path / "toy.fa").write_text(f">one\n{'ACGT' * 11}\n")
    monkeypatch.setattr(recipe_publish, "samples_dir", lambda: tmp_path)
    target = publish(find_recipe(folder, "toy"), tmp_path / "runs", tmp_path / "toy-model")
    card = load_bundle(target).card
    metrics = card["metrics"]
    assert card["test_of"] == "easy"
    assert metrics["test"] == easy["metrics"] and metrics["again"] == again["metrics"] and "hard" not in metrics
    shutil.rmtree(tmp_path / "runs" / "toy" / "models" / "toy-easy-pretrained-seed1")
    with pytest.raises(GenolmError, match=r"Of easy-pretrained-seed1, .* only the answers are here: remove .*seed1\.json"):
        publish(find_recipe(folder, "toy"), tmp_path / "runs", tmp_path / "toy-model")


def test_a_language_model_that_is_to_be_made_first_is_asked_for_before_anything_is_run(run, folder, tmp_path):
    recipe = folder / "toy.toml"
    own = '[methods.own]\ntitle = "Own"\nbase = "own-lm"\nmade_by = "make own-lm"\nprotocols = ["easy"]\n[training]'
    recipe.write_text(recipe.read_text().replace("[training]", own))
    with pytest.raises(GenolmError, match=r"'toy' wants the language model 'own-lm', .* Make it with `make own-lm`, or"):
        run()
    assert not list((tmp_path / "runs" / "toy" / "steps").iterdir())
    assert "naive" in run(methods=("naive",))["scores"]["easy"]


AVERAGE = """
[methods.other]
title = "Faster"
base = "{base}"
protocols = ["easy"]
settings = {{ lr = 0.03 }}
[methods.mixed]
title = "Both"
average = ["pretrained", "other"]
protocols = ["easy"]
[training]
"""


def test_the_loss_that_chooses_is_that_of_the_answers_for_one_training_and_for_several(run, folder, tmp_path):
    path = folder / "toy.toml"
    path.write_text(path.read_text().replace("[training]\n", "[training]\nmirrored = true\n"))
    run(protocols=("easy",), methods=("naive",), seeds=1)
    step = tmp_path / "runs" / "toy" / "steps" / "easy-naive-seed1"
    labels = np.arange(72, 96) % 2 == 0
    chances = softmax(np.load(step.with_suffix(".valid.npy")), axis=1)[:, 1]
    # Of both strands, as an average's; in training one strand was read.
    kept = json.loads(step.with_suffix(".json").read_text())
    assert kept["valid_loss"] == pytest.approx(log_loss(labels, chances), rel=1e-5)


FRAMED = """
[methods.framed]
title = "Read from each of the first bases"
framed_of = "pretrained"
seeds = 2
protocols = ["easy"]
[methods.both]
title = "Both, averaged"
average = ["pretrained", "framed"]
protocols = ["easy"]
[training]
"""


def test_a_network_that_answers_again_reads_validation_rows_once_on_each_strand(run, folder, monkeypatch):
    path = folder / "toy.toml"
    path.write_text(path.read_text().replace("[training]\n", FRAMED))
    run(protocols=("easy",), methods=("pretrained",), seeds=1)
    read, logits = [], Predictor.logits

    def counted(self, sequences, **options):
        read.append(tuple(sequences))
        return logits(self, sequences, **options)

    monkeypatch.setattr(Predictor, "logits", counted)
    run(protocols=("easy",), methods=("framed",), seeds=1)
    assert len(read) == len(set(read)) == 3 and {len(item) for item in read} == {24}


def test_a_network_answers_again_from_each_of_the_first_bases(run, folder, tmp_path):
    path = folder / "toy.toml"
    path.write_text(path.read_text().replace("[training]\n", FRAMED))
    found = run(protocols=("easy",), seeds=1)
    home = tmp_path / "runs" / "toy"
    trained, framed = (load_bundle(home / "models" / f"toy-easy-{key}-seed1") for key in ("pretrained", "framed"))
    assert framed.config.framed and not trained.config.framed and framed.sha256 == trained.sha256
    table = pd.read_csv(home / "tables" / "easy.csv")
    rows = {part: table[table["split"] == part] for part in ("valid", "test")}
    plain, frames, logits = Predictor(trained), trained.config.tokenizer.stride, {}
    assert frames > 1
    for part, chosen in rows.items():
        readings = [plain.logits([item[first:] for item in chosen["sequence"]]) for first in range(frames)]
        logits[part] = np.mean(readings, axis=0)
    known = fit_calibration(logits["valid"], (rows["valid"]["label"] == "y").to_numpy().astype(int), "binary")
    steps = home / "steps"
    expected = softmax(logits["test"] / known.temperature, axis=1)
    np.testing.assert_allclose(np.load(steps / "easy-framed-seed1.npy"), expected, atol=0.02)
    kept = json.loads((steps / "easy-framed-seed1.json").read_text())
    assert kept["temperature"] == pytest.approx(known.temperature, rel=0.05)
    assert kept["settings"]["framed"] and kept["settings"]["framed_of"] == "pretrained"
    assert kept["network"] == found["methods"]["pretrained"]["network"] == found["methods"]["framed"]["network"]
    assert found["methods"]["framed"]["base"] == found["methods"]["pretrained"]["base"]
    assert {"both", "framed"} <= set(found["scores"]["easy"])
    assert "Easy: Read from each of the first bases, seed 2" in found["missing"]
    seconds = {key: found["scores"]["easy"][key]["seeds"][0]["seconds"] for key in found["scores"]["easy"]}
    assert seconds["framed"] > seconds["pretrained"] > 0
    assert seconds["both"] == pytest.approx(seconds["framed"] + seconds["pretrained"])
    made = {"framed", "both"}
    assert found["seconds"] == pytest.approx(sum(seconds[key] for key in seconds if key not in made), abs=0.1)

    # What answers again needs its network, so it stays in a result where that is the same one.
    recipe = find_recipe(folder, "toy")
    own = copy.deepcopy(found)
    for key in ("framed", "both"):
        del own["scores"]["easy"][key], own["methods"][key]
    assert set(with_earlier(own, found, recipe)["scores"]["easy"]) == set(found["scores"]["easy"]) - {"both"}
    own["scores"]["easy"]["pretrained"]["seeds"][0]["weights"] = "another"
    assert "framed" not in with_earlier(own, found, recipe)["scores"]["easy"]
    del own["scores"]["easy"]["pretrained"], own["methods"]["pretrained"]
    assert "framed" in with_earlier(own, found, recipe)["scores"]["easy"]
    changed = copy.deepcopy(recipe)
    changed.methods["pretrained"].settings["epochs"] = 7
    assert "framed" not in with_earlier(own, found, changed)["scores"]["easy"]

    def kept_apart():
        limits = Limits(protocols=("easy",), seeds=1)
        options = {"limits": limits, "answers": tmp_path / "answers", "say": said.append}
        result = run_recipe(find_recipe(folder, "toy"), tmp_path / "data", tmp_path / "runs", **options)
        return json.loads(result.read_text())["scores"]["easy"]

    said = []
    assert kept_apart()["framed"] == found["scores"]["easy"]["framed"]
    shutil.rmtree(home)
    assert kept_apart()["framed"] == found["scores"]["easy"]["framed"]
    # Only the average was worked out again.
    assert [line.split()[1] for line in said if "taken from" not in line] == ["making", "easy-both-seed1"]


def test_what_was_called_by_another_rule_is_judged_again(run, folder, tmp_path, toy_language_model_path):
    path, said = folder / "toy.toml", []
    path.write_text(path.read_text().replace("[training]\n", AVERAGE.format(base=toy_language_model_path)))
    first = run(protocols=("easy",), seeds=1)
    steps = tmp_path / "runs" / "toy" / "steps"
    untouched = (steps / "easy-other-seed1.json").stat().st_mtime_ns
    for name in ("easy-pretrained-seed1", "easy-kmer-logistic-seed1"):
        path = steps / f"{name}.json"
        found, made = json.loads(path.read_text()), path.stat().st_mtime_ns
        found["scores"]["accuracy"] = {"value": 0.1, "low": 0.1, "high": 0.1}
        path.write_text(json.dumps({**found, "threshold": 0.999}))
        os.utime(path, ns=(made, made))
    limits = Limits(protocols=("easy",), methods=("naive",), seeds=1)
    again = run_recipe(find_recipe(folder, "toy"), tmp_path / "data", tmp_path / "runs", limits=limits, say=said.append)
    assert json.loads(again.read_text())["scores"] == first["scores"]
    names = [line.split()[1] for line in said if line.endswith("by the threshold and figures of today")]
    assert names == ["easy-pretrained-seed1", "easy-kmer-logistic-seed1", "easy-mixed-seed1"]
    assert (steps / "easy-other-seed1.json").stat().st_mtime_ns == untouched

    # A figure that was not asked for when it was judged, and one that no test gives.
    path, said[:] = folder / "toy.toml", []
    path.write_text(path.read_text().replace('["auroc", "accuracy"]', '["auroc", "accuracy", "called", "absent"]'))
    found = json.loads((steps / "easy-other-seed1.json").read_text())
    called = found["scores"].pop("called")
    (steps / "easy-other-seed1.json").write_text(json.dumps(found))
    run_recipe(find_recipe(folder, "toy"), tmp_path / "data", tmp_path / "runs", limits=limits, say=said.append)
    assert [line.split()[1] for line in said] == ["easy-other-seed1", "easy-mixed-seed1"]
    assert json.loads((steps / "easy-other-seed1.json").read_text())["scores"]["called"] == called


def test_intervals_are_drawn_over_groups_once_a_recipe_wants_it(run, folder, tmp_path, monkeypatch):
    path = folder / "toy.toml"
    plain = path.read_text().replace('protocol = "easy"\nmethod = ', 'protocol = "too_hard"\nmethod = ')
    path.write_text(plain)
    limits = {"protocols": ("too_hard",), "methods": ("pretrained", "kmer-logistic")}
    drawn = 'drawn_over = "clusters"\ndrawn_by = "group"'
    first = run(**limits)
    path.write_text(plain.replace('title = "Hard"', 'title = "Hard"\n' + drawn))
    monkeypatch.setattr(recipe_run, "run_training", lambda *_, **__: pytest.fail("nothing is to be trained again"))
    found = run(**limits)
    assert found["protocols"]["too_hard"]["drawn_groups"] == 6
    assert "drawn_over" not in first["protocols"]["too_hard"]
    table = pd.read_csv(tmp_path / "runs/toy/tables/too_hard.csv").query("split == 'test'")
    truth, groups = (table["label"] == "y").to_numpy(), table["group"].to_numpy()
    steps = tmp_path / "runs/toy/steps"
    answers = [np.load(steps / f"too_hard-{name}.npy")[:, 1] for name in ("pretrained-seed1", "pretrained-seed2", "kmer-logistic-seed1")]
    for chances, method, seed in zip(answers, ("pretrained", "pretrained", "kmer-logistic"), (0, 1, 0), strict=True):
        wanted = binary_metrics(chances, truth, groups=groups)["auroc"]
        told, before = (item["scores"]["too_hard"][method]["seeds"][seed]["metrics"]["auroc"] for item in (found, first))
        assert told == pytest.approx(wanted.as_dict()) and told["value"] == before["value"] and told != before
    mean, other = (statistic_for("binary", chances, truth) for chances in (np.mean(answers[:2], axis=0), answers[2]))
    (gap,) = found["differences"]
    wanted = paired_bootstrap(mean, other, len(truth), groups=groups)["auroc"].difference
    assert {key: gap[key] for key in ("value", "low", "high")} == pytest.approx(wanted.as_dict(), abs=1e-6)
    row = tmp_path / "toy.json"
    row.write_text(json.dumps(found))
    (point,) = (item for item in points(read_result(row)) if item.head == "Hard")
    assert point.sentences[-1] == "Intervals are drawn over 6 whole clusters. So few make them too narrow."

    (tmp_path / "toy.fa").write_text(f">one\n{'ACGT' * 11}\n")
    monkeypatch.setattr(recipe_publish, "samples_dir", lambda: tmp_path)
    bundle = load_bundle(publish(find_recipe(folder, "toy"), tmp_path / "runs", tmp_path / "toy-model"))
    assert bundle.card["limits"][-1] == "Intervals of its test are drawn over 6 whole clusters."
    chances = Predictor(bundle).probabilities(Predictor(bundle).logits(table["sequence"].tolist()))
    wanted = binary_metrics(chances, truth, threshold=bundle.config.calibration.threshold, groups=groups)
    assert bundle.card["metrics"]["test"]["ece"] == pytest.approx(wanted["ece"].as_dict())

    # Words alone may change. Where the answers are gone, figures stay without the intervals that were drawn over rows.
    with pytest.raises(RecipeError, match="intervals under too_hard that are drawn over others than the recipe says now"):
        refreshed(first, find_recipe(folder, "toy"))
    assert refreshed(found, find_recipe(folder, "toy")) == found
    words = path.read_text()
    path.write_text(words.replace('"clusters"', '"kin"'))
    assert refreshed(found, find_recipe(folder, "toy"))["scores"] == found["scores"]
    path.write_text(words)
    told = with_earlier({**found, "scores": {"easy": {}, "too_hard": {}}, "differences": []}, first, find_recipe(folder, "toy"))
    kept = told["scores"]["too_hard"]["pretrained"]["together"]["auroc"]
    before = first["scores"]["too_hard"]["pretrained"]["together"]["auroc"]["value"]
    assert kept == {"value": before, "low": None, "high": None} and told["differences"] == []

    # Rows without groups cannot be drawn so, but by similarity: here each test row stands there twice.
    shutil.rmtree(tmp_path / "runs")
    words = path.read_text().replace('module = "toy_tables"\noptions = {', 'module = "toy_bare"\noptions = { twice = true,')
    path.write_text(words)
    (folder / "toy_bare.py").write_text(TABLES.replace('"group"]', '"clan"]'))
    with pytest.raises(RecipeError, match=r"too_hard\.csv has no column 'group', over which the intervals of too_hard are"):
        run(**limits)
    path.write_text(words.replace('drawn_by = "group"', 'drawn_by = "similarity"'))
    told = run(protocols=("too_hard",), methods=("kmer-logistic",))["scores"]["too_hard"]["kmer-logistic"]["seeds"][0]
    table = pd.read_csv(tmp_path / "runs/toy/tables/too_hard.csv").query("split == 'test'")
    truth, clusters = (table["label"] == "y").to_numpy(), pd.factorize(table["sequence"])[0]
    assert len(set(clusters)) == len(table) / 2
    chances = np.load(steps / "too_hard-kmer-logistic-seed1.npy")[:, 1]
    assert told["metrics"]["auroc"] == pytest.approx(binary_metrics(chances, truth, groups=clusters)["auroc"].as_dict())


def test_intervals_of_older_rules_are_drawn_anew_and_differences_stay(run, folder, tmp_path, monkeypatch):
    monkeypatch.setattr("genolm.recipe_steps.RULES", 1)
    limits = {"protocols": ("easy",), "methods": ("pretrained", "naive", "kmer-logistic")}
    before = run(**limits, seeds=1)
    monkeypatch.undo()
    steps, said = tmp_path / "runs/toy/steps", []
    # Its answers are gone, its figures stand in the earlier result alone.
    for path in steps.glob("easy-naive-seed1*"):
        path.unlink()
    for path in steps.glob("*.json"):
        found, made = json.loads(path.read_text()), path.stat().st_mtime_ns
        assert found["rules"] == 1
        found["scores"]["auroc"] |= {"low": 0.0, "high": 0.0}
        path.write_text(json.dumps(found))
        os.utime(path, ns=(made, made))
    earlier = tmp_path / "toy.json"
    earlier.write_text(json.dumps(before))
    options = {"limits": Limits(("easy",), ("kmer-logistic",), 1), "earlier": earlier, "say": said.append}
    recipe = find_recipe(folder, "toy")
    again = json.loads(run_recipe(recipe, tmp_path / "data", tmp_path / "runs", **options).read_text())
    assert again["scores"] == before["scores"]
    in_order = sorted(again["differences"], key=lambda gap: gap["other"] != "naive")
    assert in_order == before["differences"] and len(in_order) == 2
    assert len(said) == 2 and {json.loads(path.read_text())["rules"] for path in steps.glob("*.json")} == {RULES}
    said[:] = []
    run_recipe(recipe, tmp_path / "data", tmp_path / "runs", **options)
    assert said == []


def test_what_cannot_read_again_says_where_the_network_should_be(run, folder, tmp_path):
    path, said = folder / "toy.toml", []
    path.write_text(path.read_text().replace("[training]\n", FRAMED))
    recipe, limits = find_recipe(folder, "toy"), Limits(protocols=("easy",), methods=("framed",), seeds=1)
    options = {"limits": limits, "say": said.append}
    run_recipe(recipe, tmp_path / "data", tmp_path / "runs", **options)
    assert said[-1].endswith("the network of easy-pretrained-seed1, which is not here; add --method pretrained")
    run(protocols=("easy",), methods=("pretrained",), seeds=1)
    shutil.rmtree(tmp_path / "runs" / "toy" / "models")
    run_recipe(recipe, tmp_path / "data", tmp_path / "runs", **options)
    assert said[-1].endswith("easy-pretrained-seed1.json and run without --answers to train it")
    assert not (tmp_path / "runs" / "toy" / "steps" / "easy-framed-seed1.json").exists()


def test_an_average_whose_parts_are_not_there_says_which(folder, tmp_path, toy_language_model_path):
    path, said = folder / "toy.toml", []
    path.write_text(path.read_text().replace("[training]\n", AVERAGE.format(base=toy_language_model_path)))
    limits = Limits(protocols=("easy",), methods=("mixed",), seeds=1)
    run_recipe(find_recipe(folder, "toy"), tmp_path / "data", tmp_path / "runs", limits=limits, say=said.append)
    assert said[-1] == (
        "toy: easy-mixed-seed1 is not made: it averages easy-pretrained-seed1, easy-other-seed1, not finished; "
        "add --method pretrained --method other"
    )


def test_an_average_is_made_of_finished_trainings_and_again_when_one_changes(
    run, folder, tmp_path, toy_language_model_path
):
    path = folder / "toy.toml"
    path.write_text(path.read_text().replace("[training]\n", AVERAGE.format(base=toy_language_model_path)))
    part = run(protocols=("easy",), methods=("pretrained", "mixed"), seeds=1)
    assert set(part["scores"]["easy"]) == {"pretrained"} and "Easy: Both, seed 1" in part["missing"]
    found = run(protocols=("easy",), seeds=1)
    steps = tmp_path / "runs" / "toy" / "steps"
    names = [f"easy-{key}-seed1" for key in ("pretrained", "other", "mixed")]
    one, two, both = (np.load(steps / f"{name}.npy") for name in names)
    assert both == pytest.approx((one + two) / 2) and not np.allclose(one, two)
    kept = json.loads((steps / "easy-mixed-seed1.json").read_text())
    labels = np.arange(96, 120) % 2 == 0
    assert kept["scores"]["auroc"]["value"] == pytest.approx(binary_metrics((one + two)[:, 1] / 2, labels)["auroc"].value)
    parts = [json.loads((steps / f"{name}.json").read_text()) for name in names[:2]]
    # Of a convex loss the mean answer has no more than the mean of both; each is that of its best epoch.
    assert kept["valid_loss"] < np.mean([item["valid_loss"] for item in parts]) + 1e-3
    assert kept["seconds"] == sum(item["seconds"] for item in parts)
    assert found["methods"]["mixed"]["network"] == "; ".join([found["methods"]["pretrained"]["network"]] * 2)
    assert found["methods"]["mixed"]["settings"] == {"average": ["pretrained", "other"]}
    pairs = {(item["method"], item["other"]) for item in found["differences"]}
    # One network from scratch is not the same as two; what a reading says of it, it says of another network.
    assert {("mixed", "kmer-logistic"), ("mixed", "naive"), ("other", "naive")} <= pairs
    row = read_result(tmp_path / "runs" / "toy" / "result.json")
    assert (row.naive("easy", "mixed"), row.naive("easy", "other")) == (None, "naive")
    # Of all trainings, each once.
    every = [json.loads(item.read_text())["seconds"] for item in steps.glob("*-seed1.json")]
    assert found["seconds"] == pytest.approx(sum(every) - kept["seconds"], abs=0.1)

    made = (steps / "easy-mixed-seed1.json").stat().st_mtime_ns
    run(protocols=("easy",), seeds=1)
    assert (steps / "easy-mixed-seed1.json").stat().st_mtime_ns == made
    later = made / 1e9 + 10
    os.utime(steps / "easy-other-seed1.json", (later, later))
    assert "mixed" not in run(protocols=("easy",), methods=("naive",))["scores"]["easy"]
    run(protocols=("easy",), seeds=1)
    assert (steps / "easy-mixed-seed1.json").stat().st_mtime_ns > made
    path.write_text(path.read_text().replace('["pretrained", "other"]', '["other", "pretrained"]'))
    assert "mixed" not in run(protocols=("easy",), methods=("naive",))["scores"]["easy"]
    (steps / "easy-other-seed1.valid.npy").unlink()
    with pytest.raises(GenolmError, match=r"easy-other-seed1\.json was made by an older genolm"):
        run(protocols=("easy",), seeds=1)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ('average = ["pretrained", "naive"]', "averages 'naive', which is no method of one training from a language"),
        ('average = ["pretrained", "absent"]', "averages 'absent'"),
        ('average = ["pretrained"]', "an average is of two methods or more"),
        ('average = ["pretrained", "pretrained"]\nbase = "x"', "has to have one of base, average and framed_of"),
        ("", "has to have one of base, average and framed_of"),
        ('framed_of = "naive"', "reads again 'naive', which is no method of one training from a language"),
        ('framed_of = "absent"', "reads again 'absent'"),
        ('framed_of = "pretrained"\nseeds = 9', "methods.mixed has 9 seeds, 'pretrained' only"),
        ('framed_of = "pretrained"\nsettings = { epochs = 2 }', "only a base has settings"),
        ('average = ["pretrained", "easy-only"]\n[methods.easy-only]\ntitle = "Easy"\nbase = "x"\nprotocols = ["easy"]',
         "averages 'easy-only', which is not run under 'too_hard'"),
    ],
)
def test_what_cannot_be_made_of_other_methods_is_refused(folder, entry, message):
    path = folder / "toy.toml"
    path.write_text(path.read_text().replace("[training]\n", f'[methods.mixed]\ntitle = "Both"\n{entry}\n[training]\n'))
    with pytest.raises(GenolmError, match=message):
        find_recipe(folder, "toy")


def test_of_many_classes_a_card_tells_the_likeliest():
    chances = np.array([0.1, 0.4, 0.05, 0.2, 0.05, 0.2])
    assert recipe_publish._likeliest(chances) == [1, 3, 5, 0, 2]
    assert recipe_publish._likeliest(chances[:2]) == [0, 1]


def test_a_recipe_of_its_own_making_fills_the_same_result(run, tmp_path):
    found = run("own")
    assert found["methods"]["lm"] == {"title": "Language model", "kind": "ours", "base": None, "settings": {}}
    assert found["scores"]["all"]["lm"]["seeds"][0]["metrics"]["bits"]["value"] == 1.9
    assert (tmp_path / "runs" / "own" / "kept.txt").is_file()


def test_parts_of_a_recipe_of_its_own_making_go_from_machine_to_machine(folder, tmp_path):
    module, kept = folder / "toy_counted.py", tmp_path / "answers"
    module.write_text(TABLES + """

def counted(task):
    place = task.out / "parts.json"
    parts = json.loads(place.read_text())["parts"] if place.is_file() else {}
    place.write_text(json.dumps({"parts": {**parts, str(len(parts)): "done"}}))
    if len(parts) == 1:
        raise KeyboardInterrupt
    return own(task)
""")
    path = folder / "own.toml"
    path.write_text(path.read_text().replace('"own"', '"counted"').replace("toy_tables", "toy_counted"))
    for machine in ("one", "two", "three"):
        try:
            run_recipe(find_recipe(folder, "own"), tmp_path / "data", tmp_path / machine, answers=kept, say=lambda _: None)
        except KeyboardInterrupt:
            assert machine == "two"
    counts = [len(json.loads(path.read_text())["parts"]) for path in (kept / "own.json", tmp_path / "one" / "own" / "parts.json")]
    assert counts == [3, 1]


def test_a_source_that_is_missing_or_another_says_where_to_get_it(run, tmp_path):
    path = tmp_path / "data" / "raw" / "letters.txt"
    path.write_text("ACGTN\n")
    with pytest.raises(GenolmError, match=r"letters.txt is not the file .* get it from https://example.org/letters"):
        run()
    path.unlink()
    with pytest.raises(GenolmError, match=r"letters.txt is missing: get it from https://example.org/letters"):
        run()


def test_baselines_are_run_alone_when_they_are_named(run):
    assert set(run(methods=("kmer-logistic",))["scores"]["too_hard"]) == {"kmer-logistic"}


def test_an_unknown_part_of_a_recipe_is_named(run):
    with pytest.raises(GenolmError, match="'toy' has no method 'adapted'; it has naive, pretrained"):
        run(methods=("adapted",))
    with pytest.raises(GenolmError, match="There is no recipe 'nothing' in .*; there are: own, toy"):
        run("nothing")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('metric = "auroc"', 'metric = "mcc"', "metric 'mcc' is not among metrics"),
        ("epochs = 1", "epoch = 1", "training has epoch, which are no settings of a training"),
        ('protocols = ["easy"]', 'protocols = ["soft"]', "methods.naive names the protocol 'soft'"),
        ('kind = "original"', 'kind = "first"', "kind is 'first'"),
        ('licence = "public"', "", "'licence'"),
        ("order = 2", "order = ", "is no TOML file"),
        ("[prepare]", "[prepares]", "prepares"),
        ('title = "Easy"', 'title = "Easy"\ndrawn_over = "x"', "protocols.easy.drawn_by is ''; as there is drawn_over"),
        ('title = "Easy"', 'title = "Easy"\ndrawn_by = "group"', "protocols.easy has drawn_by, so it has to say in drawn"),
        ('title = "Easy"', 'title = "Easy"\ndrawn_over = "x"\ndrawn_by = "luck"', "'luck'; .* must be group or similarity"),
    ],
)
def test_a_wrong_entry_is_named_with_the_file(folder, old, new, message):
    path = folder / "toy.toml"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(GenolmError, match=message) as caught:
        find_recipe(folder, "toy")
    assert "toy.toml" in str(caught.value)


def test_a_module_that_lacks_the_function_is_named(folder, run):
    (folder / "toy_tables.py").write_text("")
    path = folder / "toy.toml"
    path.write_text(path.read_text().replace('module = "toy_tables"', 'module = "no_such_tables"'))
    with pytest.raises(GenolmError, match="names no_such_tables.tables"):
        run()
    assert recipe_run.RESULT not in {item.name for item in folder.iterdir()}


def test_a_sample_is_cut_so_that_its_site_stands_where_the_model_wants_it(tmp_path):
    (tmp_path / "s.fa").write_text(">known kind=x site=5\nAACCGGTT\n>plain\nACGTACGT\n")
    pieces = sample_pieces(tmp_path / "s.fa", Window(4, 2, "TSS"))
    assert pieces == {"known": "CCGG", "plain": "ACGTACGT"}
    assert sample_pieces(tmp_path / "s.fa", None)["known"] == "AACCGGTT"


def test_records_of_a_sample_are_taken_of_each_kind_in_turn(tmp_path):
    kinds = ("start", "start", "start", "inside", "other")
    (tmp_path / "s.fa").write_text("".join(f">r{number} kind={kind}\nACGT\n" for number, kind in enumerate(kinds)))
    assert list(sample_pieces(tmp_path / "s.fa", None, ("inside", "start"))) == ["r3", "r0", "r1", "r2"]


def run_elsewhere(folder, tmp_path, **options):
    """Run the toy recipe in a folder of runs of its own, as on another machine."""
    place = tmp_path / options.pop("machine")
    said = []
    path = run_recipe(
        find_recipe(folder, "toy"),
        tmp_path / "data",
        place,
        limits=options.pop("limits", None),
        say=said.append,
        **options,
    )
    return json.loads(path.read_text()), said


def test_answers_go_from_machine_to_machine_and_nothing_is_done_again(folder, tmp_path, monkeypatch, toy_language_model_path):
    path = folder / "toy.toml"
    path.write_text(path.read_text().replace("[training]\n", AVERAGE.format(base=toy_language_model_path)))
    kept = tmp_path / "answers"
    part, _ = run_elsewhere(folder, tmp_path, machine="one", limits=Limits(("easy",), (), 1), answers=kept)
    monkeypatch.setattr("genolm.recipe_work.finetune", None)
    found, said = run_elsewhere(folder, tmp_path, machine="two", limits=Limits(("easy",), (), 1), answers=kept)
    # All but the average, which is worked out of what they said.
    assert said[1] == f"toy: {len(part['scores']['easy']) - 1} finished steps taken from {kept}"
    for key in ("methods", "missing", "protocols", "seconds"):
        assert found[key] == part[key]
    mixed = [item["scores"]["easy"].pop("mixed")["seeds"][0] for item in (found, part)]
    assert found["scores"] == part["scores"]
    assert mixed[0]["valid_loss"] == pytest.approx(mixed[1]["valid_loss"], abs=1e-6)
    assert mixed[0]["metrics"]["auroc"] == pytest.approx(mixed[1]["metrics"]["auroc"], abs=1e-6)
    for one, other in zip(found["differences"], part["differences"], strict=True):
        assert one["value"] == pytest.approx(other["value"], abs=1e-6)
    names = [f"easy-{key}-seed1.npy" for key in ("naive", "mixed", "kmer-logistic")]
    for name in names:
        ours, theirs = (np.load(tmp_path / machine / "toy" / "steps" / name) for machine in ("two", "one"))
        assert ours == pytest.approx(theirs, abs=1e-6)
    # A machine that has done something else adds to the file.
    run_elsewhere(folder, tmp_path, machine="three", limits=Limits(("too_hard",), ("kmer-logistic",)), answers=kept)
    last, said = run_elsewhere(folder, tmp_path, machine="four", limits=Limits(("easy",), ("naive",), 1), answers=kept)
    assert said[1] == f"toy: {len(part['scores']['easy']) + 1} finished steps taken from {kept}"
    # Whatever is run, averages of what is finished are there.
    assert last["scores"]["easy"].pop("mixed")["seeds"] == mixed[:1]
    assert last["scores"]["easy"] == found["scores"]["easy"]


def test_answers_of_other_rows_or_settings_are_not_taken_up(folder, tmp_path):
    kept, path = tmp_path / "answers", folder / "toy.toml"
    limits = Limits(("easy",), ("naive", "kmer-logistic"))
    run_elsewhere(folder, tmp_path, machine="one", limits=limits, answers=kept)
    path.write_text(path.read_text().replace("epochs = 1", "epochs = 2"))
    found, said = run_elsewhere(folder, tmp_path, machine="two", limits=limits, answers=kept)
    assert any("easy-naive-seed1 in" in line and "epochs = 1, the recipe wants 2" in line for line in said)
    assert "toy: 1 finished steps taken" in said[1] and set(found["scores"]["easy"]) == {"naive", "kmer-logistic"}
    path.write_text(path.read_text().replace("rows = 120", "rows = 130"))
    nothing = Limits(("too_hard",), ("kmer-logistic",))
    _, said = run_elsewhere(folder, tmp_path, machine="three", limits=nothing, answers=kept)
    assert sum("is not taken up, since it is of a training with the table = " in line for line in said) == 2
    # What was refused is still there for those whom it fits.
    path.write_text(path.read_text().replace("rows = 130", "rows = 120"))
    _, said = run_elsewhere(folder, tmp_path, machine="four", limits=nothing, answers=kept)
    assert "toy: 2 finished steps taken" in said[1]
    whole = (kept / "toy.npz").read_bytes()
    for end in (2, 100, len(whole) // 2):
        (kept / "toy.npz").write_bytes(whole[:end])
        with pytest.raises(GenolmError, match=r"toy\.npz is no file of answers"):
            run_elsewhere(folder, tmp_path, machine="five", limits=nothing, answers=kept)


def test_a_language_model_that_was_trained_anew_is_another_one(folder, tmp_path, toy_language_model_path):
    base, earlier = tmp_path / "toy-lm", tmp_path / "toy.json"
    shutil.copytree(toy_language_model_path, base)
    path = folder / "toy.toml"
    path.write_text(path.read_text().replace(str(toy_language_model_path), str(base)))
    limits = Limits(("easy",), ("naive", "pretrained"), 1)
    first, _ = run_elsewhere(folder, tmp_path, machine="one", limits=limits)
    earlier.write_text(json.dumps(first))
    bundle = load_bundle(base)
    assert first["methods"]["pretrained"]["base_weights"] == bundle.sha256
    assert first["methods"]["naive"]["base_weights"] == ""
    state = {key: value + 1 for key, value in bundle.state_dict().items()}
    save_bundle(base, bundle.config, state, bundle.card)
    message = r"easy-pretrained-seed1\.json is of a training with weights of the language model = .*, the recipe wants"
    with pytest.raises(GenolmError, match=message):
        run_elsewhere(folder, tmp_path, machine="one", limits=limits)
    # From scratch no weights are taken.
    nothing = Limits(("too_hard",), ("kmer-logistic",))
    found, _ = run_elsewhere(folder, tmp_path, machine="two", limits=nothing, earlier=earlier)
    assert set(found["scores"]["easy"]) == {"naive"}


def test_what_another_run_finishes_meanwhile_stays(folder, tmp_path, monkeypatch):
    earlier, kept, train = tmp_path / "toy.json", tmp_path / "answers", recipe_run.run_training

    def meanwhile(*given, **named):
        monkeypatch.setattr(recipe_run, "run_training", train)
        limits = Limits(("easy",), ("kmer-logistic",))
        found, _ = run_elsewhere(folder, tmp_path, machine="two", limits=limits, earlier=earlier, answers=kept)
        earlier.write_text(json.dumps(found))
        train(*given, **named)

    monkeypatch.setattr(recipe_run, "run_training", meanwhile)
    limits = Limits(("easy",), ("naive",))
    found, _ = run_elsewhere(folder, tmp_path, machine="one", limits=limits, earlier=earlier, answers=kept)
    assert set(found["scores"]["easy"]) == {"naive", "kmer-logistic"}
    assert set(read_answers(kept / "toy.npz")[0]) == {"easy-naive-seed1", "easy-kmer-logistic-seed1"}


def test_answers_are_added_by_one_run_at_a_time(tmp_path):
    path = tmp_path / "toy.npz"
    write_answers(path, [])
    with ThreadPoolExecutor(1) as pool:
        with waiting_lock(path.with_name(".toy.npz.lock")):
            path.unlink()
            adding = pool.submit(write_answers, path, [])
            with pytest.raises(TimeoutError):
                adding.result(timeout=0.3)
            assert not path.exists()
        adding.result(timeout=30)
    assert path.is_file()


def test_what_is_finished_here_counts_only_as_long_as_the_recipe_wants_it_so(run, folder, tmp_path):
    run(protocols=("easy",), methods=("naive", "kmer-logistic"))
    path = folder / "toy.toml"
    path.write_text(path.read_text().replace("lr = 0.01", "lr = 0.02"))
    assert set(run(methods=("kmer-logistic",))["scores"]["easy"]) == {"kmer-logistic"}
    path.write_text(path.read_text().replace("rows = 120", "rows = 130"))
    changed = run(protocols=("easy",), methods=("pretrained",), seeds=1)
    assert set(changed["scores"]["easy"]) == {"pretrained"}
    again = run(protocols=("easy",), methods=("kmer-logistic",))
    step = json.loads((tmp_path / "runs" / "toy" / "steps" / "easy-kmer-logistic-seed1.json").read_text())
    assert step["table"] == again["protocols"]["easy"]["table_sha256"]
    assert set(again["scores"]["easy"]) == {"pretrained", "kmer-logistic"}


@pytest.mark.parametrize(
    ("old", "new", "kept"),
    [
        ("lr = 0.01", "lr = 0.02", {"kmer-logistic"}),
        ("batch_size = 16", "batch_size = 4", {"kmer-logistic"}),
        ("lr = 0.01", "lr = 0.01\nmirrored = true", {"kmer-logistic"}),
        ('settings = {{ preset = "tiny" }}', "", {"pretrained", "kmer-logistic"}),
        ("seeds = 2", "seeds = 1", {"naive", "pretrained", "kmer-logistic"}),
        ('names = ["kmer-logistic"]', 'names = ["cnn"]', {"naive", "pretrained"}),
        ("batch_size = 16", "batch_size = 16\ndrop_mult = 0.9", {"kmer-logistic"}),
    ],
)
@pytest.mark.parametrize("told", [True, False])
def test_an_earlier_result_stays_only_where_the_recipe_is_the_same(trained_once, old, new, kept, told):
    recipe_path, earlier = trained_once
    known = json.loads(earlier.read_text())
    for method in known["methods"].values() if not told else ():
        method.pop("asked", None)
    plain = recipe_path.read_text()
    assert (changed := plain.replace(old.replace("{{", "{").replace("}}", "}"), new)) != plain
    recipe_path.write_text(changed)
    try:
        recipe = find_recipe(recipe_path.parent, "toy")
        fresh = {"protocols": known["protocols"], "scores": {"easy": {}, "too_hard": {}}, "methods": {}, "differences": []}
        found = with_earlier({**fresh, "machine": {"cpu": "Other"}}, known, recipe)
    finally:
        recipe_path.write_text(plain)
    assert set(found["scores"]["easy"]) == kept
    assert {item for gap in found["differences"] for item in (gap["method"], gap["other"])} <= kept
    seeds = [item["seed"] for item in found["scores"]["easy"].get("pretrained", {"seeds": []})["seeds"]]
    assert seeds == ([1] if new == "seeds = 1" else [1, 2])[: 2 if "pretrained" in kept else 0]
    last = {"version": known["version"], "date": known["date"]}
    assert found["machine"] == {"cpu": "Other", "earlier": [{**known["machine"], **last}]}


def test_words_are_written_anew_and_figures_stay(trained_once, tmp_path):
    recipe_path, earlier = trained_once
    known = json.loads(earlier.read_text())
    results, plain = tmp_path / "results", recipe_path.read_text()
    results.mkdir()
    (results / "toy.json").write_text(earlier.read_text())
    refreshing = ["recipe", "refresh", "--results", str(results), "--recipes", str(recipe_path.parent)]

    def refreshed():
        ran = CliRunner().invoke(commands, refreshing)
        assert ran.exit_code == 0, ran.output
        return ran.output.split(), json.loads((results / "toy.json").read_text())

    try:
        assert refreshed() == ([], known)
        words = plain.replace("A note.", "Another note.").replace("auroc = 0.9 }", "auroc = 0.8 }\nother_test = true")
        words = words.replace('title = "Easy"', 'title = "Simple"').replace("seeds = 2", "seeds = 3")
        recipe_path.write_text(words)
        names, found = refreshed()
        assert names == ["toy"] and found["notes"] == ["Another note."]
        assert found["protocols"]["easy"] == {**known["protocols"]["easy"], "title": "Simple"}
        assert (found["published"][0]["scores"], found["published"][0]["other_test"]) == ({"auroc": 0.8}, True)
        assert "Simple: Pre-trained, seed 3" in found["missing"]
        for key in ("scores", "differences", "machine", "version", "date", "seconds", "methods"):
            assert found[key] == known[key], key
        # Figures of ways that are asked for otherwise now, or of other files, are not lost: a run leaves them out.
        for old, new, told in (
            ("batch_size = 16", "batch_size = 4", "asks for otherwise now (Simple, From scratch, seed 1; Simple, Pre-trained, seed 1, 2)"),
            ("sha256 = ", 'sha256 = "ab" #', "is of other source files than the recipe has"),
        ):
            recipe_path.write_text(plain.replace(old, new).replace("A note.", "A third note."))
            ran = CliRunner().invoke(commands, refreshing)
            assert ran.exit_code != 0 and told in ran.output
            assert json.loads((results / "toy.json").read_text()) == found
    finally:
        recipe_path.write_text(plain)
    refreshing[3] = str(tmp_path / "nothing")
    ran = CliRunner().invoke(commands, refreshing)
    assert ran.exit_code != 0 and "There is no folder" in ran.output


def test_what_a_recipe_of_its_own_measured_stays_when_its_words_change(run, folder, tmp_path):
    measured = {"name": "Rival", "kind": "best", "protocol": "all", "source": "", "scores": {"bits": 1.8}}
    results = tmp_path / "results"
    results.mkdir()
    write_json(results / "own.json", {**run("own"), "published": [measured], "missing": ["A thing."]})
    recipe = folder / "own.toml"
    recipe.write_text(recipe.read_text().replace('title = "Toy"', 'title = "Game"'))
    assert refresh(results, folder) == ["own"]
    found = json.loads((results / "own.json").read_text())
    assert found["title"] == "Game" and found["published"] == [measured] and found["missing"] == ["A thing."]
    assert found["scores"] == run("own")["scores"] and refresh(results, folder) == []
    # Figures that the recipe names take the place of all, with the leads that were measured beside them.
    entry = '[[published]]\nname = "Rival"\nkind = "best"\nprotocol = "all"\nsource = "A table"\nscores = { bits = 1.7 }\n'
    plain = recipe.read_text()
    recipe.write_text(plain.replace("[run]", f"{entry}[run]"))
    write_json(results / "own.json", {**found, "published": [{**measured, "leads": {"bits": {"value": 0.1}}}]})
    assert refresh(results, folder) == ["own"]
    (told,) = json.loads((results / "own.json").read_text())["published"]
    assert told["source"] == "A table" and told["leads"] == {"bits": {"value": 0.1}}
    recipe.write_text(plain.replace("[run]", f"{entry.replace('Rival', 'Other')}[run]"))
    assert refresh(results, folder) == ["own"]
    assert [item["name"] for item in json.loads((results / "own.json").read_text())["published"]] == ["Other"]


@pytest.fixture(scope="module")
def trained_once(tmp_path_factory, toy_language_model_path):
    """A recipe and its whole result under one protocol."""
    tmp_path = tmp_path_factory.mktemp("once")
    path = toy_recipe(tmp_path, toy_language_model_path) / "toy.toml"
    found, _ = run_elsewhere(path.parent, tmp_path, machine="one", limits=Limits(("easy",)))
    earlier = tmp_path / "earlier.json"
    earlier.write_text(json.dumps(found))
    return path, earlier


def test_a_part_run_elsewhere_leaves_an_earlier_result_whole(folder, tmp_path):
    first, _ = run_elsewhere(folder, tmp_path, machine="one", limits=Limits(("easy",)))
    earlier = tmp_path / "toy.json"
    earlier.write_text(json.dumps(first))
    options = {"limits": Limits(("easy", "too_hard"), ("pretrained",), 1), "earlier": earlier}
    found, _ = run_elsewhere(folder, tmp_path, machine="two", **options)
    easy = found["scores"]["easy"]
    assert list(easy) == ["naive", "pretrained", "kmer-logistic"]
    for key in ("naive", "kmer-logistic"):
        assert easy[key] == first["scores"]["easy"][key] and found["methods"][key] == first["methods"][key]
    # Seed 1 is of here, seed 2 of there; their answers were never averaged.
    assert [item["seed"] for item in easy["pretrained"]["seeds"]] == [1, 2]
    assert easy["pretrained"]["seeds"][1] == first["scores"]["easy"]["pretrained"]["seeds"][1]
    assert "together" in first["scores"]["easy"]["pretrained"] and "together" not in easy["pretrained"]
    # A difference of two methods stays only where neither was trained again.
    assert [item for item in found["differences"] if item["protocol"] == "easy"] == []
    assert found["missing"] == ["Hard: Pre-trained, seed 2", "Hard: k-mer logistic regression"]
    assert len(found["machine"]["earlier"]) == 1
    every = [run["seconds"] for methods in found["scores"].values() for item in methods.values() for run in item["seeds"]]
    assert found["seconds"] == pytest.approx(sum(every), abs=0.1)

    untouched, _ = run_elsewhere(folder, tmp_path, machine="three", limits=Limits(("too_hard",), ("pretrained",), 1), earlier=earlier)
    assert untouched["scores"]["easy"] == first["scores"]["easy"]
    assert untouched["differences"] == first["differences"]
    # A baseline that says the same again is as good as the earlier one.
    same, _ = run_elsewhere(folder, tmp_path, machine="six", limits=Limits(("easy",), ("kmer-logistic",)), earlier=earlier)
    assert same["differences"] == first["differences"]

    recipe = folder / "toy.toml"
    recipe.write_text(recipe.read_text().replace("lr = 0.01", "lr = 0.02"))
    options["limits"] = Limits(("too_hard",), ("kmer-logistic",))
    changed, _ = run_elsewhere(folder, tmp_path, machine="four", **options)
    assert set(changed["scores"]["easy"]) == {"kmer-logistic"}
    recipe.write_text(recipe.read_text().replace("rows = 120", "rows = 130"))
    changed, _ = run_elsewhere(folder, tmp_path, machine="five", **options)
    assert changed["scores"]["easy"] == {}
    earlier.write_text("{}")
    with pytest.raises(GenolmError, match=r"toy\.json is no result of a recipe"):
        run_elsewhere(folder, tmp_path, machine="five", **options)


def test_protocols_that_differ_in_the_test_alone_share_a_baseline(run, folder, monkeypatch):
    recipe = folder / "toy.toml"
    text = recipe.read_text().replace("rows = 120 }", "rows = 120, again = true }")
    recipe.write_text(text.replace("[methods.naive]", '[protocols.again]\ntitle = "Again"\n[methods.naive]'))
    fitted = []
    plain = KmerLogistic.fit
    monkeypatch.setattr(KmerLogistic, "fit", lambda self, *parts: fitted.append(len(parts[0].labels)) or plain(self, *parts))
    found = run(methods=("kmer-logistic",))
    assert len(fitted) == 2 and set(found["scores"]) == {"easy", "too_hard", "again"}
    easy, again = (found["scores"][key]["kmer-logistic"]["seeds"][0]["metrics"]["auroc"] for key in ("easy", "again"))
    assert again["value"] == pytest.approx(1 - easy["value"])


def scored(**methods):
    """Return the scores of methods, of each the AUROC by seed, and of several seeds the one of their mean answer."""
    return {
        key: {"seeds": [{"seed": seed, "metrics": {"auroc": value}, "seconds": 1.0} for seed, value in found.items()]}
        | ({"together": {"auroc": 0.99}} if len(found) > 1 else {})
        for key, found in methods.items()
    }


def told(recipe, scores, *others):
    """Return a result under one protocol, with a paired difference of the pre-trained method for each other one."""
    kinds = {key: "ours" if key in recipe.methods else "baseline" for key in scores}
    asked = {key: {"asked": asked_of(recipe, recipe.methods[key])} for key, kind in kinds.items() if kind == "ours"}
    methods = {key: {"title": key, "kind": kind, "settings": {}} | asked.get(key, {}) for key, kind in kinds.items()}
    return {
        "protocols": {"easy": {"table_sha256": "a"}},
        "methods": methods,
        "scores": {"easy": scores},
        "differences": [{"protocol": "easy", "method": "pretrained", "other": key, "value": 0.1} for key in others],
        "machine": {},
    }


def test_a_difference_of_the_seeds_of_here_goes_where_the_figures_are_of_more(folder):
    recipe = find_recipe(folder, "toy")
    naive, words = {1: 0.6}, {1: 0.7}
    own = told(recipe, scored(pretrained={1: 0.7}, naive=naive), "naive")
    whole = scored(pretrained={1: 0.9, 2: 0.9}, naive=naive, **{"kmer-logistic": words})
    earlier = told(recipe, whole, "naive", "kmer-logistic")
    found = with_earlier(own, earlier, recipe)
    assert [item["seed"] for item in found["scores"]["easy"]["pretrained"]["seeds"]] == [1, 2]
    assert found["differences"] == [] and "kmer-logistic" in found["methods"]
    # Where all seeds are of here, the differences are too, and only they.
    own = told(recipe, scored(pretrained={1: 0.7, 2: 0.7}, naive=naive), "naive")
    found = with_earlier(own, earlier, recipe)
    assert found["differences"] == own["differences"] and found["scores"]["easy"]["pretrained"]["together"]
    # With the very same figures those that the earlier result has beside them stay.
    same = told(recipe, scored(pretrained={1: 0.9, 2: 0.9}, naive=naive), "naive")
    assert [item["other"] for item in with_earlier(same, earlier, recipe)["differences"]] == ["naive", "kmer-logistic"]
    # They are the very same where the earlier result lacks their intervals or drew them by older rules, and not where
    # those were drawn over other groups.
    figure = {"value": 0.9, "low": 0.8, "high": 1.0}
    cases = (({"low": None}, {}, True), ({"low": 0.7}, {}, True), ({"value": 0.9 + 1e-8}, {}, True))
    for other, drawn, stay in (*cases, ({"value": 0.90001}, {}, False), ({}, {"drawn_by": "group"}, False)):
        before, now = (scored(pretrained={1: one}, naive={1: figure}) for one in (figure | other, figure))
        earlier = told(recipe, before | scored(**{"kmer-logistic": {1: figure}}), "kmer-logistic")
        earlier["protocols"]["easy"] |= drawn
        found = with_earlier(told(recipe, now), earlier, recipe)
        assert (found["differences"] == earlier["differences"]) is stay


@pytest.mark.parametrize("again", [{}, {"pretrained": {1: 0.9}}])
def test_figures_of_more_seeds_than_the_recipe_wants_now_go(folder, again):
    path = folder / "toy.toml"
    earlier = told(find_recipe(folder, "toy"), scored(pretrained={1: 0.9, 2: 0.8}, naive={1: 0.6}), "naive")
    path.write_text(path.read_text().replace("seeds = 2", "seeds = 1"))
    recipe = find_recipe(folder, "toy")
    found = with_earlier(told(recipe, scored(**again)), earlier, recipe)
    assert found["scores"]["easy"] == scored(naive={1: 0.6}, pretrained={1: 0.9})
    assert found["differences"] == [] and set(found["methods"]) == {"naive", "pretrained"}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('[protocols.easy]\ntitle = "Easy"', "[protocols.easy]", "protocols.easy has no entry 'title'; a text must be there"),
        ('title = "Toy"\n', "", "it has no entry 'title'; a text must be there"),
        ("order = 2", 'order = "21"', "order is '21'; it must be a whole number"),
        ("order = 2", "order = true", "order is True; it must be a whole number"),
        ('notes = ["A note."]', 'notes = "A note."', "notes is 'A note.'; it must be a list"),
        ('metrics = ["auroc", "accuracy"]', 'metrics = ["auroc", 1]', r"metrics\[2\] is 1; it must be a text"),
        ("seeds = 2", 'seeds = "3"', "methods.pretrained.seeds is '3'; it must be a whole number"),
        ("seeds = 2", "seeds = 0", "methods.pretrained.seeds is 0; it must be 1 or more"),
        ("[training]", '[methods.own]\ntitle = "Own"\nbase = 5\n[training]', "methods.own.base is 5; it must be a text"),
        ("from_scratch = true", 'from_scratch = "yes"', "methods.naive.from_scratch is 'yes'; it must be true or false"),
        ("seeds = 2", "seed = 2", "methods.pretrained has an entry 'seed'; there can be aside, average, base, framed_of, from_scratch"),
        ("epochs = 1", 'epochs = "1"', "training.epochs is '1'; it must be a whole number"),
        ("lr = 0.01", "lr = 0.01\nfractions = [0.5, 0.5]", r"training.fractions is \[0.5, 0.5\]; it must be a list of 3"),
        ('preset = "tiny"', "preset = 1", "methods.naive.settings.preset is 1; it must be a text"),
        ("auroc = 0.9", 'auroc = "high"', r"published\[1\].scores.auroc is 'high'; it must be a number"),
        ('kind = "original"', 'kind = "first"', r"published\[1\].kind is 'first'; it must be one of original, best, other"),
        (
            'kind = "original"',
            'kind = "original"\nleads = { accuracy = { method = "lm", size = { value = 0.1, low = 0.0, high = 0.2 }, p = 0.1 } }',
            r"published\[1\].leads is measured by a recipe, not said by it; leave it out",
        ),
        ('licence = "public"', "", r"sources\[1\] has no entry 'licence'"),
        ("options = { rows = 120 }", "options = 120", "prepare.options is 120; it must be a table"),
        ('[judge]\nmodule = "toy_tables"', "[judge]", "judge has no entry 'module'"),
        ('names = ["kmer-logistic"]', 'names = "cnn"', "baselines.names is 'cnn'; it must be a list"),
        ('limits = ["A toy."]', "site = 1.5", "model.site is 1.5; it must be a whole number"),
        ("order = 2", 'order = 2\nname = "toy"', "it has an entry 'name'"),
        ("[methods.naive]", "[methods]\nwrong = 5\n[methods.naive]", "methods.wrong is 5; it must be a table"),
    ],
)
def test_a_value_of_another_type_is_a_sentence_with_what_is_wanted(folder, old, new, message):
    path = folder / "toy.toml"
    assert old in (plain := path.read_text())
    path.write_text(plain.replace(old, new, 1))
    with pytest.raises(GenolmError, match=message) as caught:
        list_recipes(folder)
    assert str(caught.value).startswith(f"{path} cannot be used: ")
