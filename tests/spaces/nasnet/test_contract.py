"""NASNet's spaces and the promises of every space."""

from __future__ import annotations

import pytest

from archwright.spaces import AmoebaNet, NasNet, Space
from archwright.testing import SpaceContract


class TestDerivedOutputs(SpaceContract):
    """What no block reads leaves a cell; sums and concatenations."""

    n_archs = 2
    n_costed = 3
    n_images = 8
    can_be_relaxed = False
    every_weight_matters = False  # those that bring state 1 to its shape, where no block reads it

    def make(self) -> Space:
        ops = ["identity", "max_pool_3x3", "sep_conv_3x3"]
        return NasNet(input_shape=(3, 8, 8), n_classes=3, cells=1, channels=2, blocks=2, ops=ops)


class TestGivenOutputs(SpaceContract):
    """The states that leave a cell are given; in the form for photographs, with drop path."""

    n_archs = 2
    n_costed = 3
    n_images = 8
    every_weight_matters = False

    def make(self) -> Space:
        ops = ["identity", "conv_1x7_7x1", "avg_pool_3x3"]
        form = {"form": "imagenet", "cells": 1, "channels": 4, "blocks": 1, "drop_path": 0.2}
        return AmoebaNet(input_shape=(1, 8, 8), n_classes=3, ops=ops, outputs=[[1, 2], [0, 2]], **form)


@pytest.mark.slow
class TestAllOperations(TestDerivedOutputs):
    """All thirteen operations."""

    def make(self) -> Space:
        return NasNet(input_shape=(3, 8, 8), n_classes=3, cells=1, channels=2, blocks=2)
