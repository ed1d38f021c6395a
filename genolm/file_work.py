"""Work on every record of a file, in parts that an interrupted run need not do again.

Records are taken in groups of some ten to thirty seconds of work. How they are grouped depends on the file,
the model and the device alone, so that a run that goes on gives the numbers of one that was never interrupted.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import repeat
from typing import Any, NamedTuple, TypeVar

import numpy as np

from genolm.errors import SequenceError, SettingsError
from genolm.orientation import ReadStrand, check_strand, oriented_logits
from genolm.partial import FinishedParts, Part, tokens_per_part
from genolm.predict import Predictor
from genolm.prediction import NOT_JUDGED, Prediction, known_bases
from genolm.progress import ProgressCallback, Ticker
from genolm.saliency import is_judged, perturbation_saliency, saliency_windows
from genolm.sequences import Genome

GROUP_RECORDS = 4_096
GROUP_BASES = 8_000_000
SALIENCY_COLUMNS = ("record", "position", "base", "strand", "score", "low", "high")
# A part of a version that kept less is not gone on from: these names are part of what tells the work.
SALIENCY_ARRAYS = ("score", "low", "high", "class", "judged")
STRIP_COLUMNS = ("record", "strand", "length", "start", "loss")

ItemT = TypeVar("ItemT")


class SaliencyTask(NamedTuple):
    """One strand of a record to explain, with its cost in passes of the model."""

    record: str
    length: int
    strand: str
    windows: int


@dataclass(frozen=True)
class Classification:
    """The classification of every record of a file.

    Attributes
    ----------
    genome : Genome
    predictor : Predictor
    strand : {"+", "-", "either"}
        See :func:`genolm.orientation.oriented_logits`.
    """

    genome: Genome
    predictor: Predictor
    strand: ReadStrand = "+"

    def check(self) -> None:
        """Refuse a strand that the model cannot be asked for, and a record that cannot be classified as a whole."""
        check_strand(self.predictor.config, self.strand)
        for name, length in self.genome.contigs.items():
            self.predictor.check_length(f"'{name}'", length)

    def groups(self) -> Iterator[list[str]]:
        """Yield the names of the records in groups."""
        return _grouped(self.genome.contigs, self._share, 1.0)

    def run(self, parts: FinishedParts, progress: ProgressCallback | None) -> None:
        """Finish every part; ``progress`` counts records."""
        ticker = Ticker(progress, len(self.genome.contigs), stage="classifying")
        for number, names in enumerate(self.groups()):
            part = parts.finish(f"records-{number:06}", partial(self._part, names, ticker))
            if part.reused:
                ticker.skip(len(names), part.seconds)

    def predictions(self, parts: FinishedParts) -> Iterator[Prediction]:
        """Yield the answers group by group, from the finished parts."""
        quiet = Ticker(None, 0)
        for number, names in enumerate(self.groups()):
            part = parts.finish(f"records-{number:06}", partial(self._part, names, quiet))
            yield self._prediction(names, part.arrays)

    def _share(self, name: str) -> float:
        """Return which share of a group a record fills."""
        size = self.genome.contigs[name]
        tokens = self.predictor.tokenizer.count(size) / _group_tokens(self.predictor)
        return max(tokens, size / GROUP_BASES, 1 / GROUP_RECORDS)

    def _part(self, names: Sequence[str], ticker: Ticker) -> dict[str, np.ndarray]:
        sequences = [self.genome.fetch(name, 0, self.genome.contigs[name]) for name in names]
        known = np.array([known_bases(sequence) for sequence in sequences], dtype=np.int64)
        options = {"names": names, "progress": ticker.piece()}
        logits, minus = oriented_logits(self.predictor, sequences, self.strand, **options)
        return {"logits": logits, "known": known, "minus": minus}

    def _prediction(self, names: Sequence[str], arrays: Mapping[str, np.ndarray]) -> Prediction:
        lengths = np.array([self.genome.contigs[name] for name in names], dtype=np.int64)
        found = self.predictor.answers(names, lengths, arrays["known"], arrays["logits"], strand=self.strand)
        if self.strand == "+":
            return found
        return replace(found, strands=tuple(np.where(arrays["minus"], "-", "+").tolist()))


@dataclass(frozen=True)
class FileSaliency:
    """The saliency of every record of a file.

    Attributes
    ----------
    genome : Genome
    predictor : Predictor
    strands : tuple of str
    options : mapping
        Of :func:`genolm.saliency.perturbation_saliency`: lengths, fills, seed, class_index, anchor.
    """

    genome: Genome
    predictor: Predictor
    strands: tuple[str, ...]
    options: Mapping[str, Any]

    @property
    def tasks(self) -> list[SaliencyTask]:
        """What is to be done, in the order of the result."""
        window = self.predictor.config.window
        chosen = {"lengths": self.options["lengths"], "fills": self.options["fills"]}
        chosen["window"] = None if window is None else window.length
        return [
            SaliencyTask(name, size, strand, saliency_windows(size, **chosen))
            for name, size in self.genome.contigs.items()
            for strand in self.strands
        ]

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the result: the class too unless it is the one that a binary model is asked about by default."""
        several = self.predictor.task in ("multiclass", "multilabel")
        is_default = not several and self.options["class_index"] in (None, self.predictor.positive_index)
        return SALIENCY_COLUMNS if is_default else (*SALIENCY_COLUMNS, "class")

    @property
    def windows(self) -> int:
        """Passes of the model that it all takes."""
        return sum(task.windows for task in self.tasks)

    def check(self, max_windows: int | None) -> None:
        """Refuse more passes than ``max_windows``, and a site that a record does not have."""
        cost = self.windows
        if max_windows is not None and cost > max_windows:
            raise SequenceError(
                f"The saliency of {self.genome.name} would take {cost:,} passes of the model, more than the "
                f"limit of {max_windows:,}; cut out the region of interest, or use fewer lengths or fills."
            )
        site = self.options["anchor"]
        short = [name for name, size in self.genome.contigs.items() if not 0 <= (site or 0) < size]
        if site is not None and short:
            name = short[0]
            raise SettingsError(
                f"The site is at {site}, and record '{name}' has the positions 0 to "
                f"{self.genome.contigs[name] - 1:,}; the site must lie in every record."
            )

    def run(self, parts: FinishedParts, progress: ProgressCallback | None) -> None:
        """Finish every part; ``progress`` counts passes of the model."""
        ticker = Ticker(progress, self.windows)
        for number, group in enumerate(self._groups()):
            self._finish(number, group, parts, ticker)

    def found(self, parts: FinishedParts) -> Iterator[tuple[SaliencyTask, dict[str, np.ndarray]]]:
        """Yield each task with its arrays score, low, high (bases,), class, judged (1,) and, by length, the losses.

        Where ``judged`` is False the record has too few known bases: all numbers are NaN, and ``class`` means nothing.
        """
        for number, group in enumerate(self._groups()):
            arrays = self._finish(number, group, parts, Ticker(None, 0)).arrays
            for index, task in enumerate(group):
                front = f"{index}."
                yield (
                    task,
                    {key.removeprefix(front): arrays[key] for key in arrays if key.startswith(front)},
                )

    def rows(self, task: SaliencyTask, arrays: Mapping[str, np.ndarray]) -> Iterator[tuple[Any, ...]]:
        """Return the rows of a task, of the :attr:`columns`; positions are 0-based, numbers None where not judged."""
        letters = self.genome.fetch(task.record, 0, task.length)
        numbers = [_numbers(arrays[name]) for name in ("score", "low", "high")]
        named = [repeat(self.class_name(arrays))] if "class" in self.columns else []
        return zip(repeat(task.record), range(task.length), letters, repeat(task.strand), *numbers, *named)

    def class_name(self, arrays: Mapping[str, np.ndarray]) -> str:
        """Return the class that a task explained, from its arrays, or that its record is not judged."""
        return self.predictor.classes[int(arrays["class"][0])] if arrays["judged"][0] else NOT_JUDGED

    def strip_rows(self, task: SaliencyTask, arrays: Mapping[str, np.ndarray]) -> Iterator[tuple[Any, ...]]:
        """Yield the loss of each replaced stretch [start, start + length): :data:`STRIP_COLUMNS`."""
        lengths = sorted(int(key) for key in arrays if key.isdecimal())
        for length in lengths:
            for start, loss in enumerate(_numbers(arrays[str(length)])):
                yield task.record, task.strand, length, start, loss

    def _groups(self) -> Iterator[list[SaliencyTask]]:
        return _grouped(self.tasks, self._tokens, _group_tokens(self.predictor))

    def _tokens(self, task: SaliencyTask) -> int:
        return task.windows * max(1, self.predictor.tokenizer.count(self._width(task)))

    def _finish(
        self, number: int, group: list[SaliencyTask], parts: FinishedParts, ticker: Ticker
    ) -> Part:
        key = f"saliency-{number:06}"
        # A long record, which is a group of its own, is kept in parts of itself.
        is_long = self._tokens(group[0]) > _group_tokens(self.predictor)
        within = parts.within(key) if is_long else FinishedParts()
        part = parts.finish(key, partial(self._part, group, within, ticker))
        if part.reused:
            ticker.skip(sum(task.windows for task in group), part.seconds, stage=_stage(group[-1]))
        return part

    def _part(
        self, group: Sequence[SaliencyTask], parts: FinishedParts, ticker: Ticker
    ) -> dict[str, np.ndarray]:
        arrays: dict[str, np.ndarray] = {}
        for index, task in enumerate(group):
            sequence = self.genome.fetch(task.record, 0, task.length)
            if is_judged(self.predictor, sequence):
                values = self._judged(task, sequence, parts, ticker)
            else:
                values = self._not_judged(task)
                ticker.skip(task.windows, 0.0, stage=_stage(task))
            arrays |= {f"{index}.{name}": value for name, value in values.items()}
        return arrays

    def _judged(
        self, task: SaliencyTask, sequence: str, parts: FinishedParts, ticker: Ticker
    ) -> dict[str, np.ndarray]:
        progress = ticker.piece(_stage(task))
        options = {"strand": task.strand, "parts": parts, "progress": progress, **self.options}
        found = perturbation_saliency(self.predictor, sequence, **options)
        of = np.array([self.predictor.class_index(found.class_name)])
        numbers = (found.score, found.low, found.high, of, np.array([True]))
        losses = {str(length): values for length, values in found.per_length.items()}
        return dict(zip(SALIENCY_ARRAYS, numbers, strict=True)) | losses

    def _not_judged(self, task: SaliencyTask) -> dict[str, np.ndarray]:
        numbers = [np.full(task.length, np.nan, dtype=np.float32)] * 3
        found = dict(zip(SALIENCY_ARRAYS, (*numbers, np.array([0]), np.array([False])), strict=True))
        for length in self.options["lengths"]:
            if length <= self._width(task):
                found[str(length)] = np.full(task.length - length + 1, np.nan, dtype=np.float32)
        return found

    def _width(self, task: SaliencyTask) -> int:
        window = self.predictor.config.window
        return task.length if window is None else min(task.length, window.length)


def _numbers(values: np.ndarray) -> list[float | None]:
    return [None if value != value else value for value in values.tolist()]


def _stage(task: SaliencyTask) -> str:
    return f"saliency of {task.record}, strand {task.strand}"


def _group_tokens(predictor: Predictor) -> int:
    return tokens_per_part(predictor.config, predictor.device.type)


def _grouped(
    items: Iterable[ItemT], cost: Callable[[ItemT], float], limit: float
) -> Iterator[list[ItemT]]:
    """Yield items in groups of at most ``limit`` cost, but for a single one that costs more."""
    group: list[ItemT] = []
    spent = 0.0
    for item in items:
        if group and spent + cost(item) > limit:
            yield group
            group, spent = [], 0.0
        group.append(item)
        spent += cost(item)
    if group:
        yield group
