"""The contract of costs finds what a cost can get wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from torch import nn

from archwright.core.decisions import Rows
from archwright.costs import Cost, Macs
from archwright.spaces import Space
from archwright.testing import BranchSpace, CostContract


class Single(Macs):
    """Half the precision."""

    def cost_rows(self, space: Space, rows: Rows) -> NDArray[np.float64]:
        return super().cost_rows(space, rows).astype(np.float32)  # type: ignore[return-value]


class Off(Macs):
    """A row costs one more than its network."""

    def cost_rows(self, space: Space, rows: Rows) -> NDArray[np.float64]:
        return super().cost_rows(space, rows) + 1


class Placed(Macs):
    """A row's cost depends on its place."""

    def cost_rows(self, space: Space, rows: Rows) -> NDArray[np.float64]:
        return super().cost_rows(space, rows) + np.arange(len(rows))


class Nonempty(Macs):
    """Looks at the first row."""

    def cost_rows(self, space: Space, rows: Rows) -> NDArray[np.float64]:
        assert rows[0].any() or not rows[0].any()
        return super().cost_rows(space, rows)


class Switching(Macs):
    """Leaves the network in evaluation mode."""

    def cost_module(self, module: nn.Module, input_shape: Sequence[int]) -> float:
        return super().cost_module(module.eval(), input_shape)


class Whole(Macs):
    """Gives an integer."""

    def cost_module(self, module: nn.Module, input_shape: Sequence[int]) -> float:
        return int(super().cost_module(module, input_shape))


class Shrinking(Macs):
    """Cheaper for larger inputs."""

    def cost_module(self, module: nn.Module, input_shape: Sequence[int]) -> float:
        return 1e9 - super().cost_module(module, input_shape)


class Renamed(Macs):
    """In the catalogue under another name."""

    __listing__ = Macs.__listing__
    name = "multiplications"


@pytest.mark.parametrize(
    ("broken", "test"),
    [
        (Renamed, "test_name_and_unit"),
        (Single, "test_figures_of_rows"),
        (Placed, "test_figures_of_rows"),
        (Nonempty, "test_no_rows_no_figures"),
        (Off, "test_a_row_costs_what_its_network_costs"),
        (Whole, "test_a_network_s_figure_is_a_number"),
        (Shrinking, "test_a_larger_input_costs_no_less"),
        (Switching, "test_the_network_stays_as_it_is"),
    ],
)
def test_a_broken_cost_is_noticed(fails: Callable[..., bool], broken: type[Cost], test: str) -> None:
    """By the test that states what it breaks; the sound one passes it."""
    contract = Contract()
    assert not fails(contract, test)
    contract.member = broken
    assert fails(contract, test)


class Contract(CostContract):
    member: type[Cost] = Macs

    def make(self) -> Cost:
        return self.member()

    def make_space(self) -> Space:
        return BranchSpace()
