"""Jobs on a page: start one, find it again after a reload, watch it, stop it."""

import streamlit as st

from genolm.errors import SettingsError
from genolm.jobs import Job, cancel_job, get_job, list_jobs, start_job
from genolm.registry import BundleInfo, find_bundle
from pages.shared import state

_STATES = {
    "queued": "waiting",
    "running": "running",
    "done": "finished",
    "failed": "failed",
    "cancelled": "stopped",
    "lost": "lost",
}
_ICONS = {"done": ":material/check_circle:", "failed": ":material/error:", "lost": ":material/error:"}
_LISTED = 20


def start(kind: str, arguments: list[str], *, title: str) -> None:
    """Start a job, put it into the page's address and show it."""
    with state.shown_errors():
        job = start_job(kind, arguments, title=title)
    st.query_params["job"] = job.id
    st.session_state.setdefault("jobs", []).append(job.id)
    st.rerun()


def current(kind: str) -> Job | None:
    """Return the job that the address names, None if it names none; an unknown one is said in a sentence."""
    identity = st.query_params.get("job")
    if not identity:
        return None
    try:
        job = get_job(identity)
        problem = "" if job.kind == kind else f"This address is of a {job.kind} job, not of a {kind} job."
    except SettingsError as error:
        problem = str(error)
    if problem:
        st.error(state.plain(problem), icon=":material/error:")
        st.button("Back to the inputs", on_click=leave, icon=":material/arrow_back:")
        st.stop()
    return job


def option(job: Job, name: str) -> str:
    """Return the value of an option in a job's command, "" if it was not given."""
    arguments = list(job.arguments)
    return arguments[arguments.index(name) + 1] if name in arguments else ""


def model_of(job: Job) -> BundleInfo:
    """Return the model of a job; one that was removed since ends the page with a sentence."""
    with state.shown_errors():
        return find_bundle(option(job, "--model"))


def leave() -> None:
    """Forget the job in the address, so that the page shows its inputs again."""
    st.query_params.pop("job", None)


def header(job: Job, *, again: str) -> None:
    """Show what the job is, how to come back to it, and the way to a new one."""
    left, right = st.columns([4, 1], vertical_alignment="center")
    left.markdown(f"**{state.plain(job.title)}**")
    right.button(again, on_click=leave, icon=":material/add:", width="stretch")


def wait_until_over(job: Job) -> None:
    """Show the progress of a job and end the page there until it is over; say why if it did not finish."""
    if not job.is_over:
        _watch(job.id)
        st.caption("It runs on by itself: you may reload or close this page and come back to its address.")
        st.stop()
    if job.state == "done":
        return
    if job.state == "cancelled":
        st.info("Stopped. There are no results.", icon=":material/cancel:")
    else:
        st.error(state.plain(job.reason), icon=":material/error:")
    if log := job.log().strip():
        with st.expander("What the job wrote"):
            st.code(log, language=None, wrap_lines=True)
    st.stop()


@st.fragment(run_every=1.0)
def _watch(identity: str) -> None:
    job = get_job(identity)
    if job.is_over:
        st.rerun()
    report = job.progress
    words = "starting" if report is None else state.progress_words(report)
    st.progress(0.0 if report is None else report.fraction, text=words)
    if st.button("Stop", icon=":material/stop_circle:", key=f"stop_{identity}"):
        with state.shown_errors():
            cancel_job(identity)
        st.rerun()


def recent(kind: str, page: str) -> None:
    """List the latest jobs of a kind, each with a link to its results; nothing if there are none.

    On a server that others reach, only those of this session: whoever knows a job's address may see it.
    """
    own = st.session_state.get("jobs", [])
    alone = st.get_option("server.address") in ("127.0.0.1", "localhost", "::1")
    jobs = [job for job in list_jobs(kind=kind) if alone or job.id in own][:_LISTED]
    if not jobs:
        return
    with st.expander(f"Earlier runs ({len(jobs)})"):
        for job in jobs:
            when = job.created[:16].replace("T", " ")
            st.page_link(
                page,
                label=f"{state.plain(job.title)} · {_STATES[job.state]} · {when} UTC",
                icon=_ICONS.get(job.state, ":material/schedule:"),
                query_params={"job": job.id},
            )
