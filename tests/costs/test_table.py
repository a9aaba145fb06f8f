"""Cost tables against building and counting."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from archwright.core.decisions import Rows
from archwright.costs.count import count
from archwright.costs.counted import Flops, Macs, Params
from archwright.costs.table import CostTables, tables_of
from archwright.spaces import Space, SposSpace
from archwright.testing import BranchSpace, ElasticSpace, NumberSpace, StagesSpace, StrideSpace

ADDITIVE = [
    SposSpace(input_shape=(1, 16, 16), n_classes=10),
    ElasticSpace(),
    BranchSpace(),
    NumberSpace(),
    StagesSpace(),
]


def built_and_counted(space: Space, rows: Rows) -> NDArray[np.float64]:
    """Parameters and multiply-accumulates of each row's stand-alone network."""
    found = []
    for arch in space.decisions.archs(rows):
        with torch.device("meta"):
            counted = count(space.build(arch), space.input_shape)
        found.append([counted.params, counted.macs])
    return np.array(found, dtype=np.float64)


@pytest.mark.parametrize("space", ADDITIVE, ids=lambda space: type(space).__name__)
def test_tables_equal_building_and_counting(space: Space) -> None:
    """Twelve random archs, to the unit, by look-up."""
    tables = CostTables(space)
    rows = space.decisions.sample(12, np.random.default_rng(7))
    assert tables.is_additive
    assert (tables.cost_rows(rows) == built_and_counted(space, rows)).all()


@pytest.mark.parametrize("space", [BranchSpace(), NumberSpace(), StrideSpace()], ids=lambda space: type(space).__name__)
def test_every_arch_of_a_small_space_is_right(space: Space) -> None:
    """All rows, looked up in one call."""
    rows = space.decisions.enumerate_rows()
    assert (CostTables(space).cost_rows(rows) == built_and_counted(space, rows)).all()


def test_a_stride_that_changes_later_sizes_is_not_additive() -> None:
    """It is noticed, and every row is counted instead."""
    assert not CostTables(StrideSpace()).is_additive


def test_a_contradiction_found_late_ends_the_tables() -> None:
    """Tables that passed their check by luck give exact figures from the first contradicting measurement on."""
    space = StrideSpace()
    tables = CostTables(space)
    tables._tables = {scope: tables._empty(scope) for scope in tables._tables}
    tables.is_additive = True
    rows = space.decisions.enumerate_rows()
    assert (tables.cost_rows(rows) == built_and_counted(space, rows)).all()
    assert not tables.is_additive


def test_no_rows_cost_nothing() -> None:
    """An empty population, by look-up and by counting."""
    for space in (BranchSpace(), StrideSpace()):
        assert CostTables(space).cost_rows(space.decisions.enumerate_rows()[:0]).shape == (0, 2)


def test_a_space_has_one_set_of_tables() -> None:
    """Made once a space object, and gone with it."""
    space = BranchSpace()
    assert tables_of(space) is tables_of(space)
    assert tables_of(BranchSpace()) is not tables_of(space)


def test_tables_go_with_their_space() -> None:
    """A process that looks at many spaces does not keep them all."""
    space = BranchSpace()
    tables_of(space)
    gone = weakref.ref(space)
    del space
    gc.collect()
    assert gone() is None


def test_counted_costs_by_name_and_factor() -> None:
    """A row's params, macs and flops are those of the built network."""
    space = NumberSpace()
    rows = space.decisions.enumerate_rows()
    expected = built_and_counted(space, rows)
    assert Params().cost_rows(space, rows).tolist() == expected[:, 0].tolist()
    assert Macs().cost_rows(space, rows).tolist() == expected[:, 1].tolist()
    assert Flops().cost_rows(space, rows).tolist() == (2 * expected[:, 1]).tolist()
    network = space.build(space.decisions.arch(rows[0]))
    figures = [cost.cost_module(network, space.input_shape) for cost in (Params(), Macs(), Flops())]
    assert figures == [expected[0, 0], expected[0, 1], 2 * expected[0, 1]]
