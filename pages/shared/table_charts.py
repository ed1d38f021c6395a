"""Figures of a labelled table: plain data in, plotly figure out; no streamlit here."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from genolm.cards import metric_name
from genolm.figure_parts import BLUE, GREEN, PALETTE, VERMILION, laid_out
from genolm.shortcuts import ShortcutScore
from genolm.table_facts import ClassFacts, Histogram
from pages.shared import charts

PART_WORDS = {"train": "training", "valid": "validation", "test": "test"}
PART_COLOURS = {"train": BLUE, "valid": GREEN, "test": VERMILION}
MOST_CLASSES = 40
_DASHES = ("solid", "dash", "dot", "dashdot")


def class_bars(classes: Sequence[ClassFacts]) -> go.Figure:
    """Draw how many rows each class has in each part, the largest classes first, up to forty."""
    shown = sorted(classes, key=lambda item: -item.rows)[:MOST_CLASSES]
    figure = go.Figure()
    for part, words in PART_WORDS.items():
        figure.add_trace(
            go.Bar(
                x=[getattr(item, part) for item in shown],
                y=list(range(len(shown))),
                orientation="h",
                name=words,
                marker={"color": PART_COLOURS[part]},
                customdata=[charts.lettered(item.name) for item in shown],
                hovertemplate="%{customdata}: %{x:,} rows for " + words + "<extra></extra>",
            )
        )
    figure.update_yaxes(
        tickvals=list(range(len(shown))),
        ticktext=[charts.label_of(item.name) for item in shown],
        autorange="reversed",
    )
    figure.update_xaxes(title="rows", rangemode="tozero")
    return laid_out(figure, 130 + 28 * len(shown), barmode="stack", legend_traceorder="normal")


def distribution(histogram: Histogram, *, title: str, percent: bool = False) -> go.Figure:
    """Draw how a quantity is spread within each class: share of the class's rows per bin, as steps."""
    edges = np.asarray(histogram.edges) * (100 if percent else 1)
    figure = go.Figure()
    low, high = _used(histogram.counts)
    for index, (name, counts) in enumerate(histogram.counts.items()):
        shares = np.asarray(counts) / max(1, sum(counts))
        x, y = _steps(edges[low : high + 2], shares[low : high + 1])
        figure.add_trace(
            go.Scatter(
                x=x,
                y=y,
                mode="lines",
                name=charts.label_of(name),
                line={
                    "color": PALETTE[index % len(PALETTE)],
                    "width": 2,
                    "dash": _DASHES[index % len(_DASHES)],
                },
                customdata=np.repeat(np.asarray(counts)[low : high + 1], 2).tolist(),
                hovertemplate="%{meta[0]}<br>%{x:,.4g}: %{y:.1%} of its rows<extra></extra>",
                meta=[charts.lettered(name)],
            )
        )
    figure.update_xaxes(title=title, type="log" if histogram.log else "linear")
    figure.update_yaxes(title="share of rows", tickformat=".0%", rangemode="tozero")
    return laid_out(figure, 320, showlegend=len(histogram.counts) > 1)


def shortcut_intervals(scores: Sequence[ShortcutScore], random_words: ShortcutScore | None) -> go.Figure:
    """Draw what each short cut reaches, with 95 % intervals, beside what guessing gives."""
    table = shortcut_rows(scores, random_words)
    metric = scores[0].metric
    figure = charts.metric_intervals(table, metric=metric_name(metric))
    guess = 0.5 if metric == "auroc" else 0.0
    charts.threshold_line(figure, guess, vertical=True, text="guessing")
    known = table[["low", "high"]].to_numpy(dtype=float)
    lowest = min(guess, float(np.nanmin(known)) if np.isfinite(known).any() else guess)
    figure.update_xaxes(range=[lowest - 0.04, 1.02])
    return figure


def shortcut_rows(scores: Sequence[ShortcutScore], random_words: ShortcutScore | None) -> pd.DataFrame:
    """Return the main figure of each short cut: columns who, value, low, high; NaN where not defined."""
    named = [(_short(item), item) for item in scores]
    if random_words is not None:
        named.append((f"{_short(random_words)}, random split", random_words))
    rows = [
        (who, *(np.nan if item.main.get(key) is None else item.main[key] for key in ("value", "low", "high")))
        for who, item in named
    ]
    return pd.DataFrame(rows, columns=["who", "value", "low", "high"])


def _short(item: ShortcutScore) -> str:
    return {"length": "length alone", "gc": "GC content alone", "kmers": "short words"}[item.key]


def _used(counts: Mapping[str, Sequence[int]]) -> tuple[int, int]:
    """Return the first and last bin that holds anything, with one empty bin on either side."""
    total = np.sum([np.asarray(item) for item in counts.values()], axis=0)
    filled = np.flatnonzero(total)
    if not len(filled):
        return 0, len(total) - 1
    return max(0, int(filled[0]) - 1), min(len(total) - 1, int(filled[-1]) + 1)


def _steps(edges: np.ndarray, values: np.ndarray) -> tuple[list[float], list[float]]:
    x = np.repeat(edges, 2)
    y = np.concatenate([[0.0], np.repeat(values, 2), [0.0]])
    return x.tolist(), y.tolist()
