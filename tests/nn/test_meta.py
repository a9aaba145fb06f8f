"""Shapes on the meta device agree with those of real tensors."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from archwright.nn.meta import ShapesOnly, shape_only

Operation = Callable[[Tensor], Tensor]


def zeros(*shape: int) -> Callable[[Tensor], Tensor]:
    """Zeros of a shape, on the device of another tensor."""
    return lambda x: torch.zeros(shape, device=x.device)


OPERATIONS: dict[str, Operation] = {
    "convolution": lambda x: F.conv2d(x, zeros(6, 4, 3, 2)(x), stride=(2, 1), padding=(1, 0), dilation=(2, 1)),
    "grouped": lambda x: F.conv2d(x, zeros(8, 1, 3, 3)(x), zeros(8)(x), groups=4),
    "max pool": lambda x: F.max_pool2d(x, 3, 2, 1),
    "max pool of its own stride": lambda x: F.max_pool2d(x, 2),
    "max pool, last window in part": lambda x: F.max_pool2d(x, 3, 2, ceil_mode=True),
    "max pool, last window outside": lambda x: F.max_pool2d(x, 2, 3, 1, ceil_mode=True),
    "average pool": lambda x: F.avg_pool2d(x, (3, 2), 2, 1, count_include_pad=False),
    "average pool, last window in part": lambda x: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True),
    "mean": lambda x: x.mean((2, -1)),
    "mean, axes kept": lambda x: x.mean(1, keepdim=True),
    "linear": lambda x: F.linear(x.mean((2, 3)), zeros(5, 4)(x), zeros(5)(x)),
    "product": lambda x: x.flatten(1) @ zeros(4 * 9 * 7, 3)(x),
    "concatenation": lambda x: torch.cat([x, x[:, :2]], -3),
    "stack": lambda x: torch.stack([x, x], -1),
    "padding": lambda x: F.pad(x, (0, 1, -2, 3)),
    "shuffle": lambda x: F.channel_shuffle(x, 2),
    "scaled channels": lambda x: x * zeros(2, 4, 1, 1)(x),
    "broadcast to more": lambda x: zeros(7)(x) + x,
    "a number": lambda x: x - 2,
    "an integer and a float": lambda x: torch.ones(3, dtype=torch.int64, device=x.device) * 1.5,
    "two kinds": lambda x: x.double() + x,
    "in place": lambda x: x.clone().add_(zeros(9, 1)(x)),
    "activation": lambda x: F.silu(x),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_shape_and_type_are_those_of_real_tensors(name: str) -> None:
    with ShapesOnly():
        found = OPERATIONS[name](torch.empty(2, 4, 9, 7, device="meta"))
    expected = OPERATIONS[name](torch.zeros(2, 4, 9, 7))
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)


WRONG: dict[str, Operation] = {
    "channels": lambda x: F.conv2d(x, zeros(6, 3, 3, 3)(x)),
    "kernel": lambda x: F.conv2d(x, zeros(6, 4, 11, 3)(x)),
    "pool": lambda x: F.max_pool2d(x, 11),
    "padding of a pool": lambda x: F.avg_pool2d(x, 3, 1, 2),
    "axis": lambda x: x.mean(4),
    "product": lambda x: x.flatten(1) @ zeros(5, 3)(x),
    "concatenation": lambda x: torch.cat([x, x[:, :, :2]], 1),
    "sum": lambda x: x + zeros(6)(x),
    "in place": lambda x: x[:1].add_(x),
    "shuffle": lambda x: F.channel_shuffle(x, 3),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_does_not_fit_is_refused_as_with_real_tensors(name: str) -> None:
    for device in ("cpu", "meta"):
        with ShapesOnly(), pytest.raises((RuntimeError, IndexError)):
            WRONG[name](torch.zeros(2, 4, 9, 7, device=device))


def test_real_tensors_are_left_to_torch() -> None:
    assert shape_only("relu", (torch.zeros(3),)) is None


def test_a_usual_network_needs_neither_torch_compiler_nor_algebra() -> None:
    """Importing them takes longer than anything else `archwright cost` does."""
    code = (
        "import sys\nimport archwright as aw\nfrom archwright.costs.describe import cost\n"
        "from archwright.spaces import open_architecture\nfound = open_architecture('mnasnet-a1')\n"
        "cost(found.space, found.arch)\nprint(sorted({'torch._dynamo', 'sympy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
