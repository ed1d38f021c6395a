"""``genolm classify``: FASTA and a model to classes and calibrated probabilities."""

from pathlib import Path

import click

from genolm.cli.reporting import (
    fasta_argument,
    json_option,
    lasting_reports,
    model_option,
    precision_option,
    report_files,
    threads_option,
)


@click.command("classify")
@fasta_argument
@model_option
@click.option(
    "--out", "-o", required=True, type=click.Path(path_type=Path), help="A .csv, .tsv or .json file."
)
@click.option(
    "--strand",
    type=click.Choice(["+", "-", "either"]),
    default="+",
    show_default=True,
    help="Read records as they are, their reverse complements, or both, and keep the surer answer; of two classes "
    "the probability counts what the model says of both strands.",
)
@threads_option
@precision_option
@json_option
def command(
    fasta: Path, model: str, out: Path, strand: str, threads: int | None, precision: str, as_json: bool
) -> None:
    """Classify every record of FASTA.

    Columns of the result: record, length, predicted, and p_CLASS for each class (calibrated); strand too where it is
    not +. A record with too few known bases is "not judged" and has no probabilities. An interrupted run goes on
    where it stopped when the same command is given again.
    """
    from genolm.pipelines import classify_file
    from genolm.prediction import other_length_words

    with lasting_reports() as progress:
        result = classify_file(
            fasta, out, model=model, strand=strand, threads=threads, precision=precision, progress=progress
        )
    report_files(result, as_json=as_json)
    if strand == "either" and not as_json:
        click.echo(f"{result.summary['minus']:,} of {result.records:,} read on the minus strand.", err=True)
    counts = result.summary["other_length"], result.records
    if words := other_length_words(*counts, result.summary["window_length"], "`genolm scan`"):
        click.echo(f"Warning: {words}", err=True)
    if warning := result.summary.get("warning"):
        click.echo(f"Warning: {warning}", err=True)
