"""Path dropout: its contract, chances by fan-in and progress, and spaces without paths."""

from __future__ import annotations

import numpy as np
import pytest

from archwright.core.errors import InvalidValueError
from archwright.policies import PathDropout, Policy
from archwright.policies.path_dropout import drop_chance
from archwright.spaces import Darts, OneShot, Space
from archwright.testing import BranchSpace, EdgesSpace, NumberSpace, PolicyContract


class TestContract(PolicyContract):
    def make(self, space: Space) -> Policy:
        return PathDropout(space)

    def make_space(self) -> Space:
        return BranchSpace()


@pytest.mark.parametrize("fan_in", [1, 2, 5, 7])
def test_a_node_is_empty_as_often_as_the_rate_says(fan_in: int) -> None:
    """path-dropout.md, fact 1: 20,000 draws of each path on its own."""
    kept = np.random.default_rng(0).random((20_000, fan_in)) >= drop_chance(fan_in, 0.05)
    assert (~kept.any(axis=1)).mean() == pytest.approx(0.05, abs=0.005)


def test_no_path_is_dropped_at_the_beginning_or_at_rate_0() -> None:
    space = OneShot(input_shape=(1, 8, 8))
    for policy, progress in ((PathDropout(space, 0.5), 0.0), (PathDropout(space, 0.0), 1.0)):
        paths = policy.paths(np.random.default_rng(0), progress)
        assert [len(paths[f"block{b}.inputs"]) for b in range(4)] == [2, 3, 4, 5]
        assert all(len(paths[f"block{b}.ops"]) == 7 for b in range(4))
        assert all(weight == 1.0 for weights in paths.values() for _, weight in weights)


def test_the_chance_rises_with_the_progress() -> None:
    """path-dropout.md, fact 2: half of it in the middle of the training, by frequency."""
    policy, rng = PathDropout(OneShot(input_shape=(1, 8, 8)), 0.3), np.random.default_rng(0)
    for progress in (0.5, 1.0):
        kept = [len(policy.paths(rng, progress)["block0.inputs"]) for _ in range(4_000)]
        chance = progress * drop_chance(2, 0.3)
        # a node without paths keeps one at weight 0, which counts as one here
        assert np.mean(kept) == pytest.approx(2 * (1 - chance) + chance**2, abs=0.03)


def test_a_node_without_paths_has_one_at_weight_0() -> None:
    policy = PathDropout(BranchSpace(), 0.999)
    found = [policy.paths(np.random.default_rng(seed))["node.op"] for seed in range(50)]
    assert [(0, 0.0)] in found


def test_operations_on_edges_lead_into_their_node() -> None:
    """Node 3 of DARTS has 3 edges of 7 operations: each is dropped with r^(1/21)."""
    policy = PathDropout(Darts(), 0.05)
    assert policy._fan_ins["normal.edge03"] == 21
    assert set(policy.paths(np.random.default_rng(0))) == {name for name in Darts().decisions.names if "edge" in name}


def test_values_that_compute_nothing_are_no_paths() -> None:
    from archwright.spaces import Snas

    assert PathDropout(Snas(), 0.05)._fan_ins["normal.edge02"] == 7


def test_numbers_are_no_paths() -> None:
    with pytest.raises(InvalidValueError, match="chooses a number, and numbers are no paths that could be dropped"):
        PathDropout(NumberSpace())


def test_pairs_are_no_paths() -> None:
    class Pairs(EdgesSpace):
        def network(self, choose):  # type: ignore[no-untyped-def]
            from torch import nn

            return nn.Sequential(choose.inputs("pairs", 3, 2, lambda j: nn.Identity()))

        def declare(self):  # type: ignore[no-untyped-def]
            from archwright.core.decisions import Decision, DecisionSpace
            from archwright.nn.choice.choosers import subsets

            return DecisionSpace([Decision("pairs", subsets(3, 2), "inputs")])

        def relaxation(self):  # type: ignore[no-untyped-def]
            from archwright.core.relaxation import Relaxation

            return Relaxation()

    with pytest.raises(InvalidValueError, match="keeps 2 states at least, so that no state is a path of its own"):
        PathDropout(Pairs())


def test_a_rate_of_1() -> None:
    with pytest.raises(InvalidValueError, match=r"rate is 1.0; give a number in \[0, 1\)"):
        PathDropout(BranchSpace(), 1.0)
