"""Relaxed decisions: weighted sums of what single paths compute, and gradients of the weights."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from archwright.core.arch import Arch
from archwright.core.errors import InvalidArchError, SpaceError, UnknownNameError
from archwright.nn import Selection, Supernet, selection_of
from archwright.nn.choice.selection import Weights
from archwright.spaces.base import Space
from archwright.testing import BranchSpace, ElasticSpace, StagesSpace

SPACES = [BranchSpace(), ElasticSpace(), StagesSpace()]


class Times(nn.Module):
    """Multiplies by a constant."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor


def double(space: Space, arch: Arch | None = None) -> tuple[nn.Module, Selection, Tensor]:
    """A supernet in double precision with settled statistics, its selection, and two images."""
    torch.manual_seed(0)
    network = space.supernet().double().eval()
    selection = selection_of(network)
    if arch is not None:
        selection.activate(arch)
    return network, selection, torch.randn(2, *space.input_shape, dtype=torch.float64)


def softmaxed(space: Space, alphas: dict[str, Tensor]) -> dict[str, Weights]:
    return {name: list(enumerate(alpha.softmax(0))) for name, alpha in alphas.items()}


def new_alphas(space: Space) -> dict[str, Tensor]:
    """One vector a decision that can be mixed."""
    generator = torch.Generator().manual_seed(1)
    return {
        d.name: torch.randn(len(d.values), generator=generator, dtype=torch.float64, requires_grad=True)
        for d in space.decisions
        if d.kind != "number"
    }


def test_operations_are_summed_by_weight() -> None:
    """0.25 x 2 + 0.5 x 3 of factors 2, 3 and 5; the third does not run."""
    chooser = Supernet()
    network = chooser.op("op", {str(n): (lambda n=n: Times(n)) for n in (2, 3, 5)})
    chooser.selection.relax({"op": [(0, 0.25), (1, 0.5)]})
    assert network(torch.tensor(1.0)) == 2.0
    assert [key for key, _ in network.active_children()] == ["2", "3"]


def test_repeats_are_summed_after_each_count() -> None:
    """Blocks double: 0.5 x 1 + 0.25 x 2 + 0.25 x 8 after 0, 1 and 3 of them."""
    chooser = Supernet()
    network = chooser.repeat("depth", [0, 1, 3], lambda i: Times(2))
    chooser.selection.relax({"depth": [(0, 0.5), (1, 0.25), (2, 0.25)]})
    assert network(torch.tensor(1.0)) == 3.0


def test_inputs_are_weighted_by_the_subsets_they_are_in() -> None:
    """Subsets (0,1), (0,2), (1,2) at 0.5, 0.25, 0: edges at 0.75, 0.5 and 0.25 of 1, 10 and 100."""
    chooser = Supernet()
    network = chooser.inputs("in", 3, 2, lambda j: Times(10**j))
    chooser.selection.relax({"in": [(0, 0.5), (1, 0.25), (2, 0.0)]})
    assert network([torch.tensor(1.0)] * 3) == 0.75 + 5 + 25


def test_inputs_without_weights_keep_every_edge() -> None:
    """As in DARTS: 1 + 10 + 100."""
    chooser = Supernet()
    network = chooser.inputs("in", 3, 1, lambda j: Times(10**j))
    chooser.selection.relax({})
    assert network([torch.tensor(1.0)] * 3) == 111


def test_values_fix_what_is_not_relaxed() -> None:
    """The given operation and inputs, and by default the first operation."""
    chooser = Supernet()
    op = chooser.op("op", {"two": lambda: Times(2), "three": lambda: Times(3)})
    node = chooser.inputs("in", 3, 1, lambda j: Times(10**j))
    one = torch.tensor(1.0)
    chooser.selection.relax({}, {"op": "three", "in": (2,)})
    assert (op(one), node([one] * 3)) == (3, 100)
    chooser.selection.relax({})
    assert op(one) == 2


@pytest.mark.parametrize("space", SPACES, ids=lambda space: type(space).__name__)
def test_gradients_of_arch_parameters_meet_finite_differences(space: Space) -> None:
    """Central differences of every arch parameter, with softmax weights in double precision."""
    network, selection, images = double(space)
    alphas = new_alphas(space)

    def loss() -> Tensor:
        selection.relax(softmaxed(space, alphas))
        return network(images).square().sum()

    loss().backward()
    step = 1e-6
    with torch.no_grad():
        for alpha in alphas.values():
            assert alpha.grad is not None
            for i in range(len(alpha)):
                alpha[i] += step
                above = loss()
                alpha[i] -= 2 * step
                below = loss()
                alpha[i] += step
                assert float((above - below) / (2 * step)) == pytest.approx(float(alpha.grad[i]), rel=1e-5, abs=1e-8)


def test_gates_get_gradients_while_the_output_is_that_of_one_path() -> None:
    """Gates 1 and 0 of two paths: d loss / d gate is the loss gradient times the path's result."""
    network, selection, images = double(BranchSpace())
    gates = torch.tensor([1.0, 0.0], dtype=torch.float64, requires_grad=True)
    selection.activate({"node.input": (1,), "node.op": "conv", "last": "half"})
    path = network(images)
    fixed = {"node.input": (1,), "last": "half"}
    selection.relax({"node.op": [(0, gates[0]), (1, gates[1])]}, fixed)
    gated = network(images)
    assert torch.equal(gated, path)
    gated.sum().backward()
    assert gates.grad is not None
    with torch.no_grad():
        selection.relax({"node.op": [(0, 1.0), (1, 1e-6)]}, fixed)
        slope = (network(images).sum() - path.sum()) / 1e-6
    assert float(slope) == pytest.approx(float(gates.grad[1]), rel=1e-4)


def test_only_weighted_candidates_learn() -> None:
    """Two of the candidates of each operation are given: parameters of others get no gradient."""
    space = BranchSpace()
    network, selection, images = double(space)
    selection.relax({"node.op": [(0, 1.0)], "last": [(1, 1.0)]}, {"node.input": (2,)})
    network(images).sum().backward()
    learned = {name for name, parameter in network.named_parameters() if parameter.grad is not None}
    assert {name for name in learned if name.startswith("node")} == {
        f"node.2.conv.{name}" for name in ("0.weight", "1.weight", "1.bias")
    }


def test_an_activation_ends_the_mixture() -> None:
    """The single path afterwards is that of a network that was never relaxed."""
    space = BranchSpace()
    arch = space.sample(1, np.random.default_rng(0))[0]
    network, selection, images = double(space, arch)
    before = network(images)
    selection.relax(softmaxed(space, new_alphas(space)))
    selection.activate(arch)
    assert torch.equal(network(images), before)


def test_extraction_goes_on_with_the_mixture() -> None:
    """It activates its arch only for a moment."""
    space = BranchSpace()
    network, selection, images = double(space)
    selection.relax(softmaxed(space, new_alphas(space)))
    before = network(images)
    space.extract(network, space.sample(1, np.random.default_rng(0))[0])
    assert torch.equal(network(images), before)


def test_a_network_with_weights_of_a_history_can_be_copied() -> None:
    """The copy mixes by the same weights and has a selection of its own."""
    space = BranchSpace()
    network, selection, images = double(space)
    selection.relax(softmaxed(space, new_alphas(space)))
    copied = copy.deepcopy(network)
    assert torch.equal(copied(images), network(images))
    selection_of(copied).activate(space.sample(1, np.random.default_rng(0))[0])
    assert selection.weights is not None


def test_a_size_that_depends_on_a_relaxed_decision_is_refused() -> None:
    """By the decision's name, when the network runs."""
    chooser = Supernet()
    node = chooser.inputs("in", 3, 2, lambda j: nn.Identity())
    n_low = chooser.map(lambda kept: sum(j < 2 for j in kept), node.kept, largest=2)
    chooser.selection.relax({})
    with pytest.raises(SpaceError, match="sizes depend on decision 'in', so that it cannot be relaxed"):
        _ = n_low.current


@pytest.mark.parametrize(
    ("weights", "error", "match"),
    [
        ({"width": [(0, 1.0)]}, SpaceError, "'width' chooses a number"),
        ({"depth": [(3, 1.0)]}, InvalidArchError, r"positions \[3\]; give at least one of 0 to 2"),
        ({"depth": []}, InvalidArchError, "give at least one"),
        ({"depth": [(0, 0.5), (0, 0.5)]}, InvalidArchError, "each once"),
        ({"deep": [(0, 1.0)]}, UnknownNameError, "did you mean depth"),
    ],
)
def test_weights_of_what_is_not_there_are_refused(
    weights: dict[str, Weights], error: type[Exception], match: str
) -> None:
    """With what was received, and nothing changes."""
    selection = selection_of(ElasticSpace().supernet())
    with pytest.raises(error, match=match):
        selection.relax(weights)
    assert selection.weights is None


@pytest.mark.parametrize("make", [SPACES[0].supernet, SPACES[1].supernet])
def test_relaxing_leaves_no_trace_in_the_state_dict(make: Callable[[], nn.Module]) -> None:
    """Names and tensors are those of a supernet that was never relaxed."""
    network = make()
    before = set(network.state_dict())
    selection_of(network).relax({})
    assert set(network.state_dict()) == before
