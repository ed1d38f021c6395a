"""What is held out: by rule, by name, and what is refused."""

import numpy as np
import pytest

from genolm.corpus import Corpus, choose_held_out, outline, read_corpus, split_corpus
from genolm.errors import SettingsError, TrainingError
from genolm.sequences import reverse_complement
from genolm.tokenizer import encode_bases


@pytest.fixture
def write(tmp_path, make_dna):
    """A function (file, record=length or letters, ...) -> path of a FASTA file."""

    def made(file, **records):
        path = tmp_path / file
        texts = {name: make_dna(item) if isinstance(item, int) else item for name, item in records.items()}
        path.write_text("".join(f">{name}\n{text}\n" for name, text in texts.items()))
        return path

    return made


def test_one_record_is_cut_and_a_fitting_one_is_held_out_whole(write):
    train, valid = split_corpus([write("one.fa", only=40_000)])
    assert len(train.records[0]) == 38_000 and len(valid.records[0]) == 2_000
    assert valid.names == ["one.fa:only from base 38001"]
    train, valid = split_corpus([write("two.fa", chromosome=57_000, plasmid=3_000)])
    assert (train.names, valid.names) == (["two.fa:chromosome"], ["two.fa:plasmid"])
    train, valid = split_corpus([write("three.fa", big=40_000, small=40_000, crumb=50)])
    assert [len(item) for item in train.records] == [38_000, 40_000, 50]


def test_a_draft_gives_some_of_its_contigs_and_loses_none(write):
    path = write("draft.fa", **{f"c{number}": 500 + number for number in range(100)})
    train, valid = split_corpus([path])
    assert set(train.names) | set(valid.names) == {f"draft.fa:c{number}" for number in range(100)}
    assert not set(train.names) & set(valid.names)
    assert 0.05 <= valid.bases / (train.bases + valid.bases) < 0.07


def test_what_is_named_is_held_out(write):
    paths = [write("a.fa", chr1=30_000, chr2=20_000), write("b.fa", chr1=30_000, other=5_000)]
    for wanted, found in (
        (["chr2"], ["a.fa:chr2"]),
        (["b.fa:chr1", "other"], ["b.fa:chr1", "b.fa:other"]),
        (["b.fa"], ["b.fa:chr1", "b.fa:other"]),
    ):
        assert split_corpus(paths, held_out=wanted)[1].names == found
    with pytest.raises(SettingsError, match="in several files; write a.fa:chr1 or b.fa:chr1"):
        split_corpus(paths, held_out=["chr1"])
    with pytest.raises(SettingsError, match=r"no record 'chr3' .* Did you mean 'chr[12]'"):
        split_corpus(paths, held_out=["chr3"])
    with pytest.raises(SettingsError, match="none is left"):
        split_corpus(paths, held_out=["a.fa", "b.fa"])
    with pytest.raises(TrainingError, match="5,000 bases .* to learn from"):
        split_corpus(paths, held_out=["a.fa", "b.fa:chr1"])


def test_too_little_and_twice_the_same_are_refused(write, tmp_path):
    with pytest.raises(TrainingError, match="300 bases"):
        split_corpus([write("short.fa", s=300)])
    with pytest.raises(TrainingError, match="19,000 bases"):
        read_corpus([write("gaps.fa", s="N" * 50_000 + "ACGTACGTAC" * 1_900)])
    whole = write("whole.fa", s=30_000)
    (tmp_path / "copy.fa").write_text(whole.read_text())
    with pytest.raises(SettingsError, match=r"copy.fa and whole.fa have the same"):
        read_corpus([whole, tmp_path / "copy.fa"])


def test_a_copy_of_what_is_held_out_is_not_learned_from(write, make_dna):
    sequence, plasmid = make_dna(30_000), make_dna(2_000)
    turned = reverse_complement(plasmid)
    one = write("GCA_1.fa", chr=sequence, p=plasmid)
    with pytest.raises(SettingsError, match=r"GCA_1.fa:p is held out .* and other.fa:q, which .* is the same sequence.* hold both"):
        split_corpus([one, write("other.fa", q=turned, r=make_dna(5_000))], held_out=["p"])
    train, valid = split_corpus([one, write("other.fa", q=turned, r=make_dna(5_000))], held_out=["p", "q"])
    assert len(valid.records) == 2 and len(train.records) == 2
    # The end of the longest record is held out where no other one is: then its copy may not be there at all.
    copies = [write("GCA_2.fa", chr=sequence), write("GCF_2.fa", chr=sequence.lower())]
    with pytest.raises(SettingsError, match="leave one of them out"):
        split_corpus(copies)


def test_the_outline_is_that_of_the_corpus(write):
    paths = [write("a.fa", x=15_000, y="ACGTNN" * 1_000), write("b.fa", z=9_000)]
    names, sizes, known = outline(paths)
    whole = read_corpus(paths)
    assert (names, sizes) == (whole.names, [len(item) for item in whole.records])
    assert known == whole.known_bases == 28_000
    chosen = choose_held_out(names, sizes, wanted=["b.fa"])
    assert chosen.words(names, sizes) == "b.fa:z (9,000 bp, 30.0% of all)"
    cut = choose_held_out(["f:one"], [100_000])
    assert cut.words(["f:one"], [100_000]) == "f:one from base 95,001 to its end (5,000 bp, 5.0% of all)"


def test_a_masked_stretch_is_unknown(write):
    corpus = Corpus()
    corpus.add_file(write("m.fa", x="ACGT" * 10), mask=(4, 8))
    np.testing.assert_array_equal(corpus.records[0], encode_bases("ACGTNNNN" + "ACGT" * 8))
