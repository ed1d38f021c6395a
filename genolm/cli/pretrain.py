"""``genolm pretrain``: genomes to a language model."""

from pathlib import Path

import click

from genolm.cli.reporting import json_option, print_json, progress_reports
from genolm.config import PRESETS


@click.command("pretrain")
@click.argument("fasta", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", "-o", required=True, type=click.Path(path_type=Path), help="Folder of the new bundle.")
@click.option("--preset", type=click.Choice(list(PRESETS)), default="small", show_default=True, help="Sizes.")
@click.option("--k", type=click.IntRange(1, 8), default=3, show_default=True, help="Bases in a token.")
@click.option("--stride", type=click.IntRange(1), default=3, show_default=True, help="Bases between tokens.")
@click.option(
    "--tokens", type=click.IntRange(1), default=5_000_000, show_default=True, help="To read over all passes."
)
@click.option("--base", metavar="NAME", help="Language model to go on from; k, stride and sizes are its own.")
@click.option("--seed", type=int, default=1, show_default=True)
@json_option
def command(
    fasta: tuple[Path, ...],
    out: Path,
    preset: str,
    k: int,
    stride: int,
    tokens: int,
    base: str | None,
    seed: int,
    as_json: bool,
) -> None:
    """Train a language model on one or more FASTA files.

    An interrupted run goes on where it stopped when the same command is given again. Take the result into
    the list of models with `genolm models import`.
    """
    from genolm.pretraining import PretrainSettings, pretrain
    from genolm.registry import load_bundle

    settings = PretrainSettings(preset=preset, k=k, stride=stride, tokens=tokens, seed=seed)
    with progress_reports() as progress:
        folder = pretrain(fasta, out, settings=settings, base=base, progress=progress)
    if as_json:
        bundle = load_bundle(Path(folder))
        print_json({"name": bundle.name, "path": folder, "metrics": bundle.card.get("metrics", {})})
    else:
        click.echo(f"Wrote the language model {folder}", err=True)
