"""A classifier on the encoder: pooled hidden states and the two-layer head of ULMFiT.

Howard and Ruder 2018 (arXiv:1801.06146): the last hidden state, the maximum and the mean over time.
"""

from collections.abc import Sequence

import genolm.compute  # noqa: F401  sets the OpenMP wait policy before torch is loaded
import torch
from torch import Tensor, nn

from genolm.config import CLASSIFIER_DROPOUTS, Dropouts, EncoderConfig, HeadConfig
from genolm.errors import SettingsError
from genolm.model import AWDEncoder, PlainDropout, encoder_groups
from genolm.tokenizer import UNKNOWN

SECOND_DROPOUT = 0.1


def pool(hidden: Tensor, lengths: Tensor, *, slots: int = 0) -> Tensor:
    """Return last, maximum and mean hidden state over the real tokens of each sequence, and slot means.

    Parameters
    ----------
    hidden : Tensor (batch, time, emb)
    lengths : Tensor (batch,) int64
        Real tokens of each sequence; what comes after them is padding and counts for nothing.
    slots : int
        Equal parts of each sequence whose means follow, in order; the mean of a part without a token is 0.

    Returns
    -------
    Tensor (batch, (3 + slots) * emb), float32
    """
    hidden = hidden.float()
    places = torch.arange(hidden.shape[1], device=hidden.device)
    real = (places[None, :] < lengths[:, None]).unsqueeze(2)
    last = hidden[torch.arange(len(lengths), device=hidden.device), lengths - 1]
    highest = hidden.masked_fill(~real, float("-inf")).amax(1)
    mean = (hidden * real).sum(1) / lengths[:, None]
    parts = slot_weights(lengths, hidden.shape[1], slots) @ hidden
    return torch.cat([last, highest, mean, parts.flatten(1)], 1)


def slot_weights(lengths: Tensor, time: int, slots: int) -> Tensor:
    """Return the share (batch, slots, time) that each token has in the mean of each slot; padding has none."""
    places = torch.arange(time, device=lengths.device)
    slot_of = places[None, :] * slots // lengths[:, None]
    slot_of = torch.where(places[None, :] < lengths[:, None], slot_of, -1)
    member = (slot_of[:, None, :] == torch.arange(slots, device=lengths.device)[None, :, None]).float()
    return member / member.sum(2, keepdim=True).clamp(min=1)


class PoolingHead(nn.Module):
    """BatchNorm, dropout, linear, ReLU, BatchNorm, dropout, linear: pooled states to logits."""

    def __init__(self, emb: int, config: HeadConfig, p: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.BatchNorm1d((3 + config.slots) * emb),
            PlainDropout(p),
            nn.Linear((3 + config.slots) * emb, config.hidden),
            nn.ReLU(),
            nn.BatchNorm1d(config.hidden),
            PlainDropout(SECOND_DROPOUT),
            nn.Linear(config.hidden, len(config.classes)),
        )

    def forward(self, pooled: Tensor) -> Tensor:
        """Turn ``pooled`` (batch, (3 + slots) * emb) into logits (batch, outputs), in float32."""
        with torch.autocast(pooled.device.type, enabled=False):
            return self.layers(pooled.float())


class SequenceClassifier(nn.Module):
    """Encoder, pooling and head.

    Parameters
    ----------
    encoder : EncoderConfig
    head : HeadConfig
        Task and classes; one output per class.
    vocab_size : int
    dropouts : Dropouts, optional
        ``output`` is the head's first dropout.

    Notes
    -----
    An unknown k-mer is read as nothing, like one that embedding dropout took away in training. A language model
    never has to foretell one, which drives its vector far from all others: read as it is, one N would outweigh
    the rest of a sequence.
    """

    def __init__(
        self, encoder: EncoderConfig, head: HeadConfig, vocab_size: int, dropouts: Dropouts | None = None
    ) -> None:
        super().__init__()
        dropouts = dropouts or CLASSIFIER_DROPOUTS
        self.encoder = AWDEncoder(encoder, vocab_size, dropouts, silent=UNKNOWN)
        self.head = PoolingHead(encoder.emb, head, dropouts.output)
        self.slots = head.slots

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Classify ``tokens`` (batch, time), right-padded; returns logits (batch, outputs) float32."""
        return self.head(self.features(tokens, lengths))

    def features(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Return the pooled hidden states (batch, (3 + slots) * emb), the sequences' embedding."""
        return pool(self.encoder(tokens).hidden, lengths, slots=self.slots)

    def layer_groups(self) -> list[list[nn.Parameter]]:
        """Return parameters lowest layer first, the head last, for gradual unfreezing."""
        return [*encoder_groups(self.encoder), list(self.head.parameters())]

    def encoders(self) -> list[AWDEncoder]:
        """Return the one encoder, as an :class:`Ensemble` returns its several."""
        return [self.encoder]


class Ensemble(nn.Module):
    """Classifiers of one shape, trained apart, that answer together: the mean of their logits.

    Parameters
    ----------
    members : sequence of SequenceClassifier
        One or more; they are taken, not copied. Their weights stand under ``members.0.``, ``members.1.`` ...

    Notes
    -----
    Each member has coordinates of its own for its hidden states, so that their mean would mean nothing:
    :meth:`features` sets them side by side.
    """

    def __init__(self, members: Sequence[SequenceClassifier]) -> None:
        super().__init__()
        shapes = {tuple(value.shape for value in member.state_dict().values()) for member in members}
        if len(shapes) != 1:
            raise SettingsError(f"{len(members)} members of {len(shapes)} shapes; an ensemble has one shape.")
        self.members = nn.ModuleList(members)

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Classify ``tokens`` (batch, time), right-padded; returns mean logits (batch, outputs) float32."""
        return torch.stack([member(tokens, lengths) for member in self.members]).mean(0)

    def features(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Return the members' features side by side (batch, members * (3 + slots) * emb)."""
        return torch.cat([member.features(tokens, lengths) for member in self.members], 1)

    def layer_groups(self) -> list[list[nn.Parameter]]:
        """Return parameters lowest layer first, all members' embeddings together and so on."""
        levels = zip(*(member.layer_groups() for member in self.members), strict=True)
        return [[parameter for group in level for parameter in group] for level in levels]

    def encoders(self) -> list[AWDEncoder]:
        """Return each member's encoder."""
        return [member.encoder for member in self.members]
