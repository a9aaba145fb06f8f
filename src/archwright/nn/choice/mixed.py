"""Running relaxed edges that leave the same state together.

In a relaxed cell every edge runs every operation, and edges from one state run the same operations on the same input,
each with weights of its own. Here equal layers of such operations run as one: a convolution over all edges' channels, a
batch norm over all of them, whose scale is also the weight of the mixture; what has no weights of its own, such as a
pooling, runs once. The operations stay what they are: modules with their own parameters and statistics. The plain sum
(`weighted_sum`) is the reference that tests compare with; whatever is not recognised runs by itself.

Only a training step on a CPU is planned: in other passes, and on a device that would have to wait for the weights to be
read, the plain sums run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from archwright.nn.choice.modules import InputsChoice, OpChoice, SummedInputs
from archwright.nn.depthwise import depthwise
from archwright.nn.layout import layout_of

Layer = tuple[Any, ...]
"""What a layer does, so that equal layers can run together; see `_layer`."""

Form = tuple[Layer, ...]

_ZERO: Form = (("zero",),)
_IDENTITY: Form = ()


@dataclass(frozen=True)
class Edge:
    """A relaxed edge.

    Attributes:
        choice: Its operations.
        target: Number of the node it leads to.
    """

    choice: OpChoice
    target: int


def edges_from(nodes: Sequence[nn.Module], first: int) -> list[list[Edge]] | None:
    """By state: the edges that leave it; None where some node is not the plain sum of relaxed choices.

    Args:
        nodes: Each reads earlier states.
        first: Number of the state that the first node gives.
    """
    found: list[list[Edge]] = [[] for _ in range(first + len(nodes))]
    for i, node in enumerate(nodes):
        edges = _edges_into(node)
        if edges is None:
            return None
        for source, choice in edges.items():
            found[source].append(Edge(choice, i))
    return found


def _edges_into(node: nn.Module) -> dict[int, OpChoice] | None:
    """The relaxed edges of a node by their source."""
    if isinstance(node, InputsChoice):
        is_single = node.selection.weights is None or node.decision in node.selection.index
        if is_single or node.weights is not None or node.join != "sum":
            return None
    elif not isinstance(node, SummedInputs):
        return None
    edges = {int(source): edge for source, edge in node._modules.items() if is_relaxed(edge)}
    return edges if len(edges) == len(node._modules) else None


def is_relaxed(edge: nn.Module | None) -> TypeGuard[OpChoice]:
    """Whether a module is a choice whose values all have weights now."""
    return isinstance(edge, OpChoice) and edge.weights is not None


def is_planned(x: Tensor) -> bool:
    """Whether edges run together: in a training step on a CPU."""
    return x.device.type == "cpu" and torch.is_grad_enabled() and not torch.is_autocast_enabled("cpu") and x.dim() == 4


class MixedStates:
    """Gives the states of a relaxed cell one after the other, each from sums that earlier states have added to.

    Args:
        n_nodes: Nodes of the cell.
    """

    def __init__(self, n_nodes: int) -> None:
        self._sums: list[Tensor | None] = [None] * n_nodes
        self._statistics: list[tuple[nn.BatchNorm2d, Tensor, Tensor]] = []

    def node(self, i: int) -> Tensor | None:
        """The sum of a node's edges; None if nothing was added to it."""
        return self._sums[i]

    def add(self, x: Tensor, edges: Sequence[Edge]) -> None:
        """Run the edges that leave a state.

        Args:
            x: The state.
            edges: All of them.
        """
        terms = _Terms()
        run = _Run(x, self._statistics)
        for form, members in _grouped(edges).items():
            run.add(form, members, terms)
        targets = [edge.target for edge in edges]
        for target, total in zip(targets, terms.summed(targets, self._sums), strict=True):
            self._sums[target] = total

    def finish(self) -> None:
        """Move the running statistics of the batch norms that ran."""
        if not self._statistics:
            return
        with torch.no_grad():
            by_momentum: dict[float, tuple[list[Tensor], list[Tensor]]] = {}
            for norm, mean, variance in self._statistics:
                assert norm.running_mean is not None
                assert norm.running_var is not None
                own, new = by_momentum.setdefault(norm.momentum or 0.0, ([], []))
                own += [norm.running_mean, norm.running_var]
                new += [mean, variance]
            for momentum, (own, new) in by_momentum.items():
                torch._foreach_lerp_(own, new, momentum)
            counts = [norm.num_batches_tracked for norm, _, _ in self._statistics]
            torch._foreach_add_([count for count in counts if count is not None], 1)


Member = tuple[nn.Module, Tensor | float, int]
"""An operation, its weight, and the node it adds to."""


def _grouped(edges: Sequence[Edge]) -> dict[Form | int, list[Member]]:
    """Operations that run together; one without a form stands alone, by a number."""
    found: dict[Form | int, list[Member]] = {}
    for edge in edges:
        weights = edge.choice.weights or ()
        for (_, op), (_, weight) in zip(edge.choice.active_children(), weights, strict=True):
            form: Form | int | None = form_of(op)
            if form == _ZERO:
                continue  # its weight has no gradient either
            if isinstance(weight, float) and weight == 0.0:
                continue
            found.setdefault(len(found) if form is None else form, []).append((op, weight, edge.target))
    return found


def form_of(op: nn.Module) -> Form | None:
    """What an operation does, if equal ones can run together; kept with the operation."""
    if "_mixed_form" not in op.__dict__:
        op.__dict__["_mixed_form"] = _form(op)
    found: Form | None = op.__dict__["_mixed_form"]
    return found


def _form(op: nn.Module) -> Form | None:
    if type(op) is nn.Identity:
        return _IDENTITY
    if type(op).__name__ == "Zero":
        return _ZERO
    if type(op) is not nn.Sequential or not len(op):
        return None
    layers = [_layer(module) for module in op]
    if None in layers:
        return None
    # the weight of the mixture is the scale of a last batch norm, or that of what has no weights of its own
    kinds = [layer[0] for layer in layers if layer is not None]
    has_weights = any(kind in ("depthwise", "pointwise", "dense") for kind in kinds)
    return tuple(layer for layer in layers if layer is not None) if kinds[-1] == "norm" or not has_weights else None


def _layer(module: nn.Module) -> Layer | None:
    """What a layer does; None if it is not known here."""
    if type(module) is nn.ReLU:
        return ("relu",)
    if type(module) is nn.BatchNorm2d:
        is_plain = module.track_running_stats and module.momentum is not None
        return ("norm", module.eps, module.affine) if is_plain else None
    if type(module) is nn.Conv2d:
        return _convolution(module)
    if not list(module.parameters()) and not list(module.children()):
        return ("pooling", repr(module)) if "Pool" in type(module).__name__ else None
    return None


def _convolution(conv: nn.Conv2d) -> Layer | None:
    kernel, stride, dilation = conv.kernel_size[0], conv.stride[0], conv.dilation[0]
    is_square = all(len(set(sides)) == 1 for sides in (conv.kernel_size, conv.stride, conv.dilation))
    is_padded = conv.padding == (dilation * (kernel // 2),) * 2 and kernel % 2 == 1 and conv.padding_mode == "zeros"
    if conv.bias is not None or not is_square or not is_padded:
        return None
    if conv.groups == conv.in_channels == conv.out_channels and conv.groups > 1:
        return "depthwise", kernel, stride, dilation
    if conv.groups > 1 or dilation > 1:
        return None
    return ("pointwise",) if kernel == stride == 1 else ("dense", kernel, stride)


class _Terms:
    """What the operations on one state add to the nodes."""

    def __init__(self) -> None:
        self.joined: list[tuple[Tensor, list[int]]] = []
        self.shared: list[tuple[Tensor, list[tuple[Tensor | float, int]]]] = []

    def summed(self, targets: Sequence[int], sums: Sequence[Tensor | None]) -> list[Tensor | None]:
        """The nodes' sums with all terms added, in the order of the targets."""
        layout = _Layout(targets, [sums[target] is not None for target in targets], self)
        tensors: list[Tensor] = [total for target in targets if (total := sums[target]) is not None]
        tensors += [joined for joined, _ in self.joined] + [x for x, _ in self.shared]
        tensors += [w for _, users in self.shared for w, _ in users if isinstance(w, Tensor)]
        if not layout.has_terms:
            return [sums[target] for target in targets]
        totals = _Sum.apply(layout, *tensors)
        return [total if has else sums[target] for total, has, target in zip(totals, layout.gets, targets, strict=True)]


class _Layout:
    """Where the tensors given to `_Sum` belong."""

    def __init__(self, targets: Sequence[int], has_sum: Sequence[bool], terms: _Terms) -> None:
        place = {target: i for i, target in enumerate(targets)}
        self.n, self.has_sum = len(targets), list(has_sum)
        self.joined = [[place[target] for target in each] for _, each in terms.joined]
        self.shared = [
            [(None if isinstance(w, Tensor) else w, place[target]) for w, target in users] for _, users in terms.shared
        ]
        reached = {i for each in self.joined for i in each} | {i for users in self.shared for _, i in users}
        self.gets = [i in reached for i in range(self.n)]
        self.has_terms = bool(reached)


class _Sum(torch.autograd.Function):
    """Sums of parts of joined tensors, of weighted tensors, and of earlier sums: without temporaries either way."""

    @staticmethod
    def forward(ctx: Any, layout: _Layout, *tensors: Tensor) -> tuple[Tensor, ...]:
        given = list(tensors)
        earlier = [given.pop(0) if has else None for has in layout.has_sum]
        joined = [given.pop(0) for _ in layout.joined]
        shared = [given.pop(0) for _ in layout.shared]
        weights = [[given.pop(0) if w is None else w for w, _ in users] for users in layout.shared]
        totals: list[Tensor | None] = [None] * layout.n
        for place, total in enumerate(earlier):
            if total is not None and layout.gets[place]:
                totals[place] = total.clone()
        for tensor, places in zip(joined, layout.joined, strict=True):
            for part, place in zip(tensor.chunk(len(places), dim=1), places, strict=True):
                total = totals[place]
                totals[place] = part.clone(memory_format=layout_of(tensor)) if total is None else total.add_(part)
        ctx.factors = [[float(weight) for weight in each] for each in weights]
        for tensor, users, factors in zip(shared, layout.shared, ctx.factors, strict=True):
            for (_, place), factor in zip(users, factors, strict=True):
                total = totals[place]
                totals[place] = tensor * factor if total is None else total.add_(tensor, alpha=factor)
        ctx.layout = layout
        ctx.save_for_backward(*shared)
        like = next(total for total in totals if total is not None)
        # a node that nothing was added to gets an empty tensor, which nobody reads
        return tuple(like.new_empty(0) if total is None else total for total in totals)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        layout: _Layout = ctx.layout
        shared = ctx.saved_tensors
        found: list[Tensor | None] = [
            (gradient if layout.gets[place] else None)
            for place, (has, gradient) in enumerate(zip(layout.has_sum, gradients, strict=True))
            if has
        ]
        known: dict[tuple[int, ...], Tensor] = {}  # operations of one kind and of another mostly have the same targets
        for places in map(tuple, layout.joined):
            if places not in known:
                known[places] = _joined([gradients[place] for place in places])
            found.append(known[places])
        needs = ctx.needs_input_grad[1 + len(found) :]
        of_weights: list[Tensor | None] = []
        place_of_weight = len(shared)
        for i, (tensor, users, factors) in enumerate(zip(shared, layout.shared, ctx.factors, strict=True)):
            own: Tensor | None = None
            for (fixed, place), factor in zip(users, factors, strict=True):
                gradient = gradients[place]
                if needs[i]:
                    own = gradient * factor if own is None else own.add_(gradient, alpha=factor)
                if fixed is None:
                    is_needed = needs[place_of_weight]
                    of_weights.append(_dot(tensor, gradient) if is_needed else None)
                    place_of_weight += 1
            found.append(own)
        return (None, *found, *of_weights)


def _joined(parts: list[Tensor]) -> Tensor:
    """Gradients along the channels, in the layout they have."""
    layout = layout_of(parts[0])
    if len(parts) == 1:
        return parts[0]
    return torch.cat([part.contiguous(memory_format=layout) for part in parts], dim=1)


def _dot(one: Tensor, other: Tensor) -> Tensor:
    """The sum of products, as one pass over memory where both lie alike."""
    other = other.contiguous(memory_format=layout_of(one))
    if one.is_contiguous():
        return torch.dot(one.view(-1), other.view(-1))
    if one.is_contiguous(memory_format=torch.channels_last):
        return torch.dot(one.permute(0, 2, 3, 1).reshape(-1), other.permute(0, 2, 3, 1).reshape(-1))
    return (one * other).sum()


class _Run:
    """Operations on one state; what several of them begin with runs once."""

    def __init__(self, x: Tensor, statistics: list[tuple[nn.BatchNorm2d, Tensor, Tensor]]) -> None:
        self._x, self._statistics = x, statistics
        self._begun: dict[Form, Tensor] = {}
        self._repeats: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}

    def add(self, form: Form | int, members: Sequence[Member], terms: _Terms) -> None:
        """Run some equal operations, and add what they give."""
        weights, targets = [weight for _, weight, _ in members], [target for _, _, target in members]
        if isinstance(form, int) or not members[0][0].training:
            for op, weight, target in members:
                terms.shared.append((op(self._x), [(weight, target)]))
            return
        n_shared = next((i for i, layer in enumerate(form) if layer[0] in _SPLITS), len(form))
        if n_shared == len(form):
            x = self._shared(form, members[0][0])
            if form and form[-1][0] == "norm":
                x = self._normed(x, form[-1][1], [op[-1] for op, _, _ in members])  # type: ignore[index]
            terms.shared.append((x, list(zip(weights, targets, strict=True))))
            return
        x, ops = self._shared(form[:n_shared], members[0][0]), [op for op, _, _ in members]
        is_joined = False
        for place in range(n_shared, len(form)):
            layers = [op[place] for op in ops]  # type: ignore[index]
            last = place == len(form) - 1
            is_fresh = place > n_shared and form[place - 1][0] == "norm"
            x = self._layer(
                x, form[place], layers, is_joined=is_joined, is_fresh=is_fresh, scales=weights if last else None
            )
            is_joined = is_joined or form[place][0] != "relu"
        terms.joined.append((x, targets))

    def _shared(self, form: Form, op: nn.Module) -> Tensor:
        """The state after layers without weights of their own; a batch norm at the end is left to `_normed`."""
        x = self._x
        for i, layer in enumerate(form):
            if layer[0] == "norm":
                break
            begun = form[: i + 1]
            if begun not in self._begun:
                self._begun[begun] = op[i](x)  # type: ignore[index]
            x = self._begun[begun]
        return x

    def _normed(self, x: Tensor, eps: float, norms: Sequence[nn.BatchNorm2d]) -> Tensor:
        """Equal batch norms of the same tensor: one of them runs, all take its statistics."""
        mean, variance = _statistics(x)
        x = F.batch_norm(x, mean, variance, None, None, True, 1.0, eps)
        self._statistics += [(norm, mean, variance) for norm in norms]
        return x

    def _layer(
        self,
        x: Tensor,
        layer: Layer,
        modules: Sequence[nn.Module],
        *,
        is_joined: bool,
        is_fresh: bool,
        scales: Sequence[Tensor | float] | None,
    ) -> Tensor:
        """Equal layers as one, on all edges' channels.

        Args:
            x: Their input.
            layer: What they do.
            modules: One of each edge.
            is_joined: Whether each edge has channels of its own already.
            is_fresh: Whether the input is a batch norm's, which nothing else reads and whose gradient does not need it.
            scales: Weights of the mixture, if the layers are the last.
        """
        n = len(modules)
        if layer[0] == "relu":
            return F.relu_(x) if is_fresh else F.relu(x)
        if layer[0] == "norm":
            return self._norm(x, layer, modules, scales)
        weight = torch.cat([module.weight for module in modules])  # type: ignore[misc]
        if layer[0] == "depthwise":
            _, _, stride, dilation = layer
            x = x if is_joined or n == 1 else self._repeated(x, n)
            return depthwise(x, weight, stride, dilation)
        kernel, stride = (1, 1) if layer[0] == "pointwise" else layer[1:]
        return F.conv2d(x, weight, None, stride, kernel // 2, 1, n if is_joined else 1)

    def _repeated(self, x: Tensor, n: int) -> Tensor:
        """The tensor n times along its channels, once for all operations that want it so."""
        key = id(x), n
        if key not in self._repeats:
            self._repeats[key] = _Repeat.apply(x, n), x  # which keeps its identity as long as this
        return self._repeats[key][0]

    def _norm(
        self, x: Tensor, layer: Layer, modules: Sequence[nn.Module], scales: Sequence[Tensor | float] | None
    ) -> Tensor:
        _, eps, is_affine = layer
        width = x.shape[1] // len(modules)
        scale = shift = None
        if scales is not None:
            stacked = torch.stack([torch.as_tensor(each, dtype=x.dtype) for each in scales])
            scale = stacked.repeat_interleave(width)
        if is_affine:
            own, moved = (torch.cat([getattr(m, name) for m in modules]) for name in ("weight", "bias"))
            shift = moved if scale is None else moved * scale
            scale = own if scale is None else own * scale
        mean, variance = _statistics(x)
        out = F.batch_norm(x, mean, variance, scale, shift, True, 1.0, eps)
        for norm, m, v in zip(modules, torch.split(mean, width), torch.split(variance, width), strict=True):
            self._statistics.append((norm, m, v))  # type: ignore[arg-type]
        return out


def _statistics(x: Tensor) -> tuple[Tensor, Tensor]:
    """Where a batch norm writes mean and variance; not empty, because it adds 0 times what is there."""
    return x.new_zeros(x.shape[1]), x.new_zeros(x.shape[1])


_SPLITS = ("depthwise", "pointwise", "dense")
"""Layers with weights: from the first of them on each edge has channels of its own."""


class _Repeat(torch.autograd.Function):
    """The tensor n times along its channels; the gradient keeps the layout."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, n: int) -> Tensor:
        ctx.n = n
        return torch.cat([x] * n, dim=1)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        first, *others = gradients[0].chunk(ctx.n, dim=1)
        total = first.clone(memory_format=layout_of(gradients[0]))
        for other in others:
            total.add_(other)
        return total, None
