"""The record of a run: what ran on what, with which model, settings and code, and how long it took.

A scan and the report of a training keep it as ``run.json``; a result that is one file has it beside it as
``<file>.run.json``. It is enough to repeat the run (see :mod:`genolm.rerun`) and to compare its result, byte
for byte, with another.
"""

import hashlib
import json
import math
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from genolm.errors import SequenceError
from genolm.workspace import atomic_write

RECORD_VERSION = 1
RECORD_NAME, RECORD_ENDING = "run.json", ".run.json"
_CHUNK = 1 << 20


def file_facts(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return name, size in bytes and sha256 of a file, read in pieces."""
    path = Path(path)
    digest = hashlib.sha256()
    try:
        with path.open("rb") as handle:
            while piece := handle.read(_CHUNK):
                digest.update(piece)
        size = path.stat().st_size
    except OSError as error:
        raise SequenceError(f"{path} cannot be read: {error.strerror or error}.") from error
    return {"name": path.name, "bytes": size, "sha256": digest.hexdigest()}


def source_facts(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return name, bytes and hash of a table; of a folder the hash is of its files' names and hashes."""
    path = Path(path)
    if not path.is_dir():
        return file_facts(path)
    facts = [file_facts(item) for item in sorted(path.iterdir()) if item.is_file()]
    lines = "".join(f"{item['name']} {item['sha256']}\n" for item in facts)
    size = sum(item["bytes"] for item in facts)
    return {"name": path.name, "bytes": size, "sha256": hashlib.sha256(lines.encode()).hexdigest()}


def package_version(name: str) -> str | None:
    """Return the version of an installed package, None when it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def code_version() -> str:
    """Return the version of genolm, installed or run from a checkout."""
    import genolm

    return str(getattr(genolm, "__version__", None) or package_version("genolm") or "unknown")


def code_facts() -> dict[str, Any]:
    """Return the versions of genolm, Python and the libraries that work out the numbers, and the platform."""
    return {
        "genolm": code_version(),
        "python": platform.python_version(),
        "torch": package_version("torch"),
        "numpy": package_version("numpy"),
        "platform": f"{sys.platform} {platform.machine()}",
    }


def timestamp() -> str:
    """Return the time now in UTC as ISO 8601 to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def run_record(
    command: str,
    *,
    inputs: Sequence[Mapping[str, Any]],
    model: Mapping[str, Any],
    settings: Mapping[str, Any],
    compute: Mapping[str, Any],
    started: str,
    seconds: float,
    results: Mapping[str, Any],
    arguments: Sequence[str] = (),
    outputs: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Return the record of one run as plain JSON data.

    Parameters
    ----------
    command : str
        The verb: classify, saliency, scan, evaluate, pretrain, finetune.
    inputs : sequence of mappings
        One per input file, see :func:`file_facts`; more keys may be there: ``option`` is the keyword of the
        option that named the file.
    model : mapping
        ``name`` and ``sha256`` of the bundle's weights.
    settings : mapping
        Every option that changes the result, ``seed`` among them where chance takes part.
    compute : mapping
        ``device``, ``precision`` and ``threads`` as used, not as asked for.
    started : str
        See :func:`timestamp`.
    seconds : float
        Wall time of the work.
    results : mapping
        Counts of what was found, skipped and left out.
    arguments : sequence of str
        Of ``python -m genolm`` for the same run, see :func:`genolm.ascode.command_arguments`, with whole
        paths; empty when it cannot be said as a command, such as for a model that is in memory only.
    outputs : sequence of mappings
        One per file written, see :func:`file_facts`.
    """
    return {
        "record_version": RECORD_VERSION,
        "command": command,
        "arguments": [str(item) for item in arguments],
        "model": dict(model),
        "inputs": [dict(item) for item in inputs],
        "settings": dict(settings),
        "compute": dict(compute),
        "results": dict(results),
        "outputs": [dict(item) for item in outputs],
        "code": code_facts(),
        "started": started,
        "finished": timestamp(),
        "seconds": round(seconds, 3),
    }


def plain(value: Any) -> Any:
    """Return a value as JSON can hold it: arrays as lists, numpy numbers as numbers, NaN as null."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def write_json(path: str | os.PathLike[str], data: Any) -> None:
    """Write JSON data, indented, UTF-8, with a last line break; a file that is there is replaced as a whole."""
    text = json.dumps(plain(data), indent=2, ensure_ascii=False, allow_nan=False)
    path, content = Path(path), f"{text}\n".encode()
    # A device, a pipe or a link, such as /dev/stdout, is written to: its name shall go on to mean what it does.
    if path.is_symlink() or (path.exists() and not path.is_file()):
        path.write_bytes(content)
        return
    with atomic_write(path) as stream:
        stream.write(content)
