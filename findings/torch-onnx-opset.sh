#!/usr/bin/env bash
# torch.onnx.export(opset_version=13) of a convolution and a ReLU writes operator set 18, and onnx's converter finds no
# way back: it has no adapter for Relu, whose version 14 only takes more types than version 13.
#
# Seen with torch 2.14.1, onnxscript 0.7.2, onnx 1.23.2, Python 3.11, x86-64. torch prints that the conversion failed
# when it is verbose, and leaves the model as it is; nothing is raised and nothing is warned of.
#
#   asked for 13, written 18
#   converter: No Adapter From Version $14 for Relu
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet torch==2.14.1 numpy==2.4.6 onnx==1.23.2 onnxscript==0.7.2
venv/bin/python - <<'PY'
import contextlib
import io
import logging
import warnings

import onnx
import torch
from onnx import version_converter

network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU()).eval()
logging.disable(logging.CRITICAL)
with warnings.catch_warnings(record=True) as warned, contextlib.redirect_stdout(io.StringIO()):
    warnings.simplefilter("always")
    with contextlib.redirect_stderr(io.StringIO()):
        program = torch.onnx.export(
            network, (torch.zeros(1, 3, 8, 8),), dynamo=True, opset_version=13, verbose=False
        )
model = program.model_proto
written = next(entry.version for entry in model.opset_import if entry.domain == "")
print("asked for 13, written", written)
try:
    version_converter.convert_version(model, 13)
    said = "it converts now"
except RuntimeError as error:
    said = str(error)
print("converter:", said.rsplit(": ", 1)[-1])
assert written == 18, "the exporter has changed"
assert not any("opset" in str(each.message).lower() for each in warned), "the exporter warns now"
assert "No Adapter" in said and "Relu" in said, "the converter has changed"
PY
