import itertools
from collections import Counter

import numpy as np
import pytest
from scipy.stats import chisquare

from genolm.background import BackgroundGenome, shuffle_codes, shuffled_background
from genolm.errors import RegionError, SequenceError, SettingsError
from genolm.sequences import reverse_complement
from genolm.tokenizer import encode_bases


class Letters:
    """A genome in memory."""

    def __init__(self, **sequences):
        self.sequences = sequences
        self.contigs = {name: len(text) for name, text in sequences.items()}

    def fetch(self, contig, start, end):
        return self.sequences[contig][start:end]


def pairs(text):
    return Counter(itertools.pairwise(text))


def shuffled(text, rng):
    return "".join("ACGT"[code] for code in shuffle_codes(encode_bases(text), rng))


def test_dinucleotide_counts_and_ends_stay_exactly(make_dna, rng):
    texts = [make_dna(2_000), "A" * 500 + "C" + "G" * 500 + "AT" * 300, "ACAC" * 50, "AAAA", "ACG", "T", ""]
    for text in texts:
        found = shuffled(text, rng)
        assert pairs(found) == pairs(text)
        assert (found[:1], found[-1:]) == (text[:1], text[-1:])
    assert shuffled(texts[0], rng) != texts[0]


# By hand: A is left by three loops (CA, GA, A) in any order, then by C.
SMALL = ("ACAGAAC", ("ACAGAAC", "ACAAGAC", "AGACAAC", "AGAACAC", "AACAGAC", "AAGACAC"))


@pytest.mark.parametrize("text", [SMALL[0], "ACGACTGCA", "AACCAGCTA"])
def test_all_sequences_with_the_same_counts_are_equally_likely(text):
    possible = {"".join(letters) for letters in itertools.permutations(text)}
    possible = sorted(
        item for item in possible if pairs(item) == pairs(text) and (item[0], item[-1]) == (text[0], text[-1])
    )
    if text == SMALL[0]:
        assert possible == sorted(SMALL[1])
    rng = np.random.default_rng(2)
    counts = Counter(shuffled(text, rng) for _ in range(200 * len(possible)))
    assert set(counts) == set(possible) and len(possible) > 5
    assert chisquare([counts[item] for item in possible]).pvalue > 0.01


def test_pieces_come_from_all_over_and_keep_their_counts(make_dna):
    genome = Letters(a=make_dna(10_000), b=make_dna(3_400), c="ACGT" * 10)
    background = shuffled_background(genome, bases=6_000, seed=3, piece=1_000)
    assert 6_000 <= background.bases < 7_200
    assert background.bases == sum(background.contigs.values())
    assert set(background.topology.values()) == {"linear"}
    for name, (contig, start, end) in zip(background.sequences, background.pieces, strict=True):
        original = genome.fetch(contig, start, end)
        assert pairs(background.fetch(name, 0, end - start)) == pairs(original)
    spans = sorted(background.pieces)
    assert all(a[0] != b[0] or a[2] <= b[1] for a, b in itertools.pairwise(spans))
    assert shuffled_background(genome, bases=6_000, seed=3, piece=1_000) == background
    assert shuffled_background(genome, bases=6_000, seed=4, piece=1_000) != background


def test_a_small_genome_is_taken_whole(make_dna):
    genome = Letters(a=make_dna(2_500), b=make_dna(70), empty="")
    background = shuffled_background(genome, bases=10_000_000, piece=1_000)
    whole = sorted(background.pieces)
    assert whole == [("a", 0, 1250), ("a", 1250, 2500), ("b", 0, 70)]
    assert str(background) == "3 pieces of the genome, 2,570 bp, shuffled (seed 1)."


def test_ambiguous_letters_stay_and_pieces_with_many_are_left_out(make_dna):
    text = make_dna(400).lower() + "N" * 30 + make_dna(300) + "R" + make_dna(269)
    genome = Letters(good=text, bad="N" * 150 + make_dna(850))
    background = shuffled_background(genome, bases=5_000, piece=1_000)
    assert [piece[0] for piece in background.pieces] == ["good"]
    assert background.skipped == 1 and "1 with over 10% ambiguous" in str(background)
    found = background.sequences["shuffled_1"]
    assert found[400:430] == "N" * 30 and found[730] == "R"
    assert pairs(found) == pairs(text.upper())
    with pytest.raises(SequenceError, match="scan without one"):
        shuffled_background(Letters(bad="N" * 500), bases=100, piece=100)


def test_a_background_is_read_like_a_genome():
    background = BackgroundGenome({"shuffled_1": "AACGT"}, (("a", 0, 5),))
    assert background.fetch("shuffled_1", 1, 4) == "ACG"
    assert background.fetch("shuffled_1", 1, 4, "-") == reverse_complement("ACG")
    with pytest.raises(RegionError, match="shuffled_1"):
        background.fetch("a", 0, 1)


@pytest.mark.parametrize("fault", [{"bases": 0}, {"piece": 1}])
def test_impossible_options_are_refused(fault):
    with pytest.raises(SettingsError):
        shuffled_background(Letters(a="ACGT"), **fault)
