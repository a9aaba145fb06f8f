"""NASNet-A large against timm's own network: the same weights give the same logits."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from archwright.nn.ops.nasnet import CellStack
from archwright.spaces import open_architecture

pytest.importorskip("timm", reason="needs timm, a second implementation")

SIDE = 99
"""All maps that are halved are odd (49, 25, 13, 7): there padding by half a kernel is that of TensorFlow.

timm's own "same" padding counts zeros in averages that halve a map, which TensorFlow does not.
"""

CELLS = ["cell_stem_0", "cell_stem_1"]
CELLS += [f"cell_{i}" for i in range(6)] + ["reduction_cell_0"] + [f"cell_{i}" for i in range(6, 12)]
CELLS += ["reduction_cell_1"] + [f"cell_{i}" for i in range(12, 18)]


@pytest.fixture(scope="module")
def theirs() -> nn.Module:
    """A narrow NASNet-A large of timm with random weights."""
    from timm.models.nasnet import NASNetALarge

    torch.manual_seed(0)
    network: nn.Module = NASNetALarge(num_classes=7, stem_size=6, num_features=24 * 8, pad_type="")
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = None
            nn.init.uniform_(part.weight, 0.8, 1.2)
            nn.init.uniform_(part.bias, -0.2, 0.2)
    with torch.no_grad():
        network.train()(torch.randn(8, 3, SIDE, SIDE))  # statistics of one pass, so that signals keep their size
    return network.eval()


def sized(part: nn.Module) -> Iterator[nn.Module]:
    """Its convolutions and norms in the order in which they run."""
    return (m for m in part.modules() if isinstance(m, nn.Conv2d | nn.BatchNorm2d | nn.Linear))


def pairs(ours: CellStack, theirs: nn.Module) -> Iterator[tuple[nn.Module, nn.Module]]:
    """Parts with weights of both networks that stand for each other."""
    yield ours.stem, theirs.conv0  # type: ignore[misc]
    for cell, name in zip(ours.cells, CELLS, strict=True):
        other = theirs.get_submodule(name)
        yield cell.current, other.conv_1x1  # type: ignore[misc]
        if hasattr(other, "conv_prev_1x1"):
            yield cell.previous, other.conv_prev_1x1  # type: ignore[misc]
        elif hasattr(other, "path_1"):
            halving: Any = cell.previous[1]  # type: ignore[index]
            mine = (halving.even, halving.odd, halving.norm)
            yield from zip(mine, (other.path_1, other.path_2, other.final_path_bn), strict=True)
        for path, edge in other.named_children():
            place = re.fullmatch(r"comb_iter_(\d)_(left|right)", path)
            if place and any(sized(edge)):
                block: Any = cell.blocks[int(place[1])]  # type: ignore[index]
                yield (block.first, block.second)[place[2] == "right"], edge
    yield ours.head, theirs.last_linear  # type: ignore[misc]


def test_logits_are_those_of_timm(theirs: nn.Module) -> None:
    """Within 1e-4, every weight and statistic taken over."""
    form = {"channels": 8, "stem_channels": 6, "input_shape": (3, SIDE, SIDE), "n_classes": 7}
    found = open_architecture("nasnet-a-large", **form)
    ours = found.space.build(found.arch)
    assert isinstance(ours, CellStack)
    taken = 0
    with torch.no_grad():
        for mine, other in pairs(ours, theirs):
            for target, source in zip(sized(mine), sized(other), strict=True):
                target.load_state_dict(source.state_dict(), strict=True)
                taken += sum(tensor.numel() for tensor in source.parameters())
        assert taken == sum(p.numel() for p in theirs.parameters()) == sum(p.numel() for p in ours.parameters())
        x = torch.randn(2, 3, SIDE, SIDE)
        expected: Tensor = theirs(x)
        difference = (ours.eval()(x) - expected).abs().max()
    assert expected.std(0).min() > 1e-2
    assert float(difference) <= 1e-4 * max(1.0, float(expected.abs().max()))
