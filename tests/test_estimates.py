"""What a training is told to cost before it begins, by hand for a table of 100, 30 and 20 sequences of 45 bp."""

import numpy as np
import pandas as pd
import pytest

from genolm.config import FinetuneSettings
from genolm.estimates import START_SECONDS, VALIDATION_COST, estimate_training
from genolm.preparation import prepare_training

TRAIN, VALID, TEST = 100, 30, 20
TOKENS = 23
"""Of a 3-mer every 2 bp in 45 bp: 22, and the one that begins each sequence."""


@pytest.fixture
def cost(tmp_path, toy_language_model_path):
    """A function of settings -> tokens and seconds at 1,000 tokens a second."""
    rng, path = np.random.default_rng(3), tmp_path / "table.csv"
    rows = TRAIN + VALID + TEST
    sequences = ["".join(rng.choice(list("ACGT"), 45)) for _ in range(rows)]
    split = ["train"] * TRAIN + ["valid"] * VALID + ["test"] * TEST

    def made(*, labels=("a", "b") * (rows // 2), **given):
        pd.DataFrame({"sequence": sequences, "label": labels, "split": split}).to_csv(path, index=False)
        usual = {"epochs": 2, "adapt": False, "split": "given", "watched": False}
        settings = FinetuneSettings(**{**usual, **given})
        preparation = prepare_training(path, str(toy_language_model_path), settings, from_scratch=True)
        found = estimate_training(preparation, tokens_per_second=1000.0)
        return found.tokens / (TOKENS * TRAIN), found.seconds

    return made


@pytest.mark.parametrize(
    ("given", "read_after"),
    [
        ({}, 3 * VALID + TEST),
        ({"mirrored": True}, 2 * (2 * VALID + TEST)),
        ({"shifted": True}, 2 * (3 * VALID + TEST)),
        ({"shifted": True, "framed": False}, 3 * VALID + TEST),
    ],
)
def test_what_calibrates_and_judges_a_model_is_counted(cost, given, read_after):
    passes, seconds = cost(**given)
    expected = 2 * (1 + VALIDATION_COST * VALID / TRAIN) + VALIDATION_COST * read_after / TRAIN
    assert passes == pytest.approx(expected, rel=1e-3)
    assert seconds == pytest.approx(START_SECONDS + expected * TOKENS * TRAIN / 1000, rel=1e-3)


def test_several_members_and_a_search_cost_their_time(cost):
    (passes, seconds), (twice, _), (_, searched) = cost(), cost(seeds=2), cost(search_minutes=1.5)
    # Each is calibrated by both strands of the validation rows, and their mean once more.
    assert twice == pytest.approx(2 * (passes + VALIDATION_COST * 2 * VALID / TRAIN), rel=1e-3)
    assert searched == pytest.approx(seconds + 90)


def test_quantities_are_not_calibrated(cost):
    passes, _ = cost(labels=[0.5 * place for place in range(TRAIN + VALID + TEST)])
    assert passes == pytest.approx(2 * (1 + VALIDATION_COST * VALID / TRAIN) + VALIDATION_COST * (VALID + TEST) / TRAIN)
