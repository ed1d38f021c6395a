"""Recipes with a function of their own: earlier runs stay or nothing is written over; parts go both ways."""

import copy
import json
import math

import pytest

from genolm.errors import GenolmError
from genolm.recipe_config import find_recipe
from genolm.recipe_own import joined, kept_parts
from genolm.recipe_run import Limits, run_recipe

TOY = '''
def run(task):
    options = task.options
    runs = {
        name: {"seeds": [{"seed": seed, "metrics": {"auroc": {"value": options["value"] + seed}}} for seed in seeds]}
        for name, seeds in options["seeds"].items()
    }
    methods = {name: {"title": name, "kind": "ours", "base": None, "settings": {"lr": options["lr"]}} for name in "ab"}
    gap = {"protocol": "all", "method": "a", "other": "b", "metric": "auroc", "value": options["value"], "p": 0.5}
    rows = {"test": options["rows"]} if options["rows"] else {}
    return {
        "protocols": {"all": {"title": "All", "rows": rows, "record": {}}}, "methods": methods,
        "scores": {"all": runs}, "differences": [gap] * (len(runs) == 2), "repeat": "draw",
    }
'''
RECIPE = """
title = "Toy"
section = "Toys"
order = 1
question = "Is it?"
metric = "auroc"
metrics = ["auroc"]
[run]
module = "toy_own_runs"
[run.options]
value = 0
lr = 0.1
rows = 30
[run.options.seeds]
a = [1, 2]
b = [1, 2]
"""


@pytest.fixture
def run(tmp_path):
    """A function (old=new text of the recipe) -> result, written over the one before as ``--into`` does."""
    folder, into = tmp_path / "recipes", tmp_path / "into.json"
    folder.mkdir()
    (folder / "toy_own_runs.py").write_text(TOY)

    def run(*changes):
        text = RECIPE
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        (folder / "toy.toml").write_text(text)
        recipe = find_recipe(folder, "toy")
        path = run_recipe(recipe, tmp_path, tmp_path / "runs", earlier=into, say=lambda _: None)
        into.write_bytes(path.read_bytes())
        return json.loads(path.read_text())

    return run


def values(found, method):
    return {item["seed"]: item["metrics"]["auroc"]["value"] for item in found["scores"]["all"][method]["seeds"]}


def test_runs_that_the_newer_result_lacks_stay_and_its_own_count(run):
    first = run()
    assert values(first, "a") == {1: 1, 2: 2} and "earlier" not in first["machine"]
    found = run(("value = 0", "value = 10"), ("a = [1, 2]", "a = [2, 3]"), ("b = [1, 2]", ""))
    assert values(found, "a") == {1: 1, 2: 12, 3: 13} and values(found, "b") == {1: 1, 2: 2}
    # Of the difference that was there, one method was run anew; of the machine that was there, parts are left.
    assert found["differences"] == []
    last = {"version": first["version"], "date": first["date"]}
    assert found["machine"]["earlier"] == [{**first["machine"], **last}]


def test_differences_stay_where_both_methods_are_as_they_were_and_go_where_runs_are_of_two_results(run):
    first = run()
    assert len(first["differences"]) == 1
    assert run(("a = [1, 2]", ""))["differences"] == first["differences"]
    assert run(("value = 0", "value = 10"), ("a = [1, 2]", "a = [2]"))["differences"] == []


@pytest.mark.parametrize("change", [("lr = 0.1", "lr = 0.2"), ("rows = 30", "rows = 31"), ('title": "All', 'title": "All')])
def test_nothing_is_written_over_where_rows_or_settings_differ_or_are_not_told(run, tmp_path, change):
    start = [("rows = 30", "rows = 0")] if change[0] == change[1] else []
    changes = start or [change]
    run(*start)
    kept = (tmp_path / "into.json").read_text()
    message = r"into\.json has figures that this run has not, .*: All, a, draw 1; All, b, draw 1, 2\. .* Name another --into"
    with pytest.raises(GenolmError, match=message):
        run(*changes, ("a = [1, 2]", "a = [2]"), ("b = [1, 2]", ""))
    assert (tmp_path / "into.json").read_text() == kept
    # What was run is not lost, and a run that has all of it may differ in anything.
    assert values(json.loads((tmp_path / "runs" / "toy" / "result.json").read_text()), "a") == {2: 2}
    assert values(run(*changes, ("a = [1, 2]", "a = [1, 2, 3]")), "a") == {1: 1, 2: 2, 3: 3}


def test_runs_of_other_sources_do_not_stay(run, tmp_path):
    path = tmp_path / "into.json"
    found = run()
    path.write_text(json.dumps({**found, "sources": [{"file": "letters.txt", "sha256": "0" * 64}]}))
    with pytest.raises(GenolmError, match=r"All, a, draw 1\. It stays as it is"):
        run(("a = [1, 2]", "a = [2]"))


def test_what_only_one_result_tells_is_not_compared_and_what_both_tell_is(run):
    earlier = run()
    part = copy.deepcopy(earlier)
    del part["scores"]["all"]["a"]["seeds"][0]
    one, other = ({"refit": True, "language_model": name} for name in "xy")
    for told, is_kept in ((({}, one), True), ((one, one), True), ((one, other), False)):
        for result, facts in zip((earlier, part), told, strict=True):
            result["methods"]["a"]["facts"] = facts
        assert (1 in values(joined(part, earlier), "a")) is is_kept
    again = joined(part, {**earlier, "methods": part["methods"]})
    assert joined(again, {**earlier, "methods": part["methods"]}) == again


def test_limits_are_refused_that_a_function_of_its_own_does_not_know(run, tmp_path):
    run()
    recipe = find_recipe(tmp_path / "recipes", "toy")
    for limits in (Limits(("all",)), Limits((), ("cnn",)), Limits(seeds=1)):
        with pytest.raises(GenolmError, match=r"'toy' has a function of its own, .*leave --protocol, --method .*toy\.toml"):
            run_recipe(recipe, tmp_path, tmp_path / "runs", limits=limits, say=lambda _: None)


def write_parts(path, version=1, **parts):
    path.write_text(json.dumps({"format_version": version, "parts": parts}))


def read_parts(path):
    return json.loads(path.read_text())["parts"]


def test_parts_of_both_files_are_joined_and_those_of_here_count(tmp_path):
    parts, kept = tmp_path / "parts.json", tmp_path / "kept" / "toy.json"
    with kept_parts(parts, kept):
        write_parts(parts, one=1, two=2)
    assert read_parts(kept) == {"one": 1, "two": 2}
    write_parts(kept, one="theirs", three=math.nan)
    with pytest.raises(KeyboardInterrupt), kept_parts(parts, kept):
        assert set(read_parts(parts)) == {"one", "two", "three"} and read_parts(parts)["one"] == 1
        write_parts(parts, one=1, two=2, four=4)
        # Another machine adds to the file in the meantime.
        write_parts(kept, five=5)
        raise KeyboardInterrupt
    assert read_parts(kept) == {"one": 1, "two": 2, "four": 4, "five": 5}
    with kept_parts(tmp_path / "new.json", kept):
        assert read_parts(tmp_path / "new.json") == read_parts(kept)


def test_parts_of_another_form_are_refused_and_left_alone(tmp_path):
    parts, kept = tmp_path / "parts.json", tmp_path / "toy.json"
    write_parts(parts, one=1)
    write_parts(kept, version=2, one=1)
    with pytest.raises(GenolmError, match=r"parts\.json and .*toy\.json hold finished parts of different formats"), kept_parts(parts, kept):
        pass
    kept.write_text("[1]")
    with pytest.raises(GenolmError, match=r"toy\.json is no file of finished parts"), kept_parts(parts, kept):
        pass
    assert kept.read_text() == "[1]"
