"""Strategies compared on a tabular benchmark: true scores of what each holds for best, over many seeds.

A strategy sees signals and costs. The score of a search after n evaluations is the true score of its incumbent, the
best by the signal of the trials until then, of those with the largest budget. Evaluations are counted by their length:
one of 200 epochs is as much as 16.7 of 12 epochs. Seeds are paired: the same seed gives every strategy the same random
stream.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archwright.core import catalog
from archwright.core.config import MAX_TRIALS, with_settings
from archwright.core.errors import InvalidValueError
from archwright.core.objective import Constraint, Goal, Objective
from archwright.core.pareto import front, hypervolume
from archwright.core.trial import Trial, derive_seed
from archwright.search import search
from archwright.spaces.base import Space
from archwright.strategies.base import Strategy
from archwright.tabular.benchmark import Benchmark

Floats = NDArray[np.float64]

CHECKPOINTS = (10, 25, 50, 75, 100, 150, 200, 300)
"""Evaluations after which scores are told."""

N_RESAMPLES = 2000
RANDOM = "random"
OPTIMUM_TOLERANCE = 1e-9

Make = Callable[[Space, int, int], Strategy]
"""(space, trials, seed) → a strategy."""


@dataclass(frozen=True)
class Curves:
    """What one strategy reached.

    Attributes:
        scores: (n_seeds, n_evals) true score of the incumbent; NaN as long as there is none.
        seconds: Wall time of all seeds together.
        simulated: (n_seeds, n_evals) seconds that the evaluations would have taken; None where the table does not say.
    """

    scores: Floats
    seconds: float
    simulated: Floats | None = None


@dataclass(frozen=True)
class Comparison:
    """Strategies beside each other on one benchmark.

    Attributes:
        benchmark: Its name.
        dataset: Which data.
        metric: Of the scores.
        direction: "max" or "min".
        optimum: The best true score of all members within the limits.
        limits: On columns of the table.
        goals: Columns that are minimised beside the metric; the score then is a share of the true front's hypervolume.
        curves: By the strategy's name; random search is among them.
    """

    benchmark: str
    dataset: str
    metric: str
    direction: str
    optimum: float
    limits: Mapping[str, float]
    goals: tuple[str, ...] = ()
    curves: Mapping[str, Curves] = field(default_factory=dict)

    @property
    def n_seeds(self) -> int:
        """Seeds of each strategy."""
        return len(next(iter(self.curves.values())).scores)

    @property
    def checkpoints(self) -> list[int]:
        """Evaluations after which scores are told, as far as the searches went."""
        n = next(iter(self.curves.values())).scores.shape[1]
        return sorted({*(point for point in CHECKPOINTS if point <= n), n})

    def at(self, name: str, n_evals: int) -> Floats:
        """(n_seeds,) scores of a strategy after so many evaluations.

        Args:
            name: Of the strategy.
            n_evals: From 1.
        """
        return self.curves[name].scores[:, n_evals - 1]

    def share_of_optimum(self, name: str, n_evals: int) -> float:
        """Share of seeds whose incumbent has the best true score there is.

        Args:
            name: Of the strategy.
            n_evals: From 1.
        """
        return float((np.abs(self.at(name, n_evals) - self.optimum) <= OPTIMUM_TOLERANCE).mean())

    def to_json(self) -> dict[str, Any]:
        """The figures at every checkpoint, and each strategy against random search, as JSON."""
        curves = {
            name: {
                str(n): {**summary(self.at(name, n)), "share_of_optimum": self.share_of_optimum(name, n)}
                for n in self.checkpoints
            }
            for name in self.curves
        }
        last = self.checkpoints[-1]
        paired = {
            name: {str(n): paired_difference(self.at(name, n), self.at(RANDOM, n)) for n in self.checkpoints}
            for name in self.curves
            if name != RANDOM and RANDOM in self.curves
        }
        return {
            "format": 1,
            "benchmark": self.benchmark,
            "dataset": self.dataset,
            "metric": self.metric,
            "direction": self.direction,
            "seeds": self.n_seeds,
            "evaluations": last,
            "limits": dict(self.limits),
            "goals": list(self.goals),
            "optimum": self.optimum,
            "curves": curves,
            "against_random": paired,
            "seconds": {name: curve.seconds for name, curve in self.curves.items()},
            "simulated_seconds": {
                name: float(np.median(curve.simulated[:, -1]))
                for name, curve in self.curves.items()
                if curve.simulated is not None
            },
        }


def compare(
    benchmark: Benchmark,
    strategies: Sequence[str],
    *,
    n_evals: int = 300,
    n_seeds: int = 200,
    seed: int = 0,
    budget: int | None = None,
    limits: Mapping[str, float] | None = None,
    goals: Sequence[str] = (),
    settings: Mapping[str, Mapping[str, str]] | None = None,
    tick: Callable[[str, int], object] | None = None,
) -> Comparison:
    """Run strategies on a benchmark, random search beside them.

    Args:
        benchmark: Space, signals and true scores.
        strategies: Names of the catalogue.
        n_evals: Evaluations of a search.
        n_seeds: Searches of each strategy.
        seed: Of the seeds.
        budget: Epochs of an evaluation; None takes the shortest that the table has.
        limits: On columns of the table, by their names.
        goals: Columns of the table to minimise beside the metric.
        settings: Of strategies, by their names.
        tick: Called with a strategy's name and how many of its seeds are over.

    Raises:
        UsageError: If a strategy, column, budget or number cannot be used.
    """
    for what, number in (("evaluations", n_evals), ("seeds", n_seeds)):
        if number < 1:
            raise InvalidValueError(f"{number} {what} compare nothing; give at least 1")
        if number > MAX_TRIALS:
            raise InvalidValueError(f"{number} {what} are too many; give at most {MAX_TRIALS:,}")
    limits, settings = dict(limits or {}), dict(settings or {})
    costs = benchmark.costs(list(dict.fromkeys([*limits, *goals])))
    goal = Goal(benchmark.columns.metric, benchmark.columns.direction)
    constraints = tuple(Constraint(name, limit) for name, limit in limits.items())
    objective = Objective((goal, *(Goal(name, "min") for name in goals)), constraints)
    members = _Members(benchmark, objective)
    evaluator, simulated = benchmark.evaluator(budget), benchmark.seconds(budget)
    epochs = evaluator.budget
    makes = {name: strategy_maker(name, settings.get(name, {})) for name in dict.fromkeys([RANDOM, *strategies])}
    for name in set(settings) - set(makes):
        raise InvalidValueError(
            f"there are settings of {name!r}, which is not among the strategies {', '.join(makes)}; add it"
        )
    curves = {}
    for name, make in makes.items():
        started, scores, spent = time.perf_counter(), [], []
        for i in range(n_seeds):
            strategy = make(benchmark.space, n_evals, derive_seed(seed, "bench", i))
            # bandits may have trials shorter than one evaluation, so there may be more of them
            n_trials = math.ceil(
                n_evals * epochs / min(getattr(getattr(strategy, "config", None), "budgets", ()) or [epochs])
            )
            strategy.resize(n_trials)
            found = search(
                benchmark.space, strategy, evaluator, objective, costs=costs, n_trials=n_trials, domain=benchmark.domain
            )
            places = benchmark.places.of(benchmark.space.decisions.rows([trial.arch for trial in found.trials]))
            work = np.array([(trial.candidate.budget or epochs) / epochs for trial in found.trials])
            if goals:
                scores.append(members.shares_of_volume(found.trials, places, n_evals, work))
            else:
                scores.append(incumbents(found.trials, objective, benchmark.truth[places], n_evals, work))
            if simulated is not None:
                spent.append(np.cumsum(_filled(np.nan_to_num(simulated[places]), n_evals, 0.0)))
            if tick is not None:
                tick(name, i + 1)
        taken = time.perf_counter() - started
        curves[name] = Curves(np.stack(scores), taken, np.stack(spent) if spent else None)
    if goals:
        name = f"hypervolume of {', '.join(one.name for one in objective.goals)}"
        return Comparison(benchmark.name, benchmark.dataset, name, "max", 1.0, limits, tuple(goals), curves)
    best = members.optimum
    return Comparison(benchmark.name, benchmark.dataset, goal.name, goal.direction, best, limits, (), curves)


def incumbents(
    trials: Sequence[Trial], objective: Objective, truth: Floats, n_evals: int, work: Floats | None = None
) -> Floats:
    """(n_evals,): the true score of the best trial so far; a search that ended early keeps its last.

    Only trials of the largest budget so far are compared with each other.

    Args:
        trials: Of a search, in ask order.
        objective: By which the best is the best.
        truth: (n,) true scores of the trials.
        n_evals: Length of what is returned.
        work: (n,) how many evaluations each trial counts as; one each by default.
    """
    ends = np.cumsum(np.ones(len(trials)) if work is None else work)
    found, score, best = np.full(n_evals, np.nan), np.nan, None
    for trial, end, true in zip(trials, ends, truth, strict=True):
        first = math.ceil(end - 1e-9) - 1  # the evaluation with which it is over
        if first >= n_evals:
            break
        if trial.is_complete and objective.is_feasible(trial):
            value = (-(trial.candidate.budget or math.inf), *objective.value(trial))
            if best is None or value < best:
                best, score = value, true
        found[first:] = score
    return found


def _filled(values: Floats, n: int, filler: float) -> Floats:
    return np.concatenate([values, np.full(max(0, n - len(values)), filler)])[:n]


class _Members:
    """What the members within the limits are truly worth; no part of it is given to a search."""

    def __init__(self, benchmark: Benchmark, objective: Objective) -> None:
        names = [*objective.costs, *(goal.name for goal in objective.goals[1:])]
        costs = {
            cost.name: cost.cost_rows(benchmark.space, benchmark.places.rows)
            for cost in benchmark.costs(list(dict.fromkeys(names)))
        }
        n = len(benchmark.places.rows)
        truth = benchmark.truth if objective.goals[0].direction == "min" else -benchmark.truth
        self.objective = objective
        self.values = np.column_stack([truth, *(costs[goal.name] for goal in objective.goals[1:])])
        self._kept = self.values[objective.feasible(costs, n) & np.isfinite(self.values).all(axis=1)]
        self._name = benchmark.name

    @property
    def kept(self) -> Floats:
        """(n, goals): of the members within the limits that have a true score."""
        if not len(self._kept):
            raise InvalidValueError(f"no member of benchmark {self._name!r} keeps the limits and has a true score")
        return self._kept

    @property
    def optimum(self) -> float:
        """The best true score."""
        best = float(self.kept[:, 0].min())
        return best if self.objective.goals[0].direction == "min" else -best

    @cached_property
    def _frame(self) -> tuple[Floats, Floats, float]:
        """Ideal and reference point of the true front, and its hypervolume between them.

        The reference lies a tenth of the front's extent behind its worst values, so that its ends count too.
        """
        best = self.kept[front(self.kept)]
        ideal, worst = best.min(axis=0), best.max(axis=0)
        reference = worst + 0.1 * np.where(worst > ideal, worst - ideal, np.maximum(np.abs(worst), 1.0))
        scale = reference - ideal
        return ideal, scale, hypervolume((best - ideal) / scale, np.ones(len(scale)))

    def shares_of_volume(self, trials: Sequence[Trial], places: Any, n_evals: int, work: Floats) -> Floats:
        """(n_evals,): hypervolume by true scores of the trials that are best by the signal, as a share of the best.

        It is computed at the checkpoints, and stands until the next.
        """
        ideal, scale, most = self._frame
        ends, found = np.cumsum(work), np.zeros(n_evals)
        points = sorted({*(point for point in CHECKPOINTS if point < n_evals), n_evals})
        for point, following in zip(points, [*points[1:], n_evals], strict=True):
            done = [i for i in range(len(trials)) if ends[i] <= point + 1e-9]
            kept = [i for i in done if trials[i].is_complete and self.objective.is_feasible(trials[i])]
            longest = max((trials[i].candidate.budget or math.inf for i in kept), default=math.inf)
            kept = [i for i in kept if (trials[i].candidate.budget or math.inf) == longest]
            if kept:
                chosen = np.array(kept)[front(self.objective.values([trials[i] for i in kept]))]
                true = (self.values[places[chosen]] - ideal) / scale
                found[point - 1 : following] = hypervolume(true, np.ones(len(scale))) / most
        return found


def strategy_maker(name: str, settings: Mapping[str, str] | None = None) -> Make:
    """What makes a strategy of the catalogue for a number of trials.

    Args:
        name: Of the strategy.
        settings: Of its configuration, by their names.

    Raises:
        UsageError: If there is no such strategy or setting.
    """
    kind: type[Any] = catalog.load("strategy", name)
    if settings and kind.Config is None:
        raise InvalidValueError(f"strategy {name!r} has no settings; leave {', '.join(settings)} out")
    given = [with_settings(kind.Config(), settings)] if settings and kind.Config is not None else []

    def make(space: Space, n_trials: int, seed: int) -> Strategy:
        strategy: Strategy = kind(space, *given, seed=seed)
        strategy.resize(n_trials)
        return strategy

    return make


# ── statistics ────────────────────────────────────────────────────────────────────────────────────


def summary(scores: Floats) -> dict[str, Any]:
    """Mean, median, and the 95 % interval of the mean by a bootstrap over seeds; seeds without a score are counted.

    Args:
        scores: (n_seeds,) with NaN where a search has no incumbent yet.
    """
    known = scores[np.isfinite(scores)]
    if not len(known):
        return {"mean": None, "median": None, "ci95": None, "without": len(scores)}
    low, high = interval(known)
    found = {"mean": float(known.mean()), "median": float(np.median(known)), "ci95": [low, high]}
    return found if len(known) == len(scores) else {**found, "without": len(scores) - len(known)}


def interval(values: Floats) -> tuple[float, float]:
    """The 95 % interval of the mean (n,), by resampling with a fixed seed.

    Args:
        values: At least one.
    """
    rng = np.random.default_rng(0)
    means = values[rng.integers(len(values), size=(N_RESAMPLES, len(values)))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def paired_difference(scores: Floats, others: Floats) -> dict[str, Any]:
    """How far scores lie from others of the same seeds: mean, 95 % interval, p of Wilcoxon's signed-rank test.

    Args:
        scores: (n_seeds,).
        others: (n_seeds,).
    """
    from scipy.stats import wilcoxon

    delta = (scores - others)[np.isfinite(scores) & np.isfinite(others)]
    if not len(delta):
        return {"mean": None, "ci95": None, "p": None}
    p = 1.0 if not delta.any() else float(wilcoxon(delta, zero_method="zsplit").pvalue)
    return {"mean": float(delta.mean()), "ci95": list(interval(delta)), "p": p}
