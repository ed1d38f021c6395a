import math

import numpy as np
import pytest

from genolm.errors import TrainingError
from genolm.watchdog import Watchdog, constant_loss


def epochs(losses, train_loss=0.69):
    return [{"valid": {"loss": loss}, "train_loss": train_loss} for loss in losses]


def test_a_constant_answer_costs_the_entropy_of_the_shares():
    train = np.array([0] * 75 + [1] * 25)
    valid = np.array([0, 0, 0, 1])
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert constant_loss("binary", train, valid) == pytest.approx(entropy)
    # Weights that balance the classes make every class as likely as the other.
    weights = np.array([2 / 3, 2.0])
    assert constant_loss("binary", train, valid, weights) == pytest.approx(math.log(2))


def test_a_class_without_training_and_validation_rows_costs_nothing():
    train, valid = np.array([0] * 75 + [2] * 25), np.array([0, 0, 0, 2])
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert constant_loss("multiclass", train, valid) == pytest.approx(entropy)
    # Class 1 and, more than the labels show, class 3 are met in test rows only.
    weights = np.array([1 / 3, 20.0, 1.0, 20.0])
    assert constant_loss("multiclass", train, valid, weights) == pytest.approx(math.log(2))
    # Of a class that only validation rows have, the best constant answer knows nothing, but is not impossible.
    assert math.isfinite(constant_loss("multiclass", train, np.array([0, 2, 3]), weights))


def test_a_constant_number_costs_the_variance():
    train, valid = np.array([[-1.0], [1.0]]), np.array([[2.0], [-2.0]])
    assert constant_loss("regression", train, valid) == pytest.approx(4.0)


def test_a_constant_set_of_labels_costs_both_entropies():
    train = np.array([[1, 0], [0, 0], [1, 0], [0, 1]], dtype=np.float32)
    expected = (math.log(2) - 0.25 * math.log(0.25) - 0.75 * math.log(0.75)) / 2
    assert constant_loss("multilabel", train, train) == pytest.approx(expected)


def test_nothing_is_said_early_or_after_one_better_epoch():
    dog = Watchdog(0.693, 10)
    dog.judge(epochs([0.7] * 5))
    dog.judge(epochs([0.7] * 8 + [0.60, 0.9]))


def test_one_class_for_all_is_named():
    with pytest.raises(TrainingError, match="every validation sequence gets the class 'promoter'.*--lr"):
        Watchdog(0.693, 10).judge(epochs([0.7] * 6), "promoter")


def test_learning_by_heart_points_to_the_labels():
    with pytest.raises(TrainingError, match="learned by heart.*equal sequences with different labels"):
        Watchdog(0.693, 10).judge(epochs([0.7] * 6, train_loss=0.2))
