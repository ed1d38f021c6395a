"""The AWD-LSTM encoder and the language model on top of it: nothing but modules.

Merity, Keskar and Socher 2017 (arXiv:1708.02182): a plain LSTM stack held in check by five dropouts. Names
and the cut between them follow fastai's text models, so that weights can be compared one to one.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import genolm.compute  # noqa: F401  sets the OpenMP wait policy before torch is loaded
import torch
from torch import Tensor, nn
from torch.nn import functional

from genolm.config import Dropouts, EncoderConfig
from genolm.lstm import State, run_lstm

_random = threading.local()


@contextmanager
def random_source(generator: torch.Generator | None) -> Iterator[None]:
    """Draw every dropout mask inside the block from ``generator`` instead of torch's global one."""
    before = getattr(_random, "generator", None)
    _random.generator = generator
    try:
        yield
    finally:
        _random.generator = before


def dropout_mask(like: Tensor, shape: tuple[int, ...], p: float) -> Tensor:
    """Return a mask of 0 and 1/(1-p) with the device and type of ``like``."""
    keep = like.new_empty(shape, dtype=torch.float32).bernoulli_(
        1 - p, generator=getattr(_random, "generator", None)
    )
    return keep.div_(1 - p).to(like.dtype)


class RNNDropout(nn.Module):
    """Variational dropout: one mask per sequence, the same at every time step."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, inputs: Tensor) -> Tensor:
        """Drop units of ``inputs`` (time, batch, units)."""
        if not self.training or self.p == 0:
            return inputs
        return inputs * dropout_mask(inputs, (1, *inputs.shape[1:]), self.p)


class PlainDropout(nn.Module):
    """Ordinary dropout that draws from :func:`random_source`."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, inputs: Tensor) -> Tensor:
        """Drop single numbers of ``inputs`` of any shape."""
        if not self.training or self.p == 0:
            return inputs
        return inputs * dropout_mask(inputs, tuple(inputs.shape), self.p)


class EmbeddingDropout(nn.Module):
    """An embedding that drops whole vocabulary rows, each token everywhere in the batch at once.

    Parameters
    ----------
    vocab_size, width : int
    p : float
        Share of the tokens that are dropped in training: their vectors are zero.
    silent : int, optional
        A token whose vector is always zero, as that of a dropped one, whatever its row holds.
    """

    def __init__(self, vocab_size: int, width: int, p: float, silent: int | None = None) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(vocab_size, width).uniform_(-0.1, 0.1))
        self.p, self.silent = p, silent

    def vectors(self) -> Tensor:
        """Return the vectors of all tokens, (vocab_size, width)."""
        if self.silent is None:
            return self.weight
        weight = self.weight.clone()
        weight[self.silent] = 0
        return weight

    def forward(self, tokens: Tensor) -> Tensor:
        """Look up ``tokens`` of any shape; returns (*shape, width)."""
        weight = self.vectors()
        if self.training and self.p > 0:
            weight = weight * dropout_mask(weight, (weight.shape[0], 1), self.p)
        return functional.embedding(tokens, weight)


class WeightDropLSTM(nn.Module):
    """One LSTM layer whose hidden-to-hidden matrix loses single weights during training.

    ``weight_ih`` (4 hid, in), ``weight_hh`` (4 hid, hid) and ``bias`` (4 hid,) hold the gates in torch's
    order; torch's two biases are one here.
    """

    def __init__(self, width_in: int, width_out: int, p: float) -> None:
        super().__init__()
        bound = width_out**-0.5
        self.weight_ih = nn.Parameter(torch.empty(4 * width_out, width_in).uniform_(-bound, bound))
        self.weight_hh = nn.Parameter(torch.empty(4 * width_out, width_out).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(4 * width_out).uniform_(-bound, bound))
        self.width_out, self.p = width_out, p

    def first_state(self, batch: int) -> State:
        """Return the zero state of ``batch`` sequences."""
        zero = self.weight_hh.new_zeros(batch, self.width_out)
        return zero, zero

    def forward(self, inputs: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Run over ``inputs`` (time, batch, in); returns outputs (time, batch, hid) and the last state."""
        weight_hh = self.weight_hh
        if self.training and self.p > 0:
            weight_hh = weight_hh * dropout_mask(weight_hh, tuple(weight_hh.shape), self.p)
        state = self.first_state(inputs.shape[1]) if state is None else state
        return run_lstm(inputs, state, (self.weight_ih, weight_hh, self.bias))


class EncoderOutput(NamedTuple):
    """What the encoder gives for tokens (batch, time).

    Attributes
    ----------
    hidden : Tensor (batch, time, emb)
        Output of the last LSTM.
    states : list of (hidden, cell), each (batch, units)
        State of each LSTM after the last step, to carry to the next piece of the same text.
    """

    hidden: Tensor
    states: list[State]


class AWDEncoder(nn.Module):
    """Embedding and LSTM stack with AWD dropout.

    Parameters
    ----------
    config : EncoderConfig
        Sizes.
    vocab_size : int
    dropouts : Dropouts
        ``output`` is not used here: it belongs to whatever stands on the encoder.
    silent : int, optional
        A token that is read as nothing, see :class:`EmbeddingDropout`.
    """

    def __init__(
        self, config: EncoderConfig, vocab_size: int, dropouts: Dropouts, *, silent: int | None = None
    ) -> None:
        super().__init__()
        self.config = config
        self.embedding = EmbeddingDropout(vocab_size, config.emb, dropouts.embedding, silent)
        self.input_dropout = RNNDropout(dropouts.input)
        widths = config.widths()
        self.rnns = nn.ModuleList(WeightDropLSTM(*pair, dropouts.weight) for pair in widths)
        self.hidden_dropouts = nn.ModuleList(RNNDropout(dropouts.hidden) for _ in widths[1:])

    def forward(self, tokens: Tensor, states: list[State] | None = None) -> EncoderOutput:
        """Encode ``tokens`` (batch, time) int64, going on from ``states`` if given."""
        hidden = self.input_dropout(self.embedding(tokens.t()))
        last: list[State] = []
        for layer, rnn in enumerate(self.rnns):
            hidden, state = rnn(hidden, states[layer] if states else None)
            last.append(state)
            if layer < len(self.hidden_dropouts):
                hidden = self.hidden_dropouts[layer](hidden)
        return EncoderOutput(hidden.transpose(0, 1), last)


class LanguageModelOutput(NamedTuple):
    """Logits (batch, time, vocab) for the next token, with what AR and TAR need, (batch, time, emb)."""

    logits: Tensor
    hidden: Tensor
    dropped: Tensor
    states: list[State]


class LanguageModel(nn.Module):
    """Encoder and a linear decoder that shares its weights with the embedding."""

    def __init__(self, encoder: EncoderConfig, vocab_size: int, dropouts: Dropouts | None = None) -> None:
        super().__init__()
        dropouts = dropouts or Dropouts()
        self.encoder = AWDEncoder(encoder, vocab_size, dropouts)
        self.output_dropout = RNNDropout(dropouts.output)
        self.decoder_bias = nn.Parameter(torch.zeros(vocab_size))

    def forward(self, tokens: Tensor, states: list[State] | None = None) -> LanguageModelOutput:
        """Predict the token after each of ``tokens`` (batch, time)."""
        hidden, states = self.encoder(tokens, states)
        dropped = self.output_dropout(hidden.transpose(0, 1)).transpose(0, 1)
        logits = functional.linear(dropped, self.encoder.embedding.weight.to(dropped.dtype)).float()
        return LanguageModelOutput(logits + self.decoder_bias, hidden, dropped, states)

    def layer_groups(self) -> list[list[nn.Parameter]]:
        """Return parameters from the embedding up to the decoder's bias, for rates that fall with depth."""
        return [*encoder_groups(self.encoder), [self.decoder_bias]]


def encoder_groups(encoder: AWDEncoder) -> list[list[nn.Parameter]]:
    """Return the encoder's parameters by layer, lowest first: the embedding, then each LSTM."""
    return [list(encoder.embedding.parameters()), *(list(rnn.parameters()) for rnn in encoder.rnns)]
