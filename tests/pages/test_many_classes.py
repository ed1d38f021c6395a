"""Answers among many classes: the likeliest are named, and lineages are called by their last word."""

import numpy as np
import pandas as pd

from pages.shared.many_classes import drawn_classes, likeliest, short_labels


def test_the_three_likeliest_classes_are_named():
    classes = ["a", "b", "c", "d"]
    table = pd.DataFrame(
        [["r1", "c", 0.1, 0.2, 0.6, 0.1], ["r2", "a", 0.5, 0.05, 0.05, 0.4]],
        columns=["record", "predicted", *classes],
    )
    found = likeliest(table, classes, classes)
    assert found.to_dict("records") == [
        {
            "record": "r1",
            "predicted": "c",
            "probability": 0.6,
            "second class": "b",
            "second probability": 0.2,
            "third class": "a",
            "third probability": 0.1,
        },
        {
            "record": "r2",
            "predicted": "a",
            "probability": 0.5,
            "second class": "d",
            "second probability": 0.4,
            "third class": "b",
            "third probability": 0.05,
        },
    ]


def test_a_lineage_is_called_by_its_genus_and_other_classes_by_their_whole_name():
    lineages = ["Gamma Vibrionales Vibrionaceae Vibrio", "Alpha Rhizobiales Rhizobiaceae Rhizobium"]
    assert short_labels(lineages) == ["Vibrio", "Rhizobium"]
    twins = ["x y z first", "x y w first"]
    assert short_labels(twins) == twins
    assert short_labels(["gene start", "gene interior"]) == ["gene start", "gene interior"]


def test_a_figure_shows_the_classes_with_the_highest_probabilities(rng):
    values = rng.dirichlet(np.full(40, 0.1), size=5)
    shown = drawn_classes(values)
    assert len(shown) == 16 and list(shown) == sorted(shown)
    left = np.setdiff1d(np.arange(40), shown)
    assert values.max(axis=0)[left].max() <= values.max(axis=0)[shown].min()
    assert list(drawn_classes(values[:, :3])) == [0, 1, 2]
