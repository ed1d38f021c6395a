"""Plain data in, plotly figure out; no streamlit here, so that a notebook can draw the same figures.

Colours are those of :mod:`genolm.figure_parts`; text and grid are left to the theme.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from genolm.figure_parts import (
    BLUE,
    GREY,
    PURPLE,
    VERMILION,
    interval_bars,
    label_of,
    laid_out,
    lettered,
    wrapped,
)
from pages.shared.scores import OWN

STRAND_COLOURS = {"+": BLUE, "-": VERMILION}
STRAND_WORDS = {"+": "plus strand", "-": "minus strand"}
DIVERGING = [[0.0, "#b35900"], [0.5, "rgba(128,134,139,0.12)"], [1.0, BLUE]]
MANY_RECORDS = 40
LETTERS_UP_TO = 160
LETTERS = "#767b80"
_LETTER_SIZE, _LETTER_ROOM = 11, 0.07
# Of a name beside a line of a figure: letters in all, letters on a line; pixels of a line of the figure and of text.
_NAME_ROOM, _NAME_WIDTH, _LINE, _TEXT_LINE = 88, 26, 30, 15


def rgba(colour: str, alpha: float) -> str:
    """Return ``#rrggbb`` with an opacity, in CSS."""
    red, green, blue = (int(colour[index : index + 2], 16) for index in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha})"


def frame(figure: go.Figure, height: int, **layout: Any) -> go.Figure:
    """Give a figure the height, margins and legend that all figures have."""
    return laid_out(figure, height, **layout)


def threshold_line(figure: go.Figure, value: float, *, vertical: bool, text: str, **where: Any) -> None:
    """Draw the threshold of a model into a figure."""
    style = {"line": {"dash": "dash", "width": 1.5, "color": GREY}, "annotation_text": text, **where}
    if vertical:
        figure.add_vline(x=value, annotation_position="top", **style)
    else:
        figure.add_hline(y=value, annotation_position="top right", **style)


def score_dots(
    names: Sequence[str], scores: Sequence[float], *, threshold: float, class_name: str
) -> go.Figure:
    """Draw one probability per record as a dot on its own line, for up to some forty records."""
    values = np.asarray(scores, dtype=float)
    colours = [BLUE if value >= threshold else VERMILION for value in values]
    symbols = ["circle" if value >= threshold else "circle-open" for value in values]
    figure = go.Figure(
        go.Scatter(
            x=values,
            y=list(range(len(names))),
            mode="markers",
            marker={"color": colours, "symbol": symbols, "size": 11, "line": {"width": 2}},
            customdata=[lettered(name) for name in names],
            hovertemplate="%{customdata}<br>p = %{x:.3f}<extra></extra>",
        )
    )
    threshold_line(figure, threshold, vertical=True, text=f"threshold {threshold:.2f}")
    labels = [label_of(name) for name in names]
    figure.update_yaxes(tickvals=list(range(len(names))), ticktext=labels, title="record", zeroline=False)
    figure.update_yaxes(autorange="reversed")
    # In two lines: beside long names a narrow window has no room for one.
    figure.update_xaxes(title=f"calibrated probability<br>of {label_of(class_name)}", range=[-0.02, 1.02])
    return frame(figure, 140 + 24 * len(names), showlegend=False)


def score_histogram(scores: Sequence[float], *, threshold: float, class_name: str) -> go.Figure:
    """Draw how many records got which probability."""
    counts, edges = np.histogram(np.asarray(scores, dtype=float), bins=40, range=(0.0, 1.0))
    centres = (edges[:-1] + edges[1:]) / 2
    figure = go.Figure(
        go.Bar(
            x=centres,
            y=counts,
            width=edges[1] - edges[0],
            marker={"color": [BLUE if centre >= threshold else VERMILION for centre in centres]},
            hovertemplate="p about %{x:.2f}: %{y} records<extra></extra>",
        )
    )
    threshold_line(figure, threshold, vertical=True, text=f"threshold {threshold:.2f}")
    figure.update_xaxes(title=f"calibrated probability of {label_of(class_name)}", range=[0, 1])
    figure.update_yaxes(title="number of records")
    return frame(figure, 320, showlegend=False, bargap=0.05)


def class_heatmap(names: Sequence[str], classes: Sequence[str], values: np.ndarray) -> go.Figure:
    """Draw the probability of every class for up to some forty records."""
    figure = go.Figure(
        go.Heatmap(
            z=values,
            x=[label_of(name, 20) for name in classes],
            y=list(range(len(names))),
            zmin=0,
            zmax=1,
            colorscale="Cividis",
            colorbar={"title": "probability"},
            customdata=[[lettered(name)] * len(classes) for name in names],
            hovertemplate="%{customdata}<br>%{x}: %{z:.3f}<extra></extra>",
        )
    )
    figure.update_yaxes(
        tickvals=list(range(len(names))),
        ticktext=[label_of(name) for name in names],
        autorange="reversed",
        title="record",
    )
    figure.update_xaxes(title="class")
    return frame(figure, 140 + 24 * len(names))


def class_counts(predicted: Sequence[Any]) -> go.Figure:
    """Draw how many records got which class."""
    counts = pd.Series([str(value) or "none" for value in predicted]).value_counts().head(60)
    figure = go.Figure(
        go.Bar(
            x=counts.to_numpy(),
            y=list(range(len(counts))),
            orientation="h",
            marker={"color": BLUE},
            customdata=[lettered(name) for name in counts.index],
            hovertemplate="%{customdata}: %{x} records<extra></extra>",
        )
    )
    figure.update_yaxes(
        tickvals=list(range(len(counts))),
        ticktext=[label_of(name) for name in counts.index],
        autorange="reversed",
        title="predicted class",
    )
    figure.update_xaxes(title="number of records")
    return frame(figure, 130 + 24 * len(counts), showlegend=False)


def value_histogram(values: Sequence[float], *, quantity: str) -> go.Figure:
    """Draw the spread of a predicted quantity."""
    figure = go.Figure(go.Histogram(x=np.asarray(values, dtype=float), nbinsx=40, marker={"color": BLUE}))
    figure.update_xaxes(title=f"predicted {label_of(quantity)}")
    figure.update_yaxes(title="number of records")
    return frame(figure, 320, showlegend=False)


def length_grid(per_length: Mapping[int, np.ndarray], bases: int) -> pd.DataFrame:
    """Return the loss per length of replaced stretch (rows) at its middle base (columns), NaN outside."""
    grid = pd.DataFrame(np.nan, index=sorted(per_length), columns=range(bases))
    for length, values in per_length.items():
        grid.loc[length, length // 2 : length // 2 + len(values) - 1] = np.asarray(values, dtype=float)
    return grid


def saliency_figure(
    table: pd.DataFrame,
    *,
    class_name: str,
    mark: int | None = None,
    grid: pd.DataFrame | None = None,
    offset: int | None = None,
) -> go.Figure:
    """Draw the saliency track with its band, and under it one heat strip per length of replaced stretch.

    Parameters
    ----------
    table : DataFrame
        Columns ``position`` (0-based), ``base``, ``score``, ``low``, ``high`` of one record and strand.
    class_name : str
        The class that the score speaks for.
    mark : int, optional
        0-based position of a site to mark, such as the TSS.
    grid : DataFrame, optional
        See :func:`length_grid`; the columns are the positions of ``table``.
    offset : int, optional
        How many bases of the record lie before the sequence where it is a piece of it: the axis is in the record.
    """
    rows, first = 1 if grid is None else 2, 1 + (offset or 0)
    figure = make_subplots(
        rows=rows, cols=1, shared_xaxes=True, row_heights=[0.62, 0.38][:rows], vertical_spacing=0.12
    )
    x = table["position"].to_numpy() + first
    _band(figure, x, table)
    figure.add_hline(y=0, line={"width": 1, "color": GREY}, row=1, col=1)
    figure.update_yaxes(title=f"loss of log-odds for<br>{label_of(class_name)}", row=1, col=1)
    if grid is not None:
        figure.add_trace(_strips(grid, first), row=2, col=1)
        figure.update_yaxes(title="bases<br>replaced", type="category", row=2, col=1)
    if mark is not None:
        _mark_site(figure, mark + first)
    of = "sequence" if offset is None else "record"
    figure.update_xaxes(title=f"position in the {of} (bp, first base = 1)", row=rows, col=1)
    if len(table) <= LETTERS_UP_TO:
        _letters(figure, x, list(table["base"]), row=rows)
    return frame(figure, 560 if rows == 2 else 400)


def _letters(figure: go.Figure, x: np.ndarray, bases: list[str], *, row: int) -> None:
    """Write the bases under the track, as texts of bars that are not seen; numbers stay on the lowest axis.

    The browser leaves out what does not fit into its bar. A bar is two bases wide and keeps 3 px free at each
    side: letters of 11 px stand where a base has some 6.5 px, and zooming shows those that were left out.
    """
    bottom, top = figure.layout.yaxis.domain
    if row == 1:
        bottom = _LETTER_ROOM
        figure.update_layout(yaxis={"domain": [bottom, top]}, xaxis={"anchor": "y9"})
    place = {"domain": [bottom - _LETTER_ROOM, bottom - 0.01], "anchor": "x", "range": [0, 1]}
    figure.update_layout(
        yaxis9={**place, "visible": False, "fixedrange": True},
        uniformtext={"minsize": _LETTER_SIZE, "mode": "hide"},
    )
    figure.add_trace(
        go.Bar(
            x=x,
            y=np.ones(len(x)),
            width=2,
            text=bases,
            textposition="inside",
            insidetextanchor="middle",
            textangle=0,
            textfont={"family": "monospace", "size": _LETTER_SIZE, "color": LETTERS},
            marker={"color": "rgba(0,0,0,0)", "line": {"width": 0}},
            cliponaxis=False,
            hoverinfo="skip",
            showlegend=False,
            name="bases",
            xaxis="x",
            yaxis="y9",
        )
    )


def _mark_site(figure: go.Figure, place: int) -> None:
    figure.add_vline(x=place, line={"width": 2, "dash": "dot", "color": PURPLE})
    figure.add_annotation(
        x=place,
        y=1,
        yref="y domain",
        text="marked site",
        showarrow=False,
        xanchor="left",
        yanchor="bottom",
        font={"color": PURPLE},
    )


def band(x: np.ndarray, low: np.ndarray, high: np.ndarray, *, colour: str, **more: Any) -> go.Scatter:
    """Return the filled stretch between two curves; ``more`` goes to the trace."""
    return go.Scatter(
        x=np.concatenate([x, x[::-1]]),
        y=np.concatenate([high, low[::-1]]),
        fill="toself",
        mode="lines",
        line={"width": 0},
        fillcolor=colour,
        hoverinfo="skip",
        **more,
    )


def _band(figure: go.Figure, x: np.ndarray, table: pd.DataFrame) -> None:
    low, high, name = table["low"].to_numpy(), table["high"].to_numpy(), "95 % band over the random fills"
    figure.add_trace(band(x, low, high, colour=rgba(BLUE, 0.28), name=name), row=1, col=1)
    figure.add_trace(
        go.Scatter(
            x=x,
            y=table["score"],
            mode="lines",
            line={"color": BLUE, "width": 1.8},
            customdata=table["base"],
            name="mean",
            hovertemplate="%{customdata} at %{x}: %{y:.3f}<extra></extra>",
        ),
        row=1,
        col=1,
    )


def _strips(grid: pd.DataFrame, first: int) -> go.Heatmap:
    values = grid.to_numpy()
    top = float(np.nanmax(np.abs(values), initial=0.0)) or 1.0
    return go.Heatmap(
        z=values,
        x=np.asarray(grid.columns) + first,
        y=[str(length) for length in grid.index],
        zmin=-top,
        zmax=top,
        colorscale=DIVERGING,
        colorbar={"title": "loss", "len": 0.42, "y": 0.0, "yanchor": "bottom"},
        hovertemplate="%{y} bases around %{x} replaced: %{z:.3f}<extra></extra>",
    )


def metric_intervals(rows: pd.DataFrame, *, metric: str) -> go.Figure:
    """Draw one metric of a model and of its baselines with 95 % intervals.

    Parameters
    ----------
    rows : DataFrame
        Columns ``who`` ("this model, test" or a baseline's name), ``value``, ``low``, ``high``. With ``split`` and
        ``rows``, what a split is called, those of one split stand together under its heading.
    metric : str
        What is drawn, for the axis.
    """
    own = rows["who"].str.startswith(OWN)
    places, ticks, labels = _interval_lines(rows)
    figure = go.Figure()
    for kind, name, colour, symbol in ((own, "this model", BLUE, "circle"), (~own, "baseline", GREY, "diamond")):
        if kind.any():
            figure.add_trace(_interval_marks(rows[kind], places[kind], name, colour, symbol))
    tallest = max((label.count("<br>") + 1 for label in labels), default=1)
    figure.update_yaxes(tickvals=ticks, ticktext=labels, range=[max(ticks, default=0) + 0.6, -0.6], zeroline=False)
    # In two lines: beside long names a narrow window has no room for one.
    figure.update_xaxes(title=f"{metric} (mark)<br>with 95 % interval (bar)")
    height = 110 + max(_LINE, _TEXT_LINE * tallest + 12) * (max(ticks, default=0) + 1)
    return frame(figure, round(height), showlegend=bool(own.any() and not own.all()))


def _interval_lines(rows: pd.DataFrame) -> tuple[np.ndarray, list[float], list[str]]:
    """Return where each row is drawn, and the places and texts of all labels, headings of splits among them."""
    places, ticks, labels, heading = [], [], [], None
    for row in rows.itertuples():
        name = row.who
        if "rows" in rows:
            name = OWN.removesuffix(", ") if name.startswith(OWN) else name.removesuffix(f", {row.split}")
            if row.rows != heading:
                heading = row.rows
                ticks.append(ticks[-1] + 1 if ticks else 0.0)
                labels.append(f"<b>{wrapped(heading, _NAME_ROOM, _NAME_WIDTH)}</b>")
        ticks.append(ticks[-1] + 1 if ticks else 0.0)
        labels.append(wrapped(name, _NAME_ROOM, _NAME_WIDTH))
        places.append(ticks[-1])
    return np.asarray(places), ticks, labels


def _interval_marks(rows: pd.DataFrame, places: np.ndarray, name: str, colour: str, symbol: str) -> go.Scatter:
    of = rows["rows"] if "rows" in rows else [""] * len(rows)
    named = [f"{row.who} ({words})" if words else row.who for row, words in zip(rows.itertuples(), of, strict=True)]
    return go.Scatter(
        x=rows["value"],
        y=places,
        mode="markers",
        name=name,
        marker={"color": colour, "size": 11, "symbol": symbol},
        error_x=interval_bars(rows.to_dict("records"), GREY),
        customdata=[
            f"{who}: {row.value:.3f}" + (f" ({row.low:.3f} to {row.high:.3f})" if row.low < row.high else "")
            for who, row in zip(named, rows.itertuples(), strict=True)
        ],
        hovertemplate="%{customdata}<extra></extra>",
    )
