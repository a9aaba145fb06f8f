#!/usr/bin/env bash
# torch.onnx.export drops the divisor of AvgPool2d(divisor_override=...) without a word.
#
# Seen with torch 2.14.1, onnxscript 0.7.2, onnxruntime 1.31.1, Python 3.11, x86-64.
# Four ones are summed and divided by 2 in torch; the exported AveragePool divides by 4. Nothing is refused or printed.
#
#   torch        2.0
#   onnxruntime  1.0
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet torch==2.14.1 numpy==2.4.6 onnx==1.23.2 onnxscript==0.7.2 \
    onnxruntime==1.31.1
venv/bin/python - <<'PY'
import contextlib
import io
import warnings

import onnxruntime
import torch

pool = torch.nn.AvgPool2d(2, divisor_override=2).eval()
x = torch.ones(1, 1, 2, 2)
said = io.StringIO()
with warnings.catch_warnings(record=True) as warned, contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
    warnings.simplefilter("always")
    program = torch.onnx.export(pool, (x,), dynamo=True)
data = program.model_proto.SerializeToString()
session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
expected, found = pool(x).item(), session.run(None, {session.get_inputs()[0].name: x.numpy()})[0].item()
print("torch       ", expected)
print("onnxruntime ", found)
assert expected == 2, "torch has changed"
assert found == 1, "the exporter has changed"
assert "divisor" not in said.getvalue() + "".join(str(each.message) for each in warned), "the exporter says it now"
PY
