"""A job as it runs: its progress, the way to stop it, and the curves of a training."""

from genolm.jobs import Job
from pages.shared import curves, running


def show_live(job: Job) -> None:
    """Show how far a job is, renewed by itself, and its curves; of one that is over, the curves."""
    if not job.is_over:
        running.watch(job.id)
    curves.show_curves(job)
