"""What a scan takes before it starts: how many windows it looks at, and how long that is on this machine."""

import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import streamlit as st

from genolm.predict import Predictor
from genolm.registry import BundleInfo, load_bundle
from genolm.scan import scan_genome
from genolm.scan_pipeline import BACKGROUND_BASES
from genolm.scan_plan import Intervals, bases_looked_at, layout_of, scan_windows
from genolm.topology import LINEAR
from pages.shared import inputs, state
from pages.shared.scan_form import Options

_MEASURED_BASES = 100_000


def show_cost(
    overview: state.Overview, model: BundleInfo, options: Options, regions: Mapping[str, Intervals] | None = None
) -> bool:
    """Say how many windows the scan looks at and how long that takes here; return whether there is any."""
    layout, window = layout_of(model.config, options.stride), f"{model.config.window.length:,} bp"
    rules = {"strands": options.strand, "topology": options.forms(overview)}
    windows = scan_windows(overview.contigs, layout, regions=regions, **rules)
    where = "" if regions is None else f" in the regions of {state.plain(Path(options.regions).name)}"
    if not windows:
        words = f"No window of {window} has its site{where}; take a smaller stride or wider regions."
        words = words if where else f"No record is as long as a window ({window}); classify the records instead."
        st.error(words, icon=":material/error:")
        return False
    short = sum(size < layout.window for size in overview.contigs.values())
    verb = "is" if short == 1 else "are"
    seconds = _seconds(model, options, bases_looked_at(overview.contigs, regions), windows, overview.summary.bases)
    st.caption(
        f"{inputs.count_words(windows, 'window')} of {window}{where}: about {state.duration(seconds)} on this machine"
        + (", the shuffled genome included" if options.background else "")
        + f"; {inputs.LONGER}."
        + (f" {inputs.count_words(short)} shorter than a window {verb} left out." if short else "")
    )
    return True


def _seconds(model: BundleInfo, options: Options, bases: int, windows: int, genome: int) -> float:
    """Return how long a scan takes here, by the measured speed of the model in the mode of the scan.

    ``bases`` and ``windows`` are what it looks at of a genome of ``genome`` bases, which the background is made of.
    """
    shuffled = min(BACKGROUND_BASES, genome) if options.background else 0
    strands = 2 if options.strand == "both" else 1
    if options.mode == "stream" or (options.mode == "auto" and model.config.streamed):
        speed = _stream_speed(str(model.path), state.stamp(model), options.precision)
        return (bases + shuffled) * strands / speed
    return (windows + shuffled * strands / options.stride) / state.windows_per_second(model)


class _Letters:
    """Random letters in memory, to measure how fast a model streams."""

    contigs: Mapping[str, int] = {"random": _MEASURED_BASES}
    topology: Mapping[str, str] = {"random": LINEAR}

    def __init__(self) -> None:
        self._text = "".join(np.random.default_rng(1).choice(list("ACGT"), _MEASURED_BASES))

    def fetch(self, contig: str, start: int, end: int, strand: str = "+") -> str:
        """Return a stretch."""
        return self._text[start:end]


@st.cache_data(max_entries=16, show_spinner="Measuring the speed of this model here")
def _stream_speed(path: str, changed: int, precision: str) -> float:
    """Return how many bases of one strand a model streams in a second on this machine."""
    letters, predictor = _Letters(), Predictor(load_bundle(path), precision=precision)
    began = time.perf_counter()
    scan_genome(letters, predictor, stride=10, strands="+", mode="stream")
    return _MEASURED_BASES / (time.perf_counter() - began)
