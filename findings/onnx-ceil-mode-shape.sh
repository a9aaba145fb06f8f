#!/usr/bin/env bash
# Shape inference of onnx gives one pool in ceil mode two shapes, by the opset the model names.
#
# Seen with onnx 1.23.2, Python 3.11.
# The windows of findings/openvino-ceil-mode.sh. Below opset 22 onnx infers 4 x 4, from 22 on 3 x 3; its own reference
# evaluator computes 3 x 3 in both, so a model of opset 18 that states what it computes is refused by
# onnx.checker.check_model(model, full_check=True).
#
#   opset 18  inferred [1, 1, 4, 4]  computed (1, 1, 3, 3)
#             checker: Inferred shape and existing shape differ in dimension 2: (4) vs (3)
#   opset 22  inferred [1, 1, 3, 3]  computed (1, 1, 3, 3)  checker: accepted
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet onnx==1.23.2 numpy==2.4.6
venv/bin/python - <<'PY'
import numpy as np
import onnx
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

windows = {"kernel_shape": [2, 2], "strides": [2, 2], "pads": [1, 1, 1, 1], "ceil_mode": 1}
x = np.arange(25, dtype=np.float32).reshape(1, 1, 5, 5)


def pool(opset: int, after: list[int] | None) -> onnx.ModelProto:
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (("x", x.shape), ("y", after))]
    graph = helper.make_graph([helper.make_node("MaxPool", ["x"], ["y"], **windows)], "pool", ends[:1], ends[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


for opset, side in ((18, 4), (22, 3)):
    inferred = onnx.shape_inference.infer_shapes(pool(opset, None)).graph.output[0].type.tensor_type.shape.dim
    computed = ReferenceEvaluator(pool(opset, None)).run(None, {"x": x})[0]
    try:
        onnx.checker.check_model(pool(opset, [1, 1, 3, 3]), full_check=True)
        said = "accepted"
    except onnx.shape_inference.InferenceError as error:
        said = str(error).splitlines()[0].rpartition("[ShapeInferenceError] ")[2]
    print(f"opset {opset}  inferred {[d.dim_value for d in inferred]}  computed {computed.shape}  checker: {said}")
    assert [d.dim_value for d in inferred] == [1, 1, side, side], "shape inference has changed"
    assert computed.shape == (1, 1, 3, 3), "the reference evaluator has changed"
    assert (said == "accepted") == (opset == 22), "the checker has changed"
PY
