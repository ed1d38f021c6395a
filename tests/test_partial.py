"""Finished parts: found again by the same work alone, and never trusted when they are damaged."""

from dataclasses import replace

import numpy as np
import pytest

from genolm import workspace
from genolm.bundle_config import BundleConfig
from genolm.config import PRESETS, HeadConfig
from genolm.errors import SettingsError
from genolm.partial import FinishedParts, kept_parts, sole_writer, tokens_per_part

WORK = {"input": "abc", "settings": {"stride": 10, "contigs": None}}


class Stopped(Exception):
    pass


def make(log, value):
    def made():
        log.append(value)
        return {"values": np.full(5, value, dtype=np.float32), "none": np.empty(0, dtype=np.float32)}

    return made


def interrupted(folder, work, log, values):
    """Make a part of each value and stop."""
    with pytest.raises(Stopped), kept_parts(folder, work) as parts:
        for value in values:
            parts.finish(f"part-{value}", make(log, value))
        raise Stopped


def test_the_same_work_finds_its_parts_and_removes_them_in_the_end(tmp_path):
    folder, log = tmp_path / "new" / ".out.partial", []
    interrupted(folder, WORK, log, (1, 2))
    assert len(list(folder.iterdir())) == 2
    with kept_parts(folder, WORK) as parts:
        found = [parts.finish(f"part-{value}", make(log, value)) for value in (1, 2, 3)]
        assert [part.reused for part in found] == [True, True, False]
        assert [part.arrays["values"][0] for part in found] == [1, 2, 3]
        assert found[0].arrays["values"].dtype == np.float32 and found[0].arrays["none"].size == 0
        assert parts.earlier_seconds == pytest.approx(found[0].seconds + found[1].seconds)
        again = parts.finish("part-3", make(log, 3))
        assert again.reused and parts.earlier_seconds < found[0].seconds + found[1].seconds + 1e-9
    assert log == [1, 2, 3]
    assert not folder.exists()


@pytest.mark.parametrize("other", [{**WORK, "input": "abd"}, {"input": "abc", "settings": {"stride": 9}}])
def test_other_work_begins_anew(tmp_path, other):
    log = []
    interrupted(tmp_path / "p", WORK, log, (1,))
    interrupted(tmp_path / "p", other, log, (1,))
    assert log == [1, 1]
    interrupted(tmp_path / "p", other, log, (1,))
    assert log == [1, 1]


@pytest.mark.parametrize("harm", ["cut", "flipped", "emptied", "swapped", "a folder"])
def test_a_damaged_part_is_made_again(tmp_path, harm):
    folder, log = tmp_path / "p", []
    interrupted(folder, WORK, log, (1, 2))
    path = folder / "part-1.part"
    content = path.read_bytes()
    if harm == "swapped":
        path.write_bytes((folder / "part-2.part").read_bytes())
    elif harm == "a folder":
        path.unlink()
        path.mkdir()
        with pytest.raises(SettingsError, match="cannot be kept"):
            FinishedParts(folder).finish("part-1", make(log, 1))
        return
    else:
        middle = len(content) // 2
        flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        path.write_bytes({"cut": content[:middle], "flipped": flipped, "emptied": b""}[harm])
    with kept_parts(folder, WORK) as parts:
        part = parts.finish("part-1", make(log, 1))
        assert not part.reused and part.arrays["values"][0] == 1
        assert parts.finish("part-2", make(log, 2)).reused
    assert log == [1, 2, 1]


def test_a_part_of_parts_counts_what_was_spent_on_them_before(tmp_path):
    def stopped():
        raise Stopped

    with pytest.raises(Stopped), kept_parts(tmp_path / "p", WORK) as parts:
        inner = parts.within("long").finish("a", make([], 1))
        parts.finish("long", stopped)
    with kept_parts(tmp_path / "p", WORK) as parts:
        outer = parts.finish("long", lambda: parts.within("long").finish("a", make([], 1)).arrays)
        assert outer.seconds > inner.seconds
        assert parts.earlier_seconds == pytest.approx(inner.seconds)


def test_nothing_is_kept_without_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    log = []
    parts = FinishedParts()
    assert not parts.finish("a", make(log, 1)).reused
    assert not parts.within("b").finish("a", make(log, 1)).reused
    assert log == [1, 1] and list(tmp_path.iterdir()) == []


def test_what_a_killed_run_left_is_removed_and_other_files_stay(tmp_path):
    folder = tmp_path / "p"
    folder.mkdir()
    (folder / ".a.part.1234.abcd.tmp").write_bytes(b"half")
    (folder / "mine.txt").write_text("keep")
    with kept_parts(folder, WORK) as parts:
        parts.finish("a", make([], 1))
    assert [path.name for path in folder.iterdir()] == ["mine.txt"]


def test_a_full_disk_is_one_sentence_and_the_parts_before_stay(tmp_path, monkeypatch):
    folder, log = tmp_path / "p", []
    interrupted(folder, WORK, log, (1,))

    def full(self, source):
        raise OSError(28, "No space left on device")

    told = "A finished part cannot be kept in .*; make room there"
    with pytest.raises(SettingsError, match=told), kept_parts(folder, WORK) as parts:
        monkeypatch.setattr(workspace.os, "replace", lambda *_: full(None, None))
        parts.finish("part-2", make(log, 2))
    assert [path.name for path in folder.iterdir()] == ["part-1.part"]


def test_a_part_of_what_was_changed_meanwhile_is_not_kept(tmp_path):
    folder, log, changed = tmp_path / "p", [], []

    def check():
        if changed:
            raise SettingsError("changed")

    def change():
        changed.append(1)
        return make(log, 2)()

    with pytest.raises(SettingsError, match="changed"), kept_parts(folder, WORK, check=check) as parts:
        parts.finish("part-1", make(log, 1))
        parts.within("long").finish("part-2", change)
    assert [path.name for path in folder.iterdir()] == ["part-1.part"] and log == [1, 2]


def test_an_output_has_one_writer_and_nothing_stays_of_the_lock(tmp_path):
    out = tmp_path / "new" / "out.csv"
    folder = out.with_name(".out.csv.partial")
    with sole_writer(folder, out):
        refused = pytest.raises(SettingsError, match="Another run is writing .*out.csv; wait for its end or choose")
        with refused, sole_writer(folder, out):
            pass
        with sole_writer(tmp_path / ".other.csv.partial", tmp_path / "other.csv"):
            pass
        with kept_parts(folder, WORK) as parts:
            parts.finish("a", make([], 1))
        assert folder.exists()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(Stopped), sole_writer(folder, out), kept_parts(folder, WORK) as parts:
        parts.finish("a", make([], 1))
        raise Stopped
    assert [path.name for path in folder.iterdir()] == ["a.part"]
    (tmp_path / "file").write_text("x")
    with pytest.raises(SettingsError, match="cannot be made"), sole_writer(tmp_path / "file" / "p", out):
        pass


def test_where_no_folder_can_be_made_is_said_before_the_work(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(SettingsError, match="cannot be made"), kept_parts(tmp_path / "file" / "p", WORK):
        pass


def test_a_larger_model_reads_fewer_tokens_in_a_part():
    config = BundleConfig(name="m", kind="classifier", encoder=PRESETS["small"], head=HeadConfig())
    small = tokens_per_part(config, "cpu")
    assert 500_000 < small < 1_500_000
    assert tokens_per_part(config, "cuda") == pytest.approx(50 * small, rel=1e-3)
    assert tokens_per_part(replace(config, encoder=PRESETS["ulmfit"]), "cpu") < small / 3
    six_readings = replace(config, members=3, mirrored=True)
    assert tokens_per_part(six_readings, "cpu") == pytest.approx(small / 6, rel=1e-3)
    assert tokens_per_part(replace(config, encoder=PRESETS["tiny"]), "cpu") == 3_000_000
