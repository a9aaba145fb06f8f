"""Which decisions a network reads, by the word of its modules."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import nn

from archwright.nn.choice import Supernet
from archwright.nn.choice import reading as reading_module
from archwright.nn.choice.reading import decisions_read
from archwright.nn.elastic import Conv2d


class Holder(nn.Module):
    """Holds what it is given."""

    def __init__(self, held: Any) -> None:
        super().__init__()
        self.held = held


class Plain:
    """An object that holds something, and has a method."""

    def __init__(self, held: Any) -> None:
        self.held = held

    def ask(self) -> Any:
        return self.held


@pytest.fixture
def choose() -> Supernet:
    return Supernet()


def test_choices_and_lazy_values_speak_for_themselves(choose: Supernet) -> None:
    """An operation, a width within a result, and a lazy value deep in a container."""
    width = choose.number("width", [2, 4])
    body = choose.op("body", {"conv": lambda: Conv2d(3, width * 2, 1), "skip": nn.Identity})
    deep = Holder({"sizes": [(choose.number("deep", [1, 2]) + 1,)]})
    assert decisions_read(nn.Sequential(body, nn.Linear(3, 3), deep)) == {"body", "width", "deep"}
    assert decisions_read(nn.Linear(3, 3)) == frozenset()


@dataclass(frozen=True, slots=True)
class Slotted:
    """An object without a `__dict__`."""

    held: Any


HOLDERS = {
    "attribute": lambda s: s,
    "list": lambda s: [1, {"a": (s,)}],
    "object": Plain,
    "object with slots": Slotted,
    "method": lambda s: Plain(s).ask,
    "closure": lambda s: lambda: s,
    "default": lambda s: lambda given=s: given,
    "partial": lambda s: functools.partial(print, s),
    "module that is no child": lambda s: [Holder(s)],
    "chooser": lambda s: Plain(Plain(s)),
}


@pytest.mark.parametrize("how", HOLDERS)
def test_any_other_holder_of_the_selection_is_unknown(choose: Supernet, how: str) -> None:
    """Wherever it holds it; unless it says what it reads."""
    choose.number("width", [2, 4])
    network = nn.Sequential(nn.ReLU(), Holder(HOLDERS[how](choose.selection)))  # type: ignore[no-untyped-call]
    assert decisions_read(network) is None
    network[1].decisions_read = ["width"]  # type: ignore[assignment]
    assert decisions_read(network) == {"width"}
    network[1].decisions_read = ()  # type: ignore[assignment]
    assert decisions_read(network) == frozenset()


def test_a_hook_holds_what_its_function_holds(choose: Supernet) -> None:
    """It runs with the module, so it may follow the Selection too."""
    selection, network = choose.selection, nn.Sequential(nn.ReLU())
    network[0].register_forward_hook(lambda *_: print(selection) if False else None)
    assert decisions_read(network) is None


def test_the_chooser_holds_the_selection(choose: Supernet) -> None:
    """A module that keeps it may ask it anything."""
    assert decisions_read(Holder(choose)) is None


def test_circles_end_and_too_much_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """A list that holds itself is looked at once; a module that holds very much is given up."""
    circle: list[Any] = [torch.zeros(2), nn.Linear]
    circle.append(circle)
    assert decisions_read(Holder(circle)) == frozenset()
    monkeypatch.setattr(reading_module, "MAX_HELD", 50)
    assert decisions_read(Holder([[i] for i in range(100)])) is None


def test_a_function_that_waits_for_its_closure(choose: Supernet) -> None:
    """A cell that nothing was put into holds nothing."""

    def outer() -> Any:
        if not choose:
            later = 1
        return lambda: later

    assert decisions_read(Holder(outer())) == frozenset()
