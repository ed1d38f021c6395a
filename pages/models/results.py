"""Results: every result of the original beside ours, with intervals, baselines and what a strict split leaves."""

import streamlit as st

from genolm.results import open_results
from pages.shared import glossary, html_tables, results_view, state

st.title("Results")
st.markdown(
    "What the original work published, done again, and what of it holds when no relative of a test sequence was "
    "learned from. All figures and sentences here are made from the result files of the recipes."
)
rows, faults = open_results()
for fault in faults:
    st.error(state.plain(fault), icon=":material/error:")
if not rows:
    st.info(
        "There are no results yet. A recipe of genolm's source writes one: `genolm recipe list` names them, "
        "`genolm recipe run NAME --data DATA` runs one.",
        icon=":material/info:",
    )
    st.stop()
st.html(html_tables.STYLE + results_view.NUMBERS)
glossary.show()
chosen = results_view.CHOICE.ask({row.name: row.title for row in rows})
if chosen is None:
    results_view.show_overview(rows)
else:
    results_view.show_row(next(row for row in rows if row.name == chosen))
