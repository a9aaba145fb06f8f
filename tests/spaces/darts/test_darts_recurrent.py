"""DARTS's recurrent cells: size, figures, and the cell against the formulas written out by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from archwright.core.arch import Arch
from archwright.core.drawing import Graph
from archwright.core.errors import InvalidArchError, InvalidValueError
from archwright.costs import cost
from archwright.nn import selection_of
from archwright.nn.ops.darts_rnn import DartsRnnCell
from archwright.nn.ops.language_model import LanguageModel
from archwright.spaces import DartsRnn, Space, open_architecture
from archwright.spaces.darts import derive_rnn
from archwright.spaces.darts.recurrent import PRIMITIVES, rnn_text
from archwright.testing import SpaceContract

TINY = {"input_shape": (4,), "n_classes": 12, "hidden": 8, "nodes": 3}
FUNCTIONS = {"tanh": torch.tanh, "relu": torch.relu, "sigmoid": torch.sigmoid, "identity": lambda x: x}
V2 = "sigmoid-0,relu-1,relu-1,identity-1,tanh-2,sigmoid-5,tanh-3,relu-5"


class TestDartsRnn(SpaceContract):
    def make(self) -> Space:
        return DartsRnn(**TINY)

    def _prepared(self, arch: Arch) -> tuple[nn.Module, Tensor]:
        """Weights made for 850 features say next to nothing with 8."""
        network, x = super()._prepared(arch)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.mul_(20)
        return network, x


class TestSearchForm(SpaceContract):
    n_archs = 2

    def make(self) -> Space:
        return DartsRnn(**TINY).search_form()


def cell_of(network: nn.Module) -> DartsRnnCell:
    """The cell of a language model."""
    assert isinstance(network, LanguageModel)
    cell = network.layers[0].cell
    assert isinstance(cell, DartsRnnCell)
    return cell


def test_size() -> None:
    """4^8 * 8! cells, 2.64e9."""
    assert DartsRnn().size() == 4**8 * math.factorial(8) == 2_642_411_520


def test_figures_of_the_published_cells() -> None:
    """Tied embedding V E + V, first state (2 E)^2, nodes 8 * 2 E^2: the paper's 23 M; every matrix once a token."""
    v, e = 10_000, 850
    for name in ("darts-rnn-v1", "darts-rnn-v2"):
        found = open_architecture(name)
        figures = cost(found.space, found.arch, input_shape=(1,))
        assert figures["params"] == v * e + v + 4 * e * e + 16 * e * e == 22_960_000
        assert figures["macs"] == v * e + 20 * e * e
        assert figures["uncounted"] == []


def test_search_network() -> None:
    """300 wide, batch norm without affine parameters, 36 edges with five columns each."""
    space = DartsRnn().search_form()
    with torch.device("meta"):
        supernet = space.supernet()
    assert sum(p.numel() for p in supernet.parameters()) == 10_000 * 300 + 10_000 + 20 * 300 * 300
    assert sum(decision.name.startswith("edge") for decision in space.decisions) == 36
    assert len(PRIMITIVES) == 5


def test_second_order_cell_is_that_of_the_released_code() -> None:
    """DARTS_V2 as `rnn/genotypes.py` prints it."""
    released = (
        "Genotype(recurrent=[('sigmoid', 0), ('relu', 1), ('relu', 1), ('identity', 1), ('tanh', 2), ('sigmoid', 5), "
        "('tanh', 3), ('relu', 5)], concat=range(1, 9))"
    )
    assert DartsRnn().parse(released) == open_architecture("darts-rnn-v2").arch == DartsRnn().parse(V2)


def test_a_step_is_the_paper_s() -> None:
    """Three steps of V2 with matrices on the right-hand side, as the released code writes them."""
    torch.manual_seed(0)
    space = DartsRnn(input_shape=(4,), n_classes=12, hidden=6, regularized=False)
    cell = cell_of(space.build(space.parse(V2))).double()
    h = torch.zeros(5, 6, dtype=torch.float64)
    state: tuple[Tensor, ...] = (h,)
    w0, ws = cell.first.weight.T, [node.linear.weight.T for node in cell.nodes]  # type: ignore[union-attr]
    for x in torch.randn(3, 5, 6, dtype=torch.float64):
        out, state = cell(x, state)
        c0, h0 = (torch.cat([x, h], 1) @ w0).split(6, 1)
        states = [h + torch.sigmoid(c0) * (torch.tanh(h0) - h)]
        for w, (name, source) in zip(ws, (part.split("-") for part in V2.split(",")), strict=True):
            before = states[int(source)]
            c, change = (before @ w).split(6, 1)
            states.append(before + torch.sigmoid(c) * (FUNCTIONS[name](change) - before))
        h = torch.stack(states[1:]).mean(0)
        assert torch.allclose(out, h, atol=1e-12)


def test_the_mixture_is_the_paper_s() -> None:
    """A step of the search network: every edge of a node through all activations, states normalised, no `none`."""
    torch.manual_seed(0)
    space = DartsRnn(**TINY, regularized=False).search_form()
    supernet = space.supernet().double()
    cell = cell_of(supernet)
    edges = [(source, node) for node in (1, 2, 3) for source in range(node)]
    weights = torch.softmax(torch.randn(len(edges), 5, dtype=torch.float64), 1)
    names = [f"edge{source}{node}" for source, node in edges]
    selection_of(supernet).relax(
        {name: list(enumerate(line[1:].tolist())) for name, line in zip(names, weights, strict=True)}
    )
    x, h = torch.randn(2, 7, 8, dtype=torch.float64)
    out, _ = cell(x, (h,))

    def norm(s: Tensor) -> Tensor:
        return (s - s.mean(0)) / (s.var(0, unbiased=False) + 1e-5).sqrt()

    c0, h0 = (torch.cat([x, h], 1) @ cell.first.weight.T).split(8, 1)
    states = [norm(h + torch.sigmoid(c0) * (torch.tanh(h0) - h))]
    for node in (1, 2, 3):
        w = cell.nodes[node - 1].linear.weight.T  # type: ignore[union-attr, operator]
        total = torch.zeros_like(h)
        for source in range(node):
            c, change = (states[source] @ w).split(8, 1)
            for k, function in enumerate(FUNCTIONS.values(), 1):
                term = states[source] + torch.sigmoid(c) * (function(change) - states[source])
                total += weights[edges.index((source, node)), k] * term
        states.append(norm(total))
    assert torch.allclose(out, torch.stack(states[1:]).mean(0), atol=1e-12)


def test_masks_stay_along_a_sequence_and_are_gone_in_evaluation() -> None:
    """75 % of the input and 25 % of the states are dropped in training, the same at every step."""
    torch.manual_seed(0)
    space = DartsRnn(input_shape=(4,), n_classes=12, hidden=400, nodes=2)
    cell = cell_of(space.build(space.sample(1, np.random.default_rng(0))[0]))
    cell.prepare(8, torch.device("cpu"))
    assert [(cell.shared[name] == 0).float().mean().item() for name in "xh"] == pytest.approx([0.75, 0.25], abs=0.03)
    x, state = torch.randn(8, 400), cell.begin(8, torch.device("cpu"))
    assert torch.equal(cell(x, state)[0], cell(x, state)[0])
    cell.release()
    cell.eval().prepare(8, torch.device("cpu"))
    assert cell.shared == {}


def test_weights_begin_within_004() -> None:
    """Uniform, as in the released code."""
    cell = cell_of(DartsRnn(hidden=50, n_classes=12).build(open_architecture("darts-rnn-v1").arch))
    for parameter in cell.parameters():
        assert 0.039 < float(parameter.detach().abs().max()) <= 0.04


def test_regularisation_is_the_paper_s() -> None:
    """Retraining drops words, the search does not; none of it where it is switched off."""
    rates = {}
    for name, space in {
        "final": DartsRnn(**TINY),
        "search": DartsRnn(**TINY).search_form(),
        "bare": DartsRnn(**TINY, regularized=False),
    }.items():
        network = space.build(space.sample(1, np.random.default_rng(0))[0])
        assert isinstance(network, LanguageModel)
        found = network.regularization
        rates[name] = (found.word_dropout, found.input_dropout, found.output_dropout, found.slowness_l2)
    assert rates == {"final": (0.1, 0.2, 0.75, 1e-3), "search": (0.0, 0.2, 0.75, 1e-3), "bare": (0.0,) * 4}


def test_derivation() -> None:
    """Parameters that peak on V2 give it, `none` or not; of equals the earlier."""
    matrix = np.zeros((36, 5))
    matrix[:, 0] = 5.0
    edges = [(source, node) for node in range(1, 9) for source in range(node)]
    for node, (name, source) in enumerate((part.split("-") for part in V2.split(",")), 1):
        matrix[edges.index((int(source), node)), PRIMITIVES.index(name)] = 3.0
    assert rnn_text(derive_rnn(matrix)) == V2
    assert rnn_text(derive_rnn(np.zeros((3, 5)))) == "tanh-0,tanh-0"


def test_drawing_shows_every_node() -> None:
    """Eight activations; input and hidden state enter the first state, the nodes leave."""
    found = open_architecture("darts-rnn-v2")
    (graph,) = found.space.drawing(found.arch).panels
    assert isinstance(graph, Graph)
    assert [edge.label for edge in graph.edges if edge.label] == [part.split("-")[0] for part in V2.split(",")]
    assert sum(edge.target == "out" for edge in graph.edges) == 8


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("relu-0,relu-1", "has 2 nodes; give 3"),
        ("relu-0,relu-2,relu-0", "node 2: it cannot read state 2; its inputs are 0 to 1"),
        ("relu-0,gelu-1,relu-0", "node 2: unknown activation 'gelu'; choose one of tanh, relu, sigmoid, identity"),
        ("relu-0,none-1,relu-0", "node 2: unknown activation 'none'"),
        ("relu-0,relu,relu-0", "'relu' is no node"),
        ("Genotype(recurrent=[('relu', 0)], concat=[1])", "concat is [1]; the cell's output is the mean of its nodes"),
        ("Genotype(recurrent=7, concat=[1,2,3])", "recurrent is 7; write a list"),
        ("Genotype(recurrent=[('relu', 0, 1)], concat=[1,2,3])", "write a list"),
        ("Genotype(recurrent=[([], 0)] * 3, concat=[1,2,3])", "is not Genotype"),
        ("Genotype(recurrent=[([], 0), ('relu', True), ('relu', 0)], concat=[1,2,3])", "node 1: unknown activation []"),
    ],
)
def test_codes_that_are_no_cells(code: str, message: str) -> None:
    """One line that names the node."""
    with pytest.raises(InvalidArchError) as caught:
        DartsRnn(**TINY).parse(code)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"hidden": -3}, "hidden is -3; give a whole number, 1 to"),
        ({"nodes": 10}, "nodes is 10; give a whole number, 1 to 9"),
        ({"input_shape": (3, 32, 32)}, "takes sequences of tokens"),
    ],
)
def test_impossible_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    """Each says what is accepted."""
    with pytest.raises(InvalidValueError, match=message):
        DartsRnn(**arguments)


@pytest.mark.parametrize("matrix", [np.zeros((4, 5)), np.zeros((36, 4)), np.zeros(5), np.full((36, 5), np.inf)])
def test_parameters_that_are_none(matrix: Any) -> None:
    """Another number of edges or columns, or not finite."""
    with pytest.raises(InvalidValueError, match="architecture parameters"):
        derive_rnn(matrix)
