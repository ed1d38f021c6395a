"""A scanned contig at a glance, as a circle or as a line: plain data in, plotly figure out."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from genolm.figure_parts import GREEN, PURPLE, label_of, lettered
from genolm.tracks import Track
from pages.shared.charts import STRAND_COLOURS, STRAND_WORDS, frame, rgba, threshold_line

CIRCLE_BINS = 360
_RINGS = {"+": (1.0, 1), "-": (0.92, -1)}
_RING_HEIGHT = 0.34
_RING_THICKNESS = 0.035
_GENE_RINGS = {"+": 0.50, "-": 0.44}
_GENE_HEIGHT = 0.05
_GENES_DRAWN = 400


class Ring(NamedTuple):
    """One strand of a circle in equal bins: the highest score and the number of calls of each."""

    heights: np.ndarray
    calls: np.ndarray


def ring_of(track: Track, calls: pd.DataFrame, length: int, bins: int = CIRCLE_BINS) -> Ring:
    """Return highest score and number of calls of ``bins`` equal pieces of a contig, NaN without data."""
    edges = np.arange(bins + 1, dtype=np.int64) * length // bins
    owners = np.clip(np.searchsorted(edges, track.sites, side="right") - 1, 0, bins - 1)
    heights = np.full(bins, np.nan)
    np.fmax.at(heights, owners, track.values)
    own = calls[(calls["contig"] == track.contig) & (calls["strand"] == track.strand)]
    places = np.clip(np.searchsorted(edges, own["summit"] % length, side="right") - 1, 0, bins - 1)
    return Ring(heights, np.bincount(places, minlength=bins))


def circle(
    rings: Mapping[str, Ring],
    genes: pd.DataFrame | None,
    *,
    length: int,
    threshold: float,
    title: str,
) -> go.Figure:
    """Draw a circular contig: calls and highest scores of both strands, and the genes inside.

    Parameters
    ----------
    rings : mapping of strand to Ring
    genes : DataFrame or None
        Those of this contig: ``start, end, strand, name``; of more than 400 the covered share is drawn.
    length : int
    threshold : float
        Bins whose highest score reaches it are drawn in full colour.
    title : str
        For the middle of the circle.
    """
    figure = go.Figure()
    most = max((int(ring.calls.max(initial=0)) for ring in rings.values()), default=0) or 1
    for strand, ring in rings.items():
        figure.add_trace(_call_bars(strand, ring, length, most))
        figure.add_trace(_score_bars(strand, ring, length, threshold))
    for trace in _gene_rings(genes, length):
        figure.add_trace(trace)
    ticks = _ticks(length)
    figure.update_layout(
        polar={
            "bgcolor": "rgba(0,0,0,0)",
            "hole": 0.0,
            "radialaxis": {"visible": False, "range": [0, 1.4]},
            "angularaxis": {
                "direction": "clockwise",
                "rotation": 90,
                "tickvals": [360 * tick / length for tick in ticks],
                "ticktext": [_bases(tick) for tick in ticks],
                "showgrid": False,
            },
        },
        annotations=[
            {"text": title, "showarrow": False, "x": 0.5, "y": 0.5, "xref": "paper", "yref": "paper"}
        ],
    )
    figure = frame(figure, 640, bargap=0)
    return figure.update_layout(margin={"t": 70, "b": 40, "l": 44, "r": 44}, legend={"y": 1.08})


def _angles(length: int, bins: int) -> tuple[np.ndarray, float]:
    width = 360 / bins
    return (np.arange(bins) + 0.5) * width, width


def _call_bars(strand: str, ring: Ring, length: int, most: int) -> go.Barpolar:
    base, sign = _RINGS[strand]
    angles, width = _angles(length, len(ring.calls))
    heights = _RING_HEIGHT * ring.calls / most
    places = _bin_words(length, len(ring.calls))
    return go.Barpolar(
        theta=angles,
        r=heights,
        base=base if sign > 0 else base - heights,
        width=width,
        marker={"color": STRAND_COLOURS[strand], "line": {"width": 0}},
        name=f"calls, {STRAND_WORDS[strand]} (highest bar: {most})",
        customdata=np.stack([places, ring.calls], axis=1),
        hovertemplate="%{customdata[0]}: %{customdata[1]} calls<extra></extra>",
    )


def _score_bars(strand: str, ring: Ring, length: int, threshold: float) -> go.Barpolar:
    """Draw the highest score of each bin as a thin ring, pale below the threshold, nothing in gaps."""
    base, sign = _RINGS[strand]
    angles, width = _angles(length, len(ring.heights))
    values = np.nan_to_num(ring.heights, nan=0.0)
    shades = np.where(np.isnan(ring.heights), 0.0, np.where(values >= threshold, 0.35 + 0.6 * values, 0.18))
    colours = [rgba(STRAND_COLOURS[strand], round(float(shade), 2)) for shade in shades]
    return go.Barpolar(
        theta=angles,
        r=np.full(len(angles), _RING_THICKNESS),
        base=base - _RING_THICKNESS - 0.003 if sign > 0 else base + 0.003,
        width=width,
        marker={"color": colours, "line": {"width": 0}},
        name=f"highest score, {STRAND_WORDS[strand]}",
        showlegend=False,
        customdata=np.stack([_bin_words(length, len(angles)), _scores(ring.heights)], axis=1),
        hovertemplate="%{customdata[0]}: highest score %{customdata[1]}<extra></extra>",
    )


def _scores(values: np.ndarray) -> np.ndarray:
    return np.array(["none" if np.isnan(value) else f"{value:.3f}" for value in values], dtype=object)


def _bin_words(length: int, bins: int) -> np.ndarray:
    edges = np.arange(bins + 1, dtype=np.int64) * length // bins
    pairs = zip(edges[:-1] + 1, edges[1:], strict=True)
    return np.array([f"{left:,} to {right:,}" for left, right in pairs], dtype=object)


def _gene_rings(genes: pd.DataFrame | None, length: int) -> list[go.Barpolar]:
    if genes is None or genes.empty:
        return []
    drawn = []
    for strand, colour in (("+", GREEN), ("-", PURPLE)):
        own = genes[genes["strand"] == strand]
        if own.empty:
            continue
        common = {"name": f"genes, {STRAND_WORDS[strand]}"}
        if len(genes) <= _GENES_DRAWN:
            drawn.append(_single_genes(own, strand, colour, length, common))
        else:
            drawn.append(_gene_shares(own, strand, colour, length, common))
    return drawn


def _single_genes(
    genes: pd.DataFrame, strand: str, colour: str, length: int, common: dict[str, Any]
) -> go.Barpolar:
    middles = (genes["start"] + genes["end"]) / 2 % length
    return go.Barpolar(
        theta=360 * middles / length,
        width=360 * (genes["end"] - genes["start"]) / length,
        r=np.full(len(genes), _GENE_HEIGHT),
        base=_GENE_RINGS[strand],
        marker={"color": colour, "line": {"width": 0}},
        customdata=[lettered(name) for name in genes["name"]],
        hovertemplate="%{customdata}<extra></extra>",
        **common,
    )


def _gene_shares(
    genes: pd.DataFrame, strand: str, colour: str, length: int, common: dict[str, Any]
) -> go.Barpolar:
    shares = covered_shares(genes, length, CIRCLE_BINS)
    angles, width = _angles(length, CIRCLE_BINS)
    return go.Barpolar(
        theta=angles,
        width=width,
        r=_GENE_HEIGHT * shares,
        base=_GENE_RINGS[strand],
        marker={"color": colour, "line": {"width": 0}},
        customdata=np.stack([_bin_words(length, CIRCLE_BINS), np.round(100 * shares)], axis=1),
        hovertemplate="%{customdata[0]}: %{customdata[1]:.0f} % in genes<extra></extra>",
        **common,
    )


def covered_shares(table: pd.DataFrame, length: int, bins: int) -> np.ndarray:
    """Return the share of each of ``bins`` equal pieces of a contig that features cover."""
    change = np.zeros(length + 1, dtype=np.int32)
    for start, end in zip(table["start"].to_numpy(), table["end"].to_numpy(), strict=True):
        for left, right in ((start, min(end, length)), (0, end - length)):
            if left < right:
                change[left] += 1
                change[right] -= 1
    inside = np.cumsum(change[:-1]) > 0
    edges = np.arange(bins + 1, dtype=np.int64) * length // bins
    counts = np.add.reduceat(np.append(inside, False), edges[:-1])
    return counts / np.maximum(np.diff(edges), 1)


def _ticks(length: int) -> list[int]:
    """Return some ten round positions along a contig, the origin first."""
    step = 10 ** int(np.floor(np.log10(max(length, 10) / 4)))
    step = next(step * factor for factor in (1, 2, 5, 10) if length / (step * factor) <= 12)
    return list(range(0, length - step // 2, step))


def _bases(position: int) -> str:
    if position >= 1_000_000:
        return f"{position / 1e6:g} Mb"
    return f"{position / 1e3:g} kb" if position >= 1_000 else str(position)


def line(
    curves: Mapping[str, tuple[np.ndarray, np.ndarray]],
    calls: pd.DataFrame,
    *,
    threshold: float,
    class_name: str,
    view: tuple[int, int],
    sites: Sequence[tuple[str, int, str]] = (),
) -> go.Figure:
    """Draw the score along a contig, one panel per strand, with the calls as marks; box-select to zoom.

    Parameters
    ----------
    curves : mapping of strand to (positions, scores)
        Positions 0-based; already reduced to at most 4,000 points, each the highest score of its bin.
    calls : DataFrame
        The calls to mark: columns ``strand``, ``summit``, ``score``.
    threshold : float
    class_name : str
    view : (int, int)
        The stretch to show, 0-based and half-open.
    sites : sequence of (name, 0-based position, strand)
        Known sites to mark.
    """
    strands = [strand for strand in ("+", "-") if strand in curves]
    figure = make_subplots(rows=len(strands), cols=1, shared_xaxes=True, vertical_spacing=0.06)
    for row, strand in enumerate(strands, start=1):
        positions, scores = curves[strand]
        colour = STRAND_COLOURS[strand]
        figure.add_trace(_curve(positions, scores, strand, colour), row=row, col=1)
        figure.add_trace(_marks(calls[calls["strand"] == strand], strand, colour), row=row, col=1)
        own = [site for site in sites if site[2] == strand]
        if own:
            figure.add_trace(_known(own), row=row, col=1)
        threshold_line(figure, threshold, vertical=False, text="", row=row, col=1)
        title = f"{STRAND_WORDS[strand]}<br>p({label_of(class_name, 16)})"
        figure.update_yaxes(title=title, range=[-0.03, 1.16], row=row, col=1)
    figure.update_xaxes(title="position (bp, first base = 1)", row=len(strands), col=1)
    figure.update_xaxes(exponentformat="none", separatethousands=True, range=[view[0] + 0.5, view[1] + 0.5])
    return frame(figure, 150 + 170 * len(strands), dragmode="select", selectdirection="h")


def _curve(positions: np.ndarray, scores: np.ndarray, strand: str, colour: str) -> go.Scatter:
    return go.Scatter(
        x=np.asarray(positions) + 1,
        y=np.round(scores, 4),
        mode="lines+markers",
        marker={"size": 1, "color": colour},
        line={"color": colour, "width": 1},
        connectgaps=False,
        name=f"highest score, {STRAND_WORDS[strand]}",
        hovertemplate="%{x:,} bp: %{y:.3f}<extra></extra>",
    )


def _marks(calls: pd.DataFrame, strand: str, colour: str) -> go.Scatter:
    return go.Scatter(
        x=calls["summit"] + 1,
        y=np.full(len(calls), 1.04),
        mode="markers",
        marker={"symbol": "triangle-down", "size": 7, "color": colour},
        customdata=calls["score"],
        name=f"calls, {STRAND_WORDS[strand]}",
        hovertemplate="call with summit at %{x:,} bp, score %{customdata:.3f}<extra></extra>",
    )


def _known(sites: Sequence[tuple[str, int, str]]) -> go.Scatter:
    return go.Scatter(
        x=[position + 1 for _, position, _ in sites],
        y=np.full(len(sites), 1.11),
        mode="markers",
        marker={"symbol": "star", "size": 9, "color": PURPLE},
        customdata=[lettered(name) for name, _, _ in sites],
        name="known sites",
        hovertemplate="%{customdata}, known site at %{x:,} bp<extra></extra>",
    )
