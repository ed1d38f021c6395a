import os
import shutil
from functools import partial

import pytest
import torch

from genolm.checkpoints import write_checkpoint
from genolm.errors import BundleError, SettingsError
from genolm.unfinished import Unfinished


@pytest.fixture
def kept(tmp_path):
    found = Unfinished(tmp_path)
    found.open("m", {"seed": 1, "from_scratch": False})
    return found


def test_what_a_stage_left_is_there_again(kept):
    kept.write_weights("member-1", {"loss": 0.5}, {"a": torch.arange(3.0)})
    data, tensors = kept.read_weights("member-1")
    assert data == {"loss": 0.5} and tensors["a"].tolist() == [0, 1, 2]
    assert kept.read("search") is None and kept.read_weights("member-2") is None


def test_damage_counts_as_not_finished(kept):
    kept.write_weights("member-1", {"loss": 0.5}, {"a": torch.arange(3.0)})
    path = kept.folder / "member-1.weights"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert kept.read_weights("member-1") is None
    path.unlink()
    assert kept.read_weights("member-1") is None
    (kept.folder / "search.json").write_text('[{"lo')
    assert kept.read("search") is None


def test_the_same_training_goes_on_and_another_is_told_what_differs(kept):
    kept.write("search", [1])
    kept.open("m", {"seed": 1, "from_scratch": False})
    assert kept.read("search") == [1]
    with pytest.raises(SettingsError, match="'m' was begun with other seed and from scratch; give the same"):
        kept.open("m", {"seed": 2, "from_scratch": True})


def test_without_a_readable_fact_nothing_is_trusted(kept):
    kept.write_weights("member-1", {}, {"a": torch.zeros(1)})
    (kept.folder / "adapt").mkdir()
    (kept.folder / "facts.json").write_text("{")
    kept.open("m", {"seed": 1})
    assert kept.read_weights("member-1") is None and not (kept.folder / "adapt").exists()


def _after_another(rename, source, target):
    target.mkdir()
    (target / "card.json").write_text("theirs")
    rename(source, target)


def test_a_model_is_published_once_and_takes_nobody_s_place(tmp_path, monkeypatch):
    kept, place = Unfinished(tmp_path / ".m.training"), tmp_path / "m"
    kept.folder.mkdir()
    kept.open("m", {"seed": 1})
    kept.made("m").mkdir(parents=True)
    (kept.made("m") / "card.json").write_text("ours")
    place.mkdir()
    with pytest.raises(SettingsError, match="came into .*m while 'm' was trained. What was learned is kept"):
        kept.publish(place)
    assert not list(place.iterdir())
    kept.open("m", {"seed": 1})
    place.rmdir()
    with monkeypatch.context() as unseen:  # one that comes between the look and the step
        unseen.setattr("genolm.unfinished.os.rename", partial(_after_another, os.rename))
        with pytest.raises(SettingsError, match="came into .*m while 'm' was trained"):
            kept.publish(place)
    assert (place / "card.json").read_text() == "theirs"
    kept.open("m", {"seed": 1})
    shutil.rmtree(place)
    kept.publish(place)
    assert (place / "card.json").read_text() == "ours" and not kept.folder.exists()


def test_a_training_that_ended_while_it_tidied_up_is_over(tmp_path, monkeypatch):
    kept, place = Unfinished(tmp_path / ".m.training"), tmp_path / "m"
    kept.folder.mkdir()
    kept.open("m", {"seed": 1})
    kept.write("search", [1])
    kept.made("m").mkdir(parents=True)
    with monkeypatch.context() as killed:
        killed.setattr("genolm.unfinished.shutil.rmtree", lambda *arguments, **options: None)
        kept.publish(place)
    assert kept.read("search") == [1]
    kept.open("m", {"seed": 2})
    assert kept.read("search") is None and kept.read("facts") == {"seed": 2}
    kept.write("search", [2])
    kept.open("m", {"seed": 2})
    assert kept.read("search") == [2]


@pytest.mark.parametrize("name", ["stage", "weights", "checkpoint"])
def test_a_full_disk_is_told_with_the_place_and_that_nothing_is_lost(kept, name, monkeypatch):
    tensors = {"a": torch.zeros(2)}
    deeds = {
        "stage": lambda: kept.write("search", [1]),
        "weights": lambda: kept.write_weights("member-1", {}, tensors),
        "checkpoint": lambda: write_checkpoint(kept.folder / "adapt", "step-1-0", {}, tensors),
    }

    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("genolm.workspace.os.replace", full)
    with pytest.raises(SettingsError) as told:
        deeds[name]()
    folder = str(kept.folder / "adapt" if name == "checkpoint" else kept.folder)
    assert f"cannot be kept in {folder} (No space left on device); make room there" in str(told.value)
    assert str(told.value).endswith("it goes on from what was kept before.")


def test_a_damaged_checkpoint_begins_its_stage_anew(kept):
    seen = []

    def work(folder):
        seen.append(folder.exists())
        folder.mkdir(exist_ok=True)
        if seen == [True]:
            raise BundleError("damaged")
        return "done"

    (kept.folder / "adapt").mkdir()
    assert kept.with_checkpoint("adapt", work) == "done"
    assert seen == [True, False]


def test_an_error_that_no_checkpoint_explains_is_passed_on(kept):
    def work(folder):
        raise BundleError("no such model")

    with pytest.raises(BundleError, match="no such model"):
        kept.with_checkpoint("adapt", work)
