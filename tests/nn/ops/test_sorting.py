"""Channels in the order of their importance."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from archwright.nn import Supernet, selection_of
from archwright.nn.ops.mbconv import MBConv
from archwright.nn.ops.sorting import sort_channels
from archwright.nn.ops.squeeze import SqueezeExcite


def block(seed: int = 0) -> MBConv:
    """Three to eighteen channels with squeeze-and-excitation, batch norms that do something."""
    torch.manual_seed(seed)
    made = MBConv(3, 3, kernel=5, expand=6, squeeze=lambda middle: SqueezeExcite(middle, 6))
    for part in made.modules():
        if isinstance(part, nn.BatchNorm2d) and part.running_mean is not None and part.running_var is not None:
            nn.init.normal_(part.weight)
            nn.init.normal_(part.bias)
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 2.0)
    return made.eval()


def importance(made: Any) -> Tensor:
    """Of each channel in the middle."""
    found: Tensor = made.main.project[0].weight.detach().abs().sum((0, 2, 3))
    return found


@pytest.mark.parametrize("within", [(), (3, 4), (4,)])
def test_the_whole_network_computes_the_same(within: tuple[int, ...]) -> None:
    """Every layer and buffer moves along."""
    made, x = block().double(), torch.randn(2, 3, 8, 8, dtype=torch.float64)
    with torch.no_grad():
        before = made(x)
        sort_channels(made, within)
        assert (made(x) - before).abs().max() < 1e-10


def test_importance_falls() -> None:
    """In the middle of the block, and inside squeeze-and-excitation."""
    made: Any = block()
    before = importance(made)
    sort_channels(made)
    after = importance(made)
    assert (after.diff() <= 0).all()
    assert torch.equal(after, before.sort(descending=True).values)
    inner = made.main.squeeze.restore.weight.detach().abs().sum((0, 2, 3))
    assert (inner.diff() <= 1e-6).all()


def test_channels_stay_within_widths_that_are_in_use() -> None:
    """Between expansions 3 and 4, and 4 and 6, each set keeps its channels."""
    made = block()
    before = importance(made)
    sort_channels(made, (3, 4))
    after = importance(made)
    for start, end in ((0, 9), (9, 12), (12, 18)):
        assert torch.equal(after[start:end], before[start:end].sort(descending=True).values)


def test_an_elastic_block_shrinks_to_its_most_important_channels() -> None:
    """What is active at half the width then is what mattered most."""
    torch.manual_seed(0)
    choose = Supernet()
    network: Any = nn.Sequential(MBConv(4, 4, kernel=3, expand=choose.number("expand", (3, 6))))
    most = set(importance(network[0]).topk(12).values.tolist())
    sort_channels(network)
    selection_of(network).activate({"expand": 3})
    taken = network[0].main.project[0].active_state()["weight"].detach().abs().sum((0, 2, 3))
    assert set(taken.tolist()) == most


def test_blocks_without_a_widening_convolution_stay() -> None:
    """Their channels are those of the block before."""
    made = MBConv(6, 4, kernel=3, expand=None)
    before = [tensor.clone() for tensor in made.state_dict().values()]
    sort_channels(made)
    assert all(torch.equal(a, b) for a, b in zip(before, made.state_dict().values(), strict=True))
