"""Uploads in slices and downloads by signed address, spoken to as a browser would, without one."""

import asyncio
import json
import urllib.parse
import zlib
from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import pytest
from Bio import SeqIO
from Bio.Seq import Seq
from Bio.SeqRecord import SeqRecord
from starlette.applications import Starlette

from genolm import workspace
from pages.shared import downloads, tokens, uploads

URL = uploads.PREFIX


async def _ask(method, url, token="", body=b"", *, breaks=False):
    path, _, query = url.partition("?")
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [(uploads.HEADER.encode(), token.encode())],
        "scheme": "http",
        "server": ("127.0.0.1", 80),
    }
    half = len(body) // 2
    inbox = [{"type": "http.request", "body": body[:half], "more_body": True}]
    inbox += [{"type": "http.disconnect"}] if breaks else [{"type": "http.request", "body": body[half:]}]
    outbox = []

    async def receive():
        if not inbox:
            await asyncio.Event().wait()
        return inbox.pop(0)

    async def send(message):
        outbox.append(message)

    await Starlette(routes=[*uploads.routes(), *downloads.routes()])(scope, receive, send)
    content = b"".join(item.get("body", b"") for item in outbox)
    return outbox[0]["status"], dict(outbox[0]["headers"]), content


def run(coroutine):
    """Run a coroutine in a thread of its own: where browser tests ran before, this one has a loop already."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result()


def ask(*arguments, **options):
    status, _, content = run(_ask(*arguments, **options))
    return status, json.loads(content)


@pytest.fixture
def page_token(private_workspace):
    return tokens.sign("page", "upload")


def opened(page_token, name, size):
    status, answer = ask("POST", URL, page_token, json.dumps({"name": name, "size": size}).encode())
    assert status == 200, answer
    return f"{URL}/{answer['id']}", answer["token"]


def test_slices_become_the_same_file(page_token):
    content = bytes(range(256)) * 41
    url, token = opened(page_token, "../../odd näme.fa", len(content))
    for offset in range(0, len(content), 4000):
        status, answer = ask("PUT", f"{url}?offset={offset}", token, content[offset : offset + 4000])
        assert status == 200 and answer["offset"] == min(offset + 4000, len(content))
    upload = uploads.finished({"token": token})
    assert upload.path.read_bytes() == content
    assert upload.path.is_relative_to(workspace.uploads_dir()) and upload.name == "odd näme.fa"
    assert upload.path.name == upload.name


def test_an_upload_goes_on_where_the_connection_broke(page_token):
    content = b"ACGT" * 100
    url, token = opened(page_token, "a.fa", len(content))
    assert ask("PUT", f"{url}?offset=0", token, content, breaks=True)[0] == 400
    status, answer = ask("GET", url, token)
    assert status == 200 and answer["offset"] == 200 and answer["crc"] == zlib.crc32(content[:200])
    assert uploads.finished({"token": token}) is None
    assert ask("PUT", f"{url}?offset=0", token, content)[0] == 409
    assert ask("PUT", f"{url}?offset=200", token, content[200:])[0] == 200
    assert uploads.finished({"token": token}).path.read_bytes() == content
    assert "crc" not in ask("GET", url, token)[1], "a whole file is taken up by nobody again"


def test_nobody_uploads_without_the_right_token(page_token):
    wish = json.dumps({"name": "a.fa", "size": 4}).encode()
    for token in ("", "forged", tokens.sign("file", "upload"), page_token[:-1]):
        assert ask("POST", URL, token, wish)[0] == 403
    url, token = opened(page_token, "a.fa", 4)
    _, other = opened(page_token, "b.fa", 4)
    for wrong in ("", page_token, other):
        assert ask("GET", url, wrong)[0] == 404
        assert ask("PUT", f"{url}?offset=0", wrong, b"ACGT")[0] == 404
    assert ask("PUT", f"{url}?offset=0", token, b"ACGT")[0] == 200


def test_too_much_is_refused(page_token, monkeypatch):
    monkeypatch.setenv("GENOLM_MAX_UPLOAD_GB", "0.000001")
    status, answer = ask("POST", URL, page_token, json.dumps({"name": "a.fa", "size": 1001}).encode())
    assert status == 413 and "GENOLM_MAX_UPLOAD_GB" in answer["error"]
    status, answer = ask("POST", URL, page_token, json.dumps({"name": "a.fa", "size": 0}).encode())
    assert status == 413 and answer["error"] == "a.fa is empty; choose a file with sequences in it."
    assert ask("POST", URL, page_token, b"nonsense")[0] == 400
    url, token = opened(page_token, "a.fa", 4)
    assert ask("PUT", f"{url}?offset=0", token, b"ACGTACGT")[0] == 413
    assert ask("GET", url, token)[1]["offset"] <= 4


@pytest.mark.parametrize("name", ["part", "upload.json", "..", "", "a/b\\c.fa", "x" * 300 + ".fasta.gz"])
def test_no_name_of_a_file_does_harm(page_token, name):
    url, token = opened(page_token, name, 4)
    assert ask("PUT", f"{url}?offset=0", token, b"ACGT")[0] == 200
    upload = uploads.finished({"token": token})
    assert upload.path.parent.parent.parent == workspace.uploads_dir() and upload.path.read_bytes() == b"ACGT"
    assert len(upload.name) <= 120 and upload.name.endswith(".gz") == name.endswith(".gz")


@pytest.mark.parametrize(
    "name",
    [
        "GCF_000005845.2_ASM584v2_genomic.fna.gz",
        "基因组.fa",
        "my genome (1).fa",
        "génome d'été & co.fasta",
        "cafe\u0301.fa",  # as macOS writes it
        "ژنوم\u200cها.fa",
        "-c.fa",
    ],
)
def test_a_file_keeps_the_name_that_its_user_gave_it(page_token, name):
    url, token = opened(page_token, name, 4)
    ask("PUT", f"{url}?offset=0", token, b"ACGT")
    upload = uploads.finished({"token": token})
    assert upload.name == upload.path.name == name
    status, headers, content = run(_ask("GET", urllib.parse.unquote(downloads.link(upload.path))))
    assert (status, content) == (200, b"ACGT")
    said = headers[b"content-disposition"].decode()
    assert name in (urllib.parse.unquote(said.partition("''")[2]), said.partition('"')[2].rstrip('"'))


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\data\\a.fa", "a.fa"),
        ("..hidden.fa", "hidden.fa"),
        ("a\x00b\nc\x1b.fa", "a_b_c_.fa"),
        ("a\u2028\u202eaf.exe.fa", "a__af.exe.fa"),
        ("\ud800.fa", "_.fa"),
        ("  ", "upload"),
        ("/", "upload"),
        ("基" * 99 + ".v2_genomic.fna.gz", "基" * 37 + ".fna.gz"),
        ("x" * 119 + ".fa", "x" * 117 + ".fa"),
        ("x" * 200, "x" * 120),
    ],
)
def test_what_is_not_safe_in_a_name_is_left_out(name, kept):
    assert uploads.safe_name(name) == kept
    assert len(kept.encode()) <= uploads.NAME_BYTES


def test_old_uploads_are_removed(page_token):
    url, token = opened(page_token, "a.fa", 4)
    folder = workspace.uploads_dir() / url.rsplit("/", 1)[1]
    pasted = workspace.uploads_dir() / "pasted" / "a.fa"
    pasted.parent.mkdir()
    pasted.touch()
    uploads.remove_old(folder.stat().st_mtime + uploads.KEEP_SECONDS - 5)
    assert folder.exists() and pasted.exists()
    uploads.remove_old(pasted.stat().st_mtime + uploads.KEEP_SECONDS + 5)
    assert not folder.exists() and not pasted.exists() and pasted.parent.exists()


def test_only_signed_files_of_ours_are_handed_out(private_workspace, tmp_path):
    ours, theirs = private_workspace / "jobs" / "calls.csv", tmp_path / "secret.csv"
    ours.parent.mkdir()
    ours.write_text("contig,start\n")
    theirs.write_text("secret")
    status, headers, content = run(_ask("GET", downloads.link(ours)))
    assert (status, content) == (200, b"contig,start\n")
    assert b'filename="calls.csv"' in headers[b"content-disposition"]
    assert run(_ask("GET", downloads.link(theirs)))[0] == 404
    ours.unlink()
    assert run(_ask("GET", downloads.link(ours)))[0] == 404
    assert run(_ask("GET", f"{downloads.PREFIX}/forged/calls.csv"))[0] == 403


@pytest.mark.parametrize("page", ["classify", "saliency"])
def test_a_genbank_file_is_classified_and_explained_as_its_fasta_is(
    page, open_page, toy_model, make_dna, tmp_path, monkeypatch
):
    records = [SeqRecord(Seq(make_dna(60)), id=name, annotations={"molecule_type": "DNA"}) for name in ("a.1", "b.1")]
    shown = []
    for form, name in (("genbank", "two.gb"), ("fasta", "two.fa")):
        path = tmp_path / name
        SeqIO.write(records, path, form)
        monkeypatch.setattr(uploads, "upload_box", lambda *texts, path=path, **options: uploads.Upload(path.name, path))
        app = open_page(f"pages/annotate/{page}.py")
        app.segmented_control[0].set_value("Upload").run()
        next(button for button in app.button if button.label.startswith(("Classify", "Explain"))).click().run()
        assert not app.exception and not app.error
        shown.append([table.value for table in app.dataframe])
    assert shown[0] and len(shown[0]) == len(shown[1])
    for first, second in zip(*shown, strict=True):
        pd.testing.assert_frame_equal(first, second)
