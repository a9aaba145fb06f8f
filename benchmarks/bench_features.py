"""Strides and channels of `features_only` beside timm's own, for timm's models of less than 30 M parameters.

usage: bench_features.py [PART]     (PART: only names that begin so)

A model is convolutional here where timm's own feature maps are (N, C, H, W) with equal sides, no part of it mixes
tokens, and none hands on tokens (N, T, C). Right: for each of timm's maps there is one of ours with its channels and
its side, and with timm's stride where that explains the side. Others have to be refused, or right as well. Nothing is
downloaded; models stand on the meta device.
"""

from __future__ import annotations

import sys
import warnings
from collections import Counter

import timm
import torch

from archwright.core.errors import InvalidValueError
from archwright.nn.features import features_only
from common import machine, report

MOST_PARAMETERS = 30e6


def main() -> None:
    print(machine())
    part = sys.argv[1] if len(sys.argv) > 1 else ""
    outcomes: Counter[str] = Counter()
    wrong: list[str] = []
    for name in timm.list_models(f"{part}*"):
        outcome, detail = judged(name)
        outcomes[outcome] += 1
        if outcome in ("wrong", "refused though convolutional", "failed"):
            wrong.append(f"{name}: {outcome}: {detail}")
    for outcome, n in outcomes.most_common():
        report(outcome, f"{n}", "")
    for line in wrong:
        report("  ", line, "")


def judged(name: str) -> tuple[str, str]:
    """What came out of a model, and the details where that is a fault."""
    try:
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            network = timm.create_model(name, pretrained=False).eval()
    except Exception as error:  # of models that ask for more than a name
        return "cannot be made on the meta device", str(error)
    if sum(parameter.numel() for parameter in network.parameters()) >= MOST_PARAMETERS:
        return "too large", ""
    shape = tuple(network.default_cfg["input_size"])
    theirs = timms(name)
    try:
        backbone = features_only(network, shape)
        maps = backbone(torch.empty(1, *shape, device="meta"))
    except InvalidValueError as error:
        is_wrong = bool(theirs) and "hands on tokens" not in str(error)
        return ("refused though convolutional", str(error)) if is_wrong else ("refused", "")
    except Exception as error:  # of what cannot be run on the meta device
        return "failed", f"{type(error).__name__}: {error}"
    if not theirs:
        return "no reference", ""
    ours = [(f.stride, f.channels, m.shape[2]) for f, m in zip(backbone.features, maps, strict=True)]
    if all(any(is_same(each, stride, *of_map, side=shape[1]) for each in ours) for stride, *of_map in theirs):
        return "right", ""
    return "wrong", f"ours {ours}, timm's {theirs}"


def is_same(ours: tuple[int, int, int], stride: int, channels: int, map_side: int, *, side: int) -> bool:
    """Whether a map of ours is timm's; its stride is asked for only if it is about how often the map fits the image."""
    is_explained = 0.7 < side / map_side / stride < 1.42
    return ours[1:] == (channels, map_side) and (ours[0] == stride or not is_explained)


def timms(name: str) -> list[tuple[int, int, int]]:
    """Timm's strides, channels and sides; none where its maps are not those of a convolutional network."""
    try:
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            network = timm.create_model(name, pretrained=False, features_only=True).eval()
            shape = network.default_cfg["input_size"]
            maps = network(torch.empty(1, *shape))
    except Exception:
        return []
    if any(len(m.shape) != 4 or m.shape[2] != m.shape[3] for m in maps) or is_transformer(network):
        return []
    strides = network.feature_info.reduction()
    return [(stride, found.shape[1], found.shape[2]) for stride, found in zip(strides, maps, strict=True)]


def is_transformer(network: torch.nn.Module) -> bool:
    """Whether a part of it mixes tokens."""
    names = {type(part).__name__.lower() for part in network.modules()}
    return any("attention" in each or "mlpmixer" in each for each in names if "se" not in each and "eca" not in each)


if __name__ == "__main__":
    main()
