"""A training on a page: while it runs, when it was stopped, and what came of it."""

from pathlib import Path

import streamlit as st

from genolm import workspace
from genolm.cards import format_estimate, metric_name
from genolm.jobs import Job
from genolm.model_report import is_model_of, pack_report, read_report
from genolm.registry import BundleInfo, list_bundles
from pages.shared import card, downloads, job_view, live, running, scores, state
from pages.shared.report_view import show_report


def show(job: Job) -> None:
    """Show a training in whatever state it is."""
    job_view.show_training(job, again="New training", running_part=_show_running, result_part=_show_result)


def _show_running(job: Job) -> None:
    live.show_live(job)
    st.markdown("**Private link**")
    st.caption(
        "The training runs on by itself: you may reload or close this page, and come back by this address "
        "from any browser that reaches this server. Where others use the server too, only who has the link "
        "finds the training."
    )
    st.code(running.address(job), language=None, wrap_lines=True)


def _show_result(job: Job) -> None:
    report = job.result / (running.option(job, "--report") or "report")
    info = _made_model(job, report)
    if info is not None:
        _show_model(info, report)
    if report.is_dir():
        if info is not None:
            _offer_zip(job, info, report)
        st.header("How good it is", divider="gray")
        show_report(report, key=job.id)
    with st.expander("How the training went"):
        live.show_live(job)
    if info is not None:
        with st.expander("The model's card"):
            card.show_card(info)


def _made_model(job: Job, report: Path) -> BundleInfo | None:
    """Return the model that a training made; say why where it is not there or cannot be used."""
    name = running.option(job, "--name")
    info = next((item for item in list_bundles() if item.name == name and not item.builtin), None)
    if info is None:
        problem = f"The model {name} was removed since; its report is still here."
    elif info.error:
        problem = f"The model {name} cannot be used: {info.error}"
    elif not is_model_of(report, info.path):
        problem = (
            f"The model {name} of this training was replaced since, or removed: what has the name now has other "
            "weights. All that is shown here is of the old one."
        )
    else:
        return info
    st.warning(state.plain(problem), icon=":material/warning:")
    return None


def _show_model(info: BundleInfo, report: Path) -> None:
    words = f"**{state.plain(info.name)}** is ready, on every page that uses models and in every command."
    if doubt := _doubt(info, report):
        st.warning(f"{words} {state.plain(doubt)}", icon=":material/warning:")
    else:
        st.success(words, icon=":material/check_circle:")
    card.show_uses(info)


def _doubt(info: BundleInfo, report: Path) -> str:
    """Return why a model should not be relied on, "" where its test rows speak for it."""
    metric, split = scores.headline_metric(info.card), scores.main_split(info.card)
    if not metric:
        return "It was not measured: do not rely on its answers."
    own = info.card["metrics"][split][metric]
    if metric == "auroc" and (own.get("low") or 0.0) <= 0.5:
        return (
            f"But on rows that it never saw it may be no better than guessing ({metric_name(metric)} "
            f"{format_estimate(own)}; 0.5 is a guess): do not rely on its answers. More rows, Best in place of Fast "
            "or another language model may help."
        )
    best = scores.best_baseline(info.card, metric)
    if not best or (own.get("value") or 0.0) >= best[1]:
        return ""
    figures = f"{metric_name(metric)} {best[1]:.3f}, the model {format_estimate(own)}"
    said = f"({figures}): read the report before you use it."
    if _is_worse(report, best[0], metric):
        return f"But a simple baseline is better on the same rows, {best[0]} {said}"
    return f"But on these rows it is no better than a simple baseline, {best[0]} {said}"


def _is_worse(report: Path, baseline: str, metric: str) -> bool:
    """Return whether a report's interval of the difference from a baseline lies below 0; without one, True."""
    if not report.is_dir():
        return True
    found = read_report(report)["baselines"].get(baseline, {}).get("difference", {}).get(metric)
    return not found or found["high"] is None or found["high"] < 0


def _offer_zip(job: Job, info: BundleInfo, report: Path) -> None:
    """Offer model, card and report in one file, packed once for this model."""
    digest = f"{job.id}-{state.stamp(info)}"
    target = workspace.uploads_dir() / "exports" / digest / f"{info.name}-report.zip"
    if not target.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        with state.shown_errors(), st.spinner("Packing"):
            pack_report(report, info.path, target)
    words = "Model, card, report with figures, run record and a methods paragraph"
    downloads.download_row([downloads.Download("All in one zip", target, words)], key=f"zip_{job.id}")
