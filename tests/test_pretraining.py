import math

import numpy as np
import pytest

from genolm.config import TokenizerConfig
from genolm.errors import SettingsError, TrainingError
from genolm.language import token_losses
from genolm.pretraining import PretrainSettings, bits_per_base, held_out_text, pretrain, split_corpus
from genolm.registry import load_bundle
from genolm.tokenizer import KmerTokenizer, encode_bases

QUICK = PretrainSettings(
    **{"preset": "tiny", "k": 2, "stride": 2, "tokens": 60_000, "rows": 8, "bptt": 20, "piece": 500, "lr": 2e-2},
    **{"validations": 3, "drop_mult": 0.0, "alpha": 0.0, "beta": 0.0},
)


@pytest.fixture
def genome_path(tmp_path, rng):
    """A plasmid and a chromosome of a first-order chain that prefers ACGT in turn."""
    steps = np.where(rng.random(60_000) < 0.7, 1, rng.integers(0, 4, 60_000))
    bases = "".join("ACGT"[code] for code in np.cumsum(steps) % 4)
    path = tmp_path / "genome.fa"
    path.write_text(f">chromosome\n{bases[:57_000]}\n>plasmid\n{bases[57_000:]}\n")
    return path


def test_a_genome_becomes_a_language_model_that_knows_its_chain(genome_path, tmp_path):
    folder = pretrain([genome_path], tmp_path / "chain-lm", settings=QUICK)
    bundle = load_bundle(folder)
    assert bundle.config.kind == "language-model" and bundle.config.tokenizer == TokenizerConfig(2, 2)
    told = bundle.card["metrics"]["held-out"]["bits_per_base"]
    entropy = -(0.775 * math.log2(0.775) + 3 * 0.075 * math.log2(0.075))
    assert entropy - 0.05 < told["value"] < entropy + 0.15
    assert told["low"] < told["value"] < told["high"]
    assert "plasmid" in " ".join(bundle.card["limits"])
    again = pretrain([genome_path], tmp_path / "more-lm", settings=QUICK, base=str(folder))
    assert load_bundle(again).card["metrics"]["held-out"]["bits_per_base"]["value"] < told["value"] + 0.02


def test_an_untrained_model_scores_two_bits(toy_language_model_path, make_dna):
    model = load_bundle(toy_language_model_path).build()
    text = held_out_text([encode_bases(make_dna(30_000))], KmerTokenizer(TokenizerConfig(3, 2)), bases=30_000)
    losses = token_losses(model, text)
    assert losses.mean() == pytest.approx(math.log(67), abs=0.05)
    assert bits_per_base(model, text, 2)["value"] == pytest.approx(losses.mean() / 2 / math.log(2))


def test_one_record_is_cut_and_several_are_held_out_whole(tmp_path, make_dna):
    path = tmp_path / "one.fa"
    path.write_text(f">only\n{make_dna(40_000)}\n")
    train, valid = split_corpus([path])
    assert len(train.records[0]) == 38_000 and len(valid.records[0]) == 2_000
    assert valid.names == ["one.fa:only from base 38001"]


def test_too_little_and_the_wrong_base_are_refused(tmp_path, toy_bundle_path, make_dna):
    path = tmp_path / "short.fa"
    path.write_text(f">s\n{make_dna(300)}\n")
    with pytest.raises(TrainingError, match="300 bases"):
        pretrain([path], tmp_path / "x", settings=QUICK)
    with pytest.raises(SettingsError, match="is a classifier"):
        pretrain([path], tmp_path / "x", settings=QUICK, base=str(toy_bundle_path))
