"""The longest reading frame by hand, and the baseline that goes by it."""

import math

import numpy as np
import pytest

from genolm.baselines import Examples
from genolm.errors import TrainingError
from genolm.reading_frames import Frame, FrameLogistic, longest_frame


@pytest.mark.parametrize(
    ("sequence", "frame"),
    [
        ("ATGAAATAA", (0, 6)),
        ("CATGAAATAACC", (1, 7)),
        ("ATGAAAAA", (0, 6)),
        ("CCATGATGAAATAAATGCCCCCCCCC", (14, 26)),
        ("CCATGATGAAATAA", (2, 11)),
        ("TAAGGG", (0, 0)),
        ("CATGAAATAACCATGAAATAA", (1, 7)),
        ("AT", (0, 0)),
        ("ATGNNNTAG", (0, 6)),
    ],
)
def test_the_longest_frame_by_hand(sequence, frame):
    assert longest_frame(sequence) == Frame(*frame)


def examples(rng, count):
    """Transcripts of 300 bp: odd ones have a frame of 60 GCC codons, even ones of 60 GGG codons behind an ATG."""
    rows = []
    for number in range(count):
        body = "ATG" + ("GCC" if number % 2 else "GGG") * int(rng.integers(55, 65)) + "TAA"
        rows.append(body + "".join(rng.choice(list("ACT"), 300 - len(body))))
    return Examples(rows, np.arange(count) % 2)


def test_features_by_hand():
    train = Examples(["ATGGCCTAA", "ATGGGGTAACC"], np.array([1, 0]))
    model = FrameLogistic()
    model.prepare(train)
    # One hexamer each, ATGGCC and ATGGGG, and one of all 4,096 in addition: 2 / 4,097 against 1 / 4,097.
    found = model.features(["CATGGCCTAA", "CCCC", "ATGGGGTAATTTTTTTTT"]).toarray()
    assert found[0] == pytest.approx([6, math.log(7), 0.6, math.log(2)])
    assert found[1].tolist() == [0, 0, 0, 0]
    assert found[2] == pytest.approx([6, math.log(7), 1 / 3, -math.log(2)])


def test_frames_of_one_length_are_told_apart_by_their_hexamers(rng):
    train, valid, test = (examples(rng, count) for count in (60, 20, 40))
    answers = FrameLogistic().fit(train, valid).probabilities(test.sequences)
    assert answers.shape == (40, 2) and answers.sum(axis=1) == pytest.approx(1)
    assert (answers.argmax(axis=1) == test.labels).all()


def test_more_than_two_classes_are_refused():
    train = Examples(["ATGTAA", "ACG", "GGG"], np.array([0, 1, 2]))
    with pytest.raises(TrainingError, match="two classes"):
        FrameLogistic().fit(train, train)
