"""Fine-tuning a language model on the sequences of a task, the middle stage of ULMFiT."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import genolm.compute  # noqa: F401  sets the OpenMP wait policy before torch is loaded
import torch
from torch import Tensor

from genolm.batches import LanguageStream, StreamSettings, TextBatch
from genolm.config import LANGUAGE_MODEL_DROPOUTS, Schedule, TrainingConfig
from genolm.errors import TrainingError
from genolm.language import NextToken, token_losses
from genolm.model import LanguageModel
from genolm.progress import ProgressCallback
from genolm.registry import ModelBundle
from genolm.tokenizer import KmerTokenizer, encode_bases
from genolm.training import Trainer

PEAK_RATE = 1e-3
ROWS, BPTT = 32, 70
LEAST_STEPS = 20
DROP_MULT = 0.5


@dataclass(frozen=True)
class Adapted:
    """A language model after it read a task's sequences.

    Attributes
    ----------
    state : mapping of str to Tensor
        Its weights; those it began with when reading did not help.
    before, after : float
        Bits per base on the validation sequences.
    passes : int
        Passes made over the training sequences.
    """

    state: Mapping[str, Tensor]
    before: float
    after: float
    passes: int

    @property
    def helped(self) -> bool:
        """Whether the model reads the validation sequences better than before."""
        return self.after < self.before


def adapt_language_model(
    bundle: ModelBundle,
    train: Sequence[str],
    valid: Sequence[str],
    *,
    passes: int,
    both_strands: bool = False,
    seed: int = 1,
    checkpoint: Path | None = None,
    progress: ProgressCallback | None = None,
) -> Adapted:
    """Train a language model on sequences until it reads held-out ones no better.

    Parameters
    ----------
    bundle : ModelBundle
        A language model.
    train, valid : sequence of str
        Sequences to read and sequences to judge by; no label is used.
    passes : int
        Most passes over ``train``; the weights of the best one are kept.
    both_strands : bool
        Read each sequence on a random strand.
    seed : int
    checkpoint : Path, optional
    progress : callback, optional

    Raises
    ------
    TrainingError
        When the sequences are too few to fill the batches.
    """
    tokenizer = KmerTokenizer(bundle.config.tokenizer)
    records = [encode_bases(item) for item in train]
    settings = _stream_settings(records, tokenizer, both_strands, seed)
    held_out = _held_out(valid, tokenizer)
    torch.manual_seed(seed)
    model = LanguageModel(
        bundle.config.encoder, tokenizer.vocab_size, LANGUAGE_MODEL_DROPOUTS.scaled(DROP_MULT)
    )
    model.load_state_dict(bundle.state_dict())
    scale = tokenizer.stride * math.log(2)
    before = float(token_losses(model, held_out).mean()) / scale

    def make_stream(epoch: int) -> LanguageStream:
        return LanguageStream(records, tokenizer, settings, epoch)

    steps = len(make_stream(0))
    objective = NextToken(make_stream, held_out, slice_steps=steps, stride=tokenizer.stride, patience=1)
    config = TrainingConfig(
        schedule=(Schedule(passes, PEAK_RATE),), batch_size=settings.rows, bptt=settings.bptt, seed=seed
    )
    history = Trainer(model, objective, config, checkpoint=checkpoint, progress=progress).fit()
    after = min(record.valid["bits_per_base"] for record in history.epochs)
    state = model.state_dict() if after < before else bundle.state_dict()
    return Adapted(state, before, after, len(history.epochs))


def _stream_settings(
    records: Sequence[np.ndarray], tokenizer: KmerTokenizer, both_strands: bool, seed: int
) -> StreamSettings:
    """Return batches of a size that gives some steps in each pass."""
    tokens = sum(tokenizer.count(len(record)) + 1 for record in records)
    rows = _rows(len(records), tokens, LEAST_STEPS)
    return StreamSettings(rows=rows, bptt=BPTT, piece=_uncut(records), both_strands=both_strands, seed=seed)


def _held_out(sequences: Sequence[str], tokenizer: KmerTokenizer) -> list[TextBatch]:
    records = [encode_bases(item) for item in sequences]
    tokens = sum(tokenizer.count(len(record)) + 1 for record in records)
    rows = _rows(len(records), tokens, 4)
    if tokens < BPTT + 2:
        raise TrainingError(
            f"The validation sequences have {tokens} tokens, too few to judge a language model by; "
            "give more rows or leave its fine-tuning out."
        )
    settings = StreamSettings(rows=rows, bptt=BPTT, piece=_uncut(records), both_strands=False, seed=0)
    stream = LanguageStream(records, tokenizer, settings)
    return [stream[step] for step in range(len(stream))]


def _rows(records: int, tokens: int, steps: int) -> int:
    """Return texts to read side by side: each with some records, and with about ``steps`` steps at least."""
    return max(1, min(ROWS, records // 4, tokens // (BPTT * steps)))


def _uncut(records: Sequence[np.ndarray]) -> int:
    """Return a piece length at which hardly any record is cut, since borders fall anywhere in a piece."""
    return 50 * max((len(record) for record in records), default=1)
