import numpy as np
import pytest

from genolm.batches import LabelledWindows, LanguageStream, StreamSettings, scored_targets
from genolm.config import TokenizerConfig
from genolm.errors import TrainingError
from genolm.tokenizer import SEPARATOR, KmerTokenizer, encode_bases, reverse_complement_codes

TOKENIZER = KmerTokenizer(TokenizerConfig(3, 1))


def stream(records, **settings):
    defaults = {"rows": 4, "bptt": 5, "piece": 40, "both_strands": False, "seed": 2}
    return LanguageStream(records, TOKENIZER, StreamSettings(**{**defaults, **settings}))


def test_rows_hold_whole_pieces_with_a_separator_before_each(make_dna):
    records = [encode_bases(make_dna(300)) for _ in range(4)]
    text = stream(records)
    rows = np.concatenate([text[step].inputs.numpy() for step in range(len(text))], axis=1)
    targets = np.concatenate([text[step].targets.numpy() for step in range(len(text))], axis=1)
    assert np.array_equal(rows[:, 1:], targets[:, :-1])
    everything = " ".join(" ".join(map(str, TOKENIZER.encode(record))) for record in records)
    for row in rows:
        assert row[0] == SEPARATOR
        for piece in " ".join(map(str, row)).split(f" {SEPARATOR} ")[:-1]:
            assert piece.removeprefix(f"{SEPARATOR} ") in everything


def test_no_piece_crosses_a_record_and_each_base_is_read_at_most_once(make_dna):
    records = [encode_bases(make_dna(200)) for _ in range(6)]
    pieces = stream(records)._pieces
    for index, record in enumerate(records):
        own = sorted((start, end) for number, start, end in pieces if number == index)
        assert own[0][0] == 0 and own[-1][1] == len(record)
        assert all(a[1] == b[0] for a, b in zip(own, own[1:], strict=False))


def test_any_batch_can_be_read_alone(make_dna):
    records = [encode_bases(make_dna(900))]
    first, second = stream(records, both_strands=True), stream(records, both_strands=True)
    in_order = [first[step] for step in range(len(first))]
    for step in reversed(range(len(second))):
        assert np.array_equal(second[step].inputs, in_order[step].inputs)


def test_both_strands_are_read(make_dna):
    record = encode_bases(make_dna(5000))
    minus = " ".join(map(str, TOKENIZER.encode(reverse_complement_codes(record))))
    text = stream([record], both_strands=True, piece=200, bptt=50)
    rows = np.concatenate([text[step].inputs.numpy() for step in range(len(text))], axis=1)
    pieces = [p for row in rows for p in " ".join(map(str, row)).split(f" {SEPARATOR} ")[1:-1]]
    share = np.mean([piece in minus for piece in pieces])
    assert 0.2 < share < 0.8


def test_unscored_targets_are_separators_unknowns_and_first_kmers():
    record = encode_bases("ACGTACGTNACGTACGTACGTACG" * 3)
    text = stream([record] * 4, rows=1, bptt=20, piece=30)
    batch = text[0]
    scored = scored_targets(batch).numpy()[0]
    inputs, targets = batch.inputs.numpy()[0], batch.targets.numpy()[0]
    assert scored.tolist() == [t > 2 and i != SEPARATOR for i, t in zip(inputs, targets, strict=True)]
    assert (targets == 1).any() and not scored[targets == 1].any()


def test_repeats_weigh_records(make_dna):
    records = [encode_bases(make_dna(3000)) for _ in range(2)]
    text = LanguageStream(records, TOKENIZER, StreamSettings(rows=2, bptt=5, piece=40), repeats=[3.0, 1.0])
    counts = np.bincount(text._pieces[:, 0])
    assert abs(counts[0] / counts[1] - 3) < 0.1


def test_too_little_sequence_is_a_sentence():
    with pytest.raises(TrainingError, match="12 bases are too few"):
        stream([encode_bases("ACGTACGTACGT")])


def test_labelled_windows_give_each_row_once_and_never_a_lone_one(make_dna):
    sequences = [make_dna(length) for length in range(20, 53)]
    windows = LabelledWindows(sequences, np.arange(33), TOKENIZER, batch_size=8, seed=1)
    rows = np.concatenate([windows[step].rows.numpy() for step in range(len(windows))])
    assert sorted(rows) == list(range(33))
    assert min(len(windows[step].rows) for step in range(len(windows))) > 1
    batch = windows[0]
    for row, label, length in zip(batch.rows, batch.labels, batch.lengths, strict=True):
        assert label == row and length == 1 + TOKENIZER.count(len(sequences[int(row)]))


def test_epochs_differ_and_repeat_by_seed(make_dna):
    sequences = [make_dna(30) for _ in range(40)]
    rows = [
        LabelledWindows(sequences, np.arange(40), TOKENIZER, batch_size=40, seed=1, epoch=e)[0].rows.tolist()
        for e in (0, 1, 0)
    ]
    assert rows[0] == rows[2] != rows[1]


def test_trimmed_windows_lack_bases_at_either_end_and_other_draws_stay(make_dna):
    tokenizer = KmerTokenizer(TokenizerConfig(k=1, stride=1))
    sequences = [make_dna(100) for _ in range(300)] + ["A"]
    options = {"batch_size": 301, "seed": 1, "mirrored": True, "shifted": True}
    plain, batch = (
        LabelledWindows(sequences, np.arange(301), tokenizer, **options, trimmed=trimmed)[0] for trimmed in (False, True)
    )
    whole = dict(zip(plain.rows.tolist(), plain.tokens, strict=True))
    lost = {}
    for row, tokens, length in zip(batch.rows.tolist(), batch.tokens, batch.lengths.tolist(), strict=True):
        text, part = (item[item > SEPARATOR].tolist() for item in (whole[row], tokens))
        places = [first for first in range(len(text)) if text[first : first + len(part)] == part]
        lost[row] = places[0], len(text) - places[0] - len(part)
    assert lost.pop(300) == (0, 0)
    begun, ended = zip(*lost.values(), strict=True)
    assert set(begun) == set(ended) == set(range(15))


def test_shifted_windows_begin_at_each_of_the_first_bases_of_a_stride(make_dna):
    tokenizer = KmerTokenizer(TokenizerConfig(k=3, stride=3))
    sequences = [make_dna(30) for _ in range(60)] + ["ACGT"]
    own = dict(zip(range(61), sequences, strict=True))
    begun = []
    for epoch in (0, 1):
        options = {"batch_size": 61, "seed": 1, "epoch": epoch, "shifted": True}
        batch = LabelledWindows(sequences, np.arange(61), tokenizer, **options)[0]
        found = {}
        for row, tokens, length in zip(batch.rows.tolist(), batch.tokens, batch.lengths.tolist(), strict=True):
            texts = [tokenizer.encode(encode_bases(own[row][base:])).tolist() for base in range(3)]
            found[row] = texts.index(tokens[1:length].tolist())
        # Two of four bases are no k-mer: it is read whole then.
        assert found.pop(60) in (0, 1)
        begun.append(found)
    assert set(begun[0].values()) == {0, 1, 2} and begun[0] != begun[1]
