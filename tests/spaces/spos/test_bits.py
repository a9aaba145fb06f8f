"""The mixed-precision space of SPOS against the paper's fact sheet and torchvision's ResNets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from torch import nn

from archwright.core.drawing import Strip
from archwright.core.errors import ExportError, InvalidValueError
from archwright.costs import cost, describe
from archwright.costs.counted import BitOps, ModelSize
from archwright.costs.counting.count import count
from archwright.costs.tables.counted import tables_of
from archwright.export.onnx import export_onnx, verify_onnx
from archwright.export.source import network_source, verify_source
from archwright.nn import Supernet, selection_of
from archwright.nn.features import features_only
from archwright.nn.ops.quantized import QuantizedConv2d
from archwright.spaces import Space, SposBits, SposSpace
from archwright.spaces.spos.bits import DEPTHS, layers_of
from archwright.testing import SpaceContract

SMALL = SposBits(input_shape=(1, 8, 8), n_classes=4, widths=(4, 4, 6, 6))
SHORTCUTS = ("block2.shortcut", "block4.shortcut", "block6.shortcut")
BASELINES = [(2, 2), (3, 3), (4, 4)]


class TestContract(SpaceContract):
    n_archs = 2
    n_costed = 6

    def make(self) -> Space:
        return SMALL


def counted(space: Space, code: str) -> Any:
    """Of the network of a code."""
    with torch.device("meta"):
        network = space.build(space.parse(code))
    return count(network, space.input_shape, memory=False)


def test_size() -> None:
    """One of six pairs for each of 8 or 16 blocks."""
    assert SposBits().size() == 6**8 == 1_679_616
    assert SposBits(depth=34).size() == 6**16
    assert list(SposBits().decisions["block0"].values) == ["w1a2", "w2a2", "w1a4", "w2a4", "w3a4", "w4a4"]


@pytest.mark.parametrize(
    ("full_precision", "macs"),
    [
        ((), 1_695_547_392),
        (SHORTCUTS, 1_676_279_808),
        (("block0.conv1",), 1_695_547_392 - 115_605_504),
    ],
)
def test_bit_ops_of_resnet18(full_precision: tuple[str, ...], macs: int) -> None:
    """6.782, 15.260 and 27.129 G with equal bits; 6.705 … without shortcuts; 6.320 … with a layer left out."""
    space = SposBits(bits=BASELINES, full_precision=full_precision)
    assert [counted(space, str(i) * 8).bit_ops for i in range(3)] == [macs * bits**2 for bits, _ in BASELINES]


def test_bit_ops_of_resnet34() -> None:
    """By the closed form: 3x3 convolutions of 64 to 512 channels on 56 to 7 pixels, and three shortcuts."""
    macs, before = 0, 64
    for stage, n_blocks in enumerate(DEPTHS[34]):
        channels, pixels = 64 * 2**stage, (56 // 2**stage) ** 2
        macs += (2 * n_blocks - 1) * 9 * channels**2 * pixels + 9 * before * channels * pixels
        macs += before * channels * pixels if stage else 0
        before = channels
    assert counted(SposBits(depth=34, bits=BASELINES), "0" * 16).bit_ops == 4 * macs


def test_mixed_bits_from_tables() -> None:
    """Looked up for random archs, as summed over the layers of built networks; the same for the bytes of weights."""
    space = SposBits(input_shape=(3, 64, 64), n_classes=10, widths=(8, 8, 16, 16))
    rows = space.decisions.sample(6, np.random.default_rng(0))
    assert tables_of(space, ("bit_ops",)).is_additive
    bit_ops, sizes = (each.cost_rows(space, rows).tolist() for each in (BitOps(), ModelSize()))
    for arch, ops, size in zip(space.decisions.archs(rows), bit_ops, sizes, strict=True):
        with torch.device("meta"):
            network = space.build(arch)
        leaves, by_hand, saved = count(network, space.input_shape).leaves, 0, 0
        for path, part in network.named_modules():
            if isinstance(part, QuantizedConv2d):
                weight, inputs = space.keys()[str(arch[path.partition(".")[0]])]
                by_hand += leaves[path].macs * weight * inputs
                saved += 4 * part.weight.numel() - -(-part.weight.numel() * weight // 8)
        n_bytes = sum(tensor.numel() * tensor.element_size() for tensor in network.state_dict().values())
        assert (ops, size) == (by_hand, n_bytes - saved)


def test_parameters_are_those_of_resnet() -> None:
    """torchvision's 11,689,512 and 21,797,672, and one largest input for each of 19 or 35 quantised convolutions."""
    for depth, params, n_quantized in ((18, 11_689_512, 19), (34, 21_797_672, 35)):
        assert len(layers_of(depth)) == n_quantized
        assert counted(SposBits(depth=depth), "0" * sum(DEPTHS[depth])).params == params + n_quantized


@pytest.mark.parametrize("depth", [18, 34])
def test_full_precision_is_torchvision_s_resnet(depth: int) -> None:
    """The same weights, the same logits."""
    torch.manual_seed(0)
    theirs: nn.Module = getattr(torchvision.models, f"resnet{depth}")(weights=None, num_classes=7)
    space = SposBits(input_shape=(3, 97, 97), n_classes=7, depth=depth, bits=[(32, 32)])
    ours = space.build(space.parse("0" * sum(DEPTHS[depth])))
    tensors = [tensor for name, tensor in theirs.state_dict().items()]
    names = [our_name(depth, name) for name in theirs.state_dict()]
    ours.load_state_dict(dict(zip(names, tensors, strict=True)), strict=True)
    x = torch.randn(2, 3, 97, 97)
    with torch.no_grad():
        torch.testing.assert_close(ours.eval()(x), theirs.eval()(x), atol=1e-4, rtol=0)


def our_name(depth: int, theirs: str) -> str:
    """Our name of a tensor of torchvision's ResNet."""
    first, _, rest = theirs.partition(".")
    if not first.startswith("layer"):
        return {"conv1": "stem.0", "bn1": "stem.1", "fc": "head.1"}[first] + f".{rest}"
    stage, (number, layer, *tail) = int(first[-1]) - 1, rest.split(".")
    block = f"block{sum(DEPTHS[depth][:stage]) + int(number)}.sum"
    if layer == "downsample":
        return ".".join([block, "shortcut", *tail])
    return ".".join([block, "main", layer.replace("bn", "norm"), *tail])


def test_maps_at_224_pixels(stage_shapes: Callable[..., Any]) -> None:
    """Stem and pooling halve the image, stages 2 to 4 again."""
    space = SposBits()
    shapes = stage_shapes(space, space.parse("0" * 8))
    table = {"stem": (64, 112), "pool": (64, 56), "block1": (64, 56), "block3": (128, 28), "block5": (256, 14)}
    table |= {"block7": (512, 7)}
    assert {name: shapes[name] for name in table} == {name: (c, s, s) for name, (c, s) in table.items()}


def test_feature_maps() -> None:
    """One at each stride, for a detector."""
    space = SposBits()
    with torch.device("meta"):
        network = space.build(space.parse("0" * 8))
    expected = [(2, 64), (4, 64), (8, 128), (16, 256), (32, 512)]
    assert features_only(network, space.input_shape).strides_and_channels == expected


@pytest.mark.parametrize(
    ("side", "maps"), [(4, 4), (8, 4), (15, 4), (16, 4), (32, 4), (48, 6), (63, 8), (64, 4), (96, 6), (97, 4)]
)
def test_small_images(side: int, maps: int) -> None:
    """As many strides as leave a map of 4 x 4."""
    space = SposBits(input_shape=(1, side, side), n_classes=3)
    with torch.device("meta"):
        network = space.build(space.parse("0" * 8))
        assert isinstance(network, nn.Sequential)
        assert network[:-1](torch.empty(2, 1, side, side)).shape == (2, 512, maps, maps)


def test_declared_decisions_are_those_recorded() -> None:
    """In both depths, with a layer in full precision."""
    for depth in DEPTHS:
        space, chooser = SposBits(depth=depth, full_precision=["block0.conv1"]), Supernet()
        with torch.device("meta"):
            space.network(chooser)
        assert space.decisions == chooser.decisions()


def test_a_supernet_shares_weights_between_bits() -> None:
    """One set of convolutions; a step at one pair moves them and the clips of that pair."""
    network = SMALL.supernet().train()
    n_weights = sum(parameter.numel() for parameter in network.parameters() if parameter.dim() > 0)
    assert n_weights == counted(SMALL, "0" * 8).params - 19
    selection_of(network).activate(SMALL.parse("5" * 8))
    network(3 * torch.randn(32, 1, 8, 8)).square().sum().backward()
    moved = {name for name, parameter in network.named_parameters() if parameter.grad is not None}
    clips = {name for name in moved if name.endswith("clip")}
    assert {name.split(".")[-2] for name in clips} == {"w4a4"}
    assert len(clips) == 19
    assert {name for name, parameter in network.named_parameters() if parameter.dim() > 0} == moved - clips


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"depth": 50}, "depth is 50; choose one of 18, 34"),
        ({"bits": []}, "give a list of pairs"),
        ({"bits": "w2a2"}, "give a list of pairs"),
        ({"bits": [(2, 2), (2, 2)]}, r"bits\[1\] is \(2, 2\).*each pair once"),
        ({"bits": [(2,)]}, r"bits\[0\] is \(2,\)"),
        ({"bits": [(2, 9)]}, r"bits\[0\]: bits is 9; give 1 to 8"),
        ({"bits": [(-1, 2)]}, r"bits\[0\]: bits is -1"),
        ({"full_precision": "block0"}, "give a list of layers such as block0.conv1"),
        ({"full_precision": ["block0.conv3"]}, r"full_precision\[0\] is 'block0.conv3'; choose among block0.conv1, "),
        ({"full_precision": ["block1.conv1", "block1.conv2"]}, "leaves no layer of block1"),
        ({"widths": (64, 128)}, "a list of 4"),
        ({"widths": (64, 128, -1, 512)}, r"widths\[2\] is -1"),
        ({"input_shape": (3, 3, 3)}, "at least 4 pixels a side, not 3"),
        ({"n_classes": 0}, "give a whole number, 1 to"),
    ],
)
def test_impossible_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    """Each names its place."""
    with pytest.raises(InvalidValueError, match=message):
        SposBits(**arguments)


def test_bit_ops_of_other_spaces_are_refused() -> None:
    """Rather than zero."""
    space = SposSpace(input_shape=(1, 8, 8), n_classes=4)
    rows = space.decisions.sample(2, np.random.default_rng(0))
    with pytest.raises(InvalidValueError, match="a network of space 'spos' has none; use macs"):
        BitOps().cost_rows(space, rows)
    with pytest.raises(InvalidValueError, match="the Linear has none"):
        BitOps().cost_module(nn.Linear(2, 3), (2,))


def test_described_by_bit_operations() -> None:
    """Every network has the same multiply-accumulates; the fewest bits are the smallest."""
    document = describe(SMALL)
    assert [document[key]["arch"] for key in ("smallest", "largest")] == ["0" * 8, "5" * 8]
    assert document["largest"]["bit_ops"] == 8 * document["smallest"]["bit_ops"]
    assert document["largest"]["macs"] == document["smallest"]["macs"]
    found = cost(SMALL, SMALL.parse("5" * 8))
    assert found["bit_ops"] == document["largest"]["bit_ops"]


def test_drawing_names_the_bits() -> None:
    """One box a block."""
    (strip,) = SposBits().drawing(SposBits().parse("01234501")).panels
    assert isinstance(strip, Strip)
    labels = [block.label for block in strip.blocks]
    assert labels[2:10] == ["w1a2", "w2a2", "w1a4", "w2a4", "w3a4", "w4a4", "w1a2", "w2a2"]


def prepared(code: str, seed: int = 0) -> nn.Module:
    """A narrow network with statistics that matter."""
    torch.manual_seed(seed)
    network = SMALL.build(SMALL.parse(code))
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = None
    with torch.no_grad():
        network.train()(torch.randn(16, 1, 8, 8))
    return network.eval()


def test_source_gives_the_logits() -> None:
    """As `model.py`, with all pairs of bits."""
    network = prepared("01234501")
    text = network_source(network, input_shape=(1, 8, 8), class_names=list("abcd"), preprocessing={})
    assert verify_source(text, network, (1, 8, 8)) <= 1e-5


@pytest.mark.slow
def test_onnx_gives_the_logits(tmp_path: Path) -> None:
    """Up to what falls to another step by its last bit; other weights are found out all the same."""
    network = prepared("01234501")
    export_onnx(network, (1, 8, 8), tmp_path / "model.onnx")
    assert verify_onnx(tmp_path / "model.onnx", network, (1, 8, 8)) < 0.25
    with pytest.raises(ExportError, match=r"at most 0.25 is accepted"):
        verify_onnx(tmp_path / "model.onnx", prepared("01234501", seed=1), (1, 8, 8))


@pytest.mark.slow
def test_train_command(cli: Callable[..., Any], tmp_path: Path) -> None:
    """Equal bits on 8 x 8 digits, two steps, with all its files."""
    options = ["--preset", "smoke", "--threads", "1", "--set", "training.steps=2", "--out", tmp_path / "run"]
    done = cli("train", "spos-bits:55555555", "--data", "digits", *options)
    assert done.code == 0, done.err
    assert {path.name for path in (tmp_path / "run" / "best").iterdir()} >= {"model.onnx", "model.py"}
