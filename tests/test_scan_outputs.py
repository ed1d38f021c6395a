"""What a scan writes, read back by other programs' readers, and the zip of it all."""

import errno
import json
import os
import zipfile
from contextlib import contextmanager

import numpy as np
import pandas as pd
import pyarrow.parquet
import pyBigWig
import pytest
from Bio import SeqIO

from genolm import score_files
from genolm.errors import SettingsError
from genolm.features import CALL_COLUMNS, write_bigwig, write_calls
from genolm.genome_files import open_genome
from genolm.outputs import SCAN_FILES, atomic_files
from genolm.scan_outputs import FORMATS, pack_results, write_all, write_hits, write_parquet
from genolm.tracks import Track

LENGTH = 1_005


@pytest.fixture
def genome(tmp_path, make_dna):
    path = tmp_path / "in.fa"
    path.write_text(f">ring circular=true\n{make_dna(LENGTH)}\n>line\n{make_dna(300)}\n")
    with open_genome(path) as opened:
        yield opened


@pytest.fixture
def calls():
    rows = [
        ("ring", 100, 130, "+", 110, 1 / 3, 0.01),
        ("ring", 990, 1_020, "-", 3, 0.75, 0.2),
        ("line", 0, 40, "-", 20, 0.5, 0.3),
        ("line", 280, 300, "+", 290, 1.0, 0.4),
    ]
    return pd.DataFrame(rows, columns=[*CALL_COLUMNS, "q_value"])


@pytest.fixture
def tracks():
    rng = np.random.default_rng(3)
    values = {"ring": rng.random(101, dtype=np.float32), "line": rng.random(24, dtype=np.float32)}
    values["ring"][10:20] = np.nan
    starts = {"ring": 0, "line": 35}
    return [Track(name, sign, starts[name], 10, 10, values[name]) for name in values for sign in "+-"]


def parsed(path, style="fasta"):
    with open(path, encoding="utf-8") as handle:
        return {record.id: record for record in SeqIO.parse(handle, style)}


def test_hits_have_flanks_and_places(tmp_path, genome, calls):
    path = tmp_path / "calls.fa"
    write_hits(path, calls, genome, flank=50)
    found = parsed(path)
    assert [record.description for record in found.values()] == [
        "call_1 ring:51-180(+) call=101-130 summit=111 probability=0.333333",
        "call_2 ring:941-1005,1-65(-) call=991-1005,1-15 summit=4 probability=0.75",
        "call_3 line:1-90(-) call=1-40 summit=21 probability=0.5",
        "call_4 line:231-300(+) call=281-300 summit=291 probability=1",
    ]
    ring, line = (record.seq for record in parsed(genome.path).values())
    assert found["call_1"].seq == ring[50:180]
    assert found["call_2"].seq == (ring[940:] + ring[:65]).reverse_complement()
    assert found["call_3"].seq == line[:90].reverse_complement()
    assert found["call_4"].seq == line[230:]
    assert max(map(len, path.read_text().splitlines()[1:3])) == 60


def test_flanks_never_go_round_twice(tmp_path, genome, calls):
    path = tmp_path / "calls.fa"
    write_hits(path, calls[:2], genome, flank=5_000)
    for record in parsed(path).values():
        assert len(record) == LENGTH
    write_hits(path, calls[:1], genome, flank=0)
    assert parsed(path)["call_1"].description.startswith("call_1 ring:101-130(+)")
    for wrong in (-1, 2.5, True):
        with pytest.raises(SettingsError, match="flank is"):
            write_hits(path, calls, genome, flank=wrong)


def test_parquet_is_the_table_in_full_precision(tmp_path, calls):
    path = tmp_path / "calls.parquet"
    write_parquet(path, calls)
    table = pyarrow.parquet.read_table(path)
    assert table.column_names == [*CALL_COLUMNS, "q_value"]
    assert [str(table.schema.field(name).type) for name in ("start", "score")] == ["int64", "double"]
    assert table.to_pydict()["score"][0] == 1 / 3
    assert table.to_pydict()["contig"] == calls["contig"].tolist()
    write_parquet(path, calls[:0])
    assert pyarrow.parquet.read_table(path).num_rows == 0


def test_all_files_tell_the_same(tmp_path, genome, calls, tracks):
    out = tmp_path / "run"
    out.mkdir()
    write_all(out, calls, tracks, genome, model="m", class_name="promoter", formats=FORMATS)
    written = {path.name for path in out.iterdir()}
    assert written == set(SCAN_FILES) - {"run.json", "genes.gff3", "background.json", "truth.json"}
    for sign, word in (("+", "plus"), ("-", "minus")):
        with pyBigWig.open(str(out / f"scores_{word}.bw")) as handle:
            wide = [(n, *item) for n in handle.chroms() for item in handle.intervals(n)]
        text = pd.read_csv(out / f"scores_{word}.bedgraph", sep="\t", header=None).values.tolist()
        assert [row[:3] for row in text] == [list(row[:3]) for row in wide]
        assert [row[3] for row in text] == pytest.approx([row[3] for row in wide], rel=1e-5)
        covered = np.zeros(LENGTH, dtype=int)
        for contig, start, end, _ in wide:
            if contig == "ring":
                covered[start:end] += 1
        assert covered[:100].all() and covered[200:].all() and not covered[100:200].any()
        assert covered.max() == 1
        assert sum(track.strand == sign for track in tracks) == 2
    bed = pd.read_csv(out / "calls.bed", sep="\t", header=None)
    assert bed[3].tolist() == ["call_2", "call_1", "call_2", "call_3", "call_4"]
    records = parsed(out / "calls.gb", "genbank")
    assert [len(records[name].features) for name in ("ring", "line")] == [2, 2]
    assert pd.read_csv(out / "calls.csv")["end"].tolist() == [130, 1_020, 40, 300]
    assert "Is_circular=true" in (out / "calls.gff3").read_text()


def test_only_what_was_asked_for_is_written(tmp_path, genome, calls, tracks):
    write_all(tmp_path, calls, tracks[:1], genome, model="m", class_name="promoter", formats=())
    names = {path.name for path in tmp_path.iterdir()} - {"in.fa"}
    assert names == {"calls.csv", "calls.bed", "calls.gff3", "scores_plus.bw"}
    with pytest.raises(SettingsError, match="formats has 'excel'; known are genbank"):
        write_all(tmp_path, calls, tracks, genome, model="m", class_name="x", formats=("excel",))


def test_a_zip_explains_each_file_and_column(tmp_path, genome, calls, tracks):
    out, packed = tmp_path / "run", tmp_path / "all.zip"
    out.mkdir()
    write_all(out, calls.assign(own="x"), tracks, genome, model="m", class_name="promoter", formats=FORMATS)
    record = {"model": {"name": "m"}, "inputs": [{"name": "in.fa"}], "settings": {"threshold": 0.4}}
    (out / "run.json").write_text(json.dumps(record))
    (out / "notes.txt").write_text("mine")
    names = pack_results(out, packed)
    with zipfile.ZipFile(packed) as archive:
        assert archive.testzip() is None
        assert tuple(archive.namelist()) == names
        assert "notes.txt" not in names
        for name in names[1:]:
            assert archive.read(name) == (out / name).read_bytes()
        readme = archive.read("README.txt").decode()
    assert names[0] == "README.txt"
    for name in names[1:]:
        after = readme.split(f"\n{name}\n    ")[1]
        assert len(after.split("\n")[0]) > 25
    for name in [*CALL_COLUMNS, "q_value", "own"]:
        assert f"\n{name} " in readme
    for fact in ("Genome: in.fa", "Model: m", "Threshold: 0.4", "positions from 1, both ends included"):
        assert fact in readme
    assert max(map(len, readme.splitlines())) <= 110


def test_every_result_has_its_words():
    from genolm import scan_readme

    assert set(scan_readme._FILES) == set(SCAN_FILES)


def test_a_folder_without_results_is_refused(tmp_path, calls):
    with pytest.raises(SettingsError, match="no result of a scan"):
        pack_results(tmp_path, tmp_path / "a.zip")
    write_calls(tmp_path / "calls.csv", calls)
    assert pack_results(tmp_path, tmp_path / "a.zip") == ("README.txt", "calls.csv")
    with pytest.raises(SettingsError, match="cannot be written"):
        pack_results(tmp_path, tmp_path / "none" / "a.zip")


WIDE = 12_000


@pytest.fixture
def wide():
    """A track whose bigWig is some 58 kB."""
    values = np.random.default_rng(6).random(WIDE, dtype=np.float32)
    return [Track("c", "+", 0, 10, 10, values)], {"c": 10 * WIDE + 50}


@contextmanager
def file_limit(size):
    """Let no file grow beyond so many bytes."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("fallocate", [True, False])
@pytest.mark.parametrize("room", [0, 500, 20_000, 58_000])
def test_a_bigwig_without_room_is_a_sentence_before_it_is_begun(wide, tmp_path, monkeypatch, room, fallocate):
    def refused(*_):
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    if not fallocate:
        monkeypatch.setattr(score_files.os, "posix_fallocate", refused, raising=False)
    path, opened = tmp_path / "scores_plus.bw", []
    with monkeypatch.context() as patched:
        # Without room, it is pyBigWig that crashes or never ends.
        patched.setattr(pyBigWig, "open", lambda *given: opened.append(given) or 1 / 0)
        with file_limit(room), pytest.raises(SettingsError) as caught:
            write_bigwig(path, *wide)
    assert f"there is no room in {tmp_path} (File too large); it can take up to 0.1 MB." in str(caught.value)
    assert not opened and not path.exists()
    write_bigwig(path, *wide)
    assert 50_000 < path.stat().st_size < 70_000


@pytest.mark.parametrize("room", [100, 0.97])
def test_a_bigwig_that_ran_out_of_room_is_none(wide, tmp_path, monkeypatch, room):
    path = tmp_path / "scores_plus.bw"
    write_bigwig(path, *wide)
    whole = path.stat().st_size
    monkeypatch.setattr(score_files, "_reserve", lambda *_: None)
    with file_limit(room if room > 1 else int(room * whole)):
        with pytest.raises(SettingsError, match=r"there is no room in .* \(not all of it was written\)"):
            write_bigwig(path, *wide)


def test_an_error_of_the_librarys_is_a_sentence(wide, tmp_path, monkeypatch):
    class Full:
        def addHeader(self, contigs):  # noqa: N802
            pass

        def addEntries(self, *_, **__):  # noqa: N802
            raise SystemError("returned NULL without setting an exception")

        def close(self):
            pass

    monkeypatch.setattr(pyBigWig, "open", lambda *_: Full())
    with pytest.raises(SettingsError, match="there is no room"):
        write_bigwig(tmp_path / "scores_plus.bw", *wide)
    monkeypatch.undo()
    twice = [wide[0][0], wide[0][0].between(0, 100)]
    with pytest.raises(SettingsError, match="the pieces of a contig overlap"):
        write_bigwig(tmp_path / "scores_plus.bw", twice, wide[1])


def test_a_bigwig_that_is_cut_or_of_other_values_is_known(wide, tmp_path):
    tracks, lengths = wide
    path = tmp_path / "a.bw"
    write_bigwig(path, tracks, lengths)
    sizes = score_files._Sizes.of(tracks, lengths, {})
    assert score_files._is_whole(pyBigWig, path, sizes)
    assert not score_files._is_whole(pyBigWig, path, sizes._replace(covered=sizes.covered - 10))
    assert not score_files._is_whole(pyBigWig, path, sizes._replace(contigs={"c": 5}))
    whole = path.read_bytes()
    for content in (whole[:-1], whole[:-4], b"", whole[-4:], whole[:64]):
        path.write_bytes(content)
        assert not score_files._is_whole(pyBigWig, path, sizes)


@pytest.mark.parametrize("shape", ["few", "dense", "gaps", "sparse", "thin", "contigs"])
def test_no_bigwig_is_larger_than_the_room_that_is_asked_for(tmp_path, shape):
    rng, step, span, names = np.random.default_rng(7), 10, 10, ["c"]
    values = ((rng.random(30_000) - 0.5) * 2.0 ** rng.integers(-30, 30, 30_000)).astype(np.float32)
    if shape == "few":
        values = values[:1]
    elif shape == "gaps":
        values[1::2] = np.nan
    elif shape == "sparse":
        values[rng.random(len(values)) < 0.99] = np.nan
    elif shape == "thin":
        step, span, values = 100, 1, values[:5_000]
    elif shape == "contigs":
        names, values = [f"contig with number {number}" for number in range(300)], values[:40]
    tracks = [Track(name, "+", 0, step, span, values) for name in names]
    lengths = dict.fromkeys(names, step * len(values))
    write_bigwig(tmp_path / "a.bw", tracks, lengths)
    most = score_files._Sizes.of(tracks, lengths, {}).most_bytes
    size = (tmp_path / "a.bw").stat().st_size
    assert size <= most
    if shape == "dense":
        assert most < 1.3 * size


def test_an_error_on_a_draft_names_the_final_place(tmp_path):
    with pytest.raises(SettingsError) as caught, atomic_files(tmp_path, ("a.bw",)) as draft:
        raise SettingsError(f"Cannot write {draft / 'a.bw'}: there is no room in {draft}.")
    assert str(caught.value) == f"Cannot write {tmp_path / 'a.bw'}: there is no room in {tmp_path}."


def test_the_drafts_of_ones_own_are_removed_and_young_ones_of_others_stay(tmp_path):
    for name in (".scan-01234567.draft", ".89abcdef.draft", ".old.draft"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "scores_plus.bw").write_text("half")
    os.utime(tmp_path / ".old.draft", (0, 0))
    with atomic_files(tmp_path, ("a.txt",), "scan") as draft:
        (draft / "a.txt").write_text("whole")
        assert draft.name.startswith(".scan-")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".89abcdef.draft", "a.txt"]
