"""The encoder as a stream: many lanes of text side by side, read on and on, the states carried along.

On a CPU with fast bf16 a step of each layer is one matrix product and one fused pass over the rest
(:mod:`genolm.stream_cell`), in bf16 or in int8; the first layer's input product is a table with one row for
each token. Elsewhere torch's own LSTM reads piece by piece.

In int8 a weight is a whole number of 127ths of the largest weight of its gate, and a hidden state, which
lies between -1 and 1, of 127ths of one; products are summed exactly, everything else stays float32.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

import genolm.compute as compute
import torch
from torch import Tensor

from genolm.model import AWDEncoder, WeightDropLSTM
from genolm.stream_cell import INT8_TOP, step_bf16, step_int8


class LaneReader(Protocol):
    """Lanes in the middle of their texts."""

    def read(self, tokens: np.ndarray, hidden: Tensor) -> None:
        """Read on by ``tokens`` int64 (time, lanes); writes the states ``hidden`` float32 (time, lanes, emb)."""
        ...

    def restart(self, lanes: np.ndarray) -> None:
        """Forget what these lanes have read."""
        ...


class StreamEncoder(Protocol):
    """An encoder that can read lanes; one may be used by several threads at once."""

    def open(self, lanes: int) -> LaneReader:
        """Return a reader of ``lanes`` fresh lanes."""
        ...


def stream_encoder(encoder: AWDEncoder, *, int8: bool) -> StreamEncoder:
    """Return the fastest way to stream an encoder on its device and in its number type.

    Parameters
    ----------
    encoder : AWDEncoder
        In eval mode.
    int8 : bool
        Whole-number products, on a CPU whatever it is; for others see :func:`genolm.compute.has_fast_int8`.
    """
    weight = encoder.rnns[0].weight_hh
    fused = weight.device.type == "cpu" and weight.dtype == torch.bfloat16 and compute.has_fast_bf16()
    return FusedEncoder(encoder, int8=int8) if int8 or fused else TorchEncoder(encoder)


class TorchEncoder:
    """Streams by torch's own LSTM, on any device.

    Parameters
    ----------
    encoder : AWDEncoder
        In eval mode; read only.
    """

    def __init__(self, encoder: AWDEncoder) -> None:
        self.encoder = encoder

    def open(self, lanes: int) -> "TorchReader":
        """Return a reader of ``lanes`` fresh lanes."""
        return TorchReader(self.encoder, lanes)


class TorchReader:
    """The lanes of a :class:`TorchEncoder`."""

    def __init__(self, encoder: AWDEncoder, lanes: int) -> None:
        self._encoder = encoder
        self._states = [rnn.first_state(lanes) for rnn in encoder.rnns]

    def read(self, tokens: np.ndarray, hidden: Tensor) -> None:
        """Read on by ``tokens`` int64 (time, lanes); writes the states ``hidden`` float32 (time, lanes, emb)."""
        device = self._states[0][0].device
        found = self._encoder(torch.from_numpy(tokens).to(device).t(), self._states)
        self._states = found.states
        hidden.copy_(found.hidden.transpose(0, 1))

    def restart(self, lanes: np.ndarray) -> None:
        """Forget what these lanes have read."""
        index = torch.from_numpy(lanes).to(self._states[0][0].device)
        self._states = [tuple(item.index_fill(0, index, 0.0) for item in state) for state in self._states]


@dataclass(frozen=True)
class _Layer:
    """One LSTM made ready: ``weight`` (columns, 4 * units), ``table`` (rows, 4 * units), ``scales`` for int8.

    ``inputs`` columns of the states' buffer are the layer's input, none in the first layer.
    """

    inputs: int
    units: int
    weight: Tensor
    table: np.ndarray
    scales: np.ndarray


class FusedEncoder:
    """Streams on a CPU with a fused step, in bf16 or int8.

    Parameters
    ----------
    encoder : AWDEncoder
        In eval mode; its weights are copied.
    int8 : bool
    """

    def __init__(self, encoder: AWDEncoder, *, int8: bool) -> None:
        self.int8 = int8
        embedding = encoder.embedding.vectors().detach().float()
        self.layers = [
            self._layer(rnn, embedding if index == 0 else None) for index, rnn in enumerate(encoder.rnns)
        ]

    def _layer(self, rnn: WeightDropLSTM, embedding: Tensor | None) -> _Layer:
        ih, hh, bias = (item.detach().float() for item in (rnn.weight_ih, rnn.weight_hh, rnn.bias))
        table = bias[None] if embedding is None else embedding @ ih.t() + bias
        weight = hh if embedding is not None else torch.cat([ih, hh], 1)
        inputs = weight.shape[1] - hh.shape[1]
        scales = weight.abs().amax(1).clamp(min=1e-12) / INT8_TOP
        ready = torch.round(weight / scales[:, None]).to(torch.int8) if self.int8 else weight.to(torch.bfloat16)
        steps = (scales / INT8_TOP).numpy()
        return _Layer(inputs, hh.shape[1], ready.t(), np.ascontiguousarray(table.numpy()), steps)

    def open(self, lanes: int) -> "FusedReader":
        """Return a reader of ``lanes`` fresh lanes."""
        return FusedReader(self, lanes)


class FusedReader:
    """The lanes of a :class:`FusedEncoder`: per layer a buffer (lanes, inputs + units) and the cells."""

    def __init__(self, encoder: FusedEncoder, lanes: int) -> None:
        self._layers, self._int8 = encoder.layers, encoder.int8
        kind, sums = (torch.int8, torch.int32) if encoder.int8 else (torch.bfloat16, torch.bfloat16)
        self._buffers = [torch.zeros(lanes, layer.inputs + layer.units, dtype=kind) for layer in self._layers]
        self._gates = [torch.empty(lanes, 4 * layer.units, dtype=sums) for layer in self._layers]
        self._cells = [np.zeros((lanes, layer.units), dtype=np.float32) for layer in self._layers]
        self._views = [_bits(item) for item in self._buffers]
        self._gate_views = [_bits(item) for item in self._gates]
        self._no_tokens = np.zeros(lanes, dtype=np.int64)

    def read(self, tokens: np.ndarray, hidden: Tensor) -> None:
        """Read on by ``tokens`` int64 (time, lanes); writes the states ``hidden`` float32 (time, lanes, emb)."""
        states = hidden.numpy()
        for time, row in enumerate(tokens):
            for level in range(len(self._layers)):
                self._step(level, row if level == 0 else self._no_tokens, states[time])

    def restart(self, lanes: np.ndarray) -> None:
        """Forget what these lanes have read."""
        for view, cell in zip(self._views, self._cells, strict=True):
            view[lanes], cell[lanes] = 0, 0.0

    def _step(self, level: int, tokens: np.ndarray, hidden: np.ndarray) -> None:
        layer, gates = self._layers[level], self._gate_views[level]
        top = level + 1 == len(self._layers)
        own = self._views[level][:, layer.inputs :]
        above = own[:, :0] if top else self._views[level + 1][:, : layer.units]
        outs = (own, above, hidden if top else hidden[:, :0])
        if self._int8:
            torch._int_mm(self._buffers[level], layer.weight, out=self._gates[level])
            step_int8(gates, layer.scales, layer.table, tokens, self._cells[level], outs)
        else:
            torch.mm(self._buffers[level], layer.weight, out=self._gates[level])
            step_bf16(gates, layer.table, tokens, self._cells[level], outs)


def _bits(tensor: Tensor) -> np.ndarray:
    return (tensor.view(torch.int16) if tensor.dtype == torch.bfloat16 else tensor).numpy()
