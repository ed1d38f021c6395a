"""Clusters of items put into parts so that no cluster is in two and each class is everywhere about as wanted."""

from collections.abc import Sequence
from typing import Any

import numpy as np

_WHOLE_WEIGHTS = (10.0, 5.0, 2.0, 1.0, 0.5)


def strata_of(labels: Sequence[Any] | np.ndarray) -> np.ndarray:
    """Return a class number for each item: of its label, its tenth of numbers, or its set of labels."""
    table = np.asarray(labels)
    if table.ndim == 2 and table.shape[1] == 1:
        table = table.ravel()
    if table.ndim == 2:
        return np.unique(table, axis=0, return_inverse=True)[1].reshape(-1)
    if table.dtype.kind == "f" and len(np.unique(table)) > 10:
        return np.argsort(np.argsort(table, kind="stable"), kind="stable") * 10 // len(table)
    return np.unique(table.astype(str), return_inverse=True)[1]


def place_items(
    strata: np.ndarray, clusters: np.ndarray, wanted: np.ndarray, seed: int, *, sets: np.ndarray | None = None
) -> np.ndarray:
    """Return the part of each item, from 0; the first is the one that is learned from.

    Classes decide first. Where that leaves a part less than half of its share, as with classes of few clusters each,
    a second try also weighs how full each part is as a whole, and the better of both is taken. A try that leaves none
    of a class to be learned from, where the first left some, does not count; others follow that weigh the whole less.

    Parameters
    ----------
    strata, clusters : np.ndarray
        (n,) class numbers from 0 and cluster numbers.
    wanted : np.ndarray
        (parts,) shares that add up to 1.
    seed : int
    sets : np.ndarray, optional
        (n, labels) of 0 and 1 where each of ``strata`` is a set of labels: these are the classes then.
    """
    first = _placed(strata, clusters, wanted, seed, 0.0)
    if _least_filled(first, wanted) >= 0.5:
        return first
    for weight in _WHOLE_WEIGHTS:
        other = _placed(strata, clusters, wanted, seed, weight)
        if _learned(first, strata, sets) <= _learned(other, strata, sets):
            return other if _least_filled(other, wanted) > _least_filled(first, wanted) else first
    return first


def _learned(part: np.ndarray, strata: np.ndarray, sets: np.ndarray | None) -> set[int]:
    """Return the classes that the first part has items of."""
    rows = part == 0
    return set((np.unique(strata[rows]) if sets is None else np.flatnonzero(sets[rows].any(axis=0))).tolist())


def _least_filled(part: np.ndarray, wanted: np.ndarray) -> float:
    """Return the least share of what a part should have that it does have."""
    counts = np.bincount(part, minlength=len(wanted))
    some = wanted > 0
    return float((counts[some] / np.maximum(wanted[some] * len(part), 1e-9)).min())


def _placed(
    strata: np.ndarray, clusters: np.ndarray, wanted: np.ndarray, seed: int, whole: float
) -> np.ndarray:
    rng = np.random.default_rng(seed)
    goal = wanted[:, None] * np.bincount(strata)[None, :]
    part = np.full(len(strata), -1)
    _, number, sizes = np.unique(clusters, return_inverse=True, return_counts=True)
    missing = _place_clusters(part, strata, np.where(sizes[number] > 1, number, -1), goal, rng, whole)
    _place_singles(part, strata, missing, rng)
    return part


def _groups(items: np.ndarray, keys: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """Return the items of each key, shuffled."""
    items = rng.permutation(items)
    items = items[np.argsort(keys[items], kind="stable")]
    return np.split(items, np.flatnonzero(np.diff(keys[items])) + 1) if len(items) else []


def _place_clusters(
    part: np.ndarray,
    strata: np.ndarray,
    number: np.ndarray,
    goal: np.ndarray,
    rng: np.random.Generator,
    whole: float,
) -> np.ndarray:
    """Fill ``part`` for items with a cluster ``number`` from 0 up; return what parts miss of each class."""
    missing, total = goal.copy(), goal.sum(axis=1)
    left = total.copy()
    groups = _groups(np.flatnonzero(number >= 0), number, rng)
    weight = np.divide(1.0, goal, out=np.zeros_like(goal), where=goal > 0)
    whole_weight = np.divide(whole, total, out=np.zeros_like(total), where=total > 0)
    closed = np.where(total > 0, 0.0, -np.inf)
    for place in sorted(rng.permutation(len(groups)).tolist(), key=lambda index: -len(groups[index])):
        classes, counts = np.unique(strata[groups[place]], return_counts=True)
        size = len(groups[place])
        # How far the sum of (missing squared / goal) falls when the cluster goes to each part.
        gain = ((2 * missing[:, classes] - counts) * counts * weight[:, classes]).sum(axis=1) + closed
        chosen = int((gain + (2 * left - size) * size * whole_weight).argmax())
        part[groups[place]] = chosen
        missing[chosen, classes] -= counts
        left[chosen] -= size
    return missing


def _place_singles(
    part: np.ndarray, strata: np.ndarray, missing: np.ndarray, rng: np.random.Generator
) -> None:
    """Give the items still without a part to the parts that miss their class."""
    owed = np.zeros(len(missing))
    for group in _groups(np.flatnonzero(part < 0), strata, rng):
        lacking = np.maximum(missing[:, strata[group[0]]], 0.0)
        exact = lacking / lacking.sum() * len(group)
        given = np.floor(exact + 1e-9).astype(np.int64)
        # Roundings are carried from class to class, so that many small classes fill all parts.
        owed += exact - given
        for _ in range(len(group) - int(given.sum())):
            richest = int(np.where(lacking > 0, owed, -np.inf).argmax())
            given[richest] += 1
            owed[richest] -= 1
        part[group] = np.repeat(np.arange(len(missing)), given)
