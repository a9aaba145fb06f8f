"""Comparisons for a winner: random search of equal budget, and a few random draws."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch

from archwright.core.arch import Arch
from archwright.core.errors import InfeasibleError
from archwright.core.trial import Candidate, derive_seed
from archwright.costs.watch import Watch
from archwright.evaluators.from_scratch import FromScratch
from archwright.runs.run import Run
from archwright.search import SearchResult, search
from archwright.spaces.base import Space
from archwright.strategies.base import draw_feasible
from archwright.strategies.random import Random
from archwright.tasks.base import Task
from archwright.training.config import TrainingConfig

Study = Literal["baseline", "draws"]


def random_baseline(
    run: Run,
    space: Space,
    found: SearchResult,
    task: Task,
    retrain: TrainingConfig,
    *,
    n_search_steps: int = 0,
    device: torch.device,
    label: str = "",
) -> SearchResult:
    """Random search of equal budget: uniform archs under the same limits, of those that the method searched.

    A method that scored archs is met by as many, on the same evaluator; where its trials were of several lengths, by as
    many full ones as their steps pay for. One that scored none is met by archs trained from scratch, as many as its
    search steps pay for. At least one is tried.

    Args:
        run: Where it happens.
        space: The space of stand-alone networks.
        found: What the method tried.
        task: Data and metrics.
        retrain: How an arch is trained from scratch where the method scored none.
        n_search_steps: Optimizer steps of the method beside those of its trials.
        device: Where.
        label: Of the winner it belongs to, in a run that looks for several.
    """
    name = f"baseline{label}"
    evaluator = found.evaluator.within(name) if found.is_scored else FromScratch(space, task, retrain, device=device)
    n_trials = _n_trials(found) if found.is_scored else max(1, n_search_steps // evaluator.work().n_steps)
    strategy = _Baseline(space, found.best.arch, n_trials=n_trials, seed=_seed(run, "baseline", label))
    with run.phase(name, total=n_trials) as phase:
        result = search(
            space,
            strategy,
            evaluator,
            found.objective,
            costs=found.costs,
            store=run.store(name),
            runner=found.runner,
            phase=phase,
            domain=found.domain,
        )
        if not phase.is_done:
            phase.finish()
    if strategy.is_winner:
        run.log("no random architecture keeps the limits: the winner itself stands in its place")
    return result


class _Baseline(Random):
    """Random search; where limits are so tight that no random architecture keeps them, the winner alone."""

    def __init__(self, space: Space, winner: Arch, *, n_trials: int, seed: int) -> None:
        super().__init__(space, n_trials=n_trials, seed=seed)
        self._winner, self.is_winner = winner, False

    def ask(self, n: int) -> list[Candidate]:
        if self.is_winner:
            return []
        try:
            return super().ask(n)
        except InfeasibleError:
            self.is_winner = True
            return [self.candidate(self.decisions.row(self._winner), origin="winner")]


def _n_trials(found: SearchResult) -> int:
    """As many trials as there were, or as many full ones as took the same steps."""
    full = found.evaluator.work().n_steps
    return max(1, found.n_steps // full) if full else len(found.trials)


def random_draws(run: Run, space: Space, found: SearchResult, n: int, *, label: str = "") -> list[Arch]:
    """Random archs within the limits, to compare the winner with.

    Args:
        run: Its seed draws them.
        space: The space of stand-alone networks.
        found: The search whose limits they keep.
        n: How many; fewer where there are no more.
        label: Of the winner they belong to, in a run that looks for several.
    """
    if n == 0:
        return []
    feasible = Watch(space, found.costs).feasible(found.objective)
    rng = np.random.default_rng(_seed(run, "draws", label))
    try:
        return space.decisions.archs(draw_feasible(space.decisions, feasible, n, rng))
    except InfeasibleError:  # the search found one, by going down from others
        return []


def _seed(run: Run, study: Study, label: str) -> int:
    """The seed of a study; the first winner's is the same as in a run with one winner."""
    return derive_seed(run.seed, study, label) if label else derive_seed(run.seed, study)
