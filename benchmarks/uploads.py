"""Memory of the server while a large file is uploaded: the app's upload in slices beside st.file_uploader.

    python benchmarks/uploads.py
    python benchmarks/uploads.py --mb 1000

Both take the same FASTA file from the same browser (Chromium with Playwright), each on a fresh server. What
the server has in memory before the upload is its base; peak and what is kept after are told above it. Linux
only.
"""

import argparse
import json
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from serving import ROOT, Server, new_tab, running_server

SETTLE_SECONDS = 3.0
PLAIN_SCRIPT = """
import streamlit as st
st.title("Plain upload")
file = st.file_uploader("File")
if file:
    st.write(f"Arrived: {file.size} bytes")
"""


class Memory:
    """Watches a server's resident memory, in MB, while a block runs."""

    def __init__(self, server: Server) -> None:
        self.server, self.base, self.peak = server, server.memory_mb(), 0.0
        self._over = threading.Event()

    def __enter__(self) -> "Memory":
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.05):
            self.peak = max(self.peak, self.server.memory_mb())


def write_fasta(path: Path, size: int) -> None:
    """Write a FASTA file of about ``size`` bytes."""
    line = b"ACGTTGCA" * 10 + b"\n"
    with path.open("wb") as handle:
        handle.write(b">large\n")
        for _ in range(size // (len(line) * 10_000)):
            handle.write(line * 10_000)


def ours(tab: Any, path: Path) -> None:
    """Upload with the widget of the Scan page; the page's own reading of the file comes after."""
    tab.get_by_role("radio", name="Upload").or_(tab.get_by_role("button", name="Upload")).first.click()
    with tab.expect_response(lambda answer: _is_last_slice(answer, path), timeout=600_000):
        tab.locator("input[type=file]").set_input_files(path)


def _is_last_slice(answer: Any, path: Path) -> bool:
    if "/api/uploads/" not in answer.url or answer.request.method != "PUT":
        return False
    return bool(answer.json().get("offset") == path.stat().st_size)


def plain(tab: Any, path: Path) -> None:
    """Upload with Streamlit's own widget."""
    tab.locator("input[type=file]").set_input_files(path)
    tab.get_by_text("Arrived:").wait_for(timeout=600_000)


@contextmanager
def served(way: str, work: Path) -> Iterator[tuple[Server, str]]:
    """Run the server of a way and give it with the address of its page."""
    home = work / way
    home.mkdir()
    script, page = ROOT / "app.py", "/scan"
    if way == "plain":
        script, page = home / "plain.py", "/"
        script.write_text(PLAIN_SCRIPT, encoding="utf-8")
    with running_server(script, home, options=("--server.maxUploadSize=10000",)) as server:
        yield server, server.address + page


def measure(way: str, upload: Callable[[Any, Path], None], path: Path, work: Path) -> dict[str, float]:
    """Return seconds and memory of one way."""
    with served(way, work) as (server, address), new_tab() as tab:
        tab.goto(address)
        tab.get_by_role("heading", level=1).wait_for()
        time.sleep(SETTLE_SECONDS)
        began = time.monotonic()
        with Memory(server) as memory:
            upload(tab, path)
            seconds = time.monotonic() - began
            peak = memory.peak
        time.sleep(SETTLE_SECONDS)
        kept = server.memory_mb()
    return {"seconds": seconds, "base": memory.base, "peak": peak - memory.base, "kept": kept - memory.base}


def main() -> None:
    """Upload both ways and print a table, or JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mb", type=int, default=500, help="size of the file")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        path = Path(work) / "large.fa"
        write_fasta(path, options.mb * 1_000_000)
        ways = {"genolm": ours, "st.file_uploader": plain}
        keys = {"genolm": "ours", "st.file_uploader": "plain"}
        table = {name: measure(keys[name], upload, path, Path(work)) for name, upload in ways.items()}
    if options.json:
        print(json.dumps(table))
        return
    print(f"{options.mb} MB; server memory in MB above its base")
    print(f"{'way':18} {'seconds':>8} {'base':>6} {'peak':>7} {'kept':>7} {'peak, times ours':>17}")
    least = max(1.0, table["genolm"]["peak"])
    for name, row in table.items():
        print(
            f"{name:18} {row['seconds']:>8.1f} {row['base']:>6.0f} {row['peak']:>+7.0f} {row['kept']:>+7.0f} "
            f"{row['peak'] / least:>16.1f}x"
        )


if __name__ == "__main__":
    main()
