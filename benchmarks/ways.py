"""The ways of scanning that ``scan.py`` compares: ours, the original's, and published models'."""

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any, NamedTuple

from genolm import compute  # before torch: it sets the OpenMP wait policy

import numpy as np
import torch
from torch import nn

from genolm.classifier import SequenceClassifier, pool
from genolm.config import encoder_preset
from genolm.predict import Predictor
from genolm.readings import count_readings, frames_of
from genolm.registry import load_bundle
from genolm.scan import ScanResult, scan_genome
from genolm.scan_plan import scan_layout
from genolm.scan_work import ScanWork
from genolm.sequences import Genome, reverse_complement
from genolm.tokenizer import encode_bases
from peers import PEERS

ORIGINAL_BATCH, PEER_BATCH = 300, 32
OURS = ("stream", "exact")
TITLES = {"stream": "ours, streamed", "exact": "ours, exact", "original": "the original's way"} | {
    name: peer.title for name, peer in PEERS.items()
}


@dataclass(frozen=True)
class Job:
    """One measurement, for a process of its own: ``way`` in ``precision`` on the longest contig of a file.

    ``seconds`` is the time to fill, infinite for the whole contig; ``preset`` asks for random weights of that
    size in place of the model's own.
    """

    way: str
    precision: str
    fasta: str
    model: str
    preset: str | None
    stride: int
    strand: str
    seconds: float
    device: str | None
    threads: int


class Prefix:
    """The first bases of a file's longest contig, as a genome of one contig that is read piece by piece."""

    def __init__(self, genome: Genome, bases: int | None = None) -> None:
        self.genome, self.name = genome, max(genome.contigs, key=genome.contigs.get)
        self.length = min(bases or genome.contigs[self.name], genome.contigs[self.name])
        self.contigs, self.topology = {self.name: self.length}, {self.name: "linear"}

    def count(self, window: int, stride: int) -> int:
        """Return the windows on one strand."""
        return (self.length - window) // stride + 1

    def fetch(self, contig: str, start: int, end: int, strand: str = "+") -> str:
        """Return a stretch of the piece."""
        return self.genome.fetch(contig, start, end, strand)

    def blocks(self, job: Job, window: int, batch: int) -> Iterator[tuple[str, int]]:
        """Yield the letters of ``batch`` windows at a time, as their strand reads them, with their number."""
        count = self.count(window, job.stride)
        for sign in "+-" if job.strand == "both" else job.strand:
            for first in range(0, count, batch):
                last = min(first + batch, count)
                start, end = first * job.stride, (last - 1) * job.stride + window
                if sign == "+":
                    yield self.fetch(self.name, start, end), last - first
                else:
                    letters = self.fetch(self.name, self.length - end, self.length - start)
                    yield reverse_complement(letters), last - first


class PlainClassifier(nn.Module):
    """The classifier on torch's own LSTM modules, fp32, with the weights of ours."""

    def __init__(self, model: SequenceClassifier) -> None:
        super().__init__()
        self.embedding = nn.Embedding.from_pretrained(model.encoder.embedding.vectors().detach())
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

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return logits (batch, outputs) of tokens of one length."""
        hidden = self.embedding(tokens)
        for layer in self.layers:
            hidden, _ = layer(hidden)
        lengths = torch.full((len(tokens),), tokens.shape[1], device=tokens.device)
        return self.head(pool(hidden, lengths, slots=self.slots))


def bundle_of(job: Job) -> Any:
    """Return the classifier to scan with; with a preset one of that size in random weights."""
    bundle = load_bundle(job.model)
    if not job.preset:
        return bundle
    encoder = encoder_preset(job.preset)
    config = replace(bundle.config, name=f"random-{job.preset}", encoder=encoder, members=1)
    torch.manual_seed(1)
    model = SequenceClassifier(config.encoder, config.head, config.vocab_size).eval()
    return SimpleNamespace(config=config, build=lambda: copy.deepcopy(model))


class Way(NamedTuple):
    """How to scan a piece: ``scan`` returns the windows done, each of which needs ``work`` operations.

    Windows of a strand come in multiples of ``unit``.
    """

    scan: Callable[[Prefix], int]
    work: float
    window: int
    precision: str
    unit: int


def scores_of(result: ScanResult) -> np.ndarray:
    """Return the scores of a scan, strand after strand as each reads."""
    return np.concatenate([t.values if t.strand == "+" else t.values[::-1] for t in result.tracks])


def our_scan(job: Job) -> tuple[Predictor, Callable[[Prefix], ScanResult]]:
    """Return a predictor and its scan in the job's mode."""
    predictor = Predictor(
        bundle_of(job), device=job.device, precision=job.precision, threads=job.threads
    )
    return predictor, lambda piece: scan_genome(
        piece, predictor, stride=job.stride, strands=job.strand, mode=job.way
    )


def ours(job: Job) -> Way:
    """Return our scan as a way."""
    predictor, scan = our_scan(job)
    layout = scan_layout(predictor, job.stride)
    part = ScanWork(None, predictor, layout, 0, job.way).windows_per_part
    work = stream_work(predictor, job.stride) if job.way == "stream" else window_work(predictor)
    unit = part * job.threads // (2 if job.strand == "both" else 1)
    return Way(lambda piece: scan(piece).windows, work, layout.window, predictor.precision, unit)


def original_scan(job: Job) -> tuple[Predictor, Callable[[Prefix], np.ndarray]]:
    """Return a predictor and the original's scan, which encodes and runs each window on its own in fp32."""
    bundle = bundle_of(job)
    predictor = Predictor(bundle, device=job.device, precision="fp32", threads=job.threads)
    model, tokenizer, length = bundle.build(), predictor.tokenizer, predictor.config.window.length
    members = [PlainClassifier(member) for member in getattr(model, "members", [model])]
    plain = nn.ModuleList(members).to(predictor.device).eval()

    def logits(texts: list[str]) -> torch.Tensor:
        rows = [torch.tensor([tokenizer.sep_id, *tokenizer.encode(text).tolist()]) for text in texts]
        tokens = torch.stack(rows).to(predictor.device)
        return torch.stack([member(tokens) for member in plain]).mean(0).cpu()

    @torch.inference_mode()
    def scan(piece: Prefix) -> np.ndarray:
        found = []
        for letters, windows in piece.blocks(job, length, ORIGINAL_BATCH):
            texts = [letters[first * job.stride :][:length] for first in range(windows)]
            strands = [texts, [reverse_complement(text) for text in texts]][: 1 + predictor.config.mirrored]
            frames = range(frames_of(predictor.config))
            answers = [logits([text[first:] for text in strand]) for strand in strands for first in frames]
            found.append(torch.stack(answers).mean(0).numpy())
        return predictor.score_of(predictor.probabilities(np.concatenate(found)))

    return predictor, scan


def original(job: Job) -> Way:
    """Return the original's scan as a way."""
    predictor, scan = original_scan(job)
    length = predictor.config.window.length
    return Way(lambda piece: len(scan(piece)), window_work(predictor), length, "fp32", ORIGINAL_BATCH)


def peer(job: Job) -> Way:
    """Return a published model's way: every window through it, several side by side."""
    dtype = torch.bfloat16 if job.precision == "bf16" else torch.float32
    torch.manual_seed(1)
    model = PEERS[job.way].build().to(compute.pick_device(job.device), dtype).eval()
    length = bundle_of(job).config.window.length
    tokens = model.tokens_of(np.zeros((1, length), dtype=np.uint8)).shape[1]

    @torch.inference_mode()
    def scan(piece: Prefix) -> int:
        done = 0
        for letters, _ in piece.blocks(job, length, PEER_BATCH):
            codes = np.lib.stride_tricks.sliding_window_view(encode_bases(letters), length)[:: job.stride]
            block = torch.from_numpy(model.tokens_of(codes)).to(model.head.weight.device)
            done += len(model(block).float().softmax(1).cpu())
        return done

    return Way(scan, model.work(tokens), length, job.precision, PEER_BATCH)


def way_of(job: Job) -> Way:
    """Return a job's way, ready to scan."""
    if job.way in PEERS:
        return peer(job)
    return original(job) if job.way == "original" else ours(job)


def readings(predictor: Predictor) -> int:
    """Return how often a model reads each token."""
    return predictor.config.members * count_readings(predictor.config)


def token_work(predictor: Predictor) -> float:
    """Return the operations of the LSTMs for one token; the first one's input product is a row of a table."""
    widths = predictor.config.encoder.widths()
    weights = sum(4 * units * (inputs + units) for inputs, units in widths) - 4 * math.prod(widths[0])
    return 2 * weights * readings(predictor)


def head_work(predictor: Predictor) -> float:
    """Return the operations of the head for one window."""
    head = predictor.head
    weights = head.hidden * ((3 + head.slots) * predictor.config.encoder.emb + len(head.classes))
    return 2 * weights * readings(predictor)


def window_work(predictor: Predictor) -> float:
    """Return the operations for one window that is read by itself."""
    tokens = predictor.tokenizer.count(predictor.config.window.length) + 1
    return tokens * token_work(predictor) + head_work(predictor)


def stream_work(predictor: Predictor, stride: int) -> float:
    """Return the operations for one more window of a stream: the new tokens of all frames with windows."""
    tokens = stride / math.gcd(stride, predictor.tokenizer.stride)
    return tokens * token_work(predictor) + head_work(predictor)
