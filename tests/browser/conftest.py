"""A server of the app with a workspace of its own, and a headless Chromium to visit it with."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from genolm.predict import Predictor
from genolm.registry import export_bundle, load_bundle, save_bundle

ROOT = Path(__file__).parents[2]
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage"
).split()
WAIT_MS = 120_000


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


def _chromium():
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((path for path in map(shutil.which, names) if path), None)


@pytest.fixture(scope="session")
def browser():
    """A running Chromium; without one the tests are skipped, or fail where GENOLM_REQUIRE_BROWSER is 1."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        sync_playwright = None
    path = _chromium()
    if sync_playwright is None or path is None:
        reason = "there is no Chromium with Playwright on this machine"
        if os.environ.get("GENOLM_REQUIRE_BROWSER") == "1":
            pytest.fail(f"GENOLM_REQUIRE_BROWSER is 1 and {reason}")
        pytest.skip(reason)
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield running
        running.close()


@pytest.fixture(scope="session")
def lively_bundle(toy_bundle_path, tmp_path_factory):
    """The toy classifier with its last layer stretched, so that scores spread over 0 to 1."""
    bundle = load_bundle(toy_bundle_path)
    state = bundle.state_dict()
    codes = torch.randint(4, (300, 60), generator=torch.Generator().manual_seed(1)).to(torch.uint8).numpy()
    logits = Predictor(bundle, precision="fp32", threads=1).logits_of_codes(codes)
    margins = logits[:, 1] - logits[:, 0]
    weight = next(name for name, value in state.items() if value.shape[:1] == (2,) and value.dim() == 2)
    bias = weight.replace("weight", "bias")
    factor = 3.0 / float(margins.std())
    state[weight], state[bias] = state[weight] * factor, state[bias] * factor
    state[bias][1] -= float(margins.mean()) * factor + 3.0
    config = replace(bundle.config, name="lively", title="Lively toy")
    folder = tmp_path_factory.mktemp("lively") / "lively"
    save_bundle(folder, config, state, {"sample": bundle.card["sample"]})
    return folder


@pytest.fixture(scope="session")
def server(browser, lively_bundle, tmp_path_factory):
    """The address of a fresh server with one model."""
    home = tmp_path_factory.mktemp("server-home")
    shutil.copytree(lively_bundle, home / "models" / "lively")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, str(ROOT / "serve.py"), "run", str(ROOT / "app.py"), f"--server.port={port}"]
    command += ["--server.headless=true", "--server.fileWatcherType=none", "--browser.gatherUsageStats=false"]
    environment = {**os.environ, "GENOLM_HOME": str(home), "GENOLM_THREADS": "1"}
    log = (home / "server.log").open("wb")
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT)
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(address + "/_stcore/health", process, home / "server.log")
        yield address
    finally:
        process.terminate()
        process.wait(timeout=20)
        log.close()


def _wait_for(url, process, log):
    ends = time.monotonic() + 120
    while time.monotonic() < ends and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    pytest.fail(f"the server did not start: {log.read_text(errors='replace')[-2000:]}")


@pytest.fixture
def page(browser):
    """A fresh tab, which must end without an error that the app did not catch."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    context.set_default_timeout(WAIT_MS)
    tab = context.new_page()
    failures = []
    tab.on("pageerror", lambda error: failures.append(str(error)))
    yield tab
    shown = tab.get_by_test_id("stException").all_inner_texts()
    context.close()
    assert not failures and not shown


@pytest.fixture
def visit(page, server):
    """A function page's name -> the tab, when the page has been drawn."""

    def visited(name):
        page.goto(f"{server}/{name}?model=lively")
        page.get_by_role("heading", level=1).wait_for()
        return page

    return visited


@pytest.fixture
def upload(page):
    """A function that uploads a file with the widget of the page in view, as a user would."""

    def uploaded(path):
        page.get_by_role("radio", name="Upload").or_(page.get_by_role("button", name="Upload")).first.click()
        page.locator("input[type=file]").set_input_files(path)
        page.get_by_text(f"In use: {Path(path).name}").wait_for()

    return uploaded


@pytest.fixture
def download(page):
    """A function link's name -> the bytes that come down."""

    def downloaded(name, role="link"):
        with page.expect_download() as found:
            page.get_by_role(role, name=name).first.click()
        return Path(found.value.path()).read_bytes()

    return downloaded


@pytest.fixture(scope="session")
def predictors(lively_bundle):
    """The same model as the server's, in both number types: the server takes the faster one."""
    bundle = load_bundle(lively_bundle)
    return [Predictor(bundle, precision=precision, threads=1) for precision in ("fp32", "bf16")]


@pytest.fixture
def zipped_bundle(toy_bundle_path, private_workspace, tmp_path):
    """A model to import, as a zip."""
    shutil.copytree(toy_bundle_path, private_workspace / "models" / "toy-promoter")
    return export_bundle("toy-promoter", tmp_path / "toy-promoter.zip")
