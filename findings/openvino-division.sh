#!/usr/bin/env bash
# OpenVINO divides by a constant by multiplying with its reciprocal, so whole quotients need not be whole.
#
# Seen with openvino 2026.4.1, onnx 1.23.2, onnxruntime 1.31.1, Python 3.11, x86-64 (in float32).
# -21 / 7 is -3.0000002, and the floor of that is -4. It matters where an exporter writes an integer division as Cast,
# Div, Floor, Cast, as torch's does for torch.div(..., rounding_mode="floor"). tract 0.23.9 gives the same.
#
#   onnxruntime  -21 / 7 = -3.0         floor -3.0
#   openvino     -21 / 7 = -3.0000002   floor -4.0
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

nodes = [helper.make_node("Div", ["x", "seven"], ["quotient"]), helper.make_node("Floor", ["quotient"], ["floor"])]
x, *ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in ("x", "quotient", "floor")]
seven = onnx.numpy_helper.from_array(np.float32(7), "seven")
graph = helper.make_graph(nodes, "division", [x], ends, [seven])
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), "model.onnx")

numbers = np.array([-21, 49], np.float32)
session = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])
compiled = openvino.Core().compile_model("model.onnx", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
given = compiled(numbers)
found = {"onnxruntime": session.run(None, {"x": numbers}), "openvino": [given[0], given[1]]}
for name, (quotient, floor) in found.items():
    print(f"{name:<12} -21 / 7 = {str(quotient[0]):<11} floor {floor[0]}")
assert (found["onnxruntime"][1] == [-3, 7]).all(), "ONNX Runtime has changed"
assert (found["openvino"][0] != [-3, 7]).all(), "OpenVINO has changed"
assert (found["openvino"][1] == [-4, 7]).all(), "OpenVINO has changed"
PY
