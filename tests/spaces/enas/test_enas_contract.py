"""ENAS's spaces and the promises of every space."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from archwright.core.arch import Arch
from archwright.spaces import EnasMacro, EnasMicro, EnasRnn, Space
from archwright.testing import SpaceContract

MICRO = {"input_shape": (3, 8, 8), "n_classes": 3, "cells": 3, "channels": 4, "blocks": 2}
MACRO = {"input_shape": (3, 8, 8), "n_classes": 3, "layers": 4, "channels": 4}
RNN = {"input_shape": (4,), "n_classes": 12, "hidden": 8, "nodes": 4}


class TestMicro(SpaceContract):
    """Final cells, with drop path."""

    n_archs = 2
    n_costed = 4
    n_images = 8
    can_be_relaxed = False
    every_weight_matters = False  # reductions of states that leave a cell exist in the supernet for those that do not

    def make(self) -> Space:
        return EnasMicro(**MICRO, drop_path=0.2)


class TestMicroSearch(SpaceContract):
    """The network of shared weights."""

    n_archs = 2
    n_costed = 4
    n_images = 8
    can_be_relaxed = False

    def make(self) -> Space:
        return EnasMicro(**MICRO).search_form()


class TestMacro(SpaceContract):
    """The final network; its skips widen a convolution."""

    n_archs = 3
    n_images = 8
    every_weight_matters = False  # every output is halved, whether a later layer joins it or not

    def make(self) -> Space:
        return EnasMacro(**MACRO)


class TestMacroSearch(TestMacro):
    """The network of shared weights, whose skips are sums."""

    def make(self) -> Space:
        return EnasMacro(**MACRO).search_form()


class TestRnn(SpaceContract):
    """The mean of loose ends."""

    can_be_relaxed = False

    def make(self) -> Space:
        return EnasRnn(**RNN)

    def _prepared(self, arch: Arch) -> tuple[nn.Module, Tensor]:
        """Weights made for 748 features say next to nothing with 8."""
        network, x = super()._prepared(arch)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.mul_(20)
        return network, x


class TestRnnOfAllNodes(TestRnn):
    """The mean of all nodes but the first, as in the second released code."""

    n_archs = 2
    can_be_relaxed = True
    every_weight_matters = True

    def make(self) -> Space:
        return EnasRnn(**RNN, output="nodes")


@pytest.mark.slow
class TestFullMacro(TestMacro):
    """The released final network: full convolutions; six layers."""

    def make(self) -> Space:
        return EnasMacro(**{**MACRO, "layers": 6}, full_convolutions=True)


@pytest.mark.slow
class TestMicroOfThreeBlocks(TestMicro):
    """More cells, wide enough for images that halve once."""

    def make(self) -> Space:
        return EnasMicro(**{**MICRO, "blocks": 3, "cells": 6, "input_shape": (1, 9, 14)})
