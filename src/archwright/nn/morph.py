"""Wider and deeper layers that compute the same function (Net2Net: Chen, Goodfellow & Shlens, ICLR 2016,
arXiv:1511.05641).

A layer is widened by repeating some of its units; what reads them divides by how often each is there. A layer is added
behind an activation as the identity, which only activations allow that change nothing the second time. Layers are made
anew; those that are given stay as they are.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from archwright.core.errors import InvalidValueError

Layer = nn.Conv2d | nn.Linear

IDEMPOTENT = (nn.ReLU, nn.ReLU6, nn.Identity)
"""Activations that change nothing the second time: an identity may be added behind them."""

ELEMENTWISE = (
    *IDEMPOTENT,
    *(nn.GELU, nn.SiLU, nn.Hardswish, nn.LeakyReLU, nn.ELU, nn.Sigmoid, nn.Tanh, nn.Hardtanh, nn.Softplus),
)
POOLING = (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)
"""Modules that treat every channel alike: repeated channels stay equal in them."""


@dataclass(frozen=True)
class Widened:
    """A widened layer with what reads it.

    Attributes:
        first: The layer, with more units.
        between: What lies between, for as many channels.
        second: The layer behind, which reads them.
        units: (n,) which of the old units each new one repeats; the first ones are the old units in their order.
    """

    first: Layer
    between: tuple[nn.Module, ...]
    second: Layer
    units: NDArray[np.int64]


def wider(
    first: Layer,
    second: Layer,
    n_units: int,
    rng: np.random.Generator,
    *,
    between: Sequence[nn.Module] = (),
    noise: float = 0.0,
) -> Widened:
    """Layers that compute the same with a wider one in the middle (the paper's Net2WiderNet).

    New units repeat old ones, drawn uniformly; the layer behind divides the weights of each by its number of copies.
    The function is the same in evaluation and, with batch norms between, in training mode. Copies stay equal in
    training unless something tells them apart: `noise`.

    Args:
        first: The layer to widen: a convolution of one group, or a linear one.
        second: The layer behind it, which reads its channels, or its pixels behind a flattening.
        n_units: Units of the wider layer.
        rng: Draws which units are repeated.
        between: Modules between the two, in order: batch norms, activations, pooling, flattening, dropout, depth-wise
            convolutions.
        noise: Standard deviation of what is added to the copies' weights, in units of the weights' own; above 0 the
            function is only nearly the same.

    Raises:
        InvalidValueError: If the layer would not become wider, or something between treats channels differently.
    """
    n_before = _n_units(first)
    if _groups(first) != 1 or _groups(second) != 1:
        raise InvalidValueError(
            "layers of several groups are no ends of a widening; widen the dense layers around them"
        )
    if n_units <= n_before:
        raise InvalidValueError(f"{n_units} units are no more than the {n_before} there are; give more")
    if noise < 0:
        raise InvalidValueError(f"noise is {noise}; give 0 or more")
    units = np.concatenate([np.arange(n_before), rng.integers(n_before, size=n_units - n_before)])
    chosen = torch.from_numpy(units)
    copies = torch.from_numpy(np.bincount(units))[chosen]
    generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
    made = _repeated_outputs(first, chosen, noise, generator)
    middle = tuple(_repeated_between(module, n_before, chosen) for module in between)
    return Widened(made, middle, _divided_inputs(second, n_before, chosen, copies), units)


def deeper(
    width: int, activation: nn.Module, *, kernel: int | None = None, batch: Tensor | None = None
) -> nn.Sequential:
    """A layer that changes nothing behind an activation: an identity, and the activation again (Net2DeeperNet).

    Args:
        width: Units, or channels.
        activation: What the new layer comes behind, and ends in.
        kernel: Side of a convolution's kernel, odd; None makes a linear layer.
        batch: What the activation gives on a batch, (N, width, …): with it the layer has a batch norm that is set to
            change nothing on that batch, and nearly nothing on others.

    Raises:
        InvalidValueError: If the activation changes its own output, or the kernel has no middle.
    """
    if not isinstance(activation, IDEMPOTENT):
        kinds = ", ".join(kind.__name__ for kind in IDEMPOTENT)
        raise InvalidValueError(
            f"an identity behind {type(activation).__name__} is not exact, as it changes its own output; "
            f"only behind {kinds}"
        )
    if kernel is not None and (kernel < 1 or kernel % 2 == 0):
        raise InvalidValueError(f"a kernel of {kernel} has no middle; give an odd number")
    layer: Layer
    with torch.no_grad():
        if kernel is None:
            layer = nn.Linear(width, width)
            nn.init.eye_(layer.weight)
        else:
            layer = nn.Conv2d(width, width, kernel, padding=kernel // 2)
            nn.init.dirac_(layer.weight)
        assert layer.bias is not None
        layer.bias.zero_()
    parts: list[nn.Module] = [layer]
    if batch is not None:
        parts.append(_norm_without_effect(width, batch, is_image=kernel is not None))
    return nn.Sequential(*parts, copy.deepcopy(activation))


# ── parts of a widening ───────────────────────────────────────────────────────────────────────────


def _n_units(layer: Layer) -> int:
    return layer.out_channels if isinstance(layer, nn.Conv2d) else layer.out_features


def _groups(layer: Layer) -> int:
    return layer.groups if isinstance(layer, nn.Conv2d) else 1


@torch.no_grad()
def _repeated_outputs(layer: Layer, chosen: Tensor, noise: float, generator: torch.Generator) -> Layer:
    weight = layer.weight[chosen].clone()
    if noise:
        new = weight[layer.weight.shape[0] :]
        drawn = torch.randn(new.shape, generator=generator).to(new)
        new += noise * float(layer.weight.std()) * drawn
    return _with(layer, weight, None if layer.bias is None else layer.bias[chosen])


@torch.no_grad()
def _divided_inputs(layer: Layer, n_before: int, chosen: Tensor, copies: Tensor) -> Layer:
    n_inputs = layer.weight.shape[1]
    if n_inputs % n_before:
        raise InvalidValueError(f"the layer behind reads {n_inputs} inputs, which are not those of {n_before} units")
    pixels = n_inputs // n_before  # of a flattened map; 1 of channels
    if pixels > 1 and not isinstance(layer, nn.Linear):
        raise InvalidValueError(f"the convolution behind reads {n_inputs} channels, and there are {n_before}")
    blocks = layer.weight.reshape(layer.weight.shape[0], n_before, pixels, *layer.weight.shape[2:])[:, chosen]
    share = copies.reshape(1, -1, *[1] * (blocks.dim() - 2)).to(blocks.dtype)
    return _with(layer, (blocks / share).flatten(1, 2), layer.bias)


@torch.no_grad()
def _repeated_between(module: nn.Module, n_before: int, chosen: Tensor) -> nn.Module:
    if isinstance(module, _BatchNorm):
        settings = (module.eps, module.momentum, module.affine, module.track_running_stats)
        made = type(module)(len(chosen), *settings).train(module.training)
        made = made.to(next((t for t in module.state_dict().values() if t.is_floating_point()), torch.empty(0)))
        repeated = {name: t if t.dim() == 0 else t[chosen] for name, t in module.state_dict().items()}
        made.load_state_dict(repeated)
        return made
    if isinstance(module, nn.Conv2d) and module.groups == module.in_channels == module.out_channels == n_before:
        return _with(module, module.weight[chosen], None if module.bias is None else module.bias[chosen])
    if isinstance(module, (*ELEMENTWISE, *POOLING, nn.Flatten, nn.Dropout, nn.Dropout2d)):
        return copy.deepcopy(module)
    raise InvalidValueError(
        f"{type(module).__name__} between the layers does not treat all channels alike, so repeated ones change what "
        "it gives; widen layers with batch norms, activations, pooling or depth-wise convolutions between them"
    )


def _with(layer: Layer, weight: Tensor, bias: Tensor | None) -> Layer:
    """A layer like another one with these weights."""
    made: Layer
    has_bias = bias is not None
    if isinstance(layer, nn.Linear):
        made = nn.Linear(weight.shape[1], weight.shape[0], bias=has_bias)
    else:
        is_depthwise = layer.groups > 1
        made = nn.Conv2d(
            weight.shape[0] if is_depthwise else weight.shape[1],
            weight.shape[0],
            layer.kernel_size,  # type: ignore[arg-type]
            layer.stride,  # type: ignore[arg-type]
            layer.padding,  # type: ignore[arg-type]
            layer.dilation,  # type: ignore[arg-type]
            groups=weight.shape[0] if is_depthwise else 1,
            bias=has_bias,
            padding_mode=layer.padding_mode,
        )
    made = made.to(weight).train(layer.training)
    with torch.no_grad():
        made.weight.copy_(weight)
        if bias is not None:
            assert made.bias is not None
            made.bias.copy_(bias)
    return made


@torch.no_grad()
def _norm_without_effect(width: int, batch: Tensor, *, is_image: bool) -> _BatchNorm:
    axes = [axis for axis in range(batch.dim()) if axis != 1]
    mean, variance = batch.mean(dim=axes), batch.var(dim=axes, correction=0)
    norm = nn.BatchNorm2d(width) if is_image else nn.BatchNorm1d(width)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(variance)
    norm.weight.copy_((variance + norm.eps).sqrt())
    norm.bias.copy_(mean)
    return norm.to(batch)
