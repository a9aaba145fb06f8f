"""The int8 file computes nearly what the float file computes, by integers with a scale for each channel."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper
from onnx.numpy_helper import from_array, to_array
from torch import nn

from archwright.core.errors import ExportError, RunError, RunFolderError
from archwright.export.int8 import INT8_FILE, Int8Export, quantise
from archwright.export.onnx import export_onnx, onnx_metadata, onnx_session, predict_onnx
from archwright.export.preprocessing import input_metadata
from archwright.export.reference import spread_difference

METADATA = input_metadata(["a", "b"], {"layout": "CHW", "scale": 1.0, "mean": [0.0], "std": [1.0]})


class Block(nn.Module):
    """What image networks are made of: a depth-wise convolution, a sum, a concatenation, a batch norm on its own."""

    def __init__(self) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.norm = nn.BatchNorm2d(16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(torch.cat([x, x + self.depthwise(x).relu()], 1))


def _network() -> nn.Sequential:
    torch.manual_seed(0)
    head = (nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 5))
    made = nn.Sequential(nn.Conv2d(1, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), Block(), *head)
    for _ in range(3):
        made(torch.randn(16, 1, 8, 8) * 2 + 1)  # statistics that matter
    return made


def _batches(*shape: int, n: int = 4) -> list[NDArray[np.float32]]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape, dtype=np.float32) for _ in range(n)]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("float") / "model.onnx"
    export_onnx(_network(), (1, 8, 8), path, metadata=METADATA)
    return path


@pytest.fixture(scope="module")
def made(source: Path) -> Int8Export:
    return quantise(source, source.with_name(INT8_FILE), _batches(16, 1, 8, 8))


def test_logits_are_near_those_of_the_float_file(source: Path, made: Int8Export) -> None:
    """On inputs that calibrated nothing, at any batch size; in units of the spread of the logits."""
    images = np.random.default_rng(1).standard_normal((50, 1, 8, 8), dtype=np.float32)
    for batch_size in (1, 50):
        found, expected = (
            predict_onnx(onnx_session(path), images, batch_size=batch_size) for path in (made.path, source)
        )
        assert 0 < spread_difference(found, expected) < 0.1
    assert made.kept_float == ()


def test_file_is_valid_and_describes_itself_as_the_float_file(source: Path, made: Int8Export) -> None:
    """The same operator set, format, input, output and texts; nothing else lies beside it."""
    model, before = onnx.load(made.path), onnx.load(source)
    onnx.checker.check_model(model, full_check=True)
    assert (model.ir_version, list(model.opset_import)) == (before.ir_version, list(before.opset_import))
    assert (list(model.graph.input), list(model.graph.output)) == (list(before.graph.input), list(before.graph.output))
    assert onnx_metadata(onnx_session(made.path)) == METADATA
    assert made.n_bytes == made.path.stat().st_size
    assert made.duration_s > 0
    assert {path.name for path in made.path.parent.iterdir()} == {"model.onnx", INT8_FILE}


def test_each_output_channel_of_weights_has_its_scale(made: Int8Export) -> None:
    """Its largest weight is the end of seven bits, by hand from the batch norm folded into the convolution."""
    model = onnx.load(made.path)
    tensors = {each.name: to_array(each) for each in model.graph.initializer}
    dequantised = {node.output[0]: node for node in model.graph.node if node.op_type == "DequantizeLinear"}
    layers = [node for node in model.graph.node if node.op_type in ("Conv", "Gemm")]
    assert len(layers) == 3
    for layer in layers:
        weights, scale, _ = (tensors[name] for name in dequantised[layer.input[1]].input)
        assert weights.dtype == np.int8
        assert scale.shape == (weights.shape[0],)
        assert np.abs(weights.reshape(len(scale), -1)).max(axis=1).tolist() == [64] * len(scale)
    conv, norm = _network().eval()[:2]
    folded = conv.weight * (norm.weight / (norm.running_var + norm.eps).sqrt())[:, None, None, None]
    expected = folded.abs().amax((1, 2, 3)).detach().numpy() / 64
    first = next(layer for layer in layers if tensors[dequantised[layer.input[1]].input[0]].shape == (8, 1, 3, 3))
    np.testing.assert_allclose(tensors[dequantised[first.input[1]].input[1]], expected, rtol=1e-5)


def test_logits_are_not_rounded(made: Int8Export) -> None:
    """With 256 values a class, two classes would often be equal; nothing of the rounding is left in the file."""
    graph = onnx.load(made.path).graph
    (last,) = (node for node in graph.node if graph.output[0].name in node.output)
    assert last.op_type == "Gemm"
    assert {each.name for each in graph.initializer} <= {name for node in graph.node for name in node.input}
    images = np.random.default_rng(1).standard_normal((400, 1, 8, 8), dtype=np.float32)
    assert len(np.unique(predict_onnx(onnx_session(made.path), images))) > 256


def test_quantising_is_silent_and_repeatable(
    source: Path, made: Int8Export, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """No warning, nothing on either stream, nothing left beside the float file; the same bytes."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = quantise(source, tmp_path / INT8_FILE, _batches(16, 1, 8, 8))
    assert capfd.readouterr() == ("", "")
    assert again.path.read_bytes() == made.path.read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == [INT8_FILE]


SCRIPT = """
import sys, numpy as np
from pathlib import Path
from archwright.export.int8 import quantise
rng = np.random.default_rng(0)
batches = [rng.standard_normal((16, 1, 8, 8), dtype=np.float32) for _ in range(4)]
quantise(Path(sys.argv[1]), Path(sys.argv[2]), batches)
"""


@pytest.mark.slow
def test_another_process_gives_the_same_bytes(source: Path, made: Int8Export, tmp_path: Path) -> None:
    """Whatever the order of its sets."""
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        subprocess.run([sys.executable, "-c", SCRIPT, source, tmp_path / seed], env=environment, check=True)
        assert (tmp_path / seed).read_bytes() == made.path.read_bytes()


# ── what stays in float ───────────────────────────────────────────────────────────────────────────


def _saved(path: Path, nodes: Sequence[Any], shape: Sequence[int], **tensors: Any) -> Path:
    """A graph from x (N, …) to y with constant tensors."""
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", *shape])
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    constants = [from_array(np.asarray(values, dtype=np.float32), name) for name, values in tensors.items()]
    graph = helper.make_graph(nodes, "graph", [given], [output], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    return path


def _linear(path: Path) -> Path:
    return _saved(path, [helper.make_node("MatMul", ["x", "w"], ["y"])], (4,), w=np.eye(4))


def _logits(path: Path, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    return predict_onnx(onnx_session(path), inputs)


def test_a_layer_that_would_lose_a_channel_stays_in_float(tmp_path: Path) -> None:
    """A bias of 1 on weights of 1e-12 asks for a scale that makes them 0; the other layer is quantised."""
    nodes = [helper.make_node("Conv", ["x", "w", "b"], ["h"]), helper.make_node("Conv", ["h", "v"], ["y"])]
    weights = np.ones((2, 1, 3, 3)) * np.array([0.1, 1e-12]).reshape(2, 1, 1, 1)
    path = _saved(tmp_path / "model.onnx", nodes, (1, 6, 6), w=weights, b=[0.0, 1.0], v=np.ones((3, 2, 1, 1)))
    made = quantise(path, tmp_path / INT8_FILE, _batches(8, 1, 6, 6))
    assert len(made.kept_float) == 1
    codes = [each for each in onnx.load(made.path).graph.initializer if each.data_type == TensorProto.INT8]
    assert [tuple(each.dims) for each in codes if len(each.dims) == 4] == [(3, 2, 1, 1)]


@pytest.mark.parametrize("group", [2, 4])
def test_a_grouped_transposed_convolution_stays_in_float(tmp_path: Path, group: int) -> None:
    """Its channels would share one scale, or the quantiser fail on its bias; here they differ by 100 times."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["h"]),
        helper.make_node("ConvTranspose", ["h", "t", "b"], ["y"], group=group, name="up"),
    ]
    weights = np.ones((4, 4 // group, 2, 2)) * np.array([100, 1, 1, 0.1]).reshape(4, 1, 1, 1)
    tensors = {"w": np.ones((4, 1, 3, 3)) / 9, "t": weights, "b": [0.0, 0.0, 0.0, 0.1]}
    path = _saved(tmp_path / "model.onnx", nodes, (1, 6, 6), **tensors)
    inputs = _batches(8, 1, 6, 6)
    assert quantise(path, tmp_path / INT8_FILE, inputs).kept_float == ("up",)
    found, expected = (_logits(tmp_path / name, inputs[0])[:, 3] for name in (INT8_FILE, "model.onnx"))
    assert spread_difference(found, expected) < 0.1


# ── refusals ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("nodes", "inputs", "reason"),
    [
        (
            [helper.make_node("LSTM", ["x"], ["h"]), helper.make_node("Einsum", ["h"], ["y"])],
            {"x": TensorProto.FLOAT},
            "the network has Einsum, LSTM, for which ONNX Runtime has no static int8 rule",
        ),
        (
            [helper.make_node("Rotate", ["x"], ["y"], domain="own.ops")],
            {"x": TensorProto.FLOAT},
            r"the network has own\.ops\.Rotate, for which",
        ),
        (
            [helper.make_node("Relu", ["x"], ["y"])],
            {"x": TensorProto.FLOAT},
            "no convolution and no matrix product, so nothing that int8 makes faster",
        ),
        (
            [helper.make_node("MatMul", ["x", "x"], ["y"])],
            {"tokens": TensorProto.INT64},
            r"takes tokens \(int64\); int8 files are made of networks with one input of float numbers",
        ),
        (
            [helper.make_node("MatMul", ["x", "mask"], ["y"])],
            {"x": TensorProto.FLOAT, "mask": TensorProto.BOOL},
            r"takes x \(float\), mask \(bool\); int8 files",
        ),
        (
            [helper.make_node("MatMul", ["x", "missing"], ["y"])],
            {"x": TensorProto.FLOAT},
            r"ONNX Runtime's quantiser failed \(",
        ),
    ],
)
def test_what_cannot_be_quantised_is_one_line(
    tmp_path: Path, nodes: Sequence[Any], inputs: dict[str, int], reason: str
) -> None:
    """It says why, and no file is left."""
    path = tmp_path / "model.onnx"
    given = [helper.make_tensor_value_info(name, kind, ["batch", 4]) for name, kind in inputs.items()]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4])
    onnx.save(helper.make_model(helper.make_graph(nodes, "graph", given, [output])), path)
    with pytest.raises(ExportError, match=reason) as caught:
        quantise(path, tmp_path / INT8_FILE, _batches(2, 4))
    assert "\n" not in str(caught.value)
    assert str(tmp_path) not in str(caught.value)
    assert [found.name for found in tmp_path.iterdir()] == ["model.onnx"]


def test_numbers_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    """Those of the calibration, and those that a batch norm of negative variance makes in the end."""
    path = _linear(tmp_path / "model.onnx")
    with pytest.raises(ExportError, match=r"ONNX Runtime's quantiser failed \("):
        quantise(path, tmp_path / INT8_FILE, [np.full((2, 4), np.nan, np.float32)])
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("BatchNormalization", ["r", "one", "zero", "zero", "negative"], ["y"]),
    ]
    _saved(path, nodes, (4,), w=np.eye(4), one=np.ones(4), zero=np.zeros(4), negative=-np.ones(4))
    with pytest.raises(ExportError, match="gives numbers that are not finite"):
        quantise(path, tmp_path / INT8_FILE, _batches(2, 4))
    assert not (tmp_path / INT8_FILE).exists()


def test_a_missing_float_file_is_named(tmp_path: Path) -> None:
    """In one line."""
    with pytest.raises(RunFolderError, match=r"model\.onnx cannot be read as an ONNX file"):
        quantise(tmp_path / "model.onnx", tmp_path / INT8_FILE, _batches(2, 4))


def test_a_place_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    """It says nothing about the network."""
    path = _linear(tmp_path / "model.onnx")
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="cannot be written") as caught:
        quantise(path, tmp_path / "file" / INT8_FILE, _batches(2, 4))
    assert not isinstance(caught.value, ExportError)
