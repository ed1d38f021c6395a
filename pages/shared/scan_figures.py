"""The figures of a finished scan, a tab each: whole genome, scores, contigs, gene starts, known sites."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import streamlit as st

from genolm.jobs import Job
from genolm.regions import Region
from pages.shared import charts, results, samples, scan_charts, scan_data, scan_maps, scan_truth, state
from pages.shared.scan_browser import Place
from pages.shared.scan_data import Finished

_MARKS_SHOWN = 2_000
_LOWEST = 0.05
_SMALLEST_VIEW = 50


def show(job: Job, found: Finished, calls: pd.DataFrame, threshold: float, place: Place) -> None:
    """Show the tabs; only the one that is open is drawn."""
    tabs: dict[str, Callable[[], None]] = {
        "Whole genome": lambda: _show_genome(job, found, calls, threshold, place),
        "Scores": lambda: _show_scores(job, found, threshold),
    }
    if len(found.lengths) > 1:
        tabs["Contigs"] = lambda: _show_contigs(job, found, calls)
    if found.gene_starts is not None:
        tabs["Gene starts"] = lambda: _show_starts(job, found)
    tabs["Known sites"] = lambda: scan_truth.show(job, found, calls, threshold)
    shown = st.tabs(list(tabs), key=f"tabs_{job.id}", on_change="rerun")
    for tab, draw in zip(shown, tabs.values(), strict=True):
        if tab.open:
            with tab:
                draw()


def _show_contigs(job: Job, found: Finished, calls: pd.DataFrame) -> None:
    figure = scan_charts.calls_per_contig(calls, found.lengths, found.scan.tracks)
    st.plotly_chart(figure, key=f"contigs_{job.id}", alt="Number of calls of each contig.")


def _show_genome(job: Job, found: Finished, calls: pd.DataFrame, threshold: float, place: Place) -> None:
    contig = found.first
    if len(found.lengths) > 1:
        names = list(found.lengths)
        contig = st.selectbox("Contig", names, names.index(contig), key=f"overview_contig_{job.id}")
    st.markdown(f"**{state.plain(contig)}**, {found.lengths[contig]:,} bp")
    if contig not in found.scored:
        st.caption(f"Nothing was scored on this contig: {_why_not(found, contig)}.")
    elif contig in found.circular:
        _show_circle(job, found, calls, threshold, contig)
    else:
        _show_line(job, found, calls, threshold, contig, place)


def _why_not(found: Finished, contig: str) -> str:
    if found.lengths[contig] < found.window:
        return f"it is shorter than a window ({found.window:,} bp)"
    if found.scan.setting("regions"):
        return f"no window has its site in the regions of {state.plain(found.scan.setting('regions'))}"
    return "its windows have too many letters other than A, C, G and T"


def _show_circle(job: Job, found: Finished, calls: pd.DataFrame, threshold: float, contig: str) -> None:
    length = found.lengths[contig]
    rings = {track.strand: scan_maps.ring_of(track, calls, length) for track in found.scan.of(contig)}
    genes = None if found.genes is None else found.genes[found.genes["contig"] == contig]
    figure = scan_maps.circle(
        rings,
        genes,
        length=length,
        threshold=threshold,
        title=f"{charts.label_of(contig, 16)}<br>{length:,} bp",
    )
    st.plotly_chart(
        figure, key=f"circle_{job.id}", alt="Calls and highest scores around the circular contig."
    )
    st.caption(
        f"Bars: calls in each {length // scan_maps.CIRCLE_BINS:,} bp, plus strand outwards, minus strand "
        "inwards. The thin rings show the highest score there, pale where none reaches the threshold "
        "and empty "
        "where nothing was scored." + ("" if genes is None else " Innermost: genes.")
    )


def _show_line(
    job: Job, found: Finished, calls: pd.DataFrame, threshold: float, contig: str, place: Place
) -> None:
    length = found.lengths[contig]
    here = calls[calls["contig"] == contig].nlargest(_MARKS_SHOWN, "score")
    known = samples.sites_in(job.arguments[1], samples.site_kind(found.class_name))
    figure = scan_maps.line(
        results.curves(found.scan.of(contig), 0, length),
        here,
        threshold=threshold,
        class_name=found.class_name,
        view=(0, length),
        sites=[(name, position, strand) for name, where, position, strand in known if where == contig],
    )
    key = f"line_{job.id}_{contig}_{place.jumps}"
    alt = "Highest score along the contig, one panel per strand."
    event = st.plotly_chart(figure, key=key, on_select="rerun", selection_mode="box", alt=alt)
    st.caption(
        "Draw a box to see that stretch in the browser above. Each point is the highest score of its "
        "stretch, so "
        "that no peak is lost; triangles are calls, the dashed line is the threshold."
    )
    boxes = event["selection"]["box"] if event else []
    if boxes:
        low, high = sorted(boxes[0]["x"])
        middle, width = (low + high) / 2, max(high - low, _SMALLEST_VIEW)
        place.go(Region(contig, max(0, int(middle - width / 2)), min(length, int(middle + width / 2))))
        st.rerun()


def _show_scores(job: Job, found: Finished, threshold: float) -> None:
    background = found.background
    lowest = _LOWEST if background is None else max(_LOWEST, background.floor)
    called = _scores_from(found, lowest, str(found.folder), found.changed)
    figure = scan_charts.score_spread(
        called,
        None if background is None else background.scores,
        megabases=found.megabases,
        shuffled_megabases=1.0 if background is None else background.megabases,
        threshold=threshold,
    )
    st.plotly_chart(figure, key=f"spread_{job.id}", alt="Calls per Mb of strand by their score.")
    words = f"Calls from a score of {lowest:.2f} up, by their highest score. "
    words += (
        "Grey: calls on shuffled pieces of this genome, which keep its two-letter counts and hold no "
        "site. Where "
        "blue is not above grey, calls of that score are what chance gives."
        if background is not None
        else "The scan was made without a shuffled background, so chance cannot be told from signal here."
    )
    st.caption(words)


@st.cache_data(max_entries=4, show_spinner="Calling")
def _scores_from(_found: Finished, lowest: float, folder: str, changed: int) -> np.ndarray:
    return scan_data.anew(_found, lowest, method="nms")["score"].to_numpy()


@st.cache_data(max_entries=4, show_spinner="Averaging over the gene starts")
def _around(
    _found: Finished, folder: str, changed: int
) -> tuple[scan_charts.Around | None, scan_charts.Around | None]:
    own, other = (
        scan_charts.around_starts(_found.scan.tracks, _found.gene_starts, _found.circular, same_strand=same)
        for same in (True, False)
    )
    return own, other


def _show_starts(job: Job, found: Finished) -> None:
    own, other = _around(found, str(found.folder), found.changed)
    if own is None:
        st.info("No gene start lies where its strand was scored.", icon=":material/info:")
        return
    figure = scan_charts.around_figure(own, other, class_name=found.class_name)
    st.plotly_chart(figure, key=f"starts_{job.id}", alt="Mean score around gene starts.")
    st.caption(
        f"Mean score over {own.starts:,} gene starts, read along the gene; the band is the 95 % "
        "interval of the "
        "mean. A model that knows promoters or gene starts has its peak just before or at 0 on the "
        "gene's strand; "
        "a flat line says that the scores have nothing to do with genes."
    )
