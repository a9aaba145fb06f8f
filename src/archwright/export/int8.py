"""An ONNX file → the same network in 8-bit integers, by ONNX Runtime's static quantiser.

Weights become int8 with a scale for each output channel, activations uint8 with a scale and a zero point, calibrated by
the least and the largest value that some inputs bring about. The file is written in QDQ form: float operators between
QuantizeLinear and DequantizeLinear, which ONNX Runtime replaces by integer ones when it loads the file.

The choices are those ONNX Runtime recommends for CPUs. Weights use 7 of the 8 bits (`reduce_range`): x86 processors
without VNNI instructions add two products in 16 bits, which overflow with 8 bits and would make the file compute
something else there than what was measured here.
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from archwright.core.errors import ExportError, RunFolderError
from archwright.export.onnx import first_line, onnx_session, silence
from archwright.runs.files import write_bytes

if TYPE_CHECKING:
    import onnx

INT8_FILE = "model.int8.onnx"
ACTIVATIONS, WEIGHTS = "uint8, one scale", "int8 of 7 bits, a scale a channel"
"""What a file's numbers are, in words."""

_WEIGHT_AXES = {"Conv": 0, "ConvTranspose": 1, "Gemm": 1, "MatMul": -1}
"""Operators whose weights are quantised, and the axis of these that holds the output channels."""

_WITHOUT_RULE = frozenset({"LSTM", "GRU", "RNN", "Einsum", "Attention", "If", "Loop", "Scan"})
"""Operators that multiply matrices, or hide others that do, and have no static rule in the quantiser."""

_LEFT_FLOAT = frozenset(
    {
        *("BatchNormalization", "InstanceNormalization", "LayerNormalization"),
        *("Add", "AveragePool", "GlobalAveragePool"),
    }
)
"""Operators that are not quantised for themselves.

ONNX Runtime computes norms in float either way. Its integer average pooling takes nine times as long as the float one
(1.31 on x86), and a sum behind a pooling would turn that into it: a network of nasbench201 took 10.7 ms instead of
0.63, and 0.90 in float. A sum of integers that is asked for as integers becomes an integer operation all the same.
"""


@dataclass(frozen=True)
class Int8Export:
    """Facts about a written int8 file.

    Attributes:
        path: The file.
        n_bytes: Its size.
        kept_float: Names of the convolutions and matrix products that were left in float.
        duration_s: Wall time of calibration and writing.
    """

    path: Path
    n_bytes: int
    kept_float: tuple[str, ...]
    duration_s: float


class _Reader:
    """Batches in the form that ONNX Runtime's calibration asks for."""

    def __init__(self, name: str, batches: Iterable[NDArray[np.float32]]) -> None:
        self._left = ({name: batch} for batch in batches)

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        return next(self._left, None)


def quantise(source: Path | str, target: Path | str, batches: Sequence[NDArray[np.float32]]) -> Int8Export:
    """Write an int8 copy of a float ONNX file, atomically and silently; the same inputs give the same bytes.

    Inputs, outputs, operator set and metadata stay as they are. Left in float are grouped transposed convolutions,
    whose channels would share a scale, and layers that would lose an output channel for too coarse a scale.

    Args:
        source: The float file, of one input of float32.
        target: File to write; its folder exists.
        batches: Preprocessed inputs (N, …) that calibrate the activations, of equal length.

    Raises:
        RunFolderError: If the float file cannot be read.
        ExportError: If an operator has no rule, nothing can be quantised, or the quantiser fails; no file then.
        RunError: If the file cannot be written.
    """
    import onnx

    start = time.perf_counter()
    try:
        model = onnx.load(source)
    except Exception as error:  # its errors share no base class
        raise RunFolderError(f"{source} cannot be read as an ONNX file ({first_line(error)})") from error
    _refuse(model)
    with silence(), tempfile.TemporaryDirectory() as folder:
        try:
            prepared = _prepared(Path(source), Path(folder))
            quantised, kept = _quantised(prepared, Path(folder) / INT8_FILE, batches)
            data = _finished(quantised, model)
            _check_runs(data, Path(folder) / INT8_FILE, batches[0])
        except ExportError:
            raise
        except Exception as error:  # whatever the quantiser makes of a graph
            said = first_line(error).replace(f"{folder}/", "")  # a reason names no temporary folder
            raise ExportError(f"ONNX Runtime's quantiser failed ({said})") from error
    write_bytes(Path(target), data)
    return Int8Export(Path(target), len(data), tuple(kept), time.perf_counter() - start)


def _refuse(model: onnx.ModelProto) -> None:
    import onnx

    inputs = [(each.name, each.type.tensor_type.elem_type) for each in model.graph.input]
    if [kind for _, kind in inputs] != [onnx.TensorProto.FLOAT]:
        names = ", ".join(f"{name} ({onnx.TensorProto.DataType.Name(kind).lower()})" for name, kind in inputs)
        raise ExportError(f"the network takes {names}; int8 files are made of networks with one input of float numbers")
    unruled = {_full_name(node) for node in model.graph.node if _has_no_rule(node)}
    if unruled:
        names = ", ".join(sorted(unruled))
        raise ExportError(f"the network has {names}, for which ONNX Runtime has no static int8 rule")
    if not any(node.op_type in _WEIGHT_AXES for node in model.graph.node):
        raise ExportError("the network has no convolution and no matrix product, so nothing that int8 makes faster")


def _has_no_rule(node: onnx.NodeProto) -> bool:
    return node.op_type in _WITHOUT_RULE or node.domain not in ("", "ai.onnx")


def _full_name(node: onnx.NodeProto) -> str:
    return f"{node.domain}.{node.op_type}" if node.domain else str(node.op_type)


def _prepared(source: Path, folder: Path) -> Path:
    """A copy simplified by ONNX Runtime's basic rules, with shapes inferred and each node named."""
    import onnx
    from onnxruntime.quantization import quant_pre_process

    path = folder / "prepared.onnx"
    quant_pre_process(str(source), str(path), skip_symbolic_shape=True)
    model = onnx.load(path)
    for i, node in enumerate(model.graph.node):
        node.name = node.name or f"{node.op_type}_{i}"
    onnx.save(model, path)
    return path


def _quantised(
    prepared: Path, target: Path, batches: Sequence[NDArray[np.float32]]
) -> tuple[onnx.ModelProto, list[str]]:
    """The quantised graph, and the names of the layers that stay in float."""
    import onnx

    model = onnx.load(prepared)
    transposed = [node for node in model.graph.node if node.op_type == "ConvTranspose"]
    kept = [node.name for node in transposed if _attribute(node, "group", 1) > 1]
    made = _statically(prepared, target, batches, kept)
    if lost := _emptied(model, made):
        kept += lost
        made = _statically(prepared, target, batches, kept)
    _leave_outputs_unrounded(made)
    if not _codes(made):
        raise ExportError(f"no layer can be quantised: {', '.join(kept) or 'none has constant weights'}")
    return made, kept


def _statically(
    prepared: Path, target: Path, batches: Sequence[NDArray[np.float32]], kept: Sequence[str]
) -> onnx.ModelProto:
    import onnx
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

    (given,) = onnx.load(prepared).graph.input
    quantize_static(
        str(prepared),
        str(target),
        _Reader(given.name, batches),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=sorted({*QDQRegistry, *QLinearOpsRegistry} - _LEFT_FLOAT),
        per_channel=True,
        reduce_range=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        nodes_to_exclude=list(kept),
        calibrate_method=CalibrationMethod.MinMax,
    )
    return onnx.load(target)


def _leave_outputs_unrounded(model: onnx.ModelProto) -> None:
    """Take away the rounding of a graph's outputs: 256 different logits would be equal too often to name one class."""
    makers = {name: node for node in model.graph.node for name in node.output}
    users = Counter(name for node in model.graph.node for name in node.input)
    for output in model.graph.output:
        dequantise = makers.get(output.name)
        quantise = makers.get(dequantise.input[0]) if dequantise is not None else None
        is_pair = dequantise is not None and dequantise.op_type == "DequantizeLinear"
        if not is_pair or quantise is None or users[quantise.output[0]] > 1 or users[quantise.input[0]] > 1:
            continue
        maker = makers[quantise.input[0]]
        maker.output[list(maker.output).index(quantise.input[0])] = output.name
        model.graph.node.remove(quantise)
        model.graph.node.remove(dequantise)
    used = {name for node in model.graph.node for name in node.input}
    for tensor in [each for each in model.graph.initializer if each.name not in used]:
        model.graph.initializer.remove(tensor)


def _emptied(model: onnx.ModelProto, quantised: onnx.ModelProto) -> list[str]:
    """Names of the layers of which an output channel has weights in float, but all zero in int8.

    Args:
        model: The float graph.
        quantised: The same with int8 weights.
    """
    from onnx.numpy_helper import to_array

    floats = {each.name: each for each in model.graph.initializer}
    names = {node.name: node.input[1] for node in model.graph.node if node.op_type in _WEIGHT_AXES}
    found = []
    for node, codes in _codes(quantised):
        axis = 0 if node.op_type == "Gemm" and _attribute(node, "transB", 0) else _WEIGHT_AXES[node.op_type]
        weights = to_array(floats[names[node.name]])
        if (_has_weights(weights, axis) & ~_has_weights(codes, axis)).any():
            found.append(node.name)
    return found


def _codes(quantised: onnx.ModelProto) -> list[tuple[onnx.NodeProto, NDArray[np.int8]]]:
    """Each layer with quantised weights, and these as integers; zero means 0, for weights are symmetric."""
    from onnx.numpy_helper import to_array

    integers = {each.name: each for each in quantised.graph.initializer}
    sources = {node.output[0]: node.input[0] for node in quantised.graph.node if node.op_type == "DequantizeLinear"}
    layers = [node for node in quantised.graph.node if node.op_type in _WEIGHT_AXES]
    return [(node, to_array(integers[name])) for node in layers if (name := sources.get(node.input[1])) in integers]


def _has_weights(values: NDArray[Any], axis: int) -> NDArray[np.bool_]:
    """Whether a channel of weights has any that is not zero."""
    return np.asarray(values.any(axis=tuple(i for i in range(values.ndim) if i != axis % values.ndim)))


def _attribute(node: onnx.NodeProto, name: str, default: int) -> int:
    return next((int(each.i) for each in node.attribute if each.name == name), default)


def _finished(quantised: onnx.ModelProto, model: onnx.ModelProto) -> bytes:
    """The bytes of the file: versions and metadata as in the float file, checked."""
    import onnx

    domains = {node.domain for node in quantised.graph.node}
    used = [each for each in quantised.opset_import if each.domain in domains]
    del quantised.opset_import[:]
    quantised.opset_import.extend(used)
    quantised.ir_version = model.ir_version
    quantised.ClearField("metadata_props")
    onnx.helper.set_model_props(quantised, {each.key: each.value for each in model.metadata_props})
    onnx.checker.check_model(quantised, full_check=True)
    return bytes(quantised.SerializeToString(deterministic=True))


def _check_runs(data: bytes, path: Path, batch: NDArray[np.float32]) -> None:
    """Refuse a file that ONNX Runtime cannot run, or that gives no finite numbers."""
    path.write_bytes(data)
    session = onnx_session(path)
    outputs = session.run(None, {session.get_inputs()[0].name: batch})
    if not all(np.isfinite(output).all() for output in outputs):
        raise ExportError("the int8 network gives numbers that are not finite")
