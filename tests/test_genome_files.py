"""Genomes in every format: the same letters, what the file says of itself, faults named where they stand."""

import gzip
import io
import struct
import tracemalloc

import pytest
from Bio import SeqIO

from genolm import genome_files, workspace
from genolm.errors import GenolmError, RegionError, SequenceError
from genolm.genome_files import genome_format, genome_paths, open_genome
from genolm.sequences import open_fasta

CIRCLE = "acgtnryacg" * 13 + "ttgacatata"
LINE = "GGGCCCATAT" * 3


def origin(letters):
    """The sequence part of a GenBank record, written straight from the release notes."""
    lines = []
    for at in range(0, len(letters), 60):
        row = letters[at : at + 60].lower()
        lines.append(f"{at + 1:>9} " + " ".join(row[i : i + 10] for i in range(0, len(row), 10)))
    return "\n".join(["ORIGIN", *lines, "//", ""])


CIRCLE_HEAD = f"""LOCUS       NC_TOY                   {len(CIRCLE)} bp    DNA     circular BCT 01-JAN-2020
DEFINITION  Toyia exempli strain A,
            complete genome.
ACCESSION   NC_TOY
VERSION     NC_TOY.2
KEYWORDS    .
SOURCE      Toyia exempli
  ORGANISM  Toyia exempli
            Bacteria; Toys.
COMMENT     A comment that
            must survive.
FEATURES             Location/Qualifiers
     source          1..{len(CIRCLE)}
                     /organism="Toyia exempli"
                     /mol_type="genomic DNA"
     gene            10..30
                     /gene="abcA"
                     /locus_tag="T_1"
     CDS             complement(join(41..50,61..70))
                     /locus_tag="T_2"
                     /product="protein of a name so long that it goes on in the
                     next line"
     gene            join(131..140,1..5)
                     /gene="ori"
     gene            complement(join(135..140,1..8))
                     /gene="iro"
     tRNA            <75..>80
     misc_feature    90^91
                     /note="a cut"
     misc_feature    J00194.1:100..202
                     /note="elsewhere"
"""
LINE_HEAD = f"""LOCUS       LINE                     {len(LINE)} bp    DNA              UNK 01-JAN-1980
DEFINITION  .
FEATURES             Location/Qualifiers
"""
GENBANK = CIRCLE_HEAD + origin(CIRCLE) + LINE_HEAD + origin(LINE)
EMBL = """ID   X56734; SV 1; circular; genomic DNA; STD; PRO; 70 BP.
XX
AC   X56734;
XX
DE   Toyia exempli plasmid
XX
FH   Key             Location/Qualifiers
FH
FT   gene            complement(join(65..70,1..4))
FT                   /gene="ori"
XX
SQ   Sequence 70 BP; 20 A; 20 C; 20 G; 10 T; 0 other;
     acgtacgtac acgtacgtac acgtacgtac acgtacgtac acgtacgtac acgtacgtac        60
     ggggggtttt                                                               70
//
"""


def two_bit(records, order="<", version=0):
    """A 2bit file, straight from UCSC's description."""

    def blocks(letters, test):
        runs, begin = [], None
        for at, letter in enumerate(letters + "\0"):
            if letter != "\0" and test(letter):
                begin = at if begin is None else begin
            elif begin is not None:
                runs.append((begin, at - begin))
                begin = None
        values = [len(runs), *(start for start, _ in runs), *(size for _, size in runs)]
        return struct.pack(f"{order}{len(values)}I", *values)

    head = struct.pack(f"{order}4I", 0x1A412743, version, len(records), 0)
    place = len(head) + sum(5 + len(name) for name in records)
    index, body = b"", b""
    for name, letters in records.items():
        index += bytes([len(name)]) + name.encode() + struct.pack(f"{order}I", place + len(body))
        body += struct.pack(f"{order}I", len(letters)) + blocks(letters, lambda letter: letter in "Nn")
        body += blocks(letters, str.islower) + struct.pack(f"{order}I", 0)
        codes = [max(0, "TCAG".find(letter)) for letter in letters.upper()] + [0] * 3
        body += bytes(
            codes[i] << 6 | codes[i + 1] << 4 | codes[i + 2] << 2 | codes[i + 3]
            for i in range(0, len(letters), 4)
        )
    return head + index + body


def put(folder, content, name="genome"):
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read(path, **options):
    with open_genome(path, **options) as genome:
        return genome, {record.name: record.sequence for record in genome.records()}


@pytest.mark.parametrize(
    "pack",
    [
        str.encode,
        lambda text: gzip.compress(text.encode()),
        lambda text: b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode(),
        lambda text: text.replace("\n", "\r").encode(),
        lambda text: b"GBBCT1.SEQ          Genetic Sequence Data Bank\n  2 loci\n\n" + text.encode(),
        lambda text: text.replace("//\n", "//\n\n").encode(),
    ],
)
def test_genbank_gives_sequence_topology_and_features(tmp_path, pack):
    path = put(tmp_path, pack(GENBANK), "toy.txt")
    genome, letters = read(path)
    assert genome.format == "GenBank"
    assert letters == {"NC_TOY.2": CIRCLE.upper(), "LINE": LINE}
    assert genome.topology == {"NC_TOY.2": "circular", "LINE": "linear"}
    assert genome.topology_reasons == {
        "NC_TOY.2": "The record's LOCUS line says circular.",
        "LINE": "The record's LOCUS line does not say that it is a circle.",
    }
    assert list(genome.descriptions()) == ["Toyia exempli strain A, complete genome", ""]
    assert genome.summary.soft_masked == 0
    rows = genome.annotation.drop(columns="contig").values.tolist()
    assert rows == [
        [9, 30, "+", "abcA", "gene"],
        [40, 70, "-", "T_2", "CDS"],
        [130, 145, "+", "ori", "gene"],
        [134, 148, "-", "iro", "gene"],
        [74, 80, "+", "", "tRNA"],
        [89, 91, "+", "a cut", "misc_feature"],
    ]
    assert genome.notes[0].endswith("lies outside the record: 1.")


def test_genbank_agrees_with_biopython(tmp_path):
    genome, letters = read(put(tmp_path, GENBANK))
    for record in SeqIO.parse(io.StringIO(GENBANK), "genbank"):
        name = record.id if record.id != "<unknown id>" else record.name
        assert letters[name] == str(record.seq).upper()
        whole = genome.annotation[genome.annotation["contig"] == name]
        for row in whole[whole["kind"] == "gene"].itertuples():
            (feature,) = [one for one in record.features if one.qualifiers.get("gene") == [row.name]]
            with open_genome(genome.path) as again:
                ours = again.fetch(name, row.start, row.end, row.strand)
            assert ours == feature.extract(record.seq).upper()


def test_embl_too(tmp_path):
    genome, letters = read(put(tmp_path, EMBL))
    (record,) = SeqIO.parse(io.StringIO(EMBL), "embl")
    assert genome.format == "EMBL"
    assert letters == {"X56734.1": str(record.seq).upper()}
    assert genome.topology == {"X56734.1": "circular"}
    assert genome.annotation.values.tolist() == [["X56734.1", 64, 74, "-", "ori", "gene"]]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("block", [4_000_000, 7])
def test_two_bit_keeps_gaps_and_masking(tmp_path, monkeypatch, order, block):
    monkeypatch.setattr("genolm.twobit._BLOCK_BASES", block)
    records = {"chr1": "ACGTNNNacgtnnACGTTGA", "chr2": "TTTTT"}
    genome, letters = read(put(tmp_path, two_bit(records, order), "any.fa"))
    assert (genome.format, letters, genome.annotation) == ("2bit", records, None)
    assert genome.summary.ambiguous == {"N": 5}


@pytest.mark.parametrize("content", [GENBANK, EMBL, two_bit({"a": "ACGT"}), gzip.compress(GENBANK.encode())])
def test_the_second_opening_reads_only_the_workspace(tmp_path, monkeypatch, content):
    path = put(tmp_path, content)
    first = read(path)

    def fail(*_):
        raise AssertionError("converted again")

    monkeypatch.setattr(genome_files.GenBankReader, "blocks", fail)
    monkeypatch.setattr(genome_files.TwoBitReader, "blocks", fail)
    second = read(path)
    assert second[1] == first[1]
    assert (second[0].topology, second[0].notes) == (first[0].topology, first[0].notes)
    assert list(tmp_path.iterdir()) == [path]
    assert second[0].fasta.parent == second[0].fai.parent
    assert second[0].fasta.is_relative_to(workspace.index_dir())


def test_a_converted_file_does_not_pass_for_fasta(tmp_path):
    path = put(tmp_path, GENBANK)
    read(path)
    with pytest.raises(SequenceError, match="GenBank"):
        open_fasta(path)
    (folder,) = workspace.index_dir().iterdir()
    (folder / "annotation.parquet").unlink()
    assert len(read(path)[0].annotation) == 6


def test_fetch_over_the_origin(tmp_path, make_dna):
    letters = make_dna(50)
    path = put(tmp_path, f">c [topology=circular]\n{letters}\n>l\n{letters}\n")
    with open_genome(path) as genome:
        assert genome.circular == {"c": 50}
        walked = letters * 3
        places = [(-50, 100), (-7, 3), (-7, 0), (-20, -5), (45, 55), (50, 60), (49, 51), (-3, 53), (50, 50)]
        for start, end in places:
            forward = walked[start + 50 : end + 50]
            assert genome.fetch("c", start, end) == forward
            backward = forward[::-1].translate(str.maketrans("ACGT", "TGCA"))
            assert genome.fetch("c", start, end, "-") == backward
        for start, end in [(-51, 0), (0, 101), (3, 2)]:
            with pytest.raises(RegionError, match="one turn"):
                genome.fetch("c", start, end)
        for start, end in [(-1, 3), (45, 51)]:
            with pytest.raises(RegionError, match="has 50 bases"):
                genome.fetch("l", start, end)


def test_the_form_can_be_chosen(tmp_path):
    path = put(tmp_path, GENBANK)
    assert read(path, topology="circular")[0].topology["LINE"] == "circular"
    assert read(path, topology={"LINE": "circular"})[0].circular == {"NC_TOY.2": 140, "LINE": 30}
    linear = read(path, topology={"NC_TOY.2": "linear"})[0]
    assert linear.topology_reasons["NC_TOY.2"] == "Chosen for this contig: linear."
    assert linear.annotation["end"].max() == 140
    with pytest.raises(RegionError, match="no sequence named 'x'"):
        open_genome(path, topology={"x": "linear"})
    with open_fasta(put(tmp_path, ">c circular=true\nACGT\n", "c.fa")) as genome:
        assert genome.topology == {"c": "linear"}


APE = "LOCUS       pUC19                   60 bp ds-DNA   circular     11-MAY-2012"


def plasmid(first, place="complement(join(55..60,1..10))"):
    """A plasmid of 60 bp with one gene."""
    gene = f'     gene            {place}\n                     /gene="g"\n'
    return f"{first}\nDEFINITION  .\nACCESSION   \nFEATURES             Location/Qualifiers\n{gene}" + origin(LINE * 2)


@pytest.mark.parametrize(
    "first",
    [
        APE,
        "LOCUS       pX330-U6-Chimeric_BB-CBh-hSpCas9        60 bp ds-DNA     circular     10-FEB-2020",
        "LOCUS       linear_version_2 60 bp DNA circular UNA",
        "LOCUS       p300_bp_linear          60 bp ds-DNA   Circular     11-MAY-2012",
    ],
)
def test_a_locus_line_off_the_columns_says_circular(tmp_path, first):
    genome, _ = read(put(tmp_path, plasmid(first)))
    (name,) = genome.contigs
    assert genome.circular == {name: 60}
    assert genome.topology_reasons == {name: "The record's LOCUS line says circular."}
    assert genome.annotation.values.tolist() == [[name, 54, 70, "-", "g", "gene"]]


@pytest.mark.parametrize("word", ["linear  ", " " * 8])
def test_a_gene_over_the_origin_follows_the_form_that_is_chosen(tmp_path, word):
    first = f"LOCUS       circular                  60 bp    DNA     {word} SYN 11-MAY-2012"
    path = put(tmp_path, plasmid(first))
    assert read(path)[0].annotation.values.tolist() == [["circular", 0, 10, "-", "g", "gene"]]
    chosen = read(path, topology="circular")[0]
    assert chosen.annotation.values.tolist() == [["circular", 54, 70, "-", "g", "gene"]]
    # In one part it lies outside of a record that is no circle.
    outside = read(put(tmp_path, plasmid(first, "55..70")))[0]
    assert outside.annotation.empty and outside.notes[0].endswith("lies outside the record: 1.")


CON = CIRCLE_HEAD + "CONTIG      join(U00096.3:1..140)\n//\n"


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (CON, ["line 33", "begins in line 1", "no sequence", "CONTIG", "GenBank (full)"]),
        (CIRCLE_HEAD + "//\n", ["line 32", "no sequence"]),
        (LINE_HEAD + LINE_HEAD + origin(LINE), ["line 4", "begins in line 1", "no sequence"]),
        (GENBANK[:-3], ["cut off", "begins in line 37", "no closing line"]),
        (GENBANK[:900], ["cut off", "begins in line 1"]),
        (GENBANK.replace("//\n", "", 1), ["cut off", "begins in line 1"]),
        (GENBANK.replace("ttgac", "ttxac"), ["'NC_TOY.2'", "line 35", "'X'"]),
        (GENBANK.replace("61 ", "61 aa", 1), ["record in line 1", "142 bases", "promises 140"]),
        (GENBANK.replace("140 bp", "140 aa"), ["line 1", "protein"]),
        (GENBANK + GENBANK, ["'NC_TOY.2'", "line 43", "same name", "line 1"]),
        (GENBANK + "rubbish\n", ["line 43", "'rubbish'"]),
        ("LOCUS       X\nORIGIN\n//\n", ["line 1", "'X' is empty"]),
        (CIRCLE_HEAD + "ORIGIN\n//\n", ["record in line 1", "0 bases", "promises 140"]),
        (GENBANK.replace("140 bp", "bp", 1), ["record in line 1", "cannot be read"]),
        (gzip.compress(GENBANK.encode())[:-20], ["truncated gzip"]),
        (EMBL.replace("70 BP", "70 AA"), ["line 1", "protein"]),
        (EMBL.replace("gggggg", "gggggj"), ["'X56734.1'", "line 14", "'J'"]),
        (EMBL.split("SQ  ")[0] + "CO   join(A1.1:1..70)\n//\n", ["no sequence", "CO line", "expanded"]),
        (two_bit({"a": "ACGT" * 50})[:-9], ["cut off in record 'a'"]),
        (two_bit({"a": "ACGT"})[:18], ["cannot be read as 2bit"]),
        (two_bit({"a": "ACGT"}, version=1), ["64-bit", "twoBitToFa"]),
        (two_bit({}), ["no sequence"]),
        ("", ["is empty"]),
    ],
)
def test_what_is_refused(tmp_path, content, parts):
    path = put(tmp_path, content)
    with pytest.raises(SequenceError) as caught:
        open_genome(path)
    for part in [str(path), *parts]:
        assert part in str(caught.value)
    assert not list(workspace.index_dir().iterdir())


def test_missing_files(tmp_path):
    with pytest.raises(SequenceError, match="There is no file"):
        open_genome(tmp_path / "none.gb")
    with pytest.raises(SequenceError, match="is not a file"):
        open_genome(tmp_path)


def test_a_folder_of_genomes(tmp_path):
    kept = [
        put(tmp_path, GENBANK, "a.gbff"),
        put(tmp_path, ">c\nACGT\n", "b.fna"),
        put(tmp_path, gzip.compress(b">c\nACGT\n"), "c.fa.gz"),
        put(tmp_path, two_bit({"a": "ACGT"}), "d.2bit"),
    ]
    left = {
        put(tmp_path, ">c\nACGT\n", "a.fna"): "a.gbff has the same name",
        put(tmp_path, ">p\nMKVLEE\n", "b.faa"): "protein",
        put(tmp_path, "##gff-version 3\n", "b.gff"): "GFF annotation",
        put(tmp_path, "notes", "readme.txt"): "no sequence file",
        put(tmp_path, "", "empty.fa"): "empty",
        put(tmp_path, gzip.compress(b">c\nACGT\n" * 9)[:-9], "cut.fa.gz"): "runcated gzip",
        tmp_path / "sub": "folder",
    }
    (tmp_path / "sub").mkdir()
    put(tmp_path, ">c\nACGT\n", ".hidden.fa")
    found = genome_paths(tmp_path)
    assert found.genomes == tuple(kept)
    assert set(found.left_out) == set(left)
    for path, reason in left.items():
        assert reason in found.left_out[path]


def test_folders_without_a_genome(tmp_path):
    with pytest.raises(GenolmError, match="no genome in"):
        genome_paths(tmp_path)
    put(tmp_path, "notes", "a.txt")
    with pytest.raises(GenolmError, match=r"a\.txt: It is no sequence file"):
        genome_paths(tmp_path)
    with pytest.raises(GenolmError, match="There is no folder"):
        genome_paths(tmp_path / "none")


def test_formats_are_known_by_content(tmp_path):
    for content, name in [(GENBANK, "GenBank"), (EMBL, "EMBL"), (">a\nAC\n", "FASTA"), ("x", "FASTA")]:
        assert genome_format(put(tmp_path, content, "genome.2bit")) == name


def test_progress_ends_at_the_files_size(tmp_path):
    path, seen = put(tmp_path, gzip.compress(GENBANK.encode())), []
    open_genome(path, progress=seen.append).close()
    assert (seen[-1].done, seen[-1].total) == (path.stat().st_size,) * 2


def test_memory_does_not_grow_with_a_genbank_record(tmp_path, monkeypatch):
    monkeypatch.setattr("genolm.genbank._BLOCK_LINES", 2_000)
    monkeypatch.setattr("genolm.fasta_check.BLOCK_BYTES", 1 << 17)
    letters = "acgttgcann" * 300_000
    path = put(tmp_path, LINE_HEAD.replace("30 bp", "3000000 bp") + origin(letters))
    open_genome(put(tmp_path, GENBANK, "small")).close()
    tracemalloc.start()
    try:
        with open_genome(path) as genome:
            assert genome.fetch("LINE", 2_999_990, 3_000_000) == "ACGTTGCANN"
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3_000_000
