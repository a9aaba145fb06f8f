"""Values that open one after the other."""

from __future__ import annotations

import numpy as np
import pytest

from archwright.core.errors import InvalidValueError, UnknownNameError
from archwright.policies import Widening
from archwright.spaces import Space
from archwright.testing import MBConvSpace, PolicyContract, StrideSpace


class TestWidening(PolicyContract):
    def make(self, space: Space) -> Widening:
        return Widening(space)


def _seen(policy: Widening, progress: float, column: int) -> set[int]:
    rows = policy.draw(300, np.random.default_rng(0), np.full(300, progress))
    return set(rows[:, column].tolist())


@pytest.mark.parametrize(("progress", "opened"), [(0.0, 1), (0.33, 1), (0.34, 2), (0.66, 2), (0.67, 3), (0.999, 3)])
def test_a_value_opens_with_each_part_of_the_training(progress: float, opened: int) -> None:
    """Three values in three thirds, from the first up or from the last down."""
    assert _seen(Widening(StrideSpace()), progress, 1) == set(range(opened))
    assert _seen(Widening(StrideSpace(), from_last=True), progress, 1) == set(range(3 - opened, 3))


def test_only_named_decisions_widen_and_before_the_end() -> None:
    """The last value opens in the last part of what lies before `until`."""
    policy = Widening(StrideSpace(), ["middle"], until=0.5)
    assert _seen(policy, 0.0, 0) == _seen(policy, 0.0, 2) == {0, 1}
    assert (_seen(policy, 0.3, 1), _seen(policy, 0.34, 1)) == ({0, 1}, {0, 1, 2})


def test_each_draw_has_its_own_progress() -> None:
    """A bulk of draws along a training is the same as the training's steps."""
    progress = np.linspace(0, 1, 900, endpoint=False)
    rows = Widening(StrideSpace()).draw(900, np.random.default_rng(0), progress)
    assert (rows[:300, 1] == 0).all()
    assert set(rows[600:, 1].tolist()) == {0, 1, 2}


def test_conditional_decisions_are_left_out() -> None:
    """While only the first depth is open, the later blocks have no values."""
    space = MBConvSpace()
    rows = Widening(space, ["depth"]).draw(50, np.random.default_rng(0), np.zeros(50))
    assert (rows[:, [space.decisions.position("block1.kernel"), space.decisions.position("block2.expand")]] == -1).all()


def test_bad_values_are_refused() -> None:
    """In one line."""
    with pytest.raises(UnknownNameError, match="unknown decision 'midle'; did you mean middle"):
        Widening(StrideSpace(), ["midle"])
    with pytest.raises(InvalidValueError, match=r"until is 2\.0; give at most 1"):
        Widening(StrideSpace(), until=2.0)
    with pytest.raises(InvalidValueError, match=r"progress of 3 draws has shape \(2,\); give one number for each"):
        Widening(StrideSpace()).draw(3, np.random.default_rng(0), np.zeros(2))
