"""The fast form of cells against the modules it stands for."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import nn

from archwright.evaluators.cells import CellForm
from archwright.evaluators.fast_forms import find_forms, running
from archwright.nn.ops.cell import EdgeCell
from archwright.nn.ops.edges import Zero, relu_conv_bn
from archwright.nn.ops.pooling import LocalAvgPool2d

OPS: dict[str, Callable[[], nn.Module]] = {
    "0": Zero,
    "s": nn.Identity,
    "1": lambda: relu_conv_bn(4, 4, 1),
    "3": lambda: relu_conv_bn(4, 4, 3, affine=False),
    "p": lambda: LocalAvgPool2d(3),
    # no fast form, and one that does not begin with a ReLU
    "t": nn.Tanh,
    "c": lambda: nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)),
}

CELLS = (
    "333333",
    "s33s33",
    "000000",
    "s00s00",
    "0ss0ss",
    "ssssss",
    "s0s00s",
    "p1s3p1",
    "sp3s1t",
    "cc3tsc",
    "300003",
    "030003",
)
"""The operations on edges 01, 02, 12, 03, 13 and 23."""


def cell(ops: str) -> EdgeCell:
    edges = iter(ops)
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        made = EdgeCell(4, lambda source, target: OPS[next(edges)]()).double().eval()
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
            module.train()
    return made


def images(i: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(i)
    return torch.randn(3, 4, 6, 6, generator=generator, dtype=torch.float64).to(memory_format=torch.channels_last)


@pytest.mark.parametrize("ops", CELLS)
@torch.no_grad()
def test_outputs_and_statistics_are_those_of_the_modules(ops: str) -> None:
    """Over two batches with batch statistics, then with those found, in float64; the input is not changed."""
    made = cell(ops)
    plain, forms = copy.deepcopy(made), find_forms(made)
    assert isinstance(forms[made], CellForm)
    for calibrate in (True, False):
        made.train(calibrate)
        plain.train(calibrate)
        with running(forms, calibrate=calibrate):
            for i in range(2):
                x, before = images(i), images(i)
                torch.testing.assert_close(made(x), plain(before), rtol=1e-12, atol=1e-12)
                assert torch.equal(x, before)
    for (path, found), expected in zip(made.named_buffers(), plain.buffers(), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12, msg=path)


@torch.no_grad()
def test_a_state_is_rectified_once() -> None:
    """Six convolutions read three states."""
    made, calls = cell("333333"), list[str]()

    class Count(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            calls.append(func.__name__)
            return func(*args, **(kwargs or {}))

    with running(find_forms(made), calibrate=False), Count():
        made(images(0))
    assert sum(name in ("relu", "relu_") for name in calls) == 3
    assert calls.count("conv2d") == 6


def test_a_cell_with_a_hook_runs_as_it_is() -> None:
    """On itself or on one of its edges."""
    for path in ("", "edge12.1"):
        made = cell("333333")
        made.get_submodule(path).register_forward_hook(lambda *_: None)
        assert made not in find_forms(made)
