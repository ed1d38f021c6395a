"""Pretrain: genomes without labels to a language model, from the files to its bits per base."""

import streamlit as st

from pages.shared import code_view, pretrain_form, pretrain_view, running

PAGE = "pages/models/pretrain.py"

st.title("Make a language model")
st.markdown("From genomes without any labels to a model that classifiers of your own can start from.")
if job := running.current("pretrain"):
    pretrain_view.show(job)
    st.stop()
pretrain_form.explain()
st.header("1 Your sequences", divider="gray")
sources = pretrain_form.choose_files()
wish = pretrain_form.overview(sources)
st.header("2 How it will be judged", divider="gray")
wish = pretrain_form.choose_what_is_held_out(wish)
st.header("3 What it starts from", divider="gray")
wish = pretrain_form.choose_start(wish)
st.header("4 Start", divider="gray")
wish, plan = pretrain_form.choose_time(wish)
wish, problem = pretrain_form.choose_name(wish)
arguments = wish.arguments()
ready = plan is not None and not problem
if st.button("Start the training", type="primary", icon=":material/play_arrow:", disabled=not ready):
    files = wish.sources[0].name if len(wish.sources) == 1 else f"{len(wish.sources)} files"
    running.start("pretrain", arguments, title=f"{files}: language model {wish.name}")
names = {str(source.path): source.name for source in wish.sources}
code_view.show_code(arguments, paths={**names, ".": wish.name}, key="pretrain")
running.recent("pretrain", PAGE)
