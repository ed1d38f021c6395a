"""A recipe's finished steps as one result: figures over seeds, paired differences, and what was not run."""

import os
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import genolm.compute  # noqa: F401  sets the OpenMP wait policy before torch is loaded

from genolm.bootstrap import Statistic, paired_bootstrap
from genolm.compute import device_name
from genolm.metrics import statistic_for
from genolm.published import Published
from genolm.recipe_config import Recipe
from genolm.recipe_steps import Ground, Step, mean_answer
from genolm.record import code_version, file_facts
from genolm.result_row import RESULT_FORMAT, is_naive


def frame_of(recipe: Recipe) -> dict[str, Any]:
    """Return what a result says of its recipe, before any figure."""
    return {
        "format": RESULT_FORMAT,
        **{key: getattr(recipe, key) for key in ("name", "title", "section", "order", "question", "metric")},
        "metrics": list(recipe.metrics),
        "notes": list(recipe.notes),
        "published": [_told(item) for item in recipe.published],
        "sources": [vars(item) for item in recipe.sources],
        "protocols": {},
        "methods": {},
        "scores": {},
        "differences": [],
        "figures": [],
        "missing": [],
        "unplanned": recipe.unplanned(),
        "machine": machine_facts(),
        "version": code_version(),
    }


def _told(item: Published) -> dict[str, Any]:
    """Return a published figure, how it is compared only where that is not as usual; leads are measured."""
    rare = ("leads", "beside", "other_test", "counts", "rows", "leak")
    found = {key: value for key, value in vars(item).items() if value or key not in rare}
    return {key: list(value) if isinstance(value, tuple) else value for key, value in found.items()}


def machine_facts() -> dict[str, Any]:
    """Return the processor, its cores, and the device that models run on."""
    return {"cpu": _processor(), "cores": os.cpu_count(), "device": device_name()}


def _processor() -> str:
    table = Path("/proc/cpuinfo")
    if table.is_file():
        for line in table.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def protocol_facts(ground: Ground, record: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a result says of a protocol."""
    counts = {part: len(ground.preparation.rows(part)) for part in ("train", "valid", "test")}
    return {
        **ground.words.as_dict(),
        **({"drawn_groups": ground.drawn_groups} if ground.drawn_groups else {}),
        "rows": counts,
        "table_sha256": file_facts(ground.path)["sha256"],
        "record": dict(record),
    }


def method_scores(ground: Ground, steps: list[Step]) -> dict[str, Any]:
    """Return the figures of each seed, and of the mean of their probabilities where there are several."""
    read = [(step, *step.read()) for step in steps]
    seeds = [
        {"seed": step.seed, "metrics": found["scores"], "seconds": found["seconds"]}
        | {key: found[key] for key in ("best_epoch", "valid_loss", "weights") if key in found}
        for step, found, _ in read
    ]
    answers = [answer for _, _, answer in read]
    together = {"together": ground.scores(mean_answer(answers))} if len(answers) > 1 else {}
    return {"seeds": seeds, **together}


@dataclass
class Pairs:
    """Paired differences of a recipe's methods; what was worked out once is kept for the next call.

    Several seeds count as the mean of their probabilities; the same test rows, or groups of them, are drawn for both
    methods.
    """

    _known: dict[tuple[str, ...], dict[str, Any]] = field(default_factory=dict)

    def of(self, ground: Ground, steps: Mapping[str, list[Step]]) -> Iterator[dict[str, Any]]:
        """Yield the headline figure of each of our methods minus that of each from scratch and of each baseline."""
        ours, metric = ground.recipe.methods, ground.recipe.metric
        for method in (key for key in steps if key in ours and not is_naive(key)):
            for other in steps:
                if other in ours and not is_naive(other):
                    continue
                pair = (*map(_version, steps[method]), "", *map(_version, steps[other]))
                if pair not in self._known:
                    self._known[pair] = _difference(ground, steps[method], steps[other])
                if self._known[pair]:
                    place = {"protocol": ground.protocol, "method": method, "other": other, "metric": metric}
                    yield place | self._known[pair]


def _version(step: Step) -> str:
    """Return a name of a step that changes when it is done again."""
    return f"{step.name} {step.figures.stat().st_mtime_ns}"


def _difference(ground: Ground, ours: list[Step], others: list[Step]) -> dict[str, Any]:
    first, second = (_statistic(ground, steps) for steps in (ours, others))
    count = len(ground.preparation.rows("test"))
    found = paired_bootstrap(first, second, count, groups=ground.groups).get(ground.recipe.metric)
    if found is None:
        return {}
    plain = found.as_dict()
    return {**plain["difference"], "p": plain["p"]}


def _statistic(ground: Ground, steps: list[Step]) -> Statistic:
    answer = mean_answer([step.read()[1] for step in steps])
    task, labels = ground.preparation.head.task, ground.preparation.samples("test").labels
    areas = ground.recipe.metric in ("auroc", "auprc")
    return statistic_for(task, answer.probabilities, labels, threshold=answer.threshold, areas=areas)
