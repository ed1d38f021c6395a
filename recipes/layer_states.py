"""A vector for each sequence from each layer of a language model, and ways to make its units comparable.

The mean state of a layer over a sequence is what that layer knows of it. Units differ widely in how much they
vary, and a few loud ones can drown the rest in a cosine. So three ways to look at the vectors are on offer:
without their common mean, with each unit brought to one spread, and along their main directions, each brought to
one spread (whitening).
"""

from collections.abc import Callable, Sequence

import genolm.compute  # before torch: it sets the OpenMP wait policy
import numpy as np
import torch

from genolm.batches import pack
from genolm.model import LanguageModel
from genolm.tokenizer import KmerTokenizer, encode_bases

BATCH_TOKENS = 24_000
DIRECTIONS = 32
PLAIN, ALIKE, WHITE = "less the mean of all", "each unit alike", f"its {DIRECTIONS} main directions alike"


def centred(rows: np.ndarray) -> np.ndarray:
    """Return the rows without their mean, which is what all of them have in common."""
    return rows - rows.mean(axis=0)


def evened(rows: np.ndarray) -> np.ndarray:
    """Return the rows with mean 0 and spread 1 in each unit; a unit that never varies is 0."""
    apart = centred(rows.astype(np.float64))
    spread = apart.std(axis=0)
    return np.divide(apart, spread, out=np.zeros_like(apart), where=spread > 0)


def whitened(rows: np.ndarray) -> np.ndarray:
    """Return the rows along their main directions, at most :data:`DIRECTIONS`, each with spread 1."""
    left, sizes, _ = np.linalg.svd(centred(rows.astype(np.float64)), full_matrices=False)
    kept = min(DIRECTIONS, int((sizes > 1e-9 * sizes[0]).sum()))
    return left[:, :kept] * len(rows) ** 0.5


LOOKS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    PLAIN: centred,
    ALIKE: evened,
    WHITE: whitened,
}
"""How vectors are looked at, by what a reader is told."""


def layer_means(model: LanguageModel, tokenizer: KmerTokenizer, sequences: Sequence[str]) -> list[np.ndarray]:
    """Return the mean state of each sequence in each layer, float32 (sequences, width of the layer).

    The first layer is the embedding, the last the output of the encoder. Where k-mers stand side by side, it
    is the mean over readings from each of the first bases on: genes begin at different places, and other
    k-mers are read with each.
    """
    codes = [encode_bases(item) for item in sequences]
    readings = [
        read_layers(model, tokenizer, [item[first:] for item in codes]) for first in range(tokenizer.stride)
    ]
    return [np.mean(layer, axis=0) for layer in zip(*readings, strict=True)]


def read_layers(
    model: LanguageModel, tokenizer: KmerTokenizer, codes: Sequence[np.ndarray]
) -> list[np.ndarray]:
    """Return the mean state of each sequence in each layer, read from its first base on."""
    encoder = model.encoder
    encoded = [tokenizer.encode(item) for item in codes]
    order = np.argsort([len(item) for item in encoded], kind="stable")
    size = max(1, BATCH_TOKENS // (1 + max(len(item) for item in encoded)))
    widths = [encoder.config.emb, *(width for _, width in encoder.config.widths())]
    found = [np.empty((len(encoded), width), dtype=np.float32) for width in widths]
    seen: list[torch.Tensor] = []
    # A layer gives (time, batch, units), an LSTM its last state as well.
    hooks = [encoder.embedding.register_forward_hook(lambda _, __, given: seen.append(given))]
    hooks += [
        layer.register_forward_hook(lambda _, __, given: seen.append(given[0])) for layer in encoder.rnns
    ]
    dtype = genolm.compute.pick_dtype("auto", torch.device("cpu"))
    try:
        with torch.inference_mode(), torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            for first in range(0, len(order), size):
                rows = order[first : first + size]
                tokens, lengths = pack([encoded[row] for row in rows])
                encoder(tokens)
                real = (torch.arange(tokens.shape[1])[:, None] < lengths)[:, :, None]
                for layer, given in zip(found, seen, strict=True):
                    layer[rows] = ((given.float() * real).sum(0) / lengths[:, None]).numpy()
                seen.clear()
    finally:
        for hook in hooks:
            hook.remove()
    return found
