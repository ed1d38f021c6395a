import json
import time

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score

from genolm.bootstrap import wilson
from genolm.errors import SettingsError
from genolm.peaks import call_peaks
from genolm.site_matching import judge_calls
from genolm.tracks import Track
from genolm.truth import TruthCurve, counted_sites, scored_pieces, truth_curve
from genolm.truth_intervals import Blocks, precision_interval, score_intervals

OPTIONS = {"tolerance": 10, "window_length": 40}


def spikes(scores, *, strand="+", gap=20):
    """Return a track with one peak for each score, 200 bp apart, and where the peaks' summits are."""
    values = np.full(len(scores) * gap, 0.001, dtype=np.float32)
    values[::gap] = scores
    return Track("c", strand, 0, 10, 10, values), np.arange(len(scores)) * gap * 10 + 5


def sites_at(places, strand="+"):
    return pd.DataFrame({"contig": "c", "position": np.asarray(places, dtype=np.int64), "strand": strand})


def test_a_curve_by_hand():
    track, summits = spikes([0.9, 0.8, 0.7, 0.6])
    # Right, wrong, right, wrong; one site more that no call reaches.
    sites = sites_at([summits[0] + 10, summits[2] - 10, 777])
    curve = truth_curve([track], sites, thresholds=[0.85, 0.65, 0.75, 0.95], **OPTIONS)
    rows = curve.table.set_index("threshold")
    assert rows.index.tolist() == [0.65, 0.75, 0.85, 0.95]
    assert rows["calls"].tolist() == [3, 2, 1, 0]
    assert rows["true_calls"].tolist() == [2, 1, 1, 0]
    assert rows["precision"].tolist()[:3] == pytest.approx([2 / 3, 1 / 2, 1])
    assert np.isnan(rows["precision"][0.95]) and rows["f1"][0.95] == 0
    assert rows["recall"].tolist() == pytest.approx([2 / 3, 1 / 3, 1 / 3, 0])
    assert rows["pairs"].tolist() == [2, 1, 1, 0]
    # Recall rises at the first call (precision 1) and the third (2/3), each time by a third.
    assert curve.auprc == pytest.approx((1 + 2 / 3) / 3)
    assert curve.sites == 3
    assert curve.best["threshold"] == 0.65


def test_auprc_is_average_precision_also_with_equal_scores(rng):
    scores = np.round(rng.uniform(0.1, 0.9, 200), 1)
    track, summits = spikes(scores)
    right = rng.random(200) < scores
    curve = truth_curve([track], sites_at(summits[right]), **OPTIONS)
    assert curve.auprc == pytest.approx(average_precision_score(right, scores.astype(np.float32)), abs=1e-6)


@pytest.mark.parametrize("method", ["merge", "nms"])
def test_each_row_is_what_calls_made_anew_give(rng, method):
    walk = np.convolve(rng.random(6_000), np.ones(5) / 5, "same").astype(np.float32)
    tracks = [Track("c", sign, 0, 10, 10, part) for sign, part in zip("+-", np.split(walk, 2), strict=True)]
    sites = pd.concat([sites_at(rng.integers(0, 30_000, 80), sign) for sign in "+-"], ignore_index=True)
    given = {"circular": {"c": 30_000}, "merge_distance": 20, "min_distance": 30, "method": method}
    curve = truth_curve(tracks, sites, tolerance=25, window_length=40, **given)
    assert 30 < len(curve.table) <= 60
    kept = sites.drop_duplicates(["position", "strand"])
    for row in curve.table.iloc[::7].to_dict("records"):
        calls = call_peaks(tracks, threshold=row["threshold"], window_length=40, **given)
        found = judge_calls(calls, kept, tolerance=25, circular={"c": 30_000})
        assert {name: row[name] for name in found} == pytest.approx(found)


def test_sites_that_cannot_be_found_are_counted_apart():
    track, summits = spikes([0.9, 0.8])
    sites = pd.concat(
        [sites_at([summits[0], summits[0], 5_000]), sites_at([summits[1]], "-"), sites_at([summits[1]], ".")],
        ignore_index=True,
    )
    curve = truth_curve([track], sites, **OPTIONS)
    assert (curve.sites, curve.outside, curve.unstranded, curve.strand_aware) == (1, 2, 1, True)
    blind = truth_curve([track], sites_at(summits, "."), **OPTIONS)
    assert (blind.sites, blind.unstranded, blind.strand_aware, blind.auprc) == (2, 0, False, 1.0)
    with pytest.raises(SettingsError, match="contigs of the sites: c; of the scan: x"):
        truth_curve([Track("x", "+", 0, 10, 10, track.values)], sites, **OPTIONS)


def test_the_sites_that_count_are_those_of_the_curve_and_lie_where_scores_are():
    track, summits = spikes([0.9, 0.8, 0.7, 0.6])
    track.values[15:30] = np.nan  # scores end at 150 and begin again at 300
    whole = sites_at([*summits, 155, 165, 295, 285, 225, 225])
    tracks = scored_pieces([track, Track("none", "+", 0, 10, 10, track.values[15:30])])
    assert [(piece.start, len(piece)) for piece in tracks] == [(0, 15), (300, 50)]
    counted = counted_sites(tracks, whole, tolerance=10)
    assert counted.sites["position"].tolist() == [summits[0], summits[2], summits[3], 155, 295]
    curve = truth_curve(tracks, whole, thresholds=[0.65], **OPTIONS)
    assert (curve.sites, curve.outside) == (len(counted.sites), counted.outside) == (5, 4)
    calls = call_peaks(tracks, threshold=0.65, window_length=40)
    pd.testing.assert_frame_equal(calls, call_peaks([track], threshold=0.65, window_length=40))
    found = judge_calls(calls, counted.sites, **counted.rules)
    assert {name: curve.table.iloc[0][name] for name in found} == pytest.approx(found)
    assert found["recall"] == 2 / 5
    # Tracks as they are count from end to end: no score may also be the answer of what is compared.
    assert truth_curve([track], whole, **OPTIONS).sites == 9


def test_a_curve_survives_json():
    track, summits = spikes([0.9, 0.8, 0.7, 0.6] * 10)
    curve = truth_curve([track], sites_at(summits[::2]), draws=50, thresholds=[0.5, 0.75, 0.99], **OPTIONS)
    again = TruthCurve.from_json(json.loads(json.dumps(curve.to_json(), allow_nan=False)))
    pd.testing.assert_frame_equal(again.table, curve.table)
    same = ("auprc", "sites", "tolerance", "outside", "unstranded", "strand_aware", "auprc_interval")
    assert [getattr(again, name) for name in same] == [getattr(curve, name) for name in same]
    with pytest.raises(SettingsError, match="format 2"):
        TruthCurve.from_json({**curve.to_json(), "format_version": 2})


def test_intervals_of_single_items_are_those_of_a_share():
    calls, right = np.ones(400), np.r_[np.ones(100), np.zeros(300)]
    found = score_intervals([calls, right, right], np.ones(400), 2000, 1)
    share = wilson(100, 400)
    for name in ("precision", "recall"):
        assert found[name].value == 0.25
        assert found[name].low == pytest.approx(share.low, abs=0.01)
        assert found[name].high == pytest.approx(share.high, abs=0.01)


def test_the_interval_of_auprc_lies_round_it_and_follows_the_seed(rng):
    scores = rng.uniform(0.1, 0.9, 3_000)
    track, summits = spikes(scores)
    sites = sites_at(summits[rng.random(3_000) < scores**2])
    given = {"thresholds": [0.5], "draws": 200, **OPTIONS}
    curve = truth_curve([track], sites, **given)
    low, high = curve.auprc_interval
    assert low < curve.auprc < high and high - low < 0.15
    assert truth_curve([track], sites, **given).auprc_interval == (low, high)
    assert truth_curve([track], sites, seed=2, **given).auprc_interval != (low, high)
    row = curve.table.iloc[0]
    assert row["precision_low"] < row["precision"] < row["precision_high"]
    none = {"block": np.zeros(1, int), "score": np.array([-np.inf])}
    assert precision_interval({**none, "true": np.array([False])}, none, 1, 10, 1).value == 0


def scored_at(*stretches, contig="c"):
    """Return a track from base 0 with scores in these stretches alone."""
    values = np.full(stretches[-1][1] // 10, np.nan, dtype=np.float32)
    for first, last in stretches:
        values[first // 10 : last // 10] = 0.5
    return Track(contig, "+", 0, 10, 10, values)


@pytest.mark.parametrize(
    ("bases", "window", "size", "count"),
    [
        (3_000_000, 100, 50_000, 60),
        (1_000_000, 100, 50_000, 20),
        (600_000, 100, 30_000, 20),
        (40_000, 100, 2_000, 20),
        (40_000, 1_000, 10_000, 4),
        (20_000, 100, 2_000, 10),
        (600_000, 10_000, 50_000, 12),
        (2_000, 100, 2_000, 1),
        (200_000_000, 100, 100_000, 2_000),
    ],
)
def test_small_scans_have_small_blocks_down_to_a_least_size(bases, window, size, count):
    step = max(10, bases // 100_000)
    for first in (0, 4_000_000):
        blocks = Blocks.of([Track("c", "+", first, step, step, np.ones(bases // step))], window=window)
        assert (blocks.size, blocks.count) == (size, count)


def test_blocks_begin_at_the_first_scanned_base_and_hold_scores():
    plus, minus = scored_at((4_025_000, 4_625_000), (6_000_000, 6_600_000)), scored_at((4_050_000, 4_100_000))
    unscored = Track("e", "+", 0, 10, 10, np.full(9, np.nan))
    blocks = Blocks.of([plus, minus, scored_at((0, 30_000), contig="d"), unscored])
    assert (blocks.size, blocks.count) == (50_000, 12 + 13 + 1)
    places = pd.Series([0, 4_074_999, 4_075_000, 4_700_000, 6_599_999, 29_999, 99_000, 5])
    assert blocks.number(pd.Series(list("cccccdde")), places).tolist() == [0, 0, 1, 11, 24, 25, 25, 0]


def test_a_region_has_the_interval_of_the_same_scan_anywhere(rng):
    scores = rng.uniform(0.1, 0.9, 200)
    track, summits = spikes(scores)
    right = summits[rng.random(200) < scores]
    given = {"thresholds": [0.5], "draws": 200, **OPTIONS}
    curve = truth_curve([track], sites_at(right), **given)
    low, high = curve.auprc_interval
    assert low < curve.auprc - 0.02 < curve.auprc + 0.02 < high
    far = truth_curve([Track("c", "+", 4_000_000, 10, 10, track.values)], sites_at(right + 4_000_000), **given)
    assert far.auprc_interval == curve.auprc_interval
    pd.testing.assert_frame_equal(far.table, curve.table)
    assert truth_curve([track], sites_at(right), blocks=Blocks.of([track]), **given).auprc_interval == (low, high)
    one = truth_curve([track], sites_at(right), blocks=Blocks(50_000, {"c": np.zeros(1, int)}), **given)
    assert np.isnan([*one.auprc_interval, *one.table.iloc[0][["f1_low", "precision_high"]]]).all()
    assert TruthCurve.from_json(one.to_json()).auprc == curve.auprc


def test_sixty_thresholds_of_a_bacterial_genome_are_quick():
    rng = np.random.default_rng(0)
    # A quarter of E. coli at stride 10, both strands.
    values = 1 / (1 + np.exp(3 - 1.5 * np.convolve(rng.normal(size=232_003), np.ones(4) / 2, "valid")))
    tracks = [Track("c", sign, 0, 10, 10, part) for sign, part in zip("+-", np.split(values, 2), strict=True)]
    sites = pd.concat([sites_at(rng.integers(0, 1_160_000, 500), sign) for sign in "+-"])
    began = time.process_time()
    curve = truth_curve(tracks, sites, tolerance=20, window_length=80, circular={"c": 1_160_000})
    assert time.process_time() - began < 1.5
    assert len(curve.table) > 50


def test_a_negative_tolerance_is_refused():
    with pytest.raises(SettingsError, match="tolerance is -1"):
        truth_curve([], sites_at([1]), tolerance=-1, window_length=5)
