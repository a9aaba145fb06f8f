#!/usr/bin/env bash
# torch.nn.functional.batch_norm with momentum=1.0 is meant to write the batch's own mean and variance into the running
# statistics. It computes (1 - momentum) * old + momentum * new, so old values that are not numbers stay, although their
# factor is 0. A scratch buffer made by new_empty is such a buffer, now and then.
#
# Seen with torch 2.14.1, Python 3.11, x86-64 CPU: a buffer of zeros holds the batch's statistics, one of NaN holds NaN.
#
#   zeros: mean and variance of the batch
#   NaN:   NaN
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet torch==2.14.1 numpy==2.4.6
venv/bin/python - <<'PY'
import torch
import torch.nn.functional as F

x = torch.randn(16, 4, 8, 8, generator=torch.Generator().manual_seed(0))


def written(old):
    mean, variance = torch.full((4,), old), torch.full((4,), old)
    F.batch_norm(x, mean, variance, None, None, True, 1.0)
    return mean, variance


mean, variance = written(0.0)
assert torch.allclose(mean, x.mean((0, 2, 3)), atol=1e-6)
assert torch.allclose(variance, x.var((0, 2, 3)), atol=1e-5)
print("zeros: mean and variance of the batch")
kept = all(bool(each.isnan().all()) for each in written(float("nan")))
print("NaN:  ", "NaN" if kept else "mean and variance of the batch")
assert kept, "momentum 1 no longer reads the old values"
PY
