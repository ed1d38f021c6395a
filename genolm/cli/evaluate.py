"""``genolm evaluate``: a model and a labelled table to scores with intervals."""

from pathlib import Path
from typing import Any

import click

from genolm.cli.reporting import (
    column_option,
    json_option,
    precision_option,
    print_json,
    print_table,
    progress_reports,
    skip_bad_rows_option,
    threads_option,
)


@click.command("evaluate")
@click.argument("model")
@click.argument("table", type=click.Path(path_type=Path))
@click.option("--split", metavar="NAME", help="Only rows with this in the column `split`, such as test.")
@column_option
@skip_bad_rows_option
@threads_option
@precision_option
@json_option
def command(
    model: str,
    table: Path,
    split: str | None,
    columns: tuple[str, ...],
    skip_bad_rows: bool,
    threads: int | None,
    precision: str,
    as_json: bool,
) -> None:
    """Score MODEL on a labelled TABLE.

    TABLE is CSV or TSV (or .gz) with the columns sequence and label, and group, if there is one, or a folder with one
    FASTA file per class. Printed with 95 % intervals, which are drawn over groups of rows that resemble one another or
    share a group: accuracy, precision, recall, mcc, auroc, auprc, ece. A column group counts where there are three
    groups or more and none has more than half of the rows; else it is said.
    """
    from genolm.bootstrap import drawn_words
    from genolm.cards import format_number, metric_name
    from genolm.pipelines import evaluate_table
    from genolm.tables import column_names

    options: dict[str, Any] = {"split": split, "threads": threads, "precision": precision}
    options |= {"columns": tuple(column_names(columns).items()), "skip_bad_rows": skip_bad_rows}
    with progress_reports() as progress:
        result = evaluate_table(model, table, **options, progress=progress)
    for warning in result.warnings:
        click.echo(f"Note: {warning}", err=True)
    if as_json:
        print_json(result.as_dict())
        return
    rows = [
        [metric_name(key), *map(format_number, (item.value, item.low, item.high))]
        for key, item in result.metrics.items()
    ]
    print_table(["SCORE", "VALUE", "LOW", "HIGH"], rows)
    if words := drawn_words(result.drawn, result.rows):
        click.echo(words)
