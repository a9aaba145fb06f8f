"""The costs that a run limits or minimises: latency gets its table, given or measured at the start of the run."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from archwright.core.errors import InfeasibleError, InvalidValueError, RunError
from archwright.core.objective import Objective
from archwright.costs.base import Cost
from archwright.costs.latency import MeasuredLatency
from archwright.costs.profiling.profile import ProfileConfig, profile
from archwright.costs.tables.latencies import SpaceTable, open_space_table
from archwright.costs.uncounted import uncounted_work
from archwright.costs.watch import Watch, open_costs
from archwright.runs.files import read_regular
from archwright.runs.run import Run
from archwright.spaces.base import Space


def limited_costs(
    space: Space, objectives: Sequence[Objective], goals: Sequence[str] = (), latency_table: Path | str | None = None
) -> list[Cost]:
    """The costs that objectives limit or goals name; limits that need no measuring are known to be reachable.

    Args:
        space: What is searched.
        objectives: Their limits.
        goals: Costs to minimise.
        latency_table: A file of `archwright profile`; without it a latency that is limited has no table yet.

    Raises:
        UsageError: If a cost does not exist, a limit is out of reach, or the table does not fit.
    """
    costs = open_costs([*(cost for objective in objectives for cost in objective.costs), *goals])
    for cost in costs:
        if isinstance(cost, MeasuredLatency):
            cost.check_fits(space)
    if latency_table is not None:
        table = open_space_table(latency_table, space)
        costs = [type(c)(table) if isinstance(c, MeasuredLatency) and c.backend == table.backend else c for c in costs]
        if not any(isinstance(cost, MeasuredLatency) and cost.table is not None for cost in costs):
            raise InvalidValueError(
                f"latency_table {latency_table} holds latencies of {table.backend}, and no limit uses them; "
                "limit that latency, give a table of the limited one, or leave the table out"
            )
    _check_reachable(space, objectives, [cost for cost in costs if not _lacks_table(cost)])
    return costs


def check_counted(space: Space, objectives: Sequence[Objective], costs: Sequence[Cost], *, is_allowed: bool) -> str:
    """Refuse a limit on a cost that leaves out part of the work, unless that is allowed.

    Args:
        space: What is searched.
        objectives: Their limits.
        costs: What `limited_costs` gave.
        is_allowed: Whether the limit may hold for the rest of the work.

    Returns:
        A line that says what is not counted; empty where all is.

    Raises:
        InvalidValueError: Names the cost and the operations.
    """
    uncounted = ", ".join(uncounted_work(space))
    if not uncounted:
        return ""
    limited = {name for objective in objectives for name in objective.costs}
    for cost in costs:
        if cost.counts_work and cost.name in limited and not is_allowed:
            raise InvalidValueError(
                f"a limit on {cost.name} cannot be kept: no rule counts {uncounted}, which networks of space "
                f"{space.name!r} compute with; limit a latency, or limit the rest with --allow-uncounted "
                "(allow_uncounted=True)"
            )
    return f"no rule counts {uncounted}: multiply-accumulates of {space.name} leave that work out"


def table_digest(path: Path | str | None) -> dict[str, str]:
    """What identifies a table's content, for a run's config; empty without a table."""
    if path is None:
        return {}
    try:
        return {"latency_table_sha256": hashlib.sha256(read_regular(path)).hexdigest()}
    except (OSError, ValueError) as error:
        raise InvalidValueError(f"latency table {path} cannot be read: {error}") from None


def n_unmeasured(costs: Sequence[Cost]) -> int:
    """How many of these costs the run has to measure a table for."""
    return sum(map(_lacks_table, costs))


def with_tables(
    run: Run, space: Space, objectives: Sequence[Objective], costs: Sequence[Cost], config: ProfileConfig
) -> list[Cost]:
    """The same costs, each latency with a table: measured in a phase of the run and kept in its folder if need be.

    Args:
        run: Where it happens; a done phase is not repeated.
        space: What is searched.
        objectives: Their limits.
        costs: What `limited_costs` gave.
        config: How to measure; each latency has its own backend.

    Raises:
        RunError: If a latency limit turns out to be out of reach.
    """
    complete = [
        type(cost)(_profiled(run, space, cost, config))
        if isinstance(cost, MeasuredLatency) and cost.table is None
        else cost
        for cost in costs
    ]
    try:
        _check_reachable(space, objectives, [new for new, old in zip(complete, costs, strict=True) if new is not old])
    except InfeasibleError as error:
        raise RunError(str(error)) from None
    return complete


def _profiled(run: Run, space: Space, cost: MeasuredLatency, config: ProfileConfig) -> SpaceTable:
    file = f"{cost.name.replace('.', '_')}.json"
    with run.phase("profile" if cost.backend == "onnxruntime" else f"profile-{cost.backend}") as phase:
        if not phase.is_done:
            _, timed = phase.restore() or ({}, {})

            def advance(done: int, total: int) -> None:
                phase.total = total
                phase.advance(done)
                if phase.is_due:
                    phase.checkpoint(state=timed)

            table = profile(space, replace(config, backend=cost.backend), seed=run.seed, timed=timed, advance=advance)
            run.write_json(file, table.to_json())
            phase.finish(state=table.to_json())
    return SpaceTable.from_json(phase.result, file)


def _lacks_table(cost: Cost) -> bool:
    return isinstance(cost, MeasuredLatency) and cost.table is None


def _check_reachable(space: Space, objectives: Sequence[Objective], costs: Sequence[Cost]) -> None:
    names, watch = {cost.name for cost in costs}, Watch(space, costs)
    for objective in objectives:
        kept = tuple(constraint for constraint in objective.constraints if constraint.cost in names)
        watch.check_reachable(replace(objective, constraints=kept))
