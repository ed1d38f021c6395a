"""What of a recipe is to be run now, and whether the recipe has it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from genolm.recipe_config import Recipe, RecipeError
from genolm.result_row import BASELINE_TITLES


@dataclass(frozen=True)
class Limits:
    """What of a recipe is to be run now.

    Attributes
    ----------
    protocols, methods : tuple of str
        All if empty. A method is one of the recipe's or a simple baseline.
    seeds : int, optional
        At most so many.
    idle : bool
        Nothing: what is finished is only put together.
    """

    protocols: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    seeds: int | None = None
    idle: bool = False

    def check(self, recipe: Recipe) -> None:
        """Refuse a protocol or method that the recipe has not, and any limit where it has a function of its own."""
        if recipe.run and self != Limits(idle=self.idle):
            raise RecipeError(
                f"The recipe '{recipe.name}' has a function of its own, which does all of it: leave --protocol, "
                f"--method and --seeds out; what it does stands under [run.options] in "
                f"{recipe.folder / recipe.name}.toml."
            )
        for name, given, known in (
            ("protocol", self.protocols, recipe.protocols),
            ("method", self.methods, (*recipe.methods, *BASELINE_TITLES)),
        ):
            for item in given:
                if item not in known:
                    raise RecipeError(
                        f"The recipe '{recipe.name}' has no {name} '{item}'; it has {', '.join(known) or 'none'}."
                    )
        if recipe.baselines is not None:
            # Which of the usual ones fit is known by the tables alone.
            self.check_methods(recipe, dict.fromkeys(self.protocols or recipe.protocols, recipe.baselines))

    def check_methods(self, recipe: Recipe, baselines: Mapping[str, Sequence[str]]) -> None:
        """Refuse a method that none of the protocols does that are to be run.

        Parameters
        ----------
        recipe : Recipe
        baselines : mapping of str to sequence of str
            Names of the simple baselines that fit the table of each of these protocols.
        """
        done = list(dict.fromkeys(key for name in baselines for key in (*recipe.methods_of(name), *baselines[name])))
        for item in self.methods:
            if item not in done:
                raise RecipeError(
                    f"Of the recipe '{recipe.name}' the method '{item}' is not run under {' or '.join(baselines)}; "
                    f"{', '.join(done)} {'is' if len(done) == 1 else 'are'}."
                )
