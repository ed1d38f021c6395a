"""The worked example: what its story says is true, and its recipe makes it again."""

import gzip
import importlib
import re
from pathlib import Path

import numpy as np
import pytest

from genolm import workspace
from genolm.labels import code_labels
from genolm.shortcuts import score_shortcuts
from genolm.table_split import SplitSettings, split_rows
from genolm.tables import read_table

RECIPES = Path(__file__).parents[1] / "recipes"


@pytest.fixture
def recipe(monkeypatch):
    monkeypatch.syspath_prepend(RECIPES)
    return importlib.import_module("example_table")


@pytest.fixture(scope="module")
def table():
    return read_table(workspace.samples_dir() / "example_table.csv.gz")


def test_the_recipe_makes_the_shipped_files(recipe, tmp_path):
    recipe.write_table(recipe.example(), tmp_path / "t.csv.gz")
    made, shipped = tmp_path / "t.csv.gz", workspace.samples_dir() / recipe.TABLE
    assert gzip.decompress(made.read_bytes()) == gzip.decompress(shipped.read_bytes())
    assert (workspace.samples_dir() / recipe.TEMPLATE).read_text() == recipe.TEMPLATE_ROWS


def test_sites_stand_where_the_names_say(table, recipe):
    assert sorted(set(table.labels)) == ["no site", "site"] and table.labels.count("site") == 400
    for sequence, label, name in zip(table.sequences, table.labels, table.names, strict=True):
        assert len(sequence) == 120
        place = re.search(r"site at (\d+)", name)
        assert (place is not None) == (label == "site")
        if place:
            found = sequence[int(place[1]) - 1 :][: len(recipe.SITE)]
            wrong = sum(want not in ("N", got) for want, got in zip(recipe.SITE, found, strict=True))
            assert wrong <= 1


def test_length_and_gc_tell_nothing_and_a_random_split_flatters(table):
    code = code_labels(table.labels)
    assert code.head.classes == ("no site", "site")
    honest = split_rows(table, code)
    random = split_rows(table, code, SplitSettings("random"), clusters=honest.clusters)
    assert honest.leakage.leaked == 0 and random.leakage.share > 0.5
    found = {item.key: item.main for item in score_shortcuts(table.sequences, code, honest.parts)}
    assert found["length"]["value"] == 0.5 and found["gc"]["low"] < 0.5
    assert 0.7 < found["kmers"]["value"] < 0.95
    gc = np.array([sum(map(sequence.count, "GC")) for sequence in table.sequences])
    is_site = np.array(table.labels) == "site"
    assert abs(gc[is_site].mean() - gc[~is_site].mean()) < 0.5


def test_the_template_is_a_table_that_can_be_read():
    template = read_table(workspace.samples_dir() / "template_table.csv")
    assert list(template.frame.columns) == ["sequence", "label", "split", "group", "name"]
    assert set(template.frame["split"]) == {"train", "valid", "test"}
