"""A recipe from which another process builds an equal object: a function's name, and arguments that JSON can hold."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from archwright.core.errors import InvalidValueError

_MAKE = "make"


@dataclass(frozen=True)
class Blueprint:
    """A function and its arguments; processes send each other this instead of the object itself.

    Attributes:
        make: The function, as `package.module:function`.
        arguments: Its keyword arguments: JSON, or further blueprints, which are built first.
    """

    make: str
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def build(self) -> Any:
        """Call the function.

        Raises:
            InvalidValueError: If this process cannot find the function.
        """
        module, _, name = self.make.partition(":")
        try:
            function = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError, TypeError, ValueError) as error:
            raise InvalidValueError(
                f"{self.make} cannot be imported in another process ({error}); define it in a module that can"
            ) from error
        arguments = {
            key: value.build() if isinstance(value, Blueprint) else value for key, value in self.arguments.items()
        }
        return function(**arguments)

    def to_json(self) -> dict[str, Any]:
        """The blueprint as a JSON object."""
        arguments = {
            key: {_MAKE: value.to_json()} if isinstance(value, Blueprint) else {"value": value}
            for key, value in self.arguments.items()
        }
        return {_MAKE: self.make, "arguments": arguments}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Blueprint:
        """Read what `to_json` wrote."""
        arguments = {
            key: cls.from_json(item[_MAKE]) if _MAKE in item else item["value"]
            for key, item in document["arguments"].items()
        }
        return cls(document[_MAKE], arguments)
