"""Convolutions whose weights and inputs take few values, trained with full-precision weights underneath.

Weights as in DoReFa-Net (Zhou et al., 2016, arXiv:1606.06160, Sec. 2.3), inputs as in PACT (Choi et al., 2018,
arXiv:1805.06085, Sec. 3). Rounding passes the gradient on as if it were not there (straight-through).
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from archwright.core.errors import InvalidValueError
from archwright.nn.choice.modules import OpChoice
from archwright.nn.sizes import LazyDecision, Size
from archwright.nn.source import source_template

FULL_PRECISION = 32
SMALLEST_CLIP = 0.001


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, value: Tensor) -> Tensor:
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None


def straight_through(x: Tensor, value: Tensor) -> Tensor:
    """`value`, with its gradient passed on to `x` unchanged (straight-through estimator)."""
    if not (x.requires_grad and torch.is_grad_enabled()):
        return value
    passed: Tensor = _StraightThrough.apply(x, value.detach())
    return passed


def rounded(x: Tensor) -> Tensor:
    """`x` rounded to whole numbers; the gradient passes as if it were not rounded."""
    return straight_through(x, torch.round(x))


class Quantizer(nn.Module):
    """Brings a tensor to 2^bits values.

    Args:
        bits: 1 to 8, or 32, which leaves it as it is.

    Attributes:
        bits: See above.
        rounds: Whether it rounds values that the network computes; the last bit of a sum may then decide between two
            levels.
    """

    rounds = False

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.bits = check_bits(bits)

    def forward(self, x: Tensor) -> Tensor:
        return x if self.bits == FULL_PRECISION else self.quantized(x)

    def quantized(self, x: Tensor) -> Tensor:
        """The tensor at `bits` bits."""
        raise AssertionError("a quantiser is one of the classes below")

    def extra_repr(self) -> str:
        return f"{self.bits} bits"


@source_template('''
    class WeightQuantizer(nn.Module):
        """Weights at few bits: their sign times their mean size, or evenly spaced numbers from -1 to 1."""

        def __init__(self, bits: int) -> None:
            super().__init__()
            self.bits = bits

        def forward(self, weight: Tensor) -> Tensor:
            if self.bits == 32:
                return weight
            if self.bits == 1:
                size = weight.abs().mean()
                return torch.where(weight >= 0, size, -size)
            bent = torch.tanh(weight)
            largest = bent.abs().max().clamp(min=1e-8)
            n = 2**self.bits - 1
            return torch.round((bent / largest * 0.5 + 0.5) * n) * (2.0 / n) - 1.0
''')
class WeightQuantizer(Quantizer):
    """Weights at few bits (DoReFa-Net): 2^bits evenly spaced numbers from -1 to 1, for tanh(w) / max|tanh(w)|.

    One bit is the sign times the mean absolute weight. A batch norm has to follow, which undoes the scale. Deviation:
    the largest weight gets no gradient through the maximum in the formula.
    """

    def quantized(self, x: Tensor) -> Tensor:
        if self.bits == 1:
            size = x.abs().mean()
            return straight_through(x, torch.where(x >= 0, size, -size))
        bent = torch.tanh(x)
        largest = bent.abs().max().clamp(min=1e-8).detach()
        n: int = 2**self.bits - 1
        return rounded((bent / largest * 0.5 + 0.5) * n) * (2.0 / n) - 1.0


@source_template('''
    class InputQuantizer(nn.Module):
        """Inputs at few bits: evenly spaced numbers from 0 to a learned largest one."""

        def __init__(self, bits: int) -> None:
            super().__init__()
            self.bits = bits
            if bits != 32:
                self.clip = nn.Parameter(torch.tensor(1.0 + bits / 2))

        def forward(self, x: Tensor) -> Tensor:
            if self.bits == 32:
                return x
            clip = self.clip.abs().clamp(min=0.001)
            step = clip / (2**self.bits - 1)
            return torch.round(torch.where(x < clip, torch.relu(x), clip) / step) * step
''')
class InputQuantizer(Quantizer):
    """Inputs at few bits (PACT): 2^bits evenly spaced numbers from 0 to `clip`, which is learned.

    `clip` begins at the value with the smallest squared error for the positive half of a standard normal distribution,
    rounded to a tenth for 2 to 4 bits. Its absolute value is used, and at least 0.001.
    """

    def __init__(self, bits: int) -> None:
        super().__init__(bits)
        self.rounds = bits != FULL_PRECISION
        if self.rounds:
            self.clip = nn.Parameter(torch.tensor(1.0 + bits / 2))

    def quantized(self, x: Tensor) -> Tensor:
        clip = self.clip.abs().clamp(min=SMALLEST_CLIP)
        n: int = 2**self.bits - 1
        step = clip.detach() / n
        # the gradient of `clip` is that of what it cuts off (PACT, Eq. 3)
        return rounded(torch.where(x < clip, torch.relu(x), clip) / step) * step


@source_template('''
    class QuantizedConv2d(nn.Conv2d):
        """A convolution of quantised inputs with quantised weights."""

        def __init__(
            self,
            in_channels: int,
            out_channels: int,
            kernel_size: Sequence[int],
            stride: Sequence[int],
            padding: Sequence[int],
            quantize_input: nn.Module,
            quantize_weight: nn.Module,
        ) -> None:
            super().__init__(in_channels, out_channels, tuple(kernel_size), tuple(stride), tuple(padding), bias=False)
            self.quantize_input, self.quantize_weight = quantize_input, quantize_weight

        def forward(self, x: Tensor) -> Tensor:
            return F.conv2d(
                self.quantize_input(x), self.quantize_weight(self.weight), None, self.stride, self.padding
            )
''')
class QuantizedConv2d(nn.Conv2d):
    """A convolution without bias, padded by half its kernel, of quantised inputs with quantised weights.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: Odd side of the square kernel.
        stride: Step in pixels.
        quantize_input: A `Quantizer`, or a choice of several.
        quantize_weight: As `quantize_input`.

    Attributes:
        operand_bits: Bits of weights and of inputs, for costs in bit operations (see `costs.counting.count`).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int = 1,
        quantize_input: nn.Module,
        quantize_weight: nn.Module,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, kernel_size // 2, bias=False)
        self.quantize_input, self.quantize_weight = quantize_input, quantize_weight
        self.operand_bits: tuple[Size, Size] = (bits_of(quantize_weight), bits_of(quantize_input))

    def forward(self, x: Tensor) -> Tensor:
        inputs: Tensor = self.quantize_input(x)
        weight: Tensor = self.quantize_weight(self.weight)
        return F.conv2d(inputs, weight, None, self.stride, self.padding)


def bits_of(quantizer: nn.Module) -> Size:
    """The bits of a quantiser; if it is a choice of several, a lazy value that follows the decision."""
    if isinstance(quantizer, OpChoice):
        bits = tuple(_bits(child) for child in quantizer.children())
        return LazyDecision(quantizer.selection, quantizer.decision, bits, max(bits))
    return _bits(quantizer)


def _bits(quantizer: nn.Module) -> int:
    if not isinstance(quantizer, Quantizer):
        raise InvalidValueError(
            f"a quantised convolution got {type(quantizer).__name__}; give a WeightQuantizer and an InputQuantizer"
        )
    return quantizer.bits


def check_bits(bits: Any) -> int:
    """The number of bits itself, after checking that a quantiser accepts it.

    Raises:
        InvalidValueError: If it is neither 1 to 8 nor 32.
    """
    if type(bits) is not int or not (1 <= bits <= 8 or bits == FULL_PRECISION):
        raise InvalidValueError(f"bits is {bits!r}; give 1 to 8, or {FULL_PRECISION} for full precision")
    return bits
