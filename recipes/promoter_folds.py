"""CNNProm's promoters of bacteria, every piece tested once: cross-validation of what ``promoters-81-*.toml`` trains.

A tenth or a seventh of a few hundred promoters is a small test. Here the pieces of a species are divided into folds,
each of which is the test of networks that learned from the others, so that all pieces are tested and the interval is
about half as wide. ``random`` folds are divided within each class, as the published test was; ``strict`` ones keep
sequences that are linked by chains of shared 20-mers, on either strand, together.

Networks, settings and baselines are those of the species' own recipe. An answer counts from the threshold that its
fold's validation rows chose, so pooled answers are odds over that of the threshold. Every fold is kept when it is
finished.
"""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import genolm.compute  # noqa: F401  before torch: it sets the OpenMP wait policy
import numpy as np
import pandas as pd
from bacterial_promoters_81 import ORGANISMS, SHARED, leaks, usable_rows
from common import SPLITS
from run_parts import difference, method, scored
from scan_proof_ground import Store
from scipy.special import expit, logit
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
KINDS = {RANDOM: "folds at random within each class", STRICT: "folds, look-alikes kept in one"}
SPECIES = {"ecoli": "E. coli", "bsubtilis": "B. subtilis"}
BASELINES = ("positional-logistic", "kmer-logistic", "cnn")
METRIC = "mcc"


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
    maker = StratifiedKFold if kind == RANDOM else StratifiedGroupKFold
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
    """The folds of one species, of one kind.

    Attributes
    ----------
    task : RecipeTask
        Its options are ``folds``, ``seed``, ``methods`` (keys of the species' own recipe, ours),
        ``protocols``, all courses in the order in which they are done, and ``minutes`` (begin no fold after so
        many; a course whose folds are not all finished has no figures).
    protocol : str
        Species and kind.
    """

    task: RecipeTask
    protocol: str

    @property
    def organism(self) -> str:
        """The species."""
        return self.protocol.split("-")[0]

    @property
    def kind(self) -> str:
        """The kind of folds."""
        return self.protocol.split("-")[1]

    @property
    def title(self) -> str:
        """Species, number and kind of folds in words."""
        return f"{SPECIES[self.organism]}, {self.task.options['folds']} {KINDS[self.kind]}"

    @cached_property
    def recipe(self) -> Recipe:
        """The species' own recipe with the folds as its protocols, one seed each."""
        folds, seed = int(self.task.options["folds"]), int(self.task.options["seed"])
        own = find_recipe(Path(__file__).parent, f"promoters-81-{self.organism}")
        options = {"organism": self.organism, "kind": self.kind, "folds": folds, "seed": seed}
        needed = set().union(*(_with_parts(own, key) for key in self.task.options["methods"]))
        return replace(
            own,
            name=self.protocol,
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

    def run(self, store: Store, ends: float) -> dict[str, list[dict[str, Any]]]:
        """Return what every method says of each fold; what would begin after ``ends`` (monotonic) is left out."""
        facts = {key: made_from(self.recipe, key) | dict(self.recipe.prepare.options) for key in self.methods}
        found: dict[str, list[dict[str, Any]]] = {key: [] for key in self.methods}
        for fold in self.recipe.protocols:
            names = {key: f"{self.protocol}-{fold}-{key}" for key in self.methods}
            lacking = [key for key, name in names.items() if not store.has(name, facts[key])]
            if lacking and time.monotonic() > ends:
                break
            self._train(fold, lacking)
            for key, name in names.items():
                found[key].append(store.part(name, facts[key], partial(self._answers, fold, key)))
        return found

    @property
    def _folder(self) -> Path:
        return self.task.out / "folds"

    def _train(self, fold: str, keys: Sequence[str]) -> None:
        """Train what is not finished of the methods, and of what they are made of, under a fold."""
        names = set().union(*(_with_parts(self.recipe, key) for key in keys))
        if names:
            limits = Limits(protocols=(fold,), methods=tuple(sorted(names)))
            run_recipe(self.recipe, self.task.data, self._folder, limits=limits, say=self.task.say)

    def _answers(self, fold: str, key: str) -> dict[str, Any]:
        """Return the odds of a finished method over those of its threshold, and the labels, of the fold's rows."""
        folder = self._folder / self.recipe.name
        found, answer = Step(fold, key, 1, folder / "steps").read()
        table = folder / "tables" / f"{fold}.csv.gz"
        preparation = open_ground(self.recipe, fold, table, None).preparation
        odds = odds_over(answer.probabilities[:, 1], answer.threshold)
        return {
            # To so many digits that none near the threshold changes its side.
            "odds": [float(f"{value:.5g}") for value in odds],
            "labels": preparation.samples("test").labels.tolist(),
            "rows": {part: len(preparation.rows(part)) for part in SPLITS},
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


def odds_over(chances: np.ndarray, threshold: float) -> np.ndarray:
    """Return log odds less those of the threshold, above 0 for what is called positive."""
    near = np.clip(np.asarray(chances, dtype=np.float64), 1e-9, 1 - 1e-9)
    return logit(near) - logit(np.clip(threshold, 1e-9, 1 - 1e-9))


def pooled(folds: Sequence[Mapping[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities (rows, 2), where 0.5 is each fold's threshold, and labels of all folds."""
    yes = expit(np.concatenate([np.asarray(item["odds"], dtype=np.float64) for item in folds]))
    return np.stack([1 - yes, yes], axis=1), np.concatenate([np.asarray(item["labels"]) for item in folds])


def run(task: RecipeTask) -> dict[str, Any]:
    """Train on all folds of both species and pool the answers; see :class:`Course` for the options."""
    store = Store(task.out / "parts.json")
    ends = time.monotonic() + 60 * float(task.options.get("minutes", math.inf))
    courses = [Course(task, protocol) for protocol in task.options["protocols"]]
    methods = {key: _method(courses, key) for key in courses[0].methods}
    result: dict[str, Any] = {"protocols": {}, "methods": methods, "scores": {}, "differences": []}
    for course in courses:
        found = course.run(store, ends)
        folds = found[course.methods[0]]
        if len(folds) < len(course.recipe.protocols):
            continue
        result["protocols"][course.protocol] = _protocol(course, folds)
        result["scores"][course.protocol] = {key: {"seeds": [_figures(folds)]} for key, folds in found.items()}
        result["differences"] += list(_differences(course, found))
    result = joined(result, task.earlier)
    trained = {key for key, item in result["methods"].items() if not item["settings"].get("average")}
    runs = [item["seeds"][0] for scores in result["scores"].values() for key, item in scores.items() if key in trained]
    lacking = [course.title for course in courses if course.protocol not in result["scores"]]
    return {**result, "seconds": sum(run["seconds"] for run in runs), "missing": lacking}


def _protocol(course: Course, folds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return title and rows: those of training and validation are the first fold's, those tested are of all."""
    rows = {**folds[0]["rows"], "test": sum(item["rows"]["test"] for item in folds)}
    return {
        "title": course.title,
        "rows": rows,
        "record": dict(course.recipe.prepare.options),
    }


def _method(courses: Sequence[Course], key: str) -> dict[str, Any]:
    """Return what a result says of a method; its settings are those of the species' own row, one set for each."""
    recipes = {course.organism: course.recipe for course in courses}
    facts = {organism: made_from(recipe, key) for organism, recipe in recipes.items()}
    if key in BASELINES:
        return {**method(BASELINE_TITLES[key], kind="baseline"), "facts": facts}
    recipe = next(iter(recipes.values()))
    item, settings = recipe.methods[key], {"as in": " and ".join(f"promoters-81-{name}" for name in recipes)}
    settings |= {"average": list(item.average)} if item.average else {"framed": bool(item.framed_of)}
    told = method(item.title, base=" and ".join(recipe.bases_of(item)), **settings)
    return {**told, "network": network_of(recipe, item), "facts": facts}


def _figures(folds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the figures of all folds as those of one run, and the mean loss on validation rows of a network."""
    chances, labels = pooled(folds)
    metrics = as_json(score("binary", chances, labels, threshold=0.5))
    losses = [item["valid_loss"] for item in folds]
    loss = {} if None in losses else {"valid_loss": float(np.mean(losses))}
    return scored(metrics, seconds=sum(item["seconds"] for item in folds)) | loss


def _differences(course: Course, found: Mapping[str, Sequence[Mapping[str, Any]]]) -> Iterator[dict[str, Any]]:
    """Yield each of our methods minus each baseline on the same rows."""
    statistics = {}
    for key, folds in found.items():
        chances, labels = pooled(folds)
        statistics[key] = statistic_for("binary", chances, labels, threshold=0.5, areas=False)
    for key in course.task.options["methods"]:
        for other in BASELINES:
            gap = paired_bootstrap(statistics[key], statistics[other], len(labels))[METRIC]
            yield difference((course.protocol, key, other), METRIC, gap.difference.as_dict(), gap.p)
