"""Recipes with a function of their own: what an earlier result has stays, finished parts go from machine to machine.

Such a function says itself of what rows and settings its figures are. Runs of an earlier result stay where it says
the same of them as that result; where it does not, nothing is written over.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from genolm.recipe_config import Recipe, RecipeError
from genolm.recipe_earlier import gaps_of, machines_of, pair_of
from genolm.record import plain
from genolm.workspace import atomic_write, lock_beside


def of_same_sources(earlier: Mapping[str, Any], recipe: Recipe) -> Mapping[str, Any]:
    """Return an earlier result if it is of the very files that the recipe reads, else an empty one."""
    read = {item["file"]: item["sha256"] for item in earlier.get("sources", ())}
    return earlier if read == {item.file: item.sha256 for item in recipe.sources} else {}


def joined(result: dict[str, Any], earlier: Mapping[str, Any]) -> dict[str, Any]:
    """Return a result with the runs that an earlier one alone has.

    Parameters
    ----------
    result : dict
        With ``protocols``, ``methods``, ``scores`` and ``differences``. A protocol's ``rows``, ``record`` and
        ``drawn_by`` and a method's ``kind``, ``base``, ``settings``, ``network`` and ``facts`` tell of what its runs
        are; those of which nothing is finished here are told too, or their earlier runs cannot stay.
    earlier : mapping
        A result of the same sources; an empty one adds nothing.

    Returns
    -------
    dict
        Runs come from ``earlier`` where both tell the same of the protocol and of the method. A method with runs
        of both has no figures ``together`` and no paired differences, since their answers are not side by side.
        Earlier differences stay where both methods have the very figures that they had.
    """
    scores = {key: dict(found) for key, found in result["scores"].items()}
    mixed, taken = set(), False
    for protocol, method, runs in list(_left(result, earlier)):
        if not _is_same(result, earlier, protocol, method):
            continue
        own, taken = scores.setdefault(protocol, {}).get(method), True
        if own:
            mixed.add((protocol, method))
            scores[protocol][method] = {"seeds": sorted([*own["seeds"], *runs], key=lambda run: run["seed"])}
        else:
            scores[protocol][method] = earlier["scores"][protocol][method]
    gaps = [item for item in result["differences"] if not pair_of(item) & mixed]
    found = {**result, "scores": scores, "differences": [*gaps, *_earlier_gaps(earlier, gaps, scores)]}
    if not taken:
        return found
    in_order = {key: _in_order(item, result["methods"]) for key, item in _in_order(scores, result["protocols"]).items()}
    machine = {**result.get("machine", {}), "earlier": machines_of(earlier)}
    return {**found, "scores": in_order, "machine": machine}


def check_nothing_lost(result: Mapping[str, Any], earlier: Mapping[str, Any], path: Path, written: Path) -> None:
    """Refuse to write a result over an earlier one that has runs which it has not.

    Parameters
    ----------
    result, earlier : mapping
        As it is to be written, and as it is there.
    path : Path
        Of the earlier one.
    written : Path
        Where the result is in any case.

    Raises
    ------
    RecipeError
        Names those runs.
    """
    lost = lost_of(result, earlier)
    if lost:
        raise RecipeError(
            f"{path} has figures that this run has not, and nothing tells that they are of the same rows and "
            f"settings: {'; '.join(lost)}. It stays as it is. Name another --into, or remove it to have the figures "
            f"of this run alone, which are in {written}."
        )


def lost_of(result: Mapping[str, Any], earlier: Mapping[str, Any]) -> list[str]:
    """Return in words which runs an earlier result has and this one has not: protocol, method and seeds."""
    return [
        f"{_title(earlier, 'protocols', protocol)}, {_title(earlier, 'methods', method)}, "
        f"{result.get('repeat', 'seed')} {', '.join(str(run['seed']) for run in runs)}"
        for protocol, method, runs in _left(result, earlier)
    ]


def _left(result: Mapping[str, Any], earlier: Mapping[str, Any]) -> Iterator[tuple[str, str, list[Any]]]:
    """Yield protocol, method and the runs that the earlier result alone has."""
    for protocol, methods in earlier.get("scores", {}).items():
        for method, found in methods.items():
            own = result["scores"].get(protocol, {}).get(method, {"seeds": ()})
            done = {run["seed"] for run in own["seeds"]}
            if runs := [run for run in found["seeds"] if run["seed"] not in done]:
                yield protocol, method, runs


def _is_same(result: Mapping[str, Any], earlier: Mapping[str, Any], protocol: str, method: str) -> bool:
    """Return whether two results tell the same of a protocol and a method.

    Of the record, the network and the facts only what both tell is compared: an older genolm told less.
    """
    mine, theirs = ([item["protocols"].get(protocol), item["methods"].get(method)] for item in (result, earlier))
    if None in mine or None in theirs:
        return False
    (rows, way), (their_rows, their_way) = plain(mine), plain(theirs)
    if rows.get("drawn_by") != their_rows.get("drawn_by"):
        return False
    if not (rows.get("rows") or rows.get("record")) or rows.get("rows") != their_rows.get("rows"):
        return False
    if any(way.get(key) != their_way.get(key) for key in ("kind", "base", "settings")):
        return False
    told = [{**item.get("facts", {}), "network": item.get("network")} for item in (way, their_way)]
    return _agree(rows.get("record", {}), their_rows.get("record", {})) and _agree(*told)


def _agree(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return all(None in (one[key], other[key]) or one[key] == other[key] for key in one.keys() & other.keys())


def _in_order(found: Mapping[str, Any], order: Iterable[str]) -> dict[str, Any]:
    """Return what is in an order in that order, then the rest."""
    return {key: found[key] for key in (*order, *found) if key in found}


def _earlier_gaps(
    earlier: Mapping[str, Any], own: list[dict[str, Any]], scores: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Return the paired differences that the earlier result alone has, of methods whose figures are as they were."""
    same = {
        (protocol, method)
        for protocol, methods in earlier.get("scores", {}).items()
        for method, found in methods.items()
        if _figures(found) == _figures(scores.get(protocol, {}).get(method, {"seeds": ()}))
    }
    return gaps_of(earlier, own, same)


def _figures(found: Mapping[str, Any]) -> dict[int, Any]:
    """Return all figures of a method by seed."""
    return {run["seed"]: plain(run["metrics"]) for run in found["seeds"]}


def _title(result: Mapping[str, Any], what: str, key: str) -> str:
    return result.get(what, {}).get(key, {}).get("title", key)


@contextmanager
def kept_parts(parts: Path, kept: Path | None) -> Iterator[None]:
    """Begin with the finished parts of here and of a file that is kept elsewhere, and keep those of both in the end.

    They are kept when the block is cut off, too. Of a part that both have the one of here counts.

    Parameters
    ----------
    parts : Path
        JSON with ``parts``, by name, and whatever else a function of a recipe's own writes beside them.
    kept : Path, optional
        Of the same form.

    Raises
    ------
    RecipeError
        One of them is of another form, or they differ in what else is in them, such as the format's version.
    """
    if kept and kept.is_file():
        _write_whole(parts, _parts_of_both(parts, kept))
    try:
        yield
    finally:
        if kept and parts.is_file():
            kept.parent.mkdir(parents=True, exist_ok=True)
            with lock_beside(kept):
                _write_whole(kept, _parts_of_both(parts, kept))


def _parts_of_both(parts: Path, kept: Path) -> dict[str, Any]:
    here, there = (_read_parts(path) if path.is_file() else None for path in (parts, kept))
    if here is None or there is None:
        return here or there or {}
    if {**here, "parts": None} != {**there, "parts": None}:
        raise RecipeError(f"{parts} and {kept} hold finished parts of different formats: move one of them away.")
    return {**here, "parts": {**there["parts"], **here["parts"]}}


def _read_parts(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {**found, "parts": dict(found["parts"])}
    except (ValueError, TypeError, KeyError) as error:
        raise RecipeError(f"{path} is no file of finished parts ({error!r}): move it away.") from error


def _write_whole(path: Path, data: Mapping[str, Any]) -> None:
    """Write JSON as it was read, NaN too."""
    with atomic_write(path) as stream:
        stream.write((json.dumps(data, indent=2) + "\n").encode())
