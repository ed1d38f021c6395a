"""What is held out: by rule, by name, and what is refused."""

import numpy as np
import pytest
from Bio import SeqIO

from genolm.corpus import Corpus, divide_files, outline, read_corpus, split_corpus
from genolm.errors import SettingsError, TrainingError
from genolm.held_out import choose_held_out
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


def test_a_colon_may_stand_in_the_name_of_a_file_or_a_record(write):
    first, second = write("a:b.fa", x=20_000), write("c.fa", **{"chr:2": 20_000, "y": 20_000})
    for wanted, held in (("a:b.fa", "a:b.fa:x"), ("x", "a:b.fa:x"), ("chr:2", "c.fa:chr:2"), ("c.fa:y", "c.fa:y")):
        assert split_corpus([first, second], held_out=[wanted])[1].names == [held]


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
    # Every pair is told at once, the first few by name.
    text = "".join(f">c{number}\n{plasmid if number % 2 else turned}\n" for number in range(6))
    many = one.with_name("many.fa")
    many.write_text(text)
    others = r"many.fa:c0, .*\(6 such pairs; also GCA_1.fa:p and many.fa:c1, .* and 2 more\)"
    with pytest.raises(SettingsError, match=others):
        split_corpus([one, many], held_out=["p"])
    with pytest.raises(SettingsError, match="6 such pairs"):
        divide_files([one, many], held_out=["p"])


def test_copies_of_what_the_rule_holds_out_are_left_out_and_told(write, make_dna):
    contigs = {f"c{number}": make_dna(700) for number in range(100)}
    path = write("draft.fa", **contigs)
    train, valid = split_corpus([path])
    assert train.notes == [] and divide_files([path]).copies == ()
    # As many contigs as are held out become copies of those, in turn on the other strand; lengths stay, and the choice.
    held, others = valid.names, train.names[: len(valid.names)]
    for number, (name, other) in enumerate(zip(held, others, strict=True)):
        letters = contigs[name.partition(":")[2]]
        contigs[other.partition(":")[2]] = reverse_complement(letters) if number % 2 else letters
    path = write("draft.fa", **contigs)
    less, same = split_corpus([path])
    assert same.names == held and less.names == train.names[len(others) :]
    bases = f"({700 * len(others):,} bp)"
    first = f"Left out of the training: {len(others)} copies of what is held out, on either strand {bases}: {others[0]}"
    assert [note.startswith(f"{first}, ") for note in less.notes] == [True]
    division = divide_files([path])
    assert division.words().endswith(f" of all); {len(others)} copies of it {bases} are left out of the training")
    assert division.notes == less.notes and division.unlearned_bases == 70_000 - less.bases


def test_where_an_end_is_held_out_a_copy_of_its_record_is_left_out(write, make_dna):
    sequence = make_dna(30_000)
    copies = [write("GCA_2.fa", chr=sequence), write("GCF_2.fa", chr=reverse_complement(sequence).lower())]
    train, valid = split_corpus(copies)
    assert (train.names, valid.names) == (["GCA_2.fa:chr"], ["GCA_2.fa:chr from base 28501"])
    assert len(train.records[0]) == 28_500
    assert divide_files(copies).notes == train.notes
    assert "1 copy of what is held out, on either strand (30,000 bp): GCF_2.fa:chr." in train.notes[0]


def test_a_plan_refuses_what_the_training_would(write, make_dna):
    same = make_dna(1_000)
    path = write("same.fa", **{f"c{number}": same for number in range(40)})
    for refused in (split_corpus, divide_files):
        with pytest.raises(TrainingError, match=r"Only 0 bases \(A, C, G, T\) are to learn from; at least 10,000"):
            refused([path])
    whole = write("whole.fa", s=30_000)
    copy = whole.with_name("copy.fa")
    copy.write_bytes(whole.read_bytes())
    for refused in (split_corpus, divide_files):
        with pytest.raises(SettingsError, match=r"copy.fa and whole.fa have the same"):
            refused([whole, copy])


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


def test_genbank_and_embl_are_read_as_their_fasta_is(write, tmp_path):
    fasta = write("a.fa", x=30_000, y="ACGTNN" * 1_000)
    learned, held_out = split_corpus([fasta])
    for form in ("genbank", "embl"):
        with open(fasta) as stream:
            records = list(SeqIO.parse(stream, "fasta"))
        for record in records:
            record.annotations["molecule_type"] = "DNA"
        path = tmp_path / f"a.{form}"
        path.write_text("".join(record.format(form) for record in records))
        for theirs, ours in zip(split_corpus([path]), (learned, held_out), strict=True):
            assert len(theirs.records) == len(ours.records)
            for one, other in zip(theirs.records, ours.records, strict=True):
                np.testing.assert_array_equal(one, other)
        assert outline([path])[1:] == outline([fasta])[1:]


def test_a_masked_stretch_is_unknown(write):
    corpus = Corpus()
    corpus.add_file(write("m.fa", x="ACGT" * 10), mask=(4, 8))
    np.testing.assert_array_equal(corpus.records[0], encode_bases("ACGTNNNN" + "ACGT" * 8))
