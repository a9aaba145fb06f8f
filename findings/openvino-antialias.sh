#!/usr/bin/env bash
# OpenVINO loads an ONNX Resize with antialias=1 and resizes without antialiasing.
#
# Seen with openvino 2026.4.1, onnx 1.23.2, onnxruntime 1.31.1, Python 3.11, x86-64.
# A line of 8 pixels, only the fourth is 8, is halved. The filter of ONNX's antialias is a triangle of four pixels
# (weights 1/8, 3/8, 3/8, 1/8), so the answer is 0 3 1 0; plain linear resizing takes the two nearest pixels: 0 4 0 0.
# The attribute is neither refused nor mentioned.
#
#   onnxruntime  [0. 3. 1. 0.]
#   openvino     [0. 4. 0. 0.]
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet openvino==2026.4.1 onnx==1.23.2 onnxruntime==1.31.1
venv/bin/python - <<'PY'
import numpy as np
import onnx
import onnxruntime
import openvino
from onnx import TensorProto, helper

resize = helper.make_node("Resize", ["x", "", "", "sizes"], ["y"], mode="linear", antialias=1, exclude_outside=1)
ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, 1, n]) for name, n in (("x", 8), ("y", 4))]
sizes = onnx.numpy_helper.from_array(np.array([1, 1, 1, 4]), "sizes")
graph = helper.make_graph([resize], "resize", ends[:1], ends[1:], [sizes])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
onnx.checker.check_model(model, full_check=True)
onnx.save(model, "model.onnx")

x = np.zeros((1, 1, 1, 8), np.float32)
x[..., 3] = 8
session = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])
compiled = openvino.Core().compile_model("model.onnx", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
found = {"onnxruntime": session.run(None, {"x": x})[0].ravel(), "openvino": compiled(x)[0].ravel()}
for name, line in found.items():
    print(f"{name:<12} {line}")
assert np.allclose(found["onnxruntime"], [0, 3, 1, 0]), "ONNX Runtime has changed"
assert np.allclose(found["openvino"], [0, 4, 0, 0]), "OpenVINO has changed"
PY
