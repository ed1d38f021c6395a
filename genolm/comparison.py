"""Two models on the same labelled rows: is one better, or is it chance?"""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from genolm import metrics
from genolm.bootstrap import Difference, Estimate, Statistic, Unseen, check_draws, count_groups, paired_bootstrap
from genolm.cards import LESS_IS_BETTER, headline_metrics, metric_name, p_words
from genolm.config import HeadConfig
from genolm.errors import SettingsError, first_names
from genolm.evaluation import coded_labels, rows_to_judge, thin_rows
from genolm.known_rows import known_rows
from genolm.predict import Predictor
from genolm.progress import ProgressCallback, part_reporter
from genolm.record import source_facts
from genolm.recording import model_facts
from genolm.registry import ModelBundle, load_bundle
from genolm.table_split import drawn_groups, set_aside

COMPARISON_VERSION, READ_VERSIONS = 2, (1, 2)


@dataclass(frozen=True)
class Comparison:
    """Two models, a and b, on the same rows of a table.

    Attributes
    ----------
    a, b : dict
        ``name`` and ``sha256`` of each model, and ``answers``, the settings by which it answers.
    table : dict
        ``name``, ``bytes`` and ``sha256`` of the file or folder.
    split : str or None
    rows : int
    task : str
    classes : tuple of str
    metrics : dict of str to Difference
        The difference is a minus b.
    agreement : dict of str to int
        Rows that ``both`` models, ``only_a``, ``only_b`` and ``neither`` got right; empty for regression.
    warnings : tuple of str
        Why the comparison may not be fair.
    n_boot, seed : int
    seconds : float
    drawn : int, optional
        Groups of related rows, over which intervals are drawn, see :func:`genolm.table_split.related_rows`; 0 where one
        has more than half of the rows, so that they are drawn over rows. None is not known: it was made by an older
        genolm.
    """

    a: dict[str, Any]
    b: dict[str, Any]
    table: dict[str, Any]
    split: str | None
    rows: int
    task: str
    classes: tuple[str, ...]
    metrics: dict[str, Difference]
    agreement: dict[str, int]
    warnings: tuple[str, ...]
    n_boot: int
    seed: int
    seconds: float
    drawn: int | None = None

    @property
    def main_metric(self) -> str:
        """The metric that the verdict goes by."""
        defined = [key for key, item in self.metrics.items() if not math.isnan(item.difference.value)]
        return next((key for key in headline_metrics(self.task) if key in defined), next(iter(self.metrics)))

    @property
    def verdict(self) -> str:
        """One or two sentences: which model is better, by how much, and whether it may be chance."""
        key, rows = self.main_metric, f"On these {self.rows:,} rows"
        found, word = self.metrics[key], metric_name(self.main_metric)
        gap, name_a, name_b = found.difference, self.a["name"], self.b["name"]
        if math.isnan(gap.value):
            return f"{word} is not defined on these {self.rows:,} rows, so the models cannot be compared."
        if math.isnan(gap.low):
            return (
                f"{rows} {name_a} and {name_b} cannot be told apart: they are too few, or all related, for an interval "
                f"({word} {found.a.value:.3f} and {found.b.value:.3f})."
            )
        if gap.low <= 0 <= gap.high:
            return (
                f"{rows} {name_a} and {name_b} cannot be told apart: {word} {found.a.value:.3f} and "
                f"{found.b.value:.3f} (difference {gap.value:+z.3f}, 95 % interval {gap.low:+z.3f} to "
                f"{gap.high:+z.3f}, {p_words(found.p)}). More rows, unlike these, could show a smaller difference."
            )
        a_is_better = (gap.value > 0) != (key in LESS_IS_BETTER)
        pairs = [(name_a, found.a.value), (name_b, found.b.value)]
        (better, best), (other, rest) = pairs if a_is_better else reversed(pairs)
        ends = sorted((abs(gap.low), abs(gap.high)))
        return (
            f"{rows} {better} is better: {word} {best:.3f}, and {rest:.3f} for {other} (difference "
            f"{abs(gap.value):.3f}, 95 % interval {ends[0]:.3f} to {ends[1]:.3f}, {p_words(found.p)})."
        )

    def frame(self) -> pd.DataFrame:
        """Return a row per metric: its name, three numbers for each of a, b and the difference, and ``p``."""
        rows = []
        for key, item in self.metrics.items():
            parts = (item.a, item.b, item.difference)
            rows.append([key, *(number for part in parts for number in vars(part).values()), item.p])
        names = ["metric", "a", "a_low", "a_high", "b", "b_low", "b_high", "difference", "low", "high", "p"]
        return pd.DataFrame(rows, columns=names)

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON data, with the verdict."""
        data = {key: value for key, value in asdict(self).items() if key != "metrics"}
        scores = {key: item.as_dict() for key, item in self.metrics.items()}
        return {"format_version": COMPARISON_VERSION, **data, "metrics": scores, "verdict": self.verdict}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Comparison":
        """Return the comparison that :meth:`as_dict` wrote."""
        version = data.get("format_version")
        if version not in READ_VERSIONS:
            known = f"this genolm reads up to {COMPARISON_VERSION}"
            raise SettingsError(f"The comparison has format {version}; {known}.")
        given = {key: value for key, value in data.items() if key not in ("format_version", "verdict")}
        scores = {key: _difference(item) for key, item in data["metrics"].items()}
        lists = {key: tuple(data[key]) for key in ("classes", "warnings")}
        return cls(**{**given, **lists, "metrics": scores})


def compare_models(
    model_a: str | Path,
    model_b: str | Path,
    table: str | Path,
    *,
    split: str | None = None,
    columns: Sequence[tuple[str, str]] = (),
    skip_bad_rows: bool = False,
    n_boot: int = 2000,
    seed: int = 1,
    progress: ProgressCallback | None = None,
    **options: Any,
) -> Comparison:
    """Score two models on the same rows of a labelled table, with a paired bootstrap of the differences.

    Parameters
    ----------
    model_a, model_b : str or path
        Names or paths of classifiers that answer the same question, see :func:`same_question`.
    table : path
        Columns ``sequence, label`` and optionally ``split, group, name``, or a folder with one FASTA file per
        class; rows that neither has learned from. Rows without a label are left out, and told of.
    split : {"train", "valid", "test"}, optional
        Only the rows of this split.
    columns : sequence of (str, str)
        Our column and what the file calls it.
    skip_bad_rows : bool
        Leave out rows that cannot be used, and tell of them.
    n_boot, seed : int
        Draws of rows, the same for both models; those that resemble one another or share a group
        are drawn together.
    progress : callable, optional
        Told of finished sequences.
    **options
        ``device``, ``precision``, ``threads``, see :class:`genolm.predict.Predictor`.

    Raises
    ------
    SettingsError
        When the models do not answer the same question.
    """
    began = time.monotonic()
    check_draws(n_boot)
    bundles = [load_bundle(model_a), load_bundle(model_b)]
    predictors = [Predictor(bundle, **options) for bundle in bundles]
    order = _class_order(*predictors)
    frame, left_out = rows_to_judge(table, split=split, columns=columns, skip_bad_rows=skip_bad_rows)
    facts, name = source_facts(Path(table)), Path(table).name
    names = [f"row {number}" for number in frame.index]
    labels = coded_labels(_named_as_by_first(frame, *predictors), predictors[0].head, name, names=names)
    judged = []
    for place, predictor in enumerate(predictors):
        tell = part_reporter(progress, place, 2, predictor.config.name)
        found = _predicted(predictor, frame, tell)
        judged.append(_judged(predictor, found[:, order] if place else found, labels))
    (statistic_a, unseen_a, right_a), (statistic_b, unseen_b, right_b) = judged
    groups = drawn_groups(frame["sequence"].tolist(), frame.get("group"))
    draws = {"n_boot": n_boot, "seed": seed, "groups": groups, "unseen": (unseen_a, unseen_b)}
    return Comparison(
        a=model_facts(predictors[0]),
        b=model_facts(predictors[1]),
        table=facts,
        split=split,
        rows=len(frame),
        task=predictors[0].task,
        classes=predictors[0].classes,
        metrics=paired_bootstrap(statistic_a, statistic_b, len(frame), **draws),
        agreement=_agreement(right_a, right_b),
        warnings=(
            *left_out,
            *_warnings(bundles, facts, split, frame["sequence"].tolist()),
            *thin_rows(labels, predictors[0].task),
            *set_aside(frame.get("group"), groups),
        ),
        n_boot=n_boot,
        seed=seed,
        seconds=time.monotonic() - began,
        drawn=count_groups(groups),
    )


def same_question(a: HeadConfig, b: HeadConfig) -> bool:
    """Return whether two classifiers can be compared: they have the same classes, or of two the same positive one.

    What is not a promoter may be called "other" by one and "non-promoter" by the other; a table may have either name.
    """
    if a.task != b.task:
        return False
    return a.classes[1] == b.classes[1] if a.task == "binary" else set(a.classes) == set(b.classes)


def _named_as_by_first(frame: pd.DataFrame, a: Predictor, b: Predictor) -> list[str]:
    """Return the labels, b's name of what is not the positive class as a names it."""
    labels = frame["label"].tolist()
    if a.task != "binary":
        return labels
    return [a.classes[0] if label == b.classes[0] else label for label in labels]


def _class_order(a: Predictor, b: Predictor) -> list[int]:
    """Return where each class of a stands among the outputs of b; refuse models of no :func:`same_question`."""
    if same_question(a.head, b.head):
        return [0, 1] if a.task == "binary" else [b.classes.index(name) for name in a.classes]
    names = (a.config.name, b.config.name)
    if a.task != b.task:
        raise SettingsError(
            f"Model '{names[0]}' is for a {a.task} task and '{names[1]}' for a {b.task} one; "
            "only models that answer the same question can be compared."
        )
    if set(a.classes) != set(b.classes):
        raise SettingsError(
            f"Model '{names[0]}' answers {first_names(a.classes)}, and '{names[1]}' {first_names(b.classes)}; "
            "only models with the same classes, or of two with the same positive one, can be compared."
        )
    raise SettingsError(
        f"For model '{names[0]}' the positive class is {a.classes[1]}, for '{names[1]}' {b.classes[1]}; "
        "their precision and recall mean different things and cannot be compared."
    )


def _predicted(
    predictor: Predictor, frame: pd.DataFrame, progress: ProgressCallback | None
) -> np.ndarray:
    names = [f"row {number}" for number in frame.index]
    logits = predictor.logits(frame["sequence"].tolist(), names=names, progress=progress)
    return predictor.probabilities(logits)


def _judged(
    predictor: Predictor, found: np.ndarray, labels: np.ndarray
) -> tuple[Statistic, Unseen | None, np.ndarray | None]:
    """Return a model's metrics as a statistic, the same with unseen items, and which answers are right (else None)."""
    task, threshold = predictor.task, predictor.config.calibration.threshold
    statistic, unseen = metrics.statistics_for(task, found, labels, threshold=threshold)
    if task == "regression":
        return statistic, unseen, None
    if task == "multilabel":
        return statistic, unseen, ((found >= threshold) == (labels == 1)).all(axis=1)
    called = found[:, 1] >= threshold if task == "binary" else found.argmax(axis=1)
    return statistic, unseen, called == labels


def _agreement(a: np.ndarray | None, b: np.ndarray | None) -> dict[str, int]:
    if a is None or b is None:
        return {}
    cells = {"both": a & b, "only_a": a & ~b, "only_b": ~a & b, "neither": ~(a | b)}
    return {key: int(cell.sum()) for key, cell in cells.items()}


def _warnings(
    bundles: Sequence[ModelBundle], table: Mapping[str, Any], split: str | None, sequences: Sequence[str]
) -> Iterator[str]:
    """Say what may make the comparison unfair: rows that a model knows or does not fit."""
    for bundle in bundles:
        yield from known_rows(bundle, table, split, sequences)
        window = bundle.config.window
        other = 0 if window is None else sum(len(item) != window.length for item in sequences)
        if other:
            yield (
                f"{other:,} of {len(sequences):,} rows are not {window.length} bp long, as the pieces were "
                f"that {bundle.name} was trained on; it may do better on such pieces."
            )


def _difference(data: Mapping[str, Any]) -> Difference:
    nan = float("nan")
    parts = {
        key: Estimate(**{end: nan if value is None else value for end, value in data[key].items()})
        for key in ("a", "b", "difference")
    }
    return Difference(**parts, p=nan if data["p"] is None else data["p"])
