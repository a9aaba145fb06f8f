#!/usr/bin/env bash
# torch.onnx.export writes circular padding as Pad with mode "wrap" into a model of opset 18, which has no such mode.
#
# Seen with torch 2.14.1, onnxscript 0.7.2, onnx 1.23.2, Python 3.11, x86-64.
# ONNX's Pad knows "wrap" since opset 19. onnx.checker accepts the model and ONNX Runtime 1.31.1 computes it; OpenVINO
# 2026.4.1 and tract 0.23.9 answer that they know no mode "wrap".
#
#   opset 18, Pad mode wrap, checker: accepted
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet torch==2.14.1 numpy==2.4.6 onnx==1.23.2 onnxscript==0.7.2
venv/bin/python - <<'PY'
import onnx
import torch

network = torch.nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular").eval()
program = torch.onnx.export(network, (torch.zeros(1, 1, 4, 4),), dynamo=True, opset_version=18, verbose=False)
model = program.model_proto
onnx.checker.check_model(model, full_check=True)
opset = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
(pad,) = [node for node in model.graph.node if node.op_type == "Pad"]
(mode,) = [attribute.s.decode() for attribute in pad.attribute if attribute.name == "mode"]
print(f"opset {opset}, Pad mode {mode}, checker: accepted")
known = onnx.defs.get_schema("Pad", 18).doc
assert "wrap" not in known, "the standard has changed"
assert (opset, mode) == (18, "wrap"), "the exporter has changed"
PY
