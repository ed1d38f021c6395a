"""Scan: what a job leaves behind is read back whole, shown, called anew and handed out."""

import dataclasses
import json
import zipfile
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from genolm import features, workspace
from genolm.errors import GenolmError, RegionError, SettingsError
from genolm.genome_files import open_genome
from genolm.jobs import Job
from genolm.predict import Predictor
from genolm.progress import Progress
from genolm.classifier import SequenceClassifier
from genolm.regions import Region
from genolm.registry import import_bundle, load_bundle, save_bundle
from genolm.scan import scan_genome
from genolm.scan_pipeline import scan_file
from genolm.site_matching import judge_calls
from pages.shared import (
    inputs,
    results,
    running,
    samples,
    scan_data,
    scan_downloads,
    scan_places,
    scan_table,
    speed,
    uploads,
)
from pages.shared.scan_browser import Place, pick, to_explain, window_of
from pages.shared.scan_form import Options
from pages.shared.scan_table import Filter

PAGE = "pages/annotate/scan.py"
SALIENCY = "pages/annotate/saliency.py"
LINK = "Saliency of this locus"


@pytest.fixture(scope="module")
def scanned(toy_bundle_path, tmp_path_factory, make_module_dna):
    """A folder in which a circle with a gap and a linear contig were scanned, with background and genes."""
    home = tmp_path_factory.mktemp("scanned")
    fasta = home / "two.fa"
    gap = "N" * 100
    first, second = make_module_dna(700), make_module_dna(700)
    fasta.write_text(f">one circular\n{first}{gap}{second}\n>two\n{make_module_dna(400)}\n>tiny\nACGT\n")
    genes = home / "genes.bed"
    genes.write_text("one\t200\t500\tabcA\t0\t+\none\t900\t1300\txyzB\t0\t-\ntwo\t100\t300\tlone\t0\t+\n")
    predictor = Predictor(load_bundle(toy_bundle_path), threads=1, precision="fp32")
    with open_genome(fasta) as genome:
        tracks = scan_genome(genome, predictor, stride=7).tracks
    threshold = round(float(np.nanmedian(np.concatenate([track.values for track in tracks]))), 2)
    scan_file(
        fasta,
        home / "result",
        model=predictor,
        stride=7,
        threshold=threshold,
        genes=genes,
        truth=genes,
        background=True,
    )
    return fasta, home / "result", tracks, threshold


@pytest.fixture(scope="module")
def make_module_dna():
    rng = np.random.default_rng(11)
    return lambda length: "".join(rng.choice(list("ACGT"), length))


@pytest.fixture
def finished_job(toy_model, tmp_path, scanned):
    """A job that did that scan, with its tracks as the package gives them."""
    fasta, result, tracks, threshold = scanned
    folder = tmp_path / "job"
    folder.mkdir()
    (folder / "result").symlink_to(result)
    arguments = ("scan", str(fasta), "--model", "toy-promoter", "--out", ".")
    job = Job("a" * 32, "scan", "two.fa: toy-promoter", arguments, folder, "2026-01-01T00:00:00Z", "done")
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
    job, _, threshold = finished_job
    found = scan_data.read(job)
    assert found.circular == {"one": 1500} and found.background is not None
    again = scan_data.anew(found, threshold)
    assert len(again) > 3
    columns = list(again.columns)
    pd.testing.assert_frame_equal(again, found.scan.calls[columns], check_dtype=False, rtol=1e-5)
    # Slightly another number with the same hits: called anew, with q-values and genes as the run has them.
    values = np.concatenate([track.values for track in found.scan.tracks])
    near = float(np.nanmin(values[values >= np.float32(threshold)]))
    calls = scan_data.calls_at(found, near)
    assert list(calls.columns) == list(found.scan.calls.columns)
    paths = results.write_calls(job.folder / "recalled", calls, found.scan, circular=found.circular)
    for label, path in paths.items():
        assert path.read_bytes() == (job.result / f"calls.{label.lower()}").read_bytes()


def test_the_page_names_the_genes_that_the_files_name(scanned, toy_model, tmp_path):
    fasta, _, _, threshold = scanned
    genes = tmp_path / "genes.gff3"
    lines = [
        f"one\tx\t{kind}\t{start}\t{end}\t.\t+\t.\tID={name}"
        for kind, start, end, name in (
            ("transcription_start_site", 50, 50, "tss"),
            ("CDS", 300, 500, "abc"),
            ("tRNA", 700, 780, "trn"),
            ("CDS", 1480, 1560, "over the origin"),
        )
    ]
    genes.write_text("\n".join(["##gff-version 3", *lines]) + "\n")
    folder = tmp_path / "job"
    scan_file(fasta, folder / "result", model="toy-promoter", stride=7, threshold=threshold, genes=genes)
    arguments = ("scan", str(fasta), "--model", "toy-promoter", "--out", ".")
    job = Job("c" * 32, "scan", "two.fa: toy-promoter", arguments, folder, "2026-01-01T00:00:00Z", "done")
    found = scan_data.read(job)
    assert list(found.genes["name"]) == ["abc", "trn", "over the origin"]
    calls = scan_data.calls_at(found, threshold)
    assert list(calls["gene"]) == list(found.scan.calls["gene"].fillna(""))
    assert {"abc", "trn", "over the origin"} <= set(calls["gene"]) and "tss" not in set(calls["gene"])


GENES = pd.DataFrame(
    [
        ("one", 4_000, 5_000, "+", "lacZ"),
        ("one", 9_900, 10_200, "-", "dnaA"),
        ("one", 100, 400, "+", "rrn"),
        ("two", 300, 900, "-", "rrn"),
        ("two", 1_000, 1_900, "-", "LACZ"),
        ("two", 10, 20, "+", "one"),
    ],
    columns=["contig", "start", "end", "strand", "name"],
)


@pytest.mark.parametrize(
    ("typed", "region", "note"),
    [
        (" lacZ ", Region("one", 3_750, 5_250), ""),
        ("LACZ", Region("two", 750, 2_000), ""),
        ("Lacz", Region("two", 750, 2_000), "2 genes are named Lacz; this is the one at two:1001-1900."),
        ("rrn", Region("two", 50, 1_150), "2 genes are named rrn; this is the one at two:301-900."),
        ("DNAA", Region("one", 0, 200), "one:9901-10200 goes over the origin. Here is the longer side, one:1-200; "),
        ("one", Region("one", 0, 10_000), ""),
        ("11-20", Region("two", 10, 20), ""),
    ],
)
def test_the_browser_goes_to_genes_too(typed, region, note):
    found = SimpleNamespace(lengths={"one": 10_000, "two": 2_000}, circular={"one": 10_000}, genes=GENES)
    there = scan_places.find(typed, found, "two")
    assert there.region == region
    assert there.note.startswith(note) and bool(there.note) == bool(note)


@pytest.mark.parametrize(("genes", "what"), [(GENES, "contig or gene"), (None, "contig")])
def test_a_name_of_nothing_in_the_scan_is_told(genes, what):
    found = SimpleNamespace(lengths={"one": 10_000}, circular={}, genes=genes)
    with pytest.raises(RegionError, match=f"There is no {what} named 'recA' in this scan; a place is written as"):
        scan_places.find("recA", found, "one")
    with pytest.raises(RegionError, match="ends after one, which has 10,000 bases"):
        scan_places.find("9,900-10,100", found, "one")


def test_gaps_are_where_nothing_was_scored(finished_job):
    found = scan_data.read(finished_job[0])
    ((contig, start, end),) = scan_data.gaps(found)
    assert contig == "one" and start <= 700 and end >= 800 and end - start < 200
    assert np.isnan(found.scan.of("one")[0].values_at([start, 750, end - 1])).all()


def test_a_folder_that_is_not_whole_is_refused(tmp_path):
    with pytest.raises(GenolmError, match="scan again"):
        results.read_scan(tmp_path)


def test_a_plot_has_few_points_and_loses_no_peak(finished_job):
    _, tracks, _ = finished_job
    made = [dataclasses.replace(track, values=np.repeat(track.values, 50)) for track in tracks[:2]]
    drawn = results.curves(made, 0, 10**6)
    assert sum(len(values) for _, values in drawn.values()) <= 4_000
    for track in made:
        assert np.nanmax(drawn[track.strand][1]) == np.nanmax(track.values)


def test_everything_is_packed_also_at_another_threshold(finished_job):
    job, _, threshold = finished_job
    found = scan_data.read(job)
    higher = threshold + 0.01
    calls = scan_data.calls_at(found, higher)
    folder = scan_downloads.recalled_folder(job, higher)
    results.write_calls(folder, calls, found.scan, circular=found.circular)
    packed = job.folder / "all.zip"
    scan_downloads.pack(job, found, calls, higher, folder, packed)
    with zipfile.ZipFile(packed) as archive:
        names = set(archive.namelist())
        record = json.loads(archive.read("run.json"))
        rows = archive.read("calls.csv").decode().splitlines()
    assert {"README.txt", "calls.gb", "calls.fa", "calls.parquet", "genes.gff3", "scores_plus.bw"} <= names
    assert len(rows) == len(calls) + 1 and record["results"]["calls"] == len(calls)
    assert record["settings"]["threshold"] == higher
    words = record["arguments"]
    assert words[words.index("--threshold") + 1] == repr(higher)
    assert json.loads((job.result / "run.json").read_text())["settings"]["threshold"] == threshold


def test_a_finished_job_is_found_by_its_address_and_called_anew(open_page, finished_job, monkeypatch):
    job, _, threshold = finished_job
    monkeypatch.setattr(running, "get_job", lambda identity: job)
    app = open_page(PAGE, job=job.id)
    assert not app.exception and not app.error
    shown = {item.label: item.value for item in app.metric}
    calls = features.read_calls(job.result / "calls.csv")
    assert shown["Calls"] == f"{len(calls):,}"
    background = scan_data.read(job).background
    assert (
        shown["False ones per Mb of strand"].replace(",", "")
        == f"{background.expected_per_mb(threshold):.0f}"
    )
    table = app.dataframe[0].value
    assert list(table["score"]) == sorted(calls["score"], reverse=True)
    assert set(table["next gene"]) <= {"abcA", "xyzB", "lone", ""}
    app.slider[0].set_value(1.0).run()
    assert not app.exception
    assert {item.label: item.value for item in app.metric}["Calls"] == "0"
    assert any("No window reaches the threshold" in item.value for item in app.info)
    app.slider[0].set_value(threshold).run()
    app.text_input[0].set_value("two:100-300").run()
    assert app.session_state[f"place_{job.id}"].target == Region("two", 99, 300)
    app.text_input[0].set_value("nowhere:1-5").run()
    assert "no sequence named 'nowhere'" in app.error[0].value


@pytest.mark.parametrize("method", ["merge", "nms"])
def test_known_sites_count_only_where_the_scan_looked(scanned, toy_model, open_page, tmp_path, monkeypatch, method):
    fasta, threshold, folder = scanned[0], scanned[3], tmp_path / "job"
    regions, truth = tmp_path / "regions.bed", tmp_path / "truth.bed"
    regions.write_text("one\t100\t300\none\t1200\t1400\n")
    known = [(150, "+"), (200, "-"), (250, "+"), (1_250, "-"), (1_300, "+"), (1_350, "-"), (600, "+"), (1_000, "-")]
    lines = [f"one\t{place}\t{place + 1}\ts{place}\t0\t{strand}\n" for place, strand in known]
    truth.write_text("".join([*lines, "two\t100\t101\tother\t0\t+\n"]))
    given = {"regions": regions, "truth": truth, "tolerance": 30, "method": method, "threshold": threshold}
    predictor = Predictor(load_bundle(toy_model.path), threads=1, precision="fp32")
    made = scan_file(fasta, folder / "result", model=predictor, stride=7, **given)
    inside = pd.DataFrame(known[:6], columns=["position", "strand"]).assign(contig="one")
    words = [item for name in ("regions", "truth", "tolerance") for item in (f"--{name}", str(given[name]))]
    arguments = ("scan", str(fasta), "--model", "toy-promoter", "--out", ".", *words)
    job = Job("b" * 32, "scan", "two.fa: toy-promoter", arguments, folder, "2026-01-01T00:00:00Z", "done")
    monkeypatch.setattr(running, "get_job", lambda identity: job)

    app = open_page(PAGE, job=job.id)
    app.session_state[f"tabs_{job.id}"] = "Known sites"
    app.run()
    for tolerance in (30, 40):
        app.number_input(key=f"tolerance_{job.id}").set_value(tolerance).run()
        assert not app.exception and not app.error
        right = judge_calls(made.calls, inside, tolerance=tolerance, circular={"one": 1_500})
        assert right["sites_found"] > 0
        shown = {item.label: item.value for item in app.metric}
        assert (shown["Known sites"], shown["Recall"]) == ("6", f"{right['recall']:.1%}")
        assert shown["F1"] == f"{right['f1']:.3f}"
        captions = " ".join(item.value for item in app.caption)
        assert f" {right['sites_found']} of 6 sites are found" in captions
        assert "3 sites lie where nothing was scanned" in captions
    assert ("A call is a run of windows" in captions) == (method == "merge")
    assert ("A call is a local maximum" in captions) == (method == "nms")


def test_a_link_reopens_the_job_at_its_place(open_page, finished_job, monkeypatch):
    job, _, _ = finished_job
    monkeypatch.setattr(running, "get_job", lambda identity: job)
    app = open_page(PAGE, job=job.id, locus="two:51-250")
    assert app.session_state[f"place_{job.id}"].seen.start == 50
    next(item for item in app.toggle if "view" in item.label).set_value(True).run()
    table = app.dataframe[0].value
    assert len(table) and set(table["contig"]) == {"two"} and table["summit"].between(51, 250).all()
    next(button for button in app.button if button.label == "Whole contig").click().run()
    assert app.session_state[f"place_{job.id}"].target == Region("two", 0, 400)
    wrong = open_page(PAGE, job=job.id, locus="three:1-5")
    assert any("not in the genome" in item.value for item in wrong.warning)


def test_the_saliency_of_a_call_is_one_click_away(open_page, finished_job, follow, monkeypatch):
    job, _, _ = finished_job
    monkeypatch.setattr(running, "get_job", lambda identity: job)
    found = scan_data.read(job)
    call = found.scan.calls[found.scan.calls["contig"] == "two"].nlargest(1, "score").iloc[0]
    start = max(0, int(call["summit"]) - 100)
    app = open_page(PAGE, job=job.id, locus=f"two:{start + 1}-{start + 150}")
    follow(app, LINK, SALIENCY)
    assert not app.exception
    assert app.query_params == {"model": "toy-promoter", "from": "scan"}
    letters = "".join(found.source.read_text().split(">two\n")[1].split(">")[0].split())
    assert (
        app.session_state["saliency_text"]
        == f">two:{start + 1}-{start + 150}\n{letters[start : start + 150]}\n"
    )
    assert app.session_state["saliency_strand"] == {"+": "plus", "-": "minus"}[call["strand"]]
    mark = next(item for item in app.number_input if item.label == "Site to mark")
    assert mark.value == call["summit"] - start + 1
    app.segmented_control[0].set_value(inputs.SAMPLE).run()
    assert not app.exception and not app.text_area


def test_a_call_is_explained_in_its_own_window_with_some_bases_beside_it(open_page, finished_job, follow, monkeypatch):
    job, _, threshold = finished_job
    monkeypatch.setattr(running, "get_job", lambda identity: job)
    found = scan_data.read(job)
    summit, call = 450, scan_data.calls_at(found, threshold).iloc[0].copy()
    call["contig"], call["summit"] = "one", summit
    for strand, word in (("+", "plus"), ("-", "minus")):
        call["strand"] = strand
        region = window_of(call, found)
        assert region.length == 60 + 2 * 25
        assert (summit - region.start if strand == "+" else region.end - 1 - summit) == 25 + 40
        app = open_page(PAGE, job=job.id)
        (link,) = [item.proto for item in app.get("page_link") if item.proto.label == LINK]
        assert link.disabled
        pick(call, found, app.session_state[f"place_{job.id}"])
        app.run()
        words = f"{region} (110 bp): the window of 60 bp at the summit of the call and 25 bp on either side."
        assert words in [item.value.replace("\\", "") for item in app.caption]
        follow(app, LINK, SALIENCY)
        assert app.session_state["saliency_text"].startswith(f">{region}\n")
        assert app.session_state["saliency_strand"] == word
        (mark,) = [item.value for item in app.number_input if item.label == "Site to mark"]
        assert mark == summit - region.start + 1
    call["contig"], call["summit"], call["strand"] = "two", 3, "+"
    assert window_of(call, found) == Region("two", 0, 3 + 45)
    app = open_page(PAGE, job=job.id)
    pick(call, found, app.session_state[f"place_{job.id}"])
    app.run()
    assert any(item.value.endswith("bp on either side, as far as the contig goes.") for item in app.caption)


@pytest.mark.parametrize("strand, start", [("+", 1503 - 65), ("-", 1503 - 44)])
@pytest.mark.parametrize("shift", [0, 40])
def test_a_call_at_the_origin_is_explained_over_it(
    open_page, finished_job, scanned, follow, monkeypatch, strand, start, shift
):
    job, _, threshold = finished_job
    monkeypatch.setattr(running, "get_job", lambda identity: job)
    found = scan_data.read(job)
    call = scan_data.calls_at(found, threshold).iloc[0].copy()
    start, summit = (start + shift) % 1500, (1503 + shift) % 1500
    call["contig"], call["summit"], call["strand"] = "one", summit, strand
    region = window_of(call, found)
    assert (region.start, region.length) == (start, 110)
    app = open_page(PAGE, job=job.id)
    place = app.session_state[f"place_{job.id}"]
    pick(call, found, place)
    assert place.seen == Region("one", 0, summit + 250) and to_explain(place, found) == region
    app.run()
    words = f"{region} (110 bp): the window of 60 bp at the summit of the call and 25 bp on either side, over the origin."
    assert words in [item.value.replace("\\", "") for item in app.caption]
    follow(app, LINK, SALIENCY)
    letters = scanned[0].read_text().split("\n")[1] * 2
    assert app.session_state["saliency_text"] == f">{region}\n{letters[start : start + 110]}\n"
    (mark,) = [item.value for item in app.number_input if item.label == "Site to mark"]
    assert mark == (66 if strand == "+" else 45) and letters[start + mark - 1] == letters[summit]


def test_a_place_over_the_origin_is_shown_by_its_longer_side(open_page, finished_job, monkeypatch):
    job = finished_job[0]
    monkeypatch.setattr(running, "get_job", lambda identity: job)
    app = open_page(PAGE, job=job.id)
    for typed, side in (
        ("1451-1520", Region("one", 1450, 1500)),
        ("1451-20", Region("one", 1450, 1500)),
        ("one:1,491-1,600", Region("one", 0, 100)),
        ("one:1491-100", Region("one", 0, 100)),
    ):
        app.text_input(key=f"region_{job.id}").set_value(typed).run()
        assert app.session_state[f"place_{job.id}"].target == side and not app.error
        assert any(f"Here is the longer side, {side};" in item.value.replace("\\", "") for item in app.info)
    app.text_input(key=f"region_{job.id}").set_value("one:1,451-").run()
    assert app.session_state[f"place_{job.id}"].target == Region("one", 1450, 1500) and not app.error
    app.text_input(key=f"region_{job.id}").set_value("two:300-500").run()
    assert "ends after two, which has 400 bases" in app.error[0].value.replace("\\", "")
    assert not any("longer side" in item.value for item in app.info)


def test_a_view_without_a_call_is_told_so(open_page, finished_job, monkeypatch):
    job = finished_job[0]
    monkeypatch.setattr(running, "get_job", lambda identity: job)
    app = open_page(PAGE, job=job.id)
    app.slider(key=f"threshold_{job.id}").set_value(1.0).run()
    app.text_input(key=f"region_{job.id}").set_value("two:1-200").run()
    told = [item.value.replace("\\", "") for item in app.caption]
    assert any(text.startswith("two:1-200 (200 bp): what is in view, on the plus strand and without") for text in told)


def test_what_was_zoomed_in_to_goes_before_the_call(finished_job):
    found = scan_data.read(finished_job[0])
    place = Place(Region("one", 0, 1500), Region("one", 0, 1500))
    call = found.scan.calls[found.scan.calls["contig"] == "one"].iloc[0].copy()
    call["summit"] = 500
    pick(call, found, place)
    assert place.seen == Region("one", 250, 750) and to_explain(place, found) == window_of(call, found)
    place.go(Region("one", 400, 600))
    assert to_explain(place, found) == Region("one", 400, 600)
    call["summit"] = 100
    pick(call, found, place)
    assert place.seen == Region("one", 0, 350) and to_explain(place, found) == window_of(call, found)


def test_the_filters_stand_beside_each_other_without_a_hole(open_page, finished_job, scanned, tmp_path, monkeypatch):
    fasta, _, _, threshold = scanned
    single, folder = tmp_path / "one.fa", tmp_path / "plain"
    single.write_text(">two\n" + fasta.read_text().split(">two\n")[1].split(">")[0])
    scan_file(single, folder / "result", model="toy-promoter", stride=7, threshold=threshold)
    arguments = ("scan", str(single), "--model", "toy-promoter", "--out", ".")
    plain = Job("d" * 32, "scan", "one.fa", arguments, folder, "2026-01-01T00:00:00Z", "done")
    rows = {finished_job[0]: ["Order", "Contig", "Strand", "Next gene", "Score from", "q-value up to"]}
    rows[plain] = ["Order", "Strand", "Score from"]
    for job, labels in rows.items():
        monkeypatch.setattr(running, "get_job", lambda identity, job=job: job)
        app = open_page(PAGE, job=job.id)
        assert not app.exception and not [column for column in app.columns if not column.children]
        shown = [item.label for column in app.columns for item in column.children.values() if hasattr(item, "label")]
        assert [label for label in shown if label in rows[finished_job[0]]] == labels


def test_a_wide_view_is_explained_around_the_call_that_was_picked(finished_job):
    found = scan_data.read(finished_job[0])
    whole = dataclasses.replace(found, fasta=None)
    place = Place(Region("one", 0, 1500), Region("one", 0, 1500))
    assert to_explain(place, whole) is None
    place.picked = Region("one", 100, 400)
    assert to_explain(place, whole) == place.picked
    place.go(Region("one", 500, 900))
    assert to_explain(place, whole) == Region("one", 500, 900)
    place.go(Region("one", 500, 1400))
    assert to_explain(place, whole) is None


def test_filters_and_order():
    calls = pd.DataFrame(
        {
            "contig": ["a", "a", "b"],
            "start": [10, 50, 5],
            "end": [20, 90, 9],
            "strand": ["+", "-", "+"],
            "summit": [15, 60, 7],
            "score": [0.5, 0.9, 0.7],
            "q_value": [0.2, 0.01, 0.1],
            "gene": ["lacZ", "", "lacI"],
            "gene_distance": [40, -1, 3],
        }
    )

    kept = {
        "contig": Filter(contig="a"),
        "strand": Filter(strand="+"),
        "score": Filter(min_score=0.7),
        "q": Filter(max_q=0.1),
        "gene": Filter(text="LACi"),
        "view": Filter(within=Region("a", 15, 60)),
    }
    wanted = {"contig": [0, 1], "strand": [0, 2], "score": [1, 2], "q": [1, 2], "gene": [2], "view": [0]}
    assert {name: list(item.of(calls).index) for name, item in kept.items()} == wanted
    found = {name: list(scan_table.in_order(calls, name).index) for name in scan_table.orders(calls)}
    assert found == {
        "best score first": [1, 2, 0],
        "along the genome": [0, 1, 2],
        "widest first": [1, 0, 2],
        "nearest gene start first": [2, 0, 1],
    }
    shown = scan_table.as_people_write(calls)
    assert list(shown["from"]) == [11, 51, 6] and list(shown["to"]) == [20, 90, 9]
    assert shown["distance"].isna().tolist() == [False, True, False]


def test_a_running_job_shows_progress_and_can_be_stopped(open_page, finished_job, monkeypatch):
    job, _, _ = finished_job
    report = Progress("scanning one, plus strand", 30, 120, 10.0, pace=1 / 3)
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
    assert any(item.value.endswith(f", the shuffled genome included; {speed.LONGER}.") for item in app.caption)
    app.number_input[0].set_value(20).run()
    app.slider[0].set_value(0.9).run()
    next(item for item in app.radio if item.label == "Topology").set_value("circular").run()
    next(item for item in app.radio if item.label == "Genes").set_value(
        "find them now (bacteria and archaea)"
    )
    next(item for item in app.toggle if "shuffled" in item.label).set_value(False).run()
    next(button for button in app.button if button.label == "Start the scan").click().run()
    assert not app.exception
    (arguments,) = started
    path = samples.genome_samples()[0].path
    assert arguments[:6] == ["scan", str(path), "--model", "toy-promoter", "--out", "."]
    assert arguments[6:12] == ["--stride", "20", "--strand", "both", "--threshold", "0.9"]
    assert arguments[12:] == ["--topology", "circular", "--genes", "predict", "--no-background"]
    assert json.dumps(arguments)


def test_a_model_that_was_not_made_for_scans_says_so_before_the_start(open_page, toy_model, tmp_path):
    assert not open_page(PAGE).warning
    bundle = load_bundle("toy-promoter")
    limit = "Take it for single pieces; most calls of a scan would be wrong."
    config = dataclasses.replace(bundle.config, name="pieces")
    save_bundle(tmp_path / "pieces", config, bundle.state_dict(), {**bundle.card, "scan_limit": limit})
    import_bundle(tmp_path / "pieces")
    assert [item.value for item in open_page(PAGE, model="pieces").warning] == [limit]


def test_every_option_of_the_form_is_one_of_the_command(tmp_path):
    from genolm.ascode import parse_arguments
    from genolm.cli.scan import command

    options = Options(
        5,
        "-",
        0.25,
        mode="stream",
        precision="int8",
        method="nms",
        circular=("a", "b"),
        linear=("c",),
        genes="g.gff3",
        truth="t.bed",
        tolerance=30,
        background=False,
        regions="r.bed",
        formats=("genbank", "bedgraph"),
    )
    words = options.arguments(tmp_path / "x.fa", "m")
    assert parse_arguments(words)
    found = command.make_context("scan", words[1:]).params
    assert (
        found["stride"] == 5
        and found["circular"] == ("a", "b")
        and found["formats"] == ("genbank", "bedgraph")
    )
    assert found["background"] is False and found["tolerance"] == 30
    assert found["mode"] == "stream" and found["precision"] == "int8"


def test_a_model_that_reads_every_frame_is_not_offered_to_stream(open_page, toy_model):
    config = dataclasses.replace(toy_model.config, name="in-frames", framed=True)
    model = SequenceClassifier(config.encoder, config.head, 67)
    save_bundle(toy_model.path.with_name("in-frames"), config, model.state_dict(), load_bundle(toy_model.path).card)
    for name, count in (("in-frames", 2), ("toy-promoter", 3)):
        app = open_page(PAGE, model=name)
        modes = app.selectbox(key="scan_mode").options
        assert not app.exception and len(modes) == count
        assert any("streaming" in mode for mode in modes) == (name == "toy-promoter")
        app.selectbox(key="scan_mode").set_value(modes[-1]).run()
        assert not app.exception


@pytest.fixture
def shown_scan(open_page, toy_model, tmp_path, monkeypatch):
    """A function FASTA, options of the scan -> the page of its job, and the job."""

    def shown(fasta, **given):
        predictor = Predictor(load_bundle(toy_model.path), threads=1, precision="fp32")
        scan_file(fasta, tmp_path / "job" / "result", model=predictor, stride=7, threshold=0.0, **given)
        arguments = ("scan", str(fasta), "--model", "toy-promoter", "--out", ".")
        job = Job("e" * 32, "scan", "a scan", arguments, tmp_path / "job", "2026-01-01T00:00:00Z", "done")
        monkeypatch.setattr(running, "get_job", lambda identity: job)
        return open_page(PAGE, job=job.id), job

    return shown


def captions(app):
    return [item.value.replace("\\", "") for item in app.caption]


@pytest.mark.parametrize("form", ["linear", "circular"])
def test_a_scan_is_shown_whose_first_contigs_have_no_score(shown_scan, make_dna, tmp_path, form):
    fasta, regions = tmp_path / "four.fa", tmp_path / "only.bed"
    contigs = {"tiny": "ACGT", "gap": "N" * 300, "out": make_dna(300), "own": make_dna(300)}
    fasta.write_text("".join(f">{name}\n{letters}\n" for name, letters in contigs.items()))
    regions.write_text("gap\t0\t300\nown\t100\t200\n")
    app, job = shown_scan(fasta, regions=regions, topology=form)
    assert not app.exception and not app.error
    assert app.session_state[f"place_{job.id}"].seen.contig == "own"
    contig = app.selectbox(key=f"overview_contig_{job.id}")
    assert contig.value == "own" and list(contig.options) == list(contigs)
    reasons = {
        "tiny": "it is shorter than a window (60 bp)",
        "out": "no window has its site in the regions of only.bed",
    }
    for name, reason in reasons.items():
        app.selectbox(key=f"overview_contig_{job.id}").set_value(name).run()
        assert f"Nothing was scored on this contig: {reason}." in captions(app)
        assert not app.exception and "Downloads" in [item.value for item in app.subheader]
    (notes,) = [item.value.replace("\\", "") for item in app.info]
    told = ["Only the 400 bp in only.bed (2 regions) were scanned."]
    told += ["1 of 4 records is shorter than a window (60 bp) and was not scanned: tiny."]
    assert notes == "  \n".join(told)


def test_a_scan_without_any_score_is_shown_with_its_downloads(shown_scan, tmp_path):
    fasta = tmp_path / "gap.fa"
    fasta.write_text(">gap\n" + "N" * 300 + "\n")
    app, job = shown_scan(fasta)
    why = "its windows have too many letters other than A, C, G and T"
    assert f"Nothing was scored on this contig: {why}." in captions(app)
    app.session_state[f"tabs_{job.id}"] = "Scores"
    app.run()
    assert not app.exception and not app.error and "Downloads" in [item.value for item in app.subheader]


def test_known_sites_that_cannot_be_compared_leave_the_downloads(finished_job, open_page, tmp_path, monkeypatch):
    job, _, _ = finished_job
    folder = workspace.uploads_dir() / ("1" * 32) / "whole"
    folder.mkdir(parents=True)
    (folder / "far.bed").write_text("two\t1\t2\tx\t0\n")
    (folder / "bad.bed").write_text("two\t1\t2\tx\thigh\n")
    monkeypatch.setattr(running, "get_job", lambda identity: job)
    words = {"far.bed": "None of the 1 known sites lies where the scan looked", "bad.bed": "bad.bed, line 1 has 'high'"}
    for name, sentence in words.items():
        monkeypatch.setattr(uploads, "upload_box", lambda *_, name=name, **__: uploads.Upload(name, folder / name))
        app = open_page(PAGE, job=job.id)
        app.session_state[f"tabs_{job.id}"] = "Known sites"
        app.session_state[f"truth_{job.id}"] = "another file"
        app.session_state[f"tolerance_{job.id}"] = 0
        app.run()
        assert [item.value.replace("\\", "").startswith(sentence) for item in app.error] == [True]
        assert "Downloads" in [item.value for item in app.subheader]


def test_known_sites_of_the_sample_count_where_the_scan_looked(toy_model, open_page, tmp_path, monkeypatch):
    path = str(workspace.samples_dir() / "ecoli_lac_region.fa")
    known = samples.sites_in(path, "promoter")
    name, contig, position, _ = known[0]
    regions, folder = tmp_path / "near.bed", tmp_path / "job"
    regions.write_text(f"{contig}\t{position - 40}\t{position + 40}\n")
    predictor = Predictor(load_bundle(toy_model.path), threads=1, precision="fp32")
    scan_file(path, folder / "result", model=predictor, stride=10, threshold=0.0, regions=regions)
    scan = results.read_scan(folder / "result")
    table = results.check_sites(scan, scan.calls, known)
    near = [row for row in known if abs(row[2] - position) <= 100]
    assert name in set(table["site"]) and set(table["site"]) <= {row[0] for row in near} and len(known) > len(near)
    assert table["highest score nearby"].between(0, 1).all()
    arguments = ("scan", path, "--model", "toy-promoter", "--out", ".")
    job = Job("f" * 32, "scan", "a scan", arguments, folder, "2026-01-01T00:00:00Z", "done")
    monkeypatch.setattr(running, "get_job", lambda identity: job)
    app = open_page(PAGE, job=job.id)
    left = len(known) - len(table)
    assert f"of {len(table)} have a call" in next(item.label for item in app.expander if "Known sites" in item.label)
    assert any(f"{left} site" in words and "where nothing was scored" in words for words in captions(app))


def test_nothing_starts_while_a_file_that_was_asked_for_is_missing(open_page, toy_model):
    app = open_page(PAGE)
    whole = captions(app)

    def start():
        return next(button for button in app.button if button.label == "Start the scan")

    app.checkbox(key="scan_has_regions").set_value(True)
    app.checkbox(key="scan_has_truth").set_value(True)
    app.radio(key="scan_genes_False").set_value("a file").run()
    assert [item.value for item in app.info] == [
        "Choose the file of genes, or another answer under Genes.",
        "Choose the file of known sites, or untick 'Compare with known sites'.",
        "Choose the BED file of regions, or untick 'Only some regions'.",
    ]
    assert start().disabled and not app.code
    app.checkbox(key="scan_has_truth").set_value(False)
    app.radio(key="scan_genes_False").set_value("none").run()
    assert len(app.info) == 1 and start().disabled
    app.checkbox(key="scan_has_regions").set_value(False).run()
    assert not app.info and not start().disabled and app.code and captions(app) == whole


def test_regions_are_read_before_the_start(open_page, toy_model, tmp_path, monkeypatch, sentences):
    contig, path = "lac_region", tmp_path / "ok.bed"
    monkeypatch.setattr(uploads, "upload_box", lambda *_, **__: uploads.Upload("ok.bed", path))
    path.write_text(f"{contig}\t1000\t1200\n{contig}\t1200\t1400\n{contig}\t9000\t9010\n")
    app = open_page(PAGE)
    app.toggle(key="scan_background").set_value(False)
    app.number_input(key="scan_stride").set_value(50).run()
    app.checkbox(key="scan_has_regions").set_value(True).run()
    assert not app.exception and not app.error and not app.info
    assert "In use: ok.bed (2 regions, 410 bp)" in captions(app)
    (cost,) = [words for words in captions(app) if "on this machine" in words]
    assert cost.startswith("17 windows of 60 bp in the regions of ok.bed: about ")
    path.write_text(f"{contig}\t1000\t1001\n")
    app.run()
    assert sentences(app) == [
        "No window of 60 bp has its site in the regions of ok.bed; take a smaller stride or wider regions."
    ]
    assert next(button for button in app.button if button.label == "Start the scan").disabled
    path.write_text(">one\nACGT\n")
    app.run()
    assert sentences(app) == ["ok.bed is not BED but FASTA; give lines of contig, start and end."]
    assert "In use: ok.bed" in captions(app)
    assert next(button for button in app.button if button.label == "Start the scan").disabled


def test_genes_and_known_sites_are_read_before_the_start(open_page, finished_job, tmp_path, monkeypatch, sentences):
    monkeypatch.setattr(running, "seen_jobs", lambda kind: [finished_job[0]])
    contig, path = "lac_region", tmp_path / "ok.gff3"
    monkeypatch.setattr(uploads, "upload_box", lambda *_, **__: uploads.Upload("ok.gff3", path))
    line = "{}\ttoy\tgene\t{}\t{}\t.\t+\t.\tID={}\n"
    genes = [(contig, 100, 400, "one"), (contig, 100, 500, "same"), (contig, 600, 700, "two"), ("else", 1, 9, "lost")]
    path.write_text("##gff-version 3\n" + "".join(line.format(*gene) for gene in genes))

    def start():
        return next(button for button in app.button if button.label == "Start the scan")

    app = open_page(PAGE)
    app.radio(key="scan_genes_False").set_value("a file").run()
    left = "Features left out, on records that the genome has not (else): 1."
    assert f"ok.gff3: 2 gene starts on these records. {left}" in captions(app)
    assert not app.error and not start().disabled
    app.checkbox(key="scan_has_truth").set_value(True).run()
    assert f"ok.gff3: 2 known sites on these records. {left}" in captions(app)
    path.write_text("##gff-version 3\nlac_region\ttoy\tgene\tten\t20\t.\t+\t.\tID=one\n")
    app.run()
    assert len(sentences(app)) == 2 and all(words.startswith("ok.gff3, line 2") for words in sentences(app))
    # Earlier runs are listed all the same.
    assert start().disabled and not app.code and "Earlier runs (1)" in [item.label for item in app.expander]


def test_the_form_is_as_it_was_after_a_job(open_page, finished_job, tmp_path, monkeypatch):
    job = dataclasses.replace(finished_job[0], state="failed", reason="The disk is full; make room.")
    monkeypatch.setattr(running, "get_job", lambda identity: job)
    path = tmp_path / "ok.bed"
    path.write_text("lac_region\t1000\t9000\n")
    monkeypatch.setattr(uploads, "upload_box", lambda *_, **__: uploads.Upload("ok.bed", path))
    app = open_page(PAGE)
    app.number_input(key="scan_stride").set_value(1000)
    app.radio(key="scan_strand").set_value("minus")
    app.slider(key="scan_threshold_toy-promoter").set_value(0.9)
    app.toggle(key="scan_background").set_value(False)
    app.selectbox(key="scan_mode").set_value("streaming: each strand is read once")
    app.multiselect(key="scan_formats").set_value(["FASTA of the calls"])
    app.radio(key="scan_genes_False").set_value("a file")
    app.checkbox(key="scan_has_truth").set_value(True).run()
    app.number_input(key="scan_tolerance").set_value(20)
    app.checkbox(key="scan_has_regions").set_value(True).run()
    words = [item.value for item in app.code]
    assert len(words) == 2 and "--regions" in words[0] and "--tolerance 20" in words[0]
    app.query_params["job"] = job.id
    app.run()
    next(button for button in app.button if button.label == "New scan").click().run()
    assert not app.exception and [item.value for item in app.code] == words
    framed = dataclasses.replace(load_bundle("toy-promoter").config, name="in-frames", framed=True)
    model = SequenceClassifier(framed.encoder, framed.head, 67)
    source = load_bundle("toy-promoter")
    save_bundle(source.path.with_name("in-frames"), framed, model.state_dict(), source.card)
    app.query_params["job"] = job.id
    app.run()
    next(button for button in app.button if button.label == "New scan").click().run()
    app.selectbox(key="scan_model").set_value("in-frames").run()
    assert not app.exception and len(app.selectbox(key="scan_mode").options) == 2
    assert app.selectbox(key="scan_mode").value == "automatic"
    assert app.number_input(key="scan_stride").value == 1000


def test_why_a_job_failed_names_the_users_files(open_page, finished_job, monkeypatch):
    home = workspace.uploads_dir()
    mine = home / ("0a" * 16) / "whole" / "my genes.gff3"
    pasted = home / "pasted" / f"{'1f' * 12}.fa"
    told = f"{mine}, line 3 is odd; {pasted} is too; {home / 'samples' / 'windows.fa'} is not."
    job = dataclasses.replace(finished_job[0], state="failed", reason=told)
    assert running.reason(job) == "my genes.gff3, line 3 is odd; pasted text is too; windows.fa is not."
    monkeypatch.setattr(running, "get_job", lambda identity: job)
    monkeypatch.setattr(type(job), "log", lambda self: f"Reading {mine}\n")
    app = open_page(PAGE, job=job.id)
    assert [item.value for item in app.code] == ["Reading my genes.gff3"]


def test_thousands_of_bases_have_a_comma(shown_scan, make_dna, tmp_path):
    fasta = tmp_path / "one.fa"
    fasta.write_text(f">one\n{make_dna(300)}\n")
    app, job = shown_scan(fasta)
    record = json.loads((job.result / "run.json").read_text())
    record["settings"]["window"] = 1000
    (job.result / "run.json").write_text(json.dumps(record))
    app.run()
    assert any("windows of 1,000 bp every 7 bp" in words for words in captions(app))
