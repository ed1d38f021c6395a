"""Results: the overview, one row with all of it, broken and missing files, text shown letter by letter."""

import json

import pytest

from genolm.result_row import Figure
from pages.shared import results_charts, html_tables, results_view

PAGE = "pages/models/results.py"
PROTOCOLS = {"published": 0.8, "strict": 0.7}


def estimate(value):
    return {"value": value, "low": value - 0.02, "high": value + 0.02}


def seed(number, value):
    return {"seed": number, "metrics": {"mcc": estimate(value), "auroc": estimate(value + 0.1)}, "seconds": 5.0}


def result(name, **changes):
    scores = {
        protocol: {
            "naive": {"seeds": [seed(1, value - 0.1)]},
            "pretrained": {
                "seeds": [seed(1, value - 0.01), seed(2, value + 0.01)],
                "together": {"mcc": estimate(value + 0.02)},
            },
            "cnn": {"seeds": [seed(1, value - 0.2)]},
        }
        for protocol, value in PROTOCOLS.items()
    }
    methods = {
        "naive": {"title": "Random weights", "kind": "ours"},
        "pretrained": {"title": "From a model", "kind": "ours"},
        "cnn": {"title": "cnn", "kind": "baseline"},
    }
    paper = {"name": "A paper", "kind": "original", "protocol": "published", "source": "Table 1", "scores": {"mcc": 0.9}}
    curve = {"data": [{"type": "scatter", "x": [1, 2], "y": [3, 4]}], "layout": {"template": {"layout": {}}}}
    whole = {
        "format": 1,
        "name": name,
        "title": f"Row *{name}*",
        "section": "Promoters",
        "order": 1,
        "question": "Is <b>it</b> one?",
        "metric": "mcc",
        "metrics": ["mcc", "auroc"],
        "notes": ["Relatives of test rows were learned from."],
        "published": [paper],
        "sources": [{"file": "a.fa", "sha256": "ab12", "url": "https://example.org/a", "licence": "CC0"}],
        "protocols": {
            key: {"title": f"As {key}", "rows": {"train": 900, "test": 100}, "record": {"left_out": {"twice": 7}}}
            for key in PROTOCOLS
        },
        "methods": methods,
        "scores": scores,
        "figures": [{"name": "curve", "title": "A curve", "caption": "Up.", "plotly": curve}],
        "missing": ["As strict: seed 3"],
    }
    return {**whole, **changes}


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """A function that puts results into the folder that the page reads."""
    monkeypatch.setattr("genolm.results.results_dir", lambda: tmp_path)

    def put(*results):
        for data in results:
            (tmp_path / f"{data['name']}.json").write_text(json.dumps(data))
        return tmp_path

    return put


def markup(app):
    return " ".join(item.proto.body for item in app.get("html"))


def texts(app):
    return " ".join(item.value.replace("\\", "") for item in app.markdown)


def test_without_results_the_page_says_how_to_make_one(open_page, shelf):
    app = open_page(PAGE)
    assert not app.exception and not app.error
    assert "There are no results yet" in app.info[0].value and not app.selectbox


def test_the_overview_leads_to_a_row_and_back(open_page, shelf):
    shelf(result("first"), result("second", order=2, section="Genes"))
    app = open_page(PAGE)
    assert not app.exception and not app.error
    assert [item.value for item in app.header] == ["Promoters", "Genes"]
    assert markup(app).count("<td ") == 4 * 6 + 2 * 8
    app.button(key="open_second").click().run()
    assert not app.exception and app.query_params["row"] == "second"
    assert [item.value.replace("\\", "") for item in app.header] == ["Row *second*"]
    next(button for button in app.button if button.label == "All results").click().run()
    assert not app.exception and "row" not in app.query_params and len(app.header) == 2


def test_a_row_by_its_address_shows_all_of_it(open_page, shelf):
    shelf(result("first"), result("second", order=2))
    app = open_page(PAGE, row="second")
    assert not app.exception and not app.error
    assert [tab.label for tab in app.tabs] == ["Scores", "Figures", "Data", "Methods", "Do it again"]
    said = texts(app)
    assert "The original, A paper, gives MCC 0.900: ours is worse by 0.100" in said
    assert "Relatives of test rows were learned from." in said and "As strict: seed 3." in said
    assert "a.fa, licence: CC0." in said and "<https://example.org/a>" in said and "`ab12`" in said
    assert "left out, twice: 7" in said and "A paper (original): Table 1" in said
    assert app.code[0].value == "genolm recipe run second --data DATA"
    assert len(app.get("plotly_chart")) == 2 and "Not all of this row was run" in app.warning[0].value
    assert "From a model, mean of 2 seeds" in markup(app)


def test_protocol_and_score_are_chosen(open_page, shelf):
    shelf(result("first"))
    app = open_page(PAGE, row="first")
    protocol, metric = app.segmented_control
    assert (protocol.value, metric.value) == ("strict", "mcc")
    assert "0.700 (0.680–0.720)" not in markup(app)  # the figure and its interval are apart in the table
    assert "<span>0.700</span> <span>(0.680–0.720)</span>" in markup(app)
    app.segmented_control[0].set_value("published").run()
    app.segmented_control[1].set_value("auroc").run()
    assert not app.exception and "<span>0.800</span>" in markup(app)
    assert any("AUROC: chance that a true one" in item.value for item in app.caption)


def test_a_broken_file_is_a_sentence_above_the_others(open_page, shelf, sentences):
    folder = shelf(result("first"))
    (folder / "second.json").write_text("{")
    app = open_page(PAGE)
    assert not app.exception and len(app.header) == 1
    (sentence,) = sentences(app)
    assert "second.json is no JSON file" in sentence


def test_an_address_of_no_row_says_so_and_shows_all(open_page, shelf):
    shelf(result("first"))
    app = open_page(PAGE, row="gone")
    assert "no result called 'gone'" in app.warning[0].value
    assert not app.exception and app.selectbox[0].value is None and len(app.header) == 1


def test_a_row_of_which_nothing_was_run_opens(open_page, shelf):
    empty = {key: type(value)() for key, value in result("x").items() if key in ("scores", "published", "methods")}
    shelf(result("first", **empty, protocols={}, sources=[], figures=[], notes=[]))
    app = open_page(PAGE, row="first")
    assert not app.exception and [tab.label for tab in app.tabs] == ["Do it again"]
    assert "Nothing of this row was run yet." in texts(app)


def test_a_figure_that_cannot_be_drawn_is_said(open_page, shelf):
    wrong = {"name": "odd", "title": "Odd", "caption": "", "plotly": {"data": [{"type": "no such"}]}}
    shelf(result("first", figures=[wrong], missing=[]))
    app = open_page(PAGE, row="first")
    assert not app.exception and "odd cannot be drawn" in app.warning[0].value


def test_a_stored_figure_leaves_its_colours_to_the_theme():
    drawn = results_view.plotly_figure(Figure("a", "", "", {"data": [{"y": [1]}], "layout": {"template": "plotly_dark"}}))
    assert drawn.layout.template.to_plotly_json() == {} and drawn.layout.height == 420


def test_what_looks_like_html_is_shown_as_it_is():
    table = html_tables.plain_table(["<i>", "b"], [["a<script>", "0.5 (0.4–0.6)"], ["x (y)", "&"]], label='"q"')
    assert "<script>" not in table and "a&lt;script&gt;" in table and "<i>" not in table
    assert "<span>0.5</span> <span>(0.4–0.6)</span>" in table and "x (y)" in table and "&quot;q&quot;" in table


def test_the_chart_has_every_method_and_the_papers_as_lines(shelf):
    from genolm.results import read_results

    shelf(result("first"))
    (row,) = read_results()
    found = {trace.name: trace for trace in results_charts.methods_figure(row, "published", "mcc").data}
    ours = found["ours"]
    assert list(ours.x) == pytest.approx([0.8]) and list(ours.error_x.array) == pytest.approx([0.02])
    assert list(found["ours, without pre-training"].y) == [0] and list(found["simple baseline"].y) == [2]
    assert sorted(found["each seed"].x) == pytest.approx([0.79, 0.81])
    assert set(found["0.900 A paper (original)"].x) == {0.9} and found["0.900 A paper (original)"].text is None
    strict = {trace.name for trace in results_charts.methods_figure(row, "strict", "mcc").data}
    assert "0.900 A paper (original, published protocol)" in strict
    assert "seeds together" not in {trace.name for trace in results_charts.methods_figure(row, "strict", "auroc").data}


def test_a_long_name_of_a_published_figure_fits_a_narrow_window(shelf):
    from genolm.results import read_results

    paper = {"kind": "original", "protocol": "published", "source": "Table 1", "scores": {"mcc": 0.9}}
    shelf(result("first", published=[{**paper, "name": "Genomic-ULMFiT, 3-mers of <stride> 1"}]))
    (row,) = read_results()
    figure = results_charts.methods_figure(row, "strict", "mcc")
    (name,) = (trace.name for trace in figure.data if trace.mode == "lines")
    lines = name.split("<br>")
    assert " ".join(lines) == "0.900 Genomic-ULMFiT, 3-mers of &lt;stride&gt; 1 (original, published protocol)"
    assert len(lines) == 2 and max(map(len, lines)) <= 44 + len("&lt;&gt;") - 2


def test_several_published_lines_are_numbered_and_none_lies_at_the_edge(shelf):
    from genolm.results import read_results

    paper = {"kind": "original", "protocol": "published", "source": "Table 1"}
    values = (0.991, 0.7, 0.99)
    shelf(result("first", published=[{**paper, "name": f"P{value}", "scores": {"mcc": value}} for value in values]))
    (row,) = read_results()
    figure = results_charts.methods_figure(row, "published", "mcc")
    lines = {trace.name: trace for trace in figure.data if trace.mode == "lines+text"}
    assert list(lines) == ["1: 0.991 P0.991 (original)", "2: 0.700 P0.7 (original)", "3: 0.990 P0.99 (original)"]
    assert [trace.text[0] for trace in lines.values()] == ["<b>1</b>", "<b>2</b>", "<b>3</b>"]
    first, apart, near = (trace.y[0] for trace in lines.values())
    assert apart == near != first and min(first, near) > figure.layout.yaxis.range[1]
    low, high = figure.layout.xaxis.range
    assert low < 0.58 and high > 1.0


def test_the_first_column_of_many_scores_has_room_for_names(open_page, shelf):
    assert '<div class="frame"><table class="results"' in html_tables.plain_table(["a"], [["b"]], label="c")
    shelf(result("first"))
    app = open_page(PAGE, row="first")
    assert '<div class="frame"><table class="results named" aria-label="Scores"' in markup(app)
    assert ".named td:first-child { min-width: 12rem; overflow-wrap: normal; }" in markup(app)
