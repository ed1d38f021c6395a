"""One row of the results page: what a recipe found, with the figures that others published for the question.

:mod:`genolm.results` reads it from its file; nothing in it is typed by hand.
"""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from genolm.bootstrap import FEW_GROUPS, Estimate
from genolm.cards import LESS_IS_BETTER
from genolm.published import Published

RESULT_FORMAT = 1
PUBLISHED, STRICT, NAIVE = "published", "strict", "naive"
OURS, BASELINE, CONTROL = "ours", "baseline", "control"
# Fixed beforehand, for rows that keep no loss on validation rows to choose by.
MAIN_ORDER = ("adapted", "pretrained")
LEARNED, READINGS = ("shifted", "trimmed"), ("shifted", "trimmed", "framed")
BASELINE_TITLES = {
    "majority": "always the commonest class",
    "kmer-logistic": "k-mer logistic regression",
    "positional-logistic": "logistic regression on bases by position",
    "frame-logistic": "logistic regression on the longest reading frame",
    "cnn": "small convolutional network",
}


def is_naive(method: str) -> bool:
    """Return whether a method is a network from scratch, called ``naive`` or ``naive-`` and with what tokens."""
    return method.split("-")[0] == NAIVE


@dataclass(frozen=True)
class Source:
    """A file that the data were made from, below the data folder.

    ``url`` is where it is to be had, ``get`` how, where the address alone does not say it.
    """

    file: str
    sha256: str
    url: str
    licence: str
    get: str = ""


@dataclass(frozen=True)
class Protocol:
    """One way to divide the data: ``rows`` per part, and ``record``, how the table was made.

    ``seen`` tells that our models were trained on its test rows, so that its figures are no test. ``pools`` names
    the protocols whose test rows it has together. ``uncounted`` says why its figures are in no count of rows, in words
    that go on a sentence; ``drawn_over`` what its intervals are drawn over, ``drawn_groups`` of them, "" where it is
    rows.
    """

    title: str
    rows: dict[str, int]
    table_sha256: str
    record: dict[str, Any]
    seen: bool = False
    pools: tuple[str, ...] = ()
    uncounted: str = ""
    drawn_over: str = ""
    drawn_groups: int = 0


@dataclass(frozen=True)
class Method:
    """One way to answer: ``kind`` is ours, baseline or control, ``base`` the language model it starts from.

    A control is no answer to the question, only what chance gives; to be ahead of it is no merit.

    ``network`` says what it reads and how large it is, None where that was not kept. ``aside`` says why it is not
    among the ways that the loss on validation rows chooses from; "" where it is.
    """

    title: str
    kind: str
    base: str | None
    settings: dict[str, Any]
    network: str | None = None
    aside: str = ""


@dataclass(frozen=True)
class Run:
    """One training with one seed, judged on the test rows; ``weights`` is the same for one network of two protocols."""

    seed: int
    metrics: dict[str, Estimate]
    seconds: float | None
    best_epoch: int | None
    valid_loss: float | None = None
    weights: str | None = None


@dataclass(frozen=True)
class Scores:
    """What a method reached under a protocol; ``together`` is the mean of the seeds' probabilities."""

    seeds: tuple[Run, ...]
    together: dict[str, Estimate]

    @property
    def seconds(self) -> float | None:
        """Wall time of all seeds; None if it was not taken."""
        known = [run.seconds for run in self.seeds if run.seconds is not None]
        return sum(known) if known else None

    @property
    def valid_loss(self) -> float | None:
        """Loss on validation rows, the mean of the seeds; None where one of them has not kept it."""
        known = [run.valid_loss for run in self.seeds if run.valid_loss is not None]
        return sum(known) / len(known) if known and len(known) == len(self.seeds) else None

    def each(self, metric: str) -> list[Estimate]:
        """Return the figure of each seed that has it."""
        found = [run.metrics[metric] for run in self.seeds if metric in run.metrics]
        return [item for item in found if not math.isnan(item.value)]

    def estimate(self, metric: str) -> Estimate | None:
        """Return the figure of one seed; of several the mean, and the means of their intervals' ends."""
        found = self.each(metric)
        if not found:
            return self.together.get(metric)
        ends = zip(*((item.value, item.low, item.high) for item in found), strict=True)
        return Estimate(*(sum(numbers) / len(found) for numbers in ends))

    def spread(self, metric: str) -> tuple[float, float] | None:
        """Return the lowest and the highest of several seeds."""
        values = [item.value for item in self.each(metric)]
        return (min(values), max(values)) if len(values) > 1 else None


@dataclass(frozen=True)
class Gap:
    """``method`` minus ``other`` on the same test rows, by paired bootstrap; seeds count as their mean."""

    protocol: str
    method: str
    other: str
    metric: str
    size: Estimate
    p: float | None


@dataclass(frozen=True)
class Figure:
    """A figure of a result as plotly's JSON data."""

    name: str
    title: str
    caption: str
    plotly: dict[str, Any]


class View(NamedTuple):
    """One line of an overview: the protocol of its published figures, and that of its other comparisons."""

    published: str
    main: str | None

    @property
    def is_usual(self) -> bool:
        """Whether it is that of the published and the strict protocol."""
        return self.published == PUBLISHED


@dataclass(frozen=True)
class RowResult:
    """One row of the results.

    ``path`` is the file that it was read from, ``repeat`` the word for what differs between the trainings of
    one method: seed, or draw where each had other labels. ``missing`` is what its recipe asks for and was not run,
    ``unplanned`` the kinds of training that the recipe does not ask for, both by protocol.
    """

    path: Path
    name: str
    title: str
    section: str
    order: int
    question: str
    metric: str
    metrics: tuple[str, ...]
    notes: tuple[str, ...] = ()
    published: tuple[Published, ...] = ()
    sources: tuple[Source, ...] = ()
    protocols: dict[str, Protocol] = field(default_factory=dict)
    methods: dict[str, Method] = field(default_factory=dict)
    scores: dict[str, dict[str, Scores]] = field(default_factory=dict)
    gaps: tuple[Gap, ...] = ()
    figures: tuple[Figure, ...] = ()
    missing: tuple[str, ...] = ()
    unplanned: tuple[str, ...] = ()
    machine: dict[str, Any] = field(default_factory=dict)
    seconds: float | None = None
    date: str = ""
    version: str = ""
    repeat: str = "seed"

    @property
    def scored(self) -> list[str]:
        """Protocols that have figures, the strict one first, which counts."""
        found = [key for key, methods in self.scores.items() if methods]
        return sorted(found, key=lambda key: (key != STRICT, key == PUBLISHED))

    @property
    def is_complete(self) -> bool:
        """Whether everything was run."""
        return not self.missing and bool(self.scored or self.figures)

    def ours(self, protocol: str) -> list[str]:
        """Return our ways that were scored and start from a language model, the main one first.

        That is the one with the lowest loss on validation rows, never the best on the test rows; where a loss
        was not kept, the first of ``MAIN_ORDER``. Those that stand aside come last.
        """
        own = self._pretrained(protocol)
        losses = {key: self.scores[protocol][key].valid_loss for key in own}
        rank = {key: place for place, key in enumerate(MAIN_ORDER)}
        chosen = self.is_chosen(protocol)

        def place(key: str) -> tuple[bool, float]:
            loss = losses[key] if chosen else None
            return bool(self.aside(key)), rank.get(key, len(rank)) if loss is None else loss

        return sorted(own, key=place)

    def aside(self, method: str) -> str:
        """Return why a method is not among those that the validation rows choose from, "" where it is."""
        return self.methods[method].aside if method in self.methods else ""

    def is_chosen(self, protocol: str) -> bool:
        """Whether the main way was chosen among several by the loss on validation rows."""
        own = [self.scores[protocol][key] for key in self._pretrained(protocol) if not self.aside(key)]
        return len(own) > 1 and all(item.valid_loss is not None for item in own)

    def naive(self, protocol: str, method: str | None = None) -> str | None:
        """Return the network from scratch that has the headline figure, of several the one alike to ``method``.

        With a method it is None where none reads the same tokens with as large a network: two things would
        differ. Where that was not kept, it is taken to be so if all our ways start from one language model.
        Of several that are left, those that read sequences as it does come first, when they learned and then when
        they answer, and of them the one with the lowest loss on validation rows, else the first.
        """
        found = [key for key in self.scores.get(protocol, {}) if self._is_ours(key) and is_naive(key)]
        found = [key for key in found if self._has_figure(protocol, key)]
        if method is not None:
            found = [key for key in found if self._is_alike(protocol, key, method)]
        losses = {key: self.scores[protocol][key].valid_loss for key in found}
        if all(loss is not None for loss in losses.values()):
            found = sorted(found, key=lambda key: losses[key])
        if method is not None:
            ways = (LEARNED, READINGS)
            found = sorted(found, key=lambda key: [self.reads_otherwise(key, method, settings) for settings in ways])
        return next(iter(found), None)

    def reads_otherwise(self, naive: str, method: str, settings: tuple[str, ...] = READINGS) -> bool:
        """Whether two ways differ in how sequences were read, by default when they learned or answered."""
        return self._readings(naive, settings) != self._readings(method, settings)

    def _readings(self, method: str, keys: tuple[str, ...]) -> set[tuple[bool, ...]]:
        """Return how a way reads sequences, of an average how each of its parts does."""
        settings = self.methods[method].settings if method in self.methods else {}
        if "average" in settings:
            return set().union(*(self._readings(part, keys) for part in settings["average"]))
        return {tuple(bool(settings.get(key)) for key in keys)}

    def passes(self, method: str) -> int | None:
        """Return over how often a way went through its training rows, None where that was not kept."""
        settings = self.methods[method].settings if method in self.methods else {}
        return sum(math.ceil(item["epochs"]) for item in settings.get("schedule") or ()) or None

    def is_best_last(self, protocol: str, method: str) -> bool:
        """Whether each training of a way had its lowest loss on validation rows in its last pass."""
        passes, runs = self.passes(method), self.scores[protocol][method].seeds
        return bool(passes and runs) and all(run.best_epoch == passes - 1 for run in runs)

    def main(self, protocol: str) -> str | None:
        """Return the way whose figure is called ours; None where none was scored."""
        return next(iter(self.ours(protocol)), None)

    def beside(self, item: Published) -> str | None:
        """Return the way of ours that a published figure is held beside; None where it was not scored."""
        if item.beside == NAIVE:
            return self.naive(item.protocol)
        if item.beside:
            return item.beside if self._has_figure(item.protocol, item.beside) else None
        return self.main(item.protocol)

    def is_seen(self, protocol: str) -> bool:
        """Whether our models were trained on the test rows of a protocol, so that its figures are no test."""
        return protocol in self.protocols and self.protocols[protocol].seen

    def uncounted(self, protocol: str) -> str:
        """Return why a protocol's figures are in no count of rows, "" where they are."""
        return self.protocols[protocol].uncounted if protocol in self.protocols else ""

    def drawn_over(self, protocol: str) -> str:
        """Return what a protocol's intervals are drawn over, with their number, "" where it is rows."""
        item = self.protocols.get(protocol)
        return f"{item.drawn_groups:,} whole {item.drawn_over}" if item and item.drawn_over else ""

    def is_drawn_over_few(self, protocol: str) -> bool:
        """Whether a protocol's intervals are drawn over so few groups that they are too narrow."""
        return bool(self.drawn_over(protocol)) and self.protocols[protocol].drawn_groups < FEW_GROUPS

    def title_of(self, method: str) -> str:
        """Return how a method is called."""
        return self.methods[method].title if method in self.methods else method

    def estimate(self, protocol: str, method: str, metric: str | None = None) -> Estimate | None:
        """Return a figure of a method, by default the headline one; see :meth:`Scores.estimate`."""
        found = self.scores.get(protocol, {}).get(method)
        return found.estimate(metric or self.metric) if found else None

    def best_baseline(self, protocol: str, metric: str | None = None) -> str | None:
        """Return the baseline that is best on the test rows, which favours it; None where there is none."""
        metric, found = metric or self.metric, {}
        for key in self.scores.get(protocol, {}):
            figure = self.estimate(protocol, key, metric) if self._kind(key) == BASELINE else None
            if figure and not math.isnan(figure.value):
                found[key] = figure.value
        if not found:
            return None
        return (min if metric in LESS_IS_BETTER else max)(found, key=lambda key: found[key])

    def controls(self, protocol: str) -> list[str]:
        """Return the controls that were scored."""
        return [key for key in self.scores.get(protocol, {}) if self._kind(key) == CONTROL]

    def gap(self, protocol: str, method: str, other: str, metric: str | None = None) -> Gap | None:
        """Return the paired difference of two methods, None where it was not worked out."""
        wanted = (protocol, method, other, metric or self.metric)
        every = (item for item in self.gaps if (item.protocol, item.method, item.other, item.metric) == wanted)
        return next(every, None)

    def views(self) -> list[View]:
        """Return the row's lines in an overview: one for the published and the strict protocol, one for each other."""
        with_ours = [key for key in self.scored if self.ours(key)] or self.scored
        usual = [key for key in (*with_ours, *self.scored) if key in (PUBLISHED, STRICT)]
        others = [View(key, key) for key in with_ours if key not in usual]
        return [View(PUBLISHED, next(iter(usual), None)), *others] if usual or not others else others

    def figures_of(self, kind: str, protocol: str = PUBLISHED) -> list[Published]:
        """Return published figures of a kind, first those of a protocol, the best of them first.

        Those of no protocol of ours come last; those of our other ones only beside the published protocol.
        """
        found = [item for item in self.published if item.kind == kind and item.scores]
        if protocol != PUBLISHED:
            found = [item for item in found if item.protocol == protocol or item.protocol not in self.protocols]
        return sorted(found, key=lambda item: self._rank(item, protocol))

    def _rank(self, item: Published, protocol: str) -> tuple[bool, bool, bool, float]:
        score = item.scores.get(self.metric, 0.0)
        strange, other = item.protocol not in self.protocols, self.metric not in item.scores
        return item.protocol != protocol, strange, other, score if self.metric in LESS_IS_BETTER else -score

    def frame(self) -> pd.DataFrame:
        """Return all figures, a row for each seed, their mean and the seeds together."""
        rows = []
        for protocol, methods in self.scores.items():
            for method, scores in methods.items():
                front = (protocol, method, self.title_of(method))
                kept: list[tuple[object, dict[str, Estimate]]] = [(run.seed, run.metrics) for run in scores.seeds]
                if len(kept) > 1:
                    every = dict.fromkeys(key for run in scores.seeds for key in run.metrics)
                    kept.append(("mean", {key: scores.estimate(key) for key in every}))
                kept += [("together", scores.together)] if scores.together else []
                for seed, metrics in kept:
                    rows += [(*front, str(seed), key, *vars(item).values()) for key, item in metrics.items() if item]
        columns = ["protocol", "method", "title", "seed", "metric", "value", "low", "high"]
        return pd.DataFrame(rows, columns=columns)

    def _has_figure(self, protocol: str, method: str) -> bool:
        figure = self.estimate(protocol, method)
        return figure is not None and not math.isnan(figure.value)

    def _is_alike(self, protocol: str, naive: str, method: str) -> bool:
        one, other = (self.methods[key].network if key in self.methods else None for key in (naive, method))
        if one is None or other is None:
            return len({self.methods[key].base for key in self._pretrained(protocol) if key in self.methods}) <= 1
        return one == other

    def _pretrained(self, protocol: str) -> list[str]:
        return [key for key in self.scores.get(protocol, {}) if self._is_ours(key) and not is_naive(key)]

    def _is_ours(self, method: str) -> bool:
        return self._kind(method) == OURS

    def _kind(self, method: str) -> str:
        return self.methods[method].kind if method in self.methods else OURS
