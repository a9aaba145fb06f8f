"""Blueprints: what another process builds from their JSON is what this one would."""

from __future__ import annotations

import json
from typing import Any

import pytest

from archwright.core.blueprint import Blueprint
from archwright.core.errors import InvalidValueError


def pair(one: Any, other: Any = None) -> tuple[Any, Any]:
    return one, other


def test_arguments_are_built_first() -> None:
    """A blueprint within a blueprint, beside plain values."""
    inner = Blueprint("fractions:Fraction", {"numerator": 3, "denominator": 4})
    assert Blueprint(f"{__name__}:pair", {"one": inner, "other": [1, {"make": 2}]}).build() == (0.75, [1, {"make": 2}])


def test_json_and_back() -> None:
    """A plain value that looks like a blueprint stays one."""
    inner = Blueprint("fractions:Fraction", {"numerator": 3})
    blueprint = Blueprint("m:f", {"one": inner, "other": {"make": "m:g", "arguments": {}}})
    assert Blueprint.from_json(json.loads(json.dumps(blueprint.to_json()))) == blueprint


@pytest.mark.parametrize("make", ["no_such_module:f", "json:no_such_function", "", ":f", "..:f"])
def test_what_cannot_be_imported_is_named(make: str) -> None:
    """In one line."""
    with pytest.raises(InvalidValueError, match="cannot be imported in another process"):
        Blueprint(make).build()
