"""The two choosers: what they hand out, what runs, what they refuse."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import archwright as aw
from archwright.core.errors import InvalidArchError, InvalidValueError, SpaceError
from archwright.nn import Chooser, Fixed, Supernet, selection_of
from archwright.nn.choice.choosers import subsets
from archwright.nn.choice.modules import ChoiceModule, active_modules
from archwright.spaces import SposSpace
from archwright.spaces.base import Space
from archwright.testing import BranchSpace, ElasticSpace, SpaceContract, StagesSpace


class Times(nn.Module):
    """Multiplies by a constant, and counts its calls."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor, self.calls = factor, 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return x * self.factor


@pytest.mark.parametrize("space", [ElasticSpace(), BranchSpace(), StagesSpace(), SposSpace(input_shape=(1, 28, 28))])
def test_fixed_asks_for_exactly_the_active_decisions(space: Space) -> None:
    """Twenty random archs of each space: what was asked for is what the arch sets."""
    for arch in space.sample(20, np.random.default_rng(0)):
        chooser = Fixed(arch)
        with torch.device("meta"):
            space.network(chooser)
        assert set(chooser.asked) == set(arch)


@pytest.mark.parametrize("space", [ElasticSpace(), BranchSpace(), StagesSpace()])
def test_a_fixed_network_holds_no_search_module(space: Space) -> None:
    """By type, and no lazy value is left among its attributes."""
    network = space.build(space.sample(1, np.random.default_rng(0))[0])
    assert not [part for part in network.modules() if isinstance(part, ChoiceModule)]
    with pytest.raises(SpaceError, match="no searched part"):
        selection_of(network)


def test_fixed_builds_only_what_it_returns() -> None:
    """Factories of other candidates, blocks and edges are not called."""
    made: list[str] = []

    def make(name: str) -> nn.Module:
        made.append(name)
        return nn.Identity()

    chooser = Fixed({"op": "b", "depth": 2, "inputs": (0, 2)})
    chooser.op("op", {key: (lambda key=key: make(key)) for key in "abc"})
    chooser.repeat("depth", [1, 2, 3], lambda i: make(f"block{i}"))
    chooser.inputs("inputs", 3, 2, lambda j: make(f"edge{j}"))
    assert made == ["b", "block0", "block1", "edge0", "edge2"]


def test_fixed_hands_out_plain_values() -> None:
    """The module itself, the number itself, a tuple of kept inputs; map is applied at once."""
    chooser = Fixed({"op": "relu", "width": 8, "inputs": (0, 2), "depth": 1})
    assert type(chooser.op("op", {"relu": nn.ReLU, "silu": nn.SiLU})) is nn.ReLU
    assert chooser.map(lambda width: 2 * width, chooser.number("width", [4, 8]), largest=99) == 16
    assert chooser.inputs("inputs", 3, 2, lambda j: nn.Identity()).kept == (0, 2)
    assert type(chooser.repeat("depth", [1, 2], lambda i: nn.Identity())) is nn.Sequential


def test_only_the_active_operation_runs() -> None:
    """Factor 3 of factors 2 and 3."""
    chooser, parts = Supernet(), {"two": Times(2), "three": Times(3)}
    network = chooser.op("op", {key: (lambda part=part: part) for key, part in parts.items()})
    chooser.selection.activate({"op": "three"})
    assert network(torch.tensor(5.0)) == 15
    assert (parts["two"].calls, parts["three"].calls) == (0, 1)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_the_first_blocks_run(count: int) -> None:
    """Each doubles: 2^count."""
    chooser = Supernet()
    network = chooser.repeat("depth", [0, 1, 3], lambda i: Times(2))
    chooser.selection.activate({"depth": count})
    assert network(torch.tensor(1.0)) == 2**count


@pytest.mark.parametrize("kept", [(0, 1), (0, 2), (1, 2)])
@pytest.mark.parametrize("searched", [True, False])
def test_kept_inputs_are_summed(kept: tuple[int, ...], searched: bool) -> None:
    """Edge j multiplies by 10^j, states are 1, 2 and 3; in both choosers."""
    chooser: Chooser = Supernet() if searched else Fixed({"inputs": kept})
    network = chooser.inputs("inputs", 3, 2, lambda j: Times(10**j))
    if isinstance(chooser, Supernet):
        chooser.selection.activate({"inputs": kept})
        assert network.kept.current == kept
    states = [torch.tensor(float(state)) for state in (1, 2, 3)]
    assert network(states) == sum((j + 1) * 10**j for j in kept)


def test_later_sizes_may_depend_on_the_kept_inputs() -> None:
    """The number of kept inputs below 2, as a value."""
    chooser = Supernet()
    node = chooser.inputs("inputs", 3, 2, lambda j: nn.Identity())
    n_low = chooser.map(lambda kept: sum(j < 2 for j in kept), node.kept, largest=2)
    chooser.selection.activate({"inputs": (0, 2)})
    assert n_low.current == 1


def test_same_name_is_one_decision_in_two_places() -> None:
    """All normal cells share their operations, not their weights."""
    chooser = Supernet()
    cells = [chooser.op("op", {"a": lambda: nn.Linear(1, 1), "b": nn.Identity}) for _ in range(2)]
    chooser.selection.activate({"op": "b"})
    assert [type(cell.active) for cell in cells] == [nn.Identity, nn.Identity]
    assert chooser.decisions().names == ("op",)
    assert cells[0]._modules["a"] is not cells[1]._modules["a"]


@pytest.mark.parametrize("key", ["half", "float", "forward", "type", "T_destination"])
def test_a_candidate_may_be_called_like_an_attribute_of_modules(key: str) -> None:
    """It runs, and its weights have their place in the state dict."""
    chooser = Supernet()
    network = chooser.op("op", {key: lambda: nn.Linear(2, 2), "other": nn.Identity})
    chooser.selection.activate({"op": key})
    assert network(torch.zeros(1, 2)).shape == (1, 2)
    assert set(network.state_dict()) == {f"{key}.weight", f"{key}.bias"}


@pytest.mark.parametrize("key", ["a.b", "", 3])
def test_a_candidate_needs_a_name_without_dots(key: Any) -> None:
    """Paths into the state dict are split at dots."""
    with pytest.raises(SpaceError, match=r"candidate of decision 'op' is called .*without dots"):
        Supernet().op("op", {key: nn.Identity})


def test_active_modules_are_those_of_the_arch() -> None:
    """Paths of the convolutions that the arch has, in execution order."""
    space = BranchSpace()
    network = space.supernet()
    selection_of(network).activate({"node.input": (1,), "node.op": "pool", "last": "relu"})
    names = {path for path, part in active_modules(network) if isinstance(part, nn.Conv2d | nn.AvgPool2d | nn.ReLU)}
    assert names == {"stem.0", "stem.2", "node.1.pool", "head.0.relu"}


@pytest.mark.parametrize("values", [[], ["a"], [True, False], [math.nan, 1.0], [math.inf], [None]])
@pytest.mark.parametrize("make", [Supernet, lambda: Fixed({"width": 1})], ids=["Supernet", "Fixed"])
def test_numbers_are_plain_numbers(values: list[Any], make: Callable[[], Chooser]) -> None:
    """None at all, text, truth values and non-finite ones have no place in an arch.json."""
    with pytest.raises(InvalidValueError, match="'width' chooses among"):
        make().number("width", values)


@pytest.mark.parametrize("counts", [[], [0], [-1, 1], [1.5], ["2"]])
@pytest.mark.parametrize("make", [Supernet, lambda: Fixed({"depth": 1})], ids=["Supernet", "Fixed"])
def test_counts_are_whole_and_not_all_zero(counts: list[Any], make: Callable[[], Chooser]) -> None:
    """Refused with the counts received."""
    with pytest.raises(InvalidValueError, match="'depth' repeats a block"):
        make().repeat("depth", counts, lambda i: nn.Identity())


@pytest.mark.parametrize(("n", "k"), [(2, 3), (2, 0), (0, 0)])
def test_as_many_inputs_as_there_are(n: int, k: int) -> None:
    """k lies between 1 and n."""
    with pytest.raises(InvalidValueError, match=f"cannot keep {k} of {n} inputs"):
        subsets(n, k)


def test_fixed_refuses_a_value_that_is_none() -> None:
    """With the known ones."""
    with pytest.raises(InvalidArchError, match="no value 5; choose one of 4, 8"):
        Fixed({"width": 5}).number("width", [4, 8])


def test_fixed_refuses_a_missing_decision() -> None:
    """By name."""
    with pytest.raises(InvalidArchError, match="'width' is missing"):
        Fixed({}).number("width", [4, 8])


def test_fixed_notices_decisions_nobody_asked_for() -> None:
    """A leftover of another space is named."""
    chooser = Fixed({"width": 4, "colour": "red"})
    chooser.number("width", [4, 8])
    with pytest.raises(InvalidArchError, match="does not ask for decision 'colour'"):
        chooser.check_all_asked()


@pytest.mark.parametrize("chooser", [Supernet(), Fixed({"act": "a"})])
@pytest.mark.parametrize(
    ("candidates", "message"),
    [
        ({"a": nn.ReLU(), "b": nn.SiLU()}, "candidate 'a' of decision 'act' is ReLU; give what makes a module"),
        ({"a": "relu"}, "candidate 'a' of decision 'act' is str"),
        (["relu", "silu"], "decision 'act' chooses among a list; give a mapping {key: factory}"),
    ],
)
def test_candidates_are_factories_by_name(chooser: Any, candidates: Any, message: str) -> None:
    """Modules in their place are the commonest slip."""
    with pytest.raises(InvalidValueError) as raised:
        chooser.op("act", candidates)
    assert str(raised.value).startswith(message)


def test_any_subset_of_inputs() -> None:
    """Several k: first the subsets of the first size; all of three states but none are 2^3 - 1."""
    assert subsets(3, [2, 1]) == ((0, 1), (0, 2), (1, 2), (0,), (1,), (2,))
    assert len(subsets(3, range(1, 4))) == 2**3 - 1


@pytest.mark.parametrize("k", [[], [0, 1], [2, 4]])
def test_an_impossible_number_of_inputs_is_refused(k: list[int]) -> None:
    """With what was received."""
    with pytest.raises(InvalidValueError, match=r"of 3 inputs"):
        subsets(3, k)


class JoinSpace(Space):
    """Any of three states side by side, the second of which is wider, before a convolution: 7 archs."""

    input_shape, n_classes = (2, 4, 4), 3

    def network(self, choose: Chooser) -> nn.Module:
        edges = [aw.nn.Conv2d(2, width, 1) for width in (3, 5, 3)]
        node = choose.inputs("kept", 3, range(1, 4), edges.__getitem__, join="concat")
        sizes = [
            choose.map(lambda kept, j=j: edges[j].out_channels if j in kept else 0, node.kept, largest=width)
            for j, width in enumerate((3, 5, 3))
        ]
        return nn.Sequential(
            Repeated(3), node, aw.nn.Classifier(aw.nn.Conv2d(sum(sizes), 4, 1), n_classes=self.n_classes)
        )


class Repeated(nn.Module):
    """The same state several times."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.n = n

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        return [x] * self.n


class TestJoinSpace(SpaceContract):
    """Concatenated inputs keep every promise of a space but relaxation, which is refused by name."""

    can_be_relaxed = False

    def make(self) -> Space:
        return JoinSpace()


def test_inputs_are_concatenated_in_the_order_of_states() -> None:
    """2 and 5 times the input, side by side, in both executions."""
    x, factors = torch.ones(1, 1, 2, 2), [2.0, 3.0, 5.0]
    supernet = Supernet()
    searched = supernet.inputs("kept", 3, [1, 2], lambda j: Times(factors[j]), join="concat")
    supernet.selection.activate({"kept": (0, 2)})
    fixed = Fixed({"kept": (0, 2)}).inputs("kept", 3, [1, 2], lambda j: Times(factors[j]), join="concat")
    assert fixed([x] * 3)[0, :, 0, 0].tolist() == searched([x] * 3)[0, :, 0, 0].tolist() == [2.0, 5.0]


def test_an_unknown_join_is_refused() -> None:
    """By both choosers, with the decision's name."""
    for chooser in (Supernet(), Fixed({"kept": (0,)})):
        with pytest.raises(InvalidValueError, match="'kept' joins inputs by 'mean'"):
            chooser.inputs("kept", 2, 1, lambda j: nn.Identity(), join="mean")  # type: ignore[arg-type]


def test_weights_over_single_inputs_are_independent_paths() -> None:
    """What path dropout does: any set of edges runs, even one that is no value of the decision: 2 + 3 + 5."""
    chooser, factors = Supernet(), [2.0, 3.0, 5.0]
    node = chooser.inputs("kept", 3, [1, 2], lambda j: Times(factors[j]))
    chooser.selection.relax({"kept": [(0, 1.0), (1, 1.0), (2, 1.0)]})
    assert node([torch.ones(1)] * 3).item() == 10.0
