"""An architecture: the values chosen for the active decisions of a space."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from archwright.core.errors import InvalidArchError

Value = str | int | float | tuple[int, ...]
"""What a decision may choose: a candidate's key, a number, or a subset of inputs."""


class Arch(Mapping[str, Value]):
    """Immutable mapping from the name of each active decision to the value chosen for it.

    Two archs are equal when the same decisions are active with the same values, whatever their order;
    inactive decisions (inside an operation that was not chosen) are not part of an arch.

    >>> Arch({"op": "conv", "depth": 2}).key
    '{"depth":2,"op":"conv"}'
    """

    __slots__ = ("_found", "_hash", "_make")

    def __init__(self, values: Mapping[str, Value]) -> None:
        self._found: dict[str, Value] | None = dict(values)
        self._make: Callable[[], dict[str, Value]] | None = None
        self._hash: int | None = None

    @classmethod
    def later(cls, make: Callable[[], dict[str, Value]]) -> Arch:
        """An arch that calls `make` when its values are first read; of many drawn archs only a few are read."""
        arch = cls.__new__(cls)
        arch._found, arch._make, arch._hash = None, make, None
        return arch

    @property
    def _values(self) -> dict[str, Value]:
        if self._found is None:
            assert self._make is not None
            self._found, self._make = self._make(), None
        return self._found

    def __getitem__(self, name: str) -> Value:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = hash(frozenset(self._values.items()))
        return self._hash

    def __repr__(self) -> str:
        return f"Arch({self._values!r})"

    @property
    def key(self) -> str:
        """A string equal for equal archs: compact JSON with sorted names."""
        return json.dumps(self._values, sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    def to_json(self) -> dict[str, Any]:
        """A JSON object; subsets of inputs become arrays."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in self._values.items()}

    @classmethod
    def from_json(cls, document: Any) -> Arch:
        """Read what `to_json` wrote; membership in a space is checked by `DecisionSpace.row`.

        Raises:
            InvalidArchError: If the document is no object of strings, numbers and arrays of integers.
        """
        if not isinstance(document, dict):
            raise InvalidArchError(
                f"an arch is a JSON object of decision names and values, not {type(document).__name__}"
            )
        return cls({str(name): _value_from_json(str(name), value) for name, value in document.items()})


def _value_from_json(name: str, value: Any) -> Value:
    if isinstance(value, list) and all(type(item) is int for item in value):
        return tuple(value)
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return value
    raise InvalidArchError(
        f"decision {name!r} has the value {value!r}; accepted are strings, numbers and arrays of integers"
    )
