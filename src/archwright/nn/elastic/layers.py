"""Elastic convolution, batch norm and linear layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from archwright.core.errors import SpaceError
from archwright.nn.sizes import Lazy, Size, current, largest, places

Places = tuple[slice, ...]


def Conv2d(
    in_channels: Size,
    out_channels: Size,
    kernel_size: Size,
    *,
    stride: int = 1,
    groups: Size = 1,
    bias: bool = True,
    padding: int | None = None,
    image: tuple[Size, Size] | None = None,
) -> nn.Conv2d:
    """A 2-d convolution padded by half its (odd) kernel, so that stride 1 keeps the image size.

    torch.nn.Conv2d has no padding by default. With another padding the image size depends on the kernel, and the next
    layers have to be built for that (see `nn.flattened`).

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: Odd side of the square kernel.
        stride: Step in pixels.
        groups: 1, or all of `in_channels` for a depth-wise convolution.
        bias: Whether to add a bias.
        padding: Pixels added on each side; None is half the kernel.
        image: Height and width of the input if they depend on decisions; the layer's cost then depends on them too.
    """
    sizes = (in_channels, out_channels, kernel_size, groups)
    if any(isinstance(size, Lazy) for size in (*sizes, *(image or ()))):
        return ElasticConv2d(
            in_channels,
            out_channels,
            kernel_size,
            stride=stride,
            groups=groups,
            bias=bias,
            padding=padding,
            image=image,
        )
    n_in, n_out, kernel, n_groups = _checked(*sizes)
    padded = kernel // 2 if padding is None else padding
    return nn.Conv2d(n_in, n_out, kernel, stride, padded, groups=n_groups, bias=bias)


def BatchNorm2d(channels: Size, *, affine: bool = True) -> nn.BatchNorm2d:
    """Batch normalisation over the channels of (N, C, H, W)."""
    if isinstance(channels, Lazy):
        return ElasticBatchNorm2d(channels, affine=affine)
    (n_channels,) = _checked(channels)
    return nn.BatchNorm2d(n_channels, affine=affine)


def Linear(in_features: Size, out_features: Size, *, bias: bool = True) -> nn.Linear:
    """An affine map of the last axis: (..., in_features) → (..., out_features).

    Args:
        in_features: Features of the input; may be a decision.
        out_features: Features of the output; may be a decision.
        bias: Whether to add a bias.
    """
    if isinstance(in_features, Lazy) or isinstance(out_features, Lazy):
        return ElasticLinear(in_features, out_features, bias=bias)
    n_in, n_out = _checked(in_features, out_features)
    return nn.Linear(n_in, n_out, bias=bias)


class Elastic(nn.Module):
    """A layer that runs on part of its parameters.

    Attributes:
        sizes: Its sizes, at least one of them lazy.
        out_size: Its output channels, one of the sizes.
    """

    sizes: tuple[Size, ...]
    out_size: Size

    def axes(self) -> dict[str, tuple[Places, ...]]:
        """For each tensor that is sliced, by name: the active places along its first axes."""
        raise AssertionError("an elastic layer is one of the classes below")

    def active_state(self) -> dict[str, Tensor]:
        """Parameters and persistent buffers as the active arch uses them."""
        cut = self.axes()
        tensors = {name: tensor for name, tensor in (self._parameters | self._buffers).items() if tensor is not None}
        return {name: taken(tensor, cut[name]) if name in cut else tensor for name, tensor in tensors.items()}


def taken(tensor: Tensor, axes: Sequence[Places]) -> Tensor:
    """The entries at the given places of the first axes: a view if each axis has one slice, else a copy."""
    if all(len(found) == 1 for found in axes):
        box = tuple(found[0] for found in axes)
        is_all = all(place.start == 0 and place.stop == n for place, n in zip(box, tensor.shape, strict=False))
        return tensor if is_all else tensor[box]  # the gradient of a slice is a tensor of zeros of the full size
    for axis, found in enumerate(axes):
        pieces = [tensor.narrow(axis, place.start, place.stop - place.start) for place in found]
        tensor = pieces[0] if len(pieces) == 1 else torch.cat(pieces, dim=axis)
    return tensor


def centre(largest_side: int, side: int) -> Places:
    """The middle `side` places of an axis of `largest_side`."""
    cut = (largest_side - side) // 2
    return (slice(cut, cut + side),)


def _checked(*sizes: Size) -> tuple[Any, ...]:
    """The largest values of sizes, all of which must allow for something."""
    for size in sizes:
        if largest(size) < 1:
            names = f" (decisions {', '.join(sorted(size.decisions))})" if isinstance(size, Lazy) else ""
            raise SpaceError(f"a layer's size is {largest(size)} at most{names}; give it a value of at least 1")
    return tuple(map(largest, sizes))


class ElasticConv2d(Elastic, nn.Conv2d):
    """A convolution on the active channels and the centre of its largest kernel.

    Made by `Conv2d`.

    Args:
        in_channels, out_channels, kernel_size, stride, groups, bias, padding, image: As in `Conv2d`.

    Attributes:
        fixed_padding: Pixels added on each side, whatever the kernel; None adds half the active kernel.
        image: Height and width of the input, if they were given.
    """

    def __init__(
        self,
        in_channels: Size,
        out_channels: Size,
        kernel_size: Size,
        *,
        stride: int,
        groups: Size,
        bias: bool,
        padding: int | None = None,
        image: tuple[Size, Size] | None = None,
    ) -> None:
        plain = not isinstance(groups, Lazy) and not isinstance(in_channels, Lazy)
        self.is_depthwise = groups is in_channels or (plain and groups == in_channels)
        if not self.is_depthwise and (isinstance(groups, Lazy) or groups != 1):
            raise SpaceError(
                "an elastic convolution has 1 group, or the very value of its input channels for depth-wise"
            )
        n_in, n_out, kernel, n_groups = _checked(in_channels, out_channels, kernel_size, groups)
        padded = kernel // 2 if padding is None else padding
        super().__init__(n_in, n_out, kernel, stride, padded, groups=n_groups, bias=bias)
        self.sizes, self.out_size = (in_channels, out_channels, kernel_size), out_channels
        self.fixed_padding, self.image = padding, image

    def axes(self) -> dict[str, tuple[Places, ...]]:
        n_in, n_out, kernel_size = self.sizes
        side, filters = centre(self.kernel_size[0], current(kernel_size)), places(n_out)
        return {
            "weight": (filters, (slice(0, 1),) if self.is_depthwise else places(n_in), side, side),
            "bias": (filters,),
        }

    def forward(self, x: Tensor) -> Tensor:
        state = self.active_state()
        weight = state["weight"]
        groups = x.shape[1] if self.is_depthwise else 1
        padding = weight.shape[-1] // 2 if self.fixed_padding is None else self.fixed_padding
        return F.conv2d(x, weight, state.get("bias"), self.stride, padding, groups=groups)


class ElasticBatchNorm2d(Elastic, nn.BatchNorm2d):
    """Batch normalisation of the active channels; their running statistics follow the widths that ran last."""

    def __init__(self, channels: Lazy, *, affine: bool) -> None:
        (n_channels,) = _checked(channels)
        super().__init__(n_channels, affine=affine)
        self.sizes, self.out_size = (channels,), channels

    def axes(self) -> dict[str, tuple[Places, ...]]:
        active = (places(self.sizes[0]),)
        return dict.fromkeys(("weight", "bias", "running_mean", "running_var"), active)

    def forward(self, x: Tensor) -> Tensor:
        state = self.active_state()
        momentum = self.momentum
        if self.training and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            momentum = 1.0 / float(self.num_batches_tracked) if momentum is None else momentum
        mean, variance = state["running_mean"], state["running_var"]
        out = F.batch_norm(
            x, mean, variance, state.get("weight"), state.get("bias"), self.training, momentum or 0.0, self.eps
        )
        if self.training and len(places(self.sizes[0])) > 1:  # what was updated then is a copy
            self._put_back("running_mean", mean)
            self._put_back("running_var", variance)
        return out

    def _put_back(self, name: str, values: Tensor) -> None:
        buffer, start = getattr(self, name), 0
        for place in places(self.sizes[0]):
            n = place.stop - place.start
            buffer[place] = values[start : start + n]
            start += n


class ElasticLinear(Elastic, nn.Linear):
    """An affine map on the active features; made by `Linear`.

    Args:
        in_features: Features of the input.
        out_features: Features of the output.
        bias: Whether to add a bias.
    """

    def __init__(self, in_features: Size, out_features: Size, *, bias: bool) -> None:
        n_in, n_out = _checked(in_features, out_features)
        super().__init__(n_in, n_out, bias=bias)
        self.sizes, self.out_size = (in_features, out_features), out_features

    def axes(self) -> dict[str, tuple[Places, ...]]:
        n_in, n_out = self.sizes
        return {"weight": (places(n_out), places(n_in)), "bias": (places(n_out),)}

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, **self.active_state())
