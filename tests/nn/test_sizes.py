"""Lazy values: what they compute, when, and what they refuse."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from archwright.core.errors import SpaceError
from archwright.nn import Supernet
from archwright.nn.sizes import Lazy, current, flattened, largest, lazies_in, lazy_map, places


@pytest.fixture
def chooser() -> Supernet:
    return Supernet()


@pytest.fixture
def width(chooser: Supernet) -> Lazy:
    """Decision "width" of 4, 16 or 8, of which the second is the largest."""
    return chooser.number("width", [4, 16, 8])


def test_arithmetic_follows_the_active_value(chooser: Supernet, width: Lazy) -> None:
    """Sums, products and quotients, with numbers on either side and with each other."""
    depth = chooser.number("depth", [1, 2])
    sizes = [width + 1, 1 + width, width * 3, 3 * width, width // 3, width + depth, width * depth]
    chooser.selection.activate({"width": 8, "depth": 2})
    assert [current(size) for size in sizes] == [9, 9, 24, 24, 2, 10, 16]
    chooser.selection.activate({"width": 16, "depth": 1})
    assert [current(size) for size in sizes] == [17, 17, 48, 48, 5, 17, 16]


def test_the_largest_value_is_known_before_any_activation(chooser: Supernet, width: Lazy) -> None:
    """It is what weights are made for."""
    depth = chooser.number("depth", [1, 2])
    assert [largest(size) for size in (width, width + 1, width * depth, width // 3, 7)] == [16, 17, 32, 5, 7]


def test_a_function_that_is_not_monotone_states_its_largest(chooser: Supernet, width: Lazy) -> None:
    """32 - 2 width is 24, 0 or 16: the function of the largest width would be 0."""
    stated = chooser.map(lambda w: 32 - 2 * w, width, largest=24)
    assert largest(stated) == 24
    assert largest(chooser.map(lambda w: 32 - 2 * w, width)) == 0
    chooser.selection.activate({"width": 8})
    assert current(stated) == 16


def test_a_map_is_evaluated_once_an_activation(chooser: Supernet, width: Lazy) -> None:
    """Reading it again costs nothing; activating anew, even the same arch, evaluates it again."""
    calls: list[int] = []
    size = chooser.map(lambda w: calls.append(w) or w, width)
    calls.clear()  # the largest value was computed
    for value in (4, 4, 8):
        chooser.selection.activate({"width": value})
        assert [current(size), current(size), current(size + 1)] == [value, value, value + 1]
    assert calls == [4, 4, 8]


def test_a_result_knows_all_decisions_behind_it(chooser: Supernet, width: Lazy) -> None:
    """Through arithmetic and maps."""
    depth = chooser.number("depth", [1, 2])
    assert (chooser.map(max, width + 1, depth * 2)).decisions == {"width", "depth"}


def test_a_function_of_plain_numbers_is_applied_at_once() -> None:
    """As in a fixed network."""
    assert lazy_map(lambda a, b: a - b, 7, 2, largest_result=100) == 5


@pytest.mark.parametrize(
    "use",
    [
        lambda w: 1 if w else 2,
        lambda w: not w,
        int,
        float,
        range,
        lambda w: [10, 20][w],
        lambda w: w == 8,
        lambda w: w != 8,
        lambda w: w in (1, 2),
        lambda w: w < 8,
        lambda w: w > 8,
        lambda w: w <= 8,
        lambda w: w >= 8,
        lambda w: max(w, 8),
        list,
        lambda w: [*w],
        lambda w: w - 1,
        lambda w: 1 - w,
        lambda w: w / 2,
        lambda w: 64 // w,
        lambda w: w % 2,
        lambda w: w**2,
        lambda w: w * -1,
        lambda w: w // 0,
        lambda w: w // w,
    ],
)
def test_what_would_decide_by_one_value_is_refused(width: Lazy, use: Callable[[Any], object]) -> None:
    """Branching and conversion raise one line that names the decision and what to use instead."""
    with pytest.raises(SpaceError) as caught:
        use(width + 0)
    message = str(caught.value)
    assert "'width'" in message
    assert "choose.op, choose.repeat or choose.map" in message
    assert "\n" not in message


def test_reading_before_any_activation_is_refused(width: Lazy) -> None:
    """The decision is named, and what to call first."""
    with pytest.raises(SpaceError, match=r"'width' has no active value; call selection_of\(network\)\.activate"):
        current(width)


def test_a_copy_follows_the_copied_selection(chooser: Supernet, width: Lazy) -> None:
    """Copied together with its chooser, a size no longer heeds the original."""
    other_chooser, other = copy.deepcopy((chooser, width * 2))
    chooser.selection.activate({"width": 4})
    other_chooser.selection.activate({"width": 16})
    assert (current(width), current(other)) == (4, 32)


def test_a_flattened_image_of_full_size_is_one_slice(chooser: Supernet, width: Lazy) -> None:
    """The first channels lie together; plain axes give a plain number."""
    flat = flattened(width, 3, 2)
    chooser.selection.activate({"width": 4})
    assert (current(flat), places(flat)) == (24, (slice(0, 24),))
    assert (largest(flat), flat.decisions) == (largest(width) * 6, {"width"})
    assert flattened(4, 3, 2) == 24


def test_lazies_are_found_among_attributes(width: Lazy) -> None:
    """As an attribute itself, and in tuples, lists and dictionaries; plain values are passed over."""

    class Holder:
        def __init__(self) -> None:
            self.one, self.two, self.three, self.four = width, (3, width), [width], {"not": "here", "five": width}

    assert [id(lazy) for lazy in lazies_in(Holder())] == [id(width)] * 4
