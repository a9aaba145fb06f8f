"""The dense convolution chain against hand formulas."""

from __future__ import annotations

import numpy as np
import pytest

from archwright.core.errors import InvalidValueError
from archwright.costs import count, open_costs
from archwright.spaces import Space
from archwright.spaces.conv_chain import ConvChain
from archwright.testing import SpaceContract


class TestContract(SpaceContract):
    def make(self) -> Space:
        return ConvChain(input_shape=(1, 12, 14), n_classes=3, width_mult=0.25)


def test_decisions_and_size() -> None:
    """Two widths of the stem; four, five and five widths, two entries and three depths of three stages."""
    space = ConvChain()
    assert space.size() == 2 * (4 * 6) * (5 * 6) * (5 * 6) == 43_200
    assert space.decisions["stem.width"].values == (8, 16)
    assert space.decisions["stage3.width"].values == (64, 96, 128, 192, 256)


def test_equal_widths_are_one() -> None:
    """Multiples of 16, or 8: of a quarter of the width, 2, 3 and 4 channels are 8, then 4, 6, 8, 12 and 16."""
    space = ConvChain(width_mult=0.25)
    assert space.decisions["stem.width"].values == (8,)
    assert space.decisions["stage1.width"].values == (8, 16)


@pytest.mark.parametrize(
    ("side", "n_entries", "last"), [(4, 0, 4), (8, 1, 4), (12, 2, 3), (23, 2, 5), (24, 3, 3), (28, 3, 3), (32, 3, 4)]
)
def test_small_images_are_halved_less(side: int, n_entries: int, last: int) -> None:
    """As long as 3 pixels are left, and the first stages; an odd side is rounded down by pooling."""
    space = ConvChain(input_shape=(1, side, side))
    assert sum(name.endswith("entry") for name in space.decisions.names) == n_entries
    assert side // 2**n_entries == last


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 28, 28), (1, 8, 8), (2, 23, 18)])
def test_formula_is_the_count(shape: tuple[int, int, int]) -> None:
    """Parameters and multiply-accumulates of drawn archs, odd sides among them, as those of the built networks."""
    space = ConvChain(input_shape=shape, n_classes=7, width_mult=0.5)
    rows = space.decisions.sample(12, np.random.default_rng(0))
    params, macs = (cost.cost_rows(space, rows) for cost in open_costs(["params", "macs"]))
    counted = [count(space.build(arch), shape) for arch in space.decisions.archs(rows)]
    assert params.tolist() == [one.params for one in counted]
    assert macs.tolist() == [one.macs for one in counted]


def test_smallest_network_by_hand() -> None:
    """3x32x32, widths 8, 16, 32 and 64, pooling first, no blocks."""
    space = ConvChain()
    row = np.zeros((1, len(space.decisions)), dtype=np.int16)
    weights = [9 * 3 * 8, 9 * 8 * 16, 9 * 16 * 32, 9 * 32 * 64]
    macs = sum(w * side**2 for w, side in zip(weights, (32, 16, 8, 4), strict=True)) + 64 * 10
    params = sum(weights) + 2 * (8 + 16 + 32 + 64) + 64 * 10 + 10
    counted = count(space.build(space.decisions.archs(row)[0]), space.input_shape)
    assert (counted.macs, counted.params) == (macs, params)


@pytest.mark.parametrize("mult", [0, -1.0, 33.0, "1", True, float("nan")])
def test_impossible_multipliers_are_refused(mult: object) -> None:
    """One line with what is accepted."""
    with pytest.raises(InvalidValueError, match=r"width_mult is .*; give a number above 0, at most 32"):
        ConvChain(width_mult=mult)  # type: ignore[arg-type]
