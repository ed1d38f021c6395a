"""Streamed scans: what one text gives its windows, lanes, frames, gaps, origins, threads, number types."""

import numpy as np
import pytest

from genolm import compute  # noqa: F401
import torch

from genolm import streaming
from genolm.classifier import pool
from genolm.config import Calibration, EncoderConfig, HeadConfig, TokenizerConfig, Window
from genolm.engines import LocalEngine
from genolm.errors import SettingsError
from genolm.pooling import WindowPooling, sliding_max, slot_bounds
from genolm.predict import Predictor
from genolm.scan import scan_genome
from genolm.stream_encoder import FusedEncoder, TorchEncoder
from genolm.stream_pooling import pool_windows
from genolm.tokenizer import encode_bases, reverse_complement_codes
from tests.toys import loud_model, toy_config

RNG = np.random.default_rng(3)
ANCHOR, WIDTH = 20, 31


def dna(length, rng=RNG):
    return "".join(rng.choice(list("ACGT"), length))


class Genome:
    """Contigs in memory, of which some are circular."""

    def __init__(self, circular=(), **sequences):
        self.sequences = sequences
        self.contigs = {name: len(sequence) for name, sequence in sequences.items()}
        self.topology = dict.fromkeys(circular, "circular")

    def fetch(self, contig, start, end):
        letters = self.sequences[contig]
        if contig in self.topology:
            assert -len(letters) <= start < end <= 2 * len(letters)
            return "".join(letters[place % len(letters)] for place in range(start, end))
        assert 0 <= start < end <= len(letters)
        return letters[start:end]


def toy(*, stride=2, members=1, mirrored=False, slots=3):
    config = toy_config(
        tokenizer=TokenizerConfig(3, stride),
        encoder=EncoderConfig(emb=8, hid=16),
        head=HeadConfig(slots=slots),
        window=Window(WIDTH, ANCHOR, "TSS"),
        calibration=Calibration(temperature=1.5),
        members=members,
        mirrored=mirrored,
        streamed=True,
    )
    return config, loud_model(config, seed=7)


def predictor(precision="fp32", **kind):
    return Predictor.from_model(*toy(**kind), device="cpu", precision=precision)


def by_strand(result):
    return {(track.contig, track.strand): track for track in result.tracks}


def one_text_logits(ours, codes, starts):
    """Return the logits of windows of a text that is read from its beginning, each frame by itself, with ``pool``."""
    tokenizer, model = ours.tokenizer, ours.members()[0]
    width = tokenizer.count(WIDTH) + 1
    found = []
    for start in starts:
        tokens = np.r_[tokenizer.sep_id, tokenizer.encode(codes[start % tokenizer.stride :])]
        with torch.inference_mode():
            hidden = model.encoder(torch.from_numpy(tokens.astype(np.int64))[None]).hidden
            first = start // tokenizer.stride
            features = pool(hidden[:, first : first + width], torch.tensor([width]), slots=model.slots)
            found.append(model.head(features)[0].numpy())
    return np.array(found)


@pytest.mark.parametrize(("stride", "token_stride", "slots"), [(4, 2, 3), (5, 2, 0), (1, 1, 40), (7, 3, 4)])
def test_a_window_gets_what_the_text_before_it_makes_of_it(stride, token_stride, slots, monkeypatch):
    monkeypatch.setattr(streaming, "_LEAST_LANE", 10_000)
    monkeypatch.setattr(streaming, "_PIECE", 11)
    sequence, ours = dna(150), predictor(stride=token_stride, slots=slots)
    tracks = by_strand(scan_genome(Genome(chr=sequence), ours, stride=stride))
    for strand in "+-":
        codes = encode_bases(sequence)
        codes = codes if strand == "+" else reverse_complement_codes(codes)
        starts = list(range(0, 150 - WIDTH + 1, stride))
        expected = ours.probabilities(one_text_logits(ours, codes, starts))[:, 1]
        values = tracks["chr", strand].values
        np.testing.assert_allclose(values if strand == "+" else values[::-1], expected, atol=1e-6, rtol=1e-2)
        assert len(np.unique(values)) == len(values)


def test_a_window_with_nothing_before_it_gets_the_exact_score():
    sequence, ours = dna(WIDTH + 40), predictor()
    stream, exact = (scan_genome(Genome(chr=sequence), ours, stride=4, mode=mode) for mode in ("stream", "exact"))
    for strand, first in (("+", 0), ("-", -1)):
        one, other = (by_strand(found)["chr", strand].values for found in (stream, exact))
        assert one[first] == pytest.approx(other[first], abs=1e-5)
        assert np.abs(one - other).max() > 1e-3
    assert (stream.settings["mode"], exact.settings["mode"]) == ("stream", "exact")


def test_lanes_that_read_all_that_lies_before_them_are_one_text(monkeypatch):
    genome, ours = Genome(a=dna(700), b=dna(90)), predictor()
    monkeypatch.setattr(streaming, "_LEAST_LANE", 10_000)
    whole = scan_genome(genome, ours, stride=3)
    monkeypatch.setattr(streaming, "_LEAST_LANE", 20)
    short = scan_genome(genome, ours, stride=3)
    monkeypatch.setattr(streaming, "CONTEXT", 10_000)
    monkeypatch.setattr("genolm.scan_work.CONTEXT", 10_000)
    long = scan_genome(genome, ours, stride=3)
    for one, few, other in zip(whole.tracks, short.tracks, long.tracks, strict=True):
        np.testing.assert_allclose(one.values, other.values, atol=2e-5)
        assert len(one) == len(few)
    assert max(np.abs(one.values - few.values).max() for one, few in zip(whole.tracks, short.tracks)) > 1e-7


@pytest.mark.parametrize("stride", [10, 7])
def test_a_circular_contig_has_no_ends(stride):
    length, shift = 210, 70
    sequence, ours = dna(length), predictor()
    turned = sequence[shift:] + sequence[:shift]
    one, other = (
        by_strand(scan_genome(Genome(["c"], c=text), ours, stride=stride, mode="exact")) for text in (sequence, turned)
    )
    for strand in "+-":
        here, there = one["c", strand], other["c", strand]
        assert (here.start, len(here), here.end) == (0, length // stride, length)
        np.testing.assert_allclose(np.roll(here.values, -shift // stride), there.values, atol=1e-5)
        site = int(here.sites[0])
        around = sequence * 3
        start = length + site - ANCHOR if strand == "+" else length + site - (WIDTH - 1 - ANCHOR)
        window = around[start : start + WIDTH]
        if strand == "-":
            window = window[::-1].translate(str.maketrans("ACGT", "TGCA"))
        assert here.values[0] == pytest.approx(ours.predict([window]).probabilities[0, 1], abs=1e-5)
    streamed = by_strand(scan_genome(Genome(["c"], c=sequence), ours, stride=stride))
    assert not any(np.isnan(track.values).any() for track in streamed.values())
    assert streamed["c", "-"].sites.tolist() == one["c", "-"].sites.tolist()


def test_a_circular_contig_of_a_length_that_is_no_multiple_of_the_stride():
    ours = predictor()
    for track in scan_genome(Genome(["c"], c=dna(104)), ours, stride=10).tracks:
        assert (len(track), track.start, track.end) == ((10, 0, 100) if track.strand == "+" else (10, 4, 104))


def test_gaps_are_not_read_and_windows_beside_them_are_scored():
    sequence = dna(100) + "N" * 2_500 + dna(100)
    ours = predictor()
    track = scan_genome(Genome(chr=sequence), ours, stride=5, strands="+").tracks[0]
    exact = scan_genome(Genome(chr=sequence), ours, stride=5, strands="+", mode="exact").tracks[0]
    np.testing.assert_array_equal(np.isnan(track.values), np.isnan(exact.values))
    assert 0.9 < np.isnan(track.values).mean() < 1


def test_every_member_and_both_readings_have_a_part():
    sequence = dna(120)
    genome = Genome(chr=sequence)
    pair = predictor(members=2)
    logits = []
    for member in pair.members():
        config, _ = toy()
        alone = Predictor.from_model(config, member, device="cpu", precision="fp32")
        chances = by_strand(scan_genome(genome, alone, stride=3))["chr", "+"].values.astype(float)
        logits.append(1.5 * np.log(chances / (1 - chances)))
    together = by_strand(scan_genome(genome, pair, stride=3))["chr", "+"].values
    np.testing.assert_allclose(together, 1 / (1 + np.exp(-np.mean(logits, 0) / 1.5)), atol=1e-4)
    # 120 - 31 is 89: every window of one strand at stride 1 is a window of the other.
    both = by_strand(scan_genome(genome, predictor(mirrored=True), stride=1))
    np.testing.assert_allclose(both["chr", "+"].values[:10], both["chr", "-"].values[:10], atol=0.2)
    one = scan_genome(genome, predictor(mirrored=True), stride=1).windows
    assert one == 2 * (120 - WIDTH + 1)


def test_scores_do_not_depend_on_the_number_of_threads(monkeypatch):
    monkeypatch.setattr("genolm.scan_work.tokens_per_part", lambda *_: 300)
    genome = Genome(["c"], c=dna(900), d=dna(400))
    for mode in ("stream", "exact"):
        one, two = (
            scan_genome(genome, predictor("auto"), stride=4, mode=mode, engine=LocalEngine(threads))
            for threads in (1, 2)
        )
        for left, right in zip(one.tracks, two.tracks, strict=True):
            np.testing.assert_array_equal(left.values, right.values)


def test_only_windows_of_the_regions_are_scored():
    genome, ours = Genome(a=dna(300), b=dna(100)), predictor()
    result = scan_genome(genome, ours, stride=4, mode="exact", regions={"a": [(100, 140), (250, 251)]})
    whole = scan_genome(genome, ours, stride=4, mode="exact")
    for part, full in zip(result.tracks, whole.tracks, strict=True):
        inside = ((part.sites >= 100) & (part.sites < 140) | (part.sites == 250)) & (part.contig == "a")
        np.testing.assert_array_equal(~np.isnan(part.values), inside)
        np.testing.assert_allclose(part.values[inside], full.values[inside], atol=1e-5)
    assert result.windows == sum(int((~np.isnan(track.values)).sum()) for track in result.tracks) == 20
    assert result.ambiguous == {}


def test_progress_counts_each_window_once():
    reports = []
    result = scan_genome(Genome(chr=dna(500)), predictor(members=2, mirrored=True), stride=3, progress=reports.append)
    assert reports[-1].done == reports[-1].total == result.windows


def test_int8_is_for_streams():
    genome = Genome(chr=dna(2_000))
    ours, plain = predictor("int8"), predictor("fp32")
    one, other = (scan_genome(genome, which, stride=5, strands="+").tracks[0].values for which in (ours, plain))
    assert np.corrcoef(one, other)[0, 1] > 0.99
    assert np.abs(one - other).max() > 0
    with pytest.raises(SettingsError, match="int8 is for streamed scans"):
        scan_genome(genome, ours, mode="exact")
    with pytest.raises(SettingsError, match="int8 is for streamed scans"):
        ours.predict([dna(40)])


def read(reader, tokens):
    states = torch.empty(*tokens.shape, toy()[1].encoder.config.emb)
    reader.read(tokens, states)
    return states


@pytest.mark.parametrize(("int8", "tolerance"), [(False, 0.02), (True, 0.06)])
def test_the_fused_encoder_reads_like_torch(int8, tolerance):
    encoder = toy()[1].encoder
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.div_(2)
    tokens = RNG.integers(3, 67, (60, 5))
    readers = [TorchEncoder(encoder).open(5), FusedEncoder(encoder, int8=int8).open(5)]
    with torch.inference_mode():
        plain, fused = (torch.cat([read(reader, tokens[:25]), read(reader, tokens[25:])]) for reader in readers)
        assert float((plain - fused).abs().max()) < tolerance
        for reader in readers:
            reader.restart(np.array([1, 3]))
        again, fused = (read(reader, tokens[:25]) for reader in readers)
    assert float((again - fused).abs().max()) < tolerance
    torch.testing.assert_close(again[:, [1, 3]], plain[:25][:, [1, 3]])
    assert not torch.allclose(again[:, 0], plain[:25][:, 0], atol=1e-3)


@pytest.mark.parametrize(("width", "slots"), [(1, 0), (7, 3), (16, 5), (5, 9)])
def test_pooled_windows_of_a_text_are_pooled_sequences(width, slots):
    hidden = torch.randn(2, 40, 3, dtype=torch.float64).float().requires_grad_()
    starts = torch.tensor([0, 3, 40 - width])
    found = WindowPooling(hidden, width=width, slots=slots).features(starts)
    lengths = torch.full((2,), width)
    expected = torch.stack([pool(hidden[:, s : s + width], lengths, slots=slots) for s in starts.tolist()], 1)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
    weights = torch.randn_like(found)
    one, other = (torch.autograd.grad((item * weights).sum(), hidden, retain_graph=True)[0] for item in (found, expected))
    torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize(("width", "slots"), [(1, 0), (7, 3), (16, 5), (5, 9), (40, 4)])
def test_windows_are_pooled_lane_by_lane_as_by_tensors(width, slots):
    hidden = torch.randn(40, 3, 4)
    starts = np.arange(0, 41 - width, 3)
    edges = slot_bounds(width, slots) if slots else np.zeros(1, dtype=np.int64)
    found = np.empty((3, len(starts), (3 + slots) * 4), dtype=np.float32)
    pool_windows(hidden.numpy(), starts, width, edges, found)
    expected = WindowPooling(hidden.transpose(0, 1), width=width, slots=slots).features(torch.from_numpy(starts))
    torch.testing.assert_close(torch.from_numpy(found), expected, atol=1e-5, rtol=1e-4)


def test_sliding_max_of_every_width():
    numbers = torch.randn(1, 20, 2)
    for width in range(1, 21):
        expected = torch.stack([numbers[:, s : s + width].amax(1) for s in range(21 - width)], 1)
        torch.testing.assert_close(sliding_max(numbers, width), expected)
