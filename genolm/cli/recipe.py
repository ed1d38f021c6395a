"""``genolm recipe``: how the published results and the built-in models are made."""

from pathlib import Path

import click

from genolm.cli.reporting import json_option, lasting_reports, print_json, print_table


@click.group("recipe")
def command() -> None:
    """List, run and report the recipes behind the results."""


_recipes_option = click.option(
    "--recipes", type=click.Path(path_type=Path), help="Folder of the recipes; by default that of the checkout."
)
_results_option = click.option(
    "--results", type=click.Path(path_type=Path), help="Folder of result files; by default those that come with genolm."
)


@command.command("list")
@_recipes_option
@json_option
def list_command(recipes: Path | None, as_json: bool) -> None:
    """List the recipes, each with the question that it answers."""
    from genolm.recipe_config import list_recipes
    from genolm.workspace import recipes_dir

    found = list_recipes(recipes or recipes_dir())
    if as_json:
        print_json([{key: getattr(item, key) for key in ("name", "title", "section", "question")} for item in found])
        return
    print_table(["NAME", "SECTION", "QUESTION"], [[item.name, item.section, item.question] for item in found])


@command.command("run")
@click.argument("name")
@click.option("--data", required=True, type=click.Path(path_type=Path), help="Folder that holds the sources.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for runs; by default in the workspace.")
@click.option(
    "--into",
    type=click.Path(path_type=Path),
    help="Also write NAME.json into this folder of results, whose figures stay.",
)
@click.option(
    "--answers",
    type=click.Path(path_type=Path),
    help="Folder of finished answers to go on from and to add to.",
)
@click.option("--protocol", "protocols", multiple=True, help="Only this protocol; may be given several times.")
@click.option("--method", "methods", multiple=True, help="Only this method or baseline; may be repeated.")
@click.option("--seeds", type=click.IntRange(1), help="At most so many seeds of each method.")
@click.option("--publish", "target", type=click.Path(path_type=Path), help="Save the built-in model into this folder.")
@click.option(
    "--judge",
    "judged",
    type=click.Path(path_type=Path),
    help="Judge the built-in model in this folder anew and rewrite its card; its weights stay, and nothing is trained.",
)
@_recipes_option
def run_command(
    name: str,
    data: Path,
    out: Path | None,
    into: Path | None,
    answers: Path | None,
    recipes: Path | None,
    target: Path | None,
    judged: Path | None,
    protocols: tuple[str, ...],
    methods: tuple[str, ...],
    seeds: int | None,
) -> None:
    """Run the recipe NAME: make its tables, train, judge, write the result.

    What is finished is not done again, so that a run that was cut off goes on when the same command is given.
    """
    from genolm.recipe_config import find_recipe
    from genolm.recipe_into import result_in, write_into
    from genolm.recipe_limits import Limits
    from genolm.recipe_publish import check_has_model, check_judged, publish, publish_again
    from genolm.recipe_run import run_recipe
    from genolm.workspace import home, recipes_dir

    recipe, place = find_recipe(recipes or recipes_dir(), name), out or home() / "recipes"
    if target is not None:
        check_has_model(recipe)
    if judged is not None:
        check_judged(recipe, judged)
    results = None if into is None else result_in(into, recipe)
    with lasting_reports() as progress:
        result = run_recipe(
            recipe,
            data,
            place,
            limits=Limits(protocols, methods, seeds, idle=judged is not None and not methods),
            answers=answers,
            earlier=results,
            say=lambda text: click.echo(text, err=True),
            progress=progress,
        )
    if results is not None:
        write_into(results, result, recipe)
    if target is not None:
        click.echo(f"Saved {publish(recipe, place, target)}", err=True)
    if judged is not None:
        click.echo(f"Judged {publish_again(recipe, place, judged)}", err=True)
    click.echo(str(result))


@command.command("report")
@click.argument("name", required=False)
@_results_option
@click.option("--out", type=click.Path(path_type=Path), help="Write to this file instead of the screen.")
def report_command(name: str | None, results: Path | None, out: Path | None) -> None:
    """Print the results as Markdown: all of them, or of the recipe NAME."""
    from genolm.recipe_config import RecipeError
    from genolm.results import read_results
    from genolm.results_text import document, row_text

    found = read_results(results)
    if name is None:
        text = document(found)
    else:
        chosen = [item for item in found if item.name == name]
        if not chosen:
            there = ", ".join(item.name for item in found) or "none"
            raise RecipeError(f"There is no result of a recipe '{name}'; of those that were run there are: {there}.")
        text = row_text(chosen[0])
    if out is None:
        click.echo(text, nl=False)
    else:
        out.write_text(text, encoding="utf-8")


@command.command("refresh")
@_results_option
@_recipes_option
def refresh_command(results: Path | None, recipes: Path | None) -> None:
    """Write what the recipes say now into the result files.

    That is their titles, notes and published figures, and what is missing. Nothing is run and no figure is lost: a
    result that a recipe asks for otherwise now stays as it is, and that is said.
    """
    from genolm.recipe_refresh import refresh
    from genolm.workspace import recipes_dir, results_dir

    for name in refresh(results or results_dir(), recipes or recipes_dir()):
        click.echo(name)
