"""The contract of spaces finds what a space can get wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from archwright.core.arch import Arch, Value
from archwright.core.decisions import Decision, DecisionSpace
from archwright.nn.choice import Chooser, Fixed, Supernet
from archwright.nn.elastic import Linear
from archwright.spaces import Space
from archwright.testing import BranchSpace, SpaceContract


class Overdeclared(BranchSpace):
    """Declares a decision that its network does not ask for."""

    def declare(self) -> DecisionSpace:
        return DecisionSpace([*super().declare(), Decision("extra", (0, 1))])


class Reordered(BranchSpace):
    """Declares what it asks for, in another order."""

    def declare(self) -> DecisionSpace:
        return DecisionSpace(super().declare().decisions[::-1])


class Forgetful(BranchSpace):
    """Takes an argument that `args` does not return."""

    def __init__(self, *, names: Sequence[str] = ("half",), **rest: Any) -> None:
        super().__init__(**rest)
        self.names = names

    def network(self, choose: Chooser) -> nn.Module:
        return nn.Sequential(super().network(choose), choose.op("act", dict.fromkeys(self.names, nn.Identity)))


class Constant(BranchSpace):
    """Adds a random constant that is in no state dict."""

    def network(self, choose: Chooser) -> nn.Module:
        return nn.Sequential(super().network(choose), _Shifted(self.n_classes))


class Mute(BranchSpace):
    """Gives the same logits for every input."""

    def network(self, choose: Chooser) -> nn.Module:
        return nn.Sequential(super().network(choose), _Zero())


class Rebuilt(BranchSpace):
    """Builds other layers for a fixed arch than for the supernet."""

    def network(self, choose: Chooser) -> nn.Module:
        last = nn.Linear(3, 3, bias=isinstance(choose, Fixed))
        return nn.Sequential(super().network(choose), last)


class Leaving(BranchSpace):
    """Leaves an elastic layer in the fixed network."""

    def network(self, choose: Chooser) -> nn.Module:
        lazy = Supernet().number("width", [3])
        return nn.Sequential(super().network(choose), Linear(lazy, 3) if isinstance(choose, Fixed) else nn.Linear(3, 3))


class Misread(BranchSpace):
    """Its codes lose what they end with."""

    def code(self, arch: Mapping[str, Value]) -> str:
        return super().code(arch)[:-1] + "0"


class Wandering(BranchSpace):
    """Searches a supernet with other decisions."""

    def search_form(self) -> Space:
        return Overdeclared()


class _Shifted(nn.Module):
    def __init__(self, n: int) -> None:
        super().__init__()
        self.shift = torch.rand(n)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.shift.to(x.device) if not self.shift.is_meta else x


class _Zero(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 0


@pytest.mark.parametrize(
    ("space", "test"),
    [
        (Overdeclared(), "test_what_the_network_asks_for_is_what_is_declared"),
        (Overdeclared(), "test_fixed_asks_for_exactly_the_active_decisions"),
        (Reordered(), "test_what_the_network_asks_for_is_what_is_declared"),
        (Forgetful(names=("half", "float")), "test_arguments_give_the_space_again"),
        (Forgetful(names=("half", "float")), "test_json_round_trips"),
        (Constant(), "test_three_executions_give_the_same_logits"),
        (Mute(), "test_three_executions_give_the_same_logits"),
        (Mute(), "test_perturbing_an_active_weight_breaks_equality"),
        (Rebuilt(), "test_states_load_strictly_both_ways"),
        (Leaving(), "test_no_search_module_is_left"),
        (Misread(), "test_codes_round_trip"),
        (Wandering(), "test_search_form_has_the_same_decisions"),
    ],
    ids=lambda value: value.removeprefix("test_") if isinstance(value, str) else type(value).__name__,
)
def test_a_broken_space_is_noticed(fails: Callable[..., bool], space: Space, test: str) -> None:
    """By the test that states what it breaks; the sound space passes it."""

    class Contract(SpaceContract):
        def make(self) -> Space:
            return space

    class Sound(SpaceContract):
        def make(self) -> Space:
            return BranchSpace()

    assert fails(Contract(), test)
    assert not fails(Sound(), test)


def test_a_space_that_can_be_relaxed_does_not_pass_as_one_that_cannot(fails: Callable[..., bool]) -> None:
    """The refusal is expected then."""

    class Contract(SpaceContract):
        can_be_relaxed = False

        def make(self) -> Space:
            return BranchSpace()

    assert fails(Contract(), "test_relaxed_execution")


def test_what_a_member_s_test_must_define_is_said() -> None:
    """By name."""
    with pytest.raises(NotImplementedError, match=r"SpaceContract inherits a contract and has to define make\(self\)"):
        SpaceContract().make()


def test_archs_of_a_contract_are_always_the_same() -> None:
    """A failure can be looked into."""

    class Contract(SpaceContract):
        def make(self) -> Space:
            return BranchSpace()

    drawn: list[list[Arch]] = [Contract()._archs() for _ in range(2)]
    assert drawn[0] == drawn[1]
