"""The share of a sequence that stands in others, against one counted with strings."""

import numpy as np
import pytest

from genolm.sequences import reverse_complement
from genolm.shared_words import WORD, relative_notes, shared_share
from genolm.tokenizer import encode_bases


def counted(one: str, other: str) -> float:
    """The share of all words of one that the other has on either strand, none left out."""
    here = {min(word, reverse_complement(word)) for word in words(one)}
    there = {min(word, reverse_complement(word)) for word in words(other)}
    return len(here & there) / len(here)


def words(text: str) -> list[str]:
    found = [text[place : place + WORD] for place in range(len(text) - WORD + 1)]
    return [word for word in found if "N" not in word]


def test_a_circle_cut_elsewhere_is_the_same_on_either_strand(make_dna):
    circle = make_dna(20_000)
    turned = circle[7_000:] + circle[:7_000]
    for other in (turned, reverse_complement(turned)):
        assert shared_share([encode_bases(circle)], [encode_bases(other)]) == pytest.approx(1.0, abs=0.005)
    assert shared_share([encode_bases(circle)], [encode_bases(make_dna(20_000))]) == 0.0


def test_one_word_in_sixteen_tells_the_share_of_all(make_dna, rng):
    one = make_dna(60_000)
    other = "".join(letter if rng.random() > 0.02 else "N" for letter in one)
    found = shared_share([encode_bases(one)], [encode_bases(other)])
    truth = counted(one, other)
    assert 0.4 < truth < 0.7 and found == pytest.approx(truth, abs=0.05)
    parts = [encode_bases(other[:30_000]), encode_bases(other[30_000:])]
    assert shared_share([encode_bases(one)], parts) == pytest.approx(found, abs=0.01)


def test_what_has_no_word_has_no_share(make_dna):
    assert np.isnan(shared_share([encode_bases("ACGT")], [encode_bases(make_dna(100))]))
    assert np.isnan(shared_share([], []))
    assert relative_notes([encode_bases("N" * 100)], [encode_bases(make_dna(100))]) == []
