"""Cards: numbers, the headline, and the page rendered from the data."""

import math

from genolm.cards import format_estimate, headline, merged_data, metric_name, render_card

CARD = {
    "title": "Promoters",
    "purpose": "Finds promoters.",
    "date": "2026-11-23",
    "licence": "MIT",
    "recipe": "recipes/promoters.py",
    "data": [{"name": "sites | all", "records": 3543, "bases": 286983, "sha256": "ab12"}],
    "settings": {"drop_mult": 0.5, "betas": [0.9, 0.99], "reverse": True},
    "training": {"tokens": 12_000_000, "epochs": [{"loss": 1.0}, {"loss": 0.5}]},
    "metrics": {
        "valid": {"auroc": {"value": 0.97, "low": 0.96, "high": 0.98}},
        "test": {"auroc": {"value": 0.9512, "low": 0.9349, "high": 0.967}, "mcc": {"value": 0.8}},
    },
    "baselines": {"majority": {"mcc": {"value": 0.0, "low": 0.0, "high": 0.0}}},
    "limits": ["Only E. coli."],
}


def test_estimates_are_shown_with_their_interval():
    assert format_estimate({"value": 0.93149, "low": 0.9, "high": 0.95}) == "0.931 (0.900–0.950)"
    assert format_estimate({"value": 0.5}) == "0.500"
    assert format_estimate(0.25) == "0.250"
    assert format_estimate({"value": math.nan}) == "–"
    assert format_estimate({"value": None}) == "–"


def test_headline_prefers_the_test_split_and_auroc():
    assert headline(CARD) == "AUROC 0.951 (0.935–0.967) on test"
    assert (
        headline({"metrics": {"held-out": {"bits_per_base": {"value": 1.93}}}})
        == "Bits per base 1.930 on held-out"
    )
    assert headline({}) == ""


def test_a_card_can_name_the_metric_to_show_first():
    both = {"auroc": {"value": 0.99}, "accuracy": {"value": 0.8}}
    assert headline({"metrics": {"test": both}, "headline": "accuracy"}) == "Accuracy 0.800 on test"
    assert headline({"metrics": {"test": both}, "headline": "mcc"}) == "AUROC 0.990 on test"
    assert headline({"metrics": {"test": both}, "test_of": "tested on human"}) == "AUROC 0.990 on test (tested on human)"
    assert headline({"metrics": {"valid": both}, "test_of": "tested on human"}) == "AUROC 0.990 on valid"


def test_unknown_metrics_are_shown_by_their_key():
    assert metric_name("top_5") == "Top 5"
    assert metric_name("auroc_mouse") == "AUROC, mouse"
    assert metric_name("mcc") == "MCC"


def test_the_digest_of_the_training_rows_is_not_on_the_page():
    card = {**CARD, "training": {**CARD["training"], "seen": "c2Vlbg=="}}
    assert render_card(card) == render_card(CARD)


def test_page_holds_every_part():
    page = render_card(CARD, facts={"Tokens": "3-mers every 3 bp"})
    assert page.startswith(
        "# Promoters\n\nFinds promoters.\n\n- **Tokens:** 3-mers every 3 bp\n- **Date:** 2026-11-23"
    )
    assert "|  | AUROC | MCC |\n| --- | --- | --- |\n| this model, valid | 0.970 (0.960–0.980) |  |" in page
    assert (
        "| this model, test | 0.951 (0.935–0.967) | 0.800 |\n| baseline: majority |  | 0.000 (0.000–0.000) |"
        in page
    )
    assert "| sites \\| all |  | 3,543 | 286,983 |  | ab12 |" in page
    assert "- drop mult: 0.5\n- betas: 0.9, 0.99\n- reverse: yes" in page
    assert "- tokens: 12,000,000\n- epochs: 2 entries, see card.json" in page
    assert page.endswith("## Known limits\n\n- Only E. coli.\n")


def test_an_empty_card_still_makes_a_page():
    assert render_card({}) == "# Untitled model\n"


def test_data_of_one_hash_is_one_entry_with_all_that_is_known():
    first = {"name": "raw.fa", "sha256": "ab", "records": 9, "source": ""}
    second = {"name": "strict.csv.gz", "sha256": "ab", "bases": 50, "source": "here"}
    others = [{"name": "no hash"}, {"name": "no hash either"}]
    merged = {"name": "raw.fa", "sha256": "ab", "records": 9, "source": "here", "bases": 50}
    assert merged_data([first, *others, second]) == [merged, *others]
    assert first["source"] == "" and render_card({"data": [first, second]}).count("| ab |") == 1


def test_hashes_are_whole_in_the_file_and_short_on_request():
    card = {"data": [{"name": "a", "sha256": "0123456789abcdef" * 4}]}
    assert "0123456789abcdef" * 4 in render_card(card)
    assert "| 0123456789ab |" in render_card(card, short_hashes=True)


def test_a_card_with_several_tests_says_of_which_the_baselines_are():
    page = render_card({**CARD, "test_of": "tested on human"})
    assert "| this model, test, tested on human | 0.951" in page and "| this model, valid | 0.970" in page
    assert "| baseline, tested on human: majority |" in page
