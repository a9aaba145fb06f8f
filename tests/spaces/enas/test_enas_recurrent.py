"""ENAS's recurrent cells: the step written out by hand, loose ends, shared weights, errors, pictures."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from archwright.core.drawing import Graph
from archwright.core.errors import InvalidArchError, InvalidValueError
from archwright.costs import cost
from archwright.nn import selection_of
from archwright.nn.choice.modules import active_modules
from archwright.nn.ops.enas_rnn import EnasRnnCell
from archwright.nn.ops.language_model import LanguageModel
from archwright.spaces import EnasRnn, open_architecture

TINY = {"input_shape": (4,), "n_classes": 12, "hidden": 6}
FUNCTIONS = {"tanh": torch.tanh, "relu": torch.relu, "sigmoid": torch.sigmoid, "identity": lambda x: x}


def cell_of(network: nn.Module) -> EnasRnnCell:
    """The cell of a language model."""
    assert isinstance(network, LanguageModel)
    cell = network.layers[0].cell
    assert isinstance(cell, EnasRnnCell)
    return cell


@pytest.mark.parametrize("name", ["enas-rnn", "enas-rnn-lm"])
def test_a_step_is_the_released_one(name: str) -> None:
    """Three steps with matrices on the right-hand side; the output is the mean of loose ends, or of all but node 0."""
    torch.manual_seed(0)
    found = open_architecture(name, **TINY, regularized=False)
    space = found.space
    assert isinstance(space, EnasRnn)
    cell = cell_of(space.build(found.arch)).double()
    h = torch.zeros(5, 6, dtype=torch.float64)
    state: tuple[Tensor, ...] = (h,)
    (first, _), *others = space.steps(found.arch)
    read = {source for _, source in others}
    for x in torch.randn(3, 5, 6, dtype=torch.float64):
        out, state = cell(x, state)
        change, carry = (torch.cat([x, h], 1) @ cell.first.weight.T).split(6, 1)
        states = [h + torch.sigmoid(carry) * (FUNCTIONS[first](change) - h)]
        for node, (activation, source) in zip(cell.nodes, others, strict=True):
            assert source is not None
            before, w = states[source], node.get_submodule(str(source)).linear.weight.T
            change, carry = (before @ w).split(6, 1)
            states.append(before + torch.sigmoid(carry) * (FUNCTIONS[activation](change) - before))
        if name == "enas-rnn":
            kept = [s for i, s in enumerate(states) if i not in read]
            assert len(kept) == 6
        else:
            kept = states[1:]
        h = torch.stack(kept).mean(0)
        assert torch.allclose(out, h, atol=1e-12)
        assert state[0] is out


def test_one_matrix_for_each_pair_of_nodes() -> None:
    """Activations share it: two archs that differ in one run the same parameters."""
    space = EnasRnn(**TINY, nodes=4)
    supernet = space.supernet()
    cell = cell_of(supernet)
    assert sum(p.numel() for p in cell.parameters()) == (12 * 12) + (1 + 2 + 3) * 6 * 12
    found = []
    for code in ("tanh,relu-0,tanh-0,relu-2", "relu,relu-0,sigmoid-0,relu-2"):
        selection_of(supernet).activate(space.parse(code))
        found.append({id(p) for _, part in active_modules(supernet) for p in part._parameters.values()})
    assert found[0] == found[1]
    supernet(torch.randint(12, (2, 4))).square().sum().backward()
    grads = [name for name, p in cell.named_parameters() if p.grad is not None]
    assert grads == ["first.weight", "nodes.0.0.linear.weight", "nodes.1.0.linear.weight", "nodes.2.2.linear.weight"]


def test_all_archs_cost_the_same() -> None:
    """A matrix a node, whatever it reads."""
    space = EnasRnn(**TINY, nodes=4)
    archs = [space.parse(code) for code in ("tanh,tanh-0,tanh-1,tanh-2", "relu,tanh-0,relu-0,sigmoid-0")]
    assert {cost(space, arch)["params"] for arch in archs} == {12 * 12 + 3 * 6 * 12 + 12 * 6}


def test_masks_stay_along_a_sequence_and_are_gone_in_evaluation() -> None:
    """Of input and states, in training only."""
    torch.manual_seed(0)
    space = EnasRnn(input_shape=(4,), n_classes=12, hidden=400, nodes=3)
    cell = cell_of(space.build(space.parse("tanh,tanh-0,relu-0")))
    cell.prepare(8, torch.device("cpu"))
    assert [(cell.shared[name] == 0).float().mean().item() for name in "xh"] == pytest.approx([0.75, 0.25], abs=0.03)
    x, state = torch.randn(8, 400), cell.begin(8, torch.device("cpu"))
    assert torch.equal(cell(x, state)[0], cell(x, state)[0])
    cell.release()
    cell.eval().prepare(8, torch.device("cpu"))
    assert cell.shared == {}


def test_regularisation_is_that_of_the_released_codes() -> None:
    """Rates by what is averaged; one's penalty is for the sum over features, ours for their mean."""
    final, lm = EnasRnn().rates, EnasRnn(output="nodes").rates
    assert (final.model.word_dropout, final.model.output_dropout, final.model.slowness_l2) == (0.21, 0.76, 0.748)
    assert (lm.cell_input, lm.states, lm.model.input_dropout, lm.model.activation_l2) == (0.725, 0.225, 0.175, 0.7)
    search = EnasRnn().search_form()
    assert (search.hidden, search.rates.model.slowness_l2) == (200, 1.0)
    bare = EnasRnn(regularized=False).rates
    assert (bare.cell_input, bare.states, bare.model.word_dropout, bare.model.slowness_l2) == (0.0,) * 4


def test_weights_begin_within_004() -> None:
    """Uniform, as in the released codes."""
    cell = cell_of(EnasRnn(hidden=50, n_classes=12).build(open_architecture("enas-rnn").arch))
    for parameter in cell.parameters():
        assert 0.039 < float(parameter.detach().abs().max()) <= 0.04


def test_drawing_shows_every_node() -> None:
    """Twelve activations; input and hidden state enter the first, loose ends leave."""
    found = open_architecture("enas-rnn")
    (graph,) = found.space.drawing(found.arch).panels
    assert isinstance(graph, Graph)
    assert [node.label for node in graph.nodes].count("relu") == 7
    assert len(graph.nodes) == 12 + 3
    assert [edge.source for edge in graph.edges if edge.target == "out"] == ["3", "4", "7", "9", "10", "11"]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("tanh,relu-0", "has 2 nodes; give 3"),
        ("tanh,relu-0,relu-2", "node 2: the node it reads is 2; give 0 to 1"),
        ("tanh,gelu-0,relu-0", "node 1: unknown activation 'gelu'; choose one of tanh, relu, identity, sigmoid"),
        ("tanh-0,relu-0,relu-0", "node 0: unknown activation 'tanh-0'"),
        ("tanh,relu,relu-0", "node 1 is 'relu'; write activation-node"),
        ("tanh,relu--1,relu-0", "node 1: unknown activation 'relu-'"),
        ("0 0 0 1", "there are 4 numbers; an arch of this space has 5"),
        ("0 0 0 2 1", "node 2: the node it reads is 2; give 0 to 1"),
        ("4 0 0 1 1", "node 0: activation is 4; give 0 to 3"),
    ],
)
def test_codes_that_are_no_cells(code: str, message: str) -> None:
    """One line that names the node."""
    with pytest.raises(InvalidArchError) as caught:
        EnasRnn(**TINY, nodes=3).parse(code)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"hidden": -3}, "hidden is -3; give a whole number, 1 to"),
        ({"nodes": 1}, "nodes is 1; give a whole number, 2 to 20"),
        ({"output": "last"}, "output is 'last'; give one of loose_ends, nodes"),
        ({"regularized": "no"}, "regularized is 'no'"),
        ({"input_shape": (3, 32, 32)}, "takes sequences of tokens"),
    ],
)
def test_impossible_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    """Each says what is accepted."""
    with pytest.raises(InvalidValueError, match=message):
        EnasRnn(**arguments)
