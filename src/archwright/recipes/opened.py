"""What a recipe's body works with: the search that was asked for, and the steps a method is made of.

A body is executed in three ways, by three kinds of `OpenSearch`: for real (here), as a rehearsal that only counts the
work (`recipes.rehearsal`), and to open the shared weights of a run that has trained them (`recipes.reopening`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from torch import nn

from archwright.core.decisions import Rows
from archwright.core.objective import Goal, Objective, labels_of
from archwright.core.trial import Candidate, Trial, derive_seed
from archwright.costs.base import Cost
from archwright.costs.counted import Macs, Params
from archwright.costs.watch import Watch
from archwright.evaluators.base import Evaluator
from archwright.evaluators.from_scratch import FromScratch
from archwright.evaluators.supernet import CalibrationConfig, SupernetEvaluator
from archwright.evaluators.zero_cost.scores import ZeroCost, ordered, scores_of
from archwright.export.warm_start import open_warm_start
from archwright.finish import Found
from archwright.policies.base import Policy
from archwright.recipes.base import Opened
from archwright.runners.base import Runner
from archwright.runners.serial import Serial
from archwright.runs.lengths import Lengths
from archwright.runs.run import Run
from archwright.search import SearchResult, search
from archwright.strategies.base import Feasible, Strategy
from archwright.strategies.random import Random
from archwright.tasks.base import Split
from archwright.training.config import TrainingConfig
from archwright.weight_sharing.base import WeightSharing
from archwright.weight_sharing.shared import SharedWeights, SupernetWeights

START = "zero-cost"
"""Name of the phase that looks for architectures to begin with."""


class OpenSearch:
    """A search for real, within a run.

    Args:
        run: Where it happens.
        opened: What is searched, for what, on which data.
        runner: Where candidates are evaluated; None is this process.
        lengths: How long its parts last; by default as the settings say.

    Attributes:
        space: The space of stand-alone networks.
        task: The data.
        seed: Of the run.
    """

    def __init__(self, run: Run, opened: Opened, runner: Runner | None = None, lengths: Lengths | None = None) -> None:
        self.run, self.opened, self.runner = run, opened, runner
        self.lengths = lengths or Lengths()
        self.space, self.task, self.device = opened.space, opened.task, opened.device
        self.seed = opened.config.seed
        self.n_steps = 0
        self.curves: dict[str, Any] = {}

    def seed_of(self, purpose: str) -> int:
        """A seed of its own for one purpose of the run."""
        return derive_seed(self.seed, purpose)

    def rng(self, purpose: str) -> np.random.Generator:
        """A random stream of its own for one purpose of the run."""
        return np.random.default_rng(self.seed_of(purpose))

    @property
    def costs(self) -> list[Cost]:
        """The costs noted with each trial: parameters, multiply–accumulates, and those that limits and goals name."""
        return [Params(), Macs(), *self.opened.costs]

    def shares(self, *fractions: float) -> list[Split]:
        """Disjoint, seeded shares of the training part, stratified where there are classes: one for each learner.

        Args:
            fractions: Of each share; together at most 1.

        Raises:
            UsageError: If the data cannot be divided so.
        """
        return self.task.shares("train", fractions, seed=self.seed_of("shares"))

    # ── one set of weights for many archs ─────────────────────────────────────────────────────────

    def supernet(self) -> SharedWeights:
        """A supernet of the space's search form, with initial weights that follow the run's seed, or given ones."""
        shared, config, task = SupernetWeights.build(self.space, self.seed), self.opened.config, self.task
        if config.weights is None:
            return shared

        def build(n_classes: int | None) -> nn.Module:
            return self.space.sized(n_classes=n_classes).search_form().supernet()

        start = open_warm_start(
            config.weights, build, task.n_classes, task.class_names, ignore=config.ignore, averaged=config.averaged
        )
        start.give(shared.network)
        fresh = f"; fresh: {', '.join(start.fresh)}" if start.fresh else ""
        self.run.log(f"the supernet begins with the weights of {config.weights}{fresh}")
        return shared

    def train(self, phase: str, sharing: WeightSharing, shared: SharedWeights, policy: Callable[[], Policy]) -> None:
        """Train shared weights, as a phase of the run.

        Args:
            phase: Its name.
            sharing: How.
            shared: The weights, changed in place.
            policy: Makes the distribution that archs are drawn from; called where they are really trained.
        """
        usual = sharing.n_steps(self.task)
        n_steps = self.lengths.length(phase, usual)
        if n_steps != usual:
            sharing = sharing.lasting(n_steps, self.task)
        with self.run.phase(phase, total=n_steps) as entered:
            log = sharing.fit(shared, policy(), self.task, seed=self.seed_of(phase), device=self.device, phase=entered)
        self.n_steps += sharing.n_passes(self.task)
        self.curves[phase] = log.curve

    def note(self, remark: Callable[[], str]) -> None:
        """Write a line into the run's log.

        Args:
            remark: Gives it; called where the search is really executed.
        """
        self.run.log(remark())

    # ── evaluators ────────────────────────────────────────────────────────────────────────────────

    def from_scratch(self, training: TrainingConfig, *, best_of: int = 1) -> FromScratch:
        """An evaluator that trains each candidate from scratch.

        Args:
            training: How.
            best_of: See `FromScratch`.
        """
        return FromScratch(self.space, self.task, training, best_of=best_of, device=self.device)

    def by_shared(self, shared: SharedWeights, calibration: CalibrationConfig) -> SupernetEvaluator:
        """An evaluator that scores candidates by shared weights.

        Args:
            shared: The weights.
            calibration: Images that set batch-norm statistics of each candidate.
        """
        return SupernetEvaluator.of(shared, self.task, calibration, seed=self.seed, device=self.device)

    # ── what was found ────────────────────────────────────────────────────────────────────────────

    def find(
        self,
        strategy: Callable[[int], Strategy],
        evaluator: Evaluator,
        domain: Callable[[Objective], Feasible | None] | None = None,
    ) -> Found:
        """Search once for each winner that is asked for.

        Args:
            strategy: Makes the strategy of a search from its seed.
            evaluator: Scores candidates.
            domain: For an objective, which rows may be tried, of those within its limits; None for all.
        """
        searches, is_random = [], False
        for label, objective in self.labelled():
            made = strategy(self.seed_of(f"search{label}"))
            searches.append(
                self.found_for(label, objective, made, evaluator, None if domain is None else domain(objective))
            )
            is_random = is_uniform(made)
        return Found(tuple(searches), self.n_steps, self.curves, is_random)

    def labelled(self) -> list[tuple[str, Objective]]:
        """The objective of each winner, with what the names of its phases end with."""
        return list(zip(labels_of(self.opened.objectives), self.opened.objectives, strict=True))

    def found_for(
        self, label: str, objective: Objective, strategy: Strategy, evaluator: Evaluator, domain: Feasible | None = None
    ) -> SearchResult:
        """Search for one winner, beginning with what a zero-cost score likes where that is asked for.

        Args:
            label: Of the winner.
            objective: What is sought.
            strategy: Searches.
            evaluator: Scores candidates.
            domain: Which rows may be tried, of those within the limits; None for all.
        """
        if self.opened.config.zero_cost:
            strategy.begin_with(self._promising(label, objective, domain))
        return self._search(f"search{label}", objective, strategy, evaluator, domain)

    def derived(self, derive: Callable[[Objective], Candidate], evaluator: Evaluator) -> Found:
        """The archs that a method derives without scoring any, one for each winner that is asked for.

        Args:
            derive: Gives the arch for an objective.
            evaluator: Gives the weights that a network may inherit; it scores nothing.
        """
        searches = [self.derived_for(objective, derive, evaluator) for objective in self.opened.objectives]
        return Found(tuple(searches), self.n_steps, self.curves)

    def derived_for(
        self, objective: Objective, derive: Callable[[Objective], Candidate], evaluator: Evaluator
    ) -> SearchResult:
        """What a method derives for one winner; see `derived`.

        Args:
            objective: What is sought.
            derive: Gives the arch.
            evaluator: See `derived`.
        """
        candidate = derive(objective)
        values = Watch(self.space, self.costs).values(self.space.row(candidate.arch)[None])
        trial = Trial(candidate, costs={name: float(column[0]) for name, column in values.items()})
        return SearchResult((trial,), objective, evaluator, tuple(self.costs), self.runner or Serial(), False)

    def unscored(self, objective: Objective, evaluator: Evaluator) -> SearchResult:
        """A stand-in for the result of a search that is not executed: one random architecture without a score."""
        (arch,) = self.space.sample(1, np.random.default_rng(0))
        return SearchResult((Trial(Candidate(0, arch, 0)),), objective, evaluator)

    def _promising(self, label: str, objective: Objective, domain: Feasible | None) -> Rows:
        """Random archs, those with the best zero-cost score first: a phase of its own."""
        config = self.opened.config
        names, seed = scores_of(config.zero_cost), self.seed_of(f"{START}{label}")
        evaluator = ZeroCost(self.space, self.task, names, seed=self.seed, device=self.device)
        drawn = Random(self.space, n_trials=config.zero_cost_pool, seed=seed)
        goals = tuple(Goal(name) for name in names)
        found = self._search(f"{START}{label}", replace(objective, goals=goals), drawn, evaluator, domain)
        return self.space.decisions.rows([trial.arch for trial in ordered(found.trials, names)])

    def _search(
        self, name: str, objective: Objective, strategy: Strategy, evaluator: Evaluator, domain: Feasible | None
    ) -> SearchResult:
        """One search, as a phase of the run."""
        usual = n_trials(self.opened, objective, strategy)
        n = self.lengths.length(name, usual)
        if n != usual:
            strategy.resize(n)
        with self.run.phase(name, total=n_trials(self.opened, objective, strategy)) as phase:
            found = search(
                self.space,
                strategy,
                evaluator.within(name),
                objective,
                costs=self.costs,
                store=self.run.store(name),
                runner=self.runner,
                phase=phase,
                domain=domain,
            )
            if not phase.is_done:
                phase.finish()
        return found


def is_uniform(strategy: Strategy) -> bool:
    """Whether a strategy is random search as it stands beside all others."""
    return isinstance(strategy, Random) and strategy.is_uniform


def n_trials(opened: Opened, objective: Objective, strategy: Strategy) -> int:
    """Trials to expect: no more than there are architectures, where none is tried twice.

    Args:
        opened: Has the space, and counts its architectures.
        objective: Has the limits that an architecture must keep.
        strategy: Says how many trials it asks for, and whether it may repeat one.
    """
    return strategy.n_trials if strategy.may_repeat else min(strategy.n_trials, opened.n_members(objective))
