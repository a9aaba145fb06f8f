#!/usr/bin/env bash
# The reference evaluator of onnx cannot take padding away, which ONNX's Pad may.
#
# Seen with onnx 1.23.2, onnxruntime 1.31.1, numpy 2.4.6, Python 3.11.
# Pad's text says that a negative number removes elements. ONNX Runtime does so; the reference evaluator hands the
# numbers to numpy.pad, which refuses them.
#
#   onnxruntime  [1. 2. 3. 0.]
#   reference    ValueError: index can't contain negative values
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet onnx==1.23.2 onnxruntime==1.31.1 numpy==2.4.6
venv/bin/python - <<'PY'
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [4]) for name in "xy"]
pads = onnx.numpy_helper.from_array(np.array([-1, 1]), "pads")
graph = helper.make_graph([helper.make_node("Pad", ["x", "pads"], ["y"])], "pad", ends[:1], ends[1:], [pads])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
onnx.checker.check_model(model, full_check=True)

x = np.arange(4, dtype=np.float32)
session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
expected = session.run(None, {"x": x})[0]
print("onnxruntime ", expected)
try:
    said = str(ReferenceEvaluator(model).run(None, {"x": x})[0])
except ValueError as error:
    said = f"ValueError: {error}"
print("reference   ", said)
assert expected.tolist() == [1, 2, 3, 0], "ONNX Runtime has changed"
assert "negative values" in said, "the reference evaluator has changed"
PY
