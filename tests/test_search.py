"""The loop of a search, with an evaluator that looks scores up."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import archwright as aw
from archwright.core.arch import Arch
from archwright.core.errors import InfeasibleError, InvalidValueError, RunError, RunFolderError, UsageError
from archwright.core.objective import Constraint, Goal, Objective
from archwright.core.trial import Candidate, Metrics, Trial, derive_seed
from archwright.costs import Macs, Params, count
from archwright.evaluators import Evaluator, FromScratch
from archwright.runs.run import open_run
from archwright.search import MAX_FAILURES, SearchResult, search
from archwright.spaces import SposSpace
from archwright.stores import MemoryStore, open_store
from archwright.strategies import Evolution, EvolutionConfig, Random
from archwright.testing import ElasticSpace, NumberSpace, toy_task
from archwright.training.config import TrainingConfig

SPACE = ElasticSpace()
ACCURACY = Objective((Goal("top1_accuracy"),))
SMALL = EvolutionConfig(population=6, top=3, mutations=2, crossovers=2, generations=3)


class Table(Evaluator):
    """A score that is a function of the arch; counts its calls.

    Args:
        chunk: Candidates a call.
        broken: Archs, by key, that raise.
        dies_at: Call at which the process ends.
        error: What broken archs raise.
    """

    def __init__(
        self,
        *,
        chunk: int = 64,
        broken: Callable[[Arch], bool] = lambda _: False,
        dies_at: int | None = None,
        error: BaseException | None = None,
    ) -> None:
        self.chunk = chunk  # type: ignore[misc]
        self.broken, self.dies_at = broken, dies_at
        self.error = error or ArithmeticError("no\n  number")
        self.calls: list[list[int]] = []

    def evaluate(self, candidates: Sequence[Candidate]) -> list[Metrics]:
        if self.dies_at == len(self.calls):
            raise KeyboardInterrupt
        self.calls.append([candidate.number for candidate in candidates])
        if any(self.broken(candidate.arch) for candidate in candidates):
            raise self.error
        return [_score(candidate.arch) for candidate in candidates]

    def model(self, arch: Arch, seed: int) -> nn.Module:
        network = nn.Identity()
        network.asked = (arch, seed)  # type: ignore[assignment]
        return network


def _score(arch: Arch) -> dict[str, float]:
    noise = derive_seed(arch.key) % 1000
    return {"top1_accuracy": noise / 1000, "loss": float(noise * 7919 % 1000)}


def _evolved(evaluator: Evaluator | None = None, *, seed: int = 0, **options: Any) -> SearchResult:
    strategy = Evolution(SPACE, SMALL, seed=seed)
    return search(SPACE, strategy, evaluator or Table(), options.pop("objective", ACCURACY), **options)


def _plain(trials: Iterable[Trial]) -> list[Trial]:
    """Without what depends on the clock."""
    return [dataclasses.replace(trial, duration_s=0.0) for trial in trials]


# ── how long, in what order ───────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("n_trials", "expected"), [(1, 1), (7, 7), (None, 24), (100, 24)])
def test_ends_at_the_number_of_trials(n_trials: int | None, expected: int) -> None:
    """The given number, else the strategy's own: 6 a generation, four generations."""
    trials = _evolved(n_trials=n_trials).trials
    assert [trial.number for trial in trials] == list(range(expected))


def test_ends_when_the_strategy_does() -> None:
    """A space of 8 archs gives 8 trials, each arch once."""
    space = NumberSpace()
    trials = search(space, Random(space, n_trials=50, seed=0), Table(), ACCURACY).trials
    assert len({trial.arch for trial in trials}) == len(trials) == 8


def test_no_trials_are_no_search() -> None:
    """An empty search is refused before anything is asked."""
    with pytest.raises(InvalidValueError, match="n_trials is 0; give at least 1"):
        _evolved(n_trials=0)


@pytest.mark.parametrize("chunk", [1, 4, 5])
def test_chunks_do_not_matter(chunk: int) -> None:
    """Trials are the same however many candidates an evaluator takes at once."""
    assert _plain(_evolved(Table(chunk=chunk)).trials) == _plain(_evolved(Table(chunk=64)).trials)


def test_nothing_beyond_the_number_is_evaluated() -> None:
    """The last chunk is as short as needed."""
    evaluator = Table(chunk=4)
    _evolved(evaluator, n_trials=11)
    assert sorted(number for call in evaluator.calls for number in call) == list(range(11))


def test_same_seed_same_trials() -> None:
    """Another seed asks for others."""
    assert _plain(_evolved(seed=1).trials) == _plain(_evolved(seed=1).trials)
    assert [t.arch for t in _evolved(seed=1).trials] != [t.arch for t in _evolved(seed=2).trials]


# ── stores and resuming ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kept", [1, 5, 9, 24])
def test_resumes_within_a_generation(kept: int) -> None:
    """With the first trials of a search in the store, the rest is evaluated and the whole is the same."""
    whole = _evolved().trials
    store = MemoryStore()
    store.add(whole[:kept])
    evaluator = Table()
    resumed = _evolved(evaluator, store=store)
    assert resumed.trials[:kept] == whole[:kept]
    assert _plain(resumed.trials) == _plain(whole)
    assert sorted(number for call in evaluator.calls for number in call) == list(range(kept, 24))
    assert _plain(store.trials()) == _plain(whole)


@pytest.mark.parametrize("dies_at", [0, 1, 3])
def test_goes_on_after_a_death(tmp_path: Path, dies_at: int) -> None:
    """On disk: what was evaluated before is taken, not evaluated again."""
    with pytest.raises(KeyboardInterrupt):
        _evolved(Table(chunk=4, dies_at=dies_at), store=tmp_path)
    evaluator = Table(chunk=4)
    resumed = _evolved(evaluator, store=tmp_path)
    assert _plain(resumed.trials) == _plain(_evolved(Table(chunk=4)).trials)
    with open_store(tmp_path) as store:
        assert store.trials() == list(resumed.trials)
    assert _evolved(Table(dies_at=0), store=tmp_path).trials == resumed.trials


def test_a_finished_search_is_extended() -> None:
    """More trials than before: the first are taken from the store."""
    store = MemoryStore()
    _evolved(store=store, n_trials=10)
    evaluator = Table()
    assert _plain(_evolved(evaluator, store=store).trials) == _plain(_evolved().trials)
    assert sum(map(len, evaluator.calls)) == 14


def test_trials_of_another_search_are_refused() -> None:
    """Another seed asks for another first arch: the store is left as it was."""
    store = MemoryStore()
    before = _evolved(store=store, seed=1, n_trials=6).trials
    with pytest.raises(RunFolderError, match=r"stored trial 0 is \{.*\}, but this search asks for \{.*use another"):
        _evolved(store=store, seed=2)
    assert tuple(store.trials()) == before


def test_trials_without_a_watched_cost_are_refused() -> None:
    """Whether they keep the limit is unknown."""
    store = MemoryStore()
    _evolved(store=store, n_trials=6)
    limited = Objective((Goal("top1_accuracy"),), (Constraint("flops", 1e9),))
    with pytest.raises(RunFolderError, match="stored trial 0 has no flops, which this search watches"):
        _evolved(store=store, objective=limited)


def test_a_given_store_stays_open(tmp_path: Path) -> None:
    """It is the caller's to close; one opened from a path is closed."""
    with open_store(tmp_path / "own.sqlite") as store:
        _evolved(store=store, n_trials=6)
        assert len(store) == 6


# ── failures ──────────────────────────────────────────────────────────────────────────────────────


def test_an_arch_that_raises_fails_alone() -> None:
    """With its text on one line and its costs; its neighbours in the chunk are complete."""
    whole = _evolved(n_trials=6).trials
    broken = whole[2].arch
    trials = _evolved(Table(broken=lambda arch: arch == broken), n_trials=6).trials
    assert _plain(trials[:2] + trials[3:]) == _plain(whole[:2] + whole[3:])
    assert (trials[2].status, trials[2].failure) == ("failed", "ArithmeticError: no number")
    assert (trials[2].metrics, trials[2].costs) == ({}, whole[2].costs)


def test_a_failed_trial_is_never_the_best() -> None:
    """Nor a parent: every child descends from a complete trial."""
    bad = _evolved().best.arch
    result = _evolved(Table(broken=lambda arch: arch == bad))
    assert result.best.arch != bad
    failed = [trial.number for trial in result.trials if not trial.is_complete]
    assert failed
    assert not [trial for trial in result.trials if trial.candidate.parent in failed]


def test_failures_are_not_evaluated_again_on_resuming() -> None:
    """A deterministic failure would fail again."""
    store = MemoryStore()
    first = _evolved(Table(broken=lambda arch: arch["depth"] == 1), store=store)
    assert _evolved(Table(dies_at=0), store=store).trials == first.trials


@pytest.mark.parametrize("chunk", [1, 64])
def test_too_many_failures_in_a_row_end_the_search(chunk: int) -> None:
    """The twentieth; the message names the arch and the reason."""
    store = MemoryStore()
    with pytest.raises(RunError) as caught:
        search(SPACE, Random(SPACE, n_trials=64), Table(chunk=chunk, broken=lambda _: True), ACCURACY, store=store)
    last = store.trials()[MAX_FAILURES - 1].arch
    assert str(caught.value) == f"20 trials in a row failed; the last, {last.key}: ArithmeticError: no number"
    assert caught.value.exit_code == 1


def test_a_success_in_between_starts_the_count_anew() -> None:
    """Nineteen failures, one success, nineteen failures: the search goes to its end."""
    archs = [t.arch for t in search(SPACE, Random(SPACE, n_trials=39), Table(), ACCURACY).trials]
    evaluator = Table(broken=lambda arch: arch != archs[19])
    result = search(SPACE, Random(SPACE, n_trials=39), evaluator, ACCURACY)
    assert [trial.number for trial in result.trials if trial.is_complete] == [19]
    assert result.best.arch == archs[19]


def test_no_complete_trial_has_no_best() -> None:
    """The error tells the last failure."""
    result = _evolved(Table(broken=lambda _: True), n_trials=6)
    with pytest.raises(RunError, match=r"none of 6 trials is complete and within the limits; the last failure: Arith"):
        _ = result.best
    assert result.pareto() == []


@pytest.mark.parametrize("error", [UsageError("mend this"), KeyboardInterrupt()])
def test_what_is_not_the_arch_s_fault_ends_the_search(error: BaseException) -> None:
    """Errors the user can mend and interruptions are no failed trials."""
    store = MemoryStore()
    with pytest.raises(type(error)):
        _evolved(Table(broken=lambda _: True, error=error), store=store)
    assert len(store) == 0


# ── limits and costs ──────────────────────────────────────────────────────────────────────────────


def test_unreachable_limit_is_refused_before_anything_is_evaluated() -> None:
    """With the smallest reachable value: width 2, kernel 1 has (3 + 1) · 2 · 36 + 2 · 3 = 294."""
    space, evaluator = NumberSpace(), Table()
    objective = Objective((Goal("top1_accuracy"),), (Constraint("macs", 200),))
    with pytest.raises(InfeasibleError, match="has macs <= 200; the smallest reachable is 294, so give at least that"):
        search(space, Random(space), evaluator, objective)
    assert evaluator.calls == []


def test_every_trial_keeps_the_limits() -> None:
    """Where most archs do not."""
    limit = 8_000.0
    assert sorted(trial.costs["macs"] for trial in _evolved().trials)[12] > limit
    trials = _evolved(objective=Objective((Goal("top1_accuracy"),), (Constraint("macs", limit),))).trials
    assert len(trials) == 24
    assert max(trial.costs["macs"] for trial in trials) <= limit


def test_costs_are_those_of_the_built_networks() -> None:
    """Counted one by one; for a supernet's space too these are the costs of the stand-alone network."""
    objective = Objective((Goal("top1_accuracy"),), (Constraint("flops", 1e9),))
    spos = SposSpace(input_shape=(1, 8, 8), n_classes=10)
    for space in (SPACE, spos):
        for trial in search(space, Random(space, n_trials=4), Table(), objective).trials:
            with torch.device("meta"):
                counted = count(space.build(trial.arch), space.input_shape)
            assert trial.costs == {"params": counted.params, "macs": counted.macs, "flops": 2 * counted.macs}


def test_costs_can_be_chosen() -> None:
    """Those given, and those limited."""
    objective = Objective((Goal("top1_accuracy"),), (Constraint("flops", 1e9),))
    assert set(_evolved(costs=[Params()], n_trials=2, objective=objective).trials[0].costs) == {"params", "flops"}
    assert set(_evolved(costs=[], n_trials=2).trials[0].costs) == set()


# ── results ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("goals", "costs"),
    [
        ((Goal("top1_accuracy"),), [Macs(), Params()]),
        ((Goal("top1_accuracy"), Goal("loss", "min")), []),
        ((Goal("loss", "min"),), [Macs()]),
    ],
)
def test_pareto_is_what_brute_force_finds(goals: tuple[Goal, ...], costs: list[Any]) -> None:
    """A trial stays where no other is as good in everything and better in something."""
    result = _evolved(objective=Objective(goals), costs=costs)

    def losses(trial: Trial) -> list[float]:
        signs = {"max": -1, "min": 1}
        return [signs[g.direction] * trial.metrics[g.name] for g in goals] + [trial.costs[c.name] for c in costs]

    def dominated(trial: Trial) -> bool:
        mine = losses(trial)
        others = [losses(other) for other in result.trials]
        return any(all(a <= b for a, b in zip(o, mine, strict=True)) and o != mine for o in others)

    expected = [trial for trial in result.trials if not dominated(trial)]
    found = result.pareto()
    assert sorted(trial.number for trial in found) == [trial.number for trial in expected]
    assert found[0] == result.best
    assert 1 < len(found) < len(result.trials)


def test_best_follows_the_direction() -> None:
    """The largest accuracy, the smallest loss."""
    for goal, best in ((Goal("top1_accuracy"), max), (Goal("loss", "min"), min)):
        result = _evolved(objective=Objective((goal,)))
        assert result.best.metrics[goal.name] == best(trial.metrics[goal.name] for trial in result.trials)


def test_model_is_the_evaluator_s_of_the_best() -> None:
    """With the arch and seed it was scored with."""
    result = _evolved()
    assert result.model().asked == (result.best.arch, result.best.candidate.seed)


def test_progress_tells_trials_and_the_best_so_far() -> None:
    """After each chunk."""
    with open_run(None, {}, seed=0, threads=1) as run, run.phase("search", total=24) as phase:
        seen: list[tuple[int, dict[str, Any]]] = []
        phase.advance = lambda done, **figures: seen.append((done, figures))  # type: ignore[method-assign]
        trials = _evolved(Table(chunk=4), phase=phase).trials
    assert [done for done, _ in seen] == [4, 6, 10, 12, 16, 18, 22, 24]
    scores = [trial.metrics["top1_accuracy"] for trial in trials]
    assert [figures for _, figures in seen] == [{"best": max(scores[:done])} for done, _ in seen]


def test_it_is_a_public_name() -> None:
    """`aw.search(...)`, as the first script has it."""
    assert aw.search is search


# ── nonsense ──────────────────────────────────────────────────────────────────────────────────────


class Misses(Table):
    """Gives no accuracy for some archs."""

    def evaluate(self, candidates: Sequence[Candidate]) -> list[Metrics]:
        return [{"loss": 1.0} if candidate.arch["depth"] == 1 else _score(candidate.arch) for candidate in candidates]


def test_a_goal_that_nobody_gives_ends_the_search() -> None:
    """At once, with what there is: neither a metric nor a cost has that name."""
    with pytest.raises(RunError, match=r"gave no speed, only .*, and the costs are params, macs; set a goal"):
        search(SPACE, Random(SPACE, n_trials=3), Table(), Objective((Goal("speed"),)))


def test_a_goal_on_a_cost_is_opened() -> None:
    """It is noted with each trial, though no limit names it; the first goal picks the winner."""
    objective = Objective((Goal("top1_accuracy"), Goal("memory_access_bytes", "min")))
    found = search(SPACE, Random(SPACE, n_trials=4), Table(), objective)
    assert all("memory_access_bytes" in trial.costs for trial in found.trials)
    assert found.best == max(found.trials, key=lambda trial: trial.metrics["top1_accuracy"])


def test_metrics_without_what_is_sought_are_a_failure() -> None:
    """Such a trial has no place in a ranking; the message says what was given instead."""
    trials = _evolved(Misses()).trials
    failures = {trial.failure for trial in trials if trial.arch["depth"] == 1}
    assert failures == {"the evaluator gave no top1_accuracy, only loss"}
    assert all(trial.is_complete for trial in trials if trial.arch["depth"] != 1)


def test_a_training_that_diverges_fails_its_trial() -> None:
    """A loss that is no number names its step, and the search goes on to the next architecture."""
    space = NumberSpace()
    evaluator = FromScratch(space, toy_task(space), TrainingConfig(steps=8, learning_rate=1e18))
    trials = search(space, Random(space, n_trials=2), evaluator, ACCURACY).trials
    assert len(trials) == 2
    assert all("loss" in trial.failure and "step" in trial.failure for trial in trials)
