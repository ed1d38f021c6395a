import itertools
import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genolm import placing, splits
from genolm.errors import SettingsError

RNG = np.random.default_rng(21)
LETTERS = np.frombuffer(b"ACGT", dtype=np.uint8)
COMPLEMENT = str.maketrans("ACGTacgt", "TGCAtgca")


def random_dna(length, rng=RNG):
    return LETTERS[rng.integers(0, 4, length)].tobytes().decode()


def reverse_complement(sequence):
    return sequence[::-1].translate(COMPLEMENT)


def mutated(sequence, rate, rng=RNG):
    letters = np.frombuffer(sequence.encode(), dtype=np.uint8).copy()
    hit = rng.random(len(letters)) < rate
    letters[hit] = LETTERS[rng.integers(0, 4, int(hit.sum()))]
    return letters.tobytes().decode()


def same(clusters, i, j):
    return clusters[i] == clusters[j]


def plain_words(sequence, k):
    words = {sequence[i : i + k] for i in range(len(sequence) - k + 1)}
    return {min(word, reverse_complement(word)) for word in words if set(word) <= set("ACGT")}


def plain_pairs(sequences, k):
    sets = [plain_words(sequence, k) for sequence in sequences]
    return [[i, j] for i, j in itertools.combinations(range(len(sets)), 2) if sets[i] & sets[j]]


def test_pairs_equal_a_plain_search_on_both_strands():
    pool = [random_dna(40) for _ in range(12)]
    sequences = [*pool, reverse_complement(pool[0])[3:30], pool[1][:15] + random_dna(9), "N" * 30, "ACG", ""]
    sequences += [random_dna(60) for _ in range(20)]
    for word in (5, 8, 15, 31):
        found = splits.similarity_pairs(sequences, word=word)
        assert found.tolist() == plain_pairs(sequences, word)
    assert [0, 12] in splits.similarity_pairs(sequences).tolist()


def test_pairs_need_one_whole_word_and_skip_ambiguous_ones():
    word = "ACGTTGCAAGCTTAC"
    assert splits.similarity_pairs(["GG" + word, "CC" + reverse_complement(word)]).tolist() == [[0, 1]]
    assert splits.similarity_pairs(["GG" + word.lower(), word + "T"]).tolist() == [[0, 1]]
    assert len(splits.similarity_pairs(["GG" + word[:-1] + "G", word + "A"])) == 0
    with_n = word[:7] + "N" + word[8:]
    assert len(splits.similarity_pairs([with_n, with_n])) == 0


def test_pairs_never_span_two_sequences():
    left, right = "ACGTTGC", "AAGCTTAC"
    assert len(splits.similarity_pairs([left, right, left + right])) == 0


def test_many_chunks_give_what_one_does(monkeypatch):
    sequences = [random_dna(70) for _ in range(40)]
    sequences += [mutated(item, 0.05) for item in sequences]
    whole = splits.similarity_pairs(sequences, word=11), splits.similarity_clusters(sequences)
    monkeypatch.setattr(splits, "_CHUNK_BASES", 150)
    assert np.array_equal(splits.similarity_pairs(sequences, word=11), whole[0])
    assert np.array_equal(splits.similarity_clusters(sequences), whole[1])


def test_too_many_pairs_are_refused(monkeypatch):
    monkeypatch.setattr(splits, "_MAX_LISTED", 10)
    with pytest.raises(SettingsError, match="longer word"):
        splits.similarity_pairs([random_dna(30)] * 6)


def test_minimizers_equal_a_plain_search():
    hashes = RNG.integers(0, 40, 200).astype(np.uint64)
    for window in (2, 3, 5, 10):
        wanted = np.zeros(200, dtype=bool)
        for start in range(-window + 1, 200):
            inside = range(max(0, start), min(200, start + window))
            lowest = min(hashes[i] for i in inside)
            for i in inside:
                wanted[i] |= hashes[i] == lowest
        assert np.array_equal(splits._is_minimizer(hashes, window), wanted)


def test_copies_reverse_complements_and_near_copies_share_a_cluster():
    base = [random_dna(300) for _ in range(5)]
    near = [base[0], reverse_complement(base[1]), base[2].lower(), mutated(base[3], 0.03)]
    sequences = [*base, *near, random_dna(300)]
    clusters = splits.similarity_clusters(sequences)
    assert clusters.tolist() == [0, 1, 2, 3, 4, 0, 1, 2, 3, 5]


def test_links_at_and_below_the_stated_threshold():
    """Overlapping pieces: 60 % in common are linked, 15 % are not."""
    genome = random_dna(40_000)
    starts = range(0, 30_000, 600)
    for shift, linked in ((80, True), (170, False)):
        sequences = [genome[i + offset : i + offset + 200] for i in starts for offset in (0, shift)]
        clusters = splits.similarity_clusters(sequences)
        assert ((clusters[::2] == clusters[1::2]) == linked).all()
        assert len(set(clusters[::2])) == len(starts)


def test_exact_share_of_minimizers_decides():
    sequences = [random_dna(150) for _ in range(60)]
    rates = np.linspace(0.01, 0.2, 60)
    sequences += [mutated(item, rate) for item, rate in zip(sequences, rates, strict=True)]
    owners, kmers = splits._sequence_kmers(sequences, 15, 5)
    sets = [set(kmers[owners == i].tolist()) for i in range(len(sequences))]
    clusters = splits.similarity_clusters(sequences)
    linked = [same(clusters, i, i + 60) for i in range(60)]
    expected = [len(sets[i] & sets[i + 60]) >= 0.3 * min(len(sets[i]), len(sets[i + 60])) for i in range(60)]
    assert linked == expected
    assert 10 < sum(linked) < 50


def test_repeats_in_common_do_not_link():
    repeats = ["A" * 90, "AC" * 45, "CAG" * 30]
    for repeat in repeats:
        sequences = [random_dna(110) + repeat for _ in range(30)]
        assert len(set(splits.similarity_clusters(sequences).tolist())) == 30


def test_a_short_shared_adapter_does_not_link():
    adapter = random_dna(40)
    sequences = [adapter + random_dna(260) for _ in range(300)]
    assert len(set(splits.similarity_clusters(sequences).tolist())) == 300


def test_large_families_are_found_whole_beyond_the_pair_budget(monkeypatch):
    rng = np.random.default_rng(8)
    adapter = random_dna(40, rng)
    base = [random_dna(260, rng) for _ in range(12)]
    sequences = [adapter + mutated(base[i % 12], 0.01, rng) for i in range(480)]
    sequences = [item if i % 3 else reverse_complement(item) for i, item in enumerate(sequences)]
    exact = splits.similarity_clusters(sequences)
    assert exact.tolist() == [i % 12 for i in range(480)]
    for budget in (0, 2_000):
        monkeypatch.setattr(splits, "_PAIR_BUDGET", budget)
        assert np.array_equal(splits.similarity_clusters(sequences), exact)


def test_sequences_without_any_kmer_stay_alone():
    assert splits.similarity_clusters(["", "ACGT", "ACGT", "N" * 50, "N" * 50]).tolist() == [0, 1, 2, 3, 4]
    assert splits.similarity_clusters([]).tolist() == []


def test_order_of_the_input_does_not_matter():
    base = [random_dna(120) for _ in range(30)]
    sequences = base + [mutated(item, 0.04) for item in base]
    shuffled = RNG.permutation(60)
    first = splits.similarity_clusters(sequences)
    second = splits.similarity_clusters([sequences[i] for i in shuffled])
    assert np.array_equal(splits._by_appearance(first[shuffled]), second)
    short = [item[40:60] for item in sequences]
    first = splits.similarity_clusters(short)
    second = splits.similarity_clusters([short[i] for i in shuffled])
    assert np.array_equal(splits._by_appearance(first[shuffled]), second)


@pytest.mark.parametrize(
    "fault", [{"k": 0}, {"k": 32}, {"window": 0}, {"window": 16}, {"min_shared": 0}, {"min_shared": 1.1}]
)
def test_impossible_cluster_options_are_refused(fault):
    with pytest.raises(SettingsError):
        splits.similarity_clusters(["ACGT" * 20], **fault)


def test_five_thousand_sequences_are_quick():
    sequences = [random_dna(500) for _ in range(2_500)]
    sequences += [reverse_complement(item) for item in sequences]
    began = time.process_time()
    clusters = splits.similarity_clusters(sequences)
    assert time.process_time() - began < 3
    assert np.array_equal(clusters[:2_500], clusters[2_500:])


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 25),
    st.lists(st.tuples(st.integers(0, 24), st.integers(0, 24)), max_size=60),
    st.integers(0, 9),
)
def test_independent_set_is_independent_and_maximal(n, edges, seed):
    edges = np.array([(i, j) for i, j in edges if i < n and j < n and i != j], dtype=np.int64).reshape(-1, 2)
    chosen = splits.independent_set(edges, n, seed=seed)
    assert not (chosen[edges[:, 0]] & chosen[edges[:, 1]]).any()
    neighbours = splits.neighbours_of(edges, chosen)
    assert (chosen | neighbours).all()
    assert not (chosen & neighbours).any()


def test_independent_set_is_random_but_seeded():
    edges = np.array([(i, i + 1) for i in range(0, 100, 2)])
    first, again, other = (splits.independent_set(edges, 100, seed=seed) for seed in (1, 1, 2))
    assert first.sum() == 50
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    with pytest.raises(SettingsError, match="there are 3"):
        splits.independent_set(np.array([[0, 3]]), 3)


def test_neighbours_of():
    edges = np.array([[0, 1], [1, 2], [3, 4]])
    found = splits.neighbours_of(edges, [True, False, False, False, False])
    assert found.tolist() == [False, True, False, False, False]
    found = splits.neighbours_of(edges, [True, True, False, False, True])
    assert found.tolist() == [False, False, True, True, False]


def shares(parts, labels=None, label=None):
    parts = parts if labels is None else parts[np.asarray(labels) == label]
    return [float((parts == name).mean()) for name in splits.SPLIT_NAMES]


def test_random_split_is_stratified_exactly():
    labels = ["a"] * 700 + ["b"] * 200 + ["c"] * 100
    parts = splits.split_random(labels)
    for label in "abc":
        assert shares(parts, labels, label) == pytest.approx([0.8, 0.1, 0.1])
    assert np.array_equal(parts, splits.split_random(labels))
    assert not np.array_equal(parts, splits.split_random(labels, seed=2))
    assert shares(splits.split_random(labels, fractions=(0.5, 0.0, 0.5))) == pytest.approx([0.5, 0, 0.5])


def test_many_rare_classes_still_fill_every_part():
    labels = np.repeat(np.arange(500), 2)
    assert shares(splits.split_random(labels)) == pytest.approx([0.8, 0.1, 0.1], abs=0.005)


def test_numbers_are_stratified_by_tenths_and_multilabels_by_row():
    numbers = RNG.normal(size=1_000)
    parts = splits.split_random(numbers)
    top = numbers >= np.quantile(numbers, 0.9)
    assert shares(parts, top, True) == pytest.approx([0.8, 0.1, 0.1], abs=0.011)
    rows = RNG.integers(0, 2, (1_000, 2))
    parts = splits.split_random(rows)
    assert shares(parts, rows @ [2, 1], 3) == pytest.approx([0.8, 0.1, 0.1], abs=0.01)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 40)), min_size=60, max_size=200), st.integers(0, 5)
)
def test_no_cluster_straddles(items, seed):
    labels, clusters = np.array(items).T
    try:
        parts = splits.split_by_cluster(labels, clusters, seed=seed)
    except SettingsError:
        return
    for cluster in np.unique(clusters):
        assert len(set(parts[clusters == cluster])) == 1
    assert splits.leakage_report(clusters, parts).leaked == 0


def test_clusters_of_all_sizes_keep_shares_and_classes():
    rng = np.random.default_rng(3)
    sizes = np.minimum(rng.zipf(1.7, 800), 60)
    clusters = np.repeat(np.arange(800), sizes)
    labels = (rng.random(len(clusters)) < np.repeat(rng.random(800), sizes)).astype(int)
    parts = splits.split_by_cluster(labels, clusters)
    assert shares(parts) == pytest.approx([0.8, 0.1, 0.1], abs=0.01)
    for label in (0, 1):
        assert shares(parts, labels, label) == pytest.approx([0.8, 0.1, 0.1], abs=0.02)
    assert {sizes[c] > 5 for c in clusters[parts == "test"]} == {True, False}


def filled(parts, fractions=(0.8, 0.1, 0.1)):
    """Return each part's share of what it should have."""
    return np.array(shares(parts)) / fractions


@pytest.mark.parametrize(
    ("shape", "classes"),
    [((4, 3, 3), 100), ((5, 5, 5, 5), 100), ((2, 2, 2), 100), ((4,) * 5, 50), ((10,) * 4, 20)],
)
def test_classes_of_few_clusters_each_fill_every_part(shape, classes):
    labels = np.repeat(np.arange(classes), sum(shape))
    clusters = np.repeat(np.arange(classes * len(shape)), np.tile(shape, classes))
    parts = splits.split_by_cluster(labels, clusters)
    assert filled(parts) == pytest.approx(1, abs=0.1)
    assert splits.leakage_report(clusters, parts).leaked == 0


def test_numbers_and_rare_sets_of_labels_in_clusters_fill_every_part():
    rng = np.random.default_rng(6)
    clusters = np.repeat(np.arange(200), 5)
    numbers = rng.normal(size=200)[clusters] + rng.normal(size=1_000) * 0.2
    parts = splits.split_by_cluster(numbers[:, None], clusters)
    assert filled(parts) == pytest.approx(1, abs=0.1)
    assert np.array_equal(parts, splits.split_by_cluster(numbers, clusters)), "one column is a list of numbers"
    top = numbers > np.quantile(numbers, 0.8)
    assert filled(parts[top]) == pytest.approx(1, abs=0.5)
    assert filled(splits.split_by_cluster(rng.integers(0, 2, (1_000, 10)), clusters)) == pytest.approx(1, abs=0.25)
    assert filled(splits.split_by_cluster(numbers, clusters // 10)) == pytest.approx(1, abs=0.1)


def test_a_second_try_is_made_only_where_the_first_leaves_a_part_half_empty(monkeypatch):
    rng = np.random.default_rng(7)
    wanted = np.array([0.8, 0.1, 0.1])
    tries = []
    plain = placing._placed
    monkeypatch.setattr(placing, "_placed", lambda *inputs: tries.append(inputs[-1]) or plain(*inputs))
    kinds = set()
    for trial in range(60):
        strata, clusters = rng.integers(0, 1 + trial, 120), rng.integers(0, 40, 120)
        strata = np.unique(strata, return_inverse=True)[1]
        tries.clear()
        found = placing.place_items(strata, clusters, wanted, trial)
        first = plain(strata, clusters, wanted, trial, 0.0)
        least = [(np.bincount(part, minlength=3) / 120 / wanted).min() for part in (first, found)]
        assert tries[:2] == [0.0, 10.0][: 1 + (least[0] < 0.5)]
        assert np.array_equal(first, found) if least[0] >= 0.5 else least[1] >= least[0]
        assert set(strata[first == 0]) <= set(strata[found == 0])
        assert len(tries) == 1 or tries[-1] in (10.0, 0.5) or least[1] > least[0]
        kinds.add(min(len(tries), 3))
    assert kinds == {1, 2, 3}


@pytest.mark.parametrize("as_sets", [False, True])
def test_no_class_loses_its_training_rows_for_fuller_parts(as_sets):
    """Weighing parts as wholes alone fills them best here, with none of the third class to be learned from."""
    sizes = [21, 23, 4, 6, 29, 1, 3, 29, 9, 14]
    labels = np.repeat([0, 0, 0, 0, 0, 1, 1, 1, 2, 3], sizes)
    clusters, wanted = np.repeat(np.arange(10), sizes), np.array([0.8, 0.1, 0.1])
    first, second = (placing._placed(labels, clusters, wanted, 1, weight) for weight in (0.0, 10.0))
    assert set(labels[first == 0]) - set(labels[second == 0]) == {2}
    parts = splits.split_by_cluster(np.eye(4)[labels] if as_sets else labels, clusters)
    assert set(labels[parts == "train"]) == {0, 1, 2, 3}
    assert filled(parts).min() > 2 * (np.bincount(first) / len(labels) / wanted).min()


def test_a_split_that_cannot_be_is_refused():
    with pytest.raises(SettingsError, match="valid and test"):
        splits.split_by_cluster([0, 1] * 50, np.zeros(100, int))
    with pytest.raises(SettingsError, match="add up to 1"):
        splits.split_random([0, 1], fractions=(0.5, 0.5, 0.5))
    with pytest.raises(SettingsError, match="add up to 1"):
        splits.split_random([0, 1], fractions=(math.nan, math.nan, math.nan))
    with pytest.raises(SettingsError, match="must agree"):
        splits.split_by_cluster([0, 1], [0])


def test_leakage_report_by_hand():
    report = splits.leakage_report([0, 0, 1, 1, 2, 3], ["train", "test", "test", "valid", "test", "train"])
    assert report == (3, 1, pytest.approx(1 / 3))
    assert math.isnan(splits.leakage_report([0], ["train"]).share)


def test_a_random_split_leaks_what_a_cluster_split_does_not():
    base = [random_dna(120) for _ in range(150)]
    sequences = base + [mutated(item, 0.02) for item in base]
    clusters = splits.similarity_clusters(sequences)
    labels = RNG.integers(0, 2, 300)
    assert splits.leakage_report(clusters, splits.split_random(labels)).share > 0.5
    assert splits.leakage_report(clusters, splits.split_by_cluster(labels, clusters)).share == 0
