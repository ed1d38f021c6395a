"""Sequences of a known or an unknown strand: which way each one is read before a classifier answers.

Reads of a sequencer lie on either strand, and most classifiers learned from one. A sequence of unknown strand is
read on both, and the reading is kept of which the model is surer: of several classes the one whose probabilities
have less entropy, of two that with more for the positive class, of labels that can stand together that with the
higher probability of any.

Of two classes, what is kept also counts the other reading. A sequence of the positive class has its site on one
strand, either one as likely before it is read, so that its odds are the mean of the odds on both, if a sequence without
a site looks alike on both strands: with a site that only one strand shows, half of what that strand says; with two
readings that agree, what they say. A model whose negatives were all shown on one strand, such as gene interiors, says
yes too often even so. Of several classes the better of two answers is kept as it is, so that of sequences that are of
no class more are taken for one.
"""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, get_args

import numpy as np
from scipy.special import entr

from genolm.bundle_config import BundleConfig
from genolm.errors import SettingsError
from genolm.predict import Predictor
from genolm.prediction import log_odds
from genolm.progress import ProgressCallback
from genolm.sequences import reverse_complement

ReadStrand = Literal["+", "-", "either"]


def check_strand(config: BundleConfig, strand: str) -> None:
    """Refuse a strand that is none, and ``either`` for a model that cannot choose.

    Raises
    ------
    SettingsError
    """
    if strand not in get_args(ReadStrand):
        raise SettingsError(f"strand is '{strand}'; it must be +, - or either.")
    if strand == "either" and (problem := why_not_either(config)):
        raise SettingsError(f"{problem} Leave strand at +.")


def why_not_either(config: BundleConfig) -> str:
    """Return in a sentence why a classifier does not choose between strands, "" if it does."""
    if config.mirrored:
        return f"Model '{config.name}' reads both strands of every sequence as it is."
    if config.head is not None and config.head.task == "regression":
        return f"Model '{config.name}' predicts quantities, which do not say on which strand it is surer."
    return ""


def oriented_logits(
    predictor: Predictor,
    sequences: Sequence[str],
    strand: ReadStrand = "+",
    *,
    names: Sequence[str] | None = None,
    progress: ProgressCallback | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return raw outputs of sequences and the strand that each was read on.

    Parameters
    ----------
    predictor : Predictor
    sequences : sequence of str
    strand : {"+", "-", "either"}
        ``+`` reads sequences as they are, ``-`` their reverse complements, ``either`` both: the reading is kept of
        which the model is surer, ``+`` where it is equally sure. Of two classes the odds are the mean of both.
    names, progress : optional
        See :meth:`genolm.predict.Predictor.logits`.

    Returns
    -------
    logits : float32 array (n, outputs)
    minus : bool array (n,)
        Which were read on the minus strand.

    Raises
    ------
    SettingsError
        See :func:`check_strand`.
    """
    check_strand(predictor.config, strand)
    count = len(sequences)
    if strand == "+":
        return predictor.logits(sequences, names=names, progress=progress), np.zeros(count, dtype=bool)
    turned = [reverse_complement(sequence) for sequence in sequences]
    if strand == "-":
        return predictor.logits(turned, names=names, progress=progress), np.ones(count, dtype=bool)
    began = time.monotonic()
    plus = predictor.logits(sequences, names=names, progress=_half(progress, 0, began))
    minus = predictor.logits(turned, names=names, progress=_half(progress, count, began))
    sure = np.stack([_surety(predictor, reading) for reading in (plus, minus)])
    is_minus = sure[1] > sure[0]
    kept = np.where(is_minus[:, None], minus, plus)
    if predictor.task == "binary":
        # The mean of the odds, calibrated, less what the surer reading says by itself; 0 where both say the same.
        change = np.logaddexp(*sure) - np.log(2) - sure.max(axis=0)
        kept[:, predictor.positive_index] += predictor.config.calibration.temperature * change
    return kept, is_minus


def _surety(predictor: Predictor, logits: np.ndarray) -> np.ndarray:
    """Return how sure the model is of each row of raw outputs; of two classes the calibrated log odds."""
    if predictor.task == "binary":
        return log_odds(logits, predictor.positive_index, predictor.task) / predictor.config.calibration.temperature
    p = predictor.probabilities(logits).astype(np.float64)
    return p.max(axis=1) if predictor.task == "multilabel" else -entr(p).sum(axis=1)


def _half(progress: ProgressCallback | None, before: int, began: float) -> ProgressCallback | None:
    """Return the callback of one of two readings of as many sequences, ``before`` of them read already."""
    if progress is None:
        return None
    return lambda told: progress(
        replace(told, done=(before + told.done) // 2, elapsed=time.monotonic() - began)
    )
