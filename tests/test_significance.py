import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genolm.errors import SettingsError
from genolm.peaks import call_peaks
from genolm.significance import MOST_SCORES, Background, scored_megabases
from genolm.tracks import Track


def test_expectations_by_hand():
    background = Background(np.array([0.2, 0.9, 0.5, 0.5]), 2.0, 0.1)
    assert background.scores.tolist() == pytest.approx([0.9, 0.5, 0.5, 0.2])
    assert background.expected_per_mb(0.5) == 1.5
    assert background.expected_per_mb(np.array([0.95, 0.9, 0.1])).tolist() == [0, 0.5, 2]
    assert background.resolution == 0.5
    # Garwood's interval of a count of 3 is 0.62 to 8.77, of 0 it is 0 to 3.69.
    three = background.interval_per_mb(0.5)
    assert (three.low, three.high) == pytest.approx((0.6187 / 2, 8.7673 / 2), abs=1e-3)
    none = background.interval_per_mb(0.95)
    assert (none.value, none.low, none.high) == pytest.approx((0, 0, 3.6889 / 2), abs=1e-3)


def test_q_values_by_hand():
    background = Background(np.array([0.6, 0.3]), 4.0, 0.1)
    # Seen and false: at 0.9 one and (0 + 1) / 4 x 2 = 0.5; at 0.7 two and 0.5; at 0.5 three and 1.
    found = background.q_values(np.array([0.5, 0.9, 0.7, 0.05]), 2.0)
    assert found.tolist() == pytest.approx([1 / 3, 0.25, 0.25, 1.0])
    assert background.q_values(np.array([]), 2.0).shape == (0,)


def plain_q_values(scores, false, ratio):
    rates = {
        t: min(1.0, (sum(b >= t for b in false) + 1) * ratio / sum(s >= t for s in scores)) for t in scores
    }
    return [min(rates[t] for t in scores if t <= score) for score in scores]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(1, 20), min_size=1, max_size=30),
    st.lists(st.integers(0, 20), max_size=30),
    st.floats(0.1, 10),
)
def test_q_values_equal_a_plain_computation_and_never_rise_with_the_score(scores, false, ratio):
    background = Background(np.array(false, dtype=float), 5.0)
    found = background.q_values(np.array(scores, dtype=float), 5.0 * ratio)
    assert found.tolist() == pytest.approx(plain_q_values(scores, false, ratio))
    assert (np.diff(found[np.argsort(scores, kind="stable")]) <= 1e-12).all()


def test_chance_calls_get_no_small_q_values_and_true_ones_do():
    rng = np.random.default_rng(1)
    background = Background(rng.beta(1, 3, 4_000), 4.0)
    chance = background.q_values(rng.beta(1, 3, 4_000), 4.0)
    assert (chance < 0.1).mean() < 0.01
    mixed = background.q_values(np.r_[rng.beta(1, 3, 4_000), rng.uniform(0.97, 1, 300)], 4.0)
    assert (mixed[4_000:] < 0.05).all() and (mixed[:4_000] < 0.05).mean() < 0.01


@pytest.mark.parametrize(("wanted", "calls"), [(0, 0), (0.4, 0), (0.5, 1), (1.0, 1), (1.5, 3), (9, 4)])
def test_the_threshold_for_an_expectation_is_the_lowest(wanted, calls):
    background = Background(np.array([0.2, 0.9, 0.5, 0.5]), 2.0, 0.1)
    threshold = background.threshold_for(wanted)
    assert background.count(threshold) == calls
    assert background.expected_per_mb(threshold) <= wanted
    lower = float(np.nextafter(np.float32(threshold), np.float32(0)))
    assert threshold == background.floor or background.expected_per_mb(lower) > wanted


def test_tracks_become_a_background_of_single_summits():
    rng = np.random.default_rng(5)
    values = rng.random((2, 2_000)).astype(np.float32)
    values[0, :100] = np.nan
    tracks = [Track("s", sign, 0, 10, 10, row) for sign, row in zip("+-", values, strict=True)]
    assert scored_megabases(tracks) == pytest.approx(0.039)
    background = Background.from_tracks(tracks, window_length=40, floor=0.3)
    assert background.floor == np.float32(0.3) and background.megabases == pytest.approx(0.039)
    for threshold in (0.4, 0.8, 0.99):
        calls = call_peaks(tracks, threshold=threshold, window_length=40, method="nms")
        merged = call_peaks(tracks, threshold=threshold, window_length=40)
        assert background.count(threshold) == len(calls) >= len(merged)


def test_a_background_survives_json_and_keeps_its_best_scores():
    scores = np.random.default_rng(2).random(MOST_SCORES + 500).astype(np.float32)
    background = Background(scores, 3.0, 0.001)
    assert len(background.scores) == MOST_SCORES
    assert background.floor == background.scores[-1] > 0.001
    again = Background.from_json(json.loads(json.dumps(background.to_json())))
    assert np.array_equal(again.scores, background.scores)
    assert (again.megabases, again.floor) == (background.megabases, background.floor)
    with pytest.raises(SettingsError, match="format 9"):
        Background.from_json({**background.to_json(), "format_version": 9})


def test_impossible_values_are_refused():
    with pytest.raises(SettingsError, match="0 Mb"):
        Background(np.array([0.5]), 0)
    with pytest.raises(SettingsError, match="NaN"):
        Background(np.array([np.nan]), 1)
    with pytest.raises(SettingsError, match="expected_per_mb is -1"):
        Background(np.array([0.5]), 1).threshold_for(-1)
