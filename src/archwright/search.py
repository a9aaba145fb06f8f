"""The search loop: ask, evaluate, store, tell."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from torch import nn

from archwright.core.catalog import is_known
from archwright.core.errors import InvalidValueError, RunError, RunFolderError
from archwright.core.objective import Objective
from archwright.core.pareto import front
from archwright.core.trial import Candidate, Trial, of_largest_budget
from archwright.costs.base import Cost
from archwright.costs.counted import Macs, Params
from archwright.costs.watch import Watch, open_costs
from archwright.evaluators.base import Evaluator
from archwright.runners.base import Outcome, Runner, Running
from archwright.runners.serial import Serial
from archwright.runs.phase import Phase
from archwright.spaces.base import Space
from archwright.stores.base import Store
from archwright.stores.opening import open_store
from archwright.strategies.base import Feasible, Strategy

MAX_FAILURES = 20
"""Failed trials in a row after which a search ends: by then it is not the architectures' fault."""

MAX_AHEAD = 4096
"""Most candidates that are asked for before the first of them is told."""


@dataclass(frozen=True)
class SearchResult:
    """All trials of a search, in ask order, and how to read them.

    Where trials had several budgets, only those of the largest are ranked: shorter trainings say less.

    Attributes:
        trials: In ask order.
        objective: What is better, and which limits hold.
        evaluator: What scored them, and scores what is compared with them.
        costs: Noted with each trial.
        runner: Where evaluations execute.
        is_scored: Whether the trials were evaluated; not where a method derives its arch without scoring any.
        domain: Which archs were searched, of those within the limits; None for all.
    """

    trials: tuple[Trial, ...]
    objective: Objective
    evaluator: Evaluator
    costs: tuple[Cost, ...] = ()
    runner: Runner = field(default_factory=Serial)
    is_scored: bool = True
    domain: Feasible | None = None

    @property
    def n_steps(self) -> int:
        """Optimizer steps that all trials took together, those that failed included."""
        return sum(self.evaluator.work(trial.candidate).n_steps for trial in self.trials) if self.is_scored else 0

    @property
    def best(self) -> Trial:
        """The best complete trial within the limits.

        Raises:
            RunError: If there is none.
        """
        return self.ranked[0]

    @property
    def ranked(self) -> list[Trial]:
        """Complete trials within the limits, best first.

        Raises:
            RunError: If there is none.
        """
        ranked = self.objective.ranked(of_largest_budget(self.trials))
        if not ranked:
            failed = [trial for trial in self.trials if not trial.is_complete]
            reason = f"; the last failure: {failed[-1].failure}" if failed else ""
            raise RunError(f"none of {len(self.trials)} trials is complete and within the limits{reason}")
        return ranked

    def pareto(self) -> list[Trial]:
        """Trials that no other one dominates, best first: in the goals, or in the one goal and all watched costs."""
        ranked = self.objective.ranked(of_largest_budget(self.trials))
        if not ranked:
            return []
        values = self.objective.values(ranked)
        if len(self.objective.goals) == 1:
            costs = sorted(set.intersection(*(set(trial.costs) for trial in ranked)))
            values = np.column_stack([values, [[trial.costs[name] for name in costs] for trial in ranked]])
        return [trial for trial, keep in zip(ranked, front(values), strict=True) if keep]

    def model(self) -> nn.Module:
        """The best trial's network, a plain trained torch module with the weights it was scored by."""
        return self.evaluator.model(self.best.arch, self.best.candidate.seed)


def search(
    space: Space,
    strategy: Strategy,
    evaluator: Evaluator,
    objective: Objective,
    *,
    costs: Sequence[Cost] | None = None,
    n_trials: int | None = None,
    store: Store | str | Path | None = None,
    runner: Runner | None = None,
    phase: Phase | None = None,
    domain: Feasible | None = None,
) -> SearchResult:
    """Search a space; with a store on disk, a search that was stopped goes on where it was.

    A strategy proposes the same again when told the same, so going on means asking from the start and taking
    the trials that are stored instead of evaluating them.

    Args:
        space: Where architectures come from; costs are those of its stand-alone networks.
        strategy: What to try next.
        evaluator: What it is worth.
        objective: What is better, and which limits hold.
        costs: Costs to note with each trial beside the limited ones; parameters and multiply–accumulates by default.
            A limited cost that has to be told something (latency its table) is given here.
        n_trials: Most trials; the strategy's own number by default.
        store: Where trials live: a `Store`, a folder, file or URL for `open_store`; None keeps them in memory.
        runner: Where evaluations execute; in this process by default. The trials do not depend on it.
        phase: Where progress is shown.
        domain: Says which rows, of those within the limits, may be tried; None for all.

    Raises:
        InfeasibleError: If no architecture meets a limit; says the smallest reachable value.
        RunFolderError: If the store holds the trials of another search.
        RunError: If too many trials in a row fail.
    """
    limit = strategy.n_trials if n_trials is None else n_trials
    if limit < 1:
        raise InvalidValueError(f"n_trials is {limit}; give at least 1")
    noted = costs if costs is not None else (Params(), Macs())
    watch = Watch(space, [*noted, *open_costs([*objective.costs, *_goals_on_costs(objective, noted)], noted)])
    watch.check_reachable(objective)
    within = watch.feasible(objective)
    strategy.bind(objective, within if domain is None else lambda rows: within(rows) & domain(rows))
    opened, runner = open_store(store), runner or Serial()
    try:
        with runner.start(evaluator) as running:
            loop = _Loop(space, strategy, objective, watch, opened, running, phase, limit)
            while loop.ask():
                loop.tell()
    finally:
        if opened is not store:
            opened.close()
    noted_costs = tuple(watch.costs.values())
    return SearchResult(tuple(loop.trials), objective, evaluator, noted_costs, runner, domain=domain)


def _goals_on_costs(objective: Objective, noted: Sequence[Cost]) -> list[str]:
    """Names of the goals that are costs; others are the evaluator's metrics."""
    known = {cost.name for cost in noted}
    return [goal.name for goal in objective.goals if goal.name in known or is_known("cost", goal.name)]


class _Loop:
    """Turns candidates into trials, evaluated or taken from the store, and tells them in the order they were asked."""

    def __init__(
        self,
        space: Space,
        strategy: Strategy,
        objective: Objective,
        watch: Watch,
        store: Store,
        running: Running,
        phase: Phase | None,
        limit: int,
    ) -> None:
        self.space, self.strategy, self.objective, self.watch = space, strategy, objective, watch
        self.store, self.running, self.phase, self.limit = store, running, phase, limit
        self.trials: list[Trial] = []
        self._waiting: deque[Candidate] = deque()  # asked and not yet told
        self._asked: dict[int, tuple[Candidate, dict[str, float]]] = {}  # under evaluation, with their costs
        self._done: dict[int, Trial] = {}  # not yet told
        self._stored = {trial.number: trial for trial in store.trials()}
        self._n_failed = self._n_failed_in_a_row = 0
        self._best: Trial | None = None
        self._is_goal_given = any(trial.is_complete for trial in self._stored.values())

    def ask(self) -> bool:
        """Ask for as many candidates as may be under way; whether any is."""
        candidates = self.strategy.ask(room) if (room := self._room()) > 0 else []
        self._waiting.extend(candidates)
        new = [candidate for candidate in candidates if candidate.number not in self._stored]
        self._done |= {c.number: self._take(c) for c in candidates if c.number in self._stored}
        if new:
            self._submit(new)
        return bool(self._waiting)

    def _room(self) -> int:
        """How many more to ask for."""
        n_waiting, n_left = len(self._waiting), self.limit - len(self.trials)
        if self.strategy.lookahead is not None:
            return min(self.strategy.lookahead, n_left) - n_waiting
        ahead = min(self.running.window, MAX_AHEAD)
        if n_waiting > ahead // 2:  # asking for many at once costs little more than asking for one
            return 0
        return min(ahead, n_left) - n_waiting

    def tell(self) -> None:
        """Wait for the trial that was asked first, and tell it.

        Those behind it that are ready are told with it where that makes no difference to the strategy; where it does,
        what is asked next must not depend on which of several processes was faster.
        """
        while self._waiting[0].number not in self._done:
            self._collect(self._waiting[0].number)
        told = [self._done.pop(self._waiting.popleft().number)]
        while self.strategy.lookahead is None and self._waiting and self._waiting[0].number in self._done:
            told.append(self._done.pop(self._waiting.popleft().number))
        self.trials += told
        self._report(told)
        self.strategy.tell(told)

    def _submit(self, candidates: Sequence[Candidate]) -> None:
        rows = self.space.decisions.rows([candidate.arch for candidate in candidates])
        values = {name: column.tolist() for name, column in self.watch.values(rows).items()}
        for i, candidate in enumerate(candidates):
            self._asked[candidate.number] = candidate, {name: float(column[i]) for name, column in values.items()}
        self.running.submit(candidates)

    def _collect(self, number: int) -> None:
        """Store what has been evaluated by the time this candidate is; what is stored survives a kill."""
        trials = [self._trial(outcome) for outcome in self.running.collect(number)]
        self.store.add(trials)
        self._done |= {trial.number: trial for trial in trials}

    def _trial(self, outcome: Outcome) -> Trial:
        candidate, costs = self._asked.pop(outcome.number)
        failure = outcome.failure or self._missing(outcome, costs)
        if failure:
            return Trial(candidate, "failed", costs=costs, duration_s=outcome.duration_s, failure=failure)
        return Trial(candidate, "complete", outcome.metrics, costs, outcome.duration_s)

    def _missing(self, outcome: Outcome, costs: Mapping[str, float]) -> str:
        """An error text for a trial whose metrics and costs lack a goal; empty if all goals are there.

        Raises:
            RunError: If none that was evaluated before had it either: then it is the goal that is wrong.
        """
        missing = [goal.name for goal in self.objective.goals if goal.name not in (*outcome.metrics, *costs)]
        if not missing:
            self._is_goal_given = True
            return ""
        what = f"the evaluator gave no {', '.join(missing)}, only {', '.join(outcome.metrics)}"
        if not self._is_goal_given:
            raise RunError(f"{what}, and the costs are {', '.join(costs)}; set a goal that is one of these")
        return what

    def _take(self, candidate: Candidate) -> Trial:
        trial = self._stored[candidate.number]
        if trial.candidate != candidate:
            raise RunFolderError(
                f"stored trial {candidate.number} is {trial.arch.key}, but this search asks for {candidate.arch.key}: "
                "it belongs to another search; use another folder"
            )
        missing = self.watch.costs.keys() - trial.costs.keys()
        if missing:
            raise RunFolderError(
                f"stored trial {candidate.number} has no {', '.join(sorted(missing))}, which this search watches: "
                "it belongs to another search; use another folder"
            )
        return trial

    def _report(self, told: Sequence[Trial]) -> None:
        for trial in told:
            self._n_failed += not trial.is_complete
            self._n_failed_in_a_row = 0 if trial.is_complete else self._n_failed_in_a_row + 1
            if self._n_failed_in_a_row >= MAX_FAILURES:
                raise RunError(f"{MAX_FAILURES} trials in a row failed; the last, {trial.arch.key}: {trial.failure}")
        self._best = self.objective.best(of_largest_budget([*([self._best] if self._best else []), *told]))
        if self.phase is not None:
            goal = self.objective.goals[0].name
            best = {} if self._best is None else {"best": self._best.metrics.get(goal, float("nan"))}
            failed = {"failed": self._n_failed} if self._n_failed else {}
            self.phase.advance(len(self.trials), **best, **failed)
