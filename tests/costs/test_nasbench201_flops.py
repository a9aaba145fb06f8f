"""FLOPs in the convention of NAS-Bench-201."""

from __future__ import annotations

import numpy as np
import torch

from archwright.costs import Macs, NasBench201Flops, open_costs
from archwright.spaces import SposSpace
from archwright.testing.spaces import NumberSpace


def test_one_addition_a_class_beside_the_macs() -> None:
    """By rows and by module; also where the classifier is elastic or has no bias."""
    for space in (SposSpace(input_shape=(3, 8, 8), n_classes=7), NumberSpace()):
        rows = space.decisions.sample(3, np.random.default_rng(0))
        flops = NasBench201Flops().cost_rows(space, rows)
        assert (flops - Macs().cost_rows(space, rows)).tolist() == [space.n_classes] * 3
        with torch.device("meta"):
            network = space.build(space.decisions.arch(rows[0]))
        assert NasBench201Flops().cost_module(network, space.input_shape) == flops[0]


def test_it_is_found_by_its_name() -> None:
    """For --limit."""
    assert isinstance(open_costs(["nb201_flops"])[0], NasBench201Flops)
