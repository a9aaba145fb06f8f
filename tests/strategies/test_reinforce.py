"""Policy gradients: the contract, the estimate beside the exact gradient, staleness, shards, PPO, toy rewards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from archwright.core.errors import InvalidValueError, RunError
from archwright.core.objective import Goal, Objective
from archwright.core.trial import Candidate, Trial
from archwright.policies import Categorical, Controller
from archwright.policies.gradient import reinforce_loss
from archwright.spaces import EnasMacro, EnasMicro, NasNet, NasRl, Space
from archwright.strategies.base import Strategy
from archwright.strategies.reinforce import ParameterServer, Reinforce, ReinforceConfig
from archwright.strategies.rewards import RewardConfig
from archwright.testing import BranchSpace, StrategyContract

OBJECTIVE = Objective((Goal("score"),))
SMALL = ReinforceConfig(hidden=8, children=4, learning_rate=0.05)


class TestContract(StrategyContract):
    asks_again = True

    def make(self, space: Space, seed: int) -> Strategy:
        return Reinforce(space, replace(SMALL, n_trials=60), seed=seed)


class TestReplicasContract(StrategyContract):
    asks_again = True

    def make(self, space: Space, seed: int) -> Strategy:
        config = replace(SMALL, n_trials=60, policy="categorical", replicas=3, accumulate=2, shards=2, clip_norm=1.0)
        return Reinforce(space, config, seed=seed)


class TestPpoContract(StrategyContract):
    asks_again = True

    def make(self, space: Space, seed: int) -> Strategy:
        return Reinforce(space, replace(SMALL, n_trials=40, update="ppo", ppo_epochs=2), seed=seed)


def share_of_first(candidate: Candidate) -> float:
    """A toy reward: the share of decisions that have their first value."""
    values = list(candidate.arch.values())
    return sum(1.0 for value in values if value in (0, "sep_conv_3x3", "conv_3x3", "identity", (0,), 1)) / len(values)


def run(
    strategy: Reinforce, n: int, score: Callable[[Candidate], float] = share_of_first, at_once: int = 1000
) -> list[Trial]:
    strategy.bind(OBJECTIVE, lambda rows: np.ones(len(rows), bool))
    trials: list[Trial] = []
    while len(trials) < n and (asked := strategy.ask(min(at_once, n - len(trials)))):
        told = [Trial(candidate, metrics={"score": score(candidate)}) for candidate in asked]
        strategy.tell(told)
        trials += told
    return trials


# ── the estimate ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("make", [Categorical, lambda space: Controller(space, hidden=5, spread=0.5)])
@pytest.mark.parametrize("baseline", [0.0, 0.4])
def test_the_estimate_is_unbiased(make: Callable[[Space], torch.nn.Module], baseline: float) -> None:
    """20,000 samples beside the gradient of the expected reward by enumeration, within four standard errors."""
    space = BranchSpace()
    torch.manual_seed(0)
    policy = make(space)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape))
    rows = space.decisions.enumerate_rows()
    rewards = torch.from_numpy(np.random.default_rng(0).random(len(rows))).float()
    parameters = list(policy.parameters())
    exact = torch.autograd.grad((policy.log_prob(rows).exp() * rewards).sum(), parameters, allow_unused=True)
    drawn = policy.draw(20_000, np.random.default_rng(1))
    place = {row.tobytes(): i for i, row in enumerate(rows)}
    which = np.array([place[row.tobytes()] for row in drawn])
    batches = which.reshape(50, 400)
    found = [
        torch.autograd.grad(
            -reinforce_loss(policy, rows[batch], rewards[torch.from_numpy(batch)] - baseline),
            parameters,
            allow_unused=True,
        )
        for batch in batches
    ]
    for i, expected in enumerate(exact):
        if expected is None:
            continue
        each = torch.stack([gradients[i] for gradients in found])
        error = each.std(0) / len(found) ** 0.5
        assert ((each.mean(0) - expected).abs() <= 4.5 * error + 1e-6).all()


def test_the_loss_by_hand() -> None:
    """A uniform policy over 2 x 3 values: log-probability and entropy are known."""
    space = BranchSpace()
    policy = Categorical(space)
    rows = space.decisions.enumerate_rows()[:2]
    loss = reinforce_loss(policy, rows, torch.tensor([1.0, -0.5]), entropy=0.1)
    log_prob, entropy = policy.log_prob(rows), policy.entropy(rows)
    expected = -(1.0 * log_prob[0] - 0.5 * log_prob[1]) / 2 - 0.1 * entropy.mean()
    assert torch.allclose(loss, expected)


# ── replicas and servers ──────────────────────────────────────────────────────────────────────────


def test_one_replica_is_the_synchronous_algorithm() -> None:
    """By hand: a batch, its gradient, a step of Adam, the next batch."""
    space = BranchSpace()
    strategy = Reinforce(space, replace(SMALL, policy="categorical", entropy=0.0), seed=3)
    policy = Categorical(space)
    optimizer = torch.optim.Adam(policy.parameters(), lr=0.05)
    baseline = None
    trials = run(strategy, 12)
    for start in range(0, 12, 4):
        batch = trials[start : start + 4]
        rewards = torch.tensor([trial.metrics["score"] for trial in batch])
        mean = float(rewards.mean())
        loss = reinforce_loss(policy, _rows(space, batch), rewards - (mean if baseline is None else baseline))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        baseline = mean if baseline is None else 0.95 * baseline + 0.05 * mean
    assert torch.allclose(dict(strategy.policy.named_parameters())["alpha"], policy.alpha, atol=1e-7)


def test_gradients_are_as_old_as_there_are_other_replicas() -> None:
    """Of two: the second batch is drawn by the first parameters; the third by those behind the first batch."""
    space = BranchSpace()
    config = replace(SMALL, policy="categorical", replicas=2, learning_rate=0.5)
    strategy = Reinforce(space, config, seed=3)
    strategy.bind(OBJECTIVE, lambda rows: np.ones(len(rows), bool))
    pulled = []
    original = strategy._server.policy_with

    def watched(parameters: dict[str, torch.Tensor]) -> object:
        pulled.append(parameters["alpha"].clone())
        return original(parameters)

    strategy._server.policy_with = watched  # type: ignore[method-assign,assignment]
    asked = strategy.ask(100)
    assert len(asked) == 8
    assert torch.equal(pulled[0], pulled[1])
    strategy.tell([Trial(c, metrics={"score": share_of_first(c)}) for c in asked[:4]])
    after_first = strategy._server.pull()["alpha"]
    assert not torch.equal(after_first, pulled[0])
    strategy.tell([Trial(c, metrics={"score": share_of_first(c)}) for c in asked[4:]])
    strategy.ask(4)
    assert torch.equal(pulled[-1], after_first)


@pytest.mark.parametrize("at_once", [1, 3, 1000])
def test_how_many_are_asked_at_once_does_not_matter(at_once: int) -> None:
    """Nor how fast workers are: the archs are the same."""
    config = replace(SMALL, replicas=3, policy="categorical")
    space = BranchSpace()
    expected = [trial.arch for trial in run(Reinforce(space, config, seed=1), 40)]
    assert [trial.arch for trial in run(Reinforce(space, config, seed=1), 40, at_once=at_once)] == expected


def test_servers_change_no_arithmetic() -> None:
    """To the bit."""
    space = BranchSpace()
    runs = [Reinforce(space, replace(SMALL, shards=shards), seed=2) for shards in (1, 3)]
    one, other = (run(strategy, 24) for strategy in runs)
    assert [trial.arch for trial in one] == [trial.arch for trial in other]
    for a, b in zip(runs[0].policy.parameters(), runs[1].policy.parameters(), strict=True):
        assert torch.equal(a, b)


def test_gradients_are_averaged_before_an_update() -> None:
    """Of two pushes of g and 3 g, the step is that of 2 g."""
    space = BranchSpace()
    servers = [ParameterServer(Categorical(space), replace(SMALL, accumulate=n)) for n in (2, 1)]
    g = {"alpha": torch.linspace(-1, 1, len(Categorical(space).alpha))}
    before = servers[0].pull()["alpha"]
    servers[0].push(g)
    assert torch.equal(servers[0].pull()["alpha"], before)
    servers[0].push({"alpha": 3 * g["alpha"]})
    servers[1].push({"alpha": 2 * g["alpha"]})
    assert torch.equal(servers[0].pull()["alpha"], servers[1].pull()["alpha"])


def test_ppo_stops_where_the_ratio_leaves_its_range() -> None:
    """One arch with an advantage: many small steps raise its chance by a fifth and a little; unclipped by more."""
    space = BranchSpace()
    rows, ratios = space.decisions.enumerate_rows()[:1], []
    for clip in (0.2, 1e6):
        config = replace(SMALL, update="ppo", ppo_clip=clip, ppo_epochs=200, learning_rate=0.01, policy="categorical")
        server = ParameterServer(Categorical(space), config)
        before = server.policy.log_prob(rows).detach()
        server.improve(rows, torch.tensor([1.0]))
        ratios.append(float((server.policy.log_prob(rows).detach() - before).exp()))
    assert 1.2 < ratios[0] < 1.6
    assert ratios[1] > 2


# ── learning ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("space", "changes"),
    [
        pytest.param(NasRl(layers=3), {"policy": "anchors", "layers": 2, "hidden": 35}, marks=pytest.mark.slow),
        (EnasMacro(layers=3), {"policy": "anchors", "hidden": 64, "tanh_constant": 2.5}),
        pytest.param(EnasMicro(blocks=2), {"tanh_constant": 2.5, "temperature": 1.0}, marks=pytest.mark.slow),
        pytest.param(NasNet(blocks=1), {"update": "ppo", "learning_rate": 0.005}, marks=pytest.mark.slow),
        (NasNet(blocks=2), {"policy": "categorical"}),
    ],
    ids=["nas-rl", "enas-macro", "enas-micro", "nasnet-ppo", "categorical"],
)
def test_a_toy_reward_is_learnt(space: Space, changes: dict[str, object]) -> None:
    """Nine tenths of the best reward within 300 updates, on average over the last twenty batches."""
    config = replace(ReinforceConfig(n_trials=6000, learning_rate=0.02, ppo_epochs=4), **changes)  # type: ignore[arg-type]
    first = {decision.name: decision.values[0] for decision in space.decisions}

    def score(candidate: Candidate) -> float:
        return sum(candidate.arch[name] == value for name, value in first.items()) / len(first)

    trials = run(Reinforce(space, config, seed=0), 6000, score)
    assert np.mean([trial.metrics["score"] for trial in trials[-400:]]) >= 0.9


def test_failed_trials_teach_nothing() -> None:
    """A batch that failed leaves the parameters and the baseline."""
    space = BranchSpace()
    strategy = Reinforce(space, SMALL, seed=0)
    strategy.bind(OBJECTIVE, lambda rows: np.ones(len(rows), bool))
    before = strategy._server.pull()
    asked = strategy.ask(4)
    strategy.tell([Trial(candidate, "failed", failure="why") for candidate in asked])
    after = strategy._server.pull()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert strategy.ask(4)


def test_a_reward_that_is_none_is_named() -> None:
    space = BranchSpace()
    strategy = Reinforce(space, replace(SMALL, reward=RewardConfig("inverse-square")), seed=0)
    with pytest.raises(RunError, match="the reward of trial 0 is inf"):
        run(strategy, 4, lambda _: 0.0)


def test_numbers_that_do_not_fit() -> None:
    with pytest.raises(InvalidValueError, match="ppo, which has one replica"):
        ReinforceConfig(update="ppo", replicas=2)
    with pytest.raises(InvalidValueError, match=r"reinforce\.baseline_decay is 1; give 0 to below 1"):
        ReinforceConfig(baseline_decay=1)


def _rows(space: Space, trials: list[Trial]) -> np.ndarray:
    return space.decisions.rows([trial.arch for trial in trials])
