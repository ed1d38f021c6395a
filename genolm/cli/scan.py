"""``genolm scan``: a genome and a model to score tracks and calls."""

from pathlib import Path

import click

from genolm.cli.reporting import (
    class_option,
    fasta_argument,
    json_option,
    model_option,
    precision_option,
    progress_reports,
    report_files,
    threads_option,
)


@click.command("scan")
@fasta_argument
@model_option
@click.option(
    "--out", "-o", required=True, type=click.Path(path_type=Path), help="A folder; made if missing."
)
@click.option(
    "--stride", type=click.IntRange(1), default=10, show_default=True, help="Bases between windows."
)
@click.option("--strand", type=click.Choice(["both", "+", "-"]), default="both", show_default=True)
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1),
    help="Probability from which a window counts; the model's own by default.",
)
@click.option(
    "--merge-distance",
    type=click.IntRange(0),
    metavar="BP",
    help="Windows this far apart still make one call; half a window by default.",
)
@click.option("--contig", "contigs", multiple=True, metavar="NAME", help="Only this record; may be repeated.")
@class_option
@click.option("--bedgraph", is_flag=True, help="Write the scores as bedGraph too.")
@threads_option
@precision_option
@json_option
def command(
    fasta: Path,
    model: str,
    out: Path,
    stride: int,
    strand: str,
    threshold: float | None,
    merge_distance: int | None,
    contigs: tuple[str, ...],
    class_name: str | None,
    bedgraph: bool,
    threads: int | None,
    precision: str,
    as_json: bool,
) -> None:
    """Slide the model along every record of FASTA.

    Written into the folder: calls.csv, calls.bed, calls.gff3, scores_plus.bw, scores_minus.bw, run.json.
    An interrupted run goes on where it stopped when the same command is given again.
    """
    from genolm.pipelines import scan_file

    with progress_reports() as progress:
        result = scan_file(
            fasta,
            out,
            model=model,
            stride=stride,
            strand=strand,
            threshold=threshold,
            merge_distance=merge_distance,
            contigs=contigs or None,
            class_name=class_name,
            bedgraph=bedgraph,
            threads=threads,
            precision=precision,
            progress=progress,
        )
    report_files(result, as_json=as_json)
