import pytest

from genolm.errors import TableError
from genolm.labels import code_classes, code_labels


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
