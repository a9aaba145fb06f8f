"""The contract of costs: one figure of a network, the same for a row and for the network built from it."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from torch import nn

from archwright.core import catalog
from archwright.core.decisions import Rows
from archwright.costs.base import Cost
from archwright.spaces.base import Space
from archwright.testing.contracts.base import Contract, skip, to_do
from archwright.testing.spaces import ElasticSpace


class CostContract(Contract):
    """Tests of one cost.

    Attributes:
        n_rows: How many networks are built.
        is_measured: True if the cost is measured with a clock; two figures of one network are then not compared.
        tolerance: Largest accepted relative difference between a row's figure and its network's.
    """

    n_rows: ClassVar[int] = 8
    is_measured: ClassVar[bool] = False
    tolerance: ClassVar[float] = 0.0

    def make(self) -> Cost:
        """The cost."""
        to_do(self, "make(self) -> Cost")

    def make_space(self) -> Space:
        """The space whose rows are costed; override it if the cost's table belongs to another space."""
        return ElasticSpace()

    def test_name_and_unit(self) -> None:
        """Both are texts; a cost in the catalogue is found there by its name."""
        cost = self.make()
        assert isinstance(cost.unit, str)
        assert cost.name
        assert cost.name == cost.name.lower()
        if "__listing__" in vars(type(cost)):
            assert catalog.load("cost", cost.name) is type(cost)

    def test_figures_of_rows(self) -> None:
        """One float64 for each row, finite and not negative; the order of the rows does not change them."""
        cost, space, rows = self._made()
        figures = cost.cost_rows(space, rows)
        assert figures.dtype == np.float64
        assert figures.shape == (len(rows),)
        assert (np.isfinite(figures) & (figures >= 0)).all()
        if not self.is_measured:
            assert cost.cost_rows(space, rows[::-1])[::-1].tolist() == figures.tolist()
            assert [cost.cost_rows(space, row[None])[0] for row in rows] == figures.tolist()

    def test_no_rows_no_figures(self) -> None:
        """An empty population has an empty array of figures."""
        cost, space, rows = self._made()
        figures = cost.cost_rows(space, rows[:0])
        assert figures.dtype == np.float64
        assert figures.shape == (0,)

    def test_a_row_costs_what_its_network_costs(self) -> None:
        """The figure of each row is that of its network, built and costed as a module."""
        if self.is_measured:
            skip("what a clock says differs from time to time")
        cost, space, rows = self._made()
        figures = cost.cost_rows(space, rows).tolist()
        built = [cost.cost_module(space.build(arch).eval(), space.signature) for arch in space.decisions.archs(rows)]
        assert len(set(figures)) > 1, "every network costs the same: nothing can be compared"
        np.testing.assert_allclose(figures, built, rtol=self.tolerance, atol=0)

    def test_a_network_s_figure_is_a_number(self) -> None:
        """The figure is a plain float, also for a network that belongs to no space."""
        cost, network = self.make(), self.network()
        figure = cost.cost_module(network, (3, 8, 8))
        assert type(figure) is float
        assert figure >= 0
        if not self.is_measured:
            assert cost.cost_module(network, (3, 8, 8)) == figure

    def test_a_larger_input_costs_no_less(self) -> None:
        """The cost depends on the input shape of the call, and does not fall with it."""
        if self.is_measured:
            skip("what a clock says differs from time to time")
        cost, network = self.make(), self.network()
        small, large = (cost.cost_module(network, (3, side, side)) for side in (8, 16))
        assert small <= large

    def test_the_network_stays_as_it_is(self) -> None:
        """Costing changes no weights, statistics, modes or hooks, in training and in evaluation mode."""
        cost = self.make()
        for training in (True, False):
            network = self.network().train(training)
            before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
            cost.cost_module(network, (3, 8, 8))
            assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
            assert {module.training for module in network.modules()} == {training}
            assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())
            assert all(parameter.requires_grad and parameter.grad is None for parameter in network.parameters())

    def network(self) -> nn.Module:
        """A network that belongs to no space: convolution, batch norm, pooling, linear layer; input (N, 3, H, W)."""
        body = [nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1)]
        return nn.Sequential(*body, nn.Flatten(), nn.Linear(4, 5))

    def _made(self) -> tuple[Cost, Space, Rows]:
        space = self.make_space()
        return self.make(), space, space.decisions.sample(self.n_rows, np.random.default_rng(7))
