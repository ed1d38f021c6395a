"""What all figures of the package share: colours, error bars, names that fit, layout.

Colours are distinct for every kind of colour vision (after Okabe and Ito) and reach a contrast of 3:1 on
light and dark backgrounds; text and grid are left to the theme.
"""

import html
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from genolm.errors import SettingsError

if TYPE_CHECKING:
    import plotly.graph_objects as go

BLUE, VERMILION, GREEN, PURPLE = "#0c7bc0", "#d55e00", "#009270", "#b8629c"
GREY = "#80868b"
PALETTE = (BLUE, VERMILION, GREEN, PURPLE, "#9a7d0a", "#5b6abf", "#a0522d", "#5f8a00")
MARKS = ("circle", "diamond-open", "square-open", "triangle-up-open", "cross-open", "x-open")
TOOLS = 30
"""Pixels above a figure that are the buttons' alone."""
_LINE_SPACING = 1.3

Data = Mapping[str, Any]


def new_figure() -> "go.Figure":
    """Return an empty figure; plotly is loaded here, at the first one."""
    try:
        import plotly.graph_objects as go
    except ImportError as error:
        raise SettingsError("Figures need plotly, which is not installed; pip install plotly.") from error
    return go.Figure()


def interval_bars(estimates: Sequence[Data], colour: str) -> dict[str, Any]:
    """Return plotly's error bars of estimates (``value, low, high``); one without an interval has none."""
    reach: dict[str, list[float]] = {"high": [], "low": []}
    for item in estimates:
        for end, kept in reach.items():
            known = item["value"] is not None and item.get(end) is not None
            way = (item[end] - item["value"]) * (1 if end == "high" else -1) if known else 0.0
            kept.append(max(0.0, way))
    return {
        "type": "data",
        "symmetric": False,
        "array": reach["high"],
        "arrayminus": reach["low"],
        "color": colour,
        "thickness": 1.5,
    }


def short(name: str, room: int = 28) -> str:
    """Return a name that fits: the middle of a long one is left out."""
    if len(name) <= room:
        return name
    keep = (room - 1) // 2
    return f"{name[:keep]}…{name[-keep:]}"


def lettered(name: str) -> str:
    """Return a name for a figure letter by letter: plotly would take ``<b>`` in it for bold."""
    return html.escape(name, quote=False)


def label_of(name: str, room: int = 28) -> str:
    """Return a name for a figure, short and letter by letter."""
    return lettered(short(name, room))


def wrapped(name: str, room: int, width: int) -> str:
    """Return a name over lines of ``width`` letters; the middle of one longer than ``room`` is left out."""
    return "<br>".join(map(lettered, textwrap.wrap(short(name, room), width)))


def mark_threshold(figure: "go.Figure", value: float, text: str) -> None:
    """Draw a threshold from top to bottom; the legend says what it is, for a text would hide what is drawn."""
    line = {"dash": "dash", "width": 1.5, "color": GREY}
    figure.add_vline(x=value, line=line)
    figure.add_scatter(x=[None], y=[None], mode="lines", line=line, name=text, hoverinfo="skip")


def laid_out(figure: "go.Figure", height: int, **layout: Any) -> "go.Figure":
    """Give a figure its height, margins and a legend above it, and above all a free strip for the tools."""
    # The legend's first line is empty: the buttons of a page lie there, however many lines the names take.
    free = {"text": " ", "side": "top", "font": {"size": TOOLS / _LINE_SPACING}}
    legend = {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "title": free}
    margin = {"l": 10, "r": 10, "t": TOOLS + 18, "b": 10}
    figure.update_layout(height=height, margin=margin, legend=legend, hovermode="closest", **layout)
    figure.update_xaxes(automargin=True)
    return figure.update_yaxes(automargin=True)
