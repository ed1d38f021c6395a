"""CNNProm's promoters of a bacterium, every piece tested once: cross-validation of what ``promoters-81-*.toml`` trains.

A test of 113 or 37 promoters is small. Here the pieces of a species are divided into folds, each of which is the test
of networks that learned from the others, so that all pieces are tested and the interval is less than half as wide.
The folds of ``published`` are divided at random within each class, as the published test was; those of ``strict`` keep
sequences that are linked by chains of shared 20-mers, on either strand, together.

Networks, settings and baselines are those of the species' own recipe. Every fold is kept when it is finished. With
several seeds all folds are done with the first one, then with the next.
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
from run_parts import difference, method, scored
from scan_proof_ground import Store
from scipy.special import expit
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
from table_parts import hashes_of, save_protocol

from genolm.bootstrap import paired_bootstrap
from genolm.calibration import log_odds
from genolm.metrics import as_json, score, statistic_for
from genolm.recipe_config import Call, Method, Recipe, RecipeError, find_recipe
from genolm.recipe_own import joined
from genolm.recipe_run import Limits, RecipeTask, run_recipe
from genolm.recipe_steps import Answer, Ground, Step, asked_of, base_weights, mean_answer, network_of, open_ground
from genolm.result_row import BASELINE_TITLES
from genolm.result_row import is_naive
from genolm.splits import split_by_cluster, split_random

RANDOM, STRICT = "random", "strict"
KINDS = {"published": RANDOM, "strict": STRICT}
TITLES = {"published": "{} folds at random within each class", "strict": "{} folds, look-alikes kept in one"}
BASELINES = ("positional-logistic", "kmer-logistic", "cnn")
CHEAPEST = "majority"
METRIC = "mcc"
Said = dict[str, list[dict[str, Any]]]
"""What methods say of each fold, as :meth:`Course._answers` tells it."""
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
        ``further`` (more of them, by protocol), ``protocols`` in the order in which they are done, ``seeds`` by
        protocol (1 where nothing is said), and ``minutes`` (begin no fold after so many; a seed whose folds are not
        all finished has no figures).
    protocol : {"published", "strict"}
    """

    task: RecipeTask
    protocol: str

    @property
    def title(self) -> str:
        """Number and kind of folds in words."""
        return TITLES[self.protocol].format(self.task.options["folds"])

    @property
    def seeds(self) -> range:
        """Of the trainings; baselines have the first alone."""
        return range(1, int(self.task.options.get("seeds", {}).get(self.protocol, 1)) + 1)

    @property
    def ours(self) -> list[str]:
        """Our methods of this kind of folds, those from scratch too."""
        return [*self.task.options["methods"], *self.task.options.get("further", {}).get(self.protocol, ())]

    @cached_property
    def recipe(self) -> Recipe:
        """The species' own recipe with the folds as its protocols."""
        organism, kind = self.task.options["organism"], KINDS[self.protocol]
        folds, seed = int(self.task.options["folds"]), int(self.task.options["seed"])
        own, like = self.own, self.own.protocols[self.protocol]
        needed = set().union(*(_with_parts(own, key) for key in self.ours))
        options = {"organism": organism, "kind": kind, "folds": folds, "seed": seed}
        places = [f"fold{place}" for place in range(1, folds + 1)]
        return replace(
            own,
            name=f"{organism}-{kind}",
            protocols={place: replace(like, title=place.replace("fold", "Fold ")) for place in places},
            methods={key: replace(item, seeds=len(self.seeds)) for key, item in own.methods.items() if key in needed},
            prepare=Call("promoter_folds", "fold_tables", options),
            judge=None,
            model=None,
        )

    @cached_property
    def own(self) -> Recipe:
        """The species' own recipe."""
        return find_recipe(Path(__file__).parent, f"promoters-81-{self.task.options['organism']}")

    @cached_property
    def groups(self) -> np.ndarray:
        """The cluster of each test row of all folds, in their order: intervals are drawn over whole ones."""
        if self.own.protocols[self.protocol].drawn_by != "group":
            raise RecipeError(f"protocols.{self.protocol} of {self.own.name} has to be drawn by group: folds share it.")
        return np.concatenate([ground.groups for ground in self._grounds.values()])

    @property
    def drawn(self) -> dict[str, Any]:
        """What a result says of that, in the words of the species' own recipe."""
        words = self.own.protocols[self.protocol]
        groups = len(np.unique(self.groups))
        return {"drawn_over": words.drawn_over, "drawn_by": words.drawn_by, "drawn_groups": groups}

    @property
    def methods(self) -> list[str]:
        """Ours that have figures, then the baselines."""
        return [*self.ours, *BASELINES]

    @cached_property
    def folds(self) -> dict[str, dict[str, Any]]:
        """What is told of each fold's table, such as ``rows``; the tables are made if they are not there."""
        result = self._run(Limits(methods=(CHEAPEST,)))
        return json.loads(result.read_text(encoding="utf-8"))["protocols"]

    def run(self, store: Store, ends: float) -> list[Said]:
        """Return what every method says of each fold, by seed; of a seed that is not finished nothing is told.

        No fold is begun after ``ends`` (monotonic).
        """
        found: list[Said] = []
        for seed in self.seeds:
            keys = self.methods if seed == 1 else self.ours
            said: Said = {key: [] for key in keys}
            for fold in self.folds:
                if not self._add(said, fold, seed, store, ends):
                    return found
            found.append(said)
        return found

    def _add(self, said: Said, fold: str, seed: int, store: Store, ends: float) -> bool:
        """Add what every method says of one fold, unless that would begin after ``ends``."""
        table = self.folds[fold]["table_sha256"]
        facts = {key: {"table": table, **made_from(self.recipe, key)} for key in said}
        names = {key: f"{self.recipe.name}-{fold}-{key}" + (f"-seed{seed}" if seed > 1 else "") for key in said}
        lacking = [key for key, name in names.items() if not store.has(name, facts[key])]
        if lacking and time.monotonic() > ends:
            return False
        labels = ""
        if lacking:
            needed = set().union(*(_with_parts(self.recipe, key) for key in lacking))
            self._run(Limits(protocols=(fold,), methods=tuple(sorted(needed)), seeds=seed))
            labels = self._labels(fold)
        for key, name in names.items():
            step = Step(fold, key, seed, self._folder / self.recipe.name / "steps")
            said[key].append(store.part(name, facts[key], partial(self._answers, step, labels)))
        return True

    @property
    def _folder(self) -> Path:
        return self.task.out / "folds"

    def _run(self, limits: Limits) -> Path:
        return run_recipe(self.recipe, self.task.data, self._folder, limits=limits, say=self.task.say)

    def _labels(self, fold: str) -> str:
        return "".join(map(str, self._grounds[fold].preparation.samples("test").labels))

    @cached_property
    def _grounds(self) -> dict[str, Ground]:
        """The table of each fold, made ready."""
        tables = self._folder / self.recipe.name / "tables"
        return {fold: open_ground(self.recipe, fold, tables / f"{fold}.csv.gz", None) for fold in self.folds}

    def _answers(self, step: Step, labels: str) -> dict[str, Any]:
        """Return a finished method's log odds of the fold's rows, the log odds it calls from, and the labels."""
        if not step.done:
            folder = self._folder / self.recipe.name
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
        raise RecipeError(f"run.options names the method '{key}'; {recipe.name} has {', '.join(recipe.methods)}.")
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


def pooled(seeds: Sequence[Sequence[Mapping[str, Any]]]) -> Pooled:
    """Return the answers of several folds, as :meth:`Course.run` gives them by seed, as one.

    Probabilities and thresholds of several seeds are averaged, fold by fold.
    """
    means = [mean_answer([_answer(item) for item in fold]) for fold in zip(*seeds, strict=True)]
    chances = np.concatenate([mean.probabilities for mean in means])
    over = np.concatenate([log_odds(mean.probabilities) - log_odds(mean.threshold) for mean in means])
    labels = np.array(list("".join(item["labels"] for item in seeds[0])), dtype=np.int64)
    return Pooled(*(np.stack([1 - yes, yes], axis=1) for yes in (chances, expit(over))), labels)


def _answer(fold: Mapping[str, Any]) -> Answer:
    """Return the probabilities of a fold's rows and the one that is called from."""
    return Answer(expit(np.array(fold["odds"].split(), dtype=np.float64)), float(expit(fold["threshold"])))


def run(task: RecipeTask) -> dict[str, Any]:
    """Train on all folds and pool the answers; see :class:`Course` for the options."""
    for protocol in (*task.options["protocols"], *task.options.get("further", ())):
        if protocol not in KINDS:
            raise RecipeError(f"run.options names the protocol '{protocol}'; there are {', '.join(KINDS)}.")
    store = Store(task.out / "parts.json")
    ends = time.monotonic() + 60 * float(task.options.get("minutes", math.inf))
    courses = [Course(task, protocol) for protocol in task.options["protocols"]]
    result: dict[str, Any] = {
        "protocols": {course.protocol: _protocol(course) for course in courses},
        "methods": {key: _method(course.recipe, key) for course in courses for key in course.methods},
        "scores": {},
        "differences": [],
    }
    for course in courses:
        said = course.run(store, ends)
        if said:
            of = {key: [folds[key] for folds in said if key in folds] for key in said[0]}
            answers = {key: pooled(seeds) for key, seeds in of.items()}
            result["scores"][course.protocol] = {
                key: _scores(seeds, answers[key], course.groups) for key, seeds in of.items()
            }
            result["differences"] += list(_differences(course, answers))
    result = joined(result, task.earlier)
    trained = {key for key, item in result["methods"].items() if not item["settings"].get("average")}
    told = [item["seeds"] for scores in result["scores"].values() for key, item in scores.items() if key in trained]
    seconds = sum(run["seconds"] for runs in told for run in runs)
    unplanned = [f"{course.title}: from scratch" for course in courses if not any(map(is_naive, course.ours))]
    return {**result, "seconds": seconds, "missing": list(_missing(courses, result["scores"])), "unplanned": unplanned}


def _missing(courses: Sequence[Course], scores: Mapping[str, Any]) -> Iterator[str]:
    """Yield what has no figures yet, earlier ones counted; seeds that all methods lack in one line."""
    for course in courses:
        found = scores.get(course.protocol, {})
        done = {key: {run["seed"] for run in found[key]["seeds"]} if key in found else set() for key in course.ours}
        left = {key: tuple(seed for seed in course.seeds if seed not in done[key]) for key in course.ours}
        if len(set(left.values())) == 1:
            left = {"": next(iter(left.values()))}
        for key, seeds in left.items():
            title = f"{course.title}: {course.recipe.methods[key].title}" if key else course.title
            if seeds:
                is_begun = any(done.values())
                yield title + (f", seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}" if is_begun else "")


def _protocol(course: Course) -> dict[str, Any]:
    """Return title and rows: those of training and validation are the first fold's, those tested are of all."""
    told = list(course.folds.values())
    rows = {**told[0]["rows"], "test": sum(item["rows"]["test"] for item in told)}
    tables = {fold: item["table_sha256"] for fold, item in course.folds.items()}
    first = told[0]["record"]
    record = {key: first[key] for key in ("left_out", "seed", "folds", "kind", "shared")}
    return {"title": course.title, **course.drawn, "rows": rows, "record": {**record, "tables": tables}}


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
    base = None if item.from_scratch else " and ".join(recipe.bases_of(item))
    told = method(item.title, base=base, **settings)
    return {**told, "network": network_of(recipe, item), "facts": facts}


def _scores(
    seeds: Sequence[Sequence[Mapping[str, Any]]], mean: Pooled, groups: np.ndarray
) -> dict[str, Any]:
    """Return the figures of all folds as those of one run, by seed, and those of the mean of several."""
    each = [pooled([folds]) for folds in seeds] if len(seeds) > 1 else [mean]
    runs = []
    for seed, (folds, own) in enumerate(zip(seeds, each, strict=True), start=1):
        losses = [item["valid_loss"] for item in folds]
        loss = {} if None in losses else {"valid_loss": float(np.mean(losses))}
        found = scored(_metrics(own, groups), seed=seed, seconds=sum(item["seconds"] for item in folds))
        runs.append(found | loss)
    return {"seeds": runs, **({"together": _metrics(mean, groups)} if len(seeds) > 1 else {})}


def _metrics(found: Pooled, groups: np.ndarray) -> dict[str, Any]:
    """Return all figures of pooled answers, those of what is called from the thresholds of the folds."""
    metrics = score("binary", found.chances, found.labels, threshold=0.5, groups=groups)
    called = score("binary", found.called, found.labels, threshold=0.5, groups=groups)
    return as_json(metrics | {key: called[key] for key in CALLED})


def _differences(course: Course, answers: Mapping[str, Pooled]) -> Iterator[dict[str, Any]]:
    """Yield each of our methods minus each network from scratch and each baseline, on the same rows."""
    statistics = {
        key: statistic_for("binary", item.called, item.labels, threshold=0.5, areas=False)
        for key, item in answers.items()
    }
    for key in (key for key in course.ours if not is_naive(key)):
        naive = filter(is_naive, course.ours)
        for other in (*naive, *BASELINES):
            pair, count = (statistics[key], statistics[other]), len(answers[key].labels)
            gap = paired_bootstrap(*pair, count, groups=course.groups)[METRIC]
            yield difference((course.protocol, key, other), METRIC, gap.difference.as_dict(), gap.p)
