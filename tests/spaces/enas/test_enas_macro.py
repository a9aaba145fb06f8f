"""ENAS's whole networks: shared weights, the two ways to join, errors, pictures."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from archwright.core.drawing import Graph
from archwright.core.errors import InvalidArchError, InvalidValueError, UsageError
from archwright.nn import selection_of
from archwright.nn.choice.modules import active_modules
from archwright.nn.ops.enas_macro import SkipNetwork
from archwright.spaces import EnasMacro, open_architecture

ARGS = {"input_shape": (3, 16, 16), "n_classes": 3, "layers": 6, "channels": 4}
SMALL = EnasMacro(**ARGS)
CODE = "0,10,201,3011,41001,511111"


def network_of(space: EnasMacro) -> SkipNetwork:
    """The network of `CODE`, with statistics of its own."""
    torch.manual_seed(0)
    network = space.build(space.parse(CODE))
    assert isinstance(network, SkipNetwork)
    with torch.no_grad():
        network.train()(torch.randn(8, 3, 16, 16))
    return network.eval()


def test_search_layers_add_skips() -> None:
    """1x1, batch norm, ReLU, operation, batch norm, ReLU; joined outputs are added, and normalised together."""
    layer = network_of(SMALL.search_form()).layers[3]
    outputs = list(torch.randn(4, 2, 4, 8, 8))
    with torch.no_grad():
        own = layer.op(outputs[3])  # sep5 of the newest
        expected = layer.join[1](own + outputs[1] + outputs[2])
        assert torch.allclose(layer(outputs), expected, atol=1e-6)
    kinds = [type(part).__name__ for part in layer.op]
    assert kinds == [*("Conv2d", "BatchNorm2d", "ReLU"), *("Conv2d", "Conv2d", "BatchNorm2d", "ReLU")]


def test_final_layers_concatenate_skips() -> None:
    """ReLU, 1x1, batch norm, ReLU, operation, batch norm; joined outputs and then the own one, brought back to F."""
    layer = network_of(SMALL).layers[3]
    outputs = list(torch.randn(4, 2, 8, 8, 8))
    with torch.no_grad():
        joined = torch.cat([outputs[1], outputs[2], layer.op(outputs[3])], 1)
        _, relu, conv, norm = layer.join
        assert torch.equal(layer(outputs), norm(conv(relu(joined))))
    assert conv.in_channels == 3 * 8
    kinds = [type(part).__name__ for part in layer.op]
    assert kinds == [*("ReLU", "Conv2d", "BatchNorm2d", "ReLU"), *("Conv2d", "Conv2d", "BatchNorm2d")]


def test_poolings_have_no_norm_behind_them() -> None:
    """In both networks; the released final network has nothing there."""
    for space in (SMALL, SMALL.search_form()):
        layers = network_of(space).layers
        assert [type(layers[i].op[-1]).__name__ for i in (4, 5)] == ["LocalAvgPool2d", "MaxPool2d"]


def test_every_output_is_halved() -> None:
    """Behind layers 1 and 3: three and five of them, by reductions of their own."""
    network = network_of(SMALL)
    assert [len(halves) for halves in network.reductions] == [3, 5]
    assert network.after == [1, 3]
    seen: list[list[tuple[int, ...]]] = []
    for layer in network.layers:
        layer.register_forward_pre_hook(lambda _layer, given: seen.append([tuple(x.shape[1:]) for x in given[0]]))
    with torch.no_grad():
        network(torch.randn(2, 3, 16, 16))
    assert seen == [[(w, s, s)] * (i + 1) for i, (w, s) in enumerate([(4, 16)] * 2 + [(8, 8)] * 2 + [(16, 4)] * 2)]


def test_archs_that_differ_in_one_skip_share_all_weights() -> None:
    """A skip of the search network has none of its own, and one operation's gradients are absent elsewhere."""
    supernet, space = SMALL.search_form().supernet(), SMALL
    found = []
    for code in (CODE, CODE.replace("3011", "3010")):
        selection_of(supernet).activate(space.parse(code))
        found.append({id(p) for _, part in active_modules(supernet) for p in part._parameters.values()})
    assert found[0] == found[1]
    supernet(torch.randn(2, 3, 16, 16)).square().sum().backward()
    layer = supernet.get_submodule("layers.3.op")
    assert {name for name, p in layer.named_parameters() if p.grad is not None} == {
        name for name, _ in layer.named_parameters() if name.startswith("sep_conv_5x5.")
    }


@pytest.mark.parametrize("shape", [(1, 4, 4), (1, 8, 8), (3, 15, 15), (3, 28, 40)])
@pytest.mark.parametrize("form", ["final", "search"])
def test_small_images(shape: tuple[int, ...], form: str) -> None:
    """Logits from 4 pixels on, also where height and width differ."""
    space = SMALL.with_args(input_shape=shape)
    if form == "search":
        space = space.search_form()
    with torch.device("meta"):
        network = space.build(space.parse(CODE))
    assert network(torch.empty(2, *shape, device="meta")).shape == (2, 3)


def test_a_drawing_shows_every_layer_and_skip() -> None:
    """Twenty-four layers in a row, 98 arrows besides."""
    found = open_architecture("enas-macro")
    (graph,) = found.space.drawing(found.arch).panels
    assert isinstance(graph, Graph)
    assert len(graph.nodes) == 24 + 2
    assert len(graph.edges) == 25 + 98
    assert "full convolution" in graph.nodes[2].note
    assert "halved" in graph.nodes[8].note


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("0,1x", "is not one of digits"),
        ("0,30,010", "has 3 groups; give 6, layer 0 to layer 5"),
        ("0,10,201,301,41001,511111", "layer 3 has 3 numbers, '301'; give 4"),
        ("0" * 20, "has 20 numbers; give 21"),
        (CODE.replace("41001", "61001"), "the operation of layer 4 is 6; give 0 to 5"),
        (CODE.replace("41001", "41201"), "layer 4: bit 1 is 2; give 0 to 1"),
    ],
)
def test_codes_that_are_no_networks(code: str, message: str) -> None:
    """One line that names the layer."""
    with pytest.raises(InvalidArchError) as caught:
        SMALL.parse(code)
    assert message in str(caught.value)


def test_a_missing_bit_is_named() -> None:
    """As any missing decision; a bit has two values."""
    values = dict(SMALL.parse(CODE))
    with pytest.raises(UsageError, match=r"'layer3\.skip2' is missing"):
        SMALL.build({name: value for name, value in values.items() if name != "layer3.skip2"})
    with pytest.raises(UsageError, match=r"layer3\.skip2"):
        SMALL.build({**values, "layer3.skip2": 2})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_shape": (3, 3, 3)}, "at least 4 pixels a side, not 3"),
        ({"n_classes": -1}, "give a whole number, 1 to"),
        ({"layers": 2}, "layers is 2; give a whole number, 3 to 100"),
        ({"channels": -36}, "channels is -36; give a whole number, 2 to"),
        ({"full_convolutions": 1}, "full_convolutions is 1; give true or false"),
        ({"search": None}, "search is None"),
        ({"dropout": 1}, "dropout is 1"),
    ],
)
def test_impossible_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    """Each by its name."""
    with pytest.raises(InvalidValueError, match=message):
        EnasMacro(**arguments)


def test_the_search_form_keeps_the_layers() -> None:
    """Its width is the search's own, or the one that was asked for."""
    assert (EnasMacro().channels, EnasMacro().search_form().channels) == (96, 36)
    assert (SMALL.search_form().layers, SMALL.search_form().channels) == (6, 4)
    assert isinstance(SMALL.search_form().build(SMALL.parse(CODE)), nn.Module)
