"""A finished scan on a page: overview, zoom, threshold, calls, downloads."""

import hashlib
from pathlib import Path

import pandas as pd
import streamlit as st

from genolm.errors import RegionError
from genolm.jobs import Job
from genolm.peaks import call_peaks
from genolm.regions import parse_region
from pages.shared import charts, results, samples, state
from pages.shared.downloads import Download, download_row

_ROWS_SHOWN = 2_000
_MARKS_SHOWN = 2_000
_AROUND_CALL = 1_000
_SMALLEST_VIEW = 50
_NEAR = 50


@st.cache_resource(max_entries=2, show_spinner="Reading the scores")
def _scan(folder: str, changed: int) -> results.ScanFolder:
    return results.read_scan(Path(folder))


@st.cache_data(max_entries=32, show_spinner="Calling")
def _calls(_scan: results.ScanFolder, folder: str, changed: int, threshold: float) -> pd.DataFrame:
    if threshold == _scan.setting("threshold"):
        return _scan.calls
    return call_peaks(
        _scan.tracks,
        threshold=threshold,
        window_length=int(_scan.setting("window")),
        merge_distance=_scan.setting("merge_distance"),
    )


def show(job: Job) -> None:
    """Show the results of a scan job."""
    record = job.result / "run.json"
    changed = record.stat().st_mtime_ns if record.is_file() else 0
    with state.shown_errors():
        scan = _scan(str(job.result), changed)
    made_with = float(scan.setting("threshold", 0.5))
    st.header("Calls", divider="gray")
    words = "Calls are made anew from the scores; nothing is scored again."
    threshold = st.slider("Threshold", 0.01, 1.0, made_with, 0.01, key=f"threshold_{job.id}", help=words)
    calls = _calls(scan, str(job.result), changed, threshold)
    _show_counts(scan, calls, made_with)
    contig, start, end = _view(job, scan)
    sites = samples.sites_in(job.arguments[1], samples.site_kind(str(scan.setting("class", ""))))
    _show_overview(job, scan, calls, threshold, (contig, start, end), sites)
    _show_known(scan, calls, sites)
    _show_table(job, scan, calls, (contig, start, end))
    _show_downloads(job, scan, calls, threshold)


def _show_counts(scan: results.ScanFolder, calls: pd.DataFrame, made_with: float) -> None:
    bases = sum(scan.lengths.values())
    columns = st.columns(4)
    columns[0].metric("Calls", f"{len(calls):,}")
    plus = int((calls["strand"] == "+").sum())
    columns[1].metric("On plus / minus", f"{plus:,} / {len(calls) - plus:,}")
    per_mb = len(calls) / bases * 1e6 if bases else 0.0
    columns[2].metric("Calls per Mbp", f"{per_mb:,.0f}")
    covered = (calls["end"] - calls["start"]).sum() / (2 * bases) if bases else 0.0
    columns[3].metric("Share of both strands in calls", f"{covered:.1%}")
    st.caption(
        f"Model {state.plain(scan.model)}, windows of {scan.setting('window')} bp every "
        f"{scan.setting('stride')} bp, scanned with threshold {made_with:.2f}. A call is a run of windows "
        "from the threshold up; its summit is the place of the highest score. A bacterium has about a "
        "thousand genes and a few hundred promoters per Mbp: many more calls than that are mostly false; "
        "raise the threshold."
    )


def _show_known(scan: results.ScanFolder, calls: pd.DataFrame, sites: list[samples.Place]) -> None:
    if not sites:
        return
    table = results.check_sites(scan, calls, sites, reach=_NEAR)
    found = int((table["nearest call (bp)"] <= _NEAR).sum())
    with st.expander(f"Known sites in this sample: {found} of {len(table)} have a call within {_NEAR} bp"):
        score = st.column_config.ProgressColumn(min_value=0, max_value=1, format="%.3f")
        st.dataframe(table, hide_index=True, column_config={"highest score nearby": score})
        st.caption(
            "Textbook sites, which most models have seen in training: finding them is no proof of quality, "
            "missing them is a warning."
        )


def _view(job: Job, scan: results.ScanFolder) -> tuple[str, int, int]:
    """Return the stretch to draw: chosen by contig, typed region, box or table row, whichever came last."""
    left, right = st.columns(2)
    contig = left.selectbox("Contig", list(scan.lengths), key=f"contig_{job.id}")
    hint = f"{charts.shorten(contig, 20)}:1-10K"
    typed = right.text_input("Go to", placeholder=hint, key=f"region_{job.id}", help="Or draw a box below.")
    memory = st.session_state.setdefault(f"view_{job.id}", {"moves": 0})
    if contig != memory.get("contig"):
        memory["view"] = (contig, 0, scan.lengths[contig])
    if typed and typed != memory.get("typed"):
        text = typed if ":" in typed or typed in scan.lengths else f"{contig}:{typed}"
        try:
            region = parse_region(text, contigs=scan.lengths)
            memory["view"] = (region.contig, region.start, region.end)
        except RegionError as error:
            right.error(state.plain(error), icon=":material/error:")
    memory |= {"contig": contig, "typed": typed}
    return memory["view"]


def _show_overview(
    job: Job,
    scan: results.ScanFolder,
    calls: pd.DataFrame,
    threshold: float,
    view: tuple[str, int, int],
    sites: list[samples.Place],
) -> None:
    contig, start, end = view
    here = calls[(calls["contig"] == contig) & calls["summit"].between(start, end - 1)]
    shown = here.nlargest(_MARKS_SHOWN, "score")
    figure = charts.scan_overview(
        results.curves(scan.of(contig), start, end),
        shown,
        threshold=threshold,
        contig=contig,
        class_name=str(scan.setting("class", "")),
        view=(start, end),
        sites=[(name, place, strand) for name, where, place, strand in sites if where == contig],
    )
    left, right = st.columns([4, 1], vertical_alignment="center")
    left.markdown(f"**{state.plain(contig)}: {start + 1:,} to {end:,}** · {len(here):,} calls here")
    whole = (contig, 0, scan.lengths[contig])
    if view != whole and right.button("Whole contig", key=f"out_{job.id}", width="stretch"):
        _go(job, whole)
    # A key of its own for each view: a box that was drawn in one must not be found again in another.
    key = f"overview_{job.id}_{st.session_state[f'view_{job.id}']['moves']}_{start}_{end}"
    alt = "Highest score along the contig, one panel per strand."
    event = st.plotly_chart(figure, key=key, on_select="rerun", selection_mode="box", alt=alt)
    st.caption(
        "Draw a box to zoom in. Each point is the highest score of its stretch, so that no peak is lost; "
        "triangles are calls, the dashed line is the threshold."
    )
    boxes = event["selection"]["box"] if event else []
    if boxes:
        low, high = sorted(boxes[0]["x"])
        middle, width = (low + high) / 2, max(high - low, _SMALLEST_VIEW)
        chosen = (max(start, int(middle - width / 2)), min(end, int(middle + width / 2)))
        if chosen != (start, end):
            _go(job, (contig, *chosen))


def _go(job: Job, view: tuple[str, int, int]) -> None:
    memory = st.session_state[f"view_{job.id}"]
    memory |= {"view": view, "moves": memory["moves"] + 1}
    st.rerun()


def _show_table(
    job: Job, scan: results.ScanFolder, calls: pd.DataFrame, view: tuple[str, int, int]
) -> None:
    if calls.empty:
        st.info("No window reaches the threshold. Lower it to see weaker candidates.", icon=":material/info:")
        return
    contig, start, end = view
    zoomed = (start, end) != (0, scan.lengths[contig])
    listed = calls[(calls["contig"] == contig) & calls["summit"].between(start, end - 1)] if zoomed else calls
    listed = listed.sort_values("score", ascending=False, kind="stable").head(_ROWS_SHOWN)
    listed = listed.reset_index(drop=True)
    score = st.column_config.ProgressColumn("score", min_value=0, max_value=1, format="%.3f")
    event = st.dataframe(
        listed,
        hide_index=True,
        column_config={"score": score},
        on_select="rerun",
        selection_mode="single-row",
        key=f"table_{job.id}_{st.session_state[f'view_{job.id}']['moves']}_{start}_{end}_{len(calls)}",
        alt="Calls by score",
    )
    where = "in view" if zoomed else "of all contigs"
    st.caption(f"Calls {where}, best first; 0-based, half-open, as in CSV and BED. Select a row to go there.")
    rows = event["selection"]["rows"]
    if rows:
        call = listed.iloc[rows[0]]
        summit, length = int(call["summit"]), scan.lengths[call["contig"]]
        target = (call["contig"], max(0, summit - _AROUND_CALL), min(length, summit + _AROUND_CALL))
        if target != view:
            _go(job, target)


def _show_downloads(job: Job, scan: results.ScanFolder, calls: pd.DataFrame, threshold: float) -> None:
    st.subheader("Downloads")
    if threshold == scan.setting("threshold"):
        paths = {label: job.result / f"calls.{label.lower()}" for label in ("CSV", "BED", "GFF3")}
    else:
        name = hashlib.sha256(repr(threshold).encode()).hexdigest()[:12]
        paths = results.write_calls(job.folder / "recalled" / name, calls, scan)
    files = [Download(f"Calls, {label}", path) for label, path in paths.items()]
    files += [
        Download("Scores plus, bigWig", job.result / "scores_plus.bw"),
        Download("Scores minus, bigWig", job.result / "scores_minus.bw"),
        Download("Run record, JSON", job.result / "run.json"),
    ]
    download_row(files, key=f"files_{job.id}")
    st.caption(
        f"The calls are those of threshold {threshold:.2f}. CSV and BED count from 0 and leave the end out, "
        "GFF3 counts from 1 and includes it. The run record is enough to repeat the scan."
    )
