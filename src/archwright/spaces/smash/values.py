"""Conversion between the decisions about an operation and the operation itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from archwright.core.arch import Value
from archwright.spaces.smash.grammar import Conv, Op, conv_number, dilation_of, kernel_of, slots_of


def op_of(arch: Mapping[str, Value], name: str, structures: Sequence[str], nonlinearities: Sequence[str]) -> Op:
    """The operation of that name in an arch.

    Args:
        arch: A member of the space.
        name: Beginning of the names of its decisions.
        structures: The structures of the space; a single one is no decision.
        nonlinearities: The activations of the space; a single one is no decision.
    """
    structure = str(arch.get(f"{name}.structure", structures[0]))
    convs = tuple(_conv(arch, f"{name}.conv{slot}", nonlinearities) for slot in slots_of(structure))
    read, write = (_banks(arch[f"{name}.{what}"]) for what in ("read", "write"))
    return Op(read, write, _number(arch[f"{name}.width"]), structure, convs)


def _conv(arch: Mapping[str, Value], name: str, nonlinearities: Sequence[str]) -> Conv:
    sides = [_side(_number(arch[f"{name}.{side}"])) for side in ("rows", "columns")]
    (height, down), (width, across) = sides
    nonlinearity = str(arch.get(f"{name}.nonlinearity", nonlinearities[0]))
    return Conv((height, width), (down, across), _number(arch[f"{name}.groups"]), nonlinearity)


def conv_values(name: str, conv: Conv, nonlinearities: Sequence[str]) -> dict[str, Value]:
    """The values of the decisions about a convolution.

    Args:
        name: Beginning of the names of its decisions.
        conv: The convolution.
        nonlinearities: The activations of the space; a single one is no decision.
    """
    rows, columns = map(conv_number, conv.kernel, conv.dilation)
    values: dict[str, Value] = {f"{name}.rows": rows, f"{name}.columns": columns, f"{name}.groups": conv.groups}
    if len(nonlinearities) > 1 or conv.nonlinearity != nonlinearities[0]:  # which the space then refuses by name
        values[f"{name}.nonlinearity"] = conv.nonlinearity
    return values


def _side(number: int) -> tuple[int, int]:
    return kernel_of(number), dilation_of(number)


def _banks(value: Value) -> tuple[int, ...]:
    assert isinstance(value, tuple)
    return value


def _number(value: Value) -> int:
    assert isinstance(value, int)
    return value
