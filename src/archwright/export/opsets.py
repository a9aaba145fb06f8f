"""A model in an older operator set of ONNX.

Torch's exporter writes operator set 18 and leaves a model as it is where it cannot convert it, without a word; onnx's
own converter (1.23) knows no way back for operators as plain as Relu, whose newer versions only take more types. What
an exported network has of an operator is nearly always in its older version too: as an attribute in the place of an
input, or as the default that the older version means anyway.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from archwright.core.errors import ExportError

if TYPE_CHECKING:
    import onnx

_LISTS = {"axes": ("Reduce", "Squeeze", "Unsqueeze"), "split": ("Split",), "pads": ("Pad",)}
"""Attributes that became the input behind the first, and how the names of their operators begin."""

_RESIZE_WITHOUT_REGION, _SOFTMAX_OF_ONE_AXIS = 13, 13
"""Older softmaxes are over all axes from the given one on."""


def graphs_of(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """The graph, and those inside its nodes: the bodies of loops.

    Args:
        graph: Of a model.
    """
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from graphs_of(attribute.g)


def version_of(model: onnx.ModelProto) -> int:
    """The operator set of a model.

    Args:
        model: With one of ONNX's own operators.
    """
    return next(int(entry.version) for entry in model.opset_import if entry.domain in ("", "ai.onnx"))


def lower(model: onnx.ModelProto, opset: int) -> None:
    """Write a model in an older operator set, in place.

    Args:
        model: In any; computes with float32, integers and truth values.
        opset: The older one.

    Raises:
        ExportError: If an operator, or what the model asks of it, is not in that operator set.
    """
    from onnx import helper, numpy_helper

    before = version_of(model)
    graphs = list(graphs_of(model.graph))
    described = [value for graph in graphs for value in (*graph.value_info, *graph.input, *graph.output)]
    ranks = {value.name: len(value.type.tensor_type.shape.dim) for value in described}
    constants = {one.name: numpy_helper.to_array(one) for graph in graphs for one in graph.initializer}
    for graph in reversed(graphs):  # inner ones first: nodes are put back as copies
        for node in graph.node:
            if node.op_type == "Constant" and (value := _attribute(node, "value")) is not None:
                constants[node.output[0]] = numpy_helper.to_array(value)
        found = [older for node in graph.node for older in _lowered(node, before, opset, constants, ranks)]
        del graph.node[:]
        graph.node.extend(found)
    _drop_unused(model)
    for entry in model.opset_import:
        if entry.domain in ("", "ai.onnx"):
            entry.version = opset
    model.ir_version = min(model.ir_version, helper.find_min_ir_version_for(list(model.opset_import)))


def _lowered(
    node: onnx.NodeProto, before: int, opset: int, constants: dict[str, Any], ranks: dict[str, int]
) -> list[onnx.NodeProto]:
    from onnx import defs, helper

    if node.domain not in ("", "ai.onnx"):
        return [node]
    older = _schema(node.op_type, opset)
    if older is None and node.op_type == "HardSwish":
        gate = f"{node.output[0]}_gate"
        return [
            helper.make_node("HardSigmoid", [node.input[0]], [gate], alpha=1 / 6, beta=0.5),
            helper.make_node("Mul", [node.input[0], gate], [node.output[0]]),
        ]
    if older is not None and node.op_type == "Shape" and "start" not in older.attributes:
        return _whole_shape(node, constants)
    if older is None:
        since = min(each.since_version for each in defs.get_all_schemas_with_history() if each.name == node.op_type)
        raise ExportError(f"operator set {opset} has no {node.op_type}, which the network needs; give {since} or newer")
    newer = _schema(node.op_type, before)
    if newer is not None and newer.since_version > older.since_version:
        _fit(node, older, newer, opset, constants, ranks)
    if node.op_type == "Resize" and opset < _RESIZE_WITHOUT_REGION:
        return [*_filled_inputs(node), node]
    return [node]


def _filled_inputs(node: onnx.NodeProto) -> list[onnx.NodeProto]:
    """Empty lists for the region and the scales of a resize, which may not be left out."""
    from onnx import helper, numpy_helper

    made = []
    for i, value in enumerate(node.input):
        if not value:
            name, empty = f"{node.output[0]}_{i}", numpy_helper.from_array(np.empty(0, dtype=np.float32))
            made.append(helper.make_node("Constant", [], [name], value=empty))
            node.input[i] = name
    return made


def _fit(
    node: onnx.NodeProto,
    older: onnx.defs.OpSchema,
    newer: onnx.defs.OpSchema,
    opset: int,
    constants: dict[str, Any],
    ranks: dict[str, int],
) -> None:
    """Say what a node says in the words of an older version of its operator."""
    from onnx import helper

    for name, begins in _LISTS.items():
        if name in older.attributes and len(node.input) > 1 and node.op_type.startswith(begins):
            value = constants.get(node.input[1])
            if value is None:
                raise _lacking(node, opset, f"{name} that are computed")
            given = node.input[2:]  # of a padding its value
            del node.input[1:]
            node.input.extend(given)
            node.attribute.append(helper.make_attribute(name, [int(each) for each in np.atleast_1d(value)]))
    while len(node.input) > older.max_input:
        if node.input[-1]:
            raise _lacking(node, opset, f"{len(node.input)} inputs")
        del node.input[-1]
    if len(node.input) < older.min_input:
        raise _lacking(node, opset, f"{len(node.input)} inputs")
    for attribute in [each for each in node.attribute if each.name not in older.attributes]:
        if _is_meant_anyway(node, attribute, constants):
            node.attribute.remove(attribute)
            continue
        default = newer.attributes[attribute.name].default_value if attribute.name in newer.attributes else None
        if default is None or helper.get_attribute_value(attribute) != helper.get_attribute_value(default):
            raise _lacking(node, opset, f"the attribute {attribute.name}")
        node.attribute.remove(attribute)
    if node.op_type in ("Softmax", "LogSoftmax") and opset < _SOFTMAX_OF_ONE_AXIS:
        axis, rank = _attribute(node, "axis"), ranks.get(node.input[0])
        if axis != -1 and (rank is None or axis != rank - 1):
            raise _lacking(node, opset, "an axis that is not the last one")


def _is_meant_anyway(node: onnx.NodeProto, attribute: onnx.AttributeProto, constants: dict[str, Any]) -> bool:
    """Whether the older version does the same without an attribute."""
    if node.op_type == "Split" and attribute.name == "num_outputs":
        return bool(attribute.i == len(node.output))  # equal parts; where there is a rest, the older one refuses
    if node.op_type == "Reshape" and attribute.name == "allowzero":
        shape = constants.get(node.input[1])
        return shape is None or 0 not in shape  # a computed one has a zero for an empty batch only
    return False


def _whole_shape(node: onnx.NodeProto, constants: dict[str, Any]) -> list[onnx.NodeProto]:
    """The shape's part from `start` to `end`, which older versions do not take, as a slice of the whole."""
    from onnx import helper, numpy_helper

    whole, out = f"{node.output[0]}_whole", node.output[0]
    ends = {"start": _attribute(node, "start") or 0, "end": _attribute(node, "end")}
    ends["end"] = np.iinfo(np.int64).max if ends["end"] is None else ends["end"]
    found = [helper.make_node("Shape", list(node.input), [whole])]
    for name, value in ends.items():
        constants[f"{out}_{name}"] = array = np.array([value], dtype=np.int64)
        found.append(helper.make_node("Constant", [], [f"{out}_{name}"], value=numpy_helper.from_array(array)))
    return [*found, helper.make_node("Slice", [whole, f"{out}_start", f"{out}_end"], [out])]


def _lacking(node: onnx.NodeProto, opset: int, what: str) -> ExportError:
    return ExportError(f"{node.op_type} of operator set {opset} does not take {what}; give a newer one")


def _schema(name: str, opset: int) -> onnx.defs.OpSchema | None:
    from onnx import defs

    try:
        return defs.get_schema(name, opset)
    except defs.SchemaError:
        return None


def _attribute(node: onnx.NodeProto, name: str) -> Any:
    from onnx import helper

    return next((helper.get_attribute_value(each) for each in node.attribute if each.name == name), None)


def _drop_unused(model: onnx.ModelProto) -> None:
    """Constants that became attributes."""
    graphs = list(graphs_of(model.graph))
    used = {name for graph in graphs for node in graph.node for name in node.input}
    used |= {value.name for graph in graphs for value in graph.output}
    for graph in graphs:
        for constant in [one for one in graph.initializer if one.name not in used]:
            graph.initializer.remove(constant)
        for node in [one for one in graph.node if one.op_type == "Constant" and one.output[0] not in used]:
            graph.node.remove(node)
