"""Intervals of figures that others published, by the size of their test."""

import math
from pathlib import Path

import numpy as np
import pytest

from genolm.metrics import binary_metrics
from genolm.published import Published
from genolm.recipe_config import list_recipes
from genolm.results_contest import of_two_tests

RECIPES = Path(__file__).parents[1] / "recipes"


def published(scores, **sizes):
    return Published("Somebody", "original", "published", "a table", scores, **sizes)


def test_an_interval_of_counts_is_that_of_a_bootstrap_over_the_rows():
    right, missed, wrong, left = counts = (111, 15, 10, 440)
    item = published({"accuracy": 0.9566, "precision": 0.9174, "recall": 0.881, "mcc": 0.8715}, counts=counts)
    truth = np.repeat([1, 1, 0, 0], counts)
    said = np.repeat([1.0, 0.0, 1.0, 0.0], counts)
    found = binary_metrics(said, truth, n_boot=4000)
    for metric, value in item.scores.items():
        ours, theirs = item.estimate(metric), found[metric]
        assert ours.value == value == pytest.approx(theirs.value, abs=1e-4)
        assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.005)


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
