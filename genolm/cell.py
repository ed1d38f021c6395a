"""The element-wise half of an LSTM step, fused into one pass each way, for training on a CPU.

Between two matrix products an LSTM step is five activations and a few products on each unit. As single
tensor operations they cost as much time as the products; compiled to one loop (numba) they cost a tenth.
bf16 numbers cross this border as their bit patterns in int16 arrays, since numba has no bf16.
"""

from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import intrinsic


@intrinsic
def _float_of_bits(typing_context: Any, bits: Any) -> Any:  # noqa: ARG001
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ARG001
        return builder.bitcast(args[0], context.get_value_type(types.float32))

    return types.float32(types.uint32), codegen


@intrinsic
def _bits_of_float(typing_context: Any, number: Any) -> Any:  # noqa: ARG001
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ARG001
        return builder.bitcast(args[0], context.get_value_type(types.uint32))

    return types.uint32(types.float32), codegen


@njit(inline="always")
def read_bf16(bits: Any) -> Any:
    return _float_of_bits(np.uint32(np.uint32(np.uint16(bits)) << np.uint32(16)))


@njit(inline="always")
def round_bf16(number: Any) -> Any:
    """Return the bf16 pattern nearest to a float32, ties to even."""
    bits = _bits_of_float(np.float32(number))
    odd = (bits >> np.uint32(16)) & np.uint32(1)
    return np.int16(np.uint16((bits + np.uint32(0x7FFF) + odd) >> np.uint32(16)))


@njit(inline="always", fastmath=True, error_model="numpy")
def tanh(x: Any) -> Any:
    """Rational approximation of tanh, absolute error under 3e-7 (coefficients as in Eigen's ptanh)."""
    x = np.float32(-7.9) if x < np.float32(-7.9) else x
    x = np.float32(7.9) if x > np.float32(7.9) else x
    s = x * x
    top = np.float32(-2.76076847742355e-16) * s + np.float32(2.00018790482477e-13)
    top = top * s + np.float32(-8.60467152213735e-11)
    top = top * s + np.float32(5.12229709037114e-08)
    top = top * s + np.float32(1.48572235717979e-05)
    top = top * s + np.float32(6.37261928875436e-04)
    top = top * s + np.float32(4.89352455891786e-03)
    low = np.float32(1.19825839466702e-06) * s + np.float32(1.18534705686654e-04)
    low = low * s + np.float32(2.26843463243900e-03)
    low = low * s + np.float32(4.89352518554385e-03)
    return x * top / low


@njit(inline="always", fastmath=True, error_model="numpy")
def sigmoid(x: Any) -> Any:
    return np.float32(0.5) * tanh(np.float32(0.5) * x) + np.float32(0.5)


@njit(nogil=True, fastmath=True, error_model="numpy", cache=True)
def _activate_sigmoid(gate: np.ndarray, active: np.ndarray) -> None:
    for unit in range(active.size):
        active[unit] = sigmoid(read_bf16(gate[unit]))
    for unit in range(active.size):
        gate[unit] = round_bf16(active[unit])


@njit(nogil=True, fastmath=True, error_model="numpy", cache=True)
def _activate_tanh(gate: np.ndarray, active: np.ndarray) -> None:
    for unit in range(active.size):
        active[unit] = tanh(read_bf16(gate[unit]))
    for unit in range(active.size):
        gate[unit] = round_bf16(active[unit])


# One loop per line of mathematics: LLVM vectorises a loop only while few arrays could overlap in it.
@njit(nogil=True, fastmath=True, error_model="numpy", cache=True)
def step_forward(gates: np.ndarray, cell_before: np.ndarray, cell: np.ndarray, hidden: np.ndarray) -> None:
    """Turn pre-activations into activations in place and write the new cell and hidden state.

    Parameters
    ----------
    gates : int16 array (batch, 4 * units), bf16 patterns, order input, forget, candidate, output
        Holds pre-activations on entry and activations on return.
    cell_before, cell : float32 arrays (batch, units)
    hidden : int16 array (batch, units), bf16 patterns, written
    """
    batch, units = cell.shape
    active = np.empty((4, units), dtype=np.float32)
    i, f, g, o = active[0], active[1], active[2], active[3]
    for row in range(batch):
        line, before, after, out = gates[row], cell_before[row], cell[row], hidden[row]
        _activate_sigmoid(line[:units], i)
        _activate_sigmoid(line[units : 2 * units], f)
        _activate_tanh(line[2 * units : 3 * units], g)
        _activate_sigmoid(line[3 * units :], o)
        for unit in range(units):
            after[unit] = f[unit] * before[unit] + i[unit] * g[unit]
        for unit in range(units):
            out[unit] = round_bf16(o[unit] * tanh(after[unit]))


@njit(nogil=True, fastmath=True, error_model="numpy", cache=True)
def _widen(bits: np.ndarray, numbers: np.ndarray) -> None:
    for unit in range(numbers.size):
        numbers[unit] = read_bf16(bits[unit])


@njit(nogil=True, fastmath=True, error_model="numpy", cache=True)
def step_backward(
    gates: np.ndarray,
    cells: tuple[np.ndarray, np.ndarray],
    hidden_grads: tuple[np.ndarray, np.ndarray],
    cell_grad: np.ndarray,
) -> None:
    """Turn activations into gradients of the pre-activations in place and pass the cell's gradient back.

    Parameters
    ----------
    gates : int16 array (batch, 4 * units), bf16 patterns
        Activations on entry, gradients of the pre-activations on return.
    cells : pair of float32 arrays (batch, units)
        Cell state before the step and after it.
    hidden_grads : pair of int16 arrays (batch, units), bf16 patterns
        Gradient of the hidden state from the layer above and from the next step; they are summed.
    cell_grad : float32 array (batch, units)
        Gradient of the cell state after the step on entry, before the step on return.
    """
    batch, units = cell_grad.shape
    scratch = np.empty((6, units), dtype=np.float32)
    i, f, g, o, t, dh = scratch[0], scratch[1], scratch[2], scratch[3], scratch[4], scratch[5]
    one = np.float32(1.0)
    for row in range(batch):
        line, dc, before, after = gates[row], cell_grad[row], cells[0][row], cells[1][row]
        above, following = hidden_grads[0][row], hidden_grads[1][row]
        gate_i, gate_f = line[:units], line[units : 2 * units]
        gate_g, gate_o = line[2 * units : 3 * units], line[3 * units :]
        _widen(gate_i, i)
        _widen(gate_f, f)
        _widen(gate_g, g)
        _widen(gate_o, o)
        for unit in range(units):
            t[unit] = tanh(after[unit])
        for unit in range(units):
            dh[unit] = read_bf16(above[unit]) + read_bf16(following[unit])
        for unit in range(units):
            gate_o[unit] = round_bf16(dh[unit] * t[unit] * o[unit] * (one - o[unit]))
        for unit in range(units):
            dc[unit] += dh[unit] * o[unit] * (one - t[unit] * t[unit])
        for unit in range(units):
            gate_i[unit] = round_bf16(dc[unit] * g[unit] * i[unit] * (one - i[unit]))
        for unit in range(units):
            gate_f[unit] = round_bf16(dc[unit] * before[unit] * f[unit] * (one - f[unit]))
        for unit in range(units):
            gate_g[unit] = round_bf16(dc[unit] * i[unit] * (one - g[unit] * g[unit]))
        for unit in range(units):
            dc[unit] *= f[unit]
