"""What every space can do from its definition alone."""

from __future__ import annotations

import numpy as np
import pytest
from torch import nn

from archwright.core.arch import Arch
from archwright.core.decisions import Decision, DecisionSpace
from archwright.core.errors import InvalidArchError, InvalidValueError
from archwright.nn import Chooser
from archwright.spaces import Space, SposSpace
from archwright.testing import BranchSpace, ElasticSpace, NumberSpace


class ManyValues(Space):
    """Twelve widths: a code needs more than digits."""

    output_shape = (3, 32, 32)

    def network(self, choose: Chooser) -> nn.Module:
        choose.number("width", range(1, 13))
        return choose.op("op", {"a": nn.Identity, "b": nn.ReLU})


def test_codes_of_many_values_round_trip() -> None:
    """The arch of an arch's code is that arch."""
    for arch in ManyValues().sample(20, np.random.default_rng(0)):
        assert ManyValues().parse(ManyValues().code(arch)) == arch


def test_codes_by_hand() -> None:
    """A digit a decision, '-' for an inactive one; numbers with dots where there are more than ten values."""
    arch = Arch(
        {"width": 8, "kernel": 5, "depth": 1, "block0.op": "pool", "inputs": (0, 2), "edge0": "skip", "edge2": "point"}
    )
    assert ElasticSpace().code(arch) == "1201-----1" + "0-1"
    assert ManyValues().code({"width": 11, "op": "b"}) == "10.1"


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("010", "has 3 positions; .* has 2 decisions"),
        ("", "has 0 positions"),
        ("04", "has '4' for decision 'kernel'; use 0 to 1"),
        ("0x", "has 'x' for decision 'kernel'"),
        ("0-", "'kernel' is missing"),
        ("٠0", "for decision 'width'"),
    ],
)
def test_a_wrong_code_is_refused(code: str, message: str) -> None:
    """Length, digit, a dash where something must be chosen, digits of other scripts."""
    with pytest.raises(InvalidArchError, match=message):
        NumberSpace().parse(code)


def test_a_value_for_an_inactive_decision_is_refused() -> None:
    """A pool has no kernel."""
    with pytest.raises(InvalidArchError, match=r"'block0\.kernel' does not apply"):
        ElasticSpace().parse("12010----10-1")


def test_arguments_give_the_same_space_again() -> None:
    """`args` is what the constructor takes; changes are made on top of it."""
    space = SposSpace(input_shape=(1, 28, 28), n_classes=7, affine=False, dropout=0.3)
    same = SposSpace(**space.args())
    assert same.args() == space.args()
    assert space.with_args(n_classes=3).args() == space.args() | {"n_classes": 3}


def test_other_arguments_keep_the_name_a_user_opened_it_by() -> None:
    """Files written for the changed space name the user's code, not a module made up while loading it."""
    space = BranchSpace()
    space.opened_as = "file.py:BranchSpace"
    assert space.with_args(n_classes=5).name == "file.py:BranchSpace"


def test_names() -> None:
    """The catalogue's for a listed class, module and class for another, also where it inherits from a listed one."""

    class Mine(SposSpace):
        pass

    assert SposSpace(input_shape=(1, 8, 8)).name == "spos"
    assert BranchSpace().name == "archwright.testing.spaces:BranchSpace"
    assert Mine(input_shape=(1, 8, 8)).name.endswith("Mine")


def test_draws_are_archs() -> None:
    """Readable forms of the decisions' own draws."""
    space = BranchSpace()
    rows = space.decisions.sample(5, np.random.default_rng(3))
    assert space.sample(5, np.random.default_rng(3)) == space.decisions.archs(rows)


def test_a_step_changes_one_decision() -> None:
    """To any of its other values; of a hundred steps in a space without conditions, all decisions see some."""
    space = BranchSpace()
    rows = np.repeat(space.decisions.sample(1, np.random.default_rng(3)), 100, axis=0)
    changed = space.mutate(rows, np.random.default_rng(4)) != rows
    assert (changed.sum(axis=1) == 1).all()
    assert changed.any(axis=0).all()


def test_a_network_that_does_not_ask_for_a_declared_decision_is_noticed() -> None:
    """When an arch of it is built."""

    class Overdeclared(BranchSpace):
        def declare(self) -> DecisionSpace:
            return DecisionSpace([*super().declare(), Decision("extra", (0, 1))])

    space = Overdeclared()
    with pytest.raises(InvalidArchError, match="does not ask for decision 'extra'"):
        space.build(space.sample(1, np.random.default_rng(0))[0])


@pytest.mark.parametrize(
    "arguments", [{"input_shape": ()}, {"input_shape": (3, 0, 4)}, {"n_classes": 0}, {"n_classes": -1}]
)
def test_impossible_inputs_and_outputs_are_refused(arguments: dict[str, object]) -> None:
    """An empty or non-positive shape, no classes."""
    with pytest.raises(InvalidValueError):
        BranchSpace(**arguments)  # type: ignore[arg-type]
