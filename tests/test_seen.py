import base64

import pytest

from genolm import seen
from genolm.errors import SettingsError
from genolm.seen import count_seen, joined_digests, seen_digest
from genolm.sequences import reverse_complement


def test_sequences_are_found_on_either_strand_in_any_case(make_dna):
    known = [make_dna(50) for _ in range(200)]
    digest = seen_digest(known)
    assert digest == seen_digest([reverse_complement(item).lower() for item in reversed(known)] + known)
    assert len(base64.b64decode(digest)) == 5 * 200
    strangers = [make_dna(50) for _ in range(300)]
    assert count_seen(digest, strangers) == 0
    assert count_seen(digest, [*strangers, reverse_complement(known[3]), known[3].lower(), known[7]]) == 3


def test_digests_are_joined_to_that_of_all_their_sequences(make_dna, monkeypatch):
    first, second = ([make_dna(40) for _ in range(5)] for _ in range(2))
    second[0] = first[0]
    assert joined_digests(seen_digest(first), seen_digest(second)) == seen_digest([*first, *second])
    assert joined_digests(seen_digest(first), "") == "", "where one is not known nothing can be said"
    monkeypatch.setattr(seen, "MOST_SEQUENCES", 8)
    assert joined_digests(seen_digest(first), seen_digest(second)) == ""
    with pytest.raises(SettingsError, match="is damaged"):
        joined_digests(seen_digest(first), "???")


def test_no_sequences_and_too_many(monkeypatch):
    assert seen_digest([]) == "" and count_seen("", ["ACGT"]) == 0
    assert count_seen(seen_digest(["AC"]), []) == 0
    monkeypatch.setattr(seen, "MOST_SEQUENCES", 2)
    assert seen_digest(["AAA", "AAC", "TTT"]) and seen_digest(["AAA", "AAC", "AAG"]) == ""


@pytest.mark.parametrize("digest", ["???", "QUJD", "é"])
def test_a_damaged_digest_is_refused(digest):
    with pytest.raises(SettingsError, match="is damaged"):
        count_seen(digest, ["ACGT"])
