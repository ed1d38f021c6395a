"""Training speed: the fused layer against torch's LSTM, in one run on one machine.

    python benchmarks/training.py --preset small --rows 64 --steps 6

Each way trains the same language model on the same random tokens, forward, backward and optimizer. Ways take
turns, so that a noisy machine hurts all alike; the median of the rounds is told. The share of the machine's
bf16 matrix speed counts 6 operations per weight and token.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from unittest.mock import patch

import genolm.compute as compute
import torch
from torch.nn import functional

from genolm import lstm
from genolm.config import PRESETS, Dropouts, encoder_preset
from genolm.model import LanguageModel

VOCABULARY = 67
BPTT = 70


def matrix_speed() -> float:
    """Return the bf16 matrix speed of this machine, in operations per second."""
    left, right = (torch.randn(2048, 2048).bfloat16() for _ in range(2))
    best = float("inf")
    for _ in range(8):
        began = time.perf_counter()
        torch.mm(left, right)
        best = min(best, time.perf_counter() - began)
    return 2 * 2048**3 / best


def make_step(preset: str, rows: int) -> Callable[[bool], None]:
    """Return a function that does one training step, in bf16 if asked."""
    model = LanguageModel(encoder_preset(preset), VOCABULARY, Dropouts()).train()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, fused=True)
    tokens = torch.randint(3, VOCABULARY, (rows, BPTT + 1))

    def step(mixed: bool) -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            logits = model(tokens[:, :-1]).logits
        loss = functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.4)
        optimizer.step()

    return step


def seconds_per_step(step: Callable[[bool], None], mixed: bool, fused: bool, steps: int) -> float:
    """Return the mean time of a step by one way."""
    with patch.object(lstm, "_use_fused", (lstm._use_fused if fused else lambda _: False)):
        step(mixed)
        began = time.perf_counter()
        for _ in range(steps):
            step(mixed)
    return (time.perf_counter() - began) / steps


def main() -> None:
    """Measure and print a table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", choices=list(PRESETS), default="small")
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    ways = {"nn.LSTM fp32": (False, False), "nn.LSTM bf16": (True, False), "fused bf16": (True, True)}
    times: dict[str, list[float]] = {name: [] for name in ways}
    with compute.torch_threads():
        step, limit = make_step(options.preset, options.rows), matrix_speed()
        for _ in range(options.rounds):
            for name, (mixed, fused) in ways.items():
                times[name].append(seconds_per_step(step, mixed, fused, options.steps))
    weights = sum(p.numel() for p in LanguageModel(encoder_preset(options.preset), VOCABULARY).parameters())
    speeds = {name: options.rows * BPTT / statistics.median(found) for name, found in times.items()}
    plain = speeds["nn.LSTM fp32"]
    table = {
        name: {"tokens_per_second": round(speed), "ratio": round(speed / plain, 2),
               "share_of_bf16_matrix_speed": round(speed * 6 * weights / limit, 2)}
        for name, speed in speeds.items()
    }  # fmt: skip
    result = {"preset": options.preset, "threads": compute.thread_budget(), "gflops": round(limit / 1e9), "ways": table}
    if options.json:
        print(json.dumps(result))
        return
    print(f"{options.preset}, {result['threads']} threads, bf16 matrix speed {result['gflops']} GFLOP/s")
    for name, row in table.items():
        print(f"{name:14} {row['tokens_per_second']:>8,} tokens/s  {row['ratio']:.2f}x  "
              f"{row['share_of_bf16_matrix_speed']:.0%} of the matrix speed")


if __name__ == "__main__":
    main()
