"""Sequences of a known or an unknown strand: which way each one is read before a classifier answers.

Reads of a sequencer lie on either strand, and most classifiers learned from one. A sequence of unknown strand is
read on both, and the reading is kept of which the model is surer: of several classes the one whose probabilities
have less entropy, of two that with more for the positive class, of labels that can stand together that with the
higher probability of any.

Of two classes, what is kept also counts the other reading, in the shares that were fitted on sequences kept apart from
the training (:func:`genolm.calibration.fit_either`), and a yes has a threshold of its own. Models without such a fit,
as those for scans and of an older genolm, take the mean of the odds on both strands, and say yes too often where their
negatives were all shown on one strand. Of several classes the better of two answers is kept as it is, so that of
sequences that are of no class more are taken for one.
"""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, get_args

import numpy as np
from scipy.special import entr

from genolm.bundle_config import BundleConfig
from genolm.calibration import either_odds
from genolm.errors import SettingsError
from genolm.predict import Predictor
from genolm.prediction import log_odds
from genolm.progress import Pace, Progress, ProgressCallback
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
        which the model is surer, ``+`` where it is equally sure. Of two classes the odds count both, see
        :func:`genolm.calibration.either_odds`; a yes is from ``calibration.threshold_on("either")`` on.
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
    began, pace = time.monotonic(), Pace()
    plus = predictor.logits(sequences, names=names, progress=_half(progress, 0, began, pace))
    minus = predictor.logits(turned, names=names, progress=_half(progress, count, began, pace))
    sure = np.stack([_surety(predictor, reading) for reading in (plus, minus)])
    is_minus = sure[1] > sure[0]
    kept = np.where(is_minus[:, None], minus, plus)
    if predictor.task == "binary":
        # What both readings say together, calibrated, less what the surer one says by itself.
        known = predictor.config.calibration
        kept[:, predictor.positive_index] += known.temperature * (either_odds(*sure, known.either) - sure.max(axis=0))
    return kept, is_minus


def _surety(predictor: Predictor, logits: np.ndarray) -> np.ndarray:
    """Return how sure the model is of each row of raw outputs; of two classes the calibrated log odds."""
    if predictor.task == "binary":
        return log_odds(logits, predictor.positive_index, predictor.task) / predictor.config.calibration.temperature
    p = predictor.probabilities(logits).astype(np.float64)
    return p.max(axis=1) if predictor.task == "multilabel" else -entr(p).sum(axis=1)


def _half(progress: ProgressCallback | None, before: int, began: float, pace: Pace) -> ProgressCallback | None:
    """Return the callback of one of two readings of as many sequences, ``before`` of them read already."""
    if progress is None:
        return None

    def tell(told: Progress) -> None:
        read = before + told.done
        progress(replace(told, done=read // 2, elapsed=time.monotonic() - began, pace=pace.after(read / 2)))

    return tell
