"""Which k-mers and stride suit a language model: bits per base of each choice after as many tokens.

    python benchmarks/kmers.py genome.fa --tokens 2000000
    python benchmarks/kmers.py a.fa b.fa --tokens 10000000 --kmers 3:3 3:1 5:2 --preset small

Every choice trains a model of one preset from the same seed on the same sequences and is scored on the same
held-out ones (2 bits per base is chance). At equal tokens a larger stride has read more bases; the time each
took is told beside it, since tokens of a larger vocabulary cost more. ``saved`` is 2 minus the bits per base,
as a share of the first choice's. The longer the training, the more a choice may change: give the budget that
you mean to train with, or a tenth of it.
"""

import argparse
import json
import math
import sys
import time
from pathlib import Path

import genolm.compute as compute  # before torch: it sets the OpenMP wait policy

from genolm.config import PRESETS
from genolm.pretraining import (
    Corpus,
    PretrainSettings,
    bits_per_base,
    held_out_text,
    split_corpus,
    train_language_model,
)
from genolm.progress import Progress

CHANCE = math.log2(4)


def measure(train: Corpus, valid: Corpus, settings: PretrainSettings, held_out: int) -> dict[str, float]:
    """Return bits per base with its interval, and the time, of one choice."""
    began = time.perf_counter()

    def tell(report: Progress) -> None:
        words = f"k {settings.k}, stride {settings.stride}: {report.fraction:4.0%}"
        print(words, end="\r", file=sys.stderr, flush=True)

    show = tell if sys.stderr.isatty() else None
    model, tokenizer, history = train_language_model(train, valid, settings, progress=show)
    seconds = time.perf_counter() - began
    tokens = history.steps * settings.rows * settings.bptt
    text = held_out_text(valid.records, tokenizer, bases=held_out)
    return {
        "k": settings.k,
        "stride": settings.stride,
        "tokens": tokens,
        "mbp_read": tokens * settings.stride / 1e6,
        "seconds": seconds,
        "tokens_per_second": tokens / seconds,
        **bits_per_base(model, text, tokenizer.stride),
    }


def main() -> None:
    """Train one model for each choice and print a table, or JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("fasta", nargs="+", type=Path)
    parser.add_argument("--tokens", type=int, default=2_000_000, help="to read for each choice")
    parser.add_argument("--kmers", nargs="+", default=["3:3", "3:1", "4:2", "5:2", "6:3"], metavar="K:STRIDE")
    parser.add_argument("--preset", choices=list(PRESETS), default="small")
    parser.add_argument("--held-out", type=int, default=300_000, metavar="BP", help="to score on")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    train, valid = split_corpus(options.fasta)
    rows = []
    for pair in options.kmers:
        k, stride = map(int, pair.split(":"))
        settings = PretrainSettings(
            preset=options.preset, k=k, stride=stride, tokens=options.tokens, seed=options.seed, validations=2
        )
        rows.append(measure(train, valid, settings, options.held_out))
        first, own = (CHANCE - row["value"] for row in (rows[0], rows[-1]))
        # A model that is no better than chance has saved nothing that others could be measured by.
        rows[-1]["saved"] = own / first if first > 0 else float("nan")
        rows[-1]["time"] = rows[-1]["seconds"] / rows[0]["seconds"]
    if options.json:
        print(json.dumps(rows).replace("NaN", "null"))
        return
    print(f"preset {options.preset}, {options.tokens:,} tokens each, {compute.device_name()}")
    header = f"{'k':>2} {'stride':>6} {'Mbp read':>9} {'bits per base':>22} {'saved':>7}"
    print(f"{header} {'seconds':>8} {'time':>6}")
    for row in rows:
        bits = f"{row['value']:.3f} ({row['low']:.3f}-{row['high']:.3f})"
        print(
            f"{row['k']:>2} {row['stride']:>6} {row['mbp_read']:>9.1f} {bits:>22} {row['saved']:>6.2f}x "
            f"{row['seconds']:>8.1f} {row['time']:>5.2f}x"
        )


if __name__ == "__main__":
    main()
