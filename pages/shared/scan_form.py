"""What to ask before a scan: windows, topology of each record, genes, known sites; and the command of it."""

import importlib.util
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import streamlit as st

from genolm.compute import has_fast_int8
from genolm.predict import Predictor
from genolm.registry import BundleInfo, load_bundle
from genolm.scan import scan_genome
from genolm.scan_pipeline import BACKGROUND_BASES, PREDICT, TOLERANCE
from genolm.scan_plan import Layout, Strands, scan_windows
from genolm.topology import AUTO, CIRCULAR, LINEAR
from pages.shared import inputs, samples, state, uploads
from pages.shared.scan_truth import ANNOTATION_ENDINGS

STRANDS: dict[str, Strands] = {"both": "both", "plus": "+", "minus": "-"}
MODES = {
    "automatic": "auto",
    "streaming: each strand is read once": "stream",
    "exact: every window by itself": "exact",
}
METHODS = {
    "one call for each run of windows": "merge",
    "one call for each local maximum": "nms",
}
FORMATS = {"GenBank": "genbank", "Parquet": "parquet", "FASTA of the calls": "fasta", "bedGraph": "bedgraph"}
BY_RECORD, NO_GENES, OWN_GENES, GENES_FILE, FIND_GENES = (
    "by record",
    "none",
    "those of this file",
    "a file",
    "find them now (bacteria and archaea)",
)
_WANTED = (
    "There is no sample genome for this model. Upload a genome, or a part of one, of the organism that the model "
    "is for."
)
_ROWS = 500
_MEASURED_BASES = 100_000


@dataclass(frozen=True)
class Options:
    """What was asked for, as the command takes it."""

    stride: int
    strand: Strands
    threshold: float
    mode: str = "auto"
    precision: str = "auto"
    method: str = "merge"
    topology: str = AUTO
    circular: tuple[str, ...] = ()
    linear: tuple[str, ...] = ()
    genes: str = ""
    truth: str = ""
    tolerance: int = TOLERANCE
    background: bool = True
    regions: str = ""
    formats: tuple[str, ...] = field(default=())

    def arguments(self, path: Path, model: str) -> list[str]:
        """Return the command; what is as by default is left out."""
        words = ["scan", str(path), "--model", model, "--out", "."]
        words += ["--stride", str(self.stride), "--strand", self.strand, "--threshold", str(self.threshold)]
        said = {
            "--mode": self.mode if self.mode != "auto" else "",
            "--precision": self.precision if self.precision != "auto" else "",
            "--method": self.method if self.method != "merge" else "",
            "--topology": self.topology if self.topology != AUTO else "",
            "--genes": self.genes,
            "--truth": self.truth,
            "--tolerance": str(self.tolerance) if self.truth else "",
            "--regions": self.regions,
        }
        for name, value in said.items():
            words += [name, value] if value else []
        many = {"--circular": self.circular, "--linear": self.linear, "--format": self.formats}
        for name, values in many.items():
            for value in values:
                words += [name, value]
        return [*words, "--background" if self.background else "--no-background"]


def choose(overview: state.Overview, model: BundleInfo) -> Options:
    """Show the form and return what it says."""
    stride, strand, threshold = _windows(model)
    topology, circular, linear = _topology(overview)
    with st.expander("Genes, known sites and more options", icon=":material/tune:", key="scan_more"):
        genes = _genes(overview)
        truth, tolerance = _truth()
        more = _more(model)
    return Options(
        stride,
        strand,
        threshold,
        topology=topology,
        circular=circular,
        linear=linear,
        genes=genes,
        truth=truth,
        tolerance=tolerance,
        **more,
    )


def _windows(model: BundleInfo) -> tuple[int, Strands, float]:
    left, middle, right = st.columns(3)
    stride = left.number_input(
        "Stride (bp)",
        1,
        1000,
        10,
        key="scan_stride",
        help="Bases from one window to the next. A smaller one sharpens the summits; above 10 bp a model that knows "
        "a start to the base misses some of them.",
    )
    strand = middle.radio("Strands", list(STRANDS), horizontal=True, key="scan_strand")
    threshold = right.slider(
        "Threshold",
        0.0,
        1.0,
        model.config.calibration.for_scans,
        0.01,
        key=f"scan_threshold_{model.name}",
        help="Calibrated probability from which a window is a hit. You can move it again after the scan.",
    )
    return int(stride), STRANDS[strand], float(threshold)


def _topology(overview: state.Overview) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """Ask which records are circles; return the choice for all, and the records that are not as guessed."""
    guessed = sum(form == CIRCULAR for form in overview.topology.values())
    words = "On a circular record windows and calls go over the origin, and nothing is lost at the ends."
    choice = st.radio(
        "Topology",
        [BY_RECORD, LINEAR, CIRCULAR],
        horizontal=True,
        format_func=lambda item: "by record, as the file says" if item == BY_RECORD else f"all {item}",
        key="scan_topology",
        help=words,
    )
    if choice != BY_RECORD:
        return choice, (), ()
    records = len(overview.contigs)
    label = f"{guessed:,} of {records:,} records taken as circular" if records > 1 else _one_record(overview)
    key = f"scan_records_{overview.path.parent.name}"
    with st.expander(state.plain(label), expanded=records <= 3, key=key, icon=":material/trip_origin:"):
        edited = _topology_table(overview)
    changed = {name: form for name, form in edited.items() if form != overview.topology[name]}
    circular = tuple(name for name, form in changed.items() if form == CIRCULAR)
    return AUTO, circular, tuple(name for name, form in changed.items() if form == LINEAR)


def _one_record(overview: state.Overview) -> str:
    (form,) = overview.topology.values()
    return f"The record is taken as {form}"


def _topology_table(overview: state.Overview) -> dict[str, str]:
    names = list(overview.contigs)[:_ROWS]
    table = pd.DataFrame(
        {
            "record": names,
            "length (bp)": [overview.contigs[name] for name in names],
            "topology": [overview.topology[name] for name in names],
            "why": [overview.topology_reasons[name] for name in names],
        }
    )
    edited = st.data_editor(
        table,
        hide_index=True,
        disabled=["record", "length (bp)", "why"],
        column_config={
            "record": inputs.name_column(names),
            "length (bp)": st.column_config.NumberColumn(format="localized"),
            "topology": st.column_config.SelectboxColumn(options=[LINEAR, CIRCULAR], required=True),
        },
        key=f"topology_{overview.path}_{overview.summary.bases}",
    )
    words = "Double-click a topology to change it."
    if len(overview.contigs) > _ROWS:
        words += f" The first {_ROWS} records are listed; the others are as the file says."
    st.caption(words)
    return dict(zip(edited["record"], edited["topology"], strict=True))


def _genes(overview: state.Overview) -> str:
    """Ask for genes; return a path, ``predict`` or ""."""
    ways = [OWN_GENES] if overview.annotated else [NO_GENES]
    ways += [GENES_FILE, FIND_GENES]
    words = "With genes each call gets the next gene downstream, and the scores around gene starts are shown."
    way = st.radio("Genes", ways, horizontal=True, key=f"scan_genes_{overview.annotated}", help=words)
    if way == FIND_GENES:
        if importlib.util.find_spec("pyrodigal") is None:
            st.error("Finding genes needs pyrodigal, which is not installed here; give a file.")
            return ""
        return PREDICT
    return _file("Choose a file of genes", "scan_genes_file") if way == GENES_FILE else ""


def _truth() -> tuple[str, int]:
    """Ask for known sites; return their file, "" for none, and the tolerance in bp."""
    words = "Known genes or TSS: precision and recall of the calls are shown over all thresholds."
    if not st.checkbox("Compare with known sites", key="scan_has_truth", help=words):
        return "", TOLERANCE
    path = _file("Choose a file of known genes or TSS", "scan_truth_file")
    words = "How far a call's summit may lie from a known site, on the same strand."
    tolerance = st.number_input("Tolerance (bp)", 0, 10_000, TOLERANCE, key="scan_tolerance", help=words)
    return path, int(tolerance)


def _file(label: str, key: str) -> str:
    hint = "GFF3, GenBank or BED, plain or .gz; its records must have the names of the genome's."
    upload = uploads.upload_box(label, key=key, accept=ANNOTATION_ENDINGS, hint=hint)
    if upload is None:
        return ""
    st.caption(f"In use: {state.plain(upload.name)}")
    return str(upload.path)


def _more(model: BundleInfo) -> dict[str, object]:
    """Ask for what few change; return it by the names of :class:`Options`."""
    left, right = st.columns(2)
    streamed = bool(model.config and model.config.streamed)
    framed = bool(model.config and model.config.framed)
    words = f"Automatic is as this model was trained: {'stream' if streamed else 'exact'}. "
    words += "It reads each window in every frame, which no stream does." if framed else "Streaming is much faster."
    modes = [key for key, mode in MODES.items() if not (framed and mode == "stream")]
    mode = left.selectbox("How to read", modes, key="scan_mode", help=words)
    method = right.selectbox("Calls", list(METHODS), key="scan_method")
    whole = has_fast_int8() and (MODES[mode] == "stream" or (MODES[mode] == "auto" and streamed))
    int8 = whole and left.toggle(
        "Calculate with whole numbers (int8)",
        key="scan_int8",
        help="Streams faster with scores that hardly differ; docs/scans.md has both measured.",
    )
    background = left.toggle(
        "Scan a shuffled genome too",
        True,
        key="scan_background",
        help="Shuffled pieces of this genome tell how many calls chance alone gives.",
    )
    words = "The zip of the results has all of these in any case, except bedGraph."
    formats = right.multiselect("Write at once as well", list(FORMATS), key="scan_formats", help=words)
    regions = _regions() if left.checkbox("Only some regions", key="scan_has_regions") else ""
    return {
        "mode": MODES[mode],
        "precision": "int8" if int8 else "auto",
        "method": METHODS[method],
        "background": background,
        "formats": tuple(FORMATS[name] for name in formats),
        "regions": regions,
    }


def _regions() -> str:
    upload = uploads.upload_box(
        "Choose a BED file of regions",
        key="scan_regions_file",
        accept=".bed,.txt,.gz",
        hint="Only windows whose site lies in one of these regions are scored.",
    )
    return str(upload.path) if upload else ""


def show_cost(overview: state.Overview, model: BundleInfo, options: Options) -> None:
    """Say how many windows the scan looks at and how long that takes here."""
    window = model.config.window.length
    lengths = list(overview.contigs.values())
    windows = scan_windows(lengths, Layout(window, options.stride, 0, 0, 1), strands=options.strand)
    short = sum(size < window for size in lengths)
    verb = "is" if short == 1 else "are"
    seconds = _seconds(model, options, sum(lengths), windows)
    st.caption(
        f"{windows:,} windows of {window} bp: about {state.duration(seconds)} on this machine"
        + (", the shuffled genome included" if options.background else "")
        + f"; {inputs.LONGER}."
        + (f" {inputs.count_words(short)} shorter than a window {verb} left out." if short else "")
    )


def _seconds(model: BundleInfo, options: Options, bases: int, windows: int) -> float:
    """Return how long a scan takes here, by the measured speed of the model in the mode of the scan."""
    streamed = options.mode == "stream" or (options.mode == "auto" and model.config.streamed)
    if streamed:
        strands = 2 if options.strand == "both" else 1
        seconds = bases * strands / _stream_speed(str(model.path), state.stamp(model), options.precision)
    else:
        seconds = windows / state.windows_per_second(model)
    return seconds * (1 + min(BACKGROUND_BASES, bases) / max(bases, 1)) if options.background else seconds


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


def choose_genome(model: BundleInfo) -> inputs.Source:
    """Let the user choose a genome; nothing chosen ends the page."""
    return inputs.choose_sequences("scan", samples.scan_samples(model), wanted=_WANTED, genomes=True)
