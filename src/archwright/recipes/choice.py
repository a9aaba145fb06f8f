"""What the recipe `auto` chose: a method with its whole configuration, why, and the command that repeats it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from archwright.core.config import settings_of
from archwright.finish import Result
from archwright.recipes.augmenting import settled
from archwright.recipes.base import SearchConfig
from archwright.recipes.recipe import Recipe
from archwright.recipes.variants import Variant, rounded, setting_text
from archwright.recipes.workload import Workload
from archwright.reports.next_steps import data_arguments
from archwright.reports.text import quantity
from archwright.runs.files import Json
from archwright.runs.status import CHOICE
from archwright.tasks.base import Task

FORMAT = 1
"""Of choice.json, in which a run's folder keeps the choice."""


@dataclass(frozen=True)
class Choice:
    """What was chosen, to be called like a recipe.

    Attributes:
        method: The recipe.
        config: Its whole configuration.
        task: The data, with the inputs that were chosen.
        reasons: A line each on the space, the method and the lengths; none where a begun run goes on.
        rows: What there was to choose from, as JSON.
        notes: What the figures leave out.
        lengths: The preset that the configuration began with.
    """

    method: Recipe[Any]
    config: SearchConfig
    task: Task
    reasons: tuple[str, ...] = ()
    rows: tuple[dict[str, Json], ...] = ()
    notes: tuple[str, ...] = ()
    lengths: str = "quick"

    def __call__(self, config: SearchConfig, task: Task, **options: Any) -> Result:
        """Run the method.

        Args:
            config: That of the choice; other threads are no other choice.
            task: The data.
            options: As a recipe takes them.
        """
        kept = {CHOICE: self.to_json(self.command(config, task))} if self.reasons else {}
        return self.method(config, task, documents=kept, **options)

    def workload(self, config: SearchConfig, task: Task) -> Workload:
        """What a run computes, as of a recipe."""
        return self.method.workload(config, task)

    def to_json(self, command: str) -> Json:
        """What choice.json holds.

        Args:
            command: That repeats the run without choosing.
        """
        return {
            "format": FORMAT,
            "spaces": list(self.rows),
            "reasons": list(self.reasons),
            "notes": list(self.notes),
            "command": command,
        }

    def lines(self) -> list[str]:
        """What is told before the run: what there was to choose from, and why."""
        if not self.reasons:
            return []
        width = max(len(_label(row)) for row in self.rows)
        told = [f"  {_label(row):{width}}  {_figures(row)}" for row in self.rows]
        return ["spaces", *told, *self.notes, *self.reasons]

    def same(self, config: SearchConfig, task: Task) -> list[str]:
        """The line with the command of the same run; none where a begun run goes on.

        Args:
            config: That of the choice, with the threads of the run.
            task: The data.
        """
        return [f"the same   {self.command(config, task)}"] if self.reasons else []

    def command(self, config: SearchConfig, task: Task) -> str:
        """The command of the same run, which chooses nothing, for a shell.

        Args:
            config: That of the choice, with the threads of the run.
            task: The data.
        """
        given, is_planned = config, config.time_s is not None or bool(config.plan)
        usual = self.method.config.preset(self.lengths, task.input_shape)
        usual = replace(usual, n_draws=0) if is_planned else usual
        words = ["archwright", "search", self.method.name, "--space", given.space]
        words += [word for name, value in given.space_args.items() for word in ("--space-set", _pair(name, value))]
        by_cost: dict[str, list[str]] = {}
        for cost, limit in given.limits:
            by_cost.setdefault(cost, []).append(setting_text(limit))
        words += [word for cost, values in by_cost.items() for word in ("--limit", f"{cost}={','.join(values)}")]
        words += [word for goal in given.goals for word in ("--goal", goal)]
        words += ["--preset", self.lengths] if self.lengths != "quick" else []
        words += ["--time", f"{setting_text(given.time_s)}s"] if given.time_s is not None else []
        words += ["--seed", str(given.seed), "--threads", str(given.threads)]
        words += ["--device", given.device] if given.device != usual.device else []
        told = {"space", "limits", "goals", "time_s", "seed", "threads", "device"}
        before, now = settings_of(settled(usual, task)), settings_of(settled(given, task))
        for name, value in now.items():
            if name in told or name.startswith("space_args") or value == before[name]:
                continue
            words += ["--set", _pair(name, value)]
        data = data_arguments({"dataset": task.name, "data_options": dict(task.options)})
        return f"{shlex.join(words)} --data {data}"


def _label(row: Mapping[str, Any]) -> str:
    return Variant(row["space"], row["settings"], row["input_shape"]).label


def _figures(row: Mapping[str, Any]) -> str:
    if row["reason"] is not None:
        return f"does not fit: {row['reason']}"
    said = f"{row['share']:6.1%} within the limits, mean {quantity(row['mean_macs'])} multiply-accumulates"
    epochs = row["winner_epochs"]
    return said if epochs is None else f"{said}, {rounded(epochs)} epochs"


def _pair(name: str, value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{name}={json.dumps(dict(value))}"
    return f"{name}={setting_text(value)}"
