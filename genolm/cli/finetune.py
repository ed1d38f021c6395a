"""``genolm finetune``: a labelled table and a language model to a classifier."""

from pathlib import Path
from typing import Any

import click

from genolm.cli.reporting import (
    clock,
    column_option,
    fractions_option,
    json_option,
    lasting_reports,
    print_json,
    skip_bad_rows_option,
)
from genolm.config import EFFORTS, PRESETS, SPLIT_METHODS, TASK_KINDS, FinetuneSettings

CHOSEN = "chosen by the data"


@click.command("finetune")
@click.argument("table", type=click.Path(path_type=Path))
@click.option("--base", required=True, metavar="NAME", help="Language model to start from.")
@click.option("--name", required=True, metavar="NEW", help="What to call the new model.")
@column_option
@skip_bad_rows_option
@click.option("--task", type=click.Choice(["auto", *TASK_KINDS]), default="auto", show_default=True)
@click.option("--positive", default="", metavar="CLASS", help="The positive class of two.")
@click.option(
    "--split",
    type=click.Choice(["auto", *SPLIT_METHODS]),
    default="auto",
    show_default=True,
    help="How rows are held out; auto takes the table's own split, else similarity clusters.",
)
@fractions_option
@click.option(
    "--effort",
    type=click.Choice(EFFORTS),
    default="fast",
    show_default=True,
    help="best also fine-tunes the language model, trains longer and averages three models.",
)
@click.option("--adapt/--no-adapt", default=None, help=f"Fine-tune the language model first; {CHOSEN}.")
@click.option("--seeds", type=click.IntRange(1), help=f"Models to train and average; {CHOSEN}.")
@click.option("--balance/--no-balance", default=None, help=f"Let rare classes count as much; {CHOSEN}.")
@click.option("--mirrored", is_flag=True, help="The task has no strand: learn and answer from both.")
@click.option("--shifted", is_flag=True, help="Sequences begin anywhere: read each from a random base on.")
@click.option("--trimmed", is_flag=True, help="Sequences may be cut short: leave out bases at either end.")
@click.option(
    "--framed/--no-framed",
    default=None,
    help="Answer by the mean of readings from each of the first bases, one for each frame of k-mers; "
    "done with --shifted and --trimmed unless it is said.",
)
@click.option(
    "--slots",
    type=click.IntRange(0),
    help="Equal parts of a sequence that the model tells apart, and so where something stands; 0 for pieces that were "
    f"cut anywhere, such as shotgun reads; {CHOSEN}.",
)
@click.option("--lr", type=float, metavar="RATE", help=f"Learning rate; {CHOSEN}.")
@click.option("--drop-mult", type=float, metavar="FACTOR", help=f"Strength of dropout; {CHOSEN}.")
@click.option("--batch-size", type=click.IntRange(2), help=f"Sequences in a step; {CHOSEN}.")
@click.option("--epochs", type=click.IntRange(1), help=f"Passes with all layers; {CHOSEN}.")
@click.option("--search", "search_minutes", type=float, default=0.0, metavar="MINUTES", help="Try settings first.")
@click.option("--reduction", is_flag=True, help="Also measure models from fewer sequences.")
@click.option("--report", "report_dir", type=click.Path(path_type=Path), help="Folder for the report.")
@click.option("--from-scratch", is_flag=True, help="Take only the tokens of the base, to see what it gives.")
@click.option(
    "--preset",
    type=click.Choice(list(PRESETS)),
    default="small",
    show_default=True,
    help="Sizes, with --from-scratch.",
)
@click.option("--no-watchdog", is_flag=True, help="Do not stop when nothing is learned.")
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True)
@click.option("--plan", "only_plan", is_flag=True, help="Say what would be done and how long it takes; stop.")
@json_option
def command(
    table: Path,
    base: str,
    name: str,
    columns: tuple[str, ...],
    task: str,
    split: str,
    report_dir: Path | None,
    from_scratch: bool,
    no_watchdog: bool,
    only_plan: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Train a classifier on a labelled TABLE.

    TABLE is CSV or TSV with the columns sequence and label, and if you like split, group and name. Intervals are drawn
    over groups of rows that resemble one another or share a group; a column group counts where there are three groups
    or more among the rows that are scored and none has more than half of them, else it is said. The new model is at
    once in `genolm models list`. A training that was cut off goes on when the same command is given again.
    """
    from genolm.registry import new_folder
    from genolm.tables import column_names

    settings = FinetuneSettings(
        **given,
        columns=tuple(column_names(columns).items()),
        task="" if task == "auto" else task,
        split="" if split == "auto" else split,
        watched=not no_watchdog,
    )
    if only_plan:
        new_folder(name, None)
        _tell_plan(table, base, settings, from_scratch=from_scratch, as_json=as_json)
        return
    from genolm.finetuning import finetune
    from genolm.registry import load_bundle

    with lasting_reports() as progress:
        finetune(
            table,
            base,
            name,
            settings=settings,
            from_scratch=from_scratch,
            report_dir=report_dir,
            progress=progress,
        )
    bundle = load_bundle(name)
    if as_json:
        print_json({"name": name, "path": bundle.path, "metrics": bundle.card.get("metrics", {})})
    else:
        click.echo(f"Made the model {name}; see `genolm models show {name}`", err=True)


def _tell_plan(
    table: Path, base: str, settings: FinetuneSettings, *, from_scratch: bool, as_json: bool
) -> None:
    from genolm.estimates import estimate_training
    from genolm.preparation import prepare_training
    from genolm.table_report import report_table

    preparation = prepare_training(table, base, settings, from_scratch=from_scratch)
    estimate = estimate_training(preparation)
    plan, split = preparation.plan, preparation.split
    report = report_table(preparation.table, preparation.code, split, shortcuts=False)
    doubts = [item for item in report.warnings if item.level != "note"]
    if as_json:
        print_json({"plan": plan, "split": split.method, "warnings": doubts, "estimate": estimate.as_json()})
        return
    for item in doubts:
        click.echo(f"{item.level.upper():<5} {item.sentence}")
    for sentence in (*plan.reasons, *split.notes):
        click.echo(f"- {sentence}")
    memory = estimate.memory_bytes / 1e9
    click.echo(f"About {clock(estimate.seconds)} and {memory:.1f} GB on {estimate.device}.")
