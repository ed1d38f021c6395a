"""Files by byte range, for the genome browser: it fetches only the bytes of the stretch in view.

Every address carries a signed token that names one file and runs out after a week. The browser's own
program is served from here too, so that no other host is ever asked.
"""

import hashlib
import re
import time
import urllib.parse
from functools import cache
from pathlib import Path

import streamlit as st
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route

from genolm import workspace
from pages.shared import tokens

PREFIX = "/api/view"
IGV_PREFIX = "/api/igv"
IGV_VERSION = "3.8.10"
LINK_SECONDS = 7 * 24 * 3600
_RENEW_SECONDS = 24 * 3600
_IGV_FOLDER = Path(__file__).parents[2] / "assets" / "igv"
_IGV_FILE = "igv.esm.min.js"
_OUTSIDE = re.compile(rb"https://igv\.org/[\w./?=&$-]+")
_FAULTS: tuple[tuple[bytes, bytes], ...] = (
    # A name such as gi|123|ref|NC_000913.3| ended it: an inner constant hid the one that it is made from.
    (b'const t=t.substring(0,i);e["ncbi-gi"]=t', b'e["ncbi-gi"]=t.substring(0,i)'),
    (rb'const e=t.split("\\|");return e[e.length-1]', b'return t.split("|").filter(Boolean).pop()'),
    # Of two contigs, one of which has the other's name in capitals or after "chr", it showed one for both.
    (
        b"for(let e of Object.values(t))this.aliasRecordCache.set(e,t)}}}search(t){",
        b"for(let e of Object.values(t))this.aliasRecordCache.set(e,t)}"
        b"for(let t of i)this.aliasRecordCache.set(t.chr,t)}}search(t){",
    ),
)
"""What is wrong in igv.js 3.8.10, the newest, and what is served instead; assets/igv/README.md tells of it."""
_FOR_EVER = {"Cache-Control": "public, max-age=31536000, immutable"}
_PRIVATE = {"Cache-Control": "private, max-age=3600"}


def _allowed(path: Path) -> bool:
    # With inputs the whole machinery of models loads, which the start of the server need not wait for.
    from pages.shared.inputs import data_roots

    roots = [workspace.home().resolve(), workspace.samples_dir().resolve(), *data_roots()]
    return any(path.is_relative_to(root) for root in roots)


async def send_range(request: Request) -> Response:
    """Answer ``GET``: the bytes asked for (206), or the whole file, of the file that the token names."""
    said = tokens.unsign("view", request.path_params["token"], max_age=LINK_SECONDS)
    if said is None:
        return PlainTextResponse("This address is too old; reload the page.", 403)
    path = Path(str(said)).resolve()
    if not (_allowed(path) and path.is_file()):
        return PlainTextResponse("That file is no longer here; run the job again.", 404)
    return FileResponse(path, media_type="application/octet-stream", headers=_PRIVATE)


@cache
def _igv() -> bytes:
    """Return the browser's program without its faults, and with the addresses of its makers' services blanked.

    Where one of our own requests fails it would ask there for help.
    """
    program = (_IGV_FOLDER / _IGV_FILE).read_bytes()
    for fault, mended in _FAULTS:
        program = program.replace(fault, mended)
    return _OUTSIDE.sub(b"data:,", program)


def _igv_path() -> str:
    """Return the program's address, another one for another program: browsers keep what they have for good."""
    digest = hashlib.sha256(_igv()).hexdigest()[:12]
    return f"{_base()}{IGV_PREFIX}/{IGV_VERSION}-{digest}/{_IGV_FILE}"


async def send_igv(request: Request) -> Response:
    """Answer ``GET``: the program of the genome browser."""
    return Response(_igv(), media_type="text/javascript", headers=_FOR_EVER)


def _base() -> str:
    base = st.get_option("server.baseUrlPath").strip("/")
    return f"/{base}" if base else ""


def routes() -> list[Route]:
    """Return the web addresses of this module, for ``st.App``."""
    return [
        Route(_base() + PREFIX + "/{token:str}/{name:str}", send_range, methods=["GET"]),
        Route(_igv_path(), send_igv, methods=["GET"]),
    ]


def igv_address() -> str:
    """Return where the browser's program is."""
    return _igv_path()


def link(path: Path) -> str:
    """Return the address of a file, the same for a day, so that a rerun changes nothing in view."""
    kept: dict[str, tuple[str, float]] = st.session_state.setdefault("view_links", {})
    address, made = kept.get(str(path), ("", 0.0))
    if not address or time.time() - made > _RENEW_SECONDS:
        token = tokens.sign("view", str(path))
        address, made = f"{_base()}{PREFIX}/{token}/{urllib.parse.quote(path.name)}", time.time()
        kept[str(path)] = (address, made)
    return address
