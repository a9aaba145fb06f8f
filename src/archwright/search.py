"""The loop in which the parts meet: ask, evaluate, store, tell."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import nn

from archwright.core.errors import InvalidValueError, RunError, RunFolderError, UsageError
from archwright.core.objective import Objective
from archwright.core.pareto import front
from archwright.core.trial import Candidate, Trial
from archwright.costs.base import Cost
from archwright.costs.counted import Macs, Params
from archwright.costs.limits import Watch, open_costs
from archwright.evaluators.base import Evaluator
from archwright.runs.phase import Phase
from archwright.spaces.base import Space
from archwright.stores.base import Store
from archwright.stores.opening import open_store
from archwright.strategies.base import Strategy

MAX_FAILURES = 20
"""Failed trials in a row after which a search ends: by then it is not the architectures' fault."""


@dataclass(frozen=True)
class SearchResult:
    """All trials of a search, in ask order, and how to read them; `costs` were noted with each trial."""

    trials: tuple[Trial, ...]
    objective: Objective
    evaluator: Evaluator
    costs: tuple[Cost, ...] = ()

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
        ranked = self.objective.ranked(self.trials)
        if not ranked:
            failed = [trial for trial in self.trials if not trial.is_complete]
            reason = f"; the last failure: {failed[-1].failure}" if failed else ""
            raise RunError(f"none of {len(self.trials)} trials is complete and within the limits{reason}")
        return ranked

    def pareto(self) -> list[Trial]:
        """Trials no other trial is better than in every goal and every watched cost; best first."""
        ranked = self.objective.ranked(self.trials)
        if not ranked:
            return []
        costs = sorted(set.intersection(*(set(trial.costs) for trial in ranked)))
        values = np.column_stack([self.objective.values(ranked), [[t.costs[name] for name in costs] for t in ranked]])
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
    phase: Phase | None = None,
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
        phase: Where progress is shown.

    Raises:
        InfeasibleError: If no architecture meets a limit; says the smallest reachable value.
        RunFolderError: If the store holds the trials of another search.
        RunError: If too many trials in a row fail.
    """
    limit = strategy.n_trials if n_trials is None else n_trials
    if limit < 1:
        raise InvalidValueError(f"n_trials is {limit}; give at least 1")
    noted = costs if costs is not None else (Params(), Macs())
    watch = Watch(space, [*noted, *open_costs(objective.costs, noted)])
    watch.check_reachable(objective)
    strategy.bind(objective, watch.feasible(objective))
    opened = open_store(store)
    try:
        loop = _Loop(space, evaluator, objective, watch, opened, phase)
        while len(loop.trials) < limit:
            candidates = strategy.ask(min(evaluator.chunk, limit - len(loop.trials)))
            if not candidates:
                break
            strategy.tell(loop.run(candidates))
    finally:
        if opened is not store:
            opened.close()
    return SearchResult(tuple(loop.trials), objective, evaluator, tuple(watch.costs.values()))


class _Loop:
    """Turns candidates into trials, evaluated or taken from the store."""

    def __init__(
        self,
        space: Space,
        evaluator: Evaluator,
        objective: Objective,
        watch: Watch,
        store: Store,
        phase: Phase | None,
    ) -> None:
        self.space, self.evaluator, self.objective, self.watch = space, evaluator, objective, watch
        self.store, self.phase = store, phase
        self.trials: list[Trial] = []
        self._n_failed = 0
        self._stored = {trial.number: trial for trial in store.trials()}
        self._best: Trial | None = None

    def run(self, candidates: Sequence[Candidate]) -> list[Trial]:
        """The trials of these candidates, in the same order; new ones are stored before they are returned."""
        new = [candidate for candidate in candidates if candidate.number not in self._stored]
        trials = {trial.number: trial for trial in self._evaluate(new)} if new else {}
        self.store.add(list(trials.values()))
        told = [trials.get(c.number) or self._take(c) for c in candidates]
        self.trials += told
        self._report(told)
        return told

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

    def _evaluate(self, candidates: Sequence[Candidate]) -> list[Trial]:
        rows = self.space.decisions.rows([candidate.arch for candidate in candidates])
        values = self.watch.values(rows)
        started = time.perf_counter()
        try:
            metrics = self.evaluator.evaluate(candidates)
        except UsageError:
            raise
        except Exception as error:
            if len(candidates) > 1:  # find out which of them it was
                return [trial for candidate in candidates for trial in self._evaluate([candidate])]
            failure = " ".join(f"{type(error).__name__}: {error}".split())
            costs = {name: float(column[0]) for name, column in values.items()}
            return [
                Trial(candidates[0], "failed", costs=costs, duration_s=time.perf_counter() - started, failure=failure)
            ]
        each_s = (time.perf_counter() - started) / len(candidates)
        return [
            Trial(
                candidate, "complete", dict(found), {name: float(column[i]) for name, column in values.items()}, each_s
            )
            for i, (candidate, found) in enumerate(zip(candidates, metrics, strict=True))
        ]

    def _report(self, told: Sequence[Trial]) -> None:
        for trial in told:
            self._n_failed = 0 if trial.is_complete else self._n_failed + 1
            if self._n_failed >= MAX_FAILURES:
                raise RunError(f"{self._n_failed} trials in a row failed; the last, {trial.arch.key}: {trial.failure}")
        self._best = self.objective.best([*([self._best] if self._best else []), *told])
        if self.phase is not None:
            goal = self.objective.goals[0].name
            best = {} if self._best is None else {"best": self._best.metrics.get(goal, float("nan"))}
            self.phase.advance(len(self.trials), **best)
