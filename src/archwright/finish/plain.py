"""The plain baseline: a hand-written network as wide as a winner's limits allow, trained and tested like the winner.

Where it is better, the search was not worth its time. The task says which space it is of (`Task.plain_space`).
"""

from __future__ import annotations

import functools
import json
import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from archwright.core.arch import Arch
from archwright.core.errors import ArchwrightError, DivergedError, ExportError, UsageError, error_text
from archwright.core.objective import Objective
from archwright.costs.base import Cost
from archwright.costs.counted import Macs
from archwright.costs.counting.count import count
from archwright.costs.latency import MeasuredLatency
from archwright.finish.finalists import Trained, retrain
from archwright.finish.measuring import Latencies, Limits, measure_arch
from archwright.runs.run import Run
from archwright.search import SearchResult
from archwright.spaces.base import Space
from archwright.spaces.opening import open_space_for
from archwright.tasks.base import Task
from archwright.training.config import TrainingConfig

SWITCHED_OFF = "it was switched off (plain=false)"

MOST = 10
"""How many times the winner's multiply-accumulates a plain network has at most: loose limits shall not cost hours."""


@dataclass(frozen=True)
class Plain:
    """A plain network of a width that keeps the limits of a winner, while the next width breaks one.

    Attributes:
        space: Its space, whose one decision is the width.
        arch: The width.
        max_macs: The multiply-accumulates that the winner's allow.
        values: Its costs, as far as they are limited: counted, or measured.
        latency_ms: What its network takes, by backend, as far as a limit asked for it.
    """

    space: Space
    arch: Arch
    max_macs: float
    values: Mapping[str, float]
    latency_ms: Latencies


def open_plain(task: Task) -> Space | str:
    """The space of a task's plain networks, or the reason why there is none."""
    try:
        name = task.plain_space()
        if name is None:
            return f"there is no plain network for data of the form of {task.name!r}"
        space = _opened(task.name, name, json.dumps(task.space_args()))
        task.check_taken_by(space)
        n_decisions = len(space.decisions)
    except UsageError as error:
        return str(error)
    if n_decisions != 1:
        return f"space {space.name!r} has {n_decisions} decisions; one of plain networks has one, the width"
    return space


@functools.lru_cache(maxsize=4)
def _opened(data: str, name: str, args: str) -> Space:
    """One object for the estimate and for the run, because what was counted is kept with it."""
    return open_space_for(data, json.loads(args), name, {})


def choose_plain(
    run: Run, space: Space | str, search: SearchResult, winner_macs: float, *, label: str = ""
) -> Plain | str:
    """The widest network within a winner's limits, or the reason why there is none.

    Without a limit, it has at most the multiply-accumulates of the winner; with limits, at most `MOST` times as many. A
    latency is measured before the network is trained, as that of winners is.

    Args:
        run: Where it happens; it keeps what was measured.
        space: As of `open_plain`.
        search: Has the limits, and the costs that they name.
        winner_macs: Multiply-accumulates of the winner.
        label: Of the winner, in a run that has several.
    """
    if isinstance(space, str):
        return space
    constraints, costs = search.objective.constraints, {cost.name: cost for cost in search.costs}
    if names := elsewhere(search.objective, costs):
        return f"the limit on {names[0]} holds on another machine, whose table says nothing of plain networks"
    max_macs = winner_macs * (MOST if constraints else 1)
    limits = bounded({one.cost: one.limit for one in constraints}, max_macs)
    try:
        n = n_within(space, limits, costs)
    except Exception as error:  # of a user's own cost, or one that says nothing about such networks
        return f"its limits cannot be counted: {error if isinstance(error, ArchwrightError) else error_text(error)}"
    archs, found = space.decisions.archs(space.decisions.enumerate_rows()), dict[str, Latencies]()
    timed = [(one, cost) for one in constraints if isinstance(cost := costs[one.cost], MeasuredLatency)]
    if timed and n:
        try:
            found, n = _measured(run, space, archs[:n], timed, f"measure-plain{label}")
        except (UsageError, ExportError) as error:
            return f"its latency cannot be measured: {error}"
    arch = archs[max(0, n - 1)]
    latency_ms = found.get(space.code(arch), {})
    values = _counted(space, limits, costs, max(0, n - 1))
    values |= {one.cost: _median(latency_ms, cost) for one, cost in timed if latency_ms}
    if not n:
        broken = [
            f"{name} {value:,.10g} > {limits[name]:,.10g}" for name, value in values.items() if value > limits[name]
        ]
        return f"the smallest network of space {space.name!r} has {' and '.join(broken)}"
    return Plain(space, arch, max_macs, values, latency_ms)


def elsewhere(objective: Objective, costs: Mapping[str, Cost]) -> list[str]:
    """The limited latencies that can be told by a table of another machine alone, which has only the searched space."""
    limited = [costs[name] for name in objective.costs]
    return [cost.name for cost in limited if isinstance(cost, MeasuredLatency) and not cost.is_timed_here]


def bounded(limits: Mapping[str, float], max_macs: float) -> dict[str, float]:
    """Limits by cost with a further one on multiply-accumulates."""
    return {**limits, "macs": min(max_macs, limits.get("macs", math.inf))}


def n_within(space: Space, limits: Mapping[str, float], costs: Mapping[str, Cost]) -> int:
    """How many networks of a plain space, from the smallest on, keep the limits on all costs but measured ones.

    Args:
        space: Of plain networks.
        limits: By cost.
        costs: By name; multiply-accumulates need not be among them.
    """

    def breaks(i: int) -> bool:
        return any(value > limits[name] for name, value in _counted(space, limits, costs, i).items())

    return bisect_left(range(space.size()), True, key=breaks)


def plain_macs(space: Space, limits: Mapping[str, float], costs: Mapping[str, Cost]) -> float:
    """Multiply-accumulates of the widest network within limits that can be counted; 0 if there is none.

    Args:
        space: Of plain networks.
        limits: By cost.
        costs: By name; multiply-accumulates need not be among them.
    """
    n = n_within(space, limits, costs)
    return _counted(space, {"macs": math.inf}, {}, n - 1)["macs"] if n else 0.0


def _counted(space: Space, limits: Mapping[str, float], costs: Mapping[str, Cost], i: int) -> dict[str, float]:
    """Each limited cost of the i-th network that can be counted."""
    row = space.decisions.enumerate_rows()[i : i + 1]
    known = {"macs": Macs(), **costs}
    counted = [cost for name in limits if not isinstance(cost := known[name], MeasuredLatency)]
    return {cost.name: float(cost.cost_rows(space, row)[0]) for cost in counted}


def _measured(
    run: Run, space: Space, archs: Sequence[Arch], limits: Limits, phase: str
) -> tuple[dict[str, Latencies], int]:
    """What was measured, by code, and how many networks, from the smallest on, keep their latency limits."""
    for _, cost in limits:
        cost.check_fits(space)
    with run.phase(phase) as measuring:
        _, state = measuring.restore() or ({}, {"latency_ms": {}})
        found: dict[str, Latencies] = state["latency_ms"]

        def breaks(arch: Arch) -> bool:
            code = space.code(arch)
            if code not in found:
                found[code] = measure_arch(run, space, arch, limits)
                measuring.advance(len(found))
                measuring.checkpoint(state={"latency_ms": found})
            return any(_median(found[code], cost) > constraint.limit for constraint, cost in limits)

        n = bisect_left(archs, True, key=breaks)
        if not measuring.is_done:
            measuring.finish(state={"latency_ms": found})
    return found, n


def _median(latencies: Latencies, cost: MeasuredLatency) -> float:
    return float(latencies[cost.backend]["median"])


def train_plain(
    run: Run,
    plains: Mapping[str, Plain],
    task: Task,
    config: TrainingConfig,
    device: torch.device,
    trained: Trained,
) -> dict[str, str]:
    """Train networks from scratch by the final training of winners; equal ones are one network.

    Args:
        run: Where it happens; done phases are not repeated.
        plains: By role.
        task: Data and loss.
        config: Of the final training.
        device: Where.
        trained: Takes them in.

    Returns:
        Why one could not be trained, by role.
    """
    made: dict[Arch, tuple[nn.Module, int]] = {}
    failed = {}
    for role, plain in plains.items():
        space, arch = plain.space, plain.arch
        try:
            if arch not in made:
                network, _, attempts = retrain(run, space, arch, task, config, phase=f"retrain-{role}", device=device)
                made[arch] = network, attempts
            trained.networks[role], trained.attempts[role] = made[arch]
        except (DivergedError, torch.OutOfMemoryError) as error:  # the winner is trained already, and must not be lost
            failed[role] = f"the training of {space.name}:{space.code(arch)} failed: {error}"
            run.log(failed[role])
    return failed


def plain_record(
    plain: Plain, trained: Trained, role: str, objective: Objective, task: Task, *, test: float, winner_test: float
) -> dict[str, Any]:
    """What result.json says of a plain network.

    Args:
        plain: What was built.
        trained: Has it.
        role: By which it has it.
        objective: Has the limits.
        task: Its metric's direction says which score is better.
        test: Its score on the test part.
        winner_test: That of the winner.
    """
    space, values = plain.space, plain.values
    if not math.isfinite(test):
        return {"reason": f"{task.metric} of {space.name}:{space.code(plain.arch)} on the test part is {test}"}
    counted = count(trained.networks[role], space.signature)
    (width,) = plain.arch.values()
    return {
        "space": space.name,
        "arch": plain.arch.to_json(),
        "width": width,
        "provenance": "scratch",
        "attempts": trained.attempts[role],
        "max_macs": plain.max_macs,
        "test": test,
        "macs": counted.macs,
        "params": counted.params,
        **({"latency_ms": plain.latency_ms} if plain.latency_ms else {}),
        "constraints": [
            {"cost": c.cost, "limit": float(c.limit), "value": values[c.cost], "satisfied": values[c.cost] <= c.limit}
            for c in objective.constraints
        ],
        "beaten": winner_test > test if task.direction == "max" else winner_test < test,
    }
