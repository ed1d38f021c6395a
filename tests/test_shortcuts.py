"""Short cuts: features by plain counting, and scores that are right where the answer is known."""

from collections import Counter

import numpy as np
import pytest

from genolm.labels import code_labels
from genolm.shortcuts import (
    best_of,
    interval_words,
    lengths_and_gc,
    score_shortcuts,
    shortcut_predictions,
    word_shares,
)

WORDS = [first + second for first in "ACGT" for second in "ACGT"]


def dna(rng, length, gc):
    return "".join(rng.choice(list("ACGT"), length, p=[(1 - gc) / 2, gc / 2, gc / 2, (1 - gc) / 2]))


def parts_of(count):
    return np.array((["train"] * 6 + ["valid"] * 2 + ["test"] * 2) * (count // 10))


def scores(sequences, labels, **options):
    found = score_shortcuts(sequences, code_labels(labels), parts_of(len(sequences)), **options)
    return {item.key: item for item in found}


def test_lengths_and_gc_by_hand():
    lengths, gc = lengths_and_gc(["ACGT", "ggNN", "AAAT", "NN", "GCU"])
    assert lengths.tolist() == [4, 4, 4, 2, 3]
    assert gc.tolist()[:3] == [0.5, 1.0, 0.0] and np.isnan(gc[3]) and gc[4] == pytest.approx(2 / 3)


def test_word_shares_equal_a_plain_count():
    sequences = ["ACGTACGA", "TTNTA", "A", "GGGG"]
    table = word_shares(sequences, (1, 2)).toarray()
    assert table.shape == (4, 20)
    for row, sequence in enumerate(sequences):
        pairs = [sequence[i : i + 2] for i in range(len(sequence) - 1)]
        counts = Counter(pair for pair in pairs if "N" not in pair)
        total = max(1, sum(counts.values()))
        assert table[row, 4:].tolist() == pytest.approx([counts[word] / total for word in WORDS])
        letters = Counter(sequence.replace("N", ""))
        assert table[row, :4].tolist() == pytest.approx([letters[base] / letters.total() for base in "ACGT"])


def test_gc_alone_gives_classes_away_and_length_does_not(rng):
    labels = [("low", "high")[row // 10 % 2] for row in range(400)]
    sequences = [dna(rng, 100, 0.62 if label == "high" else 0.45) for label in labels]
    found = scores(sequences, labels)
    assert found["gc"].main["value"] > 0.95 and found["gc"].main["low"] > 0.9
    assert found["length"].main == {"value": 0.5, "low": 0.5, "high": 0.5}
    assert found["kmers"].main["value"] > 0.9
    assert best_of(tuple(found.values())).key in ("gc", "kmers")
    assert set(found["gc"].scores) >= {"auroc", "auprc", "mcc", "accuracy"}


def test_length_alone_tells_a_class_in_the_middle(rng):
    labels = [("mid", "ends")[row // 10 % 2] for row in range(300)]
    sizes = [100 if label == "mid" else rng.choice([50, 200]) for label in labels]
    found = scores([dna(rng, int(size), 0.5) for size in sizes], labels, keys=("length",))
    assert list(found) == ["length"] and found["length"].main["value"] == 1.0


def test_a_word_planted_in_one_class_is_found(rng):
    labels = [("plain", "planted")[row // 10 % 2] for row in range(600)]
    sequences = []
    for label in labels:
        sequence, place = dna(rng, 80, 0.5), int(rng.integers(0, 70))
        sequences.append(sequence[:place] + "TGACTCA" + sequence[place + 7 :] if label == "planted" else sequence)
    found = scores(sequences, labels)
    assert found["kmers"].main["low"] > 0.8
    assert found["gc"].main["value"] < 0.75


def test_several_classes_labels_and_numbers(rng):
    shares = [0.3 + 0.15 * (row // 10 % 3) for row in range(300)]
    sequences = [dna(rng, 150, share) for share in shares]
    many = scores(sequences, [f"class {share:.2f}" for share in shares])
    assert many["gc"].metric == "auroc" and many["gc"].main["low"] > 0.9
    numbers = scores(sequences, [f"{10 * share + row / 1e4:.4f}" for row, share in enumerate(shares)])
    assert numbers["gc"].metric == "spearman" and numbers["gc"].main["value"] > 0.8
    assert "ridge" in numbers["kmers"].name and numbers["length"].main["value"] is None
    several = scores(sequences, ["rich;all" if share > 0.5 else "all" for share in shares])
    assert several["gc"].metric == "auroc" and several["gc"].main["value"] > 0.9


def test_classes_missing_from_training_or_testing_do_no_harm(rng):
    sequences = [dna(rng, 60, 0.5) for _ in range(30)]
    code = code_labels([*["a", "b"] * 14, "c", "d"])
    parts = np.array(["train"] * 20 + ["valid"] * 4 + ["test"] * 6)
    found = shortcut_predictions(sequences, code, parts)
    for answers in found.values():
        assert answers.shape == (6, 4)
        assert answers.sum(axis=1) == pytest.approx(np.ones(6)) and (answers[:, 2:] == 0).all()
    one = code_labels(["a"] * 24 + ["b"] * 6)
    assert shortcut_predictions(sequences, one, parts)["gc"].tolist() == [[1.0, 0.0]] * 6


def test_without_test_rows_validation_rows_are_scored(rng):
    sequences = [dna(rng, 60, 0.5) for _ in range(30)]
    parts = np.array(["train"] * 20 + ["valid"] * 10)
    assert len(shortcut_predictions(sequences, code_labels(["a", "b"] * 15), parts)["gc"]) == 10


def test_intervals_in_words():
    assert interval_words({"value": 0.9, "low": 0.856, "high": 0.94}) == "0.90 (0.86-0.94)"
    assert interval_words({"value": None, "low": None, "high": None}) == "not defined"
    assert interval_words({"value": 0.5, "low": None, "high": None}) == "0.50"
