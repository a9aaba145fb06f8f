"""The plain LSTM against torch's own."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from archwright.core.errors import InvalidValueError
from archwright.costs import Macs, ModelSize, Params, count
from archwright.nn.carrying import Stream
from archwright.spaces import PlainLstm, Space
from archwright.testing import SpaceContract


class TestContract(SpaceContract):
    def make(self) -> Space:
        return PlainLstm(input_shape=(4,), n_classes=12, max_width=16)


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    space = PlainLstm(input_shape=(5,), n_classes=11)
    return space.build(space.parse("8")).eval()


def test_it_is_two_layers_of_lstm_between_tied_weights(network: nn.Module) -> None:
    """torch.nn.LSTM with the same weights, and products with the embedding."""
    tensors = network.state_dict()
    theirs = nn.LSTM(8, 8, num_layers=2, batch_first=True)
    for layer, (ours, name) in itertools.product(range(2), (("input", "ih"), ("hidden", "hh"))):
        for kind in ("weight", "bias"):
            own = getattr(theirs, f"{kind}_{name}_l{layer}")
            own.data = tensors[f"layers.{layer}.cell.{ours}.{kind}"]
    tokens = torch.randint(11, (3, 5))
    with torch.no_grad():
        hidden, _ = theirs(tensors["embedding.weight"][tokens])
        expected = hidden @ tensors["embedding.weight"].T + tensors["decoder.bias"]
        assert torch.allclose(network(tokens), expected, atol=1e-6)


def test_it_carries_its_state_along_a_text(network: nn.Module) -> None:
    """Two halves in a stream give what the whole gives; on its own, the second half begins anew."""
    tokens = torch.randint(11, (3, 10))
    stream = Stream(network)
    with torch.no_grad():
        whole = network(tokens)
        with stream.batch(goes_on=False):
            network(tokens[:, :5])
        with stream.batch(goes_on=True):
            second = network(tokens[:, 5:])
        assert torch.allclose(second, whole[:, 5:], atol=1e-6)
        assert not torch.allclose(network(tokens[:, 5:]), whole[:, 5:], atol=1e-6)


def test_costs_are_those_of_the_network_and_rise() -> None:
    """In closed form and counted: 12 tokens of 20, width 4 and the widest."""
    space = PlainLstm(input_shape=(12,), n_classes=20)
    rows = space.decisions.enumerate_rows()
    for cost in (Params(), Macs(), ModelSize()):
        values = cost.cost_rows(space, rows)
        assert all(a < b for a, b in itertools.pairwise(values))
        for i in (0, -1):
            with torch.device("meta"):
                built = space.build(space.decisions.archs(rows[[i]])[0])
            assert values[i] == cost.cost_module(built, space.signature)
    assert values[0] == 4 * (20 * 4 + 20 + 2 * (8 * 4 * 4 + 8 * 4))
    assert space.widths[-1] == 1500
    assert count(space.build(space.parse("4")), space.signature).macs == 12 * (20 * 4 + 2 * 8 * 4 * 4)


def test_images_are_refused() -> None:
    """With what it takes."""
    with pytest.raises(InvalidValueError, match="takes sequences of tokens"):
        PlainLstm(input_shape=(1, 8, 8))
