"""Shared weights and arch parameters trained by gradients: together, in turn, or one looking ahead of the other."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from archwright.core.catalog import listed
from archwright.core.config import check_range
from archwright.core.errors import InvalidValueError, UnknownNameError
from archwright.core.trial import derive_seed
from archwright.nn.choice.selection import Weights
from archwright.nn.inputs import call
from archwright.policies.base import Policy
from archwright.policies.categorical import Categorical
from archwright.runs.phase import Phase
from archwright.tasks.augmenting import parse_augment
from archwright.tasks.base import Split, Task
from archwright.training.config import OptimizerConfig, TrainingConfig
from archwright.training.device import place_batch
from archwright.training.learners import Learner
from archwright.training.log import TrainingLog
from archwright.training.losses import TaskLoss
from archwright.training.sources import Now, Source
from archwright.training.steps import Scoring, run_steps
from archwright.weight_sharing.base import WEIGHTS, WeightSharing
from archwright.weight_sharing.collapse import CollapseWatch, Rule, WatchConfig
from archwright.weight_sharing.pressure import Measured, Pressure, PressureConfig
from archwright.weight_sharing.shared import SharedWeights, opened, relaxing

ALPHA, TRAIN, VALIDATION = "alpha", "train", "validation"

Order = Literal["first", "second"]
Level = Literal["bilevel", "single"]
Paths = Literal["mixture", "path"]

PASSES_AHEAD = 4
"""Forward and backward passes of a step of α that looks ahead."""

LENGTH_AHEAD = 0.01
"""Length of the two steps along the validation gradient by which the Hessian's product is found (DARTS, Sec. 2.3)."""

DARTS_ADAM = OptimizerConfig(
    optimizer="adam",
    learning_rate=3e-4,
    betas=(0.5, 0.999),
    weight_decay=1e-3,
    decay_norm_and_bias=True,
    schedule="constant",
)


@dataclass(frozen=True)
class AlphaConfig:
    """How arch parameters α are trained beside shared weights; by default as in first-order DARTS.

    Attributes:
        optimizer: Of α. Its decay meets α only with `decay_norm_and_bias`.
        order: "first", or "second": α follows the validation loss of weights that have made one more step (DARTS).
        level: "bilevel": α learns from other examples than the weights; "single": both from the same batch, at once.
        every: Steps of the weights for each of α, which comes before them. None lets whole passes over the two shares
            take turns, that of the weights first.
        warmup: Share of the training in which only the weights are trained.
        share: Of the training part, that α learns from; 0 takes the validation part.
        paths: What a step of the weights runs: a "mixture", or one sampled "path".
        pressure: Of the cost of architectures.

    Raises:
        InvalidValueError: If a number is out of its range, or the order and the level exclude each other.
    """

    optimizer: OptimizerConfig = DARTS_ADAM
    order: Order = "first"
    level: Level = "bilevel"
    every: int | None = 1
    warmup: float = 0.0
    share: float = 0.5
    paths: Paths = "mixture"
    pressure: PressureConfig = field(default_factory=PressureConfig)

    def __post_init__(self) -> None:
        for name, kind in (("order", Order), ("level", Level), ("paths", Paths)):
            if getattr(self, name) not in get_args(kind):
                raise UnknownNameError(f"alpha.{name}", getattr(self, name), get_args(kind))
        if self.every is not None:
            check_range("alpha.every", self.every, 1, 10**9)
        for name in ("warmup", "share"):
            if not 0 <= getattr(self, name) < 1:
                raise InvalidValueError(f"alpha.{name} is {getattr(self, name)}; give a number in [0, 1)")
        if self.level == "single" and (self.order == "second" or self.paths == "path" or self.every != 1):
            raise InvalidValueError(
                "alpha.level is single, where weights and α share each batch; that goes with order first, paths "
                "mixture and every 1"
            )
        if self.order == "second" and self.every is None:
            raise InvalidValueError("alpha.order second looks ahead of each step of the weights; give alpha.every")


@listed(
    "weight-sharing",
    "by-gradient",
    summary="weights and arch parameters by gradients: on the same batches or on two shares of the data",
    source="DARTS, Liu et al., ICLR 2019, arXiv:1806.09055; SNAS, arXiv:1812.09926; FBNet, arXiv:1812.03443; "
    "ProxylessNAS, arXiv:1812.00332",
)
class ByGradient(WeightSharing):
    """Weights and arch parameters in one training, each by its own optimizer.

    Which values run, and with which weights, is the policy's affair (`Categorical.mixture`). Steps of the weights leave
    α as it is and the other way round, but for the level "single", where both follow the same loss.

    Args:
        training: Of the weights.
        alpha: Of the arch parameters.
        costs: What `AlphaConfig.pressure` presses on.
        stop: When to end early, see `CollapseWatch`.
        watch: By which numbers.
        total: Steps of both, in place of those that `training` says.

    Raises:
        InvalidValueError: If the pressure lacks a cost.
    """

    def __init__(
        self,
        training: TrainingConfig,
        alpha: AlphaConfig | None = None,
        *,
        costs: tuple[Measured, ...] = (),
        stop: Rule = "never",
        watch: WatchConfig | None = None,
        total: int | None = None,
    ) -> None:
        self.training, self.alpha, self.costs, self._total = training, alpha or AlphaConfig(), costs, total
        self.stop, self.watch = stop, watch or WatchConfig()
        Pressure(self.alpha.pressure, costs)
        if self.alpha.order == "second" and (training.optimizer != "sgd" or training.nesterov or training.dampening):
            raise InvalidValueError(
                f"alpha.order second looks ahead by a step of SGD, and the weights have "
                f"{'nesterov' if training.nesterov else training.optimizer}; give supernet.optimizer=sgd without "
                "nesterov and dampening, or alpha.order=first"
            )

    # ── lengths ───────────────────────────────────────────────────────────────────────────────────

    def n_steps(self, task: Task) -> int:
        return self._plan(task).n

    def n_passes(self, task: Task) -> int:
        plan = self._plan(task)
        per_update = PASSES_AHEAD if self.alpha.order == "second" else 1
        return plan.n_weights + (plan.n_alpha * per_update if self.alpha.level == "bilevel" else 0)

    def lasting(self, n_steps: int, task: Task) -> ByGradient:
        training = self.training.lasting(n_steps, self.n_steps(task))
        return ByGradient(training, self.alpha, costs=self.costs, stop=self.stop, watch=self.watch, total=n_steps)

    @property
    def batch_size(self) -> int:
        return self.training.batch_size

    @property
    def is_mixed(self) -> bool:
        return self.alpha.paths == "mixture"

    def _plan(self, task: Task) -> Plan:
        share = self.alpha.share if self.alpha.level == "bilevel" else 0.0
        whole, size = task.split("train"), self.training.batch_size
        n_pass = max(1, round(whole.steps_per_epoch(size) * (1 - share)))
        n_weights = self.training.steps
        if n_weights is None:
            n_weights = max(1, round((self.training.epochs or 0) * n_pass / self.training.accumulate))
        if self.alpha.every is not None:
            return Plan(self._total or n_weights, self.alpha.warmup, self.alpha.every)
        n_other = whole.steps_per_epoch(size) * share if share else task.split("validation").steps_per_epoch(size)
        turn = (min(n_pass, n_weights), max(1, round(n_other)))
        n_turns = max(1, round(n_weights * (1 - self.alpha.warmup) / turn[0]))
        return Plan(self._total or n_weights + n_turns * turn[1], self.alpha.warmup, None, turn)

    # ── training ──────────────────────────────────────────────────────────────────────────────────

    def fit(
        self,
        shared: SharedWeights | nn.Module,
        policy: Policy,
        task: Task,
        *,
        seed: int,
        device: str | torch.device = "cpu",
        phase: Phase | None = None,
    ) -> TrainingLog:
        if not isinstance(policy, Categorical):
            raise InvalidValueError(
                f"{type(policy).__name__} has no arch parameters that gradients could move; give a Categorical or one "
                "of its kinds"
            )
        check_mixable(policy)
        network, relax = relaxing(shared)
        plan, config = self._plan(task), self.training
        weights = Learner(network, config, n_updates=plan.n_weights)
        alpha = Learner(policy, self.alpha.optimizer, n_updates=max(1, plan.n_alpha))
        pressure, watch = Pressure(self.alpha.pressure, self.costs), CollapseWatch(policy, self.stop, self.watch)
        parts = self._parts(task, seed)
        steps = _Steps(self, policy, weights, alpha, pressure, relax, opened(shared)[1], network, task)

        def step(now: Now) -> Mapping[str, Tensor] | None:
            if watch.is_stopped:
                return None
            policy.begin_step(now.progress)
            if self.alpha.level == "single" and plan.moves_alpha(now.number):
                return steps.together(now)
            losses = {}
            if self.alpha.level == "bilevel" and plan.moves_alpha(now.number):
                losses[ALPHA] = steps.of_alpha(now)
            if plan.moves_weights(now.number):
                losses[WEIGHTS] = steps.of_weights(now)
            return losses

        batch_of_look = parts.get(VALIDATION, parts[TRAIN])
        looking = _Looking(network, policy, relax, task, batch_of_look, self.training.batch_size, torch.device(device))
        return run_steps(
            step,
            {WEIGHTS: weights, ALPHA: alpha},
            sources={
                name: Source(part, config.batch_size, derive_seed(seed, f"batches of {name}"))
                for name, part in parts.items()
            },
            n_steps=plan.n,
            seed=seed,
            identity={
                **{"data": task.fingerprint, "part": "train", "alpha": _plain(self.alpha), **_named(self.costs)},
                **{"stop": self.stop, "watch": asdict(self.watch)},
            },
            device=device,
            precision=config.precision,
            channels_last=config.channels_last,
            stateful={"pressure": pressure, "watch": watch},
            scoring=Scoring(max(1, math.ceil(plan.n / self.watch.looks)), lambda: watch.look(looking.gradient)),
            phase=phase,
        )

    def _parts(self, task: Task, seed: int) -> dict[str, Split]:
        """Where the two learners' examples come from; their shares of the training part have none in common."""
        augment = parse_augment(self.training.augment)
        if self.alpha.level == "single":
            return {TRAIN: task.split("train").augmented(augment)}
        if not self.alpha.share:
            return {TRAIN: task.split("train").augmented(augment), VALIDATION: task.split("validation")}
        shares = (1 - self.alpha.share, self.alpha.share)
        one, other = task.shares("train", shares, seed=derive_seed(seed, "shares"))
        return {TRAIN: one.augmented(augment), VALIDATION: other.augmented(augment)}


@dataclass(frozen=True)
class Plan:
    """Which learner moves in which step.

    Attributes:
        n: Steps.
        warmup: Share of them in which only the weights move.
        every: See `AlphaConfig`; None where passes take turns.
        turn: Steps of the weights and of α in turn, in that case.
    """

    n: int
    warmup: float
    every: int | None
    turn: tuple[int, int] = (1, 1)

    @property
    def n_warm(self) -> int:
        """Steps of the warm-up."""
        return round(self.n * self.warmup)

    def moves_alpha(self, step: int) -> bool:
        """Whether α moves in a step."""
        place = step - self.n_warm
        if place < 0:
            return False
        return place % self.every == 0 if self.every is not None else place % sum(self.turn) >= self.turn[0]

    def moves_weights(self, step: int) -> bool:
        """Whether the weights move in a step."""
        return self.every is not None or not self.moves_alpha(step)

    @property
    def n_alpha(self) -> int:
        """Updates of α."""
        left = self.n - self.n_warm
        if self.every is not None:
            return math.ceil(left / self.every)
        whole, rest = divmod(left, sum(self.turn))
        return whole * self.turn[1] + max(0, rest - self.turn[0])

    @property
    def n_weights(self) -> int:
        """Updates of the weights."""
        return self.n if self.every is not None else self.n - self.n_alpha


class _Steps:
    """The steps of one training."""

    def __init__(
        self,
        sharing: ByGradient,
        policy: Categorical,
        weights: Learner,
        alpha: Learner,
        pressure: Pressure,
        relax: Callable[[Mapping[str, Any]], None],
        activate: Callable[[Any], None],
        network: nn.Module,
        task: Task,
    ) -> None:
        self.sharing, self.policy, self.weights, self.alpha = sharing, policy, weights, alpha
        self.pressure, self.relax, self.activate = pressure, relax, activate
        smoothing = sharing.training.label_smoothing
        self.loss = TaskLoss(network, task, label_smoothing=smoothing)
        # what α is told has no smoothed labels where the weights are told another batch
        self.validation_loss = TaskLoss(network, task, label_smoothing=0.0)

    def of_weights(self, now: Now) -> Tensor:
        """The weights' step: on a mixture, or on one path."""
        if self.sharing.alpha.paths == "path":
            self.activate(self.policy.draw(1, now.rng("path"))[0])
        else:
            with torch.no_grad():  # α needs no gradient here
                self.relax(self.policy.mixture(now.rng("weights"), now.progress))
        found = self.loss(now, TRAIN)
        self.weights.descend(found)
        return found.detach()

    def together(self, now: Now) -> dict[str, Tensor]:
        """One loss of one batch for both."""
        self.relax(self.policy.mixture(now.rng(ALPHA), now.progress))
        found = self.loss(now, TRAIN)
        self.weights.backward(self._whole(found, now), self.alpha)
        self.weights.update()
        self.alpha.update()
        self.policy.updated()
        return {WEIGHTS: found.detach()}

    def of_alpha(self, now: Now) -> Tensor:
        """α's step on a validation batch."""
        if self.sharing.alpha.order == "second":
            return self._looking_ahead(now)
        self.relax(self.policy.mixture(now.rng(ALPHA), now.progress))
        found = self.validation_loss(now, VALIDATION)
        self.alpha.descend(self._whole(found, now))
        self.policy.updated()
        return found.detach()

    def _whole(self, loss: Tensor, now: Now) -> Tensor:
        """The loss with the pressure of costs and the policy's own terms."""
        if self.pressure.presses:
            weights = None
            if self.pressure.config.sampled:
                weights = self.policy.weights(now.rng(ALPHA), now.progress)  # the sample of this step once more
            loss = self.pressure(loss, self.policy.probabilities(weights))
        own = self.policy.regularizer()
        return loss if own is None else loss + own

    def _looking_ahead(self, now: Now) -> Tensor:
        """α's step along the validation loss of weights that have made one more step (DARTS, Eq. 7 and 8)."""
        rate, parameters = self.weights.rate, _trainable(self.weights)
        alphas = dict(self.policy.named_parameters())

        def train_gradients(of: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
            now.reseed("ahead")  # the three passes drop the same
            self.relax(self.policy.mixture(now.rng(ALPHA), now.progress))
            return _gradients(self.loss(now, TRAIN), of)

        with self.weights.shifted({}):  # batch norms keep what they know
            ahead = self.weights.descent(train_gradients(parameters))
        with self.weights.shifted(ahead, -rate):
            self.relax(self.policy.mixture(now.rng(ALPHA), now.progress))
            found = self.alpha.checked(self.validation_loss(now, VALIDATION))
            both = _gradients(self._whole(found, now), {**_prefixed(alphas), **parameters})
        slopes = {name: both.pop(key) for name, key in zip(alphas, _prefixed(alphas), strict=True) if key in both}
        norm = math.sqrt(sum(float(each.square().sum()) for each in both.values()))
        if norm > 0:
            length = LENGTH_AHEAD / norm
            with self.weights.shifted(both, length):
                beyond = train_gradients(alphas)
            with self.weights.shifted(both, -length):
                before = train_gradients(alphas)
            for name in slopes:
                if name in beyond:
                    slopes[name] = slopes[name] - rate * (beyond[name] - before[name]) / (2 * length)
        self.alpha.follow(slopes)
        self.policy.updated()
        return found.detach()


class _Looking:
    """The gradient of the loss of one batch by α, as the collapse watch wants it."""

    def __init__(
        self,
        network: nn.Module,
        policy: Categorical,
        relax: Callable[[Mapping[str, Any]], None],
        task: Task,
        part: Split,
        batch_size: int,
        device: torch.device,
    ) -> None:
        self._network, self._policy, self._relax, self._task = network, policy, relax, task
        self._part, self._batch_size, self._device = part, batch_size, device

    def gradient(self) -> Tensor:
        """(number of α,): on the first batch of the part, of the mean weights."""
        batch = next(iter(self._part.batches(self._batch_size, seed=0, n_steps=1)))
        batch = place_batch(batch, self._device, channels_last=False)
        self._relax(mean_weights(self._policy))
        loss = self._task.loss(call(self._network, batch.inputs), batch, label_smoothing=0.0)
        (found,) = torch.autograd.grad(loss, [self._policy.alpha])
        return found.detach()


def mean_weights(policy: Categorical) -> dict[str, Weights]:
    """The weights of a mixture on average, differentiable; for `Selection.relax`."""
    return {
        name: list(enumerate(each.exp()[policy.n_none(name) :].unbind()))
        for name, each in policy.log_weights().items()
        if policy.decisions[name].kind != "number"
    }


def check_mixable(policy: Categorical) -> None:
    """Refuse a space whose archs cannot be mixed.

    Raises:
        InvalidValueError: Names the first decision that chooses a number.
    """
    for decision in policy.decisions:
        if decision.kind == "number":
            raise InvalidValueError(
                f"decision {decision.name!r} of space {policy.space.name!r} chooses a number, and numbers cannot be "
                "mixed; search by proxylessnas-rl, spos or another method that runs one architecture at a time"
            )


def _trainable(learner: Learner) -> dict[str, nn.Parameter]:
    return {name: parameter for name, parameter in learner.parameters().items() if parameter.requires_grad}


def _prefixed(alphas: Mapping[str, nn.Parameter]) -> dict[str, nn.Parameter]:
    """α under names that no weight has."""
    return {f"{ALPHA}/{name}": parameter for name, parameter in alphas.items()}


def _gradients(loss: Tensor, of: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
    """The gradients of a loss by the names of parameters; those that it does not depend on are left out."""
    found = torch.autograd.grad(loss, list(of.values()), allow_unused=True)
    return {name: gradient for name, gradient in zip(of, found, strict=True) if gradient is not None}


def _plain(config: AlphaConfig) -> dict[str, Any]:
    return {name: value for name, value in asdict(config).items() if name != "optimizer"}


def _named(costs: tuple[Measured, ...]) -> dict[str, Any]:
    return {"costs": [[cost.name, cost.limit] for cost in costs]} if costs else {}
