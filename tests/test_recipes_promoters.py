"""Recipes of promoters, on generated sequences: what is left out, which windows are cut, the parts."""

import copy
import dataclasses
import gzip
import importlib
import json
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import matthews_corrcoef, roc_auc_score

from genolm import recipe_run
from genolm.bootstrap import paired_bootstrap
from genolm.errors import GenolmError
from genolm.metrics import binary_metrics, statistic_for
from genolm.recipe_config import read_recipe
from genolm.recipe_run import RecipeTask
from genolm.splits import similarity_pairs
from genolm.table_split import table_clusters

RECIPES = Path(__file__).parents[1] / "recipes"
NAMES = (
    "promoters-81-ecoli",
    "promoters-81-bsubtilis",
    "promoters-81-bacteria",
    "human-promoters-short",
    "human-promoters-long",
)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder for what is made once for all tests; genolm's own files are kept there too."""
    folder = tmp_path_factory.mktemp("promoters")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GENOLM_HOME", str(folder / "home"))
        patch.syspath_prepend(RECIPES)
        yield folder


@pytest.fixture(scope="module")
def dice():
    """A seeded generator."""
    return np.random.default_rng(7)


@pytest.fixture(scope="module")
def bacterial(place):
    module = importlib.import_module("bacterial_promoters_81")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "RESERVED", {"toy.1": (4_000, 6_000)})
        yield module


@pytest.fixture(scope="module")
def human(place):
    return importlib.import_module("human_promoters")


@pytest.fixture(scope="module")
def short(place):
    return importlib.import_module("human_promoters_short")


@pytest.fixture(scope="module")
def long(place):
    return importlib.import_module("human_promoters_long")


def dna(rng, length):
    return "".join(rng.choice(list("ACGT"), length))


def other_strand(sequence):
    return sequence.translate(str.maketrans("ACGT", "TGCA"))[::-1]


def put(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode(), mtime=1))


def fasta(items):
    return "".join(f"> {name}\n{item[:60]}\n{item[60:]}\n" for name, item in items)


def record_of(path):
    return json.loads(path.with_name(f"{path.name.split('.')[0]}.json").read_text())


# --- 81 bp of bacteria


@pytest.fixture(scope="module")
def bacteria(place, dice, bacterial):
    """Files of two species; five promoters of E. coli touch the region 4,000-6,000, one is of elsewhere."""
    rng, folder = dice, place / "bacteria"
    genome = dna(rng, 20_000)
    put(folder / bacterial.ECOLI_FASTA, f">toy.1 chromosome\n{genome}\n")
    free = [int(start) for start in rng.choice(np.arange(6_200, 9_900, 90), 40, replace=False)]
    promoters = [genome[start : start + 81] for start in [*free, 3_000, 3_919, 6_000]]
    reserved = [genome[start : start + 81] for start in (3_920, 4_500, 5_999)]
    reserved += [other_strand(genome[start : start + 81]) for start in (5_000, 5_500)]
    starts = [start + step for start in range(10_000, 18_000, 400) for step in range(0, 180, 30)]
    pieces = [other_strand(genome[start : start + 81]) for start in starts]
    coli = [*promoters, *reserved, dna(rng, 81)]
    put(folder / "cnnprom/Ecoli_prom.fa.gz", fasta(enumerate(coli)))
    put(folder / "cnnprom/Ecoli_non_prom.fa.gz", fasta(enumerate(pieces)))
    bacilli = [dna(rng, 81) for _ in range(40)]
    put(folder / "cnnprom/Bacillus_prom.fa.gz", fasta([("abrB", item) for item in [*bacilli, bacilli[0]]]))
    odd = ["N" + dna(rng, 80), dna(rng, 80)]
    others = [dna(rng, 81) for _ in range(100)] + odd
    put(folder / "cnnprom/Bacillus_non_prom.fa.gz", fasta(enumerate(others)))
    return folder, {"kept": promoters, "reserved": reserved, "elsewhere": coli[-1], "pieces": pieces}


@pytest.fixture(scope="module")
def coli(bacterial, bacteria, place):
    """Tables of E. coli by protocol, and their paths."""
    made = bacterial.tables(bacteria[0], place / "out", organism="ecoli")
    return {key: pd.read_csv(path) for key, path in made.items()}, made


def test_what_touches_the_reserved_region_on_either_strand_is_in_no_table(coli, bacteria):
    tables, paths = coli
    for protocol, table in tables.items():
        promoters = table.loc[table["label"] == "promoter", "sequence"]
        assert sorted(promoters) == sorted(bacteria[1]["kept"])
        assert record_of(paths[protocol])["left_out"]["ecoli"] == {
            "not_81_bp_of_acgt": 0,
            "copies": 0,
            "promoters_in_the_reserved_region": 5,
            "promoters_not_found_in_the_genome": 1,
            "non-promoters_in_the_reserved_region": 0,
            "non-promoters_not_found_in_the_genome": 0,
        }


def test_both_protocols_hold_the_same_rows_in_the_shares_of_the_original(coli, bacteria):
    published, strict = coli[0]["published"], coli[0]["strict"]
    assert sorted(published["sequence"]) == sorted(strict["sequence"])
    assert (published["label"] == "non-promoter").sum() == len(bacteria[1]["pieces"])
    counts = published.groupby(["label", "split"]).size()
    assert counts["non-promoter"].to_dict() == {"test": 18, "train": 92, "valid": 10}
    assert counts["promoter", "test"] == pytest.approx(0.15 * 43, abs=1)


def test_strict_keeps_what_shares_20_bp_in_one_part_and_random_does_not(coli):
    across = {}
    for protocol, table in coli[0].items():
        pairs = similarity_pairs(table["sequence"].tolist(), word=20)
        split = table["split"].to_numpy()
        across[protocol] = int((split[pairs[:, 0]] != split[pairs[:, 1]]).sum())
    assert across["strict"] == 0 and across["published"] > 10


def test_the_record_tells_the_leak_of_each_protocol(coli):
    records = {key: record_of(path) for key, path in coli[1].items()}
    key = "test_sharing_40bp_with_train_by_class"
    assert records["strict"][key] == {"non-promoter": 0.0, "promoter": 0.0}
    assert records["strict"]["leakage"]["split_test_sharing_20bp_with_train"] == 0
    assert records["published"]["leakage"]["split_test_sharing_20bp_with_train"] > 0.2
    assert records["published"][key]["non-promoter"] > 0.7


def test_a_shared_stretch_of_40_counts_on_both_strands_and_one_of_39_does_not(bacterial, rng):
    train, fresh = dna(rng, 81), dna(rng, 81)
    test = [other_strand(train)[:40] + fresh[40:], train[:39] + "ACGT"["CGTA".index(train[39])] + fresh[40:]]
    rows = [(train, "a", "train"), (test[0], "a", "test"), (test[1], "b", "test")]
    table = pd.DataFrame(rows, columns=["sequence", "label", "split"])
    assert bacterial.long_stretches(table) == {"a": 1.0, "b": 0.0}


def test_odd_letters_and_copies_are_left_out_and_counted(bacterial, bacteria):
    rows, left_out = bacterial.usable_rows(bacteria[0], "bsubtilis")
    assert left_out == {"not_81_bp_of_acgt": 2, "copies": 1}
    assert rows["label"].value_counts().to_dict() == {"non-promoter": 100, "promoter": 40}


def test_one_table_of_both_keeps_each_row_in_its_part(bacterial, bacteria, tmp_path, coli):
    both = pd.read_csv(bacterial.tables(bacteria[0], tmp_path / "both", organism="both")["strict"])
    bacilli = pd.read_csv(bacterial.tables(bacteria[0], tmp_path / "b", organism="bsubtilis")["strict"])
    alone = pd.concat([coli[0]["strict"], bacilli]).set_index("sequence")["split"]
    assert len(both) == len(alone)
    assert (both.set_index("sequence")["split"] == alone.loc[both["sequence"]]).all()


def test_tables_are_the_same_to_the_byte(bacterial, bacteria, tmp_path, coli):
    again = bacterial.tables(bacteria[0], tmp_path / "again", organism="ecoli")
    assert all(again[key].read_bytes() == path.read_bytes() for key, path in coli[1].items())


def test_a_missing_genome_stops_rather_than_keeps_the_reserved_region(bacterial, bacteria, tmp_path):
    shutil.copytree(bacteria[0] / "cnnprom", tmp_path / "cnnprom")
    with pytest.raises(GenolmError, match="genomic.fna.gz is missing"):
        bacterial.tables(tmp_path, tmp_path / "out")


def test_figures_of_one_species_count_its_rows_alone(bacterial):
    groups = ["ecoli c1"] * 4 + ["bsubtilis c1"] * 4
    rows = pd.DataFrame({"group": groups, "label": ["no", "no", "yes", "yes"] * 2})
    positive = np.array([0.1, 0.2, 0.9, 0.8, 0.9, 0.1, 0.8, 0.2])
    found = bacterial.judge(rows, np.stack([1 - positive, positive], axis=1), ("no", "yes"))
    assert found["mcc_ecoli"].value == pytest.approx(1) and found["mcc_bsubtilis"].value == 0
    assert found["recall_bsubtilis"].value == 0.5
    assert bacterial.judge(rows[:4], np.zeros((4, 2)), ("no", "yes")) == {}
    drawn = bacterial.judge(rows, np.stack([1 - positive, positive], axis=1), ("no", "yes"), groups=["one"] * len(rows))
    assert drawn["recall_bsubtilis"].as_dict() == {"value": 0.5, "low": None, "high": None}


# --- every piece tested once


@pytest.fixture(scope="module")
def folds(place, bacterial):
    return importlib.import_module("promoter_folds")


@pytest.mark.parametrize("kind", ["random", "strict"])
def test_every_piece_is_in_the_test_of_one_fold(folds, bacteria, tmp_path, kind):
    options = {"organism": "ecoli", "kind": kind, "folds": 4, "seed": 1}
    tables = [pd.read_csv(path) for path in folds.fold_tables(bacteria[0], tmp_path, **options).values()]
    tested = [table.loc[table["split"] == "test", "sequence"] for table in tables]
    assert len(tables) == 4 and sorted(pd.concat(tested)) == sorted(tables[0]["sequence"])
    assert sorted(tables[0]["sequence"]) == sorted([*bacteria[1]["kept"], *bacteria[1]["pieces"]])
    for table in tables:
        counts = table.groupby(["label", "split"]).size()
        assert counts["promoter", "test"] in (10, 11) and counts["non-promoter", "test"] == pytest.approx(30, abs=6)
        assert counts["promoter", "valid"] == pytest.approx(3.2, abs=1)
        pairs, split = similarity_pairs(table["sequence"].tolist(), word=20), table["split"].to_numpy()
        across = int((split[pairs[:, 0]] != split[pairs[:, 1]]).sum())
        assert across == 0 if kind == "strict" else across > 10
    assert record_of(tmp_path / "fold2.csv.gz")["kind"] == kind


def test_answers_of_folds_are_pooled_and_called_by_the_threshold_of_each(folds):
    odds = [(folds.log_odds(chances), float(folds.log_odds(at))) for chances, at in FOLDS]
    texts = [" ".join(map(str, item.tolist())) for item, _ in odds]
    given = zip(texts, (at for _, at in odds), ("011", "01"), strict=True)
    found = folds.pooled([[dict(zip(("odds", "threshold", "labels"), item, strict=True)) for item in given]])
    assert (found.called[:, 1] >= 0.5).tolist() == [False, True, True, False, True]
    assert found.chances[:, 1] == pytest.approx([0.2, 0.3, 0.9, 0.6, 0.95])
    assert found.labels.tolist() == [0, 1, 1, 0, 1]
    assert found.called.sum(axis=1) == pytest.approx(1) and np.isfinite(folds.log_odds([0.0, 1.0])).all()


FOLDS = (([0.2, 0.3, 0.9], 0.25), ([0.6, 0.95], 0.9))


@pytest.fixture
def course(folds, bacteria, tmp_path, toy_language_model_path, monkeypatch):
    """A task on two folds of B. subtilis with networks of the toy language model."""
    own = read_recipe(RECIPES / "promoters-81-bsubtilis.toml")
    toy = {"base": str(toy_language_model_path), "settings": {"epochs": 1}}
    methods = {
        key: dataclasses.replace(item, **({} if item.parts else toy))
        for key, item in own.methods.items()
        if key in ("pretrained", "stride-3", "framed", "mixed-framed")
    }
    quick = dataclasses.replace(own, sources=(), methods=methods)
    monkeypatch.setattr(folds, "find_recipe", lambda folder, name: quick)
    options = {"organism": "bsubtilis", "folds": 2, "seed": 1, "methods": WAYS, "protocols": ["published"]}
    return RecipeTask(bacteria[0], tmp_path, options, lambda text: None)


WAYS = ["pretrained", "framed", "mixed-framed"]


def test_folds_are_trained_once_and_judged_together(folds, course, tmp_path, monkeypatch):
    rows, left_out = folds.usable_rows(course.data, "bsubtilis")
    kin = rows.assign(group=[f"c{number // 4}" for number in range(len(rows))])
    monkeypatch.setattr(folds, "usable_rows", lambda data, organism: (kin, left_out))
    none = folds.run(dataclasses.replace(course, options={**course.options, "minutes": 0}))
    assert none["missing"] == ["2 folds at random within each class"] and not none["scores"]
    found = folds.run(course)
    scores = found["scores"]["published"]
    assert set(scores) == {*WAYS, *folds.BASELINES} and found["missing"] == []
    assert found["unplanned"] == [f"{found['protocols']['published']['title']}: from scratch"]
    assert found["protocols"] == none["protocols"] and found["protocols"]["published"]["rows"]["test"] == 140
    assert all(scores[key]["seeds"][0]["valid_loss"] > 0 for key in WAYS)
    assert "valid_loss" not in scores["cnn"]["seeds"][0]
    # Calls of both folds are judged together, each from the threshold of its own; probabilities as they are.
    home = tmp_path / "folds" / "bsubtilis-random"
    called, chances, ours, truth, groups = [], [], [], [], []
    for fold in ("fold1", "fold2"):
        table = pd.read_csv(home / "tables" / f"{fold}.csv.gz").query("split == 'test'")
        truth += (table["label"] == "promoter").tolist()
        groups += table["group"].tolist()
        chances += np.load(home / "steps" / f"{fold}-kmer-logistic-seed1.npy")[:, 1].tolist()
        for calls, name in ((called, "kmer-logistic"), (ours, "pretrained")):
            step = home / "steps" / f"{fold}-{name}-seed1.json"
            calls += (np.load(step.with_suffix(".npy"))[:, 1] >= json.loads(step.read_text())["threshold"]).tolist()
    told = scores["kmer-logistic"]["seeds"][0]["metrics"]
    assert told["mcc"]["value"] == pytest.approx(matthews_corrcoef(truth, called))
    assert told["auroc"]["value"] == pytest.approx(roc_auc_score(truth, chances))
    # Intervals are drawn over clusters, of which random folds share some.
    wanted = binary_metrics(np.array(called, dtype=float), truth, groups=groups)["mcc"]
    assert told["mcc"] == pytest.approx(wanted.as_dict())
    assert found["protocols"]["published"]["drawn_groups"] == len(set(groups)) < len(groups)
    pair = [statistic_for("binary", np.array(item, dtype=float), np.array(truth)) for item in (ours, called)]
    drawn = paired_bootstrap(*pair, len(truth), groups=groups)["mcc"]
    (gap,) = (item for item in found["differences"] if (item["method"], item["other"]) == ("pretrained", "kmer-logistic"))
    assert (gap["low"], gap["high"]) == pytest.approx((drawn.difference.low, drawn.difference.high))
    gaps = {(item["method"], item["other"]): item["value"] for item in found["differences"]}
    own_mcc = scores["pretrained"]["seeds"][0]["metrics"]["mcc"]["value"]
    assert gaps["pretrained", "kmer-logistic"] == pytest.approx(own_mcc - told["mcc"]["value"])
    assert found["methods"]["mixed-framed"]["settings"]["average"] == ["pretrained", "framed"]
    trainings = [json.loads(step.read_text()) for step in (home / "steps").glob("fold*-seed1.json")]
    every = sum(item["seconds"] for item in trainings if "average" not in item["settings"])
    twice = sum(json.loads(step.read_text())["seconds"] for step in (home / "steps").glob("fold*-stride-3-seed1.json"))
    assert found["seconds"] == pytest.approx(every - twice, abs=0.5)

    # What is finished is done once, on this machine or with its parts on another.
    shutil.rmtree(tmp_path / "folds")
    monkeypatch.setattr(recipe_run, "run_training", None)
    assert folds.run(course)["scores"] == found["scores"]
    # Without them the earlier figures stay, as they are of the same tables; what is of others is not counted.
    (tmp_path / "parts.json").unlink()
    elsewhere = dataclasses.replace(course, options={**course.options, "minutes": 0}, earlier=found)
    again = folds.run(elsewhere)
    assert again["scores"]["published"] == scores and again["missing"] == []
    over_rows = copy.deepcopy(found)
    del over_rows["protocols"]["published"]["drawn_by"]
    assert folds.run(dataclasses.replace(elsewhere, earlier=over_rows))["scores"] == {}
    other = dataclasses.replace(elsewhere, options={**elsewhere.options, "seed": 2})
    shutil.rmtree(tmp_path / "folds")
    assert folds.run(other)["scores"] == {}


def test_a_network_from_scratch_is_held_beside_the_same_one_from_a_language_model(folds, course, monkeypatch):
    quick = folds.find_recipe(None, None)
    scratch = dataclasses.replace(
        quick.methods["pretrained"], title="From scratch", from_scratch=True, settings={"epochs": 1, "preset": "tiny"}
    )
    wider = dataclasses.replace(quick, methods={**quick.methods, "naive": scratch})
    monkeypatch.setattr(folds, "find_recipe", lambda folder, name: wider)
    options = {**course.options, "methods": ["pretrained"], "further": {"published": ["naive"]}}
    found = folds.run(dataclasses.replace(course, options=options))
    scores = found["scores"]["published"]
    assert set(scores) == {"pretrained", "naive", *folds.BASELINES}
    assert found["methods"]["naive"]["base"] is None and found["methods"]["pretrained"]["base"]
    pairs = [(item["method"], item["other"]) for item in found["differences"]]
    assert pairs == [("pretrained", other) for other in ("naive", *folds.BASELINES)]
    one, other = (scores[key]["seeds"][0]["metrics"]["mcc"]["value"] for key in ("pretrained", "naive"))
    assert found["differences"][0]["value"] == pytest.approx(one - other)
    none = folds.run(dataclasses.replace(course, options={**options, "minutes": 0}, earlier=found))
    assert none["missing"] == []
    del found["scores"]["published"]["naive"]
    (course.out / "parts.json").unlink()
    none = folds.run(dataclasses.replace(course, options={**options, "minutes": 0}, earlier=found))
    assert none["missing"] == ["2 folds at random within each class: From scratch, seed 1"]
    # Another kind of folds does not have it.
    assert folds.Course(dataclasses.replace(course, options=options), "strict").ours == ["pretrained"]


def test_parts_of_another_table_are_done_again(folds, course, monkeypatch):
    task = dataclasses.replace(course, options={**course.options, "methods": WAYS[:1]})
    first = folds.run(task)
    kept = json.loads((task.out / "parts.json").read_text())
    part = kept["parts"]["bsubtilis-random-fold1-cnn"]
    assert len(part["facts"].pop("table")) == 64
    part["result"]["labels"] = "0" * len(part["result"]["labels"])
    (task.out / "parts.json").write_text(json.dumps(kept))
    assert folds.run(task)["scores"] == first["scores"]


def test_seeds_of_folds_are_averaged_fold_by_fold(folds, course, tmp_path):
    options = {**course.options, "methods": ["framed"]}
    first = folds.run(dataclasses.replace(course, options=options))
    assert "together" not in first["scores"]["published"]["framed"]
    more = dataclasses.replace(course, options={**options, "seeds": {"published": 2}})
    none = folds.run(dataclasses.replace(more, options={**more.options, "minutes": 0}))
    assert none["scores"] == first["scores"]
    assert none["missing"] == ["2 folds at random within each class, seed 2"]

    found = folds.run(more)
    scores = found["scores"]["published"]
    assert found["missing"] == [] and [run["seed"] for run in scores["framed"]["seeds"]] == [1, 2]
    assert scores["framed"]["seeds"][:1] == first["scores"]["published"]["framed"]["seeds"]
    assert scores["cnn"] == first["scores"]["published"]["cnn"]
    home = tmp_path / "folds" / "bsubtilis-random"
    called, chances, truth = [], [], []
    for fold in ("fold1", "fold2"):
        table = pd.read_csv(home / "tables" / f"{fold}.csv.gz")
        truth += (table.loc[table["split"] == "test", "label"] == "promoter").tolist()
        steps = [home / "steps" / f"{fold}-framed-seed{seed}.json" for seed in (1, 2)]
        mean = np.mean([np.load(step.with_suffix(".npy"))[:, 1] for step in steps], axis=0)
        chances += mean.tolist()
        called += (mean >= np.mean([json.loads(step.read_text())["threshold"] for step in steps])).tolist()
    told = scores["framed"]["together"]
    assert told["auroc"]["value"] == pytest.approx(roc_auc_score(truth, chances))
    assert told["mcc"]["value"] == pytest.approx(matthews_corrcoef(truth, called))
    gap = next(item for item in found["differences"] if item["other"] == "cnn")
    cnn = scores["cnn"]["seeds"][0]["metrics"]["mcc"]["value"]
    assert gap["value"] == pytest.approx(told["mcc"]["value"] - cnn)


def test_an_unknown_kind_of_folds_is_refused(folds, course):
    task = dataclasses.replace(course, options={**course.options, "protocols": ["strictly"]})
    with pytest.raises(GenolmError, match="names the protocol 'strictly'; there are published, strict"):
        folds.run(task)


# --- human


SIZES = {"chr1": 30_000, "chr20": 120_000, "chr21": 60_000}
GAP = (20_000, 20_100)
"""Bases of N in every chromosome."""


def sites_of(size):
    """TSS every 6 kb, strands in turn."""
    return [(position, "+-"[number % 2]) for number, position in enumerate(range(3_000, size - 3_000, 6_000))]


def annotation(rows, **columns):
    frame = pd.DataFrame(rows, columns=["_labels", "_starts", "_ends", *columns])
    return frame.to_csv(sep="\t", index=False)


@pytest.fixture(scope="module")
def data(place, dice, human, short):
    """Three chromosomes with TSS, genes and islands, and a file of half their promoters and 60 others."""
    rng, folder = dice, place / "human"
    bed, tss, genes, exons, islands, promoters = [], [], [], [], [], []
    for contig, size in SIZES.items():
        sequence = dna(rng, size)
        sequence = sequence[: GAP[0]] + "N" * 100 + sequence[GAP[1] :]
        put(folder / human.GENOME[contig], f">{contig[3:]} GRCh37\n{sequence.lower()}\n")
        for number, (position, strand) in enumerate(sites_of(size)):
            name, plus = f"G{number}", strand == "+"
            bed.append(f"{contig}\t{position}\t{position + 1}\t{name}_1\t0\t{strand}")
            gene = (position, position + 2_500) if plus else (position - 2_499, position + 1)
            exon = (position, position + 300) if plus else (position - 299, position + 1)
            facts = (name, strand, "protein_coding")
            genes.append((contig, gene[0] + 1, gene[1], *facts))
            exons.append((contig, exon[0] + 1, exon[1], *facts))
            tss.append((contig, position + 1, position + 2, *facts))
            islands.append((contig, position + 1_500, position + 1_900))
            window = sequence[position - 200 : position + 51]
            window = window if plus else other_strand(sequence[position - 50 : position + 201])
            promoters += [window] if "N" not in window else []
        tss.append((contig, 5_001, 5_002, "extra", "+", "lincRNA"))
    columns = dict.fromkeys(("gene_name", "Strand", "gene_type"))
    put(folder / human.EPDNEW, "\n".join(bed) + "\nchr7\t100\t101\tX_1\t0\t+\n")
    for name, rows in ((human.ANNOTATED_TSS, tss), (short.GENES, genes), (short.EXONS, exons)):
        put(folder / name, annotation(rows, **columns))
    put(folder / short.ISLANDS, annotation(islands))
    others = [dna(rng, 251) for _ in range(60)]
    lines = [f"{item},A_test,B_dev" for item in [*promoters[::2], *others, others[0], "N" * 251]]
    put(folder / short.POSITIVES, "\n".join(["sequence,source", *lines]) + "\n")
    return folder


def place_of(name):
    """Return kind, contig, start, end, strand of a row's name."""
    kind, place = name.split()
    contig, span = place[:-3].split(":")
    first, last = map(int, span.split("-"))
    return kind, contig, first - 1, last, place[-2]


def check_windows(data, human, table):
    """Every named window is that of the genome; negatives are 500 bp from all TSS and do not overlap."""
    whole = human.read_human(data)
    spans = {}
    for row in table[table["name"].str.contains(":")].itertuples():
        kind, contig, start, end, strand = place_of(row.name)
        letters = whole.sequences[contig][start:end]
        assert row.sequence == (letters if strand == "+" else other_strand(letters))
        if kind != "promoter":
            spans.setdefault(contig, []).append((start, end))
            known = [position for position, _ in sites_of(SIZES[contig])] + [5_000]
            assert min(max(start - place, place - end + 1) for place in known) >= 500
    for found in spans.values():
        assert all(left[1] <= right[0] for left, right in pairwise(sorted(found)))
    return spans


@pytest.fixture(scope="module")
def short_tables(short, data, place):
    """Tables of the short promoters by protocol, and their paths."""
    made = short.tables(data, place / "short", train=20, valid=5, test=14, spare=0.2)
    return {key: pd.read_csv(path) for key, path in made.items()}, made


def test_promoters_are_found_in_the_genome_or_kept_as_of_elsewhere(short, human, data):
    rows, counts = short.positive_rows(human.read_human(data), data / short.POSITIVES)
    sites = sum(len(sites_of(size)) for size in SIZES.values())
    assert counts["on_these_chromosomes"] == sites and counts["on_chr21"] == len(sites_of(SIZES["chr21"]))
    assert counts["not_251_bp_of_acgt_left_out"] == 1 and counts["copies_left_out"] == 1
    assert (rows["group"] == "other").sum() == 60 and rows["sequence"].is_unique
    assert counts["of_the_file_found_on_these_chromosomes"] == -(-sites // 2)


def test_short_windows_are_clear_of_all_tss_and_of_each_other(short_tables, human, data):
    for table in short_tables[0].values():
        assert set(check_windows(data, human, table)) == set(SIZES)
        assert (table["sequence"].str.len() == 251).all()
        assert set(table["label"]) == {"promoter", "non-promoter"}


def test_strict_is_tested_on_chr21_and_nothing_resembles_the_test(short_tables):
    strict = short_tables[0]["strict"]
    test, rest = strict[strict["split"] == "test"], strict[strict["split"] != "test"]
    assert set(test.loc[test["label"] == "non-promoter", "group"]) == {"chr21"}
    assert (test["group"] == "chr21").sum() == 14 + len(sites_of(SIZES["chr21"]))
    assert "chr21" not in set(rest["group"])
    clusters = table_clusters(strict["sequence"].tolist())
    assert not set(clusters[test.index]) & set(clusters[rest.index])


def test_a_large_table_has_the_strict_test_and_more_to_learn_from(short_tables):
    tables, records = short_tables
    tests = [set(tables[key].query("split == 'test'")["sequence"]) for key in ("strict", "large")]
    assert tests[0] == tests[1]
    large = tables["large"]
    wanted, usual = (record_of(records[key])["sizes"] for key in ("large", "strict"))
    assert [wanted[part] for part in ("train", "valid", "test")] == [3 * usual["train"], 3 * usual["valid"], usual["test"]]
    counts = large.groupby(["split", "label"]).size()
    assert usual["train"] < counts["train", "promoter"] <= wanted["train"]
    clusters, tested = table_clusters(large["sequence"].tolist()), (large["split"] == "test").to_numpy()
    assert not set(clusters[tested]) & set(clusters[~tested])
    assert "chr21" not in set(large.loc[~tested, "group"])


def test_published_and_strict_are_of_the_same_size(short_tables):
    tables = [short_tables[0][key] for key in ("published", "strict")]
    sizes = [table.groupby(["split", "label"]).size().to_dict() for table in tables]
    assert sizes[0] == sizes[1]
    assert sizes[0]["train", "promoter"] == 20 and sizes[0]["test", "non-promoter"] == 14
    assert "chr21" in set(short_tables[0]["published"].query("split == 'train'")["group"])


def test_kinds_are_what_they_are_called(short_tables, short, human, data):
    whole = human.read_human(data)
    genes = short.Places.read(data, whole).genes
    for name in short_tables[0]["strict"]["name"]:
        if ":" not in name:
            continue
        kind, contig, start, end, strand = place_of(name)
        sites = [position for position, _ in sites_of(SIZES[contig])]
        if kind == "near":
            assert min(max(start - place, place - end) for place in sites) <= 5_000
        if kind == "island":
            assert any(place + 1_500 <= (start + end) // 2 <= place + 1_900 for place in sites)
        if kind == "gene":
            own = genes[(genes["contig"] == contig) & (genes["strand"] == strand)]
            assert ((own["start"] <= start) & (own["end"] >= end)).any()
    assert record_of(short_tables[1]["strict"])["rows_by_kind"]["test/gene"] == 7


def test_a_gene_is_cut_behind_its_longest_first_exon_on_either_strand(short):
    columns = ["contig", "gene", "start", "end", "strand"]
    genes = [("c", "A", 100, 1_000, "+"), ("c", "B", 2_000, 3_000, "-"), ("c", "C", 4_000, 4_300, "+")]
    exons = [
        ("c", "A", 100, 150, "+"),
        ("c", "A", 100, 200, "+"),
        ("c", "A", 500, 900, "+"),
        ("c", "B", 2_900, 3_000, "-"),
        ("c", "B", 2_700, 3_000, "-"),
        ("c", "B", 2_000, 2_100, "-"),
        ("c", "C", 4_000, 4_100, "+"),
    ]
    found = short.after_first_exon(pd.DataFrame(genes, columns=columns), pd.DataFrame(exons, columns=columns))
    assert found.values.tolist() == [["c", 200, 1_000, "+"], ["c", 2_000, 2_700, "-"]]


def test_matched_windows_have_the_gc_of_a_promoter(short, human, rng):
    sequence = dna(rng, 30_000) + "".join(rng.choice(list("ACGT"), 30_000, p=[0.1, 0.4, 0.4, 0.1]))
    whole = human.Human({"chr20": sequence}, pd.DataFrame(), {"chr20": np.array([], dtype=int)})
    places = short.Places(pd.DataFrame(), pd.DataFrame(), ("chr20",))
    for wanted, promoter in ((0.8, "GC" * 100 + "A" * 51), (0.5, "GATC" * 62 + "GAT")):
        windows = human.Collector(whole).take(short.matched_windows(whole, places, [promoter], rng), 20)
        found = [short.gc_content(whole.read(window)) for window in windows]
        assert len(found) == 20 and np.allclose(found, wanted, atol=0.025)


def test_specificity_is_told_for_each_kind(short):
    rows = pd.DataFrame(
        {
            "name": ["promoter 1", "promoter 2", "gene a", "gene b", "near a", "island a"],
            "label": ["promoter"] * 2 + ["non-promoter"] * 4,
            "group": ["chr21", "other"] + ["chr21"] * 4,
        }
    )
    positive = np.array([0.9, 0.6, 0.1, 0.2, 0.3, 0.8])
    answer = np.stack([1 - positive, positive], axis=1), ("non-promoter", "promoter")
    found = short.judge(rows, *answer)
    # The promoter of 0.6, below an island's 0.8, is of no known place.
    assert found["auroc_chr21"].value == 1
    assert "auroc_chr21" not in short.judge(rows.assign(group=["chr21", "other"] * 3), *answer)
    assert {key: item.value for key, item in found.items() if key.startswith("specificity")} == {
        "specificity_gene": 1.0,
        "specificity_near": 1.0,
        "specificity_island": 0.0,
    }
    assert found["accuracy_gene"].value == 1 and found["mcc_gene"].value == pytest.approx(1)


def test_long_windows_are_cut_as_told_and_chr21_is_the_test(long, human, data, tmp_path):
    made = long.tables(data, tmp_path / "long")
    tables = {key: pd.read_csv(path) for key, path in made.items()}
    strict = tables["strict"]
    sites = sum(len(sites_of(size)) for size in SIZES.values())
    assert (strict["sequence"].str.len() == 1_000).all()
    assert strict["label"].value_counts().to_dict() == {"promoter": sites, "non-promoter": sites}
    assert ((strict["split"] == "test") == strict["group"].str.startswith("chr21")).all()
    for table in tables.values():
        check_windows(data, human, table)
    sizes = [table.groupby(["split", "label"]).size().to_dict() for table in tables.values()]
    assert sizes[0] == sizes[1]
    first = next(place_of(name) for name in strict["name"] if name.startswith("promoter"))
    assert first[1:] == ("chr1", 2_500, 3_500, "+")
    again = long.tables(data, tmp_path / "again")
    assert all(again[key].read_bytes() == path.read_bytes() for key, path in made.items())


def test_a_bed_without_strands_and_a_file_without_header_are_refused(human, short, tmp_path):
    put(tmp_path / "a.bed.gz", "chr1\t1\t2\tx\t0\t.\n")
    with pytest.raises(GenolmError, match="without strand in column 6"):
        human.read_epdnew(tmp_path / "a.bed.gz")
    put(tmp_path / "a.csv.gz", "ACGT,x\n")
    with pytest.raises(GenolmError, match="first column must be called sequence"):
        short.read_positives(tmp_path / "a.csv.gz")


@pytest.mark.parametrize("name", NAMES)
def test_recipes_name_the_files_that_their_modules_read(name, bacterial, human, short):
    found = read_recipe(RECIPES / f"{name}.toml")
    options = found.prepare.options
    organisms = list(bacterial.ORGANISMS) if options.get("organism") == "both" else [options.get("organism")]
    wanted = {
        "bacterial_promoters_81": lambda: [
            file for organism in organisms for file in bacterial.ORGANISMS[organism].sources
        ],
        "human_promoters_short": lambda: short.SOURCES,
        "human_promoters_long": human.source_names,
    }[found.prepare.module]()
    assert sorted(source.file for source in found.sources) == sorted(wanted)
