"""Regions: what people type, what is shown, and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genolm.errors import RegionError
from genolm.regions import Region, parse_region

CONTIGS = {"chr1": 5_000_000, "chr2": 1_000, "HLA-A*01:01": 300, "odd:1-2": 50}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("chr1:1-10", Region("chr1", 0, 10)),
        ("chr1:1,000-2,000", Region("chr1", 999, 2000)),
        ("chr1:1K-2M", Region("chr1", 999, 2_000_000)),
        ("chr1:1.5m-2.25Mb", Region("chr1", 1_499_999, 2_250_000)),
        (" chr1 : 5 .. 9 ", Region("chr1", 4, 9)),
        ("chr1:5\u20139", Region("chr1", 4, 9)),
        ("chr1:7", Region("chr1", 6, 7)),
        ("chr1:7-9(-)", Region("chr1", 6, 9, "-")),
        ("HLA-A*01:01:5-6", Region("HLA-A*01:01", 4, 6)),
        ("chr1:10bp-20bp", Region("chr1", 9, 20)),
    ],
)
def test_what_people_type(text: str, expected: Region) -> None:
    assert parse_region(text) == expected
    assert parse_region(text, contigs=CONTIGS) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("chr2", Region("chr2", 0, 1000)),
        ("chr2 (-)", Region("chr2", 0, 1000, "-")),
        ("chr2:901-", Region("chr2", 900, 1000)),
        ("HLA-A*01:01", Region("HLA-A*01:01", 0, 300)),
        ("odd:1-2", Region("odd:1-2", 0, 50)),
        ("odd:1-2:3-4", Region("odd:1-2", 2, 4)),
        ("chr2:1-1000", Region("chr2", 0, 1000)),
    ],
)
def test_lengths_complete_what_was_left_out(text: str, expected: Region) -> None:
    assert parse_region(text, contigs=CONTIGS) == expected


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "not a region"),
        ("chr1", "not a region"),
        ("chr1:", "not a region"),
        ("chr1:x-y", "not a region"),
        (":1-2", "not a region"),
        ("chr1:-5-10", "not a region"),
        ("chr1:0-10", "begin at 1"),
        ("chr1:10-9", "from 10 to 9"),
        ("chr1:1.2345K-2K", "whole number"),
        ("chr1:1.5-3", "whole number"),
        ("chr1:5-", "no end"),
    ],
)
def test_refused_without_lengths(text: str, sentence: str) -> None:
    with pytest.raises(RegionError, match=sentence):
        parse_region(text)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("chrX", "no sequence named 'chrX'; at hand: chr1, chr2"),
        ("chrX:1-2", "no sequence named 'chrX'"),
        ("chrX:1-", "no sequence named 'chrX'"),
        ("chr2:1-1001", "1,000 bases"),
        ("chr2:1001-", "from 1001 to 1000"),
    ],
)
def test_refused_with_lengths(text: str, sentence: str) -> None:
    with pytest.raises(RegionError, match=sentence):
        parse_region(text, contigs=CONTIGS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("chr2:901-100", Region("chr2", 900, 1100)),
        ("chr2:901-1,100", Region("chr2", 900, 1100)),
        ("chr2:1K-1 (-)", Region("chr2", 999, 1001, "-")),
        ("chr2:501-500", Region("chr2", 500, 1500)),
        ("chr2:901-1000", Region("chr2", 900, 1000)),
        ("chr2:901-", Region("chr2", 900, 1000)),
        ("chr2", Region("chr2", 0, 1000)),
    ],
)
def test_a_circle_goes_on_over_its_origin(text: str, expected: Region) -> None:
    assert parse_region(text, contigs=CONTIGS, circular={"chr2"}) == expected


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("chr1:901-100", "from 901 to 100; its end must not lie before its start"),
        ("chr2:1001-100", "from 1001 to 100; its end must not lie before its start"),
        ("chr2:501-1501", "ends after chr2, which has 1,000 bases"),
        ("chr2:1001-1100", "ends after chr2, which has 1,000 bases"),
    ],
)
def test_over_the_origin_goes_at_most_one_round_of_a_circle(text: str, sentence: str) -> None:
    with pytest.raises(RegionError, match=sentence):
        parse_region(text, contigs=CONTIGS, circular={"chr2"})


def test_a_long_list_of_names_is_cut() -> None:
    with pytest.raises(RegionError, match=r"c0, c1, c2, c3, c4 and 95 more"):
        parse_region("z:1-1", contigs={f"c{number}": 10 for number in range(100)})


@pytest.mark.parametrize("values", [("", 0, 1, "+"), ("c", -1, 1, "+"), ("c", 3, 3, "+"), ("c", 0, 1, ".")])
def test_an_impossible_region_cannot_be_made(values: tuple[str, int, int, str]) -> None:
    with pytest.raises(RegionError):
        Region(*values)


@given(
    st.integers(0, 10**10),
    st.integers(1, 10**9),
    st.sampled_from("+-"),
    st.sampled_from(["chr1", "a:b", "x(y)"]),
)
def test_shown_and_read_again_is_the_same(start: int, length: int, strand: str, contig: str) -> None:
    region = Region(contig, start, start + length, strand)
    assert parse_region(str(region)) == region
    assert region.length == length


def test_shown_as_browsers_do() -> None:
    assert str(Region("chr1", 0, 10)) == "chr1:1-10"
    assert str(Region("chr1", 0, 10, "-")) == "chr1:1-10(-)"
