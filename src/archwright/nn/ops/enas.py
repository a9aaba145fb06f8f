"""Parts of ENAS's networks of cells (Pham et al., ICML 2018, arXiv:1802.03268; `src/cifar10` of the released code).

The operations of a cell are NASNet's, but for an identity that has to halve its image: that is a factorized reduction
without ReLU.
"""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from archwright.nn.elastic import Concat
from archwright.nn.ops.auxiliary import SMALLEST_MAP, AuxiliaryClassifier
from archwright.nn.ops.edges import relu_conv_bn
from archwright.nn.ops.nasnet import FactorizedReduction, MakeOp, pool, separable
from archwright.nn.ops.pooling import GlobalAvgPool2d
from archwright.nn.sizes import Size, current
from archwright.nn.source import source_template


def reduction(n_in: Size, n_out: int, stride: int) -> nn.Module:
    """A factorized reduction at stride 2; at stride 1 a 1x1 convolution with batch norm. There is no ReLU.

    Args:
        n_in: Input channels; may be a decision.
        n_out: Output channels.
        stride: 1 or 2.
    """
    return FactorizedReduction(n_in, n_out) if stride == 2 else nn.Sequential(*relu_conv_bn(n_in, n_out, 1)[1:])


def identity(n_in: int, n_out: int, stride: int) -> nn.Module:
    """The identity; a `reduction` if the shape changes.

    Args:
        n_in: Input channels.
        n_out: Output channels.
        stride: 1 or 2.
    """
    return nn.Identity() if stride == 1 and n_in == n_out else reduction(n_in, n_out, stride)


MICRO_OPS: dict[str, MakeOp] = {
    "sep_conv_3x3": partial(separable, 3),
    "sep_conv_5x5": partial(separable, 5),
    "avg_pool_3x3": partial(pool, "avg", 3),
    "max_pool_3x3": partial(pool, "max", 3),
    "identity": identity,
}
"""Operations of a cell by name, in the order of their numbers in the released code."""


@source_template(
    '''
    class LooseEndsCell(nn.Module):
        """Two inputs, blocks that each add a state, and the states that nothing reads joined."""

        def __init__(
            self,
            preprocess0: nn.Module,
            preprocess1: nn.Module,
            blocks: Sequence[nn.Module],
            emitted: Sequence[nn.Module],
            join: nn.Module,
            project: nn.Module,
        ) -> None:
            super().__init__()
            self.preprocess0, self.preprocess1 = preprocess0, preprocess1
            self.blocks, self.emitted = nn.ModuleList(blocks), nn.ModuleList(emitted)
            self.join, self.project = join, project

        def forward(self, before_last: Tensor, last: Tensor) -> Tensor:
            states = [self.preprocess0(before_last), self.preprocess1(last)]
            for block in self.blocks:
                states.append(block(states))
            first = [match(state) for match, state in zip(self.emitted, states)]
            return self.project(self.join([*first, *states[2:]]))
    '''
)
class LooseEndsCell(nn.Module):
    """A cell of two inputs and of blocks that each add a state; the output joins the states that no block reads.

    States are numbered 0 and 1 (outputs of the cell before the last one, and of the last one), then the blocks'.

    Args:
        preprocess0: Brings the output of the cell before the last one to this cell's width and image size.
        preprocess1: The same for the output of the last cell.
        blocks: Each takes the list of states before it and gives a new state.
        emitted: Two modules that bring states 0 and 1 to the image size of the other states, for the output.
        join: Joins the states that form the output.
        project: Last layers, applied to the joined states.
    """

    def __init__(
        self,
        preprocess0: nn.Module,
        preprocess1: nn.Module,
        blocks: nn.ModuleList,
        emitted: nn.ModuleList,
        join: Concat,
        project: nn.Module,
    ) -> None:
        super().__init__()
        self.preprocess0, self.preprocess1 = preprocess0, preprocess1
        self.blocks, self.emitted = blocks, emitted
        self.join, self.project = join, project

    def forward(self, before_last: Tensor, last: Tensor) -> Tensor:
        states: list[Tensor] = [self.preprocess0(before_last), self.preprocess1(last)]
        for block in self.blocks:
            states.append(block(states))
        for i, match in enumerate(self.emitted):
            if current(self.join.sizes[i]) > 0:
                states[i] = match(states[i])
        out: Tensor = self.project(self.join(states))
        return out


@source_template()
class OfLast(nn.Module):
    """A layer used as a cell: it is given the outputs of the two cells before it and reads only the last one.

    Args:
        layer: The layer.
    """

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, before_last: Tensor, last: Tensor) -> Tensor:
        out: Tensor = self.layer(last)
        return out


class EnasAuxiliaryHead(AuxiliaryClassifier):
    """The auxiliary classifier of ENAS's released code.

    ReLU, mean over 5 x 5 pixels at stride 3, a 1x1 convolution to 128 channels, a convolution as large as the map to
    768 (its "SAME" padding keeps the map's size), batch norm and ReLU after both, the mean of the map, linear layer
    without bias.

    Deviation: the released code never updates the head's own weights; here they are trained.

    Args:
        n_in: Channels of the feature map it reads.
        sides: Height and width of that map, at least `auxiliary.SMALLEST_MAP`.
        n_classes: Number of classes.
        weight: Factor of its loss.
    """

    def __init__(self, n_in: int, sides: tuple[int, int], n_classes: int, *, weight: float) -> None:
        height, width = ((side - SMALLEST_MAP) // 3 + 1 for side in sides)
        # TensorFlow puts the odd one of the zeros around an image below and to the right of it
        padding = ((width - 1) // 2, width // 2, (height - 1) // 2, height // 2)
        layers = nn.Sequential(
            nn.ReLU(),
            nn.AvgPool2d(SMALLEST_MAP, 3),
            nn.Conv2d(n_in, 128, 1, bias=False),
            nn.BatchNorm2d(128),
            nn.ReLU(),
            nn.ZeroPad2d(padding),
            nn.Conv2d(128, 768, (height, width), bias=False),
            nn.BatchNorm2d(768),
            nn.ReLU(),
            GlobalAvgPool2d(),
            nn.Linear(768, n_classes, bias=False),
        )
        super().__init__(layers, weight=weight)
