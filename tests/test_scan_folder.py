"""A folder of genomes whose scan is cut off: what is finished is not scanned again."""

import pandas as pd
import pytest

from genolm.errors import Cancelled
from genolm.file_result import open_model
from genolm.scan_folder import FOLDER_PARTIAL, scan_folder

NAMES = ("a", "b", "c")


@pytest.fixture
def genomes(tmp_path, make_dna):
    folder = tmp_path / "genomes"
    folder.mkdir()
    for name in NAMES:
        (folder / f"{name}.fa").write_text(f">{name}\n{make_dna(300)}\n")
    return folder


@pytest.fixture
def scan(genomes, toy_bundle_path, tmp_path):
    """A function that scans the genomes and returns which ones were read by the model."""
    model = open_model(toy_bundle_path, device="cpu", precision="fp32")

    def run(stop_in="", **options):
        seen = []

        def tell(report):
            name = report.stage.partition(", ")[2].partition(":")[0]
            seen.append(name)
            if name == stop_in:
                raise Cancelled("Stopped.")

        given = {"threshold": 0.0, "progress": tell, **options}
        try:
            result = scan_folder(genomes, tmp_path / "out", model=model, **given)
        except Cancelled:
            result = None
        return sorted(set(seen)), result

    return run


def test_genomes_that_are_finished_are_not_scanned_again(scan, tmp_path):
    out = tmp_path / "out"
    seen, result = scan(stop_in="c")
    assert seen == ["a", "b", "c"] and result is None
    before = {path: path.stat().st_mtime_ns for path in sorted(out.glob("[ab]/*"))}
    assert len(before) >= 10
    seen, result = scan()
    assert seen == ["c"]
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert set(result.files) == {out / "genomes.csv", *out.glob("[abc]/*")}
    rows = pd.read_csv(out / "genomes.csv").set_index("genome")
    assert rows["records"].to_dict() == dict.fromkeys(NAMES, 1)
    assert rows["bases"].to_dict() == dict.fromkeys(NAMES, 600)  # of both strands
    assert rows["calls"].to_dict() == {name: len(pd.read_csv(out / name / "calls.csv")) for name in NAMES}
    assert not (out / FOLDER_PARTIAL).exists()
    assert scan()[0] == ["a", "b", "c"]


def test_a_genome_is_scanned_again_where_anything_is_another(scan, genomes, tmp_path, make_dna):
    scan(stop_in="c")
    (genomes / "a.fa").write_text(f">a\n{make_dna(300)}\n")
    (tmp_path / "out" / "b" / "calls.bed").unlink()
    assert scan(stop_in="c")[0] == ["a", "b", "c"]
    record = tmp_path / "out" / "a" / "run.json"
    record.write_text(record.read_text() + " ")
    assert scan(stop_in="c")[0] == ["a", "c"]
    assert scan(stop_in="c", threshold=0.5)[0] == ["a", "b", "c"]


def test_genes_with_other_content_are_another_work(scan, tmp_path):
    genes = tmp_path / "genes.bed"
    genes.write_text("a\t20\t90\tone\t0\t+\n")
    options = {"genes": genes, "stop_in": "b"}
    assert scan(**options)[0] == ["a", "b"]
    assert scan(**options)[0] == ["b"]
    genes.write_text("a\t20\t99\tone\t0\t+\n")
    assert scan(**options)[0] == ["a", "b"]
