"""The tables of the 16S and RNA recipes, from small made-up sources."""

import gzip
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "recipes"))
import genus_16s_data  # noqa: E402
import rna_coding_data  # noqa: E402


@pytest.fixture
def sixteen_s(tmp_path, make_dna):
    """Three genera of six references, two of them equal, with five reads each."""
    folder = tmp_path / "16S"
    folder.mkdir()
    references, reads, number = [], [], 0
    for genus in ("Rhodobaca", "Moritella", "Marinobacter"):
        sequences = [make_dna(200) for _ in range(5)]
        for index, sequence in enumerate([*sequences, sequences[0]]):
            name = f"{genus}{index}"
            references.append(f">{name} Proteobacteria Order Family {genus}\n{sequence}\n")
            for _ in range(5):
                number += 1
                reads.append(f'>{number} reference={name} position=1..90 description="{genus}"\n{sequence[:90]}\n')
    for path, lines in ((genus_16s_data.REFERENCES, references), (genus_16s_data.READS, reads)):
        with gzip.open(tmp_path / path, "wt") as handle:
            handle.writelines(lines)
    return tmp_path


def test_references_are_held_out_whole_and_equal_ones_together(sixteen_s):
    table = genus_16s_data.build(sixteen_s, per_reference=3, by_read=False, seed=1)
    assert table["group"].value_counts().unique().tolist() == [3]
    assert (table.groupby("group")["split"].nunique() == 1).all()
    assert (table.groupby("sequence")["split"].nunique() == 1).all()
    assert (table["label"] == table["group"].str.rstrip("012345")).all()
    for _, genus in table.drop_duplicates("group").groupby("label"):
        held_out = genus.drop_duplicates("sequence")["split"].value_counts()
        assert (held_out["test"], held_out["valid"], held_out["train"]) == (2, 1, 2)


def test_by_read_the_shares_stay_and_the_references_straddle(sixteen_s):
    strict = genus_16s_data.build(sixteen_s, per_reference=5, by_read=False, seed=1)
    published = genus_16s_data.build(sixteen_s, per_reference=5, by_read=True, seed=1)
    assert strict["split"].value_counts().to_dict() == published["split"].value_counts().to_dict()
    assert (published.groupby("group")["split"].nunique() > 1).any()


def test_both_classes_have_the_same_lengths(tmp_path, rng, make_dna):
    rows = [(f"t{n}", make_dna(int(rng.integers(100, 900))), "coding", "train") for n in range(300)]
    rows += [(f"n{n}", make_dna(int(rng.integers(100, 500))), "noncoding", "train") for n in range(300)]
    rows += [("held", make_dna(300), "coding", "test")]
    path = tmp_path / "cpat.csv.gz"
    pd.DataFrame(rows, columns=["name", "sequence", "label", "split"]).to_csv(path, index=False)
    sample = rna_coding_data.build(path, rows=200, shortest=150, longest=800, seed=1)
    assert "held" not in set(sample["name"])
    lengths = sample["sequence"].str.len()
    assert lengths.between(150, 800).all()
    counts = sample["label"].value_counts()
    assert counts["coding"] == counts["noncoding"] > 50
    means = lengths.groupby(sample["label"]).mean()
    assert abs(means["coding"] - means["noncoding"]) < 0.15 * means.mean()
    assert not np.isclose(means.mean(), 0)
