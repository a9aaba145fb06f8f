"""A classifier made of stages, pooling and a linear layer."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from archwright.core.errors import SpaceError
from archwright.nn.elastic import Linear
from archwright.nn.ops.pooling import GlobalAvgPool2d
from archwright.nn.sizes import Size


def Classifier(*stages: nn.Module, n_classes: int) -> nn.Sequential:
    """Stages, global average pooling and a linear layer in one `nn.Sequential`: (N, C, H, W) → (N, n_classes).

    Args:
        stages: The layers before the pooling, in order.
        n_classes: Number of classes.

    Raises:
        SpaceError: If the stages have no layer that says how many channels they end with.
    """
    width = out_size(nn.Sequential(*stages))
    if width is None:
        raise SpaceError(
            "Classifier cannot tell how many channels its stages end with: they hold no convolution, batch norm or "
            "linear layer; build the network with torch.nn.Sequential instead"
        )
    modules = {str(i): stage for i, stage in enumerate(stages)}
    head = {"pool": GlobalAvgPool2d(), "linear": Linear(width, n_classes)}
    return nn.Sequential(OrderedDict(modules | head))


def out_size(module: nn.Module) -> Size | None:
    """Output channels of a module, from its last layer with a size; None if it has no such layer."""
    for name in ("out_size", "out_channels", "num_features", "out_features"):
        if (size := getattr(module, name, None)) is not None:
            found: Size = size
            return found
    sizes = (out_size(child) for child in reversed(list(module.children())))
    return next((size for size in sizes if size is not None), None)
