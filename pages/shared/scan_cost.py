"""What a scan takes before it starts: how many windows it looks at, and how long that is on this machine."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import streamlit as st

from genolm.predict import Predictor
from genolm.registry import BundleInfo, load_bundle
from genolm.scan import scan_genome
from genolm.scan_pipeline import BACKGROUND_BASES
from genolm.scan_plan import Intervals, bases_looked_at, layout_of, scan_windows
from genolm.topology import LINEAR
from pages.shared import inputs, speed, state
from pages.shared.scan_form import Options

_MEASURED_BASES = 100_000


@dataclass(frozen=True)
class Work:
    """What a scan looks at.

    Attributes
    ----------
    model : BundleInfo
    options : Options
    windows : int
    bases : int
        Bases that are looked at on each strand.
    genome : int
        Bases of the genome, which the background is made of.
    short : int
        Records shorter than a window.
    where : str
        " in the regions of ...", or "".
    """

    model: BundleInfo
    options: Options
    windows: int
    bases: int
    genome: int
    short: int
    where: str = ""

    @classmethod
    def of(
        cls, overview: state.Overview, model: BundleInfo, options: Options, regions: Mapping[str, Intervals] | None
    ) -> "Work | None":
        """Return what a scan of a genome looks at; where that is no window, say why and return None."""
        layout, window = layout_of(model.config, options.stride), f"{model.config.window.length:,} bp"
        rules = {"strands": options.strand, "topology": options.forms(overview)}
        windows = scan_windows(overview.contigs, layout, regions=regions, **rules)
        where = "" if regions is None else f" in the regions of {state.plain(Path(options.regions).name)}"
        if not windows:
            words = f"No window of {window} has its site{where}; take a smaller stride or wider regions."
            words = words if where else f"No record is as long as a window ({window}); classify the records instead."
            st.error(words, icon=":material/error:")
            return None
        short = sum(size < layout.window for size in overview.contigs.values())
        bases = bases_looked_at(overview.contigs, regions)
        return cls(model, options, windows, bases, overview.summary.bases, short, where)

    def words(self) -> str:
        """Return how many windows there are and how long they take here, by the speed that is measured now."""
        seconds, caution = self._seconds()
        window = f"{self.model.config.window.length:,} bp"
        verb = "is" if self.short == 1 else "are"
        return (
            f"{inputs.count_words(self.windows, 'window')} of {window}{self.where}: about "
            f"{state.duration(seconds)} on this machine"
            + (", the shuffled genome included" if self.options.background else "")
            + f"; {caution}."
            + (f" {inputs.count_words(self.short)} shorter than a window {verb} left out." if self.short else "")
        )

    def _seconds(self) -> tuple[float, str]:
        """Return how long it takes by the speed of the model in the mode of the scan, and with what caution."""
        model, options = self.model, self.options
        shuffled = min(BACKGROUND_BASES, self.genome) if options.background else 0
        strands = 2 if options.strand == "both" else 1
        if options.mode == "stream" or (options.mode == "auto" and model.config.streamed):
            key = ("stream", str(model.path), state.stamp(model), options.precision)
            found = speed.measured(key, lambda: _stream_speed(str(model.path), options.precision))
            return (self.bases + shuffled) * strands / found.rate, found.words
        found = state.windows_per_second(model)
        return (self.windows + shuffled * strands / options.stride) / found.rate, found.words


class _Letters:
    """Random letters in memory, to measure how fast a model streams."""

    contigs: Mapping[str, int] = {"random": _MEASURED_BASES}
    topology: Mapping[str, str] = {"random": LINEAR}

    def __init__(self) -> None:
        self._text = "".join(np.random.default_rng(1).choice(list("ACGT"), _MEASURED_BASES))

    def fetch(self, contig: str, start: int, end: int, strand: str = "+") -> str:
        """Return a stretch."""
        return self._text[start:end]


def _stream_speed(path: str, precision: str) -> float:
    """Return how many bases of one strand a model streams in a second on this machine."""
    letters, predictor = _Letters(), Predictor(load_bundle(path), precision=precision)
    began = time.perf_counter()
    scan_genome(letters, predictor, stride=10, strands="+", mode="stream")
    return _MEASURED_BASES / (time.perf_counter() - began)
