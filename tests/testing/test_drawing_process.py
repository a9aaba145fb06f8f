"""Charts drawn by a process that goes on."""

from __future__ import annotations

import inspect

import pytest

from archwright.reports import vega
from archwright.reports.vega import draw
from archwright.testing.drawing import one_drawing_process

SPEC = {"data": {"values": [{"x": 1}, {"x": 3}]}, "mark": "point", "encoding": {"x": {"field": "x"}}}


CLIPPED = {**SPEC, "mark": {"type": "line", "clip": True}}
"""Whose picture numbers its clip paths, and goes on counting from page to page."""


def test_charts_are_those_of_a_process_of_their_own() -> None:
    """The first and the second page; afterwards all is as before."""
    before = vega._work
    asked = {"specs": [SPEC, CLIPPED, CLIPPED], "with_script": False}
    with one_drawing_process():
        drawn = [vega._work(asked) for _ in range(2)]
    assert drawn == [inspect.unwrap(before)(asked)] * 2
    assert vega._work is before


def test_a_refusal_is_told_as_always() -> None:
    """And the process draws on."""
    with one_drawing_process():
        assert draw([{"mark": "no such mark"}]).failure.startswith("a chart was refused: ")
        assert len(draw([SPEC]).svgs) == 1


def test_one_process_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which is begun once."""
    begun = []
    begin = vega.subprocess.Popen
    monkeypatch.setattr(vega.subprocess, "Popen", lambda *a, **o: begun.append(a) or begin(*a, **o))
    with one_drawing_process():
        assert draw([SPEC]) == draw([SPEC])
    assert len(begun) == 1
