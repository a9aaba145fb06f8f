"""Spaces of language models keep the contract of every space, with tokens as inputs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from archwright.core.errors import InvalidValueError, SpaceError
from archwright.costs import cost
from archwright.costs.counting.count import count
from archwright.costs.profiling.profile import ProfileConfig, profile
from archwright.nn import LanguageModel, LSTMCell
from archwright.nn.choice import Chooser
from archwright.spaces.language import LanguageSpace
from archwright.testing.contracts import SpaceContract
from archwright.testing.language import RnnNodes, RnnTied, RnnTiny
from archwright.testing.tasks import toy_text


class TestRnnTiny(SpaceContract):
    def make(self) -> RnnTiny:
        return RnnTiny()


class TestRnnTied(SpaceContract):
    def make(self) -> RnnTied:
        return RnnTied()


class TestRnnNodes(SpaceContract):
    """Choices inside a cell are asked for once and run at every step."""

    def make(self) -> RnnNodes:
        return RnnNodes()


def test_size_of_choices_inside_a_cell() -> None:
    """One or two inputs, three activations a node."""
    assert RnnNodes().size() == (1 * 3) * (2 * 3)


def test_macs_are_those_of_linear_layers_for_every_token() -> None:
    """T (4 H (E + H) + H V) of an LSTM: the embedding is looked up and costs nothing."""
    n, embedding, hidden, vocabulary = 8, 16, 24, 20
    counted = cost(RnnTiny(), {"cell": "lstm", "width": hidden})
    assert counted["macs"] == n * (4 * hidden * (embedding + hidden) + hidden * vocabulary)
    assert counted["uncounted"] == []
    assert counted["macs_per_token"] == counted["macs"] // n


def test_params_of_a_tied_model_in_closed_form() -> None:
    """V H + 2 * 4 (H H + H) + V."""
    hidden, vocabulary = 16, 20
    expected = vocabulary * hidden + 8 * (hidden * hidden + hidden) + vocabulary
    assert cost(RnnTied(), {"cell": "lstm", "width": hidden})["params"] == expected


def test_latency_table() -> None:
    """Measured on tokens, looked up for every arch."""
    space = RnnTiny()
    config = ProfileConfig(backend="torch", warmup=0, repeats=1, n_fitted=3, n_checked=0)
    rows = space.decisions.enumerate_rows()
    assert (profile(space, config).cost_rows(space, rows) > 0).all()


def test_a_drawing_shows_widths() -> None:
    """One block a layer, with its features, whatever the length."""
    drawing = RnnTiny().drawing({"cell": "gru", "width": 24})
    (strip,) = drawing.panels
    assert [(block.label, block.channels) for block in strip.blocks] == [("embedding", 16), ("gru", 24), ("linear", 20)]


def test_toy_text_fits_a_space() -> None:
    """Length and vocabulary are the space's."""
    space = RnnTiny()
    task = toy_text(space)
    assert (task.input_shape, task.n_classes) == (space.input_shape, space.n_tokens)
    assert set(task.class_names) >= {"w0", "w18", "<unk>"}


def test_a_length_of_one_gives_the_macs_of_a_token() -> None:
    """What `archwright cost NAME --input 1` prints."""
    arch = {"cell": "gru", "width": 8}
    assert cost(RnnTiny(), arch, input_shape=(1,))["macs"] * 8 == cost(RnnTiny(), arch)["macs"]


def test_images_are_refused() -> None:
    """A language space named for image data."""
    with pytest.raises(InvalidValueError, match="takes sequences of tokens, but the input is 1x8x8"):
        RnnTiny(input_shape=(1, 8, 8))


def test_one_token_is_no_vocabulary() -> None:
    """Nothing could be predicted."""
    with pytest.raises(InvalidValueError, match="vocabulary has 1 token"):
        RnnTiny(n_classes=1)


def test_a_fault_of_shape_names_the_decision() -> None:
    """The sweep runs on tokens too."""

    class Broken(LanguageSpace):
        def network(self, choose: Chooser) -> LanguageModel:
            return LanguageModel(LSTMCell(16, 8), n_tokens=self.n_tokens, n_embedding=choose.number("width", [16, 17]))

    with pytest.raises(SpaceError, match=r"'width' = 17 breaks"):
        Broken(input_shape=(4,), n_classes=10).size()


def test_example_inputs_are_tokens() -> None:
    """int64 below the vocabulary, the same for the same generator."""
    one, again = (RnnTiny().example_inputs(3, np.random.default_rng(0)) for _ in range(2))
    assert one.dtype == torch.int64
    assert one.shape == (3, 8)
    assert int(one.max()) < 20
    assert torch.equal(one, again)


def test_a_plain_embedding_is_counted_too() -> None:
    """A user's own network that begins with one need not say what it takes."""
    network = torch.nn.Sequential(torch.nn.Embedding(7, 3), torch.nn.Linear(3, 7))
    assert count(network, (5,)).macs == 5 * 3 * 7
