"""Figures of the results page: plain data in, plotly figure out; no streamlit here."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import plotly.graph_objects as go

from genolm.cards import format_number, metric_name
from genolm.figure_parts import BLUE, GREEN, GREY, PURPLE, VERMILION, interval_bars, laid_out, short, wrapped
from genolm.result_row import OURS, PUBLISHED, STRICT, RowResult, is_naive
from genolm.results_overview import figure_words

# Lines in a colour and a pattern of their own, so that nobody has to tell colours apart.
_LINES = {"original": (VERMILION, "dash"), "best": (PURPLE, "dot"), "other": (GREY, "dashdot")}
_MARKS = {
    "ours": (BLUE, "circle"),
    "naive": (GREEN, "square"),
    "baseline": (GREY, "diamond"),
    "control": (GREY, "x"),
}
_NAMES = {"ours": "ours", "naive": "ours, without pre-training", "baseline": "simple baseline", "control": "control"}
_NAME_ROOM, _LINE_ROOM, _WIDTH, _LEGEND_WIDTH = 120, 48, 26, 44
_ROW, _TEXT_LINE = 46, 15
# Share of the axis that is left free at both ends, and within which the numbers of two lines would touch; height of a
# number in rows of the figure.
_BEYOND, _NEAR, _LEVEL = 0.04, 0.04, 0.4


def methods_figure(row: RowResult, protocol: str, metric: str) -> go.Figure:
    """Draw one figure of every method under a protocol, with intervals; published ones are lines."""
    shown = [key for key in row.scores[protocol] if _is_there(row, protocol, key, metric)]
    figure = go.Figure()
    for kind in _MARKS:
        _add_methods(figure, row, protocol, metric, {key: shown.index(key) for key in _of_kind(row, shown, kind)}, kind)
    _add_runs(figure, row, protocol, metric, shown)
    levels = _add_published(figure, list(_published(row, protocol, metric)), len(shown))
    labels = [wrapped(row.title_of(key), _NAME_ROOM, _WIDTH) for key in shown]
    tall = _TEXT_LINE * max((label.count("<br>") + 1 for label in labels), default=1)
    rows = max(_ROW, tall + 6) * len(shown)
    figure.update_yaxes(tickvals=list(range(len(shown))), ticktext=labels, zeroline=False)
    figure.update_yaxes(range=[len(shown) - 0.4, -0.6 - _LEVEL * levels])
    figure.update_xaxes(title=f"{metric_name(metric)} (mark)<br>with 95 % interval (bar)", range=_reach(figure))
    lines = sum(trace.name.count("<br>") + 1 for trace in figure.data)
    figure = laid_out(figure, 150 + rows + 22 * lines)
    # Under the figure a legend of long names has the whole width, and each has a line of its own.
    below = {"orientation": "v", "x": 0, "xanchor": "left", "y": -88 / (rows + 40), "yanchor": "top", "title": None}
    return figure.update_layout(legend=below)


def _add_published(figure: go.Figure, lines: list[tuple[str, float, tuple[str, str]]], rows: int) -> int:
    """Draw published figures as lines; of several each has a number at its top. Return how many rows of numbers."""
    values = [value for _, value, _ in lines]
    steps = _levels(values, _reach(figure, values)) if len(lines) > 1 else []
    for place, (name, value, (colour, dash)) in enumerate(lines):
        called = wrapped(f"{place + 1}: {name}" if steps else name, _NAME_ROOM, _LEGEND_WIDTH)
        # Points all along, for a line tells its name only where it has one.
        y = [-0.5 - _LEVEL * steps[place] if steps else -0.5, *np.arange(0, rows - 0.5, 0.25), rows - 0.5]
        figure.add_scatter(
            x=[value] * len(y),
            y=y,
            mode="lines+text" if steps else "lines",
            text=[f"<b>{place + 1}</b>", *[""] * (len(y) - 1)] if steps else None,
            textposition="top center",
            line={"color": colour, "width": 2, "dash": dash},
            name=called,
            hovertemplate=f"{called}<extra></extra>",
        )
    return max(steps) + 1 if steps else 0


def _levels(values: list[float], reach: list[float]) -> list[int]:
    """Return how high the number of each line stands, so that those of near lines do not cover each other."""
    room = (reach[1] - reach[0]) * _NEAR
    levels, last = [0] * len(values), {}
    for place in sorted(range(len(values)), key=values.__getitem__):
        level = next((at for at, value in last.items() if values[place] - value >= room), len(last))
        levels[place], last[level] = level, values[place]
    return levels


def _reach(figure: go.Figure, more: Sequence[float] = ()) -> list[float]:
    """Return from where to where the axis goes: a little beyond all marks, bars and lines."""
    ends = list(more)
    for trace in figure.data:
        for way, reach in ((1, trace.error_x.array), (-1, trace.error_x.arrayminus)):
            ends += [x + way * length for x, length in zip(trace.x, reach or [0] * len(trace.x), strict=True)]
    low, high = min(ends, default=0.0), max(ends, default=1.0)
    beyond = (high - low) * _BEYOND or _BEYOND
    return [low - beyond, high + beyond]


def _is_there(row: RowResult, protocol: str, method: str, metric: str) -> bool:
    found = row.estimate(protocol, method, metric)
    return found is not None and not math.isnan(found.value)


def _of_kind(row: RowResult, methods: list[str], kind: str) -> Iterator[str]:
    for key in methods:
        if kind == ("naive" if is_naive(key) else row.methods[key].kind if key in row.methods else OURS):
            yield key


def _add_methods(
    figure: go.Figure, row: RowResult, protocol: str, metric: str, places: dict[str, int], kind: str
) -> None:
    if not places:
        return
    found = [row.estimate(protocol, key, metric) for key in places]
    estimates = [item.as_dict() for item in found if item]
    colour, mark = _MARKS[kind]
    figure.add_scatter(
        x=[item["value"] for item in estimates],
        y=list(places.values()),
        error_x=interval_bars(estimates, colour),
        mode="markers",
        name=_NAMES[kind],
        marker={"color": colour, "size": 11, "symbol": mark},
        customdata=[f"{row.title_of(key)}: {figure_words(item)}" for key, item in zip(places, found, strict=True)],
        hovertemplate="%{customdata}<extra></extra>",
    )


def _add_runs(figure: go.Figure, row: RowResult, protocol: str, metric: str, shown: list[str]) -> None:
    """Draw what each of several seeds or draws reached, and their mean answer, beside the mean figure."""
    runs: list[tuple[float, float, str]] = []
    together: list[tuple[float, float, str]] = []
    for place, key in enumerate(shown):
        scores = row.scores[protocol][key]
        if len(scores.seeds) > 1:
            found = ((f"{row.repeat} {run.seed}", run.metrics.get(metric)) for run in scores.seeds)
            runs += [(item.value, place + 0.28, f"{name}: {figure_words(item)}") for name, item in found if item]
        if item := scores.together.get(metric):
            together.append((item.value, place + 0.28, f"{row.title_of(key)}, together: {figure_words(item)}"))
    marks = ((runs, f"each {row.repeat}", "line-ns-open"), (together, f"{row.repeat}s together", "star-open"))
    for points, name, symbol in marks:
        if points:
            x, y, words = zip(*points, strict=True)
            figure.add_scatter(
                x=x,
                y=y,
                mode="markers",
                name=name,
                marker={"color": BLUE, "size": 9, "symbol": symbol},
                customdata=words,
                hovertemplate="%{customdata}<extra></extra>",
            )


def _published(row: RowResult, protocol: str, metric: str) -> Iterator[tuple[str, float, tuple[str, str]]]:
    for item in row.published:
        # Under the strict protocol the published figures show what a looser one gives, and are named so.
        looser = protocol == STRICT and item.protocol == PUBLISHED
        if metric in item.scores and (item.protocol == protocol or looser):
            value, where = item.scores[metric], ", published protocol" if looser else ""
            words = f"{format_number(value)} {short(item.name, _LINE_ROOM)} ({item.kind}{where})"
            yield words, value, _LINES.get(item.kind, _LINES["other"])
