"""What the genome browser fetches: byte ranges by signed address, and features by contig."""

import asyncio
import hashlib
import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest
from starlette.applications import Starlette

from pages.shared import ranges, tokens, view_files
from pages.shared.genome_view import _region


async def _get(path, asked=""):
    headers = [(b"range", asked.encode())] if asked else []
    scope = {"type": "http", "http_version": "1.1", "method": "GET", "path": path, "raw_path": path.encode()}
    scope |= {"query_string": b"", "headers": headers, "scheme": "http", "server": ("127.0.0.1", 80)}
    outbox = []

    async def receive():
        await asyncio.Event().wait()

    async def send(message):
        outbox.append(message)

    await Starlette(routes=ranges.routes())(scope, receive, send)
    return outbox[0]["status"], dict(outbox[0]["headers"]), b"".join(item.get("body", b"") for item in outbox)


def get(*arguments):
    """Ask in a thread of its own: where browser tests ran before, this one has a loop already."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, _get(*arguments)).result()


def address(path):
    return f"{ranges.PREFIX}/{tokens.sign('view', str(path))}/{path.name}"


def test_the_bytes_asked_for_come_and_no_others(private_workspace):
    path = private_workspace / "genome.fa"
    path.write_bytes(bytes(range(200)))
    status, headers, content = get(address(path), "bytes=10-19")
    assert status == 206 and content == bytes(range(10, 20))
    assert headers[b"content-range"] == b"bytes 10-19/200"
    assert get(address(path))[::2] == (200, bytes(range(200)))
    assert get(address(path), "bytes=500-600")[0] == 416


def test_only_signed_files_of_ours_are_shown(private_workspace, tmp_path, monkeypatch):
    ours, theirs = private_workspace / "scores.bw", tmp_path / "secret.bw"
    for path in (ours, theirs):
        path.write_bytes(b"scores")
    assert get(address(ours))[0] == 200
    assert get(address(theirs))[0] == 404
    assert get(f"{ranges.PREFIX}/{tokens.sign('file', str(ours))}/scores.bw")[0] == 403
    assert get(f"{ranges.PREFIX}/forged/scores.bw")[0] == 403
    old = address(ours)
    monkeypatch.setattr(ranges, "LINK_SECONDS", -1)
    assert get(old)[0] == 403
    monkeypatch.setattr(ranges, "LINK_SECONDS", 60)
    monkeypatch.setenv("GENOLM_DATA_ROOTS", str(tmp_path))
    assert get(address(theirs))[0] == 200


def test_the_browser_s_program_names_no_service_of_its_makers():
    status, headers, content = get(ranges.igv_address())
    assert status == 200 and headers[b"content-type"].startswith(b"text/javascript")
    assert len(content) > 1_000_000 and not re.search(rb"https://igv\.org/\w", content)


def test_the_browser_s_program_is_the_published_one_but_for_what_is_told():
    folder = Path(ranges.__file__).parents[2] / "assets" / "igv"
    published, told = (folder / "igv.esm.min.js").read_bytes(), (folder / "README.md").read_text()
    assert hashlib.sha256(published).hexdigest() in told
    assert "3.8.10 (igv.js" in told and ranges.IGV_VERSION == "3.8.10"
    _, _, content = get(ranges.igv_address())
    for fault, mended in (
        (b'const t=t.substring(0,i);e["ncbi-gi"]=t', b'if(i>0){e["ncbi-gi"]=t.substring(0,i)}'),
        (rb'const e=t.split("\\|");return e[e.length-1]', b'getNCBIName(t){return t.split("|").filter(Boolean).pop()}'),
        (b"set(e,t)}}}search(t){", b"set(e,t)}for(let t of i)this.aliasRecordCache.set(t.chr,t)}}search(t){"),
    ):
        assert (published.count(fault), content.count(fault), content.count(mended)) == (1, 0, 1)
    # A browser that keeps the program of before asks for this one.
    assert hashlib.sha256(content).hexdigest()[:12] in ranges.igv_address()


TABLE = pd.DataFrame(
    {
        "contig": ["b", "a", "a", "elsewhere"],
        "start": [5, 900, 10, 1],
        "end": [9, 1040, 20, 2],
        "name": ["x\ty", 'say "gene"', "", ""],
        "strand": ["+", "-", "+", "+"],
        "score": ["0.5", "0.7", "0.9", "1"],
    }
)


def test_each_contig_s_features_lie_together_and_are_found_by_their_bytes(tmp_path):
    lengths = {"a": 1000, "b": 50}
    path, index = view_files.write_features(
        tmp_path / "view", "calls_1", TABLE, facts={"score": "Score"}, lengths=lengths
    )
    said, content = json.loads(index.read_text()), path.read_bytes()
    assert said["columns"] == ["Score"] and said["features"] == 4 and said["bytes"] == len(content)
    left, right = said["contigs"]["a"]
    rows = [line.split("\t") for line in content[left:right].decode().splitlines()]
    assert rows == [
        ["a", "0", "40", "say gene", "-", "0.7"],
        ["a", "10", "20", "", "+", "0.9"],
        ["a", "900", "1000", "say gene", "-", "0.7"],
    ]
    left, right = said["contigs"]["b"]
    assert content[left:right] == b"b\t5\t9\tx y\t+\t0.5\n"
    before = path.stat().st_mtime_ns
    view_files.write_features(tmp_path / "view", "calls_1", TABLE, facts={"score": "Score"}, lengths=lengths)
    assert path.stat().st_mtime_ns == before


def test_a_threshold_without_calls_gives_an_empty_file(tmp_path):
    path, index = view_files.write_features(
        tmp_path, "calls_0", TABLE.head(0), facts={"score": "Score"}, lengths={"a": 1000}
    )
    assert path.read_bytes() == b"" and json.loads(index.read_text())["features"] == 0


def test_old_places_of_the_slider_are_forgotten(tmp_path):
    for number in range(30):
        view_files.write_features(tmp_path, f"calls_{number}", TABLE, facts={}, lengths={"a": 1000})
    view_files.write_features(tmp_path, "genes_1", TABLE, facts={}, lengths={"a": 1000})
    assert len(list(tmp_path.glob("calls_*.tsv"))) == len(list(tmp_path.glob("calls_*.json"))) == 24
    assert (tmp_path / "calls_29.tsv").is_file() and (tmp_path / "genes_1.tsv").is_file()


@pytest.mark.parametrize("said", [None, {}, {"chr": "a"}, {"chr": "a", "start": "x", "end": 5}, [1]])
def test_what_is_no_place_is_nothing_said(said):
    assert _region(said) is None
    assert str(_region({"chr": "a", "start": -3, "end": 5})) == "a:1-5"
