"""Running networks on the meta device, where only shapes exist, in little time."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

_BATCH_NORMS = frozenset(["native_batch_norm", "_native_batch_norm_legit", "_native_batch_norm_legit_no_training"])
_ACTIVATIONS = frozenset(
    ["relu", "relu6", "hardtanh", "hardswish", "hardsigmoid", "silu", "gelu", "elu", "leaky_relu", "sigmoid", "tanh"]
)


class ShapesOnly(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's own
    """Within it, batch norms and activations on the meta device give shapes without torch's slow way to them."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # torch would import its compiler (a second) only to keep it away from this method

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        shortcut = shape_only(func.overloadpacket.__name__, args)
        return func(*args, **(kwargs or {})) if shortcut is None else shortcut


def shape_only(name: str, args: tuple[Any, ...]) -> Any:
    """The result of an operation on meta tensors where its shape is plain to see; None where torch has to find it.

    Torch decomposes these operations in Python there, and imports its compiler (a second) for some. Whether the
    parameters of a batch norm fit its input, torch has checked before.
    """
    if not args or not isinstance(args[0], Tensor) or not args[0].is_meta:
        return None
    if name in _BATCH_NORMS:
        return described(args[0]), args[0].new_empty(0), args[0].new_empty(0)
    if name.rstrip("_") in _ACTIVATIONS or (name.rstrip("_") in ("add", "mul") and _is_alike(args[0], args[1])):
        return args[0] if name.endswith("_") else described(args[0])
    return None


def _is_alike(one: Tensor, other: Any) -> bool:
    return isinstance(other, Tensor) and one.shape == other.shape and one.dtype == other.dtype


def described(tensor: Tensor) -> Tensor:
    """A meta tensor of the same shape and type (empty_like takes a slow path on that device)."""
    return torch.empty(tensor.shape, dtype=tensor.dtype, device="meta")
