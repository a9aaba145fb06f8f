#!/usr/bin/env bash
# tract cannot load a 1x1 convolution at stride 2 right behind another 1x1 convolution, if the batch axis is free.
#
# Seen with tract 0.23.9 (its Python package), onnx 1.23.2, onnxruntime 1.31.1, Python 3.11, x86-64.
# An optimisation moves the sub-sampling before the first convolution and names an axis that is not there. The same
# second convolution behind a 3x3 loads, and so do both with a batch of 1 that the file states.
#
#   3x3, then 1x1 at stride 2  the numbers of ONNX Runtime
#   1x1, then 1x1 at stride 2  running pass declutter Caused by: ... Pulling ... Downsample over ... 2: Invalid axis
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet tract==0.23.9 onnx==1.23.2 onnxruntime==1.31.1
venv/bin/python - <<'PY'
import numpy as np
import onnx
import onnxruntime
import tract
from onnx import TensorProto, helper

rng = np.random.default_rng(0)
x = rng.standard_normal((1, 3, 8, 8), dtype=np.float32)


def outcome(side: int) -> str:
    """What tract makes of a convolution of that side and a strided 1x1 behind it."""
    weights = [rng.standard_normal(shape, dtype=np.float32) for shape in ((4, 3, side, side), (4, 4, 1, 1))]
    constants = [onnx.numpy_helper.from_array(each, name) for each, name in zip(weights, ("first", "second"))]
    nodes = [
        helper.make_node("Conv", ["x", "first"], ["between"], pads=[side // 2] * 4),
        helper.make_node("Conv", ["between", "second"], ["y"], strides=[2, 2]),
    ]
    shapes = {"x": ["batch", 3, 8, 8], "y": ["batch", 4, 4, 4]}
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
    graph = helper.make_graph(nodes, "convolutions", ends[:1], ends[1:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, "model.onnx")
    try:
        found = tract.onnx().load("model.onnx").into_model().into_runnable().run([x])[0].to_numpy()
    except tract.TractError as error:
        return " ".join(str(error).partition("Stack backtrace")[0].split())
    session = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(found, session.run(None, {"x": x})[0], rtol=1e-4, atol=1e-4)
    return "the numbers of ONNX Runtime"


said = {side: outcome(side) for side in (3, 1)}
for side, text in said.items():
    print(f"{side}x{side}, then 1x1 at stride 2  {text}")
assert said[3].startswith("the numbers"), "tract has changed"
assert "Invalid axis" in said[1], "tract has changed"
PY
