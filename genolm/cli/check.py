"""``genolm check``: what is in a labelled table, before anything is trained on it."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from genolm.cli.reporting import (
    check_folder,
    column_option,
    fractions_option,
    json_option,
    print_json,
    print_table,
    progress_reports,
)
from genolm.config import SPLIT_METHODS, TASK_KINDS
from genolm.errors import SettingsError

if TYPE_CHECKING:
    from genolm.table_report import TableReport
    from genolm.tables import LabelledTable

_SHOWN = 20


@click.command("check")
@click.argument("table", type=click.Path(path_type=Path))
@column_option
@click.option("--skip-bad-rows", is_flag=True, help="Go on without rows that cannot be used; they are listed.")
@click.option(
    "--task",
    type=click.Choice(["auto", *TASK_KINDS]),
    default="auto",
    show_default=True,
    help="Kind of label.",
)
@click.option("--positive", default="", metavar="CLASS", help="The positive of two classes.")
@click.option(
    "--split",
    type=click.Choice(["auto", *SPLIT_METHODS]),
    default="auto",
    show_default=True,
    help="How to divide: auto is the column split if there is one, else by similarity cluster.",
)
@fractions_option
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True)
@click.option("--compare-random", is_flag=True, help="Score the short cuts under a random split too.")
@click.option("--no-shortcuts", is_flag=True, help="Leave out the short cuts, which take some seconds.")
@click.option("--out", type=click.Path(path_type=Path), help="Write the rows that can be used, with their split.")
@json_option
def command(table: Path, columns: tuple[str, ...], out: Path | None, as_json: bool, **options: Any) -> None:
    """Look at a labelled TABLE before training on it.

    TABLE is CSV or TSV (or .gz) with the columns sequence and label and optionally split, group, name; or a
    folder with one FASTA file per class. Printed: rows that cannot be used and why, classes, lengths, GC,
    copies, how it would be divided, and what length, GC content and short words alone give away.
    """
    from genolm.labels import code_labels
    from genolm.own_files import check_inputs_stay
    from genolm.table_report import report_table
    from genolm.table_split import SplitSettings, split_rows
    from genolm.tables import column_names, labelled_rows, read_table, with_split

    check_folder(out)
    check_inputs_stay([out], [table])
    names = column_names(columns)
    found = labelled_rows(read_table(table, need_label=False, columns=names, skip_bad_rows=True))
    rows = found.frame.index.tolist()
    code = code_labels(found.labels, task=options["task"], positive=options["positive"], rows=rows)
    division = SplitSettings(options["split"], options["fractions"], options["seed"])
    split = split_rows(found, code, division)
    with progress_reports() as progress:
        report = report_table(
            found,
            code,
            split,
            shortcuts=not options["no_shortcuts"],
            random_split=options["compare_random"],
            left_out=options["skip_bad_rows"],
            progress=progress,
        )
    if out is not None:
        _write(out, with_split(found, split.parts))
    if as_json:
        print_json(report.to_json())
    else:
        _print(report)


def _write(out: Path, divided: "LabelledTable") -> None:
    from genolm.tables import write_table

    try:
        write_table(out, divided)
    except OSError as error:
        raise SettingsError(f"{out} cannot be written: {error.strerror or error}.") from error
    click.echo(f"{len(divided):,} rows with their split written to {out}", err=True)


def _print(report: "TableReport") -> None:
    from genolm.cards import metric_name
    from genolm.shortcuts import interval_words

    parts = ", ".join(f"{count:,} {part}" for part, count in report.split.counts.items())
    click.echo(f"{report.name}: {report.rows:,} rows, {report.bases:,} bases, {report.task}")
    click.echo(f"Split by {report.split.method}: {parts}\n")
    for item in report.warnings:
        click.echo(f"{item.level.upper():<5} {item.sentence}")
    click.echo("")
    rows = [
        [item.name, *(f"{getattr(item, key):,}" for key in ("rows", "train", "valid", "test"))]
        + [f"{item.length[2]:,.0f}" if item.length else "–", f"{item.gc[2]:.1%}" if item.gc else "–"]
        for item in report.classes
    ]
    print_table(["CLASS", "ROWS", "TRAIN", "VALID", "TEST", "MEDIAN BP", "MEDIAN GC"], rows)
    if report.shortcuts:
        click.echo("")
        scores = [[item.name, metric_name(item.metric), interval_words(item.main)] for item in report.shortcuts]
        print_table(["SHORT CUT", "SCORE", "VALUE (95 % INTERVAL)"], scores)
    if report.refused:
        click.echo("")
        shown = [[str(row.row), row.reason, row.text[:40]] for row in report.refused[:_SHOWN]]
        print_table(["ROW", "WHY IT CANNOT BE USED", "TEXT"], shown)
        if len(report.refused) > _SHOWN:
            click.echo(f"and {len(report.refused) - _SHOWN:,} more; --json has all")
