"""Costs that a space gives in closed form, against networks counted as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch

from archwright.core.errors import InvalidValueError, SpaceError
from archwright.costs import Params
from archwright.costs.counting.count import count
from archwright.costs.tables.counted import tables_of
from archwright.costs.tables.formulas import FormulaTables
from archwright.spaces import NasRl
from archwright.spaces.pieces import CostFormula

SPACE = NasRl(input_shape=(3, 9, 6), layers=3, strides=True, filters=[2, 5], pool_after=[2])
COLUMNS = ("params", "macs", "model_size_bytes")


class Forgetful(NasRl):
    """A space that forgets the image's channels."""

    def cost_formula(self) -> CostFormula:
        return self.with_args(input_shape=(1, *self.input_shape[1:]))._own_formula()

    def _own_formula(self) -> CostFormula:
        return super().cost_formula()


def test_formula_is_what_networks_cost() -> None:
    """Random archs, to the unit."""
    tables = tables_of(SPACE, COLUMNS)
    assert isinstance(tables, FormulaTables)
    assert tables.is_additive
    rows = SPACE.decisions.sample(20, np.random.default_rng(5))
    for row, costs in zip(rows, tables.cost_rows(rows).tolist(), strict=True):
        with torch.device("meta"):
            counted = count(SPACE.build(SPACE.decisions.arch(row)), SPACE.input_shape)
        assert costs == [getattr(counted, column) for column in COLUMNS]


def test_what_the_formula_leaves_out_is_counted() -> None:
    """Memory access, arch by arch."""
    tables = FormulaTables(SPACE, ("memory_access_bytes",))
    assert not tables.is_additive
    rows = SPACE.decisions.sample(2, np.random.default_rng(0))
    for row, found in zip(rows, tables.cost_rows(rows)[:, 0], strict=True):
        with torch.device("meta"):
            network = SPACE.build(SPACE.decisions.arch(row))
        assert found == count(network, SPACE.input_shape).memory_access_bytes


def test_a_wrong_formula_is_found_out() -> None:
    """When the tables are made."""
    with pytest.raises(SpaceError, match="is not what its networks cost"):
        FormulaTables(Forgetful(**SPACE.args()), ("params", "macs"))


def test_no_expected_value() -> None:
    """A formula is no sum over decisions."""
    uniform: Mapping[str, Any] = {d.name: np.full(len(d.values), 1 / len(d.values)) for d in SPACE.decisions}
    with pytest.raises(InvalidValueError, match="params of space 'nas-rl' is no sum"):
        Params().expected(SPACE, uniform)
