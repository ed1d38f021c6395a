"""Uploads of any size: the browser sends a file in slices, the server appends them to a file on disk.

Streamlit's own uploader holds a whole file in memory; this way memory stays flat for a whole genome, and
an upload that broke off goes on where it stopped, even after a reload of the page.

The protocol (all under ``/api/uploads``, token in the header ``X-Genolm-Token``):
``POST`` {name, size} opens an upload -> {id, token, offset}; ``GET /ID`` -> {offset, size}, and the CRC-32 of what is
here of an unfinished one, by which the browser knows its file again;
``PUT /ID?offset=N`` appends a slice -> {offset, size}; a wrong offset is answered 409 with the right one.
"""

import asyncio
import json
import os
import re
import shutil
import time
import unicodedata
import uuid
import zlib
from collections.abc import Collection
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import streamlit as st
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from genolm import workspace
from pages.shared import tokens

SLICE_BYTES = 8 << 20
PAGE_SECONDS = 24 * 3600
KEEP_SECONDS = 14 * 24 * 3600
SPARE_BYTES = 512 << 20
HEADER = "x-genolm-token"
PREFIX = "/api/uploads"
OWN_FOLDERS = ("samples", "pasted", "results", "exports")
NAME_BYTES = 120
_PIECE_BYTES = 1 << 20
_ENDINGS = re.compile(r"(\.[A-Za-z0-9]{1,10}){0,2}\Z")
_CONTROLS = {"Cc", "Cs", "Zl", "Zp"}
_TURNS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}

_locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()


@dataclass(frozen=True)
class Upload:
    """A finished upload: the name it had on the user's machine and where it lies here."""

    name: str
    path: Path


def size_cap() -> int:
    """Return the largest upload in bytes: GENOLM_MAX_UPLOAD_GB, 4 GB if that is not set."""
    return int(float(os.environ.get("GENOLM_MAX_UPLOAD_GB", "4")) * 1e9)


def safe_name(name: str) -> str:
    """Return the user's own name of a file, as far as it is safe on disk and to read.

    It has no folder, no control characters and no dot in front. One of more than :data:`NAME_BYTES` bytes keeps its
    endings, such as ``.fna.gz``, and the beginning of what stands before them.
    """
    base = name.replace("\\", "/").rsplit("/", 1)[-1]
    plain = "".join("_" if _is_harmful(letter) else letter for letter in base).lstrip(".")
    if not plain.strip():
        return "upload"
    stem = _ENDINGS.sub("", plain)
    ending = plain.removeprefix(stem)
    return stem.encode()[: NAME_BYTES - len(ending)].decode(errors="ignore") + ending


def _is_harmful(letter: str) -> bool:
    """Return whether a letter is a control character, or lets others read in another order than they stand."""
    return unicodedata.category(letter) in _CONTROLS or unicodedata.bidirectional(letter) in _TURNS


def remove_old(now: float | None = None) -> None:
    """Delete uploads, and what pages made of them, that nobody has touched for two weeks."""
    limit = (time.time() if now is None else now) - KEEP_SECONDS
    for folder in workspace.uploads_dir().iterdir():
        for item in list(folder.iterdir()) if folder.name in OWN_FOLDERS else [folder]:
            if item.stat().st_mtime < limit:
                shutil.rmtree(item) if item.is_dir() else item.unlink()


def _refuse(status: int, sentence: str, **more: Any) -> JSONResponse:
    return JSONResponse({"error": sentence, **more}, status_code=status)


def _facts(folder: Path) -> dict[str, Any]:
    facts = json.loads((folder / "upload.json").read_text(encoding="utf-8"))
    done = _finished_path(folder, facts)
    facts["offset"] = facts["size"] if done.exists() else (folder / "part").stat().st_size
    return facts


def _finished_path(folder: Path, facts: dict[str, Any]) -> Path:
    return folder / "whole" / str(facts["name"])


def _check_new(name: str, size: int) -> str | None:
    cap = size_cap()
    if size < 1:
        return f"{name} is empty; choose a file with sequences in it."
    if size > cap:
        return (
            f"{name} has {size / 1e9:.1f} GB and this server takes up to {cap / 1e9:g} GB; "
            "send a compressed file (.gz) or ask the operator to raise GENOLM_MAX_UPLOAD_GB."
        )
    free = shutil.disk_usage(workspace.uploads_dir()).free
    if free < size + SPARE_BYTES:
        return f"{name} does not fit: the server's disk has {free / 1e9:.1f} GB left; ask for more room."
    return None


async def open_upload(request: Request) -> JSONResponse:
    """Answer ``POST``: check name, size and room, and open an empty upload."""
    if tokens.unsign("page", request.headers.get(HEADER, ""), max_age=PAGE_SECONDS) is None:
        return _refuse(403, "This page is too old to upload; reload it and choose the file again.")
    try:
        wish = await request.json()
        name, size = safe_name(str(wish["name"])), int(wish["size"])
    except (ValueError, KeyError, TypeError):
        return _refuse(400, "An upload needs a name and a size.")
    if sentence := _check_new(name, size):
        return _refuse(413, sentence)
    remove_old()
    identity = uuid.uuid4().hex
    folder = workspace.uploads_dir() / identity
    (folder / "whole").mkdir(parents=True)
    (folder / "part").touch()
    (folder / "upload.json").write_text(json.dumps({"name": name, "size": size}), encoding="utf-8")
    return JSONResponse({"id": identity, "token": tokens.sign("upload", identity), "offset": 0})


def _folder(request: Request) -> Path | None:
    identity = request.path_params["identity"]
    token = request.headers.get(HEADER, "")
    if tokens.unsign("upload", token, max_age=KEEP_SECONDS) != identity:
        return None
    folder = workspace.uploads_dir() / identity
    return folder if (folder / "upload.json").is_file() else None


async def state_of_upload(request: Request) -> JSONResponse:
    """Answer ``GET``: how much of the file is here, and its checksum while it is not whole."""
    folder = _folder(request)
    if folder is None:
        return _refuse(404, "That upload is not known here; choose the file again.")
    async with _locks.setdefault(folder.name, asyncio.Lock()):
        facts = _facts(folder)
        if facts["offset"] < facts["size"]:
            facts["crc"] = await asyncio.to_thread(_checksum, folder / "part")
    return JSONResponse(facts)


def _checksum(path: Path) -> int:
    """Return the CRC-32 of a file, read in pieces."""
    crc = 0
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            crc = zlib.crc32(piece, crc)
    return crc


async def append_slice(request: Request) -> JSONResponse:
    """Answer ``PUT``: append a slice at the stated offset, and finish the file when it is whole."""
    folder = _folder(request)
    if folder is None:
        return _refuse(404, "That upload is not known here; choose the file again.")
    async with _locks.setdefault(folder.name, asyncio.Lock()):
        facts = _facts(folder)
        if request.query_params.get("offset") != str(facts["offset"]):
            return _refuse(409, "The slice does not follow the last one.", offset=facts["offset"])
        room = min(SLICE_BYTES, facts["size"] - facts["offset"])
        taken = 0
        try:
            with (folder / "part").open("ab") as file:
                async for piece in request.stream():
                    taken += len(piece)
                    if taken > room:
                        return _refuse(413, "The slice is larger than what was announced.")
                    await asyncio.to_thread(file.write, piece)
        except ClientDisconnect:
            return _refuse(400, "The connection broke off; the upload can be taken up again.")
        if facts["offset"] + taken == facts["size"]:
            (folder / "part").rename(_finished_path(folder, facts))
        return JSONResponse(_facts(folder))


def finished(answer: Any) -> Upload | None:
    """Return the upload that the browser says is finished, if its token is good and the file is whole."""
    identity = tokens.unsign("upload", str((answer or {}).get("token", "")), max_age=KEEP_SECONDS)
    folder = workspace.uploads_dir() / str(identity)
    if identity is None or not (folder / "upload.json").is_file():
        return None
    facts = _facts(folder)
    path = _finished_path(folder, facts)
    if not path.is_file():
        return None
    os.utime(folder)
    return Upload(facts["name"], path)


def named_apart(upload: Upload, taken: Collection[str]) -> Upload:
    """Return an upload under a name that is not taken: after a.fna.gz comes a-2.fna.gz, and so on."""
    if upload.name not in taken:
        return upload
    stem = _ENDINGS.sub("", upload.name)
    ending = upload.name.removeprefix(stem)
    name = next(name for number in count(2) if (name := f"{stem}-{number}{ending}") not in taken)
    path = upload.path.with_name(name)
    if not path.exists():
        try:
            os.link(upload.path, path)
        except OSError:  # not every file system has links
            shutil.copyfile(upload.path, path)
    return Upload(name, path)


def routes() -> list[Route]:
    """Return the web addresses of the upload protocol, for ``st.App``."""
    base = "/" + st.get_option("server.baseUrlPath").strip("/") if st.get_option("server.baseUrlPath") else ""
    one = base + PREFIX + "/{identity:str}"
    return [
        Route(base + PREFIX, open_upload, methods=["POST"]),
        Route(one, state_of_upload, methods=["GET"]),
        Route(one, append_slice, methods=["PUT"]),
    ]


_PARTS = Path(__file__).parent / "upload_widget"
_widget = st.components.v2.component(
    "genolm_upload",
    html=(_PARTS / "widget.html").read_text(encoding="utf-8"),
    css=(_PARTS / "widget.css").read_text(encoding="utf-8"),
    js=(_PARTS / "widget.js").read_text(encoding="utf-8"),
)


def upload_box(label: str, *, key: str, hint: str, accept: str = "") -> Upload | None:
    """Show the upload widget and return the finished upload; it is kept while the session lasts.

    Parameters
    ----------
    label, hint : str
        What to choose, and a line of small print under it.
    key : str
        Streamlit key.
    accept : str
        File name endings for the browser's file dialogue, such as ``.fa,.fasta,.gz``.
    """
    base = st.get_option("server.baseUrlPath").strip("/")
    data = {
        "label": label,
        "hint": hint,
        "accept": accept,
        "url": (f"/{base}" if base else "") + PREFIX,
        "token": st.session_state.setdefault("upload_token", tokens.sign("page", "upload")),
        "slice": SLICE_BYTES,
        "cap": size_cap(),
    }
    result = _widget(key=key, data=data, default={"upload": None}, on_upload_change=lambda: None)
    answer, kept = result.get("upload"), f"{key}_kept"
    if answer:
        st.session_state[kept] = finished(answer)
    upload: Upload | None = st.session_state.get(kept)
    return upload if upload and upload.path.is_file() else None
