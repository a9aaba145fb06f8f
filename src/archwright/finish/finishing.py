"""What follows a search, the same for every recipe, so that no recipe is kinder to itself.

Each winner is trained to its end; beside it stand random search of equal budget, a few random draws, and a plain
network built for the same limits, all trained alike. Every network meets the test part once, after all choices are
made; then the winners are exported.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn

from archwright.core.arch import Arch
from archwright.core.objective import labels_of
from archwright.core.trial import Trial
from archwright.costs.watch import open_costs
from archwright.finish.baseline import random_baseline, random_draws
from archwright.finish.finalists import (
    Finalist,
    FinalTraining,
    Trained,
    of_planned_length,
    test_once,
    train_finalists,
)
from archwright.finish.handover import export_and_measure, place_of, write_run_page
from archwright.finish.measuring import Choice, choose_measured, limit_values, satisfaction
from archwright.finish.plain import SWITCHED_OFF, Plain, choose_plain, plain_record, train_plain
from archwright.finish.predictions import write_predictions
from archwright.finish.quantised import Int8Terms, products_of
from archwright.finish.readme import input_kind, write_readmes
from archwright.finish.result import Result
from archwright.runs.lengths import Lengths
from archwright.runs.record import CODE_CHANGES, NONDETERMINISTIC
from archwright.runs.run import Run
from archwright.search import SearchResult
from archwright.spaces.base import Space
from archwright.tasks.base import Task
from archwright.training.config import TrainingConfig
from archwright.training.log import Curve

RESULT_FORMAT = 1


@dataclass(frozen=True)
class Found:
    """What a method found, before any network is trained to its end.

    Attributes:
        searches: One a winner; where there are several, their objectives differ in the limit on one cost.
        n_steps: Optimizer steps of the method beside those of its trials, such as those of a supernet.
        curves: Loss curves of its trainings by phase, for the page.
        is_random: Whether the search was random search itself. No second one is run then: the winner stands in the
            baseline's place, which says so, and what choosing brought is seen against the random draws.
    """

    searches: tuple[SearchResult, ...]
    n_steps: int = 0
    curves: Mapping[str, Any] = field(default_factory=dict)
    is_random: bool = False

    @property
    def labels(self) -> list[str]:
        """The suffix of each winner in names of phases and files: empty for the first, then `-COST-LIMIT`."""
        return labels_of([search.objective for search in self.searches])


@dataclass(frozen=True)
class _Contest:
    """One winner, and what it is compared with; steps are those of all trials."""

    label: str
    search: SearchResult
    choice: Choice
    baseline: SearchResult
    rival: Trial
    draws: Sequence[Arch]
    plain: Plain | str
    n_steps: int
    n_baseline_steps: int

    def finalists(self) -> list[Finalist]:
        mine, theirs = self.search.evaluator, self.baseline.evaluator
        winner, rival = self.choice.trial, self.rival
        drawn = [Finalist(f"draw{i}{self.label}", arch, theirs) for i, arch in enumerate(self.draws)]
        return [
            Finalist(f"winner{self.label}", winner.arch, mine, winner.candidate.seed),
            Finalist(f"baseline{self.label}", rival.arch, theirs, rival.candidate.seed),
            *drawn,
        ]


def finish(
    run: Run,
    space: Space,
    found: Found,
    task: Task,
    final: FinalTraining,
    *,
    recipe: str,
    n_draws: int = 3,
    plain: Space | str = SWITCHED_OFF,
    int8: Int8Terms | None = None,
    device: torch.device,
    lengths: Lengths | None = None,
) -> Result:
    """Measure, train, compare, test once, export, report.

    A winner is the best trial within the limits; where a latency is limited, the best whose network keeps it when
    it is measured.

    Args:
        run: Where it happens; done phases are not repeated.
        space: The space of stand-alone networks.
        found: What the method found.
        task: Data and metrics.
        final: How winners, and what they are compared with, come by their weights.
        recipe: Name of the recipe.
        n_draws: Random feasible architectures beside each winner.
        plain: The space of plain networks, of which one stands beside each winner, trained from scratch whatever
            `final` says; or the reason why there is none.
        int8: When a winner's int8 file is good enough; None makes no such file.
        device: Where.
        lengths: How long the final trainings last; by default as `final` says.
    """
    contests = [
        _contest(run, space, found, search, task, final, label, n_draws, plain, device)
        for label, search in zip(found.labels, found.searches, strict=True)
    ]
    finalists = [finalist for contest in contests for finalist in contest.finalists()]
    beside = {f"plain{contest.label}": contest.plain for contest in contests if isinstance(contest.plain, Plain)}
    members = [] if final.provenance == "inherited" else [(space, finalist.arch) for finalist in finalists]
    members += [(one.space, one.arch) for one in beside.values()]
    if members:
        config = of_planned_length(run, lengths or Lengths(), final.config, members, task, device)
        final = replace(final, config=config)
    trained = train_finalists(run, space, finalists, task, final, device)
    failed = train_plain(run, beside, task, final.config, device, trained)
    tested = test_once(run, trained.networks, task, device, channels_last=final.config.channels_last, spared=beside)
    selected = [
        {
            **_selected(run, space, found, contest, task, final, trained, tested, int8),
            "plain_baseline": _plain_baseline(contest, task, trained, tested, failed),
        }
        for contest in contests
    ]
    first, *_ = found.searches
    record = {
        **_heading(run, space, task, recipe, final.config),
        "n_final_steps": _length(trained.curves["winner"]),
        **selected[0],
        "n_evaluated": sum(len(search.trials) for search in found.searches if search.is_scored),
        "n_steps": found.n_steps + sum(contest.n_steps for contest in contests),
        "pareto": _pareto(space, first),
        "selected": selected,
    }
    winner = trained.networks["winner"]
    _conclude(run, record, space, winner, task, {**found.curves, "retrain-winner": trained.curves["winner"]})
    trials = tuple(trial for search in found.searches for trial in search.trials)
    return Result(record, space, winner, trials, run.folder)


def finish_fixed(
    run: Run,
    space: Space,
    arch: Arch,
    network: nn.Module,
    task: Task,
    training: TrainingConfig,
    *,
    recipe: str,
    int8: Int8Terms | None = None,
    device: torch.device,
    attempts: int,
    curves: Mapping[str, Any],
    origin: Mapping[str, Any] | None = None,
) -> Result:
    """Test once, export, report: what follows a training that no search came before.

    Args:
        run: Where it happens; done phases are not repeated.
        space: The space of the network.
        arch: Its values.
        network: The trained network.
        task: Data and metrics.
        training: How it was trained.
        recipe: Name of the recipe.
        int8: When its int8 file is good enough; None makes no such file.
        device: Where.
        attempts: How often the training was begun.
        curves: Loss curves, for the page; that of the network is the last.
        origin: For the record: the weights that the training began with, where it had some.
    """
    tested = test_once(run, {"winner": network}, task, device, channels_last=training.channels_last, spared=())
    figures, missing = export_and_measure(run, space, arch, network, task, {}, augment=training.augment, int8=int8)
    selected = {"arch": arch.to_json(), "test": tested["winner"], "attempts": attempts, **figures, "constraints": []}
    record = {
        **_heading(run, space, task, recipe, training),
        "n_final_steps": _length(list(curves.values())[-1]),
        **selected,
        **(origin or {}),
        "code": space.code(arch),
        "selected": [dict(selected)],
        "not_exported": missing,
    }
    _conclude(run, record, space, network, task, curves)
    return Result(record, space, network, (), run.folder)


def _contest(
    run: Run,
    space: Space,
    found: Found,
    search: SearchResult,
    task: Task,
    final: FinalTraining,
    label: str,
    n_draws: int,
    plains: Space | str,
    device: torch.device,
) -> _Contest:
    baseline = search
    if not found.is_random:
        baseline = random_baseline(
            run, space, search, task, final.config, n_search_steps=found.n_steps, device=device, label=label
        )
    choice = choose_measured(
        run, space, search.ranked, search.objective.constraints, search.costs, phase=f"measure{label}"
    )
    rival = choice.trial if found.is_random else baseline.best
    draws = random_draws(run, space, search, n_draws, label=label)
    plain = choose_plain(run, plains, search, _macs(space, choice.trial.arch), label=label)
    return _Contest(label, search, choice, baseline, rival, draws, plain, search.n_steps, baseline.n_steps)


def _selected(
    run: Run,
    space: Space,
    found: Found,
    contest: _Contest,
    task: Task,
    final: FinalTraining,
    trained: Trained,
    tested: Mapping[str, float],
    int8: Int8Terms | None,
) -> dict[str, Any]:
    """The record of one winner, exported and measured, with what it is compared with."""
    search, trial, label = contest.search, contest.choice.trial, contest.label
    network, known, augment = trained.networks[f"winner{label}"], contest.choice.latency_ms, final.config.augment
    figures, missing = export_and_measure(
        run, space, trial.arch, network, task, known, augment=augment, int8=int8, label=label
    )
    values = limit_values(search.objective, search.costs, network, space.signature, figures["latency_ms"], trial.costs)
    return {
        "arch": trial.arch.to_json(),
        "test": tested[f"winner{label}"],
        **_score(search, trial, task),
        **figures,
        "constraints": satisfaction(search.objective, trial, values),
        "passed_over": contest.choice.passed_over,
        "code": space.code(trial.arch),
        "provenance": final.provenance,
        "attempts": trained.attempts[f"winner{label}"],
        "folder": place_of(label),
        "not_exported": missing,
        "random_baseline": {
            **_comparison(space, contest, trained, tested, task),
            "n_evaluated": len(contest.baseline.trials),
            "n_steps": contest.n_baseline_steps,
            "is_search": found.is_random,
        },
    }


def _score(search: SearchResult, trial: Trial, task: Task) -> dict[str, Any]:
    """The score that ranked a trial, if it has one, and the metric of that score where it is not the task's."""
    goal = search.objective.goals[0]
    value = trial.metrics.get(goal.name, trial.costs.get(goal.name))
    if value is None:
        return {}
    own = {"search_metric": goal.name, "search_direction": goal.direction} if goal.name != task.metric else {}
    return {"validation": float(value), **own}


def _comparison(
    space: Space, contest: _Contest, trained: Trained, tested: Mapping[str, float], task: Task
) -> dict[str, Any]:
    """Test scores of the best of the random baseline and of the random draws."""

    def figures(role: str, arch: Arch) -> dict[str, Any]:
        role += contest.label
        return {
            "arch": arch.to_json(),
            "code": space.code(arch),
            "test": tested[role],
            "macs": _macs(space, arch),
            "attempts": trained.attempts[role],
        }

    best = contest.rival
    draws = [figures(f"draw{i}", arch) for i, arch in enumerate(contest.draws)]
    return {**figures("baseline", best.arch), **_score(contest.baseline, best, task), "draws": draws}


def _plain_baseline(
    contest: _Contest, task: Task, trained: Trained, tested: Mapping[str, float], failed: Mapping[str, str]
) -> dict[str, Any]:
    """The record of the plain network beside a winner, or the reason why there is none."""
    role, plain = f"plain{contest.label}", contest.plain
    if isinstance(plain, str) or role in failed:
        return {"reason": failed.get(role, plain)}
    return plain_record(
        plain,
        trained,
        role,
        contest.search.objective,
        task,
        test=tested[role],
        winner_test=tested[f"winner{contest.label}"],
    )


def _pareto(space: Space, search: SearchResult) -> list[dict[str, Any]]:
    """The trials that no other one dominates, best first, with their figures."""
    goals = [goal.name for goal in search.objective.goals]
    return [
        {
            "number": trial.number,
            "code": space.code(trial.arch),
            "goals": {name: float(trial.metrics.get(name, trial.costs.get(name, 0.0))) for name in goals},
            "costs": {name: float(value) for name, value in trial.costs.items()},
        }
        for trial in (search.pareto() if search.is_scored else [])
    ]


def _conclude(
    run: Run, record: dict[str, Any], space: Space, network: nn.Module, task: Task, curves: Mapping[str, Any]
) -> None:
    """Write the predictions, what each winner's folder says of itself, the page and the record."""
    record["ledger"] = run.ledger
    if run.nondeterministic:
        record[NONDETERMINISTIC] = run.nondeterministic
    if changes := run.record.get(CODE_CHANGES):
        record[CODE_CHANGES] = changes
    products: list[str] = []
    if run.folder is not None:
        products = write_predictions(run, task)
        write_readmes(run, record, space, task)
        write_run_page(run, run.folder, record, space, network, task, curves)
        # neither the page, which may be made again at any time and then is another, nor what people may add to
        products += [
            f"{one.get('folder', 'best')}/{name}"
            for one in record["selected"]
            for name in products_of({**record, **one})
        ]
    record["ledger"] = run.ledger
    run.finish(record, products=products)


def _heading(run: Run, space: Space, task: Task, recipe: str, training: TrainingConfig) -> dict[str, Any]:
    """What every result.json begins with."""
    return {
        "format": RESULT_FORMAT,
        "recipe": recipe,
        "space": space.name,
        "dataset": task.name,
        **({"data_options": dict(task.options)} if task.options else {}),
        "input_kind": input_kind(space.signature, task.class_names, task.preprocessing),
        "n_classes": task.n_classes,
        "seed": run.seed,
        "metric": task.metric,
        "direction": task.direction,
        **_search_goal(task),
        **({"augment": training.augment} if task.default_augment else {}),
    }


def _length(curve: Curve) -> int:
    """Steps of a training, by its loss curve; 0 where there was none."""
    return curve[-1][0] if curve else 0


def _search_goal(task: Task) -> dict[str, Any]:
    """The metric that scored candidates, where it is not the metric of the test."""
    if task.search_metric == task.metric:
        return {}
    return {"search_metric": task.search_metric, "search_direction": task.search_direction}


def _macs(space: Space, arch: Arch) -> int:
    return int(open_costs(["macs"])[0].cost_rows(space, space.row(arch)[None])[0])


# ── what a run is known by ────────────────────────────────────────────────────────────────────────


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
