"""The results of the recipes, read from their files and checked: one JSON file for each row.

``genolm recipe run`` writes format 1; :mod:`genolm.results_reading` says in words what the figures mean, and
:mod:`genolm.results_text` makes ``docs/results.md`` of them.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from genolm.bootstrap import Estimate
from genolm.errors import GenolmError, SettingsError
from genolm.published import Lead, Published
from genolm.result_row import (
    BASELINE,
    CONTROL,
    OURS,
    RESULT_FORMAT,
    Figure,
    Gap,
    Method,
    Protocol,
    RowResult,
    Run,
    Scores,
    Source,
)
from genolm.workspace import results_dir

_NAN = float("nan")


class ResultError(GenolmError):
    """A result file that cannot be read: names the file and what in it is missing or wrong."""


def read_results(folder: Path | None = None) -> tuple[RowResult, ...]:
    """Read all result files of a folder, by default those shipped with genolm, in their order.

    Raises
    ------
    ResultError
        The folder is not there, or at the first file that cannot be read; :func:`open_results` goes on.
    """
    return _sorted([read_result(path) for path in _files(folder)])


def open_results(folder: Path | None = None) -> tuple[tuple[RowResult, ...], tuple[str, ...]]:
    """Read what can be read of a folder; return the rows, and a sentence for each broken file.

    A folder that is not there has no rows, and a sentence that says so.
    """
    rows, faults = [], []
    try:
        paths = _files(folder)
    except ResultError as error:
        return (), (str(error),)
    for path in paths:
        try:
            rows.append(read_result(path))
        except ResultError as error:
            faults.append(str(error))
    return _sorted(rows), tuple(faults)


def read_result(path: str | Path) -> RowResult:
    """Read one result file.

    Raises
    ------
    ResultError
        Not there, no JSON, of a newer format, or an entry is missing or of the wrong kind.
    """
    path = Path(path)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ResultError(f"{path} cannot be read: {error.strerror or error}.") from error
    except ValueError as error:
        raise ResultError(f"{path} is no JSON file ({error}); run its recipe again.") from error
    if not isinstance(data, dict):
        raise ResultError(f"{path} holds no result of a recipe; run its recipe again.")
    if data.get("format") != RESULT_FORMAT:
        known = f"this genolm reads {RESULT_FORMAT}; use the genolm that wrote it, or run its recipe again"
        raise ResultError(f"{path} has format {data.get('format')!r}, {known}.")
    try:
        return _row(path, data)
    except KeyError as error:
        raise ResultError(f"{path} has no entry {error}; run its recipe again.") from error
    except (TypeError, ValueError, AttributeError, SettingsError) as error:
        raise ResultError(f"{path} cannot be used: {error}; run its recipe again.") from error


def _files(folder: Path | None) -> list[Path]:
    """Return the result files of a folder; the shipped one may be missing, one that is named may not."""
    place = results_dir() if folder is None else Path(folder)
    if folder is not None and not place.is_dir():
        raise ResultError(f"There is no folder {place}; name one that holds result files of recipes.")
    return sorted(place.glob("*.json"))


def _sorted(rows: list[RowResult]) -> tuple[RowResult, ...]:
    return tuple(sorted(rows, key=lambda row: (row.order, row.name)))


def _row(path: Path, data: Mapping[str, Any]) -> RowResult:
    words = {key: _text(data[key], key) for key in ("name", "title", "section", "question", "metric")}
    listed = ("metrics", "notes", "missing", "unplanned")
    lists = {key: tuple(str(item) for item in data.get(key) or ()) for key in listed}
    makers: dict[str, Callable[..., Any]] = {"published": _published, "sources": _source, "figures": _figure}
    found = {key: tuple(make(item) for item in data.get(key) or ()) for key, make in makers.items()}
    protocols = {key: _protocol(key, item) for key, item in (data.get("protocols") or {}).items()}
    methods = {key: _method(key, item) for key, item in (data.get("methods") or {}).items()}
    scores = {
        protocol: {method: _scores(item, f"scores.{protocol}.{method}") for method, item in parts.items()}
        for protocol, parts in (data.get("scores") or {}).items()
    }
    return RowResult(
        path=path,
        order=int(data["order"]),
        protocols={**{key: _protocol(key, {}) for key in scores}, **protocols},
        methods=methods,
        scores=scores,
        gaps=tuple(_gap(item) for item in data.get("differences") or ()),
        machine=dict(data.get("machine") or {}),
        seconds=_number(data.get("seconds"), "seconds"),
        date=str(data.get("date") or ""),
        version=str(data.get("version") or ""),
        repeat=str(data.get("repeat") or "seed"),
        **words,
        **{**lists, "metrics": lists["metrics"] or (words["metric"],)},
        **found,
    )


def _published(item: Mapping[str, Any]) -> Published:
    scores = {key: _number(value, f"published.{key}") for key, value in item["scores"].items()}
    known = {key: value for key, value in scores.items() if value is not None}
    words = {key: str(item.get(key) or "") for key in ("kind", "protocol", "source", "beside", "leak")}
    sizes = {key: tuple(int(count) for count in item.get(key) or ()) for key in ("counts", "rows")}
    leads = {key: _lead(value, f"published.leads.{key}") for key, value in (item.get("leads") or {}).items()}
    name, other_test = _text(item["name"], "name"), bool(item.get("other_test"))
    return Published(name, scores=known, leads=leads, other_test=other_test, **words, **sizes)


def _lead(item: Mapping[str, Any], place: str) -> Lead:
    return Lead(_text(item["method"], f"{place}.method"), _estimate(item, place), _number(item.get("p"), f"{place}.p"))


def _source(item: Mapping[str, Any]) -> Source:
    return Source(
        _text(item["file"], "file"), *(str(item.get(key) or "") for key in ("sha256", "url", "licence", "get"))
    )


def _figure(item: Mapping[str, Any]) -> Figure:
    if not isinstance(item["plotly"], Mapping):
        raise TypeError(f"the figure {item.get('name')!r} is no figure of plotly")
    title, caption = (str(item.get(key) or "") for key in ("title", "caption"))
    return Figure(_text(item["name"], "name"), title, caption, dict(item["plotly"]))


def _protocol(key: str, item: Mapping[str, Any]) -> Protocol:
    rows = {part: int(count) for part, count in (item.get("rows") or {}).items()}
    title, digest = str(item.get("title") or key), str(item.get("table_sha256") or "")
    pools = tuple(str(part) for part in item.get("pools") or ())
    uncounted, drawn_over = (str(item.get(word) or "") for word in ("uncounted", "drawn_over"))
    record, is_seen, groups = dict(item.get("record") or {}), bool(item.get("seen")), int(item.get("drawn_groups") or 0)
    return Protocol(title, rows, digest, record, is_seen, pools, uncounted, drawn_over, groups)


def _method(key: str, item: Mapping[str, Any] | str) -> Method:
    if isinstance(item, str):
        return Method(item, OURS, None, {})
    kind = str(item.get("kind") or OURS)
    if kind not in (OURS, BASELINE, CONTROL):
        raise ValueError(f"methods.{key}.kind is '{kind}', not {OURS}, {BASELINE} or {CONTROL}")
    settings = dict(item.get("settings") or {})
    title, aside = str(item.get("title") or key), str(item.get("aside") or "")
    return Method(title, kind, item.get("base"), settings, item.get("network"), aside)


def _scores(item: Mapping[str, Any], place: str) -> Scores:
    seeds = [
        Run(
            int(run.get("seed") or place_of),
            _metrics(run.get("metrics") or {}, place),
            _number(run.get("seconds"), f"{place}.seconds"),
            run.get("best_epoch"),
            _number(run.get("valid_loss"), f"{place}.valid_loss"),
            run.get("weights"),
        )
        for place_of, run in enumerate(item.get("seeds") or (), start=1)
    ]
    return Scores(tuple(seeds), _metrics(item.get("together") or {}, place))


def _metrics(item: Mapping[str, Any], place: str) -> dict[str, Estimate]:
    return {key: _estimate(value, f"{place}.{key}") for key, value in item.items()}


def _estimate(item: Any, place: str) -> Estimate:
    parts: Sequence[Any] = [item, None, None]
    if isinstance(item, Mapping):
        parts = [item.get(key) for key in ("value", "low", "high")]
    numbers = [_number(part, place) for part in parts]
    return Estimate(*(_NAN if number is None else number for number in numbers))


def _gap(item: Mapping[str, Any]) -> Gap:
    words = (_text(item[key], f"differences.{key}") for key in ("protocol", "method", "other", "metric"))
    return Gap(*words, _estimate(item, "differences"), _number(item.get("p"), "differences.p"))


def _number(value: Any, place: str) -> float | None:
    if value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)):
        return None if value is None or not math.isfinite(value) else float(value)
    raise TypeError(f"{place} is {value!r}, not a number")


def _text(value: Any, place: str) -> str:
    if isinstance(value, str) and value.strip():
        return value
    raise TypeError(f"{place} is {value!r}, not a text")
