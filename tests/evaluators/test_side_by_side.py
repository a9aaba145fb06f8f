"""Archs scored side by side: the figures of one thread, whatever the number of threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import nn

from archwright.core.trial import Candidate
from archwright.evaluators import CalibrationConfig, SupernetEvaluator
from archwright.evaluators.side_by_side import side_by_side
from archwright.nn.choice import Chooser, selection_of
from archwright.spaces import Space
from archwright.tasks import ImageTask
from archwright.testing import BranchSpace, ElasticSpace
from archwright.weight_sharing.shared import SupernetWeights


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """The number of threads is put back."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_each_has_one_thread_and_the_caller_its_own_again() -> None:
    """The first part is computed by the calling thread."""
    torch.set_num_threads(3)
    barrier = threading.Barrier(2, timeout=60)  # both are under way at once

    def work(number: int) -> tuple[int, int, bool]:
        barrier.wait()
        return number, torch.get_num_threads(), threading.current_thread() is threading.main_thread()

    assert side_by_side(work, 2) == [(0, 1, True), (1, 1, False)]
    assert torch.get_num_threads() == 3


def test_an_error_of_any_part_is_the_caller_s() -> None:
    """And the number of threads is as before."""

    def work(number: int) -> int:
        return 1 // (1 - number)

    torch.set_num_threads(2)
    with pytest.raises(ZeroDivisionError):
        side_by_side(work, 2)
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("space", [ElasticSpace(), BranchSpace()], ids=["elastic", "branches"])
def test_figures_do_not_depend_on_the_number_of_threads(
    space: Space,
    supernet_of: Callable[[Space], nn.Module],
    task_for: Callable[[Space], ImageTask],
    population: Callable[..., list[Candidate]],
    calibration: CalibrationConfig,
) -> None:
    """Bit for bit, also for one candidate at a time."""
    candidates = population(space, 5)
    found = []
    for n in (1, 2, 3):
        torch.set_num_threads(n)
        evaluator = SupernetEvaluator(space, supernet_of(space), task_for(space), calibration)
        found.append(evaluator.evaluate(candidates))
        found.append([evaluator.evaluate([candidate])[0] for candidate in candidates])
    assert all(one == found[0] for one in found[1:])


def test_a_twin_shares_parameters_and_follows_its_own_selection(supernet_of: Callable[[Space], nn.Module]) -> None:
    """What is active in one is not in the other; a parameter that changes changes in both."""
    space = ElasticSpace()
    shared = SupernetWeights(space, supernet_of(space))
    twin = shared.twin()
    assert twin is not None
    one, other = space.decisions.enumerate_rows()[:2]
    shared.activate(one)
    twin.activate(other)
    assert selection_of(shared.network).index != selection_of(twin.network).index
    pairs = zip(shared.network.parameters(), twin.network.parameters(), strict=True)
    assert all(a is b for a, b in pairs)
    assert not {id(b) for b in shared.network.buffers()} & {id(b) for b in twin.network.buffers()}


class ByClosure(nn.Module):
    """Runs a batch norm that only a function knows."""

    def __init__(self) -> None:
        super().__init__()
        norm = nn.BatchNorm2d(3)
        self.norm = norm
        self.run = lambda x: norm(x)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.run(x)


class ClosureSpace(ElasticSpace):
    """Begins with such a module."""

    def network(self, choose: Chooser) -> nn.Module:
        return nn.Sequential(ByClosure(), super().network(choose))


def test_weights_that_a_copy_would_run_in_the_original_have_no_twin() -> None:
    """Two threads would write the same statistics."""
    space = ClosureSpace()
    assert SupernetWeights(space, space.supernet()).twin() is None
