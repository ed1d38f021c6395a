"""Downloads of files on disk: the server streams them, so a result of any size costs no memory."""

import urllib.parse
from dataclasses import dataclass
from pathlib import Path

import streamlit as st
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route

from genolm import workspace
from pages.shared import tokens

PREFIX = "/api/files"
LINK_SECONDS = 24 * 3600


@dataclass(frozen=True)
class Download:
    """A file to offer: what it is for the reader, and where it lies."""

    label: str
    path: Path
    hint: str = ""


def _allowed(path: Path) -> bool:
    roots = [workspace.home().resolve(), workspace.samples_dir().resolve()]
    return any(path.is_relative_to(root) for root in roots)


async def send_file(request: Request) -> Response:
    """Answer ``GET``: the file that the token names, if it is one of ours."""
    said = tokens.unsign("file", request.path_params["token"], max_age=LINK_SECONDS)
    if said is None:
        return PlainTextResponse("This link is too old; reload the page and use its new link.", 403)
    path = Path(str(said)).resolve()
    if not (_allowed(path) and path.is_file()):
        return PlainTextResponse("That file is no longer here; run the job again.", 404)
    return FileResponse(path, filename=path.name)


def _base() -> str:
    base = st.get_option("server.baseUrlPath").strip("/")
    return f"/{base}" if base else ""


def routes() -> list[Route]:
    """Return the web address of downloads, for ``st.App``."""
    return [Route(_base() + PREFIX + "/{token:str}/{name:str}", send_file, methods=["GET"])]


def link(path: Path) -> str:
    """Return the address under which the browser gets a file for the next day."""
    return f"{_base()}{PREFIX}/{tokens.sign('file', str(path))}/{urllib.parse.quote(path.name)}"


_HTML = '<div class="links"></div>'
_CSS = """
:host { display: block; }
.links { display: flex; flex-wrap: wrap; gap: 0.6rem; font-family: var(--st-font); }
a {
  color: var(--st-text-color); text-decoration: none; background: var(--st-background-color);
  border: 1px solid color-mix(in srgb, var(--st-text-color) 30%, transparent);
  border-radius: var(--st-button-radius, var(--st-base-radius)); padding: 0.35rem 0.85rem;
}
a:hover { border-color: var(--st-primary-color); }
a:focus-visible { outline: 2px solid var(--st-primary-color); outline-offset: 2px; }
small { opacity: 0.85; margin-left: 0.4rem; }
"""
_JS = """
export default function ({ data, parentElement }) {
  const links = data.map((one) => {
    const anchor = document.createElement("a");
    anchor.href = new URL(one.url, window.location.origin).href;
    anchor.download = one.name;
    anchor.title = one.hint;
    anchor.textContent = one.label;
    const size = document.createElement("small");
    size.textContent = one.size;
    anchor.append(size);
    return anchor;
  });
  parentElement.querySelector(".links").replaceChildren(...links);
}
"""
_widget = st.components.v2.component("genolm_downloads", html=_HTML, css=_CSS, js=_JS)


def _size(count: int) -> str:
    for unit, step in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= step:
            return f"{count / step:.1f} {unit}"
    return f"{count} B"


def download_row(files: list[Download], *, key: str) -> None:
    """Show one link per file that is there, with its size."""
    data = [
        {
            "label": file.label,
            "hint": file.hint,
            "name": file.path.name,
            "size": _size(file.path.stat().st_size),
            "url": link(file.path),
        }
        for file in files
        if file.path.is_file()
    ]
    _widget(key=key, data=data)
