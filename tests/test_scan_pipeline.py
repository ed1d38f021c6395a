"""A scan with all that can be asked of it: background, genes, known sites, topology, regions, a folder."""

import errno
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from Bio.Seq import Seq
from Bio.SeqFeature import CompoundLocation, SeqFeature, SimpleLocation
from Bio.SeqIO import write
from Bio.SeqRecord import SeqRecord
from click.testing import CliRunner

from genolm.annotation import read_annotation
from genolm.background import shuffled_background
from genolm.cli import commands
from genolm.errors import Cancelled, GenolmError, SequenceError, SettingsError, TableError
from genolm.feature_readers import read_gff3
from genolm.genome_files import open_genome
from genolm.pipelines import open_model, scan_file
from genolm.registry import read_bundle, save_bundle
from genolm.scan import scan_genome
from genolm.scan_folder import scan_folder
from genolm.scan_pipeline import BACKGROUND_BASES, BACKGROUND_SEED
from genolm.scan_plan import scan_layout, scan_windows
from genolm.scan_readme import describe
from genolm.significance import Background, scored_megabases
from genolm.truth import TruthCurve, counted_sites, scored_pieces

GENES = """##gff-version 3
one\tx\tgene\t201\t300\t.\t+\t.\tID=g1;Name=alpha
one\tx\tgene\t501\t700\t.\t-\t.\tID=g2;Name=beta
"""


@pytest.fixture
def genome(tmp_path, make_dna):
    path = tmp_path / "genome.fa"
    path.write_text(f">one a chromosome, circular\n{make_dna(900)}\n>two\n{make_dna(400)}\n")
    return path


@pytest.fixture
def model(toy_bundle_path):
    return open_model(toy_bundle_path, device="cpu", precision="fp32")


@pytest.fixture
def genes(tmp_path):
    path = tmp_path / "genes.gff3"
    path.write_text(GENES)
    return path


def middle(genome, model):
    """A threshold that half of the scores reach."""
    with open_genome(genome) as opened:
        values = np.concatenate([track.values for track in scan_genome(opened, model, stride=10).tracks])
    return float(np.quantile(values, 0.8))


def test_what_a_card_has_against_scans_is_said_first(genome, toy_bundle_path, tmp_path):
    limit = "It was never shown what lies between genes."
    bundle = read_bundle(toy_bundle_path)
    config = replace(bundle.config, name="pieces")
    save_bundle(tmp_path / "pieces", config, bundle.state_dict(), {**bundle.card, "scan_limit": limit})
    given = ["--model", str(tmp_path / "pieces"), "--no-background", "--threads", "1"]
    folder = tmp_path / "genomes"
    folder.mkdir()
    (folder / "genome.fa").write_bytes(genome.read_bytes())
    for source, out in ((genome, "one"), (folder, "folder")):
        told = CliRunner().invoke(commands, ["scan", str(source), "--out", str(tmp_path / "out" / out), *given])
        assert told.exit_code == 0 and f"Warning: pieces: {limit}" in told.stderr
    assert json.loads((tmp_path / "out" / "one" / "run.json").read_text())["results"]["warnings"][0] == f"pieces: {limit}"


def test_a_scan_without_room_for_its_scores_is_one_sentence(genome, toy_bundle_path, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.EFBIG, "File too large")

    monkeypatch.setattr("genolm.score_files._fill", full)
    out = tmp_path / "scan"
    words = ["scan", str(genome), "--out", str(out), "--model", str(toy_bundle_path), "--threads", "1"]
    told = CliRunner().invoke(commands, words)
    assert told.exit_code == 2
    assert told.stderr.splitlines()[-1] == (
        f"Error: Cannot write {out}/scores_plus.bw: there is no room in {out} (File too large); it can take up to "
        "0.1 MB. Make room, or choose another place, and start again."
    )
    assert [path.name for path in out.iterdir()] == [".scan.partial"]


def test_what_is_asked_for_is_written_and_said(genome, genes, model, tmp_path):
    threshold = middle(genome, model)
    folder = tmp_path / "scan"
    result = scan_file(
        genome, folder, model=model, threshold=threshold, background=True, genes=genes, truth=genes, tolerance=30,
        formats=["genbank", "parquet", "fasta"],
    )  # fmt: skip
    calls = pd.read_csv(folder / "calls.csv", keep_default_na=False)
    six = ["contig", "start", "end", "strand", "summit", "score"]
    assert list(calls.columns) == [*six, "q_value", "expected_per_mb", "gene", "gene_distance"]
    assert len(calls) == len(pd.read_parquet(folder / "calls.parquet")) == result.summary["calls"] > 3
    record = json.loads((folder / "run.json").read_text())
    assert record["settings"]["circular"] == ["one"] or record["settings"]["circular"] == []
    assert {item["name"] for item in record["inputs"]} == {"genome.fa", "genes.gff3"}

    # The background is that of the function, scanned with the same settings.
    with open_genome(genome) as opened:
        shuffled = shuffled_background(opened, bases=BACKGROUND_BASES, seed=BACKGROUND_SEED)
        false = scan_genome(shuffled, model, stride=10)
        true = scan_genome(opened, model, stride=10)
        circular = opened.circular
    expected = Background.from_tracks(false.tracks, window_length=60)
    kept = Background.from_json(json.loads((folder / "background.json").read_text()))
    np.testing.assert_allclose(kept.scores, expected.scores, atol=1e-6)
    q_values = kept.q_values(calls["score"].to_numpy(), scored_megabases(true.tracks))
    np.testing.assert_allclose(calls["q_value"], q_values, rtol=1e-3)
    assert result.summary["expected_false_per_mb"]["value"] == kept.expected_per_mb(threshold)

    # The distance to the next gene, by hand: alpha starts at 200 on plus, beta at 699 on minus.
    for call in calls.itertuples():
        assert call.gene == ("" if call.contig == "two" else "alpha" if call.strand == "+" else "beta")
        if call.contig == "one":
            far = 200 - call.summit if call.strand == "+" else call.summit - 699
            assert call.gene_distance == far % 900 if "one" in circular else far
    curve = TruthCurve.from_json(json.loads((folder / "truth.json").read_text()))
    assert (curve.sites, curve.tolerance) == (2, 30)
    again = read_annotation(folder / "genes.gff3")
    pd.testing.assert_frame_equal(again, read_annotation(genes), check_dtype=False)


def test_a_circular_contig_is_one_in_every_file(genome, model, tmp_path):
    threshold = middle(genome, model)
    folder = tmp_path / "scan"
    scan_file(genome, folder, model=model, threshold=threshold, circular=["two"], linear=["one"])
    assert json.loads((folder / "run.json").read_text())["settings"]["circular"] == ["two"]
    regions = read_gff3(folder / "calls.gff3", types=["region"])
    assert regions["contig"].tolist() == ["two"]
    with pytest.raises(SettingsError, match="said to be circular and linear"):
        scan_file(genome, folder, model=model, circular=["two"], linear=["two"])
    with pytest.raises(SettingsError, match="leave it at auto"):
        scan_file(genome, folder, model=model, topology="linear", circular=["two"])
    with pytest.raises(GenolmError, match="three"):
        scan_file(genome, folder, model=model, circular=["three"])


def test_only_regions_are_scored(genome, model, tmp_path):
    regions = tmp_path / "regions.bed"
    regions.write_text("one\t100\t200\none\t150\t260\n")
    folder = tmp_path / "scan"
    result = scan_file(genome, folder, model=model, regions=regions, threshold=0.0, topology="linear")
    assert result.calls["summit"].between(100, 259).all()
    assert set(result.calls["contig"]) == {"one"}
    assert result.summary["windows"] == 2 * 16 and result.summary["bases"] == 2 * 160
    only = "Only the 160 bp in regions.bed (1 region) were scanned."
    assert result.summary["contigs_scanned"] == 1
    assert result.summary["notes"] == [only] and f"Note: {only}\n" in describe(folder, ["run.json"])
    genes = tmp_path / "genes.gff3"
    genes.write_text(GENES)
    judged = scan_file(
        genome, folder, model=model, regions=regions, truth=genes, topology="linear", threshold=0.0
    )
    assert judged.summary["truth"]["sites"] == 1
    assert "1 known site lies outside the regions and does not count." in judged.summary["notes"]
    regions.write_text("one\t100\t2000\n")
    with pytest.raises(TableError, match="line 1"):
        scan_file(genome, folder, model=model, regions=regions)


def test_the_regions_and_the_records_that_count_are_told_for_some_contigs(genome, model, tmp_path, make_dna):
    regions = tmp_path / "regions.bed"
    regions.write_text("one\t100\t200\none\t300\t400\ntwo\t10\t20\n")
    reports = []
    given = {"regions": regions, "contigs": ["one"], "threshold": 0.0, "background": True, "topology": "linear"}
    found = scan_file(genome, tmp_path / "scan", model=model, progress=reports.append, **given)
    assert found.summary["notes"][0] == "Only the 200 bp in regions.bed (2 regions) were scanned."
    assert found.summary["bases"] == 2 * 200 and found.summary["windows"] == 2 * 20
    # Progress counts the windows that are scored.
    with open_genome(genome) as opened:
        shuffled = shuffled_background(opened, bases=BACKGROUND_BASES, seed=BACKGROUND_SEED)
    assert reports[-1].total == 2 * 20 + scan_windows(shuffled.contigs, scan_layout(model, 10))


def test_records_shorter_than_a_window_are_named(genome, toy_bundle_path, tmp_path, make_dna):
    tiny = "".join(f">tiny{number}\n{make_dna(20)}\n" for number in range(7))
    genome.write_text(tiny + genome.read_text())
    given = ["--model", str(toy_bundle_path), "--threads", "1", "--out"]
    told = CliRunner().invoke(commands, ["scan", str(genome), *given, str(tmp_path / "scan")])
    note = (
        "7 of 9 records are shorter than a window (60 bp) and were not scanned: tiny0, tiny1, tiny2, tiny3, tiny4 and "
        "2 more."
    )
    assert told.exit_code == 0 and told.stderr.splitlines().count(f"Note: {note}") == 1
    assert json.loads((tmp_path / "scan" / "run.json").read_text())["results"]["notes"] == [note]
    genome.write_text(f">tiny\nACGT\n>one\n{make_dna(100)}\n")
    found = scan_file(genome, tmp_path / "few", model=str(toy_bundle_path), threads=1)
    note = "1 of 2 records is shorter than a window (60 bp) and was not scanned: tiny."
    assert found.summary["notes"] == [note]


def test_a_genbank_file_gives_its_genes_in_both_ways(toy_bundle_path, tmp_path, make_dna):
    record = SeqRecord(Seq(make_dna(900)), id="c.1", name="c")
    record.annotations |= {"molecule_type": "DNA", "topology": "circular"}
    over = CompoundLocation([SimpleLocation(800, 900, 1), SimpleLocation(0, 60, 1)])
    record.features = [SeqFeature(over, "gene", qualifiers={"gene": ["dnaA"]})]
    path = tmp_path / "c.gb"
    write([record], path, "genbank")
    given = ["--model", str(toy_bundle_path), "--threads", "1", "--threshold", "0", "--topology", "linear"]
    told = []
    for out, genes in (("own", []), ("given", ["--genes", str(path)])):
        told.append(CliRunner().invoke(commands, ["scan", str(path), "--out", str(tmp_path / out), *given, *genes]))
        assert told[-1].exit_code == 0
    for name in ("calls.csv", "genes.gff3"):
        assert (tmp_path / "own" / name).read_text() == (tmp_path / "given" / name).read_text()
    assert "dnaA" in (tmp_path / "own" / "calls.csv").read_text()
    note = "Features over the origin, cut there since their contig is no circle (c.1): 1."
    assert f"Note: {note}" in told[1].stderr.splitlines()
    assert note in json.loads((tmp_path / "given" / "run.json").read_text())["results"]["notes"]


def test_known_sites_in_a_run_of_n_do_not_count(model, tmp_path, make_dna):
    genome, truth = tmp_path / "gap.fa", tmp_path / "sites.bed"
    genome.write_text(f">c\n{make_dna(900)}{'N' * 400}{make_dna(900)}\n")
    places = (200, 500, 1050, 1150, 1600)
    truth.write_text("".join(f"c\t{at}\t{at + 1}\tx\t0\t+\n" for at in places))
    scan_file(genome, tmp_path / "scan", model=model, truth=truth, tolerance=30, threshold=0.0)
    curve = TruthCurve.from_json(json.loads((tmp_path / "scan" / "truth.json").read_text()))
    with open_genome(genome) as opened:
        tracks = scan_genome(opened, model, stride=10).tracks
    sites = pd.DataFrame({"contig": "c", "position": places, "strand": "+"})
    counted = counted_sites(scored_pieces(tracks), sites, tolerance=30)
    assert (curve.sites, curve.outside) == (len(counted.sites), counted.outside) == (3, 2)


def test_a_site_over_the_origin_lies_in_the_regions_behind_it(model, tmp_path, make_dna):
    genome, truth, regions = tmp_path / "c.fa", tmp_path / "sites.bed", tmp_path / "regions.bed"
    genome.write_text(f">c\n{make_dna(900)}\n>l\n{make_dna(900)}\n")
    # The 5' end of the first is base 1,019, which is base 119 of the circle.
    truth.write_text("c\t850\t1020\ta\t0\t-\nc\t400\t410\tb\t0\t+\nl\t100\t110\tb\t0\t+\n")
    regions.write_text("c\t0\t300\nl\t0\t300\n")
    given = {"model": model, "truth": truth, "regions": regions, "circular": ["c"], "threshold": 0.0}
    found = scan_file(genome, tmp_path / "scan", **given)
    assert found.summary["truth"]["sites"] == 2
    only = "Only the 600 bp in regions.bed (2 regions) were scanned."
    assert found.summary["notes"] == [only, "1 known site lies outside the regions and does not count."]
    truth.write_text("c\t850\t1020\ta\t0\t-\n")
    assert scan_file(genome, tmp_path / "scan", **given).summary["notes"] == [only]


def test_a_folder_of_genomes(model, tmp_path, make_dna):
    folder = tmp_path / "genomes"
    folder.mkdir()
    (folder / "a.fa").write_text(f">x\n{make_dna(300)}\n")
    (folder / "b.fna").write_text(f">y\n{make_dna(200)}\n>z\n{make_dna(100)}\n")
    (folder / "short.fa").write_text(">s\nACGTACGT\n")
    (folder / "notes.txt").write_text("Nothing here is a genome.\n")
    reports = []
    result = scan_folder(folder, tmp_path / "out", model=model, threshold=0.0, progress=reports.append)
    table = pd.read_csv(tmp_path / "out" / "genomes.csv", keep_default_na=False).set_index("genome")
    assert table["records"].to_dict() == {"a": 1, "b": 2, "short": 0, "notes.txt": 0}
    assert table["bases"].to_dict() == {"a": 600, "b": 600, "short": 0, "notes.txt": 0}
    assert "No contig is as long as the window" in table.loc["short", "problem"]
    assert len(pd.read_csv(tmp_path / "out" / "b" / "calls.csv")) == table.loc["b", "calls"]
    assert list(result.summary["left_out"]) == ["notes.txt"]
    assert table.loc["notes.txt", "problem"] == "Left out. It is no sequence file."
    assert reports[-1].stage.startswith("genome 2 of 3, b") or reports[-1].stage.startswith("genome 3")
    with pytest.raises(SequenceError, match="no genome"):
        scan_folder(tmp_path / "out" / "a", tmp_path / "more", model=model)


def test_the_command_tells_which_genomes_of_a_folder_were_not_scanned(toy_bundle_path, tmp_path, make_dna):
    folder = tmp_path / "genomes"
    folder.mkdir()
    (folder / "a.fa").write_text(f">x\n{make_dna(300)}\n")
    (folder / "late.fa").write_text(f">z\n{make_dna(90_000)}\n>z\nACGT\n")
    (folder / "bad.fa").write_text(">q\nACGT!!\nACGT\n")
    given = ["--model", str(toy_bundle_path), "--threads", "1", "--threshold", "0"]

    def told(out):
        run = CliRunner().invoke(commands, ["scan", str(folder), "--out", str(tmp_path / out), *given])
        assert run.exit_code == 0
        return [line for line in run.stderr.splitlines() if line.startswith("Warning: ")]

    late, bad = told("few")
    assert late.startswith("Warning: late was not scanned: ") and "record 'z' has the same name" in late
    assert bad == (
        "Warning: bad.fa was left out: It is no clean DNA: character '!' is no nucleotide; allowed are A C G T U and "
        "the IUPAC codes R Y S W K M B D H V N."
    )
    assert summed(tmp_path / "few")["problem"]["bad.fa"].startswith("Left out. It is no clean DNA: character '!'")
    for number in range(6):
        (folder / f"text{number}.txt").write_text("Nothing here is a genome.\n")
    many = told("many")
    assert len(many) == 6 and many[-1] == "Warning: 3 more of this kind; see the column problem of genomes.csv."
    assert len(summed(tmp_path / "many")) == 9


@pytest.fixture
def three(tmp_path, make_dna):
    """A folder of two genomes, and of one that cannot be read to its end."""
    folder = tmp_path / "genomes"
    folder.mkdir()
    (folder / "a.fa").write_text(f">x\n{make_dna(300)}\n>same\n{make_dna(200)}\n")
    (folder / "b.fa").write_text(f">y\n{make_dna(200)}\n>same\n{make_dna(100)}\n")
    (folder / "broken.fa").write_text(f">z\n{make_dna(90_000)}\n>z\nACGT\n")
    return folder


def summed(out):
    return pd.read_csv(out / "genomes.csv", keep_default_na=False).set_index("genome")


def test_what_fits_one_genome_of_a_folder_does_not_stop_the_others(three, model, tmp_path, genes):
    out = tmp_path / "out"
    genes.write_text(genes.read_text().replace("one\t", "x\t").replace("501\t700", "51\t90"))
    scan_folder(three, out, model=model, threshold=0.0, genes=genes)
    table = summed(out)
    assert table["problem"]["a"] == "" and table["records"].to_dict() == {"a": 2, "b": 0, "broken": 0}
    assert "genes.gff3" in table["problem"]["b"] and "z" in table["problem"]["broken"]

    scan_folder(three, out, model=model, threshold=0.0, contigs=["x", "same"], circular=["same", "y"], linear=["x"])
    table = summed(out)
    assert table["problem"].tolist()[:2] == ["", ""] and "z" in table["problem"]["broken"]
    settings = {name: json.loads((out / name / "run.json").read_text())["settings"] for name in "ab"}
    assert [settings[name]["contigs"] for name in "ab"] == [["x", "same"], ["same"]]
    assert [settings[name]["circular"] for name in "ab"] == [["same"], ["same"]]

    scan_folder(three, out, model=model, threshold=0.0, contigs=["y"])
    assert summed(out)["problem"]["a"] == "There is no sequence named 'y'; at hand: x, same."
    assert summed(out)["bases"].to_dict() == {"a": 0, "b": 400, "broken": 0}


@pytest.mark.parametrize(
    "fault, words",
    [
        ({"circular": ["x", "nowhere"]}, "no sequence named 'nowhere'; at hand: x, same, y"),
        ({"contigs": ["nowhere"]}, "no sequence named 'nowhere'"),
        ({"linear": ["x"], "circular": ["x"]}, "circular and linear"),
        ({"linear": ["x"], "topology": "circular"}, "leave it at auto"),
        ({"threshold": 2.0}, "threshold is 2.0"),
        ({"formats": ["docx"]}, "formats has 'docx'"),
        ({"stride": 0}, "stride is 0"),
        ({"strand": "x"}, "strand is 'x'"),
        ({"mode": "x"}, "mode is 'x'"),
        ({"class_name": "x"}, "no class 'x'"),
        ({"method": "x"}, "method is 'x'"),
    ],
)
def test_what_suits_no_genome_of_a_folder_is_refused_before_the_first_scan(three, model, tmp_path, fault, words):
    with pytest.raises(GenolmError, match=words) as caught:
        scan_folder(three, tmp_path / "out", model=model, **fault)
    assert "None of the" not in str(caught.value) and not (tmp_path / "out").exists()


@pytest.mark.parametrize("stage", ["reading genome 1 of 3", "genome 2 of 3, b"])
def test_a_stop_ends_the_scan_of_a_folder(three, model, tmp_path, stage):
    def stop(report):
        if report.stage.startswith(stage):
            raise Cancelled("Stopped.")

    with pytest.raises(Cancelled):
        scan_folder(three, tmp_path / "out", model=model, threshold=0.0, circular=["x"], progress=stop)
    assert not (tmp_path / "out" / "genomes.csv").exists()
