import gzip
import sys
from itertools import islice

import pytest

from genolm import gene_finding
from genolm.annotation import predict_genes, sites_of
from genolm.errors import SettingsError
from genolm.workspace import samples_dir

pytest.importorskip("pyrodigal")


class Letters:
    """A genome in memory, circular where told."""

    def __init__(self, *, circular=(), **sequences):
        self.sequences = sequences
        self.contigs = {name: len(text) for name, text in sequences.items()}
        self.topology = {name: "circular" if name in circular else "linear" for name in sequences}

    def fetch(self, contig, start, end):
        text = self.sequences[contig]
        assert -len(text) <= start <= end <= 2 * len(text)
        assert self.topology[contig] == "circular" or 0 <= start <= end <= len(text)
        return (text * 3)[start + len(text) : end + len(text)]


@pytest.fixture(scope="module")
def ecoli():
    """The first 130,000 bases of E. coli K-12."""
    with gzip.open(samples_dir() / "ecoli_k12_mg1655.fa.gz", "rt") as lines:
        next(lines)
        return "".join(line.strip() for line in islice(lines, 10_000))[:130_000]


def places(table, turn=0, length=0):
    shifted = table.assign(at=(table["start"] + turn) % length if length else table["start"])
    return set(zip(shifted["at"], shifted["end"] - shifted["start"], shifted["strand"], strict=True))


def test_known_genes_of_e_coli_are_found(ecoli):
    table = predict_genes(Letters(k12=ecoli), threads=1)
    assert list(table) == ["contig", "start", "end", "strand", "name", "kind"]
    # thrA, thrB, thrC and talB as GenBank has them (337..2799 and so on), and yaaJ on the other strand.
    known = {(336, 2463, "+"), (2800, 933, "+"), (3733, 1287, "+"), (6528, 1431, "-"), (8237, 954, "+")}
    assert known <= places(table)
    assert table["name"].tolist()[:2] == ["k12_1", "k12_2"]
    assert "trained on this genome" in table.attrs["notes"][0] and len(table.attrs["notes"]) == 1
    assert 336 in sites_of(table)["position"].tolist()


def test_blocks_and_origin_change_nothing(ecoli, monkeypatch):
    monkeypatch.setattr(gene_finding, "OVERLAP_BASES", 15_000)
    turn, size = 1_500, len(ecoli)
    whole = predict_genes(Letters(c=ecoli, circular=["c"]), threads=1)
    monkeypatch.setattr(gene_finding, "BLOCK_BASES", 40_000)
    turned = predict_genes(Letters(c=ecoli[turn:] + ecoli[:turn], circular=["c"]), threads=2)
    assert len(places(whole, length=size) & places(turned, turn, size)) >= 0.97 * len(whole)
    # thrA (336 to 2799) now goes over the origin.
    over = turned[turned["end"] > size]
    assert places(over, turn, size) == {(336, 2463, "+")}
    assert (turned["start"] < size).all()


def test_a_gene_cut_off_by_the_end_of_its_contig_has_no_start(ecoli):
    table = predict_genes(Letters(cut=ecoli[1_000:9_000]), threads=1)
    assert table["start"][0] < 3 and table["kind"][0] == "partial CDS"
    assert set(table["kind"]) == {"CDS", "partial CDS"}
    assert table["start"][0] not in sites_of(table)["position"].tolist()
    assert "ready-made profiles" in table.attrs["notes"][0]


def test_what_is_no_bacterium_is_refused_or_said(make_dna, monkeypatch):
    genome = Letters(chr1="A")
    genome.contigs = {"chr1": 248_956_422}
    with pytest.raises(SettingsError, match="chr1 has 248,956,422 bp, more than any bacterium"):
        predict_genes(genome)
    noise = predict_genes(Letters(noise=make_dna(100_000)), threads=1)
    assert "this may not be a bacterium" in noise.attrs["notes"][1]
    monkeypatch.setitem(sys.modules, "pyrodigal", None)
    with pytest.raises(SettingsError, match="'pip install pyrodigal'"):
        predict_genes(Letters(a="ACGT"))


def test_nothing_gives_an_empty_table():
    assert len(predict_genes(Letters())) == 0
    assert len(predict_genes(Letters(tiny="ACGTACGT", circular=["tiny"]))) == 0
