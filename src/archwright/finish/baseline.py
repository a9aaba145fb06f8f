"""What a found network is compared with: random search of equal budget, and a few random draws."""

from __future__ import annotations

import numpy as np

from archwright.core.arch import Arch
from archwright.core.trial import derive_seed
from archwright.costs.watch import Watch
from archwright.runs.run import Run
from archwright.search import SearchResult, search
from archwright.spaces.base import Space
from archwright.strategies.base import draw_feasible
from archwright.strategies.random import Random


def random_baseline(run: Run, space: Space, found: SearchResult) -> SearchResult:
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
            runner=found.runner,
            phase=phase,
        )
        if not phase.is_done:
            phase.finish()
    return result


def random_draws(run: Run, space: Space, found: SearchResult, n: int) -> list[Arch]:
    """Random feasible archs."""
    if n == 0:
        return []
    feasible = Watch(space, found.costs).feasible(found.objective)
    rng = np.random.default_rng(derive_seed(run.seed, "draws"))
    return space.decisions.archs(draw_feasible(space.decisions, feasible, n, rng))
