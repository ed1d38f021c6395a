"""From a faulty table to a model in use, over a reload, a new server, a stop and a resume."""

import csv
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from genolm import workspace

TimeoutError = pytest.importorskip("playwright.sync_api").TimeoutError
ROOT = Path(__file__).parents[2]
START_SECONDS = 120
EPOCHS = 150
TRAINING_MS = 400_000


class Server:
    """A server of the app that can be ended and begun again on the same workspace and address."""

    def __init__(self, home):
        self.home, self.process = home, None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"

    def start(self):
        command = [sys.executable, str(ROOT / "serve.py"), "run", str(ROOT / "app.py")]
        command += [f"--server.port={self.port}", "--server.headless=true", "--server.fileWatcherType=none"]
        command += ["--browser.gatherUsageStats=false"]
        environment = {**os.environ, "GENOLM_HOME": str(self.home), "GENOLM_THREADS": "1"}
        with (self.home / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        ends = time.monotonic() + START_SECONDS
        while time.monotonic() < ends and self.process.poll() is None:
            try:
                with urllib.request.urlopen(f"{self.address}/_stcore/health", timeout=2):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.2)
        pytest.fail((self.home / "server.log").read_text(errors="replace")[-2000:])

    def kill(self):
        """End the server and all that lives in its process group at once."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(timeout=20)


@pytest.fixture
def own_server(browser, toy_language_model_path, tmp_path):
    """A server with a tiny language model."""
    shutil.copytree(toy_language_model_path, tmp_path / "home" / "models" / "toy-lm")
    running = Server(tmp_path / "home")
    running.start()
    yield running
    running.kill()


def settle(page):
    """Wait until the page has taken in what was done."""
    page.wait_for_timeout(300)
    page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for(state="attached")


def pick(page, label, option):
    """Choose in a list, again if a redraw of the page has closed it."""
    wanted = page.get_by_role("option", name=re.compile(option))
    for _ in range(20):
        page.get_by_role("combobox", name=re.compile(label)).click()
        try:
            wanted.wait_for(timeout=5_000)
        except TimeoutError:
            page.keyboard.press("Escape")
            continue
        wanted.click()
        return
    pytest.fail(f"{label} offers no {option}")


@pytest.fixture
def faulty_table(tmp_path):
    """A table of 160 good rows, among them one with a contradiction, and five rows with a fault each."""
    dice = random.Random(5)
    rows = []
    for number in range(160):
        letters = dice.choices("ACGT", k=60)
        if number % 2:
            letters[20:26] = "TATAAT"
        rows.append(["".join(letters), ("other", "site")[number % 2]])
    rows[11][0] = rows[10][0]
    faults = {
        5: (["", "site"], "the sequence is empty"),
        40: (["MKTAYIAKQRQISFVKSHFSRQ", "site"], "position"),
        80: (["ACGT1234ACGT" * 5, "other"], "position"),
        120: (["ACGT" * 15], "1 cell where the header has 2"),
        150: (["ACGT" * 15, "other", "more", "still more"], "4 cells where the header has 2"),
    }
    for place, (row, _) in faults.items():
        rows.insert(place, row)
    path = tmp_path / "sites.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["sequence", "label"], *rows])
    # The header is row 1 of the file.
    return path, {place + 2: words for place, (_, words) in faults.items()}


def choose_table(page, path, download):
    """Upload the table, look at what is wrong with it, and go on without those rows."""
    table, faults = path
    page.get_by_role("radio", name="Upload a table").or_(
        page.get_by_role("button", name="Upload a table")
    ).first.click()
    page.locator("input[type=file]").set_input_files(table)
    page.get_by_text("5 of 165 rows cannot be used.").wait_for()
    assert page.get_by_role("button", name="Start the training").count() == 0
    refused = list(csv.DictReader(download("Download these rows", role="button").decode().splitlines()))
    assert {int(row["row"]) for row in refused} == set(faults)
    for row in refused:
        assert faults[int(row["row"])] in row["reason"]
    page.get_by_text("Leave these rows out").click()
    report = page.get_by_test_id("stAlert")
    report.filter(has_text="5 rows cannot be used; the first is row 7: the sequence is empty.").wait_for()
    conflict = report.filter(has_text="share a sequence with a row of another label")
    assert "rows 13 and 14" in conflict.inner_text()
    settle(page)


def start_training(page):
    """Choose the tiny language model and a training that takes a while, and start it."""
    page.get_by_role("button", name="Start the training").wait_for()
    settle(page)
    pick(page, "Start from", "Toy language model")
    page.get_by_text("Reads words of 3 bases every 2").wait_for()
    settle(page)
    page.get_by_text("Expert panel").click()
    epochs = page.get_by_role("spinbutton", name="Passes with all layers")
    epochs.fill(str(EPOCHS))
    epochs.press("Enter")
    page.get_by_text(f"{EPOCHS} passes with all of them").wait_for()
    page.get_by_text("Stop a training that learns nothing").click()
    settle(page)
    page.get_by_role("button", name="Start the training").click()
    page.wait_for_url(re.compile(r"job=[0-9a-f]{32}"))


def running(page):
    """Return the line that a training shows while it runs."""
    return page.get_by_text(re.compile(r"classifier, phase \d of 4: ")).first


def watch(page):
    """Wait until the training in view has been seen to run."""
    running(page).wait_for()


def test_from_a_faulty_table_to_a_model_in_use(page, own_server, faulty_table, upload, download):
    page.goto(f"{own_server.address}/train")
    choose_table(page, faulty_table, download)
    start_training(page)
    watch(page)
    page.get_by_text("valid_loss").or_(page.get_by_text("validation")).first.wait_for()
    job = page.url
    page.reload()
    watch(page)
    own_server.kill()
    own_server.start()
    page.goto(job)
    watch(page)
    page.get_by_role("button", name="Stop").click()
    page.get_by_text("Stopped. What it had finished is kept").wait_for()
    resume = page.get_by_role("button", name="Resume")
    for _ in range(3):
        # A click is lost where the page draws itself anew just then.
        resume.click()
        page.wait_for_timeout(5_000)
        if not resume.is_visible():
            break
    # What was left of it may be done before it is seen to run.
    ready = page.get_by_text("sites is ready")
    running(page).or_(ready).first.wait_for()
    ready.wait_for(timeout=TRAINING_MS)
    page.get_by_role("heading", name="How good it is").wait_for()
    assert download("All in one zip").startswith(b"PK")
    page.get_by_role("link", name="Classify with it").first.click()
    page.get_by_role("heading", name="Classify sequences").wait_for()
    page.get_by_text("Tells other from site").or_(page.get_by_text("sites (sites)")).first.wait_for()
    upload(workspace.samples_dir() / "ecoli_known_sites.fa")
    page.get_by_role("button", name=re.compile("Classify .* records")).click()
    page.get_by_role("heading", name="Answers").wait_for()
    answers = list(csv.DictReader(download("Download CSV", role="button").decode().splitlines()))
    assert answers and {row["predicted"] for row in answers} <= {"other", "site"}
