"""Runs of a given length: the plan that is told before the start, and the lengths that are chosen on the way."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from archwright.core.errors import InvalidValueError
from archwright.recipes.presets import MAX_SECONDS, duration
from archwright.recipes.workload import Item, Speed, Workload
from archwright.runs.lengths import Lengths, Part, Planned, grown, growth_of
from archwright.runs.run import Run

AFTER_S = 10.0
"""Seconds a winner takes after its training: exports, checks, latency, pages."""

LEAST_STEPS, LEAST_TRIALS = 20, 4
"""Of a training and of a search: shorter ones find nothing."""

_TIME = re.compile(r"(?:([0-9]+(?:\.[0-9]+)?)h)?(?:([0-9]+(?:\.[0-9]+)?)m)?(?:([0-9]+(?:\.[0-9]+)?)s?)?")


def parse_time(text: str, field: str = "--time") -> float:
    """Seconds of a text like `15m`, `1h30m`, `90s` or `90`.

    >>> parse_time("15m"), parse_time("1h30m"), parse_time("90")
    (900.0, 5400.0, 90.0)

    Raises:
        InvalidValueError: If it is no such text, or no time above 0.
    """
    found = _TIME.fullmatch(text.strip().lower())
    seconds = sum(float(n) * unit for n, unit in zip(found.groups(), (3600, 60, 1), strict=True) if n) if found else 0.0
    if not 0 < seconds <= MAX_SECONDS:
        raise InvalidValueError(f"{field} is {text!r}; give a time like 15m, 90s or 1h30m")
    return seconds


def reserve_s(work: Workload, speed: Speed) -> float:
    """Seconds to keep for what has no length of its own: the test, each winner's files, what follows from parts."""
    passed_s = speed.passed_s or speed.trained_s / 3  # where no pass was timed
    following_s = sum(item.load.seconds(speed) for item in work.parts if not item.name)
    return AFTER_S * work.n_winners + work.n_tested * passed_s + following_s


def lengths_of(run: Run, config: Any, work: Callable[[], Workload]) -> Lengths:
    """The lengths of a run: those of its settings, of another run's plan, or chosen to fill a time.

    Args:
        run: Begun.
        config: Its settings, with `time_s` and `plan`.
        work: Says what it computes; called where a length has to be chosen.
    """
    if config.time_s is None and not config.plan:
        return Lengths()

    def measure() -> tuple[list[Part], float]:
        found = work()
        speed = found.glance()
        parts = [
            Part(
                item.name,
                item.length,
                item.load.seconds(speed) / item.length,
                least_of(item),
                item.phases,
                item.only_scores,
            )
            for item in found.parts
            if item.name
        ]
        return parts, reserve_s(found, speed)

    return Planned(run, config.time_s, measure, chosen=config.plan)


def least_of(item: Item) -> int:
    """The shortest length of a part."""
    return LEAST_TRIALS if item.is_search else LEAST_STEPS


def plan_lines(work: Workload, speed: Speed, time_s: float, spent_s: float, plan: Mapping[str, int]) -> list[str]:
    """How a time will be shared, to be told before the start.

    Args:
        work: What the run computes at its usual lengths.
        speed: Of this machine.
        time_s: In all.
        spent_s: Already.
        plan: Lengths that are settled, by part.

    Raises:
        InvalidValueError: If the time is too short for the shortest parts; says what is needed.
    """
    planned = [item for item in work.parts if item.name]
    fixed_s = spent_s + reserve_s(work, speed)
    least_s = fixed_s + sum(item.load.seconds(speed) * least_of(item) / item.length for item in planned)
    if time_s < least_s:
        raise InvalidValueError(
            f"--time is {duration(time_s)}; a few evaluations, short trainings and the files take about "
            f"{duration(1.2 * least_s)} here; give at least that"
        )
    growth = growth_of([(item.load.seconds(speed), item.only_scores) for item in planned], time_s - fixed_s)
    lines = [f"plan       {duration(time_s)} in all; the length of each part is chosen when it begins"]
    for item in planned:
        n = plan.get(item.name, max(least_of(item), int(grown(item.length, growth, by_root=item.only_scores))))
        seconds = item.load.seconds(speed) * n / item.length
        unit = "evaluations" if item.is_search else "steps"
        lines.append(f"  {duration(seconds):>9}  {item.name}, about {n:,} {unit}")
    return [*lines, f"  {duration(fixed_s):>9}  start, test, measuring, files"]
