import numpy as np
import pytest

import genolm.compute  # noqa: F401
import torch

from genolm.batches import pack
from genolm.classifier import Ensemble, SequenceClassifier, pool
from genolm.config import PRESETS, EncoderConfig, HeadConfig, TokenizerConfig
from genolm.errors import SettingsError
from genolm.tokenizer import PAD, SPECIAL_COUNT, KmerTokenizer


def test_pooling_is_last_max_mean_of_real_tokens():
    hidden = torch.tensor([[[1.0], [5.0], [3.0], [99.0]], [[-2.0], [-4.0], [-1.0], [-3.0]]])
    found = pool(hidden, torch.tensor([3, 4]))
    assert found.tolist() == [[3.0, 5.0, 3.0], [-3.0, -1.0, -2.5]]


def test_slots_are_means_of_equal_parts_of_the_real_tokens():
    hidden = torch.tensor([[[1.0], [5.0], [3.0], [99.0]], [[-2.0], [-4.0], [-1.0], [-3.0]]])
    found = pool(hidden, torch.tensor([3, 4]), slots=2)
    assert found[:, 3:].tolist() == [[3.0, 3.0], [-3.0, -2.0]]
    many = pool(hidden, torch.tensor([3, 4]), slots=4)
    assert many[1, 3:].tolist() == [-2.0, -4.0, -1.0, -3.0]


def test_padding_changes_nothing_and_the_commonest_kmer_is_not_taken_for_it():
    """The original masks token 1, its commonest k-mer, and pools padding in."""
    torch.manual_seed(0)
    tokenizer = KmerTokenizer(TokenizerConfig(3, 1))
    model = SequenceClassifier(PRESETS["tiny"], HeadConfig(), tokenizer.vocab_size).eval()
    poly_a = tokenizer.encode("A" * 30 + "CGT")
    alone = pack([poly_a])
    beside = pack([poly_a, tokenizer.encode("ACGT" * 30)])
    assert beside[0].shape[1] > alone[0].shape[1] and beside[0][0, -1] == PAD
    assert poly_a[0] == SPECIAL_COUNT
    with torch.no_grad():
        assert torch.allclose(model(*alone)[0], model(*beside)[0], atol=1e-5)
        features = model.features(*alone)
        hidden = model.encoder(alone[0]).hidden[0]
    width = PRESETS["tiny"].emb
    assert torch.allclose(features[0, 2 * width :], hidden.mean(0), atol=1e-6)
    assert torch.allclose(features[0, width : 2 * width], hidden.max(0).values, atol=1e-6)


def test_a_sequence_without_any_token_is_a_lone_separator():
    tokens, lengths = pack([np.zeros(0, np.int32), np.array([5, 6], np.int32)])
    assert tokens.tolist() == [[2, 0, 0], [2, 5, 6]] and lengths.tolist() == [1, 3]
    model = SequenceClassifier(PRESETS["tiny"], HeadConfig("multiclass", ("a", "b", "c")), 67).eval()
    with torch.no_grad():
        assert model(tokens, lengths).shape == (2, 3)


def test_layer_groups_run_from_the_embedding_to_the_head():
    model = SequenceClassifier(PRESETS["tiny"], HeadConfig(), 67)
    groups = model.layer_groups()
    assert len(groups) == 5
    assert groups[0][0] is model.encoder.embedding.weight
    assert {id(p) for p in groups[-1]} == {id(p) for p in model.head.parameters()}


def small(seed, head=HeadConfig("multiclass", ("a", "b", "c"), 10, 2)):
    """Return a random classifier in eval mode."""
    torch.manual_seed(seed)
    model = SequenceClassifier(EncoderConfig(emb=6, hid=8), head, 67).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)
    return model


def test_an_ensemble_gives_the_mean_of_its_members_logits():
    members = [small(seed) for seed in (1, 2, 3)]
    both = Ensemble(members).eval()
    tokens, lengths = pack([np.array([5, 9, 30, 66]), np.array([7]), np.zeros(0, np.int32)])
    with torch.no_grad():
        single = np.stack([member(tokens, lengths).numpy() for member in members]).astype(np.float64)
        assert np.ptp(single, axis=0).max() > 0.01
        np.testing.assert_allclose(both(tokens, lengths).numpy(), single.mean(0), atol=1e-6)
        features = both.features(tokens, lengths)
        assert features.shape == (3, 3 * (3 + 2) * 6)
        assert torch.equal(features[:, 30:60], members[1].features(tokens, lengths))


def test_an_ensemble_has_the_layers_of_all_its_members():
    members = [small(1), small(2)]
    groups = Ensemble(members).layer_groups()
    for place, group in enumerate(groups):
        own = [parameter for member in members for parameter in member.layer_groups()[place]]
        assert [id(parameter) for parameter in group] == [id(parameter) for parameter in own]
    assert len(groups) == 5
    keys = Ensemble(members).state_dict()
    assert {key.split(".")[1] for key in keys} == {"0", "1"} and "members.1.encoder.rnns.0.bias" in keys
    assert Ensemble(members).encoders() == [members[0].encoder, members[1].encoder]
    assert members[0].encoders() == [members[0].encoder]


def test_members_of_several_shapes_are_no_ensemble():
    with pytest.raises(SettingsError, match="2 members of 2 shapes"):
        Ensemble([small(1), small(2, HeadConfig())])
    with pytest.raises(SettingsError, match="0 members"):
        Ensemble([])
