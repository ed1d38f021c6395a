"""What the head sees of windows in streamed text, on a CPU: :class:`genolm.pooling.WindowPooling` lane by lane.

A lane's running sums and maxima stay in the core's cache, which tensor operations over all lanes would leave.
"""

import numpy as np
from numba import njit


@njit(nogil=True, fastmath=True, error_model="numpy", cache=True)
def _running_sums(states: np.ndarray, sums: np.ndarray) -> None:
    """Write sums (time + 1, emb) of the first 0, 1, ... states (time, emb)."""
    time, emb = states.shape
    for unit in range(emb):
        sums[0, unit] = 0.0
    for t in range(time):
        before, now, state = sums[t], sums[t + 1], states[t]
        for unit in range(emb):
            now[unit] = before[unit] + state[unit]


@njit(nogil=True, fastmath=True, error_model="numpy", cache=True)
def _block_maxima(states: np.ndarray, width: int, so_far: np.ndarray, to_come: np.ndarray) -> None:
    """Write the maximum of each state's block of ``width`` up to it and from it on, both (time, emb).

    A window's maximum is the greater of ``to_come`` at its first and ``so_far`` at its last state (M. van Herk,
    Pattern Recognition Letters 13, 1992).
    """
    time, emb = states.shape
    for t in range(time):
        now, state, before = so_far[t], states[t], so_far[max(t - 1, 0)]
        if t % width == 0:
            for unit in range(emb):
                now[unit] = state[unit]
        else:
            for unit in range(emb):
                now[unit] = max(before[unit], state[unit])
    for back in range(time):
        t = time - 1 - back
        now, state, after = to_come[t], states[t], to_come[min(t + 1, time - 1)]
        if back == 0 or (t + 1) % width == 0:
            for unit in range(emb):
                now[unit] = state[unit]
        else:
            for unit in range(emb):
                now[unit] = max(after[unit], state[unit])


@njit(nogil=True, fastmath=True, error_model="numpy", cache=True)
def _difference(low: np.ndarray, high: np.ndarray, share: float, out: np.ndarray) -> None:
    for unit in range(out.size):
        out[unit] = (high[unit] - low[unit]) * share


@njit(nogil=True, fastmath=True, error_model="numpy", cache=True)
def pool_windows(hidden: np.ndarray, starts: np.ndarray, width: int, edges: np.ndarray, out: np.ndarray) -> None:
    """Pool the windows of all lanes.

    Parameters
    ----------
    hidden : float32 array (time, lanes, emb)
    starts : int64 array (windows,)
        First state of each window; all end within ``time``.
    width : int
        States of a window.
    edges : int64 array (slots + 1,)
        See :func:`genolm.pooling.slot_bounds`; one number where there are no slots.
    out : float32 array (lanes, windows, (3 + slots) * emb), written
        Last, highest and mean state, then the slots' means.
    """
    time, lanes, emb = hidden.shape
    slots = edges.size - 1
    sums = np.empty((time + 1, emb), dtype=np.float32)
    so_far, to_come = np.empty((time, emb), dtype=np.float32), np.empty((time, emb), dtype=np.float32)
    for lane in range(lanes):
        states = hidden[:, lane]
        _running_sums(states, sums)
        _block_maxima(states, width, so_far, to_come)
        for window in range(starts.size):
            first = starts[window]
            end, row = first + width, out[lane, window]
            left, right = to_come[first], so_far[end - 1]
            last = states[end - 1]
            for unit in range(emb):
                row[unit] = last[unit]
                row[emb + unit] = max(left[unit], right[unit])
            _difference(sums[first], sums[end], np.float32(1.0 / width), row[2 * emb : 3 * emb])
            for slot in range(slots):
                low, high = edges[slot], edges[slot + 1]
                part = row[(3 + slot) * emb : (4 + slot) * emb]
                _difference(sums[first + low], sums[first + high], np.float32(1.0 / max(1, high - low)), part)
