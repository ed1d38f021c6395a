"""Figures of a scan: the numbers in them, counted by hand."""

import html
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from genolm import report_figures
from genolm.figure_parts import TOOLS
from genolm.table_facts import ClassFacts, Histogram
from genolm.tracks import Track
from pages.shared import curves, inputs, scan_charts, scan_maps, table_charts

CALLS = pd.DataFrame(
    {"contig": ["c", "c", "c", "d"], "strand": ["+", "+", "-", "+"], "summit": [5, 95, 50, 5], "score": 0.9}
)


def track(values, strand="+", step=10):
    return Track("c", strand, 0, step, step, np.array(values, dtype=np.float32))


def test_a_ring_has_the_highest_score_and_the_calls_of_each_piece():
    ring = scan_maps.ring_of(
        track([0.1, 0.3, np.nan, np.nan, 0.2, 0.9, 0.4, 0.5, 0.6, 0.7]), CALLS, 100, bins=5
    )
    np.testing.assert_allclose(ring.heights, [0.3, np.nan, 0.9, 0.5, 0.7], rtol=1e-6)
    assert ring.calls.tolist() == [1, 0, 0, 0, 1]


def test_a_circle_shows_both_strands_and_the_genes():
    rings = {
        sign: scan_maps.ring_of(track(np.linspace(0, 1, 10), sign), CALLS, 100, bins=10) for sign in "+-"
    }
    genes = pd.DataFrame({"start": [10, 90], "end": [30, 110], "strand": ["+", "-"], "name": ["a", "b"]})
    figure = scan_maps.circle(rings, genes, length=100, threshold=0.5, title="c")
    bars = {trace.name: trace for trace in figure.data}
    assert len(bars) == 6
    over = bars["genes, minus strand"]
    assert list(over.theta) == [0.0] and list(over.width) == [72.0]
    assert figure.layout.polar.angularaxis.ticktext[0] == "0"


def test_what_genes_cover_goes_over_the_origin():
    genes = pd.DataFrame({"start": [0, 15, 90], "end": [10, 20, 105]})
    np.testing.assert_allclose(scan_maps.covered_shares(genes, 100, 10)[[0, 1, 2, 9]], [1.0, 0.5, 0.0, 1.0])


def test_scores_around_starts_are_read_along_the_gene():
    plus = track([np.nan, 0, 0, 0, 0, 1, 0, 0, 0, 0])
    minus = track([0, 0, 0.5, 0, 0, 0, 0, 0, 0, 0], "-")
    starts = pd.DataFrame({"contig": "c", "position": [55, 35], "strand": ["+", "-"]})
    around = scan_charts.around_starts([plus, minus], starts, {}, reach=20)
    assert around.distance.tolist() == [-20, -10, 0, 10, 20] and around.starts == 2
    # The minus gene's 10 bp downstream lie 10 bp to the left of its start.
    np.testing.assert_allclose(around.mean, [0, 0, 0.5, 0.25, 0])
    margin = 1.96 * np.std([1, 0], ddof=1) / np.sqrt(2)
    assert around.high[2] == pytest.approx(0.5 + margin)
    other = scan_charts.around_starts([plus, minus], starts, {}, same_strand=False, reach=20)
    np.testing.assert_allclose(other.mean, [0.5, 0, 0, 0, 0])
    circle = pd.DataFrame({"contig": ["c"], "position": [5], "strand": ["+"]})
    open_end = scan_charts.around_starts([plus], circle, {}, reach=10)
    closed = scan_charts.around_starts([plus], circle, {"c": 100}, reach=10)
    assert np.isnan(open_end.mean[0]) and closed.mean[0] == 0
    assert scan_charts.around_starts([plus], circle.assign(strand="-"), {}) is None
    # Starts that have no score near, as those outside of the scanned regions, count for nothing.
    far = pd.DataFrame({"contig": "c", "position": [55, 5_000], "strand": "+"})
    assert scan_charts.around_starts([plus], far, {}, reach=20).starts == 1
    assert scan_charts.around_starts([plus], far.iloc[1:], {}, reach=20) is None


def test_scores_are_counted_per_mb_and_beside_the_shuffled_ones():
    figure = scan_charts.score_spread(
        [0.55, 0.55, 0.91], [0.55], megabases=2.0, shuffled_megabases=0.5, threshold=0.7
    )
    own, shuffled, cut = figure.data
    assert max(own.y) == 1.0 and max(shuffled.y) == 2.0
    assert own.name == "this genome" and shuffled.name == "shuffled genome"
    # The threshold is a line, and its words stand in the legend, where they hide nothing.
    (line,) = figure.layout.shapes
    assert (line.x0, line.x1, cut.name, cut.line.dash) == (0.7, 0.7, "threshold 0.700", line.line.dash)
    assert not figure.layout.annotations


def test_the_buttons_of_a_figure_have_a_strip_above_the_legend_for_themselves():
    figure = scan_maps.line(
        {"+": (np.arange(3), np.ones(3))}, CALLS, threshold=0.5, class_name="promoter", view=(0, 3)
    )
    title, margin = figure.layout.legend.title, figure.layout.margin
    assert (title.text, title.side) == (" ", "top") and 1.3 * title.font.size == pytest.approx(TOOLS)
    assert margin.t >= TOOLS and figure.layout.xaxis.title.text == "position (bp, first base = 1)"
    report = {"stage": "training", "done": 1, "total": 2, "values": {"loss": 1.0}}
    assert curves.curves_figure([report]).layout.margin.t > TOOLS


@pytest.mark.parametrize(
    ("names", "is_cut"), [(["chr1", "NC_000913.3"], False), (["NODE_1_length_384921_cov_23.441"], True)]
)
def test_only_long_names_get_a_column_that_leaves_room_for_the_others(names, is_cut):
    column = inputs.name_column(dict.fromkeys(names, 1))
    assert (column["width"] is not None, column["help"] is not None) == (is_cut, is_cut)
    assert not is_cut or column["width"] < 150


def test_the_many_small_contigs_are_one_bar():
    lengths = {f"c{number}": 1000 - number for number in range(40)}
    calls = pd.DataFrame({"contig": ["c0", "c0", "c35", "c36"]})
    tracks = [Track("c0", strand, 0, 10, 10, np.r_[np.zeros(90), np.full(10, np.nan)]) for strand in "+-"]
    (bars,) = scan_charts.calls_per_contig(calls, lengths, tracks).data
    assert len(bars.x) == 31 and bars.x[0] == 2 and bars.x[-1] == 2
    # 900 bp of either strand have a score.
    assert bars.customdata[0] == "c0, 1,000 bp: 2 calls, 1,111 per Mb of strand"
    assert bars.customdata[-1] == f"10 others, {sum(range(961, 971)):,} bp: nothing was scored"


def test_the_present_threshold_is_marked_on_the_curve():
    table = pd.DataFrame(
        {
            "threshold": [0.1, 0.9],
            "calls": [9, 0],
            "precision": [0.2, np.nan],
            "recall": [0.8, 0],
            "f1": [0.32, 0],
        }
    )
    curve, mark = scan_charts.precision_recall(
        table, threshold=0.4, point={"precision": 0.5, "recall": 0.6}
    ).data
    assert list(curve.x) == [0.8] and (mark.x[0], mark.y[0]) == (0.6, 0.5)


def test_names_of_contigs_genes_and_classes_stand_in_figures_letter_by_letter():
    name = "<b>ori</b>&lt;T"
    calls = CALLS.assign(contig=name)
    tracks = [replace(track([0.5] * 10), contig=name)]
    bars = scan_charts.calls_per_contig(calls, {name: 100}, tracks)
    site = {"start": [10], "end": [30], "strand": ["+"], "name": [name]}
    rings = {"+": scan_maps.ring_of(track([0.5] * 10), CALLS, 100, bins=10)}
    genes = scan_maps.circle(rings, pd.DataFrame(site), length=100, threshold=0.5, title="c").data[-1]
    classes = [ClassFacts(name, 3, 2, 1, 0, (50.0,) * 5, (0.5,) * 5)]
    rows = table_charts.class_bars(classes)
    spread = table_charts.distribution(Histogram((0, 1, 2), {name: (1, 2)}), title="GC")
    true = report_figures.confusion_figure([[1, 0], [0, 1]], [name, "other"])
    shown = [
        bars.layout.yaxis.ticktext[0],
        bars.data[0].customdata[0].split(",")[0],
        genes.customdata[0],
        rows.layout.yaxis.ticktext[0],
        rows.data[0].customdata[0],
        spread.data[0].name,
        spread.data[0].meta[0],
        true.layout.xaxis.ticktext[0],
        true.data[0].customdata[0][1].removesuffix(" answered as other"),
    ]
    assert [html.unescape(text) for text in shown] == [name] * len(shown)
    assert not any("<" in text for text in shown)
