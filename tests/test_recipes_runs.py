"""Recipes of their own making, on toy models and generated sequences: what they measure, keep and refuse."""

import gzip
import importlib
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import genolm.compute  # noqa: F401  sets the OpenMP wait policy before torch is loaded
import torch

from genolm.baselines import Majority
from genolm.config import ClassifierSettings, Schedule, Window
from genolm.corpus import Corpus
from genolm.errors import BundleError, GenolmError
from genolm.recipe_config import find_recipe
from genolm.recipe_result import frame_of
from genolm.recipe_run import RecipeTask
from genolm.registry import load_bundle, save_bundle
from genolm.results import read_result
from genolm.tokenizer import AMBIGUOUS_CODE, encode_bases
from genolm.tracks import Track

RECIPES = Path(__file__).parents[1] / "recipes"
OWN = ("language-models", "ecoli-gene-starts-reduction", "embedding-map", "saliency-plots", "scan-40kb")


@pytest.fixture
def recipe(monkeypatch):
    """A function name -> module of the recipes folder."""
    monkeypatch.syspath_prepend(str(RECIPES))
    return importlib.import_module


@pytest.fixture
def task_of(tmp_path):
    """A function (models, options) -> task whose other models are not there."""

    def made(models, **options):
        class Task(RecipeTask):
            def models(self, name):
                if name not in models:
                    raise BundleError(f"There is no model '{name}'.")
                return models[name]

        said = []
        task = Task(tmp_path / "data", tmp_path / "out", options, said.append)
        task.out.mkdir(exist_ok=True)
        return task

    return made


def write_fasta(path, records):
    """Write a gzipped FASTA file of (name, letters)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt") as handle:
        handle.writelines(f">{name}\n{letters}\n" for name, letters in records)


@pytest.mark.parametrize("name", OWN)
def test_the_recipes_can_be_read_and_their_functions_are_there(recipe, name):
    found = find_recipe(RECIPES, name)
    assert callable(getattr(recipe(found.run.module), found.run.function))
    assert all(len(source.sha256) == 64 for source in found.sources)


# --- language models ---


@pytest.fixture
def mammals(recipe, tmp_path, make_dna):
    """A data folder with small files of the mammalian corpus."""
    corpora = recipe("language_corpora")
    data = tmp_path / "data"
    for name in corpora.HUMAN_TRAIN:
        write_fasta(data / name, [("1 chromosome", f"{make_dna(6_000)}{'N' * 500}{make_dna(5_000).lower()}")])
    for name in (*corpora.MAMMAL_TRAIN, *corpora.MAMMAL_TEXTS.values()):
        # Two records with one first word, as in the files of the ENCODE regions.
        write_fasta(data / name, [("same a", make_dna(9_000)), ("same b", make_dna(6_000))])
    return data


def test_unknown_runs_are_no_part_of_the_mammalian_corpus(recipe, mammals):
    corpora = recipe("language_corpora").read_corpora(mammals, "mammal")
    assert [len(record) for record in corpora.train.records[:2]] == [6_000, 5_000]
    assert all((record != AMBIGUOUS_CODE).all() for record in corpora.train.records)
    held_out = {item["name"] for item in corpora.valid.files}
    assert held_out == {"chr21.GRCh37.fa.gz", "dog.ENm002.fa.gz", "monodelphis.ENm002.fa.gz"}
    assert held_out.isdisjoint(item["name"] for item in corpora.train.files)
    assert set(corpora.texts) == set(recipe("language_corpora").MAMMAL_TEXTS)


def test_known_stretches_keep_short_gaps_and_cut_pieces(recipe):
    record = encode_bases("A" * 50 + "N" * 99 + "C" * 60 + "N" * 100 + "G" * 250)
    stretches = recipe("language_corpora").known_stretches
    assert list(stretches(record)) == [(0, 209), (309, 559)]
    assert list(stretches(record, piece=100)) == [(0, 100), (100, 200), (200, 209), (309, 409), (409, 509), (509, 559)]


def test_the_markov_sample_has_the_mixture_of_the_language_model(recipe, monkeypatch):
    module = recipe("language_corpora")
    monkeypatch.setattr(module, "SAMPLE_PIECE", 100)
    codes = [np.full(20_000, value, dtype=np.uint8) for value in (0, 1)]
    corpus = Corpus(codes, ["often", "seldom"], [], [1.0, 0.25])
    often, seldom = np.bincount(np.concatenate(module.markov_sample(corpus, 10_000)), minlength=2)
    assert often + seldom == pytest.approx(10_000, rel=0.2)
    assert often / seldom == pytest.approx(4, rel=0.4)
    assert sum(map(len, module.markov_sample(corpus, 40_000))) == 40_000


def test_language_models_are_judged_beside_markov_models(recipe, mammals, task_of, toy_language_model_path):
    module = recipe("language_models")
    task = task_of({"mammal-lm": toy_language_model_path}, markov_bases=30_000)
    result = module.run(task)
    others = [*module.MODELS["bacteria"], "mammal-lm-dense"]
    assert result["missing"] == [f"the model {name} is not there yet" for name in others]
    assert list(result["protocols"]) == [
        "held-out-human-chr21",
        "held-out-dog-region-enm002",
        "held-out-opossum-region-enm002",
    ]
    for scores in result["scores"].values():
        bits = {key: item["seeds"][0]["metrics"]["bits_per_base"]["value"] for key, item in scores.items()}
        assert bits["markov-best"] <= bits["markov"]
        assert bits["markov-best"] == pytest.approx(2.0, abs=0.02) and bits["mammal-lm"] > 1.99
    gaps = {(item["other"], item["protocol"]): item for item in result["differences"]}
    gap = gaps["markov-best", "held-out-human-chr21"]
    scores = result["scores"]["held-out-human-chr21"]
    own, other = (scores[key]["seeds"][0]["metrics"]["bits_per_base"]["value"] for key in ("mammal-lm", "markov-best"))
    assert gap["value"] == pytest.approx(own - other, abs=1e-6) and gap["low"] <= gap["value"] <= gap["high"]
    parts = (task.out / "parts.json").read_bytes()
    assert module.run(task) == result and (task.out / "parts.json").read_bytes() == parts


def test_a_model_of_other_sequences_is_refused(recipe, mammals, task_of, toy_language_model_path, tmp_path):
    toy = load_bundle(toy_language_model_path)
    card = {**toy.card, "data": [{"name": "chr20.GRCh37.fa.gz", "sha256": "0" * 64}]}
    save_bundle(tmp_path / "toy-lm", toy.config, toy.state_dict(), card)
    with pytest.raises(GenolmError, match=r"'toy-lm' was trained on chr20\.GRCh37\.fa\.gz"):
        recipe("language_models").run(task_of({"mammal-lm": tmp_path / "toy-lm"}))


def test_a_language_model_is_trained_scored_and_saved(recipe, mammals, tmp_path, capsys):
    out = tmp_path / "models" / "toy-mammal"
    small = ["--preset", "tiny", "--tokens", "400", "--rows", "4", "--bptt", "20", "--piece", "500"]
    arguments = ["--data", str(mammals), "--corpus", "mammal", "--out", str(out), "--validations", "1", *small]
    recipe("language_models").main(arguments)
    bundle = load_bundle(out)
    assert bundle.card["recipe"] == "recipes/language_models.py" and (RECIPES.parent / bundle.card["recipe"]).is_file()
    texts = set(recipe("language_corpora").MAMMAL_TEXTS)
    assert set(bundle.card["metrics"]) == texts
    assert all(
        any(text in name and name.startswith("Markov model of order") for name in bundle.card["baselines"])
        for text in texts
    )
    assert "bases to learn from" in capsys.readouterr().out
    weights = (out / "model.safetensors").read_bytes()
    spoiled = json.loads((out / "card.json").read_text())
    spoiled["metrics"] = spoiled["baselines"] = {}
    spoiled["limits"].append(f"{recipe('language_models').BEATEN}: a text that is not there any more by 0.100.")
    (out / "card.json").write_text(json.dumps(spoiled))
    recipe("language_models").main([*arguments[:6], "--judge"])
    again = load_bundle(out)
    assert (out / "model.safetensors").read_bytes() == weights and again.config == bundle.config
    assert again.card["limits"] == bundle.card["limits"] and set(again.card["baselines"]) == set(bundle.card["baselines"])
    for text in texts:
        # The weights that were saved are rounded to 16 bits.
        found, first = (item.card["metrics"][text]["bits_per_base"] for item in (again, bundle))
        assert found == pytest.approx(first, abs=1e-3)
    assert not any("not there any more" in item for item in again.card["limits"])


def test_bacteria_hold_out_species_and_blank_the_reserved_stretch(recipe, tmp_path, make_dna, monkeypatch):
    module = recipe("language_corpora")
    monkeypatch.setattr(module, "RESERVED", (100, 300))
    folder = tmp_path / "data" / "bacteria"
    names = (f"{module.ECOLI}.fna.gz", "Vibrio_cholerae__a.fna.gz", "Vibrio_anguillarum__b.fna.gz", "Bacillus__c.fna.gz")
    rows = ["file\tspecies\taccession"]
    for name in names:
        write_fasta(folder / name, [(name, make_dna(2_000))])
        rows.append(f"{name}\tsome species\tx1")
    (folder / "MANIFEST.tsv").write_text("\n".join(rows) + "\n")
    found = module.read_corpora(tmp_path / "data", "bacteria", others=0.5)
    assert [item["name"] for item in found.train.files] == [names[3], names[0]]
    assert found.train.repeats == [0.5, 1.0] and list(found.texts) == ["Vibrio cholerae", "held-out species"]
    blanked = found.train.records[1] == AMBIGUOUS_CODE
    assert blanked[100:300].all() and blanked.sum() == 200
    assert found.train.files[0]["source"] == "some species x1"
    alone = module.read_corpora(tmp_path / "data", "ecoli").train
    assert [item["name"] for item in alone.files] == [names[0]]


# --- data reduction ---


@pytest.fixture
def curve(recipe, task_of, toy_language_model_path, monkeypatch, make_dna):
    """A function options -> curve over generated windows: gene starts have an ATG in their middle."""
    module = recipe("ecoli_reduction")
    rng = np.random.default_rng(2)
    letters = [make_dna(60) for _ in range(140)]

    def build(genome, **held_out):
        label = np.arange(140) % 2
        rows = {
            "sequence": [f"{text[:30]}ATGATG{text[36:]}" if mark else text for text, mark in zip(letters, label)],
            "label": label,
            "split": np.where(np.arange(140) < 30, "test", np.where(np.arange(140) < 40, "valid", "train")),
            "excluded": (np.arange(140) >= 130).astype(int),
        }
        return pd.DataFrame(rows).sample(frac=1, random_state=rng.integers(1)), {"written": {"train": 100}}

    monkeypatch.setattr(module, "read_genbank", lambda path: None)
    monkeypatch.setattr(module, "source_file", lambda data, name: None)
    monkeypatch.setattr(module, "build", build)
    return lambda **options: module.Curve(task_of({"toy-lm": toy_language_model_path}, base="toy-lm", **options))


def test_draws_are_balanced_apart_and_the_same_for_all_methods(recipe, curve, monkeypatch):
    piece = recipe("ecoli_reduction").Piece
    found = curve(sizes=[20])
    train, valid = found.parts(piece(20, 1, "pretrained"))
    assert np.bincount(train.labels).tolist() == [10, 10] and valid is None
    assert not set(train.sequences) & set(found.test.sequences)
    assert found.parts(piece(20, 1, "naive"))[0].sequences == train.sequences
    assert found.parts(piece(20, 2, "naive"))[0].sequences != train.sequences
    monkeypatch.setattr(recipe("ecoli_reduction"), "VALID_FROM", 40)
    train, valid = found.parts(piece(40, 1, "naive"))
    assert np.bincount(train.labels).tolist() == [18, 18] and np.bincount(valid.labels).tolist() == [2, 2]
    assert not set(train.sequences) & set(valid.sequences)
    # Windows outside the independent set are not drawn from, and 0 stands for all of the others.
    assert len(found.train.labels) == 90 and curve(sizes=[0, 20]).sizes == [20, 90]


def test_few_labels_are_read_more_often_and_never_in_tiny_batches(recipe):
    module = recipe("ecoli_reduction")
    plan = ClassifierSettings(schedule=(Schedule(5, 0.01, unfreeze=1), Schedule(6, 0.002)), batch_size=2)
    few = module.enough_steps(plan, 20)
    assert few.batch_size == 8 and [phase.epochs for phase in few.schedule] == [20, 24]
    assert module.enough_steps(plan, 100).batch_size == 16
    assert [phase.epochs for phase in module.enough_steps(plan, 200).schedule] == [5, 6]
    assert module.enough_steps(plan, 450) == plan


def test_texts_that_a_markov_model_reads_better_are_named(recipe):
    module = recipe("language_models")
    one, two = np.full(10, 3 * math.log(2)), np.full(10, 6 * math.log(2))
    ahead = module.TextLosses(ours=one, markov=two, best=two, best_order=3)
    behind = module.TextLosses(ours=two, markov=two, best=one, best_order=3)
    assert module.beaten_words({"chr21": ahead}, 3) == []
    assert module.beaten_words({"chr21": ahead, "dog": behind}, 3) == [
        "A Markov model of the bases needs fewer bits per base: dog by 1.000."
    ]


def test_the_first_draw_of_every_size_comes_first_and_larger_sizes_have_fewer(curve):
    found = curve(sizes=[40, 20], draws=3, fewer=[[30, 2]], methods=["naive", "kmer-logistic"])
    order = [(piece.size, piece.draw, piece.method) for piece in found.pieces()]
    assert [item[:2] for item in order[::2]] == [(20, 1), (40, 1), (20, 2), (40, 2), (20, 3)]
    assert order[:2] == [(20, 1, "naive"), (20, 1, "kmer-logistic")]


def test_too_many_labels_are_refused(curve):
    with pytest.raises(GenolmError, match="sizes has 500; there are 20 to 90 labels"):
        _ = curve(sizes=[500]).sizes


def test_a_reduction_curve_goes_on_and_says_what_is_missing(recipe, curve, monkeypatch):
    module = recipe("ecoli_reduction")
    # What a plan does with few labels is tested elsewhere; here one pass is enough.
    monkeypatch.setattr(module, "enough_steps", lambda settings, labels: replace(settings, schedule=(Schedule(1, 0.01),)))
    task = curve(sizes=[40], draws=2, methods=["pretrained", "positional-logistic"]).task
    task.options["minutes"] = 0
    part = module.run(task)
    assert part["missing"] == [f"draw {draw}, all or some methods: 40 labels" for draw in (1, 2)]
    # Baselines are no training of ours, and what is not there yet is told of all the same.
    assert set(part["scores"]["n40"]) == {"positional-logistic"} and set(part["methods"]) > {"pretrained"}
    del task.options["minutes"]
    result = module.run(task)
    assert result["missing"] == [] and list(result["scores"]) == ["n40"]
    assert result["protocols"]["n40"]["rows"] == {"train": 40, "valid": 0, "test": 30}
    seeds = result["scores"]["n40"]["positional-logistic"]["seeds"]
    assert [item["seed"] for item in seeds] == [1, 2] and seeds[0]["metrics"]["accuracy"]["value"] > 0.8
    (gap,) = result["differences"]
    mean = {
        key: np.mean([seed["metrics"]["accuracy"]["value"] for seed in item["seeds"]])
        for key, item in result["scores"]["n40"].items()
    }
    assert gap["value"] == pytest.approx(mean["pretrained"] - mean["positional-logistic"])
    names = [trace["name"] for trace in result["figures"][0]["plotly"]["data"]]
    assert "From the bacterial language model" in names and any("Genomic-ULMFiT" in name for name in names)
    monkeypatch.setattr(module, "train_classifier", None)
    assert module.run(task)["scores"] == result["scores"]
    # On another machine the baselines are done again and ours stay, in the figure too.
    (task.out / "parts.json").unlink()
    elsewhere = replace(task, options={**task.options, "minutes": 0}, earlier=json.loads(json.dumps(result)))
    found = module.run(elsewhere)
    assert found["scores"]["n40"]["pretrained"] == result["scores"]["n40"]["pretrained"]
    assert found["missing"] == [] and found["differences"] == result["differences"]
    assert found["figures"][0]["plotly"]["data"] == result["figures"][0]["plotly"]["data"]


@pytest.mark.parametrize(("size", "parts"), [(40, [32, 8]), (60, [54, 6])])
def test_baselines_learn_from_all_drawn_labels_once_their_penalty_is_chosen(recipe, curve, monkeypatch, size, parts):
    module = recipe("ecoli_reduction")
    monkeypatch.setattr(module, "VALID_FROM", 60)
    found, seen = curve(sizes=[size]), []

    class Seen(Majority):
        def fit(self, train, valid):
            seen.append([len(train.labels), len(valid.labels)])
            return super().fit(train, valid)

        def refit(self, every):
            seen.append(sorted(every.sequences))
            return self

    monkeypatch.setattr(module, "BASELINES", dict.fromkeys(module.BASELINES, lambda seed: Seen()))
    piece = module.Piece(size, 1, "positional-logistic")
    train, valid = found.parts(piece)
    found._baseline(piece, train, valid)
    assert seen == [parts, sorted([*train.sequences, *(valid.sequences if valid else ())])] and len(seen[1]) == size
    # The small network stops by the other part, so it learns from the first alone.
    seen.clear()
    found._baseline(piece._replace(method="cnn"), train, valid)
    assert seen == [parts]


def test_baselines_that_were_not_refitted_are_done_again(recipe, curve):
    module = recipe("ecoli_reduction")
    task = curve(sizes=[20], draws=1, methods=["kmer-logistic"]).task
    first = module.run(task)
    kept = json.loads((task.out / "parts.json").read_text())
    (part,) = kept["parts"].values()
    assert part["facts"].pop("refit") is True
    part["result"]["metrics"]["accuracy"]["value"] = 0.0
    (task.out / "parts.json").write_text(json.dumps(kept))
    again = module.run(task)["scores"]["n20"]["kmer-logistic"]["seeds"]
    assert again[0]["metrics"] == first["scores"]["n20"]["kmer-logistic"]["seeds"][0]["metrics"]
    # Nor do such figures of an earlier result stay.
    earlier = {**first, "methods": {"kmer-logistic": {**first["methods"]["kmer-logistic"], "settings": {}}}}
    earlier["scores"] = {"n20": {"kmer-logistic": {"seeds": [{**again[0], "seed": 7}]}}}
    seeds = module.run(replace(task, earlier=earlier))["scores"]["n20"]["kmer-logistic"]["seeds"]
    assert [item["seed"] for item in seeds] == [1]


# --- embeddings ---


def test_nearest_k_mers_share_their_beginning(recipe):
    module = recipe("embedding_map")
    kmers = [a + b + c for a in "ACGT" for b in "ACGT" for c in "ACGT"]
    by_beginning = np.array([[hash_of(kmer[:2], 16), *(0.01 * np.eye(4)["ACGT".index(kmer[2])])] for kmer in kmers])
    rows = np.concatenate([np.eye(16)[by_beginning[:, 0].astype(int)], by_beginning[:, 1:]], axis=1)
    assert module.same_beginning(kmers, rows).mean() == 1.0
    assert module.same_beginning(kmers, np.eye(64)).mean() == pytest.approx(3 / 63)


def hash_of(word, size):
    """Return a number below ``size`` that is another for each word of two bases."""
    return (4 * "ACGT".index(word[0]) + "ACGT".index(word[1])) % size


def test_neighbours_of_a_family_are_of_another_genus(recipe):
    module = recipe("gene_neighbours")
    lineages = pd.DataFrame({"family": list("ffffgg"), "genus": ["a", "a", "b", "b", "c", "c"]})
    rows = np.array([[1, 0], [0.9, 0.1], [0.8, 0.3], [0.7, 0.4], [-1, 0.2], [-1, 0.1]])
    genus, family = (module.neighbours(rows, lineages, level) for level in ("genus", "family"))
    assert genus.right.tolist() == [1] * 6 and genus.rows.tolist() == [0, 1, 2, 3, 4, 5]
    # Genus c is alone in its family, so it is not asked.
    assert family.rows.tolist() == [0, 1, 2, 3] and family.right.tolist() == [1] * 4
    assert family.within(np.arange(6) >= 2).rows.tolist() == [2, 3]
    distinct = recipe("embedding_map").distinct
    assert distinct(pd.DataFrame({"sequence": ["A", "A", "C", "G"], "lineage": list("wxyz")}), None)[
        "lineage"
    ].tolist() == ["w", "y", "z"]


def test_a_layer_is_chosen_by_the_other_half_of_the_families(recipe):
    module = recipe("gene_neighbours")
    lineages = pd.DataFrame({"genus": np.repeat(list("abcdefgh"), 4), "family": np.repeat(list("stuv"), 8)})
    choosing = module.choosing_half(lineages["family"], 1)
    assert lineages["family"][choosing].nunique() == lineages["family"][~choosing].nunique() == 2
    rng = np.random.default_rng(2)
    noise, places = rng.normal(size=(32, 20)), rng.normal(size=(8, 20))[np.repeat(np.arange(8), 4)]
    # A layer is right for one half and noise for the other; two loud units hide what both layers hold.
    loud = 1000 * rng.normal(size=(32, 2))
    layers = [np.hstack([np.where(half[:, None], places, noise), loud]) for half in (~choosing, choosing)]
    read = module.read_by(layers, lineages, choosing)
    layer, look = read.chosen
    assert layer == 1 and look != module.PLAIN
    genus = read.answers[read.chosen]["genus"]
    assert genus.within(choosing).right.mean() == 1 > genus.within(~choosing).right.mean() + 0.2
    assert read.last() == (1, module.PLAIN)
    assert read.answers[read.last()]["genus"].within(choosing).right.mean() < 0.6


def test_looks_bring_units_and_directions_to_one_spread(recipe):
    module = recipe("layer_states")
    rows = np.random.default_rng(1).normal(size=(200, 5)) * [1, 10, 100, 1, 0] + 7
    assert np.allclose(module.centred(rows).mean(axis=0), 0)
    assert np.allclose(module.evened(rows).std(axis=0), [1, 1, 1, 1, 0])
    white = module.whitened(rows)
    # The unit that never varies is no direction.
    assert np.allclose(white.T @ white / len(rows), np.eye(4))


def test_layer_means_do_not_depend_on_the_batch(recipe, toy_language_model_path, make_dna, monkeypatch):
    module = recipe("layer_states")
    bundle = load_bundle(toy_language_model_path)
    sequences = [make_dna(length) for length in (90, 31, 60)]
    tokenizer = module.KmerTokenizer(bundle.config.tokenizer)
    model = bundle.build()
    together = module.layer_means(model, tokenizer, sequences)
    assert [layer.shape for layer in together] == [
        (3, width) for width in (model.encoder.config.emb, *(out for _, out in model.encoder.config.widths()))
    ]
    monkeypatch.setattr(module, "BATCH_TOKENS", 1)
    alone = module.layer_means(model, tokenizer, sequences)
    # The toy reads a 3-mer every 2 bases, so a sequence and its rest from base 2 on share one of two readings.
    codes = [encode_bases(item) for item in sequences]
    first, shifted = (module.read_layers(model, tokenizer, [item[start:] for item in codes]) for start in (0, 1))
    for number, layer in enumerate(together):
        near = 0.02 * np.abs(layer).max()
        np.testing.assert_allclose(layer, alone[number], atol=near)
        np.testing.assert_allclose(layer, (first[number] + shifted[number]) / 2, atol=near)
    # The first layer is the embedding and the last what the encoder gives, worked out here one sequence at a time.
    tokens, lengths = module.pack([tokenizer.encode(codes[0])])
    with torch.inference_mode():
        given = model.encoder(tokens).hidden[0, : lengths[0]].mean(0).numpy()
        looked_up = model.encoder.embedding.weight[tokens[0]].mean(0).numpy()
    np.testing.assert_allclose(first[-1][0], given, atol=0.02 * np.abs(given).max())
    np.testing.assert_allclose(first[0][0], looked_up, atol=0.02 * np.abs(looked_up).max())


def test_maps_come_with_figures(recipe, task_of, toy_language_model_path, make_dna, tmp_path):
    module = recipe("embedding_map")
    task = task_of({"bacteria-lm": toy_language_model_path}, seed=3)
    records = []
    for number in range(24):
        family, genus = number // 8, number // 4
        core = np.random.default_rng(genus).choice(list("ACGT"), 150)
        records.append((f"S{number} C{family % 2} O{family} F{family} G{genus}", "".join(core) + make_dna(8)))
    write_fasta(task.data / module.REFERENCES, records)
    result = module.run(task)
    assert set(result["missing"]) == {f"the model {name} is not there yet" for name in ("bacteria-lm-dense", "mammal-lm")}
    genus = result["scores"]["genus"]
    assert set(genus) == {"bacteria-lm", "bacteria-lm-last", "naive", "naive-last", "kmer-counts"}
    genera, families = (result["protocols"][key] for key in ("genus", "family"))
    assert genera["rows"] == {"valid": 8, "test": 16}
    assert (genera["drawn_groups"], genera["drawn_over"]) == (4, "genera")
    assert (families["drawn_groups"], families["drawn_over"]) == (2, "families")
    # The same network without pre-training is found as such.
    path = tmp_path / "result.json"
    frame = frame_of(find_recipe(RECIPES, "embedding-map"))
    path.write_text(json.dumps(frame | result))
    row = read_result(path)
    assert row.main("genus") == "bacteria-lm" and row.naive("genus", "bacteria-lm") == "naive"
    assert row.gap("genus", "bacteria-lm", "naive") and row.best_baseline("genus") == "kmer-counts"
    assert row.methods["naive"].network == row.methods["bacteria-lm"].network is not None
    assert genus["kmer-counts"]["seeds"][0]["metrics"]["accuracy"]["value"] == 1.0
    assert result["scores"]["kmers"]["one-hot"]["seeds"][0]["metrics"]["accuracy"]["value"] == pytest.approx(3 / 63)
    assert [item["name"] for item in result["figures"]] == [
        *("layers-genus", "layers-family", "16s-bacteria-lm", "16s-kmer-counts", "kmers-bacteria-lm-embedding", "kmers-one-hot")
    ]
    assert all("template" not in item["plotly"]["layout"] for item in result["figures"])
    letters = [trace["text"][0] for trace in result["figures"][4]["plotly"]["data"]]
    assert len(letters) == 64 and set("".join(letters)) == set("ACGT")
    assert json.loads(json.dumps(result)) == result


# --- saliency ---


def test_boxes_are_counted_from_the_start(recipe):
    module = recipe("saliency_plots")
    masks = module.box_masks(120, 80)
    assert np.flatnonzero(masks["minus_10"]).tolist() == list(range(66, 75))
    assert np.flatnonzero(masks["minus_35"]).tolist() == list(range(42, 51))
    profiles = np.full((5, 120), -1.0)
    profiles[:, 66:75] = 2.0
    profiles[:, 100] = 2.0
    figures = module.box_figures(profiles, 80)
    assert figures["share_in_boxes"].value == pytest.approx(0.9)
    assert figures["minus_10"].value == 2.0 and figures["minus_35"].value == -1.0
    assert module.box_figures(np.ones((2, 120)), 80)["share_in_boxes"].value == pytest.approx(18 / 120)


def test_only_promoters_of_test_blocks_are_plotted(recipe, make_dna):
    module = recipe("saliency_plots")
    common = recipe("common")
    genome = common.AnnotatedGenome("chr", make_dna(900_000), [])
    tss = pd.DataFrame({"name": ["near", "far"], "position": [1_000, 700_000], "strand": ["-", "+"]})
    window = Window(120, 80, "TSS")
    site = module.ecoli_site("near", genome, tss, window)
    assert site.sequence == common.reverse_complement(genome.sequence[961:1_081]) and site.sequence[80] == {
        "A": "T",
        "C": "G",
        "G": "C",
        "T": "A",
    }[genome.sequence[1_000]]
    splits = module.block_splits(900_000, (0, 0), module.Settings())
    if splits[14] != "test":
        with pytest.raises(GenolmError, match="'far' lies in .* blocks"):
            module.ecoli_site("far", genome, tss, window)
    with pytest.raises(GenolmError, match="has 0 promoters called 'none'"):
        module.ecoli_site("none", genome, tss, window)


def test_saliency_of_toy_promoters(recipe, task_of, toy_bundle_path, make_dna, monkeypatch):
    module = recipe("saliency_plots")
    common = recipe("common")
    genome = common.AnnotatedGenome("chr", make_dna(3_000), [])
    tss = pd.DataFrame({"name": ["lacZp1"], "position": [1_000], "strand": ["+"]})
    rows = [(make_dna(60), "test", label, "tss" if label else "intergenic") for label in (0, 1) * 6]
    table = pd.DataFrame(rows, columns=["sequence", "split", "label", "kind"])
    monkeypatch.setattr(module, "read_genbank", lambda path: genome)
    monkeypatch.setattr(module, "source_file", lambda data, name: None)
    monkeypatch.setattr(module, "read_tss", lambda path, genome: (tss, {}))
    monkeypatch.setattr(module, "build", lambda genome, tss, settings: type("Built", (), {"table": table}))
    monkeypatch.setattr(module, "SMALL", {"lengths": (9,), "fills": 2})
    task = task_of({"ecoli-promoter": toy_bundle_path}, promoters=["lacZp1"], windows=4, fills=2)
    result = module.run(task)
    assert result["missing"] == ["the model human-promoter is not there yet"]
    assert [item["name"] for item in result["figures"]] == ["saliency-ecoli-lacZp1", "saliency-ecoli-mean"]
    assert result["protocols"]["promoters"]["rows"] == {"test": 4}
    even = result["scores"]["no-promoters"]["even"]["seeds"][0]["metrics"]["share_in_boxes"]["value"]
    assert even == pytest.approx(18 / 60)
    monkeypatch.setattr(module, "perturbation_saliency", None)
    assert module.run(task)["scores"] == result["scores"]


# --- scan of 40 kb ---


def test_the_originals_rules(recipe):
    module = recipe("scan_40kb")
    values = np.zeros(500, dtype=np.float32)
    # Sites of the track are 10, 12, 14, ...; the windows picked are every 50 bases from the stretch's start on.
    values[[45, 46, 70]] = 0.9
    track = Track("chr", "+", 10, 2, 1, values)
    calls = module.original_calls(track, Window(120, 80, "TSS"), (100, 400))
    assert calls["summit"].tolist() == [10 + 2 * 45 - 80 + 60, 10 + 2 * 70 - 80 + 60] and set(calls["strand"]) == {"+"}


def test_calls_are_judged_by_strand_and_block(recipe):
    module = recipe("scan_40kb")
    calls = pd.DataFrame({"contig": "chr", "summit": [110, 500, 3_000], "strand": ["+", "-", "+"]})
    sites = pd.DataFrame({"contig": "chr", "position": [100, 510, 2_990, 3_900], "strand": ["+", "+", "+", "-"]})
    figures = module.call_figures(calls, {"strong": sites, "all": sites.iloc[:1]}, (0, 4_000))
    assert figures["precision"].value == pytest.approx(2 / 3) and figures["recall"].value == pytest.approx(2 / 4)
    assert figures["recall_all"].value == 1.0 and figures["precision"].low <= 2 / 3 <= figures["precision"].high
    track = Track("chr", "+", 0, 2, 1, np.arange(30, dtype=np.float32))
    assert module.binned(track, (0, 60)).tolist() == [9.0, 19.0, 29.0]


def test_a_scan_of_a_toy_genome(recipe, task_of, toy_bundle_path, make_dna, monkeypatch):
    module = recipe("scan_40kb")
    common = recipe("common")
    genome = common.AnnotatedGenome("chr", make_dna(4_000), [])
    tss = pd.DataFrame(
        {"position": [1_200, 1_900, 2_500], "strand": ["+", "-", "+"], "confidence": ["C", "S", "W"], "agrees": True}
    )
    rows = [(make_dna(60), part, label) for part in ("train", "valid") for label in (0, 1) * 15]
    table = pd.DataFrame(rows, columns=["sequence", "split", "label"])
    monkeypatch.setattr(module, "read_genbank", lambda path: genome)
    monkeypatch.setattr(module, "source_file", lambda data, name: None)
    monkeypatch.setattr(module, "read_tss", lambda path, genome: (tss, {}))
    monkeypatch.setattr(module, "build", lambda genome, tss, settings: type("Built", (), {"table": table}))
    monkeypatch.setattr(module, "DRAWS", 20)
    task = task_of({"ecoli-promoter": toy_bundle_path}, stride=10, stretches={"original": [1_000, 3_000]})
    result = module.run(task)
    facts = result["protocols"]["original"]
    assert facts["rows"] == {"test": 2} and facts["record"]["known_starts"] == {"strong": 2, "all": 3, "genes": 0}
    scores = result["scores"]["original"]
    assert set(scores) == {"toy-promoter", "original-rules", "kmer-logistic", "positional-logistic"}
    assert {"auprc", "precision", "recall", "auprc_all", "recall_genes"} <= set(
        scores["toy-promoter"]["seeds"][0]["metrics"]
    )
    assert "auprc" not in scores["original-rules"]["seeds"][0]["metrics"]
    assert {item["other"] for item in result["differences"]} == {"kmer-logistic", "positional-logistic"}
    lines = [trace for trace in result["figures"][0]["plotly"]["data"] if trace["mode"] == "lines"]
    assert [len(trace["y"]) for trace in lines] == [100, 100] and max(filter(None, lines[0]["y"])) > 0
    monkeypatch.setattr(module, "scan_genome", None)
    assert module.run(task)["scores"] == result["scores"]


def test_a_scan_of_the_reserved_region_is_refused(recipe, task_of, toy_bundle_path, make_dna, monkeypatch):
    module = recipe("scan_40kb")
    genome = replace(recipe("common").AnnotatedGenome("NC_000913.3", make_dna(100), []))
    monkeypatch.setattr(module, "read_genbank", lambda path: genome)
    monkeypatch.setattr(module, "source_file", lambda data, name: None)
    monkeypatch.setattr(module, "read_tss", lambda path, genome: (pd.DataFrame(), {}))
    task = task_of({"ecoli-promoter": toy_bundle_path}, stretches={"original": [3_599_000, 3_600_100]})
    with pytest.raises(GenolmError, match="original overlaps the reserved bases"):
        module.run(task)


def test_a_figure_that_is_too_large_is_refused(recipe):
    module = recipe("run_parts")
    plot = recipe("genolm.figure_parts").new_figure()
    plot.add_scatter(x=list(range(40_000)))
    with pytest.raises(GenolmError, match="The figure wide takes"):
        module.figure_part("wide", "Wide", "A line.", plot)
    assert module.rounded([1.23456, float("nan")], 2) == [1.23, None]
