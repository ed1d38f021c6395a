"""Shared by the recipes of their own making: which models are there, and the parts of a result."""

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from genolm.bootstrap import Estimate
from genolm.errors import BundleError, GenolmError
from genolm.recipe_run import RecipeTask
from genolm.registry import ModelBundle, load_bundle

if TYPE_CHECKING:
    import plotly.graph_objects as go

MOST_FIGURE_BYTES = 150_000
DIGITS = 4


def available(task: RecipeTask, names: Iterable[str]) -> tuple[dict[str, ModelBundle], list[str]]:
    """Return the models that are there, by name, and a sentence for each that is not."""
    found, missing = {}, []
    for name in names:
        try:
            found[name] = load_bundle(task.models(name))
        except BundleError:
            missing.append(f"the model {name} is not there yet")
    return found, missing


def method(title: str, *, kind: str = "ours", base: str | None = None, **settings: Any) -> dict[str, Any]:
    """Return what a result says of a method; ``kind`` is ours, baseline or control."""
    return {"title": title, "kind": kind, "base": base, "settings": settings}


def scored(metrics: Mapping[str, Any], *, seed: int = 1, seconds: float | None = None) -> dict[str, Any]:
    """Return one method's figures, from estimates or ``value, low, high``, as one seed of a result."""
    plain = {
        name: item.as_dict() if isinstance(item, Estimate) else dict(item) for name, item in metrics.items()
    }
    return {"seed": seed, "metrics": plain, **({} if seconds is None else {"seconds": round(seconds, 1)})}


def difference(
    place: tuple[str, str, str], metric: str, change: Mapping[str, Any], p: float | None
) -> dict[str, Any]:
    """Return the difference of two methods; ``place`` is protocol, method and the other method."""
    protocol, first, other = place
    return {"protocol": protocol, "method": first, "other": other, "metric": metric, **change, "p": p}


def figure_part(name: str, title: str, caption: str, plot: "go.Figure") -> dict[str, Any]:
    """Return a figure for a result; one that is too large for its file is a :class:`GenolmError`."""
    data = json.loads(plot.to_json())
    data["layout"].pop("template", None)
    size = len(json.dumps(data))
    if size > MOST_FIGURE_BYTES:
        raise GenolmError(
            f"The figure {name} takes {size:,} bytes; at most {MOST_FIGURE_BYTES:,}: draw fewer points."
        )
    return {"name": name, "title": title, "caption": caption, "plotly": data}


def rounded(values: Iterable[float], digits: int = DIGITS) -> list[float | None]:
    """Return numbers for a figure, None for NaN."""
    return [None if value != value else round(float(value), digits) for value in values]
