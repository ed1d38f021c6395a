"""The workspace: where it is, that it is made, and that files appear in it whole or not at all."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from genolm import workspace
from genolm.errors import SettingsError


@pytest.fixture
def chosen_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "deep" / "home"
    monkeypatch.setenv("GENOLM_HOME", str(folder))
    return folder


def test_home_is_the_variable_and_is_made(chosen_home: Path) -> None:
    assert workspace.home() == chosen_home
    assert chosen_home.is_dir()


def test_home_without_the_variable_is_in_the_users_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENOLM_HOME", " ")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert workspace.home() == tmp_path / ".genolm"


def test_a_tilde_and_a_relative_path_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GENOLM_HOME", "~/lab")
    assert workspace.home() == tmp_path / "lab"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GENOLM_HOME", "here")
    assert workspace.home() == tmp_path / "here"


@pytest.mark.parametrize("kind", ["models", "index", "jobs", "uploads"])
def test_each_folder_lies_in_the_home_and_is_made(chosen_home: Path, kind: str) -> None:
    folder = getattr(workspace, f"{kind}_dir")()
    assert folder == chosen_home / kind
    assert folder.is_dir()


def test_nobody_else_can_open_what_users_uploaded(chosen_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert workspace.uploads_dir().stat().st_mode & 0o777 == 0o700
    workspace.uploads_dir().chmod(0o755)
    (chosen_home / "uploads" / "kept.fa").touch()
    assert workspace.uploads_dir().stat().st_mode & 0o777 == 0o700
    workspace.uploads_dir().chmod(0o755)

    def refuse(path: Path, mode: int) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "chmod", refuse)
    assert (workspace.uploads_dir() / "kept.fa").exists()


def test_a_home_that_cannot_be_made_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GENOLM_HOME", str(tmp_path / "file" / "home"))
    with pytest.raises(SettingsError, match="GENOLM_HOME"):
        workspace.home()


def test_shipped_folders_are_those_of_the_checkout_or_of_an_installed_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "genolm"
    monkeypatch.setattr(workspace, "__file__", str(package / "workspace.py"))
    monkeypatch.setattr(workspace.sysconfig, "get_path", lambda _: str(tmp_path / "prefix"))
    assert workspace.builtin_models_dir() == tmp_path / "assets" / "models"
    installed = tmp_path / "prefix" / "share" / "genolm" / "assets" / "models"
    installed.mkdir(parents=True)
    assert workspace.builtin_models_dir() == installed
    (tmp_path / "assets" / "models").mkdir(parents=True)
    assert workspace.builtin_models_dir() == tmp_path / "assets" / "models"
    (package / "assets" / "samples").mkdir(parents=True)
    assert workspace.samples_dir() == package / "assets" / "samples"


def test_atomic_write_shows_the_file_only_when_complete(tmp_path: Path) -> None:
    target = tmp_path / "out.txt"
    with workspace.atomic_write(target) as stream:
        stream.write(b"one")
        assert not target.exists()
    assert target.read_bytes() == b"one"
    assert target.stat().st_mode & 0o777 == 0o666 & ~_umask()


def test_atomic_write_leaves_the_old_file_after_an_error(tmp_path: Path) -> None:
    target = tmp_path / "out.txt"
    target.write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), workspace.atomic_write(target) as stream:
        stream.write(b"new")
        raise ZeroDivisionError
    assert [path.name for path in tmp_path.iterdir()] == ["out.txt"]
    assert target.read_bytes() == b"old"


def test_one_training_has_its_folder_to_itself(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / ".mine.training"
    with workspace.exclusive(folder, "mine"):
        refused = pytest.raises(SettingsError, match="A training of 'mine' is running already")
        with refused, workspace.exclusive(folder, "mine"):
            pass
        other = [sys.executable, "-c", _HOLD, str(folder), "mine"]
        assert "'mine' is running already" in subprocess.run(other, capture_output=True, text=True).stdout
    assert not folder.exists()


def test_a_lock_ends_with_its_process_and_what_was_kept_stays(tmp_path: Path) -> None:
    program = _HOLD + "    print('in', flush=True)\n    time.sleep(120)"
    command = [sys.executable, "-c", program, str(tmp_path), "mine"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stdout.readline() == "in\n"
        with pytest.raises(SettingsError, match="running already"), workspace.exclusive(tmp_path, "mine"):
            pass
        process.kill()
    with workspace.exclusive(tmp_path, "mine"):
        (tmp_path / "kept.json").write_text("{}")
    assert (tmp_path / "kept.json").exists()


_HOLD = """
import sys, time
from pathlib import Path
from genolm import errors, workspace
def excepthook(kind, error, trace):
    print(error)
sys.excepthook = excepthook
with workspace.exclusive(Path(sys.argv[1]), sys.argv[2]):
    pass
"""


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
