"""Operations and shape matching of NASNet cells (Zoph et al., CVPR 2018, arXiv:1707.07012, appendix A).

They follow the released TensorFlow code, which differs from the operations of DARTS: padding is TensorFlow's "SAME"
(all of it at the bottom and right where an even image is halved), the first half of a separable convolution changes
the width, pooling has no batch norm, and an identity that has to change the shape is a 1x1 convolution.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from archwright.nn.elastic import Conv2d
from archwright.nn.ops.edges import relu_conv_bn
from archwright.nn.ops.pooling import LocalAvgPool2d
from archwright.nn.sizes import Size
from archwright.nn.source import source_template

MakeOp = Callable[[int, int, int], nn.Module]
"""Makes an operation from input channels, output channels and stride."""


# ── padding and pooling ───────────────────────────────────────────────────────────────────────────


@source_template()
class HalvingPad2d(nn.Module):
    """Pads an image with zeros so that a window at stride 2 halves it: it then fits ceil(H/2) x ceil(W/2) times.

    An even side gets one row less than an odd one, at the top or left, as in TensorFlow.

    Args:
        side: Side of the window in pixels, at least 2.
    """

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side

    def forward(self, x: Tensor) -> Tensor:
        height, width = (self.side - 2 + size % 2 for size in x.shape[2:])
        return F.pad(x, (width // 2, width - width // 2, height // 2, height - height // 2))

    def extra_repr(self) -> str:
        return str(self.side)


@source_template()
class HalvingPool2d(nn.Module):
    """Pooling that halves an image: (N, C, H, W) → (N, C, ceil(H/2), ceil(W/2)); the padding does not count.

    Args:
        kind: "max" or "avg".
        side: Side of the pooled square in pixels.
    """

    def __init__(self, kind: str, side: int) -> None:
        super().__init__()
        self.kind, self.side = kind, side

    def forward(self, x: Tensor) -> Tensor:
        # windows begin where TensorFlow's do; ceil_mode adds those that end beyond the image
        padding = [(self.side - 2 + size % 2) // 2 for size in x.shape[2:]]
        if self.kind == "max":
            return F.max_pool2d(x, self.side, 2, padding, ceil_mode=True)
        return F.avg_pool2d(x, self.side, 2, padding, ceil_mode=True, count_include_pad=False)

    def extra_repr(self) -> str:
        return f"{self.kind}, {self.side}"


def pool(kind: str, side: int, n_in: int, n_out: int, stride: int) -> nn.Module:
    """Pooling; if the width changes, a 1x1 convolution and batch norm follow, without ReLU.

    Args:
        kind: "max" or "avg".
        side: Side of the pooled square in pixels.
        n_in: Input channels.
        n_out: Output channels.
        stride: 1, or 2 to halve the image (rounded up).
    """
    pooling = _pooling(kind, side) if stride == 1 else HalvingPool2d(kind, side)
    return pooling if n_in == n_out else nn.Sequential(pooling, *relu_conv_bn(n_in, n_out, 1)[1:])


def _pooling(kind: str, side: int) -> nn.Module:
    if kind == "avg":
        return LocalAvgPool2d(side)
    if side % 2:
        return nn.MaxPool2d(side, 1, side // 2)
    # the one row more lies below and to the right; its copies change no maximum over two rows
    return nn.Sequential(nn.ReplicationPad2d((0, side - 1, 0, side - 1)), nn.MaxPool2d(side, 1))


# ── convolutions ──────────────────────────────────────────────────────────────────────────────────


def identity(n_in: int, n_out: int, stride: int) -> nn.Module:
    """The identity; ReLU, 1x1 convolution and batch norm if the shape changes.

    Args:
        n_in: Input channels.
        n_out: Output channels.
        stride: 1, or 2 to halve the image (rounded up).
    """
    return nn.Identity() if n_in == n_out and stride == 1 else relu_conv_bn(n_in, n_out, 1, stride=stride)


def separable(kernel: int, n_in: int, n_out: int, stride: int, *, dilation: int = 1) -> nn.Sequential:
    """Twice: ReLU, depth-wise convolution, 1x1 convolution, batch norm. The first changes width and image.

    It has (2 k² + 2 F + 4) F parameters if both widths are F.

    Args:
        kernel: Side k of the depth-wise kernels.
        n_in: Input channels.
        n_out: Output channels.
        stride: 1, or 2 to halve the image (rounded up).
        dilation: Distance in pixels between the entries of a kernel.
    """
    first = _separable_once(kernel, n_in, n_out, stride, dilation)
    return nn.Sequential(*first, *_separable_once(kernel, n_out, n_out, 1, dilation))


def _separable_once(kernel: int, n_in: int, n_out: int, stride: int, dilation: int) -> list[nn.Module]:
    window = dilation * (kernel - 1) + 1
    padding = [HalvingPad2d(window)] if stride == 2 else []
    padded = 0 if padding else window // 2
    depthwise = nn.Conv2d(n_in, n_in, kernel, stride, padded, dilation, groups=n_in, bias=False)
    return [nn.ReLU(), *padding, depthwise, nn.Conv2d(n_in, n_out, 1, bias=False), nn.BatchNorm2d(n_out)]


def factorized(kernel: int, n_in: int, n_out: int, stride: int) -> nn.Sequential:
    """ReLU, 1 x k convolution, batch norm, then the same with k x 1; with stride 2 each halves its own axis.

    Args:
        kernel: The odd k.
        n_in: Input channels.
        n_out: Output channels.
        stride: 1, or 2 to halve the image (rounded up).
    """
    half = kernel // 2
    wide = nn.Conv2d(n_in, n_out, (1, kernel), (1, stride), (0, half), bias=False)
    high = nn.Conv2d(n_out, n_out, (kernel, 1), (stride, 1), (half, 0), bias=False)
    return nn.Sequential(nn.ReLU(), wide, nn.BatchNorm2d(n_out), nn.ReLU(), high, nn.BatchNorm2d(n_out))


def conv(kernel: int, n_in: int, n_out: int, stride: int, *, dilation: int = 1) -> nn.Sequential:
    """ReLU, k x k convolution, batch norm.

    Args:
        kernel: Side k of the kernel.
        n_in: Input channels.
        n_out: Output channels.
        stride: 1, or 2 to halve the image (rounded up).
        dilation: Distance in pixels between the entries of the kernel; without meaning where k is 1.
    """
    if kernel == 1:
        return relu_conv_bn(n_in, n_out, 1, stride=stride)
    window = dilation * (kernel - 1) + 1
    padding = [HalvingPad2d(window)] if stride == 2 else []
    filters = nn.Conv2d(n_in, n_out, kernel, stride, 0 if padding else window // 2, dilation, bias=False)
    return nn.Sequential(nn.ReLU(), *padding, filters, nn.BatchNorm2d(n_out))


def bottleneck(make: MakeOp, n_in: int, n_out: int, stride: int, *, share: float = 0.25) -> nn.Module:
    """A 1x1 convolution to a share of the output's width, an operation there, and a 1x1 convolution back.

    The released AmoebaNet code wraps its convolutions like this if they are not separable. If the share is less
    than one channel, the operation stands alone.

    Args:
        make: Makes the operation.
        n_in: Input channels.
        n_out: Output channels.
        stride: Stride of the operation, 1 or 2.
        share: Channels of the operation as a share of `n_out`, in (0, 1].
    """
    middle = int(n_out * share)
    if middle < 1:
        return make(n_in, n_out, stride)
    return nn.Sequential(relu_conv_bn(n_in, middle, 1), make(middle, middle, stride), relu_conv_bn(middle, n_out, 1))


# ── joining ───────────────────────────────────────────────────────────────────────────────────────


@source_template(
    '''
    class FactorizedReduction(nn.Module):
        """Halves an image with two 1x1 convolutions, of the even and of the odd pixels."""

        def __init__(self, even: nn.Module, odd: nn.Module, norm: nn.Module) -> None:
            super().__init__()
            self.even, self.odd, self.norm = even, odd, norm

        def forward(self, x: Tensor) -> Tensor:
            shifted = F.pad(x, (0, 1, 0, 1))[:, :, 1:, 1:]
            return self.norm(torch.cat([self.even(x), self.odd(shifted)], dim=1))
    '''
)
class FactorizedReduction(nn.Module):
    """Halves an image with two 1x1 convolutions, of the even and of the odd pixels: (N, C, H, W) → (N, F, H/2, W/2).

    Sides are rounded up: beyond the last odd pixel stand zeros.

    Args:
        n_in: Input channels C; may be a decision.
        n_out: Output channels F; if odd, the second convolution gives one channel more.
    """

    def __init__(self, n_in: Size, n_out: int) -> None:
        super().__init__()
        self.even = Conv2d(n_in, n_out // 2, 1, stride=2, bias=False)
        self.odd = Conv2d(n_in, n_out - n_out // 2, 1, stride=2, bias=False)
        self.norm = nn.BatchNorm2d(n_out)

    def forward(self, x: Tensor) -> Tensor:
        shifted = F.pad(x, (0, 1, 0, 1))[:, :, 1:, 1:]
        out: Tensor = self.norm(torch.cat([self.even(x), self.odd(shifted)], dim=1))
        return out


@source_template()
class Add(nn.Module):
    """The sum of two tensors."""

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return first + second


@source_template('''
    class ConcatProject(nn.Module):
        """Two tensors joined along their channels and brought back to the width of one."""

        def __init__(self, project: nn.Module) -> None:
            super().__init__()
            self.project = project

        def forward(self, first: Tensor, second: Tensor) -> Tensor:
            return self.project(torch.cat([first, second], dim=1))
''')
class ConcatProject(nn.Module):
    """Joins two tensors (N, F, H, W) along channels; ReLU, 1x1 convolution and batch norm bring them back to F.

    Args:
        channels: The number of channels F.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.project = relu_conv_bn(2 * channels, channels, 1)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        out: Tensor = self.project(torch.cat([first, second], dim=1))
        return out


# ── the cell and the network ──────────────────────────────────────────────────────────────────────


@source_template()
class Block(nn.Module):
    """Two earlier states, each through an operation, combined into a new state.

    Args:
        first: Takes the list of states and gives the first operation's result.
        second: The same for the second operation.
        combine: Makes one tensor of both results.
    """

    def __init__(self, first: nn.Module, second: nn.Module, combine: nn.Module) -> None:
        super().__init__()
        self.first, self.second, self.combine = first, second, combine

    def forward(self, states: Sequence[Tensor]) -> Tensor:
        state: Tensor = self.combine(self.first(states), self.second(states))
        return state


@source_template()
class Cell(nn.Module):
    """A cell: two inputs brought to one shape, then blocks that each add a state; the output joins some states.

    State 0 comes from the cell before, state 1 from the cell before that one, the others from the blocks.

    Args:
        current: Brings the output of the cell before to this cell's width.
        previous: Brings the output of the cell before that one to this cell's width and, if it can, image size.
        blocks: The blocks, in order.
        emitted: Two modules that bring states 0 and 1 to the shape of the other states, for the output.
        join: Joins the states that form the output.
    """

    def __init__(
        self,
        current: nn.Module,
        previous: nn.Module,
        blocks: nn.ModuleList,
        emitted: nn.ModuleList,
        join: nn.Module,
    ) -> None:
        super().__init__()
        self.current, self.previous = current, previous
        self.blocks, self.emitted, self.join = blocks, emitted, join

    def forward(self, current: Tensor, previous: Tensor) -> Tensor:
        states = [self.current(current), self.previous(previous)]
        for block in self.blocks:
            states.append(block(states))
        first, second = (match(state) for match, state in zip(self.emitted, states, strict=False))
        out: Tensor = self.join([first, second, *states[2:]])
        return out


@source_template('''
    class CellStack(nn.Module):
        """Cells that each read the result before them and an earlier one; number 0 is the stem's."""

        def __init__(self, stem: nn.Module, cells: nn.ModuleList, reads: Sequence[int], head: nn.Module) -> None:
            super().__init__()
            self.stem, self.cells, self.reads, self.head = stem, cells, list(reads), head

        def forward(self, x: Tensor) -> Tensor:
            results = [self.stem(x)]
            for cell, earlier in zip(self.cells, self.reads):
                results.append(cell(results[-1], results[earlier]))
            return self.head(results[-1])
''')
class CellStack(nn.Module):
    """Cells in a row, each reading the newest result and an earlier one; result 0 is the stem's.

    Args:
        stem: Makes result 0 from the images (N, 3, H, W).
        cells: The cells in order; cell i makes result i + 1.
        reads: For each cell the number of the earlier result that it reads.
        head: Makes the logits from the last result.
    """

    def __init__(self, stem: nn.Module, cells: nn.ModuleList, reads: Sequence[int], head: nn.Module) -> None:
        super().__init__()
        self.stem, self.cells, self.reads, self.head = stem, cells, list(reads), head
        self.auxiliary: nn.Module | None = None
        self._auxiliary_at = 0

    def add_auxiliary(self, head: nn.Module, at: int) -> None:
        """In training, also give result number `at` to `head`, a module that adds to the loss."""
        self.auxiliary, self._auxiliary_at = head, at

    def forward(self, x: Tensor) -> Tensor:
        results = [self.stem(x)]
        for cell, earlier in zip(self.cells, self.reads, strict=True):
            results.append(cell(results[-1], results[earlier]))
        if self.auxiliary is not None and self.training:
            self.auxiliary(results[self._auxiliary_at])
        logits: Tensor = self.head(results[-1])
        return logits
