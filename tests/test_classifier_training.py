from dataclasses import replace

import numpy as np
import pytest
import torch

from genolm.calibration import fit_either
from genolm.classifier_training import (
    Samples,
    TrainedClassifier,
    class_weights,
    load_encoder,
    remove_weights,
    train_classifier,
)
from genolm.classifier import SequenceClassifier
from genolm.config import Calibration, ClassifierSettings, HeadConfig, Schedule, TokenizerConfig
from genolm.errors import TrainingError
from genolm.registry import load_bundle
from genolm.sequences import reverse_complement
from genolm.tokenizer import KmerTokenizer
from genolm.training import History

HEAD = HeadConfig("binary", ("AT-rich", "GC-rich"))
QUICK = ClassifierSettings(schedule=(Schedule(2, 2e-2),), batch_size=16, drop_mult=0.1, preset="tiny", seed=2)
TOKENS = KmerTokenizer(TokenizerConfig(3, 2))


def biased(rng, length, gc):
    return "".join(rng.choice(list("ACGT"), length, p=[(1 - gc) / 2, gc / 2, gc / 2, (1 - gc) / 2]))


def by_content(rng, count, share=0.5, contents=(0.3, 0.7)):
    labels = (rng.random(count) < share).astype(np.int64)
    return Samples([biased(rng, 45, contents[label]) for label in labels], labels)


def test_the_encoder_comes_from_the_language_model(toy_language_model_path):
    bundle = load_bundle(str(toy_language_model_path))
    model = SequenceClassifier(bundle.config.encoder, HeadConfig(), 67)
    load_encoder(model, bundle.encoder_state())
    for ours, theirs in zip(model.encoder.parameters(), bundle.build().encoder.parameters(), strict=True):
        assert (ours == theirs).all()


def test_class_weights_make_classes_count_the_same():
    labels = np.array([0] * 90 + [1] * 10)
    weights = class_weights(labels, 2)
    counts = np.bincount(labels)
    np.testing.assert_allclose(weights * counts, [50, 50])
    assert (weights[labels]).mean() == pytest.approx(1.0)


def test_taking_weights_off_divides_the_odds_by_them():
    model = SequenceClassifier(load_sizes(), HEAD, 67).eval()
    tokens, lengths = torch.randint(3, 67, (4, 9)), torch.full((4,), 9)
    with torch.inference_mode():
        before = model(tokens, lengths)
        remove_weights(model, np.array([0.5, 8.0]))
        after = model(tokens, lengths)
    odds = torch.exp((before[:, 1] - before[:, 0]) - (after[:, 1] - after[:, 0]))
    np.testing.assert_allclose(odds, 16.0, rtol=1e-4)


def load_sizes():
    from genolm.config import PRESETS

    return PRESETS["tiny"]


def test_a_balanced_training_still_gives_the_true_shares(rng):
    train, valid = by_content(rng, 400, 0.1, (0.5, 0.5)), by_content(rng, 300, 0.1, (0.5, 0.5))
    settings = ClassifierSettings(schedule=(Schedule(1, 5e-3),), batch_size=32, preset="tiny", balanced=True)
    trained = train_classifier(train, valid, HEAD, TOKENS, settings)
    assert trained.probabilities(valid.sequences)[:, 1].mean() == pytest.approx(0.1, abs=0.06)


def test_numbers_are_learned_in_their_own_unit(rng):
    contents = rng.uniform(0.1, 0.9, 360)
    labels = (1000 + 500 * contents)[:, None].astype(np.float32)
    samples = Samples([biased(rng, 60, content) for content in contents], labels)
    train, valid = samples.subset(np.arange(260)), samples.subset(np.arange(260, 360))
    head = HeadConfig("regression", ("value",))
    trained = train_classifier(train, valid, head, TOKENS, ClassifierSettings(**{**vars(QUICK), "schedule": (Schedule(4, 1e-2),)}))
    found = trained.probabilities(valid.sequences)[:, 0]
    assert np.corrcoef(found, valid.labels[:, 0])[0, 1] > 0.6
    assert found.mean() == pytest.approx(1250, abs=60)


def test_a_mirrored_classifier_answers_alike_on_both_strands(rng, make_dna):
    model = SequenceClassifier(load_sizes(), HEAD, 67).eval()
    trained = TrainedClassifier(model, TOKENS, HEAD, Calibration(), History(), {"mirrored": True})
    sequences = [make_dna(50) for _ in range(3)]
    turned = [reverse_complement(item) for item in sequences]
    np.testing.assert_allclose(trained.logits(sequences), trained.logits(turned), atol=1e-5)
    single = TrainedClassifier(model, TOKENS, HEAD, Calibration(), History(), {})
    mean = (single.logits(sequences) + single.logits(turned)) / 2
    np.testing.assert_allclose(trained.logits(sequences), mean, atol=1e-6)


def test_both_strands_are_counted_as_the_validation_rows_say(rng, make_dna):
    model = SequenceClassifier(load_sizes(), HEAD, 67).eval()
    valid = Samples([make_dna(50) for _ in range(60)], rng.permutation(np.repeat([0, 1], 30)))
    trained = TrainedClassifier(model, TOKENS, HEAD, Calibration(), History(), {}).calibrated(valid)
    turned = Samples([reverse_complement(item) for item in valid.sequences], valid.labels)
    odds = [np.diff(trained.logits(part.sequences))[:, 0] / trained.calibration.temperature for part in (valid, turned)]
    assert trained.calibration.either == fit_either(*odds, valid.labels)
    mirrored = replace(trained, settings={"mirrored": True}).calibrated(valid)
    assert mirrored.calibration.either is None
    lone = trained.calibrated(valid.subset(np.flatnonzero(valid.labels)))
    assert lone.calibration.either is None and lone.calibration.threshold == 0.5


def test_labels_that_are_not_in_the_sequence_stop_the_training(rng):
    train, valid = by_content(rng, 96, contents=(0.5, 0.5)), by_content(rng, 60, contents=(0.5, 0.5))
    settings = ClassifierSettings(
        schedule=(Schedule(30, 3e-3),), batch_size=16, drop_mult=0.0, preset="tiny", watched=True
    )
    with pytest.raises(TrainingError, match="Training was stopped"):
        train_classifier(train, valid, HEAD, TOKENS, settings)
