"""File in, file out: the output contract, read back by independent readers and compared with the package."""

import csv
import errno
import hashlib
import json
from contextlib import contextmanager

import numpy as np
import pandas as pd
import pyBigWig
import pytest
from click.testing import CliRunner

from genolm import compute, workspace  # noqa: F401
import torch

from genolm.classifier import SequenceClassifier
from genolm.cli import commands
from genolm.config import Calibration, EncoderConfig, HeadConfig, TokenizerConfig, Window
from genolm.errors import Cancelled, SequenceError, SettingsError, TableError
from genolm.evaluation import coded_labels
from genolm.metrics import score
from genolm.outputs import SCAN_FILES, atomic_files, feature_term
from genolm.pipelines import (
    classify_file,
    evaluate_table,
    open_model,
    saliency_file,
    scan_file,
)
from genolm.record import file_facts, plain, write_json
from genolm.registry import BundleConfig, save_bundle
from genolm.saliency import perturbation_saliency, saliency_windows
from genolm.scan import scan_genome
from genolm.sequences import open_fasta, reverse_complement

RNG = np.random.default_rng(4)


def dna(length: int) -> str:
    return "".join(RNG.choice(list("ACGT"), length))


SEQUENCES = {"chr one": dna(700), "tiny": "ACGTACG", "two": dna(90) + "N" * 20 + dna(150)}


@pytest.fixture
def model(tmp_path):
    config = BundleConfig(
        name="toy-promoter",
        kind="classifier",
        tokenizer=TokenizerConfig(3, 3),
        encoder=EncoderConfig(emb=8, hid=12),
        head=HeadConfig("binary", ("other", "promoter")),
        window=Window(30, 20, "TSS"),
        calibration=Calibration(1.3, 0.6),
    )
    torch.manual_seed(6)
    network = SequenceClassifier(config.encoder, config.head, config.vocab_size)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(3)
        tokens = torch.from_numpy(RNG.integers(3, 67, (200, 10)))
        logits = network.eval()(tokens, torch.full((200,), 10))
        network.head.layers[-1].bias -= logits.median(dim=0).values  # so that both classes are predicted
    save_bundle(tmp_path / "toy-promoter", config, network.state_dict(), {}, dtype="fp32")
    return open_model(tmp_path / "toy-promoter", device="cpu", precision="fp32")


@pytest.fixture
def fasta(tmp_path):
    path = tmp_path / "in.fa"
    path.write_text("".join(f">{name} some words\n{text}\n" for name, text in SEQUENCES.items()))
    return path


NAMES = [name.split()[0] for name in SEQUENCES]


def middle_threshold(model, fasta):
    with open_fasta(fasta) as genome:
        tracks = scan_genome(genome, model, stride=5).tracks
    return float(np.nanquantile(np.concatenate([track.values for track in tracks]), 0.8))


def test_classify_writes_the_table_of_the_contract(model, fasta, tmp_path):
    out = tmp_path / "new" / "classes.csv"
    result = classify_file(fasta, out, model=model)
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert list(rows[0]) == ["record", "length", "predicted", "p_other", "p_promoter"]
    expected = model.predict(list(SEQUENCES.values()))
    assert [row["record"] for row in rows] == NAMES
    assert [int(row["length"]) for row in rows] == [700, 7, 260]
    assert [row["predicted"] for row in rows] == list(expected.predicted)
    assert rows[1]["predicted"] == "not judged" and rows[1]["p_other"] == rows[1]["p_promoter"] == ""
    assert result.summary["warning"].startswith(f"1 of 3 records is not judged: {NAMES[1]}.")
    found = [float(row["p_promoter"] or "nan") for row in rows]
    np.testing.assert_allclose(found, expected.probabilities[:, 1], atol=1e-5)
    assert result.records == 3
    assert result.summary["other_length"] == 3
    assert sum(result.summary["predicted"].values()) == 3
    assert sorted(path.name for path in out.parent.iterdir()) == ["classes.csv", "classes.csv.run.json"]


def test_classify_writes_tsv_and_json_with_the_same_content(model, fasta, tmp_path):
    for suffix in ("csv", "tsv", "json"):
        classify_file(fasta, tmp_path / f"out.{suffix}", model=model)
    table = pd.read_csv(tmp_path / "out.csv")
    pd.testing.assert_frame_equal(table, pd.read_csv(tmp_path / "out.tsv", sep="\t"))
    listed = json.loads((tmp_path / "out.json").read_text())
    assert listed[1]["p_other"] is None
    pd.testing.assert_frame_equal(table, pd.DataFrame(listed))
    with pytest.raises(SettingsError, match="'out.xls'.*csv, .tsv, .json"):
        classify_file(fasta, tmp_path / "out.xls", model=model)


def stop_after(finished, stages=("classifying", "saliency", "scanning")):
    """Return a progress callback that stops the work once more than so many units of it are done."""

    def callback(report):
        if report.stage.startswith(stages) and report.done > finished:
            raise Cancelled("stopped")

    return callback


def test_a_stopped_run_leaves_its_finished_parts_and_keeps_what_was_there(model, fasta, tmp_path):
    out, folder = tmp_path / "r" / "classes.csv", tmp_path / "scan"
    out.parent.mkdir()
    out.write_text("old")
    with pytest.raises(Cancelled):
        classify_file(fasta, out, model=model, progress=stop_after(-1))
    assert [path.name for path in out.parent.iterdir()] == ["classes.csv"]
    assert out.read_text() == "old"
    with pytest.raises(Cancelled):
        scan_file(fasta, folder, model=model, progress=stop_after(-1))
    assert not folder.exists()
    with pytest.raises(ZeroDivisionError), atomic_files(folder, ("a.txt",)) as draft:
        (draft / "a.txt").write_text("half")
        1 / 0  # noqa: B018
    assert list(folder.iterdir()) == []


def test_a_full_disk_is_said_in_a_sentence_and_nothing_is_lost(model, fasta, tmp_path, monkeypatch):
    out = tmp_path / "classes.csv"
    out.write_text("old")

    def full(*given):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("genolm.outputs._short", full)
    with pytest.raises(SettingsError, match="classes.csv cannot be written: No space left on device"):
        classify_file(fasta, out, model=model)
    assert out.read_text() == "old"
    assert len(list((tmp_path / ".classes.csv.partial").glob("*.part"))) == 1


def test_json_goes_through_a_link_and_to_a_device(tmp_path):
    (tmp_path / "null").symlink_to("/dev/null")
    (tmp_path / "link").symlink_to(tmp_path / "there.json")
    for name in ("null", "link"):
        write_json(tmp_path / name, {"a": "é"})
        assert (tmp_path / name).is_symlink()
    assert (tmp_path / "there.json").read_text(encoding="utf-8") == '{\n  "a": "é"\n}\n'


def test_the_feature_type_is_the_term_of_the_class():
    assert [feature_term(name) for name in ("promoter", "gene start", "TSS-like", "1")] == [
        "promoter", "start_codon", "TSS", "sequence_feature"
    ]  # fmt: skip


def test_saliency_file_holds_what_the_package_gives(model, tmp_path):
    fasta, out = tmp_path / "s.fa", tmp_path / "s.csv"
    first, second = dna(30), dna(36)
    fasta.write_text(f">a\n{first.lower()}\n>b\n{second}\n")
    seen = []
    result = saliency_file(
        fasta, out, model=model, strand="both", lengths=(1, 3), fills=2, progress=seen.append
    )
    table = pd.read_csv(out)
    assert list(table.columns) == ["record", "position", "base", "strand", "score", "low", "high"]
    assert len(table) == 2 * (30 + 36)
    for name, text in (("a", first.lower()), ("b", second)):
        for strand in "+-":
            part = table[(table["record"] == name) & (table["strand"] == strand)]
            expected = perturbation_saliency(model, text, lengths=(1, 3), fills=2, strand=strand)
            np.testing.assert_allclose(part["score"], expected.score, atol=2e-5, rtol=1e-5)
            np.testing.assert_allclose(part["low"], expected.low, atol=2e-5, rtol=1e-5)
            assert "".join(part["base"]) == text
            assert part["position"].tolist() == list(range(len(text)))
    cost = 2 * sum(saliency_windows(size, lengths=(1, 3), fills=2, window=30) for size in (30, 36))
    assert result.summary["windows"] == cost == seen[-1].done == seen[-1].total


def test_a_saliency_without_end_is_refused_with_its_cost(model, fasta, tmp_path):
    with pytest.raises(SequenceError, match="would take .* limit of 100"):
        saliency_file(fasta, tmp_path / "s.csv", model=model, max_windows=100)
    assert not (tmp_path / "s.csv").exists()


ON_REQUEST = {"calls.gb", "calls.parquet", "calls.fa", "genes.gff3", "background.json", "truth.json"}


def test_scan_writes_the_folder_of_the_contract(model, fasta, tmp_path):
    folder, threshold = tmp_path / "scan", middle_threshold(model, fasta)
    result = scan_file(fasta, folder, model=model, stride=5, threshold=threshold, bedgraph=True)
    promised = [name for name in SCAN_FILES if name not in ON_REQUEST]
    assert {path.name for path in folder.iterdir()} == set(promised)
    assert [path.name for path in result.files] == promised
    calls = pd.read_csv(folder / "calls.csv")
    assert list(calls.columns) == ["contig", "start", "end", "strand", "summit", "score"]
    assert len(calls) == len(result.calls) > 3
    assert set(calls["strand"]) == {"+", "-"}
    assert ((calls["start"] <= calls["summit"]) & (calls["summit"] < calls["end"])).all()
    assert (calls["score"] >= threshold - 1e-5).all()
    bed = [line.split("\t") for line in (folder / "calls.bed").read_text().splitlines()]
    assert [(row[0], int(row[1]), int(row[2]), row[5]) for row in bed] == list(
        calls[["contig", "start", "end", "strand"]].itertuples(index=False, name=None)
    )
    gff = [line.split("\t") for line in (folder / "calls.gff3").read_text().splitlines() if line[0] != "#"]
    assert [(int(row[3]) - 1, int(row[4]), row[2]) for row in gff] == [
        (start, end, "promoter") for start, end in zip(calls["start"], calls["end"], strict=True)
    ]


def test_score_tracks_hold_every_score_of_the_scan(model, fasta, tmp_path):
    folder = tmp_path / "scan"
    scan_file(fasta, folder, model=model, stride=5, bedgraph=True)
    with open_fasta(fasta) as genome:
        tracks = scan_genome(genome, model, stride=5).tracks
    assert len(tracks) == 4
    for sign, word in (("+", "plus"), ("-", "minus")):
        handle = pyBigWig.open(str(folder / f"scores_{word}.bw"))
        assert handle.chroms() == dict(zip(NAMES, (700, 7, 260), strict=True))
        lines = [line.split() for line in (folder / f"scores_{word}.bedgraph").read_text().splitlines()]
        for track in (track for track in tracks if track.strand == sign):
            there = np.isfinite(track.values)
            found = handle.intervals(track.contig)
            assert [item[0] for item in found] == track.starts[there].tolist()
            np.testing.assert_allclose([item[2] for item in found], track.values[there], atol=1e-5)
            plain_text = [float(line[3]) for line in lines if line[0] == track.contig]
            np.testing.assert_allclose(plain_text, track.values[there], atol=1e-5)
        handle.close()


def test_run_record_says_what_ran_on_what(model, fasta, tmp_path):
    scan_file(fasta, tmp_path / "scan", model=model, stride=5)
    record = json.loads((tmp_path / "scan" / "run.json").read_text())
    assert record["command"] == "scan"
    assert record["record_version"] == 1
    known = {"temperature": 1.3, "threshold": 0.6, "scan_threshold": None, "either": None}
    answers = {"mirrored": False, "framed": False, **known}
    assert record["model"] == {"name": "toy-promoter", "sha256": model.bundle.sha256, "answers": answers}
    source = record["inputs"][0]
    assert source["sha256"] == hashlib.sha256(fasta.read_bytes()).hexdigest()
    assert (source["name"], source["bytes"], source["records"]) == ("in.fa", fasta.stat().st_size, 3)
    assert source["bases"] == 967
    assert source["ambiguous"] == {"N": 20}
    settings = record["settings"]
    assert (settings["stride"], settings["strands"], settings["window"]) == (5, "both", 30)
    assert settings["threshold"] == 0.6
    assert record["compute"] == {"device": "cpu", "precision": "fp32", "threads": model.threads}
    assert record["results"]["contigs_skipped"] == [
        {"name": "tiny", "length": 7, "reason": "shorter than the model's window of 30 bp"}
    ]
    assert record["results"]["windows"] == 2 * (135 + 47)
    assert record["results"]["windows_ambiguous"]["two"] > 0
    assert {"genolm", "python", "torch", "numpy"} <= set(record["code"])
    assert record["started"] <= record["finished"]
    assert record["seconds"] > 0


def test_a_second_run_leaves_no_file_of_the_first_one_behind(model, fasta, tmp_path):
    folder = tmp_path / "scan"
    scan_file(fasta, folder, model=model, stride=10, bedgraph=True)
    (folder / "notes.txt").write_text("mine")
    scan_file(fasta, folder, model=model, stride=10, strand="+")
    assert {path.name for path in folder.iterdir()} == {
        "notes.txt", "calls.csv", "calls.bed", "calls.gff3", "scores_plus.bw", "run.json"
    }  # fmt: skip


def test_a_scan_without_calls_still_writes_every_file(model, fasta, tmp_path):
    result = scan_file(fasta, tmp_path / "scan", model=model, threshold=1.0, stride=20)
    assert len(result.calls) == 0
    assert (tmp_path / "scan" / "calls.csv").read_text() == "contig,start,end,strand,summit,score\n"
    assert (tmp_path / "scan" / "calls.bed").read_text() == ""
    with pytest.raises(SettingsError, match="threshold is 1.5"):
        scan_file(fasta, tmp_path / "scan", model=model, threshold=1.5)


def test_evaluate_gives_every_metric_with_its_interval(model, tmp_path):
    sequences = [dna(30) for _ in range(60)]
    found = model.predict(sequences)
    labels = list(found.predicted)
    labels[0] = "other" if labels[0] == "promoter" else "promoter"
    table = tmp_path / "t.csv"
    frame = pd.DataFrame({"sequence": sequences, "label": labels, "split": ["test"] * 50 + ["train"] * 10})
    frame.to_csv(table, index=False)
    report = evaluate_table(model, table, n_boot=50)
    assert set(report.metrics) == {"accuracy", "precision", "recall", "mcc", "auroc", "auprc", "ece"}
    assert report.metrics["accuracy"].value == pytest.approx(59 / 60)
    assert all(entry.low <= entry.high for entry in report.metrics.values())
    assert report.rows == 60
    assert report.table == file_facts(table)
    data = report.as_dict()
    assert json.loads(json.dumps(data)) == data
    assert evaluate_table(model, table, split="test", n_boot=5).rows == 50
    with pytest.raises(TableError, match="no rows of split 'valid'"):
        evaluate_table(model, table, split="valid")


def test_a_table_with_other_columns_and_rows_to_leave_out_is_evaluated(model, tmp_path):
    lines = [f"{dna(60)},{'promoter' if row % 2 else 'other'}" for row in range(30)]
    path = tmp_path / "mine.csv"
    path.write_text("\n".join(["dna,kind", *lines, "ACGTACGT,", "ACG!,other"]) + "\n")
    columns = (("sequence", "dna"), ("label", "kind"))
    found = evaluate_table(model, path, columns=columns, skip_bad_rows=True, n_boot=5)
    assert found.rows == 30
    assert "row 33" in found.warnings[0] and found.warnings[1] == "1 row without a label was left out."
    assert found.warnings[-1] == "30 rows are few; expect wide intervals, and only large differences to show."
    with pytest.raises(TableError, match="row 33"):
        evaluate_table(model, path, columns=columns, n_boot=5)
    given = ["evaluate", str(model.bundle.path), str(path), "--column", "sequence=dna", "--column", "label=kind"]
    result = CliRunner().invoke(commands, [*given, "--skip-bad-rows", "--json"])
    assert result.exit_code == 0 and json.loads(result.stdout)["rows"] == 30


def test_rows_that_resemble_one_another_are_drawn_together(model, tmp_path):
    sequences = [dna(60) for _ in range(40)]
    labels = np.where(np.arange(40) % 3, model.predict(sequences).predicted, "other")
    once = pd.DataFrame({"sequence": sequences, "label": labels})
    turned = once.assign(sequence=[reverse_complement(item) for item in sequences])
    alone, path = tmp_path / "once.csv", tmp_path / "thrice.csv"
    once.to_csv(alone, index=False)
    pd.concat([once, once, turned]).to_csv(path, index=False)
    found = evaluate_table(model, path)
    assert (found.rows, found.drawn) == (120, 40)
    answers = model.predict([*sequences, *sequences, *turned["sequence"]]).probabilities
    truth, groups = np.tile(labels == "promoter", 3), np.tile(np.arange(40), 3)
    assert found.metrics == score("binary", answers, truth, threshold=model.config.calibration.threshold, groups=groups)
    told, plain = evaluate_table(model, alone), score("binary", answers[:40], truth[:40])
    assert (told.rows, told.drawn) == (40, 40)
    assert told.metrics["auroc"] == plain["auroc"], "rows that stand alone are drawn one by one"
    named = np.arange(40) // 2
    once.assign(group=[f"gene {number}" for number in named]).to_csv(alone, index=False)
    told = evaluate_table(model, alone)
    assert told.drawn == 20
    assert told.metrics["auroc"] == score("binary", answers[:40], truth[:40], groups=named)["auroc"]
    once.assign(group=[f"gene {number % 2}" for number in range(40)]).to_csv(alone, index=False)
    told = evaluate_table(model, alone)
    assert told.drawn == 40 and "from 2 groups, too few for intervals" in told.warnings[-1]
    result = CliRunner().invoke(commands, ["evaluate", str(model.bundle.path), str(path)])
    assert "Intervals are drawn over 40 groups of related rows among 120." in result.stdout


def test_labels_are_read_in_the_order_of_the_models_outputs():
    binary = HeadConfig("binary", ("no", "yes"))
    assert coded_labels(["yes", "no"], binary).tolist() == [1, 0]
    assert coded_labels(["1", "0"], binary).tolist() == [1, 0]
    # Numbers that are themselves names of classes are these, whatever the order of the outputs.
    assert coded_labels(["0", "1"], HeadConfig("binary", ("1", "0"))).tolist() == [1, 0]
    assert coded_labels(["1", "1"], HeadConfig("binary", ("1", "2"))).tolist() == [0, 0]
    with pytest.raises(TableError, match="the label '0' is none of the model's classes 1, 2"):
        coded_labels(["0", "1"], HeadConfig("binary", ("1", "2")))
    with pytest.raises(TableError, match="t.csv: the label 'maybe' is none of the model's classes no, yes"):
        coded_labels(["maybe"], binary, "t.csv")
    with pytest.raises(TableError, match="t.csv, row 3: the label 'maybe' is none"):
        coded_labels(["yes", "maybe"], binary, "t.csv", names=["row 2", "row 3"])
    with pytest.raises(TableError, match="t.csv, row 9: the label 'd' is none"):
        coded_labels(["a", "b;d"], HeadConfig("multilabel", ("a", "b")), "t.csv", names=["row 8", "row 9"])
    many = coded_labels(["b;a", "", "c"], HeadConfig("multilabel", ("a", "b", "c")))
    assert many.tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 1]]
    assert coded_labels(["1.5", "2"], HeadConfig("regression", ("level",))).tolist() == [[1.5], [2.0]]
    for wrong in ("high", "nan", "1_2"):
        with pytest.raises(TableError, match=f"predicts a number, and a label is not one: '{wrong}'"):
            coded_labels(["1", wrong], HeadConfig("regression", ("level",)))


def test_models_open_by_folder_and_plain_data_is_json(model, tmp_path):
    again = open_model(tmp_path / "toy-promoter", device="cpu", precision="fp32")
    np.testing.assert_array_equal(again.logits(["ACGTACGTAA"]), model.logits(["ACGTACGTAA"]))
    assert open_model(model) is model
    assert plain({"a": np.float32(1.5), "b": (np.int64(2), float("nan")), "c": np.arange(2)}) == {
        "a": 1.5, "b": [2, None], "c": [0, 1]
    }  # fmt: skip


@pytest.mark.parametrize("reason", ["ENOSPC", "EDQUOT", "EFBIG"])
def test_a_record_that_finds_no_room_leaves_the_one_before(model, fasta, tmp_path, monkeypatch, reason):
    words = ["classify", str(fasta), "--model", str(model.bundle.path), "--out", str(tmp_path / "c.csv")]
    assert CliRunner().invoke(commands, words).exit_code == 0
    record = tmp_path / "c.csv.run.json"
    before = record.read_bytes()

    @contextmanager
    def full(path):
        with workspace.atomic_write(path) as stream:
            yield stream
            raise OSError(getattr(errno, reason), "No room")

    monkeypatch.setattr("genolm.record.atomic_write", full)
    ran = CliRunner().invoke(commands, words)
    assert ran.exit_code == 2
    assert ran.stderr.splitlines()[-1].startswith("Error: A result cannot be written: No room; make room")
    assert record.read_bytes() == before
    assert {path.name for path in tmp_path.glob("*c.csv*")} == {"c.csv", "c.csv.run.json"}
