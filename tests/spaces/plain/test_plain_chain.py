"""The plain chain against hand formulas."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch

from archwright.core.errors import InvalidArchError, InvalidValueError
from archwright.costs import Macs, Params, count
from archwright.export.source import network_source, verify_source
from archwright.spaces import PlainChain, Space
from archwright.testing import SpaceContract


class TestContract(SpaceContract):
    def make(self) -> Space:
        return PlainChain(input_shape=(1, 4, 5), n_classes=3, max_width=8)


def figures(width: int, side: int, n_in: int, n_classes: int) -> tuple[int, int]:
    """Parameters and multiply-accumulates, layer by layer."""
    params = macs = 0
    for stage in range(3):
        for _ in range(2):
            n_out = width * 2**stage
            params += 9 * n_in * n_out + 2 * n_out
            macs += 9 * n_in * n_out * side**2
            n_in = n_out
        side //= 2
    return params + (n_in + 1) * n_classes, macs + n_in * n_classes


@pytest.mark.parametrize(("side", "channels"), [(8, 1), (28, 1), (32, 3), (63, 3)])
def test_costs_are_those_of_the_hand_formula(side: int, channels: int) -> None:
    """For several widths, the least and the largest among them, and for every size of a small image."""
    space = PlainChain(input_shape=(channels, side, side))
    rows = space.decisions.enumerate_rows()[[0, 5, 20, -1]]
    expected = [figures(width, side, channels, 10) for width in (2, 12, 42, 256)]
    found = zip(Params().cost_rows(space, rows).tolist(), Macs().cost_rows(space, rows).tolist(), strict=True)
    assert list(found) == expected


def test_the_figure_in_the_docstring() -> None:
    """28x28 grey pixels, ten classes, 16 wide."""
    space = PlainChain(input_shape=(1, 28, 28))
    assert count(space.build(space.parse("16")), space.signature).params == figures(16, 28, 1, 10)[0] == 72_666
    assert "72,666 parameters" in str(PlainChain.__doc__)


def test_costs_rise_with_the_width() -> None:
    """So that the widest network within a limit can be looked for by halves."""
    space = PlainChain(input_shape=(1, 8, 8), max_width=40)
    for cost in (Params(), Macs()):
        values = cost.cost_rows(space, space.decisions.enumerate_rows())
        assert all(a < b for a, b in itertools.pairwise(values))


def test_a_code_is_the_width() -> None:
    """Of the widths there are; anything else is refused with what is accepted."""
    space = PlainChain(max_width=11)
    assert list(space.widths) == [2, 4, 6, 8, 10]
    assert [space.code(arch) for arch in space.decisions.archs(space.decisions.enumerate_rows())] == [
        *("2", "4", "6", "8", "10")
    ]
    for code in ("", "3", "12", "-2", "x", "9" * 5000, "²"):
        with pytest.raises(InvalidArchError, match="give a multiple of 2 from 2 to 10"):
            space.parse(code)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_shape": (1, 3, 8)}, "images of at least 4 pixels a side, not 3"),
        ({"input_shape": (35,)}, "takes images"),
        ({"max_width": 1}, "max_width"),
        ({"max_width": 1e9}, "max_width"),
    ],
)
def test_bad_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    """In one line."""
    with pytest.raises(InvalidValueError, match=message):
        PlainChain(**arguments)


def test_it_is_exported() -> None:
    """As source that imports torch only."""
    torch.manual_seed(0)
    space = PlainChain(input_shape=(1, 8, 8))
    network = space.build(space.sample(1, np.random.default_rng(0))[0]).eval()
    source = network_source(network, input_shape=space.signature, class_names=(), preprocessing={})
    verify_source(source, network, input_shape=space.signature)
