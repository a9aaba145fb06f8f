#!/usr/bin/env bash
# OpenVINO gives a MaxPool in ceil mode a row and a column that the others leave out, filled with the lowest float.
#
# Seen with openvino 2026.4.1, onnx 1.23.2, onnxruntime 1.31.1, Python 3.11, x86-64.
# Windows of 2 at stride 2 over 5 pixels with one pixel of padding on each side: the fourth window would begin in the
# padding behind the image and hold no pixel. torch and ONNX Runtime leave it out, and since opset 22 the standard says
# so; OpenVINO keeps it, at opset 18 and at 22. Its AveragePool with the same windows gives 3 x 3.
#
#   opset 18  onnxruntime (3, 3)  openvino (4, 4), last value -3.4028234663852886e+38
#   opset 22  onnxruntime (3, 3)  openvino (4, 4), last value -3.4028234663852886e+38
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

windows = {"kernel_shape": [2, 2], "strides": [2, 2], "pads": [1, 1, 1, 1], "ceil_mode": 1}
ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, None, None]) for name in "xy"]
x = np.arange(25, dtype=np.float32).reshape(1, 1, 5, 5)


def shapes(kind: str, opset: int) -> tuple[np.ndarray, np.ndarray]:
    graph = helper.make_graph([helper.make_node(kind, ["x"], ["y"], **windows)], "pool", ends[:1], ends[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    onnx.save(model, "model.onnx")
    session = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0], openvino.Core().compile_model("model.onnx", "CPU")(x)[0]


for opset in (18, 22):
    one, other = (found[0, 0] for found in shapes("MaxPool", opset))
    print(f"opset {opset}  onnxruntime {one.shape}  openvino {other.shape}, last value {other[-1, -1]}")
    assert one.shape == (3, 3), "ONNX Runtime has changed"
    assert other.shape == (4, 4), "OpenVINO has changed"
    assert other[-1, -1] == np.finfo(np.float32).min, "OpenVINO has changed"
assert [found.shape for found in shapes("AveragePool", 18)] == 2 * [(1, 1, 3, 3)], "AveragePool has changed"
PY
