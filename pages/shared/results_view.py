"""The results on a page: an overview of all rows, and all about one of them."""

import re
from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from genolm import results_overview, results_text
from genolm.cards import metric_name
from genolm.result_row import Figure, RowResult
from genolm.results_reading import capital, protocol_words
from pages.shared import html_tables, results_charts, scores, state
from pages.shared.choice import Choice

CHOICE = Choice("result", query="row")
NUMBERS = "<style>.js-plotly-plot .textpoint text { fill: currentColor !important; }</style>"
"""Style of the numbers of published lines, which have the colour of all text."""
_FIGURE_HEIGHT = 420
_LINK = re.compile(r"https?://[^\s<>\"]+")


def show_overview(rows: Sequence[RowResult]) -> None:
    """Show how all rows stand, and a table for each section with ways to the rows themselves."""
    header, cells = results_overview.tally_cells(rows)
    if cells:
        st.markdown("**How often ours is better, over all lines of the tables below**")
        _table(header, cells, label="How often ours is better")
    with st.expander("How to read this", icon=":material/help:"):
        st.markdown("\n\n".join(map(state.plain, results_text.how_to_read(rows))))
    for section, lines in results_overview.overview(rows).items():
        st.header(state.plain(section), divider="gray")
        st.html(html_tables.overview_table(lines, label=f"Results: {section}"))
        with st.container(horizontal=True):
            for name, title in {line.row.name: line.row.title for line in lines}.items():
                icon = ":material/arrow_forward:"
                st.button(state.plain(title), key=f"open_{name}", icon=icon, on_click=CHOICE.turn_to, args=(name,))
    frames = [row.frame().assign(row=row.name) for row in rows]
    with st.container(horizontal=True):
        icon = ":material/download:"
        table = pd.concat(frames, ignore_index=True).to_csv(index=False)
        st.download_button("All figures as CSV", table, "results.csv", "text/csv", icon=icon)
        text = results_text.document(rows)
        st.download_button("All results as Markdown", text, "results.md", "text/markdown", icon=icon)


def show_row(row: RowResult) -> None:
    """Show all of one row: its reading, its figures, where they come from and how to get them again."""
    st.header(state.plain(row.title), divider="gray")
    st.markdown(f"**{state.plain(row.question)}**")
    if row.missing and row.scored:
        st.warning("Not all of this row was run yet; what is missing stands below.", icon=":material/pending:")
    st.markdown(results_text.reading(row, escaped=state.plain))
    if row.notes:
        notes = "\n".join(f"- {state.plain(note)}" for note in row.notes)
        st.markdown(f"**Notes on the data and on what is published**\n{notes}")
    parts = {
        "Scores": (_scores, row.scored or row.published),
        "Figures": (_figures, row.figures),
        "Data": (_data, row.protocols or row.sources),
        "Methods": (_methods, row.methods),
        "Do it again": (_again, True),
    }
    shown = {name: show for name, (show, there) in parts.items() if there}
    for tab, show in zip(st.tabs(list(shown)), shown.values(), strict=True):
        with tab:
            show(row)


def _scores(row: RowResult) -> None:
    """Show one score of all methods as a figure, then all scores as a table."""
    protocols = [key for key in row.protocols if row.scores.get(key)]
    if protocols:
        protocol = _pick(row, "Protocol", protocols, row.scored[0])
        metric = _pick(row, "Score", results_text.shown_metrics(row, protocol) or [row.metric], row.metric)
        figure = results_charts.methods_figure(row, protocol, metric)
        alt = f"{metric_name(metric)} of all methods with 95 % intervals; the table has the same numbers."
        st.plotly_chart(figure, key=f"methods_{row.name}", alt=alt)
        if words := scores.meaning(metric):
            st.caption(state.plain(f"{metric_name(metric)}: {words}."))
        _table(*results_text.score_cells(row, protocol), label="Scores")
        if any(len(item.seeds) > 1 for item in row.scores[protocol].values()):
            with st.expander("Each training"):
                _table(*results_text.seed_cells(row, protocol), label="Each training")
    if row.gaps:
        with st.expander("Differences, in pairs on the same test rows"):
            _table(*results_text.gap_cells(row), label="Differences")
    places = [f"- {state.plain(f'{item.name} ({item.kind}): {item.source}')}" for item in row.published if item.source]
    if places:
        st.markdown("**Where the published figures stand**\n" + "\n".join(places))


def _pick(row: RowResult, label: str, options: Sequence[str], first: str) -> str:
    """Let the user choose a protocol or a score; of one there is nothing to choose."""
    if len(options) < 2:
        return options[0]
    called = metric_name if label == "Score" else lambda key: capital(protocol_words(row, key))
    return st.segmented_control(
        label,
        options,
        default=first if first in options else options[0],
        required=True,
        format_func=lambda key: state.plain(called(key)),
        key=f"{label.lower()}_{row.name}",
    )


def _figures(row: RowResult) -> None:
    for item in row.figures:
        st.subheader(state.plain(item.title or item.name), anchor=False)
        if (figure := plotly_figure(item)) is None:
            st.warning(f"The figure {state.plain(item.name)} cannot be drawn; run its recipe again.")
            continue
        st.plotly_chart(figure, key=f"figure_{row.name}_{item.name}", alt=item.caption or item.title or item.name)
        st.caption(state.plain(item.caption))


def plotly_figure(item: Figure) -> go.Figure | None:
    """Return a stored figure, None for one that plotly does not know; colours are left to the theme."""
    try:
        figure = go.Figure(item.plotly)
    except (ValueError, TypeError):
        return None
    if figure.layout.height is None:
        figure.update_layout(height=_FIGURE_HEIGHT)
    return figure.update_layout(template=None)


def _data(row: RowResult) -> None:
    """Show the sources, how many rows each part has, and how the tables were made."""
    if row.protocols:
        header, cells = results_text.part_cells(row)
        st.markdown("**Rows of each part**")
        _table(header[:-1], [line[:-1] for line in cells], label="Rows of each part")
    if row.sources:
        st.markdown("**Sources**")
        for item in row.sources:
            url = f"<{item.url}>" if _LINK.fullmatch(item.url) else state.plain(item.url)
            more = f" {state.plain(item.get)}" if item.get else ""
            st.markdown(
                f"- {state.plain(item.file)}, licence: {state.plain(item.licence or 'not known')}. "
                f"From {url}.{more}  \n  SHA-256 `{item.sha256 or '–'}`"
            )
    for key, item in row.protocols.items():
        facts = results_text.record_cells(row, key)
        if facts or item.table_sha256:
            with st.expander(state.plain(f"How the table was made: {item.title}")):
                hashed = [("SHA-256 of the table", item.table_sha256)] if item.table_sha256 else []
                lines = (f"- {state.plain(what)}: {state.plain(value)}" for what, value in [*facts, *hashed])
                st.markdown("\n".join(lines))


def _methods(row: RowResult) -> None:
    _table(*results_text.method_cells(row), label="Methods")
    st.caption(state.plain(results_text.machine_words(row)))


def _again(row: RowResult) -> None:
    """Show the command that makes the row, and offer its numbers."""
    st.markdown("With the source of genolm, and the files under **Data** in a folder of yours:")
    st.code(results_text.command(row), language="bash", wrap_lines=True)
    st.caption("A run that is cut off goes on where it was. The folder takes the place of DATA.")
    with st.container(horizontal=True):
        icon = ":material/download:"
        content = row.path.read_bytes()
        st.download_button("Download JSON", content, f"{row.name}.json", "application/json", icon=icon)
        table = row.frame().to_csv(index=False)
        st.download_button("Download CSV", table, f"{row.name}.csv", "text/csv", icon=icon)


def _table(header: Sequence[str], cells: Sequence[Sequence[str]], *, label: str) -> None:
    st.html(html_tables.plain_table(header, cells, label=label, named=True))
