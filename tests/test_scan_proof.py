"""The proof of the scan: baselines slid exactly, judgements worked out by hand, all of it on toy data."""

import gzip
import importlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import genolm.compute  # noqa: F401  sets the OpenMP wait policy before torch is loaded

from genolm.baselines import Examples, KmerLogistic, PositionalLogistic, SmallCNN
from genolm.errors import GenolmError
from genolm.predict import Predictor
from genolm.registry import load_bundle
from genolm.scan import scan_genome
from genolm.tokenizer import encode_bases
from genolm.tracks import Track
from genolm.truth import truth_curve

RECIPES = Path(__file__).parents[1] / "recipes"
WINDOW, ANCHOR, BLOCK, SIZE = 60, 40, 5_000, 40_000
PROMOTER = "TTGACAATTAATCATCGGCTCGTATAATG"


@pytest.fixture
def recipe(monkeypatch):
    """A function name -> module of the recipes folder."""
    monkeypatch.syspath_prepend(RECIPES)
    return importlib.import_module


@pytest.fixture
def judging(recipe, monkeypatch):
    module = recipe("scan_proof_judging")
    monkeypatch.setattr(module, "_STEPS", 8)
    return module


@pytest.fixture
def sliding(recipe):
    return recipe("scan_proof_baselines")


def turned(text):
    return text.translate(str.maketrans("ACGT", "TGCA"))[::-1]


class Circle:
    """One circular contig in memory."""

    def __init__(self, text):
        self.text, self.contigs, self.topology = text, {"c": len(text)}, {"c": "circular"}

    def fetch(self, contig, start, end):
        return "".join(self.text[place % len(self.text)] for place in range(start, end))


@pytest.fixture
def windows(make_dna):
    """Windows, every second one with a promoter, as training and validation examples."""

    def some(count):
        texts = [make_dna(WINDOW) for _ in range(count)]
        texts[::2] = [text[:8] + PROMOTER + text[8 + len(PROMOTER) :] for text in texts[::2]]
        return Examples(texts, np.arange(1, count + 1) % 2)

    return some(80), some(30)


@pytest.mark.parametrize("name", ["kmer-logistic", "positional-logistic", "cnn"])
def test_a_slid_baseline_says_what_it_says_of_each_window_alone(
    sliding, windows, make_dna, name, monkeypatch
):
    made = {"kmer-logistic": KmerLogistic, "positional-logistic": PositionalLogistic, "cnn": SmallCNN}[name]
    fitted = []
    monkeypatch.setattr(
        made, "fit", lambda self, *sets, fit=made.fit: fitted.append(fit(self, *sets)) or fitted[-1]
    )
    monkeypatch.setattr(sliding, "_WINDOWS_AT_ONCE", 20)
    arrays = sliding.fit(name, *windows, epochs=2)
    text = make_dna(150) + PROMOTER + make_dna(30) + "N" + make_dna(100)
    for stride in (1, 4, 7):
        alone = [text[start : start + WINDOW] for start in range(0, len(text) - WINDOW + 1, stride)]
        chances = np.log(fitted[0].probabilities(alone))
        odds = sliding.sliding(name, arrays)(encode_bases(text), WINDOW, stride)
        np.testing.assert_allclose(odds, chances[:, 1] - chances[:, 0], atol=2e-4)


def test_a_window_that_cannot_be_slid_is_refused(sliding):
    for window in (100, 30):
        with pytest.raises(GenolmError, match="multiple of 30 bp and at least 48 bp"):
            sliding.slide_network(SmallCNN().build(2), np.zeros(200, np.uint8), window, 1)


def test_a_baseline_scans_both_strands_and_over_the_origin(sliding, windows, make_dna, toy_bundle_path):
    predictor = Predictor(load_bundle(toy_bundle_path), precision="fp32")
    arrays = sliding.fit("positional-logistic", *windows)
    genome = Circle(make_dna(600) + "N" * 10 + make_dna(190))
    found = scan_genome(
        genome, predictor, stride=5, engine=sliding.SlidingEngine("positional-logistic", arrays)
    )
    slide, temperature = sliding.sliding("positional-logistic", arrays), float(arrays["temperature"])
    for track in found.tracks:
        for row in (0, 80, len(track) - 1):
            site = int(track.sites[row])
            if track.strand == "+":
                text = genome.fetch("c", site - ANCHOR, site - ANCHOR + WINDOW)
            else:
                text = turned(genome.fetch("c", site + ANCHOR + 1 - WINDOW, site + ANCHOR + 1))
            chance = 1 / (1 + np.exp(-slide(encode_bases(text), WINDOW, 1)[0] / temperature))
            np.testing.assert_allclose(track.values[row], chance, rtol=1e-4)
    assert all(np.isnan(track.values[np.abs(track.sites - 605) < 4]).all() for track in found.tracks)


def test_genes_that_begin_a_unit(judging):
    rows = [
        (100, 400, "+", "CDS"),  # the first: what is before it is not known
        (450, 700, "+", "CDS"),  # 50 bp on: same unit
        (801, 900, "+", "CDS"),  # 101 bp on
        (950, 1200, "-", "CDS"),  # its 5' neighbour is 1300, 100 bp away
        (1300, 1500, "-", "CDS"),  # its 5' neighbour is on the other strand
        (1520, 1700, "+", "CDS"),  # strand switch
        (1900, 2000, "+", "partial CDS"),
        (2300, 2400, "-", "CDS"),  # the last
    ]
    genes = pd.DataFrame(rows, columns=["start", "end", "strand", "kind"]).assign(contig="c")
    found = judging.unit_starts(genes.sample(frac=1, random_state=1), gap=100)
    assert sorted(zip(found["position"], found["strand"])) == [(801, "+"), (1499, "-"), (1520, "+")]


def test_gene_starts_with_a_call_upstream(judging):
    starts = pd.DataFrame([("c", 1000, "+"), ("c", 2000, "+"), ("c", 3000, "-"), ("c", 5000, "-")])
    starts.columns = ["contig", "position", "strand"]
    calls = [("c", 700, "+"), ("c", 699, "+"), ("c", 2001, "+"), ("c", 3300, "-"), ("c", 5100, "+")]
    calls = pd.DataFrame(calls, columns=["contig", "summit", "strand"])
    found = judging.gene_start_figures(
        calls, starts, {"c": 10_000}, reach=300, block=50_000, draws=20, seed=1
    )
    assert found["calls"] == 5
    assert (
        found["share"]["value"] == 0.5
    )  # 1000 and 3000: 700 is 300 bp upstream, 699 is not, 2001 downstream
    assert found["other_strand"]["value"] == 0.25
    chance = [1 - (1 - 301 / 10_000) ** 4, 1 - (1 - 301 / 10_000)]
    assert found["expected"]["value"] == pytest.approx(np.mean(chance))
    assert found["enrichment"]["value"] == pytest.approx(0.5 / np.mean(chance))


def test_windows_of_promotech_become_sites(recipe, tmp_path):
    scans = recipe("scan_proof_scans")
    path = tmp_path / "predictions.csv"
    lines = ["chrom\tstart\tend\tscore\tstrand\tsequence", "c\t100\t139\t0.7\t+\tA", "c\t300\t339\t0.8\t-\tA"]
    path.write_text("\n".join([*lines, "c\t300\t339\t0.6\t-\tA", "c\t900\t939\t0.9\t+\tA"]) + "\n")
    for site, plus, minus in (("first", 100, 339), ("middle", 120, 319), ("last", 139, 300)):
        both = scans.promotech_tracks(path, "c", 1000, where=[(50, 400)], site=site)
        assert [np.flatnonzero(~np.isnan(track.values)).tolist() for track in both] == [[plus], [minus]]
        assert both[1].values[minus] == np.float32(0.8)
    with pytest.raises(GenolmError, match="no prediction on d"):
        scans.promotech_tracks(path, "d", 1000, where=[(50, 400)], site="last")


@pytest.fixture
def truth(judging, rng):
    """Sites every 400 bp on one strand of 200 kb, every second one well supported."""
    sites = pd.DataFrame({"contig": "c", "position": np.arange(200, 200_000, 400), "strand": "+"})
    known = {"strong": sites[::2].reset_index(drop=True), "all": sites}
    return judging.Truth(known, (5, 20), 60, {"c": 200_000}, 0.4, 50_000, 40, 1)


def noisy_tracks(rng, truth, strength):
    values = rng.random(20_000)
    values[truth.sites["all"]["position"] // 10] += strength
    return [Track("c", "+", 0, 10, 10, values), Track("c", "-", 0, 10, 10, rng.random(20_000))]


def test_a_judgement_is_that_of_the_calls(judging, truth, rng):
    tracks = noisy_tracks(rng, truth, 0.8)
    found = judging.judge(judging.Scored(tracks, {"default": 1.2}), truth)
    assert found["megabases"] == pytest.approx(0.4)
    level = next(item for item in found["levels"] if item["tolerance"] == 20)
    # Over 1.2 lie only values at sites, and 40 bp is further than the merge distance of 30.
    right = int((tracks[0].values[truth.sites["all"]["position"] // 10] >= 1.2).sum())
    strong = int((tracks[0].values[truth.sites["strong"]["position"] // 10] >= 1.2).sum())
    assert (level["calls"], level["calls_per_mb"]) == (right, pytest.approx(right / 0.4))
    assert (level["precision_all"]["value"], level["unknown_per_mb"]) == (1.0, 0.0)
    assert level["precision_strong"]["value"] == pytest.approx(strong / right)
    assert level["recall_strong"]["value"] == pytest.approx(strong / 250)
    assert {(curve["truth"], curve["tolerance"]) for curve in found["curves"]} == {
        (name, tolerance) for name in ("strong", "all") for tolerance in (5, 20)
    }
    curve = next(item for item in found["curves"] if (item["truth"], item["tolerance"]) == ("all", 20))
    assert curve["at_recall"][0]["precision"]["value"] == 1.0
    assert curve["at_recall"][0]["calls_per_mb"] >= 0.1 * 500 / 0.4
    json.dumps(found, allow_nan=False)
    assert judging.threshold_of_count(tracks, right, **truth.rules) == pytest.approx(1.2, abs=0.02)


def test_intervals_of_a_judgement_are_of_blocks_from_the_first_base_of_the_genome_on(judging, truth, rng):
    unscanned, (track, _) = np.full(11_000, np.nan), noisy_tracks(rng, truth, 0.5)
    tracks = [Track("c", "+", 0, 10, 10, np.r_[unscanned, track.values])]
    blocks = judging.whole_blocks(tracks, 50_000)
    places = pd.Series([0, 49_999, 50_000, 309_999, 310_050])
    assert (blocks.size, blocks.count) == (50_000, 7)
    assert blocks.number(pd.Series(["c"] * 5), places).tolist() == [0, 0, 1, 6, 6]
    sites = {name: frame.assign(position=frame["position"] + 110_000) for name, frame in truth.sites.items()}
    moved = replace(truth, sites=sites, tolerances=(20,), circular={}, draws=200)
    curves = judging.judge(judging.Scored(tracks, {}), moved)["curves"]
    found = next(item["auprc"] for item in curves if item["truth"] == "all")
    given = {"tolerance": 20, "thresholds": [0.5], "draws": 200, "window_length": 60}
    low, high = truth_curve(tracks, sites["all"], blocks=blocks, **given).auprc_interval
    assert (found["low"], found["high"]) == (low, high)
    assert truth_curve(tracks, sites["all"], **given).auprc_interval != (low, high)


def test_the_result_of_a_scan_says_over_how_many_blocks_its_intervals_are(recipe):
    protocol = recipe("promoter_scan").protocol([(0, 600_000), (1_450_000, 1_500_000), (2_500_000, 2_600_000)])
    assert protocol["title"] == "750,000 bp held out, both strands, starts within 20 bp"
    assert (protocol["drawn_groups"], protocol["drawn_over"]) == (15, "blocks of 50,000 bp")


def test_differences_of_auprc_are_paired(judging, truth, rng):
    good, bad = noisy_tracks(rng, truth, 0.9), noisy_tracks(rng, truth, 0.2)
    found = judging.auprc_difference(good, bad, truth, tolerance=20)
    for side, tracks in (("a", good), ("b", bad)):
        curve = truth_curve(tracks, truth.sites["strong"], tolerance=20, **truth.rules)
        assert found[side]["value"] == pytest.approx(curve.auprc, abs=1e-6)
    assert found["difference"]["low"] > 0
    assert judging.auprc_difference(good, good, truth, tolerance=20)["difference"]["high"] == 0


def test_gained_and_lost_calls(judging, truth):
    def tracks(peaks):
        values = np.full(20_000, 0.1)
        values[peaks] = 0.9
        return [Track("c", "+", 0, 10, 10, values), Track("c", "-", 0, 10, 10, np.full(20_000, 0.1))]

    found = judging.compare(
        tracks([100, 500, 900]), tracks([102, 503]), truth, levels={"default": 0.5}, tolerance=20
    )
    (level,) = found["levels"]
    assert [level[key] for key in ("first", "second", "lost", "gained")] == [3, 2, 2, 1]
    assert found["windows"] == 40_000
    same = judging.compare(tracks([100]), tracks([100]), truth, levels={"default": 0.5}, tolerance=20)
    assert same["logit_correlation"] == pytest.approx(1.0)


@pytest.fixture
def toy_files(tmp_path, make_dna, rng, recipe):
    """Data and tables of a toy genome with promoters, in the layout that the recipe reads."""
    text = list(make_dna(SIZE))
    places = [(place, "+-"[number % 2]) for number, place in enumerate(range(300, SIZE - 300, 250))]
    for place, strand in places:
        low, high = (place - 36, place - 7) if strand == "+" else (place + 8, place + 37)
        text[low:high] = PROMOTER if strand == "+" else turned(PROMOTER)
    text = "".join(text)
    data, tables = tmp_path / "data", tmp_path / "tables"
    ground = recipe("scan_proof_ground")
    for name, letters in ((ground.ECOLI, text), ("bacteria/Toy_species__1.fna.gz", make_dna(20_000))):
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).write_bytes(gzip.compress(f">toy.1 a chromosome\n{letters}\n".encode()))
    lines = [
        f"toy.1\t{place - 39}\t{place}\t{0.6 + place % 40 / 100}\t+\tA"
        for place, strand in places
        if strand == "+"
    ]
    promotech = data / recipe("scan_proof_scans").PROMOTECH
    promotech.parent.mkdir()
    promotech.write_bytes(
        gzip.compress("\n".join(["chrom\tstart\tend\tscore\tstrand\tsequence", *lines, ""]).encode())
    )
    settings = {"block": BLOCK, "test_region": [0, 10_000], "test_share": 0.2, "valid_share": 0.3, "seed": 1}
    make = recipe("ecoli_promoter_sites")
    splits = make.block_splits(SIZE, (0, 0), make.Settings(**settings))
    starts = [
        (place, strand, "CSW"[number % 3], splits[place // BLOCK])
        for number, (place, strand) in enumerate(places)
    ]
    table = pd.DataFrame(starts, columns=["position", "strand", "confidence", "split"]).assign(
        contig="toy.1", agrees=1
    )
    tables.mkdir()
    table.to_csv(tables / "tss.csv", index=False)
    rows = [(place, strand, 1) for place, strand in places] + [
        (place + 100, strand, 0) for place, strand in places
    ]
    cut = recipe("common")
    windows = [
        (
            cut.cut(text, *cut.window_around(place, strand, before=ANCHOR, after=WINDOW - ANCHOR), strand),
            label,
            splits[place // BLOCK],
        )
        for place, strand, label in rows
    ]
    pd.DataFrame(windows, columns=["sequence", "label", "split"]).to_csv(
        tables / "promoter.csv.gz", index=False
    )
    record = {"settings": settings, "window": {"length": WINDOW, "anchor": ANCHOR}}
    (tables / "promoter.json").write_text(json.dumps(record))
    return data, tables


def test_the_ground_is_the_test_blocks(recipe, toy_files):
    ground = recipe("scan_proof_ground")
    whole = ground.Ground.read(*toy_files, None)
    assert whole.where["test"][0][0] == 0
    assert sum(end - start for start, end in whole.where["test"]) % BLOCK == 0
    assert ground.Ground.read(*toy_files, 7_000).where["test"] == [(0, 7_000)]
    sites = whole.sites("test")
    assert set(sites["strong"]["confidence"]) == {"C", "S"}
    assert ground.inside(sites["all"], whole.where["test"]).all()
    tss = toy_files[1] / "tss.csv"
    table = pd.read_csv(tss)
    table.loc[0, "split"] = "train"
    table.to_csv(tss, index=False)
    with pytest.raises(GenolmError, match="1 starts of tss.csv lie in test blocks"):
        ground.Ground.read(*toy_files, None)


def test_blocks_in_the_reserved_region_are_refused(recipe, toy_files, monkeypatch):
    ground = recipe("scan_proof_ground")
    monkeypatch.setitem(ground.RESERVED, "toy.1", (9_000, 12_000))
    with pytest.raises(GenolmError, match="overlap the reserved region"):
        ground.Ground.read(*toy_files, None)


def test_all_of_it_on_toy_data(recipe, judging, toy_files, toy_bundle_path, tmp_path, monkeypatch, capsys):
    proof = recipe("scan_proof")
    genes = pd.DataFrame(
        {"contig": "toy.1", "start": np.arange(500, 19_000, 1_200), "name": "", "kind": "CDS"}
    )
    genes = genes.assign(end=genes["start"] + 900, strand=["+", "+", "-", "-"] * 4)
    monkeypatch.setattr(proof, "predict_genes", lambda genome, threads: genes)
    monkeypatch.setattr(recipe("scan_proof_scans"), "_WARM_UP", 500)
    for module in (proof, recipe("scan_proof_scans")):
        monkeypatch.setattr(module, "TOLERANCES", (20,))
    data, tables = toy_files
    out, page = tmp_path / "proof.json", tmp_path / "scans.md"
    asked = ["--data", str(data), "--tables", str(tables), "--model", str(toy_bundle_path), "--out", str(out)]
    asked += [
        "--stride",
        "12",
        "--background-bases",
        "20000",
        "--cnn-epochs",
        "1",
        "--draws",
        "20",
        "--threads",
        "1",
    ]
    asked += ["--species", "Toy_species"]
    proof.main(asked)
    parts = json.loads(out.read_text())["parts"]
    held_out = {name for name in parts if name.startswith("held-out/")}
    assert {name.partition("/")[2] for name in held_out} >= {
        "toy-promoter",
        "kmer-logistic",
        "cnn",
        "promotech",
    }
    assert set(parts) - held_out == {"about", "differences", "modes", "unseen/Toy_species", "speed"}
    judged = parts["held-out/positional-logistic"]["result"]["curves"]
    assert max(curve["auprc"]["value"] for curve in judged) > 0.3
    assert parts["held-out/promotech"]["result"]["auprc_on_valid_by_site"]["last"] > 0.3
    assert {pair["first"] for pair in parts["modes"]["result"]["pairs"]} == {"exact", "stream"}
    printed = capsys.readouterr().out
    assert f"{judged[0]['auprc']['value']:.3f}" in printed

    monkeypatch.setattr(recipe("scan_proof_scans"), "scan_genome", None)
    monkeypatch.setattr(proof, "scan_genome", None)
    proof.main(asked)
    proof.main(["--out", str(out), "--write-docs", str(page)])
    text = page.read_text()
    assert f"{judged[0]['auprc']['value']:.3f}" in text
    assert not {"None", "nan", "inf "} & set(text.replace("|", " ").split(" "))
    assert "Toy species" in text
