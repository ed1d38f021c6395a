"""A model's card on a page: purpose, scores beside baselines, limits, data, and what to do with it."""

import re
import tempfile
from pathlib import Path

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from genolm import onnx_export, workspace
from genolm.cards import merged_data, metric_name, render_card
from genolm.registry import BundleInfo, config_facts, export_bundle, jobs_with, remove_bundle
from pages.shared import charts, html_tables, inputs, running, scores, state
from pages.shared.downloads import Download, download_row
from pages.shared.score_metric import show_estimate

KINDS = {"classifier": "classifier", "language-model": "language model"}
USES = {
    "pages/annotate/classify.py": ("Classify with it", ":material/label:"),
    "pages/annotate/saliency.py": ("Explain its answers", ":material/insights:"),
    "pages/annotate/scan.py": ("Scan with it", ":material/genetics:"),
}


def show_card(info: BundleInfo) -> None:
    """Show one model: purpose, facts, scores, limits, and what it learned from."""
    with st.container(border=True, key=f"card_{info.name}"):
        st.subheader(state.plain(inputs.short_title(info)), anchor=info.name)
        origin = "built in" if info.builtin else "yours"
        if info.error or info.config is None:
            st.caption(f"{state.plain(info.name)} · {origin}")
            st.error(state.plain(info.error), icon=":material/error:")
            _actions(info)
            return
        size = f"{info.size / 1e6:.1f} MB"
        st.caption(f"{state.plain(info.name)} · {KINDS[info.config.kind]} · {origin} · {size}")
        st.markdown(state.plain(info.config.purpose))
        show_uses(info)
        _scores(info)
        _limits(info)
        _details(info)
        _actions(info)


def _scores(info: BundleInfo) -> None:
    """Show the headline score beside the baselines', and all scores as a table."""
    metric = scores.headline_metric(info.card)
    if not metric:
        st.info("This model was not measured. Do not rely on its answers.", icon=":material/help:")
        return
    split = scores.main_split(info.card)
    left, right = st.columns([2, 3], vertical_alignment="center")
    show_estimate(f"{metric_name(metric)} on {split}", info.card["metrics"][split][metric], place=left)
    left.caption(state.plain(f"{metric_name(metric)}: {scores.meaning(metric)}."))
    figure = charts.metric_intervals(scores.compared(info.card, metric), metric=metric_name(metric))
    right.plotly_chart(figure, key=f"scores_{info.name}", alt="Scores of the model and its baselines.")
    with st.expander("All scores"):
        st.html(html_tables.score_table(scores.wide_table(info.card), label=f"Scores of {info.name}"))
        known = dict.fromkeys(scores.score_table(info.card)["metric"])
        meanings = [f"- {metric_name(key)}: {scores.meaning(key)}" for key in known if scores.meaning(key)]
        st.caption("\n".join(meanings))


def _limits(info: BundleInfo) -> None:
    """Show what the model cannot do."""
    if limits := inputs.limits_words(info):
        st.markdown(f"**Known limits**\n{limits}")


def _details(info: BundleInfo) -> None:
    """Show what the model is, what it learned from, and the whole card."""
    with st.expander("Model, data and training"):
        own = {key: info.card.get(key) for key in ("date", "licence", "recipe")}
        facts = {**config_facts(info.config), **own}
        lines = [f"- **{key.capitalize()}** {state.plain(value)}" for key, value in facts.items() if value]
        st.markdown("\n".join(lines))
        if data := info.card.get("data"):
            table = pd.DataFrame(merged_data(data))
            bases = table["bases"].sum() if "bases" in table else 0
            many = "source" if len(table) == 1 else "sources"
            st.markdown(f"**Data** {len(table):,} {many}" + (f", {bases / 1e6:,.1f} Mbp" if bases else ""))
            order = [name for name in table.columns if name != "sha256"]
            st.dataframe(table, hide_index=True, column_order=[*order, "sha256"])
    with st.expander("The whole card"), st.container(key=f"{html_tables.WIDE}_{info.name}"):
        page = render_card(info.card, facts=config_facts(info.config), short_hashes=True)
        st.markdown(re.sub(r"^#", "###", page, flags=re.MULTILINE))
        st.caption("Of each SHA-256 the first letters; whole they are in card.json and card.md of the export.")


def show_uses(info: BundleInfo) -> None:
    """Link to the pages that work with this model."""
    if info.config and info.config.kind == "classifier":
        with st.container(horizontal=True):
            for page, (label, icon) in USES.items():
                if page.endswith("scan.py") and not inputs.can_scan(info):
                    continue
                st.page_link(page, label=label, icon=icon, query_params={"model": info.name})


def _actions(info: BundleInfo) -> None:
    """Offer the model as a zip, and the removal of one's own."""
    row = st.container(horizontal=True)
    if info.error is None:
        row.download_button(
            "Export",
            lambda: _packed(info.name),
            f"{info.name}.zip",
            "application/zip",
            key=f"export_{info.name}",
            icon=":material/upload_file:",
            help="A zip to import on another machine.",
            on_click="ignore",
        )
        _offer_onnx(info, row)
    if not info.builtin:
        with row.popover("Remove", icon=":material/delete:"):
            _offer_removal(info)


def _offer_removal(info: BundleInfo) -> None:
    """Ask whether to delete a model; where waiting or running jobs need it, they are told and agreed to first."""
    st.markdown(f"Delete **{state.plain(info.name)}** from this machine?")
    with state.shown_errors():
        jobs = jobs_with(info.name)
    agreed = True
    if jobs:
        seen = {job.id for job in running.seen_jobs()}
        titles = [f"{job.title} ({running.STATES[job.state]})" for job in jobs if job.id in seen]
        if others := len(jobs) - len(titles):
            titles.append(f"{inputs.count_words(others, 'job')} of others")
        words = "\n".join(f"- {state.plain(title)}" for title in titles)
        st.warning(f"It is in use, and these jobs fail without it:\n{words}", icon=":material/warning:")
        agreed = st.checkbox("Delete it all the same", key=f"agree_{info.name}")
    if st.button("Delete for good", key=f"remove_{info.name}", type="primary", disabled=not agreed) and agreed:
        with state.shown_errors():
            remove_bundle(info.name, force=True)
        st.rerun()


def _packed(name: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return export_bundle(name, Path(folder) / f"{name}.zip").read_bytes()


def _offer_onnx(info: BundleInfo, row: DeltaGenerator) -> None:
    """Offer a classifier as an ONNX file, where the extra that writes one is installed."""
    if info.config is None or info.config.kind != "classifier" or not onnx_export.is_available():
        return
    text = "One file to run with onnxruntime, in Python, C++, Java or a browser, without genolm."
    if row.button("ONNX", key=f"onnx_{info.name}", icon=":material/deployed_code:", help=text):
        target = workspace.uploads_dir() / "exports" / f"{info.name}.onnx"
        target.parent.mkdir(exist_ok=True)
        with state.shown_errors(), st.spinner("Writing the file and comparing its answers"):
            written = onnx_export.export_onnx(info.name, target)
        st.caption(
            f"On {written.compared} random sequences its raw scores (logits) differ from the model's by "
            f"{written.largest_difference:.6f} at most. How to use it stands in the file's description."
        )
        download_row([Download(target.name, target)], key=f"onnx_file_{info.name}")
