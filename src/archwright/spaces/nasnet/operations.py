"""The operations of NASNet's and AmoebaNet's spaces by name."""

from __future__ import annotations

from functools import partial

from archwright.nn.ops.nasnet import MakeOp, bottleneck, conv, factorized, identity, pool, separable

NASNET_OPS: dict[str, MakeOp] = {
    "identity": identity,
    "conv_1x3_3x1": partial(factorized, 3),
    "conv_1x7_7x1": partial(factorized, 7),
    "dil_conv_3x3": partial(conv, 3, dilation=2),
    "avg_pool_3x3": partial(pool, "avg", 3),
    "max_pool_3x3": partial(pool, "max", 3),
    "max_pool_5x5": partial(pool, "max", 5),
    "max_pool_7x7": partial(pool, "max", 7),
    "conv_1x1": partial(conv, 1),
    "conv_3x3": partial(conv, 3),
    "sep_conv_3x3": partial(separable, 3),
    "sep_conv_5x5": partial(separable, 5),
    "sep_conv_7x7": partial(separable, 7),
}
"""The paper's 13 operations in its order; it does not say whether the dilated convolution is separable, ours is not."""

AMOEBANET_OPS: dict[str, MakeOp] = {
    "identity": identity,
    "sep_conv_3x3": partial(separable, 3),
    "sep_conv_5x5": partial(separable, 5),
    "sep_conv_7x7": partial(separable, 7),
    "avg_pool_3x3": partial(pool, "avg", 3),
    "max_pool_3x3": partial(pool, "max", 3),
    "dil_sep_conv_3x3": partial(separable, 3, dilation=2),
    "conv_1x7_7x1": partial(bottleneck, partial(factorized, 7)),
}
"""The 8 operations of the paper's section 3."""

RELEASED_OPS: dict[str, MakeOp] = AMOEBANET_OPS | {
    "max_pool_2x2": partial(pool, "max", 2),
    "conv_1x1": partial(conv, 1),
    "conv_3x3": partial(bottleneck, partial(conv, 3)),
}
"""The above and those of the released AmoebaNet-B and -D (tensorflow/tpu, models/official/amoeba_net)."""
