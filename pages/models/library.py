"""Models: every installed model as a card, with its scores beside its baselines; import and export."""

import re

import pandas as pd
import streamlit as st

from genolm import workspace
from genolm.cards import format_estimate, metric_name
from genolm.registry import (
    BundleInfo,
    config_facts,
    export_bundle,
    import_bundle,
    list_bundles,
    remove_bundle,
)
from pages.shared import charts, scores, state, uploads
from pages.shared.downloads import Download, download_row

KINDS = {"classifier": "classifier", "language-model": "language model"}


def show_card(info: BundleInfo) -> None:
    """Show one model: purpose, facts, scores, limits, and what it learned from."""
    with st.container(border=True, key=f"card_{info.name}"):
        title = (info.config.title if info.config else "") or info.name
        st.subheader(state.plain(title), anchor=info.name)
        origin = "built in" if info.builtin else "yours"
        if info.error or info.config is None:
            st.caption(f"{state.plain(info.name)} · {origin}")
            st.error(state.plain(info.error), icon=":material/error:")
            show_actions(info)
            return
        size = f"{info.size / 1e6:.1f} MB"
        st.caption(f"{state.plain(info.name)} · {KINDS[info.config.kind]} · {origin} · {size}")
        st.markdown(state.plain(info.config.purpose))
        show_scores(info)
        show_limits(info)
        show_details(info)
        show_actions(info)


def show_scores(info: BundleInfo) -> None:
    """Show the headline score beside the baselines', and all scores as a table."""
    metric = scores.headline_metric(info.card)
    if not metric:
        st.info("This model was not measured. Do not rely on its answers.", icon=":material/help:")
        return
    split = scores.main_split(info.card)
    left, right = st.columns([2, 3], vertical_alignment="center")
    left.metric(f"{metric_name(metric)} on {split}", format_estimate(info.card["metrics"][split][metric]))
    words = f"{metric_name(metric)}: {scores.meaning(metric)}. In brackets the 95 % interval."
    left.caption(state.plain(words))
    figure = charts.metric_intervals(scores.compared(info.card, metric), metric=metric_name(metric))
    right.plotly_chart(figure, key=f"scores_{info.name}", alt="Scores of the model and its baselines.")
    with st.expander("All scores"):
        st.dataframe(scores.wide_table(info.card))
        known = dict.fromkeys(scores.score_table(info.card)["metric"])
        meanings = [f"- {metric_name(key)}: {scores.meaning(key)}" for key in known if scores.meaning(key)]
        st.caption("\n".join(meanings))


def show_limits(info: BundleInfo) -> None:
    """Show what the model cannot do."""
    if limits := info.card.get("limits"):
        st.markdown("**Known limits**\n" + "\n".join(f"- {state.plain(text)}" for text in limits))


def show_details(info: BundleInfo) -> None:
    """Show what the model is, what it learned from, and the whole card."""
    with st.expander("Model, data and training"):
        own = {key: info.card.get(key) for key in ("date", "licence", "recipe")}
        facts = {**config_facts(info.config), **own}
        lines = [f"- **{key.capitalize()}** {state.plain(value)}" for key, value in facts.items() if value]
        st.markdown("\n".join(lines))
        if data := info.card.get("data"):
            st.dataframe(pd.DataFrame(data), hide_index=True)
    page = info.path / "card.md"
    if page.is_file():
        with st.expander("The whole card"):
            st.markdown(re.sub(r"^#", "###", page.read_text(encoding="utf-8"), flags=re.MULTILINE))


def show_actions(info: BundleInfo) -> None:
    """Offer the model as a zip, and the removal of one's own."""
    columns = st.columns([1, 1, 4])
    if info.error is None:
        target = workspace.uploads_dir() / "exports" / f"{info.name}.zip"
        if columns[0].button("Export", key=f"export_{info.name}", icon=":material/upload_file:"):
            target.parent.mkdir(exist_ok=True)
            with state.shown_errors(), st.spinner("Packing"):
                export_bundle(info.name, target)
            download_row([Download(target.name, target)], key=f"zip_{info.name}")
    if not info.builtin:
        with columns[1].popover("Remove", icon=":material/delete:"):
            st.markdown(f"Delete **{state.plain(info.name)}** from this machine?")
            if st.button("Delete for good", key=f"remove_{info.name}", type="primary"):
                with state.shown_errors():
                    remove_bundle(info.name)
                st.rerun()


def show_import() -> None:
    """Take in a model that was exported elsewhere."""
    with st.expander("Import a model", icon=":material/download:"):
        upload = uploads.upload_box(
            "Choose a model (zip)", key="import_upload", accept=".zip", hint="A zip that Export made."
        )
        name = st.text_input("Name for it (empty: the name it has)", key="import_name")
        replace = st.checkbox("Replace a model of this name", key="import_replace")
        if st.button("Import", disabled=upload is None, type="primary") and upload is not None:
            with state.shown_errors(upload.path, upload.name), st.spinner("Checking the model"):
                info = import_bundle(upload.path, name=name.strip() or None, replace=replace)
            st.success(f"{state.plain(info.name)} is installed.")


st.title("Models")
st.markdown("What each model is for, how good it is, and what it does not know.")
show_import()
models = list_bundles()
if not models:
    st.info("No model is installed. Import one above.", icon=":material/info:")
for model in models:
    show_card(model)
