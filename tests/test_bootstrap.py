import math

import numpy as np
import pytest
from scipy.stats import binomtest

from genolm import metrics
from genolm.bootstrap import (
    FEW_GROUPS,
    Estimate,
    bootstrap,
    drawn_words,
    paired_bootstrap,
    share,
    taken,
    usable,
    wilson,
    wilson_ends,
)
from genolm.errors import SettingsError

RNG = np.random.default_rng(3)


def mean_of(values):
    return lambda weights: {"mean": weights @ values / weights.sum(axis=1)}


def test_the_paired_interval_is_that_of_the_differences():
    base = RNG.normal(0, 10, 400)
    a, b = base + RNG.normal(0.3, 1, 400), base
    found = paired_bootstrap(mean_of(a), mean_of(b), 400, n_boot=4000)["mean"]
    error = (a - b).std() / 20
    assert found.difference.value == pytest.approx((a - b).mean())
    assert found.difference.low == pytest.approx((a - b).mean() - 1.96 * error, abs=0.15 * error)
    assert found.difference.high == pytest.approx((a - b).mean() + 1.96 * error, abs=0.15 * error)
    assert found.a.high - found.a.low > 5 * (found.difference.high - found.difference.low)


def test_p_is_that_of_a_normal_test_and_one_for_equal_models():
    a = RNG.normal(0.1, 1, 300)
    found = paired_bootstrap(mean_of(a), mean_of(np.zeros(300)), 300, n_boot=8000)["mean"]
    z = a.mean() / (a.std() / math.sqrt(300))
    assert found.p == pytest.approx(math.erfc(abs(z) / math.sqrt(2)), abs=0.02)
    same = paired_bootstrap(mean_of(a), mean_of(a), 300)["mean"]
    assert (same.p, same.difference.value, same.difference.high) == (1.0, 0.0, 0.0)
    far = paired_bootstrap(mean_of(a + 9), mean_of(a), 300, n_boot=999)["mean"]
    assert far.p == pytest.approx(2 / 1000)


@pytest.mark.parametrize(("count", "least", "most"), [(4, 0.7, 0.87), (2 * FEW_GROUPS, 0.9, 0.97)])
def test_intervals_over_few_groups_hold_the_truth_too_rarely(count, least, most):
    groups, rng, held = np.arange(5 * count) // 5, np.random.default_rng(3), 0
    for place in range(500):
        statistic = mean_of(rng.normal(size=count)[groups])
        found = bootstrap(statistic, 5 * count, 300, place, groups=groups)["mean"]
        held += found.low <= 0 <= found.high
    assert least < held / 500 < most
    words = drawn_words(count, 5 * count)
    assert words.startswith(f"Intervals are drawn over {count} groups of related rows among {5 * count}.")
    assert ("too narrow" in words) == (count < FEW_GROUPS)


def test_one_group_with_more_than_half_is_not_drawn_over():
    groups = np.array([0, 0, 0, 1, 2, 2])
    assert usable(groups) is groups and usable(np.array([0, 0, 0, 0, 1, 2])) is None
    assert usable(np.array([7])) is not None and usable(np.array([7, 7])) is None
    assert drawn_words(6, 6) == drawn_words(None, 6) == "" and "too narrow" in drawn_words(0, 6)


def test_a_figure_that_one_model_has_not_is_not_compared_and_nan_stays_nan():
    labels = np.array([0, 1] * 20)
    silent = metrics.statistic_for("binary", np.full(40, 0.1), labels)
    found = paired_bootstrap(silent, silent, 40, n_boot=50)
    assert math.isnan(found["precision"].p) and found["precision"].as_dict()["p"] is None
    assert paired_bootstrap(silent, mean_of(labels), 40, n_boot=50) == {}


def test_each_task_is_scored_the_same_as_a_statistic():
    labels, scores = RNG.integers(0, 2, 80), RNG.random(80)
    pairs = {
        "binary": (scores, labels),
        "multiclass": (RNG.dirichlet(np.ones(3), 80), RNG.integers(0, 3, 80)),
        "multilabel": (RNG.random((80, 3)), RNG.integers(0, 2, (80, 3))),
        "regression": (RNG.normal(size=(80, 2)), RNG.normal(size=(80, 2))),
    }
    for task, (found, wanted) in pairs.items():
        statistic = metrics.statistic_for(task, found, wanted)(np.ones((1, 80)))
        for name, estimate in metrics.score(task, found, wanted, n_boot=0).items():
            assert statistic[name][0] == pytest.approx(estimate.value, abs=1e-12), (task, name)


def test_whole_groups_are_drawn():
    """Copies of an item are worth one item: groups of equal items give the intervals of those that they copy."""
    values, other = RNG.normal(size=(2, 50))
    owner = np.repeat(np.arange(50), 4)
    alone, many = (bootstrap(mean_of(items), len(items), 500, 1)["mean"] for items in (values, values[owner]))
    together = bootstrap(mean_of(values[owner]), 200, 500, 1, groups=owner)["mean"]
    assert vars(together) == pytest.approx(vars(alone)) and many.high - many.low < 0.7 * (alone.high - alone.low)
    pair = [mean_of(item[owner]) for item in (values, other)]
    paired = paired_bootstrap(*pair, 200, n_boot=500, groups=[f"reference {number:02}" for number in owner])["mean"]
    assert paired.p == paired_bootstrap(mean_of(values), mean_of(other), 50, n_boot=500)["mean"].p
    alone = paired_bootstrap(*pair, 200, n_boot=50, groups=["one"] * 200)["mean"]
    assert math.isnan(alone.p) and alone.difference.as_dict() | {"value": 0} == {"value": 0, "low": None, "high": None}
    with pytest.raises(SettingsError, match="200 items but 50 of them"):
        bootstrap(mean_of(values[owner]), 200, 10, 1, groups=np.arange(50))
    assert taken(None, owner) is None and taken(["a", "b"], np.array([1, 0])).tolist() == ["b", "a"]


@pytest.mark.parametrize("task", ["binary", "multiclass", "multilabel", "regression"])
def test_figures_of_a_task_are_drawn_over_its_groups(task):
    """Every item stands there three times, in any order; groups are numbered as the items are scored."""
    count = 60
    first = np.sort(RNG.random(count))[:: -1 if task == "binary" else 1]
    found = first if task in ("binary", "regression") else RNG.dirichlet(np.ones(3), count)
    wanted = {
        "binary": (first + RNG.normal(0, 0.3, count) > 0.5).astype(int),
        "multiclass": RNG.integers(0, 3, count),
        "multilabel": RNG.integers(0, 2, (count, 3)),
        "regression": RNG.normal(size=count),
    }[task]
    alone = metrics.score(task, found, wanted, n_boot=200)
    owner = RNG.permutation(np.repeat(np.arange(count), 3))
    together = metrics.score(task, found[owner], wanted[owner], n_boot=200, groups=owner)
    for name, estimate in together.items():
        assert vars(estimate) == pytest.approx(vars(alone[name]), abs=1e-9, nan_ok=True), name


def compared(a, b, groups=None):
    """Two models' right answers -> the difference of their accuracy."""
    labels = np.arange(len(a)) % 2
    both = [np.where(np.asarray(right, dtype=bool), labels, 1 - labels) * 0.8 + 0.1 for right in (a, b)]
    statistics = [metrics.statistic_for("binary", scores, labels) for scores in both]
    unseen = tuple(metrics.unseen_for("binary", scores, labels) for scores in both)
    return paired_bootstrap(*statistics, len(a), n_boot=6000, groups=groups, unseen=unseen)["accuracy"]


@pytest.mark.parametrize(("discordant", "rows"), [(1, 2), (3, 3), (5, 8), (6, 8), (6, 4000)])
def test_few_rows_of_one_mind_have_the_p_of_a_sign_test(discordant, rows):
    found = compared([1] * rows, [0] * discordant + [1] * (rows - discordant))
    assert found.p == pytest.approx(binomtest(discordant, discordant).pvalue, rel=0.35)
    assert (found.difference.low <= 0) == (found.p >= 0.05)
    assert found.difference.low < found.difference.value <= found.difference.high
    back = compared([0] * discordant + [1] * (rows - discordant), [1] * rows)
    assert back.p == pytest.approx(found.p, rel=0.35) and back.difference.value == -found.difference.value


def test_related_rows_of_one_mind_count_as_their_groups():
    found = compared([1] * 40, [0] * 40, np.repeat(np.arange(4), 10))
    assert found.p == 2 / 2**4 and (found.difference.low, found.difference.high) == (0, 1)
    assert compared([1] * 40, [0] * 40, np.repeat(np.arange(8), 5)).difference.low > 0
    assert compared([1] * 40, [0] * 40).p < 0.001


def test_a_lead_over_groups_is_found():
    rng, sure = np.random.default_rng(8), 0
    groups = np.repeat(np.arange(20), 50)
    for _ in range(10):
        odds = rng.normal(1.0, 0.5, 20)[groups]
        right = [rng.random(1000) < 1 / (1 + np.exp(-odds - lead)) for lead in (0.5, 0.0)]
        sure += compared(*right, groups).p < 0.05
    assert sure >= 8


def test_answers_that_are_all_equal_have_no_difference_but_intervals():
    found = compared([1] * 20, [1] * 20)
    assert found.p == 1 and found.difference == Estimate(0.0, 0.0, 0.0)
    assert found.a.value == found.b.value == 1 and found.a.low < 0.9 and found.b.low < 0.9


def test_one_item_has_no_interval():
    found = compared([1], [0])
    assert found.difference.value == 1 and math.isnan(found.difference.low) and math.isnan(found.p)


def test_wilson_by_hand():
    found = wilson(8, 10)
    assert (found.value, found.low, found.high) == pytest.approx((0.8, 0.4902, 0.9433), abs=1e-4)
    assert wilson(0, 5).low == 0.0 and wilson(5, 5).high == 1.0
    assert math.isnan(wilson(0, 0).value)


def test_share_of_unrelated_items_is_wilsons():
    hits = np.array([True] * 8 + [False] * 2)
    assert share(hits) == share(hits, np.arange(10)) == wilson(8, 10)
    assert math.isnan(share(np.empty(0, dtype=bool)).value)


def test_share_of_groups_by_hand():
    # Ten groups of four items, eight all right and two all wrong: each tells as much as one item. The variance is
    # 10 / 9 * (8 * .8^2 + 2 * 3.2^2) / 40^2 = .16 / 9, so 9 items; and 2.262 is Student's t of 9 degrees of freedom.
    hits, groups = np.repeat([True] * 8 + [False] * 2, 4), np.repeat(np.arange(10), 4)
    found = share(hits, groups)
    few = 9 * (1.959964 / 2.262157) ** 2
    wanted = wilson_ends(np.array([0.8]), np.array([few]))
    assert found.value == 0.8
    assert (found.low, found.high) == pytest.approx((wanted[0][0], wanted[1][0]), abs=1e-6)


def test_share_without_misses_goes_by_group_sizes():
    # 20 items, groups of 10, 5 and 5: 400 / 150 unrelated ones.
    found = share(np.ones(20, dtype=bool), np.repeat(["a", "b", "c"], [10, 5, 5]))
    assert found.low == pytest.approx(wilson_ends(np.array([1.0]), np.array([400 / 150]))[0][0])
    assert share(np.ones(20, dtype=bool), np.repeat("a", 20)).low == wilson(1, 1).low


def test_share_of_related_items_holds_the_truth():
    rng, held, held_rows = np.random.default_rng(3), 0, 0
    groups = np.repeat(np.arange(50), 8)
    for _ in range(300):
        hits = rng.random(400) < rng.beta(1.5, 1.5, 50)[groups]
        found, rows = share(hits, groups), wilson(int(hits.sum()), 400)
        held += found.low <= 0.5 <= found.high
        held_rows += rows.low <= 0.5 <= rows.high
    assert 0.92 <= held / 300 <= 0.98
    assert held_rows / 300 < 0.85
