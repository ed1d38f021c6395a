"""``genolm finetune``: a labelled table and a language model to a classifier."""

from pathlib import Path

import click

from genolm.cli.reporting import json_option, print_json, progress_reports
from genolm.config import PRESETS


@click.command("finetune")
@click.argument("table", type=click.Path(path_type=Path))
@click.option("--base", required=True, metavar="NAME", help="Language model to start from.")
@click.option("--name", required=True, metavar="NEW", help="What to call the new model.")
@click.option("--mirrored", is_flag=True, help="Learn from both strands: for tasks that have no strand.")
@click.option("--from-scratch", is_flag=True, help="Take only the tokens of the base, to see what it gives.")
@click.option(
    "--preset",
    type=click.Choice(list(PRESETS)),
    default="small",
    show_default=True,
    help="Sizes, with --from-scratch.",
)
@click.option("--seed", type=int, default=1, show_default=True)
@json_option
def command(
    table: Path,
    base: str,
    name: str,
    mirrored: bool,
    from_scratch: bool,
    preset: str,
    seed: int,
    as_json: bool,
) -> None:
    """Train a classifier on a labelled TABLE.

    TABLE is CSV or TSV with the columns sequence and label, and if you like split, group and name. The new
    model is at once in `genolm models list`.
    """
    from genolm.finetuning import FinetuneSettings, finetune
    from genolm.registry import load_bundle

    settings = FinetuneSettings(mirrored=mirrored, preset=preset, seed=seed)
    with progress_reports() as progress:
        finetune(table, base, name, settings=settings, from_scratch=from_scratch, progress=progress)
    bundle = load_bundle(name)
    if as_json:
        print_json({"name": name, "path": bundle.path, "metrics": bundle.card.get("metrics", {})})
    else:
        click.echo(f"Made the model {name}; see `genolm models show {name}`", err=True)
