"""A scan in a real browser: upload, topology, threshold, a call clicked, the browser moved, all taken."""

import io
import json
import re
import zipfile
from urllib.parse import urlsplit

import pandas as pd
import pyBigWig
import pytest

from genolm import workspace
from genolm.features import read_calls
from genolm.scan_pipeline import scan_file

REGION = workspace.samples_dir() / "ecoli_lac_region.fa"
LINKS = {
    "calls.csv": "Calls, CSV",
    "calls.bed": "Calls, BED",
    "calls.gff3": "Calls, GFF3",
    "scores_minus.bw": "Scores minus, bigWig",
    "background.json": "Shuffled background, JSON",
}


@pytest.fixture
def hosts(page):
    """The hosts that the tab asks, as they come."""
    found = set()
    page.on("request", lambda request: found.add(urlsplit(request.url).hostname or "127.0.0.1"))
    return found


def shown_place(page, pattern):
    """Wait until the genome browser and the address of the page name a place; return the browser's words."""
    field = page.locator("input.igv-search-input")
    page.wait_for_function(
        """(pattern) => {
            const walk = (root) => [...root.querySelectorAll("*")].flatMap(
                (item) => item.shadowRoot ? [item, ...walk(item.shadowRoot)] : [item]);
            const field = walk(document).find((item) => item.matches("input.igv-search-input"));
            return field && new RegExp(pattern).test(field.value);
        }""",
        arg=pattern,
    )
    page.wait_for_url(re.compile("locus=" + pattern.replace(":", "%3A").replace(",", "")))
    return field.input_value()


def start_scan(page):
    """Set stride and topology and start; return when the results are there."""
    stride = page.get_by_role("spinbutton", name=re.compile("Stride"))
    stride.fill("50")
    stride.press("Enter")
    page.get_by_text("all circular").click()
    # While the page is drawn anew the words of before and of now may both be there.
    page.get_by_text("1,600 windows of 60 bp").or_(page.get_by_text("1,598 windows of 60 bp")).first.wait_for()
    page.get_by_role("button", name="Start the scan").click()
    page.wait_for_url(re.compile(r"job=[0-9a-f]{32}"))
    page.reload()
    page.get_by_role("heading", name="Downloads").wait_for(timeout=300_000)


def expected_files(predictors, folder):
    """Return what a scan gives in either number type, by file."""
    given = []
    for predictor in predictors:
        out = folder / predictor.precision
        scan_file(
            REGION, out, model=predictor, stride=50, threshold=0.5, topology="circular", background=True
        )
        given.append({name: (out / name).read_bytes() for name in LINKS})
    return given


def click_row(page, row):
    """Select a row of the table of calls by its box."""
    table = page.get_by_test_id("stDataFrame").first
    table.scroll_into_view_if_needed()
    page.wait_for_timeout(1000)
    corner = table.bounding_box()
    page.mouse.click(corner["x"] + 18, corner["y"] + 36 + 35 * row + 17)


def fits_a_phone(page):
    """Check that no part of the browser stands out over a page that is made as narrow as a phone."""
    page.set_viewport_size({"width": 400, "height": 900})
    page.wait_for_timeout(1000)
    assert page.get_by_test_id("stMain").evaluate("main => main.scrollWidth") <= 400


def is_drawn_dark_and_narrow(page):
    """Check that the browser's bar fits a narrow page, follows a dark theme and a page that grows."""
    page.emulate_media(color_scheme="dark")
    page.set_viewport_size({"width": 600, "height": 900})
    page.locator(".frame.dark").wait_for()
    bar, zoom = page.locator(".igv-navbar"), page.locator("[class^=igv-zoom-widget]").first
    page.wait_for_timeout(1000)
    assert zoom.bounding_box()["x"] + zoom.bounding_box()["width"] <= 600
    page.set_viewport_size({"width": 1280, "height": 900})
    page.wait_for_timeout(1000)
    assert bar.bounding_box()["width"] > 900
    shown_place(page, "lac_region:20,?001-20,?080")


def test_from_upload_to_zip(visit, page, upload, download, predictors, hosts, tmp_path):
    visit("scan")
    upload(REGION)
    start_scan(page)
    shown_place(page, "lac_region:1-40,?000")
    found = {name: download(label) for name, label in LINKS.items()}
    expected = expected_files(predictors, tmp_path)
    assert found in expected
    (tmp_path / "calls.csv").write_bytes(found["calls.csv"])
    calls = read_calls(tmp_path / "calls.csv")
    best = calls.sort_values("score", ascending=False, kind="stable").iloc[1]

    click_row(page, 1)
    middle = int(best["summit"]) + 1
    place = shown_place(page, "lac_region:(?!1-40)")
    left, right = (int(part.replace(",", "")) for part in place.split(":")[1].split("-"))
    assert left <= middle <= right and right - left < 600
    page.get_by_role("link", name="Saliency of this locus").and_(page.locator(":not([disabled])")).click()
    page.wait_for_url("**/saliency?model=lively&from=scan")
    first = middle - {"+": 65, "-": 44}[best["strand"]]
    begin = f">lac_region:{first}-{first + 109}"
    page.wait_for_function("(begin) => document.querySelector('textarea')?.value.startsWith(begin)", arg=begin)
    page.go_back()
    shown_place(page, f"lac_region:{left:,}-{right:,}".replace(",", ",?"))
    page.reload()
    shown_place(page, f"lac_region:{left:,}-{right:,}".replace(",", ",?"))

    entries = page.evaluate("window.history.length")
    page.get_by_role("textbox", name="Go to").fill("20,101-20,180")
    page.get_by_role("textbox", name="Go to").press("Enter")
    shown_place(page, "lac_region:20,?101-20,?180")
    field = page.locator("input.igv-search-input")
    field.fill("lac_region:20001-20080")
    field.press("Enter")
    shown_place(page, "lac_region:20,?001-20,?080")
    assert page.evaluate("window.history.length") == entries

    page.get_by_role("button", name="100", exact=True).click()
    slider = page.get_by_role("slider", name=re.compile("Threshold"))
    slider.press("End")
    page.get_by_text("No window reaches the threshold").wait_for()
    page.get_by_role("button", name="Threshold of the run").click()
    page.get_by_text(re.compile(f"{len(calls):,} of {len(calls):,} calls")).wait_for()
    shown_place(page, "lac_region:20,?001-20,?080")

    page.get_by_role("button", name="Pack everything").click()
    with zipfile.ZipFile(io.BytesIO(download("Everything, zip"))) as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
    assert [name for name, content in found.items() if held[name] != content] == []
    assert {"README.txt", "calls.gb", "calls.fa", "calls.parquet", "run.json"} <= set(held)
    assert json.loads(held["run.json"])["settings"]["circular"] == ["lac_region"]
    pd.testing.assert_series_equal(
        pd.read_parquet(io.BytesIO(held["calls.parquet"]))["summit"], calls["summit"], check_dtype=False
    )
    (tmp_path / "minus.bw").write_bytes(held["scores_minus.bw"])
    with pyBigWig.open(str(tmp_path / "minus.bw")) as track:
        assert track.chroms() == {"lac_region": 40_000}
    assert hosts == {"127.0.0.1"}
    is_drawn_dark_and_narrow(page)


def test_names_of_ncbi_and_those_that_differ_in_capitals_alone_open(visit, page, upload, make_dna, tmp_path):
    lengths = {"gi|123|ref|NC_000913.3|": 600, "ctg": 700, "CTG": 800}
    path = tmp_path / "names.fa"
    path.write_text("".join(f">{name} words\n{make_dna(length)}\n" for name, length in lengths.items()))
    visit("scan")
    upload(path)
    page.get_by_role("button", name="Start the scan").click()
    page.wait_for_url(re.compile(r"job=[0-9a-f]{32}"))
    page.reload()
    page.get_by_role("heading", name="Downloads").wait_for(timeout=300_000)
    field = page.locator("input.igv-search-input")
    contigs = page.locator("select").filter(has_text="ctg")
    for name in (*lengths, "ctg"):
        contigs.select_option(name)
        page.wait_for_timeout(1500)
        assert field.input_value().replace(",", "") == f"{name}:1-{lengths[name]}"
    fits_a_phone(page)
