"""The inverted residual block of MobileNetV2 (Sandler et al., CVPR 2018)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from torch import Tensor, nn

from archwright.nn.elastic import BatchNorm2d, Conv2d
from archwright.nn.sizes import Size
from archwright.nn.source import source_template

MakeConv = Callable[..., nn.Conv2d]
"""Makes a convolution from the arguments of `nn.elastic.Conv2d`."""


@source_template('''
    class MBConv(nn.Module):
        """Inverted residual block: the main path, with a shortcut where the shape stays the same."""

        def __init__(self, main: nn.Module, has_shortcut: bool = False) -> None:
            super().__init__()
            self.main, self.has_shortcut = main, has_shortcut

        def forward(self, x: Tensor) -> Tensor:
            return x + self.main(x) if self.has_shortcut else self.main(x)
''')
class MBConv(nn.Module):
    """The block: widen the channels, filter each one, narrow them; with a shortcut if the shape stays the same.

    Every size may be a decision.

    Args:
        n_in: Input channels.
        n_out: Output channels; at stride 1 the same object as `n_in` gives the shortcut.
        kernel, expand, stride, activation, squeeze, convs: As in `inverted_bottleneck`.
    """

    def __init__(
        self,
        n_in: Size,
        n_out: Size,
        *,
        kernel: Size,
        expand: Size | None,
        stride: int = 1,
        activation: Callable[[], nn.Module] = nn.ReLU6,
        squeeze: Callable[[Size], nn.Module] | None = None,
        convs: tuple[MakeConv, MakeConv, MakeConv] = (Conv2d, Conv2d, Conv2d),
    ) -> None:
        super().__init__()
        self.has_shortcut = stride == 1 and (n_in is n_out or (isinstance(n_in, int) and n_in == n_out))
        self.main = inverted_bottleneck(
            n_in,
            n_out,
            kernel=kernel,
            expand=expand,
            stride=stride,
            activation=activation,
            squeeze=squeeze,
            convs=convs,
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.main(x)
        return x + out if self.has_shortcut else out


def inverted_bottleneck(
    n_in: Size,
    n_out: Size,
    *,
    kernel: Size,
    expand: Size | None,
    stride: int = 1,
    activation: Callable[[], nn.Module] = nn.ReLU6,
    squeeze: Callable[[Size], nn.Module] | None = None,
    groups: int = 1,
    bias: bool = False,
    convs: tuple[MakeConv, MakeConv, MakeConv] = (Conv2d, Conv2d, Conv2d),
) -> nn.Sequential:
    """The main path of an inverted residual block: children `expand`, `depthwise`, `squeeze` and `project`.

    Args:
        n_in: Input channels.
        n_out: Output channels.
        kernel: Odd side of the depth-wise kernel.
        expand: The middle has `n_in * expand` channels; None leaves the widening convolution out.
        stride: Stride of the depth-wise convolution, 1 or 2.
        activation: Makes the activation after each of the first two convolutions.
        squeeze: Makes a module for the middle's channels, placed before the last convolution; None places none.
        groups: Groups of the two point-wise convolutions, with plain sizes only; if more than 1, a channel shuffle
            comes before the depth-wise convolution.
        bias: Whether the convolutions have biases besides the batch norms.
        convs: Functions that make the widening, the depth-wise and the narrowing convolution.
    """
    widen, filter_each, narrow = convs
    middle = n_in if expand is None else n_in * expand
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    if expand is not None:
        layers["expand"] = conv_unit(n_in, middle, 1, groups=groups, bias=bias, activation=activation, conv=widen)
    if groups > 1:
        layers["shuffle"] = nn.ChannelShuffle(groups)
    layers["depthwise"] = conv_unit(
        middle, middle, kernel, stride=stride, groups=middle, bias=bias, activation=activation, conv=filter_each
    )
    if squeeze is not None:
        layers["squeeze"] = squeeze(middle)
    layers["project"] = conv_unit(middle, n_out, 1, groups=groups, bias=bias, activation=None, conv=narrow)
    return nn.Sequential(layers)


def conv_unit(
    n_in: Size,
    n_out: Size,
    kernel: Size,
    *,
    stride: int = 1,
    groups: Size = 1,
    bias: bool = False,
    activation: Callable[[], nn.Module] | None = nn.ReLU6,
    conv: MakeConv = Conv2d,
) -> nn.Sequential:
    """Convolution, batch norm and activation, as children 0, 1 and 2.

    Args:
        n_in: Input channels.
        n_out: Output channels.
        kernel: Odd side of the square kernel.
        stride: Step in pixels.
        groups: Groups of the convolution.
        bias: Whether the convolution has a bias besides the batch norm.
        activation: Makes the activation; None leaves it out.
        conv: Makes the convolution.
    """
    layers = [conv(n_in, n_out, kernel, stride=stride, groups=groups, bias=bias), BatchNorm2d(n_out)]
    return nn.Sequential(*layers) if activation is None else nn.Sequential(*layers, activation())
