import re

import pytest

from genolm.errors import SettingsError, TableError
from genolm.labels import code_classes, code_labels, missing_words


def test_two_words_are_a_binary_task_whose_positive_is_the_second_in_order():
    code = code_labels(["promoter", "non-promoter", "promoter"])
    assert code.head.task == "binary" and code.head.classes == ("non-promoter", "promoter")
    assert code.values.tolist() == [1, 0, 1]


def test_zero_and_one_are_classes_not_quantities():
    code = code_labels(["0", "1", "1"])
    assert code.head.task == "binary" and code.values.tolist() == [0, 1, 1]


def test_many_words_are_classes():
    code = code_labels(["b", "c", "a"])
    assert code.head.task == "multiclass" and code.values.tolist() == [1, 2, 0]


def test_semicolons_make_several_labels():
    code = code_labels(["a;b", "b", "c; a"])
    assert code.head.task == "multilabel" and code.head.classes == ("a", "b", "c")
    assert code.values.tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 1]]


def test_decimals_are_a_regression():
    code = code_labels(["0.5", "1.25", "-2.0"])
    assert code.head.task == "regression" and code.values.ravel().tolist() == [0.5, 1.25, -2.0]


def test_labels_a_model_does_not_know_are_named():
    with pytest.raises(TableError, match="Unknown labels: x; the classes are a, b"):
        code_classes(["a", "x"], ["a", "b"])


def test_the_task_and_the_positive_class_can_be_said():
    code = code_labels(["yes", "no"], positive="no")
    assert code.head.classes == ("yes", "no") and code.values.tolist() == [0, 1]
    assert code_labels(["0", "1"], task="multiclass").head.task == "multiclass"
    assert code_labels(["1", "2", "10"], task="regression").values.ravel().tolist() == [1, 2, 10]
    assert code_labels(["0.5", "1.5", "2.5"], task="multiclass").head.classes == ("0.5", "1.5", "2.5")
    assert code_labels(["a", "b"], task="multilabel").values.tolist() == [[1, 0], [0, 1]]
    assert code_labels(["a", "b"], task="auto").head.task == "binary"


def test_numbers_with_and_without_decimals_are_a_regression():
    assert code_labels(["0.5", "1", "2.25"]).head.task == "regression"
    assert code_labels([str(number) for number in range(21)]).head.task == "regression"


def test_few_whole_numbers_are_classes_in_order_of_value():
    assert code_labels(["10", "9", "2", "9"]).head.classes == ("2", "9", "10")
    assert code_labels(["1.0", "2.0", "3.0"]).head.task == "multiclass"
    assert code_labels(["1.5", "nan", "2.5"], task="multiclass").head.task == "multiclass"


def test_names_of_clusters_are_no_numbers():
    assert code_labels(["1_2", "1_1", "1_10"]).head.classes == ("1_1", "1_10", "1_2")
    assert code_labels(["1_2", "13"] * 20).head.classes == ("13", "1_2")


def numbers(count):
    return [f"{place / 7:.3f}" for place in range(count)]


@pytest.mark.parametrize("word", "NA NaN na n/a N/A #N/A NULL - None none ? . <NA>".split())
@pytest.mark.parametrize("others", [numbers(50), ["0", "1"] * 25])
@pytest.mark.parametrize("task", ["", "regression"])
def test_a_missing_value_among_numbers_is_named_with_its_row(word, others, task):
    labels = [*others[:20], word, *others[20:], word]
    named = re.escape(repr(word))
    with pytest.raises(TableError, match=f"missing value stands in 2 of 52 labels, first in row 23: {named}.*empty"):
        code_labels(labels, task=task, rows=[*range(2, 22), *range(23, 55)])
    with pytest.raises(TableError, match="first in label 21: .* as what is to be predicted .*--task multiclass\\) or"):
        code_labels(labels, task=task)
    assert word in code_labels(labels, task="multiclass").head.classes


def test_a_missing_value_among_words_is_refused_only_if_it_can_be_no_class():
    assert code_labels(["+", "-"]).head.classes == ("+", "-")
    assert code_labels(["EU", "NA", "SA"]).head.classes == ("EU", "NA", "SA")
    with pytest.raises(TableError, match="1 of 3 labels, first in label 2: '#N/A'"):
        code_labels(["promoter", "#N/A", "other"])


def test_classes_that_are_called_as_a_missing_value_is_written():
    names = ["promoter", "NA", "None", "none", "NULL", "?", ".", "-", "nan", "other"]
    assert missing_words(names) == ["NA", "None", "NULL", "?", ".", "-", "nan"]
    assert missing_words(["+", "-"]) == [] and missing_words(["+", "-", "."]) == ["."]
    assert code_labels(["promoter", "other", "NA"]).head.classes == ("NA", "other", "promoter"), "told, not refused"


@pytest.mark.parametrize("task", ["", "regression"])
def test_decimal_commas_are_named_with_the_first_row(task):
    labels = ["1", "NA", *(number.replace(".", ",") for number in ("0.53", *numbers(40)))]
    with pytest.raises(TableError, match="41 of 43 labels, first in row 4: '0,53'. Write it with a point, 0.53;"):
        code_labels(labels, task=task, rows=range(2, 45))
    with pytest.raises(TableError, match=r"2 of 4 labels, first in label 2: '7.205,5'. Write it with a point, 7205.5;"):
        code_labels(["1", "7.205,5", "1.000.000,25", "2"], task=task)
    assert code_labels(labels, task="multiclass").head.task == "multiclass"
    assert code_labels(["x,1", "2,1", "y"]).head.task == "multiclass"


def test_labels_that_are_nearly_all_different_are_no_classes():
    labels = [*numbers(40), ">6", "<0.1"]
    with pytest.raises(TableError, match="42 labels are 42 different.*regression.*'>6' in row 42 is none. For classes"):
        code_labels(labels, rows=range(2, 44))
    assert len(code_labels(labels, task="multiclass").head.classes) == 42
    genes = [f"gene{place}" for place in range(16)]
    with pytest.raises(TableError, match="The 31 labels are 16 different ones"):
        code_labels([*genes, *genes[1:]])
    # Half of the rows is not more than half, few rows may be a try, and numbers can be said to be values.
    for labels in (genes * 2, genes, [str(place) for place in range(18)] + ["1"] * 12):
        assert code_labels(labels).head.task == "multiclass"


@pytest.mark.parametrize(
    ("labels", "options", "error", "sentence"),
    [
        (["a", "b", "c"], {"task": "binary"}, TableError, "has two classes; the labels have 3: a, b, c"),
        (["a", "b"], {"positive": "c"}, SettingsError, "no class 'c'; the classes are a, b"),
        (["a", "b", "c"], {"positive": "a"}, SettingsError, "labels make a multiclass task"),
        (["1", "x", "inf"], {"task": "regression"}, TableError, "2 are none: inf, x"),
        (["2", "2.0"], {"task": "regression"}, TableError, "Every label is 2"),
        (["a", "a"], {}, TableError, "Every label is 'a'"),
        ([";", ";"], {}, TableError, "No row has a label"),
        (["a", "b"], {"task": "ranking"}, SettingsError, "must be auto, binary"),
    ],
)
def test_labels_that_do_not_fit(labels, options, error, sentence):
    with pytest.raises(error, match=sentence):
        code_labels(labels, **options)


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ([1.7e9 + step for step in range(40)], "spread by 11.5 about 1700000020, .* take 1.7e\\+09 off all of them"),
        ([1e31 * step for step in range(40)], "go up to 3.9e\\+32 and spread by .* take their logarithms, or another unit"),
        ([1e-31 * step for step in range(9)], "another unit"),
        ([1e-9 * step for step in range(40)], ""),
        ([1e6 * step for step in range(40)], ""),
        ([1e4 + step / 10 for step in range(40)], ""),
    ],
)
def test_numbers_that_no_model_can_tell_apart_are_refused(numbers, words):
    labels = [repr(float(number)) for number in numbers]
    if words:
        with pytest.raises(TableError, match=words):
            code_labels(labels, task="regression")
    else:
        assert code_labels(labels, task="regression").values.ravel().tolist() == numbers
