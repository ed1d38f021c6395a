"""How many labelled gene starts are needed: the data-reduction curve, with and without pre-training.

From the training windows of ecoli_gene_start_data.py, those outside the independent set left out, labels are
drawn at random, half of each class, several times for each size. Nothing but the drawn labels is looked at:
fewer than 500 are all learned from, by a schedule that is fixed by their number, and from 500 on a tenth of
them chooses the epoch. All models answer on the same test windows, and a window is called a gene start from a
probability of 0.5, so that no label chooses a threshold either. A logistic regression chooses its penalty on
a part of its labels, a fifth where there are fewer than 500 and a tenth from there on, and then learns from
all of them. The small network needs that part to know when to stop, and learns from the others alone.

Every training is kept when it is finished. The first draw of every size comes first, so that a run that is
cut off leaves a whole curve.
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, NamedTuple

import genolm.compute  # noqa: F401  sets the OpenMP wait policy before torch is loaded
import numpy as np
import plotly.graph_objects as go
from common import ECOLI_GENBANK, read_genbank, source_file
from ecoli_gene_start_data import CLASSES, build
from run_parts import difference, figure_part, method, scored
from scan_proof_ground import Store

from genolm.baselines import Baseline, Examples, KmerLogistic, PositionalLogistic, SmallCNN
from genolm.bootstrap import Array, Figures, Statistic, paired_bootstrap
from genolm.classifier_training import Samples, train_classifier
from genolm.config import ClassifierSettings, FinetuneSettings, HeadConfig
from genolm.errors import GenolmError
from genolm.figure_parts import BLUE, GREEN, GREY, PALETTE, PURPLE, VERMILION, laid_out, new_figure
from genolm.metrics import as_json, score
from genolm.plans import ALIGNED_ROWS, TrainingPlan, plan_training, task_size
from genolm.recipe_own import joined
from genolm.recipe_run import RecipeTask
from genolm.registry import load_bundle
from genolm.result_row import BASELINE_TITLES
from genolm.tokenizer import KmerTokenizer

PRETRAINED, NAIVE = "pretrained", "naive"
BASELINES: dict[str, Callable[[int], Baseline]] = {
    PositionalLogistic.name: lambda seed: PositionalLogistic(),
    KmerLogistic.name: lambda seed: KmerLogistic(),
    SmallCNN.name: lambda seed: SmallCNN(seed=seed),
}
REFITTED = (PositionalLogistic.name, KmerLogistic.name)
"""Those that learn from all labels once their penalty is chosen."""
METRICS = ("accuracy", "mcc", "auroc")
VALID_FROM, VALID_SHARE = 500, 0.1
PENALTY_SHARE = 0.2
LEAST_STEPS, SMALL_BATCH, SMALL_BELOW = 13, 8, 80
"""Steps that an epoch of few labels is brought up to; BatchNorm cannot learn from tiny batches."""
LEAST_LABELS = 20
WHOLE = 0
ORIGINAL = {
    20: 0.8337,
    50: 0.8446,
    100: 0.9048,
    200: 0.9169,
    500: 0.9241,
    1000: 0.9518,
    3000: 0.9663,
    6791: 0.9735,
}
"""Accuracy by number of training windows; 750 further labelled windows chose epochs and learning rates."""
ORIGINAL_NAIVE = 0.8349
_COLOURS = {
    PRETRAINED: (BLUE, "circle"),
    NAIVE: (GREEN, "square"),
    PositionalLogistic.name: (GREY, "diamond"),
    KmerLogistic.name: (PURPLE, "triangle-up"),
    SmallCNN.name: (PALETTE[4], "cross"),
}


class Piece(NamedTuple):
    """One training: so many labels, the number of the draw, and the method."""

    size: int
    draw: int
    method: str

    @property
    def name(self) -> str:
        """Of its files."""
        return f"n{self.size}-draw{self.draw}-{self.method}"


@dataclass
class Curve:
    """The windows, and the trainings on parts of them.

    Attributes
    ----------
    task : RecipeTask
        Its options are ``sizes`` (0 for all windows), ``draws``, ``fewer`` (draws of sizes from some number
        of labels on, as pairs), ``base``, ``methods``, ``minutes`` (start no training of ours after so many;
        with 0 the baselines alone are done) and ``test`` and ``valid`` (windows of each class that are held
        out, for a trial).
    """

    task: RecipeTask

    def __post_init__(self) -> None:
        options = self.task.options
        self.store = Store(self.task.out / "parts.json")
        self.base = load_bundle(self.task.models(options.get("base", "bacteria-lm")))
        genome = read_genbank(source_file(self.task.data, ECOLI_GENBANK))
        held_out = {key: int(options[key]) for key in ("test", "valid") if key in options}
        table, self.record = build(genome, **held_out)
        self.test = _samples(table[table["split"] == "test"])
        self.train = _samples(table[(table["split"] == "train") & (table["excluded"] == 0)])
        self.rules = {"valid": [VALID_FROM, VALID_SHARE], "counts": self.record["written"]}

    @cached_property
    def sizes(self) -> list[int]:
        """Numbers of labels, fewest first; too many for the training windows is refused."""
        least, whole = int(np.bincount(self.train.labels).min()), len(self.train.labels)
        wanted = [int(size) for size in self.task.options.get("sizes", (20, 100, 1000))]
        for size in wanted:
            if size != WHOLE and not LEAST_LABELS <= size <= 2 * least:
                raise GenolmError(
                    f"The option sizes has {size}; there are {LEAST_LABELS} to {2 * least} labels to draw."
                )
        return sorted(whole if size == WHOLE else size for size in wanted)

    @property
    def methods(self) -> list[str]:
        """Ours first."""
        known = [PRETRAINED, NAIVE, *BASELINES]
        wanted = self.task.options.get("methods", known)
        return [name for name in known if name in wanted]

    def facts(self, name: str) -> dict[str, Any]:
        """Return what a training of a method is made from."""
        how = {"refit": name in REFITTED} if name in BASELINES else {}
        return {"base": self.base.sha256, **self.rules, **how}

    def draws(self, size: int) -> int:
        """Return how often labels of a size are drawn; all of them are trained on as often, with other seeds."""
        limits = [int(draws) for least, draws in self.task.options.get("fewer", ()) if size >= int(least)]
        return min([int(self.task.options.get("draws", 5)), *limits])

    def pieces(self) -> Iterator[Piece]:
        """Yield all trainings, in the order in which they are done."""
        for draw in range(1, int(self.task.options.get("draws", 5)) + 1):
            for size in self.sizes:
                if draw <= self.draws(size):
                    yield from (Piece(size, draw, name) for name in self.methods)

    def run(self) -> dict[Piece, dict[str, Any]]:
        """Return what is finished when all is done or the time is over."""
        minutes = float(self.task.options.get("minutes", math.inf))
        found: dict[Piece, dict[str, Any]] = {}
        began = time.monotonic()
        for piece in self.pieces():
            facts = self._made_from(piece)
            kept = self.store.has(piece.name, facts)
            if kept or piece.method in BASELINES or time.monotonic() - began < 60 * minutes:
                found[piece] = self.store.part(piece.name, facts, partial(self._piece, piece))
        return found

    def _piece(self, piece: Piece) -> dict[str, Any]:
        """Train once and return figures, and which test windows were right as text of 0 and 1."""
        train, valid = self.parts(piece)
        began = time.monotonic()
        chances = (self._baseline if piece.method in BASELINES else self._network)(piece, train, valid)
        right = (chances[:, 1] >= 0.5) == (self.test.labels == 1)
        figures = as_json(score("binary", chances, self.test.labels, threshold=0.5))
        self.task.say(f"{piece.name}: accuracy {right.mean():.4f}, {time.monotonic() - began:.0f} s")
        return {
            "metrics": {name: figures[name] for name in METRICS},
            "right": "".join(map(str, right.astype(int))),
            "seconds": time.monotonic() - began,
        }

    def parts(self, piece: Piece) -> tuple[Samples, Samples | None]:
        """Return the training and, if it has one, the validation part of a draw, the same for all methods."""
        rng = np.random.default_rng([piece.size, piece.draw])
        drawn = [rng.permutation(np.flatnonzero(self.train.labels == label)) for label in (0, 1)]
        if piece.size < len(self.train.labels):
            drawn = [rows[: piece.size // 2] for rows in drawn]
        share = VALID_SHARE if piece.size >= VALID_FROM else 0.0
        return _divided(self.train, drawn, share)

    def rows(self, size: int) -> dict[str, int]:
        """Return how many windows each part has."""
        train, valid = self.parts(Piece(size, 1, PRETRAINED))
        counts = {"train": len(train.labels), "valid": len(valid.labels) if valid else 0}
        return {**counts, "test": len(self.test.labels)}

    def _made_from(self, piece: Piece) -> dict[str, Any]:
        """Return the facts of one training: those of its method, and slots that few rows have for a common site."""
        facts = self.facts(piece.method)
        if piece.method in BASELINES:
            return facts
        train = self.parts(piece)[0]
        slots = 0 if len(train.labels) >= ALIGNED_ROWS else _plan(piece, train).slots
        return {**facts, "slots": slots} if slots else facts

    def _network(self, piece: Piece, train: Samples, valid: Samples | None) -> np.ndarray:
        plan = _plan(piece, train)
        head = HeadConfig("binary", CLASSES, slots=plan.slots)
        start = KmerTokenizer(self.base.config.tokenizer) if piece.method == NAIVE else self.base
        chosen = enough_steps(plan.classifier, len(train.labels))
        # Without a validation part that is the epoch of the lowest training loss, mostly the last.
        trained = train_classifier(train, valid or train, head, start, chosen)
        return trained.probabilities(self.test.sequences)

    def _baseline(self, piece: Piece, train: Samples, valid: Samples | None) -> np.ndarray:
        parts = [train, valid] if valid else [train]
        sequences = [text for part in parts for text in part.sequences]
        every = Examples(sequences, np.concatenate([part.labels for part in parts]))
        if valid is None:
            rows = [np.flatnonzero(train.labels == label) for label in (0, 1)]
            parts = _divided(train, rows, PENALTY_SHARE)
        model = BASELINES[piece.method](piece.draw)
        model.fit(*(Examples(part.sequences, part.labels) for part in parts))
        if piece.method in REFITTED:
            model.refit(every)
        return model.probabilities(self.test.sequences)


def _plan(piece: Piece, train: Samples) -> TrainingPlan:
    """Return the plan of a training of ours."""
    settings = FinetuneSettings(effort="fast", seed=piece.draw, watched=False)
    size = task_size("binary", train.labels, train.sequences, np.full(len(train.labels), "train"))
    return plan_training(size, settings, from_scratch=piece.method == NAIVE)


def enough_steps(settings: ClassifierSettings, labels: int) -> ClassifierSettings:
    """Return the settings of a plan with more passes where there are few labels, and no batches below 8."""
    if labels >= VALID_FROM * (1 - VALID_SHARE):
        return settings
    batch = SMALL_BATCH if labels < SMALL_BELOW else max(settings.batch_size, 2 * SMALL_BATCH)
    times = max(1, round(LEAST_STEPS / -(-labels // batch)))
    schedule = tuple(replace(phase, epochs=phase.epochs * times) for phase in settings.schedule)
    return replace(settings, batch_size=batch, schedule=schedule)


def _divided(samples: Samples, rows: Sequence[np.ndarray], share: float) -> tuple[Samples, Samples | None]:
    """Return the chosen rows of each class in two parts, the second with about ``share`` of each class."""
    first = np.concatenate([part[round(share * len(part)) :] for part in rows])
    second = np.concatenate([part[: round(share * len(part))] for part in rows])
    return samples.subset(np.sort(first)), samples.subset(np.sort(second)) if len(second) else None


def run(task: RecipeTask) -> dict[str, Any]:
    """Train on fewer and fewer labels, with and without pre-training; see :class:`Curve` for the options."""
    curve = Curve(task)
    found = curve.run()
    keys = {f"n{size}": size for size in curve.sizes}
    protocols = {key: _protocol(curve, size) for key, size in keys.items()}
    result: dict[str, Any] = {"protocols": protocols, "methods": _methods(curve)}
    result |= {"scores": {}, "differences": []}
    for key, size in keys.items():
        pieces = {name: _of(found, size, name) for name in curve.methods}
        pieces = {name: items for name, items in pieces.items() if items}
        result["scores"][key] = {
            name: {"seeds": [_seed(piece, item) for piece, item in items]} for name, items in pieces.items()
        }
        result["differences"] += list(_differences(key, pieces))
    result = joined(result, task.earlier)
    runs = {
        Piece(keys[key], run["seed"], name): run["seconds"]
        for key, scores in result["scores"].items()
        for name, item in scores.items()
        for run in item["seeds"]
    }
    result |= {"repeat": "draw", "seconds": sum(runs.values()), "figures": [_figure(result)] if runs else []}
    return {**result, "missing": list(_missing(piece for piece in curve.pieces() if piece not in runs))}


def _missing(pieces: Iterable[Piece]) -> Iterator[str]:
    """Yield what is not finished, a text for each draw."""
    left: dict[int, dict[int, None]] = {}
    for piece in pieces:
        left.setdefault(piece.draw, {})[piece.size] = None
    for draw, sizes in left.items():
        yield f"draw {draw}, all or some methods: {', '.join(f'{size:,}' for size in sizes)} labels"


def _samples(table: Any) -> Samples:
    return Samples(table["sequence"].tolist(), table["label"].to_numpy(np.int64))


def _of(
    found: Mapping[Piece, dict[str, Any]], size: int, name: str
) -> list[tuple[Piece, dict[str, Any]]]:
    return [(piece, item) for piece, item in found.items() if (piece.size, piece.method) == (size, name)]


def _methods(curve: Curve) -> dict[str, Any]:
    titles = {
        PRETRAINED: ("From the bacterial language model", curve.base.name),
        NAIVE: ("Without pre-training", None),
    }
    ours = {name: method(title, base=base) for name, (title, base) in titles.items()}
    others = {key: method(BASELINE_TITLES[key], kind="baseline", refit=key in REFITTED) for key in BASELINES}
    return {name: {**(ours | others)[name], "facts": curve.facts(name)} for name in curve.methods}


def _protocol(curve: Curve, size: int) -> dict[str, Any]:
    whole = size == len(curve.train.labels)
    title = f"All {size:,} labelled windows" if whole else f"{size:,} labelled windows"
    drawn = "" if whole else f"{size // 2} of each class"
    return {"title": title, "rows": curve.rows(size), "record": {"drawn": drawn}}


def _seed(piece: Piece, item: Mapping[str, Any]) -> dict[str, Any]:
    return scored(item["metrics"], seed=piece.draw, seconds=item["seconds"])


def _differences(
    key: str, pieces: Mapping[str, Sequence[tuple[Piece, Mapping[str, Any]]]]
) -> Iterator[dict[str, Any]]:
    """Yield the mean accuracy of the pre-trained network minus that of each other method, over draws of both."""
    right = {
        name: {piece.draw: np.array(list(item["right"]), dtype=float) for piece, item in items}
        for name, items in pieces.items()
    }
    own = right.pop(PRETRAINED, {})
    for other, theirs in right.items():
        both = sorted(own.keys() & theirs.keys())
        if not both:
            continue
        shares = [np.mean([answers[draw] for draw in both], axis=0) for answers in (own, theirs)]
        first, second = map(_accuracy, shares)
        found = paired_bootstrap(first, second, len(shares[0]))["accuracy"]
        yield difference((key, PRETRAINED, other), "accuracy", found.difference.as_dict(), found.p)


def _accuracy(right: np.ndarray) -> Statistic:
    def statistic(weights: Array) -> Figures:
        return {"accuracy": weights @ right / weights.sum(axis=1)}

    return statistic


def _figure(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return the curve: mean, lowest and highest accuracy of each method over the number of labels."""
    plot = new_figure()
    for name, facts in result["methods"].items():
        values = {
            int(key[1:]): [seed["metrics"]["accuracy"]["value"] for seed in scores[name]["seeds"]]
            for key, scores in result["scores"].items()
            if name in scores
        }
        if values:
            _add_line(plot, name, facts["title"], values)
    marker = {"symbol": "star", "size": 11, "color": VERMILION}
    original = {"x": list(ORIGINAL), "y": list(ORIGINAL.values()), "name": "Genomic-ULMFiT, one draw"}
    plot.add_trace(go.Scatter(**original, mode="markers", marker=marker))
    words = f"Genomic-ULMFiT without pre-training, 6,791 windows: {ORIGINAL_NAIVE:.3f}"
    line = {"color": VERMILION, "dash": "dot"}
    ends = {"x": [min(ORIGINAL), max(ORIGINAL)], "y": [ORIGINAL_NAIVE, ORIGINAL_NAIVE]}
    plot.add_trace(go.Scatter(**ends, name=words, mode="lines", line=line))
    plot.update_xaxes(title="labelled windows", type="log", tickvals=list(ORIGINAL))
    plot.update_yaxes(title="accuracy on the test windows")
    caption = (
        "Mean over draws of the labels, with the lowest and the highest draw as a bar. The test windows are"
        " the same for all. The original drew once and used 750 further labels to choose its epochs; ours"
        " uses none beyond those counted."
    )
    return figure_part("reduction", "Accuracy by number of labels", caption, laid_out(plot, 480))


def _add_line(plot: go.Figure, name: str, title: str, values: Mapping[int, Sequence[float]]) -> None:
    colour, symbol = _COLOURS[name]
    sizes, mean = sorted(values), {size: float(np.mean(values[size])) for size in values}
    bars = {
        "type": "data",
        "symmetric": False,
        "array": [round(max(values[size]) - mean[size], 4) for size in sizes],
        "arrayminus": [round(mean[size] - min(values[size]), 4) for size in sizes],
        "color": colour,
    }
    plot.add_trace(
        go.Scatter(
            x=sizes,
            y=[round(mean[size], 4) for size in sizes],
            error_y=bars,
            name=title,
            mode="lines+markers",
            line={"color": colour},
            marker={"symbol": symbol, "size": 9, "color": colour},
        )
    )
