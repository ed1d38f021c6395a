"""Saliency: the arithmetic by hand on a model that is known, then its promises on a real one."""

import numpy as np
import pytest

from genolm import compute  # noqa: F401
import torch

from genolm.config import Calibration, HeadConfig, TokenizerConfig, Window
from genolm.errors import SequenceError, SettingsError
from genolm.predict import Predictor
from genolm.prediction import NOT_JUDGED
from genolm.saliency import LENGTHS, explained_answer, is_judged, perturbation_saliency, saliency_windows
from genolm.sequences import reverse_complement
from genolm.tokenizer import encode_bases
from tests.toys import loud_model, toy_config

RNG = np.random.default_rng(2)
TURN = str.maketrans("ACGTN", "TGCAN")


def dna(length: int) -> str:
    return "".join(RNG.choice(list("ACGT"), length))


def predictor(head: HeadConfig | None = None, window: Window | None = None, **config: object) -> Predictor:
    config = toy_config(tokenizer=TokenizerConfig(3, 1), head=head or HeadConfig(), window=window, **config)
    return Predictor.from_model(config, loud_model(config, seed=5), device="cpu", precision="fp32")


class Additive(Predictor):
    """A stand-in for a model: its log-odds are the sum of a weight for each matching base of a motif."""

    def __init__(self, weights: np.ndarray, window: Window | None = None) -> None:
        real = predictor(window=window)
        self.__dict__.update(real.__dict__)
        self.weights = weights  # (length, 4)
        self.seen: list[np.ndarray] = []

    def logits_of_codes(self, codes, *, batch_tokens=None, ticker=None):
        self.seen.append(codes.copy())
        total = np.zeros(len(codes))
        for column in range(codes.shape[1]):
            total += np.append(self.weights[column], 0.0)[codes[:, column]]
        if ticker:
            ticker.advance(len(codes))
        return np.stack([np.zeros(len(codes)), total], axis=1).astype(np.float32)


def test_length_one_gives_each_base_its_own_contribution_without_error():
    sequence = dna(12)
    codes = encode_bases(sequence)
    weights = RNG.normal(size=(12, 4))
    found = perturbation_saliency(Additive(weights), sequence, lengths=(1,))
    own = weights[np.arange(12), codes]
    others = (weights.sum(axis=1) - own) / 3
    np.testing.assert_allclose(found.score, own - others, atol=1e-5)
    np.testing.assert_array_equal(found.low, found.score)
    np.testing.assert_array_equal(found.high, found.score)
    assert found.base_logit == pytest.approx(own.sum(), abs=1e-5)


def test_longer_stretches_are_averaged_over_the_places_that_cover_a_base():
    sequence = "ACGTA"
    codes = encode_bases(sequence)
    weights = np.zeros((5, 4))
    weights[2, codes[2]] = 6.0
    found = perturbation_saliency(Additive(weights), sequence, lengths=(1, 3), fills=5)
    np.testing.assert_allclose(found.per_length[1], [0, 0, 6, 0, 0])
    np.testing.assert_allclose(found.per_length[3], [6, 6, 6])
    np.testing.assert_allclose(found.score, [3, 3, 6, 3, 3])
    np.testing.assert_allclose(found.high - found.low, 0, atol=1e-6)


def test_every_base_of_a_stretch_is_replaced_and_no_other():
    sequence = "ACGTNACGTAACC"
    model = Additive(np.zeros((13, 4)))
    perturbation_saliency(model, sequence, lengths=(3,), fills=4)
    original = encode_bases(sequence)
    variants = np.concatenate(model.seen[1:]).reshape(11, 4, 13)
    for start in range(11):
        changed = variants[start] != original
        assert changed[:, start : start + 3].all()
        assert changed.sum() == 4 * 3
    assert variants.max() <= 4
    assert len(np.unique(variants[0], axis=0)) > 1


def test_the_band_covers_the_expected_value():
    """Over many seeds, the mean over all fills lies in the 95 % band about 95 times in a hundred."""
    sequence = dna(9)
    codes = encode_bases(sequence)
    weights = RNG.normal(size=(9, 4))
    own = weights[np.arange(9), codes]
    loss = own - (weights.sum(axis=1) - own) / 3
    three = np.ones(3)
    truth = np.convolve(np.convolve(loss, three, "valid"), three) / np.convolve(np.ones(7), three)
    inside = []
    for seed in range(60):
        found = perturbation_saliency(Additive(weights), sequence, lengths=(3,), fills=12, seed=seed)
        inside.append((found.low <= truth) & (truth <= found.high))
    assert 0.88 < np.mean(inside) < 0.99


def test_minus_strand_is_the_saliency_of_the_reverse_complement_in_given_coordinates():
    sequence = dna(40)
    ours = predictor(window=Window(40, 30, "TSS"))
    minus = perturbation_saliency(ours, sequence, lengths=(1, 5), fills=3, strand="-", anchor=4)
    turned = sequence.translate(TURN)[::-1]
    plus = perturbation_saliency(ours, turned, lengths=(1, 5), fills=3)
    np.testing.assert_array_equal(minus.score, plus.score[::-1])
    np.testing.assert_array_equal(minus.per_length[5], plus.per_length[5][::-1])
    assert minus.base_logit == plus.base_logit
    frame = minus.frame("r")
    assert list(frame.columns) == ["record", "position", "base", "strand", "score", "low", "high"]
    assert "".join(frame["base"]) == sequence
    assert frame["position"].tolist() == list(range(40))
    assert set(frame["strand"]) == {"-"}
    assert minus.anchor == 4


def test_a_real_model_is_reproducible_and_the_cost_is_as_told():
    ours, sequence, seen = predictor(), dna(30), []
    first = perturbation_saliency(ours, sequence, fills=2, progress=seen.append)
    again = perturbation_saliency(ours, sequence, fills=2)
    other = perturbation_saliency(ours, sequence, fills=2, seed=2)
    np.testing.assert_array_equal(first.score, again.score)
    assert not np.array_equal(first.score, other.score)
    cost = saliency_windows(30, fills=2)
    assert cost == 1 + 30 * 3 + sum((30 - k + 1) * 2 for k in LENGTHS[1:])
    assert seen[-1].done == seen[-1].total == cost == first.windows
    assert (first.low <= first.score).all()
    assert (first.score <= first.high).all()


def test_a_long_sequence_is_judged_in_the_best_window_that_holds_the_stretch():
    weights = np.zeros((10, 4))
    weights[6] = [0, 0, 5.0, 0]  # a G six bases into the window
    sequence = "A" * 20 + "G" + "A" * 19
    found = perturbation_saliency(Additive(weights, Window(10, 6, "TSS")), sequence, lengths=(1,))
    expected = np.zeros(40)
    expected[20] = 5.0  # judged in window 14..24, where it counts
    # A base of that window other than the G supports nothing; one in any other window takes 5/3 off
    # each time it turns into the G that the window lacks.
    outside = [place for place in range(40) if not 14 <= place < 24]
    assert found.score[20] == pytest.approx(5.0)
    np.testing.assert_allclose(found.score[14:20], 0, atol=1e-6)
    np.testing.assert_allclose(found.score[21:24], 0, atol=1e-6)
    assert set(np.round(found.score[outside], 4)) <= {0.0, np.float32(-1.6667)}
    assert found.windows == saliency_windows(40, lengths=(1,), window=10) == 31 + 120


def test_a_marked_site_fixes_the_window_around_it():
    weights = np.zeros((10, 4))
    weights[6] = [0, 0, 5.0, 0]
    sequence = "A" * 20 + "G" + "A" * 19
    model = Additive(weights, Window(10, 6, "TSS"))
    found = perturbation_saliency(model, sequence, lengths=(1,), anchor=18)
    assert found.base_logit == pytest.approx(0.0)
    assert found.score[20] == pytest.approx(0.0)  # window 12..22 has an A at its anchor
    assert found.score[18] == pytest.approx(-5 / 3, abs=1e-5)
    assert found.anchor == 18


@pytest.mark.parametrize("strand", "+-")
def test_a_window_with_too_few_known_bases_judges_only_what_no_other_one_holds(strand):
    sequence = dna(20) + "N" * 15 + dna(20)
    model = Additive(np.full((10, 4), -1.0), Window(10, 2, "TSS"))  # each known base makes a window score less
    found = perturbation_saliency(model, sequence, lengths=(1,), strand=strand)
    assert found.base_logit == -8.0  # that of a window with two unknown bases, the most that is judged
    unknown = (model.seen[1] == 4).sum(axis=1).reshape(55, 3)
    known = encode_bases(sequence if strand == "+" else reverse_complement(sequence)) < 4
    assert (unknown[known] <= 2).all() and (unknown[27] == 9).all()
    explained = explained_answer(model, sequence, class_index=1, strand=strand)
    assert sequence[explained.start : explained.end].count("N") == 2
    assert explained.prediction.judged.all() and explained.class_name == "positive"
    # A site in the gap leads to no window of it; one beside it leads to its own.
    far, near = (explained_answer(model, sequence, class_index=1, anchor=site) for site in (27, 5))
    assert far.prediction.judged.all() and (near.start, near.end) == (3, 13)


@pytest.mark.parametrize("lengths", [np.array([3, 5]), (k for k in (3, 5)), (5.0, 3.0)])
def test_lengths_may_come_in_any_form(lengths):
    ours, sequence = predictor(), dna(30)
    plain = perturbation_saliency(ours, sequence, lengths=(3, 5), fills=2)
    found = perturbation_saliency(ours, sequence, lengths=lengths, fills=2)
    assert list(found.per_length) == [3, 5] and np.array_equal(found.score, plain.score)


def test_whether_anything_is_judged_goes_by_the_windows():
    short = predictor(window=Window(20))
    kept = dna(16) + "N" * 4
    assert [is_judged(short, text) for text in (kept, "N" * 30 + kept, kept[:-1] + "N" + "N" * 40, "N" * 20)] == [
        True, True, True, False
    ]  # fmt: skip
    assert not is_judged(short, dna(9)) and is_judged(short, dna(10).lower())
    assert not is_judged(short, (dna(7) + "N" * 3) * 9)
    assert not is_judged(predictor(), dna(19)) and is_judged(predictor(), dna(20))


def test_of_a_long_sequence_the_class_is_what_the_model_says_of_it_as_a_whole():
    config = toy_config(head=HeadConfig("multiclass", ("x", "y", "z")), window=Window(20))
    network, options, surest = loud_model(config, seed=5), {"device": "cpu", "precision": "fp32"}, []
    logits = Predictor.from_model(config, network, **options).logits([dna(60) for _ in range(20)])
    network.head.layers[-1].bias.data -= torch.from_numpy(np.median(logits, axis=0))  # so that not all are alike
    ours = Predictor.from_model(config, network, **options)
    for strand in "+-":
        for _ in range(8):
            sequence = dna(60)
            read = sequence if strand == "+" else reverse_complement(sequence)
            (said,) = ours.predict([read]).predicted
            found = perturbation_saliency(ours, sequence, lengths=(15,), fills=2, strand=strand)
            assert found.class_name == said == explained_answer(ours, sequence, strand=strand).class_name
            windows = ours.logits([read[start : start + 20] for start in range(41)])
            surest.append("xyz"[int(np.unravel_index(windows.argmax(), windows.shape)[1])] == said)
    assert not all(surest)


class Choosing(Predictor):
    """A stand-in: the logits of a window are a row of ``rows``, by its first base, those of a sequence ``rows[3]``."""

    def __init__(self, head: HeadConfig, rows: list[list[float]], **config: object) -> None:
        self.__dict__.update(predictor(head, Window(20, 10, "TSS"), **config).__dict__)
        self.rows = np.array(rows, dtype=np.float32)

    def logits_of_codes(self, codes, *, batch_tokens=None, ticker=None):
        return self.rows[np.minimum(codes[:, 0], 3)]

    def logits(self, sequences, **options):
        return np.repeat(self.rows[3:], len(sequences), axis=0)


def test_a_class_that_no_whole_answer_names_is_that_of_the_surest_window():
    kinds = HeadConfig("multiclass", ("x", "y", "z"))
    # A has the highest logit and a probability of a half, C the highest probability.
    several = Choosing(kinds, [[9.0, 9.0, 0.0], [0.0, 5.0, -5.0], [1.0, 0.0, 1.2], [0.0, 0.0, 0.1]])
    gap = "ACG" + "C" * 20 + "N" * 40 + "G" * 20
    assert several.predict([gap]).predicted == (NOT_JUDGED,)
    assert explained_answer(several, gap).class_name == "y"
    at_site = explained_answer(several, gap, anchor=73)  # window 63..83 begins with G
    assert (at_site.class_name, at_site.start) == ("z", 63)
    labels = HeadConfig("multilabel", ("x", "y", "z"))
    rows = [[1.0, 3.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 1.0]]
    for whole, name in (([-1.0, -1.0, -1.0], "y"), ([2.0, -1.0, 1.0], "y"), ([-1.0, -1.0, 1.0], "z")):
        many = Choosing(labels, [*rows, whole], calibration=Calibration(threshold=0.5))
        assert explained_answer(many, "ACG" * 20).class_name == name


def test_class_of_a_multiclass_model_is_the_predicted_one_or_the_named_one():
    ours = predictor(HeadConfig("multiclass", ("x", "y", "z")))
    sequence = dna(25)
    winner = int(ours.logits([sequence]).argmax())
    found = perturbation_saliency(ours, sequence, lengths=(3,), fills=2)
    assert found.class_name == "xyz"[winner]
    named = perturbation_saliency(ours, sequence, lengths=(3,), fills=2, class_index=(winner + 1) % 3)
    assert named.class_name == "xyz"[(winner + 1) % 3]
    assert not np.allclose(named.score, found.score)


def test_wrong_input_is_refused():
    ours = predictor()
    with pytest.raises(SequenceError, match="empty"):
        perturbation_saliency(ours, "")
    with pytest.raises(SettingsError, match=r"lengths are \[1.5\]; give whole numbers"):
        perturbation_saliency(ours, "ACGT" * 5, lengths=[1.5])
    with pytest.raises(SettingsError, match="at least 2"):
        perturbation_saliency(ours, "ACGT", fills=1)
    with pytest.raises(SettingsError, match="\\+ or -"):
        perturbation_saliency(ours, "ACGT", strand="both")
    with pytest.raises(SettingsError, match="there are 4 to replace"):
        perturbation_saliency(ours, "ACGT", lengths=(9, 7))
    with pytest.raises(SettingsError, match="positions 0 to 3"):
        perturbation_saliency(ours, "ACGT", anchor=4)
    with pytest.raises(SettingsError, match="positions 0 to 3"):
        explained_answer(ours, "ACGT", anchor=-1)
    with pytest.raises(SettingsError, match="seed is -1"):
        perturbation_saliency(ours, "ACGT", seed=-1)
    with pytest.raises(SettingsError, match="class_index is 2; the model's are 0 to 1"):
        explained_answer(ours, "ACGT", class_index=2)
