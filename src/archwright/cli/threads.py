"""The number of threads of a run that was given none: the faster of one and all, tried on the run's own step."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Container
from typing import Any

PROBED_FROM_S = 20.0
"""Shorter runs take all threads: they are over before a wrong number costs much."""

SHARE, MOST_S = 0.03, 3.0
"""Of its estimated time a run is probed for, and the longest, in seconds."""


def is_given(*sources: Container[str]) -> bool:
    """Whether the number of threads is settled: in one of these by its name, or by OMP_NUM_THREADS."""
    from archwright.recipes.presets import told_threads

    return any("threads" in source for source in sources) or told_threads() is not None


def check_fits(work: Any) -> None:
    """Refuse a run whose largest training step does not fit into the memory that is free.

    Raises:
        InvalidValueError: Says how much it needs.
    """
    from archwright.training.memory import check_memory, free_bytes

    if work.memory is not None:
        what = f"a training step of {work.memory.batch_size:,} examples"
        check_memory(work.needed_bytes(), free_bytes(work.device), what)


def choose_threads(
    recipe: Any, config: Any, task: Any, *, given: bool, spent: Callable[[], float] = lambda: 0.0
) -> tuple[Any, list[str]]:
    """The config with the number of threads to run with, and the lines that say so and how long it will take.

    Args:
        recipe: Whose `workload(config, task)` says what a run computes.
        config: With the number that was given, or that of all cores.
        task: What to train for.
        given: The number is settled: by an option, a setting, the environment or the run to resume.
        spent: Seconds that this process took so far.

    Raises:
        InvalidValueError: If the time that the run was given is too short.
    """
    work = recipe.workload(config, task)
    check_fits(work)
    speed, time_s = work.glance(), getattr(config, "time_s", None)

    def lines(speed: Any, threads: int) -> list[str]:
        if time_s is None:
            said: list[str] = work.lines(speed, threads)
            return said
        from archwright.recipes.planning import plan_lines

        return plan_lines(work, speed, time_s, spent(), config.plan or {})

    estimate_s = time_s or work.seconds(speed)
    if given or config.threads == 1 or work.device.type != "cpu" or estimate_s < PROBED_FROM_S:
        return config, [*lines(speed, config.threads), *work.remark_lines()]
    from archwright.training.threads import fastest, probe_threads

    most = config.threads  # the step was just glanced at with all of them
    paces = probe_threads(work.training.step, (1, most), seconds=min(MOST_S, SHARE * estimate_s), warm=(most,))
    n = fastest(paces)
    other = paces[most if n == 1 else 1]
    rates = f"{paces[n].rate:.3g} steps a second against {other.rate:.3g}"
    said = f"threads    {n} of {most}: {rates} (--threads {n})"
    told = [*lines(work.at_pace(speed, paces[n]), n), said, *work.remark_lines()]
    return dataclasses.replace(config, threads=n), told
