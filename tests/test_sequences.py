"""FASTA in: every layout that occurs gives the same sequence, every fault is named where it stands."""

import gzip
import io
import json
import os
import random
import subprocess
import sys
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyfaidx
import pytest
from Bio import SeqIO, bgzf
from Bio.Seq import Seq
from hypothesis import given, settings
from hypothesis import strategies as st

from genolm import fasta_check, fasta_index, workspace
from genolm.errors import Cancelled, RegionError, SequenceError, SettingsError
from genolm.progress import Progress
from genolm.sequences import (
    AMBIGUITY_POLICY,
    SequenceRecord,
    clean_letters,
    open_fasta,
    parse_sequences,
    reverse_complement,
    summarise,
    write_fasta,
)


def gzipped(content):
    """Gzip, the same bytes at any time, so that tests have the same names in every process."""
    return gzip.compress(content, mtime=0)


TWO = b">chr1 first one\nACGTNacgtn\nGGCC\n>chr2\nTTTTRYAAAA\n"
BGZF_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
EXPECTED = [
    SequenceRecord("chr1", "first one", "ACGTNacgtnGGCC"),
    SequenceRecord("chr2", "", "TTTTRYAAAA"),
]


def put(folder: Path, content: bytes, name: str = "in.fa") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def bgzip(content: bytes) -> bytes:
    out = io.BytesIO()
    writer = bgzf.BgzfWriter(fileobj=out, mode="wb")
    writer.write(content)
    writer.flush()
    return out.getvalue() + BGZF_END


def copies() -> list[Path]:
    return list(workspace.index_dir().glob("*/sequence.fa"))


def refusal(path: Path) -> str:
    with pytest.raises(SequenceError) as caught:
        open_fasta(path)
    assert not list(workspace.index_dir().iterdir())
    return str(caught.value)


@pytest.mark.parametrize(
    ("content", "copied"),
    [
        (TWO, False),
        (TWO.rstrip(b"\n"), False),
        (TWO.replace(b"\n", b"\r\n"), False),
        (TWO.replace(b"\n", b"\r"), False),
        (b"\xef\xbb\xbf" + TWO, False),
        (b"\xef\xbb\xbf\r\n; a comment\n\n" + TWO, False),
        (TWO.replace(b"\n>", b"\n\n\n>") + b"\n \n", True),
        (TWO.replace(b"\n>", b"\n\n\n>") + b"\n\n", False),
        (TWO.replace(b"GGCC", b"\nGG\n\nCC"), True),
        (TWO.replace(b"GGCC", b"GGC\nC"), True),
        (TWO.replace(b"acgtn\n", b"a cg\ttn  \n"), True),
        (TWO.replace(b"acgtn\n", b"acgtn\r\n"), True),
        (TWO.replace(b"GGCC\n", b"GGCC\r\n"), False),
        (TWO.replace(b">chr1", b">  chr1"), False),
        (gzipped(TWO), True),
        (bgzip(TWO), True),
        (gzipped(TWO[:20]) + gzipped(TWO[20:]), True),
        (gzipped(b"\xef\xbb\xbf" + TWO.replace(b"\n", b"\r\n\r\n")), True),
    ],
)
@pytest.mark.parametrize("name", ["in.fa", "in.fa.gz", "in"])
def test_layouts_give_the_same_records(tmp_path: Path, content: bytes, copied: bool, name: str) -> None:
    path = put(tmp_path, content, name)
    with open_fasta(path) as genome:
        assert list(genome.records()) == EXPECTED
        assert genome.contigs == {"chr1": 14, "chr2": 10}
        assert list(genome.contigs) == ["chr1", "chr2"]
        assert genome.name == "in"
        assert genome.path == path
        assert genome.fetch("chr1", 8, 12) == "tnGG"
    assert bool(copies()) == (copied or name.endswith(".gz"))
    assert [found.name for found in tmp_path.iterdir()] == [name]


def test_summary_counts_every_kind_of_letter(tmp_path: Path) -> None:
    content = b">a\nACGTUacgtu\n>b\nNNnRYSWKMBDHVrn\n>c\nG\n"
    with open_fasta(put(tmp_path, content)) as genome:
        summary = genome.summary
        records = list(genome.records())
    assert (summary.records, summary.bases, summary.shortest, summary.longest) == (3, 26, 1, 15)
    assert summary.gc == pytest.approx(5 / 11)
    assert summary.ambiguous == dict.fromkeys("BDHKMSVWY", 1) | {"R": 2, "N": 4}
    assert summary.soft_masked == 8
    assert summarise(records) == summary
    assert "GC 45.5 %" in str(summary)
    assert "4 N" in str(summary)
    for promise in ("IUPAC", "unknown", "U is read as T"):
        assert promise in AMBIGUITY_POLICY


def test_a_sequence_without_bases_has_no_gc(tmp_path: Path) -> None:
    with open_fasta(put(tmp_path, b">a\nNNNN\n")) as genome:
        assert genome.summary.gc != genome.summary.gc
        assert str(genome.summary) == "1 record, 4 bp, no A, C, G or T, ambiguous letters: 4 N"


@pytest.mark.parametrize("content", [b">r\nACGUacgu\nUU\n", b">r\nACGUac\ngu\nUU\n"])
def test_u_is_read_as_t(tmp_path: Path, content: bytes) -> None:
    with open_fasta(put(tmp_path, content)) as genome:
        assert genome.fetch("r", 0, 10) == "ACGTacgtTT"
        assert genome.fetch("r", 0, 4, "-") == "ACGT"
    assert parse_sequences(content.decode())[0].sequence == "ACGTacgtTT"


def test_fetch_refuses_what_is_not_there(tmp_path: Path) -> None:
    with open_fasta(put(tmp_path, TWO)) as genome:
        assert genome.fetch("chr1", 14, 14) == ""
        for start, end in ((-1, 3), (0, 15), (5, 4)):
            with pytest.raises(RegionError, match="14 bases"):
                genome.fetch("chr1", start, end)
        with pytest.raises(RegionError, match="no sequence named 'chr9'; at hand: chr1, chr2"):
            genome.fetch("chr9", 0, 1)
        with pytest.raises(RegionError, match="Strand"):
            genome.fetch("chr1", 0, 1, "*")
    genome.close()


@given(st.text("ACGTRYSWKMBDHVNacgtryswkmbdhvn", max_size=60))
def test_reverse_complement_is_biopythons(letters: str) -> None:
    assert reverse_complement(letters) == str(Seq(letters).reverse_complement())
    assert reverse_complement(reverse_complement(letters)) == letters


def test_reverse_complement_of_rna() -> None:
    assert reverse_complement("AuG") == "CaT"


LINE_ENDS = st.sampled_from([b"\n", b"\r\n", b"\n\n", b" \n", b"\n\r\n"])
LETTERS = st.text("ACGTNacgtR", min_size=1, max_size=40).map(str.encode)


@st.composite
def fasta_files(draw: st.DrawFn) -> tuple[bytes, list[bytes]]:
    content, expected = draw(st.sampled_from([b"", b"\xef\xbb\xbf", b"\n"])), []
    for number in range(draw(st.integers(1, 4))):
        letters, end = draw(LETTERS), draw(LINE_ENDS)
        width = draw(st.integers(1, 12))
        lines = [letters[start : start + width] for start in range(0, len(letters), width)]
        ends = [end] * len(lines)
        if draw(st.booleans()):
            ends = draw(st.lists(LINE_ENDS, min_size=len(lines), max_size=len(lines)))
        content += b">r%d d\n" % number + b"".join(a + b for a, b in zip(lines, ends, strict=True))
        expected.append(letters)
    return content.rstrip() if draw(st.booleans()) else content, expected


@given(fasta_files(), st.integers(1, 50), st.randoms(use_true_random=False))
@settings(max_examples=80, deadline=None)
def test_any_layout_read_in_any_blocks(
    tmp_path_factory: pytest.TempPathFactory,
    made: tuple[bytes, list[bytes]],
    block: int,
    chance: random.Random,
) -> None:
    content, expected = made
    path = put(tmp_path_factory.mktemp("any"), content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fasta_check, "BLOCK_BYTES", max(block, content.index(b">") + 1))
        patch.setenv("GENOLM_HOME", str(path.parent / "home"))
        with open_fasta(path) as genome:
            for number, letters in enumerate(expected):
                text = letters.decode()
                assert genome.fetch(f"r{number}", 0, len(text)) == text
                for _ in range(5):
                    start, end = sorted(chance.choices(range(len(text) + 1), k=2))
                    assert genome.fetch(f"r{number}", start, end) == text[start:end]
            assert genome.summary.bases == sum(map(len, expected))
    assert [record.sequence.encode() for record in parse_sequences(content.decode("utf-8"))] == expected


def test_a_regular_file_gets_the_index_that_pyfaidx_makes(tmp_path: Path) -> None:
    content = b"".join(b">s%d x\n" % n + b"ACGTACGTAC\n" * n + b"ACG\n" for n in range(1, 30))
    path = put(tmp_path, content)
    open_fasta(path).close()
    pyfaidx.Faidx(str(path), indexname=str(tmp_path / "theirs.fai"))
    (ours,) = workspace.index_dir().glob("*/index.fai")
    assert ours.read_text() == (tmp_path / "theirs.fai").read_text()


def test_a_copy_agrees_with_biopython(tmp_path: Path, make_dna: Callable[[int], str]) -> None:
    letters = [make_dna(length) for length in (1, 59, 60, 61, 5000)]
    content = ""
    for number, sequence in enumerate(letters):
        lines = [sequence[start : start + 7 + number] for start in range(0, len(sequence), 7 + number)]
        content += "\n".join([f">s{number}", *lines, ""])
    path = put(tmp_path, gzipped(content.encode()), "x.fa.gz")
    with gzip.open(path, "rt") as stream, open_fasta(path) as genome:
        for theirs, ours in zip(SeqIO.parse(stream, "fasta"), genome.records(), strict=True):
            assert (ours.name, ours.sequence) == (theirs.id, str(theirs.seq))
            minus = genome.fetch(ours.name, 0, len(ours.sequence), "-")
            assert minus == str(theirs.seq.reverse_complement())


PROTEIN = "looks like protein"


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (b"", ["is empty"]),
        (b"\xef\xbb\xbf\n \r\n", ["is empty"]),
        (gzipped(b""), ["is empty"]),
        (b"hello world\n", ["not FASTA", "line 1", "'hello world'"]),
        (b"\n\nACGT\n", ["not FASTA", "line 3", "Put a line such as >name"]),
        (b">a\nAC\n>b\nGT\n>a\nGG\n", ["line 5", "'a'", "same name", "line 1"]),
        (b">a x\nAC\n>b\n\n>c\nGG\n", ["line 3", "'b' is empty"]),
        (b">a\nAC\n>b\n", ["line 3", "'b' is empty"]),
        (b">a\nAC\n>b", ["line 3", "'b' is empty"]),
        (b">a\nAC\n> \nAC\n", ["line 3", "record 2 has no name"]),
        (b">a\nACGT\nAC\n\nAC-T\n", ["'a'", "line 5", "'-'", "gap"]),
        (b">a\nACGT\r\n>b\r\nAC\r\nA5GT\r\n", ["'b'", "line 5", "'5'", "digit"]),
        (b">a\nACGT\n>b\nAC>c\nGT\n", ["'b'", "line 4", "'>'", "line of its own"]),
        (b">a\nACGT\n>b\nAC?T\n", ["'b'", "line 4", "character '?'", "A C G T U"]),
        (b">a\n" + b"ACGT" * 9 + b"X\n", ["'a'", "letter 'X'", "an unknown or masked base is written N"]),
        (b">a\n" + b"ACGT" * 9 + b"E\n", ["'a'", "letter 'E'", "A C G T U"]),
        (">a\nACéT\n".encode(), ["'a'", "line 2", "'é'"]),
        (b">a\nACGT\n>p\nMKTAYIAKQR\n", ["'p'", "line 4", "'I'", PROTEIN]),
        *[(b">p\nACGT\nAC" + letter + b"A\n", ["'p'", "line 3", PROTEIN]) for letter in
          (b"E", b"F", b"I", b"L", b"P", b"Q", b"Z", b"J", b"O", b"e")],
        # Masked DNA has no letter of proteins alone, however much of it is masked.
        *[(b">m\nACGT\nAC" + masked + b"A\n", ["'m'", "line 3", "an unknown or masked base is written N"])
          for masked in (b"X", b"x" * 60, b"*", b"*X-")],
        (b">p\nMKV*\nXXLX\n", ["'p'", "line 2", "'*'", PROTEIN]),
        (b"@read1\nACGT\n+\nIIII\n", ["FASTQ"]),
        (gzipped(b"@read1\nACGT\n+\nIIII\n"), ["FASTQ"]),
        (b"@SQ\tSN:chr1\tLN:5\n", ["SAM"]),
        (b"LOCUS       NC_000913  10 bp DNA\nORIGIN\n1 acgt\n//\n", ["GenBank", "export FASTA"]),
        (b"##gff-version 3\n", ["GFF"]),
        (b"<!DOCTYPE html>\n", ["web page"]),
        (b"BZh91AY", ["bzip2"]),
        ("\ufeff>a\nACGT\n".encode("utf-16-le"), ["UTF-16"]),
        (b"\x7fELF\x02\x01\0\0\0", ["binary"]),
        (b">" + b"A" * (6 << 20), ["line 1", "header is longer"]),
    ],
)
def test_what_is_refused(tmp_path: Path, content: bytes, parts: list[str]) -> None:
    path = put(tmp_path, content)
    message = refusal(path)
    for part in [str(path), *parts]:
        assert part in message


def test_zip_and_xlsx_are_named(tmp_path: Path) -> None:
    path = tmp_path / "book.fa"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("xl/workbook.xml", "x")
    assert "zip archive or an Office document" in refusal(path)


@pytest.mark.parametrize("keep", [15, 40, -1, -9])
def test_a_truncated_gzip(tmp_path: Path, keep: int) -> None:
    raw = gzipped(TWO + b">c\n" + bytes(random.Random(1).choices(b"ACGT", k=9000)))
    assert "truncated gzip" in refusal(put(tmp_path, raw[:keep], "in.fa.gz"))


def test_a_bgzip_file_cut_between_blocks(tmp_path: Path) -> None:
    whole = bgzip(TWO)
    assert gzip.decompress(whole[:-28]) == TWO
    assert "truncated gzip" in refusal(put(tmp_path, whole[:-28], "in.bgz"))


def test_a_damaged_gzip(tmp_path: Path) -> None:
    raw = bytearray(gzipped(TWO))
    raw[-6] ^= 1
    assert "damaged gzip" in refusal(put(tmp_path, bytes(raw)))
    assert "damaged gzip" in refusal(put(tmp_path, gzipped(TWO) + b"rubbish"))


def test_missing_files_and_folders(tmp_path: Path) -> None:
    assert "There is no file" in refusal(tmp_path / "none.fa")
    assert "is not a file" in refusal(tmp_path)


def test_an_unchanged_file_is_checked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(tmp_path, gzipped(TWO), "in.fa.gz")
    open_fasta(path).close()

    def fail(*_: object) -> None:
        raise AssertionError("read again")

    with monkeypatch.context() as patch:
        patch.setattr(fasta_index, "read_blocks", fail)
        with open_fasta(path) as genome:
            assert list(genome.records()) == EXPECTED
        monkeypatch.chdir(tmp_path)
        open_fasta("in.fa.gz").close()


@pytest.mark.parametrize("coding", ["utf-8", "latin-1"])
@pytest.mark.parametrize("pack", [bytes, gzipped])
def test_any_blank_ends_a_name(tmp_path: Path, pack: Callable[[bytes], bytes], coding: str) -> None:
    path = put(tmp_path, pack(">lac\u00a0opéron\nACGT\n> b\tc\nGG\n".encode(coding)))
    with open_fasta(path) as genome:
        assert list(genome.records()) == [
            SequenceRecord("lac", "opéron", "ACGT"),
            SequenceRecord("b", "c", "GG"),
        ]
        assert genome.fetch("lac", 1, 3) == "CG"


def test_an_index_of_an_older_version_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(tmp_path, TWO)
    with monkeypatch.context() as patch:
        patch.setattr(fasta_index, "_INDEX_VERSION", 1)
        open_fasta(path).close()
    (old,) = workspace.index_dir().iterdir()
    open_fasta(path).close()
    (new,) = workspace.index_dir().iterdir()
    assert new != old


@pytest.mark.parametrize("pack", [bytes, gzipped])
def test_a_changed_file_is_read_anew_and_the_old_index_goes(
    tmp_path: Path, pack: Callable[[bytes], bytes]
) -> None:
    path = put(tmp_path, pack(TWO))
    open_fasta(path).close()
    state = path.stat()
    path.write_bytes(pack(TWO.replace(b"GGCC", b"AATT")))
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns - 1_000_000_000))
    with open_fasta(path) as genome:
        assert genome.fetch("chr1", 10, 14) == "AATT"
    assert len(list(workspace.index_dir().iterdir())) == 1


def test_a_file_whose_time_lies_in_the_future(tmp_path: Path) -> None:
    path = put(tmp_path, TWO)
    os.utime(path, (4e9, 4e9))
    for _ in range(2):
        with open_fasta(path) as genome:
            assert list(genome.records()) == EXPECTED
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    "harm", ["sequence.fa", "index.fai", "meta.json", "descriptions.txt", "cut", "nonsense"]
)
def test_a_damaged_index_is_made_anew(tmp_path: Path, harm: str) -> None:
    path = put(tmp_path, gzipped(TWO))
    open_fasta(path).close()
    (folder,) = workspace.index_dir().iterdir()
    if harm == "cut":
        os.truncate(folder / "sequence.fa", 9)
    elif harm == "nonsense":
        (folder / "meta.json").write_text("{")
    else:
        (folder / harm).unlink()
    with open_fasta(path) as genome:
        assert list(genome.records()) == EXPECTED


def test_the_users_folder_may_be_read_only(tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir()
    put(folder, TWO, "a.fa")
    put(folder, TWO.replace(b"GG", b"G\nG"), "b.fa")
    put(folder, gzipped(TWO), "c.fa.gz")
    folder.chmod(0o555)
    before = folder.stat().st_mtime_ns
    for path in sorted(folder.iterdir()):
        with open_fasta(path) as genome:
            assert list(genome.records()) == EXPECTED
    assert folder.stat().st_mtime_ns == before
    folder.chmod(0o755)


def test_a_workspace_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(tmp_path, gzipped(TWO))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(fasta_index, "_write_index", full)
    with pytest.raises(SettingsError, match="No space left"):
        open_fasta(path)
    assert not list(workspace.index_dir().iterdir())


def test_a_file_that_grows_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(tmp_path, TWO)
    written = fasta_index._write_index

    def grow(*values: object) -> None:
        written(*values)
        with open(path, "ab") as stream:
            stream.write(b"ACGT\n")

    monkeypatch.setattr(fasta_index, "_write_index", grow)
    assert "was changed while it was read" in refusal(path)


def test_several_processes_open_one_file_at_once(tmp_path: Path) -> None:
    path = put(tmp_path, gzipped(b">a\n" + b"ACGTTGCA\n" * 200_000))
    code = (
        "import sys; from genolm.sequences import open_fasta\n"
        "sys.stdin.readline()\n"
        "with open_fasta(sys.argv[1]) as g: print(g.fetch('a', 1599990, 1600000), g.contigs)"
    )
    command = [sys.executable, "-W", "error", "-c", code, str(path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    workers = [subprocess.Popen(command, cwd=Path(__file__).parents[1], **pipes) for _ in range(3)]
    for worker in workers:
        worker.stdin.write("\n")
        worker.stdin.flush()
    for worker in workers:
        out, errors = worker.communicate(timeout=60)
        assert errors == ""
        assert out == "CAACGTTGCA {'a': 1600000}\n"
    assert len(list(workspace.index_dir().iterdir())) == 1


def test_one_that_comes_second_takes_what_the_first_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(tmp_path, gzipped(TWO))
    publish = fasta_index._publish

    def slow(source: Path, draft: Path, folder: Path) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(fasta_index, "_publish", publish)
            open_fasta(path).close()
        publish(source, draft, folder)

    monkeypatch.setattr(fasta_index, "_publish", slow)
    with open_fasta(path) as genome:
        assert list(genome.records()) == EXPECTED
    assert len(list(workspace.index_dir().iterdir())) == 1


def test_progress_ends_at_the_files_size_and_may_cancel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fasta_check, "BLOCK_BYTES", 16)
    path = put(tmp_path, TWO)
    seen: list[Progress] = []

    def cancel(_: Progress) -> None:
        raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        open_fasta(path, progress=cancel)
    assert not list(workspace.index_dir().iterdir())
    open_fasta(path, progress=seen.append).close()
    assert (seen[-1].done, seen[-1].total) == (len(TWO), len(TWO))
    assert seen[-1].stage == "checking in.fa"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (TWO.decode(), EXPECTED),
        ("\ufeff" + TWO.decode().replace("\n", "\r\n"), EXPECTED),
        ("ACGT", [SequenceRecord("sequence", "", "ACGT")]),
        ("\n  acg uRY\r\nNN \n\n", [SequenceRecord("sequence", "", "acgtRYNN")]),
        ("ACGT\rGG\r", [SequenceRecord("sequence", "", "ACGTGG")]),
        ("AC\n>b\nGT", [SequenceRecord("sequence", "", "AC"), SequenceRecord("b", "", "GT")]),
        ("; note\nACGT", [SequenceRecord("sequence", "", "ACGT")]),
        (">α β\nACGT", [SequenceRecord("α", "β", "ACGT")]),
        (">lac\u00a0operon\u2003of E. coli\u00a0\nACGT", [SequenceRecord("lac", "operon\u2003of E. coli", "ACGT")]),
    ],
)
def test_pasted_text(text: str, expected: list[SequenceRecord]) -> None:
    assert parse_sequences(text) == expected


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ["is empty"]),
        (" \n", ["is empty"]),
        ("ACGT\n\nACJT", ["line 3", "'J'", PROTEIN]),
        ("MKVLAA", ["line 1", "'L'", PROTEIN]),
        ("ACGT\n>sequence\nAC", ["line 2", "same name"]),
        (">a\nAC\n>a\nAC", ["line 3", "line 1"]),
        ("@r\nACGT\n+\nIIII", ["FASTQ"]),
        ("LOCUS   X\n", ["GenBank"]),
        ("AC\ud800GT", ["line 1", "character '?'"]),
    ],
)
def test_pasted_text_that_is_refused(text: str, parts: list[str]) -> None:
    with pytest.raises(SequenceError) as caught:
        parse_sequences(text, source="box 1")
    for part in ["box 1", *parts]:
        assert part in str(caught.value)


@pytest.mark.parametrize("width", [0, -1])
def test_a_line_without_letters_is_refused(tmp_path: Path, width: int) -> None:
    with pytest.raises(SettingsError, match=f"width is {width}; a line of FASTA has one letter or more"):
        write_fasta(tmp_path / "out.fa", EXPECTED, width=width)
    assert not (tmp_path / "out.fa").exists()


@pytest.mark.parametrize("width", [1, 7, 60])
def test_written_and_read_again_is_the_same(tmp_path: Path, width: int) -> None:
    path = tmp_path / "out.fa"
    write_fasta(path, iter(EXPECTED), width=width)
    assert max(map(len, path.read_text().splitlines()[1:3])) == min(width, 14)
    with open_fasta(path) as genome:
        assert list(genome.records()) == EXPECTED
    assert not copies()


def test_many_records(tmp_path: Path) -> None:
    content = b"".join(b">r%d n%d\nACGT%s\n" % (n, n, b"A" * (n % 50)) for n in range(5_000))
    with open_fasta(put(tmp_path, content)) as genome:
        assert len(genome.contigs) == 5_000
        assert genome.fetch("r4999", 0, 53) == "ACGT" + "A" * 49
        assert genome.summary.shortest == 4
    (meta,) = workspace.index_dir().glob("*/meta.json")
    assert json.loads(meta.read_text())["copied"] == 0


def test_clean_letters() -> None:
    assert clean_letters(" AC gu\r\nNN\t") == "ACgtNN"


@pytest.mark.parametrize("pack", [bytes, gzipped])
def test_memory_does_not_grow_with_the_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pack: Callable[[bytes], bytes]
) -> None:
    monkeypatch.setattr(fasta_check, "BLOCK_BYTES", 1 << 16)
    path = put(tmp_path, pack(b">a\n" + b"ACGTTGCANN" * 800_000))
    tracemalloc.start()
    try:
        with open_fasta(path) as genome:
            assert genome.fetch("a", 7_999_990, 8_000_000) == "ACGTTGCANN"
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2_000_000
