"""Labelled tables: every dialect that spreadsheets write, and every bad row named."""

import csv
import gzip
from pathlib import Path

import pytest

from genolm.errors import SequenceError, SettingsError, TableError
from genolm.sequences import open_fasta
from genolm.tables import (
    column_names,
    guess_columns,
    labelled_rows,
    read_class_fastas,
    read_table,
    table_columns,
    with_split,
    write_table,
)


def gzipped(content):
    """Gzip, the same bytes at any time, so that tests have the same names in every process."""
    return gzip.compress(content, mtime=0)


PROTEIN = (
    "is no IUPAC nucleotide code and it looks like protein; genolm reads DNA and RNA, so give the nucleotide "
    "sequence (an unknown base is written N)"
)
PLAIN = "sequence,label\nACGT,1\nGGCC,0\n"


def put(folder: Path, content: str | bytes, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def refusal(path: Path, **options: bool) -> str:
    with pytest.raises(TableError) as caught:
        read_table(path, **options)
    return str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        PLAIN,
        PLAIN.replace("\n", "\r\n"),
        PLAIN.replace(",", "\t"),
        PLAIN.replace(",", ";"),
        PLAIN.replace(",", "|"),
        "\ufeff" + PLAIN,
        PLAIN.rstrip("\n"),
        "\n" + PLAIN.replace("\n", "\n\n"),
        'Sequence , LABEL\n"AC GT",1\n"GG\nCC"," 0"\n',
        "label,sequence\n1,ACGT\n0,GGCC\n",
        'sequence,label\n"ACGU",1\n"GGCC",0\n',
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_dialects_give_the_same_table(tmp_path: Path, content: str, packed: bool) -> None:
    raw = content.encode()
    table = read_table(put(tmp_path, gzipped(raw) if packed else raw))
    assert table.sequences == ["ACGT", "GGCC"]
    assert table.labels == ["1", "0"]
    assert list(table.frame.columns) == ["sequence", "label"]
    assert len(table) == 2


def test_labels_stay_the_words_that_were_written(tmp_path: Path) -> None:
    words = ["01", "1.0", "NA", "nan", "None", "TRUE", "1e3", "promoter, strong"]
    path = tmp_path / "t.csv"
    with open(path, "w", newline="") as stream:
        csv.writer(stream).writerows([["sequence", "label"], *(["ACGT", word] for word in words)])
    assert read_table(path).labels == words


@pytest.mark.parametrize("line", ["sep=;", '"sep=;"', "SEP=; ", "\ufeffsep=;"])
def test_the_line_of_excel_that_names_the_separator_is_no_header(tmp_path: Path, line: str) -> None:
    path = put(tmp_path, f"{line}\r\nsequence;label\r\nAC,1;x,y\r\nGG;b\r\n")
    assert table_columns(path) == ("sequence", "label")
    table = read_table(path, skip_bad_rows=True)
    assert list(table.frame.index) == [4] and table.labels == ["b"]
    assert [item.row for item in table.refused] == [3]
    tabbed = read_table(put(tmp_path, "sep=\t\nsequence\tlabel\nAC\t1,5;2\n"))
    assert tabbed.labels == ["1,5;2"] and list(tabbed.frame.index) == [3]


def test_optional_columns_and_others(tmp_path: Path) -> None:
    table = read_table(
        put(
            tmp_path,
            "name,score,sequence,label,Split,group,\n"
            "a,9,acgt,x,Validation,g1,\nb,8,NNRY,10,val,g1,\nc,7,A,9,DEV,g2,\n"
            "d,6,C,2,train,g,\ne,5,G,x,Test,g,\n",
        )
    )
    assert list(table.frame.columns) == ["sequence", "label", "split", "group", "name"]
    assert table.frame["split"].tolist() == ["valid", "valid", "valid", "train", "test"]
    assert table.sequences[:2] == ["acgt", "NNRY"]
    assert table.names == ["a", "b", "c", "d", "e"]
    assert table.ignored == ("score", "column 7")
    assert table.classes == ["2", "9", "10", "x"]
    assert table.part("valid")["name"].tolist() == ["a", "b", "c"]


def test_rows_are_counted_as_a_spreadsheet_does(tmp_path: Path) -> None:
    table = read_table(put(tmp_path, "sequence,label\n\nAC,1\n\nGT,2\n"))
    assert list(table.frame.index) == [3, 5]
    assert table.names == ["row 3", "row 5"]
    assert len(table.part("train")) == 0


def test_every_bad_row_is_named(tmp_path: Path) -> None:
    text = refusal(
        put(
            tmp_path,
            "sequence,label,split,group,name\n"
            "ACGT,1,train,g,n\n"
            ",1,train,g,n\n"
            "AC-T,,train,g,n\n"
            "MKELF,1,train,g,n\n"
            "ACGT,1,holdout,g,n\n"
            "ACGT,1,,g,\n"
            "ACGT,1,train\n"
            "A C Z,1,train,,n\n",
        )
    )
    assert text.splitlines()[0].endswith("t.csv has 10 problems; nothing of it was used:")
    assert [line.strip() for line in text.splitlines()[1:]] == [
        "row 3: the sequence is empty",
        "row 4: position 3 of the sequence: character '-' is an alignment gap; give the sequences unaligned, "
        "without gaps",
        "row 4: the label is empty",
        f"row 5: position 3 of the sequence: letter 'E' {PROTEIN}",
        "row 6: split 'holdout' must be one of train, valid, test",
        "row 7: the split is empty; it must be one of train, valid, test",
        "row 7: the name is empty",
        "row 8: 3 cells where the header has 5",
        f"row 9: position 3 of the sequence: letter 'Z' {PROTEIN}",
        "row 9: the group is empty",
    ]


def test_ten_problems_are_shown_and_all_are_counted(tmp_path: Path) -> None:
    text = refusal(put(tmp_path, "sequence,label,split\n" + "".join(f"ACG,1,part{row}\n" for row in range(25))))
    assert "has 25 problems" in text
    assert text.count("\n  row ") == 10
    assert text.endswith("and 15 more")


def test_rows_with_the_same_fault_stand_in_one_line(tmp_path: Path) -> None:
    gap = "character '-' is an alignment gap; give the sequences unaligned, without gaps"
    same = refusal(put(tmp_path, "sequence,label\n" + "AC-T,1\n" * 20))
    assert same.splitlines()[0].endswith("t.csv has 20 problems; nothing of it was used:")
    assert same.splitlines()[1:] == [f"  rows 2-21: position 3 of the sequence: {gap}"]
    rows = ["AC-T,1", "A-CT,", "GG,", "AC,1", "-,1", "A,", "AC,1", "A,", "AC,1", "A,", "AC,1", "A,", "AC,1", "A,", "A,"]
    assert refusal(put(tmp_path, "\n".join(["sequence,label", *rows]))).splitlines()[1:] == [
        f"  rows 2-3, 6: {gap}",
        "  rows 3-4, 7, 9, 11, 13 and 2 more: the label is empty",
    ]


def test_without_labels(tmp_path: Path) -> None:
    path = put(tmp_path, "sequence\nACGT\nGG\n")
    assert read_table(path, need_label=False).sequences == ["ACGT", "GG"]
    assert read_table(path, need_label=False).labels == []
    assert "no column 'label'; its columns are sequence" in refusal(path)
    partly = put(tmp_path, "sequence,label\nACGT,\nGG,1\n")
    assert read_table(partly, need_label=False).labels == ["", "1"]
    assert "row 2: the label is empty" in refusal(partly)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty"),
        (b"\xef\xbb\xbf \n", "is empty"),
        (b"sequence,label\n", "no rows"),
        (b"ACGT,1\nGG,0\n", "the first line is 'ACGT,1'"),
        (b"label,name\n1,a\n", "no column 'sequence'"),
        (b"sequence,label,SEQUENCE\nA,1,C\n", "'sequence' 2 times"),
        (b"sequence,label\nACGT,caf\xe9\n", "line 2: not UTF-8"),
        (b'sequence,label\nACGT,"1\nGG,0\n', "quotation"),
        (b'sequence,label\nACGT,"a"b\n', "row 2: .*quotation"),
        (b">a\nACGT\n", "is FASTA, not a table"),
        (b"@r1\nACGT\n+\nIIII\n", r"is FASTQ \(reads with qualities\), not a table; a table begins with"),
        (b"@r1,label\nACGT,1\n", "no column 'sequence'; its columns are @r1, label"),
        (b"<html><body>Login</body></html>", "not a CSV or TSV table but a web page or XML, perhaps a failed download"),
        (b"##gff-version 3\nchrX\tsrc\tgene\t1\t9\t.\t+\t.\tID=g\n", "table but a GFF annotation; a table begins with"),
        (b"ACGT;1\nGG;0\n", "the first line is 'ACGT;1'"),
        (b"sep=;\nACGT;1\n", "the first line is 'ACGT;1'"),
        (b"PK\x03\x04\x14\x00xl/workbook", "not a CSV or TSV table but a zip archive or an Office document"),
        (PLAIN.encode("utf-16"), "UTF-16"),
        (gzipped(PLAIN.encode() * 100)[:-9], "truncated gzip"),
    ],
)
def test_files_that_are_no_table(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = put(tmp_path, content)
    with pytest.raises(TableError, match=sentence) as caught:
        read_table(path)
    assert str(path) in str(caught.value)


def test_a_missing_file(tmp_path: Path) -> None:
    assert "There is no file" in refusal(tmp_path / "none.csv")


def test_a_sequence_longer_than_the_csv_modules_limit(tmp_path: Path) -> None:
    limit = csv.field_size_limit()
    table = read_table(put(tmp_path, f"sequence,label\n{'ACGT' * 100_000},1\n"))
    assert len(table.sequences[0]) == 400_000
    assert csv.field_size_limit() == limit


FAULTY = (
    "sequence,label,name\n"
    "ACGT,1,a\n"
    "AC-T,,b\n"
    'GGCC,"0,c\n'
    "TTTT,0,d\n"
    "AAAA,1\n"
    ",1,f\n"
    '"CC"CC,1,g\n'
    "GATTACA,0,h\n"
)


def test_bad_rows_can_be_left_out_and_are_listed(tmp_path: Path) -> None:
    table = read_table(put(tmp_path, FAULTY), skip_bad_rows=True)
    assert table.sequences == ["ACGT", "TTTT", "GATTACA"]
    assert list(table.frame.index) == [2, 5, 9]
    assert [(item.row, item.reason.partition(";")[0]) for item in table.refused] == [
        (3, "position 3 of the sequence: character '-' is an alignment gap"),
        (4, "a quotation mark is opened and not closed"),
        (6, "2 cells where the header has 3"),
        (7, "the sequence is empty"),
        (8, "a quotation mark stands at a wrong place (',' expected after '\"')"),
    ]
    assert table.refused[0].reason.endswith("; the label is empty")
    assert table.refused[0].text == "AC-T,,b" and table.refused[1].text == 'GGCC,"0,c'


def test_the_same_bad_rows_stop_a_strict_reader(tmp_path: Path) -> None:
    text = refusal(put(tmp_path, FAULTY))
    assert "has 6 problems" in text
    assert "row 4: a quotation mark is opened and not closed" in text and "row 9" not in text


def test_a_long_bad_row_is_shown_by_its_beginning(tmp_path: Path) -> None:
    table = read_table(put(tmp_path, f"sequence,label\nAC,1\n{'ACGT' * 100}!,1\n"), skip_bad_rows=True)
    assert len(table.refused[0].text) == 80 and table.refused[0].text.startswith("ACGTACGT")


def test_a_table_of_bad_rows_alone_is_refused(tmp_path: Path) -> None:
    path = put(tmp_path, "sequence,label\n!,1\n?,0\n")
    with pytest.raises(TableError, match="2 problems"):
        read_table(path, skip_bad_rows=True)


def test_rows_that_are_not_utf8_are_bad_rows(tmp_path: Path) -> None:
    path = put(tmp_path, "sequence,label,note\nAC,caf\xe9,x\nGT,tea,\xfc\n".encode("latin-1"))
    table = read_table(path, skip_bad_rows=True)
    assert table.labels == ["tea"]
    assert table.refused[0].row == 2 and "UTF-8" in table.refused[0].reason


def test_columns_with_other_names(tmp_path: Path) -> None:
    path = put(tmp_path, "id;Promoter Seq;class;split\na;ACGT;x;holdout\nb;GG;y;train\n")
    assert table_columns(path) == ("id", "Promoter Seq", "class", "split")
    assert guess_columns(table_columns(path)) == {"label": "class", "split": "split", "name": "id"}
    columns = {"sequence": "promoter seq", "label": "class", "name": "id", "split": ""}
    table = read_table(path, columns=columns)
    assert table.sequences == ["ACGT", "GG"] and table.labels == ["x", "y"] and table.names == ["a", "b"]
    assert list(table.frame.columns) == ["sequence", "label", "name"] and table.ignored == ("split",)


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"sequence": "seq"}, "no column 'seq' to take as 'sequence'; it has a, b, sequence"),
        ({"seq": "a"}, "no column 'seq' to name; possible are sequence, label"),
        ({"sequence": "a", "label": "A"}, "the column 'a' cannot be both sequence and label"),
        ({"label": ""}, "no column 'label'; its columns are a, b, sequence"),
        ({"label": "sequence"}, "no column 'sequence'; its columns"),
    ],
)
def test_wrong_names_of_columns(tmp_path: Path, columns: dict[str, str], sentence: str) -> None:
    path = put(tmp_path, "a,b,sequence\nAC,1,GG\n")
    with pytest.raises(TableError, match=sentence):
        read_table(path, columns=columns)


def test_columns_that_differ_in_case_can_be_told_by_name(tmp_path: Path) -> None:
    path = put(tmp_path, "sequence,SEQUENCE,label\nAC,GG,1\n")
    assert read_table(path, columns={"sequence": "SEQUENCE"}).sequences == ["GG"]


def test_what_the_command_line_says_of_columns() -> None:
    assert column_names(["sequence=dna", "split = "]) == {"sequence": "dna", "split": ""}
    for wrong in ("dna", "seq=dna"):
        with pytest.raises(SettingsError, match="write one of sequence, label"):
            column_names([wrong])


def test_one_fasta_per_class(tmp_path: Path) -> None:
    put(tmp_path, ";comment\n>a first\nACG\nT\n\n>b\r\nggu\r\n", "yes.fa")
    put(tmp_path, gzipped(b">a\nTTT\n"), "no.fna.gz")
    put(tmp_path, "not a sequence file", "readme.md")
    table = read_class_fastas({"yes": tmp_path / "yes.fa", "no": tmp_path / "no.fna.gz"})
    assert table.sequences == ["ACGT", "ggt", "TTT"]
    assert table.labels == ["yes", "yes", "no"] and table.names == ["a", "b", "a"]
    assert list(table.frame.index) == [2, 3, 4]
    folder = read_table(tmp_path)
    assert sorted(zip(folder.sequences, folder.labels, strict=True)) == [
        ("ACGT", "yes"),
        ("TTT", "no"),
        ("ggt", "yes"),
    ]


def test_bad_records_of_a_class_are_named_by_file_and_record(tmp_path: Path) -> None:
    files = {"x": put(tmp_path, ">a\nACGT\n>b\n>c\nMKELF\n", "x.fa"), "y": put(tmp_path, ">d\nGG\n", "y.fa")}
    with pytest.raises(TableError, match="x.fa, record 'b': the sequence is empty"):
        read_class_fastas(files)
    table = read_class_fastas(files, skip_bad_rows=True)
    assert table.sequences == ["ACGT", "GG"]
    assert [item.row for item in table.refused] == [2, 3]
    assert table.refused[1].reason.startswith("x.fa, record 'c': position 3")


def test_equal_faults_of_records_stand_in_one_line(tmp_path: Path) -> None:
    bad = "".join(f">r{number}\nAC-T\n" for number in range(7))
    files = {"x": put(tmp_path, bad, "x.fa"), "y": put(tmp_path, ">d\nG-\n", "y.fa")}
    with pytest.raises(TableError) as caught:
        read_class_fastas(files, skip_bad_rows=True)
    first, second = str(caught.value).splitlines()[1:]
    assert first.startswith("  x.fa, records 'r0', 'r1', 'r2', 'r3', 'r4' and 2 more: position 3 of the sequence: ")
    assert second.startswith("  y.fa, record 'd': position 2 of the sequence: ")


def test_names_in_a_windows_code_page_are_read_as_the_fasta_reader_reads_them(tmp_path: Path) -> None:
    windows, mac = put(tmp_path, ">\u00dcber\u00e9\nACGT\n".encode("cp1252"), "x.fa"), put(tmp_path, ">d\rGG\r", "y.fa")
    table = read_class_fastas({"x": windows, "y": mac})
    assert table.names == ["\u00dcber\u00e9", "d"] and table.sequences == ["ACGT", "GG"]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("@r1\nACGT\n+\nIIII\n", "b.fa is not FASTA but a FASTQ file .*seqtk seq -a"),
        ("##gff-version 3\n", "b.fa is not FASTA but a GFF annotation"),
        ("<!DOCTYPE html>", "b.fa is not FASTA but a web page"),
        ("ACGT\n", "b.fa is not FASTA: line 1 begins 'ACGT'.* Put a line such as >name above the letters"),
    ],
)
def test_what_is_no_fasta_is_named_as_the_fasta_reader_names_it(tmp_path: Path, content: str, sentence: str) -> None:
    files = {"a": put(tmp_path, ">a\nAC\n", "a.fa"), "b": put(tmp_path, content, "b.fa")}
    with pytest.raises(TableError, match=sentence):
        read_class_fastas(files)
    with pytest.raises(SequenceError, match=sentence):
        open_fasta(files["b"])


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({"a.fa": ">a\nAC\n"}, "holds 1 FASTA files"),
        ({"a.fa": ">a\nAC\n", "a.fasta": ">b\nAC\n"}, "two FASTA files for the class 'a'"),
        ({"a.fa": ">a\nAC\n", "b.fa": "ACGT\n"}, "b.fa is not FASTA"),
        ({"a.fa": ">a\nAC\n", "b.fa": ""}, "b.fa is empty"),
    ],
)
def test_folders_that_are_no_classes(tmp_path: Path, files: dict[str, str], sentence: str) -> None:
    for name, content in files.items():
        put(tmp_path, content, name)
    with pytest.raises(TableError, match=sentence):
        read_table(tmp_path)


@pytest.mark.parametrize("name", ["out.csv", "out.csv.gz"])
def test_a_written_table_reads_the_same(tmp_path: Path, name: str) -> None:
    content = 'sequence,label,group,name\nACGT,"a;b",g,"x, ""y"""\nGG,b,h,\u00e9\n'
    table = read_table(put(tmp_path, content))
    divided = with_split(table, ["train", "test"])
    write_table(tmp_path / name, divided)
    again = read_table(tmp_path / name)
    assert list(again.frame.columns) == ["sequence", "label", "split", "group", "name"]
    assert again.frame.equals(divided.frame)


def test_rows_without_a_label_are_set_apart(tmp_path: Path) -> None:
    path = put(tmp_path, "sequence,label\nACGT,x\nGG,\nTT,y\n")
    table = labelled_rows(read_table(path, need_label=False))
    assert table.labels == ["x", "y"] and table.unlabelled == ("GG",)
    path = put(tmp_path, "sequence,label,split,group\nACGT,x,train,g\nGG,,test,h\nTT,y,valid,g\n")
    read = read_table(path, need_label=False)
    assert read.unlabelled == ()
    aside = labelled_rows(read).without_label
    assert aside is not None and aside.loc[3].to_list() == ["GG", "", "test", "h"] and len(aside) == 1
    for content, sentence in (("sequence,label\nAC,\n", "every label is empty"), ("sequence\nAC\n", "no column")):
        with pytest.raises(TableError, match=sentence):
            labelled_rows(read_table(put(tmp_path, content), need_label=False))
