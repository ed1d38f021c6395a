"""A table divided into training, validation and test rows, and what that division lets through."""

import math
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from genolm.bootstrap import FEW_GROUPS, count_groups, drawn_words, usable
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
LEAST_NAMED = 3
"""Fewest named groups that intervals are drawn over. With 3 made-up groups intervals called 95 % held the truth in 59
to 89 % of tests, those over rows in 21 to 96 %: about as often where each row counted three times too much, far more
rarely beyond. With 2 groups it was 35 to 78 %, and rows did better unless each counted seven times too much."""
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
    doubts : tuple of str
        Why figures from it look surer than they are, see :func:`set_aside`.
    """

    parts: np.ndarray
    method: str
    clusters: np.ndarray | None = None
    leakage: LeakageReport | None = None
    notes: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()

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
    doubts, few = _said_of_groups(table, clusters, parts)
    notes += few
    if 0 < tests < _FEW_FOR_TEST:
        notes.append(f"Only {tests} rows are for testing: figures from them will have wide intervals.")
    leakage = leakage_report(clusters, parts) if tests else None
    return TableSplit(parts, method, clusters, leakage, tuple(notes), tuple(doubts))


def table_clusters(sequences: Sequence[str]) -> np.ndarray:
    """Return the similarity cluster of each sequence, int64 from 0 in order of first appearance.

    Equal sequences, on either strand, are always in one cluster, however short; see :mod:`genolm.splits`
    for what else counts as similar, and :mod:`genolm.short_similarity` for sequences under 40 bases.
    """
    forms = canonical_forms(sequences)
    rows = numbered(forms)
    return similarity_clusters(list(dict.fromkeys(forms)))[rows] if len(rows) else rows


def numbered(items: Sequence[Hashable]) -> np.ndarray:
    """Return the same number for equal items, int64 from 0 in order of first appearance.

    An array of texts would give each of them as much memory as the longest needs.
    """
    places: dict[Hashable, int] = {}
    return np.array([places.setdefault(item, len(places)) for item in items], dtype=np.int64)


def related_rows(sequences: Sequence[str], named: Sequence[str] | None = None) -> np.ndarray:
    """Return the group of each row among those that are right or wrong together, int64 (n,).

    Rows go together that resemble one another, see :func:`table_clusters`, or bear one name, such as reads of one
    reference, directly or by a chain. Names are not used that leave fewer than :data:`LEAST_NAMED` groups, or one with
    more than half of the rows: :func:`set_aside` says so.

    Parameters
    ----------
    sequences : sequence of str
    named : sequence of str, optional
        Of each row, as in a table's column group.
    """
    clusters = table_clusters(sequences)
    if named is None or not len(clusters):
        return clusters
    return _with_names(clusters, named)


def drawn_groups(sequences: Sequence[str], named: Sequence[str] | None = None) -> np.ndarray | None:
    """Return the group of each row, over which intervals are drawn; None where one has more than half of the rows.

    Each copy of a row tells nothing new. See :func:`related_rows` and :func:`genolm.bootstrap.usable`.
    """
    return usable(related_rows(sequences, named))


def set_aside(named: Sequence[str] | None, drawn: np.ndarray | None, rows: str = "rows") -> Iterator[str]:
    """Say so where intervals are drawn over something else than the names that there are.

    Parameters
    ----------
    named : sequence of str or None
        Of each row, as in a table's column group.
    drawn : np.ndarray or None
        What :func:`drawn_groups` gave for the same rows; for None :func:`genolm.bootstrap.drawn_words` says enough.
    rows : str
        What to call the rows.
    """
    if named is None or drawn is None:
        return
    pairs = set(zip(named, drawn.tolist(), strict=True))
    count = len({name for name, _ in pairs})
    if len(pairs) == count:
        return
    why = f"So many {rows} are of one group, or of groups with sequences in common, that no interval can be"
    if count < LEAST_NAMED:
        why = f"The {rows} come from {'one group' if count == 1 else f'{count} groups'}, too few for intervals to be"
    yield (
        f"{why} drawn over groups: they are drawn over rows (look-alikes together), and are too narrow for what other "
        "groups would give."
    )


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


def _with_names(clusters: np.ndarray, named: Sequence[str]) -> np.ndarray:
    """Return clusters joined where their rows bear one name; the clusters themselves if names cannot be used."""
    names = numbered(named)
    first_name = clusters.max() + 1
    nodes = int(first_name + names.max() + 1)
    links = coo_matrix((np.ones(len(names)), (clusters, first_name + names)), shape=(nodes, nodes))
    joined = connected_components(links, directed=False)[1][clusters].astype(np.int64)
    return joined if count_groups(usable(joined)) >= LEAST_NAMED else clusters


def _said_of_groups(
    table: LabelledTable, clusters: np.ndarray, parts: np.ndarray
) -> tuple[list[str], list[str]]:
    """Return what is doubtful, and what is to be noted, of intervals over the groups of the rows to be scored."""
    part = "test" if (parts == "test").any() else "valid"
    judged = np.flatnonzero(parts == part)
    if "group" not in table.frame or not len(judged):
        return [], []
    named = table.frame["group"].iloc[judged].tolist()
    drawn = usable(_with_names(clusters[judged], named))
    doubts = list(set_aside(named, drawn, {"test": "test rows", "valid": "validation rows"}[part]))
    few = 0 < (count := count_groups(drawn)) < FEW_GROUPS and not doubts
    return doubts, [words] if few and (words := drawn_words(count, len(judged))) else []


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
    if "group" not in table.frame:
        raise TableError(
            f"{table.source} has no column group; add one (species, chromosome, gene family), or split by cluster."
        )
    names = table.frame["group"].tolist()
    places = {name: place for place, name in enumerate(sorted(set(names)))}
    return np.array([places[name] for name in names], dtype=np.int64)


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
