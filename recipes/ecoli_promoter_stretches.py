"""What is known of each base of E. coli K-12, for the training of a scanning model: labels, splits, what may be read.

Class 1 stands within 2 bp of a transcription start of confidence Confirmed or Strong. Nothing is said of bases
3 to 9 bp from one, within 20 bp of a weakly supported one, and of the 300 bp before a gene that starts a
transcription unit but has no known start. Everything else is class 0.

Blocks of 50 kb are training, validation or test as in ecoli_promoter_data.py. A stretch lies wholly in blocks of
its split, and a window that holds 20 bp which also occur in another split's blocks has no label in training.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
from common import AnnotatedGenome
from ecoli_promoter_sites import Masks, Settings, block_splits, positive_sites

from genolm.config import Window
from genolm.stretch_training import UNLABELLED, LabelledStrand
from genolm.tokenizer import encode_bases, kmer_codes, reverse_complement_codes

EXACT, UNSURE, UNSURE_WEAK = 2, 9, 20
SHARED = 20


class SplitStrands(NamedTuple):
    """Both strands, labelled for one split each; ``sites`` counts the starts that lie in it."""

    train: list[LabelledStrand]
    valid: list[LabelledStrand]
    test: list[LabelledStrand]
    sites: dict[str, int]


def split_strands(genome: AnnotatedGenome, tss: pd.DataFrame, window: Window, settings: Settings) -> SplitStrands:
    """Return the strands of each split; ``window`` decides which windows hold a repeat of another split."""
    masks, size = Masks(genome, tss, settings), len(genome.sequence)
    splits = np.array(block_splits(size, genome.reserved, settings))[np.arange(size) // settings.block]
    start, end = genome.reserved
    if end > start:
        splits[max(0, start - settings.reserved_margin) : end + settings.reserved_margin] = "reserved"
    codes = encode_bases(genome.sequence)
    shared = _shared(codes, splits)
    strong, weak = positive_sites(tss, masks, settings)
    found: dict[str, list[LabelledStrand]] = {"train": [], "valid": [], "test": []}
    for strand in "+-":
        labels = _labels(masks, strand, strong, weak)
        repeats = _windows_with(shared, window, strand)
        for part, strands in found.items():
            own = np.where(repeats, UNLABELLED, labels).astype(np.int8) if part == "train" else labels
            strands.append(_read(LabelledStrand(codes, own, splits == part), strand))
    places = splits[[site.position for site in strong]]
    return SplitStrands(**found, sites={part: int((places == part).sum()) for part in found})


def _read(strand: LabelledStrand, sign: str) -> LabelledStrand:
    if sign == "+":
        return strand
    turned = (np.ascontiguousarray(item[::-1]) for item in (strand.labels, strand.allowed))
    return LabelledStrand(reverse_complement_codes(strand.codes), *turned)


def _labels(masks: Masks, strand: str, strong: list, weak: list) -> np.ndarray:
    labels = np.where(masks.unmapped[strand], UNLABELLED, 0).astype(np.int8)
    for sites, reach, label in ((weak, UNSURE_WEAK, UNLABELLED), (strong, UNSURE, UNLABELLED), (strong, EXACT, 1)):
        for site in sites:
            if site.strand == strand:
                labels[max(0, site.position - reach) : site.position + reach + 1] = label
    return labels


def _shared(codes: np.ndarray, splits: np.ndarray) -> np.ndarray:
    """Return which bases of training blocks begin 20 bp that occur in another block, on either strand."""
    forward = kmer_codes(codes, SHARED)
    backward = kmer_codes(reverse_complement_codes(codes), SHARED)[::-1]
    canonical, places = np.minimum(forward, backward), splits[: len(forward)]
    others = np.unique(canonical[(places != "train") & (canonical >= 0)])
    found = np.zeros(len(codes), dtype=bool)
    found[: len(canonical)] = (places == "train") & np.isin(canonical, others)
    return found


def _windows_with(shared: np.ndarray, window: Window, strand: str) -> np.ndarray:
    """Return for each anchor whether its window, read on ``strand``, holds shared 20 bp."""
    sums = np.concatenate([[0], np.cumsum(shared)])
    before = window.anchor if strand == "+" else window.length - 1 - window.anchor
    first = np.arange(len(shared)) - before
    low, high = np.clip(first, 0, len(shared)), np.clip(first + window.length - SHARED + 1, 0, len(shared))
    return sums[high] > sums[low]
