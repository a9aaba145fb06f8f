"""Sizes that depend on decisions: plain numbers in a fixed network, lazy values in a supernet.

A lazy value can be added, multiplied, floor-divided and mapped, and says its largest value for allocation.
It refuses everything that would silently decide a branch by one particular value.

A size also says *where* its entries lie in the widest form of their axis. A chosen width is the axis's first
entries. A sum of sizes is the axis of a concatenation: each part keeps its place, so that a channel meets the
same weights whatever the width of the parts before it. A flattened image keeps every pixel's place.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any, NoReturn, Protocol, TypeVar

from archwright.core.errors import SpaceError

Number = int | float


class Selected(Protocol):
    """The part of a selection that lazy values read."""

    index: dict[str, int]
    version: int


class Lazy:
    """A value that follows the active architecture; evaluated once each time an architecture is activated.

    Args:
        selection: The supernet's selection, which says what is active.
        decisions: Names of the decisions it depends on.
        largest: Its largest value over all architectures.

    Attributes:
        decisions: Names of the decisions it depends on.
        largest: Its largest value over all architectures.
    """

    def __init__(self, selection: Selected, decisions: frozenset[str], largest: Any) -> None:
        self.selection = selection
        self.decisions = decisions
        self.largest = largest
        self._version = -1
        self._value: Any = None
        self._places: tuple[slice, ...] = ()

    def _evaluate(self) -> Any:
        raise AssertionError("a lazy value is one of the classes below")

    def _locate(self) -> tuple[slice, ...]:
        return (slice(0, self._value),)

    def _refresh(self) -> None:
        self._value = self._evaluate()
        self._places = self._locate() if isinstance(self._value, int) else ()
        self._version = self.selection.version

    @property
    def current(self) -> Any:
        """The value under the active architecture."""
        if self._version != self.selection.version:
            self._refresh()
        return self._value

    @property
    def places(self) -> tuple[slice, ...]:
        """Where the active entries lie in the widest axis: ascending slices that do not touch, at least one."""
        if self._version != self.selection.version:
            self._refresh()
        return self._places

    def __add__(self, other: Size) -> Any:
        return concatenated(self, other)

    def __radd__(self, other: Size) -> Any:
        return concatenated(other, self)

    def __mul__(self, other: Size) -> Any:
        if not isinstance(other, Lazy) and other < 0:
            self._refuse(f"multiplication by {other}")
        return lazy_map(operator.mul, self, other)

    __rmul__ = __mul__

    def __floordiv__(self, other: Number) -> Any:
        if isinstance(other, Lazy) or other <= 0:
            self._refuse("division by anything but a positive number")
        return lazy_map(operator.floordiv, self, other)

    def _refuse(self, what: str) -> NoReturn:
        names = ", ".join(repr(name) for name in sorted(self.decisions))
        raise SpaceError(
            f"{what} of a value that depends on decision {names}: it has no single value while the space is defined; "
            "use choose.op, choose.repeat or choose.map, and layers of archwright.nn"
        )

    def __bool__(self) -> bool:
        self._refuse("the truth")

    def __int__(self) -> int:
        self._refuse("int()")

    def __float__(self) -> float:
        self._refuse("float()")

    def __index__(self) -> int:
        self._refuse("use as a plain integer")

    def __iter__(self) -> NoReturn:
        self._refuse("iteration")

    def __eq__(self, other: object) -> bool:
        self._refuse("comparison (==)")

    def __lt__(self, other: object) -> bool:
        self._refuse("comparison (<)")

    def _no_arithmetic(self, *_: object) -> NoReturn:
        self._refuse("arithmetic other than + * //")

    __le__ = __gt__ = __ge__ = __lt__
    __sub__ = __rsub__ = __truediv__ = __rtruediv__ = __rfloordiv__ = _no_arithmetic
    __mod__ = __rmod__ = __pow__ = __rpow__ = __neg__ = _no_arithmetic
    __hash__ = object.__hash__


class LazyDecision(Lazy):
    """The chosen value of one decision.

    Args:
        selection: The supernet's selection.
        name: Name of the decision.
        values: The decision's values; the selection holds a position in them.
        largest: The largest of the values.
    """

    def __init__(self, selection: Selected, name: str, values: tuple[Any, ...], largest: Any) -> None:
        super().__init__(selection, frozenset([name]), largest)
        self.name, self.values = name, values

    def _evaluate(self) -> Any:
        return self.values[self.selection.index[self.name]]


class LazyResult(Lazy):
    """A function of other sizes.

    Args:
        fn: A pure function.
        arguments: Its arguments, at least one of them lazy.
        largest: The largest result over all architectures.
    """

    def __init__(self, fn: Callable[..., Any], arguments: tuple[Any, ...], largest: Any) -> None:
        lazies = [argument for argument in arguments if isinstance(argument, Lazy)]
        super().__init__(lazies[0].selection, frozenset().union(*(lazy.decisions for lazy in lazies)), largest)
        self.fn, self.arguments = fn, arguments

    def _evaluate(self) -> Any:
        return self.fn(*map(current, self.arguments))


class LazySum(Lazy):
    """The length of a concatenation of axes, at least one of them lazy.

    Attributes:
        parts: Lengths of the axes, in order.
    """

    def __init__(self, parts: tuple[Any, ...]) -> None:
        lazies = [part for part in parts if isinstance(part, Lazy)]
        super().__init__(
            lazies[0].selection, frozenset().union(*(lazy.decisions for lazy in lazies)), sum(map(largest, parts))
        )
        self.parts = parts

    def _evaluate(self) -> Any:
        return sum(map(current, self.parts))

    def _locate(self) -> tuple[slice, ...]:
        found: list[slice] = []
        offset = 0
        for part in self.parts:
            found += [slice(offset + place.start, offset + place.stop) for place in places(part)]
            offset += largest(part)
        return _joined(found)

    def __mul__(self, other: Size) -> Any:
        """Each part times a plain number, as when the axis is flattened together with the ones behind it."""
        if isinstance(other, int) and other > 0:
            return LazySum(tuple(part * other for part in self.parts))
        return super().__mul__(other)

    __rmul__ = __mul__


class LazyFlat(Lazy):
    """The number of features of a flattened image, at least one of its axes lazy.

    A smaller image lies in the centre of the largest: a pixel meets the same weights whatever the image size.

    Attributes:
        shape: Channels, height and width.
    """

    def __init__(self, shape: tuple[Any, Any, Any]) -> None:
        lazies = [axis for axis in shape if isinstance(axis, Lazy)]
        super().__init__(
            lazies[0].selection,
            frozenset().union(*(lazy.decisions for lazy in lazies)),
            math.prod(map(largest, shape)),
        )
        self.shape = shape

    def _evaluate(self) -> Any:
        return math.prod(map(current, self.shape))

    def _locate(self) -> tuple[slice, ...]:
        channels, height, width = self.shape
        n_rows, n_columns, wide = current(height), largest(width), current(width)
        top, left = (largest(height) - n_rows) // 2, (n_columns - wide) // 2
        found = []
        for place in places(channels):
            for channel in range(place.start, place.stop):
                for row in range(top, top + n_rows):
                    start = (channel * largest(height) + row) * n_columns + left
                    found.append(slice(start, start + wide))
        return _joined(found)


Size = int | Lazy
T = TypeVar("T")


def current(size: Any) -> Any:
    """The value of a size now: itself if it is plain."""
    return size.current if isinstance(size, Lazy) else size


def largest(size: Any) -> Any:
    """The largest value a size can take: itself if it is plain."""
    return size.largest if isinstance(size, Lazy) else size


def places(size: Size) -> tuple[slice, ...]:
    """Where the entries of a size lie now in its widest axis (see `Lazy.places`)."""
    return size.places if isinstance(size, Lazy) else (slice(0, size),)


def _joined(slices: list[slice]) -> tuple[slice, ...]:
    """The same places in fewer slices: empty ones go, touching ones unite; one empty slice where nothing is left."""
    kept: list[slice] = []
    for place in slices:
        if kept and kept[-1].stop == place.start:
            kept[-1] = slice(kept[-1].start, place.stop)
        elif place.start < place.stop:
            kept.append(place)
    return tuple(kept) or (slice(0, 0),)


def concatenated(*sizes: Any) -> Any:
    """The length of a concatenation of axes; numbers that are no length (negative, fractions) are simply added."""
    if any(not isinstance(size, Lazy) and (not isinstance(size, int) or size < 0) for size in sizes):
        return lazy_map(operator.add, *sizes)
    flat = [part for size in sizes for part in (size.parts if isinstance(size, LazySum) else (size,))]
    parts = [part for part in flat if isinstance(part, Lazy) or part > 0]
    return parts[0] if len(parts) == 1 else LazySum(tuple(parts))


def flattened(channels: Size, height: Size, width: Size) -> Any:
    """How many features `torch.nn.Flatten` makes of an image: a plain number if all axes are plain.

    Args:
        channels: Channels of the image.
        height: Height in pixels.
        width: Width in pixels.
    """
    shape = (channels, height, width)
    return LazyFlat(shape) if any(isinstance(axis, Lazy) for axis in shape) else math.prod(map(largest, shape))


def lazies_in(holder: object) -> list[Lazy]:
    """The lazy values an object holds as attributes, or in tuples, lists and dictionaries among them."""
    held: list[object] = []
    for value in vars(holder).values():
        held += value.values() if isinstance(value, dict) else value if isinstance(value, tuple | list) else (value,)
    return [item for item in held if isinstance(item, Lazy)]


def lazy_map(fn: Callable[..., Any], *values: Any, largest_result: Any = None) -> Any:
    """`fn` of the values: a plain result if all values are plain, a lazy one if any is lazy.

    Args:
        fn: A pure function.
        values: Plain or lazy values.
        largest_result: The largest result over all architectures; None takes `fn` of the largest values, which is
            wrong if `fn` is not monotone.
    """
    if not any(isinstance(value, Lazy) for value in values):
        return fn(*values)
    return LazyResult(fn, values, fn(*map(largest, values)) if largest_result is None else largest_result)
