import gzip
import re

import numpy as np
import pandas as pd
import pyBigWig
import pytest

from genolm import features
from genolm.errors import SettingsError, TableError
from genolm.tracks import Track

NAN = float("nan")
LENGTHS = {"z contig;1": 5_000, "chrB": 300, "chrA": 1_000}


@pytest.fixture
def calls():
    return pd.DataFrame(
        [
            ("chrB", 0, 40, "+", 15, 0.98765),
            ("chrB", 120, 160, "-", 141, 0.5),
            ("chrA", 10, 11, "+", 10, 1.0),
        ],
        columns=list(features.CALL_COLUMNS),
    )


def track(values, *, contig="chrB", start=20, step=10, span=10, strand="+"):
    return Track(contig, strand, start, step, span, np.array(values, dtype=np.float32))


def test_calls_round_trip_and_exact_text(tmp_path, calls):
    path = tmp_path / "calls.csv"
    features.write_calls(path, calls)
    lines = path.read_text().splitlines()
    assert lines[:2] == ["contig,start,end,strand,summit,score", "chrB,0,40,+,15,0.98765"]
    pd.testing.assert_frame_equal(features.read_calls(path), calls.astype({"contig": "str", "strand": "str"}))


def test_empty_calls_round_trip(tmp_path, calls):
    path = tmp_path / "calls.csv"
    features.write_calls(path, calls.iloc[:0])
    back = features.read_calls(path)
    assert len(back) == 0
    assert list(back.columns) == list(features.CALL_COLUMNS)
    assert back["start"].dtype == np.int64
    features.write_bed(tmp_path / "e.bed", back)
    assert (tmp_path / "e.bed").read_text() == ""
    features.write_gff3(tmp_path / "e.gff3", back)
    assert (tmp_path / "e.gff3").read_text() == "##gff-version 3\n"


def test_bed6_text(tmp_path, calls):
    path = tmp_path / "calls.bed"
    features.write_bed(path, calls, prefix="tss")
    assert path.read_text() == (
        "chrB\t0\t40\ttss_1\t988\t+\nchrB\t120\t160\ttss_2\t500\t-\nchrA\t10\t11\ttss_3\t1000\t+\n"
    )
    back = features.read_bed(path)
    assert list(back.columns) == ["contig", "start", "end", "name", "score", "strand"]
    assert back["score"].tolist() == [988, 500, 1000]


def test_bed_refuses_contig_names_with_blanks(tmp_path, calls):
    with pytest.raises(SettingsError, match="blanks") as caught:
        features.write_bed(tmp_path / "x.bed", calls.assign(contig="two words"))
    # Files are written into a draft folder, which says nothing to the user.
    assert "x.bed" in str(caught.value) and str(tmp_path) not in str(caught.value)


def parse_gff3(text):
    """An independent reader of nine columns, straight from the specification."""
    rows = []
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        columns = line.split("\t")
        assert len(columns) == 9
        unescape = lambda item: re.sub("%([0-9A-F]{2})", lambda hit: chr(int(hit[1], 16)), item)  # noqa: E731
        pairs = [part.split("=") for part in columns[8].split(";")]
        rows.append((*map(unescape, columns[:8]), {unescape(key): unescape(value) for key, value in pairs}))
    return rows


def test_gff3_text(tmp_path, calls):
    path = tmp_path / "calls.gff3"
    calls.loc[0, "contig"] = "z contig;1"
    features.write_gff3(path, calls, lengths=LENGTHS, model="a;b=c,d&e%\t1", feature="promoter")
    text = path.read_text()
    assert text.splitlines()[:4] == [
        "##gff-version 3",
        "##sequence-region z%20contig%3B1 1 5000",
        "##sequence-region chrB 1 300",
        "##sequence-region chrA 1 1000",
    ]
    rows = parse_gff3(text)
    assert rows[0] == (
        "z contig;1", "genolm", "promoter", "1", "40", "0.98765", "+", ".",
        {"ID": "call_1", "summit": "16", "probability": "0.98765", "model": "a;b=c,d&e%\t1"},
    )  # fmt: skip
    assert rows[2][3:5] == ("11", "11")
    assert len({row[8]["ID"] for row in rows}) == 3


def test_gff3_reads_back_what_it_writes(tmp_path, calls):
    path = tmp_path / "calls.gff3"
    features.write_gff3(path, calls, model="m=1")
    back = features.read_gff3(path)
    for name in ("contig", "start", "end", "strand", "score"):
        assert back[name].tolist() == calls[name].tolist()
    assert back["attributes"][1] == {"ID": "call_2", "summit": "142", "probability": "0.5", "model": "m=1"}


def test_read_gff3_of_others(tmp_path):
    path = tmp_path / "a.gff3.gz"
    text = (
        "##gff-version 3\r\n# note\r\n\r\n"
        "c1\tRefSeq\tgene\t190\t255\t.\t+\t.\tID=gene1;Dbxref=a,b;Note=5%2C6; \r\n"
        "c1\tRefSeq\tCDS\t190\t255\t0.5\t?\t0\t.\r\n"
        "##FASTA\r\n>c1\r\nACGT\r\n"
    )
    path.write_bytes(gzip.compress(text.encode()))
    table = features.read_gff3(path)
    assert table[["start", "end"]].values.tolist() == [[189, 255], [189, 255]]
    assert table["attributes"].tolist() == [{"ID": "gene1", "Dbxref": "a,b", "Note": "5,6"}, {}]
    assert np.isnan(table["score"][0])
    assert features.read_gff3(path, types=["CDS"])["type"].tolist() == ["CDS"]


GOOD = "c\ts\tgene\t1\t5\t.\t+\t.\tID=x\n"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("c s gene 1 5 . + . ID=x", "has 1 tab-separated"),
        (GOOD.replace("\t1\t", "\t0\t"), "1 <= start"),
        (GOOD.replace("\t1\t", "\t9\t"), "start 9 and end 5"),
        (GOOD.replace("\t1\t", "\tone\t"), "'one'"),
        (GOOD.replace("+", "plus"), "strand 'plus'"),
        (GOOD.replace("ID=x", 'gene_id "x"'), "GTF"),
        (GOOD.replace("+\t.", "+\t7"), "phase '7'"),
        (GOOD.replace("5\t.", "5\thigh"), "'high'"),
    ],
)
def test_gff3_faults_name_their_line(tmp_path, line, reason):
    path = tmp_path / "bad.gff3"
    path.write_text("##gff-version 3\n" + GOOD + line)
    with pytest.raises(TableError, match=reason) as caught:
        features.read_gff3(path)
    assert f"{path}, line 3 " in str(caught.value)


def test_read_bed_of_others(tmp_path):
    path = tmp_path / "a.bed"
    head = "track name=x\nbrowser position c:1-2\n#note\n"
    path.write_text(head + "c\t0\t5\nc 5 9 n1 3.5\nc\t1\t1\tn2\t.\t-\t0\t0\t1,2,3\n")
    table = features.read_bed(path)
    assert table.drop(columns="score").values.tolist() == [
        ["c", 0, 5, "", "."], ["c", 5, 9, "n1", "."], ["c", 1, 1, "n2", "-"],
    ]  # fmt: skip
    assert np.array_equal(table["score"], [NAN, 3.5, NAN], equal_nan=True)


def test_contigs_that_begin_like_a_bed_remark(tmp_path):
    path = tmp_path / "a.bed"
    path.write_text("browser hide all\ntrack\ntrack_1\t0\t5\nbrowserless 1 2\ntracks\t3\t4\n")
    assert features.read_bed(path)["contig"].tolist() == ["track_1", "browserless", "tracks"]
    lengths = {"tracks": 9, "track_1": 9, "browserless": 9}
    assert list(features.read_regions(path, lengths)) == list(lengths)


@pytest.mark.parametrize(
    ("line", "reason"),
    [("c\t1", "2 columns"), ("c\tx\t5", "'x'"), ("c\t5\t1", "start 5 and end 1"), ("c\t-1\t4", "start -1"),
     ("c\t1\t2\tn\thigh", "'high'"), ("c\t1\t2\tn\t0\t*", "strand"), ("c\t1.5\t2", "'1.5'")],
)  # fmt: skip
def test_bed_faults_name_their_line(tmp_path, line, reason):
    path = tmp_path / "bad.bed"
    path.write_text("c\t0\t1\n" + line + "\n")
    with pytest.raises(TableError, match=reason) as caught:
        features.read_bed(path)
    assert "line 2 " in str(caught.value)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"PK\x03\x04\x14\x00\x06\x00", "a zip archive or an Office document (xlsx, docx)"),
        (b"\n>chrB words\nACGT\n", "FASTA"),
        (b"##gff-version 3\nchrB\tx\tgene\t1\t5\t.\t+\t.\tID=x\n", "a GFF annotation"),
        (b"# mine\nchrB\tx\tgene\t1\t5\t.\t+\t.\tID=x\n", "GFF3, by line 2"),
        (b"LOCUS       X1   60 bp    DNA\n", "a GenBank file"),
        ("chrB\t0\t5\n".encode("utf-16"), "text in UTF-16"),
    ],
)
def test_what_a_file_is_that_is_no_bed(tmp_path, content, what, pack):
    path = tmp_path / "r.bed"
    path.write_bytes(pack(content))
    for read in (features.read_bed, lambda path: features.read_regions(path, LENGTHS)):
        with pytest.raises(TableError) as caught:
            read(path)
        assert str(caught.value) == f"{path} is not BED but {what}; give lines of contig, start and end."


def test_bed_of_nine_columns_is_no_gff(tmp_path):
    path = tmp_path / "r.bed"
    path.write_text("chrB\t1\t5\tn\t0\t+\t.\t.\t0,0,0\n")
    assert features.read_regions(path, LENGTHS) == {"chrB": [(1, 5)]}


def test_unreadable_files_are_refused(tmp_path):
    with pytest.raises(TableError, match="cannot be read"):
        features.read_bed(tmp_path / "none.bed")
    cut = tmp_path / "cut.bed.gz"
    cut.write_bytes(gzip.compress(b"c\t0\t1\n" * 5_000)[:-20])
    with pytest.raises(TableError, match="damaged"):
        features.read_bed(cut)
    spoilt = bytearray(gzip.compress(b"c\t0\t1\n" * 5_000))
    spoilt[10:40] = b"\xff" * 30
    cut.write_bytes(spoilt)
    with pytest.raises(TableError, match=r"cut\.bed\.gz is damaged"):
        features.read_bed(cut)
    (tmp_path / "bytes.bed").write_bytes(b"c\t0\t1\n\xff\xfe\n")
    with pytest.raises(TableError, match=r"bytes\.bed is damaged or not text"):
        features.read_bed(tmp_path / "bytes.bed")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("contig,start,end\n", "strand, summit, score"),
        ("contig,start,end,strand,summit,score\nc,0,9,+,3,0.5\nc,0,x,+,3,0.5\n", "line 3 has 'x' as end"),
        ("contig,start,end,strand,summit,score\nc,0,9,+,9,0.5\n", "summit lies outside"),
        ("contig,start,end,strand,summit,score\nc,0,9,+,3,1.5\n", "not a probability"),
        ("contig,start,end,strand,summit,score\nc,0,9,*,3,0.5\n", "strand"),
        ("contig,start,end,strand,summit,score\nc,9,9,+,9,0.5\n", "start < end"),
        ("", "not a CSV"),
    ],
)
def test_faulty_calls_are_refused(tmp_path, text, reason):
    path = tmp_path / "calls.csv"
    path.write_text(text)
    with pytest.raises(TableError, match=re.escape(reason)):
        features.read_calls(path)


def test_contig_called_na_survives(tmp_path, calls):
    features.write_calls(tmp_path / "c.csv", calls.assign(contig="NA"))
    assert set(features.read_calls(tmp_path / "c.csv")["contig"]) == {"NA"}


def test_bedgraph_text(tmp_path):
    path = tmp_path / "t.bedgraph"
    features.write_bedgraph(path, [track([0.5, NAN, 0.123456789], span=5)], name='a "b"')
    assert path.read_text() == (
        "track type=bedGraph name=\"a 'b'\"\nchrB\t20\t25\t0.5\nchrB\t40\t45\t0.123457\n"
    )
    features.write_bedgraph(tmp_path / "t.bedgraph.gz", [track([0.5])])
    assert gzip.decompress((tmp_path / "t.bedgraph.gz").read_bytes()) == b"chrB\t20\t30\t0.5\n"


def test_bigwig_values_gaps_and_header_order(tmp_path):
    path = tmp_path / "t.bw"
    a, b = track([0.1, NAN, 0.3], contig="chrA", span=4), track([0.0, 0.5])
    features.write_bigwig(path, [a, b], LENGTHS)
    with pyBigWig.open(str(path)) as back:
        assert list(back.chroms().items()) == list(LENGTHS.items())
        expected = np.full(60, NAN, dtype=np.float32)
        expected[20:24], expected[40:44] = 0.1, 0.3
        assert np.array_equal(np.float32(back.values("chrA", 0, 60)), expected, equal_nan=True)
        assert back.intervals("chrB") == ((20, 30, 0.0), (30, 40, 0.5))
        assert back.intervals("z contig;1") is None


def test_bigwig_of_many_values_and_pieces(tmp_path):
    rng = np.random.default_rng(5)
    values = rng.random(300_000, dtype=np.float32)
    values[rng.random(300_000) < 0.001] = NAN
    whole = track(values, contig="c", start=3, step=10)
    path = tmp_path / "t.bw"
    pieces = [whole.between(1_500_003, 3_000_003), whole.between(0, 1_500_003)]
    features.write_bigwig(path, pieces, {"c": 3_000_100})
    with pyBigWig.open(str(path)) as back:
        found = back.values("c", 0, 3_000_100, numpy=True)
        assert np.array_equal(found[3:3_000_003:10].astype(np.float32), values, equal_nan=True)
        assert back.header()["nBasesCovered"] == 10 * int((~np.isnan(values)).sum())
        assert back.stats("c", 0, 3_000_100, type="max")[0] == pytest.approx(float(np.nanmax(values)))


def test_bigwig_without_any_value_is_still_a_bigwig(tmp_path):
    features.write_bigwig(tmp_path / "t.bw", [track([NAN])], LENGTHS)
    with pyBigWig.open(str(tmp_path / "t.bw")) as back:
        assert back.chroms() == LENGTHS


@pytest.mark.parametrize(
    ("tracks", "reason"),
    [
        ([track([1]), track([1], strand="-")], "a file each"),
        ([track([1], contig="chrC")], "not known"),
        ([track([1], start=295)], "beyond the contig's 300 bp"),
    ],
)
def test_bigwig_refuses_what_it_cannot_hold(tmp_path, tracks, reason):
    with pytest.raises(SettingsError, match=reason):
        features.write_bigwig(tmp_path / "t.bw", tracks, LENGTHS)


def test_bigwig_without_contigs_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="at least one contig"):
        features.write_bigwig(tmp_path / "t.bw", [], {})


def test_bigwig_in_a_missing_folder_is_a_sentence(tmp_path):
    with pytest.raises(SettingsError, match="No such file"):
        features.write_bigwig(tmp_path / "none" / "t.bw", [track([1])], LENGTHS)


CIRCULAR = {"ring": 1_000}


@pytest.fixture
def ring_calls():
    """Calls on a circular contig between two linear ones; the third goes over the origin."""
    return pd.DataFrame(
        [
            ("chrB", 5, 40, "+", 15, 0.9, "abcA", 12),
            ("ring", 10, 60, "+", 30, 0.5, "", -1),
            ("ring", 970, 1_030, "-", 4, 0.75, "x;y", 7),
            ("chrA", 10, 11, "+", 10, 1.0, "z", 3),
        ],
        columns=[*features.CALL_COLUMNS, "gene", "distance"],
    )


def test_bed_cuts_a_call_at_the_origin(tmp_path, ring_calls):
    path = tmp_path / "calls.bed"
    features.write_bed(path, ring_calls, circular=CIRCULAR)
    rows = [line.split("\t") for line in path.read_text().splitlines()]
    assert rows == [
        ["chrB", "5", "40", "call_1", "900", "+"],
        ["ring", "0", "30", "call_3", "750", "-"],
        ["ring", "10", "60", "call_2", "500", "+"],
        ["ring", "970", "1000", "call_3", "750", "-"],
        ["chrA", "10", "11", "call_4", "1000", "+"],
    ]


def test_gff3_of_a_circular_contig(tmp_path, ring_calls):
    path = tmp_path / "calls.gff3"
    features.write_gff3(path, ring_calls, lengths={"chrB": 300, "ring": 1_000}, circular=CIRCULAR)
    rows = parse_gff3(path.read_text())
    region = rows.pop(0)
    assert region[:8] == ("ring", "genolm", "region", "1", "1000", ".", "+", ".")
    assert region[8]["Is_circular"] == "true"
    assert rows[2][3:5] == ("971", "1030")
    assert rows[2][8] == {
        "ID": "call_3", "summit": "5", "probability": "0.75", "distance": "7", "gene": "x;y",
    }  # fmt: skip
    assert "gene" not in rows[1][8]
    # The specification: start < end, and end <= length + length on a circle.
    assert all(1 <= int(row[3]) <= int(row[4]) <= 2_000 for row in rows)


def test_further_columns_stay_with_the_calls(tmp_path, ring_calls):
    path = tmp_path / "calls.csv"
    features.write_calls(path, ring_calls[["gene", *features.CALL_COLUMNS, "distance"]])
    assert path.read_text().splitlines()[3] == "ring,970,1030,-,4,0.75,x;y,7"
    back = features.read_calls(path)
    assert back["gene"].tolist() == ["abcA", "", "x;y", "z"]
    assert back["distance"].tolist() == [12, -1, 7, 3]
    assert back["distance"].dtype == np.int64


def test_a_summit_beyond_the_origin_is_counted_from_it(tmp_path, ring_calls):
    ring_calls.loc[2, "summit"] = 1_004
    features.write_gff3(tmp_path / "c.gff3", ring_calls, circular=CIRCULAR)
    assert parse_gff3((tmp_path / "c.gff3").read_text())[3][8]["summit"] == "5"
    ring_calls.loc[2, "summit"] = 30
    with pytest.raises(TableError, match="summit lies outside"):
        features.write_bed(tmp_path / "c.bed", ring_calls, circular=CIRCULAR)


def test_the_last_value_of_a_circle_is_cut_at_the_origin(tmp_path):
    values = [0.1, 0.2, NAN, 0.4]
    ring = track(values, contig="ring", start=0, step=300, span=300)
    features.write_bigwig(tmp_path / "r.bw", [ring], {"ring": 1_000}, circular=CIRCULAR)
    with pyBigWig.open(str(tmp_path / "r.bw")) as back:
        found = [(start, end, round(value, 6)) for start, end, value in back.intervals("ring")]
        assert found == [(0, 300, 0.1), (300, 600, 0.2), (900, 1_000, 0.4)]
        assert np.isnan(back.values("ring", 600, 900)).all()
    features.write_bedgraph(tmp_path / "r.bedgraph", [ring], circular=CIRCULAR)
    lines = (tmp_path / "r.bedgraph").read_text().splitlines()
    assert lines == ["ring\t0\t300\t0.1", "ring\t300\t600\t0.2", "ring\t900\t1000\t0.4"]
    with pytest.raises(SettingsError, match="beyond the contig's 1000 bp"):
        features.write_bigwig(tmp_path / "r.bw", [ring], {"ring": 1_000})
    long = track([0.1] * 5, contig="ring", start=0, step=300, span=300)
    with pytest.raises(SettingsError, match="beyond"):
        features.write_bigwig(tmp_path / "r.bw", [long], {"ring": 1_000}, circular=CIRCULAR)


def test_bedgraph_is_in_the_order_that_converters_want(tmp_path):
    pieces = [track([0.5], start=100), track([0.1], contig="a"), track([0.25], start=20)]
    features.write_bedgraph(tmp_path / "t.bedgraph", pieces)
    rows = [line.split("\t")[:2] for line in (tmp_path / "t.bedgraph").read_text().splitlines()]
    assert rows == [["chrB", "20"], ["chrB", "100"], ["a", "20"]]


@pytest.mark.parametrize("pack", [str.encode, lambda text: gzip.compress(text.encode())])
def test_regions_are_merged_and_in_the_genomes_order(tmp_path, pack):
    path = tmp_path / "r.bed"
    text = (
        "track name=x\nchrA\t50\t60\nchrB\t9\t20\tn\t0\t-\nchrA 10 30\n"
        "chrA\t20\t40\nchrA\t40\t45\nchrB\t0\t300\n"
    )
    path.write_bytes(pack(text))
    found = features.read_regions(path, LENGTHS)
    assert found == {"chrB": [(0, 300)], "chrA": [(10, 45), (50, 60)]}
    assert list(found) == ["chrB", "chrA"]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("chrB\t0\t9\nchrQ\t0\t9\n", ["line 2", "no sequence named 'chrQ'", "at hand"]),
        ("B\t0\t9\n", ["line 1", "The genome calls it 'chrB'"]),
        ("chrB\t0\t301\n", ["line 1", "ends at 301", "300 bases"]),
        ("chrB\t5\t5\n", ["line 1", "no base"]),
        ("chrB\t9\t5\n", ["line 1", "0 <= start <= end"]),
        ("chrB\t5\n", ["line 1", "2 columns;"]),
        ("chrB\n", ["line 1", "1 column;"]),
        ("# nothing\n", ["holds no region"]),
    ],
)
def test_regions_that_are_refused(tmp_path, text, parts):
    path = tmp_path / "r.bed"
    path.write_text(text)
    with pytest.raises(TableError) as caught:
        features.read_regions(path, LENGTHS)
    for part in [str(path), *parts]:
        assert part in str(caught.value)
