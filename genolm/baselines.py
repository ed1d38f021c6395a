"""The models that a language model has to beat: majority, logistic regression on k-mers, a small network.

Each has :meth:`Baseline.fit` (train on one set, tune on another) and :meth:`Baseline.probabilities`. They
know nothing of each other's features, so that what the split or the composition alone gives away shows
itself.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from genolm import compute
from genolm.calibration import apply, fit_temperature
from genolm.config import Calibration
from genolm.errors import TrainingError
from genolm.metrics import log_loss
from genolm.tokenizer import AMBIGUOUS_CODE, encode_bases, kmer_codes

if TYPE_CHECKING:
    import torch

PENALTIES = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Inverse penalties C that a logistic regression tries on the validation set."""


@dataclass(frozen=True)
class Examples:
    """Sequences with their class numbers, 0 to classes - 1."""

    sequences: Sequence[str]
    labels: np.ndarray

    def __post_init__(self) -> None:
        if len(self.sequences) != len(self.labels):
            raise TrainingError(f"{len(self.sequences)} sequences have {len(self.labels)} labels.")
        if len(self.sequences) == 0:
            raise TrainingError("There are no sequences to learn from or to tune on.")


class Baseline(ABC):
    """A model that learns from labelled sequences."""

    name: str = ""

    @abstractmethod
    def fit(self, train: Examples, valid: Examples) -> "Baseline":
        """Learn from ``train``, choose settings by the log loss on ``valid``; return self."""

    def refit(self, every: Examples) -> "Baseline":
        """Learn from other examples, such as both parts together, with the settings that :meth:`fit` chose.

        Return self; a baseline that cannot learn without a validation part stays as it is.
        """
        return self

    @abstractmethod
    def probabilities(self, sequences: Sequence[str]) -> np.ndarray:
        """Return the probability of each class, float64 (sequences, classes)."""

    def settings(self) -> dict[str, Any]:
        """Return what was chosen on the validation set, for the record."""
        return {}


class Majority(Baseline):
    """Gives every sequence the class shares of the training set."""

    name = "majority"

    def fit(self, train: Examples, valid: Examples) -> "Majority":
        """Count the classes of ``train``."""
        self.shares = np.bincount(train.labels) / len(train.labels)
        return self

    def refit(self, every: Examples) -> "Majority":
        """Count the classes of ``every``."""
        return self.fit(every, every)

    def probabilities(self, sequences: Sequence[str]) -> np.ndarray:
        """Return the same row for each sequence."""
        return np.tile(self.shares, (len(sequences), 1))


def kmer_counts(sequences: Sequence[str], sizes: Sequence[int]) -> sparse.csr_matrix:
    """Return how often each k-mer occurs, float32 (sequences, sum of 4**k), in the order of ``sizes``."""
    starts = np.cumsum([0, *(4**k for k in sizes)])
    rows, columns = [], []
    for row, sequence in enumerate(sequences):
        for k, start in zip(sizes, starts[:-1], strict=True):
            found = kmer_codes(sequence, k)
            found = found[found >= 0] + start
            columns.append(found)
            rows.append(np.full(len(found), row))
    return _ones(rows, columns, (len(sequences), int(starts[-1])))


def positional_kmers(sequences: Sequence[str], sizes: Sequence[int], length: int) -> sparse.csr_matrix:
    """Return which k-mer stands where, float32 (sequences, length * sum of 4**k), for equal windows."""
    starts = np.cumsum([0, *(4**k * length for k in sizes)])
    rows, columns = [], []
    for row, sequence in enumerate(sequences):
        if len(sequence) != length:
            raise TrainingError(
                f"Sequence {row + 1} has {len(sequence)} bases; this baseline needs {length}."
            )
        for k, start in zip(sizes, starts[:-1], strict=True):
            found = kmer_codes(sequence, k)
            places = np.flatnonzero(found >= 0)
            columns.append(start + places * 4**k + found[places])
            rows.append(np.full(len(places), row))
    return _ones(rows, columns, (len(sequences), int(starts[-1])))


def _ones(rows: list[np.ndarray], columns: list[np.ndarray], shape: tuple[int, int]) -> sparse.csr_matrix:
    """Return a matrix that counts each (row, column)."""
    row, column = np.concatenate(rows), np.concatenate(columns)
    return sparse.coo_matrix((np.ones(len(row), dtype=np.float32), (row, column)), shape=shape).tocsr()


class Logistic(Baseline):
    """Logistic regression on a sparse matrix whose columns are scaled to unit deviation."""

    def fit(self, train: Examples, valid: Examples) -> "Logistic":
        """Fit one regression per penalty and keep the one with the least log loss on ``valid``."""
        best = np.inf
        for penalty, weights in self._fits(train):
            loss = log_loss(self._answers(valid.sequences, *weights), valid.labels)
            if loss < best:
                best, self.penalty, self.weights = loss, penalty, weights
        return self

    def refit(self, every: Examples) -> "Logistic":
        """Fit one regression with the penalty that was chosen."""
        self.weights = next(weights for penalty, weights in self._fits(every) if penalty == self.penalty)
        return self

    def _fits(self, train: Examples) -> Iterator[tuple[float, tuple[np.ndarray, ...]]]:
        """Yield each penalty with classes, weights and offsets; a fit begins where the one before ended."""
        from sklearn.linear_model import LogisticRegression
        from sklearn.preprocessing import StandardScaler

        self.classes = int(train.labels.max()) + 1
        self.prepare(train)
        self.scaler = StandardScaler(with_mean=False)
        inputs = self.scaler.fit_transform(self.features(train.sequences))
        model = LogisticRegression(max_iter=200, tol=1e-3, warm_start=True)
        for penalty in PENALTIES:
            model.set_params(C=penalty).fit(inputs, train.labels)
            yield penalty, (model.classes_.copy(), model.coef_.copy(), model.intercept_.copy())

    def prepare(self, train: Examples) -> None:
        """Look at the training set before the first :meth:`features`."""

    @abstractmethod
    def features(self, sequences: Sequence[str]) -> sparse.csr_matrix:
        """Return the input matrix."""

    def probabilities(self, sequences: Sequence[str]) -> np.ndarray:
        """Return the probability of each class, float64 (sequences, classes)."""
        return self._answers(sequences, *self.weights)

    def _answers(
        self, sequences: Sequence[str], classes: np.ndarray, weights: np.ndarray, offsets: np.ndarray
    ) -> np.ndarray:
        scores = self.scaler.transform(self.features(sequences)) @ weights.T + offsets
        if scores.shape[1] == 1:
            scores = np.hstack([np.zeros_like(scores), scores])
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        answers = np.zeros((len(powers), self.classes))
        answers[:, classes] = powers / powers.sum(axis=1, keepdims=True)
        return answers

    def settings(self) -> dict[str, Any]:
        """Return the chosen C."""
        return {"C": self.penalty}


class KmerLogistic(Logistic):
    """Logistic regression on the counts of all k-mers of ``sizes``, wherever they stand."""

    name = "kmer-logistic"

    def __init__(self, *, sizes: Sequence[int] = (1, 2, 3, 4, 5, 6)) -> None:
        self.sizes = tuple(sizes)

    def features(self, sequences: Sequence[str]) -> sparse.csr_matrix:
        """Return k-mer counts."""
        return kmer_counts(sequences, self.sizes)


class PositionalLogistic(Logistic):
    """Logistic regression on which k-mer stands at which place: a weight matrix, for aligned windows."""

    name = "positional-logistic"

    def __init__(self, *, sizes: Sequence[int] = (1, 2)) -> None:
        self.sizes = tuple(sizes)

    def prepare(self, train: Examples) -> None:
        """Take the window length from the first sequence."""
        self.length = len(train.sequences[0])

    def features(self, sequences: Sequence[str]) -> sparse.csr_matrix:
        """Return one-hot k-mers per place."""
        return positional_kmers(sequences, self.sizes, self.length)


class SmallCNN(Baseline):
    """Two convolutions over one-hot bases, maxima over 10 parts of the sequence, one hidden layer.

    About 130,000 parameters. Training stops when the log loss on the validation set has not improved for
    ``patience`` epochs, and the weights of the best epoch are kept. Of more than two classes the loss is that at the
    best temperature: a network that learns many classes is too sure of itself long before its answers stop improving.
    Its hidden units are normalised then: with 100 genera all of them died in the first epoch without that.
    """

    name = "cnn"

    def __init__(
        self,
        *,
        channels: int = 96,
        epochs: int = 25,
        patience: int = 4,
        seed: int = 1,
        batch_size: int = 64,
        lr: float = 1e-3,
        threads: int | None = None,
    ) -> None:
        self.channels, self.epochs, self.patience, self.seed = channels, epochs, patience, seed
        self.batch_size, self.lr, self.threads = batch_size, lr, threads

    def build(self, classes: int) -> "torch.nn.Module":
        """Return the untrained network."""
        from torch import nn

        width = self.channels
        return nn.Sequential(
            nn.Conv1d(4, width, 13, padding=6),
            nn.BatchNorm1d(width),
            nn.ReLU(),
            nn.MaxPool1d(3),
            nn.Conv1d(width, width, 7, padding=3),
            nn.BatchNorm1d(width),
            nn.ReLU(),
            nn.Dropout(0.2),
            nn.AdaptiveMaxPool1d(10),
            nn.Flatten(),
            nn.Linear(10 * width, 64),
            *([nn.BatchNorm1d(64)] if classes > 2 else []),
            nn.ReLU(),
            nn.Dropout(0.4),
            nn.Linear(64, classes),
        )

    def fit(self, train: Examples, valid: Examples) -> "SmallCNN":
        """Train with AdamW and stop early by ``valid``."""
        import torch

        with compute.torch_threads(self.threads), torch.random.fork_rng():
            torch.manual_seed(self.seed)
            self.network = self.build(int(train.labels.max()) + 1)
            optimiser = torch.optim.AdamW(self.network.parameters(), lr=self.lr, weight_decay=0.01)
            self.best_epoch, best, weights = 0, np.inf, {}
            for epoch in range(1, self.epochs + 1):
                self._epoch(train, optimiser)
                loss = _tuned_loss(self.probabilities(valid.sequences), valid.labels)
                if loss < best:
                    best, self.best_epoch = loss, epoch
                    weights = {key: value.clone() for key, value in self.network.state_dict().items()}
                elif epoch - self.best_epoch >= self.patience:
                    break
            self.network.load_state_dict(weights)
        return self

    def _epoch(self, train: Examples, optimiser: "torch.optim.Optimizer") -> None:
        import torch

        self.network.train()
        order = torch.randperm(len(train.labels))
        for batch in order.split(self.batch_size):
            if len(batch) < 2:
                continue
            inputs = _one_hot([train.sequences[number] for number in batch])
            labels = torch.from_numpy(train.labels[batch.numpy()]).long()
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(self.network(inputs), labels).backward()
            optimiser.step()

    def probabilities(self, sequences: Sequence[str]) -> np.ndarray:
        """Return the probability of each class, float64 (sequences, classes)."""
        import torch

        self.network.eval()
        with torch.inference_mode(), compute.torch_threads(self.threads):
            parts = [
                self.network(_one_hot(sequences[place : place + 256])).softmax(-1)
                for place in range(0, len(sequences), 256)
            ]
        return torch.cat(parts).double().numpy()

    def settings(self) -> dict[str, Any]:
        """Return the best epoch and the size of the network."""
        count = sum(values.numel() for values in self.network.parameters())
        return {"best_epoch": self.best_epoch, "parameters": count}


def _tuned_loss(answers: np.ndarray, labels: np.ndarray) -> float:
    """Return the log loss of two classes as it is, of more than two at the best temperature."""
    if answers.shape[1] == 2:
        return log_loss(answers, labels)
    logits = np.log(np.clip(answers, 1e-12, None))
    tuned = Calibration(fit_temperature(logits, labels, "multiclass"))
    return log_loss(apply(logits, tuned, "multiclass"), labels)


def _one_hot(sequences: Sequence[str]) -> "torch.Tensor":
    """Return float32 (sequences, 4, longest); ambiguous letters and padding are all zero."""
    import torch

    codes = np.full((len(sequences), max(map(len, sequences))), AMBIGUOUS_CODE, dtype=np.uint8)
    for row, sequence in enumerate(sequences):
        codes[row, : len(sequence)] = encode_bases(sequence)
    return torch.from_numpy(np.eye(5, 4, dtype=np.float32)[codes]).transpose(1, 2).contiguous()


def standard_baselines(
    sequences: Sequence[str], *, seed: int = 1, threads: int | None = None
) -> list[Baseline]:
    """Return the baselines that fit these sequences; the positional one needs windows of one length."""
    found: list[Baseline] = [Majority(), KmerLogistic(), SmallCNN(seed=seed, threads=threads)]
    if len({len(sequence) for sequence in sequences}) == 1:
        found.insert(2, PositionalLogistic())
    return found


def fit_all(baselines: Sequence[Baseline], train: Examples, valid: Examples) -> Mapping[str, Baseline]:
    """Fit every baseline on the same sets and return them by name."""
    return {baseline.name: baseline.fit(train, valid) for baseline in baselines}
