"""The peers of the scan's benchmark: published sizes, shapes, and the work that is counted for them."""

import pytest

import genolm.compute  # noqa: F401  sets the OpenMP wait policy before torch is loaded
import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import peers
from benchmarks.peers import Hyena, HyenaSize, Peer, Transformer, TransformerSize
from genolm.tokenizer import encode_bases

SMALL = {
    "transformer": lambda: Transformer(TransformerSize(vocabulary=3200, width=48, layers=2, heads=6, feed_forward=96)),
    "hyena": lambda: Hyena(HyenaSize(width=16, layers=2, longest=90)),
}
small_models = pytest.mark.parametrize("build", SMALL.values(), ids=SMALL)


@pytest.fixture(autouse=True)
def same_weights():
    torch.manual_seed(5)


def codes_of(rng, windows=3, length=40):
    return rng.integers(0, 4, (windows, length), dtype=np.uint8)


def test_parameters_are_those_of_the_published_models():
    assert peers.checked_counts() == {
        "dnabert2": 117_068_544,
        "hyenadna-tiny": 436_096,
        "hyenadna-small": 3_277_568,
    }


def test_a_model_of_another_size_is_refused(monkeypatch):
    monkeypatch.setitem(peers.PEERS, "dnabert2", Peer("DNABERT-2-size", SMALL["transformer"], 117e6))
    with pytest.raises(AssertionError, match="DNABERT-2-size: .* published 117,000,000"):
        peers.checked_counts()


@small_models
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_window_gets_one_logit_per_class(build, dtype, rng):
    model = build().to(dtype).eval()
    with torch.inference_mode():
        logits = model(torch.from_numpy(model.tokens_of(codes_of(rng))))
    assert logits.shape == (3, peers.CLASSES)
    assert logits.dtype == dtype and logits.isfinite().all()


def test_byte_pair_stand_ins_are_five_bases_each_between_two_special_tokens():
    model = SMALL["transformer"]()
    tokens = model.tokens_of(encode_bases("ACGTACGTAC" + "ACGTN" + "ACGTA" + "CC")[None])
    assert tokens.shape == (1, 6)
    assert tokens[0, 0] == 1 and tokens[0, -1] == 2
    assert tokens[0, 1] == tokens[0, 4] and len(set(tokens[0, 1:4])) == 3
    assert tokens.min() >= 1 and tokens.max() < 3200


def test_hyena_reads_single_bases_and_a_closing_token():
    assert SMALL["hyena"]().tokens_of(encode_bases("ACGTN")[None]).tolist() == [[7, 8, 9, 10, 11, 1]]


def test_attention_falls_with_distance_as_in_alibi():
    eight = [2.0**-power for power in range(1, 9)]
    assert peers.alibi_slopes(8) == pytest.approx(eight)
    assert peers.alibi_slopes(12) == pytest.approx([*eight, 2**-0.5, 2**-1.5, 2**-2.5, 2**-3.5])


def test_transformer_tells_order_apart(rng):
    model, codes = SMALL["transformer"]().eval(), codes_of(rng, windows=1)
    tokens = torch.from_numpy(model.tokens_of(codes))
    turned = torch.cat([tokens[:, :1], tokens[:, 1:-1].flip(1), tokens[:, -1:]], 1)
    with torch.inference_mode():
        assert not torch.allclose(model(tokens), model(turned), atol=1e-4)


def test_long_convolution_is_the_causal_sum():
    inputs, filters, skip = torch.randn(2, 3, 11), torch.randn(3, 11), torch.randn(3)
    expected = torch.stack([
        sum(filters[:, back] * inputs[..., place - back] for back in range(place + 1)) + skip * inputs[..., place]
        for place in range(11)
    ], -1)  # fmt: skip
    torch.testing.assert_close(peers.long_convolution(inputs, filters, skip), expected, atol=1e-4, rtol=1e-4)


def test_hyena_looks_back_only_and_all_the_way(rng):
    model, codes = SMALL["hyena"]().eval(), codes_of(rng, windows=1)
    tokens = torch.from_numpy(model.tokens_of(codes))
    changed = tokens.clone()
    changed[0, 20] = 7 + (tokens[0, 20] - 6) % 4
    with torch.inference_mode():
        moved = (model.hidden(tokens) - model.hidden(changed)).abs().amax(2)[0]
    assert moved[:20].max() < 1e-5
    assert moved[20:].min() > 1e-5


@small_models
def test_work_is_what_torch_counts_for_one_more_window(build, rng):
    model = build().eval()
    counted = []
    for windows in (1, 3):
        tokens = torch.from_numpy(model.tokens_of(codes_of(rng, windows=windows)))
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter, torch.inference_mode():
            model(tokens)
        counted.append(counter.get_total_flops())
    work = model.matrix_work if isinstance(model, Hyena) else model.work
    assert work(tokens.shape[1]) == (counted[1] - counted[0]) / 2


def test_transforms_add_to_the_work_of_a_hyena():
    model = SMALL["hyena"]()
    assert peers.transform_work(8) == 2 * 2.5 * 8 * 3 + 6 * 5
    assert model.work(41) == model.matrix_work(41) + 2 * 16 * peers.transform_work(82)
