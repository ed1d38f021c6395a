"""Speed of the tokenizer on one core, beside a dictionary look-up of every k-mer, in one run.

    python benchmarks/tokens.py
    python benchmarks/tokens.py --bases 50000000 --kmers 3:1 3:3 5:2

Ours is ``genolm.tokenizer.KmerTokenizer`` on letters. The plain way cuts each k-mer out of the text and looks
it up in a dictionary, as Genomic-ULMFiT's tokenizer and vocabulary do; it gets a shorter text, and its tokens
are compared with ours. Both run in one thread, pinned to one core where the system allows it; the best of some
rounds counts.
"""

import argparse
import itertools
import json
import os
import time
from collections.abc import Callable

import numpy as np

from genolm.config import TokenizerConfig
from genolm.tokenizer import SPECIAL_COUNT, KmerTokenizer

GOAL_MBP = 50


def seconds(work: Callable[[], object], rounds: int) -> float:
    """Return the shortest time of some rounds."""
    best = float("inf")
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - began)
    return best


def plain_tokens(text: str, vocabulary: dict[str, int], k: int, stride: int) -> list[int]:
    """Return the tokens of a text by one look-up per k-mer."""
    return [vocabulary[text[start : start + k]] for start in range(0, len(text) - k + 1, stride)]


def measure(text: str, config: TokenizerConfig, *, plain_bases: int, rounds: int) -> dict[str, float | str]:
    """Return the speed of both ways in Mbp/s and their ratio."""
    tokenizer, short = KmerTokenizer(config), text[:plain_bases]
    words = ("".join(letters) for letters in itertools.product("ACGT", repeat=config.k))
    vocabulary = {word: index for index, word in enumerate(words, SPECIAL_COUNT)}
    plain = plain_tokens(short, vocabulary, config.k, config.stride)
    if not np.array_equal(tokenizer.encode(short), plain):
        raise SystemExit(f"The two ways differ at k {config.k}, stride {config.stride}.")
    ours = len(text) / seconds(lambda: tokenizer.encode(text), rounds) / 1e6
    looked_up = seconds(lambda: plain_tokens(short, vocabulary, config.k, config.stride), rounds)
    theirs = len(short) / looked_up / 1e6
    return {
        "k": config.k,
        "stride": config.stride,
        "ours_mbp_per_second": round(ours, 1),
        "plain_mbp_per_second": round(theirs, 2),
        "ratio": round(ours / theirs, 1),
    }


def use_one_core() -> None:
    """Keep this process on one of the cores that it may use, where the system can."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def main() -> None:
    """Measure and print a table, or JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bases", type=int, default=20_000_000)
    parser.add_argument("--plain-bases", type=int, default=1_000_000, help="length of the plain way's text")
    parser.add_argument("--kmers", nargs="+", default=["3:3", "3:1", "5:2", "6:3"], metavar="K:STRIDE")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    use_one_core()
    letters = np.frombuffer(b"ACGT", dtype=np.uint8)
    text = letters[np.random.default_rng(1).integers(4, size=options.bases)].tobytes().decode()
    configs = [TokenizerConfig(*map(int, pair.split(":"))) for pair in options.kmers]
    rows = [
        measure(text, config, plain_bases=options.plain_bases, rounds=options.rounds) for config in configs
    ]
    if options.json:
        print(json.dumps(rows))
        return
    print(f"{options.bases / 1e6:g} Mbp, one core; the goal is {GOAL_MBP} Mbp/s")
    print(f"{'k':>2} {'stride':>6} {'ours Mbp/s':>11} {'plain Mbp/s':>12} {'ratio':>7}")
    for row in rows:
        print(
            f"{row['k']:>2} {row['stride']:>6} {row['ours_mbp_per_second']:>11} "
            f"{row['plain_mbp_per_second']:>12} {row['ratio']:>6}x"
        )


if __name__ == "__main__":
    main()
