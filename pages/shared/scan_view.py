"""A finished scan on a page: threshold, genome browser, calls, figures, downloads."""

import math

import pandas as pd
import streamlit as st

from genolm.jobs import Job
from pages.shared import (
    inputs,
    results,
    samples,
    scan_browser,
    scan_data,
    scan_downloads,
    scan_figures,
    scan_table,
    state,
)
from pages.shared.scan_data import Finished

RATES = (1, 10, 100)
_NEAR = 50
_CALL_OF = {
    "merge": "A call is a run of windows from the threshold up; its summit is the place of the highest score.",
    "nms": "A call is a local maximum from the threshold up that no higher one nearby hides; its summit is the place "
    "of that maximum.",
}
_STRAND_MB = "A genome of 1 Mb that was scanned on both strands has 2 Mb of strand."


def show(job: Job) -> None:
    """Show the results of a scan job."""
    found = scan_data.read(job)
    st.header("Calls", divider="gray")
    _show_said(found)
    threshold = _choose_threshold(job, found)
    calls = scan_data.calls_at(found, threshold)
    _show_counts(found, calls, threshold)
    _show_browser(job, found, calls, threshold)
    st.subheader("Overview", anchor=False)
    _show_figures(job, found, calls, threshold)
    _show_known(found, calls, samples.sites_in(job.arguments[1], samples.site_kind(found.class_name)))
    scan_downloads.show(job, found, calls, threshold)


def _show_said(found: Finished) -> None:
    """Show what the run has to say: why it may not hold for this genome, what was left out."""
    for sentence in found.said("warnings"):
        st.warning(state.plain(sentence), icon=":material/warning:")
    if found.fasta is None:
        st.warning(
            "The genome file of this scan is no longer here, or it was changed: the browser shows no "
            "letters, and "
            "saliency, GenBank and FASTA need the file. Scan again to have them."
        )
    if notes := found.said("notes"):
        st.info("  \n".join(state.plain(note) for note in notes), icon=":material/info:")


def _choose_threshold(job: Job, found: Finished) -> float:
    """Show the slider, and with a background the thresholds for some rates of false calls."""
    key = f"threshold_{job.id}"
    st.session_state.setdefault(key, found.made_with)
    words = "Calls are made anew from the scores; nothing is scored again."
    lowest = min(0.01, found.made_with)
    threshold = st.slider("Threshold", lowest, 1.0, step=0.005, format="%.3f", key=key, help=words, **inputs.KEPT)
    if found.background is None:
        return threshold
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown("At most this many false calls per Mb of strand:")
        for rate in RATES:
            needed = threshold_for(found, rate)
            st.button(
                f"{rate:g}",
                key=f"rate_{rate}_{job.id}",
                help=f"Sets the threshold to {needed:.3f}." if needed else "The background cannot tell.",
                disabled=needed is None,
                on_click=st.session_state.update,
                args=({key: needed},),
            )
        model = f"Threshold of the run, {found.made_with:.3f}"
        st.button(
            model, key=f"model_{job.id}", on_click=st.session_state.update, args=({key: found.made_with},)
        )
    return threshold


def threshold_for(found: Finished, rate: float) -> float | None:
    """Return the threshold, upwards to three places, with at most so many false calls per Mb of strand.

    None where the background is too small to tell, or no score is that high.
    """
    background = found.background
    if background is None or rate < background.resolution:
        return None
    needed = math.ceil(1000 * background.threshold_for(rate)) / 1000
    return max(needed, 0.01) if needed <= 1 else None


@st.fragment
def _show_browser(job: Job, found: Finished, calls: pd.DataFrame, threshold: float) -> None:
    place = scan_browser.place_of(job, found)
    top = st.container()
    scan_browser.show(job, found, calls, threshold)
    with top:
        scan_browser.show_ways_out(job, found, calls, place)
    scan_table.show(job, found, calls, place)


@st.fragment
def _show_figures(job: Job, found: Finished, calls: pd.DataFrame, threshold: float) -> None:
    scan_figures.show(job, found, calls, threshold, scan_browser.place_of(job, found))


def _show_counts(found: Finished, calls: pd.DataFrame, threshold: float) -> None:
    columns, megabases = st.columns(4), max(found.megabases, 1e-6)
    plus = int((calls["strand"] == "+").sum())
    both = f"{plus:,} on the plus strand, {len(calls) - plus:,} on the minus strand"
    columns[0].metric("Calls", f"{len(calls):,}", help=both)
    columns[1].metric("Calls per Mb of strand", _number(len(calls) / megabases), help=_STRAND_MB)
    if found.background is None:
        columns[2].metric("On plus / minus", f"{plus:,} / {len(calls) - plus:,}")
        covered = (calls["end"] - calls["start"]).sum() / (megabases * 1e6)
        columns[3].metric("Share of the scanned strands in calls", f"{covered:.1%}")
    else:
        rate = found.background.interval_per_mb(threshold)
        expected = rate.value * found.megabases
        words = f"Expected from the shuffled genome, 95 % interval {_number(rate.low)} to {_number(rate.high)}."
        columns[2].metric("False ones per Mb of strand", _number(rate.value), help=words)
        share = f"{expected / len(calls):.0%} of the calls" if len(calls) else None
        if len(calls) and expected >= len(calls):
            share = "no fewer than the calls"
        words = "As many as the shuffled genome would have on as much strand; a mean, which can be more than the calls."
        options = {"help": words, "delta_color": "off", "delta_arrow": "off"}
        columns[3].metric("Expected by chance", _number(expected), share, **options)
    _show_meaning(found, threshold)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def _show_meaning(found: Finished, threshold: float) -> None:
    scan, background = found.scan, found.background
    chance = (
        "How many of the calls are false is not known without the shuffled genome. As a measure, per Mb of strand "
        "*E. coli* K-12 has about 460 genes that code for proteins (Blattner et al. 1997), and human about 3 (GENCODE)."
        if background is None
        else f"False calls are counted on {background.megabases:.2g} Mb of strand of this genome, shuffled "
        "and scanned in the same way."
        + (
            f" Below a score of {background.floor:g} there may be more of them."
            if threshold < background.floor
            else ""
        )
    )
    st.caption(
        f"Model {state.plain(scan.model)}, windows of {found.window:,} bp every "
        f"{int(scan.setting('stride')):,} bp, scanned with threshold {found.made_with:.3f}. "
        f"{_CALL_OF[scan.setting('method') or 'merge']} {chance}"
    )


def _show_known(found: Finished, calls: pd.DataFrame, sites: list[samples.Place]) -> None:
    if not sites:
        return
    table = results.check_sites(found.scan, calls, sites, reach=_NEAR)
    if table.empty:
        st.caption("The known sites of this sample lie where nothing was scored.")
        return
    left = len(sites) - len(table)
    verb = "is" if left == 1 else "are"
    count = int((table["nearest call (bp)"] <= _NEAR).sum())
    with st.expander(f"Known sites in this sample: {count} of {len(table)} have a call within {_NEAR} bp"):
        score = st.column_config.ProgressColumn(min_value=0, max_value=1, format="%.3f")
        st.dataframe(table, hide_index=True, column_config={"highest score nearby": score})
        st.caption(
            "Textbook sites, which most models have seen in training: finding them is no proof of quality, "
            "missing them is a warning."
            + (f" {inputs.count_words(left, 'site')} where nothing was scored {verb} left out." if left else "")
        )
