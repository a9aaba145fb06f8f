"""Parameters and multiply-accumulates of torchvision's classification models beside torchvision's own figures.

Each model is counted as it stands, in evaluation mode, at the size at which its default weights are evaluated; nothing
is downloaded. Torchvision states giga operations (`_ops`) and parameters (`num_params`) for its weights.
"""

from __future__ import annotations

import torch
import torchvision

from archwright.costs import count
from common import machine, report

WITHIN = 0.01


def main() -> None:
    print(machine())
    right, n, missed = 0, 0, []
    for name in torchvision.models.list_models(module=torchvision.models):
        weights = torchvision.models.get_model_weights(name)
        if not len(weights):
            continue
        meta = weights.DEFAULT.meta
        side = weights.DEFAULT.transforms().crop_size[0]
        with torch.device("meta"):
            network = (
                torchvision.models.get_model(name, weights=None, init_weights=False)
                if (name in ("googlenet", "inception_v3"))
                else torchvision.models.get_model(name, weights=None)
            )
        found = count(network, (3, side, side), memory=False)
        n += 1
        ratios = found.params / meta["num_params"], found.macs / (meta["_ops"] * 1e9)
        if all(abs(ratio - 1) <= WITHIN for ratio in ratios):
            right += 1
        else:
            missed.append(f"{name} (parameters x {ratios[0]:.3f}, multiply-accumulates x {ratios[1]:.3f})")
    report("torchvision's classification models within 1 % of its figures", f"{right} of {n}", "all")
    for line in missed:
        report("  off", line, "")


if __name__ == "__main__":
    main()
