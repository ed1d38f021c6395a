"""What a recipe says: the file ``recipes/<name>.toml`` that makes one row of the results.

A recipe either names tables and the ways to train on them, and everything else is the same for all
(:mod:`genolm.recipe_run`), or a function of its own that returns the row's figures.
"""

import re
import reprlib
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from genolm.config import FinetuneSettings
from genolm.errors import GenolmError, SettingsError
from genolm.published import Published
from genolm.result_row import NAIVE, Source, is_naive

_NAME = re.compile(r"[a-z0-9][a-z0-9-]*")
_PUBLISHED_KINDS = ("original", "best", "other")
_SETTINGS = get_type_hints(FinetuneSettings)
DRAWN_BY = ("group", "similarity")
_KINDS = ("from scratch", "from a language model", "language model fine-tuned first")
# Entries that a file may leave out though their class wants them.
_USUAL: dict[type, dict[str, Any]] = {Published: {"protocol": ""}}
# How a type is called, and what TOML gives for it; that True is an int in Python counts for nothing.
_TYPES: dict[Any, tuple[str, tuple[type, ...]]] = {
    str: ("a text", (str,)),
    int: ("a whole number", (int,)),
    float: ("a number", (float, int)),
    bool: ("true or false", (bool,)),
    tuple: ("a list", (list,)),
    dict: ("a table", (dict,)),
}


class RecipeError(GenolmError):
    """A recipe that cannot be read or run: names the file, and what to change or where to get what is missing."""


@dataclass(frozen=True)
class Method:
    """One way to train, or to answer by what others have trained.

    Attributes
    ----------
    title : str
    base : str
        Language model to start from; name or path. "" where nothing is trained.
    seeds : int
        Runs with seeds 1, 2, ...
    from_scratch : bool
        Take only the tokens of ``base``; where nothing is trained, whether those that are taken do.
    protocols : tuple of str
        Where it is run; all if empty.
    settings : dict
        Of :class:`FinetuneSettings`, over those that hold for all methods.
    average : tuple of str
        Other methods, whose probabilities are averaged, seed by seed.
    framed_of : str
        Another method, whose networks answer again by readings from each of the first bases
        (:mod:`genolm.readings`).
    made_by : str
        Command that makes ``base``, where that is no built-in model.
    aside : str
        Why the loss on validation rows does not choose it, in words that go on a sentence; "" where it does.
    """

    title: str
    base: str = ""
    seeds: int = 1
    from_scratch: bool = False
    protocols: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    average: tuple[str, ...] = ()
    framed_of: str = ""
    made_by: str = ""
    aside: str = ""

    @property
    def parts(self) -> tuple[str, ...]:
        """The methods that it is made of without a training."""
        return self.average or ((self.framed_of,) if self.framed_of else ())


@dataclass(frozen=True)
class Protocol:
    """One way to divide the data.

    Attributes
    ----------
    title : str
    uncounted : str
        Why no count of rows has its figures, in words that go on a sentence; "" where one has.
    drawn_over : str
        What groups of test rows its intervals are drawn over, in words; "" where it is rows.
    drawn_by : str
        What tells these groups: ``group``, the column of the table, or ``similarity``, clusters of the test rows among
        themselves (:mod:`genolm.splits`), not by way of training rows.
    """

    title: str
    uncounted: str = ""
    drawn_over: str = ""
    drawn_by: str = ""

    def as_dict(self) -> dict[str, str]:
        """Return what is said of it, and nothing else."""
        return {key: value for key, value in vars(self).items() if value}


def _check_drawn(place: str, item: Protocol) -> None:
    ways = " or ".join(DRAWN_BY)
    if item.drawn_over and item.drawn_by not in DRAWN_BY:
        raise SettingsError(f"{place}.drawn_by is {item.drawn_by!r}; as there is drawn_over, it must be {ways}.")
    if item.drawn_by and not item.drawn_over:
        raise SettingsError(f"{place} has drawn_by, so it has to say in drawn_over, in words, what is drawn.")


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
    scan_limit : str
        What stands against scanning a genome with it, "" where nothing does; one of the limits too.
    sample : str
        File among the shipped samples whose first records' scores stand on the card.
    sample_kinds : tuple of str
        Take records of these kinds, one of each in turn; all if empty.
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
    scan_limit: str = ""
    sample: str = ""
    sample_kinds: tuple[str, ...] = ()
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
    protocols : dict of str to Protocol
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
    protocols: dict[str, Protocol] = field(default_factory=dict)
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
        for protocol, item in self.protocols.items():
            _check_drawn(f"protocols.{protocol}", item)
        for place, given in (("training", self.training), *self._method_settings()):
            unknown = sorted(given.keys() - _SETTINGS)
            if unknown:
                raise SettingsError(f"{place} has {', '.join(unknown)}, which are no settings of a training.")
            for key, value in given.items():
                _built(_SETTINGS[key], value, f"{place}.{key}")
        known = (*self.methods, NAIVE, "")
        if self.prepare and (strange := [item.beside for item in self.published if item.beside not in known]):
            raise SettingsError(f"published.beside is '{strange[0]}', which is no method.")
        for key, method in self.methods.items():
            if method.seeds < 1:
                raise SettingsError(f"methods.{key}.seeds is {method.seeds}; it must be 1 or more.")
            if is_naive(key) != method.from_scratch:
                raise SettingsError(f"methods.{key}: from_scratch goes with a name that begins with {NAIVE}.")
            self._check_parts(key, method)
        if self.model and self.model.method not in self.methods:
            raise SettingsError(f"model names the method '{self.model.method}', which is not there.")
        if self.model and self.methods[self.model.method].average:
            raise SettingsError(f"model names the method '{self.model.method}', an average, which is no model.")

    def _check_parts(self, key: str, method: Method) -> None:
        if sum(map(bool, (method.base, method.average, method.framed_of))) != 1:
            raise SettingsError(f"methods.{key} has to have one of base, average and framed_of.")
        if len(method.average) == 1 or (method.parts and method.settings):
            raise SettingsError(f"methods.{key}: an average is of two methods or more, and only a base has settings.")
        does = "averages" if method.average else "reads again"
        for name in method.parts:
            part = self.methods.get(name)
            is_made = part is None or part.average or (part.framed_of and method.framed_of)
            if is_made or part.from_scratch != method.from_scratch:
                kind = "from scratch" if method.from_scratch else "from a language model"
                raise SettingsError(f"methods.{key} {does} '{name}', which is no method of one training {kind}.")
            if method.framed_of and part.seeds < method.seeds:
                raise SettingsError(f"methods.{key} has {method.seeds} seeds, '{name}' only {part.seeds}.")
            asked = [one for one in self.protocols if key in self.methods_of(one)]
            lacking = [one for one in asked if name not in self.methods_of(one)]
            if lacking:
                raise SettingsError(f"methods.{key} {does} '{name}', which is not run under '{lacking[0]}'.")

    def bases_of(self, method: Method) -> tuple[str, ...]:
        """Return the language models that a method starts from, each once; those of its parts where it is of some."""
        if not method.parts:
            return (method.base,)
        return tuple(dict.fromkeys(base for name in method.parts for base in self.bases_of(self.methods[name])))

    def _named_protocols(self) -> list[tuple[str, str]]:
        named = [(f"methods.{key}", item) for key, method in self.methods.items() for item in method.protocols]
        return named + ([("model", self.model.protocol)] if self.model else [])

    def _method_settings(self) -> list[tuple[str, dict[str, Any]]]:
        return [(f"methods.{key}.settings", method.settings) for key, method in self.methods.items()]

    def methods_of(self, protocol: str) -> dict[str, Method]:
        """Return the methods that are run under a protocol."""
        return {key: item for key, item in self.methods.items() if not item.protocols or protocol in item.protocols}

    def unplanned(self) -> list[str]:
        """Return the kinds of training that are not asked for, in words: protocol and kinds."""
        found = []
        for key, protocol in self.protocols.items():
            planned = {self._kind_of(item) for item in self.methods_of(key).values() if item.base}
            lacking = [kind for kind in _KINDS if kind not in planned]
            found += [f"{protocol.title}: {', '.join(lacking)}"] if lacking else []
        return found

    def _kind_of(self, method: Method) -> str:
        return _KINDS[0 if method.from_scratch else 2 if method.settings.get("adapt") else 1]


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
        Names the file and the entry that is missing, unknown or wrong, with what is there and what is wanted.
    """
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
        return _recipe(path, given)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} is no TOML file: {error}.") from error
    except SettingsError as error:
        raise RecipeError(f"{path} cannot be used: {error}") from error


@dataclass(frozen=True)
class _Baselines:
    """What a file says of the baselines."""

    names: tuple[str, ...] | None = None


def _recipe(path: Path, given: Mapping[str, Any]) -> Recipe:
    hints = get_type_hints(Recipe) | {"baselines": _Baselines}
    parts = _entries(Recipe, given, "", {key: hints[key] for key in hints.keys() - {"name", "folder"}})
    parts["baselines"] = parts.get("baselines", _Baselines()).names
    for key, function in (("prepare", "tables"), ("judge", "judge"), ("run", "run")):
        if key in parts and not parts[key].function:
            parts[key] = replace(parts[key], function=function)
    for number, item in enumerate(parts.get("published", ()), start=1):
        if item.kind not in _PUBLISHED_KINDS:
            wanted = ", ".join(_PUBLISHED_KINDS)
            raise SettingsError(f"published[{number}].kind is '{item.kind}'; it must be one of {wanted}.")
        if item.leads:
            raise SettingsError(f"published[{number}].leads is measured by a recipe, not said by it; leave it out.")
    return Recipe(name=path.stem, folder=path.parent, **parts)


def _entries(kind: type, value: Any, place: str, hints: Mapping[str, Any]) -> dict[str, Any]:
    """Return a table of a file as what a dataclass is made of; refuse unknown, missing and wrong entries."""
    given = {**_USUAL.get(kind, {}), **_built(dict[str, Any], value, place)}
    for key in given:
        if key not in hints:
            raise SettingsError(f"{place or 'it'} has an entry '{key}'; there can be {', '.join(sorted(hints))}.")
    for item in fields(kind):
        is_needed = item.name in hints and item.default is MISSING and item.default_factory is MISSING
        if is_needed and item.name not in given:
            wanted = _TYPES[get_origin(hints[item.name]) or hints[item.name]][0]
            raise SettingsError(f"{place or 'it'} has no entry '{item.name}'; {wanted} must be there.")
    front = f"{place}." if place else ""
    return {key: _built(hints[key], item, front + key) for key, item in given.items()}


def _built(kind: Any, value: Any, place: str) -> Any:
    """Return a value of a file as the type that a hint names; of a list, ``place[1]`` is the first item."""
    if get_origin(kind) is UnionType:
        kind = get_args(kind)[0]
    if kind is Any:
        return value
    if is_dataclass(kind):
        return kind(**_entries(kind, value, place, get_type_hints(kind)))  # type: ignore[operator, arg-type]
    plain, inner = get_origin(kind) or kind, get_args(kind)
    wanted, types = _TYPES[plain]
    if type(value) not in types:
        raise SettingsError(f"{place} is {reprlib.repr(value)}; it must be {wanted}.")
    if plain is dict:
        return {key: _built(inner[1], item, f"{place}.{key}") for key, item in value.items()}
    return _items(inner, value, place) if plain is tuple else value


def _items(kinds: tuple[Any, ...], values: list[Any], place: str) -> tuple[Any, ...]:
    """Return a list of a file as a tuple; ``kinds`` ends with an ellipsis where it may be of any length."""
    if kinds[-1] is Ellipsis:
        kinds = kinds[:1] * len(values)
    if len(kinds) != len(values):
        raise SettingsError(f"{place} is {reprlib.repr(values)}; it must be a list of {len(kinds)}.")
    pairs = enumerate(zip(kinds, values, strict=True), start=1)
    return tuple(_built(kind, value, f"{place}[{number}]") for number, (kind, value) in pairs)
