"""Times on the command line, and the plan that is told before a run."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from archwright.core.errors import InvalidValueError
from archwright.recipes.planning import parse_time, plan_lines
from archwright.recipes.workload import Item, Load, Speed, Workload
from archwright.training.timing import Timed

NOTHING = Timed(lambda i: None, 1)
WORK = Workload(
    NOTHING,
    NOTHING,
    [
        Item("supernet, 100 steps", Load(50), "supernet", 100, ("supernet",)),
        Item("search and baseline", Load(0, 20), "search", 10, ("search", "baseline"), is_search=True),
        Item("retraining", Load(40), "final training", 40, ("retrain",)),
    ],
    1,
    torch.device("cpu"),
)
SPEED = Speed(1.0, 0.5)
"""50, 10 and 40 s at the usual lengths; 10 s for the files."""


@pytest.mark.parametrize(
    ("text", "seconds"), [("15m", 900), ("90s", 90), ("90", 90), ("1h30m", 5400), ("2h", 7200), ("1.5h", 5400)]
)
def test_times(text: str, seconds: float) -> None:
    """In hours, minutes and seconds."""
    assert parse_time(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "-5m", "five", "5 m 3", "1d", "nan", "99999999h"])
def test_other_texts_are_refused(text: str) -> None:
    """One line with an example."""
    with pytest.raises(InvalidValueError, match=r"--time is .*; give a time like 15m, 90s or 1h30m"):
        parse_time(text)


def test_plan_is_told_part_by_part() -> None:
    """Of 215 s, 5 are spent and 10 kept: 200 s for what usually takes 100."""
    assert plan_lines(WORK, SPEED, 215.0, 5.0, {}) == [
        "plan       4 min in all; the length of each part is chosen when it begins",
        "      2 min  supernet, about 200 steps",
        "       20 s  search, about 20 evaluations",
        "       80 s  final training, about 80 steps",
        "       15 s  start, test, measuring, files",
    ]


def test_settled_lengths_are_told_as_they_are() -> None:
    """Of a run that goes on, or repeats another."""
    assert "  supernet, about 7 steps" in plan_lines(WORK, SPEED, 215.0, 5.0, {"supernet": 7})[1]


def test_too_short_a_time_is_refused() -> None:
    """20 steps, 4 evaluations and 20 steps take 34 s, the rest 15: told with a fifth more."""
    with pytest.raises(InvalidValueError, match=r"--time is 40 s; .* take about 59 s here; give at least that"):
        plan_lines(WORK, SPEED, 40.0, 5.0, {})


def test_what_has_no_length_of_its_own_takes_its_time() -> None:
    """A baseline that follows from the search, of 30 s: 185 s are left for what usually takes 100."""
    parts = [*WORK.parts, Item("baseline, 3 networks", Load(30))]
    lines = plan_lines(replace(WORK, parts=parts), SPEED, 230.0, 5.0, {})
    assert [line.split(", about ")[1] for line in lines[1:4]] == ["185 steps", "18 evaluations", "74 steps"]
    assert lines[4] == "       45 s  start, test, measuring, files"
