"""The tables of the enhancer, RNA, 16S and gene start recipes from made-up sources, and their figures."""

import functools
import gzip
import importlib
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from Bio.Seq import Seq
from Bio.SeqFeature import SeqFeature, SimpleLocation
from Bio.SeqIO import write
from Bio.SeqRecord import SeqRecord
from sklearn.metrics import f1_score, roc_auc_score

from genolm.errors import GenolmError
from genolm.metrics import BINARY_METRICS
from genolm.recipe_config import read_recipe
from genolm.sequences import reverse_complement
from genolm.tables import read_table

RECIPES = Path(__file__).parents[1] / "recipes"
OURS = (
    *(f"enhancers-{name}" for name in ("human", "mouse", "dog", "opossum", "mammals")),
    *("rna-coding", "genus-16s-amplicon", "genus-16s-shotgun", "ecoli-gene-starts"),
)
GIVEN = {
    "enhancers": {f"auroc_{name}" for name in ("human", "mouse", "dog", "opossum")},
    "rna_coding_data": {"accuracy_hard", "mcc_hard"},
    "genus_16s_data": {"macro_f1", "class_agreement", "order_agreement", "family_agreement"},
}
"""Figures of each module's ``judge``."""


@pytest.fixture
def recipe(monkeypatch):
    """A function name -> module of the recipes folder."""
    monkeypatch.syspath_prepend(RECIPES)
    return importlib.import_module


def fasta(path, records):
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt") as handle:
        handle.writelines(f">{name}\n{sequence}\n" for name, sequence in records)


def opened(made):
    """Return the table and the record of each protocol."""
    return {
        key: (pd.read_csv(path), json.loads((path.parent / f"{key}.json").read_text()))
        for key, path in made.items()
    }


def pieces(table, part):
    return table[table["split"] == part]


@pytest.mark.parametrize("name", OURS)
def test_recipe_files_name_what_is_there(recipe, name):
    """Each recipe can be read, its functions exist, and its figures are ones that something gives."""
    found = read_recipe(RECIPES / f"{name}.toml")
    assert callable(recipe(found.prepare.module).tables)
    given = GIVEN[found.judge.module] if found.judge else set()
    assert set(found.metrics) <= {*BINARY_METRICS, *given}
    assert not found.judge or callable(recipe(found.judge.module).judge)
    assert all(re.fullmatch(r"[0-9a-f]{64}", source.sha256) and source.licence for source in found.sources)
    assert {item.protocol for item in found.published} <= {*found.protocols, ""}
    assert all(set(item.scores) <= set(found.metrics) for item in found.published)


@pytest.fixture
def enhancer_data(tmp_path, make_dna):
    """Twenty training and ten test sequences of each class for human and dog, some of them look-alikes."""
    twin, other = make_dna(200), make_dna(200)
    for species in ("human", "dog"):
        for kind in ("positive", "negative"):
            train, test = [make_dna(200) for _ in range(20)], [make_dna(200) for _ in range(10)]
            if (species, kind) == ("human", "positive"):
                train[0], test[0] = reverse_complement(twin), twin
                train[1] = train[2] = other
            if (species, kind) == ("dog", "negative"):
                train[3] = twin[:150] + make_dna(50)
            for part, rows in (("valid", train), ("test", test)):
                path = tmp_path / f"enhancers_cohn/{species}/{kind}_{part}.fa.gz"
                fasta(path, ((f"seq_{number}", row.lower()) for number, row in enumerate(rows)))
    return tmp_path, twin


def test_enhancers_that_resemble_a_test_sequence_are_left_out(recipe, enhancer_data):
    data, twin = enhancer_data
    made = recipe("enhancers").tables(data, data / "out", species="human")
    (published, first), (strict, record) = opened(made).values()
    assert first["rows"] == {"train": 36, "valid": 4, "test": 20} and first["left_out"] == {"not_drawn": 0}
    assert first["similar"]["test_rows_resembling_train"] == int(
        reverse_complement(twin) in set(pieces(published, "train")["sequence"])
    )
    assert reverse_complement(twin) in set(published["sequence"])
    assert reverse_complement(twin) not in set(strict["sequence"])
    assert twin in set(pieces(strict, "test")["sequence"])
    assert len(published) - len(strict) == sum(record["left_out"].values()) in (1, 2)
    assert record["similar"]["test_rows_resembling_train"] == 0
    assert published.groupby(["split", "label"]).size()["test"].tolist() == [10, 10]
    assert len(read_table(made["strict"])) == len(strict)


def test_several_species_teach_together_and_each_is_tested_alone(recipe, enhancer_data):
    data, twin = enhancer_data
    options = {"species": ["human", "dog"], "train_each": 10, "test_each": 8}
    made = recipe("enhancers").tables(data, data / "out", **options)
    found = opened(made)
    assert set(found) == {"human", "dog", "from_human"}
    taught = {key: table[table["split"] != "test"].reset_index(drop=True) for key, (table, _) in found.items()}
    assert taught["human"].equals(taught["dog"])
    tested = {key: pieces(table, "test") for key, (table, _) in found.items()}
    for species in ("human", "dog"):
        assert tested[species].groupby(["group", "label"]).size().to_dict() == {
            (species, "background"): 4,
            (species, "enhancer"): 4,
        }
        assert found[species][1]["similar"]["test_rows_resembling_train"] == 0
    # What resembles a test row of one species is left out for all.
    left_out = found["dog"][1]["left_out"]
    assert (left_out["test_rows_of_other_species"], left_out["not_drawn"]) == (20, 72)
    assert len(taught["dog"]) + left_out["train"] + left_out["valid"] == 20
    alone, record = found["from_human"]
    assert (record["left_out"]["training_rows_of_other_species"], record["left_out"]["not_drawn"]) == (40, 24)
    assert set(alone.loc[alone["split"] != "test", "group"]) == {"human"}
    assert set(tested["from_human"]["name"]) == {*tested["human"]["name"], *tested["dog"]["name"]}
    assert sum(record["rows"].values()) + sum(record["left_out"].values()) == 120
    again = recipe("enhancers").tables(data, data / "again", **options)
    assert all(made[key].read_bytes() == again[key].read_bytes() for key in made)


def test_each_species_is_scored_by_its_own_rows(recipe, rng):
    rows = pd.DataFrame({"label": ["background", "enhancer"] * 40, "group": ["human"] * 40 + ["dog"] * 40})
    positive = rng.random(80)
    found = recipe("enhancers").judge(rows, np.stack([1 - positive, positive], 1), ("background", "enhancer"))
    for species in ("human", "dog"):
        own = (rows["group"] == species).to_numpy()
        estimate = found[f"auroc_{species}"]
        assert estimate.value == pytest.approx(roc_auc_score(rows["label"][own] == "enhancer", positive[own]))
        assert estimate.low < estimate.value < estimate.high


LIMITS = {"rows": 120, "test_rows": 40, "shortest": 150, "longest": 600, "longest_test": 800}


@pytest.fixture(scope="module")
def rna_data(tmp_path_factory):
    """Human transcripts on eight chromosomes and mouse ones; non-coding ones are shorter."""
    folder, rng = tmp_path_factory.mktemp("rna"), np.random.default_rng(3)

    def dna(length):
        return rng.choice(np.frombuffer(b"ACGT", dtype=np.uint8), length).tobytes().decode()

    rows = []
    for split, count in (("train", 480), ("test", 200)):
        for label, longest in (("coding", 900), ("noncoding", 500)):
            for number in range(count // 2):
                place = f"range=chr{(1, 2, 4, 6, 3, 8, 12, '6_hap1')[number % 8]}:{number}-{number + 900}"
                name = f"hg19_ct_UserTrack_1_{split}_{label}_{number} {place} strand=+"
                rows.append((name, dna(int(rng.integers(100, longest))), label, split))
    (folder / "rna_coding").mkdir()
    table = pd.DataFrame(rows, columns=["name", "sequence", "label", "split"])
    twin = table.loc[(table["split"] == "test") & table["name"].str.contains("chr1:"), "sequence"].max()
    table.loc[table["name"].str.contains("_train_coding_2 "), "sequence"] = twin
    table.to_csv(folder / "rna_coding/cpat_human.csv.gz", index=False)
    for kind in ("positive", "negative"):
        records = ((f"ENS{kind}{number}|gene|", dna(400)) for number in range(30))
        fasta(folder / f"rna_coding/deeplnc_mouse/test_Mouse_{kind}.fa.gz", records)
    return folder, twin


@pytest.fixture(scope="module")
def rna_tables(rna_data):
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(RECIPES)
        module = importlib.import_module("rna_coding_data")
        return opened(module.tables(rna_data[0], rna_data[0] / "out", **LIMITS))


def test_training_transcripts_are_matched_in_length(rna_tables):
    published, record = rna_tables["published"]
    taught = published[published["split"] != "test"]
    lengths = taught["sequence"].str.len()
    assert lengths.between(150, 600).all() and published["sequence"].str.len().max() <= 800
    counts = taught["label"].value_counts()
    assert counts["coding"] == counts["noncoding"] > 30
    means = lengths.groupby(taught["label"]).mean()
    assert abs(means["coding"] - means["noncoding"]) < 0.12 * means.mean()
    assert all("_train_" not in name and "test_" in name for name in pieces(published, "test")["name"])
    assert all(name.startswith("train_") for name in taught["name"])
    assert record["left_out"]["other_lengths_or_copies"] > 50


def test_strict_transcripts_lie_on_other_chromosomes(rna_tables, rna_data):
    """And resemble none; the mouse protocol has the same training rows."""
    strict, record = rna_tables["strict"]
    places = {part: set(pieces(strict, part)["group"].astype(str)) for part in ("train", "valid", "test")}
    assert places == {"train": {"4", "6", "8", "12"}, "valid": {"2"}, "test": {"1", "3"}}
    assert record["similar"]["test_rows_resembling_train"] == 0
    assert rna_data[1] not in set(pieces(strict, "train")["sequence"])
    test = pieces(strict, "test")
    counts = test["label"].value_counts()
    assert counts["coding"] == counts["noncoding"] > 10 and test["name"].str.startswith("train").any()
    lengths = test["sequence"].str.len().groupby(test["label"]).mean()
    assert abs(lengths["coding"] - lengths["noncoding"]) < 0.15 * lengths.mean()
    assert sum(record["rows"].values()) + sum(record["left_out"].values()) == 680
    mouse = rna_tables["mouse"][0]
    for part in ("train", "valid"):
        assert pieces(strict, part)["name"].tolist() == pieces(mouse, part)["name"].tolist()
    test = pieces(mouse, "test")
    assert set(test["group"]) == {"mouse"} and test["label"].value_counts().tolist() == [20, 20]
    assert (test["name"].str.contains("positive") == (test["label"] == "noncoding")).all()


def test_large_rna_tables_have_the_same_tests_and_more_and_longer_transcripts_to_learn_from(rna_tables, recipe):
    limits = recipe("rna_coding_data").Limits(**LIMITS).larger()
    assert (limits.longest, limits.rows) == (800, 240)
    strict, large, mouse = (rna_tables[key][0] for key in ("strict", "large", "large_mouse"))
    assert pieces(large, "test")["name"].tolist() == pieces(strict, "test")["name"].tolist()
    assert pieces(mouse, "test")["name"].tolist() == pieces(rna_tables["mouse"][0], "test")["name"].tolist()
    taught = large[large["split"] != "test"]
    assert set(taught["group"].astype(str)) == {"2", "4", "6", "8", "12"}
    assert taught["label"].value_counts().nunique() == 1 and len(taught) > (strict["split"] != "test").sum()
    assert rna_tables["large"][1]["similar"]["test_rows_resembling_train"] == 0
    for part in ("train", "valid"):
        assert pieces(large, part)["name"].tolist() == pieces(mouse, part)["name"].tolist()


def test_a_transcript_without_a_place_is_refused(recipe, tmp_path):
    path = tmp_path / "cpat.csv"
    pd.DataFrame({"name": ["a range=chr1:2-3", "b"], "sequence": ["A", "C"]}).to_csv(path, index=False)
    with pytest.raises(GenolmError, match="row 3 has a name without"):
        recipe("rna_coding_data").read_human(path)


def test_hard_transcripts_look_like_the_other_class(recipe):
    module = recipe("rna_coding_data")
    long, short = "ATG" + "GCC" * 99 + "TAA", "ATG" + "GCC" * 98 + "TAA"
    rows = pd.DataFrame({"sequence": [long, short] * 2, "label": ["coding"] * 2 + ["noncoding"] * 2})
    assert module.is_hard(rows).tolist() == [False, True, True, False]
    answers = np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7], [0.1, 0.9]])
    found = module.judge(rows, answers, ("noncoding", "coding"))
    assert found["accuracy_hard"].value == 0.5 and set(found) == {"accuracy_hard", "mcc_hard"}
    drawn = module.judge(rows, answers, ("noncoding", "coding"), groups=["a", "b", "b", "a"])["accuracy_hard"]
    assert drawn.as_dict() == {"value": 0.5, "low": None, "high": None}, "the two hard ones are of one group"
    assert module.judge(rows[:1], answers[:1], ("noncoding", "coding")) == {}


@pytest.fixture
def sixteen_s(tmp_path, make_dna):
    """Four genera of six references: two equal ones, a read that two genera share, a genus of equal ones."""
    references, reads = [], []
    shared, same = make_dna(90), make_dna(200)
    for place, genus in enumerate(("Rhodobaca", "Moritella", "Marinobacter", "Hahella")):
        sequences = [same] * 6 if place == 3 else [make_dna(200) for _ in range(6)]
        if place == 0:
            sequences[5] = sequences[0]
        for number, sequence in enumerate(sequences):
            name = f"{genus}{number}"
            references.append((f"{name} Proteobacteria Order{place // 2} Family{place} {genus}", sequence))
            piece = shared if (place, number) in ((1, 2), (2, 4)) else sequence[:90]
            for copy in range(5):
                letters = "N" + piece[1:] if copy == 1 else piece
                reads.append((f'{len(reads)} reference={name} position=1..90 description="{genus}"', letters))
    fasta(tmp_path / "16S/1000seq.fasta.gz", references)
    fasta(tmp_path / "16S/amplicon_reads_regenerated.fa.gz", reads)
    return tmp_path, shared


def test_references_that_share_a_read_stay_on_one_side(recipe, sixteen_s):
    data, shared = sixteen_s
    made = recipe("genus_16s_data").tables(data, data / "out", reads="amplicon", per_reference=3)
    table, record = opened(made)["strict"]
    assert (table.groupby("group")["split"].nunique() == 1).all()
    assert (table.groupby("sequence")["split"].nunique() == 1).all() and shared in set(table["sequence"])
    held_out = table[table["split"] != "train"]
    assert not held_out.duplicated(["sequence", "label"]).any()
    assert pieces(table, "train").groupby("group").size().unique().tolist() == [3]
    assert record["left_out"]["other_letters"] == 24 and record["left_out"]["beyond_per_reference"] == 24
    assert sum(record["rows"].values()) + sum(record["left_out"].values()) == 120
    assert record["share_of_test_reads_also_in_train"] == 0 and record["genera_without_test_reads"] == 1
    assert set(pieces(table, "train")["label"]) == set(table["label"]), "each genus is trained on"
    assert set(table["label"].str.split().str.len()) == {4}
    units = pieces(table, "test").groupby("label")["sequence"].nunique()
    assert (units >= 1).all() and not units.index.str.contains("Hahella").any()


def test_reads_of_linked_references_are_one_group(recipe, sixteen_s):
    data, shared = sixteen_s
    amplicon, shotgun = (data / f"16S/{kind}_reads_regenerated.fa.gz" for kind in ("amplicon", "shotgun"))
    shotgun.write_bytes(amplicon.read_bytes())
    options = {"reads": "shotgun", "per_reference": 3}
    made = opened(recipe("genus_16s_data").tables(data, data / "out", **options, linked=True))
    plain = opened(recipe("genus_16s_data").tables(data, data / "other", **options))["strict"]
    table, record = made["strict"]
    pd.testing.assert_frame_equal(table.drop(columns="group"), plain[0].drop(columns="group"))
    named = table.groupby(plain[0]["group"])["group"].agg(set)
    assert named["Hahella3"] == {"Hahella0"}, "equal references are named after the first"
    assert table.loc[table["sequence"] == shared, "group"].nunique() == 1, "two genera share this read"
    assert sum(record["groups_of_linked"].values()) < sum(record["references"].values())
    assert record["references"] == plain[1]["references"] and "groups_of_linked" not in plain[1]
    assert made["published"][0]["group"].nunique() > table["group"].nunique()


def test_by_read_twins_straddle_and_the_record_says_so(recipe, sixteen_s):
    data = sixteen_s[0]
    made = recipe("genus_16s_data").tables(data, data / "out", reads="amplicon", per_reference=4)
    table, record = opened(made)["published"]
    assert sum(record["rows"].values()) == 24 * 4 and record["rows"]["test"] in (19, 20)
    assert (table.groupby("group")["split"].nunique() > 1).any() and record["share_of_test_reads_also_in_train"] > 0.8
    assert 0.9 < record["share_of_test_reads_told_by_their_letters"] <= 1


def test_reads_within_a_longer_copy_of_a_training_reference_are_told(recipe, make_dna):
    gene, other = make_dna(60), make_dna(60)
    references = pd.DataFrame(
        {"reference": ["long", "cut", "far"], "lineage": "g", "sequence": [gene, gene[5:55], other]}
    )
    pieces = [("long", gene[:20], "train"), ("cut", gene[12:32], "test"), ("cut", gene[30:50], "test")]
    pieces += [("far", other[:20], "test"), ("far", other[3:23], "valid"), ("far", other[4:25], "test")]
    table = pd.DataFrame(pieces, columns=["group", "sequence", "split"]).assign(label="g")
    found = recipe("genus_16s_data").leaks(table.assign(reference=table["group"]), references)
    assert found["share_of_test_reads_within_a_training_reference"] == 0.5
    assert found["share_of_test_reads_also_in_train"] == 0


def test_few_units_are_shared_out_with_one_left_to_learn_from(recipe):
    module = recipe("genus_16s_data")
    for count, expected in ((1, (1, 0, 0)), (2, (1, 0, 1)), (3, (1, 1, 1)), (4, (2, 1, 1)), (5, (2, 1, 2))):
        units = pd.Series(range(count), index=[f"r{number}" for number in range(count)])
        parts = list(module.split_units(pd.Series("g", index=units.index), units, 1).values())
        assert tuple(parts.count(part) for part in ("train", "valid", "test")) == expected


def test_reads_of_an_unknown_reference_or_kind_are_refused(recipe, sixteen_s):
    data, module = sixteen_s[0], recipe("genus_16s_data")
    with pytest.raises(GenolmError, match="amplicon or shotgun"):
        module.tables(data, data / "out", reads="long")
    fasta(data / "16S/shotgun_reads_regenerated.fa.gz", [("1 reference=Nobody9", "ACGT")])
    with pytest.raises(GenolmError, match="reads of Nobody9"):
        module.tables(data, data / "out", reads="shotgun")


def test_lineages_agree_where_the_called_genus_has_them(recipe, rng):
    """Three genera of one class, two of one family; macro F1 is scikit-learn's."""
    classes = ("C O1 F1 a", "C O1 F1 b", "C O2 F2 c")
    truth = np.array([0, 0, 1, 1, 2, 2, 0, 1])
    called = np.array([0, 1, 1, 2, 2, 0, 0, 1])
    answers = np.eye(3)[called] * 0.9 + rng.random((8, 3)) * 0.01
    rows = pd.DataFrame({"label": [classes[number] for number in truth]})
    given = recipe("genus_16s_data").judge(rows, answers, classes)
    found = {name: estimate.value for name, estimate in given.items()}
    assert found["class_agreement"] == 1
    assert found["order_agreement"] == found["family_agreement"] == pytest.approx(6 / 8)
    assert found["macro_f1"] == pytest.approx(f1_score(truth, called, average="macro"))
    subset = recipe("genus_16s_data").judge(rows[:4], answers[:4], classes)["macro_f1"].value
    assert subset == pytest.approx(f1_score(truth[:4], called[:4], average="macro", labels=[0, 1]))


def test_gene_start_tables_differ_by_the_excluded_training_windows(recipe, tmp_path, make_dna, monkeypatch):
    common, module = recipe("common"), recipe("ecoli_gene_start_data")
    gene, letters = make_dna(600), make_dna(60_000)
    for first in (20_000, 41_000):
        letters = letters[:first] + gene + letters[first + 600 :]
    places = [*range(1_000, 58_000, 2_000), 20_100, 41_100]
    features = [
        SeqFeature(SimpleLocation(place, place + 400, 1), type="CDS", qualifiers={"locus_tag": [f"g{place}"]})
        for place in sorted(places)
    ]
    facts = {"annotations": {"molecule_type": "DNA"}, "features": features}
    record = SeqRecord(Seq(letters), id="toy.1", name="toy", **facts)
    path = tmp_path / common.ECOLI_GENBANK
    path.parent.mkdir(parents=True)
    with gzip.open(path, "wt") as handle:
        write(record, handle, "genbank")
    monkeypatch.setattr(module, "build", functools.partial(module.build, test=6, valid=5))
    found = opened(module.tables(tmp_path, tmp_path / "out"))
    (published, _), (strict, record) = found["published"], found["strict"]
    assert 1 <= record["left_out"]["train"] == len(published) - len(strict)
    assert set(published["label"]) == {"gene interior", "gene start"}
    for part in ("valid", "test"):
        whole, kept = (pieces(table, part).reset_index(drop=True) for table in (published, strict))
        assert whole.equals(kept) and len(kept) == {"valid": 10, "test": 12}[part]
    starts = strict[strict["label"] == "gene start"]["name"].str.extract(r"g(\d+)")[0].astype(int)
    assert len({20_100, 41_100} & set(starts)) == 1
