"""Run a recipe: check its sources, make its tables, train what is not finished yet, write the result.

Everything lies in one folder, ``<out>/<recipe>``: ``tables``, ``steps``, ``models`` and ``result.json``, which
is written anew after every step, so that a run that is cut off leaves what it has and goes on from there.
"""

import importlib
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import genolm.compute  # noqa: F401  sets the OpenMP wait policy before torch is loaded

from genolm.baselines import Baseline
from genolm.progress import ProgressCallback
from genolm.recipe_answers import answers_file, take_up, write_answers
from genolm.recipe_config import Call, Method, Recipe, RecipeError
from genolm.recipe_earlier import completed, read_earlier
from genolm.recipe_limits import Limits
from genolm.recipe_own import check_nothing_lost, joined, kept_parts, of_same_sources
from genolm.recipe_result import Pairs, frame_of, method_scores, protocol_facts
from genolm.recipe_steps import Ground, Step, check_bases, check_same, open_ground, steps_of, turn_of
from genolm.recipe_work import (
    Baselines,
    baselines_of,
    is_current,
    judge_again,
    lacking_parts,
    run_average,
    run_framed,
    run_training,
)
from genolm.record import file_facts, timestamp, write_json
from genolm.registry import load_bundle
from genolm.result_row import BASELINE_TITLES
from genolm.workspace import exclusive

RESULT, PARTS = "result.json", "parts.json"
Say = Callable[[str], None]


@dataclass(frozen=True)
class RecipeTask:
    """What a recipe's own function is given.

    Attributes
    ----------
    data : Path
        Folder of the sources.
    out : Path
        Folder for what is finished; a second call finds it again.
    options : dict
        From the recipe's file.
    say : callable
        Writes a line of the log.
    earlier : mapping
        The result that is to be written over, if it is of the same sources; its runs stay, and a function that
        draws or lists what there is takes them in first, with :func:`genolm.recipe_own.joined`.
    """

    data: Path
    out: Path
    options: dict[str, Any] = field(default_factory=dict)
    say: Say = print
    earlier: Mapping[str, Any] = field(default_factory=dict)

    def models(self, name: str) -> Path:
        """Return the folder of a model by its name; :class:`BundleError` if there is none."""
        return load_bundle(name).path


def run_recipe(
    recipe: Recipe,
    data: Path,
    out: Path,
    *,
    limits: Limits | None = None,
    answers: Path | None = None,
    earlier: Path | None = None,
    say: Say = print,
    progress: ProgressCallback | None = None,
) -> Path:
    """Run what is not finished of a recipe and return its result file.

    Parameters
    ----------
    recipe : Recipe
    data : Path
        Folder that holds the sources.
    out : Path
        Folder of all recipes' runs.
    limits : Limits, optional
        Run only a part now; what else is finished is in the result all the same.
    answers : Path, optional
        Folder where what trainings and baselines said is kept from machine to machine: what is in it is not done
        again, and what is finished is added. Of a recipe with a function of its own it is a file of the parts of
        ``parts.json``, where that keeps what it has finished.
    earlier : Path, optional
        A result of this recipe, perhaps of another machine; its figures stay in the new one where nothing newer
        takes their place, see :mod:`genolm.recipe_earlier`, and :mod:`genolm.recipe_own` of a recipe with a
        function of its own.
    say : callable
    progress : callback, optional

    Raises
    ------
    RecipeError
        A source is missing or another one than the recipe was made with; or ``earlier`` has figures that cannot
        stay in the result of a recipe with a function of its own.
    """
    limits = limits or Limits()
    limits.check(recipe)
    check_sources(recipe, data)
    folder = Path(out) / recipe.name
    folder.mkdir(parents=True, exist_ok=True)
    known = _earlier_of(earlier)
    taken = f"The recipe '{recipe.name}' is running in {folder} already; wait for its end or name another --out."
    with exclusive(folder, recipe.name, taken=taken), modules_of(recipe):
        if recipe.run:
            with kept_parts(folder / PARTS, answers and Path(answers) / f"{recipe.name}.json"):
                path, result = _run_own(recipe, data, folder, say, of_same_sources(known, recipe))
            if known := _earlier_of(earlier):
                check_nothing_lost(result, known, earlier, path)
            return path
        return _TableRun(recipe, data, folder, limits, say, progress, answers, earlier).run()


def _earlier_of(path: Path | None) -> dict[str, Any]:
    """Return an earlier result as it is now, an empty one where there is none; another run may add to it meanwhile."""
    return read_earlier(path) if path and path.is_file() else {}


def check_sources(recipe: Recipe, data: Path) -> None:
    """Check that the files are there and are the ones that the recipe was made with."""
    for source in recipe.sources:
        path = Path(data) / source.file
        where = f"get it from {source.url}{'; ' + source.get if source.get else ''}"
        if not path.is_file():
            raise RecipeError(f"{path} is missing: {where}, and give the folder that holds {source.file} as --data.")
        found = file_facts(path)["sha256"]
        if found != source.sha256:
            raise RecipeError(
                f"{path} is not the file that the recipe '{recipe.name}' was made with (SHA-256 {found[:12]}…, "
                f"wanted {source.sha256[:12]}…): {where}."
            )


@contextmanager
def modules_of(recipe: Recipe) -> Iterator[None]:
    """Let the modules of the recipe's folder be imported, as long as it runs."""
    place = str(recipe.folder.resolve())
    sys.path.insert(0, place)
    try:
        yield
    finally:
        sys.path.remove(place)


def function_of(call: Call) -> Callable[..., Any]:
    """Return the function that a recipe names."""
    try:
        return getattr(importlib.import_module(call.module), call.function)
    except (ModuleNotFoundError, AttributeError) as error:
        raise RecipeError(f"The recipe names {call.module}.{call.function}, but {error}.") from error


def _run_own(
    recipe: Recipe, data: Path, folder: Path, say: Say, earlier: Mapping[str, Any]
) -> tuple[Path, dict[str, Any]]:
    """Return the result of a recipe's own function, and its file."""
    began = time.monotonic()
    found = function_of(recipe.run)(RecipeTask(Path(data), folder, dict(recipe.run.options), say, earlier))
    result = frame_of(recipe)
    machine = result["machine"] | found.get("machine", {})
    result |= found | {"machine": machine}
    result["methods"] = {
        key: item if isinstance(item, Mapping) else {"title": item, "kind": "ours", "base": None, "settings": {}}
        for key, item in found.get("methods", {}).items()
    }
    result = joined(result, earlier)
    return _write(folder, result, seconds=found.get("seconds", time.monotonic() - began)), result


def _write(folder: Path, result: dict[str, Any], *, seconds: float) -> Path:
    path = folder / RESULT
    write_json(path, {**result, "seconds": round(seconds, 1), "date": timestamp()[:10]})
    return path


@dataclass
class _TableRun:
    """One run of a table recipe."""

    recipe: Recipe
    data: Path
    folder: Path
    limits: Limits
    say: Say
    progress: ProgressCallback | None
    answers: Path | None = None
    earlier: Path | None = None
    _pairs: Pairs = field(default_factory=Pairs)
    _baselines: Baselines = field(default_factory=Baselines)
    _known: dict[tuple[str, int], bool] = field(default_factory=dict)

    def run(self) -> Path:
        """Do all steps, writing the result after each."""
        grounds = self._grounds()
        self._take_up(grounds)
        for name in (name for ground in grounds.values() for name in judge_again(ground, self._steps)):
            self.say(f"{self.recipe.name}: {name} is made or judged anew, by the threshold and figures of today")
        wanted = [ground for key, ground in grounds.items() if key in (self.limits.protocols or grounds)]
        fitted = {ground.protocol: [item.name for item in baselines_of(ground)] for ground in wanted}
        self.limits.check_methods(self.recipe, fitted)
        pairs = [
            (ground, step, method)
            for ground in wanted
            for step, method in steps_of(self.recipe, ground.protocol, self._steps, self.limits.seeds)
            if self._wants(step)
        ]
        check_bases(self.recipe, [method for _, step, method in pairs if not step.done])
        for ground, step, method in pairs:
            if step.done and not method.parts:
                check_same(step, ground, method)
        self._write(grounds)
        for ground in wanted:
            for baseline in baselines_of(ground):
                self._baseline(grounds, ground, baseline)
        for ground, step, method in sorted(pairs, key=lambda item: turn_of(*item[1:])):
            if self._do(grounds, ground, step, method):
                self._told(step)
                self._write(grounds)
        return self.folder / RESULT

    def _do(self, grounds: Mapping[str, Ground], ground: Ground, step: Step, method: Method) -> bool:
        """Do a step that is not finished; return whether it was done now."""
        if is_current(step, ground) if method.parts else step.done:
            return False
        if method.parts:
            if lacking := lacking_parts(step, ground, method):
                self._tell_lacking(step, method, lacking)
                return False
            make = run_framed if method.framed_of else run_average
            make(step, ground, method)
        else:
            self.say(f"{self.recipe.name}: training {step.name}")
            run_training(step, ground, method, others=grounds.values(), progress=self.progress)
        return True

    @property
    def _steps(self) -> Path:
        return self.folder / "steps"

    def _take_up(self, grounds: Mapping[str, Ground]) -> None:
        if self.answers is None:
            return
        taken, refused = take_up(answers_file(self.answers, self.recipe), self.recipe, grounds, self._steps)
        if taken:
            self.say(f"{self.recipe.name}: {len(taken)} finished steps taken from {self.answers}")
        for sentence in refused:
            self.say(f"{self.recipe.name}: {sentence}")

    def _wants(self, step: Step) -> bool:
        return not self.limits.idle and (not self.limits.methods or step.method in self.limits.methods)

    def _baseline(self, grounds: Mapping[str, Ground], ground: Ground, baseline: Baseline) -> None:
        step = Step(ground.protocol, baseline.name, 1, self._steps)
        if self._wants(step) and not is_current(step, ground):
            self._baselines.run(step, ground, baseline)
            self._told(step)
            self._write(grounds)

    def _tell_lacking(self, step: Step, method: Method, lacking: Sequence[Step]) -> None:
        names = ", ".join(part.name for part in lacking)
        asked = " ".join(f"--method {part.method}" for part in lacking)
        why = f"it averages {names}, not finished; add {asked}"
        if method.framed_of:
            (part,) = lacking
            why = f"it reads the network of {names}, which is not here; "
            why += f"remove {part.figures} and run without --answers to train it" if part.done else f"add {asked}"
        self.say(f"{self.recipe.name}: {step.name} is not made: {why}")

    def _told(self, step: Step) -> None:
        found = step.read()[0]
        figure = found["scores"].get(self.recipe.metric, {})
        words = " ".join(f"{figure[key]:.4f}" for key in ("value", "low", "high") if figure.get(key) is not None)
        self.say(f"{self.recipe.name}: {step.name} {self.recipe.metric} {words}, {found['seconds']:.0f} s")

    def _grounds(self) -> dict[str, Ground]:
        tables = self._tables()
        self._steps.mkdir(exist_ok=True)
        judge = function_of(self.recipe.judge) if self.recipe.judge else None
        return {
            protocol: open_ground(self.recipe, protocol, tables[protocol], judge) for protocol in self.recipe.protocols
        }

    def _tables(self) -> dict[str, Path]:
        """Return the tables, made if they are not there from a run with the same sources and options."""
        place = self.folder / "tables"
        place.mkdir(exist_ok=True)
        made, call = place / "made.json", self.recipe.prepare
        wanted = {"sources": {item.file: item.sha256 for item in self.recipe.sources}, "options": call.options}
        if made.is_file():
            kept = json.loads(made.read_text(encoding="utf-8"))
            if kept["of"] == wanted and set(self.recipe.protocols) <= set(kept["tables"]):
                return {key: place / name for key, name in kept["tables"].items()}
        self.say(f"{self.recipe.name}: making the tables")
        tables = function_of(call)(self.data, place, **call.options)
        missing = sorted(set(self.recipe.protocols) - set(tables))
        if missing:
            raise RecipeError(f"{call.module}.{call.function} made no table for {', '.join(missing)}.")
        write_json(made, {"of": wanted, "tables": {key: path.name for key, path in tables.items()}})
        return tables

    def _write(self, grounds: Mapping[str, Ground]) -> None:
        result, answered = frame_of(self.recipe), []
        for protocol, ground in grounds.items():
            result["protocols"][protocol] = protocol_facts(ground, self._record(protocol))
            finished = self._finished(ground)
            result["scores"][protocol] = {key: method_scores(ground, steps) for key, steps in finished.items()}
            result["differences"] += list(self._pairs.of(ground, finished))
            for key, steps in finished.items():
                result["methods"].setdefault(key, self._method(key, steps[0]))
                answered += steps
        result = completed(result, _earlier_of(self.earlier), self.recipe)
        _write(self.folder, result, seconds=result["seconds"])
        if self.answers is not None:
            write_answers(answers_file(self.answers, self.recipe), answered)

    def _record(self, protocol: str) -> dict[str, Any]:
        path = self.folder / "tables" / f"{protocol}.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}

    def _finished(self, ground: Ground) -> dict[str, list[Step]]:
        """Return the finished steps of each method, ours first; what the recipe wants otherwise now is left out."""
        ours = [step for step, _ in steps_of(self.recipe, ground.protocol, self._steps)]
        others = [Step(ground.protocol, item.name, 1, self._steps) for item in baselines_of(ground)]
        found: dict[str, list[Step]] = {}
        for step in (*ours, *others):
            if step.done and self._is_current(step, ground):
                found.setdefault(step.method, []).append(step)
        return found

    def _is_current(self, step: Step, ground: Ground) -> bool:
        """Return whether a finished step counts, looked at once for each time that it is written; say it if not."""
        key = step.name, step.figures.stat().st_mtime_ns
        if key not in self._known:
            self._known[key] = is_current(step, ground)
            if not self._known[key]:
                self.say(f"{self.recipe.name}: {step.figures} is of other rows, settings or parts and left out")
        return self._known[key]

    def _method(self, key: str, step: Step) -> dict[str, Any]:
        found = step.read()[0]
        if key in self.recipe.methods:
            method = self.recipe.methods[key]
            base = None if method.from_scratch else " and ".join(self.recipe.bases_of(method))
            facts = {"title": method.title, "kind": "ours", "base": base, "network": found.get("network")}
            facts |= {key: found[key] for key in ("asked", "base_weights") if key in found}
            facts |= {"aside": method.aside} if method.aside else {}
        else:
            facts = {"title": BASELINE_TITLES.get(key, key), "kind": "baseline", "base": None}
        return {**facts, "settings": found["settings"]}
