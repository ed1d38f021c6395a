"""The calls of a scan against known sites: precision, recall, F1 at the threshold, and the curve over all."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import streamlit as st

from genolm.annotation import read_annotation, sites_of
from genolm.errors import GenolmError
from genolm.jobs import Job
from genolm.scan_pipeline import TOLERANCE
from genolm.truth import CountedSites, TruthCurve, counted_sites, judge_calls, scored_pieces, truth_curve
from pages.shared import running, samples, scan_charts, state, uploads
from pages.shared.scan_data import Finished, distances

ANNOTATION_ENDINGS = ".gff,.gff3,.gb,.gbk,.gbff,.bed,.txt,.gz"
_GIVEN, _GENES, _SAMPLE, _FILE, _NONE = (
    "the file given with the scan",
    "the genes of this scan",
    "the known sites of this sample",
    "another file",
    "nothing",
)


@dataclass(frozen=True)
class Known:
    """Known sites to compare with.

    Attributes
    ----------
    sites : DataFrame
        ``contig, position, strand, name``.
    stamp : str
        Stands for the content.
    """

    sites: pd.DataFrame
    stamp: str
    notes: tuple[str, ...] = ()


def show(job: Job, found: Finished, calls: pd.DataFrame, threshold: float) -> None:
    """Ask what to compare with and show how the calls compare; what cannot be compared leaves the rest of the page."""
    try:
        known, tolerance = _ask(job, found)
        if known is None:
            return
        for note in known.notes:
            st.caption(state.plain(note))
        counted, curve = _compared(job, found, known, tolerance)
        here = judge_calls(calls, counted.sites, **counted.rules)
    except GenolmError as error:
        st.error(state.plain(error), icon=":material/error:")
        return
    _show_scores(here, counted, curve, threshold)


def _show_scores(here: dict[str, float], counted: CountedSites, curve: TruthCurve, threshold: float) -> None:
    columns, sites = st.columns(5), len(counted.sites)
    columns[0].metric("Known sites", f"{sites:,}")
    columns[1].metric(
        "Precision", _share(here["precision"]), help="Share of the calls that lie at a known site."
    )
    columns[2].metric("Recall", _share(here["recall"]), help="Share of the known sites with a call.")
    columns[3].metric("F1", f"{here['f1']:.3f}", help="Harmonic mean of precision and recall.")
    columns[4].metric(
        "AUPRC",
        f"{curve.auprc:.3f}",
        help="Precision averaged over all thresholds as recall rises; 1 is best.",
    )
    figure = scan_charts.precision_recall(curve.table, threshold=threshold, point=here)
    st.plotly_chart(figure, key="truth_curve", alt="Precision over recall, the present threshold marked.")
    strands = "on the site's own strand" if counted.strand_aware else "on either strand, as the sites have none"
    best = curve.best
    st.caption(
        f"A call is right when its summit lies within {counted.rules['tolerance']} bp of a known site, {strands}; "
        f"{int(here['true_calls']):,} of {int(here['calls']):,} calls are, and "
        f"{int(here['sites_found']):,} of "
        f"{sites:,} sites are found. The best F1 is {best['f1']:.3f} at threshold "
        f"{best['threshold']:.3f}. "
        "Known sites are never all there are: some of the other calls may be right too."
        + (
            f" {counted.outside:,} sites lie where nothing was scanned and are left out."
            if counted.outside
            else ""
        )
    )


def _share(value: float) -> str:
    return "none" if value != value else f"{value:.1%}"


def _ask(job: Job, found: Finished) -> tuple[Known | None, int]:
    options = _options(job, found)
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    chosen = left.radio("Compare the calls with", list(options), key=f"truth_{job.id}", horizontal=True)
    given = running.option(job, "--tolerance")
    tolerance = right.number_input(
        "Tolerance (bp)",
        0,
        10_000,
        int(given) if given else TOLERANCE,
        key=f"tolerance_{job.id}",
        help="How far a call's summit may lie from a known site.",
    )
    if chosen == _NONE:
        st.caption("With known genes or TSS (GFF3, GenBank or BED) precision and recall are shown here.")
        return None, tolerance
    known = options[chosen] if chosen != _FILE else _uploaded(job, found)
    if isinstance(known, Path):
        known = _from_file(known, known.name, found, key=f"kinds_{job.id}")
    return known, tolerance


def _options(job: Job, found: Finished) -> dict[str, "Known | Path | None"]:
    """Return what there is to compare with, the best first."""
    options: dict[str, Known | Path | None] = {}
    given = running.option(job, "--truth")
    if given and Path(given).is_file():
        options[_GIVEN] = Path(given)
    sample = samples.sites_in(job.arguments[1], samples.site_kind(found.class_name))
    if not options:
        options[_NONE] = None
    if found.gene_starts is not None:
        options[_GENES] = Known(found.gene_starts, f"genes {found.changed}")
    if sample:
        table = pd.DataFrame(sample, columns=["name", "contig", "position", "strand"])
        options[_SAMPLE] = Known(table, "sample")
    options[_FILE] = None
    return options


def _uploaded(job: Job, found: Finished) -> Known | None:
    upload = uploads.upload_box(
        "Choose a file of genes or TSS",
        key=f"truth_file_{job.id}",
        accept=ANNOTATION_ENDINGS,
        hint="GFF3, GenBank or BED, plain or .gz; the names of the records must be those of the genome.",
    )
    return None if upload is None else _from_file(upload.path, upload.name, found, key=f"kinds_up_{job.id}")


def _from_file(path: Path, name: str, found: Finished, *, key: str) -> Known:
    changed = path.stat().st_mtime_ns
    try:
        table = _annotation(str(path), changed, found.lengths, list(found.circular))
    except GenolmError as error:
        raise type(error)(str(error).replace(str(path), name)) from error
    kinds = [str(kind) for kind in table["kind"].value_counts().index if kind]
    chosen = None
    if len(kinds) > 1:
        chosen = st.selectbox("Features to compare with", ["the usual: TSS, else genes", *kinds], key=key)
        chosen = None if chosen not in kinds else [chosen]
    sites = sites_of(table, chosen)
    return Known(sites, f"{path} {changed} {chosen}", tuple(table.attrs.get("notes", ())))


@st.cache_data(max_entries=4, show_spinner="Reading the known sites")
def _annotation(path: str, changed: int, lengths: dict[str, int], circular: list[str]) -> pd.DataFrame:
    return read_annotation(path, contigs=lengths, circular=circular)


def _compared(job: Job, found: Finished, known: Known, tolerance: int) -> tuple[CountedSites, TruthCurve]:
    """Return the sites that count and the curve of them: the one that the scan wrote if it is of these sites."""
    path = found.scan.folder / "truth.json"
    given = running.option(job, "--tolerance") or str(TOLERANCE)
    truth = running.option(job, "--truth")
    same = truth and known.stamp.startswith(f"{truth} ") and known.stamp.endswith(" None")
    written = path if same and tolerance == int(given) and path.is_file() else None
    words = f"{found.folder} {found.changed} {known.stamp} {tolerance} {written}"
    return _compare(found, known.sites, tolerance, written, hashlib.sha256(words.encode()).hexdigest())


@st.cache_data(max_entries=8, show_spinner="Comparing the calls of all thresholds with the known sites")
def _compare(
    _found: Finished, _sites: pd.DataFrame, tolerance: int, _written: Path | None, stamp: str
) -> tuple[CountedSites, TruthCurve]:
    scan = _found.scan
    tracks, rules = scored_pieces(scan.tracks), {"tolerance": tolerance, "circular": _found.circular}
    counted = counted_sites(tracks, _sites, **rules)
    if _written is not None:
        curve = TruthCurve.from_json(json.loads(_written.read_text(encoding="utf-8")))
        # A scan of regions leaves out a site just beside one, which a call inside may still be near enough to.
        if curve.sites == len(counted.sites):
            return counted, curve
    curve = truth_curve(
        tracks,
        _sites,
        window_length=_found.window,
        method=scan.setting("method") or "merge",
        **rules,
        **distances(scan),
    )
    return counted, curve
