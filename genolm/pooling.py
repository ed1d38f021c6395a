"""What the head sees of windows that lie in one text: their last, highest and mean hidden state, and slot means.

A window here is a run of tokens of a longer text, so that many windows share one pass of the encoder. Means
come from running sums, maxima from maxima over powers of two; nothing is worked out once per window and token.
"""

import numpy as np

import genolm.compute  # noqa: F401  sets the OpenMP wait policy before torch is loaded
import torch
from torch import Tensor


def slot_bounds(width: int, slots: int) -> np.ndarray:
    """Return where the slots of ``width`` tokens begin and end, int64 (slots + 1,).

    Token p lies in slot ``p * slots // width``; a slot may be empty where there are more slots than tokens.
    """
    return -(-np.arange(slots + 1, dtype=np.int64) * width // slots)


class WindowPooling:
    """Hidden states of a text, made ready so that any of its windows can be pooled.

    Parameters
    ----------
    hidden : Tensor (batch, time, emb)
    width : int
        Tokens of each window, at most ``time``.
    slots : int
        Equal parts of each window whose means follow last, maximum and mean; the mean of an empty one is 0.
    """

    def __init__(self, hidden: Tensor, *, width: int, slots: int) -> None:
        self._hidden, self._width, self._slots = hidden, width, slots
        self._highest = sliding_max(hidden, width)
        self._sums = torch.nn.functional.pad(hidden.float().cumsum(1), (0, 0, 1, 0))
        bounds = slot_bounds(width, slots) if slots else np.zeros(1, dtype=np.int64)
        self._edges = torch.from_numpy(bounds).to(hidden.device)
        self._sizes = torch.from_numpy(np.maximum(1, np.diff(bounds))).to(hidden.device)

    def features(self, starts: Tensor) -> Tensor:
        """Return the pooled hidden states of windows, as :func:`genolm.classifier.pool` gives them of sequences.

        Parameters
        ----------
        starts : Tensor (windows,) int64
            First token of each window; all end within the text.

        Returns
        -------
        Tensor (batch, windows, (3 + slots) * emb), float32
        """
        last = self._hidden[:, starts + self._width - 1].float()
        mean = (self._sums[:, starts + self._width] - self._sums[:, starts]) / self._width
        whole = [last, self._highest[:, starts].float(), mean]
        if self._slots:
            at_edges = self._sums[:, starts[:, None] + self._edges[None, :]]
            parts = (at_edges[:, :, 1:] - at_edges[:, :, :-1]) / self._sizes[None, None, :, None]
            whole.append(parts.flatten(2))
        return torch.cat(whole, 2)


def sliding_max(hidden: Tensor, width: int) -> Tensor:
    """Return the maximum of every ``width`` neighbours along the second axis.

    Parameters
    ----------
    hidden : Tensor (batch, time, emb)
    width : int
        At most ``time``.

    Returns
    -------
    Tensor (batch, time - width + 1, emb)
        Entry t is the maximum of entries t to t + width.
    """
    reach, found = 1, hidden
    while 2 * reach <= width:
        found = torch.maximum(found[:, :-reach], found[:, reach:])
        reach *= 2
    rest = width - reach
    return found if rest == 0 else torch.maximum(found[:, :-rest], found[:, rest:])
