"""Zoph & Le's recurrent cells: size, figures, and steps against formulas and torch's own LSTM."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from archwright.core.arch import Arch
from archwright.core.drawing import Graph
from archwright.core.errors import InvalidArchError, InvalidValueError
from archwright.costs import cost
from archwright.nn.ops.language_model import LanguageModel
from archwright.nn.ops.tree_rnn import TreeRnnCell
from archwright.spaces import NasRlRnn, Space, open_architecture
from archwright.testing import SpaceContract

TINY: dict[str, Any] = {"input_shape": (4,), "n_classes": 12, "hidden": 6, "base": 3, "bias": True}
EXAMPLE = "add-tanh,elem_mult-relu,elem_mult-sigmoid/add-relu/1,0"
LSTM = (
    "add-sigmoid,add-tanh,add-identity,add-identity,add-identity,add-identity,add-identity,add-identity,"
    "elem_mult-identity,add-sigmoid,add-identity,add-identity,add-tanh,add-sigmoid,elem_mult-identity"
    "/elem_mult-identity/12,9"
)


class TestTrees(SpaceContract):
    """An odd number of leaves: node 4 reads leaf 2 and node 3."""

    def make(self) -> Space:
        return NasRlRnn(**TINY)

    def _prepared(self, arch: Arch) -> tuple[nn.Module, Tensor]:
        """Products of small numbers say next to nothing."""
        network, x = super()._prepared(arch)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.mul_(10)
        return network, x


class TestMoreFunctions(TestTrees):
    n_archs = 2

    def make(self) -> Space:
        return NasRlRnn(**{**TINY, "base": 2, "layers": 1, "more_functions": True, "tied": False})


def cell_of(space: NasRlRnn, arch: Arch) -> TreeRnnCell:
    """The cell of a network in double precision."""
    torch.manual_seed(0)
    network = space.build(arch)
    assert isinstance(network, LanguageModel)
    cell = network.layers[0].cell
    assert isinstance(cell, TreeRnnCell)
    return cell.double()


def matrices(cell: TreeRnnCell) -> tuple[list[Tensor], list[Tensor]]:
    """W and U of each leaf, to be multiplied from the right."""
    w, u = (layer.weight.detach().chunk(cell.n_leaves) for layer in (cell.input, cell.hidden))
    return [part.T for part in w], [part.T for part in u]


# ── size and figures ──────────────────────────────────────────────────────────────────────────────


def test_size() -> None:
    """8 labels at 15 nodes and the injection, two indices among 15 nodes: 6.33e16."""
    space = NasRlRnn()
    assert space.size() == 8**16 * 15**2 == 63_331_869_759_897_600
    assert len(space.decisions) == 15 * 2 + 2 + 2


@pytest.mark.parametrize("base", range(2, 9))
def test_size_of_other_trees(base: int) -> None:
    """8^(2b) (2b - 1)^2; with maximum and sine 15 labels instead of 8."""
    assert NasRlRnn(base=base).size() == 8 ** (2 * base) * (2 * base - 1) ** 2
    assert NasRlRnn(base=base, more_functions=True).size() == 15 ** (2 * base) * (2 * base - 1) ** 2


@pytest.mark.parametrize(("bias", "expected"), [(False, 1_600), (True, 1_680)])
def test_parameters_of_the_published_cell(bias: bool, expected: int) -> None:
    """8 u (in + u), and 8 u with a bias; nodes above the leaves add none."""
    space = NasRlRnn(hidden=10, bias=bias)
    cell = cell_of(space, open_architecture("nascell").arch)
    assert sum(parameter.numel() for parameter in cell.parameters()) == expected


@pytest.mark.parametrize(("hidden", "printed"), [(740, "24.9"), (1152, "54.0")])
def test_figures_of_the_published_network(hidden: int, printed: str) -> None:
    """Two layers and shared embeddings: the 25 M and 54 M of the paper's table; every matrix once a token."""
    found = open_architecture("nascell")
    figures = cost(found.space.with_args(hidden=hidden), found.arch, input_shape=(1,))
    assert figures["params"] == 10_000 * hidden + 10_000 + 2 * 16 * hidden**2
    assert figures["macs"] == 10_000 * hidden + 2 * 16 * hidden**2
    assert f"{figures['params'] / 1e6:.1f}" == printed
    assert figures["uncounted"] == []


# ── steps ─────────────────────────────────────────────────────────────────────────────────────────


def test_the_paper_s_example_gives_its_equations() -> None:
    """Base 2: two leaves, the cell state added to the first, the product of the second's matrices kept."""
    space = NasRlRnn(base=2, hidden=5, n_classes=12)
    cell = cell_of(space, space.parse(EXAMPLE))
    (w1, w3), (w2, w4) = matrices(cell)
    x, h, c = torch.randn(3, 7, 5, dtype=torch.float64)
    out, (new_h, new_c) = cell(x, (h, c))
    a0 = torch.tanh(x @ w1 + h @ w2)
    product = (x @ w3) * (h @ w4)
    a1 = torch.relu(product)
    injected = torch.relu(a0 + c)
    assert torch.allclose(out, torch.sigmoid(injected * a1), atol=1e-12)
    assert torch.equal(out, new_h)
    assert torch.allclose(new_c, product, atol=1e-12)


def test_the_published_cell_is_tensorflow_s() -> None:
    """Three steps of NASCell, written out in TensorFlow's order of layers, with a bias on the hidden side."""
    space = NasRlRnn(hidden=6, n_classes=12, bias=True)
    cell = cell_of(space, open_architecture("nascell").arch)
    w, u = matrices(cell)
    b = cell.hidden.bias.detach().chunk(8)
    h = c = torch.zeros(5, 6, dtype=torch.float64)
    state: tuple[Tensor, ...] = cell.begin(5, torch.device("cpu"))
    for x in torch.randn(3, 5, 6, dtype=torch.float64):
        out, state = cell(x, state)
        xs = [x @ matrix for matrix in w]
        hs = [h @ matrix + bias for matrix, bias in zip(u, b, strict=True)]
        gate = [torch.sigmoid(xs[i] + hs[i]) for i in range(8)]
        first = torch.tanh(gate[0] * torch.relu(xs[1] + hs[1]))
        second = torch.tanh(gate[2] + torch.relu(xs[3] * hs[3]))
        third = torch.tanh(torch.tanh(xs[4] + hs[4]) * gate[5])
        fourth = torch.sigmoid(torch.tanh(xs[6] + hs[6]) + gate[7])
        c = torch.tanh(first + c) * second
        h = torch.tanh(c * torch.tanh(third + fourth))
        assert torch.allclose(out, h, atol=1e-12)
        assert torch.allclose(state[1], c, atol=1e-12)


def test_the_lstm_is_a_member() -> None:
    """Four leaves take the gates' weights, four get zeros: what torch's LSTM computes, along five steps."""
    torch.manual_seed(0)
    lstm = nn.LSTMCell(7, 7).double()
    space = NasRlRnn(hidden=7, n_classes=12, bias=True)
    cell = cell_of(space, space.parse(LSTM))
    leaves = {"i": 0, "f": 2, "g": 1, "o": 4}
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.zero_()
        for gate, leaf in enumerate(leaves.values()):
            own, theirs = slice(7 * leaf, 7 * leaf + 7), slice(7 * gate, 7 * gate + 7)
            cell.input.weight[own] = lstm.weight_ih[theirs]
            cell.hidden.weight[own] = lstm.weight_hh[theirs]
            cell.hidden.bias[own] = (lstm.bias_ih + lstm.bias_hh)[theirs]
        h = c = torch.zeros(3, 7, dtype=torch.float64)
        state: tuple[Tensor, ...] = (h, c)
        for x in torch.randn(5, 3, 7, dtype=torch.float64):
            h, c = lstm(x, (h, c))
            out, state = cell(x, state)
            assert torch.allclose(out, h, atol=1e-12)
            assert torch.allclose(state[1], c, atol=1e-12)


def test_the_new_cell_state_is_what_a_node_combines() -> None:
    """Before its activation, and before the old cell state joins that very node."""
    space = NasRlRnn(base=2, hidden=5, n_classes=12)
    cell = cell_of(space, space.parse("add-tanh,add-tanh,add-relu/add-sigmoid/2,2"))
    w, u = matrices(cell)
    x, h, c = torch.randn(3, 7, 5, dtype=torch.float64)
    out, (_, new_c) = cell(x, (h, c))
    total = sum(torch.tanh(x @ w[i] + h @ u[i]) for i in range(2))
    assert torch.allclose(new_c, total, atol=1e-12)
    assert torch.allclose(out, torch.sigmoid(torch.relu(total) + c), atol=1e-12)


def test_maximum_and_sine() -> None:
    """The control experiment's functions."""
    space = NasRlRnn(base=2, hidden=5, n_classes=12, more_functions=True)
    cell = cell_of(space, space.parse("max-sin,add-identity,max-identity/max-sin/0,1"))
    w, u = matrices(cell)
    x, h, c = torch.randn(3, 7, 5, dtype=torch.float64)
    out, (_, new_c) = cell(x, (h, c))
    assert torch.allclose(new_c, torch.maximum(x @ w[0], h @ u[0]), atol=1e-12)
    right = torch.sin(torch.maximum(x @ w[1] + h @ u[1], c))
    assert torch.allclose(out, torch.maximum(torch.sin(new_c), right), atol=1e-12)


def test_dropout_is_in_training_only() -> None:
    """A third of the hidden state, the same at every step of a sequence."""
    space = NasRlRnn(base=2, hidden=300, n_classes=12, word_dropout=0.1, dropout=0.25, state_dropout=1 / 3)
    network = space.build(space.parse(EXAMPLE))
    assert isinstance(network, LanguageModel)
    rates = network.regularization
    assert (rates.word_dropout, rates.input_dropout, rates.layer_dropout, rates.output_dropout) == (0.1, *[0.25] * 3)
    cell = network.layers[0].cell
    cell.prepare(8, torch.device("cpu"))
    assert float((cell.shared["h"] == 0).float().mean()) == pytest.approx(1 / 3, abs=0.04)
    cell.release()
    cell.eval().prepare(8, torch.device("cpu"))
    assert cell.shared == {}


# ── codes, drawings, mistakes ─────────────────────────────────────────────────────────────────────


def test_decisions_come_in_the_order_of_the_controller_s_tokens() -> None:
    """Node by node, then the injection, then the two indices."""
    assert NasRlRnn(base=2).decisions.names == (
        *("node0.combine", "node0.activation", "node1.combine", "node1.activation", "node2.combine"),
        *("node2.activation", "inject.combine", "inject.activation", "new_cell", "injected"),
    )


def test_drawing_shows_the_ways_of_the_cell_state() -> None:
    """Into the first leaf, out of the second, in the paper's example."""
    space = NasRlRnn(base=2)
    (graph,) = space.drawing(space.parse(EXAMPLE)).panels
    assert isinstance(graph, Graph)
    assert {(edge.source, edge.target) for edge in graph.edges} == {
        *(("x", "0"), ("h", "0"), ("x", "1"), ("h", "1"), ("0", "injected 0"), ("c", "injected 0")),
        *(("injected 0", "2"), ("1", "2"), ("1", "new c"), ("2", "new h")),
    }
    assert {node.id: node.label for node in graph.nodes}["injected 0"] == "+ relu"


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("add-tanh,add-tanh,add-tanh", "the cell has 1 parts parted by '/'; give nodes, injection and two cell"),
        ("add-tanh,add-tanh/add-tanh/0,0", "the cell has 2 nodes; give 3, leaves first"),
        ("add-tanh,add-gelu,add-tanh/add-tanh/0,0", "node 1 has the activation 'gelu'; choose one of identity, tanh"),
        ("add-tanh,add-tanh,max-tanh/add-tanh/0,0", "node 2 has the combination 'max'; choose one of add, elem_mult"),
        ("add-tanh,tanh,add-tanh/add-tanh/0,0", "node 1 is 'tanh'; write combination-activation"),
        ("add-tanh,add-tanh,add-tanh/add-/0,0", "the injection has the activation ''"),
        ("add-tanh,add-tanh,add-tanh/add-tanh/0", "the cell indices are '0'; give two nodes"),
        ("add-tanh,add-tanh,add-tanh/add-tanh/3,0", "the cell index of the new cell state is '3'; the nodes are"),
        ("add-tanh,add-tanh,add-tanh/add-tanh/0,-1", "the cell index of the injection is '-1'; the nodes are numbered"),
        ("add-tanh,add-tanh," + "x" * 5000 + "/add-tanh/0,0", "node 2 is 'xxx"),
    ],
)
def test_codes_that_are_no_cells(code: str, message: str) -> None:
    """One short line that names the node."""
    with pytest.raises(InvalidArchError) as caught:
        NasRlRnn(base=2).parse(code)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"base": 1}, "base is 1; give a whole number, 2 to 8"),
        ({"base": 9}, "base is 9; give a whole number, 2 to 8"),
        ({"hidden": -3}, "hidden is -3"),
        ({"layers": 0}, "layers is 0"),
        ({"bias": 1}, "bias is 1; give true or false"),
        ({"dropout": 1.0}, r"dropout is 1.0; give a rate in \[0, 1\)"),
        ({"state_dropout": "x"}, "state_dropout is 'x'; give a rate"),
        ({"n_classes": 1}, "the vocabulary has 1 token"),
        ({"input_shape": (3, 32, 32)}, "takes sequences of tokens"),
    ],
)
def test_impossible_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    """Each says what is accepted."""
    with pytest.raises(InvalidValueError, match=message):
        NasRlRnn(**arguments)


def test_random_networks_are_language_models() -> None:
    """Scores of the next token at every place."""
    space = NasRlRnn(**TINY)
    network = space.build(space.sample(1, np.random.default_rng(0))[0])
    assert network(torch.zeros(2, 4, dtype=torch.int64)).shape == (2, 4, 12)
