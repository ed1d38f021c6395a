"""``genolm jobs``: long work that runs by itself."""

import click

from genolm import jobs
from genolm.cli.reporting import clock, json_option, print_json, print_table
from genolm.job_database import damage


@click.group("jobs")
def command() -> None:
    """List, show, cancel, resume and remove jobs.

    Jobs are the long work that pages and scripts have started. As many run at once as GENOLM_JOB_SLOTS
    says, 1 by default; the others wait.

    A job may be named by the first digits of its id, four or more.
    """


@command.command("list")
@json_option
def list_command(as_json: bool) -> None:
    """List all jobs, newest first."""
    found = jobs.list_jobs()
    if said := damage():
        click.echo(said, err=True)
    if as_json:
        print_json([job.as_json() for job in found])
        return
    rows = [[job.id[:12], job.state, _progress(job), job.created, job.title] for job in found]
    print_table(["JOB", "STATE", "PROGRESS", "CREATED", "TITLE"], rows)


@command.command("show")
@click.argument("job_id", metavar="JOB")
@json_option
def show_command(job_id: str, as_json: bool) -> None:
    """Say how a job stands and where its results are."""
    job = jobs.find_job(job_id)
    if as_json:
        print_json({**job.as_json(), "disk_used": job.disk_used()})
        return
    names = ("id", "title", "kind", "state", "reason", "attempts", "created", "started", "ended", "result")
    shown = {name: getattr(job, name) for name in names}
    shown |= {"progress": _progress(job), "disk": f"{job.disk_used() / 1e6:.1f} MB"}
    for key, value in shown.items():
        if value:
            click.echo(f"{key + ':':10}{value}")
    if job.can_resume:
        click.echo(f"`genolm jobs resume {job.id[:12]}` goes on with it.", err=True)


@command.command("log")
@click.argument("job_id", metavar="JOB")
def log_command(job_id: str) -> None:
    """Print the end of a job's log."""
    click.echo(jobs.find_job(job_id).log(), nl=False)


@command.command("cancel")
@click.argument("job_id", metavar="JOB")
def cancel_command(job_id: str) -> None:
    """Stop a job; what it has finished stays."""
    job = jobs.cancel_job(jobs.find_job(job_id).id)
    click.echo(f"Job {job.id} is {job.state}", err=True)


@command.command("resume")
@click.argument("job_id", metavar="JOB")
def resume_command(job_id: str) -> None:
    """Go on with a job that failed, was cancelled or was lost.

    It runs in the same folder and goes on from what it had kept.
    """
    job = jobs.resume_job(jobs.find_job(job_id).id)
    click.echo(f"Job {job.id} is {job.state}", err=True)


@command.command("remove")
@click.argument("job_id", metavar="JOB")
def remove_command(job_id: str) -> None:
    """Delete a job that is over, with its log and results."""
    job = jobs.find_job(job_id)
    jobs.remove_job(job.id)
    click.echo(f"Removed job {job.id}", err=True)


def _progress(job: jobs.Job) -> str:
    if job.state == "queued":
        return f"number {jobs.queue_position(job.id)} in line"
    if job.progress is None:
        return ""
    tail = "" if job.eta is None else f", {clock(job.eta)} left"
    return f"{job.progress.fraction:.0%}{tail}"
