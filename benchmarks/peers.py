"""DNABERT-2 and HyenaDNA in their published sizes, with random weights: peers for the scan's benchmark.

Written from the papers (arXiv:2306.15006 on arXiv:2208.08124's encoder with arXiv:2108.12409's biases, and
arXiv:2306.15794 on arXiv:2302.10866) and the published configurations. Only the speed means anything. Where
there was a choice the peer got the faster one: no dropout, no padding, torch's fused attention, ready-made
tokens, windows of one length side by side in a batch.

A byte-pair token of DNABERT-2 is about 5 bases long. Its vocabulary is learned, so here 5 letters are one
token, plus one at either end; the cost of finding byte pairs is left out. HyenaDNA reads single bases and
one closing token.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

CLASSES = 2
FAST_POINTS = 64


@dataclass(frozen=True)
class TransformerSize:
    """Sizes of DNABERT-2: those of the published configuration by default."""

    vocabulary: int = 4096
    width: int = 768
    layers: int = 12
    heads: int = 12
    feed_forward: int = 3072
    bases_per_token: int = 5


@dataclass(frozen=True)
class HyenaSize:
    """Sizes of HyenaDNA: those that all published configurations share by default.

    ``vocabulary`` is 12 rounded up to a multiple of 8; ``positions`` and ``filter_width`` are the features of
    a position and the hidden units of the network that makes the filters of them.
    """

    width: int = 128
    layers: int = 2
    longest: int = 1026
    vocabulary: int = 16
    positions: int = 5
    filter_width: int = 64
    short_filter: int = 3

    @property
    def feed_forward(self) -> int:
        """Units of a block's hidden layer."""
        return 4 * self.width


def alibi_slopes(heads: int) -> list[float]:
    """Return how fast each head's attention falls with distance (arXiv:2108.12409)."""
    power = 2 ** math.floor(math.log2(heads))
    slopes = [2 ** (-8 * (head + 1) / power) for head in range(power)]
    between = [2 ** (-4 * (head + 1) / power) for head in range(0, 2 * power, 2)]
    return slopes + between[: heads - power]


class AttentionLayer(nn.Module):
    """Attention and a gated feed-forward layer, each with its sum normalised after it."""

    def __init__(self, size: TransformerSize) -> None:
        super().__init__()
        self.heads = size.heads
        self.mixed = nn.Linear(size.width, 3 * size.width)
        self.out = nn.Linear(size.width, size.width)
        self.first_norm = nn.LayerNorm(size.width)
        self.up = nn.Linear(size.width, 2 * size.feed_forward, bias=False)
        self.down = nn.Linear(size.feed_forward, size.width)
        self.second_norm = nn.LayerNorm(size.width)

    def forward(self, hidden: Tensor, bias: Tensor) -> Tensor:
        """Return the next hidden states (batch, tokens, width)."""
        batch, tokens, width = hidden.shape
        mixed = self.mixed(hidden).view(batch, tokens, 3, self.heads, width // self.heads)
        query, key, value = mixed.permute(2, 0, 3, 1, 4).unbind(0)
        found = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        hidden = self.first_norm(hidden + self.out(found.transpose(1, 2).reshape(batch, tokens, width)))
        gate, values = self.up(hidden).chunk(2, dim=-1)
        return self.second_norm(hidden + self.down(functional.gelu(gate) * values))


class Transformer(nn.Module):
    """DNABERT-2: a BERT with ALiBi and gated feed-forward layers, its pooler and a head of two classes."""

    def __init__(self, size: TransformerSize) -> None:
        super().__init__()
        self.size = size
        self.tokens = nn.Embedding(size.vocabulary, size.width)
        self.segments = nn.Embedding(2, size.width)
        self.norm = nn.LayerNorm(size.width)
        self.layers = nn.ModuleList(AttentionLayer(size) for _ in range(size.layers))
        self.pooler = nn.Linear(size.width, size.width)
        self.head = nn.Linear(size.width, CLASSES)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits (batch, classes) of ``tokens`` (batch, tokens)."""
        hidden = self.norm(self.tokens(tokens) + self.segments.weight[0])
        places = torch.arange(tokens.shape[1], device=tokens.device)
        slopes = torch.tensor(alibi_slopes(self.size.heads), device=tokens.device)
        bias = -slopes[:, None, None] * (places[None, :] - places[:, None]).abs()
        for layer in self.layers:
            hidden = layer(hidden, bias.to(hidden.dtype))
        return self.head(torch.tanh(self.pooler(hidden[:, 0])))

    def tokens_of(self, codes: np.ndarray) -> np.ndarray:
        """Return stand-ins for byte-pair tokens of base codes (windows, bases): see the module's text."""
        step = self.size.bases_per_token
        pieces = codes[:, : codes.shape[1] // step * step].reshape(len(codes), -1, step).astype(np.int64)
        numbers = pieces @ 5 ** np.arange(step) % (self.size.vocabulary - 5) + 5
        return np.pad(numbers, ((0, 0), (1, 1)), constant_values=((0, 0), (1, 2)))

    def work(self, tokens: int) -> float:
        """Return the floating-point operations of matrix products for one window."""
        size = self.size
        dense = 2 * size.width * (4 * size.width + 3 * size.feed_forward) + 4 * tokens * size.width
        return size.layers * tokens * dense + 2 * size.width * (size.width + CLASSES)


class ImplicitFilter(nn.Module):
    """A long filter for each channel, worked out from features of the position by a small network."""

    def __init__(self, size: HyenaSize) -> None:
        super().__init__()
        hidden = size.filter_width
        self.first = nn.Linear(size.positions, hidden)
        self.inner = nn.ModuleList(nn.Linear(hidden, hidden) for _ in range(2))
        self.last = nn.Linear(hidden, size.width, bias=False)
        self.frequency = nn.Parameter(torch.full((hidden,), 10.0))
        self.skip = nn.Parameter(torch.randn(size.width))
        time = torch.linspace(0, 1, size.longest)[:, None]
        bands = (size.positions - 1) // 2
        angles = 2 * math.pi * time * torch.linspace(1e-4, bands - 1, bands)
        self.register_buffer("features", torch.cat([time, torch.cos(angles), -torch.sin(angles)], 1))
        rates = torch.linspace(-math.log(1e-2) / 1.5, -math.log(1e-2) / 0.3, size.width)
        self.register_buffer("decay", time * rates)

    def forward(self, tokens: int) -> Tensor:
        """Return the filters (width, tokens)."""
        hidden = torch.sin(self.frequency * self.first(self.features[:tokens]))
        for layer in self.inner:
            hidden = torch.sin(self.frequency * layer(hidden))
        return (self.last(hidden) * torch.exp(-self.decay[:tokens])).t()


def long_convolution(inputs: Tensor, filters: Tensor, skip: Tensor) -> Tensor:
    """Return the causal convolution of ``inputs`` (batch, width, tokens) plus ``skip`` times them, by FFT.

    It is worked out in fp32 whatever the model's number type, as the published code does, and on a number of
    points that transforms fast.
    """
    tokens = inputs.shape[-1]
    points = math.ceil(2 * tokens / FAST_POINTS) * FAST_POINTS
    spectrum = torch.fft.rfft(inputs.float(), n=points) * torch.fft.rfft(filters.float(), n=points)
    found = torch.fft.irfft(spectrum, n=points)[..., :tokens]
    return (found + inputs * skip[:, None]).to(inputs.dtype)


class HyenaLayer(nn.Module):
    """The order-2 Hyena operator and a feed-forward layer, each on a normalised input and added to it."""

    def __init__(self, size: HyenaSize) -> None:
        super().__init__()
        self.first_norm, self.second_norm = nn.LayerNorm(size.width), nn.LayerNorm(size.width)
        self.mixed = nn.Linear(size.width, 3 * size.width)
        width, reach = 3 * size.width, size.short_filter
        # In two dimensions: torch's one-dimensional one is 5 times as slow on a CPU.
        self.short = nn.Conv2d(width, width, (1, reach), groups=width, padding=(0, reach - 1))
        self.filter = ImplicitFilter(size)
        self.out = nn.Linear(size.width, size.width)
        self.up = nn.Linear(size.width, size.feed_forward)
        self.down = nn.Linear(size.feed_forward, size.width)

    def forward(self, hidden: Tensor) -> Tensor:
        """Return the next hidden states (batch, tokens, width)."""
        hidden = hidden + self._operator(self.first_norm(hidden))
        middle = functional.gelu(self.up(self.second_norm(hidden)), approximate="tanh")
        return hidden + self.down(middle)

    def _operator(self, inputs: Tensor) -> Tensor:
        tokens = inputs.shape[1]
        mixed = self.short(self.mixed(inputs).transpose(1, 2)[:, :, None])[:, :, 0, :tokens]
        outer, inner, values = mixed.chunk(3, dim=1)
        found = long_convolution(values * inner, self.filter(tokens), self.filter.skip)
        return self.out((found * outer).transpose(1, 2))


class Hyena(nn.Module):
    """HyenaDNA and a head of two classes on the mean of its hidden states."""

    def __init__(self, size: HyenaSize) -> None:
        super().__init__()
        self.size = size
        self.tokens = nn.Embedding(size.vocabulary, size.width)
        self.layers = nn.ModuleList(HyenaLayer(size) for _ in range(size.layers))
        self.norm = nn.LayerNorm(size.width)
        self.head = nn.Linear(size.width, CLASSES)

    def hidden(self, tokens: Tensor) -> Tensor:
        """Return the hidden states (batch, tokens, width) of ``tokens`` (batch, tokens)."""
        hidden = self.tokens(tokens)
        for layer in self.layers:
            hidden = layer(hidden)
        return self.norm(hidden)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits (batch, classes) of ``tokens`` (batch, tokens)."""
        return self.head(self.hidden(tokens).mean(1))

    def tokens_of(self, codes: np.ndarray) -> np.ndarray:
        """Return one token per base of base codes (windows, bases) and the closing one."""
        return np.pad(codes.astype(np.int64) + 7, ((0, 0), (0, 1)), constant_values=1)

    def work(self, tokens: int) -> float:
        """Return the floating-point operations of products and Fourier transforms for one window.

        The filters are not counted: a batch works them out once.
        """
        return self.matrix_work(tokens) + self.size.layers * self.size.width * transform_work(2 * tokens)

    def matrix_work(self, tokens: int) -> float:
        """Return the floating-point operations of matrix products and short convolutions for one window."""
        size = self.size
        dense = 2 * size.width * (4 * size.width + 2 * size.feed_forward)
        # torch counts the padding in front too: that is where the short filter begins.
        short = 2 * 3 * size.width * size.short_filter * (tokens + size.short_filter - 1)
        return size.layers * (tokens * dense + short) + 2 * size.width * CLASSES


def transform_work(points: int) -> float:
    """Return the operations of a convolution by real FFT of ``points``: there, one product, and back."""
    return 2 * 2.5 * points * math.log2(points) + 6 * (points // 2 + 1)


class Peer(NamedTuple):
    """A published model: what it is called, how it is built, and how many parameters its authors count."""

    title: str
    build: Callable[[], nn.Module]
    published: float


PEERS = {
    "dnabert2": Peer("DNABERT-2-size", lambda: Transformer(TransformerSize()), 117e6),
    "hyenadna-tiny": Peer("HyenaDNA-tiny-1k-size", lambda: Hyena(HyenaSize()), 0.44e6),
    "hyenadna-small": Peer(
        "HyenaDNA-small-32k-size", lambda: Hyena(HyenaSize(width=256, layers=4, longest=32_770)), 3.3e6
    ),
}


def parameter_count(model: nn.Module) -> int:
    """Return a peer's parameters without its head of two classes, which belongs to the task."""
    return sum(value.numel() for name, value in model.named_parameters() if not name.startswith("head."))


def checked_counts() -> dict[str, int]:
    """Return the parameters of every peer; one that is off the published number by over 5 % is an error."""
    counts = {}
    for name, peer in PEERS.items():
        with torch.device("meta"):
            counts[name] = parameter_count(peer.build())
        if abs(counts[name] / peer.published - 1) > 0.05:
            found = f"{counts[name]:,} parameters, published {peer.published:,.0f}"
            raise AssertionError(f"{peer.title}: {found}")
    return counts
