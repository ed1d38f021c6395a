"""Jobs on a page: start one, find it again after a reload, watch it, stop it, go on with it."""

import re

import streamlit as st

from genolm import workspace
from genolm.errors import SettingsError
from genolm.jobs import Job, cancel_job, get_job, list_jobs, queue_position, resume_job, start_job
from genolm.registry import BundleInfo, find_bundle
from pages.shared import curves, state

STATES = {
    "queued": "waiting",
    "running": "running",
    "done": "finished",
    "failed": "failed",
    "cancelled": "stopped",
    "lost": "lost",
}
ICONS = {
    "queued": ":material/hourglass_top:",
    "running": ":material/sync:",
    "done": ":material/check_circle:",
    "failed": ":material/error:",
    "cancelled": ":material/stop_circle:",
    "lost": ":material/help:",
}
_LISTED, _ADDRESSED = 20, "job_in_address"
_STOPPED = "Stopped. What it had finished is kept: Resume goes on from there."


def start(kind: str, arguments: list[str], *, title: str) -> None:
    """Start a job, put it into the page's address and show it."""
    with state.shown_errors():
        job = start_job(kind, arguments, title=title)
    st.query_params["job"] = job.id
    remember(job.id)
    st.rerun()


def current(kind: str | None) -> Job | None:
    """Return the job that the address names, None if it names none; an unknown one is said in a sentence.

    ``kind`` None takes a job of any kind.
    """
    identity = st.query_params.get("job")
    if not identity:
        st.session_state.pop(_ADDRESSED, None)
        return None
    if st.session_state.get(_ADDRESSED) != identity:
        # A link within the page gives the parameter to the script and leaves the browser's address as it was.
        st.session_state[_ADDRESSED] = st.query_params["job"] = identity
    try:
        job = get_job(identity)
        wrong = kind is not None and job.kind != kind
        problem = f"This address is of a {job.kind} job, not of a {kind} job." if wrong else ""
    except SettingsError as error:
        problem = str(error)
    if problem:
        st.error(state.plain(problem), icon=":material/error:")
        st.button("Back", on_click=leave, icon=":material/arrow_back:")
        st.stop()
    remember(job.id)
    return job


def remember(identity: str) -> None:
    """Count a job as one of this session's: it was started here, or opened by its private address."""
    own: list[str] = st.session_state.setdefault("jobs", [])
    if identity not in own:
        own.append(identity)


def address(job: Job) -> str:
    """Return the whole private address of a job on this page, for another browser."""
    return f"{st.context.url or ''}?job={job.id}"


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
    for name in ("job", "locus"):
        st.query_params.pop(name, None)


def header(job: Job, *, again: str) -> None:
    """Show what the job is, how to come back to it, and the way to a new one."""
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.markdown(f"**{state.plain(job.title)}**", width="content")
        st.button(again, on_click=leave, icon=":material/add:")


def wait_until_over(job: Job) -> None:
    """Show the progress of a job and end the page there until it is over; say why if it did not finish."""
    if not job.is_over:
        watch(job.id)
        st.caption("It runs on by itself: you may reload or close this page and come back to its address.")
        curves.show_curves(job)
        st.stop()
    if job.state == "done":
        return
    show_end(job)
    curves.show_curves(job)
    show_log(job)
    st.stop()


@st.fragment(run_every=1.0)
def watch(identity: str) -> None:
    """Show how far a job is and the way to stop it; draw the page anew when it is over."""
    job = get_job(identity)
    if job.is_over:
        st.rerun()
    st.progress(0.0 if job.progress is None else job.progress.fraction, text=progress_words(job))
    if job.state == "queued":
        st.caption("Jobs take turns, so that each has the processor to itself. This one starts by itself.")
    if st.button("Stop", icon=":material/stop_circle:", key=f"stop_{identity}"):
        with state.shown_errors():
            cancel_job(identity)
        st.rerun()


def progress_words(job: Job) -> str:
    """Return where a job stands, with the time left at its measured speed."""
    report = job.progress
    if job.state == "queued":
        return f"waiting, number {max(1, queue_position(job.id))} in line"
    if report is None or not report.total:
        return "starting" if report is None else state.plain(report.stage)
    words = f"{report.stage}: {report.done:,} of {report.total:,}"
    left = "" if job.eta is None or report.done >= report.total else f", about {state.duration(job.eta)} left"
    return state.plain(words + left)


def reason(job: Job) -> str:
    """Return why a job did not finish; its files are called as the user calls them, without their folder here."""
    return _own_names(job.reason)


def _own_names(words: str) -> str:
    uploads = re.escape(str(workspace.uploads_dir()))
    words = re.sub(rf"{uploads}/pasted/[0-9a-f]+\.(?:fa|gb|embl)\b", "pasted text", words)
    return re.sub(rf"{uploads}/(?:[0-9a-f]{{32}}/whole|samples)/", "", words)


def show_end(job: Job) -> None:
    """Say why a job did not finish, and offer to go on with it."""
    if job.state == "cancelled":
        st.info(_STOPPED, icon=":material/stop_circle:")
    else:
        st.error(state.plain(reason(job)), icon=":material/error:")
    can_resume = job.can_resume and not job.input_error
    if can_resume and st.button("Resume", icon=":material/resume:", key=f"resume_{job.id}"):
        with state.shown_errors():
            resume_job(job.id)
        st.rerun()


def show_log(job: Job) -> None:
    """Show what a job wrote, folded away; nothing if it wrote nothing."""
    if log := job.log().strip():
        with st.expander("What the job wrote"):
            st.code(_own_names(log), language=None, wrap_lines=True)


def seen_jobs(kind: str | None = None) -> list[Job]:
    """Return the jobs that this session may see, newest first.

    On a server that others reach, those which it started or opened: whoever knows a job's address may see it.
    """
    own = st.session_state.get("jobs", [])
    alone = st.get_option("server.address") in ("127.0.0.1", "localhost", "::1")
    with state.shown_errors():
        return [job for job in list_jobs(kind=kind) if alone or job.id in own]


def recent(kind: str, page: str) -> None:
    """List the latest jobs of a kind, each with a link to its results; nothing if there are none."""
    jobs = seen_jobs(kind)[:_LISTED]
    if not jobs:
        return
    with st.expander(f"Earlier runs ({len(jobs)})"):
        for job in jobs:
            when = job.created[:16].replace("T", " ")
            st.page_link(
                page,
                label=f"{state.plain(job.title)} · {STATES[job.state]} · {when} UTC",
                icon=ICONS[job.state],
                query_params={"job": job.id},
            )
