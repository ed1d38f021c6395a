"""Interrupted runs: the same call goes on from the last finished part, and the result is the same."""

import functools
import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from click.testing import CliRunner

from genolm import compute  # noqa: F401
import torch

from genolm import file_work, scan_work
from genolm.cli import commands
from genolm.config import HeadConfig, TokenizerConfig
from genolm.engines import FinishedScores
from genolm.errors import Cancelled, SequenceError, SettingsError
from genolm.file_result import Source
from genolm.partial import FinishedParts
from genolm.pipelines import classify_file, open_model, saliency_file, scan_file, strips_path
from genolm.predict import Predictor
from genolm.progress import Ticker
from genolm.record import file_facts
from genolm.saliency import perturbation_saliency
from genolm.sequences import open_fasta
from tests.toys import loud_model, toy_config

ROOT = Path(__file__).parents[1]


@pytest.fixture
def model(toy_bundle_path):
    return open_model(toy_bundle_path, device="cpu", precision="fp32", threads=1)


@pytest.fixture
def fasta(tmp_path, make_dna):
    path = tmp_path / "in.fa"
    sizes = (260, 90, 61, 7, 150, 60)
    path.write_text("".join(f">r{number}\n{make_dna(size)}\n" for number, size in enumerate(sizes)))
    return path


@pytest.fixture
def small_parts(monkeypatch):
    """Many parts of little work."""
    monkeypatch.setattr(file_work, "GROUP_RECORDS", 2)
    monkeypatch.setattr(file_work, "tokens_per_part", lambda *_: 3_000)
    monkeypatch.setattr(scan_work, "tokens_per_part", lambda *_: 1_000)


def read_saliency(path):
    return pd.read_csv(path, keep_default_na=False)


def saliency(fasta, out, **options):
    return saliency_file(fasta, out, lengths=(1, 3), fills=2, strips=True, strand="both", **options)


def scanned(fasta, out, **options):
    return scan_file(fasta, out.with_suffix(""), stride=3, bedgraph=True, **options)


class Lockstep:
    """An engine whose parts are worked out one after another where they are asked for, so that none runs ahead."""

    def run(self, work, parts, *, tick):
        work.prepare()
        for part in parts:
            yield FinishedScores(part, work.scores(part), 1.0)
            tick(part.windows, part.stretches[-1].stage)


WAYS = {"classify": classify_file, "saliency": saliency, "scan": scanned}


def contents(folder):
    """Return the bytes of every file in a folder but for the record of the run, which has times."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.name.endswith("run.json")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


class Watch:
    """A progress callback that can stop the work."""

    def __init__(self, stop_at=None):
        self.stop_at, self.seen = stop_at, []

    def __call__(self, report):
        if report.stage.startswith(("classifying", "saliency", "scanning")):
            self.seen.append(report)
            if self.stop_at is not None and report.fraction > self.stop_at:
                raise Cancelled("stopped")


@pytest.mark.parametrize("verb", WAYS)
def test_a_run_that_goes_on_gives_the_same_bytes(verb, model, fasta, tmp_path, small_parts, monkeypatch):
    monkeypatch.setitem(Ticker.__init__.__kwdefaults__, "interval", 0.0)
    whole, halves = tmp_path / "whole" / "out.csv", tmp_path / "halves" / "out.csv"
    work = functools.partial(WAYS[verb], engine=Lockstep()) if verb == "scan" else WAYS[verb]
    full = Watch()
    work(fasta, whole, model=model, progress=full)
    calls = []
    kind, answers = type(model), type(model)._forward
    monkeypatch.setattr(kind, "_forward", lambda self, *given: calls.append(1) or answers(self, *given))
    spent, done = [], []
    for stop_at in (0.5, 0.8, None):
        calls.clear()
        watch = Watch(stop_at)
        if stop_at is None:
            work(fasta, halves, model=model, progress=watch)
        else:
            with pytest.raises(Cancelled):
                work(fasta, halves, model=model, progress=watch)
            assert list(halves.parent.rglob("*.part"))
        spent.append(len(calls))
        done.append(watch.seen[0].done)
    calls.clear()
    work(fasta, tmp_path / "again" / "out.csv", model=model)
    assert spent[2] < 0.6 * len(calls) and spent[1] < 0.8 * len(calls)
    assert watch.seen[-1].done == watch.seen[-1].total == full.seen[-1].total
    assert contents(halves.parent) == contents(whole.parent)
    assert not list(halves.parent.rglob("*partial*")) and not list(halves.parent.rglob("*.part"))


@pytest.mark.parametrize("verb", WAYS)
def test_a_damaged_part_is_done_again(verb, model, fasta, tmp_path, small_parts):
    work, whole, halves = WAYS[verb], tmp_path / "whole" / "out.csv", tmp_path / "halves" / "out.csv"
    work(fasta, whole, model=model)
    with pytest.raises(Cancelled):
        work(fasta, halves, model=model, progress=Watch(0.6))
    first, second, *_ = sorted(halves.parent.rglob("*.part"))
    first.write_bytes(first.read_bytes()[:-3])
    second.write_bytes(second.read_bytes()[:40] + b"\x00" * 8 + second.read_bytes()[48:])
    work(fasta, halves, model=model)
    assert contents(halves.parent) == contents(whole.parent)


def test_a_changed_input_starts_anew(model, fasta, tmp_path, small_parts, make_dna):
    out = tmp_path / "out.csv"
    with pytest.raises(Cancelled):
        classify_file(fasta, out, model=model, progress=Watch(0.5))
    text = fasta.read_text()
    fasta.write_text(text.replace(text[10:60], make_dna(50)))
    classify_file(fasta, out, model=model)
    with open_fasta(fasta) as genome:
        expected = model.predict([record.sequence for record in genome.records()]).probabilities[:, 1]
    np.testing.assert_allclose(pd.read_csv(out)["p_promoter"], expected, atol=1e-5)


def test_another_threshold_scores_nothing_again(model, fasta, tmp_path, small_parts, monkeypatch):
    scanned(fasta, tmp_path / "one.csv", model=model, threshold=0.2)
    monkeypatch.setattr("genolm.scan_pipeline.atomic_files", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        scanned(fasta, tmp_path / "two.csv", model=model, threshold=0.9)
    monkeypatch.undo()
    monkeypatch.setattr(scan_work, "tokens_per_part", lambda *_: 1_000)
    monkeypatch.setattr(type(model), "_forward", lambda *_: 1 / 0)
    scanned(fasta, tmp_path / "two.csv", model=model, threshold=0.2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_groups_hold_few_records_and_little_work(model, fasta, small_parts, monkeypatch):
    with open_fasta(fasta) as genome:
        work = file_work.Classification(genome, model)
        assert [len(names) for names in work.groups()] == [2, 2, 2]
        monkeypatch.setattr(file_work, "GROUP_RECORDS", 100)
        monkeypatch.setattr(file_work, "GROUP_BASES", 200)
        assert list(work.groups()) == [["r0"], ["r1", "r2", "r3"], ["r4"], ["r5"]]
        monkeypatch.setattr(file_work, "tokens_per_part", lambda *_: 60)
        assert list(work.groups()) == [["r0"], ["r1"], ["r2", "r3"], ["r4"], ["r5"]]


def test_strips_and_site_are_those_of_the_package(model, tmp_path, make_dna):
    fasta, out, sequence = tmp_path / "one.fa", tmp_path / "s.tsv", make_dna(80)
    fasta.write_text(f">a\n{sequence}\n")
    result = saliency_file(
        fasta, out, model=model, lengths=(1, 5), fills=2, strand="both", site=45, strips=True
    )
    assert result.files == (out, tmp_path / "s.strips.tsv") == (out, strips_path(out))
    strips = pd.read_csv(result.files[1], sep="\t")
    assert list(strips.columns) == ["record", "strand", "length", "start", "loss"]
    table = pd.read_csv(out, sep="\t")
    for strand in "+-":
        found = perturbation_saliency(model, sequence, lengths=(1, 5), fills=2, strand=strand, anchor=45)
        rows = table[table["strand"] == strand]
        np.testing.assert_allclose(rows["score"], found.score, atol=2e-5, rtol=1e-4)
        for length, losses in found.per_length.items():
            part = strips[(strips["strand"] == strand) & (strips["length"] == length)]
            assert part["start"].tolist() == list(range(80 - length + 1))
            np.testing.assert_allclose(part["loss"], losses, atol=2e-5, rtol=1e-4)
    free = perturbation_saliency(model, sequence, lengths=(1, 5), fills=2)
    assert np.abs(free.score - table["score"][:80]).max() > 1e-4
    with pytest.raises(SettingsError, match="site is at 80, and record 'a' has the positions 0 to 79"):
        saliency_file(fasta, out, model=model, site=80)


def test_strips_of_another_run_do_not_stay_beside_a_result(model, tmp_path, make_dna):
    fasta, out = tmp_path / "one.fa", tmp_path / "s.csv"
    fasta.write_text(f">a\n{make_dna(60)}\n")
    for strips in (True, False):
        saliency_file(fasta, out, model=model, lengths=(1,), fills=2, strips=strips)
        assert strips_path(out).is_file() == strips
    with pytest.raises(SettingsError):
        strips_path(out).write_text("kept where nothing is written")
        saliency_file(fasta, out, model=model, site=99)
    assert strips_path(out).is_file()


@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
def test_each_record_of_a_model_of_several_classes_names_its_class(task, tmp_path, make_dna):
    config = toy_config(tokenizer=TokenizerConfig(3, 1), head=HeadConfig(task, ("x", "y", "NA")))
    network, options = loud_model(config, seed=5), {"device": "cpu", "precision": "fp32"}
    fasta, out = tmp_path / "many.fa", tmp_path / "s.csv"
    sequences = {f"r{number}": letter * 30 + make_dna(3) for number, letter in enumerate("ACGT")}
    logits = Predictor.from_model(config, network, **options).logits(list(sequences.values()))
    with torch.no_grad():  # so that not all records are of one class
        network.head.layers[-1].bias -= torch.from_numpy(np.median(logits, axis=0))
    several = Predictor.from_model(config, network, **options)
    fasta.write_text("".join(f">{name}\n{text}\n" for name, text in sequences.items()))
    result = saliency_file(fasta, out, model=several, lengths=(1,), fills=2, strand="both")
    table = read_saliency(out)
    assert list(table.columns)[-2:] == ["high", "class"]
    found = table.groupby(["record", "strand"], sort=False)["class"].unique()
    expected = {
        (name, strand): perturbation_saliency(several, text, lengths=(1,), fills=2, strand=strand).class_name
        for name, text in sequences.items()
        for strand in "+-"
    }
    assert {key: tuple(names) for key, names in found.items()} == {key: (name,) for key, name in expected.items()}
    counts = Counter(expected.values())
    assert len(counts) > 1 and result.summary["explained"] == counts
    record = json.loads((tmp_path / "s.csv.run.json").read_text())
    assert record["results"]["explained"] == counts
    saliency_file(fasta, out, model=several, lengths=(1,), fills=2, class_name="NA")
    assert set(read_saliency(out)["class"]) == {"NA"}


def test_a_binary_model_names_only_the_class_that_is_not_its_positive_one(model, tmp_path, make_dna):
    fasta, columns = tmp_path / "one.fa", ["record", "position", "base", "strand", "score", "low", "high"]
    fasta.write_text(f">a\n{make_dna(60)}\n")
    for name, more in ((None, []), ("promoter", []), ("other", ["class"])):
        result = saliency_file(fasta, tmp_path / "s.csv", model=model, lengths=(1,), fills=2, class_name=name)
        table = read_saliency(tmp_path / "s.csv")
        assert list(table.columns) == columns + more
        assert result.summary["explained"] == {name or "promoter": 1}
    assert set(table["class"]) == {"other"}


def test_a_record_that_is_not_judged_has_no_scores(model, tmp_path, make_dna):
    fasta, alone, unknown = tmp_path / "in.fa", tmp_path / "alone.fa", "N" * 90
    some, gap = make_dna(61), make_dna(60) + "N" * 100 + make_dna(20)
    fasta.write_text(f">short\nACG\n>some\n{some}\n>none\n{unknown}\n>gap\n{gap}\n")
    alone.write_text(f">some\n{some}\n>gap\n{gap}\n")
    watch = Watch()
    options = {"model": model, "lengths": (1, 5), "fills": 2, "strand": "both", "strips": True}
    result = saliency_file(fasta, tmp_path / "s.csv", progress=watch, **options)
    judged = saliency_file(alone, tmp_path / "a.csv", **options)
    table, strips = pd.read_csv(tmp_path / "s.csv"), pd.read_csv(strips_path(tmp_path / "s.csv"))
    left = table["record"].isin(["short", "none"])
    assert table.loc[left, ["score", "low", "high"]].isna().all(axis=None) and left.sum() == 2 * (3 + 90)
    pd.testing.assert_frame_equal(table[~left].reset_index(drop=True), pd.read_csv(tmp_path / "a.csv"))
    assert strips["loss"].isna().equals(strips["record"].isin(["short", "none"]))
    assert strips[strips["record"] == "short"]["length"].tolist() == [1] * 6
    assert result.summary["windows"] == judged.summary["windows"] and "warning" not in judged.summary
    assert result.summary["explained"] == {"not judged": 4, "promoter": 4}
    assert watch.seen[-1].done == watch.seen[-1].total > result.summary["windows"]
    assert result.summary["warning"].startswith("2 of 4 records are not judged: short, none. An answer needs known")
    said = classify_file(fasta, tmp_path / "c.csv", model=model).summary["warning"]
    # As a whole the record with the gap has no answer, some of its windows have.
    assert said == result.summary["warning"].replace("2 of 4", "3 of 4").replace("short, none.", "short, none, gap.")


def test_the_command_tells_of_records_that_are_not_judged(toy_bundle_path, tmp_path):
    fasta, out = tmp_path / "in.fa", tmp_path / "s.json"
    fasta.write_text(">none\nNNNNN\n")
    words = ["saliency", str(fasta), "--model", str(toy_bundle_path), "--out", str(out), "--class", "other", "--json"]
    ran = CliRunner().invoke(commands, words)
    assert ran.exit_code == 0, ran.output
    assert "Warning: 1 of 1 record is not judged: none. An answer needs known bases" in ran.stderr
    assert json.loads(ran.stdout)["summary"]["warning"] in ran.stderr
    (row, *_) = rows = json.loads(out.read_text())
    assert len(rows) == 5 and (row["score"], row["low"], row["high"]) == (None, None, None)
    assert row["class"] == "not judged"
    told = " ".join(CliRunner().invoke(commands, ["saliency", "--help"]).output.split())
    assert "A .csv, .tsv or .json file." in told and "the one that classify says of the record" in told


KILLED = """
import os, signal, sys
import genolm.cli, genolm.file_work, genolm.partial, genolm.scan
genolm.scan_work.tokens_per_part = lambda *_: 1_000
keep, kept = genolm.partial.FinishedParts._keep, []
def keep_and_die(*given):
    keep(*given)
    kept.append(1)
    if len(kept) == 5:
        os.kill(os.getpid(), signal.SIGKILL)
genolm.partial.FinishedParts._keep = keep_and_die
genolm.cli.main()
"""


def test_a_killed_command_goes_on(model, toy_bundle_path, fasta, tmp_path, small_parts, monkeypatch):
    folder, options = tmp_path / "scan", ["--stride", "3", "--bedgraph", "--precision", "fp32"]
    words = ["scan", str(fasta), "--model", str(toy_bundle_path), "--out", str(folder), *options]
    environment = {**os.environ, "GENOLM_THREADS": "1"}
    command = [sys.executable, "-c", KILLED, *words]
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True)
    assert ran.returncode == -signal.SIGKILL, ran.stderr
    assert [path.name for path in folder.iterdir()] == [".scan.partial"]
    # Its lock is still there, and keeps no one out.
    assert (folder / ".scan.partial" / "running" / "running.lock").is_file()
    made = []
    keep = FinishedParts._keep
    monkeypatch.setattr(FinishedParts, "_keep", lambda *given: made.append(1) or keep(*given))
    scanned(fasta, folder, model=model)
    going_on = len(made)
    scanned(fasta, tmp_path / "once", model=model)
    assert len(made) - going_on == going_on + 5
    assert contents(folder) == contents(tmp_path / "once")


def edit(fasta):
    """Turn the letters of a file around, so that its size stays."""
    lines = fasta.read_text().splitlines()
    fasta.write_text("".join(f"{line if line[0] == '>' else line[::-1]}\n" for line in lines))
    os.utime(fasta, ns=(1, fasta.stat().st_mtime_ns + 1_000_000_000))


def result_files(out):
    """Return what is there under a final name."""
    return [path for path in out.parent.rglob("*") if path.is_file() and ".partial" not in str(path)]


def record_of(out, verb):
    return json.loads((out.with_suffix("") / "run.json" if verb == "scan" else Path(f"{out}.run.json")).read_text())


@pytest.mark.parametrize("verb", WAYS)
def test_a_file_that_is_changed_while_it_is_read_ends_the_run(verb, model, fasta, tmp_path, small_parts, monkeypatch):
    monkeypatch.setitem(Ticker.__init__.__kwdefaults__, "interval", 0.0)
    work = functools.partial(WAYS[verb], engine=Lockstep()) if verb == "scan" else WAYS[verb]
    out, once, before = tmp_path / "r" / "out.csv", [], []

    def change(report):
        if report.stage.startswith(("classifying", "saliency", "scanning")) and report.fraction > 0.4 and not once:
            before.extend(out.parent.rglob("*.part"))
            once.append(edit(fasta))

    with pytest.raises(SequenceError) as caught:
        work(fasta, out, model=model, progress=change)
    words = f"{fasta} was changed or removed while it was read; when it is complete, give the same command again."
    assert str(caught.value) == words and once
    assert result_files(out) == [] and sorted(out.parent.rglob("*.part")) == sorted(before)
    work(fasta, out, model=model)
    work(fasta, tmp_path / "new" / "out.csv", model=model)
    assert contents(out.parent) == contents(tmp_path / "new")
    assert record_of(out, verb)["inputs"][0]["sha256"] == file_facts(fasta)["sha256"]


@pytest.mark.parametrize("verb", WAYS)
def test_a_file_that_is_changed_while_its_result_is_written_gives_none(verb, model, fasta, tmp_path, monkeypatch):
    place = "genolm.scan_pipeline.atomic_files" if verb == "scan" else "genolm.pipelines.rows_to"
    module, name = place.rsplit(".", 1)
    writer, out = getattr(sys.modules[module], name), tmp_path / "r" / "out.csv"
    monkeypatch.setattr(place, lambda *given, **more: edit(fasta) or writer(*given, **more))
    with pytest.raises(SequenceError, match="was changed or removed while it was read"):
        WAYS[verb](fasta, out, model=model)
    assert result_files(out) == []


def test_a_file_with_another_number_is_known_by_its_content(fasta, tmp_path):
    source, copy = Source(fasta), tmp_path / "copy.fa"
    assert source.facts == file_facts(fasta)

    def replace(text):
        copy.write_text(text)
        times = fasta.stat()
        os.utime(copy, ns=(times.st_atime_ns, times.st_mtime_ns))
        copy.replace(fasta)

    replace(fasta.read_text())
    source.check()
    source.check()
    replace(fasta.read_text().replace("A", "C"))
    with pytest.raises(SequenceError, match="was changed"):
        source.check()
    fasta.unlink()
    with pytest.raises(SequenceError, match="was changed or removed"):
        source.check()


@pytest.mark.parametrize("verb", WAYS)
def test_two_runs_never_write_the_same_result(verb, model, fasta, tmp_path, monkeypatch):
    out, work, refusals = tmp_path / "r" / "out.csv", WAYS[verb], []

    def second(*_):
        with pytest.raises(SettingsError, match="Another run is writing .*; wait for its end or choose another place"):
            work(fasta, out, model=model)
        refusals.append(1)

    writes = {"scan": "genolm.scan_pipeline.write_json"}.get(verb, "genolm.recording.write_json")
    module, name = writes.rsplit(".", 1)
    write = getattr(sys.modules[module], name)

    def recorded(*given):
        # Also between the result and its record.
        monkeypatch.setattr(writes, write)
        second()
        write(*given)

    monkeypatch.setattr(writes, recorded)
    seen = []

    def watch(report):
        if report.stage.startswith(("classifying", "saliency", "scanning")) and not seen:
            seen.append(second())

    work(fasta, out, model=model, progress=watch)
    assert len(refusals) == 2
    work(fasta, tmp_path / "once" / "out.csv", model=model)
    assert contents(out.parent) == contents(tmp_path / "once")


class Killed(BaseException):
    """An end after which nothing is tidied up."""


@pytest.mark.parametrize("verb", WAYS)
def test_nothing_stays_of_a_run_that_was_killed_while_it_wrote(verb, model, fasta, tmp_path, monkeypatch):
    work, out = WAYS[verb], tmp_path / "r" / "out.csv"

    def kill(*_):
        raise Killed

    for place in ("outputs" if verb == "scan" else "workspace", "record"):
        with monkeypatch.context() as dying:
            for owner, name in ((Path, "unlink"), (Path, "rmdir"), (shutil, "rmtree")):
                dying.setattr(owner, name, lambda *_, **__: None)
            if place == "record":
                dying.setattr("genolm.record.atomic_write", functools.partial(killed_writing, kill))
            elif verb == "scan":
                dying.setattr("genolm.scan_pipeline.write_all", lambda draft, *_, **__: kill((draft / "a").touch()))
            else:
                dying.setattr("genolm.outputs.atomic_write", functools.partial(killed_writing, kill))
            with pytest.raises(Killed):
                work(fasta, out, model=model)
    assert [path for path in out.parent.rglob(".*") if path.name.endswith((".draft", ".tmp"))]
    mine = out.with_name(".out.csv.mine.tmp")
    mine.write_text("of someone else")
    work(fasta, out, model=model)
    assert [path.name for path in out.parent.rglob(".*")] == [mine.name]


def killed_writing(kill, path):
    """Stand in for atomic_write, and leave its draft behind."""
    path = Path(path)
    path.with_name(f".{path.name}.{os.getpid()}.0123abcd.tmp").write_text("half")
    kill()
