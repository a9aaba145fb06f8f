#!/usr/bin/env bash
# Tensor.contiguous(memory_format=torch.channels_last) does nothing to images of one channel; a network of depth-wise and
# 1x1 convolutions then computes in torch's default layout from end to end.
#
# Seen with torch 2.14.1, numpy 2.4.6, Python 3.11, x86-64 (CPU).
# Both layouts describe a tensor (N, 1, H, W), and weights (C, 1, k, k) or (C, D, 1, 1), equally well: is_contiguous is
# True for either, and contiguous returns what it was given, with its strides. A convolution takes the layout of its
# output from the strides of its input and weights; where none of them says channels-last, the fast layout is lost
# without a word. Tensor.to(memory_format=torch.channels_last) sets the strides. With three channels both do.
#
#   1 channel,  contiguous: images (784, 784, 28, 1), output (6272, 784, 28, 1)
#   1 channel,  to:         images (784, 1, 28, 1), output (6272, 1, 224, 8)
#   3 channels, contiguous: images (2352, 1, 84, 3), output (6272, 1, 224, 8)
#   3 channels, to:         images (2352, 1, 84, 3), output (6272, 1, 224, 8)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet torch==2.14.1 numpy==2.4.6
venv/bin/python - <<'PY'
import torch
from torch import Tensor, nn

LAST = torch.channels_last
WAYS = {"contiguous": lambda x: x.contiguous(memory_format=LAST), "to": lambda x: x.to(memory_format=LAST)}
DEFAULT, FAST = (6272, 784, 28, 1), (6272, 1, 224, 8)  # strides of 8 channels, 28 x 28


def strides(channels: int, way: str) -> tuple[int, ...]:
    """Those of the output, where network and images are both converted that way."""
    convert = WAYS[way]
    depthwise = nn.Conv2d(16, 16, 3, padding=1, groups=16)
    network = nn.Sequential(nn.Conv2d(channels, 16, 1), nn.ReLU(), depthwise, nn.ReLU(), nn.Conv2d(16, 8, 1))
    for parameter in network.parameters():
        if parameter.dim() == 4:
            parameter.data = convert(parameter.data)
    images: Tensor = convert(torch.randn(4, channels, 28, 28))
    assert images.is_contiguous(memory_format=LAST)
    with torch.no_grad():
        found = network(images).stride()
    who = "1 channel, " if channels == 1 else f"{channels} channels,"
    print(f"{who} {way + ':':<11} images {images.stride()}, output {found}")
    return found


found = {(channels, way): strides(channels, way) for channels in (1, 3) for way in WAYS}
assert found.pop((1, "contiguous")) == DEFAULT, "contiguous has changed"
assert set(found.values()) == {FAST}, "the layout of convolutions has changed"
PY
