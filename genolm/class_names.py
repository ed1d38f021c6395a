"""Names of classes that are written almost alike, as by a slip."""

import re
from collections.abc import Sequence
from difflib import SequenceMatcher
from functools import cached_property
from os.path import commonprefix
from typing import TYPE_CHECKING

import numpy as np

from genolm.labels import as_number

if TYPE_CHECKING:
    from genolm.table_facts import ClassFacts

_SLIPS, _TIMES_AS_MANY, _SHORTEST_WORD, _ALIKE = 2, 20, 4, 0.8
_NEAREST, _MOST_COMPARED = 20, 2_000_000_000
_BLANKS = re.compile(r"(?<![\d\s._])[\s._]+|[\s._]+(?![\d\s._])")
_HYPHENS = re.compile(r"(?<=[^\W\d_])-(?=[^\W\d_])")
_MARKS = re.compile(r"[\d+<>=≤≥−-]|(?<=\d)[\s._](?=\d)")
_CAPITALS = re.compile(r"(?<=[a-z])(?=[A-Z])")
_LETTERS = re.compile(r"[^\W\d_]+")
_NUMERALS = frozenset("ivx")


class _Name:
    """A class's name in the forms that it is compared in."""

    def __init__(self, text: str) -> None:
        self.text, self.plain = text, plain_name(text)

    @cached_property
    def marks(self) -> str:
        """Digits, what stands between two of them, and signs: these tell names apart."""
        return "".join(_MARKS.findall(self.plain))

    @cached_property
    def words(self) -> list[str]:
        """Runs of letters; a capital after a small letter begins one."""
        return _LETTERS.findall(_CAPITALS.sub(" ", self.text).casefold())


def plain_name(text: str) -> str:
    """Return a name without capitals, blanks, dots, ``_`` and hyphens between letters; a number as its value.

    Between two digits they stay, and so does every sign.
    """
    number = as_number(text)
    if number is not None:
        return str(number)
    return _HYPHENS.sub("", _BLANKS.sub("", text.casefold())) or text


def same_names(classes: Sequence["ClassFacts"]) -> list[list["ClassFacts"]]:
    """Return the sets of classes whose :func:`plain_name` is the same."""
    sets: dict[str, list[ClassFacts]] = {}
    for item in classes:
        sets.setdefault(plain_name(item.name), []).append(item)
    return [found for found in sets.values() if len(found) > 1]


def misspelt(classes: Sequence["ClassFacts"]) -> list[tuple["ClassFacts", "ClassFacts"]]:
    """Return classes of a row or two whose names are almost those of far larger ones, each with that one.

    Names that differ in more than capitals and what else :func:`plain_name` leaves out are compared with the 20 that
    have most letters in common, and not at all where there are too many (some 10,000 such classes and as many large
    ones).
    """
    few = [item for item in classes if item.rows <= _SLIPS]
    many = sorted((item for item in classes if item.rows >= _TIMES_AS_MANY), key=lambda item: -item.rows)
    names = {item.name: _Name(item.name) for item in (*few, *many)}
    nearest = _nearest([names[item.name] for item in few], [names[item.name] for item in many])
    largest: dict[str, ClassFacts] = {}
    for item in many:
        largest.setdefault(names[item.name].plain, item)
    found = []
    for item, near in zip(few, nearest, strict=True):
        own = names[item.name]
        meant = [largest[own.plain]] if own.plain in largest else [many[place] for place in near]
        enough = (other for other in meant if other.rows >= _TIMES_AS_MANY * item.rows)
        first = next((other for other in enough if is_almost(own, names[other.name])), None)
        found += [] if first is None else [(item, first)]
    return found


def is_almost(name: _Name, other: _Name) -> bool:
    """Return whether two names differ by a slip, such as a letter, a space or a capital.

    Digits, signs and a different last letter or numeral tell names apart, as in CD4+, IncFIA and type II, and so does
    a word before the other, as in non-promoter.
    """
    if name.plain == other.plain:
        return True
    if min(len(name.plain), len(other.plain)) < _SHORTEST_WORD or name.marks != other.marks:
        return False
    longer, shorter = sorted((name.plain, other.plain), key=len, reverse=True)
    if shorter in longer[2:] or _differ_in_an_ending(name.words, other.words):
        return False
    return SequenceMatcher(None, name.plain, other.plain).ratio() >= _ALIKE


def _differ_in_an_ending(words: Sequence[str], others: Sequence[str]) -> bool:
    """Return whether all that differs is a letter or numeral that stands alone or ends a word."""
    if len(words) == len(others):
        rests = [(len(commonprefix(pair)), *pair) for pair in zip(words, others, strict=True)]
        pairs = [(word[start:], other[start:]) for start, word, other in rests if word != other]
        return bool(pairs) and all(len(a) == len(b) == 1 or _NUMERALS.issuperset(a + b) for a, b in pairs)
    long = [[word for word in own if len(word) > 1 and not _NUMERALS.issuperset(word)] for own in (words, others)]
    return long[0] == long[1]


def _nearest(few: Sequence[_Name], many: Sequence[_Name]) -> list[list[int]]:
    """Return for each of ``few`` which of ``many`` have most letters in common with it, in the order of ``many``."""
    letters = {letter: place for place, letter in enumerate(sorted({x for item in (*few, *many) for x in item.plain}))}
    if len(few) * len(many) * len(letters) > _MOST_COMPARED:
        return [[] for _ in few]
    by_marks: dict[str, list[int]] = {}
    for place, item in enumerate(many):
        by_marks.setdefault(item.marks, []).append(place)
    places = {marks: np.array(found) for marks, found in by_marks.items()}
    counts = {marks: _letter_counts([many[place] for place in found], letters) for marks, found in by_marks.items()}
    sizes = {marks: table.sum(axis=1) for marks, table in counts.items()}
    found = []
    for item, row in zip(few, _letter_counts(few, letters), strict=True):
        if item.marks not in places:
            found.append([])
            continue
        # No ratio of a SequenceMatcher is above that of the letters in common.
        shared = np.minimum(counts[item.marks], row).sum(axis=1)
        ratio = 2 * shared / (sizes[item.marks] + row.sum())
        near = np.argsort(-ratio, kind="stable")[:_NEAREST]
        found.append(sorted(places[item.marks][near[ratio[near] >= _ALIKE]].tolist()))
    return found


def _letter_counts(names: Sequence[_Name], letters: dict[str, int]) -> np.ndarray:
    table = np.zeros((len(names), len(letters)), dtype=np.int32)
    for row, item in enumerate(names):
        for letter in item.plain:
            table[row, letters[letter]] += 1
    return table
