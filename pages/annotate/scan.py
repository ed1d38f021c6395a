"""Scan: a genome and a model -> score tracks and calls on both strands."""

import streamlit as st

from genolm.registry import BundleInfo
from genolm.scan_plan import Layout, scan_windows
from pages.shared import code_view, inputs, running, samples, scan_view, state

STRANDS = {"both": "both", "plus": "+", "minus": "-"}


def choose_options(model: BundleInfo) -> tuple[int, str, float]:
    """Ask for stride, strand and threshold."""
    left, middle, right = st.columns(3)
    stride = left.number_input(
        "Stride (bp)",
        1,
        1000,
        10,
        key="scan_stride",
        help="Bases from one window to the next. Half the stride doubles the time and sharpens the summits.",
    )
    strand = middle.radio("Strands", list(STRANDS), horizontal=True, key="scan_strand")
    threshold = right.slider(
        "Threshold",
        0.0,
        1.0,
        model.config.calibration.threshold,
        0.01,
        key=f"scan_threshold_{model.name}",
        help="Calibrated probability from which a window is a hit. You can move it again after the scan.",
    )
    return int(stride), STRANDS[strand], float(threshold)


def show_cost(overview: state.Overview, model: BundleInfo, stride: int, strand: str) -> None:
    """Say how many windows the scan looks at and how long that takes here."""
    window = model.config.window.length
    windows = scan_windows(overview.contigs.values(), Layout(window, stride, 0, 0, 1), strands=strand)
    short = sum(size < window for size in overview.contigs.values())
    seconds = windows / state.windows_per_second(model)
    st.caption(
        f"{windows:,} windows of {window} bp: about {state.duration(seconds)} on this machine."
        + (f" {short:,} records are shorter than a window and are left out." if short else "")
    )


st.title("Scan a genome")
st.markdown("The model looks at every window of every record, on both strands, and hits are merged to calls.")
if job := running.current("scan"):
    running.header(job, again="New scan")
    running.wait_until_over(job)
    scan_view.show(job)
    code_view.show_code(job.arguments, key=job.id)
    st.stop()
model = inputs.pick_model("scan_model", scans=True)
source = inputs.choose_sequences("scan", samples.genome_samples())
overview = state.overview(source.path, source.name)
inputs.show_overview(overview)
stride, strand, threshold = choose_options(model)
show_cost(overview, model, stride, strand)
arguments = ["scan", str(source.path), "--model", model.name, "--out", "."]
arguments += ["--stride", str(stride), "--strand", strand, "--threshold", str(threshold)]
if st.button("Start the scan", type="primary", icon=":material/play_arrow:"):
    running.start("scan", arguments, title=f"{source.name}: {model.name}, stride {stride}")
code_view.show_code(arguments, key="scan")
running.recent("scan", "pages/annotate/scan.py")
