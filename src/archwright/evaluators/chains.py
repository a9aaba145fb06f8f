"""Faster forward passes for the conv–norm–ReLU chains that scoring a supernet spends its time in.

Scoring runs every candidate twice without gradients: once with batch statistics (calibration), once with the
statistics just found (validation). In a plain `nn.Sequential` of convolutions, batch norms and ReLUs both
passes can leave out most of the normalising: its scale and shift go into the weights of a convolution beside
it. Results are those of the modules up to rounding; modules of other types run as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from archwright.nn.ops.pooling import GlobalAvgPool2d, LocalAvgPool2d

Affine = tuple[Tensor, Tensor]
"""Scale and shift, each (C,)."""


@dataclass
class _Step:
    """A convolution with the norm and the ReLU behind it, or any other module as `other`.

    Average pooling over squares side by side before a 1x1 convolution is one convolution with it where the image
    divides into such squares; elsewhere `pool` runs first.
    """

    conv: nn.Conv2d | None = None
    pool: nn.AvgPool2d | None = None
    norm: nn.BatchNorm2d | None = None
    relu: bool = False
    other: nn.Module | None = None
    folded: tuple[Tensor, Tensor] | None = None


class Chain:
    """The fast form of one `nn.Sequential`.

    Args:
        leaves: Its modules in order, nested plain sequences opened.
    """

    def __init__(self, leaves: Sequence[nn.Module]) -> None:
        self.steps = _steps(leaves)

    @property
    def begins_with_relu(self) -> bool:
        """Whether the first step is a plain ReLU that leaves its input alone."""
        return type(first := self.steps[0].other) is nn.ReLU and not first.inplace

    def calibrate(self, x: Tensor, first: int = 0) -> Tensor:
        """Forward with batch statistics, which enter the running ones by a cumulative mean.

        Args:
            x: The input of the first step that is run.
            first: Its number; who has taken the steps before leaves them out.
        """
        pending: Affine | None = None  # the norm of the step before, not yet applied to x
        steps = self.steps[first:]
        for step, following in zip(steps, [*steps[1:], None], strict=True):
            if step.conv is None:
                assert step.other is not None
                x = step.other(x)
                continue
            weight, bias = step.conv.weight, step.conv.bias
            if pending is not None:
                scale, shift = pending
                shifted = (weight.flatten(1) @ shift) if bias is None else bias + weight.flatten(1) @ shift
                weight, bias = weight * scale[:, None, None], shifted
            x = _convolve(step, x, weight, bias)
            pending = None
            if step.norm is not None:
                scale, shift = _batch_affine(step.norm, x)
                if not step.relu and following is not None and _takes_affine(following.conv):
                    pending = scale, shift
                else:
                    x = _mapped(x, scale, shift)
            if step.relu:
                x = x.relu_()
        return x

    def fold(self) -> None:
        """Take the running statistics into the weights `apply` uses."""
        for step in self.steps:
            if step.conv is not None and step.norm is not None:
                scale, shift = _running_affine(step.norm)
                bias = shift if step.conv.bias is None else shift + step.conv.bias * scale
                step.folded = step.conv.weight * scale[:, None, None, None], bias

    def apply(self, x: Tensor, first: int = 0) -> Tensor:
        """Forward with the statistics last folded; `first` as in `calibrate`."""
        for step in self.steps[first:]:
            if step.conv is None:
                assert step.other is not None
                x = step.other(x)
            else:
                weight, bias = step.folded or (step.conv.weight, step.conv.bias)
                x = _convolve(step, x, weight, bias)
                if step.relu:
                    x = x.relu_()
        return x


def chain_of(module: nn.Module) -> Chain | None:
    """The fast form of a plain sequence in which a convolution takes up what stands beside it; None of others."""
    if type(module) is not nn.Sequential or has_hooks(module):
        return None
    chain = Chain(_leaves(module))
    gains = any(step.norm is not None or step.pool is not None for step in chain.steps)
    return (
        chain
        if gains and all(step.conv is not None or isinstance(step.other, _LEAVES) for step in chain.steps)
        else None
    )


def has_hooks(module: nn.Module) -> bool:
    """Whether somebody watches the module, who would miss it if something else ran in its place."""
    return bool(module._forward_hooks or module._forward_pre_hooks)


_POOLS = (GlobalAvgPool2d, LocalAvgPool2d, nn.AvgPool2d, nn.MaxPool2d)
_LEAVES = (nn.ReLU, *_POOLS, nn.Flatten, nn.Dropout, nn.Linear, nn.Identity)


def _leaves(module: nn.Module) -> list[nn.Module]:
    if type(module) is nn.Sequential and not has_hooks(module):
        return [leaf for child in module.children() for leaf in _leaves(child)]
    return [module]


def _steps(leaves: Sequence[nn.Module]) -> list[_Step]:
    steps: list[_Step] = []
    for leaf in leaves:
        last = steps[-1] if steps else None
        if has_hooks(leaf):
            steps.append(_Step(other=leaf))
        elif type(leaf) is nn.Conv2d and leaf.padding_mode == "zeros" and not isinstance(leaf.padding, str):
            if last is not None and _pools_squares(last.other) and _takes_affine(leaf) and leaf.stride == (1, 1):
                assert isinstance(last.other, nn.AvgPool2d)
                steps[-1] = _Step(conv=leaf, pool=last.other)
            else:
                steps.append(_Step(conv=leaf))
        elif (
            last is not None and last.conv is not None and not last.relu and last.norm is None and _is_plain_norm(leaf)
        ):
            assert isinstance(leaf, nn.BatchNorm2d)
            last.norm = leaf
        elif last is not None and last.conv is not None and not last.relu and type(leaf) is nn.ReLU:
            last.relu = True
        else:
            steps.append(_Step(other=leaf))
    return steps


def _is_plain_norm(module: nn.Module) -> bool:
    return type(module) is nn.BatchNorm2d and module.running_mean is not None


def _takes_affine(conv: nn.Conv2d | None) -> bool:
    """Whether an affine map of its input can go into its weights: padding would add zeros that are not mapped."""
    return conv is not None and conv.kernel_size == (1, 1) and conv.padding == (0, 0) and conv.groups == 1


def _convolve(step: _Step, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    conv = step.conv
    assert conv is not None
    if step.pool is not None:
        side = int(step.pool.kernel_size)  # type: ignore[arg-type]  # `_pools_squares` looked at it
        if x.shape[-2] % side == x.shape[-1] % side == 0:
            return F.conv2d(x, (weight / side**2).expand(-1, -1, side, side), bias, side)
        x = step.pool(x)
    return F.conv2d(x, weight, bias, conv.stride, conv.padding, conv.dilation, conv.groups)


def _pools_squares(module: nn.Module | None) -> bool:
    """Whether it averages over squares side by side."""
    if type(module) is not nn.AvgPool2d or has_hooks(module) or module.divisor_override is not None:
        return False
    return isinstance(module.kernel_size, int) and module.stride == module.kernel_size and module.padding == 0


def _mapped(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """x * scale + shift, in place where that is exact."""
    if x.dtype == scale.dtype:
        return torch.addcmul(shift[:, None, None], x, scale[:, None, None], out=x)
    # lower precision: one pass that multiplies in float32; mixed types in addcmul go through a copy of x
    nothing, one = torch.zeros_like(shift), torch.ones_like(scale)
    return F.batch_norm(x, nothing, one, scale, shift, False, 0.0, 0.0)


def _batch_affine(norm: nn.BatchNorm2d, x: Tensor) -> Affine:
    """Scale and shift that normalise x by its own statistics, which are averaged into the running ones."""
    assert norm.num_batches_tracked is not None
    assert norm.running_mean is not None
    norm.num_batches_tracked.add_(1)
    mean, variance = torch.batch_norm_update_stats(
        x, norm.running_mean, norm.running_var, 1.0 / float(norm.num_batches_tracked)
    )
    return _affine(norm, mean, variance)


def _running_affine(norm: nn.BatchNorm2d) -> Affine:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    return _affine(norm, norm.running_mean, norm.running_var)


def _affine(norm: nn.BatchNorm2d, mean: Tensor, variance: Tensor) -> Affine:
    scale = (variance + norm.eps).rsqrt_()
    if norm.affine:
        scale = scale * norm.weight
        return scale, norm.bias - mean * scale
    return scale, -mean * scale
