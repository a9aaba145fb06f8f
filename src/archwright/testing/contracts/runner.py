"""The contract of runners: one outcome for each candidate, whatever the evaluator does and wherever it runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from archwright.core.errors import UsageError
from archwright.core.objective import Goal, Objective
from archwright.core.trial import Candidate
from archwright.evaluators.base import Evaluator
from archwright.runners.base import Outcome, Runner
from archwright.search import search
from archwright.strategies.evolution import Evolution, EvolutionConfig
from archwright.testing.contracts.base import Contract, error_of, to_do
from archwright.testing.evaluators import Scripted, score
from archwright.testing.spaces import ElasticSpace


class RunnerContract(Contract):
    """Tests of one runner."""

    def make(self) -> Runner:
        """The runner."""
        to_do(self, "make(self) -> Runner")

    def test_outcomes_are_those_of_the_evaluator(self) -> None:
        """Each candidate has one outcome, collected once; collecting waits for the candidate that is asked for."""
        wanted = candidates(9)
        found = outcomes(self.make(), Scripted(chunk=2), wanted)
        assert [outcome.number for outcome in found] == [candidate.number for candidate in wanted]
        assert [outcome.metrics for outcome in found] == [score(candidate) for candidate in wanted]
        assert not any(outcome.failure for outcome in found)

    def test_failures_are_outcomes(self, tmp_path: Path) -> None:
        """An evaluation that raises or gives nonsense fails once, with a reason in one line; its neighbours do not."""
        evaluator = Scripted({0: "raise", 2: "nan", 3: "text", 5: "nothing"}, str(tmp_path), chunk=1)
        found = outcomes(self.make(), evaluator, candidates(7))
        assert {outcome.number: outcome.failure for outcome in found if outcome.failure} == {
            0: "ArithmeticError: no number",
            2: "top1_accuracy is nan",
            3: "the evaluator returned 'top1_accuracy' = 'high'; a metric is a number with a name",
            5: "the evaluator returned None as metrics; it must return figures by name",
        }
        assert not any(outcome.metrics for outcome in found if outcome.failure)
        assert evaluator.noted() == list(range(7))

    def test_a_chunk_finds_out_which_one_failed(self) -> None:
        """An exception in a group of candidates makes only its own candidate fail."""
        found = outcomes(self.make(), Scripted({4: "raise"}, chunk=6), candidates(6))
        assert [outcome.number for outcome in found if outcome.failure] == [4]

    def test_what_is_not_the_arch_s_fault_stops(self) -> None:
        """Unreadable data would make every candidate fail, so the error goes to the user at once."""
        assert "photo.jpg" in error_of(UsageError, lambda: outcomes(self.make(), Scripted({1: "data"}), candidates(3)))

    def test_runs_can_be_closed_with_work_left(self) -> None:
        """Closing does not wait for outcomes that nobody collects; closing twice is fine."""
        running = self.make().start(Scripted(chunk=2))
        running.submit(candidates(5))
        running.close()
        running.close()

    def test_a_search_is_the_same_as_in_one_process(self) -> None:
        """Trials, their order and the best are the same, although outcomes arrive in another order."""
        space, goal = ElasticSpace(), Objective((Goal("top1_accuracy"),))
        config = EvolutionConfig(population=6, top=3, mutations=2, crossovers=2, generations=2)
        evaluator = Scripted({7: "raise"}, wait_s=0.01, chunk=2)
        one = search(space, Evolution(space, config), evaluator, goal)
        other = search(space, Evolution(space, config), evaluator, goal, runner=self.make())
        told = [(trial.candidate, trial.status, trial.metrics, trial.costs, trial.failure) for trial in one.trials]
        assert [(t.candidate, t.status, t.metrics, t.costs, t.failure) for t in other.trials] == told


def candidates(n: int) -> list[Candidate]:
    """The first n candidates of a fixed draw."""
    space = ElasticSpace()
    archs = space.sample(n, np.random.default_rng(3))
    return [Candidate(number, arch, 100 + number) for number, arch in enumerate(archs)]


def outcomes(runner: Runner, evaluator: Evaluator, wanted: Sequence[Candidate]) -> list[Outcome]:
    """The outcome of each candidate, by ascending number; checks that each comes once.

    Args:
        runner: The runner to test.
        evaluator: The evaluator it runs.
        wanted: The candidates.
    """
    found: list[Outcome] = []
    with runner.start(evaluator) as running:
        running.submit(wanted)
        for candidate in reversed(wanted):
            if all(outcome.number != candidate.number for outcome in found):
                found += running.collect(candidate.number)
    assert len({outcome.number for outcome in found}) == len(found)
    return sorted(found, key=lambda outcome: outcome.number)
