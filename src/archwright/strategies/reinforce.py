"""Search by policy gradients: a controller draws architectures and learns from their rewards."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from archwright.core.catalog import listed
from archwright.core.config import MAX_TRIALS, check_range
from archwright.core.decisions import Rows
from archwright.core.errors import InfeasibleError, InvalidValueError, UnknownNameError
from archwright.core.objective import Objective
from archwright.core.trial import Candidate, Trial, derive_seed
from archwright.policies.anchors import AnchorController
from archwright.policies.categorical import Categorical
from archwright.policies.controller import Controller
from archwright.policies.gradient import Baseline, reinforce_loss
from archwright.policies.learned import LearnedPolicy
from archwright.spaces.base import Space
from archwright.strategies.base import Feasible, Strategy
from archwright.strategies.rewards import RewardConfig, reward_of, settled

Update = Literal["reinforce", "ppo"]
PolicyName = Literal["controller", "anchors", "categorical"]

MAX_TRIES = 100
"""Times that a batch is drawn anew, as far as it lies over the limits, before uniform architectures fill it."""


@dataclass(frozen=True)
class ReinforceConfig:
    """Numbers of the search; defaults are those of NASNet where it states them, with REINFORCE in the place of PPO.

    Attributes:
        n_trials: Architectures tried.
        policy: "controller" (an LSTM), "anchors" (one whose skip connections are drawn by attention, for the spaces
            nas-rl and enas-macro) or "categorical" (each decision on its own).
        hidden: Size of the LSTM.
        layers: LSTM layers.
        spread: Its weights begin uniform in [-spread, spread].
        temperature: Divides logits.
        tanh_constant: Bounds logits by this times their tanh; None leaves them.
        update: "reinforce", or "ppo": several steps on a clipped ratio (Schulman et al., 2017).
        learning_rate: Of Adam.
        entropy: Weight of the entropy bonus.
        baseline_decay: Of the moving average of rewards; it begins with the mean of the first batch.
        clip_norm: Largest norm of a gradient; None leaves it.
        children: Architectures of a batch, m.
        replicas: Controllers that draw and learn side by side, K: each draws by the parameters it had before the
            batches of all others, so that its gradients are K - 1 updates old.
        shards: Servers among which the parameters are divided, S. It changes no arithmetic.
        accumulate: Gradients that are averaged in one update.
        ppo_clip: Of "ppo": how far a ratio may be from 1.
        ppo_epochs: Of "ppo": steps on each batch.
        reward: What a trial is worth.
    """

    n_trials: int = 200
    policy: PolicyName = "controller"
    hidden: int = 100
    layers: int = 1
    spread: float = 0.1
    temperature: float = 1.0
    tanh_constant: float | None = None
    update: Update = "reinforce"
    learning_rate: float = 3.5e-4
    entropy: float = 1e-5
    baseline_decay: float = 0.95
    clip_norm: float | None = None
    children: int = 20
    replicas: int = 1
    shards: int = 1
    accumulate: int = 1
    ppo_clip: float = 0.2
    ppo_epochs: int = 10
    reward: RewardConfig = field(default_factory=RewardConfig)

    def __post_init__(self) -> None:
        for name, kinds in (("policy", PolicyName), ("update", Update)):
            if getattr(self, name) not in get_args(kinds):
                raise UnknownNameError(name, getattr(self, name), get_args(kinds))
        whole = {"n_trials": MAX_TRIALS, "hidden": 100_000, "layers": 100, "children": 1_000_000}
        whole |= {"replicas": 100_000, "shards": 100_000, "accumulate": 100_000, "ppo_epochs": 10_000}
        for name, most in whole.items():
            check_range(f"reinforce.{name}", getattr(self, name), 1, most)
        check_range("reinforce.learning_rate", self.learning_rate, 1e-12, 1e3)
        check_range("reinforce.entropy", self.entropy, 0, 1e6)
        check_range("reinforce.spread", self.spread, 0, 1e6)
        check_range("reinforce.temperature", self.temperature, 1e-6, 1e6)
        check_range("reinforce.ppo_clip", self.ppo_clip, 1e-6, 1e6)
        for name in ("tanh_constant", "clip_norm"):
            if getattr(self, name) is not None:
                check_range(f"reinforce.{name}", getattr(self, name), 1e-9, 1e9)
        if not 0 <= self.baseline_decay < 1:
            raise InvalidValueError(f"reinforce.baseline_decay is {self.baseline_decay}; give 0 to below 1")
        if self.update == "ppo" and (self.replicas > 1 or self.accumulate > 1):
            raise InvalidValueError(
                "reinforce.update is ppo, which has one replica and no accumulation; leave them at 1"
            )


@listed(
    "strategy",
    "reinforce",
    summary="a controller draws architectures and learns from their rewards, by REINFORCE or PPO",
    source="Zoph & Le, ICLR 2017, arXiv:1611.01578; Zoph et al., CVPR 2018, arXiv:1707.07012",
)
class Reinforce(Strategy):
    """Policy gradients with a moving-average baseline and an entropy bonus.

    The gradient of a batch is the mean over its children of (reward - baseline) times the gradient of the
    log-probability (Zoph & Le, 2017, Sec. 3.2); the baseline is that before the batch. Children over a limit are drawn
    anew, at most `MAX_TRIES` times, after which uniform architectures stand in their place: those, failed trials, and
    what the search was told to begin with, teach nothing.

    Asynchronous training is simulated: batch b belongs to replica b mod K, which draws it as soon as its batch before,
    b - K, is told, by the parameters of that moment. So the result depends on K but never on how fast workers are, and
    K = 1 is the synchronous algorithm.

    Args:
        space: The space to search.
        config: Numbers of the search; None takes the defaults.
        seed: See `Strategy`.
        policy: What draws; None makes it by the config.
    """

    Config = ReinforceConfig
    lookahead = None
    may_repeat = True

    def __init__(
        self,
        space: Space,
        config: ReinforceConfig | None = None,
        *,
        seed: int = 0,
        policy: LearnedPolicy | None = None,
    ) -> None:
        self.config = config or ReinforceConfig()
        super().__init__(space, n_trials=self.config.n_trials, seed=seed)
        self._space = space
        self.policy = policy if policy is not None else open_policy(space, self.config, derive_seed(seed, "policy"))
        self._server = ParameterServer(self.policy, self.config)
        self._batches: deque[_Batch] = deque()  # asked, not yet told as a whole
        self._queue: deque[tuple[_Batch, int]] = deque()
        self._snapshots = {-1: self._server.pull()}  # parameters behind each batch, as long as a replica needs them
        self._n_batches = self._n_pushed = 0
        self._baseline = Baseline(self.config.baseline_decay)

    def ask(self, n: int) -> list[Candidate]:
        asked: list[Candidate] = []
        while len(asked) < n:
            if not self._queue and not self._begin():
                break
            batch, place = self._queue.popleft()
            row = batch.rows[place]
            asked.append(self.candidate(row, origin="policy" if batch.is_drawn[place] else "random"))
        return asked

    def tell(self, trials: Sequence[Trial]) -> None:
        for trial in trials:
            batch = self._batches[0]
            batch.trials.append(trial)
            if len(batch.trials) == len(batch.rows):
                self._learn(self._batches.popleft())

    def bind(self, objective: Objective, feasible: Feasible) -> None:
        super().bind(objective, feasible)
        self._reward = reward_of(settled(self.config.reward, objective, self._space), objective)

    # ── replicas ──────────────────────────────────────────────────────────────────────────────────

    def _begin(self) -> bool:
        """Draw the next batch, if its replica is free; whether it was."""
        number, k = self._n_batches, self.config.replicas
        if number - k >= self._n_pushed:
            return False
        self._n_batches += 1
        batch = self._drawn_batch(number, self._snapshots[max(-1, number - k)])
        self._snapshots = {i: kept for i, kept in self._snapshots.items() if i > number - k}
        if not len(batch.rows):
            return False
        self._batches.append(batch)
        self._queue.extend((batch, place) for place in range(len(batch.rows)))
        return True

    def _drawn_batch(self, number: int, parameters: Mapping[str, Tensor]) -> _Batch:
        n, rng = self.config.children, np.random.default_rng(derive_seed(self.seed, "batch", number))
        policy = self._server.policy_with(parameters)
        given = self.given(n)
        rows: list[Rows] = [given]
        missing = n - len(given)
        for _ in range(MAX_TRIES):
            if not missing:
                break
            found = policy.draw(missing, rng)
            rows.append(found[self.feasible(found)])
            missing -= len(rows[-1])
        n_drawn = n - len(given) - missing
        if missing:
            rows.append(self._uniform(missing, rng, is_first=not number and not n_drawn))
        every = np.concatenate(rows)
        is_drawn = np.zeros(len(every), dtype=bool)
        is_drawn[len(given) : len(given) + n_drawn] = True
        return _Batch(number, every, is_drawn, parameters)

    def _uniform(self, n: int, rng: np.random.Generator, *, is_first: bool) -> Rows:
        try:
            return self.drawn(n, rng)
        except InfeasibleError:
            if is_first:
                raise
            return np.empty((0, len(self.decisions)), dtype=np.int16)

    # ── learning ──────────────────────────────────────────────────────────────────────────────────

    def _learn(self, batch: _Batch) -> None:
        kept = [i for i, trial in enumerate(batch.trials) if trial.is_complete and batch.is_drawn[i]]
        rewards = torch.tensor([self._reward(batch.trials[i]) for i in kept], dtype=torch.float32)
        if kept:
            rows = batch.rows[kept]
            advantages = rewards - self._baseline.before(float(rewards.mean()))
            if self.config.update == "ppo":
                self._server.improve(rows, advantages)
            else:
                self._server.push(self._server.gradient(rows, advantages, batch.parameters))
        self._n_pushed = batch.number + 1
        self._snapshots[batch.number] = self._server.pull()


@dataclass
class _Batch:
    """Children of one replica.

    Attributes:
        number: Of the batch.
        rows: (n, n_decisions).
        is_drawn: (n,) whether the policy drew each.
        parameters: By which it did.
        trials: Told so far, in the order of the rows.
    """

    number: int
    rows: Rows
    is_drawn: np.ndarray
    parameters: Mapping[str, Tensor]
    trials: list[Trial] = field(default_factory=list)


class ParameterServer:
    """The parameters of a policy, divided among shards that each move theirs by an Adam of their own.

    Replicas pull parameters and push gradients, which may be older than the parameters they move.

    Args:
        policy: Whose parameters.
        config: Numbers of the updates.
    """

    def __init__(self, policy: LearnedPolicy, config: ReinforceConfig) -> None:
        self.policy, self.config = policy, config
        self._parameters = dict(policy.named_parameters())
        self._stale = copy.deepcopy(policy)  # a replica's policy; its parameters are put in when it is used
        shards = [list(self._parameters.values())[i :: config.shards] for i in range(config.shards)]
        self._optimizers = [torch.optim.Adam(shard, lr=config.learning_rate) for shard in shards if shard]
        self._pushed: list[dict[str, Tensor]] = []

    def pull(self) -> dict[str, Tensor]:
        """A copy of the parameters by name."""
        return {name: parameter.detach().clone() for name, parameter in self._parameters.items()}

    def policy_with(self, parameters: Mapping[str, Tensor]) -> LearnedPolicy:
        """The policy as it was with these parameters; until the next call.

        Args:
            parameters: What `pull` gave.
        """
        with torch.no_grad():
            for name, parameter in self._stale.named_parameters():
                parameter.copy_(parameters[name])
        return self._stale

    def gradient(self, rows: Rows, advantages: Tensor, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The gradient of the loss of REINFORCE by parameters that may be old.

        Args:
            rows: (n, n_decisions) of one batch.
            advantages: (n,) rewards less the baseline.
            parameters: By which the batch was drawn.
        """
        policy = self.policy_with(parameters)
        loss = reinforce_loss(policy, rows, advantages, entropy=self.config.entropy)
        named = dict(policy.named_parameters())
        found = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
        return {
            name: torch.zeros_like(named[name]) if each is None else each
            for name, each in zip(named, found, strict=True)
        }

    def push(self, gradient: Mapping[str, Tensor]) -> None:
        """Take a gradient; with enough of them, move by their mean.

        Args:
            gradient: By the parameters' names.
        """
        self._pushed.append(dict(gradient))
        if len(self._pushed) < self.config.accumulate:
            return
        for name, parameter in self._parameters.items():
            parameter.grad = torch.stack([each[name] for each in self._pushed]).mean(dim=0)
        self._pushed = []
        self._move()

    def improve(self, rows: Rows, advantages: Tensor) -> None:
        """Steps of PPO on one batch, drawn by the present parameters (Schulman et al., 2017, arXiv:1707.06347, Eq. 7).

        Args:
            rows: (n, n_decisions).
            advantages: (n,) rewards less the baseline.
        """
        with torch.no_grad():
            before = self.policy.log_prob(rows)
        low, high = 1 - self.config.ppo_clip, 1 + self.config.ppo_clip
        for _ in range(self.config.ppo_epochs):
            ratio = (self.policy.log_prob(rows) - before).exp()
            gain = torch.minimum(ratio * advantages, ratio.clamp(low, high) * advantages).mean()
            loss = -gain - self.config.entropy * self.policy.entropy(rows).mean()
            for optimizer in self._optimizers:
                optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            self._move()

    def _move(self) -> None:
        if self.config.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(list(self._parameters.values()), self.config.clip_norm)
        for optimizer in self._optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)


def open_policy(space: Space, config: ReinforceConfig, seed: int) -> LearnedPolicy:
    """The policy that a config names, untrained.

    Args:
        space: Where archs come from.
        config: Names it, with its sizes.
        seed: Of its parameters.
    """
    if config.policy == "categorical":
        return Categorical(space, seed=seed % 2**63)
    kind = AnchorController if config.policy == "anchors" else Controller
    return kind(
        space,
        hidden=config.hidden,
        layers=config.layers,
        temperature=config.temperature,
        tanh_constant=config.tanh_constant,
        spread=config.spread,
        seed=seed % 2**63,
    )
