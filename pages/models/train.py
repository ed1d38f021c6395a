"""Train: a table of labelled sequences to a model of one's own, from the data to its report."""

import streamlit as st

from pages.shared import code_view, inputs, running, train_form, train_view
from pages.shared.table_view import check_table, choose_table, load_table, show_table_report

PAGE = "pages/models/train.py"

st.title("Train on your own table")
st.markdown(
    "From sequences with labels to a model of your own that works on every page. Nothing needs to be known "
    "about machine learning: what is not said is chosen by the size of your data, and explained."
)
if job := running.current("finetune"):
    train_view.show(job)
    st.stop()
st.header("1 Your data", divider="gray")
choice = choose_table("train")
if choice is None:
    running.recent("finetune", PAGE)
    st.stop()
table = load_table(choice)
wish = train_form.choose_task(train_form.begin(choice), table)
report_place = st.container()
st.header("2 How it will be judged", divider="gray")
wish, division = train_form.choose_split(wish, table.frame.columns)
random = st.toggle("Show what a random split would have shown", key="train_random", **inputs.KEPT)
with report_place:
    settings = wish.settings
    checked = check_table(
        choice, division, task=settings.task, positive=settings.positive, random_split=random
    )
    show_table_report(checked.report)
st.header("3 What it starts from", divider="gray")
wish = train_form.choose_base(wish)
wish, problem = train_form.choose_name(wish)
wish = train_form.choose_effort(wish)
st.header("4 Start", divider="gray")
preparation = train_form.show_plan(wish, checked)
arguments = wish.arguments()
ready = preparation is not None and not problem and checked.report.can_train
if not checked.report.can_train:
    st.error("The report above names what stands in the way.", icon=":material/block:")
if words := train_form.waiting_words():
    st.caption(words)
if st.button("Start the training", type="primary", icon=":material/play_arrow:", disabled=not ready):
    running.start("finetune", arguments, title=f"{choice.name}: {wish.name}")
code_view.show_code(arguments, key="train")
running.recent("finetune", PAGE)
