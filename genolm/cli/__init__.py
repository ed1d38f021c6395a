"""The command line: one file per command, each of them options -> one call -> a line on what was done.

Results go to stdout and to files, everything else to stderr. The exit code is 0, or 2 with one sentence for
a mistake that the user can mend. Nothing here loads torch before a command really runs.
"""

import os

import click

from genolm import __version__
from genolm.cli import app, classify, doctor, evaluate, finetune, jobs, models, pretrain, saliency, scan
from genolm.cli.reporting import SentenceGroup
from genolm.jobs import FOLDER_VARIABLE, worker


@click.group(cls=SentenceGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="genolm")
def commands() -> None:
    """DNA language models: classify sequences, scan genomes, see why, train your own."""


for _module in (classify, saliency, scan, pretrain, finetune, evaluate, models, jobs, app, doctor):
    commands.add_command(_module.command)


def main() -> None:
    """Run the command line, as the worker of a job when it was started as one."""
    with worker(os.environ.pop(FOLDER_VARIABLE, None)):
        commands(prog_name="genolm")
