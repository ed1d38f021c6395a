"""The samples with known answers: each record says its answer and is what the file is said to hold."""

import importlib
import re
from collections import Counter
from pathlib import Path

import pytest
from Bio.Seq import Seq

from genolm import workspace
from genolm.errors import GenolmError
from genolm.sequences import SequenceRecord, parse_sequences, reverse_complement

RECIPES = Path(__file__).parents[1] / "recipes"
PROMOTERS, ENHANCERS = "human_known_promoters.fa", "human_known_enhancers.fa"
TRANSCRIPTS, READS = "transcripts.fa", "16s_v3v4_reads.fa"
CARD_RECORDS = 6


@pytest.fixture
def recipe(monkeypatch):
    monkeypatch.syspath_prepend(RECIPES)
    return importlib.import_module("samples")


def sample(name: str) -> list[SequenceRecord]:
    path = workspace.samples_dir() / name
    assert path.stat().st_size < 30_000
    return list(parse_sequences(path.read_text(encoding="ascii"), source=name))


def told(records: list[SequenceRecord], key: str) -> list[str]:
    return [re.search(rf"\b{key}=(\S+)", item.description)[1] for item in records]


@pytest.mark.parametrize("name", [PROMOTERS, ENHANCERS, TRANSCRIPTS, READS])
def test_records_are_plain_dna_under_names_of_their_own_with_their_origin(name):
    records = sample(name)
    assert len({item.name for item in records}) == len({item.sequence for item in records}) == len(records)
    assert all(set(item.sequence) == set("ACGT") for item in records)
    assert len(told(records, "origin")) == len(records)
    text = (workspace.samples_dir() / "SOURCES.md").read_text(encoding="utf-8")
    assert f"`{name}`" in text and f"## {name}" in text


def test_promoters_have_their_site_in_the_middle_and_their_published_letters():
    records = sample(PROMOTERS)
    assert {len(item.sequence) for item in records} == {401} and set(told(records, "site")) == {"201"}
    kinds = Counter(told(records, "kind"))
    assert kinds == {"promoter": 6, "inside_gene": 3, "between_genes": 2, "shuffled": 1}
    assert len(set(told(records[:CARD_RECORDS], "kind"))) == 3
    found = {item.name: item.sequence for item in records}
    # The cap site of beta globin 25 bp after its ATAAAA box; the TATA box and start of c-fos.
    assert found["HBB_promoter"][200:].startswith("ACATTTGCTTCTGACACAACTGTGTTCACTAGC")
    assert "CATAAAAGTCAGGGCAGAGCC" in found["HBB_promoter"][160:200]
    assert "TATAAAA" in found["FOS_promoter"][160:180] and "TATAAAA" not in found["INSR_promoter"]
    assert sorted(found["FOS_shuffled"]) == sorted(found["FOS_promoter"])


def test_enhancers_hold_what_their_places_are_known_by():
    records = sample(ENHANCERS)
    assert {len(item.sequence) for item in records} == {500}
    assert Counter(told(records, "kind")) == {"enhancer": 1, "inside_gene": 2, "between_genes": 1}
    found = {item.name: item.sequence for item in records}
    # The site of HNF-4, a repeat of TGAACT with one base between, stands in the middle.
    assert 200 <= found["OTC_enhancer"].find("TGAACTTTGAACC") <= 300
    # A part that BMP15 shares with its family, in the one reading frame that is open.
    frames = [str(Seq(found["BMP15_exon"][first : first + 498]).translate()) for first in range(3)]
    assert [name for name, frame in enumerate(frames) if "*" not in frame] == [1]
    assert "FQISFRQLGWDHWI" in frames[1]
    # Another piece of the same intron is among the promoters' sample.
    promoters = {item.name: item.sequence for item in sample(PROMOTERS)}
    assert found["HBB_intron"][49:450] == promoters["HBB_intron"]
    assert found["globins_between"][49:450] == promoters["globins_between"]


def test_transcripts_are_of_both_kinds_and_coding_ones_hold_their_reading_frame():
    records = sample(TRANSCRIPTS)
    assert all(200 <= len(item.sequence) <= 3000 for item in records)
    kinds = told(records, "kind")
    assert Counter(kinds) == {"coding": 5, "noncoding": 5}
    assert Counter(kinds[:CARD_RECORDS]) == {"coding": 3, "noncoding": 3}
    found = {item.name: item.sequence for item in records}
    frames = {name: longest_frame(letters) for name, letters in found.items()}
    # Codons of the proteins before their stop: globins 147, FAU 133, TNF 233, short factor H 449.
    assert [frames[name] for name in ("HBB", "HBE1", "FAU", "TNF", "CFH_short")] == [147, 147, 133, 233, 449]
    others = [item.name for item, kind in zip(records, kinds, strict=True) if kind == "noncoding"]
    assert max(frames[name] for name in others) < 145


def longest_frame(letters: str) -> int:
    """Return the codons of the longest reading frame from ATG to before a stop."""
    frames = re.finditer(r"(?=(ATG(?:(?!TAA|TAG|TGA)...)*)(?:TAA|TAG|TGA))", letters)
    return max(len(frame[1]) // 3 for frame in frames)


def test_reads_begin_after_the_primer_and_name_twelve_genera():
    records = sample(READS)
    assert {len(item.sequence) for item in records} == {233}
    genera = told(records, "genus")
    assert len(set(genera)) == 12
    assert all(item.name.startswith(genus) for item, genus in zip(records, genera, strict=True))
    assert all(re.match("T[AG][AG]GGAAT[ACT]TTG", item.sequence) for item in records)


def test_the_recipe_joins_exons_on_their_strand_and_names_a_source_that_lacks(recipe, monkeypatch):
    letters = "AACCGGTTACGTACGTTGCA"
    row = ("one", "coding", "X", [(102, 104), (110, 113)], "-", "made up")
    monkeypatch.setattr(recipe, "TRANSCRIPTS", [row])
    (made,) = recipe.transcripts({"X": (letters, 100)})
    assert made.sequence == reverse_complement(letters[1:4] + letters[9:13])
    assert made.description == "kind=coding origin=X:102-104,110-113(-) made up"
    with pytest.raises(GenolmError, match="The sources have no X"):
        next(recipe.transcripts({}))
