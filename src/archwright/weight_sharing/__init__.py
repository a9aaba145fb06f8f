"""Training one set of weights for many architectures."""

from archwright.weight_sharing.base import WeightSharing
from archwright.weight_sharing.uniform_path import UniformPath

__all__ = ["UniformPath", "WeightSharing"]
