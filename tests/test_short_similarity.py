"""Near-copies among sequences under 40 bases: found on both strands, and hardly ever by chance."""

import itertools

import numpy as np
import pytest

from genolm import short_similarity
from genolm.sequences import reverse_complement
from genolm.short_similarity import short_links
from genolm.splits import similarity_clusters


def random_dna(length, rng):
    return "".join(rng.choice(list("ACGT"), length))


def substituted(sequence, at):
    return sequence[:at] + ("A" if sequence[at] != "A" else "C") + sequence[at + 1 :]


def joined(links, count):
    """Return the sets of items that links join."""
    sets = [{item} for item in range(count)]
    for i, j in links:
        if sets[i] is not sets[j]:
            sets[i] |= sets[j]
            for item in sets[j]:
                sets[item] = sets[i]
    return {frozenset(found) for found in sets}


def plain_differences(short, text):
    """Return the fewest differences of ``short`` from any stretch of ``text`` on the same strand."""
    row = [0] * (len(text) + 1)
    for i, letter in enumerate(short, start=1):
        above, row = row, [i]
        for j, other in enumerate(text, start=1):
            row.append(min(above[j - 1] + (letter != other or letter == "N"), above[j] + 1, row[-1] + 1))
    return min(row)


def plain_similar(a, b):
    most = min(len(a), len(b)) // 8
    pairs = [pair for pair in ((a, b), (b, a)) if len(pair[0]) <= len(pair[1])]
    return any(plain_differences(x, y) <= most for s, y in pairs for x in (s, reverse_complement(s)))


def edited(sequence, count, rng):
    """Substitute, insert or take away ``count`` bases."""
    letters = list(sequence)
    for _ in range(count):
        place, kind = int(rng.integers(len(letters))), int(rng.integers(3))
        letters[place : place + (kind != 1)] = [] if kind == 2 else [random_dna(1, rng)]
    return "".join(letters)


def test_links_of_short_sequences_equal_a_plain_search():
    rng = np.random.default_rng(5)
    sequences = [random_dna(int(length), rng) for length in (12, 15, 16, 19, 20, 23, 24, 31, 32, 37)]
    sequences += [edited(item, int(rng.integers(1, 2 + len(item) // 8)), rng) for item in sequences * 3]
    sequences = [item if i % 2 else reverse_complement(item) for i, item in enumerate(sequences)]
    sequences += [sequences[4][:9] + "N" + sequences[4][10:], sequences[6][2:20], sequences[7].lower(), "ACGT" * 2]
    rows = [(i, item.upper()) for i, item in enumerate(sequences) if 12 <= len(item) < 40]
    found = [(i, j) for (i, a), (j, b) in itertools.combinations(rows, 2) if plain_similar(a, b)]
    linked, expected = (joined(links, len(sequences)) for links in (short_links(sequences).tolist(), found))
    assert linked == expected and 10 < len(linked) < 30


@pytest.mark.parametrize("length", [20, 23, 25, 30, 35])
def test_short_sequences_stay_with_their_variants(length):
    rng = np.random.default_rng(length)
    founders = [random_dna(length, rng) for _ in range(100)]
    variants = [substituted(item, at) for item in founders for at in rng.choice(length, 3, replace=False)]
    clusters = similarity_clusters([*founders, *map(reverse_complement, variants)])
    assert clusters.tolist() == [*range(100), *np.repeat(np.arange(100), 3)]


def test_random_short_sequences_are_hardly_ever_linked():
    rng = np.random.default_rng(2)
    for length, most in ((12, 10), (16, 400), (20, 10), (25, 2), (39, 0)):
        clusters = similarity_clusters([random_dna(length, rng) for _ in range(10_000)])
        assert 10_000 - len(np.unique(clusters)) <= most
        assert np.bincount(clusters).max() <= 5


def test_an_adapter_makes_short_sequences_no_copies():
    rng = np.random.default_rng(3)
    start, end = random_dna(12, rng), random_dna(8, rng)
    inserts = [random_dna(14, rng) for _ in range(2_000)]
    inserts[1] = substituted(inserts[0], 7)
    whole = [start + insert + end for insert in inserts]
    links = short_links([reverse_complement(item) if i % 3 else item for i, item in enumerate(whole)])
    assert sorted(links[0].tolist()) == [0, 1] and len(links) < 20
    assert len(short_links(whole[:10] + ["N" * 20] * 2)) == 1, "few sequences do not tell what is an adapter"


def test_a_large_family_of_short_sequences_is_found_whole(monkeypatch):
    rng = np.random.default_rng(4)
    founder = random_dna(30, rng)
    family = list({edited(founder, 3, rng) for _ in range(3_000)})
    monkeypatch.setattr(short_similarity, "_MOST_LOOKED_AT", 100)
    assert len(short_links(family)) == len(family) - 1


def test_long_sequences_are_no_matter_of_the_short_way():
    founder = random_dna(40, np.random.default_rng(1))
    sequences = [founder, founder[:20] + "A" + founder[21:], founder[:39]]
    assert len(short_links(sequences)) == len(short_links([])) == 0
