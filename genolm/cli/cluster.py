"""The options of commands that may run on a cluster, and what they mean."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from genolm.cli.reporting import progress_reports
from genolm.errors import SettingsError

CommandT = TypeVar("CommandT", bound=Callable[..., Any])


def engine_options(command: CommandT) -> CommandT:
    """Add ``--engine``, ``--address``, ``--worker-cpus`` and ``--submit`` to a command."""
    options = (
        click.option(
            "--engine",
            type=click.Choice(["local", "ray"]),
            default="local",
            show_default=True,
            help="Who does the work: this machine, or the nodes of a Ray cluster (extra ray).",
        ),
        click.option(
            "--address",
            metavar="HOST:PORT",
            help="Of the cluster's head; with --submit http://HOST:8265. By default the cluster that runs here.",
        ),
        click.option(
            "--worker-cpus",
            type=click.IntRange(1),
            default=1,
            show_default=True,
            help="Parts that share one copy of the model on a node; more save memory.",
        ),
        click.option(
            "--submit",
            is_flag=True,
            help="Have the cluster run the command by itself, and follow it. Paths are as the nodes see them.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def make_engine(engine: str, address: str | None, worker_cpus: int) -> Any | None:
    """Return the engine that was asked for, None for this machine."""
    if engine == "local":
        if address:
            raise SettingsError("An address is for a cluster; add --engine ray.")
        return None
    from genolm.ray_engine import RayEngine

    return RayEngine(address, cpus_per_worker=worker_cpus)


def run_on_cluster(command: str, values: Mapping[str, Any], *, address: str | None, worker_cpus: int) -> None:
    """Submit a command, follow it to its end and say so; Ctrl-C leaves it running.

    ``values`` are those of :func:`genolm.ascode.command_arguments`.
    """
    from genolm import remote_jobs
    from genolm.recording import run_arguments

    if address is None:
        raise SettingsError("Say which cluster is to run it: --address http://HOST:8265.")
    arguments = [*run_arguments(command, **values), "--engine", "ray", "--worker-cpus", str(worker_cpus)]
    job = remote_jobs.submit(arguments, address)
    click.echo(f"Job {job.id} is {job.state} at {address}", err=True)
    try:
        with progress_reports() as progress:
            remote_jobs.follow(job, progress=progress)
    except KeyboardInterrupt:
        raise SettingsError(
            f"Job {job.id} goes on at {address}; the same command follows it again, and `ray job stop --address "
            f"{address} {job.id}` stops it."
        ) from None
    click.echo(f"Job {job.id} is done; the results are in the folder that was named", err=True)
