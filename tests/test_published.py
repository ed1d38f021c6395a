"""Intervals of figures that others published, by the size of their test."""

import math
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

from genolm.errors import SettingsError
from genolm.metrics import binary_metrics
from genolm.published import Published
from genolm.recipe_config import list_recipes
from genolm.results_contest import of_two_tests

RECIPES = Path(__file__).parents[1] / "recipes"


def published(scores, **sizes):
    return Published("Somebody", "original", "published", "a table", scores, **sizes)


def test_an_interval_of_mcc_is_that_of_a_bootstrap_over_the_rows():
    counts = (111, 15, 10, 440)
    truth, said = np.repeat([1, 1, 0, 0], counts), np.repeat([1.0, 0.0, 1.0, 0.0], counts)
    ours, theirs = published({"mcc": 0.8715}, counts=counts).estimate("mcc"), binary_metrics(said, truth, n_boot=4000)["mcc"]
    assert ours.value == pytest.approx(theirs.value, abs=1e-4)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.005)
    none = published({"mcc": 0.0}, counts=(0, 5, 0, 5)).estimate("mcc")
    assert (none.low, none.high) == (0, 0)


def test_shares_have_the_interval_of_their_own_rows():
    shares = {"accuracy": 551 / 576, "precision": 111 / 121, "recall": 111 / 126, "specificity": 440 / 450}
    item = published(shares, counts=(111, 15, 10, 440))
    for metric, (hits, rows) in {"accuracy": (551, 576), "precision": (111, 121), "recall": (111, 126), "specificity": (440, 450)}.items():
        wanted = binomtest(hits, rows).proportion_ci(method="wilson")
        found = item.estimate(metric)
        assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high), abs=1e-9)
    whole = published({"accuracy": 1.0}, counts=(38, 0, 0, 100)).estimate("accuracy")
    assert whole.low < 0.98


@pytest.mark.parametrize(
    "given",
    [{"counts": (1, 2, 3)}, {"counts": (0, 0, 3, 4)}, {"counts": (1, -1, 3, 4)}, {"rows": (0, 9)}, {"rows": (1, 2, 3)}],
)
def test_sizes_that_cannot_be_are_refused(given):
    with pytest.raises(SettingsError, match="published figures of Somebody have counts"):
        published({"auroc": 0.9}, **given)


def test_a_percentage_is_refused():
    with pytest.raises(SettingsError, match="accuracy = 96.5; it is a share"):
        published({"accuracy": 96.5}, rows=(100,))


def test_differences_of_shares_are_those_of_newcombe():
    """The first example of Newcombe 1998 (doi:10.1002/(SICI)1097-0258(19980430)17:8<873::AID-SIM779>3.0.CO;2-I)."""
    one, other = (published({"accuracy": a / n}, rows=(n,)).estimate("accuracy") for a, n in ((56, 70), (48, 80)))
    assert of_two_tests(one, other) == pytest.approx((0.0524, 0.3339), abs=1e-4)


def test_an_area_varies_as_that_of_exponential_scores(rng):
    """Hanley and McNeil's error is exact where the scores of both classes are exponential."""
    area, positives, negatives = 0.893, 51, 58
    high = rng.exponential(area / (1 - area), size=(2000, positives, 1))
    areas = (high > rng.exponential(size=(2000, 1, negatives))).mean(axis=(1, 2))
    found = published({"auroc": area}, rows=(positives, negatives)).estimate("auroc")
    assert areas.mean() == pytest.approx(area, abs=0.005)
    assert (found.high - found.low) / (2 * 1.96) == pytest.approx(areas.std(), rel=0.06)
    assert published({"auroc": 0.999}, rows=(positives, negatives)).estimate("auroc").high == 1
    assert math.isnan(published({"auroc": 1.0}, rows=(positives, negatives)).estimate("auroc").low)


def test_what_the_size_of_a_test_does_not_tell_has_no_interval():
    for metric, sizes in (("mcc", {"rows": (51, 58)}), ("accuracy", {}), ("mcc_hard", {"counts": (9, 1, 1, 9)})):
        found = published({metric: 0.8}, **sizes).estimate(metric)
        assert found.value == 0.8 and math.isnan(found.low) and math.isnan(found.high)
    agreement = published({"family_agreement": 0.9}, rows=(100,)).estimate("family_agreement")
    assert 0.82 < agreement.low < 0.9 < agreement.high < 0.95


def test_counts_of_recipes_are_those_of_their_figures():
    items = [(recipe.name, item) for recipe in list_recipes(RECIPES) for item in recipe.published if item.counts]
    assert len(items) > 15
    for name, item in items:
        right, missed, wrong, left = item.counts
        margins = (right + wrong) * (right + missed) * (left + wrong) * (left + missed)
        found = {
            "accuracy": (right + left) / sum(item.counts),
            "precision": right / (right + wrong),
            "recall": right / (right + missed),
            "mcc": (right * left - wrong * missed) / math.sqrt(margins),
        }
        for key in found.keys() & item.scores.keys():
            assert item.scores[key] == pytest.approx(found[key], abs=6e-4), (name, item.name, key)
