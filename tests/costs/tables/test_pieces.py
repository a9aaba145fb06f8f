"""Costs from the pieces a space lists, against networks counted as a whole."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
import torch

from archwright.core.errors import InvalidValueError, SpaceError
from archwright.costs import Params
from archwright.costs.counting.count import count
from archwright.costs.tables.pieces import PieceTables
from archwright.spaces import NasNet, Smash
from archwright.spaces.pieces import CostPiece

SPACE = NasNet(input_shape=(3, 8, 8), cells=1, channels=2, blocks=2, ops=["identity", "sep_conv_3x3"])


class Forgetful(NasNet):
    """A space that leaves out its last piece."""

    def cost_pieces(self) -> Iterable[CostPiece]:
        return list(super().cost_pieces())[:-1]


def test_memory_access_is_counted_arch_by_arch() -> None:
    """It is no sum of parts."""
    tables = PieceTables(SPACE, ("memory_access_bytes",))
    assert not tables.is_additive
    rows = SPACE.decisions.sample(2, np.random.default_rng(0))
    for row, cost in zip(rows, tables.cost_rows(rows)[:, 0], strict=True):
        with torch.device("meta"):
            network = SPACE.build(SPACE.decisions.arch(row))
        assert cost == count(network, SPACE.input_shape).memory_access_bytes
    with pytest.raises(InvalidValueError, match="no sum of parts"):
        tables.expected({}, "memory_access_bytes")


def test_pieces_that_do_not_add_up_are_found_out() -> None:
    """When the tables are made."""
    space = Forgetful(**SPACE.args())
    with pytest.raises(SpaceError, match="do not add up"):
        PieceTables(space, ("params", "macs"))


def test_expectation_is_the_mean_over_all_archs() -> None:
    """Every decision uniform and on its own: the plain mean of an enumerated space."""
    space = SPACE.with_args(blocks=1)
    rows = space.decisions.enumerate_rows()
    uniform = {d.name: np.full(len(d.values), 1 / len(d.values)) for d in space.decisions}
    assert float(Params().expected(space, uniform)) == pytest.approx(Params().cost_rows(space, rows).mean())
    with pytest.raises(InvalidValueError, match=r"probabilities of decision 'normal\.block0\.input1' are missing"):
        Params().expected(space, {})


def test_pieces_of_decisions_that_may_be_inactive() -> None:
    """Operations that a block has or has not: rows against networks."""
    space = Smash(input_shape=(1, 8, 8), depth=4, width=1, base=4, bank=2, ops=(3, 2, 1), largest_width=4)
    rows = space.decisions.sample(6, np.random.default_rng(3))
    tables = PieceTables(space, ("params", "macs"))
    for row, costs in zip(rows, tables.cost_rows(rows), strict=True):
        with torch.device("meta"):
            counted = count(space.build(space.decisions.arch(row)), space.input_shape)
        assert costs.tolist() == [counted.params, counted.macs]


def test_what_is_kept_changes_nothing() -> None:
    """The same costs row by row, all at once, and again."""
    rows = SPACE.decisions.sample(50, np.random.default_rng(0))
    tables, others = (PieceTables(SPACE, ("params", "macs")) for _ in range(2))
    one_by_one = np.concatenate([tables.cost_rows(row[None]) for row in rows])
    assert (one_by_one == others.cost_rows(rows)).all()
    assert (one_by_one == tables.cost_rows(rows)).all()
