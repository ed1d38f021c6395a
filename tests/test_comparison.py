import dataclasses
import json

import numpy as np
import pytest
from click.testing import CliRunner

import genolm.compute  # noqa: F401  sets the OpenMP wait policy before torch is loaded
import torch

from genolm.bundles import read_bundle
from genolm.cli import commands
from genolm.comparison import Comparison, compare_models, same_question
from genolm.config import Calibration, HeadConfig
from genolm.errors import SettingsError, TableError
from genolm.metrics import score
from genolm.pipelines import evaluate_table
from genolm.predict import Predictor
from genolm.record import file_facts, write_json
from genolm.registry import save_bundle
from genolm.seen import seen_digest
from genolm.sequences import reverse_complement

OPTIONS = {"precision": "fp32", "threads": 1, "n_boot": 300}


@pytest.fixture
def variant(toy_bundle_path, tmp_path):
    """A function name, change of its state, card, changes of its config -> path of a variant of the toy classifier."""

    def made(name, change=None, *, card=None, **given):
        bundle = read_bundle(toy_bundle_path)
        state = bundle.state_dict()
        if change:
            change(state)
        config = dataclasses.replace(bundle.config, name=name, **given)
        save_bundle(tmp_path / name, config, state, card or {}, dtype="fp32")
        return tmp_path / name

    return made


def turn(state):
    """Let a classifier say the opposite."""
    last = max((key for key in state if state[key].shape[:1] == (2,)), key=lambda key: state[key].dim())
    state[last] = torch.flip(state[last], [0])
    state[last.replace("weight", "bias")] = torch.flip(state[last.replace("weight", "bias")], [0])


@pytest.fixture
def table(toy_bundle_path, tmp_path, make_dna):
    """120 rows that the toy classifier ranks mostly right; every third one is of the split test."""
    rng = np.random.default_rng(1)
    sequences = [make_dna(60) for _ in range(120)]
    margins = np.diff(Predictor(read_bundle(toy_bundle_path), precision="fp32", threads=1).logits(sequences))
    noisy = margins[:, 0] + 0.4 * margins.std() * rng.normal(size=120)
    labels = np.where(noisy > np.median(noisy), "promoter", "other")
    lines = [
        f"{sequence},{label},{'train' if place % 3 else 'test'}"
        for place, (sequence, label) in enumerate(zip(sequences, labels, strict=True))
    ]
    path = tmp_path / "rows.csv"
    path.write_text("\n".join(["sequence,label,split", *lines]) + "\n")
    return path


def test_a_good_model_beats_its_opposite(variant, toy_bundle_path, table):
    found = compare_models(toy_bundle_path, variant("turned", turn), table, **OPTIONS)
    assert found.main_metric == "auroc" and found.rows == 120
    assert dataclasses.replace(found, task="multiclass").main_metric == "accuracy"
    pair = found.metrics["auroc"]
    assert pair.a.value > 0.8 and pair.difference.low > 0 and pair.p < 0.01
    assert pair.a.value + pair.b.value == pytest.approx(1.0, abs=1e-6)
    assert sum(found.agreement.values()) == 120
    assert found.verdict.startswith("On these 120 rows toy-promoter is better: AUROC 0.")
    other = compare_models(variant("turned", turn), toy_bundle_path, table, **OPTIONS)
    assert "toy-promoter is better" in other.verdict
    assert other.metrics["auroc"].difference.value == pytest.approx(-pair.difference.value)


def test_scores_are_those_of_each_model_alone(variant, toy_bundle_path, table):
    found = compare_models(toy_bundle_path, variant("turned", turn), table, **OPTIONS)
    frame = table.read_text().splitlines()[1:]
    sequences, labels, _ = zip(*(line.split(",") for line in frame), strict=True)
    predictor = Predictor(read_bundle(toy_bundle_path), precision="fp32", threads=1)
    truth = np.array([label == "promoter" for label in labels])
    alone = score("binary", predictor.predict(sequences).probabilities, truth, n_boot=0)
    for key, estimate in alone.items():
        np.testing.assert_allclose(found.metrics[key].a.value, estimate.value)


def test_a_model_and_itself_cannot_be_told_apart(variant, toy_bundle_path, table):
    found = compare_models(toy_bundle_path, variant("twin"), table, split="test", **OPTIONS)
    assert found.rows == 40 and found.metrics["auroc"].p == 1.0
    assert "cannot be told apart" in found.verdict
    assert found.agreement["only_a"] == found.agreement["only_b"] == 0
    assert any("40 rows are few" in warning for warning in found.warnings)


def test_an_interval_needs_draws(toy_bundle_path, table):
    with pytest.raises(SettingsError, match="n_boot is 0; an interval needs draws"):
        compare_models(toy_bundle_path, toy_bundle_path, table, n_boot=0)
    with pytest.raises(SettingsError, match="n_boot is 0; an interval needs draws"):
        evaluate_table(toy_bundle_path, table, n_boot=0)


def test_similar_rows_are_drawn_together(variant, toy_bundle_path, table, tmp_path):
    head, *lines = table.read_text().splitlines()
    path, twin = tmp_path / "twice.csv", variant("turned", turn)
    path.write_text("\n".join([head, *lines, *lines]) + "\n")
    once, found = (compare_models(toy_bundle_path, twin, item, **OPTIONS) for item in (table, path))
    assert (once.rows, once.drawn, found.rows, found.drawn) == (120, 120, 240, 120)
    for key in ("accuracy", "auroc"):
        (gap, other) = (item.metrics[key].difference for item in (once, found))
        assert other.value == pytest.approx(gap.value)
        assert other.high - other.low == pytest.approx(gap.high - gap.low, rel=0.2), "copies tell nothing new"
    named = [f"{line},gene {number // 4}" for number, line in enumerate(lines)]
    path.write_text("\n".join([f"{head},group", *named]) + "\n")
    assert compare_models(toy_bundle_path, twin, path, **OPTIONS).drawn == 30
    path.write_text("\n".join([head, *[lines[0]] * 5]) + "\n")
    alike = compare_models(toy_bundle_path, twin, path, **OPTIONS)
    assert (alike.rows, alike.drawn) == (5, 0)
    told = CliRunner().invoke(commands, ["compare", str(toy_bundle_path), str(twin), str(path), "--draws", "200"])
    assert "More than half of the rows are related" in told.stdout


def test_models_of_the_same_weights_are_told_apart_by_how_they_answer(variant, toy_bundle_path, table):
    sequences = [line.split(",")[0] for line in table.read_text().splitlines()[1:]]
    predictor = Predictor(read_bundle(toy_bundle_path), precision="fp32", threads=1)
    middle = float(np.median(predictor.probabilities(predictor.logits(sequences))[:, 1]))
    ways = {"all": Calibration(threshold=0.0), "half": Calibration(threshold=middle)}
    every, halved = (variant(name, calibration=known) for name, known in ways.items())
    found = compare_models(every, halved, table, **OPTIONS)
    assert found.a["sha256"] == found.b["sha256"] and found.metrics["auroc"].difference.value == 0
    assert [item["answers"]["threshold"] for item in (found.a, found.b)] == [0.0, middle]
    assert found.metrics["mcc"].b.value > 0.3 > found.metrics["mcc"].a.value == 0


def test_rows_in_the_training_are_counted(variant, table):
    sequences = [line.split(",")[0] for line in table.read_text().splitlines()[1:]]
    seen = [reverse_complement(item).lower() for item in sequences[:30:3]] + ["ACGT" * 15]
    knows = variant("knows", card={"training": {"seen": seen_digest(seen)}})
    fair = variant("fair", card={"training": {"seen": seen_digest(["ACGT" * 15])}})
    found = compare_models(knows, fair, table, split="test", **OPTIONS).warnings
    assert found[0] == "10 of the 40 rows were in the training of model knows: its scores are too good."
    assert not any("fair" in text for text in found)
    broken = variant("broken", card={"training": {"seen": "???"}})
    found = compare_models(broken, fair, table, **OPTIONS).warnings
    assert any("broken does not list" in text for text in found)


def test_another_columns_bad_rows_and_missing_labels(variant, table, tmp_path):
    header, *lines = table.read_text().splitlines()
    path = tmp_path / "mine.csv"
    path.write_text("\n".join(["dna,class,split", *lines, "ACG!,other,test", "ACGTACGT,,test"]) + "\n")
    models = variant("a"), variant("b", turn)
    with pytest.raises(TableError, match="no column 'sequence'"):
        compare_models(*models, path, **OPTIONS)
    columns = (("sequence", "dna"), ("label", "class"))
    with pytest.raises(TableError, match="row 122"):
        compare_models(*models, path, columns=columns, **OPTIONS)
    found = compare_models(*models, path, columns=columns, skip_bad_rows=True, **OPTIONS)
    plain = compare_models(*models, table, **OPTIONS)
    assert found.as_dict()["metrics"] == plain.as_dict()["metrics"]
    said = "1 row cannot be used and was left out; the first is row 122: position 4"
    assert found.warnings[0].startswith(said)
    assert found.warnings[1] == "1 row without a label was left out."
    given = ["--column", "sequence=dna", "--column", "label=class", "--skip-bad-rows", "--json"]
    given += ["--threads", "1"]
    ran = CliRunner().invoke(commands, ["compare", *map(str, (*models, path)), "--draws", "100", *given])
    assert json.loads(ran.stdout)["rows"] == 120, ran.output


def test_a_folder_of_classes_is_compared_on(variant, make_dna, tmp_path):
    folder = tmp_path / "classes"
    folder.mkdir()
    for name in ("other", "promoter"):
        records = "".join(f">{name}{place}\n{make_dna(60)}\n" for place in range(20))
        (folder / f"{name}.fa").write_text(records)
    found = compare_models(variant("a"), variant("b", turn), folder, **OPTIONS)
    assert found.rows == 40 and found.table["name"] == "classes"


def test_rows_that_a_model_has_learned_from_are_warned_of(variant, table):
    data = [file_facts(table)]
    knows = variant("knows", card={"data": data, "settings": {"split": "cluster"}})
    fair = variant("fair", card={"data": data, "settings": {"split": "given"}})
    found = compare_models(knows, fair, table, split="test", **OPTIONS).warnings
    assert any(text.startswith("knows was trained on rows of rows.csv") for text in found)
    assert any(text.startswith("fair was trained on other rows") for text in found)
    stranger = variant("stranger", card={"data": [{"name": "x", "sha256": "00"}]})
    found = compare_models(stranger, variant("silent"), table, **OPTIONS).warnings
    assert [text.split(" does")[0] for text in found] == ["The card of stranger", "The card of silent"]
    assert all("it is unknown whether these rows" in text for text in found)


def test_models_of_other_questions_are_refused(variant, toy_bundle_path, table):
    others = {
        "only models with the same classes": HeadConfig("binary", ("other", "enhancer")),
        "the positive class is": HeadConfig("binary", ("promoter", "other")),
        "for a multilabel one": HeadConfig("multilabel", ("other", "promoter")),
    }
    for place, (words, head) in enumerate(others.items()):
        with pytest.raises(SettingsError, match=words):
            compare_models(toy_bundle_path, variant(f"other-{place}", head=head), table, **OPTIONS)
    with pytest.raises(TableError, match="no rows of split 'valid'"):
        compare_models(toy_bundle_path, variant("twin"), table, split="valid", **OPTIONS)


def test_what_is_not_the_positive_class_may_have_two_names(variant, toy_bundle_path, table):
    twin = variant("twin", head=HeadConfig("binary", ("non-promoter", "promoter")))
    one = compare_models(toy_bundle_path, twin, table, **OPTIONS)
    lines = [line.replace(",other", ",non-promoter") if place % 3 else line for place, line in enumerate(table.read_text().splitlines())]
    table.write_text("\n".join(lines) + "\n")
    both, turned = (compare_models(*pair, table, **OPTIONS) for pair in ((toy_bundle_path, twin), (twin, toy_bundle_path)))
    for key in ("auroc", "accuracy"):
        assert both.metrics[key].a.value == one.metrics[key].a.value == turned.metrics[key].b.value > 0.2
    assert same_question(HeadConfig("binary", ("a", "yes")), HeadConfig("binary", ("b", "yes")))
    assert not same_question(HeadConfig("binary", ("yes", "a")), HeadConfig("binary", ("yes", "b")))
    assert not same_question(HeadConfig("multiclass", ("a", "b", "c")), HeadConfig("multiclass", ("a", "b", "d")))


def test_classes_in_another_order_are_put_in_order(variant, table):
    def labels(*classes):
        return HeadConfig("multilabel", classes)

    a = variant("a", head=labels("other", "promoter"))
    b = variant("b", turn, head=labels("promoter", "other"))
    found = compare_models(a, b, table, **OPTIONS)
    assert all(pair.difference.value == 0 for pair in found.metrics.values())


def test_a_comparison_from_before_groups_comes_back(variant, toy_bundle_path, table):
    found = compare_models(toy_bundle_path, variant("turned", turn), table, **OPTIONS)
    data = found.as_dict()
    del data["drawn"]
    data["format_version"] = 1
    assert Comparison.from_dict(json.loads(json.dumps(data))).verdict == found.verdict


def test_a_comparison_comes_back_from_json(variant, toy_bundle_path, table, tmp_path):
    found = compare_models(toy_bundle_path, variant("turned", turn), table, **OPTIONS)
    write_json(tmp_path / "c.json", found.as_dict())
    again = Comparison.from_dict(json.loads((tmp_path / "c.json").read_text()))
    assert again.verdict == found.verdict and again.as_dict() == found.as_dict()
    assert list(again.frame()["metric"]) == list(found.metrics)
    with pytest.raises(SettingsError, match="format 7"):
        Comparison.from_dict({**found.as_dict(), "format_version": 7})


def test_the_command_prints_writes_and_refuses(variant, toy_bundle_path, table, tmp_path):
    arguments = ["compare", str(toy_bundle_path), str(variant("turned", turn)), str(table), "--draws", "100"]
    arguments += ["--threads", "1"]
    ran = CliRunner().invoke(commands, [*arguments, "--out", str(tmp_path / "c.json")])
    assert ran.exit_code == 0, ran.output
    assert "toy-promoter is better" in ran.stdout and "AUROC" in ran.stdout and "A - B" in ran.stdout
    assert "Note: The card of turned" in ran.stderr
    ran = CliRunner().invoke(commands, [*arguments, "--out", str(tmp_path / "none" / "c.json")])
    assert ran.exit_code == 2 and f"{tmp_path / 'none' / 'c.json'} cannot be written" in ran.stderr
    ran = CliRunner().invoke(commands, [*arguments, "--json", "--split", "test"])
    data = json.loads(ran.stdout)
    assert data["rows"] == 40 and set(data["metrics"]["auroc"]) == {"a", "b", "difference", "p"}
    assert json.loads((tmp_path / "c.json").read_text())["rows"] == 120
    other = variant("other-task", head=HeadConfig("multilabel", ("other", "promoter")))
    ran = CliRunner().invoke(commands, ["compare", str(toy_bundle_path), str(other), str(table)])
    assert ran.exit_code == 2 and "multilabel" in ran.stderr
