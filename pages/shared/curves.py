"""The live curves of a training, from the reports that its job keeps."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
import streamlit as st
from plotly.subplots import make_subplots

from genolm.cards import metric_name
from genolm.jobs import Job
from pages.shared.charts import BLUE, PALETTE, VERMILION

REFRESH_SECONDS = 3.0
Report = Mapping[str, Any]
_HEIGHT = 320
_PREFIX = "valid_"
_MEANING = (
    "Loss is how wrong the model is, 0 would be perfect. It falls on the rows that it learns from. On the "
    "validation rows, which it does not learn from, it falls as long as what is learned holds for other "
    "sequences; where it rises again the model begins to learn by heart, and training keeps the state before."
)


def show_curves(job: Job) -> None:
    """Draw what a training has reported so far and renew it while it runs; nothing for other jobs."""
    if job.is_over:
        _draw(job)
    else:
        _draw_often(job)


@st.fragment(run_every=REFRESH_SECONDS)
def _draw_often(job: Job) -> None:
    _draw(job)


def _draw(job: Job) -> None:
    stages = by_stage(job.history())
    if not stages:
        return
    names = list(stages)
    chosen: str = names[-1]
    if len(names) > 1:
        label = "Stage of the training"
        chosen = st.pills(label, names, default=chosen, key=f"stage_{job.id}_{len(names)}") or chosen
    reports = stages[chosen]
    alt = "Loss over the steps of the training; its last values stand below."
    st.plotly_chart(curves_figure(reports), key=f"curves_{job.id}", alt=alt)
    st.caption(last_words(reports))
    with st.expander("How to read this"):
        st.markdown(_MEANING)


def by_stage(history: Sequence[Report]) -> dict[str, list[Report]]:
    """Return the reports that have a loss, under the name of the stage that they belong to."""
    found: dict[str, list[Report]] = {}
    for report in history:
        if math.isfinite(report["values"].get("loss", math.nan)):
            head = re.split(r", ?", report["stage"])[0]
            found.setdefault("training" if re.match(r"phase \d", head) else head, []).append(report)
    return found


def curves_figure(reports: Sequence[Report]) -> go.Figure:
    """Draw loss, and beside it what else was measured on the validation rows, over the steps."""
    metrics = [key for key in validated(reports) if key != "valid_loss"]
    titles = ["Loss", *(metric_name(key.removeprefix(_PREFIX)) for key in metrics)]
    figure = make_subplots(rows=1, cols=len(titles), subplot_titles=titles, horizontal_spacing=0.09)
    steps = [report["done"] for report in reports]
    losses = [report["values"]["loss"] for report in reports]
    line = {"color": BLUE, "width": 2}
    name = "rows that it learns from"
    figure.add_scatter(x=steps, y=losses, mode="lines", line=line, name=name, row=1, col=1)
    style = {"mode": "lines+markers", "line": {"color": VERMILION, "width": 2}, "marker": {"size": 7}}
    x, y = measured(reports, "valid_loss")
    if x:
        figure.add_scatter(x=x, y=y, name="validation rows", row=1, col=1, **style)
    for column, key in enumerate(metrics, start=2):
        x, y = measured(reports, key)
        style["line"] = {"color": PALETTE[2], "width": 2}
        figure.add_scatter(x=x, y=y, name=titles[column - 1], showlegend=False, row=1, col=column, **style)
    figure.update_xaxes(title="step", automargin=True, matches="x")
    figure.update_yaxes(automargin=True)
    legend = {"orientation": "h", "y": -0.25, "yanchor": "top", "x": 0}
    margin = {"l": 10, "r": 10, "t": 36, "b": 10}
    figure.update_layout(height=_HEIGHT, margin=margin, legend=legend, uirevision="same")
    return figure


def validated(reports: Sequence[Report]) -> list[str]:
    """Return the names of the values that were measured on validation rows, the loss first."""
    names = {key for report in reports for key in report["values"] if key.startswith(_PREFIX)}
    return sorted(names, key=lambda key: (key != "valid_loss", key))


def measured(reports: Sequence[Report], key: str) -> tuple[list[int], list[float]]:
    """Return step and value wherever a validation value was measured anew."""
    steps: list[int] = []
    values: list[float] = []
    before = None
    for report in reports:
        now = {name: value for name, value in report["values"].items() if name.startswith(_PREFIX)}
        if now != before and math.isfinite(now.get(key, math.nan)):
            steps.append(report["done"])
            values.append(now[key])
        before = now
    return steps, values


def last_words(reports: Sequence[Report]) -> str:
    """Return the last values in words, with the best validation loss so far."""
    last = reports[-1]
    words = f"Step {last['done']:,} of {last['total']:,}: loss {last['values']['loss']:.3f}."
    steps, values = measured(reports, "valid_loss")
    if values:
        best = min(range(len(values)), key=values.__getitem__)
        words += f" Best loss on the validation rows {values[best]:.3f}, at step {steps[best]:,}"
        words += "." if best == len(values) - 1 else f"; now {values[-1]:.3f}."
    return words
