"""Training one set of weights for many architectures."""

from archwright.weight_sharing.base import WeightSharing
from archwright.weight_sharing.by_gradient import AlphaConfig, ByGradient
from archwright.weight_sharing.collapse import CollapseWatch, WatchConfig
from archwright.weight_sharing.controlled_path import ControlledPath, ControllerConfig
from archwright.weight_sharing.dropped_paths import DroppedPaths
from archwright.weight_sharing.generated import GeneratedWeights
from archwright.weight_sharing.pressure import Measured, Pressure, PressureConfig, expected_cost
from archwright.weight_sharing.shared import SharedWeights, Stage, SupernetWeights
from archwright.weight_sharing.uniform_path import UniformPath

__all__ = [
    "AlphaConfig",
    "ByGradient",
    "CollapseWatch",
    "ControlledPath",
    "ControllerConfig",
    "DroppedPaths",
    "GeneratedWeights",
    "Measured",
    "Pressure",
    "PressureConfig",
    "SharedWeights",
    "Stage",
    "SupernetWeights",
    "UniformPath",
    "WatchConfig",
    "WeightSharing",
    "expected_cost",
]
