"""Steps that an evolution needs to a given validation accuracy: children from scratch, and with their parents' weights.

usage: bench_inheritance.py [DATA] [SEEDS]     (DATA: as --data; mnist5k by default)

Space conv-chain, at most 2 M multiply-accumulates; the same regularized evolution (population 6, samples of 3) and
4,000 optimizer steps of 64 images in both: trainings of 200 steps each, or of 200 for the first population and of 50
for each child (`evaluators.inherited`). Told is the best validation accuracy so far by cumulative steps, and the steps
at which each first has the accuracy that the evolution from scratch ends with.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from archwright.core.objective import Constraint, Goal, Objective
from archwright.evaluators import Evaluator, FromScratch
from archwright.evaluators.inherited import Inherited
from archwright.recipes.presets import LOW_RATE, usual_training
from archwright.search import search
from archwright.spaces.opening import open_space_for
from archwright.strategies import RegularizedEvolution, RegularizedEvolutionConfig
from archwright.tasks import open_task
from common import SEARCH_STEPS, machine, report

FULL, SHORT, POPULATION = 200, 50, 6
LIMIT = 2e6


def main() -> None:
    torch.set_num_threads(2)
    print(machine())
    task = open_task(sys.argv[1] if len(sys.argv) > 1 else "mnist5k")
    space = open_space_for(task.name, task.space_args(), "conv-chain", {})
    training = usual_training(steps=FULL, batch_size=64, rate=LOW_RATE)
    goal = Objective((Goal("top1_accuracy"),), (Constraint("macs", LIMIT),))
    n_children = (SEARCH_STEPS - POPULATION * FULL) // SHORT
    ratios = []
    for seed in range(int(sys.argv[2]) if len(sys.argv) > 2 else 3):
        with TemporaryDirectory() as folder:
            kinds: dict[str, tuple[Evaluator, int]] = {
                "from scratch": (FromScratch(space, task, training), SEARCH_STEPS // FULL),
                "inherited": (
                    Inherited(space, task, training, steps=SHORT, folder=Path(folder)),
                    POPULATION + n_children,
                ),
            }
            curves = {}
            for name, (evaluator, cycles) in kinds.items():
                config = RegularizedEvolutionConfig(
                    population=POPULATION, sample=3, cycles=cycles, identity_probability=0.0
                )
                found = search(space, RegularizedEvolution(space, config, seed=seed), evaluator, goal)
                steps = np.cumsum([evaluator.work(trial.candidate).n_steps for trial in found.trials])
                scores = [trial.metrics.get("top1_accuracy", 0.0) for trial in found.trials]
                curves[name] = steps, np.maximum.accumulate(scores)
        target = curves["from scratch"][1][-1]
        told = []
        for name, (steps, best) in curves.items():
            reached = np.flatnonzero(best >= target)
            first = int(steps[reached[0]]) if len(reached) else None
            at = ", ".join(f"{best[np.searchsorted(steps, n, side='right') - 1]:.4f}" for n in (1200, 2000, 3000, 4000))
            told.append(first)
            report(f"seed {seed}, {name}: best at 1,200, 2,000, 3,000, 4,000 steps", f"{at}; {target:.4f} at {first}")
        if told[0] and told[1]:
            ratios.append(told[1] / told[0])
    report("steps to that accuracy, inherited / from scratch", ", ".join(f"{ratio:.2f}" for ratio in ratios), "below 1")


if __name__ == "__main__":
    main()
