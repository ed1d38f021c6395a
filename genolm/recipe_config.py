"""What a recipe says: the file ``recipes/<name>.toml`` that makes one row of the results.

A recipe either names tables and the ways to train on them, and everything else is the same for all
(:mod:`genolm.recipe_tables`), or a function of its own that returns the row's figures.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from genolm.config import FinetuneSettings
from genolm.errors import GenolmError, SettingsError
from genolm.result_row import NAIVE, Published, Source, is_naive

_NAME = re.compile(r"[a-z0-9][a-z0-9-]*")
_PUBLISHED_KINDS = ("original", "best", "other")
_SETTINGS = {item.name for item in fields(FinetuneSettings)}


class RecipeError(GenolmError):
    """A recipe that cannot be read or run: names the file, and what to change or where to get what is missing."""


@dataclass(frozen=True)
class Method:
    """One way to train, or to average others that were trained.

    Attributes
    ----------
    title : str
    base : str
        Language model to start from; name or path. "" of an average.
    seeds : int
        Runs with seeds 1, 2, ...
    from_scratch : bool
        Take only the tokens of ``base``; of an average, whether its parts do.
    protocols : tuple of str
        Where it is run; all if empty.
    settings : dict
        Of :class:`FinetuneSettings`, over those that hold for all methods.
    average : tuple of str
        Other methods, whose probabilities are averaged, seed by seed.
    made_by : str
        Command that makes ``base``, where that is no built-in model.
    """

    title: str
    base: str = ""
    seeds: int = 1
    from_scratch: bool = False
    protocols: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    average: tuple[str, ...] = ()
    made_by: str = ""


@dataclass(frozen=True)
class Call:
    """A function of a module in the recipes' folder, and its options."""

    module: str
    function: str = ""
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ZooModel:
    """The built-in model that comes out of a recipe.

    Attributes
    ----------
    name, title, purpose, licence : str
    protocol, method : str
        Whose runs it is chosen from, by the loss on validation rows.
    limits : tuple of str
        Sentences for its card.
    sample : str
        File among the shipped samples whose first records' scores stand on the card.
    site : int, optional
        Base of the window, counted from 0, at which the site stands.
    site_name : str
        What that site is, such as TSS.
    """

    name: str
    title: str
    purpose: str
    licence: str
    protocol: str
    method: str
    limits: tuple[str, ...] = ()
    sample: str = ""
    site: int | None = None
    site_name: str = ""


@dataclass(frozen=True)
class Recipe:
    """A whole recipe; see the fields of its file in docs/recipes.md.

    Attributes
    ----------
    name : str
        Of the file.
    title, section, question : str
    order : int
        Place among all rows.
    metric : str
        Headline figure.
    metrics : tuple of str
        All that are shown.
    notes : tuple of str
    sources : tuple of Source
    published : tuple of Published
    protocols : dict of str to str
        Key to title.
    methods : dict of str to Method
    training : dict
        Of :class:`FinetuneSettings`, for all methods.
    baselines : tuple of str, optional
        None stands for all that fit.
    prepare, judge, run : Call, optional
    model : ZooModel, optional
    folder : Path
        Where the recipe and its modules lie.
    """

    name: str
    title: str
    section: str
    question: str
    order: int
    metric: str
    metrics: tuple[str, ...]
    notes: tuple[str, ...] = ()
    sources: tuple[Source, ...] = ()
    published: tuple[Published, ...] = ()
    protocols: dict[str, str] = field(default_factory=dict)
    methods: dict[str, Method] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    baselines: tuple[str, ...] | None = None
    prepare: Call | None = None
    judge: Call | None = None
    run: Call | None = None
    model: ZooModel | None = None
    folder: Path = Path()

    def __post_init__(self) -> None:
        if (self.prepare is None) == (self.run is None):
            raise SettingsError("it has to have either [prepare], with tables, or [run], a function of its own.")
        if self.metric not in self.metrics:
            raise SettingsError(f"metric '{self.metric}' is not among metrics.")
        if self.prepare and not (self.protocols and self.methods):
            raise SettingsError("a recipe with [prepare] needs [protocols.…] and [methods.…].")
        for place, protocol in self._named_protocols():
            if protocol not in self.protocols:
                raise SettingsError(f"{place} names the protocol '{protocol}', which is not there.")
        for place, given in (("training", self.training), *self._method_settings()):
            unknown = sorted(set(given) - _SETTINGS)
            if unknown:
                raise SettingsError(f"{place} has {', '.join(unknown)}, which are no settings of a training.")
        for key, method in self.methods.items():
            if is_naive(key) != method.from_scratch:
                raise SettingsError(f"methods.{key}: from_scratch goes with a name that begins with {NAIVE}.")
            self._check_average(key, method)
        if self.model and self.model.method not in self.methods:
            raise SettingsError(f"model names the method '{self.model.method}', which is not there.")
        if self.model and self.methods[self.model.method].average:
            raise SettingsError(f"model names the method '{self.model.method}', an average, which is no model.")

    def _check_average(self, key: str, method: Method) -> None:
        if bool(method.base) == bool(method.average):
            raise SettingsError(f"methods.{key} has to have either a base or an average.")
        if len(method.average) == 1 or (method.average and method.settings):
            raise SettingsError(f"methods.{key}: an average is of two methods or more and has no settings.")
        for name in method.average:
            part = self.methods.get(name)
            if part is None or part.average or part.from_scratch != method.from_scratch:
                kind = "from scratch" if method.from_scratch else "from a language model"
                raise SettingsError(f"methods.{key} averages '{name}', which is no method of one training {kind}.")
            lacking = [one for one in self.protocols if key in self.methods_of(one) and name not in self.methods_of(one)]
            if lacking:
                raise SettingsError(f"methods.{key} averages '{name}', which is not run under '{lacking[0]}'.")

    def _named_protocols(self) -> list[tuple[str, str]]:
        named = [(f"methods.{key}", item) for key, method in self.methods.items() for item in method.protocols]
        return named + ([("model", self.model.protocol)] if self.model else [])

    def _method_settings(self) -> list[tuple[str, dict[str, Any]]]:
        return [(f"methods.{key}.settings", method.settings) for key, method in self.methods.items()]

    def methods_of(self, protocol: str) -> dict[str, Method]:
        """Return the methods that are run under a protocol."""
        return {key: item for key, item in self.methods.items() if not item.protocols or protocol in item.protocols}


def list_recipes(folder: Path) -> list[Recipe]:
    """Read all recipes of a folder, in the order of the results."""
    if not folder.is_dir():
        raise RecipeError(
            f"There is no folder {folder}; recipes come with the source of genolm, and --recipes names their folder."
        )
    found = [read_recipe(path) for path in sorted(folder.glob("*.toml"))]
    return sorted(found, key=lambda recipe: (recipe.order, recipe.name))


def find_recipe(folder: Path, name: str) -> Recipe:
    """Return one recipe of a folder by its name."""
    path = folder / f"{name}.toml"
    if not _NAME.fullmatch(name) or not path.is_file():
        known = ", ".join(recipe.name for recipe in list_recipes(folder)) or "none"
        raise RecipeError(f"There is no recipe '{name}' in {folder}; there are: {known}.")
    return read_recipe(path)


def read_recipe(path: Path) -> Recipe:
    """Read a recipe's file.

    Raises
    ------
    RecipeError
        Names the file and the entry that is missing, unknown or wrong.
    """
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
        return _recipe(path, given)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} is no TOML file: {error}.") from error
    except (SettingsError, TypeError) as error:
        raise RecipeError(f"{path} cannot be used: {_plain(error)}") from error


def _plain(error: Exception) -> str:
    """Return what is wrong in words; Python says of a missing or unknown entry more than is wanted."""
    return re.sub(r"^[\w.]+\.__init__\(\) ", "", str(error)).replace("keyword argument", "entry")


def _recipe(path: Path, given: Mapping[str, Any]) -> Recipe:
    parts = dict(given)
    parts["sources"] = tuple(Source(**item) for item in parts.get("sources", ()))
    parts["published"] = tuple(_published(item) for item in parts.get("published", ()))
    parts["protocols"] = {key: item["title"] for key, item in parts.get("protocols", {}).items()}
    parts["methods"] = {key: _method(item) for key, item in parts.get("methods", {}).items()}
    for key in ("notes", "metrics"):
        parts[key] = tuple(parts.get(key, ()))
    for key, function in (("prepare", "tables"), ("judge", "judge"), ("run", "run")):
        parts[key] = Call(**{"function": function, **parts[key]}) if key in parts else None
    names = parts.get("baselines", {}).get("names")
    parts["baselines"] = None if names is None else tuple(names)
    if "model" in parts:
        parts["model"] = ZooModel(**{**parts["model"], "limits": tuple(parts["model"].get("limits", ()))})
    return Recipe(name=path.stem, folder=path.parent, **parts)


def _published(given: Mapping[str, Any]) -> Published:
    found = Published(**{"protocol": "", **given})
    if found.kind not in _PUBLISHED_KINDS:
        raise SettingsError(f"kind is '{found.kind}'; it must be one of {', '.join(_PUBLISHED_KINDS)}.")
    return found


def _method(given: Mapping[str, Any]) -> Method:
    lists = {key: tuple(given.get(key, ())) for key in ("protocols", "average")}
    return Method(**{**given, **lists})
