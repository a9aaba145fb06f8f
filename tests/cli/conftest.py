"""What tests of commands share: a recipe that needs no torch, known to the catalogue for one test."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from archwright.core import catalog
from archwright.core.config import added_field, to_json
from archwright.core.errors import InvalidValueError


@dataclass(frozen=True)
class ToyTraining:
    steps: int = 100
    rate: float = 0.5


@dataclass(frozen=True)
class ToyConfig:
    space: str = "toy"
    limits: tuple[tuple[str, float], ...] = ()
    seed: int = 0
    threads: int = 1
    device: str = "cpu"
    training: ToyTraining = field(default_factory=ToyTraining)
    later: bool = added_field(True, absent=False)

    @classmethod
    def preset(cls, name: str, input_shape: tuple[int, ...]) -> ToyConfig:
        steps = {"smoke": 2, "quick": 200, "paper": 150_000}
        if name not in steps:
            raise InvalidValueError(f"preset is {name!r}; choose one of smoke, quick, paper")
        return cls(training=ToyTraining(steps=steps[name] * input_shape[0]))


@dataclass
class Toy:
    """A recipe that records its calls and then does what the test wants."""

    config: type[ToyConfig] = ToyConfig
    act: Callable[[], object] = lambda: None
    seconds: float = 1.0
    calls: list[dict[str, Any]] = field(default_factory=list)

    def __call__(
        self,
        config: ToyConfig,
        task: Any,
        *,
        out: Path,
        resume: bool,
        progress: Any,
        spent_s: float,
        runner: Any = None,
    ) -> Any:
        assert spent_s > 0

        data = {"data": task.name, "task_seed": task.seed, "data_options": task.options}
        self.calls.append({"config": config, **data, "out": out, "resume": resume, "runner": runner})
        out.mkdir(parents=True, exist_ok=True)
        record = {
            **{"format": 1, "recipe": "toy", "seed": config.seed, "threads": config.threads, "versions": {}},
            "config": {"recipe": "toy", "data": task.name, "data_options": task.options, **to_json(config)},
        }
        (out / "run.json").write_text(json.dumps(record))
        self.act()
        (out / "result.json").write_text("{}")
        return SimpleNamespace(summary=lambda: ["test accuracy 0.98", f"everything is in {out}"])

    def workload(self, config: ToyConfig, task: Any) -> Any:
        lines = [f"{config.training.steps} steps on {task.name}"]
        return SimpleNamespace(
            glance=lambda: None,
            seconds=lambda speed: self.seconds,
            lines=lambda speed, threads=None: lines,
            remark_lines=list,
            at_pace=lambda speed, pace: speed,
            memory=None,
            training=SimpleNamespace(step=lambda i: None),
            device=SimpleNamespace(type=config.device),
        )


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Toy:
    """The recipe "toy" on any dataset name; the working folder is the test's own."""
    recipe = Toy()
    module, tasks = ModuleType("archwright_toys"), ModuleType("archwright.tasks.opening")
    module.__dict__["toy"] = recipe
    tasks.__dict__["open_task"] = lambda spec, seed=0, **options: SimpleNamespace(
        name=spec, seed=seed, input_shape=(1, 8, 8), options=options, default_augment=(), remarks=()
    )
    tasks.__dict__["smoke_options"] = lambda spec: {}
    monkeypatch.setitem(sys.modules, "archwright_toys", module)
    monkeypatch.setitem(sys.modules, "archwright.tasks.opening", tasks)
    known = (catalog.Entry("toy", "recipe", "a toy", "", "archwright_toys:toy"),)
    monkeypatch.setattr(catalog, "entries", lambda kind=None: known if kind in (None, "recipe") else ())
    monkeypatch.chdir(tmp_path)
    return recipe
