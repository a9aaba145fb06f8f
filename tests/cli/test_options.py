"""What the text of shared options means."""

from __future__ import annotations

import pytest

from archwright.cli.options import parse_assignments, parse_count, parse_goals, parse_limits, parse_shape
from archwright.core.errors import InvalidValueError, UnknownNameError


@pytest.mark.parametrize(("text", "shape"), [("3x224x224", (3, 224, 224)), ("1x8x8", (1, 8, 8)), ("64", (64,))])
def test_shape(text: str, shape: tuple[int, ...]) -> None:
    """Sides between x, channels first."""
    assert parse_shape(text) == shape


@pytest.mark.parametrize("text", ["", "x", "3x", "3x0x8", "3,8,8", "-3x8x8", "3x8x8x", "٣x8x8", "1x99999999"])
def test_no_shape(text: str) -> None:
    """Refused with an example."""
    with pytest.raises(InvalidValueError, match="3x224x224"):
        parse_shape(text)


def test_count() -> None:
    """Written for people or plainly."""
    assert [parse_count("--n", text) for text in ("7", "50k", "1.5k", "1e3")] == [7, 50_000, 1500, 1000]


@pytest.mark.parametrize("text", ["0", "-1", "2.5", "many", ""])
def test_no_count(text: str) -> None:
    """Nothing below 1, no fraction."""
    with pytest.raises(InvalidValueError, match=r"--n is .*; give a positive whole number"):
        parse_count("--n", text)


def test_value_may_hold_an_equals_sign() -> None:
    """Only the first one parts name and value."""
    assert parse_assignments("--set", ["a=b=c", " d = "]) == {"a": "b=c", "d": ""}


def test_limits_keep_their_order_and_take_either_spelling() -> None:
    """Costs are named with underscores inside; short forms follow --limit."""
    assert parse_limits(["Model-Size-Bytes=52428"], macs="1.5G", params=None) == (
        ("model_size_bytes", 52428.0),
        ("macs", 1.5e9),
    )


def test_a_list_of_limits_is_several_on_one_cost() -> None:
    """The others hold for every winner; two lists would ask for a grid of winners."""
    assert parse_limits([], macs="2M,5M", params="1k") == (("macs", 2e6), ("macs", 5e6), ("params", 1e3))
    with pytest.raises(InvalidValueError, match="on macs is '2M,'; give a number before and after each comma"):
        parse_limits([], macs="2M,")
    with pytest.raises(InvalidValueError, match="the limits on macs and params are lists; give several values to one"):
        parse_limits([], macs="2M,5M", params="1k,2k")


def test_goals_are_costs_by_name() -> None:
    """In either spelling, each once."""
    assert parse_goals(["Latency-ms.torch", "memory_access_bytes"]) == ("latency_ms.torch", "memory_access_bytes")
    with pytest.raises(InvalidValueError, match="--goal names macs twice"):
        parse_goals(["macs", "MACs"])
    with pytest.raises(UnknownNameError, match="unknown cost 'mcas'"):
        parse_goals(["mcas"])


@pytest.mark.parametrize("text", ["macs=", "macs=inf", "macs=nan", "macs=1e999", "macs=abc", "=5"])
def test_no_limit(text: str) -> None:
    """Only a positive finite number limits."""
    with pytest.raises(InvalidValueError, match="limit"):
        parse_limits([text])
