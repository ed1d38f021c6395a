import pytest
import torch

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
