"""Sequences of unknown strand: what is kept of two readings, and who may be asked."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import entropy

from genolm.config import Calibration, EitherStrand, EncoderConfig, HeadConfig
from genolm.errors import Cancelled, SettingsError
from genolm.orientation import oriented_logits
from genolm.pipelines import classify_file, open_model
from genolm.predict import Predictor
from genolm.registry import load_bundle
from genolm.sequences import reverse_complement
from tests.toys import loud_model, toy_config

GENERA = HeadConfig("multiclass", ("Escherichia", "Vibrio", "Neisseria"))


def predictor(head=GENERA, **config):
    """Return a model with random weights that are far from zero."""
    full = toy_config(head=head, encoder=EncoderConfig(emb=12, hid=20), **config)
    return Predictor.from_model(full, loud_model(full, seed=3), device="cpu", precision="fp32", threads=1)


@pytest.fixture
def reads(make_dna):
    return [make_dna(size) for size in (40, 61, 75, 40, 52, 90, 33, 47, 58, 66, 44, 71)]


def readings(model, reads):
    """Return the logits (reads, 2, outputs) of each read and of its reverse complement."""
    return np.stack([model.logits(reads), model.logits([reverse_complement(read) for read in reads])], axis=1)


def surest(model, found):
    """Return the surer of two readings by the definition, probabilities worked out here."""
    scaled = found.astype(float) / model.config.calibration.temperature
    if model.task == "multilabel":
        return (1 / (1 + np.exp(-scaled))).max(axis=2).argmax(axis=1)
    p = np.exp(scaled) / np.exp(scaled).sum(axis=2, keepdims=True)
    return p[:, :, 1].argmax(axis=1) if model.task == "binary" else entropy(p, axis=2).argmin(axis=1)


@pytest.mark.parametrize(
    "head",
    [GENERA, HeadConfig("binary", ("other", "promoter")), HeadConfig("multilabel", ("a", "b", "c"))],
    ids=lambda head: head.task,
)
def test_the_surer_of_two_readings_is_kept(head, reads):
    model = predictor(head, calibration=Calibration(temperature=1.7))
    found = readings(model, reads)
    expected = surest(model, found)
    logits, minus = oriented_logits(model, reads, "either")
    assert minus.dtype == bool and 0 < minus.sum() < len(reads)
    np.testing.assert_array_equal(minus, expected == 1)
    if model.task != "binary":
        np.testing.assert_allclose(logits, found[np.arange(len(reads)), expected], atol=1e-5)
    turned, plus = oriented_logits(model, [reverse_complement(read) for read in reads], "either")
    np.testing.assert_allclose(turned, logits, atol=1e-5)
    np.testing.assert_array_equal(plus, ~minus)


def test_of_two_classes_the_odds_are_the_mean_of_both_readings(reads):
    model = predictor(HeadConfig("binary", ("other", "promoter")), calibration=Calibration(temperature=1.7))
    site = np.stack([model.probabilities(found)[:, 1] for found in readings(model, reads).swapaxes(0, 1)])
    logits, _ = oriented_logits(model, reads, "either")
    p = model.probabilities(logits)[:, 1]
    np.testing.assert_allclose(p / (1 - p), (site / (1 - site)).mean(axis=0), rtol=1e-4)
    assert (p < site.max(axis=0)).all() and (p > site.min(axis=0)).all()


def test_a_fit_says_how_both_readings_are_counted_and_where_yes_begins(reads):
    head = HeadConfig("binary", ("other", "promoter"))
    odds = np.diff(readings(predictor(head), reads), axis=2)[:, :, 0] / 1.7
    weighed = 0.5 * odds.max(axis=1) + 0.25 * odds.min(axis=1)
    either = EitherStrand(surer=0.5, other=0.25, offset=-float(np.median(weighed)), threshold=0.47)
    model = predictor(head, calibration=Calibration(temperature=1.7, threshold=0.53, either=either))
    expected = 1 / (1 + np.exp(-(weighed + either.offset)))
    logits, _ = oriented_logits(model, reads, "either")
    p = model.probabilities(logits)
    np.testing.assert_allclose(p[:, 1], expected, atol=1e-5)
    assert ((p[:, 1] >= 0.47) != (p[:, 1] >= 0.53)).any()
    assert model.decide(p, "either") == ["promoter" if value >= 0.47 else "other" for value in p[:, 1]]
    assert model.decide(p) == ["promoter" if value >= 0.53 else "other" for value in p[:, 1]]


def test_either_strand_by_itself_is_read_as_asked(reads):
    model = predictor()
    found = readings(model, reads)
    for place, (strand, is_minus) in enumerate({"+": False, "-": True}.items()):
        logits, minus = oriented_logits(model, reads, strand)
        np.testing.assert_allclose(logits, found[:, place], atol=1e-5)
        assert minus.tolist() == [is_minus] * len(reads)


def test_a_sequence_that_is_its_own_reverse_complement_is_read_as_it_is():
    for head in (GENERA, HeadConfig("binary", ("other", "promoter"))):
        model, same = predictor(head, calibration=Calibration(temperature=1.7)), ["ACGTACGTTTAAACGTACGT"]
        logits, minus = oriented_logits(model, same, "either")
        assert minus.tolist() == [False]
        np.testing.assert_allclose(logits, model.logits(same), atol=1e-6)


def test_progress_counts_each_sequence_once(reads, monkeypatch):
    monkeypatch.setattr("genolm.predict.BATCH_TOKENS", {"cpu": 60})
    monkeypatch.setattr("genolm.progress.Ticker.__init__.__kwdefaults__", {"stage": "", "interval": 0.0})
    seen = []
    oriented_logits(predictor(), reads, "either", progress=seen.append)
    done = [report.done for report in seen]
    assert done == sorted(done) and done[-1] == len(reads) and len(set(done)) > 4
    assert {report.total for report in seen} == {len(reads)}
    assert [report.elapsed for report in seen] == sorted(report.elapsed for report in seen)


def test_models_that_cannot_choose_say_why(reads):
    with pytest.raises(SettingsError, match="'toy' reads both strands of every sequence as it is. Leave strand at +."):
        oriented_logits(predictor(mirrored=True), reads, "either")
    with pytest.raises(SettingsError, match="predicts quantities"):
        oriented_logits(predictor(HeadConfig("regression", ("activity",))), reads, "either")
    with pytest.raises(SettingsError, match="strand is 'both'; it must be \\+, - or either"):
        oriented_logits(predictor(), reads, "both")


def test_a_file_of_reads_of_unknown_strand(toy_bundle_path, reads, tmp_path):
    model = open_model(toy_bundle_path, device="cpu", precision="fp32", threads=1)
    reads = [*reads, "N" * 60]
    fasta, turned = tmp_path / "reads.fa", tmp_path / "turned.fa"
    fasta.write_text("".join(f">r{number}\n{read}\n" for number, read in enumerate(reads)))
    turned.write_text("".join(f">r{number}\n{reverse_complement(read)}\n" for number, read in enumerate(reads)))
    tables = {}
    for path, strand in ((fasta, "either"), (turned, "either"), (fasta, "-"), (turned, "+")):
        out = tmp_path / f"{path.stem}{strand}.csv"
        result = classify_file(path, out, model=model, strand=strand)
        tables[path.stem, strand] = pd.read_csv(out)
        if strand != "+":
            signs = tables[path.stem, strand]["strand"]
            assert result.summary["minus"] == (signs == "-").sum()
        assert sum(result.summary["predicted"].values()) == len(reads)
    either, other = tables["reads", "either"], tables["turned", "either"]
    assert list(either) == ["record", "length", "strand", "predicted", "p_other", "p_promoter"]
    assert set(either["strand"][:-1]) == {"+", "-"} and either["predicted"].iloc[-1] == "not judged"
    assert (either["strand"] != other["strand"])[:-1].all()
    pd.testing.assert_frame_equal(either.drop(columns="strand"), other.drop(columns="strand"))
    pd.testing.assert_frame_equal(tables["reads", "-"].drop(columns="strand"), tables["turned", "+"])
    record = json.loads((tmp_path / "readseither.csv.run.json").read_text())
    assert record["settings"] == {"strand": "either"}
    place = record["arguments"].index("--strand")
    assert record["arguments"][place + 1] == "either"


def test_a_file_of_unknown_strand_is_called_by_the_threshold_of_its_own(toy_bundle_path, reads, tmp_path):
    bundle = load_bundle(toy_bundle_path)
    fasta = tmp_path / "reads.fa"
    fasta.write_text("".join(f">r{number}\n{read}\n" for number, read in enumerate(reads)))
    for own, strand, answer in ((0.0, "either", "promoter"), (1.1, "either", "other"), (0.0, "+", "other")):
        either = EitherStrand(surer=1.0, other=0.0, offset=0.0, threshold=own)
        config = replace(bundle.config, calibration=Calibration(1.0, 1.1, either=either))
        model = Predictor(replace(bundle, config=config), device="cpu", precision="fp32", threads=1)
        result = classify_file(fasta, tmp_path / f"{strand}{own}.csv", model=model, strand=strand)
        assert result.summary["predicted"] == {answer: len(reads)}


def test_parts_of_one_strand_are_not_taken_for_those_of_another(toy_bundle_path, reads, tmp_path, monkeypatch):
    monkeypatch.setattr("genolm.file_work.GROUP_RECORDS", 2)
    monkeypatch.setattr("genolm.progress.Ticker.__init__.__kwdefaults__", {"stage": "", "interval": 0.0})
    model = open_model(toy_bundle_path, device="cpu", precision="fp32", threads=1)
    fasta, out = tmp_path / "reads.fa", tmp_path / "out.csv"
    fasta.write_text("".join(f">r{number}\n{read}\n" for number, read in enumerate(reads)))

    def stop(report):
        if report.stage == "classifying" and report.fraction > 0.5:
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        classify_file(fasta, out, model=model, progress=stop)
    classify_file(fasta, out, model=model, strand="either")
    classify_file(fasta, tmp_path / "whole.csv", model=model, strand="either")
    assert out.read_bytes() == (tmp_path / "whole.csv").read_bytes()
