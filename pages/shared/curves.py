"""The live curves of a training, from the reports that its job keeps."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go
import streamlit as st
from plotly.subplots import make_subplots

from genolm.cards import metric_name
from genolm.figure_parts import BLUE, PALETTE, TOOLS, VERMILION
from genolm.jobs import Job
from genolm.metrics import BINARY_METRICS

REFRESH_SECONDS = 3.0
Report = Mapping[str, Any]
_HEIGHT = 350
_PREFIX = "valid_"
_UP_TO_ONE = {*BINARY_METRICS, "r2", "pearson", "spearman"}
_MARKOV = "markov_bits_per_base"
_MEANING = (
    "Loss is how wrong the model is, 0 would be perfect. It falls on the {learned} that it learns from. On the "
    "{judged}, which it does not learn from, it falls as long as what is learned holds for other "
    "sequences; where it rises again the model begins to learn by heart, and training keeps the state before."
)
_MARKOV_MEANING = (
    " Bits per base say how unsure it is of the next base: 2 where all four are as likely. The dashed line is a "
    "Markov model on the same held-out sequence, which knows only how often short words occur; below the line the "
    "language model knows more than that."
)


@dataclass(frozen=True)
class Wording:
    """What a training learns from and what it is judged on, in words."""

    learned: str = "rows"
    judged: str = "validation rows"

    @classmethod
    def of(cls, kind: str) -> "Wording":
        """Return the words for a kind of job: a language model reads no rows."""
        return cls("sequence", "held-out sequence") if kind == "pretrain" else cls()


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
    wording = Wording.of(job.kind)
    st.plotly_chart(curves_figure(reports, wording), key=f"curves_{job.id}", alt=alt)
    st.caption(last_words(reports, wording))
    with st.expander("How to read this"):
        more = _MARKOV_MEANING if _markov(reports) is not None else ""
        st.markdown(_MEANING.format(learned=wording.learned, judged=wording.judged) + more)


def by_stage(history: Sequence[Report]) -> dict[str, list[Report]]:
    """Return the reports that have a loss, under the name of the stage that they belong to."""
    found: dict[str, list[Report]] = {}
    for report in history:
        if math.isfinite(report["values"].get("loss", math.nan)):
            head = re.split(r", ?", report["stage"])[0]
            found.setdefault("training" if re.match(r"phase \d", head) else head, []).append(report)
    return found


def curves_figure(reports: Sequence[Report], wording: Wording = Wording()) -> go.Figure:
    """Draw loss, and beside it what else was measured on what is held out, over the steps."""
    metrics = [key for key in validated(reports) if key != "valid_loss"]
    titles = ["Loss", *(metric_name(key.removeprefix(_PREFIX)) for key in metrics)]
    figure = make_subplots(rows=1, cols=len(titles), subplot_titles=titles, horizontal_spacing=0.09)
    steps = [report["done"] for report in reports]
    losses = [report["values"]["loss"] for report in reports]
    line = {"color": BLUE, "width": 2}
    name = f"{wording.learned} that it learns from"
    figure.add_scatter(x=steps, y=losses, mode="lines", line=line, name=name, row=1, col=1)
    style = {"mode": "lines+markers", "line": {"color": VERMILION, "width": 2}, "marker": {"size": 7}}
    x, y = measured(reports, "valid_loss")
    if x:
        figure.add_scatter(x=x, y=y, name=wording.judged, row=1, col=1, **style)
    for column, key in enumerate(metrics, start=2):
        x, y = measured(reports, key)
        if key.removeprefix(_PREFIX) in _UP_TO_ONE:
            figure.update_yaxes(autorangeoptions={"maxallowed": 1.03}, row=1, col=column)
        figure.add_scatter(x=x, y=y, name=titles[column - 1], showlegend=False, row=1, col=column, **style)
        if key == f"{_PREFIX}bits_per_base" and (level := _markov(reports)) is not None:
            dashed = {"color": PALETTE[2], "width": 2, "dash": "dash"}
            ends, levels = [steps[0], steps[-1]], [level, level]
            options = {"mode": "lines", "line": dashed, "name": "Markov model, held-out sequence"}
            figure.add_scatter(x=ends, y=levels, row=1, col=column, **options)
    figure.update_xaxes(title="step", automargin=True, matches="x")
    figure.update_yaxes(automargin=True)
    legend = {"orientation": "h", "y": -0.25, "yanchor": "top", "x": 0}
    margin = {"l": 10, "r": 10, "t": TOOLS + 36, "b": 10}
    figure.update_layout(height=_HEIGHT, margin=margin, legend=legend, uirevision="same")
    return figure


def _markov(reports: Sequence[Report]) -> float | None:
    """Return the Markov model's bits per base, None where none was made."""
    level = reports[-1]["values"].get(_MARKOV, math.nan)
    return level if math.isfinite(level) else None


def validated(reports: Sequence[Report]) -> list[str]:
    """Return the names of the values that were measured on what is held out, the loss first."""
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


def last_words(reports: Sequence[Report], wording: Wording = Wording()) -> str:
    """Return the last values in words, with the best validation loss so far."""
    last = reports[-1]
    words = f"Step {last['done']:,} of {last['total']:,}: loss {last['values']['loss']:.3f}."
    steps, values = measured(reports, "valid_loss")
    if values:
        best = min(range(len(values)), key=values.__getitem__)
        words += f" Best loss on the {wording.judged} {values[best]:.3f}, at step {steps[best]:,}"
        words += "." if best == len(values) - 1 else f"; now {values[-1]:.3f}."
    return words
