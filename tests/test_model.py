"""The encoder against fastai's AWD_LSTM (where installed) and a recurrence in NumPy; its dropouts."""

import numpy as np
import pytest

import genolm.compute  # noqa: F401
import torch

from genolm.config import Dropouts, EncoderConfig
from genolm.model import AWDEncoder, LanguageModel, RNNDropout, dropout_mask, random_source
from tests.test_lstm import plain_recurrence

SIZES = EncoderConfig(emb=12, hid=20, layers=3)
NONE = Dropouts(0, 0, 0, 0, 0)


def test_language_model_equals_numpy():
    torch.manual_seed(1)
    model = LanguageModel(SIZES, 30).eval()
    tokens = torch.randint(0, 30, (4, 11))
    with torch.no_grad():
        found = model(tokens)
        hidden = model.encoder.embedding.weight[tokens].transpose(0, 1)
        for rnn in model.encoder.rnns:
            zero = np.zeros((4, rnn.width_out))
            outputs, _, _ = plain_recurrence(hidden, zero, zero, (rnn.weight_ih, rnn.weight_hh, rnn.bias))
            hidden = torch.from_numpy(outputs)
        logits = hidden.transpose(0, 1) @ model.encoder.embedding.weight.double().T + model.decoder_bias.double()
    assert torch.allclose(found.hidden.double(), hidden.transpose(0, 1), atol=1e-5)
    assert torch.allclose(found.logits.double(), logits, atol=1e-5)


def test_same_weights_in_fastai_give_the_same_outputs():
    awdlstm = pytest.importorskip("fastai.text.models.awdlstm", reason="fastai is an optional reference")
    torch.manual_seed(2)
    encoder = AWDEncoder(SIZES, 30, NONE).eval()
    reference = awdlstm.AWD_LSTM(30, SIZES.emb, SIZES.hid, SIZES.layers, hidden_p=0, input_p=0, embed_p=0, weight_p=0)
    with torch.no_grad():
        reference.encoder.weight.copy_(encoder.embedding.weight)
        for ours, theirs in zip(encoder.rnns, reference.rnns, strict=True):
            theirs.module.weight_ih_l0.copy_(ours.weight_ih)
            theirs.weight_hh_l0_raw.copy_(ours.weight_hh)
            theirs.module.bias_ih_l0.copy_(ours.bias)
            theirs.module.bias_hh_l0.zero_()
        tokens = torch.randint(0, 30, (3, 15))
        reference.eval()
        reference.reset()
        assert torch.allclose(encoder(tokens).hidden, reference(tokens), atol=1e-6)


def test_carried_state_makes_two_pieces_one_text():
    torch.manual_seed(3)
    encoder = AWDEncoder(SIZES, 30, NONE).eval()
    tokens = torch.randint(0, 30, (2, 20))
    with torch.no_grad():
        whole = encoder(tokens)
        first = encoder(tokens[:, :8])
        second = encoder(tokens[:, 8:], first.states)
    assert torch.allclose(torch.cat([first.hidden, second.hidden], 1), whole.hidden, atol=1e-6)


def test_variational_dropout_keeps_one_mask_through_time():
    layer = RNNDropout(0.5).train()
    dropped = layer(torch.ones(7, 3, 50))
    assert torch.equal(dropped, dropped[:1].expand(7, 3, 50))
    assert set(dropped.unique().tolist()) == {0.0, 2.0}
    assert torch.equal(layer.eval()(torch.ones(2, 2, 2)), torch.ones(2, 2, 2))


def test_embedding_dropout_drops_whole_words():
    encoder = AWDEncoder(SIZES, 400, Dropouts(0, 0, 0, 0.5, 0)).train()
    vectors = encoder.embedding(torch.arange(400))
    gone = (vectors == 0).all(1)
    assert 120 < int(gone.sum()) < 280
    assert torch.allclose(vectors[~gone], 2 * encoder.embedding.weight[~gone])


def test_a_silent_token_is_read_as_a_dropped_one_and_learns_nothing():
    encoder = AWDEncoder(SIZES, 30, Dropouts(0, 0, 0, 0, 0), silent=7)
    loud = AWDEncoder(SIZES, 30, Dropouts(0, 0, 0, 0, 0))
    assert set(encoder.state_dict()) == set(loud.state_dict())
    loud.load_state_dict(encoder.state_dict())
    tokens = torch.tensor([[3, 7, 9], [7, 7, 4]])
    with torch.no_grad():
        encoder.embedding.weight[7] = 1000
        loud.embedding.weight[7] = 0
    assert torch.equal(encoder.eval()(tokens).hidden, loud.eval()(tokens).hidden)
    encoder(tokens).hidden.sum().backward()
    assert encoder.embedding.weight.grad[7].abs().sum() == 0 < encoder.embedding.weight.grad[9].abs().sum()


def test_weight_drop_acts_on_the_recurrent_matrix_in_training_only():
    torch.manual_seed(5)
    encoder = AWDEncoder(SIZES, 30, Dropouts(0, 0, 0, 0, 0.5))
    tokens = torch.randint(0, 30, (2, 6))
    with torch.no_grad():
        first, second = encoder.train()(tokens).hidden, encoder(tokens).hidden
        assert torch.equal(first[:, 0], second[:, 0]) is True
        assert not torch.allclose(first[:, 3:], second[:, 3:])
        assert torch.equal(encoder.eval()(tokens).hidden, encoder(tokens).hidden)


def test_masks_come_from_the_given_generator_and_keep_the_mean():
    like = torch.zeros(1)
    with random_source(torch.Generator().manual_seed(9)):
        first = dropout_mask(like, (1000, 10), 0.25)
    with random_source(torch.Generator().manual_seed(9)):
        assert torch.equal(first, dropout_mask(like, (1000, 10), 0.25))
    assert abs(float(first.mean()) - 1) < 0.05


def test_decoder_is_tied_and_layer_groups_cover_every_parameter_once():
    model = LanguageModel(SIZES, 30)
    grouped = [id(item) for group in model.layer_groups() for item in group]
    assert sorted(grouped) == sorted(id(item) for item in model.parameters())
    loss = model(torch.randint(0, 30, (2, 3))).logits[..., 7].sum()
    loss.backward()
    assert model.encoder.embedding.weight.grad[7].abs().sum() > 0
