"""What spaces accept as arguments."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest

import archwright as aw
from archwright.core.errors import InvalidValueError
from archwright.spaces import Space, open_architecture
from archwright.spaces.blocks import network_strip


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: aw.spaces.Darts(nodes=None), "nodes is None; give a whole number, 1 to 8"),
        (lambda: aw.spaces.DartsRnn(nodes=None), "nodes is None; give a whole number, 1 to 9"),
        (lambda: aw.spaces.FBNet(bias="abc"), "bias is 'abc'; give true or false"),
        (lambda: aw.spaces.SposSpace(form=""), "form is ''; choose one of"),
        (lambda: aw.spaces.NasNet(form=0), "form is 0; give one of"),
    ],
)
def test_what_merely_counts_as_false_is_no_default(make: Callable[[], Space], message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        make()


@pytest.mark.parametrize(
    "make",
    [
        lambda: aw.spaces.EnasMacro(channels=np.int64(36)),
        lambda: aw.spaces.EnasMicro(cells=np.int64(3), channels=np.int64(8)),
        lambda: aw.spaces.EnasRnn(hidden=np.int64(4)),
        lambda: aw.spaces.Darts(cells=np.int64(8), channels=np.int64(4)),
    ],
)
def test_numbers_of_numpy_are_saved_as_numbers(make: Callable[[], Space]) -> None:
    json.dumps(make().args())


def test_codes_of_a_resnet_without_choice_of_depth_keep_the_stem() -> None:
    space = aw.spaces.OfaResNet50(extra_depths=[0])
    archs = space.sample(20, np.random.default_rng(0))
    assert [space.parse(space.code(arch)) for arch in archs] == archs


@pytest.mark.parametrize("name", ["nasnet-a-6-768", "amoebanet-b", "darts-v2"])
def test_a_cell_is_marked_by_what_it_does_to_the_last_output(name: str) -> None:
    """Behind a reduction, the older input is still the larger image; nothing is halved there."""
    found = open_architecture(name)
    strip = network_strip(found.space.network, found.arch, found.space.input_shape, merge=True)
    assert [block.stride for block in strip.blocks].count(2) == 2
