"""Grid search: order, limits, coarser grids, spaces that cannot be listed."""

from __future__ import annotations

import numpy as np
import pytest

from archwright.core.decisions import Decision, DecisionSpace
from archwright.core.errors import InfeasibleError, InvalidValueError
from archwright.core.objective import Goal, Objective
from archwright.costs import open_costs
from archwright.spaces import LeNet, Space
from archwright.strategies import Grid, GridConfig
from archwright.strategies import grid as grid_module
from archwright.strategies.base import Strategy
from archwright.testing import BranchSpace, ElasticSpace, StrategyContract

OBJECTIVE = Objective((Goal("score"),))


class TestContract(StrategyContract):
    has_random_asks = False

    def make(self, space: Space, seed: int) -> Strategy:
        return Grid(space, seed=seed)


class Numbers(BranchSpace):
    """Decisions of every kind and order: 5 x 2 x 4 x 4^40 archs."""

    def declare(self) -> DecisionSpace:
        first = [Decision("width", (8, 2, 4, 16, 6), "number"), Decision("depth", (1, 2), "repeat")]
        others = [Decision(f"op{i}", ("a", "b", "c", "d")) for i in range(40)]
        return DecisionSpace([*first, Decision("kernel", (1, 3, 5, 7), "number"), *others])


def test_every_feasible_member_comes_once_in_the_order_of_the_list() -> None:
    """Of 729 members of the LeNet space, the 17 of at most 52,428 bytes."""
    space = LeNet()
    (size,) = open_costs(["model_size_bytes"])
    strategy = Grid(space)
    strategy.bind(OBJECTIVE, lambda rows: size.cost_rows(space, rows) <= 52_428)
    asked = strategy.ask(1000)
    rows = space.decisions.enumerate_rows()
    kept = rows[size.cost_rows(space, rows) <= 52_428]
    assert space.decisions.rows([candidate.arch for candidate in asked]).tolist() == kept.tolist()
    assert len(asked) == 17
    assert {candidate.origin for candidate in asked} == {"grid"}
    assert strategy.ask(1) == []


def test_conditions_are_heeded() -> None:
    """A space whose archs differ in length is asked over, each member once."""
    space = ElasticSpace()
    asked = Grid(space).ask(space.size() + 1)
    assert space.decisions.rows([c.arch for c in asked]).tolist() == space.decisions.enumerate_rows().tolist()


def test_a_huge_space_begins_at_once() -> None:
    """About 5 x 10^25 members: the first ones, the last decision changing fastest."""
    strategy = Grid(Numbers(), GridConfig(n_trials=7))
    asked = strategy.ask(100)
    assert [candidate.arch["op39"] for candidate in asked] == ["a", "b", "c", "d", "a", "b", "c"]
    assert [candidate.arch["op38"] for candidate in asked] == ["a"] * 4 + ["b"] * 3
    assert strategy.n_trials == 7


@pytest.mark.parametrize(
    ("levels", "widths", "kernels"),
    [(2, (2, 16), (1, 7)), (3, (2, 16, 6), (1, 5, 7)), (4, (8, 2, 4, 16), (1, 3, 5, 7)), (9, None, None)],
)
def test_levels_spread_over_numbers_only(
    levels: int, widths: tuple[int, ...] | None, kernels: tuple[int, ...] | None
) -> None:
    """From smallest to largest whatever the order in which they are declared; operations keep all values."""
    space = Numbers()
    kept = [grid_module._kept(decision, levels) for decision in space.decisions]
    found = {d.name: tuple(d.values[i] for i in k) for d, k in zip(space.decisions, kept, strict=True)}
    assert found["width"] == (widths or (8, 2, 4, 16, 6))
    assert found["kernel"] == (kernels or (1, 3, 5, 7))
    assert (found["depth"], found["op0"]) == ((1, 2), ("a", "b", "c", "d"))


def test_a_coarser_grid_is_a_product() -> None:
    """Smallest and largest of six decisions: 64 of 729 members."""
    asked = Grid(LeNet(), GridConfig(levels=2)).ask(1000)
    assert len({candidate.arch for candidate in asked}) == 2**6
    assert {candidate.arch["conv1.kernel"] for candidate in asked} == {3, 7}


def test_the_search_for_a_feasible_member_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a space that is too large to go through, with a limit that the first ones miss."""
    monkeypatch.setattr(grid_module, "MAX_DRAWS", 5000)
    strategy = Grid(Numbers())
    strategy.bind(OBJECTIVE, lambda rows: rows[:, 0] == 4)
    with pytest.raises(InfeasibleError, match=r"none of the first [5-6],\d{3} architectures of the grid"):
        strategy.ask(1)


def test_few_rows_are_costed_for_the_first_member() -> None:
    """Where costs are slow: sixteen."""
    seen: list[int] = []
    strategy = Grid(Numbers())
    strategy.bind(OBJECTIVE, lambda rows: seen.append(len(rows)) or np.ones(len(rows), bool))
    assert len(strategy.ask(1)) == 1
    assert seen == [16]


@pytest.mark.parametrize(
    ("arguments", "message"), [({"n_trials": 0}, "grid.n_trials is 0"), ({"levels": 1}, "grid.levels is 1")]
)
def test_impossible_numbers_are_refused(arguments: dict[str, int], message: str) -> None:
    """By name and value."""
    with pytest.raises(InvalidValueError, match=message):
        GridConfig(**arguments)
