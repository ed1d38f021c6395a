"""The models that come with genolm: they load, their cards are whole, they know textbook sites."""

import json

import pytest

from genolm import workspace
from genolm.language_scores import sample_bits
from genolm.predict import Predictor
from genolm.record import file_facts
from genolm.registry import list_bundles, load_bundle
from genolm.samples import cut_at_site, sample_pieces
from genolm.sequences import open_fasta, parse_sequences
from genolm.tokenizer import KmerTokenizer

BUILTIN = sorted(path.name for path in workspace.builtin_models_dir().iterdir() if path.is_dir())
MEGABYTE = 1_000_000


@pytest.mark.parametrize("name", BUILTIN)
def test_each_has_a_card_with_intervals_data_hashes_and_limits(name):
    card = load_bundle(name).card
    for scores in card["metrics"].values():
        for metric, value in scores.items():
            assert value["low"] <= value["high"], metric
    assert card["limits"] and card["licence"] and card["date"]
    assert all(len(item["sha256"]) == 64 for item in card["data"])
    assert (workspace.builtin_models_dir().parents[1] / card["recipe"]).is_file()


def figures(found):
    """Yield every figure with an interval of nested scores."""
    for item in found.values() if isinstance(found, dict) else found if isinstance(found, list) else ():
        if isinstance(item, dict) and {"value", "low", "high"} <= set(item):
            yield item
        else:
            yield from figures(item)


def test_every_figure_lies_within_its_interval():
    told = [load_bundle(name).card for name in BUILTIN]
    told += [json.loads(path.read_text()) for path in workspace.results_dir().glob("*.json")]
    found = [item for card in told for item in figures(card) if None not in item.values()]
    assert len(found) > 1000
    assert not [item for item in found if not item["low"] <= item["value"] <= item["high"]]


def test_they_are_listed_and_small():
    infos = {info.name: info for info in list_bundles() if info.builtin}
    assert {
        *("bacteria-lm", "mammal-lm", "ecoli-promoter", "ecoli-gene-start"),
        *("bacterial-promoters", "human-promoter", "mammal-enhancer", "rna-coding", "genus-16s"),
    } <= set(infos)
    assert all(info.error is None and info.size < 25 * MEGABYTE for info in infos.values())
    assert sum(info.size for info in infos.values()) < 150 * MEGABYTE


def known_sites(kind, window):
    """Return the sample's sites of a kind, cut to a model's window around the site at base 201."""
    text = (workspace.samples_dir() / "ecoli_known_sites.fa").read_text(encoding="ascii")
    first = 200 - window.anchor
    return [
        item.sequence[first : first + window.length]
        for item in parse_sequences(text)
        if f"kind={kind} " in item.description
    ]


def called(name, kind, *, unknown=0):
    """Return the share of known sites of a kind that a model calls positive, with N in place of the last bases."""
    bundle = load_bundle(name)
    pieces = [piece[: len(piece) - unknown] + "N" * unknown for piece in known_sites(kind, bundle.config.window)]
    predicted = Predictor(bundle, precision="fp32").predict(pieces).predicted
    return sum(answer == bundle.config.head.classes[1] for answer in predicted) / len(predicted)


def test_gene_starts_are_told_from_gene_interiors():
    assert called("ecoli-gene-start", "gene_start") >= 0.9
    assert called("ecoli-gene-start", "inside_gene") <= 0.2


@pytest.mark.parametrize("unknown", [1, 15, 35])
def test_unknown_bases_far_from_the_site_leave_the_answer(unknown):
    assert called("ecoli-gene-start", "gene_start", unknown=unknown) >= 0.9
    assert called("ecoli-gene-start", "inside_gene", unknown=unknown) <= 0.2


def test_promoters_are_told_from_gene_interiors():
    assert called("ecoli-promoter", "promoter") >= called("ecoli-promoter", "inside_gene") + 0.4


@pytest.mark.parametrize(
    ("name", "kind", "least"), [("human-promoter", "promoter", 9), ("rna-coding", "coding", 9)]
)
def test_most_records_of_the_own_sample_are_told_right(name, kind, least):
    bundle = load_bundle(name)
    with open_fasta(workspace.samples_dir() / bundle.card["sample"]["file"]) as opened:
        records = list(opened.records())
    pieces = [cut_at_site(record, bundle.config.window) for record in records]
    yes = [item == kind for item in Predictor(bundle, precision="fp32").predict(pieces).predicted]
    right = [answer == (f"kind={kind} " in item.description) for answer, item in zip(yes, records, strict=True)]
    assert sum(right) >= least


def test_what_the_enhancer_model_gets_wrong_of_its_sample_is_on_its_card():
    bundle = load_bundle("mammal-enhancer")
    path = workspace.samples_dir() / bundle.card["sample"]["file"]
    with open_fasta(path) as opened:
        true = ["kind=enhancer" in record.description for record in opened.records()]
    said = bundle.card["sample"]["records"].values()
    threshold = bundle.config.calibration.threshold
    right = [(chances["enhancer"] >= threshold) == answer for chances, answer in zip(said, true, strict=True)]
    assert right == [True, True, False, False]
    assert any("it tells two right: the enhancer, and one of three" in limit for limit in bundle.card["limits"])


def with_sample():
    return [name for name in BUILTIN if "records" in load_bundle(name).card["sample"]]


@pytest.mark.parametrize("name", with_sample())
def test_a_model_says_of_its_sample_what_its_card_says(name):
    bundle = load_bundle(name)
    told = bundle.card["sample"]
    path = workspace.samples_dir() / told["file"]
    assert file_facts(path)["sha256"] == told["sha256"]
    pieces = sample_pieces(path, bundle.config.window, told.get("kinds", ()))
    found = Predictor(bundle, precision="fp32").predict(list(pieces.values()))
    for name, row in zip(pieces, found.probabilities, strict=True):
        chances = dict(zip(bundle.config.head.classes, row.tolist(), strict=True))
        expected = told["records"][name]
        assert {key: chances[key] for key in expected} == pytest.approx(expected, abs=2e-3)
        assert max(chances, key=chances.get) in expected


@pytest.mark.parametrize("name", [name for name in BUILTIN if name not in with_sample()])
def test_a_language_model_reads_its_sample_as_its_card_says_and_no_shuffled_letters(name):
    bundle = load_bundle(name)
    told, path = bundle.card["sample"], workspace.samples_dir() / bundle.card["sample"]["file"]
    assert bundle.config.kind == "language-model" and file_facts(path)["sha256"] == told["sha256"]
    place = {key: told[key] for key in ("start", "end") if key in told}
    found = sample_bits(bundle.build(), KmerTokenizer(bundle.config.tokenizer), path, **place)
    assert found == {key: pytest.approx(told[key], abs=0.005) for key in ("bits_per_base", "bits_per_base_shuffled")}
    assert found["bits_per_base"] < found["bits_per_base_shuffled"] - 0.04
