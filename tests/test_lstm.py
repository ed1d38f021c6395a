"""The fast layer against torch's LSTM and against a recurrence written out in NumPy."""

import numpy as np
import pytest

import genolm.compute as compute
import torch
from torch import nn

from genolm import lstm
from genolm.lstm import run_lstm

fast_bf16 = pytest.mark.skipif(not compute.has_fast_bf16(), reason="this CPU has no fast bf16")


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def plain_recurrence(inputs, hidden, cell, weights):
    ih, hh, bias = (item.double().numpy() for item in weights)
    found = []
    for step in inputs.double().numpy():
        i, f, g, o = np.split(step @ ih.T + hidden @ hh.T + bias, 4, axis=1)
        cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(g)
        hidden = sigmoid(o) * np.tanh(cell)
        found.append(hidden)
    return np.stack(found), hidden, cell


def problem(batch=48, steps=9, width=24, units=32):
    torch.manual_seed(0)
    weights = [torch.randn(4 * units, width) * 0.3, torch.randn(4 * units, units) * 0.2, torch.randn(4 * units) * 0.2]
    state = (torch.randn(batch, units) * 0.3, torch.randn(batch, units) * 0.3)
    return torch.randn(steps, batch, width), state, tuple(item.requires_grad_() for item in weights)


def test_plain_path_equals_numpy():
    inputs, state, weights = problem()
    with torch.no_grad():
        outputs, (hidden, cell) = run_lstm(inputs, state, weights)
        wanted = plain_recurrence(inputs, state[0].double().numpy(), state[1].double().numpy(), weights)
    for found, expected in zip((outputs, hidden, cell), wanted, strict=True):
        assert np.allclose(found.detach().numpy(), expected, atol=2e-6)


def gradients(inputs, state, weights, fused):
    inputs = inputs.clone().requires_grad_()
    for item in weights:
        item.grad = None
    with torch.autocast("cpu", torch.bfloat16, enabled=fused):
        outputs, (hidden, cell) = run_lstm(inputs, state, weights)
    weight = torch.linspace(-1, 1, outputs.numel()).view(outputs.shape)
    ((outputs.float() * weight).sum() + hidden.float().sum() + 0.5 * cell.float().sum()).backward()
    return [outputs.detach().float(), inputs.grad, *(item.grad.clone() for item in weights)]


@fast_bf16
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("batch", [5, 48])
def test_fused_path_equals_autograd_up_to_rounding(threads, batch):
    inputs, state, weights = problem(batch)
    with compute.torch_threads(threads):
        fused = gradients(inputs, state, weights, True)
        plain = gradients(inputs, state, weights, False)
    for found, expected in zip(fused, plain, strict=True):
        assert (found - expected).norm() < 0.012 * expected.norm()


@fast_bf16
def test_gradient_reaches_the_first_state():
    inputs, state, weights = problem()
    first = tuple(item.clone().requires_grad_() for item in state)
    with torch.autocast("cpu", torch.bfloat16):
        outputs, _ = run_lstm(inputs, first, weights)
    outputs.float().sum().backward()
    plain = tuple(item.clone().requires_grad_() for item in state)
    run_lstm(inputs, plain, weights)[0].sum().backward()
    for found, expected in zip(first, plain, strict=True):
        assert (found.grad - expected.grad).norm() < 0.02 * expected.grad.norm()


@fast_bf16
def test_fused_path_is_taken_only_while_training_in_bf16(monkeypatch):
    taken = []
    monkeypatch.setattr(lstm._FusedLSTM, "apply", lambda *a: taken.append(1) or (a[0], a[1], a[2]))
    inputs, state, weights = problem()
    run_lstm(inputs, state, weights)
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        run_lstm(inputs, state, weights)
    assert not taken
    with torch.autocast("cpu", torch.bfloat16):
        run_lstm(inputs, state, weights)
    assert taken


def test_plain_path_equals_nn_lstm():
    inputs, state, weights = problem()
    layer = nn.LSTM(24, 32)
    with torch.no_grad():
        layer.weight_ih_l0.copy_(weights[0])
        layer.weight_hh_l0.copy_(weights[1])
        layer.bias_ih_l0.copy_(weights[2])
        layer.bias_hh_l0.zero_()
        wanted, _ = layer(inputs, tuple(item[None] for item in state))
        found, _ = run_lstm(inputs, state, weights)
    assert torch.allclose(found, wanted, atol=1e-6)
