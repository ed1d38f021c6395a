"""Calls in GenBank: Biopython reads back every call, every letter, and what the file had before."""

import io
import tracemalloc

import pandas as pd
import pytest
from Bio import SeqIO

from genolm.features import CALL_COLUMNS
from genolm.genbank_calls import insdc_key, write_genbank
from genolm.genome_files import open_genome

LENGTH = 1_234
HEAD = """LOCUS       RING                    1234 bp    DNA     circular BCT 01-JAN-2020
DEFINITION  A toy.
ACCESSION   RING
VERSION     RING.1
KEYWORDS    .
COMMENT     Left as it is: 100 % of it.
FEATURES             Location/Qualifiers
     gene            10..90
                     /gene="abcA"
                     /unusual_key="kept, too"
     CDS             complement(join(1200..1234,1..40))
                     /codon_start=1
                     /translation="MKVL"
"""
BARE = "LOCUS       BARE                    1234 bp    DNA              UNK 01-JAN-1980\nVERSION     BARE.1\n"
EMBL = """ID   RING; SV 1; circular; genomic DNA; STD; PRO; 1234 BP.
XX
AC   RING;
XX
DE   A toy.
XX
FH   Key             Location/Qualifiers
FH
FT   gene            10..90
FT                   /gene="abcA"
XX
SQ   Sequence 1234 BP; 0 A; 0 C; 0 G; 0 T; 1234 other;
"""


@pytest.fixture
def letters(make_dna):
    return make_dna(LENGTH - 4) + "NRYN"


@pytest.fixture
def calls():
    return pd.DataFrame(
        [
            ("RING.1", 20, 80, "+", 50, 0.987654321, "abcA"),
            ("RING.1", 300, 301, "-", 300, 0.5, ""),
            ("RING.1", 1_200, 1_300, "+", 7, 0.75, ""),
            ("RING.1", 1_204, 1_270, "-", 1_233, 0.25, ""),
        ],
        columns=[*CALL_COLUMNS, "gene"],
    )


def body(letters, *, embl=False):
    rows = [letters[at : at + 60].lower() for at in range(0, len(letters), 60)]
    if embl:
        return "".join(f"     {row:<65}{LENGTH:>10}\n" for row in rows) + "//\n"
    return "ORIGIN\n" + "".join(f"        1 {row}\n" for row in rows) + "//\n"


def parse(path, style="genbank"):
    with open(path, encoding="utf-8") as handle:
        return list(SeqIO.parse(handle, style))


def made(record):
    """The calls' features, by name."""
    named = {one.qualifiers.get("standard_name", [""])[0]: one for one in record.features}
    return {name: feature for name, feature in named.items() if name.startswith("call_")}


def check_calls_of(record, genome, calls):
    found = made(record)
    assert list(found) == [f"call_{number}" for number in range(1, len(calls) + 1)]
    for feature, call in zip(found.values(), calls.itertuples(), strict=True):
        assert feature.type == "regulatory"
        assert feature.qualifiers["regulatory_class"] == ["promoter"]
        assert feature.location.strand == (1 if call.strand == "+" else -1)
        ours = genome.fetch("RING.1", call.start, call.end, call.strand)
        assert str(feature.extract(record.seq)).upper() == ours
        (note,) = feature.qualifiers["note"]
        assert f"probability {call.score:.6g}; summit {call.summit + 1}; model m-1" in note


def test_a_genbank_file_keeps_every_line(tmp_path, letters, calls):
    source, out = tmp_path / "in.gb", tmp_path / "calls.gb"
    source.write_text(HEAD + body(letters) + BARE + body(letters))
    with open_genome(source) as genome:
        write_genbank(out, calls, genome, model="m-1")
        ring, bare = parse(out)
        check_calls_of(ring, genome, calls)
    before, _ = parse(source)
    assert str(ring.seq) == str(before.seq) == letters
    kept = [one for one in ring.features if one.type in ("gene", "CDS")]
    assert [(str(a.location), a.qualifiers) for a in kept] == [
        (str(b.location), b.qualifiers) for b in before.features
    ]
    assert ring.annotations == before.annotations
    assert bare.features == []
    text, lines = out.read_text(), source.read_text().splitlines(keepends=True)
    rest = iter(text.splitlines(keepends=True))
    assert all(line in rest for line in lines), "a line was lost or moved"
    assert "     regulatory      join(1201..1234,1..66)\n" in text
    assert "     regulatory      complement(join(1205..1234,1..36))\n" in text
    assert made(ring)["call_1"].qualifiers["note"][0].endswith("model m-1; gene abcA")


@pytest.mark.parametrize(("form", "said"), [("linear", "linear"), ("circular", "circular")])
def test_the_chosen_form_stands_in_the_locus_line(tmp_path, letters, calls, form, said):
    source, out = tmp_path / "in.gb", tmp_path / "calls.gb"
    source.write_text(HEAD + body(letters) + BARE + body(letters))
    with open_genome(source, topology=form) as genome:
        write_genbank(out, calls[:1].assign(contig="BARE.1"), genome)
    ring, bare = parse(out)
    assert ring.annotations["topology"] == said
    assert bare.annotations.get("topology", "linear") == said
    assert [line[:12] for line in out.read_text().splitlines() if "FEATURES" in line] == ["FEATURES    "] * 2
    assert len(made(bare)) == 1
    assert {len(line) for line in out.read_text().splitlines() if line.startswith("LOCUS")} == {79}


@pytest.mark.parametrize(
    ("line", "linear", "circular"),
    [
        (
            "LOCUS       pUC19-linear            1234 bp    DNA     circular SYN 12-JAN-2020",
            "LOCUS       pUC19-linear            1234 bp    DNA     linear   SYN 12-JAN-2020",
            "LOCUS       pUC19-linear            1234 bp    DNA     circular SYN 12-JAN-2020",
        ),
        (
            "LOCUS       plasmid-circular        1234 bp    DNA              SYN 12-JAN-2020",
            "LOCUS       plasmid-circular        1234 bp    DNA              SYN 12-JAN-2020",
            "LOCUS       plasmid-circular        1234 bp    DNA     circular SYN 12-JAN-2020",
        ),
        (
            "LOCUS       linear.1                1234 bp ds-DNA   linear     11-MAY-2012",
            "LOCUS       linear.1                1234 bp ds-DNA   linear     11-MAY-2012",
            "LOCUS       linear.1                1234 bp ds-DNA   circular   11-MAY-2012",
        ),
        (
            "LOCUS       5_bp_circular_of_a_very_long_name_in_the_columns_of_the_form 1234 bp DNA UNA",
            "LOCUS       5_bp_circular_of_a_very_long_name_in_the_columns_of_the_form 1234 bp DNA UNA",
            "LOCUS       5_bp_circular_of_a_very_long_name_in_the_columns_of_the_form 1234 bp DNA circular UNA",
        ),
    ],
)
def test_only_the_form_changes_in_a_locus_line(tmp_path, letters, calls, line, linear, circular):
    source, out = tmp_path / "in.gb", tmp_path / "calls.gb"
    source.write_text(f"{line}\n" + body(letters))
    for form, expected in [("linear", linear), ("circular", circular)]:
        with open_genome(source, topology=form) as genome:
            write_genbank(out, calls[:0], genome)
        assert out.read_text().splitlines()[0] == expected
        with open_genome(out) as again:
            assert set(again.topology.values()) == {form}


def test_a_fasta_becomes_genbank(tmp_path, letters, calls):
    source, out = tmp_path / "in.fa", tmp_path / "calls.gb"
    long = "NODE_1_length_1234_cov_20.123456"
    source.write_text(f">RING.1 A toy [topology=circular]\n{letters}\n>{long}\nACGTacgtNN\n")
    with open_genome(source) as genome:
        write_genbank(out, calls, genome, model="m-1")
        ring, node = parse(out)
        check_calls_of(ring, genome, calls)
    assert (ring.id, ring.description) == ("RING.1", "A toy [topology=circular]")
    assert (ring.annotations["topology"], node.annotations["topology"]) == ("circular", "linear")
    assert (node.id, str(node.seq)) == (long, "ACGTACGTNN")
    assert str(ring.seq) == letters
    lines = out.read_text().splitlines()
    first = lines.index("ORIGIN") + 1
    assert lines[first] == "        1 " + " ".join(letters[at : at + 10].lower() for at in range(0, 60, 10))
    assert lines[first + 20] == "     1201 " + " ".join(
        letters[at : at + 10].lower() for at in range(1_200, LENGTH, 10)
    )


def test_an_embl_file_becomes_genbank_with_its_features(tmp_path, letters, calls):
    source, out = tmp_path / "in.embl", tmp_path / "calls.gb"
    source.write_text(EMBL + body(letters, embl=True))
    with open_genome(source) as genome:
        write_genbank(out, calls, genome, model="m-1")
        (ring,) = parse(out)
        check_calls_of(ring, genome, calls)
    (before,) = parse(source, "embl")
    assert str(ring.seq) == str(before.seq) == letters
    assert ring.features[0].qualifiers == before.features[0].qualifiers
    assert ring.annotations["topology"] == "circular"


@pytest.mark.parametrize(
    ("term", "key", "rest"),
    [
        ("promoter", "regulatory", {"regulatory_class": ["promoter"]}),
        ("enhancer", "regulatory", {"regulatory_class": ["enhancer"]}),
        ("TSS", "misc_feature", {"note": ["TSS"]}),
        ("sequence_feature", "misc_feature", {}),
        ("gene", "gene", {}),
    ],
)
def test_terms_become_keys(term, key, rest):
    assert insdc_key(term) == (key, rest)


def test_a_term_without_a_key_is_in_the_note(tmp_path, letters, calls):
    source, out = tmp_path / "in.fa", tmp_path / "calls.gb"
    source.write_text(f">RING.1 circular\n{letters}\n")
    with open_genome(source) as genome:
        write_genbank(out, calls[:1], genome, feature="TSS")
    feature = made(parse(out)[0])["call_1"]
    assert feature.type == "misc_feature"
    assert feature.qualifiers["note"] == ["TSS", "probability 0.987654; summit 51; gene abcA"]


def test_memory_stays_at_a_block(tmp_path, calls, monkeypatch):
    monkeypatch.setattr("genolm.genbank_calls._BLOCK_BASES", 60_000)
    monkeypatch.setattr("genolm.fasta_check.BLOCK_BYTES", 1 << 17)
    source, out = tmp_path / "in.fa", tmp_path / "calls.gb"
    source.write_text(">RING.1\n" + "ACGTTGCANN" * 300_000 + "\n")
    with open_genome(source) as genome:
        write_genbank(out, calls[:2], genome)
        tracemalloc.start()
        try:
            write_genbank(out, calls[:2], genome)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak < 2_000_000
    (record,) = SeqIO.parse(io.StringIO(out.read_text()), "genbank")
    assert len(record) == 3_000_000
