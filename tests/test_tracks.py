import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genolm.errors import SettingsError
from genolm.tracks import Track, concatenate

NAN = float("nan")


def track(values, start=100, step=10, span=10, strand="+", contig="chr1"):
    return Track(contig, strand, start, step, span, np.array(values, dtype=np.float32))


def test_coordinates_of_values():
    item = track([1, 2, 3], start=100, step=10, span=5)
    assert item.starts.tolist() == [100, 110, 120]
    assert item.sites.tolist() == [102, 112, 122]
    assert (len(item), item.end) == (3, 125)
    assert track([]).end == 100


def test_values_at_reads_bins_and_nothing_between_or_beyond():
    item = track([1, NAN, 3], start=100, step=10, span=5)
    found = item.values_at([99, 100, 104, 105, 110, 120, 124, 125, 10_000])
    assert np.array_equal(found, np.float32([NAN, 1, 1, NAN, NAN, 3, 3, NAN, NAN]), equal_nan=True)


def test_between_keeps_whole_values_that_overlap():
    item = track([0, 1, 2, 3], start=100, step=10, span=5)
    assert item.between(104, 121).values.tolist() == [0, 1, 2]
    assert item.between(105, 120).values.tolist() == [1]
    assert item.between(105, 120).start == 110
    assert item.between(0, 50).values.tolist() == []
    assert item.between(500, 600).values.tolist() == []


def test_binned_max_keeps_the_peak_and_where_it_is():
    values = np.zeros(1_000, dtype=np.float32)
    values[637] = 0.9
    bins = track(values, start=0).binned_max(10)
    assert bins.values.tolist() == pytest.approx([0] * 6 + [0.9] + [0] * 3)
    assert bins.starts.tolist() == list(range(0, 10_000, 1_000))
    assert bins.ends.tolist() == list(range(1_000, 10_001, 1_000))
    assert bins.sites[6] == 6_375


def test_binned_max_of_gaps_is_nan_only_where_all_is_missing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bins = track([NAN, NAN, NAN, 0.5, 0.2, NAN]).binned_max(3)
    assert np.array_equal(bins.values, np.float32([NAN, 0.5, 0.2]), equal_nan=True)


def test_binned_max_zoomed_in_gives_the_values_themselves():
    bins = track([1, 5, 2, 4]).binned_max(100, 110, 130)
    assert bins.values.tolist() == [5, 2]
    assert bins.starts.tolist() == [110, 120]
    assert len(track([1, 2]).binned_max(5, 900, 950).values) == 0


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.just(NAN), st.floats(0, 1, width=32)), min_size=1, max_size=60),
       st.integers(1, 80), st.integers(0, 700), st.integers(0, 700))
def test_binned_max_equals_a_plain_loop(values, count, start, end):
    item = track(values, start=50, step=10, span=7)
    bins = item.binned_max(count, start, end)
    inside = [i for i in range(len(values)) if 50 + 10 * i < end and 57 + 10 * i > start]
    assert len(bins.values) == min(count, len(inside))
    if not inside:
        return
    assert np.array_equal(np.fmax.reduce(bins.values), np.fmax.reduce(item.values[inside]), equal_nan=True)
    for left, right, site, height in zip(*bins, strict=True):
        members = [i for i in inside if left <= 50 + 10 * i < right]
        assert np.array_equal(height, np.fmax.reduce(item.values[members]), equal_nan=True)
        if not np.isnan(height):
            assert item.values_at([site])[0] == height


def test_runs_skip_gaps_and_split_at_the_limit():
    item = track([1, 2, NAN, NAN, 3, 4, 5], start=100)
    assert [(at, part.tolist()) for at, part in item.runs()] == [(100, [1, 2]), (140, [3, 4, 5])]
    pieces = [(at, part.tolist()) for at, part in item.runs(limit=5)]
    assert pieces == [(100, [1, 2]), (140, [3]), (150, [4, 5])]


def test_concatenate_restores_a_cut_track_and_fills_gaps():
    whole = track(np.arange(20))
    pieces = [whole.between(200, 300), whole.between(0, 200)]
    assert concatenate(pieces).values.tolist() == list(range(20))
    gap = concatenate([whole.between(0, 120), whole.between(140, 160)])
    assert np.array_equal(gap.values, np.float32([0, 1, NAN, NAN, 4, 5]), equal_nan=True)
    assert gap.start == 100


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (track([1], start=110), "overlap"),
        (track([1], start=125), "grid"),
        (track([1], start=200, span=5), "step and span"),
        (track([1], start=200, strand="-"), "strands"),
        (track([1], start=200, contig="chr2"), "contigs"),
    ],
)
def test_concatenate_refuses_what_does_not_fit(other, reason):
    with pytest.raises(SettingsError, match=reason):
        concatenate([track([1, 2]), other])


@pytest.mark.parametrize(
    "fault", [{"strand": "x"}, {"start": -1}, {"step": 0}, {"span": 11}, {"span": 0}, {"values": [[1], [2]]}]
)
def test_impossible_tracks_are_refused(fault):
    with pytest.raises(SettingsError):
        track(**{"values": [1], **fault})


def test_nothing_to_join():
    with pytest.raises(SettingsError, match="no track"):
        concatenate([])
