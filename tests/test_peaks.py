import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genolm.errors import SettingsError
from genolm.peaks import CALL_COLUMNS, call_peaks, keep_best
from genolm.tracks import Track


def track(values, *, contig="c", strand="+", start=0, step=10, span=None):
    return Track(contig, strand, start, step, span or step, np.array(values, dtype=np.float32))


def rows(calls):
    return [(c, s, e, d, m, round(p, 4)) for c, s, e, d, m, p in calls.itertuples(index=False, name=None)]


def test_hand_computed_calls_on_both_strands():
    plus = track([0.1, 0.9, 0.8, 0.2, 0.2, 0.2, 0.7, 0.1], start=100)
    minus = track([0.6, 0.1, 0.1], strand="-", start=100)
    calls = call_peaks([plus, minus], threshold=0.6, window_length=40)
    assert list(calls.columns) == list(CALL_COLUMNS)
    assert rows(calls) == [
        ("c", 100, 110, "-", 105, 0.6),
        ("c", 110, 130, "+", 115, 0.9),
        ("c", 160, 170, "+", 165, 0.7),
    ]


def test_merge_distance_is_measured_between_sites_and_includes_its_end():
    values = [0.9, 0.0, 0.0, 0.8]
    merged = call_peaks([track(values)], threshold=0.5, window_length=1_000, merge_distance=30)
    apart = call_peaks([track(values)], threshold=0.5, window_length=1_000, merge_distance=29)
    assert rows(merged) == [("c", 0, 40, "+", 5, 0.9)]
    assert [row[1:3] for row in rows(apart)] == [(0, 10), (30, 40)]
    default = call_peaks([track(values)], threshold=0.5, window_length=60)
    assert rows(default) == rows(merged)


def test_neighbouring_windows_merge_even_when_the_stride_is_larger_than_the_distance():
    calls = call_peaks([track([0.9, 0.9], step=100)], threshold=0.5, window_length=20, merge_distance=0)
    assert rows(calls) == [("c", 0, 200, "+", 100, 0.9)]


def test_summit_is_the_middle_of_the_longest_plateau():
    calls = call_peaks([track([0.9, 0.5, 0.9, 0.9, 0.9, 0.5])], threshold=0.5, window_length=50)
    assert rows(calls) == [("c", 0, 60, "+", 35, 0.9)]
    tie = call_peaks([track([0.9, 0.5, 0.9])], threshold=0.5, window_length=50)
    assert rows(tie)[0][4] == 5
    hole = call_peaks([track([0.9, 0.9, 0.1, 0.9])], threshold=0.5, window_length=50)
    assert rows(hole) == [("c", 0, 40, "+", 10, 0.9)]


def test_plateau_with_bins_shorter_than_the_step():
    calls = call_peaks([track([0.9, 0.9, 0.9], step=100, span=11)], threshold=0.5, window_length=30)
    assert rows(calls) == [("c", 0, 211, "+", 105, 0.9)]


def test_threshold_is_inclusive_and_nan_is_no_hit():
    calls = call_peaks([track([0.7, np.nan, 0.69])], threshold=0.7, window_length=2)
    assert rows(calls) == [("c", 0, 10, "+", 5, 0.7)]


def test_calls_never_cross_contigs_and_keep_the_order_of_the_tracks():
    tracks = [track([0.9], contig="z"), track([0.9], contig="z", strand="-"), track([0.9], contig="a")]
    calls = call_peaks(tracks, threshold=0.5, window_length=1_000)
    assert [(row[0], row[3]) for row in rows(calls)] == [("z", "+"), ("z", "-"), ("a", "+")]


def test_pieces_of_a_track_give_the_calls_of_the_whole():
    rng = np.random.default_rng(3)
    whole = track(rng.random(500))
    pieces = [whole.between(2_500, 5_000), whole.between(0, 2_500)]
    expected = call_peaks([whole], threshold=0.8, window_length=30)
    assert len(expected) > 20
    pd.testing.assert_frame_equal(call_peaks(pieces, threshold=0.8, window_length=30), expected)
    with pytest.raises(SettingsError, match="overlap"):
        call_peaks([whole, whole], threshold=0.8, window_length=30)


def test_no_hits_give_an_empty_table_with_types():
    calls = call_peaks([track([0.1])], threshold=0.5, window_length=50)
    assert len(calls) == 0
    assert list(calls.columns) == list(CALL_COLUMNS)
    assert calls["start"].dtype == np.int64
    assert len(call_peaks([], threshold=0.5, window_length=50)) == 0


def test_calls_of_a_smooth_signal_hardly_depend_on_the_stride():
    position = np.arange(20_000)
    signal = sum(np.exp(-((position - centre) ** 2) / 2 / 40**2) for centre in (3_000, 9_005, 15_017))
    found = {}
    for step in (1, 5, 10, 20):
        sites = np.arange(step // 2, len(position), step)
        item = Track("c", "+", 0, step, step, signal[sites].astype(np.float32))
        found[step] = call_peaks([item], threshold=0.5, window_length=100)
    for step, calls in found.items():
        assert len(calls) == 3
        for name in ("start", "end", "summit"):
            assert np.abs(calls[name] - found[1][name]).max() <= step


def test_min_distance_keeps_the_best_summit():
    values = [0.6, 0, 0, 0.9, 0, 0, 0.7, 0, 0, 0.6]
    calls = call_peaks([track(values)], threshold=0.5, window_length=2, min_distance=40)
    assert [(row[4], row[5]) for row in rows(calls)] == [(35, 0.9), (95, 0.6)]
    assert len(call_peaks([track(values)], threshold=0.5, window_length=2, min_distance=30)) == 4


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 5)), max_size=25, unique_by=lambda item: item[0]),
    st.integers(0, 20),
)
def test_keep_best_equals_a_plain_greedy_loop(items, distance):
    positions, scores = [item[0] for item in items], [item[1] for item in items]
    kept = []
    for index in sorted(range(len(items)), key=lambda i: (-scores[i], positions[i])):
        if all(abs(positions[index] - positions[other]) >= distance for other in kept):
            kept.append(index)
    assert np.flatnonzero(keep_best(positions, scores, distance)).tolist() == sorted(kept)


def plain_calls(values, threshold, merge, step):
    hits = [i for i, value in enumerate(values) if value >= threshold]
    groups = []
    for hit in hits:
        if groups and (hit - groups[-1][-1]) * step <= max(merge, step):
            groups[-1].append(hit)
        else:
            groups.append([hit])
    result = []
    for group in groups:
        best = max(values[i] for i in group)
        runs = []
        for i in (i for i in group if values[i] == best):
            if runs and runs[-1][-1] == i - 1:
                runs[-1].append(i)
            else:
                runs.append([i])
        run = max(runs, key=len)
        summit = (run[0] * step + step // 2 + run[-1] * step + step // 2) // 2
        result.append((group[0] * step, (group[-1] + 1) * step, summit, best))
    return result


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 4), max_size=40), st.integers(0, 40), st.integers(1, 12))
def test_calls_equal_a_plain_loop(values, merge, step):
    calls = call_peaks([track(values, step=step)], threshold=2, window_length=9, merge_distance=merge)
    found = list(calls[["start", "end", "summit", "score"]].itertuples(index=False, name=None))
    assert found == plain_calls(values, 2, merge, step)


def test_millions_of_values_are_quick():
    values = np.random.default_rng(1).random(4_000_000, dtype=np.float32)
    began = time.process_time()
    calls = call_peaks([Track("c", "+", 0, 1, 1, values)], threshold=0.999, window_length=50, min_distance=30)
    assert time.process_time() - began < 2
    assert len(calls) > 1_000


@pytest.mark.parametrize(
    "fault", [{"threshold": np.nan}, {"window_length": 0}, {"merge_distance": -1}, {"min_distance": -1}]
)
def test_impossible_options_are_refused(fault):
    with pytest.raises(SettingsError):
        call_peaks([], **{"threshold": 0.5, "window_length": 10, **fault})


def circle(values, *, step=10, length=None, **options):
    """Return the calls of a circular contig that is covered from end to end."""
    length = len(values) * step if length is None else length
    options = {"threshold": 0.5, "window_length": 2, **options}
    return call_peaks([track(values, step=step)], circular={"c": length}, **options)


def test_a_run_over_the_origin_is_one_call():
    values = [0.7, 0.6, 0.1, 0.1, 0.1, 0.6, 0.1, 0.1, 0.9, 0.8]
    assert rows(circle(values)) == [("c", 50, 60, "+", 55, 0.6), ("c", 80, 120, "+", 85, 0.9)]
    assert len(call_peaks([track(values)], threshold=0.5, window_length=2)) == 3
    assert rows(circle([0.9, 0.6, 0.1, 0.1, 0.8])) == [("c", 40, 70, "+", 5, 0.9)]


def test_a_gap_over_the_origin_merges_like_any_other():
    values = [0.1, 0.8, 0.1, 0.1, 0.1, 0.1, 0.9, 0.1]
    assert rows(circle(values, merge_distance=30)) == [("c", 60, 100, "+", 65, 0.9)]
    assert len(circle(values, merge_distance=29)) == 2


def test_a_plateau_over_the_origin_has_its_middle_there():
    assert rows(circle([0.9, 0.9, 0.1, 0.1, 0.9])) == [("c", 40, 70, "+", 5, 0.9)]
    assert rows(circle([0.9, 0.1, 0.1, 0.9, 0.9])) == [("c", 30, 60, "+", 45, 0.9)]


def test_the_last_bin_of_a_circle_may_reach_over_the_origin():
    values = [0.1, 0.1, 0.9]
    calls = circle(values, length=28)
    assert rows(calls) == [("c", 20, 30, "+", 25, 0.9)]
    # The site of the last bin, 25, lies behind a contig of 24 bases: it is base 1.
    assert rows(circle(values, length=24)) == [("c", 20, 30, "+", 1, 0.9)]
    assert rows(circle([0.8, 0.1, 0.9], length=24)) == [("c", 20, 34, "+", 1, 0.9)]


@pytest.mark.parametrize("method", ["merge", "nms"])
def test_a_circle_without_a_gap_is_one_call(method):
    calls = circle([0.7, 0.6, 0.7, 0.8], method=method, min_distance=100)
    assert rows(calls) == [("c", 0, 40, "+", 35, 0.8)]
    assert rows(circle([0.7, 0.7], method=method))[0][1:3] == (0, 20)


def test_min_distance_reaches_over_the_origin():
    values = [0, 0.9, 0, 0, 0.6, 0, 0, 0.7]
    options = {"threshold": 0.5, "window_length": 2, "merge_distance": 0}
    assert [row[4] for row in rows(circle(values, min_distance=21, **options))] == [15, 45]
    assert [row[4] for row in rows(circle(values, min_distance=20, **options))] == [15, 45, 75]
    assert len(call_peaks([track(values)], min_distance=21, **options)) == 3


def test_suppression_by_hand():
    values = [0.5, 0.9, 0.6, 0.7, 0.8, 0.8, 0.5, 0.1, 0.6]
    calls = call_peaks([track(values)], threshold=0.5, window_length=60, min_distance=30, method="nms")
    # Summits 15 and 50 (the middle of 45 and 55); the last run's 85 lies 35 from 50 and stays.
    assert rows(calls) == [
        ("c", 0, 30, "+", 15, 0.9),
        ("c", 30, 70, "+", 50, 0.8),
        ("c", 80, 90, "+", 85, 0.6),
    ]
    hidden = call_peaks([track(values)], threshold=0.5, window_length=60, min_distance=36, method="nms")
    assert [row[4] for row in rows(hidden)] == [15, 85]
    assert rows(hidden)[0][2] == 50
    assert len(call_peaks([track(values)], threshold=0.5, window_length=200, method="nms")) == 1


def plain_summits(values, threshold, distance, step):
    """Return summits by non-maximum suppression of single values without ties."""
    walled = [0, *values, 0]
    tops = [
        place
        for place, value in enumerate(values)
        if value >= threshold and value > max(walled[place], walled[place + 2])
    ]
    kept = []
    for place in sorted(tops, key=lambda item: -values[item]):
        if all(abs(place - other) * step >= distance for other in kept):
            kept.append(place)
    return sorted(place * step + step // 2 for place in kept)


@settings(max_examples=40, deadline=None)
@given(st.permutations(range(1, 31)), st.integers(1, 25), st.integers(1, 60))
def test_suppression_equals_a_plain_loop_and_is_nested_in_the_threshold(order, threshold, distance):
    def found(at):
        return call_peaks([track(order)], threshold=at, window_length=20, min_distance=distance, method="nms")

    calls, lowest = found(threshold), found(1)
    assert calls["summit"].tolist() == plain_summits(order, threshold, distance, 10)
    assert calls["summit"].tolist() == lowest.loc[lowest["score"] >= threshold, "summit"].tolist()
    inside = calls["summit"].between(calls["start"], calls["end"] - 1)
    assert inside.all() and (calls["start"].to_numpy()[1:] >= calls["end"].to_numpy()[:-1]).all()


@settings(max_examples=50, deadline=None)
@given(
    st.permutations(range(1, 25)),
    st.integers(1, 22),
    st.integers(0, 24),
    st.integers(0, 40),
    st.integers(0, 90),
    st.sampled_from(["merge", "nms"]),
)
def test_turning_a_circle_turns_its_calls(order, threshold, turn, merge, distance, method):
    options = {"threshold": threshold, "merge_distance": merge, "min_distance": distance, "method": method}
    length = len(order) * 10
    expected = {
        ((start + turn * 10) % length, end - start, (summit + turn * 10) % length, score)
        for _, start, end, _, summit, score in rows(circle(order, **options))
    }
    calls = circle(np.roll(order, turn), **options)
    found = {(s % length, e - s, m, p) for _, s, e, _, m, p in rows(calls)}
    if len(calls) == 1 and calls["end"][0] - calls["start"][0] == length:
        expected = {(0, length, m, p) for _, _, m, p in expected}
    assert found == expected
    assert len(calls) == len(expected)
    assert (calls["start"] < length).all()
    assert ((calls["summit"] - calls["start"]) % length < calls["end"] - calls["start"]).all()


@pytest.mark.parametrize("stride, window", [(10, 81), (25, 81), (50, 120)])
def test_a_site_at_the_origin_is_one_call_at_every_stride(stride, window):
    length = 4_013
    signal = np.zeros(length)
    signal[1_940:2_060] = 0.9
    sites = np.arange(length // stride) * stride + stride // 2
    found = {}
    for turn in (0, length - 2_000):
        item = track(np.roll(signal, turn)[sites], step=stride)
        calls = call_peaks([item], threshold=0.5, window_length=window, circular={"c": length})
        (found[turn],) = calls[["start", "end", "summit"]].itertuples(index=False, name=None)
    start, end, summit = found[length - 2_000]
    assert abs(start - 3_953) <= stride and abs(end - 4_073) <= stride
    assert abs((summit + 100) % length - 100) <= stride
    assert abs(found[0][2] - 2_000) <= stride


@pytest.mark.parametrize("method", ["merge", "nms"])
def test_a_longer_step_over_the_origin_is_a_step(method):
    options = {"length": 59, "method": method, "min_distance": 1}
    assert rows(circle([0.8, 0.1, 0.1, 0.1, 0.9], **options)) == [("c", 40, 69, "+", 45, 0.9)]
    assert rows(circle([0.9, 0.1, 0.1, 0.1, 0.9], **options)) == [("c", 40, 69, "+", 54, 0.9)]
    assert rows(circle([0.7] * 5, **options)) == [("c", 0, 59, "+", 25, 0.7)]
    # One window lies between the two: they are two steps of 10 bp apart, as anywhere else.
    apart = circle([0.1, 0.9, 0.1, 0.1, 0.8], **options, merge_distance=19)
    assert [row[1:3] for row in rows(apart)] == [(10, 20), (40, 50)]
    if method == "merge":
        assert rows(circle([0.1, 0.9, 0.1, 0.1, 0.8], **options, merge_distance=20))[0][1:3] == (40, 79)


@settings(max_examples=50, deadline=None)
@given(
    st.permutations(range(1, 25)),
    st.integers(1, 22),
    st.integers(0, 24),
    st.integers(0, 40),
    st.integers(0, 9),
    st.sampled_from(["merge", "nms"]),
)
def test_turning_the_windows_of_a_circle_with_a_rest_turns_its_calls(order, threshold, turn, merge, rest, method):
    count, options = len(order), {"threshold": threshold, "merge_distance": merge, "min_distance": 1, "method": method}
    length = count * 10 + rest

    def found(values, back):
        calls = circle(values, length=length, **options)
        if len(calls) == 1 and calls["end"][0] - calls["start"][0] == length:
            return {("all round", calls["score"][0])}
        places = [calls["summit"] // 10]
        if method == "merge":  # the others are cut half-way between summits, which the rest moves
            places += [calls["start"] // 10, (calls["end"] - 10) % length // 10]
        return set(zip(*((place - back) % count for place in places), calls["score"], strict=True))

    assert found(np.roll(order, turn), turn) == found(order, 0)


def test_pieces_of_a_circle_may_lie_on_both_sides_of_the_origin():
    end = Track("c", "+", 70, 10, 10, np.array([0.1, 0.9, 0.8, 0.7], dtype=np.float32))
    calls = call_peaks([end], threshold=0.5, window_length=2, circular={"c": 100})
    assert rows(calls) == [("c", 80, 110, "+", 85, 0.9)]
    begin = Track("c", "+", 0, 10, 10, np.array([0.6], dtype=np.float32))
    with pytest.raises(SettingsError, match="overlap"):
        call_peaks([end, begin], threshold=0.5, window_length=2, circular={"c": 100})


def test_an_unknown_method_is_refused():
    with pytest.raises(SettingsError, match="merge, nms"):
        call_peaks([], threshold=0.5, window_length=10, method="best")
