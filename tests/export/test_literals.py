"""Python expressions as text: they give the same values again, laid out as ruff does."""

from __future__ import annotations

import ast
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archwright.export.literals import LINE_LENGTH, call, laid_out, literal, mapping, one_line, quoted, sequence

plain_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.lists(inner).map(tuple),
    max_leaves=10,
)


@given(plain_values)
def test_literal_gives_the_value_again(value: object) -> None:
    """Also in the form of several lines."""
    found = ast.literal_eval(one_line(literal(value)))
    assert found == value
    assert type(found) is type(value)
    assert ast.literal_eval("\n".join(laid_out("", literal(value)))) == value


@given(st.text())
def test_quoted_text_is_one_printable_line(text: str) -> None:
    """Quotes, line breaks, control characters, lone surrogates: the file stays valid UTF-8 on a line."""
    found = quoted(text)
    assert ast.literal_eval(found) == text
    assert found.isprintable()
    assert found.encode("utf-8").decode("utf-8") == found


def test_infinity_and_one_item() -> None:
    """What repr does not give back."""
    assert eval(one_line(literal((math.inf,)))) == (math.inf,)
    assert math.isnan(eval(one_line(literal(math.nan))))


def test_what_is_not_plain_is_refused() -> None:
    """An object has no literal."""
    with pytest.raises(TypeError, match=r"<object object .* of type object is no plain value"):
        literal([object()])


def test_short_stays_on_one_line() -> None:
    """120 columns are allowed, 121 are not."""
    fits = call("f", ("", "x" * (LINE_LENGTH - 3)))
    assert laid_out("", fits) == [one_line(fits)]
    assert laid_out("", fits, suffix=",") == ["f(", "    " + "x" * (LINE_LENGTH - 3) + ",", "),"]


def test_long_is_one_item_a_line() -> None:
    """Brackets inside are kept together where they fit; each item ends with a comma."""
    inner = mapping({"a": "1", "b": sequence(["2", "3"])})
    node = call("function", ("", "x" * 110), ("inner=", inner), ("none=", sequence([])))
    assert laid_out("return ", node, indent=4) == [
        "    return function(",
        f"        {'x' * 110},",
        '        inner={"a": 1, "b": [2, 3]},',
        "        none=[],",
        "    )",
    ]
