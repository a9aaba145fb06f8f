#!/usr/bin/env bash
# On a CPU, torch's gradients of a dilated depth-wise convolution take many times as long as its forward pass; without
# dilation they take two to three times as long. The same gradients are those of a convolution without dilation on every
# second pixel, which costs little.
#
# Seen with torch 2.14.1, Python 3.11, x86-64 (AMD EPYC), one thread, 64 channels of 16x16 pixels, batch 16, channels-last:
#
#   3x3, dilation 1: backward / forward 1.2 to 2.2
#   3x3, dilation 2: backward / forward 44 to 54
#   5x5, dilation 2: backward / forward 111 to 117
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet torch==2.14.1 numpy==2.4.6
venv/bin/python - <<'PY'
import statistics
import time

import torch
import torch.nn.functional as F

torch.set_num_threads(1)


def milliseconds(call):
    call()
    found = []
    for _ in range(15):
        started = time.perf_counter()
        call()
        found.append(1e3 * (time.perf_counter() - started))
    return statistics.median(found)


ratios = {}
for kernel, dilation in ((3, 1), (3, 2), (5, 2)):
    layout = {"memory_format": torch.channels_last}
    x = torch.randn(16, 64, 16, 16).contiguous(**layout).requires_grad_()
    weight = torch.randn(64, 1, kernel, kernel, requires_grad=True)
    padding = dilation * (kernel // 2)

    def forward():
        return F.conv2d(x, weight, None, 1, padding, dilation, 64)

    out = forward()
    slope = torch.randn_like(out)
    there = milliseconds(forward)
    back = milliseconds(lambda: torch.autograd.grad(out, (x, weight), slope, retain_graph=True))
    ratios[kernel, dilation] = back / there
    print(f"{kernel}x{kernel}, dilation {dilation}: backward / forward {back / there:.1f}")
assert ratios[3, 2] > 3 * ratios[3, 1], "gradients with dilation are no longer slow"
assert ratios[5, 2] > 8, "gradients with dilation are no longer slow"
PY
