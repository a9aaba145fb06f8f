"""Running networks on the meta device, where only shapes exist, in little time.

Torch decomposes most operations in Python there, and imports its compiler or a computer algebra system (about a
second each) for some. The shapes below are those of the operations that networks are mostly made of. Each is given
only where its arguments plainly fit together: all else is left to torch, with its own messages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from archwright.core.errors import UsageError

Shape = Sequence[int]

_BATCH_NORMS = frozenset(["native_batch_norm", "_native_batch_norm_legit", "_native_batch_norm_legit_no_training"])


_DRAWN = frozenset(["normal_", "uniform_", "random_", "fill_", "zero_"])


@contextmanager
def on_meta() -> Iterator[None]:
    """A context in which networks are built on the meta device, and torch's slow weight initialisation is skipped."""
    with torch.device("meta"), ShapesOnly():
        yield


@contextmanager
def for_real() -> Iterator[None]:
    """A context in which networks are built of real tensors for their shapes alone; random numbers go on as before."""
    with torch.random.fork_rng(devices=[]):
        yield


@contextmanager
def attributes_kept(modules: Iterable[nn.Module]) -> Iterator[None]:
    """A context after which modules have the attributes they had: one may keep what it made without values.

    Args:
        modules: That will run on the meta device.
    """
    before = [(module, dict(vars(module))) for module in modules]
    try:
        yield
    finally:
        for module, attributes in before:
            vars(module).clear()
            vars(module).update(attributes)


Built = TypeVar("Built")


def for_shapes(build: Callable[[], Built]) -> Built:
    """What `build` makes on the meta device; where that fails, what it makes of real tensors.

    A user's own module may compute with values in its constructor, which there are none of on the meta device.

    Args:
        build: Makes a network, of which only the shapes will be used; it may be called twice.
    """
    try:
        with on_meta():
            return build()
    except UsageError:  # that is no fault of the device
        raise
    except Exception:
        with for_real():
            return build()


class ShapesOnly(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's own
    """A context in which common operations on the meta device compute shapes directly, faster than torch does."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # torch would import its compiler (a second) only to keep it away from this method

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = func.overloadpacket.__name__
        if name in _DRAWN and args[0].is_meta:
            return args[0]  # there are no values to draw
        shortcut = None if kwargs else shape_only(name, args)
        return func(*args, **(kwargs or {})) if shortcut is None else shortcut


def shape_only(name: str, args: tuple[Any, ...]) -> Any:
    """The result of an operation on meta tensors, without keyword arguments; None if torch has to compute it.

    It relies on torch to check before that the parameters of a batch norm fit the input.
    """
    first = args[0][0] if args and isinstance(args[0], list) and args[0] else args[0] if args else None
    if not isinstance(first, Tensor) or not first.is_meta:
        return None
    if name in _BATCH_NORMS:
        return described(first), first.new_empty(0), first.new_empty(0)
    shape_of = _SHAPES.get(name.rstrip("_"))
    shape = None if shape_of is None else shape_of(*args)
    if shape is None:
        return None
    if name.endswith("_"):
        return first if tuple(shape) == tuple(first.shape) else None
    out = torch.empty(shape, dtype=first.dtype, device="meta")
    return (out, torch.empty(shape, dtype=torch.int64, device="meta")) if name in _WITH_PLACES else out


def described(tensor: Tensor) -> Tensor:
    """A meta tensor of the same shape and type (empty_like takes a slow path on that device)."""
    return torch.empty(tensor.shape, dtype=tensor.dtype, device="meta")


# ── the shape of each operation's result, from its arguments; None is "ask torch" ─────────────────────


def _same(x: Tensor, *_: Any) -> Shape | None:
    return x.shape if x.is_floating_point() else None


def _arithmetic(x: Tensor, other: Any) -> Shape | None:
    if not isinstance(other, Tensor):
        return x.shape if x.is_floating_point() and isinstance(other, int | float) else None
    if x.dtype != other.dtype or not other.is_meta:
        return None
    n = max(x.dim(), other.dim())
    sides = [(1,) * (n - len(shape)) + tuple(shape) for shape in (x.shape, other.shape)]
    if not all(a == b or 1 in (a, b) for a, b in zip(*sides, strict=True)):
        return None
    return [b if a == 1 else a for a, b in zip(*sides, strict=True)]


def _convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    strides: Shape,
    paddings: Shape,
    dilations: Shape,
    transposed: bool,
    _: Shape,
    groups: int,
) -> Shape | None:
    fits = (
        not transposed
        and x.dim() == weight.dim()
        and x.shape[1] == weight.shape[1] * groups
        and x.dtype == weight.dtype
        and weight.shape[0] % groups == 0
        and (bias is None or bias.shape == weight.shape[:1])
        and len(strides) == len(paddings) == len(dilations) == x.dim() - 2
    )
    sides = _windows(x.shape[2:], weight.shape[2:], strides, paddings, dilations) if fits else None
    return sides and [x.shape[0], weight.shape[0], *sides]


def _max_pool(
    x: Tensor,
    kernel: Shape,
    strides: Shape = (),
    paddings: Shape = (0, 0),
    dilations: Shape = (1, 1),
    ceil_mode: bool = False,
) -> Shape | None:
    windows = [pair if len(pair) == 2 else [*pair, *pair] for pair in (kernel, strides or kernel, paddings, dilations)]
    is_plain = x.dim() == 4 and all(2 * p <= k for k, p in zip(windows[0], windows[2], strict=True))
    sides = _windows(x.shape[2:], *windows, ceil_mode=ceil_mode) if is_plain else None
    return sides and [*x.shape[:2], *sides]


def _avg_pool(
    x: Tensor, kernel: Shape, strides: Shape = (), paddings: Shape = (0, 0), ceil_mode: bool = False, *_: Any
) -> Shape | None:
    return _max_pool(x, kernel, strides, paddings, (1, 1), ceil_mode)


def _windows(
    sides: Shape, kernel: Shape, strides: Shape, paddings: Shape, dilations: Shape, *, ceil_mode: bool = False
) -> Shape | None:
    """How often a window fits along each side, the last one in part with `ceil_mode`; None unless it does along all."""
    found = []
    for n, size, stride, padding, dilation in zip(sides, kernel, strides, paddings, dilations, strict=True):
        left = n + 2 * padding - dilation * (size - 1) - 1
        if left < 0:
            return None
        steps = -(-left // stride) if ceil_mode else left // stride
        # a last window has to begin within the input or the padding before it
        found.append(steps + (not ceil_mode or steps * stride < n + padding))
    return found


def _mean(x: Tensor, axes: int | Shape | None = None, keep: bool = False) -> Shape | None:
    listed = [axes] if isinstance(axes, int) else list(axes or ())
    if not listed or not x.is_floating_point() or not all(-x.dim() <= axis < x.dim() for axis in listed):
        return None
    gone = {axis % x.dim() for axis in listed}
    return [1 if axis in gone else n for axis, n in enumerate(x.shape) if keep or axis not in gone]


def _mm(x: Tensor, weight: Tensor) -> Shape | None:
    fits = x.dim() == weight.dim() == 2 and x.shape[1] == weight.shape[0] and x.dtype == weight.dtype
    return [x.shape[0], weight.shape[1]] if fits else None


def _addmm(bias: Tensor, x: Tensor, weight: Tensor) -> Shape | None:
    return _mm(x, weight) if bias.shape == weight.shape[1:] and bias.dtype == x.dtype else None


def _cat(parts: Sequence[Tensor], axis: int = 0) -> Shape | None:
    first = parts[0]
    if not -first.dim() <= axis < first.dim():
        return None
    axis %= first.dim()
    others = {(part.dtype, part.is_meta, *part.shape[:axis], "", *part.shape[axis + 1 :]) for part in parts}
    if len(others) > 1:
        return None
    return [*first.shape[:axis], sum(part.shape[axis] for part in parts), *first.shape[axis + 1 :]]


def _stack(parts: Sequence[Tensor], axis: int = 0) -> Shape | None:
    first = parts[0]
    is_plain = -first.dim() - 1 <= axis <= first.dim() and len({(p.dtype, p.is_meta, p.shape) for p in parts}) == 1
    axis %= first.dim() + 1
    return [*first.shape[:axis], len(parts), *first.shape[axis:]] if is_plain else None


def _pad(x: Tensor, pads: Shape, *_: Any) -> Shape | None:
    if len(pads) % 2 or len(pads) > 2 * x.dim():
        return None
    shape = list(x.shape)
    for i in range(len(pads) // 2):
        shape[-1 - i] += pads[2 * i] + pads[2 * i + 1]
    return shape if min(shape) > 0 else None


def _channel_shuffle(x: Tensor, groups: int) -> Shape | None:
    return x.shape if x.dim() > 2 and groups > 0 and x.shape[1] % groups == 0 else None


_SHAPES: dict[str, Callable[..., Shape | None]] = {
    **dict.fromkeys(["relu", "relu6", "hardtanh", "hardswish", "hardsigmoid", "silu", "gelu", "elu"], _same),
    **dict.fromkeys(["leaky_relu", "sigmoid", "tanh"], _same),
    **dict.fromkeys(["add", "sub", "mul"], _arithmetic),
    "convolution": _convolution,
    "max_pool2d_with_indices": _max_pool,
    "avg_pool2d": _avg_pool,
    "mean": _mean,
    "mm": _mm,
    "addmm": _addmm,
    "cat": _cat,
    "stack": _stack,
    "constant_pad_nd": _pad,
    "channel_shuffle": _channel_shuffle,
}
_WITH_PLACES = frozenset(["max_pool2d_with_indices"])
