"""What pages keep and how they speak of it: caches, errors as sentences, progress with time left."""

import hashlib
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import streamlit as st

from genolm import workspace
from genolm.errors import Cancelled, GenolmError
from genolm.genome_files import open_genome
from genolm.job_queue import worker_threads
from genolm.predict import Predictor
from genolm.progress import Progress, ProgressCallback
from genolm.registry import BundleInfo, list_bundles, load_bundle
from genolm.sequences import SequenceSummary
from pages.shared import speed

_MARKDOWN = re.compile(r"([\\`*_$\[\]<>~#|])")
_KEPT_OVERVIEWS = 8
_SPEED_WINDOWS = 256


@dataclass(frozen=True)
class Overview:
    """What was read of a sequence file: its records with their lengths, and the counts.

    Of a genome also the topology of each record with the reason for it, and whether the file has features.
    """

    path: Path
    contigs: dict[str, int]
    summary: SequenceSummary
    topology: dict[str, str] = field(default_factory=dict)
    topology_reasons: dict[str, str] = field(default_factory=dict)
    annotated: bool = False
    notes: tuple[str, ...] = ()


def plain(text: object) -> str:
    """Return text that Streamlit shows letter by letter, whatever Markdown it looks like."""
    return re.sub(r":(?=\w+:)", r"\:", _MARKDOWN.sub(r"\\\1", str(text)))


def plain_list(text: object) -> str:
    """Return text as :func:`plain` does, with those of its lines that are indented as a list."""
    return "\n".join(f"- {plain(line.strip())}" if line[:1] == " " else plain(line) for line in str(text).split("\n"))


@contextmanager
def shown_errors(
    path: Path | None = None, name: str = "", *, names: Mapping[Path, str] | None = None
) -> Iterator[None]:
    """Show a :class:`GenolmError` as its sentence and end the page there; other errors pass.

    The user's own ``name`` of a file takes the place of the ``path`` where it lies on the server; ``names`` has those
    of several files.
    """
    try:
        yield
    except Cancelled:
        st.info("Stopped. What was finished before is kept.")
        st.stop()
    except GenolmError as error:
        show_error(error, path, name, names=names)
        st.stop()


def show_error(
    error: GenolmError, path: Path | None = None, name: str = "", *, names: Mapping[Path, str] | None = None
) -> None:
    """Show the sentence of an error, with the user's own names of files as in :func:`shown_errors`."""
    sentence = str(error) if path is None else str(error).replace(str(path), name).replace(path.name, name)
    for place in sorted(names or {}, key=lambda item: -len(str(item))):  # a folder after the files in it
        sentence = sentence.replace(str(place), (names or {})[place])
    st.error(plain_list(sentence), icon=":material/error:")


def device_words(device: str) -> str:
    """Return what a device is called where a reader may not know its short name."""
    cores = worker_threads()
    return f"CPU ({cores} core{'s' * (cores > 1)})" if device == "cpu" else device


def duration(seconds: float) -> str:
    """Return a length of time in words that are short enough for a progress bar."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"


def progress_words(report: Progress) -> str:
    """Return where work stands, with the time left once it is known."""
    words = f"{report.stage}: {report.done:,} of {report.total:,}" if report.total else report.stage
    left = "" if report.eta is None or report.done >= report.total else f", about {duration(report.eta)} left"
    return plain(words + left)


@contextmanager
def work_place() -> Iterator[None]:
    """Show work within the block, which is entered without work too: what comes below is then never there twice."""
    with st.container():
        yield


@contextmanager
def progress_shown(first: str) -> Iterator[ProgressCallback]:
    """Show a progress bar while the block runs; the callback moves it."""
    bar = st.progress(0.0, text=plain(first))

    def tell(report: Progress) -> None:
        bar.progress(report.fraction, text=progress_words(report))

    try:
        yield tell
    finally:
        bar.empty()


@st.cache_resource(max_entries=2, show_spinner="Loading the model")
def _predictor(path: str, changed: int) -> Predictor:
    return Predictor(load_bundle(path))


def predictor(info: BundleInfo) -> Predictor:
    """Return the loaded model; two are kept in memory, and a replaced one is read anew."""
    with shown_errors():
        return _predictor(str(info.path), stamp(info))


def windows_per_second(info: BundleInfo) -> speed.Speed[float]:
    """Return how many windows a model does in a second on this machine, measured on random letters."""
    return speed.measured(("windows", str(info.path), stamp(info)), lambda: _windows_per_second(predictor(info)))


def _windows_per_second(model: Predictor) -> float:
    window = model.config.window.length if model.config.window else 200
    codes = np.random.default_rng(1).integers(4, size=(_SPEED_WINDOWS, window), dtype=np.uint8)
    model.logits_of_codes(codes[:16])
    began = time.perf_counter()
    model.logits_of_codes(codes)
    return _SPEED_WINDOWS / (time.perf_counter() - began)


def stamp(info: BundleInfo) -> int:
    """Return a number that changes when a bundle's files do."""
    return max(item.stat().st_mtime_ns for item in info.path.iterdir())


def results_folder(path: Path, model: BundleInfo) -> Path:
    """Return where the result of this file and this model is kept, the same for the same input."""
    stat = path.stat()
    key = f"{path}|{stat.st_size}|{stat.st_mtime_ns}|{model.path}|{stamp(model)}"
    return workspace.uploads_dir() / "results" / hashlib.sha256(key.encode()).hexdigest()[:24]


def classifiers() -> list[BundleInfo]:
    """Return the models that can classify, built-in ones first; broken ones are left to the Models page."""
    return [info for info in list_bundles() if info.config and info.config.kind == "classifier"]


def overview(path: Path, name: str) -> Overview:
    """Read a FASTA, GenBank, EMBL or 2bit file and keep what was found for this session; a wrong one ends the page.

    ``name`` is what the user calls the file.
    """
    stat = path.stat()
    key = (str(path), stat.st_size, stat.st_mtime_ns)
    kept: dict[tuple[str, int, int], Overview] = st.session_state.setdefault("overviews", {})
    if key not in kept:
        with shown_errors(path, name), progress_shown(f"Reading {name}") as tell:
            with open_genome(path, progress=tell) as found:
                kept[key] = Overview(
                    path,
                    dict(found.contigs),
                    found.summary,
                    topology=dict(found.topology),
                    topology_reasons=dict(found.topology_reasons),
                    annotated=found.annotation is not None,
                    notes=found.notes,
                )
        while len(kept) > _KEPT_OVERVIEWS:
            kept.pop(next(iter(kept)))
    return kept[key]
