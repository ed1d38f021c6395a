import os
import signal
import sys
import time

import pytest
from click.testing import CliRunner

from genolm import stopping
from genolm.__main__ import main
from genolm.cli import commands
from genolm.cli.reporting import lasting_reports
from genolm.errors import Cancelled
from genolm.progress import Progress

REPORT = Progress("training", 1, 10)


@pytest.fixture(autouse=True)
def nothing_asked():
    yield
    stopping._asked.clear()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_work_at_its_next_report(number):
    before = signal.getsignal(number)
    done = []
    with pytest.raises(Cancelled, match="what was finished before is kept"), lasting_reports() as report:
        report(REPORT)
        os.kill(os.getpid(), number)
        done.append("the step in which it came")
        report(REPORT)
        done.append("another step")
    assert done == ["the step in which it came"] and stopping.asked() == number
    assert signal.getsignal(number) is before and signal.getitimer(signal.ITIMER_REAL)[0] == 0


def test_a_second_signal_and_too_long_a_wait_break_the_work_off(monkeypatch):
    with pytest.raises(SystemExit) as ended, lasting_reports():
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(30)
    assert ended.value.code == 143
    monkeypatch.setattr(stopping, "SHELL_SECONDS", 0.05)
    with pytest.raises(SystemExit) as ended, lasting_reports():
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(30)
    assert ended.value.code == 130


def test_a_worker_waits_and_a_second_request_changes_nothing():
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGALRM)}
    try:
        stopping.listen([signal.SIGTERM], 30, patient=True)
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(Cancelled):
            stopping.stop_if_asked()
        assert signal.getitimer(signal.ITIMER_REAL)[0] == 0
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in handlers.items():
            signal.signal(number, handler)


@pytest.mark.parametrize(
    ("number", "reports", "sentence"),
    [
        (signal.SIGINT, True, "Stopped. Parts that are finished are kept: give the same command again"),
        (signal.SIGTERM, True, "Stopped. Parts that are finished are kept: give the same command again"),
        (signal.SIGTERM, False, "Stopped. Parts that are finished are kept: give the same command again"),
    ],
)
def test_a_stopped_command_says_so_and_that_it_goes_on(tmp_path, monkeypatch, number, reports, sentence):
    def classify_file(*arguments, progress, **options):
        os.kill(os.getpid(), number)
        if reports:
            progress(REPORT)
        time.sleep(30)

    monkeypatch.setattr("genolm.pipelines.classify_file", classify_file)
    monkeypatch.setattr(stopping, "SHELL_SECONDS", 0.05)
    (tmp_path / "a.fa").write_text(">a\nACGT\n")
    out = tmp_path / "a.csv"
    found = CliRunner().invoke(commands, ["classify", str(tmp_path / "a.fa"), "--model", "m", "--out", str(out)])
    assert (found.exit_code, found.stdout) == (128 + number, "")
    assert sentence in found.stderr and "Traceback" not in found.stderr


def test_ctrl_c_elsewhere_says_that_it_stopped(monkeypatch):
    def facts(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("genolm.registry.list_bundles", facts)
    found = CliRunner().invoke(commands, ["models", "list"])
    assert (found.exit_code, found.stderr) == (130, "Stopped.\n")


def test_ctrl_c_while_the_command_line_loads_is_told_in_a_sentence(monkeypatch, capsys):
    class Interrupted:
        def find_spec(self, name, *places):
            if name == "genolm.cli":
                raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, "genolm.cli")
    monkeypatch.setattr(sys, "meta_path", [Interrupted(), *sys.meta_path])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 130
    assert capsys.readouterr().err == "Stopped.\n"
