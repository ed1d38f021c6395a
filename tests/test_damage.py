"""Damaged sequences: each way does what its words say, and answers are counted by the classes' names."""

import importlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

RECIPES = Path(__file__).parents[1] / "recipes"


@pytest.fixture
def damage(monkeypatch):
    monkeypatch.syspath_prepend(RECIPES)
    return importlib.import_module("damage")


class Parrot:
    """Says yes, at 0.9, to sequences without N, and no to others, at 0.7."""

    config = SimpleNamespace(name="parrot", mirrored=True, head=None)
    classes = ("no", "yes")

    def logits(self, pieces, **_):
        return pieces

    def probabilities(self, pieces):
        return np.array([[0.7, 0.3] if "N" in piece else [0.1, 0.9] for piece in pieces])

    def decide(self, probabilities, strand):
        return [self.classes[place] for place in probabilities.argmax(axis=1)]


def test_each_damage_is_what_it_is_called(damage):
    rng = np.random.default_rng(1)
    letters = "ACGTACGTAC"
    found = {
        way.title: way.apply(letters, rng)
        for way in (
            *(damage.unknown(place, 0.2) for place in ("left", "middle", "right")),
            damage.unknown("middle", 0),
            damage.cut("left", 0),
            damage.cut("right", 0.3),
            damage.DAMAGES[-2],
        )
    }
    assert found == {
        "N, left, 20 %": "NNGTACGTAC",
        "N, middle, 20 %": "ACGTNNGTAC",
        "N, right, 20 %": "ACGTACGTNN",
        "N, middle, one": "ACGTNCGTAC",
        "cut, left, one": "CGTACGTAC",
        "cut, right, 30 %": "ACGTACG",
        "other strand": "GTACGTACGT",
    }
    assert len({item.title for item in damage.DAMAGES}) == len(damage.DAMAGES)


def test_misread_letters_are_others_at_the_wanted_rate(damage):
    letters = "ACGT" * 2_000
    found = damage.misread(0.05).apply(letters, np.random.default_rng(2))
    changed = [(one, other) for one, other in zip(letters, found, strict=True) if one != other]
    assert 0.04 < len(changed) / len(letters) < 0.06
    assert set(changed) == {(one, other) for one in "ACGT" for other in "ACGT" if one != other}


def test_answers_are_counted_and_stand_in_the_page(damage, monkeypatch):
    rows = pd.DataFrame({"sequence": ["ACGTACGT"] * 4, "label": ["yes", "yes", "yes", "no"]})
    ways = [damage.DAMAGES[0], damage.unknown("left", 0.1), damage.DAMAGES[-1]]
    found = [damage.answered(Parrot(), rows, way) for way in ways]
    assert [item.right for item in found] == [0.75, 0.25, 0.75] and ways[2].strand == "either"
    assert [item.sure for item in found] == pytest.approx([0.9, 0.7, 0.9])
    monkeypatch.setattr(damage, "DAMAGES", ways)
    table, sure = damage.page({"toy": damage.column_of(Parrot(), rows)}).split("## How sure the answers are")
    assert table.splitlines()[-5:-1] == [
        "| whole | 0.75 |",
        "| N, left, 10 % | 0.25 |",
        "| strand unknown | 0.75 |",
        "| nothing read, always the commonest class | 0.75 |",
    ]
    assert sure.splitlines()[-4:] == [
        "| whole, probability | 0.90 |",
        "| whole, right | 0.75 |",
        "| strand unknown, probability | 0.90 |",
        "| strand unknown, right | 0.75 |",
    ]


def test_columns_of_a_page_stay_where_others_are_asked_anew(damage, monkeypatch, tmp_path):
    before = (RECIPES.parent / "docs" / "damage.md").read_text(encoding="utf-8")
    kept = damage.read_page(before)
    assert damage.page(kept) == before
    anew = dict.fromkeys(kept["rna-coding"], "0.12")
    monkeypatch.setattr(damage, "columns", lambda runs, models: [(name, anew) for name in models])
    path = tmp_path / "damage.md"
    path.write_text(before, encoding="utf-8")
    asked = ["damage.py", "--runs", str(tmp_path), "--out", str(path), "--model"]
    monkeypatch.setattr("sys.argv", [*asked, "rna-coding"])
    damage.main()
    assert damage.read_page(path.read_text(encoding="utf-8")) == kept | {"rna-coding": anew}
    assert list(damage.read_page(path.read_text(encoding="utf-8"))) == list(kept)
    monkeypatch.setattr("sys.argv", [*asked, "absent"])
    with pytest.raises(SystemExit):
        damage.main()


def test_labels_by_number_are_the_classes_and_rows_with_other_letters_are_left_out(damage, tmp_path):
    class Toy:
        name = "toy"

        class model:
            protocol = "strict"

    folder = tmp_path / "toy" / "tables"
    folder.mkdir(parents=True)
    rows = [("ACGT", 1, "test"), ("AAAA", 0, "test"), ("ACNT", 1, "test"), ("CCCC", 0, "train")]
    pd.DataFrame(rows, columns=["sequence", "label", "split"]).to_csv(folder / "strict.csv.gz", index=False)
    found = damage.rows_of(Toy, tmp_path, 10, ("inside", "start"))
    assert sorted(zip(found["sequence"], found["label"], strict=True)) == [("AAAA", "inside"), ("ACGT", "start")]
    assert damage.rows_of(Toy, tmp_path / "elsewhere", 10, ("inside", "start")) is None
