"""A finished comparison of two models on a page: verdict, figure, table, downloads."""

import json
from pathlib import Path

import pandas as pd
import streamlit as st

from genolm import report_figures
from genolm.bootstrap import drawn_words
from genolm.cards import LESS_IS_BETTER, format_difference, format_estimate, metric_name, p_words
from genolm.comparison import Comparison
from pages.shared import state


def show(path: Path) -> None:
    """Show a finished comparison: verdict, figure, table, agreement, downloads."""
    with state.shown_errors():
        found = Comparison.from_dict(json.loads(path.read_text(encoding="utf-8")))
    st.header("Verdict", divider="gray")
    st.markdown(f"**{state.plain(found.verdict)}**")
    if words := drawn_words(found.drawn, found.rows):
        st.caption(words)
    drawn = "groups" if found.drawn and found.drawn != found.rows else "rows"
    for warning in found.warnings:
        st.warning(state.plain(warning), icon=":material/warning:")
    data, names = found.as_dict(), (found.a["name"], found.b["name"])
    figure = report_figures.difference_figure(data["metrics"], names)
    alt = "Differences with 95 % intervals; the table has the same numbers."
    st.plotly_chart(figure, key="compare_figure", alt=alt)
    rows = [
        [
            metric_name(key) + (" (lower is better)" if key in LESS_IS_BETTER else ""),
            format_estimate(item["a"]),
            format_estimate(item["b"]),
            format_difference(item["difference"]),
            p_words(item["p"]),
        ]
        for key, item in data["metrics"].items()
    ]
    columns = ["score", f"A: {names[0]}", f"B: {names[1]}", "A minus B", "p (two-sided)"]
    wide = {"score": st.column_config.TextColumn(width=270)}
    st.dataframe(pd.DataFrame(rows, columns=columns), hide_index=True, column_config=wide, alt="Scores of both models")
    if agreed := found.agreement:
        st.markdown(
            state.plain(
                f"Both right on {agreed['both']:,} rows, only {names[0]} on {agreed['only_a']:,}, only "
                f"{names[1]} on {agreed['only_b']:,}, neither on {agreed['neither']:,}."
            )
        )
    st.caption(
        f"The same {drawn} are drawn with replacement {found.n_boot:,} times for both models. "
        "Decide beforehand "
        "by which score you judge: of several scores one may differ by chance."
    )
    with st.container(horizontal=True):
        icon = ":material/download:"
        st.download_button("Download JSON", path.read_bytes(), path.name, "application/json", icon=icon)
        table = found.frame().to_csv(index=False)
        st.download_button("Download CSV", table, "comparison.csv", "text/csv", icon=icon)
