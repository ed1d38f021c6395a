import numpy as np
import pandas as pd
import pytest

from genolm.config import Schedule
from genolm.errors import SettingsError, TableError
from genolm.finetuning import FinetuneSettings, finetune, load_encoder, split_table
from genolm.predict import Predictor
from genolm.registry import list_bundles, load_bundle
from genolm.tables import read_table

QUICK = FinetuneSettings(schedule=(Schedule(2, 2e-2),), batch_size=16, drop_mult=0.1, seed=2)


def biased(rng, length, gc):
    return "".join(rng.choice(list("ACGT"), length, p=[(1 - gc) / 2, gc / 2, gc / 2, (1 - gc) / 2]))


@pytest.fixture
def table_path(tmp_path, rng):
    """Two classes that differ in base composition, with a split."""
    rows = [(biased(rng, 45, 0.2 if n % 2 else 0.8), "AT-rich" if n % 2 else "GC-rich") for n in range(160)]
    frame = pd.DataFrame(rows, columns=["sequence", "label"])
    frame["split"] = ["train"] * 100 + ["valid"] * 30 + ["test"] * 30
    path = tmp_path / "table.csv"
    frame.to_csv(path, index=False)
    return path


def test_a_table_becomes_a_model_that_every_command_finds(table_path, toy_language_model_path):
    folder = finetune(table_path, str(toy_language_model_path), "gc-classes", settings=QUICK)
    assert "gc-classes" in [info.name for info in list_bundles()]
    bundle = load_bundle("gc-classes")
    assert bundle.path == folder and bundle.config.head.classes == ("AT-rich", "GC-rich")
    assert bundle.config.window.length == 45 and bundle.config.tokenizer.k == 3
    test = pd.read_csv(table_path).query("split == 'test'")
    found = Predictor(bundle).predict(list(test["sequence"]), list(test["label"]))
    accuracy = np.mean([a == b for a, b in zip(found.predicted, test["label"], strict=True)])
    assert accuracy > 0.9
    told = bundle.card["metrics"]["test"]["accuracy"]
    assert told["low"] <= told["value"] <= told["high"]
    assert told["value"] == pytest.approx(accuracy, abs=0.04)
    assert bundle.card["training"]["counts"] == {"train": 100, "valid": 30, "test": 30}
    assert not folder.with_name("gc-classes.training").exists()


def test_a_name_that_is_taken_is_refused_before_training(table_path, toy_language_model_path, tmp_path):
    taken = tmp_path / "taken"
    taken.mkdir()
    with pytest.raises(SettingsError, match="There is a model in"):
        finetune(table_path, str(toy_language_model_path), "taken", settings=QUICK, out_dir=taken)


def test_the_encoder_comes_from_the_language_model(toy_language_model_path):
    from genolm.classifier import SequenceClassifier
    from genolm.config import HeadConfig

    bundle = load_bundle(str(toy_language_model_path))
    model = SequenceClassifier(bundle.config.encoder, HeadConfig(), 67)
    load_encoder(model, bundle)
    source = bundle.build()
    for ours, theirs in zip(model.encoder.parameters(), source.encoder.parameters(), strict=True):
        assert (ours == theirs).all()


def test_one_label_is_refused(tmp_path, toy_language_model_path):
    path = tmp_path / "one.csv"
    path.write_text("sequence,label\n" + "ACGTACGTAC,yes\n" * 5)
    with pytest.raises(TableError, match="Every label is 'yes'"):
        finetune(path, str(toy_language_model_path), "one", settings=QUICK)


def test_without_a_split_similar_sequences_stay_together(tmp_path, rng):
    families = [biased(rng, 80, 0.5) for _ in range(40)]
    rows = [(seq[shift : shift + 60], n % 2) for n, seq in enumerate(families) for shift in (0, 5, 10)]
    path = tmp_path / "families.csv"
    pd.DataFrame(rows, columns=["sequence", "label"]).to_csv(path, index=False)
    table = read_table(path)
    split = split_table(table, np.array([row[1] for row in rows]), seed=1)
    assert {"train", "valid", "test"} == set(split)
    for family in range(40):
        assert len(set(split[3 * family : 3 * family + 3])) == 1


def test_a_split_without_validation_is_refused(tmp_path):
    path = tmp_path / "half.csv"
    path.write_text("sequence,label,split\nACGTACGTAC,a,train\nACGTACGTAA,b,train\n")
    with pytest.raises(TableError, match="needs train and valid"):
        split_table(read_table(path), np.array([0, 1]), seed=1)
