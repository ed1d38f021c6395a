"""The scan: the right window at the right place, both strands, nothing across contigs, nothing dropped."""

import numpy as np
import pytest

import genolm.scan_work
from genolm.config import Calibration, HeadConfig, TokenizerConfig, Window
from genolm.errors import Cancelled, RegionError, SequenceError, SettingsError
from genolm.predict import Predictor
from genolm.scan import scan_genome
from genolm.scan_plan import scan_layout, scan_windows
from genolm.scan_work import ambiguous_share, window_tokens
from genolm.tokenizer import KmerTokenizer
from tests.toys import loud_model, toy_config

RNG = np.random.default_rng(11)
PAIR = {"A": "T", "C": "G", "G": "C", "T": "A", "N": "N"}


def dna(length: int) -> str:
    return "".join(RNG.choice(list("ACGT"), length))


def turned(sequence: str) -> str:
    return "".join(PAIR[letter] for letter in reversed(sequence))


class Genome:
    """Contigs in memory."""

    def __init__(self, **sequences: str) -> None:
        self.sequences = sequences
        self.longest_fetch = 0

    @property
    def contigs(self) -> dict[str, int]:
        return {name: len(sequence) for name, sequence in self.sequences.items()}

    def fetch(self, contig: str, start: int, end: int) -> str:
        assert 0 <= start < end <= len(self.sequences[contig])
        self.longest_fetch = max(self.longest_fetch, end - start)
        return self.sequences[contig][start:end]


def predictor(window: Window | None = Window(30, 20, "TSS"), head: HeadConfig | None = None) -> Predictor:
    config = toy_config(window=window, head=head or HeadConfig(), calibration=Calibration(temperature=1.5))
    return Predictor.from_model(config, loud_model(config, seed=5), device="cpu", precision="fp32")


def by_strand(result):
    return {(track.contig, track.strand): track for track in result.tracks}


@pytest.mark.parametrize(("stride", "anchor"), [(1, 20), (7, 20), (10, 0), (10, 29), (45, 20), (10, None)])
def test_each_value_is_the_probability_of_its_window_and_stands_at_its_anchor(stride, anchor):
    sequence = dna(203)
    ours = predictor(Window(30, anchor, "TSS" if anchor else ""))
    tracks = by_strand(scan_genome(Genome(chr=sequence), ours, stride=stride))
    place = 15 if anchor is None else anchor
    for strand in "+-":
        track = tracks["chr", strand]
        text = sequence if strand == "+" else turned(sequence)
        starts = list(range(0, 203 - 30 + 1, stride))
        expected = ours.predict([text[start : start + 30] for start in starts]).probabilities[:, 1]
        sites = np.array([start + place if strand == "+" else 202 - (start + place) for start in starts])
        order = np.argsort(sites)
        np.testing.assert_array_equal(track.sites, sites[order])
        np.testing.assert_allclose(track.values, expected[order], atol=1e-5)
        assert track.start >= 0
        assert track.end <= 203
    assert np.ptp(tracks["chr", "+"].values) > 1e-3


def test_minus_strand_is_the_mirrored_scan_of_the_reverse_complement():
    sequence = dna(157)
    ours = predictor()
    minus = scan_genome(Genome(chr=sequence), ours, stride=4, strands="-").tracks[0]
    plus = scan_genome(Genome(chr=turned(sequence)), ours, stride=4, strands="+").tracks[0]
    np.testing.assert_array_equal(minus.values, plus.values[::-1])
    np.testing.assert_array_equal(minus.sites, 156 - plus.sites[::-1])


def test_blocks_do_not_show_in_the_result(monkeypatch):
    genome = Genome(chr=dna(900))
    whole = by_strand(scan_genome(genome, predictor(), stride=3))
    monkeypatch.setattr(genolm.scan_work, "tokens_per_part", lambda *_: 150)
    genome.longest_fetch = 0
    pieces = by_strand(scan_genome(genome, predictor(), stride=3, batch_tokens=64))
    assert genome.longest_fetch < 100
    for key, track in whole.items():
        assert track.start == pieces[key].start
        np.testing.assert_allclose(track.values, pieces[key].values, atol=1e-5)


def test_contigs_are_scanned_apart_and_short_ones_are_reported():
    left, right = dna(64), dna(71)
    ours = predictor()
    result = scan_genome(Genome(a=left, tiny="ACGT", b=right), ours, stride=1, strands="+")
    tracks = by_strand(result)
    assert {name: len(tracks[name, "+"]) for name in "ab"} == {"a": 35, "b": 42}
    alone = scan_genome(Genome(b=right), ours, stride=1, strands="+").tracks[0]
    np.testing.assert_allclose(tracks["b", "+"].values, alone.values, atol=1e-5)
    assert [(item.name, item.length) for item in result.skipped] == [("tiny", 4)]
    assert "30 bp" in result.skipped[0].reason
    assert result.summary()["contigs_skipped"][0]["name"] == "tiny"
    assert (result.windows, result.bases) == (77, 135)


def test_ambiguous_windows_are_gaps_and_counted():
    sequence = dna(40) + "N" * 4 + dna(60)
    ours = predictor()
    result = scan_genome(Genome(chr=sequence), ours, stride=1)
    values = by_strand(result)["chr", "+"].values
    unknown = np.array([sequence[start : start + 30].count("N") for start in range(len(values))])
    np.testing.assert_array_equal(np.isnan(values), unknown > 3)
    assert result.ambiguous == {"chr": 2 * int((unknown > 3).sum())}
    three = int(np.flatnonzero(unknown == 3)[0])
    expected = ours.predict([sequence[three : three + 30]]).probabilities[0, 1]
    assert values[three] == pytest.approx(expected, abs=1e-5)
    empty = scan_genome(Genome(chr="N" * 50), ours, stride=5, strands="+")
    assert np.isnan(empty.tracks[0].values).all()


def test_probabilities_are_kept_not_cut_at_a_half():
    values = scan_genome(Genome(chr=dna(400)), predictor(), stride=1).tracks[0].values
    assert ((values > 0) & (values < 1)).all()
    assert len(np.unique(values)) > 300


def test_window_tokens_equal_the_tokens_of_each_window():
    codes = RNG.integers(0, 5, 200, dtype=np.uint8)
    for k, step in ((3, 3), (3, 1), (5, 2)):
        tokenizer = KmerTokenizer(TokenizerConfig(k, step))
        tokens = window_tokens(codes, tokenizer, 31, 7)
        expected = [tokenizer.encode(codes[start : start + 31]) for start in range(0, 170, 7)]
        np.testing.assert_array_equal(tokens, expected)
    assert ambiguous_share(np.array([4, 0, 4, 4, 1], dtype=np.uint8), 2, 1).tolist() == [0.5, 0.5, 1, 0.5]


def test_one_class_of_several_is_named():
    ours = predictor(head=HeadConfig("multiclass", ("x", "y", "z")))
    genome = Genome(chr=dna(60))
    with pytest.raises(SettingsError, match="No class was named.*x, y, z"):
        scan_genome(genome, ours)
    result = scan_genome(genome, ours, stride=10, strands="+", class_name="z")
    expected = ours.predict([genome.sequences["chr"][:30]]).probabilities[0, 2]
    assert result.tracks[0].values[0] == pytest.approx(expected, abs=1e-5)
    assert result.settings["class"] == "z"


def test_wrong_settings_are_refused_with_a_sentence():
    genome, ours = Genome(chr=dna(60)), predictor()
    with pytest.raises(SettingsError, match="not trained on windows"):
        scan_genome(genome, predictor(window=None))
    with pytest.raises(SettingsError, match="stride is 0"):
        scan_genome(genome, ours, stride=0)
    with pytest.raises(SettingsError, match="both, \\+ or -"):
        scan_genome(genome, ours, strands="plus")
    with pytest.raises(RegionError, match="'chrX'; at hand: chr"):
        scan_genome(genome, ours, contigs=["chrX"])
    with pytest.raises(SequenceError, match="the longest of 1 has 9 bp"):
        scan_genome(Genome(chr=dna(9)), ours)
    for name, pair in (("chrX", (0, 30)), ("chr", (50, 61)), ("chr", (30, 30)), ("chr", (-1, 20))):
        with pytest.raises(RegionError, match="'chrX'; at hand: chr|is none of chr, which has 60 bases"):
            scan_genome(genome, ours, regions={name: [pair]})


def test_regions_count_once_and_a_stride_may_be_of_numpy():
    genome = Genome(chr=dna(300))
    apart = scan_genome(genome, predictor(), stride=np.int64(5), regions={"chr": [(200, 260), (100, 180), (150, 210)]})
    joined = scan_genome(genome, predictor(), stride=5, regions={"chr": [(100, 260)]})
    assert apart.bases == joined.bases == 320 and type(apart.settings["stride"]) is int
    for one, other in zip(apart.tracks, joined.tracks, strict=True):
        np.testing.assert_array_equal(one.values, other.values)


def test_cost_progress_and_cancel():
    genome, ours = Genome(a=dna(100), b=dna(55)), predictor()
    seen = []
    result = scan_genome(genome, ours, stride=5, batch_tokens=40, progress=seen.append)
    cost = scan_windows(genome.contigs, scan_layout(ours, 5))
    assert cost == 2 * (15 + 6) == result.windows == seen[-1].done == seen[-1].total
    assert seen[-1].stage == "scanning b, minus strand"

    assert scan_windows(genome.contigs, scan_layout(ours, 5), topology={"a": "circular"}) == 2 * (20 + 6)
    regions = {"a": [(20, 60)], "b": [(0, 3)]}
    part = scan_genome(genome, ours, stride=5, regions=regions)
    assert part.windows == scan_windows(genome.contigs, scan_layout(ours, 5), regions=regions) == 2 * 8
    assert (result.bases, part.bases) == (2 * 155, 2 * 43)

    def stop(report):
        raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        scan_genome(genome, ours, progress=stop)
