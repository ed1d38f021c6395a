"""CNNProm's promoters of a bacterium, every piece tested once: cross-validation of what ``promoters-81-*.toml`` trains.

A test of 113 or 37 promoters is small. Here the pieces of a species are divided into folds, each of which is the test
of networks that learned from the others, so that all pieces are tested and the interval is less than half as wide.
The folds of ``published`` are divided at random within each class, as the published test was; those of ``strict`` keep
sequences that are linked by chains of shared 20-mers, on either strand, together.

Networks, settings and baselines are those of the species' own recipe. Every fold is kept when it is finished.
"""

import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import genolm.compute  # noqa: F401  before torch: it sets the OpenMP wait policy
import numpy as np
import pandas as pd
from bacterial_promoters_81 import ORGANISMS, SHARED, leaks, usable_rows
from run_parts import difference, log_odds, method, scored
from scan_proof_ground import Store
from scipy.special import expit
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
from table_parts import hashes_of, save_protocol

from genolm.bootstrap import paired_bootstrap
from genolm.metrics import as_json, score, statistic_for
from genolm.recipe_config import Call, Method, Recipe, RecipeError, find_recipe
from genolm.recipe_own import joined
from genolm.recipe_result import BASELINE_TITLES
from genolm.recipe_run import Limits, RecipeTask, run_recipe
from genolm.recipe_steps import Step, asked_of, base_weights, network_of, open_ground
from genolm.splits import split_by_cluster, split_random

RANDOM, STRICT = "random", "strict"
KINDS = {"published": RANDOM, "strict": STRICT}
TITLES = {"published": "{} folds at random within each class", "strict": "{} folds, look-alikes kept in one"}
BASELINES = ("positional-logistic", "kmer-logistic", "cnn")
CHEAPEST = "majority"
METRIC = "mcc"
CALLED = ("accuracy", "precision", "recall", "mcc")
"""Figures of what is called, each fold's by its own threshold; the others are of the probabilities as they are."""


def fold_tables(data: Path, out: Path, *, organism: str, kind: str, folds: int, seed: int) -> dict[str, Path]:
    """Write a table for each fold, whose test rows are the fold.

    Parameters
    ----------
    data, out : Path
    organism : {"ecoli", "bsubtilis"}
    kind : {"random", "strict"}
    folds : int
    seed : int
        Of the folds and of the validation rows, which are drawn from the other rows in the same way.
    """
    rows, left_out = usable_rows(data, organism)
    record = {
        "sources": hashes_of(data, ORGANISMS[organism].sources),
        "left_out": {organism: left_out},
        "seed": seed,
        "folds": folds,
        "kind": kind,
        "shared": SHARED,
    }
    made = {}
    for place, rest in enumerate(_learned_from(rows, kind, folds, seed), start=1):
        table = rows.assign(split="test")
        share = ORGANISMS[organism].valid
        table.loc[rest, "split"] = _divided(rows.iloc[rest], kind, (1 - share, share, 0.0), seed)
        made[f"fold{place}"] = save_protocol(out, f"fold{place}", table, record | leaks(table))
    return made


def _learned_from(rows: pd.DataFrame, kind: str, folds: int, seed: int) -> Iterator[np.ndarray]:
    """Yield the numbers of the rows outside each fold."""
    maker = {RANDOM: StratifiedKFold, STRICT: StratifiedGroupKFold}[kind]
    groups = None if kind == RANDOM else rows["group"]
    divided = maker(folds, shuffle=True, random_state=seed).split(rows, rows["label"], groups)
    return (rest for rest, _ in divided)


def _divided(rows: pd.DataFrame, kind: str, fractions: tuple[float, float, float], seed: int) -> np.ndarray:
    labels = rows["label"].tolist()
    if kind == RANDOM:
        return split_random(labels, fractions=fractions, seed=seed)
    return split_by_cluster(labels, rows["group"].tolist(), fractions=fractions, seed=seed)


@dataclass(frozen=True)
class Course:
    """The folds of one kind.

    Attributes
    ----------
    task : RecipeTask
        Its options are ``organism``, ``folds``, ``seed``, ``methods`` (keys of the species' own recipe, ours),
        ``protocols`` in the order in which they are done, and ``minutes`` (begin no fold after so many; a protocol
        whose folds are not all finished has no figures).
    protocol : {"published", "strict"}
    """

    task: RecipeTask
    protocol: str

    @property
    def title(self) -> str:
        """Number and kind of folds in words."""
        return TITLES[self.protocol].format(self.task.options["folds"])

    @cached_property
    def recipe(self) -> Recipe:
        """The species' own recipe with the folds as its protocols, one seed each."""
        organism, kind = self.task.options["organism"], KINDS[self.protocol]
        folds, seed = int(self.task.options["folds"]), int(self.task.options["seed"])
        own = find_recipe(Path(__file__).parent, f"promoters-81-{organism}")
        needed = set().union(*(_with_parts(own, key) for key in self.task.options["methods"]))
        options = {"organism": organism, "kind": kind, "folds": folds, "seed": seed}
        return replace(
            own,
            name=f"{organism}-{kind}",
            protocols={f"fold{place}": f"Fold {place}" for place in range(1, folds + 1)},
            methods={key: replace(item, seeds=1) for key, item in own.methods.items() if key in needed},
            prepare=Call("promoter_folds", "fold_tables", options),
            judge=None,
            model=None,
        )

    @property
    def methods(self) -> list[str]:
        """Ours that have figures, then the baselines."""
        return [*self.task.options["methods"], *BASELINES]

    @cached_property
    def folds(self) -> dict[str, dict[str, Any]]:
        """What is told of each fold's table, such as ``rows``; the tables are made if they are not there."""
        result = self._run(Limits(methods=(CHEAPEST,)))
        return json.loads(result.read_text(encoding="utf-8"))["protocols"]

    def run(self, store: Store, ends: float) -> dict[str, list[dict[str, Any]]]:
        """Return what every method says of each fold; what would begin after ``ends`` (monotonic) is left out."""
        found: dict[str, list[dict[str, Any]]] = {key: [] for key in self.methods}
        for fold, told in self.folds.items():
            facts = {key: {"table": told["table_sha256"], **made_from(self.recipe, key)} for key in self.methods}
            names = {key: f"{self.recipe.name}-{fold}-{key}" for key in self.methods}
            lacking = [key for key, name in names.items() if not store.has(name, facts[key])]
            if lacking and time.monotonic() > ends:
                break
            labels = ""
            if lacking:
                needed = set().union(*(_with_parts(self.recipe, key) for key in lacking))
                self._run(Limits(protocols=(fold,), methods=tuple(sorted(needed))))
                labels = self._labels(fold)
            for key, name in names.items():
                found[key].append(store.part(name, facts[key], partial(self._answers, fold, key, labels)))
        return found

    @property
    def _folder(self) -> Path:
        return self.task.out / "folds"

    def _run(self, limits: Limits) -> Path:
        return run_recipe(self.recipe, self.task.data, self._folder, limits=limits, say=self.task.say)

    def _labels(self, fold: str) -> str:
        table = self._folder / self.recipe.name / "tables" / f"{fold}.csv.gz"
        samples = open_ground(self.recipe, fold, table, None).preparation.samples("test")
        return "".join(map(str, samples.labels))

    def _answers(self, fold: str, key: str, labels: str) -> dict[str, Any]:
        """Return a finished method's log odds of the fold's rows, the log odds it calls from, and the labels."""
        folder = self._folder / self.recipe.name
        step = Step(fold, key, 1, folder / "steps")
        if not step.done:
            raise RecipeError(f"{step.figures} is not there: a network that it reads was removed; remove {folder} too.")
        found, answer = step.read()
        return {
            # Short texts, to so many digits that none near the threshold changes its side.
            "odds": " ".join(f"{value:.7g}" for value in log_odds(answer.probabilities[:, 1])),
            "threshold": float(log_odds(answer.threshold)),
            "labels": labels,
            "valid_loss": found.get("valid_loss"),
            "seconds": found["seconds"],
        }


def _with_parts(recipe: Recipe, key: str) -> set[str]:
    """Return a method and those that it is made of; a baseline is made of none."""
    if key in BASELINES:
        return {key}
    if key not in recipe.methods:
        raise RecipeError(f"run.options.methods names '{key}'; {recipe.name} has {', '.join(recipe.methods)}.")
    return {key}.union(*(_with_parts(recipe, part) for part in recipe.methods[key].parts))


def made_from(recipe: Recipe, key: str) -> dict[str, Any]:
    """Return what tells the answers of a method from others: settings, and the weights that it starts from."""
    if key not in recipe.methods:
        return {"baseline": key}
    item: Method = recipe.methods[key]
    if not item.parts:
        return {"asked": asked_of(recipe, item), "weights": base_weights(item)}
    return {"framed": bool(item.framed_of), "of": {part: made_from(recipe, part) for part in item.parts}}


class Pooled(NamedTuple):
    """Answers of all folds: probabilities (rows, 2), the same with each fold's threshold at 0.5, and labels."""

    chances: np.ndarray
    called: np.ndarray
    labels: np.ndarray


def pooled(folds: Sequence[Mapping[str, Any]]) -> Pooled:
    """Return the answers of several folds, as :meth:`Course.run` gives them, as one."""
    odds = [np.array(item["odds"].split(), dtype=np.float64) for item in folds]
    over = [values - item["threshold"] for values, item in zip(odds, folds, strict=True)]
    yes = [expit(np.concatenate(values)) for values in (odds, over)]
    labels = np.array(list("".join(item["labels"] for item in folds)), dtype=np.int64)
    return Pooled(*(np.stack([1 - item, item], axis=1) for item in yes), labels)


def run(task: RecipeTask) -> dict[str, Any]:
    """Train on all folds and pool the answers; see :class:`Course` for the options."""
    for protocol in task.options["protocols"]:
        if protocol not in KINDS:
            raise RecipeError(f"run.options.protocols names '{protocol}'; there are {', '.join(KINDS)}.")
    store = Store(task.out / "parts.json")
    ends = time.monotonic() + 60 * float(task.options.get("minutes", math.inf))
    courses = [Course(task, protocol) for protocol in task.options["protocols"]]
    result: dict[str, Any] = {
        "protocols": {course.protocol: _protocol(course) for course in courses},
        "methods": {key: _method(courses[0].recipe, key) for key in courses[0].methods},
        "scores": {},
        "differences": [],
    }
    for course in courses:
        found = course.run(store, ends)
        if len(found[BASELINES[0]]) == len(course.folds):
            answers = {key: pooled(folds) for key, folds in found.items()}
            result["scores"][course.protocol] = {
                key: {"seeds": [_figures(folds, answers[key])]} for key, folds in found.items()
            }
            result["differences"] += list(_differences(course, answers))
    result = joined(result, task.earlier)
    trained = {key for key, item in result["methods"].items() if not item["settings"].get("average")}
    runs = [item["seeds"][0] for scores in result["scores"].values() for key, item in scores.items() if key in trained]
    lacking = [course.title for course in courses if course.protocol not in result["scores"]]
    return {**result, "seconds": sum(run["seconds"] for run in runs), "missing": lacking}


def _protocol(course: Course) -> dict[str, Any]:
    """Return title and rows: those of training and validation are the first fold's, those tested are of all."""
    told = list(course.folds.values())
    rows = {**told[0]["rows"], "test": sum(item["rows"]["test"] for item in told)}
    tables = {fold: item["table_sha256"] for fold, item in course.folds.items()}
    first = told[0]["record"]
    record = {key: first[key] for key in ("left_out", "seed", "folds", "kind", "shared")}
    return {"title": course.title, "rows": rows, "record": {**record, "tables": tables}}


def _method(recipe: Recipe, key: str) -> dict[str, Any]:
    facts = {"made_from": made_from(recipe, key)}
    if key in BASELINES:
        return {**method(BASELINE_TITLES[key], kind="baseline"), "facts": facts}
    item = recipe.methods[key]
    if item.average:
        settings: dict[str, Any] = {"average": list(item.average)}
    else:
        trained = recipe.methods[item.framed_of] if item.framed_of else item
        settings = {**recipe.training, **trained.settings, "framed": bool(item.framed_of)}
    told = method(item.title, base=" and ".join(recipe.bases_of(item)), **settings)
    return {**told, "network": network_of(recipe, item), "facts": facts}


def _figures(folds: Sequence[Mapping[str, Any]], found: Pooled) -> dict[str, Any]:
    """Return the figures of all folds as those of one run, and the mean loss on validation rows of a network."""
    metrics = score("binary", found.chances, found.labels, threshold=0.5)
    called = score("binary", found.called, found.labels, threshold=0.5)
    losses = [item["valid_loss"] for item in folds]
    loss = {} if None in losses else {"valid_loss": float(np.mean(losses))}
    metrics |= {key: called[key] for key in CALLED}
    return scored(as_json(metrics), seconds=sum(item["seconds"] for item in folds)) | loss


def _differences(course: Course, answers: Mapping[str, Pooled]) -> Iterator[dict[str, Any]]:
    """Yield each of our methods minus each baseline on the same rows."""
    statistics = {
        key: statistic_for("binary", item.called, item.labels, threshold=0.5, areas=False)
        for key, item in answers.items()
    }
    for key in course.task.options["methods"]:
        for other in BASELINES:
            gap = paired_bootstrap(statistics[key], statistics[other], len(answers[key].labels))[METRIC]
            yield difference((course.protocol, key, other), METRIC, gap.difference.as_dict(), gap.p)
