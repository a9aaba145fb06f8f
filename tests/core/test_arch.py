"""Archs: equality, keys, JSON."""

from __future__ import annotations

import copy
import json

import pytest

from archwright.core.arch import Arch
from archwright.core.errors import InvalidArchError


def test_order_does_not_matter() -> None:
    """The same choices in another order are the same arch, with one hash and one key."""
    one, other = Arch({"a": 1, "b": "x"}), Arch({"b": "x", "a": 1})
    assert one == other
    assert hash(one) == hash(other)
    assert one.key == other.key == '{"a":1,"b":"x"}'


@pytest.mark.parametrize("other", [{"a": 2}, {"b": 1}, {"a": 1, "b": 1}, {}])
def test_other_choices_are_another_arch(other: dict[str, int]) -> None:
    """A different value, name or number of decisions makes a different arch."""
    assert Arch({"a": 1}) != Arch(other)


def test_json_round_trip() -> None:
    """Strings, numbers and subsets come back as they were, through real JSON text."""
    arch = Arch({"op": "conv", "width": 16, "ratio": 0.5, "inputs": (0, 2)})
    assert Arch.from_json(json.loads(json.dumps(arch.to_json()))) == arch


def test_copies_are_equal() -> None:
    """An arch survives copy.deepcopy, which copies supernets that hold one."""
    arch = Arch({"op": "conv"})
    assert copy.deepcopy(arch) == arch


def test_values_made_later_are_made_once() -> None:
    """When first asked for; until then an arch of many drawn costs next to nothing."""
    made = []
    arch = Arch.later(lambda: made.append("now") or {"op": "conv"})
    assert made == []
    assert arch == Arch({"op": "conv"})
    assert copy.deepcopy(arch)["op"] == "conv"
    assert made == ["now"]


def test_later_changes_of_the_source_do_not_reach_it() -> None:
    """The mapping it was made of is copied."""
    values = {"a": 1}
    arch = Arch(values)
    values["a"] = 2
    assert arch["a"] == 1


@pytest.mark.parametrize(
    ("document", "named"),
    [([1], "list"), (None, "NoneType"), ({"a": True}, "True"), ({"a": None}, "None"), ({"a": [1, "x"]}, "[1, 'x']")],
)
def test_json_of_another_shape_is_refused(document: object, named: str) -> None:
    """The message shows what was found."""
    with pytest.raises(InvalidArchError) as caught:
        Arch.from_json(document)
    assert named in str(caught.value)
