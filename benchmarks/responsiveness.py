"""How quick a page stays while a training runs, and what the clicks cost the training.

    python benchmarks/responsiveness.py
    python benchmarks/responsiveness.py --seconds 60 --training-threads 2 --page-threads 1

Three phases of the same length on one server, with a real browser (Chromium with Playwright): clicks alone,
training alone, both together. The training is a job, as the app starts it (``genolm pretrain`` on a sample
genome, with the thread budget that jobs get unless one is given). Two clicks take turns: a choice on the Scan
page, which only redraws it, and Classify, which runs the default model in the page. A click lasts from the
press of the button until the browser is told that the script has ended; a pause lies between two. The
training's speed is told by the job's own progress. Run it on a quiet machine.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from serving import ROOT, Server, new_tab, running_server

GENOME = ROOT / "assets" / "samples" / "ecoli_k12_mg1655.fa.gz"
PAUSE_SECONDS = 1.0
READY_SECONDS = 300
WARM_CLICKS = 3
WATCH = """() => {
  const app = document.querySelector('[data-test-script-state]');
  window.ended = 0;
  window.began = 0;
  document.addEventListener('click', () => { window.began = performance.now(); window.ended = 0; }, true);
  new MutationObserver(() => {
    if (app.dataset.testScriptState === 'notRunning' && window.began) window.ended = performance.now();
  }).observe(app, { attributes: true, attributeFilter: ['data-test-script-state'] });
}"""


class Clicker:
    """A page in a tab, and one click on it that can be repeated."""

    def __init__(self, tab: Any, address: str, targets: list[Any]) -> None:
        self.tab, self.targets, self.times = tab, targets, []
        tab.goto(address)
        tab.get_by_role("heading", level=1).wait_for()
        self._wait_until_idle()
        tab.evaluate(WATCH)
        self._clicks = 0

    def _wait_until_idle(self) -> None:
        self.tab.locator("[data-test-script-state=notRunning]").wait_for()
        time.sleep(PAUSE_SECONDS)

    def click(self) -> float:
        """Click once, wait until the page has answered, and return the milliseconds between."""
        self.targets[self._clicks % len(self.targets)](self.tab).click()
        self._clicks += 1
        self.tab.wait_for_function("window.ended > window.began", polling=10)
        return float(self.tab.evaluate("window.ended - window.began"))


def radio(name: str) -> Any:
    """Return what finds a choice on a page."""
    return lambda tab: tab.locator("[data-testid=stRadio] label").filter(has_text=name).first


def button(words: str) -> Any:
    """Return what finds a button on a page."""
    return lambda tab: tab.get_by_role("button", name=words).first


def open_pages(context: Any, server: Server) -> dict[str, Clicker]:
    """Open the two pages, each in a tab, and click some times so that all is loaded."""
    pages = {
        "redraw": Clicker(context.new_page(), f"{server.address}/scan", [radio("plus"), radio("both")]),
        "classify": Clicker(context.new_page(), f"{server.address}/", [button("Classify")]),
    }
    for page in list(pages.values()) * WARM_CLICKS:
        page.click()
    return pages


def click_for(pages: dict[str, Clicker], seconds: float) -> dict[str, list[float]]:
    """Click on the pages in turn for so long, and return the milliseconds of each click."""
    found: dict[str, list[float]] = {name: [] for name in pages}
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        for name, page in pages.items():
            found[name].append(page.click())
            time.sleep(PAUSE_SECONDS)
    return found


class Training:
    """A training that runs as a job."""

    def __init__(self, threads: int | None) -> None:
        from genolm.jobs import get_job, start_job

        environment = {} if threads is None else {"GENOLM_THREADS": str(threads)}
        words = ["pretrain", str(GENOME), "--out", "lm", "--tokens", "2000000000"]
        self._get = get_job
        self.id = start_job("pretrain", words, title="responsiveness", environment=environment).id

    def wait_until_it_learns(self) -> None:
        """Wait until the job reports a loss."""
        ends = time.monotonic() + READY_SECONDS
        while time.monotonic() < ends:
            job = self._get(self.id)
            if job.is_over:
                raise SystemExit(f"The training ended: {job.reason or job.log()}")
            if job.progress and job.progress.values.get("loss"):
                return
            time.sleep(0.5)
        raise SystemExit("The training did not begin in time.")

    def steps(self) -> tuple[float, int]:
        """Return the time and the steps done when the next report comes."""
        before = self._get(self.id).progress.done
        while (done := self._get(self.id).progress.done) == before:
            time.sleep(0.02)
        return time.monotonic(), done

    def stop(self) -> None:
        """End the job and remove it."""
        from genolm.jobs import cancel_job, remove_job

        cancel_job(self.id)
        remove_job(self.id)


def tokens_per_second(before: tuple[float, int], after: tuple[float, int]) -> float:
    """Return the speed of a training between two looks at it."""
    from genolm.pretraining import PretrainSettings

    settings = PretrainSettings()
    return (after[1] - before[1]) * settings.rows * settings.bptt / (after[0] - before[0])


def measure(server: Server, seconds: float, threads: int | None) -> dict[str, Any]:
    """Run the three phases."""
    with new_tab() as tab:
        pages = open_pages(tab.context, server)
        alone = click_for(pages, seconds)
        training = Training(threads)
        try:
            training.wait_until_it_learns()
            first = training.steps()
            time.sleep(seconds)
            second = training.steps()
            together = click_for(pages, seconds)
            third = training.steps()
        finally:
            training.stop()
    return {
        "clicks_alone": alone,
        "clicks_in_training": together,
        "tokens_per_second_alone": tokens_per_second(first, second),
        "tokens_per_second_with_clicks": tokens_per_second(second, third),
    }


def print_table(found: dict[str, Any]) -> None:
    """Print medians, the slowest of ten, and ratios."""
    print(f"{'':22} {'alone':>16} {'with the other':>16} {'ratio':>7}")
    for name, words in (("redraw", "click, redraw"), ("classify", "click, classify")):
        for share, label in ((0.5, "median ms"), (0.9, "90 % within ms")):
            values = [quantile(found[key][name], share) for key in ("clicks_alone", "clicks_in_training")]
            label = f"{words}, {label}" if share == 0.5 else f"  {label}"
            print(f"{label:26} {values[0]:>12.0f} {values[1]:>16.0f} {values[1] / values[0]:>6.2f}x")
    speeds = [found[f"tokens_per_second_{key}"] for key in ("alone", "with_clicks")]
    print(f"{'training, tokens/s':26} {speeds[0]:>12,.0f} {speeds[1]:>16,.0f} {speeds[1] / speeds[0]:>6.2f}x")
    clicks = {key: len(found["clicks_in_training"][key]) for key in ("redraw", "classify")}
    print(f"{clicks['redraw']} + {clicks['classify']} clicks while training")


def quantile(values: list[float], share: float) -> float:
    """Return a quantile of some values."""
    if len(values) < 2:
        return values[0]
    return statistics.quantiles(values, n=100, method="inclusive")[round(share * 100) - 1]


def main() -> None:
    """Measure and print a table, or JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=30, help="length of each of the three phases")
    parser.add_argument("--training-threads", type=int, help="GENOLM_THREADS of the job, if not its share")
    parser.add_argument("--page-threads", type=int, help="GENOLM_THREADS of the server; not set by default")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        os.environ["GENOLM_HOME"] = home
        page = {} if options.page_threads is None else {"GENOLM_THREADS": str(options.page_threads)}
        with running_server(ROOT / "app.py", Path(home), environment=page) as server:
            found = measure(server, options.seconds, options.training_threads)
    print(json.dumps(found)) if options.json else print_table(found)


if __name__ == "__main__":
    main()
