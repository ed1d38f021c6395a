"""``genolm pretrain``: genomes to a language model."""

from pathlib import Path
from typing import Any

import click

from genolm.cli.reporting import clock, json_option, lasting_reports, print_json
from genolm.config import PRESETS


@click.command("pretrain")
@click.argument("fasta", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--name", default="", metavar="NEW", help="What to call the new model.")
@click.option(
    "--out", "-o", "out_dir", type=click.Path(path_type=Path), help="Folder for it, in place of your models."
)
@click.option("--base", metavar="NAME", help="Language model to go on from; k, stride and sizes are its own.")
@click.option(
    "--held-out",
    multiple=True,
    metavar="CONTIG",
    help="Record (or FILE:RECORD, or a whole FILE) to judge by; about a twentieth by default. Repeatable.",
)
@click.option("--preset", type=click.Choice(list(PRESETS)), default="small", show_default=True, help="Sizes.")
@click.option("--k", type=click.IntRange(1, 8), default=3, show_default=True, help="Bases in a token.")
@click.option("--stride", type=click.IntRange(1), default=3, show_default=True, help="Bases between tokens.")
@click.option(
    "--tokens", type=click.IntRange(0), default=0, help="To read over all passes; 0: chosen by the corpus."
)
@click.option(
    "--hours",
    type=click.FloatRange(0, min_open=True),
    default=2.0,
    show_default=True,
    help="Longest training that may be chosen.",
)
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True)
@click.option("--report", "report_dir", type=click.Path(path_type=Path), help="Folder for the run's record.")
@click.option("--plan", "only_plan", is_flag=True, help="Say what would be done and how long it takes; stop.")
@json_option
def command(
    fasta: tuple[Path, ...],
    name: str,
    out_dir: Path | None,
    base: str | None,
    held_out: tuple[str, ...],
    report_dir: Path | None,
    only_plan: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Train a language model on one or more FASTA, GenBank, EMBL or 2bit files.

    Part of the sequence is held out, and the model is judged on it beside a Markov model. An interrupted run
    goes on where it stopped when the same command is given again.
    """
    from genolm.distributed import is_first
    from genolm.pretraining import PretrainSettings, new_model_folder, pretrain
    from genolm.registry import load_bundle

    settings = PretrainSettings(**given)
    _tell_unused(base)
    if only_plan:
        if name or out_dir:
            new_model_folder(name, out_dir)
        _tell_plan(fasta, settings, base=base, held_out=held_out, as_json=as_json)
        return
    with lasting_reports() as progress:
        folder = pretrain(
            fasta,
            name,
            settings=settings,
            base=base,
            held_out=held_out,
            out_dir=out_dir,
            report_dir=report_dir,
            progress=progress,
        )
    if not is_first():
        return
    if as_json:
        card = load_bundle(Path(folder)).card
        scores = {key: card.get(key, {}) for key in ("metrics", "baselines")}
        print_json({"name": Path(folder).name, "path": folder, **scores})
    else:
        click.echo(f"Wrote the language model {folder}; see its card", err=True)


def _tell_unused(base: str | None) -> None:
    """Say which of the given options mean nothing beside a base."""
    given = click.get_current_context().get_parameter_source
    unused = [name for name in ("preset", "k", "stride") if given(name) is click.core.ParameterSource.COMMANDLINE]
    if base and unused:
        options = " and ".join(f"--{name}" for name in unused)
        click.echo(f"Note: {options} not used; k, stride and sizes are those of {base}.", err=True)


def _tell_plan(
    fasta: tuple[Path, ...], settings: Any, *, base: str | None, held_out: tuple[str, ...], as_json: bool
) -> None:
    from genolm.pretraining import plan_for_files

    plan, words = plan_for_files(fasta, settings, base=base, held_out=held_out)
    if as_json:
        print_json({"plan": plan, "held_out": words})
        return
    for sentence in (*plan.reasons, f"Held out to judge by: {words}."):
        click.echo(f"- {sentence}")
    if plan.estimate:
        memory = plan.estimate.memory_bytes / 1e9
        click.echo(f"About {clock(plan.estimate.seconds)} and {memory:.1f} GB on {plan.estimate.device}.")
