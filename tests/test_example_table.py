"""The worked example: what its story says is true, and its recipe makes it again."""

import gzip
import importlib
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from genolm import workspace
from genolm.labels import code_labels
from genolm.sequences import open_fasta, reverse_complement
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


@pytest.fixture(scope="module")
def genome():
    with open_fasta(workspace.samples_dir() / "ecoli_k12_mg1655.fa.gz") as found:
        return next(iter(found.records())).sequence.upper()


def test_the_recipe_makes_the_shipped_files(recipe, genome, tmp_path):
    recipe.write_table(recipe.example(genome), tmp_path / "t.csv.gz")
    made, shipped = tmp_path / "t.csv.gz", workspace.samples_dir() / recipe.TABLE
    assert gzip.decompress(made.read_bytes()) == gzip.decompress(shipped.read_bytes())
    assert (workspace.samples_dir() / recipe.TEMPLATE).read_text() == recipe.TEMPLATE_ROWS


def pairs(sequence):
    return Counter(left + right for left, right in pairwise(sequence))


def test_natural_pieces_stand_where_the_names_say_and_the_others_keep_their_pairs(table, genome):
    assert table.labels.count("natural") == table.labels.count("made up") == 400
    exact = kept = 0
    for sequence, label, name in zip(table.sequences, table.labels, table.names, strict=True):
        assert len(sequence) == 150
        place = int(re.search(r"from base (\d+)", name)[1]) - 1
        piece = genome[place : place + 150]
        strands = (piece, reverse_complement(piece))
        if label == "natural":
            same = max(sum(map(str.__eq__, sequence, strand)) for strand in strands)
            assert same > 130
            exact += same == 150
        else:
            kept += any(pairs(sequence) == pairs(strand) for strand in strands)
    assert exact > 200 and kept > 200


def test_length_and_gc_tell_nothing_and_a_random_split_flatters(table):
    code = code_labels(table.labels)
    assert code.head.classes == ("made up", "natural")
    honest = split_rows(table, code)
    random = split_rows(table, code, SplitSettings("random"), clusters=honest.clusters)
    assert honest.leakage.leaked == 0 and random.leakage.share > 0.5
    found = {item.key: item.main for item in score_shortcuts(table.sequences, code, honest.parts)}
    assert found["length"]["value"] == 0.5 and found["gc"]["low"] < 0.5
    assert 0.7 < found["kmers"]["value"] < 0.95
    gc = np.array([sum(map(sequence.count, "GC")) for sequence in table.sequences])
    is_natural = np.array(table.labels) == "natural"
    assert abs(gc[is_natural].mean() - gc[~is_natural].mean()) < 0.5


def test_the_template_is_a_table_that_can_be_read():
    template = read_table(workspace.samples_dir() / "template_table.csv")
    assert list(template.frame.columns) == ["sequence", "label", "split", "group", "name"]
    assert set(template.frame["split"]) == {"train", "valid", "test"}
