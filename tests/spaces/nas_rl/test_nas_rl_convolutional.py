"""The convolutional space of Zoph & Le: size, the published network, the rules by which layers are put together."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from archwright.core.drawing import Graph
from archwright.core.errors import InvalidArchError, InvalidValueError
from archwright.costs.counting.count import count
from archwright.nn.features import features_only
from archwright.nn.ops.skip_network import SkipNetwork
from archwright.spaces import NasRl, Space, open_architecture
from archwright.spaces.nas_rl.layers import Layer
from archwright.testing import SpaceContract

SMALL: dict[str, Any] = {"input_shape": (2, 7, 5), "n_classes": 3, "filters": [2, 3]}
STRIDED = NasRl(layers=4, strides=True, pool_after=[2], **SMALL)


class TestStrides(SpaceContract):
    n_archs = 3

    def make(self) -> Space:
        return STRIDED


class TestEnumerated(SpaceContract):
    """Two layers of one width: 16^2 * 2 archs."""

    n_archs = 2

    def make(self) -> Space:
        return NasRl(input_shape=(1, 3, 3), n_classes=3, filters=[4], layers=2)


@pytest.mark.parametrize("n", [1, 2, 6, 15])
def test_size(n: int) -> None:
    """64^L 2^(L(L-1)/2) without and 576^L 2^(L(L-1)/2) with strides."""
    assert NasRl(layers=n).size() == 64**n * 2 ** (n * (n - 1) // 2)
    assert NasRl(layers=n, strides=True).size() == 576**n * 2 ** (n * (n - 1) // 2)


def test_size_of_the_paper_s_networks() -> None:
    """15 layers without strides: 5.0e58."""
    assert f"{NasRl().size():.1e}" == "5.0e+58"


# ── the published network ─────────────────────────────────────────────────────────────────────────


def test_published_network() -> None:
    """Figure 7 has the 4.2 M parameters that Table 1 prints: weights, two a filter for the norms, classifier."""
    found = open_architecture("nas-rl-v1")
    assert isinstance(found.space, NasRl)
    layers = found.space.layers_of(found.arch)
    weights, widths = 0, [3]
    for layer in layers:
        weights += layer.height * layer.width * layer.filters * sum(widths[j] for j in layer.reads or (0,))
        widths.append(layer.filters)
    with torch.device("meta"):
        counted = count(found.space.build(found.arch), found.space.input_shape)
    assert counted.params == weights + 2 * sum(widths[1:]) + 48 * 10 + 10 == 4_201_630
    assert counted.macs == 32 * 32 * weights + 48 * 10 == 4_300_665_312
    assert counted.uncounted == []


def test_published_network_reads_every_layer() -> None:
    """All but the last one, which goes to the classifier alone."""
    found = open_architecture("nas-rl-v1")
    assert isinstance(found.space, NasRl)
    assert {j for layer in found.space.layers_of(found.arch) for j in layer.reads} == set(range(1, 15))


# ── rules of assembly ─────────────────────────────────────────────────────────────────────────────


def by_hand(network: nn.Module, layers: list[Layer], pooled: list[int], x: Tensor) -> Tensor:
    """The paper's rules, written with plain functions over the weights of a network."""
    state = network.state_dict()
    outputs = {0: x}
    for number, layer in enumerate(layers, 1):
        name = f"layers.{number - 1}"
        read = joined([outputs[j] for j in layer.reads or (0,)])
        padding = layer.height // 2, layer.width // 2
        out = F.conv2d(read, state[f"{name}.conv.weight"], stride=layer.stride, padding=padding)
        norm = [state[f"{name}.norm.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
        out = F.batch_norm(out, *norm).relu()
        outputs[number] = F.max_pool2d(out, 2, ceil_mode=True) if number in pooled else out
    read_at_all = {j for layer in layers for j in layer.reads}
    ends = joined([outputs[j] for j in outputs if j and j not in read_at_all])
    return F.linear(ends.mean((2, 3)), state["head.1.weight"], state["head.1.bias"])


def joined(images: list[Tensor]) -> Tensor:
    """Each image copied into the corner of zeros of the largest height and width."""
    height, width = max(x.shape[2] for x in images), max(x.shape[3] for x in images)
    out = torch.zeros(len(images[0]), sum(x.shape[1] for x in images), height, width)
    start = 0
    for x in images:
        out[:, start : start + x.shape[1], : x.shape[2], : x.shape[3]] = x
        start += x.shape[1]
    return out


def test_networks_follow_the_paper_s_rules() -> None:
    """Random archs with strides and a pooling, against the rules written out."""
    torch.manual_seed(0)
    x = torch.randn(3, *STRIDED.input_shape)
    for arch in STRIDED.sample(8, np.random.default_rng(1)):
        network = STRIDED.build(arch).eval()
        with torch.no_grad():
            assert torch.allclose(network(x), by_hand(network, STRIDED.layers_of(arch), [2], x), atol=1e-5)


def test_a_layer_without_inputs_reads_the_image() -> None:
    """All skip bits zero: three input channels, whatever comes before."""
    space = NasRl(layers=3)
    network = space.build(space.parse("3x3-24/3x3-64:0/1x1-36:00"))
    assert [network.get_submodule(f"layers.{i}.conv").in_channels for i in range(3)] == [3, 3, 3]


def test_what_no_layer_reads_reaches_the_classifier() -> None:
    """24 + 64 + 36 channels; where the second reads the first, 64 + 36."""
    space = NasRl(layers=3)
    for code, width in (("3x3-24/3x3-64:0/1x1-36:00", 124), ("3x3-24/3x3-64:1/1x1-36:00", 100)):
        assert space.build(space.parse(code)).get_submodule("head.1").in_features == width


def test_features_of_a_strided_network() -> None:
    """The last map at each stride; what the classifier reads is the last of all."""
    space = NasRl(input_shape=(3, 32, 32), layers=3, strides=True)
    network = space.build(space.parse("3x3-24s1x1/3x3-36s2x2:1/5x5-64s2x2:01"))
    assert features_only(network, (3, 32, 32)).strides_and_channels == [(1, 24), (2, 36), (4, 64)]


def test_decisions_come_in_the_order_of_the_controller_s_tokens() -> None:
    """Filter height and width, stride height and width, count, then the anchor's bits."""
    names = [name.partition(".")[2] for name in NasRl(layers=3, strides=True).decisions.names]
    own = ["filter_height", "filter_width", "stride_height", "stride_width", "filters"]
    assert names == [*own, *own, "skip1", *own, "skip1", "skip2"]


# ── codes, drawings, mistakes ─────────────────────────────────────────────────────────────────────


def test_code_names_what_is_chosen() -> None:
    """Filters, strides and bits in the order of the layers."""
    arch = NasRl(layers=2, strides=True).parse("7x5-48s2x1/3x1-36s1x3:1")
    assert dict(arch) == {
        **{"layer1.filter_height": 7, "layer1.filter_width": 5, "layer1.stride_height": 2, "layer1.stride_width": 1},
        **{"layer1.filters": 48, "layer2.filter_height": 3, "layer2.filter_width": 1, "layer2.stride_height": 1},
        **{"layer2.stride_width": 3, "layer2.filters": 36, "layer2.skip1": 1},
    }


def test_drawing_shows_every_connection() -> None:
    """An arrow for each bit, from the image where there is none, and into the classifier."""
    space = NasRl(layers=4, strides=True, pool_after=[1])
    (graph,) = space.drawing(space.parse("7x5-48s1x1/3x3-24s2x1:1/1x1-36s1x1:00/3x3-64s1x1:010")).panels
    assert isinstance(graph, Graph)
    assert [(edge.source, edge.target) for edge in graph.edges] == [
        *(("image", "1"), ("1", "2"), ("image", "3"), ("2", "4"), ("3", "classifier"), ("4", "classifier"))
    ]
    assert [node.label for node in graph.nodes[1:3]] == ["7×5, 48, max pool 2×2", "3×3, 24, stride 2×1"]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("3x3-24", "the network has 1 layers parted by '/'; give 3"),
        ("3x3-24/3x3-24:1/3x3", "layer 3 is '3x3'; write filter height x width - filters, like 7x5-48"),
        ("3x3-24/3x3-24:1/3x3--24:00", "layer 3 is '3x3--24:00'"),
        ("3x3-24/3x3-24:1/3x3-24:2", "layer 3 is '3x3-24:2'"),
        ("3x3-24/2x3-24:1/3x3-24:00", "layer 2 has the filter height 2; choose one of 1, 3, 5, 7"),
        ("3x3-24/3x9-24:1/3x3-24:00", "layer 2 has the filter width 9; choose one of 1, 3, 5, 7"),
        ("3x3-24/3x3-25:1/3x3-24:00", "layer 2 has the number of filters 25; choose one of 24, 36, 48, 64"),
        ("3x3-24/3x3-24:1/3x3-24:001", "layer 3 has 3 bits behind ':'; give 2, one for each earlier layer"),
        ("3x3-24/3x3-24/3x3-24:00", "layer 2 has 0 bits behind ':'; give 1"),
        ("3x3-24:1/3x3-24:1/3x3-24:00", "layer 1 has 1 bits behind ':'; give 0"),
        ("3x3-24s1x1/3x3-24:1/3x3-24:00", "layer 1 has a stride; this space has none"),
        ("x" * 5000 + "//", "layer 1 is 'xxx"),
        ("", "the network has 1 layers"),
    ],
)
def test_codes_that_are_no_networks(code: str, message: str) -> None:
    """One short line that names the layer."""
    with pytest.raises(InvalidArchError) as caught:
        NasRl(layers=3).parse(code)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("3x3-24s1x1/3x3-24:1", "layer 2 has no stride; write it like 7x5-48s2x1"),
        ("3x3-24s1x4/3x3-24s1x1:1", "layer 1 has the stride width 4; choose one of 1, 2, 3"),
    ],
)
def test_strides_that_are_none(code: str, message: str) -> None:
    """In the space that searches them."""
    with pytest.raises(InvalidArchError, match=message):
        NasRl(layers=2, strides=True).parse(code)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layers": 0}, "layers is 0; give a whole number, 1 to 60"),
        ({"layers": 61}, "layers is 61; give a whole number, 1 to 60"),
        ({"strides": "yes"}, "strides is 'yes'; give true or false"),
        ({"filters": []}, "filters is empty"),
        ({"filters": [24, -36]}, r"filters\[1\] is -36"),
        ({"filters": [48, 24]}, "give each number once, ascending"),
        ({"filters": 24}, "filters is 24; give a list"),
        ({"pool_after": [16]}, r"pool_after\[0\] is 16; give a whole number, 1 to 15"),
        ({"n_classes": 0}, "number of classes is 0"),
        ({"input_shape": (3, 32)}, r"takes images \(channels, height, width\), not the shape \(3, 32\)"),
    ],
)
def test_impossible_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    """Each says what is accepted."""
    with pytest.raises(InvalidValueError, match=message):
        NasRl(**arguments)


def test_an_image_of_one_pixel_is_enough() -> None:
    """Padded convolutions leave it."""
    space = STRIDED.with_args(input_shape=(3, 1, 1))
    network = space.build(space.sample(1, np.random.default_rng(0))[0]).eval()
    assert isinstance(network, SkipNetwork)
    assert network(torch.zeros(2, 3, 1, 1)).shape == (2, 3)
