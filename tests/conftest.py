"""What several tests share: a private workspace, a toy genome, toy bundles."""

import numpy as np
import pytest

import genolm.compute  # noqa: F401  sets the OpenMP wait policy before torch is loaded
import torch

from genolm.classifier import SequenceClassifier
from genolm.config import PRESETS, HeadConfig, TokenizerConfig, Window
from genolm.model import LanguageModel
from genolm.registry import BundleConfig, save_bundle


@pytest.fixture(autouse=True)
def private_workspace(tmp_path_factory, monkeypatch):
    """Keep every test out of the user's workspace."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("GENOLM_HOME", str(home))
    return home


@pytest.fixture
def rng():
    """A seeded generator."""
    return np.random.default_rng(7)


def random_dna(rng, length):
    """Return random bases as text."""
    return "".join(rng.choice(list("ACGT"), length))


@pytest.fixture
def make_dna(rng):
    """A function length -> random bases."""
    return lambda length: random_dna(rng, length)


@pytest.fixture(scope="session")
def toy_bundle_path(tmp_path_factory):
    """A tiny random binary classifier of 60 bp windows with a TSS at 40."""
    torch.manual_seed(3)
    tokenizer, head = TokenizerConfig(3, 2), HeadConfig("binary", ("other", "promoter"))
    model = SequenceClassifier(PRESETS["tiny"], head, 67)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2.0)
    config = BundleConfig(
        name="toy-promoter",
        kind="classifier",
        title="Toy promoters",
        purpose="A random model for tests.",
        tokenizer=tokenizer,
        encoder=PRESETS["tiny"],
        head=head,
        window=Window(60, 40, "TSS"),
    )
    folder = tmp_path_factory.mktemp("bundles") / "toy-promoter"
    save_bundle(folder, config, model.state_dict(), {"title": "Toy promoters", "limits": ["Random weights."]})
    return folder


@pytest.fixture(scope="session")
def toy_language_model_path(tmp_path_factory):
    """A tiny random language model of 3-mers, stride 2."""
    torch.manual_seed(4)
    model = LanguageModel(PRESETS["tiny"], 67)
    config = BundleConfig(
        name="toy-lm",
        kind="language-model",
        title="Toy language model",
        tokenizer=TokenizerConfig(3, 2),
        encoder=PRESETS["tiny"],
    )
    folder = tmp_path_factory.mktemp("bundles") / "toy-lm"
    save_bundle(folder, config, model.state_dict(), {"title": "Toy language model"})
    return folder
