"""Run again from a record: the same command on the same files, after a look at what has changed."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from genolm.ascode import Call, command_arguments, parse_arguments
from genolm.compute import pick_device, pick_dtype
from genolm.errors import BundleError, SettingsError
from genolm.record import RECORD_ENDING, RECORD_NAME, RECORD_VERSION, code_facts, source_facts
from genolm.recording import answer_settings
from genolm.registry import load_bundle
from genolm.verbs import VERBS

_VARYING = {"seconds", "bases_per_second", "windows_per_second", "model"}
_PRECISIONS = {"bfloat16": "bf16", "float32": "fp32"}


@dataclass(frozen=True)
class Rerun:
    """A run that is about to be repeated.

    Attributes
    ----------
    arguments : tuple of str
        Of ``python -m genolm``.
    changed : tuple of str
        One sentence for each input or model that is not what it was: the result may differ.
    notes : tuple of str
        Other versions of the code than those that made the result, and another precision of the numbers where
        the run does not ask for one.
    record : Path
        Where the record of the new run will lie.
    """

    arguments: tuple[str, ...]
    changed: tuple[str, ...]
    notes: tuple[str, ...]
    record: Path


class _File(NamedTuple):
    """An input where it is now, the option or argument that names it, and what the record says of it."""

    keyword: str
    path: Path
    facts: Mapping[str, Any]


def read_record(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the record of a run that can be repeated.

    Raises
    ------
    SettingsError
        If it is no such record, of a newer format, or of a run that cannot be said as a command.
    """
    try:
        record = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror or error}.") from error
    except ValueError as error:
        raise SettingsError(f"{path} is no run record: it is not JSON.") from error
    if not isinstance(record, dict) or "command" not in record:
        raise SettingsError(f"{path} is no run record; genolm writes them as run.json and *.run.json.")
    version = record.get("record_version", 0)
    if not isinstance(version, int):
        raise SettingsError(f"{path} is no run record: record_version is {version!r}, not a whole number.")
    if version > RECORD_VERSION:
        raise SettingsError(f"{path} was written by a newer genolm; update genolm to repeat it.")
    if not record.get("arguments"):
        raise SettingsError(
            f"{path} does not say how its run was started, as records of older versions and of models in "
            "memory do not; it cannot be repeated."
        )
    damaged = [key for key, right in _PARTS.items() if not right(record.get(key))]
    if damaged:
        raise SettingsError(
            f"{path} is damaged: {' and '.join(damaged)} are missing or not as genolm writes them; take a whole "
            "copy of the record."
        )
    return record


def _are_facts(items: Any) -> bool:
    """Return whether these are the facts of files, as :func:`genolm.record.file_facts` gives them."""
    kinds = {"name": str, "bytes": int, "sha256": str}
    return isinstance(items, list) and all(
        isinstance(item, dict)
        and all(isinstance(item.get(key), kind) for key, kind in kinds.items())
        and isinstance(item.get("option", ""), str)
        for item in items
    )


_PARTS: Mapping[str, Callable[[Any], bool]] = {
    "arguments": lambda words: isinstance(words, list) and all(isinstance(word, str) for word in words),
    "inputs": _are_facts,
    "model": lambda facts: isinstance(facts, dict),
    "code": lambda facts: facts is None or isinstance(facts, dict),
    "compute": lambda facts: facts is None or isinstance(facts, dict),
    "results": lambda facts: facts is None or isinstance(facts, dict),
    "outputs": lambda items: items is None or _are_facts(items),
}


def plan_rerun(
    record_path: str | os.PathLike[str],
    *,
    out: str | os.PathLike[str],
    name: str | None = None,
    inputs: Sequence[str | os.PathLike[str]] = (),
) -> Rerun:
    """Look at what a record says and at what is there now, and return the run to repeat.

    Parameters
    ----------
    record_path : path
    out : path
        Folder for the results.
    name : str, optional
        Name for the new model of a training; by default the old one with ``-again``.
    inputs : sequence of path, optional
        The input files in the record's order, where they have moved. A file that is not where it was is also
        looked for beside the record. A folder of FASTA files counts as one file.

    Raises
    ------
    SettingsError
        If the record cannot be repeated or an input is not there.
    """
    record = read_record(record_path)
    call = _call(record, record_path)
    files = _find_files(call, record, Path(record_path), [Path(item) for item in inputs])
    changed = [*_changed_files(files), *_changed_model(call, record)]
    values = _moved(call, files, Path(out), name)
    verb = VERBS[call.command]
    written = Path(values.get(verb.out, out))
    new = written.with_name(written.name + RECORD_ENDING) if verb.beside else written / RECORD_NAME
    return Rerun(tuple(command_arguments(call.command, **values)), tuple(changed), _notes(call, record), new)


def _call(record: Mapping[str, Any], path: str | os.PathLike[str]) -> Call:
    try:
        return parse_arguments(record["arguments"])
    except ValueError as error:
        raise SettingsError(f"{path} is damaged: its arguments cannot be read ({error}).") from error


def compare_records(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[str, ...]:
    """Return one sentence for each file and count in which two runs differ; nothing if they are the same."""
    found = []
    before = {item["name"]: item["sha256"] for item in old.get("outputs", [])}
    after = {item["name"]: item["sha256"] for item in new.get("outputs", [])}
    for name in before:
        if name not in after:
            found.append(f"{name} was not written again.")
        elif before[name] != after[name]:
            found.append(f"{name} differs.")
    for key, value in old.get("results", {}).items():
        other = new.get("results", {}).get(key)
        if key not in _VARYING and other != value:
            found.append(f"{key} was {json.dumps(value)} and is {json.dumps(other)}.")
    return tuple(found)


def _find_files(call: Call, record: Mapping[str, Any], record_path: Path, given: list[Path]) -> list[_File]:
    named = VERBS[call.command].named_files(call.values)
    if given and len(given) != len(named):
        raise SettingsError(f"The run reads {len(named)} files; {len(given)} were given with --input.")
    said = {item["option"]: item for item in record["inputs"] if "option" in item}
    # Where no option is told, as of arguments and in older records, the facts are in the order of the files.
    others = iter([item for item in record["inputs"] if "option" not in item])
    found = []
    for number, (keyword, word) in enumerate(named):
        facts = said[keyword] if keyword in said else next(others, {})
        wanted = given[number] if given else Path(word)
        beside = record_path.absolute().parent / facts.get("name", wanted.name)
        path = next((item for item in (wanted, beside) if item.exists()), None)
        if path is None:
            raise SettingsError(f"The input {wanted} is not there any more; say where it is with --input.")
        found.append(_File(keyword, path.absolute(), facts))
    return found


def _changed_files(files: Sequence[_File]) -> list[str]:
    found = []
    for _, path, before in files:
        now = source_facts(path)
        if before and now["sha256"] != before["sha256"]:
            what = "folder" if path.is_dir() else "file"
            found.append(
                f"{path.name} is not the {what} of that run: it has {now['bytes']:,} bytes with SHA-256 "
                f"{now['sha256'][:12]}, and then had {before['bytes']:,} with {before['sha256'][:12]}."
            )
    return found


def _changed_model(call: Call, record: Mapping[str, Any]) -> list[str]:
    before = record.get("model", {})
    named = call.values.get("model") or call.values.get("base")
    if not named or not before.get("sha256"):
        return []
    try:
        bundle = load_bundle(named)
    except BundleError as error:
        raise SettingsError(f"The model of that run cannot be used: {error}") from error
    if bundle.sha256 != before["sha256"]:
        return [f"The model {named} has other weights: SHA-256 {bundle.sha256[:12]}, and then {before['sha256'][:12]}."]
    then, now = before.get("answers") or {}, answer_settings(bundle.config)
    other = [key for key in now if key in then and then[key] != now[key]]
    if not other:
        return []
    return [f"The model {named} has the same weights and answers otherwise: its {', '.join(other)} changed since."]


def _notes(call: Call, record: Mapping[str, Any]) -> tuple[str, ...]:
    now, before = code_facts(), dict(record.get("code") or {})
    # Numbers that the arguments do not choose are those of the machine.
    then = (record.get("compute") or {}).get("precision")
    if then and call.values.get("precision", "auto") == "auto":
        dtype = str(pick_dtype("auto", pick_device())).removeprefix("torch.")
        now["precision"], before["precision"] = _PRECISIONS[dtype], _PRECISIONS.get(str(then), then)
    return tuple(
        f"{name} is {now[name]} here and was {before[name]} then."
        for name in now
        if name in before and before[name] != now[name]
    )


def _moved(call: Call, files: Sequence[_File], out: Path, name: str | None) -> dict[str, Any]:
    """Return the values of a call with the files where they are now and new places for what it makes."""
    verb, values = VERBS[call.command], dict(call.values)
    for key in {file.keyword for file in files}:
        paths = [str(file.path) for file in files if file.keyword == key]
        values[key] = paths if isinstance(values[key], list) else paths[0]
    if verb.out:
        place = out / (Path(values[verb.out]).name or call.command) if verb.beside else out
        values[verb.out] = str(place.absolute())
    if "name" in values:
        values["name"] = name or f"{values['name']}-again"
    if "out_dir" in values:
        values["out_dir"] = str((out / (name or f"{Path(values['out_dir']).name}-again")).absolute())
    return values
