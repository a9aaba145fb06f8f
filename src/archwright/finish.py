"""From a finished search to a network in hand: the same for every recipe, so that no recipe is kinder to itself.

The winner is retrained from scratch; random search at equal budget stands beside it, and a few random draws;
every network meets the test part once, after all choices are made; then the winner is exported.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from archwright.core.arch import Arch
from archwright.core.errors import InvalidValueError, RunFolderError
from archwright.core.trial import Trial, derive_seed
from archwright.costs.count import count
from archwright.costs.limits import Watch, open_costs
from archwright.costs.measuring import (
    Choice,
    Latencies,
    choose_measured,
    latency_lines,
    limit_line,
    limit_values,
    measure_winner,
    satisfaction,
)
from archwright.evaluators.from_scratch import train_network
from archwright.export.onnx import export_onnx, verify_onnx
from archwright.export.preprocessing import input_metadata
from archwright.export.weights import load_weights, save_weights
from archwright.reports.page import write_page
from archwright.runs.files import read_json
from archwright.runs.run import Run
from archwright.search import SearchResult, search
from archwright.spaces.base import Space
from archwright.spaces.opening import Architecture, arch_document, open_architecture
from archwright.strategies.base import draw_feasible
from archwright.strategies.random import Random
from archwright.tasks.base import Task
from archwright.training.checkpoint import load_network
from archwright.training.config import TrainingConfig
from archwright.training.evaluate import evaluate

RESULT_FORMAT = 1
EXPORT_FORMATS = {"onnx": "model.onnx", "safetensors": "model.safetensors"}


@dataclass(frozen=True)
class Result:
    """A finished run.

    Attributes:
        record: What result.json holds.
        space: The space of stand-alone networks.
        trials: Trials of the search; empty where a finished run was only opened again.
        folder: The run's folder, if it has one.
        network: The retrained winner.
    """

    record: dict[str, Any]
    space: Space
    network: nn.Module
    trials: tuple[Trial, ...] = ()
    folder: Path | None = None

    @property
    def arch(self) -> Arch:
        """The architecture found."""
        return Arch.from_json(self.record["arch"])

    def model(self) -> nn.Module:
        """The retrained network: a plain torch module in evaluation mode."""
        return self.network.eval()

    def summary(self) -> list[str]:
        """Lines that say what was found, how good it is, and where it lies."""
        return summary_lines(self.record, self.folder)


@dataclass(frozen=True)
class Finalist:
    """A network to retrain and test, and what it stands for."""

    role: str
    arch: Arch


def finish(
    run: Run,
    space: Space,
    found: SearchResult,
    task: Task,
    retrain: TrainingConfig,
    *,
    recipe: str,
    n_draws: int = 3,
    device: torch.device,
    curves: Mapping[str, Any] | None = None,
) -> Result:
    """Measure, retrain, compare, test once, export, report.

    The winner is the best trial within the limits; where a latency is limited, the best whose network keeps it when
    it is measured.

    Args:
        run: Where it happens; done phases are not repeated.
        space: The space of stand-alone networks.
        found: The search; its evaluator also scores the random baseline.
        task: Data and metrics. Retraining uses training and validation part together: nothing is chosen any more.
        retrain: Configuration of every retraining; all share one seed.
        recipe: Name of the recipe.
        n_draws: Random feasible architectures to retrain beside the winner.
        device: Where.
        curves: Loss curves of earlier trainings, for the page.
    """
    baseline = _random_baseline(run, space, found)
    choice = choose_measured(run, space, found.ranked, found.objective.constraints, found.costs)
    finalists = [Finalist("winner", choice.trial.arch), Finalist("baseline", baseline.best.arch)]
    finalists += [Finalist(f"draw{i}", arch) for i, arch in enumerate(_draws(run, space, found, n_draws))]
    networks, losses = _retrain(run, space, finalists, task, retrain, device)
    winner = networks["winner"]
    tested = _test_once(run, networks, task, device)
    exported = None if run.folder is None else _export(run, space, choice.trial.arch, winner, task)
    latency_ms = measure_winner(run, winner, space.input_shape, choice.latency_ms, exported)
    selected = _selected(space, found, choice, winner, latency_ms, tested["winner"], task.metric)
    record = _record(run, space, found, baseline, finalists, tested, task, recipe, selected)
    if run.folder is not None:
        record["ledger"] = run.ledger
        _write_page(run, space, record, found, baseline, {**(curves or {}), "retrained winner": losses})
    record["ledger"] = run.ledger
    run.finish(record)
    return Result(record, space, winner, found.trials, run.folder)


def _random_baseline(run: Run, space: Space, found: SearchResult) -> SearchResult:
    """Uniform archs under the same limits, as many as the method scored, by the same evaluator."""
    n_trials = len(found.trials)
    strategy = Random(space, n_trials=n_trials, seed=derive_seed(run.seed, "baseline"))
    with run.phase("baseline", total=n_trials) as phase:
        result = search(
            space,
            strategy,
            found.evaluator,
            found.objective,
            costs=found.costs,
            store=run.store("baseline"),
            phase=phase,
        )
        if not phase.is_done:
            phase.finish()
    return result


def _draws(run: Run, space: Space, found: SearchResult, n: int) -> list[Arch]:
    """Random feasible archs."""
    if n == 0:
        return []
    feasible = Watch(space, found.costs).feasible(found.objective)
    rng = np.random.default_rng(derive_seed(run.seed, "draws"))
    return space.decisions.archs(draw_feasible(space.decisions, feasible, n, rng))


def _retrain(
    run: Run, space: Space, finalists: Sequence[Finalist], task: Task, config: TrainingConfig, device: torch.device
) -> tuple[dict[str, nn.Module], Any]:
    """Each finalist's network by role, trained from scratch; an arch with two roles is trained once."""
    networks: dict[str, nn.Module] = {}
    by_arch: dict[Arch, nn.Module] = {}
    losses: Any = ()
    seed = derive_seed(run.seed, "retrain")
    n_steps = config.n_steps(task.split("train+validation").n)
    for finalist in finalists:
        if finalist.arch not in by_arch:
            with run.phase(f"retrain-{finalist.role}", total=n_steps) as phase:
                by_arch[finalist.arch], log = train_network(
                    space, finalist.arch, task, config, part="train+validation", seed=seed, device=device, phase=phase
                )
            losses = losses or log.curve
        networks[finalist.role] = by_arch[finalist.arch]
    return networks, losses


def _test_once(run: Run, networks: Mapping[str, nn.Module], task: Task, device: torch.device) -> dict[str, float]:
    """Test metric of each network; the test part is read here and nowhere else."""
    with run.phase("test", total=len({id(network) for network in networks.values()})) as phase:
        if not phase.is_done:
            scores: dict[int, float] = {}
            for network in networks.values():
                if id(network) not in scores:
                    scores[id(network)] = evaluate(network, task, "test", device=device)[task.metric]
                    phase.advance(len(scores))
            phase.finish(state={role: scores[id(network)] for role, network in networks.items()})
        tested: Any = phase.result
    return {role: float(score) for role, score in tested.items()}


def _selected(
    space: Space,
    found: SearchResult,
    choice: Choice,
    winner: nn.Module,
    latency_ms: Latencies,
    test: float,
    metric: str,
) -> dict[str, Any]:
    """What is said of the network that was taken."""
    counted = count(winner, space.input_shape)
    values = limit_values(found.objective, found.costs, winner, space.input_shape, latency_ms)
    return {
        "arch": choice.trial.arch.to_json(),
        "test": test,
        "validation": float(choice.trial.metrics[metric]),
        "params": counted.params,
        "macs": counted.macs,
        "memory_access_bytes": counted.memory_access_bytes,
        "latency_ms": latency_ms,
        "constraints": satisfaction(found.objective, choice.trial, values),
        "passed_over": choice.passed_over,
    }


def _record(
    run: Run,
    space: Space,
    found: SearchResult,
    baseline: SearchResult,
    finalists: Sequence[Finalist],
    tested: Mapping[str, float],
    task: Task,
    recipe: str,
    selected: Mapping[str, Any],
) -> dict[str, Any]:
    """What result.json holds, but for the ledger."""
    draws = [
        {"arch": finalist.arch.to_json(), "test": tested[finalist.role], "macs": _macs(space, finalist.arch)}
        for finalist in finalists
        if finalist.role.startswith("draw")
    ]
    return {
        "format": RESULT_FORMAT,
        "recipe": recipe,
        "space": space.name,
        "dataset": task.name,
        "seed": run.seed,
        "metric": task.metric,
        "direction": task.direction,
        **selected,
        "code": space.code(finalists[0].arch),
        "n_evaluated": len(found.trials),
        "random_baseline": {
            "arch": baseline.best.arch.to_json(),
            "test": tested["baseline"],
            "validation": float(baseline.best.metrics[task.metric]),
            "macs": _macs(space, baseline.best.arch),
            "n_evaluated": len(baseline.trials),
            "draws": draws,
        },
        "selected": [dict(selected)],
    }


def _macs(space: Space, arch: Arch) -> int:
    return int(open_costs(["macs"])[0].cost_rows(space, space.row(arch)[None])[0])


# ── files ─────────────────────────────────────────────────────────────────────────────────────────


def _export(run: Run, space: Space, arch: Arch, network: nn.Module, task: Task) -> Path:
    """best/: arch.json, model.safetensors, and model.onnx checked against torch, whose path is returned."""
    path = run.path("best/model.onnx")
    with run.phase("export", total=3) as phase:
        if phase.is_done:
            return path
        run.path("best").mkdir(exist_ok=True)
        metadata = input_metadata(task.class_names, task.preprocessing)
        run.write_json("best/arch.json", arch_document(space, arch))
        phase.advance(1)
        save_weights(network, run.path("best/model.safetensors"), metadata=metadata)
        phase.advance(2)
        export_onnx(network, space.input_shape, path, metadata=metadata)
        difference = verify_onnx(path, network, space.input_shape)
        phase.advance(3)
        phase.finish(state={"onnx_difference": difference})
    return path


def _write_page(
    run: Run,
    space: Space,
    record: Mapping[str, Any],
    found: SearchResult,
    baseline: SearchResult,
    curves: Mapping[str, Any],
) -> None:
    document = {
        "result": record,
        "run": run.record,
        "trials": {"search": _plain_trials(found.trials), "baseline": _plain_trials(baseline.trials)},
        "architecture": [{"name": name, "value": value} for name, value in record["arch"].items()],
        "training": curves,
    }
    write_page(run.path("report.html"), document)


def _plain_trials(trials: Sequence[Trial]) -> list[dict[str, Any]]:
    return [
        {
            "number": trial.number,
            "metrics": dict(trial.metrics),
            "costs": dict(trial.costs),
            "status": trial.status,
            "arch": trial.arch.to_json(),
        }
        for trial in trials
    ]


# ── finished runs ─────────────────────────────────────────────────────────────────────────────────


def reopen(run: Run, space: Space) -> Result:
    """The result of a run that is finished already."""
    record: Any = run.result
    network = _load_winner(space, Arch.from_json(record["arch"]), run.phase("retrain-winner").restore())
    return Result(record, space, network, tuple(run.store().trials()), run.folder)


def _load_winner(space: Space, arch: Arch, stored: tuple[dict[str, Tensor], Any] | None) -> nn.Module:
    if stored is None:
        raise RunFolderError("the winner's weights are gone from the run's checkpoints; restore them from a copy")
    network = space.build(arch)
    load_network(network, stored[0])
    return network.eval()


def open_winner(folder: Path) -> tuple[Architecture, nn.Module, dict[str, str]]:
    """The network in a finished run's folder, in evaluation mode, with the metadata of its weights.

    Raises:
        UsageError: If the folder is no finished run, or a file in it is damaged.
    """
    if not (folder / "result.json").exists():
        raise RunFolderError(f"{folder} holds no finished run (there is no result.json); finish it with --resume first")
    read_json(folder / "result.json")
    found = open_architecture(str(folder / "best" / "arch.json"))
    network = found.space.build(found.arch)
    metadata = load_weights(network, folder / "best" / "model.safetensors")
    return found, network.eval(), metadata


def export_run(folder: Path, format: str, output: Path | None) -> Path:
    """Write a finished run's network again, in a format of `EXPORT_FORMATS`.

    Args:
        folder: The run's folder.
        format: "onnx" or "safetensors".
        output: The file; in the run's best/ by default.

    Raises:
        InvalidValueError: If there is no such format.
        UsageError: If the folder is no finished run.
    """
    if format not in EXPORT_FORMATS:
        raise InvalidValueError(f"export format is {format!r}; choose one of {', '.join(EXPORT_FORMATS)}")
    found, network, metadata = open_winner(folder)
    path = output or folder / "best" / EXPORT_FORMATS[format]
    if format == "onnx":
        export_onnx(network, found.space.input_shape, path, metadata=metadata)
        verify_onnx(path, network, found.space.input_shape)
    else:
        save_weights(network, path, metadata=metadata)
    return path


def summary_lines(record: Mapping[str, Any], folder: Path | None) -> list[str]:
    """What a finished run's record says, in a dozen lines of at most 80 columns or so."""
    baseline = record["random_baseline"]
    drawn = [draw["test"] for draw in baseline["draws"]]
    lines = [
        f"winner     {record['metric']} {record['test']:.4f} on the test part (seen once), "
        f"{record['validation']:.4f} in the search",
        f"           {record['macs']:,} multiply-accumulates, {record['params']:,} parameters, code {record['code']}",
    ]
    for limit in record["constraints"]:
        lines.append(limit_line(limit))
    lines += latency_lines(record)
    lines.append(
        f"baseline   {baseline['test']:.4f} by random search with as many evaluations ({baseline['n_evaluated']})"
    )
    if drawn:
        lines.append(
            f"           {statistics.mean(drawn):.4f} mean of {len(drawn)} random networks "
            f"({min(drawn):.4f} to {max(drawn):.4f})"
        )
    if folder is not None:
        lines.append(f"files      {folder}/best: arch.json, model.onnx, model.safetensors; {folder}/report.html")
    return lines


def effective_config(config: Mapping[str, Any], task: Task) -> dict[str, Any]:
    """What run.json keeps of a recipe's call: the config, the data's name, and what identifies the data."""
    document: dict[str, Any] = json.loads(json.dumps({"data": task.name, "data_sha256": task.fingerprint, **config}))
    return document
