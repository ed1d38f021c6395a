import json
import math
import shutil
from dataclasses import replace

import numpy as np
import pytest

from genolm import pretrain_plan, pretraining
from genolm.ascode import parse_arguments
from genolm.config import TokenizerConfig
from genolm.errors import BundleError, Cancelled, SettingsError, TrainingError
from genolm.pretrain_plan import PretrainSpeed
from genolm.pretraining import PretrainSettings, plan_for_files, pretrain
from genolm.record import file_facts
from genolm.registry import import_bundle, list_bundles, load_bundle
from genolm.workspace import models_dir

QUICK = PretrainSettings(
    **{"preset": "tiny", "k": 2, "stride": 2, "tokens": 60_000, "rows": 8, "bptt": 20, "piece": 500},
    **{"lr": 2e-2, "validations": 3, "drop_mult": 0.0, "alpha": 0.0, "beta": 0.0},
)
SHORT = replace(QUICK, tokens=8_000)
ENTROPY = -(0.775 * math.log2(0.775) + 3 * 0.075 * math.log2(0.075))


@pytest.fixture
def genome_path(tmp_path, rng):
    """A plasmid and a chromosome of a first-order chain that prefers ACGT in turn."""
    steps = np.where(rng.random(60_000) < 0.7, 1, rng.integers(0, 4, 60_000))
    bases = "".join("ACGT"[code] for code in np.cumsum(steps) % 4)
    path = tmp_path / "genome.fa"
    path.write_text(f">chromosome\n{bases[:57_000]}\n>plasmid\n{bases[57_000:]}\n")
    return path


def test_a_genome_becomes_a_language_model_that_knows_its_chain(genome_path, tmp_path):
    folder = pretrain([genome_path], out_dir=tmp_path / "chain-lm", settings=QUICK)
    bundle = load_bundle(folder)
    assert bundle.config.kind == "language-model" and bundle.config.tokenizer == TokenizerConfig(2, 2)
    told = bundle.card["metrics"]["held-out"]["bits_per_base"]
    assert ENTROPY - 0.05 < told["value"] < ENTROPY + 0.15
    assert told["low"] < told["value"] < told["high"]
    assert "plasmid" in " ".join(bundle.card["limits"])
    short = replace(QUICK, tokens=15_000)
    again = pretrain([genome_path], out_dir=tmp_path / "more-lm", settings=short, base=str(folder))
    card = load_bundle(again).card
    assert card["metrics"]["held-out"]["bits_per_base"]["value"] < told["value"] + 0.02
    assert (card["settings"]["k"], card["settings"]["stride"], card["settings"]["preset"]) == (2, 2, "tiny")
    before = card["baselines"]["chain-lm, before"]["bits_per_base"]
    assert before["value"] == pytest.approx(told["value"], abs=0.005)


@pytest.mark.parametrize("lengths", [[30_000], [300, 900, 1500, 2400, 3000] * 12])
def test_a_small_corpus_is_read_over_and_over(tmp_path, make_dna, lengths):
    path = tmp_path / "small.fa"
    path.write_text("".join(f">contig{number}\n{make_dna(length)}\n" for number, length in enumerate(lengths)))
    settings = PretrainSettings(preset="tiny", tokens=60_000, rows=8, bptt=20, validations=10)
    bundle = load_bundle(pretrain([path], out_dir=tmp_path / "small-lm", settings=settings))
    assert len(bundle.card["training"]["epochs"]) == 10
    assert bundle.card["metrics"]["held-out"]["bits_per_base"]["value"] == pytest.approx(2.0, abs=0.1)


def test_a_markov_model_is_on_the_card_and_the_record_can_be_read(genome_path, tmp_path):
    held_out, report = ["genome.fa:plasmid"], tmp_path / "deep" / "report"
    pretrain([genome_path], "chain", settings=SHORT, held_out=held_out, report_dir=report)
    bundle = load_bundle("chain")
    ((name, scores),) = bundle.card["baselines"].items()
    assert name.startswith("Markov model of order ")
    markov = scores["bits_per_base"]
    assert ENTROPY - 0.05 < markov["value"] < ENTROPY + 0.1
    metrics = bundle.card["metrics"]["held-out"]
    saved = metrics["bits_saved_over_markov"]
    assert saved["value"] == pytest.approx(markov["value"] - metrics["bits_per_base"]["value"], abs=1e-6)
    assert saved["low"] < saved["value"] < saved["high"]
    record = json.loads((report / "run.json").read_text())
    call = parse_arguments(record["arguments"])
    assert call.values["fasta"] == [str(genome_path)] and call.values["held_out"] == ("genome.fa:plasmid",)
    assert (call.values["name"], call.values["tokens"]) == ("chain", 8_000)
    assert record["results"]["metrics"] == bundle.card["metrics"]


def test_a_run_that_was_cut_off_goes_on_with_its_plan(genome_path, monkeypatch):
    reports = []

    def stop(report):
        reports.append(report)
        if report.done > 25:
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        pretrain([genome_path], "cut", settings=SHORT, progress=stop)
    assert "markov_bits_per_base" in reports[-1].values and reports[-1].stage == "training"
    with pytest.raises(SettingsError, match="begun with other settings"):
        pretrain([genome_path], "cut", settings=replace(SHORT, seed=2))
    with pytest.raises(SettingsError, match="begun with other held out"):
        pretrain([genome_path], "cut", settings=SHORT, held_out=["plasmid"])
    reports.clear()
    folder = pretrain([genome_path], "cut", settings=SHORT, progress=reports.append)
    steps = [report.done for report in reports if report.stage == "training"]
    assert steps[0] > 25
    assert not folder.with_name(".cut.training").exists()
    whole = pretrain([genome_path], "whole", settings=SHORT)
    cards = [load_bundle(path).card for path in (folder, whole)]
    assert cards[0]["metrics"] == cards[1]["metrics"]
    assert {info.name for info in list_bundles(kind="language-model")} >= {"cut", "whole"}


def test_the_record_comes_before_the_model_and_says_the_planned_tokens(genome_path, tmp_path, monkeypatch):
    report, begun = tmp_path / "deep" / "report", []

    def measured(*arguments, **options):
        begun.append(report.is_dir())
        return PretrainSpeed(30.0, 1e9, 1_000, "cpu")

    def full(path, data):
        raise OSError(28, "No space left on device")

    settings = PretrainSettings(preset="tiny", k=2, stride=2, hours=0.05)
    monkeypatch.setattr(pretrain_plan, "measure_pretraining", measured)
    with monkeypatch.context() as broken, pytest.raises(OSError, match="No space left"):
        broken.setattr(pretraining, "write_json", full)
        pretrain([genome_path], "late", settings=settings, report_dir=report)
    assert begun == [True]
    assert "late" not in {info.name for info in list_bundles()}
    folder = pretrain([genome_path], "late", settings=settings, report_dir=report)
    assert begun == [True] and folder.is_dir()
    call = parse_arguments(json.loads((report / "run.json").read_text())["arguments"])
    tokens = load_bundle("late").card["settings"]["tokens"]
    assert call.values["tokens"] == tokens > 0 and call.values["hours"] == 0.05
    with pytest.raises(SettingsError, match="run.json for the report cannot be made"):
        pretrain([genome_path], "other", settings=SHORT, report_dir=report / "run.json")


def test_a_model_that_takes_the_name_meanwhile_stays(genome_path):
    place = models_dir() / "late"

    def take(report):
        place.mkdir(exist_ok=True)
        (place / "card.json").write_text("another's")

    with pytest.raises(SettingsError, match="A model came into .*late while 'late' was trained"):
        pretrain([genome_path], "late", settings=SHORT, progress=take)
    assert (place / "card.json").read_text() == "another's"
    shutil.rmtree(place)
    told = []
    assert pretrain([genome_path], "late", settings=SHORT, progress=told.append) == place
    assert load_bundle("late").config.name == "late"
    assert "training" not in {report.stage for report in told}
    assert [item.name for item in models_dir().iterdir()] == ["late"]


def test_damaged_facts_begin_anew_and_two_at_once_are_refused(genome_path):
    def stop(report):
        if report.done > 25:
            scratch.append(next(models_dir().glob(".twice.training")))
            with pytest.raises(SettingsError, match="A training of 'twice' is running already"):
                pretrain([genome_path], "twice", settings=SHORT)
            raise Cancelled("stopped")

    scratch = []
    with pytest.raises(Cancelled):
        pretrain([genome_path], "twice", settings=SHORT, progress=stop)
    for name in ("facts.json", "planned.json"):
        with pytest.raises(Cancelled):
            (scratch[0] / name).write_text('{"files": [')
            pretrain([genome_path], "twice", settings=SHORT, progress=stop)
    assert load_bundle(pretrain([genome_path], "twice", settings=SHORT)).name == "twice"


def test_the_plan_says_what_would_be_done_without_doing_it(genome_path, toy_language_model_path):
    settings = PretrainSettings(preset="tiny", rows=8, bptt=20)
    plan, words = plan_for_files([genome_path], settings)
    assert words == "genome.fa:plasmid (3,000 bp, 5.0% of all)"
    assert plan.passes == pytest.approx(20, rel=0.01) and plan.estimate.seconds > 10
    import_bundle(toy_language_model_path)
    assert plan_for_files([genome_path], settings, base="toy-lm")[0].passes == pytest.approx(10, rel=0.01)


def test_copies_of_what_is_held_out_are_told_by_the_plan_the_run_the_record_and_the_card(genome_path, tmp_path):
    letters = genome_path.read_text()
    copy = letters.split(">plasmid\n")[1]
    genome_path.write_text(letters + f">again\n{copy}")
    words = plan_for_files([genome_path], SHORT)[1]
    assert words.endswith("; 1 copy of it (3,000 bp) is left out of the training")
    reports = []
    folder = pretrain([genome_path], "copies", settings=SHORT, report_dir=tmp_path / "report", progress=reports.append)
    note = "Left out of the training: 1 copy of what is held out, on either strand (3,000 bp): genome.fa:again."
    assert note in load_bundle(folder).card["limits"] and f"{note} " in " ".join(f"{item.stage}. " for item in reports)
    assert json.loads((tmp_path / "report" / "run.json").read_text())["results"]["notes"] == [note]


def test_a_copy_that_is_cut_elsewhere_is_told_where_the_figure_is(tmp_path, make_dna):
    circle, path = make_dna(40_000), tmp_path / "two.fa"
    path.write_text(f">one\n{circle}\n>turned\n{circle[25_000:]}{circle[:25_000]}\n")
    said = []
    folder = pretrain(
        [path], out_dir=tmp_path / "new-lm", settings=SHORT, held_out=["one"], report_dir=tmp_path / "report",
        progress=lambda report: said.append(report.stage),
    )  # fmt: skip
    sentence = "Of what is held out 100% also stands in what is learned from (words of 31 bases, either strand): a copy"
    record = json.loads((tmp_path / "report" / "run.json").read_text())
    for told in (load_bundle(folder).card["limits"], record["results"]["notes"], said):
        assert any(item.startswith(sentence) for item in told)


def test_a_training_that_was_begun_with_copies_does_not_go_on_without_them(genome_path):
    def stop(report):
        if report.stage == "training":
            raise Cancelled("stopped")

    for _ in range(2):
        with pytest.raises(Cancelled):
            pretrain([genome_path], "old", settings=SHORT, progress=stop)
    facts = next(models_dir().glob(".old.training")) / "facts.json"
    # What no copy is in has the facts that it had when nobody looked for them, and goes on.
    kept = json.loads(facts.read_text())
    assert set(kept) == {"files", "base", "held_out", "settings"}
    plasmid = genome_path.read_text().split(">plasmid\n")[1]
    genome_path.write_text(f"{genome_path.read_text()}>again\n{plasmid}")
    kept["files"] = [file_facts(genome_path)["sha256"]]
    facts.write_text(json.dumps(kept))
    with pytest.raises(SettingsError, match="begun with other copies left out"):
        pretrain([genome_path], "old", settings=SHORT)


def test_too_little_a_wrong_base_and_a_taken_name_are_refused(
    tmp_path, toy_bundle_path, toy_language_model_path, make_dna, genome_path
):
    path = tmp_path / "short.fa"
    path.write_text(f">s\n{make_dna(300)}\n")
    with pytest.raises(TrainingError, match="300 bases"):
        pretrain([path], "x", settings=SHORT)
    with pytest.raises(SettingsError, match="is a classifier"):
        pretrain([genome_path], "x", settings=SHORT, base=str(toy_bundle_path))
    with pytest.raises(SettingsError, match="--name or --out"):
        pretrain([genome_path], settings=SHORT)
    import_bundle(toy_language_model_path)
    with pytest.raises(BundleError, match="already is a model 'toy-lm'"):
        pretrain([genome_path], "toy-lm", settings=SHORT)
    assert not list(tmp_path.glob(".*.training"))


def test_a_text_of_which_nothing_can_be_scored_is_refused_before_the_training(tmp_path, make_dna, monkeypatch):
    """Records of nine bases hold one word of five bases, and none after it."""
    path = tmp_path / "tiny.fa"
    path.write_text("".join(f">r{number}\n{make_dna(9)}\n" for number in range(4_000)))
    monkeypatch.setattr(pretraining, "train_language_model", lambda *_, **__: pytest.fail("nothing is to be trained"))
    settings = replace(SHORT, k=5, stride=5)
    with pytest.raises(TrainingError, match="none has two words of 5 known bases .* in a row, 5 bp apart"):
        pretrain([path], out_dir=tmp_path / "lm", settings=settings)
    assert [item.name for item in tmp_path.iterdir()] == ["tiny.fa"]
