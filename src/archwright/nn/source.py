"""Source templates: a module class → an equivalent class in plain torch, as text, for `model.py`.

A template lies beside the class it stands for, so that both are read and changed together; who writes the file
(`archwright.export.source`) lies below and knows no class by name.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import math
import symtable
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from archwright.core.errors import InvalidValueError

M = TypeVar("M", bound=nn.Module)

Arguments = Callable[[Any], Mapping[str, Any]]

NAMES: Mapping[str, Any] = {
    **{"torch": torch, "nn": nn, "F": F, "Tensor": Tensor},
    **{"math": math, "Sequence": Sequence, "Mapping": Mapping},
}
"""What a template may use without importing it."""


@dataclass(frozen=True)
class Parameter:
    """A parameter of a template's constructor; `default` is the text of its default value, if it has one."""

    name: str
    default: str | None


@dataclass(frozen=True)
class SourceTemplate:
    """What stands for a class in a generated file.

    Attributes:
        name: The class to instantiate, the last one in the text.
        definitions: Text of each top-level definition by its name, the class last.
        parameters: What the class's constructor takes.
        arguments: Gives the constructor's arguments for a module, see `source_template`.
    """

    name: str
    definitions: Mapping[str, str]
    parameters: tuple[Parameter, ...]
    arguments: Arguments


_templates: dict[type[nn.Module], SourceTemplate] = {}
_own: dict[type[nn.Module], Arguments | None] = {}
"""Classes whose own source is their template, which is read when it is asked for."""


def source_template(text: str | None = None, *, arguments: Arguments | None = None) -> Callable[[type[M]], type[M]]:
    """Give a module class its source in plain torch, so that networks that hold it can be written as `model.py`.

    The text is Python that may use `torch`, `nn`, `F` (torch.nn.functional), `Tensor`, `math`, `Sequence` and
    `Mapping` without importing them. It ends with a class that computes what the module computes in evaluation mode
    and names parameters, buffers and children alike; helper functions may stand before it. For somebody else's class
    call the result: `source_template(text)(TheirClass)`.

        @source_template('''
            class Scaled(nn.Module):
                def __init__(self, body: nn.Module, factor: float = 1.0) -> None:
                    super().__init__()
                    self.body, self.factor = body, factor

                def forward(self, x: Tensor) -> Tensor:
                    return self.factor * self.body(x)
        ''')
        class Scaled(nn.Module): ...

    A class that is written in these names alone, and takes what it stores, is its own template: `@source_template()`.

    Args:
        text: See above; indentation that all lines share is removed. Without it the class's own source, docstring
            included, its decorators left out; the class then derives from torch's classes only.
        arguments: From a module to the arguments of the class in the text, by name: child modules, numbers, text,
            truth values, None, and lists, tuples or mappings of these. By default the module's attributes of the
            constructor's parameter names.

    Raises:
        InvalidValueError: If the text is no Python or defines no class.
    """

    def register(cls: type[M]) -> type[M]:
        if text is None:
            _own[cls] = arguments
        else:
            _templates[cls] = _parsed(cls, textwrap.dedent(text).strip(), arguments)
        return cls

    return register


def template_of(module: nn.Module) -> SourceTemplate | None:
    """The template of a module's very class; a subclass may compute something else and needs its own.

    Raises:
        InvalidValueError: If the class is to be its own template and cannot be, or its source is not there.
    """
    cls = type(module)
    if cls in _own and cls not in _templates:
        _templates[cls] = _parsed(cls, _own_text(cls), _own[cls])
    return _templates.get(cls)


def _own_text(cls: type[nn.Module]) -> str:
    """The source of a class without its decorators, if it can stand in a file of its own."""
    hint = "give source_template a text"
    try:
        text = textwrap.dedent(inspect.getsource(cls))
        (node,) = ast.parse(text).body
    except (OSError, TypeError, SyntaxError) as error:  # such as a package of compiled files alone
        raise InvalidValueError(f"the source of {cls.__name__} cannot be read ({error}); {hint}") from None
    bases = [base.__name__ for base in cls.__bases__ if base.__module__.partition(".")[0] != "torch"]
    if bases:
        raise InvalidValueError(f"{cls.__name__} derives from {bases[0]}, which is none of torch's classes; {hint}")
    text = "\n".join(text.splitlines()[node.lineno - 1 : node.end_lineno])
    module = vars(sys.modules.get(cls.__module__, builtins))
    meant = {name for name, thing in NAMES.items() if module.get(name, thing) is thing}
    foreign = sorted({*_global_names(symtable.symtable(text, cls.__name__, "exec"))} - meant - {cls.__name__})
    if foreign:
        raise InvalidValueError(
            f"{cls.__name__} uses {foreign[0]!r}, which a file of its own lacks; use {', '.join(NAMES)}, or {hint}"
        )
    return text


def _global_names(table: symtable.SymbolTable) -> Iterator[str]:
    """Every name a text reads and does not define itself, Python's own left out."""
    for symbol in table.get_symbols():
        is_read = symbol.is_referenced() and (symbol.is_global() or table.get_type() == "module")
        if is_read and not hasattr(builtins, symbol.get_name()):
            yield symbol.get_name()
    for inner in table.get_children():
        yield from _global_names(inner)


def _parsed(cls: type[nn.Module], text: str, arguments: Arguments | None) -> SourceTemplate:
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        raise InvalidValueError(
            f"the source template of {cls.__name__} is no Python: {error.msg}, line {error.lineno}"
        ) from None
    nodes = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    if len(nodes) < len(tree.body) or not nodes or not isinstance(nodes[-1], ast.ClassDef):
        raise InvalidValueError(
            f"the source template of {cls.__name__} must hold functions and classes only, and end with a class"
        )
    parameters = _constructor_parameters(nodes[-1])
    names = [parameter.name for parameter in parameters]
    return SourceTemplate(
        name=nodes[-1].name,
        definitions={node.name: _segment(text, node) for node in nodes},
        parameters=parameters,
        arguments=arguments or (lambda module: {name: getattr(module, name) for name in names}),
    )


def _segment(text: str, node: ast.FunctionDef | ast.ClassDef) -> str:
    """A definition with its decorators."""
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    return "\n".join(text.splitlines()[first - 1 : node.end_lineno])


def _constructor_parameters(cls: ast.ClassDef) -> tuple[Parameter, ...]:
    for node in cls.body:
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            given = node.args
            positional = [*given.posonlyargs, *given.args][1:]
            defaults = [None] * (len(positional) - len(given.defaults)) + [*given.defaults]
            pairs = [*zip(positional, defaults, strict=True), *zip(given.kwonlyargs, given.kw_defaults, strict=True)]
            return tuple(Parameter(a.arg, None if value is None else ast.unparse(value)) for a, value in pairs)
    return ()
