"""The contract of evaluators: metrics depend only on the candidate, and belong to a network that can be had."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch

from archwright.core.errors import UsageError
from archwright.core.trial import Candidate, Metrics
from archwright.evaluators.base import Evaluator
from archwright.spaces.base import Space
from archwright.tasks.base import Task
from archwright.testing.contracts.base import Contract, error_of, skip, to_do
from archwright.testing.contracts.space import search_parts
from archwright.testing.spaces import ElasticSpace
from archwright.training.evaluate import evaluate


class EvaluatorContract(Contract):
    """Tests of one evaluator.

    Attributes:
        n_candidates: How many candidates a test evaluates.
        has_model: False if metrics come without a trained network, as from a table.
        inherits: Whether metrics also depend on the trial that a candidate was varied from.
        tolerance: Largest accepted difference between the metrics of `model()` and those of the evaluation.
    """

    n_candidates: ClassVar[int] = 4
    has_model: ClassVar[bool] = True
    inherits: ClassVar[bool] = False
    tolerance: ClassVar[float] = 1e-5

    def make(self, space: Space) -> Evaluator:
        """The evaluator with its weights; each call makes an equal one and leaves earlier ones unchanged."""
        to_do(self, "make(self, space: Space) -> Evaluator")

    def make_space(self) -> Space:
        """The space of all tests."""
        return ElasticSpace()

    def candidates(self, space: Space) -> list[Candidate]:
        """The candidates of the tests; some have equal first decisions."""
        rows = space.decisions.sample(self.n_candidates, np.random.default_rng(5))
        rows[1::2] = space.decisions.sample(len(rows[1::2]), np.random.default_rng(6))
        return [Candidate(i, arch, i) for i, arch in enumerate(space.decisions.archs(rows))]

    def test_one_set_of_metrics_a_candidate(self) -> None:
        """Each candidate gets numbers, under the same names."""
        evaluator, candidates = self._made()
        found = evaluator.evaluate(candidates)
        assert len(found) == len(candidates)
        assert {tuple(metrics) for metrics in found} == {tuple(found[0])}
        assert np.isfinite([value for metrics in found for value in metrics.values()]).all()

    def test_no_candidates_no_metrics(self) -> None:
        """An empty population gives an empty list."""
        assert self._made()[0].evaluate([]) == []

    def test_metrics_do_not_depend_on_the_population(self) -> None:
        """The bits are the same in another order, one by one, in two groups, given twice, or by a new evaluator."""
        evaluator, candidates = self._made()
        together = list(evaluator.evaluate(candidates))
        assert list(evaluator.evaluate(candidates[::-1]))[::-1] == together
        assert [evaluator.evaluate([candidate])[0] for candidate in candidates] == together
        assert [*evaluator.evaluate(candidates[:1]), *evaluator.evaluate(candidates[1:])] == together
        assert list(evaluator.evaluate([candidates[-1]] * 2)) == [together[-1]] * 2
        assert list(self._made()[0].evaluate(candidates)) == together

    def test_same_seed_same_metrics(self) -> None:
        """The global random state does not matter and stays as it is; nor do a candidate's number and origin."""
        evaluator, candidates = self._made()
        found = list(evaluator.evaluate(candidates))
        torch.manual_seed(99)
        np.random.seed(99)
        before = torch.get_rng_state()
        parent = None if self.inherits else 7
        others = [Candidate(100 + c.number, c.arch, c.seed, parent=parent, origin="other") for c in candidates]
        assert list(evaluator.evaluate(others)) == found
        assert torch.equal(torch.get_rng_state(), before)

    def test_a_foreign_arch_is_refused(self) -> None:
        """An arch that is not in the space raises an error of one line."""
        evaluator, candidates = self._made()
        foreign = Candidate(0, type(candidates[0].arch)({"no such decision": 1}), 0)
        error_of(UsageError, lambda: evaluator.evaluate([foreign]))

    def test_test_part_is_not_read(self) -> None:
        """An evaluation never reads the test part, which measures the final result."""
        evaluator, candidates = self._made()
        task = _task_of(evaluator)
        evaluator.evaluate(candidates[:1])
        if self.has_model:
            evaluator.model(candidates[0].arch, candidates[0].seed)
        assert task.n_test_reads == 0

    def test_learnable_parameters_keep_every_bit(self) -> None:
        """Evaluations do not change the parameters of the supernet that scores the candidates."""
        evaluator, candidates = self._made()
        supernet = getattr(evaluator, "supernet", None)
        if supernet is None:
            skip("this evaluator has no supernet")
        before = {name: parameter.detach().clone() for name, parameter in supernet.named_parameters()}
        evaluator.evaluate(candidates)
        assert all(torch.equal(parameter, before[name]) for name, parameter in supernet.named_parameters())

    def test_model_is_worth_what_was_told(self) -> None:
        """The metrics of `model()` on the validation part are those of the evaluation."""
        if not self.has_model:
            skip("this evaluator trains no network")
        evaluator, candidates = self._made()
        for candidate, told in zip(candidates, evaluator.evaluate(candidates), strict=True):
            network = evaluator.model(candidate.arch, candidate.seed)
            measured: Metrics = evaluate(network, _task_of(evaluator), "validation")
            assert measured.keys() == told.keys()
            assert all(abs(measured[name] - told[name]) <= self.tolerance for name in told), (measured, told)

    def test_model_is_a_plain_network(self) -> None:
        """`model()` gives a network in evaluation mode, without any module of a search."""
        if not self.has_model:
            skip("this evaluator trains no network")
        evaluator, candidates = self._made()
        network = evaluator.model(candidates[0].arch, candidates[0].seed)
        assert search_parts(network) == []
        assert not network.training

    def _made(self) -> tuple[Evaluator, list[Candidate]]:
        space = self.make_space()
        return self.make(space), self.candidates(space)


def _task_of(evaluator: Evaluator) -> Task:
    """The evaluator's task; a test does not apply to one that has none."""
    task = getattr(evaluator, "task", None)
    if not isinstance(task, Task):
        skip("this evaluator has no task")
    return task
