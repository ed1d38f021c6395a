"""The command line: one file per command, each of them options -> one call -> a line on what was done.

Results go to stdout and to files, everything else to stderr. The exit code is 0, or 2 with one sentence for
a mistake that the user can mend, or 128 and the number of the signal that stopped it. Nothing here loads torch
before a command really runs.
"""

import os

import click

from genolm import __version__
from genolm.cli import (
    app,
    check,
    classify,
    compare,
    doctor,
    evaluate,
    finetune,
    jobs,
    models,
    pretrain,
    recipe,
    rerun,
    saliency,
    scan,
)
from genolm.cli.reporting import SentenceGroup
from genolm.job_queue import FOLDER_VARIABLE
from genolm.worker import worker


@click.group(cls=SentenceGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="genolm")
def commands() -> None:
    """DNA language models: classify sequences, scan genomes, see why, train your own."""


_MODULES = (
    classify,
    saliency,
    scan,
    pretrain,
    check,
    finetune,
    evaluate,
    compare,
    rerun,
    recipe,
    models,
    jobs,
    app,
    doctor,
)
for _module in _MODULES:
    commands.add_command(_module.command)


def main() -> None:
    """Run the command line, as the worker of a job when it was started as one."""
    with worker(os.environ.pop(FOLDER_VARIABLE, None)):
        commands(prog_name="genolm")
