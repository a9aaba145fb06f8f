"""One training step of a single path in the supernet beside the same step of the stand-alone network.

Two kinds of supernets: choices between operations (SPOS, NAS-Bench-201) and elastic sizes (an MBConv chain whose width,
depth, kernels and expansions are searched).
"""

from __future__ import annotations

import numpy as np
import torch

from archwright.core.arch import Arch
from archwright.nn.choice import selection_of
from archwright.spaces.base import Space
from archwright.spaces.spos import SposSpace
from archwright.testing import MBConvSpace
from common import THREADS, interleaved, machine, ratio, report, stepper

BLOCKS, STEPS = 20, 2
CHOICES, ELASTIC = 1.03, 1.05
ELASTIC_CODES = ("12002111", "02000000")
"""Width, depth, then kernel and expansion of each block: a network in between, and the smallest three blocks."""


def main() -> None:
    torch.set_num_threads(THREADS)
    print(machine())
    for shape, batch in (((1, 28, 28), 64), ((3, 32, 32), 128), ((3, 224, 224), 8)):
        measure(SposSpace(input_shape=shape, n_classes=10).search_form(), batch, CHOICES)
    space = MBConvSpace(input_shape=(3, 32, 32))
    for code in ELASTIC_CODES:
        measure(space, 128, ELASTIC, space.parse(code))


def measure(space: Space, batch: int, limit: float, arch: Arch | None = None) -> None:
    shape = space.input_shape
    if arch is None:
        arch = space.sample(1, np.random.default_rng(0))[0]
    supernet = space.supernet().to(memory_format=torch.channels_last).train()
    selection_of(supernet).activate(arch)
    alone = space.extract(supernet, arch).to(memory_format=torch.channels_last).train()
    again = space.extract(supernet, arch).to(memory_format=torch.channels_last).train()
    images = torch.randn(batch, *shape).to(memory_format=torch.channels_last)
    targets = torch.randint(space.n_classes, (batch,))
    runs = [stepper(network, images, targets, STEPS) for network in (supernet, alone, again)]
    in_supernet, stand_alone, stand_alone_again = interleaved(runs, BLOCKS)
    name = f"step, {space.name} {space.code(arch)}, {'x'.join(map(str, shape))}, batch {batch}"
    middle, low, high = ratio(in_supernet, stand_alone)
    same, same_low, same_high = ratio(stand_alone_again, stand_alone)
    report(
        f"{name}: supernet path / stand-alone ({1e3 * float(np.median(stand_alone)) / STEPS:.0f} ms)",
        f"{middle:.3f} ({low:.3f} to {high:.3f}); A/A {same:.3f} ({same_low:.3f} to {same_high:.3f})",
        f"at most {limit}",
    )


if __name__ == "__main__":
    main()
