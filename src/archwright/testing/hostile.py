"""Hostile names and file contents: hypothesis strategies that make them, and a way to run many cases.

Any input from outside has to give a value or one of our errors:

    def check(content: bytes) -> None:
        path.write_bytes(content)
        only_our_errors(lambda: open_architecture(str(path)))

    run_cases(check, mutated_json({"format": 1, "space": "spos"}), n=25)

Needs hypothesis, which is part of the extra `dev`.
"""

from __future__ import annotations

import copy
import json
import os
import secrets
from collections.abc import Callable
from typing import Any, TypeVar

import hypothesis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from archwright.core.errors import ArchwrightError, UsageError

T = TypeVar("T")

N_QUICK = 25
"""Number of cases of each kind in a normal test run; the long run has thousands."""

SEED_VARIABLE = "ARCHWRIGHT_FUZZ_SEED"
"""Environment variable with the seed of a long run, to repeat it."""

NASTY_TEXTS = (
    *("", " ", "\0", "a\0b", "a\nb", "\r\n", "\t", "\x1b[2J\x1b[31mred", "\x07", "\x9b31m"),
    *("\u202eevil", "\u2066x\u2069", "\u200b", "\ufeff", "\ud800", "\udcff", "名前", "🙂", "e\u0301", "ﬁ"),
    *("..", "../..", "/", "/etc/passwd", "C:\\x", "~", ".", "con", "-", "--", "-o"),
    *("x" * 300, "x" * 5000, "[red]x[/red]", "{}", "{x}", "{0.__class__}", "%s", "$(id)", "`id`", "'; --"),
    *("<script>alert(1)</script>", "</script>", "</title>", '"><img src=x onerror=x>', "&lt;", "]]>", "<!--"),
    *("'''", '"""', "\\", "\\n", "'", '"', "\\x", "\\u", "\\N{DASH}", "#", "None", "true", "NaN", "inf", "1e999", "-1"),
)
"""Texts that often break programs: control, escape and direction characters, lone surrogates, paths, markup, quotes,
numbers."""

NASTY_NUMBERS = (
    *(
        0,
        1,
        -1,
        2,
        255,
        256,
        2**31 - 1,
        2**31,
        2**32,
        2**53 + 1,
        2**63 - 1,
        2**63,
        -(2**63) - 1,
        2**64,
        10**30,
        10**400,
    ),
    *(0.0, -0.0, 0.5, 1.0, 1.5, -1.5, 1e-320, 1e30, 1e300, 1.7e308, float("inf"), float("-inf"), float("nan")),
)


def texts() -> st.SearchStrategy[str]:
    """Texts of any characters, with lone surrogates, and the `NASTY_TEXTS`."""
    return st.sampled_from(NASTY_TEXTS) | st.text(max_size=20) | st.text(st.characters(), max_size=5)


def json_values() -> st.SearchStrategy[Any]:
    """Any value that Python's parser can read from JSON, including not-a-number and infinity."""
    leaves = st.none() | st.booleans() | st.sampled_from(NASTY_NUMBERS) | st.integers() | st.floats() | texts()
    return st.recursive(leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts(), inner, max_size=4))


@st.composite
def mutated(draw: st.DrawFn, document: Any, most: int = 3) -> Any:
    """A document with some changes: values replaced, keys removed, added or renamed, items repeated.

    Args:
        draw: Given by hypothesis.
        document: The JSON document to change; it stays as it is.
        most: Most changes; there is at least one.
    """
    changed = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, most))):
        changed = _edited(draw, changed)
    return changed


@st.composite
def mutated_bytes(draw: st.DrawFn, data: bytes, most: int = 4) -> bytes:
    """Bytes with some changes: cut off, flipped, overwritten, removed, inserted, repeated.

    Args:
        draw: Given by hypothesis.
        data: The bytes to change.
        most: Most changes; there is at least one.
    """
    changed = bytearray(data)
    for _ in range(draw(st.integers(1, most))):
        place = draw(st.integers(0, len(changed)))
        kind = draw(st.sampled_from(("cut", "flip", "set", "remove", "insert", "repeat")))
        if kind == "cut":
            del changed[place:]
        elif kind in ("flip", "set") and place < len(changed):
            bits = draw(st.integers(1, 255))
            changed[place] = changed[place] ^ bits if kind == "flip" else bits
        elif kind == "remove":
            del changed[place : place + draw(st.integers(1, 16))]
        elif kind == "insert":
            changed[place:place] = draw(st.binary(max_size=16))
        elif kind == "repeat":
            changed[place:place] = changed[place : place + draw(st.integers(1, 64))]
    return bytes(changed)


@st.composite
def mutated_json(draw: st.DrawFn, document: Any) -> bytes:
    """The bytes of a JSON file: mostly a changed document, sometimes damaged text or arbitrary bytes."""
    kind = draw(st.sampled_from(("changed",) * 6 + ("any", "damaged", "bytes", "deep")))
    if kind == "changed":
        return json.dumps(draw(mutated(document))).encode()
    if kind == "any":
        return json.dumps(draw(json_values())).encode()
    if kind == "damaged":
        return draw(mutated_bytes(json.dumps(document).encode()))
    if kind == "deep":
        return draw(st.sampled_from((b"[" * 100_000, b'{"a":' * 100_000, b"9" * 10_000, b"\xef\xbb\xbf{}", b'"\xff"')))
    return draw(st.binary(max_size=100))


def only_our_errors(call: Callable[[], T], *, before_start: bool = True) -> T | None:
    """The result of the call, or None if it raised one of our errors; its message must not be empty.

    Args:
        call: Reads something hostile.
        before_start: Whether the error has to be one that the user can correct before anything starts (exit code 2).
    """
    try:
        return call()
    except ArchwrightError as error:
        told = error
    assert str(told).strip()
    assert isinstance(told, UsageError) or not before_start, f"exit code {told.exit_code}: {told}"
    return None


def run_cases(check: Callable[[Any], None], strategy: st.SearchStrategy[Any], n: int, seed: int = 0) -> None:
    """Check n values of a hypothesis strategy; a failing value is reduced, and the error says the seed.

    Args:
        check: Raises if a value is handled wrongly.
        strategy: Makes the values.
        n: How many values.
        seed: Seed of the values.
    """

    @hypothesis.seed(seed)
    @settings(
        max_examples=n,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )
    @hypothesis.given(strategy)
    def case(value: Any) -> None:
        check(value)

    try:
        case()
    except BaseException as error:
        error.add_note(f"repeat it with {SEED_VARIABLE}={seed}")
        raise


def chosen_seed() -> int:
    """The seed in the environment variable `SEED_VARIABLE`, else a new one."""
    given = os.environ.get(SEED_VARIABLE, "")
    return int(given) if given else secrets.randbelow(2**32)


def _edited(draw: st.DrawFn, value: Any) -> Any:
    """The value with one change at some depth."""
    if isinstance(value, dict) and value and draw(st.integers(0, 9)):
        key = draw(st.sampled_from(sorted(value)))
        kind = draw(st.sampled_from(("inside",) * 5 + ("lose", "add", "rename")))
        if kind == "inside":
            return {**value, key: _edited(draw, value[key])}
        if kind == "add":
            return {**value, draw(texts()): draw(json_values())}
        rest = {name: inner for name, inner in value.items() if name != key}
        return rest if kind == "lose" else {**rest, draw(texts()): value[key]}
    if isinstance(value, list) and value and draw(st.integers(0, 9)):
        place = draw(st.integers(0, len(value) - 1))
        kind = draw(st.sampled_from(("inside",) * 5 + ("lose", "add", "repeat")))
        if kind == "inside":
            return [*value[:place], _edited(draw, value[place]), *value[place + 1 :]]
        if kind == "lose":
            return [*value[:place], *value[place + 1 :]]
        return [*value, value[place] if kind == "repeat" else draw(json_values())]
    return draw(json_values())
