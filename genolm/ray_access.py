"""How a Ray cluster is reached: with a token, and without a word to anyone else."""

import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from genolm.errors import SettingsError

TOKEN_VARIABLES = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
_CONNECT_SECONDS = 10.0
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
        words = 'Ray is not installed here; `pip install -e ".[ray]"` in the checkout of genolm brings it.'
        raise SettingsError(words) from error


@contextmanager
def connected(address: str | None, *, token: str | None = None) -> Iterator[Any]:
    """Give Ray, connected to a cluster with its token; nothing is started.

    A connection that is there already is used, and left as it is.
    """
    _check_address(address)
    prepare(token)
    with with_ray():
        import ray
    if ray.is_initialized():
        yield ray
        return
    main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGTERM) if main else None
    try:
        ray.init(address=address or "auto", log_to_driver=False, logging_level="ERROR")
    except (OSError, RuntimeError, ray.exceptions.RayError) as error:
        raise SettingsError(_no_cluster(address, error)) from error
    finally:
        # Ray puts its own in place; a job's worker has one that keeps what is finished.
        if handler is not None:
            signal.signal(signal.SIGTERM, handler)
    try:
        yield ray
    finally:
        ray.shutdown()


def _check_address(address: str | None) -> None:
    if address and "://" in address:
        raise SettingsError(
            f"'{address}' is not an address for a scan from one of the cluster's nodes, such as 10.0.0.1:6379; "
            "http:// addresses are for scans that are submitted, see --submit."
        )
    if not address or address == "auto":
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise SettingsError(f"'{address}' is not an address; give the head's as HOST:PORT, such as 10.0.0.1:6379.")
    try:
        # Ray itself would try for minutes.
        socket.create_connection((host, int(port)), timeout=_CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise SettingsError(_no_cluster(address, error)) from error


def _no_cluster(address: str | None, error: Exception) -> str:
    said = " ".join(str(error).split())
    where = f"at {address}" if address else "on this machine"
    return (
        f"There is no Ray cluster {where} that can be used ({said[:300]}); start one with `ray start --head`, and "
        "give its own address and token: with another token it does not answer either."
    )
