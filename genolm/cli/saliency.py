"""``genolm saliency``: FASTA and a model to a score of importance for every base."""

from pathlib import Path

import click

from genolm.cli.reporting import (
    fasta_argument,
    json_option,
    lasting_reports,
    model_option,
    report_files,
    threads_option,
)


@click.command("saliency")
@fasta_argument
@model_option
@click.option("--out", "-o", required=True, type=click.Path(path_type=Path), help="A .csv, .tsv or .json file.")
@click.option("--strand", type=click.Choice(["+", "-", "both"]), default="+", show_default=True)
@click.option("--fills", type=click.IntRange(2), default=8, show_default=True, help="Random fills per place.")
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="Of the random fills.")
@click.option(
    "--class",
    "class_name",
    metavar="NAME",
    help="Class to explain; by default the positive one of two. Of several it is the one that classify says of the "
    "record, read on the strand; where it says none, several or nothing, that of the window at --site, else of the "
    "surest window.",
)
@click.option(
    "--site",
    type=click.IntRange(0),
    metavar="N",
    help="0-based position of a known site in every record, such as the TSS, to lay the model's window at.",
)
@click.option("--strips", is_flag=True, help="Write the loss of each replaced stretch too: NAME.strips.csv.")
@threads_option
@json_option
def command(
    fasta: Path,
    model: str,
    out: Path,
    strand: str,
    fills: int,
    seed: int,
    class_name: str | None,
    site: int | None,
    strips: bool,
    threads: int | None,
    as_json: bool,
) -> None:
    """Score how much each base of FASTA speaks for the class.

    Stretches of 1 to 15 bases are replaced at random; the score is what the log-odds of the class lose.
    Columns of the result: record, position (0-based), base, strand, score, low, high; class too unless it is
    the positive one of two. A record with too few known bases has no scores; its class is "not judged". An
    interrupted run goes on where it stopped when the same command is given again.
    """
    from genolm.pipelines import saliency_file

    with lasting_reports() as progress:
        result = saliency_file(
            fasta,
            out,
            model=model,
            strand=strand,
            fills=fills,
            seed=seed,
            class_name=class_name,
            site=site,
            strips=strips,
            threads=threads,
            progress=progress,
        )
    report_files(result, as_json=as_json)
    if warning := result.summary.get("warning"):
        click.echo(f"Warning: {warning}", err=True)
