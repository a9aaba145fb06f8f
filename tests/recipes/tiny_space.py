"""A user's own space in a file of its own: four places for a convolution, trained in milliseconds."""

from __future__ import annotations

from functools import partial

from torch import nn

from archwright.nn.choice import Chooser
from archwright.spaces import Space


class Tiny(Space):
    """3^4 archs."""

    def network(self, choose: Chooser) -> nn.Module:
        channels = self.input_shape[0]
        ops = {f"conv{kernel}": partial(_unit, 8, 8, kernel) for kernel in (1, 3, 5)}
        head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.1), nn.Linear(8, self.n_classes))
        places = [choose.op(f"place{i}", ops) for i in range(4)]
        return nn.Sequential(_unit(channels, 8, 3), *places, head)


def _unit(n_in: int, n_out: int, kernel: int) -> nn.Sequential:
    conv = nn.Conv2d(n_in, n_out, kernel, padding=kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(n_out), nn.ReLU(inplace=True))
