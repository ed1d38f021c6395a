import pytest

from genolm.progress import Progress, Stages, part_reporter


def test_stages_add_up_to_the_whole():
    seen = []
    stages = Stages(seen.append, {"read": 10, "train": 30})
    stages.reporter("read")(Progress("", 1, 2))
    stages.finish("read")
    stages.reporter("train")(Progress("phase 2", 50, 100, values={"loss": 0.5}))
    assert [(item.stage, item.done, item.total) for item in seen] == [("read", 5, 40), ("train, phase 2", 25, 40)]
    assert seen[-1].values == {"loss": 0.5}


def test_a_stage_of_an_earlier_run_does_not_make_the_rest_look_fast(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("genolm.progress.time.monotonic", lambda: now[0])
    seen = []
    stages = Stages(seen.append, {"read": 30, "train": 10})
    stages.skip("read")
    now[0] = 105.0
    stages.reporter("train")(Progress("", 1, 2))
    # Half of the ten units took 5 s, so the other half takes 5 s.
    assert seen[0].eta == pytest.approx(5.0, rel=0.01)


def test_a_stage_that_goes_on_from_a_checkpoint_counts_the_seconds_before(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("genolm.progress.time.monotonic", lambda: now[0])
    seen = []
    stages = Stages(seen.append, {"read": 10, "train": 30})
    stages.skip("read")
    tell = stages.reporter("train")
    now[0] = 101.0
    tell(Progress("", 10, 30, elapsed=50.0))
    now[0] = 106.0
    tell(Progress("", 11, 30, elapsed=55.0))
    # A third took 50 s, of which 49 before this run; the rest takes twice as long.
    assert [item.eta for item in seen] == pytest.approx([100.0, 95.0])


def test_nobody_to_tell_is_nobody_told():
    assert Stages(None, {"read": 1}).reporter("read") is None
    assert part_reporter(None, 0, 2, "part") is None


def test_parts_take_equal_shares():
    seen = []
    part_reporter(seen.append, 1, 4, "part 2 of 4")(Progress("phase 1", 1, 2))
    assert (seen[0].stage, seen[0].fraction) == ("part 2 of 4", 0.375)


def test_parts_tell_the_time_left_of_all_at_the_pace_of_the_one_that_runs():
    seen = []
    part_reporter(seen.append, 1, 4, "part 2 of 4")(Progress("phase 1", 1, 2, elapsed=10.0))
    # 10 s for half a part, and two and a half are left.
    assert seen[0].eta == pytest.approx(50.0)
