import json
from types import SimpleNamespace

import pytest

from genolm import tuning
from genolm.config import ClassifierSettings, Schedule
from genolm.errors import TrainingError
from genolm.unfinished import Unfinished

PLANNED = ClassifierSettings(schedule=(Schedule(1, 1e-2, unfreeze=1), Schedule(4, 2e-3)), drop_mult=0.4)


@pytest.fixture
def preparation():
    plan = SimpleNamespace(classifier=PLANNED)
    return SimpleNamespace(plan=plan, samples=lambda part: part, head=None, start=None)


@pytest.fixture
def search(preparation, tmp_path, monkeypatch):
    """A function that searches where each trial takes a minute and has the given loss, by rate and dropout."""
    clock = [0.0]
    monkeypatch.setattr(tuning.time, "monotonic", lambda: clock[0])

    def run(losses, minutes):
        tried = []

        def train(train, valid, head, start, settings, **options):
            assert (train, valid) == ("train", "valid")
            clock[0] += 60
            factors = (round(settings.schedule[-1].lr / 2e-3, 3), round(settings.drop_mult / 0.4, 3))
            tried.append(factors)
            loss = losses.get(factors, 1.0)
            if loss is None:
                raise TrainingError("nothing learned")
            epoch = SimpleNamespace(valid={"loss": loss})
            return SimpleNamespace(history=SimpleNamespace(epochs=[epoch]))

        monkeypatch.setattr(tuning, "train_classifier", train)
        found = tuning.search_settings(preparation, None, minutes=minutes, kept=Unfinished(tmp_path))
        return found, tried

    return run


def test_the_best_of_those_tried_is_taken_at_full_length(search):
    found, tried = search({(2.0, 1.0): 0.1}, minutes=100)
    assert tried == [(1.0, 1.0), (0.4, 1.0), (2.0, 1.0), (1.0, 0.5), (1.0, 1.8), (0.4, 0.5), (2.0, 1.8)]
    assert found.schedule == (Schedule(1, 2e-2, unfreeze=1), Schedule(4, 4e-3))
    assert found.drop_mult == 0.4


def test_no_trial_begins_that_would_end_after_the_time(search):
    assert len(search({}, minutes=3.5)[1]) == 3


def test_the_first_trial_is_always_made(search):
    found, tried = search({}, minutes=0.01)
    assert tried == [(1.0, 1.0)] and found.schedule == PLANNED.schedule


def test_a_search_goes_on_after_the_trials_that_were_made(search, tmp_path):
    done = [{"loss": 0.2, "seconds": 60.0, "factors": [1.0, 1.0]}, {"loss": 0.1, "seconds": 60.0, "factors": [0.4, 1.0]}]
    (tmp_path / "search.json").write_text(json.dumps(done))
    found, tried = search({}, minutes=3)
    assert tried == [(2.0, 1.0)]
    assert found.schedule[-1].lr == pytest.approx(8e-4)


def test_trials_that_were_damaged_are_made_again(search, tmp_path):
    (tmp_path / "search.json").write_text("")
    assert search({}, minutes=2.5)[1] == [(1.0, 1.0), (0.4, 1.0)]
    assert [trial["factors"] for trial in json.loads((tmp_path / "search.json").read_text())] == [[1, 1], [0.4, 1]]


def test_a_trial_that_learns_nothing_loses(search):
    found, _ = search({(1.0, 1.0): None}, minutes=1.5)
    assert found.schedule == PLANNED.schedule
    found, _ = search({(1.0, 1.0): None, (0.4, 1.0): 0.9}, minutes=100)
    assert found.schedule[-1].lr != PLANNED.schedule[-1].lr
