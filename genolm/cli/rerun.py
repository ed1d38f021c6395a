"""``genolm rerun``: a run again, from its record."""

import json
from pathlib import Path

import click

from genolm.cli.reporting import USER_ERROR


@click.command("rerun")
@click.argument("record", type=click.Path(path_type=Path))
@click.option(
    "--out",
    "-o",
    type=click.Path(path_type=Path),
    default="rerun",
    show_default=True,
    help="Folder for the results.",
)
@click.option("--name", metavar="NEW", help="What to call the new model of a training; else OLD-again.")
@click.option(
    "--input",
    "inputs",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Where an input file is now; once for each file of the run, in the order of the record's inputs.",
)
@click.option("--anyway", is_flag=True, help="Run also when a file or the model is not what it was.")
def command(record: Path, out: Path, name: str | None, inputs: tuple[Path, ...], anyway: bool) -> None:
    """Run again what RECORD tells of.

    RECORD is the run.json of a scan or of a training's report, or the FILE.run.json beside a result. Inputs
    and model are compared with those of that run by their hashes first, the results afterwards.
    """
    from genolm.cli import commands
    from genolm.rerun import compare_records, plan_rerun, read_record

    plan = plan_rerun(record, out=out, name=name, inputs=inputs)
    for sentence in (*plan.notes, *plan.changed):
        click.echo(sentence, err=True)
    if plan.changed and not anyway:
        click.echo("Nothing was run; give --anyway to run it on what there is now.", err=True)
        raise SystemExit(USER_ERROR)
    out.mkdir(parents=True, exist_ok=True)
    before = read_record(record)
    commands.main(list(plan.arguments), prog_name="genolm", standalone_mode=False)
    if plan.record.is_file():
        found = compare_records(before, json.loads(plan.record.read_text(encoding="utf-8")))
        click.echo("\n".join(found) if found else "The results are the same as in that run.", err=True)
