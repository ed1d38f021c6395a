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


def test_nobody_to_tell_is_nobody_told():
    assert Stages(None, {"read": 1}).reporter("read") is None
    assert part_reporter(None, 0, 2, "part") is None


def test_parts_take_equal_shares():
    seen = []
    part_reporter(seen.append, 1, 4, "part 2 of 4")(Progress("phase 1", 1, 2))
    assert (seen[0].stage, seen[0].fraction) == ("part 2 of 4", 0.375)
