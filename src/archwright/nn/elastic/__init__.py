"""Layers whose sizes may be decisions.

Each function gives torch's own layer when every size is a plain number and an elastic one otherwise. An
elastic layer holds the weights of its largest form and runs on a slice of them: the active channels (the first
ones; in a concatenation, the first ones of each part), and the centre of the kernel, which a `TransformedConv2d`
transforms.
"""

from archwright.nn.elastic.concat import Concat
from archwright.nn.elastic.embedding import ElasticEmbedding, Embedding
from archwright.nn.elastic.kernels import ElasticTransformedConv2d, TransformedConv2d
from archwright.nn.elastic.layers import (
    BatchNorm2d,
    Conv2d,
    ElasticBatchNorm2d,
    ElasticConv2d,
    ElasticLinear,
    Linear,
)
from archwright.nn.elastic.rectangles import ElasticRectangularConv2d, RectangularConv2d

__all__ = [
    "BatchNorm2d",
    "Concat",
    "Conv2d",
    "ElasticBatchNorm2d",
    "ElasticConv2d",
    "ElasticEmbedding",
    "ElasticLinear",
    "ElasticRectangularConv2d",
    "ElasticTransformedConv2d",
    "Embedding",
    "Linear",
    "RectangularConv2d",
    "TransformedConv2d",
]
