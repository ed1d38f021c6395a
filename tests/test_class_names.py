"""Names of classes: which differ by a slip, and that thousands of them are compared in moments."""

from dataclasses import dataclass

import numpy as np

from genolm import class_names
from genolm.class_names import misspelt, plain_name, same_names


@dataclass(frozen=True)
class Named:
    """A class of a table, as far as its name is compared."""

    name: str
    rows: int


def test_plain_names():
    assert plain_name(" Non-Promoter.") == plain_name("non_promoter") == "nonpromoter"
    assert [plain_name(name) for name in ("CD4 -", "<50", "1.0", "1_2", "v1.2 a", ".", "T-1")] == [
        *("cd4-", "<50", "1.0", "1_2", "v1.2a", ".", "t-1")
    ]


def test_the_largest_of_those_that_may_be_meant_is_named():
    classes = [Named("enhancer", 20), Named("enhancers", 400), Named("enhancr", 2), Named("Enhancer.", 1)]
    found = {item.name: meant.name for item, meant in misspelt(classes)}
    # Twenty rows are not far more than two, and of the same plain name is what was meant.
    assert found == {"enhancr": "enhancers", "Enhancer.": "enhancer"}
    assert same_names(classes) == [[classes[0], classes[3]]]


def test_of_many_names_only_the_nearest_are_compared(monkeypatch):
    rng = np.random.default_rng(5)
    names = sorted({"".join(rng.choice(list("aeiobdlmnrst"), 12)) for _ in range(2_000)})
    usual, slips = names[:1_000], [f"{name[:5]}x{name[6:]}" for name in names[:500]]
    classes = [*(Named(name, 40) for name in usual), *(Named(name, 1) for name in (*slips, *names[1_000:]))]
    compared = []
    plain = class_names.SequenceMatcher
    monkeypatch.setattr(class_names, "SequenceMatcher", lambda *texts: compared.append(1) or plain(*texts))
    found = {item.name: meant.name for item, meant in misspelt(classes)}
    assert [found[slip] for slip in slips] == usual[:500]
    assert 500 <= len(compared) <= 20 * 1_500, "of 1,500,000 pairs"


def test_where_there_are_too_many_only_equal_forms_are_found(monkeypatch):
    classes = [Named("promoter", 40), Named("promotor", 1), Named("Promoter", 1)]
    assert len(misspelt(classes)) == 2
    monkeypatch.setattr(class_names, "_MOST_COMPARED", 10)
    assert misspelt(classes) == [(classes[2], classes[0])]
