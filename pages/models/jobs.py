"""Jobs: all long work, running and finished, with what became of it."""

import streamlit as st

from genolm.errors import SettingsError
from genolm.job_database import damage, forget_damage
from genolm.jobs import Job, get_job, slots
from pages.shared import job_view, running, state

REFRESH_SECONDS = 2.0
ROWS_SHOWN = 25


def show_damage() -> None:
    """Say that the list of jobs had to be made anew."""
    if said := damage():
        st.warning(state.plain(said), icon=":material/build:")
        st.button("Understood, delete the damaged file", on_click=forget_damage)


@st.fragment(run_every=REFRESH_SECONDS)
def show_active(identities: list[str]) -> None:
    """Show the jobs that run or wait, renewed by themselves; one that ends draws the page anew."""
    try:
        jobs = [get_job(identity) for identity in identities]
    except SettingsError:
        st.rerun()
    if any(job.is_over for job in jobs):
        st.rerun()
    for job in jobs:
        job_view.show_row(job)


def show_list(jobs: list[Job]) -> None:
    """Show those that run first, then the others, newest first."""
    active = [job for job in jobs if not job.is_over]
    over = [job for job in jobs if job.is_over]
    if not jobs:
        st.info(
            "There are no jobs yet. Scans of genomes, trainings and other long work that you start on the "
            "other pages appear here.",
            icon=":material/inbox:",
        )
        return
    if active:
        st.header("At work", divider="gray")
        # The one that runs stands above those that wait, which follow in their order.
        show_active([job.id for job in sorted(active, key=lambda job: (job.state == "queued", job.created))])
    if over:
        st.header("Over", divider="gray")
        with st.container():
            for job in over if st.session_state.get("all_jobs") else over[:ROWS_SHOWN]:
                job_view.show_row(job)
        if len(over) > ROWS_SHOWN:
            st.toggle(f"Show all {len(over)}", key="all_jobs")


st.title("Jobs")
if job := running.current(None):
    job_view.show_job(job)
    st.stop()
with state.shown_errors():
    at_once = slots()
turns = "Jobs run one after the other." if at_once == 1 else f"Up to {at_once} jobs run at the same time."
st.markdown(
    "Long work runs here by itself, whether or not a page is open, and survives a restart of the server. "
    + turns
)
found = running.seen_jobs()
show_damage()
show_list(found)
