import itertools
import time

import numpy as np
import pytest
from hypothesis import given, strategies

from genolm.config import TokenizerConfig
from genolm.errors import SettingsError
from genolm.tokenizer import KmerTokenizer, encode_bases, reverse_complement_codes

DNA = strategies.text("ACGTN", max_size=60)


def plain_tokens(sequence, k, stride):
    order = {"".join(letters): 3 + i for i, letters in enumerate(itertools.product("ACGT", repeat=k))}
    kmers = [sequence[i : i + k] for i in range(0, len(sequence) - k + 1, stride)]
    return [order.get(kmer, 1) for kmer in kmers]


@given(DNA, strategies.integers(1, 5), strategies.data())
def test_tokens_equal_a_dictionary_look_up(sequence, k, data):
    stride = data.draw(strategies.integers(1, k))
    tokenizer = KmerTokenizer(TokenizerConfig(k, stride))
    ids = tokenizer.encode(sequence)
    assert ids.tolist() == plain_tokens(sequence, k, stride)
    assert len(ids) == tokenizer.count(len(sequence))


@given(strategies.text("ACGT", min_size=5, max_size=80), strategies.integers(1, 5), strategies.data())
def test_round_trip_gives_every_base_that_a_token_covers(sequence, k, data):
    stride = data.draw(strategies.integers(1, k))
    tokenizer = KmerTokenizer(TokenizerConfig(k, stride))
    ids = tokenizer.encode(sequence)
    covered = (len(ids) - 1) * stride + k
    assert tokenizer.decode(ids) == sequence[:covered]
    assert tokenizer.positions(len(ids)).tolist() == list(range(0, covered - k + 1, stride))


def test_special_ids_are_apart_from_kmers_and_case_and_uracil_do_not_matter():
    tokenizer = KmerTokenizer(TokenizerConfig(2, 1))
    assert [tokenizer.kmer(i) for i in range(4)] == ["[pad]", "[unknown]", "[separator]", "AA"]
    assert tokenizer.kmer(tokenizer.vocab_size - 1) == "TT"
    assert tokenizer.encode("acGU").tolist() == tokenizer.encode("ACGT").tolist()
    assert tokenizer.encode("A").tolist() == []
    assert tokenizer.decode(tokenizer.encode("ACNGT")) == "ACNGT"
    with pytest.raises(SettingsError, match="vocabulary of 19"):
        tokenizer.kmer(19)


def test_a_matrix_of_codes_is_tokenised_row_by_row(make_dna):
    tokenizer = KmerTokenizer(TokenizerConfig(4, 3))
    rows = [make_dna(41) for _ in range(5)]
    matrix = np.stack([encode_bases(row) for row in rows])
    assert np.array_equal(tokenizer.encode(matrix), np.stack([tokenizer.encode(row) for row in rows]))


def test_reverse_complement_of_codes():
    assert np.array_equal(reverse_complement_codes(encode_bases("AACGTN")), encode_bases("NACGTT"))


def test_ids_outside_the_vocabulary_are_refused():
    tokenizer = KmerTokenizer(TokenizerConfig(2, 2))
    for ids in ([tokenizer.vocab_size], [3, -1], [999]):
        with pytest.raises(SettingsError, match="is not in a vocabulary of 19"):
            tokenizer.decode(np.array(ids))


@pytest.mark.parametrize(("k", "stride"), [(0, 1), (9, 1), (3, 4), (3, 0)])
def test_settings_that_cannot_work_are_refused(k, stride):
    with pytest.raises(SettingsError):
        TokenizerConfig(k, stride)


def test_speed_is_far_from_a_python_loop():
    """Not a timing: a plain loop over 10 Mbp would take many times the suite's patience."""
    codes = np.random.default_rng(1).integers(0, 4, 10_000_000, dtype=np.uint8)
    began = time.process_time()
    assert len(KmerTokenizer(TokenizerConfig(3, 3)).encode(codes)) == 3_333_333
    assert time.process_time() - began < 5
