"""The report on a labelled table, shown on a page."""

import csv
import io
from collections.abc import Sequence

import pandas as pd
import streamlit as st

from genolm.cards import metric_name
from genolm.shortcuts import interval_words
from genolm.table_report import TableReport
from genolm.tables import RefusedRow
from pages.shared import html_tables, inputs, state, table_charts
from pages.shared.scores import meaning

SPLIT_WORDS = {
    "given": "As the column split says",
    "cluster": "By similarity (near-duplicates stay together)",
    "group": "By the column group",
    "random": "At random",
}
_REFUSED_SHOWN, _REFUSED_TALL = 200, 6


def show_refused(refused: Sequence[RefusedRow], *, key: str) -> None:
    """Show rows that could not be used, with number and reason, and offer all of them as CSV."""
    rows = [(str(item.row), item.reason, item.text) for item in refused]
    header = ("row", "why it cannot be used", "text of the row")
    table = html_tables.plain_table(header, rows[:_REFUSED_SHOWN], label="Rows that cannot be used, and why")
    with st.container(height=360 if len(rows) > _REFUSED_TALL else "content", key=f"{key}_refused"):
        st.html(html_tables.STYLE + table)
    if len(rows) > _REFUSED_SHOWN:
        st.caption(f"The first {_REFUSED_SHOWN:,} of {len(rows):,}; the download has all.")
    text = io.StringIO()
    csv.writer(text).writerows([("row", "reason", "text"), *rows])
    st.download_button(
        "Download these rows",
        text.getvalue().encode(),
        "refused_rows.csv",
        "text/csv",
        key=f"{key}_refused_file",
        icon=":material/download:",
    )


def show_table_report(report: TableReport, *, key: str = "table_report") -> None:
    """Show the report on a table: counts, warnings, classes, short cuts, division, refused rows."""
    _show_counts(report)
    _show_warnings(report)
    _show_classes(report, key)
    if report.shortcuts:
        _show_shortcuts(report, key)
    _show_split(report)
    if report.refused:
        with st.expander(f"{len(report.refused):,} rows that cannot be used"):
            show_refused(report.refused, key=key)


def _show_counts(report: TableReport) -> None:
    lengths = [item.length for item in report.classes if item.length]
    columns = st.columns(5)
    columns[0].metric("Rows", f"{report.rows:,}", help="Rows that can be used.")
    columns[1].metric("Left out", f"{len(report.refused):,}", help="Rows that cannot be used.")
    what = {"multilabel": "Labels", "regression": "Values"}.get(report.task, "Classes")
    values = "numbers" if report.task == "regression" else f"{len(report.classes):,}"
    columns[2].metric(what, values)
    low, high = min(item[0] for item in lengths), max(item[-1] for item in lengths)
    span = f"{low:,.0f}" if low == high else f"{low:,.0f}–{high:,.0f}"
    columns[3].metric("Length (bp)", span)
    repeated = report.copies.similar
    columns[4].metric(
        "Near-duplicates", f"{repeated / report.rows:.0%}", help="Rows with a similar sequence elsewhere."
    )


def _show_warnings(report: TableReport) -> None:
    for item in report.warnings:
        if item.level == "stop":
            st.error(state.plain(item.sentence), icon=":material/block:")
        elif item.level == "warn":
            st.warning(state.plain(item.sentence), icon=":material/warning:")
    notes = [state.plain(item.sentence) for item in report.warnings if item.level == "note"]
    if notes:
        st.info("\n".join(f"- {note}" for note in notes))


def _show_classes(report: TableReport, key: str) -> None:
    st.subheader("What is in the table")
    if report.task != "regression":
        figure = table_charts.class_bars(report.classes)
        st.plotly_chart(figure, key=f"{key}_classes", alt="Rows of each class in each part")
        if len(report.classes) > table_charts.MOST_CLASSES:
            st.caption(f"The largest {table_charts.MOST_CLASSES} of {len(report.classes):,} classes are drawn.")
    spans = [(item.length[0], item.length[-1]) for item in report.classes if item.length]
    one_length = len({end for span in spans for end in span}) == 1
    left, right = st.columns(2) if not one_length else (None, st.container())
    if left is None:
        st.caption(f"Every sequence has {spans[0][0]:,.0f} bp.")
    else:
        figure = table_charts.distribution(report.length_histogram, title="length (bp)")
        left.plotly_chart(figure, key=f"{key}_length", alt="Lengths of the sequences of each class")
    figure = table_charts.distribution(report.gc_histogram, title="GC content (%)", percent=True)
    right.plotly_chart(figure, key=f"{key}_gc", alt="GC content of the sequences of each class")
    if report.value_histogram is not None:
        figure = table_charts.distribution(report.value_histogram, title="value")
        st.plotly_chart(figure, key=f"{key}_values", alt="The values to be predicted")


def _show_shortcuts(report: TableReport, key: str) -> None:
    st.subheader("What can be told without a model")
    figure = table_charts.shortcut_intervals(report.shortcuts, report.random_words)
    st.plotly_chart(figure, key=f"{key}_shortcuts", alt="Scores of the short cuts with 95 % intervals")
    shown = [(item.name, interval_words(item.main)) for item in report.shortcuts]
    key_of = report.shortcuts[0].metric
    metric = metric_name(key_of)
    where = "test" if report.split.counts["test"] else "validation"
    words = "; ".join(f"{name} {figure}" for name, figure in shown)
    st.caption(
        state.plain(f"{metric} ({meaning(key_of)}) on the {where} rows with 95 % interval: {words}.")
        + " Length or GC content that tell the classes apart usually mean that the classes were collected in "
        "different ways; a model may then learn that difference and nothing else."
    )


def _show_split(report: TableReport) -> None:
    st.subheader("How it is divided")
    split = report.split
    rows = [
        (words, split.counts[part], split.counts[part] / report.rows)
        for part, words in table_charts.PART_WORDS.items()
    ]
    table = pd.DataFrame(rows, columns=["part", "rows", "share"])
    table["share"] = [f"{share:.1%}" for share in table["share"]]
    st.dataframe(table, hide_index=True, alt="Rows of each part", width="content")
    words = f"{SPLIT_WORDS[split.method]}. {report.copies.clusters:,} clusters of similar sequences"
    words += f", the largest with {inputs.count_words(report.copies.largest, 'row')}."
    if split.leaked is not None:
        words += f" Test rows with a near-duplicate in training: {split.leaked:,}"
        if split.random_leaked is not None:
            words += f"; a random split would have {split.random_leaked:,} ({split.random_share:.0%})"
        words += "."
    st.caption(state.plain(words))
