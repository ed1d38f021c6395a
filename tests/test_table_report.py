"""The report on a table: figures by hand, sentences where they belong, JSON there and back."""

import json
from dataclasses import replace

import numpy as np
import pytest

from genolm.labels import code_labels
from genolm.sequences import reverse_complement
from genolm.shortcuts import ShortcutScore
from genolm.table_facts import class_histograms, letter_facts
from genolm.table_report import TableReport, report_table
from genolm.table_split import SplitSettings, split_rows
from genolm.table_warnings import table_warnings
from genolm.tables import labelled_rows, read_table


def dna(rng, length, gc=0.5):
    return "".join(rng.choice(list("ACGT"), length, p=[(1 - gc) / 2, gc / 2, gc / 2, (1 - gc) / 2]))


def report_on(folder, rows, *, header="sequence,label", settings=None, task="", **options):
    path = folder / "mine.csv"
    path.write_text("\n".join([header, *(",".join(row) for row in rows)]) + "\n")
    table = labelled_rows(read_table(path, need_label=False, skip_bad_rows=True))
    code = code_labels(table.labels, task=task)
    return report_table(table, code, split_rows(table, code, settings), **{"shortcuts": False, **options})


def sentences(report, level=None):
    return [item.sentence for item in report.warnings if level in (None, item.level)]


@pytest.fixture
def plain_rows(rng):
    return [(dna(rng, 60), "ab"[row % 2]) for row in range(100)]


def test_figures_by_hand(tmp_path):
    rows = [
        ("ACGTACGT", "x", "train"),
        ("GGGG", "x", "train"),
        ("NNGC", "y", "test"),
        ("AAAA", "y", "valid"),
        ("CCCC", "y", "train"),
        ("AAAA", "", "train"),
    ]
    report = report_on(tmp_path, rows, header="sequence,label,split")
    assert (report.name, report.task, report.rows, report.bases) == ("mine.csv", "binary", 5, 24)
    x, y = report.classes
    assert (x.name, x.rows, x.train, x.valid, x.test) == ("x", 2, 2, 0, 0)
    assert x.length == (4, 5, 6, 7, 8) and x.gc == (0.5, 0.625, 0.75, 0.875, 1.0)
    assert (y.rows, y.train, y.valid, y.test) == (3, 1, 1, 1) and y.gc == (0.0, 0.5, 1.0, 1.0, 1.0)
    assert report.unlabelled == 1
    # GGGG and CCCC are one sequence on two strands, with two labels.
    assert report.copies.repeated == 1 and report.copies.conflicting == 0 and report.copies.crossed == 2
    assert report.copies.examples == () and report.copies.crossed_examples == ((3, 6),)
    assert report.copies.too_short == 5
    assert report.letters.counts == {"N": 2} and report.letters.rows == 1
    assert report.letters.share == pytest.approx(2 / 24)
    assert report.split.counts == {"train": 3, "valid": 1, "test": 1} and report.split.leaked == 0


def test_histograms_count_every_row(tmp_path, rng):
    rows = [(dna(rng, size), "ab"[size % 2]) for size in range(40, 140)]
    report = report_on(tmp_path, rows)
    lengths = report.length_histogram
    assert not lengths.log and len(lengths.edges) <= 31
    assert {name: sum(counts) for name, counts in lengths.counts.items()} == {"a": 50, "b": 50}
    low, width = lengths.edges[0], lengths.edges[1] - lengths.edges[0]
    assert low == 39.5 and width == 4
    assert lengths.counts["a"][0] == 2 and lengths.counts["b"][0] == 2
    assert sum(report.gc_histogram.counts["a"]) == 50


def test_many_classes_and_long_tails_stay_readable(tmp_path, rng):
    rows = [(dna(rng, 5_000 if row == 7 else 50), f"c{min(row % 20, 12)}") for row in range(200)]
    report = report_on(tmp_path, rows, settings=SplitSettings("random"))
    assert report.length_histogram.log
    assert len(report.length_histogram.counts) == 8
    assert "all other classes" in report.length_histogram.counts
    assert sum(map(sum, report.length_histogram.counts.values())) == 200


def test_a_regression_has_a_histogram_of_its_values(tmp_path, rng):
    report = report_on(tmp_path, [(dna(rng, 50), f"{row / 3:.2f}") for row in range(60)])
    assert report.task == "regression" and report.classes[0].name == "all rows"
    assert sum(report.value_histogram.counts["all rows"]) == 60


def test_gc_difference_is_said_in_one_sentence(tmp_path, rng):
    rows = [(dna(rng, 100, (0.4, 0.6)[row % 2]), ("other", "promoter")[row % 2]) for row in range(300)]
    report = report_on(tmp_path, rows, shortcuts=True)
    (sentence,) = sentences(report, "warn")
    gc = next(item for item in report.shortcuts if item.key == "gc").main
    figure = f"{gc['value']:.2f} ({gc['low']:.2f}-{gc['high']:.2f})"
    assert sentence.startswith("Your classes differ in GC content (medians: other 4") and figure in sentence
    assert sentence.endswith(f"that alone gives AUROC {figure}.")
    assert report.can_train


def test_nothing_suspicious_gives_no_warning(tmp_path, rng):
    rows = [(dna(rng, 80), "ab"[row % 2]) for row in range(700)]
    report = report_on(tmp_path, rows, shortcuts=True)
    assert sentences(report, "stop") == [] and sentences(report, "warn") == []


def test_refused_rows_stop_until_they_may_be_left_out(tmp_path, plain_rows):
    rows = [*plain_rows, ("ACG!", "a")]
    allowed, forbidden = (report_on(tmp_path, rows, left_out=choice) for choice in (True, False))
    assert allowed.can_train and not forbidden.can_train
    assert allowed.warnings[0].level == "warn"
    assert allowed.warnings[0].sentence.startswith("1 row cannot be used; the first is row 102: position 4")
    assert forbidden.warnings[0].level == "stop" and "Mend the file" in forbidden.warnings[0].sentence


def test_leakage_of_the_chosen_split_and_of_a_random_one(tmp_path, rng):
    founders = [dna(rng, 80) for _ in range(100)]
    rows = [(form, "ab"[i % 2]) for i, item in enumerate(founders) for form in (item, reverse_complement(item))]
    by_cluster = report_on(tmp_path, rows)
    share = by_cluster.split.random_share
    assert by_cluster.split.leaked == 0 and share > 0.5
    assert f"given one to {share:.0%} of its test rows" in " ".join(sentences(by_cluster, "note"))
    at_random = report_on(tmp_path, rows, settings=SplitSettings("random"))
    assert at_random.split.leaked > 10
    assert "have a near-duplicate in training: figures" in " ".join(sentences(at_random, "warn"))
    assert by_cluster.copies.similar == 200 and by_cluster.copies.clusters == 100


def test_a_random_split_makes_short_words_look_better(tmp_path, rng):
    rows = []
    for index in range(100):
        founder = np.array(list(dna(rng, 80)))
        for _ in range(3):
            copy = founder.copy()
            copy[rng.integers(0, 80, 2)] = "A"
            rows.append(("".join(copy), "ab"[index % 2]))
    report = report_on(tmp_path, rows, shortcuts=True, random_split=True)
    honest = next(item for item in report.shortcuts if item.key == "kmers").main["value"]
    assert report.random_words.main["value"] > 0.9 > honest
    assert any("With a random split the same would seem to reach" in text for text in sentences(report))


def test_uneven_rare_and_missing_classes_are_named(tmp_path, rng):
    rows = [(dna(rng, 60), "common") for _ in range(90)] + [(dna(rng, 60), "odd") for _ in range(2)]
    report = report_on(tmp_path, rows + [(dna(rng, 60), "third") for _ in range(30)])
    found = sentences(report, "warn")
    assert any("common has 90 rows, odd 2" in text and "74%" in text for text in found)
    assert any(text.startswith("The class odd has fewer than 10 rows") for text in found)
    assert any("The class odd has no" in text for text in found)


def test_a_class_without_training_rows_forbids_training(tmp_path, plain_rows):
    rows = [(*row, "train" if row[1] == "a" else "test") for row in plain_rows[:-1]]
    rows += [(plain_rows[-1][0], "a", "valid")]
    report = report_on(tmp_path, rows, header="sequence,label,split")
    assert "The class b has no training row: no model can learn it." in sentences(report, "stop")
    assert not report.can_train


def test_of_several_classes_without_rows_it_is_spoken_in_the_plural(tmp_path, rng):
    parts = ["train"] * 20 + ["valid"] * 5 + ["test"] * 5
    rows = [(dna(rng, 60), name, part) for name in "ab" for part in parts]
    rows += [(dna(rng, 60), name, "train") for name in "cd" for _ in range(20)]
    found = sentences(report_on(tmp_path, rows, header="sequence,label,split"), "warn")
    assert "2 classes (c, d) have no test row: how well they are recognised stays unknown." in found
    assert "2 classes (c, d) have no validation row: the training cannot be steered by them." in found


def test_a_slip_in_a_class_is_named_with_its_row_and_what_was_meant(tmp_path, rng):
    words = ["promoter", "non-promoter"]
    rows = [(dna(rng, 60), words[row % 2]) for row in range(100)]
    rows[41] = (rows[41][0], "promotor")
    found = report_on(tmp_path, rows)
    told = "The class promotor has 1 row (row 43) and is written almost as promoter, which has 50 rows: if it is a slip"
    assert sum(told in sentence for sentence in sentences(found)) == 1
    assert sum("promotor" in sentence for sentence in sentences(found)) == 1, "the one sentence is enough"
    assert not any("uneven" in sentence for sentence in sentences(found))


def test_a_class_beside_its_slip_alone_keeps_its_warnings(tmp_path, rng):
    rows = [(dna(rng, 60), "promoter") for _ in range(100)] + [(dna(rng, 60), "promotor")]
    found = sentences(report_on(tmp_path, rows))
    assert any("is written almost as promoter" in text for text in found)
    assert any(text.startswith("The class promotor has no test row") for text in found)
    assert any("uneven" in text for text in found)


def test_cells_of_two_signs_are_two_classes(tmp_path, rng):
    rows = [(dna(rng, 60), "Gram-") for _ in range(300)] + [(dna(rng, 60), "Gram+") for _ in range(2)]
    found = sentences(report_on(tmp_path, rows))
    assert not any("almost" in text or "alike" in text for text in found)
    assert any(text.startswith("The class Gram+ has no test row") for text in found)
    assert any("uneven: Gram- has 300 rows, Gram+ 2" in text for text in found)


def test_more_slips_than_can_be_read_are_counted(tmp_path, rng):
    usual = [f"{''.join(rng.choice(list('bcdfgklmnprst'), 9))}" for _ in range(30)]
    rows = [(dna(rng, 60), name) for name in usual for _ in range(20)]
    found = report_on(tmp_path, [*rows, *((dna(rng, 60), f"{name[:4]}w{name[4:]}") for name in usual)])
    assert sum("is written almost as" in text for text in sentences(found)) == 20
    (rest,) = (text for text in sentences(found) if "far larger ones" in text)
    assert rest == "10 more classes of a row or two are written almost as far larger ones."


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("TRUE", "FALSE", "True", "other"), "TRUE (25 rows) and True (25 rows) are written alike but for capitals"),
        (("1", "0", "1.0", "2"), "1 (25 rows) and 1.0 (25 rows) are the same number: if they are one class, write"),
        (("non promoter", "x", "non_promoter", "Nonpromoter"), "non_promoter (25 rows) are written alike"),
        (("CD4+", "CD4-", "A 1", "A 2"), None),
        (("-1", "1", "0", "-"), None),
    ],
)
def test_classes_that_differ_in_capitals_or_as_numbers_are_written_only(tmp_path, rng, names, said):
    report = report_on(tmp_path, [(dna(rng, 60), names[row % 4]) for row in range(100)], task="multiclass")
    found = [text for text in sentences(report, "warn") if "if they are one class" in text]
    assert len(found) == (said is not None) and all(said in text and text.startswith("The classes ") for text in found)


def test_a_class_called_as_a_missing_value_is_told(tmp_path, rng):
    names = ("promoter", "other", "NA")
    found = sentences(report_on(tmp_path, [(dna(rng, 60), names[row % 3]) for row in range(90)]), "warn")
    assert [text for text in found if "missing value" in text] == [
        "The class NA (30 rows) is called as many programs write a missing value: if it is one, leave those cells "
        "empty, and the rows count as rows without a label."
    ]


def test_rows_of_two_groups_are_a_warning(tmp_path, plain_rows):
    rows = [(*row, f"chr{place // 25}", "train" if place < 50 else "test") for place, row in enumerate(plain_rows)]
    report = report_on(tmp_path, rows, header="sequence,label,group,split")
    assert report.split.doubts and report.split.doubts[0] in sentences(report, "warn")
    assert TableReport.from_json(json.loads(json.dumps(report.to_json()))) == report


@pytest.mark.parametrize(
    ("odd", "usual", "is_slip"),
    [
        ("Promoter ", "promoter", True),
        ("non promoter", "non-promoter", True),
        ("enhancr", "enhancer", True),
        ("non-promoter", "promoter", False),
        ("chr12", "chr11", False),
        ("H3K4me1", "H3K4me3", False),
        ("Escherichia", "Salmonella", False),
        ("b", "a", False),
        ("CD4+", "CD4-", False),
        ("<500 bp", ">500 bp", False),
        ("Gram -", "Gram-", True),
        ("TypeII", "TypeI", False),
        ("TypeIII", "TypeI", False),
        ("type II", "type I", False),
        ("TypeA", "Type", False),
        ("cluster B", "cluster A", False),
        ("cluster B1", "cluster A1", False),
        ("IncFIB", "IncFIA", False),
        ("hsa-let-7b-5p", "hsa-let-7a-5p", False),
        ("chr1_2", "chr12", False),
        ("E.coli", "E. coli", True),
        ("5UTR", "5'UTR", True),
        ("promoters", "promoter", True),
    ],
)
def test_names_that_differ_by_a_slip(tmp_path, rng, odd, usual, is_slip):
    rows = [(dna(rng, 60), usual if row % 2 else "something else") for row in range(80)]
    found = report_on(tmp_path, [*rows, (dna(rng, 60), f'"{odd}"')])
    assert any("is written almost as" in sentence for sentence in sentences(found)) == is_slip


def test_conflicts_near_duplicates_of_two_classes_and_letters(tmp_path, plain_rows, rng):
    other = str.maketrans("ACGT", "CATG")
    twins = [
        (sequence[:29] + sequence[29].translate(other) + sequence[30:], "b" if label == "a" else "a")
        for sequence, label in plain_rows
    ]
    rows = [*plain_rows, (plain_rows[0][0].lower(), "b"), *twins[1:40], ("N" * 60, "a")]
    found = sentences(report_on(tmp_path, rows))
    assert any("2 rows share a sequence with a row of another label, such as rows 2 and 102" in i for i in found)
    assert any("near-duplicates of rows of another class" in text for text in found)
    assert any("1 row hold" in text and "N 60" in text for text in found)


def test_the_strand_may_be_the_label(tmp_path, rng):
    pieces = [dna(rng, 60) for _ in range(40)]
    rows = [
        (form, label) for item in pieces for form, label in ((item, "sense"), (reverse_complement(item), "anti"))
    ]
    report = report_on(tmp_path, [*rows, (pieces[0], "anti")])
    found = sentences(report)
    assert "2 rows share a sequence with a row of another label, such as rows 2 and 82: no" in " ".join(found)
    (note,) = (text for text in sentences(report, "note") if "on the other strand" in text)
    assert note.startswith("79 rows share a sequence") and "such as rows" in note
    assert note.endswith("a model that reads both strands alike cannot be right on both.")
    assert not any("near-duplicates of rows of another class" in text for text in found)


def test_labels_in_another_order_contradict_nothing(tmp_path, rng):
    pieces = [dna(rng, 60) for _ in range(40)]
    rows = [(item, label) for item in pieces for label in ("a;b", "b;a", "b; a;")]
    assert report_on(tmp_path, rows).copies.conflicting == 0
    assert report_on(tmp_path, [*rows, (pieces[0], "a;c")]).copies.conflicting == 4


def test_values_of_one_sequence_give_their_spread_and_what_can_be_reached(tmp_path, rng):
    def told(noise, times):
        values = rng.normal(size=(400, 1)) + noise * rng.normal(size=(400, times))
        pieces = [dna(rng, 40) for _ in values]
        rows = [(piece, f"{value:.4f}") for piece, row in zip(pieces, values, strict=True) for value in row]
        report = report_on(tmp_path, rows, settings=SplitSettings("random"))
        assert report.copies.conflicting == report.copies.crossed == 0
        assert not any("another label" in text for text in sentences(report))
        (sentence,) = (text for text in sentences(report, "note") if "measured more than once" in text)
        return report.copies.replicates, sentence

    found, sentence = told(0.01, 2)
    assert found.sequences == 400 and found.apart == pytest.approx(0.01, rel=0.1)
    assert sentence.startswith("400 sequences are measured more than once: the") and "Pearson" not in sentence
    found, sentence = told(1.0, 5)
    assert found.apart == pytest.approx(1.0, rel=0.1) and found.whole == pytest.approx(2**0.5, rel=0.1)
    # True values and noise of one deviation each: the truth correlates with a measurement by the root of a half.
    assert found.reachable == pytest.approx(0.5**0.5, abs=0.05)
    assert sentence.endswith(f"reaches a Pearson correlation of about {found.reachable:.2f}.")


def test_few_or_equal_repeats_promise_nothing(tmp_path, rng):
    rows = [(dna(rng, 40), f"{rng.normal():.3f}") for _ in range(60)]
    assert report_on(tmp_path, rows + rows, settings=SplitSettings("random")).copies.replicates is None
    found = report_on(tmp_path, [*rows, (rows[0][0], "9.5")])
    assert found.copies.replicates.reachable is None
    assert any(text.startswith("1 sequence is measured more than once") for text in sentences(found, "note"))


@pytest.mark.parametrize(
    ("labels", "figures", "verdict"),
    [
        ("classes", (0.52, 0.41, 0.63), "AUROC 0.52 (0.41-0.63): short words alone tell nothing here."),
        ("classes", (0.54, 0.51, 0.57), "0.54 (0.51-0.57): a model is worth having only if it does better."),
        ("classes", (0.70, 0.45, 0.90), "0.70 (0.45-0.90): a model is worth having only if it does better."),
        ("classes", (0.99, 0.98, 1.00), "there is little left to gain."),
        ("classes", (1.00, 0.40, 1.00), "that may leave little to gain, but the rows are too few to tell."),
        ("values", (0.42, 0.28, 0.54), "Spearman 0.42 (0.28-0.54): a model is worth having only if it does better."),
        ("values", (0.05, -0.10, 0.20), "Spearman 0.05 (-0.10-0.20): short words alone tell nothing here."),
        ("values", (None, None, None), "unknown: Spearman is not defined on test rows with values or answers that"),
        ("classes", (None, None, None), "stays unknown: AUROC is not defined on test rows without two classes."),
    ],
)
def test_what_short_words_tell_is_judged_by_their_own_figure(tmp_path, rng, plain_rows, labels, figures, verdict):
    values = [(sequence, f"{rng.normal():.3f}") for sequence, _ in plain_rows]
    report = report_on(tmp_path, plain_rows if labels == "classes" else values)
    metric = "auroc" if labels == "classes" else "spearman"
    words = ShortcutScore("kmers", "words", metric, {metric: dict(zip(("value", "low", "high"), figures, strict=True))})
    (sentence,) = (
        item.sentence for item in table_warnings(replace(report, shortcuts=(words,))) if "short words" in item.sentence
    )
    assert verdict in sentence
    assert ("tell nothing" in sentence) == ("tell nothing" in verdict)


def test_letters_are_counted_whatever_their_case():
    found = letter_facts(["ACGTn", "acguRR", "AA"])
    assert found.counts == {"N": 1, "R": 2} and found.rows == 2 and found.share == 3 / 13


@pytest.mark.parametrize("labels", [("a", "b"), ("a", "b", "c"), ("a;b", "b", "a"), ("0.5", "1.5", "2.7")])
def test_json_there_and_back(tmp_path, rng, labels):
    rows = [(dna(rng, 50), labels[row % len(labels)]) for row in range(60)]
    report = report_on(tmp_path, [*rows, ("!", labels[0])], shortcuts=True, random_split=True)
    text = json.dumps(report.to_json(), allow_nan=False)
    assert TableReport.from_json(json.loads(text)) == report


def test_warnings_follow_from_the_figures_alone(tmp_path, plain_rows):
    report = report_on(tmp_path, plain_rows)
    assert table_warnings(replace(report, warnings=())) == report.warnings
    assert [item.level for item in report.warnings] == sorted(
        (item.level for item in report.warnings), key=("stop", "warn", "note").index
    )


def test_histograms_of_values_are_absent_for_classes(tmp_path, plain_rows):
    path = tmp_path / "t.csv"
    path.write_text("sequence,label\n" + "\n".join(map(",".join, plain_rows)))
    table = read_table(path)
    assert class_histograms(table, code_labels(table.labels))[2] is None
