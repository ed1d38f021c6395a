"""What to ask before a scan: windows, topology of each record, genes, known sites; and the command of it."""

import importlib.util
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import streamlit as st

from genolm.annotation import read_annotation, sites_of
from genolm.compute import has_fast_int8
from genolm.errors import GenolmError
from genolm.feature_readers import read_regions
from genolm.registry import BundleInfo
from genolm.scan_pipeline import PREDICT, TOLERANCE
from genolm.scan_plan import Intervals, Strands, bases_looked_at
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
_MISSING = {
    "genes": "Choose the file of genes, or another answer under Genes.",
    "truth": "Choose the file of known sites, or untick 'Compare with known sites'.",
    "regions": "Choose the BED file of regions, or untick 'Only some regions'.",
}
_GENE, _SITE, _REGION = "gene start", "known site", "region"
_OPEN = "scan_more_open"
_ROWS = 500


@dataclass(frozen=True)
class Options:
    """What was asked for, as the command takes it.

    Attributes
    ----------
    missing : tuple of str
        Sentences on the files that were asked for and are not there yet.
    """

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
    missing: tuple[str, ...] = ()

    def forms(self, overview: state.Overview) -> dict[str, str]:
        """Return the topology of each record as the scan takes it."""
        if self.topology != AUTO:
            return dict.fromkeys(overview.contigs, self.topology)
        changed = dict.fromkeys(self.circular, CIRCULAR) | dict.fromkeys(self.linear, LINEAR)
        return overview.topology | changed

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
    words, opened = "Genes, known sites and more options", st.session_state.get(_OPEN, False)
    with st.expander(words, icon=":material/tune:", key="scan_more", expanded=opened):
        genes = _genes(overview)
        truth, tolerance = _truth()
        more = _more(model)
        files = {"genes": genes, "truth": truth, "regions": _regions(overview)}
    return Options(
        stride,
        strand,
        threshold,
        topology=topology,
        circular=circular,
        linear=linear,
        tolerance=tolerance,
        missing=tuple(_MISSING[name] for name, path in files.items() if path is None),
        **more,
        **{name: path or "" for name, path in files.items()},
    )


def _windows(model: BundleInfo) -> tuple[int, Strands, float]:
    left, middle, right = st.columns(3)
    stride = left.number_input(
        "Stride (bp)",
        1,
        1000,
        10,
        key="scan_stride",
        **inputs.KEPT,
        help="Bases from one window to the next. A smaller one sharpens the summits; above 10 bp a model that knows "
        "a start to the base misses some of them.",
    )
    strand = middle.radio("Strands", list(STRANDS), horizontal=True, key="scan_strand", **inputs.KEPT)
    threshold = right.slider(
        "Threshold",
        0.0,
        1.0,
        model.config.calibration.for_scans,
        0.01,
        key=f"scan_threshold_{model.name}",
        **inputs.KEPT,
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
        **inputs.KEPT,
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
    key = f"topology_{overview.path}_{overview.summary.bases}"
    begun, said = f"{key}_begun", f"{key}_said"
    if key not in st.session_state:  # the table comes into view, with what was said of it before
        st.session_state[begun] = {**overview.topology, **st.session_state.get(said, {})}
    table = pd.DataFrame(
        {
            "record": names,
            "length (bp)": [overview.contigs[name] for name in names],
            "topology": [st.session_state[begun][name] for name in names],
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
        key=key,
    )
    words = "Double-click a topology to change it."
    if len(overview.contigs) > _ROWS:
        words += f" The first {_ROWS} records are listed; the others are as the file says."
    st.caption(words)
    forms = dict(zip(edited["record"], edited["topology"], strict=True))
    st.session_state[said] = forms
    return forms


def _genes(overview: state.Overview) -> str | None:
    """Ask for genes; return a path, ``predict``, "" for none, or None while the file is missing."""
    ways = [OWN_GENES] if overview.annotated else [NO_GENES]
    ways += [GENES_FILE, FIND_GENES]
    words = "With genes each call gets the next gene downstream, and the scores around gene starts are shown."
    key = f"scan_genes_{overview.annotated}"
    way = st.radio("Genes", ways, horizontal=True, key=key, help=words, **inputs.KEPT)
    if way == FIND_GENES:
        if importlib.util.find_spec("pyrodigal") is None:
            st.error("Finding genes needs pyrodigal, which is not installed here; give a file.")
            return None
        return PREDICT
    return _file("Choose a file of genes", "scan_genes_file") if way == GENES_FILE else ""


def _truth() -> tuple[str | None, int]:
    """Ask for known sites; return their file, "" for none, None while it is missing, and the tolerance in bp."""
    words = "Known genes or TSS: precision and recall of the calls are shown over all thresholds."
    if not st.checkbox("Compare with known sites", key="scan_has_truth", help=words, **inputs.KEPT):
        return "", TOLERANCE
    path = _file("Choose a file of known genes or TSS", "scan_truth_file")
    words = "How far a call's summit may lie from a known site, on the same strand."
    options = {"key": "scan_tolerance", "help": words, **inputs.KEPT}
    return path, int(st.number_input("Tolerance (bp)", 0, 10_000, TOLERANCE, **options))


def _file(label: str, key: str) -> str | None:
    """Ask for a file of features and return its path, None while there is none."""
    st.session_state[_OPEN] = True
    hint = "GFF3, GenBank or BED, plain or .gz; its records must have the names of the genome's."
    upload = uploads.upload_box(label, key=key, accept=ANNOTATION_ENDINGS, hint=hint)
    if upload is None:
        return None
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
    mode = left.selectbox("How to read", modes, key="scan_mode", help=words, **inputs.KEPT)
    method = right.selectbox("Calls", list(METHODS), key="scan_method", **inputs.KEPT)
    whole = has_fast_int8() and (MODES[mode] == "stream" or (MODES[mode] == "auto" and streamed))
    int8 = whole and left.toggle(
        "Calculate with whole numbers (int8)",
        key="scan_int8",
        **inputs.KEPT,
        help="Streams faster with scores that hardly differ; docs/scans.md has both measured.",
    )
    background = left.toggle(
        "Scan a shuffled genome too",
        True,
        key="scan_background",
        **inputs.KEPT,
        help="Shuffled pieces of this genome tell how many calls chance alone gives.",
    )
    words = "The zip of the results has all of these in any case, except bedGraph."
    options = {"key": "scan_formats", "help": words, **inputs.KEPT}
    formats = right.multiselect("Write at once as well", list(FORMATS), **options)
    return {
        "mode": MODES[mode],
        "precision": "int8" if int8 else "auto",
        "method": METHODS[method],
        "background": background,
        "formats": tuple(FORMATS[name] for name in formats),
    }


def _regions(overview: state.Overview) -> str | None:
    """Ask for regions; return their file, "" for none, or None while it is missing."""
    if not st.checkbox("Only some regions", key="scan_has_regions", **inputs.KEPT):
        return ""
    st.session_state[_OPEN] = True
    upload = uploads.upload_box(
        "Choose a BED file of regions",
        key="scan_regions_file",
        accept=".bed,.txt,.gz",
        hint="Only windows whose site lies in one of these regions are scored.",
    )
    if upload is None:
        return None
    facts = ""
    with suppress(GenolmError):  # said beneath the form, see read_files
        found = _read_regions(str(upload.path), upload.path.stat().st_mtime_ns, overview.contigs)
        count, bases = sum(map(len, found.values())), bases_looked_at(overview.contigs, found)
        facts = f" ({inputs.count_words(count, 'region')}, {inputs.base_words(bases)})"
    st.caption(f"In use: {state.plain(upload.name)}{facts}")
    return str(upload.path)


@st.cache_data(max_entries=4, show_spinner="Reading the regions")
def _read_regions(path: str, changed: int, contigs: dict[str, int]) -> dict[str, list[tuple[int, int]]]:
    return read_regions(path, contigs)


def read_files(overview: state.Overview, options: Options) -> tuple[bool, Mapping[str, Intervals] | None]:
    """Read what files there are, as the scan will, and say of each what is left out of it or wrong with it.

    Returns
    -------
    right : bool
        Whether each can be read.
    regions : mapping or None
        Those that alone are to be scanned, None for the whole genome.
    """
    circular = [name for name, form in options.forms(overview).items() if form == CIRCULAR]
    right, regions = True, None
    for kind, place in ((_GENE, options.genes), (_SITE, options.truth), (_REGION, options.regions)):
        if place in ("", PREDICT):
            continue
        path = Path(place)
        key = (place, path.stat().st_mtime_ns, overview.contigs)
        try:
            if kind == _REGION:
                regions = _read_regions(*key)
                continue
            sites, notes = _read_features(*key, circular)
            found = f"{path.name}: {inputs.count_words(sites, kind)} on these records."
            st.caption(state.plain(" ".join([found, *notes])))
        except GenolmError as error:
            state.show_error(error, path, path.name)
            right = False
    return right, regions


@st.cache_data(max_entries=4, show_spinner="Reading genes and known sites")
def _read_features(path: str, changed: int, contigs: dict[str, int], circular: list[str]) -> tuple[int, list[str]]:
    """Return how many 5' ends a file of genes or sites has, and what was left out of it."""
    found = read_annotation(path, contigs=contigs, circular=circular)
    return len(sites_of(found)), list(found.attrs.get("notes", ()))


def choose_genome(model: BundleInfo) -> inputs.Source:
    """Let the user choose a genome; nothing chosen ends the page."""
    return inputs.choose_sequences("scan", samples.scan_samples(model), wanted=_WANTED, genomes=True)
