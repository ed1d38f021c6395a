"""Training on stretches: which stretches are drawn, that labels stand where they belong, that it learns."""

import numpy as np
import pytest

from genolm.config import HeadConfig, Schedule, TokenizerConfig, Window
from genolm.errors import TrainingError
from genolm.stretch_training import LabelledStrand, Stretches, StretchSettings, train_on_stretches
from genolm.tokenizer import KmerTokenizer, encode_bases

WINDOW = Window(30, 20, "TSS")
MOTIF = "TATAATGCGC"
SETTINGS = StretchSettings(stretch=60, step=3, around=2, elsewhere=40, batch_size=16, preset="tiny", drop_mult=0.0)


def planted(length, sites, seed=1):
    """A strand with the motif 12 to 2 bp before each site, labelled 1 there and unknown beside it."""
    rng = np.random.default_rng(seed)
    letters = list(rng.choice(list("ACGT"), length))
    labels = np.zeros(length, dtype=np.int8)
    for site in sites:
        letters[site - 12 : site - 2] = MOTIF
        labels[site - 4 : site + 5] = -1
        labels[site - 1 : site + 2] = 1
    return LabelledStrand(encode_bases("".join(letters)), labels, np.ones(length, dtype=bool))


def test_labels_stand_at_the_anchors_and_nothing_else_is_read():
    strand = planted(4_000, range(100, 3_900, 97))
    strand.allowed[1_500:2_500] = False
    # Every base is its own number, so that a stretch tells where it was cut.
    tokenizer = KmerTokenizer(TokenizerConfig(6, 3))
    batches = Stretches([strand], tokenizer, WINDOW, settings=SETTINGS, epoch=0)
    whole = tokenizer.encode(strand.codes)
    seen, positives = 0, 0
    for step in range(len(batches)):
        batch = batches[step]
        assert (batch.tokens[:, 0] == tokenizer.sep_id).all()
        for tokens, labels in zip(batch.tokens[:, 1:].numpy(), batch.labels.numpy(), strict=True):
            starts = [
                start
                for frame in range(3)
                for start in 3 * find(KmerTokenizer(TokenizerConfig(6, 3)).encode(strand.codes[frame:]), tokens) + frame
            ]
            assert len(starts) == 1
            start = starts[0]
            assert strand.allowed[start : start + 60].all()
            anchors = start + np.arange(0, 31, 3) + 20
            np.testing.assert_array_equal(labels, strand.labels[anchors])
            seen, positives = seen + 1, positives + int((labels == 1).any())
    assert len(whole) and seen >= 40 + 2 * 25
    assert positives >= 2 * 25


def find(text, piece):
    views = np.lib.stride_tricks.sliding_window_view(text, len(piece))
    return np.flatnonzero((views == piece).all(1))


def test_each_epoch_draws_anew_and_validation_does_not():
    strand, tokenizer = planted(3_000, range(100, 2_900, 200)), KmerTokenizer(TokenizerConfig(3, 1))

    def tokens(epoch):
        batches = Stretches([strand], tokenizer, WINDOW, settings=SETTINGS, epoch=epoch)
        return np.concatenate([batches[step].tokens.numpy() for step in range(len(batches))])

    assert np.array_equal(tokens(0), tokens(0))
    assert not np.array_equal(tokens(0)[:10], tokens(1)[:10])
    assert np.array_equal(tokens(None), tokens(None))


def test_a_step_that_is_no_multiple_of_the_stride_is_refused():
    with pytest.raises(TrainingError, match="step \\(3\\) that is a multiple of the k-mers' stride \\(2\\)"):
        Stretches([], KmerTokenizer(TokenizerConfig(3, 2)), WINDOW, settings=SETTINGS, epoch=0)


def test_it_learns_a_motif_and_takes_the_weights_back_out():
    train, valid = planted(5_000, range(60, 4_900, 61)), planted(1_500, range(60, 1_400, 67), seed=2)
    settings = StretchSettings(
        schedule=(Schedule(6, 1e-2),), stretch=60, step=3, around=2, elsewhere=100, negative_weight=0.2,
        batch_size=16, preset="tiny", drop_mult=0.0,
    )  # fmt: skip
    tokenizer = KmerTokenizer(TokenizerConfig(3, 1))
    head = HeadConfig("binary", ("other", "promoter"), slots=10)
    trained = train_on_stretches([train], [valid], head, tokenizer, window=WINDOW, settings=settings)
    figures = trained.history.epochs[trained.history.best_epoch].valid
    assert figures["auprc"] > 0.8
    rng = np.random.default_rng(5)
    backgrounds = ["".join(rng.choice(list("ACGT"), 30)) for _ in range(40)]
    sites = [text[:8] + MOTIF + text[18:] for text in backgrounds]
    with_motif, without = (trained.logits(texts)[:, 1] - trained.logits(texts)[:, 0] for texts in (sites, backgrounds))
    assert np.median(with_motif) > np.quantile(without, 0.9)
    assert trained.probabilities(backgrounds)[:, 1].mean() < 0.1
