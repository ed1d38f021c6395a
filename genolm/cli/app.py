"""``genolm app``: the app in a browser."""

import os
import socket
import subprocess
import sys
import sysconfig
from pathlib import Path

import click

from genolm.errors import SettingsError

ADDRESS, FIRST_PORT = "127.0.0.1", 8501


@click.command("app")
@click.option("--port", type=click.IntRange(1, 65535), help="8501 by default, or the next one that is free.")
@click.option("--no-browser", is_flag=True, help="Only serve; open no browser.")
def command(port: int | None, no_browser: bool) -> None:
    """Open the app in a browser.

    It runs on this machine and answers no other; end it with Ctrl-C.
    """
    port = port or free_port(FIRST_PORT)
    arguments = streamlit_command(find_app(), port=port, browser=not no_browser)
    click.echo(f"genolm runs at http://{ADDRESS}:{port} on this machine; end it with Ctrl-C.")
    if os.name == "posix":
        # The server takes the place of this process, so that whoever stops this one stops the server.
        os.execv(arguments[0], arguments)
    else:
        raise SystemExit(subprocess.call(arguments))


def find_app() -> Path:
    """Return where app.py is: in the checkout, or where the installed package has put it."""
    roots = [Path(__file__).resolve().parents[2], Path(sysconfig.get_path("data")) / "share" / "genolm"]
    for root in roots:
        if (root / "app.py").is_file() and (root / "pages").is_dir():
            return root / "app.py"
    raise SettingsError(f"The app's files are not in {' or '.join(map(str, roots))}; run it from a checkout.")


def free_port(first: int) -> int:
    """Return the first port from ``first`` on that nothing on this machine uses."""
    for port in range(first, 65536):
        with socket.socket() as taker:
            if taker.connect_ex((ADDRESS, port)):
                return port
    raise SettingsError(f"All ports from {first} on are in use; name another one with --port.")


def streamlit_command(app: Path, *, port: int, browser: bool) -> list[str]:
    """Return the command line that serves ``app``, by ``serve.py`` beside it.

    Its settings stand in ``.streamlit/config.toml`` beside it, which streamlit finds by itself. Its own greeting is
    left out: with it, pages offer to install files for makers of apps.
    """
    options = {
        "server.headless": str(not browser).lower(),
        "server.port": str(port),
        "server.showEmailPrompt": "false",
        "logger.hideWelcomeMessage": "true",
    }
    flags = [f"--{key}={value}" for key, value in options.items()]
    return [sys.executable, str(app.parent / "serve.py"), "run", str(app), *flags]
