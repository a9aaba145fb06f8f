"""Parameters and multiply-accumulates of torchvision's classification models beside torchvision's own figures.

Each model is counted as it stands, in evaluation mode, at the size at which its default weights are evaluated; nothing
is downloaded. Torchvision states giga operations (`_ops`) and parameters (`num_params`) for its weights.
"""

from __future__ import annotations

from typing import Any

import torch
import torchvision
from torch import nn

from archwright.costs import count
from common import machine, report

WITHIN, LAST_DIGIT = 0.01, 1e6
"""Of the figures, which are given in thousandths of a giga operation: 0.040 may be anything from 0.0395 to 0.0405."""


def main() -> None:
    print(machine())
    right, n, missed = 0, 0, []
    for name in torchvision.models.list_models(module=torchvision.models):
        weights = torchvision.models.get_model_weights(name)
        if not len(weights):
            continue
        meta = weights.DEFAULT.meta
        side = weights.DEFAULT.transforms().crop_size[0]
        network = made(name, side)
        found = count(network, (3, side, side), memory=False)
        n += 1
        ratios = found.params / meta["num_params"], found.macs / (meta["_ops"] * 1e9)
        is_rounded = abs(found.macs - meta["_ops"] * 1e9) <= LAST_DIGIT / 2
        if abs(ratios[0] - 1) <= WITHIN and (abs(ratios[1] - 1) <= WITHIN or is_rounded):
            right += 1
        else:
            missed.append(f"{name} (parameters x {ratios[0]:.3f}, multiply-accumulates x {ratios[1]:.3f})")
    report("torchvision's classification models within 1 % of its figures", f"{right} of {n}", "all")
    for line in missed:
        report("  off", line, "")


def made(name: str, side: int) -> nn.Module:
    """A model for images of a side without its weights, described only where its constructor does without values."""
    given: dict[str, Any] = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    given |= {"aux_logits": False} if name == "googlenet" else {}  # whose weights come without the auxiliary heads
    given |= {"image_size": side} if name.startswith("vit_") else {}
    try:
        with torch.device("meta"):
            return torchvision.models.get_model(name, weights=None, **given)
    except NotImplementedError:
        return torchvision.models.get_model(name, weights=None, **given)


if __name__ == "__main__":
    main()
