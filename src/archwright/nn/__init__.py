"""Torch layers and choosers that know no search algorithm.

The layers are torch's own where every size is a plain number and elastic ones where a size is a decision.
"""

from archwright.nn.choice import Chooser, Fixed, Selection, Supernet, extract, selection_of
from archwright.nn.elastic import BatchNorm2d, Concat, Conv2d, Embedding, Linear, TransformedConv2d
from archwright.nn.inputs import Signature, TensorSpec
from archwright.nn.ops.classifier import Classifier
from archwright.nn.ops.language_model import LanguageModel, Regularization
from archwright.nn.ops.mbconv import MBConv
from archwright.nn.ops.pooling import GlobalAvgPool2d, LocalAvgPool2d
from archwright.nn.ops.recurrent import GRUCell, LSTMCell, Recurrent, RecurrentCell
from archwright.nn.ops.residual import ResidualBlock
from archwright.nn.ops.resize import Resize2d
from archwright.nn.sizes import flattened
from archwright.nn.source import source_template

__all__ = [
    "BatchNorm2d",
    "Chooser",
    "Classifier",
    "Concat",
    "Conv2d",
    "Embedding",
    "Fixed",
    "GRUCell",
    "GlobalAvgPool2d",
    "LSTMCell",
    "LanguageModel",
    "Linear",
    "LocalAvgPool2d",
    "MBConv",
    "Recurrent",
    "RecurrentCell",
    "Regularization",
    "ResidualBlock",
    "Resize2d",
    "Selection",
    "Signature",
    "Supernet",
    "TensorSpec",
    "TransformedConv2d",
    "extract",
    "flattened",
    "selection_of",
    "source_template",
]
