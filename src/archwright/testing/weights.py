"""Shared weights to test with: a hypernetwork small enough to be trained in seconds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from archwright.core.arch import Arch
from archwright.core.encoding import one_hot
from archwright.nn.meta import on_meta
from archwright.spaces.base import Space
from archwright.weight_sharing.generated import GeneratedWeights


class ToyHypernetwork(GeneratedWeights):
    """Two layers from the one-hot code of an arch to every weight of its network, for a space of a few dozen archs.

    Each (name, shape) of a parameter that any arch has owns some of the outputs. What has one axis (norms and biases)
    is the network's own initial value plus a tenth of the output, other weights have the variance of their fan-in.

    Args:
        space: Small enough to be enumerated.
        seed: Of the initial weights.
        hidden: Units between the layers.
    """

    def __init__(self, space: Space, *, seed: int = 0, hidden: int = 16) -> None:
        self._seed, self._hidden = seed, hidden
        self._places: dict[tuple[str, torch.Size], slice] = {}
        n_outputs = 0
        for arch in space.decisions.archs(space.decisions.enumerate_rows(limit=100)):
            with on_meta():
                network = space.build(arch)
            for name, parameter in network.named_parameters():
                if (name, parameter.shape) not in self._places:
                    self._places[name, parameter.shape] = slice(n_outputs, n_outputs + parameter.numel())
                    n_outputs += parameter.numel()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            layers = [nn.Linear(int(space.decisions.n_values.sum()), hidden), nn.Tanh(), nn.Linear(hidden, n_outputs)]
        super().__init__(space, nn.Sequential(*layers))

    def args(self) -> dict[str, Any]:
        return {"seed": self._seed, "hidden": self._hidden}

    def generate(self, arch: Arch, structure: nn.Module) -> Mapping[str, Tensor]:
        code = torch.from_numpy(one_hot(self.space.decisions, self.space.decisions.row(arch)[None]).astype(np.float32))
        weight = next(self.generator.parameters())
        outputs = self.generator(code.to(weight.device, weight.dtype))[0]
        return {
            name: _scaled(name, outputs[self._places[name, parameter.shape]].view(parameter.shape))
            for name, parameter in structure.named_parameters()
        }


def _scaled(name: str, raw: Tensor) -> Tensor:
    if raw.dim() == 1:
        return 0.1 * raw + (1.0 if name.endswith("weight") else 0.0)
    return raw * 3 / math.sqrt(raw[0].numel())
