"""A convolution whose smaller kernels are learned from its larger ones (Once-for-All, Cai et al., ICLR 2020).

The plain elastic convolution uses the centre of its largest kernel. Here the centre of each kernel passes through a
matrix before it serves as the next smaller one, so that one weight need not be good at every size.
"""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from archwright.core.errors import SpaceError
from archwright.nn.elastic.layers import Conv2d, ElasticConv2d, Places
from archwright.nn.sizes import LazyDecision, Size, current, places


def TransformedConv2d(
    in_channels: Size,
    out_channels: Size,
    kernel_size: Size,
    *,
    stride: int = 1,
    groups: Size = 1,
    bias: bool = True,
    image: tuple[Size, Size] | None = None,
) -> nn.Conv2d:
    """A convolution as `nn.elastic.Conv2d` makes it, with a learned matrix from each kernel size to the next smaller.

    A kernel size that is a plain number has no matrices.

    Args:
        in_channels, out_channels, stride, groups, bias, image: As in `nn.elastic.Conv2d`.
        kernel_size: Odd side of the square kernel; a decision has to be the very value that `choose.number` gave.

    Raises:
        SpaceError: If the kernel size is computed from decisions, because its values are then unknown.
    """
    if not isinstance(kernel_size, int | LazyDecision):
        raise SpaceError("the kernel of a TransformedConv2d is computed; give the very value of choose.number")
    if isinstance(kernel_size, int):
        return Conv2d(
            in_channels, out_channels, kernel_size, stride=stride, groups=groups, bias=bias, padding=None, image=image
        )
    return ElasticTransformedConv2d(
        in_channels, out_channels, kernel_size, stride=stride, groups=groups, bias=bias, image=image
    )


class ElasticTransformedConv2d(ElasticConv2d):
    """A convolution of the active channels and kernel.

    The k x k entries in the centre of a kernel, as a vector, times a (k², k²) matrix are the next smaller kernel: from
    7 to 5, from that one to 3. There is one matrix for each step, which all channels share; it begins as the identity,
    so that a small kernel begins as the centre of the largest.

    Args:
        in_channels, out_channels, stride, groups, bias, image: As in `nn.elastic.Conv2d`.
        kernel_size: The decision about the odd side of the kernel.
    """

    def __init__(
        self,
        in_channels: Size,
        out_channels: Size,
        kernel_size: LazyDecision,
        *,
        stride: int,
        groups: Size,
        bias: bool,
        image: tuple[Size, Size] | None = None,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride=stride, groups=groups, bias=bias, image=image)
        self.kernels = tuple(sorted(kernel_size.values, reverse=True))
        for larger, smaller in itertools.pairwise(self.kernels):
            self.register_parameter(_matrix(larger, smaller), nn.Parameter(torch.eye(smaller**2)))

    def axes(self) -> dict[str, tuple[Places, ...]]:
        n_in, n_out, _ = self.sizes
        filters = places(n_out)
        return {"weight": (filters, (slice(0, 1),) if self.is_depthwise else places(n_in)), "bias": (filters,)}

    def active_state(self) -> dict[str, Tensor]:
        """Weight and bias as the active arch uses them; the matrices are in the weight."""
        state = {name: tensor for name, tensor in super().active_state().items() if name in ("weight", "bias")}
        state["weight"] = self._shrunk(state["weight"], current(self.sizes[2]))
        return state

    def _shrunk(self, weight: Tensor, kernel: int) -> Tensor:
        for larger, smaller in itertools.pairwise(self.kernels):
            if larger <= kernel:
                break
            cut = (larger - smaller) // 2
            weight = weight[..., cut : cut + smaller, cut : cut + smaller]
            if not weight.is_meta:  # where only shapes exist, no work on weights is counted as work of the network
                vectors = weight.reshape(-1, smaller**2)
                weight = F.linear(vectors, self.get_parameter(_matrix(larger, smaller))).reshape(weight.shape)
        return weight


def _matrix(larger: int, smaller: int) -> str:
    return f"matrix_{larger}to{smaller}"
