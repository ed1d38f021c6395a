"""A table divided into training, validation and test rows, and what that division lets through."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from genolm.bootstrap import FEW_GROUPS, count_groups, usable
from genolm.errors import SettingsError, TableError
from genolm.labels import LabelCode
from genolm.sequences import reverse_complement
from genolm.splits import (
    SPLIT_NAMES,
    LeakageReport,
    leakage_report,
    similarity_clusters,
    split_by_cluster,
    split_random,
)
from genolm.tables import LabelledTable

METHODS = ("given", "cluster", "group", "random")
_FEW_FOR_TEST = 30
_ROUNDED = 0.01 + 1e-9


@dataclass(frozen=True)
class SplitSettings:
    """How a table is divided.

    Attributes
    ----------
    method : str
        ``given`` takes the column split, ``cluster`` keeps near-duplicates together, ``group`` the rows with
        the same word in the column group, ``random`` divides within each class at random. "" or "auto" is
        given where the column is there, else cluster.
    fractions : tuple of float
        Shares of train, valid and test, the first two above 0; together 1, or at most 0.01 off by rounding.
    seed : int
        0 or more.
    """

    method: str = ""
    fractions: tuple[float, float, float] = (0.8, 0.1, 0.1)
    seed: int = 1

    def __post_init__(self) -> None:
        if self.method not in ("", "auto", *METHODS):
            raise SettingsError(f"split is {self.method!r}; it must be auto, {', '.join(METHODS)}.")
        if self.seed < 0:
            raise SettingsError(f"seed is {self.seed}; it must be 0 or more.")
        shares = tuple(self.fractions)
        if len(shares) != 3 or not all(map(math.isfinite, shares)) or abs(sum(shares) - 1) > _ROUNDED:
            raise SettingsError(
                f"fractions are {shares}; three shares (train, valid, test) that add up to 1 are wanted."
            )
        if shares[0] <= 0 or shares[1] <= 0 or shares[2] < 0:
            raise SettingsError(
                f"fractions are {shares}; there must be rows to train on and rows to validate with: the first two "
                "shares must be above 0, and the third, for testing, 0 or more."
            )
        if abs(sum(shares) - 1) > 1e-6:
            whole = tuple(share / sum(shares) for share in shares)
            object.__setattr__(self, "fractions", whole)


@dataclass(frozen=True, eq=False)
class TableSplit:
    """A divided table.

    Attributes
    ----------
    parts : np.ndarray
        "train", "valid" or "test" for each row.
    method : str
        One of :data:`METHODS`.
    clusters : np.ndarray or None
        Number of each row's similarity cluster.
    leakage : LeakageReport or None
        Test rows with a near-duplicate in train.
    notes : tuple of str
        What a reader should know of this division, in sentences.
    """

    parts: np.ndarray
    method: str
    clusters: np.ndarray | None = None
    leakage: LeakageReport | None = None
    notes: tuple[str, ...] = ()

    def counts(self) -> dict[str, int]:
        """Return the number of rows in train, valid and test."""
        return {part: int((self.parts == part).sum()) for part in SPLIT_NAMES}


def split_rows(
    table: LabelledTable,
    code: LabelCode,
    settings: SplitSettings | None = None,
    *,
    clusters: np.ndarray | None = None,
) -> TableSplit:
    """Divide the rows of a table.

    Parameters
    ----------
    table : LabelledTable
    code : LabelCode
        The labels of the same rows.
    settings : SplitSettings, optional
    clusters : np.ndarray, optional
        What :func:`table_clusters` gave for the same rows, if that is there already.

    Returns
    -------
    TableSplit

    Raises
    ------
    TableError
        If the column that is needed is missing, or the rows form too few clusters or groups for three
        parts: says what else can be done.
    """
    settings = settings or SplitSettings()
    method = settings.method
    if method in ("", "auto"):
        method = "given" if "split" in table.frame else "cluster"
    clusters = table_clusters(table.sequences) if clusters is None else clusters
    if method == "given":
        parts, notes = _given(table, code, clusters, settings)
    elif method == "random":
        parts, notes = _random(code, settings, table), []
    else:
        units = clusters if method == "cluster" else _groups(table)
        parts, notes = _by_units(table, code, units, replace(settings, method=method)), []
        if method == "cluster" and "group" in table.frame:
            notes.append(
                "The table has a column group, which this split does not use; split by group if rows of one group "
                "must stay together."
            )
    tests = int((parts == "test").sum())
    if method in ("cluster", "group") and tests < settings.fractions[2] * len(parts) / 2:
        what = "similar sequences" if method == "cluster" else "one group"
        notes.append(
            f"So many rows belong to {what} that {tests / len(parts):.0%} of them are for testing, not "
            f"{settings.fractions[2]:.0%}."
        )
    if method == "group" and 0 < (count := table.frame["group"][parts == "test"].nunique()) < FEW_GROUPS:
        notes.append(
            f"The test rows come from {count} {'group' if count == 1 else 'groups'}: intervals are drawn over their "
            "rows and do not tell how figures would differ with other groups."
        )
    if 0 < tests < _FEW_FOR_TEST:
        notes.append(f"Only {tests} rows are for testing: figures from them will have wide intervals.")
    leakage = leakage_report(clusters, parts) if tests else None
    return TableSplit(parts, method, clusters, leakage, tuple(notes))


def table_clusters(sequences: Sequence[str]) -> np.ndarray:
    """Return the similarity cluster of each sequence, int64 from 0 in order of first appearance.

    Equal sequences, on either strand, are always in one cluster, however short; see :mod:`genolm.splits`
    for what else counts as similar, and :mod:`genolm.short_similarity` for sequences under 40 bases.
    """
    forms = canonical_forms(sequences)
    places: dict[str, int] = {}
    rows = np.array([places.setdefault(form, len(places)) for form in forms], dtype=np.int64)
    return similarity_clusters(list(places))[rows] if len(rows) else rows


def related_rows(sequences: Sequence[str], named: Sequence[str] | None = None) -> np.ndarray:
    """Return the group of each row among those that are right or wrong together, int64 (n,).

    Rows go together that resemble one another, see :func:`table_clusters`, or bear one name, such as reads of one
    reference, directly or by a chain. Names that leave too few groups to draw from, such as chromosomes, are not used.

    Parameters
    ----------
    sequences : sequence of str
    named : sequence of str, optional
        Of each row, as in a table's column group.
    """
    clusters = table_clusters(sequences)
    if named is None or not len(clusters):
        return clusters
    names = np.unique(np.asarray(named, dtype=str), return_inverse=True)[1]
    first_name = clusters.max() + 1
    nodes = int(first_name + names.max() + 1)
    links = coo_matrix((np.ones(len(names)), (clusters, first_name + names)), shape=(nodes, nodes))
    joined = connected_components(links, directed=False)[1][clusters].astype(np.int64)
    return joined if count_groups(usable(joined)) >= FEW_GROUPS else clusters


def drawn_groups(sequences: Sequence[str], named: Sequence[str] | None = None) -> np.ndarray | None:
    """Return the group of each row, over which intervals are drawn; None where one has more than half of the rows.

    Each copy of a row tells nothing new. See :func:`related_rows` and :func:`genolm.bootstrap.usable`.
    """
    return usable(related_rows(sequences, named))


def canonical_forms(sequences: Sequence[str]) -> list[str]:
    """Return each sequence in upper case, or its reverse complement if that comes first in the alphabet."""
    upper = [sequence.upper() for sequence in sequences]
    return [min(sequence, reverse_complement(sequence)) for sequence in upper]


def random_split_leakage(
    table: LabelledTable,
    code: LabelCode,
    *,
    clusters: np.ndarray | None = None,
    fractions: Sequence[float] = (0.8, 0.1, 0.1),
    seed: int = 1,
) -> LeakageReport:
    """Return what a random stratified split of the same rows would let through; see :func:`split_rows`."""
    clusters = table_clusters(table.sequences) if clusters is None else clusters
    parts = _random(code, SplitSettings("random", (fractions[0], fractions[1], fractions[2]), seed), table)
    return leakage_report(clusters, parts)


def _given(
    table: LabelledTable, code: LabelCode, clusters: np.ndarray, settings: SplitSettings
) -> tuple[np.ndarray, list[str]]:
    if "split" not in table.frame:
        raise TableError(
            f"{table.source} has no column split; add one with train, valid and test, or split by cluster."
        )
    parts = table.frame["split"].to_numpy(dtype=object).astype("U5")
    present, notes = set(parts.tolist()), []
    if "train" not in present:
        found = ", ".join(sorted(present))
        raise TableError(f"{table.source}: the column split has only {found}; it needs rows with train.")
    if "valid" not in present:
        parts, count = _with_valid(parts, code, clusters, settings)
        notes.append(
            f"The column split has no validation rows; {count} of the training rows were taken, by cluster."
        )
    if "test" not in present:
        notes.append(
            "The column split has no test rows; figures on the validation rows, which a training is steered by, "
            "are somewhat too good."
        )
    return parts, notes


def _with_valid(
    parts: np.ndarray, code: LabelCode, clusters: np.ndarray, settings: SplitSettings
) -> tuple[np.ndarray, int]:
    rows = np.flatnonzero(parts == "train")
    share = settings.fractions[1] / (settings.fractions[0] + settings.fractions[1])
    options = {"fractions": (1 - share, share, 0.0), "seed": settings.seed}
    try:
        divided = split_by_cluster(code.values[rows], clusters[rows], **options)  # type: ignore[arg-type]
    except SettingsError as error:
        raise TableError(
            "The column split has no validation rows, and none can be taken from the training rows without "
            "near-duplicates on both sides; mark some rows valid."
        ) from error
    parts = parts.copy()
    parts[rows] = divided
    return parts, int((divided == "valid").sum())


def _groups(table: LabelledTable) -> np.ndarray:
    if table.named_groups is None:
        raise TableError(
            f"{table.source} has no column group; add one (species, chromosome, gene family), or split by cluster."
        )
    return np.unique(table.named_groups, return_inverse=True)[1]


def _random(code: LabelCode, settings: SplitSettings, table: LabelledTable) -> np.ndarray:
    try:
        return split_random(code.values, fractions=settings.fractions, seed=settings.seed)
    except SettingsError as error:
        raise _too_few(table, np.arange(len(table)), settings) from error


def _by_units(
    table: LabelledTable, code: LabelCode, units: np.ndarray, settings: SplitSettings
) -> np.ndarray:
    try:
        return split_by_cluster(code.values, units, fractions=settings.fractions, seed=settings.seed)
    except SettingsError as error:
        raise _too_few(table, units, settings) from error


def _too_few(table: LabelledTable, units: np.ndarray, settings: SplitSettings) -> TableError:
    sizes = np.bincount(units)
    wanted = sum(share > 0 for share in settings.fractions)
    what = {"group": "groups", "random": "rows"}.get(settings.method, "clusters of similar sequences")
    ways = {
        "cluster": "a column split of your own; a column group (species, gene family) and a split by group; or a "
        "random split, whose figures will be too good because relatives of the test rows are in training",
        "group": "a finer column group, a column split of your own, or a split by cluster",
    }
    out = ways.get(settings.method, "more rows, or a column split of your own")
    return TableError(
        f"{table.source.name}: its {len(table):,} rows form {len(sizes):,} {what}, the largest with "
        f"{sizes.max(initial=0):,} rows; that does not fill {wanted} parts. What can be done: {out}."
    )
