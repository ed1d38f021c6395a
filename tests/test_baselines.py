"""Baselines: counts by hand and by scikit-learn, learning of what each can see and no more."""

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer

from genolm.baselines import (
    PENALTIES,
    Examples,
    KmerLogistic,
    Majority,
    PositionalLogistic,
    SmallCNN,
    _tuned_loss,
    fit_all,
    kmer_codes,
    kmer_counts,
    positional_kmers,
    standard_baselines,
)
from genolm.errors import TrainingError
from genolm.metrics import log_loss


def planted(rng, count, *, place=None, length=40):
    """Random DNA; odd items hold TATAAT, at ``place`` or anywhere, even items the same letters reordered."""
    sequences, labels = [], np.arange(count) % 2
    for label in labels:
        letters = rng.choice(list("ACGT"), length)
        start = rng.integers(0, length - 6) if place is None else place
        letters[start : start + 6] = list("TATAAT" if label else "AATTTA")
        sequences.append("".join(letters))
    return Examples(sequences, labels)


def accuracy(baseline, examples):
    return float((baseline.probabilities(examples.sequences).argmax(1) == examples.labels).mean())


def test_kmer_codes_by_hand():
    assert kmer_codes("ACGT", 2).tolist() == [1, 6, 11]
    assert kmer_codes("acNgu", 2).tolist() == [1, -1, -1, 11]
    assert kmer_codes("A", 2).tolist() == []


def test_counts_agree_with_a_text_vectoriser(make_dna):
    sequences = [make_dna(length) for length in (3, 20, 57)]
    kmers = [a + b for a in "ACGT" for b in "ACGT"]
    theirs = CountVectorizer(analyzer="char", ngram_range=(2, 2), lowercase=False, vocabulary=kmers)
    ours = kmer_counts(sequences, (1, 2)).toarray()
    assert np.array_equal(ours[:, 4:], theirs.transform(sequences).toarray())
    assert ours[:, :4].sum(1).tolist() == [3, 20, 57]


def test_positional_kmers_mark_base_and_place():
    table = positional_kmers(["ACN", "TTT"], (1,), 3).toarray().reshape(2, 3, 4)
    assert table[0].tolist() == [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    assert table[1].tolist() == [[0, 0, 0, 1]] * 3


def test_positional_kmers_refuse_another_length():
    with pytest.raises(TrainingError, match="Sequence 2 has 4 bases; this baseline needs 3"):
        positional_kmers(["ACG", "ACGT"], (1,), 3)


def test_majority_gives_the_shares_of_training():
    train = Examples(["A", "C", "G", "T"], np.array([0, 1, 1, 1]))
    found = Majority().fit(train, train).probabilities(["AA", "CC"])
    assert found.tolist() == [[0.25, 0.75]] * 2


def test_kmer_logistic_finds_a_word_anywhere(rng):
    train, valid, test = (planted(rng, count) for count in (400, 100, 200))
    model = KmerLogistic(sizes=(4, 5, 6)).fit(train, valid)
    assert accuracy(model, test) > 0.9
    assert model.settings()["C"] > 0


def test_positional_logistic_sees_place_and_kmer_logistic_does_not(rng):
    """Both classes hold the word, at 10 or at 24: only the place tells them apart."""
    sequences = []
    for label in np.arange(600) % 2:
        letters = rng.choice(list("ACGT"), 40)
        start = 24 if label else 10
        letters[start : start + 6] = list("TATAAT")
        sequences.append("".join(letters))
    labels = np.arange(600) % 2
    train, valid, test = (
        Examples(sequences[a:b], labels[a:b]) for a, b in ((0, 300), (300, 400), (400, 600))
    )
    assert accuracy(PositionalLogistic().fit(train, valid), test) > 0.98
    assert accuracy(KmerLogistic(sizes=(1, 2, 3)).fit(train, valid), test) < 0.65


def test_the_penalty_is_the_one_of_least_validation_loss(rng, monkeypatch):
    train, valid = planted(rng, 200, place=5), planted(rng, 100, place=5)
    losses = {}
    for penalty in (1e-4, 1e-2, 1.0):
        monkeypatch.setattr("genolm.baselines.PENALTIES", (penalty,))
        model = PositionalLogistic().fit(train, valid)
        losses[penalty] = log_loss(model.probabilities(valid.sequences), valid.labels)
    monkeypatch.setattr("genolm.baselines.PENALTIES", tuple(losses))
    assert PositionalLogistic().fit(train, valid).penalty == min(losses, key=losses.get)


def test_a_refit_learns_from_all_with_the_penalty_that_was_chosen(rng, monkeypatch):
    train, valid, test = (planted(rng, count, place=5) for count in (60, 40, 50))
    every = Examples([*train.sequences, *valid.sequences], np.concatenate([train.labels, valid.labels]))
    model = PositionalLogistic().fit(train, valid)
    before, chosen = model.probabilities(test.sequences), model.penalty
    assert model.refit(every) is model and model.penalty == chosen
    # On what it learned from, the weakest penalty has the least loss.
    monkeypatch.setattr("genolm.baselines.PENALTIES", PENALTIES[: PENALTIES.index(chosen) + 1])
    direct = PositionalLogistic().fit(every, every).probabilities(test.sequences)
    assert np.array_equal(model.probabilities(test.sequences), direct) and not np.array_equal(before, direct)


def test_a_refit_counts_anew_and_leaves_a_network_that_stops_by_validation(rng):
    train, valid = planted(rng, 20), planted(rng, 10)
    some = Examples(["A", "C", "G", "T"], np.array([0, 1, 1, 1]))
    assert Majority().fit(train, valid).refit(some).probabilities(["A"]).tolist() == [[0.25, 0.75]]
    network = SmallCNN(channels=4, epochs=1, threads=1).fit(train, valid)
    before = network.probabilities(valid.sequences)
    assert np.array_equal(network.refit(some).probabilities(valid.sequences), before)


def test_cnn_learns_and_repeats(rng):
    train, valid, test = (planted(rng, count, place=8) for count in (200, 60, 100))
    settings = {"channels": 16, "epochs": 6, "threads": 1, "lr": 3e-3}
    model = SmallCNN(**settings).fit(train, valid)
    assert accuracy(model, test) > 0.85
    again = SmallCNN(**settings).fit(train, valid)
    assert np.array_equal(model.probabilities(test.sequences), again.probabilities(test.sequences))


def test_cnn_keeps_the_best_epoch(rng):
    """On random labels the loss rises soon: training stops and goes back."""
    train, valid = (
        Examples([*planted(rng, count).sequences], rng.integers(0, 2, count)) for count in (64, 64)
    )
    model = SmallCNN(channels=16, epochs=25, patience=2, threads=1, lr=1e-2).fit(train, valid)
    assert 1 <= model.settings()["best_epoch"] < 25
    best = log_loss(model.probabilities(valid.sequences), valid.labels)
    short = SmallCNN(channels=16, epochs=model.best_epoch, patience=25, threads=1, lr=1e-2).fit(train, valid)
    assert log_loss(short.probabilities(valid.sequences), valid.labels) == pytest.approx(best)


def test_of_many_classes_the_best_epoch_is_chosen_at_the_best_temperature():
    answers, labels = np.array([[0.5, 0.3, 0.2], [0.2, 0.7, 0.1], [0.3, 0.4, 0.3], [0.25, 0.25, 0.5]]), np.array([0, 0, 2, 2])
    sure = answers**5 / (answers**5).sum(axis=1, keepdims=True)
    assert log_loss(sure, labels) > log_loss(answers, labels) + 0.1
    assert _tuned_loss(sure, labels) == pytest.approx(_tuned_loss(answers, labels), abs=1e-4)
    assert _tuned_loss(answers, labels) <= log_loss(answers, labels)
    two = answers[:, :2] / answers[:, :2].sum(axis=1, keepdims=True)
    assert _tuned_loss(two, np.array([0, 1, 0, 1])) == log_loss(two, np.array([0, 1, 0, 1]))


def test_hidden_units_are_normalised_where_there_are_many_classes():
    kinds = [[type(layer).__name__ for layer in SmallCNN().build(classes)] for classes in (2, 3)]
    assert [names.count("BatchNorm1d") for names in kinds] == [2, 3] and kinds[1][-4] == "BatchNorm1d"


def test_cnn_has_the_stated_size_and_leaves_the_seed_alone(rng):
    import torch

    count = sum(values.numel() for values in SmallCNN().build(2).parameters())
    assert 100_000 < count < 200_000
    before = torch.get_rng_state()
    examples = planted(rng, 8)
    SmallCNN(channels=4, epochs=1, threads=1).fit(examples, examples)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    "model",
    [Majority(), KmerLogistic(sizes=(1, 2)), SmallCNN(channels=8, epochs=1, threads=1)],
    ids=lambda model: model.name,
)
def test_three_classes_and_lengths_that_differ(model, make_dna):
    examples = Examples([make_dna(20 + place % 7) for place in range(90)], np.arange(90) % 3)
    found = model.fit(examples, examples).probabilities(examples.sequences)
    assert found.shape == (90, 3)
    assert np.allclose(found.sum(1), 1)


def test_standard_baselines_leave_the_positional_one_out_when_lengths_differ(rng):
    names = [model.name for model in standard_baselines(["ACGT", "ACG"])]
    assert names == ["majority", "kmer-logistic", "cnn"]
    assert "positional-logistic" in [model.name for model in standard_baselines(["ACGT", "TTTT"])]


def test_fit_all_gives_models_by_name(rng):
    examples = planted(rng, 40)
    fitted = fit_all([Majority(), KmerLogistic(sizes=(1,))], examples, examples)
    assert list(fitted) == ["majority", "kmer-logistic"]


@pytest.mark.parametrize("sequences, labels", [(["A"], [0, 1]), ([], [])])
def test_examples_are_checked(sequences, labels):
    with pytest.raises(TrainingError):
        Examples(sequences, np.array(labels, dtype=int))
