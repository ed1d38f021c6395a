"""Small classifiers with random weights, for tests of what is done with a model rather than of what it knows."""

from genolm import compute  # noqa: F401
import torch

from genolm.classifier import Ensemble, SequenceClassifier
from genolm.config import EncoderConfig, HeadConfig, TokenizerConfig
from genolm.registry import BundleConfig

LOUDER = 3


def toy_config(**settings) -> BundleConfig:
    """Return the configuration of a small classifier; ``settings`` are other fields of it."""
    standard = {
        "tokenizer": TokenizerConfig(3, 2),
        "encoder": EncoderConfig(emb=8, hid=12),
        "head": HeadConfig(),
    }
    return BundleConfig(name="toy", kind="classifier", **standard | settings)


def loud_model(config: BundleConfig, *, seed: int) -> SequenceClassifier | Ensemble:
    """Return a classifier in eval mode whose weights are far from zero, so that answers differ widely."""
    torch.manual_seed(seed)
    members = [SequenceClassifier(config.encoder, config.head, config.vocab_size).eval() for _ in range(config.members)]
    with torch.no_grad():
        for parameter in (parameter for member in members for parameter in member.parameters()):
            parameter.mul_(LOUDER)
    return members[0] if len(members) == 1 else Ensemble(members).eval()
