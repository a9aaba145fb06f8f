"""Latency of finished networks: which trial keeps its latency limits when it is measured, and what the winner takes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from archwright.core.arch import Arch
from archwright.core.errors import error_text
from archwright.core.objective import Constraint, Objective
from archwright.core.trial import Trial, derive_seed
from archwright.costs.base import Cost
from archwright.costs.latency import BACKENDS, Latency, MeasuredLatency, measure_latency, time_onnx
from archwright.nn.inputs import Form
from archwright.runs.run import Run
from archwright.spaces.base import Space

MAX_MEASURED = 20
"""Architectures measured in search of one that keeps its limits; failing that, the one nearest to them is taken."""

Latencies = dict[str, dict[str, Any]]
"""As in result.json: `Latency.to_json` by backend."""

Limits = Sequence[tuple[Constraint, MeasuredLatency]]
"""Limits on latencies, each with its cost."""


@dataclass(frozen=True)
class Choice:
    """The winner among the trials, with what was measured to choose it.

    Attributes:
        trial: The winner.
        latency_ms: What its network takes, by backend, as far as a limit asked for it.
        passed_over: Better-scored trials that missed a limit when measured: number, cost, limit, predicted, value.
    """

    trial: Trial
    latency_ms: Latencies
    passed_over: list[dict[str, Any]]


def choose_measured(
    run: Run,
    space: Space,
    ranked: Sequence[Trial],
    constraints: Sequence[Constraint],
    costs: Sequence[Cost],
    *,
    phase: str = "measure",
) -> Choice:
    """The best-scored trial whose network keeps its latency limits when it is measured as a whole.

    Measured is the network before it is trained, since no latency here depends on the values of weights; so a
    trial that misses its limit costs no training. What is measured is kept with the phase: a resumed run takes the
    same trial. A limit by a table of another machine is left to what was predicted: no time of this one says anything
    about it.

    Args:
        run: Where it happens.
        space: Of stand-alone networks.
        ranked: Feasible trials by what was predicted, best first, at least one.
        constraints: All limits.
        costs: The limited costs.
        phase: Name of the phase that keeps what was measured.
    """
    measured = {cost.name: cost for cost in costs if isinstance(cost, MeasuredLatency) and cost.is_timed_here}
    limits = [(constraint, measured[constraint.cost]) for constraint in constraints if constraint.cost in measured]
    if not limits:
        return Choice(ranked[0], {}, [])
    first = list({trial.arch: trial for trial in reversed(ranked)}.values())[::-1][:MAX_MEASURED]
    with run.phase(phase) as measuring:
        _, state = measuring.restore() or ({}, {"latency_ms": {}})
        found: dict[str, Latencies] = state["latency_ms"]
        taken = next((t for t in first if str(t.number) in found and _keeps(t, found, limits)), None)
        for trial in () if measuring.is_done else first:
            if taken is not None:
                break
            if str(trial.number) not in found:
                found[str(trial.number)] = measure_arch(run, space, trial.arch, limits)
                measuring.advance(len(found))
                measuring.checkpoint(state={"latency_ms": found})
            taken = trial if _keeps(trial, found, limits) else None
        if not measuring.is_done:
            measuring.finish(state={"latency_ms": found})
    taken = taken or min(first, key=lambda trial: max(ratio for *_, ratio in _ratios(trial, found, limits)))
    ahead = first[: first.index(taken)]
    return Choice(taken, found[str(taken.number)], [one for trial in ahead for one in _misses(trial, found, limits)])


def measure_arch(run: Run, space: Space, arch: Arch, limits: Limits) -> Latencies:
    """Latency of the network of an arch, which is not trained yet, by each backend that limits ask for.

    Args:
        run: Its seed gives the weights.
        space: The space of stand-alone networks.
        arch: A member of it.
        limits: Those on latency.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(run.seed, "measured weights"))
        network = space.build(arch)
    backends = dict.fromkeys(cost.backend for _, cost in limits)
    return {b: measure_latency(network, space.signature, backend=b, use=space.use).to_json() for b in backends}


def _ratios(trial: Trial, found: Mapping[str, Latencies], limits: Limits) -> Iterator[tuple[Constraint, float, float]]:
    """Each limit with the measured value and its ratio to the limit."""
    for constraint, cost in limits:
        value = float(found[str(trial.number)][cost.backend]["median"])
        yield constraint, value, value / constraint.limit


def _keeps(trial: Trial, found: Mapping[str, Latencies], limits: Limits) -> bool:
    return all(ratio <= 1 for *_, ratio in _ratios(trial, found, limits))


def _misses(trial: Trial, found: Mapping[str, Latencies], limits: Limits) -> list[dict[str, Any]]:
    return [
        {
            "arch": trial.arch.to_json(),
            "cost": constraint.cost,
            "limit": constraint.limit,
            "predicted": float(trial.costs[constraint.cost]),
            "value": value,
        }
        for constraint, value, ratio in _ratios(trial, found, limits)
        if ratio > 1
    ]


def measure_winner(
    run: Run,
    network: nn.Module,
    space: Space,
    known: Latencies,
    onnx_file: Path | None,
    *,
    label: str = "",
) -> Latencies:
    """Latency of the winner by every backend, each measured once in a run.

    Args:
        run: Where it happens.
        network: The winner.
        space: Its space.
        known: What was measured already.
        onnx_file: Its export; where there is none, ONNX Runtime is left out unless known. So it is where one pass of
            the file is not one use of the network.
        label: Of the winner, in a run that has several.
    """
    ways: dict[str, Callable[[], Latency]] = {}
    if onnx_file is not None and space.runs_once:
        ways["onnxruntime"] = lambda: time_onnx(onnx_file, space.signature)
    ways["torch"] = lambda: measure_latency(network, space.signature, backend="torch", use=space.use)
    with run.phase(f"latency{label}", total=len(BACKENDS)) as phase:
        if not phase.is_done:
            found = dict(known)
            for done, (backend, measure) in enumerate(ways.items(), start=1):
                if backend not in found:
                    try:
                        found[backend] = measure().to_json()
                    except Exception as error:  # nothing that was trained is lost for a figure
                        run.log(f"the latency in {backend} is not measured: {error_text(error)}")
                phase.advance(done)
            phase.finish(state={"latency_ms": {backend: found[backend] for backend in BACKENDS if backend in found}})
        result: Latencies = phase.result["latency_ms"]
    return result


# ── what is said of it ────────────────────────────────────────────────────────────────────────────


def limit_values(
    objective: Objective,
    costs: Sequence[Cost],
    network: nn.Module,
    input_shape: Form,
    latency_ms: Latencies,
    predicted: Mapping[str, float],
) -> dict[str, float]:
    """Each limited cost of a finished network: latency as it was measured, anything else counted on the network.

    Latency on another machine is what its table says.

    Args:
        objective: Says which costs are limited.
        costs: Costs, these among them.
        network: The network.
        input_shape: Shape of one input without the batch, or a signature.
        latency_ms: What was measured of this network, by backend.
        predicted: Its costs in the search, by name.
    """
    by_name = {cost.name: cost for cost in costs}

    def value(cost: Cost) -> float:
        if isinstance(cost, MeasuredLatency):
            return float(latency_ms[cost.backend]["median"] if cost.is_timed_here else predicted[cost.name])
        return cost.cost_module(network, input_shape)

    return {name: value(by_name[name]) for name in objective.costs}


def satisfaction(objective: Objective, trial: Trial, values: Mapping[str, float]) -> list[dict[str, Any]]:
    """Each limit with the predicted cost, the cost of the finished network, and whether that keeps the limit.

    Args:
        objective: Has the limits.
        trial: Has the predicted costs.
        values: Costs of the finished network by name.
    """
    return [
        {
            "cost": constraint.cost,
            "limit": float(constraint.limit),
            "predicted": float(trial.costs[constraint.cost]),
            "value": values[constraint.cost],
            "satisfied": bool(values[constraint.cost] <= constraint.limit),
        }
        for constraint in objective.constraints
    ]


def limit_line(limit: Mapping[str, Any]) -> str:
    """One line about a limit of a result's record; with the prediction where it was not exact."""
    word = "kept" if limit["satisfied"] else "MISSED"
    is_exact = limit.get("predicted", limit["value"]) == limit["value"]
    value = f"{limit['value']:,.10g}" if is_exact else f"{limit['value']:.4g} (predicted {limit['predicted']:.4g})"
    return f"limit      {limit['cost']} <= {limit['limit']:,.10g}: {word} with {value}"


def latency_lines(record: Mapping[str, Any]) -> list[str]:
    """Lines about the winner's latency and the trials that missed a limit on it; none where that is not known."""
    taken = [f"{latency['median']:.4g} ms in {backend}" for backend, latency in record.get("latency_ms", {}).items()]
    kinds = {"perplexity": "one text", "top1_accuracy": "one image"}
    one = kinds.get(str(record.get("metric", "top1_accuracy")), "one input")
    lines = [f"latency    {', '.join(taken)} ({one}, one thread, median)"] if taken else []
    n = len({json.dumps(one["arch"]) for one in record.get("passed_over", ())})
    if n:
        plural = "s" if n > 1 else ""
        lines.append(f"           passed over: {n} better-scored network{plural} that missed a limit when measured")
    return lines
