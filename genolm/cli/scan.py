"""``genolm scan``: a genome and a model to score tracks and calls."""

from pathlib import Path
from typing import Any

import click

from genolm.cli.cluster import engine_options, make_engine, run_on_cluster
from genolm.cli.reporting import (
    class_option,
    fasta_argument,
    json_option,
    lasting_reports,
    model_option,
    report_files,
    say,
    scan_precision_option,
    threads_option,
)

_FILE = click.Path(path_type=Path)


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
    "--method",
    type=click.Choice(["merge", "nms"]),
    default="merge",
    show_default=True,
    help="Calls are runs of windows over the threshold (merge) or every local maximum (nms).",
)
@click.option(
    "--merge-distance",
    type=click.IntRange(0),
    metavar="BP",
    help="Windows this far apart still make one call; half a window by default.",
)
@click.option(
    "--min-distance",
    type=click.IntRange(0),
    default=0,
    metavar="BP",
    help="Of calls closer than this on one strand only the best is kept.",
)
@click.option(
    "--mode",
    type=click.Choice(["auto", "stream", "exact"]),
    default="auto",
    show_default=True,
    help="Read each strand once as a stream, or every window by itself; auto is as the model was trained.",
)
@click.option(
    "--topology",
    type=click.Choice(["auto", "linear", "circular"]),
    default="auto",
    show_default=True,
    help="Of all contigs; auto is what the file says.",
)
@click.option("--circular", multiple=True, metavar="NAME", help="A contig that is circular; may be repeated.")
@click.option("--linear", multiple=True, metavar="NAME", help="A contig that is linear; may be repeated.")
@click.option("--contig", "contigs", multiple=True, metavar="NAME", help="Only this record; may be repeated.")
@click.option("--regions", type=_FILE, metavar="BED", help="Only windows whose site lies in these regions.")
@click.option(
    "--genes",
    metavar="FILE|predict",
    help="GFF3, GenBank, EMBL or BED of genes, or predict to find a bacterium's; a GenBank genome's own by default.",
)
@click.option("--truth", type=_FILE, metavar="FILE", help="Known sites or genes to compare the calls with.")
@click.option(
    "--tolerance", type=click.IntRange(0), default=50, show_default=True, metavar="BP", help="For --truth."
)
@click.option(
    "--background/--no-background",
    default=False,
    show_default=True,
    help="Scan shuffled pieces of the genome too: q-values and expected false calls.",
)
@click.option(
    "--format",
    "formats",
    multiple=True,
    type=click.Choice(["genbank", "parquet", "fasta", "bedgraph"]),
    help="Write this as well: calls.gb, calls.parquet, calls.fa, scores as bedGraph; may be repeated.",
)
@class_option
@click.option("--bedgraph", is_flag=True, help="Short for --format bedgraph.")
@threads_option
@scan_precision_option
@engine_options
@json_option
def command(
    fasta: Path,
    model: str,
    out: Path,
    *,
    engine: str,
    address: str | None,
    worker_cpus: int,
    submit: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Slide the model along every record of FASTA (or GenBank, EMBL, 2bit; a folder of such files).

    Written into the folder: calls.csv, calls.bed, calls.gff3, scores_plus.bw, scores_minus.bw, run.json, and
    what the options add. An interrupted run goes on where it stopped when the same command is given again.
    """
    options |= {"contigs": options["contigs"] or None}
    if submit:
        given = {"fasta": fasta, "model": model, "out": out, **options}
        run_on_cluster("scan", given, address=address, worker_cpus=worker_cpus)
        return
    options |= {"engine": make_engine(engine, address, worker_cpus)}
    if fasta.is_dir():
        from genolm.scan_folder import folder_problems
        from genolm.scan_folder import scan_folder as scan
    else:
        from genolm.scan_pipeline import scan_file as scan

    with lasting_reports() as progress:
        result = scan(fasta, out, model=model, progress=progress, **options)
    say("Warning", result.summary["warnings"])
    if fasta.is_dir():
        say("Warning", folder_problems(result.summary), rest="the column problem of genomes.csv")
    say("Note", result.summary["notes"], rest="run.json")
    report_files(result, as_json=as_json)
