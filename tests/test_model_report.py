import dataclasses
import json
import re
import zipfile

import numpy as np
import pandas as pd
import pytest

from genolm import model_report, report_figures
from genolm.bundles import read_bundle
from genolm.errors import BundleError, SettingsError
from genolm.evaluation import coded_labels
from genolm.methods_text import methods_text
from genolm.record import run_record
from genolm.tables import read_table

CLASSES = {
    "binary": ("other", "promoter"),
    "multiclass": ("Bacillus", "Vibrio", "Escherichia"),
    "multilabel": ("kinase", "membrane"),
    "regression": ("strength", "width"),
}
MAIN = {"binary": "auroc", "multiclass": "accuracy", "multilabel": "auroc", "regression": "spearman"}
CARD = {
    "title": "A demonstration",
    "settings": {
        "base": "bacteria-lm",
        "split": "cluster",
        "batch_size": 64,
        "drop_mult": 0.4,
        "seed": 1,
        "members": 3,
        "mirrored": True,
        "schedule": [
            {"epochs": 1, "lr": 0.01, "unfreeze": 1},
            {"epochs": 2, "lr": 0.005, "unfreeze": 2},
            {"epochs": 5, "lr": 0.002, "unfreeze": 0},
        ],
    },
    "training": {
        "counts": {"train": 800, "valid": 100, "test": 120},
        "adapted": {"bits_per_base_before": 1.95, "bits_per_base_after": 1.9, "used": True},
        "seen": "c2Vlbg==",
    },
    "network": {"k": 4, "stride": 2, "embedding": 100, "hidden": 300, "layers": 3},
    "baselines": {"length only": {"auroc": {"value": 0.51, "low": 0.4, "high": 0.6}}},
}


@pytest.fixture
def record():
    """The record of a training."""
    return run_record(
        "finetune",
        inputs=[{"name": "sites.csv", "sha256": "ab" * 32, "rows": 1020}],
        model={"name": "bacteria-lm", "sha256": "cd" * 32},
        settings={"seed": 1, "search_minutes": 12.0},
        compute={"device": "one CPU"},
        started="2026-01-01T00:00:00Z",
        seconds=60,
        results={},
    )


@pytest.fixture
def report_of(make_answers, record, tmp_path):
    """A function task -> (folder of its report, the answers on its test rows)."""

    def made(task, **options):
        answers = make_answers(task, 120, classes=CLASSES[task])
        scores = {MAIN[task]: {"value": 0.8, "low": 0.7, "high": 0.9}}
        given = {
            "valid": make_answers(task, 60, classes=CLASSES[task], seed=8),
            "card": CARD,
            "record": record,
            "table": {"rows": 1020, "refused": [{}, {}]},
            "baselines": {"shuffled": answers.probabilities[::-1]},
            "extra": {"reduction": [{"rows": size, "scores": scores} for size in (50, 800)]},
            "n_boot": 60,
        }
        folder = tmp_path / f"report-{task}"
        paths = model_report.write_report(folder, "demo", answers, **{**given, **options})
        assert all(path.exists() for path in paths)
        return folder, answers

    return made


@pytest.mark.parametrize("task", CLASSES)
def test_a_report_has_all_its_files_and_opens_again(report_of, task):
    folder, answers = report_of(task)
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "report.json",
        "predictions.csv",
        "test_rows.csv.gz",
        "methods.md",
        "run.json",
        "table.json",
        "figures",
    }
    report = model_report.read_report(folder)
    assert report["format_version"] == 1 and report["classes"] == list(CLASSES[task])
    assert "seen" not in report["card"]["training"] and report["card"]["training"]["counts"]
    main = MAIN[task]
    assert report["main_metric"] == main
    own = answers.scores(n_boot=60)[main]
    assert report["splits"]["test"]["metrics"][main]["value"] == pytest.approx(own.value)
    assert set(report["baselines"]) == {"length only", "shuffled"}
    assert report["baselines"]["shuffled"]["difference"][main]["low"] > 0
    assert "shuffled" in (folder / "methods.md").read_text()
    check_figures(folder, task)


@pytest.mark.parametrize("task", CLASSES)
def test_predictions_and_test_rows_are_those_of_the_answers(report_of, task):
    folder, answers = report_of(task)
    text = {"label": str, "predicted": str}
    frame = pd.read_csv(folder / "predictions.csv", dtype=text, keep_default_na=False)
    assert frame["split"].value_counts().to_dict() == {"test": 120, "valid": 60}
    column = ("value_" if task == "regression" else "p_") + CLASSES[task][0]
    np.testing.assert_allclose(frame[column][:120], answers.probabilities[:, 0], rtol=1e-5)
    assert list(frame["label"][:120]) == answers.words(answers.labels)
    table = read_table(folder / "test_rows.csv.gz")
    assert table.sequences == list(answers.sequences) and table.names == list(answers.names)
    np.testing.assert_allclose(coded_labels(table.labels, answers.head), answers.labels, rtol=1e-5)


def check_figures(folder, task):
    """Hold the figures to be those of the task, and pages that need no network."""
    wanted = {
        "binary": {"roc", "precision_recall", "calibration", "confusion", "probabilities", "threshold"},
        "multiclass": {"roc", "precision_recall", "calibration", "confusion", "classes", "threshold"},
        "multilabel": {"roc", "precision_recall", "calibration", "classes"},
        "regression": {"scatter_1", "residuals_1", "scatter_2", "residuals_2"},
    }
    found = {path.stem for path in (folder / "figures").glob("*.html")}
    assert found == wanted[task] | {"scores", "fewer_sequences"}
    assert (folder / "figures" / "plotly.min.js").stat().st_size > 1e6
    for path in (folder / "figures").glob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert len(text) < 200_000 and '"format": "svg"' in text
        assert re.findall(r'(?:src|href)="([^"]*)"', text) == ["plotly.min.js"]


def test_without_test_rows_the_report_says_so(report_of, make_answers):
    valid = make_answers("binary", 50)
    folder = report_of("binary")[0].parent / "other"
    record = {"inputs": []}
    model_report.write_report(folder, "demo", valid, valid=valid, card={}, record=record, n_boot=20)
    report = model_report.read_report(folder)
    assert report["judged_by"] == "valid" and set(report["splits"]) == {"valid"}
    assert "no test sequences" in (folder / "methods.md").read_text()
    assert not (folder / "table.json").exists()
    assert set(pd.read_csv(folder / "predictions.csv")["split"]) == {"valid"}


def test_a_new_report_takes_the_place_of_the_old_one(report_of):
    folder, _ = report_of("binary")
    (folder / "notes.txt").write_text("mine")
    report_of("binary", extra=None, table=None)
    assert not (folder / "figures" / "fewer_sequences.html").exists()
    assert not (folder / "table.json").exists() and (folder / "notes.txt").exists()


def test_wrong_reports_get_a_sentence(tmp_path, make_answers):
    with pytest.raises(SettingsError, match="no report in"):
        model_report.read_report(tmp_path)
    path = tmp_path / "report.json"
    for text, words in (("{", "damaged"), ("[]", "damaged"), ('{"format_version": 99}', "format 99")):
        path.write_text(text)
        with pytest.raises(SettingsError, match=words):
            model_report.read_report(tmp_path)
    with pytest.raises(SettingsError, match="no rows to judge"):
        model_report.write_report(tmp_path, "demo", make_answers("binary", 0), card={}, record={})


def test_the_methods_tell_numbers_and_cite(report_of):
    text = (report_of("binary")[0] / "methods.md").read_text(encoding="utf-8")
    for words in (
        "tells other and promoter apart",
        "sites.csv (SHA-256 abababababababab) with 1,020 labelled sequences; 2 rows",
        "by sequence similarity",
        "800 for training, 100 for validation and 120 for test",
        "language model bacteria-lm, fine-tuned on the training sequences (validation 1.950 to 1.900",
        "embedding of 100, 3 layers of 300 units) reads overlapping 4-mers, one every 2 bp",
        "in a search of up to 12 minutes",
        "1 epoch of the head alone at a peak rate of 0.01, 2 epochs of the head and the last layer at",
        "batch size 64, dropout multiplier 0.4 and seed 1",
        "The answers of 3 such networks",
        "temperature 1.500",
        "from a probability of 0.400 on",
        "bootstrap intervals of 60 draws",
        "length only 0.510",
        "on one CPU",
    ):
        assert words in text
    for name in ("Howard J, Ruder S (2018)", "Merity S", "Heyer K (2019)", "Guo C", "Efron B", "Smith LN"):
        assert name in text


def test_methods_tell_that_similar_sequences_were_drawn_together(report_of, make_answers, record):
    answers = dataclasses.replace(make_answers("binary", 120), groups=np.arange(120) // 2)
    folder = model_report.write_report(
        report_of("binary")[0].with_name("grouped"), "demo", answers, card=CARD, record=record
    )[0].parent
    text = (folder / "methods.md").read_text(encoding="utf-8")
    assert "were drawn together, in 60 groups (Davison and Hinkley 1997)." in text


def test_methods_tell_of_balance_and_of_rows_without_a_label(report_of, record):
    report = model_report.read_report(report_of("binary")[0])
    assert "Elkan" not in methods_text(report, record=record)
    card = {**report["card"], "settings": {**report["card"]["settings"], "balanced": True}}
    text = methods_text({**report, "card": card}, record=record, table={"unlabelled": 5000})
    assert "brought back to the classes' true shares" in text and "Elkan C (2001)" in text
    assert "those of the table's 5,000 sequences without a label that resemble no validation" in text
    card["training"] = {"adapted": {"used": False}}
    text = methods_text({**report, "card": card}, record=record)
    assert "unchanged: fine-tuning it on the training sequences did not help" in text


def test_methods_of_a_card_that_knows_nothing_are_still_true(report_of):
    report = {**model_report.read_report(report_of("regression")[0]), "card": {}, "baselines": {}}
    text = methods_text(report, record={})
    assert "predicts strength and width" in text and "Smith" not in text and "Guo" not in text
    assert "None" not in text and "  " not in text.split("## ")[0]


def test_everything_goes_into_one_zip(report_of, toy_bundle_path, tmp_path):
    folder, _ = report_of("binary")
    (folder / "private.txt").write_text("not of the report")
    path = model_report.pack_report(folder, toy_bundle_path, tmp_path / "all.zip")
    with zipfile.ZipFile(path) as archive:
        names = set(archive.namelist())
        archive.extractall(tmp_path / "out")
    assert {"demo/README.txt", "demo/card.md", "demo/report/report.json"} <= names
    assert "demo/report/figures/roc.html" in names and not any("private" in name for name in names)
    assert read_bundle(tmp_path / "out/demo/model/toy-promoter").sha256 == read_bundle(toy_bundle_path).sha256
    assert model_report.read_report(tmp_path / "out/demo/report")["name"] == "demo"
    readme = (tmp_path / "out/demo/README.txt").read_text()
    told = {line.split("  ")[0] for line in readme.splitlines()[2:]}
    top = {name.removeprefix("demo/") for name in names} - {"README.txt"}
    assert all(any(name == item or name.startswith(item) for item in told) for name in top)


def test_a_model_that_was_replaced_is_not_packed(report_of, record, toy_bundle_path, tmp_path):
    own = {"name": "model.safetensors", "sha256": read_bundle(toy_bundle_path).sha256}
    other = {**own, "sha256": "ef" * 32}
    card = {"name": "card.json", "sha256": "ef" * 32}
    folder, _ = report_of("binary", record={**record, "outputs": [card, own]})
    assert model_report.is_model_of(folder, toy_bundle_path)
    assert model_report.pack_report(folder, toy_bundle_path, tmp_path / "own.zip").is_file()
    report_of("binary", record={**record, "outputs": [other]})
    assert not model_report.is_model_of(folder, toy_bundle_path)
    with pytest.raises(BundleError, match="replaced since.*those of the report efefefefefef…"):
        model_report.pack_report(folder, toy_bundle_path, tmp_path / "other.zip")
    assert [path.name for path in tmp_path.glob("*.zip")] == ["own.zip"]
    for text in ("{", "[]", '{"outputs": [1]}', '{"outputs": []}'):
        (folder / "run.json").write_text(text)
        assert model_report.is_model_of(folder, toy_bundle_path)
    (folder / "run.json").unlink()
    assert model_report.is_model_of(folder, toy_bundle_path)


def test_many_classes_stay_readable(make_answers):
    classes = tuple(f"genus number {place:03}" for place in range(80))
    answers = make_answers("multiclass", 400, classes=classes)
    rows = model_report.report_data.measure(answers, n_boot=10)
    figure = report_figures.class_figure(rows["per_class"])
    assert len(figure.data[0].x) == report_figures.MOST_CLASSES
    assert len(report_figures.roc_figure(rows).data) == report_figures.MOST_LINES + 1
    assert len(report_figures.confusion_figure(rows["confusion"], classes).data) == 1
    assert len(json.dumps(rows)) < 2_000_000


def test_error_bars_reach_from_low_to_high(report_of):
    report = model_report.read_report(report_of("binary")[0])
    trace = report_figures.scores_figure(report).data[0]
    found = report["splits"]["test"]["metrics"]["auroc"]
    assert trace.x[0] - trace.error_x.arrayminus[0] == pytest.approx(found["low"])
    assert trace.x[0] + trace.error_x.array[0] == pytest.approx(found["high"])


def test_no_words_of_a_figure_lie_over_others_or_are_cut_off(report_of):
    report = model_report.read_report(report_of("binary")[0])
    drawn = report_figures.figures(report)
    # The empty first line of the legend is the place of the buttons; what is drawn has no text over it.
    assert {name: figure.layout.legend.title.text for name, figure in drawn.items()} == dict.fromkeys(drawn, " ")
    assert not drawn["probabilities"].layout.annotations
    threshold = report["calibration"]["threshold"]
    assert drawn["probabilities"].data[-1].name == f"threshold {threshold:.2f}"
    metrics = {"auroc": {"difference": {"value": 0.1, "low": -0.1, "high": 0.3}}}
    figure = report_figures.difference_figure(metrics, ("a-model-of-twenty-two", "another-of-twenty-two."))
    assert max(map(len, figure.layout.xaxis.title.text.split("<br>"))) < 45
