"""Splits into train, validation and test that tell the truth: near-duplicates never straddle them.

Two sequences count as similar when they share at least ``min_shared`` (0.3) of the minimizers of the one
that has fewer, on either strand. Minimizers are the k-mers (15 bases, the lesser of both strands) with the
lowest hash in any ``window`` (5) neighbours (Roberts et al. 2004, doi:10.1093/bioinformatics/bth408), so
that any 19 bases in common give one in common. k-mers with letters other than A, C, G, T are left out. A
k-mer counts once per sequence, so that repeats and runs of one letter weigh little. Clusters are the
connected components of these links. As measured, half of the pairs are linked that have an exact stretch of
40 % (150 bp; 35 % at 500 bp) or 93 % of their bases in common; at 50 % or 98 % nearly all are, and below 30 %
or 88 % hardly any: more distant relatives stay apart. Sequences under 40 bases, which have few minimizers, are
also linked when :mod:`genolm.short_similarity` finds them similar.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from genolm.errors import SettingsError
from genolm.placing import place_items, strata_of
from genolm.short_similarity import short_links
from genolm.tokenizer import AMBIGUOUS_CODE, encode_bases

SPLIT_NAMES = ("train", "valid", "test")
_CHUNK_BASES = 500_000
_PAIR_BUDGET = 5_000_000
_MAX_LISTED = 50_000_000
_PAIRS_AT_ONCE = 200_000
_STAR_ROUNDS = 12
_NO_KMER = np.uint64(2**64 - 1)


class LeakageReport(NamedTuple):
    """What a split lets through: ``test`` items, those ``leaked`` (a neighbour in train), the ``share``."""

    test: int
    leaked: int
    share: float


def similarity_clusters(
    sequences: Sequence[str], *, k: int = 15, window: int = 5, min_shared: float = 0.3
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
    All pairs are looked at for the rarest k-mers, up to 5 million pairs. The members of the other k-mers,
    those of large families, are compared with one of them each, in rounds with other ones, as in Linclust
    (Steinegger & Söding 2018, doi:10.1038/s41467-018-04964-5). Every link is checked exactly.
    """
    if not 1 <= window <= k or not 0 < min_shared <= 1:
        raise SettingsError(f"window is {window}, min_shared {min_shared}; they must be 1 to k and 0 to 1.")
    sets = _KmerSets.build(*_sequence_kmers(sequences, k, window), len(sequences))
    rare, frequent = sets.groups()
    sure, unsure = sets.similar_pairs(rare, min_shared)
    labels = _components(np.concatenate([sets.twins(), sure, short_links(sequences)]), len(sequences))
    rng = np.random.default_rng(0)
    for _ in range(_STAR_ROUNDS if len(frequent) else 0):
        before = labels.max()
        labels = sets.merged(labels, sets.star_pairs(frequent, labels, rng), min_shared)
        if labels.max() == before:
            break
    return _by_appearance(sets.merged(labels, unsure, min_shared))


def similarity_pairs(sequences: Sequence[str], *, word: int = 15) -> np.ndarray:
    """Return all pairs of sequences that share an exact word on either strand, int64 (pairs, 2), i < j.

    The graph of a BLAST search with that word size and no further filter.
    """
    sets = _KmerSets.build(*_sequence_kmers(sequences, word, 1), len(sequences))
    count = sum(size * (size - 1) // 2 for size in np.diff(sets.bounds).tolist())
    if count > _MAX_LISTED:
        raise SettingsError(f"Words of {word} bases link {count:,} pairs, too many; take a longer word.")
    return sets.counted_pairs(np.arange(len(sets.bounds) - 1))[0]


def independent_set(edges: np.ndarray, n: int, *, seed: int = 1) -> np.ndarray:
    """Return a random maximal independent set as bool (n,): no two linked items, and none can be added."""
    graph = _graph(edges, n)
    chosen, blocked = np.zeros(n, dtype=bool), np.zeros(n, dtype=bool)
    for item in np.random.default_rng(seed).permutation(n).tolist():
        chosen[item] = not blocked[item]
        if chosen[item]:
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
    single items then fill up each class. See :func:`genolm.placing.place_items` for classes of few clusters.

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
        A part that would stay empty, with clusters too few or too large, is a :class:`SettingsError`.
    """
    strata, clusters, wanted = strata_of(labels), np.asarray(clusters), np.asarray(fractions, dtype=np.float64)
    if wanted.shape != (3,) or not (wanted >= 0).all() or not abs(wanted.sum() - 1) <= 1e-6:
        raise SettingsError(f"fractions are {tuple(fractions)}; three shares that add up to 1 are wanted.")
    if len(clusters) != len(strata):
        raise SettingsError(f"There are {len(strata)} labels and {len(clusters)} clusters; they must agree.")
    table = np.asarray(labels)
    sets = table if table.ndim == 2 and table.shape[1] > 1 else None
    part = place_items(strata, clusters, wanted, seed, sets=sets)
    empty = [SPLIT_NAMES[place] for place in np.flatnonzero(wanted) if not (part == place).any()]
    if empty:
        sizes = np.unique(clusters, return_counts=True)[1]
        raise SettingsError(
            f"{len(sizes)} clusters, the largest of {sizes.max(initial=0)} items, leave none for "
            f"{' and '.join(empty)}: use more sequences, or split by a column of your own."
        )
    return np.array(SPLIT_NAMES)[part]


def split_random(
    labels: Sequence[Any] | np.ndarray, *, fractions: Sequence[float] = (0.8, 0.1, 0.1), seed: int = 1
) -> np.ndarray:
    """Divide items at random, stratified by class; near-duplicates may straddle.

    Parameters and result are those of :func:`split_by_cluster`.
    """
    return split_by_cluster(labels, np.arange(len(labels)), fractions=fractions, seed=seed)


def leakage_report(clusters: Sequence[int] | np.ndarray, split: Sequence[str] | np.ndarray) -> LeakageReport:
    """Return how many test items have a member of their cluster in train; share NaN without test items."""
    clusters, split = np.asarray(clusters), np.asarray(split)
    test = clusters[split == "test"]
    leaked = int(np.isin(test, clusters[split == "train"]).sum())
    return LeakageReport(len(test), leaked, leaked / len(test) if len(test) else float("nan"))


class _KmerSets(NamedTuple):
    """Which sequence has which k-mer: ``members[bounds[g]:bounds[g+1]]`` are those that share k-mer g.

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
        fewer = np.minimum(self.sizes[pairs[:, 0]], self.sizes[pairs[:, 1]])
        return np.maximum(np.ceil(min_shared * fewer - 1e-9), np.minimum(2, fewer))

    def similar_pairs(self, groups: np.ndarray, min_shared: float) -> tuple[np.ndarray, np.ndarray]:
        """Return the pairs in these groups that are linked for sure, and those that other groups may link."""
        pairs, times = self.counted_pairs(groups)
        needed = self.needed(pairs, min_shared)
        others = np.ones(len(self.bounds) - 1, dtype=bool)
        others[groups] = False
        elsewhere = self.members[np.repeat(others, np.diff(self.bounds))]
        elsewhere = np.bincount(elsewhere, minlength=len(self.sizes))
        sure = times >= needed
        possible = times + np.minimum(elsewhere[pairs[:, 0]], elsewhere[pairs[:, 1]]) >= needed
        return pairs[sure], pairs[~sure & possible]

    def star_pairs(self, groups: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return the pairs of one random member of each group with its members of other clusters."""
        count, sizes = len(self.sizes), np.diff(self.bounds)[groups]
        firsts = np.cumsum(sizes) - sizes
        places = np.arange(sizes.sum()) + np.repeat(self.bounds[groups] - firsts, sizes)
        members = self.members[places].astype(np.int64)
        # One order for all groups: similar sequences then meet the same centre in most of theirs.
        order = rng.permutation(count)
        rank = np.argsort(order)
        centres = order[np.minimum.reduceat(rank[members], firsts)]
        centres = np.repeat(centres, sizes)
        apart = labels[centres] != labels[members]
        codes = np.unique(centres[apart] * count + members[apart])
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
    sequences = list(sequences)
    chunks = np.cumsum([len(sequence) + 1 for sequence in sequences], dtype=np.int64) // _CHUNK_BASES
    edges = [0, *(np.flatnonzero(np.diff(chunks)) + 1).tolist(), len(sequences)]
    owners, kmers = [], []
    for first, last in zip(edges[:-1], edges[1:], strict=True):
        starts = np.cumsum([0, *(len(sequence) + 1 for sequence in sequences[first:last])])
        hashes = _canonical_hashes(encode_bases("N".join(sequences[first:last])), k)
        chosen = np.flatnonzero(_is_minimizer(hashes, window) & (hashes != _NO_KMER))
        owners.append((first + np.searchsorted(starts, chosen, side="right") - 1).astype(np.int32))
        kmers.append(hashes[chosen])
    return np.concatenate(owners), np.concatenate(kmers)


def _canonical_hashes(codes: np.ndarray, k: int) -> np.ndarray:
    """Return a hash of each position's k-mer, the same for both strands; _NO_KMER if it is ambiguous."""
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
    """Return where a hash is the lowest of any window over it, windows cut off at the ends included."""
    if window == 1 or not len(hashes):
        return np.ones(len(hashes), dtype=bool)
    edge = np.full(window - 1, _NO_KMER)
    lowest = _sliding(np.concatenate([edge, hashes, edge]), window, np.minimum)
    return _sliding(lowest, window, np.maximum) == hashes


def _sliding(values: np.ndarray, window: int, best: np.ufunc) -> np.ndarray:
    return best.reduce([values[start : len(values) - window + 1 + start] for start in range(window)])


def _graph(edges: np.ndarray, n: int) -> sparse.csr_array:
    edges = np.asarray(edges, dtype=np.int64).reshape(-1, 2)
    if len(edges) and not (0 <= edges.min() and edges.max() < n):
        raise SettingsError(f"The links name items up to {edges.max()}, but there are {n}.")
    ends = np.concatenate([edges, edges[:, ::-1]])
    ends = ends[ends[:, 0] != ends[:, 1]]
    return sparse.csr_array((np.ones(len(ends), dtype=np.int64), (ends[:, 0], ends[:, 1])), shape=(n, n))


def _components(edges: np.ndarray, n: int) -> np.ndarray:
    return connected_components(_graph(edges, n), directed=False)[1].astype(np.int64)


def _links_of(labels: np.ndarray) -> np.ndarray:
    """Return links that hold components together: of each item with the first of its component."""
    _, firsts, number = np.unique(labels, return_index=True, return_inverse=True)
    return np.stack([firsts[number], np.arange(len(labels))], axis=1)


def _by_appearance(labels: np.ndarray) -> np.ndarray:
    return np.unique(_links_of(labels)[:, 0], return_inverse=True)[1]
