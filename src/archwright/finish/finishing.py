"""From a finished search to a network in hand: the same for every recipe, so that no recipe is kinder to itself.

The winner is retrained from scratch; random search at equal budget stands beside it, and a few random draws;
every network meets the test part once, after all choices are made; then the winner is exported.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from archwright.core.arch import Arch
from archwright.core.errors import RunError
from archwright.core.trial import Trial, derive_seed
from archwright.costs.watch import open_costs
from archwright.export.files import made_files
from archwright.finish.baseline import random_baseline, random_draws
from archwright.finish.handover import export_and_measure, write_run_page
from archwright.finish.measuring import choose_measured, limit_values, satisfaction
from archwright.finish.result import Result
from archwright.runs.run import Run
from archwright.search import SearchResult
from archwright.spaces.base import Space
from archwright.tasks.base import Task
from archwright.training.config import TrainingConfig
from archwright.training.evaluate import evaluate
from archwright.training.networks import train_network

RESULT_FORMAT = 1


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
    is_random: bool = False,
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
        is_random: Whether the search was random search itself. No second one is run then: the winner stands in the
            baseline's place, which says so, and what choosing brought is seen against the random draws.
    """
    baseline = found if is_random else random_baseline(run, space, found)
    choice = choose_measured(run, space, found.ranked, found.objective.constraints, found.costs)
    rival = choice.trial if is_random else baseline.best
    finalists = [Finalist("winner", choice.trial.arch), Finalist("baseline", rival.arch)]
    finalists += [Finalist(f"draw{i}", arch) for i, arch in enumerate(random_draws(run, space, found, n_draws))]
    networks, losses = _retrain(run, space, finalists, task, retrain, device)
    winner = networks["winner"]
    tested = _test_once(run, networks, task, device)
    figures, missing = export_and_measure(run, space, choice.trial.arch, winner, task, choice.latency_ms)
    values = limit_values(found.objective, found.costs, winner, space.signature, figures["latency_ms"])
    selected = {
        "arch": choice.trial.arch.to_json(),
        "test": tested["winner"],
        "validation": float(choice.trial.metrics[task.search_metric]),
        **figures,
        "constraints": satisfaction(found.objective, choice.trial, values),
        "passed_over": choice.passed_over,
    }
    record = {
        **_heading(run, space, task, recipe),
        **selected,
        "code": space.code(choice.trial.arch),
        "n_evaluated": len(found.trials),
        "random_baseline": {
            **_comparison(space, rival, finalists, tested, task.search_metric),
            "n_evaluated": len(baseline.trials),
            "is_search": is_random,
        },
        "selected": [dict(selected)],
        "not_exported": missing,
    }
    _conclude(run, record, space, winner, {**(curves or {}), "retrain-winner": losses})
    return Result(record, space, winner, found.trials, run.folder)


def finish_fixed(
    run: Run,
    space: Space,
    arch: Arch,
    network: nn.Module,
    task: Task,
    *,
    recipe: str,
    device: torch.device,
    curves: Mapping[str, Any],
) -> Result:
    """Test once, export, report: what follows a training that no search came before.

    Args:
        run: Where it happens; done phases are not repeated.
        space: The space of the network.
        arch: Its values.
        network: The trained network.
        task: Data and metrics.
        recipe: Name of the recipe.
        device: Where.
        curves: Loss curves, for the page.
    """
    tested = _test_once(run, {"winner": network}, task, device)
    figures, missing = export_and_measure(run, space, arch, network, task, {})
    selected = {"arch": arch.to_json(), "test": tested["winner"], **figures, "constraints": []}
    record = {
        **_heading(run, space, task, recipe),
        **selected,
        "code": space.code(arch),
        "selected": [dict(selected)],
        "not_exported": missing,
    }
    _conclude(run, record, space, network, curves)
    return Result(record, space, network, (), run.folder)


def _conclude(run: Run, record: dict[str, Any], space: Space, network: nn.Module, curves: Mapping[str, Any]) -> None:
    """Write the page and the record."""
    record["ledger"] = run.ledger
    products: list[str] = []
    if run.folder is not None:
        write_run_page(run, run.folder, record, space, network, curves)
        # not the page: it may be made again at any time, and then is another
        products = [f"best/{name}" for name in made_files(record["not_exported"])]
    record["ledger"] = run.ledger
    run.finish(record, products=products)


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
    """Test metric of each network; the test part is read here and nowhere else.

    Raises:
        RunError: If it is no finite number.
    """
    with run.phase("test", total=len({id(network) for network in networks.values()})) as phase:
        if not phase.is_done:
            scores: dict[int, float] = {}
            for role, network in networks.items():
                if id(network) not in scores:
                    score = evaluate(network, task, "test", device=device)[task.metric]
                    if not math.isfinite(score):
                        raise RunError(
                            f"{task.metric} of the {role} on the test part is {score}: its training left it without "
                            "use; lower learning_rate, add steps or set clip_norm"
                        )
                    scores[id(network)] = score
                    phase.advance(len(scores))
            phase.finish(state={role: scores[id(network)] for role, network in networks.items()})
        tested: Any = phase.result
    return {role: float(score) for role, score in tested.items()}


def _comparison(
    space: Space, best: Trial, finalists: Sequence[Finalist], tested: Mapping[str, float], metric: str
) -> dict[str, Any]:
    """What the best of the random baseline came to, and the random draws."""
    draws = [
        {"arch": finalist.arch.to_json(), "test": tested[finalist.role], "macs": _macs(space, finalist.arch)}
        for finalist in finalists
        if finalist.role.startswith("draw")
    ]
    return {
        "arch": best.arch.to_json(),
        "test": tested["baseline"],
        "validation": float(best.metrics[metric]),
        "macs": _macs(space, best.arch),
        "draws": draws,
    }


def _heading(run: Run, space: Space, task: Task, recipe: str) -> dict[str, Any]:
    """What every result.json begins with."""
    return {
        "format": RESULT_FORMAT,
        "recipe": recipe,
        "space": space.name,
        "dataset": task.name,
        "seed": run.seed,
        "metric": task.metric,
        "direction": task.direction,
        **_search_goal(task),
    }


def _search_goal(task: Task) -> dict[str, Any]:
    """What candidates were scored by, where it is not what networks are tested by."""
    if task.search_metric == task.metric:
        return {}
    return {"search_metric": task.search_metric, "search_direction": task.search_direction}


def _macs(space: Space, arch: Arch) -> int:
    return int(open_costs(["macs"])[0].cost_rows(space, space.row(arch)[None])[0])


def effective_config(config: Mapping[str, Any], task: Task) -> dict[str, Any]:
    """What run.json keeps of a recipe's call: the config, the data's name and options, and what identifies the data."""
    options = {"data_options": dict(task.options)} if task.options else {}
    # a page of an unfinished run has nowhere else to read which way is better
    metric, direction = task.search_metric, task.search_direction
    goal = {"metric": metric, "direction": direction} if direction == "min" or metric != task.metric else {}
    # runs from before spaces had settings say nothing of them
    stated = {name: value for name, value in config.items() if name != "space_args" or value}
    said = {"data": task.name, **options, "data_sha256": task.fingerprint, **goal, **stated}
    document: dict[str, Any] = json.loads(json.dumps(said))
    return document
