"""The Markov baseline is scored on the very bases that the language model is scored on."""

import math

import numpy as np
import pytest

from genolm.batches import LanguageStream, StreamSettings, TextBatch, scored_targets
from genolm.config import TokenizerConfig
from genolm.language import token_losses
from genolm.language_scores import _stretches, bits_per_base, held_out_text, markov_losses
from genolm.markov import MarkovModel, WordCounts
from genolm.registry import load_bundle
from genolm.tokenizer import KmerTokenizer, encode_bases, reverse_complement_codes


def test_an_untrained_model_scores_two_bits(toy_language_model_path, make_dna):
    model = load_bundle(toy_language_model_path).build()
    text = held_out_text([encode_bases(make_dna(30_000))], KmerTokenizer(TokenizerConfig(3, 2)), bases=30_000)
    losses = token_losses(model, text)
    assert losses.mean() == pytest.approx(math.log(67), abs=0.05)
    assert bits_per_base(model, text, 2)["value"] == pytest.approx(losses.mean() / 2 / math.log(2))


@pytest.mark.parametrize(("k", "stride"), [(3, 3), (3, 1), (4, 2), (1, 1)])
def test_a_markov_model_reads_the_same_bases(make_dna, k, stride):
    record = encode_bases(make_dna(700) + "N" + make_dna(900))
    tokenizer = KmerTokenizer(TokenizerConfig(k, stride))
    stream = LanguageStream([record], tokenizer, StreamSettings(rows=1, bptt=10, piece=300, seed=3))
    text = [stream[step] for step in range(len(stream))]
    counts = WordCounts(2)
    counts.add(record[:800])
    model = MarkovModel(counts, (1.0, 2.0, 3.0))
    found = markov_losses(model, text, tokenizer)
    assert len(found) == sum(int(scored_targets(batch).sum()) for batch in text)

    wanted = []
    for (_, start, end), minus in zip(stream._pieces, stream._minus, strict=True):
        codes = reverse_complement_codes(record[start:end]) if minus else record[start:end]
        places = [token * stride for token in range(tokenizer.count(len(codes)))]
        known = [place for place in places if (codes[place : place + k] < 4).all()]
        seen = np.isin(np.arange(len(codes)), [place + base for place in known for base in range(k)])
        losses = model.losses(np.where(seen, codes, 4).astype(np.uint8))
        wanted += [losses[place + k - stride : place + k].sum() for place in known if place > 0]
    assert np.isfinite(wanted).all()
    np.testing.assert_allclose(found, wanted[: len(found)], rtol=1e-9)


def test_many_records_make_no_longer_text_than_one(make_dna):
    tokenizer = KmerTokenizer(TokenizerConfig(3, 3))
    one = held_out_text([encode_bases(make_dna(40_000))], tokenizer, bases=40_000)
    many = held_out_text([encode_bases(make_dna(1_500)) for _ in range(200)], tokenizer, bases=40_000)
    counts = [sum(batch.targets.numel() for batch in text) for text in (one, many)]
    assert 0.6 < counts[1] / counts[0] < 2.2


@pytest.mark.parametrize(
    ("lengths", "bases", "large"),
    [([2_000_000] * 4 + [5_000] * 400, 300_000, 4), ([1_500_000, *[500] * 100], 300_000, 1)],
)
def test_large_and_small_records_are_read_by_their_share_of_the_bases(lengths, bases, large):
    records = [np.zeros(length, np.uint8) for length in lengths]
    found = _stretches(records, bases)
    assert 0.9 * bases < sum(map(len, found)) < 1.1 * bases and max(map(len, found)) <= 10_000
    of_large = sum(len(part) for part in found if any(np.shares_memory(part, record) for record in records[:large]))
    assert of_large / sum(map(len, found)) == pytest.approx(sum(lengths[:large]) / sum(lengths), abs=0.04)


def test_few_bases_are_all_read_and_of_few_long_records_the_middle(make_dna):
    small = [encode_bases(make_dna(length)) for length in (3000, 5000, 9000)]
    assert [len(part) for part in _stretches(small, 600_000)] == [3000, 5000, 9000]
    long = [encode_bases(make_dna(length)) for length in (90_000, 50_000)]
    parts = _stretches(long, 60_000)
    assert [len(part) for part in parts] == [30_000, 30_000]
    np.testing.assert_array_equal(parts[0], long[0][30_000:60_000])


def test_losses_stand_in_the_order_of_the_text(make_dna):
    tokenizer = KmerTokenizer(TokenizerConfig(1, 1))
    # A text whose first half is easy: the first half of each row has low losses, the second high ones.
    record = encode_bases("A" * 4000 + make_dna(4000))
    stream = LanguageStream([record], tokenizer, StreamSettings(rows=1, bptt=50, piece=10_000, both_strands=False))
    text = [stream[step] for step in range(len(stream))]
    twice = [TextBatch(batch.inputs.repeat(2, 1), batch.targets.repeat(2, 1), batch.fresh) for batch in text]
    counts = WordCounts(0)
    counts.add(encode_bases("A" * 90 + "CGT"))
    model = MarkovModel(counts, (1.0,))
    once, found = markov_losses(model, text, tokenizer), markov_losses(model, twice, tokenizer)
    np.testing.assert_array_equal(found, np.tile(once, 2))


def test_unknown_stretches_are_passed_over(make_dna):
    record = encode_bases("N" * 60_000 + make_dna(20_000))
    text = held_out_text([record], KmerTokenizer(TokenizerConfig(3, 3)), bases=20_000)
    scored = sum(int(scored_targets(batch).sum()) for batch in text)
    assert scored > 0.8 * sum(batch.targets.numel() for batch in text)


@pytest.mark.parametrize("stride", [1, 3])
def test_a_text_of_few_pieces_is_read_nearly_whole(make_dna, stride):
    tokenizer = KmerTokenizer(TokenizerConfig(3, stride))
    text = held_out_text([encode_bases(make_dna(347_266))], tokenizer, bases=347_266)
    assert sum(batch.targets.numel() for batch in text) > 0.5 * 347_266 / stride
