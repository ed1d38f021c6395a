"""Markov models: by hand, against a slow and plain version, and on chains whose entropy is known."""

import math

import numpy as np
import pytest

from genolm.errors import TrainingError
from genolm.markov import (
    MarkovModel,
    WordCounts,
    bits_interval,
    fit_markov,
    markov_bits_per_base,
    rolling_words,
)
from genolm.tokenizer import encode_bases


def counted(order, *sequences, both_strands=True):
    counts = WordCounts(order, both_strands=both_strands)
    for sequence in sequences:
        counts.add(encode_bases(sequence))
    return counts


def test_one_strand_by_hand():
    """AACA: A 3 of 4 letters; after A come A and C, once each."""
    model = MarkovModel(counted(1, "AACA", both_strands=False), (1.0, 2.0))
    single = {"A": (3 + 1 / 4) / 5, "C": (1 + 1 / 4) / 5, "G": (1 / 4) / 5}
    wanted = [single["A"], (1 + 2 * single["C"]) / 4, (1 + 2 * single["A"]) / 3, (0 + 2 * single["G"]) / 4]
    found = np.exp(-model.losses(encode_bases("ACAG")))
    np.testing.assert_allclose(found, wanted, rtol=1e-12)


def test_both_strands_by_hand():
    """AAC and its other strand GTT: after A come A and C; after T comes T, after G comes T."""
    model = MarkovModel(counted(1, "AAC"), (1.0, 1.0))
    low = {"A": (2 + 1 / 4) / 7, "C": (1 + 1 / 4) / 7, "T": (2 + 1 / 4) / 7}
    wanted = [low["T"], (1 + low["T"]) / 2, (0 + low["A"]) / 2, (1 + low["A"]) / 3, (1 + low["C"]) / 3]
    found = np.exp(-model.losses(encode_bases("TTAAC")))
    np.testing.assert_allclose(found, wanted, rtol=1e-12)


def plain_losses(records, order, strengths, scored):
    """The definition, letter by letter, with dictionaries."""
    words = {}
    complement = str.maketrans("ACGT", "TGCA")
    for record in records:
        for strand in (record, record.translate(complement)[::-1]):
            for size in range(1, order + 2):
                for start in range(len(strand) - size + 1):
                    word = strand[start : start + size]
                    if set(word) <= set("ACGT"):
                        words[word] = words.get(word, 0) + 1
    found = []
    for end, letter in enumerate(scored):
        chance = 0.25
        for k in range(order + 1):
            context = scored[end - k : end] if end >= k else None
            if context is None or not set(context + letter) <= set("ACGT"):
                break
            total = sum(words.get(context + base, 0) for base in "ACGT")
            chance = (words.get(context + letter, 0) + strengths[k] * chance) / (total + strengths[k])
        found.append(-math.log(chance) if letter in "ACGT" else math.nan)
    return np.array(found)


def test_counts_agree_with_the_plain_definition(make_dna, monkeypatch):
    monkeypatch.setattr("genolm.markov._CHUNK", 37)
    records = [make_dna(150) + "NNRN" + make_dna(90), make_dna(3), "N", make_dna(60)]
    scored = records[0][100:170] + make_dna(40)
    strengths = (0.5, 1.0, 2.0, 4.0)
    counts = counted(3, *records)
    found = MarkovModel(counts, strengths).losses(encode_bases(scored))
    np.testing.assert_allclose(found, plain_losses(records, 3, strengths, scored), rtol=1e-12)


def test_words_and_runs():
    words, runs = rolling_words(encode_bases("ACNGT"), 2)
    assert list(runs) == [1, 2, 0, 1, 2]
    assert (words[1] & 15, words[4] & 15) == (1, 11)


def symmetric_chain(rng, length):
    """An order-2 chain that is the same on both strands, and its entropy in bits per base.

    Three-letter words of a circle and of its reverse complement, counted together, agree on what pairs are
    how common, and are as common as their reverse complements.
    """
    circle = rng.integers(0, 4, 30)
    counts = np.full((4, 4, 4), 0.02)
    for text in (circle, 3 - circle[::-1]):
        np.add.at(counts, (text, np.roll(text, -1), np.roll(text, -2)), 1.0)
    steps = counts / counts.sum(2, keepdims=True)
    entropy = -(counts / counts.sum() * np.log2(steps)).sum()
    chosen, edges = [0, 1], np.cumsum(steps, axis=2)
    for draw in rng.random(length):
        chosen.append(min(3, int(np.searchsorted(edges[chosen[-2], chosen[-1]], draw))))
    return np.array(chosen, dtype=np.uint8), entropy


def test_a_chain_of_order_two_is_found_with_its_entropy(rng):
    codes, entropy = symmetric_chain(rng, 240_000)
    assert entropy < 1.5
    model = fit_markov([codes[:200_000]])
    bits = model.slice_bits
    assert bits[1] > bits[2] + 0.05 and bits[2] < min(bits) + 5e-4
    found = markov_bits_per_base([codes[:200_000]], [codes[200_000:]])
    assert found["value"] == pytest.approx(entropy, abs=0.01)
    assert found["low"] < entropy < found["high"] and found["order"] >= 2
    fixed = markov_bits_per_base([codes[:200_000]], [codes[200_000:]], order=0)
    assert fixed["order"] == 0 and fixed["value"] > found["value"] + 0.2
    other_strand = markov_bits_per_base([codes[:200_000]], [3 - codes[200_000:][::-1]])
    assert other_strand["value"] == pytest.approx(entropy, abs=0.01)


def test_random_bases_cost_two_bits(rng):
    codes = rng.integers(0, 4, 60_000).astype(np.uint8)
    assert markov_bits_per_base([codes[:50_000]], [codes[50_000:]])["value"] == pytest.approx(2, abs=0.01)


def test_a_repeat_is_remembered_by_high_orders(rng):
    unit = rng.integers(0, 4, 1_931).astype(np.uint8)
    codes = np.tile(unit, 20)
    model = fit_markov([codes])
    assert model.order >= 6
    assert np.log2(np.e) * model.losses(unit)[20:].mean() < 0.05
    assert model.slice_bits[0] > 1.9 and min(model.slice_bits) < 0.1


def test_the_order_is_not_chosen_on_what_is_held_out(rng):
    """The held-out text repeats itself, which the training data do not: the order stays low."""
    train = rng.integers(0, 4, 50_000).astype(np.uint8)
    held_out = np.tile(rng.integers(0, 4, 50).astype(np.uint8), 40)
    assert markov_bits_per_base([train], [held_out])["order"] <= 4


def test_nothing_to_count_is_refused():
    unknown = np.full(500, 4, dtype=np.uint8)
    with pytest.raises(TrainingError, match="no known bases"):
        fit_markov([unknown])
    with pytest.raises(TrainingError, match="no known bases"):
        fit_markov([])
    with pytest.raises(TrainingError, match="to score"):
        markov_bits_per_base([encode_bases("ACGT" * 100)], [unknown])


def test_an_interval_is_as_wide_as_that_of_the_mean(rng):
    losses = rng.exponential(1.0, 40_000)
    found = bits_interval(losses, bases=1)
    error = 1.96 * losses.std() / math.sqrt(len(losses)) / math.log(2)
    assert found["value"] == pytest.approx(losses.mean() / math.log(2))
    assert (found["high"] - found["low"]) / 2 == pytest.approx(error, rel=0.25)
