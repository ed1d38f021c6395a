"""How a Ray cluster is reached: with a token, and without a word to anyone else."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from genolm.errors import SettingsError

TOKEN_VARIABLES = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
_QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "token"}


def prepare(token: str | None = None) -> None:
    """Set what Ray reads from the environment; to be called before it is imported.

    Parameters
    ----------
    token : str, optional
        The cluster's; by default RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH or ~/.ray/auth_token.

    Raises
    ------
    SettingsError
        If there is none. Where RAY_AUTH_MODE says that the cluster needs none, none is asked for.
    """
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    if token:
        os.environ[TOKEN_VARIABLES[0]] = token
    kept = Path.home() / ".ray" / "auth_token"
    known = kept.exists() or any(os.environ.get(name) for name in TOKEN_VARIABLES)
    if os.environ["RAY_AUTH_MODE"] == "token" and not known:
        raise SettingsError(
            f"The cluster's token is not known here; set {TOKEN_VARIABLES[0]} to what the head was started with."
        )


@contextmanager
def with_ray() -> Iterator[None]:
    """Import from Ray in the block; a sentence where it is not installed."""
    try:
        yield
    except ImportError as error:
        raise SettingsError('Ray is not installed here; `pip install "genolm[ray]"` brings it.') from error
