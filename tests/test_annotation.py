import gzip

import numpy as np
import pandas as pd
import pytest
from Bio.Seq import Seq
from Bio.SeqFeature import CompoundLocation, SeqFeature, SimpleLocation
from Bio.SeqIO import write
from Bio.SeqRecord import SeqRecord

from genolm.annotation import call_table, gene_starts, genes_of, next_gene, read_annotation, sites_of
from genolm.errors import TableError
from genolm.genome_files import open_genome

GFF3 = """##gff-version 3
##sequence-region NC_1.2 1 1000
NC_1.2\tRef\tregion\t1\t1000\t.\t+\t.\tID=NC_1.2;Is_circular=true
NC_1.2\tRef\tgene\t101\t200\t.\t+\t.\tID=gene-1;Name=araA
NC_1.2\tRef\tCDS\t101\t200\t.\t+\t0\tID=cds-1;gene=araA
NC_1.2\tRef\tgene\t301\t400\t.\t-\t.\tID=gene-2;locus_tag=b0002
NC_1.2\tRef\tgene\t951\t1040\t.\t+\t.\tID=gene-3;Name=rpoB
other\tRef\tCDS\t10\t19\t.\t?\t0\tID=cds-9
other\tRef\tCDS\t31\t42\t.\t?\t0\tID=cds-9
"""
BED = "track name=x\nNC_1\t100\t101\ttssA\t0\t+\nNC_1\t399\t400\ttssB\t0\t-\nNC_1\t10\t14\n"


def rows(table):
    return list(table.itertuples(index=False, name=None))


def genbank(path, *, topology="circular"):
    """Write a record with a gene over the origin on either strand, a spliced one and one elsewhere."""
    record = SeqRecord(Seq("ACGT" * 250), id="NC_1.2", name="NC_1", description="a plasmid")
    record.annotations |= {"molecule_type": "DNA", "topology": topology}
    over = [SimpleLocation(950, 1000, 1), SimpleLocation(0, 40, 1)]
    back = [SimpleLocation(0, 30, -1), SimpleLocation(980, 1000, -1)]
    spliced = [SimpleLocation(500, 520, 1), SimpleLocation(600, 640, 1)]
    record.features = [
        SeqFeature(SimpleLocation(0, 1000, 1), "source"),
        SeqFeature(SimpleLocation(100, 200, 1), "gene", qualifiers={"gene": ["araA"]}),
        SeqFeature(CompoundLocation(over), "gene", qualifiers={"locus_tag": ["b3"]}),
        SeqFeature(CompoundLocation(back), "gene", qualifiers={"gene": ["back"]}),
        SeqFeature(CompoundLocation(spliced), "CDS", qualifiers={"gene": ["cut"]}),
        SeqFeature(SimpleLocation(300, 400, -1), "gene", qualifiers={"gene": ["rev"]}),
    ]
    write([record], path, "genbank")
    return path


def test_gff3_by_content_plain_and_packed(tmp_path):
    path = tmp_path / "genes.txt"
    path.write_text(GFF3)
    expected = [
        ("NC_1.2", 100, 200, "+", "araA", "gene"),
        ("NC_1.2", 100, 200, "+", "araA", "CDS"),
        ("NC_1.2", 300, 400, "-", "b0002", "gene"),
        ("NC_1.2", 950, 1040, "+", "rpoB", "gene"),
        ("other", 9, 42, ".", "cds-9", "CDS"),
    ]
    assert rows(read_annotation(path)) == expected
    packed = tmp_path / "genes.bed"
    packed.write_bytes(gzip.compress(GFF3.encode()))
    table = read_annotation(packed, contigs={"NC_1.2": 1000})
    assert rows(table) == expected[:4]
    assert table.attrs["notes"] == ["Features left out, on records that the genome has not (other): 1."]


def test_genbank_with_genes_over_the_origin(tmp_path):
    table = read_annotation(genbank(tmp_path / "x.gb"), contigs=["NC_1.2"])
    assert rows(table) == [
        ("NC_1.2", 100, 200, "+", "araA", "gene"),
        ("NC_1.2", 950, 1040, "+", "b3", "gene"),
        ("NC_1.2", 980, 1030, "-", "back", "gene"),
        ("NC_1.2", 500, 640, "+", "cut", "CDS"),
        ("NC_1.2", 300, 400, "-", "rev", "gene"),
    ]
    assert table["start"].dtype == np.int64 and table.attrs["notes"] == []
    line = read_annotation(genbank(tmp_path / "y.gb", topology="linear"))
    # On minus the gene begins at base 29, so that its part behind the origin is the one with its start.
    assert [row[1:5] for row in rows(line)[1:3]] == [(950, 1000, "+", "b3"), (0, 30, "-", "back")]
    assert ("NC_1.2", "-", "back", 29) in rows(sites_of(line)[["contig", "strand", "name", "position"]])
    assert line.attrs["notes"] == ["Features over the origin, cut there since their contig is no circle (NC_1.2): 2."]


@pytest.mark.parametrize("said", ["circular", "linear", ""])
@pytest.mark.parametrize("chosen", ["auto", "linear", "circular"])
def test_a_genbank_file_has_the_same_genes_as_a_genome_and_as_an_annotation(tmp_path, said, chosen):
    path = genbank(tmp_path / "x.gb", topology="circular")
    path.write_text(path.read_text().replace("circular", said.ljust(8), 1))
    with open_genome(path, topology=chosen) as genome:
        ours = read_annotation(path, contigs=genome.contigs, circular=genome.circular)
        assert rows(ours) == rows(genome.annotation)
        circle = chosen == "circular" or (said, chosen) == ("circular", "auto")
    places = [(950, 1040), (980, 1030)] if circle else [(950, 1000), (0, 30)]
    assert [row[1:3] for row in rows(ours)[1:3]] == places
    cut = ["Features over the origin, cut there since their contig is no circle (NC_1.2): 2."]
    assert ours.attrs["notes"] == ([] if circle else cut)


APE = """LOCUS       pUC19                   60 bp ds-DNA   {form}     11-MAY-2012
DEFINITION  .
FEATURES             Location/Qualifiers
     gene            complement(join(55..60,1..10))
                     /gene="g"
ORIGIN
        1 acgtacgtac gtacgtacgt acgtacgtac gtacgtacgt acgtacgtac gtacgtacgt
//
"""


def test_a_locus_line_off_the_columns_says_circular(tmp_path):
    path = tmp_path / "x.gb"
    path.write_text(genbank(tmp_path / "first.gb").read_text() + APE.format(form="circular"))
    assert rows(read_annotation(path))[-1] == ("pUC19", 54, 70, "-", "g", "gene")
    # The genome's form counts more than the file's, where it is known.
    path.write_text(APE.format(form="linear"))
    place = {"contigs": {"pUC19": 60}, "circular": ["pUC19"]}
    assert rows(read_annotation(path, **place)) == [("pUC19", 54, 70, "-", "g", "gene")]
    assert rows(read_annotation(path)) == [("pUC19", 0, 10, "-", "g", "gene")]


def test_bed_without_names_or_strands(tmp_path):
    path = tmp_path / "sites.gff3"
    path.write_text(BED)
    table = read_annotation(path, contigs={"NC_1.2": 1000})
    assert rows(table)[0] == ("NC_1.2", 100, 101, "+", "tssA", "")
    assert rows(sites_of(table)) == [
        ("NC_1.2", 100, "+", "tssA"),
        ("NC_1.2", 399, "-", "tssB"),
        ("NC_1.2", 11, ".", ""),
    ]


def test_names_of_records_may_differ_in_the_version_or_be_the_locus(tmp_path):
    path = genbank(tmp_path / "x.gb")
    for name in ("NC_1", "NC_1.7", "NC_1.2"):
        assert set(read_annotation(path, contigs=[name, "z"])["contig"]) == {name}
    with pytest.raises(TableError, match=r"x\.gb speaks of NC_1\.2, the genome of NC_1\.3, NC_1\.4"):
        read_annotation(path, contigs=["NC_1.3", "NC_1.4"])


def gff3(path, *places):
    """Write one gene for each (record, start, end, strand), 1-based."""
    lines = [f"{at[0]}\tx\tgene\t{at[1]}\t{at[2]}\t.\t{at[3]}\t.\tID=g{i}\n" for i, at in enumerate(places)]
    path.write_text("##gff-version 3\n" + "".join(lines))
    return path


@pytest.mark.parametrize(
    ("records", "contigs", "taken"),
    [
        (["s.1", "s.2", "s.3"], ["s.1"], {"s.1": "s.1"}),
        (["s.2", "s.3"], ["s.1"], None),
        (["s.1", "s.2"], ["s"], None),
        (["s", "s.2"], ["s.1"], {"s": "s.1"}),
        (["s", "s.2"], ["s"], {"s": "s", "s.2": "s"}),
        (["s.2", "t"], ["s.1"], {"s.2": "s.1"}),
        (["s.2", "t"], ["s"], {"s.2": "s"}),
        (["s"], ["s.1"], {"s": "s.1"}),
        (["s"], ["s.1", "s.2"], None),
    ],
)
def test_a_number_is_a_version_only_where_nothing_else_can_be_meant(tmp_path, records, contigs, taken):
    path = gff3(tmp_path / "x.gff3", *((name, 1 + i, 9, "+") for i, name in enumerate(records)))
    lengths = dict.fromkeys(contigs, 100)
    if taken is None:
        with pytest.raises(TableError, match="names of the records must be the same"):
            read_annotation(path, contigs=lengths)
        return
    table = read_annotation(path, contigs=lengths)
    assert [(row[0], row[1]) for row in rows(table)] == [(taken[n], i) for i, n in enumerate(records) if n in taken]
    left = [name for name in records if name not in taken]
    said = f"Features left out, on records that the genome has not ({', '.join(left)}): {len(left)}."
    assert table.attrs["notes"] == ([said] if left else [])


def test_what_lies_beyond_a_contig_is_left_out_and_said(tmp_path):
    places = [("c", 91, 100, "+"), ("c", 95, 120, "-"), ("c", 101, 110, "+"), ("c", 60, 201, "+")]
    path = gff3(tmp_path / "x.gff3", *places)

    def ends(**options):
        table = read_annotation(path, contigs={"c": 100}, **options)
        return table["end"].tolist(), table.attrs["notes"]

    said = "Features left out, beyond the end of their contig (c): {}."
    assert ends() == ends(circular=()) == ([100], [said.format(3)])
    assert ends(circular=["c"]) == ([100, 120], [said.format(2)])
    assert len(read_annotation(path)) == len(read_annotation(path, contigs=["c"])) == 4
    path.write_text(path.read_text() + "c\tx\tregion\t1\t100\t.\t+\t.\tIs_circular=true\n")
    assert ends() == ([100, 120], [said.format(2)])
    assert ends(circular=()) == ([100], [said.format(3)])
    with pytest.raises(TableError, match=r"Every feature of x\.gff3 lies beyond the end of its contig \(c\)"):
        read_annotation(path, contigs={"c": 10})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b">contig\nACGT\n", "none of GFF3, GenBank, EMBL and BED.*'>contig'"),
        (b"\x80\x81\x82", "cannot be read as text"),
        (b"a\tb\tgene\t1\t9\t.\t+\t.\tgene_id 1;\n", "line 1 .*may be GTF"),
        (b"##gff-version 3\n", "no feature"),
        (b"LOCUS       X\nFEATURES\n", "GenBank"),
    ],
)
def test_other_files_are_refused_with_a_sentence(tmp_path, content, message):
    path = tmp_path / "x.gff"
    path.write_bytes(content)
    with pytest.raises(TableError, match=message):
        read_annotation(path)
    with pytest.raises(TableError, match="cannot be read"):
        read_annotation(tmp_path / "missing")


def test_sites_are_five_prime_ends_of_the_best_kind(tmp_path):
    path = tmp_path / "genes.gff3"
    path.write_text(GFF3)
    table = read_annotation(path)
    assert rows(sites_of(table)) == [
        ("NC_1.2", 100, "+", "araA"),
        ("NC_1.2", 399, "-", "b0002"),
        ("NC_1.2", 950, "+", "rpoB"),
    ]
    assert rows(sites_of(table, ["CDS"])) == [("NC_1.2", 100, "+", "araA"), ("other", 25, ".", "cds-9")]
    # Gene and CDS start on one base: one site.
    assert len(sites_of(table, ["gene", "CDS"])) == 4
    starts = table.assign(kind=["gene", "TSS", "gene", "gene", "gene"])
    assert sites_of(starts)["position"].tolist() == [100]


GENES = pd.DataFrame(
    [("c", 100, 200, "+", "a", "gene"), ("c", 300, 400, "-", "b", "gene"), ("c", 950, 1040, "+", "d", "gene")]
    + [("c", 980, 1030, "-", "e", "gene"), ("c", 5, 50, "+", "not a gene", "CDS")],
    columns=["contig", "start", "end", "strand", "name", "kind"],
)


def test_the_next_gene_lies_downstream_on_the_same_strand():
    calls = pd.DataFrame(
        [("c", 60, "+"), ("c", 100, "+"), ("c", 101, "+"), ("c", 960, "+"), ("c", 420, "-"), ("c", 398, "-")]
        + [("x", 5, "+"), ("c", 5, ".")],
        columns=["contig", "summit", "strand"],
        index=range(10, 18),
    )
    found = next_gene(calls, GENES)
    assert found.index.tolist() == calls.index.tolist()
    assert rows(found) == [
        ("a", 40), ("a", 0), ("d", 849), ("", -1), ("b", 21), ("", -1), ("", -1), ("", -1)
    ]  # fmt: skip
    # A summit is known to the stride: a start so far behind it counts as well, one further does not.
    near = next_gene(calls, GENES, behind=10)
    assert rows(near)[:6] == [("a", 40), ("a", 0), ("a", 0), ("d", 0), ("b", 21), ("b", 0)]
    assert rows(next_gene(calls, GENES, behind=9))[3] == ("", -1)
    assert rows(next_gene(calls, GENES, circular={"c": 1000}, behind=10))[3:6] == [("d", 0), ("b", 21), ("b", 0)]
    circle = next_gene(calls, GENES, circular={"c": 1000})
    # From 960 over the origin to 100; from 398 down over the origin to 1029, which is base 29.
    assert rows(circle)[3:6] == [("a", 140), ("b", 21), ("e", 369)]


@pytest.mark.parametrize(
    ("kinds", "taken"),
    [
        (["gene", "TSS", "pseudogene", "CDS"], [0, 2]),
        (["ncRNA_gene", "lnc_RNA", "gene", "pseudogene"], [0, 2, 3]),
        (["transcription_start_site", "CDS", "tRNA", "repeat_region"], [1, 2]),
        (["rRNA", "ncRNA", "tmRNA", "exon"], [0, 1, 2]),
        (["TSS", "TSS", "TSS", "promoter"], [0, 1, 2, 3]),
        (["", "", "", ""], [0, 1, 2, 3]),
    ],
)
def test_the_next_gene_is_a_gene_whatever_else_is_known(kinds, taken):
    starts = range(100, 500, 100)
    table = pd.DataFrame(
        [("c", at, at + 50, "+", f"n{i}", kind) for i, (at, kind) in enumerate(zip(starts, kinds, strict=True))],
        columns=["contig", "start", "end", "strand", "name", "kind"],
    )
    assert gene_starts(table)["name"].tolist() == [f"n{i}" for i in taken]
    calls = pd.DataFrame({"contig": "c", "summit": [at - 10 for at in starts], "strand": "+"})
    nearest = [next((f"n{i}" for i in taken if i >= call), "") for call in range(4)]
    assert next_gene(calls, table)["gene"].tolist() == nearest


def test_a_call_table_joins_what_is_known():
    calls = pd.DataFrame(
        [("c", 50, 70, "+", 60, 0.9)], columns=["contig", "start", "end", "strand", "summit", "score"]
    )
    assert list(call_table(calls)) == list(calls)
    table = call_table(calls, q_values=np.array([0.01]), expected=np.array([2.5]), genes=GENES)
    assert list(table)[6:] == ["q_value", "expected_per_mb", "gene", "gene_distance"]
    assert rows(table)[0][6:] == (0.01, 2.5, "a", 40)


def test_each_contig_keeps_the_genes_that_it_has():
    """A chromosome with genes beside a plasmid with CDS alone, and a contig that has neither, and no genes then."""
    table = pd.DataFrame(
        {
            "contig": ["chr", "chr", "plasmid", "plasmid", "other"],
            "start": [100, 100, 30, 70, 5],
            "end": [190, 190, 60, 90, 9],
            "strand": ["+", "+", "+", "-", "+"],
            "name": ["a", "a.cds", "b", "c", "d"],
            "kind": ["gene", "CDS", "CDS", "tRNA", "promoter"],
        }
    )
    assert list(genes_of(table)["name"]) == ["a", "b", "c"]
    assert list(genes_of(table[table["contig"] == "other"])["name"]) == ["d"]
    calls = pd.DataFrame({"contig": ["chr", "plasmid"], "summit": [80, 20], "strand": "+"})
    assert next_gene(calls, table).to_numpy().tolist() == [["a", 20], ["b", 10]]
