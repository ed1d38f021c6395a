"""Nearest neighbours of 16S genes by each layer of a network, and the layer that is chosen by some genera."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from layer_states import LOOKS, PLAIN

GENUS, FAMILY = "genus", "family"
Look = tuple[int, str]


@dataclass(frozen=True)
class Answers:
    """Whether each reference's nearest neighbour was right; ``rows`` are those that could be."""

    right: np.ndarray
    rows: np.ndarray

    def within(self, kept: np.ndarray) -> "Answers":
        """Return the answers of the references that ``kept``, a mask of all, takes."""
        taken = kept[self.rows]
        return Answers(self.right[taken], self.rows[taken])


@dataclass(frozen=True)
class Read:
    """What a network, or counts, gave for the references: vectors by layer, and each look's answers.

    Attributes
    ----------
    layers : sequence of np.ndarray
        A row for each reference.
    answers : mapping of (int, str) to mapping of str to Answers
        By layer and look, then by protocol.
    chosen : (int, str)
        The layer and look with the most right answers in the half of the families that chooses, all protocols
        alike; the first of several.
    """

    layers: Sequence[np.ndarray]
    answers: Mapping[Look, Mapping[str, Answers]]
    chosen: Look

    def looked(self) -> np.ndarray:
        """Return the vectors that were chosen, looked at as was chosen."""
        layer, look = self.chosen
        return LOOKS[look](self.layers[layer])

    def last(self) -> Look:
        """Return the last layer, less the mean of all."""
        return len(self.layers) - 1, PLAIN


def choosing_half(families: pd.Series, seed: int) -> np.ndarray:
    """Return a mask of the references in the half of the families by which layers and looks are chosen."""
    names = np.random.default_rng(seed).permutation(np.sort(families.unique()))
    return families.isin(names[: len(names) // 2]).to_numpy()


def read_by(layers: Sequence[np.ndarray], lineages: pd.DataFrame, choosing: np.ndarray) -> Read:
    """Look up neighbours in each layer, looked at each way, and choose by the references of ``choosing``."""
    answers = {
        (layer, look): {level: neighbours(view(rows), lineages, level) for level in (GENUS, FAMILY)}
        for layer, rows in enumerate(layers)
        for look, view in LOOKS.items()
    }

    def right(key: Look) -> float:
        halves = [item.within(choosing).right for item in answers[key].values()]
        return sum(half.mean() for half in halves if len(half))

    return Read(layers, answers, max(answers, key=right))


def neighbours(rows: np.ndarray, lineages: pd.DataFrame, level: str) -> Answers:
    """Look up nearest neighbours.

    Parameters
    ----------
    rows : np.ndarray
        A vector for each reference, looked at in one of the ways of ``LOOKS``.
    lineages : DataFrame
        Columns ``family`` and ``genus``.
    level : {"genus", "family"}
        "family" passes over references of the same genus. References that have no other of the level to be
        found are not asked.
    """
    likeness = cosines(rows)
    genus, group = (pd.factorize(lineages[key])[0] for key in ("genus", level))
    barred = np.eye(len(rows), dtype=bool) if level == GENUS else genus[:, None] == genus
    likeness[barred] = -np.inf
    asked = np.flatnonzero(((group[:, None] == group) & ~barred).any(axis=1))
    nearest = likeness[asked].argmax(axis=1)
    return Answers((group[nearest] == group[asked]).astype(float), asked)


def cosines(rows: np.ndarray) -> np.ndarray:
    """Return the cosine of each pair of rows, float64."""
    wide = rows.astype(np.float64)
    wide = wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-12)
    return wide @ wide.T
