import pytest

from genolm import compute
from genolm.errors import SettingsError


@pytest.fixture
def forget():
    """The choice is made once for a process; here it is made anew before and after."""
    compute.has_fast_bf16.cache_clear()
    yield
    compute.has_fast_bf16.cache_clear()


@pytest.mark.parametrize(("flags", "fast"), [({"fpu", "avx512_bf16"}, True), ({"fpu", "avx2"}, False)])
def test_what_the_cpu_says_decides_over_any_measurement(monkeypatch, forget, flags, fast):
    monkeypatch.setattr(compute, "_cpu_abilities", lambda: flags)
    monkeypatch.setattr(compute, "_measured_gain", lambda: 0.0 if fast else 9.0)
    assert compute.has_fast_bf16() is fast


@pytest.mark.parametrize(("gain", "fast"), [(1.2, False), (1.4, True)])
def test_a_silent_cpu_is_measured(monkeypatch, forget, gain, fast):
    monkeypatch.setattr(compute, "_cpu_abilities", set)
    monkeypatch.setattr(compute, "_measured_gain", lambda: gain)
    assert compute.has_fast_bf16() is fast


def test_the_thread_budget_is_what_was_asked_for_but_no_more_than_there_are(monkeypatch):
    monkeypatch.setattr(compute, "core_count", lambda: 4)
    monkeypatch.delenv("GENOLM_THREADS", raising=False)
    assert [compute.thread_budget(), compute.thread_budget(3), compute.thread_budget(9)] == [4, 3, 4]
    monkeypatch.setenv("GENOLM_THREADS", "2")
    assert compute.thread_budget() == 2
    for wrong in ("two", "²", "٣"):
        monkeypatch.setenv("GENOLM_THREADS", wrong)
        with pytest.raises(SettingsError, match=f"GENOLM_THREADS is '{wrong}'"):
            compute.thread_budget()
