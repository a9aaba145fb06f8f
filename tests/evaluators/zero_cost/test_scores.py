"""The evaluator of zero-cost scores: all of them, what they read, and that a candidate's figures are its own."""

from __future__ import annotations

import math

import numpy as np
import pytest

from archwright.core.errors import InvalidValueError, UnknownNameError, UsageError
from archwright.core.objective import Goal, Objective
from archwright.core.trial import Candidate, Trial
from archwright.costs.counted import Macs
from archwright.evaluators import Evaluator
from archwright.evaluators.zero_cost.scores import COMBINED, SCORES, ZeroCost, ordered, scored
from archwright.runners import ProcessPool
from archwright.search import search
from archwright.spaces import NasBench201, Space
from archwright.strategies.random import Random
from archwright.testing import ElasticSpace, EvaluatorContract, RnnTiny, toy_task, toy_text

SPACE = NasBench201(input_shape=(3, 8, 8), n_classes=4, channels=4, cells=1)


class TestContract(EvaluatorContract):
    has_model = False
    tolerance = 0.0

    def make(self, space: Space) -> Evaluator:
        scores = [name for name in SCORES if name not in ("progressivity", "trainability")]  # infinite for some cells
        return ZeroCost(space, toy_task(space), scores, batch_size=8)

    def make_space(self) -> Space:
        return SPACE


def candidates(n: int) -> list[Candidate]:
    rows = SPACE.decisions.sample(n, np.random.default_rng(0))
    return [Candidate(i, arch, i) for i, arch in enumerate(SPACE.decisions.archs(rows))]


@pytest.fixture(scope="module")
def evaluator() -> ZeroCost:
    return ZeroCost(SPACE, toy_task(SPACE), list(SCORES), batch_size=8)


def test_every_score_of_every_candidate(evaluator: ZeroCost) -> None:
    """Numbers, in the order in which they were asked for; none is constant and no two rank alike."""
    found = evaluator.evaluate(candidates(24))
    assert all(list(metrics) == list(SCORES) for metrics in found)
    columns = {name: [metrics[name] for metrics in found] for name in SCORES}
    assert not any(math.isnan(value) for column in columns.values() for value in column)
    orders = {name: tuple(np.argsort(column, kind="stable")) for name, column in columns.items()}
    for name, column in columns.items():
        assert len(set(column)) > 2 or name == "layers", name
    names = [name for name in SCORES if name not in ("params", "macs", "layers", "live_macs")]  # tables may agree
    assert len({orders[name] for name in names}) == len(names)


def test_figures_are_those_of_the_candidate_alone(evaluator: ZeroCost) -> None:
    """Not of the others, nor of what came before: bit for bit."""
    several = candidates(6)
    together = evaluator.evaluate(several)
    assert [evaluator.evaluate([candidate])[0] for candidate in reversed(several)] == together[::-1]
    again = ZeroCost(SPACE, toy_task(SPACE), list(SCORES), batch_size=8)
    assert again.evaluate(several) == together


def test_dead_edges_do_not_count() -> None:
    """Convolutions into a node that nothing reads."""
    code = "|nor_conv_3x3~0|+|nor_conv_3x3~0|none~1|+|skip_connect~0|none~1|none~2|"
    bare = "|none~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|"
    evaluator = ZeroCost(SPACE, toy_task(SPACE), ["macs", "live_macs"])
    dead, live = evaluator.evaluate([Candidate(i, SPACE.parse(text), 0) for i, text in enumerate((code, bare))])
    assert dead["live_macs"] == live["live_macs"] == live["macs"] < dead["macs"]
    assert live["macs"] == Macs().cost_rows(SPACE, SPACE.parse_rows([bare]))[0]


def test_combined_scores_rank_a_population() -> None:
    """AZ-NAS's four parts: the best of all four is the best."""
    evaluator = ZeroCost(SPACE, toy_task(SPACE), COMBINED["az-nas"], batch_size=8)
    population = candidates(12)
    found = scored(evaluator, population, combined="az-nas")
    assert found.shape == (12,)
    assert found.max() <= 0
    single = ZeroCost(SPACE, toy_task(SPACE), ["macs"])
    assert scored(single, population).tolist() == [m["macs"] for m in single.evaluate(population)]


def test_what_cannot_be_scored() -> None:
    task = toy_task(SPACE)
    with pytest.raises(UnknownNameError, match="unknown score 'magic'"):
        ZeroCost(SPACE, task, ["magic"])
    with pytest.raises(InvalidValueError, match="0 scores of batches of 64 images"):
        ZeroCost(SPACE, task, [])
    with pytest.raises(UsageError, match="read two batches of 100000 images"):
        ZeroCost(SPACE, task, ["snip"], batch_size=100_000)
    with pytest.raises(UsageError, match="train nothing"):
        ZeroCost(SPACE, task, ["macs"]).model(candidates(1)[0].arch, 0)


def test_ranks_by_hand() -> None:
    """Ranks of a are 1, 2, 3 of 3, those of b 3, 1, 2: log(1/3) + 0, log(2/3) + log(1/3), 0 + log(2/3)."""
    trials = [
        Trial(Candidate(i, SPACE.sample(1, np.random.default_rng(i))[0], 0), metrics={"a": a, "b": b})
        for i, (a, b) in enumerate([(1.0, 9.0), (2.0, -math.inf), (3.0, 5.0)])
    ]
    failed = Trial(trials[0].candidate, "failed", failure="why")
    assert [trial.number for trial in ordered([failed, *trials], ["a", "b"])] == [2, 0, 1]
    assert ordered([failed], ["a"]) == [failed]


def test_worker_processes_score_alike(evaluator: ZeroCost) -> None:
    """A search of two processes has the figures of one."""
    drawn = [
        search(SPACE, Random(SPACE, n_trials=5, seed=3), evaluator, Objective((Goal("synflow"),)), runner=runner)
        for runner in (None, ProcessPool(2, threads=1))
    ]
    one, two = ([(trial.candidate, trial.metrics) for trial in found.trials] for found in drawn)
    assert one == two


def test_spaces_and_tasks_without_stages_or_images() -> None:
    """Said before a number is made up."""
    numbers = ElasticSpace()
    (arch,) = numbers.sample(1, np.random.default_rng(0))
    with pytest.raises(UsageError, match="are no sequences of stages, whose maps zen read"):
        ZeroCost(numbers, toy_task(numbers), ["zen"], batch_size=8).evaluate([Candidate(0, arch, 0)])
    texts = RnnTiny()
    with pytest.raises(UsageError, match="zero-cost scores are of networks that put images into classes"):
        ZeroCost(texts, toy_text(texts), ["synflow"])
