"""Splits into train, validation and test that tell the truth: near-duplicates never straddle them.

Two sequences count as similar when they share at least ``min_shared`` (0.3) of the minimizers of the one that
has fewer, on either strand. Minimizers are the k-mers (15 bases, the lesser of both strands) with the lowest
hash in any ``window`` (10) neighbours (Roberts et al. 2004, doi:10.1093/bioinformatics/bth408), so that any 24
bases in common give one in common. In practice 0.3 links sequences that share an exact stretch of about 40 % of
the shorter one, or are identical at more than about 92 % of their bases; more distant relatives are not
linked. k-mers with letters other than A, C, G, T are left out. A k-mer counts once per sequence, so that
repeats and runs of one letter weigh little. Clusters are the connected components of these links.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from genolm.errors import SettingsError
from genolm.tokenizer import AMBIGUOUS_CODE, encode_bases

SPLIT_NAMES = ("train", "valid", "test")
_CHUNK_BASES = 500_000
_PAIR_BUDGET = 20_000_000
_MAX_LISTED = 50_000_000
_PAIRS_AT_ONCE = 200_000
_STAR_ROUNDS = 12
_NO_KMER = np.uint64(2**64 - 1)


class LeakageReport(NamedTuple):
    """What a split lets through: ``test`` items, how many are ``leaked`` (a neighbour in train), and the share."""

    test: int
    leaked: int
    share: float


def similarity_clusters(
    sequences: Sequence[str], *, k: int = 15, window: int = 10, min_shared: float = 0.3
) -> np.ndarray:
    """Return the cluster of each sequence, int64 numbers from 0 in order of first appearance.

    Parameters
    ----------
    sequences : sequence of str
    k, window : int
        See the module's text; ``k`` to 31, ``window`` to ``k``.
    min_shared : float
        Least share of common minimizers (of the sequence with fewer) that links two sequences, and at
        least two common minimizers where both have two.

    Notes
    -----
    Links are exact while the pairs that share any k-mer number below 20 million, the rarest k-mers first.
    k-mers beyond that, those of large families, are followed by stars in rounds: each group's members are
    compared with one of them, then those left over with one of their own, as in Linclust (Steinegger &
    Söding 2018, doi:10.1038/s41467-018-04964-5). Every link is checked against ``min_shared``.
    """
    if not 1 <= window <= k or not 0 < min_shared <= 1:
        raise SettingsError(f"window is {window} and min_shared {min_shared}; they must be 1 to k, and 0 to 1.")
    sets = _KmerSets.build(*_sequence_kmers(sequences, k, window), len(sequences))
    rare, frequent = sets.groups()
    sure, unsure = sets.similar_pairs(rare, min_shared)
    labels = _components(np.concatenate([sets.twins(), sure]), len(sequences))
    labels = sets.merged(labels, unsure, min_shared)
    rng = np.random.default_rng(0)
    for _ in range(_STAR_ROUNDS if len(frequent) else 0):
        before = labels.max()
        labels = sets.merged(labels, sets.star_pairs(frequent, rng), min_shared)
        if labels.max() == before:
            break
    return _by_appearance(labels)


def similarity_pairs(sequences: Sequence[str], *, word: int = 15) -> np.ndarray:
    """Return all pairs of sequences that share an exact word on either strand, int64 (pairs, 2), i < j.

    The graph of a BLAST search with that word size and no further filter.
    """
    sets = _KmerSets.build(*_sequence_kmers(sequences, word, 1), len(sequences))
    sizes = np.diff(sets.bounds)
    count = int((sizes * (sizes - 1) // 2).sum())
    if count > _MAX_LISTED:
        raise SettingsError(f"Words of {word} bases link {count:,} pairs, too many to list; take a longer word.")
    pairs, _ = sets.counted_pairs(np.arange(len(sizes)))
    return pairs


def independent_set(edges: np.ndarray, n: int, *, seed: int = 1) -> np.ndarray:
    """Return a random maximal independent set as bool (n,): no two linked items, and none can be added."""
    graph = _graph(edges, n)
    chosen, blocked = np.zeros(n, dtype=bool), np.zeros(n, dtype=bool)
    for item in np.random.default_rng(seed).permutation(n).tolist():
        if not blocked[item]:
            chosen[item] = True
            blocked[graph.indices[graph.indptr[item] : graph.indptr[item + 1]]] = True
    return chosen


def neighbours_of(edges: np.ndarray, items: np.ndarray) -> np.ndarray:
    """Return which items are linked to any of ``items`` (bool (n,)), not counting ``items`` themselves."""
    items = np.asarray(items, dtype=bool)
    return ((_graph(edges, len(items)) @ items.astype(np.int64)) > 0) & ~items


def split_by_cluster(
    labels: Sequence[Any] | np.ndarray,
    clusters: Sequence[int] | np.ndarray,
    *,
    fractions: Sequence[float] = (0.8, 0.1, 0.1),
    seed: int = 1,
) -> np.ndarray:
    """Divide items so that no cluster straddles and each class has about the wanted share everywhere.

    Clusters of several items are placed first, the largest first, each where its classes are missed most;
    single items then fill up each class.

    Parameters
    ----------
    labels : sequence
        (n,) classes, or numbers with fractions (stratified by tenths), or (n, labels) of 0 and 1.
    clusters : sequence of int
        (n,) cluster numbers.
    fractions : sequence of float
        Shares of train, valid and test, adding up to 1.
    seed : int

    Returns
    -------
    np.ndarray
        (n,) of "train", "valid", "test".

    Raises
    ------
    SettingsError
        When a part would stay empty because the clusters are too few or too large.
    """
    strata, clusters, wanted = _strata(labels), np.asarray(clusters), _checked_fractions(fractions)
    if len(clusters) != len(strata):
        raise SettingsError(f"There are {len(strata)} labels and {len(clusters)} clusters; they must agree.")
    rng = np.random.default_rng(seed)
    goal = wanted[:, None] * np.bincount(strata)[None, :]
    part = np.full(len(strata), -1)
    _, number, sizes = np.unique(clusters, return_inverse=True, return_counts=True)
    missing = _place_clusters(part, strata, np.where(sizes[number] > 1, number, -1), goal, rng)
    _place_singles(part, strata, missing, rng)
    empty = [name for name, share in zip(SPLIT_NAMES, wanted, strict=True) if share > 0 and not
             (part == SPLIT_NAMES.index(name)).any()]
    if empty:
        raise SettingsError(
            f"{len(strata)} items in {len(sizes)} clusters, the largest of {sizes.max(initial=0)}, leave no item for "
            f"{' and '.join(empty)}: use more or less similar sequences, or split by a column of your own."
        )
    return np.array(SPLIT_NAMES)[part]


def split_random(
    labels: Sequence[Any] | np.ndarray, *, fractions: Sequence[float] = (0.8, 0.1, 0.1), seed: int = 1
) -> np.ndarray:
    """Divide items at random, stratified by class; near-duplicates may straddle (see :func:`split_by_cluster`)."""
    return split_by_cluster(labels, np.arange(len(labels)), fractions=fractions, seed=seed)


def leakage_report(clusters: Sequence[int] | np.ndarray, split: Sequence[str] | np.ndarray) -> LeakageReport:
    """Return how many test items have a member of their cluster in train; share is NaN without test items."""
    clusters, split = np.asarray(clusters), np.asarray(split)
    test = clusters[split == "test"]
    leaked = int(np.isin(test, clusters[split == "train"]).sum())
    return LeakageReport(len(test), leaked, leaked / len(test) if len(test) else float("nan"))


class _KmerSets(NamedTuple):
    """Which sequence has which k-mer: ``members[bounds[g]:bounds[g+1]]`` are the sequences that share k-mer g.

    Only k-mers of two or more sequences are groups; ``sizes`` counts all k-mers of a sequence and ``marks``
    is a sum over hashes of them all, equal for equal sets.
    """

    members: np.ndarray
    bounds: np.ndarray
    sizes: np.ndarray
    marks: np.ndarray

    @classmethod
    def build(cls, owners: np.ndarray, kmers: np.ndarray, count: int) -> "_KmerSets":
        order = np.argsort(kmers, kind="stable")
        owners, kmers = owners[order], kmers[order]
        new = np.concatenate([[True], kmers[1:] != kmers[:-1]])[: len(kmers)]
        distinct = new | np.concatenate([[True], owners[1:] != owners[:-1]])[: len(kmers)]
        owners, kmers, new = owners[distinct], kmers[distinct], new[distinct]
        marks = np.zeros(count, dtype=np.uint64)
        np.add.at(marks, owners, _mixed(kmers ^ np.uint64(0x5BF0_3635_DCA9_86D5)))
        starts = np.concatenate([np.flatnonzero(new), [len(kmers)]])
        lengths = np.diff(starts)
        shared = np.repeat(lengths > 1, lengths)
        bounds = np.concatenate([[0], np.cumsum(lengths[lengths > 1])])
        return cls(owners[shared], bounds, np.bincount(owners, minlength=count), marks)

    def twins(self) -> np.ndarray:
        """Return links between sequences whose sets of k-mers are equal and not empty."""
        some = np.flatnonzero(self.sizes)
        order = some[np.lexsort((self.sizes[some], self.marks[some]))]
        same = (np.diff(self.marks[order]) == 0) & (np.diff(self.sizes[order]) == 0)
        return np.stack([order[:-1][same], order[1:][same]], axis=1)

    def groups(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the groups whose pairs fit the budget, smallest first, and the other ones."""
        sizes = np.diff(self.bounds)
        order = np.argsort(sizes, kind="stable")
        fits = np.cumsum(sizes[order] * (sizes[order] - 1) // 2) <= _PAIR_BUDGET
        return order[fits], order[~fits]

    def counted_pairs(self, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the pairs (i < j) within these groups and in how many groups each occurs."""
        codes = []
        sizes = np.diff(self.bounds)[groups]
        count = len(self.sizes)
        for size in np.unique(sizes).tolist():
            rows = self.members[self.bounds[groups[sizes == size], None] + np.arange(size)].astype(np.int64)
            left, right = np.triu_indices(size, 1)
            codes.append((rows[:, left] * count + rows[:, right]).ravel())
        pairs, times = np.unique(np.concatenate(codes or [np.empty(0, dtype=np.int64)]), return_counts=True)
        return np.stack([pairs // max(count, 1), pairs % max(count, 1)], axis=1), times

    def needed(self, pairs: np.ndarray, min_shared: float) -> np.ndarray:
        """Return how many common k-mers link each pair."""
        fewer = self.sizes[pairs].min(axis=1)
        return np.maximum(np.ceil(min_shared * fewer - 1e-9), np.minimum(2, fewer))

    def similar_pairs(self, groups: np.ndarray, min_shared: float) -> tuple[np.ndarray, np.ndarray]:
        """Return the pairs in these groups that are linked for sure, and those that other groups may link."""
        pairs, times = self.counted_pairs(groups)
        needed = self.needed(pairs, min_shared)
        others = np.ones(len(self.bounds) - 1, dtype=bool)
        others[groups] = False
        elsewhere = np.bincount(self.members[np.repeat(others, np.diff(self.bounds))], minlength=len(self.sizes))
        sure = times >= needed
        possible = times + elsewhere[pairs].min(axis=1) >= needed
        return pairs[sure], pairs[~sure & possible]

    def star_pairs(self, groups: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return the pairs of one random member of each group with its other members."""
        count, sizes = len(self.sizes), np.diff(self.bounds)[groups]
        firsts = np.cumsum(sizes) - sizes
        places = np.arange(sizes.sum()) + np.repeat(self.bounds[groups] - firsts, sizes)
        members = self.members[places].astype(np.int64)
        # One order for all groups: similar sequences then meet the same centre in most of theirs.
        order = rng.permutation(count)
        rank = np.argsort(order)
        centres = order[np.minimum.reduceat(rank[members], firsts)]
        codes = np.unique(np.repeat(centres, sizes) * count + members)
        return np.stack([codes // count, codes % count], axis=1)

    def merged(self, labels: np.ndarray, pairs: np.ndarray, min_shared: float) -> np.ndarray:
        """Return the components after linking those of ``pairs`` that are similar."""
        links = [_links_of(labels)]
        pairs = pairs[labels[pairs[:, 0]] != labels[pairs[:, 1]]]
        table = self._incidence() if len(pairs) else None
        for first in range(0, len(pairs), _PAIRS_AT_ONCE):
            part = pairs[first : first + _PAIRS_AT_ONCE]
            common = table[part[:, 0]].multiply(table[part[:, 1]]).sum(axis=1)
            links.append(part[common >= self.needed(part, min_shared)])
        return _components(np.concatenate(links), len(labels))

    def _incidence(self) -> sparse.csr_array:
        shape = (len(self.bounds) - 1, len(self.sizes))
        ones = np.ones(len(self.members), dtype=np.float32)
        return sparse.csr_array((ones, self.members, self.bounds), shape=shape).T.tocsr()


def _sequence_kmers(sequences: Sequence[str], k: int, window: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (sequence number int32, hashed k-mer uint64) of all minimizers, by sequence."""
    if not 1 <= k <= 31:
        raise SettingsError(f"k-mers have {k} bases; 1 to 31 are possible.")
    owners, kmers = [np.empty(0, dtype=np.int32)], [np.empty(0, dtype=np.uint64)]
    for first, chunk in _chunks(sequences):
        starts = np.cumsum([0, *(len(sequence) + 1 for sequence in chunk)])
        hashes = _canonical_hashes(encode_bases("N".join(chunk)), k)
        chosen = np.flatnonzero(_is_minimizer(hashes, window) & (hashes != _NO_KMER))
        owners.append((first + np.searchsorted(starts, chosen, side="right") - 1).astype(np.int32))
        kmers.append(hashes[chosen])
    return np.concatenate(owners), np.concatenate(kmers)


def _chunks(sequences: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    first, chunk, size = 0, [], 0
    for number, sequence in enumerate(sequences):
        if chunk and size + len(sequence) > _CHUNK_BASES:
            yield first, chunk
            first, chunk, size = number, [], 0
        chunk.append(sequence)
        size += len(sequence)
    if chunk:
        yield first, chunk


def _canonical_hashes(codes: np.ndarray, k: int) -> np.ndarray:
    """Return a hash of the k-mer at each position, the same for both strands; _NO_KMER where it is ambiguous."""
    if len(codes) < k:
        return np.empty(0, dtype=np.uint64)
    count = len(codes) - k + 1
    bases = (codes & 3).astype(np.uint64)
    forward, reverse = np.zeros(count, dtype=np.uint64), np.zeros(count, dtype=np.uint64)
    for offset in range(k):
        column = bases[offset : offset + count]
        forward <<= np.uint64(2)
        forward |= column
        reverse |= (np.uint64(3) - column) << np.uint64(2 * offset)
    hashes = _mixed(np.minimum(forward, reverse))
    bad = np.concatenate([[0], np.cumsum(codes == AMBIGUOUS_CODE)])
    hashes[bad[k:] != bad[:-k]] = _NO_KMER
    return hashes


def _mixed(values: np.ndarray) -> np.ndarray:
    """Return a one-to-one scramble of uint64 values (the finaliser of splitmix64)."""
    mixed = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def _is_minimizer(hashes: np.ndarray, window: int) -> np.ndarray:
    """Return where a hash is the lowest of any window that covers it, windows cut off at the ends included."""
    if window == 1 or not len(hashes):
        return np.ones(len(hashes), dtype=bool)
    edge = np.full(window - 1, _NO_KMER)
    lowest = _sliding(np.concatenate([edge, hashes, edge]), window, np.minimum)
    return _sliding(lowest, window, np.maximum) == hashes


def _sliding(values: np.ndarray, window: int, best: np.ufunc) -> np.ndarray:
    width = 1
    while 2 * width <= window:
        values = best(values[:-width], values[width:])
        width *= 2
    rest = window - width
    return best(values[:-rest], values[rest:]) if rest else values


def _graph(edges: np.ndarray, n: int) -> sparse.csr_array:
    edges = np.asarray(edges, dtype=np.int64).reshape(-1, 2)
    if len(edges) and not (0 <= edges.min() and edges.max() < n):
        raise SettingsError(f"The links name items up to {edges.max()}, but there are {n}.")
    ends = np.concatenate([edges, edges[:, ::-1]])
    ends = ends[ends[:, 0] != ends[:, 1]]
    return sparse.csr_array((np.ones(len(ends), dtype=np.int64), (ends[:, 0], ends[:, 1])), shape=(n, n))


def _components(edges: np.ndarray, n: int) -> np.ndarray:
    graph = sparse.csr_array((np.ones(len(edges), dtype=np.int8), (edges[:, 0], edges[:, 1])), shape=(n, n))
    return connected_components(graph, directed=False)[1].astype(np.int64)


def _links_of(labels: np.ndarray) -> np.ndarray:
    """Return links that hold components together: of each item with the first of its component."""
    _, firsts, number = np.unique(labels, return_index=True, return_inverse=True)
    return np.stack([firsts[number], np.arange(len(labels))], axis=1)


def _by_appearance(labels: np.ndarray) -> np.ndarray:
    _, firsts, number = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(firsts))[number]


def _strata(labels: Sequence[Any] | np.ndarray) -> np.ndarray:
    """Return a class number for each item."""
    table = np.asarray(labels)
    if table.ndim == 2:
        return np.unique(table, axis=0, return_inverse=True)[1].reshape(-1)
    if table.dtype.kind == "f" and len(np.unique(table)) > 10:
        return np.argsort(np.argsort(table, kind="stable"), kind="stable") * 10 // len(table)
    return np.unique(table.astype(str), return_inverse=True)[1]


def _checked_fractions(fractions: Sequence[float]) -> np.ndarray:
    wanted = np.asarray(fractions, dtype=np.float64)
    if wanted.shape != (3,) or (wanted < 0).any() or abs(wanted.sum() - 1) > 1e-6:
        raise SettingsError(f"fractions are {tuple(fractions)}; three shares that add up to 1 are wanted.")
    return wanted


def _place_clusters(
    part: np.ndarray, strata: np.ndarray, number: np.ndarray, goal: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Fill ``part`` for items with a cluster ``number`` from 0 up; return what each part misses of each class."""
    missing = goal.copy()
    items = rng.permutation(np.flatnonzero(number >= 0))
    items = items[np.argsort(number[items], kind="stable")]
    groups = np.split(items, np.flatnonzero(np.diff(number[items])) + 1) if len(items) else []
    weight = np.divide(1.0, goal, out=np.zeros_like(goal), where=goal > 0)
    closed = np.where(goal.sum(axis=1) > 0, 0.0, -np.inf)
    for place in sorted(rng.permutation(len(groups)).tolist(), key=lambda index: -len(groups[index])):
        classes, counts = np.unique(strata[groups[place]], return_counts=True)
        # How far the sum of (missing squared / goal) falls when the cluster goes to each part.
        gain = ((2 * missing[:, classes] - counts) * counts * weight[:, classes]).sum(axis=1) + closed
        chosen = int(gain.argmax())
        part[groups[place]] = chosen
        missing[chosen, classes] -= counts
    return missing


def _place_singles(part: np.ndarray, strata: np.ndarray, missing: np.ndarray, rng: np.random.Generator) -> None:
    """Give the items still without a part to the parts that miss their class."""
    items = rng.permutation(np.flatnonzero(part < 0))
    items = items[np.argsort(strata[items], kind="stable")]
    owed = np.zeros(len(SPLIT_NAMES))
    for group in np.split(items, np.flatnonzero(np.diff(strata[items])) + 1) if len(items) else []:
        lacking = np.maximum(missing[:, strata[group[0]]], 0.0)
        exact = lacking / lacking.sum() * len(group)
        given = np.floor(exact + 1e-9).astype(np.int64)
        # Roundings are carried from class to class, so that many small classes fill all parts.
        owed += exact - given
        for _ in range(len(group) - int(given.sum())):
            richest = int(np.where(lacking > 0, owed, -np.inf).argmax())
            given[richest] += 1
            owed[richest] -= 1
        part[group] = np.repeat(np.arange(len(SPLIT_NAMES)), given)
