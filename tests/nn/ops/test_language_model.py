"""A language model's shapes, regularisers and tied weights."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from archwright.core.errors import InvalidValueError, SpaceError
from archwright.nn import LanguageModel, LSTMCell, Recurrent, Regularization
from archwright.nn.added_losses import AddedLosses
from archwright.nn.dropout import embedded, locked_dropout
from archwright.nn.inputs import example_inputs, n_tokens_of


def model(**options: object) -> LanguageModel:
    torch.manual_seed(0)
    chosen = {"n_tokens": 11, "n_embedding": 6, **options}
    return LanguageModel(LSTMCell(6, 6), **chosen)  # type: ignore[arg-type]


def penalties(network: nn.Module) -> Tensor | None:
    """What the last batch adds to a loss."""
    return AddedLosses(network).take(lambda outputs: outputs.sum())


@pytest.fixture
def tokens() -> Tensor:
    return torch.randint(11, (3, 5), generator=torch.Generator().manual_seed(1))


def test_logits_of_every_place(tokens: Tensor) -> None:
    """(N, T) → (N, T, n_tokens)."""
    assert model()(tokens).shape == (3, 5, 11)


@pytest.mark.parametrize("tied", [False, True])
def test_equals_its_parts_from_torch(tokens: Tensor, tied: bool) -> None:
    """Embedding, LSTM and linear layer; a tied one multiplies with the embedding."""
    network = model(tied=tied).eval()
    nn.init.normal_(network.decoder.bias)
    x = network.layers[0](network.embedding(tokens))
    weight = network.embedding.weight if tied else network.decoder.weight
    assert torch.allclose(network(tokens), x @ weight.T + network.decoder.bias, atol=1e-6)


def test_a_later_token_does_not_change_earlier_scores(tokens: Tensor) -> None:
    """The model sees only what came before."""
    network, other = model().eval(), tokens.clone()
    other[:, 3:] = 0
    assert torch.equal(network(tokens)[:, :3], network(other)[:, :3])


def test_tied_weights_count_once() -> None:
    """Embedding 11 x 6, cell 2 x (4*6*6 + 4*6), bias 11."""
    cell = 2 * (4 * 6 * 6 + 4 * 6)
    assert sum(p.numel() for p in model(tied=True).parameters()) == 66 + cell + 11
    assert sum(p.numel() for p in model().parameters()) == 66 + cell + 77


@pytest.mark.parametrize("tied", [False, True])
def test_a_decoder_without_bias(tokens: Tensor, tied: bool) -> None:
    """Eleven parameters less; logits are products with its weights alone."""
    network = model(tied=tied, decoder_bias=False).eval()
    sizes = [sum(p.numel() for p in one.parameters()) for one in (model(tied=tied), network)]
    assert sizes[0] - sizes[1] == 11
    weight = network.embedding.weight if tied else network.decoder.weight
    with torch.no_grad():
        states = network.layers[0](network.embedding(tokens))
        assert torch.allclose(network(tokens), states @ weight.T, atol=1e-6)


def test_tied_widths_must_agree() -> None:
    """The last layer gives 4, the embedding has 6."""
    with pytest.raises(SpaceError, match="width of the embedding, 6, but the last layer gives 4"):
        LanguageModel(LSTMCell(6, 4), n_tokens=11, n_embedding=6, tied=True)


def test_a_layer_of_unknown_width_is_refused() -> None:
    """There is nothing a decoder could be built for."""
    with pytest.raises(SpaceError, match="how wide its last layer is"):
        LanguageModel(nn.Identity(), n_tokens=11, n_embedding=6)


def test_locked_dropout_is_the_same_at_every_step() -> None:
    """One mask a sequence and feature, of the right scale."""
    torch.manual_seed(0)
    out = locked_dropout(torch.ones(4, 7, 50), 0.5, training=True)
    assert torch.equal(out, out[:, :1].expand_as(out))
    assert set(out.unique().tolist()) == {0.0, 2.0}
    assert locked_dropout(out, 0.5, training=False) is out


def test_a_dropped_word_is_gone_wherever_it_occurs() -> None:
    """Rows of the embedding, not places of the text."""
    torch.manual_seed(0)
    found = embedded(torch.arange(40).repeat(2, 2), torch.ones(40, 3), 0.5, training=True)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[:, :40], found[:, 40:])
    assert set(found.unique().tolist()) == {0.0, 2.0}


def test_evaluation_is_free_of_noise(tokens: Tensor) -> None:
    """With every regulariser on, twice the same, equal to the plain model."""
    noisy = model(regularization=Regularization(0.5, 0.5, 0.5, 0.5, 1.0, 1.0)).eval()
    assert torch.equal(noisy(tokens), model().eval()(tokens))
    assert penalties(noisy) is None


def test_penalties_are_those_of_the_formula(tokens: Tensor) -> None:
    """alpha * mean(h^2) + beta * mean((h_t - h_t-1)^2), taken once."""
    network = model(regularization=Regularization(activation_l2=2.0, slowness_l2=3.0))
    h = network.layers[0](network.embedding(tokens))
    network(tokens)
    expected = 2 * (h**2).mean() + 3 * (h.diff(dim=1) ** 2).mean()
    found = penalties(network)
    assert found is not None
    assert torch.allclose(found, expected)
    assert penalties(network) is None


def test_a_copy_between_a_batch_and_its_step(tokens: Tensor) -> None:
    """Has the same weights and no penalty; the original keeps its own."""
    network = model(regularization=Regularization(slowness_l2=1.0))
    network(tokens)
    copied = copy.deepcopy(network)
    assert penalties(copied) is None
    assert penalties(network) is not None
    assert torch.equal(copied.eval()(tokens), network.eval()(tokens))


def test_one_step_has_no_change_to_penalise() -> None:
    """A sequence of one token gives no nan."""
    network = model(regularization=Regularization(slowness_l2=1.0))
    network(torch.zeros(2, 1, dtype=torch.long))
    assert penalties(network) is None


@pytest.mark.parametrize("wrong", [{"input_dropout": 1.0}, {"word_dropout": -0.1}, {"slowness_l2": -1.0}])
def test_impossible_rates_are_refused(wrong: dict[str, float]) -> None:
    """Named in the message."""
    with pytest.raises(InvalidValueError, match=next(iter(wrong))):
        Regularization(**wrong)


def test_what_a_network_takes() -> None:
    """Tokens below the vocabulary for a language model, numbers elsewhere."""
    rng = np.random.default_rng(0)
    found = example_inputs(model(), (5,), 3, rng=rng)
    assert found.dtype == torch.int64
    assert found.shape == (3, 5)
    assert found.max() < 11
    assert example_inputs(nn.Linear(5, 2), (5,), 3, rng=rng).dtype == torch.float32
    assert n_tokens_of(Recurrent(LSTMCell(3, 3))) is None
