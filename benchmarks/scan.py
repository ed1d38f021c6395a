"""Speed and memory of the scan beside the original's way, in one run on one machine.

    python benchmarks/scan.py --fasta genome.fa --model NAME --bases 200000
    python benchmarks/scan.py --fasta genome.fa --preset small        (random weights: speed only)

Ours is ``genolm.scan.scan_genome``. The original's way (Genomic-ULMFiT) sends every window on its own
through the same weights in torch's fp32 ``nn.LSTM``, 300 windows at a time; it gets the same windows of the
same strands, and the same number of threads. Both are timed after a warm-up.
"""

import argparse
import copy
import json
import platform
import resource
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from genolm import compute  # before torch: it sets the OpenMP wait policy

import numpy as np
import torch
from torch import nn

from genolm.classifier import SequenceClassifier, pool
from genolm.config import EncoderConfig, HeadConfig, TokenizerConfig, Window, encoder_preset
from genolm.predict import Predictor
from genolm.registry import BundleConfig, load_bundle
from genolm.scan import scan_genome
from genolm.sequences import open_fasta, reverse_complement

ORIGINAL_BATCH = 300


class Piece:
    """The first bases of a file's longest contig, as a genome of one contig."""

    def __init__(self, fasta: str, bases: int) -> None:
        with open_fasta(fasta) as genome:
            name = max(genome.contigs, key=genome.contigs.get)
            self.sequence = genome.fetch(name, 0, min(bases, genome.contigs[name]))
        self.contigs = {name: len(self.sequence)}

    def fetch(self, contig: str, start: int, end: int) -> str:
        """Return a stretch of the piece."""
        return self.sequence[start:end]


class PlainClassifier(nn.Module):
    """The classifier on torch's own LSTM modules, fp32, with the weights of ours."""

    def __init__(self, model: SequenceClassifier) -> None:
        super().__init__()
        self.embedding = nn.Embedding.from_pretrained(model.encoder.embedding.weight.detach())
        self.layers = nn.ModuleList(self._layer(rnn) for rnn in model.encoder.rnns)
        self.head = model.head
        self.slots = model.slots

    @staticmethod
    def _layer(rnn: nn.Module) -> nn.LSTM:
        layer = nn.LSTM(rnn.weight_ih.shape[1], rnn.width_out, batch_first=True)
        with torch.no_grad():
            layer.weight_ih_l0.copy_(rnn.weight_ih)
            layer.weight_hh_l0.copy_(rnn.weight_hh)
            layer.bias_ih_l0.copy_(rnn.bias)
            layer.bias_hh_l0.zero_()
        return layer

    def forward(self, tokens: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Return logits (batch, outputs)."""
        hidden = self.embedding(tokens)
        for layer in self.layers:
            hidden, _ = layer(hidden)
        return self.head(pool(hidden, lengths, slots=self.slots))


def random_bundle(preset: str) -> SimpleNamespace:
    """Return a bundle with random weights: 3-mers at stride 3, a window of 150 bp around a TSS."""
    config = BundleConfig(
        name=f"random-{preset}",
        kind="classifier",
        tokenizer=TokenizerConfig(3, 3),
        encoder=encoder_preset(preset),
        head=HeadConfig(),
        window=Window(150, 100, "TSS"),
    )
    torch.manual_seed(1)
    model = SequenceClassifier(config.encoder, config.head, config.vocab_size).eval()
    return SimpleNamespace(config=config, build=lambda: copy.deepcopy(model))


def peak_memory_mb() -> float:
    """Return the highest resident memory of this process so far, in MB."""
    unit = 1024**2 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, 1)


class Clock:
    """Wall and processor seconds since it was made."""

    def __init__(self) -> None:
        self._began = time.perf_counter(), time.process_time()

    def read(self) -> tuple[float, float]:
        """Return (wall, processor) seconds."""
        return time.perf_counter() - self._began[0], time.process_time() - self._began[1]


def figures(windows: int, bases: float, clock: Clock) -> dict[str, float]:
    """Return the figures of one way; processor seconds stay honest while other work shares the machine."""
    seconds, processor = clock.read()
    return {
        "windows": windows,
        "seconds": round(seconds, 3),
        "cpu_seconds": round(processor, 3),
        "windows_per_second": round(windows / seconds, 1),
        "windows_per_cpu_second": round(windows / processor, 1),
        "bases_per_second": round(bases / seconds, 1),
        "peak_rss_mb": peak_memory_mb(),
    }


def run_ours(
    piece: Piece, predictor: Predictor, stride: int, strands: str
) -> tuple[dict[str, Any], np.ndarray]:
    """Return figures and the scores of the first strand."""
    window = predictor.config.window.length
    warm = predictor.tokenizer.count(window)
    predictor.logits_of_tokens(np.full((64, warm), 5, dtype=np.int32))
    clock = Clock()
    result = scan_genome(piece, predictor, stride=stride, strands=strands)
    found = figures(result.windows, result.bases, clock)
    first = result.tracks[0]
    values = first.values if first.strand == "+" else first.values[::-1]
    return found, values


@torch.inference_mode()
def run_original(
    piece: Piece, predictor: Predictor, model: nn.Module, stride: int, strands: str, limit: int
) -> tuple[dict[str, Any], np.ndarray]:
    """Return figures and the scores of the first strand; at most ``limit`` windows of each strand."""
    length, tokenizer = predictor.config.window.length, predictor.tokenizer
    texts = {"+": piece.sequence, "-": reverse_complement(piece.sequence)}
    chosen = [texts[sign] for sign in ("+-" if strands == "both" else strands)]
    starts = range(0, len(piece.sequence) - length + 1, stride)[:limit]
    with compute.torch_threads(predictor.threads):
        model(torch.full((8, 10), 5, device=predictor.device), torch.full((8,), 10, device=predictor.device))
        clock, found = Clock(), []
        for text in chosen:
            for first in range(0, len(starts), ORIGINAL_BATCH):
                rows = [
                    torch.tensor([tokenizer.sep_id, *tokenizer.encode(text[start : start + length]).tolist()])
                    for start in starts[first : first + ORIGINAL_BATCH]
                ]
                tokens = torch.stack(rows).to(predictor.device)
                lengths = torch.full((len(tokens),), tokens.shape[1], device=predictor.device)
                found.append(model(tokens, lengths).cpu().numpy())
        report = figures(len(chosen) * len(starts), len(chosen) * len(starts) * stride, clock)
    scores = predictor.score_of(predictor.probabilities(np.concatenate(found)))
    return report, scores[: len(starts)]


def matrix_speed(predictor: Predictor, size: int = 2048) -> float:
    """Return the measured speed of a square matrix product in the scan's number type, in GFLOP/s."""
    left = torch.ones(size, size, dtype=predictor.dtype, device=predictor.device)
    best = float("inf")
    with compute.torch_threads(predictor.threads):
        for _ in range(6):
            began = time.perf_counter()
            (left @ left).sum().item()
            best = min(best, time.perf_counter() - began)
    return 2 * size**3 / best / 1e9


def work_per_token(encoder: EncoderConfig) -> int:
    """Return the floating-point operations of the LSTM stack for one token."""
    return sum(2 * 4 * units * (inputs + units) for inputs, units in encoder.widths())


def arguments() -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fasta", required=True)
    parser.add_argument("--model", help="name or folder of a classifier")
    parser.add_argument("--preset", default="small", help="size of random weights when no model is named")
    parser.add_argument("--bases", type=int, default=200_000)
    parser.add_argument("--stride", type=int, default=10)
    parser.add_argument("--strand", default="both", choices=["both", "+", "-"])
    parser.add_argument("--limit", type=int, default=6_000, help="windows per strand for the original's way")
    parser.add_argument("--device", help="cpu or cuda")
    parser.add_argument("--precision", default="auto", choices=["auto", "bf16", "fp32"])
    parser.add_argument("--threads", type=int)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    return parser.parse_args()


def main() -> None:
    """Run both ways and print the figures."""
    options = arguments()
    bundle = load_bundle(options.model) if options.model else random_bundle(options.preset)
    predictor = Predictor(bundle, device=options.device, precision=options.precision, threads=options.threads)
    piece = Piece(options.fasta, options.bases)
    ours, our_scores = run_ours(piece, predictor, options.stride, options.strand)
    plain = PlainClassifier(bundle.build()).to(predictor.device).eval()
    original, theirs = run_original(
        piece, predictor, plain, options.stride, options.strand, options.limit
    )
    difference = np.abs(our_scores[: len(theirs)] - theirs)
    tokens = predictor.tokenizer.count(predictor.config.window.length) + 1
    speed = matrix_speed(predictor)
    report = {
        "model": predictor.config.name,
        "stride": options.stride,
        "strand": options.strand,
        **predictor.facts,
        "machine": platform.processor() or platform.machine(),
        "ours": ours,
        "original": original,
        "ratio": round(ours["windows_per_second"] / original["windows_per_second"], 2),
        "ratio_by_cpu_time": round(ours["windows_per_cpu_second"] / original["windows_per_cpu_second"], 2),
        "largest_difference": round(float(np.nanmax(difference)), 5),
        "matrix_gflops": round(speed, 1),
        "share_of_matrix_speed": round(
            ours["windows_per_second"] * tokens * work_per_token(predictor.config.encoder) / speed / 1e9, 3
        ),
    }
    text = json.dumps(report, indent=2)
    print(text)
    if options.json:
        options.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
