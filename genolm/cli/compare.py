"""``genolm compare``: two models and a labelled table to the differences of their scores."""

from pathlib import Path
from typing import Any

import click

from genolm.cli.reporting import (
    check_folder,
    column_option,
    json_option,
    precision_option,
    print_json,
    print_table,
    progress_reports,
    skip_bad_rows_option,
    threads_option,
)


@click.command("compare")
@click.argument("model_a", metavar="A")
@click.argument("model_b", metavar="B")
@click.argument("table", type=click.Path(path_type=Path))
@click.option("--split", metavar="NAME", help="Only rows with this in the column `split`, such as test.")
@column_option
@skip_bad_rows_option
@click.option("--out", type=click.Path(path_type=Path), help="Write the outcome as JSON into this file.")
@click.option("--draws", type=click.IntRange(100), default=2000, show_default=True, help="Bootstrap draws.")
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True)
@threads_option
@precision_option
@json_option
def command(
    model_a: str,
    model_b: str,
    table: Path,
    split: str | None,
    columns: tuple[str, ...],
    skip_bad_rows: bool,
    out: Path | None,
    draws: int,
    seed: int,
    threads: int | None,
    precision: str,
    as_json: bool,
) -> None:
    """Compare the models A and B on the same rows of a labelled TABLE.

    TABLE is CSV or TSV (or .gz) with the columns sequence and label, and group, if there is one, or a folder with
    one FASTA file per class; its rows should be new to both models. Printed is each score of both, and A minus B
    with its 95 % interval and a two-sided p (paired bootstrap over groups of rows that resemble one another or share
    a group). A column group counts where there are three groups or more and none has more than half of the rows; else
    it is said.
    """
    from genolm.bootstrap import drawn_words
    from genolm.cards import format_difference, format_estimate, metric_name, p_words
    from genolm.comparison import compare_models
    from genolm.own_files import check_inputs_stay
    from genolm.record import write_json
    from genolm.tables import column_names

    check_folder(out)
    check_inputs_stay([out], [table])
    options: dict[str, Any] = {"split": split, "n_boot": draws, "seed": seed}
    options |= {"threads": threads, "precision": precision}
    options |= {"columns": tuple(column_names(columns).items()), "skip_bad_rows": skip_bad_rows}
    with progress_reports() as progress:
        found = compare_models(model_a, model_b, table, **options, progress=progress)
    if out is not None:
        write_json(out, found.as_dict())
    for warning in found.warnings:
        click.echo(f"Note: {warning}", err=True)
    if as_json:
        print_json(found.as_dict())
        return
    rows = [
        [
            metric_name(key),
            *(format_estimate(part.as_dict()) for part in (item.a, item.b)),
            format_difference(item.difference.as_dict()),
            p_words(item.p),
        ]
        for key, item in found.metrics.items()
    ]
    print_table(["SCORE", "A", "B", "A - B", "P"], rows)
    click.echo(found.verdict)
    if words := drawn_words(found.drawn, found.rows):
        click.echo(words)
