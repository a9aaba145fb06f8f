"""Training one set of weights for many architectures."""

from archwright.weight_sharing.base import WeightSharing
from archwright.weight_sharing.controlled_path import ControlledPath, ControllerConfig
from archwright.weight_sharing.generated import GeneratedWeights
from archwright.weight_sharing.shared import SharedWeights, Stage, SupernetWeights
from archwright.weight_sharing.uniform_path import UniformPath

__all__ = [
    "ControlledPath",
    "ControllerConfig",
    "GeneratedWeights",
    "SharedWeights",
    "Stage",
    "SupernetWeights",
    "UniformPath",
    "WeightSharing",
]
