import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner

import genolm.compute as compute
from genolm import reduction
from genolm.cli import commands
from genolm.classifier_training import TrainedClassifier
from genolm.config import Calibration, FinetuneSettings, PRESETS
from genolm.errors import BundleError, Cancelled, SettingsError, TableError, TrainingError
from genolm.finetuning import finetune
from genolm.metrics import binary_metrics
from genolm.model_report import read_report
from genolm.pipelines import evaluate_table
from genolm.predict import Predictor
from genolm.preparation import prepare_training
from genolm.registry import list_bundles, load_bundle
from genolm.seen import count_seen
from genolm.training import History
from genolm.workspace import models_dir

QUICK = FinetuneSettings(epochs=2, batch_size=16, lr=1e-2, drop_mult=0.1, seed=2)


def biased(rng, length, gc):
    return "".join(rng.choice(list("ACGT"), length, p=[(1 - gc) / 2, gc / 2, gc / 2, (1 - gc) / 2]))


@pytest.fixture
def frame(rng):
    """Two classes that differ in base composition, with a split."""
    rows = [(biased(rng, 45, 0.2 if n % 2 else 0.8), "AT-rich" if n % 2 else "GC-rich") for n in range(160)]
    frame = pd.DataFrame(rows, columns=["sequence", "label"])
    frame["split"] = ["train"] * 100 + ["valid"] * 30 + ["test"] * 30
    return frame


@pytest.fixture
def table_path(tmp_path, frame):
    path = tmp_path / "table.csv"
    frame.to_csv(path, index=False)
    return path


@pytest.fixture
def base(toy_language_model_path):
    return str(toy_language_model_path)


def changed(**values):
    return FinetuneSettings(**{**vars(QUICK), **values})


def test_what_begins_anywhere_is_answered_in_every_frame(table_path, frame, base):
    """The trained classifier, its bundle and the record of it read alike, short sequences too."""
    bundle = load_bundle(finetune(table_path, base, "in-frames", settings=changed(shifted=True, epochs=1)))
    assert bundle.config.framed and bundle.card["settings"]["framed"] and bundle.config.tokenizer.stride == 2
    sequences = [item[:size] for item, size in zip(frame["sequence"], (2, 3, 4, 5, 30, 45), strict=False)]
    config = replace(bundle.config, framed=False, calibration=Calibration())
    plain = Predictor(replace(bundle, config=config), precision="fp32", threads=1)
    cut = [[item[first if len(item) - first >= 3 else 0 :] for item in sequences] for first in (0, 1)]
    first, second = (plain.logits(items) for items in cut)
    np.testing.assert_allclose(Predictor(bundle, precision="fp32").logits(sequences), (first + second) / 2, rtol=1e-4)
    ways = ({"framed": True}, {})
    parts = (bundle.build(), plain.tokenizer, plain.head, Calibration(), History())
    framed, single = (TrainedClassifier(*parts, settings) for settings in ways)
    expected = np.mean([single.logits(items) for items in cut], axis=0)
    np.testing.assert_allclose(framed.logits(sequences), expected, rtol=1e-4)
    assert not np.allclose(expected, single.logits(sequences), rtol=1e-3)
    plainly = changed(shifted=True, epochs=1, framed=False)
    assert not load_bundle(finetune(table_path, base, "in-one", settings=plainly)).config.framed


def test_a_training_that_was_begun_before_there_were_frames_and_slots_goes_on(table_path, base):
    """Its kept settings do not name them, nor do those of now unless they are asked for."""
    for given, named in ((None, False), (True, True), (False, True)):
        facts = prepare_training(table_path, base, changed(shifted=True, framed=given)).facts
        assert ("framed" in facts["settings"]) == named and "slots" not in facts["settings"]
    assert prepare_training(table_path, base, changed(slots=0)).facts["settings"]["slots"] == 0


def test_a_table_becomes_a_model_that_every_command_finds(table_path, frame, base, tmp_path):
    folder = finetune(table_path, base, "gc-classes", settings=QUICK, report_dir=tmp_path / "report")
    assert "gc-classes" in [info.name for info in list_bundles()]
    bundle = load_bundle("gc-classes")
    assert bundle.path == folder and bundle.config.head.classes == ("AT-rich", "GC-rich")
    assert bundle.config.window.length == 45 and bundle.config.tokenizer.k == 3
    test = frame.query("split == 'test'")
    found = Predictor(bundle, precision="fp32").predict(list(test["sequence"]), list(test["label"]))
    accuracy = np.mean([a == b for a, b in zip(found.predicted, test["label"], strict=True)])
    assert accuracy > 0.9
    told = bundle.card["metrics"]["test"]["accuracy"]
    assert told["low"] <= told["value"] <= told["high"]
    assert told["value"] == pytest.approx(accuracy, abs=0.04)
    assert bundle.card["training"]["counts"] == {"train": 100, "valid": 30, "test": 30}
    learned = frame.query("split != 'test'")["sequence"]
    assert count_seen(bundle.card["training"]["seen"], learned) == 130
    assert count_seen(bundle.card["training"]["seen"], test["sequence"]) == 0
    assert bundle.card["training"]["seen"] not in (bundle.path / "card.md").read_text()
    assert bundle.card["network"]["k"] == 3
    # What gives the classes away without a model stands beside it: here the base composition.
    gc_alone = next(scores for name, scores in bundle.card["baselines"].items() if "GC" in name)
    assert gc_alone["auroc"]["value"] > 0.95
    assert not folder.with_name(".gc-classes.training").exists()
    assert read_report(tmp_path / "report")["name"]
    record = json.loads((tmp_path / "report" / "run.json").read_text())
    assert record["model"]["sha256"] == load_bundle(base).sha256
    assert record["settings"]["seed"] == 2 and record["settings"]["split"] == "given"


def test_copies_of_test_rows_make_no_interval_narrower(table_path, frame, base, tmp_path):
    test = frame["split"] == "test"
    frame.loc[test, "label"] = frame.loc[test, "label"].where(np.arange(30) % 5 > 0, "AT-rich")
    cards, reports = [], []
    for copies in (1, 4):
        pd.concat([frame, *[frame[test]] * (copies - 1)]).to_csv(table_path, index=False)
        folder = tmp_path / f"report{copies}"
        finetune(table_path, base, f"copies-{copies}", settings=QUICK, report_dir=folder)
        cards.append(load_bundle(f"copies-{copies}").card)
        reports.append(read_report(folder))
        found = reports[-1]["splits"]["test"]
        assert (found["rows"], found["drawn"]) == (30 * copies, 30)
        assert found["metrics"]["accuracy"] == cards[-1]["metrics"]["test"]["accuracy"]

    def width(scores):
        return scores["accuracy"]["high"] - scores["accuracy"]["low"]

    once, often = (card["metrics"]["test"] for card in cards)
    assert often["accuracy"]["value"] == once["accuracy"]["value"] < 1
    # Four copies that were drawn one by one would halve the width.
    assert width(often) == pytest.approx(width(once), rel=0.2)
    for name, scores in cards[0]["baselines"].items():
        assert width(cards[1]["baselines"][name]) == pytest.approx(width(scores), rel=0.3), name
        assert width(reports[1]["baselines"][name]["metrics"]) == pytest.approx(width(scores), rel=0.3), name
    assert not any("groups" in limit for card in cards for limit in card["limits"])


def test_rows_of_one_group_make_the_interval_of_a_card_wider(table_path, frame, base, tmp_path):
    wrong = np.flatnonzero((frame["split"] == "test") & (frame["label"] == "AT-rich"))[:8]
    frame.loc[frame.index[wrong], "label"] = "GC-rich"
    named = [f"gene {row}" for row in range(len(frame))]
    for row in wrong:
        named[row] = f"gene {wrong[0]}"
    cards = []
    for name, table in (("alone", frame), ("grouped", frame.assign(group=named))):
        table.to_csv(table_path, index=False)
        folder = tmp_path / name
        finetune(table_path, base, name, settings=QUICK, report_dir=folder)
        cards.append(load_bundle(name).card)
        found = read_report(folder)["splits"]["test"]
        assert (found["rows"], found["drawn"]) == (30, 30 if name == "alone" else 23)
        assert found["metrics"]["accuracy"] == cards[-1]["metrics"]["test"]["accuracy"]
    alone, grouped = (card["metrics"]["test"]["accuracy"] for card in cards)
    assert grouped["value"] == alone["value"]
    assert grouped["high"] - grouped["low"] > 1.3 * (alone["high"] - alone["low"])


def test_a_name_that_is_taken_is_refused_before_training(table_path, base, tmp_path):
    taken = tmp_path / "taken"
    taken.mkdir()
    with pytest.raises(SettingsError, match="There is a model in"):
        finetune(table_path, base, "taken", settings=QUICK, out_dir=taken)


def test_a_training_that_is_cut_off_in_every_stage_makes_the_same_model(rng, tmp_path, base, monkeypatch):
    monkeypatch.setattr("genolm.plans.ADAPT_LEAST_BASES", 1_000)
    rows = [(biased(rng, 90, 0.35 if n % 2 else 0.65), f"class{n % 2}") for n in range(120)]
    path = tmp_path / "table.csv"
    pd.DataFrame(rows, columns=["sequence", "label"]).to_csv(path, index=False)
    settings = changed(adapt=True, seeds=2, epochs=1, watched=False)

    def stop_in(stage):
        def tell(report):
            if report.stage.startswith(stage) and report.done % 7 == 3:
                raise Cancelled("stop")

        return tell

    cut = tmp_path / "cut"
    with compute.torch_threads(1):
        whole = finetune(path, base, "whole", settings=settings, out_dir=tmp_path / "whole")
        for stage in ("language model", "classifier 1 of 2", "classifier 2 of 2"):
            with pytest.raises(Cancelled):
                finetune(path, base, "cut", settings=settings, out_dir=cut, progress=stop_in(stage))
            assert [item.name for item in tmp_path.glob(".*")] == [".cut.training"]
        with pytest.raises(SettingsError, match="was begun with other settings"):
            finetune(path, base, "cut", settings=changed(seed=9), out_dir=cut)
        finetune(path, base, "cut", settings=settings, out_dir=cut)
    one, other = load_bundle(whole), load_bundle(cut)
    assert one.config.members == 2
    assert one.card["training"]["adapted"] == other.card["training"]["adapted"]
    for key, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[key]), key


def test_a_model_that_takes_the_name_meanwhile_stays(table_path, base, tmp_path):
    place = tmp_path / "late"
    with pytest.raises(SettingsError, match="remove that model or rename it, and give the same command again"):
        finetune(table_path, base, "late", settings=QUICK, out_dir=place, progress=lambda _: place.mkdir(exist_ok=True))
    assert not list(place.iterdir())
    place.rmdir()
    told = []
    finetune(table_path, base, "late", settings=QUICK, out_dir=place, progress=told.append)
    assert not any(report.stage.startswith("classifier") for report in told)
    assert load_bundle(place).config.name == "late"


def test_a_failing_report_costs_no_training(table_path, base, tmp_path, monkeypatch):
    def fail(*arguments, **options):
        raise OSError("no space left")

    with monkeypatch.context() as broken, pytest.raises(OSError, match="no space left"):
        broken.setattr("genolm.training_report.write_report", fail)
        finetune(table_path, base, "again", settings=QUICK, report_dir=tmp_path / "report")
    assert "again" not in [info.name for info in list_bundles()]
    told = []
    finetune(table_path, base, "again", settings=QUICK, report_dir=tmp_path / "report", progress=told.append)
    assert not any(report.stage.startswith("classifier") for report in told)
    assert read_report(tmp_path / "report")["name"]


def test_a_training_that_learns_nothing_leaves_nothing_behind(tmp_path, base, rng):
    path = tmp_path / "noise.csv"
    rows = [(biased(rng, 45, 0.5), f"class{n % 2}", "valid" if n % 3 else "train") for n in range(90)]
    pd.DataFrame(rows, columns=["sequence", "label", "split"]).to_csv(path, index=False)
    with pytest.raises(TrainingError, match="Training was stopped"):
        finetune(path, base, "noise", settings=changed(epochs=40, drop_mult=0.0, lr=2e-3))
    assert not list(models_dir().iterdir())


def test_two_models_answer_with_their_mean_and_both_strands(table_path, base, frame):
    finetune(table_path, base, "pair", settings=changed(seeds=2, mirrored=True, epochs=1))
    bundle = load_bundle("pair")
    assert (bundle.config.members, bundle.config.mirrored) == (2, True)
    members = {key.split(".")[1] for key in bundle.state_dict() if key.startswith("members.")}
    assert members == {"0", "1"}
    told = bundle.card["metrics"]["test"]["auroc"]["value"]
    test = frame.query("split == 'test'")
    found = Predictor(bundle, precision="fp32").predict(list(test["sequence"]))
    ahead = [
        a > b
        for a, left in zip(found.probabilities[:, 1], test["label"], strict=True)
        for b, right in zip(found.probabilities[:, 1], test["label"], strict=True)
        if left == "GC-rich" and right == "AT-rich"
    ]
    assert told == pytest.approx(np.mean(ahead), abs=0.02)


def test_rows_without_a_label_feed_only_the_language_model(rng, tmp_path, base, frame):
    more = pd.DataFrame({"sequence": [biased(rng, 900, 0.5) for _ in range(60)], "label": "", "split": "train"})
    path = tmp_path / "more.csv"
    pd.concat([frame, more]).to_csv(path, index=False)
    finetune(path, base, "fed", settings=changed(adapt=True, epochs=1))
    card = load_bundle("fed").card
    assert card["training"]["counts"]["train"] == 100
    assert card["training"]["adapted"]["passes"] >= 1
    assert card["data"][0]["records"] == 160


def test_no_unlabelled_row_of_a_held_out_part_or_group_is_read(rng, tmp_path, base, frame):
    more = pd.DataFrame({"sequence": [biased(rng, 90, 0.5) for _ in range(60)], "label": ""})
    more["split"] = ["train", "valid", "test"] * 20
    path = tmp_path / "more.csv"
    pd.concat([frame, more]).to_csv(path, index=False)
    found = prepare_training(path, base, QUICK).unrelated()
    assert found == more.query("split == 'train'")["sequence"].tolist()
    assert len(prepare_training(path, base, changed(split="cluster")).unrelated()) == 60
    whole = pd.concat([frame, more]).drop(columns="split").reset_index(drop=True)
    whole["group"] = [f"g{row % 20}" for row in range(len(whole))]
    whole.to_csv(path, index=False)
    preparation = prepare_training(path, base, changed(split="group"))
    trained = set(whole["group"][:160][preparation.split.parts == "train"])
    assert 10 < len(trained) < 20
    rows = whole[160:]
    assert preparation.unrelated() == rows[rows["group"].isin(trained)]["sequence"].tolist()
    assert len(prepare_training(path, base, changed(split="random")).unrelated()) == 60


def test_settings_are_searched_on_validation_rows(table_path, base, tmp_path):
    told = []
    finetune(table_path, base, "searched", settings=changed(search_minutes=1e-6), progress=told.append)
    assert any(report.stage.startswith("trying settings") for report in told)
    assert [report.done for report in told] == sorted(report.done for report in told)


def test_the_reduction_curve_ends_with_all_rows(table_path, base, tmp_path):
    finetune(table_path, base, "reduced", settings=changed(reduction=True), report_dir=tmp_path / "report")
    curve = read_report(tmp_path / "report")["reduction"]
    assert [point["rows"] for point in curve] == [20, 50, 100]
    # One of 30 rows is .03 of accuracy, which another number of threads may move.
    first, last = (point["scores"]["auroc"]["value"] for point in (curve[0], curve[-1]))
    assert last > 0.95 > 0.8 > first


def test_fewer_sequences_are_learned_from_as_all_of_them_are(table_path, base, monkeypatch):
    plans = []
    train = reduction.train_classifier
    monkeypatch.setattr(reduction, "train_classifier", lambda *given, **more: plans.append(given[4]) or train(*given, **more))
    finetune(table_path, base, "ways", settings=changed(reduction=True, shifted=True, trimmed=True))
    assert plans and all(plan.shifted and plan.trimmed and plan.framed for plan in plans)


def test_held_out_rows_that_the_base_learned_from_are_told(table_path, frame, base, tmp_path):
    first, test = frame["split"] == "train", frame["split"] == "test"
    finetune(table_path, base, "first", settings=QUICK)
    frame.loc[frame.index[first][:12], "split"] = "test"
    frame.to_csv(table_path, index=False)
    told = "12 of the 42 test rows were in the training of first, which this one starts from: the figures are too good."
    preparation = prepare_training(table_path, "first", QUICK)
    assert told in preparation.known and preparation.known in preparation.split.notes
    assert prepare_training(table_path, "first", QUICK, from_scratch=True).known == ""
    finetune(table_path, "first", "second", settings=QUICK, report_dir=tmp_path / "report")
    card = load_bundle("second").card
    assert any(told in limit for limit in card["limits"])
    assert count_seen(card["training"]["seen"], frame["sequence"]) == 130, "what the base learned from counts as well"
    assert "taken from the classifier first." in (tmp_path / "report" / "methods.md").read_text()
    # A base whose list is damaged ends no training; what this one learned from is then not known.
    damaged = load_bundle("first").path / "card.json"
    damaged.write_text(json.dumps({**json.loads(damaged.read_text()), "training": {"seen": "???"}}))
    finetune(table_path, "first", "third", settings=QUICK)
    assert load_bundle("third").card["training"]["seen"] == ""
    # The same is said when a model is judged by such rows.
    warnings = evaluate_table("second", table_path, split="test").warnings
    few = "42 rows are few; expect wide intervals, and only large differences to show."
    assert warnings == ("12 of the 42 rows were in the training of model second: its scores are too good.", few)
    frame[test].to_csv(table_path, index=False)
    few = few.replace("42", str(test.sum()))
    assert evaluate_table("second", table_path).warnings == (few,)
    result = CliRunner().invoke(commands, ["evaluate", "second", str(table_path)])
    assert result.exit_code == 0 and result.output.count("Note:") == 1


def test_from_scratch_takes_only_the_tokens(table_path, base):
    finetune(table_path, base, "naive", settings=changed(preset="tiny", epochs=8), from_scratch=True)
    bundle = load_bundle("naive")
    assert bundle.config.encoder == PRESETS["tiny"]
    assert bundle.card["settings"]["base"] == "nothing (from scratch)"


def test_one_label_is_refused(tmp_path, base):
    path = tmp_path / "one.csv"
    path.write_text("sequence,label\n" + "ACGTACGTAC,yes\n" * 5)
    with pytest.raises(TableError, match="Every label is 'yes'"):
        finetune(path, base, "one", settings=QUICK)


def test_a_table_without_labels_is_refused(tmp_path, base):
    path = tmp_path / "none.csv"
    path.write_text("sequence\n" + "ACGTACGTAC\n" * 5)
    with pytest.raises(TableError, match="has no column 'label'"):
        finetune(path, base, "none", settings=QUICK)


@pytest.mark.parametrize("unit", [1e-9, 1.0, 1e6])
def test_a_regression_is_saved_as_it_was_measured_whatever_the_unit(rng, tmp_path, base, unit):
    rows = [biased(rng, 45, rng.uniform(0.1, 0.9)) for _ in range(160)]
    labels = [unit * (1 + row.count("G") + row.count("C")) for row in rows]
    split = ["train"] * 100 + ["valid"] * 30 + ["test"] * 30
    path = tmp_path / "kd.csv"
    pd.DataFrame({"sequence": rows, "label": labels, "split": split}).to_csv(path, index=False)
    settings = changed(task="regression", epochs=6)
    bundle = load_bundle(finetune(path, base, "kd", settings=settings, report_dir=tmp_path / "report"))
    found = Predictor(bundle).predict(rows[130:]).probabilities[:, 0]
    scores = bundle.card["metrics"]["test"]
    assert np.corrcoef(found, labels[130:])[0, 1] == pytest.approx(scores["pearson"]["value"], abs=1e-6)
    assert scores["pearson"]["value"] > 0.5 and len(set(found.tolist())) == 30
    assert np.sqrt(np.mean((found - labels[130:]) ** 2)) == pytest.approx(scores["rmse"]["value"], rel=1e-6)
    # Files have the numbers of the table and every digit of the answers.
    told = pd.read_csv(tmp_path / "report" / "predictions.csv").query("split == 'test'")
    np.testing.assert_allclose(told["label"], labels[130:], rtol=1e-8)
    np.testing.assert_array_equal(told["value_value"].astype(np.float32), found)


def test_what_a_card_says_holds_for_the_saved_model(table_path, frame, base):
    bundle = load_bundle(finetune(table_path, base, "one", settings=changed(epochs=1)))
    test = frame.query("split == 'test'")
    predictor = Predictor(bundle)
    truth = (test["label"] == predictor.classes[1]).to_numpy()
    chances = predictor.predict(test["sequence"].tolist()).probabilities
    told = bundle.card["metrics"]["test"]
    found = binary_metrics(chances, truth, threshold=bundle.config.calibration.threshold, n_boot=0)
    assert {key: item["value"] for key, item in told.items()} == pytest.approx(
        {key: found[key].value for key in told}, abs=1e-6
    )


def test_a_folder_of_another_name_is_refused_before_the_training(table_path, base, tmp_path):
    for folder, words in (("My Model (v1)", "cannot be a model's name"), ("other", "is called 'one', but its folder 'other'")):
        with pytest.raises((SettingsError, BundleError), match=words):
            finetune(table_path, base, "one", settings=QUICK, out_dir=tmp_path / folder)
    assert [path.name for path in tmp_path.iterdir()] == ["table.csv"]
