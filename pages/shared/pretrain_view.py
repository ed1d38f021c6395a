"""A pre-training on a page: while it runs, when it was stopped, and how good the language model became."""

from collections.abc import Mapping
from typing import Any

import streamlit as st

from genolm.cards import format_estimate
from genolm.jobs import Job, get_job
from genolm.model_report import is_model_of
from genolm.registry import BundleInfo, list_bundles
from pages.shared import charts, job_view, live, running, scores, state
from pages.shared.score_metric import show_estimate

HELD_OUT, METRIC, SAVED = "held-out", "bits_per_base", "bits_saved_over_markov"
_SCALE = (
    "Bits per base: how much of the next base remains a riddle. Pure chance between A, C, G and T is 2; "
    "lower is better. Most of a genome cannot be guessed, so that even good models stay near 1.9 on bacteria, "
    "and differences of a few hundredths are real progress."
)


def show(job: Job) -> None:
    """Show a pre-training in whatever state it is."""
    job_view.show_training(
        job, again="New language model", running_part=_show_running, result_part=_show_result
    )


def _show_running(job: Job) -> None:
    live.show_live(job)
    _baseline_so_far(job.id)
    st.caption("It runs on by itself: you may reload or close this page and come back to its address.")


@st.fragment(run_every=5.0)
def _baseline_so_far(identity: str) -> None:
    """Say what the Markov model reached, once it is known."""
    report = get_job(identity).progress
    markov = report and report.values.get("markov_bits_per_base")
    if markov:
        st.markdown(
            f"A Markov model needs **{markov:.3f} bits per base** on the held-out sequence. When the curve "
            "of bits per base falls below that, the model has learned more than short words."
        )


def _show_result(job: Job) -> None:
    name = running.option(job, "--name")
    info = next((item for item in list_bundles() if item.name == name), None)
    if info is None or info.error or not is_model_of(job.result, info.path):
        st.warning(f"The model {state.plain(name)} was removed or replaced since.", icon=":material/delete:")
        return
    words = f"**{state.plain(name)}** is ready to fine-tune classifiers from."
    st.success(words, icon=":material/check_circle:")
    _show_scores(info)
    with st.container(horizontal=True):
        st.page_link(
            "pages/models/train.py",
            label="Fine-tune a classifier from it",
            icon=":material/model_training:",
            query_params={"base": name},
        )
        st.page_link(
            "pages/models/models.py",
            label="Its card, and export",
            icon=":material/inventory_2:",
            query_params={"model": name},
        )
    with st.expander("How the training went"):
        live.show_live(job)


def _show_scores(info: BundleInfo) -> None:
    own = info.card["metrics"][HELD_OUT]
    left, right = st.columns([2, 3], vertical_alignment="center")
    show_estimate("Bits per base, held-out sequence", own[METRIC], place=left)
    left.markdown(verdict(info.card))
    table = scores.compared(info.card, METRIC)
    figure = charts.metric_intervals(table, metric="Bits per base, lower is better")
    alt = "Bits per base of the new model and of what it is compared with."
    right.plotly_chart(figure, key=f"bits_{info.name}", alt=alt)
    st.caption(_SCALE)
    for sentence in info.card["limits"]:
        st.caption(state.plain(sentence))


def verdict(card: Mapping[str, Any]) -> str:
    """Return in plain words whether the model is better than a Markov model, and than it was before."""
    own = card["metrics"][HELD_OUT]
    saved, by = own[SAVED], format_estimate(own[SAVED])
    rivals = {name: item[METRIC]["value"] for name, item in card["baselines"].items()}
    markov = next(name for name in rivals if name.startswith("Markov"))
    if saved["low"] > 0:
        words = (
            f"**Better than short words can explain.** It needs {by} bits per base less than the {markov}, "
            "more than chance would give. It is worth fine-tuning from."
        )
    elif saved["high"] < 0:
        less = {key: -saved[key] for key in saved}
        worse = format_estimate({"value": less["value"], "low": less["high"], "high": less["low"]})
        words = (
            f"**Not good enough yet.** The {markov} needs {worse} bits per base less. Give it more sequence "
            "or more time, or go on from an existing model."
        )
    else:
        words = (
            f"**About as good as a Markov model.** The difference to the {markov} is {by} bits per base, "
            "within what chance gives. More sequence or more time may help."
        )
    before = [(name.partition(",")[0], value) for name, value in rivals.items() if name != markov]
    for name, value in before:
        change = value - own[METRIC]["value"]
        words += f" Before this training {name} needed {value:.3f}: reading your sequences "
        words += f"saved {change:.3f}." if change >= 0.0005 else "did not help."
    return state.plain(words).replace(r"\*\*", "**")
