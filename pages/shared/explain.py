"""What the Saliency page asks for, and the two ways to work it out: in the page, or as a job."""

import hashlib
from dataclasses import astuple, dataclass
from pathlib import Path

import streamlit as st

from genolm import workspace
from genolm.genome_files import open_genome
from genolm.pipelines import MAX_SALIENCY_WINDOWS, saliency_file
from genolm.predict import Predictor
from genolm.prediction import Prediction
from genolm.registry import BundleInfo
from genolm.saliency import Explained, explained_answer, saliency_windows
from genolm.sequences import SequenceRecord, write_fasta
from pages.shared import inputs, running, state

IN_PAGE_WINDOWS = 30_000
IN_PAGE_SECONDS = 60
ANSWER_WINDOWS = 3_000
OUT_NAME, PIECE_NAME, WHOLE_NAME = "saliency.csv", "piece.fa", "record.fa"


@dataclass(frozen=True)
class Task:
    """A piece of a record of ``length`` bases to explain (0-based, half-open), and how.

    ``mark`` is the 0-based place in the piece of a site such as the TSS; ``strand`` is +, - or both;
    ``class_name`` None means the positive class, or the predicted one of several.
    """

    path: Path
    record: str
    length: int
    start: int
    end: int
    strand: str
    class_name: str | None
    mark: int | None
    fills: int
    seed: int

    @property
    def name(self) -> str:
        """The record's name, with the place (1-based) where it is a piece of the record."""
        return f"{self.record}:{self.start + 1}-{self.end}" if self.is_piece else self.record

    @property
    def is_piece(self) -> bool:
        """Whether it is less than the whole record."""
        return (self.start, self.end) != (0, self.length)

    @property
    def file_name(self) -> str:
        """What the FASTA file of the letters is called, which tells a piece from a whole record."""
        return PIECE_NAME if self.is_piece else WHOLE_NAME

    @property
    def signs(self) -> list[str]:
        """The strands to work on."""
        return ["+", "-"] if self.strand == "both" else [self.strand]

    def cost(self, model: BundleInfo) -> int:
        """Return how many passes of the model it takes."""
        window = model.config.window
        length = None if window is None else window.length
        return len(self.signs) * saliency_windows(self.end - self.start, fills=self.fills, window=length)

    def seconds(self, model: BundleInfo) -> float:
        """Return about how long that takes on this machine."""
        return self.cost(model) / state.windows_per_second(model).rate

    def is_long(self, model: BundleInfo) -> bool:
        """Return whether it is better done as a job."""
        return self.cost(model) > IN_PAGE_WINDOWS or self.seconds(model) > IN_PAGE_SECONDS

    def problem(self, model: BundleInfo) -> str:
        """Return a sentence on why it cannot be done, "" if it can."""
        cost = self.cost(model)
        if cost <= MAX_SALIENCY_WINDOWS:
            return ""
        limit = f"{MAX_SALIENCY_WINDOWS:,}"
        return f"This would take {cost:,} passes of the model, more than {limit}; choose a shorter piece."

    def out(self, model: BundleInfo) -> Path:
        """Return where the result is kept, the same for the same task."""
        stat = self.path.stat()
        key = f"{astuple(self)}|{stat.st_size}|{stat.st_mtime_ns}|{model.path}|{state.stamp(model)}"
        return workspace.uploads_dir() / "results" / hashlib.sha256(key.encode()).hexdigest()[:24] / OUT_NAME

    def fasta(self) -> str:
        """Return the piece as FASTA, for a file of the name :attr:`file_name`."""
        return f">{self.name}\n{self.piece()}\n"

    def piece(self) -> str:
        """Return the letters to explain."""
        with open_genome(self.path) as genome:
            return genome.fetch(self.record, self.start, self.end)


@dataclass(frozen=True)
class Place:
    """Where letters called ``name`` lie: from the 0-based ``start`` on in ``record``, all of it or a piece."""

    name: str
    record: str
    start: int = 0
    is_piece: bool = False

    @classmethod
    def of(cls, name: str, fasta: Path) -> "Place":
        """Return the place of what a :class:`Task` called ``name`` and wrote into the file ``fasta``."""
        record, _, span = name.rpartition(":")
        first = span.partition("-")[0]
        if fasta.name != PIECE_NAME or not record or not first.isdecimal():
            return cls(name, name)
        return cls(name, record, int(first) - 1, is_piece=True)


@st.cache_data(max_entries=32, show_spinner=False)
def _answer(
    _predictor: Predictor, model: str, letters: str, strand: str, class_name: str | None, mark: int | None
) -> Explained:
    index = None if class_name is None else _predictor.class_index(class_name)
    return explained_answer(_predictor, letters, class_index=index, strand=strand, anchor=mark)


def answer_words(
    model: BundleInfo,
    letters: str,
    strand: str,
    *,
    class_name: str | None,
    mark: int | None,
    known: str = "",
    offset: int = 0,
) -> str:
    """Return, as Markdown, the answer that a saliency explains: class, probability, threshold, what is known.

    "" where that would mean to read many windows anew. ``offset`` is how many bases of the record lie before the
    ``letters``.
    """
    window = model.config.window
    if window is not None and len(letters) - window.length > ANSWER_WINDOWS:
        return ""
    stamp = f"{model.path}|{state.stamp(model)}"
    found = _answer(state.predictor(model), stamp, letters, strand, class_name, mark)
    words = f"{state.plain(inputs.title_of(model))} says {called_words(found.prediction, model)}"
    if found.end - found.start < len(letters):
        words += f" of bases {offset + found.start + 1} to {offset + found.end}, the window that is explained"
        if found.prediction.task != "regression" and found.class_name not in found.prediction.predicted:
            words += f", for the class **{state.plain(found.class_name)}**"
    return f"{words}." + (f" Known: **{state.plain(known)}**." if known else "")


def counting_words(place: Place) -> str:
    """Return, as Markdown, from where positions are counted on the page and in the table to download."""
    if not place.is_piece:
        return "Positions on this page count from 1; in the CSV they count from 0."
    return (
        f"Positions on this page are those in {state.plain(place.record)}, counted from 1; in the CSV they count from "
        f"0 in the piece, which is called {state.plain(place.name)} there."
    )


def called_words(found: Prediction, model: BundleInfo) -> str:
    """Return, as Markdown, what was predicted of one sequence, with its probability and the threshold."""
    (called,), values, threshold = found.predicted, found.probabilities[0], model.config.calibration.threshold
    if found.task == "regression":
        return f"**{called:.4g}** ({state.plain(found.classes[0])})"
    if not found.judged[0]:
        return f"**{called}**: too few known bases"
    if found.task == "multilabel":
        named = [f"{name} {p:.3f}" for name, p in zip(found.classes, values, strict=True) if p >= threshold]
        return f"**{state.plain(', '.join(named) or 'none of its classes')}**, threshold {threshold:.3g}"
    words = f"**{state.plain(called)}** with probability {values[found.classes.index(called)]:.3f}"
    if found.task != "binary":
        return words
    positive = state.plain(found.classes[1])
    beside = "" if called == found.classes[1] else f"{positive} {values[1]:.3f}, "
    return f"{words} ({beside}threshold for {positive} {threshold:.3g})"


def run_here(task: Task, model: BundleInfo, out: Path) -> None:
    """Work the saliency out in the page, with progress, and keep it on disk."""
    predictor = state.predictor(model)
    with state.shown_errors(), state.progress_shown("Replacing stretches") as tell:
        saliency_file(
            _write_piece(task, out),
            out,
            model=predictor,
            strand=task.strand,
            fills=task.fills,
            seed=task.seed,
            class_name=task.class_name,
            site=task.mark,
            strips=True,
            progress=tell,
        )


def run_as_job(task: Task, model: BundleInfo, out: Path) -> None:
    """Start a job that works the saliency out, and show it."""
    arguments = command(task, model, _write_piece(task, out))
    running.start("saliency", arguments, title=f"{task.name}: {model.name}")


def command(task: Task, model: BundleInfo, fasta: str | Path) -> list[str]:
    """Return the arguments of ``python -m genolm`` for a task whose piece lies in ``fasta``."""
    arguments = ["saliency", str(fasta), "--model", model.name, "--out", OUT_NAME, "--strand", task.strand]
    arguments += ["--fills", str(task.fills), "--seed", str(task.seed), "--strips"]
    arguments += [] if task.mark is None else ["--site", str(task.mark)]
    return arguments + (["--class", task.class_name] if task.class_name else [])


def _write_piece(task: Task, out: Path) -> Path:
    fasta = out.with_name(task.file_name)
    fasta.parent.mkdir(parents=True, exist_ok=True)
    write_fasta(fasta, [SequenceRecord(task.name, "", task.piece())])
    return fasta
