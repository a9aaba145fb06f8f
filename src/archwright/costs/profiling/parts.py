"""The parts of a network that are timed alone: where the network is cut, and how a part runs by itself."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from archwright.core.decisions import DecisionSpace
from archwright.core.errors import InvalidValueError
from archwright.costs.counting.memory import tensors_in
from archwright.costs.latency import Use
from archwright.costs.tables.scopes import Scope, n_combinations
from archwright.nn.choice.modules import ChoiceModule, OpChoice
from archwright.nn.inputs import Form, Signature, TensorSpec, call, n_tokens_of
from archwright.nn.sizes import lazies_in

MAX_FORMS = 64
"""A module is not cut into parts if its decisions have at most this many combinations."""


@dataclass(frozen=True)
class Part:
    """A module of the supernet that is timed on its own.

    Attributes:
        path: Path of the same module in a stand-alone network.
        scope: Columns of all decisions that it depends on.
        keys: Candidates that must be chosen for it to exist, as (column, position) pairs.
    """

    path: str
    scope: Scope
    keys: tuple[tuple[int, int], ...] = ()


def parts_of(network: nn.Module, decisions: DecisionSpace, max_forms: int = MAX_FORMS) -> list[Part]:
    """The parts of a supernet, as few and as large as possible.

    A module is also one part if it has up to twice `max_forms` forms and cutting it would leave a piece with as many.

    Args:
        network: The supernet.
        decisions: The decisions of its space.
        max_forms: Most forms of one part.

    Raises:
        InvalidValueError: If a module that cannot be cut has more forms.
    """
    found: list[Part] = []

    def scope_of(module: nn.Module, above: frozenset[int]) -> Scope:
        names = {name for part in module.modules() for name in _decisions_of(part)}
        return tuple(sorted(above | {decisions.position(name) for name in names}))

    def visit(module: nn.Module, path: str, above: frozenset[int], keys: tuple[tuple[int, int], ...]) -> None:
        scope = scope_of(module, above)
        n_forms = n_combinations(decisions, scope)
        below = above | {decisions.position(module.decision)} if isinstance(module, ChoiceModule) else above
        children = list(module.named_children())
        pieces = [n_combinations(decisions, scope_of(child, below)) for _, child in children]
        if n_forms <= max_forms or (n_forms <= 2 * max_forms and max(pieces, default=n_forms) == n_forms):
            found.append(Part(path, scope, keys))
            return
        if not children:
            raise InvalidValueError(
                f"{type(module).__name__} at {path or 'the top'} depends on {len(scope)} decisions with more than "
                f"{2 * max_forms} combinations; no table of its latency can be measured"
            )
        for name, child in children:
            if isinstance(module, OpChoice):
                key = (decisions.position(module.decision), module.keys.index(name))
                visit(child, path, below, (*keys, key))
            else:
                visit(child, f"{path}.{name}" if path else name, below, keys)

    visit(network, "", frozenset(), ())
    return found


def _decisions_of(module: nn.Module) -> frozenset[str]:
    own = frozenset({module.decision}) if isinstance(module, ChoiceModule) else frozenset()
    return own.union(*(size.decisions for size in lazies_in(module)))


@dataclass
class Runnable:
    """One form of a part, ready to run.

    Attributes:
        module: It.
        form: What it takes.
        use: How it is run once, of torch.
    """

    module: nn.Module
    form: Form
    use: Use = call


def form_of(module: nn.Module, arguments: tuple[Any, ...]) -> Runnable:
    """A part as it was called, to be run on one tensor, or on several where they are not all numbers."""
    if len(arguments) == 1 and isinstance(arguments[0], Tensor):
        tensor = arguments[0]
        shape = tuple(tensor.shape[1:])
        is_known = tensor.is_floating_point() or n_tokens_of(module) is not None
        return Runnable(module, shape if is_known else Signature((_spec(tensor, 0),)))
    tensors = list(tensors_in(arguments))
    if not all(tensor.is_floating_point() for tensor in tensors):
        specs = tuple(_spec(tensor, i) for i, tensor in enumerate(tensors))
        return Runnable(_FedEach(module, arguments), Signature(specs))
    fed = _Fed(module, arguments)
    return Runnable(fed, (fed.n_numbers,))


def _spec(tensor: Tensor, number: int) -> TensorSpec:
    """What a part was given: whole numbers are tokens, of which the largest is known to be one."""
    shape, name = tuple(tensor.shape[1:]), f"input{number}"
    if tensor.dtype == torch.bool:
        return TensorSpec(shape, "bool", name=name)
    if tensor.is_floating_point():
        return TensorSpec(shape, name=name)
    return TensorSpec(shape, "int64", int(tensor.max()) + 1 if tensor.numel() else 1, name)


class _FedEach(nn.Module):
    """A module that takes its arguments, tensors in any nesting, one after the other."""

    def __init__(self, module: nn.Module, arguments: tuple[Any, ...]) -> None:
        super().__init__()
        self.module, self.arguments = module, arguments

    def forward(self, *tensors: Tensor) -> Tensor:
        return _joined(self.module(*_replaced(self.arguments, iter(tensors))))


class _Fed(nn.Module):
    """A module that takes its arguments, tensors in any nesting, from one flat input (N, numbers)."""

    def __init__(self, module: nn.Module, arguments: tuple[Any, ...]) -> None:
        super().__init__()
        self.module, self.arguments = module, arguments
        self.shapes = [tuple(tensor.shape[1:]) for tensor in tensors_in(arguments)]
        self.n_numbers = sum(int(np.prod(shape)) for shape in self.shapes)

    def forward(self, x: Tensor) -> Tensor:
        pieces = torch.split(x, [int(np.prod(shape)) for shape in self.shapes], dim=1)
        fed = iter([torch.unflatten(piece, 1, shape) for piece, shape in zip(pieces, self.shapes, strict=True)])
        return _joined(self.module(*_replaced(self.arguments, fed)))


def _joined(outputs: Any) -> Tensor:
    results = list(tensors_in(outputs))
    return results[0] if len(results) == 1 else torch.cat([result.flatten(1) for result in results], dim=1)


def _replaced(thing: Any, tensors: Iterator[Tensor]) -> Any:
    if isinstance(thing, Tensor):
        return next(tensors)
    if isinstance(thing, list | tuple):
        return type(thing)([_replaced(item, tensors) for item in thing])
    return thing


@contextmanager
def calls_of(network: nn.Module, modules: dict[str, nn.Module]) -> Iterator[dict[str, list[tuple[Any, ...]]]]:
    """A context that records the arguments of each call of some modules of a network, by path."""
    found: dict[str, list[tuple[Any, ...]]] = {}
    handles = [
        module.register_forward_pre_hook(lambda _module, args, path=path: found.setdefault(path, []).append(args))
        for path, module in modules.items()
    ]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def signature_of(module: nn.Module, arguments: tuple[Any, ...]) -> str:
    """A text that is equal for two modules only if they compute the same up to weights, on inputs of the same shape."""
    described = [
        (
            name,
            f"{type(part).__module__}.{type(part).__qualname__}",
            part.extra_repr(),
            sorted((key, _text(value)) for key, value in vars(part).items() if _is_plain(key, value)),
            [(key, list(tensor.shape)) for key, tensor in part.state_dict().items()],
        )
        for name, part in module.named_modules()
    ]
    shapes = [list(tensor.shape) for tensor in tensors_in(arguments)]
    return hashlib.sha256(json.dumps([described, shapes]).encode()).hexdigest()


def _text(value: object) -> str:
    """An attribute's value, the same in every process unless it is a closure."""
    code = getattr(value, "__code__", None)
    if code is None or getattr(value, "__closure__", None):
        return str(value)
    return f"{code.co_filename}:{code.co_firstlineno}:{code.co_code.hex()}"


def _is_plain(key: str, value: object) -> bool:
    """Whether an attribute may say what a module does: a number, a text, a function, or several."""
    if key.startswith("_") or key == "training":
        return False
    items = value if isinstance(value, tuple | list) else (value,)
    return all(isinstance(item, bool | int | float | str) or item is None or callable(item) for item in items)
