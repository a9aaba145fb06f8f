"""Which decisions the result of a network depends on, as its modules declare.

A `ChoiceModule` reads its decision, a lazy value those it is made of. Any other module that holds a Selection may read
whatever it likes: it says what in `decisions_read`, a collection of names, or nothing is known.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from archwright.core.errors import SpaceError
from archwright.nn.choice.modules import ChoiceModule
from archwright.nn.choice.selection import Selection
from archwright.nn.sizes import Lazy

MAX_HELD = 100_000
"""Most objects of a module that are searched for a Selection."""

_PLAIN = frozenset(
    [str, bytes, int, float, bool, type(None), torch.Tensor, nn.Parameter, torch.dtype, types.ModuleType]
)


def decisions_read(network: nn.Module) -> frozenset[str] | None:
    """Names of the decisions that a forward pass depends on; None where a module reads some and does not say which.

    Seen is a Selection that a module holds as an attribute, in containers, objects and functions among them; one that
    it reaches by a global name is not.

    Raises:
        SpaceError: If `decisions_read` of a module is a text and not a collection of them.
    """
    names: set[str] = set()
    waiting, seen = list(network.modules()), set()
    while waiting:
        module = waiting.pop()
        if id(module) in seen:
            continue
        seen.add(id(module))
        # not asked of the module: nn.Module takes long to say that it has no such attribute
        if "decisions_read" in vars(module) or hasattr(type(module), "decisions_read"):
            names.update(_names(module, module.decisions_read))
            continue
        if isinstance(module, ChoiceModule):
            names.add(module.decision)
        for found in _held_by(module):
            if isinstance(found, Lazy):
                names.update(found.decisions)
            elif isinstance(found, nn.Module):  # held, but not as a child
                waiting += found.modules()
            elif not isinstance(module, ChoiceModule):
                return None
    return frozenset(names)


def is_apart(network: nn.Module, original: nn.Module) -> bool:
    """Whether a copy of a network reaches no module and no Selection of the original.

    It does where a function has one in its closure: copies share functions. Where there is too much to look at, the
    answer is no.

    Args:
        network: The copy.
        original: What was copied; parameters may be the same objects.
    """
    theirs = {id(module) for module in original.modules()}
    theirs |= {id(value) for value in _reached(list(original.modules())) if isinstance(value, Selection)}
    return all(value is not None and id(value) not in theirs for value in _reached(list(network.modules())))


def _names(module: nn.Module, declared: Any) -> frozenset[str]:
    if isinstance(declared, str) or not all(isinstance(name, str) for name in declared):
        raise SpaceError(
            f"decisions_read of {type(module).__name__} is {declared!r}; give a collection of names of decisions"
        )
    return frozenset(declared)


_SLOT = types.MemberDescriptorType  # an attribute named in `__slots__`


def _held_by(module: nn.Module) -> Iterator[Selection | Lazy | nn.Module | None]:
    """Selections, lazy values and modules that are no children, wherever a module holds them; None for too much."""
    children = ("_modules", "_parameters", "_buffers")
    waiting: list[Any] = [
        value
        for name, value in vars(module).items()
        if name not in children and type(value) not in _PLAIN and not (isinstance(value, dict) and not value)
    ]
    ends = (Selection, Lazy, nn.Module)
    return (value for value in _reached(waiting, ends) if value is None or isinstance(value, ends))


def _reached(waiting: list[Any], ends: tuple[type, ...] = ()) -> Iterator[Any]:
    """Objects and all that they are made of, each once; None, and no more, for too much.

    Args:
        waiting: Where to begin.
        ends: Types of objects whose parts are left out.
    """
    kept: dict[int, Any] = {}  # what was met stays alive, so that no other object gets its id
    while waiting:
        value = waiting.pop()
        if type(value) in _PLAIN or id(value) in kept or isinstance(value, type):
            continue
        kept[id(value)] = value
        yield value
        if isinstance(value, ends):
            continue
        if len(kept) > MAX_HELD:
            yield None
            return
        waiting += _parts(value)


def _parts(value: Any) -> list[Any]:
    """What a container, function or object is made of."""
    if isinstance(value, dict | types.MappingProxyType):
        return [*value.keys(), *value.values()]
    if isinstance(value, list | tuple | set | frozenset):
        return list(value)
    if isinstance(value, functools.partial):
        return [value.func, *value.args, *value.keywords.values()]
    if isinstance(value, types.MethodType):
        return [value.__self__, value.__func__]
    if isinstance(value, types.FunctionType):
        cells = [cell.cell_contents for cell in value.__closure__ or () if not _is_empty(cell)]
        return [*cells, *(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values()]
    slots = [slot for cls in type(value).__mro__ for slot in vars(cls).values() if isinstance(slot, _SLOT)]
    held = [slot.__get__(value) for slot in slots if hasattr(value, slot.__name__)]
    return [*held, *getattr(value, "__dict__", {}).values()]


def _is_empty(cell: types.CellType) -> bool:
    try:
        cell.cell_contents  # noqa: B018  it raises where nothing was put into it
    except ValueError:
        return True
    return False
