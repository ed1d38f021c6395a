"""One job on the page Jobs: a row of the list, and all that is known of it."""

from collections.abc import Callable
from datetime import datetime

import streamlit as st
from streamlit.errors import StreamlitAPIException

from genolm.ascode import parse_arguments
from genolm.errors import GenolmError
from genolm.figure_parts import short
from genolm.jobs import Job, cancel_job, remove_job, resume_job
from pages.shared import code_view, live, running, state

PAGE = "pages/models/jobs.py"
RESULT_PAGES = {
    "classify": "pages/annotate/classify.py",
    "saliency": "pages/annotate/saliency.py",
    "scan": "pages/annotate/scan.py",
    "finetune": "pages/models/train.py",
    "pretrain": "pages/models/pretrain.py",
    "compare": "pages/models/compare.py",
}
KINDS = {
    "classify": "classification",
    "compare": "comparison",
    "finetune": "training",
    "pretrain": "language model",
}
_ROW = [5, 4, 3]
_TITLE_ROOM = 52
_INPUT = "Resuming it would fail again: mend the input, then start it anew on its page."
_BY_THE_WAY = {
    "failed": "Mend what it names, then resume it: it goes on from what it had kept.",
    "lost": "Nothing that it had kept is lost.",
    "cancelled": "What it had finished is kept.",
}


def show_training(
    job: Job, *, again: str, running_part: Callable[[Job], None], result_part: Callable[[Job], None]
) -> None:
    """Show a training on its own page, in whatever state it is; ``again`` is the button for a new one."""
    running.header(job, again=again)
    if not job.is_over:
        running_part(job)
    elif job.state == "done":
        result_part(job)
    else:
        running.show_end(job)
        live.show_live(job)
        running.show_log(job)
    code_view.show_code(job.arguments, key=job.id)


def show_row(job: Job) -> None:
    """Show a job as one row of the list: what it is, how far it is, what can be done with it."""
    with st.container(border=True):
        left, middle, right = st.columns(_ROW, vertical_alignment="center")
        with left:
            label = f"**{state.plain(short(job.title, _TITLE_ROOM))}**"
            whole = state.plain(job.title) if len(job.title) > _TITLE_ROOM else None
            st.page_link(PAGE, label=label, help=whole, query_params={"job": job.id})
            st.caption(state.plain(facts(job)))
        with middle:
            _show_state(job)
        with right.container(horizontal=True, horizontal_alignment="right"):
            _show_actions(job)


def show_job(job: Job) -> None:
    """Show all that is known of a job."""
    left, right = st.columns([4, 1], vertical_alignment="center")
    left.header(state.plain(job.title), anchor=False)
    right.button("All jobs", on_click=running.leave, icon=":material/arrow_back:", width="stretch")
    st.caption(state.plain(facts(job)))
    if job.is_over:
        _show_outcome(job)
    live.show_live(job)
    if job.is_over:
        with st.container(horizontal=True):
            _show_actions(job)
    else:
        result_link(job)
    if job.is_over:
        running.show_log(job)
    else:
        _show_log_often(job)
    if _can_be_said(job):
        code_view.show_code(job.arguments, key=job.id)
    st.markdown("**Private link**")
    st.caption(
        "Opens this job from any browser that reaches this server. Where others use the server too, only who "
        "has the link finds the job."
    )
    st.code(running.address(job), language=None, wrap_lines=True)


def facts(job: Job) -> str:
    """Return in one line what kind of job it is, when it ran and for how long, and what it holds on disk."""
    words = [KINDS.get(job.kind, job.kind), f"{job.created[:16].replace('T', ' ')} UTC"]
    if job.started and job.ended:
        words.append(f"ran {state.duration(seconds_between(job.started, job.ended))}")
    if job.attempts > 1:
        words.append(f"attempt {job.attempts}")
    return " · ".join([*words, size_words(job.disk_used())])


def seconds_between(started: str, ended: str) -> float:
    """Return the seconds between two times as they stand in a job."""
    first, last = (datetime.fromisoformat(item) for item in (started, ended))
    return max(0.0, (last - first).total_seconds())


def size_words(size: int) -> str:
    """Return bytes as a reader takes them in."""
    if size < 1e6:
        return f"{size / 1e3:.0f} kB"
    return f"{size / 1e6:.1f} MB" if size < 1e9 else f"{size / 1e9:.1f} GB"


def result_link(job: Job) -> None:
    """Link to the page of the job's kind, where its results are shown; nothing for kinds without one."""
    if page := RESULT_PAGES.get(job.kind):
        label = "Results" if job.state == "done" else "Open on its own page"
        try:
            st.page_link(page, label=label, icon=":material/open_in_new:", query_params={"job": job.id})
        except StreamlitAPIException:
            st.caption(f"The results are in {state.plain(job.result)}.")


@st.fragment(run_every=3.0)
def _show_log_often(job: Job) -> None:
    running.show_log(job)


def _can_be_said(job: Job) -> bool:
    """Return whether this version knows the job's command with all its options."""
    try:
        parse_arguments(job.arguments)
    except GenolmError:
        return False
    return True


def _show_state(job: Job) -> None:
    if not job.is_over:
        st.progress(0.0 if job.progress is None else job.progress.fraction, text=running.progress_words(job))
        return
    st.markdown(f"{running.ICONS[job.state]} {running.STATES[job.state]}")
    if words := running.reason(job) or _BY_THE_WAY.get(job.state):
        st.caption(state.plain(words if len(words) < 200 else words[:200] + "…"))


def _show_outcome(job: Job) -> None:
    if job.state == "done":
        st.success("Finished.", icon=running.ICONS["done"])
    elif job.state == "cancelled":
        st.info(f"Stopped. {_BY_THE_WAY['cancelled']}", icon=running.ICONS["cancelled"])
    else:
        st.error(state.plain(running.reason(job)), icon=":material/error:")
        st.caption(_INPUT if job.input_error else _BY_THE_WAY[job.state])


def _show_actions(job: Job) -> None:
    """Offer what can be done with a job in its state."""
    if job.state == "done":
        result_link(job)
    if not job.is_over:
        _action(job, "Stop", "stop_circle", cancel_job)
    if job.can_resume and not job.input_error:
        _action(job, "Resume", "resume", resume_job)
    if job.is_over:
        with st.popover("Remove", icon=":material/delete:", key=f"ask_{job.id}"):
            st.markdown("Delete this job with its log and results? A model that it made stays.")
            _action(job, "Delete for good", "delete", remove_job)


def _action(job: Job, label: str, icon: str, do: Callable[[str], object]) -> None:
    if st.button(label, icon=f":material/{icon}:", key=f"{label}_{job.id}"):
        with state.shown_errors():
            do(job.id)
        if do is remove_job:
            running.leave()
        st.rerun()
