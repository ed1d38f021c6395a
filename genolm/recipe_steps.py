"""The steps of a table recipe: one baseline, training or average each, kept when it is finished.

What a step leaves is its figures as JSON and its answers on the test rows, from which the means over seeds and
the paired differences are worked out (:mod:`genolm.recipe_result`).
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import genolm.compute  # noqa: F401  sets the OpenMP wait policy before torch is loaded
import numpy as np
import pandas as pd

from genolm.bootstrap import Estimate
from genolm.bundle_config import network_words
from genolm.config import PRESETS, FinetuneSettings
from genolm.errors import BundleError
from genolm.metrics import RULES, as_json, score
from genolm.preparation import Preparation, prepare_training
from genolm.record import file_facts, write_json
from genolm.recipe_config import Method, Protocol, Recipe, RecipeError
from genolm.registry import load_bundle
from genolm.table_split import table_clusters
from genolm.workspace import atomic_write

_VALID = ".valid.npy"
Judge = Callable[..., dict[str, Estimate]]
"""Test rows, probabilities (rows, classes), names of the classes; ``groups`` of the rows by name, or None."""


class Answer(NamedTuple):
    """What a method said of the test rows, float32 (rows, classes), and the threshold it calls from."""

    probabilities: np.ndarray
    threshold: float


def mean_answer(answers: list[Answer]) -> Answer:
    """Return the mean of several answers' probabilities and thresholds."""
    chances = np.mean([answer.probabilities for answer in answers], axis=0)
    return Answer(chances, float(np.mean([answer.threshold for answer in answers])))


@dataclass(frozen=True)
class Ground:
    """A protocol's table made ready, and how its test rows are judged.

    Attributes
    ----------
    recipe : Recipe
    protocol : str
    path : Path
        The table.
    preparation : Preparation
        Of the first method; rows and labels are those of all.
    judge : callable, optional
        Gives further figures.
    """

    recipe: Recipe
    protocol: str
    path: Path
    preparation: Preparation
    judge: Judge | None = None

    @cached_property
    def table_sha256(self) -> str:
        """Of the table's file."""
        return file_facts(self.path)["sha256"]

    @cached_property
    def learned_from(self) -> str:
        """A digest of the training and validation rows, the same where two protocols differ in the test alone."""
        parts = [self.preparation.samples(part) for part in ("train", "valid")]
        digest = hashlib.sha256()
        for part in parts:
            digest.update("\n".join(part.sequences).encode())
            digest.update(np.ascontiguousarray(part.labels).tobytes())
        return digest.hexdigest()

    def scores(self, answer: Answer) -> dict[str, dict[str, float | None]]:
        """Return all figures of an answer on the test rows, each with its interval."""
        head, test = self.preparation.head, self.preparation.samples("test")
        found = score(head.task, answer.probabilities, test.labels, threshold=answer.threshold, groups=self.groups)
        if self.judge:
            rows = self._test_rows.copy()
            found |= self.judge(rows, answer.probabilities, head.classes, groups=self.groups)
        return as_json(found)

    def judged(self, answer: Answer) -> dict[str, Any]:
        """Return what a step keeps of an answer: its ``scores``, and by what and by which ``rules`` they were drawn.

        ``drawn_by`` is left out where they were drawn over rows.
        """
        drawn = {"drawn_by": self.words.drawn_by} if self.words.drawn_by else {}
        return {"scores": self.scores(answer), "rules": RULES, **drawn}

    @property
    def words(self) -> Protocol:
        """What the recipe says of the protocol."""
        return self.recipe.protocols[self.protocol]

    @cached_property
    def groups(self) -> np.ndarray | None:
        """The group of each test row, (rows,), where intervals are drawn over groups; None where over rows."""
        if self.words.drawn_by == "similarity":
            return table_clusters(self._test_rows["sequence"].tolist())
        if not self.words.drawn_by:
            return None
        if "group" not in self._test_rows:
            raise RecipeError(
                f"{self.path} has no column 'group', over which the intervals of {self.protocol} are drawn."
            )
        return self._test_rows["group"].to_numpy(dtype=str)

    @property
    def drawn_groups(self) -> int:
        """How many groups there are; 0 where intervals are drawn over rows."""
        return 0 if self.groups is None else len(np.unique(self.groups))

    @cached_property
    def _test_rows(self) -> pd.DataFrame:
        return self.preparation.table.frame.iloc[self.preparation.rows("test")].reset_index(drop=True)


@dataclass(frozen=True)
class Step:
    """One baseline, or one training with one seed or what is made of such ones, under a protocol.

    Attributes
    ----------
    protocol, method : str
    seed : int
    folder : Path
        Where all steps of the recipe are kept.
    """

    protocol: str
    method: str
    seed: int
    folder: Path

    @property
    def name(self) -> str:
        """Of its files."""
        return f"{self.protocol}-{self.method}-seed{self.seed}"

    @property
    def figures(self) -> Path:
        """The file that is there when the step is finished."""
        return self.folder / f"{self.name}.json"

    @property
    def done(self) -> bool:
        """Whether it is finished."""
        return self.figures.is_file()

    def read(self) -> tuple[dict[str, Any], Answer]:
        """Return the figures and the answers of a finished step."""
        found = json.loads(self.figures.read_text(encoding="utf-8"))
        return found, Answer(np.load(self.figures.with_suffix(".npy")), found["threshold"])

    def keep(self, answer: Answer, *, tuned_on: np.ndarray | None = None, **found: Any) -> None:
        """Write the answers, the logits on the validation rows, and then the figures."""
        self._save(".npy", answer.probabilities)
        if tuned_on is not None:
            self._save(_VALID, tuned_on)
        write_json(self.figures, {"threshold": answer.threshold, **found})

    @property
    def valid_logits(self) -> np.ndarray | None:
        """What was said of the validation rows, (rows, classes); None of an average or a baseline of many classes."""
        path = self.figures.with_suffix(_VALID)
        return np.load(path) if path.is_file() else None

    def _save(self, ending: str, values: np.ndarray) -> None:
        with atomic_write(self.figures.with_suffix(ending)) as stream:
            np.save(stream, values.astype(np.float32))


def open_ground(recipe: Recipe, protocol: str, path: Path, judge: Judge | None) -> Ground:
    """Read a protocol's table for the first of its methods that is trained."""
    method = next(item for item in recipe.methods_of(protocol).values() if not item.parts)
    settings = training_settings(recipe, method, 1)
    preparation = prepare_training(path, method.base, settings, from_scratch=method.from_scratch)
    return Ground(recipe, protocol, path, preparation, judge)


def training_settings(recipe: Recipe, method: Method, seed: int) -> FinetuneSettings:
    """Return the settings of a method's training."""
    own = {"split": "given", "adapt": False, "watched": False, "framed": False}
    return FinetuneSettings(**{**own, **recipe.training, **method.settings, "seed": seed})


def check_same(step: Step, ground: Ground, method: Method) -> None:
    """Refuse a finished training that is of other rows or another network, or had other settings, than it has now.

    Raises
    ------
    RecipeError
        Names the file of the step.
    """
    other = what_differs(step.read()[0], ground, method)
    if other:
        raise RecipeError(
            f"{step.figures} is of a training with {other}: remove it and {model_folder(step)}, or name another --out."
        )


def what_differs(found: Mapping[str, Any], ground: Ground, method: Method | None) -> str:
    """Return in words how a finished step is not what the recipe wants now, "" where it is.

    Parameters
    ----------
    found : mapping
        The figures of the step.
    ground : Ground
    method : Method, optional
        None of a baseline.
    """
    pairs = {"the table": (found["table"][:12], ground.table_sha256[:12])} if "table" in found else {}
    if method and method.average:
        pairs["average"] = (found["settings"].get("average"), list(method.average))
    elif method and method.framed_of:
        pairs["framed_of"] = (found["settings"].get("framed_of"), method.framed_of)
    elif method:
        if "network" in found and not is_absent(method):
            pairs["network"] = (found["network"], network_of(ground.recipe, method))
        if "base_weights" in found and not is_absent(method):
            pairs["weights of the language model"] = (found["base_weights"][:12], base_weights(method)[:12])
        if "asked" in found:
            kept, wanted = found["asked"], asked_of(ground.recipe, method)
            pairs |= {key: (kept.get(key), wanted.get(key)) for key in sorted(kept | wanted)}
    return next((f"{key} = {one}, the recipe wants {other}" for key, (one, other) in pairs.items() if one != other), "")


def asked_of(recipe: Recipe, method: Method) -> dict[str, Any]:
    """Return what a recipe says of a training; what it does not say is chosen by the plan."""
    return {"base": method.base, "from_scratch": method.from_scratch, **recipe.training, **method.settings}


def check_bases(recipe: Recipe, methods: Iterable[Method]) -> None:
    """Refuse to begin where a language model is wanted that is neither built in nor among the user's own.

    Raises
    ------
    RecipeError
        Says how to make it.
    """
    for method in methods:
        if is_absent(method):
            raise RecipeError(
                f"The recipe '{recipe.name}' wants the language model '{method.base}', which is not built in. Make it "
                f"with `{method.made_by}`, or run the other methods alone with --method."
            )


def is_absent(method: Method) -> bool:
    """Return whether a method's language model is to be made first and is not there."""
    if not method.made_by:
        return False
    try:
        load_bundle(method.base)
    except BundleError:
        return True
    return False


def base_weights(method: Method) -> str:
    """Return the SHA-256 of the weights that a method's training begins with, "" from scratch."""
    return "" if method.from_scratch else load_bundle(method.base).sha256


def network_of(recipe: Recipe, method: Method) -> str:
    """Return what a method's network reads and how large it is: as its language model, or from scratch as its preset.

    Of an average it is what each of its networks does, so that one network is not taken for its like.
    """
    if method.parts:
        return "; ".join(sorted(network_of(recipe, recipe.methods[name]) for name in method.parts))
    config = load_bundle(method.base).config
    encoder = PRESETS[training_settings(recipe, method, 1).preset] if method.from_scratch else config.encoder
    return network_words(config.tokenizer, encoder)


def model_folder(step: Step) -> Path:
    """Return the bundle that a training step makes; no model's name has an underscore."""
    name = f"{step.folder.parent.name}-{step.name}".replace("_", "-")
    return step.folder.parent / "models" / name


def steps_of(recipe: Recipe, protocol: str, folder: Path, seeds: int | None = None) -> list[tuple[Step, Method]]:
    """Return the trainings of a protocol, the first seed of every method before the second of any."""
    found = [
        (Step(protocol, key, seed, folder), method)
        for key, method in recipe.methods_of(protocol).items()
        for seed in range(1, (min(seeds, method.seeds) if seeds else method.seeds) + 1)
    ]
    return sorted(found, key=lambda pair: pair[0].seed)


def turn_of(step: Step, method: Method) -> tuple[int, int]:
    """Return when a step is done: seed by seed, trainings first, then networks read again, then averages."""
    return step.seed, 2 if method.average else 1 if method.framed_of else 0
