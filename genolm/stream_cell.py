"""The element-wise half of an LSTM step in a streamed scan, fused into one pass, in bf16 and in int8.

Only inference: nothing is kept for a backward pass. The pre-activations are the product of the layer's input
and hidden state with its weights, made by the matrix library, plus a row of a table: the bias, or for the first
layer the whole input product of a token, worked out once for the vocabulary.
"""

from typing import Any

import numpy as np
from numba import njit

from genolm.cell import read_bf16, round_bf16, sigmoid, tanh

INT8_TOP = 127.0
"""A hidden state lies between -1 and 1: times this it is an int8."""


@njit(nogil=True, fastmath=True, error_model="numpy", cache=True)
def _unit_step(sums: np.ndarray, cell: np.ndarray, hidden: np.ndarray) -> None:
    """Turn one row's pre-activations (4 * units,) and cell into the new cell and hidden state (units,)."""
    units = cell.size
    i, f, g, o = sums[:units], sums[units : 2 * units], sums[2 * units : 3 * units], sums[3 * units :]
    for unit in range(units):
        i[unit] = sigmoid(i[unit])
    for unit in range(units):
        f[unit] = sigmoid(f[unit])
    for unit in range(units):
        g[unit] = tanh(g[unit])
    for unit in range(units):
        o[unit] = sigmoid(o[unit])
    for unit in range(units):
        cell[unit] = f[unit] * cell[unit] + i[unit] * g[unit]
    for unit in range(units):
        hidden[unit] = o[unit] * tanh(cell[unit])


@njit(nogil=True, fastmath=True, error_model="numpy", cache=True)
def _hand_on(own: np.ndarray, hidden: np.ndarray, above: np.ndarray, plain: np.ndarray) -> None:
    """Copy one lane's rounded state to the next layer and its hidden state out; either may be empty."""
    for unit in range(above.size):
        above[unit] = own[unit]
    for unit in range(plain.size):
        plain[unit] = hidden[unit]


@njit(nogil=True, fastmath=True, error_model="numpy", cache=True)
def step_bf16(gates: np.ndarray, table: np.ndarray, tokens: np.ndarray, cell: np.ndarray, outs: Any) -> None:
    """Take one step; bf16 numbers are bit patterns in int16 arrays.

    Parameters
    ----------
    gates : int16 array (lanes, 4 * units)
        Product of hidden state (and input) with the weights; order input, forget, candidate, output.
    table : float32 array (vocab or 1, 4 * units)
    tokens : int64 array (lanes,)
        Row of ``table`` of each lane.
    cell : float32 array (lanes, units), changed in place
    outs : tuple of three arrays, written
        int16 (lanes, units) twice: where this layer and the next one read the hidden state; float32
        (lanes, units): the hidden state itself.
    """
    lanes, units = cell.shape
    sums, hidden = np.empty(4 * units, dtype=np.float32), np.empty(units, dtype=np.float32)
    own, above, plain = outs
    for lane in range(lanes):
        line, row = gates[lane], table[tokens[lane]]
        for place in range(4 * units):
            sums[place] = read_bf16(line[place]) + row[place]
        _unit_step(sums, cell[lane], hidden)
        rounded = own[lane]
        for unit in range(units):
            rounded[unit] = round_bf16(hidden[unit])
        _hand_on(rounded, hidden, above[lane], plain[lane])


@njit(nogil=True, fastmath=True, error_model="numpy", cache=True)
def step_int8(
    gates: np.ndarray, scales: np.ndarray, table: np.ndarray, tokens: np.ndarray, cell: np.ndarray, outs: Any
) -> None:
    """Take one step in int8; as :func:`step_bf16` but for these.

    Parameters
    ----------
    gates : int32 array (lanes, 4 * units)
        Product of int8 states and int8 weights.
    scales : float32 array (4 * units,)
        What one unit of each gate's product stands for.
    table, tokens, cell
        As in :func:`step_bf16`.
    outs : tuple of three arrays, written
        int8, int8 and float32.
    """
    lanes, units = cell.shape
    sums, hidden = np.empty(4 * units, dtype=np.float32), np.empty(units, dtype=np.float32)
    own, above, plain = outs
    for lane in range(lanes):
        line, row = gates[lane], table[tokens[lane]]
        for place in range(4 * units):
            sums[place] = np.float32(line[place]) * scales[place] + row[place]
        _unit_step(sums, cell[lane], hidden)
        rounded = own[lane]
        for unit in range(units):
            rounded[unit] = np.int8(np.rint(hidden[unit] * np.float32(INT8_TOP)))
        _hand_on(rounded, hidden, above[lane], plain[lane])
