"""The key behind all links: one for all processes, never empty, private."""

import errno
import os
import subprocess
import sys

import pytest

from genolm.errors import SettingsError
from pages.shared import tokens

_SIGN = "from pages.shared import tokens; print(tokens.sign('file', 'calls.csv'))"


@pytest.fixture
def key(private_workspace):
    """The file of the key, which nobody has asked for yet."""
    tokens._signer.cache_clear()
    yield private_workspace / "token.key"
    tokens._signer.cache_clear()


def test_the_key_is_private_long_and_kept(key):
    token = tokens.sign("file", "calls.csv")
    assert key.stat().st_mode & 0o777 == 0o600 and len(key.read_text()) >= 64
    tokens._signer.cache_clear()
    assert tokens.unsign("file", token, max_age=60) == "calls.csv"
    assert not list(key.parent.glob("*.tmp"))


@pytest.mark.parametrize("left", [b"", b"0123456789abcdef", b"\0" * 64, b"\xff" * 64])
def test_what_a_full_disk_left_of_a_key_is_no_key(key, left):
    key.write_bytes(left)
    weak = tokens.URLSafeTimedSerializer(left or "", salt="genolm-file").dumps("calls.csv")
    token = tokens.sign("file", "calls.csv")
    assert tokens.unsign("file", weak, max_age=60) is None
    assert key.stat().st_mode & 0o777 == 0o600 and key.read_bytes() != left
    tokens._signer.cache_clear()
    assert tokens.unsign("file", token, max_age=60) == "calls.csv"


def test_on_a_full_disk_there_is_a_sentence_and_no_key(key, monkeypatch):
    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SettingsError, match="No space left on device"):
        tokens.sign("file", "calls.csv")
    assert not key.exists() and not list(key.parent.glob("*.tmp"))


def test_a_drive_without_hard_links_will_do(key, monkeypatch):
    def refuse(source, target):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    assert tokens.unsign("file", tokens.sign("file", "calls.csv"), max_age=60) == "calls.csv"


@pytest.mark.parametrize("left", [None, b""])
def test_processes_that_come_at_the_same_moment_get_the_same_key(key, left):
    if left is not None:
        key.write_bytes(left)
    command = [sys.executable, "-c", _SIGN]
    others = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    found = [other.communicate()[0].strip() for other in others]
    assert all(tokens.unsign("file", token, max_age=60) == "calls.csv" for token in found)
