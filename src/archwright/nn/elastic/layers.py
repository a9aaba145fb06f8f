"""Elastic convolution, batch norm and linear layer."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from archwright.core.errors import SpaceError
from archwright.nn.sizes import Lazy, Size, current, largest


def Conv2d(
    in_channels: Size,
    out_channels: Size,
    kernel_size: Size,
    *,
    stride: int = 1,
    groups: Size = 1,
    bias: bool = True,
) -> nn.Conv2d:
    """A 2-d convolution padded by half its (odd) kernel, so that stride 1 keeps the image size.

    Differs from torch.nn.Conv2d in that padding, without which no kernel size could be searched.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: Odd side of the square kernel.
        stride: Step in pixels.
        groups: 1, or all of `in_channels` for a depth-wise convolution.
        bias: Whether to add a bias.
    """
    sizes = (in_channels, out_channels, kernel_size, groups)
    if any(isinstance(size, Lazy) for size in sizes):
        return ElasticConv2d(in_channels, out_channels, kernel_size, stride=stride, groups=groups, bias=bias)
    return nn.Conv2d(
        current(in_channels),
        current(out_channels),
        current(kernel_size),
        stride,
        current(kernel_size) // 2,
        groups=current(groups),
        bias=bias,
    )


def BatchNorm2d(channels: Size, *, affine: bool = True) -> nn.BatchNorm2d:
    """Batch normalisation over the channels of (N, C, H, W)."""
    return (
        ElasticBatchNorm2d(channels, affine=affine)
        if isinstance(channels, Lazy)
        else nn.BatchNorm2d(channels, affine=affine)
    )


def Linear(in_features: Size, out_features: Size, *, bias: bool = True) -> nn.Linear:
    """An affine map of the last axis."""
    if isinstance(in_features, Lazy) or isinstance(out_features, Lazy):
        return ElasticLinear(in_features, out_features, bias=bias)
    return nn.Linear(in_features, out_features, bias=bias)


class ElasticConv2d(nn.Conv2d):
    """A convolution on the first channels and the centre of its largest kernel."""

    def __init__(
        self, in_channels: Size, out_channels: Size, kernel_size: Size, *, stride: int, groups: Size, bias: bool
    ) -> None:
        plain = not isinstance(groups, Lazy) and not isinstance(in_channels, Lazy)
        self.is_depthwise = groups is in_channels or (plain and groups == in_channels)
        if not self.is_depthwise and (isinstance(groups, Lazy) or groups != 1):
            raise SpaceError(
                "an elastic convolution has 1 group, or the very value of its input channels for depth-wise"
            )
        most = largest(kernel_size)
        super().__init__(
            largest(in_channels), largest(out_channels), most, stride, most // 2, groups=largest(groups), bias=bias
        )
        self.sizes = (in_channels, out_channels, kernel_size)

    def active_state(self) -> dict[str, Tensor]:
        """The slices of weight and bias the active arch uses."""
        n_in, n_out, kernel = map(current, self.sizes)
        cut = (self.kernel_size[0] - kernel) // 2
        centre = slice(cut, cut + kernel)
        weight = self.weight[:n_out, : 1 if self.is_depthwise else n_in, centre, centre]
        return {"weight": weight} | ({} if self.bias is None else {"bias": self.bias[:n_out]})

    def forward(self, x: Tensor) -> Tensor:
        state = self.active_state()
        weight = state["weight"]
        groups = x.shape[1] if self.is_depthwise else 1
        return F.conv2d(x, weight, state.get("bias"), self.stride, weight.shape[-1] // 2, groups=groups)


class ElasticBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation of the first channels; their running statistics follow the widths that ran last."""

    def __init__(self, channels: Lazy, *, affine: bool) -> None:
        super().__init__(largest(channels), affine=affine)
        self.sizes = (channels,)

    def active_state(self) -> dict[str, Tensor]:
        """The slices of parameters and statistics the active arch uses."""
        n = current(self.sizes[0])
        state = {name: tensor for name, tensor in (self._parameters | self._buffers).items() if tensor is not None}
        return {name: tensor[:n] if tensor.dim() else tensor for name, tensor in state.items()}

    def forward(self, x: Tensor) -> Tensor:
        state = self.active_state()
        momentum = self.momentum
        if self.training and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            momentum = 1.0 / float(self.num_batches_tracked) if momentum is None else momentum
        return F.batch_norm(
            x,
            state["running_mean"],
            state["running_var"],
            state.get("weight"),
            state.get("bias"),
            self.training,
            momentum or 0.0,
            self.eps,
        )


class ElasticLinear(nn.Linear):
    """An affine map on the first features."""

    def __init__(self, in_features: Size, out_features: Size, *, bias: bool) -> None:
        super().__init__(largest(in_features), largest(out_features), bias=bias)
        self.sizes = (in_features, out_features)

    def active_state(self) -> dict[str, Tensor]:
        """The slices of weight and bias the active arch uses."""
        n_in, n_out = map(current, self.sizes)
        return {"weight": self.weight[:n_out, :n_in]} | ({} if self.bias is None else {"bias": self.bias[:n_out]})

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, **self.active_state())
