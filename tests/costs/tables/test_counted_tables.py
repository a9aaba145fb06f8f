"""Cost tables against building and counting."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from archwright.core.decisions import Rows
from archwright.core.errors import InvalidValueError
from archwright.costs.counted import ActivationPeak, Flops, Macs, MemoryAccess, ModelSize, Params
from archwright.costs.counting.count import count
from archwright.costs.tables.counted import CostTables, tables_of
from archwright.nn import Chooser, Classifier, Conv2d
from archwright.spaces import NasBench201, Space, SposSpace
from archwright.testing import (
    BranchSpace,
    ElasticSpace,
    LooseEndsSpace,
    MBConvSpace,
    NumberSpace,
    StagesSpace,
    StrideSpace,
)

ADDITIVE = [
    SposSpace(input_shape=(1, 16, 16), n_classes=10),
    ElasticSpace(),
    BranchSpace(),
    NumberSpace(),
    StagesSpace(),
]


def built_and_counted(space: Space, rows: Rows, columns: Sequence[str] = ("params", "macs")) -> NDArray[np.float64]:
    """Figures of each row's stand-alone network, parameters and multiply-accumulates unless told otherwise."""
    found = []
    for arch in space.decisions.archs(rows):
        with torch.device("meta"):
            counted = count(space.build(arch), space.input_shape)
        found.append([getattr(counted, column) for column in columns])
    return np.array(found, dtype=np.float64)


@pytest.mark.parametrize("space", ADDITIVE, ids=lambda space: type(space).__name__)
def test_tables_equal_building_and_counting(space: Space) -> None:
    """Twelve random archs, to the unit, by look-up."""
    tables = CostTables(space)
    rows = space.decisions.sample(12, np.random.default_rng(7))
    assert tables.is_additive
    assert (tables.cost_rows(rows) == built_and_counted(space, rows)).all()


def test_large_populations_are_looked_up_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the same result; no rows at all are no block."""
    space = StagesSpace()
    rows = space.decisions.sample(50, np.random.default_rng(7))
    expected = CostTables(space).cost_rows(rows)
    monkeypatch.setattr("archwright.costs.tables.counted.BLOCK", 7)
    assert (CostTables(space).cost_rows(rows) == expected).all()
    assert CostTables(space).cost_rows(rows[:0]).shape == (0, 2)


@pytest.mark.parametrize("column", ["memory_access_bytes", "model_size_bytes"])
@pytest.mark.parametrize("space", [*ADDITIVE, MBConvSpace(), LooseEndsSpace()], ids=lambda space: type(space).__name__)
def test_memory_is_additive_too(space: Space, column: str) -> None:
    """A ReLU has no size of its own; what it moves follows the layer it reads from."""
    tables = CostTables(space, (column,))
    rows = space.decisions.sample(8, np.random.default_rng(7))
    assert tables.is_additive
    assert (tables.cost_rows(rows) == built_and_counted(space, rows, [column])).all()


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
    tables._terms = tables._empty_terms()
    tables.is_additive = True
    rows = space.decisions.enumerate_rows()
    assert (tables.cost_rows(rows) == built_and_counted(space, rows)).all()
    assert not tables.is_additive


def test_a_cell_that_leaves_out_zeros_is_counted() -> None:
    """What its sums read depends on all edges together: memory access of NAS-Bench-201 is exact, but no sum."""
    space = NasBench201(channels=4, cells=1, input_shape=(3, 8, 8))
    rows = space.decisions.sample(6, np.random.default_rng(1))
    expected = built_and_counted(space, rows, ["memory_access_bytes"])[:, 0]
    assert MemoryAccess().cost_rows(space, rows).tolist() == expected.tolist()
    assert [cost.is_summed(space) for cost in (Macs(), ModelSize(), MemoryAccess(), ActivationPeak())] == [
        *(True, True, False, False)
    ]


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


@pytest.mark.parametrize("cost", [MemoryAccess(), ModelSize(), ActivationPeak()], ids=lambda cost: cost.name)
def test_memory_costs_of_every_arch_of_small_spaces(cost: MemoryAccess | ModelSize | ActivationPeak) -> None:
    """Looked up, counted one by one where the space is not additive, and of the module itself."""
    for space in (BranchSpace(), NumberSpace(), StrideSpace()):
        rows = space.decisions.enumerate_rows()
        expected = built_and_counted(space, rows, [cost.name])[:, 0]
        assert (cost.cost_rows(space, rows) == expected).all()
        network = space.build(space.decisions.arch(rows[-1]))
        assert cost.cost_module(network, space.input_shape) == expected[-1]


def test_expected_cost_is_the_mean_over_all_archs() -> None:
    """Uniform decisions of three spaces without conditions: the mean of the enumeration."""
    for space in (BranchSpace(), NumberSpace()):
        uniform = {d.name: [1 / len(d.values)] * len(d.values) for d in space.decisions}
        for cost in (Params(), Flops(), MemoryAccess()):
            mean = cost.cost_rows(space, space.decisions.enumerate_rows()).mean()
            assert cost.expected(space, uniform).item() == pytest.approx(mean)


def test_expected_cost_needs_a_sum() -> None:
    """A stride that changes what follows, or a maximum, has none."""
    space = StrideSpace()
    uniform = {d.name: [1 / len(d.values)] * len(d.values) for d in space.decisions}
    for cost in (Macs(), ActivationPeak()):
        with pytest.raises(InvalidValueError, match="it has no expected value"):
            cost.expected(space, uniform)


class UnpaddedSpace(Space):
    """The second convolution's image follows the kernel of the first, which it is told or not."""

    input_shape = (1, 9, 9)
    n_classes = 2
    is_told = False

    def network(self, choose: Chooser) -> nn.Module:
        kernel = choose.number("kernel", [1, 3, 5])
        side = choose.map(lambda k: 10 - k, kernel, largest=9)
        first = Conv2d(1, 2, kernel, padding=0)
        second = Conv2d(2, 2, choose.number("second", [1, 3]), image=(side, side) if self.is_told else None)
        return Classifier(first, second, n_classes=self.n_classes)


class ToldSpace(UnpaddedSpace):
    is_told = True


@pytest.mark.parametrize("space", [UnpaddedSpace(), ToldSpace()], ids=["silent", "told"])
def test_a_kernel_that_resizes_the_image_is_never_costed_wrong(space: UnpaddedSpace) -> None:
    """Looked up where layers say what their image follows; where not, that is noticed and every arch is counted."""
    rows = space.decisions.enumerate_rows()
    assert tables_of(space).cost_rows(rows).tolist() == built_and_counted(space, rows).tolist()
    assert tables_of(space).is_additive == space.is_told
