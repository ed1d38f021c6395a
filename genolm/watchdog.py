"""Sees when a training learns nothing, and says so in words that help. Free of torch."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from genolm.errors import TrainingError

JUDGED_FROM = 0.6
LEAST_GAIN = 0.005


def constant_loss(task: str, train: np.ndarray, valid: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Return the validation loss of the best answer that looks at no sequence.

    Parameters
    ----------
    task : str
    train, valid : array
        Coded labels; of regression in units of the training labels' deviation.
    weights : array (classes,), optional
        Weights of the classes in the loss.
    """
    if task == "regression":
        return float(((valid - train.mean(axis=0)) ** 2).mean())
    if task == "multilabel":
        share = np.clip(train.mean(axis=0), 1e-3, 1 - 1e-3)
        return float(-(valid * np.log(share) + (1 - valid) * np.log(1 - share)).mean())
    met = np.union1d(train, valid)
    weights = np.ones(int(met[-1]) + 1) if weights is None else weights
    share = np.zeros(len(weights))
    share[met] = np.clip(np.bincount(train, minlength=len(weights))[met], 0.5, None) * weights[met]
    chosen = weights[valid]
    return float(-(chosen * np.log((share / share.sum())[valid])).sum() / chosen.sum())


class Watchdog:
    """Judges the epochs of a training.

    Parameters
    ----------
    floor : float
        See :func:`constant_loss`.
    epochs : int
        Epochs that the whole training has; nothing is said before 60 % of them.
    """

    def __init__(self, floor: float, epochs: int) -> None:
        self.floor, self.epochs = floor, epochs

    def judge(self, epochs: Sequence[Mapping[str, Any]], one_class: str = "") -> None:
        """Raise a :class:`TrainingError` when no epoch so far was better than an answer without a look.

        Parameters
        ----------
        epochs : sequence of mappings
            ``valid`` with ``loss``, and ``train_loss``, of each epoch so far.
        one_class : str
            The class that every validation sequence got, if it is one.
        """
        if len(epochs) < JUDGED_FROM * self.epochs:
            return
        best = min(epoch["valid"]["loss"] for epoch in epochs)
        if best < self.floor * (1 - LEAST_GAIN):
            return
        learned = epochs[-1]["train_loss"] < 0.8 * self.floor
        raise TrainingError(self._sentence(one_class, learned=learned))

    def _sentence(self, one_class: str, *, learned: bool) -> str:
        found = (
            f"every validation sequence gets the class '{one_class}'"
            if one_class
            else "its answers on the validation rows are no better than a guess by the class shares"
        )
        if learned:
            return (
                f"Training was stopped: {found}, while the training rows are learned by heart. That is what wrong or "
                "contradicting labels look like, or classes that differ in nothing a sequence shows. Look at the "
                "data report for equal sequences with different labels; then try more rows."
            )
        return (
            f"Training was stopped: {found}. Try a learning rate five times lower or higher (--lr), more passes "
            "(--epochs), --balance if one class is rare, or another language model; if a k-mer regression finds "
            "nothing either (see the data report), the labels may not be in the sequence. "
            "--no-watchdog trains to the end all the same."
        )
