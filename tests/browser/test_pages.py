"""From an uploaded file to a downloaded one in a real browser, compared with what the package gives."""

import io
import zipfile

import pytest

from genolm import workspace
from genolm.pipelines import classify_file, saliency_file

SITES = workspace.samples_dir() / "ecoli_known_sites.fa"


@pytest.fixture
def short_fasta(tmp_path):
    """The first known site of the sample, cut to the model's 60 bp."""
    letters = "".join(SITES.read_text().split(">")[1].split("\n")[1:])
    path = tmp_path / "lac.fa"
    path.write_text(f">lac\n{letters[160:220]}\n")
    return path


def test_the_first_visit_of_a_fresh_server_may_be_any_page(visit):
    page = visit("scan")
    assert page.get_by_role("heading", level=1).inner_text() == "Scan a genome"
    page.get_by_role("button", name="Start the scan").wait_for()
    assert page.get_by_role("dialog").count() == 0


def test_classify_from_upload_to_download(visit, upload, download, predictors, tmp_path):
    page = visit("")
    upload(SITES)
    page.get_by_text("27 of 27 records are not 60 bp long").wait_for()
    page.get_by_role("button", name="Classify 27 records").click()
    found = download("Download CSV", role="button")
    expected = []
    for predictor in predictors:
        out = tmp_path / f"{predictor.precision}.csv"
        classify_file(SITES, out, model=predictor)
        expected.append(out.read_bytes())
    assert found in expected
    assert found.count(b"\n") == 28


def test_saliency_from_upload_to_download(visit, upload, download, predictors, short_fasta, tmp_path):
    page = visit("saliency")
    upload(short_fasta)
    page.get_by_role("button", name="Explain the answer").click()
    found = download("Download CSV", role="button")
    page.get_by_text("Plus strand").wait_for()
    expected = []
    for predictor in predictors:
        out = tmp_path / f"{predictor.precision}.csv"
        saliency_file(short_fasta, out, model=predictor)
        expected.append(out.read_bytes())
    assert found in expected


def test_a_large_file_arrives_whole_though_a_slice_is_lost(visit, page, upload, server, tmp_path):
    path = tmp_path / "large.fa"
    path.write_text(">large\n" + ("ACGTTGCA" * 10 + "\n") * 230_000)
    visit("scan")
    lost = []

    def lose_one(route):
        if "offset=8388608" in route.request.url and not lost:
            lost.append(route.request.url)
            route.abort()
        else:
            route.continue_()

    page.route("**/api/uploads/**", lose_one)
    upload(path)
    page.get_by_text("18.4 Mbp").wait_for()
    assert len(lost) == 1


NAMESAKE = """(input, content) => {
    const files = new DataTransfer();
    files.items.add(new File([content], "seq.fa", { lastModified: 1700000000000 }));
    input.files = files.files;
    input.dispatchEvent(new Event("change"));
}"""
"""Chooses a file of this content; all that are chosen so have the same name and time."""


def file_box(page):
    page.get_by_role("radio", name="Upload").or_(page.get_by_role("button", name="Upload")).first.click()
    found = page.locator("input[type=file]")
    found.wait_for(state="attached")
    return found


def test_an_upload_that_broke_off_goes_on_with_the_same_bytes_alone(visit, page):
    visit("")
    sent, second = [], "PUT 8388608"
    page.on("request", lambda request: sent.append(request) if "/api/uploads" in request.url else None)
    page.route("**/api/uploads/**offset=8388608", lambda route: None)
    for letters, asked in (
        ("ACGTT", ["POST", "PUT 0", second]),
        ("ACGTA", ["GET", "POST", "PUT 0", second]),
        ("ACGTA", ["GET", second]),
    ):
        box = file_box(page)
        sent.clear()
        with page.expect_request("**/api/uploads/**offset=8388608"):
            box.evaluate(NAMESAKE, f">large\n{letters * 2_000_000}\n")
        assert [f"{item.method} {item.url.partition('offset=')[2]}".strip() for item in sent] == asked
        page.reload()
        page.get_by_role("heading", level=1).wait_for()


def test_another_file_of_the_same_name_size_and_time_is_sent(visit, page, download):
    visit("")
    found = []
    for letters in ("ACGTTGCATA", "TTGACATATA", "ACGTTGCATA"):
        box = file_box(page)
        box.evaluate(NAMESAKE, f">s\n{letters * 6}\n")
        page.get_by_text("In use: seq.fa").wait_for()
        page.get_by_role("button", name="Classify 1 record").click()
        found.append(download("Download CSV", role="button"))
        page.reload()
        page.get_by_role("heading", level=1).wait_for()
    assert found[0] != found[1] and found[0] == found[2]


@pytest.mark.parametrize("name", ["", "saliency", "scan"])
def test_wrong_files_get_a_sentence(visit, page, upload, tmp_path, name):
    visit(name)
    wrong = {
        "protein.fa": (b">p\nMKTAYIAKQRQISFVKSHFSRQ\n", "looks like protein"),
        "reads.fastq": (b"@r\nACGT\n+\nIIII\n", "FASTQ"),
        "letter.docx": (b"PK\x03\x04" + b"\0" * 500, "zip archive or an Office document"),
    }
    for file, (content, sentence) in wrong.items():
        (tmp_path / file).write_bytes(content)
        upload(tmp_path / file)
        alert = page.get_by_test_id("stAlert").filter(has_text=sentence)
        alert.wait_for()
        assert file in alert.inner_text()


def test_a_model_goes_in_and_out(visit, page, download, zipped_bundle):
    visit("models")
    page.get_by_text("Import a model").click()
    page.locator("input[type=file]").set_input_files(zipped_bundle)
    page.get_by_text("toy-promoter.zip is here").wait_for()
    page.get_by_role("button", name="Import", exact=True).click()
    page.get_by_text("toy-promoter is installed.").wait_for()
    # A click on what is still being drawn is lost.
    page.locator('[data-testid="stApp"][data-test-script-state="notRunning"]').wait_for()
    content = download("Export", "button")
    sent, came = (zipfile.ZipFile(item) for item in (zipped_bundle, io.BytesIO(content)))
    assert {item.filename: item.CRC for item in came.infolist()} == {item.filename: item.CRC for item in sent.infolist()}


VIEWS = [("", "light"), ("saliency", "dark"), ("scan", "light"), ("scan", "dark"), ("models", "dark")]
VIEWS += [("train", "light"), ("pretrain", "dark"), ("compare", "light"), ("jobs", "dark"), ("results", "dark")]


@pytest.mark.parametrize(("name", "scheme"), VIEWS)
def test_a_page_has_no_serious_fault_of_accessibility(visit, page, name, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page.emulate_media(color_scheme=scheme)
    visit(name)
    page.get_by_role("heading", level=1).first.wait_for()
    page.locator('[data-testid="stApp"][data-test-script-state="notRunning"]').wait_for()
    grave = []
    # What a rerun is about to replace is drawn pale for a moment: only what stays is a fault.
    for _ in range(6):
        page.wait_for_timeout(1500)
        found = axe.run(page).response["violations"]
        grave = [item for item in found if item["impact"] in ("serious", "critical")]
        if not grave:
            break
    assert not grave, [(item["id"], [node["html"][:200] for node in item["nodes"]]) for item in grave]
