"""What length, GC content and counts of short words alone tell about the labels of a table.

A model that does no better than these has learned nothing that is worth its name; and where length or GC
content alone tells the classes apart, the classes were probably collected in different ways.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from genolm.bootstrap import Groups, taken, usable
from genolm.labels import LabelCode
from genolm.metrics import as_json, log_loss, score
from genolm.progress import ProgressCallback, Ticker
from genolm.tokenizer import AMBIGUOUS_CODE, encode_bases, kmer_codes

MAIN_METRICS = {"binary": "auroc", "multiclass": "auroc", "multilabel": "auroc", "regression": "spearman"}
NAMES = {
    "length": "length alone",
    "gc": "GC content alone",
    "kmers": "counts of short words (k-mer logistic regression)",
}
REGRESSION_WORDS = "counts of short words (k-mer ridge regression)"
TRAIN_BASES, MOST_ROWS = 2_000_000, 20_000
_MOST_WEIGHTS, _MANY_LABELS = 10_000, 10
_PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1)
_BOOT_CELLS = 40_000_000


@dataclass(frozen=True)
class ShortcutScore:
    """How well one short cut does on rows that it was not trained on.

    Attributes
    ----------
    key : str
        length, gc or kmers.
    name : str
        The same in words.
    metric : str
        The figure to look at first: auroc, or spearman for regression.
    scores : dict
        metric -> value, low, high (95 % interval), None where not defined.
    """

    key: str
    name: str
    metric: str
    scores: dict[str, dict[str, float | None]]

    @property
    def main(self) -> dict[str, float | None]:
        """Value, low and high of the figure to look at first."""
        return self.scores[self.metric]


@dataclass(frozen=True)
class _Rows:
    """Row numbers: those to learn from, those to choose the penalty on, those to score."""

    train: np.ndarray
    valid: np.ndarray
    scored: np.ndarray


def score_shortcuts(
    sequences: Sequence[str],
    code: LabelCode,
    parts: np.ndarray,
    *,
    keys: Sequence[str] = tuple(NAMES),
    predictions: Mapping[str, np.ndarray] | None = None,
    groups: Groups | None = None,
    seed: int = 1,
    progress: ProgressCallback | None = None,
) -> tuple[ShortcutScore, ...]:
    """Train each short cut on the training rows and score it on the test rows.

    Parameters
    ----------
    sequences : sequence of str
    code : LabelCode
    parts : np.ndarray
        "train", "valid" or "test" of each row; where no row is for testing, validation rows are scored.
    keys : sequence of str
        Which of :data:`NAMES`.
    predictions : mapping, optional
        What :func:`shortcut_predictions` gave with the same seed; then nothing is trained.
    groups : Groups, optional
        Of each row, (n,): intervals are drawn over whole groups.
    seed : int
    progress : callable, optional

    Returns
    -------
    tuple of ShortcutScore
        For several classes or labels AUROC is the mean over them, one against the rest.

    Notes
    -----
    At most 2 Mbp of training rows (drawn at random) are learned from and 20,000 rows scored.
    """
    task = code.head.task
    if predictions is None:
        predictions = shortcut_predictions(sequences, code, parts, keys=keys, seed=seed, progress=progress)
    rows = _rows(sequences, parts, seed).scored
    draws = int(np.clip(_BOOT_CELLS // max(1, len(rows) * len(code.head.classes)), 200, 1000))
    found = []
    for key, predicted in predictions.items():
        name = REGRESSION_WORDS if key == "kmers" and task == "regression" else NAMES[key]
        options = {"n_boot": draws, "seed": seed, "groups": None if groups is None else usable(taken(groups, rows))}
        figures = as_json(score(task, predicted, code.values[rows], **options))
        found.append(ShortcutScore(key, name, MAIN_METRICS[task], figures))
    return tuple(found)


def shortcut_predictions(
    sequences: Sequence[str],
    code: LabelCode,
    parts: np.ndarray,
    *,
    keys: Sequence[str] = tuple(NAMES),
    seed: int = 1,
    progress: ProgressCallback | None = None,
) -> dict[str, np.ndarray]:
    """Return what each short cut says of the scored rows: probabilities (rows, outputs), or values."""
    rows = _rows(sequences, parts, seed)
    used = np.concatenate([rows.train, rows.valid, rows.scored])
    kept = [sequences[row] for row in used]
    ticker = Ticker(progress, len(keys), stage="looking for short cuts")
    task, outputs = code.head.task, len(code.head.classes)
    vectors = outputs if task == "multiclass" or outputs > _MANY_LABELS else 1
    found = {}
    for key in keys:
        features = _FEATURES[key](kept, vectors)
        found[key] = _fit_and_predict(features, code.values[used], rows, task, outputs)
        ticker.advance()
    return found


def lengths_and_gc(sequences: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return length in bp, int64 (n,), and share of G and C among A, C, G, T, float64 (n,).

    The share is NaN for a sequence without any of the four.
    """
    lengths = np.array([len(sequence) for sequence in sequences], dtype=np.int64)
    gc, known = np.zeros(len(sequences)), np.zeros(len(sequences))
    for row, sequence in enumerate(sequences):
        counts = np.bincount(encode_bases(sequence), minlength=AMBIGUOUS_CODE + 1)
        known[row] = counts[:AMBIGUOUS_CODE].sum()
        gc[row] = counts[1] + counts[2]
    return lengths, np.divide(gc, known, out=np.full(len(sequences), np.nan), where=known > 0)


def word_shares(sequences: Sequence[str], sizes: Sequence[int]) -> sparse.csr_matrix:
    """Return how large a share of a sequence's words each word is, (sequences, sum of 4**k), per size."""
    codes = encode_bases("N".join(sequences))
    owners = np.repeat(np.arange(len(sequences)), [len(sequence) + 1 for sequence in sequences])[: len(codes)]
    blocks = []
    for k in sizes:
        words = kmer_codes(codes, k)
        known = words >= 0
        cells = (np.ones(int(known.sum())), (owners[: len(words)][known], words[known]))
        table = sparse.coo_matrix(cells, shape=(len(sequences), 4**k)).tocsr()
        totals = np.maximum(np.asarray(table.sum(axis=1)).ravel(), 1.0)
        blocks.append(sparse.diags(1.0 / totals) @ table)
    return sparse.hstack(blocks, format="csr")


def _rows(sequences: Sequence[str], parts: np.ndarray, seed: int) -> _Rows:
    rng = np.random.default_rng(seed)
    train, valid, test = (np.flatnonzero(parts == part) for part in ("train", "valid", "test"))
    drawn = rng.permutation(train)
    bases = np.cumsum([len(sequences[row]) for row in drawn], dtype=np.int64)
    kept = drawn[: max(10, int((bases <= TRAIN_BASES).sum()))][:MOST_ROWS]
    scored = test if len(test) else valid
    valid, scored = (np.sort(rng.permutation(rows)[:MOST_ROWS]) for rows in (valid, scored))
    return _Rows(np.sort(kept), valid, scored)


def _curve(values: np.ndarray) -> np.ndarray:
    """Return a quantity and its square, standardised, so that a class in the middle can be told as well."""
    values = np.where(np.isfinite(values), values, np.nanmean(values) if np.isfinite(values).any() else 0.0)
    centred = (values - values.mean()) / (values.std() or 1.0)
    return np.stack([centred, centred**2], axis=1)


def _length_features(sequences: Sequence[str], vectors: int) -> np.ndarray:
    return _curve(np.log(np.maximum([len(sequence) for sequence in sequences], 1)))


def _gc_features(sequences: Sequence[str], vectors: int) -> np.ndarray:
    return _curve(lengths_and_gc(sequences)[1])


def _word_features(sequences: Sequence[str], vectors: int) -> Any:
    """Return shares of words of up to six letters, of up to four or five where many classes need weights."""
    longest = next((k for k in (6, 5) if sum(4**size for size in range(1, k + 1)) * vectors <= _MOST_WEIGHTS), 4)
    shares = word_shares(sequences, tuple(range(1, longest + 1)))
    return shares.toarray() if longest == 4 else shares


_FEATURES = {"length": _length_features, "gc": _gc_features, "kmers": _word_features}


def _fit_and_predict(features: Any, labels: np.ndarray, rows: _Rows, task: str, outputs: int) -> np.ndarray:
    """Return predictions for the scored rows; features and labels hold train, valid and scored in turn."""
    from sklearn.preprocessing import StandardScaler

    ends = np.cumsum([len(rows.train), len(rows.valid)])
    scaler = StandardScaler(with_mean=False).fit(features[: ends[0]])
    pieces = [scaler.transform(features[first:last]) for first, last in _spans(ends, features.shape[0])]
    train, valid = labels[: ends[0]], labels[ends[0] : ends[1]]
    if task == "regression":
        return _ridge(pieces, train, valid)
    if task == "multilabel":
        columns = [_logistic(pieces, train[:, j] > 0.5, valid[:, j] > 0.5, 2)[:, 1] for j in range(outputs)]
        return np.stack(columns, axis=1)
    return _logistic(pieces, train, valid, outputs)


def _spans(ends: np.ndarray, count: int) -> list[tuple[int, int]]:
    return [(0, int(ends[0])), (int(ends[0]), int(ends[1])), (int(ends[1]), count)]


def _logistic(pieces: Sequence[Any], train: np.ndarray, valid: np.ndarray, outputs: int) -> np.ndarray:
    """Return probabilities (scored rows, outputs) under the penalty that does best on the validation rows."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    train, valid = train.astype(np.int64), valid.astype(np.int64)
    if len(np.unique(train)) < 2:
        return np.tile(np.bincount(train, minlength=outputs) / len(train), (pieces[2].shape[0], 1))
    few = pieces[0].shape[1] <= 2
    model = LogisticRegression(max_iter=200, tol=1e-3, warm_start=True)
    best, answers = np.inf, np.empty((0, outputs))
    for penalty in (1.0,) if few else _PENALTIES:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.set_params(C=penalty).fit(pieces[0], train)
        tuned = _spread(model.predict_proba(pieces[1]), model.classes_, outputs) if len(valid) else None
        loss = 0.0 if tuned is None else log_loss(tuned, valid)
        if loss < best:
            best, answers = loss, _spread(model.predict_proba(pieces[2]), model.classes_, outputs)
    return answers


def _spread(probabilities: np.ndarray, classes: np.ndarray, outputs: int) -> np.ndarray:
    answers = np.zeros((len(probabilities), outputs))
    answers[:, classes] = probabilities
    return answers


def _ridge(pieces: Sequence[Any], train: np.ndarray, valid: np.ndarray) -> np.ndarray:
    from sklearn.linear_model import Ridge

    best, answers = np.inf, np.empty((0, train.shape[1]))
    for penalty in (1e1, 1e2, 1e3, 1e4, 1e5) if pieces[0].shape[1] > 2 else (1.0,):
        model = Ridge(alpha=penalty, solver="lsqr").fit(pieces[0], train)
        loss = float(((_column(model.predict(pieces[1])) - valid) ** 2).mean()) if len(valid) else 0.0
        if loss < best:
            best, answers = loss, _column(model.predict(pieces[2]))
    return answers


def _column(values: np.ndarray) -> np.ndarray:
    return np.asarray(values, dtype=np.float64).reshape(len(values), -1)


def best_of(scores: Sequence[ShortcutScore]) -> ShortcutScore | None:
    """Return the short cut with the highest main figure, None when none is defined."""
    known = [item for item in scores if item.main.get("value") is not None]
    return max(known, key=lambda item: item.main["value"] or 0.0, default=None)


def interval_words(figures: Mapping[str, float | None], *, places: int = 2) -> str:
    """Return ``0.90 (0.86-0.94)``."""
    value, low, high = (figures.get(name) for name in ("value", "low", "high"))
    if value is None:
        return "not defined"
    if low is None or high is None:
        return f"{value:.{places}f}"
    return f"{value:.{places}f} ({low:.{places}f}-{high:.{places}f})"
