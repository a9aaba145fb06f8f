"""What engines make different things of is exported in forms that agree, with the numbers of torch."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from onnx.reference import ReferenceEvaluator
from torch import Tensor, nn

from archwright.core.errors import ExportError
from archwright.export.engines import agree
from archwright.export.onnx import export_onnx, verify_onnx

Function = Callable[[Tensor], Any]


class Applied(nn.Module):
    """A function as a network."""

    def __init__(self, function: Function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(x)


def captured(function: Function, shape: Sequence[int]) -> torch.export.ExportedProgram:
    """The program of a function for any batch."""
    axes = ({0: torch.export.Dim("batch", max=2**31 - 1)},)
    with torch.no_grad():
        return torch.export.export(Applied(function), (torch.zeros(2, *shape),), dynamic_shapes=axes, strict=False)


def calls(program: torch.export.ExportedProgram) -> list[tuple[str, Any]]:
    """Operators and what they are called with, in order."""
    return [(str(node.target), node.args) for node in program.graph.nodes if node.op == "call_function"]


def check(function: Function, shape: Sequence[int]) -> torch.export.ExportedProgram:
    """The rewritten program gives what the function gives, for a batch that was not traced."""
    program, x = captured(function, shape), torch.randn(3, *shape)
    assert agree(program) == ()
    torch.testing.assert_close(program.module()(x), function(x), rtol=1e-5, atol=1e-6)
    return program


# ── pools ─────────────────────────────────────────────────────────────────────────────────────────

WINDOWS = [
    (kernel, stride, padding)
    for kernel, stride in itertools.product((1, 2, 3), (1, 2, 3))
    for padding in range(kernel // 2 + 1)
]


@pytest.mark.parametrize("sides", [(6, 7), (8, 9)])
@pytest.mark.parametrize("dilation", [1, 2])
def test_largest_values_in_ceil_mode(dilation: int, sides: tuple[int, int]) -> None:
    """Any window, stride and padding: torch's shape and numbers, without padding in the pool and in floor mode."""

    def pools(x: Tensor) -> list[Tensor]:
        return [F.max_pool2d(x, *window, dilation, ceil_mode=True) for window in WINDOWS]

    made = [args for operator, args in calls(check(pools, (2, *sides))) if "max_pool" in operator]
    assert len(made) == len(WINDOWS)
    assert all(args[3:] == ([0, 0], [dilation] * 2) for args in made)


@pytest.mark.parametrize("sides", [(6, 7), (8, 9)])
@pytest.mark.parametrize("is_counted", [False, True])
def test_averages_in_ceil_mode(is_counted: bool, sides: tuple[int, int]) -> None:
    """What ceil mode adds never counts; the padding that is asked for may."""

    def pools(x: Tensor) -> list[Tensor]:
        return [F.avg_pool2d(x, *window, ceil_mode=True, count_include_pad=is_counted) for window in WINDOWS]

    made = [args for operator, args in calls(check(pools, (2, *sides))) if "avg_pool" in operator]
    assert len(made) == len(WINDOWS)
    assert all(len(args) == 3 for args in made), "more than numbers, window and stride"


@pytest.mark.parametrize("ceil_mode", [False, True])
def test_averages_with_their_own_divisor(ceil_mode: bool) -> None:
    """Sums over windows, divided by 5: torch's exporter would drop the 5."""

    def pools(x: Tensor) -> list[Tensor]:
        windows = [*WINDOWS, ((2, 3), (3, 1), (1, 0)), (2, None, 0)]
        return [F.avg_pool2d(x, *window, ceil_mode=ceil_mode, divisor_override=5) for window in windows]

    assert not [args for operator, args in calls(check(pools, (2, 9, 8))) if "avg_pool" in operator and len(args) > 3]


def test_pools_of_one_and_of_three_dimensions() -> None:
    """Rows of pixels, and stacks of images."""
    check(lambda x: (F.max_pool1d(x, 3, 2, 1, ceil_mode=True), F.avg_pool1d(x, 3, 2, 1, ceil_mode=True)), (2, 8))
    check(lambda x: (F.max_pool3d(x, 3, 2, 1, ceil_mode=True), F.avg_pool3d(x, 2, ceil_mode=True)), (2, 5, 6, 7))
    check(lambda x: F.avg_pool3d(x, 3, 2, 1, divisor_override=5), (2, 5, 6, 7))


# ── resizing and padding ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "how",
    [
        {"size": (7, 6)},
        {"size": (20, 11)},
        {"size": (5, 30), "align_corners": True},
        {"scale_factor": 0.6},
        {"scale_factor": (0.6, 1.7), "recompute_scale_factor": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_resizing_with_antialiasing_is_two_products(mode: str, how: dict[str, Any]) -> None:
    """Smaller, larger, by size and by scale."""
    program = check(lambda x: F.interpolate(x, mode=mode, antialias=True, **how), (3, 13, 11))
    assert [operator for operator, _ in calls(program)] == 2 * ["aten.matmul.default"]


def test_what_is_taken_away_is_sliced_off() -> None:
    """Negative padding, on either end of an axis; the rest is padded."""
    program = check(lambda x: F.pad(x, (-1, 2, 3, -2), value=1.5), (2, 6, 7))
    assert [operator for operator, _ in calls(program)] == 2 * ["aten.slice.Tensor"] + ["aten.pad.default"]


@pytest.mark.parametrize("pads", [(1, 2, 3, 0), (0, 0, 2, 2), (-1, 2, 3, -2)])
def test_circles_are_slices(pads: tuple[int, ...]) -> None:
    """In one axis or both, with more or less; ONNX before opset 19 has no word for it."""
    program = check(lambda x: F.pad(x, pads, mode="circular"), (2, 6, 7))
    assert {operator for operator, _ in calls(program)} == {"aten.slice.Tensor", "aten.cat.default"}


# ── what stays ────────────────────────────────────────────────────────────────────────────────────


def test_all_else_stays() -> None:
    """Averages that count their padding, resizing without antialiasing, padding with more."""

    def plain(x: Tensor) -> Tensor:
        return F.avg_pool2d(F.pad(F.interpolate(x, (6, 6), mode="bilinear"), (1, 1)), 3, 2, 1)

    expected = ["aten.upsample_bilinear2d.vec", "aten.pad.default", "aten.avg_pool2d.default"]
    assert [operator for operator, _ in calls(check(plain, (3, 9, 9)))] == expected


def tall(x: Tensor) -> Tensor:
    """The images of a batch below each other: (1, C, N H, W)."""
    return x.permute(1, 0, 2, 3).flatten(1, 2)[None]


def test_unknown_sides_stay_and_are_told() -> None:
    """A height that depends on the batch has no fixed matrix and no fixed padding."""

    def network(x: Tensor) -> Tensor:
        x = F.avg_pool2d(F.max_pool2d(tall(x), 3, 2, ceil_mode=True), 2, ceil_mode=True)
        return F.interpolate(x, (5, 5), mode="bilinear", antialias=True)

    program, x = captured(network, (2, 8, 8)), torch.randn(3, 2, 8, 8)
    before = calls(program)
    notes = agree(program)
    assert [note.partition(":")[0] for note in notes] == [
        "a pool in ceil mode over images whose sides depend on the batch",
        "resizing of images whose sides depend on the batch",
    ]
    assert calls(program) == before
    torch.testing.assert_close(program.module()(x), network(x))


def test_a_divisor_needs_no_sides_but_in_ceil_mode() -> None:
    """There it is refused: torch's exporter would write another one."""
    check(lambda x: F.avg_pool2d(tall(x), 3, 2, 1, divisor_override=5), (2, 8, 8))
    with pytest.raises(ExportError, match="divisor_override in ceil mode needs"):
        agree(captured(lambda x: F.avg_pool2d(tall(x), 3, 2, ceil_mode=True, divisor_override=5), (2, 8, 8)))


# ── together ──────────────────────────────────────────────────────────────────────────────────────


class Everything(nn.Module):
    """A network of a user's own that uses all of it, in its code and as modules."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.largest = nn.MaxPool2d(2, 2, 1, ceil_mode=True)
        self.mean = nn.AvgPool2d(3, 2, 1, ceil_mode=True, divisor_override=4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.interpolate(self.conv(x), scale_factor=0.7, mode="bicubic", antialias=True)
        x = F.avg_pool2d(F.pad(self.largest(x), (-1, 1)), 3, 2, 1, ceil_mode=True)
        return self.mean(F.interpolate(x, (7, 6), mode="bilinear", antialias=True))


def test_exported_file_agrees_with_torch(tmp_path: Path) -> None:
    """In ONNX Runtime at batches that were not traced, and in the reference; the module is as it was."""
    torch.manual_seed(0)
    network, shape = Everything(), (3, 17, 14)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    path = export_onnx(network, shape, tmp_path / "model.onnx").path
    assert verify_onnx(path, network, shape, batches=(1, 3)) < 1e-5
    model, x = onnx.load(path), torch.randn(2, *shape)
    with torch.no_grad():
        expected = network(x).numpy()
    np.testing.assert_allclose(ReferenceEvaluator(model).run(None, {"images": x.numpy()})[0], expected, atol=1e-5)
    constants = {tensor.name for tensor in model.graph.initializer}
    values = [value for value in model.graph.value_info if value.name not in constants]
    assert {value.type.tensor_type.shape.dim[0].dim_param for value in values} == {"batch"}
    given = {(a.name, a.i) for node in model.graph.node for a in node.attribute}
    assert not given & {("ceil_mode", 1), ("antialias", 1)}
    assert "Resize" not in {node.op_type for node in model.graph.node}
    assert network.state_dict().keys() == before.keys()
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert network.largest.ceil_mode
    assert network.mean.divisor_override == 4
