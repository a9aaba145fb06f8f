"""How a block of a network is drawn: its name, kind, kernel and sizes, read from its layers and one forward pass."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from archwright.core.drawing import Block, Kind

_SILENT = re.compile(r"Norm|Dropout|Flatten|Identity|ReLU|SiLU|GELU|Sigmoid|swish|Swish|Softmax|Tanh|Mish|ELU|Channels")
"""Classes that get no box of their own unless they were chosen."""

CHAINS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


@dataclass(eq=False)
class Call:
    """One call of one module in a forward pass.

    Attributes:
        path: Path of the module in the network.
        module: The module.
        came_in: Its arguments.
        within: The call of the module that called it; None for the network.
        went_out: Its result.
    """

    path: str
    module: nn.Module
    came_in: tuple[Any, ...]
    within: Call | None
    went_out: Any = None

    @property
    def in_shape(self) -> tuple[int, ...]:
        """Shape of the input without the batch; of several tensors, that of the last, which is the newest state."""
        return _shape(self.came_in)

    @property
    def out_shape(self) -> tuple[int, ...]:
        """Shape of the output without the batch; of several tensors, that of the last."""
        return _shape(self.went_out)


def _shape(value: Any) -> tuple[int, ...]:
    if isinstance(value, Tensor):
        return tuple(value.shape[1:])
    shapes = [_shape(one) for one in value] if isinstance(value, list | tuple) else []
    return next((shape for shape in reversed(shapes) if shape), ())


def block_of(call: Call, label: str = "", decisions: Sequence[str] = ()) -> Block:
    """The box that draws one call of a module.

    Args:
        call: The call.
        label: Name of the block; empty names it after its layers.
        decisions: Names of the decisions about it, shown when the pointer rests on the box.
    """
    kind, kernel = _kind(call.module)
    shape = call.out_shape
    is_head = kind == "linear" and len(shape) == 1
    return Block(
        label or _label(call, kind, kernel),
        kind,
        tuple(_details(call, label, kernel)) if not is_head else (f"{shape[0]} outputs",),
        shape[-1 if len(shape) == 2 else 0] if shape and not is_head else None,  # of sequences (T, F), the features
        shape[1:] if len(shape) == 3 and max(shape[1:]) > 1 else (),
        _stride(call, kind),
        kernel,
        note="; ".join([call.path or type(call.module).__name__, *decisions]),
    )


def _details(call: Call, label: str, kernel: int | None) -> Iterator[str]:
    """Kernel and expansion of a block of several layers; its label may say the kernel already."""
    if kernel and kernel > 1 and _n_layers(call.module) > 1 and str(kernel) not in label:
        yield f"{kernel}×{kernel}"
    if expand := _expansion(call):
        yield f"expand {expand}"


def _n_layers(module: nn.Module) -> int:
    return sum(map(has_work, module.modules()))


def _kind(module: nn.Module) -> tuple[Kind, int | None]:
    """The kind of a block and the side of its kernel, from the layers in it."""
    if _is_cell(module):
        return "other", None
    layers = [part for part in module.modules() if not any(part.children())]
    convs = [layer for layer in layers if hasattr(layer, "kernel_size") and hasattr(layer, "groups")]
    depthwise = [conv for conv in convs if _is_depthwise(conv)]
    if any("Attention" in type(part).__name__ for part in module.modules()):
        return "attention", None
    if convs:
        return ("depthwise" if depthwise else "conv"), max(map(_side, depthwise or convs))
    if any(isinstance(layer, nn.Linear) for layer in layers):
        return "linear", None
    if any("Pool" in type(layer).__name__ for layer in layers):
        return "pool", max(map(_side, layers)) or None
    return ("skip" if all(isinstance(layer, nn.Identity) for layer in layers) else "other"), None


def _is_cell(module: nn.Module) -> bool:
    """Whether it is a graph of many operations, of which none speaks for the whole."""
    return type(module).__name__.endswith("Cell")


def _is_depthwise(conv: nn.Module) -> bool:
    groups, n_in = getattr(conv, "groups", 1), getattr(conv, "in_channels", 1)
    return groups == n_in and n_in > 1


def _side(layer: nn.Module) -> int:
    size = getattr(layer, "kernel_size", 0)
    return max(size) if isinstance(size, tuple) else int(size)


def _expansion(call: Call) -> int | None:
    """By how much an inverted residual block widens its middle; None for any other block."""
    convs = [] if _is_cell(call.module) else [part for part in call.module.modules() if _is_depthwise(part)]
    shape = call.in_shape
    if len(convs) != 1 or len(shape) != 3 or not any(call.module.children()):
        return None
    middle = int(getattr(convs[0], "in_channels", 0))
    return middle // shape[0] if middle > shape[0] and middle % shape[0] == 0 else None


def _stride(call: Call, kind: Kind) -> int:
    # of two inputs the older one may still be larger: the newer one, in whatever order, is what is halved
    heights, after = [shape[1] for shape in map(_shape, call.came_in) if len(shape) == 3], call.out_shape
    if not heights or len(after) != 3 or (kind == "pool" and max(after[1:]) == 1):
        return 1
    return max(round(min(heights) / max(after[1], 1)), 1)


def _label(call: Call, kind: Kind, kernel: int | None) -> str:
    """A layer's usual name, else that of the class, else the last part of the path."""
    module = call.module
    side = f" {kernel}×{kernel}" if kernel else ""
    layers = [part for part in module.modules() if has_work(part)]
    if isinstance(module, nn.Sequential) and len(layers) != 1:
        last = ".".join(call.path.split(".")[-2:])
        return f"block {last}" if last[:1].isdigit() else last or "network"
    if len(layers) == 1 and (isinstance(module, nn.Sequential) or layers[0] is module):
        name = type(layers[0]).__name__
        if kind == "pool":
            return _pool_label(name, side)
        return {"conv": f"conv{side}", "depthwise": f"dw conv{side}", "linear": "linear"}.get(kind) or _spoken(name)
    return "cell" if _is_cell(module) else _spoken(type(module).__name__)


def _pool_label(name: str, side: str) -> str:
    if "Global" in name or "Adaptive" in name:
        return "global pool"
    return ("max pool" if "Max" in name else "avg pool" if "Avg" in name else "pool") + side


def _spoken(class_name: str) -> str:
    """A class's name as words, without what says only that it is a block."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", class_name.strip("_").removesuffix("Block")).split()
    return " ".join(word.lower() if word[1:].islower() else word for word in words) or class_name


def has_work(module: nn.Module) -> bool:
    """Whether a module gets a box of its own: it has weights besides those of a norm, or it pools."""
    if any(module.children()) or is_silent(module):
        return False
    return any(parameter.dim() > 1 for parameter in module.parameters()) or "Pool" in type(module).__name__


def is_silent(module: nn.Module) -> bool:
    """Whether a module only normalises, activates or passes its input on; it then gets no box of its own."""
    parts = [part for part in module.modules() if not isinstance(part, CHAINS)]
    return all(_SILENT.search(type(part).__name__) and not any(part.children()) for part in parts)
