"""No result takes the place of what it is made from, or of files that no earlier run wrote."""

import json

import pytest
from click.testing import CliRunner

from genolm.cli import commands
from genolm.errors import SettingsError
from genolm.finetuning import finetune
from genolm.own_files import check_inputs_stay, check_own_files
from genolm.pipelines import saliency_file, scan_file, strips_path
from genolm.pretraining import pretrain
from genolm.registry import import_bundle

GENES = "##gff-version 3\none\tx\tgene\t201\t300\t.\t+\t.\tID=g1;Name=alpha;product=kept\n"


@pytest.fixture
def genome(tmp_path, make_dna):
    path = tmp_path / "genome.fa"
    path.write_text(f">one\n{make_dna(900)}\n")
    return path


@pytest.fixture
def table(tmp_path, make_dna):
    path = tmp_path / "table.csv"
    path.write_text("sequence,label,mine\n" + "".join(f"{make_dna(60)},{row % 2},kept\n" for row in range(60)))
    return path


def held(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_a_scan_does_not_write_over_its_inputs(genome, toy_bundle_path, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "genes.gff3").write_text(GENES)
    (out / "calls.fa").write_text(genome.read_text())
    before = held(out)
    with pytest.raises(SettingsError, match="would take the place of .*genes.gff3, which it is made from"):
        scan_file(genome, out, model=toy_bundle_path, stride=50, genes=out / "genes.gff3")
    (out / "link.fa").symlink_to(out / "calls.fa")
    with pytest.raises(SettingsError, match="would take the place of .*link.fa"):
        scan_file(out / "link.fa", out, model=toy_bundle_path, stride=50)
    assert held(out) | before == held(out) and not (out / "run.json").exists()


def test_a_scan_removes_only_what_an_earlier_scan_wrote(genome, toy_bundle_path, tmp_path):
    out, genes = tmp_path / "out", tmp_path / "genes.gff3"
    genes.write_text(GENES)
    scan_file(genome, out, model=toy_bundle_path, stride=50, genes=genes)
    assert (out / "genes.gff3").is_file()
    scan_file(genome, out, model=toy_bundle_path, stride=50)
    assert not (out / "genes.gff3").exists()
    (out / "genes.gff3").write_text(GENES)
    (out / "notes.txt").write_text("mine")
    with pytest.raises(SettingsError, match="holds genes.gff3, which no earlier run of genolm scan wrote"):
        scan_file(genome, out, model=toy_bundle_path, stride=50)
    assert (out / "genes.gff3").read_text() == GENES
    (out / "genes.gff3").unlink()
    scan_file(genome, out, model=toy_bundle_path, stride=25)
    assert (out / "notes.txt").read_text() == "mine"


def test_a_scan_that_was_cut_off_while_it_put_its_files_in_place_goes_on(genome, toy_bundle_path, tmp_path):
    out = tmp_path / "out"
    scan_file(genome, out, model=toy_bundle_path, stride=50)
    (out / "run.json").unlink()
    with pytest.raises(SettingsError, match="no earlier run of genolm scan wrote"):
        scan_file(genome, out, model=toy_bundle_path, stride=50)
    (out / ".scan.partial").mkdir()
    scan_file(genome, out, model=toy_bundle_path, stride=50)
    assert json.loads((out / "run.json").read_text())["command"] == "scan"


def test_no_command_writes_into_the_result_of_another(genome, table, toy_bundle_path, toy_language_model_path, tmp_path):
    out = tmp_path / "out"
    scan_file(genome, out, model=toy_bundle_path, stride=50)
    before = held(out)
    import_bundle(toy_language_model_path)
    with pytest.raises(SettingsError, match=r"holds the result of genolm scan \(run.json\), which would be lost"):
        finetune(table, "toy-lm", "new", report_dir=out)
    with pytest.raises(SettingsError, match="holds the result of genolm scan"):
        pretrain([genome], "new", report_dir=out)
    assert held(out) == before
    (tmp_path / "trained").mkdir()
    (tmp_path / "trained" / "run.json").write_text('{"command": "finetune"}')
    with pytest.raises(SettingsError, match="holds the result of genolm finetune"):
        scan_file(genome, tmp_path / "trained", model=toy_bundle_path, stride=50)


def test_strips_that_no_saliency_wrote_stay(toy_bundle_path, tmp_path, make_dna):
    fasta, out = tmp_path / "one.fa", tmp_path / "s.csv"
    fasta.write_text(f">a\n{make_dna(60)}\n")
    strips_path(out).write_text("mine")
    saliency_file(fasta, out, model=toy_bundle_path, lengths=(1,), fills=2)
    assert strips_path(out).read_text() == "mine"


@pytest.mark.parametrize(
    "words", [["check", "{table}", "--no-shortcuts", "--out", "{table}"], ["compare", "toy", "toy", "{table}", "--out", "{table}"]]
)
def test_a_table_is_not_written_over(table, words):
    before = table.read_bytes()
    ran = CliRunner().invoke(commands, [word.format(table=table) for word in words])
    assert ran.exit_code == 2 and f"would take the place of {table}, which it is made from" in ran.stderr
    assert table.read_bytes() == before


def test_what_is_not_there_is_no_reason_to_refuse(tmp_path):
    check_inputs_stay([tmp_path / "new.csv", None], [tmp_path / "none.csv", None])
    check_own_files(tmp_path / "nothing", ["run.json"], "scan")
    (tmp_path / "run.json").write_text("[1]")
    with pytest.raises(SettingsError, match="holds run.json, which no earlier run of genolm scan wrote"):
        check_own_files(tmp_path, ["run.json"], "scan")
