"""The pace of steps, and which number of threads is taken; on a clock that only the steps move."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from archwright.training.threads import Pace, fastest, probe_threads


class Machine:
    """Steps take what `cost` says for the number of threads and the time; a quarter of it is the forward pass."""

    def __init__(self, cost: Callable[[int, float], float]) -> None:
        self.cost, self.now, self.threads = cost, 0.0, 0
        self.steps: list[tuple[int, int]] = []

    def use(self, n: int) -> None:
        self.threads = n

    def step(self, i: int) -> None:
        taken = self.cost(self.threads, self.now)
        self.now += taken
        self.steps.append((self.threads, i))

    def probe(self, *candidates: int, seconds: float = 2.0, warm: tuple[int, ...] = ()) -> dict[int, Pace]:
        clock = lambda: self.now  # noqa: E731
        return probe_threads(self.step, candidates, seconds=seconds, warm=warm, use=self.use, clock=clock)


def test_quiet_machine_takes_all_threads() -> None:
    """0.1 s a step with one, 0.0625 s with two."""
    paces = Machine(lambda n, now: {1: 0.1, 2: 0.0625}[n]).probe(1, 2)
    assert [pace.step_s for pace in paces.values()] == pytest.approx([0.1, 0.0625])
    assert paces[2].rate == pytest.approx(16)
    assert fastest(paces) == 2


def test_rare_stalls_count() -> None:
    """Most steps of two threads are twice as fast, but each fifth stalls for a second: the mean decides."""
    machine = Machine(lambda n, now: 0.1)
    machine.cost = lambda n, now: 0.1 if n == 1 else (1.0 if len(machine.steps) % 5 == 0 else 0.05)
    assert fastest(machine.probe(1, 2, seconds=5.0)) == 1


def test_blocks_take_turns() -> None:
    """A neighbour that comes and goes slows both: with every other second slow, neither gets the quiet ones alone."""
    paces = Machine(lambda n, now: (0.05 if n == 1 else 0.03) * (3 if now % 2 > 1 else 1)).probe(1, 2, seconds=4.0)
    assert paces[1].step_s / paces[2].step_s == pytest.approx(5 / 3, rel=0.25)


def test_candidates_compute_the_same_steps() -> None:
    """Each from step 0 on, after one that warms up, which a number of threads that is warm does not need."""
    machine = Machine(lambda n, now: 0.125)
    machine.probe(1, 2, seconds=0.75, warm=(2,))
    assert machine.steps == [(1, 0), (1, 0), (1, 1), (2, 0), (2, 1), (1, 2), (1, 3), (2, 2), (2, 3)]


def test_hopeless_number_is_tried_once() -> None:
    """Ten seconds a step are not spent twice."""
    machine = Machine(lambda n, now: {1: 0.1, 2: 10.0}[n])
    paces = machine.probe(1, 2, seconds=60.0, warm=(2,))
    assert [threads for threads, _ in machine.steps].count(2) == 1
    assert fastest(paces) == 1


def test_slow_steps_are_few() -> None:
    """A block has at least one step; time that is over ends the probe after each had one."""
    paces = Machine(lambda n, now: 30.0 / n).probe(1, 2, seconds=1.0)
    assert [pace.n_steps for pace in paces.values()] == [1, 1]


@pytest.mark.parametrize(
    ("rates", "taken"),
    [
        ({1: 10.4, 2: 5.7}, 1),
        ({1: 11.0, 2: 19.0}, 2),
        ({1: 10.0, 2: 11.0}, 1),
        ({1: 10.0, 2: 11.5}, 2),
        ({1: 10.0, 4: 30.0, 8: 32.0}, 4),
    ],
)
def test_more_threads_have_to_be_clearly_faster(rates: dict[int, float], taken: int) -> None:
    """By 15 %, each over the best smaller number; steps a second as measured beside a busy process and without."""
    assert fastest({n: Pace(1000, 1000 / rate) for n, rate in rates.items()}, 1.149) == taken


def test_pace_stops_at_time_or_number() -> None:
    """Whichever is first; a second call goes on counting."""
    machine, pace = Machine(lambda n, now: 0.25), Pace()
    pace.run(machine.step, seconds=1.0, clock=lambda: machine.now)
    assert (pace.n_steps, pace.total_s) == (4, 1.0)
    pace.run(machine.step, seconds=1.0, most=2, clock=lambda: machine.now)
    assert [i for _, i in machine.steps] == [0, 1, 2, 3, 4, 5]


def test_pace_of_nothing() -> None:
    """No steps have no time and no rate."""
    assert (Pace().step_s, Pace().rate) == (0.0, 0.0)
