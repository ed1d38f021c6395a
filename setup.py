"""What pyproject.toml cannot say: a wheel also carries the app, its models and samples, to share/genolm."""

import sys
from pathlib import Path

from setuptools import setup

FOLDERS = ("pages", "assets", ".streamlit")


def shared_files() -> list[tuple[str, list[str]]]:
    """Return (folder in the environment, files) for everything that the app needs beside the package."""
    files = [Path("app.py"), Path("serve.py")]
    for folder in FOLDERS:
        files += [
            path
            for path in sorted(Path(folder).rglob("*"))
            if path.is_file() and "__pycache__" not in path.parts
        ]
    by_folder: dict[str, list[str]] = {}
    for path in files:
        by_folder.setdefault(str("share/genolm" / path.parent), []).append(str(path))
    return list(by_folder.items())


# An editable install uses the checkout's own files.
setup(data_files=[] if "editable_wheel" in sys.argv else shared_files())
