"""The baselines of genolm.baselines slid along a genome, so that their scan is judged as the model's is.

No window is cut out, yet each gets the very answer that the baseline gives to it alone: counts of k-mers are
differences of running sums, a weight matrix is added up place by place, and the network's convolutions go
once over the whole stretch, with only its window edges, where it was trained to see nothing, worked out for
each window.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from genolm import compute  # before torch: it sets the OpenMP wait policy

import numpy as np
import torch
from scipy.special import expit
from torch import Tensor, nn
from torch.nn import functional

from genolm.baselines import Baseline, Examples, KmerLogistic, PositionalLogistic, SmallCNN
from genolm.calibration import fit_temperature, pick_threshold
from genolm.engines import FinishedScores
from genolm.errors import GenolmError
from genolm.scan_plan import Part, Stretch
from genolm.scan_work import MAX_AMBIGUOUS, ScanWork, ambiguous_share
from genolm.tokenizer import encode_bases, kmer_codes, reverse_complement_codes

LogOdds = Callable[[np.ndarray, int, int], np.ndarray]
"""(base codes, window, stride) to the log odds of each window, float64 (windows,)."""

KMER, POSITIONAL, CNN = KmerLogistic.name, PositionalLogistic.name, SmallCNN.name
NAMES = (KMER, POSITIONAL, CNN)
_WINDOWS_AT_ONCE = 1024
_PREFIX = "network."


def fit(
    name: str, train: Examples, valid: Examples, *, seed: int = 1, epochs: int = 25
) -> dict[str, np.ndarray]:
    """Fit a baseline, calibrate it on ``valid`` and return all that is needed to slide it.

    Parameters
    ----------
    name : str
        One of :data:`NAMES`.
    train, valid : Examples
        Windows of one length.
    seed, epochs : int
        Of the network.
    """
    baselines: dict[str, Baseline] = {
        KMER: KmerLogistic(),
        POSITIONAL: PositionalLogistic(),
        CNN: SmallCNN(seed=seed, epochs=epochs),
    }
    fitted = baselines[name].fit(train, valid)
    arrays = _network_arrays(fitted) if name == CNN else _logistic_arrays(fitted)
    slide = sliding(name, arrays)
    odds = np.array([slide(encode_bases(text), len(text), 1)[0] for text in valid.sequences])
    temperature = fit_temperature(np.stack([np.zeros_like(odds), odds], axis=1), valid.labels, "binary")
    threshold = pick_threshold(expit(odds / temperature), valid.labels)
    return {**arrays, "temperature": np.array(temperature), "threshold": np.array(threshold)}


def sliding(name: str, arrays: Mapping[str, np.ndarray]) -> LogOdds:
    """Return the function that answers for every window of a stretch, from what :func:`fit` returned."""
    if name == KMER:
        return lambda codes, window, stride: _kmer_odds(arrays, codes, window, stride)
    if name == POSITIONAL:
        return lambda codes, window, stride: _positional_odds(arrays, codes, window, stride)
    network = SmallCNN().build(2).eval()
    state = {key.removeprefix(_PREFIX): value for key, value in arrays.items() if key.startswith(_PREFIX)}
    network.load_state_dict({key: torch.from_numpy(np.array(value)) for key, value in state.items()})
    return lambda codes, window, stride: _network_odds(network, codes, window, stride)


class SlidingEngine:
    """Scores the parts of a scan by a sliding baseline in place of the scan's own model.

    Parameters
    ----------
    name : str
    arrays : mapping
        From :func:`fit`.
    """

    def __init__(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        self._log_odds, self._temperature = sliding(name, arrays), float(arrays["temperature"])

    def run(
        self, work: ScanWork, parts: Sequence[Part], *, tick: Callable[[int, str], None]
    ) -> Iterator[FinishedScores]:
        """Yield the scores of each part, see :class:`genolm.engines.Engine`."""
        for part in parts:
            began = time.monotonic()
            scores = np.concatenate([self._stretch(work, stretch) for stretch in part.stretches])
            tick(part.windows, part.stretches[-1].stage)
            yield FinishedScores(part, scores, time.monotonic() - began)

    def _stretch(self, work: ScanWork, stretch: Stretch) -> np.ndarray:
        layout = work.layout
        first = layout.first_window(stretch.strand, circular=stretch.circular) + stretch.first * layout.stride
        codes = _read(work, stretch, first, first + (stretch.windows - 1) * layout.stride + layout.window)
        odds = self._log_odds(codes, layout.window, layout.stride)
        odds[ambiguous_share(codes, layout.window, layout.stride) > MAX_AMBIGUOUS] = np.nan
        return expit(odds / self._temperature).astype(np.float32)


def _read(work: ScanWork, stretch: Stretch, low: int, high: int) -> np.ndarray:
    if stretch.strand == "+":
        return encode_bases(work.genome.fetch(stretch.contig, low, high))
    letters = work.genome.fetch(stretch.contig, stretch.length - high, stretch.length - low)
    return reverse_complement_codes(encode_bases(letters))


def _logistic_arrays(fitted: Any) -> dict[str, np.ndarray]:
    _, weights, offset = fitted.weights
    return {
        "sizes": np.array(fitted.sizes),
        "weights": weights[0] / fitted.scaler.scale_,
        "offset": np.array(offset[0]),
    }


def _network_arrays(fitted: Any) -> dict[str, np.ndarray]:
    return {_PREFIX + key: value.numpy() for key, value in fitted.network.state_dict().items()}


def _kmer_odds(arrays: Mapping[str, np.ndarray], codes: np.ndarray, window: int, stride: int) -> np.ndarray:
    starts = np.arange(0, len(codes) - window + 1, stride)
    odds, first = np.full(len(starts), float(arrays["offset"])), 0
    for k in arrays["sizes"].tolist():
        weights = np.append(arrays["weights"][first : first + 4**k], 0.0)
        sums = np.concatenate([[0.0], np.cumsum(weights[kmer_codes(codes, k)])])
        odds += sums[starts + window - k + 1] - sums[starts]
        first += 4**k
    return odds


def _positional_odds(
    arrays: Mapping[str, np.ndarray], codes: np.ndarray, window: int, stride: int
) -> np.ndarray:
    count = (len(codes) - window) // stride + 1
    odds, first = np.full(count, float(arrays["offset"])), 0
    for k in arrays["sizes"].tolist():
        table = arrays["weights"][first : first + 4**k * window].reshape(window, 4**k)
        table = np.pad(table, ((0, 0), (0, 1)))
        numbers = kmer_codes(codes, k)
        for place in range(window - k + 1):
            odds += table[place][numbers[place : place + (count - 1) * stride + 1 : stride]]
        first += 4**k * window
    return odds


def _network_odds(network: nn.Module, codes: np.ndarray, window: int, stride: int) -> np.ndarray:
    count, found = (len(codes) - window) // stride + 1, []
    with torch.inference_mode(), compute.torch_threads():
        for first in range(0, count, _WINDOWS_AT_ONCE):
            last = min(count, first + _WINDOWS_AT_ONCE)
            piece = codes[first * stride : (last - 1) * stride + window]
            answers = slide_network(network, piece, window, stride)
            found.append((answers[:, 1] - answers[:, 0]).double().numpy())
    return np.concatenate(found)


class _Shape(NamedTuple):
    """How :class:`genolm.baselines.SmallCNN` reads a window, counted in pooled places of ``pool`` bases.

    The first ``inner`` places at either end depend on the padding of the first convolution, and the first
    ``edge`` outputs of the second one on any padding; each of ``parts`` maxima is over ``size`` outputs.
    """

    pool: int
    head: int
    reach: int
    inner: int
    edge: int
    places: int
    parts: int
    size: int

    @classmethod
    def of(cls, network: Any, window: int) -> "_Shape":
        pool, parts = network[3].kernel_size, network[8].output_size
        head, reach = network[0].padding[0], network[4].padding[0]
        inner = -(-head // pool)
        if window % (pool * parts) or window < 2 * pool * (inner + 2 * reach):
            raise GenolmError(
                f"A window of {window} bp cannot be slid by the network; it must be a multiple of "
                f"{pool * parts} bp and at least {2 * pool * (inner + 2 * reach)} bp."
            )
        places = window // pool
        return cls(pool, head, reach, inner, reach + inner, places, parts, places // parts)


def slide_network(network: Any, codes: np.ndarray, window: int, stride: int) -> Tensor:
    """Return what the network of :class:`genolm.baselines.SmallCNN` says of all windows, (windows, outputs).

    Parameters
    ----------
    network : torch.nn.Sequential
        In evaluation mode.
    codes : np.ndarray
        Base codes of the stretch.
    window, stride : int
        The window must be a multiple of 30 bp.
    """
    shape = _Shape.of(network, window)
    one_hot = torch.from_numpy(np.eye(5, 4, dtype=np.float32)[codes]).T[None].contiguous()
    windows = one_hot[0].unfold(-1, window, stride).transpose(0, 1)

    def at(values: Tensor, place: int) -> Tensor:
        """Return the value of each window at a pooled place from its start, (windows, channels)."""
        first = place * shape.pool
        return values[0, :, first : first + (len(windows) - 1) * stride + 1 : stride].T

    low = functional.max_pool1d(network[:3](one_hot), shape.pool, stride=1)
    edges = _edges(network, shape, windows, partial(at, low))
    high = functional.conv1d(low, network[4].weight, network[4].bias, dilation=shape.pool)
    high = network[5:7](high)
    runs = _running_maximum(high, shape)
    maxima = []
    for first in range(0, shape.places, shape.size):
        places = range(first, first + shape.size)
        if edges.keys().isdisjoint(places):
            maxima.append(at(runs, first - shape.reach))
        else:
            values = [edges[place] if place in edges else at(high, place - shape.reach) for place in places]
            maxima.append(torch.stack(values).amax(0))
    return network[9:](torch.stack(maxima, -1))


def _edges(network: Any, shape: _Shape, windows: Tensor, low: Callable[[int], Tensor]) -> dict[int, Tensor]:
    """Return the second convolution's outputs that see a window's end, by place, (windows, channels) each."""
    bases, wide = shape.inner * shape.pool + shape.head, shape.inner + 2 * shape.reach
    inside = {
        "left": torch.stack([low(place) for place in range(shape.inner, wide)], -1),
        "right": torch.stack(
            [low(shape.places - 1 - place) for place in range(wide - 1, shape.inner - 1, -1)], -1
        ),
    }
    found: dict[int, Tensor] = {}
    for side, first in (("left", 0), ("right", shape.places - shape.edge)):
        piece = windows[..., :bases] if side == "left" else windows[..., -bases:]
        end = functional.max_pool1d(_padded(network[0], network[1:3], piece, side), shape.pool)
        both = [end, inside[side]] if side == "left" else [inside[side], end]
        outputs = _padded(network[4], network[5:7], torch.cat(both, -1), side)
        found |= dict(enumerate(outputs.unbind(-1), first))
    return found


def _padded(convolution: nn.Conv1d, after: nn.Module, values: Tensor, side: str) -> Tensor:
    """Return a convolution of values that end with the window on one side and go on on the other."""
    width = convolution.padding[0]
    values = functional.pad(values, (width, 0) if side == "left" else (0, width))
    return after(functional.conv1d(values, convolution.weight, convolution.bias))


def _running_maximum(values: Tensor, shape: _Shape) -> Tensor:
    """Return at each base the maximum over the ``size`` pooled places that begin there."""
    length = values.shape[-1] - (shape.size - 1) * shape.pool
    shifted = [values[..., place * shape.pool : place * shape.pool + length] for place in range(shape.size)]
    found = shifted[0]
    for other in shifted[1:]:
        found = torch.maximum(found, other)
    return found
