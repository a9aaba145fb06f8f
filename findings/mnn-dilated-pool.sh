#!/usr/bin/env bash
# MNN ignores the dilations of an ONNX MaxPool.
#
# Seen with MNN 3.6.1 (pip: mnn), onnx 1.23.2, onnxruntime 1.31.1, Python 3.11, x86-64.
# Windows of 2 x 2 pixels that are 2 apart fit 5 x 5 times into 7 x 7; MNN converts the file without a word and pools
# neighbours, 6 x 6 times.
#
#   onnxruntime  5 x 5
#   MNN          6 x 6
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet mnn==3.6.1 onnx==1.23.2 onnxruntime==1.31.1
venv/bin/python - <<'PY'
import subprocess

import MNN
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

pool = helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[2, 2], strides=[1, 1], dilations=[2, 2])
ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, n, n]) for name, n in (("x", 7), ("y", 5))]
graph = helper.make_graph([pool], "pool", ends[:1], ends[1:])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
onnx.checker.check_model(model, full_check=True)
onnx.save(model, "model.onnx")

session = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])
expected = session.run(None, {"x": np.zeros((1, 1, 7, 7), np.float32)})[0].shape
files = ["--modelFile", "model.onnx", "--MNNModel", "model.mnn"]
subprocess.run(["venv/bin/mnnconvert", "-f", "ONNX", *files, "--bizCode", "x"], check=True, capture_output=True)
interpreter = MNN.Interpreter("model.mnn")
found = tuple(interpreter.getSessionOutput(interpreter.createSession()).getShape())
print(f"onnxruntime  {expected}\nMNN          {found}")
assert expected == (1, 1, 5, 5), "ONNX Runtime has changed"
assert found == (1, 1, 6, 6), "MNN has changed"
PY
