"""A training step in float32, channels-last, beside the form that precision "auto" takes, for every space of images.

A factor below 1 is a gain; the rule of `training.forms` is right where "auto" is never clearly slower than float32.
"""

from __future__ import annotations

import numpy as np
import torch

from archwright.core import catalog
from archwright.core.errors import ArchwrightError
from archwright.spaces.opening import open_space
from archwright.training.device import mixed_precision, use_layout
from archwright.training.forms import Form, form_of
from archwright.training.networks import build_seeded
from common import THREADS, interleaved, machine, ratio, report, stepper

BLOCKS, BATCH = 10, 64
SHAPES = ((1, 28, 28), (3, 32, 32), (3, 64, 64))
CPU = torch.device("cpu")
PLAIN = Form(torch.float32, True)


def main() -> None:
    torch.set_num_threads(THREADS)
    print(machine())
    for entry in catalog.entries("space"):
        for shape in SHAPES:
            measure(entry.name, shape)


def measure(name: str, shape: tuple[int, int, int]) -> None:
    try:
        space = open_space(name, input_shape=shape, n_classes=10)
        arch = space.sample(1, np.random.default_rng(0))[0]
        networks = [build_seeded(space, arch, 0).train() for _ in range(3)]
    except (ArchwrightError, TypeError):
        return  # takes no images, or none of this size
    form = form_of(networks[0], "auto", True, CPU)
    if form == PLAIN:
        print(f"{name}, {shape}: float32 by rule")
        return
    forms = (form, PLAIN, PLAIN)
    fast, plain, again = interleaved(
        [in_form(network, shape, each) for network, each in zip(networks, forms, strict=True)], BLOCKS
    )
    middle, low, high = ratio(fast, plain)
    same, same_low, same_high = ratio(again, plain)
    layout = "channels-last" if form.channels_last else "contiguous"
    report(
        f"{name}, {'x'.join(map(str, shape))}, bfloat16 {layout} / float32 ({1e3 * float(np.median(plain)):.0f} ms)",
        f"{middle:.2f} ({low:.2f} to {high:.2f}); A/A {same:.2f} ({same_low:.2f} to {same_high:.2f})",
        "at most 1",
    )


def in_form(network: torch.nn.Module, shape: tuple[int, int, int], form: Form):
    use_layout(network, form.channels_last)
    images = torch.randn(BATCH, *shape)
    if form.channels_last:
        images = images.to(memory_format=torch.channels_last)
    return stepper(network, images, torch.randint(10, (BATCH,)), forward=lambda: mixed_precision(CPU, form.dtype))


if __name__ == "__main__":
    main()
