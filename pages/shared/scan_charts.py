"""Figures of a finished scan: plain data in, plotly figure out; no streamlit here."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from genolm.figure_parts import BLUE, GREEN, GREY, VERMILION, label_of, lettered, mark_threshold
from genolm.significance import scored_megabases
from genolm.tracks import Track
from pages.shared.charts import band, frame, rgba

CONTIGS_SHOWN = 30
AROUND_START = 500
_BINS = 50


def score_spread(
    called: Sequence[float],
    shuffled: Sequence[float] | None,
    *,
    megabases: float,
    shuffled_megabases: float,
    threshold: float,
) -> go.Figure:
    """Draw how many calls per Mb of strand have which score, beside those of the shuffled genome."""
    figure = go.Figure()
    edges = np.linspace(0.0, 1.0, _BINS + 1)
    series = [("this genome", called, megabases, BLUE)]
    if shuffled is not None:
        series.append(("shuffled genome", shuffled, shuffled_megabases, GREY))
    for name, scores, bases, colour in series:
        counts = np.histogram(np.asarray(scores, dtype=float), bins=edges)[0] / max(bases, 1e-9)
        figure.add_trace(
            go.Scatter(
                x=np.repeat(edges, 2)[1:-1],
                y=np.repeat(counts, 2),
                mode="lines",
                fill="tozeroy",
                fillcolor=rgba(colour, 0.25),
                line={"color": colour, "width": 2},
                name=name,
                hovertemplate="score about %{x:.2f}: %{y:,.1f} calls per Mb of strand<extra>" + name + "</extra>",
            )
        )
    mark_threshold(figure, threshold, f"threshold {threshold:.3f}")
    figure.update_xaxes(title="score of a call", range=[0, 1])
    figure.update_yaxes(title="calls per Mb of strand")
    return frame(figure, 380)


def calls_per_contig(calls: pd.DataFrame, lengths: Mapping[str, int], tracks: Sequence[Track]) -> go.Figure:
    """Draw the calls per contig as bars, the 30 longest and all others together; per Mb of strand with scores."""
    longest = sorted(lengths, key=lambda name: -lengths[name])[:CONTIGS_SHOWN]
    counts = calls["contig"].value_counts()
    scored = dict.fromkeys(lengths, 0.0)
    for track in tracks:
        scored[track.contig] += scored_megabases([track])
    rows = [(name, int(counts.get(name, 0)), lengths[name], scored[name]) for name in longest]
    rest = [name for name in lengths if name not in set(longest)]
    if rest:
        total = int(counts.reindex(rest).fillna(0).sum())
        sizes = (sum(of[name] for name in rest) for of in (lengths, scored))
        rows.append((f"{len(rest):,} others", total, *sizes))
    figure = go.Figure(
        go.Bar(
            y=list(range(len(rows))),
            x=[number for _, number, *_ in rows],
            orientation="h",
            marker={"color": [BLUE] * len(longest) + [GREY] * bool(rest)},
            customdata=[
                f"{lettered(name)}, {size:,} bp: "
                + (f"{number:,} calls, {number / most:,.0f} per Mb of strand" if most else "nothing was scored")
                for name, number, size, most in rows
            ],
            hovertemplate="%{customdata}<extra></extra>",
        )
    )
    labels = [label_of(name) for name, *_ in rows]
    figure.update_yaxes(tickvals=list(range(len(rows))), ticktext=labels, autorange="reversed")
    figure.update_xaxes(title="number of calls")
    return frame(figure, 130 + 24 * len(rows), showlegend=False)


class Around(NamedTuple):
    """Scores around gene starts: mean and 95 % band at each distance, and how many starts have any score near."""

    distance: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    starts: int


def around_starts(
    tracks: Sequence[Track],
    starts: pd.DataFrame,
    circular: Mapping[str, int],
    *,
    same_strand: bool = True,
    reach: int = AROUND_START,
) -> Around | None:
    """Return the mean score around gene starts, read along the gene's strand, with the band of the mean.

    Parameters
    ----------
    tracks : sequence of Track
    starts : DataFrame
        ``contig, position, strand``.
    circular : mapping of contig to length
    same_strand : bool
        The scores of the gene's own strand, or of the other one.
    reach : int
        Largest distance in bp.

    Returns
    -------
    Around or None
        None where no start lies near a score of its strand.
    """
    steps = max((track.step for track in tracks), default=1)
    distance = np.arange(-reach, reach + 1, steps)
    parts = []
    for track in tracks:
        wanted = track.strand if same_strand else {"+": "-", "-": "+"}.get(track.strand, ".")
        own = starts[(starts["contig"] == track.contig) & (starts["strand"] == wanted)]
        sign = -1 if wanted == "-" else 1
        places = own["position"].to_numpy()[:, None] + sign * distance[None, :]
        if track.contig in circular:
            places = places % circular[track.contig]
        if len(own):
            parts.append(track.values_at(places.ravel()).reshape(places.shape))
    values = np.concatenate([np.empty((0, len(distance))), *parts])
    values = values[~np.isnan(values).all(axis=1)]
    return _mean_and_band(values, distance) if len(values) else None


def _mean_and_band(values: np.ndarray, distance: np.ndarray) -> Around:
    there = (~np.isnan(values)).sum(axis=0)
    counts = np.maximum(there, 1)
    mean = np.where(there > 0, np.nansum(values, axis=0) / counts, np.nan)
    spread = np.sqrt(np.nansum((values - mean) ** 2, axis=0) / np.maximum(counts - 1, 1))
    margin = 1.96 * spread / np.sqrt(counts)
    return Around(distance, mean, mean - margin, mean + margin, len(values))


def around_figure(own: Around, other: Around | None, *, class_name: str) -> go.Figure:
    """Draw the mean score around gene starts: on the gene's strand with its band, and on the other one."""
    figure = go.Figure()
    for around, name, colour in ((own, "gene's strand", BLUE), (other, "other strand", GREY)):
        if around is None:
            continue
        tint = rgba(colour, 0.25)
        figure.add_trace(band(around.distance, around.low, around.high, colour=tint, showlegend=False))
        figure.add_trace(
            go.Scatter(
                x=around.distance,
                y=around.mean,
                mode="lines",
                line={"color": colour, "width": 2},
                name=name,
                hovertemplate="%{x} bp: %{y:.3f}<extra>" + name + "</extra>",
            )
        )
    figure.add_vline(x=0, line={"dash": "dot", "color": GREEN, "width": 2}, annotation_text="gene start")
    figure.update_xaxes(title="distance from the gene start (bp; before it is negative)")
    figure.update_yaxes(title=f"mean score for {label_of(class_name, 24)}", rangemode="tozero")
    return frame(figure, 380)


def precision_recall(table: pd.DataFrame, *, threshold: float, point: Mapping[str, float]) -> go.Figure:
    """Draw precision over recall, the present threshold marked.

    Parameters
    ----------
    table : DataFrame
        Columns ``threshold, calls, precision, recall, f1``.
    threshold : float
    point : mapping
        ``precision`` and ``recall`` at that threshold.
    """
    rows = table.dropna(subset=["precision"]).sort_values("threshold")
    figure = go.Figure(
        go.Scatter(
            x=rows["recall"],
            y=rows["precision"],
            mode="lines+markers",
            marker={"size": 5, "color": BLUE},
            line={"color": BLUE, "width": 2},
            customdata=rows[["threshold", "calls", "f1"]],
            hovertemplate="threshold %{customdata[0]:.3f}: %{customdata[1]:,} calls<br>recall %{x:.3f}, "
            "precision %{y:.3f}, F1 %{customdata[2]:.3f}<extra></extra>",
            name="over all thresholds",
        )
    )
    figure.add_trace(
        go.Scatter(
            x=[point["recall"]],
            y=[point["precision"]],
            mode="markers",
            marker={"size": 14, "symbol": "diamond", "color": VERMILION},
            name=f"at threshold {threshold:.3f}",
            hovertemplate="recall %{x:.3f}, precision %{y:.3f}<extra></extra>",
        )
    )
    figure.update_xaxes(title="recall: share of known sites that are found", range=[-0.02, 1.02])
    figure.update_yaxes(title="precision: share of calls at a known site", range=[-0.02, 1.02])
    return frame(figure, 420)
