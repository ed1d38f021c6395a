"""Models: what is installed, each with a card of its scores beside its baselines; import and export."""

import streamlit as st

from genolm.registry import import_bundle, list_bundles
from pages.shared import code_view, glossary, html_tables, models_view, state, uploads


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
            models_view.CHOICE.turn_to(info.name)


st.title("Models")
st.markdown("What each model is for, how good it is, and what it does not know.")
st.html(html_tables.STYLE)
show_import()
glossary.show()
models = list_bundles()
if not models:
    st.info("No model is installed. Import one above.", icon=":material/info:")
shown = models_view.show_models(models)
code_view.show_model_code(shown or "NAME")
