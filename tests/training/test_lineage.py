"""What children have of their parents: the same function from a wider, longer or larger-kernelled network."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from archwright.core.arch import Arch
from archwright.core.errors import SpaceError
from archwright.spaces import NasBench201, Space
from archwright.spaces.conv_chain import ConvChain
from archwright.training.lineage import Lineage
from archwright.training.networks import build_seeded


def lively(space: Space, arch: Arch, seed: int) -> nn.Module:
    """A network whose batch norms have statistics and scales of their own."""
    network = build_seeded(space, arch, seed)
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight, module.bias, module.running_mean):
                tensor.data.normal_(generator=generator)  # type: ignore[union-attr]
            module.running_var.uniform_(0.5, 2.0, generator=generator)  # type: ignore[union-attr]
    return network


CHAIN = {
    **{"stem.width": 16, "stage1.width": 32, "stage1.entry": "pool-conv", "stage1.depth": 0},
    **{"stage2.width": 48, "stage2.entry": "conv-pool", "stage2.depth": 1},
    **{"stage3.width": 64, "stage3.entry": "pool-conv", "stage3.depth": 1},
}


@pytest.mark.parametrize(
    "change",
    [
        {"stage1.width": 64},
        {"stage2.width": 96},
        {"stage3.width": 128},
        {"stage2.depth": 2},
        {"stage1.depth": 2},
        {"stage1.width": 48, "stage2.depth": 2, "stage3.width": 96},
    ],
    ids=str,
)
@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
def test_a_larger_network_begins_as_the_same_function(change: dict[str, Any], training: bool) -> None:
    """Wider stages and further residual blocks; batch norms with what they learned."""
    space = ConvChain(input_shape=(3, 24, 24))
    parent_arch, arch = Arch(CHAIN), Arch({**CHAIN, **change})
    parent, child = lively(space, parent_arch, 1), build_seeded(space, arch, 2)
    share = Lineage(space).inherit(child, arch, parent.state_dict(), parent_arch)
    x = torch.randn(4, 3, 24, 24, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        difference = (child.train(training)(x) - parent.train(training)(x)).abs().max()
    assert float(difference) < 1e-5
    assert 0.2 < share < 1


def test_the_same_architecture_inherits_everything() -> None:
    space = ConvChain(input_shape=(3, 24, 24))
    parent, child = lively(space, Arch(CHAIN), 1), build_seeded(space, Arch(CHAIN), 2)
    assert Lineage(space).inherit(child, Arch(CHAIN), parent.state_dict(), Arch(CHAIN)) == 1
    for name, tensor in parent.state_dict().items():
        if tensor.is_floating_point():
            assert torch.equal(child.state_dict()[name], tensor), name


def test_other_operations_begin_anew() -> None:
    """Of cells that differ on one edge: that edge is fresh, everything else is the parent's."""
    space = NasBench201(channels=4, cells=1)
    codes = ["|nor_conv_3x3~0|+|none~0|none~1|+|nor_conv_1x1~0|skip_connect~1|none~2|"]
    codes.append(codes[0].replace("|nor_conv_1x1~0|", "|nor_conv_3x3~0|"))
    parent_arch, arch = map(space.parse, codes)
    parent, child = lively(space, parent_arch, 1), build_seeded(space, arch, 2)
    fresh = build_seeded(space, arch, 2).state_dict()
    Lineage(space).inherit(child, arch, parent.state_dict(), parent_arch)
    theirs, own = parent.state_dict(), child.state_dict()
    changed = [name for name in own if ".edge03." in name]
    assert changed
    for name, tensor in own.items():
        if tensor.is_floating_point():
            assert torch.equal(tensor, fresh[name] if name in changed else theirs[name]), name


def test_places_are_shared_by_all_members() -> None:
    """A narrow stage is a part of a wide one; two networks of one arch lie in the same places."""
    space = ConvChain(input_shape=(3, 24, 24))
    lineage = Lineage(space)
    narrow, wide = lineage.places(Arch(CHAIN)), lineage.places(Arch({**CHAIN, "stage2.width": 96}))
    assert narrow.keys() == wide.keys()
    for name in narrow:
        assert np.isin(narrow[name].numpy(), wide[name].numpy()).all(), name
    again = lineage.places(Arch(CHAIN))
    assert all(torch.equal(again[name], places) for name, places in narrow.items())


def test_weights_of_another_architecture_are_refused() -> None:
    space = ConvChain(input_shape=(3, 24, 24))
    child = build_seeded(space, Arch(CHAIN), 0)
    with pytest.raises(SpaceError, match="are not those of these architectures"):
        Lineage(space).inherit(child, Arch(CHAIN), {"x": torch.zeros(1)}, Arch(CHAIN))
