"""What the three searches of ENAS share: shared weights and a controller in turn (Pham et al., ICML 2018)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

from archwright.core.config import check_range
from archwright.core.errors import InvalidValueError
from archwright.costs.profiling.profile import ProfileConfig
from archwright.evaluators.supernet import CalibrationConfig
from archwright.finish import Found
from archwright.policies.controller import Controller
from archwright.recipes.augmenting import as_published
from archwright.recipes.base import SearchConfig
from archwright.recipes.opened import OpenSearch
from archwright.recipes.presets import LOW_RATE, QUICK_STEPS, enas_training, long, suited, usual_training
from archwright.spaces.base import Space
from archwright.strategies.drawn import Drawn
from archwright.training.config import TrainingConfig
from archwright.weight_sharing.controlled_path import ADAM, ControlledPath, ControllerConfig

MakeController = Callable[[Space, int], Controller]


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
                space_args=cls.tiny(),
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
        """Settings of the space in `quick`."""
        return {}

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        """Settings of the space in `smoke`."""
        return cls.small()


FAST = replace(ADAM, learning_rate=0.02)
"""Of a controller that has few steps."""


def find_by_controller(search: OpenSearch, config: EnasConfig, make: MakeController) -> Found:
    """Weights and controller in turn, then the best of some draws by the shared weights.

    Args:
        search: The search that was asked for.
        config: Its numbers.
        make: Gives the controller for a space and a seed.
    """
    shared, controller = search.supernet(), make(search.space, search.seed_of("controller") % 2**63)
    search.train("supernet", ControlledPath(config.supernet, config.controller), shared, lambda: controller)
    return search.find(
        lambda seed: Drawn(search.space, controller, n_trials=config.n_derived, seed=seed),
        search.by_shared(shared, config.calibration),
    )
