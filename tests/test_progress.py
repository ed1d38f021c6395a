import pytest

from genolm.progress import LEAST_SECONDS, Progress, Stages, Ticker, part_reporter


@pytest.fixture
def now(monkeypatch):
    """A clock that stands until a test moves it."""
    made = [100.0]
    monkeypatch.setattr("genolm.progress.time.monotonic", lambda: made[0])
    return made


def test_the_time_left_is_told_from_the_first_finished_unit_on(now):
    seen = []
    ticker = Ticker(seen.append, 100, stage="scanning")
    # The model is loaded and made ready for 60 s; then 10 units take a second.
    now[0] += 60.0
    ticker.advance(10)
    for _ in range(3):
        now[0] += 1.0
        ticker.advance(10)
    assert [item.eta for item in seen] == [None, None, pytest.approx(7.0), pytest.approx(6.0)]
    assert [item.elapsed for item in seen] == [60.0, 61.0, 62.0, 63.0] and LEAST_SECONDS == 2.0
    now[0] += 6.0
    ticker.advance(60)
    assert seen[-1].eta == 0.0
    # Nothing is known of work that has not begun, and of a report that nobody measured.
    assert Progress("starting", 0, 0).eta is None and Progress("reading", 1, 2, 5.0).eta is None


def test_what_an_earlier_run_finished_counts_neither_as_done_nor_as_time(now):
    seen = []
    ticker = Ticker(seen.append, 1000, interval=0.0)
    for _ in range(3):
        ticker.skip(300, 500.0)
    now[0] += 30.0
    ticker.advance(10)
    now[0] += 5.0
    ticker.advance(10)
    # 10 units took 5 s, and 80 are left.
    assert [item.eta for item in seen] == [None, None, None, None, pytest.approx(40.0)]
    assert (seen[-1].done, seen[-1].skipped, seen[-1].elapsed) == (920, 900, 1535.0)


def test_pieces_and_stages_leave_out_what_their_parts_skipped(now):
    seen = []
    stages = Stages(seen.append, {"genome": 50, "shuffled": 100})
    outer = Ticker(stages.reporter("genome"), 500, interval=0.0)
    for _ in range(2):
        inner = Ticker(outer.piece(), 250, interval=0.0)
        inner.skip(200, 1000.0)
        now[0] += 8.0
        inner.advance(10)
        now[0] += 4.0
        inner.advance(40)
    # From the first fresh unit on: 90 of 500 took 16 s, which stand for 9 of 150; 100 are left.
    assert seen[-1].eta == pytest.approx(16.0 / 9.0 * 100, rel=1e-6)
    assert (seen[-1].done, seen[-1].skipped, seen[-1].total) == (50, 40, 150)


def test_work_that_begins_anew_is_measured_anew(now):
    seen = []
    ticker = Ticker(seen.append, 100, interval=0.0)
    for units in (50, -49, 5, 5):
        now[0] += 4.0
        ticker.advance(units)
    assert [item.eta for item in seen] == [None, None, pytest.approx(75.2), pytest.approx(71.2)]


def test_stages_add_up_to_the_whole():
    seen = []
    stages = Stages(seen.append, {"read": 10, "train": 30})
    stages.reporter("read")(Progress("", 1, 2))
    stages.finish("read")
    stages.reporter("train")(Progress("phase 2", 50, 100, values={"loss": 0.5}))
    assert [(item.stage, item.done, item.total) for item in seen] == [("read", 5, 40), ("train, phase 2", 25, 40)]
    assert seen[-1].values == {"loss": 0.5}


def test_a_stage_of_an_earlier_run_does_not_make_the_rest_look_fast(now):
    seen = []
    stages = Stages(seen.append, {"read": 30, "train": 10})
    stages.skip("read")
    tell = stages.reporter("train")
    tell(Progress("", 1, 4))
    now[0] = 105.0
    tell(Progress("", 2, 4))
    # A quarter of the ten units took 5 s, so the other half takes 10 s.
    assert [item.eta for item in seen] == [None, pytest.approx(10.0)]


def test_a_stage_that_goes_on_from_a_checkpoint_is_measured_in_this_run(now):
    seen = []
    stages = Stages(seen.append, {"read": 10, "train": 30})
    stages.skip("read")
    tell = stages.reporter("train")
    now[0] = 101.0
    tell(Progress("", 10, 30, elapsed=50.0))
    now[0] = 106.0
    tell(Progress("", 11, 30, elapsed=55.0))
    # The first report only says where it stands; from there on a step took 5 s, and 19 are left.
    assert [item.eta for item in seen] == [None, pytest.approx(95.0)]
    assert [item.elapsed for item in seen] == pytest.approx([50.0, 55.0])


def test_nobody_to_tell_is_nobody_told():
    assert Stages(None, {"read": 1}).reporter("read") is None
    assert part_reporter(None, 0, 2, "part") is None


def test_parts_take_equal_shares():
    seen = []
    part_reporter(seen.append, 1, 4, "part 2 of 4")(Progress("phase 1", 1, 2))
    assert (seen[0].stage, seen[0].fraction) == ("part 2 of 4", 0.375)


def test_parts_tell_the_time_left_of_all_at_the_pace_of_the_one_that_runs():
    seen = []
    tell = part_reporter(seen.append, 1, 4, "part 2 of 4")
    tell(Progress("phase 1", 1, 2))
    tell(Progress("phase 1", 1, 2, elapsed=10.0, pace=10.0))
    # 10 s for half a part, and two and a half are left.
    assert [item.eta for item in seen] == [None, pytest.approx(50.0)]
