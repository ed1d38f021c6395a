"""Signed, expiring tokens for the app's own web addresses: no file can be had by guessing its name."""

import os
import secrets
from functools import cache
from pathlib import Path
from typing import Any

from itsdangerous import BadSignature, URLSafeTimedSerializer

from genolm import workspace
from genolm.errors import SettingsError

_KEY_LETTERS = 64


@cache
def _signer(folder: str, purpose: str) -> URLSafeTimedSerializer:
    """Return the signer of one purpose; its key lives in the workspace, so tokens outlive a restart."""
    path = Path(folder) / "token.key"
    try:
        while not (key := _read_key(path)):
            _make_key(path)
    except OSError as error:
        raise SettingsError(
            f"The key of the app's links cannot be kept in {path} ({error.strerror or error}); its folder has to be "
            "writable and to have some room."
        ) from error
    return URLSafeTimedSerializer(key, salt=f"genolm-{purpose}")


def _read_key(path: Path) -> str:
    """Return the key, "" if there is none or what a full disk or a crash left of it."""
    try:
        key = path.read_bytes().strip()
    except FileNotFoundError:
        return ""
    return key.decode("ascii") if len(key) >= _KEY_LETTERS and key.isalnum() else ""


def _make_key(path: Path) -> None:
    """Write a key where none is that can be used, whole or not at all; of several processes one does it."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    with workspace.lock_beside(path):
        if _read_key(path):
            return
        try:
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
                file.write(secrets.token_hex(_KEY_LETTERS // 2))
                file.flush()
                os.fsync(file.fileno())
            path.unlink(missing_ok=True)
            try:
                os.link(draft, path)
            except FileExistsError:
                pass  # on a system without locks another process was first
            except OSError:
                os.replace(draft, path)  # some drives know no hard links
        finally:
            draft.unlink(missing_ok=True)


def sign(purpose: str, value: Any) -> str:
    """Return a token that carries ``value`` (JSON data) for one purpose only."""
    return str(_signer(str(workspace.home()), purpose).dumps(value))


def unsign(purpose: str, token: str, *, max_age: int) -> Any | None:
    """Return what the token carries; None if it is forged, too old (seconds) or for another purpose."""
    try:
        return _signer(str(workspace.home()), purpose).loads(token, max_age=max_age)
    except BadSignature:
        return None
