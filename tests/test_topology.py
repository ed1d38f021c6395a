"""Linear or circular: what headers say, what the user says, and stretches over the origin."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genolm.errors import RegionError, SettingsError
from genolm.topology import Guess, guess_topology, settle, turns

CIRCULAR_HEADERS = [
    ("NZ_CP0001.1", "plasmid p1 [topology=circular] [completeness=complete]", "topology=circular"),
    ("1", "length=4641652 depth=1.00x circular=true", "circular=true"),
    ("tig00000001", "len=100 reads=3 suggestRepeat=no suggestCircular=yes", "suggestCircular=yes"),
    ("c1", "a circular chromosome", "circular"),
    ("c1", "contig 3, circularised", "circularised"),
    ("ptg000002c", "", "ends in 'c'"),
    ("s12.ctg000003c", "", "ends in 'c'"),
]
LINEAR_HEADERS = [
    ("NC_000913.3", "Escherichia coli K-12, complete genome", "choose circular if it is one"),
    ("NZ_1", "Borrelia plasmid lp54, complete sequence", "choose circular if it is one"),
    ("1", "length=4641652 circular=false", "circular=false"),
    ("1", "[topology=linear] of a circular thing", "topology=linear"),
    ("x", "a non-circular contig", "non-circular"),
    ("x", "linear chromosome", "linear"),
    ("x", "circular RNA hsa_1", "does not say"),
    ("x", "circular permutation of barnase", "does not say"),
    ("ptg000002l", "", "does not say"),
    ("abc", "", "does not say"),
    ("circular", "", "does not say"),
]


@pytest.mark.parametrize(("name", "description", "reason"), CIRCULAR_HEADERS)
def test_headers_that_say_circular(name, description, reason):
    guess = guess_topology(name, description)
    assert guess.topology == "circular"
    assert reason in guess.reason


@pytest.mark.parametrize(("name", "description", "reason"), LINEAR_HEADERS)
def test_headers_that_do_not(name, description, reason):
    guess = guess_topology(name, description)
    assert guess.topology == "linear"
    assert reason in guess.reason


CONTIGS = {"a": 10, "b": 20}
GUESSES = [Guess("circular", "It says so."), Guess("linear", "It does not.")]


def test_the_users_word_counts_more_than_the_files():
    assert settle(CONTIGS, GUESSES) == (
        {"a": "circular", "b": "linear"}, {"a": "It says so.", "b": "It does not."},
    )  # fmt: skip
    assert settle(CONTIGS, GUESSES, "linear")[0] == {"a": "linear", "b": "linear"}
    forms, reasons = settle(CONTIGS, GUESSES, {"b": "circular", "a": "auto"})
    assert forms == {"a": "circular", "b": "circular"}
    assert reasons == {"a": "It says so.", "b": "Chosen for this contig: circular."}


def test_what_cannot_be_chosen():
    with pytest.raises(SettingsError, match="topology is 'round'"):
        settle(CONTIGS, GUESSES, "round")
    with pytest.raises(SettingsError, match="topology is 'round'"):
        settle(CONTIGS, GUESSES, {"a": "round"})
    with pytest.raises(RegionError, match="no sequence named 'c'"):
        settle(CONTIGS, GUESSES, {"c": "linear"})


@given(st.integers(1, 9), st.data())
def test_turns_read_the_same_letters_as_going_round(length, data):
    start = data.draw(st.integers(-length, 2 * length))
    end = data.draw(st.integers(start, 2 * length))
    pieces = turns(start, end, length)
    assert all(0 <= left < right <= length for left, right in pieces)
    walked = [position for left, right in pieces for position in range(left, right)]
    assert walked == [position % length for position in range(start, end)]


@pytest.mark.parametrize(("start", "end"), [(-11, 0), (0, 21), (5, 4)])
def test_more_than_one_turn_is_refused(start, end):
    with pytest.raises(RegionError, match="one turn"):
        turns(start, end, 10)
