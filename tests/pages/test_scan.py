"""Scan: what a job leaves behind is read back whole, shown, called anew and handed out."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

from genolm import features
from genolm.errors import GenolmError, SettingsError
from genolm.jobs import Job
from genolm.peaks import call_peaks
from genolm.pipelines import scan_file
from genolm.predict import Predictor
from genolm.progress import Progress
from genolm.registry import load_bundle
from genolm.scan import scan_genome
from genolm.sequences import open_fasta
from pages.shared import results, running, samples

PAGE = "pages/annotate/scan.py"
THRESHOLD = 0.4


@pytest.fixture
def finished_job(toy_model, tmp_path, make_dna):
    """A job that scanned two contigs, with its tracks as the package gives them."""
    fasta = tmp_path / "two.fa"
    gap = "N" * 100
    fasta.write_text(f">one\n{make_dna(700)}{gap}{make_dna(700)}\n>two\n{make_dna(400)}\n>tiny\nACGT\n")
    predictor = Predictor(load_bundle(toy_model.path), threads=1)
    with open_fasta(fasta) as genome:
        tracks = scan_genome(genome, predictor, stride=7).tracks
    folder = tmp_path / "job"
    middle = float(np.nanmedian(np.concatenate([track.values for track in tracks])))
    threshold = round(middle, 2)
    arguments = ("scan", str(fasta), "--model", "toy-promoter", "--out", ".")
    job = Job("a" * 32, "scan", "two.fa: toy-promoter", arguments, folder, "2026-01-01T00:00:00Z", "done")
    scan_file(fasta, job.result, model=predictor, stride=7, threshold=threshold)
    return job, tracks, threshold


def test_tracks_are_read_back_as_they_were(finished_job):
    job, tracks, _ = finished_job
    scan = results.read_scan(job.result)
    assert list(scan.lengths) == ["one", "two", "tiny"]
    assert len(scan.tracks) == len(tracks) == 4
    ordered = sorted(tracks, key=lambda item: (item.contig, item.strand))
    for read, made in zip(scan.tracks, ordered, strict=True):
        there = np.flatnonzero(~np.isnan(made.values))
        np.testing.assert_array_equal(read.values_at(made.sites), made.values)
        assert read.sites[0] == made.sites[there[0]] and read.sites[-1] == made.sites[there[-1]]


def test_calls_made_anew_are_those_of_a_scan_with_that_threshold(finished_job):
    job, tracks, threshold = finished_job
    scan = results.read_scan(job.result)
    again = call_peaks(scan.tracks, threshold=threshold, window_length=60)
    assert len(again) > 3
    pd.testing.assert_frame_equal(again, scan.calls, check_dtype=False, rtol=1e-5)
    paths = results.write_calls(job.folder / "recalled", again, scan)
    for label, path in paths.items():
        assert path.read_bytes() == (job.result / f"calls.{label.lower()}").read_bytes()
    scan.record["settings"]["class"] = "gene start"
    results.write_calls(job.folder / "recalled", again, scan)
    rows = [line.split("\t") for line in paths["GFF3"].read_text().splitlines() if line[0] != "#"]
    assert {row[2] for row in rows} == {"start_codon"}


def test_a_plot_has_few_points_and_loses_no_peak(finished_job):
    job, tracks, _ = finished_job
    made = [dataclasses.replace(track, values=np.repeat(track.values, 50)) for track in tracks[:2]]
    drawn = results.curves(made, 0, 10**6)
    assert sum(len(values) for _, values in drawn.values()) <= 4_000
    for track in made:
        assert np.nanmax(drawn[track.strand][1]) == np.nanmax(track.values)


def test_a_folder_that_is_not_whole_is_refused(tmp_path):
    with pytest.raises(GenolmError, match="scan again"):
        results.read_scan(tmp_path)


def test_a_finished_job_is_found_by_its_address_and_called_anew(open_page, finished_job, monkeypatch):
    job, _, threshold = finished_job
    monkeypatch.setattr(running, "get_job", lambda identity: job)
    app = open_page(PAGE, job=job.id)
    assert not app.exception and not app.error
    shown = {item.label: item.value for item in app.metric}
    calls = features.read_calls(job.result / "calls.csv")
    assert shown["Calls"] == f"{len(calls):,}"
    table = app.dataframe[-1].value
    assert list(table["score"]) == sorted(calls["score"], reverse=True)
    app.slider[0].set_value(1.0).run()
    assert not app.exception
    assert {item.label: item.value for item in app.metric}["Calls"] == "0"
    assert any("No window reaches the threshold" in item.value for item in app.info)
    app.slider[0].set_value(threshold).run()
    app.text_input[0].set_value("two:100-300").run()
    assert set(app.dataframe[-1].value["contig"]) <= {"two"}
    app.text_input[0].set_value("nowhere:1-5").run()
    assert "no sequence named 'nowhere'" in app.error[0].value


def test_a_running_job_shows_progress_and_can_be_stopped(open_page, finished_job, monkeypatch):
    job, _, _ = finished_job
    report = Progress("scanning one, plus strand", 30, 120, 10.0)
    states = {"now": dataclasses.replace(job, state="running", progress=report)}

    def cancel(identity):
        states["now"] = dataclasses.replace(job, state="cancelled")

    monkeypatch.setattr(running, "get_job", lambda identity: states["now"])
    monkeypatch.setattr(running, "cancel_job", cancel)
    app = open_page(PAGE, job=job.id)
    assert not app.exception
    bar = app.get("progress")[0].proto
    assert bar.value == 25 and bar.text == "scanning one, plus strand: 30 of 120, about 30 s left"
    next(button for button in app.button if button.label == "Stop").click().run()
    assert any("Stopped" in item.value for item in app.info)


def test_a_job_that_failed_or_is_unknown_says_why(open_page, finished_job, sentences, monkeypatch):
    job, _, _ = finished_job
    failed = dataclasses.replace(job, state="failed", reason="The disk is full; make room.")
    monkeypatch.setattr(running, "get_job", lambda identity: failed)
    assert sentences(open_page(PAGE, job=job.id)) == ["The disk is full; make room."]

    def unknown(identity):
        raise SettingsError(f"There is no job '{identity}'.")

    monkeypatch.setattr(running, "get_job", unknown)
    assert sentences(open_page(PAGE, job="zz")) == ["There is no job 'zz'."]


def test_the_scan_is_started_with_what_was_chosen(open_page, toy_model, monkeypatch):
    started = []
    monkeypatch.setattr(running, "start", lambda kind, arguments, *, title: started.append(arguments))
    app = open_page(PAGE)
    app.number_input[0].set_value(20).run()
    app.slider[0].set_value(0.9).run()
    next(button for button in app.button if button.label == "Start the scan").click().run()
    (arguments,) = started
    path = samples.genome_samples()[0].path
    assert arguments[:6] == ["scan", str(path), "--model", "toy-promoter", "--out", "."]
    assert arguments[6:] == ["--stride", "20", "--strand", "both", "--threshold", "0.9"]
    assert json.dumps(arguments)
