"""Torch layers and choosers that know no search algorithm.

The layers are torch's own where every size is a plain number and elastic ones where a size is a decision.
"""

from archwright.nn.choice import Chooser, Fixed, Selection, Supernet, extract, selection_of
from archwright.nn.elastic import BatchNorm2d, Concat, Conv2d, Linear
from archwright.nn.ops.classifier import Classifier
from archwright.nn.ops.mbconv import MBConv
from archwright.nn.ops.pooling import GlobalAvgPool2d, LocalAvgPool2d
from archwright.nn.ops.residual import ResidualBlock
from archwright.nn.sizes import flattened
from archwright.nn.source import source_template

__all__ = [
    "BatchNorm2d",
    "Chooser",
    "Classifier",
    "Concat",
    "Conv2d",
    "Fixed",
    "GlobalAvgPool2d",
    "Linear",
    "LocalAvgPool2d",
    "MBConv",
    "ResidualBlock",
    "Selection",
    "Supernet",
    "extract",
    "flattened",
    "selection_of",
    "source_template",
]
