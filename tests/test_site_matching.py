import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import maximum_bipartite_matching

from genolm.errors import SettingsError
from genolm.site_matching import best_scores, judge_calls, match_sites


def calls_of(*places):
    """Return calls from (contig, summit, strand)."""
    table = pd.DataFrame(list(places), columns=["contig", "summit", "strand"])
    return table.astype({"summit": np.int64}).assign(score=np.linspace(1, 0.5, len(table)))


def sites_of(*places):
    table = pd.DataFrame(list(places), columns=["contig", "position", "strand"])
    return table.astype({"position": np.int64})


def test_strand_contig_and_distance_decide():
    sites = sites_of(("a", 100, "+"), ("a", 100, "-"), ("b", 100, "+"), ("a", 500, "+"))
    calls = calls_of(("a", 110, "+"), ("a", 111, "+"), ("a", 93, "-"), ("b", 480, "+"), ("a", 499, "-"))
    found = match_sites(calls, sites, tolerance=10)
    assert found.true_calls.tolist() == [True, False, True, False, False]
    assert found.found.tolist() == [True, True, False, False]
    assert found.site.tolist() == [0, -1, 1, -1, -1]
    # 93 lies downstream of 100 on the minus strand.
    assert found.offset.tolist() == [10, 0, 7, 0, 0]
    assert found.pairs == 2
    blind = match_sites(calls, sites, tolerance=10, strand_aware=False)
    assert blind.true_calls.tolist() == [True, False, True, False, True]


def test_two_calls_at_one_site_are_both_right_but_make_one_pair():
    sites = sites_of(("a", 100, "+"), ("a", 104, "+"), ("a", 900, "+"))
    calls = calls_of(("a", 95, "+"), ("a", 96, "+"), ("a", 98, "+"), ("a", 400, "+"))
    found = judge_calls(calls, sites, tolerance=10)
    assert found == {
        "calls": 4,
        "true_calls": 3,
        "sites_found": 2,
        "pairs": 2,
        "precision": 0.75,
        "recall": pytest.approx(2 / 3),
        "f1": pytest.approx(2 * 0.75 * (2 / 3) / (0.75 + 2 / 3)),
    }


def test_distances_go_over_the_origin_of_a_circle():
    sites, calls = sites_of(("c", 5, "+"), ("c", 995, "-")), calls_of(("c", 990, "+"), ("c", 3, "-"))
    line = match_sites(calls, sites, tolerance=20)
    assert not line.true_calls.any() and line.pairs == 0
    circle = match_sites(calls, sites, tolerance=20, circular={"c": 1000})
    assert circle.true_calls.all() and circle.found.all() and circle.pairs == 2
    assert circle.offset.tolist() == [-15, -8]
    # A feature over the origin may give a site beyond the length.
    beyond = match_sites(calls, sites_of(("c", 1005, "+")), tolerance=20, circular={"c": 1000})
    assert beyond.true_calls.tolist() == [True, False]


def test_without_calls_or_sites_nothing_is_found():
    none = judge_calls(calls_of(), sites_of(("a", 1, "+")), tolerance=5)
    assert np.isnan(none["precision"]) and none["recall"] == none["f1"] == 0.0
    empty = match_sites(calls_of(("a", 1, "+")), sites_of(), tolerance=5)
    assert empty.true_calls.tolist() == [False] and empty.site.tolist() == [-1]
    with pytest.raises(SettingsError, match="tolerance is -1"):
        match_sites(calls_of(), sites_of(), tolerance=-1)


PLACES = st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 59), st.sampled_from("+-")), max_size=14)


@settings(max_examples=40, deadline=None)
@given(PLACES, PLACES, st.integers(0, 9), st.booleans())
def test_matching_equals_a_table_of_all_distances(calls, sites, tolerance, circular):
    found = match_sites(
        calls_of(*calls), sites_of(*sites), tolerance=tolerance, circular={"a": 60} if circular else None
    )
    near = np.zeros((len(calls), len(sites)), dtype=bool)
    for i, (contig, summit, strand) in enumerate(calls):
        for j, (other, position, sign) in enumerate(sites):
            gap = abs(summit - position)
            gap = min(gap, 60 - gap) if circular and contig == "a" else gap
            near[i, j] = contig == other and strand == sign and gap <= tolerance
    assert found.true_calls.tolist() == near.any(axis=1).tolist()
    assert found.found.tolist() == near.any(axis=0).tolist()
    best = int((maximum_bipartite_matching(csr_matrix(near)) >= 0).sum()) if near.any() else 0
    if circular:
        # Where a circle has no empty stretch, the cut may cost a pair on either strand.
        assert best - 2 <= found.pairs <= best
    else:
        assert found.pairs == best
    scores = calls_of(*calls)["score"].to_numpy()
    expected = [max(scores[near[:, j]], default=-np.inf) for j in range(len(sites))]
    highest = best_scores(
        calls_of(*calls), sites_of(*sites), tolerance=tolerance, circular={"a": 60} if circular else None
    )
    assert highest.tolist() == expected
