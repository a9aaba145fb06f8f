"""How trials are compared: by a metric with its direction, costs, and limits on them."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from archwright.core.text import beginning
from archwright.reports.text import is_number

MAX_CODE = 60
"""Most letters of an architecture's code beside a point."""

Document = Mapping[str, Any]
Trials = Sequence[Document]


@dataclass(frozen=True)
class Measure:
    """A run's metric and limits.

    Attributes:
        metric: Name of the metric.
        direction: "max" or "min".
        limits: Upper limits by cost.
    """

    metric: str = "top1_accuracy"
    direction: str = "max"
    limits: Mapping[str, float] = field(default_factory=dict)

    def minimised(self, value: float) -> float:
        """The value as a number of which less is better: negated if the metric is maximised."""
        return -value if self.direction == "max" else value

    def score(self, trial: Document) -> float | None:
        """The metric of a complete trial; None if it failed or lacks the metric."""
        value = part(trial, "metrics").get(self.metric)
        return float(value) if trial.get("status") == "complete" and is_number(value) else None

    def is_within_limits(self, trial: Document) -> bool:
        """Whether every limited cost is known and kept."""
        found = {name: cost(trial, name) for name in self.limits}
        return all(value is not None and value <= self.limits[name] for name, value in found.items())


def measure_of(result: Document, run: Document) -> Measure:
    """The measure of a run, from its result or, if there is none yet, from its configuration."""
    limits = {
        str(one.get("cost")): float(one["limit"]) for one in parts(result, "constraints") if is_number(one.get("limit"))
    }
    if not result:
        limits = _configured_limits(part(run, "config").get("limits"))
    goal = result if "metric" in result else part(run, "config")
    return Measure(str(goal.get("metric", "top1_accuracy")), str(goal.get("direction", "max")), limits)


def search_measure_of(result: Document, run: Document) -> Measure:
    """As `measure_of`, of the metric that the search went by, which may be another than the one that is tested."""
    measure = measure_of(result, run)
    if "search_metric" not in result:
        return measure
    direction = str(result.get("search_direction", measure.direction))
    return replace(measure, metric=str(result["search_metric"]), direction=direction)


def part(document: Document, key: str) -> Document:
    """The mapping under that key; empty if there is none."""
    found = document.get(key)
    return found if isinstance(found, Mapping) else {}


def parts(document: Document, key: str) -> list[Document]:
    """The mappings in the list under that key; other items are ignored."""
    return [one for one in sequence(document.get(key)) if isinstance(one, Mapping)]


def sequence(found: Any) -> Sequence[Any]:
    """The value if it is a list, else an empty list, because a file may contain anything."""
    return found if isinstance(found, list | tuple) else ()


def command_text(run: Document) -> str:
    """The command that started a run, as typed in a shell."""
    command = sequence(run.get("command"))
    return shlex.join(map(str, command)) if command else "started from Python"


def versions_text(run: Document) -> str:
    """A text with the versions that a run's result depends on."""
    return ", ".join(f"{name} {version}" for name, version in part(run, "versions").items())


def cost(trial: Document, name: str) -> float | None:
    """A cost of a trial by name; None if the trial has no finite number for it."""
    value = part(trial, "costs").get(name)
    return float(value) if is_number(value) else None


def code_of(trial: Document) -> str | None:
    """The code of a trial's architecture, short enough for thousands of points; None where it is not known."""
    code = trial.get("code")
    return beginning(code, MAX_CODE) if isinstance(code, str) else None


def cost_names(trials: Trials, measure: Measure) -> list[str]:
    """Names of the costs that at least one trial has, the limited ones first."""
    found = dict.fromkeys(
        str(name) for trial in trials for name, value in part(trial, "costs").items() if is_number(value)
    )
    return [
        *(name for name in measure.limits if name in found),
        *(name for name in found if name not in measure.limits),
    ]


def _configured_limits(found: Any) -> dict[str, float]:
    pairs = found if isinstance(found, list | tuple) else ()
    return {
        str(pair[0]): float(pair[1])
        for pair in pairs
        if isinstance(pair, list | tuple) and len(pair) == 2 and is_number(pair[1])
    }
