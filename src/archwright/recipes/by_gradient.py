"""What searches by gradient share: weights and arch parameters in one training, and what is derived from them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, Self, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from archwright.core.config import check_range
from archwright.core.decisions import Rows
from archwright.core.errors import InvalidValueError, UnknownNameError
from archwright.core.objective import Objective
from archwright.core.trial import Candidate
from archwright.costs.profiling.profile import ProfileConfig
from archwright.costs.watch import Watch, open_costs
from archwright.evaluators.base import Evaluator
from archwright.evaluators.supernet import CalibrationConfig
from archwright.finish import Found
from archwright.policies.categorical import Categorical
from archwright.policies.likeliest import Keeps, likeliest
from archwright.policies.relaxed import (
    BinaryGates,
    DirichletWeights,
    GumbelSoftmax,
    Shrinking,
    SigmoidWeights,
    Temperature,
    check_paths,
    check_stages,
)
from archwright.recipes.augmenting import as_published
from archwright.recipes.base import SearchConfig
from archwright.recipes.limited_costs import n_unmeasured
from archwright.recipes.opened import OpenSearch
from archwright.recipes.presets import LOW_RATE, QUICK_STEPS, darts_training, long, suited, usual_training
from archwright.search import SearchResult
from archwright.spaces.base import Space
from archwright.strategies.drawn import Drawn
from archwright.training.config import OptimizerConfig, TrainingConfig
from archwright.training.evaluate import evaluate
from archwright.weight_sharing.by_gradient import AlphaConfig, ByGradient, check_mixable, mean_weights
from archwright.weight_sharing.collapse import Rule, WatchConfig, skip_share
from archwright.weight_sharing.pressure import Measured, Pressure, PressureConfig, expected_cost
from archwright.weight_sharing.shared import SharedWeights

Kind = Literal["softmax", "gumbel", "gates", "dirichlet", "sigmoid", "shrinking"]
Derive = Literal["likeliest", "shared", "trained"]


@dataclass(frozen=True)
class MixingConfig:
    """How the values of a decision are weighed while all of them are searched.

    Attributes:
        kind: "softmax" (DARTS), "gumbel" (SNAS, FBNet; with `hard` GDAS), "gates" (ProxylessNAS), "dirichlet" (DrNAS),
            "sigmoid" (FairDARTS) or "shrinking" (P-DARTS); see `archwright.policies`.
        spread: Standard deviation of the initial α.
        edge_weights: Whether the edges of a node have weights too (PC-DARTS).
        temperature: Of "gumbel".
        hard: Whether "gumbel" runs the sampled value alone.
        paths: Values of a decision that run with "gates": 1, 2 or None for all.
        stages: Values of a decision in each stage of "shrinking".
    """

    kind: Kind = "softmax"
    spread: float = 1e-3
    edge_weights: bool = False
    temperature: Temperature = field(default_factory=Temperature)
    hard: bool = False
    paths: int | None = 2
    stages: tuple[int, ...] = Shrinking.P_DARTS

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise UnknownNameError("kind of mixing", self.kind, get_args(Kind))
        check_paths("mixing.paths", self.paths)
        check_stages("mixing.stages", self.stages)
        if not 0 <= self.spread < math.inf:
            raise InvalidValueError(f"mixing.spread is {self.spread}; give 0 or more")
        if self.kind == "gates" and self.edge_weights:
            raise InvalidValueError("mixing.edge_weights is True, and gates have none; leave it out")

    def open(self, space: Space, seed: int) -> Categorical:
        """The policy over the archs of a space.

        Args:
            space: Has the decisions.
            seed: Of the initial α.
        """
        given: dict[str, Any] = {"spread": self.spread, "seed": seed}
        if self.kind == "gates":
            return BinaryGates(space, paths=self.paths, **given)
        given["edge_weights"] = self.edge_weights
        if self.kind == "gumbel":
            return GumbelSoftmax(space, temperature=self.temperature, hard=self.hard, **given)
        if self.kind == "shrinking":
            return Shrinking(space, stages=self.stages, **given)
        return {"softmax": Categorical, "dirichlet": DirichletWeights, "sigmoid": SigmoidWeights}[self.kind](
            space, **given
        )


@dataclass(frozen=True)
class GradientConfig(SearchConfig):
    """Numbers of a search by gradient.

    Attributes:
        supernet: Training of the shared weights.
        alpha: Training of the arch parameters beside them.
        mixing: What a step runs.
        stop: When the search ends early: "never", "skip" or "eigenvalue"; see `CollapseWatch`.
        watch: By which numbers.
        aims_at_limits: Whether limits, where some are given, press on α by the form "target" in place of
            `alpha.pressure`, and an architecture that uses `alpha.pressure.least` of its limit is preferred in the end.
        derive: How architectures follow from α: "likeliest" takes the one of the highest probability within the limits,
            which without limits is what the papers derive; "shared" draws some and takes the best by the shared
            weights; "trained" draws some and trains each from scratch.
        n_derived: How many are drawn.
        candidate: Training of each of them with "trained".
        calibration: Images that set batch-norm statistics where shared weights score.
    """

    supernet: TrainingConfig = field(default_factory=lambda: usual_training(steps=500, batch_size=64, rate=LOW_RATE))
    alpha: AlphaConfig = field(default_factory=AlphaConfig)
    mixing: MixingConfig = field(default_factory=MixingConfig)
    stop: Rule = "never"
    watch: WatchConfig = field(default_factory=WatchConfig)
    aims_at_limits: bool = True
    derive: Derive = "likeliest"
    n_derived: int = 10
    candidate: TrainingConfig = field(default_factory=lambda: usual_training(steps=200, batch_size=64, rate=LOW_RATE))
    calibration: CalibrationConfig = field(default_factory=CalibrationConfig)
    quick_steps: ClassVar[int] = 400
    quick_batch: ClassVar[int] = 32
    quick_retrain: ClassVar[int] = QUICK_STEPS

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("n_derived", self.n_derived, 1, 1_000_000)
        if self.derive not in get_args(Derive):
            raise UnknownNameError("derive", self.derive, get_args(Derive))
        if self.stop not in get_args(Rule):
            raise UnknownNameError("stop", self.stop, get_args(Rule))

    @classmethod
    def preset(cls, name: str, input_shape: Sequence[int]) -> Self:
        if name == "paper":
            return as_published(replace(cls(), aims_at_limits=False), input_shape)
        if name == "long":
            return long(cls.preset("quick", input_shape))
        if name not in ("smoke", "quick"):
            raise InvalidValueError(f"unknown preset {name!r}; choose smoke or quick or long or paper")
        is_smoke = name == "smoke"
        short = usual_training(steps=8, batch_size=32, rate=LOW_RATE)
        changes: dict[str, Any] = {
            "supernet": replace(
                plain_sgd(batch_size=16 if is_smoke else cls.quick_batch),
                steps=6 if is_smoke else cls.quick_steps,
                epochs=None,
                learning_rate=LOW_RATE,
                augment="usual",
            ),
            "alpha": hurried(cls().alpha),
            "retrain": short if is_smoke else usual_training(steps=cls.quick_retrain, batch_size=64, rate=LOW_RATE),
            "candidate": short if is_smoke else usual_training(steps=200, batch_size=64, rate=LOW_RATE),
            "n_derived": 2 if is_smoke else 5,
            "calibration": CalibrationConfig(batches=1 if is_smoke else 2, batch_size=64 if is_smoke else 256),
            "n_draws": 1 if is_smoke else 3,
        }
        if is_smoke:
            changes |= {"profile": ProfileConfig(warmup=1, repeats=5, n_fitted=3, n_checked=1), "int8": False}
        made = cls(space_args=cls.tiny() if is_smoke else cls.small(), **changes)
        return suited(made, input_shape)

    @classmethod
    def small(cls) -> dict[str, Any]:
        """Settings of the space in `quick`."""
        return {}

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        """Settings of the space in `smoke`."""
        return cls.small()


QUICK_ADAM = OptimizerConfig(optimizer="adam", learning_rate=0.02, betas=(0.5, 0.999), schedule="cosine", clip_norm=5.0)
"""Of arch parameters that have few steps."""


def hurried(alpha: AlphaConfig) -> AlphaConfig:
    """The training of arch parameters for a search of few steps: at a higher rate, more often, on more examples."""
    return replace(
        alpha,
        optimizer=replace(QUICK_ADAM, betas=alpha.optimizer.betas),  # gates want no momentum
        every=alpha.every and min(alpha.every, 2),
        warmup=alpha.warmup and 0.2,
        share=alpha.share and max(alpha.share, 0.2),
    )


def plain_sgd(epochs: float = 50, *, batch_size: int = 64) -> TrainingConfig:
    """The weights' training in the search of DARTS's released code: SGD, a cosine from 0.025 to 0.001, clipped.

    Args:
        epochs: Its length.
        batch_size: Of a step.
    """
    return darts_training(epochs, batch_size=batch_size, lowest=0.001)


def find_by_gradient(search: OpenSearch, config: GradientConfig, extra: Sequence[Measured] = ()) -> Found:
    """Train weights and arch parameters, and derive an architecture; once for each limit where limits press on α.

    Args:
        search: The search that was asked for.
        config: Its numbers.
        extra: Costs of the method's own, which press in place of those with names.

    Raises:
        InvalidValueError: If the space has no mixtures, or a cost that presses has no expected value.
    """
    searches: list[SearchResult] = []
    trained: dict[str, tuple[SharedWeights, Categorical]] = {}
    for label, objective in search.labelled():
        alpha, costs = pressed(search, config, objective, extra)
        key = label if alpha.pressure.form == "target" else ""
        if key not in trained:
            shared, policy = search.supernet(), config.mixing.open(search.space, search.seed_of("alpha") % 2**63)
            check_mixable(policy)
            sharing = ByGradient(config.supernet, alpha, costs=tuple(costs), stop=config.stop, watch=config.watch)
            search.train(f"supernet{key}", sharing, shared, lambda policy=policy: policy)  # type: ignore[misc]
            search.note(lambda shared=shared, policy=policy: _mixture_said(search, shared, policy))  # type: ignore[misc]
            trained[key] = shared, policy
        searches.append(_derived(search, config, label, objective, *trained[key]))
    return Found(tuple(searches), search.n_steps, search.curves)


def pressed(
    search: OpenSearch, config: GradientConfig, objective: Objective, extra: Sequence[Measured]
) -> tuple[AlphaConfig, list[Measured]]:
    """What presses on α for an objective, and how.

    Args:
        search: Knows the costs.
        config: Its numbers.
        objective: Has the limits.
        extra: Costs of the method's own.

    Raises:
        InvalidValueError: If a cost has no expected value.
    """
    alpha = config.alpha
    pressure, limits = alpha.pressure, {one.cost: one.limit for one in objective.constraints}
    if config.aims_at_limits and limits:
        alpha = replace(alpha, pressure=PressureConfig("target", least=pressure.least))
        names = list(limits)
    elif pressure.form == "none" or (pressure.form in _NEED_A_LIMIT and not limits and not pressure.reference):
        return replace(alpha, pressure=PressureConfig()), []
    elif extra:
        return alpha, list(extra)
    else:
        names = [pressure.cost] if pressure.cost else list(limits) or ["macs"]
    costs = open_costs(names, search.opened.costs)
    found = [expected_cost(cost, search.space, limits.get(cost.name)) for cost in costs]
    if not n_unmeasured(costs):  # what does not fit is refused before the run begins
        probabilities = config.mixing.open(search.space, 0).probabilities()
        Pressure(alpha.pressure, found)(torch.ones(()), probabilities)
    return alpha, found


_NEED_A_LIMIT = ("target", "relative", "log-ratio")
"""Forms that compare a cost with a limit or a reference; without either nothing presses."""

N_DESCENTS = 4
"""Descents to the cheapest arch, where one within tight limits is looked for."""


def _derived(
    search: OpenSearch,
    config: GradientConfig,
    label: str,
    objective: Objective,
    shared: SharedWeights,
    policy: Categorical,
) -> SearchResult:
    """What the arch parameters say, for one winner."""
    least = config.alpha.pressure.least if config.aims_at_limits else 0.0
    evaluator: Evaluator = search.by_shared(shared, config.calibration)
    if config.derive == "likeliest":

        def derive(objective: Objective) -> Candidate:
            row = best_within(search, policy, objective, least)
            candidate = Candidate(0, search.space.decisions.arch(row), search.seed, origin="alpha")
            search.note(lambda: _said(search, evaluator, policy, candidate))
            return candidate

        return search.derived_for(objective, derive, evaluator)
    if config.derive == "trained":
        evaluator = search.from_scratch(config.candidate)
    drawn = Drawn(search.space, policy, n_trials=config.n_derived, seed=search.seed_of(f"search{label}"))
    return search.found_for(label, objective, drawn, evaluator)


def best_within(search: OpenSearch, policy: Categorical, objective: Objective, least: float) -> Rows:
    """The likeliest arch within the limits; of those that use a share of one, where there are such.

    Args:
        search: Knows the costs.
        policy: Says how probable archs are.
        objective: Has the limits.
        least: Share of a limit that is to be used.
    """
    if not objective.constraints:
        return policy.best_row()
    watch = Watch(search.space, search.costs)
    within = watch.feasible(objective)
    cheapest = np.stack([watch.cheapest(one.cost, N_DESCENTS) for one in objective.constraints])

    def uses(rows: Rows) -> NDArray[np.bool_]:
        values = {one.cost: watch.costs[one.cost].cost_rows(search.space, rows) for one in objective.constraints}
        shares = np.stack([values[one.cost] / one.limit for one in objective.constraints])
        used: NDArray[np.bool_] = within(rows) & (shares.max(axis=0) >= least)
        return used

    tries: list[Keeps] = [uses, within] if least else [within]
    for keeps in tries:
        found = likeliest(policy, keeps, starts=cheapest, seed=search.seed)
        if found is not None:
            return found
    # the search says in its own words that nothing keeps the limits
    return policy.best_row()


def _mixture_said(search: OpenSearch, shared: SharedWeights, policy: Categorical) -> str:
    """How well the mixture does on the validation part, as a line; before scoring archs sets other statistics."""
    metric, meter = search.task.search_metric, search.task.search_meter()
    shared.relax(mean_weights(policy))
    found = evaluate(shared.network, search.task, "validation", device=search.device, meter=meter)[metric]
    return f"{metric} of the trained mixture on the validation part: {found:.4f}"


def _said(search: OpenSearch, evaluator: Evaluator, policy: Categorical, candidate: Candidate) -> str:
    """The derived arch in a line of the log: its skips, and how well it does with the mixture's weights."""
    metric, space = search.task.search_metric, search.space
    share = skip_share(policy, space.row(candidate.arch))
    found = evaluator.evaluate([candidate])[0][metric]
    return (
        f"derived {space.code(candidate.arch)}; {share:.0%} of its operations are skips; {metric} with the shared "
        f"weights on the validation part: {found:.4f}"
    )
