"""``genolm models``: the models that there are."""

from pathlib import Path

import click

from genolm.cli.reporting import json_option, print_json, print_table
from genolm.errors import SettingsError


@click.group("models")
def command() -> None:
    """List, show, import, export and remove models."""


@command.command("list")
@json_option
def list_command(as_json: bool) -> None:
    """List all models.

    Built-in and your own; a broken one is named with what is wrong.
    """
    from genolm.registry import list_bundles

    bundles = list_bundles()
    if as_json:
        keys = ("name", "path", "builtin", "size", "error", "headline")
        print_json([{**{key: getattr(b, key) for key in keys}, "kind": _kind(b)} for b in bundles])
        return
    rows = [
        [b.name, _kind(b), "built-in" if b.builtin else "yours", b.headline, b.error or b.config.title]
        for b in bundles
    ]
    print_table(["NAME", "KIND", "FROM", "SCORE", "WHAT"], rows)


@command.command("show")
@click.argument("name")
@json_option
def show_command(name: str, as_json: bool) -> None:
    """Print the card of a model.

    What it is for, what it learned from, how good it is.
    """
    from genolm.cards import render_card
    from genolm.registry import config_facts, load_bundle

    bundle = load_bundle(name)
    if as_json:
        print_json(
            {"config": bundle.config, "card": bundle.card, "sha256": bundle.sha256, "path": bundle.path}
        )
    else:
        click.echo(render_card(bundle.card, facts=config_facts(bundle.config)), nl=False)


@command.command("import")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--name", metavar="NEW", help="What to call it; by default what it calls itself.")
@click.option("--replace", is_flag=True, help="Take the place of a model of yours that has the name.")
def import_command(path: Path, name: str | None, replace: bool) -> None:
    """Take a bundle, folder or zip, into the list."""
    from genolm.registry import import_bundle

    info = import_bundle(path, name=name, replace=replace)
    click.echo(f"Imported the model {info.name}", err=True)


@command.command("export")
@click.argument("name")
@click.argument("zip_path", metavar="[FILE.zip]", required=False, type=click.Path(path_type=Path))
@click.option(
    "--onnx",
    "onnx_path",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Write a classifier as ONNX, to run without genolm; compared with torch first.",
)
@json_option
def export_command(name: str, zip_path: Path | None, onnx_path: Path | None, as_json: bool) -> None:
    """Write a model as one zip, to import elsewhere, or as ONNX."""
    from genolm.onnx_export import export_onnx
    from genolm.registry import export_bundle

    if zip_path is None and onnx_path is None:
        raise SettingsError("Nothing to write was named; give FILE.zip, or --onnx FILE.")
    zipped = export_bundle(name, zip_path) if zip_path else None
    exported = export_onnx(name, onnx_path) if onnx_path else None
    if as_json:
        print_json({"zip": zipped, "onnx": exported})
        return
    if zipped:
        click.echo(f"Wrote {zipped}", err=True)
    if exported:
        click.echo(
            f"Wrote {exported.path}: on {exported.compared} random sequences its logits differ from torch's "
            f"by {exported.largest_difference:.1g} at most",
            err=True,
        )


@command.command("remove")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--force", is_flag=True, help="Also one that a waiting or running job needs, which then fails.")
def remove_command(name: str, yes: bool, force: bool) -> None:
    """Delete a model of yours; a built-in one stays.

    One that a waiting or running job needs stays too.
    """
    from genolm.registry import check_removal, remove_bundle

    check_removal(name, force=force)
    if not yes and not _is_sure(f"Delete the model {name} for good?"):
        click.echo(f"The model {name} stays.", err=True)
        return
    remove_bundle(name, force=force)
    click.echo(f"Removed the model {name}", err=True)


def _is_sure(question: str) -> bool:
    """Ask; without anybody to answer, what to do instead is told."""
    try:
        return click.confirm(question, err=True)
    except click.Abort as error:
        if isinstance(error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise SettingsError("There is nobody to ask; --yes goes on without the question.") from None


def _kind(info: object) -> str:
    config = getattr(info, "config", None)
    return "broken" if config is None else str(config.kind)
