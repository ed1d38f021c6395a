"""What a language model is trained and judged on: the next k-mer, in bits per base."""

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import genolm.compute  # noqa: F401  sets the OpenMP wait policy before torch is loaded
import torch
from torch import Tensor, nn
from torch.nn import functional

from genolm.batches import LanguageStream, TextBatch, row_by_row
from genolm.model import LanguageModel
from genolm.training import Batches, Memory


class Passes:
    """Pass after pass over a training text as one text without an end.

    A step counted from the beginning of the training is always the same batch, whatever was read before it; passes
    may differ in length.

    Parameters
    ----------
    make_stream : callable (pass) -> LanguageStream
    """

    def __init__(self, make_stream: Callable[[int], LanguageStream]) -> None:
        self._make_stream = make_stream
        self._number, self._stream = 0, make_stream(0)
        self._ends = [len(self._stream)]

    def __getitem__(self, step: int) -> TextBatch:
        """Return batch ``step``, from 0 on."""
        while step >= self._ends[-1]:
            self._open(len(self._ends))
            self._ends.append(self._ends[-1] + len(self._stream))
        number = bisect_right(self._ends, step)
        self._open(number)
        return self._stream[step - (self._ends[number - 1] if number else 0)]

    def _open(self, number: int) -> None:
        if number != self._number:
            self._number, self._stream = number, self._make_stream(number)


@dataclass(frozen=True)
class Slice:
    """A run of consecutive batches of a text."""

    text: Passes
    start: int
    steps: int

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> TextBatch:
        """Return batch ``step`` of the slice."""
        return self.text[self.start + step]


class NextToken:
    """Predict the token that follows, with activation and temporal activation regularisation (AR, TAR).

    Parameters
    ----------
    make_stream : callable (epoch) -> LanguageStream
        The training text of a pass over the data.
    held_out : sequence of TextBatch
        Scored after each slice.
    slice_steps : int
        Steps between validations, as many as a pass, fewer or more; the trainer's epoch is such a slice.
    alpha, beta : float
        Weights of AR and TAR (Merity et al. 2017, arXiv:1708.01009).
    patience : int
        Stop after so many slices without a better loss on the held-out text; 0 never stops early.
    """

    def __init__(
        self,
        make_stream: Callable[[int], LanguageStream],
        held_out: Sequence[TextBatch],
        *,
        slice_steps: int,
        stride: int,
        alpha: float = 0.0,
        beta: float = 0.0,
        patience: int = 0,
    ) -> None:
        self._text, self._held_out, self._slice = Passes(make_stream), held_out, slice_steps
        self._stride, self._alpha, self._beta, self._patience = stride, alpha, beta, patience

    def batches(self, epoch: int) -> Batches:
        """Return slice ``epoch`` of the text."""
        return Slice(self._text, epoch * self._slice, self._slice)

    def loss(self, model: nn.Module, batch: TextBatch, memory: Memory) -> tuple[Tensor, Memory]:
        """Return cross entropy in nats per token, plus AR and TAR, and the LSTM states to carry."""
        device = next(model.parameters()).device
        states = None if memory is None or batch.fresh else list(zip(memory[::2], memory[1::2], strict=True))
        output = model(batch.inputs.to(device), states)
        loss = functional.cross_entropy(output.logits.flatten(0, 1), batch.targets.to(device).flatten())
        if self._alpha:
            loss = loss + self._alpha * output.dropped.float().pow(2).mean()
        if self._beta:
            steps = output.hidden[:, 1:].float() - output.hidden[:, :-1].float()
            loss = loss + self._beta * steps.pow(2).mean()
        return loss, [item.detach() for pair in output.states for item in pair]

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Return ``loss`` (nats per scored token) and ``bits_per_base`` on the held-out text."""
        loss = float(np.mean(token_losses(model, self._held_out)))
        return {"loss": loss, "bits_per_base": loss / (self._stride * math.log(2))}

    def enough(self, epochs: Sequence[Mapping[str, Any]]) -> bool:
        """Return whether the held-out loss has not improved for ``patience`` slices."""
        losses = [epoch["valid"]["loss"] for epoch in epochs]
        return bool(self._patience) and len(losses) - 1 - int(np.argmin(losses)) >= self._patience


def token_losses(model: nn.Module, batches: Sequence[TextBatch]) -> np.ndarray:
    """Return the loss of every scored token of a text, nats, float32, see :func:`genolm.batches.row_by_row`.

    Notes
    -----
    Runs in bf16 where the CPU is fast at it, in a copy of the model.
    """
    device = next(model.parameters()).device
    dtype = genolm.compute.pick_dtype("auto", device)
    copy = LanguageModel(model.encoder.config, model.decoder_bias.shape[0])  # type: ignore[union-attr,arg-type]
    copy.load_state_dict(model.state_dict())
    copy = copy.to(device, dtype).eval()
    found, states = [], None
    with torch.inference_mode():
        for batch in batches:
            output = copy(batch.inputs.to(device), None if batch.fresh else states)
            states = output.states
            targets = batch.targets.to(device)
            losses = functional.cross_entropy(output.logits.transpose(1, 2), targets, reduction="none")
            found.append(losses.cpu().numpy())
    return row_by_row(found, batches)
