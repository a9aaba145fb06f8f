"""The one-shot space against its fact sheet."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from archwright.core.arch import Arch
from archwright.core.errors import InvalidArchError, InvalidValueError, UnknownNameError
from archwright.costs.counting.count import count
from archwright.export.onnx import export_onnx, verify_onnx
from archwright.export.source import network_source, verify_source
from archwright.nn import selection_of
from archwright.nn.choice.modules import InputsChoice
from archwright.nn.features import features_only
from archwright.nn.ops.one_shot import ONE_SHOT_OPS
from archwright.spaces import OneShot, Space, arch_document
from archwright.testing import SpaceContract

TINY: dict[str, Any] = {"input_shape": (1, 8, 8), "n_classes": 3, "cells": 3, "channels": 4, "blocks": 2}
CODE = "0:identity+sep_conv_3x3/12:max_pool_3x3/03:conv_1x7_7x1+avg_pool_3x3/0124:sep_conv_5x5"


class TestContract(SpaceContract):
    n_archs = 2
    n_images = 8

    def make(self) -> Space:
        return OneShot(**TINY)


@pytest.mark.slow
class TestPaperSizes(SpaceContract):
    """Eight cells of four blocks."""

    n_archs = 2
    n_costed = 4

    def make(self) -> Space:
        return OneShot(input_shape=(3, 16, 16))


def settled(network: nn.Module, shape: tuple[int, ...]) -> nn.Module:
    """With statistics of one batch, in evaluation mode."""
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = None
    with torch.no_grad():
        network.train()(torch.randn(8, *shape))
    return network.eval()


def test_size() -> None:
    """Any inputs but none, and one or two of seven operations, in each of four blocks."""
    inputs = math.prod(2**n - 1 for n in (2, 3, 4, 5))
    assert OneShot().size() == inputs * (7 + math.comb(7, 2)) ** 4 == 9_765 * 28**4 == 6_002_115_840


@pytest.mark.parametrize(("max_ops", "size"), [(1, 3 * 7 * 7**2), (7, 3 * 7 * 127**2)])
def test_size_follows_the_most_operations(max_ops: int, size: int) -> None:
    """One of seven, or any set of them but the empty one, in each of two blocks."""
    assert OneShot(blocks=2, max_ops=max_ops).size() == size


def block_params(n_in: list[int], width: int, ops: list[str]) -> int:
    """Weights of a choice block by hand."""
    of_op = {"identity": 0, "max_pool_3x3": 0, "avg_pool_3x3": 0, "conv_1x7_7x1": 2 * (7 * width**2 + 2 * width)}
    of_op |= {f"sep_conv_{k}x{k}": 2 * (k * k * width + width**2 + 2 * width) for k in (3, 5, 7)}
    return sum(n_in) * width + 2 * width + sum(of_op[op] for op in ops)


def test_parameters_by_hand() -> None:
    """Of a member with every kind of operation: stem, 8 cells in three stages, classifier."""
    space = OneShot(channels=6)
    arch, expected = space.parse(CODE), 3 * 9 * 6 + 2 * 6
    outputs = [6, 6]
    for cell in range(8):
        width = 6 * 2 ** (3 * cell // 8)
        before, last = outputs[-2:]
        expected += block_params([before], width, ["identity", "sep_conv_3x3"])
        expected += block_params([last, width], width, ["max_pool_3x3"])
        expected += block_params([before, width], width, ["conv_1x7_7x1", "avg_pool_3x3"])
        expected += block_params([before, last, width, width], width, ["sep_conv_5x5"])
        outputs.append(4 * width)
    expected += outputs[-1] * 10 + 10
    with torch.device("meta"):
        counted = count(space.build(arch), space.input_shape)
    assert (counted.params, counted.uncounted) == (expected, [])


def test_a_sum_of_convolutions_is_one_of_the_concatenation() -> None:
    """How a block reads several states: as the paper's 1x1 convolution behind their concatenation."""
    torch.manual_seed(0)
    space = OneShot(**TINY)
    block = space.build(space.parse("01:identity/012:identity")).get_submodule("cells.0.nodes.1.inputs")
    edges = [edge for edge in block.children() if isinstance(edge, nn.Conv2d)]
    states = [torch.randn(2, edge.in_channels, 8, 8) for edge in edges]
    joined = nn.functional.conv2d(torch.cat(states, 1), torch.cat([edge.weight for edge in edges], 1))
    assert torch.allclose(block(states), joined, atol=1e-6)


def test_the_one_shot_model_without_the_other_paths_is_the_member() -> None:
    """Not a bit differs: paths at weight 1 against the stand-alone network with copied weights."""
    torch.manual_seed(0)
    space = OneShot(**TINY)
    supernet, arch = space.supernet(), space.parse("01:sep_conv_3x3+avg_pool_3x3/2:conv_1x7_7x1")
    selection_of(supernet).relax({})
    settled(supernet, space.input_shape)
    x = torch.randn(4, *space.input_shape)
    # the subsets of one state come first, in the order of the states
    selection_of(supernet).relax({name: [(i, 1.0) for i in kept] for name, kept in arch.items() if kept is not None})  # type: ignore[union-attr]
    with torch.no_grad():
        assert torch.equal(supernet(x), space.extract(supernet, arch).eval()(x))


def test_relaxed_without_weights_every_path_runs() -> None:
    """The paper's one-shot model: all inputs and all operations, summed."""
    space = OneShot(**TINY)
    supernet = space.supernet()
    selection_of(supernet).relax({})
    nodes = [part for part in supernet.modules() if isinstance(part, InputsChoice)]
    assert [len(node.active_children()) for node in nodes] == [2, 7, 3, 7] * 3


def test_cells_are_equal_and_named_as_blocks() -> None:
    """However many cells: two decisions a block."""
    assert OneShot(cells=2).decisions == OneShot(cells=20).decisions
    assert OneShot(blocks=2).decisions.names == ("block0.inputs", "block0.ops", "block1.inputs", "block1.ops")


def test_singles_come_first() -> None:
    """So that position i of a block's inputs or operations is the path from i alone: what path dropout needs."""
    decisions = OneShot().decisions
    assert decisions["block3.inputs"].values[:5] == ((0,), (1,), (2,), (3,), (4,))
    assert decisions["block0.ops"].values == tuple(s for k in (1, 2) for s in combinations(range(7), k))


@pytest.mark.parametrize(
    ("side", "maps"),
    [
        (4, [(1, 64)]),
        (8, [(1, 32), (2, 64)]),
        (16, [(1, 16), (2, 32), (4, 64)]),
        (96, [(1, 4), (2, 4), (4, 16), (8, 32), (16, 64)]),
        (97, [(2, 4), (4, 4), (8, 16), (16, 32), (32, 64)]),
    ],
)
def test_maps(side: int, maps: list[tuple[int, int]]) -> None:
    """Strides and channels of the features follow the image, down to 4 pixels a side."""
    space = OneShot(input_shape=(3, side, side), channels=4)
    assert features_only(space.build(space.parse(CODE)), space.input_shape).strides_and_channels == maps


@pytest.mark.parametrize("cells", [1, 2, 3, 4, 5])
def test_few_cells(cells: int) -> None:
    """A cell may read a map that is four times as large as its own."""
    space = OneShot(input_shape=(1, 17, 19), cells=cells, channels=2, n_classes=3)
    assert space.build(space.parse(CODE))(torch.zeros(2, 1, 17, 19)).shape == (2, 3)


def test_code() -> None:
    """Blocks, their inputs and their operations, in the order of the space."""
    space = OneShot()
    arch = space.parse(CODE)
    assert space.code(arch) == CODE
    assert (arch["block3.inputs"], arch["block2.ops"]) == ((0, 1, 2, 4), (4, 6))
    assert space.parse("1:sep_conv_3x3+identity/" + CODE.split("/", 1)[1])["block0.ops"] == (0, 1)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("0:identity", "has 1 blocks; give 2"),
        ("0:identity/", "block 1: '' has no ':'"),
        ("0:identity/3:identity", "block 1 cannot read state '3'; give some of the digits 012"),
        ("0:identity/-1:identity", "block 1 cannot read state '-'"),
        ("00:identity/1:identity", "block 0 reads the states '00'"),
        (":identity/1:identity", "block 0 reads the states ''"),
        ("0:idenity/1:identity", "block 0: unknown operation 'idenity'; did you mean identity"),
        ("0:identity+identity/1:identity", "block 0 has the operations identity[+]identity; give 1 to 2, each once"),
        ("0:identity+avg_pool_3x3+max_pool_3x3/1:identity", "give 1 to 2"),
        ("0:/1:identity", "block 0: unknown operation ''"),
    ],
)
def test_bad_codes(code: str, message: str) -> None:
    """One line that names the block."""
    with pytest.raises(InvalidArchError, match=message) as caught:
        OneShot(blocks=2).parse(code)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"input_shape": (3, 3, 9)}, InvalidValueError, "at least 4 pixels a side, not 3"),
        ({"input_shape": (3, 32)}, InvalidValueError, "takes images"),
        ({"n_classes": 0}, InvalidValueError, "give a whole number, 1 to"),
        ({"cells": 0}, InvalidValueError, "cells is 0"),
        ({"channels": -4}, InvalidValueError, "channels is -4"),
        ({"blocks": 9}, InvalidValueError, "blocks is 9"),
        ({"max_ops": 8}, InvalidValueError, "max_ops is 8"),
        ({"ops": []}, InvalidValueError, "give a list of operations"),
        ({"ops": "identity"}, InvalidValueError, "give a list of operations"),
        ({"ops": ["identity", "identity"], "max_ops": 1}, InvalidValueError, "twice"),
        ({"ops": ["identity", "conv"]}, UnknownNameError, "unknown operation 'conv'"),
    ],
)
def test_impossible_arguments_are_refused(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    """Each names what it got."""
    with pytest.raises(error, match=message):
        OneShot(**arguments)


def test_drawing_shows_the_cell() -> None:
    """Two inputs, a convolution and the operations of each block, what leaves the cell."""
    space = OneShot()
    graph = space.drawing(space.parse(CODE)).panels[0]
    assert [node.id for node in graph.nodes if node.kind == "input"] == ["0", "1"]  # type: ignore[union-attr]
    assert sum(node.label == "1×1 conv" for node in graph.nodes) == 4  # type: ignore[union-attr]
    assert len(graph.edges) == 9 + 2 * 6 + 4  # type: ignore[union-attr]


def narrow() -> nn.Module:
    """A member with every operation, three channels wide."""
    torch.manual_seed(0)
    space = OneShot(input_shape=(1, 9, 9), n_classes=3, cells=3, channels=3)
    code = "01:identity+sep_conv_3x3/0:max_pool_3x3+sep_conv_7x7/23:conv_1x7_7x1+avg_pool_3x3/4:sep_conv_5x5"
    return settled(space.build(space.parse(code)), space.input_shape)


def test_source_gives_the_logits() -> None:
    """`model.py` of plain torch builds the network with the same names."""
    network = narrow()
    text = network_source(network, input_shape=(1, 9, 9), class_names=["a", "b", "c"], preprocessing={})
    assert verify_source(text, network, (1, 9, 9)) <= 1e-5


@pytest.mark.slow
def test_onnx_gives_the_logits(tmp_path: Path) -> None:
    """At two batch sizes."""
    network = narrow()
    exported = export_onnx(network, (1, 9, 9), tmp_path / "model.onnx")
    assert verify_onnx(exported.path, network, (1, 9, 9), batches=(1, 3)) < 1e-5


def test_train_command(cli: Callable[..., Any], tmp_path: Path) -> None:
    """A narrow member on 8 x 8 digits, two steps, with all its files."""
    space = OneShot(cells=3, channels=4)
    file = tmp_path / "arch.json"
    file.write_text(json.dumps(arch_document(space, space.parse(CODE))))
    options = ["--preset", "smoke", "--threads", "1", "--set", "training.steps=2", "--out", tmp_path / "run"]
    done = cli("train", file, "--data", "digits", *options)
    assert done.code == 0, done.err
    assert {path.name for path in (tmp_path / "run" / "best").iterdir()} >= {"model.onnx", "model.py"}


@pytest.mark.slow
def test_train_command_at_the_paper_s_sizes(cli: Callable[..., Any], tmp_path: Path) -> None:
    """By its code."""
    options = ["--preset", "smoke", "--threads", "1", "--set", "training.steps=2", "--out", tmp_path / "run"]
    done = cli("train", f"one-shot:{CODE}", "--data", "digits", *options)
    assert done.code == 0, done.err


def test_draws_are_even() -> None:
    """Each operation of block 0 is one of a pair in 7 of 28 values: in a quarter of the draws."""
    space = OneShot()
    rows = space.decisions.sample(20_000, np.random.default_rng(0))
    kept = [space.decisions["block0.ops"].values[i] for i in rows[:, space.decisions.position("block0.ops")]]
    shares = [sum(op in ops for ops in kept) / 20_000 for op in range(len(ONE_SHOT_OPS))]  # type: ignore[operator]
    assert max(abs(share - 7 / 28) for share in shares) < 0.015


def test_archs_of_json_may_list() -> None:
    """Tuples are lists in a file."""
    space = OneShot(blocks=1)
    assert Arch.from_json({"block0.inputs": [0, 1], "block0.ops": [2]}) == space.parse("01:sep_conv_5x5")
