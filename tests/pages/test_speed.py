"""The speed of this machine: kept once it was measured, and measured anew when other work is over."""

import pytest

from genolm.jobs import Job
from pages.shared import speed


@pytest.mark.parametrize("by", ["load", "job"])
def test_a_speed_of_a_busy_machine_is_measured_anew_when_it_is_idle(private_workspace, monkeypatch, tmp_path, by):
    rates = iter([10.0, 400.0])
    monkeypatch.setenv("GENOLM_THREADS", "2")

    def other_work(runs):
        job = Job("a" * 32, "train", "a", ("finetune",), tmp_path, "2026-01-01T00:00:00Z", "running")
        monkeypatch.setattr("os.getloadavg", lambda: (1.1 if runs and by == "load" else 0.9, 5.0, 5.0))
        monkeypatch.setattr(speed, "list_jobs", lambda: [job] * (runs and by == "job"))
        return speed.measured("model", lambda: next(rates))

    assert [other_work(True) for _ in range(2)] == [(10.0, True)] * 2
    assert other_work(True).words == speed.SHORTER
    assert other_work(False) == (400.0, False) and other_work(False).words == speed.LONGER
    # What was measured in peace stays.
    assert other_work(True) == (400.0, False)


def test_only_the_latest_speeds_are_kept(private_workspace):
    for number in range(100):
        assert speed.measured(number, lambda number=number: number).rate == number
    assert speed.measured(99, lambda: -1).rate == 99 and speed.measured(0, lambda: -1).rate == -1
