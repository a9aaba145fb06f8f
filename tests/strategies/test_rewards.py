"""Rewards by the papers' figures, and what cannot be one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from archwright.core.arch import Arch
from archwright.core.errors import InvalidValueError, RunError, UnknownNameError
from archwright.core.objective import Constraint, Goal, Objective
from archwright.core.trial import Candidate, Trial
from archwright.costs.counted import Macs
from archwright.strategies.rewards import HARD, SOFT, RewardConfig, reward_of, settled, weighed
from archwright.testing import NumberSpace

PLAIN = Objective((Goal("top1_accuracy"),))


def trial(score: float, **costs: float) -> Trial:
    return Trial(Candidate(3, Arch({"x": 0}), 0), metrics={"top1_accuracy": score, "perplexity": score}, costs=costs)


@pytest.mark.parametrize(
    ("form", "latency", "expected"),
    [("soft", 160, 0.47632), ("soft", 40, 0.52486), ("soft", 80, 0.5), ("hard", 160, 0.25), ("hard", 40, 0.5)],
)
def test_mnasnet(form: str, latency: float, expected: float) -> None:
    """Figure 3: accuracy 0.5, target 80 ms."""
    config = RewardConfig(form, target=80.0)  # type: ignore[arg-type]
    assert reward_of(config, PLAIN)(trial(0.5, latency_ms=latency)) == pytest.approx(expected, abs=1e-5)


def test_the_exponent_trades_latency_for_accuracy() -> None:
    """Twice the latency for 5 % more accuracy is about the same (Sec. 3.1); by the hard one slow networks lose."""
    assert 1.05 * weighed(2.0, 1.0, *SOFT) == pytest.approx(1.0, abs=1e-3)
    assert 0.5 * weighed(1.01, 1.0, *HARD) < 0.5 * weighed(0.99, 1.0, *HARD)


def test_nas_with_rl() -> None:
    """Accuracy cubed; 80 / perplexity squared."""
    assert reward_of(RewardConfig("cubed"), PLAIN)(trial(0.5)) == 0.125
    texts = Objective((Goal("perplexity", "min"),))
    assert reward_of(RewardConfig("inverse-square"), texts)(trial(4.0)) == 5.0
    assert reward_of(RewardConfig(), texts)(trial(4.0)) == -4.0


def test_the_target_that_none_gives() -> None:
    """The one given, the limit on its cost, on another cost, or the mean of random architectures."""
    space = NumberSpace()
    limited = Objective((Goal("top1_accuracy"),), (Constraint("macs", 100.0),))
    given = RewardConfig("soft", target=3.0)
    assert settled(given, limited, space) == given
    assert settled(RewardConfig("hard", cost="macs"), limited, space).target == 100.0
    other = settled(RewardConfig("soft"), limited, space)
    assert (other.cost, other.target) == ("macs", 100.0)
    assert reward_of(replace(other, form="hard"), limited)(trial(0.8, macs=200)) == 0.4
    mean = settled(RewardConfig("soft"), PLAIN, space)
    every = Macs().cost_rows(space, space.decisions.enumerate_rows())
    assert mean.target == pytest.approx(float(every.mean()), rel=0.1)
    with pytest.raises(InvalidValueError, match="against a target, and there is none"):
        reward_of(RewardConfig("hard"), limited)


def test_what_is_no_reward() -> None:
    """One line each; an infinite reward names its trial, which stays in the store."""
    with pytest.raises(RunError, match="the reward of trial 3 is inf"):
        reward_of(RewardConfig("inverse-square"), PLAIN)(trial(0.0))
    with pytest.raises(InvalidValueError, match="weighs latency_ms, which trials do not have: they have macs"):
        reward_of(RewardConfig("soft", target=1.0), PLAIN)(trial(0.5, macs=1.0))
    with pytest.raises(UnknownNameError, match="unknown form of a reward 'magic'"):
        RewardConfig("magic")  # type: ignore[arg-type]
    with pytest.raises(InvalidValueError, match=r"reward\.target is 0; give a positive number"):
        RewardConfig("soft", target=0)
