"""The same run in other words: a job's arguments as a command to type, and as Python to run."""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from genolm.errors import SettingsError
from genolm.verbs import VERBS, Option, Verb, number_list, pair

LINE_WIDTH = 88
_SHORT = {"-m": "--model", "-o": "--out"}


@dataclass(frozen=True)
class Call:
    """A command line taken apart: the command and the value of each argument and option that was given."""

    command: str
    values: dict[str, Any] = field(default_factory=dict)

    @property
    def files(self) -> list[str]:
        """The files that it reads, in order."""
        values = [self.values.get(name, []) for name in VERBS[self.command].files]
        return [item for value in values for item in (value if isinstance(value, list) else [value])]


def command_arguments(command: str, **values: Any) -> list[str]:
    """Return the arguments of ``python -m genolm`` for a run, options with their default value left out.

    Parameters
    ----------
    command : str
        One of :data:`VERBS`.
    **values
        By the keywords of the table; None means not given.
    """
    verb = _verb(command)
    unknown = set(values) - {item.keyword for item in verb.options.values()} - set(_given(verb))
    if unknown:
        raise SettingsError(f"`genolm {command}` knows no {', '.join(sorted(unknown))}.")
    words = [command]
    for name in _given(verb):
        value = values[name]
        words += [str(item) for item in value] if isinstance(value, list | tuple) else [str(value)]
    for flag, option in verb.options.items():
        value = values.get(option.keyword)
        if value is not None and value != option.default:
            words += _words(flag, option, value)
    return words


def parse_arguments(arguments: Sequence[str]) -> Call:
    """Take the arguments of a job or of a run record apart.

    Raises
    ------
    SettingsError
        For a command or an option that the table does not have.
    """
    command, *rest = arguments or [""]
    verb = _verb(command)
    values: dict[str, Any] = {}
    loose: list[str] = []
    waiting = [part for word in rest for part in _halves(word)]
    while waiting:
        word = waiting.pop(0)
        if not word.startswith("-") or word == "-":
            loose.append(word)
            continue
        option, on = _option(verb, command, word)
        if option.read is bool:
            values[option.keyword] = on
            continue
        if not waiting:
            raise SettingsError(f"`genolm {command}`: {word} lacks its value.")
        value = option.read(waiting.pop(0))
        values[option.keyword] = (*values.get(option.keyword, ()), value) if option.many else value
    return Call(command, {**_placed(verb, loose), **values})


def shell_command(arguments: Sequence[str], *, paths: Mapping[str, str] | None = None) -> str:
    """Return the arguments of a job as a command to type, broken into lines at options.

    ``paths`` gives other names to files and folders: a path on the server -> what its user calls it.
    """
    command, *words = _renamed(arguments, paths)
    lines, line = [], f"genolm {command}"
    for group in _groups(parse_arguments(arguments).command, words):
        part = " ".join(shlex.quote(word) for word in group)
        if len(line) + len(part) + 3 > LINE_WIDTH:
            lines.append(line)
            line = "   "
        line += f" {part}"
    return " \\\n".join([*lines, line])


def python_code(arguments: Sequence[str], *, paths: Mapping[str, str] | None = None) -> str:
    """Return the arguments of a job as Python that does the same; ``paths`` as in :func:`shell_command`."""
    call = parse_arguments(_renamed(arguments, paths))
    verb = _verb(call.command)
    plain, settings = {}, {}
    for option in verb.options.values():
        value = call.values.get(option.keyword, option.default)
        if value != option.default and not option.typed:
            chosen = settings if option.setting else plain
            chosen[option.keyword] = value
    words = [_literal(call.values[name]) for name in verb.call]
    words += [f"{key}={_literal(value)}" for key, value in plain.items() if key not in verb.call]
    lines = ["import genolm"]
    if settings:
        module, name = verb.settings
        made = _call(name, [f"{key}={_literal(value)}" for key, value in settings.items()])
        lines += [f"from {module} import {name}", "", f"settings = {made}"]
        words.append("settings=settings")
    lines += ["", *_use(verb, words)]
    return "\n".join(lines)


def _use(verb: Verb, words: list[str]) -> list[str]:
    made = _call(f"genolm.{verb.function}", words)
    if not verb.result:
        return [made]
    name, _, shown = verb.result.partition(": ")
    return [f"{name} = {made}", f"print({shown})"]


def _call(name: str, words: list[str]) -> str:
    line = f"{name}({', '.join(words)})"
    if len(line) <= LINE_WIDTH - len("settings = "):
        return line
    return f"{name}(\n" + "".join(f"    {word},\n" for word in words) + ")"


def _literal(value: Any) -> str:
    if isinstance(value, list | tuple):
        inner = ", ".join(_literal(item) for item in value)
        if isinstance(value, list):
            return f"[{inner}]"
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"' if _is_plain(value) else repr(value)


def _is_plain(value: Any) -> bool:
    return isinstance(value, str) and value.isprintable() and value.isascii()


def _verb(command: str) -> Verb:
    if command not in VERBS:
        raise SettingsError(f"'{command}' cannot be shown as code; {', '.join(VERBS)} can.")
    return VERBS[command]


def _given(verb: Verb) -> list[str]:
    return [name.rstrip("*") for name in verb.given]


def _placed(verb: Verb, loose: list[str]) -> dict[str, Any]:
    """Return the arguments without a flag by their names."""
    several = verb.given[-1].endswith("*")
    if len(loose) < len(verb.given) or (len(loose) > len(verb.given) and not several):
        raise SettingsError(f"{len(loose)} arguments were given where {' '.join(_given(verb))} is expected.")
    if several:
        return {_given(verb)[-1]: loose}
    return dict(zip(verb.given, loose, strict=True))


def _option(verb: Verb, command: str, word: str) -> tuple[Option, bool]:
    flag = _SHORT.get(word, word)
    if flag in verb.options:
        return verb.options[flag], not verb.options[flag].default
    for option in verb.options.values():
        if option.off == flag:
            return option, False
    raise SettingsError(f"`genolm {command}` has no option {word}.")


def _halves(word: str) -> list[str]:
    return word.split("=", 1) if re.match(r"--[a-z][a-z-]*=", word) else [word]


def _words(flag: str, option: Option, value: Any) -> list[str]:
    if option.read is bool:
        return [option.off if option.off and not value else flag]
    if option.many:
        return [word for item in value for word in (flag, _word(option, item))]
    return [flag, _word(option, value)]


def _word(option: Option, value: Any) -> str:
    if option.read is pair:
        return "=".join(value)
    if option.read is number_list:
        return ",".join(f"{number:g}" for number in value)
    return str(value)


def _renamed(arguments: Sequence[str], paths: Mapping[str, str] | None) -> list[str]:
    """Return the arguments with the names that their user knows; options and their own values stay."""
    known = paths or {}
    return [known.get(word, word) for word in arguments]


def _groups(command: str, words: Sequence[str]) -> list[list[str]]:
    """Return the words in groups that belong on one line: an argument, or an option with its value."""
    verb, groups, rest = _verb(command), [], list(words)
    while rest:
        word = rest.pop(0)
        takes = word.startswith("--") and "=" not in word and _option(verb, command, word)[0].read is not bool
        groups.append([word, rest.pop(0)] if takes and rest else [word])
    return groups
