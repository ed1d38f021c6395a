"""Result files: read and checked, what is said of their figures, and the page of Markdown made of them."""

import json
import math

import pytest
from click.testing import CliRunner

from genolm import workspace
from genolm.cli import commands
from genolm.recipe_answers import read_answers
from genolm.result_row import PUBLISHED, STRICT
from genolm.results import ResultError, open_results, read_result, read_results
from genolm.results_contest import against_published, contest
from genolm.results_overview import OVERVIEW, overview, tally
from genolm.results_reading import points
from genolm.results_verdict import verdict
from genolm.results_text import document, duration, how_to_read, method_cells, row_text, seed_cells


def around(value, margin=0.02):
    return {"value": value, "low": value - margin, "high": value + margin}


def seeds(*values, margin=0.02, **more):
    return {
        "seeds": [
            {"seed": place, "metrics": {"mcc": around(value, margin), **more}, "seconds": 60.0, "best_epoch": 2}
            for place, value in enumerate(values, start=1)
        ]
    }


def gap(protocol, other, value, *, margin=0.01, method="adapted", p=0.0004):
    item = {"protocol": protocol, "method": method, "other": other, "metric": "mcc", "p": p}
    return {**item, **around(value, margin)}


def sized(item, rows=100_000):
    """Return a published figure whose test had so many rows of either class that its own noise is hardly any."""
    right = round(rows * (1 + item["scores"]["mcc"]) / 2)
    return {**item, "counts": [right, rows - right, rows - right, right]}


def result(**changes):
    """Return a whole result: three ways of ours and two baselines, under both protocols."""
    known = {"naive": 0.70, "pretrained": 0.79, "kmer-logistic": 0.75, "cnn": 0.74}
    scores = {
        protocol: {
            "adapted": {**seeds(*(value - off for value in (0.79, 0.80, 0.81))), "together": {"mcc": around(0.82 - off)}},
            **{key: seeds(value - off) for key, value in known.items()},
        }
        for protocol, off in ((PUBLISHED, 0.0), (STRICT, 0.1))
    }
    ours = {"naive": "Random weights", "pretrained": "From the language model", "adapted": "Adapted first"}
    methods = {key: {"title": title, "kind": "ours", "base": "lm", "settings": {"lr": 0.01}} for key, title in ours.items()}
    methods |= {key: {"title": key.replace("-", " "), "kind": "baseline"} for key in ("kmer-logistic", "cnn")}
    whole = {
        "format": 1,
        "name": "toy",
        "title": "Toy | promoters",
        "section": "Promoters",
        "order": 20,
        "question": "Is it one?",
        "metric": "mcc",
        "metrics": ["mcc", "auroc"],
        "notes": ["The original's test rows have relatives in training."],
        "published": [
            {"name": "First", "kind": "original", "protocol": PUBLISHED, "source": "Table 1", "scores": {"mcc": 0.805}},
            sized({"name": "Second", "kind": "best", "protocol": PUBLISHED, "source": "Table 2", "scores": {"mcc": 0.9}}),
        ],
        "sources": [{"file": "a.fa", "sha256": "ab", "url": "https://example.org", "licence": "CC0", "get": "by hand"}],
        "protocols": {
            PUBLISHED: {"title": "At random", "rows": {"train": 1000, "test": 200}, "table_sha256": "cd", "record": {}},
            STRICT: {"title": "By cluster", "rows": {"train": 990, "test": 210}, "record": {"left_out": {"twice": 12}}},
        },
        "methods": methods,
        "scores": scores,
        "differences": [gap(STRICT, "naive", 0.1), gap(STRICT, "kmer-logistic", 0.005, p=0.3)],
        "machine": {"cpu": "A processor", "cores": 2, "device": "cpu"},
        "seconds": 3600.0,
    }
    return {**whole, **changes}


@pytest.fixture
def written(tmp_path):
    """A function that writes a result, read back as a row."""

    def make(**changes):
        data = result(**changes)
        path = tmp_path / f"{data['name']}.json"
        path.write_text(json.dumps(data))
        return read_result(path)

    return make


def said(row):
    return {point.head: " ".join(point.sentences) for point in points(row)}


def test_a_result_is_read_with_the_mean_of_its_seeds(written):
    row = written()
    found = row.estimate(STRICT, "adapted")
    assert (found.value, found.low, found.high) == pytest.approx((0.70, 0.68, 0.72))
    assert row.scores[STRICT]["adapted"].spread("mcc") == pytest.approx((0.69, 0.71))
    assert row.scores[STRICT]["naive"].spread("mcc") is None
    assert row.ours(STRICT) == ["adapted", "pretrained"] and row.main(STRICT) == "adapted"
    assert row.best_baseline(STRICT) == "kmer-logistic"
    assert row.scored == [STRICT, PUBLISHED] and row.scores[STRICT]["adapted"].seconds == 180.0
    frame = row.frame()
    assert len(frame) == 2 * (3 + 1 + 1 + 4) and set(frame["seed"]) == {"1", "2", "3", "mean", "together"}


def test_ours_is_fixed_beforehand_and_not_the_best_on_the_test_rows(written):
    scores = {STRICT: {"overlapping": seeds(0.9), "pretrained": seeds(0.7), "adapted": seeds(0.6)}}
    row = written(scores=scores, differences=[])
    assert row.main(STRICT) == "adapted"
    assert "fixed beforehand" in said(row)["Strict protocol"]


def test_ours_is_chosen_by_the_loss_on_validation_rows(written):
    scores = {STRICT: {"pretrained": seeds(0.9), "adapted": seeds(0.8), "naive": seeds(0.6)}}
    for method, loss in (("pretrained", 0.5), ("adapted", 0.4), ("naive", 0.1)):
        for run in scores[STRICT][method]["seeds"]:
            run["valid_loss"] = loss
    row = written(scores=scores, differences=[])
    assert row.main(STRICT) == "adapted" and row.scores[STRICT]["adapted"].valid_loss == pytest.approx(0.4)
    assert "lowest loss on validation rows" in said(row)["Strict protocol"]
    scores[STRICT]["pretrained"]["seeds"][0]["valid_loss"] = 0.1
    assert written(scores=scores, differences=[]).main(STRICT) == "pretrained"


def test_what_the_strict_split_takes_is_that_of_one_way_and_its_figures_are_told(written):
    scores = {
        PUBLISHED: {"pretrained": seeds(0.8), "adapted": seeds(0.7)},
        STRICT: {"pretrained": seeds(0.6), "adapted": seeds(0.65)},
    }
    for protocol, best in ((PUBLISHED, "pretrained"), (STRICT, "adapted")):
        for method, found in scores[protocol].items():
            for run in found["seeds"]:
                run["valid_loss"] = 0.1 if method == best else 0.2
    row = written(scores=scores, differences=[])
    assert "one way run on both splits goes from 0.700 to 0.650" in verdict(row, row.views()[0])
    del scores[STRICT]["adapted"]
    row = written(scores=scores, differences=[])
    assert "the strict split takes 0.200 away" in verdict(row, row.views()[0])


def test_a_way_that_stands_aside_is_told_and_never_chosen(written):
    scores = {STRICT: {"pretrained": seeds(0.7), "other": seeds(0.9)}}
    for method, loss in (("pretrained", 0.5), ("other", 0.3)):
        for run in scores[STRICT][method]["seeds"]:
            run["valid_loss"] = loss
    methods = {
        "pretrained": {"title": "Ours", "base": "lm"},
        "other": {"title": "Other", "base": "model", "aside": "it has learned from validation rows"},
    }
    row = written(scores=scores, methods=methods, differences=[])
    assert row.main(STRICT) == "pretrained" and not row.is_chosen(STRICT)
    assert "Other 0.900 (0.880–0.920) (not chosen from: it has learned from validation rows)" in said(row)["Strict protocol"]
    methods["other"].pop("aside")
    assert written(scores=scores, methods=methods, differences=[]).main(STRICT) == "other"


def test_a_better_network_from_scratch_of_another_kind_is_named(written):
    scores = {STRICT: {"coarse": seeds(0.8), "naive-coarse": seeds(0.6), "naive": seeds(0.75)}}
    for method, loss in (("coarse", 0.3), ("naive-coarse", 0.5), ("naive", 0.4)):
        for run in scores[STRICT][method]["seeds"]:
            run["valid_loss"] = loss
    methods = {
        "coarse": {"title": "Coarse", "base": "lm", "network": "3-mers every 3 bp"},
        "naive-coarse": {"title": "Random, coarse", "network": "3-mers every 3 bp"},
        "naive": {"title": "Random, dense", "network": "3-mers every 1 bp"},
    }
    row = written(scores=scores, methods=methods, differences=[])
    text = said(row)["Strict protocol"]
    assert "pre-training gives 0.200" in text and "best by validation, Random, dense, has 0.750" in text
    (line,) = next(iter(overview([row]).values()))
    assert line.cells[-3].text.startswith("0.600") and "another training, Random, dense: 0.750" in line.cells[-3].detail


def test_only_the_same_network_from_scratch_says_what_pretraining_gives(written):
    scores = {STRICT: {"dense": seeds(0.9), "naive": seeds(0.6), "naive-coarse": seeds(0.7)}}
    methods = {
        "dense": {"title": "Dense", "base": "dense-lm", "network": "3-mers every 1 bp"},
        "naive": {"title": "Random, dense", "network": "3-mers every 1 bp"},
        "naive-coarse": {"title": "Random, coarse", "network": "3-mers every 3 bp"},
    }
    row = written(scores=scores, methods=methods, differences=[])
    assert row.ours(STRICT) == ["dense"] and row.naive(STRICT, "dense") == "naive"
    assert "pre-training gives 0.300" in said(row)["Strict protocol"]
    del scores[STRICT]["naive"]
    row = written(scores=scores, methods=methods, differences=[])
    assert row.naive(STRICT, "dense") is None and row.naive(STRICT) == "naive-coarse"
    assert "only another network was tried: Random, coarse has 0.700" in said(row)["Strict protocol"]
    (line,) = next(iter(overview([row]).values()))
    assert "pre-training" not in line.cells[-1].text and line.cells[-3].detail == "Random, coarse"
    assert not any(item.other.startswith("the same network") for item in tally([row]))
    for item in methods.values():
        item.pop("network")
    assert written(scores=scores, methods=methods, differences=[]).naive(STRICT, "dense") == "naive-coarse"
    scores[STRICT]["coarse"], methods["coarse"] = seeds(0.8), {"title": "Coarse", "base": "coarse-lm"}
    assert written(scores=scores, methods=methods, differences=[]).naive(STRICT, "dense") is None


def test_of_two_alike_from_scratch_the_one_better_on_validation_rows_is_compared(written):
    scores = {STRICT: {"pretrained": seeds(0.9), "naive": seeds(0.7), "naive-shifted": seeds(0.6)}}
    assert written(scores=scores, differences=[]).naive(STRICT, "pretrained") == "naive"
    for method, loss in (("naive", 0.5), ("naive-shifted", 0.4)):
        for run in scores[STRICT][method]["seeds"]:
            run["valid_loss"] = loss
    assert written(scores=scores, differences=[]).naive(STRICT, "pretrained") == "naive-shifted"


def test_of_networks_from_scratch_one_that_reads_as_ours_does_is_compared(written):
    ways = {"shifted": {"shifted": True}, "naive": {}, "naive-shifted": {"shifted": True}}
    methods = {key: {"title": key, "base": None, "settings": item, "network": "small"} for key, item in ways.items()}
    scores = {STRICT: {"shifted": seeds(0.9), "naive": seeds(0.8), "naive-shifted": seeds(0.6)}}
    for method, loss in (("naive", 0.1), ("naive-shifted", 0.2)):
        scores[STRICT][method]["seeds"][0]["valid_loss"] = loss
    row = written(scores=scores, methods=methods, differences=[])
    assert row.naive(STRICT, "shifted") == "naive-shifted" and row.naive(STRICT) == "naive"
    assert "Pre-training gives +0.300 (over another training from scratch +0.100)" in verdict(row, row.views()[0])
    assert "differently shifted" not in said(row)["Strict protocol"]
    del scores[STRICT]["naive-shifted"]
    row = written(scores=scores, methods=methods, differences=[])
    assert row.naive(STRICT, "shifted") == "naive"
    assert "The two learned from differently shifted or trimmed sequences" in said(row)["Strict protocol"]


def test_from_scratch_what_learned_alike_comes_before_what_only_answers_otherwise(written):
    shifted = {"shifted": True}
    ways = {"framed": shifted | {"framed": True}, "naive": {}, "naive-shifted": shifted}
    methods = {key: {"title": key, "base": None, "settings": item, "network": "small"} for key, item in ways.items()}
    scores = {STRICT: {"framed": seeds(0.9), "naive": seeds(0.8), "naive-shifted": seeds(0.6)}}
    for method, loss in (("naive", 0.1), ("naive-shifted", 0.2)):
        scores[STRICT][method]["seeds"][0]["valid_loss"] = loss
    row = written(scores=scores, methods=methods, differences=[])
    assert row.naive(STRICT, "framed") == "naive-shifted"
    told = said(row)["Strict protocol"]
    assert "The two do not answer by the same frames" in told
    assert "differently shifted" not in told
    methods["naive-framed"], scores[STRICT]["naive-framed"] = methods["framed"] | {"title": "naive-framed"}, seeds(0.7)
    row = written(scores=scores, methods=methods, differences=[])
    assert row.naive(STRICT, "framed") == "naive-framed"
    assert "same frames" not in said(row)["Strict protocol"]


def test_a_control_is_told_and_is_no_rival(written):
    scores = {STRICT: {"pretrained": seeds(0.5), "even": seeds(0.9)}}
    methods = {"pretrained": {"title": "Ours", "base": "lm"}, "even": {"title": "All alike", "kind": "control"}}
    row = written(scores=scores, methods=methods, differences=[])
    assert row.best_baseline(STRICT) is None and row.ours(STRICT) == ["pretrained"]
    assert "A control, not a rival: All alike 0.900" in said(row)["Strict protocol"]
    assert {item.other for item in tally([row])} == set()
    assert {line[0]: line[1] for line in method_cells(row)[1]} == {"Ours": "lm", "All alike": "no language model"}


def test_rows_that_training_saw_are_no_test_and_are_not_counted(written):
    scores = {key: {"pretrained": seeds(0.9), "kmer-logistic": seeds(0.5)} for key in ("seen", "unseen")}
    protocols = {"seen": {"title": "A training block", "seen": True}, "unseen": {"title": "A test block"}}
    row = written(scores=scores, protocols=protocols, published=[], differences=[])
    (only,) = tally([row])
    assert only.other == "the best simple baseline" and len(only.contests) == 1 and only.contests[0].better
    verdicts = {view.main: verdict(row, view) for view in row.views()}
    assert verdicts["seen"] == "No test: our models were trained on these rows."
    assert said(row)["A training block"].startswith("No test") and "No test" not in said(row)["A test block"]
    assert verdicts["unseen"].startswith("Better than simple baselines")


def test_a_published_figure_that_was_judged_on_our_rows_is_compared_in_pairs(written):
    item = {"name": "Second", "kind": "best", "protocol": PUBLISHED, "source": "its answers", "scores": {"mcc": 0.9}}
    within = {"method": "adapted", "value": -0.1, "low": -0.2, "high": 0.01, "p": 0.08}
    row = written(published=[{**item, "leads": {"mcc": within}}])
    found = against_published(row, row.published[0])
    assert found.clear is False and found.ahead == pytest.approx(-0.1) and found.is_paired
    words = "the difference is -0.100 (95 % interval -0.200 to +0.010, p = 0.080) on the same test rows, within noise"
    assert words in said(row)["Published protocol"]
    row = written(published=[{**item, "leads": {"mcc": {**within, "high": -0.02, "p": 0.01}}}])
    assert "ours is worse by 0.100 (95 % interval 0.020 to 0.200, p = 0.010)" in said(row)["Published protocol"]
    other = written(published=[{**item, "leads": {"mcc": {**within, "method": "pretrained"}}}])
    assert other.main(PUBLISHED) == "adapted" and not against_published(other, other.published[0]).is_paired
    assert not against_published(written(published=[item]), written(published=[item]).published[0]).is_paired


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("not json", "is no JSON file"),
        ([1], "holds no result"),
        ({"format": 2}, "format 2, this genolm reads 1"),
        ({"question": None}, "question is None"),
        ({"order": "first"}, "cannot be used"),
        ({"scores": {"strict": {"adapted": {"seeds": [{"metrics": {"mcc": "high"}}]}}}}, "scores.strict.adapted.mcc"),
        ({"methods": {"adapted": {"kind": "theirs"}}}, "methods.adapted.kind"),
        ({"figures": [{"name": "curve", "plotly": "no"}]}, "'curve'"),
        ({"differences": [{"protocol": "strict"}]}, "no entry 'method'"),
        ({"published": [3]}, "cannot be used"),
    ],
)
def test_a_broken_file_is_a_sentence_and_the_others_are_read(tmp_path, change, words):
    (tmp_path / "whole.json").write_text(json.dumps(result(name="whole")))
    text = change if isinstance(change, str) else json.dumps({**result(), **change} if isinstance(change, dict) else change)
    (tmp_path / "broken.json").write_text(text)
    rows, (fault,) = open_results(tmp_path)
    assert [row.name for row in rows] == ["whole"]
    assert words in fault and str(tmp_path / "broken.json") in fault and fault.endswith(".")
    with pytest.raises(ResultError, match="broken"):
        read_results(tmp_path)


def test_only_the_shipped_folder_may_be_missing(tmp_path, monkeypatch):
    nothing = tmp_path / "nothing"
    rows, (fault,) = open_results(nothing)
    assert rows == () and fault == f"There is no folder {nothing}; name one that holds result files of recipes."
    with pytest.raises(ResultError, match="There is no folder .*nothing"):
        read_results(nothing)
    monkeypatch.setattr("genolm.results.results_dir", lambda: nothing)
    assert open_results() == ((), ()) and read_results() == ()


def test_a_paired_difference_goes_before_the_intervals(written):
    row = written()
    won, open_ = contest(row, STRICT, "adapted", "naive"), contest(row, STRICT, "adapted", "kmer-logistic")
    assert won.better and won.is_paired and (won.low, won.high) == pytest.approx((0.09, 0.11))
    assert open_.clear is False and not open_.better and not open_.worse
    # Nothing was worked out in pairs under the other protocol: 0.80 and 0.70 are apart, 0.80 and 0.79 overlap.
    assert contest(row, PUBLISHED, "adapted", "naive").better
    assert contest(row, PUBLISHED, "adapted", "pretrained").clear is False
    assert contest(row, PUBLISHED, "adapted", "nobody") is None


def test_where_less_is_better_the_sign_turns(written):
    names = {"metric": "bits_per_base", "metrics": ["bits_per_base"]}
    scores = {
        "apart": {
            key: {"seeds": [{"seed": 1, "metrics": {"bits_per_base": around(value)}}]}
            for key, value in {"adapted": 1.80, "kmer-logistic": 1.95, "cnn": 1.90}.items()
        }
    }
    gaps = [{**gap("apart", "cnn", -0.1), "metric": "bits_per_base"}]
    row = written(**names, scores=scores, differences=gaps, published=[], protocols={})
    assert row.best_baseline("apart") == "cnn"
    found = contest(row, "apart", "adapted", "cnn")
    assert found.better and (found.ahead, found.low, found.high) == pytest.approx((0.1, 0.09, 0.11))
    assert "ours is better by 0.100 (95 % interval 0.090 to 0.110, p < 0.001)" in said(row)["Apart"]


def test_a_published_figure_inside_our_interval_is_within_noise(written):
    row = written()
    first, second = (against_published(row, item) for item in row.published)
    assert first.clear is False and second.worse
    text = said(row)["Published protocol"]
    assert "The original, First, gives MCC 0.805: within noise" in text
    assert "The best published, Second, gives MCC 0.900 (0.898–0.902): ours is worse by 0.100" in text


def test_other_published_figures_are_compared_in_words_but_not_counted(written):
    third = {"name": "Third", "kind": "other", "protocol": PUBLISHED, "source": "", "scores": {"mcc": 0.6}}
    row = written(published=[third, {**third, "name": "Fourth", "scores": {"kappa": 0.5}}])
    text = said(row)["Published protocol"]
    assert "Also published, Third, gives MCC 0.600: ours is better by 0.200" in text and "Fourth" not in text
    assert [item.other for item in tally([row])] == [
        *("the same network without pre-training", "the best network without pre-training", "the best simple baseline")
    ]


def test_the_reading_names_every_thing_that_counts(written):
    text = said(written(missing=["By cluster: Random weights, seed 2"]))
    strict = text["Strict protocol"]
    assert "MCC 0.700 (0.680–0.720), the mean of 3 seeds (lowest 0.690, highest 0.710)" in strict
    assert "Together, their probabilities averaged, they reach 0.720" in strict
    assert "pre-training gives 0.100 (95 % interval 0.090 to 0.110, p < 0.001)" in strict
    assert "The best simple baseline, kmer logistic, has 0.650 (0.630–0.670): ours is neither better nor worse" in strict
    assert "-0.005 to +0.015, p = 0.300), within noise, ours with the probabilities of 3 seeds averaged" in strict
    assert "has 0.800 and 0.700: the strict protocol takes 0.100 away (more than noise" in (
        text["From the published to the strict protocol"]
    )
    assert text["Not run yet"] == "By cluster: Random weights, seed 2."


def test_a_simple_baseline_that_is_better_is_said_to_be(written):
    row = written(differences=[gap(STRICT, "kmer-logistic", -0.05), gap(STRICT, "naive", -0.04)])
    strict = said(row)["Strict protocol"]
    assert "it is better than ours by 0.050 (95 % interval 0.040 to 0.060" in strict
    assert "pre-training does harm here, 0.040" in strict
    assert "a simple baseline is better" in verdict(row, row.views()[0])


def test_one_seed_and_no_interval_are_said(written):
    scores = {PUBLISHED: {"pretrained": {"seeds": [{"seed": 1, "metrics": {"mcc": {"value": 0.8}}}]}, "cnn": seeds(0.7)}}
    row = written(scores=scores, differences=[])
    text = said(row)["Published protocol"]
    assert "One seed only" in text and "ours has no interval" in text and "not judged" in text
    assert tally([row])[0].counts == (0, 0, 0, 1)
    assert verdict(row, row.views()[0]).endswith("+0.100 to the best simple baseline, no interval; one seed.")


def test_figures_that_are_not_defined_win_nothing(written):
    row = written(scores={STRICT: {"adapted": seeds(0.6), "cnn": seeds(0.5), "kmer-logistic": seeds(math.nan)}})
    assert row.best_baseline(STRICT) == "cnn"
    assert row.estimate(STRICT, "kmer-logistic") is None


def test_only_a_figure_that_both_have_is_compared(written):
    other = {"name": "First", "kind": "original", "protocol": PUBLISHED, "source": "", "scores": {"auroc": 0.95}}
    strange = {**other, "name": "Elsewhere", "protocol": ""}
    row = written(published=[other, strange], scores={PUBLISHED: {"adapted": seeds(0.8, auroc=around(0.9, 0.01))}})
    text = said(row)
    assert "gives AUROC 0.950 (ours 0.900 (0.890–0.910)): ours is worse by 0.050" in text["Published protocol"]
    assert "Elsewhere gives AUROC 0.950 under a protocol that is none of ours" in (
        text["Published figures that are not compared"]
    )


def test_the_overview_has_a_line_for_each_row(written):
    row = written()
    ((section, (line,)),) = overview([row]).items()
    cells = dict(zip(OVERVIEW, line.cells, strict=True))
    assert section == "Promoters" and cells["Question"] == ("Is it one?", "MCC")
    assert cells["Original"] == ("0.805", "First") and cells["Best published"] == ("0.900 (0.898–0.902)", "Second")
    assert cells["Ours, published protocol"] == ("0.800 (0.780–0.820)", "Adapted first")
    assert cells["Ours, strict protocol"].text == "0.700 (0.680–0.720)"
    assert cells["Naive"] == ("0.600 (0.580–0.620)", "")
    assert cells["Best simple baseline"] == ("0.650 (0.630–0.670)", "kmer logistic")
    assert cells["Reading"].text == (
        "Published protocol, 3 seeds: within noise of the original (-0.005); worse than the best published by 0.100; "
        "pre-training gives +0.100; better than simple baselines by 0.050.\nStrict protocol, 3 seeds: the strict split "
        "takes 0.100 away; pre-training gives +0.100; within noise of the best simple baseline (+0.005)."
    )


def test_a_row_of_other_protocols_has_a_line_for_each_beside_its_own_published_figure(written):
    published = [
        sized({"name": name, "kind": "original", "protocol": key, "source": "", "scores": {"mcc": value}})
        for name, key, value in (("Few", "n20", 0.5), ("Many", "n900", 0.9))
    ]
    scores = {key: {"pretrained": seeds(value), "naive": seeds(0.4)} for key, value in (("n20", 0.6), ("n900", 0.7))}
    protocols = {"n20": {"title": "20 labels"}, "n900": {"title": "900 labels"}}
    row = written(published=published, scores=scores, protocols=protocols, differences=[])
    lines = [dict(zip(OVERVIEW, line.cells, strict=True)) for line in overview([row])["Promoters"]]
    assert [line["Question"].text for line in lines] == ["Is it one?", "900 labels"]
    assert [line["Original"] for line in lines] == [("0.500 (0.496–0.504)", "Few"), ("0.900 (0.898–0.902)", "Many")]
    assert [line["Reading"].text.split(";")[0] for line in lines] == [
        "Better than the original by 0.100",
        "Worse than the original by 0.200",
    ]
    assert tally([row])[0].counts == (1, 0, 1, 0)


def test_a_published_figure_that_stands_in_two_rows_is_counted_in_the_first_alone(written):
    theirs = {"name": "Heyer", "kind": "original", "protocol": PUBLISHED, "source": "one notebook", "scores": {"mcc": 0.7}}
    other, theirs = sized({**theirs, "scores": {"mcc": 0.6}}), sized(theirs)
    ahead, behind = (
        written(published=[theirs], scores={PUBLISHED: {"pretrained": seeds(value)}}, differences=[])
        for value in (0.9, 0.5)
    )
    assert tally([ahead, behind])[0].counts == (1, 0, 0, 0)
    assert tally([behind, ahead])[0].counts == (0, 0, 1, 0)
    another = written(
        published=[other], scores={PUBLISHED: {"pretrained": seeds(0.5)}}, differences=[]
    )
    assert tally([ahead, another])[0].counts == (1, 0, 1, 0)
    surer = written(
        published=[theirs], scores={PUBLISHED: {"pretrained": seeds(0.5, margin=0.01)}}, differences=[]
    )
    assert tally([ahead, surer])[0].counts == tally([surer, ahead])[0].counts == (0, 0, 1, 0)
    alone = {"seeds": [{"seed": 1, "metrics": {"mcc": {"value": 0.9}}}]}
    unsure = written(published=[theirs], scores={PUBLISHED: {"pretrained": alone}}, differences=[])
    assert tally([unsure, surer])[0].counts == tally([surer, unsure])[0].counts == (0, 0, 1, 0)


def test_a_figure_of_another_test_set_is_told_so_and_counted_apart(written):
    theirs = sized({"name": "Heyer", "kind": "original", "protocol": PUBLISHED, "source": "one", "scores": {"mcc": 0.7}})
    row = written(
        published=[{**theirs, "other_test": True}], scores={PUBLISHED: {"pretrained": seeds(0.9)}}, differences=[]
    )
    assert "The original, Heyer, gives MCC 0.700 (0.697–0.703) on other data: ours is better" in said(row)["Published protocol"]
    (line,) = overview([row])["Promoters"]
    assert line.cells[1].detail == "Heyer; other data"
    assert line.cells[-1].text == "Better than the original (on other data) by 0.200; one seed."
    assert [(item.other, item.counts) for item in tally([row])] == [("the original, other data", (1, 0, 0, 0))]


def test_a_published_figure_has_the_noise_of_its_own_test(written):
    # MCC .8 of 100 rows has an interval of .68 to .92 or so; of 10,000 rows of .79 to .81.
    theirs = {"name": "Heyer", "kind": "original", "protocol": PUBLISHED, "source": "one", "scores": {"mcc": 0.8}}
    ours = {"scores": {PUBLISHED: {"pretrained": seeds(0.87)}}, "differences": []}
    row = written(published=[{**theirs, "counts": [45, 5, 5, 45]}], **ours)
    text = said(row)["Published protocol"]
    assert "gives MCC 0.800 (0." in text and "the difference is +0.070 (95 % interval -0.0" in text
    assert "within the noise of two tests" in text and verdict(row, row.views()[0]).startswith("Within noise of the original")
    assert overview([row])["Promoters"][0].cells[1].text.startswith("0.800 (0.6")
    assert tally([row])[0].counts == (0, 1, 0, 0)
    row = written(published=[{**theirs, "counts": [4500, 500, 500, 4500], "leak": "its test rows have copies"}], **ours)
    text = said(row)["Published protocol"]
    assert "ours is better by 0.070 (95 % interval 0.04" in text and "more than the noise of two tests" in text
    assert "Its test rows have copies." in text and tally([row])[0].counts == (1, 0, 0, 0)
    assert "better than the original by 0.070 (its test rows have copies)" in verdict(row, row.views()[0]).lower()
    assert "0.800 (0.7" in row_text(row)
    row = written(published=[theirs], **ours)
    # Of a test of unknown size nothing can be said beyond our interval; within it the two are alike whatever its size.
    text, (line,) = said(row)["Published protocol"], overview([row])["Promoters"]
    assert "ours is better by 0.070, and that figure lies outside our 95 % interval. On how many rows" in text
    assert line.cells[-1].text.startswith("+0.070 to the original, tested on an unknown number of rows")
    assert tally([row])[0].counts == (0, 0, 0, 1)
    row = written(published=[{**theirs, "scores": {"mcc": 0.86}}], **ours)
    assert "within noise, as it lies inside our" in said(row)["Published protocol"] and tally([row])[0].counts == (0, 1, 0, 0)


def test_what_a_recipe_does_not_ask_for_is_said(written):
    row = written(unplanned=["At random: language model fine-tuned first"])
    assert said(row)["Not asked for by its recipe"] == "At random: language model fine-tuned first."
    assert "Not asked for by its recipe" not in said(written()) and row.is_complete


def test_the_hardware_and_the_size_of_the_networks_are_told_once(written):
    sized = {"adapted": {"title": "A", "kind": "ours", "settings": {"preset": "small"}}}
    row = written(methods=sized)
    words = how_to_read([row, row])[-1]
    assert words.startswith("All rows were made on A processor, 2 cores, device cpu. Networks are of preset small. None")
    large = {"adapted": {"title": "A", "kind": "ours", "settings": {"preset": "ulmfit"}}}
    both = [row, written(methods=large, machine={"cpu": "Another", "cores": 16, "device": "cuda: H"})]
    assert how_to_read(both)[-1] == (
        "All rows were made on A processor, 2 cores, device cpu; Another, 16 cores, device cuda: H. Networks are of "
        "preset small and ulmfit."
    )
    assert words in document([row])


def test_where_the_original_is_the_best_the_next_to_it_stands_in_that_column(written):
    theirs = {"kind": "other", "protocol": PUBLISHED, "source": "one", "scores": {"mcc": 0.75}}
    first = {**theirs, "name": "First, large", "kind": "original", "scores": {"mcc": 0.8}}
    third = {**theirs, "name": "Third"}
    (line,) = overview([written(published=[first, {**theirs, "name": "Way", "beside": "naive"}, third])])["Promoters"]
    assert line.cells[2] == ("0.750", "next to the original, Third")
    unlike = [{"beside": "naive"}, {"protocol": ""}, {"scores": {"auroc": 0.7}}, {"scores": {"mcc": 0.9}}, {"name": "First, small"}]
    for change in unlike:
        (line,) = overview([written(published=[first, third | change])])["Promoters"]
        assert line.cells[2].text == "–", change
    (line,) = overview([written(published=[third])])["Promoters"]
    assert line.cells[2].text == "–"


def test_the_best_published_is_one_in_the_column_and_in_the_reading(written):
    theirs = {"kind": "best", "protocol": PUBLISHED, "source": "one"}
    both = [{**theirs, "name": "Low", "scores": {"mcc": 0.6}}, {**theirs, "name": "High", "scores": {"mcc": 0.7}}]
    row = written(published=both)
    text = said(row)["Published protocol"]
    assert "The best published, High, gives MCC 0.700" in text and "Also published, Low, gives MCC 0.600" in text
    assert overview([row])["Promoters"][0].cells[2].detail == "High"


def test_what_another_row_asks_better_is_in_no_count(written):
    why = "another row asks it better"
    protocols = {key: {"title": key, "uncounted": why} for key in (PUBLISHED, STRICT)}
    row = written(protocols=protocols)
    assert tally([row]) == [] and row.uncounted(STRICT) == why
    assert f"not counted, as {why}." in verdict(row, row.views()[0])
    assert f"It is in no count of rows, as {why}." in said(row)["Strict protocol"]
    assert len(tally([written(protocols={STRICT: protocols[STRICT]})])) == 2


def test_a_difference_of_draws_is_that_of_their_means(written):
    row = written(repeat="draw", scores={STRICT: {"adapted": seeds(0.8, 0.8), "naive": seeds(0.7, 0.7)}})
    assert "p < 0.001), of the means over 2 draws." in said(row)["Strict protocol"]


def test_a_figure_from_scratch_is_held_beside_ours_from_scratch(written):
    theirs = sized({"name": "Heyer", "kind": "other", "protocol": PUBLISHED, "source": "one", "scores": {"mcc": 0.75}})
    row = written(published=[{**theirs, "beside": "naive"}, {**theirs, "name": "Way", "beside": "pretrained"}])
    text = said(row)["Published protocol"]
    assert "Heyer, gives MCC 0.750 (0.747–0.753) (ours, Random weights, 0.700 (0.680–0.720)): ours is worse by 0.050" in text
    assert "Way, gives MCC 0.750 (0.747–0.753) (ours, From the language model, 0.790 (0.770–0.810)): ours is better by 0.040" in text
    row = written(published=[{**theirs, "beside": "nobody"}])
    assert against_published(row, row.published[0]) is None
    assert "Heyer, is not compared, since the way of ours beside it was not run yet" in said(row)["Published protocol"]
    row = written(
        published=[{**theirs, "beside": "naive-coarse"}],
        scores={PUBLISHED: {"pretrained": seeds(0.9), "naive": seeds(0.5), "naive-coarse": seeds(0.8)}},
        differences=[],
    )
    assert against_published(row, row.published[0]).better


def test_where_a_publication_is_ahead_in_another_figure_that_is_said(written):
    both = {"mcc": 0.805, "auroc": 0.95}
    # The size of a test gives an area its interval, and MCC none.
    first = {"name": "First", "kind": "original", "protocol": PUBLISHED, "source": "", "scores": both, "rows": [9000, 9000]}
    second = {**first, "name": "Second", "scores": {"mcc": 0.6, "auroc": 0.8}}
    scores = {PUBLISHED: {"adapted": seeds(0.8, auroc=around(0.9, 0.01))}}
    text = said(written(published=[first, second], scores=scores, differences=[]))["Published protocol"]
    assert "inside our 95 % interval (difference 0.005). It is ahead in AUROC 0.950 (0.947–0.953) (ours 0.900" in text
    assert text.count("It is ahead") == 1 and "Also of the original, Second, gives MCC 0.600" in text


def test_a_test_that_pools_others_is_shown_and_not_counted(written):
    scores = {key: {"pretrained": seeds(0.8), "cnn": seeds(0.5)} for key in ("all", "one", "two")}
    protocols = {"all": {"title": "All", "pools": ["one", "two"]}, "one": {"title": "One"}, "two": {"title": "Two"}}
    theirs = {"name": "Heyer", "kind": "original", "source": "", "scores": {"mcc": 0.7}}
    published = [{**theirs, "protocol": "all"}, sized({**theirs, "protocol": "one", "scores": {"mcc": 0.9}})]
    row = written(scores=scores, protocols=protocols, differences=[], published=published)
    assert len(overview([row])["Promoters"]) == 3
    assert [item.counts for item in tally([row])] == [(0, 0, 1, 0), (2, 0, 0, 0)]


def test_rows_that_our_models_learned_from_are_compared_with_nothing(written):
    whole = result()
    protocols = {**whole["protocols"], STRICT: {**whole["protocols"][STRICT], "seen": True}}
    row = written(protocols=protocols)
    text = said(row)["Strict protocol"]
    assert text.startswith("No test: our models were trained on these rows.") and "baseline" not in text
    cells = dict(zip(OVERVIEW, overview([row])["Promoters"][0].cells, strict=True))
    assert cells["Ours, strict protocol"] == ("–", "")
    first, second = cells["Reading"].text.splitlines()
    assert first.startswith("Published protocol, 3 seeds: within noise of the original")
    assert second == "Strict protocol: No test: our models were trained on these rows."
    assert "From the published to the strict protocol" not in said(row)
    protocols = {**whole["protocols"], PUBLISHED: {**whole["protocols"][PUBLISHED], "seen": True}}
    row = written(protocols=protocols)
    assert not any("original" in item.other or "published" in item.other for item in tally([row]))
    assert verdict(row, row.views()[0]).startswith("Published protocol: No test")


def test_what_is_compared_with_nothing_says_its_figure_and_that_of_the_control(written):
    methods = {"pretrained": {"title": "Ours", "base": "lm"}, "even": {"title": "All alike", "kind": "control"}}
    scores = {"windows": {"pretrained": seeds(0.4), "even": seeds(0.1)}}
    row = written(scores=scores, methods=methods, protocols={}, published=[], differences=[])
    (line,) = overview([row])["Promoters"]
    assert line.cells[-1].text == (
        "MCC 0.400 (0.380–0.420); a control (All alike) has 0.100 (0.080–0.120); one seed."
    )


def test_a_further_protocol_has_a_line_below_that_of_the_published_and_the_strict_one(written):
    whole = result()
    protocols = {**whole["protocols"], "mouse": {"title": "Tested on mouse"}}
    scores = {**whole["scores"], "mouse": {"pretrained": seeds(0.5), "cnn": seeds(0.3)}}
    row = written(protocols=protocols, scores=scores)
    first, second = (dict(zip(OVERVIEW, line.cells, strict=True)) for line in overview([row])["Promoters"])
    alone = dict(zip(OVERVIEW, overview([written()])["Promoters"][0].cells, strict=True))
    assert first == alone
    assert second["Question"] == ("Tested on mouse", "MCC")
    assert second["Ours, strict protocol"] == ("0.500 (0.480–0.520)", "From the language model")
    for column in ("Original", "Best published", "Ours, published protocol", "Naive"):
        assert second[column] == ("–", "")
    assert second["Best simple baseline"] == ("0.300 (0.280–0.320)", "cnn")
    assert second["Reading"].text == "Better than simple baselines by 0.200; one seed."


def test_trainings_on_other_labels_are_called_draws_everywhere(written):
    row = written(repeat="draw", scores={STRICT: {"pretrained": seeds(0.6, 0.7), "cnn": seeds(0.5)}}, differences=[])
    assert verdict(row, row.views()[0]).endswith("; 2 draws.")
    assert "| From the language model, mean of 2 draws |" in row_text(row) and "seed" not in row_text(row)
    assert seed_cells(row, STRICT)[0][1] == "Draw"


def test_naive_that_was_run_elsewhere_only_says_where(written):
    scores = result()["scores"]
    del scores[STRICT]["naive"]
    row = written(scores=scores, differences=[])
    cells = dict(zip(OVERVIEW, overview([row])["Promoters"][0].cells, strict=True))
    assert cells["Naive"] == ("0.700 (0.680–0.720)", "published protocol")


def test_the_document_has_all_rows_in_their_order_and_whole_tables(tmp_path):
    for name, order, section in (("last", 30, "Promoters"), ("first", 1, "Genes"), ("toy", 20, "Promoters")):
        (tmp_path / f"{name}.json").write_text(json.dumps(result(name=name, order=order, section=section, title=name)))
    text = document(read_results(tmp_path))
    assert [line for line in text.splitlines() if line.startswith("### ")] == [
        *("### Genes", "### Promoters"),
        *("### first", "### toy", "### last"),
    ]
    blocks = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    assert len(blocks) == 3 + 3 * 6
    assert all(len({line.count(" | ") for line in block}) == 1 for block in blocks)
    assert "genolm recipe run first --data DATA" in text and text.endswith("```\n")
    assert document(read_results(tmp_path)) == text


def test_a_row_as_text_says_where_all_of_it_is_from(written):
    text = row_text(written())
    assert text.startswith("# Toy | promoters\n\nIs it one?") and "| Adapted first, mean of 3 seeds | 0.800" in text
    for words in (
        "- left out, twice: 12",
        "| a.fa | https://example.org; by hand | CC0 | ab |",
        "- First (original): Table 1",
        "A processor, 2 cores, device cpu; 60 min in all",
        "published protocol 3 min; strict protocol 3 min",
        "| strict protocol | Adapted first | Random weights | MCC | +0.100 (+0.090 to +0.110) | p < 0.001 |",
        "The original's test rows have relatives in training.",
    ):
        assert words in text, words


@pytest.mark.parametrize(
    ("seconds", "words"), [(840.0, "14 min in all"), (838.0, "14 min for the last run, without the trainings that")]
)
def test_the_time_of_a_run_that_took_up_trainings_is_not_called_that_of_all(written, seconds, words):
    # Seven runs of a minute under each protocol; the last ones hold the time of others or are of one network.
    scores = result()["scores"]
    for methods in scores.values():
        methods["averaged"] = seeds(0.9)
        methods["both"] = seeds(0.9)
        methods["both"]["seeds"][0] |= {"weights": "ab", "seconds": 1.0}
    methods = {**result()["methods"], "averaged": {"title": "A", "settings": {"average": ["pretrained", "adapted"]}}}
    text = row_text(written(scores=scores, methods=methods, seconds=seconds))
    assert f"device cpu; {words}" in text


@pytest.mark.parametrize(("groups", "few"), [(19, True), (20, False)])
def test_few_groups_are_said_in_the_reading_and_in_the_overview(written, groups, few):
    whole = result()
    drawn = {"drawn_over": "families", "drawn_groups": groups}
    strict = {**whole["protocols"][STRICT], **drawn}
    protocols = {**whole["protocols"], STRICT: strict, "far": {"title": "Far", **drawn}}
    row = written(protocols=protocols, scores={**whole["scores"], "far": {"pretrained": seeds(0.5), "cnn": seeds(0.3)}})
    for head in ("Strict protocol", "Far"):
        assert f"Intervals are drawn over {groups} whole families." in said(row)[head]
        assert ("So few make them too narrow." in said(row)[head]) == few
    assert "drawn over" not in said(row)["Published protocol"]
    for line in overview([row])["Promoters"]:
        assert line.cells[-1].text.endswith(f". Intervals over {groups} whole families are too narrow.") == few


def test_nothing_run_yet_and_figures_only_are_said(written):
    nothing = {"scores": {}, "differences": [], "published": []}
    planned = written(**nothing)
    assert verdict(planned, planned.views()[0]) == "Not run yet."
    assert said(planned) == {"Scores": "Nothing of this row was run yet."}
    figure = {"name": "map", "title": "A map", "caption": "Dots.", "plotly": {"data": []}}
    drawn = written(**nothing, figures=[figure], methods={"lm": "A title"})
    assert verdict(drawn, drawn.views()[0]) == "Figures only: A map." and "- A map: Dots." in row_text(drawn)
    assert drawn.title_of("lm") == "A title"


def test_without_results_the_document_says_so():
    assert "There are no results yet." in document([])


@pytest.mark.parametrize(("seconds", "words"), [(None, "–"), (3.14, "3.1 s"), (42, "42 s"), (600, "10 min"), (9000, "2.5 h")])
def test_times_are_said_in_words(seconds, words):
    assert duration(seconds) == words


def test_the_answers_that_are_kept_are_those_of_the_shipped_results():
    for path in sorted((workspace.recipes_dir() / "answers").glob("*.npz")):
        row = {row.name: row for row in read_results()}[path.stem]
        steps, arrays = read_answers(path)
        for name, told in steps.items():
            protocol, method, seed = told["place"]
            (run,) = (item for item in row.scores[protocol][method].seeds if item.seed == seed)
            assert run.metrics[row.metric].value == told["scores"][row.metric]["value"]
            assert told["table"] == row.protocols[protocol].table_sha256
            assert len(arrays[f"{name}/test"]) == row.protocols[protocol].rows["test"]


def test_the_shipped_results_can_be_read_and_are_what_the_document_says():
    rows = read_results()
    assert all(row.path.stem == row.name for row in rows)
    page = workspace.results_dir().parents[1] / "docs" / "results.md"
    if rows and page.is_file():
        assert page.read_text(encoding="utf-8") == document(rows), "genolm recipe report --out docs/results.md"


def test_a_report_of_a_folder_that_is_not_there_is_an_error_and_writes_nothing(tmp_path):
    out = tmp_path / "page.md"
    ran = CliRunner().invoke(commands, ["recipe", "report", "--results", str(tmp_path / "nothing"), "--out", str(out)])
    assert ran.exit_code != 0 and "There is no folder" in ran.output and not out.exists()
    ran = CliRunner().invoke(commands, ["recipe", "report", "--results", str(tmp_path)])
    assert ran.exit_code == 0 and "There are no results yet." in ran.output
