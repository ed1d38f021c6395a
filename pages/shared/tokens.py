"""Signed, expiring tokens for the app's own web addresses: no file can be had by guessing its name."""

import os
import secrets
from functools import cache
from typing import Any

from itsdangerous import BadSignature, URLSafeTimedSerializer

from genolm import workspace


@cache
def _signer(folder: str, purpose: str) -> URLSafeTimedSerializer:
    """Return the signer of one purpose; its key lives in the workspace, so tokens outlive a restart."""
    path = os.path.join(folder, "token.key")
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(32))
    except FileExistsError:
        pass
    with open(path, encoding="ascii") as file:
        return URLSafeTimedSerializer(file.read(), salt=f"genolm-{purpose}")


def sign(purpose: str, value: Any) -> str:
    """Return a token that carries ``value`` (JSON data) for one purpose only."""
    return str(_signer(str(workspace.home()), purpose).dumps(value))


def unsign(purpose: str, token: str, *, max_age: int) -> Any | None:
    """Return what the token carries; None if it is forged, too old (seconds) or for another purpose."""
    try:
        return _signer(str(workspace.home()), purpose).loads(token, max_age=max_age)
    except BadSignature:
        return None
