"""Users' spaces whose modules want more than shapes: memory in order, values, work without a rule."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from archwright.nn.choice import Chooser
from archwright.spaces import Space


class InOrder(nn.Module):
    """Flattens by `view`, which needs the contiguous layout."""

    def forward(self, x: Tensor) -> Tensor:
        return x.view(x.size(0), -1)


class Centred(nn.Module):
    """Keeps a constant as a plain attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = torch.tensor([0.5])

    def forward(self, x: Tensor) -> Tensor:
        return x - self.mean.view(1, 1, 1, 1)


class Boxed(nn.Module):
    """Keeps a constant where nobody looks for tensors."""

    def __init__(self) -> None:
        super().__init__()
        mean = torch.tensor([0.5])
        self.centre = lambda x: x - mean.view(1, 1, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.centre(x)
        return out


class Ramp(nn.Module):
    """Makes a tensor where it runs."""

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.arange(x.shape[-1], dtype=x.dtype)


class Decides(nn.Module):
    """Decides by a value."""

    def forward(self, x: Tensor) -> Tensor:
        return x if float(x.detach().mean()) > 1e9 else -x


class Reads(nn.Module):
    """Reads a value in its constructor."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = torch.linspace(0, 1, 3)[1].item()

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor


class Spectrum(nn.Module):
    """Holds a complex parameter as real numbers of four axes: channels-last memory of it cannot be looked at so."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels, 8, 5, 2))

    def forward(self, x: Tensor) -> Tensor:
        return torch.fft.irfft2(torch.fft.rfft2(x) * torch.view_as_complex(self.weight), s=x.shape[-2:])


class Pairwise(nn.Module):
    """Products of all pairs of channels, by an operation that no rule counts."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.linalg.matrix_exp(x)


class _Small(Space):
    input_shape, n_classes = (1, 8, 8), 10

    def part(self) -> nn.Module:
        raise NotImplementedError

    def network(self, choose: Chooser) -> nn.Module:
        made: dict[str, Any] = {"plain": nn.Identity, "odd": self.part}
        stem = nn.Conv2d(self.input_shape[0], 4, 3, padding=1)
        return nn.Sequential(stem, choose.op("part", made), nn.Flatten(), nn.Linear(4 * 64, self.n_classes))


class OddViews(_Small):
    def network(self, choose: Chooser) -> nn.Module:
        flat = choose.op("flat", {"plain": nn.Flatten, "odd": InOrder})
        return nn.Sequential(nn.Conv2d(self.input_shape[0], 4, 3, padding=1), flat, nn.Linear(4 * 64, self.n_classes))


class OddConstants(_Small):
    def part(self) -> nn.Module:
        return Centred()


class OddBoxes(_Small):
    def part(self) -> nn.Module:
        return Boxed()


class OddRamps(_Small):
    def part(self) -> nn.Module:
        return Ramp()


class OddBranches(_Small):
    def part(self) -> nn.Module:
        return Decides()


class OddReads(_Small):
    def part(self) -> nn.Module:
        return Reads()


class OddSpectra(_Small):
    def part(self) -> nn.Module:
        return Spectrum(4)


class OddWork(_Small):
    def part(self) -> nn.Module:
        return Pairwise()


class Broken(_Small):
    """Fails in any layout, and only where it is run for real."""

    def part(self) -> nn.Module:
        return Fails()


class Fails(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if not x.is_meta:
            raise RuntimeError("no such machine")
        return x
