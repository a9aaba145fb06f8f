"""What is recorded: decisions, their conditions, and contradictions."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from archwright.core.arch import Value
from archwright.core.decisions import Condition, Decision, DecisionSpace
from archwright.core.errors import SpaceError
from archwright.nn import Chooser, Fixed, Supernet
from archwright.nn.choice.recording import simplify
from archwright.testing import BranchSpace, ElasticSpace, StagesSpace


def when(**allowed: tuple[Value, ...]) -> tuple[Condition, ...]:
    return tuple(Condition(name.replace("_", "."), values) for name, values in allowed.items())


def test_a_network_of_all_requests_is_recorded_as_declared_by_hand() -> None:
    """Kinds, values, order and conditions of the elastic toy space; `map` records nothing."""

    def block(i: int) -> list[Decision]:
        counts = tuple(n for n in (1, 2, 3) if n > i)
        exists = () if i == 0 else (Condition("depth", counts),)
        is_conv = (*exists, Condition(f"block{i}.op", ("conv",)))
        return [
            Decision(f"block{i}.op", ("conv", "pool"), "op", (exists,) if exists else ()),
            Decision(f"block{i}.kernel", (3, 5), "number", (is_conv,)),
        ]

    edges = []
    for j in range(3):
        kept = tuple(subset for subset in ((0, 1), (0, 2), (1, 2)) if j in subset)
        edges.append(Decision(f"edge{j}", ("skip", "point"), "op", ((Condition("inputs", kept),),)))
    declared = DecisionSpace(
        [
            Decision("width", (4, 8), "number"),
            Decision("kernel", (1, 3, 5), "number"),
            Decision("depth", (1, 2, 3), "repeat"),
            *block(0),
            *block(1),
            *block(2),
            Decision("inputs", ((0, 1), (0, 2), (1, 2)), "inputs"),
            *edges,
        ]
    )
    assert ElasticSpace().decisions == declared


def test_size_of_that_space_in_closed_form() -> None:
    """2 widths, 3 kernels, (3 + 9 + 27) chains of blocks of 3 kinds, 3 pairs of inputs with 4 pairs of operations."""
    assert ElasticSpace().size() == 2 * 3 * (3 + 9 + 27) * 3 * 4


def test_an_operation_asked_under_every_input_is_unconditional() -> None:
    """The three contexts of ENAS's node operation unite."""
    decisions = BranchSpace().decisions
    assert decisions["node.op"].when == ()
    assert decisions.size() == 3 * 2 * 2


def test_three_recorded_elastic_stages_have_their_closed_form() -> None:
    """(9^2 + 9^3 + 9^4)^3 archs from a network."""
    assert StagesSpace().size() == (9**2 + 9**3 + 9**4) ** 3


def test_recording_makes_no_weights() -> None:
    """On the meta device, neither memory nor random numbers are spent."""
    torch.manual_seed(0)
    before = torch.get_rng_state()
    assert ElasticSpace().decisions.size() > 1
    assert torch.equal(torch.get_rng_state(), before)


def test_contexts_that_differ_in_one_decision_unite() -> None:
    """Asked inside a conv and inside a sep, of three operations."""
    chooser = Supernet()
    chooser.op("op", {"skip": nn.Identity, **{key: lambda: ask_kernel(chooser) for key in ("conv", "sep")}})
    assert chooser.decisions()["kernel"].when == (when(op=("conv", "sep")),)


def test_asked_inside_all_candidates_is_unconditional() -> None:
    """Whatever is chosen, it matters."""
    chooser = Supernet()
    chooser.op("op", {key: lambda: ask_kernel(chooser) for key in ("conv", "sep")})
    assert chooser.decisions()["kernel"].when == ()


def test_asked_outside_as_well_is_unconditional() -> None:
    """The narrower context is absorbed."""
    chooser = Supernet()
    chooser.number("kernel", [1, 3])
    chooser.op("op", {"conv": lambda: ask_kernel(chooser), "skip": nn.Identity})
    assert chooser.decisions()["kernel"].when == ()


def test_nested_choices_give_conjunctions() -> None:
    """A kernel inside an operation inside a block that may be missing."""
    chooser = Supernet()

    def block(i: int) -> nn.Module:
        return chooser.op(f"op{i}", {"conv": lambda: ask_kernel(chooser, f"kernel{i}"), "skip": nn.Identity})

    chooser.repeat("depth", [0, 1, 2], block)
    space = chooser.decisions()
    assert space["kernel0"].when == (when(depth=(1, 2), op0=("conv",)),)
    assert space["kernel1"].when == (when(depth=(2,), op1=("conv",)),)
    assert space.size() == 1 + 3 + 3 * 3


@pytest.mark.parametrize(
    ("contexts", "expected"),
    [
        ([{"a": {1}}, {"a": {2}}], [{"a": {1, 2}}]),
        ([{"a": {1}}, {"a": {2, 3}}], [{}]),
        ([{"a": {1}}, {"a": {1}, "b": {1}}], [{"a": {1}}]),
        ([{"a": {1}, "b": {1}}, {"a": {2}, "b": {2}}], [{"a": {1}, "b": {1}}, {"a": {2}, "b": {2}}]),
        ([{"a": {1}, "b": {1}}, {"a": {1}, "b": {2}}, {"a": {2, 3}}], [{}]),
        ([{"a": {1, 2, 3}}], [{}]),
    ],
)
def test_simplification_by_hand(contexts: list[dict[str, set[int]]], expected: list[dict[str, set[int]]]) -> None:
    """Decisions a of three values and b of two."""
    every = {"a": frozenset([1, 2, 3]), "b": frozenset([1, 2])}
    found = simplify([{name: frozenset(values) for name, values in c.items()} for c in contexts], every)
    key = repr
    assert sorted(found, key=key) == sorted(expected, key=key)


@pytest.mark.parametrize("chooser", [Supernet(), Fixed({"kernel": 3})], ids=["Supernet", "Fixed"])
def test_one_name_means_one_list(chooser: Chooser) -> None:
    """Other values are refused by both choosers, with both lists."""
    chooser.number("kernel", [1, 3])
    chooser.number("kernel", [1, 3])
    with pytest.raises(
        SpaceError, match=r"'kernel' was first asked as number of \[1, 3\] and then as number of \[3, 5\]"
    ):
        chooser.number("kernel", [3, 5])


@pytest.mark.parametrize("chooser", [Supernet(), Fixed({"depth": 2})], ids=["Supernet", "Fixed"])
def test_one_name_means_one_kind(chooser: Chooser) -> None:
    """The same values as another kind are refused by both choosers."""
    chooser.number("depth", [1, 2])
    with pytest.raises(SpaceError, match=r"first asked as number of .* then as repeat of"):
        chooser.repeat("depth", [1, 2], lambda i: nn.Identity())


def test_a_decision_cannot_hold_itself() -> None:
    """Asked again inside one of its own candidates."""
    chooser = Supernet()
    with pytest.raises(SpaceError, match="'op' is asked for inside its own candidates"):
        chooser.op("op", {"a": lambda: chooser.op("op", {"a": nn.Identity})})


def test_a_condition_on_a_later_decision_is_refused() -> None:
    """First asked under `first`, then under `second`, which comes after it in the record."""
    chooser = Supernet()
    chooser.op("first", {"conv": lambda: ask_kernel(chooser), "skip": nn.Identity})
    chooser.op("second", {"conv": lambda: ask_kernel(chooser), "skip": nn.Identity})
    with pytest.raises(SpaceError, match="'kernel' depends on 'second', which does not come before it"):
        chooser.decisions()


def ask_kernel(chooser: Supernet, name: str = "kernel") -> nn.Module:
    chooser.number(name, [1, 3])
    return nn.Identity()
