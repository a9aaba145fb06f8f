"""Python expressions as trees, and their text with the line breaks of ruff and black."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

LINE_LENGTH = 120


@dataclass(frozen=True)
class Node:
    """An expression with brackets: a call, a list, a mapping.

    Attributes:
        opening: Text up to and including the bracket, e.g. "nn.Conv2d(".
        items: The expressions inside, each with the text before it, e.g. ("stride=", "2").
        closing: The closing bracket.
        is_module: Whether it makes a module that has modules inside.
    """

    opening: str
    items: tuple[tuple[str, Expression], ...]
    closing: str
    is_module: bool = field(default=False, compare=False)

    @cached_property
    def text(self) -> str:
        """The expression on one line."""
        inside = ", ".join(prefix + one_line(item) for prefix, item in self.items)
        return f"{self.opening}{inside}{self.closing}"


Expression = str | Node


def call(function: str, *items: tuple[str, Expression], is_module: bool = False) -> Node:
    """The expression of a call.

    Args:
        function: Name of the function or class.
        items: Arguments: positional as ("", value), by keyword as ("name=", value).
        is_module: Whether the call makes a module that has modules inside.
    """
    return Node(f"{function}(", items, ")", is_module)


def sequence(items: list[Expression]) -> Node:
    """The expression of a list."""
    return Node("[", tuple(("", item) for item in items), "]")


def mapping(items: Mapping[str, Expression]) -> Node:
    """The expression of a mapping with text keys."""
    return Node("{", tuple((f"{quoted(key)}: ", item) for key, item in items.items()), "}")


def one_line(expression: Expression) -> str:
    """The text of an expression without line breaks."""
    return expression if isinstance(expression, str) else expression.text


def laid_out(prefix: str, expression: Expression, *, indent: int = 0, suffix: str = "") -> list[str]:
    """The lines of an expression: a single one if it fits into 120 columns, else one for each item.

    Args:
        prefix: Text before the expression, e.g. "return ".
        expression: The expression.
        indent: Spaces before each line.
        suffix: Text after the expression, e.g. ",".
    """
    line = " " * indent + prefix + one_line(expression) + suffix
    if isinstance(expression, str) or len(line) <= LINE_LENGTH or not expression.items:
        return [line]
    lines = [" " * indent + prefix + expression.opening]
    for before, item in expression.items:
        lines += laid_out(before, item, indent=indent + 4, suffix=",")
    return [*lines, " " * indent + expression.closing + suffix]


def literal(value: object) -> Expression:
    """The expression that gives a plain value: numbers, text, truth values, None; lists, tuples, mappings of these.

    Raises:
        TypeError: If the value is none of these.
    """
    if isinstance(value, str):
        return quoted(value)
    if value is None or type(value) in (bool, int):
        return repr(value)
    if isinstance(value, float):
        return repr(float(value)) if math.isfinite(value) else f'float("{value}")'
    if isinstance(value, tuple):
        inside = ", ".join(one_line(literal(item)) for item in value)
        return f"({inside},)" if len(value) == 1 else f"({inside})"
    if isinstance(value, list):
        return sequence([literal(item) for item in value])
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return mapping({key: literal(item) for key, item in value.items()})
    raise TypeError(f"{value!r} of type {type(value).__name__} is no plain value")


def quoted(text: str) -> str:
    """A string literal, in double quotes unless that takes more escapes; what cannot be printed is escaped.

    >>> print(quoted('it\\'s'), quoted('5" floppy'), quoted("tab\\tzero\\0"))
    "it's" '5" floppy' "tab\\tzero\\x00"
    """
    quote = "'" if text.count('"') > text.count("'") else '"'
    inside = "".join(f"\\{c}" if c == quote else c if c in "'\"" else repr(c)[1:-1] for c in text)
    return f"{quote}{inside}{quote}"
