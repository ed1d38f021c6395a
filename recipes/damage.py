r"""How well built-in models answer on damaged sequences: unknown bases, lost ends, misread letters.

    python recipes/damage.py --runs RUNS --out docs/damage.md [--model NAME]

``RUNS`` is the folder that ``genolm recipe run ... --out RUNS`` made; of each built-in model whose recipe has its table
there, up to 300 test rows are damaged in each way and asked about. Nothing is trained. With ``--model``, which may be
repeated, only these are asked, and the columns of the others stay as the page has them.
"""

import argparse
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import genolm.compute  # noqa: F401  sets the OpenMP wait policy before torch is loaded
import numpy as np
import pandas as pd

from genolm.orientation import ReadStrand, oriented_logits, why_not_either
from genolm.predict import Predictor
from genolm.recipe_config import Recipe, list_recipes
from genolm.registry import load_bundle
from genolm.sequences import reverse_complement

FOLDER = Path(__file__).parent
HEAD = """# Answers on damaged sequences

Written by `python recipes/damage.py`. Share of right answers of the built-in models on rows of their tests, whole and
damaged: a part of each sequence replaced by N at its left end, its right end or in its middle, a part of it cut off,
its first base lost, letters misread at random, or the other strand given. No model was shown N in training; it reads
an unknown k-mer as nothing, as embedding dropout did to k-mers in training. Each figure is of 300 rows at most, so
that one in twenty differs by some hundredths by chance alone; the last line has what one answer to all would reach.

Models of a site (gene starts, promoters) look for it at its place in the window: a lost first base moves it, and where
it is unknown itself the answer is mostly no. More than a quarter of unknown letters is not judged by `genolm classify`;
the lines of 50 % show what such answers would be. `strand unknown` is `genolm classify --strand either`, which reads
both strands and answers the same whichever was given; enhancers are read on both as it is.

"""
SURE = """
## How sure the answers are

The mean probability that stands beside the answers, and the share of them that is right. Equal figures are honest
ones; a probability above the share promises too much.

"""
MOST_ROWS = 300
NOTHING_READ = "nothing read, always the commonest class"


class Damage(NamedTuple):
    """A way to damage a sequence, its words for the table, and the strand that it is then read on."""

    title: str
    apply: Callable[[str, np.random.Generator], str]
    strand: ReadStrand = "+"


def unknown(place: str, share: float) -> Damage:
    """Replace a share of the letters, one at least, by N at the left or right end or in the middle."""

    def apply(sequence: str, rng: np.random.Generator) -> str:
        count = _letters(share, sequence)
        first = {"left": 0, "middle": (len(sequence) - count) // 2, "right": len(sequence) - count}[place]
        return sequence[:first] + "N" * count + sequence[first + count :]

    return Damage(f"N, {place}, {_words(share)}", apply)


def cut(place: str, share: float) -> Damage:
    """Cut a share of the letters off, one at least, at the left or right end."""

    def apply(sequence: str, rng: np.random.Generator) -> str:
        count = _letters(share, sequence)
        return sequence[count:] if place == "left" else sequence[:-count]

    return Damage(f"cut, {place}, {_words(share)}", apply)


def _letters(share: float, sequence: str) -> int:
    return max(1, round(share * len(sequence)))


def _words(share: float) -> str:
    return f"{100 * share:g} %" if share else "one"


def misread(share: float) -> Damage:
    """Replace each letter with this chance by another one."""

    def apply(sequence: str, rng: np.random.Generator) -> str:
        letters = np.array(list(sequence))
        wrong = rng.random(len(letters)) < share
        places = np.searchsorted(list("ACGT"), letters[wrong])
        letters[wrong] = np.array(list("ACGT"))[(places + rng.integers(1, 4, len(places))) % 4]
        return "".join(letters)

    return Damage(f"misread, {100 * share:g} %", apply)


WHOLE, UNKNOWN_STRAND = "whole", "strand unknown"
DAMAGES = [
    Damage(WHOLE, lambda sequence, rng: sequence),
    *(unknown("middle", share) for share in (0, 0.05, 0.1, 0.25, 0.5)),
    *(unknown(place, share) for place in ("left", "right") for share in (0.1, 0.25, 0.5)),
    *(cut("left", share) for share in (0, 0.1)),
    cut("right", 0.1),
    *(misread(share) for share in (0.01, 0.05)),
    Damage("other strand", lambda sequence, rng: reverse_complement(sequence)),
    Damage(UNKNOWN_STRAND, lambda sequence, rng: sequence, "either"),
]


class Answered(NamedTuple):
    """The share of right answers on damaged rows, and the mean probability that the answers were given."""

    right: float
    sure: float


Column = dict[str, str]
"""The figures of one model: the title of a line -> what stands there."""


def answered(predictor: Predictor, rows: pd.DataFrame, damage: Damage) -> Answered:
    """Ask about the damaged sequences of rows with ``sequence`` and ``label``."""
    rng = np.random.default_rng(1)
    pieces = [damage.apply(sequence, rng) for sequence in rows["sequence"]]
    strand = "+" if why_not_either(predictor.config) else damage.strand
    probabilities = predictor.probabilities(oriented_logits(predictor, pieces, strand)[0])
    said = [str(answer) for answer in predictor.decide(probabilities, strand)]
    given = probabilities[np.arange(len(said)), [predictor.classes.index(answer) for answer in said]]
    return Answered(float(np.mean(np.array(said) == rows["label"].astype(str))), float(given.mean()))


def rows_of(recipe: Recipe, runs: Path, most: int, classes: tuple[str, ...]) -> pd.DataFrame | None:
    """Return test rows of the table that a recipe's built-in model is tested on, None where it is not there."""
    path = runs / recipe.name / "tables" / f"{recipe.model.protocol}.csv.gz"
    if not path.is_file():
        return None
    table = pd.read_csv(path, dtype={"label": str})
    test = table[(table["split"] == "test") & ~table["sequence"].str.contains("[^ACGT]")]
    if not set(test["label"]) <= set(classes):
        test = test.assign(label=[classes[int(label)] for label in test["label"]])
    return test.sample(min(most, len(test)), random_state=1)


def columns(runs: Path, models: Collection[str] = ()) -> Iterator[tuple[str, Column]]:
    """Yield each model's name and how it answers, of ``models`` alone if there are any."""
    for recipe in list_recipes(FOLDER):
        if recipe.model is None or (models and recipe.model.name not in models):
            continue
        predictor = Predictor(load_bundle(recipe.model.name))
        rows = rows_of(recipe, runs, MOST_ROWS, predictor.classes)
        if rows is None:
            print(f"{recipe.model.name}: no table of '{recipe.name}' in {runs}")
            continue
        yield recipe.model.name, column_of(predictor, rows)
        print(f"{recipe.model.name}: done")


def column_of(predictor: Predictor, rows: pd.DataFrame) -> Column:
    """Return how a model answers, whole and damaged."""
    found = {}
    for damage in DAMAGES:
        told = answered(predictor, rows, damage)
        found[damage.title] = f"{told.right:.2f}"
        if damage.title in (WHOLE, UNKNOWN_STRAND):
            found |= {f"{damage.title}, probability": f"{told.sure:.2f}", f"{damage.title}, right": f"{told.right:.2f}"}
    return found | {NOTHING_READ: f"{rows['label'].value_counts(normalize=True).max():.2f}"}


def read_page(text: str) -> dict[str, Column]:
    """Return the columns of a page."""
    found: dict[str, Column] = {}
    names: list[str] = []
    for line in text.splitlines():
        title, *cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("|") or title == "---":
            continue
        if title in ("", "Damage"):
            names = cells
            continue
        for name, cell in zip(names, cells, strict=True):
            found.setdefault(name, {})[title] = cell
    return found


def page(found: Mapping[str, Column]) -> str:
    """Return the page: a row for each way of damage, a column for each model."""
    sure = [f"{title}, {what}" for title in (WHOLE, UNKNOWN_STRAND) for what in ("probability", "right")]
    ways = _table("Damage", [*(damage.title for damage in DAMAGES), NOTHING_READ], found)
    return HEAD + ways + SURE + _table("", sure, found)


def _table(corner: str, titles: list[str], found: Mapping[str, Column]) -> str:
    lines = [f"| {corner}{' ' if corner else ''}| {' | '.join(found)} |", f"| --- |{' ---: |' * len(found)}"]
    lines += [f"| {title} | {' | '.join(column[title] for column in found.values())} |" for title in titles]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--model", action="append", default=[])
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    kept = read_page(options.out.read_text(encoding="utf-8")) if options.model else {}
    if strange := set(options.model) - set(kept):
        parser.error(f"{options.out} has no column of {', '.join(sorted(strange))}; it has {', '.join(kept)}.")
    options.out.write_text(page(kept | dict(columns(options.runs, options.model))), encoding="utf-8")


if __name__ == "__main__":
    main()
