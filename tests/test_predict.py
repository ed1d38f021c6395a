"""The predictor: batches never change an answer, models stay as they are, inputs are checked."""

import numpy as np
import pandas as pd
import pytest

from genolm import compute  # noqa: F401
import torch

from genolm.classifier import Ensemble
from genolm.config import Calibration, EncoderConfig, HeadConfig, TokenizerConfig, Window
from genolm.errors import BundleError, SequenceError, SettingsError
from genolm.predict import BATCH_TOKENS, BF16_TOLERANCE, FP32_TOLERANCE, MAX_TOKENS, Predictor, check_whole
from genolm.prediction import NOT_JUDGED, log_odds, not_judged_words
from genolm.registry import BundleConfig
from genolm.saliency import perturbation_saliency
from genolm.scan import scan_genome
from genolm.tokenizer import encode_bases, reverse_complement_codes
from tests.toys import loud_model, toy_config

RNG = np.random.default_rng(7)


def dna(length: int) -> str:
    return "".join(RNG.choice(list("ACGT"), length))


def toy(head: HeadConfig | None = None, *, k: int = 3, stride: int = 2, **config: object):
    """Return configuration and a small classifier with random weights that are far from zero."""
    settings = {"window": Window(60, 40, "TSS"), "encoder": EncoderConfig(emb=12, hid=20), **config}
    full = toy_config(tokenizer=TokenizerConfig(k, stride), head=head or HeadConfig(), **settings)
    return full, loud_model(full, seed=3)


def predictor(precision: str = "fp32", **options: object) -> Predictor:
    return Predictor.from_model(*toy(**options), device="cpu", precision=precision)


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", FP32_TOLERANCE), ("bf16", BF16_TOLERANCE)])
def test_an_answer_does_not_depend_on_what_else_is_in_the_batch(precision, tolerance):
    ours = predictor(precision)
    sequences = [dna(length) for length in (60, 7, 60, 211, 60, 33, 3, 120)]
    alone = np.concatenate([ours.logits([sequence]) for sequence in sequences])
    together = ours.logits(sequences)
    np.testing.assert_allclose(together, alone, atol=tolerance, rtol=0)
    np.testing.assert_allclose(ours.logits(sequences, batch_tokens=64), alone, atol=tolerance, rtol=0)
    assert np.ptp(alone[:, 1]) > 2 * tolerance


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_sequence_alone_gets_what_it_gets_beside_another(precision):
    ours = predictor(precision, encoder=EncoderConfig(emb=64, hid=128), mirrored=True)
    for sequence in (dna(50) + "N" * 60 + dna(60), dna(180)):
        alone = ours.logits([sequence])
        np.testing.assert_array_equal(alone, ours.logits([sequence, sequence])[:1])
        codes = encode_bases(sequence)[None]
        np.testing.assert_array_equal(ours.logits_of_codes(codes), ours.logits_of_codes(codes.repeat(2, axis=0))[:1])


def test_only_a_row_that_could_have_company_is_read_twice(monkeypatch):
    ours, rows = predictor(), []
    model = ours._model
    monkeypatch.setattr(ours, "_model", lambda block, lengths: rows.append(len(block)) or model(block, lengths))
    monkeypatch.setitem(BATCH_TOKENS, "cpu", 60)
    for length in (60, 62):  # 30 and 31 tokens, the separator among them
        assert ours.logits([dna(length)]).shape == (1, 2)
    assert rows == [2, 1]


def test_logits_are_those_of_the_plain_model_on_one_unpadded_sequence():
    config, model = toy()
    ours = Predictor.from_model(config, model, device="cpu", precision="fp32")
    sequences = [dna(41), dna(60), dna(17)]
    for sequence, row in zip(sequences, ours.logits(sequences), strict=True):
        tokens = [2, *ours.tokenizer.encode(sequence)]
        with torch.inference_mode():
            expected = model(torch.tensor([tokens]), torch.tensor([len(tokens)]))[0].numpy()
        np.testing.assert_allclose(row, expected, atol=FP32_TOLERANCE)


def test_bf16_is_near_fp32():
    sequences = [dna(60) for _ in range(20)]
    full, short = predictor("fp32").logits(sequences), predictor("bf16").logits(sequences)
    assert np.corrcoef(full[:, 1], short[:, 1])[0, 1] > 0.99


def test_equal_windows_take_the_fast_path_to_the_same_numbers():
    ours = predictor()
    codes = RNG.integers(0, 4, (37, 60), dtype=np.uint8)
    codes[5, 10] = 4
    letters = ["".join("ACGTN"[code] for code in row) for row in codes]
    np.testing.assert_allclose(
        ours.logits_of_codes(codes, batch_tokens=100), ours.logits(letters), atol=FP32_TOLERANCE
    )
    assert ours.logits_of_codes(codes[:0]).shape == (0, 2)


def test_order_is_kept_and_case_and_u_do_not_matter():
    ours = predictor()
    sequences = [dna(length) for length in RNG.integers(4, 90, 30)]
    forward, back = ours.logits(sequences), ours.logits(sequences[::-1])
    np.testing.assert_allclose(forward, back[::-1], atol=FP32_TOLERANCE)
    rna = [sequence.lower().replace("t", "u") for sequence in sequences]
    np.testing.assert_array_equal(ours.logits(rna), forward)


def test_columns_generators_and_line_breaks_are_read_as_the_letters_alone():
    model = predictor()
    texts = [dna(60), dna(90)]
    plain = model.predict(texts, ["first", "second"])
    column = pd.DataFrame({"name": ["first", "second"], "seq": texts}, index=[7, 3])
    broken = (f" {text[:30]}\n{text[30:40]} \t{text[40:]}\r\n" for text in texts)
    for found in (model.predict(column["seq"], column["name"]), model.predict(broken, ["first", "second"])):
        pd.testing.assert_frame_equal(found.frame(), plain.frame())
    with pytest.raises(SequenceError, match="'second' is empty"):
        model.predict(pd.Series([texts[0], ""], index=[1, 0]), pd.Series(["first", "second"], index=[1, 0]))


def test_sequences_with_too_few_known_bases_are_not_judged():
    some = dna(29)
    found = predictor().predict(["A", "AC", "N" * 60, some + "N" * 10, some + "aNn" * 4, some + "u"])
    assert found.predicted[:4] == (NOT_JUDGED,) * 4 and NOT_JUDGED not in found.predicted[4:]
    assert np.isnan(found.probabilities[:4]).all() and np.isfinite(found.probabilities[4:]).all()
    assert found.judged.tolist() == [False] * 4 + [True] * 2
    # The raw outputs stay: those without a whole k-mer are alike.
    np.testing.assert_allclose(found.logits[0], found.logits[1], atol=FP32_TOLERANCE)
    assert found.lengths.tolist() == [1, 2, 60, 39, 41, 30]


def test_without_a_window_three_quarters_of_the_letters_and_twenty_bases_must_be_known():
    free = predictor(head=HeadConfig("regression", ("level",)), window=None)
    found = free.predict([dna(19), dna(20), dna(30) + "N" * 11, dna(30) + "N" * 10])
    assert found.judged.tolist() == [False, True, False, True]
    assert np.isnan(found.predicted[0]) and np.isfinite(found.predicted[1])


def test_the_warning_names_the_records_and_the_reason():
    assert not_judged_words([], 0, 3, None) == ""
    assert not_judged_words(["a"], 1, 1, Window(251)) == (
        "1 of 1 record is not judged: a. An answer needs known bases (A, C, G, T) in three quarters of a record, and "
        "126 at least (half of the 251 that the model reads)."
    )
    assert "7 of 9 records are not judged: a, b, c, d, e and 2 more." in not_judged_words(list("abcdefg"), 7, 9, None)


def test_only_a_model_that_can_scan_points_to_scans():
    free, _ = toy(window=None)
    with pytest.raises(SequenceError, match="with this model. Cut it into pieces."):
        check_whole(free, "'long'", 2 * MAX_TOKENS + 5)


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_the_longest_sequence_is_the_one_that_the_message_names(stride):
    free, _ = toy(stride=stride, window=None)
    longest = (MAX_TOKENS - 1) * stride + 2
    check_whole(free, "'long'", longest)
    with pytest.raises(SequenceError, match=f"has {longest + 1:,} bases; a sequence .* has up to {longest:,} with"):
        check_whole(free, "'long'", longest + 1)


def test_a_given_model_stays_as_it_is():
    config, model = toy()
    model.train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    threads = torch.get_num_threads()
    Predictor.from_model(config, model, device="cpu", precision="bf16", threads=1).logits([dna(60)])
    assert model.training and all(item.training for item in model.modules())
    for key, value in model.state_dict().items():
        assert value.dtype == before[key].dtype
        assert torch.equal(value, before[key])
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert torch.get_num_threads() == threads


def test_binary_probabilities_follow_temperature_and_threshold():
    ours = predictor(calibration=Calibration(temperature=2.0, threshold=0.8))
    found = ours.predict([dna(60) for _ in range(40)])
    margin = (found.logits[:, 1] - found.logits[:, 0]) / 2.0
    np.testing.assert_allclose(found.probabilities[:, 1], 1 / (1 + np.exp(-margin)), rtol=1e-4)
    assert [name == "positive" for name in found.predicted] == (found.probabilities[:, 1] >= 0.8).tolist()
    np.testing.assert_array_equal(ours.score_of(found.probabilities), found.probabilities[:, 1])
    assert list(found.frame().columns) == ["record", "length", "predicted", "p_negative", "p_positive"]
    assert found.frame()["record"][1] == "sequence 2"


def test_multiclass_multilabel_and_regression_answers():
    sequences = [dna(50) for _ in range(6)]
    kinds = predictor(head=HeadConfig("multiclass", ("x", "y", "z"))).predict(sequences)
    np.testing.assert_allclose(kinds.probabilities.sum(axis=1), 1, rtol=1e-5)
    assert list(kinds.predicted) == [("x", "y", "z")[index] for index in kinds.logits.argmax(axis=1)]
    many = predictor(head=HeadConfig("multilabel", ("x", "y", "z"))).predict(sequences)
    for labels, row in zip(many.predicted, many.logits, strict=True):
        assert labels == ";".join(name for name, logit in zip("xyz", row, strict=True) if logit >= 0)
    amount = predictor(head=HeadConfig("regression", ("level",))).predict(sequences)
    assert list(amount.frame().columns) == ["record", "length", "predicted", "value_level"]
    np.testing.assert_allclose(amount.predicted, amount.logits[:, 0], rtol=1e-6)


def test_log_odds_by_hand():
    logits = np.array([[1.0, 3.0], [2.0, -1.0]])
    np.testing.assert_allclose(log_odds(logits, 1, "binary"), [2.0, -3.0])
    three = np.log(np.array([[0.2, 0.3, 0.5]]))
    np.testing.assert_allclose(log_odds(three, 2, "multiclass"), [0.0], atol=1e-12)
    np.testing.assert_allclose(log_odds(logits, 0, "multilabel"), [1.0, 2.0])


def test_wrong_input_is_named():
    ours = predictor()
    with pytest.raises(SequenceError, match="no sequence"):
        ours.predict([])
    with pytest.raises(SequenceError, match="'b' is empty"):
        ours.predict(["ACGT", ""], ["a", "b"])
    with pytest.raises(SequenceError, match="Scan it, or cut it"):
        ours.predict(["A" * (2 * MAX_TOKENS + 5)], ["long"])
    with pytest.raises(SettingsError, match="1 names for 2"):
        ours.predict(["ACGT", "ACGT"], ["a"])
    with pytest.raises(SettingsError, match="in a list"):
        ours.logits("ACGT")
    with pytest.raises(SettingsError, match="sequences is a dict, where a list is expected; give one column of it"):
        ours.predict({"one": "ACGT" * 20})
    with pytest.raises(SettingsError, match="sequences is a DataFrame"):
        ours.predict(pd.DataFrame({"sequence": ["ACGT" * 20]}))
    for wrong in (None, float("nan"), b"ACGT"):
        with pytest.raises(SettingsError, match=r"Sequence 2 is (None|nan|b'ACGT'), which is no text"):
            ours.predict(["ACGT" * 20, wrong])
    with pytest.raises(SettingsError, match="batch_tokens is 0"):
        ours.logits(["ACGT"], batch_tokens=0)
    with pytest.raises(SettingsError, match="no class 'nose'.*negative, positive"):
        ours.class_index("nose")
    assert (ours.class_index(), ours.class_index("negative")) == (1, 0)


def test_damaged_weights_are_not_passed_on_as_numbers():
    config, model = toy()
    with torch.no_grad():
        model.encoder.embedding.weight[:] = float("nan")
    with pytest.raises(BundleError, match="not a number"):
        Predictor.from_model(config, model, device="cpu").logits([dna(60)])


def test_a_language_model_is_refused():
    config = BundleConfig(name="lm", kind="language-model")
    with pytest.raises(BundleError, match="has no classes"):
        Predictor.from_model(config, toy()[1])


def test_progress_counts_every_sequence():
    seen = []
    predictor().logits([dna(60) for _ in range(9)], batch_tokens=70, progress=seen.append)
    assert (seen[-1].done, seen[-1].total) == (9, 9)


def turned(sequence: str) -> str:
    return sequence[::-1].translate(str.maketrans("ACGT", "TGCA"))


class Genome:
    """One contig in memory."""

    def __init__(self, sequence: str) -> None:
        self.contigs, self._sequence = {"chr": len(sequence)}, sequence

    def fetch(self, contig: str, start: int, end: int) -> str:  # noqa: ARG002
        return self._sequence[start:end]


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", FP32_TOLERANCE), ("bf16", BF16_TOLERANCE)])
def test_an_ensemble_answers_the_mean_of_what_its_members_answer_alone(precision, tolerance):
    config, (first, second) = toy(members=2)[0], (toy()[1] for _ in range(2))
    with torch.no_grad():
        for parameter in second.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    options = {"device": "cpu", "precision": precision}
    sequences = [dna(length) for length in (60, 7, 120, 60)]
    alone = [Predictor.from_model(toy()[0], model, **options).logits(sequences) for model in (first, second)]
    assert np.abs(alone[0] - alone[1]).max() > 0.1
    together = Predictor.from_model(config, Ensemble([first, second]), **options)
    np.testing.assert_allclose(together.logits(sequences), np.mean(alone, axis=0), atol=tolerance)
    for encoder in together._model.encoders():
        assert encoder.embedding.weight.dtype == together.dtype
    for member in together._model.members:
        assert member.head.layers[2].weight.dtype == torch.float32


def test_a_mirrored_model_gives_a_sequence_and_its_other_strand_the_mean_of_both():
    ours, plain = predictor(mirrored=True), predictor()
    sequences = [dna(length) for length in (60, 61, 7, 3, 2, 133)]
    other = [turned(sequence) for sequence in sequences]
    found = ours.logits(sequences)
    np.testing.assert_allclose(found, ours.logits(other), atol=FP32_TOLERANCE)
    mean = (plain.logits(sequences) + plain.logits(other)) / 2
    np.testing.assert_allclose(found, mean, atol=FP32_TOLERANCE)
    assert np.abs(plain.logits(sequences) - plain.logits(other)).max() > 0.1
    codes = np.stack([encode_bases(dna(61)) for _ in range(9)])
    codes[3, 20] = 4
    np.testing.assert_allclose(
        ours.logits_of_codes(codes, batch_tokens=70),
        ours.logits_of_codes(reverse_complement_codes(codes)),
        atol=FP32_TOLERANCE,
    )
    letters = ["".join("ACGTN"[code] for code in row) for row in codes]
    np.testing.assert_allclose(ours.logits_of_codes(codes), ours.logits(letters), atol=FP32_TOLERANCE)


def test_a_model_wants_the_tokens_of_each_of_its_readings():
    tokens = np.full((2, 9), 5)
    with pytest.raises(SettingsError, match="answers by 2 readings of a sequence, not 1; give the tokens of each"):
        predictor(mirrored=True).logits_of_tokens(tokens)
    with pytest.raises(SettingsError, match="answers by 1 reading of a sequence, not 2"):
        predictor().logits_of_tokens(tokens, tokens)


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_framed_model_gives_the_mean_of_readings_from_each_of_the_first_bases(mirrored):
    ours, plain = predictor(stride=3, framed=True, mirrored=mirrored), predictor(stride=3)
    sequences = [dna(length) for length in (60, 61, 7, 5, 4, 3, 2, 133)]
    strands = [sequences, [turned(item) for item in sequences]] if mirrored else [sequences]
    # Of 4 bases the third has no whole 3-mer from it on, so that they are read whole once more.
    ways = [(strand, first) for strand in strands for first in range(3)]
    cut = [[item[first if len(item) - first >= 3 else 0 :] for item in strand] for strand, first in ways]
    readings = [plain.logits(items) for items in cut]
    found = ours.logits(sequences)
    np.testing.assert_allclose(found, np.mean(readings, axis=0), atol=FP32_TOLERANCE)
    assert np.abs(found - readings[0]).max() > 0.05
    codes = np.stack([encode_bases(dna(61)) for _ in range(9)])
    codes[3, 20] = 4
    letters = ["".join("ACGTN"[code] for code in row) for row in codes]
    of_codes = ours.logits_of_codes(codes, batch_tokens=70)
    np.testing.assert_allclose(of_codes, ours.logits(letters), atol=FP32_TOLERANCE)


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_framed_scan_says_of_each_window_what_is_said_of_it_alone(mirrored):
    ours = predictor(stride=3, framed=True, mirrored=mirrored, calibration=Calibration(temperature=20.0))
    sequence = dna(135)
    plus, minus = scan_genome(Genome(sequence), ours, stride=7).tracks
    for strand, values in ((sequence, plus.values), (turned(sequence), minus.values[::-1])):
        alone = ours.predict([strand[start : start + 60] for start in range(0, 71, 7)]).probabilities[:, 1]
        np.testing.assert_allclose(values, alone, atol=1e-4)
        assert np.std(alone) > 1e-3
    with pytest.raises(SettingsError, match="reads each window from several bases on, which a stream does not"):
        scan_genome(Genome(sequence), ours, stride=7, mode="stream")


@pytest.mark.parametrize("window", [3, 4, 5])
def test_a_framed_scan_reads_a_window_without_a_later_frame_whole(window):
    calibration = Calibration(temperature=20.0)
    ours = predictor(stride=3, framed=True, window=Window(window, 1, "TSS"), calibration=calibration)
    sequence = dna(window + 20)
    plus = scan_genome(Genome(sequence), ours, stride=1, strands="+").tracks[0]
    alone = ours.logits([sequence[start : start + window] for start in range(21)])
    np.testing.assert_allclose(plus.values, ours.probabilities(alone)[:, 1], atol=1e-5)


@pytest.mark.parametrize(("window", "stride"), [(60, 1), (61, 7)])
def test_a_mirrored_scan_gives_each_window_one_score_on_both_strands(window, stride, monkeypatch):
    monkeypatch.setattr("genolm.scan_work.tokens_per_part", lambda *_: 2_000)
    calibration = Calibration(temperature=20.0)
    ours = predictor(mirrored=True, window=Window(window, 40, "TSS"), calibration=calibration)
    sequence = dna(window + 40 * stride)
    sequence = sequence[:30] + "N" * 8 + sequence[38:]
    plus, minus = scan_genome(Genome(sequence), ours, stride=stride).tracks
    assert (plus.strand, minus.strand, len(plus.values)) == ("+", "-", 41)
    np.testing.assert_allclose(plus.values, minus.values, atol=FP32_TOLERANCE)
    assert np.isnan(plus.values).any() and np.nanstd(plus.values) > 1e-3
    starts = range(0, 40 * stride + 1, stride)
    alone = ours.predict([sequence[start : start + window] for start in starts]).probabilities[:, 1]
    scored = ~np.isnan(plus.values)
    np.testing.assert_allclose(plus.values[scored], alone[scored], atol=1e-4)


def test_mirrored_saliency_explains_the_mean_of_both_strands():
    ours, sequence = predictor(mirrored=True, window=None), dna(25)
    options = {"lengths": (1,), "fills": 2}
    plus = perturbation_saliency(ours, sequence, **options)
    minus = perturbation_saliency(ours, sequence, strand="-", **options)
    np.testing.assert_allclose(plus.score, minus.score, atol=1e-4)
    assert abs(plus.base_logit - minus.base_logit) < 1e-4 and np.ptp(plus.score) > 0.01
