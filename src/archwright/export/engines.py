"""A captured program in forms that every engine computes alike (docs/engines.md says where engines differ).

Only what goes into the exported file is rewritten, between capturing and torch's exporter. Outputs of a program refer
to nodes by name, so a node is changed where it is, and what it needs is put before it.
"""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind, InputSpec, TensorArgument
from torch.fx import Node

from archwright.core.errors import ExportError

_aten = torch.ops.aten
_CEIL_MODE = (
    "a pool in ceil mode over images whose sides depend on the batch: OpenVINO and others may give another shape"
)
_ANTIALIAS = "resizing of images whose sides depend on the batch: OpenVINO, ncnn and others leave out the antialiasing"

Rewrite = Callable[[ExportedProgram, Node, Mapping[str, Any]], str | None]
"""Changes a node of a program, called with arguments of these names, or says in a line why it stays."""


def agree(program: ExportedProgram) -> tuple[str, ...]:
    """Rewrite, in place, what engines make different things of and what torch's exporter drops.

    Pools in ceil mode and averages with a divisor of their own are padded first and pooled without padding; an average
    is then multiplied by what makes its divisor right. Resizing with antialiasing becomes two products with fixed
    matrices, negative padding a slice, and circular padding the image beside itself.

    Returns:
        What stays as it is, in a line each, because the sides of an image depend on the batch.

    Raises:
        ExportError: If an average stays that torch's exporter would write with another divisor.
    """
    notes = []
    for node in list(program.graph.nodes):
        rewrite = _REWRITES.get(node.target)
        if rewrite is not None:
            notes.append(rewrite(program, node, _arguments(node)))
    program.graph_module.recompile()
    return tuple(dict.fromkeys(note for note in notes if note))


# ── pools ─────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class _Axis:
    """One axis of a pool: its size in pixels, and the windows along it as torch's pools take them."""

    side: int
    kernel: int
    stride: int
    padding: int
    dilation: int
    ceil_mode: bool

    @property
    def behind(self) -> int:
        """The padding behind the axis with which a pool in floor mode has the same windows."""
        if not self.ceil_mode:
            return self.padding
        window = self.dilation * (self.kernel - 1) + 1
        last = -(-(self.side + 2 * self.padding - window) // self.stride) * self.stride
        if last >= self.side + self.padding:  # a window that begins behind the image is left out
            last -= self.stride
        return max(last + window - self.side - self.padding, 0)

    def counts(self, *, with_padding: bool) -> Tensor:
        """How many pixels of each window an average counts; what ceil mode adds is never one."""
        counted = self.padding if with_padding else 0
        n = (self.side + self.padding + self.behind - self.kernel) // self.stride + 1
        begins = torch.arange(n) * self.stride - self.padding
        return (begins + self.kernel).clamp(max=self.side + counted) - begins.clamp(min=-counted)


def _rewrite_max_pool(program: ExportedProgram, node: Node, given: Mapping[str, Any]) -> str | None:
    if not given["ceil_mode"]:
        return None
    if not _has_known_sides(given["self"], _POOLS[node.target]):
        return _CEIL_MODE
    axes = _axes(node, given)
    # copies of the edge change no maximum: a window without gaps that reaches beyond the image has the edge itself
    has_gaps = any(axis.dilation > 1 for axis in axes)
    padded = _padded(node, given["self"], axes, *(["constant", -math.inf] if has_gaps else ["replicate"]))
    windows = [[getattr(axis, name) for axis in axes] for name in ("kernel", "stride")]
    node.args, node.kwargs = (padded, *windows, [0] * len(axes), [axis.dilation for axis in axes]), {}
    return None


def _rewrite_average(program: ExportedProgram, node: Node, given: Mapping[str, Any]) -> str | None:
    divisor = given.get("divisor_override")
    if not (given["ceil_mode"] or divisor):
        return None
    if given["ceil_mode"] and not _has_known_sides(given["self"], _POOLS[node.target]):
        if divisor:
            raise ExportError("divisor_override in ceil mode needs images whose sides do not depend on the batch")
        return _CEIL_MODE
    axes = _axes(node, given)
    windows = [[getattr(axis, name) for axis in axes] for name in ("kernel", "stride")]
    pool: Any = node.target
    pooled = _before(node, pool, _padded(node, given["self"], axes, "constant"), *windows)
    counts = [axis.counts(with_padding=given["count_include_pad"]) for axis in axes]
    divisors = torch.full((), divisor) if divisor else functools.reduce(lambda a, b: a[..., None] * b, counts)
    factors = _add_constant(program, f"{node.name}_factors", math.prod(windows[0]) / divisors)
    node.target, node.args, node.kwargs = _aten.mul.Tensor, (pooled, factors), {}
    return None


def _axes(node: Node, given: Mapping[str, Any]) -> list[_Axis]:
    n = _POOLS[node.target]
    sides = given["self"].meta["val"].shape[-n:]
    kernel, padding, dilation = (_spread(given.get(name, 1), n) for name in ("kernel_size", "padding", "dilation"))
    stride = _spread(given["stride"], n) or kernel
    axes = zip(sides, kernel, stride, padding, dilation, strict=True)
    return [_Axis(*axis, ceil_mode=given["ceil_mode"]) for axis in axes]


def _spread(sizes: int | Sequence[int], n: int) -> list[int]:
    """One size an axis, where one may stand for all."""
    found = [sizes] if isinstance(sizes, int) else list(sizes)
    return found * n if len(found) == 1 else found


def _padded(node: Node, image: Node, axes: Sequence[_Axis], *how: Any) -> Node:
    """The image with all the padding that the windows need."""
    pads = [pad for axis in reversed(axes) for pad in (axis.padding, axis.behind)]
    return _before(node, _aten.pad.default, image, pads, *how) if any(pads) else image


# ── resizing and padding ──────────────────────────────────────────────────────────────────────────


def _rewrite_resize(program: ExportedProgram, node: Node, given: Mapping[str, Any]) -> str | None:
    """Images (N, C, H, W), times a matrix from the right and one from the left."""
    images = given["input"]
    if not _has_known_sides(images, 2):
        return _ANTIALIAS
    rows, columns = (_answers(node, given, axis) for axis in (-2, -1))
    across = _before(node, _aten.matmul.default, images, _add_constant(program, f"{node.name}_columns", columns))
    down = _add_constant(program, f"{node.name}_rows", rows.T.contiguous())
    node.target, node.args, node.kwargs = _aten.matmul.default, (down, across), {}
    return None


def _answers(node: Node, given: Mapping[str, Any], axis: int) -> Tensor:
    """What resizing along an axis makes of a line with a single 1, for each place of the 1: (before, after)."""
    before = given["input"].meta["val"].shape[axis]
    sizes, scales = given["output_size"], given["scale_factors"]
    sizes, scales = (None, [1.0, scales[axis]]) if sizes is None else ([before, sizes[axis]], None)
    resize: Any = node.target
    found: Tensor = resize(torch.eye(before)[None, None], sizes, given["align_corners"], scales)
    return found[0, 0]


def _rewrite_pad(program: ExportedProgram, node: Node, given: Mapping[str, Any]) -> str | None:
    """What is taken away is sliced off first."""
    x, pads = given["self"], given["pad"]
    last = x.meta["val"].dim() - 1
    ends = [(last - i, *pair) for i, pair in enumerate(zip(pads[0::2], pads[1::2], strict=True))]
    for axis, front, back in ends:
        x = _sliced(node, x, axis, max(-front, 0), min(back, 0))
    if given.get("mode") == "circular":
        _close_circle(node, x, ends)
    else:
        node.args = (x, [max(pad, 0) for pad in pads], *node.args[2:])
    return None


def _close_circle(node: Node, x: Node, ends: Sequence[tuple[int, int, int]]) -> None:
    """Along each axis, the end of an image stands before it too, and its beginning behind it."""
    for axis, front, back in ends:
        before = [_sliced(node, x, axis, -front, 0)] if front > 0 else []
        behind = [_sliced(node, x, axis, 0, back)] if back > 0 else []
        x = _before(node, _aten.cat.default, [*before, x, *behind], axis)
    node.target, node.args, node.kwargs = x.target, x.args, {}
    node.graph.erase_node(x)


def _sliced(node: Node, x: Node, axis: int, start: int, end: int) -> Node:
    """From start to end, which is counted from behind unless it is positive."""
    return _before(node, _aten.slice.Tensor, x, axis, start, end or sys.maxsize) if start or end else x


# ── programs ──────────────────────────────────────────────────────────────────────────────────────


def _has_known_sides(image: Node, n: int) -> bool:
    """Whether none of the last n sides depends on the batch."""
    return all(isinstance(side, int) for side in image.meta["val"].shape[-n:])


def _arguments(node: Node) -> dict[str, Any]:
    """What a node is called with, by name."""
    schema: Any = node.target._schema  # type: ignore[union-attr]  # an operator, as callers have looked
    defaults = {argument.name: argument.default_value for argument in schema.arguments if argument.has_default_value()}
    return defaults | dict(zip((a.name for a in schema.arguments), node.args, strict=False)) | node.kwargs


def _before(node: Node, operator: Any, *args: Any) -> Node:
    """A new node before another; what shape it gives is left to the exporter, which traces the program anew."""
    with node.graph.inserting_before(node):
        made: Node = node.graph.call_function(operator, args)
    return made


def _add_constant(program: ExportedProgram, name: str, value: Tensor) -> Node:
    """The node of a new constant, which a program takes as an input before those of its user."""
    specs = program.graph_signature.input_specs
    place = next(i for i, spec in enumerate(specs) if spec.kind is InputKind.USER_INPUT)
    first = list(program.graph.nodes)[place]
    with program.graph.inserting_before(first):
        node: Node = program.graph.placeholder(name)
    node.meta["val"] = first.meta["val"].fake_mode.from_tensor(value)
    specs.insert(place, InputSpec(InputKind.CONSTANT_TENSOR, TensorArgument(node.name), name))
    program.constants[name] = value
    return node


def _overloads(names: Iterable[str], overload: str) -> list[Any]:
    """Operators of those names; torch 2.6 lacks some."""
    return [getattr(getattr(_aten, name), overload) for name in names if hasattr(_aten, name)]


_AXES = (1, 2, 3)
_MAX_POOLS, _AVERAGES = (_overloads([f"{kind}_pool{n}d" for n in _AXES], "default") for kind in ("max", "avg"))
_POOLS = dict(zip([*_MAX_POOLS, *_AVERAGES], 2 * _AXES, strict=True))
_RESIZES = _overloads([f"_upsample_{name}2d_aa" for name in ("bilinear", "bicubic", "lanczos")], "vec")
_PADS = [_aten.pad.default, _aten.constant_pad_nd.default]
_REWRITES: dict[Any, Rewrite] = {
    **dict.fromkeys(_MAX_POOLS, _rewrite_max_pool),
    **dict.fromkeys(_AVERAGES, _rewrite_average),
    **dict.fromkeys(_RESIZES, _rewrite_resize),
    **dict.fromkeys(_PADS, _rewrite_pad),
}
