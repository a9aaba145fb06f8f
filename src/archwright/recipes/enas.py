"""Efficient Neural Architecture Search (Pham et al., ICML 2018): macro, micro and recurrent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from archwright.core.config import check_range
from archwright.core.errors import InvalidValueError
from archwright.costs.profiling.profile import ProfileConfig
from archwright.evaluators.supernet import CalibrationConfig
from archwright.finish import Found
from archwright.policies.anchors import AnchorController
from archwright.policies.controller import Controller
from archwright.recipes.augmenting import as_published
from archwright.recipes.base import SearchConfig
from archwright.recipes.opened import OpenSearch
from archwright.recipes.presets import LOW_RATE, QUICK_STEPS, enas_language_training, long, suited, usual_training
from archwright.recipes.recipe import recipe
from archwright.spaces.base import Space
from archwright.strategies.drawn import Drawn
from archwright.training.config import OptimizerConfig, TrainingConfig
from archwright.weight_sharing.controlled_path import ControlledPath, ControllerConfig

MakeController = Callable[[Space, int], Controller]


def enas_training(epochs: int, *, batch_size: int, penalty: float, lowest: float, first: int = 10) -> TrainingConfig:
    """Nesterov's momentum with cosine restarts of the released CIFAR-10 scripts (melodyguan/enas).

    Args:
        epochs: Length; restarts are 10, 20, 40, … epochs long.
        batch_size: Of a step.
        penalty: Factor of the squared norm, without the half that torch's decay has.
        lowest: Rate at the end of each period.
        first: Epochs of the first period.
    """
    return TrainingConfig(
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=0.05,
        final_learning_rate=lowest,
        momentum=0.9,
        nesterov=True,
        weight_decay=2 * penalty,
        decay_norm_and_bias=True,
        schedule="cosine-restarts",
        restart_period=min(0.999, first / epochs),
        restart_factor=2,
        augment="crop,mirror",
    )


@dataclass(frozen=True)
class EnasConfig(SearchConfig):
    """Numbers of a run.

    Attributes:
        supernet: Training of the shared weights.
        controller: Training of the controller, in turn with them.
        n_derived: Architectures drawn in the end, of which the best by the shared weights is kept.
        calibration: Images that set batch-norm statistics of each of them.
    """

    supernet: TrainingConfig = field(
        default_factory=lambda: enas_training(310, batch_size=128, penalty=2.5e-4, lowest=5e-4)
    )
    controller: ControllerConfig = field(default_factory=ControllerConfig)
    n_derived: int = 100
    calibration: CalibrationConfig = field(default_factory=CalibrationConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("n_derived", self.n_derived, 1, 1_000_000)

    @classmethod
    def preset(cls, name: str, input_shape: Sequence[int]) -> Self:
        if name == "paper":
            return as_published(cls(), input_shape)
        if name == "long":
            return long(cls.preset("quick", input_shape))
        if name == "smoke":
            smoke = cls(
                space_args=cls.small(),
                supernet=usual_training(steps=6, batch_size=32, rate=LOW_RATE),
                controller=ControllerConfig(every=3, steps=2, children=2),
                n_derived=3,
                calibration=CalibrationConfig(batches=1, batch_size=64),
                retrain=usual_training(steps=8, batch_size=32, rate=LOW_RATE),
                n_draws=1,
                profile=ProfileConfig(warmup=1, repeats=5, n_fitted=3, n_checked=1),
                int8=False,
            )
            return suited(smoke, input_shape)
        if name == "quick":
            quick = cls(
                space_args=cls.small(),
                supernet=usual_training(steps=500, batch_size=64, rate=LOW_RATE),
                controller=ControllerConfig(optimizer=FAST, every=50, steps=10, children=5),
                n_derived=40,
                calibration=CalibrationConfig(batches=2, batch_size=256),
                retrain=usual_training(steps=QUICK_STEPS, batch_size=64, rate=LOW_RATE),
                n_draws=3,
            )
            return suited(quick, input_shape)
        raise InvalidValueError(f"unknown preset {name!r}; choose smoke or quick or long or paper")

    @classmethod
    def small(cls) -> dict[str, Any]:
        """Settings of the space in the short presets."""
        return {}


FAST = OptimizerConfig(optimizer="adam", learning_rate=0.02, betas=(0.0, 0.999), eps=1e-3, schedule="constant")
"""Of a controller that has few steps."""


def _search(search: OpenSearch, config: EnasConfig, make: MakeController) -> Found:
    """Weights and controller in turn, then the best of some draws by the shared weights."""
    shared, controller = search.supernet(), make(search.space, search.seed_of("controller") % 2**63)
    search.train("supernet", ControlledPath(config.supernet, config.controller), shared, lambda: controller)
    return search.find(
        lambda seed: Drawn(search.space, controller, n_trials=config.n_derived, seed=seed),
        search.by_shared(shared, config.calibration),
    )


# ── macro ─────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class EnasMacroConfig(EnasConfig):
    """Numbers of a macro search; by default those of the released script."""

    space: str = "enas-macro"
    retrain: TrainingConfig = field(
        default_factory=lambda: enas_training(310, batch_size=100, penalty=2e-4, lowest=1e-3)
    )

    @classmethod
    def small(cls) -> dict[str, Any]:
        return {"layers": 6, "channels": 16}


@recipe(
    "enas-macro",
    EnasMacroConfig,
    summary="networks with skip connections: shared weights and an LSTM controller in turn, retrain the best draw",
    source="Pham et al., ICML 2018, arXiv:1802.03268",
)
def enas_macro(search: OpenSearch, config: EnasMacroConfig) -> Found:
    """ENAS in its macro space (Pham et al., arXiv:1802.03268; numbers of melodyguan/enas).

    Deviations: draws are scored on the whole validation part, with recalibrated batch norms, not on one batch; the
    divergence of skip connections is that of the probability they are drawn by.
    """

    def controller(space: Space, seed: int) -> Controller:
        return AnchorController(space, hidden=64, tanh_constant=1.5, link="softmax", seed=seed)

    return _search(search, config, controller)


# ── micro ─────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class EnasMicroConfig(EnasConfig):
    """Numbers of a micro search; by default those of the released script."""

    space: str = "enas-micro"
    supernet: TrainingConfig = field(
        default_factory=lambda: enas_training(150, batch_size=160, penalty=1e-4, lowest=5e-4)
    )
    controller: ControllerConfig = field(
        default_factory=lambda: ControllerConfig(
            optimizer=OptimizerConfig(
                optimizer="adam", learning_rate=3.5e-3, betas=(0.0, 0.999), eps=1e-3, schedule="constant"
            ),
            steps=30,
            children=10,
            skip_weight=0.0,
        )
    )
    retrain: TrainingConfig = field(
        default_factory=lambda: enas_training(630, batch_size=144, penalty=2e-4, lowest=1e-4)
    )

    @classmethod
    def small(cls) -> dict[str, Any]:
        return {"cells": 3, "channels": 12}


@recipe(
    "enas-micro",
    EnasMicroConfig,
    summary="two cells: shared weights and an LSTM controller in turn, retrain the best draw",
    source="Pham et al., ICML 2018, arXiv:1802.03268",
)
def enas_micro(search: OpenSearch, config: EnasMicroConfig) -> Found:
    """ENAS in its micro space (Pham et al., arXiv:1802.03268; numbers of melodyguan/enas).

    Deviations: as `enas_macro`; logits of inputs and of operations have one bound (1.10), and operations no bias at the
    start; the controller reads decisions in the order of the code, input and operation of one side after the other.
    """
    return _search(search, config, lambda space, seed: Controller(space, hidden=64, tanh_constant=1.1, seed=seed))


# ── recurrent ─────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class EnasRnnConfig(EnasConfig):
    """Numbers of a recurrent search; by default the paper's, as others have read them."""

    space: str = "enas-rnn"
    supernet: TrainingConfig = field(default_factory=enas_language_training)
    controller: ControllerConfig = field(
        default_factory=lambda: ControllerConfig(
            optimizer=OptimizerConfig(optimizer="adam", learning_rate=3.5e-4, schedule="constant"),
            every=400,
            steps=2_000,
            children=1,
            baseline_decay=0.95,
            skip_weight=0.0,
        )
    )
    retrain: TrainingConfig = field(default_factory=enas_language_training)

    @classmethod
    def small(cls) -> dict[str, Any]:
        return {"hidden": 64, "nodes": 5}


@recipe(
    "enas-rnn",
    EnasRnnConfig,
    summary="recurrent cells on texts: shared weights and an LSTM controller in turn, retrain the best draw",
    source="Pham et al., ICML 2018, arXiv:1802.03268",
)
def enas_rnn(search: OpenSearch, config: EnasRnnConfig) -> Found:
    """ENAS on texts (Pham et al., arXiv:1802.03268): the reward is 80 / perplexity of a validation batch.

    Deviations: draws are scored on the whole validation part.
    """
    return _search(
        search,
        config,
        lambda space, seed: Controller(space, hidden=100, temperature=5.0, tanh_constant=2.5, seed=seed),
    )
