"""Labelled tables: every dialect that spreadsheets write, and every bad row named."""

import csv
import gzip
from pathlib import Path

import pytest

from genolm.errors import TableError
from genolm.tables import read_table

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
    table = read_table(put(tmp_path, gzip.compress(raw) if packed else raw))
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
    text = refusal(put(tmp_path, "sequence,label\n" + "ACG!,1\n" * 25))
    assert "has 25 problems" in text
    assert text.count("\n  row ") == 10
    assert text.endswith("and 15 more")


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
        (b"PK\x03\x04\x14\x00xl/workbook", "not a CSV or TSV table but a zip archive or an Office document"),
        (PLAIN.encode("utf-16"), "UTF-16"),
        (gzip.compress(PLAIN.encode() * 100)[:-9], "truncated gzip"),
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
