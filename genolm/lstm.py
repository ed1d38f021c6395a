"""One LSTM layer that trains fast on a CPU.

The product with the input is taken for all time steps at once, the recurrence runs in bf16 with the
element-wise half fused (:mod:`genolm.cell`), and the batch is cut into lanes, one per core: each lane walks
through time on its own, so that no step waits for the other cores. The backward pass is written by hand.
Everywhere else (inference, GPU, CPUs without fast bf16) torch's own LSTM does the work.
"""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, NamedTuple, TypeVar

import numpy as np

import genolm.compute as compute
import torch
from torch import Tensor

State = tuple[Tensor, Tensor]
ResultT = TypeVar("ResultT")


class _Lane(NamedTuple):
    """What the forward pass of one lane keeps for the backward pass; all are (time, batch, ...)."""

    inputs: Tensor
    gates: Tensor
    hidden: Tensor
    cell: Tensor


class _Weights(NamedTuple):
    """bf16 copies of the weights: (4 hid, in), (4 hid, hid), (4 hid,)."""

    ih: Tensor
    hh: Tensor
    bias: Tensor


@cache
def _lane_pool(lanes: int) -> ThreadPoolExecutor:
    """Return threads in which torch uses one core each; the caller's own number stays as it is."""
    count = torch.get_num_threads()
    ready = threading.Barrier(lanes + 1)
    pool = ThreadPoolExecutor(lanes, "lstm-lane", initializer=lambda: torch.set_num_threads(1))
    for _ in range(lanes):
        pool.submit(ready.wait)
    ready.wait()
    torch.set_num_threads(count)
    return pool


def _in_lanes(work: Callable[[int], ResultT], lanes: int) -> list[ResultT]:
    if lanes == 1:
        return [work(0)]
    # Whether gradients are recorded is a setting of each thread.
    return list(_lane_pool(lanes).map(torch.no_grad()(work), range(lanes)))


def _view(tensor: Tensor) -> np.ndarray:
    """Return a tensor's memory as numpy: float32 as such, bf16 as int16 patterns."""
    return (tensor.view(torch.int16) if tensor.dtype == torch.bfloat16 else tensor).numpy()


def _forward_lane(inputs: Tensor, state: State, weights: _Weights) -> _Lane:
    from genolm.cell import step_forward

    steps, batch, width = inputs.shape
    units = weights.hh.shape[1]
    gates = torch.addmm(weights.bias, inputs.view(-1, width), weights.ih.t()).view(steps, batch, 4 * units)
    hidden = torch.empty(steps + 1, batch, units, dtype=torch.bfloat16)
    cell = torch.empty(steps + 1, batch, units)
    hidden[0], cell[0] = state
    recurrent = weights.hh.t()
    gate_view, hidden_view, cell_view = _view(gates), _view(hidden), _view(cell)
    for step in range(steps):
        gates[step].addmm_(hidden[step], recurrent)
        step_forward(gate_view[step], cell_view[step], cell_view[step + 1], hidden_view[step + 1])
    return _Lane(inputs, gates, hidden, cell)


def _backward_lane(lane: _Lane, grads: tuple[Tensor, Tensor, Tensor], weight_hh: Tensor) -> tuple[Tensor, Tensor]:
    """Overwrite ``lane.gates`` with gradients of the pre-activations; return those of the first state."""
    from genolm.cell import step_backward

    above, following, cell_grad = grads
    gate_view, cell_view, above_view = _view(lane.gates), _view(lane.cell), _view(above)
    following_view, cell_grad_view = _view(following), _view(cell_grad)
    for step in reversed(range(lane.gates.shape[0])):
        cells = (cell_view[step], cell_view[step + 1])
        step_backward(gate_view[step], cells, (above_view[step], following_view), cell_grad_view)
        torch.mm(lane.gates[step], weight_hh, out=following)
    return following, cell_grad


def _weight_grads(lane: _Lane, weights: _Weights, needed: tuple[bool, bool]) -> tuple[Tensor | None, ...]:
    """Return gradients of the inputs, both matrices and the bias; None where not ``needed``."""
    units = weights.hh.shape[1]
    flat = lane.gates.view(-1, 4 * units)
    inputs_needed, weights_needed = needed
    d_inputs = (flat @ weights.ih).view(lane.inputs.shape) if inputs_needed else None
    if not weights_needed:
        return d_inputs, None, None, None
    d_ih = (flat.t() @ lane.inputs.view(-1, lane.inputs.shape[2])).float()
    d_hh = (flat.t() @ lane.hidden[:-1].reshape(-1, units)).float()
    return d_inputs, d_ih, d_hh, flat.sum(0, dtype=torch.float32)


class _FusedLSTM(torch.autograd.Function):
    """inputs (time, batch, in) bf16, first state (batch, hid), fp32 weights -> outputs, last state."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, hidden: Tensor, cell: Tensor, *parameters: Tensor) -> tuple[Tensor, ...]:
        weights = _Weights(*(item.detach().to(torch.bfloat16) for item in parameters))
        steps, batch, _ = inputs.shape
        lanes = max(1, min(torch.get_num_threads(), batch // 8))
        bounds = [batch * lane // lanes for lane in range(lanes + 1)]
        outputs = torch.empty(steps, batch, weights.hh.shape[1], dtype=torch.bfloat16)

        def work(index: int) -> _Lane:
            rows = slice(bounds[index], bounds[index + 1])
            lane = _forward_lane(inputs[:, rows].contiguous(), (hidden[rows], cell[rows]), weights)
            outputs[:, rows] = lane.hidden[1:]
            return lane

        ctx.weights, ctx.bounds, ctx.lanes = weights, bounds, _in_lanes(work, lanes)
        last_cell = torch.cat([lane.cell[-1] for lane in ctx.lanes])
        return outputs, outputs[-1].clone(), last_cell

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        d_outputs, d_hidden, d_cell = grads
        needed = (ctx.needs_input_grad[0], any(ctx.needs_input_grad[3:]))

        def work(index: int) -> tuple[tuple[Tensor | None, ...], tuple[Tensor, Tensor]]:
            rows = slice(ctx.bounds[index], ctx.bounds[index + 1])
            lane_grads = (
                d_outputs[:, rows].to(torch.bfloat16).contiguous(),
                d_hidden[rows].to(torch.bfloat16).clone(),
                d_cell[rows].float().clone(),
            )
            first = _backward_lane(ctx.lanes[index], lane_grads, ctx.weights.hh)
            return _weight_grads(ctx.lanes[index], ctx.weights, needed), first

        parts, first = zip(*_in_lanes(work, len(ctx.lanes)), strict=True)
        ctx.lanes = None
        d_inputs = torch.cat([part[0] for part in parts], 1) if needed[0] else None
        sums = [sum(part[place] for part in parts) if needed[1] else None for place in (1, 2, 3)]
        return d_inputs, torch.cat([pair[0] for pair in first]), torch.cat([pair[1] for pair in first]), *sums


def _use_fused(inputs: Tensor) -> bool:
    return (
        inputs.device.type == "cpu"
        and torch.is_grad_enabled()
        and torch.is_autocast_enabled("cpu")
        and torch.get_autocast_dtype("cpu") == torch.bfloat16
        and compute.has_fast_bf16()
    )


def run_lstm(inputs: Tensor, state: State, weights: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, State]:
    """Run one LSTM layer by the fastest way there is on this device.

    Parameters
    ----------
    inputs : Tensor (time, batch, in)
    state : pair of Tensor (batch, hid)
        Hidden and cell state before the first step.
    weights : (4 hid, in), (4 hid, hid), (4 hid,)
        Input matrix, recurrent matrix and bias; gates in the order input, forget, candidate, output.

    Returns
    -------
    outputs : Tensor (time, batch, hid)
    state : pair of Tensor (batch, hid)
        After the last step.

    Notes
    -----
    The fused path is taken under bf16 autocast with gradients on, on a CPU whose bf16 is fast; its results
    differ from fp32 by the rounding of bf16 (about 1 part in 250 of each product).
    """
    if _use_fused(inputs):
        outputs, hidden, cell = _FusedLSTM.apply(inputs.to(torch.bfloat16), state[0], state[1].float(), *weights)
        return outputs, (hidden, cell)
    ih, hh, bias = weights
    dtype = torch.get_autocast_dtype(inputs.device.type) if _autocast_on(inputs) else ih.dtype
    ih, hh, bias, inputs = (item.to(dtype) for item in (ih, hh, bias, inputs))
    first = tuple(item.to(dtype).unsqueeze(0) for item in state)
    flat = [ih, hh, bias, torch.zeros_like(bias)]
    outputs, hidden, cell = torch._VF.lstm(inputs, first, flat, True, 1, 0.0, False, False, False)
    return outputs, (hidden[0], cell[0])


def _autocast_on(inputs: Tensor) -> bool:
    return torch.is_autocast_enabled(inputs.device.type)
