"""Divisions of a table: near-duplicates together, columns respected, ways out named."""

import math
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from genolm.errors import SettingsError, TableError
from genolm.labels import code_labels
from genolm.sequences import reverse_complement
from genolm.table_facts import copy_facts
from genolm.table_split import (
    SplitSettings,
    canonical_forms,
    drawn_groups,
    random_split_leakage,
    related_rows,
    set_aside,
    split_rows,
    table_clusters,
)
from genolm.tables import LabelledTable


def table_of(sequences, labels, **columns):
    data = {"sequence": sequences, "label": labels, **columns}
    index = pd.Index(range(2, len(sequences) + 2), name="row")
    frame = pd.DataFrame({key: pd.Series(value, index, dtype=object) for key, value in data.items()})
    return LabelledTable(Path("mine.csv"), frame)


@pytest.fixture
def pairs(make_dna):
    """A hundred founders, each with its reverse complement: 200 rows of two classes."""
    founders = [make_dna(100) for _ in range(100)]
    sequences = [item for founder in founders for item in (founder, reverse_complement(founder))]
    return table_of(sequences, ["ab"[row // 2 % 2] for row in range(200)])


def test_the_default_keeps_near_duplicates_together(pairs):
    code = code_labels(pairs.labels)
    split = split_rows(pairs, code)
    assert split.method == "cluster" and split.clusters.max() == 99
    assert (split.parts[::2] == split.parts[1::2]).all()
    assert split.counts() == {"train": 160, "valid": 20, "test": 20}
    assert split.leakage.test == 20 and split.leakage.leaked == 0
    for part in ("train", "valid", "test"):
        assert np.mean(code.values[split.parts == part]) == 0.5


def test_a_random_split_shows_what_it_lets_through(pairs):
    code = code_labels(pairs.labels)
    split = split_rows(pairs, code, SplitSettings("random", seed=3))
    test = np.flatnonzero(split.parts == "test")
    leaked = sum(split.parts[row ^ 1] == "train" for row in test)
    assert split.leakage.leaked == leaked > 10
    assert random_split_leakage(pairs, code, seed=3) == split.leakage
    assert split.leakage.share == leaked / len(test)


def test_short_equal_sequences_share_a_cluster():
    sequences = ["ACGT", "acgt", "GGC", "GCC", "TTTT", "AC"]
    assert canonical_forms(sequences) == ["ACGT", "ACGT", "GCC", "GCC", "AAAA", "AC"]
    assert table_clusters(sequences).tolist() == [0, 0, 1, 1, 2, 3]
    assert table_clusters([]).tolist() == []


def test_guides_that_differ_in_a_base_are_no_test_of_one_another(make_dna):
    founders = [make_dna(20) for _ in range(100)]
    sequences = [founder[:at] + letter + founder[at + 1 :] for founder in founders for at in (6, 10) for letter in "AC"]
    table = table_of(sequences, ["ab"[row // 4 % 2] for row in range(400)])
    code = code_labels(table.labels)
    split = split_rows(table, code)
    assert split.clusters.tolist() == np.repeat(np.arange(100), 4).tolist()
    assert split.counts() == {"train": 320, "valid": 40, "test": 40} and split.leakage.leaked == 0
    assert random_split_leakage(table, code).share > 0.5


@pytest.mark.parametrize("method", ["cluster", "group"])
def test_values_and_sets_of_labels_of_families_fill_all_parts(make_dna, rng, method):
    founders = [make_dna(80) for _ in range(60)]
    sequences = [founder[:at] + "A" + founder[at + 1 :] for founder in founders for at in range(5)]
    values = [f"{value:.4f}" for value in rng.normal(size=300)]
    sets = [";".join(sorted(rng.choice(list("abcdefgh"), 4, replace=False))) for _ in range(300)]
    for labels in (values, sets):
        table = table_of(sequences, labels, group=[f"chr{row // 5 % 20}" for row in range(300)])
        split = split_rows(table, code_labels(table.labels), SplitSettings(method))
        assert min(split.counts().values()) >= 25
        assert not any("So many rows" in note for note in split.notes)


def test_a_given_column_is_taken_as_it_is(pairs):
    parts = ["train", "valid", "test", "train"] * 50
    table = table_of(pairs.sequences, pairs.labels, split=parts)
    split = split_rows(table, code_labels(table.labels))
    assert split.method == "given" and split.parts.tolist() == parts
    # Rows 2, 6, ... are for testing, and their reverse complement, the next row, is in train.
    assert split.leakage.leaked == 50
    assert split_rows(table, code_labels(table.labels), SplitSettings("cluster")).leakage.leaked == 0


def test_missing_validation_rows_are_taken_from_training_by_cluster(pairs):
    table = table_of(pairs.sequences, pairs.labels, split=["train"] * 180 + ["test"] * 20)
    split = split_rows(table, code_labels(table.labels))
    assert split.counts() == {"train": 160, "valid": 20, "test": 20}
    assert (split.parts[::2] == split.parts[1::2]).all()
    assert "no validation rows; 20 of the training rows" in split.notes[0]


def test_missing_test_rows_are_noted_and_missing_training_rows_refused(pairs):
    table = table_of(pairs.sequences, pairs.labels, split=["train", "valid"] * 100)
    split = split_rows(table, code_labels(table.labels))
    assert split.leakage is None and "no test rows" in split.notes[0]
    table = table_of(pairs.sequences, pairs.labels, split=["test", "valid"] * 100)
    with pytest.raises(TableError, match="has only test, valid; it needs rows with train"):
        split_rows(table, code_labels(table.labels))


def test_groups_stay_together(pairs):
    groups = [f"g{row % 20}" for row in range(200)]
    table = table_of(pairs.sequences, pairs.labels, group=groups)
    split = split_rows(table, code_labels(table.labels), SplitSettings("group"))
    where = pd.Series(split.parts).groupby(groups).nunique()
    assert (where == 1).all() and set(split.parts) == {"train", "valid", "test"}
    assert split.leakage.leaked > 0
    (doubt,) = split.doubts
    assert doubt.startswith("The test rows come from 2 groups, too few for intervals to be drawn over groups: they are")
    default = split_rows(table, code_labels(table.labels))
    assert default.method == "cluster" and "does not use" in default.notes[0]


def test_rows_of_one_group_go_together_with_their_look_alikes(pairs):
    rows = np.arange(200)

    def alike(named):
        found = related_rows(pairs.sequences, named)
        return found[:, None] == found

    def same(units):
        return units[:, None] == units

    assert (alike(None) == same(rows // 2)).all()
    assert (alike([f"g{row // 8}" for row in rows]) == same(rows // 8)).all(), "25 groups of four founders"
    # Row 0 and its look-alike, row 1, bear names of their own: the two groups become one.
    named = ["g1" if row == 0 else f"g{row // 8}" for row in rows]
    assert (alike(named) == same(np.maximum(rows // 8, 1))).all()
    assert (alike([f"chr{row // 70}" for row in rows]) == same(rows // 70)).all(), "three groups are enough"
    # Too few groups, or one chain through all rows, tell nothing of an interval: similarity alone decides.
    assert (alike([f"chr{row // 100}" for row in rows]) == same(rows // 2)).all()
    assert (alike([f"g{(row + 1) // 2}" for row in rows]) == same(rows // 2)).all()
    assert related_rows([], []).tolist() == []


@pytest.mark.parametrize(
    ("named", "words"),
    [
        (lambda row: row // 50, None),
        (lambda row: row // 8, None),
        (lambda row: row, None),
        (lambda row: 0, "The rows come from one group, too few for intervals to be drawn over groups: they are drawn"),
        (lambda row: row // 100, "The rows come from 2 groups, too few"),
        (lambda row: min(row // 10, 3), "So many rows are of one group, or of groups with sequences in common,"),
        (lambda row: (row + 1) // 2, "So many rows are of one group"),
    ],
)
def test_names_that_no_interval_can_be_drawn_over_are_told(pairs, named, words):
    names = [f"g{named(row)}" for row in range(200)]
    said = list(set_aside(names, drawn_groups(pairs.sequences, names)))
    assert [sentence.startswith(words or " ") for sentence in said] == [True] * (words is not None)
    assert all("too narrow for what other groups would give" in sentence for sentence in said)
    assert not list(set_aside(None, np.arange(200))) and not list(set_aside(names, None))


def said_of_groups(table, method, named, parts):
    table = table_of(table.sequences, table.labels, split=parts, group=[f"g{named(row)}" for row in range(200)])
    split = split_rows(table, code_labels(table.labels), SplitSettings(method, seed=2))
    return list(split.doubts), [note for note in split.notes if "drawn over" in note]


@pytest.mark.parametrize("method", ["given", "group", "cluster", "random"])
def test_each_division_tells_of_few_groups_among_the_rows_to_be_scored(pairs, method):
    parts = ["train"] * 100 + ["valid"] * 40 + ["test"] * 60
    # Every second name shares a founder with the next one: 20 groups of 10 rows.
    doubts, (note,) = said_of_groups(pairs, method, lambda row: row // 5, parts)
    assert doubts == [] and " groups of related rows among " in note and note.endswith("make them too narrow.")
    assert method != "given" or note.startswith("Intervals are drawn over 6 groups of related rows among 60.")
    if method != "group":
        (doubt,), notes = said_of_groups(pairs, method, lambda row: row // 200, parts)
        assert doubt.startswith("The test rows come from one group, too few") and notes == []


def test_without_test_rows_the_groups_of_validation_rows_are_told(pairs):
    (doubt,), notes = said_of_groups(pairs, "given", lambda row: row // 100, ["train"] * 150 + ["valid"] * 50)
    assert doubt.startswith("The validation rows come from one group,") and notes == []


def test_a_long_name_or_row_takes_no_memory_for_the_others(pairs):
    """An array of texts has as much room for each as for the longest: 3 GB here."""
    long = ["g" * 1_000_000, *(f"g{row // 20}" for row in range(1, 800))]
    tracemalloc.start()
    related_rows([*pairs.sequences] * 4, long)
    table = table_of(["ACGT" * 250_000, *pairs.sequences * 4], ["a", "b"] * 400 + ["a"], group=[*long, "g0"])
    copy_facts(table, code_labels(table.labels), np.arange(801))
    split_rows(table, code_labels(table.labels), SplitSettings("group"), clusters=np.arange(801))
    assert tracemalloc.get_traced_memory()[1] < 2e8
    tracemalloc.stop()


@pytest.mark.parametrize(("method", "column"), [("given", "split"), ("group", "group")])
def test_a_column_that_is_not_there_is_named(pairs, method, column):
    with pytest.raises(TableError, match=f"no column {column}; add one"):
        split_rows(pairs, code_labels(pairs.labels), SplitSettings(method))


def test_too_few_clusters_name_the_ways_out(make_dna):
    founder = make_dna(200)
    table = table_of([founder] * 30 + [make_dna(200)], ["a", "b"] * 15 + ["a"])
    with pytest.raises(TableError) as caught:
        split_rows(table, code_labels(table.labels))
    text = str(caught.value)
    assert "its 31 rows form 2 clusters of similar sequences, the largest with 30 rows" in text
    assert "a column group" in text and "a random split" in text
    assert split_rows(table, code_labels(table.labels), SplitSettings("random")).leakage.share == 1.0


def test_a_large_cluster_that_starves_the_test_part_is_noted(make_dna):
    founder = make_dna(200)
    sequences = [founder] * 94 + [make_dna(200) for _ in range(6)]
    table = table_of(sequences, ["a", "b"] * 50)
    split = split_rows(table, code_labels(table.labels))
    assert split.leakage.leaked == 0
    assert any("belong to similar sequences" in note for note in split.notes)
    assert any("wide intervals" in note for note in split.notes)


@pytest.mark.parametrize("task_labels", [[f"{n / 7:.3f}" for n in range(60)], ["x;y", "y", "x"] * 20])
def test_other_tasks_divide_as_well(make_dna, task_labels):
    table = table_of([make_dna(60) for _ in range(60)], task_labels)
    split = split_rows(table, code_labels(table.labels), SplitSettings(fractions=(0.6, 0.2, 0.2)))
    assert split.counts() == {"train": 36, "valid": 12, "test": 12}


@pytest.mark.parametrize(
    "fault",
    [
        {"method": "lucky"},
        {"seed": -1},
        *(
            {"fractions": shares}
            for shares in [
                (0.5, 0.2, 0.2),
                (0, 0.5, 0.5),
                (1, 0, 0),
                (0.9, 0.2, -0.1),
                (math.nan, math.nan, math.nan),
                (math.inf, 0.1, 0.1),
                (0.8, 0.2),
            ]
        ),
    ],
)
def test_impossible_settings_are_refused(fault):
    with pytest.raises(SettingsError):
        SplitSettings(**fault)


def test_rounded_shares_are_taken_as_the_whole(pairs):
    assert SplitSettings(fractions=(0.8, 0.2, 0)).fractions == (0.8, 0.2, 0)
    thirds = SplitSettings("random", fractions=(0.33, 0.33, 0.33))
    assert thirds.fractions == pytest.approx((1 / 3, 1 / 3, 1 / 3))
    counts = split_rows(pairs, code_labels(pairs.labels), thirds).counts()
    assert sorted(counts.values()) == pytest.approx([67, 67, 67], abs=1)
