"""Any network as a strip: blocks by hand for known ones, and for a user's own however it is written."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from archwright.core.drawing import Block, Strip
from archwright.core.errors import InvalidArchError
from archwright.nn import Chooser, Classifier, Conv2d, MBConv, ResidualBlock
from archwright.spaces import NasBench201Size, Space, SposSpace
from archwright.spaces.blocks import MAX_BLOCKS, merged, network_strip
from archwright.testing import (
    BranchSpace,
    ElasticSpace,
    LooseEndsSpace,
    MBConvSpace,
    NumberSpace,
    StagesSpace,
    StrideSpace,
)


class TwoStages(StagesSpace):
    """Recording all three takes seconds."""

    n_stages = 2


TOYS = (BranchSpace, ElasticSpace, LooseEndsSpace, MBConvSpace, NumberSpace, TwoStages, StrideSpace)


def blocks_of(space: Space, code: str) -> list[Block]:
    (strip,) = space.drawing(space.parse(code)).panels
    assert isinstance(strip, Strip)
    return list(strip.blocks)


def test_spos_at_224_by_hand() -> None:
    """The paper's table: 16 channels at 112, then 4, 4, 8 and 4 blocks, 1024 channels, pooling, 1000 classes."""
    blocks = blocks_of(SposSpace(), "01230123012301230123")
    assert [block.channels for block in blocks] == [16, *[64] * 4, *[160] * 4, *[320] * 8, *[640] * 4, 1024, 1024, None]
    sides = [block.resolution for block in blocks]
    assert sides == [(s, s) for s in [112, *[56] * 4, *[28] * 4, *[14] * 8, *[7] * 5]] + [()] * 2
    assert [i for i, block in enumerate(blocks) if block.stride == 2] == [0, 1, 5, 9, 17]
    assert [block.label for block in blocks[:5]] == ["conv 3×3", "shuffle3", "shuffle5", "shuffle7", "xception"]
    assert [block.label for block in blocks[-3:]] == ["conv 1×1", "global pool", "linear"]
    assert [block.kernel for block in blocks[1:5]] == [3, 5, 7, 3]
    assert [block.kind for block in blocks] == ["conv", *["depthwise"] * 20, "conv", "pool", "linear"]
    assert blocks[-1].details == ("1000 outputs",)


def test_spos_for_small_images_has_its_own_strides() -> None:
    """Ten blocks; 28 pixels are halved three times, not by the stem."""
    blocks = blocks_of(SposSpace(input_shape=(1, 28, 28), n_classes=10), "0123012301")
    assert [block.resolution[0] for block in blocks[:11]] == [28, 14, 14, 7, 7, 4, 4, 4, 4, 4, 4]
    assert [i for i, block in enumerate(blocks) if block.stride == 2] == [1, 3, 5]


def test_inverted_residual_blocks_by_hand() -> None:
    """Kernel and expansion are read from the layers; each block tells its decisions."""
    space = MBConvSpace()
    arch = {"width": 8, "depth": 2, "block0.kernel": 5, "block0.expand": 2, "block1.kernel": 3, "block1.expand": 4}
    (strip,) = space.drawing(arch).panels
    assert isinstance(strip, Strip)
    stem, first, second, _, head = strip.blocks
    assert (stem.label, stem.channels) == ("conv 3×3", 8)
    assert (first.label, first.details, first.kind) == ("MBConv", ("5×5", "expand 2"), "depthwise")
    assert (second.details, second.note) == (("3×3", "expand 4"), "1.1; block1.kernel = 3; block1.expand = 4")
    assert head.details == ("5 outputs",)


def test_depth_decides_the_number_of_blocks() -> None:
    """2 to 4 blocks in each of two stages, named by stage and number."""
    space = TwoStages()
    for arch in space.sample(5, np.random.default_rng(0)):
        (strip,) = space.drawing(arch).panels
        assert isinstance(strip, Strip)
        names = [f"stage{s}.{i}" for s in range(2) for i in range(int(arch[f"stage{s}.depth"]))]  # type: ignore[call-overload]
        assert [block.label for block in strip.blocks[1:-2]] == names


def test_strides_of_chosen_operations() -> None:
    """8 pixels, halved or not."""
    assert blocks_of(StrideSpace(), "100")[0].stride == 2
    assert blocks_of(StrideSpace(), "000")[0].stride == 1


def test_the_inputs_of_a_node_are_named() -> None:
    """Of both nodes: one reads state 1, the next state 2."""
    arch = {"width": 2, "node2.input": (1,), "node3.input": (2,)}
    (strip,) = LooseEndsSpace().drawing(arch).panels
    assert isinstance(strip, Strip)
    assert [block.label for block in strip.blocks if block.label.startswith("from")] == ["from 1", "from 2"]


def test_cells_have_no_kernel() -> None:
    """A graph of many operations is none of them."""
    cells = [block for block in blocks_of(NasBench201Size(), "8:16:24:32:64") if block.label == "cell"]
    assert [(cell.kind, cell.kernel, cell.details) for cell in cells] == [("other", None, ())] * 3
    assert [cell.channels for cell in cells] == [8, 24, 64]


@pytest.mark.parametrize("space", TOYS)
def test_every_toy_space_is_drawn(space: type[Space]) -> None:
    """From the input to the number of classes."""
    made = space()
    for arch in made.sample(3, np.random.default_rng(0)):
        (strip,) = made.drawing(arch).panels
        assert isinstance(strip, Strip)
        assert strip.blocks[-1].details == (f"{made.n_classes} outputs",)
        assert strip.input == " × ".join(map(str, made.input_shape))


def test_the_space_of_the_first_script() -> None:
    """Width, kernel, depth and activation: the chosen activation is a block, ReLU inside one is not."""

    class First(Space):
        input_shape, n_classes = (3, 32, 32), 10

        def network(self, choose: Chooser) -> nn.Module:
            width = choose.number("width", [16, 24])
            stem = Conv2d(3, width, choose.number("kernel", [3, 5]))
            body = choose.repeat("depth", [1, 2], lambda i: ResidualBlock(width, name=f"block{i}"))
            act = choose.op("act", {"relu": nn.ReLU, "silu": nn.SiLU})
            return Classifier(stem, body, act, n_classes=self.n_classes)

    blocks = blocks_of(First(), "1111")
    assert [block.label for block in blocks] == ["conv 5×5", "residual", "residual", "silu", "global pool", "linear"]
    assert [block.channels for block in blocks] == [24] * 5 + [None]


class Features(nn.Module):
    """Blocks in a module of its own, one after the other."""

    def __init__(self, choose: Chooser) -> None:
        super().__init__()
        ops = {f"conv{k}": partial(nn.Conv2d, 4, 4, k, padding=k // 2) for k in (3, 5)}
        self.blocks = nn.ModuleList([choose.op(f"op{i}", ops) for i in range(3)])

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return x


class Branches(Features):
    """The same blocks, but summed."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([block(x) for block in self.blocks]).sum(0)


def parts(features: type[nn.Module]) -> list[str]:
    def network(choose: Chooser) -> nn.Module:
        head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
        return nn.Sequential(features(choose), head)

    arch = {"op0": "conv3", "op1": "conv5", "op2": "conv3"}
    return [block.label for block in network_strip(network, arch, (4, 8, 8)).blocks]


def test_a_module_that_only_chains_blocks_is_opened() -> None:
    """As if they stood in the sequence; a module in which they branch stays one block."""
    assert parts(Features) == ["conv3", "conv5", "conv3", "global pool", "linear"]
    assert parts(Branches) == ["branches", "global pool", "linear"]


class Residual(nn.Module):
    """A chosen operation and a way around it."""

    def __init__(self, op: nn.Module) -> None:
        super().__init__()
        self.op = op

    def forward(self, x: Tensor) -> Tensor:
        return x + self.op(x)  # type: ignore[no-any-return]


def test_a_block_around_one_choice_is_called_by_it() -> None:
    """Also where it is repeated; the choice of an activation names no block."""

    def network(choose: Chooser) -> nn.Module:
        def chosen(i: int) -> nn.Module:
            conv = partial(nn.Conv2d, 4, 4, 3, padding=1)
            return Residual(choose.op(f"op{i}", {"conv_3x3": conv, "skip": nn.Identity}))

        activated = Residual(nn.Sequential(nn.Conv2d(4, 4, 1), choose.op("act", {"relu": nn.ReLU})))
        return nn.Sequential(activated, choose.repeat("depth", [2], chosen))

    arch = {"act": "relu", "depth": 2, "op0": "conv_3x3", "op1": "skip"}
    blocks = network_strip(network, arch, (4, 8, 8)).blocks
    assert [block.label for block in blocks] == ["residual", "conv 3×3", "skip"]
    assert [block.kind for block in blocks] == ["conv", "conv", "skip"]


def test_a_repeated_chain_of_several_choices_is_opened() -> None:
    """A box for each choice."""

    def network(choose: Chooser) -> nn.Module:
        def op(name: str) -> nn.Module:
            return choose.op(name, {f"conv{k}": partial(nn.Conv2d, 4, 4, k, padding=k // 2) for k in (1, 3)})

        return choose.repeat("depth", [2], lambda i: nn.Sequential(op(f"first{i}"), op(f"second{i}")))

    arch = {"depth": 2, "first0": "conv1", "second0": "conv3", "first1": "conv3", "second1": "conv1"}
    assert [block.label for block in network_strip(network, arch, (4, 8, 8)).blocks] == [
        "conv1",
        "conv3",
        "conv3",
        "conv1",
    ]


def test_a_wrapped_network_is_opened() -> None:
    """One module around everything says nothing."""

    class Wrapper(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Sequential(
                nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 8, 1)
            )

        def forward(self, x: Tensor) -> Tensor:
            found: Tensor = self.inner(x)
            return found

    blocks = network_strip(lambda _: Wrapper(), {}, (3, 10, 10)).blocks
    assert [(block.label, block.resolution) for block in blocks] == [
        ("conv 3×3", (8, 8)),
        ("max pool 2×2", (4, 4)),
        ("conv 1×1", (4, 4)),
    ]


def test_a_network_of_one_layer() -> None:
    """Is one block."""
    assert [block.label for block in network_strip(lambda _: nn.Linear(3, 2), {}, (3,)).blocks] == ["linear"]


def test_a_module_that_runs_twice_is_drawn_twice() -> None:
    """Shared weights are two blocks in time."""
    shared = nn.Conv2d(3, 3, 1)
    blocks = network_strip(lambda _: nn.Sequential(shared, nn.ReLU(), shared), {}, (3, 4, 4)).blocks
    assert [block.label for block in blocks] == ["conv 1×1"] * 2


def test_long_networks_are_merged() -> None:
    """Fifty equal blocks are one box that says so; forty different ones stay."""
    deep = network_strip(lambda _: nn.Sequential(*(MBConv(4, 4, kernel=3, expand=2) for _ in range(50))), {}, (4, 8, 8))
    assert [(block.label, block.repeats) for block in deep.blocks] == [("MBConv", 50)]
    assert MAX_BLOCKS == 40


def test_merging_by_hand() -> None:
    """Runs only; neither what the pointer shows nor how many it stands for matters, and numbers add up."""
    a, b = Block("a", note="1"), Block("b")
    found = merged([a, Block("a", note="2"), b, a, Block("a", repeats=3)])
    assert [(block.label, block.repeats) for block in found] == [("a", 2), ("b", 1), ("a", 4)]


def test_a_foreign_arch_is_refused() -> None:
    """As everywhere."""
    with pytest.raises(InvalidArchError):
        NumberSpace().drawing({"width": 2})
