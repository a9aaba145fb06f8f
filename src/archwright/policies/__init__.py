"""Distributions over architectures."""

from archwright.policies.anchors import AnchorController
from archwright.policies.base import Policy
from archwright.policies.categorical import Categorical
from archwright.policies.controller import Controller
from archwright.policies.learned import LearnedPolicy
from archwright.policies.path_dropout import PathDropout
from archwright.policies.relaxed import (
    BinaryGates,
    DirichletWeights,
    GumbelSoftmax,
    Shrinking,
    SigmoidWeights,
    Temperature,
)
from archwright.policies.uniform import Uniform, UniformInCostBins, check_edges, quantile_edges
from archwright.policies.widening import Widening

__all__ = [
    "AnchorController",
    "BinaryGates",
    "Categorical",
    "Controller",
    "DirichletWeights",
    "GumbelSoftmax",
    "LearnedPolicy",
    "PathDropout",
    "Policy",
    "Shrinking",
    "SigmoidWeights",
    "Temperature",
    "Uniform",
    "UniformInCostBins",
    "Widening",
    "check_edges",
    "quantile_edges",
]
