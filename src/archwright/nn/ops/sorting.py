"""Sort channels by importance, because a narrower network uses the first channels.

Once-for-All (Cai et al., ICLR 2020, Sec. 3.3, released code) sorts them whenever widths begin to shrink.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from archwright.nn.ops.squeeze import SqueezeExcite

_LAYERS = ("expand", "depthwise", "project")


def sort_channels(network: nn.Module, within: Sequence[int] = ()) -> None:
    """Reorder the channels in the middle of every inverted residual block; the whole network computes the same.

    A channel's importance is the sum of the magnitudes of the weights with which the block's last convolution reads
    it; inside squeeze-and-excitation, of the weights with which its second layer reads it.

    Args:
        network: A network with such blocks (see `nn.ops.mbconv.inverted_bottleneck`), usually a supernet; blocks
            without a widening convolution stay as they are.
        within: Expansion ratios already trained: no channel crosses the border of one of these widths.
    """
    for part in network.modules():
        if isinstance(part, nn.Sequential) and all(name in part._modules for name in _LAYERS):
            _sort_block(part, within)


@torch.no_grad()
def _sort_block(block: nn.Sequential, within: Sequence[int]) -> None:
    expand, depthwise, project = (block.get_submodule(name) for name in _LAYERS)
    weight = project.get_parameter("0.weight")
    n_in = expand.get_parameter("0.weight").shape[1]
    order = _order(_magnitude(weight, keep=1), [n_in * expansion for expansion in within])
    _permute(project, "0.weight", order, axis=1)
    for unit in (expand, depthwise):
        _permute(unit, "0.weight", order)
        for name in ("weight", "bias", "running_mean", "running_var"):
            _permute(unit, f"1.{name}", order)
    squeeze = block._modules.get("squeeze")
    if isinstance(squeeze, SqueezeExcite):
        _sort_squeeze(squeeze, order)


def _sort_squeeze(squeeze: SqueezeExcite, order: Tensor) -> None:
    _permute(squeeze, "reduce.weight", order, axis=1)
    _permute(squeeze, "restore.weight", order)
    _permute(squeeze, "restore.bias", order)
    inner = _order(_magnitude(squeeze.get_parameter("restore.weight"), keep=1), ())
    _permute(squeeze, "restore.weight", inner, axis=1)
    _permute(squeeze, "reduce.weight", inner)
    _permute(squeeze, "reduce.bias", inner)


def _magnitude(weight: Tensor, *, keep: int) -> Tensor:
    """Sums of absolute values over all axes but one."""
    return weight.abs().sum([axis for axis in range(weight.dim()) if axis != keep])


def _order(importance: Tensor, boundaries: Sequence[int]) -> Tensor:
    """Positions by falling importance, each within its segment; equal ones keep their order."""
    n = len(importance)
    edges = [0, *sorted(edge for edge in boundaries if edge < n), n]
    parts = [
        start + importance[start:end].argsort(descending=True, stable=True) for start, end in itertools.pairwise(edges)
    ]
    return torch.cat(parts)


def _permute(module: nn.Module, path: str, order: Tensor, *, axis: int = 0) -> None:
    owner_path, _, name = path.rpartition(".")
    owner = module.get_submodule(owner_path)
    tensor = getattr(owner, name)
    if tensor is not None:
        tensor.copy_(tensor.index_select(axis, order))
